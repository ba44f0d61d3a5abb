/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet: the programs run on packets given as data, through BPF_PROG_TEST_RUN.
 *
 * A packet is described by a struct packet; packet_build() makes its bytes, every checksum from
 * nothing, so that what a program left must equal what is built from the expected description.
 * Each test has its own network namespace: an overlay and an uplink, and the routes a connector
 * needs.
 */
#ifndef PACKET_H
#define PACKET_H

#include "c25_abi.h"
#include "conn25.skel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define VERDICT_PASS     (-1) /* TC_ACT_UNSPEC */
#define VERDICT_DROP     2    /* TC_ACT_SHOT */
#define VERDICT_REDIRECT 7    /* TC_ACT_REDIRECT */

#define COOKIE 0xc25c0ffeU
#define NAT_LO 20000
#define NAT_HI 20999
#define VNI    25

/* Who is who. */
#define MAGIC4      "198.18.0.1"
#define MAGIC6      "fd25:a::1"
#define TRANSIT4    "169.254.64.1"
#define TRANSIT6    "fd25:b::1"
#define TRANSIT4_B  "169.254.64.2"
#define REAL4       "203.0.113.7"
#define REAL6       "2001:db8:7::7"
#define OWN4        "100.101.0.1"
#define OWN6        "fd25::1"
#define PEER4       "100.101.0.9"
#define PEER6       "fd25::9"
#define POD4        "10.244.1.5"
#define UPLINK4     "192.0.2.1"
#define UPLINK6     "2001:db8::1"
#define UNDERLAY    "192.0.2.11" /* the peer's */
#define OTHER       "192.0.2.66" /* an underlay address of the other peer */
#define OVERLAY_MTU 1450

#define PEER       1
#define OTHER_PEER 2

struct packet {
	const char *src, *dst;
	uint8_t proto;
	uint16_t sport, dport; /* ICMP: identifier, sequence number */
	uint8_t ttl;           /* 0: 64 */
	uint8_t tcp;           /* flags */
	uint16_t mss;          /* 0: no option */
	bool mss_odd;          /* the option stands behind one NOP, at an odd offset */
	uint8_t nops;          /* or behind as many, at most 36 */
	uint8_t type, code;
	uint32_t info; /* ICMP errors: the four bytes after the checksum */
	uint16_t frag; /* IPv4: the field; IPv6: as in the fragment header, with `fragmented` */
	bool fragmented;
	uint32_t id;       /* of a datagram */
	uint32_t seq, ack; /* TCP; seq 0: 1, but in a reset */
	bool no_csum;      /* UDP over IPv4 without a checksum */
	uint8_t slack;     /* UDP: bytes of `len` that the IP packet holds behind the datagram */
	uint8_t options;   /* IPv4: bytes of options, all NOPs; a multiple of four */
	uint8_t chain[4];  /* IPv6: extension headers, behind that of a fragment; 0 ends them */
	uint8_t tos;
	const void *data; /* NULL: a counting pattern */
	size_t len;       /* of the payload */
	uint8_t to[6], from[6];
};

struct frame {
	uint8_t b[4096];
	size_t len;
};

static inline struct c25_addr addr_of(const char *text)
{
	struct c25_addr a = { 0 };

	if (strchr(text, ':')) {
		cr_assert_eq(inet_pton(AF_INET6, text, a.b), 1);
		return a;
	}
	a.b[10] = a.b[11] = 0xff;
	cr_assert_eq(inet_pton(AF_INET, text, a.b + 12), 1);
	return a;
}

static inline uint32_t sum_add(uint32_t sum, const void *p, size_t len)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? b[i] : (uint32_t)b[i] << 8;
	return sum;
}

static inline uint16_t sum_end(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

static inline size_t packet_l4(const struct packet *p, uint8_t *h)
{
	size_t n = 8, nops = p->mss_odd ? 1 : p->nops;

	switch (p->proto) {
	case IPPROTO_TCP:
		n = p->mss ? 20 + (nops + 4 + 3) / 4 * 4 : 20;
		put16(h, p->sport);
		put16(h + 2, p->dport);
		put32(h + 4, p->seq || p->tcp & 4 ? p->seq : 1);
		put32(h + 8, p->ack);
		h[12] = (uint8_t)(n / 4 << 4);
		h[13] = p->tcp;
		if (!(p->tcp & 4))
			put16(h + 14, 0xfaf0);
		if (p->mss) {
			uint8_t *o = h + 20;

			for (size_t i = 0; i < nops; i++)
				*o++ = 1;
			o[0] = 2;
			o[1] = 4;
			put16(o + 2, p->mss);
		}
		return n;
	case IPPROTO_UDP:
		put16(h, p->sport);
		put16(h + 2, p->dport);
		put16(h + 4, (uint16_t)(8 + p->len - p->slack));
		return n;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		h[0] = p->type;
		h[1] = p->code;
		put16(h + 4, p->info ? (uint16_t)(p->info >> 16) : p->sport);
		put16(h + 6, p->info ? (uint16_t)p->info : p->dport);
		return n;
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		put16(h, p->sport);
		put16(h + 2, p->dport);
		return 12;
	case IPPROTO_UDPLITE:
		put16(h, p->sport);
		put16(h + 2, p->dport);
		return 8;
	default:
		return 0;
	}
}

static inline void packet_csum(const struct packet *p, uint8_t *l4, size_t len,
			       const uint8_t *addrs, size_t addrs_len)
{
	static const int at[256] = {
		[IPPROTO_TCP] = 16,   [IPPROTO_UDP] = 6,     [IPPROTO_ICMP] = 2,
		[IPPROTO_ICMPV6] = 2, [IPPROTO_UDPLITE] = 6, [IPPROTO_DCCP] = 6,
	};
	uint32_t sum = 0;
	uint16_t v;

	if (!at[p->proto] || p->no_csum)
		return;
	if (p->proto != IPPROTO_ICMP)
		sum = sum_add(sum, addrs, addrs_len) + p->proto + (uint32_t)len;
	v = sum_end(sum_add(sum, l4, len));
	if (!v && p->proto == IPPROTO_UDP)
		v = 0xffff;
	memcpy(l4 + at[p->proto], &v, 2);
}

/* A later fragment holds payload alone. */
static inline bool packet_is_later(const struct packet *p)
{
	return p->fragmented ? p->frag & 0xfff8 : p->frag & 0x1fff;
}

static inline size_t packet_ext_len(uint8_t type)
{
	return type == IPPROTO_AH ? 24 : 8;
}

/* Of the IP header with what stands between it and the next one. */
static inline size_t packet_ip_len(const struct packet *p)
{
	size_t len = 40 + (p->fragmented ? 8 : 0);

	if (!strchr(p->src, ':'))
		return 20 + p->options;
	for (const uint8_t *type = p->chain; *type && !packet_is_later(p); type++)
		len += packet_ext_len(*type);
	return len;
}

static inline void packet_chain(const struct packet *p, uint8_t *h)
{
	for (const uint8_t *type = p->chain; *type; type++) {
		h[0] = type[1] ? type[1] : p->proto;
		if (*type == IPPROTO_AH) {
			h[1] = 24 / 4 - 2;
		} else {
			h[2] = 1; /* PadN; an option type to routers, no segments left */
			h[3] = *type == IPPROTO_ROUTING ? 0 : 4;
		}
		h += packet_ext_len(*type);
	}
}

static inline struct frame packet_build(struct packet p)
{
	const bool v6 = strchr(p.src, ':');
	const size_t ip_len = packet_ip_len(&p);
	const uint8_t next = v6 && *p.chain ? *p.chain : p.proto;
	struct c25_addr src = addr_of(p.src), dst = addr_of(p.dst);
	struct frame f = { 0 };
	uint8_t *ip = f.b + 14, *l4 = ip + ip_len, *data;
	size_t l4_len;

	memcpy(f.b, p.to, 6);
	memcpy(f.b + 6, p.from, 6);
	put16(f.b + 12, v6 ? 0x86dd : 0x0800);
	data = l4 + (packet_is_later(&p) ? 0 : packet_l4(&p, l4));
	for (size_t i = 0; i < p.len; i++)
		data[i] = p.data ? ((const uint8_t *)p.data)[i] : (uint8_t)(i * 7 + 1);
	l4_len = (size_t)(data - l4) + p.len;
	f.len = 14 + ip_len + l4_len;
	if (v6) {
		ip[0] = 0x60 | p.tos >> 4;
		ip[1] = (uint8_t)(p.tos << 4);
		put16(ip + 4, (uint16_t)(ip_len - 40 + l4_len));
		ip[6] = p.fragmented ? 44 : next;
		ip[7] = p.ttl ? p.ttl : 64;
		memcpy(ip + 8, src.b, 16);
		memcpy(ip + 24, dst.b, 16);
		if (p.fragmented) {
			ip[40] = next;
			put16(ip + 42, p.frag);
			put32(ip + 44, p.id);
		}
		if (!packet_is_later(&p))
			packet_chain(&p, ip + 40 + (p.fragmented ? 8 : 0));
		if (!packet_is_later(&p))
			packet_csum(&p, l4, l4_len - p.slack, ip + 8, 32);
	} else {
		uint16_t v;

		ip[0] = (uint8_t)(0x40 | ip_len / 4);
		ip[1] = p.tos;
		put16(ip + 2, (uint16_t)(ip_len + l4_len));
		put16(ip + 4, (uint16_t)p.id);
		put16(ip + 6, p.frag);
		ip[8] = p.ttl ? p.ttl : 64;
		ip[9] = p.proto;
		memcpy(ip + 12, src.b + 12, 4);
		memcpy(ip + 16, dst.b + 12, 4);
		memset(ip + 20, 1, p.options);
		v = sum_end(sum_add(0, ip, ip_len));
		memcpy(ip + 10, &v, 2);
		if (!packet_is_later(&p))
			packet_csum(&p, l4, l4_len - p.slack, ip + 12, 8);
	}
	return f;
}

/* One set of programs, maps and devices. */
struct bench {
	struct conn25_bpf *skel;
	uint32_t overlay, uplink, other; /* interface indices */
};

static const uint8_t overlay_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t uplink_mac[6] = { 2, 0, 0, 0, 0, 2 };
static const uint8_t router_mac[6] = { 2, 0, 0, 0, 0, 3 };
static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 4 };

/* The kernel's __sk_buff is longer than the headers of an older build host say. */
union context {
	struct __sk_buff skb;
	uint8_t b[192];
};

static inline void put(struct bpf_map *map, const void *k, const void *v)
{
	cr_assert_eq(bpf_map_update_elem(bpf_map__fd(map), k, v, BPF_ANY), 0, "%s: %s",
		     bpf_map__name(map), strerror(errno));
}

static inline void bench_net(struct bench *b, const char *net, uint32_t len, uint32_t kind,
			     uint32_t peer)
{
	struct c25_net_key k = { .prefixlen = strchr(net, ':') ? len : 96 + len,
				 .addr = addr_of(net) };
	struct c25_net v = { .kind = kind, .peer = peer };

	put(b->skel->maps.c25_nets, &k, &v);
}

static inline void bench_peer(struct bench *b, uint32_t i, const char *v4, const char *v6,
			      const char *underlay)
{
	struct c25_peer p = { .overlay4 = addr_of(v4),
			      .overlay6 = addr_of(v6),
			      .underlay = addr_of(underlay),
			      .flags = C25_PEER_USED };

	put(b->skel->maps.c25_peers, &i, &p);
	bench_net(b, v4, 32, C25_NET_NODE, i);
	bench_net(b, v6, 128, C25_NET_NODE, i);
}

static inline void bench_client(struct bench *b, const char *magic, const char *transit,
				uint32_t flags)
{
	struct c25_addr m = addr_of(magic), t = addr_of(transit);
	struct c25_magic mv = { .transit = t, .peer = PEER, .flags = flags };
	struct c25_transit tv = { .magic = m, .peer = PEER, .peer2 = PEER };

	put(b->skel->maps.c25_transit, &t, &tv);
	put(b->skel->maps.c25_magic, &m, &mv);
}

static inline void bench_mapping(struct bench *b, const char *client, const char *transit,
				 const char *real)
{
	struct c25_mapping_key k = { .client = addr_of(client), .transit = addr_of(transit) };
	struct c25_mapping v = { .real = addr_of(real), .app = 3, .peer = PEER };

	put(b->skel->maps.c25_mappings, &k, &v);
}

static inline void bench_sh(const char *command)
{
	cr_assert_eq(system(command), 0, "%s", command);
}

static inline void bench_devices(struct bench *b)
{
	struct c25_overlay o = { .addr4 = addr_of(OWN4),
				 .addr6 = addr_of(OWN6),
				 .mtu = OVERLAY_MTU,
				 .vni = VNI,
				 .via4 = C25_PEER_NONE,
				 .via6 = C25_PEER_NONE,
				 .l2 = 1 };
	struct c25_dev up = { .addr4 = addr_of(UPLINK4),
			      .addr6 = addr_of(UPLINK6),
			      .flags = C25_DEV_UPLINK | C25_DEV_L2,
			      .mtu = 1500 };
	uint32_t zero = 0;

	cr_assert_eq(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	cr_assert_eq(mount("sysfs", "/sys", "sysfs", 0, NULL), 0);
	bench_sh("ip link set lo up;"
		 "ip link add ov0 address 02:00:00:00:00:01 type veth peer name ov0p;"
		 "ip link add up0 address 02:00:00:00:00:02 type veth peer name up0p;"
		 "ip link add other0 address 02:00:00:00:00:08 type veth peer name other0p;"
		 "for d in ov0 up0 other0; do ip link set $d up; ip link set ${d}p up; done;"
		 "echo 1 >/proc/sys/net/ipv4/conf/ov0/forwarding;"
		 "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding;"
		 "ip addr add 192.0.2.1/24 dev up0; ip addr add 192.0.3.1/24 dev other0;"
		 "ip -6 addr add 2001:db8::1/64 dev up0 nodad;"
		 "ip neigh add 192.0.2.254 lladdr 02:00:00:00:00:03 dev up0 nud permanent;"
		 "ip -6 neigh add 2001:db8::fe lladdr 02:00:00:00:00:03 dev up0 nud permanent;"
		 "ip route add 203.0.113.0/24 via 192.0.2.254;"
		 "ip -6 route add 2001:db8:7::/64 via 2001:db8::fe");
	b->overlay = if_nametoindex("ov0");
	b->uplink = if_nametoindex("up0");
	b->other = if_nametoindex("other0");
	o.ifindex = b->overlay;
	memcpy(o.mac, overlay_mac, 6);
	memcpy(up.mac, uplink_mac, 6);
	put(b->skel->maps.c25_overlay, &zero, &o);
	put(b->skel->maps.c25_devs, &b->uplink, &up);
}

/* Flows that a peer may hold, for the next bench_open(); 0: more than there are. */
static uint32_t bench_quota;

/* Buckets of c25_index less 1, for the next bench_open(); 0: as many as there are. */
static uint32_t bench_index_mask;

/* Programs loaded, the two peers known, the pools set; no mapping yet. */
static inline void bench_open(struct bench *b, bool tunnel_key)
{
	memset(b, 0, sizeof(*b));
	b->skel = conn25_bpf__open();
	cr_assert_not_null(b->skel, "not root?");
	b->skel->rodata->c25_cookie = COOKIE;
	b->skel->rodata->c25_tunnel_key = tunnel_key;
	b->skel->rodata->c25_nat_lo = NAT_LO;
	b->skel->rodata->c25_nat_hi = NAT_HI;
	b->skel->rodata->c25_max_flows = 1024;
	if (bench_index_mask)
		b->skel->rodata->c25_index_mask = bench_index_mask;
	if (bench_quota)
		b->skel->rodata->c25_peer_quota = bench_quota;
	cr_assert_eq(conn25_bpf__load(b->skel), 0);
	bench_devices(b);
	bench_peer(b, PEER, PEER4, PEER6, UNDERLAY);
	bench_peer(b, OTHER_PEER, "100.101.0.66", "fd25::66", OTHER);
	bench_net(b, POD4, 24, C25_NET_PODS, PEER);
	bench_net(b, OWN4, 32, C25_NET_SELF, 0);
	bench_net(b, OWN6, 128, C25_NET_SELF, 0);
	bench_net(b, MAGIC4, 16, C25_NET_MAGIC, 0);
	bench_net(b, MAGIC6, 96, C25_NET_MAGIC, 0);
	bench_net(b, TRANSIT4, 18, C25_NET_TRANSIT, 0);
	bench_net(b, TRANSIT6, 96, C25_NET_TRANSIT, 0);
}

static inline void bench_close(struct bench *b)
{
	conn25_bpf__destroy(b->skel);
}

/* Arms the timer, which from then on sweeps and tells the time. */
static inline void bench_start(struct bench *b)
{
	LIBBPF_OPTS(bpf_test_run_opts, o);

	cr_assert_eq(bpf_prog_test_run_opts(bpf_program__fd(b->skel->progs.c25_start), &o), 0);
	cr_assert_eq(o.retval, 0);
}

static inline struct c25_count bench_reason(struct bench *b, uint32_t reason)
{
	int cpus = libbpf_num_possible_cpus();
	struct c25_count *each = calloc((size_t)cpus, sizeof(*each)), sum = { 0 };

	cr_assert_not_null(each);
	bpf_map_lookup_elem(bpf_map__fd(b->skel->maps.c25_reasons), &reason, each);
	for (int i = 0; i < cpus; i++) {
		sum.packets += each[i].packets;
		sum.bytes += each[i].bytes;
	}
	free(each);
	return sum;
}

static inline uint64_t bench_counted(struct bench *b)
{
	uint64_t n = 0;

	for (uint32_t r = 0; r < C25_REASON_MAX; r++)
		n += bench_reason(b, r).packets;
	return n;
}

/* What a program made of a packet. */
struct outcome {
	struct frame frame;
	union context ctx;
	int verdict;
};

static inline struct outcome bench_run_ctx(struct bench *b, int prog, const struct frame *in,
					   const union context *ctx)
{
	struct outcome out = { .ctx = *ctx };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = in->b, .data_size_in = (uint32_t)in->len,
		    .data_out = out.frame.b, .data_size_out = sizeof(out.frame.b), .ctx_in = ctx,
		    .ctx_size_in = sizeof(*ctx), .ctx_out = &out.ctx,
		    .ctx_size_out = sizeof(out.ctx), .repeat = 1);

	cr_assert_eq(bpf_prog_test_run_opts(prog, &o), 0, "%s", strerror(errno));
	out.frame.len = o.data_size_out;
	out.verdict = (int)o.retval;
	return out;
}

static inline struct outcome bench_run(struct bench *b, struct bpf_program *prog, uint32_t ifindex,
				       struct packet p)
{
	union context ctx = { .skb.ifindex = ifindex };
	struct frame in = packet_build(p);

	return bench_run_ctx(b, bpf_program__fd(prog), &in, &ctx);
}

static inline struct outcome overlay_out(struct bench *b, struct packet p)
{
	return bench_run(b, b->skel->progs.c25_overlay_out, b->overlay, p);
}

static inline struct outcome overlay_in(struct bench *b, struct packet p)
{
	return bench_run(b, b->skel->progs.c25_overlay_in, b->overlay, p);
}

static inline struct outcome uplink_in(struct bench *b, struct packet p)
{
	memcpy(p.to, uplink_mac, 6);
	return bench_run(b, b->skel->progs.c25_uplink_in, b->uplink, p);
}

#define INSN(op, d, s, o, i)                                                                       \
	((struct bpf_insn){ .code = (op), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })

/*
 * overlay_in() on a packet that came out of a tunnel from `outer`: a program of its own gives the
 * packet that tunnel key, as BPF_PROG_TEST_RUN cannot, and goes on in ours by tail call.
 */
static inline struct outcome tunnel_in(struct bench *b, const char *outer, uint32_t vni,
				       struct packet p)
{
	const bool v6 = strchr(outer, ':');
	struct c25_addr a = addr_of(outer);
	int map = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "next", 4, 4, 1, NULL);
	int next = bpf_program__fd(b->skel->progs.c25_overlay_in), prog;
	struct frame in = packet_build(p);
	union context ctx = { .skb.ifindex = b->overlay };
	struct bpf_insn code[40];
	struct outcome o;
	uint32_t w[4], zero = 0;
	size_t n = 0;

	memcpy(w, a.b, 16);
	if (!v6)
		w[0] = ntohl(w[3]);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0);
	for (int16_t at = -48; at < 0; at += 8)
		code[n++] = INSN(BPF_ST | BPF_MEM | BPF_DW, 10, 0, at, 0);
	code[n++] = INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -48, (int32_t)vni);
	for (int i = 0; i < (v6 ? 4 : 1); i++)
		code[n++] = INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, (int16_t)(-20 + 4 * i),
				 (int32_t)w[i]);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -48);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 44);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 4, 0, 0, v6 ? BPF_F_TUNINFO_IPV6 : 0);
	code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_skb_set_tunnel_key);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0);
	code[n++] = INSN(BPF_LD | BPF_IMM | BPF_DW, 2, BPF_PSEUDO_MAP_FD, 0, map);
	code[n++] = INSN(0, 0, 0, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 0);
	code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_tail_call);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 99);
	code[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	prog = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "tunnel", "GPL", code, n, NULL);
	cr_assert_geq(prog, 0, "%s", strerror(errno));
	cr_assert_eq(bpf_map_update_elem(map, &zero, &next, 0), 0);
	o = bench_run_ctx(b, prog, &in, &ctx);
	close(prog);
	close(map);
	return o;
}

static inline void frame_print(const char *name, const struct frame *f)
{
	fprintf(stderr, "%s (%zu):", name, f->len);
	for (size_t i = 0; i < f->len && i < 160; i++)
		fprintf(stderr, "%s%02x", i % 16 ? " " : "\n    ", f->b[i]);
	fprintf(stderr, "\n");
}

/* Bytes as built from `p`. */
static inline void expect_bytes(const struct outcome *o, struct packet p)
{
	struct frame want = packet_build(p);

	if (o->frame.len != want.len || memcmp(o->frame.b, want.b, want.len)) {
		frame_print("want", &want);
		frame_print("got", &o->frame);
	}
	cr_assert_eq(o->frame.len, want.len, "%zu bytes, not %zu", o->frame.len, want.len);
	cr_assert_arr_eq(o->frame.b, want.b, want.len);
}

#define expect_outcome(b, o, want, reason)                                                         \
	do {                                                                                       \
		cr_assert_eq((o).verdict, want, "verdict %d", (o).verdict);                        \
		expect_reason(b, reason, 1);                                                       \
	} while (0)

/* Counted so often since the bench was opened. */
#define expect_reason(b, reason, n)                                                                \
	cr_assert_eq(bench_reason(b, C25_REASON_##reason).packets, (uint64_t)(n),                  \
		     #reason " counted %lu times", bench_reason(b, C25_REASON_##reason).packets)

#endif
