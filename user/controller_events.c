/* SPDX-License-Identifier: BSD-3-Clause */
/* controller_events: the news that packets bring, through the datapath's ring buffer. */
#include "controller_int.h"
#include "log.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

static const char *proto_name(char buf[8], uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmpv6";
	default:
		snprintf(buf, 8, "%u", proto);
		return buf;
	}
}

static void tell_drop(struct controller *c, const struct c25_event *e)
{
	const char *domain = c->client ? client_domain(c->client, &e->dst) : NULL;
	enum c25_reason reason = e->reason < C25_REASON_MAX ? e->reason : C25_REASON_INTERNAL;
	char proto[8];

	if (c->client && !domain)
		domain = client_domain(c->client, &e->src);
	events_tell(c->events, "drop", ev_text("reason", maps_reason_name(reason)),
		    ev_text("proto", proto_name(proto, e->proto)), ev_addr("sourceIP", &e->src),
		    ev_addr("destinationIP", &e->dst), ev_text("domain", domain),
		    ev_text("text", maps_reason_text(reason)));
}

static void on_event(const struct c25_event *e, void *ctx)
{
	struct controller *c = ctx;

	if (e->kind < ARRAY_SIZE(c->ring_events))
		c->ring_events[e->kind]++;
	if (e->kind == C25_EVENT_UNMAPPED && c->client)
		client_unmapped(c->client, &e->dst);
	if (e->kind == C25_EVENT_DROP && events_watched(c->events))
		tell_drop(c, e);
}

static void on_events(uv_poll_t *p, int status, int events)
{
	struct controller *c = p->data;

	(void)status;
	(void)events;
	datapath_events_read(c->datapath, on_event, c);
}

static void events_closed(uv_handle_t *h)
{
	free(h);
}

/* A handle closes in the loop's next turn: another datapath's is another one. */
void controller_unwatch_events(struct controller *c)
{
	if (c->ring)
		uv_close((uv_handle_t *)TAKE_PTR(c->ring), events_closed);
}

int controller_watch_events(struct controller *c)
{
	int err;

	c->ring = calloc(1, sizeof(*c->ring));
	if (!c->ring)
		return log_errno(ENOMEM, "watch the ring buffer");
	err = uv_poll_init(&c->loop, c->ring, datapath_events_fd(c->datapath));
	if (err) {
		free(TAKE_PTR(c->ring));
		return log_errno(-err, "watch the ring buffer");
	}
	c->ring->data = c;
	err = uv_poll_start(c->ring, UV_READABLE, on_events);
	return err ? log_errno(-err, "watch the ring buffer") : 0;
}
