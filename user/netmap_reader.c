/* SPDX-License-Identifier: BSD-3-Clause */
#include "netmap_reader.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* Control characters would break the one line that a fault is. */
static size_t put_escaped(char *buf, size_t size, size_t n, const char *text, const char *special)
{
	for (; *text && n + 7 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f) {
			n += (size_t)snprintf(buf + n, size - n, "\\u%04x", c);
		} else if (strchr(special, c) && special[0] == '~') {
			buf[n++] = '~';
			buf[n++] = c == '~' ? '0' : '1';
		} else if (strchr(special, c)) {
			buf[n++] = '\\';
			buf[n++] = (char)c;
		} else {
			buf[n++] = (char)c;
		}
	}
	buf[n] = 0;
	return n;
}

static size_t put_path(char *buf, size_t size, const struct netmap_path *at)
{
	size_t n;

	if (!at) {
		buf[0] = 0;
		return 0;
	}
	n = put_path(buf, size, at->up);
	if (n + 24 >= size)
		return n;
	if (!at->key)
		return n + (size_t)snprintf(buf + n, size - n, "/%zu", at->index);
	buf[n++] = '/';
	return put_escaped(buf, size, n, at->key, "~/");
}

const char *netmap_quote(char buf[NETMAP_QUOTE_LEN], const char *text)
{
	size_t n;

	buf[0] = '"';
	n = put_escaped(buf, NETMAP_QUOTE_LEN - 5, 1, text, "\"\\");
	if (n + 7 >= NETMAP_QUOTE_LEN - 5) {
		while (n > 1 && ((unsigned char)buf[n - 1] & 0xc0) == 0x80)
			n--;
		if ((unsigned char)buf[n - 1] >= 0xc0)
			n--;
		n += (size_t)snprintf(buf + n, 4, "...");
	}
	buf[n++] = '"';
	buf[n] = 0;
	return buf;
}

int netmap_fault_at(struct netmap_reader *r, const struct netmap_path *at, const char *fmt, ...)
{
	va_list args;

	put_path(r->fault->path, sizeof(r->fault->path), at);
	va_start(args, fmt);
	vsnprintf(r->fault->text, sizeof(r->fault->text), fmt, args);
	va_end(args);
	return -EINVAL;
}

static int add_warning(struct netmap *nm, const char *path, const char *text)
{
	char *line;

	if (!nm->warnings) {
		nm->warnings = calloc(NETMAP_MAX_WARNINGS + 1, sizeof(*nm->warnings));
		if (!nm->warnings)
			return -ENOMEM;
	}
	if (asprintf(&line, "%s: %s", path, text) < 0)
		return -ENOMEM;
	nm->warnings[nm->n_warnings++] = line;
	return 0;
}

int netmap_warn_at(struct netmap_reader *r, const struct netmap_path *at, const char *fmt, ...)
{
	struct netmap_fault w;
	va_list args;

	if (r->nm->n_warnings > NETMAP_MAX_WARNINGS)
		return 0;
	put_path(w.path, sizeof(w.path), at);
	if (r->nm->n_warnings == NETMAP_MAX_WARNINGS)
		return add_warning(r->nm, w.path, "more warnings from here on are left out");
	va_start(args, fmt);
	vsnprintf(w.text, sizeof(w.text), fmt, args);
	va_end(args);
	return add_warning(r->nm, w.path, w.text);
}

static const char *type_name(const cJSON *v)
{
	if (cJSON_IsString(v))
		return "a string";
	if (cJSON_IsNumber(v))
		return "a number";
	if (cJSON_IsBool(v))
		return cJSON_IsTrue(v) ? "true" : "false";
	if (cJSON_IsArray(v))
		return "a list";
	if (cJSON_IsObject(v))
		return "an object";
	return "null";
}

int netmap_want_string(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		       const char **out)
{
	if (!cJSON_IsString(v))
		return netmap_fault_at(r, at, "must be a string, not %s", type_name(v));
	*out = v->valuestring;
	return 0;
}

int netmap_want_bool(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		     bool *out)
{
	if (!cJSON_IsBool(v))
		return netmap_fault_at(r, at, "must be true or false, not %s", type_name(v));
	*out = cJSON_IsTrue(v);
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

/* cJSON keeps both of two equal keys: which one counts would be anyone's guess. */
static int refuse_double_keys(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v)
{
	_cleanup_free_ const cJSON **keys = NULL;
	size_t n = (size_t)cJSON_GetArraySize(v), i = 0;
	const cJSON *item;

	if (n < 2)
		return 0;
	keys = calloc(n, sizeof(cJSON *));
	if (!keys)
		return -ENOMEM;
	cJSON_ArrayForEach (item, v)
		keys[i++] = item;
	qsort(keys, n, sizeof(cJSON *), compare_keys);
	for (i = 1; i < n; i++) {
		struct netmap_path p = { .up = at, .key = keys[i]->string };

		if (!strcmp(keys[i - 1]->string, keys[i]->string))
			return netmap_fault_at(r, &p, "this key stands twice in one object");
	}
	return 0;
}

static int read_field(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		      const struct netmap_field *fields, size_t n_fields, void *into)
{
	for (size_t i = 0; i < n_fields; i++)
		if (!strcmp(fields[i].name, v->string))
			return fields[i].read ? fields[i].read(r, at, v, into) : 0;
	return netmap_warn_at(r, at, "unknown key");
}

int netmap_read_object(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		       const struct netmap_field *fields, size_t n_fields, void *into)
{
	const cJSON *item;
	int err;

	if (!cJSON_IsObject(v))
		return netmap_fault_at(r, at, "must be an object, not %s", type_name(v));
	err = refuse_double_keys(r, at, v);
	if (err)
		return err;
	for (size_t i = 0; i < n_fields; i++)
		if (fields[i].required && !cJSON_GetObjectItemCaseSensitive(v, fields[i].name))
			return netmap_fault_at(r, at, "\"%s\" is missing", fields[i].name);
	cJSON_ArrayForEach (item, v) {
		struct netmap_path p = { .up = at, .key = item->string };

		err = read_field(r, &p, item, fields, n_fields, into);
		if (err)
			return err;
	}
	return 0;
}

int netmap_read_list(struct netmap_reader *r, const struct netmap_path *at, const cJSON *v,
		     size_t size, netmap_read_fn each, struct netmap_list *out)
{
	struct netmap_path p = { .up = at };
	const cJSON *item;
	size_t n;
	int err;

	*out = (struct netmap_list){ 0 };
	if (!cJSON_IsArray(v))
		return netmap_fault_at(r, at, "must be a list, not %s", type_name(v));
	n = (size_t)cJSON_GetArraySize(v);
	if (!n)
		return 0;
	out->v = calloc(n, size);
	if (!out->v)
		return -ENOMEM;
	cJSON_ArrayForEach (item, v) {
		err = each(r, &p, item, (char *)out->v + p.index * size);
		if (err)
			return err;
		out->n = ++p.index;
	}
	return 0;
}
