/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tls_set: certificate, key and CA of the peer API, read together from their files.
 *
 * A set is never changed: what is read anew is another one, and each connection keeps that with
 * which it began. Knows no sockets; says what is wrong in words without anything of the key.
 */
#ifndef TLS_SET_H
#define TLS_SET_H

#include "cleanup.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_files {
	const char *cert; /* and the intermediate ones behind it, in PEM */
	const char *key;
	const char *ca; /* one or several */
};

struct tls_pem {
	char *text; /* NUL ended */
	size_t len;
};

struct tls_set {
	unsigned refs;
	struct tls_pem cert, key, ca;
	gnutls_certificate_credentials_t cred; /* for a server; refers to nothing else */
	gnutls_x509_crt_t own;                 /* the first of `cert` */
	int64_t begins, ends;                  /* seconds since 1970 */
	bool by_ca;                            /* `own` is signed by one of `ca` */
};

#define TLS_WHY_LEN 512

/* 0, or a negative errno and `why`, which names the file and the way out. One reference. */
int tls_set_read(struct tls_set **out, const struct tls_files *files, char why[TLS_WHY_LEN]);

struct tls_set *tls_set_ref(struct tls_set *s);
void tls_set_unref(struct tls_set *s);
DEFINE_CLEANUP(tls_set, struct tls_set *, tls_set_unref)

#endif
