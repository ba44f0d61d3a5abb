/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_intercept: where DNS is taken transparently: on which devices, towards which servers, and
 * the rules and routes that bring what is taken to this host.
 *
 * Which names are taken is dns_names', what becomes of a question dns_proxy's.
 */
#ifndef DNS_INTERCEPT_H
#define DNS_INTERCEPT_H

#include "cleanup.h"
#include "config.h"
#include "datapath.h"
#include "netlink.h"

struct dns_intercept;

/* -ELOOP: this daemon would ask itself. Logs what is wrong with which flag. */
int dns_intercept_check(const struct config *config, struct netlink *nl);

/*
 * Rules, routes and destinations are set; no device is touched yet. All arguments must outlive it.
 * Logs what failed.
 */
int dns_intercept_new(struct dns_intercept **out, const struct config *config, struct netlink *nl,
		      const struct maps *maps);
void dns_intercept_free(struct dns_intercept *d); /* what is attached stays attached */
DEFINE_CLEANUP(dns_intercept, struct dns_intercept *, dns_intercept_free)

/* Makes the programs match the devices of now; called again whenever these may have changed. The
 * overlay and loopback are never taken. Logs what changed and what failed; 0 or the last errno. */
int dns_intercept_sync(struct dns_intercept *d, struct datapath *dp, uint32_t overlay);

#endif
