/* SPDX-License-Identifier: BSD-3-Clause */
#include "twin.h"

#include "dns_name.h"

#include <linux/bpf.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define SEC(name)
#define __uint(name, val) int(*name)[val]
#define __type(name, val) __typeof__(val) *name
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline      __attribute__((noinline))

static void *bpf_map_lookup_elem(const void *map, const void *key);
static long bpf_skb_load_bytes(const struct __sk_buff *skb, uint32_t off, void *to, uint32_t len);

/* Those that matching does not call. */
static long bpf_skb_pull_data(struct __sk_buff *skb, uint32_t len)
{
	abort();
}

static void *bpf_ringbuf_reserve(const void *ring, uint64_t size, uint64_t flags)
{
	abort();
}

static void bpf_ringbuf_submit(void *data, uint64_t flags)
{
	abort();
}

#define bpf_loop(n, callback, ctx, flags)                                                          \
	({                                                                                         \
		uint32_t n_ = (n), i_ = 0;                                                         \
		while (i_ < n_ && !(callback)(i_, (ctx)))                                          \
			i_++;                                                                      \
	})

#include "c25_dns_name.h"

#define ROOM 64

static struct {
	uint64_t hash;
	struct c25_name name;
} table[ROOM];
static size_t n_table;

static struct c25_ends ends;
static struct c25_question question;
static const uint8_t *packet;
static size_t packet_len;

static void *bpf_map_lookup_elem(const void *map, const void *key)
{
	if (map == &c25_questions)
		return &question;
	if (map == &c25_ends)
		return &ends;
	if (map != &c25_names)
		abort();
	for (size_t i = 0; i < n_table; i++)
		if (!memcmp(&table[i].hash, key, sizeof(table[i].hash)))
			return &table[i].name;
	return NULL;
}

static long bpf_skb_load_bytes(const struct __sk_buff *skb, uint32_t off, void *to, uint32_t len)
{
	if (off > packet_len || len > packet_len - off)
		return -1;
	memcpy(to, packet + off, len);
	return 0;
}

void twin_add(uint64_t hash, const uint8_t *wire, uint32_t len, uint32_t flags)
{
	size_t i = 0;

	if (!n_table)
		dns_ends_init(&ends, 2);
	if (flags)
		dns_ends_add(&ends, wire, len);
	while (i < n_table && table[i].hash != hash)
		i++;
	if (i == ROOM)
		abort();
	if (i == n_table) {
		n_table++;
		table[i].hash = hash;
		table[i].name.len = len;
		memcpy(table[i].name.wire, wire, len);
	}
	table[i].name.flags |= flags;
}

int twin_other(const uint8_t *msg, size_t len)
{
	memset(&question, 0xa5, sizeof(question));
	if (len < DNS_HEADER)
		return 0;
	c25_name_peek(&question, msg + DNS_HEADER, msg + len);
	return c25_name_other(&question);
}

uint32_t twin_taken(const uint8_t *msg, size_t len, uint64_t *hash)
{
	struct __sk_buff skb = { .len = (uint32_t)len };
	uint32_t taken;

	/* What an earlier message left there must not matter. */
	memset(&question, 0xa5, sizeof(question));
	packet = msg;
	packet_len = len;
	taken = c25_question_taken(&skb, 0, (uint32_t)len);
	*hash = question.hash;
	return taken;
}
