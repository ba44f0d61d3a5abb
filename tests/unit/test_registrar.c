/* SPDX-License-Identifier: BSD-3-Clause */
#include "registrar_world.h"

SUITE(registrar);

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

CLAIM(a_revoked_lease_is_told_to_the_first_that_answers_again_also_after_it_was_wanted_in_vain)
{
	static struct waiter w = { 0 };

	live_at(0, AB, 2);
	await(2);
	fails(last(2));
	registrar_again(r, L(0), now);
	tick();
	answer(last(1), 1);
	cr_assert_eq(revocations, 1);
	want(&w, 0, AB, 2);
	tick();
	answer(last(1), 1);
	pass(2 * TIMEOUT);
	cr_assert_eq(w.settled, 1);
	answer(last(2), 0);
	cr_assert_eq(revocations, 1);
	cr_assert_eq(last(2)->n, 1);
	answer(last(2), 0);
	cr_assert_eq(granted_at[0], 2);
	cr_assert(registrar_holds(L(0)));
	now += TIMEOUT;
	registrar_again(r, L(0), now);
	tick();
	answer(last(2), 1);
	answer(last(1), 1);
	cr_assert_eq(revocations, 2);
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
