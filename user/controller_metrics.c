/* SPDX-License-Identifier: BSD-3-Clause */
/* controller_metrics: what the loop alone knows of the metrics, and whether the node is ready. */
#include "controller_int.h"
#include "log.h"
#include "metrics.h"
#include "policy.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>

/* Connectors of any app that this node may use. */
static bool is_used(const struct netmap *nm, const struct netmap_node *node)
{
	const struct netmap_node *self = netmap_self(nm);

	for (size_t i = 0; i < nm->n_apps && node != self; i++)
		if (policy_may_use(&nm->apps[i], self) && policy_serves(&nm->apps[i], node))
			return true;
	return false;
}

size_t controller_connectors(const struct controller *c, size_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < c->nm->n_nodes; i++)
		if (is_used(c->nm, &c->nm->nodes[i]))
			out[n++] = i;
	return n;
}

static int gather_connectors(struct metrics *m, const struct controller *c)
{
	_cleanup_free_ size_t *nodes = calloc(c->nm->n_nodes, sizeof(*nodes));

	if (!nodes)
		return -1;
	m->n_connectors = controller_connectors(c, nodes);
	m->connectors = calloc(m->n_connectors + 1, sizeof(*m->connectors));
	if (!m->connectors)
		return -1;
	for (size_t i = 0; i < m->n_connectors; i++) {
		struct metrics_connector *k = &m->connectors[i];
		const char *id = c->nm->nodes[nodes[i]].id;

		snprintf(k->id, sizeof(k->id), "%s", id);
		k->healthy = client_healthy(c->client, peers_index(c->peers, id));
		m->n_healthy += k->healthy;
	}
	return 0;
}

static int gather_client(struct metrics *m, const struct controller *c)
{
	m->dns = *client_dns_stats(c->client);
	m->registrar = *client_stats(c->client);
	for (enum netmap_pool i = 0; i < NETMAP_POOLS; i++) {
		m->pools[i] = lease_pool_stats(client_leases(c->client), i);
		m->pools[i].in_use += client_pool_resting(c->client, i);
	}
	return gather_connectors(m, c);
}

static const char *unready(void *ctx)
{
	const struct controller *c = ctx;

	if (!c->started)
		return "The daemon is starting.";
	if (c->kernel_err)
		return "The programs could not be attached, or the maps not be written; see the "
		       "log.";
	if (c->listen_err)
		return "A listener could not be bound; see the log.";
	return datapath_pinned(c->datapath) ? NULL : "The pins are gone.";
}

static void *metrics_open(void *ctx)
{
	struct controller *c = ctx;
	struct metrics *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->version = CONN25_VERSION;
	m->client = c->client;
	m->connector = c->connector;
	m->ready = !unready(c);
	m->reloads_ok = c->reloads_ok;
	m->reloads_refused = c->reloads_refused;
	m->reload_ok = !c->reload_failed;
	m->reloaded_at = c->loaded_at;
	m->n_nodes = c->nm->n_nodes;
	m->n_apps = c->nm->n_apps;
	memcpy(m->ring_events, c->ring_events, sizeof(m->ring_events));
	m->events = events_stats(c->events);
	m->log_dropped = log_dropped();
	if (c->tls) {
		m->tls = true;
		m->tls_expires = tls_now(c->tls)->ends;
		m->tls_reloads_ok = tls_stats(c->tls).reloads_ok;
		m->tls_reloads_refused = tls_stats(c->tls).reloads_refused;
	}
	if (c->connector)
		m->server = *connector_stats(c->connector);
	if (c->client && gather_client(m, c)) {
		free(m);
		return NULL;
	}
	m->has_maps = c->datapath && !maps_dup(&m->maps, &c->maps);
	return m;
}

static char *metrics_job(void *job)
{
	_cleanup_free_ struct metrics *m = job;

	return metrics_print(m);
}

const struct metrics_server_ops controller_metrics_ops = {
	.open = metrics_open,
	.print = metrics_job,
	.unready = unready,
};
