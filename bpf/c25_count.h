/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_count: each packet's one reason, and news for the controller. Bytes are IP bytes.
 */
#ifndef C25_COUNT_H
#define C25_COUNT_H

#include "c25_parse.h"

#define TC_ACT_UNSPEC (-1)
#define TC_ACT_SHOT   2

/* A second's share of each CPU. */
#define C25_EVENTS_PER_SECOND 32
#define C25_ICMP_PER_SECOND   1000

static __always_inline void c25_count(struct __sk_buff *skb, const __u32 l2, __u32 reason)
{
	struct c25_count *c = bpf_map_lookup_elem(&c25_reasons, &reason);

	if (!c)
		return;
	c->packets++;
	c->bytes += skb->len - l2;
}

static __always_inline int c25_allowed(__u32 kind, __u64 per_second)
{
	struct c25_limit *limit = bpf_map_lookup_elem(&c25_limits, &kind);
	struct c25_tick *tick = c25_clock();

	if (!limit || !tick)
		return 0;
	if (limit->second != tick->now) {
		limit->second = tick->now;
		limit->used = 0;
	}
	if (limit->used >= per_second)
		return 0;
	limit->used++;
	return 1;
}

static __noinline void c25_tell(__u32 kind, __u32 reason, const struct c25_tuple *t, __u32 peer)
{
	struct c25_event *e;

	if (!c25_allowed(kind == C25_EVENT_DROP ? C25_LIMIT_DROP : C25_LIMIT_UNMAPPED,
			 C25_EVENTS_PER_SECOND))
		return;
	e = bpf_ringbuf_reserve(&c25_events, sizeof(*e), 0);
	if (!e)
		return;
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = kind;
	e->reason = reason;
	c25_addr_copy(&e->src, &t->src);
	c25_addr_copy(&e->dst, &t->dst);
	e->peer = peer;
	e->proto = t->proto;
	bpf_ringbuf_submit(e, 0);
}

static __always_inline int c25_pass(struct __sk_buff *skb, const __u32 l2, __u32 reason)
{
	c25_count(skb, l2, reason);
	return TC_ACT_UNSPEC;
}

__noinline int c25_drop(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p, __u32 reason)
{
	if (!p)
		return TC_ACT_SHOT;
	c25_count(skb, l2, reason);
	c25_tell(C25_EVENT_DROP, reason, &p->t, 0);
	return TC_ACT_SHOT;
}

#endif
