/* SPDX-License-Identifier: BSD-3-Clause */
#include "leaks.h"
#include "lease.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

SUITE(lease_swap);

/* A netmap may make magic what was transit, and the other way round, while addresses are lent. */
static void set_pools(struct lease_table *t, const char *magic, const char *transit)
{
	struct range m, x;
	struct netmap_ranges pools[NETMAP_POOLS] = { { &m, 1 }, { &x, 1 } };

	cr_assert_eq(range_parse(&m, magic), 0);
	cr_assert_eq(range_parse(&x, transit), 0);
	cr_assert_eq(lease_set_pools(t, pools), 0);
}

static struct lease_table *make(const char *magic, const char *transit)
{
	struct lease_table *t;

	cr_assert_eq(lease_table_new(&t, 1000), 0);
	set_pools(t, magic, transit);
	return t;
}

static struct c25_addr addr(const char *prefix, unsigned last)
{
	struct c25_addr a;
	char text[32];

	snprintf(text, sizeof(text), "%s.%u", prefix, last);
	cr_assert_gt(addr_parse(&a, text), 0);
	return a;
}

static int lend(struct lease_table *t, struct lease **out, unsigned pair, uint64_t now)
{
	struct c25_addr real = addr("192.0.2", pair);

	return lease_lend(t, out, "example.com", &real, 7, 300, now);
}

static struct lease *lent(struct lease_table *t, unsigned pair, uint64_t now)
{
	struct lease *l;

	cr_assert_eq(lend(t, &l, pair, now), 0);
	return l;
}

static uint64_t in_use(const struct lease_table *t, enum netmap_pool pool)
{
	return lease_pool_stats(t, pool).in_use;
}

Test(lease_swap, what_rests_is_lent_as_the_other_kind_once_its_quarantine_is_over_and_not_later)
{
	_cleanup_(lease_table) struct lease_table *t = make("198.18.0.0/31", "198.19.0.0/31");
	struct lease *l;

	for (unsigned i = 0; i < 2; i++)
		lease_end(t, lent(t, i, 0), 0);
	set_pools(t, "198.19.0.0/31", "198.18.0.0/31");
	for (uint64_t now = 0; now < LEASE_QUARANTINE; now += 100)
		cr_assert_eq(lend(t, &l, 5, now), -ENOSPC);
	lent(t, 5, LEASE_QUARANTINE);
	lent(t, 6, LEASE_QUARANTINE);
}

Test(lease_swap, what_is_lent_is_lent_as_the_other_kind_once_it_has_ended_and_rested)
{
	_cleanup_(lease_table) struct lease_table *t = make("198.18.0.0/31", "198.19.0.0/31");
	struct lease *l[2] = { lent(t, 0, 0), lent(t, 1, 0) }, *other;

	set_pools(t, "198.19.0.0/31", "198.18.0.0/31");
	cr_assert_eq(lend(t, &other, 5, 200), -ENOSPC);
	cr_assert_eq(in_use(t, NETMAP_V4_MAGIC), 2);
	cr_assert_eq(lease_pool_resting(t, NETMAP_V4_MAGIC, 200), 0);
	lease_end(t, l[0], 200);
	lease_end(t, l[1], 300);
	cr_assert_eq(lend(t, &other, 5, 499), -ENOSPC);
	lent(t, 5, 500);
	cr_assert_eq(lend(t, &other, 6, 599), -ENOSPC);
	lent(t, 6, 600);
}

Test(lease_swap, what_rests_counts_where_it_could_be_lent)
{
	_cleanup_(lease_table) struct lease_table *t = make("198.18.0.0/31", "198.19.0.0/31");

	lease_end(t, lent(t, 0, 0), 0);
	set_pools(t, "198.20.0.0/30", "198.18.0.0/31");
	cr_assert_eq(lease_pool_resting(t, NETMAP_V4_MAGIC, 1), 0);
	cr_assert_eq(lease_pool_resting(t, NETMAP_V4_TRANSIT, 1), 1);
	set_pools(t, "198.19.0.0/31", "198.20.0.0/30");
	cr_assert_eq(lease_pool_resting(t, NETMAP_V4_MAGIC, 1), 1);
	cr_assert_eq(lease_pool_resting(t, NETMAP_V4_TRANSIT, 1), 0);
	cr_assert_eq(lease_pool_resting(t, NETMAP_V4_MAGIC, LEASE_QUARANTINE), 0);
}

/* As the run before recorded it, magic 198.18.0.N and transit 198.19.0.N. */
static struct lease *restored(struct lease_table *t, unsigned n, enum c25_lease_state state)
{
	struct c25_addr magic = addr("198.18.0", n);
	struct c25_lease rec = {
		.state = state,
		.real = addr("192.0.2", n),
		.transit = addr("198.19.0", n),
		.expires = 200,
		.domain = "example.com",
	};
	struct lease *l;

	cr_assert_eq(lease_restore(t, &l, &magic, &rec, 0), 0);
	return l;
}

Test(lease_swap, a_restart_after_a_swap_knows_what_is_lent_and_what_rests)
{
	_cleanup_(lease_table) struct lease_table *t = make("198.20.0.0/31", "198.18.0.0/30");
	struct lease *l[2], *other;

	for (unsigned i = 0; i < 2; i++) {
		l[i] = restored(t, i, C25_LEASE_LIVE);
		restored(t, 2 + i, C25_LEASE_QUARANTINE);
	}
	cr_assert_eq(in_use(t, NETMAP_V4_TRANSIT), 2);
	cr_assert_eq(lease_pool_resting(t, NETMAP_V4_TRANSIT, 199), 2);
	cr_assert_eq(lend(t, &other, 50, 199), -ENOSPC);
	cr_assert_eq(lease_pool_resting(t, NETMAP_V4_MAGIC, 199), 0, "none is lent in vain");
	lent(t, 50, 200);
	lent(t, 51, 200);
	lease_end(t, l[0], 200);
	set_pools(t, "198.20.0.0/24", "198.18.0.0/30");
	cr_assert_eq(lend(t, &other, 52, 499), -ENOSPC);
	lent(t, 52, 500);
}

static void refuses_what_is_lent_as_the_other_kind(const char *magic_pool, const char *transit_pool)
{
	_cleanup_(lease_table) struct lease_table *t = make(magic_pool, transit_pool);
	struct c25_addr magic = addr("198.18.0", 0), transit = addr("198.19.0", 0);
	struct c25_addr free = addr("198.19.0", 1);
	struct c25_lease rec = { .state = C25_LEASE_LIVE, .domain = "example.net" };

	restored(t, 0, C25_LEASE_LIVE);
	rec.real = addr("192.0.2", 9);
	rec.transit = magic;
	cr_assert_eq(lease_restore(t, NULL, &free, &rec, 0), -EEXIST);
	rec.transit = addr("198.18.0", 1);
	cr_assert_eq(lease_restore(t, NULL, &transit, &rec, 0), -EEXIST);
	cr_assert_eq(lease_rest(t, &transit, 100), -EEXIST);
	cr_assert_eq(lease_restore(t, NULL, &free, &rec, 0), 0);
}

Test(lease_swap, a_record_with_an_address_that_is_lent_as_the_other_kind_is_refused)
{
	refuses_what_is_lent_as_the_other_kind("198.18.0.0/30", "198.19.0.0/30");
	refuses_what_is_lent_as_the_other_kind("198.19.0.0/30", "198.18.0.0/30");
}

/* A model: 96 addresses of three ranges, which take turns in being magic, transit and nothing. */
enum { N = 96, PAIRS = 60 };
static const char *const range[] = { "198.18.0.0/27", "198.18.0.32/27", "198.18.0.64/27" };
static struct lease *by_pair[PAIRS];
static uint64_t free_at[N]; /* UINT64_MAX: lent */
static unsigned magic_range, transit_range;

static unsigned number(const struct c25_addr *a)
{
	return a->b[15];
}

static unsigned count(unsigned of, uint64_t after)
{
	unsigned n = 0;

	for (unsigned i = of * 32; i < of * 32 + 32; i++)
		n += free_at[i] > after && free_at[i] != UINT64_MAX;
	return n;
}

static bool any_free(unsigned of, uint64_t now)
{
	for (unsigned i = of * 32; i < of * 32 + 32; i++)
		if (free_at[i] <= now)
			return true;
	return false;
}

static void lend_one(struct lease_table *t, unsigned pair, uint64_t now)
{
	bool can = any_free(magic_range, now) && any_free(transit_range, now);
	struct lease *l;
	int err = lend(t, &l, pair, now);

	cr_assert_eq(err, can ? 0 : -ENOSPC);
	if (err)
		return;
	cr_assert_eq(number(&l->magic) / 32, magic_range);
	cr_assert_eq(number(&l->transit) / 32, transit_range);
	cr_assert_leq(free_at[number(&l->magic)], now);
	cr_assert_leq(free_at[number(&l->transit)], now);
	free_at[number(&l->magic)] = free_at[number(&l->transit)] = UINT64_MAX;
	by_pair[pair] = l;
}

static void end_one(struct lease_table *t, unsigned pair, uint64_t now)
{
	struct lease *l = by_pair[pair];

	free_at[number(&l->magic)] = free_at[number(&l->transit)] = now + LEASE_QUARANTINE;
	lease_end(t, l, now);
	by_pair[pair] = NULL;
}

Test(lease_swap, nothing_is_lent_twice_or_too_early_and_all_is_counted_whatever_the_netmap_does)
{
	_cleanup_(lease_table) struct lease_table *t = make(range[0], range[1]);
	uint64_t now = 0;
	unsigned live = 0;

	srandom(25);
	transit_range = 1;
	for (int step = 0; step < 100000; step++) {
		unsigned pair = (unsigned)random() % PAIRS;

		now += (uint64_t)random() % 10;
		if (random() % 100 == 0) {
			magic_range = (unsigned)random() % 3;
			transit_range = (magic_range + 1 + (unsigned)random() % 2) % 3;
			set_pools(t, range[magic_range], range[transit_range]);
		} else if (by_pair[pair]) {
			end_one(t, pair, now);
			live--;
		} else {
			lend_one(t, pair, now);
			live += by_pair[pair] != NULL;
		}
		cr_assert_eq(in_use(t, NETMAP_V4_MAGIC), live);
		cr_assert_eq(in_use(t, NETMAP_V4_TRANSIT), live);
		cr_assert_eq(lease_pool_resting(t, NETMAP_V4_MAGIC, now), count(magic_range, now));
		cr_assert_eq(lease_pool_resting(t, NETMAP_V4_TRANSIT, now),
			     count(transit_range, now));
	}
}
