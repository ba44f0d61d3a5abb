/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_rewrite: what becomes of an upstream's answer for a configured name.
 *
 * Pure and in two steps, since addresses are lent in between: dns_rewrite_plan() reads the
 * answer and lists its real addresses, dns_rewrite_write() makes the client's answer once each
 * has its magic one. Allocates nothing.
 */
#ifndef DNS_REWRITE_H
#define DNS_REWRITE_H

#include "addr.h"
#include "dns_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_MAX_ADDRS 512  /* of one answer; an answer with more is unreadable */
#define DNS_OUR_UDP   1232 /* what our OPT says we take */

struct dns_question {
	uint8_t name[DNS_MAX_NAME]; /* as asked, case kept */
	uint8_t name_len;
	uint16_t type;
	uint16_t class_;
	uint16_t id;
	uint16_t flags; /* header's second word, host order */
	uint16_t end;   /* offset just behind the question */
	bool has_edns;
	bool edns_do;
	uint16_t udp_size; /* what the client takes over UDP; never below 512 */
};

/* Exactly one question, a query (QR 0, opcode QUERY), readable to its last record; more than one
 * OPT, or one in a wrong place, is not. Bytes behind the last record are let be. 0 or -EINVAL. */
int dns_question_parse(struct dns_question *out, const uint8_t *msg, size_t len);

/* Whether `answer` is a response to this question (name without case, type, class), or one
 * without a question section. Its id is the caller's to compare. */
bool dns_answer_matches(const struct dns_question *q, const uint8_t *answer, size_t len);

enum dns_plan_action {
	DNS_PLAN_PASS,     /* as it is, but cleaned: negative, error, a type without addresses */
	DNS_PLAN_REWRITE,  /* what is DNS_ADDR_WANTED is to be lent first; it may be nothing */
	DNS_PLAN_EMPTY,    /* no error, no answers: ANY, unknown types, no address left */
	DNS_PLAN_SERVFAIL, /* not readable */
};

enum dns_plan_state {
	DNS_ADDR_WANTED,
	DNS_ADDR_GRANTED,   /* `magic` is set */
	DNS_ADDR_REFUSED,   /* left out */
	DNS_ADDR_NO_FAMILY, /* left out; if all are, the answer is empty, not an error */
};

struct dns_plan_addr {
	struct c25_addr real;
	struct c25_addr magic;
	enum dns_plan_state state; /* set by the caller between the steps */
	uint32_t ttl;              /* lowest of the records that hold it */
};

struct dns_plan {
	enum dns_plan_action action;
	uint16_t rcode;   /* upstream's, extended */
	uint16_t opt;     /* upstream's EDNS options: offset in its answer, and length */
	uint16_t opt_len; /* 0: none */
	size_t n_addrs;   /* each real address once */
	struct dns_plan_addr addrs[DNS_MAX_ADDRS];
};

/* The first address in what should be an answer to this question for addresses; nothing is said of
 * the rest of the message. 0 or -ENOENT. */
int dns_first_addr(struct c25_addr *out, const struct dns_question *q, const uint8_t *msg,
		   size_t len);

/*
 * For a question of class IN. An answer that dns_answer_matches() would not take is unreadable.
 * `has4`, `has6`: families that can be lent here; addresses of the other come out NO_FAMILY. An
 * AAAA that is mapped or unspecified comes out REFUSED: `struct c25_addr` has no word for it.
 */
void dns_rewrite_plan(struct dns_plan *plan, const struct dns_question *q, const uint8_t *answer,
		      size_t len, bool has4, bool has6);

/*
 * The client's answer, at most `max` bytes (UDP: q->udp_size, TCP: DNS_MAX_MSG; never below 512):
 * what does not fit is cut at a record with TC set. If addresses were wanted and none was granted,
 * it is SERVFAIL, or where all are NO_FAMILY empty (HTTPS, SVCB: without hints). What is still
 * WANTED counts as refused. Returns the length; never 0. `out` and `answer` do not overlap.
 * `query` is the client's message, which dns_question_parse() took, `qlen` its length.
 */
size_t dns_rewrite_write(uint8_t *out, size_t max, const struct dns_plan *plan,
			 const struct dns_question *q, const uint8_t *query, size_t qlen,
			 const uint8_t *answer, size_t len);

/* SERVFAIL: same id and question, QR and AA set, no records but the client's OPT. */
size_t dns_servfail(uint8_t *out, size_t max, const struct dns_question *q, const uint8_t *query,
		    size_t qlen);

#endif
