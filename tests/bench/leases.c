/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leases fill NETMAP CLIENT-PIN CONNECTOR-PIN N: N live leases of d0.bench.test, d1.bench.test, ...
 * on both ends, written as the daemons write them. No daemon may run on these pins.
 * leases digest PIN: number and digest of what the pins hold, the same for the same entries.
 * leases since PIN SECOND: number of mappings agreed to or used since then, of CLOCK_BOOTTIME.
 */
#include "apps.h"
#include "lease.h"
#include "log.h"
#include "maps.h"
#include "peers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TTL 3600

static void must(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-err));
	exit(1);
}

static uint64_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec;
}

struct ends {
	struct maps client, connector;
	uint32_t app[2], peer[2]; /* numbers on the client, on the connector */
	struct c25_addr self;
};

static void numbers(struct maps *m, const char *pin, const struct netmap *nm, const char *other,
		    uint32_t *app, uint32_t *peer)
{
	struct peers *peers;
	struct apps *apps;

	must(maps_open(m, pin), pin);
	must(apps_new(&apps, m), "apps");
	must(apps_id(apps, nm->apps[0].name, app), "app");
	must(peers_new(&peers, m), "peers");
	must(peers_sync(peers, nm), "peers");
	*peer = peers_index(peers, other);
	must(*peer == PEERS_NONE ? -ENOENT : 0, other);
	apps_free(apps);
	peers_free(peers);
}

static void write_lease(const struct ends *e, struct lease *l, uint64_t now)
{
	struct c25_mapping_key key = { .client = e->self, .transit = l->transit };
	struct c25_lease record;

	l->state = C25_LEASE_LIVE;
	l->peer = e->peer[0];
	record = lease_record(l);
	must(maps_mapping_put(&e->connector, &key, &l->real, e->app[1], e->peer[1], now), "mappin"
											  "g");
	must(maps_client_put(&e->client, &l->magic, &l->transit, l->peer, l->peer, 0), "magic");
	must(maps_lease_put(&e->client, &l->magic, &record), "lease");
}

static struct netmap *netmap_of(const char *path, const char *node)
{
	struct netmap_fault fault;
	struct netmap *nm;

	must(netmap_read(&nm, path, node, &fault), path);
	return nm;
}

static int fill(char **args)
{
	struct netmap *client = netmap_of(args[0], "client");
	struct netmap *connector = netmap_of(args[0], "connector");
	uint32_t n = (uint32_t)strtoul(args[3], NULL, 10);
	struct lease_table *leases;
	struct c25_addr real;
	uint64_t now = now_s();
	struct ends e;

	numbers(&e.client, args[1], client, "connector", &e.app[0], &e.peer[0]);
	numbers(&e.connector, args[2], connector, "client", &e.app[1], &e.peer[1]);
	e.self = netmap_self(client)->overlay4;
	addr_parse(&real, "203.0.113.9");
	must(lease_table_new(&leases, n), "leases");
	must(lease_set_pools(leases, client->pools), "pools");
	for (uint32_t i = 0; i < n; i++) {
		struct lease *l;
		char name[64];

		snprintf(name, sizeof(name), "d%u.bench.test", i);
		must(lease_lend(leases, &l, name, &real, e.app[0], TTL, now), name);
		write_lease(&e, l, now);
	}
	lease_table_free(leases);
	netmap_free(client);
	netmap_free(connector);
	return 0;
}

struct digest {
	uint64_t n, sum;
};

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *b = data;

	while (len--)
		hash = (hash ^ *b++) * 0x100000001b3ULL;
	return hash ^ hash >> 29;
}

/* The sum of the entries' hashes: a map gives them in no order. */
static int take(struct digest *d, uint64_t hash)
{
	d->sum += hash * 0x9e3779b97f4a7c15ULL;
	d->n++;
	return 0;
}

static int see_lease(const void *key, const void *value, void *ctx)
{
	return take(ctx,
		    mix(mix(1, key, sizeof(struct c25_addr)), value, sizeof(struct c25_lease)));
}

static int see_magic(const void *key, const void *value, void *ctx)
{
	const struct c25_magic *v = value;
	uint64_t hash = mix(mix(2, key, sizeof(struct c25_addr)), &v->transit, sizeof(v->transit));

	hash = mix(hash, &v->peer, sizeof(v->peer));
	return take(ctx, mix(hash, &v->flags, sizeof(v->flags)));
}

static int see_transit(const void *key, const void *value, void *ctx)
{
	const struct c25_transit *v = value;
	uint64_t hash = mix(mix(3, key, sizeof(struct c25_addr)), &v->magic, sizeof(v->magic));

	return take(ctx, mix(hash, &v->peer, sizeof(v->peer)));
}

static int see_mapping(const void *key, const void *value, void *ctx)
{
	const struct c25_mapping *v = value;
	uint64_t hash = mix(mix(4, key, sizeof(struct c25_mapping_key)), &v->real, sizeof(v->real));

	hash = mix(hash, &v->app, sizeof(v->app));
	hash = mix(hash, &v->peer, sizeof(v->peer));
	return take(ctx, mix(hash, &v->registered, sizeof(v->registered)));
}

static const struct {
	enum map_id id;
	int (*see)(const void *key, const void *value, void *ctx);
} seen[] = {
	{ MAP_LEASES, see_lease },
	{ MAP_MAGIC, see_magic },
	{ MAP_TRANSIT, see_transit },
	{ MAP_MAPPINGS, see_mapping },
};

static int digest(const char *pin)
{
	struct maps m;

	must(maps_open(&m, pin), pin);
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		struct digest d = { 0 };

		if (m.fd[seen[i].id] < 0)
			continue;
		must(maps_each(&m, seen[i].id, seen[i].see, &d), maps_name(seen[i].id));
		printf("%s %llu %016llx\n", maps_name(seen[i].id), (unsigned long long)d.n,
		       (unsigned long long)d.sum);
	}
	return 0;
}

struct since {
	uint64_t second, n;
};

static int count_since(const void *key, const void *value, void *ctx)
{
	struct since *s = ctx;

	(void)key;
	s->n += ((const struct c25_mapping *)value)->last_seen >= s->second;
	return 0;
}

static int since(const char *pin, const char *second)
{
	struct since s = { .second = strtoull(second, NULL, 10) };
	struct maps m;

	must(maps_open(&m, pin), pin);
	must(maps_each(&m, MAP_MAPPINGS, count_since, &s), pin);
	printf("%llu\n", (unsigned long long)s.n);
	return 0;
}

int main(int argc, char **argv)
{
	log_setup(LOG_WARN, false);
	if (argc == 6 && !strcmp(argv[1], "fill"))
		return fill(argv + 2);
	if (argc == 3 && !strcmp(argv[1], "digest"))
		return digest(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "since"))
		return since(argv[2], argv[3]);
	return 2;
}
