/* SPDX-License-Identifier: BSD-3-Clause */
#include "dns_rewrite.h"

#include <errno.h>
#include <string.h>

static int take_opt(struct dns_question *q, const struct dns_rr *rr, const uint8_t *msg,
		    enum dns_section section)
{
	/* RFC 6891, 6.1.1: one at most, in the additional section, owned by the root. */
	if (q->has_edns || section != DNS_ADDITIONAL || msg[rr->owner])
		return -EINVAL;
	q->has_edns = true;
	q->edns_do = rr->ttl & DNS_EDNS_DO;
	if (rr->class_ > q->udp_size)
		q->udp_size = rr->class_;
	return 0;
}

int dns_question_parse(struct dns_question *out, const uint8_t *msg, size_t len)
{
	struct dns_question q;
	struct dns_name name;
	struct dns_header h;
	struct dns_rr rr;
	int at;

	if (dns_header_read(&h, msg, len) || h.flags & (DNS_QR | DNS_OPCODE) ||
	    h.count[DNS_QUESTION] != 1)
		return -EINVAL;
	at = dns_name_read(&name, msg, len, DNS_HEADER_LEN);
	if (at < 0 || (size_t)at + 4 > len)
		return -EINVAL;
	memcpy(q.name, name.wire, name.len);
	q.name_len = name.len;
	q.type = dns_get16(msg + at);
	q.class_ = dns_get16(msg + at + 2);
	q.id = h.id;
	q.flags = h.flags;
	q.end = (uint16_t)(at + 4);
	q.has_edns = false;
	q.edns_do = false;
	q.udp_size = DNS_MIN_UDP;

	struct dns_reader r = { .msg = msg, .len = len, .at = q.end };

	for (enum dns_section s = DNS_ANSWER; s < DNS_SECTIONS; s++) {
		for (unsigned n = h.count[s]; n; n--) {
			if (dns_rr_read(&rr, &r))
				return -EINVAL;
			if (rr.type == DNS_TYPE_OPT && take_opt(&q, &rr, msg, s))
				return -EINVAL;
		}
	}
	*out = q;
	return 0;
}

bool dns_answer_matches(const struct dns_question *q, const uint8_t *answer, size_t len)
{
	size_t end = DNS_HEADER_LEN + q->name_len + 4U;
	struct dns_header h;

	if (dns_header_read(&h, answer, len) || !(h.flags & DNS_QR) || h.flags & DNS_OPCODE)
		return false;
	if (!h.count[DNS_QUESTION])
		return true;
	return h.count[DNS_QUESTION] == 1 && len >= end &&
	       dns_name_equal(answer + DNS_HEADER_LEN, q->name, q->name_len) &&
	       dns_get16(answer + end - 4) == q->type && dns_get16(answer + end - 2) == q->class_;
}

int dns_first_addr(struct c25_addr *out, const struct dns_question *q, const uint8_t *msg,
		   size_t len)
{
	struct dns_reader r = { .msg = msg, .len = len, .at = q->end };
	struct dns_rr rr;

	while (!dns_rr_read(&rr, &r)) {
		if (rr.type != q->type)
			continue;
		if (rr.type == DNS_TYPE_A && rr.rdlen == 4)
			*out = addr_from4(msg + rr.rdata);
		else if (rr.type == DNS_TYPE_AAAA && rr.rdlen == 16)
			*out = addr_from6(msg + rr.rdata);
		else
			return -ENOENT;
		return 0;
	}
	return -ENOENT;
}
