/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peerapi_client_tls: requests over mutual TLS, which leave only when the connection's other end
 * has shown the certificate of the node they are for.
 *
 * libcurl sees to the chain; whose the certificate is is asked before each request, as connections
 * are kept and a netmap may give an address to another node meanwhile.
 */
#ifndef PEERAPI_CLIENT_TLS_H
#define PEERAPI_CLIENT_TLS_H

#include "tls_owner.h"
#include "tls_set.h"

#include <curl/curl.h>
#include <stdbool.h>

/* Certificates of the connections that are kept. */
struct tls_conns {
	struct tls_conn *first;
};
void tls_conns_clear(struct tls_conns *conns);

/* Of one request. */
struct call_tls {
	struct tls_conns *conns;
	CURL *easy;
	struct tls_owner owner;
	curl_socket_t fd; /* opened last */
	bool refused;     /* the certificate is another one's */
};

/* `set` is copied from. 0 or -ENOMEM. */
int call_tls_set(struct call_tls *t, CURL *easy, struct tls_conns *conns, const struct tls_set *set,
		 const struct netmap_node *node);

#endif
