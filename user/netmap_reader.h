/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netmap_reader: what the files of the netmap's parser share, and nobody else includes.
 *
 * Paths are chains of frames on the callers' stacks and become text only where a fault or a
 * warning needs it. Every reading function returns 0, -EINVAL with the fault filled, or -ENOMEM.
 */
#ifndef NETMAP_READER_H
#define NETMAP_READER_H

#include "netmap.h"

#include <cjson/cJSON.h>

#define NETMAP_QUOTE_LEN    256
#define NETMAP_MAX_WARNINGS 1000

/* One step below `up`; the document itself is NULL. */
struct netmap_path {
	const struct netmap_path *up;
	const char *key; /* NULL: `index` counts */
	size_t index;
};

/* One range of a pool, with the way back to where it stands. */
struct netmap_pool_entry {
	struct range range;
	enum netmap_pool pool;
	const char *list;
	size_t index;
};

struct netmap_reader {
	struct netmap *nm;
	struct netmap_fault *fault;
	const cJSON *apps; /* the list, under either spelling; NULL: absent */
	struct netmap_path apps_at;
	const cJSON *pools; /* the object with the pools' lists; NULL: absent */
	struct netmap_path pools_list_at;
	struct netmap_path pools_at;
	struct netmap_pool_entry *entries; /* in the contract's order of pools */
	size_t n_entries;
};

typedef int (*netmap_read_fn)(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			      void *into);

struct netmap_field {
	const char *name;
	netmap_read_fn read; /* NULL: known, and read elsewhere */
	bool required;
};

struct netmap_list {
	void *v;
	size_t n;
};

/* netmap_json.c: the whole text as a tree, or a fault that names line and column. */
int netmap_json_parse(cJSON **out, const char *text, size_t len, struct netmap_fault *fault);
DEFINE_CLEANUP(cjson, cJSON *, cJSON_Delete)
#define _cleanup_cjson_ _cleanup_(cjson)

/* netmap_reader.c: faults, warnings, objects and lists. */
int netmap_fault_at(struct netmap_reader *r, const struct netmap_path *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int netmap_warn_at(struct netmap_reader *r, const struct netmap_path *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* In quotes and on one line; a long text is cut. Returns `buf`. */
const char *netmap_quote(char buf[NETMAP_QUOTE_LEN], const char *text);
int netmap_want_string(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		       const char **out);
int netmap_want_bool(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		     bool *out);
int netmap_read_object(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		       const struct netmap_field *fields, size_t n_fields, void *into);
/* Calls `each` for every element with its slot of `size` bytes, zeroed. The caller owns
 * `out->v` also after a failure, with as many elements as were read whole. */
int netmap_read_list(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		     size_t size, netmap_read_fn each, struct netmap_list *out);

/* netmap_value.c: the leaves. `into` is a char ** (owned), c25_addr * or prefix *. */
int netmap_read_name(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		     void *into); /* not empty, printable */
int netmap_read_addr(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		     void *into);
int netmap_read_prefix(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		       void *into);
int netmap_read_domain(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		       void *into);
int netmap_read_url(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		    void *into);
int netmap_read_key(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		    void *into);

/* netmap_pools.c: both spellings of the pools, and what they may not hold. Nodes and apps have
 * been read. */
int netmap_pools_read(struct netmap_reader *r);

/* netmap_check.c: what no value shows alone: things that stand twice, names of nobody. Makes
 * nm->index. */
int netmap_check(struct netmap_reader *r);

/* netmap_index.c */
int netmap_index_new(struct netmap_index **out, const struct netmap *nm);
void netmap_index_free(struct netmap_index *ix);

#endif
