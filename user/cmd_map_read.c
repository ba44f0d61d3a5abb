/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd_map_read.h"

#include <errno.h>
#include <string.h>

static int add_flow(uint32_t slot, const struct c25_flow *f, void *ctx)
{
	struct view *v = ctx;

	(void)slot;
	if (v->n_flows == v->room) {
		size_t room = v->room ? 2 * v->room : 64;
		struct c25_flow *more = reallocarray(v->flows, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		v->flows = more;
		v->room = room;
	}
	v->flows[v->n_flows++] = *f;
	return 0;
}

static int flow_cmp(const void *a, const void *b)
{
	return memcmp(&((const struct c25_flow *)a)->out, &((const struct c25_flow *)b)->out,
		      sizeof(struct c25_tuple));
}

int view_read(struct view *v)
{
	int err = state_read(&v->state, v->maps);

	if (!err && v->maps->fd[MAP_FLOWS] >= 0)
		err = maps_flow_each(v->maps, add_flow, v);
	if (v->n_flows)
		qsort(v->flows, v->n_flows, sizeof(*v->flows), flow_cmp);
	return err;
}

void view_free(struct view *v)
{
	if (v->state)
		state_free(v->state);
	free(v->flows);
}
