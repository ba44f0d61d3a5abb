/* SPDX-License-Identifier: BSD-3-Clause */
/* main: finds the command. */
#include "cleanup.h"
#include "cmd.h"
#include "options.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *text;
} commands[] = {
	{ "run", cmd_run, "the daemon, in the foreground" },
	{ "check", cmd_check, "validate a netmap and print it as understood" },
	{ "status", cmd_status, "what the running daemon holds" },
	{ "map", cmd_map, "mappings and flows straight from the pinned maps" },
	{ "monitor", cmd_monitor, "live: registrations, failovers, drops" },
	{ "explain", cmd_explain, "every step a name or an address takes" },
	{ "detach", cmd_detach, "remove programs, pins, routes, rules and devices of conn25" },
	{ "version", cmd_version, "what this build calls itself" },
};

static void print_usage(FILE *out)
{
	fprintf(out, "Usage: conn25 COMMAND [OPTIONS]\n\n"
		     "Traffic to chosen domains leaves through chosen machines.\n\nCommands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].text);
	fprintf(out, "\n`conn25 COMMAND --help` tells more of each.\n");
}

/* A command has done its work only when what it said has been written; a reader who has heard
 * enough is no fault. */
static int written(int code)
{
	if ((!fflush(stdout) && !ferror(stdout)) || errno == EPIPE || code)
		return code;
	fprintf(stderr, "conn25: cannot write: %s\n", strerror(errno));
	return EXIT_FAULT;
}

int main(int argc, char **argv)
{
	/* A peer or a pipe that goes away is an error of its write, not our end. */
	signal(SIGPIPE, SIG_IGN);

	if (argc < 2) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_usage(stdout);
		return written(0);
	}
	if (!strcmp(argv[1], "--version"))
		argv[1] = "version";
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return written(commands[i].run(argc - 1, argv + 1));
	fprintf(stderr, "conn25: unknown command \"%s\"; `conn25 help` lists them\n", argv[1]);
	return EXIT_USAGE;
}
