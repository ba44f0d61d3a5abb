/* SPDX-License-Identifier: BSD-3-Clause */
#include "maps.h"

#include "cleanup.h"
#include "maps_internal.h"

#include <bpf/bpf.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const names[MAP_COUNT] = {
#define MAPS_NAME(id, name) [MAP_##id] = "c25_" #name,
	MAPS(MAPS_NAME)
#undef MAPS_NAME
};

const struct maps_shape maps_shapes[MAP_COUNT] = {
	[MAP_META] = { sizeof(uint32_t), sizeof(struct c25_meta) },
	[MAP_NETS] = { sizeof(struct c25_net_key), sizeof(struct c25_net) },
	[MAP_PEERS] = { sizeof(uint32_t), sizeof(struct c25_peer) },
	[MAP_OVERLAY] = { sizeof(uint32_t), sizeof(struct c25_overlay) },
	[MAP_DEVS] = { sizeof(uint32_t), sizeof(struct c25_dev) },
	[MAP_APPS] = { sizeof(uint32_t), sizeof(struct c25_app) },
	[MAP_REASONS] = { sizeof(uint32_t), sizeof(struct c25_count) },
	[MAP_EVENTS] = { 0, 0 },
	[MAP_TICK] = { sizeof(uint32_t), sizeof(struct c25_tick) },
	[MAP_MAGIC] = { sizeof(struct c25_addr), sizeof(struct c25_magic) },
	[MAP_TRANSIT] = { sizeof(struct c25_addr), sizeof(struct c25_transit) },
	[MAP_LEASES] = { sizeof(struct c25_addr), sizeof(struct c25_lease) },
	[MAP_KEPT] = { sizeof(struct c25_addr), sizeof(struct c25_kept) },
	[MAP_BEGUN] = { sizeof(struct c25_tuple), sizeof(struct c25_begun) },
	[MAP_MAPPINGS] = { sizeof(struct c25_mapping_key), sizeof(struct c25_mapping) },
	[MAP_FLOWS] = { sizeof(uint32_t), sizeof(struct c25_flow) },
	[MAP_NAMES] = { sizeof(uint64_t), sizeof(struct c25_name) },
	[MAP_ENDS] = { sizeof(uint32_t), sizeof(struct c25_ends) },
	[MAP_DNS_TO] = { sizeof(struct c25_net_key), sizeof(uint32_t) },
	[MAP_DNS_PORTS] = { sizeof(uint32_t), sizeof(struct c25_dns_port) },
	[MAP_ANSWERS] = { sizeof(uint64_t), sizeof(struct c25_answer) },
	[MAP_DOWN] = { sizeof(uint32_t), sizeof(uint32_t) },
	[MAP_SOCKS] = { sizeof(uint32_t), sizeof(uint32_t) },
};

const char *maps_name(enum map_id id)
{
	return names[id];
}

/* Pins of another version must not be read as ours: each fd is checked for the sizes we expect. */
static int open_pin(const char *pin, enum map_id id)
{
	_cleanup_close_ int fd = -1;
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);
	char path[PATH_MAX];
	int err;

	if ((size_t)snprintf(path, sizeof(path), "%s/maps/%s", pin, names[id]) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	err = bpf_obj_get_info_by_fd(fd, &info, &len);
	if (err)
		return err;
	if (info.key_size != maps_shapes[id].key || info.value_size != maps_shapes[id].value)
		return -EUCLEAN;
	return TAKE_FD(fd);
}

int maps_open(struct maps *m, const char *pin)
{
	struct c25_meta meta;
	struct maps opened;
	int err = 0;

	for (int id = 0; id < MAP_COUNT; id++)
		opened.fd[id] = -1;
	for (int id = 0; id < MAP_COUNT; id++) {
		int fd = open_pin(pin, id);

		if (fd >= 0)
			opened.fd[id] = fd;
		else if (fd != -ENOENT || id == MAP_META)
			err = fd;
		if (err)
			break;
	}
	if (!err)
		err = maps_meta_get(&opened, &meta);
	if (!err && meta.layout != C25_LAYOUT)
		err = -EUCLEAN;
	if (err) {
		maps_close(&opened);
		return err;
	}
	*m = opened;
	return 0;
}

int maps_dup(struct maps *out, const struct maps *m)
{
	struct maps copy;
	int err = 0;

	for (size_t i = 0; i < MAP_COUNT; i++) {
		copy.fd[i] = m->fd[i] < 0 || err ? -1 : fcntl(m->fd[i], F_DUPFD_CLOEXEC, 0);
		if (m->fd[i] >= 0 && !err && copy.fd[i] < 0)
			err = -errno;
	}
	if (err) {
		maps_close(&copy);
		return err;
	}
	*out = copy;
	return 0;
}

void maps_close(struct maps *m)
{
	for (int id = 0; id < MAP_COUNT; id++) {
		if (m->fd[id] >= 0)
			close(m->fd[id]);
		m->fd[id] = -1;
	}
}

static int get(const struct maps *m, enum map_id id, const void *key, void *value)
{
	return bpf_map_lookup_elem(m->fd[id], key, value);
}

static int put(const struct maps *m, enum map_id id, const void *key, const void *value)
{
	return bpf_map_update_elem(m->fd[id], key, value, BPF_ANY);
}

static int del(const struct maps *m, enum map_id id, const void *key)
{
	return bpf_map_delete_elem(m->fd[id], key);
}

int maps_meta_get(const struct maps *m, struct c25_meta *out)
{
	return get(m, MAP_META, &(uint32_t){ 0 }, out);
}

int maps_meta_put(const struct maps *m, const struct c25_meta *v)
{
	return put(m, MAP_META, &(uint32_t){ 0 }, v);
}

int maps_net_put(const struct maps *m, const struct prefix *p, const struct c25_net *v)
{
	return put(m, MAP_NETS, &(struct c25_net_key){ .prefixlen = p->len, .addr = p->addr }, v);
}

int maps_net_del(const struct maps *m, const struct prefix *p)
{
	return del(m, MAP_NETS, &(struct c25_net_key){ .prefixlen = p->len, .addr = p->addr });
}

int maps_peer_put(const struct maps *m, uint32_t index, const struct c25_peer *v)
{
	return put(m, MAP_PEERS, &index, v);
}

int maps_peer_get(const struct maps *m, uint32_t index, struct c25_peer *out)
{
	return get(m, MAP_PEERS, &index, out);
}

int maps_overlay_get(const struct maps *m, struct c25_overlay *out)
{
	uint32_t zero = 0;

	return get(m, MAP_OVERLAY, &zero, out);
}

int maps_overlay_put(const struct maps *m, const struct c25_overlay *v)
{
	uint32_t zero = 0;

	return put(m, MAP_OVERLAY, &zero, v);
}

int maps_dev_put(const struct maps *m, uint32_t ifindex, const struct c25_dev *v)
{
	return put(m, MAP_DEVS, &ifindex, v);
}

int maps_dev_del(const struct maps *m, uint32_t ifindex)
{
	return del(m, MAP_DEVS, &ifindex);
}

int maps_app_put(const struct maps *m, uint32_t id, const char *name)
{
	struct c25_app app = { 0 };

	size_t len = strlen(name);

	if (len >= sizeof(app.name))
		return -ENAMETOOLONG;
	memcpy(app.name, name, len);
	return put(m, MAP_APPS, &id, &app);
}

int maps_app_get(const struct maps *m, uint32_t id, struct c25_app *out)
{
	return get(m, MAP_APPS, &id, out);
}

/*
 * A value is replaced whole, so what packets add between our look and our write is not counted.
 * That window is a microsecond, and an entry that already says the same is not written at all.
 */
static int transit_put(const struct maps *m, const struct c25_addr *magic,
		       const struct c25_addr *transit, uint32_t peer, uint32_t peer2)
{
	struct c25_transit v = { 0 };
	int err = get(m, MAP_TRANSIT, transit, &v);

	if (err && err != -ENOENT)
		return err;
	if (!err && addr_equal(&v.magic, magic) && v.peer == peer && v.peer2 == peer2)
		return 0;
	v.magic = *magic;
	v.peer = peer;
	v.peer2 = peer2;
	return put(m, MAP_TRANSIT, transit, &v);
}

static int magic_put(const struct maps *m, const struct c25_addr *magic,
		     const struct c25_addr *transit, uint32_t peer, uint32_t flags)
{
	struct c25_magic v = { 0 };
	int err = get(m, MAP_MAGIC, magic, &v);

	if (err && err != -ENOENT)
		return err;
	if (!err && addr_equal(&v.transit, transit) && v.peer == peer && v.flags == flags)
		return 0;
	v.transit = *transit;
	v.peer = peer;
	v.flags = flags;
	return put(m, MAP_MAGIC, magic, &v);
}

int maps_client_put(const struct maps *m, const struct c25_addr *magic,
		    const struct c25_addr *transit, uint32_t peer, uint32_t peer2, uint32_t flags)
{
	int err = transit_put(m, magic, transit, peer, peer2);

	if (err)
		return err;
	return magic_put(m, magic, transit, peer, flags);
}

int maps_magic_del(const struct maps *m, const struct c25_addr *magic)
{
	return del(m, MAP_MAGIC, magic);
}

int maps_transit_del(const struct maps *m, const struct c25_addr *transit)
{
	return del(m, MAP_TRANSIT, transit);
}

int maps_client_del(const struct maps *m, const struct c25_addr *magic,
		    const struct c25_addr *transit)
{
	int out = maps_magic_del(m, magic), back = maps_transit_del(m, transit);

	if (out && out != -ENOENT)
		return out;
	if (back && back != -ENOENT)
		return back;
	return out && back ? -ENOENT : 0;
}

int maps_magic_get(const struct maps *m, const struct c25_addr *magic, struct c25_magic *out)
{
	return get(m, MAP_MAGIC, magic, out);
}

int maps_transit_get(const struct maps *m, const struct c25_addr *transit, struct c25_transit *out)
{
	return get(m, MAP_TRANSIT, transit, out);
}

int maps_kept_put(const struct maps *m, const struct c25_addr *magic, const struct c25_kept *v)
{
	return put(m, MAP_KEPT, magic, v);
}

int maps_kept_get(const struct maps *m, const struct c25_addr *magic, struct c25_kept *out)
{
	return get(m, MAP_KEPT, magic, out);
}

int maps_kept_del(const struct maps *m, const struct c25_addr *magic)
{
	return del(m, MAP_KEPT, magic);
}

int maps_lease_put(const struct maps *m, const struct c25_addr *magic, const struct c25_lease *v)
{
	return put(m, MAP_LEASES, magic, v);
}

int maps_lease_del(const struct maps *m, const struct c25_addr *magic)
{
	return del(m, MAP_LEASES, magic);
}

int maps_mapping_put(const struct maps *m, const struct c25_mapping_key *k,
		     const struct c25_addr *real, uint32_t app, uint32_t peer, uint64_t now)
{
	struct c25_mapping v = { 0 };
	int err = get(m, MAP_MAPPINGS, k, &v);

	if (err && err != -ENOENT)
		return err;
	if (err || !addr_equal(&v.real, real) || v.app != app)
		v.registered = now;
	v.real = *real;
	v.app = app;
	v.peer = peer;
	v.last_seen = now;
	return put(m, MAP_MAPPINGS, k, &v);
}

int maps_mapping_get(const struct maps *m, const struct c25_mapping_key *k, struct c25_mapping *out)
{
	return get(m, MAP_MAPPINGS, k, out);
}

int maps_mapping_del(const struct maps *m, const struct c25_mapping_key *k)
{
	return del(m, MAP_MAPPINGS, k);
}

int maps_name_put(const struct maps *m, uint64_t hash, const struct c25_name *v)
{
	return put(m, MAP_NAMES, &hash, v);
}

int maps_name_del(const struct maps *m, uint64_t hash)
{
	return del(m, MAP_NAMES, &hash);
}

int maps_ends_get(const struct maps *m, struct c25_ends *out)
{
	return get(m, MAP_ENDS, &(uint32_t){ 0 }, out);
}

int maps_ends_put(const struct maps *m, const struct c25_ends *v)
{
	return put(m, MAP_ENDS, &(uint32_t){ 0 }, v);
}

int maps_dns_to_put(const struct maps *m, const struct prefix *p, uint32_t what)
{
	return put(m, MAP_DNS_TO, &(struct c25_net_key){ .prefixlen = p->len, .addr = p->addr },
		   &what);
}

int maps_dns_to_del(const struct maps *m, const struct prefix *p)
{
	return del(m, MAP_DNS_TO, &(struct c25_net_key){ .prefixlen = p->len, .addr = p->addr });
}

int maps_dns_port_put(const struct maps *m, uint32_t ifindex, const struct c25_dns_port *v)
{
	return put(m, MAP_DNS_PORTS, &ifindex, v);
}

int maps_dns_port_del(const struct maps *m, uint32_t ifindex)
{
	return del(m, MAP_DNS_PORTS, &ifindex);
}

int maps_answer_put(const struct maps *m, uint64_t hash, const struct c25_answer *v)
{
	return put(m, MAP_ANSWERS, &hash, v);
}

int maps_answer_del(const struct maps *m, uint64_t hash)
{
	return del(m, MAP_ANSWERS, &hash);
}

int maps_down_put(const struct maps *m, uint32_t peer)
{
	return put(m, MAP_DOWN, &peer, &(uint32_t){ 1 });
}

int maps_down_del(const struct maps *m, uint32_t peer)
{
	return del(m, MAP_DOWN, &peer);
}

int maps_sock_put(const struct maps *m, enum c25_sock which, int fd)
{
	uint32_t key = which, value = (uint32_t)fd;

	return put(m, MAP_SOCKS, &key, &value);
}

static const struct {
	const char *name;
	const char *text;
	bool drop;
} reasons[C25_REASON_MAX] = {
#define REASON(id, dropped, says) [C25_REASON_##id] = { #id, says, dropped },
	C25_REASONS(REASON)
#undef REASON
};

const char *maps_reason_name(enum c25_reason r)
{
	static _Thread_local char lower[C25_REASON_MAX][32];

	if (r >= C25_REASON_MAX)
		return "unknown";
	for (size_t i = 0; reasons[r].name[i] && i + 1 < sizeof(lower[r]); i++)
		lower[r][i] = (char)tolower((unsigned char)reasons[r].name[i]);
	return lower[r];
}

const char *maps_reason_text(enum c25_reason r)
{
	return r < C25_REASON_MAX ? reasons[r].text : "unknown";
}

bool maps_reason_is_drop(enum c25_reason r)
{
	return r < C25_REASON_MAX && reasons[r].drop;
}
