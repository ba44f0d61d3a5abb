/* SPDX-License-Identifier: BSD-3-Clause */
#include "log.h"
#include "overlay_mode.h"

#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

static const char *const pool_names[NETMAP_POOLS] = {
	[NETMAP_V4_MAGIC] = "v4MagicIPPool",
	[NETMAP_V4_TRANSIT] = "v4TransitIPPool",
	[NETMAP_V6_MAGIC] = "v6MagicIPPool",
	[NETMAP_V6_TRANSIT] = "v6TransitIPPool",
};

struct overlap_check {
	struct overlay *o;
	const struct netmap *nm;
};

static void overlap_warn(struct overlay *o, int pool, const struct range *range,
			 const struct netlink_route *r)
{
	char dst[PREFIX_STRLEN], taken[RANGE_STRLEN], by[IFNAMSIZ + 8] = "";
	struct netlink_link l;

	if (r->ifindex && !netlink_link_get_index(o->nl, r->ifindex, &l))
		snprintf(by, sizeof(by), " dev %s", l.name);
	overlay_warn_once(o,
			  "%s %s overlaps the route %s%s of this host: addresses in both go to "
			  "conn25; choose another pool",
			  pool_names[pool], range_print(taken, range), prefix_print(dst, &r->dst),
			  by);
}

static int overlap_look(const struct netlink_route *r, void *ctx)
{
	struct range covered = range_of_prefix(&r->dst);
	const struct overlap_check *c = ctx;

	if (r->is_default || r->table == NETLINK_TABLE || r->proto == NETLINK_PROTO)
		return 0;
	if (r->type == RTN_BROADCAST || r->type == RTN_MULTICAST || r->type == RTN_ANYCAST)
		return 0;
	for (int pool = 0; pool < NETMAP_POOLS; pool++)
		for (size_t i = 0; i < c->nm->pools[pool].n; i++)
			if (range_overlaps(&c->nm->pools[pool].v[i], &covered))
				overlap_warn(c->o, pool, &c->nm->pools[pool].v[i], r);
	return 0;
}

void overlay_overlap_check(struct overlay *o, const struct netmap *nm)
{
	struct overlap_check c = { o, nm };
	int err = netlink_route_each(o->nl, overlap_look, &c);

	if (err)
		log_warn("list the routes of this host: %s", overlay_reason(o, err));
}

int overlay_addresses_check(struct overlay *o, const struct netmap *nm)
{
	const struct netmap_node *self = netmap_self(nm);

	for (int is4 = 1; is4 >= 0; is4--) {
		const struct c25_addr *own = overlay_node_addr(self, is4);
		char text[ADDR_STRLEN];

		if (!addr_is_zero(own) && overlay_host_has(o, own) == 0)
			overlay_warn_once(o,
					  "no device of this host has the overlay address %s of "
					  "node %s: peers cannot answer it; add it to %s",
					  addr_print(text, own), self->id, o->dev);
	}
	return 0;
}
