/* SPDX-License-Identifier: BSD-3-Clause */
/* dns_table: the proxy's memory. Taken once; pages are touched only as they are needed. */
#include "dns_proxy_int.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static int random_bytes(void *out, size_t len)
{
	for (size_t n = 0; n < len;) {
		ssize_t got = getrandom((uint8_t *)out + n, len - n, 0);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0)
			n += (size_t)got;
	}
	return 0;
}

static int pool_init(struct dns_pool *pool, size_t size, size_t n)
{
	*pool = (struct dns_pool){ .base = calloc(n, size), .size = size, .n = n };
	return pool->base ? 0 : -ENOMEM;
}

void *dns_pool_take(struct dns_pool *pool)
{
	void *piece = pool->free;

	if (piece)
		memcpy(&pool->free, piece, sizeof(pool->free));
	else if (pool->fresh < pool->n)
		piece = pool->base + pool->size * pool->fresh++;
	return piece;
}

void dns_pool_put(struct dns_pool *pool, void *piece)
{
	memcpy(piece, &pool->free, sizeof(pool->free));
	pool->free = piece;
}

static bool pool_owns(const struct dns_pool *pool, const uint8_t *piece)
{
	return piece >= pool->base && piece < pool->base + pool->size * pool->n;
}

int dns_table_init(struct dns_table *t)
{
	int err;

	err = random_bytes(t->key, sizeof(t->key));
	if (err)
		return err;
	t->queries = calloc(DNS_QUERIES, sizeof(*t->queries));
	t->waiters = calloc(DNS_WAITERS, sizeof(*t->waiters));
	if (!t->queries || !t->waiters)
		return -ENOMEM;
	err = pool_init(&t->plans, sizeof(struct dns_plan), DNS_PLANS);
	if (!err)
		err = pool_init(&t->medium, DNS_MEDIUM_SZ, DNS_MEDIUM);
	if (!err)
		err = pool_init(&t->large, DNS_LARGE_SZ, DNS_LARGE);
	return err;
}

void dns_table_fini(struct dns_table *t)
{
	free(t->queries);
	free(t->waiters);
	free(t->plans.base);
	free(t->medium.base);
	free(t->large.base);
}

struct dns_query *dns_table_take_query(struct dns_table *t)
{
	struct dns_query *q = t->free_queries;

	if (q)
		t->free_queries = q->next;
	else if (t->fresh_queries < DNS_QUERIES)
		q = &t->queries[t->fresh_queries++];
	if (!q)
		return NULL;
	memset(q, 0, offsetof(struct dns_query, question));
	return q;
}

void dns_table_put_query(struct dns_table *t, struct dns_query *q)
{
	q->state = DNS_FREE;
	q->next = t->free_queries;
	t->free_queries = q;
}

_Static_assert(DNS_QUERIES *DNS_ATTEMPTS < UINT16_MAX, "numbers of asks");

struct dns_query *dns_table_query(struct dns_table *t, uint16_t number)
{
	return number ? &t->queries[number - 1] : NULL;
}

uint16_t dns_table_query_number(const struct dns_table *t, const struct dns_query *q)
{
	return q ? (uint16_t)(q - t->queries + 1) : 0;
}

struct dns_ask *dns_table_ask(struct dns_table *t, uint16_t number)
{
	if (!number)
		return NULL;
	number--;
	return &t->queries[number / DNS_ATTEMPTS].asks[number % DNS_ATTEMPTS];
}

uint16_t dns_table_ask_number(const struct dns_table *t, const struct dns_ask *ask)
{
	if (!ask)
		return 0;
	return (uint16_t)((ask->query - t->queries) * DNS_ATTEMPTS + (ask - ask->query->asks) + 1);
}

struct dns_waiter *dns_table_take_waiter(struct dns_table *t)
{
	struct dns_waiter *w = t->free_waiters;

	if (w)
		t->free_waiters = w->next;
	else if (t->fresh_waiters < DNS_WAITERS)
		w = &t->waiters[t->fresh_waiters++];
	return w;
}

void dns_table_put_waiter(struct dns_table *t, struct dns_waiter *w)
{
	w->query = NULL;
	w->next = t->free_waiters;
	t->free_waiters = w;
}

uint8_t *dns_table_take_buffer(struct dns_table *t, size_t len)
{
	uint8_t *buf = NULL;

	if (len <= DNS_MEDIUM_SZ)
		buf = dns_pool_take(&t->medium);
	if (!buf && len <= DNS_LARGE_SZ)
		buf = dns_pool_take(&t->large);
	return buf;
}

void dns_table_put_buffer(struct dns_table *t, uint8_t *buf)
{
	dns_pool_put(pool_owns(&t->medium, buf) ? &t->medium : &t->large, buf);
}

static uint64_t rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] = rotl(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] = rotl(v[2], 32);
}

/* SipHash-1-3: clients choose what is hashed, and must not be able to choose its chain. */
uint32_t dns_table_hash(const struct dns_table *t, const void *data, size_t len, uint64_t seed)
{
	uint64_t v[4] = { t->key[0] ^ 0x736f6d6570736575ULL, t->key[1] ^ 0x646f72616e646f6dULL,
			  t->key[0] ^ 0x6c7967656e657261ULL, t->key[1] ^ 0x7465646279746573ULL };
	const uint8_t *in = data;
	uint64_t m = seed;

	for (size_t left = len;; left -= 8, in += 8) {
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
		if (left < 8) {
			m = (uint64_t)len << 56;
			memcpy(&m, in, left);
			break;
		}
		memcpy(&m, in, 8);
	}
	v[3] ^= m;
	sip_round(v);
	v[0] ^= m;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	m = v[0] ^ v[1] ^ v[2] ^ v[3];
	return (uint32_t)(m ^ (m >> 32));
}

uint16_t dns_table_random(struct dns_table *t)
{
	if (!t->n_randoms) {
		/* Fails only where there is no getrandom(2); dns_table_init() would have said so. */
		if (random_bytes(t->randoms, sizeof(t->randoms)))
			abort();
		t->n_randoms = ARRAY_SIZE(t->randoms);
	}
	return t->randoms[--t->n_randoms];
}
