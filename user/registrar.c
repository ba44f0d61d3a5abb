/* SPDX-License-Identifier: BSD-3-Clause */
#define HASH_NONFATAL_OOM 1
#include "registrar_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void waits_init(struct registrar_wait *head)
{
	head->prev = head->next = head;
}

bool waits_empty(const struct registrar_wait *head)
{
	return head->next == head;
}

static void waits_add(struct registrar_wait *head, struct registrar_wait *w)
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

static void waits_move(struct registrar_wait *to, struct registrar_wait *from, uint64_t until)
{
	while (!waits_empty(from) && from->next->deadline <= until) {
		struct registrar_wait *w = from->next;

		waits_del(w);
		waits_add(to, w);
	}
}

static void waits_tell(struct registrar_wait *head, struct lease *l, enum registrar_outcome outcome,
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
static void watch(struct registrar *r, struct registration *reg)
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

static void expire(struct registrar *r)
{
	while (!link_empty(&r->waiting)) {
		struct registration *reg = LINK_OF(r->waiting.next, struct registration, waiting);

		if (reg->due > r->now)
			return;
		link_del(&reg->waiting);
		if (!registration_settle(r, reg, REGISTRAR_TIMED_OUT, 0, r->now))
			continue;
		if (!waits_empty(&reg->waits))
			watch(r, reg);
		else
			quest_unwatched(reg);
	}
}

static void enter(struct registrar *r, uint64_t now)
{
	r->busy++;
	if (r->now < now)
		r->now = now;
}

static void leave(struct registrar *r)
{
	r->busy--;
}

int registrar_new(struct registrar **out, const struct registrar_ops *ops, void *ctx,
		  uint64_t answer_timeout)
{
	struct registrar *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->ops = ops;
	r->ctx = ctx;
	r->answer_timeout = answer_timeout ? answer_timeout : 1;
	r->due = r->retry_at = NEVER;
	link_init(&r->waiting);
	link_init(&r->again);
	link_init(&r->parked);
	*out = r;
	return 0;
}

void registrar_free(struct registrar *r)
{
	struct conn *c, *c_tmp;

	if (!r)
		return;
	r->closing = true;
	r->busy++;
	/* A callback may free others, so none but the first is known to be there. */
	while (r->registrations)
		registrar_release(r, r->registrations->lease);
	HASH_ITER (hh, r->connectors, c, c_tmp)
		conn_free(r, c);
	free(r);
}

static struct registration *registration_make(struct registrar *r, struct lease *l)
{
	struct registration *reg = l->registration;

	if (reg || r->closing)
		return reg;
	reg = calloc(1, sizeof(*reg));
	if (!reg)
		return NULL;
	reg->lease = l;
	link_init(&reg->at);
	link_init(&reg->held);
	link_init(&reg->waiting);
	link_init(&reg->again);
	link_init(&reg->tickets);
	waits_init(&reg->waits);
	HASH_ADD_KEYPTR(hh, r->registrations, &l->transit, sizeof(l->transit), reg);
	if (!reg->hh.tbl) {
		free(reg);
		return NULL;
	}
	l->registration = reg;
	return reg;
}

static void set_candidates(struct registrar *r, struct registration *reg,
			   const uint32_t *connectors, size_t n)
{
	struct conn *old[REGISTRAR_MAX_CONNECTORS];
	size_t n_old = reg->n_candidates;
	uint32_t tried = reg->tried;

	memcpy(old, reg->candidates, sizeof(old));
	reg->n_candidates = 0;
	reg->tried = 0;
	for (size_t i = 0; i < n && reg->n_candidates < REGISTRAR_MAX_CONNECTORS; i++) {
		struct conn *c = conn_get(r, connectors[i]);

		if (c && !quest_is_candidate(reg, c))
			reg->candidates[reg->n_candidates++] = c;
	}
	for (size_t i = 0; i < reg->n_candidates; i++)
		for (size_t j = 0; j < n_old; j++)
			if (reg->candidates[i] == old[j] && (tried & UINT32_C(1) << j))
				reg->tried |= UINT32_C(1) << i;
}

/* One more waits: a quest that nobody waited for becomes urgent. */
static void join(struct registrar *r, struct registration *reg, bool first)
{
	struct conn *c = reg->target;

	if (!reg->quest || !c) {
		quest_begin(r, reg, NULL);
	} else if (first && reg->current) {
		reg->share_end = r->now + r->answer_timeout / 2;
		if (c->share_due > reg->share_end)
			c->share_due = reg->share_end;
	} else if (first && c->healthy) {
		quest_target(r, reg, c);
	} else if (first) {
		quest_begin(r, reg, NULL);
	}
}

void registrar_want(struct registrar *r, struct lease *l, const uint32_t *connectors, size_t n,
		    struct registrar_wait *w, uint64_t now)
{
	struct registration *reg;
	bool first, held;

	enter(r, now);
	w->prev = w->next = NULL;
	w->deadline = r->now + r->answer_timeout;
	reg = registration_make(r, l);
	if (!reg || reg->ended)
		goto no_connector;
	set_candidates(r, reg, connectors, n);
	held = registrar_holds(l);
	if (held && (!n || quest_is_candidate(reg, reg->home))) {
		w->settled(w, l, REGISTRAR_OK, 0);
		goto done;
	}
	if (!held && !reg->quest)
		reg->confirmed = false;
	if (!reg->n_candidates)
		goto no_connector;
	first = waits_empty(&reg->waits);
	waits_add(&reg->waits, w);
	if (first)
		watch(r, reg);
	join(r, reg, first);
	r->due = r->now;
	goto done;

no_connector:
	w->settled(w, l, REGISTRAR_TIMED_OUT, 0);
done:
	leave(r);
}

void registrar_forget(struct registrar *r, struct registrar_wait *w)
{
	if (w->prev)
		waits_del(w);
}

void registrar_candidates(struct registrar *r, struct lease *l, const uint32_t *connectors,
			  size_t n, uint64_t now)
{
	struct registration *reg = l->registration;

	if (!reg || reg->ended)
		return;
	enter(r, now);
	set_candidates(r, reg, connectors, n);
	if (!reg->quest && reg->home && !quest_is_candidate(reg, reg->home))
		quest_begin(r, reg, NULL);
	leave(r);
}

int registrar_restore(struct registrar *r, struct lease *l, uint32_t connector)
{
	struct conn *c;
	struct registration *reg;

	if (l->registration)
		return -EEXIST;
	c = conn_get(r, connector);
	reg = registration_make(r, l);
	if (!c || !reg) {
		if (reg)
			registrar_release(r, l);
		return -ENOMEM;
	}
	reg->candidates[reg->n_candidates++] = c;
	reg->home = c;
	reg->live = true;
	link_add(&c->held, &reg->held);
	quest_begin(r, reg, c);
	return 0;
}

void registrar_release(struct registrar *r, struct lease *l)
{
	struct registration *reg = l->registration;
	struct registrar_wait waits;

	if (!reg || reg->ended)
		return;
	r->busy++;
	reg->ended = true;
	waits_init(&waits);
	for (struct batch *b = r->batches; b; b = b->outer) {
		if (b->reg != reg)
			continue;
		b->reg = NULL;
		waits_move(&waits, &b->waits, NEVER);
	}
	waits_move(&waits, &reg->waits, NEVER);
	if (reg->home)
		conn_release(reg->home, &l->transit);
	while (!link_empty(&reg->tickets)) {
		struct ticket *t = LINK_OF(reg->tickets.next, struct ticket, of_reg);

		if (t->request->connector != reg->home)
			conn_release(t->request->connector, &l->transit);
		t->reg = NULL;
		link_del(&t->of_reg);
	}
	link_del(&reg->at);
	link_del(&reg->held);
	link_del(&reg->waiting);
	link_del(&reg->again);
	HASH_DELETE(hh, r->registrations, reg);
	waits_tell(&waits, l, REGISTRAR_TIMED_OUT, 0);
	l->registration = NULL;
	free(reg);
	r->due = r->now;
	r->busy--;
}

void registrar_release_at(struct registrar *r, uint32_t connector, const struct c25_addr *transit)
{
	struct conn *c = conn_get(r, connector);

	if (c)
		conn_release(c, transit);
	r->due = r->now;
}

static void tell_again(struct registrar *r, struct registration *reg)
{
	reg->confirmed = false;
	quest_begin(r, reg, reg->home);
	link_del(&reg->at);
	link_add(&reg->home->urgent, &reg->at);
}

void registrar_changed(struct registrar *r, struct lease *l, uint64_t now)
{
	struct registration *reg = l->registration;

	enter(r, now);
	if (reg && !reg->ended && reg->home && !reg->quest)
		tell_again(r, reg);
	leave(r);
}

/* Told again a moment ago: once more when its time has come. */
static void again_later(struct registrar *r, struct registration *reg)
{
	struct link *at = &r->again;

	reg->again_asked = r->now;
	if (!link_empty(&reg->again))
		return;
	while (at->prev != &r->again &&
	       LINK_OF(at->prev, struct registration, again)->again_at > reg->again_at)
		at = at->prev;
	link_add(at, &reg->again);
	if (r->due > reg->again_at)
		r->due = reg->again_at;
}

void registrar_again(struct registrar *r, struct lease *l, uint64_t now)
{
	struct registration *reg = l->registration;

	enter(r, now);
	if (reg && !reg->ended && reg->home && !reg->quest) {
		if (r->now >= reg->again_at) {
			link_del(&reg->again);
			reg->again_at = r->now + AGAIN_MS;
			tell_again(r, reg);
		} else {
			again_later(r, reg);
		}
	}
	leave(r);
}

/* Unless its home has agreed to it since. */
static void again_tick(struct registrar *r)
{
	while (!link_empty(&r->again)) {
		struct registration *reg = LINK_OF(r->again.next, struct registration, again);

		if (reg->again_at > r->now)
			return;
		link_del(&reg->again);
		if (!reg->home || reg->quest || reg->agreed > reg->again_asked)
			continue;
		reg->again_at = r->now + AGAIN_MS;
		tell_again(r, reg);
	}
}

void registrar_reply(struct registrar *r, uint32_t connector, uint64_t request, const int *codes,
		     size_t n, const char *epoch, uint64_t now)
{
	struct conn *c = conn_find(r, connector);
	struct request *req;
	bool late = false;

	enter(r, now);
	req = c ? conn_take(c, request, &late) : NULL;
	if (req && req->n == n)
		conn_answered(r, c, req, late, codes, epoch);
	else if (req)
		conn_failed(r, c, req, late);
	leave(r);
}

void registrar_failed(struct registrar *r, uint32_t connector, uint64_t request, uint64_t now)
{
	struct conn *c = conn_find(r, connector);
	struct request *req;
	bool late = false;

	enter(r, now);
	req = c ? conn_take(c, request, &late) : NULL;
	if (req)
		conn_failed(r, c, req, late);
	leave(r);
}

void registrar_drop_connector(struct registrar *r, uint32_t connector, uint64_t now)
{
	struct conn *c = conn_find(r, connector);

	enter(r, now);
	if (c)
		conn_drop(r, c);
	leave(r);
}

/* Nothing was read meanwhile, so that silence is not the connectors'. */
static void forgive_stall(struct registrar *r, uint64_t now)
{
	struct conn *c, *tmp;
	uint64_t late;

	if (r->due == NEVER || now <= r->due || now - r->due < STALL_MS)
		return;
	late = now - r->now;
	HASH_ITER (hh, r->connectors, c, tmp) {
		if (c->request)
			c->request->sent += late;
		c->failing_since += late;
	}
}

uint64_t registrar_tick(struct registrar *r, uint64_t now)
{
	struct conn *c, *tmp;

	if (r->busy)
		return r->now;
	forgive_stall(r, now);
	enter(r, now);
	r->retry_at = NEVER;
	expire(r);
	again_tick(r);
	HASH_ITER (hh, r->connectors, c, tmp)
		conn_tick(r, c);
	r->due = r->retry_at;
	if (r->due == NEVER) {
		HASH_ITER (hh, r->connectors, c, tmp) {
			uint64_t due = conn_due(r, c);

			if (due < r->due)
				r->due = due;
		}
	}
	if (!link_empty(&r->waiting)) {
		const struct registration *reg =
			LINK_OF(r->waiting.next, struct registration, waiting);

		if (reg->due < r->due)
			r->due = reg->due;
	}
	if (!link_empty(&r->again)) {
		const struct registration *reg = LINK_OF(r->again.next, struct registration, again);

		if (reg->again_at < r->due)
			r->due = reg->again_at;
	}
	leave(r);
	return r->due;
}

bool registrar_healthy(const struct registrar *r, uint32_t connector)
{
	const struct conn *c = conn_find(r, connector);

	return !c || c->healthy;
}

bool registrar_holds(const struct lease *l)
{
	const struct registration *reg = l->registration;

	return reg && !reg->ended && !reg->quest && reg->home &&
	       (reg->home->healthy || reg->agreed >= reg->home->missed);
}
