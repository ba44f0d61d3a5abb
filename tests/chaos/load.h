/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * load: what the load generators of the chaos test share: clock, events, an address, an end.
 *
 * An event is one line on stdout: kind, milliseconds of the wall clock, then what the kind says.
 * The script joins events with what it did at that time.
 */
#ifndef LOAD_H
#define LOAD_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define ECHO_PORT 7

static volatile sig_atomic_t load_ending;

static inline void load_on_term(int sig)
{
	(void)sig;
	load_ending = 1;
}

/* SIGTERM lets what is under way come to its end. */
static inline void load_start(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, load_on_term);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

static inline uint64_t load_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static inline uint64_t load_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* `ago_us`: how long ago it happened. */
__attribute__((format(printf, 3, 4))) static inline void
load_event(const char *kind, uint64_t ago_us, const char *fmt, ...)
{
	va_list args;

	printf("%s %llu ", kind, (unsigned long long)(load_wall_ms() - ago_us / 1000));
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

__attribute__((noreturn)) static inline void load_die(const char *what)
{
	perror(what);
	exit(1);
}

static inline struct sockaddr_in load_addr(const char *text, uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, text, &sa.sin_addr) != 1) {
		fprintf(stderr, "\"%s\" is not an IPv4 address\n", text);
		exit(2);
	}
	return sa;
}

/* As the echo server saw it, in network order; 0: never seen. */
static inline const char *load_via(uint32_t seen)
{
	static char text[INET_ADDRSTRLEN];

	if (!seen)
		return "-";
	return inet_ntop(AF_INET, &seen, text, sizeof(text));
}

static inline const char *load_errno(int err)
{
	switch (err) {
	case ECONNREFUSED:
		return "refused";
	case ECONNRESET:
		return "reset";
	case EHOSTUNREACH:
		return "unreachable";
	case ETIMEDOUT:
		return "timeout";
	case EPIPE:
		return "pipe";
	default:
		return strerrorname_np(err);
	}
}

#endif
