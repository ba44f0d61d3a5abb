/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath.h"

#include "datapath_hook.h"
#include "datapath_pin.h"
#include "pins.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define LO 1 /* of every network namespace */

TestSuite(datapath, .init = pins_setup, .fini = leaks_abort);

static struct datapath *start_cfg(struct datapath_config cfg)
{
	struct datapath *d = NULL;

	cr_assert_eq(datapath_open(&d, &cfg), 0);
	return d;
}

static struct datapath *start(void)
{
	return start_cfg(pins_config());
}

static int open_fails(struct datapath_config cfg)
{
	struct datapath *d = NULL;
	int err = datapath_open(&d, &cfg);

	cr_assert_null(d);
	return err;
}

/* As an earlier daemon left it. */
static void leave_pins(bool attached)
{
	struct datapath *d = start();

	if (attached) {
		cr_assert_eq(datapath_attach(d, DATAPATH_OVERLAY, LO, true), 0);
		cr_assert_eq(datapath_attach(d, DATAPATH_UPLINK, LO, true), 0);
	}
	datapath_free(d);
}

static uint32_t map_id(const char *name)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);
	char path[PATH_MAX];
	int fd;

	cr_assert_eq(pin_path(path, PIN, "maps", name), 0);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return 0;
	cr_assert_eq(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	close(fd);
	return info.id;
}

static struct bpf_link_info link_info(const char *name)
{
	struct bpf_link_info info = { 0 };
	uint32_t len = sizeof(info);
	char path[PATH_MAX];
	int fd;

	cr_assert_eq(pin_path(path, PIN, "links", name), 0);
	fd = bpf_obj_get(path);
	cr_assert_geq(fd, 0, "%s", path);
	cr_assert_eq(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	close(fd);
	return info;
}

/* Ids of the programs at a tcx hook, in the order they run. */
static unsigned attached(uint32_t ifindex, bool egress, uint32_t ids[8])
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = ifindex;
	attr.query.attach_type = egress ? 47 : 46;
	attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
	attr.query.prog_cnt = 8;
	if (syscall(__NR_bpf, BPF_PROG_QUERY, &attr, sizeof(attr)))
		return 0;
	return attr.query.prog_cnt;
}

static uint32_t veth(void)
{
	cr_assert_eq(system("ip link add v0 type veth peer name v1"), 0);
	return if_nametoindex("v0");
}

static int foreign_prog(const char *name)
{
	/* r0 = -1; exit */
	struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = -1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name, "GPL", insns, 2, NULL);

	cr_assert_geq(fd, 0);
	return fd;
}

Test(datapath, a_first_start_pins_every_map_and_removal_leaves_nothing)
{
	struct datapath *d = start();
	struct stat st;

	cr_assert_not(datapath_recovered(d));
	for (int id = 0; id < MAP_COUNT; id++) {
		cr_assert_neq(map_id(maps_name(id)), 0, "%s", maps_name(id));
		cr_assert_geq(datapath_maps(d)->fd[id], 0);
	}
	cr_assert_neq(map_id("c25_held"), 0);
	cr_assert_eq(stat(PIN, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0700);
	datapath_free(d);
	cr_assert_eq(datapath_remove(PIN), 0);
	cr_assert_not(pins_exists(PIN));
	cr_assert_eq(datapath_remove(PIN), -ENOENT);
}

Test(datapath, a_restart_finds_maps_cookie_and_links_as_they_were)
{
	uint32_t magic, flows, cookie, link, prog, prog2, ids[8];
	struct c25_addr a = pins_addr("198.18.0.1");
	struct c25_meta meta;
	struct c25_magic v;
	struct datapath *d;

	d = start();
	cr_assert_eq(maps_client_put(datapath_maps(d), &a, &a, 1, 1, 0), 0);
	cr_assert_eq(maps_meta_get(datapath_maps(d), &meta), 0);
	cookie = meta.cookie;
	cr_assert_neq(cookie, 0);
	cr_assert_eq(datapath_attach(d, DATAPATH_OVERLAY, LO, true), 0);
	magic = map_id("c25_magic");
	flows = map_id("c25_flows");
	link = link_info("overlay_in_1").id;
	prog = link_info("overlay_in_1").prog_id;
	datapath_free(d);

	d = start();
	cr_assert(datapath_recovered(d));
	cr_assert_eq(map_id("c25_magic"), magic);
	cr_assert_eq(map_id("c25_flows"), flows);
	cr_assert_eq(maps_magic_get(datapath_maps(d), &a, &v), 0);
	cr_assert_eq(maps_meta_get(datapath_maps(d), &meta), 0);
	cr_assert_eq(meta.cookie, cookie);
	/* Until attached anew the old programs go on. */
	cr_assert_eq(link_info("overlay_in_1").prog_id, prog);
	cr_assert_eq(datapath_attach(d, DATAPATH_OVERLAY, LO, true), 0);
	prog2 = link_info("overlay_in_1").prog_id;
	cr_assert_eq(link_info("overlay_in_1").id, link);
	cr_assert_neq(prog2, prog);
	cr_assert_eq(attached(LO, false, ids), 1);
	cr_assert_eq(ids[0], prog2);
	cr_assert_eq(attached(LO, true, ids), 1);
	datapath_free(d);
}

Test(datapath, programs_outlive_their_loader_and_removal_detaches_them)
{
	uint32_t ids[8];

	leave_pins(true);
	cr_assert_eq(attached(LO, false, ids), 2);
	cr_assert_eq(attached(LO, true, ids), 1);
	cr_assert_eq(datapath_remove(PIN), 0);
	cr_assert_eq(attached(LO, false, ids), 0);
	cr_assert_eq(attached(LO, true, ids), 0);
}

Test(datapath, our_program_runs_before_those_already_there)
{
	int fd = foreign_prog("other"),
	    link = bpf_link_create(fd, LO, (enum bpf_attach_type)46, NULL);
	struct datapath *d = start();
	uint32_t ids[8];

	cr_assert_geq(link, 0);
	cr_assert_eq(datapath_attach(d, DATAPATH_OVERLAY, LO, true), 0);
	cr_assert_eq(attached(LO, false, ids), 2);
	cr_assert_eq(ids[0], link_info("overlay_in_1").prog_id);
	cr_assert_eq(datapath_detach(d, DATAPATH_OVERLAY, LO), 0);
	cr_assert_eq(attached(LO, false, ids), 1);
	cr_assert_eq(datapath_detach(d, DATAPATH_OVERLAY, LO), 0);
	datapath_free(d);
}

Test(datapath, a_link_whose_device_went_away_is_made_anew)
{
	uint32_t ifindex = veth(), ids[8];
	char again[128];
	struct datapath *d = start();

	cr_assert_eq(datapath_attach(d, DATAPATH_UPLINK, ifindex, true), 0);
	cr_assert_eq(system("ip link del v0"), 0);
	cr_assert_eq(datapath_attach(d, DATAPATH_UPLINK, ifindex, true), -ENODEV);
	snprintf(again, sizeof(again), "ip link add v2 index %u type veth peer name v3", ifindex);
	cr_assert_eq(system(again), 0);
	cr_assert_eq(datapath_attach(d, DATAPATH_UPLINK, ifindex, true), 0);
	cr_assert_eq(attached(ifindex, false, ids), 1);
	cr_assert_eq(system("ip link del v2"), 0);
	cr_assert_eq(datapath_detach(d, DATAPATH_UPLINK, ifindex), 0);
	datapath_free(d);
}

Test(datapath, a_node_makes_only_the_tables_of_its_roles)
{
	struct datapath_config cfg = pins_config();
	struct datapath *d;
	uint32_t magic;

	cfg.connector = false;
	d = start_cfg(cfg);
	cr_assert_eq(datapath_maps(d)->fd[MAP_FLOWS], -1);
	cr_assert_eq(map_id("c25_flows"), 0);
	cr_assert_eq(map_id("c25_held"), 0);
	magic = map_id("c25_magic");
	cr_assert_neq(magic, 0);
	datapath_free(d);

	d = start();
	cr_assert(datapath_recovered(d));
	cr_assert_eq(map_id("c25_magic"), magic);
	cr_assert_neq(map_id("c25_flows"), 0);
	datapath_free(d);

	cfg.connector = true;
	cfg.client = false;
	d = start_cfg(cfg);
	cr_assert_eq(map_id("c25_magic"), 0);
	cr_assert_eq(map_id("c25_leases"), 0);
	cr_assert_neq(map_id("c25_flows"), 0);
	datapath_free(d);
}

Test(datapath, a_node_loads_only_the_programs_that_it_can_need)
{
	struct datapath_config cfg = pins_config();
	struct datapath *d;

	cfg.connector = cfg.dns = false;
	d = start_cfg(cfg);
	cr_assert_lt(datapath_attach(d, DATAPATH_UPLINK, LO, true), 0);
	cr_assert_lt(datapath_attach(d, DATAPATH_DNS, LO, true), 0);
	cr_assert_lt(datapath_attach(d, DATAPATH_OVERLAY, LO, false), 0, "VXLAN has headers");
	cr_assert_eq(datapath_attach(d, DATAPATH_OVERLAY, LO, true), 0);
	datapath_free(d);

	cfg.connector = true;
	cfg.tunnel_key = false;
	d = start_cfg(cfg);
	cr_assert_eq(datapath_attach(d, DATAPATH_UPLINK, LO, true), 0);
	cr_assert_eq(datapath_attach(d, DATAPATH_UPLINK, LO, false), 0);
	cr_assert_eq(datapath_attach(d, DATAPATH_OVERLAY, LO, false), 0);
	datapath_free(d);
}

Test(datapath, flow_tables_of_a_role_that_returns_begin_anew)
{
	struct c25_tick tick = { .high = 77, .cursor = 5 };
	struct datapath_config cfg = pins_config();
	struct datapath *d = start();

	cr_assert_eq(bpf_map_update_elem(datapath_maps(d)->fd[MAP_TICK], &(uint32_t){ 0 }, &tick,
					 BPF_ANY),
		     0);
	datapath_free(d);
	d = start();
	cr_assert_eq(bpf_map_lookup_elem(datapath_maps(d)->fd[MAP_TICK], &(uint32_t){ 0 }, &tick),
		     0);
	cr_assert_eq(tick.high, 77);
	datapath_free(d);

	cfg.connector = false;
	datapath_free(start_cfg(cfg));
	d = start();
	cr_assert_eq(bpf_map_lookup_elem(datapath_maps(d)->fd[MAP_TICK], &(uint32_t){ 0 }, &tick),
		     0);
	cr_assert_eq(tick.high, 0);
	datapath_free(d);
}

Test(datapath, a_flow_table_missing_takes_the_others_along)
{
	uint32_t flows, mappings;

	leave_pins(false);
	flows = map_id("c25_flows");
	mappings = map_id("c25_mappings");
	cr_assert_eq(unlink(PIN "/maps/c25_held"), 0);
	leave_pins(false);
	cr_assert_neq(map_id("c25_flows"), flows);
	cr_assert_eq(map_id("c25_mappings"), mappings);
	cr_assert_neq(map_id("c25_held"), 0);
}

Test(datapath, another_layout_is_refused_and_left_running)
{
	uint32_t ids[8], ids2[8];
	struct c25_meta meta;
	struct maps m;

	leave_pins(true);
	cr_assert_eq(maps_open(&m, PIN), 0);
	cr_assert_eq(maps_meta_get(&m, &meta), 0);
	meta.layout++;
	cr_assert_eq(bpf_map_update_elem(m.fd[MAP_META], &(uint32_t){ 0 }, &meta, BPF_ANY), 0);
	maps_close(&m);
	cr_assert_eq(attached(LO, false, ids), 2);
	cr_assert_eq(open_fails(pins_config()), -EUCLEAN);
	cr_assert_eq(attached(LO, false, ids2), 2);
	cr_assert_eq(memcmp(ids, ids2, 2 * sizeof(ids[0])), 0);
	cr_assert_neq(map_id("c25_leases"), 0);
}

Test(datapath, other_sizes_are_refused_and_left_running)
{
	struct datapath_config cfg = pins_config();
	uint32_t leases;

	leave_pins(true);
	leases = map_id("c25_leases");
	cfg.max_flows = 4096;
	cr_assert_eq(open_fails(cfg), -EUCLEAN);
	cfg = pins_config();
	cfg.max_mappings = 512;
	cr_assert_eq(open_fails(cfg), -EUCLEAN);
	cr_assert_eq(map_id("c25_leases"), leases);
	cr_assert_neq(link_info("overlay_in_1").prog_id, 0);
	leave_pins(true);
	cr_assert_eq(map_id("c25_leases"), leases);
}

static void swap_pin(const char *name, enum bpf_map_type type, uint32_t value, uint32_t entries)
{
	int fd = bpf_map_create(type, name, 4, value, entries, NULL);
	char path[PATH_MAX];

	cr_assert_geq(fd, 0);
	cr_assert_eq(pin_path(path, PIN, "maps", name), 0);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(bpf_obj_pin(fd, path), 0);
	close(fd);
}

Test(datapath, a_map_with_another_value_is_refused)
{
	leave_pins(false);
	swap_pin("c25_apps", BPF_MAP_TYPE_ARRAY, 8, 1);
	cr_assert_eq(open_fails(pins_config()), -EUCLEAN);
	cr_assert_neq(map_id("c25_leases"), 0);
}

Test(datapath, counters_of_fewer_reasons_are_replaced)
{
	struct c25_count out[C25_REASON_MAX];
	struct datapath *d;
	uint32_t old;

	leave_pins(false);
	swap_pin("c25_reasons", BPF_MAP_TYPE_PERCPU_ARRAY, 16, 3);
	old = map_id("c25_reasons");
	d = start();
	cr_assert(datapath_recovered(d));
	cr_assert_neq(map_id("c25_reasons"), old);
	cr_assert_eq(maps_reasons(datapath_maps(d), out), 0);
	datapath_free(d);
}

Test(datapath, what_a_crash_left_half_pinned_counts_as_nothing)
{
	struct datapath *d;
	uint32_t leases;

	leave_pins(false);
	leases = map_id("c25_leases");
	cr_assert_eq(unlink(PIN "/maps/c25_meta"), 0);
	cr_assert_eq(unlink(PIN "/maps/c25_nets"), 0);
	d = start();
	cr_assert_not(datapath_recovered(d));
	cr_assert_neq(map_id("c25_leases"), leases);
	cr_assert_neq(map_id("c25_meta"), 0);
	datapath_free(d);
}

Test(datapath, empty_directories_of_a_crash_are_no_hindrance)
{
	cr_assert_eq(mkdir(PIN, 0700), 0);
	cr_assert_eq(mkdir(PIN "/maps", 0700), 0);
	leave_pins(true);
	cr_assert_eq(datapath_remove(PIN), 0);
	cr_assert_eq(mkdir(PIN, 0700), 0);
	cr_assert_eq(datapath_remove(PIN), 0);
	cr_assert_not(pins_exists(PIN));
}

Test(datapath, a_first_start_that_fails_leaves_nothing)
{
	struct datapath_config cfg = pins_config();

	log_setup(LOG_ERROR, false);
	cfg.max_flows = 0;
	cr_assert_lt(open_fails(cfg), 0);
	cr_assert_not(pins_exists(PIN));
}

Test(datapath, a_directory_with_other_things_is_not_touched)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "other", 4, 4, 1, NULL);
	uint32_t ids[8];

	cr_assert_eq(mkdir("/sys/fs/bpf/theirs", 0700), 0);
	cr_assert_eq(bpf_obj_pin(fd, "/sys/fs/bpf/theirs/other"), 0);
	cr_assert_eq(datapath_remove("/sys/fs/bpf/theirs"), -ENOTEMPTY);
	cr_assert(pins_exists("/sys/fs/bpf/theirs/other"));

	leave_pins(true);
	cr_assert_eq(bpf_obj_pin(fd, PIN "/links/other"), 0);
	cr_assert_eq(datapath_remove(PIN), -ENOTEMPTY);
	cr_assert_eq(attached(LO, false, ids), 2);
	cr_assert_eq(open_fails(pins_config()), -ENOTEMPTY);
	cr_assert_eq(unlink(PIN "/links/other"), 0);
	cr_assert_eq(datapath_remove(PIN), 0);
	close(fd);
}

Test(datapath, two_daemons_never_share_pins)
{
	struct datapath_config cfg = pins_config();
	struct datapath *d = NULL;
	int ready[2], status;
	pid_t pid;
	char c;

	cr_assert_eq(pipe(ready), 0);
	/* Forked first, so that it knows nothing of our lock. */
	pid = fork();
	if (!pid) {
		close(ready[1]);
		if (read(ready[0], &c, 1) != 0)
			_exit(0);
		_exit(-datapath_open(&d, &cfg));
	}
	d = start();
	close(ready[0]);
	close(ready[1]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status));
	cr_assert_eq(WEXITSTATUS(status), EBUSY);
	cr_assert_neq(map_id("c25_meta"), 0);
	datapath_free(d);
	leave_pins(false);
}

Test(datapath, one_daemon_opens_the_next_before_it_ends_the_last)
{
	struct datapath_config cfg = pins_config();
	struct datapath *client, *both;
	uint32_t ids[8];

	cfg.connector = false;
	client = start_cfg(cfg);
	cr_assert_eq(datapath_attach(client, DATAPATH_OVERLAY, LO, true), 0);
	both = start();
	cr_assert(datapath_recovered(both));
	datapath_free(client);
	cr_assert_eq(datapath_attach(both, DATAPATH_OVERLAY, LO, true), 0);
	cr_assert_eq(attached(LO, false, ids), 1);
	datapath_free(both);
}

Test(datapath, devices_no_longer_wanted_are_swept)
{
	uint32_t ifindex = veth(), ids[8];
	struct datapath *d = start();
	int prog = foreign_prog("c25_old");

	cr_assert_eq(datapath_attach(d, DATAPATH_UPLINK, ifindex, true), 0);
	cr_assert_eq(hook_attach_clsact(PIN, &hooks[HOOK_UPLINK_IN], LO, prog), 0);
	cr_assert_eq(datapath_attach(d, DATAPATH_OVERLAY, LO, true), 0);
	datapath_free(d);

	d = start();
	cr_assert_eq(datapath_attach(d, DATAPATH_OVERLAY, LO, true), 0);
	cr_assert_eq(datapath_sweep(d), 0);
	cr_assert_eq(attached(ifindex, false, ids), 0);
	cr_assert_eq(hook_detach(PIN, &hooks[HOOK_UPLINK_IN], LO), -ENOENT);
	cr_assert_eq(attached(LO, false, ids), 1);
	cr_assert_eq(attached(LO, true, ids), 1);
	cr_assert_eq(datapath_detach(d, DATAPATH_OVERLAY, LO), 0);
	cr_assert_eq(datapath_sweep(d), 0);
	datapath_free(d);
	close(prog);
}

static uint64_t epoch(struct datapath_config cfg)
{
	struct datapath *d = start_cfg(cfg);
	struct c25_meta meta;

	cr_assert_eq(maps_meta_get(datapath_maps(d), &meta), 0);
	datapath_free(d);
	return meta.epoch;
}

Test(datapath, the_epoch_changes_with_the_loss_of_mappings_and_only_then)
{
	struct datapath_config cfg = pins_config();
	uint64_t first = epoch(cfg);

	cfg.version = "2";
	cr_assert_eq(epoch(cfg), first);
	cfg.connector = false;
	epoch(cfg);
	cfg.connector = true;
	cr_assert_neq(epoch(cfg), first);
	first = epoch(cfg);
	cr_assert_eq(datapath_remove(PIN), 0);
	cr_assert_neq(epoch(cfg), first);
}

Test(datapath, a_killed_daemon_is_succeeded)
{
	uint32_t ids[8];
	pid_t pid = fork();
	int status;

	if (!pid) {
		leave_pins(true);
		start();
		kill(getpid(), SIGKILL);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status));
	cr_assert_eq(attached(LO, false, ids), 2);
	leave_pins(true);
	cr_assert_eq(attached(LO, false, ids), 2);
}

Test(datapath, clsact_serves_where_tcx_is_missing)
{
	struct datapath *d = start();
	uint32_t ifindex = veth();
	int one = foreign_prog("c25_one"), two = foreign_prog("c25_two");
	const struct hook *h = &hooks[HOOK_OVERLAY_OUT];

	cr_assert_eq(hook_attach_clsact(PIN, h, ifindex, one), 0);
	cr_assert_eq(system("tc filter show dev v0 egress | grep -q c25_one"), 0);
	cr_assert_eq(hook_attach_clsact(PIN, h, ifindex, two), 0);
	cr_assert_eq(system("test $(tc filter show dev v0 egress | grep -c c25_) = 1"), 0);
	cr_assert_eq(system("tc filter show dev v0 egress | grep -q c25_two"), 0);
	cr_assert_eq(hook_attach_clsact(PIN, &hooks[HOOK_UPLINK_IN], ifindex, one), 0);
	cr_assert_eq(datapath_detach(d, DATAPATH_OVERLAY, ifindex), 0);
	cr_assert_neq(system("tc filter show dev v0 egress | grep -q c25_"), 0);
	cr_assert_eq(hook_detach(PIN, h, ifindex), -ENOENT);
	datapath_free(d);

	cr_assert_eq(datapath_remove(PIN), 0);
	cr_assert_neq(system("tc filter show dev v0 ingress | grep -q c25_"), 0);
	cr_assert_eq(system("tc qdisc show dev v0 | grep -q clsact"), 0);
	cr_assert_not(pins_exists(PIN));
	close(one);
	close(two);
}

Test(datapath, clsact_filters_of_others_stay)
{
	struct datapath *d = start();
	uint32_t ifindex = veth();
	int theirs = foreign_prog("theirs"), ours = foreign_prog("c25_ours");
	LIBBPF_OPTS(bpf_tc_hook, tc, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, same, .prog_fd = theirs, .handle = HOOK_CLSACT_HANDLE,
		    .priority = HOOK_CLSACT_PRIO);
	LIBBPF_OPTS(bpf_tc_opts, other, .prog_fd = theirs, .handle = 1, .priority = 1);
	const struct hook *h = &hooks[HOOK_OVERLAY_IN];
	char marker[PATH_MAX], name[HOOK_STRLEN];

	cr_assert_eq(bpf_tc_hook_create(&tc), 0);
	cr_assert_eq(bpf_tc_attach(&tc, &same), 0);
	cr_assert_eq(hook_attach_clsact(PIN, h, ifindex, ours), -EEXIST);
	/* Theirs took the place after we had marked it. */
	cr_assert_eq(pin_path(marker, PIN, "clsact", hook_print(name, h, ifindex)), 0);
	cr_assert_eq(mkdir(marker, 0700), 0);
	cr_assert_eq(hook_detach(PIN, h, ifindex), 0);
	cr_assert_eq(system("tc filter show dev v0 ingress | grep -q theirs"), 0);

	same.prog_fd = 0;
	same.flags = 0;
	same.prog_id = 0;
	cr_assert_eq(bpf_tc_detach(&tc, &same), 0);
	cr_assert_eq(bpf_tc_attach(&tc, &other), 0);
	cr_assert_eq(hook_attach_clsact(PIN, h, ifindex, ours), 0);
	datapath_free(d);
	cr_assert_eq(datapath_remove(PIN), 0);
	cr_assert_eq(system("tc filter show dev v0 ingress | grep -q theirs"), 0);
	cr_assert_neq(system("tc filter show dev v0 ingress | grep -q c25_"), 0);
	close(theirs);
	close(ours);
}

Test(datapath, names_of_hooks_are_read_as_printed)
{
	char name[HOOK_STRLEN];
	uint32_t ifindex = 0;

	cr_assert_str_eq(hook_print(name, &hooks[HOOK_OVERLAY_OUT], 4294967295U), "overlay_out_"
										  "4294967295");
	cr_assert_eq(hook_parse(name, &ifindex), &hooks[HOOK_OVERLAY_OUT]);
	cr_assert_eq(ifindex, 4294967295U);
	cr_assert_null(hook_parse("overlay_in_", &ifindex));
	cr_assert_null(hook_parse("overlay_in_0", &ifindex));
	cr_assert_null(hook_parse("overlay_in_07", &ifindex));
	cr_assert_null(hook_parse("overlay_in_7x", &ifindex));
	cr_assert_null(hook_parse("uplink_out_7", &ifindex));
}

static void no_event(const struct c25_event *e, void *ctx)
{
	cr_assert_fail();
}

Test(datapath, an_idle_ring_has_no_events_and_nothing_to_revoke)
{
	struct c25_mapping_key k = { 0 };
	struct datapath *d = start();

	cr_assert_geq(datapath_events_fd(d), 0);
	cr_assert_eq(datapath_events_read(d, no_event, NULL), 0);
	cr_assert_eq(datapath_revoke(d, &k), 0);
	datapath_free(d);
}

TestSuite(bpffs, .init = pins_unshare, .fini = leaks_abort);

Test(bpffs, is_mounted_where_it_is_missing)
{
	struct statfs st;

	datapath_free(start());
	cr_assert_eq(statfs("/sys/fs/bpf", &st), 0);
	cr_assert_eq(st.f_type, 0xcafe4a11);
	cr_assert_eq(datapath_remove(PIN), 0);
}

Test(bpffs, pins_elsewhere_need_one)
{
	struct datapath_config cfg = pins_config();
	char dir[] = "/tmp/conn25_test_XXXXXX", pin[64];

	cr_assert_not_null(mkdtemp(dir));
	snprintf(pin, sizeof(pin), "%s/pin", dir);
	cfg.pin = pin;
	cr_assert_eq(open_fails(cfg), -EINVAL);
	cr_assert_eq(datapath_remove(pin), -ENOENT);
	cr_assert_eq(datapath_remove(dir), -EINVAL);

	cr_assert_eq(mount("bpf", dir, "bpf", 0, NULL), 0);
	datapath_free(start_cfg(cfg));
	cr_assert_eq(datapath_remove(pin), 0);
	cr_assert_eq(umount(dir), 0);
	cr_assert_eq(rmdir(dir), 0);

	cfg.pin = "conn25";
	cr_assert_eq(open_fails(cfg), -EINVAL);
	cfg.pin = "/sys/fs/bpf";
	cr_assert_eq(open_fails(cfg), -EINVAL);
	cfg.pin = "/sys/fs/bpf/a/b";
	cr_assert_eq(open_fails(cfg), -ENOENT);
}

Test(bpffs, without_privileges_the_error_says_so)
{
	struct datapath_config cfg = pins_config();
	int err;

	cr_assert_eq(mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0777"), 0);
	cr_assert_eq(seteuid(65534), 0);
	err = open_fails(cfg);
	cr_assert(err == -EPERM || err == -EACCES, "%d", err);
	cr_assert_eq(seteuid(0), 0);
	cr_assert_not(pins_exists(PIN));
}
