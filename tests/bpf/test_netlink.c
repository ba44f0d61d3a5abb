/* SPDX-License-Identifier: BSD-3-Clause */
#include "netns.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <poll.h>

TestSuite(netlink, .init = netns_enter, .fini = netns_leave);

static uint32_t index_of(const char *name)
{
	struct netlink_link l;

	cr_assert_eq(netlink_link_get(nl, name, &l), 0, "%s", name);
	return l.ifindex;
}

static struct netlink_route route(const char *dst, const char *dev)
{
	return (struct netlink_route){
		.dst = P(dst),
		.ifindex = dev ? index_of(dev) : 0,
		.table = NETLINK_TABLE,
		.proto = NETLINK_PROTO,
		.type = dev ? RTN_UNICAST : RTN_UNREACHABLE,
	};
}

Test(netlink, a_link_is_described_by_name_and_by_index)
{
	struct netlink_link l, same;

	RUN("ip link add br0 mtu 1400 address 02:00:00:00:00:07 type bridge");
	RUN("ip link set br0 alias 'an alias' up");
	cr_assert_eq(netlink_link_get(nl, "br0", &l), 0);
	cr_assert_eq(l.mtu, 1400);
	cr_assert(l.up && l.l2);
	cr_assert_eq(l.mac[5], 7);
	cr_assert_str_eq(l.kind, "bridge");
	cr_assert_str_eq(l.alias, "an alias");
	cr_assert_eq(netlink_link_get_index(nl, l.ifindex, &same), 0);
	cr_assert_str_eq(same.name, "br0");
}

Test(netlink, a_tun_device_has_no_ethernet_header)
{
	struct netlink_link l;

	RUN("ip tuntap add dev tun7 mode tun");
	cr_assert_eq(netlink_link_get(nl, "tun7", &l), 0);
	cr_assert(!l.l2 && !l.up);
}

Test(netlink, a_missing_device_leaves_the_result_untouched)
{
	struct netlink_link l = { .ifindex = 77 };

	cr_assert_eq(netlink_link_get(nl, "nosuch0", &l), -ENODEV);
	cr_assert_eq(netlink_link_get(nl, "", &l), -ENODEV);
	cr_assert_eq(netlink_link_get(nl, "a-name-longer-than-the-kernel-takes", &l), -ENODEV);
	cr_assert_eq(netlink_link_get_index(nl, 4711, &l), -ENODEV);
	cr_assert_eq(netlink_link_get_index(nl, 0, &l), -ENODEV);
	cr_assert_eq(netlink_link_del(nl, 0), -ENODEV);
	cr_assert_eq(l.ifindex, 77);
}

Test(netlink, our_vxlan_device_is_external_quiet_and_marked)
{
	struct netlink_link a, b;

	cr_assert_eq(netlink_vxlan_add(nl, "c25a", 8925), 0, "%s", netlink_error(nl));
	cr_assert_eq(netlink_vxlan_add(nl, "c25b", 8926), 0);
	cr_assert_eq(netlink_link_get(nl, "c25a", &a), 0);
	cr_assert_eq(netlink_link_get(nl, "c25b", &b), 0);
	cr_assert_str_eq(a.kind, "vxlan");
	cr_assert_str_eq(a.alias, NETLINK_LINK_ALIAS);
	cr_assert_eq(a.vxlan_port, 8925);
	cr_assert(a.vxlan_external && !a.up && a.l2);
	cr_assert_eq(a.mac[0] & 3, 2, "unicast, locally administered");
	cr_assert(memcmp(a.mac, b.mac, 6) != 0);

	cr_assert_eq(netlink_link_up(nl, a.ifindex, 1450), 0);
	SHOWS("ip -d link show c25a", "NOARP");
	SHOWS("ip -d link show c25a", "nolearning");
	SHOWS("ip -d link show c25a", "mtu 1450");
	SHOWS("ip -d link show c25a", "noudp6zerocsumtx noudp6zerocsumrx");
	SHOWS("ip -d link show c25a", "addrgenmode none");
	cr_assert_str_eq(shown("ip -6 addr show dev c25a"), "");
}

Test(netlink, a_vxlan_port_in_use_is_refused_with_the_kernels_words)
{
	struct netlink_link l;

	RUN("ip link add vx0 type vxlan external dstport 8925");
	cr_assert_eq(netlink_vxlan_add(nl, "c25a", 8925), -EEXIST);
	cr_assert_str_neq(netlink_error(nl), "");
	cr_assert_eq(netlink_link_get(nl, "c25a", &l), -ENODEV);
	cr_assert_str_eq(netlink_error(nl), "");
}

Test(netlink, addresses_come_and_go_and_may_be_repeated)
{
	struct prefix p4 = P("100.101.0.1"), p6 = P("fd25::1");
	uint32_t dev;

	RUN("ip link add br0 up type bridge");
	dev = index_of("br0");
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(netlink_addr_add(nl, dev, &p4), 0);
		cr_assert_eq(netlink_addr_add(nl, dev, &p6), 0);
	}
	SHOWS("ip addr show br0", "inet 100.101.0.1/32 scope global");
	SHOWS("ip addr show br0", "inet6 fd25::1/128 scope global nodad noprefixroute");
	SHOWS_NOT("ip -6 route show table main", "fd25::1");
	cr_assert_eq(netlink_addr_del(nl, dev, &p4), 0);
	cr_assert_eq(netlink_addr_del(nl, dev, &p6), 0);
	cr_assert_eq(netlink_addr_del(nl, dev, &p4), -EADDRNOTAVAIL);
	SHOWS_NOT("ip addr show br0", "100.101.0.1");
}

Test(netlink, the_address_of_a_device_is_its_first_global_one)
{
	struct c25_addr a, want, none = { 0 };
	uint32_t dev;

	RUN("ip link add br0 up type bridge; ip link add br1 up type bridge");
	dev = index_of("br0");
	cr_assert_eq(netlink_addr_of(nl, dev, true, &none, &a), -ENODATA);
	cr_assert_eq(netlink_addr_of(nl, dev, false, &none, &a), -ENODATA, "link-local only");
	RUN("ip addr add 192.0.2.66/24 dev br1");
	RUN("ip addr add 198.51.100.9/24 dev br0 scope link; ip addr add 192.0.2.5/24 dev br0");
	RUN("ip addr add 192.0.2.6/24 dev br0");
	RUN("ip addr add 2001:db8::5/64 dev br0 nodad");
	RUN("ip addr add 2001:db8::6/64 dev br0 nodad preferred_lft 0");
	cr_assert_eq(netlink_addr_of(nl, dev, true, &none, &a), 0);
	want = A("192.0.2.5");
	cr_assert(addr_equal(&a, &want));
	cr_assert_eq(netlink_addr_of(nl, dev, false, &none, &a), 0);
	want = A("2001:db8::5");
	cr_assert(addr_equal(&a, &want));
}

Test(netlink, the_address_of_a_device_stays_while_it_is_as_good)
{
	struct c25_addr a = { 0 }, want, none = { 0 };
	uint32_t dev;

	RUN("ip link add br0 up type bridge");
	dev = index_of("br0");
	RUN("ip addr add fd00:7::5/64 dev br0 nodad");
	cr_assert_eq(netlink_addr_of(nl, dev, false, &none, &a), 0);
	want = A("fd00:7::5");
	cr_assert(addr_equal(&a, &want));
	RUN("ip addr add 2001:db8::5/64 dev br0 nodad");
	cr_assert_eq(netlink_addr_of(nl, dev, false, &a, &a), 0);
	want = A("2001:db8::5");
	cr_assert(addr_equal(&a, &want), "a unique local address gives way");
	/* The kernel puts new ones before old ones, and what is taken away and given back behind. */
	RUN("ip addr add 2001:db8::6/64 dev br0 nodad; ip addr add fd00:7::6/64 dev br0 nodad");
	RUN("ip addr add 192.0.2.5/24 dev br0; ip addr add 198.51.100.5/24 dev br0");
	cr_assert_eq(netlink_addr_of(nl, dev, false, &a, &a), 0);
	cr_assert(addr_equal(&a, &want));
	want = a = A("198.51.100.5");
	cr_assert_eq(netlink_addr_of(nl, dev, true, &a, &a), 0);
	cr_assert(addr_equal(&a, &want));
	RUN("ip addr del 198.51.100.5/24 dev br0");
	cr_assert_eq(netlink_addr_of(nl, dev, true, &a, &a), 0);
	want = A("192.0.2.5");
	cr_assert(addr_equal(&a, &want));
}

static int count_route(const struct netlink_route *r, void *ctx)
{
	struct netlink_route *out = ctx;

	*out = *r;
	return 0;
}

static struct netlink_route only_route(void)
{
	struct netlink_route r = { 0 };

	cr_assert_eq(netlink_table_each(nl, NETLINK_TABLE, count_route, &r), 0);
	return r;
}

Test(netlink, routes_come_back_as_they_were_put)
{
	static const char *const dst[] = { "198.18.0.0/16", "fd25:a::/96" };
	static const char *const via[] = { "100.101.0.9", "fd25::9" };
	static const char *const src[] = { "100.101.0.1", "fd25::1" };
	uint32_t dev;

	RUN("ip link add br0 up type bridge");
	dev = index_of("br0");
	for (int i = 0; i < 2; i++) {
		struct netlink_route r = route(dst[i], "br0"), got;
		struct prefix own = P(src[i]);

		cr_assert_eq(netlink_addr_add(nl, dev, &own), 0);
		r.via = A(via[i]);
		r.src = own.addr;
		r.onlink = true;
		cr_assert_eq(netlink_route_put(nl, &r), 0, "%s", netlink_error(nl));
		got = only_route();
		cr_assert_eq(memcmp(&got, &r, sizeof(r)), 0);
		/* Put again in another form, it is replaced. */
		memset(&r.via, 0, sizeof(r.via));
		r.onlink = false;
		cr_assert_eq(netlink_route_put(nl, &r), 0, "%s", netlink_error(nl));
		got = only_route();
		cr_assert_eq(memcmp(&got, &r, sizeof(r)), 0);
		r = route(dst[i], NULL);
		cr_assert_eq(netlink_route_put(nl, &r), 0, "%s", netlink_error(nl));
		got = only_route();
		cr_assert_eq(got.type, RTN_UNREACHABLE);
		cr_assert_eq(netlink_route_del(nl, &got), 0, "%s", netlink_error(nl));
		cr_assert_eq(netlink_route_del(nl, &got), -ESRCH);
		cr_assert_eq(only_route().table, 0);
	}
}

Test(netlink, ipv4_goes_via_ipv6_but_not_the_other_way)
{
	struct netlink_route r, got;

	RUN("ip link add br0 up type bridge");
	r = route("198.18.0.0/16", "br0");
	r.via = A("fd25::9");
	r.onlink = true;
	cr_assert_eq(netlink_route_put(nl, &r), 0, "%s", netlink_error(nl));
	got = only_route();
	cr_assert_eq(memcmp(&got, &r, sizeof(r)), 0);
	SHOWS("ip route show table 2525", "via inet6 fd25::9");
	cr_assert_eq(netlink_route_del(nl, &got), 0);
	r = route("fd25:a::/96", "br0");
	r.via = A("100.101.0.9");
	cr_assert_eq(netlink_route_put(nl, &r), -EINVAL);
}

static int count_defaults(const struct netlink_route *r, void *ctx)
{
	char *devs = ctx;

	if (r->is_default && r->type == RTN_UNICAST)
		devs[strlen(devs)] = (char)('0' + r->ifindex);
	return 0;
}

Test(netlink, each_next_hop_of_a_route_is_seen)
{
	char devs[16] = "";

	RUN("ip link add br0 up type bridge; ip link add br1 up type bridge");
	RUN("ip addr add 192.0.2.1/24 dev br0; ip addr add 198.51.100.1/24 dev br1");
	RUN("ip route add default nexthop via 192.0.2.2 dev br0 nexthop via 198.51.100.2 dev "
	    "br1");
	cr_assert_eq(netlink_route_each(nl, count_defaults, devs), 0);
	cr_assert_eq(strlen(devs), 2);
	cr_assert_eq(devs[0], '0' + (char)index_of("br0"));
	cr_assert_eq(devs[1], '0' + (char)index_of("br1"));
}

Test(netlink, the_way_to_an_address_follows_rules_and_metrics)
{
	struct c25_addr to = A("203.0.113.7"), none = A("198.51.100.1"), to6 = A("2001:db8:7::7");
	uint32_t dev = 0, mtu = 0;

	RUN("ip link add br0 up mtu 1400 type bridge; ip link add br1 up mtu 9000 type bridge");
	cr_assert_eq(netlink_route_to(nl, &to, &dev, &mtu), -ENETUNREACH);
	RUN("ip addr add 192.0.2.1/24 dev br0; ip route add 203.0.113.0/24 dev br0");
	cr_assert_eq(netlink_route_to(nl, &to, &dev, &mtu), 0);
	cr_assert_eq(dev, index_of("br0"));
	cr_assert_eq(mtu, 1400);
	RUN("ip route add 203.0.113.0/24 dev br1 mtu 1300 table 7");
	RUN("ip rule add to 203.0.113.7 lookup 7; ip route add unreachable 198.51.100.0/24");
	cr_assert_eq(netlink_route_to(nl, &to, &dev, &mtu), 0);
	cr_assert_eq(dev, index_of("br1"));
	cr_assert_eq(mtu, 1300);
	cr_assert_eq(netlink_route_to(nl, &none, &dev, &mtu), -EHOSTUNREACH);
	cr_assert_lt(netlink_route_to(nl, &to6, &dev, &mtu), 0);
	RUN("ip addr add 2001:db8::1/64 dev br1 nodad; ip route add 2001:db8:7::/64 dev br1");
	cr_assert_eq(netlink_route_to(nl, &to6, &dev, &mtu), 0);
	cr_assert_eq(mtu, 9000);
}

static int count_rule(const struct prefix *to, void *ctx)
{
	(*(int *)ctx)++;
	return 0;
}

Test(netlink, rules_are_ours_by_table_and_protocol)
{
	struct prefix p4 = P("198.18.0.0/16"), p6 = P("fd25:a::/96"), all = P("0.0.0.0/0");
	int n = 0;

	for (int i = 0; i < 2; i++) {
		cr_assert_eq(netlink_rule_put(nl, &p4), 0);
		cr_assert_eq(netlink_rule_put(nl, &p6), 0);
	}
	cr_assert_eq(netlink_rule_put(nl, &all), -EINVAL);
	RUN("ip rule add to 10.0.0.0/8 lookup 2525; ip rule add to 10.0.0.0/8 lookup 7 proto 25");
	SHOWS("ip rule", "25:\tfrom all to 198.18.0.0/16 lookup 2525 proto 25");
	SHOWS("ip -6 rule", "25:\tfrom all to fd25:a::/96 lookup 2525 proto 25");
	cr_assert_eq(netlink_rule_each(nl, count_rule, &n), 0);
	cr_assert_eq(n, 2);
	cr_assert_eq(netlink_rule_del(nl, &p4), 0);
	cr_assert_eq(netlink_rule_del(nl, &p4), -ENOENT);
}

Test(netlink, removing_takes_ours_and_nothing_else)
{
	struct prefix p4 = P("198.18.0.0/16");
	struct netlink_route r;
	char before[65536];

	RUN("ip link add br0 up type bridge; ip link add vx0 type vxlan external dstport 4789");
	RUN("ip link set vx0 alias 'conn25 overlay of another'");
	RUN("ip rule add to 10.0.0.0/8 lookup 2525; ip rule add to 10.0.0.0/8 lookup 7 proto 25");
	RUN("ip route add 10.1.0.0/16 dev br0 table 2525; "
	    "ip route add 10.2.0.0/16 dev br0 proto 25");
	snprintf(before, sizeof(before), "%s",
		 shown("ip -o link; ip rule; ip -6 rule; ip route show table all"));
	cr_assert_eq(netlink_remove_ours(nl), 0);

	cr_assert_eq(netlink_vxlan_add(nl, "c25a", 8925), 0);
	cr_assert_eq(netlink_rule_put(nl, &p4), 0);
	RUN("ip rule add lookup 2525 proto 25 pref 1; ip -6 rule add to fd00::/8 lookup 2525 proto "
	    "25");
	r = route("198.18.0.0/16", "br0");
	cr_assert_eq(netlink_route_put(nl, &r), 0);
	r = route("fd25:a::/96", NULL);
	cr_assert_eq(netlink_route_put(nl, &r), 0);
	cr_assert_eq(netlink_remove_ours(nl), 6, "%s", netlink_error(nl));
	cr_assert_str_eq(shown("ip -o link; ip rule; ip -6 rule; ip route show table all"), before);
	cr_assert_eq(netlink_remove_ours(nl), 0);
}

Test(netlink, marked_packets_are_brought_to_this_host_and_let_go_again)
{
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(netlink_mark_put(nl), 0, "%s", netlink_error(nl));
		SHOWS("ip rule", "24:\tfrom all fwmark 0xc25/0xfff lookup 2553");
		SHOWS("ip -6 rule", "24:\tfrom all fwmark 0xc25/0xfff lookup 2553");
		SHOWS("ip route show table 2553", "local default dev lo proto 25 scope host");
		SHOWS("ip -6 route show table 2553", "local default dev lo proto 25");
	}
	cr_assert_eq(shown("ip rule | grep -c 2553")[0], '1');
	/* Others' rules with our mark, and others' routes in our table, stay. */
	RUN("ip rule add fwmark 0xc25/0xfff lookup 99; ip route add local 192.0.2.0/24 dev lo "
	    "table 2553");
	cr_assert_eq(netlink_mark_del(nl), 4);
	cr_assert_eq(netlink_mark_del(nl), 0);
	SHOWS_NOT("ip rule; ip -6 rule", "2553");
	SHOWS("ip rule", "lookup 99");
	SHOWS("ip route show table 2553", "192.0.2.0/24");
	SHOWS_NOT("ip route show table 2553", "default");
	cr_assert_eq(netlink_mark_put(nl), 0);
	cr_assert_eq(netlink_remove_ours(nl), 4);
}

Test(netlink, nat_is_found_in_nftables_and_iptables)
{
	static const char *const makes[][2] = {
		{ "nft 'add table ip6 t; add chain ip6 t c "
		  "{ type nat hook prerouting priority dstnat; }'",
		  "nft delete table ip6 t" },
		{ "iptables-nft -t nat -A PREROUTING -j ACCEPT", "nft delete table ip nat" },
	};

	cr_assert_not(netlink_nat_there());
	RUN("nft 'add table inet t; add chain inet t c { type filter hook prerouting priority 0; "
	    "}; "
	    "add chain inet t nat'");
	cr_assert_not(netlink_nat_there());
	for (size_t i = 0; i < ARRAY_SIZE(makes); i++) {
		RUN("%s", makes[i][0]);
		cr_assert(netlink_nat_there(), "%s", makes[i][0]);
		RUN("%s", makes[i][1]);
		cr_assert_not(netlink_nat_there(), "%s", makes[i][1]);
	}
	/* This one stays until its namespace goes. */
	RUN("iptables-legacy -t nat -A PREROUTING -j ACCEPT");
	cr_assert(netlink_nat_there());
}

Test(netlink, marked_packets_are_not_tracked_while_a_descriptor_is_open)
{
	int fd = netlink_untracked_open();

	cr_assert_geq(fd, 0, "%s", strerror(-fd));
	cr_assert_eq(netlink_untracked_open(), -EPERM);
	SHOWS("nft list table inet conn25", "hook prerouting priority raw");
	SHOWS("nft list table inet conn25", "meta mark & 0x00000fff == 0x00000c25 notrack");
	SHOWS("nft list table inet conn25", "hook output priority raw");
	SHOWS("nft list table inet conn25", "meta mark & 0x00000fff == 0x00000c26 notrack");
	/* As the host's firewall does when it starts again. */
	RUN("nft flush ruleset");
	SHOWS("nft list tables", "inet conn25");
	close(fd);
	SHOWS_NOT("nft list tables", "conn25");
}

Test(netlink, the_watch_tells_of_others_changes_only)
{
	struct pollfd p = { .fd = netlink_watch_fd(nl), .events = POLLIN };
	struct prefix p4 = P("198.18.0.0/16");

	netlink_watch_read(nl);
	cr_assert_eq(netlink_watch_read(nl), 0, "empty, and does not block");
	cr_assert_eq(netlink_rule_put(nl, &p4), 0);
	cr_assert_eq(netlink_watch_read(nl), 0, "our own doing");
	RUN("ip rule del to 198.18.0.0/16 lookup 2525");
	cr_assert_eq(poll(&p, 1, 1000), 1);
	cr_assert_eq(netlink_watch_read(nl), 1);
	cr_assert_eq(netlink_watch_read(nl), 0);
	RUN("ip link add br0 up type bridge");
	cr_assert_eq(netlink_watch_read(nl), 1);
	RUN("ip addr add 192.0.2.1/24 dev br0");
	cr_assert_eq(netlink_watch_read(nl), 1);
	RUN("ip route add 10.0.0.0/8 dev br0");
	cr_assert_eq(netlink_watch_read(nl), 1);
}

static int see_neigh(const struct netlink_neigh *n, void *ctx)
{
	struct netlink_neigh *seen = ctx;

	if (addr_equal(&n->addr, &seen->addr))
		*seen = *n;
	return 0;
}

Test(netlink, a_neighbour_that_is_kept_is_ours_and_goes_with_the_rest)
{
	struct prefix kept = P("192.0.2.9"), other = P("192.0.2.8");
	struct netlink_neigh n = { .addr = kept.addr };

	RUN("ip link add br0 up type bridge; ip addr add 192.0.2.1/24 dev br0");
	RUN("ip neigh add 192.0.2.8 lladdr 02:00:00:00:00:08 dev br0");
	cr_assert_eq(netlink_watch_neigh(nl), 0);
	netlink_watch_read(nl);
	cr_assert_eq(netlink_neigh_keep(nl, index_of("br0"), &kept.addr), 0, "%s",
		     netlink_error(nl));
	cr_assert_eq(netlink_watch_read(nl), 0, "our own doing");
	cr_assert_eq(netlink_neigh_each(nl, index_of("br0"), see_neigh, &n), 0);
	cr_assert(n.proto == NETLINK_PROTO && n.managed && !n.resolved && !n.fixed);
	RUN("ip neigh replace 192.0.2.9 lladdr 02:00:00:00:00:09 dev br0 nud reachable; "
	    "ip neigh replace 192.0.2.7 lladdr 02:00:00:00:00:07 dev br0");
	cr_assert_eq(netlink_watch_read(nl), NETLINK_NEWS_NEIGH);
	cr_assert_eq(netlink_neigh_each(nl, 0, see_neigh, &n), 0);
	cr_assert(n.resolved);

	cr_assert_eq(netlink_remove_ours(nl), 1);
	n = (struct netlink_neigh){ .addr = kept.addr };
	cr_assert_eq(netlink_neigh_each(nl, 0, see_neigh, &n), 0);
	cr_assert_eq(n.ifindex, 0, "gone");
	n.addr = other.addr;
	cr_assert_eq(netlink_neigh_each(nl, 0, see_neigh, &n), 0);
	cr_assert(n.fixed, "somebody else's stays");
}

Test(netlink, a_watch_that_overflowed_counts_as_a_change)
{
	netlink_watch_read(nl);
	RUN("ip link add br0 up type bridge");
	RUN("for i in $(seq 60); do for j in $(seq 40); do "
	    "echo route add 10.$i.$j.0/24 dev br0; done; done | ip -batch -");
	cr_assert_eq(netlink_watch_read(nl), 1);
	cr_assert_eq(netlink_watch_read(nl), 0);
}

static int ask_inside(const struct netlink_link *l, void *ctx)
{
	struct netlink_link same;

	cr_assert_eq(netlink_link_get_index(nl, l->ifindex, &same), 0);
	return ++*(int *)ctx == 2 ? -ECANCELED : 0;
}

Test(netlink, a_walk_may_ask_and_may_stop)
{
	struct netlink_link l;
	int n = 0;

	RUN("ip link add br0 type bridge; ip link add br1 type bridge");
	cr_assert_eq(netlink_link_each(nl, ask_inside, &n), -ECANCELED);
	cr_assert_eq(n, 2);
	cr_assert_eq(netlink_link_get(nl, "br1", &l), 0);
}
