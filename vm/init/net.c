// SPDX-License-Identifier: GPL-2.0
/*
 * net.c - what is set up of the guest's network and was not at boot: a line for each thing.
 *
 *     - link eth0 up 1500 52:54:00:12:34:56 fq_codel segs 65535 offloads f
 *     - route 0.0.0.0/0 via 10.0.2.2 dev 2 table 254 type 1 metric 0
 *     - rule 32766 table 254 action 1 from 0.0.0.0/0 to 0.0.0.0/0
 *     - neigh 10.0.2.2 52:55:0a:00:02:02 dev 2 (those alone that were set by hand)
 *     - conf 2 forwarding 0 rp_filter 0 proxy_arp 0 (sysctls that the kernel tells of)
 *     - nft 2 filter 3             (an address family, a table, how much is in it)
 *     - nft 2 filter output 2      (a chain, how many rules are in it)
 *
 * The first word is the network namespace, - this one. An address is a route of type 2. What
 * changes by itself is left out: counters, and what a link has on its wire.
 *
 * It is asked for after every check, and dear on a debug kernel. So the kernel tells of each
 * change (watch_net), and only when there was one all is looked at, and nothing is printed
 * where it is as at boot. No statistics are asked for, and there is little room for
 * answers, which the kernel would fill with poison.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

#define NAMESPACES	"/run/netns"
#define MAX_ATTRS	64
#define MAX_WATCHES	32
#define GETTABLE	(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE)
#define GETCHAIN	(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN)

#define GROUP(name)	(1U << (RTNLGRP_##name - 1))
#define GROUPS		(GROUP(LINK) | GROUP(NEIGH) | GROUP(TC) | GROUP(IPV4_ROUTE) | \
			 GROUP(IPV4_RULE) | GROUP(IPV4_NETCONF))

static const char *ns;	/* as it is printed */
static FILE *out;	/* where it is printed */

static int watches[MAX_WATCHES], n_watches, watches_netfilter, blind;
static char *at_boot;	/* what there was then */
static unsigned long namespaces_at_boot;
static int *changed;	/* since then; all processes share it */

int enter_namespace(const char *name)
{
	char path[300];
	int fd, err;

	snprintf(path, sizeof(path), "%s/%s", NAMESPACES, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	err = setns(fd, CLONE_NEWNET);
	close(fd);
	return err;
}

/* Sort the attributes behind a message's head of size bytes by their types. */
static void sort(struct nlmsghdr *msg, size_t size, struct nlattr **attrs)
{
	char *at = (char *)NLMSG_DATA(msg) + NLMSG_ALIGN(size), *end = (char *)msg + msg->nlmsg_len;

	memset(attrs, 0, MAX_ATTRS * sizeof(*attrs));
	while (end - at >= (int)sizeof(struct nlattr)) {
		struct nlattr *attr = (struct nlattr *)at;
		int type = attr->nla_type & NLA_TYPE_MASK;

		if (attr->nla_len < NLA_HDRLEN || attr->nla_len > end - at)
			break;
		if (type < MAX_ATTRS)
			attrs[type] = attr;
		at += NLA_ALIGN(attr->nla_len);
	}
}

static void *data_of(struct nlattr *attr)
{
	return (char *)attr + NLA_HDRLEN;
}

/* Return the number that an attribute holds, or another one where there is none. */
static unsigned int number(struct nlattr *attr, unsigned int otherwise)
{
	unsigned int value = otherwise;

	if (attr && attr->nla_len >= NLA_HDRLEN + sizeof(value))
		memcpy(&value, data_of(attr), sizeof(value));
	return value;
}

static const char *text(struct nlattr *attr)
{
	return attr ? data_of(attr) : "?";
}

static const char *address(struct nlattr *attr)
{
	struct in_addr addr = { .s_addr = number(attr, 0) };

	return inet_ntoa(addr);
}

/* Return an attribute that is a hardware address, as text. */
static const char *hardware(struct nlattr *attr)
{
	static char shown[18];
	unsigned char *at;

	if (!attr || attr->nla_len != NLA_HDRLEN + 6)
		return "?";
	at = data_of(attr);
	snprintf(shown, sizeof(shown), "%02x:%02x:%02x:%02x:%02x:%02x", at[0], at[1], at[2], at[3],
		 at[4], at[5]);
	return shown;
}

static void print_link(struct nlmsghdr *msg)
{
	struct ifinfomsg *link = NLMSG_DATA(msg);
	struct nlattr *attrs[MAX_ATTRS];

	sort(msg, sizeof(*link), attrs);
	fprintf(out, "%s link %s %s %u %s %s", ns, text(attrs[IFLA_IFNAME]),
		link->ifi_flags & IFF_UP ? "up" : "down", number(attrs[IFLA_MTU], 0),
		hardware(attrs[IFLA_ADDRESS]), text(attrs[IFLA_QDISC]));
	fprintf(out, " segs %u offloads %x\n", number(attrs[IFLA_GSO_MAX_SEGS], 0),
		get_offloads(text(attrs[IFLA_IFNAME])));
}

static void print_route(struct nlmsghdr *msg)
{
	struct rtmsg *route = NLMSG_DATA(msg);
	struct nlattr *attrs[MAX_ATTRS];

	sort(msg, sizeof(*route), attrs);
	fprintf(out, "%s route %s/%u", ns, address(attrs[RTA_DST]), route->rtm_dst_len);
	fprintf(out, " via %s dev %u table %u type %u metric %u\n", address(attrs[RTA_GATEWAY]),
		number(attrs[RTA_OIF], 0), number(attrs[RTA_TABLE], route->rtm_table),
		route->rtm_type, number(attrs[RTA_PRIORITY], 0));
}

static void print_rule(struct nlmsghdr *msg)
{
	struct fib_rule_hdr *rule = NLMSG_DATA(msg);
	struct nlattr *attrs[MAX_ATTRS];

	sort(msg, sizeof(*rule), attrs);
	fprintf(out, "%s rule %u table %u action %u from %s/%u", ns, number(attrs[FRA_PRIORITY], 0),
		number(attrs[FRA_TABLE], rule->table), rule->action, address(attrs[FRA_SRC]),
		rule->src_len);
	fprintf(out, " to %s/%u\n", address(attrs[FRA_DST]), rule->dst_len);
}

static void print_neigh(struct nlmsghdr *msg)
{
	struct ndmsg *neigh = NLMSG_DATA(msg);
	struct nlattr *attrs[MAX_ATTRS];

	sort(msg, sizeof(*neigh), attrs);
	if (neigh->ndm_state & NUD_PERMANENT)
		fprintf(out, "%s neigh %s %s dev %d\n", ns, address(attrs[NDA_DST]),
			hardware(attrs[NDA_LLADDR]), neigh->ndm_ifindex);
}

static void print_conf(struct nlmsghdr *msg)
{
	struct nlattr *attrs[MAX_ATTRS];

	sort(msg, sizeof(struct netconfmsg), attrs);
	fprintf(out, "%s conf %d forwarding %u rp_filter %u proxy_arp %u\n", ns,
		(int)number(attrs[NETCONFA_IFINDEX], 0), number(attrs[NETCONFA_FORWARDING], 0),
		number(attrs[NETCONFA_RP_FILTER], 0), number(attrs[NETCONFA_PROXY_NEIGH], 0));
}

static void print_table(struct nlmsghdr *msg)
{
	struct nfgenmsg *head = NLMSG_DATA(msg);
	struct nlattr *attrs[MAX_ATTRS];

	sort(msg, sizeof(*head), attrs);
	fprintf(out, "%s nft %u %s %u\n", ns, head->nfgen_family, text(attrs[NFTA_TABLE_NAME]),
		ntohl(number(attrs[NFTA_TABLE_USE], 0)));
}

static void print_chain(struct nlmsghdr *msg)
{
	struct nfgenmsg *head = NLMSG_DATA(msg);
	struct nlattr *attrs[MAX_ATTRS];

	sort(msg, sizeof(*head), attrs);
	fprintf(out, "%s nft %u %s %s %u\n", ns, head->nfgen_family,
		text(attrs[NFTA_CHAIN_TABLE]), text(attrs[NFTA_CHAIN_NAME]),
		ntohl(number(attrs[NFTA_CHAIN_USE], 0)));
}

/* Ask the kernel, by a message whose head has size bytes, for all of a kind, and print each. */
static void dump(int fd, int type, size_t size, int family, void (*print)(struct nlmsghdr *msg))
{
	static union {
		struct nlmsghdr head;
		char room[8 * 1024];
	} answer;
	struct {
		struct nlmsghdr head;
		char body[sizeof(struct ifinfomsg)];	/* the longest; each begins so */
		struct nlattr attr;
		unsigned int mask;
	} ask = {
		.head = {
			.nlmsg_len = sizeof(ask),
			.nlmsg_type = type,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		},
		.body[0] = family,
		.attr = { .nla_len = NLA_HDRLEN + sizeof(ask.mask), .nla_type = IFLA_EXT_MASK },
		.mask = RTEXT_FILTER_SKIP_STATS,
	};

	if (type != RTM_GETLINK)
		ask.head.nlmsg_len = NLMSG_LENGTH(size);
	if (send(fd, &ask, ask.head.nlmsg_len, 0) < 0)
		return;
	for (;;) {
		struct nlmsghdr *msg = &answer.head;
		int len = recv(fd, &answer, sizeof(answer), 0);

		if (len <= 0)
			return;
		for (; NLMSG_OK(msg, len); msg = NLMSG_NEXT(msg, len)) {
			if (msg->nlmsg_type == NLMSG_DONE || msg->nlmsg_type == NLMSG_ERROR)
				return;
			print(msg);
		}
	}
}

static void print_namespace(const char *name, int netfilter)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	ns = name;
	dump(fd, RTM_GETLINK, sizeof(struct ifinfomsg), AF_UNSPEC, print_link);
	dump(fd, RTM_GETROUTE, sizeof(struct rtmsg), AF_INET, print_route);
	dump(fd, RTM_GETRULE, sizeof(struct fib_rule_hdr), AF_INET, print_rule);
	dump(fd, RTM_GETNEIGH, sizeof(struct ndmsg), AF_INET, print_neigh);
	dump(fd, RTM_GETNETCONF, sizeof(struct netconfmsg), AF_INET, print_conf);
	close(fd);
	if (!netfilter)
		return;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	dump(fd, GETTABLE, sizeof(struct nfgenmsg), AF_UNSPEC, print_table);
	dump(fd, GETCHAIN, sizeof(struct nfgenmsg), AF_UNSPEC, print_chain);
	close(fd);
}

/* Is there anybody to ask for tables? The kernel would look for a module first. */
static int has_netfilter(void)
{
	char line[256];
	int found = 0, unit;
	FILE *f = fopen("/proc/net/netlink", "re");

	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%*s %d", &unit) == 1 && unit == NETLINK_NETFILTER;
	if (f)
		fclose(f);
	return found;
}

/* Call something for each network namespace while this process is in it. */
static void each_namespace(void (*call)(const char *name, int netfilter), int netfilter)
{
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	DIR *names = opendir(NAMESPACES);
	struct dirent *entry;

	call("-", netfilter);
	while (names && (entry = readdir(names)))
		if (*entry->d_name != '.' && !enter_namespace(entry->d_name))
			call(entry->d_name, netfilter);
	if (names)
		closedir(names);
	setns(here, CLONE_NEWNET);
	close(here);
}

/* Return all that is set up, as text. */
static char *all(int netfilter)
{
	char *said = NULL;
	size_t len;

	out = open_memstream(&said, &len);
	if (!out)
		exit(ENOMEM);
	each_namespace(print_namespace, netfilter);
	fclose(out);
	return said;
}

static void watch(int unit, unsigned int groups)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, unit);
	struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_groups = groups };

	if (fd < 0 || n_watches == MAX_WATCHES || bind(fd, (struct sockaddr *)&to, sizeof(to)))
		blind = 1;
	else
		watches[n_watches++] = fd;
}

static void watch_namespace(const char *name, int netfilter)
{
	(void)name;
	watch(NETLINK_ROUTE, GROUPS);
	if (netfilter)
		watch(NETLINK_NETFILTER, 1 << (NFNLGRP_NFTABLES - 1));
}

/*
 * Return what stands for the named namespaces there are. Those of boot keep their numbers, since
 * our sockets are in them.
 */
static unsigned long namespaces(void)
{
	DIR *names = opendir(NAMESPACES);
	struct dirent *entry;
	unsigned long found = 0;
	struct stat st;

	while (names && (entry = readdir(names)))
		if (*entry->d_name != '.' && !fstatat(dirfd(names), entry->d_name, &st, 0))
			found = found + st.st_ino * st.st_ino + 1;
	if (names)
		closedir(names);
	return found;
}

void watch_net(void)
{
	watches_netfilter = has_netfilter();
	changed = mmap(NULL, sizeof(*changed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (changed == MAP_FAILED)
		changed = NULL;
	namespaces_at_boot = namespaces();
	each_namespace(watch_namespace, watches_netfilter);
	at_boot = all(watches_netfilter);
}

/* Is it of a neighbour that the kernel has found, or lost, by itself? */
static int is_arp(struct nlmsghdr *msg)
{
	struct ndmsg *neigh = NLMSG_DATA(msg);

	return (msg->nlmsg_type == RTM_NEWNEIGH || msg->nlmsg_type == RTM_DELNEIGH) &&
	       !(neigh->ndm_state & (NUD_PERMANENT | NUD_FAILED));
}

/* Has the kernel told of anything since it was asked last? */
static int heard(int fd)
{
	union {
		struct nlmsghdr head;
		char room[64];
	} some;
	int told = 0;
	ssize_t n;

	while ((n = recv(fd, &some, sizeof(some), 0)) >= 0 || errno == ENOBUFS)	/* it lost some */
		told |= n < (ssize_t)NLMSG_LENGTH(sizeof(struct ndmsg)) || !is_arp(&some.head);
	return told;
}

void print_net(void)
{
	int netfilter = has_netfilter(), mine = 1;
	int *flag = changed ? changed : &mine;
	char *now;

	if (blind || (netfilter && !watches_netfilter) ||
	    namespaces() != namespaces_at_boot)
		*flag = 1;
	for (int i = 0; i < n_watches; i++)
		*flag |= heard(watches[i]);
	if (*flag) {
		now = all(netfilter);
		*flag = !at_boot || strcmp(now, at_boot);
		if (*flag)
			fputs(now, stdout);
		free(now);
	}
}
