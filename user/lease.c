/* SPDX-License-Identifier: BSD-3-Clause */
#include "lease.h"

#include "addr_map.h"
#include "lease_index.h"
#include "pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define CACHE_LINE 64

struct lease_table {
	size_t max;
	struct pool *pools[NETMAP_POOLS];
	struct lease *leases;
	struct lease_index by_pair;
	struct addr_map by_magic, by_transit;
	uint64_t expected[2]; /* hashes of the pairs of lease_expect(), the last one first */
};

/* What by_pair goes by: the domain with its NUL, then the real address, in one piece. A lease
 * keeps it in `domain`, which is longer than the name for that. */
struct pair {
	char key[C25_NAME_LEN + sizeof(struct c25_addr)];
	unsigned len;
};

static int pair_make(struct pair *out, const char *domain, const struct c25_addr *real)
{
	size_t len = strlen(domain) + 1;

	if (len > C25_NAME_LEN)
		return -ENAMETOOLONG;
	memcpy(out->key, domain, len);
	memcpy(out->key + len, real, sizeof(*real));
	out->len = (unsigned)(len + sizeof(*real));
	return 0;
}

static struct lease *find_pair(const struct lease_table *t, const struct pair *pair)
{
	return lease_index_get(&t->by_pair, pair->key, pair->len);
}

static enum netmap_pool magic_pool(bool is4)
{
	return is4 ? NETMAP_V4_MAGIC : NETMAP_V6_MAGIC;
}

static enum netmap_pool transit_pool(bool is4)
{
	return is4 ? NETMAP_V4_TRANSIT : NETMAP_V6_TRANSIT;
}

int lease_table_new(struct lease_table **out, size_t max)
{
	_cleanup_(lease_table) struct lease_table *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->max = max;
	err = lease_index_init(&t->by_pair);
	if (err)
		return err;
	for (int i = 0; i < NETMAP_POOLS; i++) {
		err = pool_new(&t->pools[i], NULL, 0, LEASE_QUARANTINE);
		if (err)
			return err;
	}
	pool_pair(t->pools[NETMAP_V4_MAGIC], t->pools[NETMAP_V4_TRANSIT]);
	pool_pair(t->pools[NETMAP_V6_MAGIC], t->pools[NETMAP_V6_TRANSIT]);
	*out = TAKE_PTR(t);
	return 0;
}

static void unlink_lease(struct lease_table *t, struct lease *l)
{
	DL_DELETE(t->leases, l);
	lease_index_del(&t->by_pair, l);
	addr_map_del(&t->by_magic, &l->magic);
	addr_map_del(&t->by_transit, &l->transit);
}

void lease_table_free(struct lease_table *t)
{
	struct lease *l, *tmp;

	if (!t)
		return;
	addr_map_clear(&t->by_magic);
	addr_map_clear(&t->by_transit);
	lease_index_clear(&t->by_pair);
	DL_FOREACH_SAFE (t->leases, l, tmp)
		free(l);
	for (int i = 0; i < NETMAP_POOLS; i++)
		pool_free(t->pools[i]);
	free(t);
}

int lease_set_pools(struct lease_table *t, const struct netmap_ranges pools[NETMAP_POOLS])
{
	int err;

	for (int i = 0; i < NETMAP_POOLS; i++) {
		err = pool_set_ranges(t->pools[i], pools[i].v, pools[i].n);
		if (err)
			return err;
	}
	return 0;
}

bool lease_has_family(const struct lease_table *t, bool is4)
{
	return pool_capacity(t->pools[magic_pool(is4)]) &&
	       pool_capacity(t->pools[transit_pool(is4)]);
}

static uint64_t expiry(uint32_t ttl, uint64_t now)
{
	if (ttl < LEASE_MIN_TTL)
		ttl = LEASE_MIN_TTL;
	if (ttl > LEASE_MAX_TTL)
		ttl = LEASE_MAX_TTL;
	return now + ttl;
}

/* The addresses are the caller's, lent or taken, and stay so on failure. */
static int link_lease(struct lease_table *t, struct lease **out, const struct pair *pair,
		      const struct c25_addr *magic, const struct c25_addr *transit)
{
	size_t size = (sizeof(struct lease) + pair->len + CACHE_LINE - 1) & ~(CACHE_LINE - 1UL);
	struct lease *l = aligned_alloc(CACHE_LINE, size);

	if (!l)
		return -ENOMEM;
	memset(l, 0, size);
	l->key_len = pair->len;
	memcpy(l->domain, pair->key, pair->len);
	memcpy(&l->real, pair->key + pair->len - sizeof(l->real), sizeof(l->real));
	l->magic = *magic;
	l->transit = *transit;
	l->standby = LEASE_NO_PEER;
	if (lease_index_put(&t->by_pair, l))
		goto no_memory;
	if (addr_map_put(&t->by_magic, magic, l))
		goto no_magic;
	if (addr_map_put(&t->by_transit, transit, l))
		goto no_transit;
	DL_APPEND(t->leases, l);
	*out = l;
	return 0;

no_transit:
	addr_map_del(&t->by_magic, magic);
no_magic:
	lease_index_del(&t->by_pair, l);
no_memory:
	free(l);
	return -ENOMEM;
}

/* One address of each pool, with the same sum where that can be: then the client's translation
 * leaves the checksums behind the IP header alone. What the smaller pool has decides. */
static int lend_both(struct pool *few, struct pool *many, struct c25_addr *a, struct c25_addr *b,
		     uint64_t now)
{
	int err;

	err = pool_lend(few, a, now);
	if (err)
		return err;
	err = pool_lend_like(many, b, a, pool_offset(few, a), now);
	if (err == -EBUSY)
		err = pool_lend(many, b, now);
	if (err)
		pool_release(few, a, now);
	return err;
}

static int lend_new(struct lease_table *t, struct lease **out, const struct pair *pair, bool is4,
		    uint64_t now)
{
	struct pool *m = t->pools[magic_pool(is4)], *x = t->pools[transit_pool(is4)];
	struct c25_addr magic, transit;
	int err;

	/* Looked at before either is lent, as what is given back must rest. */
	if (t->by_pair.n >= t->max || !pool_can_lend(m, now) || !pool_can_lend(x, now))
		return -ENOSPC;
	if (pool_capacity(m) < pool_capacity(x))
		err = lend_both(m, x, &magic, &transit, now);
	else
		err = lend_both(x, m, &transit, &magic, now);
	if (err)
		return err;
	err = link_lease(t, out, pair, &magic, &transit);
	if (err) {
		pool_release(x, &transit, now);
		pool_release(m, &magic, now);
	}
	return err;
}

int lease_lend(struct lease_table *t, struct lease **out, const char *domain,
	       const struct c25_addr *real, uint32_t app, uint32_t ttl, uint64_t now)
{
	bool is4 = addr_is4(real);
	struct pair pair;
	struct lease *l;
	int err;

	err = pair_make(&pair, domain, real);
	if (err)
		return err;
	l = find_pair(t, &pair);
	if (!l) {
		if (!lease_has_family(t, is4))
			return -EAFNOSUPPORT;
		err = lend_new(t, &l, &pair, is4, now);
		if (err)
			return err;
		l->state = C25_LEASE_PENDING;
		l->app = app;
		l->peer = LEASE_NO_PEER;
		l->lent = now;
	}
	if (l->expires < expiry(ttl, now))
		l->expires = expiry(ttl, now);
	*out = l;
	return 0;
}

void lease_end(struct lease_table *t, struct lease *l, uint64_t now)
{
	bool is4 = addr_is4(&l->magic);

	unlink_lease(t, l);
	pool_release(t->pools[magic_pool(is4)], &l->magic, now);
	pool_release(t->pools[transit_pool(is4)], &l->transit, now);
	free(l);
}

const char *lease_record_fault(const struct c25_addr *magic, const struct c25_lease *record)
{
	bool is4 = addr_is4(magic);

	if (record->state != C25_LEASE_PENDING && record->state != C25_LEASE_LIVE &&
	    record->state != C25_LEASE_QUARANTINE)
		return "it has no state";
	if (!record->domain[0] || !memchr(record->domain, 0, sizeof(record->domain)))
		return "it has no name";
	if (addr_is_zero(magic) || addr_is_zero(&record->transit) || addr_is_zero(&record->real))
		return "it lacks an address";
	if (addr_is4(&record->transit) != is4 || addr_is4(&record->real) != is4)
		return "its addresses are of both families";
	if (addr_equal(magic, &record->transit))
		return "its magic and transit address are the same";
	return NULL;
}

int lease_rest(struct lease_table *t, const struct c25_addr *magic, uint64_t until)
{
	return pool_rest(t->pools[magic_pool(addr_is4(magic))], magic, until);
}

static int restore_resting(struct pool *m, struct pool *x, const struct c25_addr *magic,
			   const struct c25_addr *transit, uint64_t until, uint64_t now)
{
	int err;

	if (until <= now)
		return 0;
	/* No record may keep an address for longer than any quarantine lasts. */
	if (until - now > LEASE_QUARANTINE)
		until = now + LEASE_QUARANTINE;
	err = pool_rest(m, magic, until);
	return err ? err : pool_rest(x, transit, until);
}

static int restore_lent(struct lease_table *t, struct lease **out, struct pool *m, struct pool *x,
			const struct c25_addr *magic, const struct c25_lease *rec, uint64_t now)
{
	struct pair pair;
	int err;

	err = pair_make(&pair, rec->domain, &rec->real);
	if (err)
		return err;
	if (find_pair(t, &pair))
		return -EEXIST;
	err = pool_take(m, magic);
	if (err)
		return err;
	err = pool_take(x, &rec->transit);
	if (err)
		goto give_magic;
	err = link_lease(t, out, &pair, magic, &rec->transit);
	if (err)
		goto give_both;
	return 0;

give_both:
	pool_release(x, &rec->transit, now);
give_magic:
	pool_release(m, magic, now);
	return err;
}

int lease_restore(struct lease_table *t, struct lease **out, const struct c25_addr *magic,
		  const struct c25_lease *record, uint64_t now)
{
	bool is4 = addr_is4(magic);
	struct pool *m = t->pools[magic_pool(is4)], *x = t->pools[transit_pool(is4)];
	struct lease *l = NULL;
	int err;

	if (lease_record_fault(magic, record))
		return -EINVAL;
	if (pool_holds(m, magic) || pool_holds(x, &record->transit))
		return -EEXIST;
	if (record->state == C25_LEASE_QUARANTINE) {
		err = restore_resting(m, x, magic, &record->transit, record->expires, now);
	} else {
		err = restore_lent(t, &l, m, x, magic, record, now);
		if (err)
			return err;
		l->state = record->state;
		l->app = record->app;
		l->peer = record->peer;
		l->lent = record->lent;
		l->expires = record->expires;
		l->restored = true;
	}
	if (!err && out)
		*out = l;
	return err;
}

struct c25_lease lease_record(const struct lease *l)
{
	struct c25_lease rec = { 0 };

	rec.real = l->real;
	rec.transit = l->transit;
	rec.state = l->state;
	rec.app = l->app;
	rec.peer = l->peer;
	rec.lent = l->lent;
	rec.expires = l->expires;
	memcpy(rec.domain, l->domain, strlen(l->domain) + 1); /* pair_make() saw that it fits */
	return rec;
}

struct lease *lease_by_magic(struct lease_table *t, const struct c25_addr *magic)
{
	return addr_map_get(&t->by_magic, magic);
}

struct lease *lease_by_transit(struct lease_table *t, const struct c25_addr *transit)
{
	return addr_map_get(&t->by_transit, transit);
}

struct lease *lease_find(struct lease_table *t, const char *domain, const struct c25_addr *real)
{
	struct pair pair;

	return pair_make(&pair, domain, real) ? NULL : find_pair(t, &pair);
}

void lease_expect(struct lease_table *t, const char *domain, const struct c25_addr *real)
{
	struct pair pair;

	if (pair_make(&pair, domain, real))
		return;
	lease_index_fetch_registration(&t->by_pair, t->expected[1]);
	lease_index_fetch_lease(&t->by_pair, t->expected[0]);
	t->expected[1] = t->expected[0];
	t->expected[0] = lease_index_hash(&t->by_pair, pair.key, pair.len);
	lease_index_fetch_slot(&t->by_pair, t->expected[0]);
}

int lease_each(struct lease_table *t, int (*each)(struct lease *l, void *ctx), void *ctx)
{
	struct lease *l, *tmp;
	int err;

	DL_FOREACH_SAFE (t->leases, l, tmp) {
		err = each(l, ctx);
		if (err)
			return err;
	}
	return 0;
}

int lease_each_from(struct lease_table *t, struct c25_addr *at, size_t n,
		    int (*each)(struct lease *l, void *ctx), void *ctx)
{
	struct lease *l = lease_by_magic(t, at), *next;
	int err = 0;

	for (l = l ? l : t->leases; l && n && !err; l = next, n--) {
		next = l->next;
		err = each(l, ctx);
	}
	*at = l ? l->magic : (struct c25_addr){ 0 };
	return err;
}

size_t lease_count(const struct lease_table *t)
{
	return t->by_pair.n;
}

uint64_t lease_pool_resting(const struct lease_table *t, enum netmap_pool which, uint64_t now)
{
	return pool_resting(t->pools[which], now);
}

struct lease_pool_stats lease_pool_stats(const struct lease_table *t, enum netmap_pool which)
{
	return (struct lease_pool_stats){ .in_use = pool_in_use(t->pools[which]),
					  .capacity = pool_capacity(t->pools[which]) };
}
