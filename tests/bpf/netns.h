/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netns: a network of its own for each test, looked at with iproute2 rather than with the code
 * that made it.
 */
#ifndef NETNS_H
#define NETNS_H

#include "leaks.h"

#include "addr.h"
#include "cleanup.h"
#include "netlink.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct netlink *nl;

/* Runs a shell command; returns its exit status. */
__attribute__((format(printf, 1, 2), unused)) static int run(const char *fmt, ...)
{
	char command[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	return system(command);
}

#define RUN(...) cr_assert_eq(run(__VA_ARGS__), 0)

/* What a command writes; good until the next call. */
__attribute__((unused)) static const char *shown(const char *command)
{
	static char text[65536];
	FILE *f = popen(command, "r");
	size_t n;

	cr_assert_not_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = 0;
	pclose(f);
	return text;
}

#define SHOWS(command, part)                                                                       \
	cr_assert_not_null(strstr(shown(command), part), "%s: no \"%s\" in\n%s", command, part,    \
			   shown(command))
#define SHOWS_NOT(command, part)                                                                   \
	cr_assert_null(strstr(shown(command), part), "%s: \"%s\" in\n%s", command, part,           \
		       shown(command))

__attribute__((unused)) static struct c25_addr A(const char *text) {
	struct c25_addr a;

	cr_assert_gt(addr_parse(&a, text), 0, "%s", text);
	return a;
}

__attribute__((unused)) static struct prefix
P(const char *text) {
	struct prefix p;

	cr_assert_eq(prefix_parse(&p, text), 0, "%s", text);
	return p;
}

/* The descriptor that stderr goes to from now on, so that log lines can be read back. */
static int log_fd = -1;

__attribute__((unused)) static void log_catch(void)
{
	log_fd = memfd_create("log", MFD_CLOEXEC);
	cr_assert(log_fd >= 0);
	dup2(log_fd, STDERR_FILENO);
}

/* What was logged since the last call. */
__attribute__((unused)) static const char *logged(void)
{
	static char text[65536];
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = 0;
	cr_assert_eq(ftruncate(log_fd, 0), 0);
	lseek(log_fd, 0, SEEK_SET);
	return text;
}

#define LOGGED(part)                                                                               \
	({                                                                                         \
		const char *log_ = logged();                                                       \
		cr_assert_not_null(strstr(log_, part), "no \"%s\" in\n%s", part, log_);            \
	})

static void netns_enter(void)
{
	cr_assert_eq(unshare(CLONE_NEWNET), 0, "root is needed");
	RUN("ip link set lo up");
	cr_assert_eq(netlink_open(&nl), 0);
}

static void netns_leave(void)
{
	netlink_free(nl);
	nl = NULL;
	leaks_abort();
}

#endif
