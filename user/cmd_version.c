/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd.h"
#include "options.h"
#include "version.h"

#include <stdio.h>

int cmd_version(int argc, char **argv)
{
	static const struct command_def def = {
		.usage = "conn25 version",
		.text = "Prints what this build calls itself.",
	};

	switch (options_parse(&def, NULL, argc, argv, NULL)) {
	case OPTIONS_DONE:
		return 0;
	case OPTIONS_ERROR:
		return EXIT_USAGE;
	case OPTIONS_OK:
		break;
	}
	printf("conn25 %s\n", CONN25_VERSION);
	return 0;
}
