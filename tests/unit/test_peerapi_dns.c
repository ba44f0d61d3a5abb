/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libcurl as a client of RFC 8484, the server and its resolver in the test's loop, and behind it
 * an upstream with a script. Who asks is told by the source address.
 */
#include "dns_build.h"
#include "leaks.h"
#include "peerapi_dns.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

SUITE(peerapi_dns);

#define PEER  "127.0.0.1"
#define GUEST "127.0.0.3"
#define SELF  "127.0.0.9"
#define TYPE  "Content-Type: application/dns-message"

static const char netmap_text[] =
	"{\"nodes\":["
	"{\"id\":\"a\",\"addresses\":[\"127.0.0.1\"],\"tags\":[\"tag:w\"]},"
	"{\"id\":\"guest\",\"addresses\":[\"127.0.0.3\"]},"
	"{\"id\":\"other\",\"addresses\":[\"127.0.0.8\"],\"connector\":true},"
	"{\"id\":\"exit\",\"addresses\":[\"127.0.0.9\"],\"connector\":true}],"
	"\"apps\":["
	"{\"name\":\"web & more\",\"domains\":[\"a.example\",\"*.b.example\"],"
	"\"connectors\":[\"exit\"],\"clients\":[\"tag:w\"],\"resolve\":\"connector\"},"
	"{\"name\":\"far\",\"domains\":[\"f.example\"],\"connectors\":[\"other\"],"
	"\"clients\":[\"tag:w\"]},"
	"{\"name\":\"closed\",\"domains\":[\"c.example\"],\"connectors\":[\"exit\"]}],"
	"\"ipPools\":{\"v4MagicIPPool\":[\"198.18.0.0/16\"],"
	"\"v4TransitIPPool\":[\"169.254.64.0-169.254.127.255\"]}}";

static const char bare_netmap_text[] = "{\"nodes\":[{\"id\":\"a\",\"addresses\":[\"127.0.0.1\"]},"
				       "{\"id\":\"exit\",\"addresses\":[\"127.0.0.9\"],"
				       "\"connector\":true}],\"apps\":[]}";

#define APP "web%20%26%20more"

static uv_loop_t loop;
static struct peerapi_server *server;
static struct dns_proxy *resolver;
static struct netmap *nm;
static uint16_t port;
static bool no_resolver;

/* The upstream: answers each question with the records of `script`, or waits for `hold`. */
static struct {
	uv_poll_t poll;
	int fd;
	bool silent;
	unsigned heard, hold; /* answers wait until so many were heard */
	uint8_t held[64][512];
	size_t held_len[64];
	struct sockaddr_storage held_from[64];
	uint8_t rcode;
	uint8_t records[512];
	size_t len;
	uint8_t answers, authority;
} up;

static const struct netmap *op_netmap(void *ctx)
{
	return nm;
}

static struct dns_proxy *op_resolver(void *ctx)
{
	return no_resolver ? NULL : resolver;
}

/* a.example and what ends with b.example; the tables themselves are tested elsewhere. */
static bool op_covers(void *ctx, const struct netmap_app *app, const uint8_t *name)
{
	char text[DNS_MAX_TEXT];

	cr_assert_str_eq(app->name, "web & more");
	dns_name_text(text, name);
	return !strcmp(text, "a.example") || strstr(text, "b.example");
}

static const struct peerapi_server_ops ops = {
	.netmap = op_netmap,
	.resolver = op_resolver,
	.covers = op_covers,
};

static size_t match_nothing(void *ctx, const struct dns_question *q)
{
	return DNS_MATCH_PASS;
}

static const struct dns_proxy_ops proxy_ops = { .match = match_nothing };

static void up_answer(uint8_t *m, size_t len, const struct sockaddr_storage *to)
{
	m[2] |= 0x84;
	m[3] = 0x80 | up.rcode;
	m[7] = up.answers;
	m[9] = up.authority;
	memcpy(m + len, up.records, up.len);
	sendto(up.fd, m, len + up.len, 0, (const void *)to, sock_len((const void *)to));
}

static void up_ready(uv_poll_t *poll, int status, int events)
{
	for (;;) {
		unsigned i = up.heard % 64;
		socklen_t from = sizeof(up.held_from[i]);
		ssize_t n = recvfrom(up.fd, up.held[i], 256, MSG_DONTWAIT, (void *)&up.held_from[i],
				     &from);

		if (n < 0)
			return;
		up.held_len[i] = (size_t)n;
		up.heard++;
		if (up.silent || up.heard < up.hold)
			continue;
		for (unsigned k = up.hold ? 0 : i; k <= i; k++)
			up_answer(up.held[k], up.held_len[k], &up.held_from[k]);
	}
}

static void add_record(uint8_t type, uint32_t ttl, const void *rdata, uint8_t len)
{
	uint8_t *p = up.records + up.len;
	const uint8_t head[] = { 0xc0, 12, 0, type, 0, 1 };

	memcpy(p, head, sizeof(head));
	dns_put32(p + 6, ttl);
	p[10] = 0;
	p[11] = len;
	memcpy(p + 12, rdata, len);
	up.len += 12U + len;
	if (type == DNS_TYPE_SOA)
		up.authority++;
	else
		up.answers++;
}

static void use_netmap(const char *text)
{
	struct netmap_fault fault;

	netmap_free(nm);
	nm = NULL;
	cr_assert_eq(netmap_parse(&nm, text, strlen(text), "exit", &fault), 0, "%s: %s", fault.path,
		     fault.text);
}

static uint16_t free_port(void)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	socklen_t len = sizeof(in6);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&in6, len), 0);
	getsockname(fd, (struct sockaddr *)&in6, &len);
	close(fd);
	return ntohs(in6.sin6_port);
}

static void start(void)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char text[32];

	uv_loop_init(&loop);
	use_netmap(netmap_text);
	cr_assert_eq(sock_parse(&ss, "127.0.0.10", 53), 0);
	((struct sockaddr_in *)&ss)->sin_port = 0;
	up.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	cr_assert_eq(bind(up.fd, (void *)&ss, sock_len((void *)&ss)), 0);
	getsockname(up.fd, (void *)&ss, &len);
	uv_poll_init(&loop, &up.poll, up.fd);
	uv_poll_start(&up.poll, UV_READABLE, up_ready);
	cr_assert_eq(dns_proxy_new(&resolver, &loop, &proxy_ops, NULL, &ss, 1), 0);
	add_record(DNS_TYPE_A, 300, "\xcb\x00\x71\x09", 4);

	cr_assert_eq(peerapi_server_new(&server, &loop, NULL, &ops, NULL), 0);
	port = free_port();
	snprintf(text, sizeof(text), "[::]:%u", port);
	cr_assert_eq(sock_parse(&ss, text, 0), 0);
	cr_assert_eq(peerapi_server_listen(server, (struct sockaddr *)&ss), 0);
}

static void finish(void)
{
	peerapi_server_free(server);
	dns_proxy_free(resolver);
	uv_close((uv_handle_t *)&up.poll, NULL);
	close(up.fd);
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&loop), 0, "every handle is closed");
	uv_library_shutdown();
	netmap_free(nm);
}

/* One exchange by libcurl. */
struct ask {
	uv_work_t work;
	CURL *easy; /* kept by the test for another exchange */
	const char *source, *method, *path, *header;
	const uint8_t *body;
	size_t body_len;
	long status, connects;
	CURLcode result;
	uint8_t answer[65536];
	size_t len;
	char type[64], cache[64], allow[64];
};

static unsigned under_way;

static size_t take_body(char *data, size_t size, size_t n, void *ctx)
{
	struct ask *a = ctx;

	memcpy(a->answer + a->len, data, size * n);
	a->len += size * n;
	return size * n;
}

static void keep(char out[64], const char *name, const char *line, size_t len)
{
	if (!strncasecmp(line, name, strlen(name)))
		snprintf(out, 64, "%.*s", (int)(len - strlen(name) - 2), line + strlen(name));
}

static size_t take_header(char *data, size_t size, size_t n, void *ctx)
{
	struct ask *a = ctx;

	keep(a->type, "content-type: ", data, size * n);
	keep(a->cache, "cache-control: ", data, size * n);
	keep(a->allow, "allow: ", data, size * n);
	return size * n;
}

static void perform(uv_work_t *work)
{
	struct ask *a = work->data;
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
	char url[65536], host[64];

	headers = curl_slist_append(headers, a->header ? a->header : TYPE);
	snprintf(url, sizeof(url), "http://" SELF ":%u%s", port, a->path);
	snprintf(host, sizeof(host), "host!%s", a->source);
	curl_easy_setopt(a->easy, CURLOPT_URL, url);
	curl_easy_setopt(a->easy, CURLOPT_INTERFACE, host);
	curl_easy_setopt(a->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(a->easy, CURLOPT_TIMEOUT_MS, 8000L);
	curl_easy_setopt(a->easy, CURLOPT_NOSIGNAL, 1L);
	if (a->body) {
		curl_easy_setopt(a->easy, CURLOPT_POSTFIELDSIZE, (long)a->body_len);
		curl_easy_setopt(a->easy, CURLOPT_POSTFIELDS, a->body);
	}
	curl_easy_setopt(a->easy, CURLOPT_CUSTOMREQUEST, a->method);
	curl_easy_setopt(a->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(a->easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(a->easy, CURLOPT_WRITEDATA, a);
	curl_easy_setopt(a->easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(a->easy, CURLOPT_HEADERDATA, a);
	a->result = curl_easy_perform(a->easy);
	curl_easy_getinfo(a->easy, CURLINFO_RESPONSE_CODE, &a->status);
	curl_easy_getinfo(a->easy, CURLINFO_NUM_CONNECTS, &a->connects);
	curl_slist_free_all(headers);
}

static void performed(uv_work_t *work, int status)
{
	if (!--under_way)
		uv_stop(&loop);
}

static void begin(struct ask *a)
{
	a->work.data = a;
	under_way++;
	uv_queue_work(&loop, &a->work, perform, performed);
}

static void run_ask(struct ask *a)
{
	bool own = !a->easy;

	if (own)
		a->easy = curl_easy_init();
	a->len = 0;
	begin(a);
	uv_run(&loop, UV_RUN_DEFAULT);
	if (own)
		curl_easy_cleanup(a->easy);
	if (own)
		a->easy = NULL;
}

/* A question of class IN, id 0x1234; its length. */
static size_t message(uint8_t *m, const char *name, uint16_t type)
{
	size_t n = 12;

	memcpy(m, "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
	while (*name) {
		size_t label = strcspn(name, ".");

		m[n++] = (uint8_t)label;
		memcpy(m + n, name, label);
		n += label;
		name += label + (name[label] == '.');
	}
	m[n] = 0;
	dns_put16(m + n + 1, type);
	dns_put16(m + n + 3, 1);
	return n + 5;
}

static struct ask got;

static long post_to(const char *source, const char *path, const char *name, uint16_t type)
{
	uint8_t m[300];

	got = (struct ask){ .source = source, .method = "POST", .path = path, .body = m };
	got.body_len = message(m, name, type);
	run_ask(&got);
	cr_assert_eq(got.result, CURLE_OK, "%s", curl_easy_strerror(got.result));
	return got.status;
}

static long post(const char *name, uint16_t type)
{
	return post_to(PEER, "/dns-query?app=" APP, name, type);
}

static long send_it(const char *method, const char *path, const char *header, const void *body,
		    size_t len)
{
	got = (struct ask){ .source = PEER,
			    .method = method,
			    .path = path,
			    .header = header,
			    .body = body,
			    .body_len = len };
	run_ask(&got);
	cr_assert_eq(got.result, CURLE_OK, "%s", curl_easy_strerror(got.result));
	return got.status;
}

static unsigned rcode(void)
{
	cr_assert_str_eq(got.type, "application/dns-message");
	cr_assert_geq(got.len, 12);
	cr_assert_eq(dns_get16(got.answer), 0x1234);
	return got.answer[3] & 0xf;
}

/* ---- answers ---- */

Test(peerapi_dns, a_post_is_answered_as_the_upstream_says)
{
	start();
	cr_assert_eq(post("a.example", DNS_TYPE_A), 200);
	cr_assert_eq(rcode(), 0);
	cr_assert_eq(got.answer[7], 1);
	cr_assert_arr_eq(got.answer + got.len - 4, "\xcb\x00\x71\x09", 4);
	cr_assert_str_eq(got.cache, "max-age=300, private");
	cr_assert_eq(up.heard, 1);
	finish();
}

/* www.b.example IN A: the message of RFC 8484, 4.1.1 but for its name. */
Test(peerapi_dns, a_get_is_answered_alike)
{
	start();
	cr_assert_eq(send_it("GET",
			     "/dns-query?dns=EjQBAAABAAAAAAAAA3d3dwFiB2V4YW1wbGUAAAEAAQ&app=" APP,
			     NULL, NULL, 0),
		     200);
	cr_assert_eq(rcode(), 0);
	cr_assert_arr_eq(got.answer + got.len - 4, "\xcb\x00\x71\x09", 4);
	finish();
}

Test(peerapi_dns, a_get_that_is_not_base64url_is_400)
{
	static const char *const bad[] = {
		"",
		"&dns=",
		"&dns=EjQBAAABAAAAAAAAA3d3dwFiB2V4YW1wbGUAAAEAAQ==",
		"&dns=EjQBAAABAAAAAAAAA3d3dwFiB2V4YW1wbGUAAAEAAR",
		"&dns=EjQBAAABAAAAAAAAA3d3dwFiB2V4YW1wbGUAAAEAA",
		"&dns=EjQBAAABAAAAAAAAA3d3dwFiB2V4YW1wbGUAAAEAA%2B",
		"&dns=EjQBAAABAAAAAAAAA3d3dwFiB2V4YW1wbGUAAAEAA%00",
		"&dns=EjQB AAABAAAAAAAAA3d3dwFiB2V4YW1wbGUAAAEAAQ",
		"&dns=EjQB",
	};
	char path[256];

	start();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(path, sizeof(path), "/dns-query?app=%s%s", APP, bad[i]);
		for (char *p = path; *p; p++)
			*p = *p == ' ' ? '+' : *p;
		cr_assert_eq(send_it("GET", path, NULL, NULL, 0), 400, "%s", bad[i]);
	}
	cr_assert_eq(up.heard, 0);
	finish();
}

Test(peerapi_dns, an_answer_may_be_kept_as_long_as_its_shortest_record)
{
	start();
	add_record(DNS_TYPE_A, 17, "\xcb\x00\x71\x0a", 4);
	post("a.example", DNS_TYPE_A);
	cr_assert_str_eq(got.cache, "max-age=17, private");
	add_record(DNS_TYPE_A, 0x80000000U, "\xcb\x00\x71\x0b", 4);
	post("b.example", DNS_TYPE_A);
	cr_assert_str_eq(got.cache, "max-age=0, private");
	finish();
}

Test(peerapi_dns, a_negative_answer_may_be_kept_as_its_soa_says)
{
	const uint8_t soa[22] = { 0, 0, [21] = 60 };

	start();
	up.len = up.answers = 0;
	up.rcode = 3;
	add_record(DNS_TYPE_SOA, 900, soa, sizeof(soa));
	cr_assert_eq(post("a.example", DNS_TYPE_A), 200);
	cr_assert_eq(rcode(), 3);
	cr_assert_str_eq(got.cache, "max-age=60, private");
	finish();
}

Test(peerapi_dns, errors_of_the_upstream_are_passed_on_and_not_kept)
{
	start();
	up.rcode = DNS_RCODE_REFUSED;
	cr_assert_eq(post("a.example", DNS_TYPE_A), 200);
	cr_assert_eq(rcode(), DNS_RCODE_REFUSED);
	cr_assert_str_eq(got.cache, "max-age=0, private");
	finish();
}

/* ---- who may ask what ---- */

Test(peerapi_dns, names_outside_the_app_are_refused_without_being_asked)
{
	start();
	cr_assert_eq(post("c.example", DNS_TYPE_A), 200);
	cr_assert_eq(rcode(), DNS_RCODE_REFUSED);
	cr_assert_eq(got.answer[2] & 0x84, 0x80, "QR and no AA");
	cr_assert_eq(got.answer[5], 1, "the question is there");
	cr_assert_eq(got.answer[7] | got.answer[9] | got.answer[11], 0);
	cr_assert_str_eq(got.cache, "max-age=0, private");
	cr_assert_eq(post("", DNS_TYPE_A), 200);
	cr_assert_eq(rcode(), DNS_RCODE_REFUSED);
	cr_assert_eq(up.heard, 0);
	finish();
}

Test(peerapi_dns, transfers_and_other_classes_are_refused)
{
	uint8_t m[300];
	size_t n = message(m, "a.example", DNS_TYPE_A);

	start();
	for (uint16_t type = 251; type <= 254; type++) {
		cr_assert_eq(post("a.example", type), 200);
		cr_assert_eq(rcode(), DNS_RCODE_REFUSED, "%u", type);
	}
	m[n - 1] = 3; /* CH */
	cr_assert_eq(send_it("POST", "/dns-query?app=" APP, NULL, m, n), 200);
	cr_assert_eq(rcode(), DNS_RCODE_REFUSED);
	cr_assert_eq(up.heard, 0);
	cr_assert_eq(post("a.example", DNS_TYPE_ANY), 200);
	cr_assert_eq(up.heard, 1);
	finish();
}

Test(peerapi_dns, statuses_come_in_the_contract_s_order)
{
	uint8_t m[300];
	size_t n = message(m, "a.example", DNS_TYPE_A);
	static uint8_t big[70000];

	start();
	cr_assert_eq(post_to("127.0.0.77", "/dns-query?app=" APP, "a.example", 1), 403);
	cr_assert_eq(post_to(SELF, "/dns-query?app=" APP, "a.example", 1), 403, "itself");
	cr_assert_eq(send_it("POST", "/dns-query/?app=" APP, NULL, m, n), 404);
	cr_assert_eq(send_it("PUT", "/dns-query?app=" APP, NULL, m, n), 405);
	cr_assert_str_eq(got.allow, "GET, POST");
	cr_assert_eq(send_it("DELETE", "/dns-query", "X: y", NULL, 0), 405, "before 415");
	cr_assert_eq(send_it("POST", "/dns-query?app=" APP, "Content-Type: text/plain", m, n), 415);
	cr_assert_eq(send_it("POST", "/dns-query?app=" APP,
			     "Content-Type: application/dns-messages", m, n),
		     415);
	cr_assert_eq(send_it("POST", "/dns-query?app=" APP, NULL, big, 65536), 413);
	cr_assert_eq(send_it("POST", "/dns-query?app=" APP, NULL, big, 65535), 400);
	cr_assert_eq(send_it("POST", "/dns-query?app=" APP, NULL, m, n - 1), 400, "cut short");
	cr_assert_eq(send_it("POST", "/dns-query?app=" APP, NULL, m, 0), 400, "empty");
	cr_assert_eq(send_it("POST", "/dns-query", NULL, m, n), 400, "no app");
	cr_assert_eq(post_to(PEER, "/dns-query?app=nothing", "a.example", 1), 403);
	cr_assert_eq(post_to(PEER, "/dns-query?app=closed", "c.example", 1), 403);
	cr_assert_eq(post_to(GUEST, "/dns-query?app=" APP, "a.example", 1), 403);
	cr_assert_eq(post_to(PEER, "/dns-query?app=far", "f.example", 1), 404);
	cr_assert_eq(up.heard, 0);
	use_netmap(bare_netmap_text);
	cr_assert_eq(send_it("PUT", "/dns-query?app=" APP, NULL, m, n), 503, "before 405");
	finish();
}

Test(peerapi_dns, a_type_with_parameters_or_in_capitals_is_that_type)
{
	uint8_t m[300];
	size_t n = message(m, "a.example", DNS_TYPE_A);

	start();
	cr_assert_eq(send_it("POST", "/dns-query?app=" APP,
			     "Content-Type: Application/DNS-Message; charset=x", m, n),
		     200);
	finish();
}

Test(peerapi_dns, without_a_resolver_it_is_503)
{
	start();
	no_resolver = true;
	cr_assert_eq(post("a.example", DNS_TYPE_A), 503);
	cr_assert_eq(post("c.example", DNS_TYPE_A), 200, "what is refused needs none");
	finish();
}

/* ---- connections ---- */

Test(peerapi_dns, one_connection_serves_many_questions)
{
	uint8_t m[300];
	long connects = 0;

	start();
	got = (struct ask){
		.source = PEER, .method = "POST", .path = "/dns-query?app=" APP, .body = m
	};
	got.easy = curl_easy_init();
	for (int i = 0; i < 500; i++) {
		char name[32];

		snprintf(name, sizeof(name), "n%d.b.example", i);
		got.body_len = message(m, name, DNS_TYPE_A);
		run_ask(&got);
		cr_assert_eq(got.status, 200);
		connects += got.connects;
	}
	curl_easy_cleanup(got.easy);
	cr_assert_eq(connects, 1);
	cr_assert_eq(up.heard, 500);
	finish();
}

/* The four of libuv's own threads at once: no answer comes before the last was asked. */
Test(peerapi_dns, several_questions_are_under_way_at_once)
{
	static struct ask asks[4];
	uint8_t m[4][300];

	start();
	up.hold = 4;
	for (size_t i = 0; i < 4; i++) {
		char name[32];

		snprintf(name, sizeof(name), "n%zu.b.example", i);
		asks[i] = (struct ask){ .source = PEER,
					.method = "POST",
					.path = "/dns-query?app=" APP,
					.body = m[i],
					.body_len = message(m[i], name, DNS_TYPE_A),
					.easy = curl_easy_init() };
		begin(&asks[i]);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	for (size_t i = 0; i < 4; i++) {
		cr_assert_eq(asks[i].status, 200);
		cr_assert_eq(asks[i].answer[13], 'n');
		cr_assert_eq(asks[i].answer[14], '0' + (int)i);
		curl_easy_cleanup(asks[i].easy);
	}
	finish();
}

static void until_heard(unsigned n)
{
	while (up.heard < n)
		uv_run(&loop, UV_RUN_ONCE);
}

Test(peerapi_dns, questions_under_way_end_with_the_server)
{
	static struct ask a;
	uint8_t m[300];

	start();
	up.silent = true;
	a = (struct ask){ .source = PEER,
			  .method = "POST",
			  .path = "/dns-query?app=" APP,
			  .body = m,
			  .body_len = message(m, "a.example", DNS_TYPE_A),
			  .easy = curl_easy_init() };
	begin(&a);
	until_heard(1);
	finish();
	cr_assert_neq(a.status, 200);
	curl_easy_cleanup(a.easy);
}

Test(peerapi_dns, a_client_that_leaves_does_no_harm)
{
	struct sockaddr_in to = { .sin_family = AF_INET }, from = { .sin_family = AF_INET };
	uint8_t m[300];
	size_t n = message(m, "a.example", DNS_TYPE_A);
	char head[256];
	int fd;

	start();
	up.hold = 2;
	to.sin_addr.s_addr = htonl(0x7f000009);
	to.sin_port = htons(port);
	from.sin_addr.s_addr = htonl(0x7f000001);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	bind(fd, (void *)&from, sizeof(from));
	cr_assert_eq(connect(fd, (void *)&to, sizeof(to)), 0);
	snprintf(head, sizeof(head),
		 "POST /dns-query?app=%s HTTP/1.1\r\nHost: x\r\n" TYPE "\r\nContent-Length: %zu"
		 "\r\n\r\n",
		 APP, n);
	send(fd, head, strlen(head), 0);
	send(fd, m, n, 0);
	until_heard(1);
	close(fd);
	cr_assert_eq(post("b.example", DNS_TYPE_A), 200);
	cr_assert_eq(post("a.example", DNS_TYPE_A), 200);
	finish();
}
