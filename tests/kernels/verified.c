/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * verified: how many instructions the verifier of the running kernel follows in each program.
 *
 * Prints "PROGRAM COUNT", the most over the settings, with all capabilities and, where they are
 * enough, with CAP_BPF and CAP_NET_ADMIN alone; or "PROGRAM refused", and the end of the verifier's
 * log on stderr. Ends with 1 when a program was refused.
 */
#include "c25_abi.h"
#include "conn25.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define BIT(cap)  (1U << ((cap)&31))
#define LOG_SHOWN 3000

static char verifier_log[16 << 20];

static int keep_capabilities_of_a_daemon(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2] = { 0 };

	caps[0].effective = caps[0].permitted = BIT(CAP_NET_ADMIN);
	caps[1].effective = caps[1].permitted = BIT(CAP_BPF);
	return (int)syscall(SYS_capset, &head, caps);
}

/* libbpf tells what the verifier's log says already. */
static int silent(enum libbpf_print_level level, const char *fmt, va_list args)
{
	return 0;
}

static void only_this(struct bpf_object *obj, const char *name)
{
	struct bpf_program *p;
	struct bpf_map *m;

	bpf_object__for_each_program(p, obj)
	{
		bpf_program__set_autoload(p, !strcmp(bpf_program__name(p), name));
	}
	/* Sizes are nothing to the verifier. */
	bpf_object__for_each_map(m, obj)
	{
		if (bpf_map__max_entries(m) > 4096 && bpf_map__type(m) != BPF_MAP_TYPE_RINGBUF)
			bpf_map__set_max_entries(m, 4096);
	}
}

static void show_log(const char *name, int settings, int err)
{
	size_t len = strlen(verifier_log);

	fprintf(stderr, "%s, settings %d: %s\n...%s\n", name, settings, strerror(-err),
		verifier_log + (len > LOG_SHOWN ? len - LOG_SHOWN : 0));
}

/* Instructions, or a negative errno. */
static long load(const char *name, int settings)
{
	struct conn25_bpf *skel = conn25_bpf__open();
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	struct bpf_program *p;
	int err;

	if (!skel)
		return -errno;
	skel->rodata->c25_client = settings & 1;
	skel->rodata->c25_connector = !!(settings & 2);
	skel->rodata->c25_tunnel_key = !!(settings & 4);
	only_this(skel->obj, name);
	p = bpf_object__find_program_by_name(skel->obj, name);
	verifier_log[0] = 0;
	bpf_program__set_log_buf(p, verifier_log, sizeof(verifier_log));
	bpf_program__set_log_level(p, 0);
	err = conn25_bpf__load(skel);
	if (!err)
		err = bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len);
	conn25_bpf__destroy(skel);
	return err ? err : (long)info.verified_insns;
}

/* Both roles, with and without tunnel keys: each has parts that the other lacks. */
static long load_both(const char *name)
{
	static const int settings[] = { 3, 7 };
	long most = 0, n;

	for (size_t i = 0; i < 2; i++) {
		n = load(name, settings[i]);
		if (n < 0) {
			show_log(name, settings[i], (int)n);
			return n;
		}
		if (n > most)
			most = n;
	}
	return most;
}

/* Verifiers before this one need CAP_PERFMON. */
static bool wants_perfmon(void)
{
	unsigned major = 0, minor = 0;
	struct utsname u;

	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	return major < 6 || (major == 6 && minor < 12);
}

static void count(const struct conn25_bpf *skel, long *most)
{
	struct bpf_program *p;
	int i = 0;

	bpf_object__for_each_program(p, skel->obj)
	{
		long n = most[i] < 0 ? most[i] : load_both(bpf_program__name(p));

		if (n < 0 || n > most[i])
			most[i] = n;
		i++;
	}
}

int main(void)
{
	struct conn25_bpf *skel;
	struct bpf_program *p;
	long most[64] = { 0 };
	int i = 0, refused = 0;

	libbpf_set_print(silent);
	skel = conn25_bpf__open();
	if (!skel)
		return 1;
	count(skel, most);
	if (!wants_perfmon()) {
		if (keep_capabilities_of_a_daemon()) {
			perror("capset");
			return 1;
		}
		count(skel, most);
	}
	bpf_object__for_each_program(p, skel->obj)
	{
		if (most[i] < 0)
			printf("%s refused\n", bpf_program__name(p));
		else
			printf("%s %ld\n", bpf_program__name(p), most[i]);
		refused |= most[i++] < 0;
	}
	conn25_bpf__destroy(skel);
	return refused;
}
