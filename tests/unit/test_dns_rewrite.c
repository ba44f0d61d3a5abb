/* SPDX-License-Identifier: BSD-3-Clause */
#include "dns_build.h"

#include <errno.h>

SUITE(dns_rewrite);

#define WWW      "www.example.com."
#define A        LDNS_RR_TYPE_A
#define SOA      "NS example.com. 300 IN SOA ns.example.com. host.example.com. 1 2 3 4 5\n"
#define SOA_IN   "NS example.com. 300 IN SOA ns.example.com. host.example.com. 1 2 3 4 5"
#define SERVFAIL "qr aa rd ra SERVFAIL\n"

Test(dns_rewrite, addresses_become_magic_with_upstreams_ttl)
{
	ask(WWW, A, 0);
	upstream("ra ad NOERROR", "AN www.example.com. 60 IN A 192.0.2.1",
		 "AN www.example.com. 70 IN A 192.0.2.2", SOA_IN,
		 "AR x.example.com. 1 IN A 1.2.3.4", NULL);
	cr_assert_str_eq(rewritten(), "qr rd ra NOERROR\n"
				      "AN www.example.com. 60 IN A 198.18.0.1\n"
				      "AN www.example.com. 70 IN A 198.18.0.2\n");
	cr_assert_eq(dns_get16(t.out), 0x1234);
	ask(WWW, LDNS_RR_TYPE_AAAA, 0);
	upstream("ra aa NOERROR", "AN www.example.com. 60 IN AAAA 2001:db8::1", NULL);
	cr_assert_str_eq(rewritten(), "qr aa rd ra NOERROR\n"
				      "AN www.example.com. 60 IN AAAA fd25:a::1\n");
}

Test(dns_rewrite, a_chain_in_any_order_ends_at_the_question)
{
	ask(WWW, A, 0);
	upstream("ra NOERROR", "AN c.example.org. 60 IN A 192.0.2.1",
		 "AN other.example.org. 60 IN A 192.0.2.66",
		 "AN b.example.net. 5 IN CNAME c.example.org.",
		 "AN WWW.example.com. 5 IN CNAME B.example.net.",
		 "AN www.example.com. 60 IN AAAA 2001:db8::1",
		 "AN www.example.com. 60 CH A 192.0.2.9", NULL);
	cr_assert_str_eq(rewritten(), "qr rd ra NOERROR\nAN www.example.com. 60 IN A 198.18.0.1\n");
}

Test(dns_rewrite, the_first_address_is_found_before_the_rest_is_read)
{
	struct c25_addr a;
	char text[ADDR_STRLEN];

	ask(WWW, A, 0);
	upstream("NOERROR", "AN www.example.com. 5 IN CNAME b.example.net.",
		 "AN b.example.net. 60 IN A 192.0.2.1", "AN b.example.net. 60 IN A 192.0.2.2",
		 NULL);
	cr_assert_eq(dns_first_addr(&a, &t.q, t.answer, t.alen), 0);
	cr_assert_str_eq(addr_print(text, &a), "192.0.2.1");
	for (t.alen -= 17; t.alen; t.alen--)
		cr_assert_eq(dns_first_addr(&a, &t.q, t.answer, t.alen), -ENOENT);
	ask(WWW, LDNS_RR_TYPE_AAAA, 0);
	upstream("NOERROR", "AN www.example.com. 60 IN AAAA 2001:db8::1", NULL);
	cr_assert_eq(dns_first_addr(&a, &t.q, t.answer, t.alen), 0);
	cr_assert_str_eq(addr_print(text, &a), "2001:db8::1");
	upstream("NOERROR", SOA_IN, NULL);
	cr_assert_eq(dns_first_addr(&a, &t.q, t.answer, t.alen), -ENOENT);
	ask(WWW, LDNS_RR_TYPE_HTTPS, 0);
	upstream("NOERROR", "AN www.example.com. 60 IN HTTPS 1 .", NULL);
	cr_assert_eq(dns_first_addr(&a, &t.q, t.answer, t.alen), -ENOENT);
}

static void chain_of(int links, bool backwards, bool looped)
{
	ldns_pkt *pkt = pkt_new("n0.example.com.", A);
	char text[128];

	ask("n0.example.com.", A, 4096);
	ldns_pkt_set_qr(pkt, 1);
	for (int i = 0; i <= links; i++) {
		int n = backwards ? links - i : i;
		ldns_rr *rr = NULL;

		if (n < links)
			sprintf(text, "n%d.example.com. 60 IN CNAME n%d.example.com.", n, n + 1);
		else if (looped)
			sprintf(text, "n%d.example.com. 60 IN CNAME n1.example.com.", n);
		else
			sprintf(text, "n%d.example.com. 60 IN A 192.0.2.1", n);
		ldns_rr_new_frm_str(&rr, text, 0, NULL, NULL);
		ldns_pkt_push_rr(pkt, LDNS_SECTION_ANSWER, rr);
	}
	t.alen = pkt_wire(t.answer, pkt);
	plan_and_write();
}

Test(dns_rewrite, sixteen_links_are_followed_and_no_more)
{
	for (int backwards = 0; backwards < 2; backwards++) {
		chain_of(16, backwards, false);
		cr_assert_eq(t.plan.action, DNS_PLAN_REWRITE);
		cr_assert_eq(t.plan.n_addrs, 1);
		chain_of(17, backwards, false);
		cr_assert_eq(t.plan.action, DNS_PLAN_PASS);
		cr_assert_null(strstr(message_text(t.out, t.outlen), "IN A "));
		chain_of(3, backwards, true);
		cr_assert_eq(t.plan.action, DNS_PLAN_PASS);
	}
}

Test(dns_rewrite, one_real_address_is_one_record_with_the_lowest_ttl)
{
	ask(WWW, A, 0);
	upstream("NOERROR", "AN www.example.com. 60 IN A 192.0.2.1",
		 "AN www.example.com. 30 IN A 192.0.2.1", NULL);
	cr_assert_str_eq(rewritten(), "qr rd NOERROR\nAN www.example.com. 30 IN A 198.18.0.1\n");
}

Test(dns_rewrite, a_record_of_the_wrong_length_makes_the_answer_unreadable)
{
	ask(WWW, A, 0);
	upstream("ra NOERROR", "AN www.example.com. 60 IN A 192.0.2.1", NULL);
	dns_put16(t.answer + t.alen - 6, 3);
	t.alen--;
	cr_assert_str_eq(rewritten(), SERVFAIL);
	t.alen++;
	dns_put16(t.answer + t.alen - 6, 5);
	t.alen++;
	cr_assert_str_eq(rewritten(), SERVFAIL);
}

Test(dns_rewrite, an_answer_cut_anywhere_is_servfail)
{
	size_t whole;

	ask(WWW, A, 1232);
	upstream("ra NOERROR", "AN www.example.com. 5 IN CNAME b.example.net.",
		 "AN b.example.net. 60 IN A 192.0.2.1", SOA_IN, "OPT", NULL);
	whole = t.alen;
	for (t.alen = 0; t.alen < whole; t.alen++)
		cr_assert_str_eq(rewritten(), "qr aa rd ra SERVFAIL\nOPT 1232\n", "%zu", t.alen);
}

Test(dns_rewrite, an_answer_still_truncated_is_servfail)
{
	ask(WWW, A, 0);
	upstream("tc ra NOERROR", "AN www.example.com. 60 IN A 192.0.2.1", NULL);
	cr_assert_str_eq(rewritten(), SERVFAIL);
}

Test(dns_rewrite, a_family_without_pool_is_empty)
{
	t.no4 = true;
	ask(WWW, A, 0);
	upstream("ra NOERROR", "AN www.example.com. 60 IN A 192.0.2.1", NULL);
	cr_assert_str_eq(rewritten(), "qr rd ra NOERROR\n");
	cr_assert_eq(t.plan.action, DNS_PLAN_EMPTY);
	upstream("ra NXDOMAIN", SOA_IN, NULL);
	cr_assert_str_eq(rewritten(), "qr rd ra NXDOMAIN\n" SOA);
}

Test(dns_rewrite, refused_addresses_are_left_out_while_others_remain)
{
	ask(WWW, A, 0);
	upstream("ra NOERROR", "AN www.example.com. 60 IN A 192.0.2.1",
		 "AN www.example.com. 60 IN A 192.0.2.2", NULL);
	t.states[0] = DNS_ADDR_REFUSED;
	cr_assert_str_eq(rewritten(), "qr rd ra NOERROR\nAN www.example.com. 60 IN A 198.18.0.2\n");
	t.states[1] = DNS_ADDR_REFUSED;
	cr_assert_str_eq(rewritten(), SERVFAIL);
	t.states[1] = DNS_ADDR_NO_FAMILY;
	cr_assert_str_eq(rewritten(), SERVFAIL);
	t.states[0] = DNS_ADDR_NO_FAMILY;
	cr_assert_str_eq(rewritten(), "qr rd ra NOERROR\n");
}

Test(dns_rewrite, a_mapped_or_unspecified_aaaa_is_refused)
{
	ask(WWW, LDNS_RR_TYPE_AAAA, 0);
	upstream("ra NOERROR", "AN www.example.com. 60 IN AAAA ::ffff:192.0.2.1",
		 "AN www.example.com. 60 IN AAAA ::", NULL);
	cr_assert_str_eq(rewritten(), SERVFAIL);
	cr_assert_eq(t.plan.addrs[0].state, DNS_ADDR_REFUSED);
	cr_assert_eq(t.plan.addrs[1].state, DNS_ADDR_REFUSED);
}

Test(dns_rewrite, negative_answers_pass_with_their_cnames_and_authority)
{
	ask(WWW, A, 0);
	upstream("ra ad NXDOMAIN", "AN www.example.com. 60 IN CNAME gone.example.com.", SOA_IN,
		 NULL);
	cr_assert_str_eq(rewritten(), "qr rd ra NXDOMAIN\n"
				      "AN www.example.com. 60 IN CNAME gone.example.com.\n" SOA);
	upstream("ra NOERROR", "AN www.example.com. 60 IN CNAME b.example.net.", SOA_IN, NULL);
	cr_assert_str_eq(rewritten(), "qr rd ra NOERROR\n"
				      "AN www.example.com. 60 IN CNAME b.example.net.\n" SOA);
	upstream("REFUSED", NULL);
	cr_assert_str_eq(rewritten(), "qr rd REFUSED\n");
}

Test(dns_rewrite, a_passed_answer_shows_no_real_address)
{
	ask(WWW, A, 0);
	upstream("ra NXDOMAIN", "AN www.example.com. 60 IN A 192.0.2.1", NULL);
	cr_assert_str_eq(rewritten(), "qr rd ra NXDOMAIN\n");
	upstream("ra NOERROR", "AN other.example.com. 60 IN A 192.0.2.1", NULL);
	cr_assert_str_eq(rewritten(), "qr rd ra NOERROR\n");
}

Test(dns_rewrite, types_without_addresses_pass_without_signatures_and_additional)
{
	ask("example.com.", LDNS_RR_TYPE_MX, 0);
	upstream("ra ad NOERROR", "AN example.com. 60 IN MX 10 mail.example.com.",
		 "AN example.com. 60 IN RRSIG MX 8 2 60 20300101000000 20200101000000 1 "
		 "example.com. AAAA",
		 "NS example.com. 60 IN NS ns.example.com.",
		 "AR mail.example.com. 60 IN A 192.0.2.1", NULL);
	cr_assert_str_eq(rewritten(), "qr rd ra NOERROR\n"
				      "AN example.com. 60 IN MX 10 mail.example.com.\n"
				      "NS example.com. 60 IN NS ns.example.com.\n");
}

Test(dns_rewrite, names_inside_passed_records_survive_the_move)
{
	static const char *const records[] = {
		"AN www.example.com. 60 IN NS a.www.example.com.",
		"AN www.example.com. 60 IN SRV 1 2 3 s.www.example.com.",
		"AN www.example.com. 60 IN NAPTR 1 2 \"u\" \"x\" \"\" n.www.example.com.",
		"AN www.example.com. 60 IN RP a.example.com. b.example.net.",
		"AN www.example.com. 60 IN PX 1 a.example.com. b.example.net.",
		"AN www.example.com. 60 IN MINFO a.example.com. b.example.net.",
		"AN www.example.com. 60 IN KX 1 k.example.com.",
		"AN www.example.com. 60 IN DNAME example.net.",
		"AN www.example.com. 60 IN TXT \"hello\" \"world\"",
		"AN www.example.com. 60 IN CAA 0 issue \"ca.example.net\"",
	};
	char expected[256];

	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		ask(WWW, LDNS_RR_TYPE_TXT, 4096);
		upstream("ra NOERROR", "AN www.example.com. 60 IN A 192.0.2.1", records[i], NULL);
		snprintf(expected, sizeof(expected), "qr rd ra NOERROR\n%s\nOPT 1232\n",
			 records[i]);
		cr_assert_str_eq(rewritten(), expected);
	}
}

/* RFC 4034, 4.1.1 forbids it, and so nobody after us could read it. */
Test(dns_rewrite, a_compressed_name_in_an_nsec_is_written_in_full)
{
	static const uint8_t nsec[] = {
		0xc0, 12, 0, 47, 0, 1, 0, 0, 0, 60, 0, 5, 0xc0, 12, 0, 1, 4
	};

	ask(WWW, A, 0);
	upstream("ra NOERROR", NULL);
	dns_put16(t.answer + 8, 1);
	memcpy(t.answer + t.alen, nsec, sizeof(nsec));
	t.alen += sizeof(nsec);
	plan_and_write();
	cr_assert_eq(t.outlen, 33 + 12 + 17 + 3);
	cr_assert_arr_eq(t.out + 33 + 12, "\3www\7example\3com\0\0\1\4", 20);
}

Test(dns_rewrite, any_and_unknown_types_are_empty)
{
	ask(WWW, LDNS_RR_TYPE_ANY, 0);
	upstream("ra NOERROR", "AN www.example.com. 60 IN A 192.0.2.1", NULL);
	cr_assert_str_eq(rewritten(), "qr rd ra NOERROR\n");
	ask(WWW, 65280, 0);
	upstream("ra NOERROR", "AN www.example.com. 60 IN TYPE65280 \\# 4 c0000201", NULL);
	cr_assert_str_eq(rewritten(), "qr rd ra NOERROR\n");
}

Test(dns_rewrite, opt_comes_back_only_where_the_client_sent_one)
{
	ask(WWW, A, 0);
	upstream("ra NOERROR", "AN www.example.com. 60 IN A 192.0.2.1", "OPT", NULL);
	cr_assert_null(strstr(rewritten(), "OPT"));
	ask(WWW, A, 1400);
	t.query[t.qlen - 4] = 0x80;
	cr_assert_eq(dns_question_parse(&t.q, t.query, t.qlen), 0);
	cr_assert_eq(t.q.udp_size, 1400);
	cr_assert_not_null(strstr(rewritten(), "OPT 1232 do\n"));
}

Test(dns_rewrite, upstreams_cookie_is_kept_and_its_padding_not)
{
	static const uint8_t options[] = { 0, 12, 0, 1, 9, 0, 10, 0, 2, 0xaa, 0xbb };

	ask(WWW, A, 1232);
	upstream("ra NOERROR", "AN www.example.com. 60 IN A 192.0.2.1", "OPT", NULL);
	memcpy(t.answer + t.alen, options, sizeof(options));
	dns_put16(t.answer + t.alen - 2, sizeof(options));
	t.alen += sizeof(options);
	plan_and_write();
	cr_assert_eq(dns_get16(t.out + t.outlen - 8), 6);
	cr_assert_arr_eq(t.out + t.outlen - 6, options + 5, 6);
}

Test(dns_rewrite, an_extended_error_needs_edns)
{
	ask(WWW, A, 1232);
	upstream("ra NOERROR", "OPT", NULL);
	t.answer[t.alen - 6] = 1; /* BADVERS */
	plan_and_write();
	cr_assert_eq(t.plan.action, DNS_PLAN_PASS);
	cr_assert_eq(t.out[t.outlen - 6], 1);
	ask(WWW, A, 0);
	cr_assert_str_eq(rewritten(), SERVFAIL);
}

Test(dns_rewrite, what_does_not_fit_is_cut_at_a_record_with_tc)
{
	ldns_pkt *pkt = pkt_new(WWW, A);

	ask(WWW, A, 600);
	ldns_pkt_set_qr(pkt, 1);
	for (int i = 1; i <= 100; i++) {
		ldns_rr *rr = NULL;
		char text[64];

		sprintf(text, "www.example.com. 60 IN A 192.0.2.%d", i);
		ldns_rr_new_frm_str(&rr, text, 0, NULL, NULL);
		ldns_pkt_push_rr(pkt, LDNS_SECTION_ANSWER, rr);
	}
	t.alen = pkt_wire(t.answer, pkt);
	plan_and_write();
	cr_assert(dns_get16(t.out + 2) & DNS_TC);
	cr_assert_eq(dns_get16(t.out + 6), (600 - 33 - 11) / 16);
	cr_assert_not_null(strstr(message_text(t.out, t.outlen), "OPT 1232"));
	t.max = DNS_MAX_MSG;
	plan_and_write();
	cr_assert(!(dns_get16(t.out + 2) & DNS_TC));
	cr_assert_eq(dns_get16(t.out + 6), 100);
}

Test(dns_rewrite, a_passed_answer_that_does_not_fit_is_cut_with_tc)
{
	char txt[300];

	memset(txt, 'x', sizeof(txt));
	memcpy(txt, "AN www.example.com. 60 IN TXT \"", 31);
	strcpy(txt + 31 + 250, "\"");
	ask(WWW, LDNS_RR_TYPE_TXT, 0);
	upstream("ra NOERROR", "AN www.example.com. 60 IN TXT a", txt, txt, NULL);
	plan_and_write();
	cr_assert_eq(dns_get16(t.out + 6), 2);
	cr_assert_not_null(strstr(message_text(t.out, t.outlen), "qr tc rd ra NOERROR\n"));
	t.max = DNS_MAX_MSG;
	plan_and_write();
	cr_assert_eq(dns_get16(t.out + 6), 3);
	cr_assert_null(strstr(message_text(t.out, t.outlen), " tc "));
}

/* RFC 3597, 4. */
Test(dns_rewrite, names_of_newer_types_are_written_uncompressed)
{
	ask(WWW, LDNS_RR_TYPE_SRV, 0);
	upstream("ra NOERROR", "AN www.example.com. 60 IN SRV 1 2 3 www.example.com.", NULL);
	plan_and_write();
	cr_assert_eq(t.outlen, 33 + 12 + 6 + 17);
	ask(WWW, LDNS_RR_TYPE_PTR, 0);
	upstream("ra NOERROR", "AN www.example.com. 60 IN PTR www.example.com.", NULL);
	plan_and_write();
	cr_assert_eq(t.outlen, 33 + 12 + 2);
}

Test(dns_rewrite, more_stray_cnames_than_any_sane_answer_has_are_unreadable)
{
	for (int n = 64; n <= 65; n++) {
		ask(WWW, A, 0);
		upstream("ra NOERROR", NULL);
		dns_put16(t.answer + 6, (uint16_t)n);
		for (int i = 0; i < n; i++) {
			uint8_t rr[16] = { 1, i, 0, 0, 5, 0, 1, 0, 0, 0, 60, 0, 1, 0 };

			memcpy(t.answer + t.alen, rr, 14);
			t.alen += 14;
		}
		plan_and_write();
		cr_assert_eq(t.plan.action, n > 64 ? DNS_PLAN_SERVFAIL : DNS_PLAN_PASS);
	}
}

Test(dns_rewrite, the_questions_case_is_kept)
{
	ask("wWw.ExAmple.cOm.", A, 0);
	upstream("ra NOERROR", "AN www.example.com. 60 IN A 192.0.2.1", NULL);
	memcpy(t.answer + 12, "\3www\7example\3com", 17);
	plan_and_write();
	cr_assert_arr_eq(t.out + 12, "\3wWw\7ExAmple\3cOm", 17);
	cr_assert_eq(dns_get16(t.out + 6), 1);
}

Test(dns_rewrite, an_answer_without_question_section_is_taken)
{
	ask(WWW, A, 0);
	upstream("ra NOERROR", "AN www.example.com. 60 IN A 192.0.2.1", NULL);
	/* The owner in full where the question stood, then type to rdata. */
	dns_put16(t.answer + 4, 0);
	memmove(t.answer + 12 + 17, t.answer + t.alen - 14, 14);
	t.alen = 12 + 17 + 14;
	cr_assert(dns_answer_matches(&t.q, t.answer, t.alen));
	cr_assert_str_eq(rewritten(), "qr rd ra NOERROR\nAN www.example.com. 60 IN A 198.18.0.1\n");
}

Test(dns_rewrite, an_answer_to_another_question_does_not_match)
{
	ask(WWW, A, 0);
	upstream("ra NOERROR", NULL);
	cr_assert(dns_answer_matches(&t.q, t.answer, t.alen));
	t.answer[13] ^= 0x20;
	cr_assert(dns_answer_matches(&t.q, t.answer, t.alen));
	t.answer[13]++;
	cr_assert(!dns_answer_matches(&t.q, t.answer, t.alen));
	t.answer[13]--;
	t.answer[t.alen - 3]++;
	cr_assert(!dns_answer_matches(&t.q, t.answer, t.alen));
	cr_assert(!dns_answer_matches(&t.q, t.query, t.qlen));
}

Test(dns_rewrite, more_addresses_than_the_plan_holds_are_unreadable)
{
	for (int n = DNS_MAX_ADDRS; n <= DNS_MAX_ADDRS + 1; n++) {
		ask(WWW, A, 0);
		upstream("ra NOERROR", NULL);
		dns_put16(t.answer + 6, (uint16_t)n);
		for (int i = 0; i < n; i++) {
			uint8_t rr[16] = { 0xc0, 12, 0, 1, 0,   1, 0,      0,
					   0,    60, 0, 4, 192, 0, i >> 8, i };

			memcpy(t.answer + t.alen, rr, sizeof(rr));
			t.alen += sizeof(rr);
		}
		plan_and_write();
		cr_assert_eq(t.plan.action,
			     n > DNS_MAX_ADDRS ? DNS_PLAN_SERVFAIL : DNS_PLAN_REWRITE);
	}
}

/* priority 1, target t.; mandatory=port,ipv4hint,ipv6hint alpn=h2 port=8443 ipv4hint=192.0.2.1,2
 * ech=beef ipv6hint=2001:db8::1 key667=ff */
#define HTTPS_PARAMS                                                                               \
	"0000 0006 0003 0004 0006 0001 0003 026832 0003 0002 20fb 0004 0008 c0000201c0000202 "     \
	"0005 0002 beef 0006 0010 20010db8000000000000000000000001 029b 0001 ff"

static void https(const char *head, const char *params)
{
	char hex[512], text[1024];
	size_t n = 0;

	for (const char *parts[] = { head, params }, **p = parts; p < parts + 2; p++)
		for (const char *c = *p; *c; c++)
			if (*c != ' ')
				hex[n++] = *c;
	hex[n] = 0;
	snprintf(text, sizeof(text), "AN www.example.com. 60 IN TYPE65280 \\# %zu %s", n / 2, hex);
	ask(WWW, 65, 0);
	upstream("ra NOERROR", text, NULL);
	/* ldns takes no malformed one. */
	dns_put16(t.answer + t.alen - n / 2 - 10, DNS_TYPE_HTTPS);
	plan_and_write();
}

static void cr_assert_https(const char *params)
{
	uint8_t want[256];
	size_t n = 0;

	cr_assert_eq(dns_get16(t.out + 6), 1);
	for (const char *c = params; *c; c++) {
		unsigned byte;

		if (*c == ' ')
			continue;
		sscanf(c++, "%2x", &byte);
		want[n++] = (uint8_t)byte;
	}
	cr_assert_eq(t.outlen, 33 + 12 + n, "%zu for %zu", t.outlen, 33 + 12 + n);
	cr_assert_eq(dns_get16(t.out + 33 + 10), n);
	cr_assert_arr_eq(t.out + 33 + 12, want, n);
}

Test(dns_rewrite, https_keeps_its_parameters_and_gets_magic_hints)
{
	https("0001 017400", HTTPS_PARAMS);
	cr_assert_eq(t.plan.n_addrs, 3);
	cr_assert_https("0001 00 0000 0006 0003 0004 0006 0001 0003 026832 0003 0002 20fb 0004 "
			"0008 "
			"c6120001c6120002 0005 0002 beef 0006 0010 "
			"fd25000a000000000000000000000003 029b 0001 ff");
}

Test(dns_rewrite, https_loses_the_hint_of_a_family_without_pool)
{
	t.no6 = true;
	https("0001 017400", HTTPS_PARAMS);
	cr_assert_https("0001 00 0000 0004 0003 0004 0001 0003 026832 0003 0002 20fb 0004 0008 "
			"c6120001c6120002 0005 0002 beef 029b 0001 ff");
	t.no4 = true;
	https("0001 017400", HTTPS_PARAMS);
	cr_assert_https("0001 00 0000 0002 0003 0001 0003 026832 0003 0002 20fb 0005 0002 beef "
			"029b 0001 ff");
	https("0001 00", "0000 0002 0004 0001 0003 026832 0004 0004 c0000201");
	cr_assert_https("0001 00 0001 0003 026832");
}

Test(dns_rewrite, https_loses_hints_that_were_refused)
{
	t.states[0] = t.states[2] = DNS_ADDR_REFUSED;
	https("0001 00", HTTPS_PARAMS);
	cr_assert_https("0001 00 0000 0004 0003 0004 0001 0003 026832 0003 0002 20fb 0004 0004 "
			"c6120002 0005 0002 beef 029b 0001 ff");
	t.states[1] = DNS_ADDR_REFUSED;
	https("0001 00", HTTPS_PARAMS);
	cr_assert_str_eq(message_text(t.out, t.outlen), SERVFAIL);
}

Test(dns_rewrite, https_without_hints_needs_no_lending)
{
	https("0001 00", "0001 0003 026832");
	cr_assert_eq(t.plan.action, DNS_PLAN_REWRITE);
	cr_assert_eq(t.plan.n_addrs, 0);
	cr_assert_https("0001 00 0001 0003 026832");
}

Test(dns_rewrite, https_loses_mapped_hints)
{
	https("0001 00", "0004 0004 c0000201 0006 0020 00000000000000000000ffffc0000201 "
			 "20010db8000000000000000000000001");
	cr_assert_eq(t.plan.n_addrs, 2);
	cr_assert_https("0001 00 0004 0004 c6120001 0006 0010 fd25000a000000000000000000000002");
}

Test(dns_rewrite, https_behind_a_cname_is_owned_by_the_question)
{
	ask(WWW, 65, 0);
	upstream("ra NOERROR", "AN cdn.example.net. 60 IN TYPE65 \\# 11 00010000040004c0000201",
		 "AN www.example.com. 60 IN CNAME cdn.example.net.", NULL);
	plan_and_write();
	cr_assert_https("0001 00 0004 0004 c6120001");
}

Test(dns_rewrite, https_aliases_are_left_out)
{
	https("0000 017400", "");
	cr_assert_str_eq(message_text(t.out, t.outlen), "qr rd ra NOERROR\n");
}

Test(dns_rewrite, malformed_https_is_unreadable)
{
	static const char *const bad[][2] = {
		{ "0001", "" },                                   /* no target */
		{ "0001 0174", "" },                              /* target cut */
		{ "0001 c00c", "" },                              /* target compressed */
		{ "0001 00", "0001" },                            /* parameter cut */
		{ "0001 00", "0001 0004 026832" },                /* value cut */
		{ "0001 00", "0003 0002 20fb 0003 0002 20fb" },   /* twice */
		{ "0001 00", "0003 0002 20fb 0001 0003 026832" }, /* out of order */
		{ "0001 00", "0004 0003 c00002" },                /* hint of 3 bytes */
		{ "0001 00", "0004 0000" },                       /* hint of none */
		{ "0001 00", "0006 0004 c0000201" },              /* of the other family */
		{ "0001 00", "0000 0000" },                       /* mandatory: nothing */
		{ "0001 00", "0000 0002 0000" },                  /* itself */
		{ "0001 00", "0000 0004 0004 0003" },             /* out of order */
		{ "0001 00", "0001 0003 036832" },                /* alpn cut */
		{ "0001 00", "0003 0001 20" },                    /* port of 1 byte */
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		https(bad[i][0], bad[i][1]);
		cr_assert_eq(t.plan.action, DNS_PLAN_SERVFAIL, "%zu", i);
	}
}
