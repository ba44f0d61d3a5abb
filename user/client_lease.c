/* SPDX-License-Identifier: BSD-3-Clause */
/* client_lease: how leases end, rest and come back: by disuse, by a new netmap, after a restart. */
#include "client_int.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEASE_GRACE 60   /* its answer was held for a while, and counts its TTL from then */
#define SWEEP_SLICE 2048 /* leases looked at in one turn: each may cost two map look-ups */

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

		/* The address may have been lent again already: then the record is the new one's. */
		if (!lease_by_magic(c->leases, &q->magic))
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

	events_tell(c->deps.events, "ended", ev_text("domain", l->domain),
		    ev_addr("destinationIP", &l->real), ev_addr("magicIP", &l->magic));
	record.state = C25_LEASE_QUARANTINE;
	record.expires = now + LEASE_QUARANTINE;
	maps_lease_put(c->deps.maps, &magic, &record);
	quarantine_add(c, &magic, record.expires);
	maps_client_del(c->deps.maps, &magic, &l->transit);
	client_keep_drop(c, l);
	dns_answers_drop(&c->answers, l->domain, addr_is4(&magic));
	if (c->deps.wg)
		wg_sync_drop(c->deps.wg, &l->transit);
	l->state = C25_LEASE_QUARANTINE;
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

/* NULL: this node may not use it, or is itself its connector. */
static const struct client_app *app_of(struct client *c, const struct lease *l)
{
	size_t index = client_match(c, l->domain);

	return index == DOMAINS_NONE || index == DOMAINS_SELF ? NULL : client_app(c, index);
}

static void nobody_waits(struct registrar_wait *w, struct lease *l, enum registrar_outcome outcome,
			 int code)
{
	(void)l;
	(void)outcome;
	(void)code;
	free(w);
}

/* One that was live and then refused may be taken back: a connector may only have read the new
 * netmap later than this node did, or before it. */
static void ask_again(struct client *c, struct lease *l, const struct client_app *app)
{
	struct registrar_wait *w;

	if (l->state != C25_LEASE_PENDING || l->peer == LEASE_NO_PEER)
		return;
	w = calloc(1, sizeof(*w));
	if (!w)
		return;
	w->settled = nobody_waits;
	registrar_want(c->registrar, l, app->connectors, app->n, w, client_now_ms(c));
}

struct sweep {
	struct client *c;
	uint64_t now;
};

static int sweep_one(struct lease *l, void *ctx)
{
	const struct client_app *app;
	struct sweep *s = ctx;
	uint64_t seen;

	if (l->expires + LEASE_GRACE > s->now) {
		app = l->state == C25_LEASE_PENDING ? app_of(s->c, l) : NULL;
		if (app)
			ask_again(s->c, l, app);
		return 0;
	}
	seen = last_used(s->c, l);
	if (!seen || seen + LEASE_IDLE <= s->now)
		client_end_lease(s->c, l);
	return 0;
}

void client_sweep(struct client *c)
{
	struct sweep s = { .c = c, .now = client_now_s() };

	quarantine_expire(c, s.now);
	client_pressure_check(c);
	lease_each_from(c->leases, &c->sweep_at, SWEEP_SLICE, sweep_one, &s);
	client_tick_soon(c);
}

struct restore {
	struct client *c;
	uint64_t now;
	size_t leases, dropped;
};

/* As lease_restore() has it: no record may keep an address for longer than any quarantine. */
static uint64_t rest_until(const struct c25_lease *record, uint64_t now)
{
	return record->expires < now + LEASE_QUARANTINE ? record->expires : now + LEASE_QUARANTINE;
}

static int restore_one(const void *key, const void *value, void *ctx)
{
	const struct c25_lease *record = value;
	const struct c25_addr *magic = key;
	struct restore *r = ctx;
	struct lease *l = NULL;
	int err = -EINVAL;

	/* A connector that never had this number can neither be told nor asked. */
	if (record->state != C25_LEASE_LIVE || peers_id(r->c->deps.peers, record->peer))
		err = lease_restore(r->c->leases, &l, magic, record, r->now);
	if (err == -ENOMEM)
		return err;
	if (err) {
		maps_lease_del(r->c->deps.maps, magic);
		r->dropped++;
		return 0;
	}
	if (record->state == C25_LEASE_QUARANTINE) {
		quarantine_add(r->c, magic, rest_until(record, r->now));
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
struct strays {
	struct client *c;
	struct c25_addr (*pairs)[2];
	size_t n, size;
};

static int stray_add(struct strays *s, const struct c25_addr *magic, const struct c25_addr *transit)
{
	const struct lease *l = lease_by_magic(s->c->leases, magic);

	if (l && addr_equal(&l->transit, transit))
		return 0;
	if (s->n == s->size) {
		size_t size = s->size ? 2 * s->size : 64;
		void *more = reallocarray(s->pairs, size, sizeof(s->pairs[0]));

		if (!more)
			return -ENOMEM;
		s->pairs = more;
		s->size = size;
	}
	s->pairs[s->n][0] = *magic;
	s->pairs[s->n++][1] = *transit;
	return 0;
}

static int look_out(const void *magic, const void *value, void *ctx)
{
	return stray_add(ctx, magic, &((const struct c25_magic *)value)->transit);
}

/* Of the two whose packets are accepted, the one that is not its connector holds it too. */
static void restore_standby(struct client *c, struct lease *l, const struct c25_transit *back)
{
	uint32_t peer2 = back->peer2 & ~C25_TRANSIT_KEPT;
	uint32_t other = back->peer == l->peer ? peer2 : back->peer;

	if (l->state != C25_LEASE_LIVE || other == l->peer || !peers_id(c->deps.peers, other))
		return;
	l->standby = other;
	registrar_restore_standby(c->registrar, l, other);
}

static int look_back(const void *transit, const void *value, void *ctx)
{
	const struct c25_transit *back = value;
	struct strays *s = ctx;
	struct lease *l = lease_by_magic(s->c->leases, &back->magic);

	if (l && addr_equal(&l->transit, transit))
		restore_standby(s->c, l, back);
	return stray_add(s, &back->magic, transit);
}

/* Of a pair that does not belong together only what is nobody's goes. */
static int remove_strays(struct client *c, int (*look)(const void *, const void *, void *),
			 enum map_id map)
{
	struct strays s = { .c = c };
	int err = maps_each(c->deps.maps, map, look, &s);

	for (size_t i = 0; i < s.n; i++) {
		if (map == MAP_MAGIC)
			maps_magic_del(c->deps.maps, &s.pairs[i][0]);
		else
			maps_transit_del(c->deps.maps, &s.pairs[i][1]);
	}
	if (s.n)
		log_warn("%zu entries of %s without a lease were removed", s.n, maps_name(map));
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
		err = remove_strays(c, look_out, MAP_MAGIC);
	if (!err)
		err = remove_strays(c, look_back, MAP_TRANSIT);
	if (!err)
		err = client_keep_restore(c);
	if (err)
		return err;
	if (r.leases)
		log_info("%zu leases taken up from the pinned maps", r.leases);
	if (r.dropped)
		log_warn("%zu lease records were not consistent and were dropped", r.dropped);
	client_reassign(c);
	return 0;
}

void client_retarget(struct client *c, struct lease *l, const struct client_app *app)
{
	bool moved = l->app != app->id;

	l->app = app->id;
	/* Who waits for it asked under another app's name. */
	if (moved && l->state != C25_LEASE_LIVE)
		registrar_release(c->registrar, l);
	registrar_candidates(c->registrar, l, app->connectors, app->n, client_now_ms(c));
	if (moved)
		registrar_changed(c->registrar, l, client_now_ms(c));
}

static int reassign_one(struct lease *l, void *ctx)
{
	struct client *c = ctx;
	const struct client_app *app = app_of(c, l);

	if (!app || !app->n) {
		client_end_lease(c, l);
		return 0;
	}
	client_retarget(c, l, app);
	ask_again(c, l, app);
	return 0;
}

/* After the leases know their other connectors: what these held moves there. */
static void drop_gone(struct client *c)
{
	for (uint32_t i = 0; i < C25_MAX_PEERS; i++) {
		const char *id = peers_id(c->deps.peers, i);
		const struct netmap_node *node = id ? netmap_node_by_id(c->nm, id) : NULL;

		if (id && (!node || !node->connector))
			registrar_drop_connector(c->registrar, i, client_now_ms(c));
	}
}

void client_reassign(struct client *c)
{
	lease_each(c->leases, reassign_one, c);
	drop_gone(c);
}
