/* SPDX-License-Identifier: BSD-3-Clause */
#include "peerapi_transit.h"
#include "policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Spelled as upstream spells them. */
static const char *const messages[] = {
	[PEERAPI_DUPLICATE] = "Duplicate transit address in ConnectorTransitIPRequest",
	[PEERAPI_NO_FAMILY] = "No peer IP found with matching IP family",
	[PEERAPI_MISMATCH] = "Transit and Destination addresses must have matching IP family",
	[PEERAPI_NO_APP] = "The App name in the request does not match a configured App",
	[PEERAPI_FORBIDDEN] = "You do not have permission to use this App",
};

/* What is known of one element before the mappings are touched. */
struct check {
	const struct peerapi_item *item;
	const struct netmap_app *app;
	enum peerapi_code code; /* DUPLICATE, FORBIDDEN or NO_APP; OK: go on */
};

/* One request, as the checks see it. */
struct transit {
	const struct peerapi_server_ops *ops;
	void *ctx;
	const struct netmap *nm;
	const struct netmap_node *peer;
};

static void check_app(const struct transit *t, struct check *c)
{
	const struct netmap_node *self = netmap_self(t->nm);

	c->app = netmap_app_by_name(t->nm, c->item->app);
	if (!c->app || !policy_may_use(c->app, t->peer))
		c->code = PEERAPI_FORBIDDEN;
	else if (!self || !policy_serves(c->app, self))
		c->code = PEERAPI_NO_APP;
}

/* A run of elements mostly names one app: the netmap is asked once for it. */
static void check_apps(const struct transit *t, struct check *checks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i && !strcmp(checks[i].item->app, checks[i - 1].item->app)) {
			checks[i].app = checks[i - 1].app;
			checks[i].code = checks[i - 1].code;
			continue;
		}
		check_app(t, &checks[i]);
	}
}

static int same_transit(const struct check *a, const struct check *b)
{
	if (a->item->transit_family != b->item->transit_family)
		return a->item->transit_family - b->item->transit_family;
	return addr_cmp(&a->item->transit, &b->item->transit);
}

/* By transit address, then by place in the request: elements are of one array. */
static int by_transit(const void *va, const void *vb)
{
	const struct check *a = *(struct check *const *)va, *b = *(struct check *const *)vb;
	int cmp = same_transit(a, b);

	return cmp ? cmp : (a->item > b->item) - (a->item < b->item);
}

/*
 * Sorted and not hashed, so that no choice of addresses makes it slow. In each run of one transit
 * address everything behind the first element that is OK so far is a duplicate.
 */
static int check_duplicates(struct check *checks, size_t n)
{
	_cleanup_free_ struct check **sorted = calloc(n, sizeof(struct check *));
	const struct check *first = NULL;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &checks[i];
	qsort(sorted, n, sizeof(struct check *), by_transit);
	for (size_t i = 0; i < n; i++) {
		if (first && !same_transit(first, sorted[i]))
			sorted[i]->code = PEERAPI_DUPLICATE;
		else if (sorted[i]->code == PEERAPI_OK)
			first = sorted[i];
	}
	return 0;
}

/* The peer's overlay address of a family, NULL if it has none. */
static const struct c25_addr *client_addr(const struct netmap_node *peer, int family)
{
	const struct c25_addr *a = family == 4 ? &peer->overlay4 : &peer->overlay6;

	return addr_is_zero(a) ? NULL : a;
}

/*
 * In a pool, or of one that was taken out, whose mappings go on until they end. A mapped spelling
 * is IPv6 and lies in no pool, whatever the struct looks like.
 */
static bool is_transit(const struct transit *t, const struct c25_addr *client,
		       const struct peerapi_item *item)
{
	bool is4 = item->transit_family == 4;
	const struct netmap_ranges *pool =
		&t->nm->pools[is4 ? NETMAP_V4_TRANSIT : NETMAP_V6_TRANSIT];

	if (is4 != addr_is4(&item->transit))
		return false;
	for (size_t i = 0; i < pool->n; i++)
		if (range_covers(&pool->v[i], &item->transit))
			return true;
	return t->ops->mapped(t->ctx, client, &item->transit);
}

static struct peerapi_result refuse(enum peerapi_code code)
{
	return (struct peerapi_result){ .code = (int)code, .message = messages[code] };
}

static struct peerapi_result apply_item(const struct transit *t, const struct check *c)
{
	const struct peerapi_item *item = c->item;
	const struct c25_addr *client = client_addr(t->peer, item->transit_family);
	const char *why = "the mapping could not be made";

	if (c->code)
		return refuse(c->code);
	if (item->transit_family != item->real_family)
		return refuse(PEERAPI_MISMATCH);
	if (!client)
		return refuse(PEERAPI_NO_FAMILY);
	if (!is_transit(t, client, item))
		why = "transit address is outside the transit pools";
	else if (policy_destination(t->nm, c->app, &item->real, item->real_family == 6, &why) &&
		 !t->ops->map(t->ctx, t->peer, client, &item->transit, &item->real, c->app, &why))
		return (struct peerapi_result){ .code = PEERAPI_OK };
	return (struct peerapi_result){ .code = PEERAPI_OTHER, .message = why };
}

static void apply_release(const struct transit *t, const struct c25_addr *transit)
{
	const struct c25_addr *client = client_addr(t->peer, addr_is4(transit) ? 4 : 6);

	if (client)
		t->ops->release(t->ctx, t->peer, client, transit);
}

int peerapi_transit_apply(struct peerapi_result *results, const struct peerapi_server_ops *ops,
			  void *ctx, const struct netmap_node *peer,
			  const struct peerapi_request *request)
{
	struct transit t = { .ops = ops, .ctx = ctx, .nm = ops->netmap(ctx), .peer = peer };
	_cleanup_free_ struct check *checks = NULL;
	size_t n = request->n_items;

	if (n) {
		checks = calloc(n, sizeof(*checks));
		if (!checks)
			return -ENOMEM;
		for (size_t i = 0; i < n; i++)
			checks[i].item = &request->items[i];
		check_apps(&t, checks, n);
		if (check_duplicates(checks, n))
			return -ENOMEM;
	}
	ops->heard(ctx, peer);
	for (size_t i = 0; i < request->n_release; i++)
		apply_release(&t, &request->release[i]);
	for (size_t i = 0; i < n; i++) {
		results[i] = apply_item(&t, &checks[i]);
		ops->answered(ctx, peer, &request->items[i], &results[i]);
	}
	return 0;
}
