/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peerapi_dns: one question of /dns-query (RFC 8484), from its HTTP request to the answer.
 *
 * Names of the app asked for only, to peers that may use it; what else a message asks is REFUSED
 * in DNS's own words. While the resolver is asked the connection is suspended.
 */
#ifndef PEERAPI_DNS_H
#define PEERAPI_DNS_H

#include "peerapi_server.h"

#include <microhttpd.h>
#include <stdbool.h>

#define PEERAPI_DNS_PATH "/dns-query"
#define PEERAPI_DNS_TYPE "application/dns-message"

/* Questions under way. Each has a connection of its own, so that what bounds the connections of
 * a peer bounds its questions. */
struct peerapi_dns_list {
	struct peerapi_dns *first;
	size_t n;
	/* A suspended connection goes on: its daemon is to be run, soon and not from within. */
	void (*resumed)(void *ctx, struct MHD_Connection *mhd);
	void *ctx;
};

struct peerapi_dns {
	struct dns_asker asker; /* first: the answer finds the rest from it */
	struct peerapi_dns_list *list;
	struct peerapi_dns *prev, *next;
	struct MHD_Connection *mhd;
	bool asked, suspended;
	uint8_t id[2];
	uint8_t *answer; /* NULL: there is none, yet or at all */
	size_t len;
};

/* Statuses that refuse a request come with `why`, a constant text for the peer. */

/* 0, or the status that refuses the request for its method or the type of its body. */
unsigned peerapi_dns_check(struct MHD_Connection *mhd, const char *method, const char **why);

/*
 * Ask what the request's `app`, and its body or, where that is NULL, its `dns` say. 0: the answer
 * is there, or the connection was suspended and its handler is called again when it is; else the
 * status that refuses the request. `d` is zeroed before.
 */
unsigned peerapi_dns_ask(struct peerapi_dns *d, struct peerapi_dns_list *list,
			 const struct peerapi_server_ops *ops, void *ctx,
			 const struct netmap_node *peer, struct MHD_Connection *mhd,
			 const void *body, size_t len, const char **why);

/* Seconds for which the answer may be kept (RFC 8484, 5.1). */
uint32_t peerapi_dns_max_age(const struct peerapi_dns *d);

/* The request is over. */
void peerapi_dns_clear(struct peerapi_dns *d);

/* Every suspended connection goes on, without an answer. */
void peerapi_dns_stop(struct peerapi_dns_list *list);

#endif
