/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client: the client role: from a DNS answer to leases, from leases to a connector's consent,
 * from consent to the maps and the answer's release.
 *
 * Joins domains, lease, registrar, dns_proxy and peerapi_client; the rules of each are there.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "apps.h"
#include "cleanup.h"
#include "config.h"
#include "dns_proxy.h"
#include "events.h"
#include "lease.h"
#include "maps.h"
#include "netmap.h"
#include "peerapi_client.h"
#include "peers.h"
#include "registrar.h"
#include "tls.h"
#include "wg_sync.h"

#include <uv.h>

struct client;

/* All of it must outlive the client but `http`: that is to be freed first, so that none of its
 * requests is answered later. */
struct client_deps {
	uv_loop_t *loop;
	const struct config *config;
	const struct maps *maps;
	struct peers *peers;
	struct apps *apps;
	struct peerapi_client *http;
	struct wg_sync *wg; /* NULL: the overlay is no WireGuard device */
	struct events *events;
	struct tls *tls; /* NULL: plain HTTP */
};

/* What the outside may see; for status and metrics. */
struct client_stats {
	uint64_t registrations[16]; /* by code; the last for all beyond */
	uint64_t registration_failures;
	uint64_t pool_dry;
	uint64_t leases_ended;
};

/* Leases recorded in the maps are taken up again. Logs what failed. */
int client_new(struct client **out, const struct client_deps *deps, const struct netmap *nm);
/* The loop must run until it is idle afterwards. */
void client_free(struct client *c);
DEFINE_CLEANUP(client, struct client *, client_free)

/* The DNS forwarder on these addresses; called again, on those where it failed before. Logs each
 * failure once. */
int client_listen(struct client *c, const struct config_socks *socks);

/* Sockets to which the kernel gives the questions it takes (--dns-intercept), written to the maps.
 * Logs what failed. */
int client_intercept(struct client *c);

/* A new netmap is in force, peers and apps in sync with it; the old one may be freed after. */
int client_reload(struct client *c, const struct netmap *nm);

/* A packet told of a transit address that its connector does not know. */
void client_unmapped(struct client *c, const struct c25_addr *transit);

struct lease_table *client_leases(struct client *c);
/* Addresses of a pool that are in quarantine. */
uint64_t client_pool_resting(struct client *c, enum netmap_pool which);
const struct client_stats *client_stats(const struct client *c);
const struct dns_proxy_stats *client_dns_stats(const struct client *c);
bool client_healthy(const struct client *c, uint32_t connector);
/* The name that this magic or transit address is lent to, NULL: none. */
const char *client_domain(struct client *c, const struct c25_addr *a);
/* The connector with which flows of a lease stayed when it moved, or LEASE_NO_PEER. */
uint32_t client_kept(const struct client *c, const struct lease *l);
/* Index in the netmap's apps, DOMAINS_NONE or DOMAINS_SELF, of a name in text. */
size_t client_match(const struct client *c, const char *name);

#endif
