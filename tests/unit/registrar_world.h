/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * registrar_world: a registrar among scripted connectors. What it sends is kept in `sent`, what it
 * tells in the counters; time is the test's: pass() lets it go by as the loop would.
 */
#ifndef REGISTRAR_WORLD_H
#define REGISTRAR_WORLD_H

#include "leaks.h"
#include "registrar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT  1000
#define LEASES   5000
#define REQUESTS 4096

struct sent {
	uint32_t connector;
	uint64_t id, at;
	size_t n, n_standby, n_release;
	struct lease *leases[REGISTRAR_MAX_BATCH];
	struct c25_addr release[8];
	bool answered;
};

struct waiter {
	struct registrar_wait wait; /* first */
	struct lease *lease;
	int settled, code;
	enum registrar_outcome outcome;
	void (*then)(struct waiter *w);
};

static struct registrar *r;
static struct sent *sent[REQUESTS];
static size_t n_sent;
static struct lease *leases[LEASES];
static uint32_t granted_at[LEASES];
static int grants, revocations, revoked_code, health_changes, granted_result;
static uint32_t standby_at[LEASES];
static enum { DEAD, FORWARDS, IDLE } forwards[LEASES];
static bool keeps;
static size_t carried, looks;
static int carry_result;
static uint64_t now, cancelled, dropped_at[8];

static size_t number(const struct lease *l)
{
	return (size_t)l->lent;
}

static void on_send(void *ctx, uint32_t connector, uint64_t request,
		    const struct registrar_message *m)
{
	struct sent *s = calloc(1, sizeof(*s));

	cr_assert_lt(n_sent, REQUESTS);
	cr_assert_leq(m->n + m->n_release, REGISTRAR_MAX_BATCH);
	cr_assert_leq(m->n_standby, m->n);
	for (size_t i = 0; i < n_sent; i++)
		cr_assert(sent[i]->connector != connector || sent[i]->answered ||
				  now - sent[i]->at >= 1000 || sent[i]->at <= dropped_at[connector],
			  "two requests under way");
	s->connector = connector;
	s->id = request;
	s->at = now;
	s->n = m->n;
	s->n_standby = m->n_standby;
	s->n_release = m->n_release;
	for (size_t i = 0; i < m->n; i++)
		s->leases[i] = m->leases[i];
	for (size_t i = 0; i < m->n_release && i < 8; i++)
		s->release[i] = m->release[i];
	sent[n_sent++] = s;
}

static void on_cancel(void *ctx, uint32_t connector, uint64_t request)
{
	cancelled = request;
	for (size_t i = 0; i < n_sent; i++)
		if (sent[i]->connector == connector && sent[i]->id == request)
			sent[i]->answered = true;
}

static int on_granted(void *ctx, struct lease *l, uint32_t connector)
{
	grants++;
	granted_at[number(l)] = connector;
	return granted_result;
}

static void on_revoked(void *ctx, struct lease *l, int code)
{
	revocations++;
	revoked_code = code;
}

static void on_health(void *ctx, uint32_t connector, bool healthy)
{
	health_changes++;
	cr_assert_eq(registrar_healthy(r, connector), healthy);
}

static int on_carry(void *ctx, uint32_t connector, struct lease *const *v, size_t n)
{
	cr_assert_gt(n, 0);
	carried += n;
	return carry_result;
}

static void on_standby(void *ctx, struct lease *l, uint32_t connector)
{
	standby_at[number(l)] = connector;
}

static bool on_forwards(void *ctx, const struct lease *l, enum registrar_failure how)
{
	looks++;
	return forwards[number(l)] == FORWARDS ||
	       (forwards[number(l)] == IDLE && how == REGISTRAR_PRESENT);
}

static bool on_keeps(void *ctx, const struct lease *l)
{
	return keeps;
}

static const struct registrar_ops ops = {
	.send = on_send,
	.cancel = on_cancel,
	.granted = on_granted,
	.revoked = on_revoked,
	.health = on_health,
	.carry = on_carry,
	.standby = on_standby,
	.forwards = on_forwards,
	.keeps = on_keeps,
};

static void setup(void)
{
	cr_assert_eq(registrar_new(&r, &ops, NULL, TIMEOUT), 0);
	now = 100000;
	for (size_t i = 0; i < LEASES; i++)
		standby_at[i] = REGISTRAR_NONE;
}

static void teardown(void)
{
	registrar_free(r);
	for (size_t i = 0; i < n_sent; i++)
		free(sent[i]);
	for (size_t i = 0; i < LEASES; i++)
		free(leases[i]);
}

#define CLAIM(name) Test(registrar, name, .init = setup, .fini = teardown)

static inline struct lease *L(size_t i)
{
	if (!leases[i]) {
		leases[i] = calloc(1, sizeof(struct lease) + 1);
		leases[i]->lent = i;
		leases[i]->transit.b[0] = 1;
		memcpy(&leases[i]->transit.b[4], &i, sizeof(i));
	}
	return leases[i];
}

static void on_settled(struct registrar_wait *wait, struct lease *l, enum registrar_outcome outcome,
		       int code)
{
	struct waiter *w = (struct waiter *)wait;

	cr_assert_eq(w->lease, l);
	w->settled++;
	w->outcome = outcome;
	w->code = code;
	if (w->then)
		w->then(w);
}

static const uint32_t AB[] = { 1, 2 };
static const uint32_t ABC[] = { 1, 2, 3 };

static inline void want(struct waiter *w, size_t i, const uint32_t *connectors, size_t n)
{
	w->lease = L(i);
	w->wait.settled = on_settled;
	w->settled = 0;
	registrar_want(r, w->lease, connectors, n, &w->wait, now);
}

static inline uint64_t tick(void)
{
	return registrar_tick(r, now);
}

/* Time passes as the loop lets it pass: never past what tick asked for. */
static inline void pass(uint64_t ms)
{
	uint64_t end = now + ms;

	cr_assert_lt(now, 1000000, "what was waited for never came");
	for (;;) {
		uint64_t due = tick();

		if (due > end)
			break;
		now = due > now ? due : now + 1;
	}
	now = end;
	tick();
}

static inline struct sent *last(uint32_t connector)
{
	for (size_t i = n_sent; i--;)
		if (sent[i]->connector == connector)
			return sent[i];
	return NULL;
}

static inline size_t sent_to(uint32_t connector)
{
	size_t n = 0;

	for (size_t i = 0; i < n_sent; i++)
		n += sent[i]->connector == connector;
	return n;
}

static inline void answer_as(struct sent *s, int code, const char *epoch)
{
	static int codes[REGISTRAR_MAX_BATCH];

	cr_assert_not_null(s);
	cr_assert_not(s->answered);
	s->answered = true;
	for (size_t i = 0; i < s->n; i++)
		codes[i] = code;
	registrar_reply(r, s->connector, s->id, codes, s->n, epoch, now);
	tick();
}

static inline void answer(struct sent *s, int code)
{
	answer_as(s, code, "e1");
}

static inline void fails(struct sent *s)
{
	cr_assert_not_null(s);
	s->answered = true;
	registrar_failed(r, s->connector, s->id, REGISTRAR_SILENT, now);
	tick();
}

/* Answers whatever is open at `connector`, again and again, while `ms` pass. */
static inline void alive(uint32_t connector, uint64_t ms)
{
	for (uint64_t end = now + ms; now < end;) {
		struct sent *s;

		pass(10);
		s = last(connector);
		if (s && !s->answered)
			answer(s, 0);
	}
}

static inline void live_at(size_t i, const uint32_t *connectors, size_t n)
{
	static struct waiter w = { 0 };

	want(&w, i, connectors, n);
	tick();
	answer(last(connectors[0]), 0);
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
}

/* Connector 2, asked to stand by, says no. */
static inline void live_alone_at_1(size_t i)
{
	live_at(i, AB, 2);
	pass(200);
	cr_assert_eq(last(2)->n_standby, 1);
	answer(last(2), 1);
}

/* Until something new is sent to it. */
static inline void await(uint32_t connector)
{
	size_t before = sent_to(connector);

	while (sent_to(connector) == before)
		pass(10);
}

/* Connector 2 holds it too. */
static inline void stands_by(size_t i)
{
	live_at(i, AB, 2);
	cr_assert_eq(registrar_standby(L(i)), REGISTRAR_NONE);
	await(2);
	cr_assert_eq(last(2)->n, 1);
	cr_assert_eq(last(2)->n_standby, 1);
	answer(last(2), 0);
	cr_assert_eq(registrar_standby(L(i)), 2);
	cr_assert_eq(standby_at[i], 2);
}

/* Connector 1 dies; 2 answers. Until lease 0 is elsewhere. */
static inline void dies(void)
{
	uint64_t died = now;

	while (granted_at[0] == 1) {
		alive(2, 10);
		cr_assert_leq(now - died, 3000);
	}
}

#endif
