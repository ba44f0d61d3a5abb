/* SPDX-License-Identifier: BSD-3-Clause */
/* The connector's programs: transit to the real address and back. */
#include "flows.h"

#include "leaks.h"

SUITE(packets_connector);

static void both_ways(const struct family *f, uint8_t proto)
{
	struct packet p = to_transit(f, proto);
	uint16_t port;

	open_mapped();
	port = goes_on(f, p);
	comes_back(f, p, port);
	p.tcp = 0x10;
	cr_assert_eq(goes_on(f, p), port);
	expect_reason(&b, CONNECTOR_OUT, 2);
	expect_reason(&b, CONNECTOR_BACK, 1);
	cr_assert_eq(bench_counted(&b), 3);
	bench_close(&b);
}

Test(packets_connector, tcp_goes_to_the_real_address_and_back)
{
	both_ways(&v4, IPPROTO_TCP);
}

Test(packets_connector, tcp6_goes_to_the_real_address_and_back)
{
	both_ways(&v6, IPPROTO_TCP);
}

Test(packets_connector, udp_goes_to_the_real_address_and_back)
{
	both_ways(&v4, IPPROTO_UDP);
}

Test(packets_connector, udp6_goes_to_the_real_address_and_back)
{
	both_ways(&v6, IPPROTO_UDP);
}

Test(packets_connector, ping_goes_to_the_real_address_and_back)
{
	both_ways(&v4, IPPROTO_ICMP);
}

Test(packets_connector, ping6_goes_to_the_real_address_and_back)
{
	both_ways(&v6, IPPROTO_ICMPV6);
}

Test(packets_connector, a_pods_packets_match_its_nodes_mapping)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);
	struct family pod = v4;
	uint16_t port;

	open_mapped();
	p.src = pod.client = POD4;
	port = goes_on(&pod, p);
	comes_back(&pod, p, port);
	bench_close(&b);
}

Test(packets_connector, udp_without_checksum_stays_without)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);

	open_mapped();
	p.no_csum = true;
	goes_on(&v4, p);
	bench_close(&b);
}

Test(packets_connector, two_transit_addresses_of_one_real_address_work_from_one_port)
{
	struct packet p = to_transit(&v4, IPPROTO_TCP), q = p;
	struct family second = v4;
	uint16_t one, two;

	open_mapped();
	q.dst = second.transit = TRANSIT4_B;
	one = goes_on(&v4, p);
	two = goes_on(&second, q);
	cr_assert_neq(one, two);
	comes_back(&v4, p, one);
	comes_back(&second, q, two);
	bench_close(&b);
}

Test(packets_connector, one_client_port_keeps_its_port_towards_other_destinations)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);
	uint16_t port;

	open_mapped();
	port = goes_on(&v4, p);
	p.dport = 80;
	cr_assert_eq(goes_on(&v4, p), port);
	bench_mapping(&b, PEER4, "169.254.64.3", "203.0.113.8");
	p.dst = "169.254.64.3";
	cr_assert_eq(
		goes_on(&(struct family){ PEER4, p.dst, "203.0.113.8", UPLINK4, OWN4, 1, 8, 0 }, p),
		port);
	bench_close(&b);
}

Test(packets_connector, a_flow_lives_on_while_its_mapping_changes)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);
	uint16_t port;

	open_mapped();
	port = goes_on(&v4, p);
	bench_mapping(&b, PEER4, TRANSIT4, "203.0.113.99");
	cr_assert_eq(goes_on(&v4, p), port);
	comes_back(&v4, p, port);
	bench_close(&b);
}

Test(packets_connector, a_port_with_a_socket_of_the_host_is_not_taken)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);
	struct sockaddr_in a = { .sin_family = AF_INET };
	uint16_t port;
	int fd;

	open_mapped();
	port = goes_on(&v4, p);
	/* A second flow from the same port would get it too, but for the socket. */
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	a.sin_port = htons(port);
	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	p.dport = 80;
	cr_assert_neq(goes_on(&v4, p), port);
	close(fd);
	bench_close(&b);
}

Test(packets_connector, an_unmapped_transit_address_gets_an_icmp_error)
{
	bench_open(&b, false);
	is_answered(&v4, to_transit(&v4, IPPROTO_TCP), 3, 13, 0);
	is_answered(&v6, to_transit(&v6, IPPROTO_TCP), 1, 1, 0);
	is_answered(&v4, to_transit(&v4, IPPROTO_SCTP), 3, 13, 0);
	expect_reason(&b, NO_MAPPING, 3);
	cr_assert_eq(bench_counted(&b), 3);
	bench_close(&b);
}

Test(packets_connector, a_mapping_outlives_its_pool)
{
	struct c25_net_key pools[] = { { .prefixlen = 96 + 18, .addr = addr_of(TRANSIT4) },
				       { .prefixlen = 96, .addr = addr_of(TRANSIT6) } };
	struct packet p = to_transit(&v4, IPPROTO_TCP), q = p;

	open_mapped();
	for (size_t i = 0; i < 2; i++)
		cr_assert_eq(bpf_map_delete_elem(bpf_map__fd(b.skel->maps.c25_nets), &pools[i]), 0);
	comes_back(&v4, p, goes_on(&v4, p));
	goes_on(&v6, to_transit(&v6, IPPROTO_UDP));
	q.src = "10.9.9.9";
	expect_outcome(&b, overlay_in(&b, q), VERDICT_PASS, PASS);
	q.src = "100.101.0.66";
	q.sport++;
	cr_assert_eq(overlay_in(&b, q).verdict, VERDICT_PASS, "another peer's");
	bench_close(&b);
}

Test(packets_connector, a_peer_never_uses_anothers_mapping)
{
	struct packet p = to_transit(&v4, IPPROTO_TCP);

	open_mapped();
	p.src = "100.101.0.66";
	is_answered(&v4, p, 3, 13, 0);
	expect_reason(&b, NO_MAPPING, 1);
	bench_close(&b);
}

Test(packets_connector, a_source_of_no_peer_is_dropped)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);
	struct outcome o;

	open_mapped();
	p.src = "10.9.9.9";
	o = overlay_in(&b, p);
	expect_outcome(&b, o, VERDICT_DROP, SPOOFED_INNER);
	bench_close(&b);
}

Test(packets_connector, time_to_live_one_is_answered_with_time_exceeded)
{
	struct packet p4 = to_transit(&v4, IPPROTO_UDP), p6 = to_transit(&v6, IPPROTO_UDP);

	open_mapped();
	p4.ttl = p6.ttl = 1;
	is_answered(&v4, p4, 11, 0, 0);
	is_answered(&v6, p6, 3, 0, 0);
	expect_reason(&b, TTL, 2);
	bench_close(&b);
}

Test(packets_connector, what_the_uplink_cannot_carry_is_answered_with_its_mtu)
{
	struct packet p4 = to_transit(&v4, IPPROTO_UDP), p6 = to_transit(&v6, IPPROTO_UDP);

	open_mapped();
	bench_sh("ip link set up0 mtu 1300");
	p4.len = p6.len = 1400;
	is_answered(&v4, p4, 3, 4, 1300);
	is_answered(&v6, p6, 2, 0, 1300);
	expect_reason(&b, TOO_BIG, 2);
	bench_close(&b);
}

Test(packets_connector, a_real_address_without_route_is_answered)
{
	open_mapped();
	bench_sh("ip route del 203.0.113.0/24; ip -6 route del 2001:db8:7::/64");
	is_answered(&v4, to_transit(&v4, IPPROTO_TCP), 3, 1, 0);
	is_answered(&v6, to_transit(&v6, IPPROTO_TCP), 1, 3, 0);
	bench_close(&b);
}

Test(packets_connector, a_route_through_no_uplink_is_answered)
{
	open_mapped();
	bench_sh("ip route replace 203.0.113.0/24 dev other0");
	is_answered(&v4, to_transit(&v4, IPPROTO_TCP), 3, 1, 0);
	expect_reason(&b, NOT_UPLINK, 1);
	bench_close(&b);
}

Test(packets_connector, an_uplink_without_address_of_the_family_is_answered)
{
	struct c25_dev up = { .addr4 = addr_of(UPLINK4), .flags = C25_DEV_UPLINK | C25_DEV_L2 };

	open_mapped();
	put(b.skel->maps.c25_devs, &b.uplink, &up);
	is_answered(&v6, to_transit(&v6, IPPROTO_TCP), 1, 3, 0);
	expect_reason(&b, NO_UPLINK_ADDR, 1);
	bench_close(&b);
}

Test(packets_connector, a_flow_whose_route_left_its_uplink_ends)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);
	struct outcome o;

	open_mapped();
	goes_on(&v4, p);
	bench_sh("ip route replace 203.0.113.0/24 dev other0");
	is_answered(&v4, p, 3, 1, 0);
	expect_reason(&b, REROUTED, 1);
	o = overlay_in(&b, p);
	expect_outcome(&b, o, VERDICT_DROP, REVOKED);
	bench_close(&b);
}

Test(packets_connector, an_unresolved_neighbour_is_left_to_the_kernel)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);
	struct outcome o;

	open_mapped();
	bench_sh("ip neigh del 192.0.2.254 dev up0");
	o = overlay_in(&b, p);
	expect_outcome(&b, o, VERDICT_REDIRECT, CONNECTOR_OUT);
	bench_close(&b);
}

Test(packets_connector, a_full_table_refuses_new_flows_and_keeps_the_old)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);
	uint16_t first, port = 0;

	open_mapped();
	first = goes_on(&v4, p);
	for (uint16_t i = 1; i < 1024; i++) {
		p.sport = 40000 + i;
		p.dport = 443 + i % 2;
		port = goes_on(&v4, p);
	}
	cr_assert_neq(port, 0);
	p.sport = 39999;
	is_answered(&v4, p, 3, 1, 0);
	expect_reason(&b, TABLE_FULL, 1);
	p = to_transit(&v4, IPPROTO_UDP);
	cr_assert_eq(goes_on(&v4, p), first);
	comes_back(&v4, p, first);
	bench_close(&b);
}

Test(packets_connector, the_hosts_own_packets_on_the_uplink_pass_untouched)
{
	struct packet p = { .src = REAL4,
			    .dst = UPLINK4,
			    .proto = IPPROTO_UDP,
			    .sport = 53,
			    .dport = 9999,
			    .len = 30 };
	struct outcome o;

	open_mapped();
	o = uplink_in(&b, p);
	expect_outcome(&b, o, VERDICT_PASS, PASS);
	memcpy(p.to, uplink_mac, 6);
	expect_bytes(&o, p);
	p.dport = NAT_LO;
	o = uplink_in(&b, p);
	expect_outcome(&b, o, VERDICT_PASS, NO_FLOW);
	expect_bytes(&o, p);
	cr_assert_eq(bench_counted(&b), 2);
	bench_close(&b);
}

Test(packets_connector, replies_are_taken_from_the_flows_real_address_and_port_alone)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP), r;
	struct outcome o;
	uint16_t port;

	open_mapped();
	port = goes_on(&v4, p);
	r = reply_to(&v4, p, port);
	r.src = "203.0.113.8";
	o = uplink_in(&b, r);
	expect_outcome(&b, o, VERDICT_PASS, NO_FLOW);
	r = reply_to(&v4, p, port);
	r.sport++;
	o = uplink_in(&b, r);
	cr_assert_eq(o.verdict, VERDICT_PASS);
	expect_reason(&b, NO_FLOW, 2);
	bench_close(&b);
}

Test(packets_connector, mss_of_a_servers_syn_is_clamped_to_the_overlay)
{
	struct packet p = to_transit(&v4, IPPROTO_TCP), r;
	struct outcome o;
	uint16_t port;

	open_mapped();
	port = goes_on(&v4, p);
	r = reply_to(&v4, p, port);
	r.mss = 1460;
	r.len = 0;
	o = uplink_in(&b, r);
	r.src = TRANSIT4;
	r.dst = PEER4;
	r.dport = p.sport;
	r.ttl = 63;
	r.mss = OVERLAY_MTU - 40;
	memcpy(r.to, uplink_mac, 6);
	expect_bytes(&o, r);
	bench_close(&b);
}

Test(packets_connector, a_reply_too_big_for_the_overlay_is_answered_with_its_mtu)
{
	const struct family *families[] = { &v4, &v6 };

	open_mapped();
	for (int i = 0; i < 2; i++) {
		const struct family *f = families[i];
		struct packet p = to_transit(f, IPPROTO_UDP), r, want;
		struct outcome o;
		struct frame in;

		r = reply_to(f, p, goes_on(f, p));
		r.len = OVERLAY_MTU - (i ? 48 : 28) + 1;
		r.frag = i ? 0 : 0x4000;
		memcpy(r.from, router_mac, 6);
		memcpy(r.to, uplink_mac, 6);
		in = packet_build(r);
		o = uplink_in(&b, r);
		cr_assert_eq(o.verdict, VERDICT_REDIRECT);
		want = (struct packet){ .src = f->uplink,
					.dst = f->real,
					.proto = f->icmp,
					.type = i ? 2 : 3,
					.code = i ? 0 : 4,
					.info = OVERLAY_MTU,
					.tos = i ? 0 : 0xc0,
					.data = in.b + 14,
					.len = i ? 1232 : 548 };
		memcpy(want.from, uplink_mac, 6);
		memcpy(want.to, router_mac, 6);
		expect_bytes(&o, want);
		r.len--;
		o = uplink_in(&b, r);
		cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	}
	expect_reason(&b, TOO_BIG, 2);
	expect_reason(&b, CONNECTOR_BACK, 2);
	bench_close(&b);
}

/* Cells of the index in use. */
static size_t cells(void)
{
	struct c25_bucket bucket;
	size_t n = 0;

	for (uint32_t at = 0;
	     !bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_index), &at, &bucket); at++)
		for (int i = 0; i < C25_CELLS; i++)
			n += bucket.cell[i] != 0;
	return n;
}

/* What the mapping has been credited with. */
static struct c25_mapping mapping_now(void)
{
	struct c25_mapping_key k = { .client = addr_of(PEER4), .transit = addr_of(TRANSIT4) };
	struct c25_mapping m;

	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_mappings), &k, &m), 0);
	return m;
}

Test(packets_connector, revoking_a_mapping_ends_its_flows_and_no_others)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP), q = p;
	struct family second = v4;
	struct outcome o;
	uint16_t port, other;

	open_mapped();
	q.dst = second.transit = TRANSIT4_B;
	port = goes_on(&v4, p);
	other = goes_on(&second, q);
	p.dport = 80;
	goes_on(&v4, p);
	cr_assert_eq(revoke_mapping(PEER4, TRANSIT4), 2);
	cr_assert_eq(revoke_mapping(PEER4, TRANSIT4), 0);
	cr_assert_eq(flow_at(0).state, C25_FLOW_ENDED);
	cr_assert_eq(cells(), 2);
	cr_assert_eq(mapping_now().packets, 2);
	cr_assert_eq(mapping_now().bytes, 2 * 128);
	o = uplink_in(&b, reply_to(&v4, to_transit(&v4, IPPROTO_UDP), port));
	expect_outcome(&b, o, VERDICT_PASS, NO_FLOW);
	comes_back(&second, q, other);
	bench_close(&b);
}

Test(packets_connector, an_idle_flow_ends_by_the_kernels_timer_and_its_slot_is_used_again)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);
	uint32_t slot = 0, held = 0, peer = PEER;

	open_mapped();
	bench_start(&b);
	goes_on(&v4, p);
	cr_assert_eq(flow_at(0).state, C25_FLOW_NEW);
	idle(0, 121);
	cr_assert(becomes(0, C25_FLOW_FREE));
	cr_assert_eq(cells(), 0);
	cr_assert_eq(mapping_now().packets, 1);
	bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_held), &peer, &held);
	cr_assert_eq(held, 0);
	goes_on(&v4, p);
	cr_assert_eq(flow_at(0).state, C25_FLOW_NEW);
	slot = 1;
	cr_assert_eq(flow_at(slot).state, C25_FLOW_FREE);
	bench_close(&b);
}

Test(packets_connector, an_established_tcp_flow_outlives_a_closed_one)
{
	struct packet p = to_transit(&v4, IPPROTO_TCP), q = p, r;
	uint16_t port;

	open_mapped();
	bench_start(&b);
	q.sport++;
	for (int i = 0; i < 2; i++) {
		struct packet *t = i ? &q : &p;

		t->tcp = 2;
		port = goes_on(&v4, *t);
		comes_back(&v4, *t, port);
		t->tcp = 0x10;
		goes_on(&v4, *t);
		cr_assert_eq(flow_at((uint32_t)i).state, C25_FLOW_ESTABLISHED);
	}
	q.tcp = 0x11;
	goes_on(&v4, q);
	cr_assert_eq(flow_at(1).state, C25_FLOW_CLOSING);
	r = reply_to(&v4, q, port);
	r.tcp = 0x11;
	cr_assert_eq(uplink_in(&b, r).verdict, VERDICT_REDIRECT);
	idle(0, 7430);
	idle(1, 241);
	cr_assert(becomes(1, C25_FLOW_FREE));
	cr_assert_eq(flow_at(0).state, C25_FLOW_ESTABLISHED);
	idle(0, 20);
	cr_assert(becomes(0, C25_FLOW_FREE));
	bench_close(&b);
}

Test(packets_connector, flows_end_when_their_uplink_loses_the_address)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);
	struct c25_dev up = { .addr4 = addr_of("192.0.2.77"),
			      .flags = C25_DEV_UPLINK | C25_DEV_L2 };

	open_mapped();
	goes_on(&v4, p);
	put(b.skel->maps.c25_devs, &b.uplink, &up);
	bench_start(&b);
	cr_assert(becomes(0, C25_FLOW_FREE));
	bench_close(&b);
}

Test(packets_connector, a_peers_own_packet_to_this_node_passes_and_a_pods_does_not)
{
	struct packet p = to_transit(&v4, IPPROTO_TCP);
	struct outcome o;

	open_mapped();
	p.dst = OWN4;
	o = overlay_in(&b, p);
	expect_outcome(&b, o, VERDICT_PASS, OVERLAY_IN);
	expect_bytes(&o, p);
	p.src = POD4;
	o = overlay_in(&b, p);
	expect_outcome(&b, o, VERDICT_DROP, FORWARDED);
	bench_close(&b);
}
