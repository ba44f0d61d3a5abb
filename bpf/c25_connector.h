/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_connector: transit to the real address and back, NAT included: no conntrack, no netfilter.
 */
#ifndef C25_CONNECTOR_H
#define C25_CONNECTOR_H

#include "c25_flow.h"
#include "c25_icmp.h"
#include "c25_nat.h"
#include "c25_tunnel.h"

/* Drops a peer's packet for want of a way on, and tells its sender so. */
static __always_inline int c25_connector_refuse(struct __sk_buff *skb, const __u32 l2,
						const struct c25_pkt *p,
						const struct c25_overlay *o, __u32 peer,
						__u32 reason, __u8 type, __u8 code, __u32 mtu)
{
	struct c25_icmp e = { .type = type, .code = code, .mtu = mtu };

	c25_count(skb, l2, reason);
	c25_tell(C25_EVENT_DROP, reason, &p->t, peer);
	return c25_refuse_peer(skb, l2, p, o, peer, &e);
}

static __always_inline int c25_refuse_filtered(struct __sk_buff *skb, const __u32 l2,
					       const struct c25_pkt *p, const struct c25_overlay *o,
					       __u32 peer, __u32 reason)
{
	return c25_connector_refuse(skb, l2, p, o, peer, reason,
				    p->v6 ? ICMPV6_DEST_UNREACH : ICMP_DEST_UNREACH,
				    p->v6 ? ICMPV6_ADM_PROHIB : ICMP_PKT_FILTERED, 0);
}

/* Host unreachable, address unreachable: not the codes that mean an unknown mapping. */
static __always_inline int c25_refuse_unreachable(struct __sk_buff *skb, const __u32 l2,
						  const struct c25_pkt *p,
						  const struct c25_overlay *o, __u32 peer,
						  __u32 reason)
{
	return c25_connector_refuse(skb, l2, p, o, peer, reason,
				    p->v6 ? ICMPV6_DEST_UNREACH : ICMP_DEST_UNREACH,
				    p->v6 ? ICMPV6_ADDR_UNREACH : ICMP_HOST_UNREACH, 0);
}

/* Next hop and its link address towards the real address. The length is left out of the question
 * for GSO packets: their segments fit. */
static __always_inline long c25_route(struct __sk_buff *skb, const __u32 l2,
				      const struct c25_pkt *p, const struct c25_addr *real,
				      struct bpf_fib_lookup *fib)
{
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->ifindex = skb->ifindex;
	fib->l4_protocol = p->t.proto;
	if (!skb->gso_size)
		fib->tot_len = skb->len - l2;
	if (p->v6) {
		fib->family = AF_INET6;
		for (int i = 0; i < 4; i++)
			fib->ipv6_dst[i] = c25_addr_w(real, i);
	} else {
		fib->family = AF_INET;
		fib->ipv4_dst = c25_addr_w(real, 3);
	}
	return bpf_fib_lookup(skb, fib, sizeof(*fib), 0);
}

/* Sends a rewritten packet out of an uplink, as the route says. */
static __always_inline long c25_to_uplink(struct __sk_buff *skb, const __u32 l2,
					  struct bpf_fib_lookup *fib, long found)
{
	struct bpf_redir_neigh nh = { 0 };
	__u32 ifindex = fib->ifindex;
	struct c25_dev *dev;

	if (found == BPF_FIB_LKUP_RET_SUCCESS) {
		if (!l2 && bpf_skb_change_head(skb, ETH_HLEN, 0))
			return TC_ACT_SHOT;
		if (c25_set_macs(skb, fib->smac, fib->dmac))
			return TC_ACT_SHOT;
		return bpf_redirect(ifindex, 0);
	}
	dev = bpf_map_lookup_elem(&c25_devs, &ifindex);
	if (dev && !(dev->flags & C25_DEV_L2))
		return bpf_redirect(ifindex, 0);
	if (!l2 && bpf_skb_change_head(skb, ETH_HLEN, 0))
		return TC_ACT_SHOT;
	nh.nh_family = fib->family;
	for (int i = 0; i < 4; i++)
		nh.ipv6_nh[i] = fib->ipv6_dst[i];
	return bpf_redirect_neigh(ifindex, &nh, sizeof(nh), 0);
}

/* Whether a packet of no flow may start one; else the reason. */
static __always_inline __u32 c25_may_start(const struct c25_pkt *p)
{
	switch (p->t.proto) {
	case IPPROTO_TCP:
		return (p->tcp & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN ?
			       C25_REASON_PASS :
			       C25_REASON_NOT_STARTED;
	case IPPROTO_UDP:
		return C25_REASON_PASS;
	case IPPROTO_ICMP:
		if (p->type == ICMP_DEST_UNREACH || p->type == ICMP_TIME_EXCEEDED)
			return C25_REASON_ICMP_NO_FLOW;
		return p->type == ICMP_ECHO ? C25_REASON_PASS : C25_REASON_PROTOCOL;
	case IPPROTO_ICMPV6:
		if (p->type < ICMPV6_ECHO)
			return C25_REASON_ICMP_NO_FLOW;
		return p->type == ICMPV6_ECHO ? C25_REASON_PASS : C25_REASON_PROTOCOL;
	default:
		return C25_REASON_PROTOCOL;
	}
}

/* The mapping of a transit address that this peer made. */
static __always_inline struct c25_mapping *c25_mapping_of(const struct c25_pkt *p, __u32 index)
{
	struct c25_mapping_key k __attribute__((aligned(8)));
	struct c25_peer *peer = c25_peer_of(index);

	if (!peer)
		return NULL;
	c25_addr_copy(&k.client, p->v6 ? &peer->overlay6 : &peer->overlay4);
	c25_addr_copy(&k.transit, &p->t.dst);
	return bpf_map_lookup_elem(&c25_mappings, &k);
}

/* The flow's or the mapping's packet on its way out; `f` or `m` is given. */
static __always_inline int c25_connector_send(struct __sk_buff *skb, const __u32 l2,
					      const struct c25_pkt *p, const struct c25_overlay *o,
					      struct c25_flow *f, struct c25_mapping *m, __u32 peer)
{
	const struct c25_addr *real = f ? &f->in.src : &m->real;
	__u32 bytes = skb->len - l2, oif;
	struct bpf_fib_lookup fib;
	struct c25_tuple n;
	long found;

	if (p->ttl <= 1)
		return c25_connector_refuse(skb, l2, p, o, peer, C25_REASON_TTL,
					    p->v6 ? ICMPV6_TIME_EXCEED : ICMP_TIME_EXCEEDED, 0, 0);
	found = c25_route(skb, l2, p, real, &fib);
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return c25_connector_refuse(skb, l2, p, o, peer, C25_REASON_TOO_BIG,
					    p->v6 ? ICMPV6_PKT_TOOBIG : ICMP_DEST_UNREACH,
					    p->v6 ? 0 : ICMP_FRAG_NEEDED, fib.mtu_result);
	if (found == BPF_FIB_LKUP_RET_NOT_FWDED)
		return c25_refuse_unreachable(skb, l2, p, o, peer, C25_REASON_NOT_UPLINK);
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH)
		return c25_refuse_unreachable(skb, l2, p, o, peer, C25_REASON_NO_ROUTE);
	oif = fib.ifindex;
	if (!f) {
		struct c25_dev *dev = bpf_map_lookup_elem(&c25_devs, &oif);
		struct c25_birth b = { 0 };

		if (!dev || !(dev->flags & C25_DEV_UPLINK))
			return c25_refuse_unreachable(skb, l2, p, o, peer, C25_REASON_NOT_UPLINK);
		c25_addr_copy(&b.uplink_addr, p->v6 ? &dev->addr6 : &dev->addr4);
		if (c25_addr_none(&b.uplink_addr))
			return c25_refuse_unreachable(skb, l2, p, o, peer,
						      C25_REASON_NO_UPLINK_ADDR);
		c25_addr_copy(&b.real, real);
		b.uplink = oif;
		b.peer = peer;
		b.app = m->app;
		f = c25_flow_make(skb, p, &b);
		if (!f)
			return c25_refuse_unreachable(skb, l2, p, o, peer, b.reason);
		m->last_seen = f->last_seen;
	} else if (f->uplink != oif) {
		f->state = C25_FLOW_REVOKED;
		return c25_refuse_unreachable(skb, l2, p, o, peer, C25_REASON_REROUTED);
	}

	n.sport = p->t.proto == IPPROTO_TCP || p->t.proto == IPPROTO_UDP ? f->in.dport :
									   f->in.sport;
	n.dport = p->t.dport;
	if (c25_nat(skb, l2, p, &f->in.dst, &f->in.src, &n,
		    C25_NAT_SRC | C25_NAT_DST | C25_NAT_PORTS | C25_NAT_TTL))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	c25_flow_touch(f, p, C25_OUT, bytes);
	c25_count(skb, l2, C25_REASON_CONNECTOR_OUT);
	return c25_to_uplink(skb, l2, &fib, found);
}

/* A packet to a transit address of no flow, from this peer. */
static __always_inline int c25_connector_first(struct __sk_buff *skb, const __u32 l2,
					       const struct c25_pkt *p, const struct c25_overlay *o,
					       __u32 peer)
{
	struct c25_mapping *m = c25_mapping_of(p, peer);
	__u32 reason;

	if (!m)
		return c25_refuse_filtered(skb, l2, p, o, peer, C25_REASON_NO_MAPPING);
	if (p->frag)
		return c25_drop(skb, l2, p, C25_REASON_FRAGMENT);
	reason = c25_may_start(p);
	if (reason != C25_REASON_PASS)
		return c25_drop(skb, l2, p, reason);
	return c25_connector_send(skb, l2, p, o, NULL, m, peer);
}

/* A packet that may belong to a flow of a peer; NULL: none. */
static __always_inline struct c25_flow *c25_connector_flow(const struct c25_pkt *p)
{
	struct c25_flow *f;

	if (p->frag)
		return NULL;
	if (p->t.proto == IPPROTO_ICMP && p->type != ICMP_ECHO)
		return NULL;
	if (p->t.proto == IPPROTO_ICMPV6 && p->type != ICMPV6_ECHO)
		return NULL;
	f = c25_flow_of(bpf_map_lookup_elem(&c25_flow_out, &p->t));
	return f && (c25_flow_lives(f) || f->state == C25_FLOW_REVOKED) ? f : NULL;
}

/* Host order; -1: nothing that a flow's reply could be. */
static __always_inline int c25_reply_port(const struct c25_pkt *p)
{
	switch (p->t.proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		return bpf_ntohs(p->t.dport);
	case IPPROTO_ICMP:
		return p->type == ICMP_ECHOREPLY ? bpf_ntohs(p->t.sport) : -1;
	case IPPROTO_ICMPV6:
		return p->type == ICMPV6_ECHOREPLY ? bpf_ntohs(p->t.sport) : -1;
	default:
		return -1;
	}
}

/* A packet from the uplink; addresses are loaded only where the port could be a flow's. */
static __always_inline int c25_connector_back(struct __sk_buff *skb, const __u32 l2,
					      struct c25_pkt *p)
{
	struct c25_overlay *o = c25_overlay_dev();
	__u32 bytes = skb->len - l2;
	struct c25_flow *f;
	struct c25_tuple n;
	long verdict;
	int port = p->frag ? -1 : c25_reply_port(p);

	if (port < c25_nat_lo || port > c25_nat_hi)
		return c25_pass(skb, l2, C25_REASON_PASS);
	if (!o || skb->pkt_type != PACKET_HOST || c25_load_addrs(skb, l2, p))
		return c25_pass(skb, l2, C25_REASON_PASS);
	f = c25_flow_of(bpf_map_lookup_elem(&c25_flow_in, &p->t));
	if (!f || !(c25_flow_lives(f) || f->state == C25_FLOW_REVOKED))
		return c25_pass(skb, l2, C25_REASON_NO_FLOW);
	if (f->state == C25_FLOW_REVOKED)
		return c25_drop(skb, l2, p, C25_REASON_REVOKED);
	if (p->ttl <= 1)
		return c25_drop(skb, l2, p, C25_REASON_TTL);

	if (p->t.proto == IPPROTO_TCP || p->t.proto == IPPROTO_UDP) {
		n.sport = p->t.sport;
		n.dport = f->out.sport;
	} else {
		n.sport = f->out.sport;
		n.dport = 0;
	}
	if (c25_nat(skb, l2, p, &f->out.dst, &f->out.src, &n,
		    C25_NAT_SRC | C25_NAT_DST | C25_NAT_PORTS | C25_NAT_TTL))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	if (c25_clamp_syn(skb, p, o))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	c25_flow_touch(f, p, C25_BACK, bytes);
	verdict = c25_to_peer(skb, l2, o, f->peer, p->v6);
	if (verdict < 0)
		return c25_drop(skb, l2, p, C25_REASON_NO_TUNNEL);
	c25_count(skb, l2, C25_REASON_CONNECTOR_BACK);
	return verdict;
}

#endif
