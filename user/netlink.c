/* SPDX-License-Identifier: BSD-3-Clause */
#include "netlink_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define RECEIVE_LEN (64 * 1024) /* the kernel fills up to 32 KiB a datagram */
#define DUMP_TRIES  8

struct netlink {
	struct mnl_socket *sock;
	struct mnl_socket *watch;
	uint32_t portid;
	uint32_t seq;
	char error[256];
	_Alignas(struct nlmsghdr) char buf[RECEIVE_LEN];
};

static struct mnl_socket *socket_open(int flags)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags);

	if (!s)
		return NULL;
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = errno;

		mnl_socket_close(s);
		errno = err;
		return NULL;
	}
	return s;
}

static int watch_join(struct mnl_socket *s)
{
	static const int groups[] = {
		RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
		RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE,
	};

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(s, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return -errno;
	}
	return 0;
}

int netlink_open(struct netlink **out)
{
	/* The kernel answers while it takes the request; only a lost answer could keep us. */
	static const struct timeval patience = { .tv_sec = 5 };
	_cleanup_(netlink) struct netlink *nl = calloc(1, sizeof(*nl));
	int on = 1, err;

	if (!nl)
		return -ENOMEM;
	nl->sock = socket_open(0);
	if (!nl->sock)
		return -errno;
	nl->watch = socket_open(SOCK_NONBLOCK);
	if (!nl->watch)
		return -errno;
	err = watch_join(nl->watch);
	if (err)
		return err;
	nl->portid = mnl_socket_get_portid(nl->sock);
	setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVTIMEO, &patience,
		   sizeof(patience));
	/* Each is a help that older kernels lack: messages, short answers, filtered dumps. */
	mnl_socket_setsockopt(nl->sock, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(nl->sock, NETLINK_CAP_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(nl->sock, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	*out = TAKE_PTR(nl);
	return 0;
}

void netlink_free(struct netlink *nl)
{
	if (!nl)
		return;
	if (nl->sock)
		mnl_socket_close(nl->sock);
	if (nl->watch)
		mnl_socket_close(nl->watch);
	free(nl);
}

const char *netlink_error(const struct netlink *nl)
{
	return nl->error;
}

struct nlmsghdr *netlink_request_new(struct netlink_request *req, uint16_t type, uint16_t flags,
				     size_t extra_len, void *extra)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(req->buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	*(void **)extra = mnl_nlmsg_put_extra_header(nlh, extra_len);
	return nlh;
}

/* The kernel's own words (NLMSGERR_ATTR_MSG) stand behind the error and what it quotes. */
static void error_keep(struct netlink *nl, const struct nlmsghdr *nlh, size_t header_len)
{
	const struct nlattr *tb[NLMSGERR_ATTR_MSG + 1];

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS) || header_len > mnl_nlmsg_get_payload_len(nlh))
		return;
	netlink_attrs(nlh, header_len, tb, NLMSGERR_ATTR_MSG);
	netlink_str(nl->error, sizeof(nl->error), tb[NLMSGERR_ATTR_MSG]);
}

static int acknowledged(struct netlink *nl, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
	size_t quoted = 0;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*e))
		return -EBADMSG;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED) && e->msg.nlmsg_len >= MNL_NLMSG_HDRLEN)
		quoted = e->msg.nlmsg_len - MNL_NLMSG_HDRLEN;
	error_keep(nl, nlh, sizeof(*e) + quoted);
	return e->error > 0 ? -e->error : e->error;
}

static int dump_done(struct netlink *nl, const struct nlmsghdr *nlh)
{
	int err;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(err))
		return 0;
	memcpy(&err, mnl_nlmsg_get_payload(nlh), sizeof(err));
	error_keep(nl, nlh, sizeof(err));
	return err < 0 ? err : 0;
}

static int request_send(struct netlink *nl, struct nlmsghdr *nlh)
{
	nl->error[0] = 0;
	nlh->nlmsg_seq = ++nl->seq;
	while (mnl_socket_sendto(nl->sock, nlh, nlh->nlmsg_len) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* Reads until the request's end. Answers to an earlier request that was given up are skipped. */
static int answer_read(struct netlink *nl, netlink_each each, void *ctx, bool *interrupted)
{
	int result = 0;

	for (;;) {
		ssize_t n = mnl_socket_recvfrom(nl->sock, nl->buf, sizeof(nl->buf));
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)nl->buf;
		int left = (int)n, err;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			if (nlh->nlmsg_seq != nl->seq || nlh->nlmsg_pid != nl->portid)
				continue;
			if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
				*interrupted = true;
			if (nlh->nlmsg_type == NLMSG_ERROR) {
				err = acknowledged(nl, nlh);
				return err ? err : result;
			}
			if (nlh->nlmsg_type == NLMSG_DONE) {
				err = dump_done(nl, nlh);
				return err ? err : result;
			}
			if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && each && !result)
				result = each(nlh, ctx);
		}
	}
}

int netlink_talk(struct netlink *nl, struct nlmsghdr *nlh, netlink_each each, void *ctx)
{
	bool interrupted = false;
	int err;

	nlh->nlmsg_flags |= NLM_F_ACK;
	err = request_send(nl, nlh);
	if (err)
		return err;
	return answer_read(nl, each, ctx, &interrupted);
}

struct messages {
	char *data;
	size_t len;
	size_t size;
};

static int message_keep(const struct nlmsghdr *nlh, void *ctx)
{
	size_t len = MNL_ALIGN(nlh->nlmsg_len);
	struct messages *m = ctx;

	if (!m->data || m->size - m->len < len) {
		size_t size = 2 * m->size + len + RECEIVE_LEN;
		char *data = realloc(m->data, size);

		if (!data)
			return -ENOMEM;
		m->data = data;
		m->size = size;
	}
	memcpy(m->data + m->len, nlh, nlh->nlmsg_len);
	m->len += len;
	return 0;
}

int netlink_dump(struct netlink *nl, struct nlmsghdr *nlh, netlink_each each, void *ctx)
{
	_cleanup_free_ char *data = NULL;
	struct messages m = { 0 };
	int err = -EAGAIN;

	nlh->nlmsg_flags |= NLM_F_DUMP;
	for (int i = 0; i < DUMP_TRIES; i++) {
		bool interrupted = false;

		m.len = 0;
		err = request_send(nl, nlh);
		if (!err)
			err = answer_read(nl, message_keep, &m, &interrupted);
		data = m.data;
		if (err || !interrupted)
			break;
		err = -EAGAIN;
	}
	for (size_t at = 0; !err && at < m.len;) {
		const struct nlmsghdr *msg = (const struct nlmsghdr *)(data + at);

		at += MNL_ALIGN(msg->nlmsg_len);
		err = each(msg, ctx);
	}
	return err;
}

int netlink_watch_fd(const struct netlink *nl)
{
	return mnl_socket_get_fd(nl->watch);
}

int netlink_watch_neigh(struct netlink *nl)
{
	int group = RTNLGRP_NEIGH;

	return mnl_socket_setsockopt(nl->watch, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0 ?
		       -errno :
		       0;
}

/* What we did ourselves is no news, nor are others' neighbours. */
static int find_news(const struct netlink *nl, const char *buf, int len)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;
	int news = 0;

	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len)) {
		if (nlh->nlmsg_type < NLMSG_MIN_TYPE || nlh->nlmsg_pid == nl->portid)
			continue;
		if (nlh->nlmsg_type != RTM_NEWNEIGH && nlh->nlmsg_type != RTM_DELNEIGH)
			news |= NETLINK_NEWS;
		else if (netlink_neigh_is_ours(nlh))
			news |= NETLINK_NEWS_NEIGH;
	}
	return news;
}

int netlink_watch_read(struct netlink *nl)
{
	int changed = 0;

	for (;;) {
		ssize_t n = mnl_socket_recvfrom(nl->watch, nl->buf, sizeof(nl->buf));

		if (n >= 0)
			changed |= find_news(nl, nl->buf, (int)n);
		else if (errno == ENOBUFS || errno == ENOSPC)
			changed |= NETLINK_NEWS; /* messages were lost, or one was cut short */
		else if (errno == EAGAIN)
			return changed;
		else if (errno != EINTR)
			return -errno;
	}
}
