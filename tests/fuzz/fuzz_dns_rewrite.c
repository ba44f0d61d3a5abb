/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any query with any answer: nothing is read or written out of bounds, and what comes out can be
 * read again, is as short as asked, and holds none of upstream's addresses.
 *
 * Input: families, states, size, length of the query (2 bytes), the query, the answer. Where the
 * answer does not match the query, its id and question are put in place, so that more is reached.
 */
#include "dns_rewrite.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC 0x5a /* each byte of a magic address */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool holds)
{
	if (!holds)
		abort();
}

static void check_output(const uint8_t *out, size_t n, const struct dns_question *q)
{
	struct dns_reader r = { .msg = out, .len = n, .at = q->end };
	struct dns_header h;
	struct dns_rr rr;

	expect(!dns_header_read(&h, out, n) && h.id == q->id && h.count[DNS_QUESTION] == 1);
	expect(dns_answer_matches(q, out, n) && !(h.flags & DNS_AD));
	for (enum dns_section s = DNS_ANSWER; s < DNS_SECTIONS; s++) {
		for (unsigned i = 0; i < h.count[s]; i++) {
			expect(!dns_rr_read(&rr, &r) && !dns_rdata_check(&rr, out, n));
			expect(rr.type != DNS_TYPE_RRSIG);
			expect((rr.type == DNS_TYPE_OPT) == (s == DNS_ADDITIONAL));
			if (rr.type != DNS_TYPE_A && rr.type != DNS_TYPE_AAAA)
				continue;
			expect(s == DNS_ANSWER && rr.type == q->type);
			for (size_t b = 0; b < rr.rdlen; b++)
				expect(out[rr.rdata + b] == MAGIC);
		}
	}
	expect(h.count[DNS_ADDITIONAL] == q->has_edns);
	expect(r.at == n);
}

static size_t fit_answer(uint8_t *answer, const struct dns_question *q, const uint8_t *query,
			 const uint8_t *rest, size_t n)
{
	if (n < DNS_HEADER_LEN || n + q->end > DNS_MAX_MSG)
		return 0;
	memcpy(answer, rest, DNS_HEADER_LEN);
	answer[2] = (uint8_t)((answer[2] & ~0x7a) | 0x80);
	dns_put16(answer + 4, 1);
	memcpy(answer + DNS_HEADER_LEN, query + DNS_HEADER_LEN, q->end - DNS_HEADER_LEN);
	memcpy(answer + q->end, rest + DNS_HEADER_LEN, n - DNS_HEADER_LEN);
	return q->end + n - DNS_HEADER_LEN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t out[DNS_MAX_MSG], fitted[DNS_MAX_MSG];
	static struct dns_plan plan;
	char text[DNS_MAX_TEXT];
	struct dns_question q;
	struct c25_addr first;
	uint8_t *query, *answer;
	size_t qlen, alen, max, len;

	if (n < 6)
		return 0;
	qlen = dns_get16(data + 4);
	max = dns_get16(data + 2);
	if (max < DNS_MIN_UDP)
		max = DNS_MAX_MSG;
	if (qlen > n - 6)
		qlen = n - 6;
	/* Exact copies, so that the sanitizer sees the ends. */
	query = malloc(qlen ? qlen : 1);
	memcpy(query, data + 6, qlen);
	if (dns_question_parse(&q, query, qlen)) {
		free(query);
		return 0;
	}
	expect(strlen(dns_name_text(text, q.name)) < DNS_MAX_TEXT);
	alen = n - 6 - qlen;
	if (data[0] & 4)
		alen = fit_answer(fitted, &q, query, data + 6 + qlen, alen);
	else
		memcpy(fitted, data + 6 + qlen, alen < DNS_MAX_MSG ? alen : (alen = DNS_MAX_MSG));
	answer = malloc(alen ? alen : 1);
	memcpy(answer, fitted, alen);

	dns_first_addr(&first, &q, answer, alen);
	dns_rewrite_plan(&plan, &q, answer, alen, data[0] & 1, data[0] & 2);
	for (size_t i = 0; i < plan.n_addrs; i++) {
		if (plan.addrs[i].state == DNS_ADDR_WANTED)
			plan.addrs[i].state = (enum dns_plan_state)(data[1] >> i % 4 * 2 & 3);
		memset(plan.addrs[i].magic.b, MAGIC, 16);
	}
	len = dns_rewrite_write(out, max, &plan, &q, query, qlen, answer, alen);
	expect(len && len <= max);
	check_output(out, len, &q);
	free(query);
	free(answer);
	return 0;
}
