/* SPDX-License-Identifier: BSD-3-Clause */
#include "peerapi_http.h"
#include "peerapi_msg.h"
#include "peerapi_transit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_BUFFERED ((size_t)64 * PEERAPI_MAX_BODY) /* bodies of all connections together */
#define MAX_DISCARD  ((uint64_t)64 * PEERAPI_MAX_BODY)

/* A request under way; made when its headers have been read. */
struct request {
	struct peerapi_dns dns;
	struct peerapi_http *http;
	bool is_dns;
	unsigned status; /* refused with this, its body is only read to its end; 0: not refused */
	const char *why; /* NULL: what the status says */
	char *body;
	size_t len;
	size_t capacity;
};

static const char *refusal_text(unsigned status)
{
	switch (status) {
	case MHD_HTTP_BAD_REQUEST:
		return "Error decoding JSON";
	case MHD_HTTP_FORBIDDEN:
		return "Not a peer";
	case MHD_HTTP_NOT_FOUND:
		return "Not found";
	case MHD_HTTP_METHOD_NOT_ALLOWED:
		return "Method should be POST";
	case MHD_HTTP_CONTENT_TOO_LARGE:
		return "A DNS message has at most 65535 bytes";
	case MHD_HTTP_SERVICE_UNAVAILABLE:
		return "No app is configured here";
	default:
		return "Out of memory";
	}
}

static enum MHD_Result respond(struct MHD_Connection *mhd, unsigned status,
			       struct MHD_Response *response, const char *type)
{
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type", type);
	if (status == MHD_HTTP_FORBIDDEN)
		MHD_add_response_header(response, "Connection", "close");
	result = MHD_queue_response(mhd, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result respond_refusal(const struct request *r, struct MHD_Connection *mhd)
{
	const char *text = r->why ? r->why : refusal_text(r->status);
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);

	if (response && r->status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, "Allow", r->is_dns ? "GET, POST" : "POST");
	return respond(mhd, r->status, response, "text/plain; charset=utf-8");
}

const struct netmap_node *peerapi_peer(const struct netmap *nm, const struct sockaddr *source)
{
	struct c25_addr addr = sock_addr(source);
	const struct netmap_node *node = netmap_node_by_addr(nm, &addr);

	return node == netmap_self(nm) ? NULL : node;
}

static const struct netmap_node *request_peer(const struct peerapi_http *h,
					      struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct netmap_node *node = peerapi_peer(h->ops->netmap(h->ctx), info->client_addr);

	return node && h->vouched && !h->vouched(mhd, node) ? NULL : node;
}

/* 0, or the status that refuses the request for what its headers say. */
static unsigned check_head(struct request *r, struct MHD_Connection *mhd, const char *path,
			   const char *method)
{
	const struct peerapi_http *h = r->http;
	const struct netmap *nm = h->ops->netmap(h->ctx);

	r->is_dns = !strcmp(path, PEERAPI_DNS_PATH);
	if (!request_peer(h, mhd))
		return MHD_HTTP_FORBIDDEN;
	if (!r->is_dns && strcmp(path, PEERAPI_PATH) != 0)
		return MHD_HTTP_NOT_FOUND;
	if (!nm->n_apps)
		return MHD_HTTP_SERVICE_UNAVAILABLE;
	if (r->is_dns)
		return peerapi_dns_check(mhd, method, &r->why);
	if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
		return MHD_HTTP_METHOD_NOT_ALLOWED;
	return 0;
}

/* 0 where it is not said. libmicrohttpd has refused what is no number. */
static uint64_t content_length(struct MHD_Connection *mhd)
{
	const char *text =
		MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return text ? strtoull(text, NULL, 10) : 0;
}

static bool expects_continue(struct MHD_Connection *mhd)
{
	const char *text =
		MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_EXPECT);

	return text && !strcasecmp(text, "100-continue");
}

static size_t max_body(const struct request *r)
{
	return r->is_dns ? DNS_MAX_MSG : PEERAPI_MAX_BODY;
}

static unsigned too_long(const struct request *r)
{
	return r->is_dns ? MHD_HTTP_CONTENT_TOO_LARGE : MHD_HTTP_BAD_REQUEST;
}

/*
 * The headers are there. What they refuse is answered now where the client waits to be asked for
 * the body or announces a huge one; else the body is read first, as closing on unread data would
 * reset the connection and could take the answer along.
 */
static enum MHD_Result request_begin(struct peerapi_http *h, struct MHD_Connection *mhd,
				     const char *path, const char *method, struct request **out)
{
	struct request *r = calloc(1, sizeof(*r));
	uint64_t length = content_length(mhd);

	if (!r)
		return MHD_NO;
	*out = r;
	r->http = h;
	r->status = check_head(r, mhd, path, method);
	if (!r->status && length > max_body(r))
		r->status = too_long(r);
	if (r->status && (length > MAX_DISCARD || expects_continue(mhd)))
		return respond_refusal(r, mhd);
	return MHD_YES;
}

static void drop_body(struct request *r)
{
	r->http->buffered -= r->capacity;
	free(r->body);
	r->body = NULL;
	r->len = r->capacity = 0;
}

static void request_refuse(struct request *r, unsigned status)
{
	drop_body(r);
	r->status = status;
}

static void request_data(struct request *r, const char *data, size_t n)
{
	struct peerapi_http *h = r->http;
	size_t capacity = r->capacity ? r->capacity : 4096;
	char *grown;

	if (r->status)
		return;
	if (n > max_body(r) - r->len) {
		request_refuse(r, too_long(r));
		return;
	}
	while (capacity < r->len + n)
		capacity *= 2;
	if (capacity > r->capacity) {
		grown = h->buffered - r->capacity + capacity > MAX_BUFFERED ?
				NULL :
				realloc(r->body, capacity);
		if (!grown) {
			request_refuse(r, MHD_HTTP_INTERNAL_SERVER_ERROR);
			return;
		}
		h->buffered += capacity - r->capacity;
		r->body = grown;
		r->capacity = capacity;
	}
	memcpy(r->body + r->len, data, n);
	r->len += n;
}

/* The JSON of the answer to a well-formed request, NULL when out of memory. */
static char *answer_message(struct peerapi_http *h, const struct netmap_node *peer,
			    const struct peerapi_request *message)
{
	_cleanup_free_ struct peerapi_result *results =
		calloc(message->n_items + 1, sizeof(*results));

	if (!results || peerapi_transit_apply(results, h->ops, h->ctx, peer, message))
		return NULL;
	return peerapi_response_print(results, message->n_items, h->ops->epoch(h->ctx));
}

static enum MHD_Result respond_dns(struct request *r, struct MHD_Connection *mhd)
{
	struct MHD_Response *response;
	char age[64];

	snprintf(age, sizeof(age), "max-age=%u, private", peerapi_dns_max_age(&r->dns));
	response = MHD_create_response_from_buffer(r->dns.len, TAKE_PTR(r->dns.answer),
						   MHD_RESPMEM_MUST_FREE);
	if (response)
		MHD_add_response_header(response, "Cache-Control", age);
	return respond(mhd, MHD_HTTP_OK, response, PEERAPI_DNS_TYPE);
}

/* Comes here twice where the answer has to be waited for. */
static enum MHD_Result dns_end(struct request *r, struct MHD_Connection *mhd, const char *method)
{
	struct peerapi_http *h = r->http;
	const void *body = r->body ? r->body : "";

	if (!r->dns.asked) {
		r->status = peerapi_dns_ask(&r->dns, &h->questions, h->ops, h->ctx,
					    request_peer(h, mhd), mhd,
					    strcmp(method, MHD_HTTP_METHOD_GET) ? body : NULL,
					    r->len, &r->why);
		drop_body(r);
		if (!r->status && r->dns.suspended)
			return MHD_YES;
	}
	if (!r->status && !r->dns.answer)
		r->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
	return r->status ? respond_refusal(r, mhd) : respond_dns(r, mhd);
}

static enum MHD_Result transit_end(struct request *r, struct MHD_Connection *mhd)
{
	struct peerapi_http *h = r->http;
	struct peerapi_request message;
	char *json;
	int err;

	err = peerapi_request_parse(&message, r->body ? r->body : "", r->len);
	if (err) {
		r->status = err == -ENOMEM ? MHD_HTTP_INTERNAL_SERVER_ERROR : MHD_HTTP_BAD_REQUEST;
		return respond_refusal(r, mhd);
	}
	drop_body(r);
	json = answer_message(h, request_peer(h, mhd), &message);
	peerapi_request_clear(&message);
	if (!json) {
		r->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
		return respond_refusal(r, mhd);
	}
	return respond(mhd, MHD_HTTP_OK,
		       MHD_create_response_from_buffer(strlen(json), json, MHD_RESPMEM_MUST_FREE),
		       "application/json");
}

/* The whole request is there. The netmap may have changed since its headers: asked again. */
static enum MHD_Result request_end(struct request *r, struct MHD_Connection *mhd, const char *path,
				   const char *method)
{
	if (!r->status && !r->dns.asked)
		r->status = check_head(r, mhd, path, method);
	if (r->status)
		return respond_refusal(r, mhd);
	return r->is_dns ? dns_end(r, mhd, method) : transit_end(r, mhd);
}

enum MHD_Result peerapi_http_request(struct peerapi_http *h, struct MHD_Connection *mhd,
				     const char *path, const char *method, const char *data,
				     size_t *len, void **slot)
{
	struct request *r = *slot;

	if (!r)
		return request_begin(h, mhd, path, method, (struct request **)slot);
	if (!*len)
		return request_end(r, mhd, path, method);
	request_data(r, data, *len);
	*len = 0;
	return MHD_YES;
}

void peerapi_http_completed(void **slot)
{
	struct request *r = *slot;

	if (r) {
		drop_body(r);
		peerapi_dns_clear(&r->dns);
	}
	free(r);
	*slot = NULL;
}

void peerapi_http_stop(struct peerapi_http *h)
{
	peerapi_dns_stop(&h->questions);
}

size_t peerapi_http_unescape(void *cls, struct MHD_Connection *mhd, char *text)
{
	return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}
