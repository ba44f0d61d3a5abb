/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * connector_dns: what a connector answers of DNS: whose names, and by which resolvers.
 *
 * It asks --dns-upstream and rewrites nothing, also where the node is a client too.
 */
#ifndef CONNECTOR_DNS_H
#define CONNECTOR_DNS_H

#include "cleanup.h"
#include "config.h"
#include "dns_proxy.h"
#include "netmap.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct connector_dns;

/* 0 or a negative errno. Warns where names are to be resolved here and there is no resolver. */
int connector_dns_new(struct connector_dns **out, uv_loop_t *loop,
		      const struct config_socks *upstreams, const struct netmap *nm);
/* The loop must run until it is idle afterwards. */
void connector_dns_free(struct connector_dns *d);
DEFINE_CLEANUP(connector_dns, struct connector_dns *, connector_dns_free)

/* A new netmap is in force; on -ENOMEM no name is anybody's. */
int connector_dns_reload(struct connector_dns *d, const struct netmap *nm);

/* NULL: there is no resolver to ask. */
struct dns_proxy *connector_dns_resolver(const struct connector_dns *d);

/* Whether a name in wire form is one of this app's, which is of the netmap in force. */
bool connector_dns_covers(const struct connector_dns *d, const struct netmap_app *app,
			  const uint8_t *name);

#endif
