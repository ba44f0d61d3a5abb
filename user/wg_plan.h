/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wg_plan: what a device's allowed IPs are, what they are to be, and the difference.
 *
 * Pure. Peers are numbers here: their places in the device's sorted list of keys.
 */
#ifndef WG_PLAN_H
#define WG_PLAN_H

#include "wg.h"

#define WG_NOBODY UINT32_MAX

struct wg_place {
	struct c25_addr addr;
	uint32_t peer; /* WG_NOBODY: of no peer that the device has */
};

struct wg_places {
	struct wg_place *v;
	size_t n, size;
};

struct wg_keys {
	struct wg_key *v;
	size_t n, size;
};

int wg_places_add(struct wg_places *p, const struct c25_addr *a, uint32_t peer);
void wg_places_sort(struct wg_places *p); /* by address */
void wg_places_clear(struct wg_places *p);

int wg_keys_add(struct wg_keys *k, const struct wg_key *key);
void wg_keys_clear(struct wg_keys *k);

/* A device as it is: its peers, and the single addresses among their allowed IPs. */
struct wg_view {
	struct wg_keys keys;
	struct wg_places have;
};

/* A wg_each; `ctx` is the view. */
int wg_view_take(const struct wg_key *peer, const struct prefix *p, void *ctx);
/* Sorts both lists. Before it, wg_view_peer() finds nothing. */
int wg_view_finish(struct wg_view *view);
uint32_t wg_view_peer(const struct wg_view *view, const struct wg_key *key);
void wg_view_clear(struct wg_view *view);

/*
 * Adds to `out`, by peer, what turns `have` into `want`, both sorted: addresses that are missing or
 * at another peer, and those of `have` that are ours but not wanted, with WG_NOBODY. Others of
 * `have` are left alone.
 */
int wg_plan(struct wg_places *out, const struct wg_places *have, const struct wg_places *want,
	    bool (*ours)(const struct c25_addr *a, void *ctx), void *ctx);

#endif
