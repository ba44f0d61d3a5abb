/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_dns: DNS taken at the pods' devices. A question for a configured name is given to the
 * daemon's socket, with a mark that routes it there; any other goes on as it came. TCP to port 53
 * is given to the daemon as a whole, since a SYN says no name.
 *
 * The daemon's sockets leave c25_socks when it dies: no socket, no daemon.
 */
#ifndef C25_DNS_H
#define C25_DNS_H

#include "c25_dns_answer.h"
#include "c25_reset.h"

#define TC_ACT_OK        0
#define PACKET_OTHERHOST 3
#define DNS_PORT         53

static __always_inline int c25_dns_wanted(const struct c25_addr *dst)
{
	struct c25_net_key k = { .prefixlen = 128 };
	__u32 *to;

	for (int i = 0; i < 4; i++)
		c25_words32(&k.addr)[i] = c25_addr_w(dst, i);
	to = bpf_map_lookup_elem(&c25_dns_to, &k);
	return to && *to == C25_DNS_TO_TAKE;
}

static __always_inline int c25_is_marked(const struct __sk_buff *skb)
{
	return (skb->mark & C25_MARK_MASK) == C25_MARK;
}

static __always_inline __u32 c25_port_flags(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct c25_dns_port *port = bpf_map_lookup_elem(&c25_dns_ports, &ifindex);

	return port ? port->flags : 0;
}

static __always_inline int c25_is_for_bridge(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct c25_dns_port *port = bpf_map_lookup_elem(&c25_dns_ports, &ifindex);
	__u16 to[3];

	return port && !bpf_skb_load_bytes(skb, 0, to, sizeof(to)) &&
	       !((to[0] ^ ((c25_u16 *)port->mac)[0]) | (to[1] ^ ((c25_u16 *)port->mac)[1]) |
		 (to[2] ^ ((c25_u16 *)port->mac)[2]));
}

/* Whether a question that is seen here may be taken here. What a device overhears, as one does
 * that is looked at, goes on to whom it is for; at a bridge's port that is no matter. */
static __always_inline int c25_dns_here(struct __sk_buff *skb, __u32 flags)
{
	if (flags & C25_PORT_MARKED && !c25_is_marked(skb))
		return 0;
	if (!(flags & C25_PORT_BRIDGED))
		return skb->pkt_type != PACKET_OTHERHOST;
	return !(flags & C25_PORT_UPWARDS) || c25_is_for_bridge(skb);
}

/* From a bridge's port up to the bridge itself, whose MAC address it may not have. */
static __always_inline long c25_dns_up(struct __sk_buff *skb, const __u32 l2)
{
	__u32 ifindex = skb->ifindex;
	struct c25_dns_port *port = bpf_map_lookup_elem(&c25_dns_ports, &ifindex);

	return !port || !l2 || bpf_skb_store_bytes(skb, 0, port->mac, sizeof(port->mac), 0);
}

/* Ends the chain of programs: none behind us is to send it elsewhere. Counted where it was found. */
static __always_inline int c25_dns_given(struct __sk_buff *skb, const __u32 l2, __u32 reason)
{
	if (!c25_is_marked(skb))
		c25_count(skb, l2, reason);
	skb->mark = (skb->mark & ~C25_MARK_MASK) | C25_MARK;
	return TC_ACT_OK;
}

/* The length of header and question where the datagram asks for a configured name, and *len that of
 * the message; else 0. */
static __always_inline __u32 c25_dns_asked(struct __sk_buff *skb, const struct c25_pkt *p,
					   __u32 *len)
{
	__be16 field;

	if (bpf_skb_load_bytes(skb, p->l4 + 4, &field, sizeof(field)))
		return 0;
	*len = bpf_ntohs(field);
	if (*len < 8 || p->l4 + *len > skb->len)
		return 0;
	*len -= 8;
	return c25_question_taken(skb, p->l4 + 8, *len);
}

static __always_inline int c25_dns_udp(struct __sk_buff *skb, const __u32 l2, struct c25_pkt *p,
				       __u32 flags, __u32 len, __u32 keep)
{
	__u32 key = p->v6 ? C25_SOCK_UDP6 : C25_SOCK_UDP4, alive;
	struct bpf_sock *sk;
	int verdict;
	long err;

	sk = bpf_map_lookup_elem(&c25_socks, &key);
	alive = 0;
	/* Released first: or clang asks twice, and the verifier once too often. */
	if (sk) {
		bpf_sk_release(sk);
		alive = 1;
	}
	if (!c25_is_marked(skb)) {
		verdict = c25_dns_answer(skb, l2, p, len << 16 | keep, alive);
		if (verdict)
			return verdict;
	}
	sk = bpf_map_lookup_elem(&c25_socks, &key);
	if (sk) {
		err = flags & C25_PORT_BRIDGED ? 0 : bpf_sk_assign(skb, sk, 0);
		bpf_sk_release(sk);
		if (flags & C25_PORT_BRIDGED)
			err = c25_dns_up(skb, l2);
		if (!err)
			return c25_dns_given(skb, l2, C25_REASON_DNS_TAKEN);
	}
	if (c25_dns_open)
		return c25_pass(skb, l2, C25_REASON_DNS_OPEN);
	return c25_dns_refuse(skb, l2, p, len, keep);
}

__noinline int c25_turn_macs(struct __sk_buff *skb)
{
	__u8 mac[12];

	return bpf_skb_load_bytes(skb, 0, mac, sizeof(mac)) ||
	       bpf_skb_store_bytes(skb, 0, mac + 6, 6, 0) || bpf_skb_store_bytes(skb, 6, mac, 6, 0);
}

/* Ends a connection on which a configured name is asked for: towards the pod that asks. */
static __noinline int c25_dns_reset(struct __sk_buff *skb, __u32 l2, struct c25_pkt *p)
{
	if (c25_reset_make(skb, l2, p) || (l2 && c25_turn_macs(skb)))
		return c25_drop(skb, l2, p, C25_REASON_DNS_CLOSED);
	c25_count(skb, l2, C25_REASON_DNS_REFUSED);
	return bpf_redirect(skb->ifindex, 0);
}

/* Of a connection that is not the daemon's; with no daemon, one segment may hold a question: behind
 * its length, or where that came in the segment before. */
static __noinline int c25_dns_tcp_other(struct __sk_buff *skb, __u32 l2, struct c25_pkt *p,
					__u32 alive)
{
	__u32 off;
	__u8 words;

	if (alive || c25_dns_open || bpf_skb_load_bytes(skb, p->l4 + 12, &words, 1))
		return c25_pass(skb, l2, C25_REASON_DNS_TCP_OTHER);
	off = p->l4 + (words >> 4) * 4;
	if (off + 2 >= skb->len || (!c25_question_taken(skb, off + 2, skb->len - off - 2) &&
				    !c25_question_taken(skb, off, skb->len - off)))
		return c25_pass(skb, l2, C25_REASON_DNS_TCP_OTHER);
	return c25_dns_reset(skb, l2, p);
}

static __always_inline void c25_dns_tuple(struct bpf_sock_tuple *t, const struct c25_pkt *p)
{
	if (p->v6) {
		for (int i = 0; i < 4; i++) {
			t->ipv6.saddr[i] = c25_addr_w(&p->t.src, i);
			t->ipv6.daddr[i] = c25_addr_w(&p->t.dst, i);
		}
		t->ipv6.sport = p->t.sport;
		t->ipv6.dport = p->t.dport;
	} else {
		t->ipv4.saddr = c25_addr_w(&p->t.src, 3);
		t->ipv4.daddr = c25_addr_w(&p->t.dst, 3);
		t->ipv4.sport = p->t.sport;
		t->ipv4.dport = p->t.dport;
	}
}

/* Whether a segment that is of no socket ends a handshake for which the listener had no room: what
 * it had to remember is in the number that comes back to it. */
static __always_inline int c25_ends_cookie(struct __sk_buff *skb, const __u32 l2,
					   const struct c25_pkt *p, struct bpf_sock *listener)
{
	struct tcphdr tcp;
	union {
		struct iphdr v4;
		struct ipv6hdr v6;
	} ip;

	if (bpf_skb_load_bytes(skb, p->l4, &tcp, sizeof(tcp)))
		return 0;
	if (p->v6)
		return !bpf_skb_load_bytes(skb, l2, &ip.v6, sizeof(ip.v6)) &&
		       !bpf_tcp_check_syncookie(listener, &ip.v6, sizeof(ip.v6), &tcp, sizeof(tcp));
	return !bpf_skb_load_bytes(skb, l2, &ip.v4, sizeof(ip.v4)) &&
	       !bpf_tcp_check_syncookie(listener, &ip.v4, sizeof(ip.v4), &tcp, sizeof(tcp));
}

/* A connection's own socket first: only what starts one goes to the listener. */
static __always_inline int c25_dns_tcp(struct __sk_buff *skb, const __u32 l2, struct c25_pkt *p,
				       __u32 flags)
{
	__u32 key = p->v6 ? C25_SOCK_TCP6 : C25_SOCK_TCP4;
	struct bpf_sock_tuple t = { 0 };
	struct bpf_sock *sk;
	long err;

	c25_dns_tuple(&t, p);
	if (p->v6)
		sk = bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (sk) {
		if (sk->state != BPF_TCP_LISTEN)
			goto assign;
		bpf_sk_release(sk);
	}
	sk = bpf_map_lookup_elem(&c25_socks, &key);
	if (!sk)
		return c25_dns_tcp_other(skb, l2, p, 0);
	if ((!(p->tcp & TCP_SYN) || p->tcp & TCP_ACK) && !c25_ends_cookie(skb, l2, p, sk)) {
		bpf_sk_release(sk);
		return c25_dns_tcp_other(skb, l2, p, 1);
	}
assign:
	err = flags & C25_PORT_BRIDGED ? 0 : bpf_sk_assign(skb, sk, 0);
	bpf_sk_release(sk);
	if (flags & C25_PORT_BRIDGED)
		err = c25_dns_up(skb, l2);
	if (err)
		return c25_drop(skb, l2, p, C25_REASON_INTERNAL);
	return c25_dns_given(skb, l2, C25_REASON_DNS_TCP_TAKEN);
}

/* What a packet with the usual headers, at constant offsets, comes to; C25_REASON_MAX: more has to
 * be read. The name, where one is to be looked at, is left in *name. */
static __always_inline __u32 c25_dns_plain(const void *ip, const void *end, const __u32 v6,
					   const void **name)
{
	const void *l4 = ip + (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	__u8 proto;

	if (l4 + sizeof(struct udphdr) + DNS_HEADER > end)
		return C25_REASON_MAX;
	proto = v6 ? ((const struct ipv6hdr *)ip)->nexthdr : ((const struct iphdr *)ip)->protocol;
	if (proto != IPPROTO_UDP && proto != IPPROTO_TCP)
		return C25_REASON_MAX;
	if (!v6 && (*(const __u8 *)ip != 0x45 || *((const c25_u16 *)ip + 3) & bpf_htons(~IP_DF)))
		return C25_REASON_MAX;
	if (*((const c25_u16 *)l4 + 1) != bpf_htons(DNS_PORT))
		return C25_REASON_PASS;
	if (proto == IPPROTO_TCP)
		return C25_REASON_MAX;
	/* Or clang would choose among offsets, and without CAP_PERFMON the verifier allows none in
	 * a packet but constants. */
	*name = l4 + sizeof(struct udphdr) + DNS_HEADER;
	asm volatile("" : "+r"(*name));
	return C25_REASON_DNS_OTHER;
}

/* Nearly all packets by one glance, `l2` being 0 or ETH_HLEN: the reason why it goes on, or
 * C25_REASON_MAX. */
__noinline __u32 c25_dns_glance(struct __sk_buff *skb, __u32 l2)
{
	const void *data = c25_data(skb), *end = c25_data_end(skb), *name = NULL;
	struct c25_question *q = c25_question_of();
	__u32 reason = C25_REASON_MAX;

	if (!q)
		return reason;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		reason = l2 ? c25_dns_plain(data + ETH_HLEN, end, 0, &name) :
			      c25_dns_plain(data, end, 0, &name);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		reason = l2 ? c25_dns_plain(data + ETH_HLEN, end, 1, &name) :
			      c25_dns_plain(data, end, 1, &name);
	if (reason != C25_REASON_DNS_OTHER)
		return reason;
	c25_name_peek(q, name, end);
	return c25_name_other(q) ? C25_REASON_DNS_OTHER : C25_REASON_MAX;
}

/* The name before the rest: most questions are for others, and go no further. */
static __always_inline int c25_dns(struct __sk_buff *skb, const __u32 l2)
{
	__u32 flags, len = 0, keep = 0, reason;
	struct c25_pkt p;

	reason = c25_dns_glance(skb, l2);
	if (reason < C25_REASON_MAX)
		return c25_pass(skb, l2, reason);
	if (c25_parse(skb, l2, &p) != C25_PARSED || p.frag || p.t.dport != bpf_htons(DNS_PORT) ||
	    (p.t.proto != IPPROTO_UDP && p.t.proto != IPPROTO_TCP))
		return c25_pass(skb, l2, C25_REASON_PASS);
	flags = c25_port_flags(skb);
	if (!c25_dns_here(skb, flags))
		return c25_pass(skb, l2, C25_REASON_PASS);
	if (p.t.proto == IPPROTO_UDP) {
		keep = c25_dns_asked(skb, &p, &len);
		if (!keep)
			return c25_pass(skb, l2, C25_REASON_DNS_OTHER);
	}
	if (c25_load_addrs(skb, l2, &p) || !c25_dns_wanted(&p.t.dst))
		return c25_pass(skb, l2, C25_REASON_PASS);
	if (p.t.proto == IPPROTO_UDP)
		return c25_dns_udp(skb, l2, &p, flags, len, keep);
	return c25_dns_tcp(skb, l2, &p, flags);
}

#endif
