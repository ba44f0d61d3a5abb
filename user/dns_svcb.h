/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_svcb: rdata of SVCB and HTTPS records (RFC 9460). Pure, allocates nothing.
 */
#ifndef DNS_SVCB_H
#define DNS_SVCB_H

#include "dns_rewrite.h"

/* Whether rdata is well-formed (RFC 9460, 2.2): an uncompressed target; keys in ascending order,
 * each once; known keys' values of the right form. An alias's parameters are not looked at, as
 * 2.4.2 has it. 0 or -EBADMSG. */
int dns_svcb_check(const uint8_t *rdata, size_t n);

bool dns_svcb_is_service(const uint8_t *rdata); /* else an alias */

/* Calls `each` with every hint's address, but for mapped and unspecified IPv6 ones; stops at and
 * returns its first non-zero result. `rdata` is a service and well-formed, here and below. */
int dns_svcb_hints(const uint8_t *rdata, size_t n, int (*each)(const struct c25_addr *a, void *ctx),
		   void *ctx);

/* The client's rdata: target ".", hints as granted, `mandatory` without those that went. Never
 * longer than `n`, which is the room in `out`. Returns its length. */
size_t dns_svcb_write(uint8_t *out, const uint8_t *rdata, size_t n, const struct dns_plan *plan);

/* IPv6 that `struct c25_addr` cannot tell from IPv4, or from none. */
bool dns_no_real6(const struct c25_addr *a);

#endif
