/* SPDX-License-Identifier: BSD-3-Clause */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_LEN 2048

static enum log_level log_upto = LOG_INFO;
static bool log_json;
static uint64_t dropped;

static const char *const level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

void log_setup(enum log_level level, bool json)
{
	log_upto = level;
	log_json = json;
}

int log_level_parse(const char *text)
{
	for (int i = LOG_ERROR; i <= LOG_DEBUG; i++)
		if (!strcmp(text, level_names[i]))
			return i;
	return -EINVAL;
}

uint64_t log_dropped(void)
{
	return dropped;
}

bool log_enabled(enum log_level level)
{
	return level <= log_upto;
}

/* Names from the network may hold anything: a log line stays one line of printable text. */
static size_t put_escaped(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 7 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (log_json && (c == '"' || c == '\\')) {
			out[n++] = '\\';
			out[n++] = (char)c;
		} else if (c < 0x20 || c == 0x7f) {
			n += (size_t)snprintf(out + n, size - n, log_json ? "\\u%04x" : "\\x%02x",
					      c);
		} else {
			out[n++] = (char)c;
		}
	}
	out[n] = 0;
	return n;
}

static void log_line(enum log_level level, const char *message)
{
	char text[LINE_MAX_LEN * 6], line[sizeof(text) + 128], when[32];
	struct pollfd log = { .fd = STDERR_FILENO, .events = POLLOUT };
	struct timespec now;
	struct tm tm;
	int n;

	put_escaped(text, sizeof(text), message);
	if (log_json) {
		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &tm);
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
		n = snprintf(line, sizeof(line),
			     "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"message\":\"%s\"}\n", when,
			     now.tv_nsec / 1000000, level_names[level], text);
	} else {
		n = snprintf(line, sizeof(line), "conn25: %s: %s\n", level_names[level], text);
	}
	/* A log that is full, closed or whose reader sleeps must not stop the daemon. */
	if (poll(&log, 1, 0) != 1 || !(log.revents & POLLOUT) ||
	    write(STDERR_FILENO, line, (size_t)n) != n)
		dropped++;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char message[LINE_MAX_LEN];
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	log_line(level, message);
}

int log_errno(int err, const char *fmt, ...)
{
	char message[LINE_MAX_LEN];
	va_list args;
	size_t n;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	n = strlen(message);
	snprintf(message + n, sizeof(message) - n, ": %s", strerror(err));
	log_line(LOG_ERROR, message);
	return -err;
}
