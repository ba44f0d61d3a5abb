/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pins: a network and a bpffs of its own for one test, in a mount namespace that ends with it.
 * Criterion forks for each test, so nothing has to be taken back.
 */
#ifndef PINS_H
#define PINS_H

#include "datapath.h"
#include "leaks.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIN "/sys/fs/bpf/conn25_test"

/* Everything up to the mount: /sys/fs/bpf is no bpffs. */
static inline void pins_unshare(void)
{
	if (geteuid() != 0)
		cr_skip_test("needs root");
	cr_assert_eq(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	while (!umount2("/sys/fs/bpf", MNT_DETACH))
		;
	log_setup(LOG_ERROR, false);
}

static inline void pins_setup(void)
{
	pins_unshare();
	cr_assert_eq(mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700"), 0);
}

static inline struct datapath_config pins_config(void)
{
	return (struct datapath_config){
		.pin = PIN,
		.client = true,
		.connector = true,
		.dns = true,
		.tunnel_key = true,
		.nat_lo = 10000,
		.nat_hi = 29999,
		.max_mappings = 1024,
		.max_flows = 2048,
		.version = "1.2.3",
	};
}

static inline bool pins_exists(const char *path)
{
	struct stat st;

	return !stat(path, &st);
}

static inline struct c25_addr pins_addr(const char *text)
{
	struct c25_addr a;

	cr_assert_gt(addr_parse(&a, text), 0);
	return a;
}

#endif
