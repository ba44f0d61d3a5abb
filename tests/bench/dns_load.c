/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_load: what the DNS benches need: who answers, who forwards at least cost, who asks.
 *
 *	dns_load serve ADDR PORT	answers every A question: 203.0.113.x, by the name
 *	dns_load forward ADDR PORT UPSTREAM PORT
 *					the floor: a forwarder that does nothing but forward
 *	dns_load ask ADDR PORT N SUFFIX NAMES NET/BITS [PID...]
 *	dns_load soak ADDR PORT SECONDS SUFFIX NAMES NET/BITS
 *					closed loop of BATCH questions for d00000.SUFFIX and on
 *
 *	dns_load burst ADDR PORT N SUFFIX WINDOW
 *					N different questions that nobody answers, as fast as all
 *but WINDOW of them come back as SERVFAIL
 *
 * Every answer is checked: its id, its question, one A record within NET, the same for a name each
 * time. A question without a right answer within two seconds ends the run with exit status 1.
 *
 * `burst` prints how many had not come back when the last had been asked, how many never did within
 * ten seconds, and the milliseconds it took to ask them all.
 *
 * `ask` prints nanoseconds per question: passed, of its own CPU time, and for each PID of all its
 * threads' CPU time and of that what was user mode. CPU time of a process includes the softirqs
 * that ran in it: the delivery of what it sent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH    64
#define MAX_MSG  1232
#define MAX_PIDS 4
#define HEADER   12
#define LATE_NS  2000000000ULL

/* Messages of one recvmmsg() or sendmmsg(). */
struct batch {
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_in peer[BATCH];
	uint8_t data[BATCH][MAX_MSG];
};

static void die(const char *what)
{
	fprintf(stderr, "dns_load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		die("clock_gettime");
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static struct sockaddr_in address(const char *addr, const char *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

	if (inet_pton(AF_INET, addr, &sa.sin_addr) != 1)
		die(addr);
	return sa;
}

static int udp(const char *addr, const char *port, bool passive)
{
	struct sockaddr_in sa = address(addr, port);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), big = 4 << 20;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	if (passive ? bind(fd, (void *)&sa, sizeof(sa)) : connect(fd, (void *)&sa, sizeof(sa)))
		die(passive ? "bind" : "connect");
	return fd;
}

/* `named`: the socket is not connected. */
static struct batch *batch_new(bool named)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (!b)
		die("memory");
	for (int i = 0; i < BATCH; i++) {
		b->msgs[i].msg_hdr.msg_iov = &b->iov[i];
		b->msgs[i].msg_hdr.msg_iovlen = 1;
		b->msgs[i].msg_hdr.msg_name = named ? &b->peer[i] : NULL;
	}
	return b;
}

/* Messages read; sets the parts' lengths to what came, ready to be sent. */
static int batch_read(struct batch *b, int fd, int flags)
{
	int n;

	for (int i = 0; i < BATCH; i++) {
		b->iov[i] = (struct iovec){ b->data[i], MAX_MSG };
		b->msgs[i].msg_hdr.msg_namelen = b->msgs[i].msg_hdr.msg_name ? sizeof(b->peer[i]) :
									       0;
	}
	n = recvmmsg(fd, b->msgs, BATCH, flags, NULL);
	for (int i = 0; i < n; i++)
		b->iov[i].iov_len = b->msgs[i].msg_len;
	return n;
}

static void batch_send(struct batch *b, int fd, int n)
{
	for (int sent = 0; sent < n;) {
		int got = sendmmsg(fd, b->msgs + sent, (unsigned int)(n - sent), 0);

		sent += got > 0 ? got : 1; /* one that cannot be sent is lost */
	}
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint16_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/* The end of the question, 0 for none. */
static size_t question_end(const uint8_t *msg, size_t len)
{
	size_t at = HEADER;

	if (len < HEADER || get16(msg + 4) != 1)
		return 0;
	while (at < len && msg[at])
		at += msg[at] + 1U;
	return at + 5 <= len ? at + 5 : 0;
}

/* An answer in place; its length. */
static size_t answer(uint8_t *msg, size_t len)
{
	static const uint8_t record[] = { 0xc0, HEADER, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 203, 0, 113 };
	size_t end = question_end(msg, len);
	uint32_t sum = 0;

	if (!end)
		return len;
	put16(msg + 2, 0x8180 | (get16(msg + 2) & 0x0100));
	memset(msg + 6, 0, 6);
	if (get16(msg + end - 4) != 1)
		return end;
	for (size_t i = HEADER; i < end; i++)
		sum = sum * 31 + (msg[i] | 0x20);
	put16(msg + 6, 1);
	memcpy(msg + end, record, sizeof(record));
	msg[end + sizeof(record)] = (uint8_t)(sum % 254 + 1);
	return end + sizeof(record) + 1;
}

static void serve(int fd)
{
	struct batch *b = batch_new(true);

	for (;;) {
		int n = batch_read(b, fd, MSG_WAITFORONE);

		for (int i = 0; i < n; i++)
			b->iov[i].iov_len = answer(b->data[i], b->iov[i].iov_len);
		batch_send(b, fd, n);
	}
}

/* The client that waits for an answer of each id. */
struct asked {
	struct sockaddr_in client;
	uint8_t id[2];
};

static void forward(int down, int up)
{
	struct asked *asked = calloc(UINT16_MAX + 1, sizeof(*asked));
	struct batch *from_client = batch_new(true), *to_server = batch_new(false);
	struct batch *from_server = batch_new(false), *to_client = batch_new(true);
	struct epoll_event events[2];
	int ep = epoll_create1(0);
	uint16_t next = 0;

	fcntl(down, F_SETFL, O_NONBLOCK);
	fcntl(up, F_SETFL, O_NONBLOCK);
	epoll_ctl(ep, EPOLL_CTL_ADD, down, &(struct epoll_event){ EPOLLIN, { .fd = down } });
	epoll_ctl(ep, EPOLL_CTL_ADD, up, &(struct epoll_event){ EPOLLIN, { .fd = up } });
	for (;;) {
		int ready = epoll_wait(ep, events, 2, -1);

		for (int e = 0; e < ready; e++) {
			bool query = events[e].data.fd == down;
			struct batch *in = query ? from_client : from_server;
			struct batch *out = query ? to_server : to_client;
			int n = batch_read(in, query ? down : up, 0);

			for (int i = 0; i < n; i++) {
				struct asked *a = &asked[query ? next : get16(in->data[i])];

				out->iov[i] = in->iov[i];
				if (query) {
					a->client = in->peer[i];
					memcpy(a->id, in->data[i], 2);
					put16(in->data[i], next++);
				} else {
					out->peer[i] = a->client;
					out->msgs[i].msg_hdr.msg_namelen = sizeof(a->client);
					memcpy(in->data[i], a->id, 2);
				}
			}
			if (n > 0)
				batch_send(out, query ? up : down, n);
		}
	}
}

/* The asking side. */
struct load {
	int fd;
	const char *suffix;
	uint32_t names;
	uint32_t net, mask;
	uint32_t *addrs; /* of each name, 0 until its first answer */
	uint32_t name[BATCH];
	uint64_t sent_at[BATCH];
	uint16_t id[BATCH];
	bool out[BATCH];
	uint16_t round;
	uint64_t asked, answered;
	struct batch *tx, *rx;
};

static size_t question(uint8_t *msg, uint16_t id, uint32_t name, const char *suffix)
{
	char text[128];
	size_t at = HEADER;

	memset(msg, 0, HEADER);
	put16(msg, id);
	put16(msg + 2, 0x0100);
	put16(msg + 4, 1);
	snprintf(text, sizeof(text), "d%05u.%s", name, suffix);
	for (const char *label = text; *label;) {
		size_t len = strcspn(label, ".");

		msg[at++] = (uint8_t)len;
		memcpy(msg + at, label, len);
		at += len;
		label += len + (label[len] == '.');
	}
	msg[at++] = 0;
	put16(msg + at, 1);
	put16(msg + at + 2, 1);
	return at + 4;
}

static void fill(struct load *l, uint64_t most)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	int n = 0;

	for (int i = 0; i < BATCH; i++) {
		if (l->out[i] && now > l->sent_at[i] + LATE_NS) {
			fprintf(stderr, "dns_load: no answer for d%05u.%s\n", l->name[i],
				l->suffix);
			exit(1);
		}
		if (l->out[i] || l->asked == most)
			continue;
		l->out[i] = true;
		l->name[i] = (uint32_t)(l->asked++ % l->names);
		l->id[i] = (uint16_t)(l->round++ << 6 | i);
		l->sent_at[i] = now;
		l->tx->iov[n] = (struct iovec){ l->tx->data[n], question(l->tx->data[n], l->id[i],
									 l->name[i], l->suffix) };
		n++;
	}
	batch_send(l->tx, l->fd, n);
}

static const char *check(struct load *l, const uint8_t *msg, size_t len)
{
	size_t end = question_end(msg, len);
	uint8_t expected[MAX_MSG];
	uint16_t id = get16(msg);
	int i = id % BATCH;
	uint32_t addr;

	if (!end || !l->out[i] || l->id[i] != id)
		return "an answer to nothing";
	if (question(expected, id, l->name[i], l->suffix) != end ||
	    memcmp(msg + HEADER, expected + HEADER, end - HEADER) != 0)
		return "an answer to another question";
	if ((get16(msg + 2) & 0x820f) != 0x8000 || get16(msg + 6) != 1 || end + 16 > len ||
	    msg[end] != 0xc0 || get16(msg + end + 2) != 1 || get16(msg + end + 10) != 4)
		return "not an answer of one address";
	memcpy(&addr, msg + end + 12, sizeof(addr));
	if ((ntohl(addr) & l->mask) != l->net)
		return "an address of another network";
	if (l->addrs[l->name[i]] && l->addrs[l->name[i]] != addr)
		return "another address than before";
	l->addrs[l->name[i]] = addr;
	l->out[i] = false;
	l->answered++;
	return NULL;
}

static void take(struct load *l)
{
	int n = batch_read(l->rx, l->fd, MSG_WAITFORONE);

	for (int i = 0; i < n; i++) {
		const char *wrong = check(l, l->rx->data[i], l->rx->iov[i].iov_len);

		if (!wrong)
			continue;
		fprintf(stderr, "dns_load: %s, flags %04x, d%05u.%s\n", wrong,
			get16(l->rx->data[i] + 2), l->name[get16(l->rx->data[i]) % BATCH],
			l->suffix);
		exit(1);
	}
}

/* `most` questions, or those until `end`, all of them answered. */
static void ask(struct load *l, uint64_t most, uint64_t end)
{
	l->asked = l->answered = 0;
	do {
		fill(l, most);
		take(l);
		if (l->asked < most && clock_ns(CLOCK_MONOTONIC) >= end)
			most = l->asked;
	} while (l->answered < most);
}

/* Clock ticks of user mode and of both. */
static void ticks(int pid, uint64_t *user, uint64_t *both)
{
	unsigned long u = 0, s = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (!f ||
	    fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &u, &s) != 2)
		die(path);
	fclose(f);
	*user = u;
	*both = u + s;
}

struct process {
	int pid;
	clockid_t clock;
	uint64_t ns, user, both;
};

static void report(struct load *l, uint64_t n, char **pids, int n_pids)
{
	struct process procs[MAX_PIDS];
	uint64_t passed, own, user, both;

	for (int i = 0; i < n_pids; i++) {
		procs[i].pid = atoi(pids[i]);
		if (clock_getcpuclockid(procs[i].pid, &procs[i].clock))
			die(pids[i]);
		procs[i].ns = clock_ns(procs[i].clock);
		ticks(procs[i].pid, &procs[i].user, &procs[i].both);
	}
	passed = clock_ns(CLOCK_MONOTONIC);
	own = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	ask(l, n, UINT64_MAX);
	printf("%.1f %.1f", (double)(clock_ns(CLOCK_MONOTONIC) - passed) / (double)n,
	       (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - own) / (double)n);
	for (int i = 0; i < n_pids; i++) {
		double ns = (double)(clock_ns(procs[i].clock) - procs[i].ns) / (double)n;

		ticks(procs[i].pid, &user, &both);
		user -= procs[i].user;
		both -= procs[i].both;
		printf(" %.1f %.1f", ns, both ? ns * (double)user / (double)both : 0);
	}
	printf("\n");
}

static struct load *load_new(char **args)
{
	struct timeval limit = { .tv_sec = 1 };
	struct load *l = calloc(1, sizeof(*l));
	char *slash = strchr(args[5], '/');
	struct in_addr net;

	if (!l || !slash)
		die("memory or network");
	*slash = 0;
	if (inet_pton(AF_INET, args[5], &net) != 1)
		die(args[5]);
	l->fd = udp(args[0], args[1], false);
	setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	l->suffix = args[3];
	l->names = (uint32_t)atoi(args[4]);
	l->mask = ~0U << (32 - atoi(slash + 1));
	l->net = ntohl(net.s_addr);
	l->addrs = calloc(l->names, sizeof(*l->addrs));
	l->tx = batch_new(false);
	l->rx = batch_new(false);
	if (!l->addrs)
		die("memory");
	return l;
}

/* Questions of a burst that have come back, by their number. */
struct burst {
	int fd;
	const char *suffix;
	uint32_t asked, back;
	bool *came;
	struct batch *tx, *rx;
};

static void burst_check(struct burst *b, const uint8_t *msg, size_t len)
{
	size_t end = question_end(msg, len);
	uint8_t expected[MAX_MSG];
	uint32_t name = end && msg[HEADER] < 12 ? (uint32_t)atol((const char *)msg + HEADER + 2) :
						  0;

	errno = EPROTO;
	if (!end || name >= b->asked || (get16(msg + 2) & 0x800f) != 0x8002 ||
	    question(expected, (uint16_t)name, name, b->suffix) != end ||
	    get16(msg) != get16(expected) ||
	    memcmp(msg + HEADER, expected + HEADER, end - HEADER) != 0)
		die("an answer that is none");
	if (b->came[name])
		die("a second answer");
	b->came[name] = true;
	b->back++;
}

/* Whether something came within so many milliseconds. */
static bool burst_take(struct burst *b, int ms)
{
	struct pollfd p = { .fd = b->fd, .events = POLLIN };
	int n;

	if (poll(&p, 1, ms) <= 0)
		return false;
	n = batch_read(b->rx, b->fd, MSG_DONTWAIT);
	for (int i = 0; i < n; i++)
		burst_check(b, b->rx->data[i], b->rx->iov[i].iov_len);
	return true;
}

static void burst(struct burst *b, uint32_t n, uint32_t window)
{
	uint64_t start = clock_ns(CLOCK_MONOTONIC), sent;
	uint32_t open;

	while (b->asked < n) {
		int some = 0;

		for (; some < BATCH && b->asked < n && b->asked - b->back < window;
		     some++, b->asked++)
			b->tx->iov[some].iov_len = question(b->tx->data[some], (uint16_t)b->asked,
							    b->asked, b->suffix);
		batch_send(b->tx, b->fd, some);
		while (burst_take(b, b->asked - b->back < window ? 0 : 10))
			;
	}
	sent = clock_ns(CLOCK_MONOTONIC);
	while (burst_take(b, 100))
		;
	open = n - b->back;
	while (b->back < n && clock_ns(CLOCK_MONOTONIC) < sent + 10000000000ULL)
		burst_take(b, 100);
	printf("%u %u %llu\n", open, n - b->back, (unsigned long long)(sent - start) / 1000000);
}

static void burst_run(char **args)
{
	struct burst b = { .fd = udp(args[0], args[1], false), .suffix = args[3] };
	uint32_t n = (uint32_t)atol(args[2]);

	b.came = calloc(n, sizeof(*b.came));
	b.tx = batch_new(false);
	b.rx = batch_new(false);
	if (!b.came)
		die("memory");
	for (int i = 0; i < BATCH; i++)
		b.tx->iov[i].iov_base = b.tx->data[i];
	burst(&b, n, (uint32_t)atol(args[4]));
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "serve")) {
		serve(udp(argv[2], argv[3], true));
	} else if (argc == 6 && !strcmp(argv[1], "forward")) {
		forward(udp(argv[2], argv[3], true), udp(argv[4], argv[5], false));
	} else if (argc >= 8 && argc <= 8 + MAX_PIDS && !strcmp(argv[1], "ask")) {
		report(load_new(argv + 2), (uint64_t)atoll(argv[4]), argv + 8, argc - 8);
	} else if (argc == 7 && !strcmp(argv[1], "burst")) {
		burst_run(argv + 2);
	} else if (argc == 8 && !strcmp(argv[1], "soak")) {
		struct load *l = load_new(argv + 2);

		ask(l, UINT64_MAX,
		    clock_ns(CLOCK_MONOTONIC) + (uint64_t)atoll(argv[4]) * 1000000000ULL);
		printf("%llu\n", (unsigned long long)l->answered);
	} else {
		return 2;
	}
	return 0;
}
