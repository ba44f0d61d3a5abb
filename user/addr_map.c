/* SPDX-License-Identifier: BSD-3-Clause */
#include "addr_map.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 64

/* The murmur3 finalizer over both halves: neighbours of a pool end up far apart. */
static size_t hash(const struct c25_addr *key)
{
	uint64_t hi, lo;

	memcpy(&hi, key->b, 8);
	memcpy(&lo, key->b + 8, 8);
	lo ^= hi * UINT64_C(0x9e3779b97f4a7c15);
	lo = (lo ^ lo >> 33) * UINT64_C(0xff51afd7ed558ccd);
	lo = (lo ^ lo >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return (size_t)(lo ^ lo >> 33);
}

/* Where the key is, or the free slot where it would be. The table is never full. */
static struct addr_slot *slot_of(const struct addr_map *m, const struct c25_addr *key)
{
	size_t i = hash(key) & (m->size - 1);

	while (m->slots[i].value && !addr_equal(&m->slots[i].key, key))
		i = (i + 1) & (m->size - 1);
	return &m->slots[i];
}

void *addr_map_get(const struct addr_map *m, const struct c25_addr *key)
{
	return m->size ? slot_of(m, key)->value : NULL;
}

static int grow(struct addr_map *m)
{
	struct addr_map more = { .size = m->size ? 2 * m->size : FIRST_SIZE, .n = m->n };

	more.slots = calloc(more.size, sizeof(*more.slots));
	if (!more.slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->size; i++)
		if (m->slots[i].value)
			*slot_of(&more, &m->slots[i].key) = m->slots[i];
	free(m->slots);
	*m = more;
	return 0;
}

int addr_map_put(struct addr_map *m, const struct c25_addr *key, void *value)
{
	if (m->n >= m->size / 4 * 3) {
		int err = grow(m);

		if (err)
			return err;
	}
	*slot_of(m, key) = (struct addr_slot){ .key = *key, .value = value };
	m->n++;
	return 0;
}

/* What stood behind it because its own place was taken moves up, so that no marks remain. */
void addr_map_del(struct addr_map *m, const struct c25_addr *key)
{
	struct addr_slot *s = m->size ? slot_of(m, key) : NULL;
	size_t mask = m->size - 1, hole, i;

	if (!s || !s->value)
		return;
	hole = i = (size_t)(s - m->slots);
	for (;;) {
		i = (i + 1) & mask;
		if (!m->slots[i].value)
			break;
		if (((i - hash(&m->slots[i].key)) & mask) < ((i - hole) & mask))
			continue;
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	m->slots[hole] = (struct addr_slot){ 0 };
	m->n--;
}

void *addr_map_next(const struct addr_map *m, size_t *at)
{
	while (*at < m->size) {
		void *value = m->slots[(*at)++].value;

		if (value)
			return value;
	}
	return NULL;
}

void addr_map_clear(struct addr_map *m)
{
	free(m->slots);
	*m = (struct addr_map){ 0 };
}
