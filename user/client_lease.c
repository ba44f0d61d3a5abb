/* SPDX-License-Identifier: BSD-3-Clause */
/* client_lease: how leases end and rest: by disuse, by a new netmap. */
#include "client_int.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEASE_GRACE 60   /* its answer was held for a while, and counts its TTL from then */
#define SWEEP_SLICE 2048 /* leases looked at in one turn: each may cost two map look-ups */

void client_quarantine_add(struct client *c, const struct c25_addr *magic, uint64_t expires)
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

void client_release_at(struct client *c, uint32_t connector, const struct c25_addr *transit)
{
	if (peers_id(c->deps.peers, connector))
		registrar_release_at(c->registrar, connector, transit);
}

void client_release_everywhere(struct client *c, const char *domain, uint32_t peer,
			       const struct c25_addr *transit)
{
	const struct client_app *app = client_app_of(c, domain);

	client_release_at(c, peer, transit);
	for (size_t i = 0; app && i < app->n; i++)
		if (app->connectors[i] != peer)
			client_release_at(c, app->connectors[i], transit);
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
	client_quarantine_add(c, &magic, record.expires);
	maps_client_del(c->deps.maps, &magic, &l->transit);
	client_keep_drop(c, l);
	dns_answers_drop(&c->answers, l->domain, addr_is4(&magic));
	if (c->deps.wg)
		wg_sync_drop(c->deps.wg, &l->transit);
	l->state = C25_LEASE_QUARANTINE;
	registrar_release(c->registrar, l);
	if (l->restored)
		client_release_everywhere(c, l->domain, l->peer, &l->transit);
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

const struct client_app *client_app_of(struct client *c, const char *domain)
{
	size_t index = client_match(c, domain);

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
		app = l->state == C25_LEASE_PENDING ? client_app_of(s->c, l->domain) : NULL;
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
	const struct client_app *app = client_app_of(c, l->domain);

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
