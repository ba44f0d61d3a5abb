// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * floor.bpf: one pair of addresses into another, for TCP and UDP, and out of a device if told so.
 *
 * The least that a translation can do, to measure others against it: no maps, flows, ports,
 * counters or ICMP, and none but the verifier's checks. It has one packet form in mind: no IP
 * options, extension headers or fragments. What the constants rule out is removed when it is
 * loaded.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "floor.h"

#define ETH_HLEN      14
#define ETH_P_IP      0x0800
#define ETH_P_IPV6    0x86DD
#define TC_ACT_UNSPEC (-1)

typedef __u64 __attribute__((may_alias)) u64_in_packet;
typedef __u32 __attribute__((may_alias)) u32_in_packet;

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile struct floor_turn turn;

/* Inline assembly, or clang makes scalars of the packet pointers. */
#define PACKET(skb, field)                                                                         \
	({                                                                                         \
		void *p;                                                                           \
		asm volatile(                                                                      \
			"%[p] = *(u32 *)(%[ctx] + %[off])"                                         \
			: [p] "=r"(p)                                                              \
			: [ctx] "r"(skb), [off] "i"(__builtin_offsetof(struct __sk_buff, field))); \
		p;                                                                                 \
	})

static __always_inline void sum_header(struct iphdr *ip)
{
	__u32 sum = (__u16)~ip->check + turn.head;

	ip->check = ~((sum & 0xffff) + (sum >> 16));
}

/* The addresses, in `n` words. Non-zero: they are others. */
static __always_inline int turn_addrs(u64_in_packet *a, const int n)
{
	for (int i = 0; i < n; i++)
		if (a[i] != turn.was[i])
			return -1;
	for (int i = 0; i < n; i++)
		a[i] = turn.is[i];
	return 0;
}

static __always_inline long pass_on(struct __sk_buff *skb, __u32 l4, __u8 proto)
{
	__u64 flags = BPF_F_PSEUDO_HDR | (proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0);

	/* Without BPF_F_IPV6: a veth brings no CHECKSUM_COMPLETE. */
	if (turn.diff)
		bpf_l4_csum_replace(skb, l4 + (proto == IPPROTO_UDP ? 6 : 16), 0, turn.diff, flags);
	return turn.out ? bpf_redirect(turn.out, 0) : TC_ACT_UNSPEC;
}

static __always_inline void set_macs(void *eth)
{
	for (int i = 0; i < 3; i++)
		((u32_in_packet *)eth)[i] = turn.macs[i];
}

static __always_inline int is_l4(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

static __always_inline long turn4(struct __sk_buff *skb)
{
	void *data = PACKET(skb, data), *end = PACKET(skb, data_end);
	struct iphdr *ip = data + ETH_HLEN;
	__u8 proto;

	if (skb->protocol != bpf_htons(ETH_P_IP) || (void *)(ip + 1) > end)
		return TC_ACT_UNSPEC;
	proto = ip->protocol;
	if (!is_l4(proto) || turn_addrs((void *)&ip->saddr, 1))
		return TC_ACT_UNSPEC;
	if (turn.head)
		sum_header(ip);
	if (turn.out) {
		ip->ttl--;
		set_macs(data);
	}
	return pass_on(skb, ETH_HLEN + sizeof(*ip), proto);
}

static __always_inline long turn6(struct __sk_buff *skb)
{
	void *data = PACKET(skb, data), *end = PACKET(skb, data_end);
	struct ipv6hdr *ip = data + ETH_HLEN;
	__u8 proto;

	if (skb->protocol != bpf_htons(ETH_P_IPV6) || (void *)(ip + 1) > end)
		return TC_ACT_UNSPEC;
	proto = ip->nexthdr;
	if (!is_l4(proto) || turn_addrs((void *)&ip->saddr, 4))
		return TC_ACT_UNSPEC;
	if (turn.out) {
		ip->hop_limit--;
		set_macs(data);
	}
	return pass_on(skb, ETH_HLEN + sizeof(*ip), proto);
}

SEC("tc")
int floor_turn(struct __sk_buff *skb)
{
	return turn.v6 ? turn6(skb) : turn4(skb);
}
