/* SPDX-License-Identifier: BSD-3-Clause */
/* dns_external: questions that others ask in the proxy's stead, and askers without a socket. */
#include "dns_proxy_int.h"

#include <errno.h>

bool dns_external_ask(struct dns_query *q)
{
	struct dns_proxy *p = q->proxy;

	if (!q->claimed || !p->ops->ask)
		return false;
	q->state = DNS_EXTERNAL;
	if (p->ops->ask(p->ctx, q, q->app, &q->question, q->msg, q->len))
		return true;
	q->state = DNS_ASKED;
	return false;
}

int dns_query_external_answer(struct dns_query *q, const uint8_t *msg, size_t len)
{
	struct dns_proxy *p = q->proxy;

	if (!dns_answer_matches(&q->question, msg, len))
		return -EBADMSG;
	p->stats.answers++;
	p->stats.answer_ms += dns_now(p) - q->started;
	dns_query_claimed(q, msg, len);
	return 0;
}

int dns_proxy_ask(struct dns_proxy *p, struct dns_asker *a, const uint8_t *msg, size_t len)
{
	const struct dns_waiter from = { .asker = a };
	struct dns_question question;

	a->waiter = NULL;
	if (dns_question_parse(&question, msg, len))
		return -EBADMSG;
	return dns_query_take(p, &from, msg, len);
}

void dns_proxy_unask(struct dns_asker *a)
{
	if (a->waiter)
		dns_waiter_drop(a->waiter);
}
