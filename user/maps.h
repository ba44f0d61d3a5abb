/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * maps: typed access to the pinned maps. The only file that makes map system calls.
 *
 * Works on the descriptors of a loaded datapath and on pins alone, so that `conn25 map` answers
 * with the daemon dead. Functions return 0 or a negative errno and do not log; -EBADF: this node's
 * roles have no such map.
 */
#ifndef MAPS_H
#define MAPS_H

#include "addr.h"
#include "c25_abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAPS(X)                                                                                    \
	X(META, meta)                                                                              \
	X(NETS, nets)                                                                              \
	X(PEERS, peers)                                                                            \
	X(OVERLAY, overlay)                                                                        \
	X(DEVS, devs)                                                                              \
	X(APPS, apps)                                                                              \
	X(REASONS, reasons)                                                                        \
	X(EVENTS, events)                                                                          \
	X(TICK, tick)                                                                              \
	X(MAGIC, magic)                                                                            \
	X(TRANSIT, transit)                                                                        \
	X(LEASES, leases)                                                                          \
	X(KEPT, kept)                                                                              \
	X(BEGUN, begun)                                                                            \
	X(MAPPINGS, mappings)                                                                      \
	X(FLOWS, flows)                                                                            \
	X(NAMES, names)                                                                            \
	X(ENDS, ends)                                                                              \
	X(DNS_TO, dns_to)                                                                          \
	X(DNS_PORTS, dns_ports)                                                                    \
	X(ANSWERS, answers)                                                                        \
	X(DOWN, down)                                                                              \
	X(SOCKS, socks)

enum map_id {
#define MAPS_ENUM(id, name) MAP_##id,
	MAPS(MAPS_ENUM)
#undef MAPS_ENUM
		MAP_COUNT,
};

/* Descriptors; -1 where this node's roles have no such map. */
struct maps {
	int fd[MAP_COUNT];
};

const char *maps_name(enum map_id id); /* "c25_magic" */

/* From the pins below `pin`/maps. -ENOENT: nothing is pinned there; -EUCLEAN: another layout. Other
 * maps than META may be missing. */
int maps_open(struct maps *m, const char *pin);
void maps_close(struct maps *m);
/* Descriptors of their own to the same maps. 0, or -EMFILE and its kind. */
int maps_dup(struct maps *out, const struct maps *m);

int maps_meta_get(const struct maps *m, struct c25_meta *out);
int maps_meta_put(const struct maps *m, const struct c25_meta *v);

int maps_net_put(const struct maps *m, const struct prefix *p, const struct c25_net *v);
int maps_net_del(const struct maps *m, const struct prefix *p);
int maps_peer_put(const struct maps *m, uint32_t index, const struct c25_peer *v);
int maps_peer_get(const struct maps *m, uint32_t index, struct c25_peer *out);
int maps_overlay_get(const struct maps *m, struct c25_overlay *out);
int maps_overlay_put(const struct maps *m, const struct c25_overlay *v);
int maps_dev_put(const struct maps *m, uint32_t ifindex, const struct c25_dev *v);
int maps_dev_del(const struct maps *m, uint32_t ifindex);
int maps_app_put(const struct maps *m, uint32_t id, const char *name);
int maps_app_get(const struct maps *m, uint32_t id, struct c25_app *out);

/* Transit first, then magic, so that no packet goes out whose answer could not come back.
 * Counters of an entry in being are kept. */
int maps_client_put(const struct maps *m, const struct c25_addr *magic,
		    const struct c25_addr *transit, uint32_t peer, uint32_t peer2, uint32_t flags);
int maps_client_del(const struct maps *m, const struct c25_addr *magic,
		    const struct c25_addr *transit);
/* One side alone, of a pair that does not belong together. */
int maps_magic_del(const struct maps *m, const struct c25_addr *magic);
int maps_transit_del(const struct maps *m, const struct c25_addr *transit);
int maps_magic_get(const struct maps *m, const struct c25_addr *magic, struct c25_magic *out);
int maps_transit_get(const struct maps *m, const struct c25_addr *transit, struct c25_transit *out);

int maps_kept_put(const struct maps *m, const struct c25_addr *magic, const struct c25_kept *v);
int maps_kept_get(const struct maps *m, const struct c25_addr *magic, struct c25_kept *out);
int maps_kept_del(const struct maps *m, const struct c25_addr *magic);

int maps_lease_put(const struct maps *m, const struct c25_addr *magic, const struct c25_lease *v);
int maps_lease_del(const struct maps *m, const struct c25_addr *magic);

/* Counters of an entry in being are kept. */
int maps_mapping_put(const struct maps *m, const struct c25_mapping_key *k,
		     const struct c25_addr *real, uint32_t app, uint32_t peer, uint64_t now);
int maps_mapping_get(const struct maps *m, const struct c25_mapping_key *k,
		     struct c25_mapping *out);
int maps_mapping_del(const struct maps *m, const struct c25_mapping_key *k);

/* Names whose questions are taken, by their hash, and how they end; destinations; bridge ports;
 * answers, by the hash of name and type; connectors that do not answer; own sockets. */
int maps_name_put(const struct maps *m, uint64_t hash, const struct c25_name *v);
int maps_name_del(const struct maps *m, uint64_t hash);
int maps_ends_get(const struct maps *m, struct c25_ends *out);
int maps_ends_put(const struct maps *m, const struct c25_ends *v);
int maps_dns_to_put(const struct maps *m, const struct prefix *p, uint32_t what);
int maps_dns_to_del(const struct maps *m, const struct prefix *p);
int maps_dns_port_put(const struct maps *m, uint32_t ifindex, const struct c25_dns_port *v);
int maps_dns_port_del(const struct maps *m, uint32_t ifindex);
int maps_answer_put(const struct maps *m, uint64_t hash, const struct c25_answer *v);
int maps_answer_del(const struct maps *m, uint64_t hash);
int maps_down_put(const struct maps *m, uint32_t peer);
int maps_down_del(const struct maps *m, uint32_t peer);
int maps_sock_put(const struct maps *m, enum c25_sock which, int fd);

/* Every entry of a hash, trie or array, in batches where the kernel has them. `each` gets
 * pointers to key and value; stops at and returns its first non-zero result. */
int maps_each(const struct maps *m, enum map_id id,
	      int (*each)(const void *key, const void *value, void *ctx), void *ctx);

/* Living flows: `each` sees every slot that is neither FREE nor ENDED. */
int maps_flow_each(const struct maps *m,
		   int (*each)(uint32_t slot, const struct c25_flow *f, void *ctx), void *ctx);

/* Summed over CPUs; out[C25_REASON_MAX]. */
int maps_reasons(const struct maps *m, struct c25_count *out);

/* Entries in use, counted, and the map's size. Not for EVENTS and SOCKS: -EOPNOTSUPP. */
int maps_fill(const struct maps *m, enum map_id id, uint64_t *used, uint64_t *size);

const char *maps_reason_name(enum c25_reason r); /* "client_out" */
const char *maps_reason_text(enum c25_reason r);
bool maps_reason_is_drop(enum c25_reason r);

#endif
