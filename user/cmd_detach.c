/* SPDX-License-Identifier: BSD-3-Clause */
/* conn25 detach: takes everything away that conn25 made in the kernel. */
#include "cmd.h"
#include "datapath.h"
#include "log.h"
#include "maps.h"
#include "netlink.h"
#include "options.h"
#include "wg_want.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int set_pin(void *target, const char *value, const char **why)
{
	*why = "not an absolute path";
	if (*value != '/')
		return -EINVAL;
	*(const char **)target = value;
	return 0;
}

static const struct option_def options[] = {
	{ "pin", "DIR", "where links and maps are pinned [" DATAPATH_PIN "]", set_pin, 0 },
};

static const struct command_def def = {
	.usage = "conn25 detach [--pin DIR]",
	.text = "Removes programs, pins with their directory, routes, rules and devices that\n"
		"conn25 made, transit addresses from the allowed IPs of a WireGuard device, and\n"
		"nothing else. May be repeated.",
	.options = options,
	.n_options = ARRAY_SIZE(options),
};

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
	const char *pin = DATAPATH_PIN;
	int err, allowed;

	switch (options_parse(&def, &pin, argc, argv, NULL)) {
	case OPTIONS_DONE:
		return 0;
	case OPTIONS_ERROR:
		return EXIT_USAGE;
	case OPTIONS_OK:
		break;
	}
	if (geteuid() != 0) {
		fprintf(stderr, "conn25 detach: must be root to remove what conn25 made; "
				"try: sudo conn25 detach\n");
		return EXIT_FAULT;
	}
	allowed = remove_allowed_ips(pin);
	/* Programs first: they would send on to devices that go. What fails does not keep the rest.
	 */
	err = datapath_remove(pin);
	if (err == -ENOENT)
		err = 0;
	if (err)
		log_errno(-err, "remove the datapath below %s", pin);
	return remove_network() || err || allowed ? EXIT_FAULT : 0;
}
