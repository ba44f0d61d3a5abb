/* SPDX-License-Identifier: BSD-3-Clause */
#include "connector_dns.h"

#include "domains.h"
#include "log.h"
#include "policy.h"

#include <errno.h>
#include <stdlib.h>

struct connector_dns {
	struct dns_proxy *proxy;
	const struct netmap *nm;
	struct domains **apps; /* by index of the netmap's; NULL: not served here */
	size_t n_apps;
};

/* Every question passes: what a peer may ask was decided before. */
static size_t match(void *ctx, const struct dns_question *q)
{
	(void)ctx;
	(void)q;
	return DNS_MATCH_PASS;
}

static const struct dns_proxy_ops proxy_ops = { .match = match };

static void clear_apps(struct connector_dns *d)
{
	for (size_t i = 0; i < d->n_apps; i++)
		domains_free(d->apps[i]);
	free(d->apps);
	d->apps = NULL;
	d->n_apps = 0;
}

static void warn_of_no_resolver(const struct connector_dns *d)
{
	for (size_t i = 0; i < d->n_apps && !d->proxy; i++) {
		const struct netmap_app *app = &d->nm->apps[i];

		if (!d->apps[i] || app->resolve != NETMAP_RESOLVE_CONNECTOR)
			continue;
		log_warn("app %s is resolved here, and there is no resolver to ask: name one "
			 "with --dns-upstream, or in /etc/resolv.conf",
			 app->name);
		return;
	}
}

int connector_dns_reload(struct connector_dns *d, const struct netmap *nm)
{
	int err = 0;

	clear_apps(d);
	d->nm = nm;
	if (!nm->n_apps)
		return 0;
	d->apps = calloc(nm->n_apps, sizeof(struct domains *));
	if (!d->apps)
		return -ENOMEM;
	d->n_apps = nm->n_apps;
	for (size_t i = 0; i < nm->n_apps && !err; i++)
		if (policy_serves(&nm->apps[i], netmap_self(nm)))
			err = domains_new_app(&d->apps[i], &nm->apps[i]);
	if (err)
		clear_apps(d);
	warn_of_no_resolver(d);
	return err;
}

int connector_dns_new(struct connector_dns **out, uv_loop_t *loop,
		      const struct config_socks *upstreams, const struct netmap *nm)
{
	_cleanup_(connector_dns) struct connector_dns *d = calloc(1, sizeof(*d));
	int err = 0;

	if (!d)
		return -ENOMEM;
	if (upstreams->n)
		err = dns_proxy_new(&d->proxy, loop, &proxy_ops, d, upstreams->v, upstreams->n);
	if (!err)
		err = connector_dns_reload(d, nm);
	if (err)
		return err;
	*out = TAKE_PTR(d);
	return 0;
}

void connector_dns_free(struct connector_dns *d)
{
	if (!d)
		return;
	dns_proxy_free(d->proxy);
	clear_apps(d);
	free(d);
}

struct dns_proxy *connector_dns_resolver(const struct connector_dns *d)
{
	return d->proxy;
}

bool connector_dns_covers(const struct connector_dns *d, const struct netmap_app *app,
			  const uint8_t *name)
{
	size_t i = (size_t)(app - d->nm->apps);

	return i < d->n_apps && d->apps[i] && domains_match(d->apps[i], name) != DOMAINS_NONE;
}
