/* SPDX-License-Identifier: BSD-3-Clause */
#include "netmap_watch.h"
#include "cleanup.h"

#include <errno.h>
#include <libgen.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define DEBOUNCE_MS 50
#define POLL_MS     500

struct netmap_watch {
	uv_fs_event_t event; /* on the directory: what is renamed over a file has another inode */
	uv_fs_poll_t poll;   /* whatever the events miss: other directories behind symlinks, NFS */
	uv_timer_t timer;
	unsigned n_handles;
	char *path;
	const char *name; /* inside `path` */
	struct stat seen; /* as it was when `changed` was last called */
	void (*changed)(void *ctx);
	void *ctx;
};

static void on_closed(uv_handle_t *handle)
{
	struct netmap_watch *w = handle->data;

	if (--w->n_handles)
		return;
	free(w->path);
	free(w);
}

void netmap_watch_free(struct netmap_watch *w)
{
	if (!w)
		return;
	uv_close((uv_handle_t *)&w->event, on_closed);
	uv_close((uv_handle_t *)&w->poll, on_closed);
	uv_close((uv_handle_t *)&w->timer, on_closed);
}

static void on_timer(uv_timer_t *timer)
{
	struct netmap_watch *w = timer->data;

	if (!stat(w->path, &w->seen))
		w->changed(w->ctx);
}

/* A timer that runs is left alone: a file written to all the time must not put it off for ever. */
static void schedule(struct netmap_watch *w)
{
	if (!uv_is_active((uv_handle_t *)&w->timer))
		uv_timer_start(&w->timer, on_timer, DEBOUNCE_MS, 0);
}

/* Kubernetes swaps the symlink "..data" beside the file's own. */
static void on_event(uv_fs_event_t *event, const char *name, int events, int status)
{
	struct netmap_watch *w = event->data;

	if (!name || !strcmp(name, w->name) || !strcmp(name, "..data"))
		schedule(w);
}

static bool is_seen(const struct stat *seen, const uv_stat_t *now)
{
	return seen->st_dev == now->st_dev && seen->st_ino == now->st_ino &&
	       (uint64_t)seen->st_size == now->st_size &&
	       seen->st_mtim.tv_sec == now->st_mtim.tv_sec &&
	       seen->st_mtim.tv_nsec == now->st_mtim.tv_nsec &&
	       seen->st_ctim.tv_sec == now->st_ctim.tv_sec &&
	       seen->st_ctim.tv_nsec == now->st_ctim.tv_nsec;
}

static void on_poll(uv_fs_poll_t *poll, int status, const uv_stat_t *before, const uv_stat_t *now)
{
	struct netmap_watch *w = poll->data;

	if (!status && !is_seen(&w->seen, now))
		schedule(w);
}

static int start(struct netmap_watch *w)
{
	_cleanup_free_ char *copy = strdup(w->path);

	if (!copy)
		return -ENOMEM;
	/* No directory yet, or no inotify watch left: the poll alone does it, later. */
	uv_fs_event_start(&w->event, on_event, dirname(copy), 0);
	return uv_fs_poll_start(&w->poll, on_poll, w->path, POLL_MS);
}

int netmap_watch_new(struct netmap_watch **out, uv_loop_t *loop, const char *path,
		     void (*changed)(void *ctx), void *ctx)
{
	struct netmap_watch *w = calloc(1, sizeof(*w));
	const char *slash;
	int err;

	if (!w)
		return -ENOMEM;
	w->path = strdup(path);
	if (!w->path) {
		free(w);
		return -ENOMEM;
	}
	slash = strrchr(w->path, '/');
	w->name = slash ? slash + 1 : w->path;
	w->changed = changed;
	w->ctx = ctx;
	w->n_handles = 3;
	uv_fs_event_init(loop, &w->event);
	uv_fs_poll_init(loop, &w->poll);
	uv_timer_init(loop, &w->timer);
	w->event.data = w->poll.data = w->timer.data = w;
	err = start(w);
	if (err) {
		netmap_watch_free(w);
		return err;
	}
	*out = w;
	return 0;
}
