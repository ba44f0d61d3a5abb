/* SPDX-License-Identifier: BSD-3-Clause */
#define HASH_NONFATAL_OOM 1
#include "registrar_int.h"

#include <stdlib.h>
#include <string.h>

struct conn *conn_find(const struct registrar *r, uint32_t index)
{
	struct conn *c;

	HASH_FIND(hh, r->connectors, &index, sizeof(index), c);
	return c;
}

struct conn *conn_get(struct registrar *r, uint32_t index)
{
	struct conn *c = conn_find(r, index);

	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			return NULL;
		c->index = index;
		link_init(&c->late);
		link_init(&c->urgent);
		link_init(&c->quiet);
		link_init(&c->held);
		link_init(&c->leaving);
		link_init(&c->staying);
		link_init(&c->standing);
		link_init(&c->standbys);
		HASH_ADD(hh, r->connectors, index, sizeof(c->index), c);
		if (!c->hh.tbl) {
			free(c);
			return NULL;
		}
		c->dropped = c->healthy = true;
	}
	/* One that comes again is as well as it was when it went, until it is asked. */
	if (c->dropped) {
		c->dropped = c->slow = c->failing = false;
		c->healthy_since = c->probe_at = r->now;
		c->share_due = c->desert_at = NEVER;
		c->backoff = PROBE_MIN_MS;
	}
	return c;
}

void conn_free(struct registrar *r, struct conn *c)
{
	HASH_DELETE(hh, r->connectors, c);
	if (c->request)
		request_free(c->request);
	while (!link_empty(&c->late)) {
		struct request *req = LINK_OF(c->late.next, struct request, late);

		link_del(&req->late);
		request_free(req);
	}
	free(c->release);
	free(c->epoch);
	free(c);
}

/* Whether this one goes to another connector when `c` does not do its part: a mapping that `c`
 * holds and nobody waits for is left to desert(). */
static bool may_leave(const struct registration *reg, const struct conn *c)
{
	return (reg->home != c || !waits_empty(&reg->waits)) && quest_has_alternative(reg);
}

static bool is_current(const struct ticket *t)
{
	return t->reg && t->reg->current == t;
}

/* The same of one that it is to stand by for. */
static bool is_told(const struct ticket *t)
{
	return t->reg && t->reg->told_ticket == t;
}

/* What stands with this connector and has a better place to go, goes. */
static void leave(struct registrar *r, struct conn *c)
{
	struct link *l, *next;

	for (size_t i = 0; c->request && i < c->request->n; i++) {
		struct ticket *t = &c->request->tickets[i];

		if (is_current(t) && may_leave(t->reg, c))
			quest_advance(r, t->reg);
	}
	for (l = c->urgent.next; l != &c->urgent; l = next) {
		struct registration *reg = LINK_OF(l, struct registration, at);

		next = l->next;
		if (may_leave(reg, c))
			quest_advance(r, reg);
	}
}

static void set_unhealthy(struct registrar *r, struct conn *c)
{
	if (c->healthy && r->now - c->healthy_since >= CALM_MS)
		c->backoff = PROBE_MIN_MS;
	c->missed = r->now;
	c->probe_at = r->now + c->backoff;
	c->backoff = c->backoff * 2 < PROBE_MAX_MS ? c->backoff * 2 : PROBE_MAX_MS;
	if (c->down_told)
		return;
	c->healthy = false;
	c->down_told = true;
	leave(r, c);
	r->ops->health(r->ctx, c->index, false);
}

static void set_healthy(struct registrar *r, struct conn *c)
{
	struct conn *o, *tmp;
	struct link parked;

	c->healthy = true;
	c->down_told = c->slow = false;
	c->healthy_since = r->now;
	link_init(&parked);
	link_splice(&parked, &r->parked);
	while (!link_empty(&parked)) {
		struct registration *reg = LINK_OF(parked.next, struct registration, at);

		link_del(&reg->at);
		if (quest_may_use(reg, c))
			quest_target(r, reg, c);
		else
			link_add(&r->parked, &reg->at);
	}
	/* It may take over from others. */
	HASH_ITER (hh, r->connectors, o, tmp) {
		if (o->failing)
			desert_again(r, o);
		if (!link_empty(&o->urgent) || o->request)
			o->share_due = r->now;
	}
	standby_healthy(r, c);
	r->ops->health(r->ctx, c->index, true);
}

static void set_failing(struct registrar *r, struct conn *c, uint64_t since,
			enum registrar_failure how)
{
	c->how = how;
	if (!c->failing) {
		c->failing = c->all_leave = true;
		c->failing_since = since;
	}
	if (c->all_leave)
		desert_again(r, c);
	set_unhealthy(r, c);
}

/* It lost its mappings: all but those of this very answer are told again. */
static void epoch_seen(struct registrar *r, struct conn *c, const char *epoch)
{
	struct link held;
	char *copy;

	if (!epoch || !*epoch || (c->epoch && !strcmp(c->epoch, epoch)))
		return;
	copy = strdup(epoch);
	if (!copy)
		return;
	if (c->epoch) {
		c->n_release = 0;
		link_init(&held);
		link_splice(&held, &c->held);
		while (!link_empty(&held)) {
			struct registration *reg = LINK_OF(held.next, struct registration, held);

			link_del(&reg->held);
			link_add(&c->held, &reg->held);
			reg->confirmed = false;
			if (!reg->quest)
				quest_begin(r, reg, c);
		}
		standby_epoch(r, c);
	}
	free(c->epoch);
	c->epoch = copy;
}

void conn_answered(struct registrar *r, struct conn *c, struct request *req, bool late,
		   const int *codes, const char *epoch)
{
	bool stale = late && c->epoch && epoch && strcmp(c->epoch, epoch) != 0;

	if (!late) {
		desert_end(c);
		epoch_seen(r, c, epoch);
		c->failing = false;
		if (!c->healthy && (!c->slow || r->now - req->sent <= r->answer_timeout / 2))
			set_healthy(r, c);
		else if (!c->healthy)
			set_unhealthy(r, c);
	}
	for (size_t i = 0; i < req->n; i++) {
		struct ticket *t = &req->tickets[i];
		bool current = is_current(t), told = is_told(t);
		struct registration *reg = ticket_drop(t);

		if (reg && current)
			reg->current = NULL;
		/* Stale: an older run of the connector agreed, and has forgotten it. */
		if (reg && t->standby && !c->dropped && !stale)
			standby_answered(r, reg, c, codes[i], told);
		else if (t->standby)
			continue;
		else if (reg && c->dropped && current)
			quest_advance(r, reg);
		else if (reg && !c->dropped && !stale)
			quest_answered(r, reg, c, codes[i], current);
	}
	request_free(req);
	r->due = r->now;
}

static void unanswered(struct registrar *r, struct request *req)
{
	for (size_t i = 0; i < req->n; i++) {
		if (is_current(&req->tickets[i]))
			quest_unanswered(r, req->tickets[i].reg);
		else if (is_told(&req->tickets[i]))
			standby_unanswered(r, req->tickets[i].reg);
	}
}

void conn_failed(struct registrar *r, struct conn *c, struct request *req, bool late,
		 enum registrar_failure how)
{
	if (!late) {
		request_take_back(c, req);
		set_failing(r, c, req->sent, how);
		unanswered(r, req);
	}
	request_free(req);
	r->due = r->now;
}

/* No answer for so long: it is free for another request, though this one may still be answered. */
static void give_up(struct registrar *r, struct conn *c)
{
	struct request *req = c->request;
	bool cancel = req->n_release;

	c->request = NULL;
	request_take_back(c, req);
	set_failing(r, c, req->sent, REGISTRAR_SILENT);
	unanswered(r, req);
	if (cancel)
		r->ops->cancel(r->ctx, c->index, req->id);
	if (cancel || c->dropped) {
		request_free(req);
		return;
	}
	if (c->n_late == LATE_REQUESTS) {
		struct request *oldest = LINK_OF(c->late.next, struct request, late);

		link_del(&oldest->late);
		request_free(oldest);
		c->n_late--;
	}
	link_add(&c->late, &req->late);
	c->n_late++;
}

/* Its share of the time is over: to the next one. */
static bool check_share(struct registrar *r, struct conn *c, struct registration *reg)
{
	if (reg->share_end > r->now) {
		if (c->share_due > reg->share_end)
			c->share_due = reg->share_end;
		return false;
	}
	if (waits_empty(&reg->waits) || !may_leave(reg, c))
		return false;
	quest_advance(r, reg);
	return true;
}

static void check_shares(struct registrar *r, struct conn *c)
{
	bool over = false;
	struct link *l, *next;

	c->share_due = NEVER;
	for (size_t i = 0; c->request && i < c->request->n; i++) {
		struct ticket *t = &c->request->tickets[i];

		if (is_current(t))
			over |= check_share(r, c, t->reg);
	}
	for (l = c->urgent.next; l != &c->urgent; l = next) {
		next = l->next;
		over |= check_share(r, c, LINK_OF(l, struct registration, at));
	}
	if (over && c->healthy && c->request &&
	    r->now - c->request->sent >= r->answer_timeout / 2) {
		c->slow = true;
		set_unhealthy(r, c);
	}
}

void conn_drop(struct registrar *r, struct conn *c)
{
	struct link told, held;
	bool late;

	if (c->dropped)
		return;
	c->dropped = true;
	c->n_release = 0;
	free(c->epoch);
	c->epoch = NULL;
	link_init(&told);
	link_init(&held);
	link_splice(&told, &c->urgent);
	link_splice(&told, &c->quiet);
	desert_end(c);
	link_splice(&held, &c->held);
	standby_drop(r, c);
	while (c->request || !link_empty(&c->late)) {
		struct request *req = c->request ? c->request :
						   LINK_OF(c->late.next, struct request, late);

		req = conn_take(c, req->id, &late);
		for (size_t i = 0; i < req->n; i++) {
			struct registration *reg = req->tickets[i].reg;

			if (is_current(&req->tickets[i])) {
				reg->current = NULL;
				link_add(&told, &reg->at);
			} else if (is_told(&req->tickets[i])) {
				standby_unanswered(r, reg);
			}
		}
		request_free(req);
	}
	while (!link_empty(&held)) {
		struct registration *reg = LINK_OF(held.next, struct registration, held);

		quest_lose_home(reg);
		if (!reg->target)
			quest_begin(r, reg, NULL);
	}
	while (!link_empty(&told)) {
		struct registration *reg = LINK_OF(told.next, struct registration, at);

		link_del(&reg->at);
		quest_advance(r, reg);
	}
	r->due = r->now;
}

void conn_tick(struct registrar *r, struct conn *c)
{
	if (c->request && r->now - c->request->sent >= SILENCE_MS)
		give_up(r, c);
	if (r->now >= c->share_due)
		check_shares(r, c);
	if (c->failing && r->now >= c->desert_at)
		desert(r, c);
	connector_flush(r, c);
}

uint64_t conn_due(const struct registrar *r, const struct conn *c)
{
	uint64_t due = NEVER, t;

	if (c->dropped)
		return NEVER;
	if (c->request || !link_empty(&c->urgent))
		due = c->share_due;
	t = c->request ? c->request->sent + SILENCE_MS : connector_beat_due(c);
	if (!c->request && (!link_empty(&c->urgent) || (!c->failing && !link_empty(&c->quiet))))
		t = r->now;
	if (t < due)
		due = t;
	t = c->request ? NEVER : connector_standbys_due(c);
	if (t < due)
		due = t;
	t = c->failing ? c->desert_at : NEVER;
	return t < due ? t : due;
}
