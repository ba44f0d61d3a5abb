/* SPDX-License-Identifier: BSD-3-Clause */
#include "netmap_reader.h"

#include <errno.h>
#include <string.h>

#define MAX_ID   253 /* a host name */
#define MAX_NAME (C25_NAME_LEN - 1)

static int read_id(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		   void *into)
{
	struct netmap_node *node = into;
	char quoted[NETMAP_QUOTE_LEN];
	int err;

	err = netmap_read_name(r, at, v, &node->id);
	if (err)
		return err;
	if (strlen(node->id) > MAX_ID)
		return netmap_fault_at(r, at, "is over %d bytes", MAX_ID);
	/* These would grant to a node what was meant for all, or for a tag. */
	if (!strcmp(node->id, "*") || !strncmp(node->id, "tag:", 4))
		return netmap_fault_at(r, at, "%s cannot be an id", netmap_quote(quoted, node->id));
	return 0;
}

static int read_address(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			void *into)
{
	struct netmap_node *node = into;
	struct c25_addr a, *slot;
	int err;

	err = netmap_read_addr(r, at, v, &a);
	if (err)
		return err;
	slot = addr_is4(&a) ? &node->overlay4 : &node->overlay6;
	if (!addr_is_zero(slot))
		return netmap_fault_at(r, at,
				       "a second IPv%d address; a node has one of each family",
				       addr_is4(&a) ? 4 : 6);
	*slot = a;
	if (addr_is_zero(&node->first))
		node->first = a;
	return 0;
}

/* netmap_read_list() hands out slots of a vector; addresses go to the node itself. */
static int read_addresses(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			  void *into)
{
	struct netmap_path p = { .up = at };
	struct netmap_list none;
	const cJSON *item;
	int err;

	if (!cJSON_IsArray(v))
		return netmap_read_list(r, at, v, 1, NULL, &none);
	cJSON_ArrayForEach (item, v) {
		err = read_address(r, &p, item, into);
		if (err)
			return err;
		p.index++;
	}
	return 0;
}

static int read_names(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		      char ***names, size_t *n)
{
	struct netmap_list list;
	int err;

	err = netmap_read_list(r, at, v, sizeof(char *), netmap_read_name, &list);
	*names = list.v;
	*n = list.n;
	return err;
}

static int read_prefixes(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			 struct prefix **prefixes, size_t *n)
{
	struct netmap_list list;
	int err;

	err = netmap_read_list(r, at, v, sizeof(struct prefix), netmap_read_prefix, &list);
	*prefixes = list.v;
	*n = list.n;
	return err;
}

static int read_tags(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		     void *into)
{
	struct netmap_node *node = into;

	return read_names(r, at, v, &node->tags, &node->n_tags);
}

static int read_underlay(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			 void *into)
{
	struct netmap_node *node = into;

	return netmap_read_addr(r, at, v, &node->underlay);
}

static int read_pod_cidrs(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			  void *into)
{
	struct netmap_node *node = into;

	return read_prefixes(r, at, v, &node->pod_cidrs, &node->n_pod_cidrs);
}

static int read_connector(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			  void *into)
{
	struct netmap_node *node = into;

	return netmap_want_bool(r, at, v, &node->connector);
}

static int read_peer_api(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			 void *into)
{
	struct netmap_node *node = into;

	return netmap_read_url(r, at, v, &node->peer_api);
}

static int read_wireguard_key(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			      void *into)
{
	struct netmap_node *node = into;

	return netmap_read_key(r, at, v, &node->wireguard_key);
}

static const struct netmap_field node_fields[] = {
	{ "id", read_id, true },
	{ "addresses", read_addresses, false },
	{ "tags", read_tags, false },
	{ "underlay", read_underlay, false },
	{ "podCIDRs", read_pod_cidrs, false },
	{ "connector", read_connector, false },
	{ "peerAPI", read_peer_api, false },
	{ "wireguardKey", read_wireguard_key, false },
};

static int default_api(char **out, const char *scheme, const struct c25_addr *a)
{
	char text[ADDR_STRLEN];

	if (asprintf(out, addr_is4(a) ? "%s://%s:8025" : "%s://[%s]:8025", scheme,
		     addr_print(text, a)) < 0) {
		*out = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int read_node(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		     void *into)
{
	struct netmap_node *node = into;
	int err;

	r->nm->n_nodes++;
	err = netmap_read_object(r, at, v, node_fields, ARRAY_SIZE(node_fields), node);
	if (err)
		return err;
	if (node->peer_api || addr_is_zero(&node->first))
		return 0;
	err = default_api(&node->peer_api, "http", &node->first);
	return err ? err : default_api(&node->peer_api_tls, "https", &node->first);
}

static int read_app_name(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			 void *into)
{
	struct netmap_app *app = into;
	int err;

	err = netmap_read_name(r, at, v, &app->name);
	if (!err && strlen(app->name) > MAX_NAME)
		return netmap_fault_at(r, at, "is over %d bytes", MAX_NAME);
	return err;
}

static int read_domains(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			void *into)
{
	struct netmap_app *app = into;
	struct netmap_list list;
	int err;

	err = netmap_read_list(r, at, v, sizeof(char *), netmap_read_domain, &list);
	app->domains = list.v;
	app->n_domains = list.n;
	return err;
}

static int read_connectors(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			   void *into)
{
	struct netmap_app *app = into;

	return read_names(r, at, v, &app->connectors, &app->n_connectors);
}

static int read_clients(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			void *into)
{
	struct netmap_app *app = into;

	return read_names(r, at, v, &app->clients, &app->n_clients);
}

static int read_routes(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		       void *into)
{
	struct netmap_app *app = into;

	app->has_routes = true;
	return read_prefixes(r, at, v, &app->routes, &app->n_routes);
}

static int read_resolve(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			void *into)
{
	struct netmap_app *app = into;
	char quoted[NETMAP_QUOTE_LEN];
	const char *text;
	int err;

	err = netmap_want_string(r, at, v, &text);
	if (err)
		return err;
	if (!strcmp(text, "client"))
		app->resolve = NETMAP_RESOLVE_CLIENT;
	else if (!strcmp(text, "connector"))
		app->resolve = NETMAP_RESOLVE_CONNECTOR;
	else
		return netmap_fault_at(r, at, "%s is neither \"client\" nor \"connector\"",
				       netmap_quote(quoted, text));
	return 0;
}

/* Pools inside an app are read by netmap_pools_read(), once it is known whether they count. */
static const struct netmap_field app_fields[] = {
	{ "name", read_app_name, true },          { "domains", read_domains, true },
	{ "connectors", read_connectors, false }, { "clients", read_clients, false },
	{ "routes", read_routes, false },         { "resolve", read_resolve, false },
	{ "magicIPPool", NULL, false },           { "transitIPPool", NULL, false },
	{ "v4MagicIPPool", NULL, false },         { "v4TransitIPPool", NULL, false },
	{ "v6MagicIPPool", NULL, false },         { "v6TransitIPPool", NULL, false },
};

static int read_app(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		    void *into)
{
	r->nm->n_apps++;
	return netmap_read_object(r, at, v, app_fields, ARRAY_SIZE(app_fields), into);
}

/* The elements are counted as they begin, not as they end, so that a half-read one is freed. */
static int read_nodes(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		      void *into)
{
	struct netmap_list list;
	int err;

	if (cJSON_GetArraySize(v) > C25_MAX_PEERS)
		return netmap_fault_at(r, at, "holds %d nodes; at most %d are supported",
				       cJSON_GetArraySize(v), C25_MAX_PEERS);
	err = netmap_read_list(r, at, v, sizeof(*r->nm->nodes), read_node, &list);
	r->nm->nodes = list.v;
	return err;
}

static int read_apps(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		     void *into)
{
	struct netmap_list list;
	int err;

	if (r->apps)
		return netmap_fault_at(r, at, "the apps stand under another key too; keep one");
	if (cJSON_GetArraySize(v) > C25_MAX_APPS)
		return netmap_fault_at(r, at, "holds %d apps; at most %d are supported",
				       cJSON_GetArraySize(v), C25_MAX_APPS);
	err = netmap_read_list(r, at, v, sizeof(*r->nm->apps), read_app, &list);
	r->nm->apps = list.v;
	r->apps = v;
	r->apps_at = (struct netmap_path){ .key = at->key };
	return err;
}

static int find_pools(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		      void *into)
{
	if (r->pools)
		return netmap_fault_at(r, at, "the pools stand under another key too; keep one");
	r->pools = v;
	r->pools_at = (struct netmap_path){ .key = at->key };
	return 0;
}

static int find_listed_pools(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
			     void *into)
{
	int err;

	if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) != 1)
		return netmap_fault_at(r, at, "must be a list that holds one object");
	err = find_pools(r, at, v->child, into);
	r->pools_list_at = (struct netmap_path){ .key = at->key };
	r->pools_at = (struct netmap_path){ .up = &r->pools_list_at };
	return err;
}

static const struct netmap_field root_fields[] = {
	{ "nodes", read_nodes, false },
	{ "apps", read_apps, false },
	{ "tailscale.com/app-connectors-experimental", read_apps, false },
	{ "ipPools", find_pools, false },
	{ "tailscale.com/app-connectors-experimental-ippools", find_listed_pools, false },
};

static int find_self(struct netmap_reader *r, const char *self)
{
	struct netmap_path at = { .key = "nodes" };
	const struct netmap_node *node = netmap_node_by_id(r->nm, self);
	char quoted[NETMAP_QUOTE_LEN];

	if (!node)
		return netmap_fault_at(r, &at, "no entry for this node, %s",
				       netmap_quote(quoted, self));
	r->nm->self = (size_t)(node - r->nm->nodes);
	return 0;
}

static int read_root(struct netmap_reader *r, const cJSON *root, const char *self)
{
	int err;

	err = netmap_read_object(r, NULL, root, root_fields, ARRAY_SIZE(root_fields), NULL);
	if (err)
		return err;
	err = netmap_pools_read(r);
	if (err)
		return err;
	err = netmap_check(r);
	if (err || !self)
		return err;
	return find_self(r, self);
}

int netmap_parse(struct netmap **out, const char *text, size_t len, const char *self,
		 struct netmap_fault *fault)
{
	_cleanup_netmap_ struct netmap *nm = NULL;
	struct netmap_reader r = { .fault = fault };
	_cleanup_cjson_ cJSON *root = NULL;
	int err;

	err = netmap_json_parse(&root, text, len, fault);
	if (err)
		return err;
	nm = calloc(1, sizeof(*nm));
	if (!nm)
		return -ENOMEM;
	nm->self = NETMAP_NO_SELF;
	r.nm = nm;
	err = read_root(&r, root, self);
	free(r.entries);
	if (err)
		return err;
	*out = TAKE_PTR(nm);
	return 0;
}
