// SPDX-License-Identifier: GPL-2.0
/* table.c - make a table of nftables, or delete it: table add|del NAME */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>

static char data[512];
static size_t end;

static void message(int type, int flags, int family, int subsys, const char *name)
{
	struct nlmsghdr *head = (struct nlmsghdr *)(data + end);
	struct nfgenmsg *gen = NLMSG_DATA(head);
	struct nlattr *attr = (struct nlattr *)(gen + 1);

	head->nlmsg_type = type;
	head->nlmsg_flags = NLM_F_REQUEST | flags;
	head->nlmsg_len = NLMSG_LENGTH(sizeof(*gen));
	gen->nfgen_family = family;
	gen->res_id = htons(subsys);
	if (name) {
		attr->nla_type = NFTA_TABLE_NAME;
		attr->nla_len = NLA_HDRLEN + strlen(name) + 1;
		strcpy((char *)attr + NLA_HDRLEN, name);
		head->nlmsg_len += NLA_ALIGN(attr->nla_len);
	}
	end += NLMSG_ALIGN(head->nlmsg_len);
}

int main(int argc, char **argv)
{
	int type = strcmp(argv[1], "add") ? NFT_MSG_DELTABLE : NFT_MSG_NEWTABLE;
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	struct nlmsghdr *answer = (struct nlmsghdr *)data;

	message(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, NULL);
	message(NFNL_SUBSYS_NFTABLES << 8 | type, NLM_F_CREATE | NLM_F_ACK, NFPROTO_IPV4, 0,
		argv[2]);
	message(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, NULL);
	if (send(fd, data, end, 0) < 0 || recv(fd, data, sizeof(data), 0) < 0)
		return errno;
	return -((struct nlmsgerr *)NLMSG_DATA(answer))->error;
}
