/* SPDX-License-Identifier: BSD-3-Clause */
#include "registrar_int.h"

void waits_init(struct registrar_wait *head)
{
	head->prev = head->next = head;
}

bool waits_empty(const struct registrar_wait *head)
{
	return head->next == head;
}

void waits_add(struct registrar_wait *head, struct registrar_wait *w)
{
	w->prev = head->prev;
	w->next = head;
	head->prev->next = w;
	head->prev = w;
}

static void waits_del(struct registrar_wait *w)
{
	w->prev->next = w->next;
	w->next->prev = w->prev;
	w->prev = w->next = NULL;
}

void waits_move(struct registrar_wait *to, struct registrar_wait *from, uint64_t until)
{
	while (!waits_empty(from) && from->next->deadline <= until) {
		struct registrar_wait *w = from->next;

		waits_del(w);
		waits_add(to, w);
	}
}

void waits_tell(struct registrar_wait *head, struct lease *l, enum registrar_outcome outcome,
		int code)
{
	while (!waits_empty(head)) {
		struct registrar_wait *w = head->next;

		waits_del(w);
		w->settled(w, l, outcome, code);
	}
}

void batch_enter(struct registrar *r, struct batch *b, const struct registration *reg)
{
	b->reg = reg;
	b->outer = r->batches;
	waits_init(&b->waits);
	r->batches = b;
}

bool batch_leave(struct registrar *r, const struct batch *b)
{
	r->batches = b->outer;
	return b->reg != NULL;
}

/* registrar_release() empties the batch when a callback ends the lease meanwhile. */
bool registration_settle(struct registrar *r, struct registration *reg,
			 enum registrar_outcome outcome, int code, uint64_t until)
{
	struct batch batch;

	batch_enter(r, &batch, reg);
	waits_move(&batch.waits, &reg->waits, until);
	if (waits_empty(&reg->waits))
		link_del(&reg->waiting);
	waits_tell(&batch.waits, reg->lease, outcome, code);
	return batch_leave(r, &batch);
}

/* Into its place among those who wait; nearly always the last one. */
void registration_watch(struct registrar *r, struct registration *reg)
{
	struct link *at = &r->waiting;

	reg->due = reg->waits.next->deadline;
	link_del(&reg->waiting);
	while (at->prev != &r->waiting &&
	       LINK_OF(at->prev, struct registration, waiting)->due > reg->due)
		at = at->prev;
	link_add(at, &reg->waiting);
	if (r->due > reg->due)
		r->due = reg->due;
}

void waits_expire(struct registrar *r)
{
	while (!link_empty(&r->waiting)) {
		struct registration *reg = LINK_OF(r->waiting.next, struct registration, waiting);

		if (reg->due > r->now)
			return;
		link_del(&reg->waiting);
		if (!registration_settle(r, reg, REGISTRAR_TIMED_OUT, 0, r->now))
			continue;
		if (!waits_empty(&reg->waits))
			registration_watch(r, reg);
		else
			quest_unwatched(reg);
	}
}

void waits_forget(struct registrar_wait *w)
{
	if (w->prev)
		waits_del(w);
}
