/* SPDX-License-Identifier: BSD-3-Clause */
#include "cleanup.h"
#include "dns_rewrite.h"
#include "leaks.h"

#include <errno.h>
#include <string.h>

SUITE(dns_msg);

#define NAME "\3www\7example\3com\0"

/* A message of `n` bytes behind an empty header; names are looked for in it. */
static uint8_t msg[DNS_MAX_MSG];

static size_t message(const void *bytes, size_t n)
{
	memset(msg, 0, DNS_HEADER_LEN);
	memcpy(msg + DNS_HEADER_LEN, bytes, n);
	return DNS_HEADER_LEN + n;
}

Test(dns_msg, a_name_is_followed_backwards_and_its_case_kept)
{
	size_t n = message("\3Www\0\1a\xc0\x0c\xc0\x11", 11);
	struct dns_name name;

	cr_assert_eq(dns_name_read(&name, msg, n, 17), 21);
	cr_assert_eq(name.len, 7);
	cr_assert_arr_eq(name.wire, "\1a\3Www", 7);
	cr_assert_eq(dns_name_read(&name, msg, n, 21), 23);
	cr_assert_eq(name.len, 7);
	cr_assert_eq(dns_name_skip(msg, n, 21), 23);
}

Test(dns_msg, pointers_forward_to_themselves_or_into_the_header_are_no_names)
{
	static const struct {
		const char *bytes;
		size_t n, at;
	} bad[] = {
		{ "\xc0\x0c", 2, 12 },           /* itself */
		{ "\xc0\x0e\0", 3, 12 },         /* forward */
		{ "\1a\xc0\x0c", 4, 12 },        /* into its own name */
		{ "\xc0\x00", 2, 12 },           /* the header */
		{ "\0\xc0\x0b", 3, 13 },         /* the header's last byte */
		{ "\0\xc0\x0e\xc0\x0d", 5, 15 }, /* two that point at each other */
		{ "\xc0", 1, 12 },               /* cut */
		{ "\3ab", 3, 12 },               /* cut */
		{ "\1a", 2, 12 },                /* without end */
		{ "\x40", 60, 12 },              /* extended label */
		{ "\x80\0", 2, 12 },             /* reserved */
	};
	struct dns_name name;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char bytes[64] = "";

		memcpy(bytes, bad[i].bytes, bad[i].n < 8 ? bad[i].n : 1);
		cr_assert_eq(dns_name_read(&name, msg, message(bytes, bad[i].n), bad[i].at),
			     -EBADMSG, "%zu", i);
	}
}

Test(dns_msg, a_name_has_at_most_255_bytes)
{
	uint8_t bytes[300] = { 0 };
	struct dns_name name;

	for (int i = 0; i < 127; i++)
		memcpy(bytes + 2 * i, "\1a", 2);
	cr_assert_eq(dns_name_read(&name, msg, message(bytes, 255), 12), 12 + 255);
	cr_assert_eq(name.len, 255);
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, "\2aa", 3);
	for (int i = 0; i < 126; i++)
		memcpy(bytes + 3 + 2 * i, "\1a", 2);
	cr_assert_eq(dns_name_read(&name, msg, message(bytes, 256), 12), -EBADMSG);
}

Test(dns_msg, a_chain_of_pointers_ends)
{
	struct dns_name name;

	memset(msg, 0, sizeof(msg));
	for (unsigned i = 0; i < 200; i++)
		dns_put16(msg + 13 + 2 * i, (uint16_t)(0xc000 | (i ? 13 + 2 * (i - 1) : 12)));
	cr_assert_eq(dns_name_read(&name, msg, sizeof(msg), 13 + 2 * 126), 13 + 2 * 127);
	cr_assert_eq(dns_name_read(&name, msg, sizeof(msg), 13 + 2 * 127), -EBADMSG);
}

Test(dns_msg, names_are_equal_without_case_and_hash_alike)
{
	struct dns_name a = { .len = 17 }, b = { .len = 17 };

	memcpy(a.wire, NAME, 17);
	memcpy(b.wire, "\3wWW\7EXAMPLE\3com", 17);
	cr_assert(dns_name_equal(a.wire, b.wire, 17));
	cr_assert_eq(dns_name_hash(&a), dns_name_hash(&b));
	b.wire[1] = 'W' ^ 0x60;
	cr_assert(!dns_name_equal(a.wire, b.wire, 17));
	memcpy(b.wire, "\3ww{\7example\3com", 17);
	memcpy(a.wire, "\3ww[\7example\3com", 17);
	cr_assert(!dns_name_equal(a.wire, b.wire, 17));
}

Test(dns_msg, text_is_lower_case_and_escaped)
{
	uint8_t longest[DNS_MAX_NAME] = { 63, [64] = 63, [128] = 63, [192] = 61 };
	char buf[DNS_MAX_TEXT];

	cr_assert_str_eq(dns_name_text(buf, (const uint8_t *)"\3wWw\7EXAMPLE\3com"), "www.example."
										     "com");
	cr_assert_str_eq(dns_name_text(buf, (const uint8_t *)""), ".");
	cr_assert_str_eq(dns_name_text(buf, (const uint8_t *)"\7.\\ \0\x7f\xffZ\1_"), "\\."
										      "\\\\\\032\\0"
										      "00\\127\\255"
										      "z._");
	cr_assert_eq(strlen(dns_name_text(buf, longest)), 250 * 4 + 3);
}

static size_t query(const void *records, size_t n, unsigned answers, unsigned additional)
{
	size_t len = message(NAME "\0\1\0\1", 21);

	memcpy(msg, "\x12\x34\1\0\0\1", 6);
	dns_put16(msg + 6, (uint16_t)answers);
	dns_put16(msg + 10, (uint16_t)additional);
	memcpy(msg + len, records, n);
	return len + n;
}

#define OPT "\0\0\x29\x10\0\0\0\x80\0\0\0"

Test(dns_msg, a_question_is_read)
{
	struct dns_question q;
	size_t n = query("", 0, 0, 0);

	cr_assert_eq(dns_question_parse(&q, msg, n), 0);
	cr_assert_eq(q.id, 0x1234);
	cr_assert_eq(q.flags, DNS_RD);
	cr_assert_eq(q.type, DNS_TYPE_A);
	cr_assert_eq(q.class_, DNS_CLASS_IN);
	cr_assert_eq(q.end, n);
	cr_assert_eq(q.name_len, 17);
	cr_assert_arr_eq(q.name, NAME, 17);
	cr_assert(!q.has_edns);
	cr_assert_eq(q.udp_size, 512);
	cr_assert_eq(dns_question_parse(&q, msg, query(OPT, 11, 0, 1)), 0);
	cr_assert(q.has_edns && q.edns_do);
	cr_assert_eq(q.udp_size, 4096);
	cr_assert_eq(dns_question_parse(&q, msg, query("\0\0\x29\0\x10\0\0\0\0\0\0", 11, 0, 1)), 0);
	cr_assert_eq(q.udp_size, 512);
	cr_assert(!q.edns_do);
}

Test(dns_msg, what_is_not_one_readable_question_is_refused_and_leaves_out_alone)
{
	struct dns_question q = { .id = 77 };
	size_t n = query(OPT, 11, 0, 1);

	for (size_t cut = 0; cut < n; cut++)
		cr_assert_eq(dns_question_parse(&q, msg, cut), -EINVAL, "%zu", cut);
	cr_assert_eq(dns_question_parse(&q, msg, query(OPT OPT, 22, 0, 2)), -EINVAL);
	cr_assert_eq(dns_question_parse(&q, msg, query("\1a" OPT, 13, 0, 1)), -EINVAL);
	cr_assert_eq(dns_question_parse(&q, msg, query(OPT, 11, 1, 0)), -EINVAL);
	n = query("", 0, 0, 0);
	msg[2] = 0x81;
	cr_assert_eq(dns_question_parse(&q, msg, n), -EINVAL);
	msg[2] = 0x29;
	cr_assert_eq(dns_question_parse(&q, msg, n), -EINVAL);
	msg[2] = 1;
	msg[5] = 0;
	cr_assert_eq(dns_question_parse(&q, msg, n), -EINVAL);
	msg[5] = 2;
	cr_assert_eq(dns_question_parse(&q, msg, n), -EINVAL);
	cr_assert_eq(q.id, 77);
}

Test(dns_msg, servfail_has_id_question_qr_and_aa_and_no_records)
{
	static uint8_t out[DNS_MIN_UDP];
	struct dns_question q;
	size_t n = query("", 0, 0, 0), len;

	cr_assert_eq(dns_question_parse(&q, msg, n), 0);
	len = dns_servfail(out, sizeof(out), &q, msg, n);
	cr_assert_eq(len, n);
	cr_assert_arr_eq(out, "\x12\x34\x85\x82\0\1\0\0\0\0\0\0" NAME "\0\1\0\1", n);
}

Test(dns_msg, a_record_is_copied_whole_or_not_at_all)
{
	/* www.example.com. MX 5 mail.www.example.com. behind a question that shares its name */
	static const uint8_t mx[] = { 0xc0, 12, 0, 15, 0,   1,   0,   0,   0,    60, 0,
				      9,    0,  5, 4,  'm', 'a', 'i', 'l', 0xc0, 12 };
	static uint8_t out[DNS_MIN_UDP];
	size_t n = query(mx, sizeof(mx), 1, 0);
	struct dns_reader r = { .msg = msg, .len = n, .at = 33 };
	struct dns_writer w;
	struct dns_rr rr;

	cr_assert_eq(dns_rr_read(&rr, &r), 0);
	cr_assert_eq(r.at, n);
	cr_assert_eq(dns_rdata_check(&rr, msg, n), 0);
	memcpy(out, msg, 33);
	for (size_t max = 33; max < n; max++) {
		dns_writer_start(&w, out, 33, max);
		cr_assert_eq(dns_rr_copy(&w, &rr, msg, n), -ENOSPC);
		cr_assert_eq(w.at, 33);
	}
	dns_writer_start(&w, out, 33, n);
	cr_assert_eq(dns_rr_copy(&w, &rr, msg, n), 0);
	cr_assert_eq(w.at, n);
	cr_assert_arr_eq(out + 33, mx, sizeof(mx));
}

Test(dns_msg, rdata_must_be_filled_by_what_its_type_holds)
{
	static const struct {
		const char *rdata;
		uint16_t n, type;
	} bad[] = {
		{ "\0\0\0", 3, DNS_TYPE_A },       { "\0", 1, DNS_TYPE_AAAA },
		{ "", 0, DNS_TYPE_CNAME },         { "\0\0", 2, DNS_TYPE_CNAME },
		{ "\1a", 2, DNS_TYPE_NS },         { "\0\5", 2, DNS_TYPE_MX },
		{ "\0\0\0\0\0", 5, DNS_TYPE_SOA }, { "\0\0\0\0\1a\1b\1", 9, DNS_TYPE_NAPTR },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint8_t record[32] = { 0, 0, (uint8_t)bad[i].type, 0, 1, [10] = (uint8_t)bad[i].n };
		struct dns_reader r = { .msg = msg, .at = 12 };
		struct dns_rr rr;

		memcpy(record + 11, bad[i].rdata, bad[i].n);
		r.len = message(record, 11U + bad[i].n);
		cr_assert_eq(dns_rr_read(&rr, &r), 0);
		cr_assert_eq(dns_rdata_check(&rr, msg, r.len), -EBADMSG, "%zu", i);
	}
}
