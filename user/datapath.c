/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath.h"

#include "conn25.skel.h"
#include "datapath_hook.h"
#include "datapath_pin.h"
#include "datapath_tables.h"
#include "log.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

/* Events taken in one go: a flood of them must not hold the loop up. */
#define EVENTS_AT_ONCE 1024

struct datapath {
	struct conn25_bpf *skel;
	struct ring_buffer *events;
	struct maps maps; /* descriptors are the object's */
	char *pin;
	struct pin_lock *lock;
	bool recovered;

	/* What datapath_attach() was called for. */
	struct place {
		const struct hook *hook;
		uint32_t ifindex;
	} * places;
	size_t n_places;

	/* During datapath_events_read(). */
	void (*each)(const struct c25_event *e, void *ctx);
	void *each_ctx;
	int events_left;
};

/* libbpf and the verifier explain at length: for those who asked. */
__attribute__((format(printf, 2, 0))) static int print(enum libbpf_print_level level,
						       const char *fmt, va_list args)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *line;

	if (level == LIBBPF_DEBUG || !log_enabled(LOG_DEBUG))
		return 0;
	if (vasprintf(&text, fmt, args) < 0) {
		text = NULL;
		return 0;
	}
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		log_debug("%s", line);
	return 0;
}

static int load_failed(int err)
{
	struct utsname u;

	switch (-err) {
	case EPERM:
		log_error("load the BPF programs: not permitted; run as root, or with CAP_BPF and "
			  "CAP_NET_ADMIN");
		return err;
	case ENOMEM:
		log_error("load the BPF programs: not enough memory; lower --max-flows or "
			  "--max-mappings, or raise the memory limit");
		return err;
	default:
		uname(&u);
		return log_errno(-err,
				 "Linux %s refused the BPF programs (6.1 with BTF or later is "
				 "needed; --log-level debug shows its reasons)",
				 u.release);
	}
}

static void set_up(struct datapath *d, const struct datapath_config *cfg, uint32_t cookie)
{
	d->skel->rodata->c25_cookie = cookie;
	d->skel->rodata->c25_tunnel_key = cfg->tunnel_key;
	d->skel->rodata->c25_client = cfg->client;
	d->skel->rodata->c25_connector = cfg->connector;
	d->skel->rodata->c25_dns_open = cfg->dns_open;
	d->skel->rodata->c25_nat_lo = cfg->nat_lo;
	d->skel->rodata->c25_nat_hi = cfg->nat_hi;
	/* As many as the table has: one, where the role is missing. */
	d->skel->rodata->c25_max_flows = cfg->connector ? cfg->max_flows : 1;
	d->skel->rodata->c25_index_mask = cfg->connector ? tables_buckets(cfg) - 1 : 0;
	/* One peer alone never fills the table. */
	d->skel->rodata->c25_peer_quota = cfg->max_flows - cfg->max_flows / 4;
}

/* bpf_timer_init() takes its memory from what is free at that very moment, and may have to be asked
 * more than once. */
#define START_TRIES    50
#define START_PAUSE_US 10000

static int run_start(struct datapath *d)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int err = 0;

	for (int i = 0; i < START_TRIES; i++) {
		err = bpf_prog_test_run_opts(bpf_program__fd(d->skel->progs.c25_start), &opts);
		if (err || !opts.retval)
			break;
		usleep(START_PAUSE_US);
	}
	if (err)
		return log_errno(-err, "run c25_start");
	if (opts.retval) {
		log_error("c25_start cannot arm the datapath's timer: it returned %d",
			  (int)opts.retval);
		return -EIO;
	}
	return 0;
}

static int take_event(void *ctx, void *data, size_t size)
{
	struct datapath *d = ctx;

	if (size >= sizeof(struct c25_event))
		d->each(data, d->each_ctx);
	return --d->events_left ? 0 : -EAGAIN;
}

static int find_maps(struct datapath *d, const struct datapath_config *cfg)
{
	for (int id = 0; id < MAP_COUNT; id++) {
		struct bpf_map *map =
			bpf_object__find_map_by_name(d->skel->obj, maps_name((enum map_id)id));

		if (map && tables_has(cfg, map))
			d->maps.fd[id] = bpf_map__fd(map);
	}
	d->events = ring_buffer__new(d->maps.fd[MAP_EVENTS], take_event, d, NULL);
	return d->events ? 0 : log_errno(errno, "open the ring of events");
}

static int load(struct datapath *d, const struct datapath_config *cfg)
{
	struct tables t;
	int err;

	d->skel = conn25_bpf__open();
	if (!d->skel)
		return log_errno(errno, "open the BPF object");
	err = tables_prepare(&t, d->skel->obj, cfg);
	if (err)
		return err;
	d->recovered = t.recovered;
	set_up(d, cfg, t.meta.cookie);
	bpf_program__set_autoload(d->skel->progs.c25_dns_in, cfg->dns);
	bpf_program__set_autoload(d->skel->progs.c25_dns_in_l3, cfg->dns);
	err = conn25_bpf__load(d->skel);
	if (err)
		return load_failed(err);
	err = tables_pin(&t);
	if (!err)
		err = run_start(d);
	if (!err)
		err = find_maps(d, cfg);
	/* A first start that failed leaves nothing to find. */
	if (err && !d->recovered)
		pin_clear_maps(cfg->pin);
	return err;
}

int datapath_open(struct datapath **out, const struct datapath_config *cfg)
{
	_cleanup_(datapath) struct datapath *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return log_errno(ENOMEM, "open the datapath");
	for (int id = 0; id < MAP_COUNT; id++)
		d->maps.fd[id] = -1;
	d->pin = strdup(cfg->pin);
	if (!d->pin)
		return log_errno(ENOMEM, "open the datapath");
	libbpf_set_print(print);

	err = pin_prepare(cfg->pin);
	if (err)
		return err;
	err = pin_lock(&d->lock, cfg->pin);
	if (err)
		return err;
	err = load(d, cfg);
	if (err) {
		pin_rmdirs(cfg->pin);
		return err;
	}
	log_info("datapath %s in %s", d->recovered ? "taken over" : "made", cfg->pin);
	*out = TAKE_PTR(d);
	return 0;
}

void datapath_free(struct datapath *d)
{
	ring_buffer__free(d->events);
	conn25_bpf__destroy(d->skel);
	if (d->lock)
		pin_unlock(d->lock);
	free(d->places);
	free(d->pin);
	free(d);
}

static int prog_of(const struct datapath *d, const struct hook *h, bool l2)
{
	const struct bpf_program *p;

	if (h == &hooks[HOOK_OVERLAY_IN])
		p = l2 ? d->skel->progs.c25_overlay_in : d->skel->progs.c25_overlay_in_l3;
	else if (h == &hooks[HOOK_OVERLAY_OUT])
		p = l2 ? d->skel->progs.c25_overlay_out : d->skel->progs.c25_overlay_out_l3;
	else if (h == &hooks[HOOK_DNS_IN])
		p = l2 ? d->skel->progs.c25_dns_in : d->skel->progs.c25_dns_in_l3;
	else
		p = l2 ? d->skel->progs.c25_uplink_in : d->skel->progs.c25_uplink_in_l3;
	return bpf_program__fd(p);
}

static bool hook_in_role(const struct hook *h, enum datapath_role role)
{
	if (h == &hooks[HOOK_DNS_IN])
		return role == DATAPATH_DNS;
	if (h == &hooks[HOOK_UPLINK_IN])
		return role == DATAPATH_UPLINK;
	return role == DATAPATH_OVERLAY;
}

static bool is_place(const struct datapath *d, const struct hook *h, uint32_t ifindex)
{
	for (size_t i = 0; i < d->n_places; i++)
		if (d->places[i].hook == h && d->places[i].ifindex == ifindex)
			return true;
	return false;
}

static int add_place(struct datapath *d, const struct hook *h, uint32_t ifindex)
{
	struct place *grown;

	if (is_place(d, h, ifindex))
		return 0;
	grown = reallocarray(d->places, d->n_places + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	grown[d->n_places++] = (struct place){ h, ifindex };
	d->places = grown;
	return 0;
}

static void del_place(struct datapath *d, const struct hook *h, uint32_t ifindex)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->n_places; i++)
		if (d->places[i].hook != h || d->places[i].ifindex != ifindex)
			d->places[kept++] = d->places[i];
	d->n_places = kept;
}

int datapath_attach(struct datapath *d, enum datapath_role role, uint32_t ifindex, bool l2)
{
	char name[HOOK_STRLEN];
	int err;

	for (int i = 0; i < HOOK_COUNT; i++) {
		if (!hook_in_role(&hooks[i], role))
			continue;
		err = add_place(d, &hooks[i], ifindex);
		if (!err)
			err = hook_attach(d->pin, &hooks[i], ifindex, prog_of(d, &hooks[i], l2));
		if (err)
			return log_errno(-err, "attach %s", hook_print(name, &hooks[i], ifindex));
	}
	return 0;
}

static int detach(const char *pin, const struct hook *h, uint32_t ifindex)
{
	char name[HOOK_STRLEN];
	int err = hook_detach(pin, h, ifindex);

	if (err && err != -ENOENT)
		return log_errno(-err, "detach %s", hook_print(name, h, ifindex));
	return 0;
}

int datapath_detach(struct datapath *d, enum datapath_role role, uint32_t ifindex)
{
	int err;

	for (int i = 0; i < HOOK_COUNT; i++) {
		if (!hook_in_role(&hooks[i], role))
			continue;
		err = detach(d->pin, &hooks[i], ifindex);
		if (err)
			return err;
		del_place(d, &hooks[i], ifindex);
	}
	return 0;
}

static int sweep_one(const struct hook *h, uint32_t ifindex, void *ctx)
{
	const struct datapath *d = ctx;

	return is_place(d, h, ifindex) ? 0 : detach(d->pin, h, ifindex);
}

int datapath_sweep(struct datapath *d)
{
	return hook_each(d->pin, sweep_one, d);
}

const struct maps *datapath_maps(const struct datapath *d)
{
	return &d->maps;
}

int datapath_revoke(struct datapath *d, const struct c25_mapping_key *k)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = k, .ctx_size_in = sizeof(*k));
	int err = bpf_prog_test_run_opts(bpf_program__fd(d->skel->progs.c25_revoke), &opts);

	return err ? err : (int)opts.retval;
}

int datapath_events_fd(const struct datapath *d)
{
	return ring_buffer__epoll_fd(d->events);
}

int datapath_events_read(struct datapath *d, void (*each)(const struct c25_event *e, void *ctx),
			 void *ctx)
{
	int n;

	d->each = each;
	d->each_ctx = ctx;
	d->events_left = EVENTS_AT_ONCE;
	n = ring_buffer__consume(d->events);
	return n < 0 && !d->events_left ? EVENTS_AT_ONCE : n;
}

bool datapath_pinned(const struct datapath *d)
{
	char path[PATH_MAX];

	return !pin_path(path, d->pin, "maps", maps_name(MAP_META)) && !access(path, F_OK);
}

bool datapath_recovered(const struct datapath *d)
{
	return d->recovered;
}

static int remove_hook(const struct hook *h, uint32_t ifindex, void *ctx)
{
	return detach(ctx, h, ifindex);
}

int datapath_remove(const char *pin)
{
	int err;

	libbpf_set_print(print);
	err = pin_check(pin);
	if (err)
		return err;
	err = hook_each(pin, remove_hook, (void *)pin);
	if (err)
		return err;
	err = pin_clear_maps(pin);
	if (err)
		return log_errno(-err, "unpin the maps in %s", pin);
	err = pin_rmdirs(pin);
	return err ? log_errno(-err, "remove %s", pin) : 0;
}
