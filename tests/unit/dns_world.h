/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_world: a proxy between a client's sockets and scripted resolvers, all on one loop in a
 * network namespace of the test's own. Time is the test's: tick() moves the clock forward.
 */
#ifndef DNS_WORLD_H
#define DNS_WORLD_H

#include "cleanup.h"
#include "dns_proxy.h"
#include "leaks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

#define APP   7
#define HEARD 64

static int64_t clock_skew_ms;

/* Takes the C library's place, for libuv too. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
	long err = syscall(SYS_clock_gettime, id, ts);

	if (!err && id != CLOCK_REALTIME) {
		ts->tv_sec += clock_skew_ms / 1000;
		ts->tv_nsec += clock_skew_ms % 1000 * 1000000;
		if (ts->tv_nsec >= 1000000000) {
			ts->tv_sec++;
			ts->tv_nsec -= 1000000000;
		}
	}
	return (int)err;
}

struct packet {
	uint8_t b[66000];
	size_t len;
};

enum script {
	ANSWER, /* one A or AAAA record */
	SILENT,
	SERVFAIL,
	REFUSED,
	TRUNCATED,   /* over UDP only */
	FORGED,      /* wrong id, wrong question, no response, too short; then the answer */
	NO_QUESTION, /* NOERROR without any section */
	BIG,         /* 65535 bytes over TCP */
	LONG,        /* 40 A records */
	CLOSING,     /* TCP: one answer, then the connection is closed */
	BACKWARDS,   /* TCP: answers wait until there are two, the later first */
};

struct heard {
	struct packet *msg;
	uint16_t port;
	bool tcp;
};

struct resolver {
	enum script script;
	int udp, listener, tcp;
	uv_poll_t udp_poll, listener_poll, *tcp_poll;
	bool tcp_open;
	struct heard heard[HEARD]; /* the first ones */
	size_t n_heard;
	struct packet in;
	struct packet waiting;
	size_t n_tcp_conns;
};

enum control { GRANT, HOLD, FAIL };

struct world {
	uv_loop_t loop;
	uv_timer_t guard;
	struct dns_proxy *proxy;
	struct resolver up[2];
	enum control control;
	struct dns_query *held[8];
	struct dns_plan *held_plan[8];
	size_t n_held, n_dropped;
};

static struct world *W;

static void world_netns(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		cr_skip("no network namespace: %s", strerror(errno));
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	cr_assert_eq(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	close(fd);
}

static struct sockaddr_storage at(const char *text)
{
	struct sockaddr_storage ss;

	cr_assert_eq(sock_parse(&ss, text, 0), 0, "%s", text);
	return ss;
}

static int open_socket(int type, const char *bind_to)
{
	struct sockaddr_storage ss = at(bind_to);
	int fd = socket(ss.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	cr_assert_eq(bind(fd, (void *)&ss, sock_len((void *)&ss)), 0, "%s", strerror(errno));
	return fd;
}

/* ---- messages ---- */

static struct packet *question(struct packet *m, uint16_t id, const char *name, uint16_t type)
{
	size_t n = 12;

	memset(m->b, 0, 12);
	m->b[0] = (uint8_t)(id >> 8);
	m->b[1] = (uint8_t)id;
	m->b[2] = 1; /* RD */
	m->b[5] = 1;
	while (*name) {
		size_t label = strcspn(name, ".");

		m->b[n++] = (uint8_t)label;
		memcpy(m->b + n, name, label);
		n += label;
		name += label + (name[label] == '.');
	}
	m->b[n++] = 0;
	m->b[n++] = (uint8_t)(type >> 8);
	m->b[n++] = (uint8_t)type;
	m->b[n++] = 0;
	m->b[n++] = 1;
	m->len = n;
	return m;
}

static inline void add_edns(struct packet *m, uint16_t size)
{
	uint8_t opt[11] = { 0, 0, 41, (uint8_t)(size >> 8), (uint8_t)size };

	memcpy(m->b + m->len, opt, sizeof(opt));
	m->len += sizeof(opt);
	m->b[11]++;
}

static void add_a(struct packet *m, uint8_t last)
{
	const uint8_t rr[16] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, last };

	memcpy(m->b + m->len, rr, sizeof(rr));
	m->len += sizeof(rr);
	m->b[7]++;
}

/* The question's end, so that a reply can be made from a query. */
static void cut_to_question(struct packet *m)
{
	size_t n = 12;

	while (n < m->len && m->b[n])
		n += 1U + m->b[n];
	m->len = n + 5;
	memset(m->b + 6, 0, 6);
}

static struct packet *answer(struct packet *m, const struct resolver *r, const struct packet *query,
			     bool tcp)
{
	memcpy(m->b, query->b, query->len);
	m->len = query->len;
	cut_to_question(m);
	m->b[2] |= 0x80;
	m->b[3] = 0x80;
	if (r->script == SERVFAIL)
		m->b[3] |= 2;
	else if (r->script == REFUSED)
		m->b[3] |= 5;
	else if (r->script == TRUNCATED && !tcp)
		m->b[2] |= 2;
	else if (r->script == LONG)
		for (uint8_t i = 1; i <= 40; i++)
			add_a(m, i);
	else
		add_a(m, 9);
	if (r->script == BIG) {
		memset(m->b + m->len, 0xee, sizeof(m->b) - m->len);
		m->len = 65535;
	}
	if (r->script == NO_QUESTION) {
		memset(m->b + 4, 0, 8);
		m->len = 12;
	}
	return m;
}

/* ---- resolvers ---- */

static void hear(struct resolver *r, const struct packet *m, uint16_t port, bool tcp)
{
	struct heard *h;

	if (r->n_heard++ >= HEARD)
		return;
	h = &r->heard[r->n_heard - 1];
	h->msg = malloc(sizeof(*m));
	*h->msg = *m;
	h->port = port;
	h->tcp = tcp;
}

static void resolver_udp(uv_poll_t *handle, int status, int events)
{
	static struct packet m, a;
	struct resolver *r = handle->data;
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	ssize_t n;

	for (;; len = sizeof(from)) {
		n = recvfrom(r->udp, m.b, sizeof(m.b), 0, (void *)&from, &len);
		if (n < 0)
			return;
		m.len = (size_t)n;
		hear(r, &m, sock_port((void *)&from), false);
		if (r->script == SILENT)
			continue;
		answer(&a, r, &m, false);
		if (r->script == FORGED) {
			a.b[1] ^= 1;
			sendto(r->udp, a.b, a.len, 0, (void *)&from, len);
			a.b[1] ^= 1;
			a.b[13] ^= 1;
			sendto(r->udp, a.b, a.len, 0, (void *)&from, len);
			a.b[13] ^= 1;
			a.b[2] &= 0x7f;
			sendto(r->udp, a.b, a.len, 0, (void *)&from, len);
			a.b[2] |= 0x80;
			sendto(r->udp, a.b, 11, 0, (void *)&from, len);
		}
		sendto(r->udp, a.b, a.len, 0, (void *)&from, len);
	}
}

static void send_all(int fd, const void *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
		struct pollfd pfd = { fd, POLLOUT, 0 };

		if (n < 0 && errno == EAGAIN)
			poll(&pfd, 1, 1000);
		else if (n <= 0)
			return;
		if (n > 0) {
			data = (const uint8_t *)data + n;
			len -= (size_t)n;
		}
	}
}

static void send_frame(int fd, const struct packet *m)
{
	uint8_t prefix[2] = { (uint8_t)(m->len >> 8), (uint8_t)m->len };

	send_all(fd, prefix, 2);
	send_all(fd, m->b, m->len);
}

static void poll_closed(uv_handle_t *handle)
{
	free(handle);
}

static void resolver_hang_up(struct resolver *r)
{
	if (!r->tcp_open)
		return;
	r->tcp_open = false;
	uv_close((uv_handle_t *)r->tcp_poll, poll_closed);
	close(r->tcp);
}

static void resolver_reply_tcp(struct resolver *r, const struct packet *query)
{
	static struct packet a;

	hear(r, query, 0, true);
	if (r->script == SILENT)
		return;
	answer(&a, r, query, true);
	if (r->script == BACKWARDS && !r->waiting.len) {
		r->waiting = a;
		return;
	}
	send_frame(r->tcp, &a);
	if (r->script == BACKWARDS) {
		send_frame(r->tcp, &r->waiting);
		r->waiting.len = 0;
	}
}

static void resolver_tcp(uv_poll_t *handle, int status, int events)
{
	static struct packet m;
	struct resolver *r = handle->data;
	ssize_t n = recv(r->tcp, r->in.b + r->in.len, sizeof(r->in.b) - r->in.len, 0);

	if (n <= 0) {
		resolver_hang_up(r);
		return;
	}
	r->in.len += (size_t)n;
	while (r->in.len >= 2 && r->in.len >= 2U + (r->in.b[0] << 8 | r->in.b[1])) {
		m.len = (size_t)(r->in.b[0] << 8 | r->in.b[1]);
		memcpy(m.b, r->in.b + 2, m.len);
		r->in.len -= 2 + m.len;
		memmove(r->in.b, r->in.b + 2 + m.len, r->in.len);
		resolver_reply_tcp(r, &m);
		if (r->script == CLOSING) {
			resolver_hang_up(r);
			return;
		}
	}
}

static void resolver_accept(uv_poll_t *handle, int status, int events)
{
	struct resolver *r = handle->data;
	int fd;

	if (r->tcp_open)
		return;
	fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	r->tcp = fd;
	r->tcp_open = true;
	r->in.len = 0;
	r->n_tcp_conns++;
	r->tcp_poll = malloc(sizeof(*r->tcp_poll));
	uv_poll_init(&W->loop, r->tcp_poll, fd);
	r->tcp_poll->data = r;
	uv_poll_start(r->tcp_poll, UV_READABLE, resolver_tcp);
}

static void resolver_open(struct resolver *r, const char *addr)
{
	r->udp = open_socket(SOCK_DGRAM, addr);
	r->listener = open_socket(SOCK_STREAM, addr);
	listen(r->listener, 16);
	uv_poll_init(&W->loop, &r->udp_poll, r->udp);
	uv_poll_init(&W->loop, &r->listener_poll, r->listener);
	r->udp_poll.data = r->listener_poll.data = r;
	uv_poll_start(&r->udp_poll, UV_READABLE, resolver_udp);
	uv_poll_start(&r->listener_poll, UV_READABLE, resolver_accept);
}

/* Nobody is there any more: ICMP port unreachable, and RST. */
static void resolver_close(struct resolver *r)
{
	if (r->udp < 0)
		return;
	uv_close((uv_handle_t *)&r->udp_poll, NULL);
	uv_close((uv_handle_t *)&r->listener_poll, NULL);
	close(r->udp);
	close(r->listener);
	r->udp = r->listener = -1;
	resolver_hang_up(r);
}

/* ---- the controller ---- */

static size_t ops_match(void *ctx, const struct dns_question *q)
{
	char text[DNS_MAX_TEXT];

	return strstr(dns_name_text(text, q->name), "example.com") ? APP : DNS_MATCH_PASS;
}

static void grant(struct dns_plan *plan)
{
	const uint8_t magic[4] = { 198, 18, 0, 1 };

	for (size_t i = 0; i < plan->n_addrs; i++) {
		plan->addrs[i].state = DNS_ADDR_GRANTED;
		plan->addrs[i].magic = addr_from4(magic);
		plan->addrs[i].magic.b[15] = (uint8_t)(i + 1);
	}
}

static void ops_answered(void *ctx, struct dns_query *query, size_t app,
			 const struct dns_question *q, struct dns_plan *plan)
{
	cr_assert_eq(ctx, W);
	cr_assert_eq(app, APP);
	if (W->control == HOLD) {
		W->held[W->n_held] = query;
		W->held_plan[W->n_held++] = plan;
	} else if (W->control == FAIL) {
		dns_query_fail(query);
	} else {
		grant(plan);
		dns_query_finish(query);
	}
}

static void ops_dropped(void *ctx, struct dns_query *query)
{
	W->n_dropped++;
}

static void ops_families(void *ctx, bool *has4, bool *has6)
{
	*has4 = *has6 = true;
}

static const struct dns_proxy_ops world_ops = {
	.match = ops_match,
	.answered = ops_answered,
	.dropped = ops_dropped,
	.families = ops_families,
};

/* ---- the world ---- */

static void guard_fired(uv_timer_t *timer)
{
}

/* Two resolvers, of which the proxy knows the first `n`; listeners of both families. */
static void world_open(size_t n)
{
	struct sockaddr_storage ups[2], v4, v6;

	world_netns();
	W = calloc(1, sizeof(*W));
	uv_loop_init(&W->loop);
	uv_timer_init(&W->loop, &W->guard);
	uv_unref((uv_handle_t *)&W->guard);
	uv_timer_start(&W->guard, guard_fired, 5, 5);
	resolver_open(&W->up[0], "127.0.0.2:5353");
	resolver_open(&W->up[1], "127.0.0.3:5353");
	ups[0] = at("127.0.0.2:5353");
	ups[1] = at("127.0.0.3:5353");
	v4 = at("127.0.0.1:53");
	v6 = at("[::1]:53");
	cr_assert_eq(dns_proxy_new(&W->proxy, &W->loop, &world_ops, W, ups, n), 0);
	cr_assert_eq(dns_proxy_listen(W->proxy, (void *)&v4), 0);
	cr_assert_eq(dns_proxy_listen(W->proxy, (void *)&v6), 0);
}

static void world_close(void)
{
	dns_proxy_free(W->proxy);
	for (size_t i = 0; i < 2; i++) {
		resolver_close(&W->up[i]);
		for (size_t k = 0; k < W->up[i].n_heard && k < HEARD; k++)
			free(W->up[i].heard[k].msg);
	}
	uv_close((uv_handle_t *)&W->guard, NULL);
	uv_run(&W->loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&W->loop), 0, "a handle was left open");
	free(W);
	W = NULL;
}

/* Lets the loop turn until nothing more happens by itself. */
static void settle(void)
{
	for (int i = 0; i < 12; i++)
		uv_run(&W->loop, UV_RUN_NOWAIT);
}

static void tick(int64_t ms)
{
	clock_skew_ms += ms;
	settle();
}

#define until(cond)                                                                                \
	do {                                                                                       \
		for (int turns_ = 0; !(cond); turns_++) {                                          \
			cr_assert_lt(turns_, 2000, "never came: %s", #cond);                       \
			uv_run(&W->loop, UV_RUN_ONCE);                                             \
		}                                                                                  \
	} while (0)

static const struct dns_proxy_stats *S(void)
{
	return dns_proxy_stats(W->proxy);
}

/* A client's socket, connected to the proxy. */
static int client(int type, const char *proxy)
{
	struct sockaddr_storage ss = at(proxy);
	int fd = socket(ss.ss_family, type | SOCK_CLOEXEC, 0);

	cr_assert_eq(connect(fd, (void *)&ss, sock_len((void *)&ss)), 0, "%s", strerror(errno));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void udp_send(int fd, const struct packet *m)
{
	cr_assert_eq(send(fd, m->b, m->len, 0), (ssize_t)m->len, "%s", strerror(errno));
}

static inline bool udp_recv(int fd, struct packet *m)
{
	ssize_t n = recv(fd, m->b, sizeof(m->b), 0);

	m->len = n > 0 ? (size_t)n : 0;
	return n >= 0;
}

static inline void udp_ask(int fd, const struct packet *m, struct packet *reply)
{
	udp_send(fd, m);
	until(udp_recv(fd, reply));
}

/* A whole frame from a TCP socket, kept in `in` until it is whole. */
static inline bool tcp_recv(int fd, struct packet *in, struct packet *m)
{
	ssize_t n = recv(fd, in->b + in->len, sizeof(in->b) - in->len, 0);

	if (n > 0)
		in->len += (size_t)n;
	if (in->len < 2 || in->len < 2U + (in->b[0] << 8 | in->b[1]))
		return false;
	m->len = (size_t)(in->b[0] << 8 | in->b[1]);
	memcpy(m->b, in->b + 2, m->len);
	in->len -= 2 + m->len;
	memmove(in->b, in->b + 2 + m->len, in->len);
	return true;
}

static inline bool tcp_ended(int fd)
{
	uint8_t b;
	ssize_t n = recv(fd, &b, 1, 0);

	return !n || (n < 0 && errno != EAGAIN);
}

static uint16_t id_of(const struct packet *m)
{
	return (uint16_t)(m->b[0] << 8 | m->b[1]);
}

static inline void assert_same_but_id(const struct packet *a, const struct packet *b)
{
	cr_assert_eq(a->len, b->len);
	cr_assert_arr_eq(a->b + 2, b->b + 2, a->len - 2);
}

static inline void assert_servfail(const struct packet *m, uint16_t id)
{
	cr_assert_eq(id_of(m), id);
	cr_assert_eq(m->b[2] & 0x84, 0x84, "QR and AA");
	cr_assert_eq(m->b[3] & 0xf, 2);
	cr_assert_eq(m->b[6] | m->b[7] | m->b[8] | m->b[9], 0);
}

#endif
