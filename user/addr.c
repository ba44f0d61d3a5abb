/* SPDX-License-Identifier: BSD-3-Clause */
#include "addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

bool addr_is4(const struct c25_addr *a)
{
	return !memcmp(a->b, mapped, sizeof(mapped));
}

bool addr_is_zero(const struct c25_addr *a)
{
	static const struct c25_addr zero;

	return !memcmp(a, &zero, sizeof(zero));
}

bool addr_equal(const struct c25_addr *a, const struct c25_addr *b)
{
	return !memcmp(a, b, sizeof(*a));
}

int addr_cmp(const struct c25_addr *a, const struct c25_addr *b)
{
	return memcmp(a, b, sizeof(*a));
}

struct c25_addr addr_from4(const void *be32)
{
	struct c25_addr a;

	memcpy(a.b, mapped, sizeof(mapped));
	memcpy(a.b + 12, be32, 4);
	return a;
}

struct c25_addr addr_from6(const void *bytes)
{
	struct c25_addr a;

	memcpy(a.b, bytes, sizeof(a.b));
	return a;
}

int addr_parse(struct c25_addr *out, const char *text)
{
	struct in6_addr a6;
	struct in_addr a4;

	if (inet_pton(AF_INET, text, &a4) == 1) {
		*out = addr_from4(&a4);
		return 4;
	}
	if (inet_pton(AF_INET6, text, &a6) == 1) {
		*out = addr_from6(&a6);
		return 6;
	}
	return -EINVAL;
}

const char *addr_print(char buf[ADDR_STRLEN], const struct c25_addr *a)
{
	if (addr_is4(a))
		return inet_ntop(AF_INET, a->b + 12, buf, ADDR_STRLEN);
	return inet_ntop(AF_INET6, a->b, buf, ADDR_STRLEN);
}

int addr_add(struct c25_addr *out, const struct c25_addr *a, uint64_t n)
{
	struct c25_addr sum = *a;
	unsigned carry = 0;

	for (int i = 15; i >= 0 && (n || carry); i--) {
		unsigned v = sum.b[i] + (unsigned)(n & 0xff) + carry;

		sum.b[i] = (uint8_t)v;
		carry = v >> 8;
		n >>= 8;
	}
	if (carry || addr_is4(&sum) != addr_is4(a))
		return -ERANGE;
	*out = sum;
	return 0;
}

/* The last address of the prefix if `ones`, else the first. */
static struct c25_addr with_host_bits(const struct c25_addr *a, uint8_t len, bool ones)
{
	struct c25_addr out = *a;

	for (unsigned bit = len; bit < 128; bit++) {
		uint8_t m = (uint8_t)(0x80 >> (bit & 7));

		if (ones)
			out.b[bit / 8] |= m;
		else
			out.b[bit / 8] &= (uint8_t)~m;
	}
	return out;
}

/* Digits only, no sign, no blank, no leading zero: strtoul() takes too much. */
static int parse_number(const char *text, unsigned long max)
{
	unsigned long v = 0;

	if (!*text || (text[0] == '0' && text[1]))
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		v = v * 10 + (unsigned long)(*text - '0');
		if (v > max)
			return -EINVAL;
	}
	return (int)v;
}

int prefix_parse(struct prefix *out, const char *text)
{
	char copy[PREFIX_STRLEN];
	struct c25_addr a, first;
	int family, len;
	char *slash;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, strlen(text) + 1);
	slash = strchr(copy, '/');
	if (slash)
		*slash++ = 0;
	family = addr_parse(&a, copy);
	if (family < 0)
		return family;
	len = family == 4 ? 32 : 128;
	if (slash)
		len = parse_number(slash, (unsigned long)len);
	if (len < 0)
		return -EINVAL;
	if (family == 4)
		len += 96;
	first = with_host_bits(&a, (uint8_t)len, false);
	if (!addr_equal(&first, &a))
		return -ERANGE;
	out->addr = a;
	out->len = (uint8_t)len;
	return 0;
}

const char *prefix_print(char buf[PREFIX_STRLEN], const struct prefix *p)
{
	char a[ADDR_STRLEN];

	snprintf(buf, PREFIX_STRLEN, "%s/%d", addr_print(a, &p->addr),
		 prefix_is4(p) ? p->len - 96 : p->len);
	return buf;
}

bool prefix_is4(const struct prefix *p)
{
	return p->len >= 96 && addr_is4(&p->addr);
}

bool prefix_covers(const struct prefix *p, const struct c25_addr *a)
{
	struct c25_addr first;

	if (prefix_is4(p) != addr_is4(a))
		return false;
	first = with_host_bits(a, p->len, false);
	return addr_equal(&first, &p->addr);
}

bool prefix_within(const struct prefix *inner, const struct prefix *outer)
{
	return inner->len >= outer->len && prefix_is4(inner) == prefix_is4(outer) &&
	       prefix_covers(outer, &inner->addr);
}

struct range range_of_prefix(const struct prefix *p)
{
	return (struct range){ .from = p->addr, .to = with_host_bits(&p->addr, p->len, true) };
}

int range_parse(struct range *out, const char *text)
{
	char copy[RANGE_STRLEN];
	struct range r;
	struct prefix p;
	char *dash;
	int from, to;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, strlen(text) + 1);
	dash = strchr(copy, '-');
	if (!dash) {
		int err = prefix_parse(&p, copy);

		if (err)
			return err;
		*out = range_of_prefix(&p);
		return 0;
	}
	*dash++ = 0;
	from = addr_parse(&r.from, copy);
	to = addr_parse(&r.to, dash);
	if (from < 0 || to < 0)
		return -EINVAL;
	if (from != to || addr_cmp(&r.from, &r.to) > 0)
		return -ERANGE;
	*out = r;
	return 0;
}

const char *range_print(char buf[RANGE_STRLEN], const struct range *r)
{
	char from[ADDR_STRLEN], to[ADDR_STRLEN];

	for (int len = addr_is4(&r->from) ? 96 : 0; len <= 128; len++) {
		struct c25_addr first = with_host_bits(&r->from, (uint8_t)len, false);
		struct c25_addr last = with_host_bits(&r->from, (uint8_t)len, true);

		if (addr_equal(&first, &r->from) && addr_equal(&last, &r->to)) {
			struct prefix p = { .addr = r->from, .len = (uint8_t)len };

			return prefix_print(buf, &p);
		}
	}
	snprintf(buf, RANGE_STRLEN, "%s-%s", addr_print(from, &r->from), addr_print(to, &r->to));
	return buf;
}

bool range_is4(const struct range *r)
{
	return addr_is4(&r->from) && addr_is4(&r->to);
}

bool range_covers(const struct range *r, const struct c25_addr *a)
{
	return addr_cmp(&r->from, a) <= 0 && addr_cmp(a, &r->to) <= 0 &&
	       range_is4(r) == addr_is4(a);
}

bool range_overlaps(const struct range *a, const struct range *b)
{
	return range_is4(a) == range_is4(b) && addr_cmp(&a->from, &b->to) <= 0 &&
	       addr_cmp(&b->from, &a->to) <= 0;
}

uint64_t range_size(const struct range *r)
{
	unsigned __int128 from = 0, to = 0;

	for (int i = 0; i < 16; i++) {
		from = from << 8 | r->from.b[i];
		to = to << 8 | r->to.b[i];
	}
	return to - from >= UINT64_MAX ? UINT64_MAX : (uint64_t)(to - from + 1);
}

int range_to_prefixes(const struct range *r, int (*each)(const struct prefix *p, void *ctx),
		      void *ctx)
{
	struct c25_addr at = r->from, last;
	int shortest = addr_is4(&r->from) ? 96 : 0, err;

	for (;;) {
		uint8_t len = 128;

		while (len > shortest) {
			struct c25_addr first = with_host_bits(&at, len - 1, false);

			last = with_host_bits(&at, len - 1, true);
			if (!addr_equal(&first, &at) || addr_cmp(&last, &r->to) > 0)
				break;
			len--;
		}
		err = each(&(struct prefix){ .addr = at, .len = len }, ctx);
		if (err)
			return err;
		last = with_host_bits(&at, len, true);
		if (addr_cmp(&last, &r->to) >= 0 || addr_add(&at, &last, 1))
			return 0;
	}
}

int sock_parse(struct sockaddr_storage *out, const char *text, uint16_t default_port)
{
	char copy[SOCK_STRLEN];
	const char *host = copy;
	char *port = NULL;
	struct c25_addr a;
	int n = default_port, family;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, strlen(text) + 1);
	if (copy[0] == '[') {
		char *end = strchr(copy, ']');

		if (!end)
			return -EINVAL;
		*end++ = 0;
		host = copy + 1;
		if (*end == ':')
			port = end + 1;
		else if (*end)
			return -EINVAL;
		if (addr_parse(&a, host) != 6)
			return -EINVAL;
	} else if (strchr(copy, ':') && strchr(copy, ':') == strrchr(copy, ':')) {
		port = strchr(copy, ':');
		*port++ = 0;
	}
	family = addr_parse(&a, host);
	if (port)
		n = parse_number(port, 65535);
	if (family < 0 || n <= 0)
		return -EINVAL;
	*out = sock_make(&a, (uint16_t)n);
	return 0;
}

const char *sock_print(char buf[SOCK_STRLEN], const struct sockaddr *sa)
{
	struct c25_addr a = sock_addr(sa);
	char text[ADDR_STRLEN];

	snprintf(buf, SOCK_STRLEN, addr_is4(&a) ? "%s:%u" : "[%s]:%u", addr_print(text, &a),
		 sock_port(sa));
	return buf;
}

socklen_t sock_len(const struct sockaddr *sa)
{
	return sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

struct c25_addr sock_addr(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return addr_from4(&((const struct sockaddr_in *)sa)->sin_addr);
	return addr_from6(&((const struct sockaddr_in6 *)sa)->sin6_addr);
}

uint16_t sock_port(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)sa)->sin_port);
	return ntohs(((const struct sockaddr_in6 *)sa)->sin6_port);
}

struct sockaddr_storage sock_make(const struct c25_addr *a, uint16_t port)
{
	struct sockaddr_storage ss = { 0 };

	if (addr_is4(a)) {
		struct sockaddr_in *in = (struct sockaddr_in *)&ss;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, a->b + 12, 4);
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, a->b, 16);
	}
	return ss;
}
