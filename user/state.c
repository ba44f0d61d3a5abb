/* SPDX-License-Identifier: BSD-3-Clause */
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int read_app(const void *key, const void *value, void *ctx)
{
	uint32_t id = *(const uint32_t *)key;
	struct state *s = ctx;

	if (id >= C25_MAX_APPS)
		return 0;
	if (id >= s->n_apps) {
		size_t more = id < 2 * s->n_apps ? 2 * s->n_apps : id + 16;
		struct c25_app *apps = reallocarray(s->apps, more, sizeof(*apps));

		if (!apps)
			return -ENOMEM;
		memset(apps + s->n_apps, 0, (more - s->n_apps) * sizeof(*apps));
		s->apps = apps;
		s->n_apps = more;
	}
	s->apps[id] = *(const struct c25_app *)value;
	s->apps[id].name[C25_NAME_LEN - 1] = 0;
	return 0;
}

static int read_peer(const void *key, const void *value, void *ctx)
{
	struct c25_peer *peer = &((struct state *)ctx)->peers[*(const uint32_t *)key];

	*peer = *(const struct c25_peer *)value;
	peer->id[C25_ID_LEN - 1] = 0;
	return 0;
}

const char *state_app(const struct state *s, uint32_t id)
{
	return id < s->n_apps ? s->apps[id].name : "";
}

const char *state_peer(const struct state *s, uint32_t index)
{
	return index < C25_MAX_PEERS ? s->peers[index].id : "";
}

struct reader {
	struct state *s;
	size_t size;
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

	more = grow(r->s->leases, r->s->n_leases, &r->size, sizeof(*more));
	if (!more)
		return -ENOMEM;
	r->s->leases = more;
	row = &more[r->s->n_leases++];
	*row = (struct state_lease){ .magic = *(const struct c25_addr *)key };
	row->lease = *(const struct c25_lease *)value;
	row->lease.domain[C25_NAME_LEN - 1] = 0;
	row->app = state_app(r->s, row->lease.app);
	row->connector = row->lease.state == C25_LEASE_LIVE ? state_peer(r->s, row->lease.peer) :
							      "";
	return 0;
}

static int by_magic(const void *a, const void *b)
{
	return addr_cmp(&((const struct state_lease *)a)->magic,
			&((const struct state_lease *)b)->magic);
}

static struct state_lease *lease_of(const struct state *s, const struct c25_addr *magic)
{
	struct state_lease like = { .magic = *magic };

	return bsearch(&like, s->leases, s->n_leases, sizeof(like), by_magic);
}

static void add_traffic(struct state_lease *row, uint64_t packets, uint64_t bytes, uint64_t seen)
{
	row->packets += packets;
	row->bytes += bytes;
	if (seen > row->last_seen)
		row->last_seen = seen;
}

static int fold_magic(const void *key, const void *value, void *ctx)
{
	const struct c25_magic *m = value;
	struct state_lease *row = lease_of(((struct reader *)ctx)->s, key);

	if (!row)
		return 0;
	row->flags = m->flags;
	add_traffic(row, m->packets, m->bytes, m->last_seen);
	return 0;
}

static int fold_transit(const void *key, const void *value, void *ctx)
{
	const struct c25_transit *t = value;
	struct state_lease *row = lease_of(((struct reader *)ctx)->s, &t->magic);

	if (row && addr_equal(&row->lease.transit, key))
		add_traffic(row, t->packets, t->bytes, t->last_seen);
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
	row->app = state_app(r->s, row->mapping.app);
	row->peer = state_peer(r->s, row->mapping.peer);
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
	peer = &r->s->peers[f->peer];
	like.key.client = is4 ? peer->overlay4 : peer->overlay6;
	row = bsearch(&like, r->s->mappings, r->s->n_mappings, sizeof(*row), by_key);
	if (!row)
		return 0;
	row->packets += f->count[0].packets + f->count[1].packets;
	row->bytes += f->count[0].bytes + f->count[1].bytes;
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

static int is_resting(const struct state_lease *l)
{
	return l->lease.state == C25_LEASE_QUARANTINE;
}

static int lease_order(const void *x, const void *y)
{
	const struct state_lease *a = x, *b = y;
	int cmp = is_resting(a) - is_resting(b);

	if (!cmp)
		cmp = strcmp(a->app, b->app);
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

/* Batches of each map, joined here: look-ups one by one would hold the daemon's loop for long. */
static int read_leases(struct reader *r, const struct maps *maps)
{
	struct state *s = r->s;
	int err = maps_each(maps, MAP_LEASES, read_lease, r);

	if (err)
		return err;
	sort(s->leases, s->n_leases, sizeof(*s->leases), by_magic);
	err = maps_each(maps, MAP_MAGIC, fold_magic, r);
	if (!err)
		err = maps_each(maps, MAP_TRANSIT, fold_transit, r);
	if (err)
		return err;
	sort(s->leases, s->n_leases, sizeof(*s->leases), lease_order);
	while (s->n_leases && is_resting(&s->leases[s->n_leases - 1])) {
		s->n_leases--;
		s->n_resting++;
	}
	return 0;
}

static int read_mappings(struct reader *r, const struct maps *maps)
{
	struct state *s = r->s;
	int err;

	r->size = 0;
	err = maps_each(maps, MAP_MAPPINGS, read_mapping, r);
	if (err)
		return err;
	sort(s->mappings, s->n_mappings, sizeof(*s->mappings), by_key);
	if (maps->fd[MAP_FLOWS] >= 0 && s->n_mappings)
		err = maps_flow_each(maps, fold_flow, r);
	sort(s->mappings, s->n_mappings, sizeof(*s->mappings), mapping_order);
	return err;
}

int state_read(struct state **out, const struct maps *maps)
{
	_cleanup_(state) struct state *s = calloc(1, sizeof(*s));
	struct reader r = { .s = s };
	int err;

	if (!s)
		return -ENOMEM;
	s->peers = calloc(C25_MAX_PEERS, sizeof(*s->peers));
	if (!s->peers)
		return -ENOMEM;
	err = maps_each(maps, MAP_PEERS, read_peer, s);
	if (!err)
		err = maps_each(maps, MAP_APPS, read_app, s);
	if (!err && maps->fd[MAP_LEASES] >= 0)
		err = read_leases(&r, maps);
	if (!err && maps->fd[MAP_MAPPINGS] >= 0)
		err = read_mappings(&r, maps);
	if (err)
		return err;
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
