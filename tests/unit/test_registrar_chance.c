/* SPDX-License-Identifier: BSD-3-Clause */
#include "registrar_world.h"

SUITE(registrar);

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
