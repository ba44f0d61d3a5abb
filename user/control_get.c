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

static CURL *open_request(const char *path, const char *what)
{
	CURL *curl = curl_easy_init();
	char url[2048];

	if (!curl)
		return NULL;
	snprintf(url, sizeof(url), "http://conn25%s", what);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, path);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	return curl;
}

static int explain_status(long status, const char *path)
{
	if (status == 503)
		fprintf(stderr,
			"conn25: control socket %s: too many monitors run already; end one\n",
			path);
	else
		fprintf(stderr, "conn25: control socket %s: answered with status %ld\n", path,
			status);
	return -EIO;
}

int control_get(char **out, const char *path, const char *what)
{
	_cleanup_(curl) CURL *curl = open_request(path, what);
	struct body body = { 0 };
	long status = 0;
	CURLcode code;

	if (!curl)
		return -ENOMEM;
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 10000L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
	code = curl_easy_perform(curl);
	if (code == CURLE_OK)
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK || status != 200 || !body.text) {
		free(body.text);
		return code != CURLE_OK ? explain_failure(code, curl, path) :
					  explain_status(status, path);
	}
	*out = body.text;
	return 0;
}

struct follower {
	CURL *curl;
	int (*line)(void *ctx, char *text);
	void *ctx;
	int result;
	struct body rest; /* a line whose end is not there yet */
};

/* CURLOPT_WRITEFUNCTION */
static size_t on_lines(char *data, size_t size, size_t n, void *ctx)
{
	struct follower *f = ctx;
	long status = 0;
	char *at, *end;

	curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return size * n;
	if (on_data(data, size, n, &f->rest) != size * n)
		return 0;
	for (at = f->rest.text; (end = strchr(at, '\n')); at = end + 1) {
		*end = 0;
		f->result = f->line(f->ctx, at);
		if (f->result)
			return 0;
	}
	f->rest.len -= (size_t)(at - f->rest.text);
	memmove(f->rest.text, at, f->rest.len + 1);
	return size * n;
}

int control_follow(const char *path, const char *what, int (*line)(void *ctx, char *text),
		   void *ctx)
{
	_cleanup_(curl) CURL *curl = open_request(path, what);
	struct follower f = { .curl = curl, .line = line, .ctx = ctx };
	long status = 0;
	CURLcode code;

	if (!curl)
		return -ENOMEM;
	/* A daemon that hangs does not even send empty lines. */
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 6L * CONTROL_BEAT_MS / 1000);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_lines);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &f);
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	free(f.rest.text);
	if (f.result)
		return f.result;
	if (status && status != 200)
		return explain_status(status, path);
	if (status != 200)
		return explain_failure(code, curl, path);
	if (code == CURLE_OPERATION_TIMEDOUT) {
		fprintf(stderr, "conn25: the daemon on %s does not answer any more\n", path);
		return -ETIMEDOUT;
	}
	fprintf(stderr, "conn25: the daemon on %s has ended\n", path);
	return -EPIPE;
}
