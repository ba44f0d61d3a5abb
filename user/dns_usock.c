/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_usock: resolvers over UDP. Each has a set of connected sockets, so that the kernel drops
 * what comes from elsewhere and reports ICMP errors; their ports are the kernel's random choice,
 * and each is replaced after some uses or seconds (RFC 5452, 9.2). One is picked at random for
 * the questions of one turn of the loop, which leave by one call, and stays for those that follow
 * while it has answers to come, up to a number: a socket more is a call more for their answers.
 */
#include "dns_proxy_int.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define AHEAD 3 /* answers: dns_proxy_ops.expected */

static void usock_ready(uv_poll_t *handle, int status, int events);

static void usock_closed(uv_handle_t *handle)
{
	struct dns_usock *s = handle->data;

	s->closing = false;
	dns_proxy_unref(s->channel.up->proxy);
}

static void usock_close(struct dns_usock *s)
{
	struct dns_upstream *up = s->channel.up;

	s->open = false;
	s->closing = true;
	if (up->current == s)
		up->current = NULL;
	dns_job_cancel(up->proxy, &s->job);
	uv_close((uv_handle_t *)&s->poll, usock_closed);
	close(s->fd);
	s->fd = -1;
}

/* Asks nothing more, and closes when its last ask is over. */
static void usock_retire(struct dns_usock *s)
{
	struct dns_upstream *up = s->channel.up;

	for (size_t i = 0; i < DNS_USOCKS; i++)
		if (up->active[i] == s)
			up->active[i] = NULL;
	if (up->current == s)
		up->current = NULL;
	s->retired = true;
	if (s->open && !s->channel.asks)
		usock_close(s);
}

static void usock_fail(struct dns_usock *s)
{
	struct dns_upstream *up = s->channel.up;

	dns_upstream_failed(up);
	usock_retire(s);
	dns_channel_fail(&s->channel, dns_query_next);
}

static void usock_ready(uv_poll_t *handle, int status, int events)
{
	struct dns_usock *s = handle->data;
	struct dns_rx *rx = &s->channel.up->proxy->rx;
	int n;

	n = dns_rx_read(rx, s->fd, true);
	for (int i = -AHEAD; i < n; i++) {
		int later = i + AHEAD;

		if (later < n)
			dns_channel_expect(&s->channel, rx->iov[later].iov_base,
					   rx->msgs[later].msg_len);
		if (i >= 0)
			dns_channel_input(&s->channel, rx->iov[i].iov_base, rx->msgs[i].msg_len);
	}
	/* libuv has stopped polling where it reports an error: an ICMP message, as a rule. */
	if (s->open && (status < 0 || (n < 0 && n != -EAGAIN)))
		usock_fail(s);
	dns_jobs_run(s->channel.up->proxy);
}

static void usock_job(struct dns_job *job)
{
	struct dns_usock *s = container_of(job, struct dns_usock, job);
	struct mmsghdr msgs[DNS_BATCH];
	struct iovec iov[DNS_BATCH];
	size_t sent = 0, n = s->n_out;
	int err = 0;

	for (size_t i = 0; i < n; i++) {
		struct dns_ask *ask = s->out[i];

		/* The client's own id is with those who wait. */
		dns_put16(ask->query->msg, ask->id);
		iov[i] = (struct iovec){ ask->query->msg, ask->query->len };
		msgs[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov[i], .msg_iovlen = 1 } };
		ask->unsent = false;
	}
	s->n_out = 0;
	while (sent < n && !err) {
		int got = sendmmsg(s->fd, msgs + sent, (unsigned int)(n - sent), 0);

		if (got > 0)
			sent += (size_t)got;
		else if (errno == EMSGSIZE)
			sent++; /* its deadline takes care of it */
		else if (errno != EINTR)
			err = errno;
	}
	/* A full queue loses these as the network might: they are asked again in time. */
	if (err && err != EAGAIN && err != ENOBUFS)
		usock_fail(s);
}

static int usock_open(struct dns_upstream *up, struct dns_usock *s)
{
	const struct sockaddr *sa = (const struct sockaddr *)&up->addr;
	_cleanup_close_ int fd = -1;
	int err;

	fd = socket(sa->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, sa, sock_len(sa)))
		return -errno;
	err = uv_poll_init(up->proxy->loop, &s->poll, fd);
	if (err)
		return err;
	dns_proxy_ref(up->proxy);
	dns_channel_init(&s->channel, up, false);
	s->poll.data = s;
	s->job = (struct dns_job){ .run = usock_job };
	s->fd = TAKE_FD(fd);
	s->open = true;
	s->retired = false;
	s->uses = 0;
	s->opened = dns_now(up->proxy);
	s->n_out = 0;
	uv_poll_start(&s->poll, UV_READABLE, usock_ready);
	return 0;
}

static bool usock_worn(const struct dns_usock *s)
{
	return s->uses >= DNS_USOCK_USES ||
	       dns_now(s->channel.up->proxy) >= s->opened + DNS_USOCK_MS;
}

static struct dns_usock *usock_free(struct dns_upstream *up)
{
	for (size_t i = 0; i < DNS_USOCK_ALL; i++)
		if (!up->socks[i].open && !up->socks[i].closing)
			return &up->socks[i];
	return NULL;
}

static int usock_pick(struct dns_usock **out, struct dns_upstream *up)
{
	struct dns_proxy *p = up->proxy;
	struct dns_usock *s = up->current, *fresh;
	size_t slot;
	int err;

	if (s && up->run < DNS_USOCK_RUN && (up->current_turn == p->turn || s->channel.asks) &&
	    !usock_worn(s)) {
		up->current_turn = p->turn;
		up->run++;
		*out = s;
		return 0;
	}
	slot = dns_table_random(&p->table) % DNS_USOCKS;
	s = up->active[slot];
	if (!s || usock_worn(s)) {
		fresh = usock_free(up);
		err = fresh ? usock_open(up, fresh) : -EMFILE;
		/* Better an old port than no answer. */
		if (err && !s)
			return err;
		if (!err) {
			if (s)
				usock_retire(s);
			s = up->active[slot] = fresh;
		}
	}
	up->current = s;
	up->current_turn = p->turn;
	up->run = 1;
	*out = s;
	return 0;
}

int dns_usock_ask(struct dns_upstream *up, struct dns_ask *ask)
{
	struct dns_usock *s;
	int err;

	err = usock_pick(&s, up);
	if (err)
		return err;
	if (s->n_out == DNS_BATCH) {
		dns_job_cancel(up->proxy, &s->job);
		usock_job(&s->job);
		if (s->retired)
			return -EAGAIN;
	}
	err = dns_channel_add(&s->channel, ask);
	if (err)
		return err;
	s->uses++;
	ask->unsent = true;
	s->out[s->n_out++] = ask;
	dns_job_queue(up->proxy, &s->job);
	return 0;
}

void dns_usock_forget(struct dns_channel *ch, struct dns_ask *ask)
{
	struct dns_usock *s = container_of(ch, struct dns_usock, channel);

	for (size_t i = 0; ask->unsent && i < s->n_out; i++)
		if (s->out[i] == ask) {
			s->out[i] = s->out[--s->n_out];
			ask->unsent = false;
		}
	if (s->retired && s->open && !ch->asks)
		usock_close(s);
}

void dns_usock_close_all(struct dns_upstream *up)
{
	for (size_t i = 0; i < DNS_USOCK_ALL; i++)
		if (up->socks[i].open)
			usock_close(&up->socks[i]);
}
