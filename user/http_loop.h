/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * http_loop: one libmicrohttpd daemon inside the one libuv loop, and the sockets it listens on.
 *
 * Knows nothing of requests. The daemon is one of MHD_USE_EPOLL; what it does not see to by
 * itself in a loop that is not its own is done here.
 */
#ifndef HTTP_LOOP_H
#define HTTP_LOOP_H

#include <microhttpd.h>
#include <sys/socket.h>
#include <uv.h>

/* Embedded in the caller's own struct; its memory must last until `stopped`. */
struct http_loop {
	struct MHD_Daemon *mhd;
	uv_poll_t poll;
	uv_timer_t again; /* the daemon has work left that no descriptor tells of */
	unsigned open;    /* handles */
	void (*stopped)(struct http_loop *h);
};

/* The daemon is the loop's from here on. 0, or a negative errno and it was stopped. */
int http_loop_start(struct http_loop *h, uv_loop_t *loop, struct MHD_Daemon *mhd);

/* Let the daemon do what it can. Not from within one of its callbacks. */
void http_loop_run(struct http_loop *h);
/* The same in the loop's next turn, from anywhere: after MHD_resume_connection(). */
void http_loop_soon(struct http_loop *h);

/* Connections end at once; none may be suspended. `stopped` is called when the loop has closed
 * the handles, in its next turn. */
void http_loop_stop(struct http_loop *h, void (*stopped)(struct http_loop *h));

/* A listening socket on this address, also on one that is not up yet; "[::]" takes IPv4 as well.
 * Its descriptor, or a negative errno. */
int http_loop_listen(const struct sockaddr *sa);

#endif
