/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * web: a small HTTP server inside the one loop, of what is there to be read: the control socket's
 * and the metrics'.
 *
 * A route answers GET and HEAD by a text made at once, by a text that another thread makes while
 * the loop goes on, or by a stream of lines without an end. Knows nothing of what they say.
 */
#ifndef WEB_H
#define WEB_H

#include "cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <uv.h>

struct web;

#define WEB_MAX_ROUTES 8

struct web_route {
	const char *path;
	const char *type; /* Content-Type */

	/* Malloc'ed text, NULL: out of memory. `q`: the query's argument of that name, or "".
	 * *status is 200 before. */
	char *(*text)(void *ctx, const char *q, unsigned *status);

	/*
	 * Or: the loop gathers what it alone knows (NULL: out of memory), and another thread, one
	 * at a time, makes the text of it and frees the job.
	 */
	void *(*open)(void *ctx);
	char *(*print)(void *job);

	/* Or: one who reads a stream (NULL: one too many, status 503). Reading gives the bytes put
	 * into `buf`, 0: none until web_wake(). */
	void *(*stream_open)(void *ctx);
	size_t (*stream_read)(void *reader, char *buf, size_t size);
	void (*stream_close)(void *reader);
};

struct web_limits {
	unsigned connections;
	unsigned connections_of_ip; /* 0: no such limit */
	unsigned idle_s;            /* without a byte either way; a stream has no such limit */
};

/*
 * Serves on the listening socket `fd`, which is the server's in any case. `ctx` must live until
 * web_free(); what a route's job and reader use, until the loop is idle. 0 or a negative errno.
 */
int web_new(struct web **out, uv_loop_t *loop, int fd, const struct web_route *routes,
	    size_t n_routes, const struct web_limits *limits, void *ctx);
/* Streams end, of what can still be sent of them. The loop must run until it is idle afterwards. */
void web_free(struct web *w);
DEFINE_CLEANUP(web, struct web *, web_free)

/* There is something to read in the streams. */
void web_wake(struct web *w);

#endif
