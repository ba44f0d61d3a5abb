/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd_map_read.h"

#include "cleanup.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static void put_text(struct table_cell *cell, const char *text)
{
	snprintf(cell->text, sizeof(cell->text), "%s", text);
}

/* An address of all zeros means none. */
static void put_addr(struct table_cell *cell, const struct c25_addr *a)
{
	char text[ADDR_STRLEN];

	put_text(cell, addr_is_zero(a) ? "" : addr_print(text, a));
}

/* "192.0.2.1:443"; without a port, as ICMP has none: the address alone. */
static void put_endpoint(struct table_cell *cell, const struct c25_addr *a, __be16 port)
{
	char text[SOCK_STRLEN];
	struct sockaddr_storage ss = sock_make(a, ntohs(port));

	if (port)
		put_text(cell, sock_print(text, (struct sockaddr *)&ss));
	else
		put_addr(cell, a);
}

const struct table_column view_client_columns[] = {
	{ "DOMAIN", "domain", TABLE_STRING },      { "APP", "app", TABLE_STRING },
	{ "REAL", "destinationIP", TABLE_STRING }, { "MAGIC", "magicIP", TABLE_STRING },
	{ "TRANSIT", "transitIP", TABLE_STRING },  { "CONNECTOR", "connector", TABLE_STRING },
	{ "PACKETS", "packets", TABLE_NUMBER },    { "BYTES", "bytes", TABLE_NUMBER },
	{ "SEEN", "lastSeen", TABLE_AGO },         { "EXPIRES", "expiresAt", TABLE_IN },
	{ "STATE", "state", TABLE_STRING },
};
const size_t view_client_n = ARRAY_SIZE(view_client_columns);

static const char *lease_state(const struct state_lease *c)
{
	switch (c->lease.state) {
	case C25_LEASE_PENDING:
		return "pending";
	case C25_LEASE_LIVE:
		return c->flags & C25_MAGIC_DEAD ? "refused" : "live";
	case C25_LEASE_QUARANTINE:
		return "quarantine";
	default:
		return "unknown";
	}
}

void view_client_row(size_t i, struct table_cell *cells, void *view)
{
	const struct view *v = view;
	const struct state_lease *c = &v->state->leases[i];

	put_text(cells++, c->lease.domain);
	put_text(cells++, c->app);
	put_addr(cells++, &c->lease.real);
	put_addr(cells++, &c->magic);
	put_addr(cells++, &c->lease.transit);
	put_text(cells++, c->connector);
	cells++->number = c->packets;
	cells++->number = c->bytes;
	cells++->number = c->last_seen;
	cells++->number = c->lease.expires;
	put_text(cells, lease_state(c));
}

const struct table_column view_mapping_columns[] = {
	{ "CLIENT", "client", TABLE_STRING },
	{ "ADDRESS", "clientIP", TABLE_STRING },
	{ "APP", "app", TABLE_STRING },
	{ "TRANSIT", "transitIP", TABLE_STRING },
	{ "REAL", "destinationIP", TABLE_STRING },
	{ "PACKETS", "packets", TABLE_NUMBER },
	{ "BYTES", "bytes", TABLE_NUMBER },
	{ "SEEN", "lastSeen", TABLE_AGO },
	{ NULL, "registeredAt", TABLE_AGO },
};
const size_t view_mapping_n = ARRAY_SIZE(view_mapping_columns);

void view_mapping_row(size_t i, struct table_cell *cells, void *view)
{
	const struct view *v = view;
	const struct state_mapping *m = &v->state->mappings[i];

	put_text(cells++, m->peer);
	put_addr(cells++, &m->key.client);
	put_text(cells++, m->app);
	put_addr(cells++, &m->key.transit);
	put_addr(cells++, &m->mapping.real);
	cells++->number = m->packets;
	cells++->number = m->bytes;
	cells++->number = m->last_seen;
	cells->number = m->mapping.registered;
}

const struct table_column view_flow_columns[] = {
	{ "PROTO", "proto", TABLE_STRING },
	{ "FROM", NULL, TABLE_STRING },
	{ NULL, "sourceIP", TABLE_STRING },
	{ NULL, "sourcePort", TABLE_NUMBER },
	{ "TRANSIT", "transitIP", TABLE_STRING },
	{ "REAL", NULL, TABLE_STRING },
	{ NULL, "destinationIP", TABLE_STRING },
	{ NULL, "destinationPort", TABLE_NUMBER },
	{ "NAT", NULL, TABLE_STRING },
	{ NULL, "natIP", TABLE_STRING },
	{ NULL, "natPort", TABLE_NUMBER },
	{ "STATE", "state", TABLE_STRING },
	{ "OUT", "packetsOut", TABLE_NUMBER },
	{ "BACK", "packetsBack", TABLE_NUMBER },
	{ NULL, "bytesOut", TABLE_NUMBER },
	{ NULL, "bytesBack", TABLE_NUMBER },
	{ "IDLE", "lastSeen", TABLE_AGO },
	{ NULL, "client", TABLE_STRING },
	{ NULL, "app", TABLE_STRING },
};
const size_t view_flow_n = ARRAY_SIZE(view_flow_columns);
_Static_assert(ARRAY_SIZE(view_flow_columns) <= TABLE_COLS, "the widest table");

static void put_proto(struct table_cell *cell, uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		put_text(cell, "tcp");
		break;
	case IPPROTO_UDP:
		put_text(cell, "udp");
		break;
	case IPPROTO_ICMP:
		put_text(cell, "icmp");
		break;
	case IPPROTO_ICMPV6:
		put_text(cell, "icmpv6");
		break;
	default:
		snprintf(cell->text, sizeof(cell->text), "%u", proto);
	}
}

static const char *flow_state(const struct c25_flow *f)
{
	switch (f->state) {
	case C25_FLOW_NEW:
		return "new";
	case C25_FLOW_ESTABLISHED:
		return "established";
	case C25_FLOW_CLOSING:
		return "closing";
	case C25_FLOW_REVOKED:
		return "revoked";
	default:
		return "unknown";
	}
}

void view_flow_row(size_t i, struct table_cell *cells, void *view)
{
	const struct view *v = view;
	const struct c25_flow *f = &v->flows[i];
	bool echo = f->out.proto == IPPROTO_ICMP || f->out.proto == IPPROTO_ICMPV6;
	/* An echo's identifier stands where the source port does, both ways. */
	__be16 nat = echo ? f->in.sport : f->in.dport;

	put_proto(cells++, f->out.proto);
	put_endpoint(cells++, &f->out.src, f->out.sport);
	put_addr(cells++, &f->out.src);
	cells++->number = ntohs(f->out.sport);
	put_addr(cells++, &f->out.dst);
	put_endpoint(cells++, &f->in.src, f->out.dport);
	put_addr(cells++, &f->in.src);
	cells++->number = ntohs(f->out.dport);
	put_endpoint(cells++, &f->in.dst, nat);
	put_addr(cells++, &f->in.dst);
	cells++->number = ntohs(nat);
	put_text(cells++, flow_state(f));
	cells++->number = f->count[0].packets;
	cells++->number = f->count[1].packets;
	cells++->number = f->count[0].bytes;
	cells++->number = f->count[1].bytes;
	cells++->number = f->last_seen;
	put_text(cells++, state_peer(v->state, f->peer));
	put_text(cells, state_app(v->state, f->app));
}
