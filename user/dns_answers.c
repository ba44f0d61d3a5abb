/* SPDX-License-Identifier: BSD-3-Clause */
#include "dns_answers.h"

#include "dns_name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Keys of answers that are not given any more. */
struct ended {
	uint64_t now;
	uint64_t *keys;
	size_t n, size;
};

static int ended_add(const void *key, const void *value, void *ctx)
{
	const struct c25_answer *answer = value;
	struct ended *e = ctx;

	if (answer->ends + C25_ANSWER_GRACE > e->now)
		return 0;
	if (e->n == e->size) {
		size_t size = e->size ? 2 * e->size : 64;
		uint64_t *more = reallocarray(e->keys, size, sizeof(*more));

		if (!more)
			return -ENOMEM;
		e->keys = more;
		e->size = size;
	}
	memcpy(&e->keys[e->n++], key, sizeof(*e->keys));
	return 0;
}

/* An answer goes with the leases in it; those of leases that a crash took would stay. */
static int drop_ended(const struct maps *maps, uint64_t now)
{
	struct ended e = { .now = now };
	int err = maps_each(maps, MAP_ANSWERS, ended_add, &e);

	for (size_t i = 0; i < e.n; i++)
		maps_answer_del(maps, e.keys[i]);
	free(e.keys);
	return err;
}

int dns_answers_init(struct dns_answers *a, const struct maps *maps, uint64_t now)
{
	struct c25_meta meta;
	int err;

	*a = (struct dns_answers){ 0 };
	if (maps->fd[MAP_ANSWERS] < 0)
		return 0;
	err = maps_meta_get(maps, &meta);
	if (!err)
		err = drop_ended(maps, now);
	if (err)
		return err;
	a->maps = maps;
	a->cookie = meta.cookie;
	return 0;
}

static uint64_t answer_key(const struct dns_answers *a, const uint8_t *wire, uint32_t len,
			   uint16_t type)
{
	return c25_name_step(dns_name_key(a->cookie, wire, len), type);
}

/* Whether the answer can be given as a whole. */
static bool fill(struct c25_answer *out, const struct dns_plan *plan)
{
	if (plan->action != DNS_PLAN_REWRITE || !plan->n_addrs || plan->n_addrs > C25_ANSWER_MAX)
		return false;
	out->n = (uint32_t)plan->n_addrs;
	out->ttl = UINT32_MAX;
	for (size_t i = 0; i < plan->n_addrs; i++) {
		if (plan->addrs[i].state != DNS_ADDR_GRANTED)
			return false;
		out->magic[i] = plan->addrs[i].magic;
		if (plan->addrs[i].ttl < out->ttl)
			out->ttl = plan->addrs[i].ttl;
	}
	/* RFC 2181, 8: with the upper bit set it is none. */
	return out->ttl && out->ttl <= INT32_MAX;
}

void dns_answers_note(struct dns_answers *a, const struct c25_addr *server,
		      const struct dns_question *q, const struct dns_plan *plan, uint16_t flags,
		      uint64_t now)
{
	struct c25_answer answer = { .server = *server, .type = q->type };
	uint64_t key;

	if (!a->maps || (q->type != DNS_TYPE_A && q->type != DNS_TYPE_AAAA))
		return;
	answer.len = q->name_len - 1U;
	for (size_t i = 0; i < answer.len; i++) {
		uint8_t c = q->name[i];

		answer.wire[i] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
	}
	key = answer_key(a, answer.wire, answer.len, q->type);
	if (!fill(&answer, plan)) {
		maps_answer_del(a->maps, key);
		return;
	}
	answer.flags = flags & (DNS_AA | DNS_RA);
	answer.ends = now + answer.ttl;
	/* Where there is no room the daemon goes on answering. */
	maps_answer_put(a->maps, key, &answer);
}

void dns_answers_drop(struct dns_answers *a, const char *domain, bool is4)
{
	uint8_t wire[DNS_MAX_NAME];
	int len;

	if (!a->maps)
		return;
	len = dns_name_wire(wire, domain);
	if (len > 0)
		maps_answer_del(a->maps, answer_key(a, wire, (uint32_t)len - 1,
						    is4 ? DNS_TYPE_A : DNS_TYPE_AAAA));
}
