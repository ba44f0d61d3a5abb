/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * crowd: entries that no packet of the bench needs, for the pinned maps of a node.
 *
 *	crowd PIN N	N magic addresses and their transit addresses, or N mappings: what there is
 *
 * They begin at 10.0.0.0, which is in no pool of the bench.
 */
#include "addr.h"
#include "maps.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 10000
#define REALS (1U << 24)

static struct c25_addr magics[BATCH], transits[BATCH];
static struct c25_magic m[BATCH];
static struct c25_transit t[BATCH];
static struct c25_mapping_key keys[BATCH];
static struct c25_mapping mappings[BATCH];

static struct c25_addr at(uint32_t n)
{
	struct c25_addr a = { .b = { [10] = 0xff, [11] = 0xff, [12] = 10 } };

	a.b[12] = (uint8_t)(10 + (n >> 24));
	a.b[13] = (uint8_t)(n >> 16);
	a.b[14] = (uint8_t)(n >> 8);
	a.b[15] = (uint8_t)n;
	return a;
}

static void put(int fd, const void *k, const void *v)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	uint32_t n = BATCH;

	if (fd >= 0 && bpf_map_update_batch(fd, k, v, &n, &opts)) {
		fprintf(stderr, "crowd: %s\n", strerror(errno));
		exit(1);
	}
}

int main(int argc, char **argv)
{
	struct maps maps;
	int err;

	if (argc != 3)
		return 2;
	err = maps_open(&maps, argv[1]);
	if (err) {
		fprintf(stderr, "crowd: open %s: %s\n", argv[1], strerror(-err));
		return 1;
	}
	for (uint32_t done = 0; done < (uint32_t)atol(argv[2]); done += BATCH) {
		for (uint32_t i = 0; i < BATCH; i++) {
			magics[i] = at(REALS + done + i);
			transits[i] = at(done + i);
			m[i].transit = transits[i];
			t[i].magic = magics[i];
			keys[i].client = magics[i];
			keys[i].transit = transits[i];
			mappings[i].real = magics[i];
		}
		put(maps.fd[MAP_TRANSIT], transits, t);
		put(maps.fd[MAP_MAGIC], magics, m);
		put(maps.fd[MAP_MAPPINGS], keys, mappings);
	}
	maps_close(&maps);
	return 0;
}
