/* SPDX-License-Identifier: BSD-3-Clause */
#include "dns_name.h"
#include "leaks.h"

#include <string.h>

SUITE(dns_name);

static void expect(const char *text, const char *wire, int len)
{
	uint8_t out[255];

	cr_assert_eq(dns_name_wire(out, text), len, "%s: %d", text, dns_name_wire(out, text));
	if (len > 0)
		cr_assert_arr_eq(out, wire, len, "%s", text);
}

Test(dns_name, text_becomes_labels_and_the_last_dot_may_be_missing)
{
	expect("example.com", "\7example\3com\0", 13);
	expect("example.com.", "\7example\3com\0", 13);
	expect(".", "\0", 1);
	expect("", "\0", 1);
}

Test(dns_name, escapes_become_bytes)
{
	expect("a\\.b.c", "\3a.b\1c\0", 7);
	expect("\\000x", "\2\0x\0", 4);
	expect("\\\\", "\1\\\0", 3);
}

Test(dns_name, what_is_no_name_is_refused)
{
	char label[65], name[400] = "";

	memset(label, 'a', 64);
	label[64] = 0;
	expect("a..b", NULL, -22);
	expect(".a", NULL, -22);
	expect("a\\", NULL, -22);
	expect("\\256", NULL, -22);
	expect(label, NULL, -22);
	label[63] = 0;
	cr_assert_eq(dns_name_wire((uint8_t[255]){ 0 }, label), 65);
	for (int i = 0; i < 4; i++) {
		strcat(name, label);
		strcat(name, ".");
	}
	cr_assert_eq(dns_name_wire((uint8_t[255]){ 0 }, name), -22, "257 bytes");
	name[253] = 0;
	cr_assert_eq(dns_name_wire((uint8_t[255]){ 0 }, name), 255);
}
