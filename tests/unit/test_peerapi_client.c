/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A raw TCP server with a script stands in for the connector: what it reads is kept, what it
 * answers is up to the test. Client and server share the loop.
 */
#include "leaks.h"
#include "peerapi_client.h"
#include "peerapi_msg.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

SUITE(peerapi_client);

/* One scripted server: for every whole request it sends `answer`, then closes if told so. */
struct script {
	uv_tcp_t tcp;
	const char *answer; /* NULL: none at all */
	size_t answer_len;  /* 0: strlen(answer) */
	bool close_after;
	unsigned accepted;
	unsigned requests;
	char seen[8192]; /* the last request */
	size_t seen_len;
	struct sockaddr_storage from;
	uv_tcp_t *conns[64];
};

static uv_loop_t loop;
static struct peerapi_client *client;
static struct script script;
static char base[64];

struct outcome {
	int calls;
	int status;
	char body[256];
	size_t len;
	char error[256];
};

static void conn_closed(uv_handle_t *h)
{
	free(h);
}

static void conn_close(uv_handle_t *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(script.conns); i++)
		if (script.conns[i] == (uv_tcp_t *)h)
			script.conns[i] = NULL;
	if (!uv_is_closing(h))
		uv_close(h, conn_closed);
}

static void give_buffer(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	if (script.seen_len > sizeof(script.seen) - 1024)
		script.seen_len = 1024; /* long bodies: only the head is looked at */
	*buf = uv_buf_init(script.seen + script.seen_len,
			   (unsigned)(sizeof(script.seen) - 1 - script.seen_len));
}

static bool request_is_whole(void)
{
	const char *end, *length;

	script.seen[script.seen_len] = 0;
	end = strstr(script.seen, "\r\n\r\n");
	length = strcasestr(script.seen, "content-length:");
	return end && length &&
	       script.seen + script.seen_len - (end + 4) >= strtol(length + 15, NULL, 10);
}

static void wrote(uv_write_t *w, int status)
{
	uv_handle_t *conn = w->data;

	free(w);
	if (script.close_after)
		conn_close(conn);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	uv_write_t *w;
	uv_buf_t out;

	if (n < 0) {
		conn_close((uv_handle_t *)stream);
		return;
	}
	script.seen_len += (size_t)n;
	if (!request_is_whole())
		return;
	script.seen_len = 0;
	script.requests++;
	uv_stop(&loop);
	if (!script.answer)
		return;
	w = malloc(sizeof(*w));
	w->data = stream;
	out = uv_buf_init((char *)script.answer,
			  (unsigned)(script.answer_len ? script.answer_len :
							 strlen(script.answer)));
	uv_write(w, stream, &out, 1, wrote);
}

static void on_accept(uv_stream_t *server, int status)
{
	uv_tcp_t *conn = calloc(1, sizeof(*conn));
	int len = sizeof(script.from);

	uv_tcp_init(&loop, conn);
	cr_assert_eq(uv_accept(server, (uv_stream_t *)conn), 0);
	uv_tcp_getpeername(conn, (struct sockaddr *)&script.from, &len);
	script.conns[script.accepted++ % ARRAY_SIZE(script.conns)] = conn;
	uv_read_start((uv_stream_t *)conn, give_buffer, on_read);
}

static void listen_on(const char *addr)
{
	struct sockaddr_storage ss;
	struct c25_addr a;
	int len = sizeof(ss);

	cr_assert_gt(addr_parse(&a, addr), 0);
	ss = sock_make(&a, 0);
	uv_tcp_init(&loop, &script.tcp);
	cr_assert_eq(uv_tcp_bind(&script.tcp, (struct sockaddr *)&ss, 0), 0);
	cr_assert_eq(uv_listen((uv_stream_t *)&script.tcp, 64, on_accept), 0);
	uv_tcp_getsockname(&script.tcp, (struct sockaddr *)&ss, &len);
	strcpy(base, "http://");
	sock_print(base + 7, (struct sockaddr *)&ss);
}

static void start(const char *answer)
{
	uv_loop_init(&loop);
	script.answer = answer;
	listen_on("127.0.0.1");
	cr_assert_eq(peerapi_client_new(&client, &loop), 0);
}

static void finish(void)
{
	peerapi_client_free(client);
	uv_close((uv_handle_t *)&script.tcp, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(script.conns); i++)
		if (script.conns[i])
			conn_close((uv_handle_t *)script.conns[i]);
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&loop), 0, "every handle is closed");
}

static void record(void *ctx, int status, const char *body, size_t len, const char *error)
{
	struct outcome *o = ctx;

	o->calls++;
	uv_stop(&loop);
	o->status = status;
	o->len = len;
	cr_assert_eq(strlen(body), len);
	cr_assert_eq(!status, !!error);
	snprintf(o->body, sizeof(o->body), "%s", body);
	snprintf(o->error, sizeof(o->error), "%s", error ? error : "");
}

/* A request as registrations are. */
static int post_json(const char *path, const struct c25_addr *source, const char *body,
		     uint64_t timeout_ms, peerapi_done done, struct outcome *o)
{
	const struct peerapi_post post = { .base = base,
					   .path = path,
					   .source = source,
					   .type = "application/json",
					   .body = body,
					   .len = strlen(body),
					   .timeout_ms = timeout_ms };
	struct peerapi_call *call;

	return peerapi_client_send(client, &post, done, o, &call);
}

static void post(struct outcome *o, uint64_t timeout_ms)
{
	cr_assert_eq(post_json(PEERAPI_PATH, NULL, "{}", timeout_ms, record, o), 0);
}

static void wait_for(const struct outcome *o)
{
	int calls = o->calls;

	while (o->calls == calls)
		uv_run(&loop, UV_RUN_DEFAULT); /* until uv_stop() */
}

static void exchange(struct outcome *o, uint64_t timeout_ms)
{
	post(o, timeout_ms);
	cr_assert_eq(o->calls, 0, "done is not called from within post");
	wait_for(o);
}

static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

Test(peerapi_client, a_post_carries_its_body_as_json)
{
	struct outcome o = { 0 };

	start("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	exchange(&o, 5000);
	cr_assert_eq(o.status, 200, "%s", o.error);
	cr_assert_str_eq(o.body, "hello");
	cr_assert(!strncmp(script.seen, "POST " PEERAPI_PATH " HTTP/1.1\r\n", 40));
	cr_assert(strstr(script.seen, "Content-Type: application/json\r\n"));
	cr_assert_null(strcasestr(script.seen, "expect"));
	cr_assert_str_eq(strstr(script.seen, "\r\n\r\n"), "\r\n\r\n{}");
	finish();
}

Test(peerapi_client, a_status_other_than_200_comes_with_its_body)
{
	struct outcome o = { 0 };

	start("HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nwhy?");
	exchange(&o, 5000);
	cr_assert_eq(o.status, 503);
	cr_assert_str_eq(o.body, "why?");
	finish();
}

Test(peerapi_client, one_connection_serves_many_posts_without_descriptor_growth)
{
	int before = 0;

	start("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
	for (int i = 0; i < 2000; i++) {
		struct outcome o = { 0 };

		exchange(&o, 5000);
		cr_assert_eq(o.status, 200, "%s", o.error);
		if (i == 10)
			before = count_descriptors();
	}
	cr_assert_eq(script.requests, 2000);
	cr_assert_eq(script.accepted, 1);
	cr_assert_eq(count_descriptors(), before);
	finish();
}

Test(peerapi_client, an_idle_connection_that_the_peer_closed_is_not_an_error)
{
	struct outcome o = { 0 };

	start("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
	script.close_after = true;
	for (int i = 0; i < 20; i++) {
		o = (struct outcome){ 0 };
		exchange(&o, 5000);
		cr_assert_eq(o.status, 200, "%d: %s", i, o.error);
	}
	finish();
}

Test(peerapi_client, no_answer_ends_at_the_timeout)
{
	struct outcome o = { 0 };
	uint64_t from;

	start(NULL);
	from = uv_now(&loop);
	exchange(&o, 50);
	cr_assert_eq(o.status, 0);
	cr_assert(strcasestr(o.error, "timed out"), "%s", o.error);
	uv_update_time(&loop);
	cr_assert_lt(uv_now(&loop) - from, 3000);
	finish();
}

Test(peerapi_client, a_timeout_of_zero_is_not_for_ever)
{
	struct outcome o = { 0 };

	start(NULL);
	exchange(&o, 0);
	cr_assert_eq(o.status, 0);
	finish();
}

Test(peerapi_client, a_refused_connection_is_told)
{
	struct outcome o = { 0 };

	start(NULL);
	strcpy(base, "http://127.0.0.1:1");
	exchange(&o, 5000);
	cr_assert_eq(o.status, 0);
	cr_assert(strstr(o.error, "connect"), "%s", o.error);
	finish();
}

Test(peerapi_client, a_peer_that_closes_mid_body_gave_no_answer)
{
	struct outcome o = { 0 };

	start("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"transitIPs\"");
	script.close_after = true;
	exchange(&o, 5000);
	cr_assert_eq(o.status, 0);
	cr_assert_str_eq(o.body, "");
	cr_assert_neq(o.error[0], 0);
	finish();
}

Test(peerapi_client, what_is_not_http_is_an_error)
{
	struct outcome o = { 0 };

	start("SSH-2.0-OpenSSH_9.2\r\n\r\n");
	script.close_after = true;
	exchange(&o, 5000);
	cr_assert_eq(o.status, 0);
	cr_assert_neq(o.error[0], 0);
	finish();
}

Test(peerapi_client, redirects_are_not_followed)
{
	struct outcome o = { 0 };

	start("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
	exchange(&o, 5000);
	cr_assert_eq(o.status, 302);
	cr_assert_eq(script.requests, 1);
	finish();
}

Test(peerapi_client, proxies_of_the_environment_are_not_used)
{
	struct outcome o = { 0 };

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	exchange(&o, 5000);
	cr_assert_eq(o.status, 200, "%s", o.error);
	finish();
}

Test(peerapi_client, only_http_is_spoken)
{
	struct outcome o = { 0 };

	start(NULL);
	strcpy(base, "file:///etc/hostname?");
	exchange(&o, 5000);
	cr_assert_eq(o.status, 0);
	cr_assert_neq(o.error[0], 0);
	finish();
}

Test(peerapi_client, requests_leave_from_the_source_address_given)
{
	struct c25_addr source, from;
	struct outcome o = { 0 };

	start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	addr_parse(&source, "127.0.0.5");
	cr_assert_eq(post_json("/", &source, "{}", 5000, record, &o), 0);
	wait_for(&o);
	cr_assert_eq(o.status, 200, "%s", o.error);
	from = sock_addr((struct sockaddr *)&script.from);
	cr_assert(addr_equal(&from, &source));
	finish();
}

Test(peerapi_client, a_source_address_that_is_not_ours_is_an_error)
{
	struct c25_addr source;
	struct outcome o = { 0 };

	start(NULL);
	addr_parse(&source, "192.0.2.77");
	cr_assert_eq(post_json("/", &source, "{}", 5000, record, &o), 0);
	wait_for(&o);
	cr_assert_eq(o.status, 0);
	cr_assert_neq(o.error[0], 0);
	finish();
}

Test(peerapi_client, ipv6_works_alike)
{
	struct c25_addr source;
	struct outcome o = { 0 };

	uv_loop_init(&loop);
	script.answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	listen_on("::1");
	cr_assert_eq(peerapi_client_new(&client, &loop), 0);
	addr_parse(&source, "::1");
	cr_assert_eq(post_json("/", &source, "{}", 5000, record, &o), 0);
	wait_for(&o);
	cr_assert_eq(o.status, 200, "%s", o.error);
	finish();
}

Test(peerapi_client, names_are_resolved_without_blocking)
{
	struct outcome o = { 0 };
	char *port;

	start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	port = strrchr(base, ':');
	memmove(base + strlen("http://localhost"), port, strlen(port) + 1);
	memcpy(base, "http://localhost", strlen("http://localhost"));
	exchange(&o, 5000);
	cr_assert_eq(o.status, 200, "%s", o.error);
	finish();
}

static char *answer_of(size_t body_len, size_t *len)
{
	char *answer = malloc(body_len + 128);

	*len = (size_t)sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body_len);
	memset(answer + *len, 'x', body_len);
	*len += body_len;
	return answer;
}

Test(peerapi_client, an_answer_of_one_mebibyte_is_taken_and_one_byte_more_is_not)
{
	struct outcome o = { 0 };
	char *answer;

	start(NULL);
	script.answer = answer = answer_of(PEERAPI_MAX_BODY, &script.answer_len);
	exchange(&o, 10000);
	cr_assert_eq(o.status, 200, "%s", o.error);
	cr_assert_eq(o.len, PEERAPI_MAX_BODY);
	free(answer);
	script.answer = answer = answer_of(PEERAPI_MAX_BODY + 1, &script.answer_len);
	o = (struct outcome){ 0 };
	exchange(&o, 10000);
	cr_assert_eq(o.status, 0);
	cr_assert(strstr(o.error, "1 MiB"), "%s", o.error);
	finish();
	free(answer);
}

Test(peerapi_client, requests_at_once_each_end_once)
{
	struct outcome o[50] = { 0 };

	start("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
	script.close_after = true;
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		post(&o[i], 10000);
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		while (!o[i].calls)
			uv_run(&loop, UV_RUN_DEFAULT);
	for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
		cr_assert_eq(o[i].calls, 1);
		cr_assert_eq(o[i].status, 200, "%s", o[i].error);
	}
	finish();
}

Test(peerapi_client, freeing_ends_requests_under_way_without_their_callback)
{
	struct outcome o[3] = { 0 };

	start(NULL);
	post(&o[0], 5000);
	post(&o[1], 5000);
	while (script.requests < 2)
		uv_run(&loop, UV_RUN_DEFAULT);
	post(&o[2], 5000); /* not even begun */
	finish();
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		cr_assert_eq(o[i].calls, 0);
}

static void free_client(void *ctx, int status, const char *body, size_t len, const char *error)
{
	record(ctx, status, body, len, error);
	peerapi_client_free(client);
	client = NULL;
}

Test(peerapi_client, the_client_may_be_freed_from_within_a_callback)
{
	struct outcome o = { 0 }, other = { 0 };

	start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	cr_assert_eq(post_json("/", NULL, "{}", 5000, free_client, &o), 0);
	post(&other, 5000);
	while (o.calls + other.calls == 0)
		uv_run(&loop, UV_RUN_DEFAULT);
	while (client)
		uv_run(&loop, UV_RUN_DEFAULT);
	finish();
	cr_assert_eq(o.calls, 1);
}

static void post_again(void *ctx, int status, const char *body, size_t len, const char *error)
{
	struct outcome *o = ctx;

	cr_assert_eq(status, 200);
	if (o->calls < 4) {
		o->calls++;
		post_json("/", NULL, "{}", 5000, post_again, o);
		return;
	}
	record(ctx, status, body, len, error);
}

Test(peerapi_client, a_callback_may_post_again)
{
	struct outcome o = { 0 };

	start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	cr_assert_eq(post_json("/", NULL, "{}", 5000, post_again, &o), 0);
	while (o.calls < 5)
		uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_eq(script.requests, 5);
	cr_assert_eq(script.accepted, 1);
	finish();
}

static struct peerapi_call *send_dns(struct outcome *o, const void *body, size_t len)
{
	const struct peerapi_post post = { .base = base,
					   .path = "/dns-query?app=web",
					   .type = "application/dns-message",
					   .body = body,
					   .len = len,
					   .timeout_ms = 5000 };
	struct peerapi_call *call = NULL;

	cr_assert_eq(peerapi_client_send(client, &post, record, o, &call), 0);
	cr_assert_not_null(call);
	return call;
}

Test(peerapi_client, a_body_of_any_type_and_bytes_is_sent_whole)
{
	struct outcome o = { 0 };

	start("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	send_dns(&o, "a\0b", 3);
	wait_for(&o);
	cr_assert_eq(o.status, 200, "%s", o.error);
	cr_assert(!strncmp(script.seen, "POST /dns-query?app=web HTTP/1.1\r\n", 34));
	cr_assert(strstr(script.seen, "Content-Type: application/dns-message\r\n"));
	cr_assert(strstr(script.seen, "Accept: application/dns-message\r\n"));
	cr_assert(strstr(script.seen, "Content-Length: 3\r\n"));
	cr_assert_arr_eq(strstr(script.seen, "\r\n\r\n") + 4, "a\0b", 3);
	finish();
}

Test(peerapi_client, a_cancelled_request_is_never_told)
{
	struct outcome gone = { 0 }, early = { 0 }, o = { 0 };
	struct peerapi_call *call;

	start(NULL);
	peerapi_client_cancel(send_dns(&early, "x", 1));
	call = send_dns(&gone, "x", 1);
	while (!script.requests)
		uv_run(&loop, UV_RUN_DEFAULT);
	peerapi_client_cancel(call);
	script.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
	exchange(&o, 5000);
	cr_assert_eq(o.status, 200, "%s", o.error);
	finish();
	cr_assert_eq(gone.calls, 0);
	cr_assert_eq(early.calls, 0);
}

static struct peerapi_call *to_cancel;

static void cancel_other(void *ctx, int status, const char *body, size_t len, const char *error)
{
	peerapi_client_cancel(to_cancel);
	record(ctx, status, body, len, error);
}

Test(peerapi_client, one_request_s_end_may_cancel_another)
{
	struct outcome o = { 0 }, other = { 0 };

	start("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
	cr_assert_eq(post_json(PEERAPI_PATH, NULL, "{}", 5000, cancel_other, &o), 0);
	to_cancel = send_dns(&other, "x", 1);
	wait_for(&o);
	finish();
	cr_assert_eq(o.calls, 1);
	cr_assert_eq(other.calls, 0);
}

Test(peerapi_client, requests_beyond_the_connections_wait_for_one)
{
	struct outcome o[6] = { 0 };

	start(NULL);
	peerapi_client_set_conns(client, 3);
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		send_dns(&o[i], "x", 1);
	while (script.requests < 3)
		uv_run(&loop, UV_RUN_DEFAULT);
	for (int i = 0; i < 20; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	cr_assert_eq(script.accepted, 3);
	finish();
}

Test(peerapi_client, a_value_of_a_query_is_escaped)
{
	char *text = peerapi_client_escape("web & more/\xc3\xa4=%+?#");

	cr_assert_str_eq(text, "web%20%26%20more%2F%C3%A4%3D%25%2B%3F%23");
	free(text);
}
