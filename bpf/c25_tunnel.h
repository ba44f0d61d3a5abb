/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_tunnel: how a packet gets to a peer and where it came from, on each kind of overlay.
 */
#ifndef C25_TUNNEL_H
#define C25_TUNNEL_H

#include "c25_parse.h"

#define AF_INET     2
#define AF_INET6    10
#define PACKET_HOST 0

/* Enough of the key for the remote end; the kernel knows this size from before local_ipv4. */
#define C25_KEY_REMOTE __builtin_offsetof(struct bpf_tunnel_key, local_ipv4)

/*
 * Frames that one of our programs redirects run into another of ours on the next device. They
 * carry the cookie in cb[], which the stack overwrites on its own paths and nobody can guess.
 */
static __always_inline void c25_mark(struct __sk_buff *skb)
{
	skb->cb[0] = c25_cookie;
	skb->cb[1] = ~c25_cookie;
}

static __always_inline int c25_take_mark(struct __sk_buff *skb)
{
	if (skb->cb[0] != c25_cookie || skb->cb[1] != ~c25_cookie)
		return 0;
	skb->cb[0] = 0;
	skb->cb[1] = 0;
	return 1;
}

/* The tunnel key of a peer. Non-zero: its underlay address is not known. */
static __always_inline long c25_tunnel_to(struct __sk_buff *skb, const struct c25_overlay *o,
					  const struct c25_peer *peer)
{
	struct bpf_tunnel_key key = { .tunnel_id = o->vni };

	if (c25_addr_none(&peer->underlay))
		return -1;
	if (c25_addr_is4(&peer->underlay)) {
		key.remote_ipv4 = bpf_ntohl(c25_addr_w(&peer->underlay, 3));
		key.local_ipv4 = bpf_ntohl(c25_addr_w(&o->underlay4, 3));
		return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_ZERO_CSUM_TX);
	}
	for (int i = 0; i < 4; i++) {
		key.remote_ipv6[i] = c25_addr_w(&peer->underlay, i);
		key.local_ipv6[i] = c25_addr_w(&o->underlay6, i);
	}
	return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6);
}

/* Where the tunnel that a packet came out of ends. Non-zero: it came out of none of ours. */
static __always_inline long c25_tunnel_from(struct __sk_buff *skb, const struct c25_overlay *o,
					    struct c25_addr *outer)
{
	struct bpf_tunnel_key key = { 0 };

	if (!bpf_skb_get_tunnel_key(skb, &key, C25_KEY_REMOTE, 0)) {
		c25_addr_set4(outer, bpf_htonl(key.remote_ipv4));
	} else {
		if (bpf_skb_get_tunnel_key(skb, &key, C25_KEY_REMOTE, BPF_F_TUNINFO_IPV6))
			return -1;
		for (int i = 0; i < 4; i++)
			c25_words32(outer)[i] = key.remote_ipv6[i];
	}
	return key.tunnel_id != o->vni;
}

/* Whether a packet that came out of the tunnel at `outer` may be this peer's. */
static __always_inline int c25_is_peer(__u32 index, const struct c25_addr *outer)
{
	struct c25_peer *peer = c25_peer_of(index);

	return peer && (!c25_tunnel_key || c25_addr_eq(&peer->underlay, outer));
}

/* By halves: byte by byte is what clang makes of a shorter spelling. */
static __always_inline void c25_mac_copy(void *to, const void *from)
{
	for (int i = 0; i < 3; i++)
		((c25_u16 *)to)[i] = ((const c25_u16 *)from)[i];
}

/* A VXLAN device has no neighbours; the receiver refuses frames that bear its own address. */
static __always_inline long c25_set_macs(struct __sk_buff *skb, const __u8 *from, const __u8 *to)
{
	struct ethhdr *eth = c25_data(skb);

	if ((void *)(eth + 1) > c25_data_end(skb))
		return -1;
	c25_mac_copy(eth->h_source, from);
	c25_mac_copy(eth->h_dest, to);
	/* Where the packet came from a device without Ethernet headers, nobody has written it yet. */
	eth->h_proto = skb->protocol;
	return 0;
}

/* An Ethernet header for a packet that came without one; its addresses are still to be set. */
static __always_inline long c25_add_eth(struct __sk_buff *skb)
{
	struct ethhdr *eth;

	if (bpf_skb_change_head(skb, ETH_HLEN, 0))
		return -1;
	eth = c25_data(skb);
	if ((void *)(eth + 1) > c25_data_end(skb))
		return -1;
	eth->h_proto = skb->protocol;
	return 0;
}

/* Sends to a peer's overlay address as next hop, over an Ethernet overlay device. */
static __always_inline long c25_to_neighbour(__u32 ifindex, const struct c25_peer *peer, __u8 v6)
{
	struct bpf_redir_neigh nh = { 0 };

	if (!v6 && !c25_addr_none(&peer->overlay4)) {
		nh.nh_family = AF_INET;
		nh.ipv4_nh = c25_addr_w(&peer->overlay4, 3);
	} else if (!c25_addr_none(&peer->overlay6)) {
		nh.nh_family = AF_INET6;
		for (int i = 0; i < 4; i++)
			nh.ipv6_nh[i] = c25_addr_w(&peer->overlay6, i);
	} else {
		return -1;
	}
	return bpf_redirect_neigh(ifindex, &nh, sizeof(nh), 0);
}

/*
 * Sends a packet that came in by another device, or an answer to one, to a peer. Returns the
 * verdict, or a negative number where the peer cannot be reached.
 */
static __always_inline long c25_to_peer(struct __sk_buff *skb, const __u32 l2,
					const struct c25_overlay *o, __u32 index, __u64 v6)
{
	struct c25_peer *peer;

	/* As in c25_nat_l4(). */
	asm volatile("" : "+r"(v6));
	peer = c25_peer_of(index);
	if (!peer)
		return -1;
	if (!l2 && o->l2 && c25_add_eth(skb))
		return -1;
	c25_mark(skb);
	if (c25_tunnel_key) {
		if (c25_set_macs(skb, o->mac, o->mac) || c25_tunnel_to(skb, o, peer))
			return -1;
		return bpf_redirect(o->ifindex, 0);
	}
	return o->l2 ? c25_to_neighbour(o->ifindex, peer, v6) : bpf_redirect(o->ifindex, 0);
}

/* The same where the stack is short. */
__noinline long c25_to_peer_far(struct __sk_buff *skb, __u32 l2, const struct c25_overlay *o,
				__u32 index, __u32 v6)
{
	if (!o)
		return -1;
	return c25_to_peer(skb, l2, o, index, v6);
}

#endif
