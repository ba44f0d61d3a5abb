/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wg: single addresses among the allowed IPs of a WireGuard device's peers.
 *
 * The kernel's devices are spoken to by generic netlink (wg_netlink.c), those of wireguard-go and
 * its kind through their socket (wg_uapi.c). Nothing else of a device is ever changed, and its
 * secrets, which it tells with its peers, are wiped. Functions return 0 or a negative errno and do
 * not log.
 */
#ifndef WG_H
#define WG_H

#include "addr.h"
#include "cleanup.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WG_SOCKET_DIR "/var/run/wireguard"

struct wg_key {
	uint8_t b[32];
};

/* Exactly a key in base64, or -EINVAL. */
int wg_key_parse(struct wg_key *out, const char *text);
int wg_key_cmp(const struct wg_key *a, const struct wg_key *b); /* as memcmp() */

struct wg_device {
	char name[IFNAMSIZ];
	bool kernel; /* else it has a socket */
};

/* An address that is to be among the allowed IPs of `peer`, whoever has it now, or of nobody. */
struct wg_change {
	struct c25_addr addr;
	struct wg_key peer;
	bool nobody;
};

/*
 * Makes the changes, in order; cheapest where those of one peer stand together. A peer that the
 * device does not have is left out without an error, as the kernel does. Waits for a userspace
 * device at most WG_SET_MS a thousand changes: -ETIMEDOUT.
 *
 * An address is taken away by giving it to a peer of a random key, which is removed in the same
 * message: unlike replacing the list of the peer it leaves all others alone, what was added
 * meanwhile too, and costs no more with a long list.
 */
#define WG_SET_MS 250
int wg_set(const struct wg_device *d, const struct wg_change *v, size_t n);

/* Called for each peer, with `p` NULL, and then for each of its allowed IPs; a peer may come again
 * with more. Host bits of `p` are clear. The first non-zero result ends the reading with it. */
typedef int (*wg_each)(const struct wg_key *peer, const struct prefix *p, void *ctx);

/* Reading a device's peers, in pieces. */
struct wg_get;

/* -ENOENT, -ECONNREFUSED: nobody listens on the device's socket; -EOPNOTSUPP: not WireGuard's. */
int wg_get_start(struct wg_get **out, const struct wg_device *d, wg_each each, void *ctx);
void wg_get_free(struct wg_get *g); /* may come at any time */
DEFINE_CLEANUP(wg_get, struct wg_get *, wg_get_free)
int wg_get_fd(const struct wg_get *g); /* readable: time for wg_get_read() */
/* Reads what is there, or a good piece of it. 1: that was all; 0: there is more to come. -EAGAIN:
 * the device was changed meanwhile, ask again. */
int wg_get_read(struct wg_get *g);
/* The whole, for those who have no loop. -ETIMEDOUT after `ms`. */
int wg_get_wait(struct wg_get *g, int ms);

#endif
