/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peerapi_client: HTTP requests to connectors, on libcurl multi inside the one loop.
 *
 * Keeps connections alive; never blocks; knows nothing of what the bodies mean.
 */
#ifndef PEERAPI_CLIENT_H
#define PEERAPI_CLIENT_H

#include "addr.h"
#include "cleanup.h"
#include "netmap.h"
#include "tls.h"

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct peerapi_client;
struct peerapi_call; /* one request under way */

#define PEERAPI_CLIENT_CONNS 8 /* at once to one connector, unless told otherwise */

/* `status`: HTTP status, or 0 where there was none, and then `error` says why. `body` is NUL
 * ended and good during the call; at most PEERAPI_MAX_BODY bytes are taken. */
typedef void (*peerapi_done)(void *ctx, int status, const char *body, size_t len,
			     const char *error);

int peerapi_client_new(struct peerapi_client **out, uv_loop_t *loop);
/* Requests under way end without their callback. May be called from within one. The loop has to
 * turn once more to close the handles and free the memory, before it is closed itself. */
void peerapi_client_free(struct peerapi_client *c);
DEFINE_CLEANUP(peerapi_client, struct peerapi_client *, peerapi_client_free)

/* At most so many connections at once to one connector; further requests wait for one. */
void peerapi_client_set_conns(struct peerapi_client *c, unsigned n);

/* Requests to https are made with its set, and to the node they are meant for alone. NULL: as
 * the host's own programs make them. */
void peerapi_client_set_tls(struct peerapi_client *c, const struct tls *tls);

struct peerapi_post {
	const char *base;
	const struct netmap_node *node; /* whose certificate it must be where `base` is https */
	const char *path;               /* and query, escaped */
	const struct c25_addr *source;  /* own overlay address to send from, NULL for any */
	const char *type;               /* media type of the body and of the answer wanted */
	const void *body;               /* copied */
	size_t len;
	uint64_t timeout_ms;
};

/*
 * `done` is called exactly once, never from within this call, unless the call is cancelled.
 * Redirects are not followed, proxies of the environment are not used. `*call` is good until it
 * returns.
 */
int peerapi_client_send(struct peerapi_client *c, const struct peerapi_post *post,
			peerapi_done done, void *ctx, struct peerapi_call **call);
/* From within its callback, with status 0: the system's reason, or 0 where it was another. */
int peerapi_client_errno(const struct peerapi_call *call);
/* Its callback is not called. May be called from within another one's. */
void peerapi_client_cancel(struct peerapi_call *call);

/* Percent-encoded for a query's value; owned, NULL when out of memory. */
char *peerapi_client_escape(const char *text);

#endif
