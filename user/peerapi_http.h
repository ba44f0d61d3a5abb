/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peerapi_http: one HTTP request of the peer API, from its headers to its answer.
 *
 * Who may ask, paths, methods, bodies and status codes. Holds no sockets and no time: these are
 * peerapi_server's.
 */
#ifndef PEERAPI_HTTP_H
#define PEERAPI_HTTP_H

#include "peerapi_dns.h"
#include "peerapi_server.h"

#include <microhttpd.h>

struct peerapi_http {
	const struct peerapi_server_ops *ops;
	void *ctx;
	/* Whether the connection's certificate is this node's; NULL: none is asked for. */
	bool (*vouched)(struct MHD_Connection *mhd, const struct netmap_node *node);
	size_t buffered; /* bytes of bodies under way */
	struct peerapi_dns_list questions;
};

/* The other node that has this overlay address, NULL if none: the node itself is no peer. */
const struct netmap_node *peerapi_peer(const struct netmap *nm, const struct sockaddr *source);

/* As MHD_AccessHandlerCallback: once for the headers, then with `*slot` set for each piece of
 * the body, and once at its end. */
enum MHD_Result peerapi_http_request(struct peerapi_http *h, struct MHD_Connection *mhd,
				     const char *path, const char *method, const char *data,
				     size_t *len, void **slot);

/* The request is over, answered or not. */
void peerapi_http_completed(void **slot);

/* Before the daemons are stopped: what waits for its answer waits no more. */
void peerapi_http_stop(struct peerapi_http *h);

/* MHD_OPTION_UNESCAPE_CALLBACK. A text with an escaped NUL stays escaped: decoded, a path would
 * end there and be another one. */
size_t peerapi_http_unescape(void *cls, struct MHD_Connection *mhd, char *text);

#endif
