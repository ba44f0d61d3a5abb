/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leaks: makes a leak inside a Criterion test fail it. Criterion's workers leave with _exit(), so
 * the sanitizer's own report at exit would pass silently. Each test file names its suite once:
 *
 *	SUITE(netmap);
 *	Test(netmap, unknown_keys_are_warned_of) { ... }
 */
#ifndef LEAKS_H
#define LEAKS_H

#include <criterion/criterion.h>
#include <sanitizer/lsan_interface.h>
#include <stdlib.h>

static inline void leaks_abort(void)
{
	if (__lsan_do_recoverable_leak_check())
		abort();
}

#define SUITE(name, ...) TestSuite(name, .fini = leaks_abort, ##__VA_ARGS__)

#endif
