/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The codec alone: any bytes are read to the end or refused, and a message that was read can be
 * written again with every name and record as it was.
 *
 * Input: the room for the copy (2 bytes), then the message.
 */
#include "dns_msg.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool holds)
{
	if (!holds)
		abort();
}

static void check_name(const uint8_t *msg, size_t len, size_t at)
{
	char text[DNS_MAX_TEXT];
	struct dns_name name;
	int behind = dns_name_read(&name, msg, len, at);

	expect(dns_name_skip(msg, len, at) == behind);
	if (behind < 0)
		return;
	expect(behind > (int)at && (size_t)behind <= len);
	expect(name.len >= 1 && !name.wire[name.len - 1]);
	expect(dns_name_equal(name.wire, name.wire, name.len));
	expect(strlen(dns_name_text(text, name.wire)) < DNS_MAX_TEXT);
}

/* Every record that is sound, copied behind the header and the same question. */
static void check_copies(const uint8_t *msg, size_t len, struct dns_reader from, size_t room)
{
	static uint8_t out[DNS_MAX_MSG];
	struct dns_reader back = { .msg = out, .at = from.at };
	struct dns_writer w;
	struct dns_rr rr, copy;

	if (room < from.at)
		return;
	memcpy(out, msg, from.at);
	dns_writer_start(&w, out, from.at, room);
	while (!dns_rr_read(&rr, &from)) {
		struct dns_name was, is;

		expect((size_t)rr.rdata + rr.rdlen <= len);
		if (dns_rdata_check(&rr, msg, len))
			continue;
		if (dns_rr_copy(&w, &rr, msg, len))
			break;
		expect(w.at <= room);
		back.len = w.at;
		expect(!dns_rr_read(&copy, &back) && back.at == w.at);
		expect(copy.type == rr.type && copy.class_ == rr.class_ && copy.ttl == rr.ttl);
		expect(!dns_rdata_check(&copy, out, w.at));
		expect(dns_name_read(&was, msg, len, rr.owner) > 0 &&
		       dns_name_read(&is, out, w.at, copy.owner) > 0);
		expect(was.len == is.len && dns_name_equal(was.wire, is.wire, was.len));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct dns_header h, again;
	uint8_t head[DNS_HEADER_LEN], *msg;
	struct dns_reader r;
	size_t room, len;
	int at;

	if (n < 2)
		return 0;
	room = dns_get16(data);
	len = n - 2;
	/* An exact copy, so that the sanitizer sees the end. */
	msg = malloc(len ? len : 1);
	memcpy(msg, data + 2, len);
	for (size_t i = 0; i < len && i < 64; i++)
		check_name(msg, len, i);
	if (!dns_header_read(&h, msg, len)) {
		dns_header_write(head, &h);
		expect(!dns_header_read(&again, head, sizeof(head)));
		expect(!memcmp(head, msg, sizeof(head)));
		at = h.count[DNS_QUESTION] ? dns_name_skip(msg, len, DNS_HEADER_LEN) :
					     DNS_HEADER_LEN - 4;
		if (at > 0 && (size_t)at + 4 <= len) {
			r = (struct dns_reader){ .msg = msg, .len = len, .at = (size_t)at + 4 };
			check_copies(msg, len, r, room);
		}
	}
	free(msg);
	return 0;
}
