/* SPDX-License-Identifier: BSD-3-Clause */
#include "client_resolve.h"

#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TOTAL_MS   5000 /* for all connectors together, as for upstreams */
#define SUSPECT_MS 5000 /* one that did not answer is asked last for so long */
#define CONNS      16   /* to one connector: each carries one question at a time */
#define MAX_ASKED  1024 /* questions under way; the connections they wait for are few */
#define DNS_TYPE   "application/dns-message"

struct client_resolve {
	struct client *client;
	struct peerapi_client *http;
	size_t n_asked;
	uint32_t answering; /* the connector whose answer is being taken, or PEERS_NONE */
	uint32_t order[REGISTRAR_MAX_CONNECTORS + 1];
	uint64_t heard_at[C25_MAX_PEERS];
	uint64_t suspect_until[C25_MAX_PEERS];
};

/* One question, asked of one connector after another. */
struct lookup {
	struct client_resolve *resolve;
	struct dns_query *query;
	struct peerapi_call *call;
	char *path;
	uint64_t started, sent;
	uint32_t connectors[REGISTRAR_MAX_CONNECTORS];
	size_t n, next; /* of them, and the one to ask next */
	size_t len;
	uint8_t msg[];
};

static void lookup_free(struct lookup *l)
{
	l->resolve->n_asked--;
	if (l->call)
		peerapi_client_cancel(l->call);
	free(l->path);
	free(l);
}

static void lookup_fail(struct lookup *l)
{
	struct dns_query *query = l->query;

	dns_query_set_data(query, NULL);
	lookup_free(l);
	dns_query_fail(query);
}

static bool is_suspect(const struct client_resolve *r, uint32_t connector)
{
	return client_now_ms(r->client) < r->suspect_until[connector] ||
	       !client_healthy(r->client, connector);
}

/* In the app's order, but what seems not to answer comes last. */
static void put_in_order(struct lookup *l, const struct client_app *app)
{
	for (int last = 0; last <= 1; last++)
		for (size_t i = 0; i < app->n; i++)
			if (is_suspect(l->resolve, app->connectors[i]) == last)
				l->connectors[l->n++] = app->connectors[i];
}

static void lookup_done(void *ctx, int status, const char *body, size_t len, const char *error);

static int lookup_send(struct lookup *l, uint32_t connector, uint64_t left)
{
	struct client *c = l->resolve->client;
	const struct netmap_node *node = client_node(c, connector);
	struct peerapi_post post = {
		.path = l->path,
		.type = DNS_TYPE,
		.body = l->msg,
		.len = l->len,
		/* The last one has all that is left. */
		.timeout_ms = l->next < l->n ? (left + 1) / 2 : left,
	};

	post.base = node ? client_base(c, node) : NULL;
	if (!post.base)
		return -ENOENT;
	post.node = node;
	post.source = client_source(c, post.base);
	return peerapi_client_send(l->resolve->http, &post, lookup_done, l, &l->call);
}

static void lookup_next(struct lookup *l)
{
	uint64_t now = client_now_ms(l->resolve->client);

	while (l->next < l->n && now < l->started + TOTAL_MS) {
		l->sent = now;
		if (!lookup_send(l, l->connectors[l->next++], l->started + TOTAL_MS - now))
			return;
	}
	lookup_fail(l);
}

/* Silence while it answered others is the name's, not the connector's. */
static void suspect(struct client_resolve *r, uint32_t connector, const struct lookup *l)
{
	if (r->heard_at[connector] <= l->sent)
		r->suspect_until[connector] = client_now_ms(r->client) + SUSPECT_MS;
}

/* One that cannot answer is no reason to give up while another has not been asked. */
static bool is_worth(const struct lookup *l, const char *body, size_t len)
{
	unsigned rcode;

	if (len < DNS_HEADER_LEN || dns_get16((const uint8_t *)body + 2) & DNS_TC)
		return false;
	rcode = (uint8_t)body[3] & DNS_RCODE;
	return l->next == l->n || (rcode != DNS_RCODE_SERVFAIL && rcode != DNS_RCODE_REFUSED);
}

static bool take_answer(struct lookup *l, uint32_t connector, const char *body, size_t len)
{
	struct client_resolve *r = l->resolve;
	int err;

	if (!is_worth(l, body, len))
		return false;
	dns_query_set_data(l->query, NULL);
	r->answering = connector;
	err = dns_query_external_answer(l->query, (const uint8_t *)body, len);
	r->answering = PEERS_NONE;
	if (err) {
		dns_query_set_data(l->query, l);
		return false;
	}
	lookup_free(l);
	return true;
}

static void lookup_done(void *ctx, int status, const char *body, size_t len, const char *error)
{
	struct lookup *l = ctx;
	struct client_resolve *r = l->resolve;
	uint32_t connector = l->connectors[l->next - 1];

	l->call = NULL;
	if (!status) {
		suspect(r, connector, l);
	} else {
		r->heard_at[connector] = client_now_ms(r->client);
		r->suspect_until[connector] = 0;
	}
	if (status == 200 && take_answer(l, connector, body, len))
		return;
	if (status != 200)
		log_debug("connector %s does not resolve: %s %d",
			  peers_id(r->client->deps.peers, connector), error ? error : "status",
			  status);
	lookup_next(l);
}

static struct lookup *lookup_new(struct client_resolve *r, struct dns_query *query,
				 const struct netmap_app *app, const uint8_t *msg, size_t len)
{
	_cleanup_free_ char *escaped = peerapi_client_escape(app->name);
	struct lookup *l;

	if (!escaped || r->n_asked >= MAX_ASKED)
		return NULL;
	l = calloc(1, sizeof(*l) + len);
	if (!l)
		return NULL;
	if (asprintf(&l->path, "/dns-query?app=%s", escaped) < 0) {
		free(l);
		return NULL;
	}
	r->n_asked++;
	l->resolve = r;
	l->query = query;
	l->started = client_now_ms(r->client);
	l->len = len;
	memcpy(l->msg, msg, len);
	memset(l->msg, 0, 2); /* the same question is the same request (RFC 8484, 4.1) */
	return l;
}

bool client_resolve_ask(struct client_resolve *r, struct dns_query *query, size_t app,
			const uint8_t *msg, size_t len)
{
	const struct netmap_app *wanted = &r->client->nm->apps[app];
	const struct client_app *known;
	struct lookup *l = NULL;

	if (wanted->resolve != NETMAP_RESOLVE_CONNECTOR)
		return false;
	known = client_app(r->client, app);
	if (known)
		l = lookup_new(r, query, wanted, msg, len);
	if (!l) {
		dns_query_fail(query);
		return true;
	}
	dns_query_set_data(query, l);
	put_in_order(l, known);
	lookup_next(l);
	return true;
}

void client_resolve_unask(struct dns_query *query)
{
	lookup_free(dns_query_data(query));
}

const uint32_t *client_resolve_order(struct client_resolve *r, const struct client_app *app)
{
	size_t n = 1;

	r->order[0] = r->answering;
	for (size_t i = 0; i < app->n; i++) {
		if (app->connectors[i] != r->answering)
			r->order[n++] = app->connectors[i];
	}
	return n == app->n ? r->order : app->connectors;
}

int client_resolve_new(struct client_resolve **out, struct client *c)
{
	struct client_resolve *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->client = c;
	r->answering = PEERS_NONE;
	err = peerapi_client_new(&r->http, c->deps.loop);
	if (err) {
		free(r);
		return err;
	}
	peerapi_client_set_conns(r->http, CONNS);
	peerapi_client_set_tls(r->http, c->deps.tls);
	*out = r;
	return 0;
}

void client_resolve_free(struct client_resolve *r)
{
	if (!r)
		return;
	peerapi_client_free(r->http);
	free(r);
}
