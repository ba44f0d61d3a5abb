/* SPDX-License-Identifier: BSD-3-Clause */
/* Whose a packet is: the tunnel it came out of, and its inner source. */
#include "packet.h"

#include "leaks.h"

SUITE(packets_tunnel);

#define REPLY                                                                                      \
	{                                                                                          \
		.src = TRANSIT4, .dst = OWN4, .proto = IPPROTO_UDP, .sport = 53, .dport = 9,       \
		.len = 20                                                                          \
	}
#define FIRST                                                                                      \
	{                                                                                          \
		.src = PEER4, .dst = TRANSIT4, .proto = IPPROTO_UDP, .sport = 9, .dport = 53,      \
		.len = 20                                                                          \
	}

static struct bench b;

static void client_opens(void)
{
	bench_open(&b, true);
	bench_client(&b, MAGIC4, TRANSIT4, 0);
}

static void connector_opens(void)
{
	bench_open(&b, true);
	bench_mapping(&b, PEER4, TRANSIT4, REAL4);
}

Test(packets_tunnel, a_reply_out_of_the_connectors_tunnel_is_translated)
{
	struct packet p = REPLY;
	struct outcome o;

	client_opens();
	o = tunnel_in(&b, UNDERLAY, VNI, p);
	expect_outcome(&b, o, VERDICT_PASS, CLIENT_BACK);
	p.src = MAGIC4;
	expect_bytes(&o, p);
	bench_close(&b);
}

Test(packets_tunnel, a_reply_out_of_another_peers_tunnel_is_dropped)
{
	struct packet p = REPLY;
	struct outcome o;

	client_opens();
	o = tunnel_in(&b, OTHER, VNI, p);
	expect_outcome(&b, o, VERDICT_DROP, WRONG_CONNECTOR);
	bench_close(&b);
}

Test(packets_tunnel, a_reply_of_the_second_connector_is_taken)
{
	struct c25_addr t = addr_of(TRANSIT4);
	struct c25_transit v = { .magic = addr_of(MAGIC4), .peer = PEER, .peer2 = OTHER_PEER };
	struct packet p = REPLY;
	struct outcome o;

	client_opens();
	put(b.skel->maps.c25_transit, &t, &v);
	o = tunnel_in(&b, OTHER, VNI, p);
	expect_outcome(&b, o, VERDICT_PASS, CLIENT_BACK);
	bench_close(&b);
}

Test(packets_tunnel, a_packet_out_of_no_tunnel_or_another_network_is_dropped)
{
	struct packet p = REPLY;
	struct outcome o;

	client_opens();
	o = overlay_in(&b, p);
	expect_outcome(&b, o, VERDICT_DROP, SPOOFED_OUTER);
	o = tunnel_in(&b, UNDERLAY, VNI + 1, p);
	cr_assert_eq(o.verdict, VERDICT_DROP);
	expect_reason(&b, SPOOFED_OUTER, 2);
	bench_close(&b);
}

Test(packets_tunnel, a_v6_underlay_tells_peers_apart)
{
	struct packet p = REPLY;
	struct outcome o;

	client_opens();
	bench_peer(&b, PEER, PEER4, PEER6, "2001:db8::11");
	o = tunnel_in(&b, "2001:db8::11", VNI, p);
	expect_outcome(&b, o, VERDICT_PASS, CLIENT_BACK);
	o = tunnel_in(&b, "2001:db8::12", VNI, p);
	expect_outcome(&b, o, VERDICT_DROP, WRONG_CONNECTOR);
	bench_close(&b);
}

Test(packets_tunnel, a_source_that_is_not_the_tunnels_peer_starts_no_flow)
{
	struct packet p = FIRST;
	struct outcome o;

	connector_opens();
	o = tunnel_in(&b, OTHER, VNI, p);
	expect_outcome(&b, o, VERDICT_DROP, SPOOFED_OUTER);
	o = tunnel_in(&b, UNDERLAY, VNI, p);
	expect_outcome(&b, o, VERDICT_REDIRECT, CONNECTOR_OUT);
	bench_close(&b);
}

Test(packets_tunnel, a_living_flow_is_its_own_peers_alone)
{
	struct packet p = FIRST;
	struct outcome o;

	connector_opens();
	o = tunnel_in(&b, UNDERLAY, VNI, p);
	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	o = tunnel_in(&b, OTHER, VNI, p);
	expect_outcome(&b, o, VERDICT_DROP, SPOOFED_OUTER);
	bench_close(&b);
}

Test(packets_tunnel, only_the_right_tunnel_speaks_for_a_node)
{
	struct packet p = FIRST;
	struct outcome o;

	connector_opens();
	p.dst = OWN4;
	o = tunnel_in(&b, UNDERLAY, VNI, p);
	expect_outcome(&b, o, VERDICT_PASS, OVERLAY_IN);
	o = tunnel_in(&b, OTHER, VNI, p);
	expect_outcome(&b, o, VERDICT_DROP, SPOOFED_OUTER);
	p.src = POD4;
	o = tunnel_in(&b, UNDERLAY, VNI, p);
	expect_outcome(&b, o, VERDICT_DROP, FORWARDED);
	p.src = "10.9.9.9";
	o = tunnel_in(&b, UNDERLAY, VNI, p);
	expect_outcome(&b, o, VERDICT_DROP, SPOOFED_INNER);
	bench_close(&b);
}

Test(packets_tunnel, nothing_else_comes_in_by_the_tunnel)
{
	struct packet p = FIRST;
	struct outcome o;

	connector_opens();
	p.dst = "8.8.8.8";
	o = tunnel_in(&b, UNDERLAY, VNI, p);
	expect_outcome(&b, o, VERDICT_DROP, STRAY);
	bench_close(&b);
}

Test(packets_tunnel, a_connectors_error_out_of_anothers_tunnel_is_not_believed)
{
	struct packet quoted = { .src = OWN4, .dst = TRANSIT4, .proto = IPPROTO_UDP, .len = 40 };
	struct frame q = packet_build(quoted);
	struct packet p = { .src = PEER4,
			    .dst = OWN4,
			    .proto = IPPROTO_ICMP,
			    .type = 3,
			    .code = 13,
			    .data = q.b + 14,
			    .len = q.len - 14 };
	struct outcome o;

	client_opens();
	o = tunnel_in(&b, OTHER, VNI, p);
	expect_outcome(&b, o, VERDICT_DROP, SPOOFED_OUTER);
	o = tunnel_in(&b, UNDERLAY, VNI, p);
	expect_outcome(&b, o, VERDICT_DROP, UNMAPPED_HELD);
	bench_close(&b);
}

Test(packets_tunnel, a_peer_without_underlay_is_named_as_the_reason)
{
	struct c25_peer peer = { .overlay4 = addr_of(PEER4), .flags = C25_PEER_USED };
	struct packet p = { .src = OWN4, .dst = MAGIC4, .proto = IPPROTO_UDP, .len = 20 };
	uint32_t i = PEER;
	struct outcome o;

	client_opens();
	put(b.skel->maps.c25_peers, &i, &peer);
	o = overlay_out(&b, p);
	expect_outcome(&b, o, VERDICT_DROP, NO_TUNNEL);
	bench_close(&b);
}
