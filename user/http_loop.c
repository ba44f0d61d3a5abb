/* SPDX-License-Identifier: BSD-3-Clause */
#include "http_loop.h"

#include "addr.h"
#include "cleanup.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>

#define BACKLOG 1024

static void on_again(uv_timer_t *timer)
{
	http_loop_run(timer->data);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	http_loop_run(poll->data);
}

void http_loop_run(struct http_loop *h)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(h->mhd);
	if (MHD_get_timeout(h->mhd, &ms) == MHD_YES)
		uv_timer_start(&h->again, on_again, ms, 0);
	else
		uv_timer_stop(&h->again);
}

void http_loop_soon(struct http_loop *h)
{
	uv_timer_start(&h->again, on_again, 0, 0);
}

int http_loop_start(struct http_loop *h, uv_loop_t *loop, struct MHD_Daemon *mhd)
{
	/* The daemon's own epoll descriptor is readable when it has something to do. */
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(mhd, MHD_DAEMON_INFO_EPOLL_FD);
	int err = uv_poll_init(loop, &h->poll, info->epoll_fd);

	if (err) {
		MHD_stop_daemon(mhd);
		return err;
	}
	h->mhd = mhd;
	uv_timer_init(loop, &h->again);
	h->poll.data = h;
	h->again.data = h;
	uv_poll_start(&h->poll, UV_READABLE, on_ready);
	return 0;
}

static void handle_closed(uv_handle_t *handle)
{
	struct http_loop *h = handle->data;

	if (!--h->open)
		h->stopped(h);
}

void http_loop_stop(struct http_loop *h, void (*stopped)(struct http_loop *h))
{
	h->stopped = stopped;
	h->open = 2;
	/* Out of the loop's epoll before the daemon closes the descriptor. */
	uv_close((uv_handle_t *)&h->poll, handle_closed);
	MHD_stop_daemon(h->mhd);
	uv_close((uv_handle_t *)&h->again, handle_closed);
}

int http_loop_listen(const struct sockaddr *sa)
{
	_cleanup_close_ int fd =
		socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	const int on = 1, off = 0;
	bool is4 = sa->sa_family == AF_INET;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    setsockopt(fd, is4 ? IPPROTO_IP : IPPROTO_IPV6, is4 ? IP_FREEBIND : IPV6_FREEBIND, &on,
		       sizeof(on)) ||
	    (!is4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off))) ||
	    bind(fd, sa, sock_len(sa)) || listen(fd, BACKLOG))
		return -errno;
	return TAKE_FD(fd);
}
