/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table: rows of typed cells, as aligned text for people or as JSON for programs.
 *
 * One description of the columns serves both. Rows are asked for again and again rather than
 * stored: a table of 100,000 rows costs no memory of its own.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TABLE_TEXT 272 /* bytes of a cell's text, NUL included */
#define TABLE_COLS 20

enum table_kind {
	TABLE_STRING,
	TABLE_NUMBER,
	TABLE_AGO, /* seconds of CLOCK_BOOTTIME, past; 0: never */
	TABLE_IN,  /* seconds of CLOCK_BOOTTIME, to come */
};

struct table_column {
	const char *title; /* NULL: in JSON only */
	const char *key;   /* NULL: in text only */
	enum table_kind kind;
};

struct table_cell {
	char text[TABLE_TEXT]; /* TABLE_STRING; empty: none, "-" and null */
	uint64_t number;       /* the others */
};

struct table {
	const struct table_column *columns;
	size_t n_columns;
	size_t n_rows;
	void (*row)(size_t i, struct table_cell *cells, void *ctx);
	void *ctx;
	uint64_t boot; /* now, seconds of CLOCK_BOOTTIME */
	uint64_t real; /* now, seconds of CLOCK_REALTIME */
};

/* Both clocks, as they are now. */
void table_set_now(struct table *t);

void table_print(FILE *f, const struct table *t);
/* An array of objects, times in RFC 3339. 0 or -ENOMEM. */
int table_print_json(FILE *f, const struct table *t);

#endif
