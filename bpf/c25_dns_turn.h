/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_dns_turn: a question turned round where it stands, as an answer.
 *
 * Header and question stay, what follows is cut off. The datagram's checksum is mended by what
 * changed, so that it is right whether the sender had summed it yet or not.
 *
 * Global functions of numbers alone: the verifier goes through each once. Without CAP_PERFMON it
 * would go through them more often than it has patience for.
 */
#ifndef C25_DNS_TURN_H
#define C25_DNS_TURN_H

#include "c25_dns_name.h"

#define DNS_RD      0x01   /* of the third byte */
#define DNS_REFUSED 0x8005 /* QR; of the flags */
#define DNS_RA      0x0080
#define DNS_CD      0x10
#define DNS_HOPS    64

/* More than this behind the question is no query that anyone sends. */
#define C25_CUT_MAX 512

static __always_inline __u32 c25_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* Into the checksum at `csum` goes the sum of what stands from `from` on. */
static __always_inline long c25_sum_csum(struct __sk_buff *skb, __u32 csum, __u32 from, __s64 diff)
{
	__u32 sum = c25_fold(diff);

	/* It begins at an odd place of the datagram. */
	if ((from - csum) & 1)
		sum = (sum & 0xff) << 8 | sum >> 8;
	return diff < 0 || bpf_l4_csum_replace(skb, csum, 0, sum, BPF_F_MARK_MANGLED_0);
}

/* Takes the part that `len` bytes from `from` on have out of the checksum. */
__noinline int c25_cut_csum(struct __sk_buff *skb, __u32 csum, __u32 from, __u32 len)
{
	__u32 zero = 0;
	struct c25_scratch *s = bpf_map_lookup_elem(&c25_scratch, &zero);

	if (!s)
		return -1;
	for (int i = 0; i < C25_CUT_MAX / 8; i++)
		*(c25_u64 *)(s->b + i * 8) = 0;
	if (!len || len > C25_CUT_MAX ||
	    bpf_skb_load_bytes(skb, from, s->b, c25_length(len, C25_CUT_MAX - 1)))
		return -1;
	return c25_sum_csum(skb, csum, from, bpf_csum_diff((void *)s->b, C25_CUT_MAX, NULL, 0, 0));
}

/* `flags` as they are to be, but for those that go as they came; counts of records. */
__noinline int c25_turn_dns(struct __sk_buff *skb, __u32 l4, __u32 flags, __u32 answers,
			    __u32 additional)
{
	__u8 h[2 * DNS_HEADER] __attribute__((aligned(8)));
	__u32 csum = l4 + 6;
	__u8 *to = h + DNS_HEADER;
	__s64 diff;

	if (bpf_skb_load_bytes(skb, l4 + 8, h, DNS_HEADER))
		return -1;
	__builtin_memset(to, 0, DNS_HEADER);
	to[0] = h[0];
	to[1] = h[1];
	to[2] = flags >> 8 | (h[2] & DNS_RD);
	to[3] = (flags & 0xff) | (h[3] & DNS_CD);
	to[5] = 1;
	to[7] = answers;
	to[11] = additional;
	diff = bpf_csum_diff((void *)h, DNS_HEADER, (void *)to, DNS_HEADER, 0);
	if (diff < 0 || bpf_l4_csum_replace(skb, csum, 0, diff, BPF_F_MARK_MANGLED_0))
		return -1;
	return bpf_skb_store_bytes(skb, l4 + 8, to, DNS_HEADER, 0);
}

/* From `len` bytes of message to `now`. */
__noinline int c25_turn_udp(struct __sk_buff *skb, __u32 l4, __u32 ports, __u32 len, __u32 now)
{
	__be16 from = bpf_htons(8 + len), to = bpf_htons(8 + now);
	__u32 csum = l4 + 6;

	/* The length stands in the pseudo-header too. */
	if (bpf_l4_csum_replace(skb, csum, from, to, BPF_F_MARK_MANGLED_0 | 2) ||
	    bpf_l4_csum_replace(skb, csum, from, to, BPF_F_MARK_MANGLED_0 | BPF_F_PSEUDO_HDR | 2))
		return -1;
	ports = ports << 16 | ports >> 16;
	return bpf_skb_store_bytes(skb, l4, &ports, sizeof(ports), 0) ||
	       bpf_skb_store_bytes(skb, l4 + 4, &to, sizeof(to), 0);
}

__noinline int c25_turn_ip4(struct __sk_buff *skb, __u32 l2, __u32 grown)
{
	struct iphdr ip;
	__be16 len, hops;
	__be32 addr;

	if (bpf_skb_load_bytes(skb, l2, &ip, sizeof(ip)))
		return -1;
	len = bpf_htons(bpf_ntohs(ip.tot_len) + grown);
	hops = bpf_htons(DNS_HOPS << 8 | ip.protocol);
	if (bpf_l3_csum_replace(skb, l2 + 10, ip.tot_len, len, 2) ||
	    bpf_l3_csum_replace(skb, l2 + 10, bpf_htons(ip.ttl << 8 | ip.protocol), hops, 2))
		return -1;
	addr = ip.saddr;
	return bpf_skb_store_bytes(skb, l2 + 2, &len, sizeof(len), 0) ||
	       bpf_skb_store_bytes(skb, l2 + 8, &hops, sizeof(hops), 0) ||
	       bpf_skb_store_bytes(skb, l2 + 12, &ip.daddr, 4, 0) ||
	       bpf_skb_store_bytes(skb, l2 + 16, &addr, 4, 0);
}

__noinline int c25_turn_ip6(struct __sk_buff *skb, __u32 l2, __u32 grown)
{
	struct ipv6hdr ip;
	__be16 len;
	__u8 hops = DNS_HOPS;

	if (bpf_skb_load_bytes(skb, l2, &ip, sizeof(ip)))
		return -1;
	len = bpf_htons(bpf_ntohs(ip.payload_len) + grown);
	return bpf_skb_store_bytes(skb, l2 + 4, &len, sizeof(len), 0) ||
	       bpf_skb_store_bytes(skb, l2 + 7, &hops, 1, 0) ||
	       bpf_skb_store_bytes(skb, l2 + 8, &ip.daddr, 16, 0) ||
	       bpf_skb_store_bytes(skb, l2 + 24, &ip.saddr, 16, 0);
}

__noinline int c25_turn_eth(struct __sk_buff *skb)
{
	__u8 mac[12];

	return bpf_skb_load_bytes(skb, 0, mac, sizeof(mac)) ||
	       bpf_skb_store_bytes(skb, 0, mac + 6, 6, 0) || bpf_skb_store_bytes(skb, 6, mac, 6, 0);
}

/* Everything but the DNS message: from `len` bytes of it to `now`; its end is new afterwards. */
static __always_inline int c25_turn(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
				    __u32 len, __u32 now)
{
	return c25_turn_udp(skb, p->l4, c25_tuple_ports(&p->t), len, now) ||
	       (p->v6 ? c25_turn_ip6(skb, l2, now - len) : c25_turn_ip4(skb, l2, now - len)) ||
	       (l2 && c25_turn_eth(skb)) || bpf_skb_change_tail(skb, p->l4 + 8 + now, 0);
}

/* `len`: of the message; `keep`: of its header and question. An answer without an OPT is that of
 * one who does not go by it (RFC 6891, 7). */
static __noinline int c25_dns_refuse(struct __sk_buff *skb, __u32 l2, struct c25_pkt *p, __u32 len,
				     __u32 keep)
{
	if (skb->gso_size ||
	    (len > keep && c25_cut_csum(skb, p->l4 + 6, p->l4 + 8 + keep, len - keep)))
		return c25_drop(skb, l2, p, C25_REASON_DNS_CLOSED);
	if (c25_turn_dns(skb, p->l4, DNS_REFUSED | DNS_RA, 0, 0) || c25_turn(skb, l2, p, len, keep))
		return c25_drop(skb, l2, p, C25_REASON_INTERNAL);
	c25_count(skb, l2, C25_REASON_DNS_REFUSED);
	return bpf_redirect(skb->ifindex, 0);
}

#endif
