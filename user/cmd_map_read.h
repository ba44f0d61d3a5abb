/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_map_read: the tables of `conn25 map`, read from the maps and put in order. */
#ifndef CMD_MAP_READ_H
#define CMD_MAP_READ_H

#include "maps.h"
#include "table.h"

struct view_client {
	struct c25_addr magic;
	struct c25_lease lease;
	uint32_t flags;                     /* of c25_magic */
	uint64_t packets, bytes, last_seen; /* both ways */
};

struct view_mapping {
	struct c25_mapping_key key;
	struct c25_mapping mapping; /* with its flows added */
};

struct view {
	const struct maps *maps;
	struct view_client *clients;
	struct view_mapping *mappings;
	struct c25_flow *flows;
	size_t n_clients, n_mappings, n_flows;
	size_t room; /* of the array that is being read */
};

/* 0 or a negative errno. The caller ends with view_free(), also after a failure. */
int view_read_clients(struct view *v);
int view_read_flows(struct view *v);
int view_read_mappings(struct view *v); /* after view_read_flows() */
void view_free(struct view *v);

void view_client_row(size_t i, struct table_cell *cells, void *view);
void view_mapping_row(size_t i, struct table_cell *cells, void *view);
void view_flow_row(size_t i, struct table_cell *cells, void *view);

extern const struct table_column view_client_columns[], view_mapping_columns[], view_flow_columns[];
extern const size_t view_client_n, view_mapping_n, view_flow_n;

#endif
