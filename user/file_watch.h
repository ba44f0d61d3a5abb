/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * file_watch: says when a file may hold something else than before. Never reads it.
 *
 * Edits in place, a rename over it, a Kubernetes ConfigMap's symlink swap, a file that appears
 * later or on a filesystem that tells no events: within 600 ms.
 */
#ifndef FILE_WATCH_H
#define FILE_WATCH_H

#include <uv.h>

struct file_watch;

/*
 * `changed` is called from the loop, once for what happens within 50 ms, and only while the file
 * is there; it may call file_watch_free(). Start the watch before reading the file, so that no
 * change falls in between. 0 or a negative errno.
 */
int file_watch_new(struct file_watch **out, uv_loop_t *loop, const char *path,
		   void (*changed)(void *ctx), void *ctx);

/* `changed` is not called any more. The memory goes once the loop has closed the handles, so the
 * loop must run until then (until uv_run() returns of itself). */
void file_watch_free(struct file_watch *w);

#endif
