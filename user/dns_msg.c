/* SPDX-License-Identifier: BSD-3-Clause */
#include "dns_msg.h"

#include <errno.h>
#include <string.h>

/* Each pointer of a sane name leads to at least one label, and a name has at most 127. */
#define MAX_POINTERS 127
#define HASH_START   2166136261U
#define POINTER      0xc0
#define POINTER_MAX  0x3fff

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

int dns_header_read(struct dns_header *out, const uint8_t *msg, size_t len)
{
	if (len < DNS_HEADER_LEN || len > DNS_MAX_MSG)
		return -EBADMSG;
	out->id = dns_get16(msg);
	out->flags = dns_get16(msg + 2);
	for (int i = 0; i < DNS_SECTIONS; i++)
		out->count[i] = dns_get16(msg + 4 + 2 * i);
	return 0;
}

void dns_header_write(uint8_t *msg, const struct dns_header *h)
{
	dns_put16(msg, h->id);
	dns_put16(msg + 2, h->flags);
	for (int i = 0; i < DNS_SECTIONS; i++)
		dns_put16(msg + 4 + 2 * i, h->count[i]);
}

/* `out` may be NULL. The offset behind the name where it stands, or -EBADMSG. */
static inline int name_walk(struct dns_name *out, const uint8_t *msg, size_t len, size_t at)
{
	size_t lowest = at, total = 0;
	int behind = 0, pointers = 0;

	for (;;) {
		size_t n;

		if (at >= len)
			return -EBADMSG;
		n = msg[at];
		if (n >= POINTER) {
			if (at + 1 >= len || ++pointers > MAX_POINTERS)
				return -EBADMSG;
			if (!behind)
				behind = (int)at + 2;
			at = dns_get16(msg + at) & POINTER_MAX;
			/* Backwards only: no loops, and never into the header. */
			if (at >= lowest || at < DNS_HEADER_LEN)
				return -EBADMSG;
			lowest = at;
			continue;
		}
		n++;
		if (n > 64 || at + n > len || total + n > DNS_MAX_NAME)
			return -EBADMSG;
		if (out)
			memcpy(out->wire + total, msg + at, n);
		total += n;
		at += n;
		if (n == 1)
			break;
	}
	if (out)
		out->len = (uint8_t)total;
	return behind ? behind : (int)at;
}

int dns_name_read(struct dns_name *out, const uint8_t *msg, size_t len, size_t at)
{
	return name_walk(out, msg, len, at);
}

int dns_name_skip(const uint8_t *msg, size_t len, size_t at)
{
	return name_walk(NULL, msg, len, at);
}

bool dns_name_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
	if (!memcmp(a, b, len))
		return true;
	/* Length bytes are below 64, so they have no case. */
	for (size_t i = 0; i < len; i++)
		if (lower(a[i]) != lower(b[i]))
			return false;
	return true;
}

/* FNV-1a, without case. */
static uint32_t hash_byte(uint32_t h, uint8_t byte)
{
	return (h ^ lower(byte)) * 16777619U;
}

uint32_t dns_name_hash(const struct dns_name *name)
{
	uint32_t h = HASH_START;

	for (size_t i = 0; i < name->len; i++)
		h = hash_byte(h, name->wire[i]);
	return h;
}

const char *dns_name_text(char buf[DNS_MAX_TEXT], const uint8_t *name)
{
	char *p = buf;

	if (!*name)
		*p++ = '.';
	while (*name) {
		if (p != buf)
			*p++ = '.';
		for (size_t n = *name++; n; n--) {
			uint8_t c = lower(*name++);

			if (c <= ' ' || c > '~') {
				*p++ = '\\';
				*p++ = (char)('0' + c / 100);
				*p++ = (char)('0' + c / 10 % 10);
				*p++ = (char)('0' + c % 10);
				continue;
			}
			if (c == '.' || c == '\\')
				*p++ = '\\';
			*p++ = (char)c;
		}
	}
	*p = 0;
	return buf;
}

/* Behind the owner at r->at, or -EBADMSG. Most owners are one pointer, the same again and again. */
static int owner_skip(struct dns_reader *r)
{
	const uint8_t *p = r->msg + r->at;
	int behind;

	if (r->at + 1 >= r->len || *p < POINTER)
		return dns_name_skip(r->msg, r->len, r->at);
	if ((dns_get16(p) & POINTER_MAX) == r->sound)
		return (int)r->at + 2;
	behind = dns_name_skip(r->msg, r->len, r->at);
	if (behind > 0)
		r->sound = dns_get16(p) & POINTER_MAX;
	return behind;
}

int dns_rr_read(struct dns_rr *out, struct dns_reader *r)
{
	int at = owner_skip(r);
	const uint8_t *p;
	size_t rdata;

	if (at < 0)
		return at;
	rdata = (size_t)at + DNS_RR_FIXED;
	if (rdata > r->len)
		return -EBADMSG;
	p = r->msg + at;
	out->owner = (uint16_t)r->at;
	out->type = dns_get16(p);
	out->class_ = dns_get16(p + 2);
	out->ttl = dns_get32(p + 4);
	out->rdlen = dns_get16(p + 8);
	out->rdata = (uint16_t)rdata;
	if (out->rdlen > r->len - rdata)
		return -EBADMSG;
	r->at = rdata + out->rdlen;
	return 0;
}

/* Rdata of the types whose names may come compressed (RFC 1035, 3.3; RFC 3597, 4), in order. */
struct layout {
	uint8_t fixed;   /* bytes */
	uint8_t strings; /* character-strings */
	uint8_t names;
	uint8_t tail;    /* bytes */
	bool rest;       /* any bytes after the names */
	bool compressed; /* names may be written compressed */
};

static const struct layout layouts[] = {
	[DNS_TYPE_NS] = { .names = 1, .compressed = true },
	[DNS_TYPE_MD] = { .names = 1, .compressed = true },
	[DNS_TYPE_MF] = { .names = 1, .compressed = true },
	[DNS_TYPE_CNAME] = { .names = 1, .compressed = true },
	[DNS_TYPE_SOA] = { .names = 2, .tail = 20, .compressed = true },
	[DNS_TYPE_MB] = { .names = 1, .compressed = true },
	[DNS_TYPE_MG] = { .names = 1, .compressed = true },
	[DNS_TYPE_MR] = { .names = 1, .compressed = true },
	[DNS_TYPE_PTR] = { .names = 1, .compressed = true },
	[DNS_TYPE_MINFO] = { .names = 2, .compressed = true },
	[DNS_TYPE_MX] = { .fixed = 2, .names = 1, .compressed = true },
	[DNS_TYPE_RP] = { .names = 2 },
	[DNS_TYPE_AFSDB] = { .fixed = 2, .names = 1 },
	[DNS_TYPE_RT] = { .fixed = 2, .names = 1 },
	[DNS_TYPE_PX] = { .fixed = 2, .names = 2 },
	[DNS_TYPE_SRV] = { .fixed = 6, .names = 1 },
	[DNS_TYPE_NAPTR] = { .fixed = 4, .strings = 3, .names = 1 },
	[DNS_TYPE_KX] = { .fixed = 2, .names = 1 },
	[DNS_TYPE_DNAME] = { .names = 1 },
	[DNS_TYPE_NSEC] = { .names = 1, .rest = true },
};

/* NULL: no names in it that could be compressed. */
static const struct layout *layout_of(uint16_t type)
{
	if (type >= sizeof(layouts) / sizeof(layouts[0]) || !layouts[type].names)
		return NULL;
	return &layouts[type];
}

/* Offset of the first name, or -EBADMSG. */
static int layout_names(const struct layout *l, const struct dns_rr *rr, const uint8_t *msg)
{
	size_t end = (size_t)rr->rdata + rr->rdlen, at = (size_t)rr->rdata + l->fixed;

	for (int i = 0; i < l->strings && at < end; i++)
		at += 1U + msg[at];
	return at < end ? (int)at : -EBADMSG;
}

int dns_rdata_check(const struct dns_rr *rr, const uint8_t *msg, size_t len)
{
	const struct layout *l;
	int at;

	if (rr->class_ == DNS_CLASS_IN && rr->type == DNS_TYPE_A)
		return rr->rdlen == 4 ? 0 : -EBADMSG;
	if (rr->class_ == DNS_CLASS_IN && rr->type == DNS_TYPE_AAAA)
		return rr->rdlen == 16 ? 0 : -EBADMSG;
	l = layout_of(rr->type);
	if (!l)
		return 0;
	at = layout_names(l, rr, msg);
	for (int i = 0; i < l->names && at > 0; i++)
		at = dns_name_skip(msg, len, (size_t)at);
	if (at < 0)
		return at;
	at += l->tail;
	if (l->rest && at < rr->rdata + rr->rdlen)
		return 0;
	return at == rr->rdata + rr->rdlen ? 0 : -EBADMSG;
}

/* Ends of names hash alike whatever stands before them: from the root upwards, one step a byte. */
struct suffixes {
	size_t n; /* without the root */
	uint8_t at[DNS_MAX_NAME / 2];
	uint32_t hash[DNS_MAX_NAME / 2];
};

static void suffixes_of(struct suffixes *s, const uint8_t *wire)
{
	uint32_t h = HASH_START;

	s->n = 0;
	for (size_t at = 0; wire[at]; at += wire[at] + 1U)
		s->at[s->n++] = (uint8_t)at;
	for (size_t i = s->n; i--;) {
		const uint8_t *label = wire + s->at[i];

		for (size_t b = 0; b <= label[0]; b++)
			h = hash_byte(h, label[b]);
		s->hash[i] = h;
	}
}

/* Its upper bits: FNV's lower ones say little. */
static size_t seen_slot(uint32_t hash)
{
	return hash >> 16 & (DNS_COMPRESS_SLOTS - 1);
}

/* Who comes first keeps the slot: the question's names are those that come again. */
static void seen_add(struct dns_writer *w, uint32_t hash, size_t at)
{
	size_t slot = seen_slot(hash);

	if (at > POINTER_MAX || w->seen[slot].at)
		return;
	w->seen[slot].hash = hash;
	w->seen[slot].at = (uint16_t)at;
}

void dns_writer_start(struct dns_writer *w, uint8_t *msg, size_t at, size_t max)
{
	struct suffixes s;

	memset(w->seen, 0, sizeof(w->seen));
	w->msg = msg;
	w->at = at;
	w->max = max;
	suffixes_of(&s, msg + DNS_HEADER_LEN);
	for (size_t i = 0; i < s.n; i++)
		seen_add(w, s.hash[i], (size_t)DNS_HEADER_LEN + s.at[i]);
}

/* Where the same name stands already, or 0. */
static uint16_t seen_find(const struct dns_writer *w, uint32_t hash, const uint8_t *wire,
			  size_t len)
{
	uint16_t at = w->seen[seen_slot(hash)].at;
	struct dns_name there;

	if (!at || w->seen[seen_slot(hash)].hash != hash)
		return 0;
	if (dns_name_read(&there, w->msg, w->at, at) < 0 || there.len != len)
		return 0;
	return dns_name_equal(there.wire, wire, len) ? at : 0;
}

static int put(struct dns_writer *w, const void *bytes, size_t n)
{
	if (n > w->max - w->at)
		return -ENOSPC;
	memcpy(w->msg + w->at, bytes, n);
	w->at += n;
	return 0;
}

static int put_compressed(struct dns_writer *w, const struct dns_name *name)
{
	uint16_t pointer = 0;
	struct suffixes s;
	uint8_t two[2];
	size_t i;
	int err;

	suffixes_of(&s, name->wire);
	for (i = 0; i < s.n; i++) {
		pointer = seen_find(w, s.hash[i], name->wire + s.at[i], name->len - s.at[i]);
		if (pointer)
			break;
		seen_add(w, s.hash[i], w->at + s.at[i]);
	}
	if (!pointer)
		return put(w, name->wire, name->len);
	err = put(w, name->wire, s.at[i]);
	if (err)
		return err;
	dns_put16(two, POINTER << 8 | pointer);
	return put(w, two, sizeof(two));
}

static int put_rdata(struct dns_writer *w, const struct dns_rr *rr, const uint8_t *msg, size_t len)
{
	const struct layout *l = layout_of(rr->type);
	struct dns_name name;
	int at, err;

	if (!l)
		return put(w, msg + rr->rdata, rr->rdlen);
	at = layout_names(l, rr, msg);
	if (at < 0)
		return at;
	err = put(w, msg + rr->rdata, (size_t)at - rr->rdata);
	for (int i = 0; i < l->names && !err; i++) {
		at = dns_name_read(&name, msg, len, (size_t)at);
		if (at < 0)
			return at;
		err = l->compressed ? put_compressed(w, &name) : put(w, name.wire, name.len);
	}
	if (err)
		return err;
	return put(w, msg + at, l->rest ? (size_t)(rr->rdata + rr->rdlen - at) : l->tail);
}

int dns_rr_copy(struct dns_writer *w, const struct dns_rr *rr, const uint8_t *msg, size_t len)
{
	size_t start = w->at, rdlen_at;
	struct dns_name owner;
	int err;

	if (dns_name_read(&owner, msg, len, rr->owner) < 0)
		return -EBADMSG;
	err = put_compressed(w, &owner);
	if (!err)
		err = put(w, msg + rr->rdata - DNS_RR_FIXED, DNS_RR_FIXED);
	rdlen_at = w->at - 2;
	if (!err)
		err = put_rdata(w, rr, msg, len);
	if (err) {
		w->at = start;
		return err;
	}
	dns_put16(w->msg + rdlen_at, (uint16_t)(w->at - rdlen_at - 2));
	return 0;
}
