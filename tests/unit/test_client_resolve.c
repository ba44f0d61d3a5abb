/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Scripted connectors, each a peer API of one answer, in the test's loop; what the client would
 * know of them (numbers, health, addresses) is the test's to say, as is the clock.
 */
#include "client_resolve.h"
#include "leaks.h"
#include "peerapi_server.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

SUITE(client_resolve);

#define N 3

enum script { ANSWER, SILENT, SERVFAIL, REFUSED, TRUNCATED, FORGED, RUBBISH, STATUS, SHORT };

/* A connector; its daemon runs threads of its own. */
static struct connector {
	struct MHD_Daemon *daemon;
	enum script script;
	bool unhealthy;
	unsigned asked;
	char path[128], app[128], type[64], from[64];
	uint8_t msg[512];
	size_t len;
	struct netmap_node node;
	char base[64];
} connectors[N];

static uv_loop_t loop;
static struct client c;
static struct client_resolve *resolve;
static struct netmap_app apps[2] = { { .name = (char *)"web & more",
				       .resolve = NETMAP_RESOLVE_CONNECTOR },
				     { .name = (char *)"plain" } };
static struct netmap nm = { .apps = apps, .n_apps = 2 };
static struct client_app known = { .known = true };
static struct c25_addr source;
static uint64_t skew;

/* ---- what the client knows ---- */

uint64_t client_now_ms(const struct client *client)
{
	return uv_now(client->deps.loop) + skew;
}

bool client_healthy(const struct client *client, uint32_t connector)
{
	return !connectors[connector].unhealthy;
}

const struct netmap_node *client_node(const struct client *client, uint32_t connector)
{
	return connectors[connector].node.peer_api ? &connectors[connector].node : NULL;
}

const char *client_base(const struct client *client, const struct netmap_node *node)
{
	return node->peer_api;
}

const struct c25_addr *client_source(const struct client *client, const char *base)
{
	return &source;
}

const struct client_app *client_app(struct client *client, size_t index)
{
	return index ? NULL : &known;
}

const char *peers_id(const struct peers *p, uint32_t index)
{
	return "a connector";
}

/* ---- the proxy ---- */

struct dns_query {
	void *data;
	unsigned answers, failures, taken_back;
	uint8_t last;
	uint8_t rcode;
	uint32_t first; /* of the connectors, as the answer came */
};

void dns_query_set_data(struct dns_query *q, void *data)
{
	q->data = data;
}

void *dns_query_data(const struct dns_query *q)
{
	return q->data;
}

void dns_query_fail(struct dns_query *q)
{
	cr_assert_null(q->data);
	q->failures++;
	uv_stop(&loop);
}

int dns_query_external_answer(struct dns_query *q, const uint8_t *msg, size_t len)
{
	if (len < 20 || msg[13] != 'a')
		return -EBADMSG;
	cr_assert_null(q->data);
	q->data = q; /* what the controller may put there */
	q->answers++;
	q->last = msg[len - 1];
	q->rcode = msg[3] & 0xf;
	q->first = client_resolve_order(resolve, &known)[0];
	uv_stop(&loop);
	return 0;
}

/* ---- connectors ---- */

static const uint8_t message[] = { 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1 };

static enum MHD_Result respond(struct connector *k, struct MHD_Connection *mhd)
{
	static const uint8_t rr[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 0 };
	uint8_t m[sizeof(message) + sizeof(rr)];
	struct MHD_Response *response;
	enum MHD_Result result;
	size_t len = sizeof(m);

	memcpy(m, message, sizeof(message));
	memcpy(m + sizeof(message), rr, sizeof(rr));
	m[2] |= 0x80;
	m[7] = 1;
	m[len - 1] = (uint8_t)(k - connectors);
	if (k->script == SERVFAIL)
		m[3] |= 2;
	if (k->script == REFUSED)
		m[3] |= 5;
	if (k->script == TRUNCATED)
		m[2] |= 2;
	if (k->script == FORGED)
		m[13] = 'b';
	if (k->script == RUBBISH)
		memset(m, 0xff, len);
	if (k->script == SHORT)
		len = 3;
	response = MHD_create_response_from_buffer(len, m, MHD_RESPMEM_MUST_COPY);
	result = MHD_queue_response(mhd, k->script == STATUS ? 403 : 200, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *path,
				  const char *method, const char *version, const char *data,
				  size_t *len, void **slot)
{
	struct connector *k = cls;
	const union MHD_ConnectionInfo *info;
	const char *app;

	if (!*slot) {
		*slot = k;
		k->len = 0;
		return MHD_YES;
	}
	if (*len) {
		memcpy(k->msg + k->len, data, *len);
		k->len += *len;
		*len = 0;
		return MHD_YES;
	}
	app = MHD_lookup_connection_value(mhd, MHD_GET_ARGUMENT_KIND, "app");
	info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	sock_print(k->from, info->client_addr);
	snprintf(k->path, sizeof(k->path), "%s %s", method, path);
	snprintf(k->app, sizeof(k->app), "%s", app ? app : "");
	snprintf(k->type, sizeof(k->type), "%s",
		 MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Content-Type"));
	__atomic_add_fetch(&k->asked, 1, __ATOMIC_SEQ_CST);
	if (k->script == SILENT) {
		MHD_suspend_connection(mhd);
		*slot = mhd;
		return MHD_YES;
	}
	return respond(k, mhd);
}

static void start(void)
{
	uv_loop_init(&loop);
	addr_parse(&source, "127.0.0.5");
	c.deps.loop = &loop;
	c.nm = &nm;
	known.n = N;
	for (uint32_t i = 0; i < N; i++) {
		struct connector *k = &connectors[i];

		k->daemon =
			MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME,
					 0, NULL, NULL, on_request, k, MHD_OPTION_END);
		cr_assert_not_null(k->daemon);
		snprintf(k->base, sizeof(k->base), "http://127.0.0.1:%u",
			 MHD_get_daemon_info(k->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
		k->node.peer_api = k->base;
		known.connectors[i] = i;
	}
	cr_assert_eq(client_resolve_new(&resolve, &c), 0);
}

static void finish(void)
{
	client_resolve_free(resolve);
	while (uv_run(&loop, UV_RUN_DEFAULT))
		;
	cr_assert_eq(uv_loop_close(&loop), 0, "every handle is closed");
	for (size_t i = 0; i < N; i++)
		if (connectors[i].daemon && connectors[i].script != SILENT)
			MHD_stop_daemon(connectors[i].daemon);
}

static void stop(struct connector *k)
{
	MHD_stop_daemon(k->daemon);
	k->daemon = NULL;
}

static struct dns_query *ask(struct dns_query *q)
{
	*q = (struct dns_query){ 0 };
	cr_assert(client_resolve_ask(resolve, q, 0, message, sizeof(message)));
	return q;
}

static void wait_for(const struct dns_query *q)
{
	while (!q->answers && !q->failures)
		uv_run(&loop, UV_RUN_DEFAULT);
}

static struct dns_query asked_and_answered(void)
{
	struct dns_query q;

	wait_for(ask(&q));
	cr_assert_eq(q.answers + q.failures, 1);
	return q;
}

/* ---- claims ---- */

Test(client_resolve, a_question_goes_to_the_first_connector_as_rfc_8484_says)
{
	struct connector *k = &connectors[0];
	struct dns_query q;

	start();
	q = asked_and_answered();
	cr_assert_eq(q.answers, 1);
	cr_assert_eq(q.last, 0);
	cr_assert_eq(k->asked, 1);
	cr_assert_str_eq(k->path, "POST /dns-query");
	cr_assert_str_eq(k->app, "web & more");
	cr_assert_str_eq(k->type, "application/dns-message");
	cr_assert_eq(strncmp(k->from, "127.0.0.5:", 10), 0, "%s", k->from);
	cr_assert_eq(k->len, sizeof(message));
	cr_assert_eq(k->msg[0] | k->msg[1], 0, "the id is 0");
	cr_assert_arr_eq(k->msg + 2, message + 2, sizeof(message) - 2);
	cr_assert_eq(connectors[1].asked + connectors[2].asked, 0);
	finish();
}

Test(client_resolve, an_app_with_resolve_client_is_not_ours)
{
	struct dns_query q = { 0 };

	start();
	cr_assert_not(client_resolve_ask(resolve, &q, 1, message, sizeof(message)));
	finish();
}

static void expect_next(enum script script)
{
	struct dns_query q;

	connectors[0].asked = connectors[1].asked = 0;
	connectors[0].script = script;
	q = asked_and_answered();
	cr_assert_eq(q.answers, 1, "%d", script);
	cr_assert_eq(q.last, 1, "%d", script);
	cr_assert_eq(q.rcode, 0);
	cr_assert_eq(connectors[0].asked, 1, "%d", script);
}

Test(client_resolve, what_is_no_answer_lets_the_next_one_be_asked)
{
	start();
	for (int script = SERVFAIL; script <= SHORT; script++)
		expect_next((enum script)script);
	finish();
}

Test(client_resolve, the_last_connector_s_error_is_the_answer)
{
	struct dns_query q;

	start();
	for (size_t i = 0; i < N; i++)
		connectors[i].script = i == N - 1 ? REFUSED : SERVFAIL;
	q = asked_and_answered();
	cr_assert_eq(q.answers, 1);
	cr_assert_eq(q.rcode, 5);
	finish();
}

Test(client_resolve, no_answer_of_any_is_a_failure)
{
	struct dns_query q;

	start();
	for (size_t i = 0; i < N; i++)
		connectors[i].script = STATUS;
	q = asked_and_answered();
	cr_assert_eq(q.failures, 1);
	known.n = 0;
	q = asked_and_answered();
	cr_assert_eq(q.failures, 1, "nor of none");
	finish();
}

Test(client_resolve, one_that_is_gone_is_asked_last_for_a_while)
{
	struct dns_query q;

	start();
	stop(&connectors[0]);
	q = asked_and_answered();
	cr_assert_eq(q.last, 1);
	connectors[1].script = STATUS;
	q = asked_and_answered();
	cr_assert_eq(q.last, 2, "before the one that is gone");
	connectors[2].script = STATUS;
	q = asked_and_answered();
	cr_assert_eq(q.failures, 1, "which is asked all the same");
	finish();
}

Test(client_resolve, an_unhealthy_one_is_asked_last)
{
	struct dns_query q;

	start();
	connectors[0].unhealthy = true;
	q = asked_and_answered();
	cr_assert_eq(q.last, 1);
	cr_assert_eq(connectors[0].asked, 0);
	connectors[1].script = connectors[2].script = STATUS;
	q = asked_and_answered();
	cr_assert_eq(q.last, 0);
	finish();
}

Test(client_resolve, one_that_left_the_netmap_is_passed_over)
{
	struct dns_query q;

	start();
	connectors[0].node.peer_api = NULL;
	q = asked_and_answered();
	cr_assert_eq(q.last, 1);
	finish();
}

Test(client_resolve, silence_is_left_for_the_next_one_in_half_of_the_time)
{
	struct dns_query q;
	uint64_t from;

	start();
	connectors[0].script = SILENT;
	from = uv_now(&loop);
	q = asked_and_answered();
	uv_update_time(&loop);
	cr_assert_eq(q.last, 1);
	cr_assert_geq(uv_now(&loop) - from, 2400);
	cr_assert_lt(uv_now(&loop) - from, 4500);
	q = asked_and_answered();
	cr_assert_eq(q.last, 1);
	cr_assert_eq(connectors[0].asked, 1, "and is not waited for again");
	skew += 5001;
	connectors[1].script = STATUS;
	ask(&q);
	while (__atomic_load_n(&connectors[0].asked, __ATOMIC_SEQ_CST) == 1)
		uv_run(&loop, UV_RUN_ONCE);
	client_resolve_unask(&q);
	finish();
}

Test(client_resolve, registration_begins_with_the_one_that_answered)
{
	struct dns_query q;

	start();
	connectors[0].script = SERVFAIL;
	q = asked_and_answered();
	cr_assert_eq(q.last, 1);
	cr_assert_eq(q.first, 1);
	cr_assert_eq(client_resolve_order(resolve, &known), known.connectors, "then only");
	finish();
}

Test(client_resolve, many_questions_at_once_are_all_answered)
{
	static struct dns_query q[300];

	start();
	for (size_t i = 0; i < ARRAY_SIZE(q); i++)
		ask(&q[i]);
	for (size_t i = 0; i < ARRAY_SIZE(q); i++) {
		wait_for(&q[i]);
		cr_assert_eq(q[i].answers, 1);
	}
	finish();
}

Test(client_resolve, questions_beyond_the_bound_fail_at_once)
{
	static struct dns_query q[1025];

	start();
	connectors[0].script = SILENT;
	for (size_t i = 0; i < 1025; i++) {
		ask(&q[i]);
		cr_assert_eq(q[i].failures, i < 1024 ? 0 : 1, "%zu", i);
	}
	for (size_t i = 0; i < 1024; i++)
		client_resolve_unask(&q[i]);
	finish();
}

Test(client_resolve, what_is_taken_back_is_never_answered)
{
	struct dns_query q, other;

	start();
	ask(&q);
	client_resolve_unask(&q);
	wait_for(ask(&other));
	finish();
	cr_assert_eq(q.answers + q.failures, 0);
}
