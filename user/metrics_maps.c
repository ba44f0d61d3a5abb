/* SPDX-License-Identifier: BSD-3-Clause */
#include "metrics_maps.h"

#include "cleanup.h"
#include "metrics_text.h"

#include <errno.h>

/*
 * The way of the packets that end in a reason: "out" from a program to the real destination, "back"
 * from there, "any" where the reason does not tell.
 */
static const char *direction(enum c25_reason r)
{
	switch (r) {
	case C25_REASON_CLIENT_OUT:
	case C25_REASON_CONNECTOR_OUT:
	case C25_REASON_OVERLAY_OUT:
	case C25_REASON_NO_MAGIC:
	case C25_REASON_DEAD_MAGIC:
	case C25_REASON_NO_MAPPING:
	case C25_REASON_FORWARDED:
	case C25_REASON_NO_ROUTE:
	case C25_REASON_NOT_UPLINK:
	case C25_REASON_NO_UPLINK_ADDR:
	case C25_REASON_TABLE_FULL:
	case C25_REASON_QUOTA:
	case C25_REASON_NO_PORT:
	case C25_REASON_AMBIGUOUS:
	case C25_REASON_NOT_STARTED:
	case C25_REASON_REROUTED:
	case C25_REASON_DNS_OTHER:
	case C25_REASON_DNS_TAKEN:
	case C25_REASON_DNS_TCP_TAKEN:
	case C25_REASON_DNS_TCP_OTHER:
	case C25_REASON_DNS_REFUSED:
	case C25_REASON_DNS_ANSWERED:
	case C25_REASON_DNS_STALE:
	case C25_REASON_DNS_OPEN:
	case C25_REASON_DNS_CLOSED:
		return "out";
	case C25_REASON_CLIENT_BACK:
	case C25_REASON_CONNECTOR_BACK:
	case C25_REASON_OVERLAY_IN:
	case C25_REASON_UNMAPPED_HELD:
	case C25_REASON_NO_TRANSIT:
	case C25_REASON_WRONG_CONNECTOR:
	case C25_REASON_FRAGMENT_EARLY:
	case C25_REASON_NO_FLOW:
		return "back";
	default:
		return "any";
	}
}

static void put_reason(FILE *out, const char *name, enum c25_reason r, uint64_t v)
{
	fprintf(out, "%s{direction=\"%s\",reason=\"%s\",result=\"%s\"} %llu\n", name, direction(r),
		maps_reason_name(r), maps_reason_is_drop(r) ? "dropped" : "passed",
		(unsigned long long)v);
}

static int print_reasons(FILE *out, const struct maps *m)
{
	struct c25_count counts[C25_REASON_MAX];
	int err = maps_reasons(m, counts);

	if (err)
		return err;
	metrics_family(out, "conn25_packets_total", METRICS_COUNTER,
		       "Packets that the programs touched, by the one reason each ended in.");
	for (int r = 0; r < C25_REASON_MAX; r++)
		put_reason(out, "conn25_packets_total", (enum c25_reason)r, counts[r].packets);
	metrics_family(out, "conn25_packet_bytes_total", METRICS_COUNTER,
		       "Bytes of these packets, from the IP header on.");
	for (int r = 0; r < C25_REASON_MAX; r++)
		put_reason(out, "conn25_packet_bytes_total", (enum c25_reason)r, counts[r].bytes);
	return 0;
}

static int count_lease(const void *key, const void *value, void *ctx)
{
	const struct c25_lease *l = value;
	uint64_t *counts = ctx;

	(void)key;
	if (l->state <= C25_LEASE_QUARANTINE)
		counts[l->state]++;
	return 0;
}

static int print_leases(FILE *out, const struct maps *m)
{
	uint64_t n[C25_LEASE_QUARANTINE + 1] = { 0 };
	int err = maps_each(m, MAP_LEASES, count_lease, n);

	if (err)
		return err;
	metrics_family(out, "conn25_leases", METRICS_GAUGE,
		       "Leases by state: lent and not agreed to, agreed to, or ended and resting.");
	metrics_put1(out, "conn25_leases", "state", "pending", n[C25_LEASE_PENDING]);
	metrics_put1(out, "conn25_leases", "state", "live", n[C25_LEASE_LIVE]);
	metrics_put1(out, "conn25_leases", "state", "quarantine", n[C25_LEASE_QUARANTINE]);
	return 0;
}

static int count_flow(uint32_t slot, const struct c25_flow *f, void *ctx)
{
	uint64_t *counts = ctx;

	(void)slot;
	if (f->state <= C25_FLOW_ENDED)
		counts[f->state]++;
	return 0;
}

static int print_flows(FILE *out, const struct maps *m)
{
	uint64_t n[C25_FLOW_ENDED + 1] = { 0 };
	int err = maps_flow_each(m, count_flow, n);

	if (err)
		return err;
	metrics_family(out, "conn25_flows", METRICS_GAUGE,
		       "Connections translated on this connector, by state.");
	metrics_put1(out, "conn25_flows", "state", "new", n[C25_FLOW_NEW]);
	metrics_put1(out, "conn25_flows", "state", "established", n[C25_FLOW_ESTABLISHED]);
	metrics_put1(out, "conn25_flows", "state", "closing", n[C25_FLOW_CLOSING]);
	metrics_put1(out, "conn25_flows", "state", "revoked", n[C25_FLOW_REVOKED]);
	return 0;
}

/* Those that hold as much as there is to hold; the rest are small, or as full as one of these. */
static const enum map_id filled[] = {
	MAP_PEERS, MAP_NETS, MAP_APPS, MAP_MAGIC, MAP_TRANSIT, MAP_LEASES, MAP_MAPPINGS, MAP_FLOWS,
};

static int print_fill(FILE *out, const struct maps *m)
{
	uint64_t used[ARRAY_SIZE(filled)] = { 0 }, size[ARRAY_SIZE(filled)] = { 0 };
	int failed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(filled); i++) {
		int err = m->fd[filled[i]] < 0 ? 0 : maps_fill(m, filled[i], &used[i], &size[i]);

		failed = failed ? failed : err;
	}
	metrics_family(out, "conn25_map_entries", METRICS_GAUGE, "Entries of a kernel map in use.");
	for (size_t i = 0; i < ARRAY_SIZE(filled); i++)
		if (size[i])
			metrics_put1(out, "conn25_map_entries", "map", maps_name(filled[i]),
				     used[i]);
	metrics_family(out, "conn25_map_capacity", METRICS_GAUGE,
		       "Entries that a kernel map has room for.");
	for (size_t i = 0; i < ARRAY_SIZE(filled); i++)
		if (size[i])
			metrics_put1(out, "conn25_map_capacity", "map", maps_name(filled[i]),
				     size[i]);
	return failed;
}

int metrics_maps(FILE *out, const struct maps *m)
{
	int failed = print_reasons(out, m), err = 0;

	if (m->fd[MAP_LEASES] >= 0)
		err = print_leases(out, m);
	failed = failed ? failed : err;
	if (m->fd[MAP_FLOWS] >= 0)
		err = print_flows(out, m);
	failed = failed ? failed : err;
	err = print_fill(out, m);
	return failed ? failed : err;
}
