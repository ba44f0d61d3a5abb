/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd.h"
#include "options.h"

#include <stdio.h>

int cmd_monitor(int argc, char **argv)
{
	static const struct command_def def = {
		.usage = "conn25 monitor",
		.text = "Live: registrations, failovers, drops with their reason. Not built yet.",
	};

	switch (options_parse(&def, NULL, argc, argv, NULL)) {
	case OPTIONS_DONE:
		return 0;
	case OPTIONS_ERROR:
		return EXIT_USAGE;
	case OPTIONS_OK:
		break;
	}
	fprintf(stderr, "conn25: monitor is not built yet; `conn25 status` shows the counters\n");
	return EXIT_FAULT;
}
