/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * connector_cut: ends the flows of mappings that ended, many in one walk over the flows.
 *
 * Knows nothing of peers' rights: what to cut, it is told, or finds by the maps alone.
 */
#ifndef CONNECTOR_CUT_H
#define CONNECTOR_CUT_H

#include "datapath.h"

#include <uv.h>

struct connector_cut;

/* `datapath` may come to point to another one; it and `maps` must outlive this. */
int connector_cut_new(struct connector_cut **out, uv_loop_t *loop, const struct maps *maps,
		      struct datapath *const *datapath);
/* Cuts what is still to be cut. The memory goes in the loop's next turn. */
void connector_cut_free(struct connector_cut *c);

/* A mapping that ended in this turn of the loop: its flows end in the next. */
void connector_cut_add(struct connector_cut *c, const struct c25_mapping_key *key);

/* The flows of mappings that are not there, or lead elsewhere by now: a run that died between two
 * writes has left them. How many mappings, or a negative errno. */
int connector_cut_orphans(struct connector_cut *c);

#endif
