/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_connector: transit to the real address and back, NAT included: no conntrack, no netfilter.
 */
#ifndef C25_CONNECTOR_H
#define C25_CONNECTOR_H

#include "c25_error.h"
#include "c25_flow.h"
#include "c25_frag.h"
#include "c25_icmp.h"
#include "c25_mss.h"
#include "c25_nat.h"
#include "c25_reset.h"
#include "c25_route.h"

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
	case IPPROTO_AH:
		/* Signs the addresses. */
		return C25_REASON_PROTOCOL;
	default:
		return C25_REASON_PASS;
	}
}

/*
 * Whoever takes a mapping away, or gives it another meaning, ends its flows then: one that was made
 * meanwhile may have come too late for that, and ends here.
 */
static __noinline int c25_flow_confirm(struct c25_flow *f, __u32 slot)
{
	struct c25_mapping *m = c25_flow_mapping(f);

	if (m && c25_addr_eq(&m->real, &f->in.src))
		return 1;
	c25_flow_end(f, slot);
	return 0;
}

/* A new flow under the mapping `m` for a packet that goes out by `oif`: its slot plus 1. 0: the
 * reason is in `e`. */
__noinline __u32 c25_flow_start(struct __sk_buff *skb, const struct c25_pkt *p,
				struct c25_mapping *m, __u32 oif, struct c25_icmp *e)
{
	struct c25_birth b = { 0 };
	struct c25_dev *dev;
	struct c25_flow *f;
	__u32 slot;

	if (!p || !m || !e)
		return 0;
	dev = bpf_map_lookup_elem(&c25_devs, &oif);
	e->reason = C25_REASON_NOT_UPLINK;
	if (!dev || !(dev->flags & C25_DEV_UPLINK))
		return 0;
	c25_addr_copy(&b.uplink_addr, c25_pick(p->v6, &dev->addr4, &dev->addr6));
	e->reason = C25_REASON_NO_UPLINK_ADDR;
	if (c25_addr_none(&b.uplink_addr))
		return 0;
	c25_addr_copy(&b.real, &m->real);
	b.uplink = oif;
	b.peer = e->peer;
	b.app = m->app;
	slot = c25_flow_make(skb, p, &b) - 1;
	e->reason = b.reason;
	f = bpf_map_lookup_elem(&c25_flows, &slot);
	if (!f)
		return 0;
	if (!c25_flow_confirm(f, slot)) {
		c25_icmp_filtered(e, p->v6);
		e->reason = C25_REASON_NO_MAPPING;
		return 0;
	}
	m->last_seen = f->last_seen;
	return slot + 1;
}

/* On to the real address; `f` or `m` is given, and the peer it is for. */
static __always_inline int c25_connector_out(struct __sk_buff *skb, const __u32 l2,
					     const struct c25_pkt *p, const struct c25_overlay *o,
					     struct c25_flow *f, struct c25_mapping *m, __u32 peer)
{
	struct c25_icmp e = { .peer = peer };
	__u32 bytes = skb->len - l2;
	struct c25_way *way;
	__u32 ports, slot;

	if (p->ttl <= 1) {
		c25_icmp_expired(&e, p->v6);
		e.reason = C25_REASON_TTL;
		return c25_refuse_peer(skb, l2, p, o, &e);
	}
	way = f ? c25_way_again(skb, l2, p, &f->in.src) : c25_way_new(skb, l2, p, &m->real);
	if (!way)
		return c25_drop(skb, l2, p, C25_REASON_INTERNAL);
	if (way->found == BPF_FIB_LKUP_RET_FRAG_NEEDED) {
		c25_icmp_too_big(&e, p->v6, way->mtu);
		e.reason = C25_REASON_TOO_BIG;
		return c25_refuse_peer(skb, l2, p, o, &e);
	}
	c25_icmp_unreachable(&e, p->v6);
	if (!c25_way_leads(way)) {
		e.reason = way->found == BPF_FIB_LKUP_RET_NOT_FWDED ? C25_REASON_NOT_UPLINK :
								      C25_REASON_NO_ROUTE;
		return c25_refuse_peer(skb, l2, p, o, &e);
	}
	if (!f) {
		slot = c25_flow_start(skb, p, m, way->ifindex, &e) - 1;
		f = bpf_map_lookup_elem(&c25_flows, &slot);
		if (!f)
			return c25_refuse_peer(skb, l2, p, o, &e);
	} else if (f->uplink != way->ifindex) {
		c25_flow_revoke(f);
		/* Established connections do not believe errors. */
		if (p->t.proto == IPPROTO_TCP)
			return c25_reset_peer(skb, l2, p, peer, C25_REASON_REROUTED);
		e.reason = C25_REASON_REROUTED;
		return c25_refuse_peer(skb, l2, p, o, &e);
	}

	/* Protocols without ports have none in the flow either. */
	ports = c25_has_ports(&f->out) ? c25_ports(f->in.dport, p->t.dport) :
					 c25_ports(f->in.sport, 0);
	if (c25_nat(skb, l2, p, &f->in.dst, &f->in.src, ports,
		    C25_NAT_SRC | C25_NAT_DST | C25_NAT_PORTS | C25_NAT_TTL))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	if (c25_is_syn(p) && c25_clamp_route(skb, p, o, way))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	if (p->frag && c25_frag_first_out(skb, l2, p, f))
		return c25_drop(skb, l2, p, C25_REASON_INTERNAL);
	c25_flow_touch(f, p, C25_OUT, bytes);
	c25_count(skb, l2, C25_REASON_CONNECTOR_OUT);
	return c25_to_uplink(skb, l2, way);
}

/* A packet that may belong to a flow of a peer; NULL: none. */
static __always_inline struct c25_flow *c25_connector_flow(const struct c25_pkt *p)
{
	struct c25_flow *f;
	__u32 slot;

	if (p->frag == C25_FRAG_LATER)
		return NULL;
	if (p->t.proto == IPPROTO_ICMP && p->type != ICMP_ECHO)
		return NULL;
	if (p->t.proto == IPPROTO_ICMPV6 && p->type != ICMPV6_ECHO)
		return NULL;
	f = c25_index_near(&p->t, C25_OUT, &slot);
	return f && (c25_flow_lives(f) || f->state == C25_FLOW_REVOKED) ? f : NULL;
}

/*
 * A peer's error about a reply: what it quotes came from the flow's transit address. On to the
 * real address, as from the uplink.
 */
__noinline int c25_connector_error_out(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
				       __u32 peer)
{
	struct c25_quote *q;
	struct c25_flow *f;
	struct c25_way *way;
	__u32 slot;

	if (!p)
		return TC_ACT_SHOT;
	q = c25_quote_load(skb, p);
	if (!q)
		return c25_drop(skb, l2, p, C25_REASON_ICMP_NO_FLOW);
	c25_quote_turn(q);
	f = c25_index_find(&q->n, C25_OUT, &slot);
	if (!f || !c25_flow_lives(f) || f->peer != peer)
		return c25_drop(skb, l2, p, C25_REASON_ICMP_NO_FLOW);
	if (p->ttl <= 1)
		return c25_drop(skb, l2, p, C25_REASON_TTL);
	way = c25_way_new(skb, l2, p, &f->in.src);
	if (!way || !c25_way_leads(way))
		return c25_drop(skb, l2, p, C25_REASON_NO_ROUTE);
	if (way->ifindex != f->uplink)
		return c25_drop(skb, l2, p, C25_REASON_REROUTED);
	c25_tuple_copy(&q->n, &f->in);
	if (c25_quote_nat(skb, p, q) || c25_nat_addrs(skb, l2, p, &f->in.dst, &f->in.src))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	c25_count(skb, l2, C25_REASON_CONNECTOR_OUT);
	return c25_to_uplink(skb, l2, way);
}

/*
 * An error from the uplink: what it quotes went out as this flow's. It comes from the transit
 * address where the real one sent it. Too-big ones of routers come from the connector: a client
 * that checks reverse paths strictly must not lose those. All others keep their router's address,
 * but not towards a device without Ethernet: those check, as WireGuard does, that what comes out
 * of a tunnel has an address of its peer.
 */
__noinline int c25_connector_error_back(struct __sk_buff *skb, __u32 l2, struct c25_pkt *p)
{
	struct c25_overlay *o = c25_overlay_dev();
	const struct c25_addr *src;
	struct c25_quote *q;
	struct c25_flow *f;
	__u32 slot;
	long verdict;

	if (!p)
		return TC_ACT_SHOT;
	if (!o || skb->pkt_type != PACKET_HOST)
		return c25_pass(skb, l2, C25_REASON_PASS);
	q = c25_quote_load(skb, p);
	if (!q || ((c25_has_ports(&q->t) || c25_is_echo(&q->t)) && !c25_nat_port(q->t.sport)))
		return c25_pass(skb, l2, C25_REASON_PASS);
	c25_quote_turn(q);
	f = c25_index_find(&q->n, C25_BACK, &slot);
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
	if (c25_quote_nat(skb, p, q) || c25_nat_addrs(skb, l2, p, src, &f->out.src))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	verdict = c25_to_peer(skb, l2, o, f->peer, p->v6);
	if (verdict < 0)
		return c25_drop(skb, l2, p, C25_REASON_NO_TUNNEL);
	c25_count(skb, l2, C25_REASON_CONNECTOR_BACK);
	return verdict;
}

/* A packet from the uplink; addresses are loaded only where the port could be a flow's. */
static __always_inline int c25_connector_back(struct __sk_buff *skb, const __u32 l2,
					      struct c25_pkt *p)
{
	struct c25_overlay *o = c25_overlay_dev();
	__u32 bytes = skb->len - l2;
	struct c25_flow *f;
	__u32 ports, slot;
	long verdict;

	if (p->frag && o && !c25_load_addrs(skb, l2, p)) {
		verdict = c25_frag_back(skb, l2, p, o);
		if (verdict != C25_FRAG_GO_ON)
			return verdict;
	}
	if (c25_is_error(p) && !c25_load_addrs(skb, l2, p))
		return c25_connector_error_back(skb, l2, p);
	if (!c25_could_be_reply(p))
		return c25_pass(skb, l2, C25_REASON_PASS);
	if (!o || skb->pkt_type != PACKET_HOST || c25_load_addrs(skb, l2, p))
		return c25_pass(skb, l2, C25_REASON_PASS);
	f = c25_index_near(&p->t, C25_BACK, &slot);
	/* Also of a flow that was revoked: the host answers that nobody is there. */
	if (!f || !c25_flow_lives(f))
		return c25_pass(skb, l2,
				c25_has_ports(&p->t) || c25_is_echo(&p->t) ? C25_REASON_NO_FLOW :
									     C25_REASON_PASS);
	if (p->ttl <= 1)
		return c25_refuse_uplink(skb, l2, p, C25_REASON_TTL, 0);
	/* A redirected packet passes no check of the kernel's. */
	if (bytes > o->mtu && c25_too_long(skb, l2, p, o))
		return c25_refuse_uplink(skb, l2, p, C25_REASON_TOO_BIG, o->mtu);

	ports = c25_has_ports(&f->out) ? c25_ports(p->t.sport, f->out.sport) :
					 c25_ports(f->out.sport, 0);
	if (c25_nat(skb, l2, p, &f->out.dst, &f->out.src, ports,
		    C25_NAT_SRC | C25_NAT_DST | C25_NAT_PORTS | C25_NAT_TTL))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	if (c25_is_syn(p) && c25_clamp_back(skb, p, o))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	c25_flow_touch(f, p, C25_BACK, bytes);
	verdict = c25_to_peer(skb, l2, o, f->peer, p->v6);
	if (verdict < 0)
		return c25_drop(skb, l2, p, C25_REASON_NO_TUNNEL);
	c25_count(skb, l2, C25_REASON_CONNECTOR_BACK);
	return verdict;
}

#endif
