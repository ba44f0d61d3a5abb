/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_msg: the DNS wire format (RFC 1035, 4): header, names with compression, records.
 *
 * Pure, in place, allocates nothing. Every read is checked against the message's end; a pointer
 * must lead backwards, so that no name loops, and a name costs at most 127 of them. Knows no
 * policy: what is to be done with a record is dns_rewrite's.
 */
#ifndef DNS_MSG_H
#define DNS_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_MAX_NAME   255  /* wire form, root label included */
#define DNS_MAX_TEXT   1024 /* presentation form with escapes, NUL included */
#define DNS_MAX_MSG    65535
#define DNS_MIN_UDP    512 /* what every client takes over UDP */
#define DNS_HEADER_LEN 12
#define DNS_RR_FIXED   10 /* type, class, TTL and length, between owner and rdata */
#define DNS_OPT_LEN    11 /* without options */

#define DNS_QR     0x8000
#define DNS_OPCODE 0x7800
#define DNS_AA     0x0400
#define DNS_TC     0x0200
#define DNS_RD     0x0100
#define DNS_RA     0x0080
#define DNS_AD     0x0020
#define DNS_CD     0x0010
#define DNS_RCODE  0x000f

#define DNS_EDNS_DO 0x8000 /* in the lower half of an OPT's TTL */

#define DNS_RCODE_SERVFAIL 2
#define DNS_RCODE_NXDOMAIN 3
#define DNS_RCODE_REFUSED  5

#define DNS_CLASS_IN 1

/* IANA's numbers. */
enum dns_type {
	DNS_TYPE_A = 1,
	DNS_TYPE_NS = 2,
	DNS_TYPE_MD = 3,
	DNS_TYPE_MF = 4,
	DNS_TYPE_CNAME = 5,
	DNS_TYPE_SOA = 6,
	DNS_TYPE_MB = 7,
	DNS_TYPE_MG = 8,
	DNS_TYPE_MR = 9,
	DNS_TYPE_PTR = 12,
	DNS_TYPE_HINFO = 13,
	DNS_TYPE_MINFO = 14,
	DNS_TYPE_MX = 15,
	DNS_TYPE_TXT = 16,
	DNS_TYPE_RP = 17,
	DNS_TYPE_AFSDB = 18,
	DNS_TYPE_RT = 21,
	DNS_TYPE_KEY = 25,
	DNS_TYPE_PX = 26,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_LOC = 29,
	DNS_TYPE_SRV = 33,
	DNS_TYPE_NAPTR = 35,
	DNS_TYPE_KX = 36,
	DNS_TYPE_CERT = 37,
	DNS_TYPE_DNAME = 39,
	DNS_TYPE_OPT = 41,
	DNS_TYPE_DS = 43,
	DNS_TYPE_SSHFP = 44,
	DNS_TYPE_RRSIG = 46,
	DNS_TYPE_NSEC = 47,
	DNS_TYPE_DNSKEY = 48,
	DNS_TYPE_DHCID = 49,
	DNS_TYPE_NSEC3 = 50,
	DNS_TYPE_NSEC3PARAM = 51,
	DNS_TYPE_TLSA = 52,
	DNS_TYPE_SMIMEA = 53,
	DNS_TYPE_CDS = 59,
	DNS_TYPE_CDNSKEY = 60,
	DNS_TYPE_OPENPGPKEY = 61,
	DNS_TYPE_CSYNC = 62,
	DNS_TYPE_ZONEMD = 63,
	DNS_TYPE_SVCB = 64,
	DNS_TYPE_HTTPS = 65,
	DNS_TYPE_SPF = 99,
	DNS_TYPE_EUI48 = 108,
	DNS_TYPE_EUI64 = 109,
	DNS_TYPE_ANY = 255,
	DNS_TYPE_URI = 256,
	DNS_TYPE_CAA = 257,
};

enum dns_section { DNS_QUESTION, DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL, DNS_SECTIONS };

struct dns_header {
	uint16_t id;
	uint16_t flags;
	uint16_t count[DNS_SECTIONS];
};

struct dns_name {
	uint8_t len; /* root label included */
	uint8_t wire[DNS_MAX_NAME];
};

struct dns_rr {
	uint16_t owner; /* offsets in the message */
	uint16_t rdata;
	uint16_t rdlen;
	uint16_t type;
	uint16_t class_;
	uint32_t ttl;
};

struct dns_reader {
	const uint8_t *msg;
	size_t len;
	size_t at;
	size_t sound; /* the last pointer's target, found good; pointers to it are not followed */
};

static inline uint16_t dns_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t dns_get32(const uint8_t *p)
{
	return (uint32_t)dns_get16(p) << 16 | dns_get16(p + 2);
}

static inline void dns_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void dns_put32(uint8_t *p, uint32_t v)
{
	dns_put16(p, (uint16_t)(v >> 16));
	dns_put16(p + 2, (uint16_t)v);
}

/* 0, or -EBADMSG: shorter than a header, or longer than a message can be. */
int dns_header_read(struct dns_header *out, const uint8_t *msg, size_t len);
void dns_header_write(uint8_t *msg, const struct dns_header *h);

/* The name at `at`, decompressed, case kept. The offset just behind it, or -EBADMSG. */
int dns_name_read(struct dns_name *out, const uint8_t *msg, size_t len, size_t at);
/* The same without the copy. */
int dns_name_skip(const uint8_t *msg, size_t len, size_t at);
/* Both in wire form and `len` bytes long; without case. */
bool dns_name_equal(const uint8_t *a, const uint8_t *b, size_t len);
uint32_t dns_name_hash(const struct dns_name *name); /* without case */
/* Lower case, no last dot, other bytes escaped as in RFC 4343, 2.1; the root is ".". Returns
 * `buf`. */
const char *dns_name_text(char buf[DNS_MAX_TEXT], const uint8_t *name);

/* The record at r->at, which moves behind it. 0, or -EBADMSG: cut short, or its owner is no name.
 * Its rdata lies inside the message, but what it says is not looked at. */
int dns_rr_read(struct dns_rr *out, struct dns_reader *r);

/* Whether rdata that holds compressible names, or an address, is as its type says; other types'
 * are not looked at. 0 or -EBADMSG. */
int dns_rdata_check(const struct dns_rr *rr, const uint8_t *msg, size_t len);

/*
 * Writing: records one after another, each whole or not at all. Names that were written before,
 * the question's first of all, are pointed to where RFC 3597, 4 allows it.
 */
#define DNS_COMPRESS_SLOTS 128 /* a power of two */

struct dns_writer {
	uint8_t *msg;
	size_t at;
	size_t max;
	struct {
		uint32_t hash;
		uint16_t at; /* 0: free */
	} seen[DNS_COMPRESS_SLOTS];
};

/* `msg` holds header and question, `at` bytes. */
void dns_writer_start(struct dns_writer *w, uint8_t *msg, size_t at, size_t max);
/* Copies a record that dns_rdata_check() found good, its names decompressed or pointed anew. 0,
 * or -ENOSPC: it does not fit, and nothing more may be written with `w`. */
int dns_rr_copy(struct dns_writer *w, const struct dns_rr *rr, const uint8_t *msg, size_t len);

#endif
