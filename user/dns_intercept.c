/* SPDX-License-Identifier: BSD-3-Clause */
#include "dns_intercept.h"

#include "log.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DNS_PORT 53

struct port {
	uint32_t ifindex;
	uint32_t master;
	char name[IFNAMSIZ];
	bool l2;
	bool named;  /* by one of the patterns, or below one that is */
	bool below;  /* the latter alone */
	bool bridge; /* of a port that is named */
	bool attached;
	bool written; /* `record` is in the map, or nothing where it is empty */
	struct c25_dns_port record;
};

struct dns_intercept {
	const struct config *config;
	struct netlink *nl;
	const struct maps *maps;
	uint32_t overlay;
	int untracked;     /* -1: netlink_untracked_open() is tried again */
	int untracked_err; /* logged */
	struct port *ports;
	size_t n_ports, size;
};

void dns_intercept_free(struct dns_intercept *d)
{
	if (d->untracked >= 0)
		close(d->untracked);
	free(d->ports);
	free(d);
}

/* Whether this daemon would be asked by what it takes. */

static bool is_any(const struct c25_addr *a)
{
	return addr_is4(a) ? !memcmp(a->b + 12, "\0\0\0\0", 4) : addr_is_zero(a);
}

static bool is_taken(const struct config *c, const struct c25_addr *a)
{
	for (size_t i = 0; i < c->n_dns_intercept_to; i++)
		if (prefix_covers(&c->dns_intercept_to[i], a))
			return true;
	return false;
}

struct own {
	const struct config *config;
	bool is4;
	struct c25_addr found;
};

static int find_own(uint32_t ifindex, const struct prefix *p, void *ctx)
{
	struct own *own = ctx;

	if (addr_is4(&p->addr) != own->is4 || !is_taken(own->config, &p->addr))
		return 0;
	own->found = p->addr;
	return 1;
}

static int refuse(const struct sockaddr *listen, const struct c25_addr *asked)
{
	char sock[SOCK_STRLEN], addr[ADDR_STRLEN];

	if (!asked)
		log_error("--dns-listen %s answers on every address of this host, so that with "
			  "--dns-intercept this daemon would ask itself: name one address there, "
			  "or the pods' resolvers in --dns-intercept-to",
			  sock_print(sock, listen));
	else
		log_error("--dns-intercept-to takes questions to %s, where this daemon itself "
			  "listens (--dns-listen %s): it would ask itself",
			  addr_print(addr, asked), sock_print(sock, listen));
	return -ELOOP;
}

static int check_listen(const struct config *config, struct netlink *nl, const struct sockaddr *sa)
{
	struct c25_addr a = sock_addr(sa);
	struct own own = { .config = config, .is4 = sa->sa_family == AF_INET };

	if (sock_port(sa) != DNS_PORT)
		return 0;
	if (!is_any(&a))
		return is_taken(config, &a) ? refuse(sa, &a) : 0;
	if (!config->n_dns_intercept_to)
		return refuse(sa, NULL);
	return netlink_addr_each(nl, find_own, &own) == 1 ? refuse(sa, &own.found) : 0;
}

/* Towards which servers. */

struct wanted {
	const struct maps *maps;
	struct prefix prefix[CONFIG_MAX_TO + 2 * CONFIG_MAX_LISTEN + 2];
	uint32_t what[CONFIG_MAX_TO + 2 * CONFIG_MAX_LISTEN + 2];
	size_t n;
	struct prefix stale[C25_MAX_DNS_TO];
	size_t n_stale;
};

static void want_prefix(struct wanted *w, struct prefix p, uint32_t what)
{
	w->prefix[w->n] = p;
	w->what[w->n++] = what;
}

static void pass_socks(struct wanted *w, const struct config_socks *socks)
{
	for (size_t i = 0; i < socks->n; i++) {
		const struct sockaddr *sa = (const struct sockaddr *)&socks->v[i];

		if (sock_port(sa) == DNS_PORT)
			want_prefix(w, (struct prefix){ .addr = sock_addr(sa), .len = 128 },
				    C25_DNS_TO_PASS);
	}
}

static int find_stale(const void *key, const void *value, void *ctx)
{
	const struct c25_net_key *k = key;
	struct wanted *w = ctx;

	for (size_t i = 0; i < w->n; i++)
		if (w->prefix[i].len == k->prefixlen && addr_equal(&w->prefix[i].addr, &k->addr))
			return 0;
	w->stale[w->n_stale++] = (struct prefix){ .addr = k->addr, .len = (uint8_t)k->prefixlen };
	return w->n_stale == C25_MAX_DNS_TO;
}

static int write_wanted(struct wanted *w)
{
	int err = maps_each(w->maps, MAP_DNS_TO, find_stale, w);

	for (size_t i = 0; i < w->n && err >= 0; i++)
		err = maps_dns_to_put(w->maps, &w->prefix[i], w->what[i]);
	for (size_t i = 0; i < w->n_stale && err >= 0; i++)
		err = maps_dns_to_del(w->maps, &w->stale[i]);
	return err < 0 ? err : 0;
}

static int write_destinations(struct dns_intercept *d)
{
	_cleanup_free_ struct wanted *w = calloc(1, sizeof(*w));
	const struct config *c = d->config;

	if (!w)
		return -ENOMEM;
	w->maps = d->maps;
	for (size_t i = 0; i < c->n_dns_intercept_to; i++)
		want_prefix(w, c->dns_intercept_to[i], C25_DNS_TO_TAKE);
	if (!c->n_dns_intercept_to) {
		want_prefix(w, (struct prefix){ 0 }, C25_DNS_TO_TAKE);
		/* Such an address is another host's on each device. */
		want_prefix(w, (struct prefix){ .addr.b = { 0xfe, 0x80 }, .len = 10 },
			    C25_DNS_TO_PASS);
		pass_socks(w, &c->dns_upstream);
		pass_socks(w, &c->dns_listen);
	}
	return write_wanted(w);
}

int dns_intercept_check(const struct config *config, struct netlink *nl)
{
	int err = 0;

	if (config->dns_listen_off || !config->n_dns_intercept)
		return 0;
	for (size_t i = 0; i < config->dns_listen.n && !err; i++)
		err = check_listen(config, nl, (const struct sockaddr *)&config->dns_listen.v[i]);
	return err;
}

/* Once this host does NAT, which may begin after us: without it, its packets need not be looked at.
 * What fails here is no reason to fail. */
static void put_untracked(struct dns_intercept *d)
{
	int fd;

	if (d->untracked >= 0 || !netlink_nat_there())
		return;
	fd = netlink_untracked_open();
	if (fd >= 0)
		d->untracked = fd;
	else if (fd != d->untracked_err)
		log_warn("table inet conn25 of nftables: %s; where this host's NAT translates the "
			 "pods' resolvers, their questions go astray",
			 strerror(-fd));
	d->untracked_err = fd;
}

int dns_intercept_new(struct dns_intercept **out, const struct config *config, struct netlink *nl,
		      const struct maps *maps)
{
	_cleanup_(dns_intercept) struct dns_intercept *d = calloc(1, sizeof(*d));
	const char *said;
	int err;

	if (!d)
		return log_errno(ENOMEM, "take DNS");
	d->config = config;
	d->nl = nl;
	d->maps = maps;
	d->untracked = -1;
	err = write_destinations(d);
	if (err)
		return log_errno(-err, "write the resolvers whose questions are taken");
	err = netlink_mark_put(nl);
	if (err) {
		said = netlink_error(nl);
		return log_errno(-err, "rule and route for DNS that is taken%s%s",
				 *said ? ": " : "", said);
	}
	*out = TAKE_PTR(d);
	return 0;
}

/* Devices. */

static bool name_matches(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_dns_intercept; i++)
		if (!fnmatch(c->dns_intercept[i], name, 0))
			return true;
	return false;
}

/* With br_netfilter a packet meets the host's NAT at the port of a bridge, and not behind it. */
static bool ports_come_first(void)
{
	static const char *const settings[] = {
		"/proc/sys/net/bridge/bridge-nf-call-iptables",
		"/proc/sys/net/bridge/bridge-nf-call-ip6tables",
	};
	bool set = false;

	for (size_t i = 0; i < ARRAY_SIZE(settings) && !set; i++) {
		_cleanup_fclose_ FILE *f = fopen(settings[i], "re");

		set = f && fgetc(f) == '1';
	}
	return set;
}

static bool bridge_of(struct dns_intercept *d, struct netlink_link *out, uint32_t master)
{
	return master && !netlink_link_get_index(d->nl, master, out) &&
	       !strcmp(out->kind, "bridge");
}

static bool is_below(struct dns_intercept *d, const struct netlink_link *l)
{
	struct netlink_link bridge;

	return ports_come_first() && bridge_of(d, &bridge, l->master) &&
	       name_matches(d->config, bridge.name);
}

static struct port *port_find(struct dns_intercept *d, uint32_t ifindex)
{
	for (size_t i = 0; i < d->n_ports; i++)
		if (d->ports[i].ifindex == ifindex)
			return &d->ports[i];
	return NULL;
}

static struct port *port_get(struct dns_intercept *d, const struct netlink_link *l)
{
	struct port *p = port_find(d, l->ifindex), *more;

	if (!p && d->n_ports == d->size) {
		size_t size = d->size ? 2 * d->size : 16;

		more = reallocarray(d->ports, size, sizeof(*more));
		if (!more)
			return NULL;
		d->ports = more;
		d->size = size;
	}
	if (!p) {
		p = &d->ports[d->n_ports++];
		*p = (struct port){ .ifindex = l->ifindex };
	}
	memcpy(p->name, l->name, sizeof(p->name));
	p->l2 = l->l2;
	p->master = l->master;
	return p;
}

static int want_named(const struct netlink_link *l, void *ctx)
{
	struct dns_intercept *d = ctx;
	bool below = false;
	struct port *p;

	if (l->ifindex == d->overlay || !strcmp(l->name, "lo"))
		return 0;
	if (!name_matches(d->config, l->name)) {
		below = is_below(d, l);
		if (!below)
			return 0;
	}
	p = port_get(d, l);
	if (!p)
		return -ENOMEM;
	p->named = true;
	p->below = below;
	return 0;
}

/* What the programs must know of a device; a port's bridge is taken up too. */
static int describe(struct dns_intercept *d, size_t i, struct c25_dns_port *out)
{
	struct netlink_link bridge;
	struct port *p;

	*out = (struct c25_dns_port){ 0 };
	if (!d->ports[i].named)
		out->flags = C25_PORT_MARKED;
	else if (bridge_of(d, &bridge, d->ports[i].master)) {
		p = port_get(d, &bridge);
		if (!p)
			return -ENOMEM;
		p->bridge = true;
		out->flags = C25_PORT_BRIDGED;
		if (d->ports[i].below)
			out->flags |= C25_PORT_UPWARDS;
		memcpy(out->mac, bridge.mac, sizeof(out->mac));
	}
	return 0;
}

static int write_port(struct dns_intercept *d, size_t i)
{
	struct c25_dns_port record;
	struct port *p;
	int err = describe(d, i, &record);

	if (err)
		return err;
	p = &d->ports[i];
	if (p->written && !memcmp(&p->record, &record, sizeof(record)))
		return 0;
	/* An earlier daemon's device may have had this index. */
	err = record.flags ? maps_dns_port_put(d->maps, p->ifindex, &record) :
			     maps_dns_port_del(d->maps, p->ifindex);
	if (err && err != -ENOENT)
		return err;
	p->record = record;
	p->written = true;
	return 0;
}

static void remove_at(struct dns_intercept *d, size_t i, struct datapath *dp)
{
	struct port *p = &d->ports[i];

	maps_dns_port_del(d->maps, p->ifindex);
	if (p->attached && !datapath_detach(dp, DATAPATH_DNS, p->ifindex))
		log_debug("DNS on %s: no longer taken", p->name);
	*p = d->ports[--d->n_ports];
}

/* Bridges before their ports, which hand up to them. Each again with every sync: another device may
 * have its index by now. */
static int attach(struct dns_intercept *d, struct datapath *dp, bool bridges)
{
	int result = 0, err;

	for (size_t i = 0; i < d->n_ports; i++) {
		struct port *p = &d->ports[i];

		if (p->bridge != bridges)
			continue;
		err = datapath_attach(dp, DATAPATH_DNS, p->ifindex, p->l2);
		if (err)
			result = err;
		else if (!p->attached)
			log_info("DNS on %s: taken%s", p->name,
				 p->named ? "" : " from its ports that are named");
		p->attached = !err;
	}
	return result;
}

int dns_intercept_sync(struct dns_intercept *d, struct datapath *dp, uint32_t overlay)
{
	int err, later;

	d->overlay = overlay;
	for (size_t i = 0; i < d->n_ports; i++)
		d->ports[i].named = d->ports[i].bridge = false;
	put_untracked(d);
	err = netlink_mark_put(d->nl);
	if (!err)
		err = netlink_link_each(d->nl, want_named, d);
	/* Bridges are added at the end, and are none's ports here. */
	for (size_t i = 0; i < d->n_ports && !err; i++)
		if (d->ports[i].named)
			err = write_port(d, i);
	for (size_t i = 0; i < d->n_ports && !err; i++)
		if (d->ports[i].bridge && !d->ports[i].named)
			err = write_port(d, i);
	if (err)
		return log_errno(-err, "look for devices on which DNS is to be taken");
	for (size_t i = d->n_ports; i-- > 0;)
		if (!d->ports[i].named && !d->ports[i].bridge)
			remove_at(d, i, dp);
	err = attach(d, dp, true);
	later = attach(d, dp, false);
	return err ?: later;
}
