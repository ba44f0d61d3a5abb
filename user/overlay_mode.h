/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * overlay_mode: what a mode supplies and what all modes share, for the overlay_*.c files only.
 */
#ifndef OVERLAY_MODE_H
#define OVERLAY_MODE_H

#include "overlay.h"

struct overlay_mode_ops {
	const char *name;
	bool tunnel_key;   /* the programs set and check the tunnel key */
	bool own_device;   /* conn25 made the device: nobody else uses it */
	bool neighbours;   /* on Ethernet, connectors are neighbours (overlay_neigh.c) */
	bool routes_peers; /* peers are reached through routes of ours */
	bool keyed_peers;  /* only nodes with a wireguardKey are peers */

	/* Make or find the device and fill o->link; logs. Called again before each sync. */
	int (*device)(struct overlay *o);
	/* Addresses, MTU and what else the device needs for this netmap; logs. */
	int (*prepare)(struct overlay *o, const struct netmap *nm);
	/* How magic routes leave: the next hop, its family being of no matter. Zero: straight to
	 * the device. -ENOENT: nobody is there to send to. */
	int (*next_hop)(const struct overlay *o, const struct netmap *nm, bool is4,
			struct c25_addr *via);
};

struct overlay_finding;

struct overlay {
	const struct overlay_mode_ops *ops;
	struct netlink *nl;
	struct netlink_link link;
	struct overlay_finding *findings; /* already logged */
	struct c25_addr via[2];           /* next hops chosen, IPv6's and IPv4's; zero: none */
	bool neigh_synced;
	char dev[IFNAMSIZ];
	uint16_t vxlan_port;
};

extern const struct overlay_mode_ops overlay_vxlan_ops;
extern const struct overlay_mode_ops overlay_none_ops;
extern const struct overlay_mode_ops overlay_wireguard_ops;

/* The peer's or our own overlay address of a family; all zero: none. */
static inline const struct c25_addr *overlay_node_addr(const struct netmap_node *n, bool is4)
{
	return is4 ? &n->overlay4 : &n->overlay6;
}

/* Logs a warning unless the same text was logged before; after many, no more. */
void overlay_warn_once(struct overlay *o, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* "REASON" or "REASON (what the kernel said)"; good until the next call. */
const char *overlay_reason(const struct overlay *o, int err);

/* Whether any device of the host has this address. Negative errno if that cannot be told. */
int overlay_host_has(struct overlay *o, const struct c25_addr *a);

/* Keeps the connectors' neighbour entries resolved, those and no others, and chooses o->via. Logs
 * what failed. */
int overlay_neigh_sync(struct overlay *o, const struct netmap *nm);

/* Magic and peer routes in our table, and the rules that lead there. Logs what failed. */
int overlay_route_sync(struct overlay *o, const struct netmap *nm, const struct prefix *keep,
		       size_t n_keep);

/* For devices that others made: warns where no device of the host has an overlay address of ours.
 * 0. */
int overlay_addresses_check(struct overlay *o, const struct netmap *nm);

/* Warns of pools that overlap routes of the host. */
void overlay_overlap_check(struct overlay *o, const struct netmap *nm);

/* Turns forwarding on for the device where this node's role needs it, and warns where the host
 * as a whole does not forward. */
void overlay_forwarding_sync(struct overlay *o, const struct netmap_node *self);

#endif
