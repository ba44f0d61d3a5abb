/* SPDX-License-Identifier: BSD-3-Clause */
#define HASH_NONFATAL_OOM 1
#include "registrar_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	link_init(&r->ready);
	link_init(&r->soon);
	link_init(&r->later);
	link_init(&r->bare);
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
	link_init(&reg->standing);
	link_init(&reg->seeking);
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
	uint32_t tried = reg->tried, refusers = reg->refusers;

	memcpy(old, reg->candidates, sizeof(old));
	reg->n_candidates = 0;
	reg->tried = reg->refusers = 0;
	for (size_t i = 0; i < n && reg->n_candidates < REGISTRAR_MAX_CONNECTORS; i++) {
		struct conn *c = conn_get(r, connectors[i]);

		if (c && !quest_is_candidate(reg, c))
			reg->candidates[reg->n_candidates++] = c;
	}
	for (size_t i = 0; i < reg->n_candidates; i++) {
		for (size_t j = 0; j < n_old; j++) {
			if (reg->candidates[i] != old[j])
				continue;
			reg->tried |= (tried >> j & 1) << i;
			reg->refusers |= (refusers >> j & 1) << i;
		}
	}
	standby_check(r, reg);
}

/* Its connector does not answer, but replies to its packets come: as good as a live one. */
static bool still_forwards(struct registrar *r, const struct registration *reg)
{
	return reg->home && !reg->home->healthy &&
	       r->ops->forwards(r->ctx, reg->lease, REGISTRAR_SILENT);
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

	registrar_enter(r, now);
	w->prev = w->next = NULL;
	w->deadline = r->now + r->answer_timeout;
	reg = registration_make(r, l);
	if (!reg || reg->ended)
		goto no_connector;
	set_candidates(r, reg, connectors, n);
	held = registrar_holds(l) || still_forwards(r, reg);
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
		registration_watch(r, reg);
	join(r, reg, first);
	r->due = r->now;
	goto done;

no_connector:
	w->settled(w, l, REGISTRAR_TIMED_OUT, 0);
done:
	registrar_leave(r);
}

void registrar_forget(struct registrar *r, struct registrar_wait *w)
{
	waits_forget(w);
}

void registrar_candidates(struct registrar *r, struct lease *l, const uint32_t *connectors,
			  size_t n, uint64_t now)
{
	struct registration *reg = l->registration;

	if (!reg || reg->ended)
		return;
	registrar_enter(r, now);
	reg->refusers = 0;
	set_candidates(r, reg, connectors, n);
	/* Who was asked in vain may not be all. */
	if (!reg->target && (reg->quest || (reg->home && !quest_is_candidate(reg, reg->home))))
		quest_begin(r, reg, NULL);
	registrar_leave(r);
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
	reg->granted = true;
	link_add(&c->held, &reg->held);
	quest_begin(r, reg, c);
	return 0;
}

void registrar_restore_down(struct registrar *r, uint32_t connector)
{
	struct conn *c = conn_get(r, connector);

	if (!c)
		return;
	c->healthy = false;
	c->missed = c->probe_at = r->now;
	r->due = r->now;
}

void registrar_restore_standby(struct registrar *r, struct lease *l, uint32_t connector)
{
	struct registration *reg = l->registration;
	struct conn *c;

	if (!reg || !reg->home || reg->home->index == connector || reg->standby || reg->told)
		return;
	c = conn_get(r, connector);
	if (c)
		standby_restore(r, reg, c);
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
	if (reg->standby)
		conn_release(reg->standby, &l->transit);
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
	link_del(&reg->standing);
	link_del(&reg->seeking);
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

void registrar_reply(struct registrar *r, uint32_t connector, uint64_t request, const int *codes,
		     size_t n, const char *epoch, uint64_t now)
{
	struct conn *c = conn_find(r, connector);
	struct request *req;
	bool late = false;

	registrar_enter(r, now);
	req = c ? conn_take(c, request, &late) : NULL;
	if (req && req->n == n)
		conn_answered(r, c, req, late, codes, epoch);
	else if (req)
		conn_failed(r, c, req, late, REGISTRAR_PRESENT);
	registrar_leave(r);
}

void registrar_failed(struct registrar *r, uint32_t connector, uint64_t request,
		      enum registrar_failure how, uint64_t now)
{
	struct conn *c = conn_find(r, connector);
	struct request *req;
	bool late = false;

	registrar_enter(r, now);
	req = c ? conn_take(c, request, &late) : NULL;
	if (req)
		conn_failed(r, c, req, late, how);
	registrar_leave(r);
}

void registrar_drop_connector(struct registrar *r, uint32_t connector, uint64_t now)
{
	struct conn *c = conn_find(r, connector);

	registrar_enter(r, now);
	if (c)
		conn_drop(r, c);
	registrar_leave(r);
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
		if (c->desert_at != NEVER)
			c->desert_at += late;
	}
}

uint64_t registrar_tick(struct registrar *r, uint64_t now)
{
	struct conn *c, *tmp;

	if (r->busy)
		return r->now;
	forgive_stall(r, now);
	registrar_enter(r, now);
	r->retry_at = NEVER;
	waits_expire(r);
	again_tick(r);
	standby_tick(r);
	standby_promote(r);
	HASH_ITER (hh, r->connectors, c, tmp)
		conn_tick(r, c);
	standby_promote(r);
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
	if (standby_due(r) < r->due)
		r->due = standby_due(r);
	registrar_leave(r);
	return r->due;
}

bool registrar_healthy(const struct registrar *r, uint32_t connector)
{
	const struct conn *c = conn_find(r, connector);

	return !c || c->healthy;
}

enum registrar_failure registrar_failure(const struct registrar *r, uint32_t connector)
{
	const struct conn *c = conn_find(r, connector);

	return c ? c->how : REGISTRAR_SILENT;
}

bool registrar_holds(const struct lease *l)
{
	const struct registration *reg = l->registration;

	return reg && !reg->ended && !reg->quest && reg->home &&
	       (reg->home->healthy || reg->agreed >= reg->home->missed);
}

uint32_t registrar_standby(const struct lease *l)
{
	const struct registration *reg = l->registration;

	return reg && !reg->ended && reg->standby && !reg->unsure ? reg->standby->index :
								    REGISTRAR_NONE;
}
