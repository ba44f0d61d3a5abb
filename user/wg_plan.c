/* SPDX-License-Identifier: BSD-3-Clause */
#include "wg_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *v, size_t n, size_t *size, size_t each)
{
	size_t more = *size ? 2 * *size : 64;

	if (n < *size)
		return v;
	v = reallocarray(v, more, each);
	if (v)
		*size = more;
	return v;
}

int wg_places_add(struct wg_places *p, const struct c25_addr *a, uint32_t peer)
{
	struct wg_place *v = grown(p->v, p->n, &p->size, sizeof(*v));

	if (!v)
		return -ENOMEM;
	p->v = v;
	v[p->n++] = (struct wg_place){ .addr = *a, .peer = peer };
	return 0;
}

static int by_addr(const void *a, const void *b)
{
	return addr_cmp(&((const struct wg_place *)a)->addr, &((const struct wg_place *)b)->addr);
}

static int by_peer(const void *a, const void *b)
{
	uint32_t x = ((const struct wg_place *)a)->peer, y = ((const struct wg_place *)b)->peer;

	return x < y ? -1 : x > y ? 1 : by_addr(a, b);
}

void wg_places_sort(struct wg_places *p)
{
	if (p->n)
		qsort(p->v, p->n, sizeof(*p->v), by_addr);
}

void wg_places_clear(struct wg_places *p)
{
	free(p->v);
	memset(p, 0, sizeof(*p));
}

int wg_keys_add(struct wg_keys *k, const struct wg_key *key)
{
	struct wg_key *v = grown(k->v, k->n, &k->size, sizeof(*v));

	if (!v)
		return -ENOMEM;
	k->v = v;
	v[k->n++] = *key;
	return 0;
}

void wg_keys_clear(struct wg_keys *k)
{
	free(k->v);
	memset(k, 0, sizeof(*k));
}

/* While it is read, places name peers in the order they came in; the last one came last. */
int wg_view_take(const struct wg_key *peer, const struct prefix *p, void *ctx)
{
	struct wg_view *view = ctx;
	struct wg_keys *k = &view->keys;

	if (!p)
		return k->n && !wg_key_cmp(&k->v[k->n - 1], peer) ? 0 : wg_keys_add(k, peer);
	if (p->len != 128)
		return 0;
	return wg_places_add(&view->have, &p->addr, (uint32_t)(k->n - 1));
}

struct key_order {
	struct wg_key key;
	uint32_t was;
};

static int by_key(const void *a, const void *b)
{
	return wg_key_cmp(a, b);
}

int wg_view_finish(struct wg_view *view)
{
	struct wg_keys *k = &view->keys;
	struct key_order *order = calloc(k->n + 1, sizeof(*order));
	uint32_t *now = calloc(k->n + 1, sizeof(*now));

	if (!order || !now) {
		free(order);
		free(now);
		return -ENOMEM;
	}
	for (size_t i = 0; i < k->n; i++)
		order[i] = (struct key_order){ k->v[i], (uint32_t)i };
	qsort(order, k->n, sizeof(*order), by_key);
	for (size_t i = 0; i < k->n; i++) {
		k->v[i] = order[i].key;
		now[order[i].was] = (uint32_t)i;
	}
	for (size_t i = 0; i < view->have.n; i++)
		view->have.v[i].peer = now[view->have.v[i].peer];
	wg_places_sort(&view->have);
	free(order);
	free(now);
	return 0;
}

uint32_t wg_view_peer(const struct wg_view *view, const struct wg_key *key)
{
	const struct wg_key *found =
		view->keys.n ? bsearch(key, view->keys.v, view->keys.n, sizeof(*key), by_key) :
			       NULL;

	return found ? (uint32_t)(found - view->keys.v) : WG_NOBODY;
}

void wg_view_clear(struct wg_view *view)
{
	wg_keys_clear(&view->keys);
	wg_places_clear(&view->have);
}

int wg_plan(struct wg_places *out, const struct wg_places *have, const struct wg_places *want,
	    bool (*ours)(const struct c25_addr *a, void *ctx), void *ctx)
{
	size_t h = 0, w = 0;
	int err = 0;

	while (!err && (h < have->n || w < want->n)) {
		int c = h == have->n ? 1 : w == want->n ? -1 : by_addr(&have->v[h], &want->v[w]);

		if (c < 0) {
			if (ours(&have->v[h].addr, ctx))
				err = wg_places_add(out, &have->v[h].addr, WG_NOBODY);
			h++;
		} else if (c > 0) {
			if (want->v[w].peer != WG_NOBODY)
				err = wg_places_add(out, &want->v[w].addr, want->v[w].peer);
			w++;
		} else {
			if (have->v[h].peer != want->v[w].peer)
				err = wg_places_add(out, &want->v[w].addr, want->v[w].peer);
			h++;
			w++;
		}
	}
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), by_peer);
	return err;
}
