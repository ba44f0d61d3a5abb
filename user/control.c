/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include "log.h"
#include "web.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MAX_CONNECTIONS 32
_Static_assert(EVENTS_READERS < MAX_CONNECTIONS, "monitors leave room for others");

struct control {
	const struct control_ops *ops;
	struct events *events;
	void *ctx;
	struct web *web;
	uv_timer_t beat;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static void *state_open(void *ctx)
{
	struct control *c = ctx;

	return c->ops->state_open(c->ctx);
}

static char *explain(void *ctx, const char *q, unsigned *status)
{
	struct control *c = ctx;

	(void)status;
	return c->ops->explain(c->ctx, q);
}

static void *monitor_open(void *ctx)
{
	struct control *c = ctx;

	return events_open(c->events);
}

static void on_news(void *ctx)
{
	struct control *c = ctx;

	web_wake(c->web);
}

static void on_beat(uv_timer_t *t)
{
	struct control *c = t->data;

	events_beat(c->events);
}

static int make_parent(const char *path)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = 0;
	return mkdir(dir, 0755) && errno != EEXIST ? -errno : 0;
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
	err = make_parent(path);
	if (!err)
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
	static const struct web_limits limits = { .connections = MAX_CONNECTIONS, .idle_s = 10 };
	const struct web_route routes[] = {
		{
			.path = "/conn25/state",
			.type = "application/json",
			.open = state_open,
			.print = c->ops->state_print,
		},
		{
			.path = "/conn25/explain",
			.type = "text/plain; charset=utf-8",
			.text = explain,
		},
		{
			.path = "/conn25/monitor",
			.type = "application/x-ndjson",
			.stream_open = monitor_open,
			.stream_read = events_read,
			.stream_close = events_close,
		},
	};
	int err = web_new(&c->web, loop, fd, routes, ARRAY_SIZE(routes), &limits, c);

	if (err)
		return err;
	uv_timer_init(loop, &c->beat);
	c->beat.data = c;
	uv_timer_start(&c->beat, on_beat, CONTROL_BEAT_MS, CONTROL_BEAT_MS);
	events_on_news(c->events, on_news, c);
	return 0;
}

int control_new(struct control **out, uv_loop_t *loop, const char *path,
		const struct control_ops *ops, struct events *events, void *ctx)
{
	_cleanup_free_ struct control *c = calloc(1, sizeof(*c));
	int err, fd = -1;

	if (!c)
		return log_errno(ENOMEM, "open the control socket");
	if (strlen(path) >= sizeof(c->path))
		return log_errno(ENAMETOOLONG, "--control %s", path);
	c->ops = ops;
	c->events = events;
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
	if (err == -EACCES || err == -EPERM)
		log_error("open the control socket %s (--control): %s; run as root", path,
			  strerror(-err));
	else if (err)
		log_errno(-err, "open the control socket %s (--control)", path);
	if (err)
		return err;
	*out = TAKE_PTR(c);
	return 0;
}

static void beat_closed(uv_handle_t *h)
{
	free(h->data);
}

void control_free(struct control *c)
{
	unlink(c->path);
	events_on_news(c->events, NULL, NULL);
	web_free(c->web);
	uv_close((uv_handle_t *)&c->beat, beat_closed);
}
