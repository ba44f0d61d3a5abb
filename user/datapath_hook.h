/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * datapath_hook: one program at one place of one device, by tcx or by clsact.
 *
 * A hook knows no program: it gets a descriptor. What it attaches outlives the process and is
 * found again by its name in the pin directory (datapath_pin.h). Functions do not log.
 */
#ifndef DATAPATH_HOOK_H
#define DATAPATH_HOOK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define HOOK_STRLEN 32

/* Where our clsact filters are found again. First in line, as tcx at the head is. */
#define HOOK_CLSACT_PRIO   1
#define HOOK_CLSACT_HANDLE 0xc25

enum hook_id {
	HOOK_OVERLAY_IN,
	HOOK_OVERLAY_OUT,
	HOOK_UPLINK_IN,
	HOOK_DNS_IN,
	HOOK_COUNT,
};

struct hook {
	const char *name; /* "overlay_in" */
	bool egress;
};

extern const struct hook hooks[HOOK_COUNT];

/* "overlay_in_7" */
const char *hook_print(char buf[HOOK_STRLEN], const struct hook *h, uint32_t ifindex);
/* The hook a name stands for, or NULL: no name of ours. */
const struct hook *hook_parse(const char *name, uint32_t *ifindex);

/* tcx, or clsact where the kernel (before 6.6) has no tcx. Replaces what is ours there without a
 * packet in between. -ENODEV: no such device. */
int hook_attach(const char *pin, const struct hook *h, uint32_t ifindex, int prog_fd);
int hook_attach_tcx(const char *pin, const struct hook *h, uint32_t ifindex, int prog_fd);
/* -EEXIST: something else has our priority and handle. */
int hook_attach_clsact(const char *pin, const struct hook *h, uint32_t ifindex, int prog_fd);

/* By whichever way it was attached. -ENOENT: it was not. */
int hook_detach(const char *pin, const struct hook *h, uint32_t ifindex);

/* Every hook attached, as the pins tell. */
int hook_each(const char *pin, int (*each)(const struct hook *h, uint32_t ifindex, void *ctx),
	      void *ctx);

#endif
