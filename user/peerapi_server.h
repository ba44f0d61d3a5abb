/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peerapi_server: the connector's peer API, on libmicrohttpd inside the one loop.
 *
 * Checks who asks and what, in the order the contract gives, and answers; the mappings
 * themselves are written by the caller's ops.
 */
#ifndef PEERAPI_SERVER_H
#define PEERAPI_SERVER_H

#include "cleanup.h"
#include "dns_proxy.h"
#include "netmap.h"
#include "peerapi_msg.h"
#include "tls.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

struct peerapi_server;

struct peerapi_server_ops {
	/* The netmap in force. */
	const struct netmap *(*netmap)(void *ctx);
	/* Changes whenever mappings were lost; good until the next call. */
	const char *(*epoch)(void *ctx);
	/* Whether there is a mapping of (client, transit). */
	bool (*mapped)(void *ctx, const struct c25_addr *client, const struct c25_addr *transit);
	/* Permitted: map (client, transit) to real. 0, or a negative errno with `*why` a constant
	 * text for the peer: quota reached, table full, not reachable through an uplink. */
	int (*map)(void *ctx, const struct netmap_node *peer, const struct c25_addr *client,
		   const struct c25_addr *transit, const struct c25_addr *real,
		   const struct netmap_app *app, const char **why);
	/* Releases of a request come before its elements; of what is not mapped too. */
	void (*release)(void *ctx, const struct netmap_node *peer, const struct c25_addr *client,
			const struct c25_addr *transit);
	/* The peer was heard (any request that reached code checks, heartbeats among them). */
	void (*heard)(void *ctx, const struct netmap_node *peer);
	/* One element answered, for metrics and those who watch. */
	void (*answered)(void *ctx, const struct netmap_node *peer, const struct peerapi_item *item,
			 const struct peerapi_result *result);
	/* Who is asked for /dns-query; NULL: nobody. It must outlive the server. */
	struct dns_proxy *(*resolver)(void *ctx);
	/* Whether a name in wire form is one of this app's, which is of the netmap in force. */
	bool (*covers)(void *ctx, const struct netmap_app *app, const uint8_t *name);
};

/* `tls`: peers speak mutual TLS; NULL: plain HTTP. It must outlive the server's connections, which
 * end with the loop. */
int peerapi_server_new(struct peerapi_server **out, uv_loop_t *loop, const struct tls *tls,
		       const struct peerapi_server_ops *ops, void *ctx);
/* Not from within an op. Connections end; the loop has to turn once more to close the handles and
 * free the memory, before it is closed itself. */
void peerapi_server_free(struct peerapi_server *s);
DEFINE_CLEANUP(peerapi_server, struct peerapi_server *, peerapi_server_free)

/* Serve on this address too, also one that is not up yet; "[::]" serves both families. 0, or a
 * negative errno, logged by the caller. */
int peerapi_server_listen(struct peerapi_server *s, const struct sockaddr *sa);

#endif
