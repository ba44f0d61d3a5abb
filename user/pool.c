/* SPDX-License-Identifier: BSD-3-Clause */
#include "pool.h"

#include "addr_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* So many returned addresses are kept in exact order, more only in a pool that is not much
 * larger. What a vast pool forgets is found again by its cursor, a whole lap later. */
#define REMEMBERED 65536
#define VAST       8

#define LENT SIZE_MAX /* in place of a position in `resting` */

/* An address that may not simply be lent: lent now, or returned and remembered. */
struct known {
	struct c25_addr addr;
	uint64_t free_at;
	uint64_t order; /* of return */
	size_t pos;     /* in `resting`, or LENT */
};

struct span {
	struct range range;
	struct c25_addr next; /* where the cursor goes on */
	bool done;
};

struct pool {
	struct span *spans; /* by address, not overlapping */
	size_t n_spans;
	size_t at; /* the span the cursor is in */
	uint64_t quarantine;
	uint64_t capacity;
	uint64_t inside; /* known addresses within the spans */
	uint64_t lent;
	uint64_t returns;
	struct addr_map known;
	struct known **resting; /* heap, soonest free first; has room for every known address */
	size_t n_resting;
	size_t room;
};

static bool sooner(const struct known *a, const struct known *b)
{
	return a->free_at != b->free_at ? a->free_at < b->free_at : a->order < b->order;
}

static void heap_set(struct pool *p, size_t pos, struct known *k)
{
	p->resting[pos] = k;
	k->pos = pos;
}

/* To the place at `pos`, or above it. */
static void heap_up(struct pool *p, struct known *k, size_t pos)
{
	for (; pos && sooner(k, p->resting[(pos - 1) / 2]); pos = (pos - 1) / 2)
		heap_set(p, pos, p->resting[(pos - 1) / 2]);
	heap_set(p, pos, k);
}

static void heap_push(struct pool *p, struct known *k)
{
	heap_up(p, k, p->n_resting++);
}

static struct known *heap_remove(struct pool *p, struct known *k)
{
	struct known *last = p->resting[--p->n_resting];
	size_t pos = k->pos, child;

	k->pos = LENT;
	if (k == last)
		return k;
	for (; (child = 2 * pos + 1) < p->n_resting; pos = child) {
		if (child + 1 < p->n_resting && sooner(p->resting[child + 1], p->resting[child]))
			child++;
		if (!sooner(p->resting[child], last))
			break;
		heap_set(p, pos, p->resting[child]);
	}
	heap_up(p, last, pos);
	return k;
}

static struct known *heap_pop(struct pool *p)
{
	return heap_remove(p, p->resting[0]);
}

static struct known *known_find(const struct pool *p, const struct c25_addr *a)
{
	return addr_map_get(&p->known, a);
}

/* Room in the heap is made here, so that giving back cannot fail. */
static int known_add(struct pool *p, const struct c25_addr *a)
{
	_cleanup_free_ struct known *k = NULL;
	int err;

	if (p->known.n == p->room) {
		size_t room = p->room ? 2 * p->room : 64;
		struct known **heap = reallocarray(p->resting, room, sizeof(struct known *));

		if (!heap)
			return -ENOMEM;
		p->resting = heap;
		p->room = room;
	}
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->addr = *a;
	k->pos = LENT;
	err = addr_map_put(&p->known, a, k);
	if (err)
		return err;
	k = NULL;
	p->lent++;
	p->inside += pool_covers(p, a);
	return 0;
}

static void known_forget(struct pool *p, struct known *k)
{
	p->inside -= pool_covers(p, &k->addr);
	addr_map_del(&p->known, &k->addr);
	free(k);
}

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
	struct known *k;
	size_t at = 0;

	if (!spans)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		spans[i].range = ranges[i];
	n = spans_merge(spans, n);
	for (size_t i = 0; i < n; i++) {
		const struct span *old = span_of(p, &spans[i].range.from);
		uint64_t size = range_size(&spans[i].range);

		spans[i].next = spans[i].range.from;
		if (old && !memcmp(&old->range, &spans[i].range, sizeof(old->range)))
			spans[i] = *old;
		capacity = size > UINT64_MAX - capacity ? UINT64_MAX : capacity + size;
	}
	free(p->spans);
	p->spans = spans;
	p->n_spans = n;
	p->at = 0;
	p->capacity = capacity;
	p->inside = 0;
	while ((k = addr_map_next(&p->known, &at)))
		p->inside += pool_covers(p, &k->addr);
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
				if (!known_find(p, &s->next))
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

/* The address that came back first, if it may be lent again. */
static struct known *rested(struct pool *p, uint64_t now)
{
	while (p->n_resting && p->resting[0]->free_at <= now) {
		if (pool_covers(p, &p->resting[0]->addr))
			return p->resting[0];
		known_forget(p, heap_pop(p));
	}
	return NULL;
}

bool pool_can_lend(struct pool *p, uint64_t now)
{
	return p->inside < p->capacity || rested(p, now);
}

int pool_lend(struct pool *p, struct c25_addr *out, uint64_t now)
{
	const struct c25_addr *fresh = cursor_seek(p);
	struct c25_addr a;
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
	if (!rested(p, now))
		return -ENOSPC;
	*out = heap_pop(p)->addr;
	p->lent++;
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
	if (k && (k->pos == LENT || k->free_at > now))
		return -EBUSY;
	if (k) {
		heap_remove(p, k);
		p->lent++;
	} else {
		err = known_add(p, &a);
		if (err)
			return err;
	}
	*out = a;
	return 0;
}

int pool_take(struct pool *p, const struct c25_addr *a)
{
	if (known_find(p, a))
		return -EEXIST;
	return known_add(p, a);
}

/* Memory follows what is lent and resting, not what was ever lent. Two at a time, so that what
 * has gathered goes without a long pause. */
static void forget_rested(struct pool *p, uint64_t now)
{
	for (int i = 0; i < 2 && p->n_resting && p->resting[0]->free_at <= now; i++) {
		bool vast = p->n_resting > REMEMBERED && p->inside < p->capacity / VAST;

		if (!vast && pool_covers(p, &p->resting[0]->addr))
			return;
		known_forget(p, heap_pop(p));
	}
}

static void rest(struct pool *p, struct known *k, uint64_t until)
{
	k->free_at = until;
	k->order = p->returns++;
	heap_push(p, k);
	p->lent--;
}

int pool_rest(struct pool *p, const struct c25_addr *a, uint64_t until)
{
	int err = pool_take(p, a);

	if (!err)
		rest(p, known_find(p, a), until);
	return err;
}

void pool_release(struct pool *p, const struct c25_addr *a, uint64_t now)
{
	struct known *k = known_find(p, a);

	if (!k || k->pos != LENT)
		return;
	rest(p, k, now > UINT64_MAX - p->quarantine ? UINT64_MAX : now + p->quarantine);
	forget_rested(p, now);
}

bool pool_covers(const struct pool *p, const struct c25_addr *a)
{
	return span_of(p, a) != NULL;
}

bool pool_holds(const struct pool *p, const struct c25_addr *a)
{
	return known_find(p, a) != NULL;
}

uint64_t pool_resting(const struct pool *p, uint64_t now)
{
	uint64_t n = 0;

	for (size_t i = 0; i < p->n_resting; i++)
		n += p->resting[i]->free_at > now;
	return n;
}

uint64_t pool_in_use(const struct pool *p)
{
	return p->lent;
}

uint64_t pool_capacity(const struct pool *p)
{
	return p->capacity;
}
