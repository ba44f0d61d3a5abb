/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prog_run: what the programs alone cost, by BPF_PROG_TEST_RUN, less what a program costs that does
 * nothing: with one flow, and with a million entries in every map.
 *
 * A run changes the packet that the next run finds. So mappings and flows come in pairs here, whose
 * second one makes of a translated packet the first one again. *
 *	prog_run [ROUNDS]
 */
#include "c25_abi.h"
#include "conn25.skel.h"
#include "dns_name.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MILLION 1000000
#define ROOM    (1 << 20)
#define BATCH   10000

#define CALLS  100
#define REPEAT 200 /* each takes one from the time to live */

#define PORT   40000 /* the client's, and the only one of the uplink */
#define PEER   1
#define COOKIE 0xc25c0ffeU

#define PEER4    0x64650009 /* 100.101.0.9 */
#define MAGIC4   0xc61223ed /* 198.18.35.237: its words have the sum of those of TRANSIT4 */
#define ODD4     0xc6120001 /* 198.18.0.1, 198.18.0.2: theirs have not */
#define TRANSIT4 0xa9fe4001 /* 169.254.64.1 */
#define REAL4    0xcb007107 /* 203.0.113.7 */
#define UPLINK4  0xc0000201 /* 192.0.2.1 */
#define CROWD    0x0a000000 /* 10.0.0.0/8 and 11.0.0.0/8: the million's */

static const uint8_t overlay_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t uplink_mac[6] = { 2, 0, 0, 0, 0, 2 };

static void die(const char *what)
{
	fprintf(stderr, "prog_run: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct c25_addr addr4(uint32_t a)
{
	struct c25_addr out = { .b = { [10] = 0xff, [11] = 0xff } };

	a = htonl(a);
	memcpy(out.b + 12, &a, 4);
	return out;
}

static void put(struct bpf_map *map, const void *k, const void *v)
{
	if (bpf_map_update_elem(bpf_map__fd(map), k, v, BPF_ANY))
		die(bpf_map__name(map));
}

struct packet {
	uint8_t b[14 + 20 + 8 + 64];
};

static uint16_t sum16(const uint8_t *b, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)b[i] << 8 | b[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static struct packet udp4(uint32_t src, uint32_t dst, uint16_t dport)
{
	struct packet p = { .b = { [12] = 8, [14] = 0x45, [22] = 255, [23] = IPPROTO_UDP } };
	uint16_t len = htons(20 + 8 + 64), udp_len = htons(8 + 64), sport = htons(PORT), sum;
	uint8_t *ip = p.b + 14, *udp = ip + 20;

	src = htonl(src);
	dst = htonl(dst);
	dport = htons(dport);
	memcpy(p.b, uplink_mac, 6);
	memcpy(ip + 2, &len, 2);
	memcpy(ip + 12, &src, 4);
	memcpy(ip + 16, &dst, 4);
	sum = sum16(ip, 20, 0);
	memcpy(ip + 10, &sum, 2);
	memcpy(udp, &sport, 2);
	memcpy(udp + 2, &dport, 2);
	memcpy(udp + 4, &udp_len, 2);
	sum = sum16(ip + 12, 8 + 8 + 64, IPPROTO_UDP + 8 + 64);
	memcpy(udp + 6, &sum, 2);
	return p;
}

/* Nanoseconds of one run, over `repeat` of them. */
static uint32_t run(int prog, struct packet p, uint32_t ifindex, int repeat, uint32_t verdict)
{
	uint8_t ctx[192] = { 0 }, out[sizeof(p)];
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = p.b, .data_size_in = sizeof(p.b),
		    .data_out = out, .data_size_out = sizeof(out), .ctx_in = ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = repeat);

	((struct __sk_buff *)ctx)->ifindex = ifindex;
	if (bpf_prog_test_run_opts(prog, &o))
		die("run a program");
	if (o.retval != verdict) {
		fprintf(stderr, "prog_run: a program's verdict is %d, not %d\n", (int)o.retval,
			(int)verdict);
		exit(1);
	}
	return o.duration;
}

/* A's question for `name`, in a datagram as long as the others. */
static struct packet question(const char *name)
{
	struct packet p = udp4(UPLINK4, REAL4, 53);
	uint8_t *msg = p.b + 14 + 20 + 8, tail[4] = { 0, 1, 0, 1 };
	int len;

	msg[5] = 1;
	len = dns_name_wire(msg + 12, name);
	if (len < 0)
		die("a name");
	memcpy(msg + 12 + len, tail, sizeof(tail));
	return p;
}

struct setup {
	struct conn25_bpf *s;
	uint32_t overlay, uplink;
};

static struct c25_ends ends;

static void domain(struct conn25_bpf *s, const char *name, uint32_t flags)
{
	struct c25_name v = { .flags = flags };
	int len = dns_name_wire(v.wire, name);
	uint64_t hash;

	if (len < 0)
		die("a domain");
	v.wire[--len] = 0;
	v.len = (uint32_t)len;
	hash = dns_name_key(COOKIE, v.wire, v.len);
	put(s->maps.c25_names, &hash, &v);
	if (flags)
		dns_ends_add(&ends, v.wire, v.len);
}

static void put_ends(const struct setup *u)
{
	uint32_t zero = 0;

	put(u->s->maps.c25_ends, &zero, &ends);
}

static void net(struct conn25_bpf *s, uint32_t a, uint32_t len, uint32_t kind)
{
	struct c25_net_key k = { .prefixlen = 96 + len, .addr = addr4(a) };
	struct c25_net v = { .kind = kind, .peer = PEER };

	put(s->maps.c25_nets, &k, &v);
}

static void magic(struct conn25_bpf *s, uint32_t from, uint32_t to)
{
	struct c25_addr m = addr4(from);
	struct c25_magic v = { .transit = addr4(to), .peer = PEER };

	put(s->maps.c25_magic, &m, &v);
}

static void mapping(struct conn25_bpf *s, uint32_t transit, uint32_t real)
{
	struct c25_mapping_key k = { .client = addr4(PEER4), .transit = addr4(transit) };
	struct c25_mapping v = { .real = addr4(real), .peer = PEER };

	put(s->maps.c25_mappings, &k, &v);
}

static void uplink(struct conn25_bpf *s, uint32_t ifindex, uint32_t addr)
{
	struct c25_dev v = { .addr4 = addr4(addr),
			     .flags = C25_DEV_UPLINK | C25_DEV_L2,
			     .mtu = 1500 };

	memcpy(v.mac, uplink_mac, 6);
	put(s->maps.c25_devs, &ifindex, &v);
}

/* What a node is. */
enum role {
	CLIENT,
	TUNNEL_CLIENT,
	CONNECTOR,
	RESOLVER, /* a client that takes questions */
};

static void set_sizes(struct conn25_bpf *s)
{
	bpf_map__set_max_entries(s->maps.c25_magic, ROOM);
	bpf_map__set_max_entries(s->maps.c25_transit, ROOM);
	bpf_map__set_max_entries(s->maps.c25_mappings, ROOM);
	bpf_map__set_max_entries(s->maps.c25_flows, ROOM);
	bpf_map__set_max_entries(s->maps.c25_index, ROOM / 2);
	bpf_map__set_max_entries(s->maps.c25_names, ROOM);
}

static struct setup set_up(enum role role)
{
	struct setup u = { .s = conn25_bpf__open(),
			   .overlay = if_nametoindex("ov0"),
			   .uplink = if_nametoindex("up0") };
	struct c25_overlay o = { .underlay4 = addr4(UPLINK4),
				 .ifindex = u.overlay,
				 .mtu = 1450,
				 .vni = 25,
				 .via4 = PEER,
				 .via6 = PEER,
				 .l2 = 1 };
	struct c25_peer peer = { .overlay4 = addr4(PEER4),
				 .underlay = addr4(UPLINK4 + 10),
				 .flags = C25_PEER_USED };
	LIBBPF_OPTS(bpf_test_run_opts, start);
	uint32_t zero = 0, index = PEER;

	if (!u.s)
		die("open the programs");
	u.s->rodata->c25_cookie = COOKIE;
	u.s->rodata->c25_tunnel_key = role == TUNNEL_CLIENT;
	u.s->rodata->c25_client = role != CONNECTOR;
	u.s->rodata->c25_connector = role == CONNECTOR;
	u.s->rodata->c25_nat_lo = PORT;
	u.s->rodata->c25_nat_hi = PORT;
	u.s->rodata->c25_max_flows = ROOM;
	u.s->rodata->c25_index_mask = ROOM / 2 - 1;
	u.s->rodata->c25_peer_quota = ROOM;
	set_sizes(u.s);
	if (conn25_bpf__load(u.s))
		die("load the programs");
	memcpy(o.mac, overlay_mac, 6);
	put(u.s->maps.c25_overlay, &zero, &o);
	put(u.s->maps.c25_peers, &index, &peer);
	uplink(u.s, u.uplink, UPLINK4);
	uplink(u.s, if_nametoindex("up1"), PEER4);
	net(u.s, PEER4, 32, C25_NET_NODE);
	net(u.s, UPLINK4, 32, C25_NET_PODS);
	net(u.s, MAGIC4, 16, C25_NET_MAGIC);
	net(u.s, TRANSIT4, 18, C25_NET_TRANSIT);
	net(u.s, CROWD, 8, C25_NET_TRANSIT);
	magic(u.s, MAGIC4, TRANSIT4);
	magic(u.s, TRANSIT4, MAGIC4);
	magic(u.s, ODD4, ODD4 + 1);
	magic(u.s, ODD4 + 1, ODD4);
	if (bpf_prog_test_run_opts(bpf_program__fd(u.s->progs.c25_start), &start) || start.retval)
		die("start the timer");
	return u;
}

#define REDIRECT 7

/* The flow, and the one that turns its packets back. */
static void make_flows(const struct setup *u)
{
	int in = bpf_program__fd(u->s->progs.c25_overlay_in);

	mapping(u->s, TRANSIT4, REAL4);
	mapping(u->s, REAL4, TRANSIT4);
	run(in, udp4(PEER4, TRANSIT4, 443), u->overlay, 1, REDIRECT);
	run(in, udp4(UPLINK4, REAL4, 443), u->overlay, 1, REDIRECT);
}

static void crowd_client(const struct setup *u)
{
	static struct c25_addr magics[BATCH], transits[BATCH];
	static struct c25_magic m[BATCH];
	static struct c25_transit t[BATCH];
	LIBBPF_OPTS(bpf_map_batch_opts, opts);

	for (uint32_t at = 0; at < MILLION; at += BATCH) {
		uint32_t n = BATCH;

		for (uint32_t i = 0; i < BATCH; i++) {
			transits[i] = addr4(CROWD + at + i);
			magics[i] = addr4(CROWD + (1 << 24) + at + i);
			m[i] = (struct c25_magic){ .transit = transits[i], .peer = PEER };
			t[i] = (struct c25_transit){ .magic = magics[i], .peer = PEER };
		}
		if (bpf_map_update_batch(bpf_map__fd(u->s->maps.c25_magic), magics, m, &n, &opts) ||
		    bpf_map_update_batch(bpf_map__fd(u->s->maps.c25_transit), transits, t, &n,
					 &opts))
			die("a million entries");
	}
}

static void crowd_connector(const struct setup *u)
{
	int in = bpf_program__fd(u->s->progs.c25_overlay_in);

	for (uint32_t i = 0; i < MILLION; i++) {
		mapping(u->s, CROWD + i, CROWD + (1 << 24) + i);
		run(in, udp4(PEER4, CROWD + i, 443), u->overlay, 1, REDIRECT);
	}
}

static void crowd_domains(const struct setup *u)
{
	char name[32];

	for (uint32_t i = 0; i < MILLION; i++) {
		snprintf(name, sizeof(name), "d%06u.bench.test", i);
		domain(u->s, name, C25_NAME_EXACT);
	}
	put_ends(u);
}

static int nothing(void)
{
	struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = -1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "nothing", "GPL", code, 2, NULL);

	if (fd < 0)
		die("load a program that does nothing");
	return fd;
}

static double average(int prog, const struct packet *p, uint32_t ifindex, uint32_t verdict)
{
	double sum = 0;

	for (int i = 0; i < CALLS; i++)
		sum += run(prog, *p, ifindex, REPEAT, verdict);
	return sum / CALLS;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void row(const char *name, const char *among, int prog, struct packet p, uint32_t ifindex,
		uint32_t verdict, int rounds)
{
	double *v = calloc((size_t)rounds, sizeof(*v));
	int noop = nothing();

	if (!v)
		die("no memory");
	for (int i = 0; i < rounds; i++)
		v[i] = average(prog, &p, ifindex, verdict) - average(noop, &p, ifindex, -1U);
	qsort(v, (size_t)rounds, sizeof(*v), by_value);
	printf("%s%-*s %4.0f (%.0f - %.0f)\n", name, (int)(60 - strlen(name)), among, v[rounds / 2],
	       v[0], v[rounds - 1]);
	fflush(stdout);
	close(noop);
	free(v);
}

static void rows(const struct setup *u, enum role role, const char *among, int rounds)
{
	int out = bpf_program__fd(u->s->progs.c25_overlay_out);
	int in = bpf_program__fd(u->s->progs.c25_overlay_in);
	int back = bpf_program__fd(u->s->progs.c25_uplink_in);
	int dns = bpf_program__fd(u->s->progs.c25_dns_in);

	switch (role) {
	case CLIENT:
		row("client translation, without tunnel key", among, out, udp4(PEER4, MAGIC4, 443),
		    u->overlay, -1U, rounds);
		row("the same to a transit address of another sum", among, out,
		    udp4(PEER4, ODD4, 443), u->overlay, -1U, rounds);
		break;
	case TUNNEL_CLIENT:
		row("client translation, with tunnel key", among, out, udp4(PEER4, MAGIC4, 443),
		    u->overlay, -1U, rounds);
		break;
	case CONNECTOR:
		row("connector, existing flow", among, in, udp4(PEER4, TRANSIT4, 443), u->overlay,
		    REDIRECT, rounds);
		row("host's own traffic on the uplink", among, back, udp4(REAL4, UPLINK4, 22),
		    u->uplink, -1U, rounds);
		break;
	case RESOLVER:
		row("a question for another name", among, dns, question("d000007.other.test"),
		    u->uplink, -1U, rounds);
		row("for one that ends as a domain does", among, dns,
		    question("d000007.a.bench.test"), u->uplink, -1U, rounds);
	}
}

static void devices(void)
{
	if (unshare(CLONE_NEWNET))
		die("network namespace");
	if (system("ip link set lo up;"
		   "ip link add ov0 address 02:00:00:00:00:01 type veth peer name ov0p;"
		   "ip link add up0 address 02:00:00:00:00:02 type veth peer name up0p;"
		   "ip link add up1 type veth peer name up1p;"
		   "for d in ov0 up0 up1; do ip link set $d up; ip link set ${d}p up; done;"
		   "echo 1 >/proc/sys/net/ipv4/conf/ov0/forwarding;"
		   "ip addr add 192.0.2.1/24 dev up0;"
		   "ip neigh add 192.0.2.254 lladdr 02:00:00:00:00:03 dev up0 nud permanent;"
		   "ip addr add 192.0.3.1/24 dev up1;"
		   "ip neigh add 192.0.3.254 lladdr 02:00:00:00:00:04 dev up1 nud permanent;"
		   "ip route add default via 192.0.2.254;"
		   "ip route add 169.254.64.1 via 192.0.3.254"))
		die("devices");
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 20;

	if (rounds < 1) {
		fprintf(stderr, "usage: prog_run [ROUNDS]\n");
		return 2;
	}
	devices();
	printf("%d rounds, IPv4; nanoseconds of one run less those of a program that does nothing: "
	       "median (minimum - maximum)\n",
	       rounds);
	for (enum role role = CLIENT; role <= RESOLVER; role++) {
		struct setup u = set_up(role);

		if (role == CONNECTOR)
			make_flows(&u);
		if (role == RESOLVER) {
			domain(u.s, "test", 0);
			domain(u.s, "bench.test", 0);
			dns_ends_init(&ends, sizeof(ends.mask));
			domain(u.s, "www.bench.test", C25_NAME_EXACT);
			put_ends(&u);
		}
		rows(&u, role, "", rounds);
		if (role == CONNECTOR)
			crowd_connector(&u);
		else if (role == RESOLVER)
			crowd_domains(&u);
		else
			crowd_client(&u);
		rows(&u, role, ", a million entries", rounds);
		conn25_bpf__destroy(u.s);
	}
	return 0;
}
