/* SPDX-License-Identifier: BSD-3-Clause */
#include "peerapi_client_tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

/* One connection, named by both of its ends. */
struct tls_conn {
	struct tls_conn *prev, *next;
	curl_socket_t fd;
	char ends[2 * INET6_ADDRSTRLEN + 32];
	gnutls_x509_crt_t cert;
	struct tls_owner owner; /* for whom it was looked at last, and was his */
};

static void conn_forget(struct tls_conns *conns, struct tls_conn *c)
{
	DL_DELETE(conns->first, c);
	gnutls_x509_crt_deinit(c->cert);
	free(c);
}

void tls_conns_clear(struct tls_conns *conns)
{
	while (conns->first)
		conn_forget(conns, conns->first);
}

static struct tls_conn *conn_find(const struct tls_conns *conns, const char *ends)
{
	struct tls_conn *c;

	DL_FOREACH (conns->first, c)
		if (!strcmp(c->ends, ends))
			return c;
	return NULL;
}

/* CURLOPT_CLOSESOCKETFUNCTION */
static int on_close(void *ctx, curl_socket_t fd)
{
	struct tls_conns *conns = ctx;
	struct tls_conn *c, *next;

	DL_FOREACH_SAFE (conns->first, c, next)
		if (c->fd == fd)
			conn_forget(conns, c);
	return close(fd);
}

/* What the other end has shown in the handshake that this request made; NULL: it made none. */
static gnutls_x509_crt_t shown_cert(CURL *easy)
{
	static const char head[] = "Cert:";
	struct curl_certinfo *info = NULL;
	gnutls_x509_crt_t cert;

	if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &info) || !info || info->num_of_certs < 1)
		return NULL;
	for (const struct curl_slist *l = info->certinfo[0]; l; l = l->next) {
		gnutls_datum_t pem = { .data = (unsigned char *)l->data + sizeof(head) - 1 };

		if (strncmp(l->data, head, sizeof(head) - 1) != 0)
			continue;
		pem.size = (unsigned)strlen((const char *)pem.data);
		if (gnutls_x509_crt_init(&cert))
			return NULL;
		if (!gnutls_x509_crt_import(cert, &pem, GNUTLS_X509_FMT_PEM))
			return cert;
		gnutls_x509_crt_deinit(cert);
	}
	return NULL;
}

static struct tls_conn *conn_of(struct call_tls *t, const char *ends)
{
	gnutls_x509_crt_t cert = shown_cert(t->easy);
	struct tls_conn *c = conn_find(t->conns, ends);

	if (!cert)
		return c;
	if (c)
		conn_forget(t->conns, c);
	c = calloc(1, sizeof(*c));
	if (!c) {
		gnutls_x509_crt_deinit(cert);
		return NULL;
	}
	c->fd = t->fd;
	c->cert = cert;
	snprintf(c->ends, sizeof(c->ends), "%s", ends);
	DL_APPEND(t->conns->first, c);
	return c;
}

/* CURLOPT_PREREQFUNCTION: the connection is there, and nothing of the request was sent. */
static int before_request(void *ctx, char *to_ip, char *own_ip, int to_port, int own_port)
{
	char ends[sizeof(((struct tls_conn *)0)->ends)];
	struct call_tls *t = ctx;
	struct tls_conn *c;

	snprintf(ends, sizeof(ends), "%s %d %s %d", own_ip, own_port, to_ip, to_port);
	c = conn_of(t, ends);
	if (c && !memcmp(&c->owner, &t->owner, sizeof(t->owner)))
		return CURL_PREREQFUNC_OK;
	if (!c || !tls_owner_has(&t->owner, c->cert)) {
		t->refused = true;
		return CURL_PREREQFUNC_ABORT;
	}
	c->owner = t->owner;
	return CURL_PREREQFUNC_OK;
}

static struct curl_blob blob(const struct tls_pem *p)
{
	return (struct curl_blob){ .data = p->text, .len = p->len, .flags = CURL_BLOB_COPY };
}

#define SET(option, value) (failed |= curl_easy_setopt(easy, option, value) != CURLE_OK)

int call_tls_set(struct call_tls *t, CURL *easy, struct tls_conns *conns, const struct tls_set *set,
		 const struct netmap_node *node)
{
	struct curl_blob cert = blob(&set->cert), key = blob(&set->key), ca = blob(&set->ca);
	bool failed = false;

	t->conns = conns;
	t->easy = easy;
	tls_owner_of(&t->owner, node);
	SET(CURLOPT_SSLCERT_BLOB, &cert);
	SET(CURLOPT_SSLKEY_BLOB, &key);
	SET(CURLOPT_CAINFO_BLOB, &ca);
	/* The host's own CAs have no say. */
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	/* Instead of libcurl: it knows the URL's host and not the node. */
	SET(CURLOPT_SSL_VERIFYHOST, 0L);
	SET(CURLOPT_PREREQFUNCTION, before_request);
	SET(CURLOPT_PREREQDATA, t);
	SET(CURLOPT_CERTINFO, 1L);
	/* A session taken up again shows no certificate. */
	SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
	SET(CURLOPT_CLOSESOCKETFUNCTION, on_close);
	SET(CURLOPT_CLOSESOCKETDATA, conns);
	return failed ? -ENOMEM : 0;
}
