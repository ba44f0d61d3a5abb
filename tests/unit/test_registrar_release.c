/* SPDX-License-Identifier: BSD-3-Clause */
#include "registrar_world.h"

SUITE(registrar);

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
