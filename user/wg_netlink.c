/* SPDX-License-Identifier: BSD-3-Clause */
#include "netlink_request.h"
#include "wg_int.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define PIECES 8 /* messages read in one go, each up to 32 KiB */

static int allowed_parse(const struct wg_key *peer, const struct nlattr *nest, wg_each each,
			 void *ctx)
{
	const struct nlattr *tb[WGALLOWEDIP_A_MAX + 1];
	struct prefix p;
	uint8_t len, most;

	netlink_nested(nest, tb, WGALLOWEDIP_A_MAX);
	if (!netlink_addr(&p.addr, netlink_u16(tb[WGALLOWEDIP_A_FAMILY], 0),
			  tb[WGALLOWEDIP_A_IPADDR]))
		return 0;
	most = netlink_u16(tb[WGALLOWEDIP_A_FAMILY], 0) == AF_INET ? 32 : 128;
	len = netlink_u8(tb[WGALLOWEDIP_A_CIDR_MASK], UINT8_MAX);
	if (len > most)
		return 0;
	p.len = (uint8_t)(len + 128 - most);
	return each(peer, &p, ctx);
}

static int peer_parse(const struct nlattr *nest, wg_each each, void *ctx)
{
	const struct nlattr *tb[WGPEER_A_MAX + 1], *a;
	struct wg_key peer;
	int err;

	netlink_nested(nest, tb, WGPEER_A_MAX);
	a = tb[WGPEER_A_PUBLIC_KEY];
	if (!a || mnl_attr_get_payload_len(a) != sizeof(peer))
		return 0;
	memcpy(&peer, mnl_attr_get_payload(a), sizeof(peer));
	err = each(&peer, NULL, ctx);
	if (err || !tb[WGPEER_A_ALLOWEDIPS])
		return err;
	mnl_attr_for_each_nested(a, tb[WGPEER_A_ALLOWEDIPS])
	{
		err = allowed_parse(&peer, a, each, ctx);
		if (err)
			return err;
	}
	return 0;
}

int wg_netlink_parse(const struct nlmsghdr *nlh, wg_each each, void *ctx)
{
	const struct nlattr *tb[WGDEVICE_A_MAX + 1], *a;

	netlink_attrs(nlh, sizeof(struct genlmsghdr), tb, WGDEVICE_A_MAX);
	if (!tb[WGDEVICE_A_PEERS])
		return 0;
	mnl_attr_for_each_nested(a, tb[WGDEVICE_A_PEERS])
	{
		int err = peer_parse(a, each, ctx);

		if (err)
			return err;
	}
	return 0;
}

static struct nlmsghdr *message_new(void *buf, uint16_t type, uint16_t flags, uint8_t cmd,
				    uint8_t version)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	genl->cmd = cmd;
	genl->version = version;
	return nlh;
}

static struct nlattr *peer_start(struct nlmsghdr *nlh, const struct wg_key *key, uint32_t flags)
{
	struct nlattr *peer = mnl_attr_nest_start(nlh, 0);

	mnl_attr_put(nlh, WGPEER_A_PUBLIC_KEY, sizeof(*key), key);
	mnl_attr_put_u32(nlh, WGPEER_A_FLAGS, flags);
	return peer;
}

static void put_allowed(struct nlmsghdr *nlh, const struct c25_addr *a)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, 0);
	bool is4 = addr_is4(a);

	mnl_attr_put_u16(nlh, WGALLOWEDIP_A_FAMILY, is4 ? AF_INET : AF_INET6);
	netlink_put_addr(nlh, WGALLOWEDIP_A_IPADDR, a);
	mnl_attr_put_u8(nlh, WGALLOWEDIP_A_CIDR_MASK, is4 ? 32 : 128);
	mnl_attr_nest_end(nlh, nest);
}

/* At most 92 bytes a change, each of another peer: WG_BATCH of them fit an attribute's 64 KiB. */
struct nlmsghdr *wg_netlink_print(void *buf, uint16_t family, const char *dev,
				  const struct wg_change *v, size_t n, const struct wg_key *nobody)
{
	struct nlattr *peers, *peer = NULL, *allowed = NULL;
	const struct wg_key *open = NULL;
	struct nlmsghdr *nlh;
	bool away = false;

	nlh = message_new(buf, family, NLM_F_ACK, WG_CMD_SET_DEVICE, WG_GENL_VERSION);
	mnl_attr_put_strz(nlh, WGDEVICE_A_IFNAME, dev);
	peers = mnl_attr_nest_start(nlh, WGDEVICE_A_PEERS);
	for (size_t i = 0; i < n; i++) {
		const struct wg_key *key = v[i].nobody ? nobody : &v[i].peer;

		if (!open || wg_key_cmp(open, key) != 0) {
			if (open) {
				mnl_attr_nest_end(nlh, allowed);
				mnl_attr_nest_end(nlh, peer);
			}
			peer = peer_start(nlh, key, v[i].nobody ? 0 : WGPEER_F_UPDATE_ONLY);
			allowed = mnl_attr_nest_start(nlh, WGPEER_A_ALLOWEDIPS);
		}
		open = key;
		away |= v[i].nobody;
		put_allowed(nlh, &v[i].addr);
	}
	if (open) {
		mnl_attr_nest_end(nlh, allowed);
		mnl_attr_nest_end(nlh, peer);
	}
	if (away)
		mnl_attr_nest_end(nlh, peer_start(nlh, nobody, WGPEER_F_REMOVE_ME));
	mnl_attr_nest_end(nlh, peers);
	return nlh;
}

struct netlink_get {
	struct wg_get get;
	struct mnl_socket *sock;
	uint16_t family;
	bool changed; /* NLM_F_DUMP_INTR: what was read does not belong together */
	_Alignas(struct nlmsghdr) char buf[WG_MESSAGE_LEN];
};

/* The kernel answers while it takes the request: what is not there after it never comes. */
static int answer_wait(struct netlink_get *g, uint32_t seq, uint16_t *family)
{
	const struct nlattr *tb[CTRL_ATTR_FAMILY_ID + 1];
	ssize_t n = mnl_socket_recvfrom(g->sock, g->buf, sizeof(g->buf));
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)g->buf;
	int left = (int)n;

	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

		if (nlh->nlmsg_seq != seq)
			continue;
		if (nlh->nlmsg_type == NLMSG_ERROR)
			return mnl_nlmsg_get_payload_len(nlh) < sizeof(e->error) ? -EBADMSG :
										   e->error;
		if (family) {
			netlink_attrs(nlh, sizeof(struct genlmsghdr), tb, CTRL_ATTR_FAMILY_ID);
			*family = netlink_u16(tb[CTRL_ATTR_FAMILY_ID], 0);
			return *family ? 0 : -EBADMSG;
		}
	}
	return -EBADMSG;
}

static int request_send(struct netlink_get *g, struct nlmsghdr *nlh, uint32_t seq)
{
	nlh->nlmsg_seq = seq;
	return mnl_socket_sendto(g->sock, nlh, nlh->nlmsg_len) < 0 ? -errno : 0;
}

/* The number changes when the module is loaded anew, so it is asked for each time. */
static int family_find(struct netlink_get *g)
{
	struct nlmsghdr *nlh = message_new(g->buf, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, 1);
	int err;

	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
	err = request_send(g, nlh, 1);
	if (!err)
		err = answer_wait(g, 1, &g->family);
	return err == -ENOENT ? -EOPNOTSUPP : err;
}

static void talk_free(struct netlink_get *g)
{
	if (g->sock)
		mnl_socket_close(g->sock);
	explicit_bzero(g->buf, sizeof(g->buf));
	free(g);
}

static void netlink_get_free(struct wg_get *get)
{
	talk_free((struct netlink_get *)get);
}

static int datagram_take(struct netlink_get *g, const char *buf, int len)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;
	int err;

	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		if (nlh->nlmsg_seq != 2)
			continue;
		if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
			g->changed = true;
		if (nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE) {
			if (mnl_nlmsg_get_payload_len(nlh) < sizeof(err))
				err = nlh->nlmsg_type == NLMSG_ERROR ? -EBADMSG : 0;
			else
				memcpy(&err, mnl_nlmsg_get_payload(nlh), sizeof(err));
			if (err < 0)
				return err;
			return g->changed ? -EAGAIN : 1;
		}
		err = nlh->nlmsg_type == g->family ?
			      wg_netlink_parse(nlh, g->get.each, g->get.ctx) :
			      0;
		if (err)
			return err;
	}
	return 0;
}

static int netlink_get_read(struct wg_get *get)
{
	struct netlink_get *g = (struct netlink_get *)get;

	for (int i = 0; i < PIECES; i++) {
		ssize_t n = recv(get->fd, g->buf, sizeof(g->buf), MSG_DONTWAIT);
		int err;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		err = datagram_take(g, g->buf, (int)n);
		if (err)
			return err;
	}
	return 0;
}

static const struct wg_get_ops netlink_ops = { netlink_get_read, netlink_get_free };

static int talk_open(struct netlink_get **out)
{
	static const struct timeval patience = { .tv_sec = 1 };
	struct netlink_get *g = calloc(1, sizeof(*g));
	int err = 0;

	if (!g)
		return -ENOMEM;
	g->get.ops = &netlink_ops;
	g->sock = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!g->sock || mnl_socket_bind(g->sock, 0, MNL_SOCKET_AUTOPID) < 0)
		err = -errno;
	if (!err) {
		g->get.fd = mnl_socket_get_fd(g->sock);
		setsockopt(g->get.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		err = family_find(g);
	}
	if (err) {
		talk_free(g);
		return err;
	}
	*out = g;
	return 0;
}

int wg_netlink_set(const char *dev, const struct wg_change *v, size_t n,
		   const struct wg_key *nobody)
{
	struct netlink_get *g;
	int err = talk_open(&g);

	if (err)
		return err;
	err = request_send(g, wg_netlink_print(g->buf, g->family, dev, v, n, nobody), 2);
	if (!err)
		err = answer_wait(g, 2, NULL);
	talk_free(g);
	return err;
}

int wg_netlink_get(struct wg_get **out, const char *dev)
{
	struct netlink_get *g;
	struct nlmsghdr *nlh;
	int err = talk_open(&g);

	if (err)
		return err;
	nlh = message_new(g->buf, g->family, NLM_F_DUMP, WG_CMD_GET_DEVICE, WG_GENL_VERSION);
	mnl_attr_put_strz(nlh, WGDEVICE_A_IFNAME, dev);
	err = request_send(g, nlh, 2);
	if (err) {
		talk_free(g);
		return err;
	}
	*out = &g->get;
	return 0;
}
