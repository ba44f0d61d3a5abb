/* SPDX-License-Identifier: BSD-3-Clause */
#include "web.h"

#include "http_loop.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <utlist.h>

#define STREAM_BLOCK ((size_t)16 * 1024)
#define LONG_ANSWER  ((size_t)256 * 1024)
#define LAST_RUNS    16 /* at the end, for what the streams have left */

/* One request, from its announcement to its end. */
struct ask {
	struct web *web;
	struct MHD_Connection *conn;
	const struct web_route *route;
	struct ask *prev, *next; /* among those who wait for a job, or among the streams */
	bool answered;
	char *text;
	void *reader;
	bool suspended;
};

struct web {
	struct http_loop http; /* first: its end finds the rest from it */
	uv_loop_t *loop;
	struct web_route routes[WEB_MAX_ROUTES];
	size_t n_routes;
	void *ctx;
	uv_work_t work; /* one at a time */
	bool working, closing;
	void *job;
	char *text;
	struct ask *waiting; /* for a job's text; the first one's is being made */
	struct ask *streams;
};

static void job_next(struct web *w);

static enum MHD_Result respond(struct MHD_Connection *conn, unsigned status, char *body,
			       const char *type)
{
	struct MHD_Response *r;
	enum MHD_Result result;

	if (!body)
		return MHD_NO;
	r = MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		free(body);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	result = MHD_queue_response(conn, status, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result refuse(struct MHD_Connection *conn, unsigned status, const char *why)
{
	return respond(conn, status, strdup(why), "text/plain; charset=utf-8");
}

/* Jobs. */

/* What a long answer was made of goes back to the system. */
static void job_work(uv_work_t *work)
{
	struct web *w = work->data;

	w->text = w->waiting->route->print(w->job);
	if (w->text && strlen(w->text) >= LONG_ANSWER)
		malloc_trim(0);
}

/* Goes on with the connection: libmicrohttpd asks for its answer once more. */
static void job_answer(struct web *w, char *text)
{
	struct ask *a = w->waiting;

	DL_DELETE(w->waiting, a);
	a->answered = true;
	a->text = text;
	MHD_resume_connection(a->conn);
}

static void on_stopped(struct http_loop *h)
{
	free(h);
}

static void job_done(uv_work_t *work, int status)
{
	struct web *w = work->data;

	(void)status;
	w->working = false;
	job_answer(w, TAKE_PTR(w->text));
	if (w->closing) {
		while (w->waiting)
			job_answer(w, NULL);
		http_loop_stop(&w->http, on_stopped);
		return;
	}
	job_next(w);
	http_loop_run(&w->http);
}

static void job_next(struct web *w)
{
	while (w->waiting && !w->working) {
		w->job = w->waiting->route->open(w->ctx);
		if (!w->job) {
			job_answer(w, NULL);
			continue;
		}
		w->work.data = w;
		w->working = true;
		uv_queue_work(w->loop, &w->work, job_work, job_done);
	}
}

static enum MHD_Result job_ask(struct ask *a)
{
	struct web *w = a->web;

	if (a->answered)
		return respond(a->conn, MHD_HTTP_OK, TAKE_PTR(a->text), a->route->type);
	MHD_suspend_connection(a->conn);
	DL_APPEND(w->waiting, a);
	job_next(w);
	return MHD_YES;
}

/* Streams. */

/* MHD_ContentReaderCallback */
static ssize_t stream_read(void *cls, uint64_t at, char *buf, size_t size)
{
	struct ask *a = cls;
	size_t n = a->route->stream_read(a->reader, buf, size);

	(void)at;
	if (n)
		return (ssize_t)n;
	if (a->web->closing)
		return MHD_CONTENT_READER_END_OF_STREAM;
	a->suspended = true;
	MHD_suspend_connection(a->conn);
	return 0;
}

static enum MHD_Result stream_ask(struct ask *a)
{
	struct web *w = a->web;
	struct MHD_Response *r;
	enum MHD_Result result;

	a->reader = a->route->stream_open(w->ctx);
	if (!a->reader)
		return refuse(a->conn, MHD_HTTP_SERVICE_UNAVAILABLE, "Too many of these already\n");
	DL_APPEND(w->streams, a);
	/* Who reads slowly may take all the time; the limit of readers is the stream's own. */
	MHD_set_connection_option(a->conn, MHD_CONNECTION_OPTION_TIMEOUT, 0U);
	r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, stream_read, a, NULL);
	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->route->type);
	result = MHD_queue_response(a->conn, MHD_HTTP_OK, r);
	MHD_destroy_response(r);
	return result;
}

static void streams_resume(struct web *w)
{
	struct ask *a;

	DL_FOREACH (w->streams, a) {
		if (!a->suspended)
			continue;
		a->suspended = false;
		MHD_resume_connection(a->conn);
	}
}

void web_wake(struct web *w)
{
	streams_resume(w);
	http_loop_soon(&w->http);
}

/* Requests. */

/* MHD_RequestCompletedCallback */
static void on_completed(void *cls, struct MHD_Connection *conn, void **slot,
			 enum MHD_RequestTerminationCode code)
{
	struct ask *a = *slot;

	(void)cls;
	(void)conn;
	(void)code;
	if (!a)
		return;
	if (a->reader) {
		DL_DELETE(a->web->streams, a);
		a->route->stream_close(a->reader);
	}
	free(a->text);
	free(a);
	*slot = NULL;
}

static const struct web_route *find_route(const struct web *w, const char *path)
{
	for (size_t i = 0; i < w->n_routes; i++)
		if (!strcmp(w->routes[i].path, path))
			return &w->routes[i];
	return NULL;
}

static enum MHD_Result text_ask(const struct ask *a)
{
	const char *q = MHD_lookup_connection_value(a->conn, MHD_GET_ARGUMENT_KIND, "q");
	unsigned status = MHD_HTTP_OK;
	char *text = a->route->text(a->web->ctx, q ? q : "", &status);

	return respond(a->conn, status, text, a->route->type);
}

/* MHD_AccessHandlerCallback */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *path,
				  const char *method, const char *version, const char *data,
				  size_t *len, void **slot)
{
	struct web *w = cls;
	struct ask *a = *slot;

	(void)version;
	(void)data;
	/* The first call only announces the request: an answer then would close the connection. */
	if (!a) {
		a = calloc(1, sizeof(*a));
		if (!a)
			return MHD_NO;
		a->web = w;
		a->conn = conn;
		*slot = a;
		return MHD_YES;
	}
	if (*len) {
		*len = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(conn, MHD_HTTP_METHOD_NOT_ALLOWED, "Method should be GET\n");
	if (!a->route)
		a->route = find_route(w, path);
	if (!a->route)
		return refuse(conn, MHD_HTTP_NOT_FOUND, "Not found\n");
	if (a->route->text)
		return text_ask(a);
	return a->route->open ? job_ask(a) : stream_ask(a);
}

int web_new(struct web **out, uv_loop_t *loop, int fd, const struct web_route *routes,
	    size_t n_routes, const struct web_limits *limits, void *ctx)
{
	_cleanup_free_ struct web *w = calloc(1, sizeof(*w));
	struct MHD_Daemon *mhd = NULL;
	int err;

	if (w && n_routes <= WEB_MAX_ROUTES)
		mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
				       on_request, w, MHD_OPTION_LISTEN_SOCKET, fd,
				       MHD_OPTION_CONNECTION_LIMIT, limits->connections,
				       MHD_OPTION_PER_IP_CONNECTION_LIMIT,
				       limits->connections_of_ip, MHD_OPTION_CONNECTION_TIMEOUT,
				       limits->idle_s, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
				       NULL, MHD_OPTION_END);
	if (!mhd) {
		close(fd);
		return -ENOMEM;
	}
	w->loop = loop;
	memcpy(w->routes, routes, n_routes * sizeof(*routes));
	w->n_routes = n_routes;
	w->ctx = ctx;
	err = http_loop_start(&w->http, loop, mhd);
	if (err)
		return err;
	*out = TAKE_PTR(w);
	return 0;
}

/* No connection may be stopped while it is suspended: streams are told of their end, and the
 * thread comes to its own first. */
void web_free(struct web *w)
{
	if (!w)
		return;
	w->closing = true;
	for (int i = 0; w->streams && i < LAST_RUNS; i++) {
		streams_resume(w);
		MHD_run(w->http.mhd);
	}
	uv_poll_stop(&w->http.poll);
	uv_timer_stop(&w->http.again);
	if (!w->working)
		http_loop_stop(&w->http, on_stopped);
}
