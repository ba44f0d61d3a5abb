/* SPDX-License-Identifier: BSD-3-Clause */
#include "lease_index.h"

#include "lease.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FIRST_SIZE 64

int lease_index_init(struct lease_index *x)
{
	ssize_t n;

	*x = (struct lease_index){ 0 };
	do
		n = getrandom(&x->secret, sizeof(x->secret), 0);
	while (n < 0 && errno == EINTR);
	return n == sizeof(x->secret) ? 0 : -EIO;
}

/* Both multiplications go through all bits before the next word comes in: no difference of two
 * words can be undone by the next without the secret. */
static uint64_t step(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
}

uint64_t lease_index_hash(const struct lease_index *x, const void *key, size_t len)
{
	uint64_t hash = step(x->secret, len), word = 0;
	const uint8_t *in = key;

	for (; len >= 8; in += 8, len -= 8) {
		memcpy(&word, in, 8);
		hash = step(hash, word);
	}
	word = 0;
	memcpy(&word, in, len);
	hash = step(hash, word);
	return hash ^ hash >> 32;
}

struct lease *lease_index_get(const struct lease_index *x, const void *key, size_t len)
{
	uint64_t hash = lease_index_hash(x, key, len);
	size_t mask = x->size - 1;

	for (size_t i = hash & mask; x->size && x->slots[i].lease; i = (i + 1) & mask) {
		struct lease *l = x->slots[i].lease;

		if (x->slots[i].hash == hash && l->key_len == len && !memcmp(l->domain, key, len))
			return l;
	}
	return NULL;
}

void lease_index_fetch_slot(const struct lease_index *x, uint64_t hash)
{
	if (x->size)
		__builtin_prefetch(&x->slots[hash & (x->size - 1)]);
}

/* Only the hash is compared: most likely the one. */
static struct lease *likely(const struct lease_index *x, uint64_t hash)
{
	size_t mask = x->size - 1;

	for (size_t i = hash & mask; x->size && x->slots[i].lease; i = (i + 1) & mask)
		if (x->slots[i].hash == hash)
			return x->slots[i].lease;
	return NULL;
}

void lease_index_fetch_lease(const struct lease_index *x, uint64_t hash)
{
	const struct lease *l = likely(x, hash);

	if (l) {
		__builtin_prefetch(&l->magic);
		__builtin_prefetch(l->domain);
	}
}

void lease_index_fetch_registration(const struct lease_index *x, uint64_t hash)
{
	const struct lease *l = likely(x, hash);

	if (l)
		__builtin_prefetch(l->registration);
}

static void place(struct lease_index *x, struct lease_slot slot)
{
	size_t i = slot.hash & (x->size - 1);

	while (x->slots[i].lease)
		i = (i + 1) & (x->size - 1);
	x->slots[i] = slot;
}

static int grow(struct lease_index *x)
{
	struct lease_index more = *x;

	more.size = x->size ? 2 * x->size : FIRST_SIZE;
	more.slots = calloc(more.size, sizeof(*more.slots));
	if (!more.slots)
		return -ENOMEM;
	for (size_t i = 0; i < x->size; i++)
		if (x->slots[i].lease)
			place(&more, x->slots[i]);
	free(x->slots);
	*x = more;
	return 0;
}

int lease_index_put(struct lease_index *x, struct lease *l)
{
	if (x->n >= x->size / 4 * 3) {
		int err = grow(x);

		if (err)
			return err;
	}
	l->hash = lease_index_hash(x, l->domain, l->key_len);
	place(x, (struct lease_slot){ .hash = l->hash, .lease = l });
	x->n++;
	return 0;
}

/* What stood behind it because its own place was taken moves up, so that no marks remain. */
void lease_index_del(struct lease_index *x, const struct lease *l)
{
	size_t mask = x->size - 1, hole = l->hash & mask, i;

	while (x->slots[hole].lease != l)
		hole = (hole + 1) & mask;
	for (i = (hole + 1) & mask; x->slots[i].lease; i = (i + 1) & mask) {
		if (((i - x->slots[i].hash) & mask) < ((i - hole) & mask))
			continue;
		x->slots[hole] = x->slots[i];
		hole = i;
	}
	x->slots[hole] = (struct lease_slot){ 0 };
	x->n--;
}

void lease_index_clear(struct lease_index *x)
{
	free(x->slots);
	*x = (struct lease_index){ .secret = x->secret };
}
