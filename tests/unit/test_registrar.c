/* SPDX-License-Identifier: BSD-3-Clause */
#include "leaks.h"
#include "registrar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SUITE(registrar);

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

static struct lease *L(size_t i)
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

static void want(struct waiter *w, size_t i, const uint32_t *connectors, size_t n)
{
	w->lease = L(i);
	w->wait.settled = on_settled;
	w->settled = 0;
	registrar_want(r, w->lease, connectors, n, &w->wait, now);
}

static uint64_t tick(void)
{
	return registrar_tick(r, now);
}

/* Time passes as the loop lets it pass: never past what tick asked for. */
static void pass(uint64_t ms)
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

static struct sent *last(uint32_t connector)
{
	for (size_t i = n_sent; i--;)
		if (sent[i]->connector == connector)
			return sent[i];
	return NULL;
}

static size_t sent_to(uint32_t connector)
{
	size_t n = 0;

	for (size_t i = 0; i < n_sent; i++)
		n += sent[i]->connector == connector;
	return n;
}

static void answer_as(struct sent *s, int code, const char *epoch)
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

static void answer(struct sent *s, int code)
{
	answer_as(s, code, "e1");
}

static void fails(struct sent *s)
{
	cr_assert_not_null(s);
	s->answered = true;
	registrar_failed(r, s->connector, s->id, REGISTRAR_SILENT, now);
	tick();
}

/* Answers whatever is open at `connector`, again and again, while `ms` pass. */
static void alive(uint32_t connector, uint64_t ms)
{
	for (uint64_t end = now + ms; now < end;) {
		struct sent *s;

		pass(10);
		s = last(connector);
		if (s && !s->answered)
			answer(s, 0);
	}
}

static void live_at(size_t i, const uint32_t *connectors, size_t n)
{
	static struct waiter w = { 0 };

	want(&w, i, connectors, n);
	tick();
	answer(last(connectors[0]), 0);
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
}

/* Connector 2, asked to stand by, says no. */
static void live_alone_at_1(size_t i)
{
	live_at(i, AB, 2);
	pass(200);
	cr_assert_eq(last(2)->n_standby, 1);
	answer(last(2), 1);
}

/* Until something new is sent to it. */
static void await(uint32_t connector)
{
	size_t before = sent_to(connector);

	while (sent_to(connector) == before)
		pass(10);
}

/* Connector 2 holds it too. */
static void stands_by(size_t i)
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

CLAIM(an_agreed_lease_is_granted_before_its_waiter_is_told)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 2);
	cr_assert_eq(n_sent, 0, "only tick sends");
	tick();
	cr_assert_eq(n_sent, 1);
	cr_assert_eq(sent[0]->connector, 1);
	cr_assert_eq(sent[0]->leases[0], L(0));
	cr_assert_eq(w.settled, 0);
	answer(sent[0], 0);
	cr_assert_eq(grants, 1);
	cr_assert_eq(granted_at[0], 1);
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
}

CLAIM(a_registered_lease_settles_at_once)
{
	static struct waiter w = { 0 };

	live_at(0, AB, 2);
	want(&w, 0, AB, 2);
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
	tick();
	cr_assert_eq(n_sent, 1);
}

CLAIM(a_lease_whose_only_connector_does_not_answer_settles_when_it_does_or_times_out)
{
	static struct waiter w = { 0 };

	live_at(0, AB, 1);
	pass(REGISTRAR_HEARTBEAT_MS);
	fails(last(1));
	cr_assert_not(registrar_holds(L(0)));
	want(&w, 0, AB, 1);
	cr_assert_eq(w.settled, 0);
	tick();
	answer(last(1), 0);
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
	cr_assert(registrar_holds(L(0)));

	pass(REGISTRAR_HEARTBEAT_MS);
	fails(last(1));
	want(&w, 0, AB, 1);
	pass(TIMEOUT);
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(w.outcome, REGISTRAR_TIMED_OUT);
	cr_assert_eq(revocations, 0, "its mapping stays for when it is back");
}

CLAIM(a_lease_of_a_connector_that_lost_its_mappings_is_not_held_until_told_again)
{
	static struct waiter w = { 0 };

	live_at(0, AB, 1);
	cr_assert(registrar_holds(L(0)));
	pass(REGISTRAR_HEARTBEAT_MS);
	answer_as(last(1), 0, "another");
	cr_assert_not(registrar_holds(L(0)));
	want(&w, 0, AB, 1);
	cr_assert_eq(w.settled, 0);
	answer_as(last(1), 0, "another");
	cr_assert_eq(w.outcome, REGISTRAR_OK);
}

CLAIM(a_lease_that_changed_is_told_again_each_time_and_at_once)
{
	live_at(0, AB, 1);
	for (int i = 0; i < 3; i++) {
		size_t before = sent_to(1);

		registrar_changed(r, L(0), now);
		cr_assert_not(registrar_holds(L(0)));
		tick();
		cr_assert_eq(sent_to(1), before + 1);
		cr_assert_eq(last(1)->n, 1);
		answer(last(1), 0);
		cr_assert(registrar_holds(L(0)));
	}
}

CLAIM(no_connector_at_all_is_timed_out_at_once)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 0);
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(w.outcome, REGISTRAR_TIMED_OUT);
}

CLAIM(a_want_makes_tick_due_now)
{
	static struct waiter a = { 0 }, b = { 0 };

	cr_assert_eq(tick(), UINT64_MAX);
	want(&a, 0, AB, 2);
	tick();
	want(&b, 1, AB, 2);
	cr_assert_leq(tick(), now + TIMEOUT / 2);
	answer(sent[0], 0);
	cr_assert_eq(n_sent, 2);
}

CLAIM(what_comes_in_one_turn_and_while_one_is_under_way_travels_together)
{
	static struct waiter w[3000];

	for (int i = 0; i < 10; i++)
		want(&w[i], (size_t)i, AB, 2);
	tick();
	cr_assert_eq(n_sent, 1);
	cr_assert_eq(sent[0]->n, 10);
	for (int i = 10; i < 3000; i++) {
		want(&w[i], (size_t)i, AB, 2);
		tick();
	}
	cr_assert_eq(n_sent, 1);
	answer(sent[0], 0);
	cr_assert_eq(n_sent, 2);
	cr_assert_eq(sent[1]->n, REGISTRAR_MAX_BATCH);
	answer(sent[1], 0);
	cr_assert_eq(sent[2]->n, 3000 - 10 - REGISTRAR_MAX_BATCH);
	answer(sent[2], 0);
	for (int i = 0; i < 3000; i++)
		cr_assert(w[i].settled == 1 && w[i].outcome == REGISTRAR_OK);
}

CLAIM(many_waiters_of_one_lease_cost_one_element)
{
	static struct waiter a = { 0 }, b = { 0 };

	want(&a, 0, AB, 2);
	want(&b, 0, AB, 2);
	tick();
	cr_assert_eq(sent[0]->n, 1);
	answer(sent[0], 0);
	cr_assert(a.settled == 1 && b.settled == 1);
}

CLAIM(a_connector_that_fails_is_left_for_the_next)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 2);
	tick();
	fails(sent[0]);
	cr_assert_not(registrar_healthy(r, 1));
	cr_assert_eq(health_changes, 1);
	cr_assert_eq(sent[1]->connector, 2);
	answer(sent[1], 0);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
	cr_assert_eq(granted_at[0], 2);
}

CLAIM(an_answer_of_the_wrong_length_is_a_failure)
{
	static struct waiter w = { 0 };
	const int codes[2] = { 0 };

	want(&w, 0, AB, 2);
	tick();
	registrar_reply(r, 1, sent[0]->id, codes, 2, "e", now);
	tick();
	cr_assert_not(registrar_healthy(r, 1));
	cr_assert_eq(sent[1]->connector, 2);
}

CLAIM(a_silent_connector_gets_half_of_the_time_while_another_remains)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 2);
	pass(TIMEOUT / 2 - 1);
	cr_assert_eq(n_sent, 1);
	pass(1);
	cr_assert_eq(n_sent, 2);
	cr_assert_eq(sent[1]->connector, 2);
	cr_assert_not(registrar_healthy(r, 1));
	answer(sent[1], 0);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
}

CLAIM(the_only_connector_gets_all_the_time)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 1);
	pass(TIMEOUT - 10);
	cr_assert_eq(w.settled, 0);
	cr_assert(registrar_healthy(r, 1));
	answer(sent[0], 0);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
}

CLAIM(nobody_waits_longer_than_the_answer_timeout)
{
	static struct waiter w = { 0 };

	want(&w, 0, ABC, 3);
	pass(TIMEOUT - 1);
	cr_assert_eq(w.settled, 0);
	cr_assert_eq(sent_to(3), 1, "all three were tried");
	pass(1);
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(w.outcome, REGISTRAR_TIMED_OUT);
	pass(10000);
	cr_assert_eq(w.settled, 1);
}

CLAIM(the_next_names_go_past_an_unhealthy_connector)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 2);
	tick();
	fails(sent[0]);
	answer(sent[1], 0);
	want(&w, 1, AB, 2);
	tick();
	cr_assert_eq(sent[2]->connector, 2);
}

CLAIM(a_late_ok_is_taken_where_nobody_else_agreed_yet)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 2);
	pass(TIMEOUT / 2 + 100);
	cr_assert_eq(sent[1]->connector, 2);
	answer(sent[0], 0);
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
	cr_assert_eq(granted_at[0], 1);
	/* The other one's OK is then one too many: it is told to release. */
	answer(sent[1], 0);
	cr_assert_eq(grants, 1);
	pass(REGISTRAR_HEARTBEAT_MS);
	cr_assert_eq(last(2)->n_release, 1);
	cr_assert_arr_eq(&last(2)->release[0], &L(0)->transit, 16);
}

CLAIM(a_late_ok_after_another_agreed_changes_nothing)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 2);
	pass(TIMEOUT / 2);
	answer(last(2), 0);
	cr_assert_eq(granted_at[0], 2);
	answer(sent[0], 0);
	cr_assert_eq(grants, 1);
	cr_assert_eq(granted_at[0], 2);
	cr_assert_eq(w.settled, 1);
}

CLAIM(a_request_given_up_may_still_be_answered_or_fail)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 1);
	pass(3000);
	cr_assert_eq(w.outcome, REGISTRAR_TIMED_OUT);
	cr_assert_not(registrar_healthy(r, 1));
	cr_assert_gt(sent_to(1), 1, "it is probed meanwhile");
	answer(sent[0], 0);
	cr_assert_eq(grants, 1, "the next question for it is quick");
	want(&w, 0, AB, 1);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
	registrar_failed(r, 1, sent[0]->id, REGISTRAR_SILENT, now);
	registrar_failed(r, 1, 987654, REGISTRAR_SILENT, now);
	registrar_failed(r, 77, 1, REGISTRAR_SILENT, now);
}

CLAIM(no_such_family_is_refused_at_once)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 2);
	tick();
	answer(sent[0], 3);
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(w.outcome, REGISTRAR_REFUSED);
	cr_assert_eq(w.code, 3);
	cr_assert_eq(n_sent, 1);
	cr_assert(registrar_healthy(r, 1));
}

CLAIM(families_that_differ_are_refused_at_once)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 2);
	tick();
	answer(sent[0], 4);
	cr_assert_eq(w.outcome, REGISTRAR_REFUSED);
	cr_assert_eq(w.code, 4);
}

CLAIM(any_other_refusal_is_tried_elsewhere_first)
{
	const int codes[] = { 1, 2, 5, 6, 99 };

	for (size_t i = 0; i < 5; i++) {
		struct waiter w = { 0 };

		want(&w, i, AB, 2);
		tick();
		answer(last(1), codes[i]);
		cr_assert_eq(w.settled, 0);
		answer(last(2), 0);
		cr_assert_eq(w.outcome, REGISTRAR_OK);
		cr_assert_eq(granted_at[i], 2);
	}
}

CLAIM(refused_by_all_gives_the_first_ones_code)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 2);
	tick();
	answer(sent[0], 5);
	answer(sent[1], 1);
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(w.outcome, REGISTRAR_REFUSED);
	cr_assert_eq(w.code, 5);
	cr_assert_eq(revocations, 0, "it never was live");
}

CLAIM(one_refused_element_does_not_spoil_the_others)
{
	static struct waiter w[3] = { 0 };
	const int codes[] = { 0, 3, 0 };

	for (size_t i = 0; i < 3; i++)
		want(&w[i], i, AB, 1);
	tick();
	registrar_reply(r, 1, sent[0]->id, codes, 3, "", now);
	cr_assert_eq(w[0].outcome, REGISTRAR_OK);
	cr_assert_eq(w[1].outcome, REGISTRAR_REFUSED);
	cr_assert_eq(w[2].outcome, REGISTRAR_OK);
}

CLAIM(maps_that_cannot_be_written_are_no_ok)
{
	static struct waiter w = { 0 };

	granted_result = -ENOSPC;
	want(&w, 0, AB, 2);
	tick();
	answer(sent[0], 0);
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(w.outcome, REGISTRAR_TIMED_OUT);
	pass(REGISTRAR_HEARTBEAT_MS);
	cr_assert_eq(last(1)->n_release, 1, "the connector need not keep it");
}

CLAIM(a_new_epoch_has_every_mapping_told_again_those_waited_for_in_front)
{
	static struct waiter w = { 0 }, v = { 0 };

	for (size_t i = 0; i < 5; i++)
		live_at(i, AB, 2);
	want(&w, 5, AB, 2);
	tick();
	answer_as(last(1), 0, "e2");
	cr_assert_eq(w.outcome, REGISTRAR_OK);
	cr_assert_eq(last(1)->n, 5, "all but the one of this very answer");
	want(&v, 2, AB, 2);
	cr_assert_eq(v.settled, 0, "it may not work at the moment");
	answer_as(last(1), 0, "e2");
	cr_assert_eq(v.outcome, REGISTRAR_OK);
	cr_assert_eq(revocations, 0);
	pass(100);
	cr_assert(last(1)->answered);
}

CLAIM(many_mappings_are_told_again_in_batches_and_fresh_names_pass_them)
{
	static struct waiter w[4500];
	static struct waiter fresh = { 0 };

	for (size_t i = 0; i < 4500; i++)
		want(&w[i], i, AB, 1);
	for (tick(); !last(1)->answered;)
		answer(last(1), 0);
	pass(REGISTRAR_HEARTBEAT_MS);
	answer_as(last(1), 0, "e2");
	cr_assert_eq(last(1)->n, REGISTRAR_MAX_BATCH);
	want(&fresh, 4600, AB, 1);
	answer_as(last(1), 0, "e2");
	cr_assert_eq(last(1)->n, REGISTRAR_MAX_BATCH);
	cr_assert_eq(last(1)->leases[0], L(4600));
	answer_as(last(1), 0, "e2");
	cr_assert_eq(last(1)->n, 4500 - 2 * REGISTRAR_MAX_BATCH + 1);
	answer_as(last(1), 0, "e2");
	cr_assert(last(1)->answered);
}

CLAIM(live_mappings_have_heartbeats_at_least_every_two_seconds)
{
	uint64_t before;

	live_at(0, AB, 1);
	before = now;
	for (int i = 0; i < 20; i++) {
		size_t n = n_sent;

		while (n_sent == n)
			pass(10);
		cr_assert_leq(last(1)->at - before, REGISTRAR_HEARTBEAT_MS);
		cr_assert_eq(last(1)->n, 0);
		before = last(1)->at;
		answer(last(1), 0);
	}
	cr_assert_eq(health_changes, 0);
}

CLAIM(without_mappings_there_is_no_heartbeat)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 1);
	tick();
	answer(sent[0], 3);
	cr_assert_eq(tick(), UINT64_MAX);
}

CLAIM(mappings_of_a_silent_connector_move_within_three_seconds)
{
	uint64_t died;

	live_alone_at_1(0);
	live_alone_at_1(1);
	died = now;
	await(2);
	cr_assert_leq(now - died, 3000);
	cr_assert_eq(last(2)->n, 2);
	answer(last(2), 0);
	cr_assert_eq(granted_at[0], 2);
	cr_assert_eq(granted_at[1], 2);
	cr_assert_eq(revocations, 0);
}

CLAIM(mappings_of_a_failing_connector_move_within_three_seconds)
{
	uint64_t died;

	live_alone_at_1(0);
	died = now;
	while (last(2)->answered) {
		pass(10);
		if (!last(1)->answered)
			fails(last(1));
	}
	cr_assert_leq(now - died, 3000);
	answer(last(2), 0);
	cr_assert_eq(granted_at[0], 2);
}

CLAIM(a_connector_whose_host_refuses_connections_is_given_time_to_start_again)
{
	uint64_t failed;

	stands_by(0);
	await(1);
	failed = now;
	for (uint64_t end = now + 1900; now < end;) {
		if (!last(1)->answered) {
			last(1)->answered = true;
			registrar_failed(r, 1, last(1)->id, REGISTRAR_PRESENT, now);
		}
		alive(2, 10);
	}
	cr_assert_not(registrar_healthy(r, 1), "new names leave at once");
	cr_assert_eq(granted_at[0], 1);
	while (granted_at[0] == 1)
		alive(2, 10);
	cr_assert_leq(now - failed, 2100);
}

CLAIM(one_failed_heartbeat_moves_nothing)
{
	live_alone_at_1(0);
	await(1);
	fails(last(1));
	alive(1, 10000);
	cr_assert_eq(sent_to(2), 1);
	cr_assert_eq(granted_at[0], 1);
	cr_assert(registrar_healthy(r, 1));
}

CLAIM(mappings_stay_where_no_other_connector_is_healthy)
{
	static struct waiter w = { 0 };

	live_at(0, AB, 1);
	pass(20000);
	cr_assert_eq(revocations, 0);
	cr_assert_not(registrar_healthy(r, 1));
	want(&w, 0, AB, 1);
	cr_assert_eq(w.outcome, REGISTRAR_OK, "both ends hold it");
}

CLAIM(a_connector_that_comes_back_is_noticed_and_does_not_take_mappings_back)
{
	static struct waiter w = { 0 };

	live_alone_at_1(0);
	await(2);
	answer(last(2), 0);
	alive(2, 30000);
	cr_assert_eq(granted_at[0], 2);
	w.settled = 0;
	for (uint64_t end = now + 6000; now < end;) {
		alive(1, 20);
		alive(2, 20);
	}
	cr_assert(registrar_healthy(r, 1));
	cr_assert_eq(granted_at[0], 2);
	want(&w, 1, AB, 2);
	tick();
	answer(last(1), 0);
	cr_assert_eq(granted_at[1], 1, "new names take the preferred one");
}

CLAIM(probes_of_a_dead_connector_slow_down_to_five_seconds)
{
	static struct waiter w = { 0 };
	size_t n;

	want(&w, 0, AB, 1);
	tick();
	fails(sent[0]);
	for (uint64_t end = now + 20000; now < end;) {
		pass(10);
		if (!last(1)->answered)
			fails(last(1));
	}
	n = sent_to(1);
	cr_assert_geq(n, 6);
	cr_assert_leq(n, 9);
	for (uint64_t end = now + 50000; now < end;) {
		pass(10);
		if (!last(1)->answered)
			fails(last(1));
	}
	cr_assert_geq(sent_to(1) - n, 9);
	cr_assert_leq(sent_to(1) - n, 11);
}

CLAIM(who_waits_is_served_when_a_connector_recovers_in_time)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 1);
	tick();
	fails(sent[0]);
	cr_assert_eq(w.settled, 0);
	pass(600);
	answer(last(1), 0); /* the probe */
	answer(last(1), 0);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
}

CLAIM(a_release_travels_with_the_next_request)
{
	static struct waiter w = { 0 };

	live_at(0, AB, 2);
	live_at(1, AB, 2);
	registrar_release(r, L(0));
	cr_assert_null(L(0)->registration);
	want(&w, 2, AB, 2);
	tick();
	cr_assert_eq(last(1)->n, 1);
	cr_assert_eq(last(1)->n_release, 1);
	cr_assert_arr_eq(&last(1)->release[0], &L(0)->transit, 16);
	answer(last(1), 0);
	pass(REGISTRAR_HEARTBEAT_MS);
	cr_assert_eq(last(1)->n_release, 0);
}

CLAIM(a_release_goes_with_a_heartbeat_even_when_nothing_else_lives)
{
	live_at(0, AB, 2);
	registrar_release(r, L(0));
	pass(REGISTRAR_HEARTBEAT_MS);
	cr_assert_eq(last(1)->n, 0);
	cr_assert_eq(last(1)->n_release, 1);
	answer(last(1), 0);
	cr_assert_eq(tick(), UINT64_MAX);
}

CLAIM(a_release_that_did_not_arrive_is_sent_again)
{
	live_at(0, AB, 2);
	registrar_release(r, L(0));
	pass(REGISTRAR_HEARTBEAT_MS);
	fails(last(1));
	pass(600);
	cr_assert_eq(last(1)->n_release, 1);
}

/* Else it could arrive after the address was registered there anew. */
CLAIM(a_request_given_up_is_cancelled_where_it_releases_and_only_there)
{
	uint64_t given_up;

	live_at(0, AB, 1);
	live_at(1, AB, 1);
	registrar_release(r, L(0));
	pass(REGISTRAR_HEARTBEAT_MS);
	cr_assert_eq(last(1)->n_release, 1);
	given_up = last(1)->id;
	pass(1000);
	cr_assert_eq(cancelled, given_up);
	cancelled = 0;
	pass(600);
	cr_assert_eq(last(1)->n_release, 1, "it goes with the next one");
}

CLAIM(a_release_with_its_request_under_way_tells_the_waiter_and_the_connector)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 2);
	tick();
	registrar_release(r, L(0));
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(w.outcome, REGISTRAR_TIMED_OUT);
	answer(sent[0], 0);
	cr_assert_eq(grants, 0);
	pass(REGISTRAR_HEARTBEAT_MS);
	cr_assert_eq(last(1)->n_release, 1);
}

CLAIM(a_transit_address_lent_anew_is_not_released)
{
	static struct waiter w = { 0 };

	live_at(0, AB, 2);
	registrar_release(r, L(0));
	want(&w, 0, AB, 2);
	tick();
	cr_assert_eq(last(1)->n, 1);
	cr_assert_eq(last(1)->n_release, 0);
}

CLAIM(what_an_earlier_run_may_have_told_is_released)
{
	registrar_release_at(r, 1, &L(0)->transit);
	tick();
	pass(REGISTRAR_HEARTBEAT_MS);
	cr_assert_eq(last(1)->n, 0);
	cr_assert_eq(last(1)->n_release, 1);
}

CLAIM(what_an_earlier_run_may_have_told_is_not_released_once_it_is_wanted_again)
{
	static struct waiter w = { 0 };

	registrar_release_at(r, 1, &L(0)->transit);
	want(&w, 0, AB, 2);
	tick();
	cr_assert_eq(last(1)->n, 1);
	cr_assert_eq(last(1)->n_release, 0);
}

CLAIM(a_lease_never_sent_needs_no_release)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 2);
	registrar_release(r, L(0));
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(tick(), UINT64_MAX);
	cr_assert_eq(n_sent, 0);
}

CLAIM(a_forgotten_waiter_is_not_called)
{
	static struct waiter a = { 0 }, b = { 0 };

	want(&a, 0, AB, 2);
	want(&b, 0, AB, 2);
	tick();
	registrar_forget(r, &a.wait);
	registrar_forget(r, &a.wait);
	answer(sent[0], 0);
	cr_assert_eq(a.settled, 0);
	cr_assert_eq(b.settled, 1);
	registrar_forget(r, &b.wait);
	pass(2 * TIMEOUT);
}

CLAIM(an_unknown_mapping_is_told_again_at_most_once_a_second)
{
	live_at(0, AB, 1);
	registrar_again(r, L(0), now);
	tick();
	cr_assert_eq(n_sent, 2);
	cr_assert_eq(sent[1]->n, 1);
	answer(sent[1], 0);
	now += 400;
	registrar_again(r, L(0), now);
	tick();
	cr_assert_eq(n_sent, 2);
	now += 599;
	registrar_again(r, L(0), now);
	tick();
	cr_assert_eq(n_sent, 2);
	now += 1;
	registrar_again(r, L(0), now);
	tick();
	cr_assert_eq(n_sent, 3);
}

CLAIM(an_unknown_mapping_told_again_a_moment_ago_is_told_once_its_second_is_over)
{
	uint64_t begin = now;

	live_at(0, AB, 1);
	registrar_again(r, L(0), now);
	tick();
	answer(sent[1], 0);
	now += 300;
	registrar_again(r, L(0), now);
	cr_assert_eq(registrar_tick(r, now), begin + 1000, "woken for it");
	cr_assert_eq(n_sent, 2);
	now = begin + 1000;
	tick();
	cr_assert_eq(n_sent, 3, "without another event");
	cr_assert_eq(sent[2]->n, 1);
	answer(sent[2], 0);
	now += 1000;
	tick();
	cr_assert_eq(n_sent, 3, "and once only");
}

CLAIM(an_unknown_mapping_put_off_and_agreed_to_meanwhile_is_not_told_again)
{
	live_at(0, AB, 1);
	registrar_again(r, L(0), now);
	tick();
	answer(sent[1], 0);
	now += 300;
	registrar_again(r, L(0), now);
	registrar_changed(r, L(0), ++now);
	tick();
	answer(sent[2], 0);
	now += 1000;
	tick();
	cr_assert_eq(n_sent, 3);
}

CLAIM(a_live_lease_refused_everywhere_is_revoked)
{
	static struct waiter w = { 0 };

	live_at(0, AB, 2);
	registrar_again(r, L(0), now);
	tick();
	answer(last(1), 1);
	cr_assert_eq(revocations, 0);
	answer(last(2), 6);
	cr_assert_eq(revocations, 1);
	cr_assert_eq(revoked_code, 1);
	want(&w, 0, AB, 2);
	cr_assert_eq(w.settled, 0, "it is no longer registered");
	tick();
	answer(last(1), 0);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
}

CLAIM(a_live_lease_refused_by_its_home_moves_to_one_that_agrees)
{
	live_at(0, AB, 2);
	registrar_again(r, L(0), now);
	tick();
	answer(last(1), 5);
	answer(last(2), 0);
	cr_assert_eq(granted_at[0], 2);
	cr_assert_eq(revocations, 0);
}

CLAIM(a_move_that_is_refused_leaves_the_mapping_where_it_is)
{
	static struct waiter w = { 0 };

	live_alone_at_1(0);
	await(2);
	answer(last(2), 1);
	cr_assert_eq(revocations, 0);
	want(&w, 0, AB, 2);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
}

CLAIM(a_restored_lease_is_told_again_at_its_connector)
{
	static struct waiter w = { 0 };

	cr_assert_eq(registrar_restore(r, L(0), 2), 0);
	cr_assert_eq(registrar_restore(r, L(0), 2), -EEXIST);
	tick();
	cr_assert_eq(n_sent, 1);
	cr_assert_eq(sent[0]->connector, 2);
	answer(sent[0], 0);
	want(&w, 0, AB, 2);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
}

CLAIM(a_restored_lease_moves_once_its_candidates_are_known)
{
	cr_assert_eq(registrar_restore(r, L(0), 1), 0);
	registrar_candidates(r, L(0), AB, 2, now);
	await(2);
	answer(last(2), 1);
	await(2);
	cr_assert_eq(last(2)->n_standby, 0);
	answer(last(2), 0);
	cr_assert_eq(granted_at[0], 2);
}

CLAIM(a_dropped_connectors_mappings_move)
{
	static struct waiter w = { 0 };

	live_at(0, AB, 2);
	want(&w, 1, AB, 2);
	tick();
	registrar_drop_connector(r, 1, now);
	tick();
	cr_assert_eq(last(2)->n, 2);
	answer(last(2), 0);
	cr_assert_eq(granted_at[0], 2);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
	answer(sent[1], 0); /* of the dropped one: too late for anything */
	cr_assert_eq(grants, 3);
	pass(60000);
	cr_assert_eq(sent_to(1), 2);
}

CLAIM(a_dropped_connectors_mappings_are_revoked_where_none_is_left)
{
	live_at(0, AB, 1);
	registrar_drop_connector(r, 1, now);
	cr_assert_eq(revocations, 1);
	cr_assert_eq(tick(), UINT64_MAX);
}

CLAIM(who_waits_in_vain_is_served_by_a_connector_that_is_new_in_the_netmap)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 1);
	tick();
	fails(last(1));
	registrar_candidates(r, L(0), AB, 2, now);
	tick();
	cr_assert_eq(sent_to(2), 1);
	answer(last(2), 0);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
	cr_assert_eq(w.settled, 1);
}

CLAIM(a_mapping_that_none_agrees_to_is_revoked_when_its_connector_is_dropped)
{
	static struct waiter w = { 0 };

	cr_assert_eq(registrar_restore(r, L(0), 1), 0);
	registrar_candidates(r, L(0), AB, 2, now);
	tick();
	fails(last(1));
	await(2);
	fails(last(2));
	want(&w, 0, AB, 2);
	while (!w.settled) {
		pass(10);
		for (uint32_t c = 1; c <= 2; c++)
			if (!last(c)->answered)
				fails(last(c));
		if (w.wait.deadline - now == TIMEOUT / 2)
			registrar_drop_connector(r, 1, now);
		cr_assert_eq(revocations, w.wait.deadline - now < TIMEOUT / 2);
	}
	cr_assert_eq(w.outcome, REGISTRAR_TIMED_OUT);
}

CLAIM(a_dropped_connectors_mapping_moves_to_its_standby_though_who_waited_goes_just_then)
{
	static struct waiter w = { 0 };

	stands_by(0);
	await(1);
	answer_as(last(1), 0, "another");
	want(&w, 0, AB, 2);
	now += TIMEOUT;
	registrar_drop_connector(r, 1, now);
	tick();
	cr_assert_eq(w.outcome, REGISTRAR_TIMED_OUT);
	cr_assert_eq(granted_at[0], 2);
	cr_assert(registrar_holds(L(0)));
}

CLAIM(a_connector_no_longer_a_candidate_is_left)
{
	static const uint32_t B[] = { 2 };

	live_at(0, AB, 2);
	registrar_candidates(r, L(0), B, 1, now);
	tick();
	answer(last(2), 0);
	cr_assert_eq(granted_at[0], 2);
	pass(REGISTRAR_HEARTBEAT_MS);
	cr_assert_eq(last(1)->n_release, 1);
}

CLAIM(a_stalled_loop_is_not_counted_against_connectors)
{
	static struct waiter w = { 0 };

	live_at(0, AB, 1);
	pass(REGISTRAR_HEARTBEAT_MS);
	cr_assert_not(last(1)->answered);
	now += 3600 * 1000;
	tick();
	answer(last(1), 0);
	cr_assert(registrar_healthy(r, 1));
	want(&w, 0, AB, 1);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
}

CLAIM(time_that_goes_back_stands_still)
{
	static struct waiter w = { 0 };

	want(&w, 0, AB, 2);
	tick();
	now -= 50000;
	tick();
	answer(sent[0], 0);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
}

static struct waiter next_waiter;

static void wants_another(struct waiter *w)
{
	want(&next_waiter, 1, AB, 2);
	tick();
}

static void ends_its_lease(struct waiter *w)
{
	size_t i = number(w->lease);

	registrar_release(r, w->lease);
	free(leases[i]);
	leases[i] = NULL;
}

static void forgets_the_next(struct waiter *w)
{
	registrar_forget(r, &next_waiter.wait);
}

static void wants_the_same(struct waiter *w)
{
	next_waiter.then = NULL;
	want(&next_waiter, number(w->lease), AB, 2);
}

CLAIM(one_who_is_told_may_want_another)
{
	static struct waiter w = { .then = wants_another };

	want(&w, 0, AB, 2);
	tick();
	answer(sent[0], 0);
	tick();
	cr_assert_eq(n_sent, 2);
	answer(sent[1], 0);
	cr_assert_eq(next_waiter.outcome, REGISTRAR_OK);
}

CLAIM(one_who_is_told_may_release_and_free_the_lease)
{
	static struct waiter w = { .then = ends_its_lease }, v = { 0 }, other = { 0 };

	want(&w, 0, AB, 2);
	want(&v, 0, AB, 2);
	want(&other, 1, AB, 2);
	tick();
	answer(sent[0], 0);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
	cr_assert_eq(v.settled, 1);
	cr_assert_eq(v.outcome, REGISTRAR_TIMED_OUT);
	cr_assert_eq(other.outcome, REGISTRAR_OK);
}

CLAIM(one_who_is_told_may_forget_the_next_one)
{
	static struct waiter w = { .then = forgets_the_next };

	want(&w, 0, AB, 2);
	want(&next_waiter, 0, AB, 2);
	tick();
	answer(sent[0], 3);
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(next_waiter.settled, 0);
}

CLAIM(one_who_is_refused_may_want_the_same_again)
{
	static struct waiter w = { .then = wants_the_same };

	want(&w, 0, AB, 2);
	tick();
	answer(sent[0], 3);
	cr_assert_eq(next_waiter.settled, 0, "it is a new question");
	answer(last(1), 0);
	cr_assert_eq(next_waiter.outcome, REGISTRAR_OK);
}

CLAIM(one_who_timed_out_may_release_the_lease)
{
	static struct waiter w = { .then = ends_its_lease };

	want(&w, 0, AB, 1);
	pass(TIMEOUT);
	cr_assert_eq(w.outcome, REGISTRAR_TIMED_OUT);
}

CLAIM(those_who_wait_at_the_end_are_told)
{
	static struct waiter w = { .then = wants_another };

	want(&w, 0, AB, 2);
	tick();
	registrar_free(r);
	r = NULL;
	cr_assert_eq(w.outcome, REGISTRAR_TIMED_OUT);
	cr_assert_eq(next_waiter.outcome, REGISTRAR_TIMED_OUT);
}

/* Connector 1 dies; 2 answers. Until lease 0 is elsewhere. */
static void dies(void)
{
	uint64_t died = now;

	while (granted_at[0] == 1) {
		alive(2, 10);
		cr_assert_leq(now - died, 3000);
	}
}

CLAIM(what_one_agreed_to_is_told_to_a_second_later_and_together)
{
	uint64_t begin = now;

	for (size_t i = 0; i < 50; i++)
		live_at(i, ABC, 3);
	cr_assert_eq(sent_to(2), 0);
	await(2);
	cr_assert_leq(now - begin, 200);
	cr_assert_eq(last(2)->n, 50);
	cr_assert_eq(last(2)->n_standby, 50);
	answer(last(2), 0);
	for (size_t i = 0; i < 50; i++)
		cr_assert_eq(registrar_standby(L(i)), 2);
	cr_assert_eq(sent_to(3), 0);
	cr_assert_eq(grants, 50, "no answer waited for it");
}

CLAIM(a_lease_with_a_standby_moves_without_a_request)
{
	static struct waiter w = { 0 };
	size_t requests;

	stands_by(0);
	stands_by(1);
	requests = sent_to(2);
	dies();
	for (size_t i = requests; i < sent_to(2); i++)
		cr_assert_eq(last(2)->n, 0, "heartbeats alone");
	cr_assert_eq(granted_at[0], 2);
	cr_assert_eq(granted_at[1], 2);
	cr_assert_eq(carried, 2);
	cr_assert_eq(revocations, 0);
	want(&w, 0, AB, 2);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
}

CLAIM(who_waits_for_a_lease_of_a_connector_that_fails_is_served_by_the_standby_at_once)
{
	static struct waiter w = { 0 };

	stands_by(0);
	await(1);
	fails(last(1));
	want(&w, 0, AB, 2);
	cr_assert_eq(w.settled, 0, "not from within");
	tick();
	cr_assert_eq(w.outcome, REGISTRAR_OK);
	cr_assert_eq(granted_at[0], 2);
}

CLAIM(a_standby_that_refuses_is_no_reason_to_refuse)
{
	static struct waiter w = { 0 };

	live_alone_at_1(0);
	cr_assert_eq(registrar_standby(L(0)), REGISTRAR_NONE);
	want(&w, 0, AB, 2);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
	cr_assert_eq(revocations, 0);
	for (uint64_t end = now + 200000; now < end;)
		alive(1, 100);
	cr_assert_eq(sent_to(2), 1, "it is left in peace for a while");
	for (uint64_t end = now + 110000; now < end && sent_to(2) == 1;)
		alive(1, 100);
	cr_assert_eq(sent_to(2), 2, "and then asked again");
}

CLAIM(a_standby_that_refuses_is_replaced_by_the_next)
{
	live_at(0, ABC, 3);
	await(2);
	answer(last(2), 1);
	await(3);
	cr_assert_eq(last(3)->n_standby, 1);
	answer(last(3), 0);
	cr_assert_eq(registrar_standby(L(0)), 3);
}

CLAIM(a_standby_that_does_not_answer_is_replaced_and_told_to_forget)
{
	live_at(0, ABC, 3);
	await(2);
	fails(last(2));
	await(3);
	answer(last(3), 0);
	cr_assert_eq(registrar_standby(L(0)), 3);
	await(2);
	cr_assert_eq(last(2)->n_release, 1, "it may have heard");
}

CLAIM(heartbeats_keep_what_a_standby_holds)
{
	uint64_t before;

	stands_by(0);
	before = last(2)->at;
	for (int i = 0; i < 10; i++) {
		size_t n = sent_to(2);

		while (sent_to(2) == n)
			alive(1, 10);
		cr_assert_leq(last(2)->at - before, REGISTRAR_HEARTBEAT_MS);
		before = last(2)->at;
		answer(last(2), 0);
	}
}

CLAIM(a_release_goes_to_the_standby_too)
{
	stands_by(0);
	registrar_release(r, L(0));
	pass(REGISTRAR_HEARTBEAT_MS);
	cr_assert_eq(last(1)->n_release, 1);
	cr_assert_eq(last(2)->n_release, 1);
}

CLAIM(a_release_goes_to_one_that_was_just_told_to_stand_by)
{
	live_at(0, AB, 2);
	await(2);
	registrar_release(r, L(0));
	answer(last(2), 0);
	await(2);
	cr_assert_eq(last(2)->n_release, 1);
}

CLAIM(after_a_move_the_one_before_stands_by_once_it_is_back)
{
	stands_by(0);
	dies();
	cr_assert_eq(registrar_standby(L(0)), 1);
	for (uint64_t end = now + 8000; now < end;) {
		alive(1, 20);
		alive(2, 20);
	}
	cr_assert_eq(granted_at[0], 2, "nothing flaps");
	cr_assert_eq(last(1)->n_release, 0);
	cr_assert(registrar_healthy(r, 1));
	cr_assert_eq(registrar_standby(L(0)), 1);
}

CLAIM(after_a_move_a_new_standby_is_sought_among_those_that_answer)
{
	uint64_t moved;

	live_at(0, ABC, 3);
	await(2);
	answer(last(2), 0);
	dies();
	moved = now;
	while (!last(3))
		alive(2, 10);
	cr_assert_geq(now - moved, 1900, "replies of the one before are still taken");
	answer(last(3), 0);
	cr_assert_eq(registrar_standby(L(0)), 3);
	for (uint64_t end = now + 8000; now < end;) {
		alive(1, 20);
		alive(2, 20);
		alive(3, 20);
	}
	for (size_t i = n_sent; i--;)
		if (sent[i]->connector == 1 && sent[i]->n_release)
			return;
	cr_assert(false, "the one before is told to forget");
}

CLAIM(a_standby_with_which_flows_stayed_is_not_replaced_while_they_do)
{
	live_at(0, ABC, 3);
	await(2);
	answer(last(2), 0);
	keeps = true;
	dies();
	alive(2, 10000);
	cr_assert_eq(registrar_standby(L(0)), 1);
	cr_assert_eq(sent_to(3), 0);
	keeps = false;
	alive(2, 2100);
	cr_assert_eq(last(3)->n_standby, 1);
	answer(last(3), 0);
	cr_assert_eq(registrar_standby(L(0)), 3);
}

CLAIM(one_that_failed_before_it_could_confirm_is_told_as_standby_when_it_is_back)
{
	cr_assert_eq(registrar_restore(r, L(0), 1), 0);
	registrar_candidates(r, L(0), AB, 2, now);
	await(2);
	answer(last(2), 1);
	granted_at[0] = 1;
	dies();
	cr_assert_eq(granted_at[0], 2);
	cr_assert_eq(registrar_standby(L(0)), REGISTRAR_NONE);
	await(1);
	answer(last(1), 0);
	cr_assert_eq(registrar_standby(L(0)), REGISTRAR_NONE);
	await(1);
	cr_assert_eq(last(1)->n_standby, 1);
	cr_assert_eq(last(1)->n_release, 0);
	answer(last(1), 0);
	cr_assert_eq(registrar_standby(L(0)), 1);
}

CLAIM(a_standby_whose_epoch_changed_is_told_again_and_no_standby_until_then)
{
	stands_by(0);
	alive(1, 1000);
	if (last(2)->answered)
		await(2);
	answer_as(last(2), 0, "another");
	cr_assert_eq(registrar_standby(L(0)), REGISTRAR_NONE);
	await(2);
	cr_assert_eq(last(2)->n_standby, 1);
	answer_as(last(2), 0, "another");
	cr_assert_eq(registrar_standby(L(0)), 2);
}

CLAIM(a_standby_that_fails_is_replaced_where_another_answers)
{
	live_at(0, ABC, 3);
	await(2);
	answer(last(2), 0);
	while (!last(3))
		alive(1, 10);
	cr_assert_eq(last(3)->n_standby, 1);
	answer(last(3), 0);
	cr_assert_eq(registrar_standby(L(0)), 3);
	cr_assert_eq(granted_at[0], 1);
}

CLAIM(a_standby_that_is_no_connector_any_more_is_replaced)
{
	live_at(0, ABC, 3);
	await(2);
	answer(last(2), 0);
	registrar_drop_connector(r, 2, now);
	cr_assert_eq(registrar_standby(L(0)), REGISTRAR_NONE);
	await(3);
	answer(last(3), 0);
	cr_assert_eq(registrar_standby(L(0)), 3);
}

CLAIM(a_standby_that_is_no_candidate_any_more_is_released)
{
	static const uint32_t A[] = { 1 };

	stands_by(0);
	registrar_candidates(r, L(0), A, 1, now);
	cr_assert_eq(registrar_standby(L(0)), REGISTRAR_NONE);
	await(2);
	cr_assert_eq(last(2)->n_release, 1);
}

CLAIM(a_lease_whose_connector_is_dropped_moves_to_its_standby_at_once)
{
	stands_by(0);
	registrar_drop_connector(r, 1, now);
	tick();
	cr_assert_eq(granted_at[0], 2);
	cr_assert_eq(revocations, 0);
}

CLAIM(a_device_that_cannot_carry_it_leaves_the_lease_to_an_ordinary_move)
{
	live_at(0, ABC, 3);
	await(2);
	answer(last(2), 0);
	carry_result = -EIO;
	while (!last(3)) {
		alive(2, 10);
		cr_assert_eq(granted_at[0], 1);
	}
	cr_assert_eq(last(3)->n_standby, 0);
	answer(last(3), 0);
	cr_assert_eq(granted_at[0], 3);
}

CLAIM(a_restored_standby_is_told_again)
{
	cr_assert_eq(registrar_restore(r, L(0), 1), 0);
	registrar_restore_standby(r, L(0), 3);
	registrar_candidates(r, L(0), ABC, 3, now);
	tick();
	answer(last(1), 0);
	cr_assert_eq(last(3)->n_standby, 1);
	cr_assert_eq(last(3)->n_release, 0);
	answer(last(3), 0);
	cr_assert_eq(registrar_standby(L(0)), 3);
	cr_assert_eq(sent_to(2), 0);
}

CLAIM(a_restored_standby_that_is_no_candidate_is_released)
{
	cr_assert_eq(registrar_restore(r, L(0), 1), 0);
	registrar_restore_standby(r, L(0), 3);
	registrar_candidates(r, L(0), AB, 2, now);
	tick();
	answer(last(1), 0);
	await(2);
	answer(last(2), 0);
	await(3);
	cr_assert_eq(last(3)->n_release, 1);
	cr_assert_eq(registrar_standby(L(0)), 2);
}

CLAIM(a_restored_standby_that_does_not_answer_in_time_keeps_what_it_holds)
{
	cr_assert_eq(registrar_restore(r, L(0), 1), 0);
	registrar_restore_standby(r, L(0), 2);
	registrar_candidates(r, L(0), AB, 2, now);
	keeps = true;
	await(2);
	cr_assert_eq(last(2)->n_standby, 1);
	fails(last(2));
	cr_assert_eq(registrar_standby(L(0)), REGISTRAR_NONE);
	await(2);
	cr_assert_eq(last(2)->n_release, 0, "flows of it may go on there");
	answer(last(2), 0);
	for (uint64_t end = now + 4000; now < end;) {
		alive(1, 10);
		alive(2, 10);
	}
	cr_assert_eq(registrar_standby(L(0)), 2);
	for (size_t i = 0; i < n_sent; i++)
		cr_assert_eq(sent[i]->n_release, 0);
}

/* Connector 1 fails; connector 2, its standby, is being told, and does not answer yet. */
static void restored_and_failing(const uint32_t *connectors, size_t n)
{
	cr_assert_eq(registrar_restore(r, L(0), 1), 0);
	tick();
	registrar_restore_standby(r, L(0), 2);
	registrar_candidates(r, L(0), connectors, n, now);
	await(2);
	answer(last(2), 0);
	await(2);
	cr_assert_eq(last(2)->n_standby, 1);
	fails(last(1));
}

CLAIM(a_restored_standby_takes_over_from_a_silent_home_unasked_and_is_told_then)
{
	uint64_t begin = now;

	restored_and_failing(AB, 2);
	while (granted_at[0] != 2) {
		cr_assert_leq(now - begin, 1000, "it waits for an answer");
		pass(1);
	}
	cr_assert_not(registrar_holds(L(0)), "an answer waits until it agrees");
	answer(last(2), 0);
	cr_assert_eq(last(2)->n, 1);
	cr_assert_eq(last(2)->n_standby, 0);
	answer(last(2), 0);
	cr_assert(registrar_holds(L(0)));
}

CLAIM(a_restored_standby_that_took_over_and_refuses_is_left)
{
	restored_and_failing(ABC, 3);
	while (granted_at[0] != 2)
		pass(1);
	answer(last(2), 0);
	answer(last(2), 1);
	cr_assert_not(registrar_holds(L(0)));
	while (granted_at[0] != 3)
		alive(3, 10);
	cr_assert(registrar_holds(L(0)));
}

CLAIM(a_restored_standby_is_asked_where_the_home_forwards_still)
{
	cr_assert_eq(registrar_restore(r, L(0), 1), 0);
	registrar_restore_standby(r, L(0), 2);
	registrar_candidates(r, L(0), AB, 2, now);
	tick();
	answer(last(1), 0);
	cr_assert_eq(granted_at[0], 1);
	registrar_candidates(r, L(0), ABC + 1, 2, now);
	pass(400);
	cr_assert_eq(granted_at[0], 1);
	alive(2, 200);
	cr_assert_eq(granted_at[0], 2);
}

CLAIM(a_restored_standby_whose_epoch_changed_is_asked_before_it_takes_over)
{
	restored_and_failing(AB, 2);
	registrar_failed(r, 2, last(2)->id, REGISTRAR_PRESENT, now);
	last(2)->answered = true;
	await(2);
	answer_as(last(2), 0, "another");
	await(2);
	cr_assert_eq(last(2)->n_standby, 1);
	while (last(1)->at < 101000) {
		pass(10);
		cr_assert_eq(granted_at[0], 0);
	}
}

CLAIM(who_did_not_answer_before_a_restart_is_probed_at_once_and_nobodys_choice_until_it_answers)
{
	static struct waiter w = { 0 }, v = { 0 };

	registrar_restore_down(r, 1);
	cr_assert_not(registrar_healthy(r, 1));
	want(&w, 0, AB, 2);
	tick();
	cr_assert_eq(sent_to(1), 1);
	cr_assert_eq(last(1)->n, 0);
	cr_assert_eq(last(2)->n, 1);
	answer(last(2), 0);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
	answer(last(1), 0);
	cr_assert(registrar_healthy(r, 1));
	want(&v, 1, AB, 2);
	tick();
	cr_assert_eq(last(1)->n, 1);
	answer(last(1), 0);
	cr_assert_eq(v.outcome, REGISTRAR_OK);
}

CLAIM(a_connector_that_was_dropped_while_it_did_not_answer_is_probed_when_it_comes_again)
{
	static struct waiter w = { 0 };

	live_at(0, AB, 2);
	alive(2, 1300);
	fails(last(1));
	cr_assert_not(registrar_healthy(r, 1));
	registrar_drop_connector(r, 1, now);
	tick();
	want(&w, 1, AB, 2);
	tick();
	cr_assert_not(registrar_healthy(r, 1));
	cr_assert_eq(last(1)->n, 0);
	while (!w.settled)
		alive(2, 10);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
	answer(last(1), 0);
	cr_assert(registrar_healthy(r, 1));
}

CLAIM(a_restored_standby_is_asked_before_it_takes_over)
{
	static struct waiter w = { 0 };

	cr_assert_eq(registrar_restore(r, L(0), 1), 0);
	registrar_restore_standby(r, L(0), 2);
	registrar_candidates(r, L(0), AB, 2, now);
	tick();
	fails(last(1));
	want(&w, 0, AB, 2);
	tick();
	cr_assert_eq(granted_at[0], 0);
	cr_assert_eq(last(2)->n_standby, 1);
	answer(last(2), 0);
	cr_assert_eq(last(2)->n_standby, 0);
	answer(last(2), 0);
	cr_assert_eq(w.settled, 1);
	cr_assert_eq(w.outcome, REGISTRAR_OK);
	cr_assert_eq(granted_at[0], 2);
}

CLAIM(one_with_which_flows_stay_stands_by_in_the_place_of_another)
{
	live_at(0, ABC, 3);
	await(2);
	answer(last(2), 0);
	registrar_drop_connector(r, 3, now);
	keeps = true;
	carry_result = -EIO;
	registrar_candidates(r, L(0), ABC, 3, now);
	while (granted_at[0] != 3) {
		if (!last(1)->answered)
			fails(last(1));
		alive(2, 10);
		alive(3, 10);
	}
	cr_assert_eq(standby_at[0], 2, "the move itself says that flows stay with the one before");
	alive(3, 5000);
	for (size_t i = 0; i < n_sent; i++)
		cr_assert(sent[i]->connector != 1 || !sent[i]->n_release);
	await(2);
	cr_assert_eq(last(2)->n_release, 1);
}

CLAIM(those_who_wait_go_before_standbys_and_not_with_them)
{
	static const uint32_t BA[] = { 2, 1 };
	static struct waiter w[5];

	for (size_t i = 0; i < 1000; i++)
		live_at(i, AB, 2);
	await(2);
	cr_assert_eq(last(2)->n, 256, "a batch that keeps nobody waiting for long");
	for (size_t i = 0; i < 3; i++) {
		want(&w[i], 2000 + i, BA, 2);
		answer(last(2), 0);
		cr_assert_eq(last(2)->n, 1);
		cr_assert_eq(last(2)->n_standby, 0);
		cr_assert_eq(last(2)->leases[0], L(2000 + i));
	}
	answer(last(2), 0);
	cr_assert_eq(last(2)->n, 256, "when nobody waits the others go on");
	cr_assert_eq(last(2)->n_standby, 256);
}

CLAIM(a_lease_whose_packets_are_answered_stays_with_a_connector_that_does_not_answer)
{
	static struct waiter w = { 0 };

	stands_by(0);
	stands_by(1);
	forwards[0] = FORWARDS;
	alive(2, 10000);
	cr_assert_not(registrar_healthy(r, 1));
	cr_assert_eq(granted_at[0], 1);
	cr_assert_eq(granted_at[1], 2, "the other one moves");
	want(&w, 0, AB, 2);
	cr_assert_eq(w.outcome, REGISTRAR_OK, "and is answered for");
	want(&w, 2, AB, 2);
	tick();
	answer(last(2), 0);
	cr_assert_eq(granted_at[2], 2, "new ones go elsewhere");
	forwards[0] = DEAD;
	alive(2, 300);
	cr_assert_eq(granted_at[0], 2, "and it moves at once when they are not any more");
	looks = 0;
	alive(2, 10000);
	cr_assert_eq(looks, 0);
}

CLAIM(an_idle_lease_stays_while_its_connectors_host_answers)
{
	stands_by(0);
	forwards[0] = IDLE;
	for (uint64_t end = now + 10000; now < end;) {
		alive(2, 10);
		if (last(1)->answered)
			continue;
		last(1)->answered = true;
		registrar_failed(r, 1, last(1)->id, REGISTRAR_PRESENT, now);
	}
	cr_assert_eq(granted_at[0], 1);
	dies();
	cr_assert_eq(granted_at[0], 2, "silence is another matter");
}

CLAIM(many_leases_move_in_slices)
{
	static struct waiter w[4500];
	uint64_t begin;

	for (size_t i = 0; i < 4500; i++)
		want(&w[i], i, AB, 2);
	for (tick(); !last(1)->answered;)
		answer(last(1), 0);
	for (uint64_t end = now + 1000; now < end;) {
		alive(1, 5);
		alive(2, 5);
	}
	for (size_t i = 0; i < 4500; i++)
		cr_assert_eq(registrar_standby(L(i)), 2);
	grants = 0;
	begin = now;
	while (!grants)
		alive(2, 1);
	cr_assert_leq(grants, 1024, "the loop is not held for all of them");
	cr_assert_leq(now - begin, 3000);
	alive(2, 20);
	cr_assert_eq(grants, 4500);
}

CLAIM(one_told_of_a_move_may_end_any_lease)
{
	static struct waiter w[3];

	for (size_t i = 0; i < 3; i++)
		stands_by(i);
	await(1);
	fails(last(1));
	for (size_t i = 0; i < 3; i++) {
		w[i].then = ends_its_lease;
		want(&w[i], i, AB, 2);
	}
	tick();
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(w[i].outcome, REGISTRAR_OK);
}

/* A network that answers, lies, fails, is silent and comes late, by chance. */
static struct waiter crowd[200];
static bool waiting[200];

static void tell(struct waiter *w)
{
	size_t i = (size_t)(w - crowd);

	cr_assert(waiting[i]);
	cr_assert_leq(now, w->wait.deadline + 50);
	waiting[i] = false;
	if (random() % 20 == 0)
		registrar_release(r, w->lease);
}

static void deliver(struct sent *s)
{
	int codes[REGISTRAR_MAX_BATCH];
	char epoch[2] = { (char)('a' + random() % 40 / 39), 0 };

	s->answered = true;
	for (size_t i = 0; i < s->n; i++)
		codes[i] = random() % 10 ? 0 : (int)(random() % 8);
	if (random() % 5 == 0)
		registrar_failed(r, s->connector, s->id, REGISTRAR_SILENT, now);
	else
		registrar_reply(r, s->connector, s->id, codes, s->n - (random() % 50 == 0 && s->n),
				epoch, now);
}

static void chance_step(void)
{
	size_t i = (size_t)random() % 200;
	uint32_t order[3] = { 1 + (uint32_t)random() % 4, 1 + (uint32_t)random() % 4,
			      1 + (uint32_t)random() % 4 };
	long roll = random() % 100;

	if (roll < 40 && !waiting[i]) {
		waiting[i] = true;
		crowd[i].then = tell;
		want(&crowd[i], (size_t)random() % 60, order, (size_t)random() % 4);
	} else if (roll < 45 && waiting[i]) {
		waiting[i] = false;
		registrar_forget(r, &crowd[i].wait);
	} else if (roll < 50) {
		registrar_release(r, L((size_t)random() % 60));
	} else if (roll < 55) {
		registrar_again(r, L((size_t)random() % 60), now);
	} else if (roll < 56) {
		registrar_drop_connector(r, order[0], now);
		dropped_at[order[0]] = now;
	} else if (roll < 58) {
		registrar_restore(r, L(i % 60), order[0]);
		registrar_restore_standby(r, L(i % 60), order[1]);
	} else if (roll < 59) {
		forwards[random() % 60] = (unsigned)random() % 3;
	} else if (roll < 60) {
		registrar_candidates(r, L((size_t)random() % 60), order, (size_t)random() % 4, now);
	} else if (roll < 85 && n_sent) {
		struct sent *s = sent[n_sent - 1 - (size_t)random() % (n_sent < 6 ? n_sent : 6)];

		if (!s->answered)
			deliver(s);
	} else {
		now += (uint64_t)random() % 40;
	}
}

static void chance(unsigned seed)
{
	srandom(seed);
	for (int step = 0; step < 8000; step++) {
		chance_step();
		tick();
		if (n_sent > REQUESTS - 100) {
			for (size_t i = 0; i < n_sent - 10; i++)
				free(sent[i]);
			memmove(sent, sent + n_sent - 10, 10 * sizeof(sent[0]));
			n_sent = 10;
		}
		for (size_t i = 0; i < 200; i++)
			cr_assert(!waiting[i] || crowd[i].wait.deadline > now,
				  "seed %u step %d: told too late", seed, step);
	}
	pass(TIMEOUT);
	for (size_t i = 0; i < 200; i++)
		cr_assert_not(waiting[i], "seed %u: never told", seed);
}

CLAIM(each_is_told_once_and_in_time_whatever_the_network_does_1)
{
	chance(1);
}

CLAIM(each_is_told_once_and_in_time_whatever_the_network_does_2)
{
	chance(2);
}

CLAIM(each_is_told_once_and_in_time_whatever_the_network_does_3)
{
	chance(3);
}
