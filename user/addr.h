/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * addr: addresses, prefixes and ranges, in the one form the maps use.
 *
 * Pure. IPv4 is held in its mapped form throughout, so a prefix of IPv4 has a length of 96 + n.
 * A text that spells a mapped address ("::ffff:192.0.2.1") is IPv6: addr_parse() says so by its
 * return value, as the struct cannot.
 */
#ifndef ADDR_H
#define ADDR_H

#include "c25_abi.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDR_STRLEN   INET6_ADDRSTRLEN
#define PREFIX_STRLEN (INET6_ADDRSTRLEN + 4)
#define RANGE_STRLEN  (2 * INET6_ADDRSTRLEN + 1)
#define SOCK_STRLEN   (INET6_ADDRSTRLEN + 8)

struct prefix {
	struct c25_addr addr; /* host bits clear */
	uint8_t len;          /* 0..128; IPv4: 96..128 */
};

struct range {
	struct c25_addr from; /* both inclusive, of one family */
	struct c25_addr to;
};

bool addr_is4(const struct c25_addr *a);
bool addr_is_zero(const struct c25_addr *a); /* the maps' "none"; 0.0.0.0 is not it */
bool addr_equal(const struct c25_addr *a, const struct c25_addr *b);
int addr_cmp(const struct c25_addr *a, const struct c25_addr *b); /* as memcmp() */

struct c25_addr addr_from4(const void *be32);  /* 4 bytes, network order */
struct c25_addr addr_from6(const void *bytes); /* 16 bytes */

/* 4 or 6, the family as spelled, or -EINVAL unless `text` is exactly one address. */
int addr_parse(struct c25_addr *out, const char *text);

/* Returns `buf`. IPv4 as a dotted quad, IPv6 after RFC 5952. */
const char *addr_print(char buf[ADDR_STRLEN], const struct c25_addr *a);

/* `a` + n, or -ERANGE when that leaves the family's space. */
int addr_add(struct c25_addr *out, const struct c25_addr *a, uint64_t n);

/* "192.0.2.0/24", or a single address. -EINVAL: not a prefix; -ERANGE: host bits are set. */
int prefix_parse(struct prefix *out, const char *text);
const char *prefix_print(char buf[PREFIX_STRLEN], const struct prefix *p);
bool prefix_is4(const struct prefix *p);
bool prefix_covers(const struct prefix *p, const struct c25_addr *a);
/* Whether `inner` lies wholly inside `outer`; a prefix lies inside itself. */
bool prefix_within(const struct prefix *inner, const struct prefix *outer);

/* "from-to", a prefix or an address. -EINVAL: none of these; -ERANGE: host bits, turned round,
 * or of two families. */
int range_parse(struct range *out, const char *text);
const char *range_print(char buf[RANGE_STRLEN], const struct range *r);
bool range_is4(const struct range *r);
bool range_covers(const struct range *r, const struct c25_addr *a);
bool range_overlaps(const struct range *a, const struct range *b);
struct range range_of_prefix(const struct prefix *p);
/* Addresses in it; UINT64_MAX stands for that many or more. */
uint64_t range_size(const struct range *r);
/* Calls `each` with the fewest prefixes that make up the range, lowest first; stops at and
 * returns its first non-zero result. */
int range_to_prefixes(const struct range *r, int (*each)(const struct prefix *p, void *ctx),
		      void *ctx);

/* "ADDR:PORT", "[ADDR6]:PORT", or ADDR alone where default_port is not 0. 0 or -EINVAL. */
int sock_parse(struct sockaddr_storage *out, const char *text, uint16_t default_port);
const char *sock_print(char buf[SOCK_STRLEN], const struct sockaddr *sa);
socklen_t sock_len(const struct sockaddr *sa);
struct c25_addr sock_addr(const struct sockaddr *sa); /* mapped IPv6 sockets come out as IPv4 */
uint16_t sock_port(const struct sockaddr *sa);        /* host order */
struct sockaddr_storage sock_make(const struct c25_addr *a, uint16_t port);

#endif
