/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILE (1024 * 1024)

__attribute__((format(printf, 2, 3))) static int fault(char why[TLS_WHY_LEN], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, TLS_WHY_LEN, fmt, args);
	va_end(args);
	return -EINVAL;
}

static void pem_clear(struct tls_pem *p)
{
	if (p->text)
		gnutls_memset(p->text, 0, p->len);
	free(p->text);
	*p = (struct tls_pem){ 0 };
}

static int read_all(struct tls_pem *out, int fd)
{
	while (out->len < MAX_FILE) {
		ssize_t n = read(fd, out->text + out->len, MAX_FILE - out->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		out->len += (size_t)n;
	}
	out->text[out->len] = 0;
	return out->len == MAX_FILE ? -EFBIG : 0;
}

/* One buffer of full size: a growing one would leave copies of the key behind. */
static int read_file(struct tls_pem *out, const char *flag, const char *path, char why[TLS_WHY_LEN])
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int err = fd < 0 ? -errno : 0;

	if (!err) {
		out->text = malloc(MAX_FILE + 1);
		err = out->text ? read_all(out, fd) : -ENOMEM;
	}
	if (!err)
		return 0;
	fault(why, "%s %s: %s: it must be there and readable by this daemon", flag, path,
	      strerror(-err));
	return err;
}

static gnutls_datum_t datum(const struct tls_pem *p)
{
	return (gnutls_datum_t){ .data = (unsigned char *)p->text, .size = (unsigned)p->len };
}

static void free_list(gnutls_x509_crt_t *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		gnutls_x509_crt_deinit(list[i]);
	gnutls_free(list);
}

/* The first of the certificates is ours; the others lead from it to the CA. */
static int take_own(struct tls_set *s, gnutls_x509_crt_t *list, unsigned n, const char *ca_path,
		    char why[TLS_WHY_LEN])
{
	gnutls_x509_trust_list_t trust;
	gnutls_datum_t ca = datum(&s->ca);
	unsigned verdict = 0;
	int cas;

	s->begins = (int64_t)gnutls_x509_crt_get_activation_time(list[0]);
	s->ends = (int64_t)gnutls_x509_crt_get_expiration_time(list[0]);
	if (gnutls_x509_trust_list_init(&trust, 0))
		return -ENOMEM;
	cas = gnutls_x509_trust_list_add_trust_mem(trust, &ca, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
	/* Times are told of apart. */
	s->by_ca = cas > 0 &&
		   !gnutls_x509_trust_list_verify_crt(
			   trust, list, n,
			   GNUTLS_VERIFY_DISABLE_TIME_CHECKS |
				   GNUTLS_VERIFY_DISABLE_TRUSTED_TIME_CHECKS,
			   &verdict, NULL) &&
		   !verdict;
	gnutls_x509_trust_list_deinit(trust, 1);
	return cas > 0 ? 0 :
			 fault(why, "--peerapi-tls-ca %s: no certificate in PEM is in it", ca_path);
}

static int take_certificates(struct tls_set *s, const struct tls_files *files,
			     char why[TLS_WHY_LEN])
{
	gnutls_datum_t pem = datum(&s->cert);
	gnutls_x509_crt_t *list;
	unsigned n;
	int err;

	if (gnutls_x509_crt_list_import2(&list, &n, &pem, GNUTLS_X509_FMT_PEM, 0) < 0 || !n)
		return fault(why, "--peerapi-tls-cert %s: no certificate in PEM is in it",
			     files->cert);
	err = take_own(s, list, n, files->ca, why);
	s->own = list[0];
	list[0] = NULL;
	free_list(list, n);
	return err;
}

static int take_key(struct tls_set *s, const struct tls_files *files, char why[TLS_WHY_LEN])
{
	gnutls_datum_t cert = datum(&s->cert), key = datum(&s->key), ca = datum(&s->ca);
	int err;

	if (gnutls_certificate_allocate_credentials(&s->cred))
		return -ENOMEM;
	err = gnutls_certificate_set_x509_key_mem2(s->cred, &cert, &key, GNUTLS_X509_FMT_PEM, NULL,
						   0);
	if (err == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		return fault(why,
			     "--peerapi-tls-key %s is not the key of the certificate in "
			     "--peerapi-tls-cert %s: give the two that were made together",
			     files->key, files->cert);
	if (err < 0)
		return fault(why,
			     "--peerapi-tls-key %s: no private key in PEM without a password is in "
			     "it (%s)",
			     files->key, gnutls_strerror(err));
	return gnutls_certificate_set_x509_trust_mem(s->cred, &ca, GNUTLS_X509_FMT_PEM) < 0 ?
		       -ENOMEM :
		       0;
}

int tls_set_read(struct tls_set **out, const struct tls_files *files, char why[TLS_WHY_LEN])
{
	_cleanup_(tls_set) struct tls_set *s = calloc(1, sizeof(*s));
	int err;

	snprintf(why, TLS_WHY_LEN, "out of memory");
	if (!s)
		return -ENOMEM;
	s->refs = 1;
	err = read_file(&s->cert, "--peerapi-tls-cert", files->cert, why);
	if (!err)
		err = read_file(&s->key, "--peerapi-tls-key", files->key, why);
	if (!err)
		err = read_file(&s->ca, "--peerapi-tls-ca", files->ca, why);
	if (!err)
		err = take_certificates(s, files, why);
	if (!err)
		err = take_key(s, files, why);
	if (err)
		return err;
	*out = TAKE_PTR(s);
	return 0;
}

struct tls_set *tls_set_ref(struct tls_set *s)
{
	s->refs++;
	return s;
}

void tls_set_unref(struct tls_set *s)
{
	if (!s || --s->refs)
		return;
	if (s->cred)
		gnutls_certificate_free_credentials(s->cred);
	if (s->own)
		gnutls_x509_crt_deinit(s->own);
	pem_clear(&s->cert);
	pem_clear(&s->key);
	pem_clear(&s->ca);
	free(s);
}
