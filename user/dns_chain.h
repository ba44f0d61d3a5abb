/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_chain: the names an answer's records may belong to: the question's, and those its CNAMEs
 * lead to, one after another, in whatever order the records stand.
 *
 * Pure, allocates nothing. Ends at a loop, or after DNS_MAX_LINKS.
 */
#ifndef DNS_CHAIN_H
#define DNS_CHAIN_H

#include "dns_rewrite.h"

#define DNS_MAX_LINKS  16
#define DNS_MAX_STRAYS 64 /* CNAMEs of other owners, or before their turn */

struct dns_chain {
	const uint8_t *msg;
	size_t len;
	size_t n;
	size_t hashed; /* links before it have their hash */
	struct {
		uint16_t at; /* where it stands in the message; 0: nowhere */
		uint32_t hash;
		struct dns_name name;
	} links[1 + DNS_MAX_LINKS];
	size_t n_strays;
	struct {
		uint16_t target;
		uint32_t hash;
		uint16_t owner;
	} strays[DNS_MAX_STRAYS];
};

/* The question alone. `h` is the header of `msg`. */
void dns_chain_start(struct dns_chain *c, const struct dns_question *q, const struct dns_header *h,
		     const uint8_t *msg, size_t len);
/* The next CNAME of the message. 0, or -E2BIG: more strays than any sane answer has. */
int dns_chain_add(struct dns_chain *c, const struct dns_rr *cname);
/* After the last: joins the strays that belong. True if the chain grew. */
bool dns_chain_close(struct dns_chain *c);
/* The whole chain of a message whose answers begin at `r`. 0, -E2BIG, or -EBADMSG. */
int dns_chain_read(struct dns_chain *c, const struct dns_question *q, const struct dns_header *h,
		   struct dns_reader r);
bool dns_chain_owns(struct dns_chain *c, const struct dns_rr *rr);

#endif
