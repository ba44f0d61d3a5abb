/* SPDX-License-Identifier: BSD-3-Clause */
#include "dns_name.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define MAX_NAME  255
#define MAX_LABEL 63

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* One byte of a label, escaped or not; -EINVAL for half an escape. */
static int take_byte(const char **text)
{
	const char *t = *text;
	int v;

	if (*t != '\\') {
		*text = t + 1;
		return (uint8_t)*t;
	}
	if (is_digit(t[1]) && is_digit(t[2]) && is_digit(t[3])) {
		v = (t[1] - '0') * 100 + (t[2] - '0') * 10 + (t[3] - '0');
		*text = t + 4;
		return v > 255 ? -EINVAL : v;
	}
	if (!t[1])
		return -EINVAL;
	*text = t + 2;
	return (uint8_t)t[1];
}

int dns_name_wire(uint8_t *out, const char *text)
{
	int label = 0, len = 1; /* `label`: where this label's length byte is */

	if (text[0] == '.' && !text[1])
		text++;
	while (*text) {
		int c;

		if (*text == '.') {
			if (len == label + 1)
				return -EINVAL;
			out[label] = (uint8_t)(len - label - 1);
			label = len++;
			text++;
			if (len > MAX_NAME)
				return -EINVAL;
			continue;
		}
		c = take_byte(&text);
		if (c < 0 || len - label > MAX_LABEL || len >= MAX_NAME)
			return -EINVAL;
		out[len++] = (uint8_t)c;
	}
	out[label] = (uint8_t)(len - label - 1);
	if (!out[label])
		return label + 1; /* the text ended with a dot, or was the root */
	if (len >= MAX_NAME)
		return -EINVAL;
	out[len++] = 0;
	return len;
}

static uint64_t label_step(uint64_t hash, const uint8_t *label)
{
	uint64_t words[(MAX_LABEL + 1) / 8] = { 0 };
	size_t n = label[0] + 1U;

	memcpy(words, label, n);
	for (size_t i = 0; i * 8 < n; i++)
		hash = c25_name_step(hash, words[i]);
	return hash;
}

uint64_t dns_name_key(uint32_t cookie, const uint8_t *wire, uint32_t len)
{
	uint64_t hash = c25_name_start(cookie);
	uint8_t offsets[MAX_NAME / 2];
	size_t n = 0;

	for (uint32_t at = 0; at < len; at += wire[at] + 1U)
		offsets[n++] = (uint8_t)at;
	while (n--)
		hash = label_step(hash, wire + offsets[n]);
	return hash;
}

void dns_ends_init(struct c25_ends *ends, uint32_t shortest)
{
	ends->mask = ~0ULL;
	if (shortest < sizeof(ends->mask))
		ends->mask <<= 64 - 8 * shortest;
	memset(ends->none, 0xff, sizeof(ends->none));
}

void dns_ends_add(struct c25_ends *ends, const uint8_t *wire, uint32_t len)
{
	uint32_t n = len < sizeof(uint64_t) ? len : sizeof(uint64_t), bit;
	uint64_t end = 0;

	memcpy((uint8_t *)(&end + 1) - n, wire + len - n, n);
	bit = c25_end_bit(end & ends->mask);
	ends->none[bit / 64] &= ~(1ULL << bit % 64);
}
