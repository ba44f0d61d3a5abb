/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lease: lends one magic and one transit address to each (domain, real address) pair.
 *
 * Pure: no clock, no sockets, no maps. The caller passes `now`, in seconds. The table of leases
 * is rebuilt at a start from the records of c25_lease (lease_restore), never stored elsewhere.
 */
#ifndef LEASE_H
#define LEASE_H

#include "addr.h"
#include "c25_abi.h"
#include "cleanup.h"
#include "netmap.h"

#define LEASE_QUARANTINE (5 * 60) /* seconds an address rests before it is lent again */
#define LEASE_MIN_TTL    60
#define LEASE_MAX_TTL    (72 * 3600)
#define LEASE_NO_PEER    UINT32_MAX

struct registration; /* registrar.h */

/* Owned by the table; a pointer is good until lease_end(). Read-only outside lease.c but for
 * the fields named so. */
struct lease {
	struct lease *prev, *next; /* the table's */
	struct c25_addr transit;
	struct c25_addr real;
	uint64_t lent;
	uint64_t hash; /* the index's */
	/* Side by side, since each answer looks at these: */
	struct c25_addr magic;
	enum c25_lease_state state; /* PENDING or LIVE; set by the controller */
	uint32_t app;     /* id in c25_apps; set by the controller when the domain moves */
	uint32_t peer;    /* index in c25_peers of the connector; set by the controller */
	uint32_t standby; /* of another one whose packets c25_transit accepts; by the controller */
	uint32_t key_len;
	uint64_t expires;
	bool restored; /* an earlier run may have told connectors of it that it no longer names */
	struct registration *registration; /* the registrar's own; NULL: none */
	char domain[]; /* lower case, no last dot; with `real` behind its NUL it is the key */
};

struct lease_table;

/* `max`: most leases at once (--max-mappings). */
int lease_table_new(struct lease_table **out, size_t max);
void lease_table_free(struct lease_table *t);
DEFINE_CLEANUP(lease_table, struct lease_table *, lease_table_free)

/* Pools of a new netmap; leases of ranges taken out go on until they end. After -ENOMEM some of
 * the pools are new: call again. */
int lease_set_pools(struct lease_table *t, const struct netmap_ranges pools[NETMAP_POOLS]);

/* Whether addresses of this family can be lent at all (pools of both kinds exist). */
bool lease_has_family(const struct lease_table *t, bool is4);

/*
 * The lease of this pair, made if there is none and then PENDING. `ttl`, in seconds, is clamped
 * to LEASE_MIN_TTL..LEASE_MAX_TTL; a lease in being is prolonged, never shortened.
 * 0; -ENOSPC: pool dry or table full; -EAFNOSUPPORT: no pool of this family; -ENAMETOOLONG: the
 * domain does not fit a record; -ENOMEM.
 */
int lease_lend(struct lease_table *t, struct lease **out, const char *domain,
	       const struct c25_addr *real, uint32_t app, uint32_t ttl, uint64_t now);

/* The lease is over: out of the table and freed, its addresses in quarantine from `now`. */
void lease_end(struct lease_table *t, struct lease *l, uint64_t now);

/* Rebuild one from its record. A QUARANTINE record only takes its addresses out of the pools
 * until it `expires`, and *out is NULL. -EINVAL: record not consistent; -EEXIST: its pair or an
 * address of it is taken by an earlier record. `out` may be NULL. A record is taken even where the
 * table is full or no pool covers its addresses. */
int lease_restore(struct lease_table *t, struct lease **out, const struct c25_addr *magic,
		  const struct c25_lease *record, uint64_t now);

/* Why no lease can be made of a record, NULL: one can. */
const char *lease_record_fault(const struct c25_addr *magic, const struct c25_lease *record);

/* Keep a magic address that is not lent out of its pool until then. 0, -EEXIST, -ENOMEM. */
int lease_rest(struct lease_table *t, const struct c25_addr *magic, uint64_t until);

/* What c25_lease is to hold for it. */
struct c25_lease lease_record(const struct lease *l);

struct lease *lease_by_magic(struct lease_table *t, const struct c25_addr *magic);
struct lease *lease_by_transit(struct lease_table *t, const struct c25_addr *transit);
struct lease *lease_find(struct lease_table *t, const char *domain, const struct c25_addr *real);

/* One who looks for many pairs calls this for each, three before its turn: what is to be read comes
 * into the cache meanwhile, one step with each call. Most of what finding one of many leases costs
 * is waiting for memory. */
void lease_expect(struct lease_table *t, const char *domain, const struct c25_addr *real);

/* Every lease, in no order; `each` may end the one it is given. Stops at and returns the first
 * non-zero result. */
int lease_each(struct lease_table *t, int (*each)(struct lease *l, void *ctx), void *ctx);
/* The same for at most `n` of them, from the one of magic address `*at` on, or from the first where
 * none has it. `*at` becomes that of the next, all zero behind the last. */
int lease_each_from(struct lease_table *t, struct c25_addr *at, size_t n,
		    int (*each)(struct lease *l, void *ctx), void *ctx);
size_t lease_count(const struct lease_table *t);

struct lease_pool_stats {
	uint64_t in_use;
	uint64_t capacity;
};
/* Addresses in quarantine. */
uint64_t lease_pool_resting(const struct lease_table *t, enum netmap_pool which, uint64_t now);
struct lease_pool_stats lease_pool_stats(const struct lease_table *t, enum netmap_pool which);

#endif
