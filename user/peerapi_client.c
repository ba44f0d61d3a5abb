/* SPDX-License-Identifier: BSD-3-Clause */
#include "peerapi_client.h"
#include "peerapi_client_tls.h"
#include "peerapi_msg.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_IDLE_CONNS 1024L
#define MAX_IDLE_SECS  20L /* below a connector's own limit, so that it is not the one to close */

struct peerapi_call {
	struct peerapi_client *client;
	struct peerapi_call *prev, *next;
	CURL *easy;
	struct curl_slist *headers;
	char *url;
	void *body;
	char *answer; /* NUL ended once there is any */
	size_t len;
	size_t capacity;
	bool too_long;
	char error[CURL_ERROR_SIZE];
	struct call_tls tls;
	peerapi_done done;
	void *ctx;
};

/* A socket of libcurl's that the loop watches. */
struct watch {
	uv_poll_t poll;
	struct peerapi_client *client;
	struct watch *prev, *next;
	curl_socket_t fd;
};

struct peerapi_client {
	uv_loop_t *loop;
	uv_timer_t timer;
	CURLM *multi;
	const struct tls *tls;
	struct tls_conns conns;
	struct peerapi_call *requests;
	struct watch *watches;
	bool closing;
};

static void request_free(struct peerapi_call *r)
{
	if (r->easy)
		curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->headers);
	free(r->url);
	free(r->body);
	free(r->answer);
	free(r);
}
DEFINE_CLEANUP(request, struct peerapi_call *, request_free)

static void request_unlink(struct peerapi_call *r)
{
	if (r->prev)
		r->prev->next = r->next;
	else
		r->client->requests = r->next;
	if (r->next)
		r->next->prev = r->prev;
}

static void request_finish(struct peerapi_call *r, CURLcode result)
{
	_cleanup_(request) struct peerapi_call *owned = r;
	const char *error = NULL;
	long status = 0;

	curl_multi_remove_handle(r->client->multi, r->easy);
	request_unlink(r);
	if (result == CURLE_OK)
		curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	else if (r->too_long)
		error = "answer is longer than 1 MiB";
	else if (r->tls.refused)
		error = "its certificate is not that node's: no subjectAltName holds its id or "
			"address";
	else
		error = *r->error ? r->error : curl_easy_strerror(result);
	if (!status && !error)
		error = "no HTTP status";
	r->done(r->ctx, (int)status, status && r->answer ? r->answer : "", status ? r->len : 0,
		error);
}

/* `done` may post anew, or free the client, whose memory then lives until the loop's next turn. */
static void finish_completed(struct peerapi_client *c)
{
	CURLMsg *msg;
	int left;

	while (!c->closing && (msg = curl_multi_info_read(c->multi, &left))) {
		struct peerapi_call *r = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&r);
		request_finish(r, msg->data.result);
	}
}

static void watch_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void watch_close(struct watch *w)
{
	if (w->prev)
		w->prev->next = w->next;
	else
		w->client->watches = w->next;
	if (w->next)
		w->next->prev = w->prev;
	/* Takes the descriptor out of epoll now: libcurl closes it next. */
	uv_close((uv_handle_t *)&w->poll, watch_closed);
}

static struct watch *watch_open(struct peerapi_client *c, curl_socket_t fd)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	if (uv_poll_init_socket(c->loop, &w->poll, fd)) {
		free(w);
		return NULL;
	}
	w->poll.data = w;
	w->client = c;
	w->fd = fd;
	w->next = c->watches;
	if (w->next)
		w->next->prev = w;
	c->watches = w;
	return w;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;
	struct peerapi_client *c = w->client;
	int what = 0, running;

	if (status < 0)
		what = CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		what |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		what |= CURL_CSELECT_OUT;
	curl_multi_socket_action(c->multi, w->fd, what, &running);
	finish_completed(c);
}

/* CURLMOPT_SOCKETFUNCTION. A result of -1 would end all transfers for good; a socket that cannot
 * be watched lets its own request time out. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *fd_ctx)
{
	struct peerapi_client *c = ctx;
	struct watch *w = fd_ctx;
	int events = 0;

	if (what == CURL_POLL_REMOVE) {
		if (w)
			watch_close(w);
		return 0;
	}
	if (!w) {
		w = watch_open(c, fd);
		if (!w)
			return 0;
		curl_multi_assign(c->multi, fd, w);
	}
	if (what & CURL_POLL_IN)
		events |= UV_READABLE;
	if (what & CURL_POLL_OUT)
		events |= UV_WRITABLE;
	uv_poll_start(&w->poll, events, on_ready);
	return 0;
}

static void on_timeout(uv_timer_t *timer)
{
	struct peerapi_client *c = timer->data;
	int running;

	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	finish_completed(c);
}

/* CURLMOPT_TIMERFUNCTION */
static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
	struct peerapi_client *c = ctx;

	if (timeout_ms < 0)
		return uv_timer_stop(&c->timer);
	/* Counted from now and not from when the loop last looked at its clock. */
	uv_update_time(c->loop);
	return uv_timer_start(&c->timer, on_timeout, (uint64_t)timeout_ms, 0);
}

/* CURLOPT_WRITEFUNCTION */
static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct peerapi_call *r = ctx;
	size_t need;

	n *= size;
	if (n > PEERAPI_MAX_BODY - r->len) {
		r->too_long = true;
		return 0;
	}
	need = r->len + n + 1;
	if (need > r->capacity) {
		size_t capacity = need > 2 * r->capacity ? need : 2 * r->capacity;
		char *grown = realloc(r->answer, capacity);

		if (!grown)
			return 0;
		r->answer = grown;
		r->capacity = capacity;
	}
	memcpy(r->answer + r->len, data, n);
	r->len += n;
	r->answer[r->len] = 0;
	return n;
}

static int header_add(struct curl_slist **headers, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*headers, line);

	if (!longer)
		return -ENOMEM;
	*headers = longer;
	return 0;
}

static int set_source(CURL *easy, const struct c25_addr *source)
{
	char host[sizeof("host!") + ADDR_STRLEN], text[ADDR_STRLEN];

	/* "host!": never taken for the name of a device. */
	snprintf(host, sizeof(host), "host!%s", addr_print(text, source));
	return curl_easy_setopt(easy, CURLOPT_INTERFACE, host) ? -ENOMEM : 0;
}

/* 0 would mean "no limit" to libcurl. */
static long clamp_timeout(uint64_t ms)
{
	if (!ms)
		return 1;
	return ms > INT_MAX ? INT_MAX : (long)ms;
}

/* A request that was cancelled or timed out must not arrive when its peer is back: closing such a
 * connection forgets what it has not sent. */
static int on_opened(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
	struct linger forget = { .l_onoff = 1 };
	struct peerapi_call *r = ctx;

	(void)purpose;
	r->tls.fd = fd;
	return setsockopt(fd, SOL_SOCKET, SO_LINGER, &forget, sizeof(forget)) ? CURL_SOCKOPT_ERROR :
										CURL_SOCKOPT_OK;
}

#define SET(option, value) (failed |= curl_easy_setopt(r->easy, option, value) != CURLE_OK)

static int request_set_options(struct peerapi_call *r, size_t len, uint64_t timeout_ms)
{
	bool failed = false;

	SET(CURLOPT_PRIVATE, r);
	SET(CURLOPT_ERRORBUFFER, r->error);
	SET(CURLOPT_URL, r->url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
	SET(CURLOPT_POSTFIELDS, r->body);
	SET(CURLOPT_HTTPHEADER, r->headers);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, r);
	SET(CURLOPT_SOCKOPTFUNCTION, on_opened);
	SET(CURLOPT_SOCKOPTDATA, r);
	SET(CURLOPT_NOSIGNAL, 1L);
	/* A resolver that hangs is left behind, not waited for. */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_MAXAGE_CONN, MAX_IDLE_SECS);
	SET(CURLOPT_TIMEOUT_MS, clamp_timeout(timeout_ms));
	SET(CURLOPT_CONNECTTIMEOUT_MS, clamp_timeout(timeout_ms));
	return failed ? -ENOMEM : 0;
}

static int request_set_headers(struct peerapi_call *r, const char *type)
{
	char content[128], accept[128];

	snprintf(content, sizeof(content), "Content-Type: %s", type);
	snprintf(accept, sizeof(accept), "Accept: %s", type);
	if (header_add(&r->headers, content) || header_add(&r->headers, accept) ||
	    header_add(&r->headers, "Expect:"))
		return -ENOMEM;
	return 0;
}

static int request_new(struct peerapi_call **out, struct peerapi_client *c,
		       const struct peerapi_post *post)
{
	_cleanup_(request) struct peerapi_call *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->client = c;
	r->easy = curl_easy_init();
	r->body = malloc(post->len + 1);
	if (!r->easy || !r->body)
		return -ENOMEM;
	memcpy(r->body, post->body, post->len);
	if (asprintf(&r->url, "%s%s", post->base, post->path) < 0) {
		r->url = NULL;
		return -ENOMEM;
	}
	if (request_set_headers(r, post->type) ||
	    request_set_options(r, post->len, post->timeout_ms))
		return -ENOMEM;
	if (post->source && set_source(r->easy, post->source))
		return -ENOMEM;
	if (c->tls && post->node && !strncasecmp(post->base, "https:", 6) &&
	    call_tls_set(&r->tls, r->easy, &c->conns, tls_now(c->tls), post->node))
		return -ENOMEM;
	*out = TAKE_PTR(r);
	return 0;
}

int peerapi_client_send(struct peerapi_client *c, const struct peerapi_post *post,
			peerapi_done done, void *ctx, struct peerapi_call **call)
{
	_cleanup_(request) struct peerapi_call *r = NULL;
	int err;

	err = request_new(&r, c, post);
	if (err)
		return err;
	r->done = done;
	r->ctx = ctx;
	if (curl_multi_add_handle(c->multi, r->easy))
		return -ENOMEM;
	r->next = c->requests;
	if (r->next)
		r->next->prev = r;
	c->requests = *call = r;
	TAKE_PTR(r);
	return 0;
}

int peerapi_client_errno(const struct peerapi_call *call)
{
	long err = 0;

	curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &err);
	return (int)err;
}

void peerapi_client_cancel(struct peerapi_call *call)
{
	curl_multi_remove_handle(call->client->multi, call->easy);
	request_unlink(call);
	request_free(call);
}

char *peerapi_client_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0), *copy = escaped ? strdup(escaped) : NULL;

	curl_free(escaped);
	return copy;
}

void peerapi_client_set_conns(struct peerapi_client *c, unsigned n)
{
	curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)n);
}

void peerapi_client_set_tls(struct peerapi_client *c, const struct tls *tls)
{
	c->tls = tls;
}

int peerapi_client_new(struct peerapi_client **out, uv_loop_t *loop)
{
	struct peerapi_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	/* Counted by libcurl; never undone, as a resolver's thread may still run. */
	if (curl_global_init(CURL_GLOBAL_DEFAULT) || !(c->multi = curl_multi_init())) {
		free(c);
		return -ENOMEM;
	}
	c->loop = loop;
	uv_timer_init(loop, &c->timer);
	c->timer.data = c;
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, MAX_IDLE_CONNS);
	peerapi_client_set_conns(c, PEERAPI_CLIENT_CONNS);
	*out = c;
	return 0;
}

static void client_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void peerapi_client_free(struct peerapi_client *c)
{
	if (!c)
		return;
	c->closing = true;
	while (c->requests)
		peerapi_client_cancel(c->requests);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, NULL);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, NULL);
	while (c->watches)
		watch_close(c->watches);
	curl_multi_cleanup(c->multi);
	tls_conns_clear(&c->conns);
	uv_close((uv_handle_t *)&c->timer, client_closed);
}
