/* SPDX-License-Identifier: BSD-3-Clause */
/* client_lease: how leases end, rest and come back: by disuse, by a new netmap, after a restart. */
#include "client_int.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A lease over its TTL lives on while packets used it within this time: the longest that an
 * established TCP connection may be silent (RFC 5382, REQ-5). */
#define LEASE_IDLE    7440
#define SWEEP_AT_MOST 4096 /* leases asked about in one turn: each costs two map look-ups */

/* A record that only keeps addresses from being lent, until `expires`. Oldest first. */
struct quarantine {
	struct c25_addr magic;
	uint64_t expires;
	struct quarantine *next;
};

static void quarantine_add(struct client *c, const struct c25_addr *magic, uint64_t expires)
{
	struct quarantine *q = calloc(1, sizeof(*q));

	if (!q)
		return; /* its record is dropped at the next start */
	q->magic = *magic;
	q->expires = expires;
	if (c->quarantine_last)
		c->quarantine_last->next = q;
	else
		c->quarantine_first = q;
	c->quarantine_last = q;
}

static void quarantine_expire(struct client *c, uint64_t now)
{
	while (c->quarantine_first && c->quarantine_first->expires <= now) {
		struct quarantine *q = c->quarantine_first;

		maps_lease_del(c->deps.maps, &q->magic);
		c->quarantine_first = q->next;
		if (!q->next)
			c->quarantine_last = NULL;
		free(q);
	}
}

void client_quarantine_free(struct client *c)
{
	while (c->quarantine_first) {
		struct quarantine *q = c->quarantine_first;

		c->quarantine_first = q->next;
		free(q);
	}
}

/* First the record says so, then packets stop, then the connector hears of it. */
void client_end_lease(struct client *c, struct lease *l)
{
	uint64_t now = client_now_s();
	struct c25_lease record = lease_record(l);
	struct c25_addr magic = l->magic;

	record.state = C25_LEASE_QUARANTINE;
	record.expires = now + LEASE_QUARANTINE;
	maps_lease_put(c->deps.maps, &magic, &record);
	quarantine_add(c, &magic, record.expires);
	maps_client_del(c->deps.maps, &magic, &l->transit);
	if (c->deps.wg)
		wg_sync_drop(c->deps.wg, &l->transit);
	registrar_release(c->registrar, l);
	lease_end(c->leases, l, now);
	c->stats.leases_ended++;
}

static uint64_t last_used(const struct client *c, const struct lease *l)
{
	struct c25_transit back;
	struct c25_magic out;
	uint64_t seen = 0;

	if (!maps_magic_get(c->deps.maps, &l->magic, &out))
		seen = out.last_seen;
	if (!maps_transit_get(c->deps.maps, &l->transit, &back) && back.last_seen > seen)
		seen = back.last_seen;
	return seen;
}

struct sweep {
	struct client *c;
	uint64_t now;
	size_t asked;
};

static int sweep_one(struct lease *l, void *ctx)
{
	struct sweep *s = ctx;
	uint64_t seen;

	if (l->expires > s->now)
		return 0;
	if (++s->asked > SWEEP_AT_MOST)
		return 1;
	seen = last_used(s->c, l);
	if (!seen || seen + LEASE_IDLE <= s->now)
		client_end_lease(s->c, l);
	return 0;
}

void client_sweep(struct client *c)
{
	struct sweep s = { .c = c, .now = client_now_s() };

	quarantine_expire(c, s.now);
	lease_each(c->leases, sweep_one, &s);
	client_tick_soon(c);
}

struct restore {
	struct client *c;
	uint64_t now;
	size_t leases, dropped;
};

static int restore_one(const void *key, const void *value, void *ctx)
{
	const struct c25_lease *record = value;
	const struct c25_addr *magic = key;
	struct restore *r = ctx;
	struct lease *l = NULL;
	int err = lease_restore(r->c->leases, &l, magic, record, r->now);

	if (err == -ENOMEM)
		return err;
	if (err) {
		maps_lease_del(r->c->deps.maps, magic);
		r->dropped++;
		return 0;
	}
	if (record->state == C25_LEASE_QUARANTINE) {
		quarantine_add(r->c, magic, record->expires);
		return 0;
	}
	r->leases++;
	/* One still waiting for consent when the daemon died has nobody who waits for it now. */
	if (l->state != C25_LEASE_LIVE)
		return 0;
	return registrar_restore(r->c->registrar, l, l->peer);
}

static int by_expiry(const void *a, const void *b)
{
	const struct quarantine *const *x = a, *const *y = b;

	return (*x)->expires < (*y)->expires ? -1 : (*x)->expires > (*y)->expires;
}

/* The map gives its records in no order; the queue wants the oldest first. */
static int sort_quarantine(struct client *c)
{
	_cleanup_free_ struct quarantine **all = NULL;
	struct quarantine *q;
	size_t n = 0, i = 0;

	for (q = c->quarantine_first; q; q = q->next)
		n++;
	if (!n)
		return 0;
	all = calloc(n, sizeof(struct quarantine *));
	if (!all)
		return -ENOMEM;
	for (q = c->quarantine_first; q; q = q->next)
		all[i++] = q;
	qsort(all, n, sizeof(struct quarantine *), by_expiry);
	for (i = 0; i < n; i++)
		all[i]->next = i + 1 < n ? all[i + 1] : NULL;
	c->quarantine_first = all[0];
	c->quarantine_last = all[n - 1];
	return 0;
}

/* A mapping without a record is nobody's: the daemon died between two writes. */
struct stray {
	struct client *c;
	struct c25_addr (*pairs)[2];
	size_t n, size;
};

static int find_stray(const void *key, const void *value, void *ctx)
{
	const struct c25_magic *m = value;
	struct stray *s = ctx;
	const struct lease *l = lease_by_magic(s->c->leases, key);

	if (l && addr_equal(&l->transit, &m->transit))
		return 0;
	if (s->n == s->size) {
		size_t size = s->size ? 2 * s->size : 64;
		void *more = reallocarray(s->pairs, size, sizeof(s->pairs[0]));

		if (!more)
			return -ENOMEM;
		s->pairs = more;
		s->size = size;
	}
	s->pairs[s->n][0] = *(const struct c25_addr *)key;
	s->pairs[s->n++][1] = m->transit;
	return 0;
}

static int remove_strays(struct client *c)
{
	struct stray s = { .c = c };
	int err = maps_each(c->deps.maps, MAP_MAGIC, find_stray, &s);

	for (size_t i = 0; i < s.n; i++) {
		maps_client_del(c->deps.maps, &s.pairs[i][0], &s.pairs[i][1]);
		if (c->deps.wg)
			wg_sync_drop(c->deps.wg, &s.pairs[i][1]);
	}
	if (s.n)
		log_warn("%zu mappings without a lease were removed", s.n);
	free(s.pairs);
	return err;
}

int client_restore(struct client *c)
{
	struct restore r = { .c = c, .now = client_now_s() };
	int err;

	err = maps_each(c->deps.maps, MAP_LEASES, restore_one, &r);
	if (!err)
		err = sort_quarantine(c);
	if (!err)
		err = remove_strays(c);
	if (err)
		return err;
	if (r.leases)
		log_info("%zu leases taken up from the pinned maps", r.leases);
	if (r.dropped)
		log_warn("%zu lease records were not consistent and were dropped", r.dropped);
	client_reassign(c);
	return 0;
}

static void nobody_waits(struct registrar_wait *w, struct lease *l, enum registrar_outcome outcome,
			 int code)
{
	(void)l;
	(void)outcome;
	(void)code;
	free(w);
}

/* Have it registered anew, with nobody waiting for the answer. */
static void move_lease(struct client *c, struct lease *l, const uint32_t *connectors, size_t n)
{
	struct registrar_wait *w = calloc(1, sizeof(*w));

	if (!w)
		return;
	w->settled = nobody_waits;
	registrar_want(c->registrar, l, connectors, n, w, client_now_ms(c));
}

static int reassign_one(struct lease *l, void *ctx)
{
	uint32_t connectors[REGISTRAR_MAX_CONNECTORS], app_id;
	struct client *c = ctx;
	size_t app = client_match(c, l->domain), n, i;

	if (app == DOMAINS_NONE || app == DOMAINS_SELF ||
	    apps_id(c->deps.apps, c->nm->apps[app].name, &app_id)) {
		client_end_lease(c, l);
		return 0;
	}
	if (l->state != C25_LEASE_LIVE)
		return 0;
	n = client_connectors(c, &c->nm->apps[app], connectors);
	for (i = 0; i < n && connectors[i] != l->peer; i++)
		;
	if (i < n && l->app == app_id)
		return 0;
	registrar_release(c->registrar, l);
	l->app = app_id;
	move_lease(c, l, connectors, n);
	return 0;
}

void client_reassign(struct client *c)
{
	lease_each(c->leases, reassign_one, c);
}
