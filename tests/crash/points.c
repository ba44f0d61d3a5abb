/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * points: linked in front of libbpf and libc in the crash tests' own binary (-Wl,--wrap): the
 * daemon dies by SIGKILL at the N-th point, before or after a write that outlives it.
 *
 * CRASH_AT names a file that holds N. Points are counted from when it appears, and each is named on
 * stderr, so that the test reads there how many there are and at which one it ended. Points are the
 * writes of leases, registrations and releases; with CRASH_ALL set, those of a start as well.
 */
#include <bpf/bpf.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned long armed_at(void)
{
	const char *path = getenv("CRASH_AT");
	FILE *f = path ? fopen(path, "re") : NULL;
	unsigned long n = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%lu", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

/* NULL: a program's run, which cuts flows. */
static bool counts(const char *map)
{
	static const char *const maps[] = { "c25_leases",   "c25_magic", "c25_transit", "c25_kept",
					    "c25_mappings", "c25_meta",  "c25_answers" };

	if (!map || getenv("CRASH_ALL"))
		return true;
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		if (!strcmp(map, maps[i]))
			return true;
	return false;
}

static void point(const char *when, const char *write, const char *what)
{
	static unsigned long passed;
	unsigned long at = armed_at();

	if (!counts(what))
		return;
	if (!what)
		what = "a program";
	if (!at) {
		passed = 0;
		return;
	}
	fprintf(stderr, "crash point %lu: %s %s of %s\n", ++passed, when, write, what);
	if (passed == at) {
		kill(getpid(), SIGKILL);
		for (;;)
			pause();
	}
}

static const char *map_name(int fd)
{
	static struct bpf_map_info info;
	__u32 len = sizeof(info);

	info = (struct bpf_map_info){ 0 };
	return bpf_obj_get_info_by_fd(fd, &info, &len) ? "?" : info.name;
}

int __real_bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags);
int __wrap_bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags);
int __wrap_bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
{
	int result;

	point("before", "update", map_name(fd));
	result = __real_bpf_map_update_elem(fd, key, value, flags);
	point("after", "update", map_name(fd));
	return result;
}

int __real_bpf_map_delete_elem(int fd, const void *key);
int __wrap_bpf_map_delete_elem(int fd, const void *key);
int __wrap_bpf_map_delete_elem(int fd, const void *key)
{
	int result;

	point("before", "delete", map_name(fd));
	result = __real_bpf_map_delete_elem(fd, key);
	point("after", "delete", map_name(fd));
	return result;
}

int __real_bpf_prog_test_run_opts(int fd, struct bpf_test_run_opts *opts);
int __wrap_bpf_prog_test_run_opts(int fd, struct bpf_test_run_opts *opts);
int __wrap_bpf_prog_test_run_opts(int fd, struct bpf_test_run_opts *opts)
{
	int result;

	point("before", "run", NULL);
	result = __real_bpf_prog_test_run_opts(fd, opts);
	point("after", "run", NULL);
	return result;
}

int __real_bpf_obj_pin(int fd, const char *path);
int __wrap_bpf_obj_pin(int fd, const char *path);
int __wrap_bpf_obj_pin(int fd, const char *path)
{
	int result;

	point("before", "pin", path);
	result = __real_bpf_obj_pin(fd, path);
	point("after", "pin", path);
	return result;
}

int __real_bpf_link_update(int fd, int prog, const struct bpf_link_update_opts *opts);
int __wrap_bpf_link_update(int fd, int prog, const struct bpf_link_update_opts *opts);
int __wrap_bpf_link_update(int fd, int prog, const struct bpf_link_update_opts *opts)
{
	int result;

	point("before", "update", "a link");
	result = __real_bpf_link_update(fd, prog, opts);
	point("after", "update", "a link");
	return result;
}

int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __wrap_unlink(const char *path)
{
	int result;

	point("before", "removal", path);
	result = __real_unlink(path);
	point("after", "removal", path);
	return result;
}
