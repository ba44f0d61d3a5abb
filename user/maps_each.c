/* SPDX-License-Identifier: BSD-3-Clause */
#include "maps.h"

#include "cleanup.h"
#include "maps_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#define BATCH 1024 /* entries read with one system call */

typedef int (*each_fn)(const void *key, const void *value, void *ctx);

struct batch {
	uint32_t room;
	char *keys;
	char *values;
};

static void batch_free(struct batch *b)
{
	free(b->keys);
	free(b->values);
}

static int batch_grow(struct batch *b, const struct maps_shape *shape, uint32_t room)
{
	/* Zeroed: valgrind does not know that the kernel fills them. */
	char *keys = calloc(room, shape->key), *values = calloc(room, shape->value);

	if (!keys || !values) {
		free(keys);
		free(values);
		return -ENOMEM;
	}
	batch_free(b);
	*b = (struct batch){ .room = room, .keys = keys, .values = values };
	return 0;
}

static int batch_walk(struct batch *b, int fd, const struct maps_shape *shape, each_fn each,
		      void *ctx)
{
	uint32_t at = 0, next = 0, n;
	bool started = false;
	int err, end;

	err = batch_grow(b, shape, BATCH);
	if (err)
		return err;
	do {
		n = b->room;
		end = bpf_map_lookup_batch(fd, started ? &at : NULL, &next, b->keys, b->values, &n,
					   NULL);
		/* One bucket of the hash holds more than there is room for. */
		if (end == -ENOSPC) {
			err = batch_grow(b, shape, b->room * 2);
			if (err)
				return err;
			continue;
		}
		if (end && end != -ENOENT)
			return end;
		for (uint32_t i = 0; i < n; i++) {
			err = each(b->keys + (size_t)i * shape->key,
				   b->values + (size_t)i * shape->value, ctx);
			if (err)
				return err;
		}
		at = next;
		started = true;
	} while (end != -ENOENT);
	return 0;
}

/*
 * For tries, whose batches need Linux 5.16 and break off when a key goes meanwhile. After a key
 * that went the kernel starts again from the first one, so the walk is bounded.
 */
static int key_walk(int fd, const struct maps_shape *shape, uint32_t max, each_fn each, void *ctx)
{
	_cleanup_free_ char *key = calloc(1, shape->key);
	_cleanup_free_ char *next = calloc(1, shape->key);
	_cleanup_free_ char *value = calloc(1, shape->value);
	bool started = false, gone;
	int err;

	if (!key || !next || !value)
		return -ENOMEM;
	for (uint32_t i = 0; i < max; i++) {
		err = bpf_map_get_next_key(fd, started ? key : NULL, next);
		if (err)
			return err == -ENOENT ? 0 : err;
		err = bpf_map_lookup_elem(fd, next, value);
		if (err && err != -ENOENT)
			return err;
		gone = err == -ENOENT;
		err = gone ? 0 : each(next, value, ctx);
		if (err)
			return err;
		memcpy(key, next, shape->key);
		started = true;
	}
	return 0;
}

static int map_info(int fd, struct bpf_map_info *info)
{
	uint32_t len = sizeof(*info);

	/* The kernel's own answer to -1 is not the one of the other calls. */
	if (fd < 0)
		return -EBADF;
	memset(info, 0, sizeof(*info));
	return bpf_obj_get_info_by_fd(fd, info, &len);
}

int maps_each(const struct maps *m, enum map_id id, each_fn each, void *ctx)
{
	const struct maps_shape *shape = &maps_shapes[id];
	struct bpf_map_info info;
	struct batch b = { 0 };
	int err;

	err = map_info(m->fd[id], &info);
	if (err)
		return err;
	switch (info.type) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_ARRAY:
		err = batch_walk(&b, m->fd[id], shape, each, ctx);
		batch_free(&b);
		return err;
	case BPF_MAP_TYPE_LPM_TRIE:
		return key_walk(m->fd[id], shape, info.max_entries, each, ctx);
	default:
		return -EOPNOTSUPP;
	}
}

struct flow_walk {
	int (*each)(uint32_t slot, const struct c25_flow *f, void *ctx);
	void *ctx;
	uint32_t high;
	int result;
};

static int flow_seen(const void *key, const void *value, void *ctx)
{
	const struct c25_flow *f = value;
	struct flow_walk *w = ctx;
	uint32_t slot;

	memcpy(&slot, key, sizeof(slot));
	if (slot >= w->high)
		return 1;
	if (f->state == C25_FLOW_FREE || f->state == C25_FLOW_ENDED)
		return 0;
	w->result = w->each(slot, f, w->ctx);
	return w->result;
}

int maps_flow_each(const struct maps *m,
		   int (*each)(uint32_t slot, const struct c25_flow *f, void *ctx), void *ctx)
{
	struct flow_walk w = { .each = each, .ctx = ctx };
	struct c25_tick tick;
	int err;

	err = bpf_map_lookup_elem(m->fd[MAP_TICK], &(uint32_t){ 0 }, &tick);
	if (err)
		return err;
	/* Slots from `high` on were never used; most of the array is never read. */
	w.high = tick.high;
	if (!w.high)
		return m->fd[MAP_FLOWS] < 0 ? -EBADF : 0;
	err = maps_each(m, MAP_FLOWS, flow_seen, &w);
	return err == 1 ? w.result : err;
}

int maps_reasons(const struct maps *m, struct c25_count *out)
{
	struct c25_count sums[C25_REASON_MAX] = { 0 };
	_cleanup_free_ struct c25_count *cpus = NULL;
	int n = libbpf_num_possible_cpus(), err;

	if (n < 0)
		return n;
	cpus = calloc((size_t)n, sizeof(*cpus));
	if (!cpus)
		return -ENOMEM;
	for (uint32_t r = 0; r < C25_REASON_MAX; r++) {
		err = bpf_map_lookup_elem(m->fd[MAP_REASONS], &r, cpus);
		/* The pins of an older version count fewer reasons. */
		if (err == -ENOENT)
			break;
		if (err)
			return err;
		for (int i = 0; i < n; i++) {
			sums[r].packets += cpus[i].packets;
			sums[r].bytes += cpus[i].bytes;
		}
	}
	memcpy(out, sums, sizeof(sums));
	return 0;
}

static int count_entry(const void *key, const void *value, void *ctx)
{
	(*(uint64_t *)ctx)++;
	return 0;
}

static int count_peer(const void *key, const void *value, void *ctx)
{
	if (((const struct c25_peer *)value)->flags & C25_PEER_USED)
		(*(uint64_t *)ctx)++;
	return 0;
}

static int count_flow(uint32_t slot, const struct c25_flow *f, void *ctx)
{
	(*(uint64_t *)ctx)++;
	return 0;
}

int maps_fill(const struct maps *m, enum map_id id, uint64_t *used, uint64_t *size)
{
	struct bpf_map_info info;
	uint64_t n = 0;
	int err;

	err = map_info(m->fd[id], &info);
	if (err)
		return err;
	if (id == MAP_FLOWS)
		err = maps_flow_each(m, count_flow, &n);
	else if (id == MAP_REASONS)
		n = info.max_entries;
	else
		err = maps_each(m, id, id == MAP_PEERS ? count_peer : count_entry, &n);
	if (err)
		return err;
	*used = n;
	*size = info.max_entries;
	return 0;
}
