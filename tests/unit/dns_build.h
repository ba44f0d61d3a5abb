/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_build: messages from zone-file text and back, by ldns, so that the codec under test is not
 * its own judge.
 *
 *	ask("www.example.com.", LDNS_RR_TYPE_A, 0);
 *	upstream("qr ra NOERROR", "AN www.example.com. 60 IN A 192.0.2.1", NULL);
 *	cr_assert_str_eq(rewritten(), "qr rd ra NOERROR\nAN www.example.com. 60 IN A 198.18.0.1\n");
 *
 * Magic addresses are 198.18.0.N and fd25:a::N for the plan's Nth address, as are its states.
 */
#ifndef DNS_BUILD_H
#define DNS_BUILD_H

#include "cleanup.h"
#include "dns_rewrite.h"
#include "leaks.h"

#include <ldns/ldns.h>
#include <stdarg.h>
#include <string.h>

static struct {
	uint8_t query[DNS_MAX_MSG], answer[DNS_MAX_MSG], out[DNS_MAX_MSG];
	size_t qlen, alen, outlen;
	size_t max; /* 0: the client's UDP size */
	bool no4, no6;
	enum dns_plan_state states[8]; /* WANTED stands for GRANTED */
	struct dns_question q;
	struct dns_plan plan;
	char text[1 << 20];
} t;

static inline size_t pkt_wire(uint8_t *out, ldns_pkt *pkt)
{
	uint8_t *wire;
	size_t n;

	cr_assert_eq(ldns_pkt2wire(&wire, pkt, &n), LDNS_STATUS_OK);
	cr_assert_leq(n, DNS_MAX_MSG);
	memcpy(out, wire, n);
	free(wire);
	ldns_pkt_free(pkt);
	return n;
}

static inline ldns_pkt *pkt_new(const char *name, ldns_rr_type type)
{
	ldns_pkt *pkt =
		ldns_pkt_query_new(ldns_dname_new_frm_str(name), type, LDNS_RR_CLASS_IN, LDNS_RD);

	cr_assert_not_null(pkt);
	ldns_pkt_set_id(pkt, 0x1234);
	return pkt;
}

/* `udp` 0: without EDNS. */
static inline void ask(const char *name, ldns_rr_type type, uint16_t udp)
{
	ldns_pkt *pkt = pkt_new(name, type);

	if (udp)
		ldns_pkt_set_edns_udp_size(pkt, udp);
	t.qlen = pkt_wire(t.query, pkt);
	cr_assert_eq(dns_question_parse(&t.q, t.query, t.qlen), 0);
}

static inline ldns_pkt_section section_of(const char *text)
{
	return !strncmp(text, "AN", 2) ? LDNS_SECTION_ANSWER :
	       !strncmp(text, "NS", 2) ? LDNS_SECTION_AUTHORITY :
					 LDNS_SECTION_ADDITIONAL;
}

/* Upstream's answer to what was asked: flags and rcode, then records up to a NULL. */
static inline void upstream(const char *flags, ...)
{
	ldns_rdf *name = NULL;
	ldns_pkt *pkt;
	const char *s;
	size_t at = DNS_HEADER_LEN;
	va_list ap;

	cr_assert_eq(ldns_wire2dname(&name, t.query, t.qlen, &at), LDNS_STATUS_OK);
	pkt = ldns_pkt_query_new(name, t.q.type, t.q.class_, LDNS_RD);
	ldns_pkt_set_id(pkt, 0x9999);
	ldns_pkt_set_qr(pkt, 1);
	ldns_pkt_set_ra(pkt, !!strstr(flags, "ra"));
	ldns_pkt_set_aa(pkt, !!strstr(flags, "aa"));
	ldns_pkt_set_ad(pkt, !!strstr(flags, "ad"));
	ldns_pkt_set_tc(pkt, !!strstr(flags, "tc"));
	s = strrchr(flags, ' ');
	ldns_pkt_set_rcode(pkt, (uint8_t)ldns_lookup_by_name(ldns_rcodes, s ? s + 1 : flags)->id);
	va_start(ap, flags);
	while ((s = va_arg(ap, const char *))) {
		ldns_rr *rr = NULL;

		if (!strcmp(s, "OPT")) {
			ldns_pkt_set_edns_udp_size(pkt, 4096);
			continue;
		}
		cr_assert_eq(ldns_rr_new_frm_str(&rr, s + 3, 60, NULL, NULL), LDNS_STATUS_OK, "%s",
			     s);
		ldns_pkt_push_rr(pkt, section_of(s), rr);
	}
	va_end(ap);
	t.alen = pkt_wire(t.answer, pkt);
}

static inline void plan_and_write(void)
{
	dns_rewrite_plan(&t.plan, &t.q, t.answer, t.alen, !t.no4, !t.no6);
	for (size_t i = 0; i < t.plan.n_addrs; i++) {
		struct dns_plan_addr *a = &t.plan.addrs[i];
		char text[ADDR_STRLEN];

		snprintf(text, sizeof(text),
			 addr_is4(&a->real) ? "198.18.%zu.%zu" : "fd25:a::%zx:%zx", (i + 1) >> 8,
			 (i + 1) & 255);
		addr_parse(&a->magic, text);
		if (a->state == DNS_ADDR_WANTED)
			a->state = i < ARRAY_SIZE(t.states) && t.states[i] ? t.states[i] :
									     DNS_ADDR_GRANTED;
	}
	t.outlen = dns_rewrite_write(t.out, t.max ? t.max : t.q.udp_size, &t.plan, &t.q, t.query,
				     t.qlen, t.answer, t.alen);
	cr_assert_leq(t.outlen, t.max ? t.max : t.q.udp_size);
}

static inline char *print_section(char *p, const char *name, const ldns_rr_list *list)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		char *s = ldns_rr2str(ldns_rr_list_rr(list, i));

		for (char *c = s; *c; c++)
			if (*c == '\t')
				*c = ' ';
		p += sprintf(p, "%s %s", name, s);
		free(s);
	}
	return p;
}

/* A message as text; what ldns cannot read fails the test. */
static inline const char *message_text(const uint8_t *msg, size_t n)
{
	ldns_lookup_table *rcode;
	ldns_pkt *pkt = NULL;
	char *p = t.text;

	cr_assert_eq(ldns_wire2pkt(&pkt, msg, n), LDNS_STATUS_OK);
	rcode = ldns_lookup_by_id(ldns_rcodes, (int)ldns_pkt_get_rcode(pkt));
	p += sprintf(p, "%s%s%s%s%s%s%s%s\n", ldns_pkt_qr(pkt) ? "qr " : "",
		     ldns_pkt_aa(pkt) ? "aa " : "", ldns_pkt_tc(pkt) ? "tc " : "",
		     ldns_pkt_rd(pkt) ? "rd " : "", ldns_pkt_ra(pkt) ? "ra " : "",
		     ldns_pkt_ad(pkt) ? "ad " : "", ldns_pkt_cd(pkt) ? "cd " : "",
		     rcode ? rcode->name : "?");
	p = print_section(p, "AN", ldns_pkt_answer(pkt));
	p = print_section(p, "NS", ldns_pkt_authority(pkt));
	p = print_section(p, "AR", ldns_pkt_additional(pkt));
	if (ldns_pkt_edns(pkt))
		sprintf(p, "OPT %u%s\n", ldns_pkt_edns_udp_size(pkt),
			ldns_pkt_edns_do(pkt) ? " do" : "");
	ldns_pkt_free(pkt);
	return t.text;
}

/* What the client gets. */
static inline const char *rewritten(void)
{
	plan_and_write();
	return message_text(t.out, t.outlen);
}

#endif
