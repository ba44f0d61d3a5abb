/* SPDX-License-Identifier: BSD-3-Clause */
/* Claims about config.h: the flags of `conn25 run`. */
#include "leaks.h"
#include "config.h"
#include "options_run.h"

#include "addr.h"
#include "cleanup.h"
#include "cmd.h"
#include "log.h"

#include <criterion/criterion.h>
#include <stdlib.h>

SUITE(config);

static struct config got;

static enum options_result parse(char **argv)
{
	enum options_result result;

	options_capture();
	result = config_parse(&got, options_count(argv), argv);
	options_captured();
	return result;
}

#define PARSE(...)                                                                                 \
	({                                                                                         \
		char *argv_[] = { "run", ##__VA_ARGS__, NULL };                                    \
		parse(argv_);                                                                      \
	})

static const char *sock_text(const struct config_socks *s, size_t i)
{
	static char text[SOCK_STRLEN];

	return i < s->n ? sock_print(text, (const struct sockaddr *)&s->v[i]) : "none";
}

Test(config, defaults_are_those_of_the_manual)
{
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	cr_assert_eq(PARSE(), OPTIONS_OK);
	cr_expect_str_eq(got.netmap, "/etc/conn25/netmap.json");
	cr_expect_str_eq(got.node, host);
	cr_expect_eq(got.overlay, OVERLAY_VXLAN);
	cr_expect_str_eq(got.dev, "conn25");
	cr_expect_eq(got.vxlan_port, 8925);
	cr_expect_eq(got.vxlan_vni, 25);
	cr_expect_eq(got.n_uplinks, 0);
	cr_expect_eq(got.dns_listen.n, 0);
	cr_expect_not(got.dns_listen_off);
	cr_expect_eq(got.peerapi_listen.n, 0);
	cr_expect_eq(got.answer_timeout, 1000);
	cr_expect_eq(got.nat_lo, 10000);
	cr_expect_eq(got.nat_hi, 29999);
	cr_expect_eq(got.max_mappings, 65536);
	cr_expect_eq(got.max_flows, 262144);
	cr_expect_str_eq(got.pin, "/sys/fs/bpf/conn25");
	cr_expect_str_eq(got.control, "/run/conn25/conn25.sock");
	cr_expect_not(got.detach_on_exit);
	cr_expect_not(got.log_json);
	cr_expect_eq(got.log_level, LOG_INFO);
}

Test(config, every_flag_is_taken)
{
	cr_assert_eq(PARSE("--netmap", "n.json", "--node", "me", "--overlay", "none", "--dev",
			   "wg0", "--vxlan-port", "65535", "--vxlan-vni", "16777215", "--uplink",
			   "eth0", "--uplink", "eth1", "--answer-timeout", "10", "--nat-ports",
			   "1-65535", "--max-mappings", "16777216", "--max-flows", "1", "--pin",
			   "/p", "--control", "/c", "--detach-on-exit", "--log-level", "debug",
			   "--log-json"),
		     OPTIONS_OK, "%s", options_said);
	cr_expect_str_eq(got.netmap, "n.json");
	cr_expect_str_eq(got.node, "me");
	cr_expect_eq(got.overlay, OVERLAY_NONE);
	cr_expect_str_eq(got.dev, "wg0");
	cr_expect_eq(got.vxlan_port, 65535);
	cr_expect_eq(got.vxlan_vni, 16777215);
	cr_expect_eq(got.n_uplinks, 2);
	cr_expect_str_eq(got.uplinks[1], "eth1");
	cr_expect_eq(got.answer_timeout, 10);
	cr_expect_eq(got.nat_lo, 1);
	cr_expect_eq(got.nat_hi, 65535);
	cr_expect_eq(got.max_mappings, 1U << 24);
	cr_expect_eq(got.max_flows, 1);
	cr_expect_str_eq(got.pin, "/p");
	cr_expect_str_eq(got.control, "/c");
	cr_expect(got.detach_on_exit);
	cr_expect(got.log_json);
	cr_expect_eq(got.log_level, LOG_DEBUG);
}

Test(config, sockets_are_of_both_families_and_upstreams_need_no_port)
{
	cr_assert_eq(PARSE("--dns-listen", "127.0.0.1:53", "--dns-listen", "[::1]:5353",
			   "--dns-upstream", "192.0.2.53", "--dns-upstream", "[2001:db8::53]:54",
			   "--dns-upstream", "2001:db8::54", "--peerapi-listen", "[::]:8025"),
		     OPTIONS_OK, "%s", options_said);
	cr_expect_str_eq(sock_text(&got.dns_listen, 0), "127.0.0.1:53");
	cr_expect_str_eq(sock_text(&got.dns_listen, 1), "[::1]:5353");
	cr_expect_str_eq(sock_text(&got.dns_upstream, 0), "192.0.2.53:53");
	cr_expect_str_eq(sock_text(&got.dns_upstream, 1), "[2001:db8::53]:54");
	cr_expect_str_eq(sock_text(&got.dns_upstream, 2), "[2001:db8::54]:53");
	cr_expect_str_eq(sock_text(&got.peerapi_listen, 0), "[::]:8025");
}

Test(config, repeatable_flags_are_taken_from_the_environment_in_one_variable)
{
	setenv("CONN25_UPLINK", "eth0,eth1 eth2", 1);
	setenv("CONN25_DNS_UPSTREAM", "192.0.2.1, [2001:db8::1]:54", 1);
	setenv("CONN25_DNS_LISTEN", "off", 1);
	setenv("CONN25_LOG_JSON", "yes", 1);
	setenv("CONN25_DETACH_ON_EXIT", "no", 1);
	cr_assert_eq(PARSE("--node", "me"), OPTIONS_OK, "%s", options_said);
	cr_expect_eq(got.n_uplinks, 3);
	cr_expect_eq(got.dns_upstream.n, 2);
	cr_expect_str_eq(sock_text(&got.dns_upstream, 1), "[2001:db8::1]:54");
	cr_expect(got.dns_listen_off);
	cr_expect(got.log_json);
	cr_expect_not(got.detach_on_exit);
}

Test(config, uplinks_of_the_environment_keep_their_names)
{
	setenv("CONN25_UPLINK", "eth0,eth1", 1);
	cr_assert_eq(PARSE(), OPTIONS_OK);
	cr_assert_str_eq(got.uplinks[0], "eth0");
	cr_assert_str_eq(got.uplinks[1], "eth1");
}

Test(config, off_and_an_address_exclude_each_other)
{
	cr_assert_eq(PARSE("--dns-listen", "off", "--dns-listen", "127.0.0.1:53"), OPTIONS_ERROR);
	cr_assert_str_eq(options_said, "conn25 run: --dns-listen: \"off\" and an address were both "
				       "given\n");
}

Test(config, wireguard_wants_its_device_named)
{
	cr_assert_eq(PARSE("--overlay", "wireguard"), OPTIONS_ERROR);
	cr_assert_str_eq(options_said, "conn25 run: --overlay wireguard wants --dev, the name of "
				       "the WireGuard device\n");
	cr_assert_eq(PARSE("--overlay", "wireguard", "--dev", "wg0"), OPTIONS_OK);
	cr_assert_eq(got.overlay, OVERLAY_WIREGUARD);
	cr_assert_str_eq(got.dev, "wg0");
}

static const struct bad {
	const char *flag, *value;
} bad[] = {
	{ "netmap", "" },
	{ "node", "" },
	{ "overlay", "vlan" },
	{ "dev", "" },
	{ "dev", "sixteen-letters-" },
	{ "dev", "a/b" },
	{ "dev", ".." },
	{ "vxlan-port", "0" },
	{ "vxlan-port", "65536" },
	{ "vxlan-port", "-1" },
	{ "vxlan-port", "8925 " },
	{ "vxlan-port", "99999999999999999999" },
	{ "vxlan-vni", "0" },
	{ "vxlan-vni", "16777216" },
	{ "vxlan-vni", "0x19" },
	{ "uplink", "a b" },
	{ "dns-listen", "127.0.0.1" },
	{ "dns-listen", "::1:53" },
	{ "dns-listen", "localhost:53" },
	{ "dns-listen", "127.0.0.1:65536" },
	{ "dns-upstream", "resolver.example" },
	{ "dns-upstream", "" },
	{ "dns-intercept", "veth*/eth0" },
	{ "dns-intercept", "lo" },
	{ "dns-intercept-to", "10.96.0.10/8" },
	{ "dns-fail", "ajar" },
	{ "peerapi-listen", "8025" },
	{ "peerapi-tls-cert", "" },
	{ "peerapi-tls-key", "" },
	{ "peerapi-tls-ca", "" },
	{ "answer-timeout", "9" },
	{ "answer-timeout", "60001" },
	{ "answer-timeout", "1s" },
	{ "nat-ports", "10000" },
	{ "nat-ports", "20000-10000" },
	{ "nat-ports", "0-10" },
	{ "nat-ports", "1-65536" },
	{ "nat-ports", "1-2-3" },
	{ "nat-ports", "10000-20000-30000" },
	{ "max-mappings", "0" },
	{ "max-mappings", "16777217" },
	{ "max-flows", "many" },
	{ "pin", "relative" },
	{ "control", "" },
	{ "metrics-listen", "9025" },
	{ "log-level", "loud" },
};

/* `conn25 run FLAG VALUE` ends at once with 2, and one line names both. */
Test(config, bad_value_is_refused_with_its_flag_and_itself)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char flag[64], begins[256];
		/* Were the value taken, this file would end the run. */
		char *argv[] = { "run", flag, (char *)bad[i].value, "--netmap=/proc/none", NULL };
		int status;

		snprintf(flag, sizeof(flag), "--%s", bad[i].flag);
		snprintf(begins, sizeof(begins), "conn25 run: %s: \"%s\" is ", flag, bad[i].value);
		options_capture();
		status = cmd_run(4, argv);
		options_captured();
		cr_expect_eq(status, EXIT_USAGE, "%s %s: %d", flag, bad[i].value, status);
		cr_expect(!strncmp(options_said, begins, strlen(begins)), "%s", options_said);
		cr_expect_eq(strchr(options_said, '\n'), strrchr(options_said, '\n'), "%s",
			     options_said);
	}
}

Test(config, certificate_key_and_ca_go_together)
{
	cr_expect_eq(PARSE("--peerapi-tls-cert=c", "--peerapi-tls-key=k"), OPTIONS_ERROR);
	cr_expect_str_eq(options_said, "conn25 run: --peerapi-tls-cert, --peerapi-tls-key and "
				       "--peerapi-tls-ca go together: give all three\n");
	cr_expect_eq(PARSE("--peerapi-tls-ca=a"), OPTIONS_ERROR);
	cr_expect_eq(PARSE("--peerapi-tls-cert=c", "--peerapi-tls-key=k", "--peerapi-tls-ca=a"),
		     OPTIONS_OK);
}

Test(config, bad_variable_is_refused_by_its_own_name)
{
	setenv("CONN25_NAT_PORTS", "all", 1);
	cr_assert_eq(PARSE(), OPTIONS_ERROR);
	cr_assert_str_eq(options_said, "conn25 run: CONN25_NAT_PORTS: \"all\" is not a range LO-HI "
				       "of ports, 1 to 65535\n");
}

Test(config, long_names_are_refused_where_the_kernel_would_cut_them)
{
	char text[300];

	memset(text, 'x', sizeof(text) - 1);
	text[299] = 0;
	cr_expect_eq(PARSE("--control", text), OPTIONS_ERROR);
	cr_expect_eq(PARSE("--node", text), OPTIONS_ERROR);
	cr_expect_eq(PARSE("--dev", text), OPTIONS_ERROR);
	cr_expect_eq(PARSE("--node", text + 299 - 253), OPTIONS_OK);
	cr_expect_eq(PARSE("--control", text + 299 - 107), OPTIONS_OK);
}

Test(config, more_sockets_than_there_is_room_for_are_refused)
{
	char *argv[2 * (CONFIG_MAX_LISTEN + 1) + 2] = { "run" };

	for (size_t i = 0; i < CONFIG_MAX_LISTEN + 1; i++) {
		argv[1 + 2 * i] = "--dns-upstream";
		argv[2 + 2 * i] = "192.0.2.53";
	}
	cr_assert_eq(parse(argv), OPTIONS_ERROR);
	cr_assert_str_eq(options_said, "conn25 run: --dns-upstream: \"192.0.2.53\" is one too "
				       "many\n");
}

Test(config, help_names_every_flag_and_ends_with_0)
{
	char *argv[] = { "run", "--help", NULL };

	options_capture();
	cr_expect_eq(cmd_run(2, argv), 0);
	options_captured();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char flag[64];

		snprintf(flag, sizeof(flag), "  --%s ", bad[i].flag);
		cr_expect(strstr(options_said, flag), "%s", flag);
	}
	cr_expect(strstr(options_said, "CONN25_VXLAN_PORT for --vxlan-port"), "%s", options_said);
}
