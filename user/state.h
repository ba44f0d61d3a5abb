/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * state: what the maps hold, joined into rows and sorted: names, addresses, peers, counters.
 *
 * Reads maps only, so that `conn25 map` and the daemon say the same; writes nothing.
 */
#ifndef STATE_H
#define STATE_H

#include "cleanup.h"
#include "maps.h"

#include <cjson/cJSON.h>
#include <stdint.h>

struct state_lease {
	struct c25_addr magic;
	struct c25_lease lease;
	const char *app;       /* "" where the maps do not say */
	const char *connector; /* id; "" before one agreed */
	uint64_t packets;      /* both ways */
	uint64_t bytes;
	uint64_t last_seen; /* 0: never */
	uint32_t flags;     /* C25_MAGIC_* */
};

struct state_mapping {
	struct c25_mapping_key key;
	struct c25_mapping mapping;
	const char *app;
	const char *peer;
	uint64_t packets; /* ended and living flows, both ways */
	uint64_t bytes;
	uint64_t last_seen;
};

struct state {
	struct state_lease *leases; /* by app, domain from the root down, address */
	size_t n_leases;
	size_t n_resting;               /* behind them: in quarantine */
	struct state_mapping *mappings; /* by client, app, address */
	size_t n_mappings;
	struct c25_app *apps; /* what the rows' names point into */
	size_t n_apps;
	struct c25_peer *peers;
};

/* 0 or a negative errno. */
int state_read(struct state **out, const struct maps *maps);
void state_free(struct state *s);
DEFINE_CLEANUP(state, struct state *, state_free)

/* Their names; "" where the maps do not say. */
const char *state_app(const struct state *s, uint32_t id);
const char *state_peer(const struct state *s, uint32_t index);

/* The `client` and `connector` objects of /conn25/state (contract, section 5), without what only
 * the daemon knows. NULL: out of memory. */
cJSON *state_client_json(const struct state *s);
cJSON *state_connector_json(const struct state *s);

/* {"client_out":{"packets":1,"bytes":60}, ...}, those that happened. */
cJSON *state_reasons_json(const struct maps *maps);

/* RFC 3339, UTC, of a time of CLOCK_BOOTTIME in seconds; returns `buf`. */
#define STATE_TIME_LEN 32
const char *state_time(char buf[STATE_TIME_LEN], uint64_t boottime);

#endif
