/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Generated and mutated answers, with ldns as the second opinion. DNS_LDNS_MESSAGES sets how
 * many, DNS_LDNS_SEED where they start.
 */
#include "dns_build.h"

SUITE(dns_ldns, .timeout = 600);

#define MESSAGES   30000
#define MAX_WANTED 64

static uint64_t seed;

static unsigned below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 20) % n;
}

static const char *const names[] = { "www.example.com.", "b.example.com.",     "c.example.net.",
				     "D.Example.net.",   "e.f.g.example.org.", "example.com." };

static const char *some_name(void)
{
	return names[below(ARRAY_SIZE(names))];
}

static void some_record(char *text, size_t n)
{
	const char *owner = some_name();

	switch (below(8)) {
	case 0:
	case 1:
	case 2:
		snprintf(text, n, "%s %u IN A 192.0.2.%u", owner, below(1000), below(20));
		return;
	case 3:
		snprintf(text, n, "%s %u IN AAAA 2001:db8::%x", owner, below(1000), below(20));
		return;
	case 4:
	case 5:
		snprintf(text, n, "%s %u IN CNAME %s", owner, below(1000), some_name());
		return;
	case 6:
		snprintf(text, n, "%s 60 IN MX %u %s", owner, below(99), some_name());
		return;
	default:
		snprintf(text, n, "%s 60 IN SOA %s %s 1 2 3 4 %u", owner, some_name(), some_name(),
			 below(9));
		return;
	}
}

static void generate(void)
{
	static const ldns_rr_type types[] = { LDNS_RR_TYPE_A, LDNS_RR_TYPE_A, LDNS_RR_TYPE_AAAA,
					      LDNS_RR_TYPE_MX };
	ldns_rr_type type = types[below(ARRAY_SIZE(types))];
	const char *name = names[below(2)];
	ldns_pkt *pkt = pkt_new(name, type);

	ask(name, type, below(2) ? 1232 : 0);
	ldns_pkt_set_qr(pkt, 1);
	ldns_pkt_set_rcode(pkt, below(8) ? LDNS_RCODE_NOERROR : LDNS_RCODE_NXDOMAIN);
	for (unsigned i = below(12); i; i--) {
		ldns_rr *rr = NULL;
		char text[256];

		some_record(text, sizeof(text));
		cr_assert_eq(ldns_rr_new_frm_str(&rr, text, 0, NULL, NULL), LDNS_STATUS_OK);
		ldns_pkt_push_rr(pkt,
				 below(4) ? LDNS_SECTION_ANSWER : LDNS_SECTION_AUTHORITY + below(2),
				 rr);
	}
	if (below(2))
		ldns_pkt_set_edns_udp_size(pkt, 4096);
	t.alen = pkt_wire(t.answer, pkt);
}

static void mutate(void)
{
	size_t start = t.q.end;

	for (unsigned i = 1 + below(3); i && t.alen > start; i--) {
		size_t at = start + below((unsigned)(t.alen - start));

		switch (below(5)) {
		case 0:
			t.answer[at] = (uint8_t)below(256);
			break;
		case 1:
			t.answer[at] ^= (uint8_t)(1 << below(8));
			break;
		case 2:
			t.alen = at;
			break;
		case 3:
			dns_put16(t.answer + (at ? at - 1 : 0),
				  (uint16_t)(0xc000 | below((unsigned)t.alen)));
			break;
		default:
			t.answer[6 + below(6)] = (uint8_t)below(4);
			break;
		}
	}
}

struct wanted {
	size_t n;
	struct c25_addr addrs[MAX_WANTED];
	uint32_t ttls[MAX_WANTED];
};

static void want(struct wanted *w, const ldns_rr *rr)
{
	const uint8_t *data = ldns_rdf_data(ldns_rr_rdf(rr, 0));
	struct c25_addr a = ldns_rr_get_type(rr) == LDNS_RR_TYPE_A ? addr_from4(data) :
								     addr_from6(data);

	for (size_t i = 0; i < w->n; i++) {
		if (!addr_equal(&a, &w->addrs[i]))
			continue;
		if (ldns_rr_ttl(rr) < w->ttls[i])
			w->ttls[i] = ldns_rr_ttl(rr);
		return;
	}
	cr_assert_lt(w->n, MAX_WANTED);
	w->addrs[w->n] = a;
	w->ttls[w->n++] = ldns_rr_ttl(rr);
}

/* The contract's row for A and AAAA said in ldns' terms: a set of owners that CNAMEs widen. False
 * where two CNAMEs of one owner leave open which is right. */
static bool want_of(struct wanted *w, ldns_pkt *pkt)
{
	ldns_rr_list *answer = ldns_pkt_answer(pkt);
	const ldns_rdf *chain[18], *tail;
	size_t n = 0;

	w->n = 0;
	tail = ldns_rr_owner(ldns_rr_list_rr(ldns_pkt_question(pkt), 0));
	while (tail && n <= 16) {
		const ldns_rdf *next = NULL;

		for (size_t i = 0; i < n; i++)
			if (!ldns_dname_compare(chain[i], tail))
				tail = NULL;
		if (!tail)
			break;
		chain[n++] = tail;
		for (size_t i = 0; i < ldns_rr_list_rr_count(answer); i++) {
			const ldns_rr *rr = ldns_rr_list_rr(answer, i);

			if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_CNAME ||
			    ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN ||
			    ldns_dname_compare(ldns_rr_owner(rr), tail))
				continue;
			if (next && ldns_dname_compare(next, ldns_rr_rdf(rr, 0)))
				return false;
			next = ldns_rr_rdf(rr, 0);
		}
		tail = next;
	}
	for (size_t i = 0; i < ldns_rr_list_rr_count(answer); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(answer, i);

		if (ldns_rr_get_type(rr) != (ldns_rr_type)t.q.type ||
		    ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN)
			continue;
		for (size_t c = 0; c < n; c++) {
			if (!ldns_dname_compare(ldns_rr_owner(rr), chain[c])) {
				want(w, rr);
				break;
			}
		}
	}
	return true;
}

static void compare_addresses(ldns_pkt *pkt)
{
	struct wanted w;

	if (!want_of(&w, pkt))
		return;
	cr_assert_eq(t.plan.action, w.n ? DNS_PLAN_REWRITE : DNS_PLAN_PASS);
	cr_assert_eq(t.plan.n_addrs, w.n);
	for (size_t i = 0; i < w.n; i++) {
		cr_assert(addr_equal(&t.plan.addrs[i].real, &w.addrs[i]));
		cr_assert_eq(t.plan.addrs[i].ttl, w.ttls[i]);
	}
}

static bool passes(const ldns_rr *rr)
{
	ldns_rr_type type = ldns_rr_get_type(rr);

	return type == LDNS_RR_TYPE_CNAME || type == LDNS_RR_TYPE_MX || type == LDNS_RR_TYPE_SOA;
}

/* Section by section, the records that pass; mutation may have made others, which are left out
 * of the comparison on both sides. */
static void compare_passed(const ldns_rr_list *in, const ldns_rr_list *out)
{
	size_t o = 0;

	for (size_t i = 0; i < ldns_rr_list_rr_count(in); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(in, i);

		if (!passes(rr))
			continue;
		while (o < ldns_rr_list_rr_count(out) && !passes(ldns_rr_list_rr(out, o)))
			o++;
		cr_assert_lt(o, ldns_rr_list_rr_count(out));
		cr_assert_eq(ldns_rr_compare(rr, ldns_rr_list_rr(out, o)), 0);
		cr_assert_eq(ldns_rr_ttl(rr), ldns_rr_ttl(ldns_rr_list_rr(out, o)));
		o++;
	}
}

/* ldns goes on behind the names of a TALINK or the eight bytes of an EUI64, say, not behind the
 * rdata: of types that mutation made, its opinion of what follows is not sound, on the way out as
 * on the way in. */
static bool ldns_is_sure(const ldns_rr_list *list)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(list, i);
		ldns_rr_type type = ldns_rr_get_type(rr);

		if (!passes(rr) && type != LDNS_RR_TYPE_A && type != LDNS_RR_TYPE_AAAA)
			return false;
	}
	return true;
}

static void compare(ldns_pkt *in)
{
	ldns_pkt *out = NULL;

	if (t.plan.rcode > DNS_RCODE && !t.q.has_edns)
		return;                                    /* an extended error is SERVFAIL then */
	cr_assert_eq(dns_get16(t.out + 10), t.q.has_edns); /* the additional section is the OPT */
	if (!ldns_is_sure(ldns_pkt_answer(in)) || !ldns_is_sure(ldns_pkt_authority(in)))
		return;
	cr_assert_eq(ldns_wire2pkt(&out, t.out, t.outlen), LDNS_STATUS_OK);
	cr_assert_eq(ldns_pkt_arcount(out), 0); /* ldns takes the OPT out */
	cr_assert_eq(ldns_pkt_edns(out), t.q.has_edns);
	if (t.plan.action == DNS_PLAN_PASS && !ldns_pkt_tc(out)) {
		compare_passed(ldns_pkt_answer(in), ldns_pkt_answer(out));
		compare_passed(ldns_pkt_authority(in), ldns_pkt_authority(out));
	}
	if (!t.plan.rcode && (t.q.type == LDNS_RR_TYPE_A || t.q.type == LDNS_RR_TYPE_AAAA))
		compare_addresses(in);
	ldns_pkt_free(out);
}

static unsigned long setting(const char *name, unsigned long otherwise)
{
	const char *s = getenv(name);

	return s ? strtoul(s, NULL, 0) : otherwise;
}

Test(dns_ldns, generated_answers_are_read_as_ldns_reads_them)
{
	unsigned long n = setting("DNS_LDNS_MESSAGES", MESSAGES) / 2;

	seed = setting("DNS_LDNS_SEED", 25);
	t.max = DNS_MAX_MSG;
	while (n--) {
		ldns_pkt *pkt = NULL;

		generate();
		plan_and_write();
		cr_assert_eq(ldns_wire2pkt(&pkt, t.answer, t.alen), LDNS_STATUS_OK);
		cr_assert_neq(t.plan.action, DNS_PLAN_SERVFAIL);
		compare(pkt);
		ldns_pkt_free(pkt);
	}
}

/* What ldns makes of a message, written anew by it, has none of the pointers that ldns follows
 * and the codec does not. */
static bool normalise(ldns_pkt *pkt)
{
	uint8_t *wire;
	size_t n;

	if (ldns_pkt2wire(&wire, pkt, &n) != LDNS_STATUS_OK)
		return false;
	memcpy(t.answer, wire, n);
	t.alen = n;
	free(wire);
	return true;
}

Test(dns_ldns, mutated_answers_are_read_as_ldns_reads_them_or_not_at_all)
{
	unsigned long n = setting("DNS_LDNS_MESSAGES", MESSAGES) / 2, strict = 0, read = 0;

	seed = setting("DNS_LDNS_SEED", 25);
	t.max = DNS_MAX_MSG;
	while (n--) {
		ldns_pkt *pkt = NULL;

		generate();
		mutate();
		plan_and_write();
		if (ldns_wire2pkt(&pkt, t.answer, t.alen) != LDNS_STATUS_OK)
			continue;
		read++;
		if (t.plan.action == DNS_PLAN_SERVFAIL && normalise(pkt)) {
			strict++;
			plan_and_write();
		}
		if (t.plan.action != DNS_PLAN_SERVFAIL)
			compare(pkt);
		ldns_pkt_free(pkt);
	}
	cr_assert_gt(read, 100);
	cr_assert_lt(strict, read / 4, "%lu of %lu", strict, read);
}
