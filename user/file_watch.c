/* SPDX-License-Identifier: BSD-3-Clause */
#include "file_watch.h"
#include "cleanup.h"

#include <errno.h>
#include <libgen.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define DEBOUNCE_MS 50
#define POLL_MS     500

struct file_watch {
	uv_fs_event_t event; /* on the directory: what is renamed over a file has another inode */
	uv_timer_t poll;     /* whatever the events miss: other directories behind symlinks, NFS */
	uv_timer_t debounce;
	uv_fs_t look;
	bool looking;
	bool freed;
	unsigned n_open; /* handles, and the request while it runs */
	char *path;
	const char *name; /* inside `path` */
	struct stat seen; /* as it was at the start or when `changed` was last called */
	void (*changed)(void *ctx);
	void *ctx;
};

static void let_go(struct file_watch *w)
{
	if (--w->n_open)
		return;
	free(w->path);
	free(w);
}

static void on_closed(uv_handle_t *handle)
{
	let_go(handle->data);
}

void file_watch_free(struct file_watch *w)
{
	if (!w)
		return;
	w->freed = true;
	uv_close((uv_handle_t *)&w->event, on_closed);
	uv_close((uv_handle_t *)&w->poll, on_closed);
	uv_close((uv_handle_t *)&w->debounce, on_closed);
}

static void on_debounce(uv_timer_t *debounce)
{
	struct file_watch *w = debounce->data;

	if (!stat(w->path, &w->seen))
		w->changed(w->ctx);
}

/* A timer that runs is left alone: a file written to all the time must not put it off for ever. */
static void schedule(struct file_watch *w)
{
	if (!uv_is_active((uv_handle_t *)&w->debounce))
		uv_timer_start(&w->debounce, on_debounce, DEBOUNCE_MS, 0);
}

/* Kubernetes swaps the symlink "..data" beside the file's own. */
static void on_event(uv_fs_event_t *event, const char *name, int events, int status)
{
	struct file_watch *w = event->data;

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

static void on_look(uv_fs_t *look)
{
	struct file_watch *w = look->data;

	w->looking = false;
	if (!w->freed && !look->result && !is_seen(&w->seen, &look->statbuf))
		schedule(w);
	uv_fs_req_cleanup(look);
	let_go(w);
}

/* stat() may hang on a dead file server: it is left to libuv's threads. */
static void on_poll(uv_timer_t *poll)
{
	struct file_watch *w = poll->data;

	if (w->looking || uv_fs_stat(poll->loop, &w->look, w->path, on_look))
		return;
	w->looking = true;
	w->n_open++;
}

static int start(struct file_watch *w)
{
	_cleanup_free_ char *copy = strdup(w->path);

	if (!copy)
		return -ENOMEM;
	/* No directory yet, or no inotify watch left: the poll alone does it, later. */
	uv_fs_event_start(&w->event, on_event, dirname(copy), 0);
	/* Not there yet: whatever comes differs from all zero. */
	if (stat(w->path, &w->seen))
		memset(&w->seen, 0, sizeof(w->seen));
	return uv_timer_start(&w->poll, on_poll, POLL_MS, POLL_MS);
}

int file_watch_new(struct file_watch **out, uv_loop_t *loop, const char *path,
		   void (*changed)(void *ctx), void *ctx)
{
	struct file_watch *w = calloc(1, sizeof(*w));
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
	w->n_open = 3;
	uv_fs_event_init(loop, &w->event);
	uv_timer_init(loop, &w->poll);
	uv_timer_init(loop, &w->debounce);
	w->event.data = w->poll.data = w->debounce.data = w->look.data = w;
	err = start(w);
	if (err) {
		file_watch_free(w);
		return err;
	}
	*out = w;
	return 0;
}
