/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_check: `conn25 check`, which says what a netmap means before any daemon does. */
#include "cmd.h"
#include "netmap.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#define DEFAULT_NETMAP "/etc/conn25/netmap.json"

static const char usage[] =
	"usage: conn25 check [--netmap FILE] [--node ID]\n"
	"\n"
	"Validates a netmap and prints it as understood, in one canonical form.\n"
	"\n"
	"  --netmap FILE  the netmap (default " DEFAULT_NETMAP "; env CONN25_NETMAP)\n"
	"  --node ID      this node must have an entry (env CONN25_NODE)\n"
	"  --help         this text\n"
	"\n"
	"Exit status: 0 valid, warnings or not; 1 a fault, told with its place; 2 wrong usage.\n";

static const char *env_or(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value && *value ? value : otherwise;
}

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
		return 1;
	}
	for (size_t i = 0; i < nm->n_warnings; i++)
		fprintf(stderr, "%s: %s\n", path, nm->warnings[i]);
	err = netmap_print(stdout, nm);
	if (!err && fflush(stdout))
		err = -errno;
	if (err) {
		fprintf(stderr, "conn25 check: cannot write the netmap: %s\n", strerror(-err));
		return 1;
	}
	return 0;
}

static int unknown_flag(const char *flag)
{
	/* Inside a cluster such as -xy getopt is still before it; optopt is the letter. */
	if (strncmp(flag, "--", 2) != 0)
		fprintf(stderr, "conn25 check: unknown flag -%c; see conn25 check --help\n",
			optopt);
	else
		fprintf(stderr, "conn25 check: unknown flag %s; see conn25 check --help\n", flag);
	return 2;
}

int cmd_check(int argc, char **argv)
{
	static const struct option options[] = {
		{ "netmap", required_argument, NULL, 'm' },
		{ "node", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *path = env_or("CONN25_NETMAP", DEFAULT_NETMAP);
	const char *node = env_or("CONN25_NODE", NULL);
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		switch (c) {
		case 'm':
			path = optarg;
			break;
		case 'n':
			node = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case ':':
			fprintf(stderr, "conn25 check: %s needs a value\n", argv[optind - 1]);
			return 2;
		default:
			return unknown_flag(argv[optind - 1]);
		}
	}
	if (optind < argc) {
		fprintf(stderr,
			"conn25 check: unexpected argument \"%s\"; see conn25 check --help\n",
			argv[optind]);
		return 2;
	}
	return check(path, node);
}
