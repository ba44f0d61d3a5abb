/* SPDX-License-Identifier: BSD-3-Clause */
/* options_run: what a parser of command lines wrote to stdout and stderr. */
#ifndef OPTIONS_RUN_H
#define OPTIONS_RUN_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char options_said[16384]; /* both outputs of the last run */

static FILE *options_file;
static int options_saved[2];

static void options_capture(void)
{
	fflush(stdout);
	options_file = tmpfile();
	for (int i = 0; i < 2; i++) {
		options_saved[i] = dup(i + 1);
		dup2(fileno(options_file), i + 1);
	}
}

static void options_captured(void)
{
	size_t n;

	fflush(stdout);
	for (int i = 0; i < 2; i++) {
		dup2(options_saved[i], i + 1);
		close(options_saved[i]);
	}
	rewind(options_file);
	n = fread(options_said, 1, sizeof(options_said) - 1, options_file);
	options_said[n] = 0;
	fclose(options_file);
}

/* Of a NULL-ended argument vector. */
static int options_count(char **argv)
{
	int n = 0;

	while (argv[n])
		n++;
	return n;
}

#endif
