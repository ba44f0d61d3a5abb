/* SPDX-License-Identifier: BSD-3-Clause */
#include "registrar_world.h"

SUITE(registrar);

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

CLAIM(a_restored_standby_that_took_over_and_refuses_leaves_the_lease_to_the_first_to_answer_again)
{
	restored_and_failing(AB, 2);
	while (granted_at[0] != 2)
		pass(1);
	answer(last(2), 0);
	answer(last(2), 1);
	cr_assert_eq(revocations, 1);
	if (last(1)->answered)
		await(1);
	answer(last(1), 0);
	cr_assert_eq(last(1)->n, 1, "though nobody wants it");
	answer(last(1), 0);
	cr_assert_eq(granted_at[0], 1);
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
