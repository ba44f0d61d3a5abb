/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control: the daemon's control socket: HTTP over a Unix socket of mode 0600, in the one loop.
 *
 * Serves what its ops return and knows nothing of it; control_get() and control_follow() are the
 * other end.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "cleanup.h"
#include "events.h"

#include <stddef.h>
#include <uv.h>

struct control;

#define CONTROL_BEAT_MS 5000 /* a stream has at least an empty line this often */

struct control_ops {
	/*
	 * JSON of GET /conn25/state, which is long where there are many mappings: the loop gathers
	 * what it alone knows (NULL: out of memory), and another thread reads and prints the rest;
	 * that frees the job. Malloc'ed, NULL: out of memory.
	 */
	void *(*state_open)(void *ctx);
	char *(*state_print)(void *job);
	/* Text of GET /conn25/explain?q=SUBJECT. */
	char *(*explain)(void *ctx, const char *subject);
};

/*
 * Listens on `path`, whose directory is made. A socket nobody answers on is replaced; where a
 * daemon answers: -EADDRINUSE. GET /conn25/monitor is a stream of `events`, which must outlive it.
 * Logs what failed.
 */
int control_new(struct control **out, uv_loop_t *loop, const char *path,
		const struct control_ops *ops, struct events *events, void *ctx);
/* Removes the socket. The loop must run until it is idle afterwards. */
void control_free(struct control *c);
DEFINE_CLEANUP(control, struct control *, control_free)

/* GET `what` from the daemon at `path`: 0 and an owned text, or a negative errno after one line
 * on stderr that says what to do. */
int control_get(char **out, const char *path, const char *what);

/*
 * GET `what`, a stream of lines: `line` is called with each, without its end and changeable, also
 * with the empty ones that only say that the daemon is there, until it returns non-zero, which is
 * then the result. Ends with -EPIPE where the daemon ended, and as
 * control_get() does.
 */
int control_follow(const char *path, const char *what, int (*line)(void *ctx, char *text),
		   void *ctx);

#endif
