/* SPDX-License-Identifier: BSD-3-Clause */
#include "netns.h"

#include "netmap.h"
#include "overlay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <time.h>

#define OWN_NODE                                                                                   \
	"{ \"id\": \"a\", \"addresses\": [\"100.101.0.1\", \"fd25::1\"], \"underlay\": "           \
	"\"192.0.2.11\","                                                                          \
	"  \"connector\": true }"
#define EXIT_NODE                                                                                  \
	"{ \"id\": \"x\", \"addresses\": [\"100.101.0.9\", \"fd25::9\"], \"underlay\": "           \
	"\"192.0.2.19\","                                                                          \
	"  \"connector\": true }"
#define APP                                                                                        \
	"{ \"name\": \"web\", \"domains\": [\"example.com\"], \"connectors\": [\"*\"], "           \
	"\"clients\": [\"a\"] }"
#define POOLS                                                                                      \
	"\"ipPools\": { \"v4MagicIPPool\": [\"198.18.0.0-198.18.2.255\"],"                         \
	"  \"v4TransitIPPool\": [\"169.254.64.0/18\"],"                                            \
	"  \"v6MagicIPPool\": [\"fd25:a::/96\"], \"v6TransitIPPool\": [\"fd25:b::/96\"] }"

static struct netmap *nm;
static struct overlay *o;

static void overlay_enter(void)
{
	netns_enter();
	/* Bridges without ports stand in for devices of the host. */
	RUN("ip link add eth7 up type bridge; ip addr add 192.0.2.11/24 dev eth7");
	log_catch();
}

static void overlay_leave(void)
{
	overlay_free(o);
	o = NULL;
	netmap_free(nm);
	nm = NULL;
	netns_leave();
}

TestSuite(overlay, .init = overlay_enter, .fini = overlay_leave);

static struct netmap *parse(const char *text)
{
	struct netmap_fault fault;
	struct netmap *out = NULL;

	cr_assert_eq(netmap_parse(&out, text, strlen(text), "a", &fault), 0, "%s: %s", fault.path,
		     fault.text);
	return out;
}

/* The netmap in force from now on; of these nodes and the usual pools. */
static void netmap_is(const char *nodes)
{
	char text[8192];

	snprintf(text, sizeof(text), "{ \"nodes\": [%s], \"apps\": [" APP "], " POOLS " }", nodes);
	netmap_free(nm);
	nm = parse(text);
}

static int open_as(enum overlay_mode mode, const char *dev, uint16_t port)
{
	struct overlay_config cfg = {
		.mode = mode,
		.dev = dev,
		.vxlan_port = port,
	};

	overlay_free(o);
	o = NULL;
	return overlay_open(&o, &cfg, nl);
}

static void in_sync(void)
{
	cr_assert_eq(overlay_sync(o, nm, NULL, 0), 0, "%s", logged());
}

#define ALL_OF_IT                                                                                  \
	"ip -o addr show scope global | sort; ip rule; ip -6 rule; "                               \
	"ip route show table 2525; ip -6 route show table 2525; ip -o link show conn25"

Test(overlay, vxlan_makes_device_addresses_routes_and_rules)
{
	netmap_is(OWN_NODE "," EXIT_NODE);
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8925), 0, "%s", logged());
	in_sync();
	cr_assert(overlay_tunnel_key(o));
	cr_assert(overlay_link(o)->up);
	cr_assert_eq(overlay_link(o)->mtu, 1450);
	SHOWS("ip addr show conn25", "inet 100.101.0.1/32 scope global");
	SHOWS("ip addr show conn25", "inet6 fd25::1/128 scope global");
	SHOWS("ip route show table 2525", "100.101.0.9 dev conn25 proto 25 scope link src "
					  "100.101.0.1");
	SHOWS("ip route show table 2525", "198.18.0.0/23 dev conn25 proto 25 scope link src "
					  "100.101.0.1");
	SHOWS("ip route show table 2525", "198.18.2.0/24 dev conn25");
	SHOWS("ip -6 route show table 2525", "fd25::9 dev conn25 proto 25 src fd25::1");
	SHOWS("ip -6 route show table 2525", "fd25:a::/96 dev conn25 proto 25 src fd25::1");
	/* Else the kernel takes the first for the routers' anycast address. */
	SHOWS("ip -6 route show table 2525", "fd25:a:: dev conn25 proto 25 src fd25::1");
	SHOWS("ip rule", "25:\tfrom all to 198.18.0.0/23 lookup 2525 proto 25");
	SHOWS("ip rule", "to 198.18.2.0/24 lookup 2525");
	SHOWS("ip rule", "to 100.101.0.9 lookup 2525");
	SHOWS("ip -6 rule", "to fd25::9 lookup 2525");
	SHOWS("ip -6 rule", "to fd25:a::/96 lookup 2525");
	SHOWS("ip route get 198.18.1.1", "dev conn25 table 2525 src 100.101.0.1");
	SHOWS("cat /proc/sys/net/ipv[46]/conf/conn25/forwarding", "1\n1\n");
	cr_assert_str_eq(shown("ip -6 addr show dev conn25 scope link"), "");
}

/* What the kernel does in a while of its own: a new device's state, a link-local address. */
static void wait_to_show(const char *command, const char *part)
{
	for (int i = 0; i < 500 && !strstr(shown(command), part); i++)
		usleep(10 * 1000);
	SHOWS(command, part);
}

Test(overlay, a_sync_without_change_touches_nothing)
{
	struct netlink *onlooker;

	netmap_is(OWN_NODE "," EXIT_NODE);
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8925), 0);
	in_sync();
	wait_to_show("ip link show conn25", "state UNKNOWN");
	cr_assert_eq(netlink_open(&onlooker), 0);
	logged();
	for (int i = 0; i < 3; i++)
		in_sync();
	cr_assert_eq(netlink_watch_read(onlooker), 0);
	cr_assert_str_eq(logged(), "");
	netlink_free(onlooker);
}

Test(overlay, what_someone_took_away_or_half_made_is_mended)
{
	char before[65536];

	netmap_is(OWN_NODE "," EXIT_NODE);
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8925), 0);
	in_sync();
	snprintf(before, sizeof(before), "%s", shown(ALL_OF_IT));
	RUN("ip route flush table 2525; ip -6 rule flush; ip -6 rule add pref 32766 lookup main;"
	    "ip addr flush dev conn25; ip link set conn25 mtu 1300");
	RUN("ip route add 10.9.0.0/16 dev conn25 proto 25 table 2525; "
	    "ip route add 198.18.0.0/23 dev eth7 proto 25 table 2525; "
	    "ip rule add to 10.9.0.0/16 lookup 2525 pref 25 proto 25");
	in_sync();
	cr_assert_str_eq(shown(ALL_OF_IT), before);
	/* A device that is gone comes back, with all that hung on it. */
	RUN("ip link del conn25");
	in_sync();
	SHOWS("ip route show table 2525", "100.101.0.9 dev conn25");
	SHOWS("ip -6 route show table 2525", "fd25:a::/96 dev conn25");
	SHOWS("ip addr show conn25", "inet6 fd25::1/128");
}

Test(overlay, another_netmap_leaves_nothing_of_the_old_one)
{
	netmap_is(OWN_NODE "," EXIT_NODE);
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8925), 0);
	in_sync();
	RUN("ip route add 10.1.0.0/16 dev conn25 table 2525; ip addr add 10.9.9.1/24 dev conn25");
	netmap_is("{ \"id\": \"a\", \"addresses\": [\"100.101.0.2\"] },"
		  "{ \"id\": \"y\", \"addresses\": [\"100.101.0.12\"] },"
		  "{ \"id\": \"z\", \"addresses\": [\"100.101.0.13\"] }");
	in_sync();
	SHOWS("ip addr show conn25", "100.101.0.2/32");
	SHOWS("ip addr show conn25", "10.9.9.1/24");
	SHOWS_NOT("ip addr show conn25", "100.101.0.1/32");
	SHOWS_NOT("ip addr show conn25", "fd25::1");
	SHOWS("ip route show table 2525", "100.101.0.12 dev conn25");
	SHOWS("ip route show table 2525", "10.1.0.0/16 dev conn25");
	SHOWS_NOT("ip route show table 2525", "100.101.0.9");
	SHOWS("ip rule", "to 100.101.0.12/31 lookup 2525");
	SHOWS_NOT("ip rule", "100.101.0.9");
	SHOWS_NOT("ip -6 route show table 2525", "fd25::9");
}

Test(overlay, a_pool_taken_out_keeps_its_route_while_leases_live)
{
	struct prefix keep = P("198.19.0.0/16");

	netmap_is(OWN_NODE "," EXIT_NODE);
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8925), 0);
	cr_assert_eq(overlay_sync(o, nm, &keep, 1), 0);
	SHOWS("ip route show table 2525", "198.19.0.0/16 dev conn25");
	SHOWS("ip rule", "to 198.19.0.0/16 lookup 2525");
	in_sync();
	SHOWS_NOT("ip route show table 2525", "198.19.0.0/16");
	SHOWS_NOT("ip rule", "198.19.0.0/16");
}

Test(overlay, a_device_of_ours_is_taken_over_and_made_anew_for_another_port)
{
	uint32_t first;

	netmap_is(OWN_NODE "," EXIT_NODE);
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8925), 0);
	first = overlay_link(o)->ifindex;
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8925), 0);
	cr_assert_eq(overlay_link(o)->ifindex, first);
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8926), 0);
	SHOWS("ip -d link show conn25", "dstport 8926");
	/* Another name for it: the old one goes, or it would hold the port. */
	cr_assert_eq(open_as(OVERLAY_VXLAN, "other25", 8926), 0);
	SHOWS_NOT("ip link", "conn25:");
}

Test(overlay, a_foreign_device_of_that_name_is_left_alone)
{
	char before[65536];

	RUN("ip link add conn25 type vxlan external dstport 8925");
	snprintf(before, sizeof(before), "%s", shown("ip -d link show conn25"));
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8925), -EEXIST);
	LOGGED("choose another name with --dev");
	cr_assert_str_eq(shown("ip -d link show conn25"), before);
}

Test(overlay, a_port_taken_by_another_vxlan_device_is_told_with_its_name)
{
	RUN("ip link add cni.vx type vxlan external dstport 8925");
	cr_assert_lt(open_as(OVERLAY_VXLAN, "conn25", 8925), 0);
	LOGGED("UDP port 8925 is taken by the VXLAN device cni.vx: choose another with "
	       "--vxlan-port");
	RUN("ip link del cni.vx; ip link add cni.vx up type vxlan id 5 dev eth7 dstport 8925");
	cr_assert_lt(open_as(OVERLAY_VXLAN, "conn25", 8925), 0);
	LOGGED("taken by the VXLAN device cni.vx");
}

Test(overlay, modes_are_named_and_devices_that_do_not_fit_are_refused)
{
	cr_assert_eq(overlay_mode_parse("vxlan"), OVERLAY_VXLAN);
	cr_assert_eq(overlay_mode_parse("wireguard"), OVERLAY_WIREGUARD);
	cr_assert_eq(overlay_mode_parse("none"), OVERLAY_NONE);
	cr_assert_eq(overlay_mode_parse("Vxlan"), -EINVAL);
	cr_assert_eq(open_as(OVERLAY_WIREGUARD, "wg0", 0), -ENODEV);
	LOGGED("no device wg0");
	cr_assert_eq(open_as(OVERLAY_WIREGUARD, "lo", 0), -EINVAL);
	LOGGED("device lo is no WireGuard device");
	cr_assert_eq(open_as(OVERLAY_NONE, "nosuch0", 0), -ENODEV);
	LOGGED("no device nosuch0");
	cr_assert_eq(open_as(OVERLAY_VXLAN, "a-name-of-sixteen", 8925), -EINVAL);
	LOGGED("--dev a-name-of-sixteen");
}

Test(overlay, the_mtu_leaves_room_on_the_narrowest_way)
{
	netmap_is(OWN_NODE "," EXIT_NODE ", { \"id\": \"y\", \"addresses\": [\"100.101.0.7\"], "
			   "\"underlay\": \"2001:db8::7\" },"
			   "{ \"id\": \"lost\", \"addresses\": [\"100.101.0.8\"], "
			   "\"underlay\": \"203.0.113.1\" }");
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8925), 0);
	in_sync();
	cr_assert_eq(overlay_link(o)->mtu, 1450, "only the way to x is known");
	RUN("ip addr add 2001:db8::11/64 dev eth7 nodad");
	in_sync();
	cr_assert_eq(overlay_link(o)->mtu, 1430);
	RUN("ip link set eth7 mtu 9000; ip route add 192.0.2.19 dev eth7 mtu 1400");
	in_sync();
	cr_assert_eq(overlay_link(o)->mtu, 1350);
	SHOWS("ip link show conn25", "mtu 1350");
	RUN("ip route replace 192.0.2.19 dev eth7 mtu 1300");
	in_sync();
	cr_assert_eq(overlay_link(o)->mtu, 1280);
	LOGGED("packets of 1250 bytes only");
}

Test(overlay, rules_for_all_the_world_come_in_halves)
{
	netmap_is(OWN_NODE ", { \"id\": \"x\", \"addresses\": [\"10.0.0.1\"] },"
			   "{ \"id\": \"y\", \"addresses\": [\"193.0.0.1\"] }");
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8925), 0);
	in_sync();
	SHOWS("ip rule", "to 0.0.0.0/1 lookup 2525");
	SHOWS("ip rule", "to 128.0.0.0/1 lookup 2525");
}

Test(overlay, none_sends_magic_via_a_connector_on_ethernet)
{
	RUN("ip addr add 100.101.0.1/24 dev eth7; ip addr add fd25::1/64 dev eth7 nodad");
	netmap_is(OWN_NODE "," EXIT_NODE);
	cr_assert_eq(open_as(OVERLAY_NONE, "eth7", 0), 0);
	in_sync();
	cr_assert_not(overlay_tunnel_key(o));
	SHOWS("ip route show table 2525", "198.18.0.0/23 via 100.101.0.9 dev eth7 proto 25 src "
					  "100.101.0.1 onlink");
	SHOWS("ip -6 route show table 2525", "fd25:a::/96 via fd25::9 dev eth7 proto 25");
	SHOWS_NOT("ip route show table 2525", "\n100.101.0.9");
	SHOWS_NOT("ip rule", "100.101.0");
	SHOWS("cat /proc/sys/net/ipv[46]/conf/eth7/forwarding", "1\n1\n");
	LOGGED("net.ipv4.conf.eth7.forwarding is 1 now");
	SHOWS("cat /proc/sys/net/ipv6/conf/eth7/accept_ra", "2");
}

Test(overlay, none_carries_ipv4_via_ipv6_and_refuses_what_it_cannot)
{
	RUN("ip addr add 100.101.0.1/24 dev eth7; ip addr add fd25::1/64 dev eth7 nodad");
	netmap_is(OWN_NODE ", { \"id\": \"x\", \"addresses\": [\"fd25::9\"], \"connector\": true "
			   "}");
	cr_assert_eq(open_as(OVERLAY_NONE, "eth7", 0), 0);
	in_sync();
	SHOWS("ip route show table 2525", "198.18.0.0/23 via inet6 fd25::9 dev eth7");
	netmap_is(OWN_NODE ", { \"id\": \"x\", \"addresses\": [\"100.101.0.9\"], "
			   "\"connector\": true }");
	in_sync();
	SHOWS("ip route show table 2525", "198.18.0.0/23 via 100.101.0.9 dev eth7");
	SHOWS("ip -6 route show table 2525", "unreachable fd25:a::/96");
	in_sync();
}

Test(overlay, none_goes_via_a_connector_that_answers_and_keeps_entries_of_connectors_only)
{
	RUN("ip addr add 100.101.0.1/24 dev eth7; ip addr add fd25::1/64 dev eth7 nodad");
	netmap_is(OWN_NODE ", { \"id\": \"z\", \"addresses\": [\"100.101.0.8\"], \"connector\": "
			   "true "
			   "}," EXIT_NODE);
	cr_assert_eq(open_as(OVERLAY_NONE, "eth7", 0), 0);
	in_sync();
	SHOWS("ip neigh show dev eth7 nud all", "100.101.0.8 managed");
	SHOWS("ip route show table 2525", "198.18.0.0/23 via 100.101.0.8 dev eth7");
	cr_assert_not(overlay_neigh_stale(o, nm));
	RUN("ip neigh replace 100.101.0.9 lladdr 02:00:00:00:00:09 dev eth7 nud reachable");
	cr_assert(overlay_neigh_stale(o, nm));
	in_sync();
	SHOWS("ip route show table 2525", "198.18.0.0/23 via 100.101.0.9 dev eth7");
	RUN("ip neigh del 100.101.0.8 dev eth7");
	cr_assert(overlay_neigh_stale(o, nm));
	in_sync();
	SHOWS("ip neigh show dev eth7 nud all", "100.101.0.8 managed");

	netmap_is(OWN_NODE "," EXIT_NODE);
	in_sync();
	SHOWS_NOT("ip neigh show dev eth7 nud all", "100.101.0.8");
	SHOWS("ip neigh show dev eth7 nud all", "100.101.0.9");
}

Test(overlay, none_on_a_device_without_ethernet_needs_no_next_hop)
{
	RUN("ip tuntap add dev tun7 mode tun; ip link set tun7 up; "
	    "ip addr add 100.101.0.1/32 dev tun7");
	netmap_is(OWN_NODE "," EXIT_NODE);
	cr_assert_eq(open_as(OVERLAY_NONE, "tun7", 0), 0);
	in_sync();
	SHOWS("ip route show table 2525", "198.18.0.0/23 dev tun7 proto 25 scope link src "
					  "100.101.0.1");
	LOGGED("no device of this host has the overlay address fd25::1");
}

Test(overlay, wireguard_routes_magic_and_the_peers_that_have_a_key)
{
	netmap_is(OWN_NODE "," EXIT_NODE ", { \"id\": \"y\", \"addresses\": [\"100.101.0.7\"], "
			   "\"wireguardKey\": "
			   "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\" }");
	RUN("ip tuntap add dev wg7 mode tun; ip addr add 100.101.0.1/32 dev wg7; ip link set wg7 "
	    "up");
	cr_assert_eq(open_as(OVERLAY_WIREGUARD, "wg7", 0), 0);
	in_sync();
	cr_assert(!overlay_tunnel_key(o));
	SHOWS("ip route show table 2525", "198.18.0.0/23 dev wg7");
	SHOWS("ip -6 route show table 2525", "fd25:a::/96 dev wg7");
	SHOWS("ip route show table 2525", "100.101.0.7 dev wg7");
	SHOWS_NOT("ip route show table 2525", "100.101.0.9");
	SHOWS_NOT("ip -6 route show table 2525", "fd25::9");
}

Test(overlay, a_shared_device_of_a_plain_client_keeps_its_settings)
{
	RUN("ip addr add 100.101.0.1/24 dev eth7");
	netmap_is("{ \"id\": \"a\", \"addresses\": [\"100.101.0.1\"] }," EXIT_NODE);
	cr_assert_eq(open_as(OVERLAY_NONE, "eth7", 0), 0);
	in_sync();
	SHOWS("cat /proc/sys/net/ipv[46]/conf/eth7/forwarding", "0\n0\n");
}

/* A router on the far side of a veth pair, heard once. */
static void advertise(const char *dev)
{
	struct nd_router_advert ra = {
		.nd_ra_type = ND_ROUTER_ADVERT,
		.nd_ra_router_lifetime = htons(1800),
	};
	struct sockaddr_in6 all = { .sin6_family = AF_INET6 };
	int s = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), hops = 255;

	cr_assert(s >= 0);
	inet_pton(AF_INET6, "ff02::1", &all.sin6_addr);
	all.sin6_scope_id = if_nametoindex(dev);
	setsockopt(s, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops));
	cr_assert_eq(sendto(s, &ra, sizeof(ra), 0, (struct sockaddr *)&all, sizeof(all)),
		     sizeof(ra));
	close(s);
}

Test(overlay, an_advertised_default_route_of_the_host_survives)
{
	RUN("ip link add up7 type veth peer name rt7; "
	    "for d in up7 rt7; do echo 0 >/proc/sys/net/ipv6/conf/$d/accept_dad; "
	    "ip link set $d up; done");
	wait_to_show("ip -6 addr show dev rt7 scope link -tentative", "fe80:");
	wait_to_show("ip -6 addr show dev up7 scope link -tentative", "fe80:");
	advertise("rt7");
	wait_to_show("ip -6 route show default", "dev up7 proto ra");
	netmap_is(OWN_NODE "," EXIT_NODE);
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8925), 0);
	in_sync();
	SHOWS("cat /proc/sys/net/ipv6/conf/conn25/forwarding", "1");
	SHOWS("ip -6 route show default", "dev up7 proto ra");
	SHOWS("cat /proc/sys/net/ipv6/conf/up7/accept_ra", "1");
	/* The device that is to forward itself must go on hearing advertisements. */
	cr_assert_eq(open_as(OVERLAY_NONE, "up7", 0), 0);
	in_sync();
	SHOWS("cat /proc/sys/net/ipv6/conf/up7/forwarding", "1");
	SHOWS("cat /proc/sys/net/ipv6/conf/up7/accept_ra", "2");
	SHOWS("ip -6 route show default", "dev up7 proto ra");
}

Test(overlay, pods_behind_a_host_that_does_not_forward_are_warned_of)
{
	RUN("echo 0 >/proc/sys/net/ipv4/ip_forward");
	netmap_is("{ \"id\": \"a\", \"addresses\": [\"100.101.0.1\"], "
		  "\"podCIDRs\": [\"10.244.1.0/24\"] }," EXIT_NODE);
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8925), 0);
	in_sync();
	LOGGED("set net.ipv4.ip_forward to 1");
}

Test(overlay, a_pool_over_a_route_of_the_host_is_warned_of_once)
{
	netmap_is(OWN_NODE "," EXIT_NODE);
	RUN("ip route add 198.18.0.0/15 dev eth7; ip route add default via 192.0.2.1");
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8925), 0);
	in_sync();
	LOGGED("v4MagicIPPool 198.18.0.0-198.18.2.255 overlaps the route 198.18.0.0/15 dev eth7");
	in_sync();
	cr_assert_str_eq(logged(), "");
	RUN("ip route add unreachable 169.254.0.0/16 table 7");
	in_sync();
	LOGGED("v4TransitIPPool 169.254.64.0/18 overlaps the route 169.254.0.0/16");
}

Test(overlay, five_thousand_peers_are_there_in_a_moment)
{
	struct timespec start, end;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int ms;

	fprintf(f, "{ \"nodes\": [" OWN_NODE);
	for (int i = 0; i < 5000; i++)
		fprintf(f,
			",{ \"id\": \"p%d\", \"addresses\": [\"100.102.%d.%d\", \"fd25::2:%x\"], "
			"\"underlay\": \"192.0.2.%d\" }",
			i, i / 250, i % 250 + 1, i + 1, i % 200 + 20);
	fprintf(f, "], \"apps\": [" APP "], " POOLS " }");
	fclose(f);
	nm = parse(text);
	free(text);
	cr_assert_eq(open_as(OVERLAY_VXLAN, "conn25", 8925), 0);
	for (int i = 0; i < 2; i++) {
		clock_gettime(CLOCK_MONOTONIC, &start);
		in_sync();
		clock_gettime(CLOCK_MONOTONIC, &end);
		ms = (int)((end.tv_sec - start.tv_sec) * 1000 +
			   (end.tv_nsec - start.tv_nsec) / 1000000);
		cr_log_info("sync %d: %d ms", i, ms);
		cr_assert_lt(ms, 4000, "sync %d took %d ms", i, ms);
	}
	cr_assert_eq(atoi(shown("ip route show table 2525 | wc -l")), 5002);
	cr_assert_eq(atoi(shown("ip rule | grep -c 2525")), 3);
	SHOWS("ip rule", "to 100.102.0.0/19 lookup 2525");
}
