/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * uplinks: the devices over which a connector reaches real destinations: which they are, their
 * programs, and what the programs know of them.
 */
#ifndef UPLINKS_H
#define UPLINKS_H

#include "cleanup.h"
#include "config.h"
#include "datapath.h"
#include "netlink.h"

#include <stdbool.h>

struct uplinks;

/* All of it must outlive the uplinks. */
int uplinks_new(struct uplinks **out, const struct config *config, struct netlink *nl);
void uplinks_free(struct uplinks *u); /* what is attached stays attached */
DEFINE_CLEANUP(uplinks, struct uplinks *, uplinks_free)

/*
 * Makes programs and c25_devs match the devices, addresses and routes of now; called again
 * whenever they may have changed. A named device that is not there yet is waited for. `overlay`
 * is never an uplink. Logs what changed and what failed; 0 or the last negative errno.
 */
int uplinks_sync(struct uplinks *u, struct datapath *dp, const struct netlink_link *overlay);

/* Whether packets to `real` leave through one of them now. */
bool uplinks_reach(struct uplinks *u, const struct c25_addr *real);

#endif
