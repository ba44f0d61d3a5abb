/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_dns_answer: leased names answered from c25_answers, without the daemon.
 *
 * While a daemon lives, one question a second of those that come in the last eighth of an answer's
 * time goes to it, so that what is asked for is renewed before it ends.
 */
#ifndef C25_DNS_ANSWER_H
#define C25_DNS_ANSWER_H

#include "c25_dns_turn.h"

#define DNS_TYPE_A    1
#define DNS_TYPE_AAAA 28
#define DNS_TYPE_OPT  41
#define DNS_CLASS_IN  1
#define DNS_ANSWER    0x8000
#define DNS_OPT_LEN   11
#define DNS_OUR_UDP   1232
#define DNS_DO        0x80 /* of an OPT's eighth byte */

/* Type where it is a question for addresses, else 0. */
static __always_inline __u32 c25_asked_type(const struct c25_question *q)
{
	const __u8 *h = q->raw + ((q->keep - 4) & 0x1ff);

	if (h[0] || h[2] || h[3] != DNS_CLASS_IN)
		return 0;
	return h[1] == DNS_TYPE_A || h[1] == DNS_TYPE_AAAA ? h[1] : 0;
}

/* The flags of the OPT that is all that follows the question, of version 0, and 0x100; 0: nothing
 * follows; -1: something else, which is the daemon's to read. */
__noinline int c25_asked_opt(__u32 len, __u32 keep)
{
	struct c25_question *q = c25_question_of();
	const __u8 *h;

	if (!q || *(c25_u32 *)(q->raw + 6) || q->raw[10] || q->raw[11] > 1)
		return -1;
	if (!q->raw[11])
		return len == keep ? 0 : -1;
	h = q->raw + (keep & 0x1ff);
	if (len < keep + DNS_OPT_LEN || h[0] | h[1] | h[5] | h[6] || h[2] != DNS_TYPE_OPT ||
	    keep + DNS_OPT_LEN + ((__u32)h[9] << 8 | h[10]) != len)
		return -1;
	return 0x100 | h[7];
}

static __always_inline __u64 c25_clock_now(void)
{
	struct c25_tick *tick = c25_clock();

	return tick ? tick->now : 0;
}

/* Whether the address leads somewhere now, as far as is known. */
static __always_inline int c25_magic_good(const struct c25_addr *magic)
{
	struct c25_magic *m = bpf_map_lookup_elem(&c25_magic, magic);
	__u32 peer;

	if (!m || m->flags & C25_MAGIC_DEAD)
		return 0;
	peer = m->peer;
	return !bpf_map_lookup_elem(&c25_down, &peer);
}

struct c25_answer_check {
	__u64 hash;
	__u64 bad;
};

static long c25_answer_check_one(__u32 i, struct c25_answer_check *c)
{
	struct c25_answer *a = bpf_map_lookup_elem(&c25_answers, &c->hash);

	c->bad = !a || !c25_magic_good(&a->magic[(i + 1) & (C25_ANSWER_MAX - 1)]);
	return c->bad;
}

/* Each but the first. */
static __noinline int c25_answer_rest_good(__u64 hash, __u32 n)
{
	struct c25_answer_check c = { .hash = hash };

	bpf_loop(n - 1, c25_answer_check_one, &c, 0);
	return !c.bad;
}

/* The TTL to say, 0: the daemon is to be asked. */
static __always_inline __u32 c25_answer_left(struct c25_answer *a, __u64 now, __u32 alive)
{
	if (now >= a->ends)
		return alive || now >= a->ends + C25_ANSWER_GRACE ? 0 : C25_ANSWER_STALE;
	if (alive && a->ends - now <= a->ttl / 8 + 1 && a->renewed != now) {
		a->renewed = now;
		return 0;
	}
	return a->ends - now;
}

/* A record's beginning. */
static __always_inline void c25_put_record(__u8 *r, __u32 type, __be32 ttl, __u32 len)
{
	*(c25_u32 *)r = bpf_htonl(0xc0000000 | DNS_HEADER << 16 | type);
	*(c25_u16 *)(r + 4) = bpf_htons(DNS_CLASS_IN);
	*(c25_u32 *)(r + 6) = ttl;
	*(c25_u16 *)(r + 10) = bpf_htons(len);
}

__noinline int c25_fill_opt(__u32 opt)
{
	struct c25_question *q = c25_question_of();
	__u8 *r;

	if (!q)
		return -1;
	r = q->tail + (q->tail_len & 0xff);
	*(c25_u32 *)r = bpf_htonl(DNS_TYPE_OPT << 8 | DNS_OUR_UDP >> 8);
	*(c25_u32 *)(r + 4) = bpf_htonl((DNS_OUR_UDP & 0xff) << 24 | (opt & DNS_DO));
	*(c25_u32 *)(r + 8) = 0;
	q->tail_len += DNS_OPT_LEN;
	q->additional = 1;
	return 0;
}

/* Records and OPT as the answer's tail; `opt` as c25_asked_opt() has it. */
__noinline int c25_fill_tail(const struct c25_answer *a, __u32 ttl, __u32 opt)
{
	struct c25_question *q = c25_question_of();
	__u32 size;
	__u8 *r;

	if (!q || !a)
		return -1;
	r = q->tail;
	if (a->type == DNS_TYPE_A) {
#pragma clang loop unroll(full)
		for (__u32 i = 0; i < C25_ANSWER_MAX; i++, r += C25_RR4) {
			if (i >= a->n)
				break;
			c25_put_record(r, DNS_TYPE_A, bpf_htonl(ttl), 4);
			*(c25_u32 *)(r + 12) = c25_addr_w(&a->magic[i], 3);
		}
		size = a->n * C25_RR4;
	} else {
#pragma clang loop unroll(full)
		for (__u32 i = 0; i < C25_ANSWER_MAX; i++, r += C25_RR6) {
			if (i >= a->n)
				break;
			c25_put_record(r, DNS_TYPE_AAAA, bpf_htonl(ttl), 16);
			for (int w = 0; w < 4; w++)
				*(c25_u32 *)(r + 12 + 4 * w) = c25_addr_w(&a->magic[i], w);
		}
		size = a->n * C25_RR6;
	}
	q->tail_len = size;
	q->additional = 0;
	return opt ? c25_fill_opt(opt) : 0;
}

/* Whether this question's answer is there: from this server, of this name and type. */
static __always_inline struct c25_answer *c25_answer_find(const struct c25_pkt *p, __u64 hash,
							  __u32 type, __u32 len)
{
	struct c25_answer *a = bpf_map_lookup_elem(&c25_answers, &hash);

	if (!a || a->type != type || a->len != len || !a->n || a->n > C25_ANSWER_MAX ||
	    !c25_addr_eq(&a->server, &p->t.dst) || !c25_answer_equal(a))
		return NULL;
	return a;
}

/* A verdict, or 0: not from here. `lens`: of the message, and of its header and question, in the
 * upper and lower half: five arguments are the most. */
static __noinline int c25_dns_answer(struct __sk_buff *skb, __u32 l2, struct c25_pkt *p, __u32 lens,
				     __u32 alive)
{
	__u32 len = lens >> 16, keep = lens & 0xffff, type, ttl;
	struct c25_question *q = c25_question_of();
	struct c25_answer *a;
	__u64 hash, now;
	int opt;

	if (!q || !c25_can_turn(skb, l2, p, len, keep))
		return 0;
	type = c25_asked_type(q);
	if (!type)
		return 0;
	hash = c25_name_step(q->hash, type);
	a = c25_answer_find(p, hash, type, keep - DNS_HEADER - 5);
	if (!a || !c25_magic_good(&a->magic[0]) || (a->n > 1 && !c25_answer_rest_good(hash, a->n)))
		return 0;
	opt = c25_asked_opt(len, keep);
	if (opt < 0)
		return 0;
	now = c25_clock_now();
	ttl = c25_answer_left(a, now, alive);
	if (!ttl || c25_fill_tail(a, ttl, opt))
		return 0;
	q->flags = DNS_ANSWER | a->flags;
	q->answers = a->n;
	if (c25_turn(skb, l2, p, len, keep))
		return c25_drop(skb, l2, p, C25_REASON_INTERNAL);
	c25_count(skb, l2, a->ends <= now ? C25_REASON_DNS_STALE : C25_REASON_DNS_ANSWERED);
	return bpf_redirect(skb->ifindex, 0);
}

#endif
