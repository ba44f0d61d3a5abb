/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * datapath_pin: the directory of pins.
 *
 *	PIN/maps/c25_*		the maps
 *	PIN/links/HOOK_IFINDEX	tcx links, such as overlay_in_7
 *	PIN/clsact/HOOK_IFINDEX	empty directories: a clsact filter of ours is on that device
 *
 * By interface index and not by name: the kernel's link knows its device by index too, and a
 * device may be renamed while its link lives on. Knows nothing of what the pins mean; a
 * directory that holds anything else is not touched. What fails outright is logged.
 */
#ifndef DATAPATH_PIN_H
#define DATAPATH_PIN_H

#include <limits.h>

struct pin_lock;

/* PIN/dir/name, or PIN/dir where `name` is NULL. -ENAMETOOLONG. */
int pin_path(char path[PATH_MAX], const char *pin, const char *dir, const char *name);

/* bpffs mounted if that is ours to do, directories made (mode 0700). Refuses a directory in use
 * for something else: -ENOTEMPTY. */
int pin_prepare(const char *pin);

/* Whether `pin` is a directory of ours that pin_remove() may take away: 0, -ENOENT, -ENOTEMPTY,
 * or -EINVAL where it is not on bpffs. */
int pin_check(const char *pin);

/* So that two daemons never write one set of maps: -EBUSY while another process holds it. This
 * process may take it again, and gives it back as often. */
int pin_lock(struct pin_lock **out, const char *pin);
void pin_unlock(struct pin_lock *l);

/* Every map unpinned, the record of who wrote them first: what a crash leaves of the rest counts
 * as nothing. */
int pin_clear_maps(const char *pin);

/* The directories, as far as they are empty; 0 when all are gone. Does not log. */
int pin_rmdirs(const char *pin);

/* Calls `each` with every name in PIN/dir; stops at and returns its first non-zero result. A
 * directory that is not there holds nothing. */
int pin_each(const char *pin, const char *dir, int (*each)(const char *name, void *ctx), void *ctx);

#endif
