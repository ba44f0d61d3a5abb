/* SPDX-License-Identifier: BSD-3-Clause */
/* control_get: the commands' end of the control socket. */
#include "control.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

DEFINE_CLEANUP(curl, CURL *, curl_easy_cleanup)

struct body {
	char *text;
	size_t len;
};

static size_t on_data(char *data, size_t size, size_t n, void *ctx)
{
	struct body *b = ctx;
	char *more = realloc(b->text, b->len + size * n + 1);

	if (!more)
		return 0;
	b->text = more;
	memcpy(b->text + b->len, data, size * n);
	b->len += size * n;
	b->text[b->len] = 0;
	return size * n;
}

static int explain_failure(CURLcode code, CURL *curl, const char *path)
{
	long error = 0;

	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &error);
	if (code == CURLE_COULDNT_CONNECT && error == EACCES)
		fprintf(stderr, "conn25: control socket %s: no permission; run as root\n", path);
	else if (code == CURLE_COULDNT_CONNECT)
		fprintf(stderr,
			"conn25: no daemon answers on %s; `conn25 run` starts one, --control names "
			"its socket, `conn25 map` reads the pinned maps without it\n",
			path);
	else
		fprintf(stderr, "conn25: control socket %s: %s\n", path, curl_easy_strerror(code));
	return code == CURLE_COULDNT_CONNECT ? -ECONNREFUSED : -EIO;
}

int control_get(char **out, const char *path, const char *what)
{
	_cleanup_(curl) CURL *curl = curl_easy_init();
	struct body body = { 0 };
	char url[2048];
	long status = 0;
	CURLcode code;

	if (!curl)
		return -ENOMEM;
	snprintf(url, sizeof(url), "http://conn25%s", what);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, path);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 10000L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
	code = curl_easy_perform(curl);
	if (code == CURLE_OK)
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK || status != 200 || !body.text) {
		free(body.text);
		if (code != CURLE_OK)
			return explain_failure(code, curl, path);
		fprintf(stderr, "conn25: control socket %s: answered with status %ld\n", path,
			status);
		return -EIO;
	}
	*out = body.text;
	return 0;
}
