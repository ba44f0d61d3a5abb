/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_error: ICMP errors that others made, translated outside and inside (RFC 5508, section 7).
 *
 * The quoted packet is translated the other way round, with its own checksums as far as they are
 * quoted. An error neither makes, refreshes nor ends a flow.
 */
#ifndef C25_ERROR_H
#define C25_ERROR_H

#include "c25_nat.h"

#define ICMP_PARAMETERPROB 12
#define ICMPV6_PARAMPROB   4

static __always_inline int c25_is_error(const struct c25_pkt *p)
{
	if (p->frag)
		return 0;
	if (p->v6)
		return p->t.proto == IPPROTO_ICMPV6 && p->type >= ICMPV6_DEST_UNREACH &&
		       p->type <= ICMPV6_PARAMPROB;
	return p->t.proto == IPPROTO_ICMP &&
	       (p->type == ICMP_DEST_UNREACH || p->type == ICMP_TIME_EXCEEDED ||
		p->type == ICMP_PARAMETERPROB);
}

/* The tuple of the flow that what is quoted came back to, or went out by, in `n`. */
static __always_inline void c25_quote_turn(struct c25_quote *q)
{
	c25_addr_copy(&q->n.src, &q->t.dst);
	c25_addr_copy(&q->n.dst, &q->t.src);
	if (q->t.proto == IPPROTO_TCP || q->t.proto == IPPROTO_UDP) {
		q->n.sport = q->t.dport;
		q->n.dport = q->t.sport;
	}
}

static __always_inline long c25_quote_ip(struct __sk_buff *skb, const struct c25_pkt *p,
					 struct c25_quote *q, __u8 *h)
{
	__u32 r;

	q->ip = p->l4 + 8;
	if (bpf_skb_load_bytes(skb, q->ip, h,
			       p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)))
		return -1;
	if (p->v6) {
		r = c25_walk_ext(skb, q->ip + sizeof(struct ipv6hdr), h[6]);
		if (!r || r >> 24 == C25_FRAG_LATER)
			return -1;
		c25_addr_set6(&q->t.src, (void *)(h + 8));
		c25_addr_set6(&q->t.dst, (void *)(h + 24));
		q->l4 = r & C25_L4_MASK;
		q->t.proto = r >> 16;
		return 0;
	}
	if ((h[0] & 0xf) < 5 || *(c25_u16 *)(h + 6) & bpf_htons(IP_OFFSET))
		return -1;
	c25_addr_set4(&q->t.src, *(c25_u32 *)(h + 12));
	c25_addr_set4(&q->t.dst, *(c25_u32 *)(h + 16));
	q->l4 = q->ip + (h[0] & 0xf) * 4;
	q->t.proto = h[9];
	return 0;
}

/* NULL: no header that could be translated is quoted. The next call on this CPU uses it again. */
static __noinline struct c25_quote *c25_quote_load(struct __sk_buff *skb, const struct c25_pkt *p)
{
	__u8 h[40] __attribute__((aligned(8))) = { 0 };
	__u32 zero = 0, echo, ports;
	struct c25_quote *q = bpf_map_lookup_elem(&c25_quotes, &zero);

	if (!q)
		return NULL;
	__builtin_memset(q, 0, sizeof(*q));
	if (c25_quote_ip(skb, p, q, h))
		return NULL;
	echo = q->t.proto == IPPROTO_ICMP || q->t.proto == IPPROTO_ICMPV6;
	ports = q->t.proto == IPPROTO_TCP || q->t.proto == IPPROTO_UDP;
	/* Other protocols may be shorter. */
	if ((echo || ports) && bpf_skb_load_bytes(skb, q->l4, h, 8))
		return NULL;
	if (echo)
		q->t.sport = *(c25_u16 *)(h + 4);
	else if (ports)
		*c25_words32(&q->t.sport) = *(c25_u32 *)h;
	c25_tuple_copy(&q->n, &q->t);
	return q;
}

static __always_inline __u64 c25_diff16(__u16 old, __u16 new)
{
	return (__u64)(__u16)~old + new;
}

/* Adds `diff` to a checksum field of the quote; `sum` learns of the change. */
static __always_inline long c25_quote_sum(struct __sk_buff *skb, __u32 off, __u64 diff, __u64 *sum)
{
	__u16 old, new;

	if (bpf_skb_load_bytes(skb, off, &old, 2))
		return -1;
	new = ~c25_fold16((__u16)~old + diff);
	*sum += c25_diff16(old, new);
	return bpf_skb_store_bytes(skb, off, &new, 2, 0);
}

/* The L4 header of the quote; its checksum may lie beyond what is quoted. */
static __always_inline long c25_quote_l4(struct __sk_buff *skb, struct c25_quote *q, __u64 diff,
					 __u64 *sum)
{
	__u32 old = c25_tuple_ports(&q->t), ports = c25_tuple_ports(&q->n);
	int off = c25_csum_off(q->t.proto);
	__u64 change = (__u64)(__u32)~old + ports;
	__u16 csum;

	if (off < 0)
		return 0;
	if (old != ports) {
		*sum += change;
		if (q->t.proto == IPPROTO_ICMP || q->t.proto == IPPROTO_ICMPV6) {
			if (bpf_skb_store_bytes(skb, q->l4 + 4, &q->n.sport, 2, 0))
				return -1;
		} else if (bpf_skb_store_bytes(skb, q->l4, &q->n.sport, 4, 0)) {
			return -1;
		}
	}
	if (bpf_skb_load_bytes(skb, q->l4 + off, &csum, 2) || (q->t.proto == IPPROTO_UDP && !csum))
		return 0;
	if (q->t.proto != IPPROTO_ICMP)
		change += diff;
	return c25_quote_sum(skb, q->l4 + off, change, sum);
}

/* Gives the quoted packet the addresses and ports of `n`, and the error its checksum. */
static __noinline long c25_quote_nat(struct __sk_buff *skb, const struct c25_pkt *p,
				     struct c25_quote *q)
{
	/* Both addresses in one; the mapped form's prefix is in both. */
	__u64 diff = (__u32)bpf_csum_diff((__be32 *)&q->t, 32, (__be32 *)&q->n, 32, 0);
	__u64 sum = diff;

	if (p->v6) {
		if (bpf_skb_store_bytes(skb, q->ip + 8, &q->n, 32, 0))
			return -1;
	} else {
		__be32 both[2] = { c25_addr_w(&q->n.src, 3), c25_addr_w(&q->n.dst, 3) };

		if (bpf_skb_store_bytes(skb, q->ip + 12, both, sizeof(both), 0) ||
		    c25_quote_sum(skb, q->ip + 10, diff, &sum))
			return -1;
	}
	if (c25_quote_l4(skb, q, diff, &sum))
		return -1;
	return bpf_l4_csum_replace(skb, p->l4 + 2, 0, c25_fold32(sum), 0);
}

#endif
