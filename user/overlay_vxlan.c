/* SPDX-License-Identifier: BSD-3-Clause */
#include "log.h"
#include "overlay_mode.h"

#include <errno.h>
#include <string.h>

#define OVERHEAD4   50 /* outer IPv4, UDP, VXLAN, inner Ethernet */
#define OVERHEAD6   70
#define MTU_LEAST   1280 /* RFC 8200, section 5 */
#define MTU_MOST    (65535 - OVERHEAD6)
#define MTU_NO_PEER (1500 - OVERHEAD4)

struct port_search {
	uint16_t port;
	uint32_t own;
	char name[IFNAMSIZ];
};

static int match_port(const struct netlink_link *l, void *ctx)
{
	struct port_search *s = ctx;

	if (l->vxlan_port == s->port && l->ifindex != s->own && !s->name[0])
		memcpy(s->name, l->name, sizeof(l->name));
	return 0;
}

/* A port has room for one external VXLAN device and nothing else. */
static int log_port_taken(struct overlay *o, uint32_t own, int err)
{
	struct port_search s = { .port = o->vxlan_port, .own = own };

	netlink_link_each(o->nl, match_port, &s);
	if (s.name[0])
		log_error("UDP port %u is taken by the VXLAN device %s: choose another with "
			  "--vxlan-port, the same on every node",
			  o->vxlan_port, s.name);
	else
		log_error("UDP port %u is taken on this host: choose another with --vxlan-port, "
			  "the same on every node",
			  o->vxlan_port);
	return err;
}

static int vxlan_make(struct overlay *o)
{
	int err = netlink_vxlan_add(o->nl, o->dev, o->vxlan_port);

	if (err == -EEXIST || err == -EADDRINUSE)
		return log_port_taken(o, 0, err);
	if (err == -EOPNOTSUPP) {
		log_error("this kernel has no VXLAN: load the module vxlan, or choose another "
			  "--overlay");
		return err;
	}
	if (err == -EPERM) {
		log_error("make device %s: not permitted; conn25 needs CAP_NET_ADMIN", o->dev);
		return err;
	}
	if (err)
		log_error("make VXLAN device %s: %s", o->dev, overlay_reason(o, err));
	else
		log_info("made VXLAN device %s, UDP port %u", o->dev, o->vxlan_port);
	return err;
}

static bool vxlan_fits(const struct overlay *o, const struct netlink_link *l)
{
	return !strcmp(l->kind, "vxlan") && l->vxlan_external && l->vxlan_port == o->vxlan_port;
}

/* 0 and `l` where a device to take over is there; -ENODEV where one is to be made. */
static int vxlan_take_over(struct overlay *o, struct netlink_link *l)
{
	int err = netlink_link_get(o->nl, o->dev, l);

	if (err) {
		if (err != -ENODEV)
			log_error("look up device %s: %s", o->dev, overlay_reason(o, err));
		return err;
	}
	if (strcmp(l->alias, NETLINK_LINK_ALIAS) != 0) {
		log_error("device %s is there and not made by conn25: choose another name with "
			  "--dev, or remove it",
			  o->dev);
		return -EEXIST;
	}
	if (vxlan_fits(o, l))
		return 0;
	log_info("device %s is made anew for UDP port %u", o->dev, o->vxlan_port);
	err = netlink_link_del(o->nl, l->ifindex);
	if (err && err != -ENODEV) {
		log_error("remove device %s: %s", o->dev, overlay_reason(o, err));
		return err;
	}
	return -ENODEV;
}

static int vxlan_device(struct overlay *o)
{
	struct netlink_link l;
	int err = vxlan_take_over(o, &l);

	if (err == -ENODEV) {
		err = vxlan_make(o);
		if (!err)
			err = netlink_link_get(o->nl, o->dev, &l);
	}
	if (err)
		return err;
	if (!l.up) {
		/* The port is opened only now. */
		err = netlink_link_up(o->nl, l.ifindex, MTU_NO_PEER);
		if (err == -EADDRINUSE || err == -EEXIST)
			return log_port_taken(o, l.ifindex, err);
		if (!err)
			err = netlink_link_get_index(o->nl, l.ifindex, &l);
	}
	if (err) {
		log_error("bring up device %s: %s", o->dev, overlay_reason(o, err));
		return err;
	}
	o->link = l;
	return 0;
}

struct address_sync {
	struct overlay *o;
	const struct netmap_node *self;
	bool present[2]; /* IPv6, IPv4 */
	int err;
};

/* Addresses of single hosts on our device are ours; those not in the netmap are an old one's. */
static int address_check(uint32_t ifindex, const struct prefix *p, void *ctx)
{
	struct address_sync *s = ctx;
	bool is4 = addr_is4(&p->addr);
	char text[ADDR_STRLEN];
	int err;

	if (ifindex != s->o->link.ifindex || p->len != 128)
		return 0;
	if (addr_equal(&p->addr, overlay_node_addr(s->self, is4))) {
		s->present[is4] = true;
		return 0;
	}
	err = netlink_addr_del(s->o->nl, ifindex, p);
	if (err && err != -EADDRNOTAVAIL) {
		log_error("remove address %s from %s: %s", addr_print(text, &p->addr), s->o->dev,
			  overlay_reason(s->o, err));
		s->err = err;
	}
	return 0;
}

static int address_add(struct overlay *o, const struct c25_addr *own)
{
	struct prefix p = { .addr = *own, .len = 128 };
	char text[ADDR_STRLEN];
	int err = netlink_addr_add(o->nl, o->link.ifindex, &p);

	addr_print(text, own);
	if (err && !addr_is4(own) &&
	    (err == -EACCES || err == -EOPNOTSUPP || err == -EAFNOSUPPORT)) {
		overlay_warn_once(o,
				  "IPv6 is off on this host: going on without the overlay address "
				  "%s (net.ipv6.conf.%s.disable_ipv6)",
				  text, o->dev);
		return 0;
	}
	if (err)
		log_error("add address %s to %s: %s", text, o->dev, overlay_reason(o, err));
	return err;
}

static int addresses_sync(struct overlay *o, const struct netmap_node *self)
{
	struct address_sync s = { .o = o, .self = self };
	int err = netlink_addr_each(o->nl, address_check, &s);

	if (err)
		log_error("list the addresses of %s: %s", o->dev, overlay_reason(o, err));
	for (int is4 = 1; !err && is4 >= 0; is4--) {
		const struct c25_addr *own = overlay_node_addr(self, is4);

		if (!addr_is_zero(own) && !s.present[is4])
			err = address_add(o, own);
	}
	return err ? err : s.err;
}

/* Room the longest packet has on the way to every peer. Peers without a way do not count. */
static uint32_t smallest_mtu(struct overlay *o, const struct netmap *nm)
{
	const struct netmap_node *self = netmap_self(nm);
	uint32_t least = 0;

	for (size_t i = 0; i < nm->n_nodes; i++) {
		const struct netmap_node *n = &nm->nodes[i];
		uint32_t overhead = addr_is4(&n->underlay) ? OVERHEAD4 : OVERHEAD6;
		uint32_t ifindex, mtu;
		char text[ADDR_STRLEN];

		if (n == self || addr_is_zero(&n->underlay) ||
		    netlink_route_to(o->nl, &n->underlay, &ifindex, &mtu))
			continue;
		if (ifindex == o->link.ifindex) {
			overlay_warn_once(o,
					  "node %s: its underlay address %s is routed into the "
					  "overlay itself",
					  n->id, addr_print(text, &n->underlay));
			continue;
		}
		mtu = mtu > overhead ? mtu - overhead : 1;
		if (!least || mtu < least)
			least = mtu;
	}
	if (!least)
		return MTU_NO_PEER;
	return least < MTU_MOST ? least : MTU_MOST;
}

static int mtu_sync(struct overlay *o, const struct netmap *nm)
{
	uint32_t mtu = smallest_mtu(o, nm);
	int err;

	if (mtu < MTU_LEAST) {
		overlay_warn_once(o,
				  "the way to a peer leaves room for packets of %u bytes only: %s "
				  "keeps the %d that IPv6 needs, so packets are fragmented outside",
				  mtu, o->dev, MTU_LEAST);
		mtu = MTU_LEAST;
	}
	if (mtu == o->link.mtu)
		return 0;
	err = netlink_link_up(o->nl, o->link.ifindex, mtu);
	if (err) {
		log_error("set the MTU of %s to %u: %s", o->dev, mtu, overlay_reason(o, err));
		return err;
	}
	log_info("MTU of %s is %u", o->dev, mtu);
	o->link.mtu = mtu;
	return 0;
}

static int vxlan_prepare(struct overlay *o, const struct netmap *nm)
{
	int err = addresses_sync(o, netmap_self(nm));

	return err ? err : mtu_sync(o, nm);
}

/* The device resolves nothing (IFF_NOARP), and the tunnel key says where a packet goes. */
static int vxlan_next_hop(const struct overlay *o, const struct netmap *nm, bool is4,
			  struct c25_addr *via)
{
	memset(via, 0, sizeof(*via));
	return 0;
}

const struct overlay_mode_ops overlay_vxlan_ops = {
	.name = "vxlan",
	.tunnel_key = true,
	.own_device = true,
	.routes_peers = true,
	.device = vxlan_device,
	.prepare = vxlan_prepare,
	.next_hop = vxlan_next_hop,
};
