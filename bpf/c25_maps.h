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
const volatile __u32 c25_index_mask = 131071; /* buckets of c25_index less 1 */
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

/* A flow is a whole number of the cache's lines, and begins with one: as the values of a map that
 * may be mapped do. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32); /* slot */
	__type(value, struct c25_flow);
	__uint(max_entries, 262144); /* set at load */
	__uint(map_flags, BPF_F_MMAPABLE);
} c25_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32); /* hash of a tuple */
	__type(value, struct c25_bucket);
	__uint(max_entries, 131072); /* set at load, with c25_index_mask */
	__uint(map_flags, BPF_F_MMAPABLE);
} c25_index SEC(".maps");

/* Ways to real addresses that routes and neighbours have said a moment ago. */
#define C25_WAYS 512

struct c25_way {
	struct c25_addr to;
	struct c25_addr next; /* hop, as struct bpf_redir_neigh has it */
	__u32 beat;           /* c25_tick.beat when it was said; 0: not to be used again */
	__s32 found;          /* BPF_FIB_LKUP_RET_… */
	__u32 ifindex;
	__u32 mtu;
	__u8 dmac[6];
	__u8 smac[6];
	__u8 proto;
	__u8 next_v6;
	__u8 pad[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32); /* hash of the address */
	__type(value, struct c25_way);
	__uint(max_entries, C25_WAYS);
} c25_ways SEC(".maps");

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
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct c25_ends);
	__uint(max_entries, 1);
} c25_ends SEC(".maps");

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
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64); /* c25_name_step() */
	__type(value, struct c25_answer);
	__uint(max_entries, 65536); /* set at load */
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_answers SEC(".maps");

/* Connectors known not to answer. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32); /* c25_peers */
	__type(value, __u32);
	__uint(max_entries, C25_MAX_PEERS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} c25_down SEC(".maps");

/* A question as it came, and where its name's labels start. What the loops count with is here, as
 * indices: of a number that it may know, the verifier allows none without CAP_PERFMON. */
#define C25_QUESTION_READ 784 /* of the message: header, the longest question, what may follow it */

struct c25_question {
	__u8 raw[1056]; /* that, and room to look at whole words beyond any name */
	__u8 label[128];
	__u32 at;   /* in the name */
	__u32 n;    /* labels not taken up yet */
	__u32 keep; /* length of header and question */
	__u32 pad;
	__u64 hash; /* of the whole name */
	/* The answer: */
	__u8 tail[240]; /* what comes behind the question, and zeroes up to a whole word */
	__u8 head[96];  /* headers, the IP header at ETH_HLEN */
	__u8 dns[12];
	__u32 tail_len;
	__u16 flags; /* host order, but for those that go as they came */
	__u8 answers;
	__u8 additional;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct c25_question);
	__uint(max_entries, 1);
} c25_questions SEC(".maps");

#endif
