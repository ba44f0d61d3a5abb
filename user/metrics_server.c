/* SPDX-License-Identifier: BSD-3-Clause */
#include "metrics_server.h"

#include "addr.h"
#include "http_loop.h"
#include "log.h"
#include "web.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PLAIN "text/plain; charset=utf-8"

struct metrics_server {
	const struct metrics_server_ops *ops;
	void *ctx;
	struct web *web;
};

static void *metrics_open(void *ctx)
{
	struct metrics_server *s = ctx;

	return s->ops->open(s->ctx);
}

static char *healthz(void *ctx, const char *q, unsigned *status)
{
	return strdup("ok\n");
}

static char *readyz(void *ctx, const char *q, unsigned *status)
{
	const struct metrics_server *s = ctx;
	const char *missing = s->ops->unready(s->ctx);
	char *text = NULL;

	if (!missing)
		return strdup("ok\n");
	*status = MHD_HTTP_SERVICE_UNAVAILABLE;
	return asprintf(&text, "%s\n", missing) < 0 ? NULL : text;
}

int metrics_server_new(struct metrics_server **out, uv_loop_t *loop, const struct sockaddr *sa,
		       const struct metrics_server_ops *ops, void *ctx)
{
	static const struct web_limits limits = {
		.connections = 64,
		.connections_of_ip = 32,
		.idle_s = 30,
	};
	const struct web_route routes[] = {
		{
			.path = "/metrics",
			.type = "text/plain; version=0.0.4; charset=utf-8",
			.open = metrics_open,
			.print = ops->print,
		},
		{ .path = "/healthz", .type = PLAIN, .text = healthz },
		{ .path = "/readyz", .type = PLAIN, .text = readyz },
	};
	_cleanup_free_ struct metrics_server *s = calloc(1, sizeof(*s));
	char text[SOCK_STRLEN];
	int fd, err;

	if (!s)
		return log_errno(ENOMEM, "serve metrics");
	s->ops = ops;
	s->ctx = ctx;
	fd = http_loop_listen(sa);
	err = fd < 0 ? fd : web_new(&s->web, loop, fd, routes, ARRAY_SIZE(routes), &limits, s);
	if (err)
		return log_errno(-err, "listen for scrapes on %s (--metrics-listen)",
				 sock_print(text, sa));
	log_info("metrics on %s", sock_print(text, sa));
	*out = TAKE_PTR(s);
	return 0;
}

void metrics_server_free(struct metrics_server *s)
{
	if (!s)
		return;
	web_free(s->web);
	free(s);
}
