/* SPDX-License-Identifier: BSD-3-Clause */
/* What others ask in the proxy's stead, and askers without a socket. */
#include "dns_world.h"

SUITE(dns_external);

/* ---- someone else asks ---- */

static struct {
	enum { LATER, AT_ONCE, NOT_AT_ALL, FAIL_AT_ONCE } how;
	struct dns_query *asked[8];
	struct packet msg;
	size_t n, taken_back;
} other;

static struct packet reply_to(const struct packet *query, uint8_t last)
{
	struct packet m = *query;

	cut_to_question(&m);
	m.b[0] = m.b[1] = 0;
	m.b[2] |= 0x80;
	add_a(&m, last);
	return m;
}

static bool ops_ask(void *ctx, struct dns_query *query, size_t app, const struct dns_question *q,
		    const uint8_t *msg, size_t len)
{
	struct packet m;

	cr_assert_eq(ctx, W);
	cr_assert_eq(app, APP);
	if (other.how == NOT_AT_ALL)
		return false;
	other.asked[other.n++] = query;
	memcpy(other.msg.b, msg, len);
	other.msg.len = len;
	if (other.how == FAIL_AT_ONCE)
		dns_query_fail(query);
	if (other.how == AT_ONCE) {
		m = reply_to(&other.msg, 9);
		cr_assert_eq(dns_query_external_answer(query, m.b, m.len), 0);
	}
	return true;
}

static void ops_unask(void *ctx, struct dns_query *query)
{
	other.taken_back++;
}

/* The world's proxy, but claimed questions are asked by ops_ask(). */
static void external_open(void)
{
	static struct dns_proxy_ops ops;
	struct sockaddr_storage up = at("127.0.0.2:5353"), v4 = at("127.0.0.1:53");

	world_open(1);
	dns_proxy_free(W->proxy);
	settle();
	ops = world_ops;
	ops.ask = ops_ask;
	ops.unask = ops_unask;
	cr_assert_eq(dns_proxy_new(&W->proxy, &W->loop, &ops, W, &up, 1), 0);
	cr_assert_eq(dns_proxy_listen(W->proxy, (void *)&v4), 0);
}

static int ask_world(uint16_t id, const char *name)
{
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");
	struct packet q;

	udp_send(fd, question(&q, id, name, DNS_TYPE_A));
	return fd;
}

static void assert_magic(const struct packet *m, uint16_t id)
{
	cr_assert_eq(id_of(m), id);
	cr_assert_eq(m->b[3] & 0xf, 0);
	cr_assert_eq(m->b[7], 1);
	cr_assert_arr_eq(m->b + m->len - 4, ((uint8_t[]){ 198, 18, 0, 1 }), 4);
}

Test(dns_external, an_answer_brought_later_is_rewritten_and_sent)
{
	struct packet m, a;
	int fd;

	external_open();
	fd = ask_world(7, "example.com");
	until(other.n == 1);
	m = reply_to(&other.msg, 9);
	cr_assert_eq(dns_query_external_answer(other.asked[0], m.b, m.len), 0);
	until(udp_recv(fd, &a));
	assert_magic(&a, 7);
	cr_assert_eq(W->up[0].n_heard, 0, "no upstream hears of it");
	cr_assert_eq(S()->rewritten, 1);
	close(fd);
	world_close();
}

Test(dns_external, an_answer_from_within_is_sent)
{
	struct packet a;
	int fd;

	external_open();
	other.how = AT_ONCE;
	fd = ask_world(7, "example.com");
	until(udp_recv(fd, &a));
	assert_magic(&a, 7);
	close(fd);
	world_close();
}

Test(dns_external, a_failure_from_within_is_servfail)
{
	struct packet a;
	int fd;

	external_open();
	other.how = FAIL_AT_ONCE;
	fd = ask_world(7, "example.com");
	until(udp_recv(fd, &a));
	assert_servfail(&a, 7);
	close(fd);
	world_close();
}

Test(dns_external, what_is_declined_and_what_is_not_claimed_goes_to_the_upstream)
{
	struct packet a;
	int fd, fd2;

	external_open();
	fd2 = ask_world(8, "example.org");
	until(udp_recv(fd2, &a));
	cr_assert_eq(other.n, 0);
	other.how = NOT_AT_ALL;
	fd = ask_world(7, "example.com");
	until(udp_recv(fd, &a));
	assert_magic(&a, 7);
	cr_assert_eq(W->up[0].n_heard, 2);
	close(fd);
	close(fd2);
	world_close();
}

Test(dns_external, an_answer_to_another_question_is_not_taken)
{
	struct packet m, a;
	int fd;

	external_open();
	fd = ask_world(7, "example.com");
	until(other.n == 1);
	m = reply_to(&other.msg, 9);
	m.b[13] ^= 1;
	cr_assert_eq(dns_query_external_answer(other.asked[0], m.b, m.len), -EBADMSG);
	cr_assert_eq(dns_query_external_answer(other.asked[0], m.b, 3), -EBADMSG);
	cr_assert_eq(dns_query_external_answer(other.asked[0], other.msg.b, other.msg.len),
		     -EBADMSG, "a query is no answer");
	m.b[13] ^= 1;
	cr_assert_eq(dns_query_external_answer(other.asked[0], m.b, m.len), 0);
	until(udp_recv(fd, &a));
	assert_magic(&a, 7);
	close(fd);
	world_close();
}

Test(dns_external, clients_who_ask_the_same_are_asked_for_once)
{
	struct packet m, a;
	int fd[2];

	external_open();
	fd[0] = ask_world(1, "example.com");
	fd[1] = ask_world(2, "example.com");
	until(S()->queries == 2);
	cr_assert_eq(other.n, 1);
	m = reply_to(&other.msg, 9);
	cr_assert_eq(dns_query_external_answer(other.asked[0], m.b, m.len), 0);
	for (size_t i = 0; i < 2; i++) {
		until(udp_recv(fd[i], &a));
		assert_magic(&a, (uint16_t)(i + 1));
		close(fd[i]);
	}
	world_close();
}

Test(dns_external, what_waits_when_the_proxy_ends_is_taken_back)
{
	int fd;

	external_open();
	fd = ask_world(7, "example.com");
	until(other.n == 1);
	close(fd);
	world_close();
	cr_assert_eq(other.taken_back, 1);
}

/* ---- an asker without a socket ---- */

struct asker {
	struct dns_asker asker; /* first */
	struct packet answer;
	unsigned calls;
};

static void take(struct dns_asker *a, const uint8_t *msg, size_t len)
{
	struct asker *to = (struct asker *)a;

	to->calls++;
	memcpy(to->answer.b, msg, len);
	to->answer.len = len;
}

static struct asker *asker_new(void)
{
	struct asker *a = calloc(1, sizeof(*a));

	a->asker.answered = take;
	return a;
}

static void ask(struct asker *a, const char *name)
{
	struct packet q;

	question(&q, 7, name, DNS_TYPE_A);
	cr_assert_eq(dns_proxy_ask(W->proxy, &a->asker, q.b, q.len), 0);
}

Test(dns_external, an_asker_hears_the_upstream_s_own_words)
{
	struct asker *a = asker_new();

	world_open(1);
	ask(a, "example.org");
	cr_assert_eq(a->calls, 0);
	until(a->calls);
	cr_assert_arr_eq(a->answer.b + a->answer.len - 4, ((uint8_t[]){ 203, 0, 113, 9 }), 4);
	cr_assert_null(a->asker.waiter);
	cr_assert_eq(W->up[0].heard[0].tcp, false);
	world_close();
	cr_assert_eq(a->calls, 1);
	free(a);
}

Test(dns_external, an_answer_cut_short_is_asked_again_over_tcp)
{
	struct asker *a = asker_new();

	world_open(1);
	W->up[0].script = TRUNCATED;
	ask(a, "example.org");
	until(a->calls);
	cr_assert_eq(a->answer.b[2] & 2, 0, "no TC");
	cr_assert_eq(a->answer.b[7], 1);
	cr_assert(W->up[0].heard[1].tcp);
	world_close();
	free(a);
}

Test(dns_external, an_asker_takes_any_length)
{
	struct asker *a = asker_new();

	world_open(1);
	W->up[0].script = LONG;
	ask(a, "example.org");
	until(a->calls);
	cr_assert_eq(a->answer.b[7], 40);
	cr_assert_gt(a->answer.len, 512);
	world_close();
	free(a);
}

Test(dns_external, silence_of_the_upstreams_is_servfail)
{
	struct asker *a = asker_new();

	world_open(1);
	W->up[0].script = SILENT;
	ask(a, "example.org");
	for (int i = 0; i < 8 && !a->calls; i++)
		tick(1600);
	cr_assert_eq(a->calls, 1);
	assert_servfail(&a->answer, 7);
	world_close();
	free(a);
}

Test(dns_external, many_askers_share_one_question)
{
	struct asker *a[20];

	world_open(1);
	for (size_t i = 0; i < 20; i++)
		ask(a[i] = asker_new(), "example.org");
	for (size_t i = 0; i < 20; i++) {
		until(a[i]->calls);
		free(a[i]);
	}
	cr_assert_eq(W->up[0].n_heard, 1);
	world_close();
}

Test(dns_external, who_takes_his_question_back_hears_nothing)
{
	struct asker *a = asker_new(), *b = asker_new();

	world_open(1);
	ask(a, "example.org");
	ask(b, "example.org");
	dns_proxy_unask(&a->asker);
	cr_assert_null(a->asker.waiter);
	dns_proxy_unask(&a->asker);
	until(b->calls);
	cr_assert_eq(a->calls, 0);
	world_close();
	free(a);
	free(b);
}

Test(dns_external, what_is_no_question_is_not_taken)
{
	struct asker *a = asker_new();
	struct packet q;

	world_open(1);
	question(&q, 7, "example.org", DNS_TYPE_A);
	cr_assert_eq(dns_proxy_ask(W->proxy, &a->asker, q.b, q.len - 1), -EBADMSG);
	cr_assert_eq(dns_proxy_ask(W->proxy, &a->asker, q.b, 0), -EBADMSG);
	q.b[2] |= 0x80;
	cr_assert_eq(dns_proxy_ask(W->proxy, &a->asker, q.b, q.len), -EBADMSG);
	cr_assert_null(a->asker.waiter);
	world_close();
	cr_assert_eq(a->calls, 0);
	free(a);
}

Test(dns_external, an_asker_is_not_called_when_the_proxy_ends)
{
	struct asker *a = asker_new();

	world_open(1);
	W->up[0].script = SILENT;
	ask(a, "example.org");
	settle();
	world_close();
	cr_assert_eq(a->calls, 0);
	cr_assert_null(a->asker.waiter);
	free(a);
}

Test(dns_external, questions_beyond_the_table_are_servfail_at_once)
{
	static struct asker a[8200];
	char name[32];

	world_open(1);
	W->up[0].script = SILENT;
	for (size_t i = 0; i < ARRAY_SIZE(a); i++) {
		a[i].asker.answered = take;
		snprintf(name, sizeof(name), "n%zu.example.org", i);
		ask(&a[i], name);
		cr_assert_eq(a[i].calls, i < 8192 ? 0 : 1, "%zu", i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(a); i++)
		dns_proxy_unask(&a[i].asker);
	world_close();
}
