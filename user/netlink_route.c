/* SPDX-License-Identifier: BSD-3-Clause */
#include "netlink_request.h"

#include <errno.h>
#include <string.h>

static void put_via(struct nlmsghdr *nlh, const struct netlink_route *r)
{
	struct {
		uint16_t family; /* struct rtvia */
		uint8_t addr[16];
	} via = { .family = AF_INET6 };

	if (addr_is_zero(&r->via))
		return;
	if (addr_is4(&r->via) == prefix_is4(&r->dst)) {
		netlink_put_addr(nlh, RTA_GATEWAY, &r->via);
		return;
	}
	memcpy(via.addr, r->via.b, sizeof(via.addr));
	mnl_attr_put(nlh, RTA_VIA, sizeof(via), &via);
}

static struct nlmsghdr *route_request(struct netlink_request *req, uint16_t type, uint16_t flags,
				      const struct netlink_route *r)
{
	struct nlmsghdr *nlh;
	struct rtmsg *rtm;

	nlh = netlink_request_new(req, type, flags, sizeof(*rtm), &rtm);
	rtm->rtm_family = (uint8_t)netlink_family(&r->dst);
	rtm->rtm_dst_len = netlink_prefix_len(&r->dst);
	rtm->rtm_table = r->table < 256 ? (uint8_t)r->table : RT_TABLE_UNSPEC;
	rtm->rtm_protocol = (uint8_t)r->proto;
	rtm->rtm_type = r->type ?: RTN_UNICAST;
	/* Towards a device without a next hop IPv4 routes have link scope, as with iproute2. */
	if (prefix_is4(&r->dst) && rtm->rtm_type == RTN_UNICAST && addr_is_zero(&r->via))
		rtm->rtm_scope = RT_SCOPE_LINK;
	if (rtm->rtm_type == RTN_LOCAL)
		rtm->rtm_scope = RT_SCOPE_HOST;
	if (r->onlink)
		rtm->rtm_flags |= RTNH_F_ONLINK;
	mnl_attr_put_u32(nlh, RTA_TABLE, r->table);
	if (rtm->rtm_dst_len)
		netlink_put_addr(nlh, RTA_DST, &r->dst.addr);
	if (r->ifindex)
		mnl_attr_put_u32(nlh, RTA_OIF, r->ifindex);
	put_via(nlh, r);
	if (!addr_is_zero(&r->src))
		netlink_put_addr(nlh, RTA_PREFSRC, &r->src);
	return nlh;
}

int netlink_route_put(struct netlink *nl, const struct netlink_route *r)
{
	struct netlink_request req;

	if (addr_is4(&r->via) && !prefix_is4(&r->dst))
		return -EINVAL; /* the kernel has no such route */
	return netlink_talk(nl, route_request(&req, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, r),
			    NULL, NULL);
}

int netlink_route_del(struct netlink *nl, const struct netlink_route *r)
{
	struct netlink_request req;

	return netlink_talk(nl, route_request(&req, RTM_DELROUTE, 0, r), NULL, NULL);
}

static void parse_next_hop(struct netlink_route *r, int family, const struct nlattr *gateway,
			   const struct nlattr *via)
{
	const uint8_t *bytes;
	uint16_t via_family;

	memset(&r->via, 0, sizeof(r->via));
	if (netlink_addr(&r->via, family, gateway) || !via)
		return;
	bytes = mnl_attr_get_payload(via);
	if (mnl_attr_get_payload_len(via) != sizeof(via_family) + 16)
		return;
	memcpy(&via_family, bytes, sizeof(via_family));
	if (via_family == AF_INET6)
		r->via = addr_from6(bytes + sizeof(via_family));
}

struct route_visit {
	int family;
	uint32_t table;
	int (*each)(const struct netlink_route *r, void *ctx);
	void *ctx;
};

static int visit_next_hops(const struct route_visit *v, struct netlink_route *r,
			   const struct nlattr *multipath)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(multipath);
	size_t left = mnl_attr_get_payload_len(multipath);
	int err = 0;

	while (!err && left >= sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) &&
	       hop->rtnh_len <= left) {
		const struct nlattr *tb[RTA_VIA + 1] = { NULL }, *a = (const void *)(hop + 1);
		int attrs = (int)(hop->rtnh_len - sizeof(*hop));
		size_t step = RTNH_ALIGN(hop->rtnh_len);

		for (; mnl_attr_ok(a, attrs); attrs -= MNL_ALIGN(a->nla_len), a = mnl_attr_next(a))
			if (mnl_attr_get_type(a) <= RTA_VIA)
				tb[mnl_attr_get_type(a)] = a;
		r->ifindex = (uint32_t)hop->rtnh_ifindex;
		r->onlink = hop->rtnh_flags & RTNH_F_ONLINK;
		parse_next_hop(r, v->family, tb[RTA_GATEWAY], tb[RTA_VIA]);
		err = v->each(r, v->ctx);
		if (step >= left)
			break;
		left -= step;
		hop = (const struct rtnexthop *)((const char *)hop + step);
	}
	return err;
}

static int route_visit(const struct nlmsghdr *nlh, void *ctx)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_VIA + 1];
	const struct route_visit *v = ctx;
	struct netlink_route r = { 0 };
	uint8_t longest = v->family == AF_INET ? 32 : 128;

	/* A kernel without IPv6 answers the question for it with every family's routes. */
	if (nlh->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm) ||
	    rtm->rtm_family != v->family || rtm->rtm_flags & RTM_F_CLONED ||
	    rtm->rtm_dst_len > longest)
		return 0;
	netlink_attrs(nlh, sizeof(*rtm), tb, RTA_VIA);
	r.table = netlink_u32(tb[RTA_TABLE], rtm->rtm_table);
	if (v->table && r.table != v->table)
		return 0;
	if (!netlink_addr(&r.dst.addr, v->family, tb[RTA_DST]) && v->family == AF_INET)
		r.dst.addr = addr_from4(&(uint32_t){ 0 });
	r.dst.len = (uint8_t)(128 - longest + rtm->rtm_dst_len);
	r.proto = rtm->rtm_protocol;
	r.type = rtm->rtm_type;
	r.is_default = rtm->rtm_dst_len == 0;
	netlink_addr(&r.src, v->family, tb[RTA_PREFSRC]);
	if (tb[RTA_MULTIPATH])
		return visit_next_hops(v, &r, tb[RTA_MULTIPATH]);
	r.ifindex = netlink_u32(tb[RTA_OIF], 0);
	r.onlink = rtm->rtm_flags & RTNH_F_ONLINK;
	parse_next_hop(&r, v->family, tb[RTA_GATEWAY], tb[RTA_VIA]);
	return v->each(&r, v->ctx);
}

int netlink_table_each(struct netlink *nl, uint32_t table,
		       int (*each)(const struct netlink_route *r, void *ctx), void *ctx)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		struct route_visit v = { families[i], table, each, ctx };
		struct netlink_request req;
		struct nlmsghdr *nlh;
		struct rtmsg *rtm;
		int err;

		nlh = netlink_request_new(&req, RTM_GETROUTE, 0, sizeof(*rtm), &rtm);
		rtm->rtm_family = (uint8_t)families[i];
		if (table)
			mnl_attr_put_u32(nlh, RTA_TABLE, table);
		err = netlink_dump(nl, nlh, route_visit, &v);
		/* A table that nobody has used yet does not exist, a family neither. */
		if (err && !(table && err == -ENOENT) && err != -EAFNOSUPPORT)
			return err;
	}
	return 0;
}

int netlink_route_each(struct netlink *nl, int (*each)(const struct netlink_route *r, void *ctx),
		       void *ctx)
{
	return netlink_table_each(nl, RT_TABLE_UNSPEC, each, ctx);
}

struct route_answer {
	int err;
	uint32_t ifindex;
	uint32_t mtu;
};

static int route_answer(const struct nlmsghdr *nlh, void *ctx)
{
	static const int errors[] = {
		[RTN_BLACKHOLE] = -EINVAL,
		[RTN_UNREACHABLE] = -EHOSTUNREACH,
		[RTN_PROHIBIT] = -EACCES,
	};
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[RTA_METRICS + 1], *metrics[RTAX_MTU + 1];
	struct route_answer *a = ctx;

	if (nlh->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm))
		return -EBADMSG;
	if (rtm->rtm_type < ARRAY_SIZE(errors) && errors[rtm->rtm_type])
		return errors[rtm->rtm_type];
	netlink_attrs(nlh, sizeof(*rtm), tb, RTA_METRICS);
	netlink_nested(tb[RTA_METRICS], metrics, RTAX_MTU);
	a->ifindex = netlink_u32(tb[RTA_OIF], 0);
	a->mtu = netlink_u32(metrics[RTAX_MTU], 0);
	return a->ifindex ? 0 : -ENETUNREACH;
}

int netlink_route_to(struct netlink *nl, const struct c25_addr *dst, uint32_t *ifindex,
		     uint32_t *mtu)
{
	struct route_answer a = { 0 };
	struct netlink_request req;
	struct netlink_link l;
	struct nlmsghdr *nlh;
	struct rtmsg *rtm;
	int err;

	nlh = netlink_request_new(&req, RTM_GETROUTE, 0, sizeof(*rtm), &rtm);
	rtm->rtm_family = addr_is4(dst) ? AF_INET : AF_INET6;
	rtm->rtm_dst_len = addr_is4(dst) ? 32 : 128;
	netlink_put_addr(nlh, RTA_DST, dst);
	err = netlink_talk(nl, nlh, route_answer, &a);
	if (err)
		return err;
	if (!a.ifindex)
		return -ENETUNREACH;
	if (!a.mtu) {
		err = netlink_link_get_index(nl, a.ifindex, &l);
		if (err)
			return err;
		a.mtu = l.mtu;
	}
	*ifindex = a.ifindex;
	*mtu = a.mtu;
	return 0;
}
