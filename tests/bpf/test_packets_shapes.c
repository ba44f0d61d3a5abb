/* SPDX-License-Identifier: BSD-3-Clause */
/* The connector and packets of other shapes: protocols without ports, GSO, SYNs, resets, limits. */
#include "flows.h"

#include "leaks.h"

SUITE(packets_shapes);

/* There and back by addresses alone. */
static void by_address(const struct family *f, uint8_t proto)
{
	struct packet p = to_transit(f, proto), want = p, r;
	struct outcome o;

	open_mapped();
	o = overlay_in(&b, p);
	expect_outcome(&b, o, VERDICT_REDIRECT, CONNECTOR_OUT);
	want.src = f->uplink;
	want.dst = f->real;
	want.ttl = 63;
	memcpy(want.to, router_mac, 6);
	memcpy(want.from, uplink_mac, 6);
	expect_bytes(&o, want);

	r = p;
	r.src = f->real;
	r.dst = f->uplink;
	r.sport = p.dport;
	r.dport = p.sport;
	o = uplink_in(&b, r);
	expect_outcome(&b, o, VERDICT_REDIRECT, CONNECTOR_BACK);
	r.src = f->transit;
	r.dst = f->client;
	r.ttl = 63;
	memcpy(r.to, uplink_mac, 6);
	expect_bytes(&o, r);
	bench_close(&b);
}

Test(packets_shapes, sctp_goes_by_address)
{
	by_address(&v4, IPPROTO_SCTP);
	by_address(&v6, IPPROTO_SCTP);
}

Test(packets_shapes, gre_and_esp_go_by_address)
{
	by_address(&v4, IPPROTO_GRE);
	by_address(&v6, IPPROTO_GRE);
	by_address(&v4, IPPROTO_ESP);
	by_address(&v6, IPPROTO_ESP);
}

Test(packets_shapes, dccp_and_udplite_go_by_address_with_right_checksums)
{
	by_address(&v4, IPPROTO_DCCP);
	by_address(&v6, IPPROTO_DCCP);
	by_address(&v4, IPPROTO_UDPLITE);
	by_address(&v6, IPPROTO_UDPLITE);
}

Test(packets_shapes, a_second_client_of_a_protocol_without_ports_is_refused)
{
	struct packet p = to_transit(&v4, IPPROTO_GRE);
	struct outcome o;

	open_mapped();
	o = overlay_in(&b, p);
	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	p.src = POD4;
	is_answered(&v4, p, 3, 1, 0);
	expect_reason(&b, AMBIGUOUS, 1);
	/* Another protocol to the same address is not in doubt, and the first goes on. */
	p.proto = IPPROTO_ESP;
	o = overlay_in(&b, p);
	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	o = overlay_in(&b, to_transit(&v4, IPPROTO_GRE));
	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	bench_close(&b);
}

Test(packets_shapes, the_hosts_own_gre_passes)
{
	struct packet p = { .src = REAL4, .dst = UPLINK4, .proto = IPPROTO_GRE, .len = 40 };
	struct outcome o;

	open_mapped();
	o = uplink_in(&b, p);
	expect_outcome(&b, o, VERDICT_PASS, PASS);
	bench_close(&b);
}

Test(packets_shapes, what_signs_addresses_is_refused)
{
	struct packet p = to_transit(&v4, IPPROTO_AH);

	open_mapped();
	is_answered(&v4, p, 3, 1, 0);
	expect_reason(&b, PROTOCOL, 1);
	bench_close(&b);
}

static struct outcome run_gso(struct bpf_program *prog, uint32_t ifindex, struct packet p,
			      uint32_t size)
{
	union context ctx = { .skb.ifindex = ifindex, .skb.gso_size = size, .skb.gso_segs = 2 };
	struct frame in = packet_build(p);

	return bench_run_ctx(&b, bpf_program__fd(prog), &in, &ctx);
}

/* Segments of 1460 bytes make packets of 1500 over IPv4 and of 1520 over IPv6. */
static void gso_out(const struct family *f, const char *mtu, uint32_t size, bool fits)
{
	struct packet p = to_transit(f, IPPROTO_TCP);
	char command[64];
	struct outcome o;

	open_mapped();
	snprintf(command, sizeof(command), "ip link set up0 mtu %s", mtu);
	bench_sh(command);
	goes_on(f, p);
	p.tcp = 0x10;
	p.len = 2 * size;
	p.frag = f == &v4 ? 0x4000 : 0;
	o = run_gso(b.skel->progs.c25_overlay_in, b.overlay, p, size);
	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	expect_reason(&b, TOO_BIG, !fits);
	expect_reason(&b, CONNECTOR_OUT, 1 + fits);
	if (!fits)
		cr_assert_eq(o.frame.b[14 + (f == &v4 ? 9 : 6)], f->icmp);
	bench_close(&b);
}

Test(packets_shapes, gso_segments_that_the_uplink_carries_go_on)
{
	gso_out(&v4, "1500", 1460, true);
	gso_out(&v6, "1500", 1440, true);
}

Test(packets_shapes, gso_segments_too_big_for_the_uplink_are_answered)
{
	gso_out(&v4, "1499", 1460, false);
	gso_out(&v6, "1499", 1440, false);
}

static void gso_back(const struct family *f, uint32_t size, bool fits)
{
	struct packet p = to_transit(f, IPPROTO_TCP), r;
	struct frame in;
	struct outcome o;
	uint16_t port;

	open_mapped();
	port = goes_on(f, p);
	r = reply_to(f, p, port);
	r.tcp = 0x10;
	r.len = 2 * size;
	r.frag = f == &v4 ? 0x4000 : 0;
	memcpy(r.to, uplink_mac, 6);
	memcpy(r.from, router_mac, 6);
	in = packet_build(r);
	o = run_gso(b.skel->progs.c25_uplink_in, b.uplink, r, size);
	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	expect_reason(&b, TOO_BIG, !fits);
	expect_reason(&b, CONNECTOR_BACK, fits);
	if (!fits) {
		struct packet want = { .src = f->uplink,
				       .dst = f->real,
				       .proto = f->icmp,
				       .type = f == &v4 ? 3 : 2,
				       .code = f == &v4 ? 4 : 0,
				       .info = OVERLAY_MTU,
				       .tos = f == &v4 ? 0xc0 : 0,
				       .data = in.b + 14,
				       .len = f == &v4 ? 548 : 1232 };

		memcpy(want.to, router_mac, 6);
		memcpy(want.from, uplink_mac, 6);
		expect_bytes(&o, want);
	}
	bench_close(&b);
}

Test(packets_shapes, gso_segments_that_the_overlay_carries_come_back)
{
	gso_back(&v4, OVERLAY_MTU - 40, true);
	gso_back(&v6, OVERLAY_MTU - 60, true);
}

Test(packets_shapes, gso_segments_too_big_for_the_overlay_are_answered_with_its_mtu)
{
	gso_back(&v4, OVERLAY_MTU - 39, false);
	gso_back(&v6, OVERLAY_MTU - 59, false);
}

/* The MSS that a SYN leaves with. */
static void syn_out(const struct family *f, const char *prepare, uint8_t nops, uint16_t mss,
		    uint16_t want)
{
	struct packet p = to_transit(f, IPPROTO_TCP), q;
	struct outcome o;

	open_mapped();
	bench_sh(prepare);
	p.nops = nops;
	p.mss = mss;
	o = overlay_in(&b, p);
	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	q = p;
	q.src = f->uplink;
	q.dst = f->real;
	q.sport = nat_port(&o);
	q.ttl = 63;
	q.mss = want;
	memcpy(q.to, router_mac, 6);
	memcpy(q.from, uplink_mac, 6);
	if (!strstr(prepare, "neigh del"))
		expect_bytes(&o, q);
	bench_close(&b);
}

Test(packets_shapes, mss_of_a_clients_syn_is_clamped_to_uplink_and_overlay)
{
	syn_out(&v4, "true", 0, 1460, OVERLAY_MTU - 40);
	syn_out(&v6, "true", 0, 1440, OVERLAY_MTU - 60);
	syn_out(&v4, "ip link set up0 mtu 1300", 0, 1410, 1260);
	syn_out(&v6, "ip link set up0 mtu 1300", 0, 1390, 1240);
	syn_out(&v4, "ip route change 203.0.113.0/24 via 192.0.2.254 mtu lock 1200", 0, 1410, 1160);
	syn_out(&v4, "ip link set up0 mtu 1300", 0, 1000, 1000);
	syn_out(&v4, "ip link set up0 mtu 1300", 0, 0, 0);
}

Test(packets_shapes, mss_is_found_behind_any_options)
{
	for (uint8_t nops = 1; nops <= 36; nops++)
		syn_out(&v4, "ip link set up0 mtu 1300", nops, 1410, 1260);
}

/* The reset that answers `p`: its number, and what it acknowledges. */
static void is_reset(const struct family *f, struct packet p, uint32_t seq, uint32_t ack)
{
	struct packet want = { .src = p.dst,
			       .dst = p.src,
			       .proto = IPPROTO_TCP,
			       .sport = p.dport,
			       .dport = p.sport,
			       .tcp = ack ? 0x14 : 0x04,
			       .seq = seq,
			       .ack = ack,
			       .frag = f == &v4 ? 0x4000 : 0 };
	struct outcome o = overlay_in(&b, p);

	cr_assert_eq(o.verdict, VERDICT_REDIRECT, "verdict %d", o.verdict);
	cr_assert_eq(o.ctx.skb.cb[0], COOKIE);
	expect_bytes(&o, want);
}

static void lost_flow(const struct family *f)
{
	struct packet p = to_transit(f, IPPROTO_TCP);
	struct outcome o;

	open_mapped();
	p.tcp = 0x10;
	p.seq = 5000;
	p.ack = 77;
	is_reset(f, p, 77, 0);
	p.tcp = 0x01;
	is_reset(f, p, 0, 5000 + 100 + 1);
	p.tcp = 0x12;
	is_reset(f, p, 77, 0);
	expect_reason(&b, NOT_STARTED, 3);
	p.tcp = 0x04;
	o = overlay_in(&b, p);
	cr_assert_eq(o.verdict, VERDICT_DROP);
	expect_reason(&b, NOT_STARTED, 4);
	bench_close(&b);
}

Test(packets_shapes, a_segment_of_no_flow_is_reset)
{
	lost_flow(&v4);
}

Test(packets_shapes, a_v6_segment_of_no_flow_is_reset)
{
	lost_flow(&v6);
}

Test(packets_shapes, resets_are_limited)
{
	struct packet p = to_transit(&v4, IPPROTO_TCP);
	struct outcome o;
	unsigned answered = 0;

	open_mapped();
	p.tcp = 0x10;
	for (int i = 0; i < 2500; i++) {
		o = overlay_in(&b, p);
		answered += o.verdict == VERDICT_REDIRECT;
	}
	cr_assert_geq(answered, 1000);
	cr_assert_leq(answered, 1000u * (unsigned)libbpf_num_possible_cpus());
	expect_reason(&b, NOT_STARTED, 2500);
	bench_close(&b);
}

Test(packets_shapes, a_connection_whose_route_left_its_uplink_is_reset)
{
	struct packet p = to_transit(&v4, IPPROTO_TCP);

	open_mapped();
	goes_on(&v4, p);
	bench_sh("ip route replace 203.0.113.0/24 dev other0");
	p.tcp = 0x10;
	p.ack = 9;
	is_reset(&v4, p, 9, 0);
	expect_reason(&b, REROUTED, 1);
	is_reset(&v4, p, 9, 0);
	expect_reason(&b, REVOKED, 1);
	bench_close(&b);
}

Test(packets_shapes, a_peer_beyond_its_quota_gets_no_more_flows_and_others_do)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP), first = p;
	uint16_t port, n = 0;

	bench_quota = 8;
	open_mapped();
	bench_mapping(&b, "100.101.0.66", TRANSIT4, REAL4);
	port = goes_on(&v4, p);
	for (n = 1; n < 8; n++) {
		p.sport++;
		goes_on(&v4, p);
	}
	p.sport++;
	is_answered(&v4, p, 3, 1, 0);
	expect_reason(&b, QUOTA, 1);
	comes_back(&v4, first, port);
	cr_assert_eq(goes_on(&v4, first), port);
	p.src = "100.101.0.66";
	goes_on(&v4, p);
	bench_close(&b);
}

/* Ports of living connections are never given away. */
Test(packets_shapes, without_a_free_port_one_of_a_closed_connection_serves_again)
{
	struct packet p = to_transit(&v4, IPPROTO_TCP), fin;
	struct outcome o;
	int refused = 0;

	open_mapped();
	while (!bench_reason(&b, C25_REASON_NO_PORT).packets) {
		p.sport++;
		overlay_in(&b, p);
	}
	p.sport = 40000;
	for (int i = 0; i < 400; i++) {
		p.sport++;
		fin = p;
		fin.tcp = 17;
		o = overlay_in(&b, fin);
		if (o.verdict != VERDICT_REDIRECT)
			continue;
		fin = reply_to(&v4, p, nat_port(&o));
		fin.tcp = 17;
		uplink_in(&b, fin);
	}
	p.sport = 50000;
	for (int i = 0; i < 20; i++) {
		p.sport++;
		o = overlay_in(&b, p);
		if (nat_port(&o) < NAT_LO || nat_port(&o) > NAT_HI)
			refused++;
	}
	cr_assert_eq(refused, 0, "%d of 20 were refused", refused);
	bench_close(&b);
}

Test(packets_shapes, a_port_is_found_as_long_as_every_tenth_is_free)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);

	for (int i = 0; i < 8; i++) {
		open_mapped();
		p.sport = (uint16_t)(1024 + i * 8000);
		for (int n = 0; n < (NAT_HI - NAT_LO + 1) * 9 / 10; n++) {
			p.sport++;
			overlay_in(&b, p);
		}
		expect_reason(&b, CONNECTOR_OUT, (NAT_HI - NAT_LO + 1) * 9 / 10);
		bench_close(&b);
	}
}

Test(packets_shapes, without_a_free_port_new_flows_are_refused_and_old_ones_go_on)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP), first = p;
	uint16_t port;
	int made = 1;

	open_mapped();
	port = goes_on(&v4, p);
	while (!bench_reason(&b, C25_REASON_NO_PORT).packets && made < 1010) {
		p.sport++;
		overlay_in(&b, p);
		made++;
	}
	expect_reason(&b, NO_PORT, 1);
	expect_reason(&b, TABLE_FULL, 0);
	cr_assert_gt(made, 800);
	comes_back(&v4, first, port);
	/* Ports are per destination. */
	p.dport++;
	goes_on(&v4, p);
	bench_close(&b);
}

Test(packets_shapes, a_spoofed_inner_source_starts_nothing_and_touches_no_flow)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP), q = p;
	struct outcome o;

	open_mapped();
	goes_on(&v4, p);
	q.src = "10.9.9.9";
	o = overlay_in(&b, q);
	expect_outcome(&b, o, VERDICT_DROP, SPOOFED_INNER);
	q.frag = 0x0010;
	o = overlay_in(&b, q);
	cr_assert_eq(o.verdict, VERDICT_DROP);
	expect_reason(&b, SPOOFED_INNER, 2);
	bench_close(&b);
}

Test(packets_shapes, pool_addresses_from_the_uplink_are_not_translated)
{
	struct packet p = { .src = REAL4,
			    .dst = TRANSIT4,
			    .proto = IPPROTO_UDP,
			    .sport = 443,
			    .dport = NAT_LO,
			    .len = 30 };
	struct outcome o;

	open_mapped();
	o = uplink_in(&b, p);
	expect_outcome(&b, o, VERDICT_PASS, NO_FLOW);
	memcpy(p.to, uplink_mac, 6);
	expect_bytes(&o, p);
	p.dst = MAGIC4;
	o = uplink_in(&b, p);
	cr_assert_eq(o.verdict, VERDICT_PASS);
	expect_reason(&b, NO_FLOW, 2);
	bench_close(&b);
}

/* What stands between the IP header and the segment has no place in the answer. */
static void reset_behind(const struct family *f, struct packet p)
{
	struct packet want = { .src = p.dst,
			       .dst = p.src,
			       .proto = IPPROTO_TCP,
			       .sport = p.dport,
			       .dport = p.sport,
			       .tcp = 0x04,
			       .seq = 77,
			       .frag = f == &v4 ? 0x4000 : 0 };
	struct outcome o;

	open_mapped();
	p.tcp = 0x10;
	p.ack = 77;
	is_reset(f, p, 77, 0);
	expect_reason(&b, NOT_STARTED, 1);
	/* Numbers that a FIN without ACK takes are counted from the segment alone. */
	p.tcp = 0x01;
	p.seq = 5000;
	is_reset(f, p, 0, 5000 + 100 + 1);
	bench_close(&b);

	/* The same where the client itself refuses. */
	bench_open(&b, false);
	want.src = p.dst = f == &v4 ? MAGIC4 : MAGIC6;
	p.tcp = 0x10;
	memcpy(want.to, overlay_mac, 6);
	memcpy(want.from, overlay_mac, 6);
	o = overlay_out(&b, p);
	expect_outcome(&b, o, VERDICT_REDIRECT, NO_MAGIC);
	expect_bytes(&o, want);
	bench_close(&b);
}

Test(packets_shapes, a_segment_behind_options_or_extension_headers_is_reset)
{
	struct packet p4 = to_transit(&v4, IPPROTO_TCP), p6 = to_transit(&v6, IPPROTO_TCP);

	for (p4.options = 4; p4.options <= 40; p4.options += 12)
		reset_behind(&v4, p4);
	p6.chain[0] = IPPROTO_DSTOPTS;
	reset_behind(&v6, p6);
	p6.chain[1] = IPPROTO_ROUTING;
	reset_behind(&v6, p6);
}

/* The address is signed: the receiver would drop the packet without a word. */
Test(packets_shapes, what_signs_addresses_is_refused_behind_extension_headers_too)
{
	struct packet p = to_transit(&v6, IPPROTO_TCP), q;
	struct outcome o;

	open_mapped();
	p.chain[0] = IPPROTO_AH;
	is_answered(&v6, p, 1, 3, 0);
	p.chain[0] = IPPROTO_DSTOPTS;
	p.chain[1] = IPPROTO_AH;
	is_answered(&v6, p, 1, 3, 0);
	p.chain[2] = IPPROTO_DSTOPTS;
	is_answered(&v6, p, 1, 3, 0);
	expect_reason(&b, PROTOCOL, 3);
	/* Its fragments: about later ones nobody is told. */
	p.chain[0] = IPPROTO_AH;
	p.chain[1] = 0;
	p.fragmented = true;
	p.frag = 1;
	is_answered(&v6, p, 1, 3, 0);
	p.frag = 1208 | 1;
	o = overlay_in(&b, p);
	cr_assert_eq(o.verdict, VERDICT_DROP);
	q = to_transit(&v4, IPPROTO_AH);
	q.frag = 151;
	o = overlay_in(&b, q);
	cr_assert_eq(o.verdict, VERDICT_DROP);
	expect_reason(&b, PROTOCOL, 6);
	bench_close(&b);
}

/* Ports are found behind them, and all of them stay as they came. */
Test(packets_shapes, options_and_extension_headers_are_carried)
{
	struct packet p4 = to_transit(&v4, IPPROTO_UDP), p6 = to_transit(&v6, IPPROTO_UDP);
	struct outcome o;

	open_mapped();
	p4.options = 24;
	p6.chain[0] = IPPROTO_DSTOPTS;
	p6.chain[1] = IPPROTO_ROUTING;
	for (int i = 0; i < 2; i++) {
		const struct family *f = i ? &v6 : &v4;
		struct packet p = i ? p6 : p4, want = p;
		const uint8_t *l4;
		uint16_t port;

		o = overlay_in(&b, p);
		l4 = o.frame.b + 14 + packet_ip_len(&p);
		port = (uint16_t)(l4[0] << 8 | l4[1]);
		cr_assert_eq(o.verdict, VERDICT_REDIRECT);
		want.src = f->uplink;
		want.dst = f->real;
		want.sport = port;
		want.ttl = 63;
		memcpy(want.to, router_mac, 6);
		memcpy(want.from, uplink_mac, 6);
		expect_bytes(&o, want);
		comes_back(f, p, port);
	}
	bench_close(&b);
}
