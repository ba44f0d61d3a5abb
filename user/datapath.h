/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * datapath: loads the BPF programs, attaches them, pins maps and links, takes old pins over.
 *
 * Knows nothing of names or leases. Everything it pins lies below one directory, and
 * datapath_remove() takes it all away again without a datapath of its own.
 */
#ifndef DATAPATH_H
#define DATAPATH_H

#include "c25_abi.h"
#include "cleanup.h"
#include "maps.h"

#include <stdbool.h>
#include <stdint.h>

#define DATAPATH_PIN "/sys/fs/bpf/conn25"

struct datapath;

struct datapath_config {
	const char *pin;
	bool client;
	bool connector;
	bool dns;        /* --dns-intercept */
	bool dns_open;   /* --dns-fail open */
	bool tunnel_key; /* --overlay vxlan: the programs set and check the tunnel key */
	uint16_t nat_lo; /* host order, inclusive */
	uint16_t nat_hi;
	uint32_t max_mappings;
	uint32_t max_flows;
	const char *version; /* for c25_meta */
};

/*
 * Load, reusing maps already pinned there. Pins of another layout or of other sizes: -EUCLEAN,
 * logged with the way out; the old datapath stays as it was. Nothing is attached yet. Mounts
 * bpffs on /sys/fs/bpf where `pin` lies below it and nothing is mounted. Logs what failed.
 */
int datapath_open(struct datapath **out, const struct datapath_config *cfg);

/* Closes descriptors; what is pinned goes on working. */
void datapath_free(struct datapath *d);
DEFINE_CLEANUP(datapath, struct datapath *, datapath_free)

enum datapath_role {
	DATAPATH_OVERLAY, /* ingress and egress; with cfg->tunnel_key, only a device with `l2` */
	DATAPATH_UPLINK,  /* ingress; only with cfg->connector */
	DATAPATH_DNS,     /* ingress; only with cfg->dns */
};

/*
 * Attach to a device, at the head of the tcx chain, or by clsact where the kernel has no tcx. A
 * pinned link in being is updated in place, so that no packet passes between two programs; one
 * whose device went away is replaced. `l2`: frames have an Ethernet header. Logs what failed.
 */
int datapath_attach(struct datapath *d, enum datapath_role role, uint32_t ifindex, bool l2);
int datapath_detach(struct datapath *d, enum datapath_role role, uint32_t ifindex);

/* Detach from devices that datapath_attach() has not been called for since datapath_open(): those
 * an earlier daemon used and this one does not. */
int datapath_sweep(struct datapath *d);

const struct maps *datapath_maps(const struct datapath *d);

/* End every flow of this mapping at once; returns how many, or a negative errno. */
int datapath_revoke(struct datapath *d, const struct c25_mapping_key *k);

/* Ring buffer of events: its descriptor is readable when there are some. */
int datapath_events_fd(const struct datapath *d);
/* Calls `each` for what is there; returns how many, or a negative errno. */
int datapath_events_read(struct datapath *d, void (*each)(const struct c25_event *e, void *ctx),
			 void *ctx);

/* Whether what datapath_open() pinned is still there: datapath_remove() may have run meanwhile. */
bool datapath_pinned(const struct datapath *d);

/* Whether the pins were there before datapath_open(): leases are to be restored. */
bool datapath_recovered(const struct datapath *d);

/* Detach and unpin everything below `pin`, and the directory itself. May be repeated: -ENOENT
 * says that nothing was there. Never touches what is not ours. */
int datapath_remove(const char *pin);

#endif
