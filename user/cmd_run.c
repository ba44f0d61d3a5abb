/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd.h"
#include "config.h"
#include "controller.h"
#include "log.h"

#include <malloc.h>

int cmd_run(int argc, char **argv)
{
	struct config config;

	switch (config_parse(&config, argc, argv)) {
	case OPTIONS_DONE:
		return 0;
	case OPTIONS_ERROR:
		return EXIT_USAGE;
	case OPTIONS_OK:
		break;
	}
	/* One heap for all threads: what a long answer took is then there for whatever comes next,
	 * and not once more for each thread that ever made one. */
	mallopt(M_ARENA_MAX, 1);
	log_setup((enum log_level)config.log_level, config.log_json);
	return controller_run(&config) ? EXIT_FAULT : 0;
}
