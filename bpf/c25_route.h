/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_route: the connector's way out of an uplink, as the kernel's routes say.
 */
#ifndef C25_ROUTE_H
#define C25_ROUTE_H

#include "c25_mss.h"
#include "c25_tunnel.h"

/* Where the stack is too small for it. */
static __always_inline struct bpf_fib_lookup *c25_fib_room(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&c25_scratch, &zero);
}

/* Next hop and its link address towards the real address, for packets of this length. */
static __always_inline long c25_route(struct __sk_buff *skb, const __u32 l2,
				      const struct c25_pkt *p, const struct c25_addr *real,
				      struct bpf_fib_lookup *fib)
{
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->ifindex = skb->ifindex;
	fib->l4_protocol = p->t.proto;
	fib->tot_len = c25_wire_len(skb, l2, p);
	if (p->v6) {
		fib->family = AF_INET6;
		for (int i = 0; i < 4; i++)
			fib->ipv6_dst[i] = c25_addr_w(real, i);
		/* Or clang makes one store of the last two, at an offset that depends on `v6`. */
		asm volatile("" ::: "memory");
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

/* Lowers the MSS of a SYN to what both the uplink and the overlay carry. */
__noinline long c25_clamp_route(struct __sk_buff *skb, const struct c25_pkt *p,
				const struct c25_overlay *o, const struct bpf_fib_lookup *fib,
				long found)
{
	__u32 ifindex, mtu, way = 0;
	struct c25_dev *dev;

	if (!p || !o || !fib)
		return -1;
	ifindex = fib->ifindex;
	mtu = o->mtu;
	if (found == BPF_FIB_LKUP_RET_SUCCESS) {
		way = fib->mtu_result;
	} else {
		dev = bpf_map_lookup_elem(&c25_devs, &ifindex);
		if (dev)
			way = dev->mtu;
	}
	if (way && way < mtu)
		mtu = way;
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
