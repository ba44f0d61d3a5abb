/* SPDX-License-Identifier: BSD-3-Clause */
#include "domains.h"

#include "c25_abi.h"
#include "policy.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define MAX_NAME   255 /* RFC 1035, 2.3.4 */
#define MAX_LABEL  63
#define MAX_LABELS (MAX_NAME / 2)
#define ROOT       0 /* nobody's child, so that 0 in the table is a free slot */
#define NO_PARENT  UINT32_MAX

#define INLINE_LABEL 16
#define CACHE_LINE   64

/* A label below another; the domain it ends is spelled by the way up to the root. */
struct node {
	uint32_t parent;
	uint32_t label; /* where in `labels`: length and lower-case bytes */
	uint32_t exact; /* the app, or as domains_match() says */
	uint32_t wild;
	uint8_t text[INLINE_LABEL]; /* the same again, where it is as short as most are */
};
_Static_assert(CACHE_LINE % sizeof(struct node) == 0, "each in one line");

/*
 * Open addressing. A slot is a node's number below, and above as much of its hash as there is room
 * for: few other nodes are looked at, and all slots of many domains fit into a processor's cache.
 */
struct domains {
	struct node *nodes;
	uint32_t n_nodes;
	uint8_t *labels;
	uint32_t n_labels;
	uint32_t *table;
	uint32_t mask; /* of slots, and of the node's number in one: none is as high */
};

static uint8_t lower(uint8_t c)
{
	return c | (uint8_t)((uint8_t)(c - 'A') < 26) << 5;
}

static uint64_t word_of(const uint8_t *p, size_t n)
{
	uint64_t word = 0;

	if (n == sizeof(word))
		memcpy(&word, p, sizeof(word));
	else
		for (size_t i = 0; i < n; i++)
			word |= (uint64_t)p[i] << 8 * i;
	return word;
}

static uint32_t hash_label(uint32_t parent, const uint8_t *label)
{
	size_t n = label[0] + 1U;
	uint64_t h = parent;

	for (; n > 8; n -= 8, label += 8)
		h = c25_name_step(h, c25_lower8(word_of(label, 8)));
	return (uint32_t)(c25_name_step(h, c25_lower8(word_of(label, n))) >> 32);
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
static uint32_t *find_slot(const struct domains *d, uint32_t parent, const uint8_t *label,
			   uint32_t hash)
{
	uint32_t at = hash & d->mask, slot;

	for (; (slot = d->table[at]); at = (at + 1) & d->mask) {
		const struct node *node = &d->nodes[slot & d->mask];

		if (!((slot ^ hash) & ~d->mask) && node->parent == parent &&
		    same_label(label_of(d, node), label))
			break;
	}
	return &d->table[at];
}

static void fill_slot(const struct domains *d, uint32_t *slot, uint32_t node, uint32_t hash)
{
	*slot = (hash & ~d->mask) | node;
}

static uint32_t add_label(struct domains *d, uint32_t parent, const uint8_t *label)
{
	uint32_t hash = hash_label(parent, label);
	uint32_t *slot = find_slot(d, parent, label, hash);

	if (*slot)
		return *slot & d->mask;
	d->nodes[d->n_nodes] = (struct node){
		.parent = parent, .label = d->n_labels, .exact = DOMAINS_NONE, .wild = DOMAINS_NONE
	};
	if (label[0] < INLINE_LABEL)
		memcpy(d->nodes[d->n_nodes].text, label, (size_t)label[0] + 1);
	memcpy(d->labels + d->n_labels, label, (size_t)label[0] + 1);
	d->n_labels += (uint32_t)label[0] + 1;
	fill_slot(d, slot, d->n_nodes, hash);
	return d->n_nodes++;
}

/* `domain` is one of the netmap's: lower case, no last dot, valid. */
static void add_domain(struct domains *d, const char *domain, size_t app, bool self)
{
	bool wild = domain[0] == '*';
	const char *first = wild ? domain + 2 : domain, *end = first + strlen(first);
	uint32_t at = ROOT;
	uint32_t *taker;

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
		*taker = (uint32_t)app;
}

/* An empty one, for so many nodes, three quarters full at most. */
static int make_table(struct domains *d, size_t nodes)
{
	uint32_t *table;
	size_t slots = 4;

	while (slots / 4 * 3 < nodes)
		slots *= 2;
	if (slots > INT32_MAX)
		return -ENOMEM;
	table = calloc(slots, sizeof(*table));
	if (!table)
		return -ENOMEM;
	free(d->table);
	d->table = table;
	d->mask = (uint32_t)slots - 1;
	return 0;
}

/* What domains have in common is one node: far fewer, as a rule, than make_room() saw labels. */
static int shrink_table(struct domains *d)
{
	int err = make_table(d, d->n_nodes);

	if (err)
		return err;
	for (uint32_t i = ROOT + 1; i < d->n_nodes; i++) {
		const struct node *node = &d->nodes[i];
		const uint8_t *label = label_of(d, node);
		uint32_t hash = hash_label(node->parent, label);

		fill_slot(d, find_slot(d, node->parent, label, hash), i, hash);
	}
	return 0;
}

/* Room for every label of every domain of the apps that `user` may use, NULL: of all, so that
 * building never runs out of it. */
static int make_room(struct domains *d, const struct netmap_app *apps, size_t n_apps,
		     const struct netmap_node *user)
{
	size_t nodes = 1, bytes = 1, size;

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
	if (bytes >= UINT32_MAX)
		return -ENOMEM;
	size = (nodes * sizeof(*d->nodes) + CACHE_LINE - 1) & ~(CACHE_LINE - 1UL);
	d->nodes = aligned_alloc(CACHE_LINE, size);
	d->labels = malloc(bytes);
	if (!d->nodes || !d->labels || make_table(d, nodes))
		return -ENOMEM;
	d->nodes[ROOT] =
		(struct node){ .parent = NO_PARENT, .exact = DOMAINS_NONE, .wild = DOMAINS_NONE };
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
	err = shrink_table(d);
	if (err)
		return err;
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
	err = shrink_table(d);
	if (err)
		return err;
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

		at = *find_slot(d, at, label, hash_label(at, label)) & d->mask;
		if (at == ROOT)
			return wildest;
		if (d->nodes[at].wild != DOMAINS_NONE)
			wildest = d->nodes[at].wild;
	}
	return d->nodes[at].exact != DOMAINS_NONE ? d->nodes[at].exact : wildest;
}
