/* SPDX-License-Identifier: BSD-3-Clause */
#include "metrics.h"

#include "metrics_maps.h"
#include "metrics_process.h"
#include "metrics_text.h"
#include "peerapi_msg.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct named {
	const char *name;
	uint64_t v;
};

/* A family with a sample for each of `v`, told apart by `label`. */
static void put_named(FILE *out, const char *name, const char *type, const char *help,
		      const char *label, const struct named *v, size_t n)
{
	metrics_family(out, name, type, help);
	for (size_t i = 0; i < n; i++)
		metrics_put1(out, name, label, v[i].name, v[i].v);
}

static void put_latency(FILE *out, const char *names, const struct dns_latency *l)
{
	static const char family[] = "conn25_dns_query_duration_seconds";
	char bound[16];
	uint64_t sum = 0;

	for (size_t i = 0; i <= DNS_LATENCY_BOUNDS; i++) {
		char bucket[sizeof(family) + sizeof("_bucket")];

		sum += l->count[i];
		snprintf(bucket, sizeof(bucket), "%s_bucket", family);
		if (i < DNS_LATENCY_BOUNDS)
			snprintf(bound, sizeof(bound), "%g", dns_latency_ms[i] / 1000.0);
		metrics_put2(out, bucket, "names", names, "le",
			     i < DNS_LATENCY_BOUNDS ? bound : "+Inf", sum);
	}
	fprintf(out, "%s_sum{names=\"%s\"} %.3f\n%s_count{names=\"%s\"} %" PRIu64 "\n", family,
		names, (double)l->sum_ms / 1000, family, names, sum);
}

static void print_dns(FILE *out, const struct dns_proxy_stats *s)
{
	const struct named outcomes[] = {
		{ "passed", s->passed },     { "rewritten", s->rewritten }, { "empty", s->empty },
		{ "negative", s->negative }, { "servfail", s->servfail },
	};
	const struct named troubles[] = {
		{ "unreadable", s->unreadable },
		{ "overload", s->overload },
	};

	put_named(out, "conn25_dns_queries_total", METRICS_COUNTER,
		  "DNS questions that the daemon answered, by outcome.", "outcome", outcomes,
		  ARRAY_SIZE(outcomes));
	metrics_family(out, "conn25_dns_query_duration_seconds", METRICS_HISTOGRAM,
		       "Time from a DNS question to its answer, by whether its name is "
		       "configured.");
	put_latency(out, "other", &s->latency[0]);
	put_latency(out, "configured", &s->latency[1]);
	metrics_one(out, "conn25_dns_received_total", METRICS_COUNTER,
		    "Readable DNS questions that came from clients.", s->queries);
	metrics_one(out, "conn25_dns_intercepted_total", METRICS_COUNTER,
		    "DNS questions taken by --dns-intercept, among those received.",
		    s->intercepted);
	put_named(out, "conn25_dns_troubles_total", METRICS_COUNTER,
		  "DNS messages that could not be read, or not be served as tables were full.",
		  "kind", troubles, ARRAY_SIZE(troubles));
	metrics_family(out, "conn25_dns_upstream_duration_seconds", METRICS_SUMMARY,
		       "Time that resolvers took for their answers.");
	metrics_put_seconds(out, "conn25_dns_upstream_duration_seconds_sum",
			    (double)s->answer_ms / 1000);
	metrics_put(out, "conn25_dns_upstream_duration_seconds_count", s->answers);
	metrics_one(out, "conn25_dns_upstream_timeouts_total", METRICS_COUNTER,
		    "DNS questions that no resolver answered in time.", s->timeouts);
	metrics_one(out, "conn25_dns_upstream_retries_total", METRICS_COUNTER,
		    "DNS questions asked of a resolver once more.", s->retries);
	metrics_one(out, "conn25_dns_upstream_tcp_retries_total", METRICS_COUNTER,
		    "DNS questions asked again over TCP, after a truncated answer.",
		    s->tcp_retries);
	metrics_one(out, "conn25_dns_upstream_mismatched_total", METRICS_COUNTER,
		    "Packets from resolvers that fit no question.", s->mismatched);
}

static void print_pools(FILE *out, const struct metrics *m)
{
	static const char *const names[NETMAP_POOLS] = {
		[NETMAP_V4_MAGIC] = "v4_magic",
		[NETMAP_V4_TRANSIT] = "v4_transit",
		[NETMAP_V6_MAGIC] = "v6_magic",
		[NETMAP_V6_TRANSIT] = "v6_transit",
	};
	struct named used[NETMAP_POOLS], capacity[NETMAP_POOLS];

	for (size_t i = 0; i < NETMAP_POOLS; i++) {
		used[i] = (struct named){ names[i], m->pools[i].in_use };
		capacity[i] = (struct named){ names[i], m->pools[i].capacity };
	}
	put_named(out, "conn25_pool_addresses_used", METRICS_GAUGE,
		  "Addresses of a pool that are lent or rest in quarantine.", "pool", used,
		  NETMAP_POOLS);
	put_named(out, "conn25_pool_addresses_capacity", METRICS_GAUGE, "Addresses of a pool.",
		  "pool", capacity, NETMAP_POOLS);
	metrics_one(out, "conn25_pool_dry_total", METRICS_COUNTER,
		    "Addresses wanted that could not be lent: pool dry or table full.",
		    m->registrar.pool_dry);
	metrics_one(out, "conn25_leases_ended_total", METRICS_COUNTER, "Leases that ended.",
		    m->registrar.leases_ended);
}

/* The last of `v` stands for all codes beyond. */
static void put_codes(FILE *out, const char *role, const uint64_t *v, size_t n)
{
	uint64_t other = 0;
	char code[2] = { 0 };

	for (size_t i = 0; i < n; i++) {
		code[0] = (char)('0' + i);
		if (i > PEERAPI_FORBIDDEN)
			other += v[i];
		else
			metrics_put2(out, "conn25_registrations_total", "role", role, "code", code,
				     v[i]);
	}
	metrics_put2(out, "conn25_registrations_total", "role", role, "code", "other", other);
}

static void print_registrations(FILE *out, const struct metrics *m)
{
	metrics_family(out, "conn25_registrations_total", METRICS_COUNTER,
		       "Mappings answered for by a connector, by code: as its client (role client) "
		       "and as the connector.");
	if (m->client)
		put_codes(out, "client", m->registrar.registrations,
			  ARRAY_SIZE(m->registrar.registrations));
	if (m->connector)
		put_codes(out, "connector", m->server.answered, ARRAY_SIZE(m->server.answered));
}

static void print_connectors(FILE *out, const struct metrics *m)
{
	const struct named health[] = {
		{ "healthy", m->n_healthy },
		{ "unhealthy", m->n_connectors - m->n_healthy },
	};

	metrics_one(out, "conn25_registration_failures_total", METRICS_COUNTER,
		    "Requests to connectors that were not answered, or refused whole.",
		    m->registrar.registration_failures);
	put_named(out, "conn25_connectors", METRICS_GAUGE,
		  "Connectors of apps that this node may use, by health.", "health", health,
		  ARRAY_SIZE(health));
	if (!m->n_connectors || m->n_connectors > METRICS_MAX_CONNECTORS)
		return;
	metrics_family(out, "conn25_connector_healthy", METRICS_GAUGE,
		       "Whether a connector answers.");
	for (size_t i = 0; i < m->n_connectors; i++)
		metrics_put1(out, "conn25_connector_healthy", "connector", m->connectors[i].id,
			     m->connectors[i].healthy);
}

static void print_netmap(FILE *out, const struct metrics *m)
{
	const struct named reloads[] = {
		{ "ok", m->reloads_ok },
		{ "refused", m->reloads_refused },
	};

	put_named(out, "conn25_netmap_reloads_total", METRICS_COUNTER,
		  "Netmaps read anew, by outcome.", "outcome", reloads, ARRAY_SIZE(reloads));
	metrics_one(out, "conn25_netmap_last_reload_successful", METRICS_GAUGE,
		    "Whether the netmap read last is the one in force.", m->reload_ok);
	metrics_one(out, "conn25_netmap_loaded_timestamp_seconds", METRICS_GAUGE,
		    "When the netmap in force was read.", (uint64_t)m->reloaded_at);
	metrics_one(out, "conn25_netmap_nodes", METRICS_GAUGE, "Nodes of the netmap in force.",
		    m->n_nodes);
	metrics_one(out, "conn25_netmap_apps", METRICS_GAUGE, "Apps of the netmap in force.",
		    m->n_apps);
}

static void print_tls(FILE *out, const struct metrics *m)
{
	const struct named reloads[] = {
		{ "ok", m->tls_reloads_ok },
		{ "refused", m->tls_reloads_refused },
	};

	metrics_one(out, "conn25_peerapi_tls_certificate_expiry_timestamp_seconds", METRICS_GAUGE,
		    "When the certificate in use ends.", (uint64_t)m->tls_expires);
	put_named(out, "conn25_peerapi_tls_reloads_total", METRICS_COUNTER,
		  "Certificates read anew, by outcome.", "outcome", reloads, ARRAY_SIZE(reloads));
}

static void print_seeing(FILE *out, const struct metrics *m)
{
	const struct named ring[] = {
		{ "unmapped", m->ring_events[C25_EVENT_UNMAPPED] },
		{ "drop", m->ring_events[C25_EVENT_DROP] },
	};

	put_named(out, "conn25_kernel_events_total", METRICS_COUNTER,
		  "Events that the programs told the daemon; they tell of few drops only.", "kind",
		  ring, ARRAY_SIZE(ring));
	metrics_one(out, "conn25_monitors", METRICS_GAUGE, "Those who watch by conn25 monitor.",
		    m->events.readers);
	metrics_one(out, "conn25_monitor_events_total", METRICS_COUNTER,
		    "Events while somebody watched.", m->events.told);
	metrics_one(out, "conn25_monitor_events_lost_total", METRICS_COUNTER,
		    "Events lost by those who read too slowly.", m->events.lost);
	metrics_one(out, "conn25_log_lines_dropped_total", METRICS_COUNTER,
		    "Log lines that could not be written.", m->log_dropped);
}

static void print_all(FILE *out, struct metrics *m)
{
	const struct named roles[] = {
		{ "client", m->client },
		{ "connector", m->connector },
	};

	metrics_family(out, "conn25_build_info", METRICS_GAUGE, "Always 1; what runs here.");
	metrics_put1(out, "conn25_build_info", "version", m->version, 1);
	metrics_one(out, "conn25_ready", METRICS_GAUGE,
		    "Whether listeners are bound and programs attached, as /readyz says.",
		    m->ready);
	put_named(out, "conn25_role", METRICS_GAUGE, "Whether this node has the role.", "role",
		  roles, ARRAY_SIZE(roles));
	print_netmap(out, m);
	if (m->client) {
		print_dns(out, &m->dns);
		print_pools(out, m);
		print_connectors(out, m);
	}
	if (m->client || m->connector)
		print_registrations(out, m);
	if (m->connector) {
		metrics_one(out, "conn25_mappings_expired_total", METRICS_COUNTER,
			    "Mappings of clients that ended by disuse.", m->server.expired);
		metrics_one(out, "conn25_mappings_revoked_total", METRICS_COUNTER,
			    "Mappings of clients that a new netmap ended.", m->server.revoked);
	}
	if (m->tls)
		print_tls(out, m);
	print_seeing(out, m);
	metrics_one(out, "conn25_maps_readable", METRICS_GAUGE,
		    "Whether the kernel's maps could be read.",
		    m->has_maps && !metrics_maps(out, &m->maps));
	if (m->has_maps)
		maps_close(&m->maps);
	m->has_maps = false;
	metrics_process(out);
}

char *metrics_print(struct metrics *m)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (out) {
		print_all(out, m);
		if (fclose(out)) {
			free(text);
			text = NULL;
		}
	}
	if (m->has_maps)
		maps_close(&m->maps);
	free(m->connectors);
	return text;
}
