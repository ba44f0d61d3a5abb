/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lease_index: finds a lease by its key (struct lease), among many, with few cache misses.
 *
 * Open addressing with the hashes in place: a lease is looked at only where its hash is right.
 * Clients choose names, so the hash is keyed: they must not be able to choose its chain.
 */
#ifndef LEASE_INDEX_H
#define LEASE_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct lease;

struct lease_slot {
	uint64_t hash;
	struct lease *lease; /* NULL: free */
};

struct lease_index {
	struct lease_slot *slots;
	size_t size; /* a power of two, or 0 */
	size_t n;
	uint64_t secret;
};

/* 0 or a negative errno: no randomness. */
int lease_index_init(struct lease_index *x);
struct lease *lease_index_get(const struct lease_index *x, const void *key, size_t len);
/* A look-up ahead of time, each step once what the one before fetched has come into the cache:
 * where it will look, the lease it will find there, and that one's registration. */
uint64_t lease_index_hash(const struct lease_index *x, const void *key, size_t len);
void lease_index_fetch_slot(const struct lease_index *x, uint64_t hash);
void lease_index_fetch_lease(const struct lease_index *x, uint64_t hash);
void lease_index_fetch_registration(const struct lease_index *x, uint64_t hash);
/* By its `key_len` bytes of `domain`; it is not there yet. Its `hash` is set. 0 or -ENOMEM. */
int lease_index_put(struct lease_index *x, struct lease *l);
void lease_index_del(struct lease_index *x, const struct lease *l);
void lease_index_clear(struct lease_index *x);

#endif
