/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_names: the domains whose questions the kernel takes, as c25_names has them.
 *
 * The same domains, with the same order of precedence, as in domains.h.
 */
#ifndef DNS_NAMES_H
#define DNS_NAMES_H

#include "maps.h"
#include "netmap.h"

/* Makes the map say what this netmap says for this node; only what differs is written, new names
 * before old ones go. Logs what failed. */
int dns_names_sync(const struct maps *m, const struct netmap *nm);

#endif
