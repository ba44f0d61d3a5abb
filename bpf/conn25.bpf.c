// SPDX-License-Identifier: (GPL-2.0-only OR BSD-3-Clause)
/*
 * conn25.bpf: the entry points. Those with _l3 are for devices whose frames have no link header.
 *
 * Functions that are not static are verified once, on their own, instead of once per path that
 * leads to them: hence their checks for NULL. Without CAP_PERFMON the verifier follows each branch
 * speculatively too, and needs it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "c25_maps.h"
#include "c25_dns.h"
#include "c25_gate.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tc")
int c25_overlay_out(struct __sk_buff *skb)
{
	return c25_gate_out(skb, ETH_HLEN);
}

SEC("tc")
int c25_overlay_out_l3(struct __sk_buff *skb)
{
	return c25_gate_out(skb, 0);
}

SEC("tc")
int c25_overlay_in(struct __sk_buff *skb)
{
	return c25_gate_in(skb, ETH_HLEN);
}

SEC("tc")
int c25_overlay_in_l3(struct __sk_buff *skb)
{
	return c25_gate_in(skb, 0);
}

SEC("tc")
int c25_uplink_in(struct __sk_buff *skb)
{
	return c25_uplink(skb, ETH_HLEN);
}

SEC("tc")
int c25_uplink_in_l3(struct __sk_buff *skb)
{
	return c25_uplink(skb, 0);
}

SEC("tc")
int c25_dns_in(struct __sk_buff *skb)
{
	return c25_dns(skb, ETH_HLEN);
}

SEC("tc")
int c25_dns_in_l3(struct __sk_buff *skb)
{
	return c25_dns(skb, 0);
}

/* Arms the timer of c25_tick, or hands a running one to this load's callback. The maps that no
 * packet needs are named here, so that one object holds them all. */
SEC("syscall")
int c25_start(void *ctx)
{
	struct c25_tick *t = c25_clock();
	struct c25_addr none = { 0 };
	__u32 zero = 0;
	__u64 now;

	if (!t)
		return -1;
	bpf_map_lookup_elem(&c25_meta, &zero);
	bpf_map_lookup_elem(&c25_apps, &zero);
	bpf_map_lookup_elem(&c25_leases, &none);
	now = bpf_ktime_get_boot_ns();
	t->now = now / C25_NSEC_PER_SEC;
	t->beat = (now >> C25_BEAT_SHIFT) + 1;
	bpf_timer_init(&t->timer, &c25_tick, CLOCK_MONOTONIC);
	if (bpf_timer_set_callback(&t->timer, c25_tick_run))
		return -1;
	return bpf_timer_start(&t->timer, 0, 0);
}

/* Ends every flow of one mapping; `ctx` is the mapping's key. Returns how many. */
SEC("syscall")
int c25_revoke(struct c25_mapping_key *ctx)
{
	struct c25_revocation r __attribute__((aligned(8))) = { 0 };
	struct c25_tick *t = c25_clock();

	if (!t)
		return 0;
	r.key = *ctx;
	r.high = t->high < c25_max_flows ? t->high : c25_max_flows;
	bpf_loop(r.high, c25_revoke_slot, &r, 0);
	return r.ended;
}
