/* SPDX-License-Identifier: BSD-3-Clause */
/* dns_name: a name in text back to wire form, and from there to its key in the kernel's tables;
 * dns_name_text() of dns_msg is the other way. */
#ifndef DNS_NAME_H
#define DNS_NAME_H

#include "c25_abi.h"

#include <stdint.h>

/* Escapes as in RFC 4343, 2.1; the last dot may be missing. `out` holds 255 bytes. The length,
 * root label included, or -EINVAL. */
int dns_name_wire(uint8_t *out, const char *text);

/* The key of a name in c25_names (c25_name_step()). `wire`: lower case, `len` bytes without the
 * root label, whole labels. */
uint64_t dns_name_key(uint32_t cookie, const uint8_t *wire, uint32_t len);

/* No domain ends in anything yet; the shortest that is to come has `shortest` bytes, as below. */
void dns_ends_init(struct c25_ends *ends, uint32_t shortest);
/* A domain; `wire` and `len` as for dns_name_key(). */
void dns_ends_add(struct c25_ends *ends, const uint8_t *wire, uint32_t len);

#endif
