/* SPDX-License-Identifier: BSD-3-Clause */
#include "netmap.h"

#include <errno.h>
#include <string.h>

/* Laid out as jq does it. */
struct writer {
	FILE *out;
	int depth;
	bool begun; /* something stands in the current list or object already */
};

static const char *const pool_keys[NETMAP_POOLS] = {
	[NETMAP_V4_MAGIC] = "v4MagicIPPool",
	[NETMAP_V4_TRANSIT] = "v4TransitIPPool",
	[NETMAP_V6_MAGIC] = "v6MagicIPPool",
	[NETMAP_V6_TRANSIT] = "v6TransitIPPool",
};

static void put_string(struct writer *w, const char *text)
{
	fputc('"', w->out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', w->out);
		fputc(*text, w->out);
	}
	fputc('"', w->out);
}

static void put_line(struct writer *w)
{
	fprintf(w->out, "%s\n%*s", w->begun ? "," : "", 2 * w->depth, "");
	w->begun = true;
}

static void put_key(struct writer *w, const char *key)
{
	put_line(w);
	put_string(w, key);
	fputs(": ", w->out);
}

static void put_open(struct writer *w, char bracket)
{
	fputc(bracket, w->out);
	w->depth++;
	w->begun = false;
}

static void put_close(struct writer *w, char bracket)
{
	w->depth--;
	if (w->begun)
		fprintf(w->out, "\n%*s", 2 * w->depth, "");
	fputc(bracket, w->out);
	w->begun = true;
}

static void put_text(struct writer *w, const char *key, const char *text)
{
	if (!text)
		return;
	put_key(w, key);
	put_string(w, text);
}

static void put_addr(struct writer *w, const char *key, const struct c25_addr *a)
{
	char text[ADDR_STRLEN];

	if (!addr_is_zero(a))
		put_text(w, key, addr_print(text, a));
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What stood twice is printed once. */
static int put_strings(struct writer *w, const char *key, char *const *names, size_t n)
{
	_cleanup_free_ const char **sorted = calloc(n + 1, sizeof(char *));

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = names[i];
	qsort(sorted, n, sizeof(char *), compare_strings);
	put_key(w, key);
	put_open(w, '[');
	for (size_t i = 0; i < n; i++) {
		if (i && !strcmp(sorted[i - 1], sorted[i]))
			continue;
		put_line(w);
		put_string(w, sorted[i]);
	}
	put_close(w, ']');
	return 0;
}

static int compare_prefixes(const void *a, const void *b)
{
	const struct prefix *x = a, *y = b;
	int c = prefix_is4(y) - prefix_is4(x);

	if (!c)
		c = addr_cmp(&x->addr, &y->addr);
	return c ? c : x->len - y->len;
}

static int put_prefixes(struct writer *w, const char *key, const struct prefix *v, size_t n)
{
	_cleanup_free_ struct prefix *sorted = calloc(n + 1, sizeof(*sorted));
	char text[PREFIX_STRLEN];

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = v[i];
	qsort(sorted, n, sizeof(*sorted), compare_prefixes);
	put_key(w, key);
	put_open(w, '[');
	for (size_t i = 0; i < n; i++) {
		if (i && !compare_prefixes(&sorted[i - 1], &sorted[i]))
			continue;
		put_line(w);
		put_string(w, prefix_print(text, &sorted[i]));
	}
	put_close(w, ']');
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	return addr_cmp(&((const struct range *)a)->from, &((const struct range *)b)->from);
}

static int put_ranges(struct writer *w, const char *key, const struct netmap_ranges *pool)
{
	_cleanup_free_ struct range *sorted = calloc(pool->n + 1, sizeof(*sorted));
	char text[RANGE_STRLEN];

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < pool->n; i++)
		sorted[i] = pool->v[i];
	qsort(sorted, pool->n, sizeof(*sorted), compare_ranges);
	put_key(w, key);
	put_open(w, '[');
	for (size_t i = 0; i < pool->n; i++) {
		put_line(w);
		put_string(w, range_print(text, &sorted[i]));
	}
	put_close(w, ']');
	return 0;
}

/* Their order says where the peer API is by default, so it is kept. */
static void put_addresses(struct writer *w, const struct netmap_node *node)
{
	const struct c25_addr *second = &node->overlay4;
	char text[ADDR_STRLEN];

	put_key(w, "addresses");
	put_open(w, '[');
	if (!addr_is_zero(&node->first)) {
		put_line(w);
		put_string(w, addr_print(text, &node->first));
		if (addr_equal(second, &node->first))
			second = &node->overlay6;
	}
	if (!addr_is_zero(second)) {
		put_line(w);
		put_string(w, addr_print(text, second));
	}
	put_close(w, ']');
}

static int put_node(struct writer *w, const struct netmap_node *node)
{
	int err;

	put_line(w);
	put_open(w, '{');
	put_text(w, "id", node->id);
	put_addresses(w, node);
	err = put_strings(w, "tags", node->tags, node->n_tags);
	if (err)
		return err;
	put_addr(w, "underlay", &node->underlay);
	err = put_prefixes(w, "podCIDRs", node->pod_cidrs, node->n_pod_cidrs);
	if (err)
		return err;
	put_key(w, "connector");
	fputs(node->connector ? "true" : "false", w->out);
	put_text(w, "peerAPI", node->peer_api);
	put_text(w, "wireguardKey", node->wireguard_key);
	put_close(w, '}');
	return 0;
}

static int compare_nodes(const void *a, const void *b)
{
	return strcmp((*(const struct netmap_node *const *)a)->id,
		      (*(const struct netmap_node *const *)b)->id);
}

static int put_nodes(struct writer *w, const struct netmap *nm)
{
	_cleanup_free_ const struct netmap_node **sorted =
		calloc(nm->n_nodes + 1, sizeof(struct netmap_node *));
	int err = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < nm->n_nodes; i++)
		sorted[i] = &nm->nodes[i];
	qsort(sorted, nm->n_nodes, sizeof(struct netmap_node *), compare_nodes);
	put_key(w, "nodes");
	put_open(w, '[');
	for (size_t i = 0; !err && i < nm->n_nodes; i++)
		err = put_node(w, sorted[i]);
	put_close(w, ']');
	return err;
}

static int put_app(struct writer *w, const struct netmap_app *app)
{
	int err;

	put_line(w);
	put_open(w, '{');
	put_text(w, "name", app->name);
	err = put_strings(w, "domains", app->domains, app->n_domains);
	if (!err)
		err = put_strings(w, "connectors", app->connectors, app->n_connectors);
	if (!err)
		err = put_strings(w, "clients", app->clients, app->n_clients);
	if (!err && app->has_routes)
		err = put_prefixes(w, "routes", app->routes, app->n_routes);
	if (err)
		return err;
	put_text(w, "resolve", app->resolve == NETMAP_RESOLVE_CONNECTOR ? "connector" : "client");
	put_close(w, '}');
	return 0;
}

/* The first app with the winning domain takes it, so the apps' order is kept. */
static int put_apps(struct writer *w, const struct netmap *nm)
{
	int err = 0;

	put_key(w, "apps");
	put_open(w, '[');
	for (size_t i = 0; !err && i < nm->n_apps; i++)
		err = put_app(w, &nm->apps[i]);
	put_close(w, ']');
	return err;
}

static int put_pools(struct writer *w, const struct netmap *nm)
{
	int err = 0;

	put_key(w, "ipPools");
	put_open(w, '{');
	for (size_t i = 0; !err && i < NETMAP_POOLS; i++)
		if (nm->pools[i].n)
			err = put_ranges(w, pool_keys[i], &nm->pools[i]);
	put_close(w, '}');
	return err;
}

int netmap_print(FILE *out, const struct netmap *nm)
{
	struct writer w = { .out = out };
	int err;

	put_open(&w, '{');
	err = put_nodes(&w, nm);
	if (!err)
		err = put_apps(&w, nm);
	if (!err)
		err = put_pools(&w, nm);
	put_close(&w, '}');
	fputc('\n', out);
	if (err)
		return err;
	return ferror(out) ? -EIO : 0;
}
