/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_flow: the connector's flows in being: looked up, counted, ended. c25_birth.h makes them,
 * c25_sweep.h ends the idle ones.
 *
 * A flow is a slot of c25_flows that c25_index leads to from both its tuples. It ends in two steps,
 * so that no packet that still holds the slot sees another flow in it: out of the index (ENDED),
 * and free again when the sweep passes next.
 */
#ifndef C25_FLOW_H
#define C25_FLOW_H

#include "c25_count.h"
#include "c25_index.h"

/* Seconds without a packet: RFC 5382 REQ-5, RFC 4787 REQ-5, RFC 5508 REQ-2. */
#define C25_TCP_ESTABLISHED 7440
#define C25_TCP_TRANSITORY  240
#define C25_UDP_NEW         120
#define C25_UDP_ESTABLISHED 300
#define C25_ICMP_IDLE       60
#define C25_OTHER_IDLE      600 /* of protocols without ports */
static __always_inline int c25_has_ports(const struct c25_tuple *t)
{
	return t->proto == IPPROTO_TCP || t->proto == IPPROTO_UDP;
}

static __always_inline int c25_nat_port(__be16 port)
{
	return bpf_ntohs(port) >= c25_nat_lo && bpf_ntohs(port) <= c25_nat_hi;
}

/* A flow of ICMP echo has its identifier in place of ports. */
static __always_inline int c25_is_echo(const struct c25_tuple *t)
{
	return t->proto == IPPROTO_ICMP || t->proto == IPPROTO_ICMPV6;
}

/* Whether a packet from the uplink could be a flow's, by what stands in no map. */
static __always_inline int c25_could_be_reply(const struct c25_pkt *p)
{
	switch (p->t.proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		return c25_nat_port(p->t.dport);
	case IPPROTO_ICMP:
		return p->type == ICMP_ECHOREPLY && c25_nat_port(p->t.sport);
	case IPPROTO_ICMPV6:
		return p->type == ICMPV6_ECHOREPLY && c25_nat_port(p->t.sport);
	default:
		return 1;
	}
}

static __always_inline int c25_flow_lives(const struct c25_flow *f)
{
	return f->state == C25_FLOW_NEW || f->state == C25_FLOW_ESTABLISHED ||
	       f->state == C25_FLOW_CLOSING;
}

/* The mapping of a transit address that this peer made. */
static __always_inline struct c25_mapping *c25_mapping_of(const struct c25_pkt *p, __u32 index)
{
	struct c25_mapping_key k __attribute__((aligned(8)));
	struct c25_peer *peer = c25_peer_of(index);

	if (!peer)
		return NULL;
	c25_addr_copy(&k.client, c25_pick(p->v6, &peer->overlay4, &peer->overlay6));
	c25_addr_copy(&k.transit, &p->t.dst);
	return bpf_map_lookup_elem(&c25_mappings, &k);
}

/* The mapping a flow was made under, if it is still there. */
static __always_inline struct c25_mapping *c25_flow_mapping(const struct c25_flow *f)
{
	struct c25_mapping_key k __attribute__((aligned(8)));
	struct c25_peer *peer = c25_peer_of(f->peer);

	if (!peer)
		return NULL;
	c25_addr_copy(&k.client,
		      c25_pick(!c25_addr_is4(&f->out.dst), &peer->overlay4, &peer->overlay6));
	c25_addr_copy(&k.transit, &f->out.dst);
	return bpf_map_lookup_elem(&c25_mappings, &k);
}

/* Unless it has become another meanwhile: what the sweep or the controller ended stays ended. */
static __always_inline int c25_flow_turn(struct c25_flow *f, __u32 from, __u32 to)
{
	return __sync_val_compare_and_swap(&f->state, from, to) == from;
}

/* Packets turn a flow at most this often while it is ended. */
#define C25_END_TRIES 4

static __always_inline int c25_flow_turn_ended(struct c25_flow *f)
{
	for (int i = 0; i < C25_END_TRIES; i++) {
		__u32 state = *(volatile __u32 *)&f->state;

		if (state == C25_FLOW_FREE || state == C25_FLOW_ENDED)
			return 0;
		if (c25_flow_turn(f, state, C25_FLOW_ENDED))
			return 1;
	}
	return 0;
}

/* Non-zero: this call ended it. */
static __always_inline int c25_flow_end(struct c25_flow *f, __u32 slot)
{
	__u32 peer = f->peer, *held;
	struct c25_mapping *m;

	if (!c25_flow_turn_ended(f))
		return 0;
	c25_index_del(&f->out, C25_OUT, slot);
	c25_index_del(&f->in, C25_BACK, slot);
	held = bpf_map_lookup_elem(&c25_held, &peer);
	if (held)
		__sync_fetch_and_add(held, -1);
	m = c25_flow_mapping(f);
	if (m) {
		__sync_fetch_and_add(&m->packets,
				     f->count[C25_OUT].packets + f->count[C25_BACK].packets);
		__sync_fetch_and_add(&m->bytes, f->count[C25_OUT].bytes + f->count[C25_BACK].bytes);
		if (m->last_seen < f->last_seen)
			m->last_seen = f->last_seen;
	}
	return 1;
}

/* The next sweep ends it. */
static __always_inline void c25_flow_revoke(struct c25_flow *f)
{
	__u32 state = *(volatile __u32 *)&f->state;

	if (state != C25_FLOW_FREE && state != C25_FLOW_ENDED)
		c25_flow_turn(f, state, C25_FLOW_REVOKED);
}

/* A packet of the flow: counters, state, and once a second the stamps. */
static __always_inline void c25_flow_touch(struct c25_flow *f, const struct c25_pkt *p,
					   const int dir, __u32 bytes)
{
	struct c25_tick *tick = c25_clock();
	__u32 state = f->state;

	__sync_fetch_and_add(&f->count[dir].packets, 1);
	__sync_fetch_and_add(&f->count[dir].bytes, bytes);
	if (p->t.proto == IPPROTO_TCP) {
		if (dir == C25_OUT && (p->tcp & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
		    state == C25_FLOW_CLOSING) {
			/* The client uses its port anew. */
			f->tcp_flags[C25_OUT] = f->tcp_flags[C25_BACK] = 0;
			c25_flow_turn(f, state, C25_FLOW_NEW);
		}
		if (p->tcp & ~f->tcp_flags[dir])
			f->tcp_flags[dir] |= p->tcp;
	}
	if (p->tcp & (TCP_FIN | TCP_RST) &&
	    (state == C25_FLOW_NEW || state == C25_FLOW_ESTABLISHED))
		c25_flow_turn(f, state, C25_FLOW_CLOSING);
	else if (dir == C25_BACK && state == C25_FLOW_NEW)
		c25_flow_turn(f, state, C25_FLOW_ESTABLISHED);
	if (tick && f->last_seen != tick->now) {
		f->last_seen = tick->now;
		if (dir == C25_OUT) {
			struct c25_mapping *m = c25_flow_mapping(f);

			if (m)
				m->last_seen = tick->now;
		}
	}
}

/* Both ends have said that they are done. */
static __always_inline int c25_flow_closed(const struct c25_flow *f)
{
	__u8 both = f->tcp_flags[C25_OUT] & f->tcp_flags[C25_BACK];
	__u8 any = f->tcp_flags[C25_OUT] | f->tcp_flags[C25_BACK];

	return f->out.proto == IPPROTO_TCP && f->state == C25_FLOW_CLOSING &&
	       (both & TCP_FIN || any & TCP_RST);
}
#endif
