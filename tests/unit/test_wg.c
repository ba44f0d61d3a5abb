/* SPDX-License-Identifier: BSD-3-Clause */
/* The two languages of WireGuard devices, and what is to change on one. */
#include "wg.h"

#include "leaks.h"
#include "wg_int.h"
#include "wg_plan.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

SUITE(wg);

#define HEX_A  "aa" HEX_00
#define HEX_B  "bb" HEX_00
#define HEX_00 "00000000000000000000000000000000000000000000000000000000000000"

static const struct wg_key key_a = { { 0xaa } }, key_b = { { 0xbb } }, key_n = { { 0xee } };

static struct c25_addr addr_of(const char *text)
{
	struct c25_addr a;

	cr_assert_gt(addr_parse(&a, text), 0);
	return a;
}

static struct wg_change change(const char *addr, const struct wg_key *peer)
{
	struct wg_change c = { .addr = addr_of(addr), .nobody = !peer };

	if (peer)
		c.peer = *peer;
	return c;
}

/* What was read, as text. */
struct seen {
	char text[1024];
	size_t len;
};

static int see(const struct wg_key *peer, const struct prefix *p, void *ctx)
{
	struct seen *s = ctx;
	char text[PREFIX_STRLEN];

	s->len += (size_t)snprintf(s->text + s->len, sizeof(s->text) - s->len,
				   p ? "%02x %s;" : "%02x%s;", peer->b[0],
				   p ? prefix_print(text, p) : "");
	return 0;
}

static int stop(const struct wg_key *peer, const struct prefix *p, void *ctx)
{
	return -ECANCELED;
}

Test(wg, key_is_read_from_base64)
{
	struct wg_key k;

	cr_assert_eq(wg_key_parse(&k, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), 0);
	for (int i = 0; i < 32; i++)
		cr_assert_eq(k.b[i], i);
	cr_assert_eq(wg_key_parse(&k, "//////////////////////////////////////////8="), 0);
	cr_assert_eq(k.b[31], 0xff);
}

Test(wg, what_is_no_key_is_refused)
{
	static const char *const bad[] = {
		"",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=A",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh88",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
		"AAECAwQFBgcI QoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
	};
	struct wg_key k = { { 7 } };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(wg_key_parse(&k, bad[i]), -EINVAL, "%s", bad[i]);
	cr_assert_eq(k.b[0], 7);
}

static const char answer[] = "private_key=" HEX_A "\nlisten_port=51820\npublic_key=" HEX_A
			     "\npreshared_key=" HEX_B "\nendpoint=[fe80::1%eth0]:51820\n"
			     "allowed_ip=192.0.2.0/24\nallowed_ip=169.254.64.1/32\n"
			     "allowed_ip=not an address\npublic_key=" HEX_B
			     "\nallowed_ip=fd25:b::1/128\nunknown_to_us=1\nerrno=0\n\n";
#define ANSWER_SEEN "aa;aa 192.0.2.0/24;aa 169.254.64.1/32;bb;bb fd25:b::1/128;"

Test(wg, text_is_read_in_pieces_of_any_size)
{
	for (size_t piece = 1; piece < sizeof(answer); piece++) {
		struct wg_text t = { .len = 0 };
		struct seen s = { .len = 0 };
		size_t at = 0;
		int done = 0;

		while (!done && at < sizeof(answer) - 1) {
			size_t n = sizeof(answer) - 1 - at;

			n = n < piece ? n : piece;
			done = wg_text_parse(&t, answer + at, n, see, &s);
			at += n;
		}
		cr_assert_eq(done, 1);
		cr_assert_eq(t.result, 0);
		cr_assert_str_eq(s.text, ANSWER_SEEN);
	}
}

static int text_result(const char *text, int *result)
{
	struct wg_text t = { .len = 0 };
	struct seen s = { .len = 0 };
	int done = wg_text_parse(&t, text, strlen(text), see, &s);

	*result = t.result;
	return done;
}

Test(wg, result_of_either_sign_is_an_error)
{
	int result;

	cr_assert_eq(text_result("errno=-22\n\n", &result), 1);
	cr_assert_eq(result, -22);
	cr_assert_eq(text_result("errno=22\n\n", &result), 1);
	cr_assert_eq(result, -22);
}

Test(wg, text_that_is_none_is_refused)
{
	static const char *const bad[] = {
		"\n",
		"errno\n",
		"errno=\n",
		"errno=x\n",
		"errno=99999999999\n",
		"errno=0\nerrno=0\n",
		"public_key=aa\n",
		"public_key=" HEX_A "0\n",
		"public_key=zz" HEX_00 "\n",
		"allowed_ip=192.0.2.1/32\n",
		"no equals sign\n",
	};
	char line[2 * WG_LINE_MAX];
	int result;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(text_result(bad[i], &result), -EBADMSG, "%s", bad[i]);
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = 0;
	cr_assert_eq(text_result(line, &result), -EBADMSG);
}

Test(wg, reading_ends_with_the_callers_error)
{
	struct wg_text t = { .len = 0 };

	cr_assert_eq(wg_text_parse(&t, answer, sizeof(answer) - 1, stop, NULL), -ECANCELED);
}

Test(wg, nul_in_text_is_refused)
{
	struct wg_text t = { .len = 0 };

	cr_assert_eq(wg_text_parse(&t, "errno=0\0\n\n", 10, see, NULL), -EBADMSG);
}

Test(wg, text_adds_to_peers_that_are_there_and_takes_away_through_one_that_goes)
{
	struct wg_change v[] = {
		change("169.254.64.1", &key_a), change("fd25:b::1", &key_a),
		change("169.254.64.2", &key_b), change("169.254.64.3", NULL),
		change("fd25:b::3", NULL),
	};
	_cleanup_free_ char *text = wg_text_print(v, ARRAY_SIZE(v), &key_n);

	cr_assert_str_eq(text, "set=1\n"
			       "public_key=" HEX_A "\nupdate_only=true\n"
			       "allowed_ip=169.254.64.1/32\nallowed_ip=fd25:b::1/128\n"
			       "public_key=" HEX_B "\nupdate_only=true\n"
			       "allowed_ip=169.254.64.2/32\n"
			       "public_key=ee" HEX_00 "\n"
			       "allowed_ip=169.254.64.3/32\nallowed_ip=fd25:b::3/128\n"
			       "public_key=ee" HEX_00 "\nremove=true\n\n");
}

/* What a message says, as the kernel would read it. */
static void describe(const struct nlattr *nest, char *out, size_t size)
{
	const struct nlattr *peer, *a, *ip, *f;
	size_t len = strlen(out);

	mnl_attr_for_each_nested(peer, nest)
	{
		cr_assert(peer->nla_type & NLA_F_NESTED);
		mnl_attr_for_each_nested(a, peer)
		{
			switch (mnl_attr_get_type(a)) {
			case WGPEER_A_PUBLIC_KEY:
				cr_assert_eq(mnl_attr_get_payload_len(a), WG_KEY_LEN);
				len += (size_t)snprintf(out + len, size - len, "[%02x",
							*(uint8_t *)mnl_attr_get_payload(a));
				break;
			case WGPEER_A_FLAGS:
				cr_assert_eq(mnl_attr_get_payload_len(a), 4);
				len += (size_t)snprintf(out + len, size - len, " flags %u",
							mnl_attr_get_u32(a));
				break;
			case WGPEER_A_ALLOWEDIPS:
				cr_assert(a->nla_type & NLA_F_NESTED);
				mnl_attr_for_each_nested(ip, a)
				{
					unsigned family = 0, mask = 0, bytes = 0;

					cr_assert(ip->nla_type & NLA_F_NESTED);
					mnl_attr_for_each_nested(f, ip)
					{
						if (mnl_attr_get_type(f) == WGALLOWEDIP_A_FAMILY)
							family = mnl_attr_get_u16(f);
						if (mnl_attr_get_type(f) == WGALLOWEDIP_A_CIDR_MASK)
							mask = mnl_attr_get_u8(f);
						if (mnl_attr_get_type(f) == WGALLOWEDIP_A_IPADDR)
							bytes = mnl_attr_get_payload_len(f);
					}
					len += (size_t)snprintf(out + len, size - len, " %u/%u/%u",
								family, bytes, mask);
				}
				break;
			}
		}
		len += (size_t)snprintf(out + len, size - len, "]");
	}
}

Test(wg, message_adds_to_peers_that_are_there_and_takes_away_through_one_that_goes)
{
	struct wg_change v[] = {
		change("169.254.64.1", &key_a),
		change("fd25:b::1", &key_a),
		change("169.254.64.2", &key_b),
		change("169.254.64.3", NULL),
	};
	_cleanup_free_ void *buf = calloc(1, WG_MESSAGE_LEN);
	struct nlmsghdr *nlh = wg_netlink_print(buf, 33, "wg0", v, ARRAY_SIZE(v), &key_n);
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *a;
	char text[512] = "";

	cr_assert_eq(nlh->nlmsg_type, 33);
	cr_assert_eq(nlh->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
	cr_assert_eq(genl->cmd, WG_CMD_SET_DEVICE);
	cr_assert_eq(genl->version, WG_GENL_VERSION);
	mnl_attr_for_each(a, nlh, sizeof(*genl))
	{
		if (mnl_attr_get_type(a) == WGDEVICE_A_IFNAME)
			cr_assert_str_eq(mnl_attr_get_str(a), "wg0");
		else
			cr_assert_eq(mnl_attr_get_type(a), WGDEVICE_A_PEERS);
		if (mnl_attr_get_type(a) == WGDEVICE_A_PEERS)
			describe(a, text, sizeof(text));
	}
	cr_assert_str_eq(text, "[aa flags 4 2/4/32 10/16/128][bb flags 4 2/4/32]"
			       "[ee flags 0 2/4/32][ee flags 1]");
}

Test(wg, longest_message_fits_its_buffer_and_every_attribute)
{
	static struct wg_change v[WG_BATCH];
	_cleanup_free_ char *buf = calloc(1, WG_MESSAGE_LEN);
	struct nlmsghdr *nlh;

	for (size_t i = 0; i < WG_BATCH; i++) {
		v[i] = change("fd25:b::1", &key_a);
		v[i].peer.b[1] = (uint8_t)i;
	}
	v[WG_BATCH - 1].nobody = true;
	nlh = wg_netlink_print(buf, 33, "fifteen-letters", v, WG_BATCH, &key_n);
	cr_assert_lt(nlh->nlmsg_len, UINT16_MAX);
}

/* The answer of a kernel: a peer with two addresses, then the rest of it and another. */
static struct nlmsghdr *kernel_answer(char *buf, bool hostile)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	struct nlattr *peers, *peer, *ips, *ip;
	uint8_t four[4] = { 169, 254, 64, 1 };

	nlh->nlmsg_type = 33;
	genl->cmd = WG_CMD_GET_DEVICE;
	mnl_attr_put_u32(nlh, WGDEVICE_A_IFINDEX, 7);
	mnl_attr_put(nlh, WGDEVICE_A_PRIVATE_KEY, 32, &key_n);
	peers = mnl_attr_nest_start(nlh, WGDEVICE_A_PEERS);
	peer = mnl_attr_nest_start(nlh, 0);
	mnl_attr_put(nlh, WGPEER_A_PUBLIC_KEY, hostile ? 31 : 32, &key_a);
	mnl_attr_put_u64(nlh, WGPEER_A_RX_BYTES, 1);
	ips = mnl_attr_nest_start(nlh, WGPEER_A_ALLOWEDIPS);
	ip = mnl_attr_nest_start(nlh, 0);
	mnl_attr_put_u8(nlh, WGALLOWEDIP_A_CIDR_MASK, 32);
	mnl_attr_put_u16(nlh, WGALLOWEDIP_A_FAMILY, AF_INET);
	mnl_attr_put(nlh, WGALLOWEDIP_A_IPADDR, 4, four);
	mnl_attr_nest_end(nlh, ip);
	mnl_attr_nest_end(nlh, ips);
	mnl_attr_nest_end(nlh, peer);
	peer = mnl_attr_nest_start(nlh, 0);
	mnl_attr_put(nlh, WGPEER_A_PUBLIC_KEY, 32, &key_b);
	ips = mnl_attr_nest_start(nlh, WGPEER_A_ALLOWEDIPS);
	ip = mnl_attr_nest_start(nlh, 0);
	mnl_attr_put_u8(nlh, WGALLOWEDIP_A_CIDR_MASK, hostile ? 33 : 18);
	mnl_attr_put_u16(nlh, WGALLOWEDIP_A_FAMILY, AF_INET);
	four[3] = 0;
	mnl_attr_put(nlh, WGALLOWEDIP_A_IPADDR, 4, four);
	mnl_attr_nest_end(nlh, ip);
	mnl_attr_nest_end(nlh, ips);
	mnl_attr_nest_end(nlh, peer);
	mnl_attr_nest_end(nlh, peers);
	return nlh;
}

Test(wg, kernels_answer_is_read)
{
	_Alignas(8) char buf[1024] = { 0 };
	struct seen s = { .len = 0 };

	cr_assert_eq(wg_netlink_parse(kernel_answer(buf, false), see, &s), 0);
	cr_assert_str_eq(s.text, "aa;aa 169.254.64.1/32;bb;bb 169.254.64.0/18;");
	cr_assert_eq(wg_netlink_parse(kernel_answer(buf, false), stop, NULL), -ECANCELED);
}

Test(wg, what_has_another_shape_is_left_out_of_the_kernels_answer)
{
	_Alignas(8) char buf[1024] = { 0 };
	struct seen s = { .len = 0 };

	cr_assert_eq(wg_netlink_parse(kernel_answer(buf, true), see, &s), 0);
	cr_assert_str_eq(s.text, "bb;");
}

Test(wg, no_cut_of_the_kernels_answer_reads_beyond_it)
{
	_Alignas(8) char whole[1024] = { 0 };
	uint32_t len = kernel_answer(whole, false)->nlmsg_len;

	for (uint32_t cut = MNL_NLMSG_HDRLEN; cut < len; cut++) {
		_cleanup_free_ char *buf = calloc(1, MNL_ALIGN(cut));
		struct seen s = { .len = 0 };

		memcpy(buf, whole, cut);
		((struct nlmsghdr *)buf)->nlmsg_len = cut;
		wg_netlink_parse((struct nlmsghdr *)buf, see, &s);
	}
}

/* Whose prefix is 169.254.64.0/18. */
static bool pool(const struct c25_addr *a, void *ctx)
{
	return a->b[12] == 169 && a->b[13] == 254 && a->b[14] >= 64 && a->b[14] < 128;
}

static void view_add(struct wg_view *view, const struct wg_key *key, const char *prefix)
{
	struct prefix p;

	cr_assert_eq(prefix_parse(&p, prefix), 0);
	cr_assert_eq(wg_view_take(key, NULL, view), 0);
	cr_assert_eq(wg_view_take(key, &p, view), 0);
}

Test(wg, view_numbers_peers_by_key_and_keeps_single_addresses)
{
	struct wg_view view = { 0 };

	view_add(&view, &key_b, "169.254.64.2/32");
	view_add(&view, &key_b, "169.254.64.0/18");
	view_add(&view, &key_a, "10.0.0.1/32");
	cr_assert_eq(wg_view_finish(&view), 0);
	cr_assert_eq(wg_view_peer(&view, &key_a), 0);
	cr_assert_eq(wg_view_peer(&view, &key_b), 1);
	cr_assert_eq(wg_view_peer(&view, &key_n), WG_NOBODY);
	cr_assert_eq(view.have.n, 2);
	cr_assert_eq(view.have.v[0].peer, 0);
	cr_assert_eq(view.have.v[1].peer, 1);
	wg_view_clear(&view);
}

Test(wg, plan_adds_moves_and_takes_away_but_leaves_others_alone)
{
	struct wg_places want = { 0 }, plan = { 0 };
	struct wg_view view = { 0 };
	char text[ADDR_STRLEN], all[256] = "";
	struct c25_addr a;

	view_add(&view, &key_a, "10.0.0.1/32");
	view_add(&view, &key_a, "169.254.64.1/32");
	view_add(&view, &key_a, "169.254.64.2/32");
	view_add(&view, &key_b, "169.254.64.3/32");
	view_add(&view, &key_b, "169.254.64.5/32");
	view_add(&view, &key_b, "169.254.200.1/32");
	cr_assert_eq(wg_view_finish(&view), 0);
	for (int i = 1; i <= 5; i++) {
		char name[32];

		if (i == 3)
			continue;
		snprintf(name, sizeof(name), "169.254.64.%d", i);
		a = addr_of(name);
		wg_places_add(&want, &a, i == 2 ? 1 : i == 5 ? WG_NOBODY : 0);
	}
	a = addr_of("169.254.64.6");
	wg_places_add(&want, &a, WG_NOBODY);
	wg_places_sort(&want);
	cr_assert_eq(wg_plan(&plan, &view.have, &want, pool, NULL), 0);
	for (size_t i = 0; i < plan.n; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s@%d ",
			 addr_print(text, &plan.v[i].addr), (int)plan.v[i].peer);
	cr_assert_str_eq(all, "169.254.64.4@0 169.254.64.2@1 169.254.64.3@-1 169.254.64.5@-1 ");
	wg_places_clear(&plan);
	wg_places_clear(&want);
	wg_view_clear(&view);
}

Test(wg, nothing_is_planned_where_all_is_as_wanted)
{
	struct wg_places want = { 0 }, plan = { 0 };
	struct wg_view view = { 0 };

	view_add(&view, &key_a, "169.254.64.1/32");
	cr_assert_eq(wg_view_finish(&view), 0);
	wg_places_add(&want, &view.have.v[0].addr, 0);
	cr_assert_eq(wg_plan(&plan, &view.have, &want, pool, NULL), 0);
	cr_assert_eq(plan.n, 0);
	wg_places_clear(&want);
	wg_view_clear(&view);
}
