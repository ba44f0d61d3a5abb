/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MAX_CONNECTIONS 32
#define IDLE_S          10U

/* One request, from its announcement to its end. */
struct ask {
	struct MHD_Connection *conn;
	struct ask *next; /* waits for the state */
	bool answered;
	char *text;
};

struct control {
	uv_loop_t *loop;
	uv_work_t work; /* one at a time */
	bool working, closing;
	void *job;
	char *text;
	struct ask *first, **last; /* those who wait for the state; the first is being answered */
	const struct control_ops *ops;
	void *ctx;
	struct MHD_Daemon *mhd;
	uv_poll_t poll;
	uv_timer_t timer; /* libmicrohttpd's own time limits */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

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
	result = MHD_queue_response(conn, status, r);
	MHD_destroy_response(r);
	return result;
}

static void run(struct control *c);
static void close_handles(struct control *c);
static void state_next(struct control *c);

static void state_work(uv_work_t *w)
{
	struct control *c = w->data;

	c->text = c->ops->state_print(c->job);
}

/* Goes on with the connection: libmicrohttpd asks for its answer once more. */
static void state_answer(struct control *c, char *text)
{
	struct ask *a = c->first;

	c->first = a->next;
	if (!c->first)
		c->last = &c->first;
	a->answered = true;
	a->text = text;
	MHD_resume_connection(a->conn);
}

static void state_done(uv_work_t *w, int status)
{
	struct control *c = w->data;

	(void)status;
	c->working = false;
	state_answer(c, TAKE_PTR(c->text));
	if (c->closing) {
		while (c->first)
			state_answer(c, NULL);
		close_handles(c);
		return;
	}
	state_next(c);
	run(c);
}

static void state_next(struct control *c)
{
	while (c->first && !c->working) {
		c->job = c->ops->state_open(c->ctx);
		if (!c->job) {
			state_answer(c, NULL);
			continue;
		}
		c->work.data = c;
		c->working = true;
		uv_queue_work(c->loop, &c->work, state_work, state_done);
	}
}

static enum MHD_Result state_ask(struct control *c, struct ask *a)
{
	if (a->answered)
		return respond(a->conn, MHD_HTTP_OK, TAKE_PTR(a->text), "application/json");
	MHD_suspend_connection(a->conn);
	*c->last = a;
	c->last = &a->next;
	state_next(c);
	return MHD_YES;
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **slot,
			 enum MHD_RequestTerminationCode code)
{
	struct ask *a = *slot;

	(void)cls;
	(void)conn;
	(void)code;
	if (a)
		free(a->text);
	free(a);
	*slot = NULL;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *len, void **slot)
{
	struct control *c = cls;
	struct ask *a = *slot;
	const char *subject;

	(void)version;
	(void)data;
	/* The first call only announces the request: an answer then would close the connection. */
	if (!a) {
		a = calloc(1, sizeof(*a));
		if (!a)
			return MHD_NO;
		a->conn = conn;
		*slot = a;
		return MHD_YES;
	}
	if (*len) {
		*len = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0)
		return respond(conn, MHD_HTTP_METHOD_NOT_ALLOWED, strdup("Method should be GET\n"),
			       "text/plain");
	if (!strcmp(url, "/conn25/state"))
		return state_ask(c, a);
	if (!strcmp(url, "/conn25/explain")) {
		subject = MHD_lookup_connection_value(conn, MHD_GET_ARGUMENT_KIND, "q");
		return respond(conn, MHD_HTTP_OK, c->ops->explain(c->ctx, subject ? subject : ""),
			       "text/plain; charset=utf-8");
	}
	return respond(conn, MHD_HTTP_NOT_FOUND, strdup("Not found\n"), "text/plain");
}

static void on_timer(uv_timer_t *t)
{
	run(t->data);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
	(void)status;
	(void)events;
	run(p->data);
}

static void run(struct control *c)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(c->mhd);
	if (MHD_get_timeout(c->mhd, &ms) == MHD_YES)
		uv_timer_start(&c->timer, on_timer, ms, 0);
	else
		uv_timer_stop(&c->timer);
}

static void make_parent(const char *path)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return;
	*slash = 0;
	mkdir(dir, 0755); /* bind() says what is wrong otherwise */
}

/* 0 where nothing is in the way any more. */
static int clear_stale(const struct sockaddr_un *sa)
{
	/* One that is too busy to be reached at once answers all the same. */
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (lstat(sa->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (!connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) || errno == EAGAIN)
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(sa->sun_path) ? -errno : 0;
}

static int listen_on(int *out, const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	mode_t before;
	int err;

	if (fd < 0)
		return -errno;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	make_parent(path);
	err = clear_stale(&sa);
	if (err)
		return err;
	before = umask(0177);
	err = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) ? -errno : 0;
	umask(before);
	if (err)
		return err;
	if (listen(fd, MAX_CONNECTIONS))
		return -errno;
	*out = TAKE_FD(fd);
	return 0;
}

static int start(struct control *c, uv_loop_t *loop, int fd)
{
	const union MHD_DaemonInfo *info;
	int err;

	c->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
				  on_request, c, MHD_OPTION_LISTEN_SOCKET, fd,
				  MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
				  MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
				  MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
	if (!c->mhd) {
		close(fd);
		return -ENOMEM;
	}
	info = MHD_get_daemon_info(c->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	err = uv_poll_init(loop, &c->poll, info->epoll_fd);
	if (err) {
		MHD_stop_daemon(c->mhd);
		return err;
	}
	uv_timer_init(loop, &c->timer);
	c->timer.data = c;
	c->poll.data = c;
	uv_poll_start(&c->poll, UV_READABLE, on_poll);
	return 0;
}

int control_new(struct control **out, uv_loop_t *loop, const char *path,
		const struct control_ops *ops, void *ctx)
{
	_cleanup_free_ struct control *c = calloc(1, sizeof(*c));
	int err, fd = -1;

	if (!c)
		return log_errno(ENOMEM, "open the control socket");
	if (strlen(path) >= sizeof(c->path))
		return log_errno(ENAMETOOLONG, "--control %s", path);
	c->loop = loop;
	c->last = &c->first;
	c->ops = ops;
	c->ctx = ctx;
	snprintf(c->path, sizeof(c->path), "%s", path);
	err = listen_on(&fd, path);
	if (err == -EADDRINUSE) {
		log_error("another conn25 runs: the control socket %s answers", path);
		return err;
	}
	if (!err) {
		err = start(c, loop, fd);
		if (err)
			unlink(path);
	}
	if (err)
		return log_errno(-err, "open the control socket %s (--control)", path);
	*out = TAKE_PTR(c);
	return 0;
}

static void timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void poll_closed(uv_handle_t *h)
{
	struct control *c = h->data;

	MHD_stop_daemon(c->mhd);
	uv_close((uv_handle_t *)&c->timer, timer_closed);
}

static void close_handles(struct control *c)
{
	uv_close((uv_handle_t *)&c->poll, poll_closed);
}

/* No connection may be stopped while it is suspended: the thread comes to its end first. */
void control_free(struct control *c)
{
	unlink(c->path);
	uv_timer_stop(&c->timer);
	uv_poll_stop(&c->poll);
	c->closing = true;
	if (!c->working)
		close_handles(c);
}
