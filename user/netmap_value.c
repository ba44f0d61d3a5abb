/* SPDX-License-Identifier: BSD-3-Clause */
#include "netmap_reader.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#define MAX_LABEL 63
#define MAX_NAME  253

DEFINE_CLEANUP(curl_url, CURLU *, curl_url_cleanup)
DEFINE_CLEANUP(curl_str, char *, curl_free)

static int dup_into(char **out, const char *text, size_t len)
{
	*out = strndup(text, len);
	return *out ? 0 : -ENOMEM;
}

/* No control characters, neither ASCII's nor the C1 set (U+0080 to U+009F). */
static bool is_printable(const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0))
			return false;
	return true;
}

int netmap_read_name(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		     void *into)
{
	char quoted[NETMAP_QUOTE_LEN];
	const char *text;
	int err;

	err = netmap_want_string(r, at, v, &text);
	if (err)
		return err;
	if (!*text)
		return netmap_fault_at(r, at, "must not be empty");
	if (!is_printable(text))
		return netmap_fault_at(r, at, "%s holds a control character",
				       netmap_quote(quoted, text));
	return dup_into(into, text, strlen(text));
}

/* Unspecified, multicast and broadcast addresses are nobody's. */
static bool is_nobodys(const struct c25_addr *a)
{
	static const uint8_t all_ones[4] = { 255, 255, 255, 255 };

	if (addr_is_zero(a))
		return true;
	if (!addr_is4(a))
		return a->b[0] == 0xff;
	return (a->b[12] & 0xf0) == 0xe0 || !memcmp(a->b + 12, all_ones, 4) ||
	       !(a->b[12] | a->b[13] | a->b[14] | a->b[15]);
}

int netmap_read_addr(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		     void *into)
{
	char quoted[NETMAP_QUOTE_LEN];
	struct prefix p;
	const char *text;
	int err;

	err = netmap_want_string(r, at, v, &text);
	if (err)
		return err;
	netmap_quote(quoted, text);
	err = prefix_parse(&p, text);
	if (err == -EINVAL)
		return netmap_fault_at(r, at, "%s is not an address", quoted);
	if (err || p.len != 128)
		return netmap_fault_at(r, at, "%s is a prefix where one address is meant", quoted);
	if (addr_is4(&p.addr) && strchr(text, ':'))
		return netmap_fault_at(r, at, "%s is IPv4-mapped: write it as IPv4", quoted);
	if (is_nobodys(&p.addr))
		return netmap_fault_at(r, at, "%s cannot be a node's address", quoted);
	*(struct c25_addr *)into = p.addr;
	return 0;
}

int netmap_read_prefix(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		       void *into)
{
	char quoted[NETMAP_QUOTE_LEN];
	struct prefix p;
	const char *text;
	int err;

	err = netmap_want_string(r, at, v, &text);
	if (err)
		return err;
	netmap_quote(quoted, text);
	err = prefix_parse(&p, text);
	if (err == -ERANGE)
		return netmap_fault_at(r, at, "%s has host bits set", quoted);
	if (err)
		return netmap_fault_at(r, at, "%s is not a prefix", quoted);
	if (prefix_is4(&p) && strchr(text, ':'))
		return netmap_fault_at(r, at, "%s is IPv4-mapped: write it as IPv4", quoted);
	*(struct prefix *)into = p;
	return 0;
}

/* NULL, or why `len` bytes are no domain name; "" says no more than that. */
static const char *domain_fault(const char *name, size_t len)
{
	size_t label = 0;

	if (len > MAX_NAME)
		return ": it is over 253 characters";
	for (size_t i = 0; i <= len; i++) {
		unsigned char c = i < len ? (unsigned char)name[i] : '.';

		if (c == '.') {
			if (i == label)
				return ": a label is empty";
			if (i - label > MAX_LABEL)
				return ": a label is over 63 characters";
			label = i + 1;
		} else if (c == '*') {
			if (i || len < 3 || name[1] != '.')
				return ": * stands for the whole first label of at least two";
		} else if (c >= 0x80) {
			return ": write it in its xn-- form";
		} else if (!isalnum(c) && c != '-' && c != '_') {
			return "";
		}
	}
	return NULL;
}

int netmap_read_domain(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		       void *into)
{
	char quoted[NETMAP_QUOTE_LEN];
	const char *text, *fault;
	char **out = into;
	size_t len;
	int err;

	err = netmap_want_string(r, at, v, &text);
	if (err)
		return err;
	len = strlen(text);
	if (len && text[len - 1] == '.')
		len--;
	fault = domain_fault(text, len);
	if (fault)
		return netmap_fault_at(r, at, "%s is not a domain name%s",
				       netmap_quote(quoted, text), fault);
	err = dup_into(out, text, len);
	if (err)
		return err;
	for (char *c = *out; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return 0;
}

static bool url_lacks(CURLU *u, CURLUPart part)
{
	_cleanup_(curl_str) char *value = NULL;

	return curl_url_get(u, part, &value, 0) != CURLUE_OK;
}

/* What a path can be appended to. */
static bool is_base_url(const char *text)
{
	_cleanup_(curl_url) CURLU *u = NULL;
	const char *host;

	if (!strncasecmp(text, "http://", 7))
		host = text + 7;
	else if (!strncasecmp(text, "https://", 8))
		host = text + 8;
	else
		return false;
	if (!*host || strchr("/:?#@", *host))
		return false;
	for (const char *c = text; *c; c++)
		if (*c <= 0x20 || *c >= 0x7f || *c == '\\')
			return false;
	u = curl_url();
	return u && curl_url_set(u, CURLUPART_URL, text, 0) == CURLUE_OK &&
	       !url_lacks(u, CURLUPART_HOST) && url_lacks(u, CURLUPART_USER) &&
	       url_lacks(u, CURLUPART_PASSWORD) && url_lacks(u, CURLUPART_QUERY) &&
	       url_lacks(u, CURLUPART_FRAGMENT) && !strpbrk(text, "?#");
}

int netmap_read_url(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		    void *into)
{
	char quoted[NETMAP_QUOTE_LEN];
	const char *text;
	size_t len;
	int err;

	err = netmap_want_string(r, at, v, &text);
	if (err)
		return err;
	if (!is_base_url(text))
		return netmap_fault_at(r, at, "%s is not an http or https base URL",
				       netmap_quote(quoted, text));
	len = strlen(text);
	while (text[len - 1] == '/')
		len--;
	return dup_into(into, text, len);
}

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz012345678"
				     "9+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* 32 bytes are 43 digits, the last one with two bits to spare, and one '='. */
static bool is_key(const char *text)
{
	if (strlen(text) != 44 || text[43] != '=' || (base64_digit(text[42]) & 3))
		return false;
	for (int i = 0; i < 43; i++)
		if (base64_digit(text[i]) < 0)
			return false;
	return true;
}

int netmap_read_key(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		    void *into)
{
	const char *text;
	int err;

	err = netmap_want_string(r, at, v, &text);
	if (err)
		return err;
	/* No fault: only --overlay wireguard needs it, and that says so of the node it fails for. */
	if (!is_key(text)) {
		err = netmap_warn_at(r, at, "is not a WireGuard public key (base64 of 32 bytes)");
		if (err)
			return err;
	}
	return dup_into(into, text, strlen(text));
}
