/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd.h"
#include "config.h"
#include "control.h"
#include "options.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct settings {
	const char *control;
	bool json;
};

OPTION_SETTER(set_control, struct settings, t->control = value)
OPTION_SETTER(set_json, struct settings, t->json = true)

static const struct option_def options[] = {
	{ "json", NULL, "the state as JSON", set_json, 0 },
	{ "control", "PATH", "the daemon's control socket [" CONFIG_CONTROL "]", set_control, 0 },
};

static const struct command_def def = {
	.usage = "conn25 status [--json] [--control PATH]",
	.text = "What the running daemon holds: leases, mappings, pools, connectors, counters.",
	.options = options,
	.n_options = ARRAY_SIZE(options),
};

DEFINE_CLEANUP(json, cJSON *, cJSON_Delete)

static const char *text_of(const cJSON *o, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, name));

	return text && *text ? text : "-";
}

static double number_of(const cJSON *o, const char *name)
{
	return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(o, name));
}

static const cJSON *at(const cJSON *o, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(o, name);
}

static void print_address(const char *app, const char *domain, const cJSON *a)
{
	printf("  %-12s %-28s %-22s %-20s %-20s %-12s %8.0f packets%s\n", app, domain,
	       text_of(a, "destinationIP"), text_of(a, "magicIP"), text_of(a, "transitIP"),
	       text_of(a, "connector"), number_of(a, "packets"),
	       cJSON_IsTrue(at(a, "refused")) ? "  refused" : "");
}

static void print_client(const cJSON *client)
{
	static const char *const pools[][3] = {
		{ "ipv4MagicIPsInUse", "ipv4MagicIPsCapacity", "IPv4 magic" },
		{ "ipv4TransitIPsInUse", "ipv4TransitIPsCapacity", "IPv4 transit" },
		{ "ipv6MagicIPsInUse", "ipv6MagicIPsCapacity", "IPv6 magic" },
		{ "ipv6TransitIPsInUse", "ipv6TransitIPsCapacity", "IPv6 transit" },
	};
	const cJSON *stats = at(client, "ipPoolStats"), *app, *domain, *address, *c, *n;

	printf("Leases\n  %-12s %-28s %-22s %-20s %-20s %s\n", "APP", "DOMAIN", "REAL", "MAGIC",
	       "TRANSIT", "CONNECTOR");
	cJSON_ArrayForEach (app, at(client, "apps"))
		cJSON_ArrayForEach (domain, at(app, "domains"))
			cJSON_ArrayForEach (address, at(domain, "addresses"))
				print_address(text_of(app, "app"), text_of(domain, "domain"),
					      address);
	printf("Pools\n");
	for (size_t i = 0; i < ARRAY_SIZE(pools); i++)
		if (number_of(stats, pools[i][1]) > 0)
			printf("  %-14s %.0f of %.0f in use\n", pools[i][2],
			       number_of(stats, pools[i][0]), number_of(stats, pools[i][1]));
	printf("Connectors\n");
	cJSON_ArrayForEach (c, at(client, "connectors"))
		printf("  %-14s %s\n", text_of(c, "id"),
		       cJSON_IsTrue(at(c, "healthy")) ? "healthy" : "does not answer");
	printf("DNS\n ");
	cJSON_ArrayForEach (n, at(client, "dns"))
		if (n->valuedouble > 0)
			printf(" %s %.0f", n->string, n->valuedouble);
	printf("\n");
}

static void print_connector(const cJSON *connector)
{
	const cJSON *peer, *app, *a;

	printf("Mappings\n  %-20s %-12s %-22s %s\n", "PEER", "APP", "TRANSIT", "REAL");
	cJSON_ArrayForEach (peer, at(connector, "peers"))
		cJSON_ArrayForEach (app, at(peer, "apps"))
			cJSON_ArrayForEach (a, at(app, "addresses"))
				printf("  %-20s %-12s %-22s %-22s %8.0f packets\n",
				       text_of(peer, "clientIP"), text_of(app, "app"),
				       text_of(a, "transitIP"), text_of(a, "destinationIP"),
				       number_of(a, "packets"));
}

static int print_text(const char *text)
{
	_cleanup_(json) cJSON *o = cJSON_Parse(text);
	const cJSON *r;

	if (!o) {
		fprintf(stderr, "conn25: the daemon's answer is not JSON\n");
		return EXIT_FAULT;
	}
	printf("Node %s, conn25 %s%s\n", text_of(o, "node"), text_of(o, "version"),
	       cJSON_IsTrue(at(o, "configured")) ? "" : ", no app configured");
	if (at(at(o, "client"), "dns"))
		print_client(at(o, "client"));
	if (at(at(o, "connector"), "registrations"))
		print_connector(at(o, "connector"));
	printf("Packets\n");
	cJSON_ArrayForEach (r, at(o, "reasons"))
		printf("  %-18s %12.0f packets %14.0f bytes\n", r->string, number_of(r, "packets"),
		       number_of(r, "bytes"));
	return 0;
}

int cmd_status(int argc, char **argv)
{
	struct settings s = { .control = CONFIG_CONTROL };
	_cleanup_free_ char *text = NULL;

	switch (options_parse(&def, &s, argc, argv, NULL)) {
	case OPTIONS_DONE:
		return 0;
	case OPTIONS_ERROR:
		return EXIT_USAGE;
	case OPTIONS_OK:
		break;
	}
	if (control_get(&text, s.control, "/conn25/state"))
		return EXIT_FAULT;
	if (s.json) {
		puts(text);
		return 0;
	}
	return print_text(text);
}
