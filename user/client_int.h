/* SPDX-License-Identifier: BSD-3-Clause */
/* client_int: what client.c, client_lease.c and client_register.c share, and nobody else sees. */
#ifndef CLIENT_INT_H
#define CLIENT_INT_H

#include "client.h"
#include "domains.h"

struct client {
	struct client_deps deps;
	const struct netmap *nm;
	struct domains *domains;
	struct lease_table *leases;
	struct registrar *registrar;
	struct dns_proxy *proxy;
	struct quarantine *quarantine_first, *quarantine_last;
	uv_timer_t tick;  /* the registrar's next deadline */
	uv_timer_t sweep; /* leases that may have ended */
	struct client_stats stats;
};

/* Milliseconds of a monotonic clock; seconds of CLOCK_BOOTTIME, as in the maps. */
uint64_t client_now_ms(const struct client *c);
uint64_t client_now_s(void);

/* client_register.c */
extern const struct registrar_ops client_registrar_ops;
/* Connectors of the app in this client's order of preference, by number. */
size_t client_connectors(const struct client *c, const struct netmap_app *app,
			 uint32_t out[REGISTRAR_MAX_CONNECTORS]);
/* Run the registrar before the loop sleeps again. */
void client_tick_soon(struct client *c);

/* client_lease.c */
int client_restore(struct client *c);
void client_sweep(struct client *c);
/* End a lease on both ends; its addresses rest in quarantine. */
void client_end_lease(struct client *c, struct lease *l);
/* What a new netmap means for the leases in being. */
void client_reassign(struct client *c);
void client_quarantine_free(struct client *c);

#endif
