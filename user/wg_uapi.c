/* SPDX-License-Identifier: BSD-3-Clause */
#include "wg_int.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PIECE  (16 * 1024)
#define PIECES 16 /* read in one go */

static const char get_text[] = "get=1\n\n";

/* Never waits: a socket whose queue of callers is full counts as one that does not answer. */
static int socket_open(const char *dev)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	if (strchr(dev, '/'))
		return -EINVAL;
	snprintf(sun.sun_path, sizeof(sun.sun_path), WG_SOCKET_DIR "/%s.sock", dev);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)))
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return TAKE_FD(fd);
}

static int ready_wait(int fd, short events, int64_t end)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		int64_t left = end - wg_now_ms();
		int n = left > 0 ? poll(&p, 1, (int)left) : 0;

		if (n > 0)
			return 0;
		if (!n)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int all_send(int fd, const char *text, size_t len, int64_t end)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
		int err = 0;

		if (n >= 0) {
			text += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			err = ready_wait(fd, POLLOUT, end);
		} else if (errno != EINTR) {
			err = -errno;
		}
		if (err)
			return err;
	}
	return 0;
}

static int each_none(const struct wg_key *peer, const struct prefix *p, void *ctx)
{
	return -EBADMSG;
}

static int result_wait(int fd, int64_t end)
{
	struct wg_text t = { .len = 0 };
	char buf[256];

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		int err = 0;

		if (!n)
			return -ECONNRESET;
		if (n > 0)
			err = wg_text_parse(&t, buf, (size_t)n, each_none, NULL);
		else if (errno == EAGAIN)
			err = ready_wait(fd, POLLIN, end);
		else if (errno != EINTR)
			err = -errno;
		if (err)
			return err > 0 ? t.result : err;
	}
}

int wg_uapi_set(const char *dev, const struct wg_change *v, size_t n, const struct wg_key *nobody)
{
	_cleanup_free_ char *text = wg_text_print(v, n, nobody);
	_cleanup_close_ int fd = -1;
	int64_t end = wg_now_ms() + WG_SET_MS;
	int err;

	if (!text)
		return -ENOMEM;
	fd = socket_open(dev);
	if (fd < 0)
		return fd;
	err = all_send(fd, text, strlen(text), end);
	return err ? err : result_wait(fd, end);
}

struct uapi_get {
	struct wg_get get;
	struct wg_text text;
	char buf[PIECE];
};

static int uapi_read(struct wg_get *get)
{
	struct uapi_get *g = (struct uapi_get *)get;

	for (int i = 0; i < PIECES; i++) {
		ssize_t n = recv(get->fd, g->buf, sizeof(g->buf), 0);
		int err;

		if (!n)
			return -ECONNRESET;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		err = wg_text_parse(&g->text, g->buf, (size_t)n, get->each, get->ctx);
		if (err)
			return err > 0 && g->text.result ? g->text.result : err;
	}
	return 0;
}

static void uapi_free(struct wg_get *get)
{
	struct uapi_get *g = (struct uapi_get *)get;

	close(get->fd);
	explicit_bzero(g->text.line, sizeof(g->text.line));
	explicit_bzero(g->buf, sizeof(g->buf));
	free(g);
}

static const struct wg_get_ops uapi_ops = { uapi_read, uapi_free };

int wg_uapi_get(struct wg_get **out, const char *dev)
{
	_cleanup_close_ int fd = socket_open(dev);
	struct uapi_get *g;
	int err;

	if (fd < 0)
		return fd;
	/* A few bytes fit the socket's buffer. */
	err = all_send(fd, get_text, strlen(get_text), 0);
	if (err)
		return err;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->get.ops = &uapi_ops;
	g->get.fd = TAKE_FD(fd);
	*out = &g->get;
	return 0;
}
