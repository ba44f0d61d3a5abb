/* SPDX-License-Identifier: BSD-3-Clause */
/* peers, apps and state on real maps: numbers that stay, records that go, rows that add up. */
#include "apps.h"
#include "maps.h"
#include "peers.h"
#include "pins.h"
#include "state.h"

#include <stdlib.h>
#include <time.h>

SUITE(state, .init = pins_setup, .timeout = 60);

static struct datapath *open_datapath(void)
{
	struct datapath_config cfg = pins_config();
	struct datapath *d;

	cfg.max_mappings = 65536;
	cr_assert_eq(datapath_open(&d, &cfg), 0);
	return d;
}

/* Nodes "self" and those given, each with an address and one of its pods. */
static struct netmap *netmap_of(const char *nodes)
{
	struct netmap_fault fault;
	struct netmap *nm;
	char text[4096];

	snprintf(text, sizeof(text),
		 "{\"nodes\":[{\"id\":\"self\",\"addresses\":[\"100.64.0.1\"]}%s],\"apps\":[],"
		 "\"ipPools\":{\"v4MagicIPPool\":[\"198.18.0.0/16\"],"
		 "\"v4TransitIPPool\":[\"169.254.64.0/24\"]}}",
		 nodes);
	cr_assert_eq(netmap_parse(&nm, text, strlen(text), "self", &fault), 0, "%s: %s", fault.path,
		     fault.text);
	return nm;
}

#define NODE(id, n)                                                                                \
	",{\"id\":\"" id "\",\"addresses\":[\"100.64.0." n "\"],\"podCIDRs\":[\"10.0." n ".0/"     \
	"24\"]}"

static int find_net(const void *key, const void *value, void *ctx)
{
	const struct c25_net_key *k = key;
	const struct prefix *wanted = ctx;

	return k->prefixlen == wanted->len && addr_equal(&k->addr, &wanted->addr) ?
		       (int)((const struct c25_net *)value)->kind :
		       0;
}

static int kind_of(const struct maps *m, const char *text, uint8_t len)
{
	struct prefix p = { .addr = pins_addr(text), .len = (uint8_t)(96 + len) };

	return maps_each(m, MAP_NETS, find_net, &p);
}

static void sync_to(struct peers *p, const char *nodes)
{
	struct netmap *nm = netmap_of(nodes);

	cr_assert_eq(peers_sync(p, nm), 0);
	netmap_free(nm);
}

Test(state, a_peer_keeps_its_number_while_others_come_and_go_and_over_a_restart)
{
	struct datapath *d = open_datapath();
	const struct maps *m = datapath_maps(d);
	struct peers *p;
	uint32_t a, b;

	cr_assert_eq(peers_new(&p, m), 0);
	sync_to(p, NODE("a", "2") NODE("b", "3"));
	a = peers_index(p, "a");
	b = peers_index(p, "b");
	cr_assert_neq(a, b);
	cr_assert_eq(peers_index(p, "self"), PEERS_NONE);
	sync_to(p, NODE("c", "4") NODE("b", "3"));
	cr_assert_eq(peers_index(p, "b"), b);
	cr_assert_eq(peers_index(p, "a"), PEERS_NONE, "it left");
	cr_assert_str_eq(peers_id(p, a), "a");
	cr_assert_neq(peers_index(p, "c"), a, "its number is nobody else's");
	peers_free(p);

	cr_assert_eq(peers_new(&p, m), 0);
	sync_to(p, NODE("b", "3") NODE("a", "2"));
	cr_assert_eq(peers_index(p, "a"), a);
	cr_assert_eq(peers_index(p, "b"), b);
	peers_free(p);
	datapath_free(d);
}

#define LONG "ip-10-0-0-1.a-long-name-of-a-cluster.and-of-a-region.compute.internal"

Test(state, an_id_longer_than_its_record_keeps_its_number_over_a_restart)
{
	struct datapath *d = open_datapath();
	const struct maps *m = datapath_maps(d);
	struct peers *p;
	uint32_t a, b;

	cr_assert_eq(peers_new(&p, m), 0);
	sync_to(p, NODE(LONG "-a", "2") NODE(LONG "-b", "3"));
	a = peers_index(p, LONG "-a");
	b = peers_index(p, LONG "-b");
	cr_assert_neq(a, b);
	for (int i = 0; i < 2; i++) {
		peers_free(p);
		cr_assert_eq(peers_new(&p, m), 0);
		sync_to(p, NODE(LONG "-b", "3") NODE(LONG "-a", "2") NODE(LONG "-c", "4"));
		cr_assert_eq(peers_index(p, LONG "-a"), a);
		cr_assert_eq(peers_index(p, LONG "-b"), b);
		cr_assert_str_eq(peers_id(p, a), LONG "-a");
	}
	sync_to(p, NODE(LONG "-c", "2"));
	cr_assert_neq(peers_index(p, LONG "-c"), a, "another node at its address is another node");
	peers_free(p);
	datapath_free(d);
}

Test(state, what_a_netmap_no_longer_names_is_gone_from_the_maps_also_after_a_restart)
{
	struct datapath *d = open_datapath();
	const struct maps *m = datapath_maps(d);
	struct c25_peer record;
	struct peers *p;
	uint32_t a;

	cr_assert_eq(peers_new(&p, m), 0);
	sync_to(p, NODE("a", "2"));
	a = peers_index(p, "a");
	cr_assert_eq(kind_of(m, "100.64.0.1", 32), C25_NET_SELF);
	cr_assert_eq(kind_of(m, "100.64.0.2", 32), C25_NET_NODE);
	cr_assert_eq(kind_of(m, "10.0.2.0", 24), C25_NET_PODS);
	cr_assert_eq(kind_of(m, "198.18.0.0", 16), C25_NET_MAGIC);
	cr_assert_eq(kind_of(m, "169.254.64.0", 24), C25_NET_TRANSIT);
	peers_free(p);

	cr_assert_eq(peers_new(&p, m), 0);
	sync_to(p, NODE("b", "3"));
	cr_assert_eq(kind_of(m, "100.64.0.2", 32), 0);
	cr_assert_eq(kind_of(m, "10.0.2.0", 24), 0);
	cr_assert_eq(kind_of(m, "100.64.0.3", 32), C25_NET_NODE);
	cr_assert_eq(maps_peer_get(m, a, &record), 0);
	cr_assert(addr_is_zero(&record.overlay4), "nothing that names it reaches anyone");
	cr_assert_str_eq(record.id, "a");
	peers_free(p);
	datapath_free(d);
}

Test(state, an_apps_number_stays_its_names)
{
	struct datapath *d = open_datapath();
	const struct maps *m = datapath_maps(d);
	uint32_t web, other, again;
	struct apps *a;

	cr_assert_eq(apps_new(&a, m), 0);
	cr_assert_eq(apps_id(a, "web", &web), 0);
	cr_assert_eq(apps_id(a, "other", &other), 0);
	cr_assert_neq(web, other);
	apps_free(a);
	cr_assert_eq(apps_new(&a, m), 0);
	cr_assert_eq(apps_id(a, "other", &again), 0);
	cr_assert_eq(again, other);
	cr_assert_eq(apps_id(a, "third", &again), 0);
	cr_assert(again != web && again != other);
	cr_assert_str_eq(apps_name(a, web), "web");
	cr_assert_null(apps_name(a, 4711));
	apps_free(a);
	datapath_free(d);
}

static void put_lease(const struct maps *m, uint32_t n, const char *domain, uint32_t state)
{
	struct c25_addr magic = pins_addr("198.18.0.0"), transit = pins_addr("169.254.0.0");
	struct c25_lease l = { .real = pins_addr("192.0.2.1"), .state = state, .expires = 1000 };

	magic.b[14] = transit.b[14] = (uint8_t)(n >> 8);
	magic.b[15] = transit.b[15] = (uint8_t)n;
	l.transit = transit;
	snprintf(l.domain, sizeof(l.domain), "%s", domain);
	cr_assert_eq(maps_lease_put(m, &magic, &l), 0);
	if (state == C25_LEASE_LIVE)
		cr_assert_eq(maps_client_put(m, &magic, &transit, 0, 0, 0), 0);
}

Test(state, leases_are_sorted_from_the_root_down_and_those_in_quarantine_stand_last)
{
	static const char *const sorted[] = { "example.com", "a.example.com", "b.a.example.com",
					      "b.example.com", "example.net" };
	struct datapath *d = open_datapath();
	const struct maps *m = datapath_maps(d);
	struct state *s;

	put_lease(m, 1, "a.resting.example", C25_LEASE_QUARANTINE);
	for (uint32_t i = 0; i < ARRAY_SIZE(sorted); i++)
		put_lease(m, 10 - i, sorted[i], i ? C25_LEASE_LIVE : C25_LEASE_PENDING);
	cr_assert_eq(state_read(&s, m), 0);
	cr_assert_eq(s->n_leases, ARRAY_SIZE(sorted));
	cr_assert_eq(s->n_resting, 1);
	for (size_t i = 0; i < ARRAY_SIZE(sorted); i++)
		cr_assert_str_eq(s->leases[i].lease.domain, sorted[i]);
	cr_assert_str_eq(s->leases[s->n_leases].lease.domain, "a.resting.example");
	state_free(s);
	datapath_free(d);
}

Test(state, a_record_without_end_is_cut_and_not_read_beyond)
{
	struct datapath *d = open_datapath();
	const struct maps *m = datapath_maps(d);
	struct c25_addr magic = pins_addr("198.18.0.9");
	struct c25_lease l = { .real = magic,
			       .transit = magic,
			       .state = C25_LEASE_LIVE,
			       .app = UINT32_MAX,
			       .peer = UINT32_MAX };
	struct state *s;
	cJSON *o;

	memset(l.domain, 'x', sizeof(l.domain));
	cr_assert_eq(maps_lease_put(m, &magic, &l), 0);
	cr_assert_eq(state_read(&s, m), 0);
	cr_assert_eq(strlen(s->leases[0].lease.domain), C25_NAME_LEN - 1);
	cr_assert_str_empty(s->leases[0].app);
	cr_assert_str_empty(s->leases[0].connector);
	o = state_client_json(s);
	cr_assert_not_null(o);
	cJSON_Delete(o);
	state_free(s);
	datapath_free(d);
}

Test(state, an_empty_state_is_empty_lists)
{
	struct datapath *d = open_datapath();
	struct state *s;
	char *text;
	cJSON *o;

	cr_assert_eq(state_read(&s, datapath_maps(d)), 0);
	o = state_client_json(s);
	text = cJSON_PrintUnformatted(o);
	cr_assert_str_eq(text, "{\"apps\":[]}");
	free(text);
	cJSON_Delete(o);
	o = state_connector_json(s);
	text = cJSON_PrintUnformatted(o);
	cr_assert_str_eq(text, "{\"peers\":[]}");
	free(text);
	cJSON_Delete(o);
	state_free(s);
	datapath_free(d);
}

Test(state, fifty_thousand_leases_are_read_in_well_under_a_second)
{
	struct datapath *d = open_datapath();
	const struct maps *m = datapath_maps(d);
	struct timespec a, b;
	struct state *s;
	char domain[64];

	for (uint32_t i = 0; i < 50000; i++) {
		snprintf(domain, sizeof(domain), "host-%u.example.com", i * 7919 % 50000);
		put_lease(m, i, domain, C25_LEASE_LIVE);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	cr_assert_eq(state_read(&s, m), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	cr_assert_eq(s->n_leases, 50000);
	cr_assert_lt((double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9, 1.0);
	state_free(s);
	datapath_free(d);
}
