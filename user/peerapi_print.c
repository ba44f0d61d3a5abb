/* SPDX-License-Identifier: BSD-3-Clause */
/* The printing half of peerapi_msg. */
#include "peerapi_msg.h"

#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <string.h>

DEFINE_CLEANUP(json, cJSON *, cJSON_Delete)

/* Hands `item` over to the list, or frees it. */
static bool list_add(cJSON *list, cJSON *item)
{
	if (item && cJSON_AddItemToArray(list, item))
		return true;
	cJSON_Delete(item);
	return false;
}

static const char *spell(char buf[ADDR_STRLEN], const struct c25_addr *a, int family)
{
	return family == 6 ? inet_ntop(AF_INET6, a->b, buf, ADDR_STRLEN) : addr_print(buf, a);
}

static bool add_item(cJSON *list, const struct peerapi_item *item)
{
	char transit[ADDR_STRLEN], real[ADDR_STRLEN];
	cJSON *object = cJSON_CreateObject();

	return list_add(list, object) &&
	       cJSON_AddStringToObject(object, "transitIP",
				       spell(transit, &item->transit, item->transit_family)) &&
	       cJSON_AddStringToObject(object, "destinationIP",
				       spell(real, &item->real, item->real_family)) &&
	       cJSON_AddStringToObject(object, "app", item->app);
}

char *peerapi_request_print(const struct peerapi_request *r)
{
	_cleanup_(json) cJSON *json = cJSON_CreateObject();
	cJSON *list = cJSON_AddArrayToObject(json, "transitIPs");
	char buf[ADDR_STRLEN];

	if (!list)
		return NULL;
	for (size_t i = 0; i < r->n_items; i++)
		if (!add_item(list, &r->items[i]))
			return NULL;
	if (r->n_release) {
		list = cJSON_AddArrayToObject(json, "release");
		if (!list)
			return NULL;
	}
	for (size_t i = 0; i < r->n_release; i++)
		if (!list_add(list, cJSON_CreateString(addr_print(buf, &r->release[i]))))
			return NULL;
	return cJSON_PrintUnformatted(json);
}

/* Length of the well-formed UTF-8 sequence (RFC 3629, 4) at `p`, 0 if there is none. */
static size_t utf8_length(const unsigned char *p)
{
	unsigned char lo = 0x80, hi = 0xbf;
	size_t n;

	if (*p < 0x80)
		return 1;
	if (*p < 0xc2 || *p > 0xf4)
		return 0;
	n = *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
	if (*p == 0xe0)
		lo = 0xa0;
	else if (*p == 0xed)
		hi = 0x9f;
	else if (*p == 0xf0)
		lo = 0x90;
	else if (*p == 0xf4)
		hi = 0x8f;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

/* cJSON writes bytes as they are, and JSON is UTF-8: what is not becomes "?". */
static bool add_text(cJSON *object, const char *key, const char *text)
{
	_cleanup_free_ char *copy = strdup(text);
	size_t n;

	if (!copy)
		return false;
	for (char *p = copy; *p; p += n) {
		n = utf8_length((const unsigned char *)p);
		if (!n) {
			*p = '?';
			n = 1;
		}
	}
	return cJSON_AddStringToObject(object, key, copy);
}

static bool add_result(cJSON *list, const struct peerapi_result *result)
{
	cJSON *object = cJSON_CreateObject();

	return list_add(list, object) && cJSON_AddNumberToObject(object, "code", result->code) &&
	       (!result->code || !result->message || add_text(object, "message", result->message));
}

char *peerapi_response_print(const struct peerapi_result *results, size_t n, const char *epoch)
{
	_cleanup_(json) cJSON *json = cJSON_CreateObject();
	cJSON *list = cJSON_AddArrayToObject(json, "transitIPs");

	if (!list)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (!add_result(list, &results[i]))
			return NULL;
	if (!add_text(json, "epoch", epoch))
		return NULL;
	return cJSON_PrintUnformatted(json);
}
