/* SPDX-License-Identifier: BSD-3-Clause */
/* explain: every step that one name or address takes, as text for a person. */
#ifndef EXPLAIN_H
#define EXPLAIN_H

#include "client.h"
#include "maps.h"
#include "netmap.h"
#include "peers.h"

#include <stdbool.h>

struct explain_source {
	const struct netmap *nm;
	const struct maps *maps;
	const struct peers *peers;
	struct client *client; /* NULL: this node is none */
	bool tls;              /* --peerapi-tls-* */
};

/* An owned text that ends with a newline; NULL: out of memory. */
char *explain(const struct explain_source *source, const char *subject);

#endif
