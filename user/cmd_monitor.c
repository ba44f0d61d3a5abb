/* SPDX-License-Identifier: BSD-3-Clause */
/* conn25 monitor: what happens, one line each, as the daemon tells it. */
#include "cmd.h"
#include "config.h"
#include "control.h"
#include "options.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct settings {
	const char *control;
	bool json;
};

OPTION_SETTER(set_control, struct settings, t->control = value)
OPTION_SETTER(set_json, struct settings, t->json = true)

static const struct option_def options[] = {
	{ "json", NULL, "each event as a JSON object on a line of its own", set_json, 0 },
	{ "control", "PATH", "the daemon's control socket [" CONFIG_CONTROL "]", set_control, 0 },
};

static const struct command_def def = {
	.usage = "conn25 monitor [--json] [--control PATH]",
	.text = "Live, one line each: registrations, failovers, drops with their reason, netmap\n"
		"reloads, connectors going and coming, roles. Drops are a sample, at most 32 a\n"
		"second and CPU; `conn25 status` counts them all. Ends with Ctrl-C (0), or when\n"
		"the daemon ends (1).",
	.options = options,
	.n_options = ARRAY_SIZE(options),
};

DEFINE_CLEANUP(json, cJSON *, cJSON_Delete)

/* How an event reads: {field} stands for its value. What is not listed here reads field=value. */
static const struct phrase {
	const char *event;
	const char *text;
} phrases[] = {
	{ "registered", "{domain} ({app}) {destinationIP}: magic {magicIP}, transit {transitIP}, "
			"connector {connector}" },
	{ "moved", "{domain} ({app}) {destinationIP}: from connector {from} to {connector}" },
	{ "refused", "{domain} {destinationIP}: connector {connector} says code {code}, "
		     "{message}" },
	{ "revoked", "{domain} {magicIP}: connector {connector} no longer serves it, code {code}" },
	{ "ended", "{domain} {destinationIP}: lease of magic {magicIP} is over" },
	{ "unmapped", "{domain} {transitIP}: connector {connector} does not know it; told again" },
	{ "pool-dry", "{domain} {destinationIP}: no address left to lend" },
	{ "connector-down", "{connector} does not answer: {why}" },
	{ "connector-up", "{connector} answers" },
	{ "mapped", "for {client}: transit {transitIP} is {destinationIP} ({app})" },
	{ "map-refused", "for {client}: transit {transitIP} to {destinationIP} ({app}), code "
			 "{code}, {message}" },
	{ "released", "by {client}: transit {transitIP}" },
	{ "drop", "{reason}: {proto} {sourceIP} to {destinationIP}, {text}" },
	{ "netmap", "reloaded: nodes {nodes}, apps {apps}" },
	{ "netmap-refused", "{why}; the one before stays in force" },
	{ "role", "{role} {change}" },
	{ "certificate", "{change}" },
	{ "lost", "{events} events: read too slowly" },
};

static const char *value_text(char buf[32], const cJSON *v)
{
	const char *text = cJSON_GetStringValue(v);

	if (text)
		return text;
	if (!cJSON_IsNumber(v))
		return "-";
	snprintf(buf, 32, "%.0f", v->valuedouble);
	return buf;
}

/* Names from the network may hold anything: a line stays one line of printable text. */
static void put_text(const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			printf("\\x%02x", c);
		else
			putchar(c);
	}
}

static void put_phrase(const char *phrase, const cJSON *o)
{
	char name[32], buf[32];

	for (; *phrase; phrase++) {
		size_t n;

		if (*phrase != '{') {
			putchar(*phrase);
			continue;
		}
		n = strcspn(++phrase, "}");
		snprintf(name, sizeof(name), "%.*s", (int)n, phrase);
		put_text(value_text(buf, cJSON_GetObjectItemCaseSensitive(o, name)));
		phrase += n;
	}
}

static void put_fields(const cJSON *o)
{
	const cJSON *f;
	char buf[32];

	cJSON_ArrayForEach (f, o) {
		if (!strcmp(f->string, "time") || !strcmp(f->string, "event"))
			continue;
		printf(" %s=", f->string);
		put_text(value_text(buf, f));
	}
}

/* "2026-11-23T10:11:12.345Z" in the time of the place. */
static void put_clock(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	char clock[16];
	time_t t;

	if (!rest) {
		put_text(text);
		return;
	}
	t = timegm(&tm);
	localtime_r(&t, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	printf("%s%.4s", clock, rest);
}

static void put_event(const cJSON *o)
{
	const char *what = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "event"));
	const char *time = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "time"));
	const struct phrase *p = phrases;

	put_clock(time ? time : "-");
	printf("  %-14s ", what ? what : "-");
	while (what && p < phrases + ARRAY_SIZE(phrases) && strcmp(p->event, what) != 0)
		p++;
	if (what && p < phrases + ARRAY_SIZE(phrases))
		put_phrase(p->text, o);
	else
		put_fields(o);
	putchar('\n');
}

/* A pipe whose other end is gone says so only to a write, or here. */
static bool is_read(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO };

	return poll(&out, 1, 0) < 1 || !(out.revents & POLLERR);
}

/* 1: nobody reads what is written. */
static int on_line(void *ctx, char *text)
{
	const struct settings *s = ctx;

	if (!*text)
		return is_read() ? 0 : 1;
	if (s->json) {
		puts(text);
	} else {
		_cleanup_(json) cJSON *o = cJSON_Parse(text);

		if (!o)
			return 0;
		put_event(o);
	}
	if (!fflush(stdout))
		return 0;
	if (errno != EPIPE)
		fprintf(stderr, "conn25 monitor: cannot write: %s\n", strerror(errno));
	return errno == EPIPE ? 1 : -errno;
}

static void on_signal(int signum)
{
	(void)signum;
	_exit(0); /* nothing of ours stays behind */
}

int cmd_monitor(int argc, char **argv)
{
	struct settings s = { .control = CONFIG_CONTROL };

	switch (options_parse(&def, &s, argc, argv, NULL)) {
	case OPTIONS_DONE:
		return 0;
	case OPTIONS_ERROR:
		return EXIT_USAGE;
	case OPTIONS_OK:
		break;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	return control_follow(s.control, "/conn25/monitor", on_line, &s) == 1 ? 0 : EXIT_FAULT;
}
