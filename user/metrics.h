/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * metrics: what the daemon counts and what its maps hold, as Prometheus text (format 0.0.4).
 *
 * The loop fills `struct metrics`, which is plain numbers; another thread reads the maps and
 * prints. The names are part of the contract: docs/metrics.md lists them all. Serves nothing.
 */
#ifndef METRICS_H
#define METRICS_H

#include "client.h"
#include "connector.h"
#include "events.h"
#include "maps.h"

#include <stdbool.h>
#include <stdint.h>

/* Each connector has a series of its own; in a netmap with more only their sums are told. */
#define METRICS_MAX_CONNECTORS 512

struct metrics_connector {
	char id[256];
	bool healthy;
};

struct metrics {
	const char *version;
	bool client, connector, ready;

	struct dns_proxy_stats dns;
	struct client_stats registrar;
	struct lease_pool_stats pools[NETMAP_POOLS];
	struct metrics_connector *connectors; /* malloc'ed */
	size_t n_connectors, n_healthy;
	struct connector_stats server;

	uint64_t reloads_ok, reloads_refused;
	bool reload_ok;      /* the last one */
	int64_t reloaded_at; /* the netmap in force, seconds since 1970 */
	size_t n_nodes, n_apps;

	uint64_t ring_events[C25_EVENT_DROP + 1];
	struct events_stats events;
	uint64_t log_dropped;

	bool tls;
	int64_t tls_expires; /* seconds since 1970 */
	uint64_t tls_reloads_ok, tls_reloads_refused;

	bool has_maps;
	struct maps maps; /* descriptors of its own */
};

/* Closes the maps and frees what `m` holds, and not `m`. Malloc'ed; NULL: out of memory. */
char *metrics_print(struct metrics *m);

#endif
