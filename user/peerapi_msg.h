/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peerapi_msg: the bodies of the peer API, JSON to structs and back.
 *
 * Pure. Knows the wire form of POST /v0/connector/transit-ip and nothing of who may say it.
 */
#ifndef PEERAPI_MSG_H
#define PEERAPI_MSG_H

#include "addr.h"
#include "cleanup.h"

#include <stdbool.h>
#include <stddef.h>

#define PEERAPI_MAX_BODY (1024 * 1024)
#define PEERAPI_PATH     "/v0/connector/transit-ip"

enum peerapi_code {
	PEERAPI_OK = 0,
	PEERAPI_OTHER = 1,
	PEERAPI_DUPLICATE = 2,
	PEERAPI_NO_FAMILY = 3,
	PEERAPI_MISMATCH = 4,
	PEERAPI_NO_APP = 5,
	PEERAPI_FORBIDDEN = 6,
};

/* The family is the one spelled: "::ffff:192.0.2.1" is 6, though its address prints as IPv4. */
struct peerapi_item {
	struct c25_addr transit;
	struct c25_addr real;
	int transit_family; /* 4 or 6 */
	int real_family;
	char *app;
};

struct peerapi_request {
	struct peerapi_item *items;
	size_t n_items;
	struct c25_addr *release;
	size_t n_release;
};

struct peerapi_result {
	int code;            /* enum peerapi_code; a client keeps what it does not know */
	const char *message; /* NULL where code is 0 */
};

struct peerapi_response {
	struct peerapi_result *results;
	size_t n_results;
	char *epoch; /* "" where the peer sent none */
	char *text;  /* what the messages point into; the response's own */
};

/*
 * 0, -ENOMEM, or -EINVAL: not JSON, a wrong type anywhere, a field of ours given twice, an escaped
 * NUL in any string: the whole request is refused. Lists may be absent or null; an absent app is
 * "", an absent address is a wrong type; unknown fields are ignored.
 */
int peerapi_request_parse(struct peerapi_request *out, const char *body, size_t len);
void peerapi_request_clear(struct peerapi_request *r);

/* An owned string, or NULL when out of memory. */
char *peerapi_request_print(const struct peerapi_request *r);

/* An absent code is 0, as Go's encoders leave zeros out. */
int peerapi_response_parse(struct peerapi_response *out, const char *body, size_t len);
void peerapi_response_clear(struct peerapi_response *r);
char *peerapi_response_print(const struct peerapi_result *results, size_t n, const char *epoch);

#endif
