/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cJSON takes more than JSON and says little about what it refuses: control characters and bytes
 * that are no UTF-8 inside strings, an escaped NUL that cuts the string short, garbage behind
 * the value. One pass over the text finds these first.
 */
#include "netmap_reader.h"

#include <errno.h>
#include <string.h>

#define MAX_DEPTH 64

static int fault_in_text(struct netmap_fault *fault, const char *text, size_t at, const char *what)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < at; i++) {
		if (text[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	fault->path[0] = 0;
	snprintf(fault->text, sizeof(fault->text), "line %zu, column %zu: %s", line, column, what);
	return -EINVAL;
}

/* Bytes of the UTF-8 sequence at `s`, 0 if it is none (RFC 3629, 4). */
static size_t utf8_len(const unsigned char *s, size_t left)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (!n || n > left || s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if (n > 2 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		      (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)))
		return 0;
	return n;
}

/* Moves `*at` from behind the opening quote to behind the closing one. */
static const char *scan_string(const char *text, size_t len, size_t *at)
{
	while (*at < len) {
		unsigned char c = (unsigned char)text[*at];
		size_t n;

		if (c == '"') {
			++*at;
			return NULL;
		}
		if (c < 0x20)
			return c == '\n' || c == '\r' ? "a string is not closed on its line" :
							"a control character in a string";
		if (c == '\\' && len - *at >= 2) {
			if (len - *at >= 6 && !memcmp(text + *at, "\\u0000", 6))
				return "an escaped NUL in a string";
			*at += 2;
			continue;
		}
		n = utf8_len((const unsigned char *)text + *at, len - *at);
		if (!n)
			return "not UTF-8";
		*at += n;
	}
	return "a string is not closed";
}

static const char *scan_bracket(char open[MAX_DEPTH], size_t *depth, char c)
{
	if (c == '{' || c == '[') {
		if (*depth == MAX_DEPTH)
			return "nested too deep";
		open[(*depth)++] = c;
		return NULL;
	}
	if (!*depth)
		return "not JSON: a bracket that nothing opened";
	return open[--*depth] + 2 == c ? NULL : "not JSON: closes another kind of bracket";
}

/* Moves `*at` over a word, whose first letter is behind it. */
static const char *scan_word(const char *text, size_t len, size_t *at)
{
	static const char *const words[] = { "true", "false", "null" };
	const char *start = text + *at - 1;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t n = strlen(words[i]);

		if (len - (*at - 1) >= n && !memcmp(start, words[i], n)) {
			*at += n - 1;
			return NULL;
		}
	}
	return "not JSON: a word without quotes, or a stray character";
}

/* `*depth`: how many brackets are still open at the end. */
static int scan(const char *text, size_t len, size_t *depth, struct netmap_fault *fault)
{
	char open[MAX_DEPTH];
	size_t at = 0;

	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		return fault_in_text(fault, text, 0,
				     "a byte order mark; save the file as UTF-8 without one");
	while (at < len) {
		const char *wrong = NULL;
		size_t start = at;
		char c = text[at++];

		if (c == '"')
			wrong = scan_string(text, len, &at);
		else if (c == '{' || c == '[' || c == '}' || c == ']')
			wrong = scan_bracket(open, depth, c);
		else if (!c)
			wrong = "a NUL byte";
		else if (!strchr(" \t\r\n:,0123456789+-.eE", c))
			wrong = scan_word(text, len, &at);
		if (wrong)
			return fault_in_text(fault, text, c == '"' && at < len ? at : start, wrong);
	}
	return 0;
}

/* cJSON's own place is the last byte where the text ends too early. */
static int fault_unexpected(struct netmap_fault *fault, const char *text, size_t len, size_t at,
			    size_t depth)
{
	char what[64];

	while (len && strchr(" \t\r\n", text[len - 1]))
		len--;
	if (at + 1 >= len && (depth || !len))
		return fault_in_text(fault, text, len, "not JSON: it ends too early");
	if (at >= len)
		at = len - 1;
	if (text[at] > 0x20 && text[at] < 0x7f)
		snprintf(what, sizeof(what), "not JSON: unexpected '%c'", text[at]);
	else
		snprintf(what, sizeof(what), "not JSON");
	return fault_in_text(fault, text, at, what);
}

int netmap_json_parse(cJSON **out, const char *text, size_t len, struct netmap_fault *fault)
{
	_cleanup_cjson_ cJSON *root = NULL;
	const char *end = text;
	size_t at, depth = 0;
	int err;

	err = scan(text, len, &depth, fault);
	if (err)
		return err;
	root = cJSON_ParseWithLengthOpts(text, len, &end, false);
	at = end ? (size_t)(end - text) : 0;
	if (!root)
		return fault_unexpected(fault, text, len, at, depth);
	while (at < len && strchr(" \t\r\n", text[at]))
		at++;
	if (at < len)
		return fault_in_text(fault, text, at, "something follows the netmap's end");
	*out = TAKE_PTR(root);
	return 0;
}
