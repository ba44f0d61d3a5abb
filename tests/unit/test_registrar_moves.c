/* SPDX-License-Identifier: BSD-3-Clause */
#include "registrar_world.h"

SUITE(registrar);

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

CLAIM(a_dropped_connectors_mapping_that_was_wanted_in_vain_is_told_to_the_first_that_answers_again)
{
	static struct waiter w = { 0 };

	live_at(0, AB, 2);
	await(2);
	fails(last(2));
	registrar_drop_connector(r, 1, now);
	cr_assert_eq(revocations, 1);
	want(&w, 0, AB + 1, 1);
	tick();
	fails(last(2));
	pass(TIMEOUT);
	cr_assert_eq(w.outcome, REGISTRAR_TIMED_OUT);
	if (last(2)->answered)
		await(2);
	answer(last(2), 0);
	cr_assert_eq(last(2)->n, 1);
	answer(last(2), 0);
	cr_assert_eq(granted_at[0], 2);
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
