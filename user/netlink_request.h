/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netlink_request: one request and its answer, shared by the netlink_*.c files and wg_netlink.c
 * only.
 *
 * Attributes are read through functions that check their size: what the kernel sends in another
 * shape counts as absent.
 */
#ifndef NETLINK_REQUEST_H
#define NETLINK_REQUEST_H

#include "netlink.h"

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#define NETLINK_REQUEST_LEN 1024 /* the longest request we make, with room to spare */

struct netlink_request {
	_Alignas(struct nlmsghdr) char buf[NETLINK_REQUEST_LEN];
};

/* A header with NLM_F_REQUEST and `flags`, followed by `extra_len` zeroed bytes at *extra. */
struct nlmsghdr *netlink_request_new(struct netlink_request *req, uint16_t type, uint16_t flags,
				     size_t extra_len, void *extra);

typedef int (*netlink_each)(const struct nlmsghdr *nlh, void *ctx);

/* Send, and wait for the acknowledgement. `each` (or NULL) gets what comes before it; its first
 * non-zero result becomes ours. */
int netlink_talk(struct netlink *nl, struct nlmsghdr *nlh, netlink_each each, void *ctx);

/* A whole table. `each` is called once all of it has arrived, so it may make requests itself;
 * a dump that the kernel calls inconsistent is asked again before. */
int netlink_dump(struct netlink *nl, struct nlmsghdr *nlh, netlink_each each, void *ctx);

/* Fills tb[0..max] from the attributes behind a fixed header, or inside one. */
void netlink_attrs(const struct nlmsghdr *nlh, size_t header_len, const struct nlattr **tb,
		   uint16_t max);
void netlink_nested(const struct nlattr *nest, const struct nlattr **tb, uint16_t max);

uint8_t netlink_u8(const struct nlattr *a, uint8_t otherwise);
uint16_t netlink_u16(const struct nlattr *a, uint16_t otherwise);
uint32_t netlink_u32(const struct nlattr *a, uint32_t otherwise);
/* Copies a string attribute, cut to fit; empty if absent. */
void netlink_str(char *out, size_t size, const struct nlattr *a);
/* AF_INET or AF_INET6 bytes; false: absent, or of another size. */
bool netlink_addr(struct c25_addr *out, int family, const struct nlattr *a);
void netlink_put_addr(struct nlmsghdr *nlh, uint16_t type, const struct c25_addr *a);

/* RTM_NEWNEIGH or RTM_DELNEIGH of an entry with our mark. */
bool netlink_neigh_is_ours(const struct nlmsghdr *nlh);

/* How the kernel counts a prefix of ours. */
static inline int netlink_family(const struct prefix *p)
{
	return prefix_is4(p) ? AF_INET : AF_INET6;
}

static inline uint8_t netlink_prefix_len(const struct prefix *p)
{
	return prefix_is4(p) ? p->len - 96 : p->len;
}

#endif
