/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * addr_map: finds what belongs to an address, among millions, with about one cache miss.
 *
 * Open addressing with the keys in place. Keys are this node's own addresses, which nobody outside
 * chooses, so the hash has no secret. Values are the caller's; NULL is none.
 */
#ifndef ADDR_MAP_H
#define ADDR_MAP_H

#include "addr.h"

#include <stddef.h>

struct addr_slot {
	struct c25_addr key;
	void *value; /* NULL: free */
};

/* All zero is an empty one. */
struct addr_map {
	struct addr_slot *slots;
	size_t size; /* a power of two, or 0 */
	size_t n;
};

void *addr_map_get(const struct addr_map *m, const struct c25_addr *key);
/* A key that is not there yet. 0 or -ENOMEM. */
int addr_map_put(struct addr_map *m, const struct c25_addr *key, void *value);
/* Nothing, where it is not there. Never shrinks. */
void addr_map_del(struct addr_map *m, const struct c25_addr *key);
/* Every value; `*at` is 0 at first. NULL: no more. Nothing may change meanwhile. */
void *addr_map_next(const struct addr_map *m, size_t *at);
/* Empty again; the values are not touched. */
void addr_map_clear(struct addr_map *m);

#endif
