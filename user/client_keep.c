/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_keep: flows in being stay with the connector that their mapping leaves, for as long as
 * their packets are answered: its daemon may be dead, and its datapath goes on.
 */
#define HASH_NONFATAL_OOM 1
#include "client_int.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <uthash.h>

#define CHECK_MS      250
#define CHECK_MANY_MS 20
#define CHECK_SLICE   512
/* Packets of this second may still be answered in the next one. */
#define ANSWERED_WITHIN 2

struct kept {
	struct c25_addr magic;
	uint32_t other, base, period; /* as in c25_kept */
	UT_hash_handle hh;
};

static struct kept *find(const struct client *c, const struct c25_addr *magic)
{
	struct kept *k;

	HASH_FIND(hh, c->kept, magic, sizeof(*magic), k);
	return k;
}

static bool is_answered(uint64_t out, uint64_t back)
{
	return back && out < back + ANSWERED_WITHIN;
}

bool client_answered(const struct client *c, const struct lease *l, enum registrar_failure how,
		     struct c25_kept *stamps)
{
	uint64_t now = client_now_s();
	struct c25_transit back;
	struct c25_magic out;

	if (maps_magic_get(c->deps.maps, &l->magic, &out) ||
	    maps_transit_get(c->deps.maps, &l->transit, &back))
		return false;
	stamps->out_seen = out.last_seen;
	stamps->back_seen = back.last_seen;
	if (!is_answered(out.last_seen, back.last_seen))
		return false;
	/* An idle connection is lost if it moves. A datapath outlives its daemon, so that its host
	 * being there is reason to wait for a packet that is not answered. */
	return now < back.last_seen + ANSWERED_WITHIN ||
	       (how == REGISTRAR_PRESENT && now < back.last_seen + LEASE_IDLE);
}

static void forget(struct client *c, struct kept *k)
{
	maps_kept_del(c->deps.maps, &k->magic);
	HASH_DEL(c->kept, k);
	free(k);
}

void client_keep_drop(struct client *c, const struct lease *l)
{
	struct kept *k = find(c, &l->magic);

	if (k)
		forget(c, k);
}

void client_keep_end(struct client *c, const struct lease *l)
{
	struct kept *k = find(c, &l->magic);

	if (!k)
		return;
	if (l->state == C25_LEASE_LIVE)
		maps_client_put(c->deps.maps, &l->magic, &l->transit, l->peer,
				l->standby == LEASE_NO_PEER ? l->peer : l->standby, 0);
	forget(c, k);
}

static struct kept *add(struct client *c, const struct c25_addr *magic)
{
	struct kept *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->magic = *magic;
	HASH_ADD(hh, c->kept, magic, sizeof(k->magic), k);
	if (!k->hh.tbl) {
		free(k);
		return NULL;
	}
	if (!uv_is_active((uv_handle_t *)&c->keep))
		uv_timer_start(&c->keep, client_keep_check, CHECK_MS, 0);
	return k;
}

/* It is still a connector, and packets to it may be told from others'. */
static bool may_keep(const struct client *c, uint32_t connector)
{
	const struct netmap_node *node = client_node(c, connector);

	return !c->deps.wg && node && node->connector;
}

bool client_keep_move(struct client *c, const struct lease *l)
{
	struct c25_kept v = { .other = l->peer, .base = l->peer };
	struct kept *k = find(c, &l->magic);

	if (!may_keep(c, l->peer) ||
	    !client_answered(c, l, registrar_failure(c->registrar, l->peer), &v))
		goto none;
	if (k) {
		v.base = k->base;
		v.period = k->period;
	} else if (getrandom(&v.period, sizeof(v.period), 0) != sizeof(v.period)) {
		return false;
	}
	if (maps_kept_put(c->deps.maps, &l->magic, &v))
		goto none;
	if (!k)
		k = add(c, &l->magic);
	if (!k) {
		maps_kept_del(c->deps.maps, &l->magic);
		return false;
	}
	k->other = v.other;
	k->base = v.base;
	k->period = v.period;
	return true;

none:
	if (k)
		forget(c, k);
	return false;
}

uint32_t client_kept(const struct client *c, const struct lease *l)
{
	const struct kept *k = find(c, &l->magic);

	return k ? k->other : LEASE_NO_PEER;
}

static bool is_over(const struct client *c, const struct kept *k, uint64_t now)
{
	struct c25_kept v;
	uint64_t seen;

	if (maps_kept_get(c->deps.maps, &k->magic, &v))
		return true;
	seen = v.out_seen > v.back_seen ? v.out_seen : v.back_seen;
	return !is_answered(v.out_seen, v.back_seen) || seen + LEASE_IDLE <= now;
}

/* Those looked at go behind the others, so that each has its turn. */
void client_keep_check(uv_timer_t *t)
{
	struct client *c = t->data;
	uint64_t now = client_now_s();
	size_t n = HASH_COUNT(c->kept);

	for (size_t i = 0; c->kept && i < n && i < CHECK_SLICE; i++) {
		struct kept *k = c->kept;
		struct lease *l = lease_by_magic(c->leases, &k->magic);

		if (!l) {
			forget(c, k);
		} else if (is_over(c, k, now)) {
			client_keep_end(c, l);
		} else {
			HASH_DEL(c->kept, k);
			HASH_ADD(hh, c->kept, magic, sizeof(k->magic), k);
		}
	}
	if (c->kept)
		uv_timer_start(t, client_keep_check, n > CHECK_SLICE ? CHECK_MANY_MS : CHECK_MS, 0);
}

struct restore {
	struct client *c;
	struct c25_addr *stale;
	size_t n, size;
};

static int restore_one(const void *key, const void *value, void *ctx)
{
	const struct c25_addr *magic = key;
	const struct c25_kept *v = value;
	struct restore *r = ctx;
	const struct lease *l = lease_by_magic(r->c->leases, magic);
	struct kept *k = NULL;

	if (l && l->state == C25_LEASE_LIVE && l->peer != v->other)
		k = add(r->c, magic);
	if (k) {
		k->other = v->other;
		k->base = v->base;
		k->period = v->period;
		return 0;
	}
	if (r->n == r->size) {
		size_t size = r->size ? 2 * r->size : 64;
		void *more = reallocarray(r->stale, size, sizeof(r->stale[0]));

		if (!more)
			return -ENOMEM;
		r->stale = more;
		r->size = size;
	}
	r->stale[r->n++] = *magic;
	return 0;
}

int client_keep_restore(struct client *c)
{
	struct restore r = { .c = c };
	int err = maps_each(c->deps.maps, MAP_KEPT, restore_one, &r);

	for (size_t i = 0; i < r.n; i++)
		maps_kept_del(c->deps.maps, &r.stale[i]);
	free(r.stale);
	return err;
}

void client_keep_free(struct client *c)
{
	struct kept *k, *tmp;

	HASH_ITER (hh, c->kept, k, tmp) {
		HASH_DEL(c->kept, k);
		free(k);
	}
}
