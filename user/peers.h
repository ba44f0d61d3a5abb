/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peers: gives each node of the netmap a small number that the maps use, and keeps c25_peers
 * and c25_nets as the netmap says.
 *
 * A number stays a node's for as long as the pins live: records of nodes that left keep their id
 * and lose their addresses, so that nothing which still names them reaches anyone else.
 */
#ifndef PEERS_H
#define PEERS_H

#include "cleanup.h"
#include "maps.h"
#include "netmap.h"

#include <stddef.h>
#include <stdint.h>

#define PEERS_NONE UINT32_MAX

struct peers;

/* Reads back the numbers given before a restart. `maps` must outlive it. */
int peers_new(struct peers **out, const struct maps *maps);
void peers_free(struct peers *p);
DEFINE_CLEANUP(peers, struct peers *, peers_free)

/* Makes both maps match: what is new first, then what is gone. 0 or a negative errno; what
 * could be written is. */
int peers_sync(struct peers *p, const struct netmap *nm);

/* PEERS_NONE: not in the netmap last synced, or the node itself. */
uint32_t peers_index(const struct peers *p, const char *id);

/* Id of a number, also of a node that left; NULL: never given. */
const char *peers_id(const struct peers *p, uint32_t index);

#endif
