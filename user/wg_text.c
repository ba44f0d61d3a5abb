/* SPDX-License-Identifier: BSD-3-Clause */
#include "wg_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define KEY_HEX_LEN 64

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int key_parse(struct wg_key *out, const char *hex)
{
	struct wg_key key;

	if (strlen(hex) != KEY_HEX_LEN)
		return -EBADMSG;
	for (size_t i = 0; i < sizeof(key.b); i++) {
		int hi = hex_value(hex[2 * i]), lo = hex_value(hex[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -EBADMSG;
		key.b[i] = (uint8_t)(hi << 4 | lo);
	}
	*out = key;
	return 0;
}

/* "errno=-22" or "errno=22": implementations differ in the sign. */
static int result_parse(int *out, const char *text)
{
	const char *digits = *text == '-' ? text + 1 : text;
	int v = 0;

	if (!*digits || strlen(digits) > 4)
		return -EBADMSG;
	for (; *digits; digits++) {
		if (*digits < '0' || *digits > '9')
			return -EBADMSG;
		v = v * 10 + (*digits - '0');
	}
	*out = -v;
	return 0;
}

/* 1: the empty line at the end. Keys that mean nothing here, secrets among them, are passed over. */
static int line_take(struct wg_text *t, wg_each each, void *ctx)
{
	char *value = strchr(t->line, '=');
	struct prefix p;
	int err;

	if (!t->line[0])
		return t->has_errno ? 1 : -EBADMSG;
	if (!value || t->has_errno)
		return -EBADMSG;
	*value++ = 0;
	if (!strcmp(t->line, "errno")) {
		t->has_errno = true;
		return result_parse(&t->result, value);
	}
	if (!strcmp(t->line, "public_key")) {
		err = key_parse(&t->peer, value);
		t->has_peer = !err;
		return err ? err : each(&t->peer, NULL, ctx);
	}
	if (strcmp(t->line, "allowed_ip") != 0)
		return 0;
	if (!t->has_peer)
		return -EBADMSG;
	/* One that we cannot read is not ours. */
	return prefix_parse(&p, value) ? 0 : each(&t->peer, &p, ctx);
}

int wg_text_parse(struct wg_text *t, const char *data, size_t len, wg_each each, void *ctx)
{
	int err = 0;

	for (size_t i = 0; i < len && !err; i++) {
		if (data[i] == '\n') {
			t->line[t->len] = 0;
			err = line_take(t, each, ctx);
			t->len = 0;
		} else if (!data[i] || t->len + 1 == sizeof(t->line)) {
			err = -EBADMSG;
		} else {
			t->line[t->len++] = data[i];
		}
	}
	return err;
}

static void key_print(FILE *f, const struct wg_key *key)
{
	fputs("public_key=", f);
	for (size_t i = 0; i < sizeof(key->b); i++)
		fprintf(f, "%02x", key->b[i]);
	fputc('\n', f);
}

char *wg_text_print(const struct wg_change *v, size_t n, const struct wg_key *nobody)
{
	const struct wg_key *open = NULL;
	bool away = false, failed;
	char text[ADDR_STRLEN];
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	if (!f)
		return NULL;
	fputs("set=1\n", f);
	for (size_t i = 0; i < n; i++) {
		const struct wg_key *peer = v[i].nobody ? nobody : &v[i].peer;

		if (!open || wg_key_cmp(open, peer) != 0) {
			key_print(f, peer);
			if (!v[i].nobody)
				fputs("update_only=true\n", f);
		}
		open = peer;
		away |= v[i].nobody;
		fprintf(f, "allowed_ip=%s/%d\n", addr_print(text, &v[i].addr),
			addr_is4(&v[i].addr) ? 32 : 128);
	}
	if (away) {
		key_print(f, nobody);
		fputs("remove=true\n", f);
	}
	fputc('\n', f);
	failed = ferror(f);
	if (fclose(f) || failed) {
		free(out);
		return NULL;
	}
	return out;
}
