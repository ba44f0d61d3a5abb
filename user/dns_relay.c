/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_relay: zone transfers over intercepted connections (RFC 5936, RFC 1995). Their answers are as
 * many messages as it takes, so from such a question on a connection's bytes go to the server it
 * was made to, and back, unread.
 */
#include "dns_proxy_int.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define DNS_PORT      53
#define DNS_TYPE_IXFR 251
#define DNS_TYPE_AXFR 252

struct dns_relay {
	uv_poll_t poll;
	struct dns_proxy *proxy;
	struct dns_conn *conn;
	int fd;
	int events;
	bool connected;
	bool told; /* that the client sends no more */
	bool eof;
};

bool dns_relay_wanted(const struct dns_conn *c, const uint8_t *msg, size_t len)
{
	struct dns_question q;

	if (addr_is_zero(&c->local) || dns_question_parse(&q, msg, len) ||
	    (q.type != DNS_TYPE_IXFR && q.type != DNS_TYPE_AXFR))
		return false;
	return q.class_ != DNS_CLASS_IN ||
	       c->proxy->ops->match(c->proxy->ctx, &q) == DNS_MATCH_PASS;
}

static void relay_ready(uv_poll_t *handle, int status, int events)
{
	struct dns_relay *r = handle->data;

	(void)events;
	if (status < 0)
		r->conn->broken = true;
	r->connected = true;
	dns_job_queue(r->proxy, &r->conn->job);
}

static void relay_watch(struct dns_relay *r, int events)
{
	if (events == r->events)
		return;
	r->events = events;
	if (events)
		uv_poll_start(&r->poll, events, relay_ready);
	else
		uv_poll_stop(&r->poll);
}

int dns_relay_open(struct dns_conn *c)
{
	struct sockaddr_storage sa = sock_make(&c->local, DNS_PORT);
	struct dns_proxy *p = c->proxy;
	_cleanup_free_ struct dns_relay *r = calloc(1, sizeof(*r));
	_cleanup_close_ int fd = -1;
	int err;

	if (!r)
		return -ENOMEM;
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sock_len((struct sockaddr *)&sa)) &&
	    errno != EINPROGRESS)
		return -errno;
	err = uv_poll_init(p->loop, &r->poll, fd);
	if (err)
		return err;
	dns_proxy_ref(p);
	r->poll.data = r;
	r->proxy = p;
	r->conn = c;
	r->fd = TAKE_FD(fd);
	relay_watch(r, UV_WRITABLE);
	p->stats.queries++;
	p->stats.passed++;
	p->stats.intercepted++;
	c->relay = TAKE_PTR(r);
	return 0;
}

int dns_relay_run(struct dns_conn *c)
{
	struct dns_stream *s = &c->stream;
	struct dns_relay *r = c->relay;
	int events = 0;
	ssize_t n;

	if (!r->connected)
		return 0;
	n = dns_stream_drain(s, r->fd);
	if (!n && c->eof && !r->told) {
		r->told = true;
		n = shutdown(r->fd, SHUT_WR) ? -errno : 0;
	}
	if (n < 0)
		return (int)n;
	if (n > 0)
		events |= UV_WRITABLE;
	if (!r->eof) {
		n = dns_stream_fill(s, r->fd);
		if (n < 0 && n != -EAGAIN)
			return (int)n;
		r->eof = !n;
	}
	n = dns_stream_write(s);
	if (n < 0 || (r->eof && !dns_stream_pending(s)))
		return n < 0 ? (int)n : -EPIPE;
	if (!r->eof && dns_stream_has_room(s))
		events |= UV_READABLE;
	relay_watch(r, events);
	return 0;
}

static void relay_closed(uv_handle_t *handle)
{
	struct dns_relay *r = handle->data;
	struct dns_proxy *p = r->proxy;

	free(r);
	dns_proxy_unref(p);
}

void dns_relay_close(struct dns_conn *c)
{
	if (!c->relay)
		return;
	uv_close((uv_handle_t *)&c->relay->poll, relay_closed);
	close(c->relay->fd);
	c->relay = NULL;
}
