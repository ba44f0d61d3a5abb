/* SPDX-License-Identifier: BSD-3-Clause */
/* Fragments through the connector: those of one datagram go one way. */
#include "flows.h"

#include "leaks.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/socket.h>
#include <sys/time.h>

SUITE(packets_fragments);

#define MORE4 0x2000

/* A fragment of the datagram `p`: `at` is its offset in bytes. */
static struct packet piece(struct packet p, uint16_t at, bool more, size_t len)
{
	bool v6 = strchr(p.src, ':');

	p.fragmented = v6;
	p.frag = v6 ? (uint16_t)(at | more) : (uint16_t)(at / 8 | (more ? MORE4 : 0));
	p.len = len;
	return p;
}

static uint32_t wire_id(const struct outcome *o)
{
	const uint8_t *ip = o->frame.b + 14;

	if (ip[0] >> 4 == 6)
		return (uint32_t)ip[44] << 24 | (uint32_t)ip[45] << 16 | (uint32_t)ip[46] << 8 |
		       ip[47];
	return (uint32_t)ip[4] << 8 | ip[5];
}

/* Sends a fragment on; checks every byte but the identification, which is returned. */
static uint32_t piece_goes_on(const struct family *f, struct packet p, uint16_t port)
{
	struct outcome o = overlay_in(&b, p);

	cr_assert_eq(o.verdict, VERDICT_REDIRECT, "verdict %d", o.verdict);
	p.src = f->uplink;
	p.dst = f->real;
	p.sport = port;
	p.ttl = 63;
	p.id = wire_id(&o);
	memcpy(p.to, router_mac, 6);
	memcpy(p.from, uplink_mac, 6);
	expect_bytes(&o, p);
	return p.id;
}

static uint16_t first_port(const struct family *f, struct packet first)
{
	struct outcome o = overlay_in(&b, first);
	const uint8_t *l4 = o.frame.b + 14 + (strchr(f->client, ':') ? 48 : 20);

	cr_assert_eq(o.verdict, VERDICT_REDIRECT, "verdict %d", o.verdict);
	return (uint16_t)(l4[0] << 8 | l4[1]);
}

static void goes_out(const struct family *f)
{
	struct packet p = to_transit(f, IPPROTO_UDP);
	uint16_t port;
	uint32_t id;

	open_mapped();
	p.id = 0x1234;
	port = first_port(f, piece(p, 0, true, 1200));
	id = piece_goes_on(f, piece(p, 0, true, 1200), port);
	cr_assert_eq(piece_goes_on(f, piece(p, 1208, true, 1208), 0), id);
	cr_assert_eq(piece_goes_on(f, piece(p, 2416, false, 100), 0), id);
	expect_reason(&b, CONNECTOR_OUT, 4);
	cr_assert_eq(bench_counted(&b), 4);
	bench_close(&b);
}

Test(packets_fragments, a_datagrams_fragments_go_to_the_real_address)
{
	goes_out(&v4);
}

Test(packets_fragments, a_datagrams_v6_fragments_go_to_the_real_address)
{
	goes_out(&v6);
}

static void goes_out_of_order(const struct family *f)
{
	struct packet p = to_transit(f, IPPROTO_UDP);
	uint16_t port;
	uint32_t id;

	open_mapped();
	p.id = 0x1234;
	id = piece_goes_on(f, piece(p, 2416, false, 100), 0);
	cr_assert_eq(piece_goes_on(f, piece(p, 1208, true, 1208), 0), id);
	port = first_port(f, piece(p, 0, true, 1200));
	cr_assert_eq(piece_goes_on(f, piece(p, 0, true, 1200), port), id);
	bench_close(&b);
}

Test(packets_fragments, later_fragments_need_not_wait_for_the_first)
{
	goes_out_of_order(&v4);
}

Test(packets_fragments, later_v6_fragments_need_not_wait_for_the_first)
{
	goes_out_of_order(&v6);
}

Test(packets_fragments, datagrams_of_two_clients_never_share_an_identification)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP), q = p;
	uint32_t one, two;

	open_mapped();
	q.src = POD4;
	for (uint32_t i = 0; i < 500; i++) {
		p.id = q.id = i;
		one = piece_goes_on(&v4, piece(p, 1208, false, 10), 0);
		two = piece_goes_on(&v4, piece(q, 1208, false, 10), 0);
		cr_assert_neq(one, two);
	}
	bench_close(&b);
}

Test(packets_fragments, a_fragment_to_an_unmapped_transit_address_is_dropped)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);
	struct outcome o;

	open_mapped();
	p.dst = "169.254.64.77";
	o = overlay_in(&b, piece(p, 1208, false, 10));
	expect_outcome(&b, o, VERDICT_DROP, NO_MAPPING);
	bench_close(&b);
}

Test(packets_fragments, a_fragment_of_an_ended_flow_is_dropped)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);
	uint32_t slot = 0;
	struct c25_flow f;
	struct outcome o;

	open_mapped();
	p.id = 5;
	first_port(&v4, piece(p, 0, true, 1200));
	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_flows), &slot, &f), 0);
	f.state = C25_FLOW_REVOKED;
	put(b.skel->maps.c25_flows, &slot, &f);
	o = overlay_in(&b, piece(p, 1208, false, 10));
	expect_outcome(&b, o, VERDICT_DROP, FRAGMENT);
	bench_close(&b);
}

static struct packet answered(const struct family *f, struct packet reply, struct packet sent)
{
	bool first = !(reply.frag & 0x1fff) || (reply.fragmented && !(reply.frag & 0xfff8));

	reply.src = f->transit;
	reply.dst = f->client;
	reply.ttl = 63;
	if (first)
		reply.dport = sent.sport;
	memcpy(reply.to, uplink_mac, 6);
	return reply;
}

static void comes_back_in_pieces(const struct family *f)
{
	struct packet p = to_transit(f, IPPROTO_UDP), r, q;
	struct outcome o;
	uint16_t port;

	open_mapped();
	port = goes_on(f, p);
	r = reply_to(f, p, port);
	r.id = 0x777;
	q = piece(r, 0, true, 1200);
	o = uplink_in(&b, q);
	expect_outcome(&b, o, VERDICT_REDIRECT, CONNECTOR_BACK);
	expect_bytes(&o, answered(f, q, p));
	q = piece(r, 1208, false, 300);
	o = uplink_in(&b, q);
	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	expect_bytes(&o, answered(f, q, p));
	expect_reason(&b, CONNECTOR_BACK, 2);
	bench_close(&b);
}

Test(packets_fragments, a_replys_fragments_come_back)
{
	comes_back_in_pieces(&v4);
}

Test(packets_fragments, a_replys_v6_fragments_come_back)
{
	comes_back_in_pieces(&v6);
}

Test(packets_fragments, an_atomic_v6_fragment_is_a_whole_datagram)
{
	struct packet p = to_transit(&v6, IPPROTO_UDP), r;
	struct outcome o;
	uint16_t port;

	open_mapped();
	p.fragmented = true;
	port = first_port(&v6, p);
	r = reply_to(&v6, p, port);
	o = uplink_in(&b, r);
	expect_outcome(&b, o, VERDICT_REDIRECT, CONNECTOR_BACK);
	expect_bytes(&o, answered(&v6, r, p));
	bench_close(&b);
}

Test(packets_fragments, the_hosts_own_fragments_pass)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP), r;
	struct outcome o;

	open_mapped();
	goes_on(&v4, p);
	r = reply_to(&v4, p, 9999);
	r.id = 0x777;
	o = uplink_in(&b, piece(r, 0, true, 1200));
	expect_outcome(&b, o, VERDICT_PASS, PASS);
	r = piece(r, 1208, false, 300);
	o = uplink_in(&b, r);
	cr_assert_eq(o.verdict, VERDICT_PASS);
	expect_reason(&b, PASS, 2);
	memcpy(r.to, uplink_mac, 6);
	expect_bytes(&o, r);
	bench_close(&b);
}

static void set_clock(uint64_t now)
{
	struct c25_tick tick;
	uint32_t zero = 0;

	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_tick), &zero, &tick), 0);
	tick.now = now;
	put(b.skel->maps.c25_tick, &zero, &tick);
}

static void expires_after(const struct family *f, uint64_t life)
{
	struct packet p = to_transit(f, IPPROTO_UDP), r;
	struct outcome o;
	uint16_t port;

	open_mapped();
	set_clock(1000);
	port = goes_on(f, p);
	r = reply_to(f, p, port);
	o = uplink_in(&b, piece(r, 0, true, 1200));
	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	set_clock(1000 + life - 1);
	o = uplink_in(&b, piece(r, 1208, false, 300));
	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	set_clock(1000 + life);
	o = uplink_in(&b, piece(r, 1208, false, 300));
	expect_outcome(&b, o, VERDICT_PASS, FRAGMENT_EARLY);
	bench_close(&b);
}

Test(packets_fragments, a_datagram_is_remembered_for_30_seconds)
{
	expires_after(&v4, 30);
}

Test(packets_fragments, a_v6_datagram_is_remembered_for_60_seconds)
{
	expires_after(&v6, 60);
}

Test(packets_fragments, endless_fragments_leave_the_table_usable)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP), r;
	struct outcome o;
	uint16_t port;

	open_mapped();
	port = goes_on(&v4, p);
	r = reply_to(&v4, p, port);
	for (uint32_t i = 0; i < 20000; i++) {
		r.id = i;
		o = uplink_in(&b, piece(r, 1208, true, 8));
		cr_assert_eq(o.verdict, VERDICT_PASS);
	}
	r.id = 40000;
	o = uplink_in(&b, piece(r, 0, true, 1200));
	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	o = uplink_in(&b, piece(r, 1208, false, 300));
	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	comes_back(&v4, p, port);
	bench_close(&b);
}

static int raw_socket(const char *dev)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = (int)if_nametoindex(dev) };
	struct timeval wait = { .tv_sec = 2 };
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));

	cr_assert_geq(fd, 0);
	cr_assert_eq(bind(fd, (void *)&at, sizeof(at)), 0);
	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	return fd;
}

static void send_frame(int fd, struct packet p)
{
	struct frame f;

	memcpy(p.to, uplink_mac, 6);
	f = packet_build(p);
	cr_assert_eq(send(fd, f.b, f.len, 0), (ssize_t)f.len);
}

/* The next frame that leaves by the overlay equals `p`, but for the link addresses. */
static void expect_frame(int fd, struct packet p)
{
	struct frame want = packet_build(p), got = { 0 };
	ssize_t n;

	do {
		n = recv(fd, got.b, sizeof(got.b), 0);
		cr_assert_gt(n, 0, "no frame came");
	} while (memcmp(got.b + 6, overlay_mac, 6));
	got.len = (size_t)n;
	cr_assert_eq(got.len, want.len, "%zu bytes, not %zu", got.len, want.len);
	cr_assert_arr_eq(got.b + 14, want.b + 14, want.len - 14);
}

/* On devices: copies come in by the uplink anew. */
static void comes_back_out_of_order(const struct family *f)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts);
	struct packet p = to_transit(f, IPPROTO_UDP), r;
	int in, out;
	uint16_t port;

	open_mapped();
	bench_sh("ip neigh add " PEER4 " lladdr 02:00:00:00:00:04 dev ov0 nud permanent;"
		 "ip -6 neigh add " PEER6 " lladdr 02:00:00:00:00:04 dev ov0 nud permanent");
	hook.ifindex = (int)b.uplink;
	opts.prog_fd = bpf_program__fd(b.skel->progs.c25_uplink_in);
	cr_assert_eq(bpf_tc_hook_create(&hook), 0);
	cr_assert_eq(bpf_tc_attach(&hook, &opts), 0);
	in = raw_socket("up0p");
	out = raw_socket("ov0p");

	port = goes_on(f, p);
	r = reply_to(f, p, port);
	r.id = 0x777;
	send_frame(in, piece(r, 2416, false, 100));
	send_frame(in, piece(r, 1208, true, 1208));
	send_frame(in, piece(r, 0, true, 1200));
	expect_frame(out, answered(f, piece(r, 0, true, 1200), p));
	expect_frame(out, answered(f, piece(r, 2416, false, 100), p));
	expect_frame(out, answered(f, piece(r, 1208, true, 1208), p));
	expect_reason(&b, FRAGMENT_EARLY, 2);
	expect_reason(&b, CONNECTOR_BACK, 3);
	close(in);
	close(out);
	bench_close(&b);
}

Test(packets_fragments, a_replys_fragments_come_back_in_any_order)
{
	comes_back_out_of_order(&v4);
}

Test(packets_fragments, a_replys_v6_fragments_come_back_in_any_order)
{
	comes_back_out_of_order(&v6);
}
