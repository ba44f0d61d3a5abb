/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_restore: leases, mappings and quarantine back out of the pinned maps.
 *
 * The run before may have died between any two writes. What it had begun is brought to its end
 * where the maps say enough for that, else taken back; connectors that may have heard of it are
 * told to forget it.
 */
#include "client_int.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SAY_AT_MOST 8 /* dropped records, one by one */

struct restore {
	struct client *c;
	uint64_t now;
	size_t leases, dropped;
	size_t live;   /* records of LIVE leases */
	size_t paired; /* entries of the map looked at that are as a LIVE lease has them */
	/* Gathered first: a map is not changed while it is walked. */
	struct c25_addr *strays;
	size_t n_strays, strays_size;
	struct lease **unsettled;
	size_t n_unsettled, unsettled_size;
	uint32_t down;
};

/* As lease_restore() has it: no record may keep an address for longer than any quarantine. */
static uint64_t rest_until(const struct c25_lease *record, uint64_t now)
{
	return record->expires < now + LEASE_QUARANTINE ? record->expires : now + LEASE_QUARANTINE;
}

/* Somebody may use the address still, so it is not lent at once. */
static void drop_record(struct restore *r, const struct c25_addr *magic, const char *why)
{
	char text[ADDR_STRLEN];

	if (r->dropped++ < SAY_AT_MOST)
		log_warn("the lease record of %s was dropped: %s", addr_print(text, magic), why);
	maps_lease_del(r->c->deps.maps, magic);
	lease_rest(r->c->leases, magic, r->now + LEASE_QUARANTINE);
}

static const char *record_fault(const struct client *c, const struct c25_addr *magic,
				const struct c25_lease *record)
{
	const char *fault = lease_record_fault(magic, record);

	/* A connector that never had this number can neither be told nor asked. */
	if (!fault && record->state == C25_LEASE_LIVE && !peers_id(c->deps.peers, record->peer))
		fault = "its connector's number was never given";
	return fault;
}

/* It may not have been told to its connectors before the end of the run before. */
static void restore_resting(struct restore *r, const struct c25_addr *magic,
			    const struct c25_lease *record)
{
	client_quarantine_add(r->c, magic, rest_until(record, r->now));
	dns_answers_drop(&r->c->answers, record->domain, addr_is4(magic));
	client_release_everywhere(r->c, record->domain, record->peer, &record->transit);
}

static int restore_one(const void *key, const void *value, void *ctx)
{
	const struct c25_lease *record = value;
	const struct c25_addr *magic = key;
	struct restore *r = ctx;
	const char *fault = record_fault(r->c, magic, record);
	struct lease *l;
	int err;

	if (fault) {
		drop_record(r, magic, fault);
		return 0;
	}
	err = lease_restore(r->c->leases, &l, magic, record, r->now);
	if (err == -ENOMEM)
		return err;
	if (err) {
		drop_record(r, magic,
			    err == -EEXIST ? "another record has its addresses, or its name and "
					     "real one" :
					     strerror(-err));
		return 0;
	}
	if (record->state == C25_LEASE_QUARANTINE) {
		restore_resting(r, magic, record);
		return 0;
	}
	r->leases++;
	r->live += l->state == C25_LEASE_LIVE;
	return 0;
}

static int by_expiry(const void *a, const void *b)
{
	const struct quarantine *const *x = a, *const *y = b;

	return (*x)->expires < (*y)->expires ? -1 : (*x)->expires > (*y)->expires;
}

/* The map gives its records in no order; the queue wants the oldest first. */
static int sort_quarantine(struct client *c)
{
	_cleanup_free_ struct quarantine **all = NULL;
	struct quarantine *q;
	size_t n = 0, i = 0;

	for (q = c->quarantine_first; q; q = q->next)
		n++;
	if (!n)
		return 0;
	all = calloc(n, sizeof(struct quarantine *));
	if (!all)
		return -ENOMEM;
	for (q = c->quarantine_first; q; q = q->next)
		all[i++] = q;
	qsort(all, n, sizeof(struct quarantine *), by_expiry);
	for (i = 0; i < n; i++)
		all[i]->next = i + 1 < n ? all[i + 1] : NULL;
	c->quarantine_first = all[0];
	c->quarantine_last = all[n - 1];
	return 0;
}

/* `v`, with room for one more than `n`; NULL: no memory, and `v` is as it was. */
static void *room(void *v, size_t n, size_t *size, size_t each)
{
	size_t more = *size ? 2 * *size : 64;
	void *grown;

	if (n < *size)
		return v;
	grown = reallocarray(v, more, each);
	if (grown)
		*size = more;
	return grown;
}

static int add_unsettled(struct restore *r, struct lease *l)
{
	void *v = room(r->unsettled, r->n_unsettled, &r->unsettled_size, sizeof(struct lease *));

	if (!v)
		return -ENOMEM;
	r->unsettled = v;
	r->unsettled[r->n_unsettled++] = l;
	return 0;
}

/* `settled`: the entry is as the lease's record has it. */
static int look(struct restore *r, const struct c25_addr *key, struct lease *l, bool settled)
{
	void *v;

	if (l && !settled)
		return add_unsettled(r, l);
	if (l) {
		r->paired += l->state == C25_LEASE_LIVE;
		return 0;
	}
	v = room(r->strays, r->n_strays, &r->strays_size, sizeof(*r->strays));
	if (!v)
		return -ENOMEM;
	r->strays = v;
	r->strays[r->n_strays++] = *key;
	return 0;
}

static int look_out(const void *key, const void *value, void *ctx)
{
	const struct c25_magic *v = value;
	struct restore *r = ctx;
	struct lease *l = lease_by_magic(r->c->leases, key);

	if (l && !addr_equal(&l->transit, &v->transit))
		l = NULL;
	return look(r, key, l,
		    l && (l->state == C25_LEASE_LIVE) == !(v->flags & C25_MAGIC_DEAD) &&
			    l->peer == v->peer);
}

/* Of the two whose packets are accepted, the one that is not its connector holds it too. */
static void set_standby(struct client *c, struct lease *l, uint32_t other)
{
	if (other != l->peer && peers_id(c->deps.peers, other))
		l->standby = other;
}

static int look_back(const void *key, const void *value, void *ctx)
{
	const struct c25_transit *v = value;
	struct restore *r = ctx;
	struct lease *l = lease_by_transit(r->c->leases, key);
	bool settled;

	if (l && !addr_equal(&l->magic, &v->magic))
		l = NULL;
	settled = l && l->peer == v->peer;
	if (settled && l->state == C25_LEASE_LIVE)
		set_standby(r->c, l, v->peer2 & ~C25_TRANSIT_KEPT);
	return look(r, key, l, settled);
}

/* A mapping without a record is nobody's; of a pair that does not belong together only what is
 * nobody's goes. */
static int look_through(struct restore *r, enum map_id map,
			int (*look_at)(const void *, const void *, void *))
{
	const struct maps *maps = r->c->deps.maps;
	int err;

	r->n_strays = r->paired = 0;
	err = maps_each(maps, map, look_at, r);
	for (size_t i = 0; i < r->n_strays; i++) {
		if (map == MAP_MAGIC)
			maps_magic_del(maps, &r->strays[i]);
		else
			maps_transit_del(maps, &r->strays[i]);
	}
	if (r->n_strays)
		log_warn("%zu entries of %s without a lease were removed", r->n_strays,
			 maps_name(map));
	return err;
}

/* Of a LIVE lease an entry is missing: nothing of conn25's makes that, but then it is found too. */
static int add_live(struct lease *l, void *ctx)
{
	return l->state == C25_LEASE_LIVE ? add_unsettled(ctx, l) : 0;
}

/* `kept`: C25_MAGIC_KEPT as the magic entry has it. */
static void settle_live(struct client *c, struct lease *l, uint32_t home, uint32_t kept,
			const struct c25_transit *back)
{
	const struct maps *maps = c->deps.maps;
	struct c25_lease record;
	uint32_t other = home;

	if (l->state == C25_LEASE_LIVE && l->peer != home)
		other = l->peer;
	else if (back)
		other = back->peer != home ? back->peer : back->peer2 & ~C25_TRANSIT_KEPT;
	l->state = C25_LEASE_LIVE;
	l->peer = home;
	l->standby = LEASE_NO_PEER;
	set_standby(c, l, other);
	record = lease_record(l);
	other = l->standby;
	if (other == LEASE_NO_PEER) {
		other = home;
		kept = 0;
	}
	if (maps_client_put(maps, &l->magic, &l->transit, home,
			    other | (kept ? C25_TRANSIT_KEPT : 0), kept) ||
	    maps_lease_put(maps, &l->magic, &record))
		log_warn("the mapping of %s could not be written; it is written once its "
			 "connector has agreed anew",
			 l->domain);
}

/*
 * A lease whose entries do not say the same. They are written in the order transit, magic, record,
 * once a connector has agreed: the magic one decides where packets go, and is followed. One that is
 * marked dead was about to be revoked: its connector is asked again, and says so again.
 */
static void settle(struct client *c, struct lease *l)
{
	struct c25_transit back;
	struct c25_magic out;
	bool has_out = !maps_magic_get(c->deps.maps, &l->magic, &out);
	bool has_back = !maps_transit_get(c->deps.maps, &l->transit, &back);

	if (has_out && out.flags & C25_MAGIC_DEAD)
		return;
	if (has_out && peers_id(c->deps.peers, out.peer)) {
		settle_live(c, l, out.peer, out.flags & C25_MAGIC_KEPT, has_back ? &back : NULL);
	} else if (l->state == C25_LEASE_LIVE) {
		settle_live(c, l, l->peer, 0, has_back ? &back : NULL);
	} else if (has_back) {
		client_release_at(c, back.peer, &l->transit);
		maps_transit_del(c->deps.maps, &l->transit);
	}
}

static int settle_all(struct restore *r)
{
	bool complete;
	int err;

	err = look_through(r, MAP_MAGIC, look_out);
	complete = r->paired == r->live;
	if (!err)
		err = look_through(r, MAP_TRANSIT, look_back);
	if (!err && !(complete && r->paired == r->live))
		err = lease_each(r->c->leases, add_live, r);
	for (size_t i = 0; i < r->n_unsettled && !err; i++)
		settle(r->c, r->unsettled[i]);
	return err;
}

static int tell_home(struct lease *l, void *ctx)
{
	struct client *c = ctx;

	int err;

	/* One still waiting for consent when the daemon died has nobody who waits for it now. */
	if (l->state != C25_LEASE_LIVE)
		return 0;
	err = registrar_restore(c->registrar, l, l->peer);
	if (!err && l->standby != LEASE_NO_PEER)
		registrar_restore_standby(c->registrar, l, l->standby);
	return err;
}

/* Non-zero: it is no connector any more. */
static int restore_down(const void *key, const void *value, void *ctx)
{
	struct restore *r = ctx;
	const struct netmap_node *node;
	const char *id;

	memcpy(&r->down, key, sizeof(r->down));
	id = peers_id(r->c->deps.peers, r->down);
	node = id ? netmap_node_by_id(r->c->nm, id) : NULL;
	if (!node || !node->connector)
		return 1;
	registrar_restore_down(r->c->registrar, r->down);
	return 0;
}

/* Who did not answer the run before is asked anew, and until it answers is nobody's choice. */
static int restore_health(struct restore *r)
{
	int err;

	while ((err = maps_each(r->c->deps.maps, MAP_DOWN, restore_down, r)) == 1) {
		err = maps_down_del(r->c->deps.maps, r->down);
		if (err)
			break;
	}
	return err;
}

int client_restore(struct client *c)
{
	struct restore r = { .c = c, .now = client_now_s() };
	int err;

	err = maps_each(c->deps.maps, MAP_LEASES, restore_one, &r);
	if (!err)
		err = sort_quarantine(c);
	if (!err)
		err = settle_all(&r);
	free(r.strays);
	free(r.unsettled);
	if (!err)
		err = restore_health(&r);
	if (!err)
		err = lease_each(c->leases, tell_home, c);
	if (!err)
		err = client_keep_restore(c);
	if (err)
		return err;
	if (r.leases)
		log_info("%zu leases taken up from the pinned maps", r.leases);
	if (r.dropped > SAY_AT_MOST)
		log_warn("%zu lease records were dropped", r.dropped);
	client_reassign(c);
	return 0;
}
