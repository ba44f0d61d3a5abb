/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_proxy: the DNS forwarder's sockets: questions in, upstream and back, answers out.
 *
 * UDP and TCP on the one libuv loop, read and written in batches, no allocation per query,
 * bounded tables. A question that ops->match does not claim goes through byte for byte but for
 * its id, as does its answer. What is claimed is asked of the upstreams, or by whoever ops->ask
 * knows; its answer comes back through ops->answered, is held as long as the controller likes, and
 * leaves by dns_query_finish(). A proxy without listeners is a resolver for dns_proxy_ask().
 */
#ifndef DNS_PROXY_H
#define DNS_PROXY_H

#include "cleanup.h"
#include "dns_rewrite.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#define DNS_MATCH_PASS SIZE_MAX

struct dns_proxy;
struct dns_query; /* one question under way; the proxy's own */

struct dns_proxy_ops {
	/* The app that takes this question (any number but DNS_MATCH_PASS), or DNS_MATCH_PASS. */
	size_t (*match)(void *ctx, const struct dns_question *q);
	/*
	 * Upstream answered a claimed question (after TCP where it said TC). `plan` is to be
	 * completed; it and the rest are good until dns_query_finish(), which may be called from
	 * within. When the proxy is freed first, ops->dropped is called.
	 */
	void (*answered)(void *ctx, struct dns_query *query, size_t app,
			 const struct dns_question *q, struct dns_plan *plan);
	/* May be NULL. This answer to a claimed question, not looked at yet, has its turn after
	 * the next few: time to bring into the cache what ops->answered will read. */
	void (*expected)(void *ctx, const struct dns_question *q, const uint8_t *msg, size_t len);
	/* The query is gone before it was finished: forget it. */
	void (*dropped)(void *ctx, struct dns_query *query);
	/* May be NULL. An intercepted question, claimed, was answered so; `server` had been asked.
	 * `flags`: the answer's, host order. */
	void (*served)(void *ctx, const struct c25_addr *server, const struct dns_question *q,
		       const struct dns_plan *plan, uint16_t flags);
	/* Which families can be lent now. */
	void (*families)(void *ctx, bool *has4, bool *has6);
	/*
	 * NULL, or: whether the caller asks for a claimed question by itself, and not the
	 * upstreams. If so it ends it by one of dns_query_external_answer() and dns_query_fail(),
	 * also from within. `msg` is the client's message; it and `q` are good until then.
	 */
	bool (*ask)(void *ctx, struct dns_query *query, size_t app, const struct dns_question *q,
		    const uint8_t *msg, size_t len);
	/* The query is gone while ops->ask's answer was awaited: forget it. */
	void (*unask)(void *ctx, struct dns_query *query);
};

/* One who asks without a socket; embedded in the caller's own struct. */
struct dns_asker {
	/* The whole answer, good during the call, from within which nothing else of the proxy's
	 * is called. Its id is any: the asker puts his own. */
	void (*answered)(struct dns_asker *a, const uint8_t *msg, size_t len);
	struct dns_waiter *waiter; /* the proxy's own; NULL: nothing is asked */
};

/* How long questions took, from the first client's to the answer. */
#define DNS_LATENCY_BOUNDS 12
extern const uint16_t dns_latency_ms[DNS_LATENCY_BOUNDS];

struct dns_latency {
	uint64_t count[DNS_LATENCY_BOUNDS + 1]; /* up to each bound, and beyond; not summed up */
	uint64_t sum_ms;
};

struct dns_proxy_stats {
	struct dns_latency latency[2]; /* of names that are not configured, and that are */
	uint64_t queries;              /* readable, from clients */
	uint64_t passed;               /* not configured */
	uint64_t rewritten;            /* answered with magic addresses */
	uint64_t empty;
	uint64_t servfail;
	uint64_t negative;  /* configured, passed as it was */
	uint64_t answers;   /* of upstreams, matched */
	uint64_t answer_ms; /* the time these took in all */
	uint64_t timeouts;  /* upstream did not answer in all */
	uint64_t retries;
	uint64_t tcp_retries; /* asked again after TC */
	uint64_t mismatched;  /* upstream packets that fit no question */
	uint64_t unreadable;  /* queries dropped or passed unread */
	uint64_t intercepted; /* taken by dns_proxy_intercept()'s sockets */
	uint64_t overload;    /* answered SERVFAIL or not at all since tables were full */
};

/* Upstreams are tried in order, the next after a timeout or failure. */
int dns_proxy_new(struct dns_proxy **out, uv_loop_t *loop, const struct dns_proxy_ops *ops,
		  void *ctx, const struct sockaddr_storage *upstreams, size_t n_upstreams);
/*
 * Calls ops->dropped for what is held, and no callback after that. Not to be called from within
 * one. Its handles close as the loop turns on: run the loop once more before it is closed.
 */
void dns_proxy_free(struct dns_proxy *p);
DEFINE_CLEANUP(dns_proxy, struct dns_proxy *, dns_proxy_free)

/*
 * Take questions on this address and port, UDP and TCP. 0 or a negative errno; -ELOOP: an
 * upstream is this very address. [::] is IPv6 alone, so that 0.0.0.0 can be given beside it.
 */
int dns_proxy_listen(struct dns_proxy *p, const struct sockaddr *sa);

/*
 * Ask the upstreams as for a client that takes any length: what ops->match does not claim comes
 * back as it is, after TCP where it said TC. a->answered is called once, also from within, unless
 * dns_proxy_unask() or the proxy's end come first; where no upstream answers, with SERVFAIL. 0, or
 * -EBADMSG: dns_question_parse() does not take it.
 */
int dns_proxy_ask(struct dns_proxy *p, struct dns_asker *a, const uint8_t *msg, size_t len);
void dns_proxy_unask(struct dns_asker *a);

/* An answer to what ops->ask took: it goes on as an upstream's does. 0, or -EBADMSG and nothing
 * was done: not an answer to this question. */
int dns_query_external_answer(struct dns_query *q, const uint8_t *msg, size_t len);

/*
 * Take questions that the kernel hands to these sockets whatever their destination (sk_assign):
 * each goes on to the server it was sent to, and its answer comes from that server's address.
 * Bound to loopback: what is sent to them there is dropped. -EAFNOSUPPORT: a host without IPv6.
 */
int dns_proxy_intercept(struct dns_proxy *p, int family, int *udp, int *tcp);

/* ops->match would say otherwise than before of some questions: it is asked again about those under
 * way. */
void dns_proxy_rematch(struct dns_proxy *p);

/* The plan's states are final: write the answer and send it. */
void dns_query_finish(struct dns_query *q);
/* SERVFAIL instead. */
void dns_query_fail(struct dns_query *q);
/* The caller's own pointer, NULL at first. */
void dns_query_set_data(struct dns_query *q, void *data);
void *dns_query_data(const struct dns_query *q);

const struct dns_proxy_stats *dns_proxy_stats(const struct dns_proxy *p);

#endif
