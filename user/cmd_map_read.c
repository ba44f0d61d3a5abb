/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd_map_read.h"

#include "cleanup.h"

#include <errno.h>
#include <string.h>

/* Room for one entry more; the array doubles. */
static int make_room(void **array, size_t *room, size_t used, size_t size)
{
	size_t more = *room ? *room * 2 : 64;
	void *grown;

	if (used < *room)
		return 0;
	grown = reallocarray(*array, more, size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*room = more;
	return 0;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static int add_client(const void *key, const void *value, void *ctx)
{
	struct view *v = ctx;
	struct view_client *c;
	struct c25_magic out = { 0 };
	struct c25_transit back = { 0 };
	int err;

	err = make_room((void **)&v->clients, &v->room, v->n_clients, sizeof(*c));
	if (err)
		return err;
	c = &v->clients[v->n_clients++];
	memcpy(&c->magic, key, sizeof(c->magic));
	memcpy(&c->lease, value, sizeof(c->lease));
	c->lease.domain[sizeof(c->lease.domain) - 1] = 0;
	/* A lease in quarantine may have neither any more. */
	err = maps_magic_get(v->maps, &c->magic, &out);
	if (err && err != -ENOENT)
		return err;
	err = maps_transit_get(v->maps, &c->lease.transit, &back);
	if (err && err != -ENOENT)
		return err;
	c->flags = out.flags;
	c->packets = out.packets + back.packets;
	c->bytes = out.bytes + back.bytes;
	c->last_seen = later(out.last_seen, back.last_seen);
	return 0;
}

static int add_flow(uint32_t slot, const struct c25_flow *f, void *ctx)
{
	struct view *v = ctx;
	int err = make_room((void **)&v->flows, &v->room, v->n_flows, sizeof(*f));

	if (!err)
		v->flows[v->n_flows++] = *f;
	return err;
}

static int add_mapping(const void *key, const void *value, void *ctx)
{
	struct view *v = ctx;
	struct view_mapping *m;
	int err = make_room((void **)&v->mappings, &v->room, v->n_mappings, sizeof(*m));

	if (err)
		return err;
	m = &v->mappings[v->n_mappings++];
	memcpy(&m->key, key, sizeof(m->key));
	memcpy(&m->mapping, value, sizeof(m->mapping));
	return 0;
}

/* From the root down, so that names of one domain stand together. */
static int domain_cmp(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);

	while (na && nb) {
		size_t la = na, lb = nb;
		int c;

		while (la && a[la - 1] != '.')
			la--;
		while (lb && b[lb - 1] != '.')
			lb--;
		c = strncmp(a + la, b + lb, na - la < nb - lb ? na - la : nb - lb);
		if (c)
			return c;
		if (na - la != nb - lb)
			return na - la < nb - lb ? -1 : 1;
		na = la ? la - 1 : 0;
		nb = lb ? lb - 1 : 0;
	}
	return (na > 0) - (nb > 0);
}

static int client_cmp(const void *a, const void *b)
{
	const struct view_client *x = a, *y = b;
	int c = domain_cmp(x->lease.domain, y->lease.domain);

	return c ? c : addr_cmp(&x->lease.real, &y->lease.real);
}

/* A flow belongs to the mapping of its peer and transit address. */
static int mapping_cmp(const void *a, const void *b)
{
	const struct view_mapping *x = a, *y = b;

	if (x->mapping.peer != y->mapping.peer)
		return x->mapping.peer < y->mapping.peer ? -1 : 1;
	return addr_cmp(&x->key.transit, &y->key.transit);
}

static int flow_cmp(const void *a, const void *b)
{
	return memcmp(&((const struct c25_flow *)a)->out, &((const struct c25_flow *)b)->out,
		      sizeof(struct c25_tuple));
}

static void sort(void *array, size_t n, size_t size, int (*cmp)(const void *, const void *))
{
	if (n)
		qsort(array, n, size, cmp);
}

int view_read_clients(struct view *v)
{
	int err;

	v->room = 0;
	err = maps_each(v->maps, MAP_LEASES, add_client, v);
	sort(v->clients, v->n_clients, sizeof(*v->clients), client_cmp);
	return err;
}

int view_read_flows(struct view *v)
{
	int err;

	v->room = 0;
	err = maps_flow_each(v->maps, add_flow, v);
	sort(v->flows, v->n_flows, sizeof(*v->flows), flow_cmp);
	return err;
}

int view_read_mappings(struct view *v)
{
	int err;

	v->room = 0;
	err = maps_each(v->maps, MAP_MAPPINGS, add_mapping, v);
	sort(v->mappings, v->n_mappings, sizeof(*v->mappings), mapping_cmp);
	for (size_t i = 0; i < v->n_flows && v->n_mappings; i++) {
		const struct c25_flow *f = &v->flows[i];
		struct view_mapping wanted = {
			.key.transit = f->out.dst,
			.mapping.peer = f->peer,
		};
		struct view_mapping *m =
			bsearch(&wanted, v->mappings, v->n_mappings, sizeof(wanted), mapping_cmp);

		if (!m)
			continue;
		m->mapping.packets += f->packets[0] + f->packets[1];
		m->mapping.bytes += f->bytes[0] + f->bytes[1];
		m->mapping.last_seen = later(m->mapping.last_seen, f->last_seen);
	}
	return err;
}

void view_free(struct view *v)
{
	free(v->clients);
	free(v->mappings);
	free(v->flows);
}
