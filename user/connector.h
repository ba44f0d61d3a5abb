/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * connector: the connector role: from a peer's registration to the maps, and its end.
 *
 * Joins peerapi_server, policy, uplinks and maps; the rules of each are there.
 */
#ifndef CONNECTOR_H
#define CONNECTOR_H

#include "apps.h"
#include "cleanup.h"
#include "config.h"
#include "datapath.h"
#include "events.h"
#include "netmap.h"
#include "peers.h"
#include "tls.h"
#include "uplinks.h"

#include <stdint.h>
#include <uv.h>

struct connector;

/* All of it must outlive the connector. */
struct connector_deps {
	uv_loop_t *loop;
	const struct config *config;
	const struct maps *maps;
	struct datapath **datapath; /* another one after a role was added */
	struct uplinks *uplinks;
	struct peers *peers;
	struct apps *apps;
	struct events *events;
	struct tls *tls; /* NULL: plain HTTP */
};

struct connector_stats {
	uint64_t answered[8]; /* elements by code */
	uint64_t expired;
	uint64_t revoked;
};

/* Mappings in the maps are taken up again. Logs what failed. */
int connector_new(struct connector **out, const struct connector_deps *deps,
		  const struct netmap *nm);
/* The loop must run until it is idle afterwards. */
void connector_free(struct connector *c);
DEFINE_CLEANUP(connector, struct connector *, connector_free)

/* The peer API on these addresses; none given: every own overlay address, port 8025. Called again,
 * on those where it failed before. Logs each failure once. */
int connector_listen(struct connector *c, const struct config_socks *socks);

/* A new netmap is in force: mappings and flows that are no longer allowed end at once. */
void connector_reload(struct connector *c, const struct netmap *nm);

const struct connector_stats *connector_stats(const struct connector *c);

#endif
