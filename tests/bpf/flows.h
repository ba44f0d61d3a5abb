/* SPDX-License-Identifier: BSD-3-Clause */
/* flows: packets through a connector's flow and back, for the tests of its programs. */
#ifndef FLOWS_H
#define FLOWS_H

#include "packet.h"

static struct bench b;

struct family {
	const char *client, *transit, *real, *uplink, *own;
	uint8_t icmp, echo, reply;
};

__attribute__((unused)) static const struct family v4 = { PEER4, TRANSIT4,     REAL4, UPLINK4,
							  OWN4,  IPPROTO_ICMP, 8,     0 };
__attribute__((unused)) static const struct family v6 = { PEER6, TRANSIT6,       REAL6, UPLINK6,
							  OWN6,  IPPROTO_ICMPV6, 128,   129 };

static inline void open_mapped(void)
{
	bench_open(&b, false);
	bench_mapping(&b, PEER4, TRANSIT4, REAL4);
	bench_mapping(&b, PEER4, TRANSIT4_B, REAL4);
	bench_mapping(&b, PEER6, TRANSIT6, REAL6);
}

static inline struct packet to_transit(const struct family *f, uint8_t proto)
{
	struct packet p = { .src = f->client,
			    .dst = f->transit,
			    .proto = proto,
			    .sport = 40000,
			    .dport = 443,
			    .len = 100 };

	if (proto == IPPROTO_TCP)
		p.tcp = 2;
	if (proto == f->icmp)
		p.type = f->echo;
	return p;
}

static inline uint16_t nat_port(const struct outcome *o)
{
	const uint8_t *ip = o->frame.b + 14;
	const uint8_t *l4 = ip + (ip[0] >> 4 == 6 ? 40 : 20);
	uint8_t proto = ip[0] >> 4 == 6 ? ip[6] : ip[9];

	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6)
		l4 += 4;
	return (uint16_t)(l4[0] << 8 | l4[1]);
}

/* Sends `p` on to the real address, checks every byte, and returns the port it was given. */
static inline uint16_t goes_on(const struct family *f, struct packet p)
{
	struct outcome o = overlay_in(&b, p);
	uint16_t port = nat_port(&o);

	cr_assert_eq(o.verdict, VERDICT_REDIRECT, "verdict %d", o.verdict);
	cr_assert_geq(port, NAT_LO);
	cr_assert_leq(port, NAT_HI);
	p.src = f->uplink;
	p.dst = f->real;
	p.sport = port;
	p.ttl = (p.ttl ? p.ttl : 64) - 1;
	memcpy(p.to, router_mac, 6);
	memcpy(p.from, uplink_mac, 6);
	expect_bytes(&o, p);
	return port;
}

static inline struct packet reply_to(const struct family *f, struct packet p, uint16_t port)
{
	p.src = f->real;
	p.dst = f->uplink;
	if (p.proto == f->icmp) {
		p.type = f->reply;
		p.sport = port;
	} else {
		p.sport = p.dport;
		p.dport = port;
	}
	if (p.proto == IPPROTO_TCP)
		p.tcp = 0x12;
	return p;
}

/* The reply goes back to the client as from the transit address. */
static inline void comes_back(const struct family *f, struct packet sent, uint16_t port)
{
	struct packet p = reply_to(f, sent, port), want = p;
	struct outcome o = uplink_in(&b, p);

	cr_assert_eq(o.verdict, VERDICT_REDIRECT, "verdict %d", o.verdict);
	cr_assert_eq(o.ctx.skb.cb[0], COOKIE);
	want.src = f->transit;
	want.dst = f->client;
	if (p.proto == f->icmp)
		want.sport = sent.sport;
	else
		want.dport = sent.sport;
	want.ttl = 63;
	memcpy(want.to, uplink_mac, 6);
	expect_bytes(&o, want);
}

/* The program answers `p` with this ICMP error from the own overlay address. */
static inline void is_answered(const struct family *f, struct packet p, uint8_t type, uint8_t code,
			       uint32_t info)
{
	struct frame in = packet_build(p);
	struct outcome o = overlay_in(&b, p);
	struct packet want = { .src = f->own,
			       .dst = p.src,
			       .proto = f->icmp,
			       .type = type,
			       .code = code,
			       .info = info,
			       .tos = f->icmp == 1 ? 0xc0 : 0,
			       .data = in.b + 14,
			       .len = in.len - 14 };
	size_t most = f->icmp == 1 ? 548 : 1232;

	if (want.len > most)
		want.len = most;
	cr_assert_eq(o.verdict, VERDICT_REDIRECT, "verdict %d", o.verdict);
	cr_assert_eq(o.ctx.skb.cb[0], COOKIE);
	expect_bytes(&o, want);
}

static inline struct c25_flow flow_at(uint32_t slot)
{
	struct c25_flow f;

	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_flows), &slot, &f), 0);
	return f;
}

/* Ends every flow of the mapping; how many. */
static inline int revoke_mapping(const char *client, const char *transit)
{
	struct c25_mapping_key k = { .client = addr_of(client), .transit = addr_of(transit) };
	LIBBPF_OPTS(bpf_test_run_opts, o, .ctx_in = &k, .ctx_size_in = sizeof(k));

	cr_assert_eq(bpf_prog_test_run_opts(bpf_program__fd(b.skel->progs.c25_revoke), &o), 0);
	return (int)o.retval;
}

/* Waits for the sweep to bring a slot into a state. */
static inline bool becomes(uint32_t slot, uint32_t state)
{
	for (int i = 0; i < 200; i++) {
		if (flow_at(slot).state == state)
			return true;
		usleep(10000);
	}
	return false;
}

static inline void idle(uint32_t slot, uint64_t seconds)
{
	struct c25_flow f = flow_at(slot);

	f.last_seen -= seconds;
	put(b.skel->maps.c25_flows, &slot, &f);
}

#endif
