/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * udp RATE ADDRESS...: RATE datagrams a second to the echo server, in turn to each address, each
 * address one flow. One that is not back after two seconds is lost.
 *
 * lost MS FLOW VIA WHY: sent at MS; VIA: the source that the server had seen of this
 * flow by then.
 * At the end: `udp-total SENT LOST MOST_MS`.
 */
#include "load.h"

#define LOST_US 2000000
#define WINDOW  65536 /* datagrams under way, at most */

struct datagram {
	uint32_t seq;
	uint32_t seen; /* filled in by the server */
	uint64_t flow;
};

static struct flow {
	int fd;
	uint32_t seen;
} * flows;

static struct {
	uint64_t sent; /* 0: none, or back */
	uint64_t flow;
	uint32_t via;
	int error; /* that the socket reported since */
} window[WINDOW];

static uint64_t n_sent, n_lost, slowest;

static void flow_open(struct flow *f, const char *address)
{
	struct sockaddr_in sa = load_addr(address, ECHO_PORT);
	int room = 4 << 20;

	f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	setsockopt(f->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (connect(f->fd, (struct sockaddr *)&sa, sizeof(sa)))
		load_die(address);
}

/* An ICMP error says nothing of which datagram: it is told of the one sent last. */
static void note_error(uint32_t seq)
{
	window[seq % WINDOW].error = errno;
}

static void send_one(size_t n_flows, uint32_t seq)
{
	size_t i = seq % n_flows;
	struct datagram d = { .seq = seq, .flow = i };

	window[seq % WINDOW].sent = load_now_us();
	window[seq % WINDOW].flow = i;
	window[seq % WINDOW].via = flows[i].seen;
	window[seq % WINDOW].error = 0;
	n_sent++;
	/* A pending error of an earlier datagram comes first, and this one was not sent. */
	for (int try = 0; try < 2; try++) {
		if (send(flows[i].fd, &d, sizeof(d), 0) == sizeof(d))
			return;
		note_error(seq);
	}
}

static void receive(struct flow *f, uint32_t seq)
{
	struct datagram d;
	ssize_t n;

	while ((n = recv(f->fd, &d, sizeof(d), 0)) == sizeof(d)) {
		uint64_t *sent = &window[d.seq % WINDOW].sent, took;

		if (!*sent || seq - d.seq >= WINDOW)
			continue;
		took = load_now_us() - *sent;
		if (took > slowest)
			slowest = took;
		f->seen = d.seen;
		*sent = 0;
	}
	if (n < 0 && errno != EAGAIN)
		note_error(seq);
}

static uint32_t expire(uint32_t first, uint32_t end)
{
	uint64_t now = load_now_us();

	for (; first != end; first++) {
		uint64_t sent = window[first % WINDOW].sent;
		size_t flow = window[first % WINDOW].flow;
		int error = window[first % WINDOW].error;

		if (!sent)
			continue;
		if (now - sent < LOST_US)
			break;
		n_lost++;
		load_event("lost", now - sent, "udp%zu %s %s", flow,
			   load_via(window[first % WINDOW].via),
			   error ? load_errno(error) : "no-echo");
		window[first % WINDOW].sent = 0;
	}
	return first;
}

int main(int argc, char **argv)
{
	size_t n = (size_t)argc - 2;
	uint64_t step, next, over = 0;
	uint32_t seq = 0, first = 0;
	struct pollfd *polls;

	if (argc < 3)
		return 2;
	load_start();
	flows = calloc(n, sizeof(*flows));
	polls = calloc(n, sizeof(*polls));
	if (!flows || !polls)
		load_die("calloc");
	for (size_t i = 0; i < n; i++) {
		flow_open(&flows[i], argv[i + 2]);
		polls[i] = (struct pollfd){ .fd = flows[i].fd, .events = POLLIN };
	}
	step = 1000000 / strtoul(argv[1], NULL, 10);
	next = load_now_us();
	while (!over || load_now_us() < over) {
		if (load_ending && !over)
			over = load_now_us() + LOST_US + 100000;
		while (!over && load_now_us() >= next) {
			send_one(n, seq++);
			next += step;
		}
		poll(polls, n, 1);
		for (size_t i = 0; i < n; i++)
			if (polls[i].revents)
				receive(&flows[i], seq - 1);
		first = expire(first, seq);
	}
	printf("udp-total %llu %llu %llu\n", (unsigned long long)n_sent, (unsigned long long)n_lost,
	       (unsigned long long)slowest / 1000);
	return 0;
}
