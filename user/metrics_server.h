/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * metrics_server: --metrics-listen: /metrics, /healthz and /readyz over HTTP, in the one loop.
 *
 * /healthz is answered by the loop, which is all that it says. Knows no metric.
 */
#ifndef METRICS_SERVER_H
#define METRICS_SERVER_H

#include "cleanup.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <uv.h>

struct metrics_server;

struct metrics_server_ops {
	/* As web_route's: the loop gathers, another thread prints. */
	void *(*open)(void *ctx);
	char *(*print)(void *job);
	/* NULL: listeners are bound and programs attached; else what is missing, a constant. */
	const char *(*unready)(void *ctx);
};

/* Logs what failed. */
int metrics_server_new(struct metrics_server **out, uv_loop_t *loop, const struct sockaddr *sa,
		       const struct metrics_server_ops *ops, void *ctx);
/* The loop must run until it is idle afterwards. */
void metrics_server_free(struct metrics_server *s);
DEFINE_CLEANUP(metrics_server, struct metrics_server *, metrics_server_free)

#endif
