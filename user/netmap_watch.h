/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netmap_watch: says when a file may hold something else than before. Never reads it.
 *
 * Edits in place, a rename over it, a Kubernetes ConfigMap's symlink swap, a file that appears
 * later or on a filesystem that tells no events: within 600 ms.
 */
#ifndef NETMAP_WATCH_H
#define NETMAP_WATCH_H

#include <uv.h>

struct netmap_watch;

/*
 * `changed` is called from the loop, once for what happens within 50 ms, and only while the file
 * is there; it may call netmap_watch_free(). Start the watch before reading the file, so that no
 * change falls in between. 0 or a negative errno.
 */
int netmap_watch_new(struct netmap_watch **out, uv_loop_t *loop, const char *path,
		     void (*changed)(void *ctx), void *ctx);

/* `changed` is not called any more. The memory goes once the loop has closed the handles, so the
 * loop must run until then (until uv_run() returns of itself). */
void netmap_watch_free(struct netmap_watch *w);

#endif
