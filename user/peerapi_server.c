/* SPDX-License-Identifier: BSD-3-Clause */
#include "peerapi_server.h"
#include "peerapi_http.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>

#define MAX_CONNS       4096U
#define MAX_CONNS_OF_IP 32U /* more than a client opens: requests and DNS questions */
#define CONN_MEMORY     ((size_t)16 * 1024) /* request line and headers, and the answer's */
#define BACKLOG         1024
#define SWEEP_MS        1000
#define IDLE_MS         30000 /* from one answer to the end of the next request's headers */
#define ANSWER_MS       10000 /* from there until the answer is sent */

struct listener {
	struct peerapi_server *server;
	struct listener *next;
	struct MHD_Daemon *daemon;
	uv_poll_t poll;
	uv_timer_t again; /* libmicrohttpd has work left that no descriptor tells of */
};

struct conn {
	struct peerapi_server *server;
	struct MHD_Connection *mhd;
	struct conn *prev, *next;
	uint64_t deadline; /* of uv_now() */
};

struct peerapi_server {
	struct peerapi_http http;
	uv_loop_t *loop;
	struct listener *listeners;
	struct conn *conns;
	unsigned n_conns;
	unsigned max_conns;
	uv_timer_t sweep;
	unsigned open_handles; /* the server's memory lives until the last one is closed */
};

static struct conn *conn_of(struct MHD_Connection *mhd)
{
	return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void set_deadline(struct conn *conn, uint64_t ms)
{
	if (conn)
		conn->deadline = uv_now(conn->server->loop) + ms;
}

/* libmicrohttpd's own timeout starts anew with each byte, so that one byte now and then would
 * hold a connection for ever; its next read of a socket shut down ends the connection. */
static void on_sweep(uv_timer_t *timer)
{
	struct peerapi_server *s = timer->data;
	uint64_t now = uv_now(s->loop);

	for (struct conn *c = s->conns; c; c = c->next) {
		const union MHD_ConnectionInfo *info;

		if (now < c->deadline)
			continue;
		info = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
		shutdown(info->connect_fd, SHUT_RDWR);
	}
}

static void conn_open(struct peerapi_server *s, struct MHD_Connection *mhd, void **slot)
{
	struct conn *c = calloc(1, sizeof(*c));
	const union MHD_ConnectionInfo *info;

	s->n_conns++;
	if (!c) {
		info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
		shutdown(info->connect_fd, SHUT_RDWR);
		return;
	}
	c->server = s;
	c->mhd = mhd;
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	*slot = c;
	set_deadline(c, IDLE_MS);
	if (!uv_is_active((uv_handle_t *)&s->sweep))
		uv_timer_start(&s->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

static void conn_close(struct peerapi_server *s, struct conn *c)
{
	s->n_conns--;
	if (!c)
		return;
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	free(c);
	if (!s->conns)
		uv_timer_stop(&s->sweep);
}

/* MHD_NotifyConnectionCallback */
static void on_connection(void *cls, struct MHD_Connection *mhd, void **slot,
			  enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		conn_open(cls, mhd, slot);
	else
		conn_close(cls, *slot);
}

/* MHD_AcceptPolicyCallback: half of the connections are kept for peers. */
static enum MHD_Result on_accept(void *cls, const struct sockaddr *source, socklen_t len)
{
	struct peerapi_server *s = cls;

	if (s->n_conns >= s->max_conns)
		return MHD_NO;
	if (s->n_conns < s->max_conns / 2)
		return MHD_YES;
	return peerapi_peer(s->http.ops->netmap(s->http.ctx), source) ? MHD_YES : MHD_NO;
}

/* MHD_AccessHandlerCallback */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *path,
				  const char *method, const char *version, const char *data,
				  size_t *len, void **slot)
{
	struct peerapi_server *s = cls;

	if (!*slot)
		set_deadline(conn_of(mhd), ANSWER_MS);
	return peerapi_http_request(&s->http, mhd, path, method, data, len, slot);
}

/* MHD_RequestCompletedCallback */
static void on_completed(void *cls, struct MHD_Connection *mhd, void **slot,
			 enum MHD_RequestTerminationCode how)
{
	peerapi_http_completed(slot);
	set_deadline(conn_of(mhd), IDLE_MS);
}

static void listener_run(struct listener *l);

static void on_again(uv_timer_t *timer)
{
	listener_run(timer->data);
}

static void listener_run(struct listener *l)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(l->daemon);
	if (MHD_get_timeout(l->daemon, &ms) == MHD_YES)
		uv_timer_start(&l->again, on_again, ms, 0);
	else
		uv_timer_stop(&l->again);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	listener_run(poll->data);
}

/* With a loop that is not its own libmicrohttpd does not see to it by itself. */
static void on_resumed(void *ctx, struct MHD_Connection *mhd)
{
	const struct MHD_Daemon *daemon =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_DAEMON)->daemon;
	struct peerapi_server *s = ctx;

	for (struct listener *l = s->listeners; l; l = l->next)
		if (l->daemon == daemon)
			uv_timer_start(&l->again, on_again, 0, 0);
}

/* An address that is not up yet can be listened on too; "[::]" takes IPv4 as well. */
static int open_socket(const struct sockaddr *sa)
{
	_cleanup_close_ int fd =
		socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	const int on = 1, off = 0;
	bool is4 = sa->sa_family == AF_INET;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    setsockopt(fd, is4 ? IPPROTO_IP : IPPROTO_IPV6, is4 ? IP_FREEBIND : IPV6_FREEBIND, &on,
		       sizeof(on)) ||
	    (!is4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off))) ||
	    bind(fd, sa, sock_len(sa)) || listen(fd, BACKLOG))
		return -errno;
	return TAKE_FD(fd);
}

static struct MHD_Daemon *start_daemon(struct peerapi_server *s, int fd)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, on_accept, s,
				on_request, s, MHD_OPTION_LISTEN_SOCKET, fd,
				MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
				MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
				MHD_OPTION_UNESCAPE_CALLBACK, peerapi_http_unescape, NULL,
				MHD_OPTION_CONNECTION_LIMIT, s->max_conns,
				MHD_OPTION_PER_IP_CONNECTION_LIMIT, MAX_CONNS_OF_IP,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONN_MEMORY, MHD_OPTION_END);
}

/* The daemon's own epoll descriptor is readable when it has something to do. */
static int listener_watch(struct listener *l)
{
	struct peerapi_server *s = l->server;
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	int err;

	err = uv_poll_init(s->loop, &l->poll, info->epoll_fd);
	if (err)
		return err;
	l->poll.data = l;
	uv_timer_init(s->loop, &l->again);
	l->again.data = l;
	s->open_handles += 2;
	l->next = s->listeners;
	s->listeners = l;
	return uv_poll_start(&l->poll, UV_READABLE, on_ready);
}

int peerapi_server_listen(struct peerapi_server *s, const struct sockaddr *sa)
{
	_cleanup_free_ struct listener *l = calloc(1, sizeof(*l));
	_cleanup_close_ int fd = -1;
	int err;

	if (!l)
		return -ENOMEM;
	fd = open_socket(sa);
	if (fd < 0)
		return fd;
	l->server = s;
	l->daemon = start_daemon(s, fd);
	if (!l->daemon)
		return errno ? -errno : -ENOMEM;
	TAKE_FD(fd); /* the daemon's own from here on */
	err = listener_watch(l);
	if (err) {
		MHD_stop_daemon(l->daemon);
		return err;
	}
	TAKE_PTR(l);
	return 0;
}

int peerapi_server_new(struct peerapi_server **out, uv_loop_t *loop,
		       const struct peerapi_server_ops *ops, void *ctx)
{
	struct peerapi_server *s = calloc(1, sizeof(*s));
	struct rlimit files;

	if (!s)
		return -ENOMEM;
	s->http.ops = ops;
	s->http.ctx = ctx;
	s->http.questions.resumed = on_resumed;
	s->http.questions.ctx = s;
	s->loop = loop;
	/* Half of the process's descriptors at most: DNS and the rest need some too. */
	s->max_conns = MAX_CONNS;
	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur / 2 < MAX_CONNS)
		s->max_conns = (unsigned)files.rlim_cur / 2;
	uv_timer_init(loop, &s->sweep);
	s->sweep.data = s;
	s->open_handles = 1;
	*out = s;
	return 0;
}

static void handle_closed(struct peerapi_server *s)
{
	if (--s->open_handles)
		return;
	while (s->listeners) {
		struct listener *l = s->listeners;

		s->listeners = l->next;
		free(l);
	}
	free(s);
}

static void sweep_closed(uv_handle_t *handle)
{
	handle_closed(handle->data);
}

static void listener_closed(uv_handle_t *handle)
{
	struct listener *l = handle->data;

	handle_closed(l->server);
}

void peerapi_server_free(struct peerapi_server *s)
{
	if (!s)
		return;
	peerapi_http_stop(&s->http);
	for (struct listener *l = s->listeners; l; l = l->next) {
		/* Out of the loop's epoll before the daemon closes the descriptor. */
		uv_close((uv_handle_t *)&l->poll, listener_closed);
		uv_close((uv_handle_t *)&l->again, listener_closed);
		MHD_stop_daemon(l->daemon);
	}
	uv_close((uv_handle_t *)&s->sweep, sweep_closed);
}
