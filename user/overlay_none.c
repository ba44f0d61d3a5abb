/* SPDX-License-Identifier: BSD-3-Clause */
#include "log.h"
#include "overlay_mode.h"

#include <errno.h>
#include <string.h>

static int none_device(struct overlay *o)
{
	struct netlink_link l;
	int err = netlink_link_get(o->nl, o->dev, &l);

	if (err == -ENODEV) {
		log_error("there is no device %s: --overlay none wants one that reaches the peers; "
			  "name it with --dev",
			  o->dev);
		return err;
	}
	if (err) {
		log_error("look up device %s: %s", o->dev, overlay_reason(o, err));
		return err;
	}
	if (o->link.ifindex && o->link.ifindex != l.ifindex)
		log_info("device %s was made anew", o->dev);
	o->link = l;
	return 0;
}

/*
 * On Ethernet a route without `via` would make the kernel resolve the magic address itself, and
 * the programs would never see the packet. Any connector's neighbour entry does: each frame is
 * redirected to its mapping's own connector.
 */
static int none_next_hop(const struct overlay *o, const struct netmap *nm, bool is4,
			 struct c25_addr *via)
{
	(void)nm;
	memset(via, 0, sizeof(*via));
	if (!o->link.l2)
		return 0;
	if (addr_is_zero(&o->via[is4]))
		return -ENOENT;
	*via = o->via[is4];
	return 0;
}

const struct overlay_mode_ops overlay_none_ops = {
	.name = "none",
	.neighbours = true,
	.device = none_device,
	.prepare = overlay_addresses_check,
	.next_hop = none_next_hop,
};
