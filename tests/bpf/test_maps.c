/* SPDX-License-Identifier: BSD-3-Clause */
#include "maps.h"

#include "cmd.h"
#include "pins.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cjson/cJSON.h>
#include <time.h>

static struct datapath *dp;
static const struct maps *m;

static void start_with(struct datapath_config cfg)
{
	cr_assert_eq(datapath_open(&dp, &cfg), 0);
	m = datapath_maps(dp);
}

static void setup(void)
{
	pins_setup();
	start_with(pins_config());
}

static void teardown(void)
{
	if (dp)
		datapath_free(dp);
	leaks_abort();
}

TestSuite(maps, .init = setup, .fini = teardown);

static const struct c25_addr magic = { { [10] = 0xff, 0xff, 198, 18, 0, 1 } };
static const struct c25_addr transit = { { [10] = 0xff, 0xff, 169, 254, 64, 1 } };
static const struct c25_addr real = { { [10] = 0xff, 0xff, 203, 0, 113, 80 } };

static uint64_t boot_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec;
}

static struct c25_addr nth(uint32_t i)
{
	struct c25_addr a = { { 0xfd, 0x25 } };

	memcpy(a.b + 12, &i, sizeof(i));
	return a;
}

static int count(const void *key, const void *value, void *ctx)
{
	(*(unsigned *)ctx)++;
	return 0;
}

static int stop_at_three(const void *key, const void *value, void *ctx)
{
	return ++*(unsigned *)ctx == 3 ? 42 : 0;
}

static int say_gone(const void *key, const void *value, void *ctx)
{
	return -ENOENT;
}

Test(maps, counters_of_a_client_mapping_survive_a_change)
{
	struct c25_magic out;
	struct c25_transit back;

	cr_assert_eq(maps_client_put(m, &magic, &transit, 3, 3, 0), 0);
	cr_assert_eq(maps_magic_get(m, &magic, &out), 0);
	out.packets = 7;
	out.bytes = 700;
	out.last_seen = 99;
	cr_assert_eq(bpf_map_update_elem(m->fd[MAP_MAGIC], &magic, &out, BPF_EXIST), 0);
	cr_assert_eq(maps_transit_get(m, &transit, &back), 0);
	back.packets = 5;
	cr_assert_eq(bpf_map_update_elem(m->fd[MAP_TRANSIT], &transit, &back, BPF_EXIST), 0);

	cr_assert_eq(maps_client_put(m, &magic, &transit, 4, 3, C25_MAGIC_DEAD), 0);
	cr_assert_eq(maps_magic_get(m, &magic, &out), 0);
	cr_assert_eq(out.peer, 4);
	cr_assert_eq(out.flags, C25_MAGIC_DEAD);
	cr_assert_eq(out.packets, 7);
	cr_assert_eq(out.bytes, 700);
	cr_assert_eq(out.last_seen, 99);
	cr_assert_eq(maps_transit_get(m, &transit, &back), 0);
	cr_assert_eq(back.peer, 4);
	cr_assert_eq(back.peer2, 3);
	cr_assert_eq(back.packets, 5);
}

Test(maps, a_client_mapping_goes_on_both_sides)
{
	struct c25_magic out;
	struct c25_transit back;

	cr_assert_eq(maps_client_put(m, &magic, &transit, 3, 3, 0), 0);
	cr_assert_eq(maps_client_del(m, &magic, &transit), 0);
	cr_assert_eq(maps_magic_get(m, &magic, &out), -ENOENT);
	cr_assert_eq(maps_transit_get(m, &transit, &back), -ENOENT);
	cr_assert_eq(maps_client_del(m, &magic, &transit), -ENOENT);
}

Test(maps, a_mapping_registered_again_keeps_its_counters)
{
	struct c25_mapping_key k = { .client = magic, .transit = transit };
	struct c25_mapping v;

	cr_assert_eq(maps_mapping_put(m, &k, &real, 1, 2, 100), 0);
	cr_assert_eq(maps_mapping_get(m, &k, &v), 0);
	v.packets = 11;
	cr_assert_eq(bpf_map_update_elem(m->fd[MAP_MAPPINGS], &k, &v, BPF_EXIST), 0);

	cr_assert_eq(maps_mapping_put(m, &k, &real, 1, 2, 200), 0);
	cr_assert_eq(maps_mapping_get(m, &k, &v), 0);
	cr_assert_eq(v.packets, 11);
	cr_assert_eq(v.registered, 100);
	cr_assert_eq(v.last_seen, 200);

	cr_assert_eq(maps_mapping_put(m, &k, &magic, 1, 2, 300), 0);
	cr_assert_eq(maps_mapping_get(m, &k, &v), 0);
	cr_assert_eq(v.registered, 300);
	cr_assert(addr_equal(&v.real, &magic));
	cr_assert_eq(maps_mapping_del(m, &k), 0);
	cr_assert_eq(maps_mapping_get(m, &k, &v), -ENOENT);
}

Test(maps, nets_peers_devices_and_apps_are_read_as_written)
{
	struct c25_net net = { .kind = C25_NET_NODE, .peer = 5 };
	struct c25_peer peer = { .flags = C25_PEER_USED, .id = "node-a" }, peer2;
	struct c25_dev dev = { .flags = C25_DEV_UPLINK, .mtu = 1500 };
	struct c25_app app;
	char long_name[C25_NAME_LEN + 1];
	unsigned n = 0;
	struct prefix p;

	prefix_parse(&p, "10.0.0.0/8");
	cr_assert_eq(maps_net_put(m, &p, &net), 0);
	prefix_parse(&p, "fd25::/64");
	cr_assert_eq(maps_net_put(m, &p, &net), 0);
	cr_assert_eq(maps_each(m, MAP_NETS, count, &n), 0);
	cr_assert_eq(n, 2);
	cr_assert_eq(maps_net_del(m, &p), 0);
	cr_assert_eq(maps_net_del(m, &p), -ENOENT);

	cr_assert_eq(maps_peer_put(m, 5, &peer), 0);
	cr_assert_eq(maps_peer_get(m, 5, &peer2), 0);
	cr_assert_str_eq(peer2.id, "node-a");
	cr_assert_eq(maps_peer_put(m, C25_MAX_PEERS, &peer), -E2BIG);

	cr_assert_eq(maps_dev_put(m, 7, &dev), 0);
	cr_assert_eq(maps_dev_del(m, 7), 0);
	cr_assert_eq(maps_dev_del(m, 7), -ENOENT);

	cr_assert_eq(maps_app_put(m, 9, "web"), 0);
	cr_assert_eq(maps_app_get(m, 9, &app), 0);
	cr_assert_str_eq(app.name, "web");
	memset(long_name, 'a', sizeof(long_name));
	long_name[C25_NAME_LEN] = 0;
	cr_assert_eq(maps_app_put(m, 9, long_name), -ENAMETOOLONG);
	long_name[C25_NAME_LEN - 1] = 0;
	cr_assert_eq(maps_app_put(m, 9, long_name), 0);
}

Test(maps, a_walk_stops_with_the_callers_answer)
{
	unsigned n = 0;
	struct prefix p;

	for (uint32_t i = 0; i < 10; i++)
		cr_assert_eq(maps_app_put(m, i, "a"), 0);
	cr_assert_eq(maps_each(m, MAP_APPS, stop_at_three, &n), 42);
	cr_assert_eq(n, 3);
	cr_assert_eq(maps_each(m, MAP_APPS, say_gone, NULL), -ENOENT);
	prefix_parse(&p, "10.0.0.0/8");
	cr_assert_eq(maps_net_put(m, &p, &(struct c25_net){ 0 }), 0);
	cr_assert_eq(maps_each(m, MAP_NETS, say_gone, NULL), -ENOENT);
	cr_assert_eq(maps_each(m, MAP_EVENTS, count, &n), -EOPNOTSUPP);
}

static void set_flow(uint32_t slot, uint32_t state)
{
	struct c25_flow f = { .state = state };

	cr_assert_eq(bpf_map_update_elem(m->fd[MAP_FLOWS], &slot, &f, BPF_ANY), 0);
}

static void set_high(uint32_t high)
{
	struct c25_tick tick = { .high = high };

	cr_assert_eq(bpf_map_update_elem(m->fd[MAP_TICK], &(uint32_t){ 0 }, &tick, BPF_ANY), 0);
}

static int sum_slots(uint32_t slot, const struct c25_flow *f, void *ctx)
{
	*(unsigned *)ctx += slot;
	return 0;
}

Test(maps, flows_are_living_slots_below_the_highest_used)
{
	uint64_t used, size;
	unsigned sum = 0;

	cr_assert_eq(maps_flow_each(m, sum_slots, &sum), 0);
	set_flow(1, C25_FLOW_NEW);
	set_flow(2, C25_FLOW_ENDED);
	set_flow(4, C25_FLOW_ESTABLISHED);
	set_flow(1500, C25_FLOW_REVOKED);
	set_flow(1501, C25_FLOW_NEW);
	set_high(1501);
	cr_assert_eq(maps_flow_each(m, sum_slots, &sum), 0);
	cr_assert_eq(sum, 1 + 4 + 1500);
	cr_assert_eq(maps_fill(m, MAP_FLOWS, &used, &size), 0);
	cr_assert_eq(used, 3);
	cr_assert_eq(size, 2048);
}

Test(maps, fill_counts_what_is_in_use)
{
	struct c25_peer peer = { .flags = C25_PEER_USED };
	uint64_t used, size;

	for (uint32_t i = 0; i < 1024; i++) {
		struct c25_addr a = nth(i);

		cr_assert_eq(maps_client_put(m, &a, &a, 0, 0, 0), 0);
	}
	cr_assert_eq(maps_fill(m, MAP_MAGIC, &used, &size), 0);
	cr_assert_eq(used, 1024);
	cr_assert_eq(size, 1024);
	cr_assert_eq(maps_client_put(m, &magic, &transit, 0, 0, 0), -E2BIG);
	cr_assert_eq(maps_peer_put(m, 100, &peer), 0);
	cr_assert_eq(maps_fill(m, MAP_PEERS, &used, &size), 0);
	cr_assert_eq(used, 1);
	cr_assert_eq(size, C25_MAX_PEERS);
}

Test(maps, reasons_are_summed_over_cpus)
{
	struct c25_count cpus[1024] = { 0 }, out[C25_REASON_MAX];
	int n = libbpf_num_possible_cpus();
	uint32_t r = C25_REASON_NO_MAGIC;

	cr_assert_leq(n, 1024);
	for (int i = 0; i < n; i++)
		cpus[i] = (struct c25_count){ .packets = 1, .bytes = 10 };
	cr_assert_eq(bpf_map_update_elem(m->fd[MAP_REASONS], &r, cpus, BPF_ANY), 0);
	cr_assert_eq(maps_reasons(m, out), 0);
	cr_assert_eq(out[r].packets, n);
	cr_assert_eq(out[r].bytes, n * 10);
	cr_assert_eq(out[C25_REASON_INTERNAL].packets, 0);
}

Test(maps, reasons_have_names_and_texts)
{
	cr_assert_str_eq(maps_reason_name(C25_REASON_CLIENT_OUT), "client_out");
	cr_assert_str_eq(maps_reason_name(C25_REASON_CLIENT_OUT), "client_out");
	cr_assert_str_eq(maps_reason_text(C25_REASON_TTL), "time to live exceeded");
	cr_assert(maps_reason_is_drop(C25_REASON_TTL));
	cr_assert_not(maps_reason_is_drop(C25_REASON_PASS));
	cr_assert_str_eq(maps_reason_name(C25_REASON_MAX), "unknown");
	cr_assert_not(maps_reason_is_drop(C25_REASON_MAX));
}

Test(maps, a_hundred_thousand_leases_are_read_in_well_under_a_second)
{
	struct datapath_config cfg = pins_config();
	struct c25_lease lease = { .state = C25_LEASE_LIVE, .domain = "example.com" };
	struct timespec from, to;
	unsigned n = 0;
	double took;

	datapath_free(dp);
	cr_assert_eq(datapath_remove(PIN), 0);
	cfg.max_mappings = 100000;
	start_with(cfg);
	for (uint32_t i = 0; i < 100000; i++) {
		struct c25_addr a = nth(i);

		cr_assert_eq(maps_lease_put(m, &a, &lease), 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &from);
	cr_assert_eq(maps_each(m, MAP_LEASES, count, &n), 0);
	clock_gettime(CLOCK_MONOTONIC, &to);
	took = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	cr_assert_eq(n, 100000);
	cr_assert_lt(took, 0.5, "%f s", took);
}

Test(maps, pins_alone_are_enough)
{
	struct c25_magic v;
	struct c25_meta meta;
	struct maps pinned;

	cr_assert_eq(maps_client_put(m, &magic, &transit, 3, 3, 0), 0);
	datapath_free(dp);
	dp = NULL;
	cr_assert_eq(maps_open(&pinned, PIN), 0);
	cr_assert_eq(maps_meta_get(&pinned, &meta), 0);
	cr_assert_eq(meta.layout, C25_LAYOUT);
	cr_assert_str_eq(meta.version, "1.2.3");
	cr_assert_eq(maps_magic_get(&pinned, &magic, &v), 0);
	cr_assert_eq(maps_magic_get(&pinned, &transit, &v), -ENOENT);
	maps_close(&pinned);
	cr_assert_eq(pinned.fd[MAP_META], -1);
}

Test(maps, missing_and_foreign_pins_are_told_apart)
{
	struct c25_meta meta;
	struct maps pinned;

	cr_assert_eq(maps_open(&pinned, "/sys/fs/bpf/nothing"), -ENOENT);
	cr_assert_eq(maps_meta_get(m, &meta), 0);
	meta.layout++;
	cr_assert_eq(bpf_map_update_elem(m->fd[MAP_META], &(uint32_t){ 0 }, &meta, BPF_ANY), 0);
	cr_assert_eq(maps_open(&pinned, PIN), -EUCLEAN);
}

Test(maps, values_of_another_size_are_not_read)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "c25_magic", 16, 8, 4, NULL);
	struct maps pinned;

	cr_assert_geq(fd, 0);
	cr_assert_eq(unlink(PIN "/maps/c25_magic"), 0);
	cr_assert_eq(bpf_obj_pin(fd, PIN "/maps/c25_magic"), 0);
	close(fd);
	cr_assert_eq(maps_open(&pinned, PIN), -EUCLEAN);
}

Test(maps, a_map_of_a_missing_role_is_a_bad_descriptor)
{
	struct datapath_config cfg = pins_config();
	struct c25_magic v;
	unsigned n = 0;

	datapath_free(dp);
	cr_assert_eq(datapath_remove(PIN), 0);
	cfg.client = false;
	start_with(cfg);
	cr_assert_eq(m->fd[MAP_MAGIC], -1);
	cr_assert_eq(maps_magic_get(m, &magic, &v), -EBADF);
	cr_assert_eq(maps_each(m, MAP_LEASES, count, &n), -EBADF);
	cr_assert_eq(maps_flow_each(m, sum_slots, &n), 0);
}

/* What `conn25 map ARGS` prints; NULL where it does not end with `code`. */
static char *run_map(int code, const char *arg1, const char *arg2)
{
	char *argv[] = { "map", "--pin", PIN, (char *)arg1, (char *)arg2, NULL };
	int argc = 3 + !!arg1 + !!arg2, saved = dup(STDOUT_FILENO), got;
	FILE *f = tmpfile();
	static char text[65536];
	size_t n;

	fflush(stdout);
	dup2(fileno(f), STDOUT_FILENO);
	got = cmd_map(argc, argv);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	rewind(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = 0;
	fclose(f);
	return got == code ? text : NULL;
}

static void fill_all(void)
{
	struct c25_peer a = { .overlay4 = pins_addr("100.101.0.1"),
			      .flags = C25_PEER_USED,
			      .id = "node-a" };
	struct c25_dev uplink = { .addr4 = pins_addr("192.0.2.19"), .flags = C25_DEV_UPLINK };
	struct c25_peer e = { .flags = C25_PEER_USED | C25_PEER_CONNECTOR, .id = "exit-1" };
	struct c25_mapping_key k = { .client = pins_addr("100.101.0.1"), .transit = transit };
	struct c25_lease lease = {
		.real = real,
		.transit = transit,
		.state = C25_LEASE_LIVE,
		.app = 1,
		.peer = 2,
		.expires = boot_now() + 600,
		.domain = "www.example.com",
	};
	struct c25_flow f = {
		.out = { .src = k.client,
			 .dst = transit,
			 .sport = htons(40000),
			 .dport = htons(443),
			 .proto = IPPROTO_TCP },
		.in = { .src = real,
			.dst = pins_addr("192.0.2.19"),
			.sport = htons(443),
			.dport = htons(10001),
			.proto = IPPROTO_TCP },
		.state = C25_FLOW_ESTABLISHED,
		.peer = 1,
		.uplink = 7,
		.app = 1,
		.last_seen = boot_now(),
		.count = { { 6, 600 }, { 4, 400 } },
	};
	struct c25_magic out;

	cr_assert_eq(maps_peer_put(m, 1, &a), 0);
	cr_assert_eq(maps_peer_put(m, 2, &e), 0);
	cr_assert_eq(maps_app_put(m, 1, "web"), 0);
	cr_assert_eq(maps_dev_put(m, 7, &uplink), 0); /* else the sweep ends the flow */
	cr_assert_eq(maps_client_put(m, &magic, &transit, 2, 2, 0), 0);
	cr_assert_eq(maps_magic_get(m, &magic, &out), 0);
	out.packets = 3;
	cr_assert_eq(bpf_map_update_elem(m->fd[MAP_MAGIC], &magic, &out, BPF_ANY), 0);
	cr_assert_eq(maps_lease_put(m, &magic, &lease), 0);
	memcpy(lease.domain, "z.test\0", 7);
	lease.domain[1] = 27; /* a terminal's escape */
	cr_assert_eq(maps_lease_put(m, &real, &lease), 0);
	cr_assert_eq(maps_mapping_put(m, &k, &real, 1, 1, boot_now()), 0);
	cr_assert_eq(bpf_map_update_elem(m->fd[MAP_FLOWS], &(uint32_t){ 0 }, &f, BPF_ANY), 0);
	set_high(1);
}

static const char *text_of(const cJSON *o, const char *array, int i, const char *key)
{
	return cJSON_GetStringValue(
		cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(o, array), i), key));
}

static double number_of(const cJSON *o, const char *array, int i, const char *key)
{
	return cJSON_GetNumberValue(
		cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(o, array), i), key));
}

Test(maps, map_prints_json_of_every_part)
{
	cJSON *o;

	fill_all();
	datapath_free(dp);
	dp = NULL;
	o = cJSON_Parse(run_map(0, "--json", NULL));
	cr_assert_not_null(o);
	cr_assert_eq(cJSON_GetArraySize(cJSON_GetObjectItem(o, "client")), 2);
	cr_assert_str_eq(text_of(o, "client", 0, "domain"), "www.example.com");
	cr_assert_str_eq(text_of(o, "client", 0, "magicIP"), "198.18.0.1");
	cr_assert_str_eq(text_of(o, "client", 0, "transitIP"), "169.254.64.1");
	cr_assert_str_eq(text_of(o, "client", 0, "destinationIP"), "203.0.113.80");
	cr_assert_str_eq(text_of(o, "client", 0, "connector"), "exit-1");
	cr_assert_str_eq(text_of(o, "client", 0, "app"), "web");
	cr_assert_str_eq(text_of(o, "client", 0, "state"), "live");
	cr_assert_null(text_of(o, "client", 0, "lastSeen"));
	cr_assert_eq(strlen(text_of(o, "client", 0, "expiresAt")), strlen("2026-01-01T00:00:00Z"));
	cr_assert_eq(number_of(o, "client", 0, "packets"), 3);
	cr_assert_str_eq(text_of(o, "connector", 0, "clientIP"), "100.101.0.1");
	cr_assert_str_eq(text_of(o, "connector", 0, "client"), "node-a");
	cr_assert_eq(number_of(o, "connector", 0, "packets"), 10);
	cr_assert_eq(number_of(o, "connector", 0, "bytes"), 1000);
	cr_assert_str_eq(text_of(o, "flows", 0, "natIP"), "192.0.2.19");
	cr_assert_eq(number_of(o, "flows", 0, "natPort"), 10001);
	cr_assert_eq(number_of(o, "flows", 0, "destinationPort"), 443);
	cJSON_Delete(o);
}

Test(maps, map_prints_aligned_tables_without_control_characters)
{
	const char *text;

	fill_all();
	text = run_map(0, NULL, NULL);
	cr_assert_not_null(text);
	cr_assert_not_null(strstr(text, "client: 2\nDOMAIN           APP  REAL          MAGIC"));
	cr_assert_not_null(strstr(text, "\nwww.example.com  web  203.0.113.80  198.18.0.1"));
	cr_assert_not_null(strstr(text, "\nz?test           web  "));
	cr_assert_not_null(strstr(text, "tcp    100.101.0.1:40000  169.254.64.1  203.0.113.80:443  "
					"192.0.2.19:10001  established    6     4    0s\n"));
	cr_assert_null(strchr(text, 27));
}

Test(maps, map_shows_the_part_asked_for)
{
	cJSON *o;

	fill_all();
	o = cJSON_Parse(run_map(0, "flows", "--json"));
	cr_assert_eq(cJSON_GetArraySize(o), 1);
	cr_assert_eq(cJSON_GetArraySize(cJSON_GetObjectItem(o, "flows")), 1);
	cJSON_Delete(o);
}

Test(maps, map_tells_wrong_usage_from_missing_pins)
{
	char *nowhere[] = { "map", "--pin", "/sys/fs/bpf/nothing", NULL };
	char *no_value[] = { "map", "--pin", NULL };
	struct datapath_config cfg = pins_config();

	cr_assert_not_null(run_map(2, "everything", NULL));
	cr_assert_not_null(run_map(2, "--wat", NULL));
	cr_assert_not_null(run_map(2, "flows", "client"));
	cr_assert_not_null(run_map(0, "--help", NULL));
	cr_assert_eq(cmd_map(2, no_value), 2);
	cr_assert_eq(cmd_map(3, nowhere), 1);
	datapath_free(dp);
	cr_assert_eq(datapath_remove(PIN), 0);
	cfg.client = false;
	start_with(cfg);
	cr_assert_not_null(run_map(1, "client", NULL));
	cr_assert_not_null(run_map(0, NULL, NULL));
}
