/* SPDX-License-Identifier: BSD-3-Clause */
#include "log.h"
#include "overlay_mode.h"
#include "policy.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

struct route_list {
	struct netlink_route *v;
	size_t n, size;
};

struct rule_list {
	struct prefix *v;
	size_t n, size;
};

/* What the kernel has, or what it is to have. */
struct routing {
	struct route_list routes;
	struct rule_list rules;
	/* While building: */
	struct netlink_route magic; /* what magic routes have in common */
	bool keyed_peers;
};

static void routing_clear(struct routing *r)
{
	free(r->routes.v);
	free(r->rules.v);
}

#define LIST_ADD(list, item)                                                                       \
	({                                                                                         \
		int err_ = 0;                                                                      \
		if ((list)->n == (list)->size) {                                                   \
			size_t size_ = (list)->size ? 2 * (list)->size : 64;                       \
			void *v_ = reallocarray((list)->v, size_, sizeof(*(list)->v));             \
			if (v_) {                                                                  \
				(list)->v = v_;                                                    \
				(list)->size = size_;                                              \
			} else {                                                                   \
				err_ = -ENOMEM;                                                    \
			}                                                                          \
		}                                                                                  \
		if (!err_)                                                                         \
			(list)->v[(list)->n++] = (item);                                           \
		err_;                                                                              \
	})

static int prefix_order(const void *pa, const void *pb)
{
	const struct prefix *a = pa, *b = pb;
	int c = addr_cmp(&a->addr, &b->addr);

	return c ? c : a->len - b->len;
}

static int route_order(const void *pa, const void *pb)
{
	const struct netlink_route *a = pa, *b = pb;

	return prefix_order(&a->dst, &b->dst);
}

static bool route_same(const struct netlink_route *want, const struct netlink_route *have)
{
	if (want->type != have->type)
		return false;
	/* IPv6 hangs what is unreachable on the loopback device. */
	if (want->type != RTN_UNICAST)
		return true;
	return want->ifindex == have->ifindex && want->onlink == have->onlink &&
	       addr_equal(&want->via, &have->via) && addr_equal(&want->src, &have->src);
}

/* Rules to everything cannot be told apart when deleted (netlink.h): two halves instead. */
static int rule_want(struct routing *r, const struct prefix *to)
{
	uint8_t shortest = prefix_is4(to) ? 96 : 0;
	struct prefix half = { .addr = to->addr, .len = shortest + 1 };
	int err;

	if (to->len > shortest)
		return LIST_ADD(&r->rules, *to);
	err = LIST_ADD(&r->rules, half);
	half.addr.b[shortest / 8] |= 0x80;
	return err ? err : LIST_ADD(&r->rules, half);
}

/*
 * The first address of an on-link IPv6 prefix means "any router" (RFC 4291, 2.6.1), and the kernel
 * sends no ICMP error to it: it needs a route of its own, to be a host's like the others.
 */
static bool first_is_anycast(const struct netlink_route *route)
{
	return !prefix_is4(&route->dst) && route->dst.len < 127 && route->type == RTN_UNICAST &&
	       addr_is_zero(&route->via);
}

static int magic_want(const struct prefix *p, void *ctx)
{
	struct routing *r = ctx;
	struct netlink_route route = r->magic;
	int err;

	route.dst = *p;
	err = LIST_ADD(&r->routes, route);
	if (!err && first_is_anycast(&route)) {
		route.dst.len = 128;
		err = LIST_ADD(&r->routes, route);
	}
	return err ? err : rule_want(r, p);
}

/* The smallest prefix that covers both. */
static void prefix_widen(struct prefix *p, const struct c25_addr *a)
{
	uint8_t len = 0;

	while (len < p->len && !((p->addr.b[len / 8] ^ a->b[len / 8]) & (0x80 >> (len & 7))))
		len++;
	for (unsigned bit = len; bit < 128; bit++)
		p->addr.b[bit / 8] &= (uint8_t) ~(0x80 >> (bit & 7));
	p->len = len;
}

/* One route a peer, but one rule for all: what the table does not hold falls through. */
static int peers_want(struct routing *r, const struct netmap *nm, bool is4,
		      const struct netlink_route *like)
{
	const struct netmap_node *self = netmap_self(nm);
	struct prefix cover = { 0 };
	bool any = false;

	for (size_t i = 0; i < nm->n_nodes; i++) {
		const struct c25_addr *a = overlay_node_addr(&nm->nodes[i], is4);
		struct netlink_route route = *like;
		int err;

		if (&nm->nodes[i] == self || addr_is_zero(a) ||
		    (r->keyed_peers && !nm->nodes[i].wireguard_key))
			continue;
		route.dst = (struct prefix){ .addr = *a, .len = 128 };
		err = LIST_ADD(&r->routes, route);
		if (err)
			return err;
		if (!any)
			cover = route.dst;
		else
			prefix_widen(&cover, a);
		any = true;
	}
	return any ? rule_want(r, &cover) : 0;
}

/* What all our routes of one family share; the source only once the host has that address. */
static struct netlink_route route_base(struct overlay *o, const struct netmap_node *self, bool is4)
{
	const struct c25_addr *own = overlay_node_addr(self, is4);
	struct netlink_route base = {
		.ifindex = o->link.ifindex,
		.table = NETLINK_TABLE,
		.proto = NETLINK_PROTO,
		.type = RTN_UNICAST,
	};

	if (!addr_is_zero(own) && overlay_host_has(o, own) == 1)
		base.src = *own;
	return base;
}

static int magics_want(struct overlay *o, struct routing *r, const struct netmap *nm, bool is4,
		       struct netlink_route base, const struct prefix *keep, size_t n_keep)
{
	const struct netmap_ranges *pool = &nm->pools[is4 ? NETMAP_V4_MAGIC : NETMAP_V6_MAGIC];
	int err;

	/* Without anyone to send to, magic addresses must not leak out of the default route. */
	if (o->ops->next_hop(o, nm, is4, &base.via)) {
		base.type = RTN_UNREACHABLE;
		base.ifindex = 0;
		memset(&base.src, 0, sizeof(base.src));
	}
	base.onlink = !addr_is_zero(&base.via);
	r->magic = base;
	for (size_t i = 0; i < pool->n; i++) {
		err = range_to_prefixes(&pool->v[i], magic_want, r);
		if (err)
			return err;
	}
	for (size_t i = 0; i < n_keep; i++) {
		err = prefix_is4(&keep[i]) == is4 ? magic_want(&keep[i], r) : 0;
		if (err)
			return err;
	}
	return 0;
}

/* Sorted, and each once. */
static void routing_sort(struct routing *r)
{
	size_t n = 0;

	if (r->routes.n)
		qsort(r->routes.v, r->routes.n, sizeof(*r->routes.v), route_order);
	for (size_t i = 0; i < r->routes.n; i++)
		if (!n || route_order(&r->routes.v[n - 1], &r->routes.v[i]) != 0)
			r->routes.v[n++] = r->routes.v[i];
	r->routes.n = n;
	if (r->rules.n)
		qsort(r->rules.v, r->rules.n, sizeof(*r->rules.v), prefix_order);
	n = 0;
	for (size_t i = 0; i < r->rules.n; i++)
		if (!n || prefix_order(&r->rules.v[n - 1], &r->rules.v[i]) != 0)
			r->rules.v[n++] = r->rules.v[i];
	r->rules.n = n;
}

/* A node that may use no app has no packets to magic addresses. */
static bool is_client(const struct netmap *nm)
{
	for (size_t i = 0; i < nm->n_apps; i++)
		if (policy_may_use(&nm->apps[i], netmap_self(nm)))
			return true;
	return false;
}

static int routing_want(struct overlay *o, struct routing *r, const struct netmap *nm,
			const struct prefix *keep, size_t n_keep)
{
	const struct netmap_node *self = netmap_self(nm);
	int err = 0;

	r->keyed_peers = o->ops->keyed_peers;
	for (int is4 = 1; !err && is4 >= 0; is4--) {
		struct netlink_route base = route_base(o, self, is4);

		if (o->ops->routes_peers)
			err = peers_want(r, nm, is4, &base);
		if (!err && (n_keep || is_client(nm)))
			err = magics_want(o, r, nm, is4, base, keep, n_keep);
	}
	routing_sort(r);
	return err;
}

static int route_have(const struct netlink_route *route, void *ctx)
{
	struct routing *r = ctx;

	return route->proto == NETLINK_PROTO ? LIST_ADD(&r->routes, *route) : 0;
}

static int rule_have(const struct prefix *to, void *ctx)
{
	struct routing *r = ctx;

	return LIST_ADD(&r->rules, *to);
}

/* Logs the first failure of a kind only: with thousands of peers the rest fail alike. */
static void sync_failed(const struct overlay *o, int *first, int err, const char *what,
			const struct prefix *p)
{
	char text[PREFIX_STRLEN];

	if (!*first)
		log_error("%s %s: %s", what, prefix_print(text, p), overlay_reason(o, err));
	*first = *first ?: err;
}

/* A host without IPv6 carries on with IPv4. */
static bool no_ipv6(struct overlay *o, int err, const struct prefix *p)
{
	if (prefix_is4(p) || (err != -EAFNOSUPPORT && err != -EOPNOTSUPP && err != -EACCES))
		return false;
	overlay_warn_once(o, "IPv6 is off on this host: going on without its routes");
	return true;
}

static int routing_add(struct overlay *o, const struct routing *want, const struct routing *have)
{
	int first = 0;

	for (size_t i = 0; i < want->routes.n; i++) {
		const struct netlink_route *w = &want->routes.v[i], *h;
		int err = 0;

		h = have->routes.n ?
			    bsearch(w, have->routes.v, have->routes.n, sizeof(*w), route_order) :
			    NULL;
		if (!h || !route_same(w, h))
			err = netlink_route_put(o->nl, w);
		if (err && !no_ipv6(o, err, &w->dst))
			sync_failed(o, &first, err, "add route to", &w->dst);
	}
	for (size_t i = 0; i < want->rules.n; i++) {
		const struct prefix *w = &want->rules.v[i];
		int err = 0;

		if (!have->rules.n ||
		    !bsearch(w, have->rules.v, have->rules.n, sizeof(*w), prefix_order))
			err = netlink_rule_put(o->nl, w);
		if (err && !no_ipv6(o, err, w))
			sync_failed(o, &first, err, "add rule to", w);
	}
	return first;
}

static int routing_remove(struct overlay *o, const struct routing *want, const struct routing *have)
{
	int first = 0;

	for (size_t i = 0; i < have->rules.n; i++) {
		const struct prefix *h = &have->rules.v[i];
		int err;

		if (want->rules.n &&
		    bsearch(h, want->rules.v, want->rules.n, sizeof(*h), prefix_order))
			continue;
		err = netlink_rule_del(o->nl, h);
		if (err && err != -ENOENT)
			sync_failed(o, &first, err, "remove rule to", h);
	}
	for (size_t i = 0; i < have->routes.n; i++) {
		const struct netlink_route *h = &have->routes.v[i];
		int err;

		if (want->routes.n &&
		    bsearch(h, want->routes.v, want->routes.n, sizeof(*h), route_order))
			continue;
		err = netlink_route_del(o->nl, h);
		if (err && err != -ESRCH)
			sync_failed(o, &first, err, "remove route to", &h->dst);
	}
	return first;
}

int overlay_route_sync(struct overlay *o, const struct netmap *nm, const struct prefix *keep,
		       size_t n_keep)
{
	__attribute__((cleanup(routing_clear))) struct routing want = { 0 };
	__attribute__((cleanup(routing_clear))) struct routing have = { 0 };
	int err, also;

	err = routing_want(o, &want, nm, keep, n_keep);
	if (err)
		return log_errno(-err, "plan the overlay's routes");
	err = netlink_table_each(o->nl, NETLINK_TABLE, route_have, &have);
	if (!err)
		err = netlink_rule_each(o->nl, rule_have, &have);
	if (err) {
		log_error("list the overlay's routes: %s", overlay_reason(o, err));
		return err;
	}
	routing_sort(&have);
	/* First what is missing, then what is stale, so that no packet falls between. */
	err = routing_add(o, &want, &have);
	also = routing_remove(o, &want, &have);
	return err ? err : also;
}
