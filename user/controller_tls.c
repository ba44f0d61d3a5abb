/* SPDX-License-Identifier: BSD-3-Clause */
/* controller_tls: the peer API's certificates, and what a netmap says against them. */
#include "controller_int.h"
#include "log.h"

#include <strings.h>

static void on_certificate(void *ctx, const char *what)
{
	struct controller *c = ctx;

	events_tell(c->events, "certificate", ev_text("change", what));
	tls_check(c->tls, netmap_self(c->nm));
}

/* A connector that is told to be spoken to in plain text is: the netmap's word decides. */
void controller_check_tls(struct controller *c, const struct netmap *nm)
{
	if (!c->tls)
		return;
	tls_check(c->tls, netmap_self(nm));
	for (size_t i = 0; i < nm->n_nodes; i++) {
		const struct netmap_node *node = &nm->nodes[i];

		if (node->connector && node->peer_api && !node->peer_api_tls &&
		    !strncasecmp(node->peer_api, "http:", 5))
			log_warn("%s: /nodes/%zu/peerAPI: %s is plain HTTP in spite of "
				 "--peerapi-tls-cert: write https, or leave it out",
				 c->config->netmap, i, node->peer_api);
	}
}

int controller_open_tls(struct controller *c)
{
	int err;

	if (!c->config->tls.cert)
		return 0;
	err = tls_new(&c->tls, &c->loop, &c->config->tls, on_certificate, c);
	if (!err)
		controller_check_tls(c, c->nm);
	return err;
}
