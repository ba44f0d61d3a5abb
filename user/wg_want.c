/* SPDX-License-Identifier: BSD-3-Clause */
#include "wg_want.h"

#include "netlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REMOVE_MS 5000

struct want {
	struct wg_places places;
	wg_place_of place_of;
	const void *ctx;
	uint32_t connector, place; /* the last one looked up */
	bool known;
};

static int want_one(const void *key, const void *value, void *ctx)
{
	const struct c25_transit *t = value;
	struct want *w = ctx;

	if (!w->known || w->connector != t->peer) {
		w->connector = t->peer;
		w->place = w->place_of(t->peer, w->ctx);
		w->known = true;
	}
	return wg_places_add(&w->places, key, w->place);
}

static int place_cmp(const void *a, const void *b)
{
	return addr_cmp(a, b);
}

static bool holds(const struct wg_places *p, const struct c25_addr *a)
{
	return p->n && bsearch(a, p->v, p->n, sizeof(*p->v), place_cmp);
}

/* What is ours: pools, and addresses that only records know. */
struct ours {
	struct range *pools;
	size_t n_pools, size;
	struct wg_places recorded; /* outside of the pools */
};

static bool in_pools(const struct ours *o, const struct c25_addr *a)
{
	for (size_t i = 0; i < o->n_pools; i++)
		if (range_covers(&o->pools[i], a))
			return true;
	return false;
}

static bool is_ours(const struct c25_addr *a, void *ctx)
{
	const struct ours *o = ctx;

	return in_pools(o, a) || holds(&o->recorded, a);
}

static int pool_add(struct ours *o, const struct range *r)
{
	if (o->n_pools == o->size) {
		size_t size = o->size ? 2 * o->size : 8;
		void *more = reallocarray(o->pools, size, sizeof(*r));

		if (!more)
			return -ENOMEM;
		o->pools = more;
		o->size = size;
	}
	o->pools[o->n_pools++] = *r;
	return 0;
}

static int record_one(const void *key, const void *value, void *ctx)
{
	const struct c25_lease *record = value;
	struct ours *o = ctx;

	if (in_pools(o, &record->transit))
		return 0;
	return wg_places_add(&o->recorded, &record->transit, WG_NOBODY);
}

static int transit_one(const void *key, const void *value, void *ctx)
{
	struct ours *o = ctx;

	return in_pools(o, key) ? 0 : wg_places_add(&o->recorded, key, WG_NOBODY);
}

static void ours_clear(struct ours *o)
{
	free(o->pools);
	wg_places_clear(&o->recorded);
}

/* A node that is no client has no such map: there is nothing in it. */
static int each(const struct maps *maps, enum map_id id,
		int (*one)(const void *key, const void *value, void *ctx), void *ctx)
{
	int err = maps_each(maps, id, one, ctx);

	return err == -EBADF ? 0 : err;
}

static int ours_of_netmap(struct ours *o, const struct netmap *nm)
{
	static const enum netmap_pool pools[] = { NETMAP_V4_TRANSIT, NETMAP_V6_TRANSIT };
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(pools); i++)
		for (size_t j = 0; j < nm->pools[pools[i]].n && !err; j++)
			err = pool_add(o, &nm->pools[pools[i]].v[j]);
	return err;
}

int wg_want_plan(struct wg_places *plan, const struct wg_places *have, const struct maps *maps,
		 const struct netmap *nm, bool thorough, wg_place_of place_of, const void *ctx)
{
	__attribute__((cleanup(ours_clear))) struct ours ours = { 0 };
	struct want w = { .place_of = place_of, .ctx = ctx };
	int err = ours_of_netmap(&ours, nm);

	if (!err && thorough)
		err = each(maps, MAP_LEASES, record_one, &ours);
	if (!err)
		err = each(maps, MAP_TRANSIT, want_one, &w);
	wg_places_sort(&ours.recorded);
	wg_places_sort(&w.places);
	if (!err)
		err = wg_plan(plan, have, &w.places, is_ours, &ours);
	wg_places_clear(&w.places);
	return err;
}

static int net_one(const void *key, const void *value, void *ctx)
{
	const struct c25_net_key *k = key;
	const struct c25_net *net = value;
	struct prefix p = { .addr = k->addr, .len = (uint8_t)k->prefixlen };
	struct range r;

	if (net->kind != C25_NET_TRANSIT)
		return 0;
	r = range_of_prefix(&p);
	return pool_add(ctx, &r);
}

static int ours_of_maps(struct ours *o, const struct maps *maps)
{
	int err = each(maps, MAP_NETS, net_one, o);

	if (!err)
		err = each(maps, MAP_LEASES, record_one, o);
	if (!err)
		err = each(maps, MAP_TRANSIT, transit_one, o);
	wg_places_sort(&o->recorded);
	return err;
}

static int view_read(struct wg_view *view, const struct wg_device *d)
{
	_cleanup_(wg_get) struct wg_get *g = NULL;
	int err = wg_get_start(&g, d, wg_view_take, view);

	if (!err)
		err = wg_get_wait(g, REMOVE_MS);
	return err ? err : wg_view_finish(view);
}

static int take_away(const struct wg_device *d, const struct ours *ours)
{
	const struct wg_places none = { 0 };
	_cleanup_free_ struct wg_change *v = NULL;
	struct wg_places plan = { 0 };
	struct wg_view view = { 0 };
	size_t n = 0;
	int err = view_read(&view, d);

	if (!err)
		err = wg_plan(&plan, &view.have, &none, is_ours, (void *)ours);
	if (!err) {
		v = calloc(plan.n + 1, sizeof(*v));
		err = v ? 0 : -ENOMEM;
	}
	for (; !err && n < plan.n; n++)
		v[n] = (struct wg_change){ .addr = plan.v[n].addr, .nobody = true };
	if (!err)
		err = wg_set(d, v, n);
	wg_places_clear(&plan);
	wg_view_clear(&view);
	return err ? err : (int)n;
}

/* Found by its number: one of the same name may be another. */
static int device_find(struct wg_device *d, uint32_t ifindex)
{
	_cleanup_(netlink) struct netlink *nl = NULL;
	struct netlink_link link;
	int err = netlink_open(&nl);

	if (!err)
		err = netlink_link_get_index(nl, ifindex, &link);
	if (err)
		return err;
	memcpy(d->name, link.name, sizeof(d->name));
	d->kernel = !strcmp(link.kind, "wireguard");
	return 0;
}

int wg_want_nothing(const struct maps *maps)
{
	__attribute__((cleanup(ours_clear))) struct ours ours = { 0 };
	struct c25_overlay o;
	struct wg_device d;
	int err = maps_overlay_get(maps, &o);

	if (err || !o.wireguard || !o.ifindex)
		return err;
	err = device_find(&d, o.ifindex);
	if (err)
		return err == -ENODEV ? 0 : err;
	err = ours_of_maps(&ours, maps);
	return err ? err : take_away(&d, &ours);
}
