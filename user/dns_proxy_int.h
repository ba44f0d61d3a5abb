/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_proxy_int: what the parts of dns_proxy share; nobody else includes it.
 *
 * dns_table.c     memory: queries, waiters and buffers, taken once; hashes and deadlines
 * dns_query.c     a question's way from its first client to its answer
 * dns_waiter.c    the clients who wait for it
 * dns_external.c  what others ask in its stead, and who asks without a socket
 * dns_udp.c       clients over UDP
 * dns_tcp.c       clients over TCP
 * dns_stream.c    length-prefixed messages on a TCP socket, for both sides
 * dns_upstream.c  which resolver is asked; its health
 * dns_original.c  servers that intercepted questions were sent to
 * dns_channel.c   what has been asked on one socket, found again by its id
 * dns_usock.c     resolvers over UDP: rotating connected sockets
 * dns_uconn.c     resolvers over TCP: one pipelined connection each
 * dns_mirror.c    sockets for intercepted questions and their answers
 * dns_proxy.c     all of it together: loop handles, listeners, the timer
 *
 * Clients who ask the same (the same bytes but for the id, over the same transport) wait for one
 * query. Nothing writes to a socket at once: outputs are queued as jobs and run when what one call
 * read has been gone through, or before the loop sleeps, so that they leave in batches. Only jobs
 * and handles' own callbacks close connections, so no callee takes one away from its caller.
 */
#ifndef DNS_PROXY_INT_H
#define DNS_PROXY_INT_H

#include "dns_proxy.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <utlist.h>

#define DNS_QUERIES   8192
#define DNS_WAITERS   16384
#define DNS_PLANS     4096 /* questions held for the controller */
#define DNS_MEDIUM    4096 /* buffers of ... */
#define DNS_MEDIUM_SZ 4096
#define DNS_LARGE     128
#define DNS_LARGE_SZ  65536
#define DNS_SMALL_SZ  512 /* inside the query */
#define DNS_HASH      16384
#define DNS_HEADS     4096 /* few, so that they stay in the cache */

#define DNS_BATCH       64
#define DNS_UDP_MAX     4096 /* most that a rewritten answer takes over UDP */
#define DNS_ATTEMPTS    4
#define DNS_TOTAL_MS    5000
#define DNS_CONNS       256 /* clients' TCP connections in all */
#define DNS_CONN_FLIGHT 64  /* questions of one of them under way */
#define DNS_IDLE_MS     10000
#define DNS_ORIGINALS   64 /* servers that intercepted questions are sent on to */
#define DNS_MIRRORS     64 /* addresses that their answers come from */

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline uint16_t dns_flags(const uint8_t *msg)
{
	return (uint16_t)(msg[2] << 8 | msg[3]);
}

/* Output waiting for the end of the loop's turn. */
struct dns_job {
	void (*run)(struct dns_job *job);
	struct dns_job *prev, *next;
	bool queued;
};

/* A TCP socket that carries messages with their length before them (RFC 7766, 8). */
struct dns_stream {
	uv_poll_t poll; /* data: the owner's */
	int fd;
	int events;
	size_t rx_off, rx_len;
	size_t tx_off, tx_len;
	uint8_t rx[2 + DNS_MAX_MSG];
	uint8_t tx[2 * (2 + DNS_MAX_MSG)];
};

/* Who asked, as far as a repeated question of the same client is told by it. */
struct dns_peer {
	struct c25_addr addr;
	uint32_t scope;
	uint16_t port;
	uint8_t id[2];
};

struct dns_reply {
	struct dns_peer to;
	struct c25_addr from; /* on a wildcard socket */
	uint32_t ifindex;
	size_t off, len; /* in the arena */
};

#define DNS_ARENA (128 * 1024)

/* Replies of one UDP socket, written by one call. */
struct dns_out {
	size_t first, n;
	size_t used;
	struct dns_reply reply[DNS_BATCH];
	uint8_t arena[DNS_ARENA];
};

struct dns_listener {
	struct dns_job job;
	struct dns_proxy *proxy;
	struct dns_listener *next;
	struct sockaddr_storage addr;
	bool wildcard;
	bool intercepts; /* dns_proxy_intercept() */
	bool blocked;    /* the kernel takes no more replies just now */
	int watched;     /* events polled for on `udp` */
	int udp, tcp;
	uv_poll_t udp_poll, tcp_poll;
	struct dns_out out;
};

struct dns_conn {
	struct dns_job job;
	struct dns_proxy *proxy;
	struct dns_conn *prev, *next; /* least recently active first */
	struct dns_waiter *waiters;
	size_t in_flight;
	uint64_t active;
	bool eof;
	bool broken;           /* its job closes it */
	struct c25_addr local; /* intercepted: the server asked; else all zero */
	bool transfer;         /* of a zone, is what it asks next */
	struct dns_relay *relay;
	struct dns_stream stream;
};

/* A client who waits for a query's answer. */
struct dns_waiter {
	struct dns_waiter *prev, *next;           /* the query's, or free ones */
	struct dns_waiter *conn_prev, *conn_next; /* the connection's */
	struct dns_waiter *hash_next;
	struct dns_query *query;
	struct dns_listener *listener; /* over UDP */
	struct dns_conn *conn;         /* over TCP */
	struct dns_asker *asker;       /* over neither */
	struct dns_peer peer;
	struct c25_addr local; /* the address asked, on a wildcard socket or intercepted */
	uint32_t ifindex;
	uint32_t hash;
	bool hashed; /* in by_client: not where it came first to its query */
};

/* One sending of a query to one resolver. */
struct dns_ask {
	struct dns_ask *prev, *next; /* the channel's */
	struct dns_ask *hash_next;
	struct dns_query *query;
	struct dns_channel *channel; /* NULL: not out */
	uint64_t sent;
	uint16_t id;
	bool unsent; /* in its socket's batch */
};

/* A socket to a resolver, within which ids are unique. */
struct dns_channel {
	struct dns_upstream *up;
	struct dns_ask *asks;
	uint32_t serial;
	bool tcp;
};

enum dns_query_state { DNS_FREE, DNS_ASKED, DNS_EXTERNAL, DNS_HELD };

struct dns_query {
	struct dns_proxy *proxy;
	struct dns_query *prev, *next; /* by deadline, or free ones */
	struct dns_query *hash_next;
	enum dns_query_state state;
	bool readable;   /* `question` is filled */
	bool claimed;    /* `app` takes it */
	bool client_tcp; /* its clients came over TCP, or take any length as well */
	bool whole;      /* an answer with TC is asked again over TCP */
	bool over_tcp;   /* upstream is asked over TCP */
	uint32_t hash;
	unsigned int list;             /* of the deadlines */
	unsigned int attempt;          /* asks[attempt % DNS_ATTEMPTS] went out last */
	size_t server;                 /* index of the resolver asked last */
	struct dns_upstream *original; /* asked in their place; NULL: not intercepted */
	uint64_t started, deadline;
	struct dns_ask asks[DNS_ATTEMPTS];
	struct dns_waiter *waiters;
	size_t app;
	uint32_t matched; /* when: dns_proxy.matching */
	void *data;
	struct dns_plan *plan;
	uint8_t *msg; /* the client's message */
	size_t len;
	const uint8_t *answer; /* while held */
	size_t answer_len;
	uint8_t *answer_buf;
	struct dns_question question;
	uint8_t small[DNS_SMALL_SZ];
};

#define DNS_USOCKS     16   /* in rotation, for each resolver */
#define DNS_USOCK_ALL  48   /* with those that only wait for their last answers */
#define DNS_USOCK_RUN  256  /* questions before another is picked */
#define DNS_USOCK_USES 1024 /* questions on one source port */
#define DNS_USOCK_MS   10000

struct dns_usock {
	struct dns_channel channel;
	struct dns_job job;
	uv_poll_t poll;
	int fd;
	bool open, retired, closing;
	uint32_t uses;
	uint64_t opened;
	size_t n_out;
	struct dns_ask *out[DNS_BATCH];
};

struct dns_uconn {
	struct dns_channel channel;
	struct dns_job job;
	bool connected, broken;
	uint64_t heard; /* when bytes came last */
	uint64_t idle;  /* since when nothing is asked */
	uint64_t answers;
	struct dns_stream stream;
};

struct dns_upstream {
	struct dns_proxy *proxy;
	struct sockaddr_storage addr;
	bool original;         /* of dns_original.c */
	unsigned int failures; /* in a row */
	bool down;
	bool down_logged, logged;
	uint64_t probe_at; /* when a question may try it again, while down */
	uint64_t logged_at, heard_at;
	struct dns_usock *active[DNS_USOCKS];
	struct dns_usock *current; /* picked last */
	uint64_t current_turn;     /* in which it was used last */
	unsigned int run;          /* questions since it was picked */
	struct dns_uconn *conn;
	size_t users; /* as an original: queries of it */
	uint64_t used;
	struct dns_usock socks[DNS_USOCK_ALL];
};

/* A socket that answers in the name of an intercepted question's server. */
struct dns_mirror {
	struct c25_addr addr;
	uint64_t used;
	int fd; /* -1: none */
};

/* Fixed pieces of memory, lent last in first out so that few stay warm. */
struct dns_pool {
	uint8_t *base;
	size_t size, n;
	void *free;
	size_t fresh; /* never lent from here on */
};

struct dns_table {
	struct dns_query *queries;
	struct dns_waiter *waiters;
	struct dns_query *free_queries;
	struct dns_waiter *free_waiters;
	size_t fresh_queries, fresh_waiters;
	struct dns_pool plans, medium, large;
	uint16_t by_text[DNS_HEADS]; /* dns_table_query() */
	uint16_t by_id[DNS_HEADS];   /* dns_table_ask() */
	struct dns_waiter *by_client[DNS_HASH];
	struct dns_query *deadlines[DNS_ATTEMPTS]; /* each in order: one length of time each */
	uint64_t key[2];
	uint16_t randoms[512];
	size_t n_randoms;
};

/* Messages read by one call. The odd stride keeps them out of each other's cache sets. */
#define DNS_RX_STRIDE (65536 + 192)

struct dns_rx {
	struct mmsghdr msgs[DNS_BATCH];
	struct iovec iov[DNS_BATCH];
	struct sockaddr_storage from[DNS_BATCH];
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(struct sockaddr_in6))];
	} control[DNS_BATCH];
	uint8_t data[DNS_BATCH * DNS_RX_STRIDE];
};

struct dns_proxy {
	uv_loop_t *loop;
	const struct dns_proxy_ops *ops;
	void *ctx;
	size_t refs;   /* open handles, and the owner */
	uint64_t turn; /* counts dns_jobs_run() */
	uint32_t serial;
	uint32_t matching; /* counts dns_proxy_rematch() */
	uv_timer_t timer;
	uint64_t timer_at; /* 0: not set */
	uv_idle_t idle;
	struct dns_job *jobs;
	struct dns_query *answering; /* inside ops->answered() */
	struct dns_listener *listeners;
	struct dns_conn *conns;
	size_t n_conns;
	uint64_t accept_at; /* accepting goes on, after descriptors ran out; 0: it does */
	size_t n_upstreams;
	struct dns_upstream *upstreams;
	struct dns_upstream *originals[DNS_ORIGINALS];
	struct dns_mirror mirrors[DNS_MIRRORS];
	uint64_t mirror_logged;
	struct dns_proxy_stats stats;
	struct dns_rx rx;
	uint8_t scratch[DNS_MAX_MSG];
	struct dns_table table;
};

/* dns_proxy.c */
void dns_proxy_ref(struct dns_proxy *p);
void dns_proxy_unref(struct dns_proxy *p);
void dns_handle_closed(uv_handle_t *handle); /* its data: the proxy */
uint64_t dns_now(const struct dns_proxy *p);
/* The timer fires at `at` or before. */
void dns_wake_at(struct dns_proxy *p, uint64_t at);
void dns_job_queue(struct dns_proxy *p, struct dns_job *job);
void dns_job_cancel(struct dns_proxy *p, struct dns_job *job);
void dns_jobs_run(struct dns_proxy *p);
/* Messages read, or a negative errno; of a connected socket nobody asks whom they came from. */
int dns_rx_read(struct dns_rx *rx, int fd, bool connected);

/* dns_table.c */
int dns_table_init(struct dns_table *t);
void dns_table_fini(struct dns_table *t);
struct dns_query *dns_table_take_query(struct dns_table *t);
void dns_table_put_query(struct dns_table *t, struct dns_query *q);
/* What the heads of hash chains hold: a number, 0 for none. */
struct dns_query *dns_table_query(struct dns_table *t, uint16_t number);
uint16_t dns_table_query_number(const struct dns_table *t, const struct dns_query *q);
struct dns_ask *dns_table_ask(struct dns_table *t, uint16_t number);
uint16_t dns_table_ask_number(const struct dns_table *t, const struct dns_ask *ask);
struct dns_waiter *dns_table_take_waiter(struct dns_table *t);
void dns_table_put_waiter(struct dns_table *t, struct dns_waiter *w);
void *dns_pool_take(struct dns_pool *pool);
void dns_pool_put(struct dns_pool *pool, void *piece);
/* A buffer of at least `len` bytes, NULL when none is left. */
uint8_t *dns_table_take_buffer(struct dns_table *t, size_t len);
void dns_table_put_buffer(struct dns_table *t, uint8_t *buf);
uint32_t dns_table_hash(const struct dns_table *t, const void *data, size_t len, uint64_t seed);
uint16_t dns_table_random(struct dns_table *t);

/* dns_query.c */
/* A client's message. `from` is copied. -EBADMSG: no query of any kind. */
int dns_query_take(struct dns_proxy *p, const struct dns_waiter *from, const uint8_t *msg,
		   size_t len);
/* A resolver's answer, matched. `msg` is good until the return. */
void dns_query_answer(struct dns_ask *ask, const uint8_t *msg, size_t len);
/* The last sending came to nothing: the next resolver, or SERVFAIL. */
void dns_query_next(struct dns_query *q);
/* The last sending was lost by no fault of its resolver: the same one again. */
void dns_query_again(struct dns_query *q);
void dns_query_expire(struct dns_proxy *p);
/* The client is gone; with the last one goes the query. */
void dns_waiter_drop(struct dns_waiter *w);
void dns_query_drop_all(struct dns_proxy *p);
/* An answer that will not be asked again: it is rewritten, held or sent. */
void dns_query_claimed(struct dns_query *q, const uint8_t *msg, size_t len);

/* dns_latency.c */
void dns_latency_add(struct dns_latency *l, uint64_t ms, uint64_t n);

/* dns_external.c */
/* Whether someone else asks; the query may be over by then. */
bool dns_external_ask(struct dns_query *q);

/* dns_waiter.c */
/* `from` is copied. 0, also where this client waits already, or -ENOBUFS. */
int dns_waiter_add(struct dns_query *q, const struct dns_waiter *from);
void dns_waiter_detach(struct dns_waiter *w);
/* Queues `msg` under the client's id. */
void dns_waiter_reply(const struct dns_waiter *w, const uint8_t *msg, size_t len);

/* dns_udp.c */
int dns_udp_open(struct dns_listener *l);
void dns_udp_close(struct dns_listener *l);
void dns_udp_reply(const struct dns_waiter *w, const uint8_t *msg, size_t len);

/* dns_tcp.c */
int dns_tcp_open(struct dns_listener *l);
void dns_tcp_close(struct dns_listener *l);
void dns_tcp_reply(const struct dns_waiter *w, const uint8_t *msg, size_t len);
void dns_tcp_expire(struct dns_proxy *p);
void dns_tcp_drop_all(struct dns_proxy *p);

/* dns_relay.c */
/* Whether what the client asks is not for dns_query_take(). */
bool dns_relay_wanted(const struct dns_conn *c, const uint8_t *msg, size_t len);
/* From what was read and not taken on, the connection is the server's. */
int dns_relay_open(struct dns_conn *c);
/* Moves what there is, both ways. Non-zero: the connection is over. */
int dns_relay_run(struct dns_conn *c);
void dns_relay_close(struct dns_conn *c);

/* dns_original.c */
/* The server that an intercepted question is for, as an upstream; NULL: not intercepted. -ENOBUFS:
 * all places are taken by servers with questions under way. */
int dns_original_of(struct dns_upstream **out, struct dns_proxy *p, const struct dns_waiter *from);
void dns_original_close_all(struct dns_proxy *p);
void dns_original_free_all(struct dns_proxy *p);
void dns_original_expire(struct dns_proxy *p);

/* dns_mirror.c */
int dns_mirror_udp_open(struct dns_listener *l);
/* Whether the message was intercepted; if so, w->local is the server asked. */
bool dns_mirror_asked(struct dns_waiter *w, struct msghdr *msg);
/* The same of a connection. */
bool dns_mirror_accepted(struct dns_conn *c, int fd);
/* A socket bound to a server's address and port, or a negative errno. */
int dns_mirror_socket(struct dns_proxy *p, const struct c25_addr *addr);
void dns_mirror_close_all(struct dns_proxy *p);

/* dns_stream.c; the owner holds a reference of the proxy for the handle */
int dns_stream_open(struct dns_stream *s, uv_loop_t *loop, int fd, void *owner);
void dns_stream_close(struct dns_stream *s, uv_close_cb closed);
/* Bytes read, 0 at the end, -EAGAIN, or another negative errno. */
ssize_t dns_stream_read(struct dns_stream *s);
/* The next whole message; it is good until the next read. */
bool dns_stream_next(struct dns_stream *s, const uint8_t **msg, size_t *len);
/* Queues a message under `id`. -ENOBUFS when it does not fit. */
int dns_stream_put(struct dns_stream *s, const uint8_t id[2], const uint8_t *msg, size_t len);
/* Takes back the message of `len` bytes that dns_stream_next() gave last. */
void dns_stream_return(struct dns_stream *s, size_t len);
bool dns_stream_unread(const struct dns_stream *s); /* anything of what was read */
/* What was read goes to another socket: how much is left, or a negative errno. */
ssize_t dns_stream_drain(struct dns_stream *s, int fd);
/* What is to be written comes from another socket, as dns_stream_read() has it. */
ssize_t dns_stream_fill(struct dns_stream *s, int fd);
bool dns_stream_has_room(const struct dns_stream *s); /* for more of that */
int dns_stream_write(struct dns_stream *s); /* 0, also if some is left, or a negative errno */
bool dns_stream_pending(const struct dns_stream *s);
void dns_stream_poll(struct dns_stream *s, int events, uv_poll_cb cb);

/* dns_upstream.c */
/* The resolver to begin with. */
size_t dns_upstream_first(struct dns_proxy *p);
/* Sends the query's next ask. 0 or a negative errno. */
int dns_upstream_ask(struct dns_query *q, struct dns_ask *ask);
void dns_upstream_heard(struct dns_upstream *up);
void dns_upstream_failed(struct dns_upstream *up);
/* No answer came in time to what was asked at `sent`. */
void dns_upstream_late(struct dns_upstream *up, uint64_t sent);
void dns_upstream_close(struct dns_upstream *up);

/* dns_channel.c */
void dns_channel_init(struct dns_channel *ch, struct dns_upstream *up, bool tcp);
/* Gives the ask its id. */
int dns_channel_add(struct dns_channel *ch, struct dns_ask *ask);
void dns_channel_remove(struct dns_ask *ask);
/* The socket is of no more use: `then` for each query that waits on it. */
void dns_channel_fail(struct dns_channel *ch, void (*then)(struct dns_query *q));
/* This comes next: what it answers, as far as its id says, on its way into the cache. */
void dns_channel_expect(struct dns_channel *ch, const uint8_t *msg, size_t len);
/* Whatever came in on it. */
void dns_channel_input(struct dns_channel *ch, const uint8_t *msg, size_t len);

/* dns_usock.c */
int dns_usock_ask(struct dns_upstream *up, struct dns_ask *ask);
void dns_usock_forget(struct dns_channel *ch, struct dns_ask *ask);
void dns_usock_close_all(struct dns_upstream *up);

/* dns_uconn.c */
int dns_uconn_ask(struct dns_upstream *up, struct dns_ask *ask);
void dns_uconn_forget(struct dns_channel *ch);
/* An ask of it had no answer in time. */
void dns_uconn_late(struct dns_channel *ch, const struct dns_ask *ask);
void dns_uconn_expire(struct dns_upstream *up);
void dns_uconn_close(struct dns_upstream *up);

#endif
