/* SPDX-License-Identifier: BSD-3-Clause */
#include "netlink_request.h"

#include <errno.h>
#include <string.h>

struct removal {
	struct netlink *nl;
	int removed;
	int err; /* the first that is no race with another remover */
};

static int removal_count(struct removal *r, int err)
{
	if (!err)
		r->removed++;
	else if (err != -ENOENT && err != -ESRCH && err != -ENODEV && !r->err)
		r->err = err;
	return 0;
}

static int remove_rule(const struct prefix *to, void *ctx)
{
	struct removal *r = ctx;

	return removal_count(r, netlink_rule_del(r->nl, to));
}

static int remove_route(const struct netlink_route *route, void *ctx)
{
	struct removal *r = ctx;

	if (route->proto != NETLINK_PROTO)
		return 0;
	return removal_count(r, netlink_route_del(r->nl, route));
}

static int remove_neigh(const struct netlink_neigh *n, void *ctx)
{
	struct removal *r = ctx;

	if (n->proto != NETLINK_PROTO)
		return 0;
	return removal_count(r, netlink_neigh_del(r->nl, n->ifindex, &n->addr));
}

static int remove_link(const struct netlink_link *l, void *ctx)
{
	struct removal *r = ctx;

	if (strcmp(l->alias, NETLINK_LINK_ALIAS) != 0)
		return 0;
	return removal_count(r, netlink_link_del(r->nl, l->ifindex));
}

/* A rule to everything may be taken for another one of ours, so this is done until none is left. */
static int remove_rules(struct removal *r)
{
	int before, err;

	do {
		before = r->removed;
		err = netlink_rule_each(r->nl, remove_rule, r);
	} while (!err && !r->err && r->removed > before);
	return err;
}

int netlink_remove_ours(struct netlink *nl)
{
	struct removal r = { .nl = nl };
	int err, marks;

	err = remove_rules(&r);
	if (!err)
		err = netlink_table_each(nl, NETLINK_TABLE, remove_route, &r);
	if (!err)
		err = netlink_neigh_each(nl, 0, remove_neigh, &r);
	if (!err)
		err = netlink_link_each(nl, remove_link, &r);
	if (!err)
		err = r.err;
	marks = netlink_mark_del(nl);
	if (!err && marks < 0)
		err = marks;
	return err ? err : r.removed + marks;
}
