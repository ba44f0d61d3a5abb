/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_uconn: resolvers over TCP. One connection each, questions pipelined and answers taken in
 * any order (RFC 7766, 6.2), closed when nothing has been asked for a while.
 */
#include "dns_proxy_int.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define UCONN_IDLE_MS 5000

static void uconn_ready(uv_poll_t *handle, int status, int events);

static void uconn_closed(uv_handle_t *handle)
{
	struct dns_uconn *c = handle->data;
	struct dns_proxy *p = c->channel.up->proxy;

	free(c);
	dns_proxy_unref(p);
}

/*
 * What was asked on it is asked again; of one that had answered, of the same resolver: it has
 * merely closed its connection, as it may at any time.
 */
static void uconn_end(struct dns_uconn *c)
{
	struct dns_upstream *up = c->channel.up;

	if (up->conn == c)
		up->conn = NULL;
	dns_channel_fail(&c->channel, c->answers ? dns_query_again : dns_query_next);
	dns_job_cancel(up->proxy, &c->job);
	dns_stream_close(&c->stream, uconn_closed);
}

static void uconn_break(struct dns_uconn *c)
{
	struct dns_upstream *up = c->channel.up;

	if (up->conn == c)
		up->conn = NULL;
	c->broken = true;
	dns_job_queue(up->proxy, &c->job);
}

static void uconn_job(struct dns_job *job)
{
	struct dns_uconn *c = container_of(job, struct dns_uconn, job);

	if (!c->broken && c->connected && dns_stream_write(&c->stream))
		c->broken = true;
	if (c->broken) {
		if (!c->answers)
			dns_upstream_failed(c->channel.up);
		uconn_end(c);
		return;
	}
	dns_stream_poll(&c->stream,
			!c->connected || dns_stream_pending(&c->stream) ?
				UV_READABLE | UV_WRITABLE :
				UV_READABLE,
			uconn_ready);
}

static void uconn_read(struct dns_uconn *c)
{
	ssize_t n = dns_stream_read(&c->stream);
	const uint8_t *msg;
	size_t len;

	if (n > 0)
		c->heard = dns_now(c->channel.up->proxy);
	while (dns_stream_next(&c->stream, &msg, &len)) {
		uint64_t before = c->channel.up->proxy->stats.mismatched;

		dns_channel_input(&c->channel, msg, len);
		c->answers += before == c->channel.up->proxy->stats.mismatched;
	}
	if (!n || (n < 0 && n != -EAGAIN))
		uconn_break(c);
}

static void uconn_ready(uv_poll_t *handle, int status, int events)
{
	struct dns_uconn *c = handle->data;

	if (status < 0)
		uconn_break(c);
	if (events & UV_WRITABLE)
		c->connected = true;
	if (!c->broken && (events & UV_READABLE))
		uconn_read(c);
	dns_job_queue(c->channel.up->proxy, &c->job);
}

static int uconn_open(struct dns_upstream *up)
{
	const struct sockaddr *sa = (const struct sockaddr *)&up->addr;
	_cleanup_close_ int fd = -1;
	_cleanup_free_ struct dns_uconn *c = NULL;
	int err, on = 1;

	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	memset(c, 0, offsetof(struct dns_uconn, stream));
	fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, sa, sock_len(sa)) && errno != EINPROGRESS)
		return -errno;
	err = dns_stream_open(&c->stream, up->proxy->loop, fd, c);
	if (err)
		return err;
	TAKE_FD(fd);
	dns_proxy_ref(up->proxy);
	dns_channel_init(&c->channel, up, true);
	c->job.run = uconn_job;
	up->conn = TAKE_PTR(c);
	return 0;
}

int dns_uconn_ask(struct dns_upstream *up, struct dns_ask *ask)
{
	const struct dns_query *q = ask->query;
	uint8_t id[2];
	int err;

	if (!up->conn) {
		err = uconn_open(up);
		if (err)
			return err;
	}
	err = dns_channel_add(&up->conn->channel, ask);
	if (err)
		return err;
	id[0] = (uint8_t)(ask->id >> 8);
	id[1] = (uint8_t)ask->id;
	dns_job_queue(up->proxy, &up->conn->job);
	err = dns_stream_put(&up->conn->stream, id, q->msg, q->len);
	if (err)
		dns_channel_remove(ask);
	return err;
}

void dns_uconn_forget(struct dns_channel *ch)
{
	struct dns_uconn *c = container_of(ch, struct dns_uconn, channel);

	if (ch->asks)
		return;
	c->idle = dns_now(ch->up->proxy);
	dns_wake_at(ch->up->proxy, c->idle + UCONN_IDLE_MS);
}

void dns_uconn_late(struct dns_channel *ch, const struct dns_ask *ask)
{
	struct dns_uconn *c = container_of(ch, struct dns_uconn, channel);

	if (!c->broken && c->heard < ask->sent)
		uconn_break(c);
}

void dns_uconn_expire(struct dns_upstream *up)
{
	struct dns_uconn *c = up->conn;

	if (!c || c->channel.asks)
		return;
	if (c->idle + UCONN_IDLE_MS <= dns_now(up->proxy))
		uconn_end(c);
	else
		dns_wake_at(up->proxy, c->idle + UCONN_IDLE_MS);
}

void dns_uconn_close(struct dns_upstream *up)
{
	if (up->conn)
		uconn_end(up->conn);
}
