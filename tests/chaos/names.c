/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * names ask|use RATE SERVER SUFFIX...: RATE fresh names a second, in turn below each suffix, asked
 * as a resolver library does: again after a second without an answer, soon again where nobody
 * listens or there is no answer for now. A name works when it is answered, and with `use`, when a
 * datagram to its address comes back; one that does not is sent again, as its link may just have
 * been cut. Three seconds after the question the name has failed.
 *
 * failed MS NAME VIA WHY; late MS NAME VIA TOOK_MS: it took over a second; lost MS NAME any WHY: its
 * first datagram was, through whichever connector.
 * At the end: `names-total ASKED FAILED LATE MOST_MS`.
 */
#include "load.h"

#define BUDGET_US 3000000
#define AGAIN_US  1000000
#define PAUSE_US  50000
#define RESEND_US 200000
#define LATE_US   1000000
#define ROOM      4096

enum stage { FREE, ASKING, TRYING };

struct name {
	enum stage stage;
	int fd;
	uint64_t started, asked, used;
	uint16_t id;
	bool lost;
	int why;
	char text[64];
};

static struct name names[ROOM];
static struct sockaddr_in server;
static uint64_t n_asked, n_failed, n_late, slowest, counter;
static uint32_t seed;
static bool use;

static size_t query_write(uint8_t *out, const struct name *n)
{
	const char *label = n->text;
	uint8_t *at = out + 12;

	memset(out, 0, 12);
	out[0] = (uint8_t)(n->id >> 8);
	out[1] = (uint8_t)n->id;
	out[2] = 1; /* RD */
	out[5] = 1;
	while (*label) {
		size_t len = strcspn(label, ".");

		*at++ = (uint8_t)len;
		memcpy(at, label, len);
		at += len;
		label += len + (label[len] == '.');
	}
	memcpy(at, "\0\0\1\0\1", 5); /* root, A, IN */
	return (size_t)(at + 5 - out);
}

static void name_over(struct name *n)
{
	close(n->fd);
	n->stage = FREE;
}

static void connect_to(struct name *n, const struct sockaddr_in *to)
{
	n->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (n->fd < 0 || connect(n->fd, (const struct sockaddr *)to, sizeof(*to)))
		load_die("connect");
}

/* Where nobody listens, a question is asked again soon. */
static void unheard(struct name *n, int err, uint64_t now)
{
	n->why = err;
	if (n->stage == ASKING)
		n->asked = now - AGAIN_US + PAUSE_US;
}

static void ask(struct name *n, uint64_t now)
{
	uint8_t query[128];

	n->asked = now;
	if (send(n->fd, query, query_write(query, n), 0) < 0)
		unheard(n, errno, now);
}

static void name_begin(struct name *n, const char *suffix, uint64_t now)
{
	snprintf(n->text, sizeof(n->text), "n%08x-%llu.%s", seed, (unsigned long long)counter++,
		 suffix);
	n->stage = ASKING;
	n->started = now;
	n->lost = false;
	n->id = (uint16_t)rand();
	n->why = 0;
	n_asked++;
	connect_to(n, &server);
	ask(n, now);
}

/* The address of the last record; 0: none. Answers hold one, at the end but for OPT. */
static uint32_t answer_read(const uint8_t *msg, size_t len, size_t query_len)
{
	uint32_t a;

	if (len < query_len + 16 || (msg[3] & 15) || !msg[7])
		return 0;
	memcpy(&a, msg + query_len + 12, 4);
	return a;
}

static void works(struct name *n, uint32_t seen, uint64_t now)
{
	uint64_t took = now - n->started;

	if (took > slowest)
		slowest = took;
	if (took > LATE_US) {
		n_late++;
		load_event("late", took, "%s %s %llu", n->text, load_via(seen),
			   (unsigned long long)took / 1000);
	}
	name_over(n);
}

static void try(struct name *n, uint64_t now)
{
	uint8_t datagram[64] = { 0 };

	n->used = now;
	if (send(n->fd, datagram, sizeof(datagram), 0) < 0)
		n->why = errno;
}

static void answered(struct name *n, uint32_t magic, uint64_t now)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(ECHO_PORT),
				  .sin_addr.s_addr = magic };

	close(n->fd);
	connect_to(n, &to);
	n->stage = TRYING;
	n->why = 0;
	try(n, now);
}

static void try_again(struct name *n, uint64_t now)
{
	if (!n->lost)
		load_event("lost", now - n->used, "%s any %s", n->text,
			   n->why ? load_errno(n->why) : "no-echo");
	n->lost = true;
	try(n, now);
}

static void take(struct name *n, uint64_t now)
{
	uint32_t magic, seen;
	uint8_t msg[2048], query[128];
	ssize_t len = recv(n->fd, msg, sizeof(msg), 0);

	if (len < 0) {
		if (errno != EAGAIN)
			unheard(n, errno, now);
		return;
	}
	if (n->stage == TRYING) {
		memcpy(&seen, msg + 4, 4);
		if (len == 64)
			works(n, seen, now);
		return;
	}
	if (len < 12 || msg[0] != n->id >> 8 || msg[1] != (n->id & 255))
		return;
	magic = answer_read(msg, (size_t)len, query_write(query, n));
	if (magic && !use) {
		works(n, 0, now);
	} else if (magic) {
		answered(n, magic, now);
	} else {
		/* SERVFAIL: as no answer, but sooner. */
		n->why = EAGAIN;
		n->asked = now - AGAIN_US + 4 * PAUSE_US;
	}
}

static void name_turn(struct name *n, uint64_t now)
{
	take(n, now);
	if (n->stage == FREE)
		return;
	if (now - n->started > BUDGET_US) {
		n_failed++;
		load_event("failed", now - n->started, "%s - %s-%s", n->text,
			   n->stage == ASKING ? "ask" : "use",
			   n->why == EAGAIN ? "servfail" :
			   n->why           ? load_errno(n->why) :
					      "no-answer");
		name_over(n);
	} else if (n->stage == ASKING && now - n->asked >= AGAIN_US) {
		ask(n, now);
	} else if (n->stage == TRYING && now - n->used >= RESEND_US) {
		try_again(n, now);
	}
}

int main(int argc, char **argv)
{
	size_t suffixes = (size_t)argc - 4;
	uint64_t step, next, over = 0;

	if (argc < 5)
		return 2;
	load_start();
	use = !strcmp(argv[1], "use");
	server = load_addr(argv[3], 53);
	seed = (uint32_t)load_wall_ms();
	srand(seed);
	step = 1000000 / strtoul(argv[2], NULL, 10);
	next = load_now_us();
	while (!over || load_now_us() < over) {
		static struct pollfd polls[ROOM];
		uint64_t now = load_now_us();
		size_t n = 0;

		if (load_ending && !over)
			over = now + BUDGET_US + 100000;
		for (size_t i = 0; i < ROOM; i++) {
			if (!over && names[i].stage == FREE && now >= next) {
				name_begin(&names[i], argv[4 + counter % suffixes], now);
				next += step;
			}
			if (names[i].stage == FREE)
				continue;
			name_turn(&names[i], now);
			if (names[i].stage != FREE)
				polls[n++] = (struct pollfd){ .fd = names[i].fd, .events = POLLIN };
		}
		poll(polls, n, 5);
	}
	printf("names-total %llu %llu %llu %llu\n", (unsigned long long)n_asked,
	       (unsigned long long)n_failed, (unsigned long long)n_late,
	       (unsigned long long)slowest / 1000);
	return 0;
}
