/* SPDX-License-Identifier: BSD-3-Clause */
#include "dns_chain.h"

#include <errno.h>
#include <string.h>

#define NO_LINK SIZE_MAX

void dns_chain_start(struct dns_chain *c, const struct dns_question *q, const struct dns_header *h,
		     const uint8_t *msg, size_t len)
{
	c->msg = msg;
	c->len = len;
	c->n = 1;
	c->hashed = 0;
	c->n_strays = 0;
	c->links[0].at = h->count[DNS_QUESTION] ? DNS_HEADER_LEN : 0;
	c->links[0].name.len = q->name_len;
	memcpy(c->links[0].name.wire, q->name, q->name_len);
}

static size_t find_name(struct dns_chain *c, const struct dns_name *name, uint32_t hash)
{
	for (; c->hashed < c->n; c->hashed++)
		c->links[c->hashed].hash = dns_name_hash(&c->links[c->hashed].name);
	for (size_t i = 0; i < c->n; i++) {
		const struct dns_name *link = &c->links[i].name;

		if (c->links[i].hash == hash && link->len == name->len &&
		    dns_name_equal(link->wire, name->wire, link->len))
			return i;
	}
	return NO_LINK;
}

/* The link whose name an offset points to at once, which is how most owners are written. */
static size_t find_pointer(const struct dns_chain *c, uint16_t at)
{
	unsigned word = dns_get16(c->msg + at);

	for (size_t i = 0; i < c->n; i++)
		if (c->links[i].at && word == (0xc000U | c->links[i].at))
			return i;
	return NO_LINK;
}

static size_t find_owner(struct dns_chain *c, uint16_t owner, uint32_t *hash)
{
	struct dns_name name;
	size_t i = find_pointer(c, owner);

	if (i != NO_LINK)
		return i;
	if (dns_name_read(&name, c->msg, c->len, owner) < 0)
		return NO_LINK;
	*hash = dns_name_hash(&name);
	return find_name(c, &name, *hash);
}

/* False: it would loop, or be one too many. */
static bool append(struct dns_chain *c, uint16_t target)
{
	struct dns_name *name;

	if (c->n > DNS_MAX_LINKS)
		return false;
	name = &c->links[c->n].name;
	if (dns_name_read(name, c->msg, c->len, target) < 0 ||
	    find_name(c, name, dns_name_hash(name)) != NO_LINK)
		return false;
	c->links[c->n++].at = target;
	return true;
}

int dns_chain_add(struct dns_chain *c, const struct dns_rr *cname)
{
	uint32_t hash = 0;
	size_t i = find_owner(c, cname->owner, &hash);

	if (i == c->n - 1)
		append(c, cname->rdata);
	if (i != NO_LINK)
		return 0;
	if (c->n_strays == DNS_MAX_STRAYS)
		return -E2BIG;
	c->strays[c->n_strays].owner = cname->owner;
	c->strays[c->n_strays].target = cname->rdata;
	c->strays[c->n_strays++].hash = hash;
	return 0;
}

static bool join_next(struct dns_chain *c)
{
	struct dns_name owner;

	for (size_t i = 0; i < c->n_strays; i++) {
		if (dns_name_read(&owner, c->msg, c->len, c->strays[i].owner) > 0 &&
		    find_name(c, &owner, c->strays[i].hash) == c->n - 1)
			return append(c, c->strays[i].target);
	}
	return false;
}

bool dns_chain_close(struct dns_chain *c)
{
	size_t before = c->n;

	while (join_next(c))
		;
	return c->n > before;
}

int dns_chain_read(struct dns_chain *c, const struct dns_question *q, const struct dns_header *h,
		   struct dns_reader r)
{
	struct dns_rr rr;
	int err = 0;

	dns_chain_start(c, q, h, r.msg, r.len);
	for (unsigned n = h->count[DNS_ANSWER]; n && !err; n--) {
		err = dns_rr_read(&rr, &r);
		if (!err && rr.class_ == DNS_CLASS_IN && rr.type == DNS_TYPE_CNAME)
			err = dns_chain_add(c, &rr);
	}
	dns_chain_close(c);
	return err;
}

bool dns_chain_owns(struct dns_chain *c, const struct dns_rr *rr)
{
	uint32_t hash;

	return find_owner(c, rr->owner, &hash) != NO_LINK;
}
