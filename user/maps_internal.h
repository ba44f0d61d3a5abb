/* SPDX-License-Identifier: BSD-3-Clause */
/* maps_internal: what maps.c and maps_each.c share. */
#ifndef MAPS_INTERNAL_H
#define MAPS_INTERNAL_H

#include "maps.h"

/* Bytes of key and value, of one CPU where there is one value a CPU. */
struct maps_shape {
	uint32_t key;
	uint32_t value;
};

extern const struct maps_shape maps_shapes[MAP_COUNT];

#endif
