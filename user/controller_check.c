/* SPDX-License-Identifier: BSD-3-Clause */
/* controller_check: what of the host's own settings would get in the way, told before it does. */
#include "controller_int.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

/* Peers and DNS clients over TCP each take a descriptor. */
void controller_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

void controller_warn_of_ports(const struct config *f)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	unsigned lo, hi;

	if (file && fscanf(file, "%u %u", &lo, &hi) == 2 && f->nat_lo <= hi && f->nat_hi >= lo)
		log_warn("--nat-ports %u-%u overlaps net.ipv4.ip_local_port_range %u-%u: ports the "
			 "host takes later are lost to one of the two",
			 f->nat_lo, f->nat_hi, lo, hi);
}

/* A wildcard listener answers on every address of the host; that of loopback is enough here. */
static bool asks_itself(const struct sockaddr_storage *upstream, const struct sockaddr_storage *own)
{
	const struct sockaddr *up = (const struct sockaddr *)upstream;
	const struct sockaddr *sa = (const struct sockaddr *)own;
	struct c25_addr asked = sock_addr(up), answers = sock_addr(sa);
	static const struct c25_addr any4 = { .b = { [10] = 0xff, [11] = 0xff } };
	bool loopback = addr_is4(&asked) ? asked.b[12] == 127 : asked.b[15] == 1 && !asked.b[0];

	if (sock_port(up) != sock_port(sa) || addr_is4(&asked) != addr_is4(&answers))
		return false;
	return addr_equal(&asked, &answers) ||
	       (loopback && (addr_is_zero(&answers) || addr_equal(&answers, &any4)));
}

int controller_check_upstreams(const struct controller *c, const struct config_socks *socks)
{
	const struct config_socks *up = &c->config->dns_upstream;
	char text[SOCK_STRLEN];

	if (!up->n) {
		log_error("no resolver to ask: name one with --dns-upstream, or in "
			  "/etc/resolv.conf");
		return -EINVAL;
	}
	for (size_t i = 0; i < up->n; i++)
		for (size_t k = 0; k < socks->n; k++) {
			if (!asks_itself(&up->v[i], &socks->v[k]))
				continue;
			log_error("the resolver %s is this daemon itself: name another with "
				  "--dns-upstream",
				  sock_print(text, (const struct sockaddr *)&up->v[i]));
			return -ELOOP;
		}
	return 0;
}
