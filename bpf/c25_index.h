/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_index: from a tuple to its flow.
 *
 * A hash of our own, because every packet pays for it: no function is called, and a flow is found
 * in one line of the cache and its own. A tuple is in one of two buckets. Cells are taken and given
 * back by compare and swap; whoever takes one looks again whether another CPU was at the same
 * tuple, and gives way.
 */
#ifndef C25_INDEX_H
#define C25_INDEX_H

#include "c25_parse.h"

#define C25_OUT  0
#define C25_BACK 1

#define C25_EEXIST 17
#define C25_ENOSPC 28

#define C25_SLOT_MASK ((1ULL << C25_SLOT_BITS) - 1)
/* Beyond this the other bucket is looked at too: it may have more room. */
#define C25_CELLS_EASY 6

/* Keyed by what peers do not know, so that none can choose where its flows go. */
static __always_inline __u64 c25_tuple_hash(const struct c25_tuple *t, __u32 dir)
{
	const c25_u64 *w = c25_words64(t);
	__u64 seed = c25_name_start(c25_cookie);
	__u64 a = (w[0] ^ seed) * 0x9e3779b97f4a7c15ULL;
	__u64 b = (w[2] ^ seed >> 7) * 0xd6e8feb86659fd93ULL;

	a = (a ^ a >> 32 ^ w[1]) * 0xd6e8feb86659fd93ULL;
	b = (b ^ b >> 32 ^ w[3]) * 0x9e3779b97f4a7c15ULL;
	a ^= a >> 29 ^ b ^ b >> 32 ^ w[4] << 1 ^ dir;
	a = (a ^ seed) * 0x9e3779b97f4a7c15ULL;
	a = (a ^ a >> 32) * 0xd6e8feb86659fd93ULL;
	return a ^ a >> 32;
}

/* What tells apart those of one bucket; never 0, as empty cells are. */
static __always_inline __u64 c25_hash_tag(__u64 hash)
{
	return hash >> C25_SLOT_BITS | 1;
}

static __always_inline struct c25_bucket *c25_bucket_first(__u64 hash)
{
	__u32 at = hash & c25_index_mask;

	return bpf_map_lookup_elem(&c25_index, &at);
}

/* Never the first one, as long as there are two. */
static __always_inline struct c25_bucket *c25_bucket_second(__u64 hash)
{
	__u32 at = (hash ^ ((hash >> C25_SLOT_BITS) * 0x9e3779b1 | 1)) & c25_index_mask;

	return bpf_map_lookup_elem(&c25_index, &at);
}

static __always_inline __u64 c25_cell(const struct c25_bucket *b, const int i)
{
	return *(volatile const __u64 *)&b->cell[i];
}

/* A slot plus 1; 0: not here. */
static __always_inline __u32 c25_bucket_find(const struct c25_bucket *b, __u64 tag)
{
	__u64 cell;

#pragma unroll
	for (int i = 0; i < C25_CELLS; i++) {
		cell = c25_cell(b, i);
		if (cell >> C25_SLOT_BITS == tag)
			return cell & C25_SLOT_MASK;
	}
	return 0;
}

static __always_inline int c25_tuple_eq(const struct c25_tuple *a, const struct c25_tuple *b)
{
	const c25_u64 *x = c25_words64(a), *y = c25_words64(b);

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]));
}

/* The flow of a tuple, in whatever state, and its slot. */
static __always_inline struct c25_flow *c25_index_near(const struct c25_tuple *t, const int dir,
						       __u32 *slot)
{
	__u64 hash = c25_tuple_hash(t, dir);
	struct c25_bucket *b = c25_bucket_first(hash);
	struct c25_flow *f;
	__u32 found = 0;

	if (b)
		found = c25_bucket_find(b, c25_hash_tag(hash));
	if (!found) {
		b = c25_bucket_second(hash);
		if (b)
			found = c25_bucket_find(b, c25_hash_tag(hash));
	}
	if (!found)
		return NULL;
	*slot = found - 1;
	f = bpf_map_lookup_elem(&c25_flows, slot);
	/* Another tuple may have the same hash, if rarely. */
	return f && c25_tuple_eq(dir == C25_OUT ? &f->out : &f->in, t) ? f : NULL;
}

/* A slot plus 1; 0: there is none. */
__noinline __u32 c25_index_slot(const struct c25_tuple *t, __u32 dir)
{
	__u32 slot;

	if (!t)
		return 0;
	if (dir == C25_OUT)
		return c25_index_near(t, C25_OUT, &slot) ? slot + 1 : 0;
	return c25_index_near(t, C25_BACK, &slot) ? slot + 1 : 0;
}

/* As c25_index_near(), where it is not for each packet. */
static __always_inline struct c25_flow *c25_index_find(const struct c25_tuple *t, const int dir,
						       __u32 *slot)
{
	*slot = c25_index_slot(t, dir) - 1;
	return bpf_map_lookup_elem(&c25_flows, slot);
}

/* 1 or 0, without a branch: of eight in a row the verifier would follow every combination. */
static __always_inline __u64 c25_is_zero(__u64 v)
{
	asm volatile("" : "+r"(v));
	return (~v & (v - 1)) >> 63;
}

static __always_inline int c25_bucket_used(const struct c25_bucket *b)
{
	int n = C25_CELLS;

#pragma unroll
	for (int i = 0; i < C25_CELLS; i++)
		n -= c25_is_zero(c25_cell(b, i));
	return n;
}

/* Non-zero: taken. */
static __always_inline int c25_bucket_take(struct c25_bucket *b, __u64 cell)
{
#pragma unroll
	for (int i = 0; i < C25_CELLS; i++)
		if (!c25_cell(b, i) && !__sync_val_compare_and_swap(&b->cell[i], 0, cell))
			return 1;
	return 0;
}

static __always_inline void c25_bucket_give(struct c25_bucket *b, __u64 cell)
{
#pragma unroll
	for (int i = 0; i < C25_CELLS; i++)
		if (c25_cell(b, i) == cell)
			__sync_val_compare_and_swap(&b->cell[i], cell, 0);
}

/* Cells with this tag. */
static __always_inline int c25_bucket_same(const struct c25_bucket *b, __u64 tag)
{
	int n = 0;

#pragma unroll
	for (int i = 0; i < C25_CELLS; i++)
		n += c25_is_zero((c25_cell(b, i) >> C25_SLOT_BITS) ^ tag);
	return n;
}

/* -EEXIST: another flow has the tuple, or is just being given it; -ENOSPC: no room. */
__noinline long c25_index_add(const struct c25_tuple *t, __u32 dir, __u32 slot)
{
	struct c25_bucket *first, *second;
	__u64 hash, tag, cell;
	int used, taken;

	if (!t)
		return -C25_ENOSPC;
	hash = c25_tuple_hash(t, dir);
	tag = c25_hash_tag(hash);
	cell = tag << C25_SLOT_BITS | (slot + 1);
	first = c25_bucket_first(hash);
	second = c25_bucket_second(hash);
	if (!first || !second)
		return -C25_ENOSPC;
	if (c25_bucket_same(first, tag) + c25_bucket_same(second, tag))
		return -C25_EEXIST;
	used = c25_bucket_used(first);
	if (used < C25_CELLS_EASY || used <= c25_bucket_used(second))
		taken = c25_bucket_take(first, cell) || c25_bucket_take(second, cell);
	else
		taken = c25_bucket_take(second, cell) || c25_bucket_take(first, cell);
	if (!taken)
		return -C25_ENOSPC;
	if (c25_bucket_same(first, tag) + c25_bucket_same(second, tag) == 1)
		return 0;
	c25_bucket_give(first, cell);
	c25_bucket_give(second, cell);
	return -C25_EEXIST;
}

__noinline int c25_index_del(const struct c25_tuple *t, __u32 dir, __u32 slot)
{
	struct c25_bucket *b;
	__u64 hash, cell;

	if (!t)
		return 0;
	hash = c25_tuple_hash(t, dir);
	cell = c25_hash_tag(hash) << C25_SLOT_BITS | (slot + 1);
	b = c25_bucket_first(hash);
	if (b)
		c25_bucket_give(b, cell);
	b = c25_bucket_second(hash);
	if (b)
		c25_bucket_give(b, cell);
	return 0;
}

#endif
