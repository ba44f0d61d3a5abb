/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_flow: the connector's flows: made, looked up, ended, swept.
 *
 * A flow is a slot of c25_flows that c25_index leads to from both its tuples. It ends in two steps,
 * so that no packet that still holds the slot sees another flow in it: out of the index (ENDED),
 * and free again when the sweep passes next.
 */
#ifndef C25_FLOW_H
#define C25_FLOW_H

#include "c25_count.h"
#include "c25_index.h"

#define CLOCK_MONOTONIC 1

#define C25_NSEC_PER_SEC 1000000000ULL

/* Seconds without a packet: RFC 5382 REQ-5, RFC 4787 REQ-5, RFC 5508 REQ-2. */
#define C25_TCP_ESTABLISHED 7440
#define C25_TCP_TRANSITORY  240
#define C25_UDP_NEW         120
#define C25_UDP_ESTABLISHED 300
#define C25_ICMP_IDLE       60
#define C25_OTHER_IDLE      600 /* of protocols without ports */

#define C25_SWEEP_SLOTS  1024
#define C25_SWEEP_PERIOD (100 * 1000 * 1000ULL)
/* A pass over all slots takes at most this. */
#define C25_SWEEP_PASS (20 * C25_NSEC_PER_SEC)
/* Nanoseconds of a beat, as a power of two: an eighth of a second. */
#define C25_BEAT_SHIFT 27

#define C25_PORT_PROBES 128

static __always_inline int c25_has_ports(const struct c25_tuple *t)
{
	return t->proto == IPPROTO_TCP || t->proto == IPPROTO_UDP;
}

static __always_inline int c25_nat_port(__be16 port)
{
	return bpf_ntohs(port) >= c25_nat_lo && bpf_ntohs(port) <= c25_nat_hi;
}

/* A flow of ICMP echo has its identifier in place of ports. */
static __always_inline int c25_is_echo(const struct c25_tuple *t)
{
	return t->proto == IPPROTO_ICMP || t->proto == IPPROTO_ICMPV6;
}

/* Whether a packet from the uplink could be a flow's, by what stands in no map. */
static __always_inline int c25_could_be_reply(const struct c25_pkt *p)
{
	switch (p->t.proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		return c25_nat_port(p->t.dport);
	case IPPROTO_ICMP:
		return p->type == ICMP_ECHOREPLY && c25_nat_port(p->t.sport);
	case IPPROTO_ICMPV6:
		return p->type == ICMPV6_ECHOREPLY && c25_nat_port(p->t.sport);
	default:
		return 1;
	}
}

static __always_inline int c25_flow_lives(const struct c25_flow *f)
{
	return f->state == C25_FLOW_NEW || f->state == C25_FLOW_ESTABLISHED ||
	       f->state == C25_FLOW_CLOSING;
}

/* The mapping of a transit address that this peer made. */
static __always_inline struct c25_mapping *c25_mapping_of(const struct c25_pkt *p, __u32 index)
{
	struct c25_mapping_key k __attribute__((aligned(8)));
	struct c25_peer *peer = c25_peer_of(index);

	if (!peer)
		return NULL;
	c25_addr_copy(&k.client, c25_pick(p->v6, &peer->overlay4, &peer->overlay6));
	c25_addr_copy(&k.transit, &p->t.dst);
	return bpf_map_lookup_elem(&c25_mappings, &k);
}

/* The mapping a flow was made under, if it is still there. */
static __always_inline struct c25_mapping *c25_flow_mapping(const struct c25_flow *f)
{
	struct c25_mapping_key k __attribute__((aligned(8)));
	struct c25_peer *peer = c25_peer_of(f->peer);

	if (!peer)
		return NULL;
	c25_addr_copy(&k.client,
		      c25_pick(!c25_addr_is4(&f->out.dst), &peer->overlay4, &peer->overlay6));
	c25_addr_copy(&k.transit, &f->out.dst);
	return bpf_map_lookup_elem(&c25_mappings, &k);
}

/* Unless it has become another meanwhile: what the sweep or the controller ended stays ended. */
static __always_inline int c25_flow_turn(struct c25_flow *f, __u32 from, __u32 to)
{
	return __sync_val_compare_and_swap(&f->state, from, to) == from;
}

/* Packets turn a flow at most this often while it is ended. */
#define C25_END_TRIES 4

static __always_inline int c25_flow_turn_ended(struct c25_flow *f)
{
	for (int i = 0; i < C25_END_TRIES; i++) {
		__u32 state = *(volatile __u32 *)&f->state;

		if (state == C25_FLOW_FREE || state == C25_FLOW_ENDED)
			return 0;
		if (c25_flow_turn(f, state, C25_FLOW_ENDED))
			return 1;
	}
	return 0;
}

/* Non-zero: this call ended it. */
static __always_inline int c25_flow_end(struct c25_flow *f, __u32 slot)
{
	__u32 peer = f->peer, *held;
	struct c25_mapping *m;

	if (!c25_flow_turn_ended(f))
		return 0;
	c25_index_del(&f->out, C25_OUT, slot);
	c25_index_del(&f->in, C25_BACK, slot);
	held = bpf_map_lookup_elem(&c25_held, &peer);
	if (held)
		__sync_fetch_and_add(held, -1);
	m = c25_flow_mapping(f);
	if (m) {
		__sync_fetch_and_add(&m->packets,
				     f->count[C25_OUT].packets + f->count[C25_BACK].packets);
		__sync_fetch_and_add(&m->bytes, f->count[C25_OUT].bytes + f->count[C25_BACK].bytes);
		if (m->last_seen < f->last_seen)
			m->last_seen = f->last_seen;
	}
	return 1;
}

/* The next sweep ends it. */
static __always_inline void c25_flow_revoke(struct c25_flow *f)
{
	__u32 state = *(volatile __u32 *)&f->state;

	if (state != C25_FLOW_FREE && state != C25_FLOW_ENDED)
		c25_flow_turn(f, state, C25_FLOW_REVOKED);
}

/* A packet of the flow: counters, state, and once a second the stamps. */
static __always_inline void c25_flow_touch(struct c25_flow *f, const struct c25_pkt *p,
					   const int dir, __u32 bytes)
{
	struct c25_tick *tick = c25_clock();
	__u32 state = f->state;

	__sync_fetch_and_add(&f->count[dir].packets, 1);
	__sync_fetch_and_add(&f->count[dir].bytes, bytes);
	if (p->t.proto == IPPROTO_TCP) {
		if (dir == C25_OUT && (p->tcp & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
		    state == C25_FLOW_CLOSING) {
			/* The client uses its port anew. */
			f->tcp_flags[C25_OUT] = f->tcp_flags[C25_BACK] = 0;
			c25_flow_turn(f, state, C25_FLOW_NEW);
		}
		if (p->tcp & ~f->tcp_flags[dir])
			f->tcp_flags[dir] |= p->tcp;
	}
	if (p->tcp & (TCP_FIN | TCP_RST) &&
	    (state == C25_FLOW_NEW || state == C25_FLOW_ESTABLISHED))
		c25_flow_turn(f, state, C25_FLOW_CLOSING);
	else if (dir == C25_BACK && state == C25_FLOW_NEW)
		c25_flow_turn(f, state, C25_FLOW_ESTABLISHED);
	if (tick && f->last_seen != tick->now) {
		f->last_seen = tick->now;
		if (dir == C25_OUT) {
			struct c25_mapping *m = c25_flow_mapping(f);

			if (m)
				m->last_seen = tick->now;
		}
	}
}

/* Both ends have said that they are done. */
static __always_inline int c25_flow_closed(const struct c25_flow *f)
{
	__u8 both = f->tcp_flags[C25_OUT] & f->tcp_flags[C25_BACK];
	__u8 any = f->tcp_flags[C25_OUT] | f->tcp_flags[C25_BACK];

	return f->out.proto == IPPROTO_TCP && f->state == C25_FLOW_CLOSING &&
	       (both & TCP_FIN || any & TCP_RST);
}

/* Idle seconds that a flow may live. */
static __always_inline __u64 c25_flow_limit(const struct c25_flow *f)
{
	switch (f->out.proto) {
	case IPPROTO_TCP:
		/* Both sides have answered the other, and not both have closed (RFC 7857, 2.1): the
		 * one that has may wait long for what the other still sends. */
		if (f->tcp_flags[C25_OUT] & TCP_ACK && f->tcp_flags[C25_BACK] &&
		    !c25_flow_closed(f))
			return C25_TCP_ESTABLISHED;
		return C25_TCP_TRANSITORY;
	case IPPROTO_UDP:
		return f->state == C25_FLOW_ESTABLISHED ? C25_UDP_ESTABLISHED : C25_UDP_NEW;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return C25_ICMP_IDLE;
	default:
		return C25_OTHER_IDLE;
	}
}

/* Whether the uplink still has the address that the flow uses, and the range its port. */
static __always_inline int c25_flow_homed(const struct c25_flow *f)
{
	__u32 ifindex = f->uplink;
	struct c25_dev *dev = bpf_map_lookup_elem(&c25_devs, &ifindex);

	if ((c25_has_ports(&f->in) && !c25_nat_port(f->in.dport)) ||
	    (c25_is_echo(&f->in) && !c25_nat_port(f->in.sport)))
		return 0;

	return dev && c25_addr_eq(c25_pick(!c25_addr_is4(&f->in.dst), &dev->addr4, &dev->addr6),
				  &f->in.dst);
}

/* The free slots are a stack, whose head's upper half counts what happened to it: a head that looks
 * the same is the same. */
#define C25_STACK_TRIES 8

static __always_inline void c25_slot_put(struct c25_tick *t, struct c25_flow *f, __u32 slot)
{
	for (int i = 0; i < C25_STACK_TRIES; i++) {
		__u64 head = *(volatile __u64 *)&t->free;

		f->next = head;
		if (__sync_val_compare_and_swap(&t->free, head,
						((head >> 32) + 1) << 32 | (slot + 1)) == head)
			return;
	}
	/* So much is taken just now: the next pass of the sweep puts it back. */
	f->state = C25_FLOW_ENDED;
}

static __always_inline long c25_slot_pop(struct c25_tick *t, __u32 *slot)
{
	for (int i = 0; i < C25_STACK_TRIES; i++) {
		__u64 head = *(volatile __u64 *)&t->free;
		__u32 first = (__u32)head - 1;
		struct c25_flow *f;

		if (!(__u32)head)
			return -1;
		f = bpf_map_lookup_elem(&c25_flows, &first);
		if (!f)
			return -1;
		if (__sync_val_compare_and_swap(&t->free, head,
						((head >> 32) + 1) << 32 | f->next) == head) {
			*slot = first;
			return 0;
		}
	}
	return -1;
}

struct c25_sweep {
	struct c25_tick *tick;
	__u64 now;
	__u32 first;
	__u32 high;
};

static long c25_sweep_slot(__u32 i, struct c25_sweep *s)
{
	__u32 slot = s->first + i;
	struct c25_flow *f;

	if (slot >= s->high)
		return 1;
	f = bpf_map_lookup_elem(&c25_flows, &slot);
	if (!f)
		return 1;
	switch (f->state) {
	case C25_FLOW_FREE:
		break;
	case C25_FLOW_ENDED:
		f->state = C25_FLOW_FREE;
		c25_slot_put(s->tick, f, slot);
		break;
	case C25_FLOW_REVOKED:
		c25_flow_end(f, slot);
		break;
	default:
		if (s->now >= f->last_seen + c25_flow_limit(f) || !c25_flow_homed(f))
			c25_flow_end(f, slot);
	}
	return 0;
}

static int c25_tick_run(void *map, int *key, struct c25_tick *t)
{
	__u64 period = C25_SWEEP_PERIOD, now;
	struct c25_sweep s = { .tick = t };

	now = bpf_ktime_get_boot_ns();
	t->now = now / C25_NSEC_PER_SEC;
	t->beat = (now >> C25_BEAT_SHIFT) + 1;
	s.now = t->now;
	s.first = t->cursor;
	s.high = t->high;
	if (s.high > c25_max_flows)
		s.high = c25_max_flows;
	if (s.high) {
		bpf_loop(C25_SWEEP_SLOTS, c25_sweep_slot, &s, 0);
		t->cursor = s.first + C25_SWEEP_SLOTS >= s.high ? 0 : s.first + C25_SWEEP_SLOTS;
		if (C25_SWEEP_PASS * C25_SWEEP_SLOTS / s.high < period)
			period = C25_SWEEP_PASS * C25_SWEEP_SLOTS / s.high;
	}
	bpf_timer_start(&t->timer, period, 0);
	return 0;
}

/* Negative: the table is full. */
static __always_inline long c25_slot_take(__u32 *slot)
{
	struct c25_tick *tick = c25_clock();

	if (!tick)
		return -1;
	if (!c25_slot_pop(tick, slot))
		return 0;
	if (tick->high >= c25_max_flows)
		return -1;
	*slot = __sync_fetch_and_add(&tick->high, 1);
	return *slot < c25_max_flows ? 0 : -1;
}

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

/* What a new flow is made from. */
struct c25_birth {
	struct c25_addr real __attribute__((aligned(8)));
	struct c25_addr uplink_addr;
	__u32 uplink;
	__u32 peer;
	__u32 app;
	__u32 reason; /* out: why there is none */
};

static __always_inline void c25_flow_fill(struct c25_flow *f, const struct c25_tuple *t,
					  const struct c25_birth *b, __u64 now)
{
	__builtin_memset(f, 0, sizeof(*f));
	c25_tuple_copy(&f->out, t);
	c25_addr_copy(&f->in.src, &b->real);
	c25_addr_copy(&f->in.dst, &b->uplink_addr);
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
 * Makes a flow, or finds the one that another CPU made meanwhile: its slot plus 1. 0: see
 * b->reason. A slot that was never in the index is free at once, or refused flows would fill the
 * table; any other goes through ENDED.
 */
static __noinline __u32 c25_flow_make(struct __sk_buff *skb, const struct c25_pkt *p,
				      struct c25_birth *b)
{
	struct c25_probe pr = { .skb = skb };
	struct c25_tick *tick = c25_clock();
	struct c25_flow *f;
	__u32 *held, entered;

	held = bpf_map_lookup_elem(&c25_held, &b->peer);
	if (!held || !tick)
		return 0;
	b->reason = C25_REASON_QUOTA;
	if (*held >= c25_peer_quota)
		return 0;
	b->reason = C25_REASON_TABLE_FULL;
	if (c25_slot_take(&pr.slot))
		return 0;
	f = bpf_map_lookup_elem(&c25_flows, &pr.slot);
	if (!f)
		return 0;
	c25_flow_fill(f, &p->t, b, tick->now);

	pr.start = c25_port_hash(&p->t);
	pr.step = 1 + (pr.start >> 20);
	pr.start %= c25_nat_hi - c25_nat_lo + 1;
	/* Mostly the first one is free. */
	if (!c25_probe_port(0, &pr)) {
		pr.start += pr.step;
		bpf_loop(C25_PORT_PROBES, c25_probe_port, &pr, 0);
	}
	if (!pr.found && p->t.proto == IPPROTO_TCP)
		bpf_loop(C25_PORT_PROBES, c25_probe_closed, &pr, 0);
	b->reason = pr.taken ? C25_REASON_AMBIGUOUS : C25_REASON_NO_PORT;
	if (!pr.found) {
		if (pr.shown)
			f->state = C25_FLOW_ENDED;
		else
			c25_slot_put(tick, f, pr.slot);
		return 0;
	}
	__sync_fetch_and_add(held, 1);
	f->state = C25_FLOW_NEW;
	entered = c25_flow_enter(f, pr.slot);
	if (entered == pr.slot + 1)
		return entered;

	c25_index_del(&f->in, C25_BACK, pr.slot);
	__sync_fetch_and_add(held, -1);
	f->state = C25_FLOW_ENDED;
	b->reason = C25_REASON_TABLE_FULL;
	return entered;
}

struct c25_revocation {
	struct c25_mapping_key key;
	__u32 ended;
	__u32 high;
};

static long c25_revoke_slot(__u32 slot, struct c25_revocation *r)
{
	struct c25_flow *f;
	struct c25_peer *peer;

	if (slot >= r->high)
		return 1;
	f = bpf_map_lookup_elem(&c25_flows, &slot);
	if (!f)
		return 1;
	if (!c25_flow_lives(f) || !c25_addr_eq(&f->out.dst, &r->key.transit))
		return 0;
	peer = c25_peer_of(f->peer);
	if (!peer ||
	    !c25_addr_eq(c25_pick(!c25_addr_is4(&f->out.dst), &peer->overlay4, &peer->overlay6),
			 &r->key.client))
		return 0;
	r->ended += c25_flow_end(f, slot);
	return 0;
}

#endif
