/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_mirror: sockets for intercepted questions. The kernel hands the daemon's listeners packets
 * for other hosts; answers leave by sockets bound to those hosts' addresses.
 */
#include "dns_proxy_int.h"
#include "log.h"

#include <errno.h>
#include <string.h>

#define DNS_PORT     53
#define DISCARD_PORT 9
#define RCVBUF       (4 * 1024 * 1024)
#define LOG_EVERY_MS 60000

static int setopt(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

int dns_mirror_udp_open(struct dns_listener *l)
{
	const struct sockaddr *sa = (const struct sockaddr *)&l->addr;
	_cleanup_close_ int fd = -1;
	int err;

	fd = socket(sa->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = sa->sa_family == AF_INET ? setopt(fd, SOL_IP, IP_RECVORIGDSTADDR, 1) :
					 setopt(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR, 1);
	/* Or a host's NAT takes the socket off again what it finds not translated to it. */
	if (!err)
		err = setopt(fd, SOL_IP, IP_TRANSPARENT, 1);
	if (err)
		return err;
	if (setopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF))
		setopt(fd, SOL_SOCKET, SO_RCVBUF, RCVBUF);
	if (bind(fd, sa, sock_len(sa)))
		return -errno;
	return TAKE_FD(fd);
}

/* Whoever sends to the listener itself, on loopback, would have it ask itself. */
static bool was_asked(struct c25_addr *out, const struct sockaddr *sa)
{
	*out = sock_addr(sa);
	return sock_port(sa) == DNS_PORT;
}

bool dns_mirror_asked(struct dns_waiter *w, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		bool v4 = c->cmsg_level == SOL_IP && c->cmsg_type == IP_ORIGDSTADDR;
		bool v6 = c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR;
		struct sockaddr_storage sa = { 0 };

		if (!v4 && !v6)
			continue;
		memcpy(&sa, CMSG_DATA(c),
		       v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
		return was_asked(&w->local, (const struct sockaddr *)&sa);
	}
	return false;
}

bool dns_mirror_accepted(struct dns_conn *c, int fd)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);

	return !getsockname(fd, (struct sockaddr *)&sa, &len) &&
	       was_asked(&c->local, (const struct sockaddr *)&sa);
}

/*
 * Connected to nobody in particular: a socket that is bound alone would take what is sent to that
 * address where it is one of this host's, with a server of its own behind it.
 */
static int mirror_open(const struct c25_addr *addr)
{
	struct sockaddr_storage sa = sock_make(addr, DNS_PORT), to = { .ss_family = sa.ss_family };
	_cleanup_close_ int fd = -1;
	int err;

	fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = sa.ss_family == AF_INET ? setopt(fd, SOL_IP, IP_TRANSPARENT, 1) :
					setopt(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
	if (!err)
		err = setopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!err)
		err = setopt(fd, SOL_SOCKET, SO_MARK, C25_MARK_ANSWER);
	if (err)
		return err;
	/* As for other replies: not to be cut up on a stranger's word. */
	if (sa.ss_family == AF_INET) {
		setopt(fd, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
		((struct sockaddr_in *)&to)->sin_port = htons(DISCARD_PORT);
		((struct sockaddr_in *)&to)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else {
		setopt(fd, SOL_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT);
		((struct sockaddr_in6 *)&to)->sin6_port = htons(DISCARD_PORT);
		((struct sockaddr_in6 *)&to)->sin6_addr = in6addr_loopback;
	}
	if (bind(fd, (struct sockaddr *)&sa, sock_len((struct sockaddr *)&sa)) ||
	    connect(fd, (struct sockaddr *)&to, sock_len((struct sockaddr *)&to)))
		return -errno;
	return TAKE_FD(fd);
}

static void complain(struct dns_proxy *p, const struct c25_addr *addr, int err)
{
	uint64_t now = dns_now(p);
	char text[ADDR_STRLEN];

	if (p->mirror_logged && now < p->mirror_logged + LOG_EVERY_MS)
		return;
	p->mirror_logged = now;
	log_errno(-err, "answer in the name of %s, port 53%s", addr_print(text, addr),
		  err == -EADDRINUSE ? ": a server of this host has it; leave it out by "
				       "--dns-intercept-to" :
				       "");
}

int dns_mirror_socket(struct dns_proxy *p, const struct c25_addr *addr)
{
	struct dns_mirror *oldest = &p->mirrors[0];
	int fd;

	for (size_t i = 0; i < DNS_MIRRORS; i++) {
		struct dns_mirror *m = &p->mirrors[i];

		if (m->fd >= 0 && addr_equal(&m->addr, addr)) {
			m->used = dns_now(p);
			return m->fd;
		}
		if (oldest->fd >= 0 && (m->fd < 0 || m->used < oldest->used))
			oldest = m;
	}
	fd = mirror_open(addr);
	if (fd < 0) {
		complain(p, addr, fd);
		return fd;
	}
	if (oldest->fd >= 0)
		close(oldest->fd);
	*oldest = (struct dns_mirror){ .addr = *addr, .used = dns_now(p), .fd = fd };
	return fd;
}

void dns_mirror_close_all(struct dns_proxy *p)
{
	for (size_t i = 0; i < DNS_MIRRORS; i++) {
		if (p->mirrors[i].fd >= 0)
			close(p->mirrors[i].fd);
		p->mirrors[i].fd = -1;
	}
}
