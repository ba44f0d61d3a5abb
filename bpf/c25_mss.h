/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_mss: what a TCP segment may be long: the MSS of SYNs, the segments of GSO packets.
 */
#ifndef C25_MSS_H
#define C25_MSS_H

#include "c25_parse.h"

#define C25_TCPOPT_EOL 0
#define C25_TCPOPT_NOP 1
#define C25_TCPOPT_MSS 2

#define C25_TCP_HLEN    20
#define C25_TCP_OPTIONS 40

/* The GSO size of packets whose segments are of their own lengths. */
#define C25_GSO_BY_FRAGS 0xffff

struct c25_mss_walk {
	struct __sk_buff *skb;
	__u32 l4;
	__u32 off; /* of the next option, from l4 */
	__u32 len; /* of the TCP header */
	__u32 mss;
	long err;
};

/* Lowers the MSS that stands in `h`, an option at `off` behind `l4`. */
static __always_inline long c25_mss_lower(struct __sk_buff *skb, __u32 l4, __u32 off, const void *h,
					  __u32 mss)
{
	__u16 old = *(c25_u16 *)(h + 2), new = bpf_htons(mss);

	if (bpf_ntohs(old) <= mss)
		return 0;
	if (bpf_skb_store_bytes(skb, l4 + off + 2, &new, 2, 0))
		return -1;
	if (off & 1) {
		old = __builtin_bswap16(old);
		new = __builtin_bswap16(new);
	}
	return bpf_l4_csum_replace(skb, l4 + 16, old, new, 2);
}

/* One option. Non-zero: the last one to look at. */
static long c25_mss_option(__u32 i, struct c25_mss_walk *w)
{
	__u8 h[4] __attribute__((aligned(4)));

	if (w->off + 4 > w->len || bpf_skb_load_bytes(w->skb, w->l4 + w->off, h, 4))
		return 1;
	if (h[0] == C25_TCPOPT_NOP) {
		w->off++;
		return 0;
	}
	if (h[0] == C25_TCPOPT_EOL || h[1] < 2)
		return 1;
	if (h[0] != C25_TCPOPT_MSS || h[1] != 4) {
		w->off += h[1];
		return 0;
	}
	w->err = c25_mss_lower(w->skb, w->l4, w->off, h, w->mss);
	return 1;
}

/* Lowers the MSS of a SYN to `mss`. A SYN without the option is left alone (RFC 9293: 536). */
__noinline long c25_clamp_mss(struct __sk_buff *skb, __u32 l4, __u32 mss)
{
	struct c25_mss_walk w = { .skb = skb, .l4 = l4, .off = C25_TCP_HLEN, .mss = mss };
	__u8 h[12] __attribute__((aligned(4)));

	/* From the length on. Most stacks put the MSS first. */
	if (!bpf_skb_load_bytes(skb, l4 + 12, h, sizeof(h)) && h[0] >> 4 > C25_TCP_HLEN / 4 &&
	    h[8] == C25_TCPOPT_MSS && h[9] == 4)
		return c25_mss_lower(skb, l4, C25_TCP_HLEN, h + 8, mss);
	if (bpf_skb_load_bytes(skb, l4 + 12, h, 1))
		return -1;
	w.len = (h[0] >> 4) * 4;
	bpf_loop(C25_TCP_OPTIONS, c25_mss_option, &w, 0);
	return w.err;
}

static __always_inline int c25_is_syn(const struct c25_pkt *p)
{
	return p->t.proto == IPPROTO_TCP && p->tcp & TCP_SYN && p->frag != C25_FRAG_LATER;
}

/* For links that carry IP packets of `mtu`. Non-zero: cut short. */
static __always_inline long c25_clamp_syn(struct __sk_buff *skb, const struct c25_pkt *p, __u32 mtu)
{
	const __u32 headers = p->v6 ? 60 : 40;

	if (!c25_is_syn(p) || mtu <= headers)
		return 0;
	return c25_clamp_mss(skb, p->l4, mtu - headers);
}

static __noinline __u32 c25_gso_len(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p)
{
	__u32 len = p->l4 - l2 + skb->gso_size;
	__u8 words;

	if (skb->gso_size == C25_GSO_BY_FRAGS)
		return 0;
	if (p->t.proto != IPPROTO_TCP)
		return len + sizeof(struct udphdr);
	if (bpf_skb_load_bytes(skb, p->l4 + 12, &words, 1))
		return 0;
	return len + (words >> 4) * 4;
}

/* Length of the longest IP packet that leaves: that of a GSO packet's segments. 0: unknown. */
static __always_inline __u32 c25_wire_len(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p)
{
	return skb->gso_size ? c25_gso_len(skb, l2, p) : skb->len - l2;
}

#endif
