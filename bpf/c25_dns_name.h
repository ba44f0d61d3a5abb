/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_dns_name: whether a question's name is configured, as user/domains.c has it: label by label,
 * without case, an exact domain over any wildcard, the longest wildcard over shorter ones.
 *
 * A keyed hash finds the domain, and its bytes decide. What ends as no domain does is not looked
 * for: nearly all that pods ask. Loops are bpf_loop()s: the verifier walks through any other of
 * this length too often.
 */
#ifndef C25_DNS_NAME_H
#define C25_DNS_NAME_H

#include "c25_count.h"

#define DNS_HEADER  12
#define DNS_QR      0x80 /* of the third byte; opcode below it */
#define DNS_OPCODE  0x78
#define DNS_MAX_LEN 254 /* without the root label */

#define C25_PEEK        64 /* bytes of a name that are looked at in place */
#define C25_PEEK_LABELS 8

/* Eight bytes each: the verifier forgets what it need not know of no smaller field. */
struct c25_match {
	__u64 hash; /* of the labels taken up */
	__u64 len;  /* of the name */
	__u64 taken;
};

static __always_inline struct c25_question *c25_question_of(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&c25_questions, &zero);
}

/* Leaves `at` at the root label, and sets *whole. */
static long c25_label_next(__u32 i, __u64 *whole)
{
	struct c25_question *q = c25_question_of();
	__u32 at;
	__u8 len;

	if (!q)
		return 1;
	at = q->at;
	if (at > DNS_MAX_LEN)
		return 1;
	len = q->raw[DNS_HEADER + (at & 0xff)];
	if (!len) {
		*whole = 1;
		return 1;
	}
	if (len > 63)
		return 1;
	q->label[i & 0x7f] = at;
	q->n = i + 1;
	q->at = at + len + 1;
	return 0;
}

/* Eight bytes at once; what was read is long enough for the last word to reach beyond the name. */
static __always_inline int c25_same_name(const __u8 *asked, const __u8 *held, __u32 len)
{
	__u64 differ = 0;

#pragma clang loop unroll(full)
	for (__u32 i = 0; i < C25_NAME_LEN; i += 8) {
		__u64 word = c25_lower8(*(c25_u64 *)(asked + i)) ^ *(c25_u64 *)(held + i);

		if (i >= len)
			break;
		if (len - i < 8)
			word = word << (64 - 8 * (len - i)); /* little-endian */
		differ |= word;
	}
	return !differ;
}

/* Global functions, these: the verifier goes through them once, and not for each caller. */
__noinline int c25_name_equal(__u32 at, __u64 hash)
{
	struct c25_question *q = c25_question_of();
	struct c25_name *name = bpf_map_lookup_elem(&c25_names, &hash);

	return q && name && c25_same_name(q->raw + DNS_HEADER + (at & 0xff), name->wire, name->len);
}

__noinline int c25_answer_equal(const struct c25_answer *a)
{
	struct c25_question *q = c25_question_of();

	return q && a && c25_same_name(q->raw + DNS_HEADER, a->wire, a->len);
}

/* Takes up the label at `at`. */
static __always_inline __u64 c25_label_step(const struct c25_question *q, __u32 at, __u64 hash)
{
	const __u8 *label = q->raw + DNS_HEADER + (at & 0xff);
	__u32 left = label[0] + 1U;

#pragma clang loop unroll(full)
	for (__u32 i = 0; i < 64; i += 8) {
		__u64 word = c25_lower8(*(c25_u64 *)(label + i));

		if (i >= left)
			break;
		if (left - i < 8)
			word &= ~0ULL >> (64 - 8 * (left - i)); /* little-endian */
		hash = c25_name_step(hash, word);
	}
	return hash;
}

/* Without an entry there is no longer domain either. The hash of a name that is taken is made
 * whole all the same: its answer is found by it. */
static long c25_suffix_next(__u32 i, struct c25_match *m)
{
	struct c25_question *q = c25_question_of();
	struct c25_name *name;
	__u32 at, label;
	__u64 hash;

	if (!q)
		return 1;
	label = (q->n - 1) & 0x7f;
	q->n = label;
	at = q->label[label];
	hash = c25_label_step(q, at, m->hash);
	m->hash = hash;
	name = bpf_map_lookup_elem(&c25_names, &hash);
	if (!name)
		return !m->taken;
	if (!name->flags || name->len != m->len - at || !c25_name_equal(at, hash))
		return 0;
	if (name->flags & C25_NAME_WILD)
		m->taken = !(name->flags & C25_NAME_WILD_SELF);
	if (!at && name->flags & C25_NAME_EXACT)
		m->taken = !(name->flags & C25_NAME_EXACT_SELF);
	return 0;
}

/*
 * The message of `len` bytes at `off`. Returns the length of header and question where it is one
 * plain question whose name is configured, else 0.
 */
__noinline __u32 c25_question_taken(struct __sk_buff *skb, __u32 off, __u32 len)
{
	struct c25_question *q = c25_question_of();
	struct c25_match m = { 0 };
	__u64 whole = 0;
	__u32 at;

	if (len > C25_QUESTION_READ)
		len = C25_QUESTION_READ;
	asm volatile("" : "+r"(len));
	if (!q || len < DNS_HEADER + 6 || len > C25_QUESTION_READ ||
	    bpf_skb_load_bytes(skb, off, q->raw, len))
		return 0;
	if (q->raw[2] & (DNS_QR | DNS_OPCODE) || q->raw[4] || q->raw[5] != 1)
		return 0;
	q->at = q->n = 0;
	bpf_loop(128, c25_label_next, &whole, 0);
	at = q->at;
	if (!whole || !at || at > DNS_MAX_LEN || DNS_HEADER + at + 5 > len)
		return 0;
	m.hash = c25_name_start(c25_cookie);
	m.len = at;
	bpf_loop(q->n, c25_suffix_next, &m, 0);
	q->hash = m.hash;
	q->keep = DNS_HEADER + at + 5;
	return m.taken ? DNS_HEADER + at + 5 : 0;
}

/* What of a name can be read in place, four bytes at once: what may be left is part of no name,
 * behind which four bytes follow at least. Its length is left in q->n. */
static __always_inline void c25_name_peek(struct c25_question *q, const void *name, const void *end)
{
	__u32 i;

#pragma clang loop unroll(full)
	for (i = 0; i < C25_PEEK; i += 4) {
		if (name + i + 4 > end)
			break;
		*(c25_u32 *)(q->raw + DNS_HEADER + i) = *(const c25_u32 *)(name + i);
	}
	*(volatile __u32 *)&q->n = i;
}

/* Without CAP_PERFMON the verifier wants to know the same of an offset on every path: here that it
 * is masked, and nothing else, as it comes from memory each time. */
static __always_inline __u8 *c25_peeked(struct c25_question *q, __u32 at)
{
	at &= C25_PEEK - 1;
	asm volatile("" : "+r"(at));
	return q->raw + DNS_HEADER + at;
}

/* Leaves q->at behind the label there. Zero: stays, at the root label or beyond `n`. */
static __always_inline int c25_label_over(struct c25_question *q, __u32 n)
{
	__u32 at = *(volatile __u32 *)&q->at;
	__u8 len = c25_peeked(q, at)[0];

	if (at >= n || !len)
		return 0;
	*(volatile __u32 *)&q->at = at + len + 1;
	return 1;
}

/* Whether what c25_name_peek() left there is known not to be configured: by how it ends, where it
 * is a whole name. */
static __always_inline int c25_name_other(struct c25_question *q)
{
	__u32 zero = 0, n = *(volatile __u32 *)&q->n, at, bit;
	struct c25_ends *ends = bpf_map_lookup_elem(&c25_ends, &zero);
	__u8 *root;

	if (!ends || !ends->mask)
		return 0;
	q->at = 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < C25_PEEK_LABELS; i++)
		if (!c25_label_over(q, n))
			break;
	at = *(volatile __u32 *)&q->at;
	root = c25_peeked(q, at);
	if (at >= n || *root)
		return 0;
	/* Of a name that is shorter than the mask, what stands before it counts too: no domain is. */
	bit = c25_end_bit(c25_lower8(*(c25_u64 *)(root - 8)) & ends->mask);
	return ends->none[bit / 64 & (C25_END_WORDS - 1)] >> (bit & 63) & 1;
}

#endif
