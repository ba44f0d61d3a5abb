/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's programs: magic to transit and back. */
#include "packet.h"

#include "leaks.h"

SUITE(packets_client);

#define UDP4                                                                                       \
	{                                                                                          \
		.src = OWN4, .dst = MAGIC4, .proto = IPPROTO_UDP, .sport = 4000, .dport = 53,      \
		.len = 32                                                                          \
	}
#define UDP6                                                                                       \
	{                                                                                          \
		.src = OWN6, .dst = MAGIC6, .proto = IPPROTO_UDP, .sport = 4000, .dport = 53,      \
		.len = 32                                                                          \
	}

static struct bench b;

static void open_mapped(bool tunnel_key)
{
	bench_open(&b, tunnel_key);
	bench_client(&b, MAGIC4, TRANSIT4, 0);
	bench_client(&b, MAGIC6, TRANSIT6, 0);
}

/* Out with `p`, which must come out the same but for its destination. */
static void goes_out(struct packet p)
{
	struct outcome o = overlay_out(&b, p);

	cr_assert_eq(o.verdict, VERDICT_PASS);
	p.dst = strchr(p.dst, ':') ? TRANSIT6 : TRANSIT4;
	expect_bytes(&o, p);
}

Test(packets_client, udp_to_a_magic_address_goes_to_its_transit_address)
{
	struct packet p4 = UDP4, p6 = UDP6;

	open_mapped(true);
	goes_out(p4);
	goes_out(p6);
	expect_reason(&b, CLIENT_OUT, 2);
	cr_assert_eq(bench_counted(&b), 2);
	cr_assert_eq(bench_reason(&b, C25_REASON_CLIENT_OUT).bytes, 60 + 80);
	bench_close(&b);
}

Test(packets_client, a_pods_packet_keeps_its_source)
{
	struct packet p = UDP4;

	open_mapped(true);
	p.src = POD4;
	goes_out(p);
	bench_close(&b);
}

Test(packets_client, udp_without_checksum_stays_without)
{
	struct packet p = UDP4;

	open_mapped(true);
	p.no_csum = true;
	goes_out(p);
	bench_close(&b);
}

Test(packets_client, tcp_icmp_and_sctp_are_translated)
{
	struct packet p4 = UDP4, p6 = UDP6;

	open_mapped(true);
	p4.proto = p6.proto = IPPROTO_TCP;
	p4.tcp = p6.tcp = 0x18;
	goes_out(p4);
	goes_out(p6);
	p4.proto = IPPROTO_ICMP;
	p4.type = 8;
	p6.proto = IPPROTO_ICMPV6;
	p6.type = 128;
	goes_out(p4);
	goes_out(p6);
	p4.proto = p6.proto = IPPROTO_SCTP;
	goes_out(p4);
	goes_out(p6);
	p4.proto = p6.proto = 47;
	goes_out(p4);
	goes_out(p6);
	expect_reason(&b, CLIENT_OUT, 8);
	bench_close(&b);
}

/* Magic addresses whose words have the sum of those of the transit address: no checksum behind the
 * IP header changes. */
#define LIKE4 "198.18.35.237"
#define LIKE6 "fd25:a::2"

static void open_alike(bool tunnel_key)
{
	bench_open(&b, tunnel_key);
	bench_client(&b, LIKE4, TRANSIT4, 0);
	bench_client(&b, LIKE6, TRANSIT6, 0);
}

static void each_protocol(struct packet p4, struct packet p6, void (*passes)(struct packet p))
{
	static const __u8 protos[] = { IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMPV6 };

	for (size_t i = 0; i < sizeof(protos); i++) {
		p4.proto = protos[i] == IPPROTO_ICMPV6 ? IPPROTO_ICMP : protos[i];
		p6.proto = protos[i];
		p4.type = 8;
		p6.type = 128;
		p4.tcp = p6.tcp = 0x18;
		passes(p4);
		passes(p6);
	}
}

static void comes_back_alike(struct packet p)
{
	struct outcome o = overlay_in(&b, p);

	cr_assert_eq(o.verdict, VERDICT_PASS);
	p.src = strchr(p.src, ':') ? LIKE6 : LIKE4;
	expect_bytes(&o, p);
}

Test(packets_client, an_address_of_the_same_sum_leaves_the_l4_checksum_as_it_is)
{
	struct packet p4 = UDP4, p6 = UDP6;

	open_alike(true);
	p4.dst = LIKE4;
	p6.dst = LIKE6;
	each_protocol(p4, p6, goes_out);
	bench_close(&b);
	open_alike(false);
	p4.src = TRANSIT4;
	p4.dst = OWN4;
	p6.src = TRANSIT6;
	p6.dst = OWN6;
	each_protocol(p4, p6, comes_back_alike);
	bench_close(&b);
}

Test(packets_client, every_fragment_is_translated)
{
	struct packet p4 = UDP4, p6 = UDP6;

	open_mapped(true);
	p4.frag = 0x2000;
	goes_out(p4);
	p4.frag = 0x2000 | 5;
	goes_out(p4);
	p6.fragmented = true;
	p6.frag = 1;
	goes_out(p6);
	p6.frag = 40 | 1;
	goes_out(p6);
	expect_reason(&b, CLIENT_OUT, 4);
	bench_close(&b);
}

Test(packets_client, mss_of_a_syn_is_clamped_to_the_overlay)
{
	struct packet p4 = UDP4, p6 = UDP6, want4, want6;
	struct outcome o;

	open_mapped(true);
	p4.proto = p6.proto = IPPROTO_TCP;
	p4.tcp = p6.tcp = 2;
	p4.mss = p6.mss = 1460;
	p4.len = p6.len = 0;
	for (int odd = 0; odd < 2; odd++) {
		p4.mss_odd = p6.mss_odd = odd;
		want4 = p4;
		want4.dst = TRANSIT4;
		want4.mss = OVERLAY_MTU - 40;
		o = overlay_out(&b, p4);
		expect_bytes(&o, want4);
		want6 = p6;
		want6.dst = TRANSIT6;
		want6.mss = OVERLAY_MTU - 60;
		o = overlay_out(&b, p6);
		expect_bytes(&o, want6);
	}
	p4.mss = 1000;
	goes_out(p4);
	bench_close(&b);
}

Test(packets_client, counters_and_stamp_of_the_mapping_are_kept)
{
	struct c25_addr magic = addr_of(MAGIC4);
	struct packet p = UDP4;
	struct c25_magic m;

	open_mapped(true);
	bench_start(&b);
	goes_out(p);
	goes_out(p);
	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_magic), &magic, &m), 0);
	cr_assert_eq(m.packets, 2);
	cr_assert_eq(m.bytes, 120);
	cr_assert_gt(m.last_seen, 0);
	bench_close(&b);
}

Test(packets_client, without_tunnel_key_frames_go_to_the_mappings_own_connector)
{
	struct packet p = UDP4;
	struct outcome o;

	open_mapped(false);
	o = overlay_out(&b, p);
	expect_outcome(&b, o, VERDICT_REDIRECT, CLIENT_OUT);
	p.dst = TRANSIT4;
	expect_bytes(&o, p);
	cr_assert_eq(o.ctx.skb.cb[0], COOKIE);
	cr_assert_eq(o.ctx.skb.cb[1], ~COOKIE);
	bench_close(&b);
}

Test(packets_client, a_frame_to_its_own_connector_needs_no_redirect)
{
	struct c25_overlay record;
	struct packet p = UDP4;
	struct outcome o;
	uint32_t zero = 0;

	open_mapped(false);
	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_overlay), &zero, &record), 0);
	record.via4 = PEER;
	put(b.skel->maps.c25_overlay, &zero, &record);
	o = overlay_out(&b, p);
	expect_outcome(&b, o, VERDICT_PASS, CLIENT_OUT);
	p.dst = TRANSIT4;
	expect_bytes(&o, p);
	bench_close(&b);
}

Test(packets_client, a_frame_with_our_mark_passes_and_loses_it)
{
	union context ctx = { .skb.cb = { COOKIE, ~COOKIE } };
	struct packet p = UDP4;
	struct frame in = packet_build(p);
	struct outcome o;

	open_mapped(true);
	ctx.skb.ifindex = b.overlay;
	o = bench_run_ctx(&b, bpf_program__fd(b.skel->progs.c25_overlay_out), &in, &ctx);
	cr_assert_eq(o.verdict, VERDICT_PASS);
	cr_assert_eq(o.ctx.skb.cb[0], 0);
	expect_bytes(&o, p);
	cr_assert_eq(bench_counted(&b), 0);
	ctx.skb.cb[1] = 0;
	o = bench_run_ctx(&b, bpf_program__fd(b.skel->progs.c25_overlay_out), &in, &ctx);
	expect_outcome(&b, o, VERDICT_PASS, CLIENT_OUT);
	bench_close(&b);
}

/* The ICMP error about `p`, from the address asked for. */
static void is_refused(struct packet p)
{
	struct frame in = packet_build(p);
	struct outcome o = overlay_out(&b, p);
	bool v6 = strchr(p.src, ':');
	struct packet want = {
		.src = p.dst,
		.dst = p.src,
		.proto = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
		.type = v6 ? 1 : 3,
		.code = v6 ? 1 : 13,
		.tos = v6 ? 0 : 0xc0,
		.data = in.b + 14,
		.len = in.len - 14,
	};

	if (want.len > (v6 ? 1232 : 548))
		want.len = v6 ? 1232 : 548;
	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	cr_assert_eq(o.ctx.skb.cb[0], COOKIE);
	memcpy(want.to, overlay_mac, 6);
	memcpy(want.from, overlay_mac, 6);
	expect_bytes(&o, want);
}

Test(packets_client, a_magic_address_without_mapping_gets_an_icmp_error)
{
	struct packet p4 = UDP4, p6 = UDP6;

	bench_open(&b, true);
	for (p4.len = p6.len = 0; p4.len < 1400; p6.len = p4.len += 97) {
		is_refused(p4);
		is_refused(p6);
	}
	expect_reason(&b, NO_MAGIC, 30);
	cr_assert_eq(bench_counted(&b), 30);
	bench_close(&b);
}

Test(packets_client, a_tcp_syn_to_an_unknown_magic_address_is_quoted_with_its_options)
{
	struct packet p = UDP4;

	bench_open(&b, true);
	p.proto = IPPROTO_TCP;
	p.tcp = 2;
	p.mss = 1460;
	p.len = 0;
	is_refused(p);
	bench_close(&b);
}

/* The reset that answers `p`: its number, and what it acknowledges. */
static void is_reset(struct packet p, uint32_t seq, uint32_t ack)
{
	struct packet want = { .src = p.dst,
			       .dst = p.src,
			       .proto = IPPROTO_TCP,
			       .sport = p.dport,
			       .dport = p.sport,
			       .tcp = ack ? 0x14 : 0x04,
			       .seq = seq,
			       .ack = ack,
			       .frag = strchr(p.src, ':') ? 0 : 0x4000 };
	struct outcome o = overlay_out(&b, p);

	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	cr_assert_eq(o.ctx.skb.cb[0], COOKIE);
	memcpy(want.to, overlay_mac, 6);
	memcpy(want.from, overlay_mac, 6);
	expect_bytes(&o, want);
}

Test(packets_client, a_v6_connect_and_a_lost_connection_to_a_magic_address_are_reset)
{
	struct packet p4 = UDP4, p6 = UDP6;
	struct outcome o;

	bench_open(&b, true);
	p4.proto = p6.proto = IPPROTO_TCP;
	p6.tcp = 2;
	p6.mss = 1440;
	p6.len = 0;
	p6.seq = 70;
	is_reset(p6, 0, 71);
	p4.tcp = 0x18;
	p4.ack = 99;
	is_reset(p4, 99, 0);
	expect_reason(&b, NO_MAGIC, 2);
	bench_client(&b, MAGIC4, TRANSIT4, C25_MAGIC_DEAD);
	is_reset(p4, 99, 0);
	expect_reason(&b, DEAD_MAGIC, 1);
	p4.tcp = 4;
	o = overlay_out(&b, p4);
	cr_assert_eq(o.verdict, VERDICT_DROP);
	bench_close(&b);
}

Test(packets_client, a_dead_mapping_gets_an_icmp_error)
{
	struct packet p = UDP4;

	bench_open(&b, true);
	bench_client(&b, MAGIC4, TRANSIT4, C25_MAGIC_DEAD);
	is_refused(p);
	expect_reason(&b, DEAD_MAGIC, 1);
	bench_close(&b);
}

Test(packets_client, no_icmp_error_answers_an_icmp_error_or_a_later_fragment)
{
	struct packet p = UDP4;
	struct outcome o;

	bench_open(&b, true);
	p.frag = 5;
	o = overlay_out(&b, p);
	expect_outcome(&b, o, VERDICT_DROP, NO_MAGIC);
	p.frag = 0;
	p.proto = IPPROTO_ICMP;
	p.type = 3;
	o = overlay_out(&b, p);
	cr_assert_eq(o.verdict, VERDICT_DROP);
	expect_reason(&b, NO_MAGIC, 2);
	bench_close(&b);
}

Test(packets_client, icmp_errors_are_limited)
{
	struct packet p = UDP4;
	int answered = 0;

	bench_open(&b, true);
	for (int i = 0; i < 4000; i++)
		answered += overlay_out(&b, p).verdict == VERDICT_REDIRECT;
	cr_assert_geq(answered, 1000);
	cr_assert_leq(answered, 1000 * libbpf_num_possible_cpus());
	expect_reason(&b, NO_MAGIC, 4000);
	bench_close(&b);
}

Test(packets_client, the_nodes_own_packet_to_a_peer_passes)
{
	struct packet p = UDP4;
	struct outcome o;

	bench_open(&b, true);
	p.dst = PEER4;
	o = overlay_out(&b, p);
	expect_outcome(&b, o, VERDICT_PASS, OVERLAY_OUT);
	expect_bytes(&o, p);
	bench_close(&b);
}

Test(packets_client, a_packet_merely_forwarded_to_a_peer_is_dropped)
{
	union context ctx = { 0 };
	struct packet p = UDP4;
	struct outcome o;
	struct frame in;

	bench_open(&b, true);
	p.src = POD4;
	p.dst = PEER4;
	in = packet_build(p);
	ctx.skb.ifindex = b.overlay;
	ctx.skb.ingress_ifindex = b.other;
	o = bench_run_ctx(&b, bpf_program__fd(b.skel->progs.c25_overlay_out), &in, &ctx);
	expect_outcome(&b, o, VERDICT_DROP, FORWARDED);
	bench_close(&b);
}

Test(packets_client, nothing_else_leaves_by_the_tunnel)
{
	struct packet p = UDP4;
	struct outcome o;

	bench_open(&b, true);
	p.dst = "8.8.8.8";
	o = overlay_out(&b, p);
	expect_outcome(&b, o, VERDICT_DROP, STRAY);
	bench_close(&b);
}

Test(packets_client, what_is_not_ours_passes_untouched_where_there_is_no_tunnel)
{
	struct packet p = UDP4;
	struct outcome o;

	bench_open(&b, false);
	p.dst = "8.8.8.8";
	o = overlay_out(&b, p);
	expect_outcome(&b, o, VERDICT_PASS, PASS);
	expect_bytes(&o, p);
	o = overlay_in(&b, p);
	cr_assert_eq(o.verdict, VERDICT_PASS);
	expect_bytes(&o, p);
	expect_reason(&b, PASS, 2);
	bench_close(&b);
}

Test(packets_client, a_reply_from_transit_comes_from_magic)
{
	struct packet p = { .src = TRANSIT4,
			    .dst = OWN4,
			    .proto = IPPROTO_TCP,
			    .sport = 80,
			    .dport = 4000,
			    .tcp = 0x12,
			    .mss = 1460 };
	struct packet want;
	struct outcome o;

	open_mapped(false);
	o = overlay_in(&b, p);
	expect_outcome(&b, o, VERDICT_PASS, CLIENT_BACK);
	want = p;
	want.src = MAGIC4;
	want.mss = OVERLAY_MTU - 40;
	expect_bytes(&o, want);
	p.src = TRANSIT6;
	p.dst = OWN6;
	o = overlay_in(&b, p);
	want = p;
	want.src = MAGIC6;
	want.mss = OVERLAY_MTU - 60;
	expect_bytes(&o, want);
	bench_close(&b);
}

Test(packets_client, a_reply_from_an_unknown_transit_address_is_dropped)
{
	struct packet p = { .src = TRANSIT4, .dst = POD4, .proto = IPPROTO_UDP, .len = 9 };
	struct outcome o;

	bench_open(&b, false);
	o = overlay_in(&b, p);
	expect_outcome(&b, o, VERDICT_DROP, NO_TRANSIT);
	bench_close(&b);
}

static int events;
static struct c25_event event;

static int on_event(void *ctx, void *data, size_t size)
{
	event = *(struct c25_event *)data;
	events++;
	return 0;
}

static void unmapped_is_held(const char *own, const char *peer, const char *magic,
			     const char *transit, uint8_t proto, uint8_t type, uint8_t code)
{
	struct packet quoted = { .src = own, .dst = transit, .proto = IPPROTO_UDP, .len = 40 };
	struct frame q = packet_build(quoted);
	struct packet p = { .src = peer,
			    .dst = own,
			    .proto = proto,
			    .type = type,
			    .code = code,
			    .data = q.b + 14,
			    .len = q.len - 14 };
	struct ring_buffer *ring;
	struct outcome o;

	open_mapped(false);
	ring = ring_buffer__new(bpf_map__fd(b.skel->maps.c25_events), on_event, NULL, NULL);
	cr_assert_not_null(ring);
	o = overlay_in(&b, p);
	expect_outcome(&b, o, VERDICT_DROP, UNMAPPED_HELD);
	ring_buffer__consume(ring);
	cr_assert_eq(events, 1);
	cr_assert_eq(event.kind, C25_EVENT_UNMAPPED);
	cr_assert_eq(event.peer, PEER);
	cr_assert_arr_eq(event.dst.b, addr_of(transit).b, 16);
	ring_buffer__free(ring);
	bench_close(&b);
}

Test(packets_client, a_connectors_error_for_a_live_mapping_is_kept_back_and_told)
{
	unmapped_is_held(OWN4, PEER4, MAGIC4, TRANSIT4, IPPROTO_ICMP, 3, 13);
}

Test(packets_client, a_connectors_v6_error_for_a_live_mapping_is_kept_back_and_told)
{
	unmapped_is_held(OWN6, PEER6, MAGIC6, TRANSIT6, IPPROTO_ICMPV6, 1, 1);
}

Test(packets_client, headers_cut_short_are_dropped)
{
	struct packet p = UDP4;
	struct frame f = packet_build(p);
	union context ctx = { 0 };
	struct outcome o;

	open_mapped(true);
	ctx.skb.ifindex = b.overlay;
	f.len = 14 + 20 + 4;
	o = bench_run_ctx(&b, bpf_program__fd(b.skel->progs.c25_overlay_out), &f, &ctx);
	expect_outcome(&b, o, VERDICT_DROP, MALFORMED);
	bench_close(&b);
}

/* A mapping that has moved from a connector to PEER. The connector before is none that packets can
 * be sent to, so that those which go there are seen. */
#define GONE_PEER 7

static void open_kept(uint32_t base)
{
	struct c25_kept k = { .other = GONE_PEER, .base = base, .period = 5 };
	struct c25_addr m4 = addr_of(MAGIC4), m6 = addr_of(MAGIC6);

	bench_open(&b, true);
	bench_client(&b, MAGIC4, TRANSIT4, C25_MAGIC_KEPT);
	bench_client(&b, MAGIC6, TRANSIT6, C25_MAGIC_KEPT);
	put(b.skel->maps.c25_kept, &m4, &k);
	put(b.skel->maps.c25_kept, &m6, &k);
}

static void goes_to_other(struct packet p)
{
	uint64_t before = bench_reason(&b, C25_REASON_NO_TUNNEL).packets;
	struct outcome o = overlay_out(&b, p);

	cr_assert_eq(o.verdict, VERDICT_DROP);
	expect_reason(&b, NO_TUNNEL, before + 1);
}

Test(packets_client, what_was_begun_before_a_move_stays_and_what_begins_after_goes_on)
{
	struct packet p4 = UDP4, p6 = UDP6;

	open_kept(GONE_PEER);
	goes_to_other(p4);
	goes_to_other(p6);
	p4.proto = p6.proto = IPPROTO_TCP;
	for (int begun = 0; begun < 2; begun++) {
		static const uint8_t flags[] = { 0x10, 0x18, 0x11, 0x04, 0x12 };

		for (size_t i = 0; i < sizeof(flags); i++) {
			p4.tcp = p6.tcp = flags[i];
			(begun ? goes_out : goes_to_other)(p4);
			(begun ? goes_out : goes_to_other)(p6);
		}
		p4.tcp = p6.tcp = 2;
		goes_out(p4);
		goes_out(p6);
	}
	p4.sport++;
	p4.tcp = 0x10;
	goes_to_other(p4);
	bench_close(&b);
}

Test(packets_client, a_connection_begun_before_a_move_back_stays_with_the_connector_it_began_at)
{
	struct packet p = UDP4;
	struct c25_tuple t = { .src = addr_of(OWN4),
			       .dst = addr_of(MAGIC4),
			       .sport = htons(4000),
			       .dport = htons(53),
			       .proto = IPPROTO_TCP };
	struct c25_begun at = { .peer = GONE_PEER, .period = 5 };

	open_kept(PEER);
	p.proto = IPPROTO_TCP;
	p.tcp = 0x10;
	goes_out(p);
	put(b.skel->maps.c25_begun, &t, &at);
	goes_to_other(p);
	/* Of a move long ago. */
	at.period = 4;
	put(b.skel->maps.c25_begun, &t, &at);
	goes_out(p);
	/* Of a connector that is neither of the two. */
	at = (struct c25_begun){ .peer = OTHER_PEER, .period = 5 };
	put(b.skel->maps.c25_begun, &t, &at);
	goes_out(p);
	bench_close(&b);
}

Test(packets_client, replies_tell_whether_what_was_kept_still_works)
{
	struct packet reply = { .src = TRANSIT4,
				.dst = OWN4,
				.proto = IPPROTO_TCP,
				.sport = 53,
				.dport = 4000,
				.tcp = 0x10 };
	struct packet syn = UDP4;
	struct c25_addr m = addr_of(MAGIC4), t = addr_of(TRANSIT4);
	struct c25_transit v = { .magic = m, .peer = PEER, .peer2 = PEER | C25_TRANSIT_KEPT };
	struct c25_kept k;
	struct outcome o;

	open_kept(GONE_PEER);
	put(b.skel->maps.c25_transit, &t, &v);
	put(b.skel->maps.c25_tick, &(uint32_t){ 0 }, &(struct c25_tick){ .now = 77 });
	syn.proto = IPPROTO_TCP;
	syn.tcp = 2;
	goes_out(syn);
	o = tunnel_in(&b, UNDERLAY, VNI, reply);
	cr_assert_eq(o.verdict, VERDICT_PASS);
	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_kept), &m, &k), 0);
	cr_assert_eq(k.back_seen, 0, "of a connection begun since");
	reply.dport = 4001;
	o = tunnel_in(&b, UNDERLAY, VNI, reply);
	cr_assert_eq(o.verdict, VERDICT_PASS);
	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_kept), &m, &k), 0);
	cr_assert_eq(k.back_seen, 77);
	cr_assert_eq(k.out_seen, 0);
	syn.sport = 4001;
	syn.tcp = 0x10;
	goes_to_other(syn);
	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_kept), &m, &k), 0);
	cr_assert_eq(k.out_seen, 77);
	bench_close(&b);
}
