/* SPDX-License-Identifier: BSD-3-Clause */
#include "connector.h"

#include "connector_cut.h"
#include "connector_dns.h"
#include "log.h"
#include "peerapi_server.h"
#include "policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define PEERAPI_PORT 8025
#define EXPIRE_MS    60000
/* A mapping that nobody heartbeats, registers or uses for so long ends (contract: 1 h to 25 h);
 * longer than an idle TCP flow may live. */
#define MAPPING_IDLE (4 * 3600)
/* The most of --max-mappings that one peer may hold while others exist. */
#define PEER_SHARE 2

struct connector {
	struct connector_deps deps;
	const struct netmap *nm;
	struct peerapi_server *server;
	struct connector_dns *dns;
	struct connector_cut *cut;
	uv_timer_t expire;
	uint64_t heard[C25_MAX_PEERS]; /* CLOCK_BOOTTIME, seconds */
	uint32_t held[C25_MAX_PEERS];  /* mappings */
	uint32_t total;
	bool pressed; /* warned that the table is nearly full */
	struct connector_stats stats;
	uint32_t listens, listen_failed; /* bits of --peerapi-listen, or of the own addresses */
	char epoch[32];
};

static uint64_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec;
}

static const struct netmap *op_netmap(void *ctx)
{
	return ((struct connector *)ctx)->nm;
}

static const char *op_epoch(void *ctx)
{
	return ((struct connector *)ctx)->epoch;
}

/* Room for one more of this peer. One peer alone may not use up what others need. */
static int check_quota(const struct connector *c, uint32_t peer, const char **why)
{
	uint32_t max = c->deps.config->max_mappings;

	*why = "The connector's mapping table is full (--max-mappings)";
	if (c->total >= max)
		return -ENOSPC;
	*why = "The peer's quota of mappings on this connector is reached";
	return c->nm->n_nodes > 2 && c->held[peer] >= max - max / PEER_SHARE ? -EDQUOT : 0;
}

static void forget(struct connector *c, const struct c25_mapping_key *key, uint32_t peer)
{
	maps_mapping_del(c->deps.maps, key);
	connector_cut_add(c->cut, key);
	if (peer < C25_MAX_PEERS && c->held[peer])
		c->held[peer]--;
	if (c->total)
		c->total--;
}

static bool op_mapped(void *ctx, const struct c25_addr *client, const struct c25_addr *transit)
{
	struct c25_mapping_key key = { .client = *client, .transit = *transit };
	struct connector *c = ctx;
	struct c25_mapping m;

	return !maps_mapping_get(c->deps.maps, &key, &m);
}

static int op_map(void *ctx, const struct netmap_node *peer, const struct c25_addr *client,
		  const struct c25_addr *transit, const struct c25_addr *real,
		  const struct netmap_app *app, const char **why)
{
	struct c25_mapping_key key = { .client = *client, .transit = *transit };
	struct connector *c = ctx;
	uint32_t index = peers_index(c->deps.peers, peer->id), app_id;
	struct c25_mapping old;
	int err = maps_mapping_get(c->deps.maps, &key, &old);
	bool had = !err;

	*why = "The connector is not ready";
	if (index == PEERS_NONE || apps_id(c->deps.apps, app->name, &app_id))
		return -EAGAIN;
	if (!had) {
		err = check_quota(c, index, why);
		if (err)
			return err;
	}
	*why = "The destination is not reachable through an uplink";
	if (!uplinks_reach(c->deps.uplinks, real))
		return -EHOSTUNREACH;
	*why = "The connector's mapping table is full (--max-mappings)";
	err = maps_mapping_put(c->deps.maps, &key, real, app_id, index, now_s());
	if (err)
		return err;
	/* Flows of what the address meant before must not meet the new meaning. */
	if (had && !addr_equal(&old.real, real))
		datapath_revoke(*c->deps.datapath, &key);
	if (!had || !addr_equal(&old.real, real))
		events_tell(c->deps.events, "mapped", ev_text("client", peer->id),
			    ev_addr("transitIP", transit), ev_addr("destinationIP", real),
			    ev_text("app", app->name));
	if (!had) {
		c->held[index]++;
		c->total++;
	}
	return 0;
}

static void op_release(void *ctx, const struct netmap_node *peer, const struct c25_addr *client,
		       const struct c25_addr *transit)
{
	struct c25_mapping_key key = { .client = *client, .transit = *transit };
	struct connector *c = ctx;
	struct c25_mapping old;

	if (maps_mapping_get(c->deps.maps, &key, &old))
		return;
	forget(c, &key, old.peer);
	events_tell(c->deps.events, "released", ev_text("client", peer->id),
		    ev_addr("transitIP", transit));
}

static void op_heard(void *ctx, const struct netmap_node *peer)
{
	struct connector *c = ctx;
	uint32_t index = peers_index(c->deps.peers, peer->id);

	if (index != PEERS_NONE)
		c->heard[index] = now_s();
}

static void op_answered(void *ctx, const struct netmap_node *peer, const struct peerapi_item *item,
			const struct peerapi_result *result)
{
	struct connector *c = ctx;
	int code = result->code;

	if (code >= 0 && (size_t)code < ARRAY_SIZE(c->stats.answered))
		c->stats.answered[code]++;
	if (code)
		events_tell(c->deps.events, "map-refused", ev_text("client", peer->id),
			    ev_addr("transitIP", &item->transit),
			    ev_addr("destinationIP", &item->real), ev_text("app", item->app),
			    ev_number("code", (uint64_t)code), ev_text("message", result->message));
}

static struct dns_proxy *op_resolver(void *ctx)
{
	return connector_dns_resolver(((struct connector *)ctx)->dns);
}

static bool op_covers(void *ctx, const struct netmap_app *app, const uint8_t *name)
{
	return connector_dns_covers(((struct connector *)ctx)->dns, app, name);
}

static const struct peerapi_server_ops server_ops = {
	.netmap = op_netmap,
	.epoch = op_epoch,
	.mapped = op_mapped,
	.map = op_map,
	.release = op_release,
	.heard = op_heard,
	.answered = op_answered,
	.resolver = op_resolver,
	.covers = op_covers,
};

/* Mappings to end, gathered first: a map is not changed while it is walked. */
struct doomed {
	struct connector *c;
	uint64_t now;
	struct {
		struct c25_mapping_key key;
		uint32_t peer;
	} * v;
	size_t n, size;
};

static int doom(struct doomed *d, const struct c25_mapping_key *key, uint32_t peer)
{
	if (d->n == d->size) {
		size_t size = d->size ? 2 * d->size : 64;
		void *more = reallocarray(d->v, size, sizeof(d->v[0]));

		if (!more)
			return -ENOMEM;
		d->v = more;
		d->size = size;
	}
	d->v[d->n].key = *key;
	d->v[d->n++].peer = peer;
	return 0;
}

static size_t end_doomed(struct doomed *d)
{
	for (size_t i = 0; i < d->n; i++)
		forget(d->c, &d->v[i].key, d->v[i].peer);
	free(d->v);
	return d->n;
}

static int find_idle(const void *key, const void *value, void *ctx)
{
	const struct c25_mapping *m = value;
	struct doomed *d = ctx;
	uint64_t last = m->last_seen > m->registered ? m->last_seen : m->registered;

	if (m->peer < C25_MAX_PEERS && d->c->heard[m->peer] > last)
		last = d->c->heard[m->peer];
	return last + MAPPING_IDLE <= d->now ? doom(d, key, m->peer) : 0;
}

/* Warns once, until the table has emptied well below. */
static void check_room(struct connector *c)
{
	uint64_t max = c->deps.config->max_mappings;

	if (c->total < max * 7 / 10)
		c->pressed = false;
	if (c->pressed || c->total < max * 8 / 10)
		return;
	c->pressed = true;
	log_warn("%u of at most %llu mappings (--max-mappings): clients are refused when there is "
		 "no more room",
		 c->total, (unsigned long long)max);
}

static void on_expire(uv_timer_t *t)
{
	struct connector *c = t->data;
	struct doomed d = { .c = c, .now = now_s() };

	maps_each(c->deps.maps, MAP_MAPPINGS, find_idle, &d);
	c->stats.expired += end_doomed(&d);
	check_room(c);
}

/* Whether today's netmap still permits a mapping made under an earlier one. */
static bool permitted(const struct connector *c, const struct c25_mapping_key *key,
		      const struct c25_mapping *m)
{
	const struct netmap_node *peer = netmap_node_by_addr(c->nm, &key->client);
	const char *name = apps_name(c->deps.apps, m->app), *why;
	const struct netmap_app *app = name ? netmap_app_by_name(c->nm, name) : NULL;

	return peer && app && peer != netmap_self(c->nm) && policy_may_use(app, peer) &&
	       policy_serves(app, netmap_self(c->nm)) &&
	       policy_destination(c->nm, app, &m->real, false, &why) &&
	       peers_index(c->deps.peers, peer->id) == m->peer;
}

static int take_up(const void *key, const void *value, void *ctx)
{
	const struct c25_mapping *m = value;
	struct doomed *d = ctx;

	if (m->peer < C25_MAX_PEERS) {
		d->c->held[m->peer]++;
		d->c->total++;
	}
	return permitted(d->c, key, m) ? 0 : doom(d, key, m->peer);
}

/* It is the pins' own, as mappings are lost with them. */
static int read_epoch(struct connector *c)
{
	struct c25_meta meta;
	int err = maps_meta_get(c->deps.maps, &meta);

	if (!err)
		snprintf(c->epoch, sizeof(c->epoch), "%016llx", (unsigned long long)meta.epoch);
	return err;
}

/* Written before mappings are ended, so that also after a crash clients see that some were. */
static int new_epoch(struct connector *c)
{
	struct c25_meta meta;
	int err = maps_meta_get(c->deps.maps, &meta);

	if (!err && getrandom(&meta.epoch, sizeof(meta.epoch), 0) != sizeof(meta.epoch))
		err = -errno;
	if (!err)
		err = maps_meta_put(c->deps.maps, &meta);
	return err ? err : read_epoch(c);
}

/* Counts what is there and ends what is no longer allowed: its clients will register again, and
 * hear that it is not. */
static int recount(struct connector *c)
{
	struct doomed d = { .c = c };
	int err;

	memset(c->held, 0, sizeof(c->held));
	c->total = 0;
	err = maps_each(c->deps.maps, MAP_MAPPINGS, take_up, &d);
	if (d.n && new_epoch(c))
		log_errno(EIO, "write a new epoch: clients learn from packets alone that mappings "
			       "ended");
	c->stats.revoked += end_doomed(&d);
	return err;
}

static int cut_orphans(struct connector *c)
{
	int n = connector_cut_orphans(c->cut);

	if (n > 0)
		log_warn("flows of %d mappings that had ended were cut off", n);
	return n < 0 ? n : 0;
}

static void expire_closed(uv_handle_t *h)
{
	free(h->data);
}

void connector_free(struct connector *c)
{
	if (c->server)
		peerapi_server_free(c->server);
	connector_dns_free(c->dns);
	if (c->cut)
		connector_cut_free(c->cut);
	uv_close((uv_handle_t *)&c->expire, expire_closed);
}

int connector_new(struct connector **out, const struct connector_deps *deps,
		  const struct netmap *nm)
{
	_cleanup_(connector) struct connector *c = calloc(1, sizeof(*c));
	uint64_t now = now_s();
	int err;

	if (!c)
		return log_errno(ENOMEM, "start the connector");
	c->deps = *deps;
	c->nm = nm;
	uv_timer_init(deps->loop, &c->expire);
	c->expire.data = c;
	uv_timer_start(&c->expire, on_expire, EXPIRE_MS, EXPIRE_MS);
	/* Nobody could be heard while there was no daemon to hear. */
	for (size_t i = 0; i < C25_MAX_PEERS; i++)
		c->heard[i] = now;
	err = connector_cut_new(&c->cut, deps->loop, deps->maps, deps->datapath);
	if (!err)
		err = read_epoch(c);
	if (!err)
		err = recount(c);
	if (!err)
		err = cut_orphans(c);
	if (!err)
		err = connector_dns_new(&c->dns, deps->loop, &deps->config->dns_upstream, nm);
	if (!err)
		err = peerapi_server_new(&c->server, deps->loop, deps->tls, &server_ops, c);
	if (err)
		return log_errno(-err, "start the connector");
	if (c->total)
		log_info("%u mappings taken up from the pinned maps", c->total);
	*out = TAKE_PTR(c);
	return 0;
}

static int listen_on(struct connector *c, size_t i, const struct sockaddr *sa)
{
	char text[SOCK_STRLEN];
	int err;

	if (c->listens & 1U << i)
		return 0;
	err = peerapi_server_listen(c->server, sa);
	if (!err) {
		c->listens |= 1U << i;
		log_info("peer API on %s", sock_print(text, sa));
	} else if (!(c->listen_failed & 1U << i)) {
		c->listen_failed |= 1U << i;
		log_errno(-err, "listen for peers on %s (--peerapi-listen)", sock_print(text, sa));
	}
	return err;
}

int connector_listen(struct connector *c, const struct config_socks *socks)
{
	const struct netmap_node *self = netmap_self(c->nm);
	const struct c25_addr *own[] = { &self->overlay4, &self->overlay6 };
	size_t n = socks->n ? socks->n : ARRAY_SIZE(own);
	int err = 0;

	for (size_t i = 0; i < n; i++) {
		struct sockaddr_storage ss;
		int failed;

		if (!socks->n && addr_is_zero(own[i]))
			continue;
		ss = socks->n ? socks->v[i] : sock_make(own[i], PEERAPI_PORT);
		failed = listen_on(c, i, (const struct sockaddr *)&ss);
		err = err ?: failed;
	}
	return err;
}

void connector_reload(struct connector *c, const struct netmap *nm)
{
	c->nm = nm;
	if (connector_dns_reload(c->dns, nm))
		log_errno(ENOMEM, "take up the apps' names");
	recount(c);
}

const struct connector_stats *connector_stats(const struct connector *c)
{
	return &c->stats;
}
