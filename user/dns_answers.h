/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dns_answers: answers that the kernel may give to the next who asks (c25_answers).
 *
 * An answer is kept for each name and type, from the server asked last. Where it cannot be given
 * as a whole, none is kept, and the daemon is asked each time.
 */
#ifndef DNS_ANSWERS_H
#define DNS_ANSWERS_H

#include "dns_rewrite.h"
#include "maps.h"

struct dns_answers {
	const struct maps *maps; /* NULL: DNS is not taken */
	uint32_t cookie;
};

/* Those of an earlier daemon stay as long as they are good. `maps` must outlive it; `now` as below.
 */
int dns_answers_init(struct dns_answers *a, const struct maps *maps, uint64_t now);

/* `q` was answered by what the plan grants; `flags` are the answer's, `now` is in seconds of
 * CLOCK_BOOTTIME. */
void dns_answers_note(struct dns_answers *a, const struct c25_addr *server,
		      const struct dns_question *q, const struct dns_plan *plan, uint16_t flags,
		      uint64_t now);

/* A lease of this domain and family is over. */
void dns_answers_drop(struct dns_answers *a, const char *domain, bool is4);

#endif
