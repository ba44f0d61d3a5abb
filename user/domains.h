/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * domains: from a question's name to the app that takes it.
 *
 * Pure. Label by label and without case, on names in wire form, so that no query is turned into
 * text. An exact domain wins over any wildcard, among wildcards the longest; of the apps with
 * the winning domain the first of the netmap's list takes it. Only apps this node may use are in
 * the table; one whose connectors include this node is there but says "pass".
 */
#ifndef DOMAINS_H
#define DOMAINS_H

#include "cleanup.h"
#include "netmap.h"

#include <stddef.h>
#include <stdint.h>

#define DOMAINS_NONE UINT32_MAX       /* not configured here */
#define DOMAINS_SELF (UINT32_MAX - 1) /* configured, but this node is its connector: pass */

struct domains;

/* For the apps nm->self may use; keeps no pointer into `nm`. 0 or -ENOMEM. */
int domains_new(struct domains **out, const struct netmap *nm);
/* For one app, whoever may use it: domains_match() gives 0 for its names, else DOMAINS_NONE. */
int domains_new_app(struct domains **out, const struct netmap_app *app);
void domains_free(struct domains *d);
DEFINE_CLEANUP(domains, struct domains *, domains_free)

/* `name`: wire form (RFC 1035, 3.1), uncompressed, ends with the root label. Index in nm->apps,
 * DOMAINS_NONE or DOMAINS_SELF. */
size_t domains_match(const struct domains *d, const uint8_t *name);

#endif
