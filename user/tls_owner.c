/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_owner.h"

#include <string.h>
#include <strings.h>

/* The host of "https://[fd25::9]:8025". */
static void host_of(char out[256], const char *url)
{
	const char *at = url ? strstr(url, "://") : NULL;
	size_t n;

	if (!at)
		return;
	at += 3;
	if (*at == '[')
		n = strcspn(++at, "]");
	else
		n = strcspn(at, ":/");
	if (n < 256)
		memcpy(out, at, n);
}

void tls_owner_of(struct tls_owner *out, const struct netmap_node *node)
{
	memset(out, 0, sizeof(*out));
	if (strlen(node->id) < sizeof(out->id))
		memcpy(out->id, node->id, strlen(node->id));
	out->addrs[0] = node->overlay4;
	out->addrs[1] = node->overlay6;
	host_of(out->host, node->peer_api);
	if (addr_parse(&out->addrs[2], out->host) > 0)
		memset(out->host, 0, sizeof(out->host));
}

/* As DNS compares, but whole: a NUL inside is no end. */
static bool is_text(const char *text, const char *san, size_t len)
{
	return *text && strlen(text) == len && !strncasecmp(text, san, len);
}

static bool is_addr(const struct tls_owner *o, const void *san, size_t len)
{
	struct c25_addr a = { .b = { [10] = 0xff, [11] = 0xff } };

	if (len != 4 && len != 16)
		return false;
	memcpy(a.b + 16 - len, san, len);
	for (size_t i = 0; i < sizeof(o->addrs) / sizeof(o->addrs[0]); i++)
		if (!addr_is_zero(&o->addrs[i]) && addr_equal(&o->addrs[i], &a))
			return true;
	return false;
}

bool tls_owner_has(const struct tls_owner *o, gnutls_x509_crt_t cert)
{
	char san[512];

	for (unsigned i = 0;; i++) {
		size_t len = sizeof(san);
		int type = gnutls_x509_crt_get_subject_alt_name(cert, i, san, &len, NULL);

		if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue;
		if (type < 0)
			return false;
		if (type == GNUTLS_SAN_DNSNAME &&
		    (is_text(o->id, san, len) || is_text(o->host, san, len)))
			return true;
		if (type == GNUTLS_SAN_IPADDRESS && is_addr(o, san, len))
			return true;
	}
}
