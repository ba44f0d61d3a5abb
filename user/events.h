/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * events: what happens, as lines of JSON, for those who watch: `conn25 monitor`.
 *
 * The last EVENTS_KEPT lines are kept once, whoever reads them; one who reads too slowly loses the
 * oldest and is told how many. Nothing is kept, nor written, while nobody watches. No sockets.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include "addr.h"
#include "cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENTS_KEPT    1024
#define EVENTS_READERS 16

struct events;

int events_new(struct events **out);
/* No reader may be open. */
void events_free(struct events *e);
DEFINE_CLEANUP(events, struct events *, events_free)

/* `news` is called after each event that somebody watches. */
void events_on_news(struct events *e, void (*news)(void *ctx), void *ctx);

struct event_field {
	const char *name; /* NULL: left out */
	const char *text;
	const struct c25_addr *addr;
	uint64_t number; /* where there is neither */
};

static inline struct event_field ev_text(const char *name, const char *text)
{
	return (struct event_field){ .name = text ? name : NULL, .text = text };
}

static inline struct event_field ev_addr(const char *name, const struct c25_addr *addr)
{
	return (struct event_field){ .name = addr ? name : NULL, .addr = addr };
}

static inline struct event_field ev_number(const char *name, uint64_t number)
{
	return (struct event_field){ .name = name, .number = number };
}

/* Tell of something: its name, such as "registered", and its ev_ fields, which are looked at only
 * where somebody watches. `e` may be NULL. */
#define events_tell(e, what, ...)                                                                  \
	do {                                                                                       \
		if (events_watched(e)) {                                                           \
			const struct event_field fields_[] = { __VA_ARGS__ };                      \
			events_write(e, what, fields_, sizeof(fields_) / sizeof(fields_[0]));      \
		}                                                                                  \
	} while (0)

bool events_watched(const struct events *e);
void events_write(struct events *e, const char *what, const struct event_field *fields, size_t n);

/* A reader of every event from now on. NULL: EVENTS_READERS read already, or out of memory. */
void *events_open(struct events *e);
void events_close(void *reader);
/* As many bytes as there are and fit, broken anywhere; 0: none. */
size_t events_read(void *reader, char *buf, size_t size);
/* An empty line for readers who have nothing else, so that those who are gone are found out. */
void events_beat(struct events *e);

struct events_stats {
	unsigned readers;
	uint64_t told; /* while somebody watched */
	uint64_t lost; /* by readers */
};
struct events_stats events_stats(const struct events *e);

#endif
