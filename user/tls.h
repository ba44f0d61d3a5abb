/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls: the set of certificate, key and CA in force (--peerapi-tls-*), and its files watched, so
 * that what is renewed is taken up without a restart. Logs what is wrong with them, never a key.
 */
#ifndef TLS_H
#define TLS_H

#include "cleanup.h"
#include "netmap.h"
#include "tls_set.h"

#include <uv.h>

struct tls;

struct tls_stats {
	uint64_t reloads_ok, reloads_refused;
};

/* `files` must outlive it. `changed` is called when another set is in force, or was refused:
 * `what` says so. Logs what failed. */
int tls_new(struct tls **out, uv_loop_t *loop, const struct tls_files *files,
	    void (*changed)(void *ctx, const char *what), void *ctx);
/* The loop must run until it is idle afterwards. */
void tls_free(struct tls *t);
DEFINE_CLEANUP(tls, struct tls *, tls_free)

/* The set in force; good until the loop turns, longer with a reference. NULL where `t` is. */
struct tls_set *tls_now(const struct tls *t);

/* Warn of what peers will refuse: a certificate that is not this node's, or that the CA did not
 * sign, or whose time is not now. Each once a set. Called now and then. */
void tls_check(struct tls *t, const struct netmap_node *self);

struct tls_stats tls_stats(const struct tls *t);

#endif
