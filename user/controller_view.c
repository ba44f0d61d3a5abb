/* SPDX-License-Identifier: BSD-3-Clause */
/* controller_view: what the control socket shows: the whole state, and one name or address. */
#include "controller_int.h"
#include "domains.h"
#include "explain.h"
#include "log.h"
#include "state.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>

static void put_number(cJSON *o, const char *name, uint64_t v)
{
	cJSON_AddNumberToObject(o, name, (double)v);
}

static cJSON *pool_json(struct controller *c)
{
	static const struct {
		enum netmap_pool pool;
		const char *in_use, *capacity;
	} names[] = {
		{ NETMAP_V4_MAGIC, "ipv4MagicIPsInUse", "ipv4MagicIPsCapacity" },
		{ NETMAP_V4_TRANSIT, "ipv4TransitIPsInUse", "ipv4TransitIPsCapacity" },
		{ NETMAP_V6_MAGIC, "ipv6MagicIPsInUse", "ipv6MagicIPsCapacity" },
		{ NETMAP_V6_TRANSIT, "ipv6TransitIPsInUse", "ipv6TransitIPsCapacity" },
	};
	cJSON *o = cJSON_CreateObject();

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct lease_pool_stats s = { 0 };

		if (c->client)
			s = lease_pool_stats(client_leases(c->client), names[i].pool);
		put_number(o, names[i].in_use, s.in_use);
		put_number(o, names[i].capacity, s.capacity);
	}
	return o;
}

static cJSON *dns_json(const struct dns_proxy_stats *s)
{
	cJSON *o = cJSON_CreateObject();

	put_number(o, "queries", s->queries);
	put_number(o, "passed", s->passed);
	put_number(o, "rewritten", s->rewritten);
	put_number(o, "empty", s->empty);
	put_number(o, "negative", s->negative);
	put_number(o, "servfail", s->servfail);
	put_number(o, "timeouts", s->timeouts);
	put_number(o, "retries", s->retries);
	put_number(o, "tcpRetries", s->tcp_retries);
	put_number(o, "mismatched", s->mismatched);
	put_number(o, "unreadable", s->unreadable);
	put_number(o, "intercepted", s->intercepted);
	put_number(o, "overload", s->overload);
	return o;
}

/* {"0": 12, "6": 1} */
static cJSON *codes_json(const uint64_t *counts, size_t n)
{
	cJSON *o = cJSON_CreateObject();
	char code[24];

	for (size_t i = 0; i < n; i++) {
		if (!counts[i])
			continue;
		snprintf(code, sizeof(code), "%zu", i);
		put_number(o, code, counts[i]);
	}
	return o;
}

static cJSON *connectors_json(const struct controller *c)
{
	_cleanup_free_ size_t *nodes = calloc(c->nm->n_nodes, sizeof(*nodes));
	size_t n = nodes ? controller_connectors(c, nodes) : 0;
	cJSON *list = cJSON_CreateArray();

	for (size_t i = 0; i < n; i++) {
		const char *id = c->nm->nodes[nodes[i]].id;
		cJSON *o = cJSON_CreateObject();

		cJSON_AddStringToObject(o, "id", id);
		cJSON_AddBoolToObject(o, "healthy",
				      client_healthy(c->client, peers_index(c->peers, id)));
		cJSON_AddItemToArray(list, o);
	}
	return list;
}

static void add_client(struct controller *c, cJSON *client)
{
	cJSON_AddItemToObject(client, "ipPoolStats", pool_json(c));
	if (!c->client)
		return;
	cJSON_AddItemToObject(client, "connectors", connectors_json(c));
	cJSON_AddItemToObject(client, "dns", dns_json(client_dns_stats(c->client)));
	cJSON_AddItemToObject(client, "registrations",
			      codes_json(client_stats(c->client)->registrations,
					 ARRAY_SIZE(client_stats(c->client)->registrations)));
	put_number(client, "registrationFailures", client_stats(c->client)->registration_failures);
	put_number(client, "poolDry", client_stats(c->client)->pool_dry);
}

static void add_connector(struct controller *c, cJSON *connector)
{
	const struct connector_stats *s;

	if (!c->connector)
		return;
	s = connector_stats(c->connector);
	cJSON_AddItemToObject(connector, "registrations",
			      codes_json(s->answered, ARRAY_SIZE(s->answered)));
}

/* What of the state only the loop knows, and maps of its own to read the rest from. */
struct view {
	bool has_maps;
	struct maps maps;
	cJSON *state, *client, *connector, *reloads;
};

static void *view_open(void *ctx)
{
	struct controller *c = ctx;
	struct view *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->has_maps = c->datapath && !maps_dup(&v->maps, &c->maps);
	v->state = cJSON_CreateObject();
	if (!v->has_maps) {
		cJSON_AddBoolToObject(v->state, "configured", false);
		return v;
	}
	cJSON_AddBoolToObject(v->state, "configured", c->nm->n_apps > 0);
	cJSON_AddStringToObject(v->state, "version", CONN25_VERSION);
	cJSON_AddStringToObject(v->state, "node", c->config->node);
	put_number(v->state, "logDropped", log_dropped());
	v->client = cJSON_CreateObject();
	add_client(c, v->client);
	v->connector = cJSON_CreateObject();
	add_connector(c, v->connector);
	v->reloads = cJSON_CreateObject();
	put_number(v->reloads, "ok", c->reloads_ok);
	put_number(v->reloads, "refused", c->reloads_refused);
	return v;
}

/* The members of `more` behind those of `o`. */
static cJSON *joined(cJSON *o, cJSON *more)
{
	while (o && more->child) {
		cJSON *item = cJSON_DetachItemViaPointer(more, more->child);

		cJSON_AddItemToObject(o, item->string, item);
	}
	cJSON_Delete(more);
	return o;
}

static void view_read(struct view *v)
{
	_cleanup_(state) struct state *s = NULL;

	if (state_read(&s, &v->maps)) {
		cJSON_ReplaceItemInObject(v->state, "configured", cJSON_CreateFalse());
		cJSON_Delete(v->client);
		cJSON_Delete(v->connector);
	} else {
		cJSON_AddItemToObject(v->state, "client", joined(state_client_json(s), v->client));
		cJSON_AddItemToObject(v->state, "connector",
				      joined(state_connector_json(s), v->connector));
		cJSON_AddItemToObject(v->state, "reasons", state_reasons_json(&v->maps));
	}
	cJSON_AddItemToObject(v->state, "netmapReloads", v->reloads);
	maps_close(&v->maps);
}

static char *view_print(void *job)
{
	_cleanup_free_ struct view *v = job;
	char *text;

	if (v->has_maps)
		view_read(v);
	text = cJSON_PrintUnformatted(v->state);
	cJSON_Delete(v->state);
	return text;
}

static char *view_explain(void *ctx, const char *subject)
{
	struct controller *c = ctx;
	struct explain_source source = {
		.nm = c->nm,
		.maps = &c->maps,
		.peers = c->peers,
		.client = c->client,
		.tls = c->tls,
	};

	return c->peers ? explain(&source, subject) : strdup("The daemon is starting.\n");
}

const struct control_ops controller_control_ops = {
	.state_open = view_open,
	.state_print = view_print,
	.explain = view_explain,
};
