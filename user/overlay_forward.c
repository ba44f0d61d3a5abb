/* SPDX-License-Identifier: BSD-3-Clause */
#include "log.h"
#include "overlay_mode.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RA_DEVICES 16

/*
 * Only forwarding is set. rp_filter needs no change, strict or not: what comes out of the overlay
 * has a peer's or a magic address by then, and our rules lead back to the device for both; what a
 * connector translates never reaches the kernel's own routing.
 */

static int conf_open(const char *family, const char *dev, const char *name, int flags)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, dev, name);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The value, of one digit, or a negative errno. */
static int conf_get(const char *family, const char *dev, const char *name)
{
	_cleanup_close_ int fd = conf_open(family, dev, name, O_RDONLY);
	char digit;

	if (fd < 0)
		return fd;
	if (read(fd, &digit, 1) != 1 || digit < '0' || digit > '9')
		return -EIO;
	return digit - '0';
}

static int conf_set(const char *family, const char *dev, const char *name, int value)
{
	_cleanup_close_ int fd = conf_open(family, dev, name, O_WRONLY);
	char digit = (char)('0' + value);

	if (fd < 0)
		return fd;
	return write(fd, &digit, 1) == 1 ? 0 : -errno;
}

/* Devices whose default route came by router advertisement. */
struct ra_devices {
	uint32_t ifindex[RA_DEVICES];
	char name[RA_DEVICES][IFNAMSIZ];
	size_t n;
};

static int ra_collect(const struct netlink_route *r, void *ctx)
{
	struct ra_devices *d = ctx;

	if (r->is_default && !prefix_is4(&r->dst) && r->proto == RTPROT_RA && d->n < RA_DEVICES)
		d->ifindex[d->n++] = r->ifindex;
	return 0;
}

/*
 * When forwarding is turned on for one device, the kernel drops the advertised default routes of
 * every device whose accept_ra is not 2 (rt6_purge_dflt_routers()). So it is 2 for that moment.
 */
static int forwarding6_on(struct overlay *o)
{
	struct ra_devices d = { .n = 0 };
	struct netlink_link l;
	int err;

	netlink_route_each(o->nl, ra_collect, &d);
	for (size_t i = 0; i < d.n; i++) {
		if (netlink_link_get_index(o->nl, d.ifindex[i], &l) ||
		    conf_get("ipv6", l.name, "accept_ra") != 1 ||
		    conf_set("ipv6", l.name, "accept_ra", 2))
			continue;
		memcpy(d.name[i], l.name, sizeof(l.name));
	}
	/* A device that forwards hears advertisements with 2 only. */
	if (!o->ops->own_device && conf_get("ipv6", o->dev, "accept_ra") == 1 &&
	    !conf_set("ipv6", o->dev, "accept_ra", 2))
		log_info("net.ipv6.conf.%s.accept_ra is 2 now, to keep its default route", o->dev);
	err = conf_set("ipv6", o->dev, "forwarding", 1);
	for (size_t i = 0; i < d.n; i++)
		if (d.name[i][0] && (err || strcmp(d.name[i], o->dev) != 0))
			conf_set("ipv6", d.name[i], "accept_ra", 1);
	return err;
}

static void forwarding_on(struct overlay *o, bool is4)
{
	const char *family = is4 ? "ipv4" : "ipv6";
	int now = conf_get(family, o->dev, "forwarding"), err;

	if (now == 1 || now == -ENOENT) /* on, or a host without IPv6 */
		return;
	err = is4 ? conf_set(family, o->dev, "forwarding", 1) : forwarding6_on(o);
	if (err)
		overlay_warn_once(o,
				  "cannot turn forwarding on for %s: %s; packets out of the "
				  "overlay "
				  "are not sent on until net.%s.conf.%s.forwarding is 1 (in a "
				  "container: set it on the host)",
				  o->dev, strerror(-err), family, o->dev);
	else if (!o->ops->own_device)
		log_info("net.%s.conf.%s.forwarding is 1 now", family, o->dev);
}

static bool has_pods(const struct netmap_node *self, bool is4)
{
	for (size_t i = 0; i < self->n_pod_cidrs; i++)
		if (prefix_is4(&self->pod_cidrs[i]) == is4)
			return true;
	return false;
}

void overlay_forwarding_sync(struct overlay *o, const struct netmap_node *self)
{
	for (int is4 = 1; is4 >= 0; is4--) {
		const char *family = is4 ? "ipv4" : "ipv6";
		bool pods = has_pods(self, is4);

		/* A device that others use too is left alone unless this node's role needs it. */
		if (o->ops->own_device || self->connector || pods)
			forwarding_on(o, is4);
		if (pods && conf_get(family, "all", "forwarding") == 0)
			overlay_warn_once(o,
					  "this node has podCIDRs, but the host does not forward: "
					  "set net.%s to 1",
					  is4 ? "ipv4.ip_forward" : "ipv6.conf.all.forwarding");
	}
}
