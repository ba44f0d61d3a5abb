/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * registrar: tells connectors what transit addresses mean, and holds answers until they agree.
 *
 * A pure state machine: no sockets, no maps; time comes in as `now` in milliseconds of a
 * monotonic clock, requests go out through ops->send. Per connector one request is under way at
 * a time; what comes meanwhile waits and then travels together. A connector that fails or does
 * not answer in its share of the time is left for the next one.
 *
 * What one connector has agreed to is told to a second one as well, a standby, where there is one:
 * later, together, and never in front of somebody who waits. When the first one fails, the lease
 * is granted to its standby at once, without asking, and the first one stands by.
 *
 * Connectors are named by their index in c25_peers.
 *
 * Nothing is sent but from registrar_tick(): call it once after each batch of the calls below, so
 * that what came together travels together. Every callback but send() may call any of them except
 * registrar_tick(), which then does nothing, and registrar_free().
 */
#ifndef REGISTRAR_H
#define REGISTRAR_H

#include "cleanup.h"
#include "lease.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGISTRAR_MAX_BATCH      2048       /* elements a request, well below 1 MiB of body */
#define REGISTRAR_MAX_CONNECTORS 16         /* of one app that are tried */
#define REGISTRAR_HEARTBEAT_MS   2000       /* at least this often while mappings live */
#define REGISTRAR_NONE           UINT32_MAX /* no connector */

enum registrar_outcome {
	REGISTRAR_OK,
	REGISTRAR_REFUSED,   /* a connector said no; `code` is its code, e.g. 3: no such family */
	REGISTRAR_TIMED_OUT, /* no connector in time */
};

/* One who waits for a lease; embedded in the caller's own struct, linked while it waits. */
struct registrar_wait {
	void (*settled)(struct registrar_wait *w, struct lease *l, enum registrar_outcome outcome,
			int code);
	struct registrar_wait *prev, *next; /* the registrar's own */
	uint64_t deadline;
};

enum registrar_failure {
	REGISTRAR_SILENT,  /* nothing came from it */
	REGISTRAR_PRESENT, /* its host answered: refused the connection, or no 200, or unreadable */
};

/* Nothing of it is kept by pointer. */
struct registrar_message {
	struct lease *const *leases;
	size_t n;                       /* 0: a heartbeat */
	size_t n_standby;               /* the last so many are to be held for another connector */
	const struct c25_addr *release; /* transit addresses given back */
	size_t n_release;
};

struct registrar_ops {
	/* Send this to `connector`. The transport answers exactly once with registrar_reply() or
	 * registrar_failed() for `request`, not from within send(). */
	void (*send)(void *ctx, uint32_t connector, uint64_t request,
		     const struct registrar_message *msg);
	/* `request` is given up and must not arrive late: it gives back what may be registered
	 * again by then. The transport answers for it no more. */
	void (*cancel)(void *ctx, uint32_t connector, uint64_t request);
	/* A connector agreed to this lease, for the first time or again: write the maps before
	 * those who wait are told. 0, or a negative errno: those who wait are told TIMED_OUT. */
	int (*granted)(void *ctx, struct lease *l, uint32_t connector);
	/* A lease that was live was refused everywhere, or (code 0) its connector was dropped and
	 * no other is healthy: the controller marks it dead. It is told to whoever recovers, and a
	 * later want may have it granted, too. */
	void (*revoked)(void *ctx, struct lease *l, int code);
	/* The connector became healthy or not; after a restart, also where it is still not. */
	void (*health)(void *ctx, uint32_t connector, bool healthy);
	/* These are about to be granted at `connector`, which agreed to them earlier. 0, or a
	 * negative errno: they are not, and others are asked. Calls nothing. */
	int (*carry)(void *ctx, uint32_t connector, struct lease *const *leases, size_t n);
	/* Another connector than the lease's own holds it too now; REGISTRAR_NONE: none does. After
	 * granted() for a lease in being, it is the one that was its own before. Calls nothing. */
	void (*standby)(void *ctx, struct lease *l, uint32_t connector);
	/* Whether the lease is to stay for now with its connector, which fails in the way of `how`,
	 * as its packets still arrive and are answered. Calls nothing. */
	bool (*forwards)(void *ctx, const struct lease *l, enum registrar_failure how);
	/* Whether flows of it stayed with its standby when it moved. Then that one is not replaced.
	 * Calls nothing. */
	bool (*keeps)(void *ctx, const struct lease *l);
};

struct registrar;

/* `answer_timeout`: --answer-timeout in milliseconds. */
int registrar_new(struct registrar **out, const struct registrar_ops *ops, void *ctx,
		  uint64_t answer_timeout);
/* Those who wait are told TIMED_OUT. Before the leases are freed. */
void registrar_free(struct registrar *r);
DEFINE_CLEANUP(registrar, struct registrar *, registrar_free)

/*
 * Have `l` registered at the first of `connectors` (in order of preference) that agrees. If it
 * is already, `w` is settled at once, from within. Otherwise w->settled is called exactly once,
 * at the latest answer_timeout from now, unless registrar_forget() comes first; at once, with
 * TIMED_OUT, where there is no connector. One registered at a connector that does not answer is
 * told again like a new one. Codes 3 and 4 are REFUSED at once, as they are the same
 * everywhere; after any other code the remaining candidates are asked first, and the code of the
 * first that refused is given.
 */
void registrar_want(struct registrar *r, struct lease *l, const uint32_t *connectors, size_t n,
		    struct registrar_wait *w, uint64_t now);

/* `w` no longer waits; nothing is called. */
void registrar_forget(struct registrar *r, struct registrar_wait *w);

/* The candidates have changed. A lease whose connector is no longer one of them moves; it stays
 * where no other agrees. */
void registrar_candidates(struct registrar *r, struct lease *l, const uint32_t *connectors,
			  size_t n, uint64_t now);

/* A lease known from before a restart: registered at `connector`, to be told again. That one is
 * its only candidate until registrar_candidates() or registrar_want(). 0, -EEXIST or -ENOMEM. */
int registrar_restore(struct registrar *r, struct lease *l, uint32_t connector);

/* The same: `connector` held it too. To be called before its candidates are set. */
void registrar_restore_standby(struct registrar *r, struct lease *l, uint32_t connector);

/* `connector` did not answer before the restart: it is asked at once whether it does now, and is
 * no choice for a lease that it does not hold before that. To be called before what is restored. */
void registrar_restore_down(struct registrar *r, uint32_t connector);

/* The lease ends: whoever may hold it is told to release it, with the next request; those who
 * wait are told TIMED_OUT. */
void registrar_release(struct registrar *r, struct lease *l);

/* `connector` may hold this address since an earlier run: it is told to release it, unless a lease
 * is registered or to be registered there under it by then. */
void registrar_release_at(struct registrar *r, uint32_t connector, const struct c25_addr *transit);

/* Its connector does not know it (C25_EVENT_UNMAPPED): told again, once a second at
 * most: sooner than that, it waits until then. */
void registrar_again(struct registrar *r, struct lease *l, uint64_t now);
/* What is to be told of it has changed, its app: told again at once. */
void registrar_changed(struct registrar *r, struct lease *l, uint64_t now);

/* codes[n] in the order sent; `epoch` as received: a change makes every mapping of it go again. */
void registrar_reply(struct registrar *r, uint32_t connector, uint64_t request, const int *codes,
		     size_t n, const char *epoch, uint64_t now);
/* Not reached, not 200, not readable, or refused whole. */
void registrar_failed(struct registrar *r, uint32_t connector, uint64_t request,
		      enum registrar_failure how, uint64_t now);

/* The netmap no longer names this connector: what it holds moves on. */
void registrar_drop_connector(struct registrar *r, uint32_t connector, uint64_t now);

/* Do what is due at `now`; returns when to call again at the latest (UINT64_MAX: not needed). */
uint64_t registrar_tick(struct registrar *r, uint64_t now);

bool registrar_healthy(const struct registrar *r, uint32_t connector);

/* How its last request that failed did so. */
enum registrar_failure registrar_failure(const struct registrar *r, uint32_t connector);

/* Whether its connector agreed to it, answers, and need not be told again. */
bool registrar_holds(const struct lease *l);

/* The second connector that holds it, or REGISTRAR_NONE. */
uint32_t registrar_standby(const struct lease *l);

#endif
