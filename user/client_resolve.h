/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client_resolve: questions of apps with `resolve: connector`, asked of their connectors as
 * RFC 8484 over the peer API.
 *
 * Which connectors, in which order and when the next one, and nothing of what becomes of answers.
 * Its connections are its own, so that a slow name keeps no registration waiting.
 */
#ifndef CLIENT_RESOLVE_H
#define CLIENT_RESOLVE_H

#include "client_int.h"
#include "dns_proxy.h"

#include <stdbool.h>
#include <stdint.h>

struct client_resolve;

int client_resolve_new(struct client_resolve **out, struct client *c);
/* After the proxy, whose end takes back what is asked. */
void client_resolve_free(struct client_resolve *r);

/* As dns_proxy_ops.ask and .unask. `app`: index in the netmap's apps. */
bool client_resolve_ask(struct client_resolve *r, struct dns_query *query, size_t app,
			const uint8_t *msg, size_t len);
void client_resolve_unask(struct dns_query *query);

/*
 * The app's connectors, good until the next call. From within dns_proxy_ops.answered the one whose
 * answer it is comes first: it may be the only one to reach the addresses it gave.
 */
const uint32_t *client_resolve_order(struct client_resolve *r, const struct client_app *app);

#endif
