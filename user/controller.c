/* SPDX-License-Identifier: BSD-3-Clause */
#include "controller.h"

#include "controller_int.h"
#include "log.h"
#include "notify.h"
#include "policy.h"
#include "version.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_MS     100
#define MINUTE_MS     60000
#define ROLE_AGAIN_MS 5000 /* and then with each sync */

/* Netmap. */

static int read_netmap(struct controller *c, struct netmap **out)
{
	_cleanup_netmap_ struct netmap *nm = NULL;
	struct netmap_fault fault;
	int err = netmap_read(&nm, c->config->netmap, c->config->node, &fault);

	if (err) {
		char why[sizeof(fault) + 4];

		snprintf(why, sizeof(why), "%s%s%s", fault.path, fault.path[0] ? ": " : "",
			 fault.text);
		log_error("%s: %s", c->config->netmap, why);
		events_tell(c->events, "netmap-refused", ev_text("why", why));
		return err;
	}
	for (size_t i = 0; i < nm->n_warnings; i++)
		log_warn("%s: %s", c->config->netmap, nm->warnings[i]);
	c->loaded_at = time(NULL);
	*out = TAKE_PTR(nm);
	return 0;
}

static bool is_client(const struct netmap *nm)
{
	for (size_t i = 0; i < nm->n_apps; i++)
		if (policy_may_use(&nm->apps[i], netmap_self(nm)))
			return true;
	return false;
}

static bool is_connector(const struct netmap *nm)
{
	for (size_t i = 0; i < nm->n_apps; i++)
		if (policy_serves(&nm->apps[i], netmap_self(nm)))
			return true;
	return false;
}

/* Datapath: programs and maps of the roles that this node has. */

static int open_datapath(struct controller *c, bool client, bool connector)
{
	const struct config *f = c->config;
	struct datapath_config cfg = {
		.pin = f->pin,
		.client = client,
		.connector = connector,
		.dns = client && f->n_dns_intercept,
		.dns_open = f->dns_fail_open,
		.tunnel_key = overlay_tunnel_key(c->overlay),
		.nat_lo = f->nat_lo,
		.nat_hi = f->nat_hi,
		.max_mappings = f->max_mappings,
		.max_flows = f->max_flows,
		.version = CONN25_VERSION,
	};
	struct datapath *old = c->datapath;
	int err;

	err = datapath_open(&c->datapath, &cfg);
	if (err)
		return err;
	/* Before its descriptor is closed with the old datapath. */
	controller_unwatch_events(c);
	if (old)
		datapath_free(old);
	c->maps = *datapath_maps(c->datapath);
	return 0;
}

/* Everything the programs need to know is written before they are attached. */
static int sync_all(struct controller *c, const struct netmap *nm)
{
	const struct netlink_link *link;
	int err;

	controller_forget_via(c);
	err = controller_sync_overlay(c, nm);
	if (err)
		return err;
	link = overlay_link(c->overlay);
	err = peers_sync(c->peers, nm);
	if (!err)
		err = controller_write_overlay(c, nm);
	if (err)
		return log_errno(-err, "write the netmap to the maps");
	if (c->wg) {
		err = wg_sync_device(c->wg, link);
		if (err)
			return err;
	}
	err = datapath_attach(c->datapath, DATAPATH_OVERLAY, link->ifindex, link->l2);
	if (!err && c->connector)
		uplinks_sync(c->uplinks, c->datapath, link);
	if (!err && c->intercept)
		dns_intercept_sync(c->intercept, c->datapath, link->ifindex);
	return err;
}

static int sync_kernel(struct controller *c, const struct netmap *nm)
{
	c->kernel_err = sync_all(c, nm);
	return c->kernel_err;
}

/* Roles. */

static struct config_socks dns_socks(const struct config *f)
{
	struct config_socks socks = f->dns_listen;

	if (!socks.n && !f->dns_listen_off)
		sock_parse(&socks.v[socks.n++], "127.0.0.1:53", 0);
	return socks;
}

static int start_client(struct controller *c, const struct netmap *nm)
{
	struct config_socks socks = dns_socks(c->config);
	struct client_deps deps = {
		.loop = &c->loop,
		.config = c->config,
		.maps = &c->maps,
		.peers = c->peers,
		.apps = c->apps,
		.http = c->http,
		.wg = c->wg,
		.events = c->events,
		.tls = c->tls,
	};
	int err = controller_check_upstreams(c, &socks);

	if (err)
		return err;
	return client_new(&c->client, &deps, nm);
}

static int start_connector(struct controller *c, const struct netmap *nm)
{
	struct connector_deps deps = {
		.loop = &c->loop,
		.config = c->config,
		.maps = &c->maps,
		.datapath = &c->datapath,
		.uplinks = c->uplinks,
		.peers = c->peers,
		.apps = c->apps,
		.events = c->events,
		.tls = c->tls,
	};

	return connector_new(&c->connector, &deps, nm);
}

/* Again with each sync, for those that failed: what holds a port may let go of it. */
static int listen_roles(struct controller *c)
{
	struct config_socks socks = dns_socks(c->config);
	int err = 0, failed = 0;

	if (c->client)
		err = client_listen(c->client, &socks);
	if (c->connector)
		failed = connector_listen(c->connector, &c->config->peerapi_listen);
	c->listen_err = err ?: failed;
	return c->listen_err;
}

static void tell_role(struct controller *c, const char *role, int err)
{
	events_tell(c->events, "role", ev_text("role", role),
		    ev_text("change", err ? "could not be taken up" : "taken up"));
}

/* Roles are only ever added: one that the netmap takes away has nothing left to do. */
static int add_roles(struct controller *c, const struct netmap *nm)
{
	bool client = c->client || is_client(nm), connector = c->connector || is_connector(nm);
	int err = 0;

	if (!c->datapath || client != !!c->client || connector != !!c->connector) {
		err = open_datapath(c, client, connector);
		if (!err)
			err = controller_watch_events(c);
		if (err)
			return err;
	}
	if (!c->peers)
		err = peers_new(&c->peers, &c->maps);
	if (!err && !c->apps)
		err = apps_new(&c->apps, &c->maps);
	if (!err)
		err = peers_sync(c->peers, nm);
	if (err)
		return log_errno(-err, "read the pinned maps");
	if (client && !c->client) {
		err = start_client(c, nm);
		tell_role(c, "client", err);
	}
	if (!err && connector && !c->connector) {
		controller_warn_of_ports(c->config);
		err = start_connector(c, nm);
		tell_role(c, "connector", err);
	}
	return err;
}

/* The netmap in force gives this node a role that could not be started. */
static bool lacks_role(const struct controller *c)
{
	return (!c->client && is_client(c->nm)) || (!c->connector && is_connector(c->nm));
}

static void on_sync(uv_timer_t *t);

/* Reload. */

static bool same_addresses(const struct netmap *a, const struct netmap *b)
{
	const struct netmap_node *x = netmap_self(a), *y = netmap_self(b);

	return addr_equal(&x->overlay4, &y->overlay4) && addr_equal(&x->overlay6, &y->overlay6);
}

/* The peer API listens on own addresses; everything else it knows is in the maps. */
static int restart_connector(struct controller *c, const struct netmap *nm)
{
	connector_free(c->connector);
	c->connector = NULL;
	return start_connector(c, nm);
}

static void apply(struct controller *c, struct netmap *nm)
{
	struct netmap *old = c->nm;
	bool moved = !same_addresses(old, nm);

	c->nm = nm;
	if (c->wg)
		wg_sync_netmap(c->wg, nm, c->peers);
	add_roles(c, nm);
	if (c->connector && moved)
		restart_connector(c, nm);
	if (c->client)
		client_reload(c->client, nm);
	if (c->connector)
		connector_reload(c->connector, nm);
	sync_kernel(c, nm);
	controller_intercept(c, nm);
	listen_roles(c);
	controller_check_tls(c, nm);
	if (lacks_role(c))
		uv_timer_start(&c->minute, on_sync, ROLE_AGAIN_MS, MINUTE_MS);
	netmap_free(old);
}

static void reload(struct controller *c)
{
	struct netmap *nm;

	if (read_netmap(c, &nm)) {
		c->reloads_refused++;
		c->reload_failed = true;
		log_error("%s was refused; the netmap before stays in force", c->config->netmap);
		return;
	}
	apply(c, nm);
	c->reloads_ok++;
	c->reload_failed = false;
	log_info("netmap reloaded: nodes: %zu, apps: %zu", nm->n_nodes, nm->n_apps);
	events_tell(c->events, "netmap", ev_number("nodes", nm->n_nodes),
		    ev_number("apps", nm->n_apps));
}

static void on_netmap(void *ctx)
{
	reload(ctx);
}

/* The loop's events. */

static void on_stop(uv_signal_t *s, int signum)
{
	log_info("stopped by %s", signum == SIGTERM ? "SIGTERM" : "SIGINT");
	uv_stop(s->loop);
}

static void on_hup(uv_signal_t *s, int signum)
{
	(void)signum;
	reload(s->data);
}

/* `conn25 detach` ran beside us: what it took away must not come back under its hands. */
static bool detached(struct controller *c)
{
	if (datapath_pinned(c->datapath))
		return false;
	log_error("the pins below %s are gone: detached; ending", c->config->pin);
	c->failed = -ESTALE;
	uv_stop(&c->loop);
	return true;
}

/* What kept a role from starting may have passed. */
static void retry_roles(struct controller *c)
{
	if (!lacks_role(c) || add_roles(c, c->nm))
		return;
	log_info("role taken up: node %s is now%s%s", c->config->node, c->client ? " client" : "",
		 c->connector ? " connector" : "");
	controller_intercept(c, c->nm);
}

/* Of network changes that have settled, and of each minute. */
static void on_sync(uv_timer_t *t)
{
	struct controller *c = t->data;

	if (detached(c))
		return;
	retry_roles(c);
	sync_kernel(c, c->nm);
	listen_roles(c);
	if (c->tls)
		tls_check(c->tls, netmap_self(c->nm));
}

static void on_netlink(uv_poll_t *p, int status, int events)
{
	struct controller *c = p->data;
	int news = netlink_watch_read(c->netlink);

	(void)status;
	(void)events;
	if (news <= 0 || uv_is_active((uv_handle_t *)&c->settle))
		return;
	if (news & NETLINK_NEWS || overlay_neigh_stale(c->overlay, c->nm))
		uv_timer_start(&c->settle, on_sync, SETTLE_MS, 0);
}

/* From the first moment on: one that comes during the start takes effect at its end. */
static int watch_signals(struct controller *c)
{
	uv_signal_t *signals[] = { &c->sigterm, &c->sigint, &c->sighup };
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		uv_signal_init(&c->loop, signals[i]);
		signals[i]->data = c;
	}
	err = uv_signal_start(&c->sigterm, on_stop, SIGTERM);
	if (!err)
		err = uv_signal_start(&c->sigint, on_stop, SIGINT);
	if (!err)
		err = uv_signal_start(&c->sighup, on_hup, SIGHUP);
	return err ? log_errno(-err, "watch signals") : 0;
}

static int watch_network(struct controller *c)
{
	int err = uv_poll_init(&c->loop, &c->netlink_poll, netlink_watch_fd(c->netlink));

	if (err)
		return log_errno(-err, "watch the network");
	uv_timer_init(&c->loop, &c->settle);
	uv_timer_init(&c->loop, &c->minute);
	c->settle.data = c->minute.data = c->netlink_poll.data = c;
	uv_timer_start(&c->minute, on_sync, MINUTE_MS, MINUTE_MS);
	uv_poll_start(&c->netlink_poll, UV_READABLE, on_netlink);
	return 0;
}

static int start(struct controller *c)
{
	const struct config *f = c->config;
	struct overlay_config overlay = {
		.mode = f->overlay,
		.dev = f->dev,
		.vxlan_port = f->vxlan_port,
	};
	int err;

	controller_raise_descriptors();
	err = watch_signals(c);
	if (err)
		return err;
	/* Watched before it is read, so that no change falls in between. */
	err = file_watch_new(&c->watch, &c->loop, f->netmap, on_netmap, c);
	if (err)
		return log_errno(-err, "watch %s", f->netmap);
	err = read_netmap(c, &c->nm);
	if (!err)
		err = events_new(&c->events);
	if (!err)
		err = control_new(&c->control, &c->loop, f->control, &controller_control_ops,
				  c->events, c);
	if (err)
		return err;
	if (f->metrics_listen.n)
		err = metrics_server_new(&c->metrics, &c->loop,
					 (const struct sockaddr *)&f->metrics_listen.v[0],
					 &controller_metrics_ops, c);
	if (err)
		return err;
	c->fresh = access(f->pin, F_OK);
	err = netlink_open(&c->netlink);
	if (err)
		return log_errno(-err, "open netlink");
	err = dns_intercept_check(f, c->netlink);
	if (!err)
		err = overlay_open(&c->overlay, &overlay, c->netlink);
	if (!err)
		err = controller_open_tls(c);
	if (!err)
		err = peerapi_client_new(&c->http, &c->loop);
	if (!err)
		peerapi_client_set_tls(c->http, c->tls);
	if (!err)
		err = uplinks_new(&c->uplinks, f, c->netlink);
	if (!err && f->overlay == OVERLAY_WIREGUARD)
		err = wg_sync_new(&c->wg, &c->loop, &c->maps);
	if (!err)
		err = add_roles(c, c->nm);
	if (!err && c->wg)
		wg_sync_netmap(c->wg, c->nm, c->peers);
	if (!err)
		err = sync_kernel(c, c->nm);
	if (!err)
		err = controller_intercept(c, c->nm);
	/* Devices that were ours before a restart and are not now. */
	if (!err)
		datapath_sweep(c->datapath);
	if (!err)
		err = listen_roles(c);
	if (!err)
		err = watch_network(c);
	return err;
}

static void close_own(uv_handle_t *h, void *ctx)
{
	char *at = (char *)h, *own = ctx;

	if (at >= own && at < own + sizeof(struct controller) && !uv_is_closing(h))
		uv_close(h, NULL);
}

/* `clear`: the datapath goes as well; else it stays and keeps translating. */
static void stop(struct controller *c, bool clear)
{
	if (c->watch)
		file_watch_free(c->watch);
	if (c->http)
		peerapi_client_free(c->http);
	if (c->client)
		client_free(c->client);
	if (c->connector)
		connector_free(c->connector);
	if (c->wg)
		wg_sync_free(c->wg);
	tls_free(c->tls);
	metrics_server_free(c->metrics);
	if (c->control)
		control_free(c->control);
	controller_unwatch_events(c);
	uv_walk(&c->loop, close_own, c);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	uv_loop_close(&c->loop);

	if (c->uplinks)
		uplinks_free(c->uplinks);
	if (c->apps)
		apps_free(c->apps);
	if (c->peers)
		peers_free(c->peers);
	if (clear && c->datapath)
		controller_leave_wireguard(c);
	if (c->datapath)
		datapath_free(c->datapath);
	if (clear && c->datapath)
		datapath_remove(c->config->pin);
	if (clear && c->netlink)
		netlink_remove_ours(c->netlink);
	if (c->intercept)
		dns_intercept_free(c->intercept);
	if (c->overlay)
		overlay_free(c->overlay);
	if (c->netlink)
		netlink_free(c->netlink);
	if (c->nm)
		netmap_free(c->nm);
	events_free(c->events);
}

int controller_run(const struct config *config)
{
	_cleanup_free_ struct controller *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return log_errno(ENOMEM, "start");
	c->config = config;
	err = uv_loop_init(&c->loop);
	if (err)
		return log_errno(-err, "start the event loop");
	err = start(c);
	if (!err) {
		log_info("ready: node %s%s%s, nodes: %zu, apps: %zu", config->node,
			 c->client ? ", client" : "", c->connector ? ", connector" : "",
			 c->nm->n_nodes, c->nm->n_apps);
		c->started = true;
		notify_ready();
		uv_run(&c->loop, UV_RUN_DEFAULT);
		notify_stopping();
	}
	/* A first start that fails leaves the host as it was. */
	stop(c, err ? c->fresh : config->detach_on_exit);
	return err ? err : c->failed;
}
