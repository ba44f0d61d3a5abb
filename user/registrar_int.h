/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * registrar_int: what the registrar's own files share.
 *
 * registrar.c         the calls of registrar.h
 * registrar_wait.c    those who wait
 * registrar_again.c   what is told again though nothing else is wrong
 * registrar_quest.c   one lease's way from connector to connector
 * registrar_standby.c the second connector that holds a lease, and its turn to be the first
 * registrar_conn.c    one connector: its answers, health and epoch
 * registrar_desert.c  what becomes of what a failing connector holds
 * registrar_request.c what a connector is sent
 *
 * A registration has a home (the connector that agreed) and, while it is not as it should be, a
 * quest: it stands with a target, queued or sent, or is parked until a connector recovers, or is
 * ready to make its standby its home. The standby is another connector that agreed; while it has
 * none, the registration is being told to one, or waits for a time or for a connector to recover.
 * Callbacks may call back in: they may free any registration, never a connector, and nothing is
 * sent from within.
 */
#ifndef REGISTRAR_INT_H
#define REGISTRAR_INT_H

#include "registrar.h"

#include <stddef.h>
#include <uthash.h>

#define SILENCE_MS    1000 /* without an answer a request is given up, and mappings move on */
#define RESTART_MS    2000 /* the same where its host answers: a daemon that starts again is no move */
#define PROBE_MIN_MS  500
#define PROBE_MAX_MS  5000
#define CALM_MS       10000 /* healthy for so long, the next probes begin at the minimum again */
#define AGAIN_MS      1000
#define HEARTBEAT_MS  (REGISTRAR_HEARTBEAT_MS * 5 / 8)
#define STALL_MS      500 /* a tick so late says more of this host than of the connectors */
#define RETRY_MS      100 /* after memory ran out */
#define LATE_REQUESTS 4   /* given up, but an answer to them is still taken */
#define RELEASES_MAX  65536
#define NEVER         UINT64_MAX

#define STANDBY_MS       100    /* standbys are gathered for so long */
#define STANDBY_STARVED  1000   /* after so long they go with those who are waited for */
#define STANDBY_BATCH    256    /* whoever is waited for meanwhile waits for no more than these */
#define STANDBY_SOON_MS  2000   /* after a move: replies of the connector before are still taken */
#define STANDBY_LATER_MS 300000 /* after all refused */
#define DESERT_SLICE     1024   /* registrations looked at in one turn */
#define DESERT_PAUSE_MS  1
#define DESERT_AGAIN_MS  250 /* between looks at those whose packets are still answered */

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
	bool standby; /* goes by the registration's `told`, not its quest */
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
	bool down_told;             /* that it is not: at a restart, not before it was asked */
	bool dropped;               /* not in the netmap */
	bool slow;                  /* unhealthy since it let a share of the time pass */
	bool failing;               /* since `failing_since` no request was answered */
	bool all_leave;             /* the next round of desert() looks at all that it holds */
	enum registrar_failure how; /* the last one */
	char *epoch;                /* NULL: not known yet */
	struct request *request;
	struct link late; /* requests given up, oldest first */
	unsigned n_late;
	struct link urgent;   /* registrations to tell: somebody waits, or packets are lost */
	struct link quiet;    /* the others to tell */
	struct link held;     /* registrations whose home this is */
	struct link leaving;  /* those of them not looked at yet in this round of desert() */
	struct link staying;  /* and those whose packets were still answered */
	struct link standing; /* registrations whose standby this is */
	struct link standbys; /* registrations to tell as their standby */
	uint64_t standbys_at; /* not before */
	struct c25_addr *release;
	size_t n_release, room;
	uint64_t last_sent;
	uint64_t share_due;
	uint64_t failing_since;
	uint64_t desert_at; /* next look at what it holds; NEVER: done, as far as it could */
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
	bool granted;   /* once at least: then it is parked where nobody waits, too */
	bool revoked;   /* and not granted since */
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
	struct link at;       /* a connector's urgent or quiet, or parked, or ready */
	struct link held;
	struct link waiting;
	struct link again;    /* to be told again at `again_at` */
	struct conn *standby; /* holds it too, as far as is known */
	bool unsure;          /* whether it does: it is told again before it may be its home */
	bool presumed;        /* it did before this daemon began: better than a silent home */
	struct conn *told;    /* is to hold it as standby: queued or sent */
	struct ticket *told_ticket;
	uint32_t refusers; /* bits of candidates that would not be its standby */
	uint64_t seek_at;
	struct link standing; /* in its standby's */
	struct link seeking;  /* in standbys of `told`, or soon, later or bare */
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
	struct link ready;       /* whose standby is to be their home, at the end of this turn */
	struct link soon, later; /* to seek a standby at `seek_at`, the first due in front */
	struct link bare;        /* to seek one when a connector recovers */
	struct lease *leases[REGISTRAR_MAX_BATCH]; /* for send */
};

static inline void registrar_enter(struct registrar *r, uint64_t now)
{
	r->busy++;
	if (r->now < now)
		r->now = now;
}

static inline void registrar_leave(struct registrar *r)
{
	r->busy--;
}

/* registrar_wait.c */
void waits_init(struct registrar_wait *head);
bool waits_empty(const struct registrar_wait *head);
void waits_add(struct registrar_wait *head, struct registrar_wait *w);
/* Those whose deadline is not after `until`. */
void waits_move(struct registrar_wait *to, struct registrar_wait *from, uint64_t until);
void waits_tell(struct registrar_wait *head, struct lease *l, enum registrar_outcome outcome,
		int code);
void waits_forget(struct registrar_wait *w);
/* Those whose time is over are told. */
void waits_expire(struct registrar *r);
/* Into its place among those who are waited for. */
void registration_watch(struct registrar *r, struct registration *reg);
/* Tells those whose deadline is not after `until`. False: the registration is gone. */
bool registration_settle(struct registrar *r, struct registration *reg,
			 enum registrar_outcome outcome, int code, uint64_t until);
void batch_enter(struct registrar *r, struct batch *b, const struct registration *reg);
bool batch_leave(struct registrar *r, const struct batch *b); /* false: the registration is gone */

/* registrar_again.c */
void again_tick(struct registrar *r);

/* registrar_quest.c */
uint32_t quest_bit(const struct registration *reg, const struct conn *c);
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
/* `c` has agreed: it is the home. False: the registration is gone. */
bool quest_grant(struct registrar *r, struct registration *reg, struct conn *c);
/* The last one who waited has gone. */
void quest_unwatched(struct registration *reg);

/* registrar_standby.c */
/* Whether its standby could be its home at once, as things are. */
bool standby_usable(const struct registration *reg);
/* Have it told to a second connector, unless one holds it or is being told. */
void standby_seek(struct registrar *r, struct registration *reg);
void standby_seek_soon(struct registrar *r, struct registration *reg);
/* Tell `c`, whatever its health. */
void standby_tell(struct registrar *r, struct registration *reg, struct conn *c);
/* After its candidates have changed. */
void standby_check(struct registrar *r, struct registration *reg);
/* `c` is its home now, and `old` was before and may still hold it; NULL: none. */
void standby_home_moved(struct registrar *r, struct registration *reg, struct conn *c,
			struct conn *old);
/* `c` refused it, asked to be its home. */
void standby_refused(struct registrar *r, struct registration *reg, struct conn *c);
void standby_answered(struct registrar *r, struct registration *reg, struct conn *c, int code,
		      bool current);
/* `c` held it before this daemon began. */
void standby_restore(struct registrar *r, struct registration *reg, struct conn *c);
/* `told` did not answer. */
void standby_unanswered(struct registrar *r, struct registration *reg);
/* `c` lost its mappings; it is not in the netmap any more; it fails; it is healthy again. */
void standby_epoch(struct registrar *r, struct conn *c);
void standby_drop(struct registrar *r, struct conn *c);
void standby_failing(struct registrar *r, struct conn *c);
void standby_healthy(struct registrar *r, struct conn *c);
/* Have it granted to its standby at the end of this turn. */
void standby_ready(struct registrar *r, struct registration *reg);
void standby_promote(struct registrar *r);
void standby_tick(struct registrar *r);
uint64_t standby_due(const struct registrar *r);

/* registrar_desert.c */
/* Look at what it holds, and again later. */
void desert(struct registrar *r, struct conn *c);
/* The next look is at once, or as soon as it has failed for long enough. */
void desert_again(struct registrar *r, struct conn *c);
/* It answers, or is dropped. */
void desert_end(struct conn *c);
bool desert_is_empty(const struct conn *c); /* it holds nothing */

/* registrar_conn.c */
/* Made on first use, and again after a drop; NULL: no memory. */
struct conn *conn_get(struct registrar *r, uint32_t index);
struct conn *conn_find(const struct registrar *r, uint32_t index);
void conn_drop(struct registrar *r, struct conn *c);
void conn_free(struct registrar *r, struct conn *c);
void conn_answered(struct registrar *r, struct conn *c, struct request *req, bool late,
		   const int *codes, const char *epoch);
void conn_failed(struct registrar *r, struct conn *c, struct request *req, bool late,
		 enum registrar_failure how);
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
/* When those it is to stand by for go. */
uint64_t connector_standbys_due(const struct conn *c);
/* Send what there is, unless a request is under way. */
void connector_flush(struct registrar *r, struct conn *c);

#endif
