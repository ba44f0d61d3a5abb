/* SPDX-License-Identifier: BSD-3-Clause */
#include "leaks.h"
#include "lease.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

SUITE(lease);

static struct c25_addr A(const char *text) {
	struct c25_addr a;

	cr_assert_gt(addr_parse(&a, text), 0, "%s", text);
	return a;
}

static struct lease_table *
make(size_t max, const char *m4, const char *t4, const char *m6, const char *t6)
{
	const char *text[NETMAP_POOLS] = { m4, t4, m6, t6 };
	struct netmap_ranges pools[NETMAP_POOLS] = { 0 };
	struct range r[NETMAP_POOLS];
	struct lease_table *t;

	for (int i = 0; i < NETMAP_POOLS; i++) {
		if (!text[i])
			continue;
		cr_assert_eq(range_parse(&r[i], text[i]), 0);
		pools[i] = (struct netmap_ranges){ .v = &r[i], .n = 1 };
	}
	cr_assert_eq(lease_table_new(&t, max), 0);
	cr_assert_eq(lease_set_pools(t, pools), 0);
	return t;
}

static struct lease_table *usual(void)
{
	return make(1000, "198.18.0.0/16", "169.254.64.0-169.254.127.255", "fd25:a::/96",
		    "fd25:b::/96");
}

static struct lease *lend(struct lease_table *t, const char *domain, const char *real, uint64_t now)
{
	struct c25_addr a = A(real);
	struct lease *l = NULL;

	cr_assert_eq(lease_lend(t, &l, domain, &a, 7, 300, now), 0);
	return l;
}

static int try(struct lease_table *t, const char *domain, const char *real, uint64_t now)
{
	struct c25_addr a = A(real);
	struct lease *l;

	return lease_lend(t, &l, domain, &a, 7, 300, now);
}

Test(lease, a_pair_keeps_its_addresses)
{
	_cleanup_(lease_table) struct lease_table *t = usual();
	struct lease *l = lend(t, "example.com", "192.0.2.1", 100);
	struct c25_addr real = A("192.0.2.1");

	cr_assert_eq(lend(t, "example.com", "192.0.2.1", 200), l);
	cr_assert_eq(lease_count(t), 1);
	cr_assert_eq(l->state, C25_LEASE_PENDING);
	cr_assert_eq(l->peer, LEASE_NO_PEER);
	cr_assert_eq(l->app, 7);
	cr_assert_eq(l->lent, 100);
	cr_assert_str_eq(l->domain, "example.com");
	cr_assert(addr_equal(&l->real, &real));
	cr_assert_eq(lease_find(t, "example.com", &real), l);
	cr_assert_eq(lease_by_magic(t, &l->magic), l);
	cr_assert_eq(lease_by_transit(t, &l->transit), l);
	cr_assert_null(lease_by_magic(t, &l->transit));
}

Test(lease, different_pairs_never_share_an_address)
{
	_cleanup_(lease_table) struct lease_table *t = usual();
	struct lease *a = lend(t, "example.com", "192.0.2.1", 0);
	struct lease *b = lend(t, "example.com", "192.0.2.2", 0);
	struct lease *c = lend(t, "example.net", "192.0.2.1", 0);
	struct lease *v[] = { a, b, c };

	for (int i = 0; i < 3; i++)
		for (int j = 0; j < i; j++) {
			cr_assert_not(addr_equal(&v[i]->magic, &v[j]->magic));
			cr_assert_not(addr_equal(&v[i]->transit, &v[j]->transit));
		}
	cr_assert_eq(lease_count(t), 3);
}

Test(lease, both_families_come_from_their_own_pools)
{
	_cleanup_(lease_table) struct lease_table *t = usual();
	struct lease *a = lend(t, "example.com", "192.0.2.1", 0);
	struct lease *b = lend(t, "example.com", "2001:db8::1", 0);

	cr_assert(addr_is4(&a->magic) && addr_is4(&a->transit));
	cr_assert(!addr_is4(&b->magic) && !addr_is4(&b->transit));
	cr_assert_eq(lease_pool_stats(t, NETMAP_V4_MAGIC).in_use, 1);
	cr_assert_eq(lease_pool_stats(t, NETMAP_V6_TRANSIT).in_use, 1);
	cr_assert_eq(lease_pool_stats(t, NETMAP_V4_MAGIC).capacity, 65536);
	cr_assert_eq(lease_pool_stats(t, NETMAP_V4_TRANSIT).capacity, 16384);
}

Test(lease, a_family_without_both_pools_is_not_lent)
{
	_cleanup_(lease_table) struct lease_table *t =
		make(10, "198.18.0.0/16", "169.254.64.0/24", "fd25:a::/96", NULL);

	cr_assert(lease_has_family(t, true));
	cr_assert_not(lease_has_family(t, false));
	cr_assert_eq(try(t, "example.com", "2001:db8::1", 0), -EAFNOSUPPORT);
	cr_assert_eq(try(t, "example.com", "192.0.2.1", 0), 0);
}

Test(lease, ttl_is_clamped_and_a_lease_never_shortened)
{
	_cleanup_(lease_table) struct lease_table *t = usual();
	struct c25_addr real = A("192.0.2.1");
	struct lease *l;

	cr_assert_eq(lease_lend(t, &l, "example.com", &real, 0, 1, 1000), 0);
	cr_assert_eq(l->expires, 1000 + LEASE_MIN_TTL);
	cr_assert_eq(lease_lend(t, &l, "example.com", &real, 0, UINT32_MAX, 1000), 0);
	cr_assert_eq(l->expires, 1000 + LEASE_MAX_TTL);
	cr_assert_eq(lease_lend(t, &l, "example.com", &real, 0, 300, 2000), 0);
	cr_assert_eq(l->expires, 1000 + LEASE_MAX_TTL);
}

Test(lease, lapsed_lease_is_not_lent_before_quarantine)
{
	_cleanup_(lease_table) struct lease_table *t =
		make(10, "198.18.0.0/31", "169.254.64.0/31", NULL, NULL);
	struct lease *l = lend(t, "a.example.com", "192.0.2.1", 0);
	struct c25_addr magic = l->magic;

	lend(t, "b.example.com", "192.0.2.1", 0);
	lease_end(t, l, 1000);
	cr_assert_eq(lease_count(t), 1);
	cr_assert_null(lease_by_magic(t, &magic));
	cr_assert_eq(try(t, "c.example.com", "192.0.2.1", 1000 + LEASE_QUARANTINE - 1), -ENOSPC);
	l = lend(t, "c.example.com", "192.0.2.1", 1000 + LEASE_QUARANTINE);
	cr_assert(addr_equal(&l->magic, &magic));
}

Test(lease, a_full_table_refuses_and_serves_what_it_has)
{
	_cleanup_(lease_table) struct lease_table *t =
		make(2, "198.18.0.0/16", "169.254.64.0/24", NULL, NULL);
	struct lease *l = lend(t, "a.example.com", "192.0.2.1", 0);

	lend(t, "b.example.com", "192.0.2.1", 0);
	cr_assert_eq(try(t, "c.example.com", "192.0.2.1", 0), -ENOSPC);
	cr_assert_eq(lend(t, "a.example.com", "192.0.2.1", 0), l);
	lease_end(t, l, 0);
	cr_assert_eq(try(t, "c.example.com", "192.0.2.1", 0), 0);
}

Test(lease, a_dry_transit_pool_costs_no_magic_address)
{
	_cleanup_(lease_table) struct lease_table *t =
		make(1000, "198.18.0.0/16", "169.254.64.0/32", NULL, NULL);
	struct lease *l = lend(t, "a.example.com", "192.0.2.1", 0);

	for (int i = 0; i < 100; i++)
		cr_assert_eq(try(t, "b.example.com", "192.0.2.1", 0), -ENOSPC);
	cr_assert_eq(lease_pool_stats(t, NETMAP_V4_MAGIC).in_use, 1);
	cr_assert_eq(lease_pool_resting(t, NETMAP_V4_MAGIC, 0), 0);
	cr_assert_eq(lease_count(t), 1);
	lease_end(t, l, 0);
	cr_assert_eq(try(t, "b.example.com", "192.0.2.1", LEASE_QUARANTINE), 0);
}

static uint16_t sum_of(const struct c25_addr *a)
{
	uint32_t sum = 0;

	for (int i = 0; i < 16; i += 2)
		sum += (uint32_t)a->b[i] << 8 | a->b[i + 1];
	return (uint16_t)(sum % 0xffff);
}

static bool sums_equal(const struct lease *l)
{
	return sum_of(&l->magic) == sum_of(&l->transit);
}

static struct lease *lend_nth(struct lease_table *t, int i, bool is4, uint64_t now)
{
	char name[32];

	snprintf(name, sizeof(name), "n%d.example.com", i);
	return lend(t, name, is4 ? "192.0.2.1" : "2001:db8::1", now);
}

Test(lease, both_addresses_have_one_sum)
{
	_cleanup_(lease_table) struct lease_table *t = make(200000, "198.18.0.0/16",
							    "169.254.64.0-169.254.127.255",
							    "fd25:a::/96", "fd25:b::/96");

	for (int i = 0; i < 16384; i++)
		cr_assert(sums_equal(lend_nth(t, i, true, 0)), "IPv4 pair %d", i);
	/* Where more than 65536 addresses are lent, 0 and 0xffff are the same sum once a block. */
	for (int i = 0; i < 140000; i++)
		cr_assert(sums_equal(lend_nth(t, i, false, 0)) || i % 65536 > 65530, "IPv6 pair %d",
			  i);
}

Test(lease, ranges_that_begin_anywhere_have_an_address_for_each_sum)
{
	_cleanup_(lease_table) struct lease_table *t =
		make(200000, "10.64.0.1-10.127.255.254", "169.254.64.3-169.254.127.200",
		     "fd25:a::2-fd25:c::1", "fd25:f::8001-fd25:f::ffff:ffff");

	for (int i = 0; i < 16326; i++)
		cr_assert(sums_equal(lend_nth(t, i, true, 0)), "IPv4 pair %d", i);
	for (int i = 0; i < 140000; i++)
		cr_assert(sums_equal(lend_nth(t, i, false, 0)) || i % 65536 > 65530, "IPv6 pair %d",
			  i);
}

Test(lease, the_larger_pool_fits_itself_to_the_smaller_whichever_it_is)
{
	_cleanup_(lease_table) struct lease_table *t =
		make(1000, "198.18.7.0/24", "10.64.0.0/10", NULL, NULL);

	for (int i = 0; i < 256; i++)
		cr_assert(sums_equal(lend_nth(t, i, true, 0)), "pair %d", i);
	cr_assert_eq(try(t, "more.example.com", "192.0.2.1", 0), -ENOSPC);
}

Test(lease, pairs_have_one_sum_again_after_their_quarantine)
{
	_cleanup_(lease_table) struct lease_table *t =
		make(1000, "198.18.0.0/16", "169.254.64.0/24", NULL, NULL);

	for (uint64_t now = 0; now < 3 * LEASE_QUARANTINE; now += LEASE_QUARANTINE) {
		struct lease *l[256];

		for (int i = 0; i < 256; i++) {
			l[i] = lend_nth(t, i, true, now);
			cr_assert(sums_equal(l[i]), "pair %d at %d", i, (int)now);
		}
		for (int i = 0; i < 256; i++)
			lease_end(t, l[i], now);
	}
}

Test(lease, pools_that_have_no_sums_in_common_are_lent_to_the_last_address)
{
	_cleanup_(lease_table) struct lease_table *t =
		make(1000, "198.18.0.0/24", "169.254.64.0/24", NULL, NULL);

	for (int i = 0; i < 256; i++)
		cr_assert_not(sums_equal(lend_nth(t, i, true, 0)));
	cr_assert_eq(try(t, "more.example.com", "192.0.2.1", 0), -ENOSPC);
}

Test(lease, a_domain_too_long_for_a_record_is_refused)
{
	_cleanup_(lease_table) struct lease_table *t = usual();
	char name[C25_NAME_LEN + 1];

	memset(name, 'a', sizeof(name));
	name[C25_NAME_LEN] = 0;
	cr_assert_eq(try(t, name, "192.0.2.1", 0), -ENAMETOOLONG);
	name[C25_NAME_LEN - 1] = 0;
	cr_assert_eq(try(t, name, "192.0.2.1", 0), 0);
}

Test(lease, records_come_back_the_same)
{
	_cleanup_(lease_table) struct lease_table *t = usual(), *u = usual();
	struct lease *l = lend(t, "example.com", "2001:db8::1", 50), *m = NULL;
	struct c25_lease rec, again;

	l->state = C25_LEASE_LIVE;
	l->peer = 3;
	rec = lease_record(l);
	cr_assert_eq(lease_restore(u, &m, &l->magic, &rec, 60), 0);
	again = lease_record(m);
	cr_assert_arr_eq(&rec, &again, sizeof(rec));
	cr_assert(addr_equal(&l->magic, &m->magic));
	cr_assert_eq(lend(u, "example.com", "2001:db8::1", 60), m);
	cr_assert_eq(lease_by_transit(u, &l->transit), m);
	m = lend(u, "example.net", "2001:db8::1", 60);
	cr_assert_not(addr_equal(&l->magic, &m->magic));
	cr_assert_not(addr_equal(&l->transit, &m->transit));
}

Test(lease, a_quarantine_record_keeps_its_addresses_until_it_expires)
{
	_cleanup_(lease_table) struct lease_table *t =
		make(10, "198.18.0.0/32", "169.254.64.0/32", NULL, NULL);
	struct c25_addr magic = A("198.18.0.0");
	struct c25_lease rec = { .real = A("192.0.2.1"),
				 .transit = A("169.254.64.0"),
				 .state = C25_LEASE_QUARANTINE,
				 .expires = 150,
				 .domain = "example.com" };
	struct lease *l = (struct lease *)&rec;

	cr_assert_eq(lease_restore(t, &l, &magic, &rec, 100), 0);
	cr_assert_null(l);
	cr_assert_eq(lease_restore(t, NULL, &magic, &rec, 100), -EEXIST);
	cr_assert_eq(lease_count(t), 0);
	cr_assert_eq(lease_pool_stats(t, NETMAP_V4_MAGIC).in_use, 0);
	cr_assert_eq(try(t, "example.com", "192.0.2.1", 149), -ENOSPC);
	cr_assert_eq(try(t, "example.com", "192.0.2.1", 150), 0);
}

Test(lease, a_quarantine_that_is_over_or_absurdly_long_holds_nothing_for_ever)
{
	_cleanup_(lease_table) struct lease_table *t =
		make(10, "198.18.0.0/32", "169.254.64.0/32", NULL, NULL);
	struct c25_addr magic = A("198.18.0.0");
	struct c25_lease rec = { .real = A("192.0.2.1"),
				 .transit = A("169.254.64.0"),
				 .state = C25_LEASE_QUARANTINE,
				 .expires = 100,
				 .domain = "example.com" };

	cr_assert_eq(lease_restore(t, NULL, &magic, &rec, 100), 0);
	rec.expires = UINT64_MAX;
	cr_assert_eq(lease_restore(t, NULL, &magic, &rec, 100), 0);
	cr_assert_eq(try(t, "example.com", "192.0.2.1", 100 + LEASE_QUARANTINE - 1), -ENOSPC);
	cr_assert_eq(try(t, "example.com", "192.0.2.1", 100 + LEASE_QUARANTINE), 0);
}

Test(lease, records_that_are_not_consistent_are_refused)
{
	_cleanup_(lease_table) struct lease_table *t = usual();
	struct c25_addr magic = A("198.18.0.0");
	const struct c25_lease good = { .real = A("192.0.2.1"),
					.transit = A("169.254.64.0"),
					.state = C25_LEASE_LIVE,
					.expires = 100,
					.domain = "example.com" };
	struct c25_lease rec = good;

	rec.state = 0;
	cr_assert_eq(lease_restore(t, NULL, &magic, &rec, 0), -EINVAL);
	rec.state = 77;
	cr_assert_eq(lease_restore(t, NULL, &magic, &rec, 0), -EINVAL);
	rec = good;
	rec.real = A("2001:db8::1");
	cr_assert_eq(lease_restore(t, NULL, &magic, &rec, 0), -EINVAL);
	rec = good;
	rec.transit = (struct c25_addr){ 0 };
	cr_assert_eq(lease_restore(t, NULL, &magic, &rec, 0), -EINVAL);
	rec = good;
	rec.transit = magic;
	cr_assert_eq(lease_restore(t, NULL, &magic, &rec, 0), -EINVAL);
	rec = good;
	rec.domain[0] = 0;
	cr_assert_eq(lease_restore(t, NULL, &magic, &rec, 0), -EINVAL);
	memset(rec.domain, 'a', sizeof(rec.domain));
	cr_assert_eq(lease_restore(t, NULL, &magic, &rec, 0), -EINVAL);
	cr_assert_eq(lease_count(t), 0);
	cr_assert_eq(lease_restore(t, NULL, &magic, &good, 0), 0);
}

Test(lease, a_record_of_which_no_lease_can_be_made_says_why)
{
	struct c25_addr magic = A("198.18.0.0");
	const struct c25_lease good = { .real = A("192.0.2.1"),
					.transit = A("169.254.64.0"),
					.state = C25_LEASE_LIVE,
					.domain = "example.com" };
	struct c25_lease rec = good;

	cr_assert_null(lease_record_fault(&magic, &good));
	rec.state = 0;
	cr_assert_str_eq(lease_record_fault(&magic, &rec), "it has no state");
	rec = good;
	memset(rec.domain, 'x', sizeof(rec.domain));
	cr_assert_str_eq(lease_record_fault(&magic, &rec), "it has no name");
	rec = good;
	rec.real = (struct c25_addr){ 0 };
	cr_assert_str_eq(lease_record_fault(&magic, &rec), "it lacks an address");
	rec = good;
	rec.transit = A("fd25:b::1");
	cr_assert_str_eq(lease_record_fault(&magic, &rec), "its addresses are of both families");
	rec = good;
	rec.transit = magic;
	cr_assert_str_eq(lease_record_fault(&magic, &rec), "its magic and transit address are the "
							   "same");
}

Test(lease, an_address_laid_to_rest_is_not_lent_before_its_time)
{
	_cleanup_(lease_table) struct lease_table *t =
		make(10, "198.18.0.0/31", "169.254.64.0/28", NULL, NULL);
	struct c25_addr magic = A("198.18.0.0"), lent = A("198.18.0.1");

	cr_assert_eq(lease_rest(t, &magic, 100), 0);
	cr_assert_eq(lease_rest(t, &magic, 100), -EEXIST);
	cr_assert(addr_equal(&lend(t, "a.example", "192.0.2.1", 0)->magic, &lent));
	cr_assert_eq(lease_rest(t, &lent, 100), -EEXIST);
	cr_assert_eq(try(t, "b.example", "192.0.2.1", 99), -ENOSPC);
	cr_assert(addr_equal(&lend(t, "b.example", "192.0.2.1", 100)->magic, &magic));
}

Test(lease, a_record_whose_pair_or_address_is_taken_is_refused_and_changes_nothing)
{
	_cleanup_(lease_table) struct lease_table *t = usual();
	struct c25_addr magic = A("198.18.0.9"), other = A("198.18.0.10");
	struct c25_lease rec = { .real = A("192.0.2.1"),
				 .transit = A("169.254.64.9"),
				 .state = C25_LEASE_LIVE,
				 .domain = "example.com" };

	cr_assert_eq(lease_restore(t, NULL, &magic, &rec, 0), 0);
	rec.transit = A("169.254.64.10");
	cr_assert_eq(lease_restore(t, NULL, &other, &rec, 0), -EEXIST); /* the pair */
	strcpy(rec.domain, "example.net");
	cr_assert_eq(lease_restore(t, NULL, &magic, &rec, 0), -EEXIST); /* the magic address */
	rec.transit = A("169.254.64.9");
	cr_assert_eq(lease_restore(t, NULL, &other, &rec, 0), -EEXIST); /* the transit address */
	cr_assert_eq(lease_pool_stats(t, NETMAP_V4_MAGIC).in_use, 1);
	cr_assert_eq(lease_pool_stats(t, NETMAP_V4_TRANSIT).in_use, 1);
	rec.transit = A("169.254.64.10");
	cr_assert_eq(lease_restore(t, NULL, &other, &rec, 0), 0);
}

Test(lease, leases_of_a_pool_taken_out_go_on)
{
	_cleanup_(lease_table) struct lease_table *t = usual();
	struct lease *l = lend(t, "example.com", "192.0.2.1", 0);
	const struct netmap_ranges none[NETMAP_POOLS] = { 0 };
	struct c25_addr magic = l->magic;

	cr_assert_eq(lease_set_pools(t, none), 0);
	cr_assert_eq(lease_by_magic(t, &magic), l);
	cr_assert_eq(lend(t, "example.com", "192.0.2.1", 10), l);
	cr_assert_eq(try(t, "example.net", "192.0.2.1", 10), -EAFNOSUPPORT);
	lease_end(t, l, 20);
	cr_assert_eq(try(t, "example.com", "192.0.2.1", 30), -EAFNOSUPPORT);
}

Test(lease, a_range_that_changes_its_kind_is_not_lent_twice)
{
	_cleanup_(lease_table) struct lease_table *t =
		make(10, "198.18.0.0/31", "169.254.64.0/31", NULL, NULL);
	struct range m, x;
	struct netmap_ranges pools[NETMAP_POOLS] = { { &m, 1 }, { &x, 1 } };
	struct lease *l = lend(t, "example.com", "192.0.2.1", 0), *k;

	cr_assert_eq(range_parse(&x, "198.18.0.0/31"), 0);
	cr_assert_eq(range_parse(&m, "169.254.64.0/31"), 0);
	cr_assert_eq(lease_set_pools(t, pools), 0);
	k = lend(t, "example.net", "192.0.2.1", 0);
	cr_assert_not(addr_equal(&k->transit, &l->magic));
	cr_assert_not(addr_equal(&k->magic, &l->transit));
}

static int end_it(struct lease *l, void *ctx)
{
	lease_end(ctx, l, 0);
	return 0;
}

static int stop_at_second(struct lease *l, void *ctx)
{
	return ++*(int *)ctx == 2 ? 5 : 0;
}

Test(lease, each_may_end_the_lease_it_is_given_and_stops_when_told)
{
	_cleanup_(lease_table) struct lease_table *t = usual();
	char name[32];
	int n = 0;

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "host-%d.example.com", i);
		lend(t, name, "192.0.2.1", 0);
	}
	cr_assert_eq(lease_each(t, stop_at_second, &n), 5);
	cr_assert_eq(n, 2);
	cr_assert_eq(lease_each(t, end_it, t), 0);
	cr_assert_eq(lease_count(t), 0);
	cr_assert_eq(lease_pool_stats(t, NETMAP_V4_MAGIC).in_use, 0);
}

static int count_it(struct lease *l, void *ctx)
{
	(*(int *)ctx)++;
	return 0;
}

Test(lease, a_walk_in_pieces_comes_to_every_lease_also_where_some_end_on_the_way)
{
	_cleanup_(lease_table) struct lease_table *t = usual();
	struct c25_addr at = { 0 };
	char name[32];
	int n = 0;

	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "host-%d.example.com", i);
		lend(t, name, "192.0.2.1", 0);
	}
	cr_assert_eq(lease_each_from(t, &at, 4, count_it, &n), 0);
	cr_assert_eq(n, 4);
	cr_assert_not(addr_is_zero(&at));
	cr_assert_eq(lease_each_from(t, &at, 4, end_it, t), 0);
	cr_assert_eq(lease_each_from(t, &at, 4, count_it, &n), 0);
	cr_assert_eq(n, 6);
	cr_assert(addr_is_zero(&at), "behind the last one");
	cr_assert_eq(lease_each_from(t, &at, 100, count_it, &n), 0);
	cr_assert_eq(n, 12, "and from the first one again");
	at = A("203.0.113.1");
	cr_assert_eq(lease_each_from(t, &at, 1, count_it, &n), 0);
	cr_assert_eq(n, 13, "one that ended meanwhile is no place to go on from");
}

Test(lease, ending_some_leases_hides_no_other)
{
	_cleanup_(lease_table) struct lease_table *t = usual();
	struct c25_addr real = A("192.0.2.1");
	char name[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "host-%d.example.com", i);
		lend(t, name, "192.0.2.1", 0);
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "host-%d.example.com", i);
		if (i * 7 % 10 < 6)
			lease_end(t, lease_find(t, name, &real), 0);
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "host-%d.example.com", i);
		cr_assert_eq(!lease_find(t, name, &real), i * 7 % 10 < 6, "%s", name);
	}
	cr_assert_eq(lease_count(t), 400);
}

Test(lease, a_hundred_thousand_records_are_restored)
{
	_cleanup_(lease_table) struct lease_table *t = usual();
	struct c25_addr m0 = A("fd25:a::"), x0 = A("fd25:b::"), magic;
	struct c25_lease rec = { .real = A("2001:db8::1"), .state = C25_LEASE_LIVE };
	struct lease *l;

	for (uint64_t i = 0; i < 100000; i++) {
		cr_assert_eq(addr_add(&magic, &m0, i * 2), 0);
		cr_assert_eq(addr_add(&rec.transit, &x0, i * 3), 0);
		snprintf(rec.domain, sizeof(rec.domain), "host-%lu.example.com", (unsigned long)i);
		cr_assert_eq(lease_restore(t, NULL, &magic, &rec, 0), 0);
	}
	cr_assert_eq(lease_count(t), 100000);
	cr_assert_eq(try(t, "example.com", "2001:db8::1", 0), -ENOSPC); /* over its size already */
	cr_assert_eq(try(t, "host-5.example.com", "2001:db8::1", 0), 0);
	l = lease_by_magic(t, &magic);
	cr_assert_str_eq(l->domain, "host-99999.example.com");
}
