/* SPDX-License-Identifier: BSD-3-Clause */
#include "table.h"

#include "cleanup.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

DEFINE_CLEANUP(json, cJSON *, cJSON_Delete)

void table_set_now(struct table *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	t->boot = (uint64_t)ts.tv_sec;
	clock_gettime(CLOCK_REALTIME, &ts);
	t->real = (uint64_t)ts.tv_sec;
}

/* "42s", "5m10s", "3h07m", "2d04h": two units say enough. */
static void print_span(char text[TABLE_TEXT], uint64_t s)
{
	if (s < 60)
		snprintf(text, TABLE_TEXT, "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(text, TABLE_TEXT, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, TABLE_TEXT, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(text, TABLE_TEXT, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
}

/* Names come from the network: what moves a terminal's cursor must not reach it. */
static void make_plain(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

static const char *cell_text(const struct table *t, size_t column, struct table_cell *cell)
{
	uint64_t n = cell->number;

	switch (t->columns[column].kind) {
	case TABLE_STRING:
		make_plain(cell->text);
		return *cell->text ? cell->text : "-";
	case TABLE_NUMBER:
		snprintf(cell->text, sizeof(cell->text), "%" PRIu64, n);
		return cell->text;
	case TABLE_AGO:
		if (!n)
			return "never";
		print_span(cell->text, t->boot > n ? t->boot - n : 0);
		return cell->text;
	case TABLE_IN:
		if (n <= t->boot)
			return "now";
		print_span(cell->text, n - t->boot);
		return cell->text;
	}
	return "";
}

void table_print(FILE *f, const struct table *t)
{
	struct table_cell cells[TABLE_COLS];
	int width[TABLE_COLS] = { 0 };

	for (size_t c = 0; c < t->n_columns; c++)
		width[c] = t->columns[c].title ? (int)strlen(t->columns[c].title) : 0;
	for (size_t i = 0; i < t->n_rows; i++) {
		t->row(i, cells, t->ctx);
		for (size_t c = 0; c < t->n_columns; c++) {
			int len = (int)strlen(cell_text(t, c, &cells[c]));

			width[c] = len > width[c] ? len : width[c];
		}
	}
	for (size_t i = 0; i <= t->n_rows; i++) {
		const char *gap = "";

		if (i)
			t->row(i - 1, cells, t->ctx);
		for (size_t c = 0; c < t->n_columns; c++) {
			const char *title = t->columns[c].title;

			if (!title)
				continue;
			fprintf(f, "%s%*s", gap,
				t->columns[c].kind == TABLE_STRING ? -width[c] : width[c],
				i ? cell_text(t, c, &cells[c]) : title);
			gap = "  ";
		}
		fputc('\n', f);
	}
}

static cJSON *cell_json(const struct table *t, size_t column, const struct table_cell *cell)
{
	uint64_t n = cell->number;
	char text[32];
	time_t when;
	struct tm tm;

	switch (t->columns[column].kind) {
	case TABLE_STRING:
		return *cell->text ? cJSON_CreateString(cell->text) : cJSON_CreateNull();
	case TABLE_NUMBER:
		return cJSON_CreateNumber((double)n);
	default:
		if (!n)
			return cJSON_CreateNull();
		when = (time_t)(t->real + n - t->boot);
		if (!gmtime_r(&when, &tm) ||
		    !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
			return cJSON_CreateNull();
		return cJSON_CreateString(text);
	}
}

int table_print_json(FILE *f, const struct table *t)
{
	struct table_cell cells[TABLE_COLS];

	fputc('[', f);
	for (size_t i = 0; i < t->n_rows; i++) {
		_cleanup_(json) cJSON *object = cJSON_CreateObject();
		char *text;

		if (!object)
			return -ENOMEM;
		t->row(i, cells, t->ctx);
		for (size_t c = 0; c < t->n_columns; c++)
			if (t->columns[c].key && !cJSON_AddItemToObject(object, t->columns[c].key,
									cell_json(t, c, &cells[c])))
				return -ENOMEM;
		text = cJSON_PrintUnformatted(object);
		if (!text)
			return -ENOMEM;
		fprintf(f, "%s\n  %s", i ? "," : "", text);
		cJSON_free(text);
	}
	fputs(t->n_rows ? "\n]" : "]", f);
	return 0;
}
