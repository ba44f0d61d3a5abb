/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include "cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPTIONS 64

static void print_help(const struct command_def *def)
{
	printf("Usage: %s\n\n%s\n", def->usage, def->text);
	if (def->n_options)
		printf("\nOptions:\n");
	for (size_t i = 0; i < def->n_options; i++) {
		const struct option_def *o = &def->options[i];
		char head[64];

		snprintf(head, sizeof(head), "--%s%s%s", o->name, o->arg ? " " : "",
			 o->arg ? o->arg : "");
		printf("  %-30s %s%s\n", head, o->help,
		       o->many == OPTION_REPEAT ? " (repeatable)" : "");
	}
	if (def->n_options)
		printf("\nEach can be given as an environment variable too: CONN25_%s for --%s.\n",
		       "NETMAP", "netmap");
}

static int usage_error(const char *what, const char *subject, const char *why)
{
	fprintf(stderr, "conn25: %s%s%s\n", what, subject, why);
	return OPTIONS_ERROR;
}

static const struct option_def *find(const struct command_def *def, const char *name, size_t len)
{
	for (size_t i = 0; i < def->n_options; i++)
		if (strlen(def->options[i].name) == len &&
		    !strncmp(def->options[i].name, name, len))
			return &def->options[i];
	return NULL;
}

static int apply(const struct option_def *o, void *target, const char *value, const char *source)
{
	const char *why = "not a valid value";
	int err = o->set(target, value, &why);

	if (!err)
		return OPTIONS_OK;
	if (value)
		fprintf(stderr, "conn25: %s: \"%s\" is %s\n", source, value, why);
	else
		fprintf(stderr, "conn25: %s is %s\n", source, why);
	return OPTIONS_ERROR;
}

/* "1", "true", "yes" and "on" turn a switch on; the opposite and "" leave it off. */
static int parse_switch(const char *text)
{
	static const char *const on[] = { "1", "true", "yes", "on" };
	static const char *const off[] = { "0", "false", "no", "off", "" };

	for (size_t i = 0; i < ARRAY_SIZE(on); i++)
		if (!strcasecmp(text, on[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(off); i++)
		if (!strcasecmp(text, off[i]))
			return false;
	return -EINVAL;
}

static int apply_env(const struct option_def *o, void *target)
{
	_cleanup_free_ char *copy = NULL;
	char name[64] = "CONN25_", *save, *word;
	const char *value;
	size_t n = strlen(name);
	int on, err;

	for (const char *c = o->name; *c && n + 1 < sizeof(name); c++)
		name[n++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	value = getenv(name);
	if (!value)
		return OPTIONS_OK;
	if (!o->arg) {
		on = parse_switch(value);
		if (on < 0)
			return usage_error(name, ": ", "takes true or false");
		return on ? apply(o, target, NULL, name) : OPTIONS_OK;
	}
	if (o->many == OPTION_ONCE)
		return apply(o, target, value, name);
	copy = strdup(value);
	if (!copy)
		return usage_error(name, ": ", strerror(ENOMEM));
	for (word = strtok_r(copy, ", \t", &save); word; word = strtok_r(NULL, ", \t", &save)) {
		err = apply(o, target, word, name);
		if (err)
			return err;
	}
	return OPTIONS_OK;
}

/* One "--name", "--name=value" or "--name value" at argv[*i]. */
static int parse_one(const struct command_def *def, void *target, int argc, char **argv, int *i,
		     bool *seen)
{
	const char *name = argv[*i] + 2, *value = NULL;
	const char *equal = strchr(name, '=');
	size_t len = equal ? (size_t)(equal - name) : strlen(name);
	const struct option_def *o = find(def, name, len);
	char source[80];

	if (!o)
		return usage_error("unknown option ", argv[*i], "; --help lists them");
	if (!o->arg && equal)
		return usage_error(argv[*i], "", ": takes no value");
	if (o->arg) {
		value = equal ? equal + 1 : argv[++*i];
		if (!equal && *i >= argc)
			return usage_error(argv[argc - 1], ": takes a value, ", o->arg);
	}
	if (seen[o - def->options] && o->many == OPTION_ONCE)
		return usage_error("--", o->name, ": given twice");
	seen[o - def->options] = true;
	snprintf(source, sizeof(source), "--%s", o->name);
	return apply(o, target, value, source);
}

enum options_result options_parse(const struct command_def *def, void *target, int argc,
				  char **argv, const char **args)
{
	bool seen[MAX_OPTIONS] = { false };
	bool only_args = false;
	size_t n_args = 0;
	int err;

	for (int i = 1; i < argc; i++) {
		if (!only_args && !strcmp(argv[i], "--help")) {
			print_help(def);
			return OPTIONS_DONE;
		}
		if (!only_args && !strcmp(argv[i], "--")) {
			only_args = true;
		} else if (!only_args && !strncmp(argv[i], "--", 2)) {
			err = parse_one(def, target, argc, argv, &i, seen);
			if (err)
				return err;
		} else if (!only_args && argv[i][0] == '-' && argv[i][1]) {
			return usage_error("unknown option ", argv[i], "; --help lists them");
		} else if (n_args < def->max_args) {
			args[n_args++] = argv[i];
		} else {
			return usage_error("unexpected \"", argv[i], "\"; see --help");
		}
	}
	if (args)
		args[n_args] = NULL;
	for (size_t i = 0; i < def->n_options; i++) {
		if (seen[i])
			continue;
		err = apply_env(&def->options[i], target);
		if (err)
			return err;
	}
	return OPTIONS_OK;
}
