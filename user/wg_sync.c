/* SPDX-License-Identifier: BSD-3-Clause */
#include "wg_sync.h"

#include "log.h"
#include "wg_plan.h"
#include "wg_want.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_MS    2000 /* patience with the device at the start */
#define PATIENCE_MS 5000 /* and later, when nobody waits */
#define RETRY_MS    1000
#define PERIOD_MS   5000
#define PERIOD_MOST 60000
#define COST        100 /* times as long as the comparison took: 1 % of the time at most */
#define AT_ONCE     512 /* changes in one turn of the loop */

struct wg_sync {
	uv_loop_t *loop;
	const struct maps *maps;
	const struct netmap *nm;
	const struct peers *peers;
	struct wg_device dev;
	uint32_t ifindex;
	uv_timer_t timer; /* next comparison; while one is under way, the end of patience */
	uv_timer_t soon;  /* changes of the next turn */
	uv_poll_t *poll;  /* while reading */
	struct wg_get *get;
	struct wg_view view;
	uint64_t started;
	struct wg_keys keys;   /* the device's peers as last read, sorted */
	struct wg_places plan; /* numbers are those of `keys` */
	size_t planned;        /* of them done */
	struct wg_places dropped;
	uint64_t busy_until; /* the device did not answer: not asked before */
	bool failing;
	bool thorough;  /* records of ended leases are to be looked at too */
	char told[256]; /* of peers that are missing */
};

/* A connector's key as the netmap has it, or -ENOKEY. */
static int key_of(const struct wg_sync *s, uint32_t connector, struct wg_key *out)
{
	const char *id = peers_id(s->peers, connector);
	const struct netmap_node *n = id ? netmap_node_by_id(s->nm, id) : NULL;

	return n && n->wireguard_key && !wg_key_parse(out, n->wireguard_key) ? 0 : -ENOKEY;
}

/* Its number on the device, or WG_NOBODY. */
static uint32_t place_of(uint32_t connector, const void *ctx)
{
	const struct wg_sync *s = ctx;
	const struct wg_view view = { .keys = s->keys };
	struct wg_key key;

	return key_of(s, connector, &key) ? WG_NOBODY : wg_view_peer(&view, &key);
}

/* Reading the device. */

static void closed_free(uv_handle_t *h)
{
	free(h);
}

static void reading_stop(struct wg_sync *s)
{
	if (s->poll) {
		uv_poll_stop(s->poll);
		uv_close((uv_handle_t *)s->poll, closed_free);
		s->poll = NULL;
	}
	if (s->get)
		wg_get_free(s->get);
	s->get = NULL;
}

static void on_timer(uv_timer_t *t);

static void compare_in(struct wg_sync *s, uint64_t ms)
{
	uv_timer_start(&s->timer, on_timer, ms, 0);
}

/* Told once, until it answers again. */
static void failed(struct wg_sync *s, int err)
{
	reading_stop(s);
	wg_view_clear(&s->view);
	if (!s->failing)
		log_warn("WireGuard device %s cannot be read or changed: %s; its allowed IPs are "
			 "kept up again once it answers",
			 s->dev.name, strerror(-err));
	s->failing = true;
	compare_in(s, RETRY_MS);
}

/* Changing it. */

static int change(struct wg_sync *s, const struct wg_change *v, size_t n)
{
	int err;

	if (!n)
		return 0;
	if (uv_now(s->loop) < s->busy_until)
		return -ETIMEDOUT;
	/* A device that is being read keeps everyone else waiting until it has told all. */
	if (s->get) {
		reading_stop(s);
		compare_in(s, RETRY_MS);
	}
	err = wg_set(&s->dev, v, n);
	if (!err)
		return 0;
	s->busy_until = uv_now(s->loop) + RETRY_MS;
	failed(s, err);
	return err;
}

/* Only what is still so: mappings may have come, gone or moved since it was planned. */
static uint32_t place_now(const struct wg_sync *s, const struct c25_addr *a)
{
	struct c25_transit t;

	return maps_transit_get(s->maps, a, &t) ? WG_NOBODY : place_of(t.peer, s);
}

static void apply(struct wg_sync *s, const struct wg_place *v, size_t n)
{
	struct wg_change changes[AT_ONCE];
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		struct wg_change *c = &changes[used];

		if (place_now(s, &v[i].addr) != v[i].peer)
			continue;
		*c = (struct wg_change){ .addr = v[i].addr, .nobody = v[i].peer == WG_NOBODY };
		if (!c->nobody)
			c->peer = s->keys.v[v[i].peer];
		used++;
	}
	if (change(s, changes, used)) {
		s->thorough = true;
		s->planned = s->plan.n;
		s->dropped.n = 0;
	}
}

static void on_soon(uv_timer_t *t)
{
	struct wg_sync *s = t->data;
	size_t n;

	if (s->dropped.n) {
		n = s->dropped.n < AT_ONCE ? s->dropped.n : AT_ONCE;
		s->dropped.n -= n;
		apply(s, s->dropped.v + s->dropped.n, n);
	} else if (s->planned < s->plan.n) {
		n = s->plan.n - s->planned < AT_ONCE ? s->plan.n - s->planned : AT_ONCE;
		s->planned += n;
		apply(s, s->plan.v + s->planned - n, n);
	}
	if (s->dropped.n || s->planned < s->plan.n)
		uv_timer_start(&s->soon, on_soon, 0, 0);
}

/* Comparing. */

/* Connectors that cannot be reached over this device, told when they are others than before. */
static bool tell_missing(struct wg_sync *s)
{
	const struct wg_view view = { .keys = s->keys };
	const struct netmap_node *self = netmap_self(s->nm);
	char text[sizeof(s->told)] = "";
	size_t len = 0;

	for (size_t i = 0; i < s->nm->n_nodes && len < sizeof(text); i++) {
		const struct netmap_node *n = &s->nm->nodes[i];
		struct wg_key key;

		if (n == self || !n->connector)
			continue;
		if (!n->wireguard_key || wg_key_parse(&key, n->wireguard_key))
			len += (size_t)snprintf(text + len, sizeof(text) - len,
						"%s%s (no wireguardKey in the netmap)",
						len ? ", " : "", n->id);
		else if (wg_view_peer(&view, &key) == WG_NOBODY)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
						"%s%s (no such peer on it)", len ? ", " : "",
						n->id);
	}
	if (strcmp(text, s->told) != 0) {
		memcpy(s->told, text, sizeof(text));
		if (len)
			log_warn("connectors not reached over WireGuard device %s: %s", s->dev.name,
				 text);
		else
			log_info("all connectors are peers of WireGuard device %s", s->dev.name);
	}
	return len;
}

static int view_take_over(struct wg_sync *s)
{
	int err = wg_view_finish(&s->view);

	if (err)
		return err;
	wg_keys_clear(&s->keys);
	s->keys = s->view.keys;
	s->view.keys = (struct wg_keys){ 0 };
	wg_places_clear(&s->plan);
	s->planned = 0;
	err = wg_want_plan(&s->plan, &s->view.have, s->maps, s->nm, s->thorough, place_of, s);
	if (!err)
		s->thorough = false;
	return err;
}

static int compared(struct wg_sync *s)
{
	int err = view_take_over(s);
	uint64_t cost, next;
	size_t away = 0;
	bool missing;

	wg_view_clear(&s->view);
	if (err)
		return err;
	if (s->failing)
		log_info("WireGuard device %s answers again", s->dev.name);
	s->failing = false;
	for (size_t i = 0; i < s->plan.n; i++)
		away += s->plan.v[i].peer == WG_NOBODY;
	if (s->plan.n)
		log_info("WireGuard device %s: %zu transit addresses are added to allowed IPs, %zu "
			 "taken away",
			 s->dev.name, s->plan.n - away, away);
	missing = tell_missing(s);
	uv_timer_start(&s->soon, on_soon, 0, 0);
	cost = (uv_hrtime() - s->started) / 1000000 * COST;
	next = missing ? RETRY_MS : PERIOD_MS;
	if (cost > next)
		next = cost < PERIOD_MOST ? cost : PERIOD_MOST;
	compare_in(s, next);
	return 0;
}

static void on_readable(uv_poll_t *p, int status, int events)
{
	struct wg_sync *s = p->data;
	int done = wg_get_read(s->get);

	if (!done)
		return;
	reading_stop(s);
	if (done == -EAGAIN) {
		wg_view_clear(&s->view);
		compare_in(s, RETRY_MS);
		return;
	}
	if (done > 0)
		done = compared(s);
	if (done < 0)
		failed(s, done);
}

static int reading_start(struct wg_sync *s)
{
	int err;

	wg_view_clear(&s->view);
	s->started = uv_hrtime();
	err = wg_get_start(&s->get, &s->dev, wg_view_take, &s->view);
	if (err)
		return err;
	s->poll = calloc(1, sizeof(*s->poll));
	if (!s->poll)
		return -ENOMEM;
	err = uv_poll_init(s->loop, s->poll, wg_get_fd(s->get));
	if (err) {
		free(s->poll);
		s->poll = NULL;
		return err;
	}
	s->poll->data = s;
	return uv_poll_start(s->poll, UV_READABLE, on_readable);
}

static void on_timer(uv_timer_t *t)
{
	struct wg_sync *s = t->data;
	int err;

	if (s->get) {
		failed(s, -ETIMEDOUT);
		return;
	}
	/* The plan before is not carried out yet. */
	if (s->planned < s->plan.n) {
		compare_in(s, RETRY_MS);
		return;
	}
	err = reading_start(s);
	if (err)
		failed(s, err);
	else
		compare_in(s, PATIENCE_MS);
}

static int read_now(struct wg_sync *s)
{
	int err;

	s->started = uv_hrtime();
	err = wg_get_start(&s->get, &s->dev, wg_view_take, &s->view);
	if (!err)
		err = wg_get_wait(s->get, FIRST_MS);
	reading_stop(s);
	return err ? err : compared(s);
}

int wg_sync_device(struct wg_sync *s, const struct netlink_link *link)
{
	bool first = !s->ifindex;
	int err;

	if (s->ifindex == link->ifindex)
		return 0;
	reading_stop(s);
	s->ifindex = link->ifindex;
	memcpy(s->dev.name, link->name, sizeof(s->dev.name));
	s->dev.kernel = !strcmp(link->kind, "wireguard");
	s->busy_until = 0;
	if (!first) {
		compare_in(s, 0);
		return 0;
	}
	err = read_now(s);
	if (err == -ENOENT || err == -ECONNREFUSED)
		log_error("device %s is no WireGuard device: the kernel does not know it as one, "
			  "and nobody listens on " WG_SOCKET_DIR "/%s.sock; name the right one "
			  "with "
			  "--dev, or start wireguard-go for it",
			  s->dev.name, s->dev.name);
	else if (err)
		log_error("read WireGuard device %s: %s", s->dev.name, strerror(-err));
	return err;
}

void wg_sync_netmap(struct wg_sync *s, const struct netmap *nm, const struct peers *peers)
{
	bool later = s->nm && s->ifindex;

	s->nm = nm;
	s->peers = peers;
	s->thorough = true;
	if (later && !s->get)
		compare_in(s, 0);
}

/* Around mappings. */

int wg_sync_carry(struct wg_sync *s, const struct c25_addr *transit, size_t n, uint32_t connector)
{
	_cleanup_free_ struct wg_change *v = calloc(n + 1, sizeof(*v));
	uint32_t place = place_of(connector, s);
	size_t used = 0;
	struct c25_transit t;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (maps_transit_get(s->maps, &transit[i], &t) || t.peer != connector)
			v[used++].addr = transit[i];
	if (!used)
		return 0;
	if (place == WG_NOBODY)
		return -ENOKEY; /* tell_missing() said so */
	for (size_t i = 0; i < used; i++)
		v[i].peer = s->keys.v[place];
	return change(s, v, used);
}

void wg_sync_check(struct wg_sync *s, const struct c25_addr *transit, size_t n, uint32_t connector)
{
	struct c25_transit t;

	for (size_t i = 0; i < n; i++) {
		if (!maps_transit_get(s->maps, &transit[i], &t) && t.peer == connector)
			continue;
		reading_stop(s);
		compare_in(s, 0);
		return;
	}
}

void wg_sync_drop(struct wg_sync *s, const struct c25_addr *transit)
{
	if (wg_places_add(&s->dropped, transit, WG_NOBODY))
		s->thorough = true; /* the next comparison finds it */
	uv_timer_start(&s->soon, on_soon, 0, 0);
}

/* Life. */

int wg_sync_new(struct wg_sync **out, uv_loop_t *loop, const struct maps *maps)
{
	struct wg_sync *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->maps = maps;
	s->thorough = true;
	uv_timer_init(loop, &s->timer);
	uv_timer_init(loop, &s->soon);
	s->timer.data = s->soon.data = s;
	*out = s;
	return 0;
}

static void timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void soon_closed(uv_handle_t *h)
{
	struct wg_sync *s = h->data;

	uv_close((uv_handle_t *)&s->timer, timer_closed);
}

void wg_sync_free(struct wg_sync *s)
{
	reading_stop(s);
	wg_view_clear(&s->view);
	wg_keys_clear(&s->keys);
	wg_places_clear(&s->plan);
	wg_places_clear(&s->dropped);
	uv_timer_stop(&s->timer);
	uv_close((uv_handle_t *)&s->soon, soon_closed);
}
