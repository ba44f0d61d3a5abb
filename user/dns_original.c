/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_original: the servers that intercepted questions were sent to, each an upstream of its own,
 * which is asked alone: what it says is what the client gets. So many at once; the one unused for
 * longest makes room.
 */
#include "dns_proxy_int.h"

#include <errno.h>
#include <string.h>

#define DNS_PORT 53

/* Its memory stays: handles that are still closing refer to it. */
static void take_over(struct dns_upstream *up, const struct c25_addr *addr)
{
	dns_upstream_close(up);
	memset(up->active, 0, sizeof(up->active));
	up->addr = sock_make(addr, DNS_PORT);
}

static struct dns_upstream *original_new(struct dns_proxy *p, const struct c25_addr *addr)
{
	struct dns_upstream *up = calloc(1, sizeof(*up));

	if (!up)
		return NULL;
	up->proxy = p;
	up->original = true;
	up->addr = sock_make(addr, DNS_PORT);
	return up;
}

static struct dns_upstream *original_get(struct dns_proxy *p, const struct c25_addr *addr)
{
	struct dns_upstream *idle = NULL;
	size_t i;

	for (i = 0; i < DNS_ORIGINALS && p->originals[i]; i++) {
		struct dns_upstream *up = p->originals[i];
		struct c25_addr held = sock_addr((const struct sockaddr *)&up->addr);

		if (addr_equal(&held, addr)) {
			up->used = dns_now(p);
			return up;
		}
		if (!up->users && (!idle || up->used < idle->used))
			idle = up;
	}
	if (i < DNS_ORIGINALS)
		idle = p->originals[i] = original_new(p, addr);
	else if (idle)
		take_over(idle, addr);
	if (idle)
		idle->used = dns_now(p);
	return idle;
}

int dns_original_of(struct dns_upstream **out, struct dns_proxy *p, const struct dns_waiter *from)
{
	const struct c25_addr *asked = NULL;
	struct dns_upstream *up = NULL;

	if (from->conn && !addr_is_zero(&from->conn->local))
		asked = &from->conn->local;
	else if (from->listener && from->listener->intercepts)
		asked = &from->local;
	if (asked) {
		p->stats.intercepted++;
		up = original_get(p, asked);
		if (!up)
			return -ENOBUFS;
	}
	*out = up;
	return 0;
}

void dns_original_expire(struct dns_proxy *p)
{
	for (size_t i = 0; i < DNS_ORIGINALS && p->originals[i]; i++)
		dns_uconn_expire(p->originals[i]);
}

void dns_original_close_all(struct dns_proxy *p)
{
	for (size_t i = 0; i < DNS_ORIGINALS && p->originals[i]; i++)
		dns_upstream_close(p->originals[i]);
}

void dns_original_free_all(struct dns_proxy *p)
{
	for (size_t i = 0; i < DNS_ORIGINALS; i++)
		free(p->originals[i]);
}
