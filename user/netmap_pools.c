/* SPDX-License-Identifier: BSD-3-Clause */
#include "netmap_reader.h"

#include <errno.h>
#include <string.h>

/* The contract's order: of two pools that overlap, the later one is at fault. */
static const struct {
	const char *key;
	int family; /* 0: both */
	enum netmap_pool v4, v6;
} lists[] = {
	{ "magicIPPool", 0, NETMAP_V4_MAGIC, NETMAP_V6_MAGIC },
	{ "transitIPPool", 0, NETMAP_V4_TRANSIT, NETMAP_V6_TRANSIT },
	{ "v4MagicIPPool", 4, NETMAP_V4_MAGIC, NETMAP_V4_MAGIC },
	{ "v4TransitIPPool", 4, NETMAP_V4_TRANSIT, NETMAP_V4_TRANSIT },
	{ "v6MagicIPPool", 6, NETMAP_V6_MAGIC, NETMAP_V6_MAGIC },
	{ "v6TransitIPPool", 6, NETMAP_V6_TRANSIT, NETMAP_V6_TRANSIT },
};

#define SEED_LISTS 2 /* known inside an app only */

static const struct netmap_field pools_fields[] = {
	{ "v4MagicIPPool", NULL, false },
	{ "v4TransitIPPool", NULL, false },
	{ "v6MagicIPPool", NULL, false },
	{ "v6TransitIPPool", NULL, false },
};

static struct netmap_path list_path(const struct netmap_reader *r,
				    const struct netmap_pool_entry *e)
{
	return (struct netmap_path){ .up = &r->pools_at, .key = e->list };
}

static int fault_at_entry(struct netmap_reader *r, const struct netmap_pool_entry *e,
			  const char *text)
{
	struct netmap_path list = list_path(r, e);
	struct netmap_path at = { .up = &list, .index = e->index };

	return netmap_fault_at(r, &at, "%s", text);
}

/* An IPv6 range that reaches into ::ffff:0:0/96 would hold what the maps take for IPv4. */
static bool touches_mapped(const struct range *v6)
{
	static const struct c25_addr lo = { { [10] = 0xff, [11] = 0xff } };
	static const struct c25_addr hi = {
		{ [10] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	};

	return addr_cmp(&v6->from, &hi) <= 0 && addr_cmp(&lo, &v6->to) <= 0;
}

static int read_range(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		      void *into)
{
	struct range *range = into;
	char quoted[NETMAP_QUOTE_LEN];
	const char *text, *dash;
	int err;

	err = netmap_want_string(r, at, v, &text);
	if (err)
		return err;
	netmap_quote(quoted, text);
	dash = strchr(text, '-');
	err = range_parse(range, text);
	if (err == -ERANGE && !dash)
		return netmap_fault_at(r, at, "%s has host bits set", quoted);
	if (err == -ERANGE && !memchr(text, ':', (size_t)(dash - text)) != !strchr(dash, ':'))
		return netmap_fault_at(r, at, "%s mixes IPv4 and IPv6", quoted);
	if (err == -ERANGE)
		return netmap_fault_at(r, at, "%s is turned round: from is above to", quoted);
	if (err)
		return netmap_fault_at(r, at, "%s is neither a range nor a prefix", quoted);
	if (strchr(text, ':') && touches_mapped(range))
		return netmap_fault_at(r, at, "%s holds IPv4-mapped addresses", quoted);
	return 0;
}

static int add_entries(struct netmap_reader *r, size_t which, const struct range *ranges, size_t n)
{
	struct netmap_path list = { .up = &r->pools_at, .key = lists[which].key };
	struct netmap_path at = { .up = &list };
	struct netmap_pool_entry *grown;

	if (!n)
		return 0;
	grown = reallocarray(r->entries, r->n_entries + n, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	r->entries = grown;
	for (size_t i = 0; i < n; i++) {
		int family = range_is4(&ranges[i]) ? 4 : 6;

		at.index = i;
		if (lists[which].family && lists[which].family != family)
			return netmap_fault_at(r, &at, "an IPv%d range in a pool of IPv%d", family,
					       lists[which].family);
		r->entries[r->n_entries++] = (struct netmap_pool_entry){
			.range = ranges[i],
			.pool = family == 4 ? lists[which].v4 : lists[which].v6,
			.list = lists[which].key,
			.index = i,
		};
	}
	return 0;
}

/* `from`: an ipPools object, or an app in the seed's spelling. */
static int read_lists(struct netmap_reader *r, const cJSON *from, size_t first)
{
	for (size_t i = first; i < ARRAY_SIZE(lists); i++) {
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(from, lists[i].key);
		struct netmap_path at = { .up = &r->pools_at, .key = lists[i].key };
		struct netmap_list ranges;
		int err;

		if (!v)
			continue;
		err = netmap_read_list(r, &at, v, sizeof(struct range), read_range, &ranges);
		if (!err)
			err = add_entries(r, i, ranges.v, ranges.n);
		free(ranges.v);
		if (err)
			return err;
	}
	return 0;
}

/* Pools inside an app that do not count, unless they only repeat those that do. */
static int warn_unused(struct netmap_reader *r)
{
	struct netmap_path at_app = { .up = &r->apps_at };
	const cJSON *app;
	int err;

	cJSON_ArrayForEach (app, r->apps) {
		for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
			const cJSON *v = cJSON_GetObjectItemCaseSensitive(app, lists[i].key);
			const cJSON *used = cJSON_GetObjectItemCaseSensitive(
				r->pools ? r->pools : r->apps->child, lists[i].key);
			struct netmap_path at = { .up = &at_app, .key = lists[i].key };

			if (!v || v == used || (used && cJSON_Compare(v, used, true)))
				continue;
			err = netmap_warn_at(r, &at, "not used: the pools are those of %s",
					     r->pools ? "ipPools" : "the first app");
			if (err)
				return err;
		}
		at_app.index++;
	}
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	const struct netmap_pool_entry *x = *(const struct netmap_pool_entry *const *)a;
	const struct netmap_pool_entry *y = *(const struct netmap_pool_entry *const *)b;
	int c = addr_cmp(&x->range.from, &y->range.from);

	return c ? c : x < y ? -1 : x > y;
}

static int fault_overlap(struct netmap_reader *r, const struct netmap_pool_entry *earlier,
			 const struct netmap_pool_entry *later)
{
	char text[256], a[RANGE_STRLEN], b[RANGE_STRLEN];

	snprintf(text, sizeof(text), "\"%s\" overlaps \"%s\" of %s", range_print(a, &later->range),
		 range_print(b, &earlier->range), earlier->list);
	return fault_at_entry(r, later, text);
}

/* Of all pairs seen, the one whose later entry stands first. */
static int check_overlaps(struct netmap_reader *r, const struct netmap_pool_entry **sorted)
{
	const struct netmap_pool_entry *reach = sorted[0], *earlier = NULL, *later = NULL;

	for (size_t i = 1; i < r->n_entries; i++) {
		const struct netmap_pool_entry *e = sorted[i];

		if (addr_cmp(&e->range.from, &reach->range.to) <= 0) {
			const struct netmap_pool_entry *last = e > reach ? e : reach;

			if (!earlier || last < later) {
				later = last;
				earlier = e > reach ? reach : e;
			}
		}
		if (addr_cmp(&e->range.to, &reach->range.to) > 0)
			reach = e;
	}
	return earlier ? fault_overlap(r, earlier, later) : 0;
}

static int check_holds(struct netmap_reader *r, const struct netmap_pool_entry **sorted,
		       const struct netmap_node *node, const struct c25_addr *a)
{
	char text[256 + NETMAP_QUOTE_LEN], addr[ADDR_STRLEN], range[RANGE_STRLEN];
	char quoted[NETMAP_QUOTE_LEN];
	size_t lo = 0, hi = r->n_entries;

	if (addr_is_zero(a))
		return 0;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (addr_cmp(&sorted[mid]->range.from, a) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || addr_cmp(a, &sorted[lo - 1]->range.to) > 0)
		return 0;
	snprintf(text, sizeof(text), "\"%s\" holds %s, an address of node %s",
		 range_print(range, &sorted[lo - 1]->range), addr_print(addr, a),
		 netmap_quote(quoted, node->id));
	return fault_at_entry(r, sorted[lo - 1], text);
}

static int check_entries(struct netmap_reader *r)
{
	_cleanup_free_ const struct netmap_pool_entry **sorted = NULL;
	int err;

	if (!r->n_entries)
		return 0;
	sorted = calloc(r->n_entries, sizeof(struct netmap_pool_entry *));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < r->n_entries; i++)
		sorted[i] = &r->entries[i];
	qsort(sorted, r->n_entries, sizeof(struct netmap_pool_entry *), compare_entries);
	err = check_overlaps(r, sorted);
	for (size_t i = 0; !err && i < r->nm->n_nodes; i++) {
		const struct netmap_node *node = &r->nm->nodes[i];

		err = check_holds(r, sorted, node, &node->overlay4);
		if (!err)
			err = check_holds(r, sorted, node, &node->overlay6);
		if (!err)
			err = check_holds(r, sorted, node, &node->underlay);
	}
	return err;
}

static int fill(struct netmap_reader *r)
{
	size_t n[NETMAP_POOLS] = { 0 };

	for (size_t i = 0; i < r->n_entries; i++)
		n[r->entries[i].pool]++;
	for (size_t i = 0; i < NETMAP_POOLS; i++) {
		if (!n[i])
			continue;
		r->nm->pools[i].v = calloc(n[i], sizeof(struct range));
		if (!r->nm->pools[i].v)
			return -ENOMEM;
	}
	for (size_t i = 0; i < r->n_entries; i++) {
		struct netmap_ranges *pool = &r->nm->pools[r->entries[i].pool];

		pool->v[pool->n++] = r->entries[i].range;
	}
	return 0;
}

static const struct netmap_pool_entry *first_of(const struct netmap_reader *r,
						enum netmap_pool pool)
{
	for (size_t i = 0; i < r->n_entries; i++)
		if (r->entries[i].pool == pool)
			return &r->entries[i];
	return NULL;
}

/* Magic and transit addresses come in pairs; an app needs one family that has both. */
static int check_pairs(struct netmap_reader *r)
{
	bool usable = false;
	int err;

	for (int v6 = 0; v6 < 2; v6++) {
		const struct netmap_pool_entry *magic, *transit;
		struct netmap_path at;

		magic = first_of(r, v6 ? NETMAP_V6_MAGIC : NETMAP_V4_MAGIC);
		transit = first_of(r, v6 ? NETMAP_V6_TRANSIT : NETMAP_V4_TRANSIT);
		if (magic && !transit) {
			at = list_path(r, magic);
			return netmap_fault_at(r, &at, "IPv%d has magic but no transit addresses",
					       v6 ? 6 : 4);
		}
		if (transit && !magic) {
			at = list_path(r, transit);
			err = netmap_warn_at(r, &at, "not used: IPv%d has no magic addresses",
					     v6 ? 6 : 4);
			if (err)
				return err;
		}
		usable |= magic && transit;
	}
	if (r->nm->n_apps && !usable) {
		struct netmap_path at = { .up = &r->apps_at, .index = 0 };

		return netmap_fault_at(r, &at,
				       "no usable pool: ipPools needs magic and transit addresses "
				       "of one family");
	}
	return 0;
}

int netmap_pools_read(struct netmap_reader *r)
{
	int err = 0;

	if (r->pools) {
		err = netmap_read_object(r, &r->pools_at, r->pools, pools_fields,
					 ARRAY_SIZE(pools_fields), NULL);
		if (!err)
			err = read_lists(r, r->pools, SEED_LISTS);
	} else if (r->apps && r->apps->child) {
		r->pools_at = (struct netmap_path){ .up = &r->apps_at };
		err = read_lists(r, r->apps->child, 0);
	}
	if (!err)
		err = warn_unused(r);
	if (!err)
		err = fill(r);
	if (!err)
		err = check_entries(r);
	if (!err)
		err = check_pairs(r);
	return err;
}
