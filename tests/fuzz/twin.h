/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * twin: the kernel's matcher in userspace: bpf/c25_dns_name.h itself, with stand-ins for the
 * helpers and the maps it uses.
 */
#ifndef TWIN_H
#define TWIN_H

#include <stddef.h>
#include <stdint.h>

/* An entry of c25_names; what is there keeps its flags as well. Its end is in c25_ends too: no
 * domain may be shorter than two bytes. */
void twin_add(uint64_t hash, const uint8_t *wire, uint32_t len, uint32_t flags);
/* Whether c25_name_other() knows, of the whole of `msg`, that c25_question_taken() takes none. */
int twin_other(const uint8_t *msg, size_t len);
/* As c25_question_taken(), of the whole of `msg`; *hash is then that of the name. */
uint32_t twin_taken(const uint8_t *msg, size_t len, uint64_t *hash);

#endif
