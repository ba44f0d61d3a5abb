/* SPDX-License-Identifier: BSD-3-Clause */
#include "peerapi_msg.h"
#include "registrar_int.h"

/*
 * What a connector's code says of the others. No such family and families that differ are alike
 * everywhere. The rest may be one connector's own state: a route it lacks, a quota, a table full
 * (1), a netmap not read yet (5, 6), or codes of a later version: the next one is asked.
 */
static bool code_is_final(int code)
{
	return code == PEERAPI_NO_FAMILY || code == PEERAPI_MISMATCH;
}

uint32_t quest_bit(const struct registration *reg, const struct conn *c)
{
	for (size_t i = 0; i < reg->n_candidates; i++)
		if (reg->candidates[i] == c)
			return UINT32_C(1) << i;
	return 0;
}

bool quest_is_candidate(const struct registration *reg, const struct conn *c)
{
	return quest_bit(reg, c) != 0;
}

bool quest_may_use(const struct registration *reg, const struct conn *c)
{
	return reg->home == c || quest_bit(reg, c);
}

static struct conn *untried(const struct registration *reg, bool healthy)
{
	for (size_t i = 0; i < reg->n_candidates; i++) {
		struct conn *c = reg->candidates[i];

		if (!(reg->tried & UINT32_C(1) << i) && !c->dropped && c->healthy == healthy)
			return c;
	}
	return NULL;
}

bool quest_has_alternative(const struct registration *reg)
{
	return untried(reg, true) != NULL;
}

void quest_target(struct registrar *r, struct registration *reg, struct conn *c)
{
	uint64_t left = r->answer_timeout;
	bool waited = !waits_empty(&reg->waits);

	if (waited)
		left = r->now < reg->due ? reg->due - r->now : 0;
	reg->target = c;
	reg->current = NULL;
	reg->tried |= quest_bit(reg, c);
	reg->share_end = r->now + (left > 1 ? left / 2 : 1);
	if (c->share_due > reg->share_end)
		c->share_due = reg->share_end;
	link_del(&reg->at);
	link_add(waited ? &c->urgent : &c->quiet, &reg->at);
	r->due = r->now;
}

static void quest_end(struct registration *reg)
{
	reg->quest = false;
	reg->target = NULL;
	reg->current = NULL;
	link_del(&reg->at);
}

void quest_unwatched(struct registration *reg)
{
	if (reg->quest && !reg->target && !reg->granted)
		quest_end(reg);
}

static void park(struct registrar *r, struct registration *reg)
{
	reg->target = NULL;
	reg->current = NULL;
	link_del(&reg->at);
	link_add(&r->parked, &reg->at);
}

void quest_lose_home(struct registration *reg)
{
	link_del(&reg->held);
	reg->home = NULL;
	reg->confirmed = false;
}

static void tell_revoked(struct registrar *r, struct registration *reg, int code)
{
	reg->revoked = true;
	r->ops->revoked(r->ctx, reg->lease, code);
}

/* Every candidate was asked. What is still held by its home stays there. */
static void exhausted(struct registrar *r, struct registration *reg)
{
	int code = reg->refused;
	bool waited = !waits_empty(&reg->waits);

	if (reg->home && reg->confirmed) {
		quest_end(reg);
		registration_settle(r, reg, REGISTRAR_OK, 0, NEVER);
		return;
	}
	if (reg->granted || (!code && waited))
		park(r, reg);
	else
		quest_end(reg);
	if (code && !registration_settle(r, reg, REGISTRAR_REFUSED, code, NEVER))
		return;
	if (!reg->home && reg->granted && !reg->revoked)
		tell_revoked(r, reg, code);
}

void quest_advance(struct registrar *r, struct registration *reg)
{
	struct conn *c = untried(reg, true);

	/* A refusal may be true of the standby as well, which agreed some time ago: it is asked. */
	if (!reg->refused && standby_usable(reg) && !(reg->tried & quest_bit(reg, reg->standby))) {
		standby_ready(r, reg);
		return;
	}
	if (!c && !waits_empty(&reg->waits))
		c = untried(reg, false);
	if (c)
		quest_target(r, reg, c);
	else
		exhausted(r, reg);
}

void quest_begin(struct registrar *r, struct registration *reg, struct conn *first)
{
	reg->quest = true;
	reg->tried = 0;
	reg->refused = 0;
	if (first)
		quest_target(r, reg, first);
	else
		quest_advance(r, reg);
}

void quest_unanswered(struct registrar *r, struct registration *reg)
{
	/* Told again once its home is back, unless it moves on before. */
	if (reg->target == reg->home && waits_empty(&reg->waits))
		quest_target(r, reg, reg->home);
	else
		quest_advance(r, reg);
}

bool quest_grant(struct registrar *r, struct registration *reg, struct conn *c)
{
	struct batch guard;
	struct conn *old;
	int err;

	batch_enter(r, &guard, reg);
	err = r->ops->granted(r->ctx, reg->lease, c->index);
	if (!batch_leave(r, &guard))
		return false;
	old = reg->home;
	quest_end(reg);
	if (err) {
		if (old != c && reg->standby != c)
			conn_release(c, &reg->lease->transit);
		return registration_settle(r, reg, REGISTRAR_TIMED_OUT, 0, NEVER);
	}
	reg->home = c;
	reg->granted = true;
	reg->revoked = false;
	reg->agreed = r->now;
	link_del(&reg->held);
	link_add(&c->held, &reg->held);
	if (old != c)
		standby_home_moved(r, reg, c, old);
	reg->confirmed = true;
	if (c->failing)
		desert_again(r, c);
	return registration_settle(r, reg, REGISTRAR_OK, 0, NEVER);
}

void quest_answered(struct registrar *r, struct registration *reg, struct conn *c, int code,
		    bool current)
{
	if (!code) {
		if (reg->quest || !reg->home)
			quest_grant(r, reg, c);
		else if (reg->home != c && reg->standby != c)
			conn_release(c, &reg->lease->transit);
		return;
	}
	if (!current)
		return;
	if (reg->home == c)
		quest_lose_home(reg);
	standby_refused(r, reg, c);
	if (!reg->refused)
		reg->refused = code;
	if (code_is_final(code)) {
		reg->refused = code;
		reg->tried = UINT32_MAX;
	}
	quest_advance(r, reg);
}
