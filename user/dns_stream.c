/* SPDX-License-Identifier: BSD-3-Clause */
/* dns_stream: messages with their length before them on a TCP socket, in bounded buffers. */
#include "dns_proxy_int.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

int dns_stream_open(struct dns_stream *s, uv_loop_t *loop, int fd, void *owner)
{
	int err = uv_poll_init(loop, &s->poll, fd);

	if (err)
		return err;
	s->poll.data = owner;
	s->fd = fd;
	s->events = 0;
	s->rx_off = s->rx_len = s->tx_off = s->tx_len = 0;
	return 0;
}

void dns_stream_close(struct dns_stream *s, uv_close_cb closed)
{
	uv_close((uv_handle_t *)&s->poll, closed);
	close(s->fd);
	s->fd = -1;
}

ssize_t dns_stream_read(struct dns_stream *s)
{
	ssize_t n;

	if (s->rx_off) {
		s->rx_len -= s->rx_off;
		memmove(s->rx, s->rx + s->rx_off, s->rx_len);
		s->rx_off = 0;
	}
	if (s->rx_len == sizeof(s->rx))
		return -EAGAIN;
	do
		n = recv(s->fd, s->rx + s->rx_len, sizeof(s->rx) - s->rx_len, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	s->rx_len += (size_t)n;
	return n;
}

bool dns_stream_next(struct dns_stream *s, const uint8_t **msg, size_t *len)
{
	const uint8_t *at = s->rx + s->rx_off;
	size_t have = s->rx_len - s->rx_off, need;

	if (have < 2)
		return false;
	need = 2 + ((size_t)at[0] << 8 | at[1]);
	if (have < need)
		return false;
	*msg = at + 2;
	*len = need - 2;
	s->rx_off += need;
	return true;
}

int dns_stream_put(struct dns_stream *s, const uint8_t id[2], const uint8_t *msg, size_t len)
{
	uint8_t *at;

	if (s->tx_off && s->tx_len + 2 + len > sizeof(s->tx)) {
		s->tx_len -= s->tx_off;
		memmove(s->tx, s->tx + s->tx_off, s->tx_len);
		s->tx_off = 0;
	}
	if (len < 2 || len > DNS_MAX_MSG || s->tx_len + 2 + len > sizeof(s->tx))
		return -ENOBUFS;
	at = s->tx + s->tx_len;
	at[0] = (uint8_t)(len >> 8);
	at[1] = (uint8_t)len;
	memcpy(at + 2, msg, len);
	memcpy(at + 2, id, 2);
	s->tx_len += 2 + len;
	return 0;
}

int dns_stream_write(struct dns_stream *s)
{
	while (s->tx_off < s->tx_len) {
		ssize_t n = send(s->fd, s->tx + s->tx_off, s->tx_len - s->tx_off, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
		s->tx_off += (size_t)n;
	}
	s->tx_off = s->tx_len = 0;
	return 0;
}

bool dns_stream_unread(const struct dns_stream *s)
{
	return s->rx_off < s->rx_len;
}

ssize_t dns_stream_drain(struct dns_stream *s, int fd)
{
	while (s->rx_off < s->rx_len) {
		ssize_t n = send(fd, s->rx + s->rx_off, s->rx_len - s->rx_off, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? (ssize_t)(s->rx_len - s->rx_off) : -errno;
		s->rx_off += (size_t)n;
	}
	return 0;
}

bool dns_stream_has_room(const struct dns_stream *s)
{
	return s->tx_off || s->tx_len < sizeof(s->tx);
}

ssize_t dns_stream_fill(struct dns_stream *s, int fd)
{
	ssize_t n;

	if (s->tx_off) {
		s->tx_len -= s->tx_off;
		memmove(s->tx, s->tx + s->tx_off, s->tx_len);
		s->tx_off = 0;
	}
	if (s->tx_len == sizeof(s->tx))
		return -EAGAIN;
	do
		n = recv(fd, s->tx + s->tx_len, sizeof(s->tx) - s->tx_len, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	s->tx_len += (size_t)n;
	return n;
}

void dns_stream_return(struct dns_stream *s, size_t len)
{
	s->rx_off -= 2 + len;
}

bool dns_stream_pending(const struct dns_stream *s)
{
	return s->tx_off < s->tx_len;
}

void dns_stream_poll(struct dns_stream *s, int events, uv_poll_cb cb)
{
	if (events == s->events)
		return;
	s->events = events;
	if (events)
		uv_poll_start(&s->poll, events, cb);
	else
		uv_poll_stop(&s->poll);
}
