/* SPDX-License-Identifier: BSD-3-Clause */
/* dns_proxy: the parts together: listeners, the one timer, output at the end of the loop's turn. */
#include "dns_proxy_int.h"
#include "log.h"

#include <errno.h>
#include <string.h>

void dns_proxy_ref(struct dns_proxy *p)
{
	p->refs++;
}

void dns_proxy_unref(struct dns_proxy *p)
{
	if (--p->refs)
		return;
	while (p->listeners) {
		struct dns_listener *l = p->listeners;

		p->listeners = l->next;
		free(l);
	}
	dns_table_fini(&p->table);
	dns_original_free_all(p);
	free(p->upstreams);
	free(p);
}

void dns_handle_closed(uv_handle_t *handle)
{
	dns_proxy_unref(handle->data);
}

uint64_t dns_now(const struct dns_proxy *p)
{
	return uv_now(p->loop);
}

static void timer_fired(uv_timer_t *timer)
{
	struct dns_proxy *p = timer->data;

	p->timer_at = 0;
	dns_query_expire(p);
	dns_tcp_expire(p);
	for (size_t i = 0; i < p->n_upstreams; i++)
		dns_uconn_expire(&p->upstreams[i]);
	dns_original_expire(p);
}

void dns_wake_at(struct dns_proxy *p, uint64_t at)
{
	uint64_t now = dns_now(p);

	if (p->timer_at && p->timer_at <= at)
		return;
	p->timer_at = at;
	uv_timer_start(&p->timer, timer_fired, at > now ? at - now : 0, 0);
}

void dns_jobs_run(struct dns_proxy *p)
{
	while (p->jobs) {
		struct dns_job *job = p->jobs;

		DL_DELETE(p->jobs, job);
		job->queued = false;
		job->run(job);
	}
	p->turn++;
	uv_idle_stop(&p->idle);
}

/* An idle handle runs before the loop sleeps, whatever phase its jobs were queued in. */
static void jobs_due(uv_idle_t *idle)
{
	dns_jobs_run(idle->data);
}

void dns_job_queue(struct dns_proxy *p, struct dns_job *job)
{
	if (job->queued)
		return;
	job->queued = true;
	if (!p->jobs)
		uv_idle_start(&p->idle, jobs_due);
	DL_APPEND(p->jobs, job);
}

void dns_job_cancel(struct dns_proxy *p, struct dns_job *job)
{
	if (job->queued)
		DL_DELETE(p->jobs, job);
	job->queued = false;
}

int dns_rx_read(struct dns_rx *rx, int fd, bool connected)
{
	int n;

	for (size_t i = 0; i < DNS_BATCH; i++) {
		struct msghdr *hdr = &rx->msgs[i].msg_hdr;

		hdr->msg_name = connected ? NULL : &rx->from[i];
		hdr->msg_namelen = connected ? 0 : sizeof(rx->from[i]);
		hdr->msg_control = connected ? NULL : rx->control[i].bytes;
		hdr->msg_controllen = connected ? 0 : sizeof(rx->control[i].bytes);
	}
	do
		n = recvmmsg(fd, rx->msgs, DNS_BATCH, 0, NULL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void rx_init(struct dns_rx *rx)
{
	for (size_t i = 0; i < DNS_BATCH; i++) {
		rx->iov[i] = (struct iovec){ rx->data + i * DNS_RX_STRIDE, DNS_LARGE_SZ };
		rx->msgs[i].msg_hdr.msg_iov = &rx->iov[i];
		rx->msgs[i].msg_hdr.msg_iovlen = 1;
	}
}

static int upstreams_init(struct dns_proxy *p, const struct sockaddr_storage *addrs, size_t n)
{
	p->upstreams = calloc(n, sizeof(*p->upstreams));
	if (!p->upstreams)
		return -ENOMEM;
	p->n_upstreams = n;
	for (size_t i = 0; i < n; i++) {
		if (addrs[i].ss_family != AF_INET && addrs[i].ss_family != AF_INET6)
			return -EAFNOSUPPORT;
		p->upstreams[i].proxy = p;
		p->upstreams[i].addr = addrs[i];
	}
	return 0;
}

int dns_proxy_new(struct dns_proxy **out, uv_loop_t *loop, const struct dns_proxy_ops *ops,
		  void *ctx, const struct sockaddr_storage *upstreams, size_t n_upstreams)
{
	struct dns_proxy *p;
	int err;

	if (!n_upstreams)
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->loop = loop;
	p->ops = ops;
	p->ctx = ctx;
	p->refs = 1;
	rx_init(&p->rx);
	for (size_t i = 0; i < DNS_MIRRORS; i++)
		p->mirrors[i].fd = -1;
	err = dns_table_init(&p->table);
	if (!err)
		err = upstreams_init(p, upstreams, n_upstreams);
	if (err) {
		dns_proxy_unref(p);
		return err;
	}
	uv_timer_init(loop, &p->timer);
	uv_idle_init(loop, &p->idle);
	p->timer.data = p->idle.data = p;
	p->refs += 2;
	*out = p;
	return 0;
}

void dns_proxy_free(struct dns_proxy *p)
{
	if (!p)
		return;
	/* What was finished is sent, and what was broken is closed. */
	dns_jobs_run(p);
	dns_query_drop_all(p);
	for (struct dns_listener *l = p->listeners; l; l = l->next) {
		dns_udp_close(l);
		dns_tcp_close(l);
	}
	dns_tcp_drop_all(p);
	for (size_t i = 0; i < p->n_upstreams; i++)
		dns_upstream_close(&p->upstreams[i]);
	dns_original_close_all(p);
	dns_mirror_close_all(p);
	uv_close((uv_handle_t *)&p->timer, dns_handle_closed);
	uv_close((uv_handle_t *)&p->idle, dns_handle_closed);
	dns_proxy_unref(p);
}

static bool is_wildcard(const struct sockaddr *sa)
{
	struct c25_addr a = sock_addr(sa);

	return sa->sa_family == AF_INET ? !memcmp(a.b + 12, "\0\0\0\0", 4) : addr_is_zero(&a);
}

/* Whether a question sent to the upstream would come back here. */
static bool asks_itself(const struct sockaddr *listen, const struct sockaddr *up)
{
	struct c25_addr a = sock_addr(listen), b = sock_addr(up);
	bool loopback;

	if (listen->sa_family != up->sa_family || sock_port(listen) != sock_port(up))
		return false;
	loopback = addr_is4(&b) ? b.b[12] == 127 : IN6_IS_ADDR_LOOPBACK((struct in6_addr *)b.b);
	return addr_equal(&a, &b) || (is_wildcard(listen) && (loopback || is_wildcard(up)));
}

static int listener_open(struct dns_listener **out, struct dns_proxy *p, const struct sockaddr *sa,
			 bool intercepts)
{
	struct dns_listener *l;
	int err;

	l = malloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	memset(l, 0, offsetof(struct dns_listener, out));
	l->out.first = l->out.n = l->out.used = 0;
	l->proxy = p;
	l->wildcard = is_wildcard(sa);
	l->intercepts = intercepts;
	l->udp = l->tcp = -1;
	memcpy(&l->addr, sa, sock_len(sa));

	err = dns_udp_open(l);
	if (!err)
		err = dns_tcp_open(l);
	/* An open handle refers to it until the loop has closed it: it goes with the proxy. */
	l->next = p->listeners;
	p->listeners = l;
	if (err)
		dns_udp_close(l);
	else if (out)
		*out = l;
	return err;
}

int dns_proxy_listen(struct dns_proxy *p, const struct sockaddr *sa)
{
	if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	for (size_t i = 0; i < p->n_upstreams; i++)
		if (asks_itself(sa, (const struct sockaddr *)&p->upstreams[i].addr))
			return -ELOOP;
	return listener_open(NULL, p, sa, false);
}

int dns_proxy_intercept(struct dns_proxy *p, int family, int *udp, int *tcp)
{
	struct sockaddr_storage sa = { .ss_family = (sa_family_t)family };
	struct dns_listener *l;
	int err;

	if (family == AF_INET)
		((struct sockaddr_in *)&sa)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&sa)->sin6_addr = in6addr_loopback;
	err = listener_open(&l, p, (const struct sockaddr *)&sa, true);
	if (err)
		return err;
	*udp = l->udp;
	*tcp = l->tcp;
	return 0;
}

void dns_proxy_rematch(struct dns_proxy *p)
{
	p->matching++;
}

const struct dns_proxy_stats *dns_proxy_stats(const struct dns_proxy *p)
{
	return &p->stats;
}
