/* SPDX-License-Identifier: BSD-3-Clause */
#include "dns_world.h"

SUITE(dns_proxy);

static struct packet q, a, b;

Test(dns_proxy, an_unclaimed_question_and_its_answer_pass_byte_for_byte_but_for_the_id)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	question(&q, 0x1234, "www.ExAmPle.org", 1);
	add_edns(&q, 1400);
	udp_ask(fd, &q, &a);
	cr_assert_eq(W->up[0].n_heard, 1);
	assert_same_but_id(W->up[0].heard[0].msg, &q);
	answer(&b, &W->up[0], &q, false);
	cr_assert_eq(id_of(&a), 0x1234);
	assert_same_but_id(&a, &b);
	cr_assert_eq(S()->queries, 1);
	cr_assert_eq(S()->passed, 1);
	cr_assert_eq(S()->answers, 1);
	close(fd);
	world_close();
}

Test(dns_proxy, ids_and_source_ports_towards_a_resolver_are_random)
{
	bool id_kept = true, ids_differ = false, ports_differ = false;

	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	for (uint16_t i = 0; i < 40; i++)
		udp_ask(fd, question(&q, i, "www.example.org", 1), &a);
	for (size_t i = 0; i < 40; i++) {
		const struct heard *h = &W->up[0].heard[i];

		id_kept &= id_of(h->msg) == i;
		ids_differ |= id_of(h->msg) != (uint16_t)(id_of(W->up[0].heard[0].msg) + i);
		ports_differ |= h->port != W->up[0].heard[0].port;
	}
	cr_assert(!id_kept && ids_differ && ports_differ);
	close(fd);
	world_close();
}

Test(dns_proxy, a_source_port_is_given_up_after_a_while)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");
	uint16_t before[HEARD];

	for (uint16_t i = 0; i < 32; i++)
		udp_ask(fd, question(&q, i, "www.example.org", 1), &a);
	for (size_t i = 0; i < 32; i++)
		before[i] = W->up[0].heard[i].port;
	tick(11000);
	for (uint16_t i = 32; i < 48; i++) {
		udp_ask(fd, question(&q, i, "www.example.org", 1), &a);
		for (size_t k = 0; k < 32; k++)
			cr_assert_neq(W->up[0].heard[i].port, before[k]);
	}
	close(fd);
	world_close();
}

Test(dns_proxy, what_is_no_readable_query_passes_byte_for_byte)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	question(&q, 0x4321, "www.example.com", 1);
	q.b[5] = 2; /* says two questions */
	W->up[0].script = NO_QUESTION;
	udp_ask(fd, &q, &a);
	assert_same_but_id(W->up[0].heard[0].msg, &q);
	cr_assert_neq(id_of(W->up[0].heard[0].msg), 0x4321, "id is random here too");
	cr_assert_eq(id_of(&a), 0x4321);
	cr_assert_eq(S()->unreadable, 1);
	cr_assert_eq(S()->queries, 0);
	close(fd);
	world_close();
}

Test(dns_proxy, what_comes_back_as_a_query_is_no_reply)
{
	struct sockaddr_storage to = at("127.0.0.1:1");
	struct packet *m;

	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->up[0].script = SILENT;
	question(&q, 5, "www.example.org", 1);
	q.b[5] = 2;
	udp_send(fd, &q);
	until(W->up[0].n_heard == 1);
	m = W->up[0].heard[0].msg;
	((struct sockaddr_in *)&to)->sin_port = htons(W->up[0].heard[0].port);
	sendto(W->up[0].udp, m->b, m->len, 0, (void *)&to, sizeof(struct sockaddr_in));
	until(S()->mismatched == 1);
	cr_assert(!udp_recv(fd, &a));
	m->b[2] |= 0x80;
	sendto(W->up[0].udp, m->b, m->len, 0, (void *)&to, sizeof(struct sockaddr_in));
	until(udp_recv(fd, &a));
	close(fd);
	world_close();
}

Test(dns_proxy, a_slow_name_does_not_make_its_resolver_a_dead_one)
{
	char name[32];

	world_open(2);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->up[0].script = SILENT;
	for (uint16_t i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "slow%u.example.org", i);
		udp_send(fd, question(&q, i, name, 1));
	}
	until(W->up[0].n_heard == 8);
	tick(400);
	W->up[0].script = ANSWER;
	udp_ask(fd, question(&q, 20, "www.example.org", 1), &a);
	tick(410);
	for (uint16_t i = 0; i < 8; i++)
		until(udp_recv(fd, &a));
	cr_assert_eq(W->up[1].n_heard, 8);
	udp_ask(fd, question(&q, 21, "www.example.org", 1), &a);
	cr_assert_eq(W->up[0].n_heard, 10);
	close(fd);
	world_close();
}

Test(dns_proxy, what_is_shorter_than_a_header_or_a_response_is_dropped)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	question(&q, 1, "www.example.org", 1);
	q.len = 11;
	udp_send(fd, &q);
	q.len = 0;
	udp_send(fd, &q);
	question(&q, 1, "www.example.org", 1);
	q.b[2] |= 0x80;
	udp_send(fd, &q);
	until(S()->unreadable == 3);
	settle();
	cr_assert_eq(W->up[0].n_heard, 0);
	cr_assert(!udp_recv(fd, &a));
	close(fd);
	world_close();
}

Test(dns_proxy, a_claimed_question_is_answered_with_magic_addresses_over_both_families)
{
	static const char *const listeners[] = { "127.0.0.1:53", "[::1]:53" };

	world_open(1);
	for (size_t i = 0; i < 2; i++) {
		int fd = client(SOCK_DGRAM, listeners[i]);

		udp_ask(fd, question(&q, 77, "www.example.com", 1), &a);
		cr_assert_eq(id_of(&a), 77);
		cr_assert_eq(a.b[7], 1);
		cr_assert_arr_eq(a.b + a.len - 4, "\xc6\x12\x00\x01", 4);
		close(fd);
	}
	cr_assert_eq(S()->rewritten, 2);
	world_close();
}

Test(dns_proxy, another_class_than_in_is_never_claimed)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	question(&q, 1, "www.example.com", 1);
	q.b[q.len - 1] = 3;
	udp_ask(fd, &q, &a);
	cr_assert_eq(S()->passed, 1);
	close(fd);
	world_close();
}

Test(dns_proxy, an_answer_is_held_until_it_is_finished)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->control = HOLD;
	udp_send(fd, question(&q, 5, "www.example.com", 1));
	until(W->n_held == 1);
	/* Others come and go meanwhile, and use the same buffers. */
	int other = client(SOCK_DGRAM, "127.0.0.1:53");
	for (uint16_t i = 0; i < 8; i++)
		udp_ask(other, question(&q, i, "another.name.of.some.length.example.org", 1), &a);
	W->up[0].script = SILENT;
	udp_send(other, question(&q, 9, "last.example.org", 1));
	until(W->up[0].n_heard == 10);
	tick(20000);
	cr_assert(!udp_recv(fd, &a));
	dns_query_set_data(W->held[0], W);
	cr_assert_eq(dns_query_data(W->held[0]), W);
	grant(W->held_plan[0]);
	dns_query_finish(W->held[0]);
	until(udp_recv(fd, &a));
	cr_assert_eq(id_of(&a), 5);
	cr_assert_eq(a.b[3], 0x80, "RA, as upstream's answer has it");
	cr_assert_arr_eq(a.b + a.len - 4, "\xc6\x12\x00\x01", 4);
	close(fd);
	close(other);
	world_close();
}

Test(dns_proxy, a_failed_question_is_answered_servfail)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->control = FAIL;
	udp_ask(fd, question(&q, 5, "www.example.com", 1), &a);
	assert_servfail(&a, 5);
	cr_assert_eq(S()->servfail, 1);
	close(fd);
	world_close();
}

Test(dns_proxy, a_reply_of_another_id_or_question_neither_answers_nor_ends_the_query)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->up[0].script = FORGED;
	udp_ask(fd, question(&q, 5, "www.example.org", 1), &a);
	answer(&b, &W->up[0], &q, false);
	assert_same_but_id(&a, &b);
	cr_assert_eq(S()->mismatched, 4);
	cr_assert_eq(W->up[0].n_heard, 1);
	close(fd);
	world_close();
}

Test(dns_proxy, a_reply_from_elsewhere_is_not_taken)
{
	struct sockaddr_storage to = at("127.0.0.1:1");

	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");
	int forger = open_socket(SOCK_DGRAM, "127.0.0.3:5354");

	W->up[0].script = SILENT;
	udp_send(fd, question(&q, 5, "www.example.org", 1));
	until(W->up[0].n_heard == 1);
	W->up[0].script = ANSWER;
	answer(&a, &W->up[0], W->up[0].heard[0].msg, false);
	((struct sockaddr_in *)&to)->sin_port = htons(W->up[0].heard[0].port);
	sendto(forger, a.b, a.len, 0, (void *)&to, sizeof(struct sockaddr_in));
	settle();
	cr_assert(!udp_recv(fd, &b));
	close(forger);
	close(fd);
	world_close();
}

Test(dns_proxy, a_reply_without_question_is_matched_by_its_id)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->up[0].script = NO_QUESTION;
	udp_ask(fd, question(&q, 5, "www.example.org", 1), &a);
	cr_assert_eq(a.len, 12);
	cr_assert_eq(S()->mismatched, 0);
	close(fd);
	world_close();
}

Test(dns_proxy, after_a_timeout_the_next_resolver_is_asked)
{
	world_open(2);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->up[0].script = SILENT;
	udp_send(fd, question(&q, 5, "www.example.org", 1));
	until(W->up[0].n_heard == 1);
	tick(790);
	cr_assert_eq(W->up[1].n_heard, 0);
	tick(20);
	until(udp_recv(fd, &a));
	cr_assert_eq(W->up[1].n_heard, 1);
	cr_assert_neq(id_of(W->up[0].heard[0].msg), id_of(W->up[1].heard[0].msg));
	cr_assert_eq(S()->retries, 1);
	cr_assert_eq(S()->timeouts, 0);
	close(fd);
	world_close();
}

Test(dns_proxy, a_late_answer_of_an_earlier_attempt_is_taken)
{
	struct sockaddr_storage to = at("127.0.0.1:1");

	world_open(2);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->up[0].script = W->up[1].script = SILENT;
	udp_send(fd, question(&q, 5, "www.example.org", 1));
	until(W->up[0].n_heard == 1);
	tick(810);
	until(W->up[1].n_heard == 1);
	W->up[0].script = ANSWER;
	answer(&a, &W->up[0], W->up[0].heard[0].msg, false);
	((struct sockaddr_in *)&to)->sin_port = htons(W->up[0].heard[0].port);
	sendto(W->up[0].udp, a.b, a.len, 0, (void *)&to, sizeof(struct sockaddr_in));
	until(udp_recv(fd, &b));
	cr_assert_eq(id_of(&b), 5);
	close(fd);
	world_close();
}

Test(dns_proxy, a_closed_port_sends_the_question_on_at_once)
{
	world_open(2);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	uint64_t start = uv_now(&W->loop);

	resolver_close(&W->up[0]);
	udp_ask(fd, question(&q, 5, "www.example.org", 1), &a);
	cr_assert_eq(W->up[1].n_heard, 1);
	cr_assert_eq(S()->retries, 1);
	cr_assert_lt(uv_now(&W->loop) - start, 700);

	/* In one batch the first of them has the others' sending fail. */
	for (uint16_t i = 0; i < 10; i++) {
		question(&q, i, "wwwN.example.org", 1);
		q.b[16] = (uint8_t)('0' + i);
		udp_send(fd, &q);
	}
	for (uint16_t i = 0; i < 10; i++)
		until(udp_recv(fd, &a));
	cr_assert_lt(uv_now(&W->loop) - start, 700);
	close(fd);
	world_close();
}

Test(dns_proxy, silence_of_all_resolvers_ends_in_servfail_within_five_seconds)
{
	world_open(2);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->up[0].script = W->up[1].script = SILENT;
	udp_send(fd, question(&q, 5, "www.example.org", 1));
	until(W->up[0].n_heard == 1);
	for (int i = 0; i < 49; i++)
		tick(100);
	cr_assert(!udp_recv(fd, &a));
	tick(200);
	until(udp_recv(fd, &a));
	assert_servfail(&a, 5);
	cr_assert_eq(W->up[0].n_heard, 2);
	cr_assert_eq(W->up[1].n_heard, 2);
	cr_assert_eq(S()->timeouts, 1);
	close(fd);
	world_close();
}

Test(dns_proxy, a_resolver_that_keeps_silent_is_left_out_and_tried_again_later)
{
	world_open(2);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->up[0].script = SILENT;
	for (uint16_t i = 0; i < 4; i++) {
		udp_send(fd, question(&q, i, "www.example.org", 1));
		until(W->up[0].n_heard == i + 1U);
		tick(810);
		until(udp_recv(fd, &a));
	}
	udp_ask(fd, question(&q, 10, "www.example.org", 1), &a);
	cr_assert_eq(W->up[0].n_heard, 4, "nobody waits for it");
	W->up[0].script = ANSWER;
	tick(5000);
	udp_ask(fd, question(&q, 11, "www.example.org", 1), &a);
	cr_assert_eq(W->up[0].n_heard, 5);
	udp_ask(fd, question(&q, 12, "www.example.org", 1), &a);
	cr_assert_eq(W->up[0].n_heard, 6, "it is the first again");
	close(fd);
	world_close();
}

Test(dns_proxy, servfail_and_refused_pass_only_when_no_other_resolver_is_left)
{
	world_open(2);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->up[0].script = REFUSED;
	udp_ask(fd, question(&q, 5, "www.example.org", 1), &a);
	cr_assert_eq(a.b[3] & 0xf, 0);
	W->up[1].script = SERVFAIL;
	udp_ask(fd, question(&q, 6, "www.example.org", 1), &a);
	answer(&b, &W->up[1], &q, false);
	assert_same_but_id(&a, &b);
	close(fd);
	world_close();
}

Test(dns_proxy, a_client_that_repeats_itself_asks_once_and_is_answered_once)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->control = HOLD;
	for (int i = 0; i < 5; i++)
		udp_send(fd, question(&q, 5, "www.example.com", 1));
	until(W->n_held == 1 && S()->queries == 5);
	udp_send(fd, &q);
	until(S()->queries == 6);
	settle();
	cr_assert_eq(W->up[0].n_heard, 1);
	grant(W->held_plan[0]);
	dns_query_finish(W->held[0]);
	until(udp_recv(fd, &a));
	settle();
	cr_assert(!udp_recv(fd, &a));
	close(fd);
	world_close();
}

Test(dns_proxy, clients_of_one_question_share_it_and_each_gets_his_own_id)
{
	int fds[20];

	world_open(1);
	W->control = HOLD;
	for (uint16_t i = 0; i < 20; i++) {
		fds[i] = client(SOCK_DGRAM, i % 2 ? "127.0.0.1:53" : "[::1]:53");
		udp_send(fds[i], question(&q, (uint16_t)(1000 + i), "www.example.com", 1));
	}
	until(S()->queries == 20 && W->n_held);
	settle();
	cr_assert_eq(W->n_held, 1);
	cr_assert_eq(W->up[0].n_heard, 1);
	grant(W->held_plan[0]);
	dns_query_finish(W->held[0]);
	for (uint16_t i = 0; i < 20; i++) {
		until(udp_recv(fds[i], &a));
		cr_assert_eq(id_of(&a), 1000 + i);
		close(fds[i]);
	}
	cr_assert_eq(S()->rewritten, 20);
	world_close();
}

Test(dns_proxy, questions_that_differ_in_a_bit_are_not_shared)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->up[0].script = SILENT;
	udp_send(fd, question(&q, 5, "www.example.org", 1));
	udp_send(fd, question(&q, 5, "wwW.example.org", 1));
	udp_send(fd, question(&q, 5, "www.example.org", 28));
	q.b[3] |= 0x10; /* CD */
	udp_send(fd, &q);
	until(W->up[0].n_heard == 4);
	close(fd);
	world_close();
}

Test(dns_proxy, a_claimed_answer_cut_short_is_asked_for_again_over_tcp)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->up[0].script = TRUNCATED;
	for (uint16_t i = 0; i < 3; i++) {
		udp_ask(fd, question(&q, i, "www.example.com", 1), &a);
		cr_assert_eq(a.b[7], 1);
		cr_assert_eq(a.b[2] & 2, 0);
	}
	cr_assert_eq(S()->tcp_retries, 3);
	cr_assert_eq(W->up[0].n_heard, 6);
	cr_assert(W->up[0].heard[1].tcp);
	cr_assert_eq(W->up[0].n_tcp_conns, 1, "the connection is kept");
	close(fd);
	world_close();
}

Test(dns_proxy, an_unclaimed_answer_cut_short_goes_to_its_client_as_it_is)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->up[0].script = TRUNCATED;
	udp_ask(fd, question(&q, 5, "www.example.org", 1), &a);
	cr_assert_eq(a.b[2] & 2, 2);
	cr_assert_eq(W->up[0].n_heard, 1);
	close(fd);
	world_close();
}

Test(dns_proxy, a_rewritten_answer_keeps_to_the_clients_udp_size)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->up[0].script = LONG;
	udp_ask(fd, question(&q, 5, "www.example.com", 1), &a);
	cr_assert_leq(a.len, 512);
	cr_assert_eq(a.b[2] & 2, 2, "TC");
	add_edns(question(&q, 5, "www.example.com", 1), 1232);
	udp_ask(fd, &q, &a);
	cr_assert_gt(a.len, 512);
	cr_assert_eq(a.b[7], 40);
	close(fd);
	world_close();
}

Test(dns_proxy, freeing_the_proxy_drops_what_is_held_and_leaves_nothing)
{
	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53"), tcp = client(SOCK_STREAM, "[::1]:53");

	W->control = HOLD;
	udp_send(fd, question(&q, 5, "www.example.com", 1));
	send_frame(tcp, question(&q, 6, "www2.example.com", 1));
	until(W->n_held == 2);
	W->up[0].script = SILENT;
	udp_send(fd, question(&q, 7, "www.example.org", 1));
	until(W->up[0].n_heard == 3);
	dns_proxy_free(TAKE_PTR(W->proxy));
	cr_assert_eq(W->n_dropped, 2);
	close(fd);
	close(tcp);
	world_close();
}

Test(dns_proxy, a_reply_leaves_from_the_address_that_was_asked)
{
	struct sockaddr_storage any4 = at("0.0.0.0:54"), any6 = at("[::]:54"), from;
	static const char *const asked[] = { "127.0.0.77:54", "[::1]:54" };

	world_open(1);
	cr_assert_eq(dns_proxy_listen(W->proxy, (void *)&any4), 0);
	cr_assert_eq(dns_proxy_listen(W->proxy, (void *)&any6), 0);
	for (size_t i = 0; i < 2; i++) {
		struct sockaddr_storage to = at(asked[i]);
		int fd = open_socket(SOCK_DGRAM, i ? "[::1]:4000" : "127.0.0.1:4000");
		socklen_t len = sizeof(from);
		char text[SOCK_STRLEN];

		question(&q, 9, "www.example.org", 1);
		sendto(fd, q.b, q.len, 0, (void *)&to, sock_len((void *)&to));
		until(recvfrom(fd, a.b, sizeof(a.b), 0, (void *)&from, &len) > 0);
		cr_assert_str_eq(sock_print(text, (void *)&from), asked[i]);
		close(fd);
	}
	world_close();
}

Test(dns_proxy, an_address_in_use_or_asked_itself_is_an_error_and_loses_nothing)
{
	struct sockaddr_storage used = at("127.0.0.1:53"), self = at("127.0.0.2:5353"),
				any = at("0.0.0.0:5353");

	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	cr_assert_eq(dns_proxy_listen(W->proxy, (void *)&used), -EADDRINUSE);
	cr_assert_eq(dns_proxy_listen(W->proxy, (void *)&self), -ELOOP);
	cr_assert_eq(dns_proxy_listen(W->proxy, (void *)&any), -ELOOP);
	udp_ask(fd, question(&q, 5, "www.example.org", 1), &a);
	close(fd);
	world_close();
}

Test(dns_proxy, a_flood_is_refused_when_the_table_is_full_and_the_rest_goes_on)
{
	char name[64];
	size_t servfails = 0;

	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	W->up[0].script = SILENT;
	for (unsigned i = 0; i < 8192 + 100; i++) {
		snprintf(name, sizeof(name), "n%u.example.org", i);
		udp_send(fd, question(&q, (uint16_t)i, name, 1));
		if (i % 64 == 63)
			settle();
	}
	until(S()->queries == 8192 + 100);
	settle();
	cr_assert_eq(S()->overload, 100);
	while (udp_recv(fd, &a))
		servfails += (a.b[3] & 0xf) == 2;
	cr_assert_eq(servfails, 100);
	for (int i = 0; i < 60; i++)
		tick(100);
	cr_assert_eq(S()->timeouts, 8192);
	W->up[0].script = ANSWER;
	int fresh = client(SOCK_DGRAM, "127.0.0.1:53");
	tick(5000);
	udp_ask(fresh, question(&q, 5, "www.example.org", 1), &a);
	cr_assert_eq(a.b[3] & 0xf, 0);
	close(fresh);
	close(fd);
	world_close();
}

Test(dns_proxy, nonsense_of_every_length_ends_in_nothing_worse_than_a_reply)
{
	uint32_t seed = 1;

	world_open(1);
	int fd = client(SOCK_DGRAM, "127.0.0.1:53");

	for (size_t len = 0; len < 600; len++) {
		q.len = len;
		for (size_t i = 0; i < len; i++)
			q.b[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
		udp_send(fd, &q);
		settle();
	}
	q.len = 65507;
	udp_send(fd, &q);
	settle();
	while (udp_recv(fd, &a))
		;
	udp_send(fd, question(&q, 5, "www.example.org", 1));
	do
		until(udp_recv(fd, &a));
	while (id_of(&a) != 5);
	close(fd);
	world_close();
}
