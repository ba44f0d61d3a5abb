/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_route: the connector's way out of an uplink, as the kernel's routes say.
 */
#ifndef C25_ROUTE_H
#define C25_ROUTE_H

#include "c25_mss.h"
#include "c25_tunnel.h"

/* Asks routes and neighbours. A way that is not whole is good for this packet only. */
static __noinline void c25_way_ask(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
				   const struct c25_addr *real, struct c25_way *way)
{
	struct bpf_fib_lookup fib = { .ifindex = skb->ifindex,
				      .l4_protocol = p->t.proto,
				      .tot_len = c25_wire_len(skb, l2, p) };
	struct c25_tick *tick = c25_clock();

	if (p->v6) {
		fib.family = AF_INET6;
		for (int i = 0; i < 4; i++)
			fib.ipv6_dst[i] = c25_addr_w(real, i);
	} else {
		fib.family = AF_INET;
		fib.ipv4_dst = c25_addr_w(real, 3);
	}
	way->found = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	way->beat = way->found == BPF_FIB_LKUP_RET_SUCCESS && tick ? tick->beat : 0;
	c25_addr_copy(&way->to, real);
	way->proto = p->t.proto;
	way->ifindex = fib.ifindex;
	way->mtu = fib.mtu_result;
	way->next_v6 = fib.family == AF_INET6;
	for (int i = 0; i < 4; i++)
		c25_words32(&way->next)[i] = fib.ipv6_dst[i];
	c25_mac_copy(way->smac, fib.smac);
	c25_mac_copy(way->dmac, fib.dmac);
}

static __always_inline struct c25_way *c25_way_slot(const struct c25_addr *real)
{
	__u64 h = c25_words64(real)[0] * 0x9e3779b97f4a7c15ULL + c25_words64(real)[1];
	__u32 at = h * 0xd6e8feb86659fd93ULL >> 32;

	at %= C25_WAYS;
	return bpf_map_lookup_elem(&c25_ways, &at);
}

/* The way to a real address for packets of this length, as routes and neighbours are now. The next
 * call on this CPU uses it again. NULL never comes. */
static __always_inline struct c25_way *c25_way_new(struct __sk_buff *skb, const __u32 l2,
						   const struct c25_pkt *p,
						   const struct c25_addr *real)
{
	struct c25_way *way = c25_way_slot(real);

	if (way)
		c25_way_ask(skb, l2, p, real, way);
	return way;
}

/* The same for a flow that went this way before: routes and neighbours are asked with each beat,
 * and about packets that may be too long. */
static __always_inline struct c25_way *c25_way_again(struct __sk_buff *skb, const __u32 l2,
						     const struct c25_pkt *p,
						     const struct c25_addr *real)
{
	struct c25_way *way = c25_way_slot(real);
	struct c25_tick *tick = c25_clock();
	__u32 len = c25_wire_len(skb, l2, p);

	if (!way || !tick)
		return NULL;
	if (!way->beat || way->beat != tick->beat || way->proto != p->t.proto ||
	    !c25_addr_eq(&way->to, real) || !len || len > way->mtu)
		c25_way_ask(skb, l2, p, real, way);
	return way;
}

static __always_inline int c25_way_leads(const struct c25_way *way)
{
	return way->found == BPF_FIB_LKUP_RET_SUCCESS || way->found == BPF_FIB_LKUP_RET_NO_NEIGH;
}

/* Sends a rewritten packet out of an uplink. */
static __always_inline long c25_to_uplink(struct __sk_buff *skb, const __u32 l2,
					  const struct c25_way *way)
{
	struct bpf_redir_neigh nh = { 0 };
	__u32 ifindex = way->ifindex;
	struct c25_dev *dev;

	if (way->found == BPF_FIB_LKUP_RET_SUCCESS) {
		if (!l2 && c25_add_eth(skb))
			return TC_ACT_SHOT;
		if (c25_set_macs(skb, way->smac, way->dmac))
			return TC_ACT_SHOT;
		return bpf_redirect(ifindex, 0);
	}
	dev = bpf_map_lookup_elem(&c25_devs, &ifindex);
	if (dev && !(dev->flags & C25_DEV_L2))
		return bpf_redirect(ifindex, 0);
	if (!l2 && c25_add_eth(skb))
		return TC_ACT_SHOT;
	nh.nh_family = way->next_v6 ? AF_INET6 : AF_INET;
	for (int i = 0; i < 4; i++)
		nh.ipv6_nh[i] = c25_addr_w(&way->next, i);
	return bpf_redirect_neigh(ifindex, &nh, sizeof(nh), 0);
}

/* Lowers the MSS of a SYN to what both the uplink and the overlay carry. */
__noinline long c25_clamp_route(struct __sk_buff *skb, const struct c25_pkt *p,
				const struct c25_overlay *o, const struct c25_way *way)
{
	__u32 ifindex, mtu, uplink = 0;
	struct c25_dev *dev;

	if (!p || !o || !way)
		return -1;
	ifindex = way->ifindex;
	mtu = o->mtu;
	if (way->found == BPF_FIB_LKUP_RET_SUCCESS) {
		uplink = way->mtu;
	} else {
		dev = bpf_map_lookup_elem(&c25_devs, &ifindex);
		if (dev)
			uplink = dev->mtu;
	}
	if (uplink && uplink < mtu)
		mtu = uplink;
	return c25_clamp_syn(skb, p, mtu);
}

/* The same on the way back, where the packet came in by the uplink. */
__noinline long c25_clamp_back(struct __sk_buff *skb, const struct c25_pkt *p,
			       const struct c25_overlay *o)
{
	__u32 ifindex = skb->ifindex, mtu;
	struct c25_dev *dev;

	if (!p || !o)
		return -1;
	mtu = o->mtu;
	dev = bpf_map_lookup_elem(&c25_devs, &ifindex);
	if (dev && dev->mtu && dev->mtu < mtu)
		mtu = dev->mtu;
	return c25_clamp_syn(skb, p, mtu);
}

/* Whether a packet from the uplink is longer than the overlay carries. A tunnel fragments outside
 * where it may; a plain Ethernet device cannot. */
static __always_inline int c25_too_long(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
					const struct c25_overlay *o)
{
	if (!p->whole && (c25_tunnel_key || !o->l2))
		return 0;
	return c25_wire_len(skb, l2, p) > o->mtu;
}

#endif
