/* SPDX-License-Identifier: BSD-3-Clause */
/* Claims about options.h. */
#include "leaks.h"
#include "options.h"
#include "options_run.h"

#include "cleanup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

SUITE(options);

struct settings {
	const char *name;
	const char *many[8];
	size_t n_many;
	bool on;
};

OPTION_SETTER(set_on, struct settings, t->on = true)

static int set_name(void *target, const char *value, const char **why)
{
	*why = "not a name";
	if (!strcmp(value, "bad"))
		return -EINVAL;
	((struct settings *)target)->name = value;
	return 0;
}

/* What comes from the environment lives no longer than this call. */
static int set_many(void *target, const char *value, const char **why)
{
	struct settings *s = target;

	*why = "one too many";
	if (s->n_many == ARRAY_SIZE(s->many))
		return -E2BIG;
	s->many[s->n_many++] = strdup(value);
	return 0;
}

static const struct option_def all[] = {
	{ "the-name", "NAME", "a name [none]", set_name, OPTION_ONCE },
	{ "many", "ITEM", "items", set_many, OPTION_REPEAT },
	{ "on", NULL, "a switch", set_on, OPTION_ONCE },
};

static const struct command_def def = {
	.usage = "conn25 try [WORD...] [OPTIONS]",
	.text = "Tries.",
	.options = all,
	.n_options = ARRAY_SIZE(all),
	.max_args = 2,
};

static struct settings got;
static const char *words[3];

static void forget(void)
{
	for (size_t i = 0; i < got.n_many; i++)
		free((char *)got.many[i]);
	got = (struct settings){ 0 };
}

/* Runs options_parse() on `try` and these arguments. */
#define PARSE(...)                                                                                 \
	({                                                                                         \
		char *argv_[] = { "try", ##__VA_ARGS__, NULL };                                    \
		enum options_result result_;                                                       \
		forget();                                                                          \
		options_capture();                                                                 \
		result_ = options_parse(&def, &got, options_count(argv_), argv_, words);           \
		options_captured();                                                                \
		result_;                                                                           \
	})

/* Wrong usage is told in one line, which begins with the command's name. */
#define REFUSES(text, ...)                                                                         \
	do {                                                                                       \
		cr_expect_eq(PARSE(__VA_ARGS__), OPTIONS_ERROR);                                   \
		cr_expect_str_eq(options_said, text);                                              \
	} while (0)

Test(options, value_stands_behind_a_blank_or_an_equals_sign)
{
	cr_assert_eq(PARSE("--the-name", "a"), OPTIONS_OK);
	cr_assert_str_eq(got.name, "a");
	cr_assert_eq(PARSE("--the-name=b=c"), OPTIONS_OK);
	cr_assert_str_eq(got.name, "b=c");
	cr_assert_eq(PARSE("--the-name="), OPTIONS_OK);
	cr_assert_str_eq(got.name, "");
	cr_assert_eq(PARSE("--the-name", "--on"), OPTIONS_OK);
	cr_assert_str_eq(got.name, "--on", "a value may look like an option");
	cr_assert_not(got.on);
	forget();
}

Test(options, flag_wins_over_its_variable)
{
	setenv("CONN25_THE_NAME", "variable", 1);
	setenv("CONN25_MANY", "x,y", 1);
	cr_assert_eq(PARSE(), OPTIONS_OK);
	cr_assert_str_eq(got.name, "variable");
	cr_assert_eq(PARSE("--the-name", "flag", "--many", "z"), OPTIONS_OK);
	cr_assert_str_eq(got.name, "flag");
	cr_assert_eq(got.n_many, 1, "values of both are not mixed");
	cr_assert_str_eq(got.many[0], "z");
	setenv("CONN25_THE_NAME", "bad", 1);
	cr_assert_eq(PARSE("--the-name", "flag"), OPTIONS_OK, "what is not used is not judged");
	forget();
}

Test(options, repeatable_one_takes_several_values_from_its_variable)
{
	setenv("CONN25_MANY", " a, b\tc ,,d", 1);
	cr_assert_eq(PARSE(), OPTIONS_OK);
	cr_assert_eq(got.n_many, 4);
	cr_assert_str_eq(got.many[0], "a");
	cr_assert_str_eq(got.many[3], "d");
	cr_assert_eq(PARSE("--many", "a,b", "--many", "c"), OPTIONS_OK);
	cr_assert_eq(got.n_many, 2, "a flag's value is taken whole");
	cr_assert_str_eq(got.many[0], "a,b");
	forget();
}

Test(options, empty_variable_counts_as_none)
{
	setenv("CONN25_THE_NAME", "", 1);
	setenv("CONN25_ON", "", 1);
	cr_assert_eq(PARSE(), OPTIONS_OK);
	cr_assert_null(got.name);
	cr_assert_not(got.on);
}

Test(options, switch_is_turned_on_or_off_by_its_variable)
{
	static const char *const on[] = { "1", "true", "YES", "on" };
	static const char *const off[] = { "0", "false", "no", "Off" };

	for (size_t i = 0; i < ARRAY_SIZE(on); i++) {
		setenv("CONN25_ON", on[i], 1);
		cr_expect_eq(PARSE(), OPTIONS_OK);
		cr_expect(got.on, "%s", on[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(off); i++) {
		setenv("CONN25_ON", off[i], 1);
		cr_expect_eq(PARSE(), OPTIONS_OK);
		cr_expect_not(got.on, "%s", off[i]);
	}
	setenv("CONN25_ON", "maybe", 1);
	REFUSES("conn25 try: CONN25_ON: \"maybe\" is neither true nor false\n");
}

Test(options, wrong_usage_is_told_in_one_line)
{
	REFUSES("conn25 try: unknown option --nope; see conn25 try --help\n", "--nope");
	REFUSES("conn25 try: unknown option --nope=1; see conn25 try --help\n", "--nope=1");
	REFUSES("conn25 try: unknown option --the; see conn25 try --help\n", "--the");
	REFUSES("conn25 try: unknown option -x; see conn25 try --help\n", "-x");
	REFUSES("conn25 try: --the-name takes a value: NAME\n", "--the-name");
	REFUSES("conn25 try: --on=1: --on takes no value\n", "--on=1");
	REFUSES("conn25 try: --the-name was given twice\n", "--the-name", "a", "--the-name=a");
	REFUSES("conn25 try: --on was given twice\n", "--on", "--on");
	REFUSES("conn25 try: --the-name: \"bad\" is not a name\n", "--the-name", "bad");
	REFUSES("conn25 try: unexpected argument \"c\"; see conn25 try --help\n", "a", "b", "c");
	setenv("CONN25_THE_NAME", "bad", 1);
	REFUSES("conn25 try: CONN25_THE_NAME: \"bad\" is not a name\n");
}

Test(options, words_stand_anywhere_and_two_dashes_end_the_options)
{
	cr_assert_eq(PARSE("a", "--on", "b"), OPTIONS_OK);
	cr_assert_str_eq(words[0], "a");
	cr_assert_str_eq(words[1], "b");
	cr_assert_null(words[2]);
	cr_assert_eq(PARSE("--", "--on", "--help"), OPTIONS_OK);
	cr_assert_str_eq(words[0], "--on");
	cr_assert_str_eq(words[1], "--help");
	cr_assert_not(got.on);
	cr_assert_eq(PARSE("-"), OPTIONS_OK);
	cr_assert_str_eq(words[0], "-", "a dash alone is a word");
}

Test(options, help_lists_every_option_and_an_example_of_its_variable)
{
	static const char *const parts[] = {
		"Usage: conn25 try [WORD...] [OPTIONS]\n\nTries.\n",
		"--the-name NAME ",
		"a name [none]\n",
		"items (repeatable)\n",
		"a switch\n",
		"--help ",
		"CONN25_THE_NAME for --the-name)",
		"several values there, with commas",
	};

	cr_assert_eq(PARSE("--help"), OPTIONS_DONE);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		cr_expect(strstr(options_said, parts[i]), "%s is not in\n%s", parts[i],
			  options_said);
	cr_assert_eq(PARSE("-h"), OPTIONS_DONE);
}

Test(options, help_of_a_command_without_options_says_nothing_of_variables)
{
	static const struct command_def bare = { .usage = "conn25 bare", .text = "Is bare." };
	char *argv[] = { "bare", "--help", NULL }, *nope[] = { "bare", "x", NULL };

	options_capture();
	cr_expect_eq(options_parse(&bare, NULL, 2, argv, NULL), OPTIONS_DONE);
	options_captured();
	cr_expect_not(strstr(options_said, "variable"), "%s", options_said);
	options_capture();
	cr_expect_eq(options_parse(&bare, NULL, 2, nope, NULL), OPTIONS_ERROR);
	options_captured();
	cr_expect_str_eq(options_said, "conn25 bare: unexpected argument \"x\"; see conn25 bare "
				       "--help\n");
}
