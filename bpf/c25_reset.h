/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_reset: turns a TCP segment into the reset that answers it (RFC 9293, 3.10.7.1).
 */
#ifndef C25_RESET_H
#define C25_RESET_H

#include "c25_icmp.h"
#include "c25_mss.h"

struct c25_rst {
	__be16 sport;
	__be16 dport;
	__be32 seq;
	__be32 ack;
	__u8 off;
	__u8 flags;
	__be16 window;
	__sum16 check;
	__be16 urgent;
};

struct c25_rst4 {
	struct iphdr ip;
	struct c25_rst tcp;
};

struct c25_rst6 {
	struct ipv6hdr ip;
	struct c25_rst tcp;
};

/* Where a device is to fill in the checksum, the pseudo header's sum stands there. */
static __always_inline __u16 c25_reset_sum(const struct c25_rst *h, __u32 pseudo, int partial)
{
	if (partial)
		return c25_fold16(pseudo);
	return ~c25_fold16(bpf_csum_diff(NULL, 0, (__be32 *)h, sizeof(*h), pseudo));
}

static __noinline long c25_reset_write4(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
					const struct c25_rst *tcp, int partial)
{
	__be32 rest = bpf_htonl(IPPROTO_TCP << 16 | sizeof(*tcp));
	struct c25_rst4 h = { .tcp = *tcp };
	__u32 sum;

	h.ip.version = 4;
	h.ip.ihl = 5;
	h.ip.tot_len = bpf_htons(sizeof(h));
	h.ip.frag_off = bpf_htons(IP_DF);
	h.ip.ttl = 64;
	h.ip.protocol = IPPROTO_TCP;
	h.ip.saddr = c25_addr_w(&p->t.dst, 3);
	h.ip.daddr = c25_addr_w(&p->t.src, 3);
	h.ip.check = ~c25_fold16(bpf_csum_diff(NULL, 0, (__be32 *)&h.ip, sizeof(h.ip), 0));
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&h.ip.saddr, 8, 0);
	sum = bpf_csum_diff(NULL, 0, &rest, sizeof(rest), sum);
	h.tcp.check = c25_reset_sum(&h.tcp, sum, partial);
	return bpf_skb_store_bytes(skb, l2, &h, sizeof(h), 0);
}

static __noinline long c25_reset_write6(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
					const struct c25_rst *tcp, int partial)
{
	__be32 rest[2] = { bpf_htonl(sizeof(*tcp)), bpf_htonl(IPPROTO_TCP) };
	struct c25_rst6 h = { .tcp = *tcp };
	__u32 sum;

	h.ip.version = 6;
	h.ip.payload_len = bpf_htons(sizeof(h.tcp));
	h.ip.nexthdr = IPPROTO_TCP;
	h.ip.hop_limit = 64;
	c25_write_addr6(&h.ip.saddr, &p->t.dst);
	c25_write_addr6(&h.ip.daddr, &p->t.src);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&h.ip.saddr, 32, 0);
	sum = bpf_csum_diff(NULL, 0, rest, sizeof(rest), sum);
	h.tcp.check = c25_reset_sum(&h.tcp, sum, partial);
	return bpf_skb_store_bytes(skb, l2, &h, sizeof(h), 0);
}

/* Sequence numbers that a segment takes: by the IP header, since frames may be padded. */
static __always_inline __u32 c25_segment_len(struct __sk_buff *skb, __u32 l2,
					     const struct c25_pkt *p, const struct c25_rst *h)
{
	__u32 len = skb->len - l2, headers = p->l4 - l2 + (h->off >> 4) * 4;
	__u16 field = 0;

	bpf_skb_load_bytes(skb, l2 + (p->v6 ? 4 : 2), &field, 2);
	/* 0 in packets of more than 64 KB */
	if (field && !skb->gso_size)
		len = bpf_ntohs(field) + (p->v6 ? sizeof(struct ipv6hdr) : 0);
	len = len > headers ? len - headers : 0;
	return len + !!(h->flags & TCP_SYN) + !!(h->flags & TCP_FIN);
}

/* Link addresses and the way out are the caller's. Non-zero: there is no reset to this packet. */
__noinline long c25_reset_make(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p)
{
	__u32 ip_len, next;
	struct c25_rst h;
	int partial;

	if (!p)
		return -1;
	ip_len = p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	if (p->t.proto != IPPROTO_TCP || p->tcp & TCP_RST || p->frag || p->l4 < l2 + ip_len ||
	    bpf_skb_load_bytes(skb, p->l4, &h, sizeof(h)))
		return -1;
	next = bpf_htonl(bpf_ntohl(h.seq) + c25_segment_len(skb, l2, p, &h));
	c25_words32(&h)[0] = c25_ports(h.dport, h.sport);
	h.seq = h.flags & TCP_ACK ? h.ack : 0;
	h.ack = h.flags & TCP_ACK ? 0 : next;
	h.flags = h.flags & TCP_ACK ? TCP_RST : TCP_RST | TCP_ACK;
	h.off = sizeof(h) / 4 << 4;
	h.window = h.check = h.urgent = 0;
	partial = c25_is_partial(skb, p);
	/* Also undoes GSO. */
	if (bpf_skb_change_tail(skb, p->l4 + sizeof(h), 0))
		return -1;
	/* Options and extension headers go; what is behind them stays in its place, which a device
	 * that is to fill in the checksum knows by. */
	if (p->l4 > l2 + ip_len &&
	    bpf_skb_adjust_room(skb, (int)(l2 + ip_len) - (int)p->l4, BPF_ADJ_ROOM_NET, 0))
		return -1;
	return p->v6 ? c25_reset_write6(skb, l2, p, &h, partial) :
		       c25_reset_write4(skb, l2, p, &h, partial);
}

/* Connector: ends a peer's connection that has no flow. */
__noinline int c25_reset_peer(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p, __u32 peer,
			      __u32 reason)
{
	struct c25_overlay *o = c25_overlay_dev();
	long verdict;

	if (!p)
		return TC_ACT_SHOT;
	c25_count(skb, l2, reason);
	c25_tell(C25_EVENT_DROP, reason, &p->t, peer);
	if (!o || !c25_allowed(C25_LIMIT_ICMP, C25_ICMP_PER_SECOND) || c25_reset_make(skb, l2, p))
		return TC_ACT_SHOT;
	verdict = c25_to_peer_far(skb, l2, o, peer, p->v6);
	return verdict < 0 ? TC_ACT_SHOT : verdict;
}

#endif
