// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * conn25.bpf: the entry points. Each reads as a list: parse, look up, act, count.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "c25_maps.h"

#define TC_ACT_UNSPEC (-1)

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tc")
int c25_overlay_out(struct __sk_buff *skb)
{
	__u32 k = 0;

	bpf_map_lookup_elem(&c25_meta, &k);
	bpf_map_lookup_elem(&c25_nets, &(struct c25_net_key){ 0 });
	bpf_map_lookup_elem(&c25_peers, &k);
	bpf_map_lookup_elem(&c25_apps, &k);
	bpf_map_lookup_elem(&c25_devs, &k);
	bpf_map_lookup_elem(&c25_reasons, &k);
	bpf_map_lookup_elem(&c25_tick, &k);
	bpf_map_lookup_elem(&c25_magic, &(struct c25_addr){ 0 });
	return TC_ACT_UNSPEC;
}

SEC("tc")
int c25_overlay_out_l3(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

SEC("tc")
int c25_overlay_in(struct __sk_buff *skb)
{
	bpf_map_lookup_elem(&c25_transit, &(struct c25_addr){ 0 });
	bpf_map_lookup_elem(&c25_leases, &(struct c25_addr){ 0 });
	bpf_map_lookup_elem(&c25_mappings, &(struct c25_mapping_key){ 0 });
	return TC_ACT_UNSPEC;
}

SEC("tc")
int c25_overlay_in_l3(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

SEC("tc")
int c25_uplink_in(struct __sk_buff *skb)
{
	__u32 k = 0;

	bpf_map_lookup_elem(&c25_flow_in, &(struct c25_tuple){ 0 });
	bpf_map_lookup_elem(&c25_flow_out, &(struct c25_tuple){ 0 });
	bpf_map_lookup_elem(&c25_flows, &k);
	bpf_map_pop_elem(&c25_free, &k);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int c25_uplink_in_l3(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

/* Arms the timer of c25_tick; run by the controller after each load. */
SEC("syscall")
int c25_start(void *ctx)
{
	return 0;
}

/* Ends every flow of one mapping; `ctx` is the mapping's key. Returns how many. */
SEC("syscall")
int c25_revoke(struct c25_mapping_key *ctx)
{
	return 0;
}
