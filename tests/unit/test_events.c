/* SPDX-License-Identifier: BSD-3-Clause */
#include "events.h"

#include "leaks.h"

#include <criterion/criterion.h>
#include <string.h>

SUITE(events);

static struct events *e;
static unsigned news;

static void on_news(void *ctx)
{
	news++;
}

static void start(void)
{
	cr_assert_eq(events_new(&e), 0);
	events_on_news(e, on_news, NULL);
}

static void tell(unsigned n)
{
	events_tell(e, "told", ev_number("n", n));
}

/* All that there is, in pieces of `size`; good until the next call. */
static const char *read_all(void *r, size_t size)
{
	static char text[256 * 1024];
	size_t used = 0, n;

	while ((n = events_read(r, text + used, size)))
		used += n;
	text[used] = 0;
	return text;
}

static size_t lines_of(const char *text)
{
	size_t n = 0;

	for (; (text = strchr(text, '\n')); text++)
		n++;
	return n;
}

Test(events, nothing_is_kept_while_nobody_watches)
{
	void *r;

	start();
	cr_assert_not(events_watched(e));
	tell(1);
	cr_assert_eq(news, 0);
	r = events_open(e);
	cr_assert_str_empty(read_all(r, 64), "only what comes later");
	tell(2);
	cr_assert_eq(news, 1);
	cr_assert(strstr(read_all(r, 4096), "\"event\":\"told\",\"n\":2}\n"));
	events_close(r);
	cr_assert_not(events_watched(e));
	tell(3);
	cr_assert_eq(events_stats(e).told, 1);
	events_free(e);
}

Test(events, a_line_is_whole_in_whatever_pieces_it_is_read)
{
	static const struct c25_addr addr = { .b = { [10] = 0xff, 0xff, 192, 0, 2, 1 } };
	void *r;

	start();
	r = events_open(e);
	events_tell(e, "shown", ev_text("text", "a \"b\"\n"), ev_addr("addr", &addr),
		    ev_text("none", NULL), ev_addr("nothing", NULL), ev_number("zero", 0));
	cr_assert(strstr(read_all(r, 1), "\"event\":\"shown\",\"text\":\"a \\\"b\\\"\\n\","
					 "\"addr\":\"192.0.2.1\",\"zero\":0}\n"));
	events_close(r);
	events_free(e);
}

Test(events, a_slow_reader_loses_the_oldest_and_is_told_how_many)
{
	void *slow, *fast;
	const char *text;
	char some[10];

	start();
	slow = events_open(e);
	fast = events_open(e);
	tell(0);
	cr_assert_eq(events_read(slow, some, sizeof(some)), sizeof(some));
	for (unsigned i = 1; i <= EVENTS_KEPT + 7; i++) {
		tell(i);
		cr_assert_eq(lines_of(read_all(fast, 4096)), i == 1 ? 2 : 1);
	}
	text = read_all(slow, 4096);
	cr_assert(strstr(text, "\"n\":0}\n"), "what was begun is read to its end");
	cr_assert(strstr(text, "\"event\":\"lost\",\"events\":7}\n"));
	cr_assert_not(strstr(text, "\"n\":7}\n"));
	cr_assert(strstr(text, "\"n\":8}\n"));
	cr_assert_eq(lines_of(text), 1 + 1 + EVENTS_KEPT);
	cr_assert_eq(events_stats(e).lost, 7);
	cr_assert_str_empty(read_all(slow, 4096));
	events_close(slow);
	events_close(fast);
	events_free(e);
}

Test(events, there_are_so_many_readers_and_no_more)
{
	void *r[EVENTS_READERS];

	start();
	for (size_t i = 0; i < EVENTS_READERS; i++)
		cr_assert_not_null(r[i] = events_open(e));
	cr_assert_null(events_open(e));
	cr_assert_eq(events_stats(e).readers, EVENTS_READERS);
	events_close(r[3]);
	cr_assert_not_null(r[3] = events_open(e), "the place of one who went is free");
	for (size_t i = 0; i < EVENTS_READERS; i++)
		events_close(r[i]);
	events_free(e);
}

Test(events, a_beat_is_an_empty_line_and_counts_as_no_event)
{
	void *r;

	start();
	events_beat(e);
	r = events_open(e);
	cr_assert_str_empty(read_all(r, 64));
	events_beat(e);
	cr_assert_str_eq(read_all(r, 64), "\n");
	cr_assert_eq(events_stats(e).told, 0);
	events_close(r);
	events_free(e);
}
