/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls.h"

#include "file_watch.h"
#include "log.h"
#include "tls_owner.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { WATCH_CERT, WATCH_KEY, WATCH_CA, WATCHES };

struct tls {
	struct tls_files files;
	struct tls_set *set;
	struct file_watch *watches[WATCHES];
	void (*changed)(void *ctx, const char *what);
	void *ctx;
	struct tls_stats stats;
	bool warned_time, warned_owner, warned_ca; /* of `set` */
};

static bool same_pem(const struct tls_pem *a, const struct tls_pem *b)
{
	return a->len == b->len && !memcmp(a->text, b->text, a->len);
}

static bool same_set(const struct tls_set *a, const struct tls_set *b)
{
	return same_pem(&a->cert, &b->cert) && same_pem(&a->key, &b->key) &&
	       same_pem(&a->ca, &b->ca);
}

/* Three files may change one after another: a pair that does not fit is told of, and is read
 * again when the rest of it comes. */
static void on_change(void *ctx)
{
	_cleanup_(tls_set) struct tls_set *set = NULL;
	char why[TLS_WHY_LEN];
	struct tls *t = ctx;
	int err = tls_set_read(&set, &t->files, why);

	if (err) {
		t->stats.reloads_refused++;
		log_error("%s; the certificate before stays in force", why);
		t->changed(t->ctx, why);
		return;
	}
	if (same_set(set, t->set))
		return;
	tls_set_unref(t->set);
	t->set = TAKE_PTR(set);
	t->warned_time = t->warned_owner = t->warned_ca = false;
	t->stats.reloads_ok++;
	log_info("certificate of the peer API taken up anew from %s", t->files.cert);
	t->changed(t->ctx, "taken up anew");
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < WATCHES; i++)
		file_watch_free(t->watches[i]);
	tls_set_unref(t->set);
	free(t);
}

int tls_new(struct tls **out, uv_loop_t *loop, const struct tls_files *files,
	    void (*changed)(void *ctx, const char *what), void *ctx)
{
	_cleanup_(tls) struct tls *t = calloc(1, sizeof(*t));
	const char *const paths[WATCHES] = { files->cert, files->key, files->ca };
	char why[TLS_WHY_LEN];
	int err;

	if (!t)
		return log_errno(ENOMEM, "read certificates");
	t->files = *files;
	t->changed = changed;
	t->ctx = ctx;
	/* Watched before they are read, so that no change falls in between. */
	for (size_t i = 0; i < WATCHES; i++) {
		err = file_watch_new(&t->watches[i], loop, paths[i], on_change, t);
		if (err)
			return log_errno(-err, "watch %s", paths[i]);
	}
	err = tls_set_read(&t->set, files, why);
	if (err) {
		log_error("%s", why);
		return err;
	}
	*out = TAKE_PTR(t);
	return 0;
}

struct tls_set *tls_now(const struct tls *t)
{
	return t ? t->set : NULL;
}

static void check_time(struct tls *t)
{
	int64_t now = (int64_t)time(NULL);
	const struct tls_set *s = t->set;
	char when[32];
	struct tm tm;
	time_t at;

	if (t->warned_time || (now >= s->begins && now < s->ends))
		return;
	t->warned_time = true;
	at = (time_t)(now < s->begins ? s->begins : s->ends);
	gmtime_r(&at, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	log_error("--peerapi-tls-cert %s %s %s: peers refuse it; put a valid one there, which is "
		  "taken up at once",
		  t->files.cert, now < s->begins ? "is not valid before" : "has expired on", when);
}

void tls_check(struct tls *t, const struct netmap_node *self)
{
	struct tls_owner owner;

	check_time(t);
	tls_owner_of(&owner, self);
	if (!t->warned_owner && !tls_owner_has(&owner, t->set->own)) {
		t->warned_owner = true;
		log_warn("--peerapi-tls-cert %s is not this node's: peers refuse it; its "
			 "subjectAltName must hold DNS:%s or one of the node's overlay addresses",
			 t->files.cert, self->id);
	}
	if (!t->warned_ca && !t->set->by_ca) {
		t->warned_ca = true;
		log_warn("--peerapi-tls-cert %s is not signed by a CA of --peerapi-tls-ca %s: "
			 "peers with the same CA refuse it",
			 t->files.cert, t->files.ca);
	}
}

struct tls_stats tls_stats(const struct tls *t)
{
	return t->stats;
}
