/* SPDX-License-Identifier: BSD-3-Clause */
#include "client.h"

#include "client_int.h"
#include "client_resolve.h"
#include "dns_name.h"
#include "log.h"
#include "peerapi_msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SWEEP_MS 1000

/* One answer that waits for connectors; lives until the last of its leases is settled. */
struct hold_wait {
	struct registrar_wait wait; /* first: settled() finds the rest from it */
	struct hold *hold;
	struct dns_plan_addr *addr;
	bool linked;
};

struct hold {
	struct dns_query *query;
	struct client *client;
	size_t pending;
	bool adding; /* not all leases are asked for yet: do not finish */
	size_t n;
	struct hold_wait waits[];
};

uint64_t client_now_ms(const struct client *c)
{
	return uv_now(c->deps.loop);
}

uint64_t client_now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec;
}

static size_t match(void *ctx, const struct dns_question *q)
{
	struct client *c = ctx;
	size_t app = domains_match(c->domains, q->name);

	return app == DOMAINS_NONE || app == DOMAINS_SELF ? DNS_MATCH_PASS : app;
}

static void families(void *ctx, bool *has4, bool *has6)
{
	struct client *c = ctx;

	*has4 = lease_has_family(c->leases, true);
	*has6 = lease_has_family(c->leases, false);
}

static void hold_finish(struct hold *h)
{
	struct dns_query *query = h->query;

	dns_query_set_data(query, NULL);
	free(h);
	dns_query_finish(query);
}

static void settled(struct registrar_wait *wait, struct lease *l, enum registrar_outcome outcome,
		    int code)
{
	struct hold_wait *w = (struct hold_wait *)wait;
	struct hold *h = w->hold;

	w->linked = false;
	if (outcome == REGISTRAR_OK) {
		w->addr->magic = l->magic;
		w->addr->state = DNS_ADDR_GRANTED;
	} else if (outcome == REGISTRAR_REFUSED && code == PEERAPI_NO_FAMILY) {
		w->addr->state = DNS_ADDR_NO_FAMILY;
	} else {
		w->addr->state = DNS_ADDR_REFUSED;
	}
	if (--h->pending == 0 && !h->adding)
		hold_finish(h);
}

/* Expiries are rounded up to this, so that a name asked for often is recorded once a minute. */
#define EXPIRY_STEP 64

static uint32_t round_ttl(uint32_t ttl, uint64_t now)
{
	uint64_t rest;

	if (ttl < LEASE_MIN_TTL)
		ttl = LEASE_MIN_TTL;
	if (ttl > LEASE_MAX_TTL - EXPIRY_STEP)
		ttl = LEASE_MAX_TTL - EXPIRY_STEP;
	rest = (now + ttl) % EXPIRY_STEP;
	return rest ? ttl + EXPIRY_STEP - (uint32_t)rest : ttl;
}

/* One time for the answers of a turn. */
static uint64_t turn_s(struct client *c)
{
	uint64_t ms = client_now_ms(c);

	if (ms != c->turn_ms) {
		c->turn_ms = ms;
		c->turn_s = client_now_s();
	}
	return c->turn_s;
}

/* The record must be in the map before anyone hears of the lease. */
static int lend(struct client *c, struct lease **out, const char *domain,
		const struct dns_plan_addr *a, const struct client_app *app)
{
	uint64_t now = turn_s(c);
	uint32_t ttl = round_ttl(a->ttl, now);
	struct lease *l = lease_find(c->leases, domain, &a->real);
	struct c25_lease record;
	int err;

	if (l && l->state == C25_LEASE_LIVE && l->app == app->id && l->expires >= now + ttl) {
		*out = l;
		return 0;
	}
	err = lease_lend(c->leases, &l, domain, &a->real, app->id, ttl, now);
	if (err)
		return err;
	if (l->app != app->id)
		client_retarget(c, l, app);
	record = lease_record(l);
	err = maps_lease_put(c->deps.maps, &l->magic, &record);
	if (err && l->state == C25_LEASE_PENDING) {
		client_end_lease(c, l);
		return err;
	}
	*out = l;
	return 0;
}

/* The lease of one address, or NULL with its state set. */
static struct lease *lend_addr(struct client *c, const char *domain, struct dns_plan_addr *a,
			       const struct client_app *app)
{
	struct lease *l;
	int err = lend(c, &l, domain, a, app);

	if (!err)
		return l;
	if (err == -EAFNOSUPPORT) {
		a->state = DNS_ADDR_NO_FAMILY;
	} else {
		c->stats.pool_dry++;
		events_tell(c->deps.events, "pool-dry", ev_text("domain", domain),
			    ev_addr("destinationIP", &a->real));
		a->state = DNS_ADDR_REFUSED;
	}
	return NULL;
}

static struct hold *hold_new(struct client *c, struct dns_query *query, size_t n)
{
	struct hold *h = calloc(1, sizeof(*h) + n * sizeof(h->waits[0]));

	if (!h)
		return NULL;
	h->query = query;
	h->client = c;
	h->adding = true;
	return h;
}

/* Nothing is held when every lease is live at a healthy connector: the common case. */
static void answered(void *ctx, struct dns_query *query, size_t app, const struct dns_question *q,
		     struct dns_plan *plan)
{
	const struct client_app *to;
	const uint32_t *connectors;
	struct client *c = ctx;
	char domain[DNS_MAX_TEXT];
	struct hold *h = NULL;

	to = client_app(c, app);
	if (!to) {
		dns_query_fail(query);
		return;
	}
	dns_name_text(domain, q->name);
	connectors = client_resolve_order(c->resolve, to);
	for (size_t i = 0; i < plan->n_addrs; i++) {
		struct dns_plan_addr *a = &plan->addrs[i];
		struct hold_wait *w;
		struct lease *l;

		if (a->state != DNS_ADDR_WANTED)
			continue;
		l = lend_addr(c, domain, a, to);
		if (!l)
			continue;
		if (l->state == C25_LEASE_LIVE && registrar_holds(l)) {
			a->magic = l->magic;
			a->state = DNS_ADDR_GRANTED;
			continue;
		}
		if (!h)
			h = hold_new(c, query, plan->n_addrs);
		if (!h) {
			a->state = DNS_ADDR_REFUSED;
			continue;
		}
		w = &h->waits[h->n++];
		*w = (struct hold_wait){ .hold = h, .addr = a, .linked = true };
		w->wait.settled = settled;
		h->pending++;
		registrar_want(c->registrar, l, connectors, to->n, &w->wait, client_now_ms(c));
	}
	if (!h) {
		dns_query_finish(query);
		return;
	}
	h->adding = false;
	if (!h->pending) {
		hold_finish(h);
		return;
	}
	dns_query_set_data(query, h);
	client_tick_soon(c);
}

static void expected(void *ctx, const struct dns_question *q, const uint8_t *msg, size_t len)
{
	struct client *c = ctx;
	char domain[DNS_MAX_TEXT];
	struct c25_addr real;

	if (dns_first_addr(&real, q, msg, len))
		return;
	dns_name_text(domain, q->name);
	lease_expect(c->leases, domain, &real);
}

static void dropped(void *ctx, struct dns_query *query)
{
	struct hold *h = dns_query_data(query);
	struct client *c = ctx;

	if (!h)
		return;
	for (size_t i = 0; i < h->n; i++)
		if (h->waits[i].linked)
			registrar_forget(c->registrar, &h->waits[i].wait);
	free(h);
}

static void served(void *ctx, const struct c25_addr *server, const struct dns_question *q,
		   const struct dns_plan *plan, uint16_t flags)
{
	struct client *c = ctx;

	dns_answers_note(&c->answers, server, q, plan, flags, client_now_s());
}

static bool ask(void *ctx, struct dns_query *query, size_t app, const struct dns_question *q,
		const uint8_t *msg, size_t len)
{
	struct client *c = ctx;

	return client_resolve_ask(c->resolve, query, app, msg, len);
}

static void unask(void *ctx, struct dns_query *query)
{
	client_resolve_unask(query);
}

static const struct dns_proxy_ops proxy_ops = {
	.served = served,
	.match = match,
	.answered = answered,
	.expected = expected,
	.dropped = dropped,
	.families = families,
	.ask = ask,
	.unask = unask,
};

static void on_sweep(uv_timer_t *t)
{
	client_sweep(t->data);
}

static void on_tick(uv_timer_t *t)
{
	struct client *c = t->data;
	uint64_t now = client_now_ms(c), next = registrar_tick(c->registrar, now);

	if (client_fail_unsent(c))
		next = now;
	if (next != UINT64_MAX)
		uv_timer_start(t, on_tick, next > now ? next - now : 0, 0);
}

void client_tick_soon(struct client *c)
{
	uv_timer_start(&c->tick, on_tick, 0, 0);
}

static void start_timers(struct client *c)
{
	uv_timer_init(c->deps.loop, &c->tick);
	uv_timer_init(c->deps.loop, &c->sweep);
	uv_timer_init(c->deps.loop, &c->keep);
	c->tick.data = c;
	c->sweep.data = c;
	c->keep.data = c;
	uv_timer_start(&c->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
	client_tick_soon(c);
}

static void tick_closed(uv_handle_t *h)
{
	free(h->data);
}

static void keep_closed(uv_handle_t *h)
{
	struct client *c = h->data;

	uv_close((uv_handle_t *)&c->tick, tick_closed);
}

static void sweep_closed(uv_handle_t *h)
{
	struct client *c = h->data;

	uv_close((uv_handle_t *)&c->keep, keep_closed);
}

/* The memory goes with the last timer's close. */
void client_free(struct client *c)
{
	if (c->proxy)
		dns_proxy_free(c->proxy);
	client_resolve_free(c->resolve);
	if (c->registrar)
		registrar_free(c->registrar);
	if (c->leases)
		lease_table_free(c->leases);
	if (c->domains)
		domains_free(c->domains);
	client_quarantine_free(c);
	client_keep_free(c);
	client_requests_free(c);
	free(c->apps);
	uv_timer_stop(&c->tick);
	uv_close((uv_handle_t *)&c->sweep, sweep_closed);
}

int client_new(struct client **out, const struct client_deps *deps, const struct netmap *nm)
{
	_cleanup_(client) struct client *c = calloc(1, sizeof(*c));
	const struct config *config = deps->config;
	int err;

	if (!c)
		return log_errno(ENOMEM, "start the client");
	c->deps = *deps;
	c->nm = nm;
	start_timers(c);
	c->apps = calloc(nm->n_apps + 1, sizeof(*c->apps));
	err = c->apps ? domains_new(&c->domains, nm) : -ENOMEM;
	if (!err)
		err = lease_table_new(&c->leases, config->max_mappings);
	if (!err)
		err = lease_set_pools(c->leases, nm->pools);
	if (!err)
		err = registrar_new(&c->registrar, &client_registrar_ops, c,
				    config->answer_timeout);
	if (!err)
		err = client_resolve_new(&c->resolve, c);
	if (!err)
		err = dns_proxy_new(&c->proxy, deps->loop, &proxy_ops, c, config->dns_upstream.v,
				    config->dns_upstream.n);
	if (!err)
		err = dns_answers_init(&c->answers, deps->maps, client_now_s());
	if (!err)
		err = client_restore(c);
	if (err)
		return log_errno(-err, "start the client");
	*out = TAKE_PTR(c);
	return 0;
}

static int listen_on(struct client *c, size_t i, const struct sockaddr *sa)
{
	char text[SOCK_STRLEN];
	int err = dns_proxy_listen(c->proxy, sa);

	if (!err) {
		c->listens |= 1U << i;
		if (c->listen_failed & 1U << i)
			log_info("DNS on %s", sock_print(text, sa));
	} else if (!(c->listen_failed & 1U << i)) {
		c->listen_failed |= 1U << i;
		log_errno(-err, "listen for DNS on %s (--dns-listen)", sock_print(text, sa));
	}
	return err;
}

int client_listen(struct client *c, const struct config_socks *socks)
{
	int err = 0;

	for (size_t i = 0; i < socks->n; i++) {
		int failed = 0;

		if (!(c->listens & 1U << i))
			failed = listen_on(c, i, (const struct sockaddr *)&socks->v[i]);
		err = err ?: failed;
	}
	return err;
}

static int intercept_family(struct client *c, int family, enum c25_sock udp, enum c25_sock tcp)
{
	int fds[2], err;

	err = dns_proxy_intercept(c->proxy, family, &fds[0], &fds[1]);
	if (!err)
		err = maps_sock_put(c->deps.maps, udp, fds[0]);
	if (!err)
		err = maps_sock_put(c->deps.maps, tcp, fds[1]);
	return err;
}

int client_intercept(struct client *c)
{
	int err = intercept_family(c, AF_INET, C25_SOCK_UDP4, C25_SOCK_TCP4), err6 = 0;

	if (!err)
		err6 = intercept_family(c, AF_INET6, C25_SOCK_UDP6, C25_SOCK_TCP6);
	/* Those of a host without IPv6. */
	if (err6 != -EAFNOSUPPORT && err6 != -EADDRNOTAVAIL)
		err = err ?: err6;
	return err ? log_errno(-err, "open the sockets for intercepted DNS") : 0;
}

int client_reload(struct client *c, const struct netmap *nm)
{
	struct client_app *apps = calloc(nm->n_apps + 1, sizeof(*apps));
	struct domains *domains;
	int err = apps ? domains_new(&domains, nm) : -ENOMEM;

	if (!err) {
		domains_free(c->domains);
		c->domains = domains;
		free(c->apps);
		c->apps = TAKE_PTR(apps);
		c->nm = nm;
		dns_proxy_rematch(c->proxy);
		err = lease_set_pools(c->leases, nm->pools);
	}
	free(apps);
	if (err)
		return log_errno(-err, "take up the netmap");
	client_reassign(c);
	client_tick_soon(c);
	return 0;
}

void client_unmapped(struct client *c, const struct c25_addr *transit)
{
	struct lease *l = lease_by_transit(c->leases, transit);

	if (!l || l->state != C25_LEASE_LIVE)
		return;
	events_tell(c->deps.events, "unmapped", ev_text("domain", l->domain),
		    ev_addr("transitIP", transit),
		    ev_text("connector", peers_id(c->deps.peers, l->peer)));
	registrar_again(c->registrar, l, client_now_ms(c));
	client_tick_soon(c);
}

struct lease_table *client_leases(struct client *c)
{
	return c->leases;
}

const struct client_stats *client_stats(const struct client *c)
{
	return &c->stats;
}

const struct dns_proxy_stats *client_dns_stats(const struct client *c)
{
	return dns_proxy_stats(c->proxy);
}

bool client_healthy(const struct client *c, uint32_t connector)
{
	return registrar_healthy(c->registrar, connector);
}

const char *client_domain(struct client *c, const struct c25_addr *a)
{
	const struct lease *l = lease_by_magic(c->leases, a);

	if (!l)
		l = lease_by_transit(c->leases, a);
	return l ? l->domain : NULL;
}

size_t client_match(const struct client *c, const char *name)
{
	uint8_t wire[DNS_MAX_NAME];

	if (dns_name_wire(wire, name) < 0)
		return DOMAINS_NONE;
	return domains_match(c->domains, wire);
}
