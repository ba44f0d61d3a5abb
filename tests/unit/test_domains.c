/* SPDX-License-Identifier: BSD-3-Clause */
#include "cleanup.h"
#include "domains.h"
#include "leaks.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

SUITE(domains);

#define NODES                                                                                      \
	"{\"ipPools\":{\"v4MagicIPPool\":[\"198.18.0.0/16\"],"                                     \
	"\"v4TransitIPPool\":[\"169.254.64.0/18\"]},"                                              \
	"\"nodes\":[{\"id\":\"me\",\"tags\":[\"tag:w\"],\"addresses\":[\"100.101.0.1\"]%s},"       \
	"{\"id\":\"exit\",\"addresses\":[\"100.101.0.9\"],\"connector\":true}],\"apps\":[%s]}"

static struct netmap *cluster(const char *self, const char *mine, const char *apps)
{
	_cleanup_free_ char *text = NULL;
	struct netmap_fault fault = { 0 };
	struct netmap *nm = NULL;

	cr_assert_gt(asprintf(&text, NODES, mine, apps), 0);
	cr_assert_eq(netmap_parse(&nm, text, strlen(text), self, &fault), 0, "%s: %s", fault.path,
		     fault.text);
	return nm;
}

static struct domains *table(const char *mine, const char *apps)
{
	_cleanup_netmap_ struct netmap *nm = cluster("me", mine, apps);
	struct domains *d = NULL;

	cr_assert_eq(domains_new(&d, nm), 0);
	return d;
}

/* Wire form of a name with dots; no escapes. */
static void wire(uint8_t out[256], const char *name)
{
	size_t n = 0;

	while (*name) {
		size_t len = strcspn(name, ".");

		out[n++] = (uint8_t)len;
		memcpy(out + n, name, len);
		n += len;
		name += len + (name[len] == '.');
	}
	out[n] = 0;
}

static size_t match(const struct domains *d, const char *name)
{
	uint8_t w[256];

	wire(w, name);
	return domains_match(d, w);
}

/* Several apps used by all and served by exit, each with its domains as JSON; ends with NULL. */
static struct domains *apps(const char *first, ...)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	va_list args;
	int n = 0;

	va_start(args, first);
	for (const char *one = first; one; one = va_arg(args, const char *), n++)
		fprintf(f,
			"%s{\"name\":\"%d\",\"clients\":[\"*\"],\"connectors\":[\"exit\"],"
			"\"domains\":[%s]}",
			n ? "," : "", n, one);
	va_end(args);
	fclose(f);
	return table("", text);
}

Test(domains, names_are_compared_without_case_and_label_by_label)
{
	_cleanup_(domains) struct domains *d = apps("\"Example.COM.\"", NULL);

	cr_assert_eq(match(d, "example.com"), 0);
	cr_assert_eq(match(d, "eXAMPLE.Com"), 0);
	cr_assert_eq(match(d, "www.example.com"), DOMAINS_NONE);
	cr_assert_eq(match(d, "xexample.com"), DOMAINS_NONE);
	cr_assert_eq(match(d, "example.co"), DOMAINS_NONE);
	cr_assert_eq(match(d, "com"), DOMAINS_NONE);
	cr_assert_eq(match(d, ""), DOMAINS_NONE);
	cr_assert_eq(match(d, "example.com.com"), DOMAINS_NONE);
}

Test(domains, only_letters_lose_their_case)
{
	_cleanup_(domains) struct domains *d = apps("\"a-_0.example\"", NULL);

	cr_assert_eq(match(d, "A-_0.example"), 0);
	cr_assert_eq(match(d, "a\r_0.example"), DOMAINS_NONE);
	cr_assert_eq(match(d, "a-\x7f"
			      "0.example"),
		     DOMAINS_NONE);
	cr_assert_eq(match(d, "a-_\x10.example"), DOMAINS_NONE);
}

Test(domains, a_wildcard_covers_all_below_and_its_own_base)
{
	_cleanup_(domains) struct domains *d = apps("\"*.example.net\"", NULL);

	cr_assert_eq(match(d, "example.net"), 0);
	cr_assert_eq(match(d, "a.example.net"), 0);
	cr_assert_eq(match(d, "a.b.c.example.net"), 0);
	cr_assert_eq(match(d, "aexample.net"), DOMAINS_NONE);
	cr_assert_eq(match(d, "net"), DOMAINS_NONE);
}

Test(domains, an_exact_domain_wins_over_any_wildcard)
{
	_cleanup_(domains) struct domains *d =
		apps("\"*.www.example.com\",\"*.com\"", "\"www.example.com\"", NULL);

	cr_assert_eq(match(d, "www.example.com"), 1);
	cr_assert_eq(match(d, "a.www.example.com"), 0);
	cr_assert_eq(match(d, "example.com"), 0);
}

Test(domains, among_wildcards_the_longest_wins)
{
	_cleanup_(domains) struct domains *d =
		apps("\"*.com\"", "\"*.b.example.com\"", "\"*.example.com\"", NULL);

	cr_assert_eq(match(d, "x.b.example.com"), 1);
	cr_assert_eq(match(d, "b.example.com"), 1);
	cr_assert_eq(match(d, "x.example.com"), 2);
	cr_assert_eq(match(d, "example.com"), 2);
	cr_assert_eq(match(d, "other.com"), 0);
	cr_assert_eq(match(d, "com"), 0);
}

Test(domains, the_first_app_with_the_winning_domain_takes_it)
{
	_cleanup_(domains) struct domains *d = apps("\"other.example\"",
						    "\"a.example\",\"*.b.example\"",
						    "\"a.example\",\"*.b.example\"", NULL);

	cr_assert_eq(match(d, "a.example"), 1);
	cr_assert_eq(match(d, "x.b.example"), 1);
}

#define ONE(name, who, by, domain)                                                                 \
	"{\"name\":\"" name "\",\"clients\":[\"" who "\"],\"connectors\":[\"" by "\"],"            \
	"\"domains\":["                                                                            \
	"\"" domain "\"]"                                                                          \
	"}"

Test(domains, apps_that_this_node_may_not_use_take_nothing)
{
	_cleanup_(domains) struct domains *d =
		table("", ONE("x", "exit", "exit", "example.com") "," ONE(
				  "y", "tag:w", "exit", "*.example.com") ",{\"name\":\"z\","
									 "\"domains\":[\"z.com\"]"
									 "}");

	cr_assert_eq(match(d, "example.com"), 1);
	cr_assert_eq(match(d, "z.com"), DOMAINS_NONE);
}

Test(domains, a_node_never_routes_a_name_through_itself)
{
	_cleanup_(domains) struct domains *d = table(
		",\"connector\":true",
		ONE("x", "*", "tag:w", "example.com") "," ONE("y", "*", "exit", "*.example.com"));

	cr_assert_eq(match(d, "example.com"), DOMAINS_SELF);
	cr_assert_eq(match(d, "www.example.com"), 1);
}

Test(domains, one_matching_app_of_this_node_is_enough_to_pass)
{
	_cleanup_(domains) struct domains *d =
		table(",\"connector\":true",
		      ONE("x", "*", "exit", "example.com") "," ONE("y", "*", "me", "example.com"));

	cr_assert_eq(match(d, "example.com"), DOMAINS_SELF);
}

Test(domains, a_node_that_does_not_advertise_is_a_client_like_others)
{
	_cleanup_(domains) struct domains *d = table("", ONE("x", "*", "*", "example.com"));

	cr_assert_eq(match(d, "example.com"), 0);
}

Test(domains, without_this_node_nothing_is_configured)
{
	_cleanup_netmap_ struct netmap *nm = cluster(NULL, "", ONE("x", "*", "*", "example.com"));
	_cleanup_(domains) struct domains *d = NULL;

	cr_assert_eq(domains_new(&d, nm), 0);
	cr_assert_eq(match(d, "example.com"), DOMAINS_NONE);
}

Test(domains, the_table_outlives_the_netmap_and_the_longest_name_fits)
{
	char longest[254], json[260];
	_cleanup_(domains) struct domains *d = NULL;

	for (int i = 0; i < 253; i++)
		longest[i] = i % 2 ? '.' : 'a';
	longest[253] = 0;
	snprintf(json, sizeof(json), "\"%s\"", longest);
	d = apps(json, NULL);
	cr_assert_eq(match(d, longest), 0);
	cr_assert_eq(match(d, longest + 2), DOMAINS_NONE);
}

Test(domains, hostile_names_match_nothing_and_overrun_nothing)
{
	_cleanup_(domains) struct domains *d = apps("\"*.com\"", NULL);
	uint8_t *name = malloc(255);

	for (int fill = 1; fill < 256; fill++) {
		memset(name, fill, 255);
		cr_assert_eq(domains_match(d, name), DOMAINS_NONE, "%d", fill);
	}
	memcpy(name, "\3com\xc0\0", 7);
	cr_assert_eq(domains_match(d, name), DOMAINS_NONE);
	memset(name, 'a', 255);
	name[0] = 64;
	memcpy(name + 65, "\3com", 5);
	cr_assert_eq(domains_match(d, name), DOMAINS_NONE, "a label of 64 bytes");
	memcpy(name, "\1.\3com", 7);
	cr_assert_eq(domains_match(d, name), 0, "a dot inside a label is no border");
	memcpy(name, "\5x\0com\0", 8);
	cr_assert_eq(domains_match(d, name), DOMAINS_NONE, "a NUL inside a label is no end");
	free(name);
}

static double nanoseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

Test(domains, a_hundred_thousand_domains_are_searched_as_fast_as_a_few)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_(domains) struct domains *d = NULL;
	uint8_t(*names)[256] = calloc(1000, sizeof(*names));
	double took;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (int i = 0; i < 100000; i++)
		fprintf(f, "%s\"%shost-%d.zone-%d.example.com\"", i ? "," : "", i % 2 ? "*." : "",
			i, i % 1000);
	fclose(f);
	d = apps(text, NULL);
	for (int i = 0; i < 1000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "www.host-%d.zone-%d.example.com", 97 * i,
			 97 * i % 1000);
		wire(names[i], name);
	}
	took = nanoseconds();
	for (int round = 0; round < 10; round++)
		for (int i = 0; i < 1000; i++)
			cr_assert_eq(domains_match(d, names[i]), i % 2 ? 0 : DOMAINS_NONE);
	took = (nanoseconds() - took) / 10000;
	/* Some 200 ns without the sanitizers and Criterion's assertions. */
	cr_assert_lt(took, 20000);
	free(names);
}
