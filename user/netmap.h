/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netmap: the one JSON file of the cluster as a const value: nodes, apps, pools.
 *
 * Parses, validates and prints; holds no policy (policy.h) and no lookups by name (domains.h).
 * A parsed netmap is never changed; a reload makes another.
 */
#ifndef NETMAP_H
#define NETMAP_H

#include "addr.h"
#include "cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define NETMAP_MAX_BYTES (256U * 1024 * 1024)
#define NETMAP_NO_SELF   SIZE_MAX

struct netmap_index;

struct netmap_node {
	char *id;
	struct c25_addr overlay4; /* all zero: none */
	struct c25_addr overlay6;
	struct c25_addr first;    /* first of `addresses`; all zero: none */
	struct c25_addr underlay; /* all zero: none */
	struct prefix *pod_cidrs;
	size_t n_pod_cidrs;
	char **tags;
	size_t n_tags;
	char *peer_api; /* base URL, no slash at its end; NULL: the node has no overlay address */
	char *peer_api_tls;  /* the same with --peerapi-tls-*; NULL: no other, it was given */
	char *wireguard_key; /* or NULL */
	bool connector;
};

enum netmap_resolve {
	NETMAP_RESOLVE_CLIENT,
	NETMAP_RESOLVE_CONNECTOR,
};

struct netmap_app {
	char *name;
	char **domains; /* lower case, no last dot, wildcards as "*.example.net" */
	size_t n_domains;
	char **connectors; /* tags, ids, "*" */
	size_t n_connectors;
	char **clients; /* none: nobody */
	size_t n_clients;
	struct prefix *routes;
	size_t n_routes;
	bool has_routes; /* absent is not the same as empty */
	enum netmap_resolve resolve;
};

enum netmap_pool {
	NETMAP_V4_MAGIC,
	NETMAP_V4_TRANSIT,
	NETMAP_V6_MAGIC,
	NETMAP_V6_TRANSIT,
	NETMAP_POOLS,
};

struct netmap_ranges {
	struct range *v;
	size_t n;
};

struct netmap {
	struct netmap_node *nodes;
	size_t n_nodes;
	struct netmap_app *apps;
	size_t n_apps;
	struct netmap_ranges pools[NETMAP_POOLS];
	size_t self;     /* index in nodes, or NETMAP_NO_SELF if none was asked for */
	char **warnings; /* "/apps/0/nmae: unknown key", one line each */
	size_t n_warnings;
	struct netmap_index *index; /* of the lookups below; made by netmap_parse() */
};

struct netmap_fault {
	char path[512]; /* JSON pointer, RFC 6901 */
	char text[512]; /* what is wrong, e.g. "\"exa mple.com\" is not a domain name" */
};

/*
 * Parse and validate `len` bytes. `self` is the id of this node, NULL to not look for one.
 * 0 and an owned netmap; -EINVAL with `fault` filled; -ENOMEM.
 */
int netmap_parse(struct netmap **out, const char *text, size_t len, const char *self,
		 struct netmap_fault *fault);

/* The same from a file. Where the file cannot be read, fault->path is empty and the text says
 * why; the errno is returned. */
int netmap_read(struct netmap **out, const char *path, const char *self,
		struct netmap_fault *fault);

void netmap_free(struct netmap *nm);
DEFINE_CLEANUP(netmap, struct netmap *, netmap_free)
#define _cleanup_netmap_ _cleanup_(netmap)

/* Canonical JSON, sorted where order means nothing, in today's spelling; ends with a newline. */
int netmap_print(FILE *out, const struct netmap *nm);

const struct netmap_node *netmap_self(const struct netmap *nm); /* NULL: none asked for */
const struct netmap_node *netmap_node_by_id(const struct netmap *nm, const char *id);
/* By any of its overlay addresses; NULL: no such node. */
const struct netmap_node *netmap_node_by_addr(const struct netmap *nm, const struct c25_addr *a);
const struct netmap_app *netmap_app_by_name(const struct netmap *nm, const char *name);

#endif
