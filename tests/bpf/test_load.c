/* SPDX-License-Identifier: BSD-3-Clause */
/* What it takes to load the programs. */
#include "leaks.h"

#include "c25_abi.h"
#include "conn25.skel.h"

#include <linux/capability.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

SUITE(load);

#define BIT(cap) (1U << ((cap)&31))

/* CAP_BPF and CAP_NET_ADMIN, and of the second word of capabilities what `more` has. */
static void keep_capabilities(unsigned more)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2] = { 0 };

	caps[0].effective = caps[0].permitted = BIT(CAP_NET_ADMIN);
	caps[1].effective = caps[1].permitted = BIT(CAP_BPF) | more;
	cr_assert_eq(syscall(SYS_capset, &head, caps), 0);
}

static int load_with(unsigned more)
{
	struct conn25_bpf *skel = conn25_bpf__open();
	int err;

	cr_assert_not_null(skel);
	keep_capabilities(more);
	err = conn25_bpf__load(skel);
	conn25_bpf__destroy(skel);
	return err;
}

Test(load, cap_bpf_cap_net_admin_and_cap_perfmon_are_enough)
{
	cr_assert_eq(load_with(BIT(CAP_PERFMON)), 0);
}

/* Without CAP_PERFMON the verifier allows less, and looks at more. */
Test(load, since_linux_6_12_cap_bpf_and_cap_net_admin_are_enough)
{
	unsigned major = 0, minor = 0;
	struct utsname u;

	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	if (major < 6 || (major == 6 && minor < 12))
		cr_skip_test("Linux before 6.12");
	cr_assert_eq(load_with(0), 0);
}

Test(load, settings_of_every_role_and_overlay_load)
{
	for (int i = 0; i < 8; i++) {
		struct conn25_bpf *skel = conn25_bpf__open();

		cr_assert_not_null(skel);
		skel->rodata->c25_client = i & 1;
		skel->rodata->c25_connector = !!(i & 2);
		skel->rodata->c25_tunnel_key = !!(i & 4);
		cr_assert_eq(conn25_bpf__load(skel), 0, "settings %d", i);
		conn25_bpf__destroy(skel);
	}
}
