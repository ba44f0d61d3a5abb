/* SPDX-License-Identifier: BSD-3-Clause */
#include "pool_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int span_cmp(const void *a, const void *b)
{
	return addr_cmp(&((const struct span *)a)->range.from,
			&((const struct span *)b)->range.from);
}

/* Sorts the spans and merges those that overlap; returns how many remain. */
static size_t spans_merge(struct span *v, size_t n)
{
	size_t out = 0;

	if (!n)
		return 0;
	qsort(v, n, sizeof(*v), span_cmp);
	for (size_t i = 1; i < n; i++) {
		if (!range_overlaps(&v[out].range, &v[i].range))
			v[++out] = v[i];
		else if (addr_cmp(&v[out].range.to, &v[i].range.to) < 0)
			v[out].range.to = v[i].range.to;
	}
	return out + 1;
}

/* The span that holds the address, or NULL. */
static struct span *span_of(const struct pool *p, const struct c25_addr *a)
{
	size_t lo = 0, hi = p->n_spans;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (addr_cmp(&p->spans[mid].range.to, a) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < p->n_spans && range_covers(&p->spans[lo].range, a) ? &p->spans[lo] : NULL;
}

int pool_set_ranges(struct pool *p, const struct range *ranges, size_t n)
{
	struct span *spans = calloc(n ? n : 1, sizeof(*spans));
	uint64_t capacity = 0;
	bool changed;

	if (!spans)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		spans[i].range = ranges[i];
	n = spans_merge(spans, n);
	changed = n != p->n_spans;
	for (size_t i = 0; i < n; i++) {
		const struct span *old = span_of(p, &spans[i].range.from);
		uint64_t size = range_size(&spans[i].range);

		spans[i].next = spans[i].range.from;
		if (old && !memcmp(&old->range, &spans[i].range, sizeof(old->range)))
			spans[i] = *old;
		else
			changed = true;
		capacity = size > UINT64_MAX - capacity ? UINT64_MAX : capacity + size;
	}
	free(p->spans);
	p->spans = spans;
	p->n_spans = n;
	p->at = 0;
	p->capacity = capacity;
	if (changed)
		known_ranges_changed(p);
	return 0;
}

int pool_new(struct pool **out, const struct range *ranges, size_t n, uint64_t quarantine)
{
	_cleanup_(pool) struct pool *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->quarantine = quarantine;
	err = pool_set_ranges(p, ranges, n);
	if (err)
		return err;
	*out = TAKE_PTR(p);
	return 0;
}

void pool_free(struct pool *p)
{
	struct known *k;
	size_t at = 0;

	if (!p)
		return;
	while ((k = addr_map_next(&p->known, &at)))
		free(k);
	addr_map_clear(&p->known);
	free(p->resting);
	free(p->spans);
	free(p);
}

static void cursor_step(struct pool *p)
{
	struct span *s = &p->spans[p->at];

	if (addr_equal(&s->next, &s->range.to) || addr_add(&s->next, &s->next, 1))
		s->done = true;
}

/* The cursor comes to stand on an address that is not known, beginning a new lap if need be. */
static const struct c25_addr *cursor_seek(struct pool *p)
{
	if (p->inside >= p->capacity)
		return NULL;
	for (int lap = 0; lap < 2; lap++) {
		for (; p->at < p->n_spans; p->at++) {
			struct span *s = &p->spans[p->at];

			for (; !s->done; cursor_step(p))
				if (!pool_holds(p, &s->next))
					return &s->next;
		}
		for (p->at = 0; p->at < p->n_spans; p->at++) {
			p->spans[p->at].next = p->spans[p->at].range.from;
			p->spans[p->at].done = false;
		}
		p->at = 0;
	}
	return NULL;
}

bool pool_can_lend(struct pool *p, uint64_t now)
{
	return p->inside < p->capacity || known_rested(p, now);
}

int pool_lend(struct pool *p, struct c25_addr *out, uint64_t now)
{
	const struct c25_addr *fresh = cursor_seek(p);
	struct c25_addr a;
	struct known *k;
	int err;

	if (fresh) {
		a = *fresh;
		err = known_add(p, &a);
		if (err)
			return err;
		cursor_step(p);
		*out = a;
		return 0;
	}
	k = known_rested(p, now);
	if (!k)
		return -ENOSPC;
	known_lend(p, k);
	*out = k->addr;
	return 0;
}

uint64_t pool_offset(const struct pool *p, const struct c25_addr *a)
{
	const struct span *s = span_of(p, a);
	uint64_t before = 0;

	for (const struct span *b = p->spans; s && b < s; b++)
		before += range_size(&b->range);
	return s ? before + range_size(&(struct range){ s->range.from, *a }) - 1 : 0;
}

/* Ones' complement; 0 stands for 0xffff too. */
static uint16_t sum_of(const struct c25_addr *a)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < sizeof(a->b); i += 2)
		sum += (uint32_t)a->b[i] << 8 | a->b[i + 1];
	return (uint16_t)(sum % 0xffff);
}

/* Of the `block`th 65536 addresses of the pool the one that has the sum of `like`: each is 1 more
 * than that of the address before it, whatever was carried. */
static int alike(const struct pool *p, struct c25_addr *out, const struct c25_addr *like,
		 uint64_t block)
{
	for (size_t i = 0; i < p->n_spans; i++) {
		const struct range *r = &p->spans[i].range;
		uint64_t blocks = (range_size(r) - 1) / 65536 + 1;
		struct c25_addr a;

		if (block >= blocks) {
			block -= blocks;
			continue;
		}
		if (addr_add(&a, &r->from, block * 65536) ||
		    addr_add(&a, &a, (sum_of(like) + 0xffffU - sum_of(&a)) % 0xffff) ||
		    !range_covers(r, &a))
			return -EBUSY;
		*out = a;
		return 0;
	}
	return -EBUSY;
}

int pool_lend_like(struct pool *p, struct c25_addr *out, const struct c25_addr *like, uint64_t at,
		   uint64_t now)
{
	struct c25_addr a;
	struct known *k;
	int err = alike(p, &a, like, at / 65536);

	if (err)
		return err;
	k = known_find(p, &a);
	if (k ? k->pos == LENT || k->free_at > now : pool_holds(p, &a))
		return -EBUSY;
	if (k) {
		known_lend(p, k);
	} else {
		err = known_add(p, &a);
		if (err)
			return err;
	}
	*out = a;
	return 0;
}

bool pool_covers(const struct pool *p, const struct c25_addr *a)
{
	return span_of(p, a) != NULL;
}

uint64_t pool_capacity(const struct pool *p)
{
	return p->capacity;
}
