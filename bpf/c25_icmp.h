/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_icmp: turns a packet into the ICMP error about it (RFC 792, 1812, 4443).
 */
#ifndef C25_ICMP_H
#define C25_ICMP_H

#include "c25_count.h"
#include "c25_nat.h"
#include "c25_tunnel.h"

/* As much of the packet as keeps the error within 576 (RFC 1812) or 1280 bytes (RFC 4443). */
#define C25_QUOTE4    548
#define C25_QUOTE6    1232
#define C25_SUM_CHUNK 512

struct c25_icmp {
	__u32 mtu; /* "too big" only */
	__u32 reason;
	__u32 peer; /* connector: whom it goes to */
	__u8 type;
	__u8 code;
	__u16 pad;
	__u32 sum; /* of c25_icmp_make(): over what is quoted */
};

struct c25_icmp4_hdr {
	struct iphdr ip;
	struct icmphdr icmp;
};

struct c25_icmp6_hdr {
	struct ipv6hdr ip;
	struct icmp6hdr icmp;
};

/* Errors about errors, about what is no first fragment, and beyond the rate are not sent. */
static __always_inline int c25_icmp_wanted(const struct c25_pkt *p)
{
	if (p->frag == C25_FRAG_LATER)
		return 0;
	if (p->t.proto == IPPROTO_ICMP && p->type != ICMP_ECHO && p->type != ICMP_ECHOREPLY)
		return 0;
	if (p->t.proto == IPPROTO_ICMPV6 && p->type < ICMPV6_ECHO)
		return 0;
	if (p->v6 ? p->t.src.b[0] == 0xff : p->t.src.b[12] >= 224 || !p->t.src.b[12])
		return 0;
	return c25_allowed(C25_LIMIT_ICMP, C25_ICMP_PER_SECOND);
}

/* Adds the words from `at`, a constant, up to `words` or the chunk's end. */
static __always_inline __u32 c25_sum_chunk(struct __sk_buff *skb, __u32 off, const __u32 at,
					   __u32 words, struct c25_scratch *s, __u32 sum)
{
	__u32 n;

	if (words <= at)
		return sum;
	n = words - at;
	if (n > C25_SUM_CHUNK)
		n = C25_SUM_CHUNK;
	n = c25_length(n, C25_SUM_CHUNK - 1);
	if (bpf_skb_load_bytes(skb, off + at, s->b, n))
		return sum;
	return bpf_csum_diff(NULL, 0, (__be32 *)s->b, n & ~3U, sum);
}

/* Ones' complement sum of `len` bytes from `off`: whole words, then what is left. */
static __always_inline __u32 c25_sum(struct __sk_buff *skb, __u32 off, __u32 len)
{
	__u32 zero = 0, sum = 0, word = 0, words = len & ~3U, rest = len & 3;
	struct c25_scratch *s = bpf_map_lookup_elem(&c25_scratch, &zero);

	if (!s)
		return 0;
	/* No loop: without CAP_PERFMON the verifier follows it further than it may run. */
	sum = c25_sum_chunk(skb, off, 0, words, s, sum);
	sum = c25_sum_chunk(skb, off, C25_SUM_CHUNK, words, s, sum);
	sum = c25_sum_chunk(skb, off, 2 * C25_SUM_CHUNK, words, s, sum);
	if (rest && !bpf_skb_load_bytes(skb, off + words, &word, c25_length(rest, 3)))
		sum = bpf_csum_diff(NULL, 0, &word, sizeof(word), sum);
	return sum;
}

static __noinline long c25_icmp_write4(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
				       const struct c25_icmp *e, const struct c25_addr *src)
{
	struct c25_icmp4_hdr h = { 0 };
	__u32 quoted = skb->len - l2 - sizeof(h), sum = e->sum;

	h.ip.version = 4;
	h.ip.ihl = 5;
	h.ip.tos = 0xc0;
	h.ip.tot_len = bpf_htons(sizeof(h) + quoted);
	h.ip.ttl = 64;
	h.ip.protocol = IPPROTO_ICMP;
	h.ip.saddr = c25_addr_w(src, 3);
	h.ip.daddr = c25_addr_w(&p->t.src, 3);
	h.ip.check = ~c25_fold16(bpf_csum_diff(NULL, 0, (__be32 *)&h.ip, sizeof(h.ip), 0));
	h.icmp.type = e->type;
	h.icmp.code = e->code;
	h.icmp.un.frag.mtu = bpf_htons(e->mtu);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&h.icmp, sizeof(h.icmp), sum);
	h.icmp.checksum = ~c25_fold16(sum);
	return bpf_skb_store_bytes(skb, l2, &h, sizeof(h), 0);
}

static __noinline long c25_icmp_write6(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
				       const struct c25_icmp *e, const struct c25_addr *src)
{
	struct c25_icmp6_hdr h = { 0 };
	__u32 quoted = skb->len - l2 - sizeof(h), sum = e->sum;
	__be32 pseudo[2] = { bpf_htonl(sizeof(h.icmp) + quoted), bpf_htonl(IPPROTO_ICMPV6) };

	h.ip.version = 6;
	h.ip.payload_len = bpf_htons(sizeof(h.icmp) + quoted);
	h.ip.nexthdr = IPPROTO_ICMPV6;
	h.ip.hop_limit = 64;
	c25_write_addr6(&h.ip.saddr, src);
	c25_write_addr6(&h.ip.daddr, &p->t.src);
	h.icmp.icmp6_type = e->type;
	h.icmp.icmp6_code = e->code;
	h.icmp.icmp6_dataun.un_data32[0] = bpf_htonl(e->mtu);
	sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), sum);
	/* Addresses and the ICMP header lie together. */
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&h.ip.saddr, sizeof(h) - 8, sum);
	h.icmp.icmp6_cksum = ~c25_fold16(sum);
	return bpf_skb_store_bytes(skb, l2, &h, sizeof(h), 0);
}

/* Whether a device is to fill in the L4 checksum: the helper then leaves it alone. */
static __noinline int c25_is_partial(struct __sk_buff *skb, const struct c25_pkt *p)
{
	int off = p->frag == C25_FRAG_LATER ? -1 : c25_csum_off(p->t.proto);
	__u16 was, now;

	if (off < 0 || bpf_skb_load_bytes(skb, p->l4 + off, &was, 2) ||
	    bpf_l4_csum_replace(skb, p->l4 + off, 0, bpf_htons(1), 2) ||
	    bpf_skb_load_bytes(skb, p->l4 + off, &now, 2))
		return 0;
	if (now != was)
		bpf_skb_store_bytes(skb, p->l4 + off, &was, 2, 0);
	return now == was;
}

/*
 * Sum over what an error quotes. Where a device fills in the quoted checksum, whose place now
 * holds the pseudo header's sum, all from the L4 header on will sum up to that sum's complement.
 */
static __noinline __u32 c25_quote_total(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
					__u32 quoted, int partial)
{
	__u16 field = 0;

	if (!partial)
		return c25_sum(skb, l2, quoted);
	bpf_skb_load_bytes(skb, p->l4 + c25_csum_off(p->t.proto), &field, 2);
	field = ~field;
	return c25_fold16((__u64)c25_sum(skb, l2, p->l4 - l2) + field);
}

/* The packet becomes the error; link addresses and the way out are the caller's. */
__noinline long c25_icmp_make(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
			      struct c25_icmp *e, const struct c25_addr *src)
{
	__u32 quoted = skb->len - l2, most;
	int partial;

	if (!p || !e || !src)
		return -1;
	partial = c25_is_partial(skb, p);
	most = p->v6 ? C25_QUOTE6 : C25_QUOTE4;
	if (quoted > most)
		quoted = most;
	/* Also undoes GSO. */
	if (bpf_skb_change_tail(skb, l2 + quoted, 0))
		return -1;
	e->sum = c25_quote_total(skb, l2, p, quoted, partial);
	if (bpf_skb_adjust_room(skb,
				p->v6 ? sizeof(struct c25_icmp6_hdr) : sizeof(struct c25_icmp4_hdr),
				BPF_ADJ_ROOM_MAC, 0))
		return -1;
	return p->v6 ? c25_icmp_write6(skb, l2, p, e, src) : c25_icmp_write4(skb, l2, p, e, src);
}

/* Administratively prohibited: says that a mapping is not known here. */
static __always_inline void c25_icmp_filtered(struct c25_icmp *e, __u8 v6)
{
	e->type = v6 ? ICMPV6_DEST_UNREACH : ICMP_DEST_UNREACH;
	e->code = v6 ? ICMPV6_ADM_PROHIB : ICMP_PKT_FILTERED;
}

static __always_inline void c25_icmp_unreachable(struct c25_icmp *e, __u8 v6)
{
	e->type = v6 ? ICMPV6_DEST_UNREACH : ICMP_DEST_UNREACH;
	e->code = v6 ? ICMPV6_ADDR_UNREACH : ICMP_HOST_UNREACH;
}

static __always_inline void c25_icmp_too_big(struct c25_icmp *e, __u8 v6, __u32 mtu)
{
	e->type = v6 ? ICMPV6_PKT_TOOBIG : ICMP_DEST_UNREACH;
	e->code = v6 ? 0 : ICMP_FRAG_NEEDED;
	e->mtu = mtu;
}

static __always_inline void c25_icmp_expired(struct c25_icmp *e, __u8 v6)
{
	e->type = v6 ? ICMPV6_TIME_EXCEED : ICMP_TIME_EXCEEDED;
}

/* Connector: refuses a peer's packet, back through the tunnel, from the own overlay address. */
__noinline int c25_refuse_peer(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
			       const struct c25_overlay *o, struct c25_icmp *e)
{
	const struct c25_addr *src;
	long verdict;

	if (!p || !o || !e)
		return TC_ACT_SHOT;
	src = c25_pick(p->v6, &o->addr4, &o->addr6);
	c25_count(skb, l2, e->reason);
	c25_tell(C25_EVENT_DROP, e->reason, &p->t, e->peer);
	if (c25_addr_none(src) || !c25_icmp_wanted(p) || c25_icmp_make(skb, l2, p, e, src))
		return TC_ACT_SHOT;
	verdict = c25_to_peer_far(skb, l2, o, e->peer, p->v6);
	return verdict < 0 ? TC_ACT_SHOT : verdict;
}

/* Connector: tells the sender of a packet from the uplink that it went too far, or how much the
 * overlay carries: from the address it sent to, as the packet goes no further. */
__noinline int c25_refuse_uplink(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
				 __u32 reason, __u32 mtu)
{
	struct c25_icmp e = { 0 };
	struct ethhdr was = { 0 };

	if (!p)
		return TC_ACT_SHOT;
	c25_count(skb, l2, reason);
	c25_tell(C25_EVENT_DROP, reason, &p->t, 0);
	if (!c25_icmp_wanted(p) || (l2 && bpf_skb_load_bytes(skb, 0, &was, sizeof(was))))
		return TC_ACT_SHOT;
	if (reason == C25_REASON_TOO_BIG)
		c25_icmp_too_big(&e, p->v6, mtu);
	else
		c25_icmp_expired(&e, p->v6);
	if (c25_icmp_make(skb, l2, p, &e, &p->t.dst))
		return TC_ACT_SHOT;
	if (l2 && c25_set_macs(skb, was.h_dest, was.h_source))
		return TC_ACT_SHOT;
	return bpf_redirect(skb->ifindex, 0);
}

#endif
