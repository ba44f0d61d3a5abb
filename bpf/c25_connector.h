/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_connector: transit to the real address and back, NAT included: no conntrack, no netfilter.
 */
#ifndef C25_CONNECTOR_H
#define C25_CONNECTOR_H

#include "c25_error.h"
#include "c25_flow.h"
#include "c25_icmp.h"
#include "c25_nat.h"
#include "c25_tunnel.h"

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
		if (!l2 && c25_add_eth(skb))
			return TC_ACT_SHOT;
		if (c25_set_macs(skb, fib->smac, fib->dmac))
			return TC_ACT_SHOT;
		return bpf_redirect(ifindex, 0);
	}
	dev = bpf_map_lookup_elem(&c25_devs, &ifindex);
	if (dev && !(dev->flags & C25_DEV_L2))
		return bpf_redirect(ifindex, 0);
	if (!l2 && c25_add_eth(skb))
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
		return p->type == ICMP_ECHO ? C25_REASON_PASS : C25_REASON_PROTOCOL;
	case IPPROTO_ICMPV6:
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
	c25_addr_copy(&k.client, c25_pick(p->v6, &peer->overlay4, &peer->overlay6));
	c25_addr_copy(&k.transit, &p->t.dst);
	return bpf_map_lookup_elem(&c25_mappings, &k);
}

/* A new flow under the mapping `m` for a packet that goes out by `oif`. NULL: the reason is in
 * `e`. */
static __noinline struct c25_flow *c25_flow_start(struct __sk_buff *skb, const struct c25_pkt *p,
						  struct c25_mapping *m, __u32 oif,
						  struct c25_icmp *e)
{
	struct c25_dev *dev = bpf_map_lookup_elem(&c25_devs, &oif);
	struct c25_birth b = { 0 };
	struct c25_flow *f;

	e->reason = C25_REASON_NOT_UPLINK;
	if (!dev || !(dev->flags & C25_DEV_UPLINK))
		return NULL;
	c25_addr_copy(&b.uplink_addr, c25_pick(p->v6, &dev->addr4, &dev->addr6));
	e->reason = C25_REASON_NO_UPLINK_ADDR;
	if (c25_addr_none(&b.uplink_addr))
		return NULL;
	c25_addr_copy(&b.real, &m->real);
	b.uplink = oif;
	b.peer = e->peer;
	b.app = m->app;
	f = c25_flow_make(skb, p, &b);
	e->reason = b.reason;
	if (f)
		m->last_seen = f->last_seen;
	return f;
}

/* On to the real address; `f` or `m` is given, and the peer it is for. */
static __always_inline int c25_connector_out(struct __sk_buff *skb, const __u32 l2,
					     const struct c25_pkt *p, const struct c25_overlay *o,
					     struct c25_flow *f, struct c25_mapping *m, __u32 peer)
{
	struct c25_icmp e = { .peer = peer };
	__u32 bytes = skb->len - l2;
	struct bpf_fib_lookup fib;
	__u32 ports;
	long found;

	if (p->ttl <= 1) {
		c25_icmp_expired(&e, p->v6);
		e.reason = C25_REASON_TTL;
		return c25_refuse_peer(skb, l2, p, o, &e);
	}
	found = c25_route(skb, l2, p, f ? &f->in.src : &m->real, &fib);
	if (found == BPF_FIB_LKUP_RET_FRAG_NEEDED) {
		c25_icmp_too_big(&e, p->v6, fib.mtu_result);
		e.reason = C25_REASON_TOO_BIG;
		return c25_refuse_peer(skb, l2, p, o, &e);
	}
	c25_icmp_unreachable(&e, p->v6);
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH) {
		e.reason = found == BPF_FIB_LKUP_RET_NOT_FWDED ? C25_REASON_NOT_UPLINK :
								 C25_REASON_NO_ROUTE;
		return c25_refuse_peer(skb, l2, p, o, &e);
	}
	if (!f) {
		f = c25_flow_start(skb, p, m, fib.ifindex, &e);
		if (!f)
			return c25_refuse_peer(skb, l2, p, o, &e);
	} else if (f->uplink != fib.ifindex) {
		f->state = C25_FLOW_REVOKED;
		e.reason = C25_REASON_REROUTED;
		return c25_refuse_peer(skb, l2, p, o, &e);
	}

	ports = c25_has_ports(&f->out) ? c25_ports(f->in.dport, p->t.dport) :
					 c25_ports(f->in.sport, 0);
	if (c25_nat(skb, l2, p, &f->in.dst, &f->in.src, ports,
		    C25_NAT_SRC | C25_NAT_DST | C25_NAT_PORTS | C25_NAT_TTL))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	c25_flow_touch(f, p, C25_OUT, bytes);
	c25_count(skb, l2, C25_REASON_CONNECTOR_OUT);
	return c25_to_uplink(skb, l2, &fib, found);
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

/* The error's own header. A function for each length of link header: without CAP_PERFMON the
 * verifier allows no variable one. */
#define C25_ERROR_NAT (C25_NAT_SRC | C25_NAT_DST | C25_NAT_TTL)

static __noinline long c25_error_nat_l2(struct __sk_buff *skb, const struct c25_pkt *p,
					const struct c25_addr *src, const struct c25_addr *dst)
{
	return c25_nat(skb, ETH_HLEN, p, src, dst, 0, C25_ERROR_NAT);
}

static __noinline long c25_error_nat_l3(struct __sk_buff *skb, const struct c25_pkt *p,
					const struct c25_addr *src, const struct c25_addr *dst)
{
	return c25_nat(skb, 0, p, src, dst, 0, C25_ERROR_NAT);
}

static __always_inline long c25_error_nat(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
					  const struct c25_addr *src, const struct c25_addr *dst)
{
	return l2 ? c25_error_nat_l2(skb, p, src, dst) : c25_error_nat_l3(skb, p, src, dst);
}

/*
 * A peer's error about a reply: what it quotes came from the flow's transit address. On to the
 * real address, as from the uplink.
 */
static __noinline int c25_connector_error_out(struct __sk_buff *skb, __u32 l2,
					      const struct c25_pkt *p, __u32 peer)
{
	struct c25_quote *q = c25_quote_load(skb, p);
	struct bpf_fib_lookup fib;
	struct c25_flow *f;
	long found;

	if (!q)
		return c25_drop(skb, l2, p, C25_REASON_ICMP_NO_FLOW);
	c25_quote_turn(q);
	f = c25_flow_of(bpf_map_lookup_elem(&c25_flow_out, &q->n));
	if (!f || !c25_flow_lives(f) || f->peer != peer)
		return c25_drop(skb, l2, p, C25_REASON_ICMP_NO_FLOW);
	if (p->ttl <= 1)
		return c25_drop(skb, l2, p, C25_REASON_TTL);
	found = c25_route(skb, l2, p, &f->in.src, &fib);
	if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH)
		return c25_drop(skb, l2, p, C25_REASON_NO_ROUTE);
	if (fib.ifindex != f->uplink)
		return c25_drop(skb, l2, p, C25_REASON_REROUTED);
	c25_tuple_copy(&q->n, &f->in);
	if (c25_quote_nat(skb, p, q) || c25_error_nat(skb, l2, p, &f->in.dst, &f->in.src))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	c25_count(skb, l2, C25_REASON_CONNECTOR_OUT);
	return c25_to_uplink(skb, l2, &fib, found);
}

/*
 * An error from the uplink: what it quotes went out as this flow's. It comes from the transit
 * address where the real one sent it. Too-big ones of routers come from the connector: a client
 * that checks reverse paths strictly must not lose those. All others keep their router's address,
 * but not towards a device without Ethernet: those check, as WireGuard does, that what comes out
 * of a tunnel has an address of its peer.
 */
static __noinline int c25_connector_error_back(struct __sk_buff *skb, __u32 l2, struct c25_pkt *p)
{
	struct c25_overlay *o = c25_overlay_dev();
	const struct c25_addr *src;
	struct c25_quote *q;
	struct c25_flow *f;
	long verdict;

	if (!o || skb->pkt_type != PACKET_HOST)
		return c25_pass(skb, l2, C25_REASON_PASS);
	q = c25_quote_load(skb, p);
	if (!q || bpf_ntohs(q->t.sport) < c25_nat_lo || bpf_ntohs(q->t.sport) > c25_nat_hi)
		return c25_pass(skb, l2, C25_REASON_PASS);
	c25_quote_turn(q);
	f = c25_flow_of(bpf_map_lookup_elem(&c25_flow_in, &q->n));
	if (!f || !c25_flow_lives(f))
		return c25_pass(skb, l2, C25_REASON_NO_FLOW);
	if (p->ttl <= 1)
		return c25_drop(skb, l2, p, C25_REASON_TTL);
	src = &p->t.src;
	if (c25_addr_eq(src, &f->in.src))
		src = &f->out.dst;
	else if (!o->l2 || (p->v6 ? p->type == ICMPV6_PKT_TOOBIG :
				    p->type == ICMP_DEST_UNREACH && p->code == ICMP_FRAG_NEEDED))
		src = c25_pick(p->v6, &o->addr4, &o->addr6);
	c25_tuple_copy(&q->n, &f->out);
	if (c25_quote_nat(skb, p, q) || c25_error_nat(skb, l2, p, src, &f->out.src))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	verdict = c25_to_peer(skb, l2, o, f->peer, p->v6);
	if (verdict < 0)
		return c25_drop(skb, l2, p, C25_REASON_NO_TUNNEL);
	c25_count(skb, l2, C25_REASON_CONNECTOR_BACK);
	return verdict;
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
	__u32 ports;
	long verdict;
	int port = p->frag ? -1 : c25_reply_port(p);

	if (c25_is_error(p) && !c25_load_addrs(skb, l2, p))
		return c25_connector_error_back(skb, l2, p);
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
	/* A redirected packet passes no check of the kernel's. */
	if (bytes > o->mtu && p->whole && !skb->gso_size)
		return c25_refuse_uplink(skb, l2, p, o->mtu);

	ports = c25_has_ports(&f->out) ? c25_ports(p->t.sport, f->out.sport) :
					 c25_ports(f->out.sport, 0);
	if (c25_nat(skb, l2, p, &f->out.dst, &f->out.src, ports,
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
