/* SPDX-License-Identifier: BSD-3-Clause */
#include "peerapi_dns.h"
#include "policy.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <utlist.h>

#define MAX_QUESTIONS 2048 /* of all peers together: a quarter of what the resolver takes */
#define TYPE_IXFR     251  /* from here to MAILA: transfers and obsolete questions about mail */
#define TYPE_MAILA    254

static const char *header(struct MHD_Connection *mhd, const char *name)
{
	return MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, name);
}

static const char *argument(struct MHD_Connection *mhd, const char *name)
{
	return MHD_lookup_connection_value(mhd, MHD_GET_ARGUMENT_KIND, name);
}

static unsigned refuse(unsigned status, const char *text, const char **why)
{
	*why = text;
	return status;
}

/* Parameters behind the type say nothing that we know. */
static bool is_dns_message(const char *type)
{
	size_t n = strlen(PEERAPI_DNS_TYPE);

	return type && !strncasecmp(type, PEERAPI_DNS_TYPE, n) &&
	       (!type[n] || strchr("; \t", type[n]));
}

unsigned peerapi_dns_check(struct MHD_Connection *mhd, const char *method, const char **why)
{
	if (!strcmp(method, MHD_HTTP_METHOD_GET))
		return 0;
	if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
		return refuse(MHD_HTTP_METHOD_NOT_ALLOWED, "Method should be GET or POST", why);
	if (!is_dns_message(header(mhd, MHD_HTTP_HEADER_CONTENT_TYPE)))
		return refuse(MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
			      "Content-Type should be " PEERAPI_DNS_TYPE, why);
	return 0;
}

static int base64url_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789-_";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Without padding (RFC 8484, 4.1), and no bit left over but zeros. */
static int base64url_decode(uint8_t **out, size_t *out_len, const char *text)
{
	size_t n = strlen(text), len = 0;
	_cleanup_free_ uint8_t *bytes = NULL;
	unsigned bits = 0, have = 0;

	if (n % 4 == 1)
		return -EINVAL;
	bytes = malloc(n / 4 * 3 + 3);
	if (!bytes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int digit = base64url_digit(text[i]);

		if (digit < 0)
			return -EINVAL;
		bits = bits << 6 | (unsigned)digit;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		bytes[len++] = (uint8_t)(bits >> have);
		bits &= (1U << have) - 1;
	}
	if (bits)
		return -EINVAL;
	*out = TAKE_PTR(bytes);
	*out_len = len;
	return 0;
}

static unsigned read_argument(uint8_t **out, size_t *out_len, struct MHD_Connection *mhd,
			      const char **why)
{
	const char *dns = argument(mhd, "dns");
	int err = dns ? base64url_decode(out, out_len, dns) : -EINVAL;

	if (err == -ENOMEM)
		return refuse(MHD_HTTP_INTERNAL_SERVER_ERROR, "Out of memory", why);
	return err ? refuse(MHD_HTTP_BAD_REQUEST, "Error decoding the dns parameter", why) : 0;
}

static bool may_ask(const struct peerapi_server_ops *ops, void *ctx, const struct netmap_app *app,
		    const struct dns_question *q)
{
	return q->class_ == DNS_CLASS_IN && (q->type < TYPE_IXFR || q->type > TYPE_MAILA) &&
	       ops->covers(ctx, app, q->name);
}

/* In DNS's words. */
static unsigned answer_refused(struct peerapi_dns *d, const struct dns_question *q,
			       const uint8_t *msg, size_t len, const char **why)
{
	d->answer = malloc(DNS_MIN_UDP);
	if (!d->answer)
		return refuse(MHD_HTTP_INTERNAL_SERVER_ERROR, "Out of memory", why);
	d->len = dns_servfail(d->answer, DNS_MIN_UDP, q, msg, len);
	d->answer[2] &= (uint8_t) ~(DNS_AA >> 8);
	d->answer[3] = (uint8_t)((d->answer[3] & ~DNS_RCODE) | DNS_RCODE_REFUSED);
	return 0;
}

static void leave_list(struct peerapi_dns *d)
{
	if (!d->list)
		return;
	DL_DELETE(d->list->first, d);
	d->list->n--;
	d->list = NULL;
}

static void finish(struct peerapi_dns *d)
{
	struct peerapi_dns_list *list = d->list;

	leave_list(d);
	if (!d->suspended)
		return;
	d->suspended = false;
	MHD_resume_connection(d->mhd);
	list->resumed(list->ctx, d->mhd);
}

static void answered(struct dns_asker *asker, const uint8_t *msg, size_t len)
{
	struct peerapi_dns *d = (struct peerapi_dns *)asker;

	d->answer = malloc(len);
	if (d->answer) {
		memcpy(d->answer, msg, len);
		memcpy(d->answer, d->id, sizeof(d->id));
		d->len = len;
	}
	finish(d);
}

static unsigned ask_resolver(struct peerapi_dns *d, struct peerapi_dns_list *list,
			     struct dns_proxy *resolver, const uint8_t *msg, size_t len,
			     const char **why)
{
	if (!resolver)
		return refuse(MHD_HTTP_SERVICE_UNAVAILABLE, "This node has no resolver", why);
	if (list->n >= MAX_QUESTIONS)
		return refuse(MHD_HTTP_SERVICE_UNAVAILABLE, "Too many questions at once", why);
	d->asker.answered = answered;
	memcpy(d->id, msg, sizeof(d->id));
	d->list = list;
	DL_APPEND(list->first, d);
	list->n++;
	if (dns_proxy_ask(resolver, &d->asker, msg, len)) {
		leave_list(d);
		return refuse(MHD_HTTP_BAD_REQUEST, "Error decoding the DNS message", why);
	}
	if (d->list) {
		d->suspended = true;
		MHD_suspend_connection(d->mhd);
	}
	return 0;
}

unsigned peerapi_dns_ask(struct peerapi_dns *d, struct peerapi_dns_list *list,
			 const struct peerapi_server_ops *ops, void *ctx,
			 const struct netmap_node *peer, struct MHD_Connection *mhd,
			 const void *body, size_t len, const char **why)
{
	const struct netmap *nm = ops->netmap(ctx);
	const char *name = argument(mhd, "app");
	const struct netmap_app *app = name ? netmap_app_by_name(nm, name) : NULL;
	const struct netmap_node *self = netmap_self(nm);
	_cleanup_free_ uint8_t *decoded = NULL;
	const uint8_t *msg = body;
	struct dns_question q;
	unsigned status = 0;

	if (!name)
		return refuse(MHD_HTTP_BAD_REQUEST, "The app parameter is missing", why);
	if (!app || !policy_may_use(app, peer))
		return refuse(MHD_HTTP_FORBIDDEN, "You do not have permission to use this App",
			      why);
	if (!self || !policy_serves(app, self))
		return refuse(MHD_HTTP_NOT_FOUND, "This node is no connector of the App", why);
	if (!msg) {
		status = read_argument(&decoded, &len, mhd, why);
		msg = decoded;
	}
	if (status)
		return status;
	if (dns_question_parse(&q, msg, len))
		return refuse(MHD_HTTP_BAD_REQUEST, "Error decoding the DNS message", why);
	d->mhd = mhd;
	d->asked = true;
	if (!may_ask(ops, ctx, app, &q))
		return answer_refused(d, &q, msg, len, why);
	return ask_resolver(d, list, ops->resolver(ctx), msg, len, why);
}

/* The SOA of a negative answer says how long it may be kept (RFC 2308, 5). */
static uint32_t soa_age(const struct dns_rr *rr, const uint8_t *msg)
{
	uint32_t minimum;

	if (rr->rdlen < 22)
		return 0;
	minimum = dns_get32(msg + rr->rdata + rr->rdlen - 4);
	return minimum < rr->ttl ? minimum : rr->ttl;
}

/* TTLs with the highest bit set count as 0 (RFC 2181, 8). */
static uint32_t ttl_age(uint32_t ttl)
{
	return ttl > INT32_MAX ? 0 : ttl;
}

uint32_t peerapi_dns_max_age(const struct peerapi_dns *d)
{
	struct dns_reader r = { .msg = d->answer, .len = d->len, .at = DNS_HEADER_LEN };
	uint32_t age = UINT32_MAX;
	struct dns_header h;
	struct dns_rr rr;
	int at;

	if (dns_header_read(&h, d->answer, d->len) || h.flags & DNS_TC ||
	    ((h.flags & DNS_RCODE) && (h.flags & DNS_RCODE) != DNS_RCODE_NXDOMAIN))
		return 0;
	for (unsigned n = h.count[DNS_QUESTION]; n; n--) {
		at = dns_name_skip(d->answer, d->len, r.at);
		if (at < 0 || (size_t)at + 4 > d->len)
			return 0;
		r.at = (size_t)at + 4;
	}
	for (unsigned n = 0; n < h.count[DNS_ANSWER] + h.count[DNS_AUTHORITY]; n++) {
		bool answer = n < h.count[DNS_ANSWER];
		uint32_t its;

		if (dns_rr_read(&rr, &r))
			return 0;
		if (!answer && rr.type != DNS_TYPE_SOA)
			continue;
		its = ttl_age(answer ? rr.ttl : soa_age(&rr, d->answer));
		if (its < age)
			age = its;
	}
	return age == UINT32_MAX ? 0 : age;
}

void peerapi_dns_clear(struct peerapi_dns *d)
{
	if (d->list)
		dns_proxy_unask(&d->asker);
	leave_list(d);
	free(d->answer);
	d->answer = NULL;
}

void peerapi_dns_stop(struct peerapi_dns_list *list)
{
	while (list->first) {
		struct peerapi_dns *d = list->first;

		dns_proxy_unask(&d->asker);
		finish(d);
	}
}
