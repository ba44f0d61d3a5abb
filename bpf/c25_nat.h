/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_nat: rewrites addresses, ports, time to live and MSS, with every checksum they are in.
 *
 * The IPv4 header is written in place. L4 checksums go through the helper alone, which knows
 * CHECKSUM_PARTIAL: there the addresses are in the sum and the ports are not, hence two calls.
 */
#ifndef C25_NAT_H
#define C25_NAT_H

#include "c25_parse.h"

#define C25_EINVAL 22

#define C25_NAT_SRC   (1U << 0)
#define C25_NAT_DST   (1U << 1)
#define C25_NAT_PORTS (1U << 2) /* ICMP echo: the identifier, from `sport` */
#define C25_NAT_TTL   (1U << 3)

/* Offset of the checksum in the L4 header, or -1. */
static __always_inline int c25_csum_off(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
		return 6;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 2;
	default:
		return -1;
	}
}

static __always_inline __u64 c25_diff(const struct c25_addr *old, const struct c25_addr *new,
				      __u8 v6)
{
	__u64 sum = (__u64)(__u32)~c25_addr_w(old, 3) + c25_addr_w(new, 3);

	if (v6) {
		sum += (__u64)(__u32)~c25_addr_w(old, 0) + c25_addr_w(new, 0);
		sum += (__u64)(__u32)~c25_addr_w(old, 1) + c25_addr_w(new, 1);
		sum += (__u64)(__u32)~c25_addr_w(old, 2) + c25_addr_w(new, 2);
	}
	return sum;
}

static __always_inline __u32 c25_fold32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

static __always_inline __u16 c25_fold16(__u64 sum)
{
	__u32 s = c25_fold32(sum);

	s = (s & 0xffff) + (s >> 16);
	return (s & 0xffff) + (s >> 16);
}

static __always_inline void c25_write_addr6(struct in6_addr *to, const struct c25_addr *from)
{
	c25_u32 *w = (void *)to;

	for (int i = 0; i < 4; i++)
		w[i] = c25_addr_w(from, i);
}

/* Ports as they stand in the packet, the first two bytes first. ICMP echo has the first only. */
static __always_inline __u32 c25_ports(__be16 sport, __be16 dport)
{
	__be16 both[2] = { sport, dport };

	return *(c25_u32 *)both;
}

/* The pseudo header's part of the L4 checksum. */
static __always_inline long c25_nat_pseudo(struct __sk_buff *skb, const struct c25_pkt *p, int off,
					   __u64 diff, __u64 mangled)
{
	__u64 flags = BPF_F_PSEUDO_HDR | mangled;
	long err;

	if (!p->v6)
		return bpf_l4_csum_replace(skb, p->l4 + off, 0, c25_fold32(diff), flags);
	err = bpf_l4_csum_replace(skb, p->l4 + off, 0, c25_fold32(diff), flags | BPF_F_IPV6);
	/* Before 6.16 the flag is unknown. */
	if (err == -C25_EINVAL)
		err = bpf_l4_csum_replace(skb, p->l4 + off, 0, c25_fold32(diff), flags);
	return err;
}

/* Ones' complement zero has two forms. */
static __always_inline int c25_sum_eq(__u16 a, __u16 b)
{
	return a == b || (__u16)(a + 1) + (__u16)(b + 1) == 1;
}

/*
 * Addresses and ports of TCP and UDP right behind the IP header, with one call of the helper: it
 * gets the addresses, and what it makes of them tells whether the ports are in the sum as well. In
 * CHECKSUM_PARTIAL they are not; else they are, and can be written in place. 1: it does not tell,
 * and the ports are still to do; 2: all is. `l4` and `off` are constants.
 */
static __always_inline long c25_nat_near(struct __sk_buff *skb, const struct c25_pkt *p,
					 const __u32 l4, const int off, __u64 mangled, __u64 diff,
					 __u32 ports)
{
	__u32 old = c25_tuple_ports(&p->t);
	__u16 d = c25_fold16(diff), was, now;
	void *at = c25_data(skb) + l4;

	/* Not in the packet's linear part. */
	if (at + off + 2 > c25_data_end(skb))
		return 2;
	was = *(c25_u16 *)(at + off);
	if (was || !mangled) {
		if (c25_nat_pseudo(skb, p, off, diff, mangled))
			return -1;
		if (!d || d == 0xffff)
			return 1;
	}
	at = c25_data(skb) + l4;
	if (at + off + 2 > c25_data_end(skb))
		return -1;
	now = *(c25_u16 *)(at + off);
	*(c25_u32 *)at = ports;
	if ((!was && mangled) || c25_sum_eq(now, c25_fold16((__u64)was + d)))
		return 0;
	now = ~c25_fold16((__u64)(__u16)~now + (__u32)~old + ports);
	*(c25_u16 *)(at + off) = mangled && !now ? 0xffff : now;
	return 0;
}

static __always_inline long c25_nat_l4(struct __sk_buff *skb, const __u32 l2,
				       const struct c25_pkt *p, __u32 ports, const __u32 what,
				       __u64 diff)
{
	__u32 old = c25_tuple_ports(&p->t);
	__be16 id = *(__be16 *)&ports;
	__u64 proto = p->t.proto, l4 = p->l4, mangled;
	long err = 0;
	int off;

	/* Kept as 64 bits: without CAP_PERFMON no half of a stack slot may be spilled to. */
	asm volatile("" : "+r"(proto), "+r"(l4));
	mangled = proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	off = c25_csum_off(proto);
	if (off < 0)
		return 0;
	/* Most pairs of a magic and a transit address have one sum: lease.c lends them so. */
	if (!(what & C25_NAT_PORTS) && c25_fold16(diff) == 0xffff)
		return 0;
	if (what & C25_NAT_PORTS) {
		err = 2;
		if (!p->v6 && l4 == l2 + sizeof(struct iphdr)) {
			if (proto == IPPROTO_TCP)
				err = c25_nat_near(skb, p, l2 + sizeof(struct iphdr), 16, 0, diff,
						   ports);
			else if (proto == IPPROTO_UDP)
				err = c25_nat_near(skb, p, l2 + sizeof(struct iphdr), 6, mangled,
						   diff, ports);
		} else if (p->v6 && l4 == l2 + sizeof(struct ipv6hdr)) {
			if (proto == IPPROTO_TCP)
				err = c25_nat_near(skb, p, l2 + sizeof(struct ipv6hdr), 16, 0, diff,
						   ports);
			else if (proto == IPPROTO_UDP)
				err = c25_nat_near(skb, p, l2 + sizeof(struct ipv6hdr), 6, mangled,
						   diff, ports);
		}
		if (err <= 0)
			return err;
	}
	if (err != 1 && proto != IPPROTO_ICMP && c25_nat_pseudo(skb, p, off, diff, mangled))
		return -1;
	if (!(what & C25_NAT_PORTS) || old == ports)
		return 0;
	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) {
		if (bpf_l4_csum_replace(skb, p->l4 + off, p->t.sport, id, 2))
			return -1;
		return bpf_skb_store_bytes(skb, p->l4 + 4, &id, 2, 0);
	}
	if (bpf_l4_csum_replace(skb, p->l4 + off, old, ports, mangled | 4))
		return -1;
	return bpf_skb_store_bytes(skb, p->l4, &ports, 4, 0);
}

/*
 * Rewrites what `what`, a constant, names. Non-zero: the packet is cut short
 * or a helper failed, and it must be dropped.
 */
static __always_inline long c25_nat(struct __sk_buff *skb, const __u32 l2, const struct c25_pkt *p,
				    const struct c25_addr *src, const struct c25_addr *dst,
				    __u32 ports, const __u32 what)
{
	void *data, *end;
	__u64 diff = 0;

	if (what & C25_NAT_SRC)
		diff += c25_diff(&p->t.src, src, p->v6);
	if (what & C25_NAT_DST)
		diff += c25_diff(&p->t.dst, dst, p->v6);
	if (p->frag != C25_FRAG_LATER && c25_nat_l4(skb, l2, p, ports, what, diff))
		return -1;

	data = c25_data(skb);
	end = c25_data_end(skb);
	if (p->v6) {
		struct ipv6hdr *ip = data + l2;

		if ((void *)(ip + 1) > end)
			return -1;
		if (what & C25_NAT_SRC)
			c25_write_addr6(&ip->saddr, src);
		if (what & C25_NAT_DST)
			c25_write_addr6(&ip->daddr, dst);
		if (what & C25_NAT_TTL)
			ip->hop_limit--;
	} else {
		struct iphdr *ip = data + l2;

		if ((void *)(ip + 1) > end)
			return -1;
		diff += (__u16)~ip->check;
		if (what & C25_NAT_SRC)
			ip->saddr = c25_addr_w(src, 3);
		if (what & C25_NAT_DST)
			ip->daddr = c25_addr_w(dst, 3);
		if (what & C25_NAT_TTL) {
			diff += (__u16)~bpf_htons((__u16)ip->ttl << 8);
			ip->ttl--;
			diff += bpf_htons((__u16)ip->ttl << 8);
		}
		ip->check = ~c25_fold16(diff);
	}
	return 0;
}

/* Addresses and time to live, and checksums over them. A function for each length of link header:
 * without CAP_PERFMON the verifier allows no variable one. */
#define C25_NAT_ADDRS (C25_NAT_SRC | C25_NAT_DST | C25_NAT_TTL)

static __noinline long c25_nat_addrs_l2(struct __sk_buff *skb, const struct c25_pkt *p,
					const struct c25_addr *src, const struct c25_addr *dst)
{
	return c25_nat(skb, ETH_HLEN, p, src, dst, 0, C25_NAT_ADDRS);
}

static __noinline long c25_nat_addrs_l3(struct __sk_buff *skb, const struct c25_pkt *p,
					const struct c25_addr *src, const struct c25_addr *dst)
{
	return c25_nat(skb, 0, p, src, dst, 0, C25_NAT_ADDRS);
}

static __always_inline long c25_nat_addrs(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
					  const struct c25_addr *src, const struct c25_addr *dst)
{
	return l2 ? c25_nat_addrs_l2(skb, p, src, dst) : c25_nat_addrs_l3(skb, p, src, dst);
}

#endif
