/* SPDX-License-Identifier: BSD-3-Clause */
/* controller_intercept: what taking DNS needs, in this order: names, sockets, programs. */
#include "controller_int.h"
#include "dns_names.h"

int controller_intercept(struct controller *c, const struct netmap *nm)
{
	int err;

	if (!c->client || !c->config->n_dns_intercept)
		return 0;
	err = dns_names_sync(&c->maps, nm);
	if (err || c->intercept)
		return err;
	err = dns_intercept_new(&c->intercept, c->config, c->netlink, &c->maps);
	if (!err)
		err = client_intercept(c->client);
	if (!err)
		err = dns_intercept_sync(c->intercept, c->datapath,
					 overlay_link(c->overlay)->ifindex);
	return err;
}
