/* SPDX-License-Identifier: BSD-3-Clause */
#include "addr_map.h"
#include "leaks.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

SUITE(addr_map);

static struct c25_addr key_of(uint32_t i)
{
	struct c25_addr a = { .b = { 0xfd, 0x25 } };

	memcpy(a.b + 12, &i, sizeof(i));
	return a;
}

Test(addr_map, an_empty_one_holds_nothing)
{
	struct addr_map m = { 0 };
	struct c25_addr a = key_of(1);
	size_t at = 0;

	cr_assert_null(addr_map_get(&m, &a));
	addr_map_del(&m, &a);
	cr_assert_null(addr_map_next(&m, &at));
	addr_map_clear(&m);
}

/* Compared with an array over a long run of changes, so that every chain is cut somewhere. */
Test(addr_map, what_is_put_is_found_until_it_is_deleted)
{
	static char values[3000];
	static bool there[3000];
	struct addr_map m = { 0 };
	uint64_t dice = 25;
	size_t n = 0;

	for (int round = 0; round < 60000; round++) {
		struct c25_addr a;
		uint32_t i;

		dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407;
		i = (uint32_t)(dice >> 33) % 3000;
		a = key_of(i);
		cr_assert_eq(addr_map_get(&m, &a), there[i] ? &values[i] : NULL);
		if (there[i])
			addr_map_del(&m, &a);
		else
			cr_assert_eq(addr_map_put(&m, &a, &values[i]), 0);
		there[i] = !there[i];
		n += there[i] ? 1 : -1;
		cr_assert_eq(m.n, n);
	}
	for (uint32_t i = 0; i < 3000; i++) {
		struct c25_addr a = key_of(i);

		cr_assert_eq(addr_map_get(&m, &a), there[i] ? &values[i] : NULL);
	}
	addr_map_clear(&m);
}

Test(addr_map, each_value_is_seen_once)
{
	static char values[1000];
	struct addr_map m = { 0 };
	size_t at = 0, n = 0;
	char *v;

	for (uint32_t i = 0; i < 1000; i++) {
		struct c25_addr a = key_of(i);

		cr_assert_eq(addr_map_put(&m, &a, &values[i]), 0);
	}
	while ((v = addr_map_next(&m, &at))) {
		cr_assert_eq((*v)++, 0);
		n++;
	}
	cr_assert_eq(n, 1000);
	addr_map_clear(&m);
}
