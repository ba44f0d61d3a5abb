/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * echo: answers UDP and TCP on port 7 of every address of this host, and says whom it saw.
 *
 * UDP: the datagram comes back with the source address in its bytes 4..7. TCP: four bytes of the
 * source address first, then what was sent.
 */
#include "load.h"

#include <sys/epoll.h>
#include <sys/resource.h>

#define ROOM 65536

struct conn {
	int fd;
	size_t len, at; /* of what is still to be written */
	uint8_t buf[ROOM];
};

static int epoll;

static void watch(int fd, void *ptr, uint32_t events, int op)
{
	struct epoll_event e = { .events = events, .data.ptr = ptr };

	if (epoll_ctl(epoll, op, fd, &e))
		load_die("epoll_ctl");
}

static int listen_on(int type)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(ECHO_PORT) };
	int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0), one = 1, room = 8 << 20;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (type == SOCK_DGRAM) {
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	}
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
		load_die("bind");
	if (type == SOCK_STREAM && listen(fd, 1024))
		load_die("listen");
	return fd;
}

/* From the address it was sent to: the control message goes back as it came, but for the device. */
static void echo_datagrams(int fd)
{
	for (;;) {
		union {
			char buf[CMSG_SPACE(sizeof(struct in_pktinfo))];
			struct cmsghdr align;
		} control;
		struct sockaddr_in from;
		uint8_t data[2048];
		struct iovec iov = { .iov_base = data, .iov_len = sizeof(data) };
		struct msghdr msg = { .msg_name = &from,
				      .msg_namelen = sizeof(from),
				      .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control.buf,
				      .msg_controllen = sizeof(control.buf) };
		ssize_t n = recvmsg(fd, &msg, 0);
		struct in_pktinfo *info;

		if (n < 8) {
			if (n < 0)
				return;
			continue;
		}
		memcpy(data + 4, &from.sin_addr, 4);
		info = (struct in_pktinfo *)CMSG_DATA(CMSG_FIRSTHDR(&msg));
		info->ipi_ifindex = 0;
		info->ipi_spec_dst = info->ipi_addr;
		iov.iov_len = (size_t)n;
		if (sendmsg(fd, &msg, 0) < 0 && errno != ECONNREFUSED)
			load_event("echo-lost", 0, "%s", load_errno(errno));
	}
}

static void take_connections(int fd)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	int made;

	while ((made = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK)) >= 0) {
		struct conn *c = malloc(sizeof(*c));

		if (!c)
			load_die("malloc");
		c->fd = made;
		c->at = 0;
		c->len = 4;
		memcpy(c->buf, &from.sin_addr, 4);
		watch(made, c, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
		len = sizeof(from);
	}
}

/* False: it is over. */
static bool echo_stream(struct conn *c)
{
	ssize_t n;

	for (;;) {
		if (c->at == c->len) {
			n = read(c->fd, c->buf, sizeof(c->buf));
			if (n <= 0)
				break;
			c->at = 0;
			c->len = (size_t)n;
		}
		n = write(c->fd, c->buf + c->at, c->len - c->at);
		if (n < 0)
			break;
		c->at += (size_t)n;
	}
	if (!n || errno != EAGAIN)
		return false;
	watch(c->fd, c, c->at == c->len ? EPOLLIN : EPOLLOUT, EPOLL_CTL_MOD);
	return true;
}

int main(void)
{
	struct rlimit many = { 65536, 65536 };
	struct epoll_event events[64];
	int udp, tcp;

	load_start();
	setrlimit(RLIMIT_NOFILE, &many);
	epoll = epoll_create1(0);
	udp = listen_on(SOCK_DGRAM);
	tcp = listen_on(SOCK_STREAM);
	watch(udp, &udp, EPOLLIN, EPOLL_CTL_ADD);
	watch(tcp, &tcp, EPOLLIN, EPOLL_CTL_ADD);
	while (!load_ending) {
		int n = epoll_wait(epoll, events, 64, 1000);

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (events[i].data.ptr == &udp) {
				echo_datagrams(udp);
			} else if (events[i].data.ptr == &tcp) {
				take_connections(tcp);
			} else if (!echo_stream(c)) {
				close(c->fd);
				free(c);
			}
		}
	}
	return 0;
}
