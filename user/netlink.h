/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netlink: devices, addresses, routes and rules, over libmnl.
 *
 * Thin: one function a request, no state but the socket. Functions return 0 or a negative errno
 * and do not log. What conn25 makes carries NETLINK_PROTO, so that detach finds it again.
 */
#ifndef NETLINK_H
#define NETLINK_H

#include "addr.h"
#include "cleanup.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETLINK_PROTO      25   /* rtm_protocol and FRA_PROTOCOL of our routes and rules */
#define NETLINK_TABLE      2525 /* conn25's own routing table */
#define NETLINK_RULE_PRIO  25   /* ahead of the rules of cloud CNIs, behind `local` */
#define NETLINK_DNS_TABLE  2553 /* delivers marked packets to this host */
#define NETLINK_DNS_PRIO   24
#define NETLINK_LINK_ALIAS "conn25 overlay" /* IFLA_IFALIAS of a device we made */

struct netlink;

int netlink_open(struct netlink **out);
void netlink_free(struct netlink *nl);
DEFINE_CLEANUP(netlink, struct netlink *, netlink_free)

/* What the kernel said to the last request beyond its errno; "" where it said nothing. */
const char *netlink_error(const struct netlink *nl);

struct netlink_link {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	uint32_t mtu;
	uint32_t master; /* interface index of the bridge it is a port of; 0: none */
	bool up;
	bool l2; /* Ethernet frames */
	uint8_t mac[6];
	char kind[16]; /* "vxlan", "veth", ""; IFLA_INFO_KIND */
	char alias[64];
	uint16_t vxlan_port; /* host order; 0: no VXLAN device */
	bool vxlan_external;
};

int netlink_link_get(struct netlink *nl, const char *name, struct netlink_link *out);
int netlink_link_get_index(struct netlink *nl, uint32_t ifindex, struct netlink_link *out);
int netlink_link_each(struct netlink *nl, int (*each)(const struct netlink_link *l, void *ctx),
		      void *ctx);

/* An external (collect metadata) VXLAN device with `arp off`, a random MAC, our alias, not up. */
int netlink_vxlan_add(struct netlink *nl, const char *name, uint16_t port);
int netlink_link_up(struct netlink *nl, uint32_t ifindex, uint32_t mtu);
int netlink_link_del(struct netlink *nl, uint32_t ifindex);

/* IPv6 without duplicate address detection and without a route of the kernel's own. There already
 * counts as done. */
int netlink_addr_add(struct netlink *nl, uint32_t ifindex, const struct prefix *p);
int netlink_addr_del(struct netlink *nl, uint32_t ifindex, const struct prefix *p);
/* The address packets leave from: first global one of the family that is neither deprecated nor
 * temporary, nor unique local (RFC 4193) where there are others; but `had`, once chosen, for as
 * long as it is as good. -ENODATA: none. */
int netlink_addr_of(struct netlink *nl, uint32_t ifindex, bool is4, const struct c25_addr *had,
		    struct c25_addr *out);
/* Those that may be used now, neither tentative nor failed; p->addr is the address itself, host
 * bits and all. */
int netlink_addr_each(struct netlink *nl,
		      int (*each)(uint32_t ifindex, const struct prefix *p, void *ctx), void *ctx);

struct netlink_route {
	struct prefix dst;
	struct c25_addr via; /* all zero: none; IPv4 may go via IPv6 */
	struct c25_addr src; /* preferred source; all zero: none */
	uint32_t ifindex;
	uint32_t table;
	uint32_t proto;
	uint8_t type; /* RTN_UNICAST, RTN_UNREACHABLE, …; 0 stands for RTN_UNICAST */
	bool onlink;
	bool is_default;
};

int netlink_route_put(struct netlink *nl, const struct netlink_route *r); /* replaces */
int netlink_route_del(struct netlink *nl, const struct netlink_route *r);
/* Of all tables, of one; a route of several next hops comes once for each of them. */
int netlink_route_each(struct netlink *nl, int (*each)(const struct netlink_route *r, void *ctx),
		       void *ctx);
int netlink_table_each(struct netlink *nl, uint32_t table,
		       int (*each)(const struct netlink_route *r, void *ctx), void *ctx);

/* How a packet of this host to `dst` would leave now, by rules and all. `mtu`: of that route or
 * device. -ENETUNREACH, -EHOSTUNREACH: it would not. */
int netlink_route_to(struct netlink *nl, const struct c25_addr *dst, uint32_t *ifindex,
		     uint32_t *mtu);

/* `ip rule add to PREFIX lookup TABLE`, ours; there already counts as done. A length of 0 is
 * -EINVAL: the kernel takes such a rule for any other when it is to be deleted. */
int netlink_rule_put(struct netlink *nl, const struct prefix *to);
int netlink_rule_del(struct netlink *nl, const struct prefix *to);
int netlink_rule_each(struct netlink *nl, int (*each)(const struct prefix *to, void *ctx),
		      void *ctx); /* ours only */

struct netlink_neigh {
	struct c25_addr addr;
	uint32_t ifindex;
	uint8_t proto;
	bool resolved; /* its link address is known, be it a while ago */
	bool fixed;    /* by hand, or without a link address */
	bool managed;  /* the kernel keeps it resolved */
};

/* The kernel keeps the entry resolved from now on, and it is ours. Kernels before 5.16 take it for
 * an ordinary one. Not for one that is fixed: it would no longer be. */
int netlink_neigh_keep(struct netlink *nl, uint32_t ifindex, const struct c25_addr *a);
int netlink_neigh_del(struct netlink *nl, uint32_t ifindex, const struct c25_addr *a);
/* Of one device; 0: of all. */
int netlink_neigh_each(struct netlink *nl, uint32_t ifindex,
		       int (*each)(const struct netlink_neigh *n, void *ctx), void *ctx);

/* Packets with C25_MARK are this host's, whatever their destination: rule and route of both
 * families, as far as the host has them. There already counts as done. */
int netlink_mark_put(struct netlink *nl);
/* How many rules and routes went, or a negative errno. */
int netlink_mark_del(struct netlink *nl);

/* Whether chains of this host's do NAT, of nftables or of iptables in either of its forms. What
 * cannot be found out counts as no. */
bool netlink_nat_there(void);

/* Packets with C25_MARK, and those with C25_MARK_ANSWER that leave, are kept from connection
 * tracking and NAT while the descriptor that is returned is open. -EPERM: another process does it. */
int netlink_untracked_open(void);

/* All rules, routes, neighbours and devices that carry our marks. How many went, or a negative
 * errno. */
int netlink_remove_ours(struct netlink *nl);

/* Links, addresses, routes and rules that others change: a descriptor to poll, and a call that
 * reads it empty and says what changed (NETLINK_NEWS), or a negative errno. */
#define NETLINK_NEWS       1
#define NETLINK_NEWS_NEIGH 2 /* a neighbour of ours, after netlink_watch_neigh() */
int netlink_watch_fd(const struct netlink *nl);
int netlink_watch_read(struct netlink *nl);
int netlink_watch_neigh(struct netlink *nl);

#endif
