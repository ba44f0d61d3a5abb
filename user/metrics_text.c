/* SPDX-License-Identifier: BSD-3-Clause */
#include "metrics_text.h"

#include <inttypes.h>

void metrics_family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_escape(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n') {
			fputs("\\n", out);
			continue;
		}
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void put_label(FILE *out, const char *label, const char *text)
{
	fprintf(out, "%s=\"", label);
	metrics_escape(out, text);
	fputc('"', out);
}

void metrics_put(FILE *out, const char *name, uint64_t v)
{
	fprintf(out, "%s %" PRIu64 "\n", name, v);
}

void metrics_put1(FILE *out, const char *name, const char *label, const char *text, uint64_t v)
{
	fprintf(out, "%s{", name);
	put_label(out, label, text);
	fprintf(out, "} %" PRIu64 "\n", v);
}

void metrics_put2(FILE *out, const char *name, const char *l1, const char *t1, const char *l2,
		  const char *t2, uint64_t v)
{
	fprintf(out, "%s{", name);
	put_label(out, l1, t1);
	fputc(',', out);
	put_label(out, l2, t2);
	fprintf(out, "} %" PRIu64 "\n", v);
}

void metrics_put_seconds(FILE *out, const char *name, double v)
{
	fprintf(out, "%s %.3f\n", name, v);
}

void metrics_one(FILE *out, const char *name, const char *type, const char *help, uint64_t v)
{
	metrics_family(out, name, type, help);
	metrics_put(out, name, v);
}
