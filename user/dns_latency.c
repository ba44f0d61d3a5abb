/* SPDX-License-Identifier: BSD-3-Clause */
/* dns_latency: how long questions took, counted by bounds. */
#include "dns_proxy_int.h"

const uint16_t dns_latency_ms[DNS_LATENCY_BOUNDS] = { 1,   2,   5,   10,   20,   50,
						      100, 200, 500, 1000, 2000, 5000 };

void dns_latency_add(struct dns_latency *l, uint64_t ms, uint64_t n)
{
	size_t i = 0;

	while (i < DNS_LATENCY_BOUNDS && ms > dns_latency_ms[i])
		i++;
	l->count[i] += n;
	l->sum_ms += ms * n;
}
