/* SPDX-License-Identifier: BSD-3-Clause */
#include "netlink_request.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <string.h>
#include <sys/random.h>

static void link_parse_info(struct netlink_link *l, const struct nlattr *info)
{
	const struct nlattr *tb[IFLA_INFO_DATA + 1], *vxlan[IFLA_VXLAN_COLLECT_METADATA + 1];

	netlink_nested(info, tb, IFLA_INFO_DATA);
	netlink_str(l->kind, sizeof(l->kind), tb[IFLA_INFO_KIND]);
	if (strcmp(l->kind, "vxlan") != 0)
		return;
	netlink_nested(tb[IFLA_INFO_DATA], vxlan, IFLA_VXLAN_COLLECT_METADATA);
	l->vxlan_port = ntohs(netlink_u16(vxlan[IFLA_VXLAN_PORT], 0));
	l->vxlan_external = netlink_u8(vxlan[IFLA_VXLAN_COLLECT_METADATA], 0);
}

static bool link_parse(struct netlink_link *out, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[IFLA_IFALIAS + 1];
	struct netlink_link l = { 0 };

	if (nlh->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi) ||
	    ifi->ifi_index <= 0)
		return false;
	netlink_attrs(nlh, sizeof(*ifi), tb, IFLA_IFALIAS);
	l.ifindex = (uint32_t)ifi->ifi_index;
	l.up = ifi->ifi_flags & IFF_UP;
	/* Programs on the loopback device see an Ethernet header too. */
	l.l2 = ifi->ifi_type == ARPHRD_ETHER || ifi->ifi_type == ARPHRD_LOOPBACK;
	l.mtu = netlink_u32(tb[IFLA_MTU], 0);
	l.master = netlink_u32(tb[IFLA_MASTER], 0);
	netlink_str(l.name, sizeof(l.name), tb[IFLA_IFNAME]);
	netlink_str(l.alias, sizeof(l.alias), tb[IFLA_IFALIAS]);
	if (tb[IFLA_ADDRESS] && mnl_attr_get_payload_len(tb[IFLA_ADDRESS]) == sizeof(l.mac))
		memcpy(l.mac, mnl_attr_get_payload(tb[IFLA_ADDRESS]), sizeof(l.mac));
	link_parse_info(&l, tb[IFLA_LINKINFO]);
	*out = l;
	return true;
}

static int link_one(const struct nlmsghdr *nlh, void *ctx)
{
	return link_parse(ctx, nlh) ? 0 : -EBADMSG;
}

static int link_get(struct netlink *nl, const char *name, uint32_t ifindex,
		    struct netlink_link *out)
{
	struct netlink_link l = { 0 };
	struct netlink_request req;
	struct ifinfomsg *ifi;
	struct nlmsghdr *nlh;
	int err;

	nlh = netlink_request_new(&req, RTM_GETLINK, 0, sizeof(*ifi), &ifi);
	ifi->ifi_index = (int)ifindex;
	if (name)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	err = netlink_talk(nl, nlh, link_one, &l);
	if (err)
		return err;
	if (!l.ifindex)
		return -EBADMSG;
	*out = l;
	return 0;
}

int netlink_link_get(struct netlink *nl, const char *name, struct netlink_link *out)
{
	if (!*name || strlen(name) >= IFNAMSIZ)
		return -ENODEV; /* the kernel would read a longer one as an alternative name */
	return link_get(nl, name, 0, out);
}

int netlink_link_get_index(struct netlink *nl, uint32_t ifindex, struct netlink_link *out)
{
	if (!ifindex || ifindex > INT32_MAX)
		return -ENODEV;
	return link_get(nl, NULL, ifindex, out);
}

struct link_visit {
	int (*each)(const struct netlink_link *l, void *ctx);
	void *ctx;
};

static int link_visit(const struct nlmsghdr *nlh, void *ctx)
{
	const struct link_visit *v = ctx;
	struct netlink_link l;

	return link_parse(&l, nlh) ? v->each(&l, v->ctx) : 0;
}

int netlink_link_each(struct netlink *nl, int (*each)(const struct netlink_link *l, void *ctx),
		      void *ctx)
{
	struct link_visit v = { .each = each, .ctx = ctx };
	struct netlink_request req;
	struct ifinfomsg *ifi;
	struct nlmsghdr *nlh;

	nlh = netlink_request_new(&req, RTM_GETLINK, 0, sizeof(*ifi), &ifi);
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return netlink_dump(nl, nlh, link_visit, &v);
}

/* No link-local address: nothing of the kernel's own is to be sent to a device whose every packet
 * needs a tunnel key. A host without IPv6 has nothing to turn off. */
static int link_no_autoconf(struct netlink *nl, uint32_t ifindex)
{
	struct nlattr *spec, *inet6;
	struct netlink_request req;
	struct ifinfomsg *ifi;
	struct nlmsghdr *nlh;
	int err;

	nlh = netlink_request_new(&req, RTM_SETLINK, 0, sizeof(*ifi), &ifi);
	ifi->ifi_index = (int)ifindex;
	spec = mnl_attr_nest_start(nlh, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(nlh, AF_INET6);
	mnl_attr_put_u8(nlh, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(nlh, inet6);
	mnl_attr_nest_end(nlh, spec);
	err = netlink_talk(nl, nlh, NULL, NULL);
	return err == -EAFNOSUPPORT ? 0 : err;
}

static int link_set_alias(struct netlink *nl, uint32_t ifindex)
{
	struct netlink_request req;
	struct ifinfomsg *ifi;
	struct nlmsghdr *nlh;

	nlh = netlink_request_new(&req, RTM_SETLINK, 0, sizeof(*ifi), &ifi);
	ifi->ifi_index = (int)ifindex;
	mnl_attr_put_strz(nlh, IFLA_IFALIAS, NETLINK_LINK_ALIAS);
	return netlink_talk(nl, nlh, NULL, NULL);
}

static int vxlan_new(struct netlink *nl, const char *name, uint16_t port)
{
	struct nlattr *info, *data;
	struct netlink_request req;
	struct ifinfomsg *ifi;
	struct nlmsghdr *nlh;
	uint8_t mac[6];

	if (getrandom(mac, sizeof(mac), 0) != (ssize_t)sizeof(mac))
		return -EIO;
	mac[0] = (uint8_t)((mac[0] & ~1U) | 2U); /* unicast, locally administered */

	nlh = netlink_request_new(&req, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*ifi), &ifi);
	ifi->ifi_flags = IFF_NOARP;
	ifi->ifi_change = IFF_NOARP;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	mnl_attr_put(nlh, IFLA_ADDRESS, sizeof(mac), mac);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "vxlan");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	mnl_attr_put_u8(nlh, IFLA_VXLAN_COLLECT_METADATA, 1);
	mnl_attr_put_u8(nlh, IFLA_VXLAN_LEARNING, 0);
	mnl_attr_put_u16(nlh, IFLA_VXLAN_PORT, htons(port));
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return netlink_talk(nl, nlh, NULL, NULL);
}

int netlink_vxlan_add(struct netlink *nl, const char *name, uint16_t port)
{
	struct netlink_link l;
	int err;

	if (!*name || strlen(name) >= IFNAMSIZ)
		return -EINVAL;
	err = vxlan_new(nl, name, port);
	if (err)
		return err;
	err = netlink_link_get(nl, name, &l);
	if (err)
		return err;
	err = link_set_alias(nl, l.ifindex);
	if (!err)
		err = link_no_autoconf(nl, l.ifindex);
	if (err)
		netlink_link_del(nl, l.ifindex);
	return err;
}

int netlink_link_up(struct netlink *nl, uint32_t ifindex, uint32_t mtu)
{
	struct netlink_request req;
	struct ifinfomsg *ifi;
	struct nlmsghdr *nlh;

	nlh = netlink_request_new(&req, RTM_SETLINK, 0, sizeof(*ifi), &ifi);
	ifi->ifi_index = (int)ifindex;
	ifi->ifi_flags = IFF_UP;
	ifi->ifi_change = IFF_UP;
	if (mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	return netlink_talk(nl, nlh, NULL, NULL);
}

int netlink_link_del(struct netlink *nl, uint32_t ifindex)
{
	struct netlink_request req;
	struct ifinfomsg *ifi;
	struct nlmsghdr *nlh;

	/* Without an index the kernel looks for other marks, such as a group. */
	if (!ifindex || ifindex > INT32_MAX)
		return -ENODEV;
	nlh = netlink_request_new(&req, RTM_DELLINK, 0, sizeof(*ifi), &ifi);
	ifi->ifi_index = (int)ifindex;
	return netlink_talk(nl, nlh, NULL, NULL);
}
