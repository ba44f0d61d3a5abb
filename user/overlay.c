/* SPDX-License-Identifier: BSD-3-Clause */
#include "overlay.h"
#include "log.h"
#include "overlay_mode.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define FINDINGS_MAX 64

struct overlay_finding {
	UT_hash_handle hh;
	char text[];
};

static const char *const mode_names[] = {
	[OVERLAY_VXLAN] = "vxlan",
	[OVERLAY_WIREGUARD] = "wireguard",
	[OVERLAY_NONE] = "none",
};

static const struct overlay_mode_ops *const mode_ops[ARRAY_SIZE(mode_names)] = {
	[OVERLAY_VXLAN] = &overlay_vxlan_ops,
	[OVERLAY_WIREGUARD] = &overlay_wireguard_ops,
	[OVERLAY_NONE] = &overlay_none_ops,
};

int overlay_mode_parse(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(mode_names); i++)
		if (!strcmp(text, mode_names[i]))
			return (int)i;
	return -EINVAL;
}

void overlay_warn_once(struct overlay *o, const char *fmt, ...)
{
	struct overlay_finding *f;
	char text[512];
	va_list args;
	size_t len;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	len = strlen(text);
	HASH_FIND(hh, o->findings, text, len, f);
	if (f || HASH_COUNT(o->findings) > FINDINGS_MAX)
		return;
	f = malloc(sizeof(*f) + len + 1);
	if (!f)
		return;
	memcpy(f->text, text, len + 1);
	HASH_ADD_KEYPTR(hh, o->findings, f->text, len, f);
	if (HASH_COUNT(o->findings) > FINDINGS_MAX)
		log_warn("more warnings about the overlay's routes are left out");
	else
		log_warn("%s", text);
}

const char *overlay_reason(const struct overlay *o, int err)
{
	static char text[512];
	const char *said = netlink_error(o->nl);

	snprintf(text, sizeof(text), *said ? "%s (%s)" : "%s", strerror(err < 0 ? -err : err),
		 said);
	return text;
}

struct address_search {
	const struct c25_addr *addr;
	bool found;
};

static int match_address(uint32_t ifindex, const struct prefix *p, void *ctx)
{
	struct address_search *s = ctx;

	s->found |= addr_equal(&p->addr, s->addr);
	return 0;
}

int overlay_host_has(struct overlay *o, const struct c25_addr *a)
{
	struct address_search s = { .addr = a };
	int err = netlink_addr_each(o->nl, match_address, &s);

	return err ? err : s.found;
}

/* What an earlier run with another --dev or --overlay made holds the port and our addresses. */
static int remove_stray(const struct netlink_link *l, void *ctx)
{
	struct overlay *o = ctx;
	int err;

	if (strcmp(l->alias, NETLINK_LINK_ALIAS) != 0 || !strcmp(l->name, o->dev))
		return 0;
	err = netlink_link_del(o->nl, l->ifindex);
	if (err && err != -ENODEV)
		log_warn("cannot remove device %s, which an earlier conn25 made: %s", l->name,
			 overlay_reason(o, err));
	else
		log_info("removed device %s, which an earlier conn25 made", l->name);
	return 0;
}

int overlay_open(struct overlay **out, const struct overlay_config *cfg, struct netlink *nl)
{
	_cleanup_(overlay) struct overlay *o = NULL;
	int err;

	if (!*cfg->dev || strlen(cfg->dev) >= sizeof(o->dev)) {
		log_error("--dev %s: a device's name has 1 to %d characters", cfg->dev,
			  IFNAMSIZ - 1);
		return -EINVAL;
	}
	o = calloc(1, sizeof(*o));
	if (!o)
		return log_errno(ENOMEM, "open the overlay");
	o->ops = mode_ops[cfg->mode];
	o->nl = nl;
	memcpy(o->dev, cfg->dev, strlen(cfg->dev));
	o->vxlan_port = cfg->vxlan_port;
	err = netlink_link_each(nl, remove_stray, o);
	if (err)
		return log_errno(-err, "list the network devices");
	err = o->ops->device(o);
	if (err)
		return err;
	*out = TAKE_PTR(o);
	return 0;
}

void overlay_free(struct overlay *o)
{
	struct overlay_finding *f, *next;

	if (!o)
		return;
	HASH_ITER (hh, o->findings, f, next) {
		HASH_DEL(o->findings, f);
		free(f);
	}
	free(o);
}

int overlay_sync(struct overlay *o, const struct netmap *nm, const struct prefix *keep,
		 size_t n_keep)
{
	const struct netmap_node *self = netmap_self(nm);
	int err;

	if (!self)
		return -EINVAL;
	err = o->ops->device(o);
	if (!err)
		err = o->ops->prepare(o, nm);
	if (err)
		return err;
	overlay_forwarding_sync(o, self);
	if (!o->link.up) {
		overlay_warn_once(o, "device %s is down: its routes are made once it is up",
				  o->dev);
		return 0;
	}
	err = overlay_neigh_sync(o, nm);
	if (!err)
		err = overlay_route_sync(o, nm, keep, n_keep);
	overlay_overlap_check(o, nm);
	return err;
}

const struct netlink_link *overlay_link(const struct overlay *o)
{
	return &o->link;
}

bool overlay_tunnel_key(const struct overlay *o)
{
	return o->ops->tunnel_key;
}

struct c25_addr overlay_next_hop(const struct overlay *o, const struct netmap *nm, bool is4)
{
	struct c25_addr via = { 0 };

	if (o->ops->next_hop(o, nm, is4, &via))
		return (struct c25_addr){ 0 };
	return via;
}
