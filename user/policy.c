/* SPDX-License-Identifier: BSD-3-Clause */
#include "policy.h"

#include <string.h>

static bool has_name(char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

/* Whether an entry of an app's list, a tag, an id or "*", stands for the node. */
static bool list_names(char *const *list, size_t n, const struct netmap_node *node)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], "*") || !strcmp(list[i], node->id) ||
		    has_name(node->tags, node->n_tags, list[i]))
			return true;
	return false;
}

bool policy_may_use(const struct netmap_app *app, const struct netmap_node *node)
{
	return list_names(app->clients, app->n_clients, node);
}

bool policy_serves(const struct netmap_app *app, const struct netmap_node *node)
{
	return node->connector && list_names(app->connectors, app->n_connectors, node);
}

/* FNV-1a over the text and its NUL, so that neighbours cannot run into one another. */
static uint64_t hash_text(uint64_t h, const char *text)
{
	do
		h = (h ^ (unsigned char)*text) * 0x100000001b3ULL;
	while (*text++);
	return h;
}

/* FNV-1a spreads its last bytes badly over the upper bits; the ids of a cluster differ there. */
static uint64_t mix(uint64_t h)
{
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ULL;
	h = (h ^ h >> 27) * 0x94d049bb133111ebULL;
	return h ^ h >> 31;
}

/* Whether connector `a` is tried before `b`. Ids are unique, so this is a total order. */
static bool goes_before(const struct netmap *nm, uint64_t seed, size_t a, size_t b)
{
	uint64_t x = mix(hash_text(seed, nm->nodes[a].id));
	uint64_t y = mix(hash_text(seed, nm->nodes[b].id));

	return x != y ? x > y : strcmp(nm->nodes[a].id, nm->nodes[b].id) < 0;
}

static bool is_reachable(const struct netmap_node *node)
{
	return !addr_is_zero(&node->overlay4) || !addr_is_zero(&node->overlay6);
}

size_t policy_connectors(const struct netmap *nm, const struct netmap_app *app,
			 const struct netmap_node *client, size_t *out, size_t max)
{
	uint64_t seed = hash_text(hash_text(0xcbf29ce484222325ULL, client->id), app->name);
	size_t total = 0, held = 0;

	for (size_t i = 0; i < nm->n_nodes; i++) {
		size_t lo = 0, hi = held;

		if (&nm->nodes[i] == client || !is_reachable(&nm->nodes[i]) ||
		    !policy_serves(app, &nm->nodes[i]))
			continue;
		total++;
		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;

			if (goes_before(nm, seed, i, out[mid]))
				hi = mid;
			else
				lo = mid + 1;
		}
		if (lo == max)
			continue;
		if (held < max)
			held++;
		memmove(&out[lo + 1], &out[lo], (held - lo - 1) * sizeof(*out));
		out[lo] = i;
	}
	return total;
}

static const char *denied_class4(const uint8_t *b)
{
	static const uint8_t broadcast[4] = { 255, 255, 255, 255 };

	if (b[0] == 0)
		return "destination is unspecified";
	if (b[0] == 127)
		return "destination is a loopback address";
	if (b[0] == 169 && b[1] == 254)
		return "destination is link-local";
	if ((b[0] & 0xf0) == 0xe0)
		return "destination is a multicast address";
	if (!memcmp(b, broadcast, sizeof(broadcast)))
		return "destination is the broadcast address";
	return NULL;
}

static const char *denied_class6(const uint8_t *b)
{
	static const uint8_t loopback[16] = { [15] = 1 };

	if (!memcmp(b, loopback, sizeof(loopback)))
		return "destination is a loopback address";
	if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
		return "destination is link-local";
	if (b[0] == 0xff)
		return "destination is a multicast address";
	return NULL;
}

/* Why the destination is one that nobody may reach unasked, or NULL. */
static const char *always_denied(const struct netmap *nm, const struct c25_addr *dst)
{
	const char *why;

	if (addr_is_zero(dst))
		return "destination is unspecified";
	why = addr_is4(dst) ? denied_class4(dst->b + 12) : denied_class6(dst->b);
	if (why)
		return why;
	for (size_t i = 0; i < NETMAP_POOLS; i++)
		for (size_t j = 0; j < nm->pools[i].n; j++)
			if (range_covers(&nm->pools[i].v[j], dst))
				return "destination is inside a pool";
	if (netmap_node_by_addr(nm, dst))
		return "destination is a node's overlay address";
	return NULL;
}

static bool is_default(const struct prefix *p)
{
	return p->len == (prefix_is4(p) ? 96 : 0);
}

bool policy_destination(const struct netmap *nm, const struct netmap_app *app,
			const struct c25_addr *dst, bool spelled_v6, const char **why)
{
	bool covered = !app->has_routes, named = false;
	const char *denied;

	if (spelled_v6 && addr_is4(dst)) {
		*why = "destination is an IPv4-mapped IPv6 address";
		return false;
	}
	for (size_t i = 0; i < app->n_routes && !named; i++) {
		if (!prefix_covers(&app->routes[i], dst))
			continue;
		covered = true;
		named = !is_default(&app->routes[i]);
	}
	if (!covered) {
		*why = "destination is outside the app's routes";
		return false;
	}
	denied = named ? NULL : always_denied(nm, dst);
	if (denied)
		*why = denied;
	return !denied;
}
