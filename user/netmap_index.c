/* SPDX-License-Identifier: BSD-3-Clause */
#include "netmap_reader.h"

#include <errno.h>
#include <string.h>

struct by_id {
	const char *id;
	size_t node;
};

struct by_addr {
	struct c25_addr addr;
	size_t node;
};

struct netmap_index {
	struct by_id *ids;
	struct by_addr *addrs;
	size_t n_addrs;
};

DEFINE_CLEANUP(netmap_index, struct netmap_index *, netmap_index_free)

static int compare_ids(const void *a, const void *b)
{
	return strcmp(((const struct by_id *)a)->id, ((const struct by_id *)b)->id);
}

static int compare_addrs(const void *a, const void *b)
{
	return addr_cmp(&((const struct by_addr *)a)->addr, &((const struct by_addr *)b)->addr);
}

void netmap_index_free(struct netmap_index *ix)
{
	if (!ix)
		return;
	free(ix->ids);
	free(ix->addrs);
	free(ix);
}

int netmap_index_new(struct netmap_index **out, const struct netmap *nm)
{
	_cleanup_(netmap_index) struct netmap_index *ix = calloc(1, sizeof(*ix));

	if (!ix)
		return -ENOMEM;
	ix->ids = calloc(nm->n_nodes + 1, sizeof(*ix->ids));
	ix->addrs = calloc(2 * nm->n_nodes + 1, sizeof(*ix->addrs));
	if (!ix->ids || !ix->addrs)
		return -ENOMEM;
	for (size_t i = 0; i < nm->n_nodes; i++) {
		const struct netmap_node *node = &nm->nodes[i];

		ix->ids[i] = (struct by_id){ node->id, i };
		if (!addr_is_zero(&node->overlay4))
			ix->addrs[ix->n_addrs++] = (struct by_addr){ node->overlay4, i };
		if (!addr_is_zero(&node->overlay6))
			ix->addrs[ix->n_addrs++] = (struct by_addr){ node->overlay6, i };
	}
	qsort(ix->ids, nm->n_nodes, sizeof(*ix->ids), compare_ids);
	qsort(ix->addrs, ix->n_addrs, sizeof(*ix->addrs), compare_addrs);
	*out = TAKE_PTR(ix);
	return 0;
}

const struct netmap_node *netmap_node_by_id(const struct netmap *nm, const char *id)
{
	struct by_id key = { .id = id };
	const struct by_id *hit =
		bsearch(&key, nm->index->ids, nm->n_nodes, sizeof(key), compare_ids);

	return hit ? &nm->nodes[hit->node] : NULL;
}

const struct netmap_node *netmap_node_by_addr(const struct netmap *nm, const struct c25_addr *a)
{
	struct by_addr key = { .addr = *a };
	const struct by_addr *hit =
		bsearch(&key, nm->index->addrs, nm->index->n_addrs, sizeof(key), compare_addrs);

	return hit ? &nm->nodes[hit->node] : NULL;
}
