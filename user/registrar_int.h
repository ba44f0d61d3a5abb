/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * registrar_int: what the registrar's own files share.
 *
 * registrar.c         the calls of registrar.h, and those who wait
 * registrar_quest.c   one lease's way from connector to connector
 * registrar_conn.c    one connector: its answers, health and epoch
 * registrar_request.c what a connector is sent
 *
 * A registration has a home (the connector that agreed) and, while it is not as it should be, a
 * quest: it stands with a target, queued or sent, or is parked until a connector recovers.
 * Callbacks may call back in: they may free any registration, never a connector, and nothing is
 * sent from within.
 */
#ifndef REGISTRAR_INT_H
#define REGISTRAR_INT_H

#include "registrar.h"

#include <stddef.h>
#include <uthash.h>

#define SILENCE_MS    1000 /* without an answer a request is given up, and mappings move on */
#define PROBE_MIN_MS  500
#define PROBE_MAX_MS  5000
#define CALM_MS       10000 /* healthy for so long, the next probes begin at the minimum again */
#define AGAIN_MS      1000
#define HEARTBEAT_MS  (REGISTRAR_HEARTBEAT_MS - REGISTRAR_HEARTBEAT_MS / 8)
#define STALL_MS      500 /* a tick so late says more of this host than of the connectors */
#define RETRY_MS      100 /* after memory ran out */
#define LATE_REQUESTS 4   /* given up, but an answer to them is still taken */
#define RELEASES_MAX  65536
#define NEVER         UINT64_MAX

/* A circular list; a link outside any list points to itself. */
struct link {
	struct link *prev, *next;
};

#define LINK_OF(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))

static inline void link_init(struct link *l)
{
	l->prev = l->next = l;
}

static inline bool link_empty(const struct link *l)
{
	return l->next == l;
}

static inline void link_del(struct link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	link_init(l);
}

/* In front of `at`; at the end, where `at` is the list's head. */
static inline void link_add(struct link *at, struct link *l)
{
	l->prev = at->prev;
	l->next = at;
	at->prev->next = l;
	at->prev = l;
}

/* All of `from` to the end of `to`. */
static inline void link_splice(struct link *to, struct link *from)
{
	if (link_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	link_init(from);
}

struct ticket {
	struct registration *reg; /* NULL: no longer asked for */
	struct request *request;
	struct link of_reg;
};

struct request {
	struct conn *connector;
	uint64_t id;
	uint64_t sent;
	struct link late;
	struct c25_addr *release;
	size_t n_release;
	size_t n;
	struct ticket tickets[];
};

struct conn {
	uint32_t index;
	bool healthy;
	bool dropped;  /* not in the netmap */
	bool slow;     /* unhealthy since it let a share of the time pass */
	bool failing;  /* since `failing_since` no request was answered */
	bool deserted; /* what it held has moved on, as far as it could */
	char *epoch;   /* NULL: not known yet */
	struct request *request;
	struct link late; /* requests given up, oldest first */
	unsigned n_late;
	struct link urgent; /* registrations to tell: somebody waits, or packets are lost */
	struct link quiet;  /* the others to tell */
	struct link held;   /* registrations whose home this is */
	struct c25_addr *release;
	size_t n_release, room;
	uint64_t last_sent;
	uint64_t share_due;
	uint64_t failing_since;
	uint64_t healthy_since;
	uint64_t missed; /* when it last did not answer in time */
	uint64_t probe_at;
	uint64_t backoff;
	UT_hash_handle hh;
};

/* A callback under way on a registration, on the stack of whoever made it. */
struct batch {
	struct registrar_wait waits;    /* those yet to be told */
	const struct registration *reg; /* NULL: freed meanwhile */
	struct batch *outer;
};

struct registration {
	struct lease *lease;
	struct conn *home;
	bool live;      /* granted, and not revoked since */
	bool confirmed; /* the home holds it, as far as is known */
	bool ended;
	bool quest;
	struct conn *target;
	struct ticket *current; /* sent to `target`; NULL: queued or parked */
	struct conn *candidates[REGISTRAR_MAX_CONNECTORS];
	size_t n_candidates;
	uint32_t tried; /* bits of candidates, in this quest */
	int refused;    /* first code that was not 0 in this quest */
	uint64_t share_end;
	uint64_t due;         /* first deadline, when it was linked into `waiting` */
	uint64_t again_at;    /* not to be told again before */
	uint64_t again_asked; /* when it was last put off until then */
	uint64_t agreed;      /* when its home did */
	struct link at;       /* a connector's urgent or quiet, or parked */
	struct link held;
	struct link waiting;
	struct link again; /* to be told again at `again_at` */
	struct link tickets;
	struct registrar_wait waits;
	UT_hash_handle hh; /* by the lease's transit address */
};

struct registrar {
	const struct registrar_ops *ops;
	void *ctx;
	uint64_t answer_timeout;
	uint64_t now;
	uint64_t due; /* when tick should come next */
	uint64_t retry_at;
	uint64_t last_id;
	bool closing;
	unsigned busy; /* depth of calls: nothing is sent from within */
	struct batch *batches;
	struct conn *connectors;
	struct registration *registrations;
	struct link waiting; /* registrations with waits, first deadline first */
	struct link again;   /* those told again a moment ago, the first due in front */
	struct link parked;
	struct lease *leases[REGISTRAR_MAX_BATCH]; /* for send */
};

/* registrar.c */
bool waits_empty(const struct registrar_wait *head);
/* Tells those whose deadline is not after `until`. False: the registration is gone. */
bool registration_settle(struct registrar *r, struct registration *reg,
			 enum registrar_outcome outcome, int code, uint64_t until);
void batch_enter(struct registrar *r, struct batch *b, const struct registration *reg);
bool batch_leave(struct registrar *r, const struct batch *b); /* false: the registration is gone */

/* registrar_quest.c */
bool quest_has_alternative(const struct registration *reg);
bool quest_is_candidate(const struct registration *reg, const struct conn *c);
bool quest_may_use(const struct registration *reg, const struct conn *c);
/* Tell `c`, at the end of the queue. */
void quest_target(struct registrar *r, struct registration *reg, struct conn *c);
/* `first`: the connector to begin with, NULL: the best one. */
void quest_begin(struct registrar *r, struct registration *reg, struct conn *first);
/* To the next candidate; there being none, the quest ends. */
void quest_advance(struct registrar *r, struct registration *reg);
/* The target did not answer. */
void quest_unanswered(struct registrar *r, struct registration *reg);
/* `c` answered `code`; `current`: to the latest that it was asked. */
void quest_answered(struct registrar *r, struct registration *reg, struct conn *c, int code,
		    bool current);
void quest_lose_home(struct registration *reg);
/* The last one who waited has gone. */
void quest_unwatched(struct registration *reg);

/* registrar_conn.c */
/* Made on first use, and again after a drop; NULL: no memory. */
struct conn *conn_get(struct registrar *r, uint32_t index);
struct conn *conn_find(const struct registrar *r, uint32_t index);
void conn_drop(struct registrar *r, struct conn *c);
void conn_free(struct registrar *r, struct conn *c);
void conn_answered(struct registrar *r, struct conn *c, struct request *req, bool late,
		   const int *codes, const char *epoch);
void conn_failed(struct registrar *r, struct conn *c, struct request *req, bool late);
/* What is due by time; then what is to be sent. */
void conn_tick(struct registrar *r, struct conn *c);
uint64_t conn_due(const struct registrar *r, const struct conn *c);

/* registrar_request.c */
/* Its registration, which no longer goes by it. */
struct registration *ticket_drop(struct ticket *t);
void request_free(struct request *req);
/* What was to be released by a request that failed goes with the next one. */
void request_take_back(struct conn *c, struct request *req);
void conn_release(struct conn *c, const struct c25_addr *transit);
/* The connector's request of this id is over; NULL: none such. */
struct request *conn_take(struct conn *c, uint64_t id, bool *late);
/* When the next heartbeat or probe is due. */
uint64_t connector_beat_due(const struct conn *c);
/* Send what there is, unless a request is under way. */
void connector_flush(struct registrar *r, struct conn *c);

#endif
