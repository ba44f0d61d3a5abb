/* SPDX-License-Identifier: BSD-3-Clause */
#include "peers.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct peer {
	uint32_t index;
	bool present; /* in the netmap last synced */
	struct c25_peer record;
	UT_hash_handle by_id;
	char id[];
};

struct net {
	struct prefix prefix;
	struct c25_net value;
	bool wanted;
	UT_hash_handle hh;
};

struct peers {
	const struct maps *maps;
	struct peer *by_id;
	struct peer *by_index[C25_MAX_PEERS];
	struct net *nets;
};

static struct peer *peer_add(struct peers *p, uint32_t index, const char *id)
{
	size_t len = strlen(id);
	struct peer *peer = calloc(1, sizeof(*peer) + len + 1);

	if (!peer)
		return NULL;
	memcpy(peer->id, id, len);
	peer->index = index;
	p->by_index[index] = peer;
	HASH_ADD_KEYPTR(by_id, p->by_id, peer->id, len, peer);
	return peer;
}

static struct peer *peer_find(const struct peers *p, const char *id)
{
	struct peer *peer;

	HASH_FIND(by_id, p->by_id, id, strlen(id), peer);
	return peer;
}

/* A record's id is cut to fit: one that fills it cannot be told from others. The name it gets is
 * no node's; see peer_find_cut(). */
static int restore_peer(const void *key, const void *value, void *ctx)
{
	const struct c25_peer *record = value;
	uint32_t index = *(const uint32_t *)key;
	char id[C25_ID_LEN + 16];
	struct peers *p = ctx;
	struct peer *peer;

	if (!record->id[0])
		return 0;
	memcpy(id, record->id, C25_ID_LEN);
	id[C25_ID_LEN - 1] = 0;
	if (strlen(id) == C25_ID_LEN - 1 || peer_find(p, id))
		snprintf(id + strlen(id), 16, "\n%u", index);
	peer = peer_add(p, index, id);
	if (!peer)
		return -ENOMEM;
	peer->record = *record;
	return 0;
}

/* After a restart: the number of a node whose id the record holds only the beginning of. */
static struct peer *peer_find_cut(struct peers *p, const struct c25_peer *record, const char *id)
{
	struct c25_peer written;
	struct peer *peer = NULL;
	uint32_t index;

	if (strlen(id) < C25_ID_LEN - 1)
		return NULL;
	for (index = 0; index < C25_MAX_PEERS; index++) {
		peer = p->by_index[index];
		if (peer && strchr(peer->id, '\n') &&
		    !memcmp(peer->record.id, record->id, sizeof(record->id)) &&
		    addr_equal(&peer->record.overlay4, &record->overlay4) &&
		    addr_equal(&peer->record.overlay6, &record->overlay6))
			break;
	}
	if (index == C25_MAX_PEERS)
		return NULL;
	written = peer->record;
	HASH_DELETE(by_id, p->by_id, peer);
	p->by_index[index] = NULL;
	free(peer);
	peer = peer_add(p, index, id);
	if (peer)
		peer->record = written;
	return peer;
}

static struct net *net_add(struct peers *p, const struct prefix *prefix)
{
	struct net *n;

	HASH_FIND(hh, p->nets, prefix, sizeof(*prefix), n);
	if (n)
		return n;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->prefix = *prefix;
	HASH_ADD(hh, p->nets, prefix, sizeof(n->prefix), n);
	return n;
}

static int restore_net(const void *key, const void *value, void *ctx)
{
	const struct c25_net_key *k = key;
	struct prefix prefix = { .addr = k->addr, .len = (uint8_t)k->prefixlen };
	struct net *n = net_add(ctx, &prefix);

	if (!n)
		return -ENOMEM;
	n->value = *(const struct c25_net *)value;
	return 0;
}

int peers_new(struct peers **out, const struct maps *maps)
{
	_cleanup_(peers) struct peers *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->maps = maps;
	err = maps_each(maps, MAP_PEERS, restore_peer, p);
	if (err)
		return err;
	err = maps_each(maps, MAP_NETS, restore_net, p);
	if (err)
		return err;
	*out = TAKE_PTR(p);
	return 0;
}

void peers_free(struct peers *p)
{
	struct net *n, *next;

	HASH_CLEAR(by_id, p->by_id);
	for (uint32_t i = 0; i < C25_MAX_PEERS; i++)
		free(p->by_index[i]);
	HASH_ITER (hh, p->nets, n, next) {
		HASH_DEL(p->nets, n);
		free(n);
	}
	free(p);
}

/* A number never given, else that of a node which left. */
static uint32_t free_index(struct peers *p)
{
	for (uint32_t i = 0; i < C25_MAX_PEERS; i++)
		if (!p->by_index[i])
			return i;
	for (uint32_t i = 0; i < C25_MAX_PEERS; i++) {
		if (p->by_index[i]->present)
			continue;
		HASH_DELETE(by_id, p->by_id, p->by_index[i]);
		free(p->by_index[i]);
		p->by_index[i] = NULL;
		return i;
	}
	return PEERS_NONE;
}

static struct c25_peer record_of(const struct netmap_node *node)
{
	struct c25_peer r = {
		.overlay4 = node->overlay4,
		.overlay6 = node->overlay6,
		.underlay = node->underlay,
		.flags = C25_PEER_USED | (node->connector ? C25_PEER_CONNECTOR : 0),
	};

	strncpy(r.id, node->id, sizeof(r.id) - 1);
	return r;
}

static int write_record(struct peers *p, struct peer *peer, const struct c25_peer *record)
{
	int err;

	if (!memcmp(&peer->record, record, sizeof(*record)))
		return 0;
	err = maps_peer_put(p->maps, peer->index, record);
	if (!err)
		peer->record = *record;
	return err;
}

static int sync_peer(struct peers *p, const struct netmap_node *node)
{
	struct c25_peer record = record_of(node);
	struct peer *peer = peer_find(p, node->id);
	uint32_t index;

	if (!peer)
		peer = peer_find_cut(p, &record, node->id);
	if (!peer) {
		index = free_index(p);
		if (index == PEERS_NONE)
			return -ENOSPC;
		peer = peer_add(p, index, node->id);
		if (!peer)
			return -ENOMEM;
	}
	peer->present = true;
	return write_record(p, peer, &record);
}

/* Nodes that left: first their addresses stop meaning anything, their id stays. */
static int clear_absent(struct peers *p)
{
	int result = 0, err;

	for (uint32_t i = 0; i < C25_MAX_PEERS; i++) {
		struct peer *peer = p->by_index[i];
		struct c25_peer record = { 0 };

		if (!peer || peer->present)
			continue;
		memcpy(record.id, peer->record.id, sizeof(record.id));
		err = write_record(p, peer, &record);
		if (err)
			result = err;
	}
	return result;
}

struct want {
	struct peers *p;
	struct c25_net value;
	int err;
};

static int want_net(const struct prefix *prefix, void *ctx)
{
	struct want *w = ctx;
	struct net *n = net_add(w->p, prefix);
	int err;

	if (!n)
		return -ENOMEM;
	if (n->wanted)
		return 0;
	n->wanted = true;
	if (n->value.kind == w->value.kind && n->value.peer == w->value.peer)
		return 0;
	err = maps_net_put(w->p->maps, prefix, &w->value);
	if (!err)
		n->value = w->value;
	else
		w->err = err;
	return 0;
}

static void want_host(struct want *w, const struct c25_addr *a)
{
	if (!addr_is_zero(a))
		want_net(&(struct prefix){ .addr = *a, .len = 128 }, w);
}

static void want_addresses(struct want *w, const struct netmap_node *node, bool self)
{
	w->value.kind = self ? C25_NET_SELF : C25_NET_NODE;
	w->value.peer = self ? 0 : peers_index(w->p, node->id);
	want_host(w, &node->overlay4);
	want_host(w, &node->overlay6);
}

static void want_pods(struct want *w, const struct netmap_node *node)
{
	w->value.kind = C25_NET_PODS;
	w->value.peer = peers_index(w->p, node->id);
	for (size_t i = 0; i < node->n_pod_cidrs; i++)
		want_net(&node->pod_cidrs[i], w);
}

/* Of two that name one prefix the first stays: a node's own address is more than a pod's. */
static int sync_nets(struct peers *p, const struct netmap *nm)
{
	static const uint32_t kinds[NETMAP_POOLS] = {
		[NETMAP_V4_MAGIC] = C25_NET_MAGIC,
		[NETMAP_V4_TRANSIT] = C25_NET_TRANSIT,
		[NETMAP_V6_MAGIC] = C25_NET_MAGIC,
		[NETMAP_V6_TRANSIT] = C25_NET_TRANSIT,
	};
	struct want w = { .p = p };
	struct net *n, *next;
	int err;

	HASH_ITER (hh, p->nets, n, next)
		n->wanted = false;
	for (size_t i = 0; i < nm->n_nodes; i++)
		want_addresses(&w, &nm->nodes[i], i == nm->self);
	for (int pool = 0; pool < NETMAP_POOLS; pool++) {
		w.value = (struct c25_net){ .kind = kinds[pool] };
		for (size_t i = 0; i < nm->pools[pool].n; i++) {
			err = range_to_prefixes(&nm->pools[pool].v[i], want_net, &w);
			if (err)
				return err;
		}
	}
	for (size_t i = 0; i < nm->n_nodes; i++)
		if (i != nm->self)
			want_pods(&w, &nm->nodes[i]);
	HASH_ITER (hh, p->nets, n, next) {
		if (n->wanted)
			continue;
		err = maps_net_del(p->maps, &n->prefix);
		if (err && err != -ENOENT) {
			w.err = err;
			continue;
		}
		HASH_DEL(p->nets, n);
		free(n);
	}
	return w.err;
}

int peers_sync(struct peers *p, const struct netmap *nm)
{
	int result = 0, err;

	for (uint32_t i = 0; i < C25_MAX_PEERS; i++)
		if (p->by_index[i])
			p->by_index[i]->present = false;
	for (size_t i = 0; i < nm->n_nodes; i++) {
		if (i == nm->self)
			continue;
		err = sync_peer(p, &nm->nodes[i]);
		if (err)
			result = err;
	}
	err = sync_nets(p, nm);
	if (err)
		result = err;
	err = clear_absent(p);
	return err ? err : result;
}

uint32_t peers_index(const struct peers *p, const char *id)
{
	const struct peer *peer = peer_find(p, id);

	return peer && peer->present ? peer->index : PEERS_NONE;
}

const char *peers_id(const struct peers *p, uint32_t index)
{
	if (index >= C25_MAX_PEERS || !p->by_index[index])
		return NULL;
	return p->by_index[index]->id;
}
