/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_check: `conn25 check`, which says what a netmap means before any daemon does. */
#include "cmd.h"
#include "config.h"
#include "netmap.h"
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct settings {
	const char *netmap;
	const char *node; /* NULL: none must have an entry */
};

OPTION_SETTER(set_netmap, struct settings, t->netmap = value)
OPTION_SETTER(set_node, struct settings, t->node = value)

static const struct option_def options[] = {
	{ "netmap", "FILE", "the netmap [" CONFIG_NETMAP "]", set_netmap, 0 },
	{ "node", "ID", "this node must have an entry", set_node, 0 },
};

static const struct command_def def = {
	.usage = "conn25 check [--netmap FILE] [--node ID]",
	.text = "Validates a netmap and prints it as understood, in one canonical form.\n"
		"Exit status: 0 valid, warnings or not; 1 a fault, told with its place; 2 wrong\n"
		"usage.",
	.options = options,
	.n_options = ARRAY_SIZE(options),
};

static int check(const char *path, const char *node)
{
	_cleanup_netmap_ struct netmap *nm = NULL;
	struct netmap_fault fault = { 0 };
	int err;

	err = netmap_read(&nm, path, node, &fault);
	if (err == -ENOMEM)
		snprintf(fault.text, sizeof(fault.text), "out of memory");
	if (err) {
		fprintf(stderr, "%s: %s%s%s\n", path, fault.path, *fault.path ? ": " : "",
			fault.text);
		return EXIT_FAULT;
	}
	for (size_t i = 0; i < nm->n_warnings; i++)
		fprintf(stderr, "%s: %s\n", path, nm->warnings[i]);
	err = netmap_print(stdout, nm);
	if (!err && fflush(stdout))
		err = -errno;
	if (err) {
		fprintf(stderr, "conn25 check: cannot write the netmap: %s\n", strerror(-err));
		return EXIT_FAULT;
	}
	return 0;
}

int cmd_check(int argc, char **argv)
{
	struct settings s = { .netmap = CONFIG_NETMAP };

	switch (options_parse(&def, &s, argc, argv, NULL)) {
	case OPTIONS_DONE:
		return 0;
	case OPTIONS_ERROR:
		return EXIT_USAGE;
	case OPTIONS_OK:
		break;
	}
	return check(s.netmap, s.node);
}
