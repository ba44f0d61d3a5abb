/* SPDX-License-Identifier: BSD-3-Clause */
#include "peerapi_msg.h"

#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

DEFINE_CLEANUP(json, cJSON *, cJSON_Delete)

static void cleanup_request(struct peerapi_request *r)
{
	peerapi_request_clear(r);
}

static void cleanup_response(struct peerapi_response *r)
{
	peerapi_response_clear(r);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `p` is behind a backslash. Returns the end of the escape, NULL if it is none or means NUL. */
static const char *scan_escape(const char *p, const char *end)
{
	int code = 0;

	if (p == end || !*p || !strchr("\"\\/bfnrtu", *p))
		return NULL;
	if (*p++ != 'u')
		return p;
	if (end - p < 4)
		return NULL;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(*p++);

		if (digit < 0)
			return NULL;
		code = code * 16 + digit;
	}
	return code ? p : NULL;
}

/* `p` is behind the opening quote; returns what is behind the closing one, or NULL. */
static const char *scan_string(const char *p, const char *end)
{
	while (p && p < end && *p != '"') {
		if ((unsigned char)*p < 0x20)
			return NULL;
		p = *p == '\\' ? scan_escape(p + 1, end) : p + 1;
	}
	return p && p < end ? p + 1 : NULL;
}

static const char *scan_digits(const char *p, const char *end)
{
	const char *start = p;

	while (p < end && is_digit(*p))
		p++;
	return p > start ? p : NULL;
}

static const char *scan_number(const char *p, const char *end)
{
	if (*p == '-')
		p++;
	if (p < end && *p == '0')
		p++;
	else
		p = scan_digits(p, end);
	if (p && p < end && *p == '.')
		p = scan_digits(p + 1, end);
	if (p && p < end && (*p | 0x20) == 'e') {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		p = scan_digits(p, end);
	}
	return p && p < end && (is_digit(*p) || strchr("+-.", *p)) ? NULL : p;
}

/*
 * cJSON ends a string at an escaped NUL, takes a broken \u escape for one, and lets through raw
 * control characters, any byte up to 32 as white space, and numbers as strtod() reads them. So
 * the tokens are checked here, and how they fit together by cJSON.
 */
static bool tokens_are_json(const char *p, const char *end)
{
	while (p && p < end) {
		if (*p == '"')
			p = scan_string(p + 1, end);
		else if (*p == '-' || is_digit(*p))
			p = scan_number(p, end);
		else if (*p && strchr(" \t\r\n{}[]:,aeflnrstu", *p))
			p++;
		else
			return false;
	}
	return p;
}

/* Depth is bounded by CJSON_NESTING_LIMIT. */
static int json_parse(cJSON **out, const char *body, size_t len)
{
	_cleanup_(json) cJSON *json = NULL;
	const char *end = body + len, *p;

	if (!tokens_are_json(body, end))
		return -EINVAL;
	json = cJSON_ParseWithLengthOpts(body, len, &p, false);
	if (!json)
		return -EINVAL;
	for (; p < end; p++)
		if (!strchr(" \t\r\n", *p))
			return -EINVAL;
	*out = TAKE_PTR(json);
	return 0;
}

/*
 * The values of `keys` in one walk; NULL where one is absent or null. Other keys are ignored. One
 * of them twice means nothing certain (RFC 8259, 4) and is refused.
 */
static int object_get(const cJSON *object, const char *const *keys, const cJSON **values, size_t n)
{
	const cJSON *child;

	if (!cJSON_IsObject(object))
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		values[i] = NULL;
	cJSON_ArrayForEach (child, object) {
		for (size_t i = 0; i < n; i++) {
			if (strcmp(child->string, keys[i]) != 0)
				continue;
			if (values[i])
				return -EINVAL;
			values[i] = child;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (cJSON_IsNull(values[i]))
			values[i] = NULL;
	return 0;
}

/* A zeroed array as long as the list; left NULL for an empty or absent one. */
static int list_alloc(void **out, const cJSON *list, size_t size)
{
	size_t n;

	if (list && !cJSON_IsArray(list))
		return -EINVAL;
	n = list ? (size_t)cJSON_GetArraySize(list) : 0;
	if (!n)
		return 0;
	*out = calloc(n, size);
	return *out ? 0 : -ENOMEM;
}

static int get_addr(struct c25_addr *out, const cJSON *value)
{
	return cJSON_IsString(value) ? addr_parse(out, value->valuestring) : -EINVAL;
}

static int parse_item(struct peerapi_item *item, const cJSON *object)
{
	static const char *const keys[] = { "transitIP", "destinationIP", "app" };
	const cJSON *values[ARRAY_SIZE(keys)];
	int err;

	err = object_get(object, keys, values, ARRAY_SIZE(keys));
	if (err)
		return err;
	item->transit_family = get_addr(&item->transit, values[0]);
	item->real_family = get_addr(&item->real, values[1]);
	if (item->transit_family < 0 || item->real_family < 0)
		return -EINVAL;
	if (values[2] && !cJSON_IsString(values[2]))
		return -EINVAL;
	item->app = strdup(values[2] ? values[2]->valuestring : "");
	return item->app ? 0 : -ENOMEM;
}

static int parse_items(struct peerapi_request *r, const cJSON *list)
{
	const cJSON *element;
	int err;

	err = list_alloc((void **)&r->items, list, sizeof(*r->items));
	if (err || !r->items)
		return err;
	cJSON_ArrayForEach (element, list) {
		err = parse_item(&r->items[r->n_items++], element);
		if (err)
			return err;
	}
	return 0;
}

static int parse_release(struct peerapi_request *r, const cJSON *list)
{
	const cJSON *element;
	int err;

	err = list_alloc((void **)&r->release, list, sizeof(*r->release));
	if (err || !r->release)
		return err;
	cJSON_ArrayForEach (element, list) {
		struct c25_addr a;
		int family = get_addr(&a, element);

		if (family < 0)
			return family;
		/* Spelled as mapped IPv6, it names no mapping; the struct would say IPv4. */
		if (family == 6 && addr_is4(&a))
			continue;
		r->release[r->n_release++] = a;
	}
	return 0;
}

int peerapi_request_parse(struct peerapi_request *out, const char *body, size_t len)
{
	static const char *const keys[] = { "transitIPs", "release" };
	_cleanup_(request) struct peerapi_request r = { 0 };
	_cleanup_(json) cJSON *json = NULL;
	const cJSON *values[ARRAY_SIZE(keys)];
	int err;

	err = json_parse(&json, body, len);
	if (!err)
		err = object_get(json, keys, values, ARRAY_SIZE(keys));
	if (!err)
		err = parse_items(&r, values[0]);
	if (!err)
		err = parse_release(&r, values[1]);
	if (err)
		return err;
	*out = r;
	r = (struct peerapi_request){ 0 };
	return 0;
}

void peerapi_request_clear(struct peerapi_request *r)
{
	for (size_t i = 0; i < r->n_items; i++)
		free(r->items[i].app);
	free(r->items);
	free(r->release);
	*r = (struct peerapi_request){ 0 };
}

/* A result's code and message. Go's encoders leave a code of 0 out. */
static int parse_result(struct peerapi_result *result, const cJSON *object)
{
	static const char *const keys[] = { "code", "message" };
	const cJSON *values[ARRAY_SIZE(keys)];
	int err;

	err = object_get(object, keys, values, ARRAY_SIZE(keys));
	if (err)
		return err;
	if (values[0]) {
		if (!cJSON_IsNumber(values[0]) || values[0]->valuedouble != values[0]->valueint)
			return -EINVAL;
		result->code = values[0]->valueint;
	}
	if (values[1] && !cJSON_IsString(values[1]))
		return -EINVAL;
	if (result->code)
		result->message = values[1] ? values[1]->valuestring : "";
	return 0;
}

/* The messages still point into the parsed JSON: move them to one text of the response's own. */
static int own_messages(struct peerapi_response *r)
{
	size_t len = 0;
	char *p;

	for (size_t i = 0; i < r->n_results; i++)
		if (r->results[i].message)
			len += strlen(r->results[i].message) + 1;
	if (!len)
		return 0;
	r->text = p = malloc(len);
	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < r->n_results; i++) {
		const char *message = r->results[i].message;

		if (!message)
			continue;
		r->results[i].message = p;
		p = stpcpy(p, message) + 1;
	}
	return 0;
}

static int parse_results(struct peerapi_response *r, const cJSON *list)
{
	const cJSON *element;
	int err;

	err = list_alloc((void **)&r->results, list, sizeof(*r->results));
	if (err || !r->results)
		return err;
	cJSON_ArrayForEach (element, list) {
		err = parse_result(&r->results[r->n_results++], element);
		if (err)
			return err;
	}
	return own_messages(r);
}

int peerapi_response_parse(struct peerapi_response *out, const char *body, size_t len)
{
	static const char *const keys[] = { "transitIPs", "epoch" };
	_cleanup_(response) struct peerapi_response r = { 0 };
	_cleanup_(json) cJSON *json = NULL;
	const cJSON *values[ARRAY_SIZE(keys)];
	int err;

	err = json_parse(&json, body, len);
	if (!err)
		err = object_get(json, keys, values, ARRAY_SIZE(keys));
	if (!err)
		err = parse_results(&r, values[0]);
	if (err)
		return err;
	if (values[1] && !cJSON_IsString(values[1]))
		return -EINVAL;
	r.epoch = strdup(values[1] ? values[1]->valuestring : "");
	if (!r.epoch)
		return -ENOMEM;
	*out = r;
	r = (struct peerapi_response){ 0 };
	return 0;
}

void peerapi_response_clear(struct peerapi_response *r)
{
	free(r->results);
	free(r->epoch);
	free(r->text);
	*r = (struct peerapi_response){ 0 };
}
