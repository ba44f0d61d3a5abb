/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_gate: what may pass the overlay device, and whose it is. Client and connector do the rest.
 */
#ifndef C25_GATE_H
#define C25_GATE_H

#include "c25_client.h"
#include "c25_connector.h"

/* Not ours. Nothing leaves or enters a tunnel that conn25 keeps for itself. */
static __always_inline int c25_stray(struct __sk_buff *skb, const __u32 l2)
{
	c25_count(skb, l2, c25_tunnel_key ? C25_REASON_STRAY : C25_REASON_PASS);
	return c25_tunnel_key ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

static __always_inline int c25_malformed(struct __sk_buff *skb, const __u32 l2)
{
	c25_count(skb, l2, C25_REASON_MALFORMED);
	return TC_ACT_SHOT;
}

/* Out to an address that no mapping has. */
static __always_inline int c25_gate_out_other(struct __sk_buff *skb, const __u32 l2,
					      const struct c25_pkt *p, const struct c25_overlay *o)
{
	struct c25_net *net = c25_net_of(&p->t.dst);
	struct c25_peer *peer;

	if (!net)
		return c25_stray(skb, l2);
	if (net->kind == C25_NET_MAGIC)
		return c25_refuse_local(skb, l2, p, o, C25_REASON_NO_MAGIC);
	if (net->kind != C25_NET_NODE)
		return c25_stray(skb, l2);
	if (skb->ingress_ifindex)
		return c25_drop(skb, l2, p, C25_REASON_FORWARDED);
	if (c25_tunnel_key) {
		peer = c25_peer_of(net->peer);
		if (!peer || c25_tunnel_to(skb, o, peer))
			return c25_drop(skb, l2, p, C25_REASON_NO_TUNNEL);
	}
	return c25_pass(skb, l2, C25_REASON_OVERLAY_OUT);
}

static __always_inline int c25_gate_out(struct __sk_buff *skb, const __u32 l2)
{
	struct c25_overlay *o;
	struct c25_magic *m = NULL;
	struct c25_pkt p;

	/* Counted where it came from. */
	if (c25_take_mark(skb))
		return TC_ACT_UNSPEC;
	switch (c25_parse(skb, l2, &p)) {
	case C25_PARSED_OTHER:
		return c25_stray(skb, l2);
	case C25_PARSED_BAD:
		return c25_malformed(skb, l2);
	}
	o = c25_overlay_dev();
	if (!o || c25_load_addrs(skb, l2, &p))
		return c25_malformed(skb, l2);
	if (c25_client)
		m = bpf_map_lookup_elem(&c25_magic, &p.t.dst);
	if (m)
		return c25_client_out(skb, l2, &p, o, m);
	return c25_gate_out_other(skb, l2, &p, o);
}

static __always_inline int c25_is_behind_peer(const struct c25_net *src)
{
	return src && (src->kind == C25_NET_NODE || src->kind == C25_NET_PODS);
}

/* In to a node's own address, from the peer that `src` says. */
static __always_inline int c25_gate_self(struct __sk_buff *skb, const __u32 l2,
					 const struct c25_pkt *p, const struct c25_net *src,
					 const struct c25_addr *outer)
{
	if (!c25_is_behind_peer(src)) {
		if (!c25_tunnel_key)
			return c25_pass(skb, l2, C25_REASON_PASS);
		return c25_drop(skb, l2, p, C25_REASON_SPOOFED_INNER);
	}
	if (!c25_is_peer(src->peer, outer))
		return c25_drop(skb, l2, p, C25_REASON_SPOOFED_OUTER);
	if (src->kind == C25_NET_PODS)
		return c25_drop(skb, l2, p, C25_REASON_FORWARDED);
	return c25_pass(skb, l2, C25_REASON_OVERLAY_IN);
}

/* To a transit address, of no flow; its mapping, if there is one, is `found`. With a mapping in `m`
 * it may start one; else it is done. */
static __always_inline int c25_gate_first(struct __sk_buff *skb, const __u32 l2,
					  const struct c25_pkt *p, const struct c25_overlay *o,
					  __u32 peer, struct c25_mapping *found,
					  struct c25_mapping **m)
{
	struct c25_icmp e = { .reason = C25_REASON_NO_MAPPING, .peer = peer };
	__u32 reason;

	if (c25_is_error(p))
		return c25_connector_error_out(skb, l2, p, peer);
	if (p->frag == C25_FRAG_LATER && p->t.proto != IPPROTO_AH)
		return c25_frag_later_out(skb, l2, p, peer);
	if (!found) {
		c25_icmp_filtered(&e, p->v6);
		return c25_refuse_peer(skb, l2, p, o, &e);
	}
	reason = c25_may_start(p);
	if (reason == C25_REASON_NOT_STARTED)
		return c25_reset_peer(skb, l2, p, peer, reason);
	if (reason != C25_REASON_PASS) {
		c25_icmp_unreachable(&e, p->v6);
		e.reason = reason;
		return c25_refuse_peer(skb, l2, p, o, &e);
	}
	*m = found;
	return TC_ACT_UNSPEC;
}

static __always_inline int c25_is_self(const struct c25_pkt *p, const struct c25_overlay *o)
{
	return c25_addr_eq(&p->t.dst, c25_pick(p->v6, &o->addr4, &o->addr6));
}

/* In from a source that is no transit address of ours, and of no flow. */
static __always_inline int c25_gate_in_other(struct __sk_buff *skb, const __u32 l2,
					     const struct c25_pkt *p, const struct c25_overlay *o,
					     const struct c25_addr *outer, struct c25_mapping **m,
					     __u32 *peer)
{
	struct c25_net *src = c25_net_of(&p->t.src), *dst = NULL;
	struct c25_mapping *found = NULL;

	if (c25_client && c25_is_error(p)) {
		if (src && src->kind == C25_NET_NODE && c25_client_held(skb, p, outer)) {
			c25_count(skb, l2, C25_REASON_UNMAPPED_HELD);
			return TC_ACT_SHOT;
		}
		if (!c25_client_error_in(skb, p, outer))
			return c25_pass(skb, l2, C25_REASON_CLIENT_BACK);
	}
	if (c25_connector && c25_is_behind_peer(src))
		found = c25_mapping_of(p, src->peer);
	/* What is mapped needs no other proof: a pool that was taken out lends no more, but what
	 * its peers have mapped goes on. */
	if (!found)
		dst = c25_net_of(&p->t.dst);
	if (found ? c25_is_self(p, o) : dst && dst->kind == C25_NET_SELF)
		return c25_gate_self(skb, l2, p, src, outer);
	if (c25_connector && (found || (dst && dst->kind == C25_NET_TRANSIT))) {
		if (!c25_is_behind_peer(src))
			return c25_drop(skb, l2, p, C25_REASON_SPOOFED_INNER);
		if (!c25_is_peer(src->peer, outer))
			return c25_drop(skb, l2, p, C25_REASON_SPOOFED_OUTER);
		*peer = src->peer;
		return c25_gate_first(skb, l2, p, o, src->peer, found, m);
	}
	if (src && src->kind == C25_NET_TRANSIT)
		return c25_drop(skb, l2, p, C25_REASON_NO_TRANSIT);
	return c25_stray(skb, l2);
}

static __always_inline int c25_gate_in(struct __sk_buff *skb, const __u32 l2)
{
	struct c25_addr outer __attribute__((aligned(8))) = { 0 };
	struct c25_transit *t = NULL;
	struct c25_mapping *m = NULL;
	struct c25_flow *f = NULL;
	struct c25_overlay *o;
	struct c25_pkt p;
	__u32 peer = 0;
	int verdict;

	/* An ICMP error of our own to a program or pod here. */
	if (c25_take_mark(skb))
		return TC_ACT_UNSPEC;
	switch (c25_parse(skb, l2, &p)) {
	case C25_PARSED_OTHER:
		return c25_stray(skb, l2);
	case C25_PARSED_BAD:
		return c25_malformed(skb, l2);
	}
	o = c25_overlay_dev();
	if (!o || c25_load_addrs(skb, l2, &p))
		return c25_malformed(skb, l2);
	if (c25_tunnel_key) {
		if (c25_tunnel_from(skb, o, &outer))
			return c25_drop(skb, l2, &p, C25_REASON_SPOOFED_OUTER);
		if (skb->pkt_type != PACKET_HOST)
			bpf_skb_change_type(skb, PACKET_HOST);
	}
	if (c25_client)
		t = bpf_map_lookup_elem(&c25_transit, &p.t.src);
	if (t)
		return c25_client_in(skb, l2, &p, o, t, &outer);
	if (c25_connector)
		f = c25_connector_flow(&p);
	if (!f) {
		verdict = c25_gate_in_other(skb, l2, &p, o, &outer, &m, &peer);
		if (!m)
			return verdict;
	} else {
		peer = f->peer;
		if (!c25_is_peer(peer, &outer))
			return c25_drop(skb, l2, &p, C25_REASON_SPOOFED_OUTER);
		if (f->state == C25_FLOW_REVOKED)
			return c25_reset_peer(skb, l2, &p, peer, C25_REASON_REVOKED);
	}
	return c25_connector_out(skb, l2, &p, o, f, m, peer);
}

static __always_inline int c25_uplink(struct __sk_buff *skb, const __u32 l2)
{
	struct c25_pkt p;

	if (c25_parse(skb, l2, &p) != C25_PARSED)
		return c25_pass(skb, l2, C25_REASON_PASS);
	return c25_connector_back(skb, l2, &p);
}

#endif
