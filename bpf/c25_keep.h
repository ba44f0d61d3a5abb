/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_keep: flows that stay with the connector they began at when their mapping moves. Only such
 * mappings cost anything: a TCP connection is known by its SYN, all else goes where it went.
 */
#ifndef C25_KEEP_H
#define C25_KEEP_H

#include "c25_parse.h"

/* Where a flow is, by its tuple as the client sends it: at `k->other`, or elsewhere. */
static __always_inline int c25_is_kept(const struct c25_tuple *t, const struct c25_kept *k)
{
	struct c25_begun *at = NULL;

	if (t->proto == IPPROTO_TCP)
		at = bpf_map_lookup_elem(&c25_begun, t);
	return (at && at->period == k->period ? at->peer : k->base) == k->other;
}

/* The connector that this packet to a magic address goes to, if not to the mapping's own. */
__noinline __u32 c25_keep_out(const struct c25_pkt *p, __u32 own)
{
	struct c25_tick *tick = c25_clock();
	struct c25_tuple t __attribute__((aligned(8)));
	struct c25_begun now = { .peer = own };
	struct c25_kept *k;

	if (!p)
		return own;
	/* Before 6.4 what an argument of a global function points to is no key. */
	c25_tuple_copy(&t, &p->t);
	k = bpf_map_lookup_elem(&c25_kept, &t.dst);
	if (!k)
		return own;
	if (p->t.proto == IPPROTO_TCP && p->frag != C25_FRAG_LATER &&
	    (p->tcp & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
		now.period = k->period;
		bpf_map_update_elem(&c25_begun, &t, &now, BPF_ANY);
		return own;
	}
	if (!c25_is_kept(&t, k))
		return own;
	if (tick && k->out_seen != tick->now)
		k->out_seen = tick->now;
	return k->other;
}

/* A reply to `magic`: what is kept still works. */
__noinline int c25_keep_back(const struct c25_pkt *p, const struct c25_addr *magic)
{
	struct c25_tick *tick = c25_clock();
	struct c25_tuple t = { 0 };
	struct c25_kept *k;

	if (!p || !magic)
		return 0;
	c25_addr_copy(&t.dst, magic);
	k = bpf_map_lookup_elem(&c25_kept, &t.dst);
	if (!k)
		return 0;
	c25_addr_copy(&t.src, &p->t.dst);
	t.sport = p->t.dport;
	t.dport = p->t.sport;
	t.proto = p->t.proto;
	if (c25_is_kept(&t, k) && tick && k->back_seen != tick->now)
		k->back_seen = tick->now;
	return 0;
}

#endif
