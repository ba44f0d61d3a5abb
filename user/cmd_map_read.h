/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_map_read: the tables of `conn25 map`, read from the maps and put in order. */
#ifndef CMD_MAP_READ_H
#define CMD_MAP_READ_H

#include "state.h"
#include "table.h"

struct view {
	const struct maps *maps;
	struct state *state; /* leases and mappings */
	struct c25_flow *flows;
	size_t n_flows, room;
};

/* 0 or a negative errno. The caller ends with view_free(), also after a failure. */
int view_read(struct view *v);
void view_free(struct view *v);

void view_client_row(size_t i, struct table_cell *cells, void *view);
void view_mapping_row(size_t i, struct table_cell *cells, void *view);
void view_flow_row(size_t i, struct table_cell *cells, void *view);

extern const struct table_column view_client_columns[], view_mapping_columns[], view_flow_columns[];
extern const size_t view_client_n, view_mapping_n, view_flow_n;

#endif
