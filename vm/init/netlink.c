// SPDX-License-Identifier: GPL-2.0
/*
 * netlink.c - netlink sockets for the host: send bytes that it has made, print what comes.
 *
 *     tool netlink STEP...
 *
 *     user=UID            go on as this user, without root's rights
 *     open=UNIT           a new socket; the first is number 0
 *     use=N               the steps that follow are about socket N; else about the last one
 *     group=N             be a member of a multicast group
 *     port=N              bind it to a port id; 0: one that the kernel chooses. It comes behind
 *                         the groups, so that `tool await netlink` sees a socket that has them
 *     room=BYTES          receive into so many bytes; 65536 without this
 *     buffer=BYTES        SO_RCVBUF
 *     to=PORT             send to this port id; 0, the kernel, without this
 *     send=HEX            send a datagram
 *     receive=COUNT,MS    receive until so many came, 0: any number, or none came for MS
 *     listen=MS           receive until the end of stdin, and then until none came for MS
 *
 * A datagram that came is a line: the socket's number, its sender's port id, the group,
 * recvmsg()'s flags, and its bytes in hex. Where datagrams were lost (ENOBUFS) the line
 * is the socket's number and "lost". A step that fails is the last: it is told on
 * stderr, and errno is the exit status.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tool.h"

#define MAX_SOCKETS	32
#define MAX_BYTES	65536

static struct talker {
	int fd;
	unsigned int to, groups;	/* the groups 1 to 32 as a mask */
	size_t room;
} talkers[MAX_SOCKETS];

static int n_talkers;
static unsigned char bytes[MAX_BYTES];

/* Have the kernel tell all it knows: of errors, and of groups. */
static int open_socket(int unit)
{
	static const int options[] = { NETLINK_EXT_ACK, NETLINK_PKTINFO };
	int fd, on = 1;

	if (n_talkers == MAX_SOCKETS) {
		errno = EMFILE;
		return -1;
	}
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, unit);
	if (fd < 0)
		return -1;
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		if (setsockopt(fd, SOL_NETLINK, options[i], &on, sizeof(on)))
			return -1;
	talkers[n_talkers++] = (struct talker){ .fd = fd, .room = MAX_BYTES };
	return 0;
}

/* bind() ends the membership in those of the first 32 groups that it does not name. */
static int bind_to(struct talker *t, unsigned int port)
{
	struct sockaddr_nl here = {
		.nl_family = AF_NETLINK,
		.nl_pid = port,
		.nl_groups = t->groups,
	};

	return bind(t->fd, (struct sockaddr *)&here, sizeof(here));
}

static int send_hex(struct talker *t, const char *hex)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_pid = t->to };
	size_t len = 0;

	for (; hex[0] && hex[1] && len < sizeof(bytes); hex += 2)
		if (sscanf(hex, "%2hhx", &bytes[len++]) != 1)
			break;
	if (*hex) {
		errno = EINVAL;
		return -1;
	}
	return sendto(t->fd, bytes, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -1 : 0;
}

/* Print a datagram, or that some were lost; -1 and errno where neither is so. */
static int receive_one(struct talker *t)
{
	union {
		char room[CMSG_SPACE(sizeof(struct nl_pktinfo))];
		struct cmsghdr align;
	} control;
	struct sockaddr_nl from = { 0 };
	struct iovec data = { bytes, t->room };
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from),
		.msg_iov = &data, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct nl_pktinfo info = { 0 };
	ssize_t len = recvmsg(t->fd, &msg, MSG_DONTWAIT);

	if (len < 0 && errno != ENOBUFS)
		return -1;
	printf("%d ", (int)(t - talkers));
	if (len < 0) {
		puts("lost");
	} else {
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		if (c && c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_PKTINFO)
			memcpy(&info, CMSG_DATA(c), sizeof(info));
		printf("%u %u %#x ", from.nl_pid, info.group, msg.msg_flags);
		for (ssize_t i = 0; i < len; i++)
			printf("%02x", bytes[i]);
		puts("");
	}
	fflush(stdout);
	return 0;
}

/* Receive until so many came (0: any number), or none came for this time. */
static int receive(struct talker *t, long count, int ms)
{
	struct pollfd file = { .fd = t->fd, .events = POLLIN };

	for (long n = 0; !count || n < count; n++) {
		int ready = poll(&file, 1, ms);

		if (ready <= 0)
			return ready;
		if (receive_one(t))
			return -1;
	}
	return 0;
}

static int listen_to(struct talker *t, int ms)
{
	struct pollfd files[] = {
		{ .fd = t->fd, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
	};

	for (;;) {
		if (poll(files, 2, -1) < 0)
			return -1;
		if (files[1].revents)
			return receive(t, 0, ms);
		if (receive_one(t))
			return -1;
	}
}

static int set(struct talker *t, int level, int option, int value)
{
	return setsockopt(t->fd, level, option, &value, sizeof(value));
}

/* Do a step about a socket; -1 and errno where that fails. */
static int step(struct talker *t, const char *name, const char *value)
{
	const char *behind = strchr(value, ',');
	unsigned long number = strtoul(value, NULL, 0);

	if (!strcmp(name, "port"))
		return bind_to(t, number);
	if (!strcmp(name, "group")) {
		if (number >= 1 && number <= 32)
			t->groups |= 1U << (number - 1);
		return set(t, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, number);
	}
	if (!strcmp(name, "buffer"))
		return set(t, SOL_SOCKET, SO_RCVBUF, number);
	if (!strcmp(name, "send"))
		return send_hex(t, value);
	if (!strcmp(name, "receive") && behind)
		return receive(t, number, atoi(behind + 1));
	if (!strcmp(name, "listen"))
		return listen_to(t, number);
	if (!strcmp(name, "to")) {
		t->to = number;
		return 0;
	}
	if (!strcmp(name, "room") && number <= MAX_BYTES) {
		t->room = number;
		return 0;
	}
	errno = EINVAL;
	return -1;
}

int netlink_main(int argc, char **argv)
{
	int at = -1;

	for (int i = 0; i < argc; i++) {
		char *name = argv[i], *value = strchr(name, '=');
		int failed = -1;

		if (value)
			*value++ = 0;
		errno = value ? EBADF : EINVAL;	/* no socket, or no step */
		if (value && !strcmp(name, "user")) {
			failed = setuid(atoi(value));
		} else if (value && !strcmp(name, "open")) {
			failed = open_socket(atoi(value));
			at = n_talkers - 1;
		} else if (value && !strcmp(name, "use")) {
			at = atoi(value);
			failed = 0;
		} else if (value && at >= 0 && at < n_talkers) {
			failed = step(&talkers[at], name, value);
		}
		if (failed) {
			int err = errno;

			fprintf(stderr, "%s: %s\n", name, strerror(err));
			return err;
		}
	}
	return 0;
}
