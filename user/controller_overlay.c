/* SPDX-License-Identifier: BSD-3-Clause */
/* controller_overlay: what the overlay must carry: the netmap's, and leases that outlive it. */
#include "controller_int.h"
#include "log.h"
#include "wg_want.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct keep {
	struct prefix *v;
	size_t n, size;
	struct c25_addr *magic;
	size_t n_magic;
	const struct netmap *nm;
};

static bool in_pools(const struct netmap *nm, const struct c25_addr *a)
{
	const struct netmap_ranges *p = &nm->pools[addr_is4(a) ? NETMAP_V4_MAGIC : NETMAP_V6_MAGIC];

	for (size_t i = 0; i < p->n; i++)
		if (range_covers(&p->v[i], a))
			return true;
	return false;
}

static int keep_prefix(const struct prefix *p, void *ctx)
{
	struct keep *k = ctx;

	if (k->n == k->size) {
		size_t size = k->size ? 2 * k->size : 16;
		void *more = reallocarray(k->v, size, sizeof(*k->v));

		if (!more)
			return -ENOMEM;
		k->v = more;
		k->size = size;
	}
	k->v[k->n++] = *p;
	return 0;
}

static int keep_lease(struct lease *l, void *ctx)
{
	struct keep *k = ctx;

	if (!in_pools(k->nm, &l->magic))
		k->magic[k->n_magic++] = l->magic;
	return 0;
}

static int addr_order(const void *a, const void *b)
{
	return addr_cmp(a, b);
}

/* Magic addresses of leases that outlive their pool, as few prefixes. */
static int find_kept(struct controller *c, struct keep *k)
{
	struct lease_table *leases = client_leases(c->client);
	int err = 0;

	k->magic = calloc(lease_count(leases) + 1, sizeof(*k->magic));
	if (!k->magic)
		return -ENOMEM;
	lease_each(leases, keep_lease, k);
	qsort(k->magic, k->n_magic, sizeof(*k->magic), addr_order);
	for (size_t i = 0; i < k->n_magic && !err;) {
		struct range r = { .from = k->magic[i], .to = k->magic[i] };
		struct c25_addr next;

		for (i++; i < k->n_magic && !addr_add(&next, &r.to, 1) &&
			  addr_equal(&next, &k->magic[i]);
		     i++)
			r.to = next;
		err = range_to_prefixes(&r, keep_prefix, k);
	}
	return err;
}

int controller_sync_overlay(struct controller *c, const struct netmap *nm)
{
	struct keep keep = { .nm = nm };
	int err = 0;

	if (c->client)
		err = find_kept(c, &keep);
	if (!err)
		err = overlay_sync(c->overlay, nm, keep.v, keep.n);
	free(keep.magic);
	free(keep.v);
	return err;
}

static uint32_t via(const struct controller *c, const struct netmap *nm, bool is4)
{
	struct c25_addr hop = overlay_next_hop(c->overlay, nm, is4);
	const struct netmap_node *node = netmap_node_by_addr(nm, &hop);

	return addr_is_zero(&hop) || !node ? C25_PEER_NONE : peers_index(c->peers, node->id);
}

/* While routes are changed nobody's frames go unredirected. */
int controller_forget_via(struct controller *c)
{
	/* A daemon before this one wrote it. */
	if (!c->overlay_record.ifindex && maps_overlay_get(&c->maps, &c->overlay_record))
		return 0;
	c->overlay_record.via4 = C25_PEER_NONE;
	c->overlay_record.via6 = C25_PEER_NONE;
	return maps_overlay_put(&c->maps, &c->overlay_record);
}

void controller_leave_wireguard(struct controller *c)
{
	int n = wg_want_nothing(&c->maps);

	if (n < 0)
		log_warn("take transit addresses away from the WireGuard device: %s", strerror(-n));
}

/* A daemon before this one may have used another device. */
static void leave_other(struct controller *c, const struct c25_overlay *now)
{
	struct c25_overlay before;

	if (!maps_overlay_get(&c->maps, &before) && before.wireguard &&
	    (!now->wireguard || before.ifindex != now->ifindex))
		controller_leave_wireguard(c);
}

int controller_write_overlay(struct controller *c, const struct netmap *nm)
{
	const struct netlink_link *link = overlay_link(c->overlay);
	const struct netmap_node *self = netmap_self(nm);
	struct c25_overlay o = {
		.addr4 = self->overlay4,
		.addr6 = self->overlay6,
		.ifindex = link->ifindex,
		.mtu = link->mtu,
		.vni = c->config->vxlan_vni,
		.via4 = via(c, nm, true),
		.via6 = via(c, nm, false),
		.l2 = link->l2,
		.wireguard = c->config->overlay == OVERLAY_WIREGUARD,
	};

	if (addr_is4(&self->underlay))
		o.underlay4 = self->underlay;
	else
		o.underlay6 = self->underlay;
	memcpy(o.mac, link->mac, sizeof(o.mac));
	leave_other(c, &o);
	c->overlay_record = o;
	return maps_overlay_put(&c->maps, &o);
}
