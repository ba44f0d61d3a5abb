/* SPDX-License-Identifier: BSD-3-Clause */
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct names {
	struct c25_app *apps;
	size_t n_apps;
	struct c25_peer *peers;
};

static int read_app(const void *key, const void *value, void *ctx)
{
	uint32_t id = *(const uint32_t *)key;
	struct names *n = ctx;

	if (id >= n->n_apps) {
		size_t more = id + 16;
		struct c25_app *apps = reallocarray(n->apps, more, sizeof(*apps));

		if (!apps)
			return -ENOMEM;
		memset(apps + n->n_apps, 0, (more - n->n_apps) * sizeof(*apps));
		n->apps = apps;
		n->n_apps = more;
	}
	n->apps[id] = *(const struct c25_app *)value;
	return 0;
}

static int read_peer(const void *key, const void *value, void *ctx)
{
	struct names *n = ctx;

	n->peers[*(const uint32_t *)key] = *(const struct c25_peer *)value;
	return 0;
}

static const char *app_name(const struct names *n, uint32_t id)
{
	return id < n->n_apps ? n->apps[id].name : "";
}

static const char *peer_id(const struct names *n, uint32_t index)
{
	return index < C25_MAX_PEERS ? n->peers[index].id : "";
}

struct reader {
	struct state *s;
	const struct maps *maps;
	struct names names;
	size_t size;
	int err;
};

static void *grow(void *v, size_t n, size_t *size, size_t each)
{
	void *more;

	if (n < *size)
		return v;
	more = reallocarray(v, *size ? 2 * *size : 256, each);
	if (more)
		*size = *size ? 2 * *size : 256;
	return more;
}

static int read_lease(const void *key, const void *value, void *ctx)
{
	struct reader *r = ctx;
	struct state_lease *more, *row;
	struct c25_transit back;
	struct c25_magic out;

	if (((const struct c25_lease *)value)->state == C25_LEASE_QUARANTINE)
		return 0;
	more = grow(r->s->leases, r->s->n_leases, &r->size, sizeof(*more));
	if (!more)
		return -ENOMEM;
	r->s->leases = more;
	row = &more[r->s->n_leases++];
	*row = (struct state_lease){ .magic = *(const struct c25_addr *)key };
	row->lease = *(const struct c25_lease *)value;
	row->app = app_name(&r->names, row->lease.app);
	row->connector = row->lease.state == C25_LEASE_LIVE ? peer_id(&r->names, row->lease.peer) :
							      "";
	if (!maps_magic_get(r->maps, &row->magic, &out)) {
		row->packets = out.packets;
		row->bytes = out.bytes;
		row->last_seen = out.last_seen;
		row->flags = out.flags;
	}
	if (!maps_transit_get(r->maps, &row->lease.transit, &back)) {
		row->packets += back.packets;
		row->bytes += back.bytes;
		if (back.last_seen > row->last_seen)
			row->last_seen = back.last_seen;
	}
	return 0;
}

static int read_mapping(const void *key, const void *value, void *ctx)
{
	struct reader *r = ctx;
	struct state_mapping *more, *row;

	more = grow(r->s->mappings, r->s->n_mappings, &r->size, sizeof(*more));
	if (!more)
		return -ENOMEM;
	r->s->mappings = more;
	row = &more[r->s->n_mappings++];
	*row = (struct state_mapping){ .key = *(const struct c25_mapping_key *)key };
	row->mapping = *(const struct c25_mapping *)value;
	row->app = app_name(&r->names, row->mapping.app);
	row->peer = peer_id(&r->names, row->mapping.peer);
	row->packets = row->mapping.packets;
	row->bytes = row->mapping.bytes;
	row->last_seen = row->mapping.last_seen;
	return 0;
}

static int by_key(const void *a, const void *b)
{
	return memcmp(&((const struct state_mapping *)a)->key,
		      &((const struct state_mapping *)b)->key, sizeof(struct c25_mapping_key));
}

/* A living flow's packets belong to its mapping, which is found by the flow's client and transit. */
static int fold_flow(uint32_t slot, const struct c25_flow *f, void *ctx)
{
	struct reader *r = ctx;
	struct state_mapping like = { .key.transit = f->out.dst }, *row;
	const struct c25_peer *peer;
	bool is4 = addr_is4(&f->out.dst);

	(void)slot;
	if (f->peer >= C25_MAX_PEERS)
		return 0;
	peer = &r->names.peers[f->peer];
	like.key.client = is4 ? peer->overlay4 : peer->overlay6;
	row = bsearch(&like, r->s->mappings, r->s->n_mappings, sizeof(*row), by_key);
	if (!row)
		return 0;
	row->packets += f->packets[0] + f->packets[1];
	row->bytes += f->bytes[0] + f->bytes[1];
	if (f->last_seen > row->last_seen)
		row->last_seen = f->last_seen;
	return 0;
}

/* Labels compared from the last to the first: "a.example.com" stands behind "example.com". */
static int domain_cmp(const char *a, const char *b)
{
	const char *ea = a + strlen(a), *eb = b + strlen(b);

	while (ea > a && eb > b) {
		const char *la = ea, *lb = eb;
		size_t na, nb;
		int cmp;

		while (la > a && la[-1] != '.')
			la--;
		while (lb > b && lb[-1] != '.')
			lb--;
		na = (size_t)(ea - la);
		nb = (size_t)(eb - lb);
		cmp = memcmp(la, lb, na < nb ? na : nb);
		if (cmp || na != nb)
			return cmp ? cmp : na < nb ? -1 : 1;
		ea = la > a ? la - 1 : a;
		eb = lb > b ? lb - 1 : b;
	}
	return ea > a ? 1 : eb > b ? -1 : 0;
}

static int lease_order(const void *x, const void *y)
{
	const struct state_lease *a = x, *b = y;
	int cmp = strcmp(a->app, b->app);

	if (!cmp)
		cmp = domain_cmp(a->lease.domain, b->lease.domain);
	return cmp ? cmp : memcmp(&a->lease.real, &b->lease.real, sizeof(a->lease.real));
}

static int mapping_order(const void *x, const void *y)
{
	const struct state_mapping *a = x, *b = y;
	int cmp = memcmp(&a->key.client, &b->key.client, sizeof(a->key.client));

	if (!cmp)
		cmp = strcmp(a->app, b->app);
	if (!cmp)
		cmp = memcmp(&a->mapping.real, &b->mapping.real, sizeof(a->mapping.real));
	return cmp ? cmp : by_key(x, y);
}

static void sort(void *v, size_t n, size_t each, int (*cmp)(const void *, const void *))
{
	if (n)
		qsort(v, n, each, cmp);
}

int state_read(struct state **out, const struct maps *maps)
{
	_cleanup_(state) struct state *s = calloc(1, sizeof(*s));
	struct reader r = { .s = s, .maps = maps };
	int err;

	if (!s)
		return -ENOMEM;
	s->peers = calloc(C25_MAX_PEERS, sizeof(*s->peers));
	if (!s->peers)
		return -ENOMEM;
	r.names.peers = s->peers;
	err = maps_each(maps, MAP_PEERS, read_peer, &r.names);
	if (!err)
		err = maps_each(maps, MAP_APPS, read_app, &r.names);
	s->apps = r.names.apps;
	if (!err && maps->fd[MAP_LEASES] >= 0)
		err = maps_each(maps, MAP_LEASES, read_lease, &r);
	r.size = 0;
	if (!err && maps->fd[MAP_MAPPINGS] >= 0)
		err = maps_each(maps, MAP_MAPPINGS, read_mapping, &r);
	sort(s->mappings, s->n_mappings, sizeof(*s->mappings), by_key);
	if (!err && maps->fd[MAP_FLOWS] >= 0 && s->n_mappings)
		err = maps_flow_each(maps, fold_flow, &r);
	if (err)
		return err;
	sort(s->leases, s->n_leases, sizeof(*s->leases), lease_order);
	sort(s->mappings, s->n_mappings, sizeof(*s->mappings), mapping_order);
	*out = TAKE_PTR(s);
	return 0;
}

void state_free(struct state *s)
{
	free(s->leases);
	free(s->mappings);
	free(s->apps);
	free(s->peers);
	free(s);
}
