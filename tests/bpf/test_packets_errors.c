/* SPDX-License-Identifier: BSD-3-Clause */
/* ICMP errors that others made: translated outside and inside, at both ends, in both directions. */
#include "packet.h"

#include "leaks.h"

SUITE(packets_errors);

static struct bench b;

struct family {
	const char *own, *peer, *magic, *transit, *real, *uplink, *router;
	uint8_t icmp, unreachable, port, expired, too_big, too_big_code, echo;
};

static const struct family v4 = {
	OWN4,         PEER4, MAGIC4, TRANSIT4, REAL4, UPLINK4, "198.51.100.1",
	IPPROTO_ICMP, 3,     3,      11,       3,     4,       8
};
static const struct family v6 = {
	OWN6,           PEER6, MAGIC6, TRANSIT6, REAL6, UPLINK6, "2001:db8:5::1",
	IPPROTO_ICMPV6, 1,     4,      3,        2,     0,       128
};
static const struct family *const families[] = { &v4, &v6 };

static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, 0 /* echo */ };

/* Tests run their cases over both families and every protocol with flows. */
#define EACH_CASE(f, proto)                                                                        \
	for (size_t i_ = 0; i_ < 6; i_++)                                                          \
		for (const struct family *f = families[i_ / 3], *once_ = f; once_; once_ = NULL)   \
			for (uint8_t proto = protos[i_ % 3] ? protos[i_ % 3] : f->icmp, done_ = 0; \
			     !done_; done_ = 1)

static struct packet plain(const struct family *f, const char *src, const char *dst, uint8_t proto,
			   uint16_t sport, uint16_t dport)
{
	struct packet p = {
		.src = src, .dst = dst, .proto = proto, .sport = sport, .dport = dport, .len = 61
	};

	if (proto == f->icmp) {
		p.type = f->echo;
		p.dport = 1;
	}
	if (proto == IPPROTO_TCP)
		p.tcp = 2;
	return p;
}

/* An error that quotes all of `q`; `keep` holds its bytes. */
static struct packet error_about(const struct family *f, struct packet q, struct frame *keep,
				 const char *src, const char *dst, uint8_t type, uint8_t code)
{
	*keep = packet_build(q);
	return (struct packet){ .src = src,
				.dst = dst,
				.proto = f->icmp,
				.type = type,
				.code = code,
				.info = 1400,
				.data = keep->b + 14,
				.len = keep->len - 14 };
}

static void client_opens(void)
{
	bench_open(&b, false);
	bench_client(&b, MAGIC4, TRANSIT4, 0);
	bench_client(&b, MAGIC6, TRANSIT6, 0);
}

Test(packets_errors, client_takes_the_real_addresses_error_as_from_magic)
{
	struct frame had, want;

	client_opens();
	EACH_CASE(f, proto)
	{
		struct outcome o = overlay_in(
			&b, error_about(f, plain(f, f->own, f->transit, proto, 4000, 80), &had,
					f->transit, f->own, f->unreachable, f->port));

		cr_assert_eq(o.verdict, VERDICT_PASS);
		expect_bytes(&o, error_about(f, plain(f, f->own, f->magic, proto, 4000, 80), &want,
					     f->magic, f->own, f->unreachable, f->port));
	}
	expect_reason(&b, CLIENT_BACK, 6);
	bench_close(&b);
}

Test(packets_errors, client_takes_errors_of_the_connector_and_of_routers_behind_it)
{
	struct frame had, want;

	client_opens();
	EACH_CASE(f, proto)
	{
		const char *from[] = { f->peer, f->router };

		for (int i = 0; i < 2; i++) {
			struct outcome o = overlay_in(
				&b,
				error_about(f, plain(f, f->own, f->transit, proto, 4000, 80), &had,
					    from[i], f->own, f->too_big, f->too_big_code));

			cr_assert_eq(o.verdict, VERDICT_PASS);
			expect_bytes(&o, error_about(f, plain(f, f->own, f->magic, proto, 4000, 80),
						     &want, from[i], f->own, f->too_big,
						     f->too_big_code));
		}
	}
	expect_reason(&b, CLIENT_BACK, 12);
	bench_close(&b);
}

Test(packets_errors, client_sends_its_own_error_to_transit)
{
	struct frame had, want;

	client_opens();
	EACH_CASE(f, proto)
	{
		struct outcome o = overlay_out(
			&b, error_about(f, plain(f, f->magic, f->own, proto, 80, 4000), &had,
					f->own, f->magic, f->unreachable, f->port));

		cr_assert_eq(o.verdict, VERDICT_REDIRECT);
		expect_bytes(&o, error_about(f, plain(f, f->transit, f->own, proto, 80, 4000),
					     &want, f->own, f->transit, f->unreachable, f->port));
	}
	expect_reason(&b, CLIENT_OUT, 6);
	bench_close(&b);
}

Test(packets_errors, client_drops_an_error_that_quotes_nothing_of_ours)
{
	struct frame had;
	struct outcome o;

	client_opens();
	o = overlay_in(&b, error_about(&v4, plain(&v4, OWN4, "203.0.113.1", IPPROTO_UDP, 1, 2),
				       &had, TRANSIT4, OWN4, 3, 3));
	expect_outcome(&b, o, VERDICT_DROP, ICMP_NO_FLOW);
	bench_close(&b);
}

Test(packets_errors, a_quote_cut_short_before_its_checksum_is_translated)
{
	struct frame had, want;
	struct packet p, e;
	struct outcome o;

	client_opens();
	p = error_about(&v4, plain(&v4, OWN4, TRANSIT4, IPPROTO_TCP, 4000, 80), &had, TRANSIT4,
			OWN4, 3, 3);
	p.len = 28;
	o = overlay_in(&b, p);
	cr_assert_eq(o.verdict, VERDICT_PASS);
	e = error_about(&v4, plain(&v4, OWN4, MAGIC4, IPPROTO_TCP, 4000, 80), &want, MAGIC4, OWN4,
			3, 3);
	e.len = 28;
	expect_bytes(&o, e);
	p.len = 24;
	o = overlay_in(&b, p);
	expect_outcome(&b, o, VERDICT_DROP, ICMP_NO_FLOW);
	bench_close(&b);
}

Test(packets_errors, a_quote_of_a_protocol_without_ports_may_be_shorter_than_theirs)
{
	struct frame had, want;

	client_opens();
	for (int i = 0; i < 2; i++) {
		const struct family *f = families[i];
		struct packet p = plain(f, f->own, f->transit, IPPROTO_GRE, 0, 0), q = p;
		struct outcome o;

		p.len = q.len = 4;
		q.dst = f->magic;
		o = overlay_in(&b, error_about(f, p, &had, f->peer, f->own, f->unreachable, 0));
		cr_assert_eq(o.verdict, VERDICT_PASS);
		expect_bytes(&o, error_about(f, q, &want, f->peer, f->own, f->unreachable, 0));
	}
	expect_reason(&b, CLIENT_BACK, 2);
	bench_close(&b);
}

/* A flow at the connector; returns its port. */
static uint16_t flow_opens(const struct family *f, uint8_t proto)
{
	struct outcome o = overlay_in(&b, plain(f, f->peer, f->transit, proto, 4000, 80));
	const uint8_t *l4 = o.frame.b + 14 + (f == &v6 ? 40 : 20) + (proto == f->icmp ? 4 : 0);

	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	return (uint16_t)(l4[0] << 8 | l4[1]);
}

static void connector_opens(void)
{
	bench_open(&b, false);
	bench_mapping(&b, PEER4, TRANSIT4, REAL4);
	bench_mapping(&b, PEER6, TRANSIT6, REAL6);
}

static void error_comes_back(const struct family *f, uint8_t proto, const char *from,
			     const char *shown, uint8_t type, uint8_t code)
{
	uint16_t port = flow_opens(f, proto);
	struct frame had, want;
	struct packet e;
	struct outcome o =
		uplink_in(&b, error_about(f, plain(f, f->uplink, f->real, proto, port, 80), &had,
					  from, f->uplink, type, code));

	cr_assert_eq(o.verdict, VERDICT_REDIRECT);
	e = error_about(f, plain(f, f->peer, f->transit, proto, 4000, 80), &want, shown, f->peer,
			type, code);
	e.ttl = 63;
	memcpy(e.to, uplink_mac, 6);
	expect_bytes(&o, e);
}

Test(packets_errors, connector_returns_the_real_addresses_error_as_from_transit)
{
	connector_opens();
	EACH_CASE(f, proto)
	error_comes_back(f, proto, f->real, f->transit, f->unreachable, f->port);
	expect_reason(&b, CONNECTOR_BACK, 6);
	bench_close(&b);
}

Test(packets_errors, connector_returns_a_routers_time_exceeded_as_the_routers)
{
	connector_opens();
	EACH_CASE(f, proto)
	error_comes_back(f, proto, f->router, f->router, f->expired, 0);
	bench_close(&b);
}

Test(packets_errors, connector_returns_a_routers_too_big_as_its_own)
{
	connector_opens();
	EACH_CASE(f, proto)
	error_comes_back(f, proto, f->router, f->own, f->too_big, f->too_big_code);
	bench_close(&b);
}

/* WireGuard would take nothing of a router's out of the tunnel. */
Test(packets_errors, connector_returns_a_routers_error_as_its_own_to_a_device_without_ethernet)
{
	struct c25_overlay o;
	uint32_t zero = 0;

	connector_opens();
	cr_assert_eq(bpf_map_lookup_elem(bpf_map__fd(b.skel->maps.c25_overlay), &zero, &o), 0);
	EACH_CASE(f, proto)
	{
		o.l2 = 1;
		put(b.skel->maps.c25_overlay, &zero, &o);
		flow_opens(f, proto);
		o.l2 = 0;
		put(b.skel->maps.c25_overlay, &zero, &o);
		error_comes_back(f, proto, f->router, f->own, f->expired, 0);
	}
	bench_close(&b);
}

Test(packets_errors, connector_leaves_errors_of_no_flow_to_the_host)
{
	struct frame had;
	struct outcome o;

	connector_opens();
	o = uplink_in(&b, error_about(&v4, plain(&v4, UPLINK4, REAL4, IPPROTO_UDP, 9, 80), &had,
				      REAL4, UPLINK4, 3, 3));
	expect_outcome(&b, o, VERDICT_PASS, PASS);
	o = uplink_in(&b, error_about(&v4, plain(&v4, UPLINK4, REAL4, IPPROTO_UDP, NAT_LO, 80),
				      &had, REAL4, UPLINK4, 3, 3));
	expect_outcome(&b, o, VERDICT_PASS, NO_FLOW);
	bench_close(&b);
}

Test(packets_errors, connector_sends_a_clients_error_on_to_the_real_address)
{
	struct frame had, want;

	connector_opens();
	EACH_CASE(f, proto)
	{
		uint16_t port = flow_opens(f, proto);
		bool echo = proto == f->icmp;
		struct packet e;
		struct outcome o = overlay_in(
			&b,
			error_about(f, plain(f, f->transit, f->peer, proto, echo ? 4000 : 80, 4000),
				    &had, f->peer, f->transit, f->unreachable, f->port));

		cr_assert_eq(o.verdict, VERDICT_REDIRECT);
		e = error_about(f, plain(f, f->real, f->uplink, proto, echo ? port : 80, port),
				&want, f->uplink, f->real, f->unreachable, f->port);
		e.ttl = 63;
		memcpy(e.to, router_mac, 6);
		memcpy(e.from, uplink_mac, 6);
		expect_bytes(&o, e);
	}
	bench_close(&b);
}

Test(packets_errors, connector_drops_a_clients_error_of_no_flow)
{
	struct frame had;
	struct outcome o;

	connector_opens();
	o = overlay_in(&b, error_about(&v4, plain(&v4, TRANSIT4, PEER4, IPPROTO_UDP, 80, 4000),
				       &had, PEER4, TRANSIT4, 3, 3));
	expect_outcome(&b, o, VERDICT_DROP, ICMP_NO_FLOW);
	bench_close(&b);
}
