/* SPDX-License-Identifier: BSD-3-Clause */
#include "addr.h"
#include "cleanup.h"
#include "leaks.h"

#include <errno.h>
#include <string.h>

SUITE(addr);

static struct c25_addr A(const char *text) {
	struct c25_addr a;

	cr_assert_gt(addr_parse(&a, text), 0, "%s", text);
	return a;
}

Test(addr, ipv4_is_held_mapped_and_prints_as_a_dotted_quad)
{
	struct c25_addr a;
	char buf[ADDR_STRLEN];

	cr_assert_eq(addr_parse(&a, "192.0.2.1"), 4);
	cr_assert_eq(a.b[10], 0xff);
	cr_assert_eq(a.b[15], 1);
	cr_assert_str_eq(addr_print(buf, &a), "192.0.2.1");
}

Test(addr, a_mapped_spelling_is_ipv6)
{
	struct c25_addr a;

	cr_assert_eq(addr_parse(&a, "::ffff:192.0.2.1"), 6);
	cr_assert(addr_is4(&a));
}

Test(addr, what_is_not_exactly_one_address_is_refused)
{
	static const char *const bad[] = { "",           " 192.0.2.1",  "192.0.2.1 ",
					   "192.0.2",    "192.0.2.256", "192.0.2.01",
					   "1.2.3.4/32", "::1%lo",      "[::1]",
					   "fd25::g" };
	struct c25_addr a;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(addr_parse(&a, bad[i]), -EINVAL, "%s", bad[i]);
}

Test(addr, host_bits_are_told_from_nonsense)
{
	struct prefix p;

	cr_assert_eq(prefix_parse(&p, "10.0.0.0/8"), 0);
	cr_assert_eq(p.len, 104);
	cr_assert_eq(prefix_parse(&p, "10.0.0.1/8"), -ERANGE);
	cr_assert_eq(prefix_parse(&p, "10.0.0.0/33"), -EINVAL);
	cr_assert_eq(prefix_parse(&p, "10.0.0.0/+8"), -EINVAL);
	cr_assert_eq(prefix_parse(&p, "10.0.0.0/08"), -EINVAL);
	cr_assert_eq(prefix_parse(&p, "::/0"), 0);
	cr_assert_eq(p.len, 0);
	cr_assert(!prefix_is4(&p));
	cr_assert(!prefix_covers(&p, &(struct c25_addr){ .b = { [10] = 0xff, [11] = 0xff } }));
}

Test(addr, ranges_turned_round_or_of_two_families_are_refused)
{
	struct range r;

	cr_assert_eq(range_parse(&r, "169.254.64.0-169.254.127.255"), 0);
	cr_assert_eq(range_size(&r), 16384);
	cr_assert_eq(range_parse(&r, "169.254.127.255-169.254.64.0"), -ERANGE);
	cr_assert_eq(range_parse(&r, "169.254.64.0-fd25::1"), -ERANGE);
	cr_assert_eq(range_parse(&r, "169.254.64.0-"), -EINVAL);
	cr_assert_eq(range_parse(&r, "fd25::/64"), 0);
	cr_assert_eq(range_size(&r), UINT64_MAX);
}

static int collect(const struct prefix *p, void *ctx)
{
	char buf[PREFIX_STRLEN];

	strcat(ctx, prefix_print(buf, p));
	strcat(ctx, " ");
	return 0;
}

Test(addr, a_range_becomes_the_fewest_prefixes)
{
	char text[512] = "";
	struct range r;

	cr_assert_eq(range_parse(&r, "10.0.0.1-10.0.0.8"), 0);
	range_to_prefixes(&r, collect, text);
	cr_assert_str_eq(text, "10.0.0.1/32 10.0.0.2/31 10.0.0.4/30 10.0.0.8/32 ");

	text[0] = 0;
	cr_assert_eq(range_parse(&r, "0.0.0.0-255.255.255.255"), 0);
	range_to_prefixes(&r, collect, text);
	cr_assert_str_eq(text, "0.0.0.0/0 ");

	text[0] = 0;
	cr_assert_eq(range_parse(&r, "169.254.64.0-169.254.127.255"), 0);
	range_to_prefixes(&r, collect, text);
	cr_assert_str_eq(text, "169.254.64.0/18 ");
}

Test(addr, a_range_that_is_a_prefix_prints_as_one)
{
	char buf[RANGE_STRLEN];
	struct range r;

	range_parse(&r, "169.254.64.0-169.254.127.255");
	cr_assert_str_eq(range_print(buf, &r), "169.254.64.0/18");
	range_parse(&r, "10.0.0.1-10.0.0.8");
	cr_assert_str_eq(range_print(buf, &r), "10.0.0.1-10.0.0.8");
}

Test(addr, adding_stays_within_the_family)
{
	struct c25_addr a = A("255.255.255.254"), b;

	cr_assert_eq(addr_add(&b, &a, 1), 0);
	cr_assert_eq(addr_add(&b, &a, 2), -ERANGE);
	a = A("fd25::ffff:ffff:ffff:ffff");
	cr_assert_eq(addr_add(&b, &a, 1), 0);
	a = A("fd25:0:0:1::");
	cr_assert(addr_equal(&a, &b));
}

Test(addr, endpoints_take_ports_and_brackets)
{
	struct sockaddr_storage ss;
	char buf[SOCK_STRLEN];

	cr_assert_eq(sock_parse(&ss, "127.0.0.1:53", 0), 0);
	cr_assert_str_eq(sock_print(buf, (struct sockaddr *)&ss), "127.0.0.1:53");
	cr_assert_eq(sock_parse(&ss, "[::]:8025", 0), 0);
	cr_assert_str_eq(sock_print(buf, (struct sockaddr *)&ss), "[::]:8025");
	cr_assert_eq(sock_parse(&ss, "fd25::1", 53), 0);
	cr_assert_str_eq(sock_print(buf, (struct sockaddr *)&ss), "[fd25::1]:53");
	cr_assert_eq(sock_parse(&ss, "127.0.0.1", 0), -EINVAL);
	cr_assert_eq(sock_parse(&ss, "127.0.0.1:0", 0), -EINVAL);
	cr_assert_eq(sock_parse(&ss, "127.0.0.1:65536", 0), -EINVAL);
	cr_assert_eq(sock_parse(&ss, "[127.0.0.1]:53", 0), -EINVAL);
	cr_assert_eq(sock_parse(&ss, "localhost:53", 0), -EINVAL);
}
