/* SPDX-License-Identifier: BSD-3-Clause */
#include "netlink_request.h"

#include <errno.h>
#include <linux/fib_rules.h>

static struct nlmsghdr *rule_request(struct netlink_request *req, uint16_t type, uint16_t flags,
				     const struct prefix *to)
{
	struct fib_rule_hdr *frh;
	struct nlmsghdr *nlh;

	nlh = netlink_request_new(req, type, flags, sizeof(*frh), &frh);
	frh->family = (uint8_t)netlink_family(to);
	frh->dst_len = netlink_prefix_len(to);
	frh->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(nlh, FRA_TABLE, NETLINK_TABLE);
	mnl_attr_put_u8(nlh, FRA_PROTOCOL, NETLINK_PROTO);
	if (frh->dst_len)
		netlink_put_addr(nlh, FRA_DST, &to->addr);
	return nlh;
}

int netlink_rule_put(struct netlink *nl, const struct prefix *to)
{
	struct netlink_request req;
	struct nlmsghdr *nlh;
	int err;

	if (!netlink_prefix_len(to))
		return -EINVAL;
	nlh = rule_request(&req, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, to);
	mnl_attr_put_u32(nlh, FRA_PRIORITY, NETLINK_RULE_PRIO);
	err = netlink_talk(nl, nlh, NULL, NULL);
	return err == -EEXIST ? 0 : err;
}

/* At whatever priority: table and protocol make it ours. */
int netlink_rule_del(struct netlink *nl, const struct prefix *to)
{
	struct netlink_request req;

	return netlink_talk(nl, rule_request(&req, RTM_DELRULE, 0, to), NULL, NULL);
}

struct rule_visit {
	int family;
	int (*each)(const struct prefix *to, void *ctx);
	void *ctx;
};

static int rule_visit(const struct nlmsghdr *nlh, void *ctx)
{
	const struct fib_rule_hdr *frh = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[FRA_PROTOCOL + 1];
	const struct rule_visit *v = ctx;
	uint8_t longest = v->family == AF_INET ? 32 : 128;
	struct prefix to = { 0 };

	if (nlh->nlmsg_type != RTM_NEWRULE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*frh) ||
	    frh->family != v->family || frh->dst_len > longest)
		return 0;
	netlink_attrs(nlh, sizeof(*frh), tb, FRA_PROTOCOL);
	if (netlink_u8(tb[FRA_PROTOCOL], 0) != NETLINK_PROTO ||
	    netlink_u32(tb[FRA_TABLE], frh->table) != NETLINK_TABLE)
		return 0;
	if (!netlink_addr(&to.addr, v->family, tb[FRA_DST]) && v->family == AF_INET)
		to.addr = addr_from4(&(uint32_t){ 0 });
	to.len = (uint8_t)(128 - longest + frh->dst_len);
	return v->each(&to, v->ctx);
}

int netlink_rule_each(struct netlink *nl, int (*each)(const struct prefix *to, void *ctx),
		      void *ctx)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		struct rule_visit v = { families[i], each, ctx };
		struct netlink_request req;
		struct fib_rule_hdr *frh;
		struct nlmsghdr *nlh;
		int err;

		nlh = netlink_request_new(&req, RTM_GETRULE, 0, sizeof(*frh), &frh);
		frh->family = (uint8_t)families[i];
		err = netlink_dump(nl, nlh, rule_visit, &v);
		if (err && err != -EAFNOSUPPORT)
			return err;
	}
	return 0;
}
