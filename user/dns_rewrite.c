/* SPDX-License-Identifier: BSD-3-Clause */
#include "dns_chain.h"
#include "dns_kind.h"
#include "dns_svcb.h"

#include <errno.h>
#include <string.h>

/* The walk over an upstream's answer that makes a plan. */
struct planning {
	struct dns_plan *plan;
	const struct dns_question *q;
	const uint8_t *msg;
	size_t len;
	bool has4;
	bool has6;
	enum dns_kind kind;
	bool missed;     /* a record whose owner was not of the chain, yet */
	size_t matched;  /* records of the asked type */
	size_t services; /* of these, SVCB in ServiceMode */
	uint32_t ttl;    /* of the record at hand */
	struct dns_chain chain;
};

/* Each real address once, with the lowest of its TTLs. */
static int list_addr(struct planning *p, const struct c25_addr *real, enum dns_plan_state state)
{
	struct dns_plan *plan = p->plan;
	struct dns_plan_addr *a;

	for (size_t i = 0; i < plan->n_addrs; i++) {
		a = &plan->addrs[i];
		if (addr_equal(&a->real, real)) {
			if (p->ttl < a->ttl)
				a->ttl = p->ttl;
			return 0;
		}
	}
	if (plan->n_addrs == DNS_MAX_ADDRS)
		return -E2BIG;
	a = &plan->addrs[plan->n_addrs++];
	a->real = *real;
	a->magic = (struct c25_addr){ 0 };
	a->state = state;
	a->ttl = p->ttl;
	return 0;
}

static int list_hint(const struct c25_addr *real, void *ctx)
{
	struct planning *p = ctx;
	bool lendable = addr_is4(real) ? p->has4 : p->has6;

	return list_addr(p, real, lendable ? DNS_ADDR_WANTED : DNS_ADDR_NO_FAMILY);
}

/* A record of the asked type, owned by a name of the chain. */
static int list_record(struct planning *p, const struct dns_rr *rr)
{
	const uint8_t *rdata = p->msg + rr->rdata;
	struct c25_addr real;

	p->matched++;
	p->ttl = rr->ttl;
	if (p->kind == DNS_KIND_SERVICES) {
		if (!dns_svcb_is_service(rdata))
			return 0;
		p->services++;
		return dns_svcb_hints(rdata, rr->rdlen, list_hint, p);
	}
	if (rr->type == DNS_TYPE_A) {
		real = addr_from4(rdata);
		return list_addr(p, &real, p->has4 ? DNS_ADDR_WANTED : DNS_ADDR_NO_FAMILY);
	}
	real = addr_from6(rdata);
	if (p->has6 && dns_no_real6(&real))
		return list_addr(p, &real, DNS_ADDR_REFUSED);
	return list_addr(p, &real, p->has6 ? DNS_ADDR_WANTED : DNS_ADDR_NO_FAMILY);
}

static int take_answer(struct planning *p, const struct dns_rr *rr)
{
	if (rr->class_ != DNS_CLASS_IN)
		return 0;
	if (rr->type == DNS_TYPE_CNAME)
		return dns_chain_add(&p->chain, rr);
	if (rr->type != p->q->type)
		return 0;
	if (dns_chain_owns(&p->chain, rr))
		return list_record(p, rr);
	p->missed = true;
	return 0;
}

static int take_opt(struct dns_plan *plan, const struct dns_rr *rr)
{
	if (plan->opt)
		return -EBADMSG;
	plan->opt = rr->rdata;
	plan->opt_len = rr->rdlen;
	plan->rcode |= (uint16_t)(rr->ttl >> 24 << 4);
	return 0;
}

static int check_record(const struct dns_rr *rr, const uint8_t *msg, size_t len)
{
	bool svcb = rr->type == DNS_TYPE_SVCB || rr->type == DNS_TYPE_HTTPS;

	if (svcb && rr->class_ == DNS_CLASS_IN)
		return dns_svcb_check(msg + rr->rdata, rr->rdlen);
	return dns_rdata_check(rr, msg, len);
}

/* Reads every record of the message once. */
static int walk(struct planning *p, const struct dns_header *h, struct dns_reader r)
{
	bool with_addresses = p->kind == DNS_KIND_ADDRESSES || p->kind == DNS_KIND_SERVICES;
	struct dns_rr rr;
	int err;

	for (enum dns_section s = DNS_ANSWER; s < DNS_SECTIONS; s++) {
		for (unsigned n = h->count[s]; n; n--) {
			err = dns_rr_read(&rr, &r);
			if (!err)
				err = check_record(&rr, p->msg, p->len);
			if (!err && s == DNS_ANSWER && with_addresses)
				err = take_answer(p, &rr);
			if (!err && s == DNS_ADDITIONAL && rr.type == DNS_TYPE_OPT)
				err = take_opt(p->plan, &rr);
			if (err)
				return err;
		}
	}
	return 0;
}

/* Lists anew what stood before the CNAME that makes it belong. */
static int relist(struct planning *p, unsigned count, struct dns_reader r)
{
	struct dns_rr rr;
	int err = 0;

	p->plan->n_addrs = 0;
	p->matched = 0;
	p->services = 0;
	for (; count && !err; count--) {
		err = dns_rr_read(&rr, &r);
		if (!err && rr.class_ == DNS_CLASS_IN && rr.type == p->q->type &&
		    dns_chain_owns(&p->chain, &rr))
			err = list_record(p, &rr);
	}
	return err;
}

static enum dns_plan_action action_of(const struct planning *p)
{
	bool lendable = p->q->type == DNS_TYPE_A ? p->has4 : p->has6;

	if (p->plan->rcode)
		return DNS_PLAN_PASS;
	switch (p->kind) {
	case DNS_KIND_PASSED:
		return DNS_PLAN_PASS;
	case DNS_KIND_UNKNOWN:
		return DNS_PLAN_EMPTY;
	case DNS_KIND_ADDRESSES:
		if (!p->matched)
			return DNS_PLAN_PASS;
		return lendable ? DNS_PLAN_REWRITE : DNS_PLAN_EMPTY;
	case DNS_KIND_SERVICES:
		if (!p->matched)
			return DNS_PLAN_PASS;
		return p->services ? DNS_PLAN_REWRITE : DNS_PLAN_EMPTY;
	}
	return DNS_PLAN_SERVFAIL;
}

void dns_rewrite_plan(struct dns_plan *plan, const struct dns_question *q, const uint8_t *answer,
		      size_t len, bool has4, bool has6)
{
	struct dns_reader r = { .msg = answer, .len = len, .at = DNS_HEADER_LEN };
	struct dns_header h;
	struct planning p;

	plan->action = DNS_PLAN_SERVFAIL;
	plan->opt = 0;
	plan->opt_len = 0;
	plan->n_addrs = 0;
	if (!dns_answer_matches(q, answer, len) || dns_header_read(&h, answer, len) ||
	    h.flags & DNS_TC)
		return;
	plan->rcode = h.flags & DNS_RCODE;
	if (h.count[DNS_QUESTION])
		r.at += q->name_len + 4U;

	p.plan = plan;
	p.q = q;
	p.msg = answer;
	p.len = len;
	p.has4 = has4;
	p.has6 = has6;
	p.kind = dns_kind_of(q->type);
	p.missed = false;
	p.matched = 0;
	p.services = 0;
	dns_chain_start(&p.chain, q, &h, answer, len);
	if (walk(&p, &h, r))
		return;
	if (p.missed && (dns_chain_close(&p.chain) || p.chain.n > 1) &&
	    relist(&p, h.count[DNS_ANSWER], r))
		return;
	plan->action = action_of(&p);
	if (plan->action == DNS_PLAN_PASS)
		plan->n_addrs = 0;
}
