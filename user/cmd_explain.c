/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd.h"
#include "config.h"
#include "control.h"
#include "options.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

OPTION_SETTER(set_control, const char *, *t = value)

static const struct option_def options[] = {
	{ "control", "PATH", "the daemon's control socket [" CONFIG_CONTROL "]", set_control, 0 },
};

static const struct command_def def = {
	.usage = "conn25 explain NAME|ADDRESS [--control PATH]",
	.text = "Every step this name or address takes: app, connectors and their health,\n"
		"addresses, counters.",
	.options = options,
	.n_options = ARRAY_SIZE(options),
	.max_args = 1,
};

int cmd_explain(int argc, char **argv)
{
	const char *control = CONFIG_CONTROL, *args[2];
	_cleanup_free_ char *text = NULL;
	char what[1024];
	char *escaped;
	int err;

	switch (options_parse(&def, &control, argc, argv, args)) {
	case OPTIONS_DONE:
		return 0;
	case OPTIONS_ERROR:
		return EXIT_USAGE;
	case OPTIONS_OK:
		break;
	}
	if (!args[0] || !*args[0] || strlen(args[0]) > 300) {
		fprintf(stderr, "conn25 explain: takes one name or address; see conn25 explain "
				"--help\n");
		return EXIT_USAGE;
	}
	escaped = curl_easy_escape(NULL, args[0], 0);
	snprintf(what, sizeof(what), "/conn25/explain?q=%s", escaped ? escaped : "");
	curl_free(escaped);
	err = control_get(&text, control, what);
	if (err)
		return EXIT_FAULT;
	fputs(text, stdout);
	return 0;
}
