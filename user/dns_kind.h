/* SPDX-License-Identifier: BSD-3-Clause */
/* dns_kind: what record types hold, as far as rewriting cares. Pure. */
#ifndef DNS_KIND_H
#define DNS_KIND_H

#include <stdint.h>

enum dns_kind {
	DNS_KIND_ADDRESSES, /* A, AAAA */
	DNS_KIND_SERVICES,  /* SVCB, HTTPS */
	DNS_KIND_PASSED,    /* no address; its names, if any, dns_rr_copy() can move */
	DNS_KIND_UNKNOWN,   /* others: signatures and what is of one hop or may hold an address */
};

enum dns_kind dns_kind_of(uint16_t type);

#endif
