/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * overlay: the device over which peers are reached, with its addresses, routes and rules.
 *
 * One implementation a mode (overlay_vxlan.c, overlay_none.c) behind a table of functions;
 * routing, which all modes share, is in overlay.c. overlay_sync() makes the kernel match the
 * netmap and may be called again at any time: it changes only what differs.
 */
#ifndef OVERLAY_H
#define OVERLAY_H

#include "cleanup.h"
#include "netlink.h"
#include "netmap.h"

#include <stdbool.h>
#include <stdint.h>

enum overlay_mode {
	OVERLAY_VXLAN,
	OVERLAY_WIREGUARD,
	OVERLAY_NONE,
};

struct overlay_config {
	enum overlay_mode mode;
	const char *dev;
	uint16_t vxlan_port;
};

struct overlay;

/* Mode by name ("vxlan"), or -EINVAL. */
int overlay_mode_parse(const char *text);

/* Makes or finds the device; logs what failed and the way out (port taken by another VXLAN
 * device, no such device). A device of ours from before is taken over. */
int overlay_open(struct overlay **out, const struct overlay_config *cfg, struct netlink *nl);
void overlay_free(struct overlay *o); /* leaves the kernel's side as it is */
DEFINE_CLEANUP(overlay, struct overlay *, overlay_free)

/*
 * Addresses on the device, its MTU, magic and peer routes in our table, and rules that lead
 * there. `keep[n_keep]` are magic prefixes no longer in the netmap whose leases still live: their
 * routes stay. Logs warnings: a pool that overlaps a route of the host, forwarding off.
 */
int overlay_sync(struct overlay *o, const struct netmap *nm, const struct prefix *keep,
		 size_t n_keep);

/* The next hop of the magic routes that overlay_sync() makes; all zero: they have none, or there
 * is nobody who could be it. */
struct c25_addr overlay_next_hop(const struct overlay *o, const struct netmap *nm, bool is4);

/* After news of neighbours: whether overlay_sync() would keep others or choose another next hop. */
bool overlay_neigh_stale(struct overlay *o, const struct netmap *nm);

/* As it is now; good until the next overlay_sync(). */
const struct netlink_link *overlay_link(const struct overlay *o);
bool overlay_tunnel_key(const struct overlay *o);

#endif
