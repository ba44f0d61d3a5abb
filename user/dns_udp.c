/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_udp: clients over UDP, read and written in batches.
 *
 * A reply that the kernel does not take now waits in its socket's arena until it does; when that
 * is full the reply is dropped and counted as overload, as UDP may.
 */
#include "dns_proxy_int.h"

#include <errno.h>
#include <netinet/ip.h>
#include <string.h>

#define RCVBUF (4 * 1024 * 1024)

static int setopt(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

static struct dns_peer peer_of(const struct sockaddr_storage *ss)
{
	struct dns_peer peer = { .addr = sock_addr((const struct sockaddr *)ss),
				 .port = sock_port((const struct sockaddr *)ss) };

	if (ss->ss_family == AF_INET6)
		peer.scope = ((const struct sockaddr_in6 *)ss)->sin6_scope_id;
	return peer;
}

/* The address the message was sent to, so that its reply comes from there. */
static void local_of(struct dns_waiter *w, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			w->local = addr_from4(&info.ipi_addr);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			w->local = addr_from6(&info.ipi6_addr);
			if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
				w->ifindex = info.ipi6_ifindex;
		}
	}
}

static void udp_ready(uv_poll_t *handle, int status, int events)
{
	struct dns_listener *l = container_of(handle, struct dns_listener, udp_poll);
	struct dns_proxy *p = l->proxy;
	struct dns_rx *rx = &p->rx;
	int n;

	if (status < 0) {
		/* libuv stops at a socket's error; recvmmsg() takes it away. */
		l->watched = 0;
		dns_job_queue(p, &l->job);
	}
	if (events & UV_WRITABLE) {
		l->blocked = false;
		dns_job_queue(p, &l->job);
	}
	n = dns_rx_read(rx, l->udp, false);
	for (int i = 0; i < n; i++) {
		struct dns_waiter from = { .listener = l };

		from.peer = peer_of(&rx->from[i]);
		if (!from.peer.port) {
			p->stats.unreadable++;
			continue;
		}
		if (l->intercepts && !dns_mirror_asked(&from, &rx->msgs[i].msg_hdr))
			continue;
		if (l->wildcard)
			local_of(&from, &rx->msgs[i].msg_hdr);
		if (rx->msgs[i].msg_len >= 2)
			memcpy(from.peer.id, rx->iov[i].iov_base, 2);
		dns_query_take(p, &from, rx->iov[i].iov_base, rx->msgs[i].msg_len);
	}
	dns_jobs_run(p);
}

/* One message of sendmmsg(), with the memory its parts point to. */
struct tx {
	struct iovec iov;
	union {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} to;
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control;
};

/* Its length. */
static socklen_t put_peer(struct tx *tx, const struct dns_peer *peer)
{
	if (addr_is4(&peer->addr)) {
		tx->to.in = (struct sockaddr_in){ .sin_family = AF_INET,
						  .sin_port = htons(peer->port) };
		memcpy(&tx->to.in.sin_addr, peer->addr.b + 12, 4);
		return sizeof(tx->to.in);
	}
	tx->to.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
					    .sin6_port = htons(peer->port),
					    .sin6_scope_id = peer->scope };
	memcpy(&tx->to.in6.sin6_addr, peer->addr.b, 16);
	return sizeof(tx->to.in6);
}

static void put_local(struct msghdr *hdr, struct tx *tx, const struct dns_reply *r)
{
	struct cmsghdr *c;

	memset(&tx->control, 0, sizeof(tx->control));
	hdr->msg_control = tx->control.bytes;
	if (addr_is4(&r->from)) {
		struct in_pktinfo info = { 0 };

		memcpy(&info.ipi_spec_dst, r->from.b + 12, 4);
		hdr->msg_controllen = CMSG_SPACE(sizeof(info));
		c = CMSG_FIRSTHDR(hdr);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	} else {
		struct in6_pktinfo info = { .ipi6_ifindex = r->ifindex };

		memcpy(&info.ipi6_addr, r->from.b, 16);
		hdr->msg_controllen = CMSG_SPACE(sizeof(info));
		c = CMSG_FIRSTHDR(hdr);
		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	}
}

static size_t out_prepare(struct dns_listener *l, struct mmsghdr *msgs, struct tx *tx)
{
	struct dns_out *out = &l->out;
	size_t n = out->n - out->first;

	for (size_t i = 0; i < n; i++) {
		struct dns_reply *r = &out->reply[out->first + i];

		tx[i].iov = (struct iovec){ out->arena + r->off, r->len };
		msgs[i] = (struct mmsghdr){ .msg_hdr = {
						    .msg_name = &tx[i].to,
						    .msg_namelen = put_peer(&tx[i], &r->to),
						    .msg_iov = &tx[i].iov,
						    .msg_iovlen = 1,
					    } };
		if (!addr_is_zero(&r->from) && !l->intercepts)
			put_local(&msgs[i].msg_hdr, &tx[i], r);
	}
	return n;
}

/* The socket that the next replies leave by; *n of them at most, on return as many as it is for. */
static int out_socket(struct dns_listener *l, size_t first, size_t *n)
{
	const struct dns_reply *r = &l->out.reply[first];
	size_t same = 1;

	if (!l->intercepts)
		return l->udp;
	while (same < *n && addr_equal(&r[same].from, &r->from))
		same++;
	*n = same;
	return dns_mirror_socket(l->proxy, &r->from);
}

static void out_flush(struct dns_listener *l)
{
	struct mmsghdr msgs[DNS_BATCH];
	struct tx tx[DNS_BATCH];
	struct dns_out *out = &l->out;
	size_t n = out_prepare(l, msgs, tx), sent = 0;

	while (sent < n) {
		size_t some = n - sent;
		int fd = out_socket(l, out->first + sent, &some);
		int got = sendmmsg(fd, msgs + sent, (unsigned int)some, 0);

		if (got > 0) {
			sent += (size_t)got;
		} else if ((errno == EAGAIN || errno == ENOBUFS) && l->intercepts) {
			l->proxy->stats.overload += some;
			sent += some;
		} else if (errno == EAGAIN || errno == ENOBUFS) {
			l->blocked = errno == EAGAIN;
			if (!l->blocked)
				l->proxy->stats.overload += n - sent;
			break;
		} else if (errno != EINTR) {
			sent++; /* this client cannot be reached */
		}
	}
	out->first += sent;
	if (out->first == out->n || !l->blocked)
		out->first = out->n = out->used = 0;
}

static void udp_job(struct dns_job *job)
{
	struct dns_listener *l = container_of(job, struct dns_listener, job);
	int events;

	if (!l->blocked)
		out_flush(l);
	events = l->blocked ? UV_READABLE | UV_WRITABLE : UV_READABLE;
	if (events != l->watched)
		uv_poll_start(&l->udp_poll, events, udp_ready);
	l->watched = events;
}

void dns_udp_reply(const struct dns_waiter *w, const uint8_t *msg, size_t len)
{
	struct dns_listener *l = w->listener;
	struct dns_out *out = &l->out;
	struct dns_reply *r;

	dns_job_queue(l->proxy, &l->job);
	if ((out->n == DNS_BATCH || out->used + len > sizeof(out->arena)) && !l->blocked)
		out_flush(l);
	if (out->n == DNS_BATCH || out->used + len > sizeof(out->arena)) {
		l->proxy->stats.overload++;
		return;
	}
	r = &out->reply[out->n++];
	*r = (struct dns_reply){
		.to = w->peer, .from = w->local, .ifindex = w->ifindex, .off = out->used, .len = len
	};
	memcpy(out->arena + r->off, msg, len);
	memcpy(out->arena + r->off, w->peer.id, 2);
	out->used += len;
}

static int udp_socket(const struct dns_listener *l)
{
	const struct sockaddr *sa = (const struct sockaddr *)&l->addr;
	int family = sa->sa_family, err = 0;
	_cleanup_close_ int fd = -1;

	fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (family == AF_INET6)
		err = setopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (!err && l->wildcard && family == AF_INET6)
		err = setopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	if (!err && l->wildcard && family == AF_INET)
		err = setopt(fd, IPPROTO_IP, IP_PKTINFO, 1);
	if (err)
		return err;
	/* A forged "fragmentation needed" must not cut our replies into forgeable fragments. */
	if (family == AF_INET6)
		setopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT);
	else
		setopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
	if (setopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF))
		setopt(fd, SOL_SOCKET, SO_RCVBUF, RCVBUF);
	if (bind(fd, sa, sock_len(sa)))
		return -errno;
	return TAKE_FD(fd);
}

int dns_udp_open(struct dns_listener *l)
{
	int err;

	l->job.run = udp_job;
	l->udp = l->intercepts ? dns_mirror_udp_open(l) : udp_socket(l);
	if (l->udp < 0)
		return l->udp;
	err = uv_poll_init(l->proxy->loop, &l->udp_poll, l->udp);
	if (err) {
		close(l->udp);
		l->udp = -1;
		return err;
	}
	dns_proxy_ref(l->proxy);
	l->udp_poll.data = l->proxy;
	dns_job_queue(l->proxy, &l->job);
	return 0;
}

void dns_udp_close(struct dns_listener *l)
{
	if (l->udp < 0)
		return;
	dns_job_cancel(l->proxy, &l->job);
	uv_close((uv_handle_t *)&l->udp_poll, dns_handle_closed);
	close(l->udp);
	l->udp = -1;
}
