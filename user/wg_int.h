/* SPDX-License-Identifier: BSD-3-Clause */
/* wg_int: what the wg*.c files share, and their tests see. */
#ifndef WG_INT_H
#define WG_INT_H

#include "wg.h"

#include <linux/netlink.h>
#include <time.h>

/* Changes that go in one message. */
#define WG_BATCH 512

struct wg_get_ops {
	int (*read)(struct wg_get *g);
	void (*free)(struct wg_get *g);
};

/* Each kind of device embeds it first. */
struct wg_get {
	const struct wg_get_ops *ops;
	int fd;
	wg_each each;
	void *ctx;
};

static inline int64_t wg_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* wg_netlink.c */
#define WG_MESSAGE_LEN (64 * 1024)

int wg_netlink_get(struct wg_get **out, const char *dev);
int wg_netlink_set(const char *dev, const struct wg_change *v, size_t n,
		   const struct wg_key *nobody);
/* WG_CMD_SET_DEVICE for at most WG_BATCH changes, in WG_MESSAGE_LEN bytes at `buf`. */
struct nlmsghdr *wg_netlink_print(void *buf, uint16_t family, const char *dev,
				  const struct wg_change *v, size_t n, const struct wg_key *nobody);
/* One message of the answer to WG_CMD_GET_DEVICE. What has another shape is left out. */
int wg_netlink_parse(const struct nlmsghdr *nlh, wg_each each, void *ctx);

/* wg_uapi.c */
int wg_uapi_get(struct wg_get **out, const char *dev);
int wg_uapi_set(const char *dev, const struct wg_change *v, size_t n, const struct wg_key *nobody);

/* wg_text.c: the text of the userspace socket (https://www.wireguard.com/xplatform/). */
#define WG_LINE_MAX 512

struct wg_text {
	char line[WG_LINE_MAX]; /* as far as it has come */
	size_t len;
	struct wg_key peer;
	bool has_peer;
	bool has_errno;
	int result; /* of "errno=" */
};

/* 1: the answer is complete, t->result says how it ended; 0: more is to come; -EBADMSG. */
int wg_text_parse(struct wg_text *t, const char *data, size_t len, wg_each each, void *ctx);
/* "set=1" with everything and its empty line; freed by the caller. NULL: no memory. */
char *wg_text_print(const struct wg_change *v, size_t n, const struct wg_key *nobody);

#endif
