/* SPDX-License-Identifier: BSD-3-Clause */
/* client_register: the registrar's transport and its effects on the maps. */
#include "client_int.h"
#include "log.h"
#include "peerapi_msg.h"
#include "policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* The registrar gives a request up long before; this only frees what a dead peer holds. */
#define REQUEST_TIMEOUT_MS 5000

struct request {
	struct client *client;
	struct request *prev, *next;
	struct peerapi_call *call;
	uint32_t connector;
	uint64_t id;
	size_t n;
	size_t carried; /* the first so many are a WireGuard device's to carry */
	struct c25_addr transit[];
};

const struct netmap_node *client_node(const struct client *c, uint32_t connector)
{
	const char *id = peers_id(c->deps.peers, connector);

	return id ? netmap_node_by_id(c->nm, id) : NULL;
}

const struct client_app *client_app(struct client *c, size_t index)
{
	const struct netmap_app *app = &c->nm->apps[index];
	struct client_app *a = &c->apps[index];
	size_t nodes[REGISTRAR_MAX_CONNECTORS], n;

	if (a->known)
		return a;
	if (apps_id(c->deps.apps, app->name, &a->id))
		return NULL;
	n = policy_connectors(c->nm, app, netmap_self(c->nm), nodes, REGISTRAR_MAX_CONNECTORS);
	for (size_t i = 0; i < n && i < REGISTRAR_MAX_CONNECTORS; i++) {
		uint32_t peer = peers_index(c->deps.peers, c->nm->nodes[nodes[i]].id);

		if (peer != PEERS_NONE)
			a->connectors[a->n++] = peer;
	}
	a->known = true;
	return a;
}

static void count_codes(struct client *c, const int *codes, size_t n)
{
	size_t last = sizeof(c->stats.registrations) / sizeof(c->stats.registrations[0]) - 1;

	for (size_t i = 0; i < n; i++)
		c->stats.registrations[codes[i] >= 0 && (size_t)codes[i] < last ? (size_t)codes[i] :
										  last]++;
}

/* The device must carry those agreed to before anyone is told. */
static int take_codes(struct request *r, const int *codes, size_t n, const char *epoch)
{
	struct client *c = r->client;
	size_t used = 0;
	int err = 0;

	for (size_t i = 0; i < n && i < r->carried; i++)
		if (!codes[i])
			r->transit[used++] = r->transit[i];
	if (used)
		err = wg_sync_carry(c->deps.wg, r->transit, used, r->connector);
	if (err)
		return err;
	registrar_reply(c->registrar, r->connector, r->id, codes, n, epoch, client_now_ms(c));
	if (used)
		wg_sync_check(c->deps.wg, r->transit, used, r->connector);
	return 0;
}

static void tell_refused(const struct request *r, size_t i, const struct peerapi_result *result)
{
	const struct client *c = r->client;
	const struct lease *l = i < r->n ? lease_by_transit(c->leases, &r->transit[i]) : NULL;

	log_debug("connector %s refused: code %d, %s", peers_id(c->deps.peers, r->connector),
		  result->code, result->message ? result->message : "");
	events_tell(c->deps.events, "refused", ev_text("domain", l ? l->domain : NULL),
		    ev_addr("destinationIP", l ? &l->real : NULL),
		    ev_text("connector", peers_id(c->deps.peers, r->connector)),
		    ev_number("code", (uint64_t)result->code), ev_text("message", result->message));
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
			tell_refused(r, i, &response.results[i]);
	}
	count_codes(c, codes, response.n_results);
	err = take_codes(r, codes, response.n_results, response.epoch);
	peerapi_response_clear(&response);
	return err;
}

/* Its host is there, and no daemon on it. */
static bool is_reset(int err)
{
	return err == ECONNREFUSED || err == ECONNRESET || err == EPIPE;
}

static void request_done(void *ctx, int status, const char *body, size_t len, const char *error)
{
	_cleanup_free_ struct request *r = ctx;
	struct client *c = r->client;

	DL_DELETE(c->requests, r);
	if (status != 200 || take_reply(r, body, len)) {
		c->stats.registration_failures++;
		c->why = !status       ? error :
			 status == 200 ? "answer not readable, or its addresses not carried" :
			 status == 403 ? "it does not take this node for a peer (403)" :
					 "it refused the request";
		log_debug("connector %s: %s", peers_id(c->deps.peers, r->connector), c->why);
		registrar_failed(c->registrar, r->connector, r->id,
				 status || is_reset(peerapi_client_errno(r->call)) ?
					 REGISTRAR_PRESENT :
					 REGISTRAR_SILENT,
				 client_now_ms(c));
		c->why = NULL;
	}
	client_tick_soon(c);
}

const char *client_base(const struct client *c, const struct netmap_node *node)
{
	return c->deps.tls && node->peer_api_tls ? node->peer_api_tls : node->peer_api;
}

const struct c25_addr *client_source(const struct client *c, const char *base)
{
	const struct netmap_node *self = netmap_self(c->nm);
	const char *host = strstr(base, "://");
	bool v6 = host && host[3] == '[';

	if (v6)
		return addr_is_zero(&self->overlay6) ? NULL : &self->overlay6;
	return addr_is_zero(&self->overlay4) ? NULL : &self->overlay4;
}

/* 0 once done() is sure to be called. */
static int post(struct client *c, struct request *r, const struct registrar_message *m)
{
	const struct netmap_node *node = client_node(c, r->connector);
	_cleanup_free_ struct peerapi_item *items = calloc(m->n + 1, sizeof(*items));
	struct peerapi_request msg = {
		.items = items,
		.n_items = m->n,
		.release = (struct c25_addr *)m->release,
		.n_release = m->n_release,
	};
	_cleanup_free_ char *body = NULL;
	const char *base;

	if (!items)
		return -ENOMEM;
	base = node ? client_base(c, node) : NULL;
	if (!base)
		return -ENOENT;
	for (size_t i = 0; i < m->n; i++) {
		const struct lease *l = m->leases[i];
		int family = addr_is4(&l->real) ? 4 : 6;

		items[i] = (struct peerapi_item){
			.transit = l->transit,
			.real = l->real,
			.transit_family = family,
			.real_family = family,
			.app = (char *)apps_name(c->deps.apps, l->app),
		};
	}
	body = peerapi_request_print(&msg);
	if (!body)
		return -ENOMEM;
	return peerapi_client_send(c->deps.http,
				   &(struct peerapi_post){
					   .base = base,
					   .node = node,
					   .path = PEERAPI_PATH,
					   .source = client_source(c, base),
					   .type = "application/json",
					   .body = body,
					   .len = strlen(body),
					   .timeout_ms = REQUEST_TIMEOUT_MS,
				   },
				   request_done, r, &r->call);
}

/* A device carries an address to one connector: a standby's only once it takes over. */
static void send_request(void *ctx, uint32_t connector, uint64_t request,
			 const struct registrar_message *m)
{
	struct client *c = ctx;
	struct request *r = calloc(1, sizeof(*r) + m->n * sizeof(r->transit[0]));

	if (!r)
		return; /* the registrar gives it up by time */
	r->client = c;
	r->connector = connector;
	r->id = request;
	r->carried = c->deps.wg ? m->n - m->n_standby : 0;
	for (; r->n < m->n; r->n++)
		r->transit[r->n] = m->leases[r->n]->transit;
	if (!post(c, r, m))
		DL_APPEND(c->requests, r);
	else
		DL_APPEND(c->unsent, r);
}

static void cancel_request(void *ctx, uint32_t connector, uint64_t request)
{
	struct client *c = ctx;
	struct request *r;

	DL_FOREACH (c->requests, r) {
		if (r->connector != connector || r->id != request)
			continue;
		c->stats.registration_failures++;
		peerapi_client_cancel(r->call);
		DL_DELETE(c->requests, r);
		free(r);
		return;
	}
}

/* A request that could not even be made fails like one that was not answered, but not from within
 * send(). */
bool client_fail_unsent(struct client *c)
{
	bool any = c->unsent;

	while (c->unsent) {
		_cleanup_free_ struct request *r = c->unsent;

		DL_DELETE(c->unsent, r);
		c->stats.registration_failures++;
		log_debug("connector %s: request could not be made",
			  peers_id(c->deps.peers, r->connector));
		registrar_failed(c->registrar, r->connector, r->id, REGISTRAR_SILENT,
				 client_now_ms(c));
	}
	return any;
}

void client_requests_free(struct client *c)
{
	struct request *r, *next;

	DL_CONCAT(c->requests, c->unsent);
	DL_FOREACH_SAFE (c->requests, r, next)
		free(r);
}

static void tell_granted(const struct client *c, const struct lease *l, uint32_t connector)
{
	const char *id = peers_id(c->deps.peers, connector);
	bool live = l->state == C25_LEASE_LIVE;

	if (live && l->peer == connector)
		return;
	events_tell(c->deps.events, live ? "moved" : "registered", ev_text("domain", l->domain),
		    ev_text("app", apps_name(c->deps.apps, l->app)),
		    ev_addr("destinationIP", &l->real), ev_addr("magicIP", &l->magic),
		    ev_addr("transitIP", &l->transit),
		    ev_text("from", live ? peers_id(c->deps.peers, l->peer) : NULL),
		    ev_text("connector", id));
}

/* `second`: the other one whose packets are accepted; LEASE_NO_PEER: none. */
static int write_mapping(struct client *c, const struct lease *l, uint32_t connector,
			 uint32_t second, bool kept)
{
	if (second == LEASE_NO_PEER)
		second = connector;
	return maps_client_put(c->deps.maps, &l->magic, &l->transit, connector,
			       second | (kept ? C25_TRANSIT_KEPT : 0), kept ? C25_MAGIC_KEPT : 0);
}

static int granted(void *ctx, struct lease *l, uint32_t connector)
{
	struct client *c = ctx;
	struct c25_lease record = lease_record(l);
	bool moves = l->state == C25_LEASE_LIVE && l->peer != connector;
	bool kept = moves ? client_keep_move(c, l) : client_kept(c, l) != LEASE_NO_PEER;
	/* What the connector before still sends is accepted as well. */
	uint32_t second = moves ? l->peer : l->standby;
	int err;

	err = write_mapping(c, l, connector, second, kept);
	if (err)
		return log_errno(-err, "write the mapping of %s (--max-mappings)", l->domain);
	record.state = C25_LEASE_LIVE;
	record.peer = connector;
	err = maps_lease_put(c->deps.maps, &l->magic, &record);
	if (err)
		return log_errno(-err, "write the lease of %s", l->domain);
	tell_granted(c, l, connector);
	l->state = C25_LEASE_LIVE;
	l->peer = connector;
	l->standby = second == connector ? LEASE_NO_PEER : second;
	return 0;
}

static void revoked(void *ctx, struct lease *l, int code)
{
	struct client *c = ctx;
	struct c25_lease record;

	log_info("%s: connector %s no longer serves its address (code %d)", l->domain,
		 peers_id(c->deps.peers, l->peer), code);
	events_tell(c->deps.events, "revoked", ev_text("domain", l->domain),
		    ev_addr("magicIP", &l->magic),
		    ev_text("connector", peers_id(c->deps.peers, l->peer)),
		    ev_number("code", (uint64_t)code));
	if (l->state == C25_LEASE_LIVE)
		maps_client_put(c->deps.maps, &l->magic, &l->transit, l->peer, l->peer,
				C25_MAGIC_DEAD);
	client_keep_drop(c, l);
	l->state = C25_LEASE_PENDING;
	record = lease_record(l);
	maps_lease_put(c->deps.maps, &l->magic, &record);
}

static void health(void *ctx, uint32_t connector, bool healthy)
{
	struct client *c = ctx;
	const char *id = peers_id(c->deps.peers, connector);

	const char *why = c->why ? c->why : "no answer in time";

	/* c25_down is for answers given in the kernel, and for a daemon that comes after this one. */
	if (healthy) {
		maps_down_del(c->deps.maps, connector);
		log_info("connector %s answers", id);
		events_tell(c->deps.events, "connector-up", ev_text("connector", id));
		return;
	}
	maps_down_put(c->deps.maps, connector);
	log_warn("connector %s does not answer (%s): check that conn25 runs there and that its "
		 "overlay address is reached",
		 id, why);
	events_tell(c->deps.events, "connector-down", ev_text("connector", id),
		    ev_text("why", why));
}

static int carry(void *ctx, uint32_t connector, struct lease *const *leases, size_t n)
{
	struct client *c = ctx;
	_cleanup_free_ struct c25_addr *transit = NULL;

	if (!c->deps.wg)
		return 0;
	transit = calloc(n, sizeof(*transit));
	if (!transit)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		transit[i] = leases[i]->transit;
	return wg_sync_carry(c->deps.wg, transit, n, connector);
}

/* Written down, so that a daemon which comes after this one knows who holds it. */
static void standby(void *ctx, struct lease *l, uint32_t connector)
{
	struct client *c = ctx;

	l->standby = connector == REGISTRAR_NONE ? LEASE_NO_PEER : connector;
	if (client_kept(c, l) != l->standby)
		client_keep_end(c, l);
	if (l->state == C25_LEASE_LIVE)
		write_mapping(c, l, l->peer, l->standby, client_kept(c, l) != LEASE_NO_PEER);
}

/* Where single flows cannot be told apart, all stay. */
static bool forwards(void *ctx, const struct lease *l, enum registrar_failure how)
{
	const struct client *c = ctx;
	struct c25_kept stamps;

	return c->deps.wg && client_answered(c, l, how, &stamps);
}

static bool keeps(void *ctx, const struct lease *l)
{
	return client_kept(ctx, l) != LEASE_NO_PEER;
}

const struct registrar_ops client_registrar_ops = {
	.send = send_request,
	.cancel = cancel_request,
	.granted = granted,
	.revoked = revoked,
	.health = health,
	.carry = carry,
	.standby = standby,
	.forwards = forwards,
	.keeps = keeps,
};
