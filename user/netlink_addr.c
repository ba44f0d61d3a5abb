/* SPDX-License-Identifier: BSD-3-Clause */
#include "netlink_request.h"

#include <errno.h>
#include <linux/if_addr.h>

static struct nlmsghdr *addr_request(struct netlink_request *req, uint16_t type, uint16_t flags,
				     uint32_t ifindex, const struct prefix *p)
{
	struct ifaddrmsg *ifa;
	struct nlmsghdr *nlh;

	nlh = netlink_request_new(req, type, flags, sizeof(*ifa), &ifa);
	ifa->ifa_family = (uint8_t)netlink_family(p);
	ifa->ifa_prefixlen = netlink_prefix_len(p);
	ifa->ifa_scope = RT_SCOPE_UNIVERSE;
	ifa->ifa_index = ifindex;
	netlink_put_addr(nlh, IFA_LOCAL, &p->addr);
	netlink_put_addr(nlh, IFA_ADDRESS, &p->addr);
	return nlh;
}

int netlink_addr_add(struct netlink *nl, uint32_t ifindex, const struct prefix *p)
{
	struct netlink_request req;
	struct nlmsghdr *nlh;

	nlh = addr_request(&req, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, ifindex, p);
	/* No peer hears a duplicate address detection, and routes to peers are ours to make. */
	if (!prefix_is4(p))
		mnl_attr_put_u32(nlh, IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
	return netlink_talk(nl, nlh, NULL, NULL);
}

int netlink_addr_del(struct netlink *nl, uint32_t ifindex, const struct prefix *p)
{
	struct netlink_request req;

	return netlink_talk(nl, addr_request(&req, RTM_DELADDR, 0, ifindex, p), NULL, NULL);
}

struct one_addr {
	uint32_t ifindex;
	uint32_t flags;
	uint8_t scope;
	struct prefix p; /* host bits and all */
};

static bool addr_parse_msg(struct one_addr *out, const struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[IFA_FLAGS + 1];
	struct one_addr a = { 0 };
	uint8_t longest;

	if (nlh->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifa))
		return false;
	netlink_attrs(nlh, sizeof(*ifa), tb, IFA_FLAGS);
	/* IFA_ADDRESS is the far end of a point-to-point link. */
	if (!netlink_addr(&a.p.addr, ifa->ifa_family, tb[IFA_LOCAL] ?: tb[IFA_ADDRESS]))
		return false;
	longest = ifa->ifa_family == AF_INET ? 32 : 128;
	if (ifa->ifa_prefixlen > longest)
		return false;
	a.p.len = (uint8_t)(128 - longest + ifa->ifa_prefixlen);
	a.ifindex = ifa->ifa_index;
	a.scope = ifa->ifa_scope;
	a.flags = netlink_u32(tb[IFA_FLAGS], ifa->ifa_flags);
	*out = a;
	return true;
}

/* One family, of one device if `ifindex`. A kernel without strict checks sends all devices'. */
static int addr_dump(struct netlink *nl, int family, uint32_t ifindex, netlink_each each, void *ctx)
{
	struct netlink_request req;
	struct ifaddrmsg *ifa;
	struct nlmsghdr *nlh;

	nlh = netlink_request_new(&req, RTM_GETADDR, 0, sizeof(*ifa), &ifa);
	ifa->ifa_family = (uint8_t)family;
	ifa->ifa_index = ifindex;
	return netlink_dump(nl, nlh, each, ctx);
}

struct addr_search {
	uint32_t ifindex;
	bool is4;
	struct c25_addr had;
	int worth; /* of `addr`; 0: none found */
	struct c25_addr addr;
};

/* Addresses of a site's own (RFC 4193) reach nothing outside: any other is better. */
static int addr_worth(const struct addr_search *s, const struct c25_addr *a)
{
	bool local = !s->is4 && (a->b[0] & 0xfe) == 0xfc;

	return 1 + addr_equal(a, &s->had) + 2 * !local;
}

static int addr_take_best(const struct nlmsghdr *nlh, void *ctx)
{
	/* IFA_F_SECONDARY, of IPv4, is IFA_F_TEMPORARY, of IPv6. */
	const uint32_t unfit = IFA_F_TEMPORARY | IFA_F_DEPRECATED | IFA_F_TENTATIVE |
			       IFA_F_DADFAILED;
	struct addr_search *s = ctx;
	struct one_addr a;

	if (!addr_parse_msg(&a, nlh) || a.ifindex != s->ifindex)
		return 0;
	if (addr_is4(&a.p.addr) != s->is4 || a.scope != RT_SCOPE_UNIVERSE || a.flags & unfit)
		return 0;
	if (addr_worth(s, &a.p.addr) <= s->worth)
		return 0;
	s->worth = addr_worth(s, &a.p.addr);
	s->addr = a.p.addr;
	return 0;
}

int netlink_addr_of(struct netlink *nl, uint32_t ifindex, bool is4, const struct c25_addr *had,
		    struct c25_addr *out)
{
	struct addr_search s = { .ifindex = ifindex, .is4 = is4, .had = *had };
	int err = addr_dump(nl, is4 ? AF_INET : AF_INET6, ifindex, addr_take_best, &s);

	if (err)
		return err;
	if (!s.worth)
		return -ENODATA;
	*out = s.addr;
	return 0;
}

struct addr_visit {
	int (*each)(uint32_t ifindex, const struct prefix *p, void *ctx);
	void *ctx;
};

static int addr_visit(const struct nlmsghdr *nlh, void *ctx)
{
	const struct addr_visit *v = ctx;
	struct one_addr a;

	if (!addr_parse_msg(&a, nlh) || a.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED))
		return 0;
	return v->each(a.ifindex, &a.p, v->ctx);
}

int netlink_addr_each(struct netlink *nl,
		      int (*each)(uint32_t ifindex, const struct prefix *p, void *ctx), void *ctx)
{
	struct addr_visit v = { .each = each, .ctx = ctx };

	return addr_dump(nl, AF_UNSPEC, 0, addr_visit, &v);
}
