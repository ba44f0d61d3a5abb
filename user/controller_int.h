/* SPDX-License-Identifier: BSD-3-Clause */
/* controller_int: what the files of the controller share, and nobody else sees. */
#ifndef CONTROLLER_INT_H
#define CONTROLLER_INT_H

#include "apps.h"
#include "client.h"
#include "config.h"
#include "connector.h"
#include "control.h"
#include "datapath.h"
#include "dns_intercept.h"
#include "events.h"
#include "metrics_server.h"
#include "netlink.h"
#include "netmap.h"
#include "file_watch.h"
#include "overlay.h"
#include "peerapi_client.h"
#include "peers.h"
#include "tls.h"
#include "uplinks.h"
#include "wg_sync.h"

#include <uv.h>

struct controller {
	const struct config *config;
	uv_loop_t loop;
	struct netmap *nm; /* in force */
	struct netlink *netlink;
	struct overlay *overlay;
	struct datapath *datapath;
	struct c25_overlay overlay_record; /* as in c25_overlay */
	struct maps maps;                  /* a copy of its descriptors, at a place that stays */
	struct peers *peers;
	struct apps *apps;
	struct uplinks *uplinks;
	struct wg_sync *wg; /* NULL: another kind of overlay */
	struct peerapi_client *http;
	struct tls *tls;                 /* NULL: plain HTTP */
	struct dns_intercept *intercept; /* NULL: not asked for, or no client yet */
	struct client *client;           /* NULL: never had the role */
	struct connector *connector;     /* NULL: never had the role */
	struct control *control;
	struct events *events;          /* for those who watch */
	struct metrics_server *metrics; /* NULL: not asked for */
	struct file_watch *watch;
	uv_signal_t sigterm, sigint, sighup;
	uv_poll_t netlink_poll;
	uv_poll_t *ring;   /* events of the datapath in force */
	uv_timer_t settle; /* network changes come in bursts */
	uv_timer_t minute;
	bool fresh;   /* nothing was pinned before this start */
	int failed;   /* why the loop was stopped; 0: by a signal */
	bool started; /* once ready; later failures are in the two below */
	int kernel_err, listen_err;
	uint64_t reloads_ok, reloads_refused;
	bool reload_failed;                       /* the last one */
	int64_t loaded_at;                        /* the netmap in force, seconds since 1970 */
	uint64_t ring_events[C25_EVENT_DROP + 1]; /* read, by kind */
};

/* controller_overlay.c */
int controller_sync_overlay(struct controller *c, const struct netmap *nm);
int controller_forget_via(struct controller *c);
/* What the programs must know of the device; peers are in sync. */
int controller_write_overlay(struct controller *c, const struct netmap *nm);
/* Takes our transit addresses away from the WireGuard device that c25_overlay names, if any. */
void controller_leave_wireguard(struct controller *c);

/* controller_check.c */
void controller_raise_descriptors(void);
void controller_warn_of_ports(const struct config *f);
/* That there is a resolver, and that it is not one of the own listeners. */
int controller_check_upstreams(const struct controller *c, const struct config_socks *socks);

/* controller_intercept.c */
/* A client's DNS is taken where --dns-intercept says; for a new netmap too. */
int controller_intercept(struct controller *c, const struct netmap *nm);

/* controller_tls.c */
int controller_open_tls(struct controller *c);
/* What of certificates and netmap does not go together. */
void controller_check_tls(struct controller *c, const struct netmap *nm);

/* controller_events.c */
/* The ring buffer of the datapath in force. */
int controller_watch_events(struct controller *c);
void controller_unwatch_events(struct controller *c);

/* controller_metrics.c: ops of --metrics-listen. */
extern const struct metrics_server_ops controller_metrics_ops;
/* Indices of other nodes that are connectors of any app this one may use; `out` has room for every
 * node. */
size_t controller_connectors(const struct controller *c, size_t *out);

/* controller_view.c: ops of the control socket. */
extern const struct control_ops controller_control_ops;

#endif
