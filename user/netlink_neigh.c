/* SPDX-License-Identifier: BSD-3-Clause */
#include "netlink_request.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <string.h>

/* linux/neighbour.h of 5.16 and later. */
#define NEIGH_FLAGS_EXT   15 /* NDA_FLAGS_EXT */
#define NEIGH_EXT_MANAGED (1U << 0)

static struct nlmsghdr *neigh_request(struct netlink_request *req, uint16_t type, uint16_t flags,
				      uint32_t ifindex, const struct c25_addr *a)
{
	struct nlmsghdr *nlh;
	struct ndmsg *ndm;

	nlh = netlink_request_new(req, type, flags, sizeof(*ndm), &ndm);
	ndm->ndm_family = addr_is4(a) ? AF_INET : AF_INET6;
	ndm->ndm_ifindex = (int)ifindex;
	netlink_put_addr(nlh, NDA_DST, a);
	return nlh;
}

/* An entry in being keeps its state and link address. */
int netlink_neigh_keep(struct netlink *nl, uint32_t ifindex, const struct c25_addr *a)
{
	struct netlink_request req;
	struct nlmsghdr *nlh;

	nlh = neigh_request(&req, RTM_NEWNEIGH, NLM_F_CREATE, ifindex, a);
	mnl_attr_put_u8(nlh, NDA_PROTOCOL, NETLINK_PROTO);
	mnl_attr_put_u32(nlh, NEIGH_FLAGS_EXT, NEIGH_EXT_MANAGED);
	return netlink_talk(nl, nlh, NULL, NULL);
}

int netlink_neigh_del(struct netlink *nl, uint32_t ifindex, const struct c25_addr *a)
{
	struct netlink_request req;

	return netlink_talk(nl, neigh_request(&req, RTM_DELNEIGH, 0, ifindex, a), NULL, NULL);
}

struct neigh_visit {
	int family;
	uint32_t ifindex;
	int (*each)(const struct netlink_neigh *n, void *ctx);
	void *ctx;
};

static int neigh_visit(const struct nlmsghdr *nlh, void *ctx)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[NEIGH_FLAGS_EXT + 1];
	const struct neigh_visit *v = ctx;
	struct netlink_neigh n = { 0 };

	if (nlh->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(nlh) < sizeof(*ndm) ||
	    ndm->ndm_family != v->family || ndm->ndm_flags & NTF_PROXY)
		return 0;
	n.ifindex = (uint32_t)ndm->ndm_ifindex;
	if (v->ifindex && v->ifindex != n.ifindex)
		return 0;
	netlink_attrs(nlh, sizeof(*ndm), tb, NEIGH_FLAGS_EXT);
	if (!netlink_addr(&n.addr, v->family, tb[NDA_DST]))
		return 0;
	n.proto = netlink_u8(tb[NDA_PROTOCOL], 0);
	n.resolved = ndm->ndm_state & (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE |
				       NUD_STALE | NUD_DELAY);
	n.fixed = ndm->ndm_state & (NUD_PERMANENT | NUD_NOARP);
	n.managed = netlink_u32(tb[NEIGH_FLAGS_EXT], 0) & NEIGH_EXT_MANAGED;
	return v->each(&n, v->ctx);
}

int netlink_neigh_each(struct netlink *nl, uint32_t ifindex,
		       int (*each)(const struct netlink_neigh *n, void *ctx), void *ctx)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		struct neigh_visit v = { families[i], ifindex, each, ctx };
		struct netlink_request req;
		struct nlmsghdr *nlh;
		struct ndmsg *ndm;
		int err;

		nlh = netlink_request_new(&req, RTM_GETNEIGH, 0, sizeof(*ndm), &ndm);
		ndm->ndm_family = (uint8_t)families[i];
		if (ifindex)
			mnl_attr_put_u32(nlh, NDA_IFINDEX, ifindex);
		err = netlink_dump(nl, nlh, neigh_visit, &v);
		if (err && err != -EAFNOSUPPORT && err != -EOPNOTSUPP)
			return err;
	}
	return 0;
}

bool netlink_neigh_is_ours(const struct nlmsghdr *nlh)
{
	const struct nlattr *tb[NDA_PROTOCOL + 1];

	netlink_attrs(nlh, sizeof(struct ndmsg), tb, NDA_PROTOCOL);
	return netlink_u8(tb[NDA_PROTOCOL], 0) == NETLINK_PROTO;
}
