/* SPDX-License-Identifier: BSD-3-Clause */
#include "cleanup.h"
#include "leaks.h"
#include "policy.h"

#include <string.h>

SUITE(policy);

#define POOLS                                                                                      \
	"\"ipPools\":{\"v4MagicIPPool\":[\"198.18.0.0/16\"],"                                      \
	"\"v4TransitIPPool\":[\"172.31.64.0-172.31.127.255\"],"                                    \
	"\"v6MagicIPPool\":[\"fd25:a::/96\"],\"v6TransitIPPool\":[\"fd25:b::/96\"]}"

static struct netmap *parsed(const char *text)
{
	struct netmap_fault fault = { 0 };
	struct netmap *nm = NULL;

	cr_assert_eq(netmap_parse(&nm, text, strlen(text), NULL, &fault), 0, "%s: %s: %s", text,
		     fault.path, fault.text);
	return nm;
}

static struct netmap *with_app(const char *rest)
{
	_cleanup_free_ char *text = NULL;

	cr_assert_gt(asprintf(&text,
			      "{\"nodes\":[{\"id\":\"a\",\"tags\":[\"tag:w\",\"tag:x\"]},"
			      "{\"id\":\"exit\",\"tags\":[\"tag:e\"],\"connector\":true,"
			      "\"addresses\":[\"100.101.0.9\",\"fd25::9\"]},"
			      "{\"id\":\"quiet\",\"tags\":[\"tag:e\"]}],"
			      "\"apps\":[{\"name\":\"web\",\"domains\":[]%s}]," POOLS "}",
			      rest),
		     0);
	return parsed(text);
}

Test(policy, clients_are_named_by_tag_by_id_or_all_at_once)
{
	static const struct {
		const char *clients;
		bool a, exit;
	} cases[] = {
		{ "", false, false },
		{ ",\"clients\":[]", false, false },
		{ ",\"clients\":[\"*\"]", true, true },
		{ ",\"clients\":[\"a\"]", true, false },
		{ ",\"clients\":[\"nobody\",\"tag:x\"]", true, false },
		{ ",\"clients\":[\"A\",\"tag:\",\"tag:wx\",\"tag\"]", false, false },
		{ ",\"clients\":[\"tag:e\",\"a\"]", true, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_netmap_ struct netmap *nm = with_app(cases[i].clients);

		cr_expect_eq(policy_may_use(nm->apps, &nm->nodes[0]), cases[i].a, "%zu", i);
		cr_expect_eq(policy_may_use(nm->apps, &nm->nodes[1]), cases[i].exit, "%zu", i);
	}
}

Test(policy, only_a_node_that_advertises_itself_serves)
{
	_cleanup_netmap_ struct netmap *nm = with_app(",\"connectors\":[\"tag:e\"]");
	_cleanup_netmap_ struct netmap *any = with_app(",\"connectors\":[\"*\"]");
	_cleanup_netmap_ struct netmap *none = with_app("");

	cr_assert(!policy_serves(nm->apps, &nm->nodes[0]));
	cr_assert(policy_serves(nm->apps, &nm->nodes[1]));
	cr_assert(!policy_serves(nm->apps, &nm->nodes[2]));
	cr_assert(policy_serves(any->apps, &any->nodes[1]));
	cr_assert(!policy_serves(any->apps, &any->nodes[2]));
	cr_assert(!policy_serves(none->apps, &none->nodes[1]));
}

static const char *denied(const struct netmap *nm, const char *dst)
{
	const char *why = "allowed";
	struct c25_addr a;
	int family = addr_parse(&a, dst);

	cr_assert_gt(family, 0);
	if (policy_destination(nm, nm->apps, &a, family == 6, &why))
		cr_assert_str_eq(why, "allowed", "the reason is set for what is allowed");
	else
		cr_assert_str_neq(why, "allowed", "%s is denied without a reason", dst);
	return why;
}

static const char *const always_denied[] = {
	"127.0.0.1",   "127.255.0.9",    "::1",       "169.254.169.254", "169.254.0.0",
	"fe80::1",     "febf::1",        "224.0.0.1", "239.255.255.255", "ff02::1",
	"0.0.0.0",     "0.1.2.3",        "::",        "255.255.255.255", "198.18.3.4",
	"172.31.64.0", "172.31.127.255", "fd25:a::9", "fd25:b::ffff:1",  "100.101.0.9",
	"fd25::9",
};

static const char *const allowed[] = {
	"198.51.100.7", "2001:db8::7", "10.0.0.1",      "128.0.0.1",
	"126.0.0.1",    "169.253.0.1", "172.31.63.255", "172.31.128.0",
	"fec0::1",      "fd25::8",     "100.101.0.8",   "::2",
	"223.0.0.1",    "240.0.0.1",   "198.19.0.0",    "64:ff9b::7f00:1",
};

Test(policy, without_routes_all_but_the_always_denied_is_reached)
{
	_cleanup_netmap_ struct netmap *nm = with_app("");

	for (size_t i = 0; i < ARRAY_SIZE(always_denied); i++)
		cr_expect_str_neq(denied(nm, always_denied[i]), "allowed", "%s", always_denied[i]);
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		cr_expect_str_eq(denied(nm, allowed[i]), "allowed", "%s", allowed[i]);
	cr_assert_str_eq(denied(nm, "169.254.169.254"), "destination is link-local");
	cr_assert_str_eq(denied(nm, "100.101.0.9"), "destination is a node's overlay address");
}

Test(policy, default_routes_name_no_denied_destination)
{
	_cleanup_netmap_ struct netmap *nm = with_app(",\"routes\":[\"0.0.0.0/0\",\"::/0\"]");

	for (size_t i = 0; i < ARRAY_SIZE(always_denied); i++)
		cr_expect_str_neq(denied(nm, always_denied[i]), "allowed", "%s", always_denied[i]);
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		cr_expect_str_eq(denied(nm, allowed[i]), "allowed", "%s", allowed[i]);
}

Test(policy, a_route_more_specific_than_a_default_one_names_what_it_covers)
{
	_cleanup_netmap_ struct netmap *nm = with_app(",\"routes\":[\"0.0.0.0/0\",\"::/"
						      "0\",\"169.254.169.254/32\",\"fe80::/64\","
						      "\"100.101.0.0/24\",\"127.0.0.0/8\"]");

	cr_expect_str_eq(denied(nm, "169.254.169.254"), "allowed");
	cr_expect_str_eq(denied(nm, "fe80::1"), "allowed");
	cr_expect_str_eq(denied(nm, "100.101.0.9"), "allowed");
	cr_expect_str_eq(denied(nm, "127.0.0.1"), "allowed");
	cr_expect_str_neq(denied(nm, "169.254.169.253"), "allowed");
	cr_expect_str_neq(denied(nm, "fe80:0:0:1::1"), "allowed");
	cr_expect_str_neq(denied(nm, "fd25::9"), "allowed");
}

Test(policy, with_routes_nothing_outside_them_is_reached)
{
	_cleanup_netmap_ struct netmap *nm = with_app(",\"routes\":[\"198.51.100.0/"
						      "24\",\"2001:db8::/32\"]");
	_cleanup_netmap_ struct netmap *none = with_app(",\"routes\":[]");
	_cleanup_netmap_ struct netmap *six = with_app(",\"routes\":[\"::/0\"]");

	cr_expect_str_eq(denied(nm, "198.51.100.255"), "allowed");
	cr_expect_str_eq(denied(nm, "2001:db8:ffff::"), "allowed");
	cr_expect_str_eq(denied(nm, "198.51.101.0"), "destination is outside the app's routes");
	cr_expect_str_neq(denied(nm, "2001:db9::"), "allowed");
	cr_expect_str_neq(denied(none, "198.51.100.1"), "allowed");
	cr_expect_str_neq(denied(six, "198.51.100.1"), "allowed");
}

Test(policy, a_mapped_spelling_is_never_permitted)
{
	_cleanup_netmap_ struct netmap *nm = with_app(",\"routes\":[\"198.51.100.0/24\",\"::/0\"]");

	cr_expect_str_eq(denied(nm, "::ffff:198.51.100.7"), "destination is an IPv4-mapped IPv6 "
							    "address");
	cr_expect_str_eq(denied(nm, "198.51.100.7"), "allowed");
}

#define CONNECTORS 40
#define CLIENTS    400

/* Connectors c0, c1, …; c`without` is not among them. Clients n0, n1, … follow. */
static struct netmap *fleet(int without)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fputs("{\"nodes\":[{\"id\":\"unreachable\",\"connector\":true}", f);
	for (int i = 0; i < CONNECTORS; i++)
		if (i != without)
			fprintf(f,
				",{\"id\":\"c%d\",\"connector\":true,"
				"\"addresses\":[\"100.101.0.%d\"]}",
				i, i + 1);
	for (int i = 0; i < CLIENTS; i++)
		fprintf(f, ",{\"id\":\"n%d\"}", i);
	fputs("],\"apps\":[{\"name\":\"web\",\"domains\":[],\"connectors\":[\"*\"]},"
	      "{\"name\":\"db\",\"domains\":[],\"connectors\":[\"*\"]}]," POOLS "}",
	      f);
	fclose(f);
	return parsed(text);
}

static const struct netmap_node *client(const struct netmap *nm, int n)
{
	char id[16];

	snprintf(id, sizeof(id), "n%d", n);
	return netmap_node_by_id(nm, id);
}

static const char *first(const struct netmap *nm, int app, int n)
{
	size_t out;

	cr_assert_geq(policy_connectors(nm, &nm->apps[app], client(nm, n), &out, 1), 1);
	return nm->nodes[out].id;
}

Test(policy, a_short_list_is_the_head_of_the_long_one)
{
	_cleanup_netmap_ struct netmap *nm = fleet(-1);
	size_t all[CONNECTORS], some[5];
	bool seen[CONNECTORS + 1] = { false };

	cr_assert_eq(policy_connectors(nm, nm->apps, client(nm, 3), all, CONNECTORS), CONNECTORS);
	for (int i = 0; i < CONNECTORS; i++) {
		cr_assert_eq(nm->nodes[all[i]].id[0], 'c');
		cr_assert(!seen[all[i]]);
		seen[all[i]] = true;
	}
	cr_assert_eq(policy_connectors(nm, nm->apps, client(nm, 3), some, 5), CONNECTORS);
	cr_assert_arr_eq(some, all, sizeof(some));
	cr_assert_eq(policy_connectors(nm, nm->apps, client(nm, 3), NULL, 0), CONNECTORS);
}

Test(policy, a_client_is_not_its_own_connector)
{
	_cleanup_netmap_ struct netmap *nm = fleet(-1);
	const struct netmap_node *self = netmap_node_by_id(nm, "c7");
	size_t all[CONNECTORS];

	cr_assert_eq(policy_connectors(nm, nm->apps, self, all, CONNECTORS), CONNECTORS - 1);
	for (int i = 0; i < CONNECTORS - 1; i++)
		cr_assert_neq(&nm->nodes[all[i]], self);
}

Test(policy, load_spreads_over_the_connectors_and_apps_differ)
{
	_cleanup_netmap_ struct netmap *nm = fleet(-1);
	unsigned load[CONNECTORS] = { 0 }, same = 0;

	for (int i = 0; i < CLIENTS; i++) {
		load[atoi(first(nm, 0, i) + 1)]++;
		same += !strcmp(first(nm, 0, i), first(nm, 1, i));
	}
	for (int i = 0; i < CONNECTORS; i++)
		cr_expect(load[i] > 0 && load[i] < 4 * CLIENTS / CONNECTORS, "c%d: %u", i, load[i]);
	cr_assert_lt(same, CLIENTS / 8);
}

Test(policy, a_connector_that_leaves_moves_only_its_own_clients)
{
	_cleanup_netmap_ struct netmap *before = fleet(-1), *after = fleet(11);

	for (int i = 0; i < CLIENTS; i++) {
		const char *was = first(before, 0, i), *is = first(after, 0, i);

		if (strcmp(was, "c11"))
			cr_expect_str_eq(is, was, "n%d", i);
	}
}
