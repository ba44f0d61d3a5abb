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
static __always_inline __u32 c25_asked_type(struct __sk_buff *skb, __u32 end)
{
	__u8 h[4];

	if (bpf_skb_load_bytes(skb, end - 4, h, 4) || h[0] || h[2] || h[3] != DNS_CLASS_IN)
		return 0;
	return h[1] == DNS_TYPE_A || h[1] == DNS_TYPE_AAAA ? h[1] : 0;
}

/* Makes our own OPT. 1: one of version 0 is all that follows the question; 0: nothing follows; -1:
 * something else, which is the daemon's to read. */
__noinline int c25_asked_opt(struct __sk_buff *skb, __u32 msg, __u32 len, __u32 keep)
{
	struct c25_question *q = c25_question_of();
	__u8 h[DNS_OPT_LEN + 1] __attribute__((aligned(8))) = { 0 };

	if (!q || bpf_skb_load_bytes(skb, msg + 6, h, 6) || *(c25_u32 *)h || h[4] || h[5] > 1)
		return -1;
	if (!h[5])
		return len == keep ? 0 : -1;
	if (len < keep + DNS_OPT_LEN || bpf_skb_load_bytes(skb, msg + keep, h, DNS_OPT_LEN))
		return -1;
	if (h[0] | h[1] | h[5] | h[6] || h[2] != DNS_TYPE_OPT ||
	    keep + DNS_OPT_LEN + ((__u32)h[9] << 8 | h[10]) != len)
		return -1;
	*(c25_u64 *)q->opt = 0;
	*(c25_u64 *)(q->opt + 8) = 0;
	q->opt[2] = DNS_TYPE_OPT;
	q->opt[3] = DNS_OUR_UDP >> 8;
	q->opt[4] = DNS_OUR_UDP & 0xff;
	q->opt[7] = h[7] & DNS_DO;
	return 1;
}

static __always_inline __u64 c25_clock_now(void)
{
	struct c25_tick *tick = c25_clock();

	return tick ? tick->now : 0;
}

struct c25_answer_check {
	__u64 hash;
	__u64 bad;
};

static long c25_answer_check_one(__u32 i, struct c25_answer_check *c)
{
	struct c25_answer *a = bpf_map_lookup_elem(&c25_answers, &c->hash);
	struct c25_magic *m;
	__u32 peer;

	c->bad = 1;
	if (!a)
		return 1;
	m = bpf_map_lookup_elem(&c25_magic, &a->magic[i & (C25_ANSWER_MAX - 1)]);
	if (!m || m->flags & C25_MAGIC_DEAD)
		return 1;
	peer = m->peer;
	if (bpf_map_lookup_elem(&c25_down, &peer))
		return 1;
	c->bad = 0;
	return 0;
}

/* Whether each address leads somewhere now, as far as is known. */
__noinline int c25_answer_good(__u64 hash)
{
	struct c25_answer *a = bpf_map_lookup_elem(&c25_answers, &hash);
	struct c25_answer_check c = { .hash = hash };

	if (!a)
		return 0;
	bpf_loop(a->n, c25_answer_check_one, &c, 0);
	return !c.bad;
}

/* The TTL to say, 0: the daemon is to be asked. */
__noinline __u32 c25_answer_left(__u64 hash, __u32 alive)
{
	struct c25_answer *a = bpf_map_lookup_elem(&c25_answers, &hash);
	__u64 now = c25_clock_now();

	if (!a)
		return 0;
	if (now >= a->ends)
		return alive || now >= a->ends + C25_ANSWER_GRACE ? 0 : C25_ANSWER_STALE;
	if (alive && a->ends - now <= a->ttl / 8 + 1 && a->renewed != now) {
		a->renewed = now;
		return 0;
	}
	return a->ends - now;
}

/* Of all there is room for; what is beyond the last record is not sent. */
static __always_inline void c25_put_ttls(__u8 *records, __u32 type, __be32 ttl)
{
	if (type == DNS_TYPE_A) {
#pragma clang loop unroll(full)
		for (__u32 i = 0; i < C25_ANSWER_MAX; i++)
			*(c25_u32 *)(records + i * C25_RR4 + C25_RR_TTL) = ttl;
		/* Or clang makes one store of the last two, at an offset that depends on `type`. */
		asm volatile("" ::: "memory");
	} else {
#pragma clang loop unroll(full)
		for (__u32 i = 0; i < C25_ANSWER_MAX; i++)
			*(c25_u32 *)(records + i * C25_RR6 + C25_RR_TTL) = ttl;
	}
}

/* Records with this TTL, all of the room for them. */
__noinline int c25_fill_records(__u64 hash, __u32 ttl)
{
	struct c25_answer *a = bpf_map_lookup_elem(&c25_answers, &hash);
	__u32 zero = 0;
	struct c25_scratch *s = bpf_map_lookup_elem(&c25_scratch, &zero);

	if (!a || !s)
		return -1;
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < sizeof(a->records); i += 8)
		*(c25_u64 *)(s->b + i) = *(c25_u64 *)(a->records + i);
	c25_put_ttls(s->b, a->type, bpf_htonl(ttl));
	return 0;
}

/* The `size` bytes of records at `at`, and the OPT behind them: what they add to the checksum. */
__noinline int c25_answer_csum(struct __sk_buff *skb, __u32 csum, __u32 at, __u32 size,
			       __u32 has_opt)
{
	struct c25_question *q = c25_question_of();
	__u32 zero = 0;
	struct c25_scratch *s = bpf_map_lookup_elem(&c25_scratch, &zero);

	if (!s || !q || !size || size > C25_ANSWER_MAX * C25_RR6 || size & 3)
		return -1;
	size = c25_length(size, sizeof(s->b) - 1);
	if (c25_sum_csum(skb, csum, at, bpf_csum_diff(NULL, 0, (void *)s->b, size, 0)))
		return -1;
	return has_opt && c25_sum_csum(skb, csum, at + size,
				       bpf_csum_diff(NULL, 0, (void *)q->opt, DNS_OPT_LEN + 1, 0));
}

__noinline int c25_answer_store(struct __sk_buff *skb, __u32 at, __u32 size, __u32 has_opt)
{
	struct c25_question *q = c25_question_of();
	__u32 zero = 0;
	struct c25_scratch *s = bpf_map_lookup_elem(&c25_scratch, &zero);

	if (!s || !q || !size || size > C25_ANSWER_MAX * C25_RR6)
		return -1;
	size = c25_length(size, sizeof(s->b) - 1);
	if (bpf_skb_store_bytes(skb, at, s->b, size, 0))
		return -1;
	return has_opt && bpf_skb_store_bytes(skb, at + size, q->opt, DNS_OPT_LEN, 0);
}

/* Whether this question's answer is there: from this server, of this name and type. */
static __always_inline struct c25_answer *c25_answer_find(const struct c25_pkt *p, __u64 hash,
							  __u32 type, __u32 len)
{
	struct c25_answer *a = bpf_map_lookup_elem(&c25_answers, &hash);

	if (!a || a->type != type || a->len != len || a->n > C25_ANSWER_MAX ||
	    !c25_addr_eq(&a->server, &p->t.dst) || !c25_answer_equal(hash))
		return NULL;
	return a;
}

/* A verdict, or 0: not from here. `lens`: of the message, and of its header and question, in the
 * upper and lower half: five arguments are the most. */
static __noinline int c25_dns_answer(struct __sk_buff *skb, __u32 l2, struct c25_pkt *p, __u32 lens,
				     __u32 alive)
{
	__u32 len = lens >> 16, keep = lens & 0xffff, msg = p->l4 + 8, csum = p->l4 + 6;
	__u32 type = c25_asked_type(skb, msg + keep), ttl, reason, size;
	struct c25_question *q = c25_question_of();
	struct c25_answer *a;
	__u64 hash;
	int has_opt;

	if (!q || !type || skb->gso_size || len - keep > C25_CUT_MAX)
		return 0;
	hash = c25_name_step(q->hash, type);
	a = c25_answer_find(p, hash, type, keep - DNS_HEADER - 5);
	if (!a || !c25_answer_good(hash))
		return 0;
	has_opt = c25_asked_opt(skb, msg, len, keep);
	if (has_opt < 0)
		return 0;
	ttl = c25_answer_left(hash, alive);
	if (!ttl)
		return 0;
	reason = a->ends <= c25_clock_now() ? C25_REASON_DNS_STALE : C25_REASON_DNS_ANSWERED;
	size = a->n * (type == DNS_TYPE_A ? C25_RR4 : C25_RR6);
	if ((len > keep && c25_cut_csum(skb, csum, msg + keep, len - keep)) ||
	    c25_fill_records(hash, ttl) || c25_answer_csum(skb, csum, msg + keep, size, has_opt) ||
	    c25_turn_dns(skb, p->l4, DNS_ANSWER | a->flags, a->n, has_opt) ||
	    c25_turn(skb, l2, p, len, keep + size + (has_opt ? DNS_OPT_LEN : 0)) ||
	    c25_answer_store(skb, msg + keep, size, has_opt))
		return c25_drop(skb, l2, p, C25_REASON_INTERNAL);
	c25_count(skb, l2, reason);
	return bpf_redirect(skb->ifindex, 0);
}

#endif
