/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates are made here, with GnuTLS: whose they are, and what of the files is refused. */
#include "tls_owner.h"
#include "tls_set.h"

#include "leaks.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

SUITE(tls);

#define DAY 86400

static char dir[] = "/tmp/conn25-tls-XXXXXX";

struct pair {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
};

struct san {
	gnutls_x509_subject_alt_name_t type;
	const void *data;
	unsigned len;
};

#define DNS(text)                                                                                  \
	{                                                                                          \
		GNUTLS_SAN_DNSNAME, text, sizeof(text) - 1                                         \
	}
#define IP4(a, b, c)                                                                               \
	{                                                                                          \
		GNUTLS_SAN_IPADDRESS, (const uint8_t[]){ a, b, c, 1 }, 4                           \
	}

/* As a handshake brings it: what was only set is not all there to be read. */
static struct pair read_back(struct pair p)
{
	static const char nul[] = "node-a0.evil"; /* GnuTLS makes none with a NUL */
	gnutls_datum_t der;
	char *at;

	gnutls_x509_crt_export2(p.crt, GNUTLS_X509_FMT_DER, &der);
	at = memmem(der.data, der.size, nul, sizeof(nul) - 1);
	if (at)
		at[strlen("node-a")] = 0;
	gnutls_x509_crt_deinit(p.crt);
	gnutls_x509_crt_init(&p.crt);
	cr_assert_eq(gnutls_x509_crt_import(p.crt, &der, GNUTLS_X509_FMT_DER), 0);
	gnutls_free(der.data);
	return p;
}

/* Signed by `ca`, NULL: a CA that signs itself. */
static struct pair make(const struct pair *ca, const struct san *sans, size_t n)
{
	static uint8_t serial;
	struct pair p;

	serial++;
	gnutls_x509_privkey_init(&p.key);
	gnutls_x509_privkey_generate(p.key, GNUTLS_PK_ECDSA,
				     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
	gnutls_x509_crt_init(&p.crt);
	gnutls_x509_crt_set_version(p.crt, 3);
	gnutls_x509_crt_set_key(p.crt, p.key);
	gnutls_x509_crt_set_serial(p.crt, &serial, 1);
	gnutls_x509_crt_set_activation_time(p.crt, time(NULL) - DAY);
	gnutls_x509_crt_set_expiration_time(p.crt, time(NULL) + DAY);
	gnutls_x509_crt_set_dn(p.crt, ca ? "CN=leaf" : "CN=ca", NULL);
	gnutls_x509_crt_set_basic_constraints(p.crt, !ca, -1);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(gnutls_x509_crt_set_subject_alt_name(
				     p.crt, sans[i].type, sans[i].data, sans[i].len,
				     i ? GNUTLS_FSAN_APPEND : GNUTLS_FSAN_SET),
			     0);
	cr_assert_eq(gnutls_x509_crt_sign2(p.crt, ca ? ca->crt : p.crt, ca ? ca->key : p.key,
					   GNUTLS_DIG_SHA256, 0),
		     0);
	return read_back(p);
}

static void forget(struct pair *p)
{
	gnutls_x509_crt_deinit(p->crt);
	gnutls_x509_privkey_deinit(p->key);
}

static const char *path(const char *name)
{
	static char texts[8][64];
	static unsigned turn;
	char *out = texts[turn++ % 8];

	snprintf(out, sizeof(texts[0]), "%s/%s", dir, name);
	return out;
}

static void write_file(const char *name, const char *text, size_t len)
{
	FILE *f = fopen(path(name), "w");

	cr_assert_not_null(f);
	fwrite(text, 1, len, f);
	fclose(f);
}

static void write_pair(const struct pair *p, const char *crt, const char *key)
{
	gnutls_datum_t out;

	gnutls_x509_crt_export2(p->crt, GNUTLS_X509_FMT_PEM, &out);
	write_file(crt, (char *)out.data, out.size);
	gnutls_free(out.data);
	gnutls_x509_privkey_export2(p->key, GNUTLS_X509_FMT_PEM, &out);
	write_file(key, (char *)out.data, out.size);
	gnutls_free(out.data);
}

static struct netmap_node node_of(char *id, char *url)
{
	struct netmap_node node = { .id = id, .peer_api = url };

	addr_parse(&node.overlay4, "100.101.0.1");
	addr_parse(&node.overlay6, "fd25::1");
	return node;
}

static bool is_of(const struct san *sans, size_t n, char *id, char *url)
{
	struct netmap_node node = node_of(id, url);
	struct pair ca = make(NULL, NULL, 0), p = make(&ca, sans, n);
	struct tls_owner owner;
	bool has;

	tls_owner_of(&owner, &node);
	has = tls_owner_has(&owner, p.crt);
	forget(&p);
	forget(&ca);
	return has;
}

#define IS_OF(id, url, ...)                                                                        \
	is_of((const struct san[]){ __VA_ARGS__ },                                                 \
	      sizeof((const struct san[]){ __VA_ARGS__ }) / sizeof(struct san), id, url)

Test(tls, a_certificate_is_his_whose_id_or_address_it_holds)
{
	static const uint8_t six[16] = { 0xfd, 0x25, [15] = 1 };
	char url[] = "http://100.101.0.1:8025";

	cr_expect(IS_OF("node-a", url, DNS("node-a")));
	cr_expect(IS_OF("node-a", url, DNS("NODE-A")), "names are compared as DNS does");
	cr_expect(IS_OF("node-a", url, DNS("x"), DNS("y"), DNS("node-a")), "any of them");
	cr_expect(IS_OF("node-a", url, IP4(100, 101, 0)));
	cr_expect(IS_OF("node-a", url, { GNUTLS_SAN_IPADDRESS, six, 16 }));
	cr_expect_not(IS_OF("node-a", url, DNS("node-b")));
	cr_expect_not(IS_OF("node-a", url, DNS("node-a.example")));
	cr_expect_not(IS_OF("node-a", url, DNS("node")));
	cr_expect_not(IS_OF("node-a", url, IP4(100, 101, 9)));
	cr_expect_not(is_of(NULL, 0, "leaf", url), "the common name counts for nothing");
	cr_expect_not(IS_OF("node-a", url, DNS("*"), DNS("node-*")), "wildcards neither");
	cr_expect_not(IS_OF("node-a", url, DNS("node-a0.evil")), "a NUL is no end");
	cr_expect_not(IS_OF("node-a", url, { GNUTLS_SAN_RFC822NAME, "node-a", 6 }));
	cr_expect_not(IS_OF("node-a", url, DNS("100.101.0.1")), "an address is no name");
}

Test(tls, the_host_of_its_peer_api_is_as_good)
{
	static const uint8_t six[16] = { 0xfd, 0x99, [15] = 9 };

	cr_expect(IS_OF("a", "https://exit.example:8025", DNS("exit.example")));
	cr_expect(IS_OF("a", "https://exit.example/x", DNS("exit.example")));
	cr_expect(IS_OF("a", "https://192.0.2.1", IP4(192, 0, 2)));
	cr_expect(IS_OF("a", "https://[fd99::9]:1", { GNUTLS_SAN_IPADDRESS, six, 16 }));
	cr_expect_not(IS_OF("a", "https://exit.example:8025", DNS("example")));
	cr_expect_not(IS_OF("a", NULL, DNS("exit.example")));
}

static int read_set(struct tls_set **out, char why[TLS_WHY_LEN], const char *cert, const char *key,
		    const char *ca)
{
	struct tls_files files = { path(cert), path(key), path(ca) };

	return tls_set_read(out, &files, why);
}

static void remove_files(void)
{
	static const char *const names[] = { "ca", "ca.key", "a", "a.key", "b", "b.key", "junk" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		remove(path(names[i]));
	rmdir(dir);
}

Test(tls, a_set_is_read_whole_or_refused_in_words)
{
	struct pair ca, a, b;
	char why[TLS_WHY_LEN];
	struct tls_set *s = NULL;

	cr_assert_not_null(mkdtemp(dir));
	ca = make(NULL, NULL, 0);
	a = make(&ca, NULL, 0);
	b = make(NULL, NULL, 0);
	write_pair(&ca, "ca", "ca.key");
	write_pair(&a, "a", "a.key");
	write_pair(&b, "b", "b.key");
	write_file("junk", "junk", 4);

	cr_assert_eq(read_set(&s, why, "a", "a.key", "ca"), 0);
	cr_expect(s->by_ca);
	cr_expect(s->begins < time(NULL) && s->ends > time(NULL));
	tls_set_unref(tls_set_ref(s));
	tls_set_unref(s);
	s = NULL;
	cr_assert_eq(read_set(&s, why, "a", "a.key", "b"), 0, "told of, not refused");
	cr_expect_not(s->by_ca);
	tls_set_unref(s);
	s = NULL;

	cr_expect_neq(read_set(&s, why, "a", "b.key", "ca"), 0);
	cr_expect(strstr(why, "is not the key of the certificate in"), "%s", why);
	cr_expect_eq(read_set(&s, why, "a", "none", "ca"), -ENOENT);
	cr_expect(strstr(why, "--peerapi-tls-key") && strstr(why, "No such file"), "%s", why);
	cr_expect_neq(read_set(&s, why, "junk", "a.key", "ca"), 0);
	cr_expect(strstr(why, "--peerapi-tls-cert"), "%s", why);
	cr_expect_neq(read_set(&s, why, "a", "junk", "ca"), 0);
	cr_expect(strstr(why, "no private key in PEM"), "%s", why);
	cr_expect_neq(read_set(&s, why, "a", "a.key", "junk"), 0);
	cr_expect(strstr(why, "--peerapi-tls-ca"), "%s", why);
	cr_expect_null(s, "untouched");
	remove_files();
	forget(&a);
	forget(&b);
	forget(&ca);
}
