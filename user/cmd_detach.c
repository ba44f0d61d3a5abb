/* SPDX-License-Identifier: BSD-3-Clause */
/* conn25 detach: takes everything away that conn25 made in the kernel. */
#include "cmd.h"
#include "datapath.h"
#include "log.h"
#include "maps.h"
#include "netlink.h"
#include "wg_want.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void usage(void)
{
	printf("usage: conn25 detach [--pin DIR]\n"
	       "\n"
	       "Removes programs, pins with their directory, routes, rules and devices that "
	       "conn25\n"
	       "made, transit addresses from a WireGuard device's allowed IPs, and nothing else.\n"
	       "May be repeated.\n"
	       "\n"
	       "  --pin DIR   where links and maps are pinned (CONN25_PIN; default %s)\n"
	       "  --help      this text\n",
	       DATAPATH_PIN);
}

/* The directory of the pins; NULL: an answer was given already, with this exit status. */
static const char *pin_from(int argc, char **argv, int *status)
{
	static const struct option options[] = {
		{ "pin", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *env = getenv("CONN25_PIN"), *pin = env && *env ? env : DATAPATH_PIN;
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			pin = optarg;
			break;
		case 'h':
			usage();
			*status = 0;
			return NULL;
		case ':':
			fprintf(stderr, "conn25 detach: --pin wants a directory\n");
			*status = 2;
			return NULL;
		default:
			fprintf(stderr,
				"conn25 detach: unknown option %s; see conn25 detach --help\n",
				argv[optind - 1]);
			*status = 2;
			return NULL;
		}
	}
	*status = 2;
	if (optind < argc) {
		fprintf(stderr, "conn25 detach: \"%s\" is one argument too many\n", argv[optind]);
		return NULL;
	}
	if (!*pin) {
		fprintf(stderr, "conn25 detach: --pin wants a directory\n");
		return NULL;
	}
	return pin;
}

static int remove_network(void)
{
	_cleanup_(netlink) struct netlink *nl = NULL;
	int err = netlink_open(&nl);

	if (err)
		return log_errno(-err, "open netlink");
	err = netlink_remove_ours(nl);
	if (err < 0)
		return log_errno(-err, "remove routes, rules and devices");
	if (err)
		log_info("removed %d routes, rules and devices", err);
	return 0;
}

/* While the maps still say which device it was, and which addresses. */
static int remove_allowed_ips(const char *pin)
{
	struct maps maps;
	int n = maps_open(&maps, pin);

	if (n == -ENOENT)
		return 0;
	if (!n) {
		n = wg_want_nothing(&maps);
		maps_close(&maps);
	}
	if (n < 0)
		return log_errno(-n, "take transit addresses away from the WireGuard device's "
				     "allowed IPs");
	if (n)
		log_info("took %d transit addresses away from the WireGuard device's allowed IPs",
			 n);
	return 0;
}

int cmd_detach(int argc, char **argv)
{
	const char *pin;
	int status, err, allowed;

	pin = pin_from(argc, argv, &status);
	if (!pin)
		return status;
	if (geteuid() != 0) {
		fprintf(stderr, "conn25 detach: must be root to remove what conn25 made; "
				"try: sudo conn25 detach\n");
		return 1;
	}
	allowed = remove_allowed_ips(pin);
	/* Programs first: they would send on to devices that go. What fails does not keep the rest.
	 */
	err = datapath_remove(pin);
	if (err == -ENOENT)
		err = 0;
	if (err)
		log_errno(-err, "remove the datapath below %s", pin);
	return remove_network() || err || allowed ? 1 : 0;
}
