/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_parse: a packet's headers as one tuple, IPv4 and IPv6 alike. Reads only.
 */
#ifndef C25_PARSE_H
#define C25_PARSE_H

#include <bpf/bpf_endian.h>

#include "c25_maps.h"

#define ETH_HLEN   14
#define ETH_P_IP   0x0800
#define ETH_P_IPV6 0x86DD

#define IP_DF     0x4000
#define IP_MF     0x2000
#define IP_OFFSET 0x1fff

/* Not enumerators in the kernel. */
#define IPPROTO_HOPOPTS  0
#define IPPROTO_ROUTING  43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_ICMPV6   58
#define IPPROTO_DSTOPTS  60

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

#define ICMP_ECHOREPLY      0
#define ICMP_DEST_UNREACH   3
#define ICMP_HOST_UNREACH   1
#define ICMP_FRAG_NEEDED    4
#define ICMP_ECHO           8
#define ICMP_TIME_EXCEEDED  11
#define ICMP_PKT_FILTERED   13
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_ADM_PROHIB   1
#define ICMPV6_ADDR_UNREACH 3
#define ICMPV6_PKT_TOOBIG   2
#define ICMPV6_TIME_EXCEED  3
#define ICMPV6_ECHO         128
#define ICMPV6_ECHOREPLY    129

/* Longest chain of IPv6 extension headers that is followed. */
#define C25_MAX_EXT 6
/* Upper end of an L4 offset, as a mask: tells the verifier the bound the parser keeps. */
#define C25_L4_MASK 0x3fff

typedef __u64 __attribute__((may_alias)) c25_u64;
typedef __u32 __attribute__((may_alias)) c25_u32;
typedef __u16 __attribute__((may_alias)) c25_u16;

enum c25_frag {
	C25_FRAG_NONE,
	C25_FRAG_FIRST,
	C25_FRAG_LATER,
};

struct c25_pkt {
	struct c25_tuple t __attribute__((aligned(8))); /* addresses only after c25_load_addrs() */
	__u32 l4;                                       /* offset of the L4 header */
	__u8 v6;
	__u8 frag; /* enum c25_frag; a LATER one has neither ports nor type */
	__u8 ttl;
	__u8 whole; /* may not be fragmented on the way */
	__u8 tcp;   /* flags */
	__u8 type;  /* ICMP */
	__u8 code;
};

enum c25_parsed {
	C25_PARSED,
	C25_PARSED_OTHER, /* not IP */
	C25_PARSED_BAD,
};

/* Inline assembly, or clang makes a scalar of the packet pointer. */
static __always_inline void *c25_data(struct __sk_buff *skb)
{
	void *p;

	asm volatile("%[p] = *(u32 *)(%[skb] + %[off])"
		     : [p] "=r"(p)
		     : [skb] "r"(skb), [off] "i"(__builtin_offsetof(struct __sk_buff, data)));
	return p;
}

static __always_inline void *c25_data_end(struct __sk_buff *skb)
{
	void *p;

	asm volatile("%[p] = *(u32 *)(%[skb] + %[off])"
		     : [p] "=r"(p)
		     : [skb] "r"(skb), [off] "i"(__builtin_offsetof(struct __sk_buff, data_end)));
	return p;
}

/* A length from 1 to `mask` + 1, in a form that every verifier believes: one before 6.8 learns
 * nothing from a comparison with zero. */
static __always_inline __u32 c25_length(__u32 n, const __u32 mask)
{
	n--;
	asm volatile("" : "+r"(n));
	n &= mask;
	asm volatile("" : "+r"(n));
	return n + 1;
}

/* By the struct's own address: through a field's, clang would load byte by byte. */
static __always_inline c25_u32 *c25_words32(const void *a)
{
	return (c25_u32 *)a;
}

static __always_inline c25_u64 *c25_words64(const void *a)
{
	return (c25_u64 *)a;
}

/* Both aligned to 8, as every tuple here is. */
static __always_inline void c25_tuple_copy(struct c25_tuple *to, const struct c25_tuple *from)
{
	for (int i = 0; i < 5; i++)
		c25_words64(to)[i] = c25_words64(from)[i];
}

/* Both ports as they stand in a packet. */
static __always_inline __u32 c25_tuple_ports(const struct c25_tuple *t)
{
	return c25_words32(t)[8];
}

static __always_inline __u32 c25_addr_w(const struct c25_addr *a, int i)
{
	return c25_words32(a)[i];
}

static __always_inline void c25_addr_copy(struct c25_addr *to, const struct c25_addr *from)
{
	c25_words64(to)[0] = c25_words64(from)[0];
	c25_words64(to)[1] = c25_words64(from)[1];
}

static __always_inline void c25_addr_set4(struct c25_addr *to, __be32 a)
{
	c25_words64(to)[0] = 0;
	c25_words32(to)[2] = bpf_htonl(0xffff);
	c25_words32(to)[3] = a;
}

/* Four-byte loads: in a packet an address is aligned to no more. */
static __always_inline void c25_addr_set6(struct c25_addr *to, const struct in6_addr *from)
{
	const c25_u32 *w = (const void *)from;

	c25_words32(to)[0] = w[0];
	c25_words32(to)[1] = w[1];
	c25_words32(to)[2] = w[2];
	c25_words32(to)[3] = w[3];
}

static __always_inline int c25_addr_eq(const struct c25_addr *a, const struct c25_addr *b)
{
	return c25_words64(a)[0] == c25_words64(b)[0] && c25_words64(a)[1] == c25_words64(b)[1];
}

static __always_inline int c25_addr_none(const struct c25_addr *a)
{
	return !(c25_words64(a)[0] | c25_words64(a)[1]);
}

static __always_inline int c25_addr_is4(const struct c25_addr *a)
{
	return !c25_words64(a)[0] && c25_addr_w(a, 2) == bpf_htonl(0xffff);
}

/* The one or the other. Without CAP_PERFMON the verifier allows no offset that depends on `v6`. */
static __always_inline const struct c25_addr *c25_pick(int v6, const struct c25_addr *four,
						       const struct c25_addr *six)
{
	const struct c25_addr *a = four;

	if (v6) {
		a = six;
		asm volatile("" : "+r"(a));
	}
	return a;
}

/* Eight bytes each: the verifier forgets what it need not know of no smaller field. */
struct c25_ext_walk {
	struct __sk_buff *skb;
	__u64 off;
	__u64 proto;
	__u64 frag; /* and C25_EXT_DONE at the L4 header */
};

#define C25_EXT_DONE 0x100

static __always_inline int c25_is_ext(__u64 proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_FRAGMENT ||
	       proto == IPPROTO_DSTOPTS;
}

static long c25_ext_next(__u32 i, struct c25_ext_walk *w)
{
	__u64 proto = w->proto;
	__u8 h[4];

	if (!c25_is_ext(proto)) {
		w->frag |= C25_EXT_DONE;
		return 1;
	}
	if (bpf_skb_load_bytes(w->skb, w->off, h, sizeof(h)))
		return 1;
	w->proto = h[0];
	if (proto == IPPROTO_FRAGMENT) {
		__u16 field = (__u16)h[2] << 8 | h[3];

		if (field & 0xfff8) {
			w->frag = C25_FRAG_LATER | C25_EXT_DONE;
			return 1;
		}
		if (field & 1)
			w->frag = C25_FRAG_FIRST;
		w->off += 8;
	} else {
		w->off += (h[1] + 1) * 8;
	}
	return 0;
}

/*
 * Walks IPv6 extension headers from `off`. An authentication header counts as a protocol: what
 * stands behind it cannot be translated. Returns the L4 offset in the low 16 bits, then the
 * protocol and enum c25_frag; 0 where the chain is cut short or too long.
 */
__noinline __u32 c25_walk_ext(struct __sk_buff *skb, __u32 off, __u32 proto)
{
	struct c25_ext_walk w = { .skb = skb, .off = off, .proto = proto };

	bpf_loop(C25_MAX_EXT, c25_ext_next, &w, 0);
	if (!(w.frag & C25_EXT_DONE))
		return 0;
	return (w.off & C25_L4_MASK) | w.proto << 16 | (w.frag & 0xff) << 24;
}

/* By the helper: without CAP_PERFMON the verifier allows no variable offset into a packet. */
static __always_inline int c25_parse_l4(struct __sk_buff *skb, struct c25_pkt *p)
{
	__u8 h[16] __attribute__((aligned(8)));

	switch (p->t.proto) {
	case IPPROTO_TCP:
		if (bpf_skb_load_bytes(skb, p->l4, h, 14))
			return C25_PARSED_BAD;
		*(c25_u32 *)&p->t.sport = *(c25_u32 *)h;
		p->tcp = h[13];
		return C25_PARSED;
	case IPPROTO_UDP:
		if (bpf_skb_load_bytes(skb, p->l4, h, 8))
			return C25_PARSED_BAD;
		*(c25_u32 *)&p->t.sport = *(c25_u32 *)h;
		return C25_PARSED;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (bpf_skb_load_bytes(skb, p->l4, h, 8))
			return C25_PARSED_BAD;
		p->type = h[0];
		p->code = h[1];
		if (p->v6 ? (p->type == ICMPV6_ECHO || p->type == ICMPV6_ECHOREPLY) :
			    (p->type == ICMP_ECHO || p->type == ICMP_ECHOREPLY))
			p->t.sport = *(c25_u16 *)(h + 4);
		return C25_PARSED;
	default:
		return C25_PARSED;
	}
}

/* TCP and UDP right behind an IP header, in place. Non-zero: read. */
static __always_inline int c25_parse_near(struct __sk_buff *skb, const void *l4, struct c25_pkt *p)
{
	if (p->frag || (p->t.proto != IPPROTO_TCP && p->t.proto != IPPROTO_UDP) ||
	    l4 + 14 > c25_data_end(skb))
		return 0;
	*(c25_u32 *)&p->t.sport = *(const c25_u32 *)l4;
	if (p->t.proto == IPPROTO_TCP)
		p->tcp = ((const __u8 *)l4)[13];
	return 1;
}

/* Makes `len` bytes, a constant, of the packet readable in place; the bounds are checked anew. */
static __always_inline void c25_pull(struct __sk_buff *skb, const __u32 len)
{
	if (c25_data(skb) + len > c25_data_end(skb))
		bpf_skb_pull_data(skb, len);
}

/* Everything but the addresses; `l2` is the length of the link header, a constant. */
static __always_inline int c25_parse(struct __sk_buff *skb, const __u32 l2, struct c25_pkt *p)
{
	__builtin_memset(p, 0, sizeof(*p));
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip;
		__u16 off;

		c25_pull(skb, l2 + sizeof(*ip));
		ip = c25_data(skb) + l2;
		if ((void *)(ip + 1) > c25_data_end(skb) || ip->version != 4 || ip->ihl < 5)
			return C25_PARSED_BAD;
		p->l4 = l2 + ip->ihl * 4;
		p->t.proto = ip->protocol;
		p->ttl = ip->ttl;
		off = bpf_ntohs(ip->frag_off);
		p->whole = !!(off & IP_DF);
		if (off & (IP_MF | IP_OFFSET))
			p->frag = off & IP_OFFSET ? C25_FRAG_LATER : C25_FRAG_FIRST;
		if (p->t.proto == IPPROTO_ICMPV6)
			return C25_PARSED_BAD;
		if (ip->ihl == 5 && c25_parse_near(skb, ip + 1, p))
			return C25_PARSED;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip;

		c25_pull(skb, l2 + sizeof(*ip));
		ip = c25_data(skb) + l2;
		if ((void *)(ip + 1) > c25_data_end(skb) || ip->version != 6)
			return C25_PARSED_BAD;
		p->v6 = 1;
		p->whole = 1;
		p->l4 = l2 + sizeof(*ip);
		p->t.proto = ip->nexthdr;
		p->ttl = ip->hop_limit;
		if (c25_parse_near(skb, ip + 1, p))
			return C25_PARSED;
		if (p->t.proto != IPPROTO_TCP && p->t.proto != IPPROTO_UDP &&
		    p->t.proto != IPPROTO_ICMPV6) {
			__u32 r = c25_walk_ext(skb, p->l4, p->t.proto);

			if (!r)
				return C25_PARSED_BAD;
			p->l4 = r & C25_L4_MASK;
			p->t.proto = r >> 16;
			p->frag = r >> 24;
		}
		if (p->t.proto == IPPROTO_ICMP)
			return C25_PARSED_BAD;
	} else {
		return C25_PARSED_OTHER;
	}
	return p->frag == C25_FRAG_LATER ? C25_PARSED : c25_parse_l4(skb, p);
}

static __always_inline int c25_load_addrs(struct __sk_buff *skb, const __u32 l2, struct c25_pkt *p)
{
	void *data = c25_data(skb), *end = c25_data_end(skb);

	if (p->v6) {
		struct ipv6hdr *ip = data + l2;

		if ((void *)(ip + 1) > end)
			return -1;
		c25_addr_set6(&p->t.src, &ip->saddr);
		c25_addr_set6(&p->t.dst, &ip->daddr);
	} else {
		struct iphdr *ip = data + l2;

		if ((void *)(ip + 1) > end)
			return -1;
		c25_addr_set4(&p->t.src, ip->saddr);
		c25_addr_set4(&p->t.dst, ip->daddr);
	}
	return 0;
}

static __always_inline struct c25_net *c25_net_of(const struct c25_addr *a)
{
	struct c25_net_key k = { .prefixlen = 128 };

	for (int i = 0; i < 4; i++)
		c25_words32(&k.addr)[i] = c25_addr_w(a, i);
	return bpf_map_lookup_elem(&c25_nets, &k);
}

/* A copy, whose kind is 0 where there is none: a pointer may be compared with NULL but once, as
 * verifiers before 6.17 without CAP_PERFMON go on as if the second comparison came out wrong. */
static __always_inline struct c25_net c25_net_at(const struct c25_addr *a)
{
	struct c25_net *found = c25_net_of(a), net = { 0 };

	if (found) {
		net.kind = found->kind;
		net.peer = found->peer;
	}
	return net;
}

static __always_inline struct c25_peer *c25_peer_of(__u32 index)
{
	struct c25_peer *peer = bpf_map_lookup_elem(&c25_peers, &index);

	return peer && peer->flags & C25_PEER_USED ? peer : NULL;
}

static __always_inline struct c25_overlay *c25_overlay_dev(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&c25_overlay, &zero);
}

static __always_inline struct c25_tick *c25_clock(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&c25_tick, &zero);
}

#endif
