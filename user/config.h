/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * config: the flags of `conn25 run`, parsed and with their defaults.
 *
 * Reads argv, the environment, the host name and /etc/resolv.conf; opens nothing that lasts.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "addr.h"
#include "options.h"
#include "overlay.h"
#include "tls_set.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define CONFIG_MAX_LISTEN  16
#define CONFIG_MAX_UPLINKS 16
#define CONFIG_MAX_GLOBS   16
#define CONFIG_MAX_TO      64

#define CONFIG_NETMAP  "/etc/conn25/netmap.json"
#define CONFIG_CONTROL "/run/conn25/conn25.sock"

struct config_socks {
	struct sockaddr_storage v[CONFIG_MAX_LISTEN];
	size_t n;
};

struct config {
	const char *netmap;
	char node[256];
	enum overlay_mode overlay;
	const char *dev;
	uint16_t vxlan_port;
	uint32_t vxlan_vni;
	char uplinks[CONFIG_MAX_UPLINKS][IFNAMSIZ]; /* none: devices of the default routes */
	size_t n_uplinks;
	struct config_socks dns_listen;
	bool dns_listen_off;
	struct config_socks dns_upstream; /* filled from /etc/resolv.conf where none was given */
	const char *dns_intercept[CONFIG_MAX_GLOBS]; /* names of devices, as patterns */
	size_t n_dns_intercept;
	struct prefix dns_intercept_to[CONFIG_MAX_TO]; /* none: all but dns_upstream */
	size_t n_dns_intercept_to;
	bool dns_fail_open;
	struct config_socks peerapi_listen;
	struct tls_files tls;    /* all of them or none */
	uint32_t answer_timeout; /* milliseconds */
	uint16_t nat_lo, nat_hi;
	uint32_t max_mappings;
	uint32_t max_flows;
	const char *pin;
	const char *control;
	struct config_socks metrics_listen; /* one or none */
	bool detach_on_exit;
	bool log_json;
	int log_level;
};

/* Fills `c`; strings point into argv, the environment or literals. Writes its own errors. */
enum options_result config_parse(struct config *c, int argc, char **argv);

#endif
