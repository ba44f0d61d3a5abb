/* SPDX-License-Identifier: BSD-3-Clause */
/* connector_cut on real maps: which flows a start ends that comes after a crash. */
#include "connector_cut.h"
#include "pins.h"

#include <bpf/bpf.h>

SUITE(cut, .init = pins_setup, .timeout = 60);

static struct datapath *d;
static const struct maps *m;
static uv_loop_t loop;

static void begin(void)
{
	struct datapath_config cfg = pins_config();
	struct c25_peer peer = { .overlay4 = pins_addr("100.64.0.2"), .flags = C25_PEER_USED };

	cr_assert_eq(datapath_open(&d, &cfg), 0);
	m = datapath_maps(d);
	cr_assert_eq(maps_peer_put(m, 3, &peer), 0);
	uv_loop_init(&loop);
}

static void map_to(const char *transit, const char *real)
{
	struct c25_mapping_key k = { .client = pins_addr("100.64.0.2"),
				     .transit = pins_addr(transit) };
	struct c25_addr a = pins_addr(real);

	cr_assert_eq(maps_mapping_put(m, &k, &a, 1, 3, 100), 0);
}

/* An established flow of peer 3's, from a pod of it, in this slot. */
static void flow_put(uint32_t slot, const char *transit, const char *real)
{
	struct c25_flow f = { .out = { .src = pins_addr("10.1.0.1"), .dst = pins_addr(transit) },
			      .in = { .src = pins_addr(real), .dst = pins_addr("192.0.2.9") },
			      .state = C25_FLOW_ESTABLISHED,
			      .peer = 3 };
	struct c25_tick tick;
	uint32_t zero = 0;

	cr_assert_eq(bpf_map_update_elem(m->fd[MAP_FLOWS], &slot, &f, BPF_ANY), 0);
	cr_assert_eq(bpf_map_lookup_elem(m->fd[MAP_TICK], &zero, &tick), 0);
	tick.high = slot + 1;
	cr_assert_eq(bpf_map_update_elem(m->fd[MAP_TICK], &zero, &tick, BPF_ANY), 0);
}

static bool lives(uint32_t slot)
{
	struct c25_flow f;

	cr_assert_eq(bpf_map_lookup_elem(m->fd[MAP_FLOWS], &slot, &f), 0);
	return f.state == C25_FLOW_ESTABLISHED;
}

static int cut_orphans(void)
{
	struct connector_cut *c;
	int n;

	cr_assert_eq(connector_cut_new(&c, &loop, m, &d), 0);
	n = connector_cut_orphans(c);
	connector_cut_free(c);
	uv_run(&loop, UV_RUN_DEFAULT);
	return n;
}

Test(cut, flows_of_mappings_that_are_gone_or_mean_something_else_end_and_no_others)
{
	begin();
	map_to("169.254.64.1", "198.51.100.1");
	map_to("169.254.64.2", "198.51.100.2");
	flow_put(0, "169.254.64.1", "198.51.100.1");
	flow_put(1, "169.254.64.2", "198.51.100.9");
	flow_put(2, "169.254.64.3", "198.51.100.3");
	flow_put(3, "169.254.64.3", "198.51.100.3");
	cr_assert_eq(cut_orphans(), 2);
	cr_assert(lives(0));
	cr_assert_not(lives(1));
	cr_assert_not(lives(2));
	cr_assert_not(lives(3));
	cr_assert_eq(cut_orphans(), 0);
	datapath_free(d);
}

Test(cut, of_many_mappings_that_end_together_each_loses_its_flows)
{
	struct connector_cut *c;
	char transit[32];

	begin();
	map_to("169.254.65.1", "198.51.100.1");
	flow_put(0, "169.254.65.1", "198.51.100.1");
	cr_assert_eq(connector_cut_new(&c, &loop, m, &d), 0);
	for (uint32_t i = 1; i < 20; i++) {
		struct c25_mapping_key k = { .client = pins_addr("100.64.0.2") };

		snprintf(transit, sizeof(transit), "169.254.64.%u", i);
		k.transit = pins_addr(transit);
		if (i % 2)
			flow_put(i, transit, "198.51.100.1");
		connector_cut_add(c, &k);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	for (uint32_t i = 1; i < 20; i++)
		cr_assert_not(lives(i));
	cr_assert(lives(0));
	connector_cut_free(c);
	uv_run(&loop, UV_RUN_DEFAULT);
	datapath_free(d);
}
