/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log: one line a message on stderr, as text or as JSON.
 *
 * Only files that touch the outside world log; pure modules return what went wrong. Never per
 * packet, never per query, never a key.
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_ERROR, /* someone must act */
	LOG_WARN,  /* we go on without something */
	LOG_INFO,  /* state changed */
	LOG_DEBUG, /* the rest */
};

/* Every level up to `level` is written from now on; as JSON objects if `json`. */
void log_setup(enum log_level level, bool json);

/* Level of the name as the command line spells it, or -EINVAL. */
int log_level_parse(const char *text);

/* Lines that could not be written. */
uint64_t log_dropped(void);

bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Logs "MESSAGE: strerror(err)" as an error. `err` is positive; returns -err. */
int log_errno(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

#endif
