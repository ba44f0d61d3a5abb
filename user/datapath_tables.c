/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath_tables.h"

#include "datapath_pin.h"
#include "log.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define WAY_OUT "`conn25 detach --pin %s` takes the old datapath and its mappings down"

/* Of c25_index. */
#define MIN_BUCKETS 64

enum {
	CLIENT = 1 << 0,
	CONNECTOR = 1 << 1,
	PER_MAPPING = 1 << 2, /* --max-mappings entries */
	PER_FLOW = 1 << 3,    /* --max-flows entries */
	FLOWS = 1 << 4,       /* speak of each other's entries: they come and go together */
	INDEX = 1 << 8,       /* tables_buckets() */
	PER_LEASE = 1 << 6,   /* leases that ended stay recorded while their addresses rest */
	DNS = 1 << 7,         /* --dns-intercept */
	REPLACEABLE = 1 << 5, /* holds nothing that a restart must find again */
};

static const struct {
	const char *name;
	unsigned traits;
} known[] = {
	{ "c25_magic", CLIENT | PER_MAPPING },
	{ "c25_transit", CLIENT | PER_MAPPING },
	{ "c25_kept", CLIENT | PER_MAPPING },
	{ "c25_begun", CLIENT },
	{ "c25_leases", CLIENT | PER_LEASE },
	{ "c25_mappings", CONNECTOR | PER_MAPPING },
	{ "c25_flows", CONNECTOR | PER_FLOW | FLOWS },
	{ "c25_index", CONNECTOR | INDEX | FLOWS },
	{ "c25_ways", CONNECTOR | REPLACEABLE },
	{ "c25_held", CONNECTOR | FLOWS },
	{ "c25_names", DNS },
	{ "c25_ends", DNS },
	{ "c25_dns_to", DNS },
	{ "c25_dns_ports", DNS },
	{ "c25_socks", DNS },
	{ "c25_answers", DNS | PER_MAPPING },
	{ "c25_down", CLIENT },
	{ "c25_questions", DNS | REPLACEABLE },
	{ "c25_frags", CONNECTOR | REPLACEABLE },
	{ "c25_early", CONNECTOR | REPLACEABLE },
	{ "c25_frag_works", CONNECTOR | REPLACEABLE },
	{ "c25_reasons", REPLACEABLE },
	{ "c25_events", REPLACEABLE },
	{ "c25_limits", REPLACEABLE },
	{ "c25_scratch", REPLACEABLE },
};

static unsigned traits_of(const struct bpf_map *map)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(bpf_map__name(map), known[i].name))
			return known[i].traits;
	return 0;
}

bool tables_has(const struct datapath_config *cfg, const struct bpf_map *map)
{
	unsigned traits = traits_of(map);

	if (bpf_map__is_internal(map))
		return false;
	return !((traits & CLIENT && !cfg->client) || (traits & CONNECTOR && !cfg->connector) ||
		 (traits & DNS && !cfg->dns));
}

static int map_path(char path[PATH_MAX], const struct tables *t, const struct bpf_map *map)
{
	return pin_path(path, t->cfg->pin, "maps", bpf_map__name(map));
}

/* The pinned map, or a negative errno; -ENOENT is not logged. */
static int pinned_open(const struct tables *t, const char *name, struct bpf_map_info *info)
{
	_cleanup_close_ int fd = -1;
	uint32_t len = sizeof(*info);
	char path[PATH_MAX];
	int err;

	memset(info, 0, sizeof(*info));
	err = pin_path(path, t->cfg->pin, "maps", name);
	if (err)
		return log_errno(-err, "pin directory %s", t->cfg->pin);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : log_errno(errno, "open %s", path);
	err = bpf_obj_get_info_by_fd(fd, info, &len);
	if (err)
		return log_errno(-err, "read %s", path);
	return TAKE_FD(fd);
}

static int refuse(const struct tables *t, const char *name, const char *what, uint32_t pinned,
		  uint32_t wanted)
{
	log_error("pinned map %s has %s %u, and this conn25 needs %u; " WAY_OUT, name, what, pinned,
		  wanted, t->cfg->pin);
	return -EUCLEAN;
}

/* Who wrote the pins. Without a valid answer they are the rest of a crash, and count as none. */
static int meta_read(struct tables *t)
{
	_cleanup_close_ int fd = -1;
	struct bpf_map_info info;
	struct c25_meta meta;
	int err;

	fd = pinned_open(t, "c25_meta", &info);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (info.value_size != sizeof(meta))
		return refuse(t, "c25_meta", "a value size of", info.value_size, sizeof(meta));
	err = bpf_map_lookup_elem(fd, &(uint32_t){ 0 }, &meta);
	if (err)
		return log_errno(-err, "read pinned map c25_meta");
	if (!meta.layout)
		return 0;
	if (meta.layout != C25_LAYOUT) {
		log_error("the maps in %s are of layout %u, written by conn25 %.*s; this one has "
			  "layout %u; " WAY_OUT,
			  t->cfg->pin, meta.layout, (int)sizeof(meta.version), meta.version,
			  C25_LAYOUT, t->cfg->pin);
		return -EUCLEAN;
	}
	t->meta = meta;
	t->recovered = true;
	return 0;
}

static int make_random(void *out, size_t size)
{
	while (getrandom(out, size, 0) < 0)
		if (errno != EINTR)
			return log_errno(errno, "random numbers");
	return 0;
}

static int meta_make(struct tables *t)
{
	int err = 0;

	t->meta.layout = C25_LAYOUT;
	/* 0 marks no frame. */
	while (!err && !t->meta.cookie)
		err = make_random(&t->meta.cookie, sizeof(t->meta.cookie));
	memset(t->meta.version, 0, sizeof(t->meta.version));
	strncpy(t->meta.version, t->cfg->version, sizeof(t->meta.version) - 1);
	return err;
}

uint32_t tables_buckets(const struct datapath_config *cfg)
{
	uint32_t n = MIN_BUCKETS;

	/* Each flow has two cells: of a full table's buckets half the cells are in use. Fewer lie
	 * closer together, which packets of many flows feel. */
	while (n < cfg->max_flows / 2)
		n *= 2;
	return n;
}

static int set_size(const struct tables *t, struct bpf_map *map)
{
	unsigned traits = traits_of(map);

	if (!tables_has(t->cfg, map))
		return bpf_map__set_max_entries(map, 1);
	if (traits & PER_MAPPING)
		return bpf_map__set_max_entries(map, t->cfg->max_mappings);
	if (traits & PER_LEASE)
		return bpf_map__set_max_entries(map, 2 * t->cfg->max_mappings);
	if (traits & PER_FLOW)
		return bpf_map__set_max_entries(map, t->cfg->max_flows);
	if (traits & INDEX)
		return bpf_map__set_max_entries(map, tables_buckets(t->cfg));
	return 0;
}

static int check_entries(const struct tables *t, const struct bpf_map *map,
			 const struct bpf_map_info *info)
{
	unsigned traits = traits_of(map);
	const char *flag = traits & PER_FLOW ? "--max-flows" : "--max-mappings";
	uint32_t each = traits & PER_LEASE ? 2 : 1;

	if (info->max_entries == bpf_map__max_entries(map))
		return 0;
	if (!(traits & (PER_MAPPING | PER_LEASE | PER_FLOW)))
		return refuse(t, bpf_map__name(map), "room for", info->max_entries,
			      bpf_map__max_entries(map));
	log_error("pinned map %s has room for %u entries, and %s asks for %u; go on with %s %u, "
		  "or " WAY_OUT,
		  bpf_map__name(map), info->max_entries, flag, bpf_map__max_entries(map) / each,
		  flag, info->max_entries / each, t->cfg->pin);
	return -EUCLEAN;
}

/* 1: as we would make it; 0: to be made anew; -EUCLEAN, logged: neither. */
static int pinned_fits(const struct tables *t, const struct bpf_map *map,
		       const struct bpf_map_info *info)
{
	const char *name = bpf_map__name(map);
	int err;

	if (traits_of(map) & REPLACEABLE)
		return info->type == bpf_map__type(map) &&
		       info->key_size == bpf_map__key_size(map) &&
		       info->value_size == bpf_map__value_size(map) &&
		       info->max_entries == bpf_map__max_entries(map);
	if (info->type != bpf_map__type(map))
		return refuse(t, name, "type", info->type, bpf_map__type(map));
	if (info->key_size != bpf_map__key_size(map))
		return refuse(t, name, "a key size of", info->key_size, bpf_map__key_size(map));
	if (info->value_size != bpf_map__value_size(map))
		return refuse(t, name, "a value size of", info->value_size,
			      bpf_map__value_size(map));
	if (info->map_flags != bpf_map__map_flags(map))
		return refuse(t, name, "flags", info->map_flags, bpf_map__map_flags(map));
	err = check_entries(t, map, info);
	return err ? err : 1;
}

/* One of the flow tables missing, none of them is good. */
static int check_flows(struct tables *t)
{
	struct bpf_map_info info;
	struct bpf_map *map;

	t->flows_reused = t->recovered && t->cfg->connector;
	bpf_object__for_each_map(map, t->obj)
	{
		_cleanup_close_ int fd = -1;

		if (!t->flows_reused || !(traits_of(map) & FLOWS))
			continue;
		fd = pinned_open(t, bpf_map__name(map), &info);
		if (fd == -ENOENT)
			t->flows_reused = false;
		else if (fd < 0)
			return fd;
	}
	return 0;
}

static int take_over(struct tables *t, struct bpf_map *map, unsigned position)
{
	_cleanup_close_ int fd = -1;
	struct bpf_map_info info;
	int fits, err;

	if (!t->recovered || (traits_of(map) & FLOWS && !t->flows_reused))
		return 0;
	fd = pinned_open(t, bpf_map__name(map), &info);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	fits = pinned_fits(t, map, &info);
	if (fits <= 0)
		return fits;
	err = bpf_map__reuse_fd(map, fd);
	if (err)
		return log_errno(-err, "take over pinned map %s", bpf_map__name(map));
	t->reused |= 1ULL << position;
	if (!strcmp(bpf_map__name(map), "c25_mappings"))
		t->mappings_reused = true;
	return 0;
}

int tables_prepare(struct tables *t, struct bpf_object *obj, const struct datapath_config *cfg)
{
	unsigned position = 0;
	struct bpf_map *map;
	int err;

	*t = (struct tables){ .obj = obj, .cfg = cfg };
	err = meta_read(t);
	if (!err)
		err = meta_make(t);
	if (!err)
		err = check_flows(t);
	if (err)
		return err;
	bpf_object__for_each_map(map, obj)
	{
		err = bpf_map__is_internal(map) ? 0 : set_size(t, map);
		if (err)
			return log_errno(-err, "set the size of map %s", bpf_map__name(map));
		if (tables_has(cfg, map))
			err = take_over(t, map, position);
		if (err)
			return err;
		position++;
	}
	/* Clients see by another epoch that their mappings are lost. */
	return t->mappings_reused ? 0 : make_random(&t->meta.epoch, sizeof(t->meta.epoch));
}

/* New flow tables begin with their first slot; the clock goes on. Writing the element cancels its
 * timer, which c25_start arms again. */
static int rewind_slots(const struct tables *t)
{
	struct bpf_map *map = bpf_object__find_map_by_name(t->obj, "c25_tick");
	struct c25_tick tick;
	int err;

	err = bpf_map_lookup_elem(bpf_map__fd(map), &(uint32_t){ 0 }, &tick);
	if (err)
		return err;
	if (!tick.high && !tick.cursor && !tick.free)
		return 0;
	tick.high = 0;
	tick.cursor = 0;
	tick.free = 0;
	return bpf_map_update_elem(bpf_map__fd(map), &(uint32_t){ 0 }, &tick, BPF_ANY);
}

static int unpin(const struct tables *t, const struct bpf_map *map)
{
	char path[PATH_MAX];
	int err = map_path(path, t, map);

	if (!err && unlink(path) && errno != ENOENT)
		err = -errno;
	return err;
}

static int pin_one(const struct tables *t, const struct bpf_map *map)
{
	char path[PATH_MAX];
	int err;

	err = unpin(t, map);
	if (!err)
		err = map_path(path, t, map);
	if (!err)
		err = bpf_obj_pin(bpf_map__fd(map), path);
	return err ? log_errno(-err, "pin map %s in %s", bpf_map__name(map), t->cfg->pin) : 0;
}

int tables_pin(struct tables *t)
{
	struct bpf_map *map, *meta = bpf_object__find_map_by_name(t->obj, "c25_meta");
	unsigned position = 0;
	int err = 0;

	if (!t->recovered)
		err = pin_clear_maps(t->cfg->pin);
	if (!err && !t->flows_reused)
		err = rewind_slots(t);
	if (!err)
		err = bpf_map_update_elem(bpf_map__fd(meta), &(uint32_t){ 0 }, &t->meta, BPF_ANY);
	if (err)
		return log_errno(-err, "prepare the maps in %s", t->cfg->pin);
	bpf_object__for_each_map(map, t->obj)
	{
		bool reused = t->reused & 1ULL << position++;

		if (bpf_map__is_internal(map) || map == meta || reused)
			continue;
		/* A role that this node no longer has takes its tables along. */
		err = tables_has(t->cfg, map) ? pin_one(t, map) : unpin(t, map);
		if (err)
			return err;
	}
	return t->recovered ? 0 : pin_one(t, meta);
}
