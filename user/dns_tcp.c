/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_tcp: clients over TCP (RFC 7766): pipelined questions, answers in any order.
 *
 * Bounded: so many connections in all, the longest idle one making room for a new one; so many
 * questions of one connection under way, further ones staying in its socket; a client that does
 * not read its answers is closed when they no longer fit its buffer.
 *
 * A connection over which a zone is transferred is dns_relay.c's from then on.
 */
#include "dns_proxy_int.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#define ACCEPT_BATCH    16
#define ACCEPT_PAUSE_MS 500
#define BACKLOG         256

static void conn_ready(uv_poll_t *handle, int status, int events);

static void conn_closed(uv_handle_t *handle)
{
	struct dns_conn *c = handle->data;
	struct dns_proxy *p = c->proxy;

	free(c);
	dns_proxy_unref(p);
}

static void conn_close(struct dns_conn *c)
{
	struct dns_proxy *p = c->proxy;

	while (c->waiters)
		dns_waiter_drop(c->waiters);
	dns_relay_close(c);
	dns_job_cancel(p, &c->job);
	DL_DELETE(p->conns, c);
	p->n_conns--;
	dns_stream_close(&c->stream, conn_closed);
}

static void conn_break(struct dns_conn *c)
{
	c->broken = true;
	dns_job_queue(c->proxy, &c->job);
}

static void conn_touch(struct dns_conn *c)
{
	c->active = dns_now(c->proxy);
	DL_DELETE(c->proxy->conns, c);
	DL_APPEND(c->proxy->conns, c);
}

/* Whether there is more before it than what it asks next. */
static bool conn_full(const struct dns_conn *c)
{
	if (c->relay)
		return dns_stream_unread(&c->stream);
	return c->in_flight >= DNS_CONN_FLIGHT || (c->transfer && c->in_flight) ||
	       dns_stream_pending(&c->stream);
}

static void conn_deliver(struct dns_conn *c)
{
	const uint8_t *msg;
	size_t len;

	while (!c->broken && !conn_full(c) && dns_stream_next(&c->stream, &msg, &len)) {
		struct dns_waiter from = { .conn = c };

		conn_touch(c);
		if (dns_relay_wanted(c, msg, len)) {
			dns_stream_return(&c->stream, len);
			/* What was asked before is answered first. */
			c->transfer = true;
			if (!c->in_flight && dns_relay_open(c))
				conn_break(c);
			return;
		}
		if (len >= 2)
			memcpy(from.peer.id, msg, 2);
		/* Nobody who speaks DNS sends this: the rest of his bytes mean nothing either. */
		if (dns_query_take(c->proxy, &from, msg, len))
			conn_break(c);
	}
}

/* Writes what is queued, goes on with what was read, and waits for what is due next. */
static void conn_job(struct dns_job *job)
{
	struct dns_conn *c = container_of(job, struct dns_conn, job);
	int events = 0;

	if (!c->broken && dns_stream_write(&c->stream))
		c->broken = true;
	if (!c->relay)
		conn_deliver(c);
	if (c->relay)
		conn_touch(c);
	if (c->relay && !c->broken && dns_relay_run(c))
		c->broken = true;
	if (c->broken || (c->eof && !c->in_flight && !c->relay && !dns_stream_pending(&c->stream) &&
			  !c->job.queued)) {
		conn_close(c);
		return;
	}
	if (dns_stream_pending(&c->stream))
		events |= UV_WRITABLE;
	if (!c->eof && !conn_full(c))
		events |= UV_READABLE;
	dns_stream_poll(&c->stream, events, conn_ready);
}

static void conn_ready(uv_poll_t *handle, int status, int events)
{
	struct dns_conn *c = handle->data;

	if (status < 0)
		c->broken = true;
	if (events & UV_WRITABLE)
		conn_touch(c);
	if (!c->broken && (events & UV_READABLE)) {
		ssize_t n = dns_stream_read(&c->stream);

		if (!n)
			c->eof = true;
		else if (n < 0 && n != -EAGAIN)
			c->broken = true;
	}
	dns_job_queue(c->proxy, &c->job);
}

void dns_tcp_reply(const struct dns_waiter *w, const uint8_t *msg, size_t len)
{
	struct dns_conn *c = w->conn;

	if (c->broken)
		return;
	if (dns_stream_put(&c->stream, w->peer.id, msg, len) &&
	    (dns_stream_write(&c->stream) || dns_stream_put(&c->stream, w->peer.id, msg, len))) {
		c->proxy->stats.overload++;
		c->broken = true;
	}
	conn_touch(c);
	dns_job_queue(c->proxy, &c->job);
}

static bool conn_evict(struct dns_proxy *p)
{
	struct dns_conn *c;

	DL_FOREACH (p->conns, c)
		if (!c->in_flight && !c->relay && !dns_stream_pending(&c->stream)) {
			conn_close(c);
			return true;
		}
	return false;
}

static void conn_open(struct dns_listener *l, int fd_given)
{
	struct dns_proxy *p = l->proxy;
	_cleanup_close_ int fd = fd_given;
	struct dns_conn *c;
	int on = 1;

	if (p->n_conns >= DNS_CONNS && !conn_evict(p)) {
		p->stats.overload++;
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c = malloc(sizeof(*c));
	if (!c)
		return;
	memset(c, 0, offsetof(struct dns_conn, stream));
	if ((l->intercepts && !dns_mirror_accepted(c, fd)) ||
	    dns_stream_open(&c->stream, p->loop, fd, c)) {
		free(c);
		return;
	}
	TAKE_FD(fd);
	c->proxy = p;
	c->job.run = conn_job;
	c->active = dns_now(p);
	DL_APPEND(p->conns, c);
	p->n_conns++;
	dns_proxy_ref(p);
	dns_stream_poll(&c->stream, UV_READABLE, conn_ready);
	dns_wake_at(p, c->active + DNS_IDLE_MS);
}

static void tcp_acceptable(uv_poll_t *handle, int status, int events)
{
	struct dns_listener *l = container_of(handle, struct dns_listener, tcp_poll);
	struct dns_proxy *p = l->proxy;

	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int fd = accept4(l->tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			conn_open(l, fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			   errno == ENOMEM) {
			/* The socket stays readable: without a pause this would spin. */
			conn_evict(p);
			uv_poll_stop(handle);
			p->accept_at = dns_now(p) + ACCEPT_PAUSE_MS;
			dns_wake_at(p, p->accept_at);
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return;
		}
	}
}

void dns_tcp_expire(struct dns_proxy *p)
{
	struct dns_conn *c, *next;
	uint64_t now = dns_now(p);

	if (p->accept_at && p->accept_at <= now) {
		p->accept_at = 0;
		for (struct dns_listener *l = p->listeners; l; l = l->next)
			if (l->tcp >= 0)
				uv_poll_start(&l->tcp_poll, UV_READABLE, tcp_acceptable);
	} else if (p->accept_at) {
		dns_wake_at(p, p->accept_at);
	}
	DL_FOREACH_SAFE (p->conns, c, next) {
		if (c->active + DNS_IDLE_MS > now)
			break;
		if (c->in_flight && !dns_stream_pending(&c->stream))
			conn_touch(c); /* it waits for us */
		else
			conn_close(c);
	}
	if (p->conns)
		dns_wake_at(p, p->conns->active + DNS_IDLE_MS);
}

void dns_tcp_drop_all(struct dns_proxy *p)
{
	while (p->conns)
		conn_close(p->conns);
}

static int tcp_socket(const struct dns_listener *l)
{
	const struct sockaddr *sa = (const struct sockaddr *)&l->addr;
	_cleanup_close_ int fd = -1;
	int on = 1, mark = C25_MARK_ANSWER;

	fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if ((l->intercepts && (setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof(on)) ||
			       setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)))) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    (sa->sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))) ||
	    bind(fd, sa, sock_len(sa)) || listen(fd, BACKLOG))
		return -errno;
	return TAKE_FD(fd);
}

int dns_tcp_open(struct dns_listener *l)
{
	int err;

	l->tcp = tcp_socket(l);
	if (l->tcp < 0)
		return l->tcp;
	err = uv_poll_init(l->proxy->loop, &l->tcp_poll, l->tcp);
	if (err) {
		close(l->tcp);
		l->tcp = -1;
		return err;
	}
	dns_proxy_ref(l->proxy);
	l->tcp_poll.data = l->proxy;
	uv_poll_start(&l->tcp_poll, UV_READABLE, tcp_acceptable);
	return 0;
}

void dns_tcp_close(struct dns_listener *l)
{
	if (l->tcp < 0)
		return;
	uv_close((uv_handle_t *)&l->tcp_poll, dns_handle_closed);
	close(l->tcp);
	l->tcp = -1;
}
