/* SPDX-License-Identifier: BSD-3-Clause */
#include "netmap_reader.h"

#include <errno.h>
#include <string.h>

/* What may stand once only, or is looked up: sorted, and in the file's order where equal. */
struct named {
	const char *name;
	size_t at;
};

struct placed {
	struct range range;
	size_t node;
	size_t index;
};

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c ? c : x->at < y->at ? -1 : x->at > y->at;
}

static int compare_placed(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;
	int c = range_is4(&x->range) - range_is4(&y->range);

	if (!c)
		c = addr_cmp(&x->range.from, &y->range.from);
	if (!c)
		c = x->node < y->node ? -1 : x->node > y->node;
	return c ? c : x->index < y->index ? -1 : x->index > y->index;
}

/* The first in the file that stood before, or `n`. Sorts. */
static size_t first_double(struct named *v, size_t n)
{
	size_t found = n;

	qsort(v, n, sizeof(*v), compare_named);
	for (size_t i = 1; i < n; i++)
		if (!strcmp(v[i - 1].name, v[i].name) && v[i].at < found)
			found = v[i].at;
	return found;
}

static int check_ids(struct netmap_reader *r)
{
	_cleanup_free_ struct named *v = calloc(r->nm->n_nodes + 1, sizeof(*v));
	struct netmap_path nodes = { .key = "nodes" }, node = { .up = &nodes };
	struct netmap_path at = { .up = &node, .key = "id" };
	char quoted[NETMAP_QUOTE_LEN];

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < r->nm->n_nodes; i++)
		v[i] = (struct named){ r->nm->nodes[i].id, i };
	node.index = first_double(v, r->nm->n_nodes);
	if (node.index == r->nm->n_nodes)
		return 0;
	return netmap_fault_at(r, &at, "the id %s stands twice",
			       netmap_quote(quoted, r->nm->nodes[node.index].id));
}

static int check_app_names(struct netmap_reader *r)
{
	_cleanup_free_ struct named *v = calloc(r->nm->n_apps + 1, sizeof(*v));
	struct netmap_path app = { .up = &r->apps_at };
	struct netmap_path at = { .up = &app, .key = "name" };
	char quoted[NETMAP_QUOTE_LEN];

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < r->nm->n_apps; i++)
		v[i] = (struct named){ r->nm->apps[i].name, i };
	app.index = first_double(v, r->nm->n_apps);
	if (app.index == r->nm->n_apps)
		return 0;
	return netmap_fault_at(r, &at, "the app %s stands twice",
			       netmap_quote(quoted, r->nm->apps[app.index].name));
}

static int fault_address(struct netmap_reader *r, const struct placed *p)
{
	struct netmap_path nodes = { .key = "nodes" }, node = { .up = &nodes, .index = p->node };
	struct netmap_path list = { .up = &node, .key = "addresses" };
	struct netmap_path at = { .up = &list, .index = p->index };
	char text[ADDR_STRLEN];

	return netmap_fault_at(r, &at, "\"%s\" stands twice", addr_print(text, &p->range.from));
}

static void place_address(struct placed *v, size_t *n, const struct netmap *nm, size_t node,
			  const struct c25_addr *a)
{
	if (addr_is_zero(a))
		return;
	v[(*n)++] = (struct placed){
		.range = { *a, *a },
		.node = node,
		.index = !addr_equal(a, &nm->nodes[node].first),
	};
}

static int check_addresses(struct netmap_reader *r)
{
	_cleanup_free_ struct placed *v = calloc(2 * r->nm->n_nodes + 1, sizeof(*v));
	const struct placed *found = NULL;
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < r->nm->n_nodes; i++) {
		place_address(v, &n, r->nm, i, &r->nm->nodes[i].overlay4);
		place_address(v, &n, r->nm, i, &r->nm->nodes[i].overlay6);
	}
	qsort(v, n, sizeof(*v), compare_placed);
	for (size_t i = 1; i < n; i++)
		if (addr_equal(&v[i - 1].range.from, &v[i].range.from) &&
		    (!found || v[i].node < found->node))
			found = &v[i];
	return found ? fault_address(r, found) : 0;
}

static int warn_pods(struct netmap_reader *r, const struct placed *p, const char *what,
		     const char *name)
{
	struct netmap_path nodes = { .key = "nodes" }, node = { .up = &nodes, .index = p->node };
	struct netmap_path list = { .up = &node, .key = "podCIDRs" };
	struct netmap_path at = { .up = &list, .index = p->index };
	char text[RANGE_STRLEN], quoted[NETMAP_QUOTE_LEN];

	return netmap_warn_at(r, &at, "\"%s\" overlaps %s%s", range_print(text, &p->range), what,
			      name ? netmap_quote(quoted, name) : "");
}

static bool in_a_pool(const struct netmap *nm, const struct range *range)
{
	for (size_t i = 0; i < NETMAP_POOLS; i++)
		for (size_t j = 0; j < nm->pools[i].n; j++)
			if (range_overlaps(&nm->pools[i].v[j], range))
				return true;
	return false;
}

/* A source behind two nodes belongs to the one with the longer prefix, which may surprise. */
static int warn_overlaps(struct netmap_reader *r, const struct placed *v, size_t n)
{
	const struct placed *reach = v;
	int err = 0;

	for (size_t i = 0; !err && i < n; i++) {
		if (in_a_pool(r->nm, &v[i].range))
			err = warn_pods(r, &v[i], "a pool", NULL);
		if (!err && v[i].node != reach->node && range_overlaps(&reach->range, &v[i].range))
			err = warn_pods(r, &v[i], "the podCIDRs of ", r->nm->nodes[reach->node].id);
		if (range_is4(&v[i].range) != range_is4(&reach->range) ||
		    addr_cmp(&v[i].range.to, &reach->range.to) > 0)
			reach = &v[i];
	}
	return err;
}

static int check_pods(struct netmap_reader *r)
{
	_cleanup_free_ struct placed *v = NULL;
	size_t n = 0;

	for (size_t i = 0; i < r->nm->n_nodes; i++)
		n += r->nm->nodes[i].n_pod_cidrs;
	if (!n)
		return 0;
	v = calloc(n, sizeof(*v));
	if (!v)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < r->nm->n_nodes; i++)
		for (size_t j = 0; j < r->nm->nodes[i].n_pod_cidrs; j++)
			v[n++] = (struct placed){
				.range = range_of_prefix(&r->nm->nodes[i].pod_cidrs[j]),
				.node = i,
				.index = j,
			};
	qsort(v, n, sizeof(*v), compare_placed);
	return warn_overlaps(r, v, n);
}

static int warn_connectors(struct netmap_reader *r)
{
	struct netmap_path nodes = { .key = "nodes" }, at = { .up = &nodes };
	int err = 0;

	for (; !err && at.index < r->nm->n_nodes; at.index++) {
		const struct netmap_node *node = &r->nm->nodes[at.index];

		if (node->connector && addr_is_zero(&node->first))
			err = netmap_warn_at(r, &at,
					     "a connector without addresses is never reached");
	}
	return err;
}

static int compare_name_only(const void *a, const void *b)
{
	return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

static int warn_strangers(struct netmap_reader *r, const struct named *known, size_t n_known,
			  const struct netmap_path *app, const char *key, char *const *names,
			  size_t n)
{
	struct netmap_path list = { .up = app, .key = key }, at = { .up = &list };
	char quoted[NETMAP_QUOTE_LEN];
	int err = 0;

	for (; !err && at.index < n; at.index++) {
		struct named name = { .name = names[at.index] };

		if (!strcmp(name.name, "*") ||
		    bsearch(&name, known, n_known, sizeof(*known), compare_name_only))
			continue;
		err = netmap_warn_at(r, &at, "no node has the id or tag %s",
				     netmap_quote(quoted, name.name));
	}
	return err;
}

static int check_names_of_apps(struct netmap_reader *r)
{
	_cleanup_free_ struct named *known = NULL;
	struct netmap_path at = { .up = &r->apps_at };
	size_t n = 0;
	int err = 0;

	for (size_t i = 0; i < r->nm->n_nodes; i++)
		n += 1 + r->nm->nodes[i].n_tags;
	known = calloc(n + 1, sizeof(*known));
	if (!known)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < r->nm->n_nodes; i++) {
		known[n++].name = r->nm->nodes[i].id;
		for (size_t j = 0; j < r->nm->nodes[i].n_tags; j++)
			known[n++].name = r->nm->nodes[i].tags[j];
	}
	qsort(known, n, sizeof(*known), compare_name_only);
	for (; !err && at.index < r->nm->n_apps; at.index++) {
		const struct netmap_app *app = &r->nm->apps[at.index];

		err = warn_strangers(r, known, n, &at, "connectors", app->connectors,
				     app->n_connectors);
		if (!err)
			err = warn_strangers(r, known, n, &at, "clients", app->clients,
					     app->n_clients);
	}
	return err;
}

int netmap_check(struct netmap_reader *r)
{
	int err;

	err = check_ids(r);
	if (!err)
		err = check_addresses(r);
	if (!err)
		err = check_app_names(r);
	if (!err)
		err = check_pods(r);
	if (!err)
		err = warn_connectors(r);
	if (!err)
		err = check_names_of_apps(r);
	if (!err)
		err = netmap_index_new(&r->nm->index, r->nm);
	return err;
}
