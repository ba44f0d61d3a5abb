/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * overlay_neigh: neighbour entries of the connectors, where they are reached over Ethernet.
 *
 * A frame that is redirected to a neighbour not yet resolved waits in the kernel, which sends it
 * to the route's next hop instead once it is: so every connector's entry is kept resolved, and
 * magic routes go via one that answers.
 */
#include "log.h"
#include "overlay_mode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct hop {
	struct c25_addr addr;
	bool kept; /* by us, or it is somebody else's to keep */
	bool resolved;
};

struct hops {
	struct overlay *o;
	struct hop *v; /* sorted */
	size_t n;
};

static void hops_clear(struct hops *h)
{
	free(h->v);
}

static int hop_order(const void *a, const void *b)
{
	return addr_cmp(&((const struct hop *)a)->addr, &((const struct hop *)b)->addr);
}

static int hops_want(struct hops *h, const struct netmap *nm)
{
	const struct netmap_node *self = netmap_self(nm);

	h->v = calloc(2 * nm->n_nodes + 1, sizeof(*h->v));
	if (!h->v)
		return -ENOMEM;
	for (size_t i = 0; i < nm->n_nodes; i++) {
		const struct netmap_node *n = &nm->nodes[i];

		if (n == self || !n->connector)
			continue;
		if (!addr_is_zero(&n->overlay4))
			h->v[h->n++].addr = n->overlay4;
		if (!addr_is_zero(&n->overlay6))
			h->v[h->n++].addr = n->overlay6;
	}
	qsort(h->v, h->n, sizeof(*h->v), hop_order);
	return 0;
}

static struct hop *hop_find(const struct hops *h, const struct c25_addr *a)
{
	struct hop like = { .addr = *a };

	return h->n ? bsearch(&like, h->v, h->n, sizeof(like), hop_order) : NULL;
}

static int hop_look(const struct netlink_neigh *n, void *ctx)
{
	const struct hops *h = ctx;
	struct hop *hop = n->ifindex == h->o->link.ifindex ? hop_find(h, &n->addr) : NULL;

	if (!hop)
		return 0;
	hop->kept = n->fixed || n->proto;
	hop->resolved = n->resolved;
	return 0;
}

/* Those of connectors that left the netmap, and of another --dev or --overlay before. */
static int hop_sweep(const struct netlink_neigh *n, void *ctx)
{
	const struct hops *h = ctx;

	if (n->proto != NETLINK_PROTO || n->fixed ||
	    (n->ifindex == h->o->link.ifindex && hop_find(h, &n->addr)))
		return hop_look(n, ctx);
	netlink_neigh_del(h->o->nl, n->ifindex, &n->addr);
	return 0;
}

static void hops_keep(struct hops *h)
{
	for (size_t i = 0; i < h->n; i++) {
		char text[ADDR_STRLEN];
		int err = 0;

		if (!h->v[i].kept)
			err = netlink_neigh_keep(h->o->nl, h->o->link.ifindex, &h->v[i].addr);
		if (err && err != -EAFNOSUPPORT && err != -EOPNOTSUPP)
			overlay_warn_once(h->o, "keep neighbour %s of %s resolved: %s",
					  addr_print(text, &h->v[i].addr), h->o->dev,
					  overlay_reason(h->o, err));
	}
}

/* The better a next hop, the more; 0: none at all. IPv6 has no next hops of IPv4. */
static unsigned hop_worth(const struct hops *h, const struct c25_addr *a, bool is4)
{
	const struct hop *hop = addr_is_zero(a) ? NULL : hop_find(h, a);

	if (!hop || (!is4 && addr_is4(a)))
		return 0;
	return 1 + addr_equal(a, &h->o->via[is4]) + 2U * (addr_is4(a) == is4) + 4U * hop->resolved;
}

/* Of equals the first in the netmap. */
static struct c25_addr hops_choose(const struct hops *h, const struct netmap *nm, bool is4)
{
	struct c25_addr best = { 0 };
	unsigned worth = 0;

	for (size_t i = 0; i < 2 * nm->n_nodes; i++) {
		const struct c25_addr *a = overlay_node_addr(&nm->nodes[i / 2], !(i & 1));
		unsigned w = hop_worth(h, a, is4);

		if (w > worth) {
			worth = w;
			best = *a;
		}
	}
	return best;
}

static int hops_open(struct hops *h, const struct netmap *nm,
		     int (*each)(const struct netlink_neigh *n, void *ctx))
{
	bool used = h->o->ops->neighbours && h->o->link.l2;
	int err = used ? hops_want(h, nm) : 0;

	return err ? err : netlink_neigh_each(h->o->nl, 0, each, h);
}

int overlay_neigh_sync(struct overlay *o, const struct netmap *nm)
{
	__attribute__((cleanup(hops_clear))) struct hops h = { .o = o };
	bool used = o->ops->neighbours && o->link.l2;
	int err;

	/* Others have none to keep, but those of an earlier run may be there. */
	if (!used && o->neigh_synced)
		return 0;
	if (used && !o->neigh_synced) {
		err = netlink_watch_neigh(o->nl);
		if (err)
			return log_errno(-err, "watch the neighbours");
	}
	err = hops_open(&h, nm, hop_sweep);
	if (err)
		return log_errno(-err, "list the neighbours of %s", o->dev);
	o->neigh_synced = true;
	hops_keep(&h);
	for (int is4 = 0; is4 <= 1; is4++)
		o->via[is4] = hops_choose(&h, nm, is4);
	return 0;
}

bool overlay_neigh_stale(struct overlay *o, const struct netmap *nm)
{
	__attribute__((cleanup(hops_clear))) struct hops h = { .o = o };
	bool stale = false;

	if (!o->link.up || hops_open(&h, nm, hop_look))
		return false;
	for (size_t i = 0; i < h.n; i++)
		stale |= !h.v[i].kept;
	for (int is4 = 0; is4 <= 1 && !stale; is4++) {
		struct c25_addr via = hops_choose(&h, nm, is4);

		stale = !addr_equal(&via, &o->via[is4]);
	}
	return stale;
}
