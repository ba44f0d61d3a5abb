/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs of others on our devices: they run before and after ours, and all leave in any order. */
#include "datapath.h"

#include "datapath_hook.h"
#include "packet.h"
#include "pins.h"

#include <bpf/libbpf.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/socket.h>
#include <sys/syscall.h>

TestSuite(neighbours, .init = pins_setup, .fini = leaks_abort);

#define TCX_INGRESS 46
#define AT_HEAD     (1U << 3)

/* A program that counts what it sees and lets it go on. */
struct other {
	int map, prog, link;
};

static struct other other_new(const char *name)
{
	struct other o = { .map = bpf_map_create(BPF_MAP_TYPE_ARRAY, name, 4, 8, 1, NULL) };
	struct bpf_insn code[] = {
		INSN(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_VALUE, 0, o.map),
		INSN(0, 0, 0, 0, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 1),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 1, 2, 0, BPF_ADD),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, -1),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};

	o.prog = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name, "GPL", code,
			       sizeof(code) / sizeof(code[0]), NULL);
	cr_assert_geq(o.prog, 0, "%s", strerror(errno));
	o.link = -1;
	return o;
}

static void other_tcx(struct other *o, uint32_t ifindex, uint32_t flags)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)o->prog;
	attr.link_create.target_ifindex = ifindex;
	attr.link_create.attach_type = TCX_INGRESS;
	attr.link_create.flags = flags;
	o->link = (int)syscall(__NR_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	cr_assert_geq(o->link, 0, "%s", strerror(errno));
}

static struct bpf_tc_hook ingress(uint32_t ifindex)
{
	return (struct bpf_tc_hook){ .sz = sizeof(struct bpf_tc_hook),
				     .ifindex = (int)ifindex,
				     .attach_point = BPF_TC_INGRESS };
}

static void other_clsact(const struct other *o, uint32_t ifindex, uint32_t prio)
{
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = o->prog, .handle = 1, .priority = prio);
	struct bpf_tc_hook hook = ingress(ifindex);
	int err = bpf_tc_hook_create(&hook);

	cr_assert(!err || err == -EEXIST);
	cr_assert_eq(bpf_tc_attach(&hook, &opts), 0);
}

static void other_leave_clsact(uint32_t ifindex, uint32_t prio)
{
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = prio);
	struct bpf_tc_hook hook = ingress(ifindex);

	cr_assert_eq(bpf_tc_detach(&hook, &opts), 0);
}

static uint64_t other_seen(const struct other *o)
{
	uint32_t zero = 0;
	uint64_t n;

	cr_assert_eq(bpf_map_lookup_elem(o->map, &zero, &n), 0);
	return n;
}

/* Packets of the host that ours has seen. */
static uint64_t ours_seen(const struct datapath *d)
{
	uint32_t pass = C25_REASON_PASS;
	int cpus = libbpf_num_possible_cpus();
	struct c25_count *each = calloc((size_t)cpus, sizeof(*each));
	uint64_t n = 0;

	cr_assert_not_null(each);
	cr_assert_eq(bpf_map_lookup_elem(datapath_maps(d)->fd[MAP_REASONS], &pass, each), 0);
	for (int i = 0; i < cpus; i++)
		n += each[i].packets;
	free(each);
	return n;
}

static uint32_t device(void)
{
	bench_sh("ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up");
	return if_nametoindex("v0");
}

/* One frame comes in by v0, and has been through every program when this returns. */
static void frame_comes(void)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)if_nametoindex("v1") };
	struct frame f = packet_build((struct packet){ .src = "192.0.2.1",
						       .dst = "192.0.2.2",
						       .proto = IPPROTO_UDP,
						       .sport = 9,
						       .dport = 9 });
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));

	cr_assert_eq(sendto(fd, f.b, f.len, 0, (struct sockaddr *)&to, sizeof(to)), (ssize_t)f.len);
	close(fd);
}

static bool grows(const struct other *o, uint64_t before)
{
	for (int i = 0; i < 500 && other_seen(o) == before; i++)
		usleep(10000);
	return other_seen(o) > before;
}

/* All of those given see a frame. */
static void all_see(const struct other *const *v, size_t n)
{
	uint64_t before[8];

	for (size_t i = 0; i < n; i++)
		before[i] = other_seen(v[i]);
	frame_comes();
	for (size_t i = n; i-- > 0;)
		cr_assert(grows(v[i], before[i]), "program %zu of %zu saw nothing", i + 1, n);
}

static void ours_sees(const struct datapath *d)
{
	uint64_t before = ours_seen(d);

	frame_comes();
	for (int i = 0; i < 500 && ours_seen(d) == before; i++)
		usleep(10000);
	cr_assert_gt(ours_seen(d), before);
}

static struct datapath *start(void)
{
	struct datapath_config cfg = pins_config();
	struct datapath *d = NULL;

	cr_assert_eq(datapath_open(&d, &cfg), 0);
	return d;
}

/* By the number's bits: which of the four leave before ours does, and in which order. */
static void leave_in_order(unsigned order)
{
	struct other head = other_new("head"), tail = other_new("tail"), low = other_new("low"),
		     high = other_new("high");
	const struct other *all[] = { &head, &tail, &low, &high };
	const struct other *left[4];
	uint32_t ifindex = device();
	struct datapath *d = start();
	size_t n = 0;

	other_tcx(&tail, ifindex, 0);
	other_clsact(&low, ifindex, 7);
	cr_assert_eq(datapath_attach(d, DATAPATH_UPLINK, ifindex, true), 0);
	other_tcx(&head, ifindex, AT_HEAD);
	other_clsact(&high, ifindex, 1);
	all_see(all, 4);
	ours_sees(d);

	if (order & 1)
		close(head.link);
	else
		left[n++] = &head;
	if (order & 2)
		close(tail.link);
	else
		left[n++] = &tail;
	if (order & 4)
		other_leave_clsact(ifindex, 7);
	else
		left[n++] = &low;
	if (order & 8)
		other_leave_clsact(ifindex, 1);
	else
		left[n++] = &high;
	ours_sees(d);
	all_see(left, n);

	cr_assert_eq(datapath_detach(d, DATAPATH_UPLINK, ifindex), 0);
	all_see(left, n);
	/* Back, as by a reload, and gone with everything. */
	cr_assert_eq(datapath_attach(d, DATAPATH_UPLINK, ifindex, true), 0);
	ours_sees(d);
	datapath_free(d);
	cr_assert_eq(datapath_remove(PIN), 0);
	all_see(left, n);

	bench_sh("ip link del v0");
	for (int i = 0; i < 4; i++) {
		close(all[i]->map);
		close(all[i]->prog);
	}
	if (!(order & 1))
		close(head.link);
	if (!(order & 2))
		close(tail.link);
}

Test(neighbours, run_before_and_after_ours_and_all_leave_in_any_order)
{
	for (unsigned order = 0; order < 16; order++)
		leave_in_order(order);
}

/* Where there is no tcx, by priority among filters. */
Test(neighbours, run_before_and_after_our_filter_too)
{
	struct other low = other_new("low"), high = other_new("high"), ours = other_new("c25_ours");
	const struct other *all[] = { &high, &ours, &low }, *left[] = { &high, &low };
	const struct hook *h = &hooks[HOOK_UPLINK_IN];
	uint32_t ifindex = device();
	struct datapath *d = start();

	other_clsact(&high, ifindex, 1);
	cr_assert_eq(hook_attach_clsact(PIN, h, ifindex, ours.prog), 0);
	other_clsact(&low, ifindex, 60000);
	all_see(all, 3);
	cr_assert_eq(hook_detach(PIN, h, ifindex), 0);
	all_see(left, 2);
	cr_assert_eq(hook_attach_clsact(PIN, h, ifindex, ours.prog), 0);
	other_leave_clsact(ifindex, 1);
	other_leave_clsact(ifindex, 60000);
	all_see(all + 1, 1);
	datapath_free(d);
	cr_assert_eq(datapath_remove(PIN), 0);
	for (int i = 0; i < 3; i++) {
		close(all[i]->map);
		close(all[i]->prog);
	}
}
