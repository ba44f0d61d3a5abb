/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * consistent CLIENT-PIN [CLIENT-ADDRESS ID CONNECTOR-PIN [ID CONNECTOR-PIN...]]: whether records,
 * magic and transit entries of a client agree; and whether connectors hold what its leases say,
 * nothing of leases that ended, and no flow without its mapping. One line for each fault; status 1 if there is any.
 */
#include "lease.h"
#include "log.h"
#include "maps.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct maps client;
static struct record {
	struct c25_addr magic;
	struct c25_lease lease;
} * records;
static size_t n_records, n_faults;

__attribute__((format(printf, 2, 3))) static void fault(const struct c25_addr *of, const char *fmt,
							...)
{
	char text[ADDR_STRLEN];
	va_list args;

	printf("%s: ", addr_print(text, of));
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	n_faults++;
}

static void must(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-err));
	exit(2);
}

static int take_record(const void *key, const void *value, void *ctx)
{
	(void)ctx;
	records = reallocarray(records, n_records + 1, sizeof(*records));
	must(records ? 0 : -ENOMEM, "records");
	records[n_records++] = (struct record){ .magic = *(const struct c25_addr *)key,
						.lease = *(const struct c25_lease *)value };
	return 0;
}

static const struct record *of_magic(const struct c25_addr *magic)
{
	for (size_t i = 0; i < n_records; i++)
		if (addr_equal(&records[i].magic, magic))
			return &records[i];
	return NULL;
}

static const struct record *of_transit(const struct c25_addr *transit)
{
	for (size_t i = 0; i < n_records; i++)
		if (records[i].lease.state != C25_LEASE_QUARANTINE &&
		    addr_equal(&records[i].lease.transit, transit))
			return &records[i];
	return NULL;
}

/* No address is lent twice, and none while it rests. */
static void check_pair(const struct record *a, const struct record *b)
{
	bool both = a->lease.state != C25_LEASE_QUARANTINE &&
		    b->lease.state != C25_LEASE_QUARANTINE;

	if (addr_equal(&a->lease.transit, &b->lease.transit))
		fault(&a->magic, "its transit address is another lease's as well");
	if (both && !strcmp(a->lease.domain, b->lease.domain) &&
	    addr_equal(&a->lease.real, &b->lease.real))
		fault(&a->magic, "%s has a second lease of the same address", a->lease.domain);
}

static void check_live(const struct record *r)
{
	struct c25_transit back;
	struct c25_magic out;

	if (maps_magic_get(&client, &r->magic, &out))
		fault(&r->magic, "live, and no magic entry");
	else if (out.peer != r->lease.peer)
		fault(&r->magic, "packets go to connector %u, the record says %u", out.peer,
		      r->lease.peer);
	if (maps_transit_get(&client, &r->lease.transit, &back))
		fault(&r->magic, "live, and no transit entry");
	else if (back.peer != r->lease.peer)
		fault(&r->magic, "replies are taken from connector %u, the record says %u",
		      back.peer, r->lease.peer);
}

static int check_magic(const void *key, const void *value, void *ctx)
{
	const struct c25_magic *v = value;
	const struct record *r = of_magic(key);

	(void)ctx;
	if (!r || r->lease.state == C25_LEASE_QUARANTINE)
		fault(key, "a magic entry without a lease");
	else if (!addr_equal(&r->lease.transit, &v->transit))
		fault(key, "magic entry and record name two transit addresses");
	else if (r->lease.state == C25_LEASE_PENDING && !(v->flags & C25_MAGIC_DEAD))
		fault(key, "packets pass, and no connector has agreed");
	return 0;
}

static int check_transit(const void *key, const void *value, void *ctx)
{
	const struct c25_transit *v = value;
	const struct record *r = of_transit(key);

	(void)ctx;
	if (!r)
		fault(key, "a transit entry without a lease");
	else if (!addr_equal(&r->magic, &v->magic))
		fault(key, "transit entry and record name two magic addresses");
	return 0;
}

static void check_client(void)
{
	for (size_t i = 0; i < n_records; i++) {
		const char *why = lease_record_fault(&records[i].magic, &records[i].lease);

		if (why)
			fault(&records[i].magic, "%s", why);
		if (records[i].lease.state == C25_LEASE_LIVE)
			check_live(&records[i]);
		for (size_t j = 0; j < i; j++)
			check_pair(&records[i], &records[j]);
	}
	must(maps_each(&client, MAP_MAGIC, check_magic, NULL), "c25_magic");
	must(maps_each(&client, MAP_TRANSIT, check_transit, NULL), "c25_transit");
}

struct connector {
	struct maps maps;
	struct c25_addr of; /* the client's address */
	const char *id;
};

static bool is_at(const struct record *r, const char *id)
{
	struct c25_peer peer;

	return r->lease.state == C25_LEASE_LIVE && !maps_peer_get(&client, r->lease.peer, &peer) &&
	       !strncmp(peer.id, id, sizeof(peer.id));
}

/* What a connector was told and the client knows nothing of goes when the lease ends. */
static int check_mapping(const void *key, const void *value, void *ctx)
{
	const struct c25_mapping_key *k = key;
	const struct connector *c = ctx;
	const struct record *r = of_transit(&k->transit);

	if (!addr_equal(&k->client, &c->of))
		return 0;
	if (!r)
		fault(&k->transit, "%s holds it, and there is no lease", c->id);
	else if (!addr_equal(&r->lease.real, &((const struct c25_mapping *)value)->real))
		fault(&k->transit, "%s takes it for another address", c->id);
	return 0;
}

static int check_flow(uint32_t slot, const struct c25_flow *f, void *ctx)
{
	struct connector *c = ctx;
	struct c25_mapping_key key = { .client = c->of, .transit = f->out.dst };
	struct c25_mapping m;

	(void)slot;
	if (f->state == C25_FLOW_REVOKED)
		return 0;
	if (maps_mapping_get(&c->maps, &key, &m))
		fault(&f->out.dst, "%s has a flow without mapping", c->id);
	else if (!addr_equal(&m.real, &f->in.src))
		fault(&f->out.dst, "%s has a flow of another meaning", c->id);
	return 0;
}

static void check_connector(struct connector *c)
{
	must(maps_each(&c->maps, MAP_MAPPINGS, check_mapping, c), c->id);
	must(maps_flow_each(&c->maps, check_flow, c), c->id);
	for (size_t i = 0; i < n_records; i++) {
		struct c25_mapping_key key = { .client = c->of,
					       .transit = records[i].lease.transit };
		struct c25_mapping m;

		if (is_at(&records[i], c->id) && maps_mapping_get(&c->maps, &key, &m))
			fault(&records[i].magic, "live, and %s does not hold it", c->id);
	}
}

int main(int argc, char **argv)
{
	struct connector c;

	log_setup(LOG_WARN, false);
	if (argc < 2)
		return 2;
	must(maps_open(&client, argv[1]), argv[1]);
	must(maps_each(&client, MAP_LEASES, take_record, NULL), "c25_leases");
	check_client();
	for (int i = 3; i + 1 < argc; i += 2) {
		c.id = argv[i];
		must(addr_parse(&c.of, argv[2]) > 0 ? 0 : -EINVAL, argv[2]);
		must(maps_open(&c.maps, argv[i + 1]), argv[i + 1]);
		check_connector(&c);
		maps_close(&c.maps);
	}
	return n_faults ? 1 : 0;
}
