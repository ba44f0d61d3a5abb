/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause) */
/*
 * c25_maps: every map, and the settings. Sizes marked "set at load" are the controller's.
 *
 * Hashes are not preallocated: a node pays for the entries it has.
 */
#ifndef C25_MAPS_H
#define C25_MAPS_H

#include "c25_abi.h"

/* Settings, fixed at load. */
const volatile __u32 c25_cookie;    /* c25_meta.cookie */
const volatile __u8 c25_tunnel_key; /* --overlay vxlan */
const volatile __u8 c25_client = 1; /* roles of this node: the other's maps may be tiny */
const volatile __u8 c25_connector = 1;
const volatile __u16 c25_nat_lo = 10000; /* host order, inclusive */
const volatile __u16 c25_nat_hi = 29999;
const volatile __u8 c25_dns_open; /* --dns-fail open */
const volatile __u32 c25_max_flows = 262144;
const volatile __u32 c25_peer_quota = 262144; /* flows one peer may hold */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct c25_meta);
	__uint(max_entries, 1);
} c25_meta SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct c25_net_key);
	__type(value, struct c25_net);
	__uint(max_entries, C25_MAX_NETS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_nets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct c25_peer);
	__uint(max_entries, C25_MAX_PEERS);
} c25_peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32); /* interface index */
	__type(value, struct c25_dev);
	__uint(max_entries, C25_MAX_DEVS);
} c25_devs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct c25_overlay);
	__uint(max_entries, 1);
} c25_overlay SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct c25_app);
	__uint(max_entries, C25_MAX_APPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_apps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32); /* enum c25_reason */
	__type(value, struct c25_count);
	__uint(max_entries, C25_REASON_MAX);
} c25_reasons SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, C25_EVENT_RING);
} c25_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct c25_tick);
	__uint(max_entries, 1);
} c25_tick SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32); /* enum c25_limit_kind */
	__type(value, struct c25_limit);
	__uint(max_entries, C25_LIMIT_MAX);
} c25_limits SEC(".maps");

/* Room for sums over a packet: the stack is too small. */
struct c25_scratch {
	__u8 b[512];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct c25_scratch);
	__uint(max_entries, 1);
} c25_scratch SEC(".maps");

/* The packet that an ICMP error quotes. */
struct c25_quote {
	struct c25_tuple t; /* ICMP echo as in struct c25_pkt */
	struct c25_tuple n; /* what it becomes */
	__u32 ip;           /* offsets of its headers */
	__u32 l4;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct c25_quote);
	__uint(max_entries, 1);
} c25_quotes SEC(".maps");

/* Client. */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct c25_addr); /* magic */
	__type(value, struct c25_magic);
	__uint(max_entries, 65536); /* set at load */
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_magic SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct c25_addr); /* transit */
	__type(value, struct c25_transit);
	__uint(max_entries, 65536); /* set at load */
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_transit SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct c25_addr); /* magic */
	__type(value, struct c25_lease);
	__uint(max_entries, 65536); /* set at load */
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_leases SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct c25_addr); /* magic */
	__type(value, struct c25_kept);
	__uint(max_entries, 65536); /* set at load */
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_kept SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct c25_tuple); /* as the client sends it, to magic */
	__type(value, struct c25_begun);
	__uint(max_entries, C25_MAX_BEGUN);
} c25_begun SEC(".maps");

/* Connector. */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct c25_mapping_key);
	__type(value, struct c25_mapping);
	__uint(max_entries, 65536); /* set at load */
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_mappings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct c25_tuple);
	__type(value, struct c25_flow_ref);
	__uint(max_entries, 262144); /* set at load */
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_flow_out SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct c25_tuple);
	__type(value, struct c25_flow_ref);
	__uint(max_entries, 262144); /* set at load */
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_flow_in SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32); /* slot */
	__type(value, struct c25_flow);
	__uint(max_entries, 262144); /* set at load */
} c25_flows SEC(".maps");

/* Flows each peer holds. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32); /* c25_peers */
	__type(value, __u32);
	__uint(max_entries, C25_MAX_PEERS);
} c25_held SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct c25_frag_key);
	__type(value, struct c25_frag_entry);
	__uint(max_entries, 16384);
} c25_frags SEC(".maps");

#define C25_EARLY_SLOTS 256

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct c25_early);
	__uint(max_entries, C25_EARLY_SLOTS);
} c25_early SEC(".maps");

/* A fragment at work. */
struct c25_frag_work {
	struct c25_frag_key key;
	struct c25_frag_key used;
	struct c25_frag_entry e;
	struct bpf_fib_lookup fib;
	__u64 now;
	__u32 at; /* offset of the identification */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct c25_frag_work);
	__uint(max_entries, 1);
} c25_frag_works SEC(".maps");

/* DNS taken on the pods' devices. */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64); /* c25_name_step() */
	__type(value, struct c25_name);
	__uint(max_entries, C25_MAX_NAMES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_names SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct c25_net_key);
	__type(value, __u32); /* C25_DNS_TO_… */
	__uint(max_entries, C25_MAX_DNS_TO);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_dns_to SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32); /* interface index */
	__type(value, struct c25_dns_port);
	__uint(max_entries, C25_MAX_PORTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_dns_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__type(key, __u32); /* enum c25_sock */
	__type(value, __u32);
	__uint(max_entries, C25_SOCK_MAX);
} c25_socks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, __u64); /* c25_name_step() */
	__type(value, struct c25_answer);
	__uint(max_entries, 8192);
} c25_answers SEC(".maps");

/* Connectors known not to answer. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32); /* c25_peers */
	__type(value, __u32);
	__uint(max_entries, C25_MAX_PEERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_down SEC(".maps");

/* A question's name as it came, and where its labels start. What the loops count with is here, as
 * indices: of a number that it may know, the verifier allows none without CAP_PERFMON. */
struct c25_question {
	__u8 raw[512];
	__u8 label[128];
	__u32 at;
	__u32 n;      /* labels that start before `at` */
	__u64 hash;   /* of the whole name */
	__u8 opt[16]; /* to answer with; zeroes behind it */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct c25_question);
	__uint(max_entries, 1);
} c25_questions SEC(".maps");

#endif
