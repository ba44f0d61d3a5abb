/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netlink_untracked: intercepted questions and their answers go past connection tracking, so that
 * no NAT of this host, kube-proxy's above all, sends them elsewhere:
 *
 *	table inet conn25 {
 *		chain prerouting {
 *			type filter hook prerouting priority raw
 *			meta mark & 0xfff == 0xc25 notrack
 *		}
 *		chain output {
 *			type filter hook output priority raw
 *			meta mark & 0xfff == 0xc26 notrack
 *		}
 *	}
 *
 * The table is its socket's: nobody else may change it, and it goes when the socket is closed.
 */
#include "netlink_request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define TABLE     "conn25"
#define BATCH_LEN 4096

/* What is agreed to as a whole, or not at all. */
struct batch {
	_Alignas(struct nlmsghdr) char buf[BATCH_LEN];
	size_t len;
	uint32_t seq;
};

static struct nlmsghdr *message(struct batch *b, uint16_t type, uint16_t flags, uint8_t family,
				uint16_t subsystem)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(b->buf + b->len);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = b->seq++;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = htons(subsystem);
	return nlh;
}

static struct nlmsghdr *command(struct batch *b, uint16_t type, uint16_t flags)
{
	return message(b, NFNL_SUBSYS_NFTABLES << 8 | type, NLM_F_CREATE | flags, NFPROTO_INET, 0);
}

static void message_end(struct batch *b, const struct nlmsghdr *nlh)
{
	b->len += MNL_ALIGN(nlh->nlmsg_len);
}

static void put_be32(struct nlmsghdr *nlh, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(nlh, type, htonl(value));
}

static void add_table(struct batch *b)
{
	struct nlmsghdr *nlh = command(b, NFT_MSG_NEWTABLE, NLM_F_EXCL);

	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, TABLE);
	put_be32(nlh, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
	message_end(b, nlh);
}

static void add_chain(struct batch *b, const char *name, uint32_t hook)
{
	struct nlmsghdr *nlh = command(b, NFT_MSG_NEWCHAIN, 0);
	struct nlattr *nest;

	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, TABLE);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, name);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TYPE, "filter");
	nest = mnl_attr_nest_start(nlh, NFTA_CHAIN_HOOK);
	put_be32(nlh, NFTA_HOOK_HOOKNUM, hook);
	put_be32(nlh, NFTA_HOOK_PRIORITY, (uint32_t)NF_IP_PRI_RAW);
	mnl_attr_nest_end(nlh, nest);
	message_end(b, nlh);
}

struct expr {
	struct nlattr *elem, *data;
};

static struct expr expr_start(struct nlmsghdr *nlh, const char *name)
{
	struct expr e;

	e.elem = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	mnl_attr_put_strz(nlh, NFTA_EXPR_NAME, name);
	e.data = mnl_attr_nest_start(nlh, NFTA_EXPR_DATA);
	return e;
}

static void expr_end(struct nlmsghdr *nlh, struct expr e)
{
	mnl_attr_nest_end(nlh, e.data);
	mnl_attr_nest_end(nlh, e.elem);
}

/* What a register holds: as the packet's mark, in host order. */
static void put_value(struct nlmsghdr *nlh, uint16_t type, uint32_t value)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, type);

	mnl_attr_put_u32(nlh, NFTA_DATA_VALUE, value);
	mnl_attr_nest_end(nlh, nest);
}

static void add_rule(struct batch *b, const char *chain, uint32_t mark)
{
	struct nlmsghdr *nlh = command(b, NFT_MSG_NEWRULE, NLM_F_APPEND | NLM_F_ACK);
	struct nlattr *exprs;
	struct expr e;

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, TABLE);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, chain);
	exprs = mnl_attr_nest_start(nlh, NFTA_RULE_EXPRESSIONS);

	e = expr_start(nlh, "meta");
	put_be32(nlh, NFTA_META_KEY, NFT_META_MARK);
	put_be32(nlh, NFTA_META_DREG, NFT_REG_1);
	expr_end(nlh, e);

	e = expr_start(nlh, "bitwise");
	put_be32(nlh, NFTA_BITWISE_SREG, NFT_REG_1);
	put_be32(nlh, NFTA_BITWISE_DREG, NFT_REG_1);
	put_be32(nlh, NFTA_BITWISE_LEN, sizeof(mark));
	put_value(nlh, NFTA_BITWISE_MASK, C25_MARK_MASK);
	put_value(nlh, NFTA_BITWISE_XOR, 0);
	expr_end(nlh, e);

	e = expr_start(nlh, "cmp");
	put_be32(nlh, NFTA_CMP_SREG, NFT_REG_1);
	put_be32(nlh, NFTA_CMP_OP, NFT_CMP_EQ);
	put_value(nlh, NFTA_CMP_DATA, mark);
	expr_end(nlh, e);

	e = expr_start(nlh, "notrack");
	expr_end(nlh, e);
	mnl_attr_nest_end(nlh, exprs);
	message_end(b, nlh);
}

/* The number of the message whose acknowledgement is the last to come. */
static uint32_t make_batch(struct batch *b)
{
	uint32_t last;

	message_end(b, message(b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
	add_table(b);
	add_chain(b, "prerouting", NF_INET_PRE_ROUTING);
	add_rule(b, "prerouting", C25_MARK);
	add_chain(b, "output", NF_INET_LOCAL_OUT);
	last = b->seq;
	add_rule(b, "output", C25_MARK_ANSWER);
	message_end(b, message(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
	return last;
}

static int answer_read(int fd, uint32_t last)
{
	_Alignas(struct nlmsghdr) char buf[BATCH_LEN];

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

			if (nlh->nlmsg_type != NLMSG_ERROR ||
			    mnl_nlmsg_get_payload_len(nlh) < sizeof(*e))
				continue;
			if (e->error || nlh->nlmsg_seq == last)
				return e->error;
		}
	}
}

/* Bound, and not to be waited at for ever. */
static int nfnetlink_open(void)
{
	static const struct timeval patience = { .tv_sec = 5 };
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		return -errno;
	return TAKE_FD(fd);
}

static int batch_send(int fd, const struct batch *b)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	return sendto(fd, b->buf, b->len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0 ?
		       -errno :
		       0;
}

int netlink_untracked_open(void)
{
	struct batch b = { 0 };
	_cleanup_close_ int fd = nfnetlink_open();
	uint32_t last = make_batch(&b);
	int err;

	if (fd < 0)
		return fd;
	err = batch_send(fd, &b);
	if (!err)
		err = answer_read(fd, last);
	return err ? err : TAKE_FD(fd);
}

static int find_nat(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *tb[NFTA_CHAIN_TYPE + 1];
	bool *found = data;
	char type[16];

	netlink_attrs(nlh, sizeof(struct nfgenmsg), tb, NFTA_CHAIN_TYPE);
	netlink_str(type, sizeof(type), tb[NFTA_CHAIN_TYPE]);
	if (!strcmp(type, "nat"))
		*found = true;
	return MNL_CB_OK;
}

static bool nftables_nat(void)
{
	static _Alignas(struct nlmsghdr) char buf[65536];
	struct batch b = { 0 };
	_cleanup_close_ int fd = nfnetlink_open();
	bool found = false;
	ssize_t n;
	int more;

	if (fd < 0)
		return false;
	message_end(&b, message(&b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, NLM_F_DUMP,
				NFPROTO_UNSPEC, 0));
	if (batch_send(fd, &b))
		return false;
	do {
		do
			n = recv(fd, buf, sizeof(buf), 0);
		while (n < 0 && errno == EINTR);
		more = n > 0 ? mnl_cb_run(buf, (size_t)n, 0, 0, find_nat, &found) : -1;
	} while (more == MNL_CB_OK);
	return found;
}

/* Tables of iptables before it was one of nftables. */
static bool iptables_nat(const char *names)
{
	_cleanup_fclose_ FILE *f = fopen(names, "re");
	char line[64];

	while (f && fgets(line, sizeof(line), f))
		if (!strcmp(line, "nat\n"))
			return true;
	return false;
}

bool netlink_nat_there(void)
{
	return iptables_nat("/proc/net/ip_tables_names") ||
	       iptables_nat("/proc/net/ip6_tables_names") || nftables_nat();
}
