/* SPDX-License-Identifier: BSD-3-Clause */
/* dns_waiter: the clients who wait for one query's answer. */
#include "dns_proxy_int.h"

#include <errno.h>
#include <string.h>

void dns_waiter_detach(struct dns_waiter *w)
{
	struct dns_query *q = w->query;
	struct dns_table *t = &q->proxy->table;

	DL_DELETE(q->waiters, w);
	if (w->conn) {
		DL_DELETE2(w->conn->waiters, w, conn_prev, conn_next);
		w->conn->in_flight--;
		dns_job_queue(q->proxy, &w->conn->job); /* there is room for its next question */
	} else if (w->asker) {
		w->asker->waiter = NULL;
	} else if (w->hashed) {
		struct dns_waiter **at = &t->by_client[w->hash % DNS_HASH];

		while (*at != w)
			at = &(*at)->hash_next;
		*at = w->hash_next;
	}
	dns_table_put_waiter(t, w);
}

void dns_waiter_reply(const struct dns_waiter *w, const uint8_t *msg, size_t len)
{
	if (w->conn)
		dns_tcp_reply(w, msg, len);
	else if (w->asker)
		w->asker->answered(w->asker, msg, len);
	else
		dns_udp_reply(w, msg, len);
}

static uint32_t peer_hash(const struct dns_query *q, const struct dns_peer *peer)
{
	return dns_table_hash(&q->proxy->table, peer, sizeof(*peer), q->hash);
}

static bool is_same(const struct dns_waiter *w, const struct dns_waiter *from)
{
	return w->listener == from->listener && !memcmp(&w->peer, &from->peer, sizeof(w->peer));
}

/* A client that repeats itself waits once (RFC 1035, 4.2.1 lets it send again). */
static bool waits_already(const struct dns_query *q, const struct dns_waiter *from, uint32_t hash)
{
	struct dns_waiter *w = q->proxy->table.by_client[hash % DNS_HASH];

	if (is_same(q->waiters, from))
		return true;
	for (; w; w = w->hash_next)
		if (w->query == q && is_same(w, from))
			return true;
	return false;
}

int dns_waiter_add(struct dns_query *q, const struct dns_waiter *from)
{
	struct dns_table *t = &q->proxy->table;
	/* The first of a query's clients is found without: most have no other. */
	bool hashed = from->listener && q->waiters;
	uint32_t hash = hashed ? peer_hash(q, &from->peer) : 0;
	struct dns_waiter *w;

	if (hashed && waits_already(q, from, hash))
		return 0;
	w = dns_table_take_waiter(t);
	if (!w)
		return -ENOBUFS;
	*w = *from;
	w->query = q;
	w->hash = hash;
	w->hashed = hashed;
	DL_APPEND(q->waiters, w);
	if (w->conn) {
		DL_APPEND2(w->conn->waiters, w, conn_prev, conn_next);
		w->conn->in_flight++;
	} else if (w->asker) {
		w->asker->waiter = w;
	} else if (hashed) {
		w->hash_next = t->by_client[hash % DNS_HASH];
		t->by_client[hash % DNS_HASH] = w;
	}
	return 0;
}
