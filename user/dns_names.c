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

static uint64_t name_hash(uint32_t cookie, const struct c25_name *record)
{
	uint64_t hash = c25_name_start(cookie);

	for (uint32_t i = record->len; i--;)
		hash = c25_name_step(hash, record->wire[i]);
	return hash;
}

/* `domain` is one of the netmap's: lower case, valid. */
static int add_domain(struct names *n, const char *domain, bool self)
{
	bool wild = domain[0] == '*';
	struct c25_name record = { 0 };
	uint8_t wire[DNS_MAX_NAME];
	struct name *name;
	uint64_t hash;
	int len;

	len = dns_name_wire(wire, wild ? domain + 2 : domain);
	if (len <= 1)
		return len < 0 ? len : 0;
	record.len = (uint32_t)len - 1;
	memcpy(record.wire, wire, record.len);
	hash = name_hash(n->cookie, &record);
	HASH_FIND(hh, n->table, &hash, sizeof(hash), name);
	if (name && memcmp(name->record.wire, record.wire, sizeof(record.wire)) != 0) {
		log_warn("questions for %s are not taken: another domain has its hash", domain);
		return 0;
	}
	if (!name) {
		name = calloc(1, sizeof(*name));
		if (!name)
			return -ENOMEM;
		name->hash = hash;
		name->record = record;
		HASH_ADD(hh, n->table, hash, sizeof(hash), name);
	}
	name->record.flags |= wild ? C25_NAME_WILD : C25_NAME_EXACT;
	if (self)
		name->record.flags |= wild ? C25_NAME_WILD_SELF : C25_NAME_EXACT_SELF;
	return 0;
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
		log_error("%u domains are more than the %d whose questions can be taken",
			  HASH_COUNT(n.table), C25_MAX_NAMES);
	else if (!err)
		err = write_names(&n, m);
	return err ? log_errno(-err, "write the names whose questions are taken") : 0;
}
