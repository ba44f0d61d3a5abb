/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * apps: gives each app's name a small number that the maps use, kept in c25_apps.
 *
 * A number stays a name's for as long as the pins live, also when the app leaves the netmap:
 * records that name it can still be read.
 */
#ifndef APPS_H
#define APPS_H

#include "cleanup.h"
#include "maps.h"

#include <stdint.h>

struct apps;

/* Reads back the numbers given before a restart. `maps` must outlive it. */
int apps_new(struct apps **out, const struct maps *maps);
void apps_free(struct apps *a);
DEFINE_CLEANUP(apps, struct apps *, apps_free)

/* The number of `name`, given now if it has none. 0, -ENOSPC or another negative errno. */
int apps_id(struct apps *a, const char *name, uint32_t *out);

/* NULL: never given. */
const char *apps_name(const struct apps *a, uint32_t id);

#endif
