/* SPDX-License-Identifier: BSD-3-Clause */
#include "dns_world.h"

#include <sys/resource.h>

SUITE(dns_proxy_tcp);

static struct packet q, a, b, in;

Test(dns_proxy_tcp, an_unclaimed_question_over_tcp_goes_on_over_tcp_byte_for_byte)
{
	world_open(1);
	int fd = client(SOCK_STREAM, "[::1]:53");

	send_frame(fd, question(&q, 0x1234, "www.example.org", 1));
	until(tcp_recv(fd, &in, &a));
	cr_assert(W->up[0].heard[0].tcp);
	assert_same_but_id(W->up[0].heard[0].msg, &q);
	answer(&b, &W->up[0], &q, true);
	cr_assert_eq(id_of(&a), 0x1234);
	assert_same_but_id(&a, &b);
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, a_message_split_anywhere_is_put_together)
{
	uint8_t frame[128];

	world_open(1);
	int fd = client(SOCK_STREAM, "127.0.0.1:53");

	question(&q, 9, "www.example.com", 1);
	frame[0] = 0;
	frame[1] = (uint8_t)q.len;
	memcpy(frame + 2, q.b, q.len);
	for (size_t i = 0; i < q.len + 2; i++) {
		send_all(fd, frame + i, 1);
		settle();
	}
	until(tcp_recv(fd, &in, &a));
	cr_assert_eq(id_of(&a), 9);
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, pipelined_questions_are_answered_as_their_answers_come)
{
	world_open(1);
	int fd = client(SOCK_STREAM, "127.0.0.1:53");

	W->up[0].script = BACKWARDS;
	send_frame(fd, question(&q, 1, "one.example.org", 1));
	send_frame(fd, question(&q, 2, "two.example.org", 1));
	until(tcp_recv(fd, &in, &a));
	until(tcp_recv(fd, &in, &b));
	cr_assert_eq(id_of(&a), 2);
	cr_assert_eq(id_of(&b), 1);
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, more_questions_than_may_be_under_way_wait_their_turn)
{
	bool seen[300] = { false };
	char name[32];

	world_open(1);
	int fd = client(SOCK_STREAM, "127.0.0.1:53");

	W->control = HOLD;
	for (uint16_t i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "n%u.example.com", i);
		send_frame(fd, question(&q, i, name, 1));
		if (!i) {
			until(W->n_held == 1);
			W->control = GRANT;
			W->up[0].script = SILENT;
		}
	}
	settle();
	cr_assert_eq(W->up[0].n_heard, 64, "the rest stays in the socket");
	W->up[0].script = ANSWER;
	tick(900);
	grant(W->held_plan[0]);
	dns_query_finish(W->held[0]);
	for (size_t i = 0; i < 300; i++) {
		until(tcp_recv(fd, &in, &a));
		cr_assert_lt(id_of(&a), 300);
		cr_assert(!seen[id_of(&a)]);
		seen[id_of(&a)] = true;
	}
	cr_assert_eq(S()->overload, 0);
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, a_client_that_has_closed_its_side_still_gets_its_answers)
{
	world_open(1);
	int fd = client(SOCK_STREAM, "127.0.0.1:53");

	W->control = HOLD;
	send_frame(fd, question(&q, 1, "one.example.com", 1));
	send_frame(fd, question(&q, 2, "two.example.com", 1));
	shutdown(fd, SHUT_WR);
	until(W->n_held == 2);
	settle();
	for (size_t i = 0; i < 2; i++) {
		grant(W->held_plan[i]);
		dns_query_finish(W->held[i]);
		until(tcp_recv(fd, &in, &a));
	}
	until(tcp_ended(fd));
	cr_assert_eq(W->n_dropped, 0);
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, a_connection_ends_when_its_last_question_has_no_answer)
{
	world_open(1);
	int fd = client(SOCK_STREAM, "127.0.0.1:53");

	W->up[0].script = SILENT;
	question(&q, 1, "one.example.org", 1);
	q.b[5] = 2; /* not readable: there is nothing to make a SERVFAIL of */
	send_frame(fd, &q);
	shutdown(fd, SHUT_WR);
	until(W->up[0].n_heard == 1);
	for (int i = 0; i < 52; i++)
		tick(100);
	cr_assert_eq(S()->timeouts, 1);
	settle();
	cr_assert(tcp_ended(fd));
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, a_client_that_is_gone_has_its_held_questions_dropped)
{
	struct linger hard = { .l_onoff = 1 };

	world_open(1);
	int fd = client(SOCK_STREAM, "127.0.0.1:53"), udp = client(SOCK_DGRAM, "127.0.0.1:53");

	W->control = HOLD;
	send_frame(fd, question(&q, 1, "one.example.com", 1));
	until(W->n_held == 1);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
	until(W->n_dropped == 1);
	W->control = GRANT;
	udp_ask(udp, question(&q, 1, "one.example.com", 1), &a);
	close(udp);
	world_close();
}

Test(dns_proxy_tcp, a_giant_answer_comes_whole)
{
	world_open(1);
	int fd = client(SOCK_STREAM, "127.0.0.1:53");

	W->up[0].script = BIG;
	for (uint16_t i = 0; i < 4; i++) {
		send_frame(fd, question(&q, i, "www.example.org", 1));
		until(tcp_recv(fd, &in, &a));
		cr_assert_eq(a.len, 65535);
		answer(&b, &W->up[0], &q, true);
		assert_same_but_id(&a, &b);
	}
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, a_giant_question_passes_whole)
{
	world_open(1);
	int fd = client(SOCK_STREAM, "127.0.0.1:53");

	question(&q, 3, "www.example.org", 1);
	memset(q.b + q.len, 0x5a, sizeof(q.b) - q.len);
	q.len = 65535;
	send_frame(fd, &q);
	until(tcp_recv(fd, &in, &a));
	assert_same_but_id(W->up[0].heard[0].msg, &q);
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, tcp_serves_whole_what_udp_had_to_cut)
{
	world_open(1);
	int fd = client(SOCK_STREAM, "127.0.0.1:53");

	W->up[0].script = LONG;
	send_frame(fd, question(&q, 3, "www.example.com", 1));
	until(tcp_recv(fd, &in, &a));
	cr_assert_eq(a.b[7], 40);
	cr_assert_eq(a.b[2] & 2, 0);
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, what_is_no_question_ends_its_connection_and_no_other)
{
	static const uint8_t frames[][16] = {
		{ 0, 0 },                          /* nothing */
		{ 0, 5, 1, 2, 3, 4, 5 },           /* shorter than a header */
		{ 0, 12, 1, 2, 0x81, 0, 0, 0, 0 }, /* a response */
	};
	static const size_t lens[] = { 2, 7, 14 };

	world_open(1);
	int good = client(SOCK_STREAM, "127.0.0.1:53");

	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		int fd = client(SOCK_STREAM, "127.0.0.1:53");

		send_all(fd, frames[i], lens[i]);
		until(tcp_ended(fd));
		close(fd);
	}
	cr_assert_eq(S()->unreadable, 3);
	send_frame(good, question(&q, 3, "www.example.org", 1));
	until(tcp_recv(good, &in, &a));
	close(good);
	world_close();
}

Test(dns_proxy_tcp, an_idle_connection_is_closed_after_ten_seconds_a_waiting_one_is_not)
{
	world_open(1);
	int idle = client(SOCK_STREAM, "127.0.0.1:53"), half = client(SOCK_STREAM, "127.0.0.1:53");
	int waiting = client(SOCK_STREAM, "127.0.0.1:53");

	W->control = HOLD;
	send_frame(waiting, question(&q, 3, "www.example.com", 1));
	until(W->n_held == 1);
	tick(6000);
	send_all(half, "\0\x20trick", 6); /* bytes, but no question */
	settle();
	tick(4500);
	until(tcp_ended(idle));
	until(tcp_ended(half));
	grant(W->held_plan[0]);
	dns_query_finish(W->held[0]);
	until(tcp_recv(waiting, &in, &a));
	close(idle);
	close(half);
	close(waiting);
	world_close();
}

Test(dns_proxy_tcp, the_longest_idle_connection_makes_room_for_a_new_one)
{
	int fds[257];

	world_open(1);
	for (size_t i = 0; i < 256; i++) {
		fds[i] = client(SOCK_STREAM, "127.0.0.1:53");
		if (i % 16 == 15)
			settle();
		tick(1);
	}
	send_frame(fds[0], question(&q, 3, "www.example.org", 1));
	until(tcp_recv(fds[0], &in, &a));
	fds[256] = client(SOCK_STREAM, "127.0.0.1:53");
	until(tcp_ended(fds[1]));
	cr_assert(!tcp_ended(fds[0]));
	cr_assert(!tcp_ended(fds[2]));
	send_frame(fds[256], question(&q, 4, "www.example.org", 1));
	until(tcp_recv(fds[256], &in, &a));
	for (size_t i = 0; i < 257; i++)
		close(fds[i]);
	world_close();
}

Test(dns_proxy_tcp, a_client_that_does_not_read_is_read_no_further_and_closed_in_the_end)
{
	struct sockaddr_storage to = at("127.0.0.1:53");
	int size = 4096;
	ssize_t n;

	world_open(1);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	cr_assert_eq(connect(fd, (void *)&to, sizeof(struct sockaddr_in)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	W->up[0].script = BIG;
	for (uint16_t i = 0; i < 500; i++) {
		send_frame(fd, question(&q, i, "www.example.org", 1));
		settle();
	}
	cr_assert_lt(W->up[0].n_heard, 200, "it is not asked for what it does not take");
	tick(10500);
	until((n = recv(fd, a.b, sizeof(a.b), 0)) == 0 || (n < 0 && errno != EAGAIN));
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, answers_that_no_longer_fit_end_their_connection)
{
	char name[32];

	world_open(1);
	int fd = client(SOCK_STREAM, "127.0.0.1:53"), other = client(SOCK_STREAM, "127.0.0.1:53");
	int size = 4096;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	W->up[0].script = BIG;
	for (uint16_t i = 0; i < 64; i++) {
		snprintf(name, sizeof(name), "n%u.example.org", i);
		send_frame(fd, question(&q, i, name, 1));
	}
	until(S()->overload || S()->passed == 64);
	send_frame(other, question(&q, 3, "www.example.org", 1));
	until(tcp_recv(other, &in, &a));
	cr_assert_eq(a.len, 65535);
	close(fd);
	close(other);
	world_close();
}

Test(dns_proxy_tcp, without_descriptors_accepting_pauses_and_goes_on)
{
	struct sockaddr_storage used = at("127.0.0.1:53");
	struct rlimit was, none;

	world_open(1);
	int fd = client(SOCK_STREAM, "127.0.0.1:53");

	cr_assert_eq(dns_proxy_listen(W->proxy, (void *)&used), -EADDRINUSE);
	getrlimit(RLIMIT_NOFILE, &was);
	none = (struct rlimit){ 3, was.rlim_max };
	setrlimit(RLIMIT_NOFILE, &none);
	send_frame(fd, question(&q, 3, "www.example.org", 1));
	settle();
	setrlimit(RLIMIT_NOFILE, &was);
	settle();
	cr_assert_eq(W->up[0].n_heard, 0, "a pause, not a busy loop");
	tick(600);
	until(tcp_recv(fd, &in, &a));
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, a_resolver_that_closes_after_each_answer_still_answers_all)
{
	char name[32];

	world_open(1);
	int fd = client(SOCK_STREAM, "127.0.0.1:53");

	W->up[0].script = CLOSING;
	for (uint16_t i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "n%u.example.org", i);
		send_frame(fd, question(&q, i, name, 1));
	}
	for (uint16_t i = 0; i < 10; i++) {
		until(tcp_recv(fd, &in, &a));
		cr_assert_eq(a.b[3] & 0xf, 0);
	}
	cr_assert_geq(W->up[0].n_tcp_conns, 10);
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, a_resolver_without_tcp_sends_the_question_to_the_next)
{
	world_open(2);
	int fd = client(SOCK_STREAM, "127.0.0.1:53");

	resolver_close(&W->up[0]);
	send_frame(fd, question(&q, 3, "www.example.org", 1));
	until(tcp_recv(fd, &in, &a));
	cr_assert_eq(a.b[3] & 0xf, 0);
	cr_assert(W->up[1].heard[0].tcp);
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, a_connection_to_a_resolver_that_has_gone_silent_is_not_used_again)
{
	world_open(2);
	int fd = client(SOCK_STREAM, "127.0.0.1:53");

	send_frame(fd, question(&q, 1, "www.example.org", 1));
	until(tcp_recv(fd, &in, &a));
	W->up[0].script = SILENT;
	send_frame(fd, question(&q, 2, "www.example.org", 1));
	until(W->up[0].n_heard == 2);
	tick(810);
	until(tcp_recv(fd, &in, &a));
	cr_assert_eq(id_of(&a), 2);
	W->up[0].script = ANSWER;
	send_frame(fd, question(&q, 3, "www.example.org", 1));
	until(tcp_recv(fd, &in, &a));
	cr_assert_eq(W->up[0].n_tcp_conns, 2);
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, an_idle_connection_to_a_resolver_is_closed)
{
	world_open(1);
	int fd = client(SOCK_STREAM, "127.0.0.1:53");

	send_frame(fd, question(&q, 1, "www.example.org", 1));
	until(tcp_recv(fd, &in, &a));
	cr_assert(W->up[0].tcp_open);
	tick(5500);
	until(!W->up[0].tcp_open);
	close(fd);
	world_close();
}

Test(dns_proxy_tcp, forged_and_empty_frames_of_a_resolver_answer_nothing)
{
	struct packet *m;

	world_open(1);
	int fd = client(SOCK_STREAM, "127.0.0.1:53");

	W->up[0].script = SILENT;
	send_frame(fd, question(&q, 1, "www.example.org", 1));
	until(W->up[0].n_heard == 1);
	W->up[0].script = ANSWER;
	m = answer(&a, &W->up[0], W->up[0].heard[0].msg, true);
	send_all(W->up[0].tcp, "\0", 2);
	m->b[0] ^= 0x40;
	send_frame(W->up[0].tcp, m);
	m->b[0] ^= 0x40;
	m->b[14] ^= 1;
	send_frame(W->up[0].tcp, m);
	until(S()->mismatched == 3);
	cr_assert(!tcp_recv(fd, &in, &b));
	m->b[14] ^= 1;
	send_frame(W->up[0].tcp, m);
	until(tcp_recv(fd, &in, &b));
	close(fd);
	world_close();
}
