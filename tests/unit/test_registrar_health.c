/* SPDX-License-Identifier: BSD-3-Clause */
#include "registrar_world.h"

SUITE(registrar);

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

CLAIM(who_did_not_answer_before_a_restart_and_does_not_now_is_told_of_once)
{
	registrar_restore_down(r, 1);
	tick();
	cr_assert_eq(health_changes, 0);
	fails(last(1));
	cr_assert_eq(health_changes, 1);
	await(1);
	fails(last(1));
	cr_assert_eq(health_changes, 1);
	await(1);
	answer(last(1), 0);
	cr_assert_eq(health_changes, 2);
	cr_assert(registrar_healthy(r, 1));
	live_at(0, AB, 1);
	await(1);
	fails(last(1));
	cr_assert_eq(health_changes, 3);
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
