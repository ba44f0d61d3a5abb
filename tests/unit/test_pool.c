/* SPDX-License-Identifier: BSD-3-Clause */
#include "leaks.h"
#include "pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SUITE(pool);

#define REST 300

static struct range R(const char *text) {
	struct range r;

	cr_assert_eq(range_parse(&r, text), 0, "%s", text);
	return r;
}

static struct c25_addr
A(const char *text) {
	struct c25_addr a;

	cr_assert_gt(addr_parse(&a, text), 0, "%s", text);
	return a;
}

static struct pool *
make(const char *range)
{
	struct range r = R(range);
	struct pool *p;

	cr_assert_eq(pool_new(&p, &r, 1, REST), 0);
	return p;
}

static void lends(struct pool *p, uint64_t now, const char *want)
{
	struct c25_addr a, w = A(want);
	char buf[ADDR_STRLEN];

	cr_assert_eq(pool_lend(p, &a, now), 0, "wanted %s", want);
	cr_assert(addr_equal(&a, &w), "lent %s, wanted %s", addr_print(buf, &a), want);
}

static void gives(struct pool *p, const char *text, uint64_t now)
{
	struct c25_addr a = A(text);

	pool_release(p, &a, now);
}

static void dry(struct pool *p, uint64_t now)
{
	struct c25_addr a;

	cr_assert_not(pool_can_lend(p, now));
	cr_assert_eq(pool_lend(p, &a, now), -ENOSPC);
}

Test(pool, every_address_is_lent_once_and_then_the_pool_is_dry)
{
	_cleanup_(pool) struct pool *p = make("192.0.2.0/30");

	cr_assert_eq(pool_capacity(p), 4);
	lends(p, 0, "192.0.2.0");
	lends(p, 0, "192.0.2.1");
	lends(p, 0, "192.0.2.2");
	lends(p, 0, "192.0.2.3");
	cr_assert_eq(pool_in_use(p), 4);
	dry(p, 1000000);
}

Test(pool, vast_ranges_are_not_expanded)
{
	_cleanup_(pool) struct pool *p = make("fd25::/64"), *q = make("fd25:a::/96"),
				    *all = make("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");

	cr_assert_eq(pool_capacity(p), UINT64_MAX);
	cr_assert_eq(pool_capacity(q), UINT64_C(1) << 32);
	cr_assert_eq(pool_capacity(all), UINT64_MAX);
	lends(p, 0, "fd25::");
	lends(q, 0, "fd25:a::");
	lends(q, 0, "fd25:a::1");
}

Test(pool, never_lent_ones_come_before_returned_ones)
{
	_cleanup_(pool) struct pool *p = make("192.0.2.0/30");

	lends(p, 0, "192.0.2.0");
	lends(p, 0, "192.0.2.1");
	gives(p, "192.0.2.0", 0);
	lends(p, 100000, "192.0.2.2");
	lends(p, 100000, "192.0.2.3");
	lends(p, 100000, "192.0.2.0");
	dry(p, 100000);
}

Test(pool, the_oldest_returned_one_is_lent_first)
{
	_cleanup_(pool) struct pool *p = make("192.0.2.0/29");

	for (int i = 0; i < 8; i++)
		cr_assert_eq(pool_lend(p, &(struct c25_addr){ 0 }, 0), 0);
	gives(p, "192.0.2.5", 10);
	gives(p, "192.0.2.1", 10);
	gives(p, "192.0.2.7", 11);
	gives(p, "192.0.2.0", 12);
	lends(p, 1000, "192.0.2.5");
	lends(p, 1000, "192.0.2.1");
	gives(p, "192.0.2.5", 1000);
	lends(p, 2000, "192.0.2.7");
	lends(p, 2000, "192.0.2.0");
	lends(p, 2000, "192.0.2.5");
}

Test(pool, a_returned_address_is_not_lent_before_its_quarantine)
{
	_cleanup_(pool) struct pool *p = make("192.0.2.9");

	lends(p, 0, "192.0.2.9");
	gives(p, "192.0.2.9", 1000);
	cr_assert_eq(pool_in_use(p), 0);
	dry(p, 1000);
	dry(p, 1000 + REST - 1);
	dry(p, 5); /* a clock that goes back only makes it longer */
	cr_assert(pool_can_lend(p, 1000 + REST));
	lends(p, 1000 + REST, "192.0.2.9");
}

Test(pool, giving_back_what_is_not_lent_does_nothing)
{
	_cleanup_(pool) struct pool *p = make("192.0.2.0/31");

	gives(p, "192.0.2.0", 0);
	gives(p, "198.51.100.1", 0);
	lends(p, 0, "192.0.2.0");
	gives(p, "192.0.2.0", 10);
	gives(p, "192.0.2.0", 5000);
	lends(p, 10, "192.0.2.1");
	lends(p, 10 + REST, "192.0.2.0");
	cr_assert_eq(pool_in_use(p), 2);
}

Test(pool, a_taken_address_is_not_lent)
{
	_cleanup_(pool) struct pool *p = make("192.0.2.0/30");
	struct c25_addr a = A("192.0.2.1"), far = A("203.0.113.1");

	cr_assert_eq(pool_take(p, &a), 0);
	cr_assert_eq(pool_take(p, &a), -EEXIST);
	cr_assert_eq(pool_take(p, &far), 0);
	cr_assert_eq(pool_in_use(p), 2);
	lends(p, 0, "192.0.2.0");
	lends(p, 0, "192.0.2.2");
	lends(p, 0, "192.0.2.3");
	dry(p, 0);
	pool_release(p, &far, 0);
	dry(p, 100000);
	pool_release(p, &a, 0);
	lends(p, REST, "192.0.2.1");
}

Test(pool, resting_addresses_restored_in_any_order_come_back_in_time)
{
	_cleanup_(pool) struct pool *p = make("192.0.2.0/30");
	struct c25_addr v[] = { A("192.0.2.0"), A("192.0.2.1"), A("192.0.2.2"), A("192.0.2.3") };
	const uint64_t until[] = { 50, 20, 40, 30 };

	for (int i = 0; i < 4; i++)
		cr_assert_eq(pool_rest(p, &v[i], until[i]), 0);
	cr_assert_eq(pool_rest(p, &v[0], 1), -EEXIST);
	cr_assert_eq(pool_take(p, &v[0]), -EEXIST);
	cr_assert_eq(pool_in_use(p), 0);
	dry(p, 19);
	lends(p, 20, "192.0.2.1");
	dry(p, 29);
	lends(p, 40, "192.0.2.3");
	lends(p, 40, "192.0.2.2");
	dry(p, 49);
	lends(p, 50, "192.0.2.0");
}

Test(pool, a_range_taken_out_lends_no_more_and_its_addresses_stay_lent)
{
	_cleanup_(pool) struct pool *p = make("192.0.2.0/30");
	struct range a = R("192.0.2.0/30"), b = R("198.51.100.0/31");
	struct c25_addr first = A("192.0.2.0");

	lends(p, 0, "192.0.2.0");
	lends(p, 0, "192.0.2.1");
	gives(p, "192.0.2.1", 0);
	cr_assert_eq(pool_set_ranges(p, &b, 1), 0);
	cr_assert_eq(pool_in_use(p), 1);
	cr_assert(pool_holds(p, &first));
	cr_assert_not(pool_covers(p, &first));
	lends(p, 10000, "198.51.100.0");
	lends(p, 10000, "198.51.100.1");
	dry(p, 10000);

	cr_assert_eq(pool_set_ranges(p, &a, 1), 0);
	lends(p, 10000, "192.0.2.1"); /* forgotten with its range: as good as never lent */
	lends(p, 10000, "192.0.2.2");
	lends(p, 10000, "192.0.2.3");
	dry(p, 10000);
}

Test(pool, a_range_taken_out_and_added_back_keeps_its_quarantine)
{
	_cleanup_(pool) struct pool *p = make("192.0.2.8/31");
	struct range a = R("192.0.2.8/31");

	lends(p, 0, "192.0.2.8");
	lends(p, 0, "192.0.2.9");
	gives(p, "192.0.2.8", 100);
	cr_assert_eq(pool_set_ranges(p, NULL, 0), 0);
	cr_assert_eq(pool_capacity(p), 0);
	dry(p, 200);
	gives(p, "192.0.2.9", 150);
	cr_assert_eq(pool_set_ranges(p, &a, 1), 0);
	dry(p, 100 + REST - 1);
	lends(p, 100 + REST, "192.0.2.8");
	dry(p, 100 + REST);
	lends(p, 150 + REST, "192.0.2.9");
}

Test(pool, a_range_that_stays_goes_on_where_it_was)
{
	_cleanup_(pool) struct pool *p = make("192.0.2.0/29");
	struct range both[] = { R("198.51.100.0/31"), R("192.0.2.0/29") };

	lends(p, 0, "192.0.2.0");
	gives(p, "192.0.2.0", 0);
	cr_assert_eq(pool_set_ranges(p, both, 2), 0);
	lends(p, 10000, "192.0.2.1");
}

Test(pool, ranges_that_overlap_are_lent_once)
{
	struct range both[] = { R("192.0.2.0-192.0.2.2"), R("192.0.2.1-192.0.2.3"),
				R("192.0.2.2") };
	_cleanup_(pool) struct pool *p = NULL;

	cr_assert_eq(pool_new(&p, both, 3, REST), 0);
	cr_assert_eq(pool_capacity(p), 4);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(pool_lend(p, &(struct c25_addr){ 0 }, 0), 0);
	dry(p, 0);
}

Test(pool, sixty_thousand_restored_addresses_are_skipped_once)
{
	_cleanup_(pool) struct pool *p = make("198.18.0.0/16");
	struct c25_addr base = A("198.18.0.0"), a;

	/* 7919 is prime to 65536: places all over the range, each once. */
	for (uint64_t i = 0; i < 60000; i++) {
		cr_assert_eq(addr_add(&a, &base, i * 7919 % 65536), 0);
		cr_assert_eq(pool_take(p, &a), 0);
	}
	for (int i = 0; i < 65536 - 60000; i++)
		cr_assert_eq(pool_lend(p, &a, 0), 0);
	dry(p, 0);
	/* Full but for one: were the range searched each time, this would not end. */
	for (uint64_t now = 0; now < 100000; now++) {
		pool_release(p, &a, now * REST);
		dry(p, now * REST);
		cr_assert_eq(pool_lend(p, &a, (now + 1) * REST), 0);
	}
	cr_assert_eq(pool_in_use(p), 65536);
}

Test(pool, what_has_rested_in_a_vast_pool_is_forgotten)
{
	_cleanup_(pool) struct pool *p = make("fd25:a::/96");
	struct c25_addr a, first = A("fd25:a::"), last;

	for (uint64_t i = 0; i < 70000; i++) {
		cr_assert_eq(pool_lend(p, &a, i), 0);
		pool_release(p, &a, i);
		last = a;
	}
	cr_assert_not(pool_holds(p, &first));
	cr_assert(pool_holds(p, &last));
}

/* A model: what is lent or rests is kept in plain arrays. */
Test(pool, nothing_is_lent_twice_or_too_early_whatever_happens)
{
	enum { N = 256 };
	_cleanup_(pool) struct pool *p = make("192.0.2.0/24");
	struct range cuts[] = { R("192.0.2.0/25"), R("192.0.2.64/26"), R("192.0.2.0/24"),
				R("192.0.2.128/25") };
	uint64_t free_at[N] = { 0 }, now = 0, lent_n = 0;
	bool lent[N] = { false };
	struct c25_addr a = A("192.0.2.0");
	struct range today = cuts[2];

	srandom(25);
	for (int step = 0; step < 200000; step++) {
		long roll = random() % 100;
		int i = (int)(random() % N);

		now += (uint64_t)(random() % 3);
		a.b[15] = (uint8_t)i;
		if (roll < 50) {
			/* Of addresses here the last byte alone tells the sum. */
			int err = roll < 10 ? pool_lend_like(p, &a, &a, 0, now) :
					      pool_lend(p, &a, now);

			i = a.b[15];
			if (err == -EBUSY) {
				cr_assert(lent[i] || free_at[i] > now || !range_covers(&today, &a));
				continue;
			}
			if (err) {
				for (int k = 0; k < N; k++) {
					a.b[15] = (uint8_t)k;
					cr_assert(lent[k] || free_at[k] > now ||
						  !range_covers(&today, &a));
				}
				continue;
			}
			cr_assert(range_covers(&today, &a));
			cr_assert_not(lent[i]);
			cr_assert_leq(free_at[i], now);
			lent[i] = true;
			lent_n++;
		} else if (roll < 97) {
			pool_release(p, &a, now);
			if (lent[i]) {
				lent_n--;
				free_at[i] = now + REST;
			}
			lent[i] = false;
		} else {
			today = cuts[random() % 4];
			cr_assert_eq(pool_set_ranges(p, &today, 1), 0);
		}
		cr_assert_eq(pool_in_use(p), lent_n);
	}
}
