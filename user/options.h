/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * options: command lines read by one table a command, which also makes its --help.
 *
 * Long options only, "--name value" or "--name=value". Every option can be given as an
 * environment variable too, CONN25_NAME for --name, several values separated by blanks or
 * commas; a flag wins over its variable, and an empty variable counts as none.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stddef.h>

/* Exit status of the program (contract, section 1). */
#define EXIT_FAULT 1
#define EXIT_USAGE 2

struct option_def {
	const char *name; /* without dashes */
	const char *arg;  /* "ADDR:PORT" in the help; NULL: a switch, and `value` is NULL */
	const char *help;
	/* 0, or a negative errno with `*why` a text such as "not a port". A value stays where it
	 * is, but for those of an OPTION_REPEAT: copy them. */
	int (*set)(void *target, const char *value, const char **why);
	enum {
		OPTION_ONCE,
		OPTION_REPEAT,
	} many;
};

struct command_def {
	const char *usage; /* "conn25 map [client|connector|flows] [--json]" */
	const char *text;  /* what it does; one or more lines */
	const struct option_def *options;
	size_t n_options;
	size_t max_args; /* words that are no options */
};

enum options_result {
	OPTIONS_OK,
	OPTIONS_DONE,  /* --help was printed: exit 0 */
	OPTIONS_ERROR, /* one line was written to stderr: exit EXIT_USAGE */
};

/* Reads argv[1..]. `args` gets the words that are no options, NULL-ended: max_args + 1 long. */
enum options_result options_parse(const struct command_def *def, void *target, int argc,
				  char **argv, const char **args);

/* Setters for a `const char *` and a `bool`, whose address is `target`'s field. */
#define OPTION_SETTER(func, type, body)                                                            \
	static int func(void *target, const char *value, const char **why)                         \
	{                                                                                          \
		type *t = target;                                                                  \
		(void)value;                                                                       \
		(void)why;                                                                         \
		body;                                                                              \
		return 0;                                                                          \
	}

#endif
