/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_sweep: the one timer: the clock, and the end of flows that are idle or have lost their place.
 * Also the free slots of c25_flows, which it gives back, and the end of all flows of a mapping.
 */
#ifndef C25_SWEEP_H
#define C25_SWEEP_H

#include "c25_flow.h"

#define CLOCK_MONOTONIC 1

#define C25_NSEC_PER_SEC 1000000000ULL

#define C25_SWEEP_SLOTS  1024
#define C25_SWEEP_PERIOD (100 * 1000 * 1000ULL)
/* A pass over all slots takes at most this. */
#define C25_SWEEP_PASS (20 * C25_NSEC_PER_SEC)
/* Nanoseconds of a beat, as a power of two: an eighth of a second. */
#define C25_BEAT_SHIFT 27

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
