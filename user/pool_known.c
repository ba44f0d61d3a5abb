/* SPDX-License-Identifier: BSD-3-Clause */
#include "pool_int.h"

#include <errno.h>
#include <stdlib.h>

/* So many returned addresses are kept in exact order, more only in a pool that is not much
 * larger. What a vast pool forgets is found again by its cursor, a whole lap later. */
#define REMEMBERED 65536
#define VAST       8

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

static void heap_remove(struct pool *p, struct known *k)
{
	struct known *last = p->resting[--p->n_resting];
	size_t pos = k->pos, child;

	k->pos = LENT;
	if (k == last)
		return;
	for (; (child = 2 * pos + 1) < p->n_resting; pos = child) {
		if (child + 1 < p->n_resting && sooner(p->resting[child + 1], p->resting[child]))
			child++;
		if (!sooner(p->resting[child], last))
			break;
		heap_set(p, pos, p->resting[child]);
	}
	heap_up(p, last, pos);
}

struct known *known_find(const struct pool *p, const struct c25_addr *a)
{
	return addr_map_get(&p->known, a);
}

/* The pool of the pair in whose ranges an address is, NULL: neither. */
static struct pool *pool_of(struct pool *p, const struct c25_addr *a)
{
	if (pool_covers(p, a))
		return p;
	return p->other && pool_covers(p->other, a) ? p->other : NULL;
}

static int known_put(struct pool *p, struct known *k)
{
	if (p->known.n == p->room) {
		size_t room = p->room ? 2 * p->room : 64;
		struct known **heap = reallocarray(p->resting, room, sizeof(struct known *));

		if (!heap)
			return -ENOMEM;
		p->resting = heap;
		p->room = room;
	}
	return addr_map_put(&p->known, &k->addr, k);
}

int known_add(struct pool *p, const struct c25_addr *a)
{
	_cleanup_free_ struct known *k = calloc(1, sizeof(*k));
	struct pool *in = pool_of(p, a);
	int err;

	if (!k)
		return -ENOMEM;
	k->addr = *a;
	k->pos = LENT;
	err = known_put(p, k);
	if (err)
		return err;
	k = NULL;
	p->lent++;
	p->strays += in != p;
	if (in)
		in->inside++;
	return 0;
}

void known_lend(struct pool *p, struct known *k)
{
	heap_remove(p, k);
	p->lent++;
}

static void known_forget(struct pool *p, struct known *k)
{
	struct pool *in = pool_of(p, &k->addr);

	p->strays -= in != p;
	if (in)
		in->inside--;
	heap_remove(p, k);
	addr_map_del(&p->known, &k->addr);
	free(k);
}

/* Where memory is short it rests where it was: then it is not lent before that pool forgets it. */
static void known_rest(struct pool *p, struct known *k)
{
	struct pool *to = pool_of(p, &k->addr);

	if (to && to != p && !known_put(to, k)) {
		addr_map_del(&p->known, &k->addr);
		p->strays--;
		p = to;
	}
	heap_push(p, k);
}

/* How many of those that `q` knows are within the ranges of `p`. */
static uint64_t known_inside(const struct pool *p, const struct pool *q)
{
	const struct known *k;
	uint64_t n = 0;
	size_t at = 0;

	while ((k = addr_map_next(&q->known, &at)))
		n += pool_covers(p, &k->addr);
	return n;
}

/* Each in the pool in whose ranges it is now. */
static void rest_anew(struct pool *p)
{
	size_t n = p->n_resting;

	p->n_resting = 0;
	for (size_t i = 0; i < n; i++)
		known_rest(p, p->resting[i]);
}

void known_ranges_changed(struct pool *p)
{
	struct pool *q = p->other;

	p->inside = known_inside(p, p);
	p->strays = p->known.n - p->inside;
	if (!q)
		return;
	q->inside = known_inside(q, q);
	if (q->strays)
		p->inside += known_inside(p, q);
	if (p->strays)
		q->inside += known_inside(q, p);
	rest_anew(p);
	rest_anew(q);
}

void pool_pair(struct pool *a, struct pool *b)
{
	a->other = b;
	b->other = a;
}

struct known *known_rested(struct pool *p, uint64_t now)
{
	while (p->n_resting && p->resting[0]->free_at <= now) {
		if (pool_covers(p, &p->resting[0]->addr))
			return p->resting[0];
		known_forget(p, p->resting[0]);
	}
	return NULL;
}

int pool_take(struct pool *p, const struct c25_addr *a)
{
	if (pool_holds(p, a))
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
		known_forget(p, p->resting[0]);
	}
}

static void rest(struct pool *p, struct known *k, uint64_t until)
{
	k->free_at = until;
	k->order = p->returns++;
	p->lent--;
	known_rest(p, k);
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

bool pool_holds(const struct pool *p, const struct c25_addr *a)
{
	const struct pool *q = p->other;

	if (known_find(p, a))
		return true;
	/* Without a look-up where it can know none. */
	return q && (q->strays || pool_covers(q, a)) && known_find(q, a);
}

uint64_t pool_resting(const struct pool *p, uint64_t now)
{
	uint64_t n = 0;

	for (size_t i = 0; i < p->n_resting; i++)
		n += p->resting[i]->free_at > now && pool_covers(p, &p->resting[i]->addr);
	return n;
}

uint64_t pool_in_use(const struct pool *p)
{
	return p->lent;
}
