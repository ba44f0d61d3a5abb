/* SPDX-License-Identifier: BSD-3-Clause */
#include "cleanup.h"
#include "leaks.h"
#include "peerapi_msg.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

SUITE(peerapi_msg);

#define ITEM "\"transitIP\":\"169.254.64.1\",\"destinationIP\":\"198.51.100.7\",\"app\":\"web\""

static int parse_len(const char *body, size_t len)
{
	struct peerapi_request r;
	char *exact = malloc(len ? len : 1);
	int err;

	memcpy(exact, body, len); /* not NUL ended: a read beyond its end is seen */
	err = peerapi_request_parse(&r, exact, len);
	free(exact);
	if (!err)
		peerapi_request_clear(&r);
	return err;
}

static int parse(const char *body)
{
	return parse_len(body, strlen(body));
}

Test(peerapi_msg, a_request_is_read_in_order)
{
	static const char body[] = "{\"transitIPs\":[{" ITEM "},{\"transitIP\":\"fd25:b::1\","
				   "\"destinationIP\":\"::ffff:192.0.2.1\",\"app\":\"w\\u00e9b "
				   "\\\"2\\\"\"}],"
				   "\"release\":[\"169.254.64.9\",\"fd25:b::9\"]}";
	struct peerapi_request r;
	char buf[ADDR_STRLEN];

	cr_assert_eq(peerapi_request_parse(&r, body, strlen(body)), 0);
	cr_assert_eq(r.n_items, 2);
	cr_assert_str_eq(addr_print(buf, &r.items[0].transit), "169.254.64.1");
	cr_assert_str_eq(addr_print(buf, &r.items[0].real), "198.51.100.7");
	cr_assert_eq(r.items[0].transit_family, 4);
	cr_assert_eq(r.items[0].real_family, 4);
	cr_assert_str_eq(r.items[0].app, "web");
	cr_assert_str_eq(addr_print(buf, &r.items[1].transit), "fd25:b::1");
	cr_assert_eq(r.items[1].real_family, 6, "a mapped spelling is IPv6");
	cr_assert_str_eq(r.items[1].app, "w\xc3\xa9"
					 "b \"2\"");
	cr_assert_eq(r.n_release, 2);
	cr_assert_str_eq(addr_print(buf, &r.release[1]), "fd25:b::9");
	peerapi_request_clear(&r);
	cr_assert_eq(r.n_items, 0);
}

Test(peerapi_msg, absent_and_null_lists_are_empty)
{
	static const char *const bodies[] = { "{}", "{\"transitIPs\":null}", "{\"transitIPs\":[]}",
					      "{\"release\":null,\"transitIPs\":[]}",
					      " \t\r\n{ } \n" };

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct peerapi_request r;

		cr_assert_eq(peerapi_request_parse(&r, bodies[i], strlen(bodies[i])), 0, "%s",
			     bodies[i]);
		cr_assert_eq(r.n_items, 0);
		cr_assert_eq(r.n_release, 0);
		peerapi_request_clear(&r);
	}
}

Test(peerapi_msg, unknown_fields_are_ignored)
{
	cr_assert_eq(parse("{\"v\":[1,-2.5e+3,{\"x\":[true,false,null]}],\"transitIPs\":[{" ITEM
			   ",\"more\":{}}]}"),
		     0);
	cr_assert_eq(parse("{\"TransitIPs\":7}"), 0, "names are compared with case");
}

Test(peerapi_msg, an_absent_app_is_the_empty_name)
{
	static const char body[] = "{\"transitIPs\":[{\"transitIP\":\"fd25::1\",\"destinationIP\":"
				   "\"::1\"}]}";
	struct peerapi_request r;

	cr_assert_eq(peerapi_request_parse(&r, body, strlen(body)), 0);
	cr_assert_str_eq(r.items[0].app, "");
	peerapi_request_clear(&r);
}

Test(peerapi_msg, wrong_types_refuse_the_whole_request)
{
	static const char *const bad[] = {
		"",
		"null",
		"[]",
		"\"x\"",
		"7",
		"true",
		"{\"transitIPs\":{}}",
		"{\"transitIPs\":\"x\"}",
		"{\"transitIPs\":0}",
		"{\"transitIPs\":[null]}",
		"{\"transitIPs\":[[]]}",
		"{\"transitIPs\":[\"x\"]}",
		"{\"transitIPs\":[{}]}",
		"{\"transitIPs\":[{\"transitIP\":\"169.254.64.1\",\"app\":\"web\"}]}",
		"{\"transitIPs\":[{\"transitIP\":null,\"destinationIP\":\"::1\",\"app\":\"w\"}]}",
		"{\"transitIPs\":[{\"transitIP\":1,\"destinationIP\":\"::1\",\"app\":\"w\"}]}",
		"{\"transitIPs\":[{\"transitIP\":\"::1\",\"destinationIP\":\"::1\",\"app\":7}]}",
		"{\"transitIPs\":[{\"transitIP\":\"::1\",\"destinationIP\":\"::1\",\"app\":[]}]}",
		"{\"transitIPs\":[{" ITEM "},7]}",
		"{\"release\":{}}",
		"{\"release\":\"169.254.64.1\"}",
		"{\"release\":[1]}",
		"{\"release\":[null]}",
		"{\"release\":[\"x\"]}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(parse(bad[i]), -EINVAL, "%s", bad[i]);
}

Test(peerapi_msg, a_string_that_is_not_exactly_one_address_refuses_the_whole_request)
{
	static const char *const bad[] = {
		"",
		" 169.254.64.1",
		"169.254.64.1 ",
		"169.254.64.1/32",
		"169.254.64",
		"169.254.64.01",
		"[::1]",
		"::1%lo",
		"example.com",
		"169.254.64.1,169.254.64.2",
		"169.254.64.1\\u0000",
		"169.254.64.1\\u0000x",
		"\\u0000169.254.64.1",
		"169.254.64.1\\u00zz",
		"fd25::1\\n",
	};
	char body[256];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(body, sizeof(body),
			 "{\"transitIPs\":[{" ITEM "},{\"transitIP\":\"%s\",\"destinationIP\":"
			 "\"192.0.2.1\",\"app\":\"web\"}]}",
			 bad[i]);
		cr_assert_eq(parse(body), -EINVAL, "%s", body);
		snprintf(body, sizeof(body), "{\"release\":[\"%s\"]}", bad[i]);
		cr_assert_eq(parse(body), -EINVAL, "%s", body);
	}
}

Test(peerapi_msg, an_escaped_nul_in_any_string_is_refused)
{
	cr_assert_eq(parse("{\"transitIPs\":[{\"transitIP\":\"::1\",\"destinationIP\":\"::1\","
			   "\"app\":\"web\\u0000x\"}]}"),
		     -EINVAL);
	cr_assert_eq(parse("{\"transitIPs\\u0000x\":[]}"), -EINVAL);
	cr_assert_eq(parse("{\"app\":\"\\\\u0000\"}"), 0, "an escaped backslash is no escape");
	cr_assert_eq(parse_len("{\"a\":\"x\0y\"}", 11), -EINVAL);
}

Test(peerapi_msg, what_is_not_json_is_refused)
{
	static const char *const bad[] = {
		"{",
		"}",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{\"a\":[1,]}",
		"{a:1}",
		"{'a':1}",
		"{\"a\":01}",
		"{\"a\":+1}",
		"{\"a\":.5}",
		"{\"a\":1.}",
		"{\"a\":-}",
		"{\"a\":1e}",
		"{\"a\":1.e3}",
		"{\"a\":0x10}",
		"{\"a\":NaN}",
		"{\"a\":tru}",
		"{\"a\":nul}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\u12\"}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":\"\n\"}",
		"{\"a\":\"\x1f\"}",
		"{\"a\":\"x}",
		"{\"a\":\"x\\",
		"{\"a\":\"x\\u",
		"\f{}",
		"{}\f",
		"{} {}",
		"{}x",
		"{},",
		"\xef\xbb\xbf{}",
		"{\"a\":\v1}",
		"// x\n{}",
		"{\"a\":1 2}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(parse(bad[i]), -EINVAL, "%s", bad[i]);
	cr_assert_eq(parse_len("{}\0", 3), -EINVAL, "a NUL behind it");
}

Test(peerapi_msg, every_cut_of_a_message_is_refused)
{
	static const char body[] = "{\"transitIPs\":[{" ITEM "}],\"release\":[\"fd25::\\u0031\"],"
				   "\"n\":[-1.5e-3,true]}";

	cr_assert_eq(parse(body), 0);
	for (size_t len = 0; len < strlen(body); len++)
		cr_assert_eq(parse_len(body, len), -EINVAL, "%.*s", (int)len, body);
}

Test(peerapi_msg, a_known_field_given_twice_is_refused)
{
	cr_assert_eq(parse("{\"transitIPs\":[],\"transitIPs\":[]}"), -EINVAL);
	cr_assert_eq(parse("{\"release\":null,\"release\":[]}"), -EINVAL);
	cr_assert_eq(parse("{\"transitIPs\":[{" ITEM ",\"app\":\"other\"}]}"), -EINVAL);
	cr_assert_eq(parse("{\"x\":1,\"x\":2}"), 0, "an unknown one is not looked at");
}

Test(peerapi_msg, nesting_is_bounded)
{
	static char body[400000];

	memset(body, '[', sizeof(body));
	cr_assert_eq(parse_len(body, sizeof(body)), -EINVAL);
	memcpy(body, "{\"a\":", 5);
	memset(body + 5, '[', 200000);
	memset(body + 200005, ']', sizeof(body) - 200005);
	cr_assert_eq(parse_len(body, sizeof(body)), -EINVAL);
}

Test(peerapi_msg, bytes_of_an_app_name_are_kept_as_they_are)
{
	static const char body[] = "{\"transitIPs\":[{\"transitIP\":\"::1\",\"destinationIP\":\"::"
				   "1\","
				   "\"app\":\"w\xff\xc3\"}]}";
	struct peerapi_request r;
	char *text;

	cr_assert_eq(peerapi_request_parse(&r, body, strlen(body)), 0);
	cr_assert_str_eq(r.items[0].app, "w\xff\xc3");
	text = peerapi_request_print(&r);
	cr_assert(strstr(text, "\"w\xff\xc3\""), "both ends compare the bytes of one netmap");
	free(text);
	peerapi_request_clear(&r);
}

Test(peerapi_msg, a_printed_request_reads_back_the_same)
{
	struct peerapi_item items[2] = { { .transit_family = 4, .real_family = 4, .app = "a\"\\\n" },
					 { .transit_family = 6, .real_family = 6, .app = "b" } };
	struct c25_addr release;
	struct peerapi_request r = {
		.items = items, .n_items = 2, .release = &release, .n_release = 1
	};
	struct peerapi_request back;
	char *text;

	addr_parse(&items[0].transit, "169.254.64.1");
	addr_parse(&items[0].real, "192.0.2.1");
	addr_parse(&items[1].transit, "fd25:b::1");
	addr_parse(&items[1].real, "::ffff:192.0.2.1");
	addr_parse(&release, "169.254.64.9");
	text = peerapi_request_print(&r);
	cr_assert_str_eq(text, "{\"transitIPs\":[{\"transitIP\":\"169.254.64.1\",\"destinationIP\":"
			       "\"192.0.2.1\",\"app\":\"a\\\"\\\\\\n\"},{\"transitIP\":\"fd25:b::"
			       "1\","
			       "\"destinationIP\":\"::ffff:192.0.2.1\",\"app\":\"b\"}],"
			       "\"release\":[\"169.254.64.9\"]}");
	cr_assert_eq(peerapi_request_parse(&back, text, strlen(text)), 0);
	cr_assert_eq(back.n_items, 2);
	cr_assert_eq(back.items[1].real_family, 6);
	cr_assert(addr_equal(&back.items[1].real, &items[1].real));
	cr_assert_str_eq(back.items[0].app, items[0].app);
	cr_assert(addr_equal(&back.release[0], &release));
	peerapi_request_clear(&back);
	free(text);
}

Test(peerapi_msg, a_heartbeat_is_an_empty_list)
{
	char *text = peerapi_request_print(&(struct peerapi_request){ 0 });

	cr_assert_str_eq(text, "{\"transitIPs\":[]}");
	free(text);
}

Test(peerapi_msg, a_released_mapped_spelling_names_nothing)
{
	static const char body[] = "{\"release\":[\"::ffff:169.254.64.1\",\"169.254.64.2\"]}";
	struct peerapi_request r;
	char buf[ADDR_STRLEN];

	cr_assert_eq(peerapi_request_parse(&r, body, strlen(body)), 0);
	cr_assert_eq(r.n_release, 1);
	cr_assert_str_eq(addr_print(buf, &r.release[0]), "169.254.64.2");
	peerapi_request_clear(&r);
}

static double seconds_to_parse(size_t n)
{
	size_t size = n * 80 + 100;
	char *body = malloc(size), *p = body;
	struct timespec from, to;

	p += sprintf(p, "{\"transitIPs\":[");
	for (size_t i = 0; i < n; i++)
		p += sprintf(p, "%s{\"transitIP\":\"::%zx\",\"destinationIP\":\"::\",\"app\":\"\"}",
			     i ? "," : "", i);
	p += sprintf(p, "]}");
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	cr_assert_eq(parse_len(body, (size_t)(p - body)), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	free(body);
	return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

Test(peerapi_msg, a_list_of_one_mebibyte_costs_linear_time)
{
	double small = seconds_to_parse(2000), big = seconds_to_parse(20000);

	cr_assert_lt(big, 40 * small + 0.05, "%f s for 2,000 and %f s for 20,000", small, big);
}

Test(peerapi_msg, a_response_is_one_element_per_result_in_order)
{
	static const struct peerapi_result results[] = { { .code = 0 },
							 { .code = 2, .message = "twice" },
							 { .code = 1, .message = "\"\n" } };
	struct peerapi_response r;
	char *text = peerapi_response_print(results, 3, "e1");

	cr_assert_str_eq(text, "{\"transitIPs\":[{\"code\":0},{\"code\":2,\"message\":\"twice\"},"
			       "{\"code\":1,\"message\":\"\\\"\\n\"}],\"epoch\":\"e1\"}");
	cr_assert_eq(peerapi_response_parse(&r, text, strlen(text)), 0);
	free(text);
	cr_assert_eq(r.n_results, 3);
	cr_assert_eq(r.results[0].code, 0);
	cr_assert_null(r.results[0].message);
	cr_assert_eq(r.results[1].code, PEERAPI_DUPLICATE);
	cr_assert_str_eq(r.results[1].message, "twice");
	cr_assert_str_eq(r.results[2].message, "\"\n");
	cr_assert_str_eq(r.epoch, "e1");
	peerapi_response_clear(&r);
}

Test(peerapi_msg, an_empty_response_still_has_its_list)
{
	char *text = peerapi_response_print(NULL, 0, "");

	cr_assert_str_eq(text, "{\"transitIPs\":[],\"epoch\":\"\"}");
	free(text);
}

Test(peerapi_msg, a_printed_message_is_valid_utf8)
{
	static const struct peerapi_result result = { .code = 1,
						      .message = "\xff \xc3\xa9 \xc0\xaf "
								 "\xed\xa0\x80 \xf0\x9f\x98\x80 "
								 "\xe2\x82" };
	char *text = peerapi_response_print(&result, 1, "e");

	cr_assert(strstr(text, "\"? \xc3\xa9 ?? ??? \xf0\x9f\x98\x80 ??\""), "%s", text);
	free(text);
}

Test(peerapi_msg, an_upstream_response_leaves_out_what_is_zero)
{
	static const char body[] = "{\"transitIPs\":[{},{\"code\":99},{\"message\":\"fine\"}]}";
	struct peerapi_response r;

	cr_assert_eq(peerapi_response_parse(&r, body, strlen(body)), 0);
	cr_assert_eq(r.n_results, 3);
	cr_assert_eq(r.results[0].code, 0);
	cr_assert_eq(r.results[1].code, 99, "an unknown code is kept");
	cr_assert_str_eq(r.results[1].message, "");
	cr_assert_null(r.results[2].message);
	cr_assert_str_eq(r.epoch, "");
	peerapi_response_clear(&r);
}

Test(peerapi_msg, an_unreadable_response_is_refused)
{
	static const char *const bad[] = { "",
					   "null",
					   "[]",
					   "{\"transitIPs\":7}",
					   "{\"transitIPs\":[7]}",
					   "{\"transitIPs\":[{\"code\":\"0\"}]}",
					   "{\"transitIPs\":[{\"code\":1.5}]}",
					   "{\"transitIPs\":[{\"code\":1e99}]}",
					   "{\"transitIPs\":[{\"code\":1,\"message\":7}]}",
					   "{\"epoch\":7}",
					   "{\"epoch\":\"e\\u0000\"}",
					   "{} x",
					   "<html>" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct peerapi_response r;

		cr_assert_eq(peerapi_response_parse(&r, bad[i], strlen(bad[i])), -EINVAL, "%s",
			     bad[i]);
	}
}
