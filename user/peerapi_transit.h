/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peerapi_transit: the connector's answer to each element of a transit-ip request.
 *
 * No sockets and no JSON: a peer and its request in, codes out, mappings through the server's
 * ops. The order of the checks is the contract's.
 */
#ifndef PEERAPI_TRANSIT_H
#define PEERAPI_TRANSIT_H

#include "peerapi_msg.h"
#include "peerapi_server.h"

/*
 * Releases first, so that a message may give an address back and map it anew, then the elements
 * in their order. `results` has room for one per element; its messages are constants. 0, or
 * -ENOMEM and nothing was done.
 */
int peerapi_transit_apply(struct peerapi_result *results, const struct peerapi_server_ops *ops,
			  void *ctx, const struct netmap_node *peer,
			  const struct peerapi_request *request);

#endif
