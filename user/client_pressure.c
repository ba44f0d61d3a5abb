/* SPDX-License-Identifier: BSD-3-Clause */
/* client_pressure: pools and the table of leases are told of before they are used up. */
#include "client_int.h"
#include "log.h"

#include <inttypes.h>

#define WARN_AT  80 /* percent */
#define CALM_AT  70
#define OF_TABLE (1U << NETMAP_POOLS)

uint64_t client_pool_resting(struct client *c, enum netmap_pool which)
{
	return lease_pool_resting(c->leases, which, client_now_s());
}

static bool reaches(uint64_t used, uint64_t capacity, unsigned percent)
{
	return (double)used * 100 >= (double)capacity * percent;
}

/* Whether to warn: once, until it has fallen well below. */
static bool presses(struct client *c, uint32_t bit, uint64_t used, uint64_t capacity)
{
	if (!reaches(used, capacity, CALM_AT))
		c->pressed &= ~bit;
	if (c->pressed & bit || !capacity || !reaches(used, capacity, WARN_AT))
		return false;
	c->pressed |= bit;
	return true;
}

static void check_pool(struct client *c, enum netmap_pool which, const char *name)
{
	struct lease_pool_stats s = lease_pool_stats(c->leases, which);
	uint64_t rest = client_pool_resting(c, which);

	if (presses(c, 1U << which, s.in_use + rest, s.capacity))
		log_warn("of %" PRIu64 " addresses of %s, %" PRIu64 " are lent and %" PRIu64
			 " rest: new names fail when there are no more; a larger pool in the "
			 "netmap is taken up at once",
			 s.capacity, name, s.in_use, rest);
}

void client_pressure_check(struct client *c)
{
	uint64_t max = c->deps.config->max_mappings, n = lease_count(c->leases);

	check_pool(c, NETMAP_V4_MAGIC, "v4MagicIPPool");
	check_pool(c, NETMAP_V4_TRANSIT, "v4TransitIPPool");
	check_pool(c, NETMAP_V6_MAGIC, "v6MagicIPPool");
	check_pool(c, NETMAP_V6_TRANSIT, "v6TransitIPPool");
	if (presses(c, OF_TABLE, n, max))
		log_warn("%" PRIu64 " of at most %" PRIu64 " leases live (--max-mappings): new "
			 "names fail when there is no more room",
			 n, max);
}
