/* SPDX-License-Identifier: BSD-3-Clause */
#include "domains.h"
#include "policy.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define MAX_NAME   255 /* RFC 1035, 2.3.4 */
#define MAX_LABEL  63
#define MAX_LABELS (MAX_NAME / 2)
#define ROOT       0
#define NO_NODE    UINT32_MAX

#define INLINE_LABEL 16

/* A label below another; the domain it ends is spelled by the way up to the root. */
struct node {
	uint32_t parent;
	uint32_t label; /* where in `labels`: length and lower-case bytes */
	size_t exact;
	size_t wild;
	uint8_t text[INLINE_LABEL]; /* the same again, where it is as short as most are */
};

/* The hash stands beside: a node that is another's is not looked at. */
struct slot {
	uint32_t node; /* NO_NODE: free */
	uint32_t hash;
};

struct domains {
	struct node *nodes;
	uint32_t n_nodes;
	uint8_t *labels;
	uint32_t n_labels;
	struct slot *table; /* open addressing, at most half full */
	uint32_t mask;
};

static uint8_t lower(uint8_t c)
{
	return c | (uint8_t)((uint8_t)(c - 'A') < 26) << 5;
}

static uint32_t hash_label(uint32_t parent, const uint8_t *label)
{
	uint64_t h = (parent + 1ULL) * 0x9e3779b97f4a7c15ULL;

	for (size_t i = 0; i <= label[0]; i++)
		h = (h ^ lower(label[i])) * 0x100000001b3ULL;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ULL;
	return (uint32_t)(h >> 32);
}

/* The length byte is below 'A', so lower() leaves it alone. */
static bool same_label(const uint8_t *held, const uint8_t *label)
{
	for (size_t i = 0; i <= label[0]; i++)
		if (held[i] != lower(label[i]))
			return false;
	return true;
}

static const uint8_t *label_of(const struct domains *d, const struct node *node)
{
	return node->text[0] ? node->text : d->labels + node->label;
}

/* The slot that holds the node, or the free one where it belongs. */
static struct slot *find_slot(const struct domains *d, uint32_t parent, const uint8_t *label,
			      uint32_t hash)
{
	uint32_t at = hash & d->mask;

	for (; d->table[at].node != NO_NODE; at = (at + 1) & d->mask) {
		const struct node *node = &d->nodes[d->table[at].node];

		if (d->table[at].hash == hash && node->parent == parent &&
		    same_label(label_of(d, node), label))
			break;
	}
	return &d->table[at];
}

static uint32_t add_label(struct domains *d, uint32_t parent, const uint8_t *label)
{
	uint32_t hash = hash_label(parent, label);
	struct slot *slot = find_slot(d, parent, label, hash);

	if (slot->node != NO_NODE)
		return slot->node;
	d->nodes[d->n_nodes] = (struct node){
		.parent = parent, .label = d->n_labels, .exact = DOMAINS_NONE, .wild = DOMAINS_NONE
	};
	if (label[0] < INLINE_LABEL)
		memcpy(d->nodes[d->n_nodes].text, label, (size_t)label[0] + 1);
	memcpy(d->labels + d->n_labels, label, (size_t)label[0] + 1);
	d->n_labels += (uint32_t)label[0] + 1;
	*slot = (struct slot){ d->n_nodes, hash };
	return d->n_nodes++;
}

/* `domain` is one of the netmap's: lower case, no last dot, valid. */
static void add_domain(struct domains *d, const char *domain, size_t app, bool self)
{
	bool wild = domain[0] == '*';
	const char *first = wild ? domain + 2 : domain, *end = first + strlen(first);
	uint32_t at = ROOT;
	size_t *taker;

	while (end > first) {
		uint8_t label[MAX_LABEL + 1];
		const char *start = end;

		while (start > first && start[-1] != '.')
			start--;
		label[0] = (uint8_t)(end - start);
		memcpy(label + 1, start, label[0]);
		at = add_label(d, at, label);
		end = start > first ? start - 1 : first;
	}
	taker = wild ? &d->nodes[at].wild : &d->nodes[at].exact;
	if (self)
		*taker = DOMAINS_SELF;
	else if (*taker == DOMAINS_NONE)
		*taker = app;
}

/* Room for every label of every domain of the apps that `user` may use, NULL: of all, so that
 * building never runs out of it. */
static int make_room(struct domains *d, const struct netmap_app *apps, size_t n_apps,
		     const struct netmap_node *user)
{
	size_t nodes = 1, bytes = 1, slots = 2;

	for (size_t i = 0; i < n_apps; i++) {
		if (user && !policy_may_use(&apps[i], user))
			continue;
		for (size_t j = 0; j < apps[i].n_domains; j++) {
			const char *domain = apps[i].domains[j];

			bytes += strlen(domain) + 2;
			do
				nodes++;
			while ((domain = strchr(domain + 1, '.')));
		}
	}
	while (slots < 2 * nodes)
		slots *= 2;
	if (slots >= NO_NODE || bytes >= UINT32_MAX)
		return -ENOMEM;
	d->nodes = calloc(nodes, sizeof(*d->nodes));
	d->labels = malloc(bytes);
	d->table = malloc(slots * sizeof(*d->table));
	if (!d->nodes || !d->labels || !d->table)
		return -ENOMEM;
	memset(d->table, 0xff, slots * sizeof(*d->table));
	d->mask = (uint32_t)slots - 1;
	d->nodes[ROOT] =
		(struct node){ .parent = NO_NODE, .exact = DOMAINS_NONE, .wild = DOMAINS_NONE };
	d->labels[0] = 0;
	d->n_nodes = 1;
	d->n_labels = 1;
	return 0;
}

int domains_new(struct domains **out, const struct netmap *nm)
{
	_cleanup_(domains) struct domains *d = calloc(1, sizeof(*d));
	const struct netmap_node *self = netmap_self(nm);
	int err;

	if (!d)
		return -ENOMEM;
	err = make_room(d, nm->apps, self ? nm->n_apps : 0, self);
	if (err)
		return err;
	for (size_t i = 0; self && i < nm->n_apps; i++) {
		const struct netmap_app *app = &nm->apps[i];

		if (!policy_may_use(app, self))
			continue;
		for (size_t j = 0; j < app->n_domains; j++)
			add_domain(d, app->domains[j], i, policy_serves(app, self));
	}
	*out = TAKE_PTR(d);
	return 0;
}

int domains_new_app(struct domains **out, const struct netmap_app *app)
{
	_cleanup_(domains) struct domains *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	err = make_room(d, app, 1, NULL);
	if (err)
		return err;
	for (size_t i = 0; i < app->n_domains; i++)
		add_domain(d, app->domains[i], 0, false);
	*out = TAKE_PTR(d);
	return 0;
}

void domains_free(struct domains *d)
{
	if (!d)
		return;
	free(d->nodes);
	free(d->labels);
	free(d->table);
	free(d);
}

/* Offsets of the labels, or a negative number for what is no uncompressed name. */
static int split(uint8_t offsets[MAX_LABELS], const uint8_t *name)
{
	size_t at = 0;
	int n = 0;

	while (name[at]) {
		if (name[at] > MAX_LABEL || at + name[at] + 2 > MAX_NAME)
			return -EINVAL;
		offsets[n++] = (uint8_t)at;
		at += (size_t)name[at] + 1;
	}
	return n;
}

size_t domains_match(const struct domains *d, const uint8_t *name)
{
	size_t wildest = DOMAINS_NONE;
	uint8_t offsets[MAX_LABELS];
	uint32_t at = ROOT;
	int n = split(offsets, name);

	if (n <= 0)
		return DOMAINS_NONE;
	while (n--) {
		const uint8_t *label = name + offsets[n];

		at = find_slot(d, at, label, hash_label(at, label))->node;
		if (at == NO_NODE)
			return wildest;
		if (d->nodes[at].wild != DOMAINS_NONE)
			wildest = d->nodes[at].wild;
	}
	return d->nodes[at].exact != DOMAINS_NONE ? d->nodes[at].exact : wildest;
}
