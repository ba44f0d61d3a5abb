/* SPDX-License-Identifier: BSD-3-Clause */
#include "dns_svcb.h"

#include <errno.h>
#include <string.h>

/* IANA: Service Parameter Keys. */
enum {
	KEY_MANDATORY = 0,
	KEY_ALPN = 1,
	KEY_NO_DEFAULT_ALPN = 2,
	KEY_PORT = 3,
	KEY_IPV4HINT = 4,
	KEY_IPV6HINT = 6,
};

struct param {
	uint16_t key;
	uint16_t len;
	const uint8_t *value;
};

/* Offset of the first parameter, or -EBADMSG. */
static int params_start(const uint8_t *rdata, size_t n)
{
	size_t at = 2;

	for (;;) {
		size_t label;

		if (at >= n || rdata[at] > 63)
			return -EBADMSG;
		label = rdata[at];
		at += 1 + label;
		if (at > n || at > 2 + DNS_MAX_NAME)
			return -EBADMSG;
		if (!label)
			return (int)at;
	}
}

/* 1: `p` is set and *at moved behind it; 0: there are no more; or -EBADMSG. */
static int param_next(struct param *p, const uint8_t *rdata, size_t n, size_t *at)
{
	if (*at == n)
		return 0;
	if (n - *at < 4)
		return -EBADMSG;
	p->key = dns_get16(rdata + *at);
	p->len = dns_get16(rdata + *at + 2);
	p->value = rdata + *at + 4;
	if (p->len > n - *at - 4)
		return -EBADMSG;
	*at += 4U + p->len;
	return 1;
}

static bool mandatory_is_sound(const struct param *p)
{
	int last = KEY_MANDATORY; /* which may not list itself */

	if (!p->len || p->len % 2)
		return false;
	for (size_t i = 0; i < p->len; i += 2) {
		int key = dns_get16(p->value + i);

		if (key <= last)
			return false;
		last = key;
	}
	return true;
}

static bool alpn_is_sound(const struct param *p)
{
	size_t i = 0;

	while (i < p->len && p->value[i])
		i += 1U + p->value[i];
	return p->len && i == p->len;
}

static bool param_is_sound(const struct param *p)
{
	switch (p->key) {
	case KEY_MANDATORY:
		return mandatory_is_sound(p);
	case KEY_ALPN:
		return alpn_is_sound(p);
	case KEY_NO_DEFAULT_ALPN:
		return !p->len;
	case KEY_PORT:
		return p->len == 2;
	case KEY_IPV4HINT:
		return p->len && p->len % 4 == 0;
	case KEY_IPV6HINT:
		return p->len && p->len % 16 == 0;
	default:
		return true;
	}
}

int dns_svcb_check(const uint8_t *rdata, size_t n)
{
	int start = params_start(rdata, n), last = -1, more;
	struct param p;
	size_t at;

	if (start < 0)
		return start;
	if (!dns_svcb_is_service(rdata))
		return 0;
	at = (size_t)start;
	while ((more = param_next(&p, rdata, n, &at)) > 0) {
		if (p.key <= last || !param_is_sound(&p))
			return -EBADMSG;
		last = p.key;
	}
	return more;
}

bool dns_svcb_is_service(const uint8_t *rdata)
{
	return dns_get16(rdata) != 0;
}

bool dns_no_real6(const struct c25_addr *a)
{
	return addr_is4(a) || addr_is_zero(a);
}

/* Bytes of one address of a hint; 0: no hint. */
static size_t hint_step(uint16_t key)
{
	return key == KEY_IPV4HINT ? 4 : key == KEY_IPV6HINT ? 16 : 0;
}

/* False: not an address that can be lent. */
static bool hint_addr(struct c25_addr *out, const uint8_t *value, size_t step)
{
	*out = step == 4 ? addr_from4(value) : addr_from6(value);
	return step == 4 || !dns_no_real6(out);
}

int dns_svcb_hints(const uint8_t *rdata, size_t n, int (*each)(const struct c25_addr *a, void *ctx),
		   void *ctx)
{
	int start = params_start(rdata, n), err;
	size_t at = (size_t)start;
	struct c25_addr a;
	struct param p;

	while (start > 0 && param_next(&p, rdata, n, &at) > 0) {
		size_t step = hint_step(p.key);

		for (size_t i = 0; step && i < p.len; i += step) {
			err = hint_addr(&a, p.value + i, step) ? each(&a, ctx) : 0;
			if (err)
				return err;
		}
	}
	return 0;
}

/* `next` is where the plan is likely to have it: it lists hints in the order they come. */
static const struct dns_plan_addr *granted(const struct dns_plan *plan, size_t *next,
					   const struct c25_addr *real)
{
	for (size_t tried = 0; tried < plan->n_addrs; tried++) {
		const struct dns_plan_addr *a;

		if (*next >= plan->n_addrs)
			*next = 0;
		a = &plan->addrs[(*next)++];
		if (addr_equal(&a->real, real))
			return a->state == DNS_ADDR_GRANTED ? a : NULL;
	}
	return NULL;
}

/* A whole parameter in `out`, or nothing where no address was granted. Returns the bytes. */
static size_t write_hint(uint8_t *out, const struct param *p, const struct dns_plan *plan,
			 size_t *next)
{
	size_t step = hint_step(p->key), len = 0;
	struct c25_addr real;

	for (size_t i = 0; i < p->len; i += step) {
		const struct dns_plan_addr *a = NULL;

		if (hint_addr(&real, p->value + i, step))
			a = granted(plan, next, &real);
		if (!a)
			continue;
		memcpy(out + 4 + len, a->magic.b + 16 - step, step);
		len += step;
	}
	if (!len)
		return 0;
	dns_put16(out, p->key);
	dns_put16(out + 2, (uint16_t)len);
	return 4 + len;
}

/* Takes `key` out of the list of the `mandatory` at `out`, `n` bytes. Returns what is left of it. */
static size_t mandatory_without(uint8_t *out, size_t n, uint16_t key)
{
	size_t kept = 4;

	if (!n)
		return 0;
	for (size_t i = 4; i < n; i += 2) {
		uint16_t k = dns_get16(out + i);

		if (k == key)
			continue;
		dns_put16(out + kept, k);
		kept += 2;
	}
	dns_put16(out + 2, (uint16_t)(kept - 4));
	return kept > 4 ? kept : 0;
}

size_t dns_svcb_write(uint8_t *out, const uint8_t *rdata, size_t n, const struct dns_plan *plan)
{
	size_t at = (size_t)params_start(rdata, n), next = 0, mandatory = 0, end = 3;
	struct param p;

	memcpy(out, rdata, 2);
	out[2] = 0;
	while (param_next(&p, rdata, n, &at) > 0) {
		size_t written;

		if (!hint_step(p.key)) {
			memcpy(out + end, p.value - 4, 4U + p.len);
			written = 4U + p.len;
		} else {
			written = write_hint(out + end, &p, plan, &next);
		}
		if (p.key == KEY_MANDATORY)
			mandatory = written;
		if (!written && mandatory) {
			size_t left = mandatory_without(out + 3, mandatory, p.key);

			memmove(out + 3 + left, out + 3 + mandatory, end - 3 - mandatory);
			end -= mandatory - left;
			mandatory = left;
		}
		end += written;
	}
	return end;
}
