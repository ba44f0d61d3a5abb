/* SPDX-License-Identifier: BSD-3-Clause */
#include "netlink_request.h"

#include <string.h>

static void attr_keep(const struct nlattr *a, const struct nlattr **tb, uint16_t max)
{
	uint16_t type = mnl_attr_get_type(a);

	if (type <= max)
		tb[type] = a;
}

void netlink_attrs(const struct nlmsghdr *nlh, size_t header_len, const struct nlattr **tb,
		   uint16_t max)
{
	const struct nlattr *a;

	for (size_t i = 0; i <= max; i++)
		tb[i] = NULL;
	if (mnl_nlmsg_get_payload_len(nlh) < header_len)
		return;
	mnl_attr_for_each(a, nlh, header_len) attr_keep(a, tb, max);
}

void netlink_nested(const struct nlattr *nest, const struct nlattr **tb, uint16_t max)
{
	const struct nlattr *a;

	for (size_t i = 0; i <= max; i++)
		tb[i] = NULL;
	if (!nest)
		return;
	mnl_attr_for_each_nested(a, nest) attr_keep(a, tb, max);
}

static bool attr_is(const struct nlattr *a, size_t len)
{
	return a && mnl_attr_get_payload_len(a) == len;
}

uint8_t netlink_u8(const struct nlattr *a, uint8_t otherwise)
{
	return attr_is(a, sizeof(uint8_t)) ? mnl_attr_get_u8(a) : otherwise;
}

uint16_t netlink_u16(const struct nlattr *a, uint16_t otherwise)
{
	return attr_is(a, sizeof(uint16_t)) ? mnl_attr_get_u16(a) : otherwise;
}

uint32_t netlink_u32(const struct nlattr *a, uint32_t otherwise)
{
	return attr_is(a, sizeof(uint32_t)) ? mnl_attr_get_u32(a) : otherwise;
}

void netlink_str(char *out, size_t size, const struct nlattr *a)
{
	size_t len = a ? mnl_attr_get_payload_len(a) : 0;

	if (len > size - 1)
		len = size - 1;
	if (len)
		memcpy(out, mnl_attr_get_payload(a), len);
	out[len] = 0;
}

bool netlink_addr(struct c25_addr *out, int family, const struct nlattr *a)
{
	if (family == AF_INET && attr_is(a, 4))
		*out = addr_from4(mnl_attr_get_payload(a));
	else if (family == AF_INET6 && attr_is(a, 16))
		*out = addr_from6(mnl_attr_get_payload(a));
	else
		return false;
	return true;
}

void netlink_put_addr(struct nlmsghdr *nlh, uint16_t type, const struct c25_addr *a)
{
	if (addr_is4(a))
		mnl_attr_put(nlh, type, 4, a->b + 12);
	else
		mnl_attr_put(nlh, type, 16, a->b);
}
