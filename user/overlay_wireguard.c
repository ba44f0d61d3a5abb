/* SPDX-License-Identifier: BSD-3-Clause */
#include "log.h"
#include "overlay_mode.h"

#include <errno.h>
#include <string.h>

/* Whether it is WireGuard's shows when its peers are read (wg_sync). */
static int wireguard_device(struct overlay *o)
{
	struct netlink_link l;
	int err = netlink_link_get(o->nl, o->dev, &l);

	if (err == -ENODEV) {
		log_error("there is no device %s: --overlay wireguard wants one that is there "
			  "already, of the kernel or of wireguard-go; name it with --dev",
			  o->dev);
		return err;
	}
	if (err) {
		log_error("look up device %s: %s", o->dev, overlay_reason(o, err));
		return err;
	}
	if (l.l2) {
		log_error("device %s is no WireGuard device: it carries Ethernet frames; name the "
			  "right one with --dev, or use --overlay none",
			  o->dev);
		return -EINVAL;
	}
	if (o->link.ifindex && o->link.ifindex != l.ifindex)
		log_info("device %s was made anew", o->dev);
	o->link = l;
	return 0;
}

/* Magic addresses go straight to the device: the programs see them before it looks for a peer. */
static int wireguard_next_hop(const struct overlay *o, const struct netmap *nm, bool is4,
			      struct c25_addr *via)
{
	memset(via, 0, sizeof(*via));
	return 0;
}

/*
 * Routes to the overlay addresses of nodes that have a wireguardKey are ours, beside those that
 * wg-quick or others made: a device set up by `wg setconf` alone has none.
 */
const struct overlay_mode_ops overlay_wireguard_ops = {
	.name = "wireguard",
	.routes_peers = true,
	.keyed_peers = true,
	.device = wireguard_device,
	.prepare = overlay_addresses_check,
	.next_hop = wireguard_next_hop,
};
