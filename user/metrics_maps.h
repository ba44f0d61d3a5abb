/* SPDX-License-Identifier: BSD-3-Clause */
/* metrics_maps: what of the metrics is read from the kernel's maps. Slow where they are full. */
#ifndef METRICS_MAPS_H
#define METRICS_MAPS_H

#include "maps.h"

#include <stdio.h>

/* 0 or a negative errno; what could be read was printed. */
int metrics_maps(FILE *out, const struct maps *m);

#endif
