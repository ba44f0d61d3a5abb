/* SPDX-License-Identifier: BSD-3-Clause */
#include "registrar_int.h"

static bool answers(const struct registration *reg)
{
	return reg->standby && reg->standby->healthy && quest_is_candidate(reg, reg->standby);
}

static bool home_is_silent(const struct registration *reg)
{
	return reg->home && reg->home->failing && reg->home->how == REGISTRAR_SILENT;
}

/* Packets are lost at a home that is silent: should the standby not hold it any more, no more are
 * lost there, and it is told next. But an answer waits until it has agreed. */
bool standby_usable(const struct registration *reg)
{
	bool may = reg->presumed && home_is_silent(reg) && waits_empty(&reg->waits);

	return answers(reg) && (!reg->unsure || may);
}

static void unlink_standby(struct registration *reg)
{
	link_del(&reg->standing);
	reg->standby = NULL;
	reg->unsure = reg->presumed = false;
}

static void link_standby(struct registration *reg, struct conn *c)
{
	reg->standby = c;
	link_add(&c->standing, &reg->standing);
}

/* Nobody is being told any more. */
static void stop_telling(struct registration *reg)
{
	reg->told = NULL;
	reg->told_ticket = NULL;
	link_del(&reg->seeking);
}

/* It may have heard of it: then it is to give it back. One that held it before goes on doing so. */
static void stop_telling_and_release(struct registration *reg)
{
	if (reg->told_ticket && reg->told != reg->standby)
		conn_release(reg->told, &reg->lease->transit);
	stop_telling(reg);
}

/* The one that may have forgotten it; else in the order of preference, as a quest would find it. */
static struct conn *choose(const struct registration *reg)
{
	struct conn *s = reg->standby;

	if (s && reg->unsure && s->healthy && !s->dropped && quest_is_candidate(reg, s))
		return s;
	for (size_t i = 0; i < reg->n_candidates; i++) {
		struct conn *c = reg->candidates[i];

		if (c != reg->home && c != reg->standby && c->healthy && !c->dropped &&
		    !(reg->refusers & UINT32_C(1) << i))
			return c;
	}
	return NULL;
}

void standby_tell(struct registrar *r, struct registration *reg, struct conn *c)
{
	link_del(&reg->seeking);
	reg->told = c;
	reg->told_ticket = NULL;
	if (link_empty(&c->standbys))
		c->standbys_at = r->now + STANDBY_MS;
	link_add(&c->standbys, &reg->seeking);
	if (r->due > c->standbys_at)
		r->due = c->standbys_at;
}

static void seek_at(struct registrar *r, struct registration *reg, struct link *list, uint64_t at)
{
	link_del(&reg->seeking);
	reg->seek_at = at;
	link_add(list, &reg->seeking);
	if (r->due > at)
		r->due = at;
}

void standby_seek_soon(struct registrar *r, struct registration *reg)
{
	if (!reg->told)
		seek_at(r, reg, &r->soon, r->now + STANDBY_SOON_MS);
}

void standby_seek(struct registrar *r, struct registration *reg)
{
	struct conn *c;

	if (reg->told || !reg->home || (answers(reg) && !reg->unsure))
		return;
	c = choose(reg);
	if (c != reg->standby && reg->standby && r->ops->keeps(r->ctx, reg->lease)) {
		standby_seek_soon(r, reg);
	} else if (c) {
		standby_tell(r, reg, c);
	} else if (reg->refusers) {
		seek_at(r, reg, &r->later, r->now + STANDBY_LATER_MS);
	} else {
		link_del(&reg->seeking);
		link_add(&r->bare, &reg->seeking);
	}
}

void standby_check(struct registrar *r, struct registration *reg)
{
	if (reg->standby && !quest_is_candidate(reg, reg->standby)) {
		conn_release(reg->standby, &reg->lease->transit);
		unlink_standby(reg);
		r->ops->standby(r->ctx, reg->lease, REGISTRAR_NONE);
	}
	if (reg->told && !quest_is_candidate(reg, reg->told))
		stop_telling_and_release(reg);
	standby_seek(r, reg);
}

/* The one before still has it: it is as good a standby as any once it answers again. */
void standby_home_moved(struct registrar *r, struct registration *reg, struct conn *c,
			struct conn *old)
{
	if (reg->told == c)
		stop_telling(reg);
	if (reg->standby == c)
		unlink_standby(reg);
	if (old && reg->standby && quest_is_candidate(reg, old) &&
	    r->ops->keeps(r->ctx, reg->lease)) {
		conn_release(reg->standby, &reg->lease->transit);
		unlink_standby(reg);
	}
	if (old && !reg->standby && quest_is_candidate(reg, old)) {
		link_standby(reg, old);
		reg->unsure = !reg->confirmed;
	} else if (old) {
		conn_release(old, &reg->lease->transit);
	}
	if (reg->standby && reg->standby != old)
		r->ops->standby(r->ctx, reg->lease, reg->standby->index);
	if (old)
		standby_seek_soon(r, reg);
	else
		standby_seek(r, reg);
}

void standby_refused(struct registrar *r, struct registration *reg, struct conn *c)
{
	reg->refusers |= quest_bit(reg, c);
	if (reg->standby != c)
		return;
	unlink_standby(reg);
	r->ops->standby(r->ctx, reg->lease, REGISTRAR_NONE);
}

void standby_answered(struct registrar *r, struct registration *reg, struct conn *c, int code,
		      bool current)
{
	if (current)
		stop_telling(reg);
	if (!code && current && reg->home && reg->home != c) {
		if (reg->standby && reg->standby != c)
			conn_release(reg->standby, &reg->lease->transit);
		unlink_standby(reg);
		link_standby(reg, c);
		r->ops->standby(r->ctx, reg->lease, c->index);
	} else if (!code && reg->home != c && reg->standby != c) {
		conn_release(c, &reg->lease->transit);
	} else if (code && current) {
		standby_refused(r, reg, c);
		standby_seek(r, reg);
	}
}

void standby_unanswered(struct registrar *r, struct registration *reg)
{
	stop_telling_and_release(reg);
	standby_seek(r, reg);
}

void standby_epoch(struct registrar *r, struct conn *c)
{
	for (struct link *l = c->standing.next; l != &c->standing; l = l->next) {
		struct registration *reg = LINK_OF(l, struct registration, standing);

		reg->unsure = true;
		reg->presumed = false;
		if (!reg->told)
			standby_tell(r, reg, c);
	}
}

void standby_restore(struct registrar *r, struct registration *reg, struct conn *c)
{
	link_standby(reg, c);
	reg->unsure = reg->presumed = true;
	standby_tell(r, reg, c);
}

void standby_drop(struct registrar *r, struct conn *c)
{
	while (!link_empty(&c->standing)) {
		struct registration *reg = LINK_OF(c->standing.next, struct registration, standing);

		unlink_standby(reg);
		r->ops->standby(r->ctx, reg->lease, REGISTRAR_NONE);
		standby_seek(r, reg);
	}
	standby_failing(r, c);
}

void standby_failing(struct registrar *r, struct conn *c)
{
	struct link *l;

	while (!link_empty(&c->standbys)) {
		struct registration *reg = LINK_OF(c->standbys.next, struct registration, seeking);

		stop_telling(reg);
		standby_seek(r, reg);
	}
	for (l = c->standing.next; l != &c->standing; l = l->next)
		standby_seek(r, LINK_OF(l, struct registration, standing));
}

void standby_healthy(struct registrar *r, struct conn *c)
{
	struct link bare, *l;

	for (l = c->standing.next; l != &c->standing; l = l->next)
		standby_seek(r, LINK_OF(l, struct registration, standing));
	link_init(&bare);
	link_splice(&bare, &r->bare);
	link_splice(&bare, &r->later);
	while (!link_empty(&bare)) {
		struct registration *reg = LINK_OF(bare.next, struct registration, seeking);

		link_del(&reg->seeking);
		standby_seek(r, reg);
	}
}

void standby_ready(struct registrar *r, struct registration *reg)
{
	reg->target = NULL;
	reg->current = NULL;
	link_del(&reg->at);
	link_add(&r->ready, &reg->at);
	r->due = r->now;
}

/* Of those that are ready, the ones of the first one's standby. */
static struct conn *gather(struct registrar *r, struct link *same, size_t *n)
{
	struct conn *c = LINK_OF(r->ready.next, struct registration, at)->standby;
	struct link *l, *next;

	for (l = r->ready.next; l != &r->ready && *n < REGISTRAR_MAX_BATCH; l = next) {
		struct registration *reg = LINK_OF(l, struct registration, at);

		next = l->next;
		if (reg->standby != c)
			continue;
		link_del(l);
		link_add(same, l);
		if (c)
			r->leases[(*n)++] = reg->lease;
	}
	return c;
}

/* One that was only presumed to hold it is told of it again. */
static void take_over(struct registrar *r, struct registration *reg, struct conn *c)
{
	bool unsure = reg->unsure;

	if (!quest_grant(r, reg, c) || !unsure || reg->home != c)
		return;
	reg->confirmed = false;
	quest_begin(r, reg, c);
}

/* A callback may take any of them out of the list. */
void standby_promote(struct registrar *r)
{
	while (!link_empty(&r->ready)) {
		struct link same;
		struct conn *c;
		size_t n = 0;
		int err = 0;

		link_init(&same);
		c = gather(r, &same, &n);
		if (n)
			err = r->ops->carry(r->ctx, c->index, r->leases, n);
		while (!link_empty(&same)) {
			struct registration *reg = LINK_OF(same.next, struct registration, at);

			link_del(&reg->at);
			if (c)
				reg->tried |= quest_bit(reg, c);
			if (!err && c && reg->standby == c && standby_usable(reg))
				take_over(r, reg, c);
			else
				quest_advance(r, reg);
		}
	}
}

void standby_tick(struct registrar *r)
{
	struct link *lists[] = { &r->soon, &r->later };

	for (size_t i = 0; i < 2; i++) {
		while (!link_empty(lists[i])) {
			struct registration *reg =
				LINK_OF(lists[i]->next, struct registration, seeking);

			if (reg->seek_at > r->now)
				break;
			link_del(&reg->seeking);
			if (lists[i] == &r->later)
				reg->refusers = 0;
			standby_seek(r, reg);
		}
	}
}

uint64_t standby_due(const struct registrar *r)
{
	uint64_t due = NEVER;

	if (!link_empty(&r->soon))
		due = LINK_OF(r->soon.next, struct registration, seeking)->seek_at;
	if (!link_empty(&r->later)) {
		uint64_t t = LINK_OF(r->later.next, struct registration, seeking)->seek_at;

		due = t < due ? t : due;
	}
	return due;
}
