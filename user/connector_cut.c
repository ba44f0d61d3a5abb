/* SPDX-License-Identifier: BSD-3-Clause */
#include "connector_cut.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* datapath_revoke() looks at every flow: many mappings together are first asked for theirs. */
#define ONE_BY_ONE 4

struct ended {
	struct c25_mapping_key key;
	bool has_flows;
};

struct connector_cut {
	const struct maps *maps;
	struct datapath *const *datapath;
	uv_timer_t timer;
	struct ended *v;
	size_t n, size;
};

static int by_transit(const void *a, const void *b)
{
	return addr_cmp(&((const struct ended *)a)->key.transit,
			&((const struct ended *)b)->key.transit);
}

static int find_flow(uint32_t slot, const struct c25_flow *f, void *ctx)
{
	struct connector_cut *c = ctx;
	struct ended like = { .key.transit = f->out.dst };
	struct ended *e = bsearch(&like, c->v, c->n, sizeof(like), by_transit);

	(void)slot;
	/* Several clients may have ended the same transit address. */
	while (e && e > c->v && !by_transit(e - 1, &like))
		e--;
	for (; e && e < c->v + c->n && !by_transit(e, &like); e++)
		e->has_flows = true;
	return 0;
}

static void cut(struct connector_cut *c)
{
	bool few = c->n <= ONE_BY_ONE;

	if (!few) {
		qsort(c->v, c->n, sizeof(*c->v), by_transit);
		few = maps_flow_each(c->maps, find_flow, c) != 0;
	}
	for (size_t i = 0; i < c->n; i++)
		if (few || c->v[i].has_flows)
			datapath_revoke(*c->datapath, &c->v[i].key);
	c->n = 0;
}

static void on_cut(uv_timer_t *t)
{
	cut(t->data);
}

static int add(struct connector_cut *c, const struct c25_mapping_key *key)
{
	if (c->n == c->size) {
		size_t size = c->size ? 2 * c->size : 64;
		void *more = reallocarray(c->v, size, sizeof(*c->v));

		if (!more)
			return -ENOMEM;
		c->v = more;
		c->size = size;
	}
	c->v[c->n++] = (struct ended){ .key = *key };
	return 0;
}

void connector_cut_add(struct connector_cut *c, const struct c25_mapping_key *key)
{
	if (add(c, key))
		datapath_revoke(*c->datapath, key);
	else
		uv_timer_start(&c->timer, on_cut, 0, 0);
}

/* The mapping that a flow was made under. False: its peer has no such address any more. */
static bool mapping_of(const struct connector_cut *c, const struct c25_flow *f,
		       struct c25_mapping_key *out)
{
	struct c25_peer peer;

	if (maps_peer_get(c->maps, f->peer, &peer))
		return false;
	out->client = addr_is4(&f->out.dst) ? peer.overlay4 : peer.overlay6;
	out->transit = f->out.dst;
	return !addr_is_zero(&out->client);
}

static int find_orphan(uint32_t slot, const struct c25_flow *f, void *ctx)
{
	struct connector_cut *c = ctx;
	struct c25_mapping_key key;
	struct c25_mapping m;
	int err;

	(void)slot;
	/* One already revoked ends by itself. */
	if (f->state == C25_FLOW_REVOKED || !mapping_of(c, f, &key))
		return 0;
	err = maps_mapping_get(c->maps, &key, &m);
	if (!err && addr_equal(&m.real, &f->in.src))
		return 0;
	/* Flows of one mapping mostly come together. */
	if (c->n && !memcmp(&c->v[c->n - 1].key, &key, sizeof(key)))
		return 0;
	return err && err != -ENOENT ? err : add(c, &key);
}

int connector_cut_orphans(struct connector_cut *c)
{
	int err = maps_flow_each(c->maps, find_orphan, c), n = (int)c->n;

	cut(c);
	return err ? err : n;
}

int connector_cut_new(struct connector_cut **out, uv_loop_t *loop, const struct maps *maps,
		      struct datapath *const *datapath)
{
	struct connector_cut *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->maps = maps;
	c->datapath = datapath;
	uv_timer_init(loop, &c->timer);
	c->timer.data = c;
	*out = c;
	return 0;
}

static void closed(uv_handle_t *h)
{
	struct connector_cut *c = h->data;

	free(c->v);
	free(c);
}

void connector_cut_free(struct connector_cut *c)
{
	cut(c);
	uv_close((uv_handle_t *)&c->timer, closed);
}
