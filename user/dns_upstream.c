/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_upstream: which resolver is asked, and whether it answers.
 *
 * One that has failed several times in a row is left out, but for one question every few
 * seconds, so that not each of them pays for its silence.
 */
#include "dns_proxy_int.h"
#include "log.h"

#define DOWN_FAILURES 4
#define PROBE_MS      5000
#define LOG_EVERY_MS  60000

size_t dns_upstream_first(struct dns_proxy *p)
{
	uint64_t now = dns_now(p);

	for (size_t i = 0; i < p->n_upstreams; i++) {
		struct dns_upstream *up = &p->upstreams[i];

		if (!up->down)
			return i;
		if (up->probe_at <= now) {
			up->probe_at = now + PROBE_MS;
			return i;
		}
	}
	return 0;
}

int dns_upstream_ask(struct dns_query *q, struct dns_ask *ask)
{
	struct dns_upstream *up = q->original ?: &q->proxy->upstreams[q->server];
	int err;

	err = q->over_tcp ? dns_uconn_ask(up, ask) : dns_usock_ask(up, ask);
	if (err)
		dns_upstream_failed(up);
	return err;
}

void dns_upstream_heard(struct dns_upstream *up)
{
	char text[SOCK_STRLEN];

	up->failures = 0;
	up->heard_at = dns_now(up->proxy);
	if (!up->down)
		return;
	up->down = false;
	if (up->down_logged)
		log_info("DNS upstream %s answers again",
			 sock_print(text, (const struct sockaddr *)&up->addr));
	up->down_logged = false;
}

void dns_upstream_failed(struct dns_upstream *up)
{
	uint64_t now = dns_now(up->proxy);
	char text[SOCK_STRLEN];

	/* No other is asked in its place, and pods choose it: it stays in, and out of the log. */
	if (up->original || ++up->failures < DOWN_FAILURES || up->down)
		return;
	up->down = true;
	up->probe_at = now + PROBE_MS;
	if (up->logged && now < up->logged_at + LOG_EVERY_MS)
		return;
	up->logged = up->down_logged = true;
	up->logged_at = now;
	log_warn("DNS upstream %s does not answer%s",
		 sock_print(text, (const struct sockaddr *)&up->addr),
		 up->proxy->n_upstreams > 1 ? "; the others are asked first" : "");
}

/* While it answers others, the one question is slow, and not the resolver. */
void dns_upstream_late(struct dns_upstream *up, uint64_t sent)
{
	if (up->heard_at < sent)
		dns_upstream_failed(up);
}

void dns_upstream_close(struct dns_upstream *up)
{
	dns_usock_close_all(up);
	dns_uconn_close(up);
}
