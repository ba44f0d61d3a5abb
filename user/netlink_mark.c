/* SPDX-License-Identifier: BSD-3-Clause */
/* netlink_mark: `ip rule add fwmark MARK lookup T` and `ip route add local default dev lo table T`.
 */
#include "netlink_request.h"

#include <errno.h>
#include <linux/fib_rules.h>

#define LOOPBACK 1 /* LOOPBACK_IFINDEX of every network namespace */

static const uint8_t families[] = { AF_INET, AF_INET6 };

static struct nlmsghdr *rule_request(struct netlink_request *req, uint16_t type, uint16_t flags,
				     uint8_t family)
{
	struct fib_rule_hdr *frh;
	struct nlmsghdr *nlh;

	nlh = netlink_request_new(req, type, flags, sizeof(*frh), &frh);
	frh->family = family;
	frh->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(nlh, FRA_TABLE, NETLINK_DNS_TABLE);
	mnl_attr_put_u8(nlh, FRA_PROTOCOL, NETLINK_PROTO);
	mnl_attr_put_u32(nlh, FRA_FWMARK, C25_MARK);
	mnl_attr_put_u32(nlh, FRA_FWMASK, C25_MARK_MASK);
	return nlh;
}

static int put_family(struct netlink *nl, uint8_t family)
{
	struct netlink_route r = {
		.ifindex = LOOPBACK,
		.table = NETLINK_DNS_TABLE,
		.proto = NETLINK_PROTO,
		.type = RTN_LOCAL,
	};
	struct netlink_request req;
	struct nlmsghdr *nlh;
	int err;

	if (family == AF_INET)
		r.dst = (struct prefix){ .addr = addr_from4(&(uint32_t){ 0 }), .len = 96 };
	err = netlink_route_put(nl, &r);
	if (err)
		return err;
	nlh = rule_request(&req, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, family);
	mnl_attr_put_u32(nlh, FRA_PRIORITY, NETLINK_DNS_PRIO);
	err = netlink_talk(nl, nlh, NULL, NULL);
	return err == -EEXIST ? 0 : err;
}

/* A host without IPv6 says one of these. */
static bool is_absent(int err)
{
	return err == -EAFNOSUPPORT || err == -EOPNOTSUPP;
}

int netlink_mark_put(struct netlink *nl)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		int err = put_family(nl, families[i]);

		if (err && !(families[i] == AF_INET6 && is_absent(err)))
			return err;
	}
	return 0;
}

struct removal {
	struct netlink *nl;
	int removed;
	int err;
};

static int remove_route(const struct netlink_route *route, void *ctx)
{
	struct removal *r = ctx;
	int err;

	if (route->proto != NETLINK_PROTO)
		return 0;
	err = netlink_route_del(r->nl, route);
	if (!err)
		r->removed++;
	else if (err != -ESRCH && err != -ENOENT)
		r->err = err;
	return 0;
}

int netlink_mark_del(struct netlink *nl)
{
	struct removal r = { .nl = nl };
	struct netlink_request req;
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		while (!(err = netlink_talk(nl, rule_request(&req, RTM_DELRULE, 0, families[i]),
					    NULL, NULL)))
			r.removed++;
		if (err != -ENOENT && err != -ESRCH && !is_absent(err))
			return err;
	}
	err = netlink_table_each(nl, NETLINK_DNS_TABLE, remove_route, &r);
	if (!err)
		err = r.err;
	return err ? err : r.removed;
}
