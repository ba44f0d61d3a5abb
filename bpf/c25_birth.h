/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_birth: how a flow is made: its slot, its port, its places in the index.
 */
#ifndef C25_BIRTH_H
#define C25_BIRTH_H

#include "c25_sweep.h"

#define C25_PORT_PROBES 128

/* Whether the host itself has a socket that would take the flow's replies. */
static __always_inline int c25_port_taken(struct __sk_buff *skb, const struct c25_tuple *in)
{
	struct bpf_sock_tuple t = { 0 };
	struct bpf_sock *sk;
	__u32 size;

	if (!c25_has_ports(in))
		return 0;
	if (c25_addr_is4(&in->dst)) {
		t.ipv4.saddr = c25_addr_w(&in->src, 3);
		t.ipv4.daddr = c25_addr_w(&in->dst, 3);
		t.ipv4.sport = in->sport;
		t.ipv4.dport = in->dport;
		size = sizeof(t.ipv4);
	} else {
		for (int i = 0; i < 4; i++) {
			t.ipv6.saddr[i] = c25_addr_w(&in->src, i);
			t.ipv6.daddr[i] = c25_addr_w(&in->dst, i);
		}
		t.ipv6.sport = in->sport;
		t.ipv6.dport = in->dport;
		size = sizeof(t.ipv6);
	}
	sk = in->proto == IPPROTO_TCP ? bpf_skc_lookup_tcp(skb, &t, size, BPF_F_CURRENT_NETNS, 0) :
					bpf_sk_lookup_udp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

struct c25_probe {
	struct __sk_buff *skb;
	__u32 slot;
	__u32 start;
	__u32 step;
	__u32 found;
	__u32 taken; /* no ports to choose from, and the addresses are another flow's */
	__u32 shown; /* another CPU may have found the slot meanwhile */
};

static __always_inline __be16 c25_probe_at(const struct c25_probe *pr, __u32 i)
{
	__u32 range = c25_nat_hi - c25_nat_lo + 1;

	return bpf_htons(c25_nat_lo + (pr->start + i * pr->step) % range);
}

/* No port is free: one whose connection is over is used again before its time (RFC 6191). */
static long c25_probe_closed(__u32 i, struct c25_probe *pr)
{
	__u32 slot = pr->slot, old_slot;
	struct c25_flow *f = bpf_map_lookup_elem(&c25_flows, &slot), *old;

	if (!f)
		return 1;
	f->in.dport = c25_probe_at(pr, i);
	old = c25_index_find(&f->in, C25_BACK, &old_slot);
	if (!old || !c25_flow_closed(old) || !c25_flow_end(old, old_slot))
		return 0;
	pr->found = !c25_index_add(&f->in, C25_BACK, slot);
	return pr->found;
}

/* Non-zero: no need to look further. */
static __noinline long c25_probe_port(__u32 i, struct c25_probe *pr)
{
	__u32 slot = pr->slot;
	struct c25_flow *f = bpf_map_lookup_elem(&c25_flows, &slot);
	__be16 port = c25_probe_at(pr, i);
	long err;

	if (!f)
		return 1;
	if (c25_has_ports(&f->in))
		f->in.dport = port;
	else if (c25_is_echo(&f->in))
		f->in.sport = port;
	err = c25_index_add(&f->in, C25_BACK, slot);
	if (err && (c25_has_ports(&f->in) || c25_is_echo(&f->in)))
		return 0;
	/* The dearer question last. */
	if (!err && c25_port_taken(pr->skb, &f->in)) {
		c25_index_del(&f->in, C25_BACK, slot);
		pr->shown = 1;
		return 0;
	}
	pr->found = !err;
	pr->taken = err == -C25_EEXIST;
	return 1;
}

/* One client port gets one port here towards every destination, where that is free (RFC 4787). */
static __always_inline __u32 c25_port_hash(const struct c25_tuple *t)
{
	__u64 h = c25_words64(&t->src)[0] * 0x9e3779b97f4a7c15ULL;

	h = (h ^ c25_words64(&t->src)[1]) * 0x9e3779b97f4a7c15ULL;
	h = (h ^ (h >> 32) ^ t->sport ^ (__u64)t->proto << 16) * 0x9e3779b97f4a7c15ULL;
	return h >> 32;
}

/* What a new flow is made from has the form of one: where to and from, whose, and by which uplink. */
static __always_inline struct c25_flow *c25_unborn(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&c25_scratch, &zero);
}

/* Where a flow's first packet is to go, in the form of a flow: it has no uplink yet. 0: the peer
 * has no mapping of that address. */
static __always_inline int c25_flow_conceive(const struct c25_pkt *p, __u32 peer)
{
	struct c25_mapping *m = c25_mapping_of(p, peer);
	struct c25_flow *f;

	if (!m)
		return 0;
	f = c25_unborn();
	if (!f)
		return 0;
	f->uplink = 0;
	f->app = m->app;
	c25_addr_copy(&f->in.src, &m->real);
	return 1;
}

static __always_inline void c25_flow_fill(struct c25_flow *f, const struct c25_tuple *t,
					  const struct c25_flow *b, __u64 now)
{
	__builtin_memset(f, 0, sizeof(*f));
	c25_tuple_copy(&f->out, t);
	c25_addr_copy(&f->in.src, &b->in.src);
	c25_addr_copy(&f->in.dst, &b->in.dst);
	f->in.sport = t->dport;
	f->in.proto = t->proto;
	f->peer = b->peer;
	f->uplink = b->uplink;
	f->app = b->app;
	f->created = now;
	f->last_seen = now;
}

/* Two CPUs that meet at one tuple both give way. */
#define C25_ADD_TRIES 2

/* The slot plus 1 of the flow that lives under the tuple: this one, or another CPU's. 0: there is
 * no room. */
static __always_inline __u32 c25_flow_enter(struct c25_flow *f, __u64 slot)
{
	struct c25_flow *other;
	__u32 other_slot;

	/* As in c25_nat_l4(). */
	asm volatile("" : "+r"(slot));
#pragma unroll
	for (int i = 0; i < C25_ADD_TRIES; i++) {
		if (!c25_index_add(&f->out, C25_OUT, slot))
			return slot + 1;
		other = c25_index_find(&f->out, C25_OUT, &other_slot);
		if (other && c25_flow_lives(other))
			return other_slot + 1;
	}
	return 0;
}

/*
 * Makes a flow, or finds the one that another CPU made meanwhile. Returns its slot, or the
 * reason, negative. A slot that was never in the index is free at once, or refused flows would fill
 * the table; any other goes through ENDED.
 *
 * It returns no pointer: of a NULL that a function returned, verifiers before 6.17 believe without
 * CAP_PERFMON that the caller may have used it.
 */
static __noinline long c25_flow_make(struct __sk_buff *skb, const struct c25_pkt *p,
				     const struct c25_flow *b)
{
	struct c25_probe pr = { .skb = skb };
	struct c25_tick *tick = c25_clock();
	struct c25_flow *f;
	__u32 *held, entered, range;

	held = bpf_map_lookup_elem(&c25_held, &b->peer);
	if (!held || !tick)
		return -C25_REASON_INTERNAL;
	if (*held >= c25_peer_quota)
		return -C25_REASON_QUOTA;
	if (c25_slot_take(&pr.slot))
		return -C25_REASON_TABLE_FULL;
	f = bpf_map_lookup_elem(&c25_flows, &pr.slot);
	if (!f)
		return -C25_REASON_TABLE_FULL;
	c25_flow_fill(f, &p->t, b, tick->now);

	range = c25_nat_hi - c25_nat_lo + 1;
	pr.start = c25_port_hash(&p->t);
	/* No lap ends before the last probe, so all of them are of different ports. */
	pr.step = 1;
	if (range > C25_PORT_PROBES)
		pr.step += (pr.start >> 8) % (range / (C25_PORT_PROBES + 1));
	pr.start %= range;
	/* Mostly the first one is free. */
	if (!c25_probe_port(0, &pr)) {
		pr.start += pr.step;
		bpf_loop(C25_PORT_PROBES, c25_probe_port, &pr, 0);
	}
	if (!pr.found && p->t.proto == IPPROTO_TCP)
		bpf_loop(C25_PORT_PROBES, c25_probe_closed, &pr, 0);
	if (!pr.found) {
		if (pr.shown)
			f->state = C25_FLOW_ENDED;
		else
			c25_slot_put(tick, f, pr.slot);
		return pr.taken ? -C25_REASON_AMBIGUOUS : -C25_REASON_NO_PORT;
	}
	__sync_fetch_and_add(held, 1);
	f->state = C25_FLOW_NEW;
	entered = c25_flow_enter(f, pr.slot);
	if (entered == pr.slot + 1) {
		/* Whoever ended it before it was in the index did not find it there. */
		if (!c25_flow_lives(f))
			c25_index_del(&f->out, C25_OUT, pr.slot);
		return pr.slot;
	}

	c25_index_del(&f->in, C25_BACK, pr.slot);
	__sync_fetch_and_add(held, -1);
	f->state = C25_FLOW_ENDED;
	return entered ? (long)entered - 1 : -C25_REASON_TABLE_FULL;
}
#endif
