/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wg_sync: keeps the transit addresses of c25_transit among the allowed IPs of their connectors'
 * peers on the overlay's WireGuard device.
 *
 * Single addresses inside the netmap's transit pools are taken for ours, whoever wrote them; all
 * others, and wider prefixes, are never touched. A device tells nobody that it was configured
 * anew: it is read and compared every few seconds, and at once when it is another device.
 *
 * A connector needs none of it: packets come to it from addresses that its operator allowed the
 * client, and go back to them. An address is at one peer at a time: what the connector before still
 * sends when a mapping moves does not arrive.
 */
#ifndef WG_SYNC_H
#define WG_SYNC_H

#include "maps.h"
#include "netlink.h"
#include "netmap.h"
#include "peers.h"

#include <uv.h>

struct wg_sync;

/* `maps` must outlive it. */
int wg_sync_new(struct wg_sync **out, uv_loop_t *loop, const struct maps *maps);
/* The loop must run until it is idle afterwards. */
void wg_sync_free(struct wg_sync *s);

/* The netmap in force; before anything else is called. */
void wg_sync_netmap(struct wg_sync *s, const struct netmap *nm, const struct peers *peers);

/* The overlay device as it is now. The first time it is read before this returns, and what failed
 * is logged; later on, only where it is another one, and in the background. */
int wg_sync_device(struct wg_sync *s, const struct netlink_link *link);

/*
 * Before mappings are written: each of these that c25_transit does not have at `connector` yet
 * becomes an allowed IP of it, whoever had it. 0, or a negative errno where packets to it would not
 * arrive; why is logged.
 */
int wg_sync_carry(struct wg_sync *s, const struct c25_addr *transit, size_t n, uint32_t connector);

/* After mappings were written: not all were, perhaps. */
void wg_sync_check(struct wg_sync *s, const struct c25_addr *transit, size_t n, uint32_t connector);

/* The mapping of this one is gone: taken away before the loop sleeps again. */
void wg_sync_drop(struct wg_sync *s, const struct c25_addr *transit);

#endif
