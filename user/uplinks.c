/* SPDX-License-Identifier: BSD-3-Clause */
#include "uplinks.h"

#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct uplink {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	bool l2;
	bool attached;
	bool wanted;
	struct c25_dev dev; /* as written to c25_devs */
};

struct uplinks {
	const struct config *config;
	struct netlink *nl;
	const struct datapath *datapath; /* whose programs are attached */
	struct uplink v[C25_MAX_DEVS - 1];
	size_t n;
};

int uplinks_new(struct uplinks **out, const struct config *config, struct netlink *nl)
{
	struct uplinks *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->config = config;
	u->nl = nl;
	*out = u;
	return 0;
}

void uplinks_free(struct uplinks *u)
{
	free(u);
}

static struct uplink *find(struct uplinks *u, uint32_t ifindex)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->v[i].ifindex == ifindex)
			return &u->v[i];
	return NULL;
}

static void want(struct uplinks *u, const struct netlink_link *link)
{
	struct uplink *up = find(u, link->ifindex);

	if (!up) {
		if (u->n == ARRAY_SIZE(u->v))
			return;
		up = &u->v[u->n++];
		*up = (struct uplink){ .ifindex = link->ifindex };
	}
	memcpy(up->name, link->name, sizeof(up->name));
	up->l2 = link->l2;
	up->wanted = true;
}

struct defaults {
	struct uplinks *u;
	uint32_t overlay;
};

static int want_default(const struct netlink_route *r, void *ctx)
{
	struct defaults *d = ctx;
	struct netlink_link link;

	if (r->is_default && r->ifindex && r->ifindex != d->overlay &&
	    !netlink_link_get_index(d->u->nl, r->ifindex, &link))
		want(d->u, &link);
	return 0;
}

static void want_named(struct uplinks *u, uint32_t overlay)
{
	struct netlink_link link;

	for (size_t i = 0; i < u->config->n_uplinks; i++)
		if (!netlink_link_get(u->nl, u->config->uplinks[i], &link) &&
		    link.ifindex != overlay)
			want(u, &link);
}

/* Flows end with their address: a question that failed must not look like an address that is gone. */
static int read_addr(struct uplinks *u, const struct uplink *up, bool is4,
		     const struct c25_addr *had, struct c25_addr *out)
{
	int err = netlink_addr_of(u->nl, up->ifindex, is4, had, out);

	return err == -ENODATA ? 0 : err;
}

static int write_dev(struct uplinks *u, struct uplink *up, const struct maps *maps)
{
	struct netlink_link link;
	struct c25_dev dev = { 0 };
	int err = netlink_link_get_index(u->nl, up->ifindex, &link);

	if (!err)
		err = read_addr(u, up, true, &up->dev.addr4, &dev.addr4);
	if (!err)
		err = read_addr(u, up, false, &up->dev.addr6, &dev.addr6);
	if (err)
		return err;
	dev.flags = C25_DEV_UPLINK | (link.l2 ? C25_DEV_L2 : 0);
	dev.mtu = link.mtu;
	memcpy(dev.mac, link.mac, sizeof(dev.mac));
	if (up->attached && !memcmp(&dev, &up->dev, sizeof(dev)))
		return 0;
	err = maps_dev_put(maps, up->ifindex, &dev);
	if (!err)
		up->dev = dev;
	return err;
}

static void remove_at(struct uplinks *u, size_t i, struct datapath *dp)
{
	struct uplink *up = &u->v[i];

	if (up->attached) {
		maps_dev_del(datapath_maps(dp), up->ifindex);
		datapath_detach(dp, DATAPATH_UPLINK, up->ifindex);
		log_info("uplink %s: no longer used", up->name);
	}
	*up = u->v[--u->n];
}

static int sync_one(struct uplinks *u, struct uplink *up, struct datapath *dp)
{
	char a4[ADDR_STRLEN] = "none", a6[ADDR_STRLEN] = "none";
	int err = write_dev(u, up, datapath_maps(dp));

	if (err)
		return log_errno(-err, "uplink %s", up->name);
	if (up->attached)
		return 0;
	err = datapath_attach(dp, DATAPATH_UPLINK, up->ifindex, up->l2);
	if (err)
		return err;
	up->attached = true;
	if (!addr_is_zero(&up->dev.addr4))
		addr_print(a4, &up->dev.addr4);
	if (!addr_is_zero(&up->dev.addr6))
		addr_print(a6, &up->dev.addr6);
	log_info("uplink %s: IPv4 %s, IPv6 %s", up->name, a4, a6);
	return 0;
}

struct others {
	struct uplinks *u;
	uint32_t v[C25_MAX_DEVS];
	size_t n;
};

static int find_other(const void *key, const void *value, void *ctx)
{
	const uint32_t ifindex = *(const uint32_t *)key;
	struct others *o = ctx;

	(void)value;
	if (!find(o->u, ifindex) && o->n < ARRAY_SIZE(o->v))
		o->v[o->n++] = ifindex;
	return 0;
}

/* Devices that an earlier daemon used: packets must not leave through what is no uplink now. */
static void forget_others(struct uplinks *u, const struct maps *maps)
{
	struct others o = { .u = u };

	maps_each(maps, MAP_DEVS, find_other, &o);
	for (size_t i = 0; i < o.n; i++)
		maps_dev_del(maps, o.v[i]);
}

int uplinks_sync(struct uplinks *u, struct datapath *dp, const struct netlink_link *overlay)
{
	struct defaults d = { .u = u, .overlay = overlay->ifindex };
	bool first = u->datapath != dp;
	int result = 0, err;

	for (size_t i = 0; i < u->n; i++) {
		u->v[i].wanted = false;
		if (u->datapath != dp)
			u->v[i].attached = false;
	}
	u->datapath = dp;
	if (u->config->n_uplinks)
		want_named(u, overlay->ifindex);
	else
		netlink_route_each(u->nl, want_default, &d);
	if (first)
		forget_others(u, datapath_maps(dp));
	for (size_t i = u->n; i-- > 0;)
		if (!u->v[i].wanted)
			remove_at(u, i, dp);
	for (size_t i = 0; i < u->n; i++) {
		err = sync_one(u, &u->v[i], dp);
		if (err)
			result = err;
	}
	return result;
}

bool uplinks_reach(struct uplinks *u, const struct c25_addr *real)
{
	const struct uplink *up;
	uint32_t ifindex, mtu;

	if (netlink_route_to(u->nl, real, &ifindex, &mtu))
		return false;
	up = find(u, ifindex);
	return up && !addr_is_zero(addr_is4(real) ? &up->dev.addr4 : &up->dev.addr6);
}
