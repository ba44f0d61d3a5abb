/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wg_want: which transit addresses the maps want on a WireGuard device, and which are ours at all.
 */
#ifndef WG_WANT_H
#define WG_WANT_H

#include "maps.h"
#include "netmap.h"
#include "wg_plan.h"

/* A connector's place on the device, or WG_NOBODY; `connector` is its index in c25_peers. */
typedef uint32_t (*wg_place_of)(uint32_t connector, const void *ctx);

/*
 * Adds to `plan` what makes `have`, sorted, hold each address of c25_transit at its connector, and
 * no other single address of the netmap's transit pools; `thorough`: nor any other that a record of
 * c25_leases names, as one outside all pools is known by nothing else.
 */
int wg_want_plan(struct wg_places *plan, const struct wg_places *have, const struct maps *maps,
		 const struct netmap *nm, bool thorough, wg_place_of place_of, const void *ctx);

/*
 * Without a daemon: takes everything of ours away from the device that c25_overlay names, if it is
 * a WireGuard device that conn25 used and is still there. Returns how many addresses there were, or
 * a negative errno.
 */
int wg_want_nothing(const struct maps *maps);

#endif
