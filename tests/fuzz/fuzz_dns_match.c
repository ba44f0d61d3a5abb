/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any message before the kernel's matcher: it takes a question exactly where user/domains.c does,
 * under the hash by which its answer is found, and reads nothing beyond the message.
 *
 * Input: the message. The domains are those below.
 */
#include "c25_abi.h"
#include "dns_name.h"
#include "dns_rewrite.h"
#include "domains.h"
#include "twin.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const names[] = { "example.com",       "*.example.net",   "deep.own.example.net",
				     "*.own.example.org", "a.b.c.d.e.f.g.h", "*.x" };
#define N_NAMES (sizeof(names) / sizeof(names[0]))

static void expect(bool holds)
{
	if (!holds)
		abort();
}

/* The map as user/dns_names.c makes it: each domain, and what it ends in. */
static struct domains *setup(void)
{
	static char *texts[N_NAMES];
	static struct netmap_app app = { .domains = texts, .n_domains = N_NAMES };
	struct domains *d;

	for (size_t i = 0; i < N_NAMES; i++) {
		bool wild = names[i][0] == '*';
		uint32_t flags = wild ? C25_NAME_WILD : C25_NAME_EXACT;
		uint8_t wire[DNS_MAX_NAME];
		uint32_t len = (uint32_t)dns_name_wire(wire, names[i] + (wild ? 2 : 0)) - 1;

		texts[i] = strdup(names[i]);
		for (uint32_t at = 0; at < len; at += wire[at] + 1U) {
			twin_add(dns_name_key(0, wire + at, len - at), wire + at, len - at, flags);
			flags = 0;
		}
	}
	expect(!domains_new_app(&d, &app));
	return d;
}

static uint64_t hash_of(const struct dns_question *q)
{
	uint8_t wire[DNS_MAX_NAME];

	for (size_t i = 0; i < q->name_len; i++) {
		uint8_t c = q->name[i];

		wire[i] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
	}
	return dns_name_key(0, wire, q->name_len - 1U);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct domains *known;
	struct dns_question q;
	uint64_t hash = 0;
	uint32_t taken;
	uint8_t *msg;
	bool ours;

	if (!known)
		known = setup();
	/* An exact copy, so that the sanitizer sees the end. */
	msg = malloc(n ? n : 1);
	memcpy(msg, data, n);
	taken = twin_taken(msg, n, &hash);
	expect(taken <= n);
	expect(!taken || !twin_other(msg, n));
	/* Of what the daemon can read, with its name in one piece, both must think the same. */
	if (!dns_question_parse(&q, msg, n) && q.end == DNS_HEADER_LEN + q.name_len + 4U) {
		ours = domains_match(known, q.name) != DOMAINS_NONE;
		expect(taken == (ours ? q.end : 0U));
		expect(!taken || hash == hash_of(&q));
	}
	free(msg);
	return 0;
}
