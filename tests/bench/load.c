/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * load: closed-loop traffic for the benches. Client and server share one core, so that the core
 * is never idle and wall time is the CPU time of everything on the way, softirqs included. They
 * take turns burst by burst and use few system calls, so that the time is the packets' and not the
 * load's own.
 *
 *	load serve PORT			serves all of the below on one port, until killed
 *	load udp ADDR PORT N FLOWS	N datagrams of 64 bytes from FLOWS ports in turn
 *	load connect ADDR PORT N	N times: connect, one byte, close
 *	load stream ADDR PORT MIB	one TCP connection
 *	load flows ADDR PORT N		N datagrams, each of another flow; none is answered
 *
 * `connect` takes PORTS ports in turn, so that no NAT runs out of its own. `udp`, `connect` and
 * `stream` print nanoseconds per unit (datagram, connection, MiB).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BURST      64 /* datagrams under way; the server answers every last one of a burst */
#define PAYLOAD    64
#define FIRST_PORT 10000
#define CHUNK      (256 * 1024)
#define PORTS      32
#define SOCKETS    200 /* of `flows` */

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* `from`: own port, 0 for any. */
static int bound(int type, const char *addr, int port, int passive, int from)
{
	int family = strchr(addr, ':') ? AF_INET6 : AF_INET, one = 1, big = 8 << 20, fd;
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr *sa = family == AF_INET ? (struct sockaddr *)&in : (struct sockaddr *)&in6;
	socklen_t len = family == AF_INET ? sizeof(in) : sizeof(in6);

	if (inet_pton(family, addr, family == AF_INET ? (void *)&in.sin_addr : &in6.sin6_addr) != 1)
		die(addr);
	fd = socket(family, type, 0);
	if (fd < 0)
		die("socket");
	if (passive) /* two UDP clients that allow it may be given one port */
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	if (from) {
		struct sockaddr_in6 own6 = { .sin6_family = AF_INET6,
					     .sin6_port = htons((uint16_t)from) };
		struct sockaddr_in own = { .sin_family = AF_INET,
					   .sin_port = htons((uint16_t)from) };

		if (bind(fd, family == AF_INET ? (struct sockaddr *)&own : (struct sockaddr *)&own6,
			 len))
			die("bind own port");
	}
	if (passive ? bind(fd, sa, len) : connect(fd, sa, len))
		die(passive ? "bind" : "connect");
	return fd;
}

static void echo_udp(int fd)
{
	struct sockaddr_storage from[BURST];
	char buf[BURST][PAYLOAD];
	struct mmsghdr msgs[BURST];
	struct iovec iov[BURST];
	int n;

	for (int i = 0; i < BURST; i++) {
		iov[i] = (struct iovec){ buf[i], PAYLOAD };
		msgs[i].msg_hdr = (struct msghdr){ .msg_name = &from[i],
						   .msg_namelen = sizeof(from[i]),
						   .msg_iov = &iov[i],
						   .msg_iovlen = 1 };
	}
	n = recvmmsg(fd, msgs, BURST, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		if (buf[i][0] == 'L')
			sendto(fd, buf[i], PAYLOAD, 0, (struct sockaddr *)&from[i],
			       msgs[i].msg_hdr.msg_namelen);
}

static void serve_tcp(int ep, int port, int *fds)
{
	for (int i = 0; i < PORTS; i++) {
		fds[i] = bound(SOCK_STREAM, "::", port + i, 1, 0);
		if (listen(fds[i], 1024))
			die("listen");
		epoll_ctl(ep, EPOLL_CTL_ADD, fds[i],
			  &(struct epoll_event){ EPOLLIN, { .u64 = (uint64_t)fds[i] << 32 } });
	}
}

static void serve(int port)
{
	static char chunk[CHUNK];
	int udp = bound(SOCK_DGRAM, "::", port, 1, 0), tcp[PORTS], ep = epoll_create1(0);
	struct epoll_event e;

	/* A datagram that arrives must not stop the client in the middle of its burst. */
	if (sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){ 0 }))
		die("sched_setscheduler");
	serve_tcp(ep, port, tcp);
	epoll_ctl(ep, EPOLL_CTL_ADD, udp, &(struct epoll_event){ EPOLLIN, { .u64 = udp } });
	for (;;) {
		if (epoll_wait(ep, &e, 1, -1) < 1)
			continue;
		if (e.data.u64 == (uint64_t)udp) {
			echo_udp(udp);
		} else if (e.data.u64 >> 32) { /* a listener */
			int fd = accept((int)(e.data.u64 >> 32), NULL, NULL);

			epoll_ctl(ep, EPOLL_CTL_ADD, fd,
				  &(struct epoll_event){ EPOLLIN, { .u64 = (uint64_t)fd } });
		} else {
			int fd = (int)e.data.u64;
			ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);

			/* The one that closes first keeps the port: not the client. */
			if ((n == 1 && *chunk == 'x') || n == 0 || (n < 0 && errno != EAGAIN))
				close(fd);
		}
	}
}

/* One burst; `fds` are used in turn from `flow` on. Only the last datagram is answered. */
static void send_burst(const int *fds, int flow, int flows)
{
	static char data[PAYLOAD] = { 'D' }, last[PAYLOAD] = { 'L' };
	struct iovec iov[2] = { { data, PAYLOAD }, { last, PAYLOAD } };
	struct mmsghdr msgs[BURST];

	for (int i = 0; i < BURST; i++)
		msgs[i].msg_hdr =
			(struct msghdr){ .msg_iov = &iov[i == BURST - 1], .msg_iovlen = 1 };
	if (flows == 1) {
		if (sendmmsg(fds[0], msgs, BURST, 0) != BURST)
			die("sendmmsg");
		return;
	}
	for (int i = 0; i < BURST; i++)
		if (send(fds[(flow + i) % flows], i == BURST - 1 ? last : data, PAYLOAD, 0) < 0)
			die("send");
}

/* Sends bursts and waits for the answer to each burst's last datagram. */
static double run_udp(const char *addr, int port, long n, int flows)
{
	int *fds = calloc((size_t)flows, sizeof(int));
	char buf[PAYLOAD] = { 'L' }, back[PAYLOAD];
	uint64_t started;
	long sent = 0;

	for (int i = 0; i < flows; i++) {
		struct timeval limit = { .tv_sec = 5 };

		/* The same ports in every run: flows of the last one are met again. */
		fds[i] = bound(SOCK_DGRAM, addr, port, 0, FIRST_PORT + i);
		setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		/* Every flow is there before the clock runs. */
		if (send(fds[i], buf, sizeof(buf), 0) < 0 ||
		    recv(fds[i], back, sizeof(back), 0) < 0)
			die("first datagram");
	}
	started = now_ns();
	for (int flow = 0; sent < n; flow = (flow + BURST) % flows, sent += BURST) {
		send_burst(fds, flow, flows);
		if (recv(fds[(flow + BURST - 1) % flows], back, sizeof(back), 0) < 0)
			die("a burst was not answered");
	}
	return (double)(now_ns() - started) / (double)sent;
}

static void send_flows(const char *addr, int port, long n)
{
	char data[PAYLOAD] = { 'D' };

	for (int i = 0; i < SOCKETS; i++) {
		int fd = bound(SOCK_DGRAM, addr, port, 0, FIRST_PORT + i);
		struct sockaddr_in6 to;
		socklen_t len = sizeof(to);

		if (getpeername(fd, (struct sockaddr *)&to, &len))
			die("getpeername");
		for (int k = 0; k < n / SOCKETS; k++) {
			/* At the same place in both families. */
			to.sin6_port = htons((uint16_t)(port + k));
			sendto(fd, data, sizeof(data), 0, (struct sockaddr *)&to, len);
		}
		close(fd);
	}
}

static double run_connect(const char *addr, int port, long n)
{
	uint64_t started = now_ns();
	char byte;

	for (long i = 0; i < n; i++) {
		int fd = bound(SOCK_STREAM, addr, port + (int)(i % PORTS), 0, 0);

		if (send(fd, "x", 1, 0) != 1)
			die("send");
		if (recv(fd, &byte, 1, 0))
			die("the server has not closed");
		close(fd);
	}
	return (double)(now_ns() - started) / (double)n;
}

static double run_stream(const char *addr, int port, long mib)
{
	static char chunk[CHUNK];
	int fd = bound(SOCK_STREAM, addr, port, 0, 0);
	uint64_t started = now_ns();

	for (long left = mib << 20; left > 0; left -= CHUNK)
		if (send(fd, chunk, CHUNK, 0) != CHUNK)
			die("send");
	shutdown(fd, SHUT_WR);
	recv(fd, chunk, 1, 0);
	return (double)(now_ns() - started) / (double)mib;
}

int main(int argc, char **argv)
{
	struct rlimit files = { 65536, 65536 };

	setrlimit(RLIMIT_NOFILE, &files);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(atoi(argv[2]));
	else if (argc == 6 && !strcmp(argv[1], "udp"))
		printf("%.1f\n", run_udp(argv[2], atoi(argv[3]), atol(argv[4]), atoi(argv[5])));
	else if (argc == 5 && !strcmp(argv[1], "flows"))
		send_flows(argv[2], atoi(argv[3]), atol(argv[4]));
	else if (argc == 5 && !strcmp(argv[1], "connect"))
		printf("%.1f\n", run_connect(argv[2], atoi(argv[3]), atol(argv[4])));
	else if (argc == 5 && !strcmp(argv[1], "stream"))
		printf("%.1f\n", run_stream(argv[2], atoi(argv[3]), atol(argv[4])));
	else
		return 2;
	return 0;
}
