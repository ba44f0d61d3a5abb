/* SPDX-License-Identifier: BSD-3-Clause */
#include "cleanup.h"
#include "leaks.h"
#include "file_watch.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define IN_FORCE_MS 1000 /* the contract's time */

struct bench {
	uv_loop_t loop;
	uv_timer_t limit;
	struct file_watch *watch;
	char dir[64];
	char file[96];
	unsigned calls;
	bool late;
};

static struct bench b;

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	cr_assert_not_null(f, "%s", path);
	fputs(text, f);
	fclose(f);
}

static const char *in_dir(const char *name)
{
	static char path[4][256];
	static unsigned turn;
	char *out = path[turn++ % 4];

	snprintf(out, sizeof(path[0]), "%s/%s", b.dir, name);
	return out;
}

static void setup(void)
{
	strcpy(b.dir, "/tmp/conn25-watch-XXXXXX");
	cr_assert_not_null(mkdtemp(b.dir));
	snprintf(b.file, sizeof(b.file), "%s/netmap.json", b.dir);
	uv_loop_init(&b.loop);
	uv_timer_init(&b.loop, &b.limit);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void teardown(void)
{
	file_watch_free(b.watch);
	uv_close((uv_handle_t *)&b.limit, NULL);
	uv_run(&b.loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&b.loop), 0);
	nftw(b.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	leaks_abort();
}

TestSuite(file_watch, .init = setup, .fini = teardown);

static void on_changed(void *ctx)
{
	b.calls++;
	uv_stop(&b.loop);
}

static void on_limit(uv_timer_t *timer)
{
	b.late = true;
	uv_stop(&b.loop);
}

/* Runs the loop until a call or until the time is over; whether a call came. */
static bool called_within(unsigned ms)
{
	unsigned before = b.calls;

	b.late = false;
	uv_update_time(&b.loop);
	uv_timer_start(&b.limit, on_limit, ms, 0);
	while (b.calls == before && !b.late)
		uv_run(&b.loop, UV_RUN_DEFAULT);
	uv_timer_stop(&b.limit);
	return b.calls != before;
}

static void watch(void)
{
	cr_assert_eq(file_watch_new(&b.watch, &b.loop, b.file, on_changed, NULL), 0);
}

Test(file_watch, an_edit_in_place_is_seen)
{
	write_file(b.file, "old");
	watch();
	write_file(b.file, "new");
	cr_assert(called_within(IN_FORCE_MS));
}

Test(file_watch, a_rename_over_the_file_is_seen_each_time)
{
	write_file(b.file, "old");
	watch();
	for (int i = 0; i < 3; i++) {
		write_file(in_dir("tmp"), "new");
		cr_assert_eq(rename(in_dir("tmp"), b.file), 0);
		cr_assert(called_within(IN_FORCE_MS));
	}
}

Test(file_watch, a_configmap_swap_is_seen_each_time)
{
	mkdir(in_dir("..1"), 0755);
	mkdir(in_dir("..2"), 0755);
	write_file(in_dir("..1/netmap.json"), "one");
	write_file(in_dir("..2/netmap.json"), "two");
	cr_assert_eq(symlink("..1", in_dir("..data")), 0);
	cr_assert_eq(symlink("..data/netmap.json", b.file), 0);
	watch();
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(symlink(i ? "..1" : "..2", in_dir("..data_tmp")), 0);
		cr_assert_eq(rename(in_dir("..data_tmp"), in_dir("..data")), 0);
		cr_assert(called_within(IN_FORCE_MS));
	}
}

Test(file_watch, the_file_behind_a_symlink_to_elsewhere_is_watched)
{
	mkdir(in_dir("elsewhere"), 0755);
	write_file(in_dir("elsewhere/it"), "old");
	cr_assert_eq(symlink("elsewhere/it", b.file), 0);
	watch();
	write_file(in_dir("elsewhere/it"), "longer than before");
	cr_assert(called_within(IN_FORCE_MS));
}

Test(file_watch, a_file_that_appears_later_is_seen)
{
	watch();
	write_file(b.file, "new");
	cr_assert(called_within(IN_FORCE_MS));
}

Test(file_watch, a_directory_that_appears_later_is_seen)
{
	snprintf(b.file, sizeof(b.file), "%s/sub/netmap.json", b.dir);
	watch();
	mkdir(in_dir("sub"), 0755);
	write_file(b.file, "new");
	cr_assert(called_within(IN_FORCE_MS));
}

Test(file_watch, many_writes_at_once_are_one_call)
{
	write_file(b.file, "old");
	watch();
	for (int i = 0; i < 100; i++)
		write_file(b.file, "new");
	cr_assert(called_within(IN_FORCE_MS));
	cr_assert(!called_within(IN_FORCE_MS), "called again for what it had been called for");
}

Test(file_watch, neighbours_and_a_file_taken_away_are_none_of_it)
{
	write_file(b.file, "old");
	watch();
	write_file(in_dir("other"), "new");
	cr_assert(!called_within(IN_FORCE_MS));
	unlink(b.file);
	cr_assert(!called_within(IN_FORCE_MS));
	write_file(b.file, "old");
	cr_assert(called_within(IN_FORCE_MS));
}

static void free_inside(void *ctx)
{
	file_watch_free(b.watch);
	b.watch = NULL;
	b.calls++;
	uv_stop(&b.loop);
}

Test(file_watch, it_may_be_freed_from_its_own_call)
{
	cr_assert_eq(file_watch_new(&b.watch, &b.loop, b.file, free_inside, NULL), 0);
	write_file(b.file, "new");
	cr_assert(called_within(IN_FORCE_MS));
}

Test(file_watch, a_loop_that_ends_at_once_frees_it)
{
	watch();
}
