/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * datapath_tables: the maps of an object that is about to be loaded, and their pins.
 *
 * Which of them this node's roles have, how large, taken over from the pins or made anew. Goes
 * over whatever maps the object has; only those of one role, or sized by a flag, are named here.
 * What fails is logged with the way out.
 */
#ifndef DATAPATH_TABLES_H
#define DATAPATH_TABLES_H

#include "datapath.h"

#include <bpf/libbpf.h>

struct tables {
	struct bpf_object *obj;
	const struct datapath_config *cfg;
	bool recovered;    /* pins with a valid c25_meta were there */
	bool flows_reused; /* the flow tables are taken over, all of them */
	bool mappings_reused;
	uint64_t reused; /* by position in the object */
	struct c25_meta meta;
};

/* Between open and load. Changes nothing that is pinned. -EUCLEAN: pins that do not fit. */
int tables_prepare(struct tables *t, struct bpf_object *obj, const struct datapath_config *cfg);

/* After load. Pins what is new, c25_meta last: a set without it counts as never made. */
int tables_pin(struct tables *t);

/* Of c25_index: a power of two. */
uint32_t tables_buckets(const struct datapath_config *cfg);

/* Whether this node's roles have the map; false for what libbpf makes for itself. */
bool tables_has(const struct datapath_config *cfg, const struct bpf_map *map);

#endif
