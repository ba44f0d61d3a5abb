/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include "cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPTIONS 64
#define ENV_LEN     64

/* "conn25 map" of "conn25 map [client|connector|flows] [--json]". */
static int name_len(const struct command_def *def)
{
	size_t n = strcspn(def->usage, " ");

	if (def->usage[n])
		n += 1 + strcspn(def->usage + n + 1, " ");
	return (int)n;
}

__attribute__((format(printf, 2, 3))) static int refuse(const struct command_def *def,
							const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%.*s: ", name_len(def), def->usage);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return OPTIONS_ERROR;
}

static int refuse_unknown(const struct command_def *def, const char *option)
{
	return refuse(def, "unknown option %s; see %.*s --help", option, name_len(def), def->usage);
}

/* CONN25_DNS_LISTEN for "dns-listen". */
static void env_name(char name[ENV_LEN], const char *option)
{
	size_t n = (size_t)snprintf(name, ENV_LEN, "CONN25_");

	for (; *option && n + 1 < ENV_LEN; option++)
		name[n++] = *option == '-' ? '_' : (char)toupper((unsigned char)*option);
	name[n] = 0;
}

static void print_option(const struct option_def *o)
{
	char head[64];

	snprintf(head, sizeof(head), "--%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	printf("  %-30s %s%s\n", head, o->help, o->many == OPTION_REPEAT ? " (repeatable)" : "");
}

static void print_help(const struct command_def *def)
{
	const struct option_def *example = def->options;
	bool repeatable = false;
	char name[ENV_LEN];

	printf("Usage: %s\n\n%s\n\nOptions:\n", def->usage, def->text);
	for (size_t i = 0; i < def->n_options; i++) {
		const struct option_def *o = &def->options[i];

		print_option(o);
		repeatable |= o->many == OPTION_REPEAT;
		if (!example->arg || (!strchr(example->name, '-') && strchr(o->name, '-')))
			example = o;
	}
	printf("  %-30s %s\n", "--help", "this text");
	if (!example)
		return;
	env_name(name, example->name);
	printf("\nEach can be given as an environment variable too (%s for --%s); the option\n"
	       "wins.%s\n",
	       name, example->name,
	       repeatable ? " A repeatable one takes several values there, with commas or blanks "
			    "between." :
			    "");
}

static const struct option_def *find(const struct command_def *def, const char *name, size_t len)
{
	for (size_t i = 0; i < def->n_options; i++)
		if (strlen(def->options[i].name) == len &&
		    !strncmp(def->options[i].name, name, len))
			return &def->options[i];
	return NULL;
}

static int apply(const struct command_def *def, const struct option_def *o, void *target,
		 const char *value, const char *source)
{
	const char *why = "not a valid value";
	int err = o->set(target, value, &why);

	if (!err)
		return OPTIONS_OK;
	return value ? refuse(def, "%s: \"%s\" is %s", source, value, why) :
		       refuse(def, "%s is %s", source, why);
}

/* "1", "true", "yes" and "on" turn a switch on; their opposites leave it off. */
static int parse_switch(const char *text)
{
	static const char *const on[] = { "1", "true", "yes", "on" };
	static const char *const off[] = { "0", "false", "no", "off" };

	for (size_t i = 0; i < ARRAY_SIZE(on); i++)
		if (!strcasecmp(text, on[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(off); i++)
		if (!strcasecmp(text, off[i]))
			return false;
	return -EINVAL;
}

/* An empty variable counts as none. */
static int apply_env(const struct command_def *def, const struct option_def *o, void *target)
{
	_cleanup_free_ char *copy = NULL;
	char name[ENV_LEN], *save, *word;
	const char *value;
	int on, err;

	env_name(name, o->name);
	value = getenv(name);
	if (!value || !*value)
		return OPTIONS_OK;
	if (!o->arg) {
		on = parse_switch(value);
		if (on < 0)
			return refuse(def, "%s: \"%s\" is neither true nor false", name, value);
		return on ? apply(def, o, target, NULL, name) : OPTIONS_OK;
	}
	if (o->many == OPTION_ONCE)
		return apply(def, o, target, value, name);
	copy = strdup(value);
	if (!copy)
		return refuse(def, "%s: %s", name, strerror(ENOMEM));
	for (word = strtok_r(copy, ", \t", &save); word; word = strtok_r(NULL, ", \t", &save)) {
		err = apply(def, o, target, word, name);
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
		return refuse_unknown(def, argv[*i]);
	if (!o->arg && equal)
		return refuse(def, "%s: --%s takes no value", argv[*i], o->name);
	if (o->arg) {
		value = equal ? equal + 1 : argv[++*i];
		if (!equal && *i >= argc)
			return refuse(def, "--%s takes a value: %s", o->name, o->arg);
	}
	if (seen[o - def->options] && o->many == OPTION_ONCE)
		return refuse(def, "--%s was given twice", o->name);
	seen[o - def->options] = true;
	snprintf(source, sizeof(source), "--%s", o->name);
	return apply(def, o, target, value, source);
}

enum options_result options_parse(const struct command_def *def, void *target, int argc,
				  char **argv, const char **args)
{
	bool seen[MAX_OPTIONS] = { false };
	bool only_args = false;
	size_t n_args = 0;
	int err;

	for (int i = 1; i < argc; i++) {
		if (!only_args && (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))) {
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
			return refuse_unknown(def, argv[i]);
		} else if (n_args < def->max_args) {
			args[n_args++] = argv[i];
		} else {
			return refuse(def, "unexpected argument \"%s\"; see %.*s --help", argv[i],
				      name_len(def), def->usage);
		}
	}
	if (args)
		args[n_args] = NULL;
	for (size_t i = 0; i < def->n_options; i++) {
		if (seen[i])
			continue;
		err = apply_env(def, &def->options[i], target);
		if (err)
			return err;
	}
	return OPTIONS_OK;
}
