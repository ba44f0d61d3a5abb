/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_query: a question's way from its first client to its answer.
 *
 * Where no memory is left a question is answered SERVFAIL at once and counted as overload: its
 * client may ask another resolver, or again, and nobody who already waits loses his turn.
 */
#include "dns_proxy_int.h"

#include <errno.h>
#include <string.h>

/* How long each attempt waits before the next resolver is asked; they add up to the total. */
static const uint64_t attempt_ms[DNS_ATTEMPTS] = { 800, 1200, 1500, 1500 };

static void deadline_clear(struct dns_query *q)
{
	if (!q->deadline)
		return;
	DL_DELETE(q->proxy->table.deadlines[q->list], q);
	q->deadline = 0;
}

static void deadline_set(struct dns_query *q)
{
	struct dns_proxy *p = q->proxy;

	deadline_clear(q);
	q->list = q->attempt < DNS_ATTEMPTS ? q->attempt : DNS_ATTEMPTS - 1;
	q->deadline = dns_now(p) + attempt_ms[q->list];
	DL_APPEND(p->table.deadlines[q->list], q);
	dns_wake_at(p, q->deadline);
}

static void asks_clear(struct dns_query *q)
{
	for (size_t i = 0; i < DNS_ATTEMPTS; i++)
		dns_channel_remove(&q->asks[i]);
}

static void text_unlink(struct dns_query *q)
{
	struct dns_table *t = &q->proxy->table;
	uint16_t *head = &t->by_text[q->hash % DNS_HEADS];
	struct dns_query *at = dns_table_query(t, *head);

	if (at == q) {
		*head = dns_table_query_number(t, q->hash_next);
		return;
	}
	while (at->hash_next != q)
		at = at->hash_next;
	at->hash_next = q->hash_next;
}

static void query_end(struct dns_query *q)
{
	struct dns_proxy *p = q->proxy;
	struct dns_table *t = &p->table;

	if (p->answering == q)
		p->answering = NULL;
	deadline_clear(q);
	asks_clear(q);
	text_unlink(q);
	if (q->original)
		q->original->users--;
	if (q->plan)
		dns_pool_put(&t->plans, q->plan);
	if (q->answer_buf)
		dns_table_put_buffer(t, q->answer_buf);
	if (q->msg != q->small)
		dns_table_put_buffer(t, q->msg);
	dns_table_put_query(t, q);
}

static void query_reply(struct dns_query *q, const uint8_t *msg, size_t len, uint64_t *count)
{
	struct dns_proxy *p = q->proxy;
	uint64_t before = *count;

	while (q->waiters) {
		struct dns_waiter w = *q->waiters;

		dns_waiter_detach(q->waiters);
		dns_waiter_reply(&w, msg, len);
		(*count)++;
	}
	dns_latency_add(&p->stats.latency[q->claimed], dns_now(p) - q->started, *count - before);
	query_end(q);
}

static size_t reply_max(const struct dns_question *question, bool tcp)
{
	if (tcp)
		return DNS_MAX_MSG;
	return question->udp_size < DNS_UDP_MAX ? question->udp_size : DNS_UDP_MAX;
}

static void query_servfail(struct dns_query *q)
{
	struct dns_proxy *p = q->proxy;
	size_t len;

	if (!q->readable) {
		while (q->waiters)
			dns_waiter_detach(q->waiters);
		query_end(q);
		return;
	}
	len = dns_servfail(p->scratch, reply_max(&q->question, q->client_tcp), &q->question, q->msg,
			   q->len);
	query_reply(q, p->scratch, len, &p->stats.servfail);
}

static void query_write(struct dns_query *q)
{
	struct dns_proxy *p = q->proxy;
	enum dns_plan_action action = q->plan->action;
	uint64_t *count = &p->stats.rewritten;
	size_t len;

	len = dns_rewrite_write(p->scratch, reply_max(&q->question, q->client_tcp), q->plan,
				&q->question, q->msg, q->len, q->answer, q->answer_len);
	if (q->original && p->ops->served) {
		struct c25_addr server = sock_addr((const struct sockaddr *)&q->original->addr);

		p->ops->served(p->ctx, &server, &q->question, q->plan, dns_flags(p->scratch));
	}
	if (action == DNS_PLAN_PASS)
		count = &p->stats.negative;
	else if ((dns_flags(p->scratch) & DNS_RCODE) == DNS_RCODE_SERVFAIL)
		count = &p->stats.servfail;
	else if (action == DNS_PLAN_EMPTY || !(p->scratch[6] | p->scratch[7]))
		count = &p->stats.empty;
	query_reply(q, p->scratch, len, count);
}

/* Whether there is another attempt to make; without one the query is over. */
static bool query_advance(struct dns_query *q)
{
	struct dns_proxy *p = q->proxy;
	size_t most = p->n_upstreams > DNS_ATTEMPTS ? p->n_upstreams : DNS_ATTEMPTS;

	deadline_clear(q);
	if (q->attempt + 1 >= most || dns_now(p) >= q->started + DNS_TOTAL_MS) {
		p->stats.timeouts++;
		query_servfail(q);
		return false;
	}
	q->attempt++;
	q->server = (q->server + 1) % p->n_upstreams;
	p->stats.retries++;
	return true;
}

static void query_ask(struct dns_query *q)
{
	struct dns_ask *ask;

	do {
		ask = &q->asks[q->attempt % DNS_ATTEMPTS];
		dns_channel_remove(ask);
		ask->query = q;
		if (!dns_upstream_ask(q, ask)) {
			deadline_set(q);
			return;
		}
	} while (query_advance(q));
}

void dns_query_next(struct dns_query *q)
{
	if (query_advance(q))
		query_ask(q);
}

void dns_query_again(struct dns_query *q)
{
	if (dns_now(q->proxy) < q->started + DNS_TOTAL_MS)
		query_ask(q);
	else
		dns_query_next(q);
}

void dns_query_expire(struct dns_proxy *p)
{
	struct dns_query *q;

	for (size_t i = 0; i < DNS_ATTEMPTS; i++) {
		while ((q = p->table.deadlines[i]) && q->deadline <= dns_now(p)) {
			struct dns_ask *ask = &q->asks[q->attempt % DNS_ATTEMPTS];

			dns_upstream_late(q->original ?: &p->upstreams[q->server], ask->sent);
			if (ask->channel && ask->channel->tcp)
				dns_uconn_late(ask->channel, ask);
			dns_query_next(q);
		}
		if (q)
			dns_wake_at(p, q->deadline);
	}
}

static void query_hold(struct dns_query *q, const uint8_t *msg, size_t len)
{
	struct dns_proxy *p = q->proxy;

	q->state = DNS_HELD;
	p->answering = q;
	p->ops->answered(p->ctx, q, q->app, &q->question, q->plan);
	if (p->answering != q)
		return;
	p->answering = NULL;

	q->answer_buf = dns_table_take_buffer(&p->table, len);
	if (!q->answer_buf) {
		p->stats.overload++;
		p->ops->dropped(p->ctx, q);
		query_servfail(q);
		return;
	}
	memcpy(q->answer_buf, msg, len);
	q->answer = q->answer_buf;
}

static bool plan_wants(const struct dns_plan *plan)
{
	if (plan->action != DNS_PLAN_REWRITE)
		return false;
	for (size_t i = 0; i < plan->n_addrs; i++)
		if (plan->addrs[i].state == DNS_ADDR_WANTED)
			return true;
	return false;
}

void dns_query_claimed(struct dns_query *q, const uint8_t *msg, size_t len)
{
	struct dns_proxy *p = q->proxy;
	bool has4 = false, has6 = false;

	if (q->matched != p->matching)
		q->app = p->ops->match(p->ctx, &q->question);
	if (q->app == DNS_MATCH_PASS) {
		query_servfail(q);
		return;
	}
	q->plan = dns_pool_take(&p->table.plans);
	if (!q->plan) {
		p->stats.overload++;
		query_servfail(q);
		return;
	}
	p->ops->families(p->ctx, &has4, &has6);
	dns_rewrite_plan(q->plan, &q->question, msg, len, has4, has6);
	q->answer = msg;
	q->answer_len = len;
	if (plan_wants(q->plan))
		query_hold(q, msg, len);
	else
		query_write(q);
}

void dns_query_answer(struct dns_ask *ask, const uint8_t *msg, size_t len)
{
	struct dns_query *q = ask->query;
	struct dns_proxy *p = q->proxy;
	bool last = ask == &q->asks[q->attempt % DNS_ATTEMPTS];
	bool tcp = ask->channel->tcp;
	unsigned int rcode = dns_flags(msg) & DNS_RCODE;
	size_t others = q->original ? 1 : p->n_upstreams;
	size_t server = q->original ? 0 : (size_t)(ask->channel->up - p->upstreams);

	/* One that cannot answer is no reason to give up while another has not been asked. */
	if (q->readable && (rcode == DNS_RCODE_SERVFAIL || rcode == DNS_RCODE_REFUSED) &&
	    (!last || q->attempt + 1 < others)) {
		dns_channel_remove(ask);
		if (last)
			dns_query_next(q);
		return;
	}
	deadline_clear(q);
	asks_clear(q);
	if (q->whole && !tcp && dns_flags(msg) & DNS_TC) {
		p->stats.tcp_retries++;
		q->over_tcp = true;
		q->server = server;
		query_ask(q);
	} else if (q->claimed) {
		dns_query_claimed(q, msg, len);
	} else {
		query_reply(q, msg, len, &p->stats.passed);
	}
}

static struct dns_query *query_find(struct dns_proxy *p, uint32_t hash, bool tcp,
				    const struct dns_upstream *original, const uint8_t *msg,
				    size_t len)
{
	struct dns_query *q = dns_table_query(&p->table, p->table.by_text[hash % DNS_HEADS]);

	for (; q; q = q->hash_next)
		if (q->hash == hash && q->client_tcp == tcp && q->original == original &&
		    q->len == len && !memcmp(q->msg + 2, msg + 2, len - 2))
			return q;
	return NULL;
}

static struct dns_query *query_new(struct dns_proxy *p, uint32_t hash,
				   const struct dns_waiter *from, struct dns_upstream *original,
				   const uint8_t *msg, size_t len)
{
	struct dns_query *q = dns_table_take_query(&p->table);
	uint16_t *head;

	if (!q)
		return NULL;
	q->msg = len <= sizeof(q->small) ? q->small : dns_table_take_buffer(&p->table, len);
	if (!q->msg) {
		dns_table_put_query(&p->table, q);
		return NULL;
	}
	memcpy(q->msg, msg, len);
	q->len = len;
	q->proxy = p;
	q->state = DNS_ASKED;
	q->client_tcp = from->conn || from->asker;
	q->started = dns_now(p);
	q->hash = hash;
	head = &p->table.by_text[hash % DNS_HEADS];
	q->hash_next = dns_table_query(&p->table, *head);
	*head = dns_table_query_number(&p->table, q);

	q->readable = !dns_question_parse(&q->question, msg, len);
	q->app = DNS_MATCH_PASS;
	if (q->readable && q->question.class_ == DNS_CLASS_IN)
		q->app = p->ops->match(p->ctx, &q->question);
	q->matched = p->matching;
	q->claimed = q->app != DNS_MATCH_PASS;
	q->whole = q->claimed || from->asker;
	q->over_tcp = from->conn && !q->claimed;
	q->original = original;
	if (original)
		original->users++;
	else
		q->server = dns_upstream_first(p);
	return q;
}

static void refuse(struct dns_proxy *p, const struct dns_waiter *from, const uint8_t *msg,
		   size_t len)
{
	struct dns_question question;

	p->stats.overload++;
	if (dns_question_parse(&question, msg, len)) {
		p->stats.unreadable++;
		return;
	}
	p->stats.queries++;
	p->stats.servfail++;
	len = dns_servfail(p->scratch, reply_max(&question, from->conn || from->asker), &question,
			   msg, len);
	dns_waiter_reply(from, p->scratch, len);
}

int dns_query_take(struct dns_proxy *p, const struct dns_waiter *from, const uint8_t *msg,
		   size_t len)
{
	bool tcp = from->conn || from->asker;
	struct dns_upstream *original;
	struct dns_query *q;
	bool fresh = false;
	uint32_t hash;

	if (len < DNS_HEADER_LEN || dns_flags(msg) & DNS_QR) {
		p->stats.unreadable++;
		return -EBADMSG;
	}
	if (dns_original_of(&original, p, from)) {
		refuse(p, from, msg, len);
		return 0;
	}
	hash = dns_table_hash(&p->table, msg + 2, len - 2, tcp | (uintptr_t)original);
	q = query_find(p, hash, tcp, original, msg, len);
	if (!q) {
		q = query_new(p, hash, from, original, msg, len);
		fresh = true;
	}
	if (!q || dns_waiter_add(q, from)) {
		if (q && fresh)
			query_end(q);
		refuse(p, from, msg, len);
		return 0;
	}
	if (q->readable)
		p->stats.queries++;
	else
		p->stats.unreadable++;
	if (fresh && !dns_external_ask(q))
		query_ask(q);
	return 0;
}

void dns_waiter_drop(struct dns_waiter *w)
{
	struct dns_query *q = w->query;

	dns_waiter_detach(w);
	if (q->waiters)
		return;
	if (q->state == DNS_HELD)
		q->proxy->ops->dropped(q->proxy->ctx, q);
	else if (q->state == DNS_EXTERNAL)
		q->proxy->ops->unask(q->proxy->ctx, q);
	query_end(q);
}

void dns_query_drop_all(struct dns_proxy *p)
{
	for (size_t i = 0; i < p->table.fresh_queries; i++)
		while (p->table.queries[i].state != DNS_FREE)
			dns_waiter_drop(p->table.queries[i].waiters);
}

void dns_query_finish(struct dns_query *q)
{
	query_write(q);
}

void dns_query_fail(struct dns_query *q)
{
	query_servfail(q);
}

void dns_query_set_data(struct dns_query *q, void *data)
{
	q->data = data;
}

void *dns_query_data(const struct dns_query *q)
{
	return q->data;
}
