/* SPDX-License-Identifier: BSD-3-Clause */
#include "registrar_int.h"

#include <stdlib.h>
#include <string.h>

struct registration *ticket_drop(struct ticket *t)
{
	struct registration *reg = t->reg;

	t->reg = NULL;
	link_del(&t->of_reg);
	return reg;
}

void request_free(struct request *req)
{
	for (size_t i = 0; i < req->n; i++)
		ticket_drop(&req->tickets[i]);
	free(req->release);
	free(req);
}

/* A release that finds no room is let go: the mapping then ends by disuse. */
void conn_release(struct conn *c, const struct c25_addr *transit)
{
	if (c->dropped || c->n_release == RELEASES_MAX)
		return;
	if (c->n_release == c->room) {
		size_t room = c->room ? 2 * c->room : 64;
		struct c25_addr *v = reallocarray(c->release, room, sizeof(*v));

		if (!v)
			return;
		c->release = v;
		c->room = room;
	}
	c->release[c->n_release++] = *transit;
}

void request_take_back(struct conn *c, struct request *req)
{
	for (size_t i = 0; i < req->n_release; i++)
		conn_release(c, &req->release[i]);
	req->n_release = 0;
}

struct request *conn_take(struct conn *c, uint64_t id, bool *late)
{
	struct request *req = c->request;
	struct link *l;

	if (req && req->id == id) {
		c->request = NULL;
		*late = false;
		return req;
	}
	for (l = c->late.next; l != &c->late; l = l->next) {
		req = LINK_OF(l, struct request, late);
		if (req->id != id)
			continue;
		link_del(l);
		c->n_late--;
		*late = true;
		return req;
	}
	return NULL;
}

uint64_t connector_beat_due(const struct conn *c)
{
	uint64_t due = c->healthy ? NEVER : c->probe_at;

	if ((!desert_is_empty(c) || !link_empty(&c->standing) || (c->n_release && c->healthy)) &&
	    due > c->last_sent + HEARTBEAT_MS)
		due = c->last_sent + HEARTBEAT_MS;
	return due;
}

/* Takes what is to be released; what the connector is to hold after all stays out. */
static size_t fill_release(struct registrar *r, struct conn *c, struct request *req, size_t max)
{
	size_t used = 0;

	if (!c->n_release)
		return 0;
	req->release = calloc(max, sizeof(*req->release));
	if (!req->release)
		return 0;
	for (; used < c->n_release && req->n_release < max; used++) {
		struct registration *reg;

		HASH_FIND(hh, r->registrations, &c->release[used], sizeof(c->release[used]), reg);
		if (!reg ||
		    (reg->home != c && reg->target != c && reg->standby != c && reg->told != c))
			req->release[req->n_release++] = c->release[used];
	}
	return used;
}

static struct ticket *add_ticket(struct registrar *r, struct request *req, struct registration *reg)
{
	struct ticket *t = &req->tickets[req->n];

	t->reg = reg;
	t->request = req;
	link_init(&t->of_reg);
	link_add(&reg->tickets, &t->of_reg);
	r->leases[req->n++] = reg->lease;
	return t;
}

static void fill_tickets(struct registrar *r, struct request *req, struct link *queue, size_t max)
{
	while (req->n < max && !link_empty(queue)) {
		struct registration *reg = LINK_OF(queue->next, struct registration, at);

		link_del(&reg->at);
		reg->current = add_ticket(r, req, reg);
	}
}

static void fill_standbys(struct registrar *r, struct request *req, struct link *queue, size_t max)
{
	while (req->n < max && !link_empty(queue)) {
		struct registration *reg = LINK_OF(queue->next, struct registration, seeking);

		link_del(&reg->seeking);
		reg->told_ticket = add_ticket(r, req, reg);
		reg->told_ticket->standby = true;
	}
}

static size_t count(const struct link *queue, size_t max)
{
	size_t n = 0;

	for (const struct link *l = queue->next; l != queue && n < max; l = l->next)
		n++;
	return n;
}

uint64_t connector_standbys_due(const struct conn *c)
{
	if (link_empty(&c->standbys) || !c->healthy)
		return NEVER;
	return link_empty(&c->urgent) ? c->standbys_at : c->standbys_at + STANDBY_STARVED;
}

static size_t count_standbys(const struct registrar *r, const struct conn *c, size_t room)
{
	if (connector_standbys_due(c) > r->now)
		return 0;
	return count(&c->standbys, room < STANDBY_BATCH ? room : STANDBY_BATCH);
}

void connector_flush(struct registrar *r, struct conn *c)
{
	struct registrar_message msg = { .leases = r->leases };
	size_t n, used;
	struct request *req;

	if (c->request || c->dropped)
		return;
	n = count(&c->urgent, REGISTRAR_MAX_BATCH);
	if (!c->failing)
		n += count(&c->quiet, REGISTRAR_MAX_BATCH - n);
	msg.n_standby = count_standbys(r, c, REGISTRAR_MAX_BATCH - n);
	msg.n = n + msg.n_standby;
	if (!msg.n && connector_beat_due(c) > r->now)
		return;
	req = calloc(1, sizeof(*req) + msg.n * sizeof(req->tickets[0]));
	if (!req) {
		r->retry_at = r->now + RETRY_MS;
		return;
	}
	req->connector = c;
	req->id = ++r->last_id;
	req->sent = r->now;
	link_init(&req->late);
	fill_tickets(r, req, &c->urgent, n);
	fill_tickets(r, req, &c->quiet, n);
	fill_standbys(r, req, &c->standbys, msg.n);
	used = fill_release(r, c, req, REGISTRAR_MAX_BATCH - msg.n);
	c->n_release -= used;
	if (used)
		memmove(c->release, c->release + used, c->n_release * sizeof(*c->release));
	c->request = req;
	c->last_sent = r->now;
	msg.release = req->release;
	msg.n_release = req->n_release;
	r->ops->send(r->ctx, c->index, req->id, &msg);
}
