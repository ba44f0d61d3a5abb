/* SPDX-License-Identifier: BSD-3-Clause */
#include "wg.h"

#include "wg_int.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>

#define KEY_TEXT_LEN 44

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int wg_key_parse(struct wg_key *out, const char *text)
{
	struct wg_key key;
	uint32_t bits = 0;
	size_t n = 0;

	if (strlen(text) != KEY_TEXT_LEN || text[KEY_TEXT_LEN - 1] != '=')
		return -EINVAL;
	for (size_t i = 0; i < KEY_TEXT_LEN - 1; i++) {
		int v = base64_value(text[i]);

		if (v < 0)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)v;
		/* Four letters are three bytes; the last three letters are two, and two bits. */
		if (i % 4 == 0)
			continue;
		key.b[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	if (bits & 3)
		return -EINVAL;
	*out = key;
	return 0;
}

int wg_key_cmp(const struct wg_key *a, const struct wg_key *b)
{
	return memcmp(a, b, sizeof(*a));
}

int wg_set(const struct wg_device *d, const struct wg_change *v, size_t n)
{
	struct wg_key nobody;

	if (getrandom(&nobody, sizeof(nobody), 0) != (ssize_t)sizeof(nobody))
		return -EIO;
	while (n) {
		size_t some = n < WG_BATCH ? n : WG_BATCH;
		int err = d->kernel ? wg_netlink_set(d->name, v, some, &nobody) :
				      wg_uapi_set(d->name, v, some, &nobody);

		if (err)
			return err;
		v += some;
		n -= some;
	}
	return 0;
}

int wg_get_start(struct wg_get **out, const struct wg_device *d, wg_each each, void *ctx)
{
	struct wg_get *g;
	int err = d->kernel ? wg_netlink_get(&g, d->name) : wg_uapi_get(&g, d->name);

	if (err)
		return err;
	g->each = each;
	g->ctx = ctx;
	*out = g;
	return 0;
}

void wg_get_free(struct wg_get *g)
{
	g->ops->free(g);
}

int wg_get_fd(const struct wg_get *g)
{
	return g->fd;
}

int wg_get_read(struct wg_get *g)
{
	return g->ops->read(g);
}

int wg_get_wait(struct wg_get *g, int ms)
{
	struct pollfd p = { .fd = g->fd, .events = POLLIN };
	int64_t end = wg_now_ms() + ms, left;
	int done;

	while ((left = end - wg_now_ms()) > 0) {
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
		if (!p.revents)
			continue;
		done = wg_get_read(g);
		if (done)
			return done < 0 ? done : 0;
	}
	return -ETIMEDOUT;
}
