/* SPDX-License-Identifier: BSD-3-Clause */
#include "dns_names.h"

#include "dns_msg.h"
#include "dns_name.h"
#include "log.h"
#include "policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct name {
	uint64_t hash;
	bool written; /* the map has it so already */
	struct c25_name record;
	UT_hash_handle hh;
};

struct names {
	uint32_t cookie;
	struct name *table;
	uint64_t *stale;
	size_t n_stale, size;
};

static void cleanup_names(struct names *n)
{
	struct name *name, *next;

	HASH_ITER (hh, n->table, name, next) {
		HASH_DEL(n->table, name);
		free(name);
	}
	free(n->stale);
}

/* The entry of a domain or of what one ends in. -EEXIST: another name has its hash. */
static int add_name(struct names *n, const uint8_t *wire, uint32_t len, uint32_t flags)
{
	uint64_t hash = dns_name_key(n->cookie, wire, len);
	struct name *name;

	HASH_FIND(hh, n->table, &hash, sizeof(hash), name);
	if (!name) {
		name = calloc(1, sizeof(*name));
		if (!name)
			return -ENOMEM;
		name->hash = hash;
		name->record.len = len;
		memcpy(name->record.wire, wire, len);
		HASH_ADD(hh, n->table, hash, sizeof(hash), name);
	}
	if (name->record.len != len || memcmp(name->record.wire, wire, len) != 0)
		return -EEXIST;
	name->record.flags |= flags;
	return 0;
}

/* `domain` is one of the netmap's: lower case, valid. */
static int add_domain(struct names *n, const char *domain, bool self)
{
	bool wild = domain[0] == '*';
	uint8_t wire[DNS_MAX_NAME];
	uint32_t flags = wild ? C25_NAME_WILD : C25_NAME_EXACT, len;
	int err;

	err = dns_name_wire(wire, wild ? domain + 2 : domain);
	if (err <= 1)
		return err < 0 ? err : 0;
	len = (uint32_t)err - 1;
	if (self)
		flags |= wild ? C25_NAME_WILD_SELF : C25_NAME_EXACT_SELF;
	err = add_name(n, wire, len, flags);
	if (err == -EEXIST)
		log_warn("questions for %s are not taken: another domain has its hash", domain);
	/* What has the hash of a suffix leads on to longer ones as well as itself. */
	for (uint32_t at = wire[0] + 1U; at < len && (!err || err == -EEXIST); at += wire[at] + 1U)
		err = add_name(n, wire + at, len - at, 0);
	return err == -EEXIST ? 0 : err;
}

static int add_domains(struct names *n, const struct netmap *nm)
{
	const struct netmap_node *self = netmap_self(nm);
	int err = 0;

	for (size_t i = 0; self && i < nm->n_apps; i++) {
		const struct netmap_app *app = &nm->apps[i];

		if (!policy_may_use(app, self))
			continue;
		for (size_t j = 0; j < app->n_domains && !err; j++)
			err = add_domain(n, app->domains[j], policy_serves(app, self));
		if (err)
			return err;
	}
	return HASH_COUNT(n->table) > C25_MAX_NAMES ? -E2BIG : 0;
}

static int compare(const void *key, const void *value, void *ctx)
{
	struct names *n = ctx;
	struct name *name;

	HASH_FIND(hh, n->table, key, sizeof(name->hash), name);
	if (name) {
		name->written = !memcmp(&name->record, value, sizeof(name->record));
		return 0;
	}
	if (n->n_stale == n->size) {
		size_t size = n->size ? 2 * n->size : 64;
		uint64_t *more = reallocarray(n->stale, size, sizeof(*more));

		if (!more)
			return -ENOMEM;
		n->stale = more;
		n->size = size;
	}
	memcpy(&n->stale[n->n_stale++], key, sizeof(*n->stale));
	return 0;
}

static int write_names(struct names *n, const struct maps *m)
{
	struct name *name, *next;
	int err;

	err = maps_each(m, MAP_NAMES, compare, n);
	if (err)
		return err;
	HASH_ITER (hh, n->table, name, next) {
		if (name->written)
			continue;
		err = maps_name_put(m, name->hash, &name->record);
		if (err)
			return err;
	}
	for (size_t i = 0; i < n->n_stale; i++) {
		err = maps_name_del(m, n->stale[i]);
		if (err && err != -ENOENT)
			return err;
	}
	return 0;
}

/* As c25_ends has it. NULL: no memory. */
static struct c25_ends *ends_of(const struct names *n)
{
	struct c25_ends *ends = malloc(sizeof(*ends));
	struct name *name, *next;
	uint32_t shortest = DNS_MAX_NAME;

	if (!ends)
		return NULL;
	HASH_ITER (hh, n->table, name, next)
		if (name->record.flags && name->record.len < shortest)
			shortest = name->record.len;
	dns_ends_init(ends, shortest);
	HASH_ITER (hh, n->table, name, next)
		if (name->record.flags)
			dns_ends_add(ends, name->record.wire, name->record.len);
	return ends;
}

/* While the names change, nothing is known of how they end. */
static int write_all(struct names *n, const struct maps *m)
{
	_cleanup_free_ struct c25_ends *ends = ends_of(n), *old = calloc(1, sizeof(*old));
	bool same;
	int err;

	if (!ends || !old)
		return -ENOMEM;
	err = maps_ends_get(m, old);
	if (err)
		return err;
	same = !memcmp(old, ends, sizeof(*old));
	if (!same) {
		memset(old, 0, sizeof(*old));
		err = maps_ends_put(m, old);
	}
	if (!err)
		err = write_names(n, m);
	if (!err && !same)
		err = maps_ends_put(m, ends);
	return err;
}

int dns_names_sync(const struct maps *m, const struct netmap *nm)
{
	_cleanup_(names) struct names n = { 0 };
	struct c25_meta meta;
	int err;

	err = maps_meta_get(m, &meta);
	n.cookie = meta.cookie;
	if (!err)
		err = add_domains(&n, nm);
	if (err == -E2BIG)
		log_error("%u domains and what they end in are more than the %d whose questions "
			  "can be taken",
			  HASH_COUNT(n.table), C25_MAX_NAMES);
	else if (!err)
		err = write_all(&n, m);
	return err ? log_errno(-err, "write the names whose questions are taken") : 0;
}
