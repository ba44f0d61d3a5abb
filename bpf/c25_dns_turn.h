/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_dns_turn: a question turned round where it stands, as an answer.
 *
 * Header and question stay; what follows them is exchanged for q->tail. The datagram's checksum is
 * mended by what changed, so that it is right whether the sender had summed it yet or not. Headers
 * are changed in a copy and written back as a whole: each helper call costs more than that.
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
#define DNS_HEADS   (ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct udphdr) + DNS_HEADER)

_Static_assert(ETH_HLEN + DNS_HEADS <= sizeof(((struct c25_question *)0)->head), "room");

/* More than this behind the question is no query that anyone sends. */
#define C25_CUT_MAX 512

static __always_inline __u32 c25_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* One's complement: what a sum becomes when `old` in it is `now`. */
static __always_inline __u32 c25_sum_change(__u32 sum, __u16 old, __u16 now)
{
	return sum + (__u16)~old + now;
}

/* By how much the message's sum changes from `keep` on. Negative: more than is cut off. */
__noinline __s64 c25_tail_diff(__u32 keep, __u32 len)
{
	struct c25_question *q = c25_question_of();
	__u32 cut = (len - keep + 3) & ~3U, tail;
	__s64 diff = 0;

	if (!q || keep > len || len > C25_QUESTION_READ || cut > C25_CUT_MAX)
		return -1;
	asm volatile("" : "+r"(cut));
	if (cut) {
		*(c25_u32 *)(q->raw + (len & 0x3ff)) = 0;
		if (cut > C25_CUT_MAX)
			return -1;
		diff = bpf_csum_diff((void *)(q->raw + (keep & 0x1ff)), cut, NULL, 0, 0);
	}
	tail = (q->tail_len + 3) & ~3U;
	asm volatile("" : "+r"(tail));
	if (diff < 0 || tail > sizeof(q->tail))
		return -1;
	return tail ? bpf_csum_diff(NULL, 0, (void *)q->tail, tail, diff) : diff;
}

/* The header of the answer in `now`; returns what that adds to `sum`. */
static __always_inline __u32 c25_turn_dns(const struct c25_question *q, __u8 *now, __u32 sum)
{
	const __u8 *old = q->raw;

	now[0] = old[0];
	now[1] = old[1];
	now[2] = q->flags >> 8 | (old[2] & DNS_RD);
	now[3] = (q->flags & 0xff) | (old[3] & DNS_CD);
	now[4] = 0;
	now[5] = 1;
	now[6] = 0;
	now[7] = q->answers;
	now[8] = now[9] = now[10] = 0;
	now[11] = q->additional;
#pragma clang loop unroll(full)
	for (int i = 2; i < DNS_HEADER; i += 2)
		sum = c25_sum_change(sum, *(const c25_u16 *)(old + i), *(c25_u16 *)(now + i));
	return sum;
}

/* Of `len` bytes of message `now` are left. `keep` of them stay. Non-zero: it is as it was. */
__noinline int c25_turn_csum(struct __sk_buff *skb, __u32 l4, __u32 len, __u32 keep)
{
	struct c25_question *q = c25_question_of();
	__s64 diff = c25_tail_diff(keep, len);
	__u32 csum = l4 + 6, sum;
	__be16 from, to;

	if (!q || diff < 0)
		return -1;
	sum = c25_fold(diff);
	/* It begins at an odd place of the datagram. */
	if (keep & 1)
		sum = (sum & 0xff) << 8 | sum >> 8;
	sum = c25_turn_dns(q, q->dns, sum);
	/* The length stands in the pseudo-header too. */
	from = bpf_htons(8 + len);
	to = bpf_htons(8 + keep + q->tail_len);
	sum = c25_fold(c25_sum_change(sum, from, to));
	return bpf_l4_csum_replace(skb, csum, 0, sum, BPF_F_MARK_MANGLED_0) ||
	       bpf_l4_csum_replace(skb, csum, from, to,
				   BPF_F_MARK_MANGLED_0 | BPF_F_PSEUDO_HDR | 2);
}

static __always_inline void c25_swap32(c25_u32 *a, c25_u32 *b)
{
	__u32 was = *a;

	*a = *b;
	*b = was;
}

static __always_inline void c25_turn_eth(__u8 *mac)
{
	__u16 was = *(c25_u16 *)(mac + 4);

	c25_swap32((c25_u32 *)mac, (c25_u32 *)(mac + 6));
	*(c25_u16 *)(mac + 4) = *(c25_u16 *)(mac + 10);
	*(c25_u16 *)(mac + 10) = was;
}

static __always_inline void c25_turn_ip4(__u8 *ip, __u32 payload)
{
	__u16 *len = (c25_u16 *)(ip + 2), *check = (c25_u16 *)(ip + 10);
	__be16 to = bpf_htons(sizeof(struct iphdr) + payload);
	__u32 sum = c25_sum_change((__u16) ~*check, *len, to);

	sum = c25_sum_change(sum, *(c25_u16 *)(ip + 8), bpf_htons(DNS_HOPS << 8 | ip[9]));
	*len = to;
	ip[8] = DNS_HOPS;
	*check = ~c25_fold(sum);
	c25_swap32((c25_u32 *)(ip + 12), (c25_u32 *)(ip + 16));
}

static __always_inline void c25_turn_ip6(__u8 *ip, __u32 payload)
{
	*(c25_u16 *)(ip + 4) = bpf_htons(payload);
	ip[7] = DNS_HOPS;
#pragma clang loop unroll(full)
	for (int i = 0; i < 16; i += 4)
		c25_swap32((c25_u32 *)(ip + 8 + i), (c25_u32 *)(ip + 24 + i));
}

static __always_inline void c25_turn_udp(const struct c25_question *q, __u8 *udp, __u32 len)
{
	__u16 port;

	/* Or clang makes one of both callers' places, an offset that depends on the family. */
	asm volatile("" : "+r"(udp));
	port = *(c25_u16 *)udp;
	*(c25_u16 *)udp = *(c25_u16 *)(udp + 2);
	*(c25_u16 *)(udp + 2) = port;
	*(c25_u16 *)(udp + 4) = bpf_htons(8 + len);
#pragma clang loop unroll(full)
	for (int i = 0; i < DNS_HEADER; i += 2)
		*(c25_u16 *)(udp + 8 + i) = *(const c25_u16 *)(q->dns + i);
}

/* From the frame's beginning to the DNS header. */
__noinline int c25_turn_heads(struct __sk_buff *skb, __u32 l2, __u32 keep)
{
	struct c25_question *q = c25_question_of();
	__u32 v6 = skb->protocol == bpf_htons(ETH_P_IPV6), size, now;
	__u8 *head, *ip;

	if (!q)
		return -1;
	size = (l2 ? ETH_HLEN : 0) + (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + 8 +
	       DNS_HEADER;
	head = ip = q->head + ETH_HLEN;
	if (l2)
		head = q->head;
	asm volatile("" : "+r"(size), "+r"(head));
	/* Before 6.8 verifiers learn nothing from a comparison with zero. */
	if (size < DNS_HEADER || size > DNS_HEADS || bpf_skb_load_bytes(skb, 0, head, size))
		return -1;
	now = keep + q->tail_len;
	if (l2)
		c25_turn_eth(q->head);
	if (v6) {
		c25_turn_ip6(ip, sizeof(struct udphdr) + now);
		c25_turn_udp(q, ip + sizeof(struct ipv6hdr), now);
	} else {
		c25_turn_ip4(ip, sizeof(struct udphdr) + now);
		c25_turn_udp(q, ip + sizeof(struct iphdr), now);
	}
	return bpf_skb_store_bytes(skb, 0, head, size, 0);
}

__noinline int c25_turn_tail(struct __sk_buff *skb, __u32 at)
{
	struct c25_question *q = c25_question_of();
	__u32 size;

	if (!q)
		return -1;
	size = q->tail_len;
	asm volatile("" : "+r"(size));
	if (size > sizeof(q->tail) || bpf_skb_change_tail(skb, at + size, 0))
		return -1;
	/* No tail is shorter than an OPT record. */
	return size > 10 && bpf_skb_store_bytes(skb, at, q->tail, size, 0);
}

/* Whether it can be turned at all: nothing between its headers, nothing long behind its question. */
static __always_inline int c25_can_turn(const struct __sk_buff *skb, __u32 l2,
					const struct c25_pkt *p, __u32 len, __u32 keep)
{
	return !skb->gso_size && len - keep <= C25_CUT_MAX &&
	       p->l4 == l2 + (p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
}

/* Header and question of the `len` bytes of message are `keep` bytes; flags, counts and tail of the
 * answer are in c25_question_of(). Non-zero: the packet may be half changed. */
static __always_inline int c25_turn(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
				    __u32 len, __u32 keep)
{
	return c25_turn_csum(skb, p->l4, len, keep) || c25_turn_heads(skb, l2, keep) ||
	       c25_turn_tail(skb, p->l4 + 8 + keep);
}

/* An answer without an OPT is that of one who does not go by it (RFC 6891, 7). */
static __noinline int c25_dns_refuse(struct __sk_buff *skb, __u32 l2, struct c25_pkt *p, __u32 len,
				     __u32 keep)
{
	struct c25_question *q = c25_question_of();

	if (!q || !c25_can_turn(skb, l2, p, len, keep))
		return c25_drop(skb, l2, p, C25_REASON_DNS_CLOSED);
	q->flags = DNS_REFUSED | DNS_RA;
	q->answers = q->additional = 0;
	q->tail_len = 0;
	if (c25_turn(skb, l2, p, len, keep))
		return c25_drop(skb, l2, p, C25_REASON_INTERNAL);
	c25_count(skb, l2, C25_REASON_DNS_REFUSED);
	return bpf_redirect(skb->ifindex, 0);
}

#endif
