/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_channel: what has been asked on one socket. An answer is taken only with the socket, id
 * and question of an ask that is out (RFC 5452, 9.1); anything else is counted and forgotten.
 */
#include "dns_proxy_int.h"

#include <errno.h>

#define ID_TRIES 64

static uint16_t *bucket(struct dns_channel *ch, uint16_t id)
{
	struct dns_table *t = &ch->up->proxy->table;

	return &t->by_id[(ch->serial * 0x9e3779b1U ^ id) % DNS_HEADS];
}

static struct dns_ask *first(struct dns_channel *ch, uint16_t id)
{
	return dns_table_ask(&ch->up->proxy->table, *bucket(ch, id));
}

static struct dns_ask *find(struct dns_channel *ch, uint16_t id)
{
	for (struct dns_ask *a = first(ch, id); a; a = a->hash_next)
		if (a->channel == ch && a->id == id)
			return a;
	return NULL;
}

void dns_channel_init(struct dns_channel *ch, struct dns_upstream *up, bool tcp)
{
	*ch = (struct dns_channel){ .up = up, .serial = up->proxy->serial++, .tcp = tcp };
}

int dns_channel_add(struct dns_channel *ch, struct dns_ask *ask)
{
	struct dns_proxy *p = ch->up->proxy;
	uint16_t *head;
	int tries = 0;

	do {
		if (tries++ == ID_TRIES)
			return -ENOBUFS;
		ask->id = dns_table_random(&p->table);
	} while (find(ch, ask->id));

	ask->channel = ch;
	ask->sent = dns_now(p);
	head = bucket(ch, ask->id);
	ask->hash_next = dns_table_ask(&p->table, *head);
	*head = dns_table_ask_number(&p->table, ask);
	DL_APPEND(ch->asks, ask);
	return 0;
}

void dns_channel_remove(struct dns_ask *ask)
{
	struct dns_channel *ch = ask->channel;
	struct dns_ask *at;

	if (!ch)
		return;
	at = first(ch, ask->id);
	if (at == ask) {
		*bucket(ch, ask->id) = dns_table_ask_number(&ch->up->proxy->table, ask->hash_next);
	} else {
		while (at->hash_next != ask)
			at = at->hash_next;
		at->hash_next = ask->hash_next;
	}
	DL_DELETE(ch->asks, ask);
	ask->channel = NULL;
	if (ch->tcp)
		dns_uconn_forget(ch);
	else
		dns_usock_forget(ch, ask);
}

void dns_channel_fail(struct dns_channel *ch, void (*then)(struct dns_query *q))
{
	struct dns_ask *ask;

	while ((ask = ch->asks)) {
		struct dns_query *q = ask->query;
		bool last = ask == &q->asks[q->attempt % DNS_ATTEMPTS];

		dns_channel_remove(ask);
		if (last)
			then(q);
	}
}

void dns_channel_expect(struct dns_channel *ch, const uint8_t *msg, size_t len)
{
	const struct dns_proxy *p = ch->up->proxy;
	const struct dns_ask *ask = first(ch, dns_get16(msg));

	if (ask && ask->query->claimed && p->ops->expected)
		p->ops->expected(p->ctx, &ask->query->question, msg, len);
}

void dns_channel_input(struct dns_channel *ch, const uint8_t *msg, size_t len)
{
	struct dns_proxy *p = ch->up->proxy;
	struct dns_ask *ask = NULL;

	if (len >= DNS_HEADER_LEN && dns_flags(msg) & DNS_QR)
		ask = find(ch, (uint16_t)(msg[0] << 8 | msg[1]));
	if (!ask || ask->unsent ||
	    (ask->query->readable && !dns_answer_matches(&ask->query->question, msg, len))) {
		p->stats.mismatched++;
		return;
	}
	p->stats.answers++;
	p->stats.answer_ms += dns_now(p) - ask->sent;
	dns_upstream_heard(ch->up);
	dns_query_answer(ask, msg, len);
}
