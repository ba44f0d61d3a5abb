/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pool_int: what the pool's own files share.
 *
 * pool.c       ranges, and what is lent next
 * pool_known.c what is lent, and what rests
 */
#ifndef POOL_INT_H
#define POOL_INT_H

#include "addr_map.h"
#include "pool.h"

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

/* Of a pair at most one knows an address: what is lent stays with the pool that lent it, what
 * rests goes to the one in whose ranges it is. */
struct pool {
	struct pool *other; /* of the pair; NULL: none */
	struct span *spans; /* by address, not overlapping */
	size_t n_spans;
	size_t at; /* the span the cursor is in */
	uint64_t quarantine;
	uint64_t capacity;
	uint64_t inside; /* addresses within the spans that this one or the other knows */
	uint64_t strays; /* known addresses outside of them */
	uint64_t lent;
	uint64_t returns;
	struct addr_map known;
	struct known **resting; /* heap, soonest free first; has room for every known address */
	size_t n_resting;
	size_t room;
};

/* Room is made here, so that giving back cannot fail. 0 or -ENOMEM. */
int known_add(struct pool *p, const struct c25_addr *a);
struct known *known_find(const struct pool *p, const struct c25_addr *a);
/* The address that came back first, if it may be lent again; NULL: none may. */
struct known *known_rested(struct pool *p, uint64_t now);
/* It rests no more. */
void known_lend(struct pool *p, struct known *k);
/* Gives what rests to the pool in whose ranges it is now. */
void known_ranges_changed(struct pool *p);

#endif
