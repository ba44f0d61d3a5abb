/* SPDX-License-Identifier: BSD-3-Clause */
#include "events.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

struct events {
	char *lines[EVENTS_KEPT]; /* of event n at n modulo their number */
	uint64_t next;            /* number of the event to come */
	struct events_reader *readers;
	struct events_stats stats;
	void (*news)(void *ctx);
	void *ctx;
};

struct events_reader {
	struct events *events;
	struct events_reader *prev, *next_reader;
	uint64_t at;  /* the event to read next */
	char *line;   /* begun; it may be gone from the others */
	size_t begun; /* bytes of it that were read */
};

int events_new(struct events **out)
{
	struct events *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	*out = e;
	return 0;
}

static void forget_all(struct events *e)
{
	for (size_t i = 0; i < EVENTS_KEPT; i++) {
		free(e->lines[i]);
		e->lines[i] = NULL;
	}
}

void events_free(struct events *e)
{
	if (!e)
		return;
	forget_all(e);
	free(e);
}

void events_on_news(struct events *e, void (*news)(void *ctx), void *ctx)
{
	e->news = news;
	e->ctx = ctx;
}

bool events_watched(const struct events *e)
{
	return e && e->readers;
}

static char *with_newline(char *text)
{
	size_t n = text ? strlen(text) : 0;
	char *line = text ? realloc(text, n + 2) : NULL;

	if (!line) {
		free(text);
		return NULL;
	}
	memcpy(line + n, "\n", 2);
	return line;
}

static void put_time(cJSON *o)
{
	char text[40];
	struct timespec now;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%03ldZ", now.tv_nsec / 1000000);
	cJSON_AddStringToObject(o, "time", text);
}

static void put_field(cJSON *o, const struct event_field *f)
{
	char text[ADDR_STRLEN];

	if (!f->name)
		return;
	if (f->text)
		cJSON_AddStringToObject(o, f->name, f->text);
	else if (f->addr)
		cJSON_AddStringToObject(o, f->name, addr_print(text, f->addr));
	else
		cJSON_AddNumberToObject(o, f->name, (double)f->number);
}

static char *make_line(const char *what, const struct event_field *fields, size_t n)
{
	cJSON *o = cJSON_CreateObject();
	char *text;

	put_time(o);
	cJSON_AddStringToObject(o, "event", what);
	for (size_t i = 0; i < n; i++)
		put_field(o, &fields[i]);
	text = cJSON_PrintUnformatted(o);
	cJSON_Delete(o);
	return with_newline(text);
}

static void keep(struct events *e, char *line)
{
	char **at = &e->lines[e->next % EVENTS_KEPT];

	free(*at);
	*at = line;
	e->next++;
	if (e->news)
		e->news(e->ctx);
}

void events_write(struct events *e, const char *what, const struct event_field *fields, size_t n)
{
	char *line = make_line(what, fields, n);

	if (!line)
		return;
	e->stats.told++;
	keep(e, line);
}

void events_beat(struct events *e)
{
	char *line = events_watched(e) ? strdup("\n") : NULL;

	if (line)
		keep(e, line);
}

void *events_open(struct events *e)
{
	struct events_reader *r;

	if (e->stats.readers == EVENTS_READERS)
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->events = e;
	r->at = e->next;
	DL_APPEND2(e->readers, r, prev, next_reader);
	e->stats.readers++;
	return r;
}

void events_close(void *reader)
{
	struct events_reader *r = reader;
	struct events *e = r->events;

	DL_DELETE2(e->readers, r, prev, next_reader);
	e->stats.readers--;
	if (!e->readers)
		forget_all(e);
	free(r->line);
	free(r);
}

/* The line to go on with, NULL: nothing to read. What is begun is read to its end: a line of the
 * reader's own, as those kept may be replaced meanwhile. */
static const char *line_of(struct events_reader *r)
{
	struct events *e = r->events;
	uint64_t oldest = e->next > EVENTS_KEPT ? e->next - EVENTS_KEPT : 0;

	if (r->line)
		return r->line;
	if (r->at < oldest) {
		struct event_field lost = ev_number("events", oldest - r->at);

		e->stats.lost += lost.number;
		r->line = make_line("lost", &lost, 1);
		r->at = oldest;
	} else if (r->at < e->next) {
		r->line = strdup(e->lines[r->at++ % EVENTS_KEPT]);
	}
	return r->line;
}

size_t events_read(void *reader, char *buf, size_t size)
{
	struct events_reader *r = reader;
	size_t used = 0;
	const char *line;

	while (used < size && (line = line_of(r))) {
		size_t left = strlen(line) - r->begun;
		size_t n = left < size - used ? left : size - used;

		memcpy(buf + used, line + r->begun, n);
		used += n;
		r->begun += n;
		if (n == left) {
			free(TAKE_PTR(r->line));
			r->begun = 0;
		}
	}
	return used;
}

struct events_stats events_stats(const struct events *e)
{
	return e->stats;
}
