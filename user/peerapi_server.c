/* SPDX-License-Identifier: BSD-3-Clause */
#include "peerapi_server.h"
#include "http_loop.h"
#include "peerapi_http.h"
#include "tls_owner.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define MAX_CONNS       4096U
#define MAX_CONNS_OF_IP 32U /* more than a client opens: requests and DNS questions */
#define CONN_MEMORY     ((size_t)16 * 1024) /* request line and headers, and the answer's */
#define SWEEP_MS        1000
#define IDLE_MS         30000 /* from one answer to the end of the next request's headers */
#define ANSWER_MS       10000 /* from there until the answer is sent */

struct listener {
	struct http_loop http; /* first: its end finds the rest from it */
	struct peerapi_server *server;
	struct listener *next;
};

struct conn {
	struct peerapi_server *server;
	struct MHD_Connection *mhd;
	struct conn *prev, *next;
	uint64_t deadline; /* of uv_now() */
	bool asks;         /* between a request's headers and its answer */
	struct tls_set *tls;
	gnutls_x509_crt_t cert;
	struct tls_owner owner; /* for whom it was looked at last, and was his */
};

struct peerapi_server {
	struct peerapi_http http;
	uv_loop_t *loop;
	const struct tls *tls;
	struct listener *listeners;
	struct conn *conns;
	unsigned n_conns;
	unsigned max_conns;
	uv_timer_t sweep;
	unsigned users; /* listeners and the timer: the memory lives until the last one is closed */
};

static struct conn *conn_of(struct MHD_Connection *mhd)
{
	return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static void set_state(struct conn *conn, bool asks, uint64_t ms)
{
	if (!conn)
		return;
	conn->asks = asks;
	conn->deadline = uv_now(conn->server->loop) + ms;
}

/* One that began with a certificate or a CA that is no longer in force has to begin anew. */
static bool is_outdated(const struct peerapi_server *s, const struct conn *c)
{
	return c->tls && !c->asks && c->tls != tls_now(s->tls);
}

/* libmicrohttpd's own timeout starts anew with each byte, so that one byte now and then would
 * hold a connection for ever; its next read of a socket shut down ends the connection. */
static void on_sweep(uv_timer_t *timer)
{
	struct peerapi_server *s = timer->data;
	uint64_t now = uv_now(s->loop);

	for (struct conn *c = s->conns; c; c = c->next) {
		const union MHD_ConnectionInfo *info;

		if (now < c->deadline && !is_outdated(s, c))
			continue;
		info = MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
		shutdown(info->connect_fd, SHUT_RDWR);
	}
}

/* Before the handshake: whoever shows no certificate that the CA of today signed is refused in it. */
static void begin_tls(struct conn *c)
{
	static gnutls_typed_vdata_st purpose = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT,
	};
	gnutls_session_t session =
		MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session;

	c->tls = tls_set_ref(tls_now(c->server->tls));
	gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, c->tls->cred);
	gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
	gnutls_session_set_verify_cert2(session, &purpose, 1, 0);
}

static void end_tls(struct conn *c)
{
	tls_set_unref(c->tls);
	if (c->cert)
		gnutls_x509_crt_deinit(c->cert);
}

/* What the peer has shown in the handshake; the first one is its own. */
static bool take_cert(struct conn *c)
{
	gnutls_session_t session =
		MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session;
	unsigned n = 0;
	const gnutls_datum_t *list = gnutls_certificate_get_peers(session, &n);

	if (!list || !n || gnutls_x509_crt_init(&c->cert))
		return false;
	if (!gnutls_x509_crt_import(c->cert, &list[0], GNUTLS_X509_FMT_DER))
		return true;
	gnutls_x509_crt_deinit(TAKE_PTR(c->cert));
	return false;
}

static bool vouched(struct MHD_Connection *mhd, const struct netmap_node *node)
{
	struct conn *c = conn_of(mhd);
	struct tls_owner owner;

	if (!c || (!c->cert && !take_cert(c)))
		return false;
	tls_owner_of(&owner, node);
	if (!memcmp(&c->owner, &owner, sizeof(owner)))
		return true;
	if (!tls_owner_has(&owner, c->cert))
		return false;
	c->owner = owner;
	return true;
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
	if (s->tls)
		begin_tls(c);
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	*slot = c;
	set_state(c, false, IDLE_MS);
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
	end_tls(c);
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
		set_state(conn_of(mhd), true, ANSWER_MS);
	return peerapi_http_request(&s->http, mhd, path, method, data, len, slot);
}

/* MHD_RequestCompletedCallback */
static void on_completed(void *cls, struct MHD_Connection *mhd, void **slot,
			 enum MHD_RequestTerminationCode how)
{
	peerapi_http_completed(slot);
	set_state(conn_of(mhd), false, IDLE_MS);
}

/* With a loop that is not its own libmicrohttpd does not see to it by itself. */
static void on_resumed(void *ctx, struct MHD_Connection *mhd)
{
	const struct MHD_Daemon *daemon =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_DAEMON)->daemon;
	struct peerapi_server *s = ctx;

	for (struct listener *l = s->listeners; l; l = l->next)
		if (l->http.mhd == daemon)
			http_loop_soon(&l->http);
}

static struct MHD_Daemon *start_daemon(struct peerapi_server *s, int fd)
{
	const struct tls_set *tls = tls_now(s->tls);
	/* Each connection gets credentials of its own; these are for libmicrohttpd to begin. */
	struct MHD_OptionItem secure[] = {
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, tls ? tls->cert.text : NULL },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, tls ? tls->key.text : NULL },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" },
		{ MHD_OPTION_END, 0, NULL },
	};
	unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (tls ? MHD_USE_TLS : 0);

	return MHD_start_daemon(flags, 0, on_accept, s, on_request, s, MHD_OPTION_LISTEN_SOCKET, fd,
				MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
				MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
				MHD_OPTION_UNESCAPE_CALLBACK, peerapi_http_unescape, NULL,
				MHD_OPTION_CONNECTION_LIMIT, s->max_conns,
				MHD_OPTION_PER_IP_CONNECTION_LIMIT, MAX_CONNS_OF_IP,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONN_MEMORY, MHD_OPTION_ARRAY,
				tls ? secure : secure + ARRAY_SIZE(secure) - 1, MHD_OPTION_END);
}

int peerapi_server_listen(struct peerapi_server *s, const struct sockaddr *sa)
{
	_cleanup_free_ struct listener *l = calloc(1, sizeof(*l));
	_cleanup_close_ int fd = -1;
	struct MHD_Daemon *daemon;
	int err;

	if (!l)
		return -ENOMEM;
	fd = http_loop_listen(sa);
	if (fd < 0)
		return fd;
	errno = 0;
	daemon = start_daemon(s, fd);
	if (!daemon)
		return errno ? -errno : -ENOMEM;
	TAKE_FD(fd); /* the daemon's own from here on */
	err = http_loop_start(&l->http, s->loop, daemon);
	if (err)
		return err;
	l->server = s;
	l->next = s->listeners;
	s->listeners = TAKE_PTR(l);
	s->users++;
	return 0;
}

int peerapi_server_new(struct peerapi_server **out, uv_loop_t *loop, const struct tls *tls,
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
	s->http.vouched = tls ? vouched : NULL;
	s->loop = loop;
	s->tls = tls;
	/* Half of the process's descriptors at most: DNS and the rest need some too. */
	s->max_conns = MAX_CONNS;
	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur / 2 < MAX_CONNS)
		s->max_conns = (unsigned)files.rlim_cur / 2;
	uv_timer_init(loop, &s->sweep);
	s->sweep.data = s;
	s->users = 1;
	*out = s;
	return 0;
}

static void user_gone(struct peerapi_server *s)
{
	if (!--s->users)
		free(s);
}

static void sweep_closed(uv_handle_t *handle)
{
	user_gone(handle->data);
}

static void listener_stopped(struct http_loop *h)
{
	struct listener *l = (struct listener *)h;

	user_gone(l->server);
	free(l);
}

void peerapi_server_free(struct peerapi_server *s)
{
	if (!s)
		return;
	peerapi_http_stop(&s->http);
	while (s->listeners) {
		struct listener *l = s->listeners;

		s->listeners = l->next;
		http_loop_stop(&l->http, listener_stopped);
	}
	uv_close((uv_handle_t *)&s->sweep, sweep_closed);
}
