/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server runs in the test's loop on "[::]"; libcurl and plain sockets ask it from worker
 * threads. Who asks is told by the source address: each loopback address is another node.
 */
#include "leaks.h"
#include "peerapi_msg.h"
#include "peerapi_server.h"

#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

SUITE(peerapi_server);

#define PEER   "127.0.0.1" /* has an IPv6 overlay address too */
#define V4ONLY "127.0.0.2"
#define GUEST  "127.0.0.3"
#define SELF   "127.0.0.9"
#define NOBODY "127.0.0.77"

static const char netmap_text[] =
	"{\"nodes\":["
	"{\"id\":\"a\",\"addresses\":[\"127.0.0.1\",\"fd25::1\"],\"tags\":[\"tag:w\"]},"
	"{\"id\":\"b\",\"addresses\":[\"127.0.0.2\"],\"tags\":[\"tag:w\"]},"
	"{\"id\":\"guest\",\"addresses\":[\"127.0.0.3\"]},"
	"{\"id\":\"six\",\"addresses\":[\"::1\"],\"tags\":[\"tag:w\"]},"
	"{\"id\":\"other\",\"addresses\":[\"127.0.0.8\"],\"connector\":true},"
	"{\"id\":\"exit\",\"addresses\":[\"127.0.0.9\",\"fd25::9\"],\"connector\":true}],"
	"\"apps\":["
	"{\"name\":\"web\",\"domains\":[\"a.example\"],\"connectors\":[\"exit\"],"
	"\"clients\":[\"tag:w\"]},"
	"{\"name\":\"far\",\"domains\":[\"b.example\"],\"connectors\":[\"other\"],"
	"\"clients\":[\"tag:w\"]},"
	"{\"name\":\"closed\",\"domains\":[\"c.example\"],\"connectors\":[\"exit\"]},"
	"{\"name\":\"narrow\",\"domains\":[\"d.example\"],\"connectors\":[\"exit\"],"
	"\"clients\":[\"*\"],\"routes\":[\"198.51.100.0/24\"]}],"
	"\"ipPools\":{\"v4MagicIPPool\":[\"198.18.0.0/16\"],"
	"\"v4TransitIPPool\":[\"169.254.64.0-169.254.127.255\"],"
	"\"v6MagicIPPool\":[\"fd25:a::/96\"],\"v6TransitIPPool\":[\"fd25:b::/96\"]}}";

static const char bare_netmap_text[] = "{\"nodes\":[{\"id\":\"a\",\"addresses\":[\"127.0.0.1\"]},"
				       "{\"id\":\"exit\",\"addresses\":[\"127.0.0.9\"],"
				       "\"connector\":true}],\"apps\":[]}";

static uv_loop_t loop;
static struct peerapi_server *server;
static struct netmap *nm;
static uint16_t port;
static uint64_t skew;

/* What the server's ops saw. */
static struct {
	int map_result;
	unsigned mapped, released, heard, answered[8];
	struct c25_addr client, transit, real, released_client;
	char app[32], peer[32], order[64];
	bool has;
	struct c25_addr has_client, has_transit;
} seen;

/* Takes the place of libuv's, so that a test may let time pass. */
uint64_t uv_now(const uv_loop_t *l)
{
	return uv_hrtime() / 1000000 + skew;
}

static const struct netmap *op_netmap(void *ctx)
{
	return nm;
}

static const char *op_epoch(void *ctx)
{
	return "epoch-1";
}

static void note(char what)
{
	size_t n = strlen(seen.order);

	if (n + 1 < sizeof(seen.order))
		seen.order[n] = what;
}

static bool op_mapped(void *ctx, const struct c25_addr *client, const struct c25_addr *transit)
{
	return seen.has && addr_equal(client, &seen.has_client) &&
	       addr_equal(transit, &seen.has_transit);
}

static int op_map(void *ctx, const struct netmap_node *peer, const struct c25_addr *client,
		  const struct c25_addr *transit, const struct c25_addr *real,
		  const struct netmap_app *app, const char **why)
{
	note('m');
	if (seen.map_result) {
		*why = "quota reached";
		return seen.map_result;
	}
	seen.mapped++;
	seen.client = *client;
	seen.transit = *transit;
	seen.real = *real;
	snprintf(seen.app, sizeof(seen.app), "%s", app->name);
	snprintf(seen.peer, sizeof(seen.peer), "%s", peer->id);
	return 0;
}

static void op_release(void *ctx, const struct netmap_node *peer, const struct c25_addr *client,
		       const struct c25_addr *transit)
{
	note('r');
	seen.released++;
	seen.released_client = *client;
}

static void op_heard(void *ctx, const struct netmap_node *peer)
{
	seen.heard++;
}

static void op_answered(void *ctx, const struct netmap_node *peer, const struct peerapi_item *item,
			const struct peerapi_result *result)
{
	cr_assert(peer && item);
	seen.answered[result->code]++;
}

static const struct peerapi_server_ops ops = {
	.netmap = op_netmap,
	.epoch = op_epoch,
	.mapped = op_mapped,
	.map = op_map,
	.release = op_release,
	.heard = op_heard,
	.answered = op_answered,
};

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
	char text[32];

	uv_loop_init(&loop);
	use_netmap(netmap_text);
	cr_assert_eq(peerapi_server_new(&server, &loop, NULL, &ops, NULL), 0);
	port = free_port();
	snprintf(text, sizeof(text), "[::]:%u", port);
	cr_assert_eq(sock_parse(&ss, text, 0), 0);
	cr_assert_eq(peerapi_server_listen(server, (struct sockaddr *)&ss), 0);
}

static void finish(void)
{
	peerapi_server_free(server);
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&loop), 0, "every handle is closed");
	uv_library_shutdown();
	netmap_free(nm);
}

/* One exchange by libcurl. */
struct ask {
	uv_work_t work;
	CURL *easy; /* kept by the test for another exchange */
	const char *source, *method, *path, *body, *header;
	size_t body_len;
	long status, connects;
	CURLcode result;
	char *answer;
	size_t answer_len;
	char allow[64];
};

static size_t take_body(char *data, size_t size, size_t n, void *ctx)
{
	struct ask *a = ctx;

	a->answer = realloc(a->answer, a->answer_len + size * n + 1);
	memcpy(a->answer + a->answer_len, data, size * n);
	a->answer_len += size * n;
	a->answer[a->answer_len] = 0;
	return size * n;
}

static size_t take_header(char *data, size_t size, size_t n, void *ctx)
{
	struct ask *a = ctx;

	if (!strncasecmp(data, "allow: ", 7))
		snprintf(a->allow, sizeof(a->allow), "%.*s", (int)(size * n - 9), data + 7);
	return size * n;
}

static void perform(uv_work_t *work)
{
	struct ask *a = work->data;
	struct curl_slist *headers = curl_slist_append(NULL, a->header ? a->header : "Expect:");
	bool six = strchr(a->source, ':');
	char url[256], host[64];

	snprintf(url, sizeof(url), "http://%s:%u%s", six ? "[::1]" : SELF, port, a->path);
	snprintf(host, sizeof(host), "host!%s", a->source);
	curl_easy_setopt(a->easy, CURLOPT_URL, url);
	curl_easy_setopt(a->easy, CURLOPT_INTERFACE, host);
	curl_easy_setopt(a->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(a->easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(a->easy, CURLOPT_TIMEOUT_MS, 8000L);
	curl_easy_setopt(a->easy, CURLOPT_NOSIGNAL, 1L);
	if (a->body) {
		curl_easy_setopt(a->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)a->body_len);
		curl_easy_setopt(a->easy, CURLOPT_POSTFIELDS, a->body);
	}
	if (!strcmp(a->method, "HEAD"))
		curl_easy_setopt(a->easy, CURLOPT_NOBODY, 1L);
	else
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
	uv_stop(&loop);
}

static void run_ask(struct ask *a)
{
	bool own = !a->easy;

	if (own)
		a->easy = curl_easy_init();
	a->work.data = a;
	uv_queue_work(&loop, &a->work, perform, performed);
	uv_run(&loop, UV_RUN_DEFAULT);
	if (own)
		curl_easy_cleanup(a->easy);
	if (!a->answer)
		a->answer = strdup("");
}

static long ask_len(const char *source, const char *method, const char *path, const char *body,
		    size_t len, char **answer)
{
	struct ask a = {
		.source = source, .method = method, .path = path, .body = body, .body_len = len
	};

	run_ask(&a);
	if (answer)
		*answer = a.answer;
	else
		free(a.answer);
	return a.result ? -(long)a.result : a.status;
}

static long ask(const char *source, const char *method, const char *path, const char *body)
{
	return ask_len(source, method, path, body, body ? strlen(body) : 0, NULL);
}

/* The answer to one POST of these elements, which has to be 200. */
static struct peerapi_response register_at(const char *source, const char *elements)
{
	struct peerapi_response r;
	char body[8192], *answer;

	snprintf(body, sizeof(body), "{\"transitIPs\":[%s]}", elements);
	cr_assert_eq(ask_len(source, "POST", PEERAPI_PATH, body, strlen(body), &answer), 200, "%s",
		     body);
	cr_assert_eq(peerapi_response_parse(&r, answer, strlen(answer)), 0, "%s", answer);
	free(answer);
	return r;
}

#define E(transit, real, app)                                                                      \
	"{\"transitIP\":\"" transit "\",\"destinationIP\":\"" real "\",\"app\":\"" app "\"}"

static void expect_codes(const char *source, const char *elements, const int *codes, size_t n)
{
	struct peerapi_response r = register_at(source, elements);

	cr_assert_eq(r.n_results, n, "%s", elements);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(r.results[i].code, codes[i], "element %zu of %s", i, elements);
	peerapi_response_clear(&r);
}

#define EXPECT(source, elements, ...)                                                              \
	expect_codes(source, elements, (const int[]){ __VA_ARGS__ },                               \
		     sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int))

static void expect_message(const char *source, const char *elements, int code, const char *message)
{
	struct peerapi_response r = register_at(source, elements);

	cr_assert_eq(r.results[r.n_results - 1].code, code, "%s", elements);
	cr_assert_str_eq(r.results[r.n_results - 1].message, message);
	peerapi_response_clear(&r);
}

/* --- who, where, how ------------------------------------------------------------------------ */

Test(peerapi_server, who_is_no_peer_gets_403_whatever_it_asks)
{
	start();
	cr_assert_eq(ask(NOBODY, "POST", PEERAPI_PATH, "{}"), 403);
	cr_assert_eq(ask(NOBODY, "GET", "/nowhere", NULL), 403);
	cr_assert_eq(ask(NOBODY, "POST", PEERAPI_PATH, "rubbish"), 403);
	use_netmap(bare_netmap_text);
	cr_assert_eq(ask(NOBODY, "GET", PEERAPI_PATH, NULL), 403);
	cr_assert_eq(seen.heard, 0);
	finish();
}

Test(peerapi_server, the_node_itself_is_no_peer)
{
	start();
	cr_assert_eq(ask(SELF, "POST", PEERAPI_PATH, "{}"), 403);
	finish();
}

Test(peerapi_server, an_unknown_path_is_404)
{
	static const char *const paths[] = {
		"/",
		"/v0/connector/transit-ip/",
		"//v0/connector/transit-ip",
		"/v0/connector/../connector/transit-ip",
		"/v0/connector/transit-ip%00x",
		"/v0/connector/transit-ip%00",
		"/V0/connector/transit-ip",
		"/v0/connector",
		"/v0/connector/transit-ip;x",
		"/dns-query/",
	};

	start();
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		cr_assert_eq(ask(PEER, "POST", paths[i], "{}"), 404, "%s", paths[i]);
	use_netmap(bare_netmap_text);
	cr_assert_eq(ask(PEER, "GET", "/nowhere", NULL), 404, "before 503 and 405");
	finish();
}

Test(peerapi_server, a_query_string_is_no_part_of_the_path)
{
	start();
	cr_assert_eq(ask(PEER, "POST", PEERAPI_PATH "?x=1", "{}"), 200);
	cr_assert_eq(ask(PEER, "POST", "/v0/connector/transit%2Dip", "{}"), 200);
	finish();
}

Test(peerapi_server, without_apps_it_is_503_before_405_and_400)
{
	start();
	use_netmap(bare_netmap_text);
	cr_assert_eq(ask(PEER, "POST", PEERAPI_PATH, "{}"), 503);
	cr_assert_eq(ask(PEER, "GET", PEERAPI_PATH, NULL), 503);
	cr_assert_eq(ask(PEER, "POST", PEERAPI_PATH, "rubbish"), 503);
	finish();
}

Test(peerapi_server, a_method_other_than_post_is_405)
{
	static const char *const methods[] = { "GET", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD" };

	start();
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		struct ask a = { .source = PEER, .method = methods[i], .path = PEERAPI_PATH };

		run_ask(&a);
		cr_assert_eq(a.status, 405, "%s", methods[i]);
		cr_assert_str_eq(a.allow, "POST");
		cr_assert_str_eq(a.answer, i == 5 ? "" : "Method should be POST");
		free(a.answer);
	}
	cr_assert_eq(ask(PEER, "PUT", PEERAPI_PATH, "rubbish"), 405, "before 400");
	finish();
}

Test(peerapi_server, what_is_not_a_request_is_400)
{
	static const char *const bodies[] = {
		"",
		"rubbish",
		"[]",
		"{",
		"{\"transitIPs\":7}",
		"{} {}",
		"{\"transitIPs\":[" E("169.254.64.1", "192.0.2.1",
				      "web") "," E("169.254.64.2\\u0000", "192.0.2.1", "web") "]}",
	};

	start();
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		char *answer;

		cr_assert_eq(ask_len(PEER, "POST", PEERAPI_PATH, bodies[i], strlen(bodies[i]),
				     &answer),
			     400, "%s", bodies[i]);
		cr_assert_str_eq(answer, "Error decoding JSON");
		free(answer);
	}
	cr_assert_eq(seen.mapped + seen.heard, 0, "none of it was looked at");
	finish();
}

static long ask_padded(const char *method, size_t len, const char *header)
{
	struct ask a = { .source = PEER,
			 .method = method,
			 .path = PEERAPI_PATH,
			 .header = header,
			 .body_len = len };
	char *body = malloc(len);

	memset(body, ' ', len);
	body[0] = '{';
	body[len - 1] = '}';
	a.body = body;
	run_ask(&a);
	free(body);
	free(a.answer);
	return a.result ? -(long)a.result : a.status;
}

Test(peerapi_server, a_body_of_one_mebibyte_passes_and_one_byte_more_does_not)
{
	start();
	cr_assert_eq(ask_padded("POST", PEERAPI_MAX_BODY, NULL), 200);
	cr_assert_eq(ask_padded("POST", PEERAPI_MAX_BODY + 1, NULL), 400);
	cr_assert_eq(ask_padded("POST", PEERAPI_MAX_BODY, "Transfer-Encoding: chunked"), 200);
	cr_assert_eq(ask_padded("POST", PEERAPI_MAX_BODY + 1, "Transfer-Encoding: chunked"), 400);
	cr_assert_eq(ask_padded("POST", 4 * PEERAPI_MAX_BODY, NULL), 400);
	cr_assert_eq(ask_padded("POST", 4 * PEERAPI_MAX_BODY, "Expect: 100-continue"), 400);
	cr_assert_eq(ask_padded("PUT", 4 * PEERAPI_MAX_BODY, NULL), 405);
	cr_assert_eq(ask_padded("POST", 16 * PEERAPI_MAX_BODY, "Transfer-Encoding: chunked"), 400);
	cr_assert_eq(ask_padded("POST", 16 * PEERAPI_MAX_BODY, NULL), 400);
	finish();
}

/* --- elements -------------------------------------------------------------------------------- */

Test(peerapi_server, a_permitted_element_is_mapped_under_the_peers_overlay_address)
{
	char buf[ADDR_STRLEN];

	start();
	EXPECT(PEER, E("169.254.64.1", "198.51.100.7", "web"), 0);
	cr_assert_eq(seen.mapped, 1);
	cr_assert_str_eq(addr_print(buf, &seen.client), "127.0.0.1");
	cr_assert_str_eq(addr_print(buf, &seen.transit), "169.254.64.1");
	cr_assert_str_eq(addr_print(buf, &seen.real), "198.51.100.7");
	cr_assert_str_eq(seen.app, "web");
	cr_assert_str_eq(seen.peer, "a");
	EXPECT(PEER, E("fd25:b::1", "2001:db8::7", "web"), 0);
	cr_assert_str_eq(addr_print(buf, &seen.client), "fd25::1", "of the transit's family");
	EXPECT("::1", E("fd25:b::1", "2001:db8::7", "web"), 0);
	cr_assert_str_eq(seen.peer, "six");
	finish();
}

Test(peerapi_server, an_empty_list_is_a_heartbeat)
{
	struct peerapi_response r;

	start();
	r = register_at(PEER, "");
	cr_assert_eq(r.n_results, 0);
	cr_assert_str_eq(r.epoch, "epoch-1");
	cr_assert_eq(seen.heard, 1);
	peerapi_response_clear(&r);
	cr_assert_eq(ask(PEER, "POST", PEERAPI_PATH, "{}"), 200);
	cr_assert_eq(seen.heard, 2);
	finish();
}

Test(peerapi_server, code_2_a_transit_address_given_twice)
{
	start();
	expect_message(PEER,
		       E("169.254.64.1", "192.0.2.1", "web") "," E("169.254.64.1", "192.0.2.2",
								   "web"),
		       2, "Duplicate transit address in ConnectorTransitIPRequest");
	cr_assert_eq(seen.mapped, 1);
	finish();
}

Test(peerapi_server, code_2_counts_what_got_past_6_and_5_only)
{
	start();
	/* forbidden, no such app, no connector: none makes the next a duplicate */
	EXPECT(PEER,
	       E("169.254.64.1", "192.0.2.1",
		 "closed") "," E("169.254.64.1", "192.0.2.1",
				 "none") "," E("169.254.64.1", "192.0.2.1",
					       "far") "," E("169.254.64.1", "192.0.2.1", "web"),
	       6, 6, 5, 0);
	/* refused later, for 4, 3 and 1: they do */
	EXPECT(PEER,
	       E("169.254.64.1", "2001:db8::1", "web") "," E("169.254.64.1", "192.0.2.1", "web"), 4,
	       2);
	EXPECT(V4ONLY,
	       E("fd25:b::1", "2001:db8::1", "web") "," E("fd25:b::1", "2001:db8::1", "web"), 3, 2);
	EXPECT(PEER,
	       E("169.254.64.1", "127.0.0.1", "web") "," E("169.254.64.1", "192.0.2.1", "web"), 1,
	       2);
	finish();
}

Test(peerapi_server, code_2_comes_before_all_others)
{
	start();
	EXPECT(PEER,
	       E("169.254.64.1", "192.0.2.1",
		 "web") "," E("169.254.64.1", "192.0.2.1",
			      "closed") "," E("169.254.64.1", "192.0.2.1",
					      "far") "," E("169.254.64.1", "2001:db8::1",
							   "web") "," E("169.254.64.1", "127.0.0.1",
									"web"),
	       0, 2, 2, 2, 2);
	finish();
}

Test(peerapi_server, one_transit_address_in_two_spellings_is_a_duplicate_a_mapped_one_is_not)
{
	start();
	EXPECT(PEER,
	       E("fd25:b::1", "2001:db8::1", "web") "," E(
		       "FD25:B:0::0001", "2001:db8::1",
		       "web") "," E("169.254.64.1", "192.0.2.1", "web") "," E("::ffff:169.254.64.1",
									      "2001:db8::1", "web"),
	       0, 2, 0, 1);
	finish();
}

Test(peerapi_server, code_6_whether_or_not_the_app_exists)
{
	static const char message[] = "You do not have permission to use this App";

	start();
	expect_message(PEER, E("169.254.64.1", "192.0.2.1", "closed"), 6, message);
	expect_message(PEER, E("169.254.64.1", "192.0.2.1", "none"), 6, message);
	expect_message(PEER, E("169.254.64.1", "192.0.2.1", ""), 6, message);
	expect_message(GUEST, E("169.254.64.1", "192.0.2.1", "web"), 6, message);
	expect_message(GUEST, E("169.254.64.1", "192.0.2.1", "far"), 6, message);
	EXPECT(GUEST, E("10.0.0.1", "::1", "web"), 6);
	cr_assert_eq(seen.mapped, 0);
	finish();
}

Test(peerapi_server, code_5_comes_before_4_3_and_1)
{
	start();
	expect_message(PEER, E("169.254.64.1", "192.0.2.1", "far"), 5,
		       "The App name in the request does not match a configured App");
	EXPECT(PEER, E("169.254.64.1", "2001:db8::1", "far"), 5);
	EXPECT(V4ONLY, E("fd25:b::1", "2001:db8::1", "far"), 5);
	EXPECT(PEER, E("10.0.0.1", "127.0.0.1", "far"), 5);
	finish();
}

Test(peerapi_server, code_4_comes_before_3_and_1)
{
	start();
	expect_message(PEER, E("169.254.64.1", "2001:db8::1", "web"), 4,
		       "Transit and Destination addresses must have matching IP family");
	EXPECT(PEER, E("fd25:b::1", "192.0.2.1", "web"), 4);
	EXPECT(PEER, E("169.254.64.1", "::ffff:192.0.2.1", "web"), 4);
	EXPECT(V4ONLY, E("fd25:b::1", "192.0.2.1", "web"), 4);
	EXPECT("::1", E("10.0.0.1", "::1", "web"), 4);
	finish();
}

Test(peerapi_server, code_3_comes_before_1)
{
	start();
	expect_message(V4ONLY, E("fd25:b::1", "2001:db8::1", "web"), 3,
		       "No peer IP found with matching IP family");
	EXPECT("::1", E("169.254.64.1", "192.0.2.1", "web"), 3);
	EXPECT(V4ONLY, E("2001:db8::1", "::1", "web"), 3);
	finish();
}

Test(peerapi_server, a_mapping_of_a_pool_that_was_taken_out_is_made_anew_while_it_lives)
{
	start();
	addr_parse(&seen.has_client, "127.0.0.1");
	addr_parse(&seen.has_transit, "10.0.0.1");
	EXPECT(PEER, E("10.0.0.1", "192.0.2.1", "web"), 1);
	seen.has = true;
	EXPECT(PEER, E("10.0.0.1", "192.0.2.1", "web"), 0);
	EXPECT(PEER, E("10.0.0.2", "192.0.2.1", "web"), 1);
	EXPECT(PEER, E("::ffff:10.0.0.1", "2001:db8::1", "web"), 1);
	cr_assert_eq(seen.mapped, 1);
	finish();
}

Test(peerapi_server, code_1_says_why)
{
	start();
	expect_message(PEER, E("10.0.0.1", "192.0.2.1", "web"), 1,
		       "transit address is outside the transit pools");
	EXPECT(PEER, E("198.18.0.1", "192.0.2.1", "web"), 1);
	EXPECT(PEER, E("fd25:a::1", "2001:db8::1", "web"), 1);
	EXPECT(PEER, E("169.254.64.1", "169.254.169.254", "web"), 1);
	EXPECT(PEER, E("169.254.64.1", "127.0.0.9", "web"), 1);
	EXPECT(PEER, E("fd25:b::1", "::ffff:192.0.2.1", "web"), 1);
	EXPECT(PEER, E("169.254.64.1", "192.0.2.1", "narrow"), 1);
	EXPECT(PEER, E("169.254.64.1", "198.51.100.1", "narrow"), 0);
	cr_assert_eq(seen.mapped, 1);
	seen.map_result = -ENOSPC;
	expect_message(PEER, E("169.254.64.1", "192.0.2.1", "web"), 1, "quota reached");
	finish();
}

Test(peerapi_server, a_refused_element_never_spoils_the_others)
{
	start();
	EXPECT(PEER,
	       E("169.254.64.1", "192.0.2.1", "web") "," E(
		       "169.254.64.2", "192.0.2.1",
		       "none") "," E("169.254.64.3", "192.0.2.1",
				     "far") "," E("169.254.64.4", "::1",
						  "web") "," E("10.0.0.1", "192.0.2.1",
							       "web") "," E("169.254.64.5",
									    "192.0.2.1", "web"),
	       0, 6, 5, 4, 1, 0);
	cr_assert_eq(seen.mapped, 2);
	cr_assert_eq(seen.answered[0], 2);
	cr_assert_eq(seen.answered[6], 1);
	finish();
}

Test(peerapi_server, releases_come_before_the_elements)
{
	static const char body[] =
		"{\"transitIPs\":[" E("169.254.64.1", "192.0.2.1", "web") "],"
									  "\"release\":[\"169.254."
									  "64.1\",\"fd25:b::1\"]}";
	char buf[ADDR_STRLEN];

	start();
	cr_assert_eq(ask(PEER, "POST", PEERAPI_PATH, body), 200);
	cr_assert_str_eq(seen.order, "rrm");
	cr_assert_str_eq(addr_print(buf, &seen.released_client), "fd25::1");
	cr_assert_eq(ask(V4ONLY, "POST", PEERAPI_PATH, body), 200);
	cr_assert_eq(seen.released, 3, "it has no address of the other family");
	finish();
}

Test(peerapi_server, a_mebibyte_of_elements_is_answered_in_order)
{
	struct peerapi_response r;
	char *body = malloc(PEERAPI_MAX_BODY), *p = body, *answer;
	size_t n;

	start();
	p += sprintf(p, "{\"transitIPs\":[");
	for (n = 0; p - body < PEERAPI_MAX_BODY - 100; n++)
		p += sprintf(p,
			     "%s"
			     "{\"transitIP\":\"fd25:b::%zx\",\"destinationIP\":\"2001:db8::1\","
			     "\"app\":\"%s\"}",
			     n ? "," : "", n / 2, n % 2 ? "web" : "none");
	p += sprintf(p, "]}");
	cr_assert_eq(ask_len(PEER, "POST", PEERAPI_PATH, body, (size_t)(p - body), &answer), 200);
	cr_assert_eq(peerapi_response_parse(&r, answer, strlen(answer)), 0);
	cr_assert_eq(r.n_results, n);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(r.results[i].code, i % 2 ? 0 : 6);
	peerapi_response_clear(&r);
	free(answer);
	free(body);
	finish();
}

/* --- connections ----------------------------------------------------------------------------- */

static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

Test(peerapi_server, one_connection_carries_2000_requests_without_descriptor_growth)
{
	CURL *easy;
	long connects = 0;
	int before = 0;

	start();
	easy = curl_easy_init();
	for (int i = 0; i < 2000; i++) {
		struct ask a = { .easy = easy,
				 .source = PEER,
				 .method = "POST",
				 .path = PEERAPI_PATH,
				 .body = i % 2 ? "{}" : "rubbish",
				 .body_len = i % 2 ? 2 : 7 };

		run_ask(&a);
		cr_assert_eq(a.status, i % 2 ? 200 : 400);
		connects += a.connects;
		free(a.answer);
		if (i == 10)
			before = count_descriptors();
	}
	cr_assert_eq(connects, 1);
	cr_assert_eq(count_descriptors(), before);
	curl_easy_cleanup(easy);
	finish();
}

Test(peerapi_server, connections_that_come_and_go_leave_no_descriptor)
{
	int before = 0;

	start();
	for (int i = 0; i < 200; i++) {
		cr_assert_eq(ask(i % 2 ? PEER : NOBODY, "POST", PEERAPI_PATH, "{}"),
			     i % 2 ? 200 : 403);
		if (i == 10)
			before = count_descriptors();
	}
	cr_assert_leq(count_descriptors(), before + 1, "the last one may still be closing");
	finish();
}

/* A plain socket: sends `text`, then reads until the server closes. */
struct raw {
	uv_work_t work;
	const char *text;
	bool hang_up; /* close at once instead of reading */
	char answer[65536];
	size_t len;
	bool closed;
};

static void talk(uv_work_t *work)
{
	struct raw *r = work->data;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct timeval patience = { .tv_sec = 5 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ssize_t n;

	to.sin_addr.s_addr = htonl(0x7f000009);
	from.sin_addr.s_addr = htonl(0x7f000001);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (!bind(fd, (struct sockaddr *)&from, sizeof(from)) &&
	    !connect(fd, (struct sockaddr *)&to, sizeof(to)) &&
	    send(fd, r->text, strlen(r->text), MSG_NOSIGNAL) >= 0 && !r->hang_up) {
		while ((n = recv(fd, r->answer + r->len, sizeof(r->answer) - 1 - r->len, 0)) > 0)
			r->len += (size_t)n;
		r->closed = !n;
	}
	r->answer[r->len] = 0;
	close(fd);
}

static void run_raw(struct raw *r)
{
	r->work.data = r;
	uv_queue_work(&loop, &r->work, talk, performed);
	uv_run(&loop, UV_RUN_DEFAULT);
}

/* None of the body is sent, so that nothing is left unread when the server closes. */
Test(peerapi_server, a_body_beyond_reading_is_refused_when_it_is_announced)
{
	static struct raw r = { .text = "POST " PEERAPI_PATH " HTTP/1.1\r\nHost: x\r\n"
					"Content-Length: 1073741824\r\n\r\n" };

	start();
	run_raw(&r);
	cr_assert(!strncmp(r.answer, "HTTP/1.1 400", 12), "%s", r.answer);
	cr_assert(r.closed);
	finish();
}

Test(peerapi_server, pipelined_requests_are_each_answered)
{
	static struct raw r = { .text = "POST " PEERAPI_PATH " HTTP/1.1\r\nHost: "
					"x\r\nContent-Length: 2\r\n\r\n{}"
					"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
					"POST " PEERAPI_PATH " HTTP/1.1\r\nHost: x\r\nConnection: "
					"close\r\n"
					"Content-Length: 1\r\n\r\n{" };
	char *second, *third;

	start();
	run_raw(&r);
	cr_assert(!strncmp(r.answer, "HTTP/1.1 200", 12), "%s", r.answer);
	second = strstr(r.answer, "HTTP/1.1 404");
	third = strstr(r.answer, "HTTP/1.1 400");
	cr_assert(second && third && second < third, "%s", r.answer);
	cr_assert(r.closed);
	finish();
}

Test(peerapi_server, broken_http_is_survived)
{
	static const char *const texts[] = {
		"\r\n\r\n\r\n\r\n",
		"rubbish\r\n\r\n",
		"POST " PEERAPI_PATH " HTTP/9.9\r\n\r\n",
		"POST " PEERAPI_PATH " HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"POST " PEERAPI_PATH " HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"POST " PEERAPI_PATH " HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"POST " PEERAPI_PATH " HTTP/1.1\r\nContent-Length: 20\r\n\r\n{\"tran",
		"POST " PEERAPI_PATH " HT",
	};

	start();
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct raw r = { .text = texts[i], .hang_up = true };

		run_raw(&r);
		cr_assert_eq(ask(PEER, "POST", PEERAPI_PATH, "{}"), 200, "after %s", texts[i]);
	}
	cr_assert_eq(seen.mapped, 0);
	finish();
}

Test(peerapi_server, huge_headers_are_refused)
{
	static struct raw r;
	char *text = malloc(65536);
	size_t n = (size_t)sprintf(text, "POST " PEERAPI_PATH " HTTP/1.1\r\nX: ");

	memset(text + n, 'x', 60000);
	strcpy(text + n + 60000, "\r\n\r\n");
	r.text = text;
	start();
	run_raw(&r);
	cr_assert_null(strstr(r.answer, " 200 "));
	cr_assert_eq(ask(PEER, "POST", PEERAPI_PATH, "{}"), 200);
	finish();
	free(text);
}

/* Forty plain connections at once from one address; counts those that get an answer. */
struct crowd {
	uv_work_t work;
	unsigned answered;
};

static void gather(uv_work_t *work)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	struct crowd *c = work->data;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct timeval patience = { .tv_sec = 5 };
	int fds[40];
	char buf[4096];

	to.sin_addr.s_addr = htonl(0x7f000009);
	from.sin_addr.s_addr = htonl(0x7f000001);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		bind(fds[i], (struct sockaddr *)&from, sizeof(from));
		connect(fds[i], (struct sockaddr *)&to, sizeof(to));
		send(fds[i], text, strlen(text), MSG_NOSIGNAL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		c->answered += recv(fds[i], buf, sizeof(buf), 0) > 0;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

Test(peerapi_server, one_address_holds_32_connections_at_most_and_others_are_still_served)
{
	struct crowd crowd = { 0 };

	start();
	crowd.work.data = &crowd;
	uv_queue_work(&loop, &crowd.work, gather, performed);
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_eq(crowd.answered, 32);
	cr_assert_eq(ask(V4ONLY, "POST", PEERAPI_PATH, "{}"), 200);
	finish();
}

static void let_time_pass(uv_timer_t *timer)
{
	skew += 31000;
	uv_close((uv_handle_t *)timer, NULL);
}

Test(peerapi_server, a_connection_that_does_not_finish_its_request_is_closed)
{
	static const char *const texts[] = {
		"",
		"POST " PEERAPI_PATH " HT",
		"POST " PEERAPI_PATH " HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{\"tran",
		"POST " PEERAPI_PATH " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
	};

	start();
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct raw *r = calloc(1, sizeof(*r));
		uv_timer_t timer;

		r->text = texts[i];
		uv_timer_init(&loop, &timer);
		uv_timer_start(&timer, let_time_pass, 50, 0);
		run_raw(r);
		cr_assert(r->closed, "%s", texts[i]);
		free(r);
	}
	finish();
}

Test(peerapi_server, freeing_ends_connections_in_the_middle)
{
	static struct raw r = { .text = "POST " PEERAPI_PATH " HTTP/1.1\r\nContent-Length: "
					"20\r\n\r\n{\"tran" };

	start();
	r.work.data = &r;
	uv_queue_work(&loop, &r.work, talk, performed);
	for (int i = 0; i < 3; i++)
		uv_run(&loop, UV_RUN_ONCE);
	peerapi_server_free(server);
	server = NULL;
	uv_run(&loop, UV_RUN_DEFAULT);
	finish();
}

Test(peerapi_server, an_address_that_is_taken_or_not_ours_is_told_apart)
{
	struct sockaddr_storage ss;
	char text[32];

	start();
	snprintf(text, sizeof(text), "[::]:%u", port);
	sock_parse(&ss, text, 0);
	cr_assert_eq(peerapi_server_listen(server, (struct sockaddr *)&ss), -EADDRINUSE);
	sock_parse(&ss, "192.0.2.77:18025", 0);
	cr_assert_eq(peerapi_server_listen(server, (struct sockaddr *)&ss), 0,
		     "an overlay address that is not up yet");
	cr_assert_eq(ask(PEER, "POST", PEERAPI_PATH, "{}"), 200);
	finish();
}
