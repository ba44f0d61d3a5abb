/* SPDX-License-Identifier: BSD-3-Clause */
/* DNS on the pods' devices, with no daemon: what is let go, and what is refused where it stands. */
#include "packet.h"

#include "dns_answers.h"
#include "dns_name.h"
#include "dns_names.h"
#include "domains.h"
#include "leaks.h"

SUITE(packets_dns);

#define SERVER4 "192.0.2.53"
#define SERVER6 "2001:db8:2::53"
#define POD6    "fd00:244:1::5"

static const uint8_t pod_mac[6] = { 2, 0, 0, 0, 0, 7 };
static const uint8_t host_mac[6] = { 2, 0, 0, 0, 0, 8 };

static struct bench b;

static struct netmap *netmap_of(const char *domains)
{
	_cleanup_free_ char *text = NULL;
	struct netmap_fault fault = { 0 };
	struct netmap *nm = NULL;

	cr_assert_gt(asprintf(&text,
			      "{\"ipPools\":{\"v4MagicIPPool\":[\"198.18.0.0/16\"],"
			      "\"v4TransitIPPool\":[\"169.254.64.0/18\"]},"
			      "\"nodes\":[{\"id\":\"me\",\"addresses\":[\"100.101.0.1\"],"
			      "\"connector\":true},"
			      "{\"id\":\"exit\",\"addresses\":[\"100.101.0.9\"],"
			      "\"connector\":true}],"
			      "\"apps\":[{\"name\":\"web\",\"clients\":[\"*\"],"
			      "\"connectors\":[\"exit\"],\"domains\":[%s]},"
			      "{\"name\":\"own\",\"clients\":[\"*\"],\"connectors\":[\"me\"],"
			      "\"domains\":[\"*.own.example.net\",\"self.example.com\"]}]}",
			      domains),
		     0);
	cr_assert_eq(netmap_parse(&nm, text, strlen(text), "me", &fault), 0, "%s: %s", fault.path,
		     fault.text);
	return nm;
}

static struct maps bench_maps(void)
{
	struct maps m;

	for (int id = 0; id < MAP_COUNT; id++)
		m.fd[id] = -1;
	m.fd[MAP_META] = bpf_map__fd(b.skel->maps.c25_meta);
	m.fd[MAP_NAMES] = bpf_map__fd(b.skel->maps.c25_names);
	m.fd[MAP_ENDS] = bpf_map__fd(b.skel->maps.c25_ends);
	m.fd[MAP_DNS_TO] = bpf_map__fd(b.skel->maps.c25_dns_to);
	return m;
}

static void sync_names(const char *domains)
{
	_cleanup_netmap_ struct netmap *nm = netmap_of(domains);
	struct maps m = bench_maps();

	cr_assert_eq(dns_names_sync(&m, nm), 0);
}

/* Every name is looked for. */
static void forget_ends(void)
{
	static const struct c25_ends none;
	uint32_t zero = 0;

	put(b.skel->maps.c25_ends, &zero, &none);
}

static void open_with(const char *domains)
{
	struct c25_meta meta = { .layout = C25_LAYOUT, .cookie = COOKIE };
	uint32_t zero = 0;
	struct maps m;

	bench_open(&b, false);
	put(b.skel->maps.c25_meta, &zero, &meta);
	m = bench_maps();
	maps_dns_to_put(&m, &(struct prefix){ addr_of(SERVER4), 128 }, C25_DNS_TO_TAKE);
	maps_dns_to_put(&m, &(struct prefix){ addr_of(SERVER6), 128 }, C25_DNS_TO_TAKE);
	sync_names(domains);
}

#define OPEN() open_with("\"example.com\",\"*.example.net\",\"deep.own.example.net\"")

struct message {
	uint8_t b[1500];
	size_t len;
	size_t question; /* header and question */
};

static struct message message_of(const char *name, size_t extra)
{
	struct message m = { .b = { 0x12, 0x34, 0x01, 0x10, 0, 1 } };
	int n = dns_name_wire(m.b + 12, name);

	cr_assert_gt(n, 0, "%s", name);
	m.b[12 + n + 1] = 1; /* A */
	m.b[12 + n + 3] = 1; /* IN */
	m.question = m.len = 12 + (size_t)n + 4;
	if (extra) {
		m.b[11] = 1;
		for (size_t i = 0; i < extra; i++)
			m.b[m.len++] = (uint8_t)(0xa1 + 7 * i);
	}
	return m;
}

/* dns_name_wire() gives lower case; the case of a question's letters is put back. */
static struct message message_as_written(const char *name)
{
	struct message m = message_of(name, 0);

	for (size_t i = 0; name[i]; i++)
		if (name[i] != '.')
			m.b[13 + i] = (uint8_t)name[i];
	return m;
}

static struct packet question(const struct message *m, bool v6)
{
	struct packet p = { .src = v6 ? POD6 : POD4,
			    .dst = v6 ? SERVER6 : SERVER4,
			    .proto = IPPROTO_UDP,
			    .sport = 40001,
			    .dport = 53,
			    .ttl = 61,
			    .data = m->b,
			    .len = m->len };

	memcpy(p.to, host_mac, 6);
	memcpy(p.from, pod_mac, 6);
	return p;
}

static struct packet refusal(const struct message *m, struct message *keep, bool v6)
{
	struct packet p = question(m, v6);

	*keep = *m;
	keep->b[2] = 0x81;
	keep->b[3] = 0x95; /* RA, CD as asked, REFUSED */
	keep->b[11] = 0;
	p.dst = v6 ? POD6 : POD4;
	p.src = v6 ? SERVER6 : SERVER4;
	p.sport = 53;
	p.dport = 40001;
	p.ttl = 64;
	p.data = keep->b;
	p.len = m->question;
	memcpy(p.to, pod_mac, 6);
	memcpy(p.from, host_mac, 6);
	return p;
}

static struct outcome dns_in(struct packet p)
{
	return bench_run(&b, b.skel->progs.c25_dns_in, b.other, p);
}

static bool taken(const char *name)
{
	struct message m = message_as_written(name);

	return dns_in(question(&m, false)).verdict != VERDICT_PASS;
}

Test(packets_dns, a_name_that_is_not_configured_goes_on_as_it_came)
{
	static const char *const names[] = { "example.org",
					     "www.example.com",
					     "notexample.com",
					     "xample.com",
					     "com",
					     "anexample.net",
					     "example.com.evil.org",
					     "net",
					     "self.example.com" };
	uint64_t n = 0;

	OPEN();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct message m = message_of(names[i], i & 1 ? 11 : 0);

		for (int v6 = 0; v6 < 2; v6++) {
			struct outcome o = dns_in(question(&m, v6));

			cr_assert_eq(o.verdict, VERDICT_PASS, "%s", names[i]);
			expect_reason(&b, DNS_OTHER, ++n);
			expect_bytes(&o, question(&m, v6));
		}
	}
	bench_close(&b);
}

Test(packets_dns, a_configured_name_is_refused_where_it_stands)
{
	static const char *const names[] = { "example.com", "a.example.net", "ab.c.example.net",
					     "example.net" };
	static const size_t extras[] = { 0, 11, 12, 23, 128, 511, 512 };
	uint64_t n = 0;

	OPEN();
	for (size_t i = 0; i < ARRAY_SIZE(names) * ARRAY_SIZE(extras) * 3; i++) {
		struct message m = message_of(names[i / 3 % ARRAY_SIZE(names)],
					      extras[i / 3 / ARRAY_SIZE(names)]),
			       keep;
		struct packet p = question(&m, i % 3 == 1), want = refusal(&m, &keep, i % 3 == 1);
		struct outcome o;

		p.no_csum = want.no_csum = i % 3 == 2;
		o = dns_in(p);
		cr_assert_eq(o.verdict, VERDICT_REDIRECT);
		expect_reason(&b, DNS_REFUSED, ++n);
		expect_bytes(&o, want);
	}
	bench_close(&b);
}

Test(packets_dns, what_stands_behind_the_datagram_goes)
{
	OPEN();
	struct message m = message_of("example.com", 0), keep;

	for (int v6 = 0; v6 < 2; v6++) {
		struct packet p = question(&m, v6);
		struct outcome o;

		p.slack = 9;
		p.len += 9;
		o = dns_in(p);
		cr_assert_eq(o.verdict, VERDICT_REDIRECT);
		expect_bytes(&o, refusal(&m, &keep, v6));
	}
	bench_close(&b);
}

Test(packets_dns, more_than_a_query_ever_holds_is_dropped)
{
	OPEN();
	struct message m = message_of("example.com", 513);
	struct outcome o = dns_in(question(&m, false));

	expect_outcome(&b, o, VERDICT_DROP, DNS_CLOSED);
	bench_close(&b);
}

Test(packets_dns, names_are_compared_without_case)
{
	OPEN();
	cr_assert(taken("ExAmPlE.cOm"));
	cr_assert(taken("WWW.EXAMPLE.NET"));
	cr_assert_not(taken("EXAMPLE.ORG"));
	/* Bytes that differ from letters in the same bit are not letters. */
	sync_names("\"a-b.example.com\"");
	cr_assert(taken("A-B.example.com"));
	cr_assert_not(taken("A\rB.example.com"));
	bench_close(&b);
}

Test(packets_dns, the_more_exact_domain_decides)
{
	OPEN();
	cr_assert(taken("x.example.net"));
	cr_assert_not(taken("own.example.net"));
	cr_assert_not(taken("y.own.example.net"));
	cr_assert(taken("deep.own.example.net"));
	cr_assert_not(taken("more.deep.own.example.net"));
	bench_close(&b);
}

Test(packets_dns, the_longest_names_are_compared_whole)
{
	char label[64], name[256], other[256], json[300];

	memset(label, 'a', 63);
	label[63] = 0;
	snprintf(name, sizeof(name), "%s.%s.%s.%.61s", label, label, label, label);
	snprintf(json, sizeof(json), "\"%s\"", name);
	open_with(json);
	cr_assert(taken(name));
	for (size_t i = 0; name[i]; i++) {
		if (name[i] == '.')
			continue;
		strcpy(other, name);
		other[i] = 'b';
		cr_assert_not(taken(other), "%zu", i);
	}
	bench_close(&b);
}

Test(packets_dns, a_name_with_the_hash_of_another_goes_on)
{
	struct c25_name record = { .flags = C25_NAME_EXACT | C25_NAME_WILD };
	struct message m = message_of("evil.example", 0);
	uint64_t hash;

	OPEN();
	sync_names("\"a.example\"");
	record.len = (uint32_t)dns_name_wire(record.wire, "good.example") - 1;
	record.wire[record.len] = 0;
	hash = dns_name_key(COOKIE, m.b + 12, record.len);
	put(b.skel->maps.c25_names, &hash, &record);
	forget_ends();
	cr_assert_not(taken("evil.example"));
	cr_assert_not(taken("x.evil.example"));
	bench_close(&b);
}

Test(packets_dns, a_name_that_ends_as_no_domain_does_is_not_looked_for)
{
	struct c25_name record = { .flags = C25_NAME_EXACT };
	uint64_t hash;

	OPEN();
	sync_names("\"a.example.com\"");
	record.len = (uint32_t)dns_name_wire(record.wire, "other.com") - 1;
	record.wire[record.len] = 0;
	hash = dns_name_key(COOKIE, record.wire, record.len);
	put(b.skel->maps.c25_names, &hash, &record);
	cr_assert_not(taken("other.com"));
	forget_ends();
	cr_assert(taken("other.com"));
	bench_close(&b);
}

static void goes_on(const struct message *m, const char *what)
{
	struct outcome o = dns_in(question(m, false));

	cr_assert_eq(o.verdict, VERDICT_PASS, "%s", what);
	expect_bytes(&o, question(m, false));
}

Test(packets_dns, what_is_no_plain_question_goes_on)
{
	OPEN();
	struct message m = message_of("example.com", 0);

	m.b[2] |= 0x80;
	goes_on(&m, "an answer");
	m = message_of("example.com", 0);
	m.b[2] |= 0x28;
	goes_on(&m, "an update");
	m = message_of("example.com", 0);
	m.b[5] = 0;
	goes_on(&m, "no question");
	m.b[5] = 2;
	goes_on(&m, "two questions");
	m.b[4] = 1;
	m.b[5] = 1;
	goes_on(&m, "257 questions");
	m = message_of("example.com", 0);
	m.b[12] = 0xc0;
	goes_on(&m, "a pointer");
	m.b[12] = 64;
	goes_on(&m, "a label that is too long");
	m.b[12] = 0;
	goes_on(&m, "the root");
	m = message_of("example.com", 0);
	for (size_t len = 0; len < m.question; len++) {
		m.len = len;
		goes_on(&m, "cut short");
	}
	bench_close(&b);
}

Test(packets_dns, names_that_are_too_long_go_on)
{
	struct message m = { .b = { 0x12, 0x34, 1, 0, 0, 1 }, .len = 400 };

	open_with("\"*.example.net\"");
	for (size_t i = 12; i < 350; i += 2) {
		m.b[i] = 1;
		m.b[i + 1] = 'a';
	}
	dns_name_wire(m.b + 350, "example.net");
	goes_on(&m, "over 255 bytes");
	bench_close(&b);
}

Test(packets_dns, only_dns_to_the_servers_meant_is_looked_at)
{
	OPEN();
	struct message m = message_of("example.com", 0);
	struct packet p = question(&m, false);
	uint64_t n = 0;

	p.dport = 5353;
	cr_assert_eq(dns_in(p).verdict, VERDICT_PASS);
	expect_reason(&b, PASS, ++n);
	p = question(&m, false);
	p.dst = "192.0.2.54";
	cr_assert_eq(dns_in(p).verdict, VERDICT_PASS);
	expect_reason(&b, PASS, ++n);
	p = question(&m, false);
	p.frag = 0x2000;
	cr_assert_eq(dns_in(p).verdict, VERDICT_PASS);
	expect_reason(&b, PASS, ++n);
	p.frag = 0x0001;
	cr_assert_eq(dns_in(p).verdict, VERDICT_PASS);
	expect_reason(&b, PASS, ++n);
	p = question(&m, false);
	p.proto = IPPROTO_SCTP;
	cr_assert_eq(dns_in(p).verdict, VERDICT_PASS);
	expect_reason(&b, PASS, ++n);
	bench_close(&b);
}

Test(packets_dns, a_port_of_a_bridge_refuses_and_an_unnamed_bridge_lets_go)
{
	struct c25_dns_port port = { .flags = C25_PORT_MARKED };

	OPEN();
	put(b.skel->maps.c25_dns_ports, &b.other, &port);
	cr_assert_not(taken("example.com"));
	port.flags = C25_PORT_BRIDGED;
	put(b.skel->maps.c25_dns_ports, &b.other, &port);
	cr_assert(taken("example.com"));
	bench_close(&b);
}

static bool taken_towards(const uint8_t mac[6])
{
	struct message m = message_of("example.com", 0);
	struct packet p = question(&m, false);

	memcpy(p.to, mac, 6);
	return dns_in(p).verdict != VERDICT_PASS;
}

Test(packets_dns, what_a_device_overhears_is_not_its_own_to_take)
{
	struct c25_dns_port port = { .flags = C25_PORT_BRIDGED };

	OPEN();
	cr_assert(taken_towards(host_mac));
	cr_assert_not(taken_towards(router_mac));
	/* A port is between its hosts and their gateway. */
	memcpy(port.mac, peer_mac, 6);
	put(b.skel->maps.c25_dns_ports, &b.other, &port);
	cr_assert(taken_towards(router_mac));
	port.flags |= C25_PORT_UPWARDS;
	put(b.skel->maps.c25_dns_ports, &b.other, &port);
	cr_assert_not(taken_towards(router_mac));
	cr_assert_not(taken_towards(host_mac));
	cr_assert(taken_towards(peer_mac));
	for (int i = 0; i < 6; i++) {
		uint8_t near[6];

		memcpy(near, peer_mac, 6);
		near[i] ^= 0x40;
		cr_assert_not(taken_towards(near), "%d", i);
	}
	bench_close(&b);
}

/* The reset that ends the connection on which `p` came. */
static struct packet reset_of(const struct packet *p)
{
	struct packet r = { .src = p->dst,
			    .dst = p->src,
			    .proto = IPPROTO_TCP,
			    .sport = p->dport,
			    .dport = p->sport,
			    .tcp = 4,
			    .seq = p->ack,
			    .frag = strchr(p->src, ':') ? 0 : 0x4000 };

	memcpy(r.to, p->from, 6);
	memcpy(r.from, p->to, 6);
	return r;
}

Test(packets_dns, without_a_daemon_tcp_goes_on_but_for_configured_names)
{
	static const char *const names[] = { "example.org", "example.com" };
	uint8_t segment[300];

	OPEN();
	/* Families, then whether the question's length came in a segment before. */
	for (int i = 0; i < 8; i++) {
		struct message m = message_of(names[i / 4], 11);
		struct packet p = question(&m, i % 2);
		size_t skip = i / 2 % 2 ? 2 : 0;
		struct outcome o;

		segment[0] = 0;
		segment[1] = (uint8_t)m.len;
		memcpy(segment + 2, m.b, m.len);
		p.proto = IPPROTO_TCP;
		p.tcp = 2;
		p.len = 0;
		o = dns_in(p);
		cr_assert_eq(o.verdict, VERDICT_PASS);
		expect_bytes(&o, p);
		p.tcp = 0x18;
		p.seq = 1001;
		p.ack = 77;
		p.data = segment + skip;
		p.len = m.len + 2 - skip;
		o = dns_in(p);
		cr_assert_eq(o.verdict, i < 4 ? VERDICT_PASS : VERDICT_REDIRECT);
		expect_bytes(&o, i < 4 ? p : reset_of(&p));
	}
	expect_reason(&b, DNS_TCP_OTHER, 12);
	expect_reason(&b, DNS_REFUSED, 4);
	bench_close(&b);
}

Test(packets_dns, a_new_netmap_takes_old_names_out)
{
	OPEN();
	cr_assert(taken("example.com"));
	sync_names("\"example.org\",\"example.com\"");
	cr_assert(taken("example.org"));
	cr_assert(taken("example.com"));
	cr_assert_not(taken("a.example.net"));
	sync_names("\"*.com\"");
	cr_assert(taken("www.example.com"));
	cr_assert_not(taken("example.org"));
	cr_assert_not(taken("self.example.com"));
	bench_close(&b);
}

/* Answers of the kernel. */

static void set_clock(uint64_t now)
{
	struct c25_tick t = { .now = now };
	uint32_t zero = 0;

	put(b.skel->maps.c25_tick, &zero, &t);
}

/* As if the daemon had answered so: `n` magic addresses, each of a living mapping. */
static void note(const char *name, uint16_t type, size_t n, bool v6_server, uint32_t ttl)
{
	struct dns_plan *plan = calloc(1, sizeof(*plan));
	struct dns_question q = { .type = type, .class_ = 1 };
	struct dns_answers a = { .cookie = COOKIE };
	struct c25_addr server = addr_of(v6_server ? SERVER6 : SERVER4);
	struct maps m = bench_maps();

	m.fd[MAP_ANSWERS] = bpf_map__fd(b.skel->maps.c25_answers);
	a.maps = &m;
	q.name_len = (uint8_t)dns_name_wire(q.name, name);
	plan->action = DNS_PLAN_REWRITE;
	plan->n_addrs = n;
	for (size_t i = 0; i < n; i++) {
		struct dns_plan_addr *p = &plan->addrs[i];

		p->magic = addr_of(type == DNS_TYPE_A ? MAGIC4 : MAGIC6);
		p->magic.b[14] = (uint8_t)i;
		p->state = DNS_ADDR_GRANTED;
		p->ttl = ttl + (uint32_t)i;
		put(b.skel->maps.c25_magic, &p->magic, &(struct c25_magic){ .peer = PEER });
	}
	dns_answers_note(&a, &server, &q, plan, DNS_RA | DNS_AA, 1000);
	free(plan);
}

static struct message ask_type(const char *name, uint16_t type, size_t edns)
{
	struct message m = message_of(name, edns);

	m.b[m.question - 3] = (uint8_t)type;
	if (edns) {
		memset(m.b + m.question, 0, 11);
		m.b[m.question + 2] = DNS_TYPE_OPT;
		m.b[m.question + 3] = 0x10;
		m.b[m.question + 7] = 0x80;
		m.b[m.question + 10] = (uint8_t)(edns - 11);
	}
	return m;
}

static struct packet answer_of(const struct message *m, struct message *out, uint16_t type,
			       size_t n, bool edns, uint32_t ttl, bool v6)
{
	struct packet p = refusal(m, out, v6);

	out->b[2] = 0x85;
	out->b[3] = 0x90;
	out->b[7] = (uint8_t)n;
	out->len = m->question;
	for (size_t i = 0; i < n; i++) {
		struct c25_addr magic = addr_of(type == DNS_TYPE_A ? MAGIC4 : MAGIC6);
		size_t len = type == DNS_TYPE_A ? 4 : 16;
		uint8_t *r = out->b + out->len;

		magic.b[14] = (uint8_t)i;
		memset(r, 0, 12);
		r[0] = 0xc0;
		r[1] = 12;
		r[3] = (uint8_t)type;
		r[5] = 1;
		r[8] = (uint8_t)(ttl >> 8);
		r[9] = (uint8_t)ttl;
		r[11] = (uint8_t)len;
		memcpy(r + 12, magic.b + 16 - len, len);
		out->len += 12 + len;
	}
	if (edns) {
		static const uint8_t opt[11] = { 0, 0, 41, 1232 >> 8, 1232 & 255, 0, 0, 0x80 };

		out->b[11] = 1;
		memcpy(out->b + out->len, opt, 11);
		out->len += 11;
	}
	p.len = out->len;
	return p;
}

Test(packets_dns, leased_names_are_answered_where_they_stand)
{
	static const char *const names[] = { "example.com", "a.example.net", "ab.example.net" };
	static const size_t edns[] = { 0, 11, 12, 23, 64 };
	uint64_t counted = 0;

	OPEN();
	set_clock(1100);
	for (size_t i = 0; i < 3 * 5 * 8 * 4; i++) {
		uint16_t type = i & 1 ? DNS_TYPE_AAAA : DNS_TYPE_A;
		bool v6 = i & 2;
		size_t n = 1 + i / 4 % 8, extra = edns[i / 32 % 5];
		const char *name = names[i / 160];
		struct message m = ask_type(name, type, extra), keep;
		struct packet p = question(&m, v6), want;
		struct outcome o;

		note(name, type, n, v6, 300);
		want = answer_of(&m, &keep, type, n, extra, 200, v6);
		p.no_csum = want.no_csum = !v6 && i & 4;
		o = dns_in(p);
		cr_assert_eq(o.verdict, VERDICT_REDIRECT);
		expect_reason(&b, DNS_ANSWERED, ++counted);
		expect_bytes(&o, want);
	}
	bench_close(&b);
}

static bool is_answered(const struct message *m)
{
	uint64_t before = bench_reason(&b, C25_REASON_DNS_ANSWERED).packets +
			  bench_reason(&b, C25_REASON_DNS_STALE).packets;

	dns_in(question(m, false));
	return bench_reason(&b, C25_REASON_DNS_ANSWERED).packets +
		       bench_reason(&b, C25_REASON_DNS_STALE).packets >
	       before;
}

Test(packets_dns, the_case_of_a_question_is_kept)
{
	struct message m = message_as_written("eXamPle.COM"), keep;
	struct packet want;
	struct outcome o;

	OPEN();
	set_clock(1000);
	note("example.com", DNS_TYPE_A, 1, false, 300);
	o = dns_in(question(&m, false));
	want = answer_of(&m, &keep, DNS_TYPE_A, 1, false, 300, false);
	expect_bytes(&o, want);
	bench_close(&b);
}

Test(packets_dns, an_answer_ends_after_its_time_and_the_grace)
{
	struct message m = ask_type("example.com", DNS_TYPE_A, 0), keep;
	struct packet want = answer_of(&m, &keep, DNS_TYPE_A, 2, false, C25_ANSWER_STALE, false);
	struct outcome o;

	OPEN();
	note("example.com", DNS_TYPE_A, 2, false, 300);
	set_clock(1299);
	cr_assert(is_answered(&m));
	expect_reason(&b, DNS_ANSWERED, 1);
	set_clock(1300);
	o = dns_in(question(&m, false));
	expect_reason(&b, DNS_STALE, 1);
	expect_bytes(&o, want);
	set_clock(1299 + C25_ANSWER_GRACE);
	cr_assert(is_answered(&m));
	set_clock(1300 + C25_ANSWER_GRACE);
	cr_assert_not(is_answered(&m));
	expect_reason(&b, DNS_REFUSED, 1);
	bench_close(&b);
}

Test(packets_dns, an_answer_is_given_only_while_each_address_leads_somewhere)
{
	struct message m = ask_type("example.com", DNS_TYPE_A, 0);
	struct c25_addr last = addr_of(MAGIC4);
	uint32_t peer = PEER;

	OPEN();
	set_clock(1000);
	note("example.com", DNS_TYPE_A, 8, false, 300);
	cr_assert(is_answered(&m));
	put(b.skel->maps.c25_down, &peer, &peer);
	cr_assert_not(is_answered(&m));
	bpf_map_delete_elem(bpf_map__fd(b.skel->maps.c25_down), &peer);
	cr_assert(is_answered(&m));
	last.b[14] = 7;
	put(b.skel->maps.c25_magic, &last, &(struct c25_magic){ .flags = C25_MAGIC_DEAD });
	cr_assert_not(is_answered(&m));
	bpf_map_delete_elem(bpf_map__fd(b.skel->maps.c25_magic), &last);
	cr_assert_not(is_answered(&m));
	bench_close(&b);
}

Test(packets_dns, what_is_asked_otherwise_is_not_answered)
{
	struct message m;

	OPEN();
	set_clock(1000);
	note("example.com", DNS_TYPE_A, 1, false, 300);
	m = ask_type("example.com", DNS_TYPE_A, 11);
	cr_assert(is_answered(&m));
	m.b[m.question + 6] = 1;
	cr_assert_not(is_answered(&m), "EDNS of another version");
	m = ask_type("example.com", DNS_TYPE_A, 11);
	m.b[m.question + 2] = 250;
	cr_assert_not(is_answered(&m), "TSIG");
	m = ask_type("example.com", DNS_TYPE_A, 11);
	m.b[m.question + 10] = 1;
	cr_assert_not(is_answered(&m), "an OPT cut short");
	m = ask_type("example.com", DNS_TYPE_A, 11);
	m.b[11] = 2;
	cr_assert_not(is_answered(&m), "two records more");
	m = ask_type("example.com", DNS_TYPE_A, 11);
	m.b[11] = 0;
	cr_assert_not(is_answered(&m), "bytes of no record");
	m = ask_type("example.com", DNS_TYPE_AAAA, 0);
	cr_assert_not(is_answered(&m), "another type");
	m = ask_type("example.com", DNS_TYPE_A, 0);
	m.b[m.question - 1] = 3;
	cr_assert_not(is_answered(&m), "another class");
	m = ask_type("a.example.net", DNS_TYPE_A, 0);
	cr_assert_not(is_answered(&m), "another name");
	m = ask_type("example.com", DNS_TYPE_A, 0);
	note("example.com", DNS_TYPE_A, 1, true, 300);
	cr_assert_not(is_answered(&m), "another server");
	note("example.com", DNS_TYPE_A, 1, false, 0);
	cr_assert_not(is_answered(&m), "an answer for no time");
	note("example.com", DNS_TYPE_A, 9, false, 300);
	cr_assert_not(is_answered(&m), "nine addresses");
	note("example.com", DNS_TYPE_A, 8, false, 300);
	cr_assert(is_answered(&m));
	bench_close(&b);
}

Test(packets_dns, with_a_daemon_one_question_a_second_renews_an_ending_answer)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct message m = ask_type("example.com", DNS_TYPE_A, 0);
	uint32_t key = C25_SOCK_UDP4, value = (uint32_t)fd;

	OPEN();
	cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	put(b.skel->maps.c25_socks, &key, &value);
	note("example.com", DNS_TYPE_A, 1, false, 80);
	set_clock(1068);
	cr_assert(is_answered(&m));
	for (uint64_t now = 1069; now < 1080; now++) {
		set_clock(now);
		cr_assert_not(is_answered(&m), "%lu", now);
		cr_assert(is_answered(&m), "%lu", now);
	}
	set_clock(1080);
	cr_assert_not(is_answered(&m));
	cr_assert_not(is_answered(&m));
	close(fd);
	bench_close(&b);
}

/* Few different labels, so that many names share suffixes. */
static void random_name(char *out, unsigned *seed, const char *letters, int most, int longest)
{
	int labels = 1 + rand_r(seed) % most;

	while (labels--) {
		int n = 1 + rand_r(seed) % longest;

		while (n--)
			*out++ = letters[(size_t)rand_r(seed) % strlen(letters)];
		*out++ = labels ? '.' : 0;
	}
}

/* `prefix` before each domain makes none too short to be told by its end. */
static void compare_names(const char *prefix, const char *letters, int most, int longest)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_netmap_ struct netmap *nm = NULL;
	_cleanup_(domains) struct domains *d = NULL;
	unsigned seed = 25;
	size_t size, hits = 0;
	FILE *f = open_memstream(&text, &size);
	char name[256];

	for (int i = 0; i < 400; i++) {
		random_name(name, &seed, letters, most, longest);
		/* A wildcard near the root would have nearly all of them. */
		fprintf(f, "%s\"%s%s%s\"", i ? "," : "",
			i % 3 || strcspn(name, ".") + 3 > strlen(name) ? "" : "*.", prefix, name);
	}
	fclose(f);
	nm = netmap_of(text);
	open_with(text);
	cr_assert_eq(domains_new(&d, nm), 0);
	for (int i = 0; i < 20000; i++) {
		uint8_t wire[256];
		size_t app;

		if (i == 10000)
			forget_ends();
		strcpy(name, i % 4 ? prefix : "");
		random_name(name + strlen(name), &seed, letters, most, longest);
		dns_name_wire(wire, name);
		app = domains_match(d, wire);
		cr_assert_eq(taken(name), app != DOMAINS_NONE && app != DOMAINS_SELF, "%s", name);
		hits += app != DOMAINS_NONE;
	}
	cr_assert(hits > 1000 && hits < 18000, "%zu", hits);
	bench_close(&b);
}

Test(packets_dns, kernel_and_domains_agree_about_short_names)
{
	compare_names("", "abAB", 5, 2);
}

Test(packets_dns, kernel_and_domains_agree_about_long_names)
{
	compare_names("a-longer-label.", "aA", 12, 7);
}
