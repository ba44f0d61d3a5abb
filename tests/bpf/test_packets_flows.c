/* SPDX-License-Identifier: BSD-3-Clause */
/* The connector's flows: how long they live, how they end, and what they leave behind. */
#include "flows.h"

#include "leaks.h"

#include <pthread.h>
#include <time.h>

SUITE(packets_flows);

#define SYN 0x02
#define FIN 0x01
#define RST 0x04
#define ACK 0x10

/* One flow's history: flags of its packets, those of replies marked. */
#define BACK  0x100
#define STEPS 8

struct life {
	const char *name;
	uint8_t proto; /* 0: echo */
	uint16_t steps[STEPS];
	uint64_t limit; /* RFC 5382, 7857, 4787, 5508 */
};

#define OPEN SYN, BACK | SYN | ACK, ACK

static const struct life lives[] = {
	{ "TCP that nobody answered", IPPROTO_TCP, { SYN }, 240 },
	{ "TCP half open", IPPROTO_TCP, { SYN, BACK | SYN | ACK }, 240 },
	{ "TCP established", IPPROTO_TCP, { OPEN }, 7440 },
	{ "TCP opened from both sides at once", IPPROTO_TCP, { SYN, BACK | SYN, SYN | ACK }, 7440 },
	{ "TCP closed by the client alone", IPPROTO_TCP, { OPEN, FIN | ACK, BACK | ACK }, 7440 },
	{ "TCP closed by the server alone", IPPROTO_TCP, { OPEN, BACK | FIN | ACK, ACK }, 7440 },
	{ "TCP closed", IPPROTO_TCP, { OPEN, FIN | ACK, BACK | FIN | ACK, ACK }, 240 },
	{ "TCP closed from both sides at once",
	  IPPROTO_TCP,
	  { OPEN, FIN | ACK, BACK | FIN | ACK, BACK | ACK, ACK },
	  240 },
	{ "TCP refused", IPPROTO_TCP, { SYN, BACK | RST | ACK }, 240 },
	{ "TCP reset by the server", IPPROTO_TCP, { OPEN, BACK | RST }, 240 },
	{ "TCP reset by the client", IPPROTO_TCP, { OPEN, RST }, 240 },
	{ "TCP from a port used before", IPPROTO_TCP, { OPEN, RST, OPEN }, 7440 },
	{ "TCP refused and tried again", IPPROTO_TCP, { SYN, BACK | RST | ACK, OPEN }, 7440 },
	{ "UDP that nobody answered", IPPROTO_UDP, { 0x200, 0x200 }, 120 },
	{ "UDP", IPPROTO_UDP, { 0x200, BACK | 0x200 }, 300 },
	{ "echo that nobody answered", 0, { 0x200 }, 60 },
	{ "echo", 0, { 0x200, BACK | 0x200 }, 60 },
	{ "SCTP", IPPROTO_SCTP, { 0x200 }, 600 },
};

/* Lives through a history, and is at `slot` then. */
static void live(const struct family *f, const struct life *l, uint32_t slot)
{
	struct packet p = to_transit(f, l->proto ? l->proto : f->icmp), r;
	uint16_t port = 0;

	p.sport = (uint16_t)(40000 + slot);
	for (int i = 0; i < STEPS && l->steps[i]; i++) {
		struct outcome o;

		p.tcp = (uint8_t)l->steps[i];
		if (l->steps[i] & BACK) {
			r = reply_to(f, p, port);
			r.tcp = (uint8_t)l->steps[i];
			o = uplink_in(&b, r);
		} else {
			o = overlay_in(&b, p);
			port = nat_port(&o);
		}
		cr_assert_eq(o.verdict, VERDICT_REDIRECT, "%s: step %d gave %d", l->name, i,
			     o.verdict);
	}
	cr_assert_eq(flow_at(slot).out.sport,
		     l->proto == IPPROTO_SCTP ? 0 : htons((uint16_t)(40000 + slot)), "%s", l->name);
}

static void live_as_long_as_meant(const struct family *f)
{
	const uint32_t n = sizeof(lives) / sizeof(lives[0]);
	const struct life canary = { "canary", IPPROTO_UDP, { 0x200 }, 120 };

	open_mapped();
	bench_start(&b);
	for (uint32_t i = 0; i < n; i++)
		live(f, &lives[i], i);
	live(f, &canary, n);
	/* Within their limits, less what this test may take; the sweep passes them and the canary. */
	for (uint32_t i = 0; i < n; i++)
		idle(i, lives[i].limit - 30);
	idle(n, 121);
	cr_assert(becomes(n, C25_FLOW_FREE));
	for (uint32_t i = 0; i < n; i++)
		cr_assert_neq(flow_at(i).state, C25_FLOW_FREE, "%s: ended before its time",
			      lives[i].name);
	for (uint32_t i = 0; i < n; i++)
		idle(i, 31);
	for (uint32_t i = 0; i < n; i++)
		cr_assert(becomes(i, C25_FLOW_FREE), "%s: lives longer than meant", lives[i].name);
	bench_close(&b);
}

Test(packets_flows, each_kind_lives_as_long_as_meant)
{
	live_as_long_as_meant(&v4);
}

Test(packets_flows, each_kind_lives_as_long_as_meant_over_ipv6)
{
	live_as_long_as_meant(&v6);
}

/* Refused flows leave nothing: else whoever has no port left could use up the table of others. */
Test(packets_flows, refused_flows_hold_no_room)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP), gre = to_transit(&v4, IPPROTO_GRE), q = p;
	struct c25_tick tick;
	uint32_t zero = 0;

	open_mapped();
	bench_mapping(&b, "100.101.0.66", TRANSIT4, "203.0.113.8");
	while (!bench_reason(&b, C25_REASON_NO_PORT).packets) {
		p.sport++;
		overlay_in(&b, p);
	}
	cr_assert_eq(overlay_in(&b, gre).verdict, VERDICT_REDIRECT);
	gre.src = POD4;
	for (int i = 0; i < 2000; i++) {
		p.sport++;
		overlay_in(&b, p);
		overlay_in(&b, gre);
	}
	cr_assert_geq(bench_reason(&b, C25_REASON_NO_PORT).packets, 1000);
	expect_reason(&b, AMBIGUOUS, 2000);
	expect_reason(&b, TABLE_FULL, 0);
	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_tick), &zero, &tick), 0);
	cr_assert_lt(tick.high, 1024);
	q.src = "100.101.0.66";
	cr_assert_eq(overlay_in(&b, q).verdict, VERDICT_REDIRECT);
	bench_close(&b);
}

/* The host, which has no socket there, tells the server. */
Test(packets_flows, replies_to_a_flow_whose_route_left_its_uplink_are_left_to_the_host)
{
	struct packet p = to_transit(&v4, IPPROTO_TCP), r;
	struct outcome o;
	uint16_t port;

	open_mapped();
	port = goes_on(&v4, p);
	bench_sh("ip route replace 203.0.113.0/24 dev other0");
	p.tcp = ACK;
	cr_assert_eq(overlay_in(&b, p).verdict, VERDICT_REDIRECT);
	expect_reason(&b, REROUTED, 1);
	r = reply_to(&v4, p, port);
	o = uplink_in(&b, r);
	expect_outcome(&b, o, VERDICT_PASS, NO_FLOW);
	memcpy(r.to, uplink_mac, 6);
	expect_bytes(&o, r);
	bench_close(&b);
}

Test(packets_flows, a_reply_that_goes_no_further_is_answered_with_time_exceeded)
{
	const struct family *families[] = { &v4, &v6 };

	open_mapped();
	for (int i = 0; i < 2; i++) {
		const struct family *f = families[i];
		struct packet p = to_transit(f, IPPROTO_UDP), r, want;
		struct outcome o;
		struct frame in;

		r = reply_to(f, p, goes_on(f, p));
		r.ttl = 1;
		memcpy(r.from, router_mac, 6);
		memcpy(r.to, uplink_mac, 6);
		in = packet_build(r);
		o = uplink_in(&b, r);
		cr_assert_eq(o.verdict, VERDICT_REDIRECT);
		want = (struct packet){ .src = f->uplink,
					.dst = f->real,
					.proto = f->icmp,
					.type = i ? 3 : 11,
					.tos = i ? 0 : 0xc0,
					.data = in.b + 14,
					.len = in.len - 14 };
		memcpy(want.from, uplink_mac, 6);
		memcpy(want.to, router_mac, 6);
		expect_bytes(&o, want);
	}
	expect_reason(&b, TTL, 2);
	bench_close(&b);
}

/* Packets that turn a flow's state with each of them, until told to stop. */
struct turner {
	pthread_t thread;
	bool stop;
};

static void *turn(void *ctx)
{
	struct turner *t = ctx;
	struct packet syn = to_transit(&v4, IPPROTO_TCP), fin = syn;
	union context c = { .skb.ifindex = b.overlay };
	int prog = bpf_program__fd(b.skel->progs.c25_overlay_in);
	struct frame frames[2];
	uint8_t out[4096];

	fin.tcp = FIN | ACK;
	frames[0] = packet_build(syn);
	frames[1] = packet_build(fin);
	for (unsigned i = 0; !__atomic_load_n(&t->stop, __ATOMIC_RELAXED); i++) {
		LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frames[i & 1].b,
			    .data_size_in = (uint32_t)frames[i & 1].len, .data_out = out,
			    .data_size_out = sizeof(out), .ctx_in = &c, .ctx_size_in = sizeof(c));

		if (bpf_prog_test_run_opts(prog, &o))
			abort();
	}
	return NULL;
}

/* What ends a flow while packets of it are under way ends it once. */
Test(packets_flows, a_flow_ended_under_its_packets_stays_ended)
{
	struct c25_mapping_key k = { .client = addr_of(PEER4), .transit = addr_of(TRANSIT4) };
	LIBBPF_OPTS(bpf_test_run_opts, revoke, .ctx_in = &k, .ctx_size_in = sizeof(k));
	struct turner t = { .stop = false };
	uint32_t peer = PEER, held = 0, living = 0, ended = 0;
	time_t late = time(NULL) + 20; /* where both share one processor a turn of each is a race */

	open_mapped();
	bench_start(&b);
	cr_assert_eq(pthread_create(&t.thread, NULL, turn, &t), 0);
	while (ended < 3000 && time(NULL) < late) {
		cr_assert_eq(bpf_prog_test_run_opts(bpf_program__fd(b.skel->progs.c25_revoke),
						    &revoke),
			     0);
		ended += revoke.retval;
	}
	__atomic_store_n(&t.stop, true, __ATOMIC_RELAXED);
	cr_assert_eq(pthread_join(t.thread, NULL), 0);
	cr_assert_geq(ended, 100, "%u ended", ended);
	for (uint32_t slot = 0; slot < 1024; slot++) {
		uint32_t state = flow_at(slot).state;

		living += state != C25_FLOW_FREE && state != C25_FLOW_ENDED;
	}
	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_held), &peer, &held), 0);
	cr_assert_eq(held, living, "the peer holds %u flows, and %u live", held, living);
	bench_close(&b);
}

#define ROUNDS 1500
#define MOST   8000 /* rounds, where the two seldom meet */
#define LATEST 64   /* microseconds into a round, when its flows begin */
#define ENOUGH 20   /* flows made after the change: ended ones fill the table until a sweep */
#define BURST  4

/* New flows, a burst in each round, sooner or later after the change. */
static pthread_barrier_t round_begins, round_ends;
static bool last_round; /* behind `round_begins` */

static void spin(unsigned us)
{
	struct timespec begin, now;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 < us);
}

static void *begin_flows(void *ctx)
{
	struct packet p = to_transit(&v4, IPPROTO_UDP);
	union context c = { .skb.ifindex = b.overlay };
	int prog = bpf_program__fd(b.skel->progs.c25_overlay_in);
	struct frame frames[BURST];
	uint8_t out[4096];

	(void)ctx;
	for (unsigned i = 0;; i++) {
		for (int j = 0; j < BURST; j++) {
			p.sport = (uint16_t)(30000 + i * BURST + (unsigned)j);
			frames[j] = packet_build(p);
		}
		pthread_barrier_wait(&round_begins);
		if (last_round)
			return NULL;
		spin(i % LATEST);
		for (int j = 0; j < BURST; j++) {
			LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frames[j].b,
				    .data_size_in = (uint32_t)frames[j].len, .data_out = out,
				    .data_size_out = sizeof(out), .ctx_in = &c,
				    .ctx_size_in = sizeof(c));

			if (bpf_prog_test_run_opts(prog, &o))
				abort();
		}
		pthread_barrier_wait(&round_ends);
	}
}

/* A mapping gets another meaning, and its flows are ended then: none made meanwhile has the old
 * one. */
Test(packets_flows, a_flow_made_while_its_mapping_changes_has_the_new_meaning)
{
	static const char *const reals[] = { REAL4, "203.0.113.8" };
	uint32_t slots = 0;
	pthread_t t;

	open_mapped();
	bench_start(&b);
	cr_assert_eq(pthread_barrier_init(&round_begins, NULL, 2), 0);
	cr_assert_eq(pthread_barrier_init(&round_ends, NULL, 2), 0);
	cr_assert_eq(pthread_create(&t, NULL, begin_flows, NULL), 0);
	for (unsigned i = 0; i < ROUNDS || (slots <= ENOUGH && i < MOST); i++) {
		struct c25_addr real = addr_of(reals[i & 1]);

		pthread_barrier_wait(&round_begins);
		bench_mapping(&b, PEER4, TRANSIT4, reals[i & 1]);
		revoke_mapping(PEER4, TRANSIT4);
		pthread_barrier_wait(&round_ends);
		for (uint32_t slot = 0; slot < 1024; slot++) {
			struct c25_flow f = flow_at(slot);

			if (f.state == C25_FLOW_FREE || f.state == C25_FLOW_ENDED)
				continue;
			slots++;
			cr_assert(!memcmp(&f.in.src, &real, sizeof(real)),
				  "round %u: a flow goes where its mapping no longer does", i);
		}
	}
	last_round = true;
	pthread_barrier_wait(&round_begins);
	cr_assert_eq(pthread_join(t, NULL), 0);
	cr_assert_gt(slots, ENOUGH);
	bench_close(&b);
}
