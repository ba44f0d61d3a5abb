/* SPDX-License-Identifier: BSD-3-Clause */
/* dns_name: a name in text back to wire form; dns_name_text() of dns_rewrite is the other way. */
#ifndef DNS_NAME_H
#define DNS_NAME_H

#include <stdint.h>

/* Escapes as in RFC 4343, 2.1; the last dot may be missing. `out` holds 255 bytes. The length,
 * root label included, or -EINVAL. */
int dns_name_wire(uint8_t *out, const char *text);

#endif
