/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_client: magic to transit on the way out, transit to magic on the way back. Stateless and at
 * IP level, so that every protocol and every fragment passes.
 */
#ifndef C25_CLIENT_H
#define C25_CLIENT_H

#include "c25_count.h"
#include "c25_error.h"
#include "c25_icmp.h"
#include "c25_keep.h"
#include "c25_mss.h"
#include "c25_nat.h"
#include "c25_reset.h"
#include "c25_tunnel.h"

/* What an error on its way out quotes came from a magic address. Non-zero: from none of ours. */
__noinline long c25_client_error_out(struct __sk_buff *skb, const struct c25_pkt *p)
{
	struct c25_quote *q;
	struct c25_magic *m;

	if (!p)
		return -1;
	q = c25_quote_load(skb, p);
	if (!q)
		return -1;
	m = bpf_map_lookup_elem(&c25_magic, &q->t.src);
	if (!m)
		return -1;
	c25_addr_copy(&q->n.src, &m->transit);
	return c25_quote_nat(skb, p, q);
}

/* Whether this tunnel's end is one of those whose packets are taken. */
static __always_inline int c25_is_from(const struct c25_transit *t, const struct c25_addr *outer)
{
	return c25_is_peer(t->peer, outer) || c25_is_peer(t->peer2 & ~C25_TRANSIT_KEPT, outer);
}

/* Of a quoted packet to a transit address: the mapping, if this tunnel's end is its connector. */
static __always_inline struct c25_transit *c25_client_quoted(const struct c25_quote *q,
							     const struct c25_addr *outer)
{
	struct c25_transit *t = bpf_map_lookup_elem(&c25_transit, &q->t.dst);

	return t && c25_is_from(t, outer) ? t : NULL;
}

/* What an error on its way in quotes went to a transit address. Non-zero: to none of ours. */
__noinline long c25_client_error_in(struct __sk_buff *skb, const struct c25_pkt *p,
				    const struct c25_addr *outer)
{
	struct c25_transit *t;
	struct c25_quote *q;

	if (!p || !outer)
		return -1;
	q = c25_quote_load(skb, p);
	if (!q || !c25_addr_eq(&q->t.src, &p->t.dst))
		return -1;
	t = c25_client_quoted(q, outer);
	if (!t)
		return -1;
	c25_addr_copy(&q->n.dst, &t->magic);
	return c25_quote_nat(skb, p, q);
}

/*
 * Linux takes a second to believe an ICMPv6 error about a connect() that is still at work, and
 * errors about established connections not at all: those get a reset.
 */
static __always_inline int c25_reset_better(const struct c25_pkt *p)
{
	return p->t.proto == IPPROTO_TCP && !p->frag &&
	       (p->v6 || (p->tcp & (TCP_SYN | TCP_ACK)) != TCP_SYN);
}

/*
 * Refuses a packet on its way out, to the program or pod that sent it. The answer comes from the
 * address asked for: the kernel takes none that comes in from an address of its own.
 */
__noinline int c25_refuse_local(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
				const struct c25_overlay *o, __u32 reason)
{
	struct c25_icmp e = { .reason = reason };

	if (!p || !o)
		return TC_ACT_SHOT;
	c25_count(skb, l2, reason);
	c25_tell(C25_EVENT_DROP, reason, &p->t, 0);
	if (!c25_icmp_wanted(p))
		return TC_ACT_SHOT;
	c25_icmp_filtered(&e, p->v6);
	if (c25_reset_better(p) ? c25_reset_make(skb, l2, p) :
				  c25_icmp_make(skb, l2, p, &e, &p->t.dst))
		return TC_ACT_SHOT;
	if (l2 && c25_set_macs(skb, o->mac, o->mac))
		return TC_ACT_SHOT;
	c25_mark(skb);
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

/* The connector that the magic routes of a family go by. Both are loaded: without CAP_PERFMON the
 * verifier allows no offset that depends on `v6`. */
static __always_inline __u32 c25_via(const struct c25_overlay *o, __u8 v6)
{
	__u32 via4 = o->via4, via6 = o->via6;

	asm volatile("" : "+r"(via4), "+r"(via6));
	return v6 ? via6 : via4;
}

/* A packet to a magic address with this mapping. */
static __always_inline int c25_client_out(struct __sk_buff *skb, const __u32 l2,
					  const struct c25_pkt *p, const struct c25_overlay *o,
					  struct c25_magic *m)
{
	struct c25_tick *tick = c25_clock();
	struct c25_peer *peer;
	__u32 to = m->peer;
	long verdict;

	if (m->flags & C25_MAGIC_DEAD)
		return c25_refuse_local(skb, l2, p, o, C25_REASON_DEAD_MAGIC);
	if (m->flags & C25_MAGIC_KEPT)
		to = c25_keep_out(p, to);
	peer = c25_peer_of(to);
	if (!peer)
		return c25_drop(skb, l2, p, C25_REASON_NO_TUNNEL);
	if (c25_is_error(p) && c25_client_error_out(skb, p))
		return c25_drop(skb, l2, p, C25_REASON_ICMP_NO_FLOW);
	if (c25_nat(skb, l2, p, NULL, &m->transit, 0, C25_NAT_DST))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	if (c25_clamp_syn(skb, p, o->mtu))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);

	if (c25_tunnel_key && c25_tunnel_to(skb, o, peer))
		return c25_drop(skb, l2, p, C25_REASON_NO_TUNNEL);
	verdict = TC_ACT_UNSPEC;
	if (!c25_tunnel_key && l2 && to != c25_via(o, p->v6)) {
		c25_mark(skb);
		verdict = c25_to_neighbour(skb->ifindex, peer, p->v6);
		if (verdict < 0)
			return c25_drop(skb, l2, p, C25_REASON_NO_TUNNEL);
	}

	if (tick && m->last_seen != tick->now)
		m->last_seen = tick->now;
	__sync_fetch_and_add(&m->packets, 1);
	__sync_fetch_and_add(&m->bytes, skb->len - l2);
	c25_count(skb, l2, C25_REASON_CLIENT_OUT);
	return verdict;
}

/* A packet from a transit address of ours, out of the tunnel that ends at `outer`. */
static __always_inline int c25_client_in(struct __sk_buff *skb, const __u32 l2,
					 const struct c25_pkt *p, const struct c25_overlay *o,
					 struct c25_transit *t, const struct c25_addr *outer)
{
	struct c25_tick *tick = c25_clock();

	if (!c25_is_from(t, outer))
		return c25_drop(skb, l2, p, C25_REASON_WRONG_CONNECTOR);
	if (c25_is_error(p) && c25_client_error_in(skb, p, outer))
		return c25_drop(skb, l2, p, C25_REASON_ICMP_NO_FLOW);
	if (t->peer2 & C25_TRANSIT_KEPT)
		c25_keep_back(p, &t->magic);
	if (c25_nat(skb, l2, p, &t->magic, NULL, 0, C25_NAT_SRC))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	if (c25_clamp_syn(skb, p, o->mtu))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);

	if (tick && t->last_seen != tick->now)
		t->last_seen = tick->now;
	__sync_fetch_and_add(&t->packets, 1);
	__sync_fetch_and_add(&t->bytes, skb->len - l2);
	return c25_pass(skb, l2, C25_REASON_CLIENT_BACK);
}

/*
 * Whether this is a connector's word that it does not know a mapping which lives here. The
 * controller sends the mapping again; the program that sent the packet need not know.
 */
static __noinline int c25_client_held(struct __sk_buff *skb, const struct c25_pkt *p,
				      const struct c25_addr *outer)
{
	struct c25_transit *t;
	struct c25_quote *q;

	if (p->type != (p->v6 ? ICMPV6_DEST_UNREACH : ICMP_DEST_UNREACH) ||
	    p->code != (p->v6 ? ICMPV6_ADM_PROHIB : ICMP_PKT_FILTERED))
		return 0;
	q = c25_quote_load(skb, p);
	if (!q)
		return 0;
	t = c25_client_quoted(q, outer);
	if (!t)
		return 0;
	c25_tell(C25_EVENT_UNMAPPED, C25_REASON_UNMAPPED_HELD, &q->t, t->peer);
	return 1;
}

#endif
