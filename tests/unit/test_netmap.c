/* SPDX-License-Identifier: BSD-3-Clause */
#include "cleanup.h"
#include "cmd.h"
#include "leaks.h"
#include "netmap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <time.h>

#define POOLS                                                                                      \
	"\"ipPools\":{\"v4MagicIPPool\":[\"198.18.0.0/16\"],"                                      \
	"\"v4TransitIPPool\":[\"169.254.64.0/18\"]}"

SUITE(netmap);

static const char *golden(const char *name)
{
	static char path[4][512];
	static unsigned turn;
	char source[] = __FILE__, *out = path[turn++ % 4];

	snprintf(out, sizeof(path[0]), "%s/../golden/netmap/%s", dirname(source), name);
	return out;
}

/* NULL: no such file. */
static char *slurp(const char *path)
{
	_cleanup_(fclose) FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!f)
		return NULL;
	if (getdelim(&text, &size, 0, f) < 0)
		text[0] = 0;
	return text;
}

static char *print(const struct netmap *nm)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	cr_assert_eq(netmap_print(f, nm), 0);
	fclose(f);
	return text;
}

static struct netmap *parsed(const char *text)
{
	struct netmap_fault fault = { 0 };
	struct netmap *nm = NULL;

	cr_assert_eq(netmap_parse(&nm, text, strlen(text), NULL, &fault), 0, "%s: %s: %s", text,
		     fault.path, fault.text);
	return nm;
}

static const char *fault_of_bytes(const char *text, size_t len, const char *self)
{
	static char line[1100];
	struct netmap_fault fault = { 0 };
	struct netmap *nm = (void *)&fault;

	if (netmap_parse(&nm, text, len, self, &fault) != -EINVAL)
		return "no fault";
	cr_assert_eq(nm, (void *)&fault, "the out parameter is touched on failure");
	snprintf(line, sizeof(line), "%s%s%s", fault.path, *fault.path ? ": " : "", fault.text);
	return line;
}

static const char *fault_of(const char *text)
{
	return fault_of_bytes(text, strlen(text), NULL);
}

Test(netmap, each_fault_names_the_value_at_fault)
{
	_cleanup_(fclose) FILE *f = fopen(golden("faults"), "r");
	_cleanup_free_ char *json = NULL, *want = NULL;
	size_t json_size = 0, want_size = 0, n = 0;

	cr_assert_not_null(f);
	while (getline(&json, &json_size, f) > 0) {
		if (json[0] == '#')
			continue;
		cr_assert_gt(getline(&want, &want_size, f), 2);
		json[strcspn(json, "\n")] = 0;
		want[strcspn(want, "\n")] = 0;
		cr_expect_str_eq(fault_of(json), want + 2, "%s", json);
		n++;
	}
	cr_assert_gt(n, 100);
}

static void check_golden(const char *name)
{
	_cleanup_free_ char *text = slurp(golden(name)), *out = NULL, *warnings = NULL;
	_cleanup_free_ char *canonical = NULL, *again = NULL;
	_cleanup_netmap_ struct netmap *nm = parsed(text), *second = NULL;
	char other[128], *line;

	snprintf(other, sizeof(other), "%.*s.out", (int)strcspn(name, "."), name);
	out = slurp(golden(other));
	canonical = print(nm);
	cr_expect_str_eq(canonical, out, "%s", name);
	second = parsed(canonical);
	again = print(second);
	cr_expect_str_eq(again, canonical, "%s: not stable", name);

	snprintf(other, sizeof(other), "%.*s.warnings", (int)strcspn(name, "."), name);
	warnings = slurp(golden(other));
	line = warnings ? strtok(warnings, "\n") : NULL;
	for (size_t i = 0; i < nm->n_warnings; i++, line = strtok(NULL, "\n")) {
		cr_assert_not_null(line, "%s: %s", name, nm->warnings[i]);
		cr_expect_str_eq(nm->warnings[i], line, "%s", name);
	}
	cr_expect_null(line, "%s: no warning: %s", name, line);
}

Test(netmap, what_is_understood_is_printed_in_one_form)
{
	DIR *dir = opendir(golden("."));
	struct dirent *entry;
	size_t n = 0;

	cr_assert_not_null(dir);
	while ((entry = readdir(dir))) {
		const char *dot = strchr(entry->d_name, '.');

		if (dot && !strcmp(dot, ".json")) {
			check_golden(entry->d_name);
			n++;
		}
	}
	closedir(dir);
	cr_assert_geq(n, 7);
}

Test(netmap, the_order_of_nodes_and_domains_means_nothing)
{
	_cleanup_netmap_ struct netmap *a = parsed("{\"nodes\":[{\"id\":\"a\"},{\"id\":\"b\"}],"
						   "\"apps\":[{\"name\":\"x\","
						   "\"domains\":[\"A.example.\",\"b.example\"],"
						   "\"clients\":[\"b\",\"a\"]}]," POOLS "}");
	_cleanup_netmap_ struct netmap *b = parsed("{" POOLS ",\"apps\":[{\"clients\":[\"a\",\"b\"]"
						   ",\"domains\":[\"b.example\","
						   "\"a.example\",\"b.example\"],\"name\":\"x\"}],"
						   "\"nodes\":[{\"id\":\"b\"},"
						   "{\"id\":\"a\"}]}");
	_cleanup_free_ char *x = print(a), *y = print(b);

	cr_assert_str_eq(x, y);
}

Test(netmap, bytes_that_no_editor_shows_are_named_by_line_and_column)
{
	cr_expect_str_eq(fault_of("\xef\xbb\xbf{}"), "line 1, column 1: a byte order mark; save "
						     "the file as UTF-8 without one");
	cr_expect_str_eq(fault_of_bytes("{\n\0}", 4, NULL), "line 2, column 1: a NUL byte");
	cr_expect_str_eq(fault_of_bytes("{\"\0\":1}", 7, NULL), "line 1, column 3: a control "
								"character in a string");
	cr_expect_str_eq(fault_of_bytes("{}\0", 3, NULL), "line 1, column 3: a NUL byte");
	cr_expect_str_eq(fault_of("{\"a\": \"b,\n\"c\": 1}"), "line 1, column 10: a string is not "
							      "closed on its line");
	cr_expect_str_eq(fault_of("{\n\"\xc3\xa9\xff\": 1}"), "line 2, column 3: not UTF-8");
	cr_expect_str_eq(fault_of("{\"\xed\xa0\x80\": 1}"), "line 1, column 3: not UTF-8");
	cr_expect_str_eq(fault_of("{\"\xf0\x9f\x98"), "line 1, column 3: not UTF-8");
	cr_expect_str_eq(fault_of("{\"\\"), "line 1, column 2: a string is not closed");
	cr_expect_str_eq(fault_of(" \n \n"), "line 1, column 1: not JSON: it ends too early");
}

Test(netmap, an_escaped_backslash_before_u0000_is_no_nul)
{
	_cleanup_netmap_ struct netmap *nm = parsed("{\"nodes\":[{\"id\":\"a\\\\u0000\"}]}");

	cr_assert_str_eq(nm->nodes[0].id, "a\\u0000");
}

Test(netmap, every_cut_of_a_netmap_is_a_fault_and_no_crash)
{
	_cleanup_free_ char *text = slurp(golden("example.json"));
	size_t len = strlen(text);

	while (len && strchr("\n}", text[len - 1]))
		len--;
	for (size_t n = 0; n < len; n++) {
		/* Its own allocation, so that a read behind the end is seen. */
		_cleanup_free_ char *cut = malloc(n + 1);

		memcpy(cut, text, n);
		cut = realloc(cut, n ? n : 1);
		cr_assert_neq(strcmp(fault_of_bytes(cut, n, NULL), "no fault"), 0, "%zu", n);
	}
}

Test(netmap, any_byte_changed_ends_in_a_fault_or_a_netmap)
{
	_cleanup_free_ char *text = slurp(golden("warnings.json"));
	static const char bytes[] = { 0, '"', '\\', '{', ']', ',', '9', 'u', '\xff', '\n' };
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		char was = text[i];

		for (size_t j = 0; j < sizeof(bytes); j++) {
			_cleanup_netmap_ struct netmap *nm = NULL;
			struct netmap_fault fault;
			int err;

			text[i] = bytes[j];
			err = netmap_parse(&nm, text, len, "a", &fault);
			cr_assert(err == 0 || err == -EINVAL);
		}
		text[i] = was;
	}
}

Test(netmap, this_node_must_have_an_entry)
{
	static const char text[] = "{\"nodes\":[{\"id\":\"a\"},{\"id\":\"b\"}]}";
	_cleanup_netmap_ struct netmap *nm = NULL;
	struct netmap_fault fault;

	cr_assert_eq(netmap_parse(&nm, text, strlen(text), "b", &fault), 0);
	cr_assert_eq(nm->self, 1);
	cr_assert_eq(netmap_self(nm), &nm->nodes[1]);
	cr_assert_str_eq(fault_of_bytes(text, strlen(text), "c"), "/nodes: no entry for this node, "
								  "\"c\"");
	cr_assert_str_eq(fault_of_bytes("{}", 2, "c"), "/nodes: no entry for this node, \"c\"");
}

Test(netmap, nodes_are_found_by_id_and_by_either_address)
{
	_cleanup_free_ char *text = slurp(golden("example.json"));
	_cleanup_netmap_ struct netmap *nm = parsed(text);
	struct c25_addr a;

	cr_assert_null(netmap_self(nm));
	cr_assert_eq(netmap_node_by_id(nm, "exit-1"), &nm->nodes[1]);
	cr_assert_null(netmap_node_by_id(nm, "exit"));
	addr_parse(&a, "fd25::9");
	cr_assert_eq(netmap_node_by_addr(nm, &a), &nm->nodes[1]);
	addr_parse(&a, "100.101.0.1");
	cr_assert_eq(netmap_node_by_addr(nm, &a), &nm->nodes[0]);
	addr_parse(&a, "192.0.2.11");
	cr_assert_null(netmap_node_by_addr(nm, &a), "an underlay address is no overlay address");
	cr_assert_null(netmap_node_by_addr(nm, &(struct c25_addr){ 0 }));
	cr_assert_eq(netmap_app_by_name(nm, "web"), &nm->apps[0]);
	cr_assert_null(netmap_app_by_name(nm, "Web"));
}

Test(netmap, absent_routes_are_not_empty_routes)
{
	_cleanup_netmap_ struct netmap *nm = parsed("{\"apps\":[{\"name\":\"x\",\"domains\":[],"
						    "\"routes\":[]},"
						    "{\"name\":\"y\",\"domains\":[]}]," POOLS "}");

	cr_assert(nm->apps[0].has_routes);
	cr_assert_eq(nm->apps[0].n_routes, 0);
	cr_assert(!nm->apps[1].has_routes);
	cr_assert_eq(nm->apps[1].n_clients, 0);
}

Test(netmap, a_denied_destination_inside_routes_is_no_fault)
{
	_cleanup_netmap_ struct netmap *nm = parsed("{\"apps\":[{\"name\":\"x\",\"domains\":[],"
						    "\"routes\":[\"169.254.169.254/"
						    "32\",\"127.0.0.0/8\"]}]," POOLS "}");

	cr_assert_eq(nm->n_warnings, 0);
}

Test(netmap, pools_may_touch_each_other_and_a_nodes_address)
{
	_cleanup_netmap_ struct netmap *nm = parsed("{\"nodes\":[{\"id\":\"a\",\"addresses\":[\"10."
						    "0.0.5\"]}],\"ipPools\":{"
						    "\"v4MagicIPPool\":[\"10.0.0.6-10.0.0.9\",\"10."
						    "0.0.0-10.0.0.4\"],"
						    "\"v4TransitIPPool\":[\"10.0.0.10-10.0.0.20\"]}"
						    "}");

	cr_assert_eq(nm->pools[NETMAP_V4_MAGIC].n, 2);
}

Test(netmap, the_longest_names_are_taken)
{
	char label[64], text[1024];

	memset(label, 'a', 63);
	label[63] = 0;
	snprintf(text, sizeof(text),
		 "{\"apps\":[{\"name\":\"x\",\"domains\":[\"%s.%s.%s.%.61s.\"]}]," POOLS "}", label,
		 label, label, label);
	_cleanup_netmap_ struct netmap *nm = parsed(text);

	cr_assert_eq(strlen(nm->apps[0].domains[0]), 253);
}

Test(netmap, a_file_that_cannot_be_read_says_why)
{
	struct netmap_fault fault;
	struct netmap *nm = NULL;

	cr_assert_eq(netmap_read(&nm, golden("nowhere.json"), NULL, &fault), -ENOENT);
	cr_assert_str_eq(fault.path, "");
	cr_assert_str_eq(fault.text, "cannot be read: No such file or directory");
	cr_assert_eq(netmap_read(&nm, golden("."), NULL, &fault), -EISDIR);
	cr_assert_null(nm);
	cr_assert_eq(netmap_read(&nm, golden("example.json"), "exit-1", &fault), 0);
	cr_assert_eq(nm->self, 1);
	netmap_free(nm);
}

Test(netmap, warnings_do_not_grow_without_end)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_netmap_ struct netmap *nm = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fputc('{', f);
	for (int i = 0; i < 5000; i++)
		fprintf(f, "\"k%d\":0,", i);
	fputs("\"nodes\":[]}", f);
	fclose(f);
	nm = parsed(text);
	cr_assert_eq(nm->n_warnings, 1001);
	cr_assert_str_eq(nm->warnings[1000], "/k1000: more warnings from here on are left out");
}

Test(netmap, a_long_key_leaves_its_path_whole_or_cut_but_never_overruns)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_netmap_ struct netmap *nm = NULL;

	cr_assert_gt(asprintf(&text,
			      "{\"%01200d\":1,\"nodes\":[{\"id\":\"%0253d\"},"
			      "{\"id\":\"b\",\"tags\":[\"x\"],\"%0600d\":{}}]}",
			      7, 7, 7),
		     0);
	nm = parsed(text);
	cr_assert_eq(nm->n_warnings, 2);
	cr_assert_lt(strlen(nm->warnings[0]), 600);
}

Test(netmap, more_nodes_than_the_maps_hold_are_a_fault)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fputs("{\"nodes\":[", f);
	for (int i = 0; i <= C25_MAX_PEERS; i++)
		fprintf(f, "%s{\"id\":\"n%d\"}", i ? "," : "", i);
	fputs("]}", f);
	fclose(f);
	cr_assert_str_eq(fault_of(text), "/nodes: holds 16385 nodes; at most 16384 are supported");
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

Test(netmap, a_big_cluster_loads_in_well_under_a_second)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_netmap_ struct netmap *nm = NULL;
	double started;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fputs("{\"nodes\":[", f);
	for (int i = 0; i < 10000; i++)
		fprintf(f,
			"%s{\"id\":\"node-%d\",\"addresses\":[\"100.101.%d.%d\",\"fd25::%x\"],"
			"\"tags\":[\"tag:workers\",\"tag:%d\"],\"podCIDRs\":[\"10.%d.%d.0/24\"],"
			"\"underlay\":\"192.0.%d.%d\",\"peerAPI\":\"http://node-%d:8025\"}",
			i ? "," : "", i, i / 250, i % 250 + 1, i + 1, i % 100, i / 250, i % 250,
			i / 250, i % 250 + 1, i);
	fputs("],\"apps\":[{\"name\":\"x\",\"clients\":[\"tag:workers\"],\"domains\":[", f);
	for (int i = 0; i < 100000; i++)
		fprintf(f, "%s\"*.host-%d.Example.com\"", i ? "," : "", i);
	fputs("]}]," POOLS "}", f);
	fclose(f);
	started = seconds();
	nm = parsed(text);
	/* The sanitizers cost a factor of about three. */
	cr_assert_lt(seconds() - started, 2.0);
	cr_assert_eq(nm->apps[0].n_domains, 100000);
	cr_assert_eq(nm->n_warnings, 0);
}

/* What `conn25 check` with these arguments writes to both outputs, and its exit status. */
static char *run_check(int *status, const char *const args[4])
{
	char *argv[6] = { "check" }, path[] = "/tmp/conn25-check-XXXXXX";
	int argc = 1, fd = mkstemp(path), out = dup(1), err = dup(2);
	char *text;

	for (; argc < 5 && args[argc - 1]; argc++)
		argv[argc] = (char *)args[argc - 1];
	dup2(fd, 1);
	dup2(fd, 2);
	*status = cmd_check(argc, argv);
	fflush(stdout);
	dup2(out, 1);
	dup2(err, 2);
	close(fd);
	close(out);
	close(err);
	text = slurp(path);
	unlink(path);
	return text;
}

Test(netmap, check_prints_the_netmap_or_one_line_that_names_file_and_place)
{
	const char *file = golden("example.json"), *nowhere = golden("nowhere.json");
	struct {
		const char *args[4], *begins;
		int status;
	} cases[] = {
		{ { "--netmap", file }, "{\n  \"nodes\": [", 0 },
		{ { "--netmap", file, "--node", "node-a" }, "{\n  \"nodes\": [", 0 },
		{ { "--netmap", file, "--node", "x" }, NULL, 1 },
		{ { "--netmap", nowhere }, NULL, 1 },
		{ { "--help" }, "Usage: conn25 check", 0 },
		{ { "--netmap" }, "conn25 check: --netmap takes a value: FILE\n", 2 },
		{ { "--nope" }, "conn25 check: unknown option --nope;", 2 },
		{ { "-xy" }, "conn25 check: unknown option -xy;", 2 },
		{ { "netmap.json" }, "conn25 check: unexpected argument \"netmap.json\";", 2 },
	};
	char line[700];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = NULL;
		int status;

		text = run_check(&status, cases[i].args);
		if (i == 2)
			snprintf(line, sizeof(line), "%s: /nodes: no entry for this node, \"x\"\n",
				 file);
		if (i == 3)
			snprintf(line, sizeof(line),
				 "%s: cannot be read: No such file or directory\n", nowhere);
		if (!cases[i].begins)
			cases[i].begins = line;
		cr_expect_eq(status, cases[i].status, "%zu: %d", i, status);
		cr_expect(!strncmp(text, cases[i].begins, strlen(cases[i].begins)), "%zu: %s", i,
			  text);
	}
}

Test(netmap, check_takes_its_flags_from_the_environment_too)
{
	_cleanup_free_ char *text = NULL, *other = NULL;
	int status;

	setenv("CONN25_NETMAP", golden("example.json"), 1);
	text = run_check(&status, (const char *const[4]){ NULL });
	cr_expect_eq(status, 0, "%s", text);
	setenv("CONN25_NODE", "stranger", 1);
	free(TAKE_PTR(text));
	text = run_check(&status, (const char *const[4]){ NULL });
	cr_expect_eq(status, 1, "%s", text);
	other = run_check(&status, (const char *const[4]){ "--node", "exit-1" });
	cr_expect_eq(status, 0, "a flag wins over its variable: %s", other);
}
