/* SPDX-License-Identifier: BSD-3-Clause */
#include "explain.h"

#include "domains.h"
#include "policy.h"
#include "state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct explainer {
	const struct explain_source *source;
	struct state *state;
	FILE *out;
};

static const char *when(char buf[STATE_TIME_LEN], uint64_t t)
{
	return t ? state_time(buf, t) : "never";
}

/* The connector that takes over when the lease's own fails. */
static void print_standby(struct explainer *e, const struct state_lease *l)
{
	const struct explain_source *s = e->source;
	const struct lease *lease =
		s->client ? lease_by_magic(client_leases(s->client), &l->magic) : NULL;
	uint32_t standby = lease ? registrar_standby(lease) : REGISTRAR_NONE;

	fprintf(e->out, "    standby    %s%s\n",
		standby == REGISTRAR_NONE ? "none" : peers_id(s->peers, standby),
		standby == REGISTRAR_NONE || client_healthy(s->client, standby) ? "" :
										  " (does not "
										  "answer)");
	if (lease && client_kept(s->client, lease) != LEASE_NO_PEER)
		fprintf(e->out, "    kept       what was begun before the move stays with %s\n",
			peers_id(s->peers, client_kept(s->client, lease)));
}

static void print_lease(struct explainer *e, const struct state_lease *l)
{
	char real[ADDR_STRLEN], magic[ADDR_STRLEN], transit[ADDR_STRLEN];
	char seen[STATE_TIME_LEN], expires[STATE_TIME_LEN];

	fprintf(e->out,
		"  %s\n"
		"    app        %s\n"
		"    real       %s   what upstream DNS says\n"
		"    magic      %s   what programs on this node get\n"
		"    transit    %s   what is sent to the connector in its place\n"
		"    connector  %s%s\n",
		l->lease.domain, l->app, addr_print(real, &l->lease.real),
		addr_print(magic, &l->magic), addr_print(transit, &l->lease.transit),
		*l->connector ? l->connector : "none yet",
		*l->connector && !client_healthy(e->source->client, l->lease.peer) ? " (does not "
										     "answer)" :
										     "");
	print_standby(e, l);
	fprintf(e->out,
		"    traffic    %" PRIu64 " packets, %" PRIu64 " bytes, last %s\n"
		"    lease      until %s, longer while in use%s\n",
		l->packets, l->bytes, when(seen, l->last_seen), when(expires, l->lease.expires),
		l->flags & C25_MAGIC_DEAD ? "\n    refused    the connector no longer serves it" :
					    "");
}

static void print_mapping(struct explainer *e, const struct state_mapping *m)
{
	char client[ADDR_STRLEN], real[ADDR_STRLEN], transit[ADDR_STRLEN], seen[STATE_TIME_LEN];

	fprintf(e->out,
		"  for peer %s (%s)\n"
		"    app        %s\n"
		"    transit    %s   what the peer sends\n"
		"    real       %s   where it goes on to\n"
		"    traffic    %" PRIu64 " packets, %" PRIu64 " bytes, last %s\n",
		m->peer, addr_print(client, &m->key.client), m->app,
		addr_print(transit, &m->key.transit), addr_print(real, &m->mapping.real),
		m->packets, m->bytes, when(seen, m->last_seen));
}

static void print_connectors(struct explainer *e, const struct netmap_app *app)
{
	const struct explain_source *s = e->source;
	size_t nodes[REGISTRAR_MAX_CONNECTORS], n;

	n = policy_connectors(s->nm, app, netmap_self(s->nm), nodes, REGISTRAR_MAX_CONNECTORS);
	if (!n)
		fprintf(e->out, "  connectors   none: no node that advertises is named by the "
				"app\n");
	for (size_t i = 0; i < n && i < REGISTRAR_MAX_CONNECTORS; i++) {
		const struct netmap_node *node = &s->nm->nodes[nodes[i]];
		const char *url = s->tls && node->peer_api_tls ? node->peer_api_tls :
								 node->peer_api;

		fprintf(e->out, "  connector %zu  %s at %s, %s\n", i + 1, node->id,
			url ? url : "no address",
			client_healthy(s->client, peers_index(s->peers, node->id)) ? "healthy" :
										     "does not "
										     "answer");
	}
}

static void explain_name(struct explainer *e, const char *name)
{
	const struct explain_source *s = e->source;
	size_t app = s->client ? client_match(s->client, name) : DOMAINS_NONE;
	size_t shown = 0;

	fprintf(e->out, "%s\n", name);
	if (app == DOMAINS_NONE) {
		fprintf(e->out, "  no app that this node may use has it: DNS passes unchanged\n");
		return;
	}
	if (app == DOMAINS_SELF) {
		fprintf(e->out, "  this node is a connector of its app: DNS passes unchanged\n");
		return;
	}
	fprintf(e->out, "  app          %s\n", s->nm->apps[app].name);
	if (s->nm->apps[app].resolve == NETMAP_RESOLVE_CONNECTOR)
		fprintf(e->out, "  resolved     by the connector, over its peer API\n");
	print_connectors(e, &s->nm->apps[app]);
	for (size_t i = 0; i < e->state->n_leases; i++) {
		if (strcasecmp(e->state->leases[i].lease.domain, name) != 0)
			continue;
		print_lease(e, &e->state->leases[i]);
		shown++;
	}
	if (!shown)
		fprintf(e->out, "  no lease: nobody has asked for it lately\n");
}

static void explain_addr(struct explainer *e, const struct c25_addr *a)
{
	const struct netmap_node *node = netmap_node_by_addr(e->source->nm, a);
	char text[ADDR_STRLEN];
	size_t shown = 0;

	fprintf(e->out, "%s\n", addr_print(text, a));
	if (node)
		fprintf(e->out, "  overlay address of node %s\n", node->id);
	for (size_t i = 0; i < e->state->n_leases; i++) {
		const struct state_lease *l = &e->state->leases[i];

		if (!addr_equal(a, &l->magic) && !addr_equal(a, &l->lease.transit) &&
		    !addr_equal(a, &l->lease.real))
			continue;
		print_lease(e, l);
		shown++;
	}
	for (size_t i = 0; i < e->state->n_mappings; i++) {
		const struct state_mapping *m = &e->state->mappings[i];

		if (!addr_equal(a, &m->key.transit) && !addr_equal(a, &m->mapping.real))
			continue;
		print_mapping(e, m);
		shown++;
	}
	if (!shown && !node)
		fprintf(e->out, "  no lease and no mapping names it\n");
}

char *explain(const struct explain_source *source, const char *subject)
{
	_cleanup_(state) struct state *state = NULL;
	struct explainer e = { .source = source };
	struct c25_addr a;
	char name[256];
	char *text = NULL;
	size_t len;

	if (state_read(&state, source->maps))
		return NULL;
	e.state = state;
	e.out = open_memstream(&text, &len);
	if (!e.out)
		return NULL;
	snprintf(name, sizeof(name), "%s", subject);
	len = strlen(name);
	if (len > 1 && name[len - 1] == '.')
		name[len - 1] = 0;
	if (addr_parse(&a, name) > 0)
		explain_addr(&e, &a);
	else
		explain_name(&e, name);
	return fclose(e.out) ? NULL : text;
}
