/* SPDX-License-Identifier: BSD-3-Clause */
/* What makes the connector's packets cheap: ways that are asked for once a beat, an index of its
 * own, one sum for addresses and ports. */
#include "flows.h"

#include "leaks.h"

SUITE(packets_ways);

/* The timer is not armed: the beat is the test's. */
static void beat(uint32_t n)
{
	struct c25_tick t;
	uint32_t zero = 0;

	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_tick), &zero, &t), 0);
	t.beat = n;
	put(b.skel->maps.c25_tick, &zero, &t);
}

/* Each CPU asks for itself: the test stays on one. */
static void open_beating(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
	open_mapped();
	beat(1);
}

Test(packets_ways, a_flow_keeps_its_way_until_the_next_beat)
{
	struct packet p, other;

	open_beating();
	p = other = to_transit(&v4, IPPROTO_UDP);
	other.sport = 40001;
	goes_on(&v4, p);
	goes_on(&v4, p);
	bench_sh("ip route del 203.0.113.0/24");
	goes_on(&v4, p);
	/* A new flow asks at once. */
	overlay_in(&b, other);
	expect_reason(&b, NOT_UPLINK, 1);
	beat(2);
	overlay_in(&b, p);
	expect_reason(&b, NOT_UPLINK, 2);
	expect_reason(&b, CONNECTOR_OUT, 3);
	bench_close(&b);
}

Test(packets_ways, a_flow_whose_route_leaves_its_uplink_ends_with_the_next_beat)
{
	struct packet p;

	open_beating();
	p = to_transit(&v6, IPPROTO_UDP);
	goes_on(&v6, p);
	bench_sh("ip -6 addr add 2001:db8:9::1/64 dev other0 nodad;"
		 "ip -6 neigh add 2001:db8:9::fe lladdr 02:00:00:00:00:09 dev other0;"
		 "ip -6 route replace 2001:db8:7::/64 via 2001:db8:9::fe dev other0");
	goes_on(&v6, p);
	beat(2);
	overlay_in(&b, p);
	expect_reason(&b, REROUTED, 1);
	bench_close(&b);
}

Test(packets_ways, another_link_address_of_the_router_is_taken_with_the_next_beat)
{
	static const uint8_t moved[6] = { 2, 0, 0, 0, 0, 7 };
	struct outcome o;
	struct packet p;

	open_beating();
	p = to_transit(&v4, IPPROTO_TCP);
	goes_on(&v4, p);
	bench_sh("ip neigh replace 192.0.2.254 lladdr 02:00:00:00:00:07 dev up0 nud permanent");
	goes_on(&v4, p);
	beat(2);
	o = overlay_in(&b, p);
	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	cr_assert_arr_eq(o.frame.b, moved, 6);
	bench_close(&b);
}

Test(packets_ways, a_packet_longer_than_the_way_before_asks_at_once)
{
	struct packet p;

	open_beating();
	p = to_transit(&v4, IPPROTO_UDP);
	p.frag = 0x4000;
	goes_on(&v4, p);
	bench_sh("ip route replace 203.0.113.0/24 via 192.0.2.254 mtu lock 1300");
	p.len = 1400;
	goes_on(&v4, p);
	p.len = 1480;
	is_answered(&v4, p, 3, 4, 1300);
	expect_reason(&b, TOO_BIG, 1);
	bench_close(&b);
}

/* The helper that changes the sum says nothing then about what is in it. */
Test(packets_ways, ports_are_translated_where_the_addresses_leave_the_sum_as_it_was)
{
	struct family f = v4;

	f.real = "198.51.198.56";
	open_mapped();
	bench_mapping(&b, PEER4, TRANSIT4, f.real);
	bench_sh("ip route add 198.51.198.56 via 192.0.2.254");
	for (int i = 0; i < 2; i++) {
		struct packet p = to_transit(&f, i ? IPPROTO_TCP : IPPROTO_UDP);
		uint16_t port = goes_on(&f, p);

		comes_back(&f, p, port);
	}
	bench_close(&b);
}

static size_t cells(void)
{
	struct c25_bucket bucket;
	size_t n = 0;

	for (uint32_t at = 0; at < 4; at++) {
		cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_index), &at, &bucket),
			     0);
		for (int i = 0; i < C25_CELLS; i++)
			n += bucket.cell[i] != 0;
	}
	return n;
}

Test(packets_ways, a_full_index_refuses_new_flows_and_harms_none)
{
	uint16_t ports[40] = { 0 };
	size_t flows = 0;
	struct packet p;

	bench_index_mask = 3;
	open_mapped();
	p = to_transit(&v4, IPPROTO_UDP);
	for (uint16_t i = 0; i < 40; i++) {
		struct outcome o;

		p.sport = (uint16_t)(40000 + i);
		o = overlay_in(&b, p);
		if (bench_reason(&b, C25_REASON_CONNECTOR_OUT).packets == flows)
			continue;
		flows++;
		ports[i] = nat_port(&o);
	}
	/* 32 cells, of which each flow has two. */
	cr_assert_leq(flows, 16);
	cr_assert_geq(flows, 8, "only %zu flows found room", flows);
	cr_assert_eq(cells(), 2 * flows);
	cr_assert_eq(bench_reason(&b, C25_REASON_TABLE_FULL).packets +
			     bench_reason(&b, C25_REASON_NO_PORT).packets,
		     40 - flows);
	for (uint16_t i = 0; i < 40; i++) {
		p.sport = (uint16_t)(40000 + i);
		if (ports[i])
			comes_back(&v4, p, ports[i]);
	}
	bench_close(&b);
	bench_index_mask = 0;
}
