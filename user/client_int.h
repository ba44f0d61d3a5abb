/* SPDX-License-Identifier: BSD-3-Clause */
/* client_int: what client.c, client_lease.c, client_restore.c and client_register.c share, and
 * nobody else sees. */
#ifndef CLIENT_INT_H
#define CLIENT_INT_H

#include "client.h"
#include "dns_answers.h"
#include "domains.h"

/* What the netmap in force says of one app. */
struct client_app {
	bool known;  /* else: not asked for yet */
	uint32_t id; /* c25_apps */
	size_t n;
	uint32_t connectors[REGISTRAR_MAX_CONNECTORS]; /* in this client's order, by number */
};

/* A lease over its TTL lives on while packets used it within this time: the longest that an
 * established TCP connection may be silent (RFC 5382, REQ-5). */
#define LEASE_IDLE 7440

struct client_resolve; /* client_resolve.h */
struct kept;           /* client_pressure.c */
/* Warns once of a pool or a table that is nearly used up. */
void client_pressure_check(struct client *c);

/* client_keep.c */
struct request; /* to a connector, under way; client_register.c */

/* A record that only keeps addresses from being lent, until `expires`. Oldest first. */
struct quarantine {
	struct c25_addr magic;
	uint64_t expires;
	struct quarantine *next;
};

struct client {
	struct client_deps deps;
	struct client_app *apps; /* as the netmap's */
	const struct netmap *nm;
	struct domains *domains;
	struct lease_table *leases;
	struct registrar *registrar;
	struct dns_proxy *proxy;
	struct client_resolve *resolve;
	struct quarantine *quarantine_first, *quarantine_last;
	uv_timer_t tick;          /* the registrar's next deadline */
	uv_timer_t sweep;         /* leases that may have ended */
	uv_timer_t keep;          /* flows kept with another connector */
	struct kept *kept;        /* client_keep.c */
	struct c25_addr sweep_at; /* the next lease to look at */
	struct request *requests;
	struct request *unsent; /* those of them that could not be made */
	struct dns_answers answers;
	struct client_stats stats;
	uint64_t turn_ms, turn_s;        /* both clocks, in one turn of the loop */
	const char *why;                 /* the connector in hand gave no answer; NULL: in time */
	uint32_t pressed;                /* warned of: bits of pools, and one for the leases */
	uint32_t listens, listen_failed; /* bits of --dns-listen */
};
_Static_assert(CONFIG_MAX_LISTEN <= 32, "bits of client.listens, connector.listens");

/* Milliseconds of a monotonic clock; seconds of CLOCK_BOOTTIME, as in the maps. */
uint64_t client_now_ms(const struct client *c);
uint64_t client_now_s(void);

/* client_register.c */
extern const struct registrar_ops client_registrar_ops;
/* By index in the netmap's apps. NULL: it could not be given a number. Good until a reload. */
const struct client_app *client_app(struct client *c, size_t index);
/* A connector's entry in the netmap in force, NULL: it has none. */
const struct netmap_node *client_node(const struct client *c, uint32_t connector);
/* Where its peer API is; NULL: it has none. */
const char *client_base(const struct client *c, const struct netmap_node *node);
/* Own address of the family that the URL's host is spelled in; NULL: any. */
const struct c25_addr *client_source(const struct client *c, const char *base);
/* Fail the requests that could not be made; whether there were any. */
bool client_fail_unsent(struct client *c);
void client_requests_free(struct client *c);
/* Run the registrar before the loop sleeps again. */
void client_tick_soon(struct client *c);

/* client_keep.c */
/* Whether packets of this lease were answered lately, or may be, at a connector that fails in the
 * way of `how`. The stamps it goes by are left in `stamps`. */
bool client_answered(const struct client *c, const struct lease *l, enum registrar_failure how,
		     struct c25_kept *stamps);
/* The lease is about to leave its connector: whether flows in being stay there, which is written
 * down. The caller then writes the mapping with C25_MAGIC_KEPT and C25_TRANSIT_KEPT. */
bool client_keep_move(struct client *c, const struct lease *l);
/* They go with the others, and the mapping is written so; or it is gone anyway. */
void client_keep_end(struct client *c, const struct lease *l);
void client_keep_drop(struct client *c, const struct lease *l);
void client_keep_check(uv_timer_t *t);
/* After the leases. */
int client_keep_restore(struct client *c);
void client_keep_free(struct client *c);

/* client_restore.c */
int client_restore(struct client *c);

/* client_lease.c */
void client_sweep(struct client *c);
/* Its domain belongs to this app now, or the app's connectors changed. */
void client_retarget(struct client *c, struct lease *l, const struct client_app *app);
/* End a lease on both ends; its addresses rest in quarantine. */
void client_end_lease(struct client *c, struct lease *l);
/* What a new netmap means for the leases in being. */
void client_reassign(struct client *c);
/* NULL: this node may not use it, or is itself its connector. */
const struct client_app *client_app_of(struct client *c, const char *domain);
void client_quarantine_add(struct client *c, const struct c25_addr *magic, uint64_t expires);
void client_quarantine_free(struct client *c);
/* What an earlier run may have told a connector of. */
void client_release_at(struct client *c, uint32_t connector, const struct c25_addr *transit);
/* The same for `peer` and every connector that a name may have been told to. */
void client_release_everywhere(struct client *c, const char *domain, uint32_t peer,
			       const struct c25_addr *transit);

#endif
