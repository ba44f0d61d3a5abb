/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath_hook.h"

#include "cleanup.h"
#include "datapath_pin.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 6.6; libbpf 1.1 and the headers of Linux 6.1 lack them. */
#define TCX_INGRESS 46
#define TCX_EGRESS  47
#define AT_HEAD     (1U << 3) /* BPF_F_BEFORE, relative to nothing */

const struct hook hooks[HOOK_COUNT] = {
	[HOOK_OVERLAY_IN] = { "overlay_in", false },
	[HOOK_OVERLAY_OUT] = { "overlay_out", true },
	[HOOK_UPLINK_IN] = { "uplink_in", false },
	[HOOK_DNS_IN] = { "dns_in", false },
};

const char *hook_print(char buf[HOOK_STRLEN], const struct hook *h, uint32_t ifindex)
{
	snprintf(buf, HOOK_STRLEN, "%s_%u", h->name, ifindex);
	return buf;
}

const struct hook *hook_parse(const char *name, uint32_t *ifindex)
{
	char again[HOOK_STRLEN];

	for (int i = 0; i < HOOK_COUNT; i++) {
		size_t len = strlen(hooks[i].name);
		uint32_t index;

		if (strncmp(name, hooks[i].name, len) != 0 || name[len] != '_')
			continue;
		index = (uint32_t)strtoul(name + len + 1, NULL, 10);
		if (!index || strcmp(hook_print(again, &hooks[i], index), name) != 0)
			continue;
		*ifindex = index;
		return &hooks[i];
	}
	return NULL;
}

static int hook_path(char path[PATH_MAX], const char *pin, const char *dir, const struct hook *h,
		     uint32_t ifindex)
{
	char name[HOOK_STRLEN];

	return pin_path(path, pin, dir, hook_print(name, h, ifindex));
}

static int link_create(int prog_fd, uint32_t ifindex, bool egress)
{
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)prog_fd;
	attr.link_create.target_ifindex = ifindex;
	attr.link_create.attach_type = egress ? TCX_EGRESS : TCX_INGRESS;
	attr.link_create.flags = AT_HEAD;
	fd = (int)syscall(__NR_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}

int hook_attach_tcx(const char *pin, const struct hook *h, uint32_t ifindex, int prog_fd)
{
	_cleanup_close_ int pinned = -1;
	_cleanup_close_ int made = -1;
	char path[PATH_MAX];
	int err;

	err = hook_path(path, pin, "links", h, ifindex);
	if (err)
		return err;
	pinned = bpf_obj_get(path);
	if (pinned >= 0) {
		err = bpf_link_update(pinned, prog_fd, NULL);
		/* -ENOLINK: the device it was on is gone, and another one has its index now. */
		if (err != -ENOLINK)
			return err;
		if (unlink(path))
			return -errno;
	} else if (errno != ENOENT) {
		return -errno;
	}
	made = link_create(prog_fd, ifindex, h->egress);
	if (made < 0)
		return made;
	return bpf_obj_pin(made, path);
}

static void clsact_of(struct bpf_tc_hook *tc, struct bpf_tc_opts *opts, const struct hook *h,
		      uint32_t ifindex)
{
	*tc = (struct bpf_tc_hook){
		.sz = sizeof(*tc),
		.ifindex = (int)ifindex,
		.attach_point = h->egress ? BPF_TC_EGRESS : BPF_TC_INGRESS,
	};
	*opts = (struct bpf_tc_opts){
		.sz = sizeof(*opts),
		.handle = HOOK_CLSACT_HANDLE,
		.priority = HOOK_CLSACT_PRIO,
	};
}

/* Without CAP_SYS_ADMIN the kernel does not say what a program is called: then priority and
 * handle have to do. */
static int is_our_prog(uint32_t id)
{
	struct bpf_prog_info info = { 0 };
	_cleanup_close_ int fd = -1;
	uint32_t len = sizeof(info);
	int err;

	fd = bpf_prog_get_fd_by_id(id);
	if (fd < 0)
		return errno == EPERM ? 1 : errno == ENOENT ? 0 : -errno;
	err = bpf_obj_get_info_by_fd(fd, &info, &len);
	return err ? err : !strncmp(info.name, "c25_", 4);
}

/* 0: our filter is there; -ENOENT: none is; -EEXIST: one that is not ours. */
static int clsact_find(const struct hook *h, uint32_t ifindex)
{
	struct bpf_tc_opts opts;
	struct bpf_tc_hook tc;
	char name[IF_NAMESIZE];
	int err;

	if (!if_indextoname(ifindex, name))
		return -ENOENT;
	clsact_of(&tc, &opts, h, ifindex);
	err = bpf_tc_query(&tc, &opts);
	/* -EINVAL: the device has no clsact at all. */
	if (err)
		return err == -EINVAL ? -ENOENT : err;
	err = is_our_prog(opts.prog_id);
	return err < 0 ? err : err ? 0 : -EEXIST;
}

int hook_attach_clsact(const char *pin, const struct hook *h, uint32_t ifindex, int prog_fd)
{
	struct bpf_tc_opts opts;
	struct bpf_tc_hook tc;
	char path[PATH_MAX];
	int err;

	clsact_of(&tc, &opts, h, ifindex);
	err = bpf_tc_hook_create(&tc);
	if (err && err != -EEXIST)
		return err;
	err = clsact_find(h, ifindex);
	if (err && err != -ENOENT)
		return err;
	/* Marked before attached: what is there is always found again. */
	err = hook_path(path, pin, "clsact", h, ifindex);
	if (err)
		return err;
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	opts.prog_fd = prog_fd;
	opts.flags = BPF_TC_F_REPLACE;
	return bpf_tc_attach(&tc, &opts);
}

int hook_attach(const char *pin, const struct hook *h, uint32_t ifindex, int prog_fd)
{
	int err = hook_attach_tcx(pin, h, ifindex, prog_fd);

	if (err == -EINVAL)
		err = hook_attach_clsact(pin, h, ifindex, prog_fd);
	return err;
}

/* clsact may outlive us: other programs share it, so only our filter goes. */
static int detach_clsact(const char *pin, const struct hook *h, uint32_t ifindex)
{
	struct bpf_tc_opts opts;
	struct bpf_tc_hook tc;
	char path[PATH_MAX];
	int err;

	err = hook_path(path, pin, "clsact", h, ifindex);
	if (err)
		return err;
	if (access(path, F_OK))
		return -errno;
	err = clsact_find(h, ifindex);
	if (!err) {
		clsact_of(&tc, &opts, h, ifindex);
		err = bpf_tc_detach(&tc, &opts);
	}
	if (err && err != -ENOENT && err != -EEXIST)
		return err;
	return rmdir(path) ? -errno : 0;
}

/* Unpinning alone would detach too, but only some time after. */
static int detach_tcx(const char *pin, const struct hook *h, uint32_t ifindex)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int err;

	err = hook_path(path, pin, "links", h, ifindex);
	if (err)
		return err;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	err = bpf_link_detach(fd);
	/* -ENOLINK: its device is gone. */
	if (err && err != -ENOLINK)
		return err;
	return unlink(path) ? -errno : 0;
}

int hook_detach(const char *pin, const struct hook *h, uint32_t ifindex)
{
	int tcx = detach_tcx(pin, h, ifindex), clsact;

	if (tcx && tcx != -ENOENT)
		return tcx;
	clsact = detach_clsact(pin, h, ifindex);
	return clsact == -ENOENT ? tcx : clsact;
}

struct hook_walk {
	int (*each)(const struct hook *h, uint32_t ifindex, void *ctx);
	void *ctx;
};

static int walk_name(const char *name, void *ctx)
{
	const struct hook_walk *w = ctx;
	uint32_t ifindex;
	const struct hook *h = hook_parse(name, &ifindex);

	return h ? w->each(h, ifindex, w->ctx) : 0;
}

int hook_each(const char *pin, int (*each)(const struct hook *h, uint32_t ifindex, void *ctx),
	      void *ctx)
{
	struct hook_walk w = { .each = each, .ctx = ctx };
	int err = pin_each(pin, "links", walk_name, &w);

	return err ? err : pin_each(pin, "clsact", walk_name, &w);
}
