/* SPDX-License-Identifier: BSD-3-Clause */
#include "config.h"

#include "addr.h"
#include "cleanup.h"
#include "datapath.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define DNS_PORT 53

static int parse_u32(uint32_t *out, const char *text, uint32_t lo, uint32_t hi)
{
	unsigned long v = 0;

	if (!*text || strlen(text) > 10)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		v = v * 10 + (unsigned long)(*text - '0');
	}
	if (v < lo || v > hi)
		return -EINVAL;
	*out = (uint32_t)v;
	return 0;
}

OPTION_SETTER(set_detach, struct config, t->detach_on_exit = true)
OPTION_SETTER(set_log_json, struct config, t->log_json = true)

static int set_netmap(void *target, const char *value, const char **why)
{
	*why = "not the name of a file";
	if (!*value)
		return -EINVAL;
	((struct config *)target)->netmap = value;
	return 0;
}

/* The empty name would make a socket that nobody finds. */
static int set_control(void *target, const char *value, const char **why)
{
	*why = "not the name of a socket: 1 to 107 characters";
	if (!*value || strlen(value) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return -EINVAL;
	((struct config *)target)->control = value;
	return 0;
}

static int set_node(void *target, const char *value, const char **why)
{
	struct config *c = target;

	*why = "not a node id: 1 to 253 characters";
	if (!*value || strlen(value) > 253)
		return -EINVAL;
	memcpy(c->node, value, strlen(value) + 1);
	return 0;
}

static int set_overlay(void *target, const char *value, const char **why)
{
	struct config *c = target;
	int mode = overlay_mode_parse(value);

	*why = "none of vxlan, wireguard, none";
	if (mode < 0)
		return mode;
	c->overlay = (enum overlay_mode)mode;
	return 0;
}

static int check_device(const char *value, const char **why)
{
	*why = "not a device name: 1 to 15 characters without blanks and slashes";
	if (!*value || strlen(value) >= IFNAMSIZ || strpbrk(value, " /\t\n:") ||
	    !strcmp(value, ".") || !strcmp(value, ".."))
		return -EINVAL;
	return 0;
}

static int set_dev(void *target, const char *value, const char **why)
{
	((struct config *)target)->dev = value;
	return check_device(value, why);
}

static int set_uplink(void *target, const char *value, const char **why)
{
	struct config *c = target;
	int err;

	*why = "one uplink too many";
	if (c->n_uplinks == CONFIG_MAX_UPLINKS)
		return -E2BIG;
	err = check_device(value, why);
	if (!err)
		memcpy(c->uplinks[c->n_uplinks++], value, strlen(value) + 1);
	return err;
}

static int set_vxlan_port(void *target, const char *value, const char **why)
{
	struct config *c = target;
	uint32_t v;

	*why = "not a port, 1 to 65535";
	if (parse_u32(&v, value, 1, 65535))
		return -EINVAL;
	c->vxlan_port = (uint16_t)v;
	return 0;
}

static int set_vxlan_vni(void *target, const char *value, const char **why)
{
	*why = "not a VXLAN network identifier, 1 to 16777215";
	return parse_u32(&((struct config *)target)->vxlan_vni, value, 1, 0xffffff);
}

static int add_sock(struct config_socks *socks, const char *value, uint16_t port, const char **why)
{
	*why = "one too many";
	if (socks->n == CONFIG_MAX_LISTEN)
		return -E2BIG;
	*why = port ? "not ADDR or ADDR:PORT, with brackets around an IPv6 address that has a "
		      "port" :
		      "not ADDR:PORT, with brackets around an IPv6 address";
	if (sock_parse(&socks->v[socks->n], value, port))
		return -EINVAL;
	socks->n++;
	return 0;
}

static int set_dns_listen(void *target, const char *value, const char **why)
{
	struct config *c = target;

	if (!strcmp(value, "off")) {
		c->dns_listen_off = true;
		return 0;
	}
	return add_sock(&c->dns_listen, value, 0, why);
}

static int set_dns_upstream(void *target, const char *value, const char **why)
{
	return add_sock(&((struct config *)target)->dns_upstream, value, DNS_PORT, why);
}

static int set_dns_intercept(void *target, const char *value, const char **why)
{
	struct config *c = target;

	*why = "one pattern too many";
	if (c->n_dns_intercept == CONFIG_MAX_GLOBS)
		return -E2BIG;
	*why = "not a pattern for device names: 1 to 63 characters without blanks and slashes";
	if (!*value || strlen(value) > 63 || strpbrk(value, " /\t\n:"))
		return -EINVAL;
	*why = "this host's own questions pass there: name the devices that the pods are behind";
	if (!strcmp(value, "lo"))
		return -ELOOP;
	c->dns_intercept[c->n_dns_intercept++] = value;
	return 0;
}

static int set_dns_intercept_to(void *target, const char *value, const char **why)
{
	struct config *c = target;

	*why = "one prefix too many";
	if (c->n_dns_intercept_to == CONFIG_MAX_TO)
		return -E2BIG;
	*why = "not an address or a prefix without host bits";
	if (prefix_parse(&c->dns_intercept_to[c->n_dns_intercept_to], value))
		return -EINVAL;
	c->n_dns_intercept_to++;
	return 0;
}

static int set_dns_fail(void *target, const char *value, const char **why)
{
	struct config *c = target;

	*why = "none of closed, open";
	c->dns_fail_open = !strcmp(value, "open");
	return c->dns_fail_open || !strcmp(value, "closed") ? 0 : -EINVAL;
}

static int set_peerapi_listen(void *target, const char *value, const char **why)
{
	return add_sock(&((struct config *)target)->peerapi_listen, value, 0, why);
}

static int set_file(const char **out, const char *value, const char **why)
{
	*why = "not the name of a file";
	*out = value;
	return *value ? 0 : -EINVAL;
}

static int set_tls_cert(void *target, const char *value, const char **why)
{
	return set_file(&((struct config *)target)->tls.cert, value, why);
}

static int set_tls_key(void *target, const char *value, const char **why)
{
	return set_file(&((struct config *)target)->tls.key, value, why);
}

static int set_tls_ca(void *target, const char *value, const char **why)
{
	return set_file(&((struct config *)target)->tls.ca, value, why);
}

static int set_metrics_listen(void *target, const char *value, const char **why)
{
	return add_sock(&((struct config *)target)->metrics_listen, value, 0, why);
}

static int set_answer_timeout(void *target, const char *value, const char **why)
{
	*why = "not a time in milliseconds, 10 to 60000";
	return parse_u32(&((struct config *)target)->answer_timeout, value, 10, 60000);
}

static int set_nat_ports(void *target, const char *value, const char **why)
{
	struct config *c = target;
	char copy[16], *dash;
	uint32_t lo, hi;

	*why = "not a range LO-HI of ports, 1 to 65535";
	if (strlen(value) >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, value, strlen(value) + 1);
	dash = strchr(copy, '-');
	if (!dash)
		return -EINVAL;
	*dash++ = 0;
	if (parse_u32(&lo, copy, 1, 65535) || parse_u32(&hi, dash, 1, 65535) || lo > hi)
		return -EINVAL;
	c->nat_lo = (uint16_t)lo;
	c->nat_hi = (uint16_t)hi;
	return 0;
}

static int set_max_mappings(void *target, const char *value, const char **why)
{
	*why = "not a number, 1 to 16777216";
	return parse_u32(&((struct config *)target)->max_mappings, value, 1, 1U << 24);
}

static int set_max_flows(void *target, const char *value, const char **why)
{
	*why = "not a number, 1 to 16777216";
	return parse_u32(&((struct config *)target)->max_flows, value, 1, 1U << 24);
}

static int set_pin(void *target, const char *value, const char **why)
{
	*why = "not an absolute path";
	if (*value != '/')
		return -EINVAL;
	((struct config *)target)->pin = value;
	return 0;
}

static int set_log_level(void *target, const char *value, const char **why)
{
	int level = log_level_parse(value);

	*why = "none of error, warn, info, debug";
	if (level < 0)
		return level;
	((struct config *)target)->log_level = level;
	return 0;
}

static const struct option_def run_options[] = {
	{ "netmap", "FILE", "the netmap [" CONFIG_NETMAP "]", set_netmap, 0 },
	{ "node", "ID", "which of its nodes this one is [host name]", set_node, 0 },
	{ "overlay", "vxlan|wireguard|none", "how packets reach peers [vxlan]", set_overlay, 0 },
	{ "dev", "NAME", "the overlay device [conn25; with wireguard it must be given]", set_dev,
	  0 },
	{ "vxlan-port", "PORT", "UDP port of the VXLAN device [8925]", set_vxlan_port, 0 },
	{ "vxlan-vni", "N", "its network identifier [25]", set_vxlan_vni, 0 },
	{ "uplink", "NAME", "where a connector sends on [the default routes' devices]", set_uplink,
	  OPTION_REPEAT },
	{ "dns-listen", "ADDR:PORT|off", "the DNS forwarder [127.0.0.1:53 on a client]",
	  set_dns_listen, OPTION_REPEAT },
	{ "dns-upstream", "ADDR[:PORT]", "resolvers asked [those of /etc/resolv.conf]",
	  set_dns_upstream, OPTION_REPEAT },
	{ "dns-intercept", "GLOB", "devices of pods whose DNS is taken transparently [none]",
	  set_dns_intercept, OPTION_REPEAT },
	{ "dns-intercept-to", "PREFIX",
	  "only questions to these resolvers [all but the --dns-upstream ones]",
	  set_dns_intercept_to, OPTION_REPEAT },
	{ "dns-fail", "closed|open",
	  "with the daemon dead, questions taken are refused, or go on [closed]", set_dns_fail, 0 },
	{ "peerapi-listen", "ADDR:PORT",
	  "the connector's peer API [every own overlay address, port 8025]", set_peerapi_listen,
	  OPTION_REPEAT },
	{ "peerapi-tls-cert", "FILE", "this node's certificate, PEM: the peer API is mutual TLS",
	  set_tls_cert, 0 },
	{ "peerapi-tls-key", "FILE", "its private key", set_tls_key, 0 },
	{ "peerapi-tls-ca", "FILE", "the CA that peers' certificates are signed by", set_tls_ca,
	  0 },
	{ "answer-timeout", "MS", "longest time an answer is held [1000]", set_answer_timeout, 0 },
	{ "nat-ports", "LO-HI", "source ports a connector uses [10000-29999]", set_nat_ports, 0 },
	{ "max-mappings", "N", "size of the mapping tables [65536]", set_max_mappings, 0 },
	{ "max-flows", "N", "size of the flow table [262144]", set_max_flows, 0 },
	{ "pin", "DIR", "where programs and maps are pinned [" DATAPATH_PIN "]", set_pin, 0 },
	{ "control", "PATH", "the control socket [" CONFIG_CONTROL "]", set_control, 0 },
	{ "metrics-listen", "ADDR:PORT", "Prometheus /metrics, /healthz and /readyz [off]",
	  set_metrics_listen, 0 },
	{ "detach-on-exit", NULL, "take the datapath down at exit", set_detach, 0 },
	{ "log-level", "LEVEL", "error, warn, info or debug [info]", set_log_level, 0 },
	{ "log-json", NULL, "log lines as JSON objects", set_log_json, 0 },
};

static const struct command_def run_def = {
	.usage = "conn25 run [OPTIONS]",
	.text = "The daemon, in the foreground. What it is, client or connector or both, the\n"
		"netmap says. SIGHUP reloads the netmap, SIGTERM and SIGINT end it; the datapath\n"
		"stays and keeps translating (`conn25 detach` removes it).",
	.options = run_options,
	.n_options = ARRAY_SIZE(run_options),
};

/* "nameserver ADDR" lines of resolv.conf(5); others, and scoped addresses, are skipped. */
static void read_resolv_conf(struct config_socks *out, const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char line[1024], word[1024];
	const char *why;

	if (!f)
		return;
	while (fgets(line, sizeof(line), f) && out->n < CONFIG_MAX_LISTEN)
		if (sscanf(line, "nameserver %1023s", word) == 1)
			add_sock(out, word, DNS_PORT, &why);
}

enum options_result config_parse(struct config *c, int argc, char **argv)
{
	enum options_result result;

	*c = (struct config){
		.netmap = CONFIG_NETMAP,
		.overlay = OVERLAY_VXLAN,
		.vxlan_port = 8925,
		.vxlan_vni = 25,
		.answer_timeout = 1000,
		.nat_lo = 10000,
		.nat_hi = 29999,
		.max_mappings = 65536,
		.max_flows = 262144,
		.pin = DATAPATH_PIN,
		.control = CONFIG_CONTROL,
		.log_level = LOG_INFO,
	};
	if (gethostname(c->node, sizeof(c->node) - 1))
		c->node[0] = 0;
	result = options_parse(&run_def, c, argc, argv, NULL);
	if (result != OPTIONS_OK)
		return result;
	if (!c->dev && c->overlay == OVERLAY_WIREGUARD) {
		fprintf(stderr, "conn25 run: --overlay wireguard wants --dev, the name of the "
				"WireGuard device\n");
		return OPTIONS_ERROR;
	}
	if (!c->dev)
		c->dev = "conn25";
	if (c->dns_listen_off && c->dns_listen.n) {
		fprintf(stderr, "conn25 run: --dns-listen: \"off\" and an address were both "
				"given\n");
		return OPTIONS_ERROR;
	}
	if (!c->tls.cert != !c->tls.key || !c->tls.cert != !c->tls.ca) {
		fprintf(stderr, "conn25 run: --peerapi-tls-cert, --peerapi-tls-key and "
				"--peerapi-tls-ca go together: give all three\n");
		return OPTIONS_ERROR;
	}
	if (!c->dns_upstream.n)
		read_resolv_conf(&c->dns_upstream, "/etc/resolv.conf");
	return OPTIONS_OK;
}
