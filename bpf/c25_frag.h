/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_frag: the fragments of a datagram go the way of its first one, which alone has the ports.
 *
 * Out: a mapping is one to one, so a later fragment can go on before the first one came. All get
 * an identification of their own, since many clients share the uplink's address.
 * Back: a later fragment that comes before the first one could be the host's. It is left to the
 * host, and a copy is kept; if the first one turns out to be a flow's, both come in anew.
 *
 * An entry is needed for the milliseconds between the fragments of one datagram. To push one out
 * of the table sooner, a flood would have to begin as many datagrams as the table has entries
 * within them; so peers share it without quota.
 */
#ifndef C25_FRAG_H
#define C25_FRAG_H

#include "c25_flow.h"
#include "c25_nat.h"
#include "c25_route.h"

/* Seconds that the fragments of a datagram may take: as in Linux, and RFC 8200, section 4.5. */
#define C25_FRAG4_LIFE 30
#define C25_FRAG6_LIFE 60

#define C25_ID_PROBES 8
/* Copies of one datagram's fragments: 64 KB in packets of 1280 bytes. */
#define C25_EARLY_MOST 54

/* No verdict: the packet is treated like any other. */
#define C25_FRAG_GO_ON 256

/* Offset of the IPv6 fragment header; 0: none. */
static __always_inline __u32 c25_frag_header(struct __sk_buff *skb, __u32 l2)
{
	__u32 off = l2 + sizeof(struct ipv6hdr);
	__u8 h[4], proto;

	if (bpf_skb_load_bytes(skb, l2 + 6, &proto, 1))
		return 0;
	for (int i = 0; i < C25_MAX_EXT; i++) {
		if (proto == IPPROTO_FRAGMENT)
			return off;
		if (bpf_skb_load_bytes(skb, off, h, sizeof(h)))
			return 0;
		proto = h[0];
		off += (h[1] + 1) * 8;
	}
	return 0;
}

/* The key of a fragment whose addresses are loaded; the next call on this CPU uses it again. */
static __noinline struct c25_frag_work *c25_frag_load(struct __sk_buff *skb, __u32 l2,
						      const struct c25_pkt *p, __u32 kind)
{
	struct c25_tick *tick = c25_clock();
	struct c25_frag_work *w;
	__u32 zero = 0, id = 0;

	w = bpf_map_lookup_elem(&c25_frag_works, &zero);
	if (!w || !tick)
		return NULL;
	__builtin_memset(w, 0, sizeof(*w));
	w->now = tick->now;
	if (p->v6) {
		w->at = c25_frag_header(skb, l2) + 4;
		if (bpf_skb_load_bytes(skb, w->at, &id, 4))
			return NULL;
	} else {
		w->at = l2 + 4;
		if (bpf_skb_load_bytes(skb, w->at, &id, 2))
			return NULL;
		w->key.proto = p->t.proto;
	}
	w->key.id = id;
	w->key.kind = kind;
	c25_addr_copy(&w->key.src, &p->t.src);
	c25_addr_copy(&w->key.dst, &p->t.dst);
	return w;
}

static __always_inline struct c25_frag_entry *c25_frag_find(const struct c25_frag_work *w,
							    const struct c25_frag_key *k, __u8 v6)
{
	struct c25_frag_entry *e = bpf_map_lookup_elem(&c25_frags, k);

	return e && w->now < e->seen + (v6 ? C25_FRAG6_LIFE : C25_FRAG4_LIFE) ? e : NULL;
}

static __always_inline void c25_frag_put(struct c25_frag_work *w, __u32 state, __u32 slot)
{
	w->e.state = state;
	w->e.slot = slot;
	w->e.seen = w->now;
	bpf_map_update_elem(&c25_frags, &w->key, &w->e, BPF_ANY);
}

/* Into w->e: an identification that no other datagram from `src` to `dst` bears now. */
static __noinline void c25_frag_name(struct c25_frag_work *w, const struct c25_addr *src,
				     const struct c25_addr *dst, __u8 v6)
{
	struct c25_frag_key *k = &w->used;

	k->proto = w->key.proto;
	k->kind = C25_FRAGS_USED;
	c25_addr_copy(&k->src, src);
	c25_addr_copy(&k->dst, dst);
	for (int i = 0; i < C25_ID_PROBES; i++) {
		__u32 id = bpf_get_prandom_u32();

		k->id = 0;
		if (v6)
			k->id = id;
		else
			*(c25_u16 *)&k->id = id;
		if (!c25_frag_find(w, k, v6))
			break;
	}
	w->e.id = k->id;
	w->e.seen = w->now;
	bpf_map_update_elem(&c25_frags, k, &w->e, BPF_ANY);
}

static __noinline long c25_frag_write_id(struct __sk_buff *skb, __u32 l2,
					 const struct c25_frag_work *w, __be32 id, __u8 v6)
{
	__u16 was = *(c25_u16 *)&w->key.id, now = *(c25_u16 *)&id;

	if (v6)
		return bpf_skb_store_bytes(skb, w->at, &id, 4, 0);
	if (bpf_l3_csum_replace(skb, l2 + 10, was, now, 2))
		return -1;
	return bpf_skb_store_bytes(skb, w->at, &now, 2, 0);
}

/* A flow's first fragment, translated but for the identification: the later ones follow it. */
__noinline long c25_frag_first_out(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
				   const struct c25_flow *f)
{
	struct c25_frag_entry *e;
	struct c25_frag_work *w;
	__u32 slot;

	if (!p || !f)
		return -1;
	w = c25_frag_load(skb, l2, p, C25_FRAGS_OUT);
	if (!w || !c25_index_find(&p->t, C25_OUT, &slot))
		return -1;
	e = c25_frag_find(w, &w->key, p->v6);
	if (e)
		w->e.id = e->id;
	else
		c25_frag_name(w, &f->in.dst, &f->in.src, p->v6);
	c25_frag_put(w, C25_FRAG_FLOW, slot);
	return c25_frag_write_id(skb, l2, w, w->e.id, p->v6);
}

/* The flow that the first fragment was of, if it lives; `way`: the flow's, in this direction. */
static __always_inline struct c25_flow *c25_frag_flow(const struct c25_frag_entry *e,
						      const struct c25_pkt *p, const int dir)
{
	__u32 slot = e->slot;
	struct c25_flow *f = bpf_map_lookup_elem(&c25_flows, &slot);
	const struct c25_tuple *t;

	if (!f || !c25_flow_lives(f))
		return NULL;
	t = dir == C25_OUT ? &f->out : &f->in;
	return c25_addr_eq(&t->src, &p->t.src) && c25_addr_eq(&t->dst, &p->t.dst) ? f : NULL;
}

/* A later fragment's way out: as the flow `f` goes, or else the mapping. Returns the reason where
 * there is none; else PASS. */
static __always_inline __u32 c25_frag_route(struct __sk_buff *skb, __u32 l2,
					    const struct c25_pkt *p, const struct c25_flow *f,
					    const struct c25_addr *real, struct c25_way **out,
					    const struct c25_addr **home)
{
	struct c25_way *way;
	struct c25_dev *dev;
	__u32 ifindex;

	if (p->ttl <= 1)
		return C25_REASON_TTL;
	way = c25_way_new(skb, l2, p, real);
	if (!way)
		return C25_REASON_INTERNAL;
	*out = way;
	if (way->found == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return C25_REASON_TOO_BIG;
	if (!c25_way_leads(way))
		return C25_REASON_NO_ROUTE;
	ifindex = way->ifindex;
	if (f) {
		*home = &f->in.dst;
		return f->uplink == ifindex ? C25_REASON_PASS : C25_REASON_REROUTED;
	}
	dev = bpf_map_lookup_elem(&c25_devs, &ifindex);
	if (!dev || !(dev->flags & C25_DEV_UPLINK))
		return C25_REASON_NOT_UPLINK;
	*home = c25_pick(p->v6, &dev->addr4, &dev->addr6);
	return c25_addr_none(*home) ? C25_REASON_NO_UPLINK_ADDR : C25_REASON_PASS;
}

/* A peer's later fragment to a transit address. */
__noinline int c25_frag_later_out(struct __sk_buff *skb, __u32 l2, const struct c25_pkt *p,
				  __u32 peer)
{
	__u32 bytes = skb->len - l2, reason;
	const struct c25_addr *home = NULL;
	struct c25_mapping *m = NULL;
	struct c25_frag_entry *e;
	struct c25_frag_work *w;
	struct c25_flow *f = NULL;
	struct c25_way *way = NULL;

	if (!p)
		return TC_ACT_SHOT;
	w = c25_frag_load(skb, l2, p, C25_FRAGS_OUT);
	if (!w)
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	e = c25_frag_find(w, &w->key, p->v6);
	if (e && e->state == C25_FRAG_FLOW) {
		f = c25_frag_flow(e, p, C25_OUT);
		if (!f)
			return c25_drop(skb, l2, p, C25_REASON_FRAGMENT);
	} else {
		m = c25_mapping_of(p, peer);
		if (!m)
			return c25_drop(skb, l2, p, C25_REASON_NO_MAPPING);
	}
	reason = c25_frag_route(skb, l2, p, f, f ? &f->in.src : &m->real, &way, &home);
	if (reason != C25_REASON_PASS || !way)
		return c25_drop(skb, l2, p, reason);
	if (e) {
		w->e.id = e->id;
	} else {
		c25_frag_name(w, home, f ? &f->in.src : &m->real, p->v6);
		c25_frag_put(w, C25_FRAG_EARLY, 0);
	}
	if (c25_nat_addrs(skb, l2, p, home, f ? &f->in.src : &m->real) ||
	    c25_frag_write_id(skb, l2, w, w->e.id, p->v6))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	if (f) {
		c25_flow_touch(f, p, C25_OUT, bytes);
	} else {
		__sync_fetch_and_add(&m->packets, 1);
		__sync_fetch_and_add(&m->bytes, bytes);
	}
	c25_count(skb, l2, C25_REASON_CONNECTOR_OUT);
	return c25_to_uplink(skb, l2, way);
}

/* Keeps a copy of a frame; the oldest one makes room. */
static __noinline void c25_early_keep(struct __sk_buff *skb, const struct c25_frag_key *key)
{
	__u32 zero = 0, slot, len = skb->len;
	struct c25_early *c = bpf_map_lookup_elem(&c25_early, &zero);

	if (!c)
		return;
	slot = __sync_fetch_and_add(&c->next, 1) % C25_EARLY_SLOTS;
	c = bpf_map_lookup_elem(&c25_early, &slot);
	asm volatile("" : "+r"(len));
	if (!c || len < 1 || len > C25_EARLY_LEN)
		return;
	__sync_fetch_and_add(&c->seq, 1);
	c->len = 0;
	c->key = *key;
	if (!bpf_skb_load_bytes(skb, 0, c->frame, len))
		c->len = len;
	__sync_fetch_and_add(&c->seq, 1);
}

struct c25_release {
	struct __sk_buff *skb;
	const struct c25_frag_key *key;
};

static __always_inline int c25_frag_key_eq(const struct c25_frag_key *a,
					   const struct c25_frag_key *b)
{
	return c25_addr_eq(&a->src, &b->src) && c25_addr_eq(&a->dst, &b->dst) && a->id == b->id &&
	       a->proto == b->proto && a->kind == b->kind;
}

/* The packet becomes the copy, and comes in by its device anew. */
static long c25_early_release(__u32 slot, struct c25_release *r)
{
	struct c25_early *c = bpf_map_lookup_elem(&c25_early, &slot);
	__u32 len, seq;

	if (!c)
		return 1;
	seq = c->seq;
	len = c->len;
	asm volatile("" : "+r"(len));
	if (len < 1 || len > C25_EARLY_LEN || seq & 1 || !c25_frag_key_eq(&c->key, r->key))
		return 0;
	if (bpf_skb_change_tail(r->skb, len, 0) ||
	    bpf_skb_store_bytes(r->skb, 0, c->frame, len, BPF_F_RECOMPUTE_CSUM) || c->seq != seq)
		return 0;
	c->len = 0;
	bpf_clone_redirect(r->skb, r->skb->ifindex, BPF_F_INGRESS);
	return 0;
}

/* A first fragment from the uplink. Where later ones were kept for it, all come in anew. */
static __always_inline int c25_frag_first_back(struct __sk_buff *skb, const struct c25_pkt *p,
					       struct c25_frag_work *w)
{
	struct c25_release r = { .skb = skb, .key = &w->key };
	struct c25_frag_entry *e = c25_frag_find(w, &w->key, p->v6);
	struct c25_flow *f = NULL;
	__u32 slot = 0;
	int early = e && e->state == C25_FRAG_EARLY && e->early;

	if (c25_could_be_reply(p))
		f = c25_index_find(&p->t, C25_BACK, &slot);
	c25_frag_put(w, f ? C25_FRAG_FLOW : C25_FRAG_HOST, f ? slot : 0);
	if (!f || !early)
		return C25_FRAG_GO_ON;
	bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
	bpf_loop(C25_EARLY_SLOTS, c25_early_release, &r, 0);
	return TC_ACT_SHOT;
}

/* A later fragment of a flow's datagram, back to the client. */
static __always_inline int c25_frag_later_back(struct __sk_buff *skb, __u32 l2,
					       const struct c25_pkt *p, const struct c25_overlay *o,
					       struct c25_flow *f)
{
	__u32 bytes = skb->len - l2;
	long verdict;

	if (p->ttl <= 1)
		return c25_drop(skb, l2, p, C25_REASON_TTL);
	if (bytes > o->mtu && c25_too_long(skb, l2, p, o))
		return c25_drop(skb, l2, p, C25_REASON_TOO_BIG);
	if (c25_nat_addrs(skb, l2, p, &f->out.dst, &f->out.src))
		return c25_drop(skb, l2, p, C25_REASON_MALFORMED);
	c25_flow_touch(f, p, C25_BACK, bytes);
	verdict = c25_to_peer_far(skb, l2, o, f->peer, p->v6);
	if (verdict < 0)
		return c25_drop(skb, l2, p, C25_REASON_NO_TUNNEL);
	c25_count(skb, l2, C25_REASON_CONNECTOR_BACK);
	return verdict;
}

/* A fragment from the uplink, its addresses loaded. GO_ON: a first one, noted. */
__noinline int c25_frag_back(struct __sk_buff *skb, __u32 l2, struct c25_pkt *p,
			     const struct c25_overlay *o)
{
	struct c25_tick *tick = c25_clock();
	struct c25_frag_work *w = NULL;
	struct c25_frag_entry *e;
	struct c25_flow *f;

	if (!p || !o)
		return TC_ACT_SHOT;
	/* No flow was ever made: all of them are the host's. */
	if (tick && tick->high && skb->pkt_type == PACKET_HOST)
		w = c25_frag_load(skb, l2, p, C25_FRAGS_BACK);
	if (w && p->frag == C25_FRAG_FIRST)
		return c25_frag_first_back(skb, p, w);
	if (!w)
		return p->frag == C25_FRAG_FIRST ? C25_FRAG_GO_ON :
						   c25_pass(skb, l2, C25_REASON_PASS);
	e = c25_frag_find(w, &w->key, p->v6);
	if (!e) {
		c25_frag_put(w, C25_FRAG_EARLY, 0);
		e = bpf_map_lookup_elem(&c25_frags, &w->key);
	}
	if (!e || e->state == C25_FRAG_HOST)
		return c25_pass(skb, l2, C25_REASON_PASS);
	if (e->state == C25_FRAG_EARLY) {
		if (__sync_fetch_and_add(&e->early, 1) < C25_EARLY_MOST)
			c25_early_keep(skb, &w->key);
		return c25_pass(skb, l2, C25_REASON_FRAGMENT_EARLY);
	}
	f = c25_frag_flow(e, p, C25_BACK);
	if (!f)
		return c25_drop(skb, l2, p, C25_REASON_FRAGMENT);
	return c25_frag_later_back(skb, l2, p, o, f);
}

#endif
