/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp STREAMS ADDRESS...: so many streams to the echo server, in turn to each address, each of 1
 * KiB every 20 ms, read back and compared. One that breaks is opened anew.
 *
 * broken MS FLOW VIA WHY AGE_MS: `stall` is 20 seconds in which nothing came back.
 * At the end: `tcp-total OPENED BROKEN KIB MOST_MS`, the last the longest time without progress.
 */
#include "load.h"

#define STALL_US   20000000
#define CONNECT_US 3000000
#define STEP_US    20000
#define AGAIN_US   300000
#define BLOCK      1024
#define BEHIND     (256 * BLOCK) /* so far ahead of the echo no more is written */

struct stream {
	struct sockaddr_in to;
	int fd;
	bool connected;
	uint32_t seen;
	size_t n_seen; /* bytes of it that have come */
	uint64_t out, in;
	uint64_t opened, progress, next;
};

static uint64_t n_opened, n_broken, n_bytes, longest;

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 2654435761U >> 13);
}

static void stream_open(struct stream *s, uint64_t now)
{
	int one = 1;

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->connected = false;
	s->n_seen = 0;
	s->out = s->in = 0;
	s->opened = s->progress = s->next = now;
	n_opened++;
	if (connect(s->fd, (struct sockaddr *)&s->to, sizeof(s->to)) && errno != EINPROGRESS)
		load_die("connect");
}

static void stream_break(struct stream *s, size_t i, const char *why, uint64_t now)
{
	load_event("broken", 0, "tcp%zu %s %s%s %llu", i, load_via(s->seen),
		   s->connected ? "" : "connect-", why,
		   (unsigned long long)(now - s->opened) / 1000);
	n_broken++;
	close(s->fd);
	s->fd = -1;
	s->next = now + AGAIN_US;
}

static int stream_write(struct stream *s)
{
	uint8_t block[BLOCK];
	ssize_t n;

	if (s->out - s->in >= BEHIND)
		return 0;
	for (size_t i = 0; i < BLOCK; i++)
		block[i] = pattern(s->out + i);
	n = write(s->fd, block, BLOCK);
	if (n < 0)
		return errno == EAGAIN || errno == ENOTCONN ? 0 : errno;
	s->out += (uint64_t)n;
	return 0;
}

/* 0, an errno, or -1: not what was sent. */
static int stream_read(struct stream *s, uint64_t now)
{
	uint8_t buf[65536];
	ssize_t n;

	while ((n = read(s->fd, buf, sizeof(buf))) > 0) {
		if (s->connected && now - s->progress > longest)
			longest = now - s->progress;
		s->connected = true;
		s->progress = now;
		n_bytes += (uint64_t)n;
		for (ssize_t i = 0; i < n; i++) {
			if (s->n_seen < sizeof(s->seen))
				((uint8_t *)&s->seen)[s->n_seen++] = buf[i];
			else if (buf[i] != pattern(s->in++))
				return -1;
		}
	}
	if (!n)
		return ECONNABORTED;
	return errno == EAGAIN || errno == ENOTCONN ? 0 : errno;
}

static void stream_turn(struct stream *s, size_t i, uint64_t now)
{
	int err;

	if (s->fd < 0) {
		if (now >= s->next && !load_ending)
			stream_open(s, now);
		return;
	}
	err = stream_read(s, now);
	if (!err && s->connected && now >= s->next) {
		err = stream_write(s);
		/* What a pause has missed is not made up. */
		s->next = now + STEP_US;
	}
	if (err)
		stream_break(s, i, err < 0 ? "corrupt" : load_errno(err), now);
	else if (now - s->progress > (s->connected ? STALL_US : CONNECT_US))
		stream_break(s, i, "stall", now);
}

int main(int argc, char **argv)
{
	size_t n = argc < 3 ? 0 : strtoul(argv[1], NULL, 10);
	struct stream *streams = calloc(n + 1, sizeof(*streams));
	struct pollfd *polls = calloc(n + 1, sizeof(*polls));

	if (!n || !streams || !polls)
		return 2;
	load_start();
	for (size_t i = 0; i < n; i++) {
		streams[i].to = load_addr(argv[2 + i % (size_t)(argc - 2)], ECHO_PORT);
		streams[i].fd = -1;
	}
	while (!load_ending) {
		for (size_t i = 0; i < n; i++)
			polls[i] = (struct pollfd){ .fd = streams[i].fd, .events = POLLIN };
		poll(polls, n, 5);
		for (size_t i = 0; i < n; i++)
			stream_turn(&streams[i], i, load_now_us());
	}
	printf("tcp-total %llu %llu %llu %llu\n", (unsigned long long)n_opened,
	       (unsigned long long)n_broken, (unsigned long long)n_bytes / 1024,
	       (unsigned long long)longest / 1000);
	return 0;
}
