/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * policy: who may use which app, who serves it, and which destinations it may reach.
 *
 * Pure; answers questions about a const netmap. The connector asks it for every registration,
 * the client to know which apps are its own and in what order to try their connectors.
 */
#ifndef POLICY_H
#define POLICY_H

#include "netmap.h"

#include <stdbool.h>

/* A tag, an id or "*" of the app's `clients` names this node. */
bool policy_may_use(const struct netmap_app *app, const struct netmap_node *node);

/* `node` advertises itself as a connector and the app's `connectors` name it. */
bool policy_serves(const struct netmap_app *app, const struct netmap_node *node);

/*
 * The app's connectors other than `client` that have an overlay address, in the order this
 * client tries them: a rendezvous hash over (client, app, connector), so that load spreads and a
 * change moves little. Writes at most `max` indices of nm->nodes and returns how many there are
 * in all.
 */
size_t policy_connectors(const struct netmap *nm, const struct netmap_app *app,
			 const struct netmap_node *client, size_t *out, size_t max);

/*
 * Whether the app may reach `dst`; if not, `why` is a text for the peer, else untouched.
 * Always denied, unless a route more specific than a default one names it: loopback,
 * link-local, multicast, unspecified, broadcast, the pools, every node's overlay addresses.
 * `spelled_v6`: the address was written as IPv6, so a mapped one is denied.
 */
bool policy_destination(const struct netmap *nm, const struct netmap_app *app,
			const struct c25_addr *dst, bool spelled_v6, const char **why);

#endif
