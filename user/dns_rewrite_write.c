/* SPDX-License-Identifier: BSD-3-Clause */
#include "cleanup.h"
#include "dns_chain.h"
#include "dns_kind.h"
#include "dns_svcb.h"

#include <errno.h>
#include <string.h>

#define QUESTION_POINTER (0xc000 | DNS_HEADER_LEN)
#define RR_SHORT         (2 + DNS_RR_FIXED) /* a record without rdata, owned by the question */

/* EDNS options of one hop (RFC 7828, 7830): not ours to hand on. */
#define OPTION_KEEPALIVE 11
#define OPTION_PADDING   12

/* So that header, the longest question and OPT fit into what every client takes. */
#define OPTIONS_MAX 200

/* The client's answer as it grows. */
struct reply {
	struct dns_header h;
	uint8_t *msg;
	size_t at;
	size_t max; /* for records; behind it there is room for the OPT */
	size_t opt_len;
	uint8_t opt[DNS_OPT_LEN + OPTIONS_MAX];
};

/* Copies upstream's options that are the client's to see: cookies, extended errors, its subnet. */
static size_t copy_options(uint8_t *out, const uint8_t *options, size_t n)
{
	size_t kept = 0;

	for (size_t at = 0; n - at >= 4;) {
		uint16_t code = dns_get16(options + at);
		size_t len = 4U + dns_get16(options + at + 2);

		if (len > n - at)
			break;
		if (code != OPTION_KEEPALIVE && code != OPTION_PADDING &&
		    len <= OPTIONS_MAX - kept) {
			memcpy(out + kept, options + at, len);
			kept += len;
		}
		at += len;
	}
	return kept;
}

static void make_opt(struct reply *r, const struct dns_question *q, uint16_t rcode,
		     const uint8_t *options, size_t n)
{
	uint32_t ttl = (uint32_t)rcode >> 4 << 24 | (q->edns_do ? DNS_EDNS_DO : 0);
	size_t len = n ? copy_options(r->opt + DNS_OPT_LEN, options, n) : 0;

	r->opt[0] = 0;
	dns_put16(r->opt + 1, DNS_TYPE_OPT);
	dns_put16(r->opt + 3, DNS_OUR_UDP);
	dns_put32(r->opt + 5, ttl);
	dns_put16(r->opt + 9, (uint16_t)len);
	r->opt_len = DNS_OPT_LEN + len;
}

/* Header, question as asked, and room for the OPT where the client sent one. */
static void reply_start(struct reply *r, uint8_t *out, size_t max, const struct dns_question *q,
			const uint8_t *query, uint16_t flags, uint16_t rcode,
			const uint8_t *options, size_t n_options)
{
	r->h = (struct dns_header){ .id = q->id, .count = { [DNS_QUESTION] = 1 } };
	r->h.flags = DNS_QR | (q->flags & (DNS_RD | DNS_CD)) | (flags & (DNS_AA | DNS_RA)) |
		     (rcode & DNS_RCODE);
	r->msg = out;
	r->at = q->end;
	memcpy(out + DNS_HEADER_LEN, query + DNS_HEADER_LEN, q->end - DNS_HEADER_LEN);
	r->opt_len = 0;
	if (q->has_edns)
		make_opt(r, q, rcode, options, n_options);
	r->max = max - r->opt_len;
}

static size_t reply_end(struct reply *r)
{
	if (r->opt_len) {
		memcpy(r->msg + r->at, r->opt, r->opt_len);
		r->at += r->opt_len;
		r->h.count[DNS_ADDITIONAL] = 1;
	}
	dns_header_write(r->msg, &r->h);
	return r->at;
}

size_t dns_servfail(uint8_t *out, size_t max, const struct dns_question *q, const uint8_t *query,
		    size_t qlen)
{
	struct reply r;

	reply_start(&r, out, max, q, query, DNS_AA | DNS_RA, DNS_RCODE_SERVFAIL, NULL, 0);
	return reply_end(&r);
}

/* A record's beginning, owned by the question; the rdata's place, or NULL and TC: no room. */
static uint8_t *reply_record(struct reply *r, uint16_t type, uint32_t ttl, size_t rdlen)
{
	uint8_t *p = r->msg + r->at;

	if (RR_SHORT + rdlen > r->max - r->at) {
		r->h.flags |= DNS_TC;
		return NULL;
	}
	dns_put16(p, QUESTION_POINTER);
	dns_put16(p + 2, type);
	dns_put16(p + 4, DNS_CLASS_IN);
	dns_put32(p + 6, ttl);
	dns_put16(p + 10, (uint16_t)rdlen);
	r->at += RR_SHORT + rdlen;
	r->h.count[DNS_ANSWER]++;
	return p + RR_SHORT;
}

static void write_addrs(struct reply *r, const struct dns_plan *plan, uint16_t type)
{
	size_t n = type == DNS_TYPE_A ? 4 : 16;

	for (size_t i = 0; i < plan->n_addrs; i++) {
		const struct dns_plan_addr *a = &plan->addrs[i];
		uint8_t *rdata;

		if (a->state != DNS_ADDR_GRANTED)
			continue;
		rdata = reply_record(r, type, a->ttl, n);
		if (!rdata)
			return;
		memcpy(rdata, a->magic.b + 16 - n, n);
	}
}

/* Where the records of a matched answer begin. */
static struct dns_reader records_of(const struct dns_question *q, const struct dns_header *h,
				    const uint8_t *msg, size_t len)
{
	size_t question = h->count[DNS_QUESTION] ? q->name_len + 4U : 0;

	return (struct dns_reader){ .msg = msg, .len = len, .at = DNS_HEADER_LEN + question };
}

/* False: it did not fit. */
static bool write_service(struct reply *r, const struct dns_plan *plan, const struct dns_rr *rr,
			  const uint8_t *answer)
{
	uint8_t rdata[DNS_MAX_MSG], *place;
	size_t n = dns_svcb_write(rdata, answer + rr->rdata, rr->rdlen, plan);

	place = reply_record(r, rr->type, rr->ttl, n);
	if (place)
		memcpy(place, rdata, n);
	return place;
}

static int write_services(struct reply *r, const struct dns_plan *plan,
			  const struct dns_question *q, const uint8_t *answer, size_t len)
{
	struct dns_chain chain;
	struct dns_reader from;
	struct dns_header h;
	struct dns_rr rr;
	int err;

	if (dns_header_read(&h, answer, len))
		return -EBADMSG;
	from = records_of(q, &h, answer, len);
	err = dns_chain_read(&chain, q, &h, from);
	for (unsigned n = h.count[DNS_ANSWER]; n && !err; n--) {
		err = dns_rr_read(&rr, &from);
		if (err || rr.class_ != DNS_CLASS_IN || rr.type != q->type ||
		    !dns_chain_owns(&chain, &rr) || !dns_svcb_is_service(answer + rr.rdata))
			continue;
		if (!write_service(r, plan, &rr, answer))
			break;
	}
	return err;
}

/* Only types known to hold no address, and no signatures, are carried over. */
static int copy_cleaned(struct reply *r, const struct dns_question *q, const uint8_t *answer,
			size_t len)
{
	struct dns_reader from;
	struct dns_writer w;
	struct dns_header h;
	struct dns_rr rr;
	int err = 0;

	if (dns_header_read(&h, answer, len))
		return -EBADMSG;
	from = records_of(q, &h, answer, len);
	dns_writer_start(&w, r->msg, r->at, r->max);
	for (enum dns_section s = DNS_ANSWER; s <= DNS_AUTHORITY && !err; s++) {
		for (unsigned n = h.count[s]; n && !err; n--) {
			err = dns_rr_read(&rr, &from);
			if (err || dns_kind_of(rr.type) != DNS_KIND_PASSED)
				continue;
			err = dns_rr_copy(&w, &rr, answer, len);
			r->h.count[s] += !err;
		}
	}
	r->at = w.at;
	if (err != -ENOSPC)
		return err;
	r->h.flags |= DNS_TC;
	return 0;
}

/* The plan's action, now that the states of its addresses are known. */
static enum dns_plan_action final_action(const struct dns_plan *plan, const struct dns_question *q)
{
	bool all_without_family = true;

	if (plan->action == DNS_PLAN_PASS && plan->rcode > DNS_RCODE && !q->has_edns)
		return DNS_PLAN_SERVFAIL; /* no way to say it */
	if (plan->action != DNS_PLAN_REWRITE || !plan->n_addrs)
		return plan->action;
	for (size_t i = 0; i < plan->n_addrs; i++) {
		if (plan->addrs[i].state == DNS_ADDR_GRANTED)
			return DNS_PLAN_REWRITE;
		if (plan->addrs[i].state != DNS_ADDR_NO_FAMILY)
			all_without_family = false;
	}
	if (!all_without_family)
		return DNS_PLAN_SERVFAIL;
	return q->type == DNS_TYPE_A || q->type == DNS_TYPE_AAAA ? DNS_PLAN_EMPTY :
								   DNS_PLAN_REWRITE;
}

size_t dns_rewrite_write(uint8_t *out, size_t max, const struct dns_plan *plan,
			 const struct dns_question *q, const uint8_t *query, size_t qlen,
			 const uint8_t *answer, size_t len)
{
	enum dns_plan_action action = final_action(plan, q);
	struct reply r;
	int err = 0;

	if (action == DNS_PLAN_SERVFAIL)
		return dns_servfail(out, max, q, query, qlen);
	reply_start(&r, out, max, q, query, dns_get16(answer + 2), plan->rcode, answer + plan->opt,
		    plan->opt_len);
	if (action == DNS_PLAN_PASS)
		err = copy_cleaned(&r, q, answer, len);
	else if (action == DNS_PLAN_REWRITE && q->type <= DNS_TYPE_AAAA)
		write_addrs(&r, plan, q->type);
	else if (action == DNS_PLAN_REWRITE)
		err = write_services(&r, plan, q, answer, len);
	if (err)
		return dns_servfail(out, max, q, query, qlen);
	return reply_end(&r);
}
