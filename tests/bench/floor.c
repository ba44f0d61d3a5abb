/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * floor: puts one translation into TC, see floor.bpf.c.
 *
 *	floor PIN DEV in|out SRC DST NEW-SRC NEW-DST [OUT DST-MAC SRC-MAC]
 *
 * The link is pinned at PIN and lives as long as that. With OUT, packets leave by that device.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/types.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "floor.h"
#include "floor.skel.h"

/* libbpf 1.1 does not know them. */
#define TCX_INGRESS ((enum bpf_attach_type)46)
#define TCX_EGRESS  ((enum bpf_attach_type)47)

static void die(const char *what, const char *arg)
{
	fprintf(stderr, "floor: %s %s: %s\n", what, arg, strerror(errno));
	exit(1);
}

static void set_pair(__u64 *pair, bool v6, const char *src, const char *dst)
{
	char *to = (char *)pair;

	if (inet_pton(v6 ? AF_INET6 : AF_INET, src, to) != 1)
		die("address", src);
	if (inet_pton(v6 ? AF_INET6 : AF_INET, dst, to + (v6 ? 16 : 4)) != 1)
		die("address", dst);
}

/* One form of zero. */
static uint32_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff ? 0 : sum;
}

static uint32_t diff(const struct floor_turn *t)
{
	const uint16_t *was = (const void *)t->was, *is = (const void *)t->is;
	uint32_t sum = 0;

	for (int i = 0; i < 16; i++)
		sum += (uint16_t)~was[i] + is[i];
	return fold(sum);
}

static unsigned int device(const char *name)
{
	unsigned int ifindex = if_nametoindex(name);

	if (!ifindex)
		die("device", name);
	return ifindex;
}

static void set_mac(void *to, const char *text)
{
	if (!ether_aton_r(text, to))
		die("MAC", text);
}

int main(int argc, char **argv)
{
	struct floor_turn turn = { 0 };
	struct floor_bpf *s;
	int link;

	if (argc != 8 && argc != 11)
		return 2;
	turn.v6 = strchr(argv[4], ':') != NULL;
	set_pair(turn.was, turn.v6, argv[4], argv[5]);
	set_pair(turn.is, turn.v6, argv[6], argv[7]);
	turn.diff = diff(&turn);
	turn.head = turn.diff;
	if (argc == 11) {
		turn.head = fold(turn.diff + htons(0xfeff)); /* less 1 in a word's upper byte */
		turn.out = device(argv[8]);
		set_mac(turn.macs, argv[9]);
		set_mac((char *)turn.macs + ETH_ALEN, argv[10]);
	}

	s = floor_bpf__open();
	if (!s)
		die("open", "the program");
	memcpy((void *)&s->rodata->turn, &turn, sizeof(turn));
	if (floor_bpf__load(s))
		die("load", "the program");
	link = bpf_link_create(bpf_program__fd(s->progs.floor_turn), (int)device(argv[2]),
			       strcmp(argv[3], "out") ? TCX_INGRESS : TCX_EGRESS, NULL);
	if (link < 0)
		die("attach to", argv[2]);
	if (bpf_obj_pin(link, argv[1]))
		die("pin", argv[1]);
	return 0;
}
