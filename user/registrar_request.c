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

	if ((!link_empty(&c->held) || (c->n_release && c->healthy)) &&
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
		if (!reg || (reg->home != c && reg->target != c))
			req->release[req->n_release++] = c->release[used];
	}
	return used;
}

static void fill_tickets(struct registrar *r, struct request *req, struct link *queue, size_t max)
{
	while (req->n < max && !link_empty(queue)) {
		struct registration *reg = LINK_OF(queue->next, struct registration, at);
		struct ticket *t = &req->tickets[req->n];

		link_del(&reg->at);
		t->reg = reg;
		t->request = req;
		link_init(&t->of_reg);
		link_add(&reg->tickets, &t->of_reg);
		reg->current = t;
		r->leases[req->n++] = reg->lease;
	}
}

static size_t count(const struct link *queue, size_t max)
{
	size_t n = 0;

	for (const struct link *l = queue->next; l != queue && n < max; l = l->next)
		n++;
	return n;
}

void connector_flush(struct registrar *r, struct conn *c)
{
	size_t n = count(&c->urgent, REGISTRAR_MAX_BATCH), used;
	struct request *req;

	if (!c->failing)
		n += count(&c->quiet, REGISTRAR_MAX_BATCH - n);
	if (c->request || c->dropped || (!n && connector_beat_due(c) > r->now))
		return;
	req = calloc(1, sizeof(*req) + n * sizeof(req->tickets[0]));
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
	used = fill_release(r, c, req, REGISTRAR_MAX_BATCH - n);
	c->n_release -= used;
	if (used)
		memmove(c->release, c->release + used, c->n_release * sizeof(*c->release));
	c->request = req;
	c->last_sent = r->now;
	r->ops->send(r->ctx, c->index, req->id, r->leases, n, req->release, req->n_release);
}
