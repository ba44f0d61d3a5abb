/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls_owner: whose a certificate is.
 *
 * It is a node's when one of its subjectAltNames is the node's id (as a DNS name), one of its
 * overlay addresses, or the host of its `peerAPI`. Wildcards and the common name count for
 * nothing. Pure.
 */
#ifndef TLS_OWNER_H
#define TLS_OWNER_H

#include "addr.h"
#include "netmap.h"

#include <gnutls/x509.h>
#include <stdbool.h>

/* Filled to its last byte, so that memcmp() tells whether two are the same. */
struct tls_owner {
	char id[256];
	char host[256]; /* "" where it is an address */
	struct c25_addr addrs[3];
};

void tls_owner_of(struct tls_owner *out, const struct netmap_node *node);
bool tls_owner_has(const struct tls_owner *o, gnutls_x509_crt_t cert);

#endif
