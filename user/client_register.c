/* SPDX-License-Identifier: BSD-3-Clause */
/* client_register: the registrar's transport and its effects on the maps. */
#include "client_int.h"
#include "log.h"
#include "peerapi_msg.h"
#include "policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The registrar gives a request up long before; this only frees what a dead peer holds. */
#define REQUEST_TIMEOUT_MS 5000

struct request {
	struct client *client;
	uint32_t connector;
	uint64_t id;
	struct c25_addr *transit; /* as sent; only where a WireGuard device is to carry them */
	size_t n;
};

static void request_free(struct request *r)
{
	free(r->transit);
	free(r);
}
DEFINE_CLEANUP(request, struct request *, request_free)

static const struct netmap_node *node_of(const struct client *c, uint32_t connector)
{
	const char *id = peers_id(c->deps.peers, connector);

	return id ? netmap_node_by_id(c->nm, id) : NULL;
}

size_t client_connectors(const struct client *c, const struct netmap_app *app,
			 uint32_t out[REGISTRAR_MAX_CONNECTORS])
{
	size_t nodes[REGISTRAR_MAX_CONNECTORS], n, used = 0;

	n = policy_connectors(c->nm, app, netmap_self(c->nm), nodes, REGISTRAR_MAX_CONNECTORS);
	if (n > REGISTRAR_MAX_CONNECTORS)
		n = REGISTRAR_MAX_CONNECTORS;
	for (size_t i = 0; i < n; i++) {
		uint32_t index = peers_index(c->deps.peers, c->nm->nodes[nodes[i]].id);

		if (index != PEERS_NONE)
			out[used++] = index;
	}
	return used;
}

static void count_codes(struct client *c, const int *codes, size_t n)
{
	size_t last = sizeof(c->stats.registrations) / sizeof(c->stats.registrations[0]) - 1;

	for (size_t i = 0; i < n; i++)
		c->stats.registrations[codes[i] >= 0 && (size_t)codes[i] < last ? (size_t)codes[i] :
										  last]++;
}

/* Those agreed to; returns how many. */
static size_t agreed(const struct request *r, const int *codes, size_t n, struct c25_addr *out)
{
	size_t used = 0;

	for (size_t i = 0; i < n && i < r->n; i++)
		if (!codes[i])
			out[used++] = r->transit[i];
	return used;
}

/* The device must carry them before anyone is told. */
static int take_codes(struct request *r, const int *codes, size_t n, const char *epoch)
{
	_cleanup_free_ struct c25_addr *transit = calloc(r->n + 1, sizeof(*transit));
	struct client *c = r->client;
	struct wg_sync *wg = c->deps.wg;
	size_t used;
	int err;

	if (!transit)
		return -ENOMEM;
	used = agreed(r, codes, n, transit);
	err = used ? wg_sync_carry(wg, transit, used, r->connector) : 0;
	if (err)
		return err;
	registrar_reply(c->registrar, r->connector, r->id, codes, n, epoch, client_now_ms(c));
	if (used)
		wg_sync_check(wg, transit, used, r->connector);
	return 0;
}

static int take_reply(struct request *r, const char *body, size_t len)
{
	struct client *c = r->client;
	_cleanup_free_ int *codes = NULL;
	struct peerapi_response response;
	int err = peerapi_response_parse(&response, body, len);

	if (err)
		return err;
	codes = calloc(response.n_results + 1, sizeof(*codes));
	if (!codes) {
		peerapi_response_clear(&response);
		return -ENOMEM;
	}
	for (size_t i = 0; i < response.n_results; i++) {
		codes[i] = response.results[i].code;
		if (codes[i])
			log_debug("connector %s refused: code %d, %s",
				  peers_id(c->deps.peers, r->connector), codes[i],
				  response.results[i].message ? response.results[i].message : "");
	}
	count_codes(c, codes, response.n_results);
	err = take_codes(r, codes, response.n_results, response.epoch);
	peerapi_response_clear(&response);
	return err;
}

static void request_done(void *ctx, int status, const char *body, size_t len, const char *error)
{
	_cleanup_(request) struct request *r = ctx;
	struct client *c = r->client;

	if (status != 200 || take_reply(r, body, len)) {
		c->stats.registration_failures++;
		log_debug("connector %s: %s", peers_id(c->deps.peers, r->connector),
			  !status       ? error :
			  status == 200 ? "answer not readable, or not carried by the device" :
					  "refused the request");
		registrar_failed(c->registrar, r->connector, r->id, client_now_ms(c));
	}
	client_tick_soon(c);
}

/* Own address of the family of the URL's host; else whichever there is. */
static const struct c25_addr *source_for(const struct netmap_node *self, const char *base)
{
	const char *host = strstr(base, "://");
	bool v6 = host && host[3] == '[';

	if (v6)
		return addr_is_zero(&self->overlay6) ? NULL : &self->overlay6;
	return addr_is_zero(&self->overlay4) ? NULL : &self->overlay4;
}

/* 0 once done() is sure to be called. */
static int post(struct client *c, struct request *r, struct lease *const *leases, size_t n,
		const struct c25_addr *release, size_t n_release)
{
	const struct netmap_node *node = node_of(c, r->connector);
	_cleanup_free_ struct peerapi_item *items = calloc(n + 1, sizeof(*items));
	struct peerapi_request msg = {
		.items = items,
		.n_items = n,
		.release = (struct c25_addr *)release,
		.n_release = n_release,
	};
	_cleanup_free_ char *body = NULL;

	if (!items)
		return -ENOMEM;
	if (!node || !node->peer_api)
		return -ENOENT;
	for (size_t i = 0; i < n; i++) {
		int family = addr_is4(&leases[i]->real) ? 4 : 6;

		items[i] = (struct peerapi_item){
			.transit = leases[i]->transit,
			.real = leases[i]->real,
			.transit_family = family,
			.real_family = family,
			.app = (char *)apps_name(c->deps.apps, leases[i]->app),
		};
	}
	body = peerapi_request_print(&msg);
	if (!body)
		return -ENOMEM;
	return peerapi_client_post(c->deps.http, node->peer_api, PEERAPI_PATH,
				   source_for(netmap_self(c->nm), node->peer_api), body,
				   REQUEST_TIMEOUT_MS, request_done, r);
}

/* A request that could not even be made fails like one that was not answered, but not from
 * within send(): the failure waits for the next turn of the loop. */
static void failed_closed(uv_handle_t *h)
{
	free(h);
}

static void failed_now(uv_timer_t *t)
{
	struct request *r = t->data;

	uv_close((uv_handle_t *)t, failed_closed);
	request_done(r, 0, NULL, 0, "request could not be made");
}

static int keep_transit(struct request *r, struct lease *const *leases, size_t n)
{
	if (!r->client->deps.wg || !n)
		return 0;
	r->transit = calloc(n, sizeof(*r->transit));
	if (!r->transit)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		r->transit[r->n++] = leases[i]->transit;
	return 0;
}

static void send_request(void *ctx, uint32_t connector, uint64_t request,
			 struct lease *const *leases, size_t n, const struct c25_addr *release,
			 size_t n_release)
{
	struct client *c = ctx;
	struct request *r = calloc(1, sizeof(*r));
	uv_timer_t *t;

	if (!r)
		return; /* the registrar gives it up by time */
	*r = (struct request){ .client = c, .connector = connector, .id = request };
	if (keep_transit(r, leases, n)) {
		request_free(r);
		return;
	}
	if (!post(c, r, leases, n, release, n_release))
		return;
	t = calloc(1, sizeof(*t));
	if (!t) {
		request_free(r);
		return;
	}
	uv_timer_init(c->deps.loop, t);
	t->data = r;
	uv_timer_start(t, failed_now, 0, 0);
}

static int granted(void *ctx, struct lease *l, uint32_t connector)
{
	struct client *c = ctx;
	struct c25_lease record;
	uint32_t before = l->state == C25_LEASE_LIVE ? l->peer : connector;
	int err;

	/* What the connector before still sends is accepted as well. */
	err = maps_client_put(c->deps.maps, &l->magic, &l->transit, connector, before, 0);
	if (err)
		return log_errno(-err, "write the mapping of %s (--max-mappings)", l->domain);
	l->state = C25_LEASE_LIVE;
	l->peer = connector;
	record = lease_record(l);
	err = maps_lease_put(c->deps.maps, &l->magic, &record);
	if (err)
		return log_errno(-err, "write the lease of %s", l->domain);
	return 0;
}

static void revoked(void *ctx, struct lease *l, int code)
{
	struct client *c = ctx;
	struct c25_lease record;

	log_info("%s: connector %s no longer serves its address (code %d)", l->domain,
		 peers_id(c->deps.peers, l->peer), code);
	if (l->state == C25_LEASE_LIVE)
		maps_client_put(c->deps.maps, &l->magic, &l->transit, l->peer, l->peer,
				C25_MAGIC_DEAD);
	l->state = C25_LEASE_PENDING;
	record = lease_record(l);
	maps_lease_put(c->deps.maps, &l->magic, &record);
}

static void health(void *ctx, uint32_t connector, bool healthy)
{
	struct client *c = ctx;
	const char *id = peers_id(c->deps.peers, connector);

	if (healthy)
		log_info("connector %s answers", id);
	else
		log_warn("connector %s does not answer: check that conn25 runs there and that "
			 "its overlay address is reached",
			 id);
}

const struct registrar_ops client_registrar_ops = {
	.send = send_request,
	.granted = granted,
	.revoked = revoked,
	.health = health,
};
