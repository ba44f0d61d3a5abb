/* SPDX-License-Identifier: BSD-3-Clause */
#include "registrar_world.h"

SUITE(registrar);

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
