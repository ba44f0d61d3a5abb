/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pool: lends addresses out of ranges, as late as possible a second time.
 *
 * Pure: the caller passes `now`, in seconds. Ranges are never expanded: what was never lent is
 * a cursor, what came back is a queue, oldest first. Lending costs the same near full as empty.
 * The first and last address of a prefix are lent like any other: nothing here is a subnet.
 */
#ifndef POOL_H
#define POOL_H

#include "addr.h"
#include "cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool;

/* An address given back is lent again after `quarantine` seconds at the earliest. */
int pool_new(struct pool **out, const struct range *ranges, size_t n, uint64_t quarantine);
void pool_free(struct pool *p);
DEFINE_CLEANUP(pool, struct pool *, pool_free)

/* Between these two ranges may go from one to the other. An address that one of them has lent, or
 * that rests, is not lent by the other. Before either has lent any. */
void pool_pair(struct pool *a, struct pool *b);

/* Other ranges from now on. Addresses of ranges taken out stay lent until released and are not
 * lent again. 0 or -ENOMEM (nothing changed). */
int pool_set_ranges(struct pool *p, const struct range *ranges, size_t n);

/* 0, or -ENOSPC: every address is lent or in quarantine. */
int pool_lend(struct pool *p, struct c25_addr *out, uint64_t now);

/*
 * An address whose 16-bit words have the same ones' complement sum as those of `like`, so that no
 * checksum changes where one stands in the other's place (RFC 6296, 3.1). `like` is the address at
 * `at` in its own pool (pool_offset()): addresses that are 65536 apart there are so here, so that
 * they do not compete for one. 0, -EBUSY: that address is not in this pool, lent or in
 * quarantine, and pool_lend() must do; or -ENOMEM.
 */
int pool_lend_like(struct pool *p, struct c25_addr *out, const struct c25_addr *like, uint64_t at,
		   uint64_t now);
/* How many addresses of its pool are before one that it covers. */
uint64_t pool_offset(const struct pool *p, const struct c25_addr *a);

/* Whether pool_lend() would find one now. */
bool pool_can_lend(struct pool *p, uint64_t now);

/* Mark one address as lent, as a restart finds it. -EEXIST: pool_holds() it. An address outside
 * the ranges is taken too: it is lent until released. */
int pool_take(struct pool *p, const struct c25_addr *a);

/* The same for one that rests and may be lent again at `until`. */
int pool_rest(struct pool *p, const struct c25_addr *a, uint64_t until);

/* Give back an address that is lent; its quarantine starts at `now`. */
void pool_release(struct pool *p, const struct c25_addr *a, uint64_t now);

bool pool_covers(const struct pool *p, const struct c25_addr *a); /* inside today's ranges */
/* Lent, or given back and not forgotten: surely so while in quarantine. In this pool or the other
 * of its pair. */
bool pool_holds(const struct pool *p, const struct c25_addr *a);
uint64_t pool_resting(const struct pool *p, uint64_t now); /* in quarantine, and in its ranges */
uint64_t pool_in_use(const struct pool *p);                /* lent, without those in quarantine */
uint64_t pool_capacity(const struct pool *p); /* UINT64_MAX stands for that many or more */

#endif
