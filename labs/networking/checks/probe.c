// SPDX-License-Identifier: GPL-2.0
/*
 * probe.c - what the checks of this lab need in the guest and netcat cannot do.
 *
 *     probe set DEVICE ADDRESS        MY_IOCTL_FILTER_ADDRESS with ADDRESS
 *     probe pointer DEVICE POINTER    the same with a bad pointer
 *     probe command DEVICE NUMBER     an ioctl of another number
 *     probe receive ADDRESS PORT      print every datagram: its sender and its bytes in hex
 *     probe connect FROM PORT TO PORT MESSAGE [CLIENT [SERVER]]
 *                                     send MESSAGE over a TCP connection to a listener of its
 *                                     own and print what arrives there; CLIENT and SERVER are
 *                                     network namespaces, - for this one
 *     probe work DEVICE TIMES FROM PORT TO PORT
 *                                     set TO and connect to it, so many times, with
 *                                     ioctls between that must fail; without a DEVICE, -,
 *                                     connect and no more
 *     probe hold FROM PORT TO PORT    connect, and keep the connection until the end of stdin;
 *                                     then wait for the other side to close it
 *     probe reset FROM PORT TO PORT   connect, and reset the connection before any other
 *                                     process gets the CPU, if there is but one
 *     probe segment FROM PORT TO PORT FLAGS [KIND]
 *                                     send a TCP header with these flags, a number in hex, and
 *                                     no checksum, so that it is dropped where it arrives;
 *                                     KIND: options, the IP header has some; pieces, the last
 *                                     byte lies apart from the rest; short, there is no such
 *                                     byte; later, the packet is a fragment, not the first
 *     probe datagram FROM PORT TO PORT HEX
 *                                     send a UDP datagram to a socket of its own, likewise
 *
 * The exit status of an ioctl is its errno, 0 if it worked; then a value other
 * than 0 that it returned is printed. A connection does
 * in one process what two netcats, a shell and a wait would do in eight: in an
 * emulated guest processes are what costs time.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "filter.h"

static int fail(const char *what)
{
	int err = errno;

	perror(what);
	return err;
}

static int ioctl_on(const char *device, unsigned long command, unsigned long argument)
{
	int fd = open(device, O_RDWR);
	int value;

	if (fd < 0)
		return fail(device);
	value = ioctl(fd, command, argument);
	if (value < 0) {
		int err = fail("ioctl");

		close(fd);
		return err;
	}
	close(fd);
	if (value)
		printf("%d\n", value);
	return 0;
}

static struct sockaddr_in at(const char *address, const char *port)
{
	return (struct sockaddr_in) {
		.sin_family = AF_INET,
		.sin_port = htons(atoi(port)),
		.sin_addr.s_addr = inet_addr(address),
	};
}

/* Return a socket bound to an address; one that waits for nothing longer than 5 seconds. */
static int bound(int type, const char *address, const char *port)
{
	struct sockaddr_in addr = at(address, port);
	struct timeval patience = { .tv_sec = 5 };
	int fd = socket(AF_INET, type, 0);
	int reuse = type == SOCK_STREAM;

	/* else a connection of an earlier check, in TIME_WAIT, could have the port */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		exit(fail("bind"));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

/* Sockets made from here on live in the network namespace NAME. */
static void enter(const char *name)
{
	static const char *here = "-";
	char path[128];
	int fd;

	if (!strcmp(name, here))
		return;
	here = name;
	if (!strcmp(name, "-"))
		strcpy(path, "/proc/1/ns/net");
	else
		snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		exit(fail(path));
	close(fd);
}

static int connection(char **arg, const char *client_in, const char *server_in)
{
	struct sockaddr_in to = at(arg[2], arg[3]);
	int listener, client, server;
	char data[4096];
	ssize_t n;

	enter(server_in);
	listener = bound(SOCK_STREAM, arg[2], arg[3]);
	if (listen(listener, 1))
		return fail("listen");
	enter(client_in);
	client = bound(SOCK_STREAM, arg[0], arg[1]);
	if (connect(client, (struct sockaddr *)&to, sizeof(to)))
		return fail("connect");
	server = accept(listener, NULL, NULL);
	if (server < 0)
		return fail("accept");
	if (write(client, arg[4], strlen(arg[4])) < 0 || shutdown(client, SHUT_WR))
		return fail("write");
	while ((n = read(server, data, sizeof(data))) > 0)
		fwrite(data, 1, n, stdout);
	if (n < 0)
		return fail("read");
	close(listener);
	close(server);
	close(client);
	return 0;
}

static int hold(char **arg)
{
	int client = bound(SOCK_STREAM, arg[0], arg[1]);
	struct sockaddr_in to = at(arg[2], arg[3]);
	struct timeval for_ever = { 0 };
	char data[4096];

	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof(for_ever));
	if (connect(client, (struct sockaddr *)&to, sizeof(to)))
		return fail("connect");
	while (read(0, data, sizeof(data)) > 0)
		;
	shutdown(client, SHUT_WR);
	while (read(client, data, sizeof(data)) > 0)
		;
	return 0;
}

static int work(const char *device, int times, char **arg)
{
	char *again[5];
	in_addr_t addr = inet_addr(arg[2]);
	char from[16];

	memcpy(again, arg, 4 * sizeof(again[0]));
	again[4] = "";
	for (int n = 0; n < times; n++) {
		int err = 0;

		if (strcmp(device, "-")) {
			err = ioctl_on(device, MY_IOCTL_FILTER_ADDRESS, (unsigned long)&addr);
			ioctl_on(device, MY_IOCTL_FILTER_ADDRESS, 0);
			ioctl_on(device, MY_IOCTL_FILTER_ADDRESS + 1, (unsigned long)&addr);
		}
		snprintf(from, sizeof(from), "%d", atoi(arg[1]) + n);
		again[1] = from;
		if (err || connection(again, "-", "-"))
			return err ? err : 1;
	}
	return 0;
}

static int reset(char **arg)
{
	struct sched_param first = { .sched_priority = 1 };
	struct linger no_goodbye = { .l_onoff = 1 };
	int client = bound(SOCK_STREAM, arg[0], arg[1]);
	struct sockaddr_in to = at(arg[2], arg[3]);

	/* who is woken by the connection has to wait for what this process does next */
	if (sched_setscheduler(0, SCHED_FIFO, &first))
		return fail("sched_setscheduler");
	setsockopt(client, SOL_SOCKET, SO_LINGER, &no_goodbye, sizeof(no_goodbye));
	if (connect(client, (struct sockaddr *)&to, sizeof(to)))
		return fail("connect");
	close(client);
	return 0;
}

static int segment(char **arg, const char *kind)
{
	struct sockaddr_in from = at(arg[0], arg[1]), to = at(arg[2], arg[3]);
	struct {
		struct iphdr ip;
		struct tcphdr tcp;
	} packet = {
		/* the length, the number and the checksum are filled in by the kernel */
		.ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP,
			.frag_off = htons(100), .saddr = from.sin_addr.s_addr,
			.daddr = to.sin_addr.s_addr },
		.tcp = { .source = from.sin_port, .dest = to.sin_port, .doff = 5 },
	};
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
	char *data = (char *)&packet.tcp;
	size_t len = sizeof(packet.tcp);
	int on = 1;

	packet.tcp.th_flags = strtoul(arg[4], NULL, 16);
	from.sin_port = 0;
	to.sin_port = 0;
	if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return fail("raw socket");
	if (!strcmp(kind, "options") && setsockopt(fd, IPPROTO_IP, IP_OPTIONS, "\1\1\1\1", 4))
		return fail("IP_OPTIONS");
	if (!strcmp(kind, "later")) {
		if (setsockopt(fd, IPPROTO_IP, IP_HDRINCL, &on, sizeof(on)))
			return fail("IP_HDRINCL");
		data = (char *)&packet;
		len = sizeof(packet);
	}
	if (!strcmp(kind, "short"))
		len--;
	/* where the device can gather, what comes later is put into a page of its own */
	if (!strcmp(kind, "pieces")) {
		if (send(fd, data, len - 1, MSG_MORE) < 0)
			return fail("send");
		data += len - 1;
		len = 1;
	}
	if (send(fd, data, len, 0) < 0)
		return fail("send");
	return 0;
}

static int datagram(char **arg)
{
	int receiver = bound(SOCK_DGRAM, arg[2], arg[3]);
	int sender = bound(SOCK_DGRAM, arg[0], arg[1]);
	struct sockaddr_in to = at(arg[2], arg[3]);
	unsigned char data[2048];
	size_t len = strlen(arg[4]) / 2;
	ssize_t n;

	for (size_t i = 0; i < len && i < sizeof(data); i++)
		if (sscanf(arg[4] + 2 * i, "%2hhx", &data[i]) != 1)
			return 2;
	if (sendto(sender, data, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return fail("sendto");
	n = recv(receiver, data, sizeof(data), 0);
	if (n < 0)
		return fail("recv");
	for (ssize_t i = 0; i < n; i++)
		printf("%02x", data[i]);
	return 0;
}

static int receive(const char *address, const char *port)
{
	struct sockaddr_in addr = at(address, port);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fail("bind");
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (;;) {
		unsigned char data[2048];
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &size);

		if (n < 0)
			return fail("recvfrom");
		printf("%s:%u ", inet_ntoa(from.sin_addr), ntohs(from.sin_port));
		for (ssize_t i = 0; i < n; i++)
			printf("%02x", data[i]);
		printf("\n");
	}
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "set")) {
		in_addr_t addr = inet_addr(argv[3]);

		return ioctl_on(argv[2], MY_IOCTL_FILTER_ADDRESS, (unsigned long)&addr);
	}
	if (argc == 4 && !strcmp(argv[1], "pointer"))
		return ioctl_on(argv[2], MY_IOCTL_FILTER_ADDRESS, strtoul(argv[3], NULL, 0));
	if (argc == 4 && !strcmp(argv[1], "command")) {
		in_addr_t addr = inet_addr("127.0.0.1");

		return ioctl_on(argv[2], strtoul(argv[3], NULL, 0), (unsigned long)&addr);
	}
	if (argc == 4 && !strcmp(argv[1], "receive"))
		return receive(argv[2], argv[3]);
	if (argc >= 7 && argc <= 9 && !strcmp(argv[1], "connect"))
		return connection(argv + 2, argc > 7 ? argv[7] : "-", argc > 8 ? argv[8] : "-");
	if (argc == 6 && !strcmp(argv[1], "hold"))
		return hold(argv + 2);
	if (argc == 8 && !strcmp(argv[1], "work"))
		return work(argv[2], atoi(argv[3]), argv + 4);
	if (argc == 6 && !strcmp(argv[1], "reset"))
		return reset(argv + 2);
	if ((argc == 7 || argc == 8) && !strcmp(argv[1], "segment"))
		return segment(argv + 2, argc > 7 ? argv[7] : "");
	if (argc == 7 && !strcmp(argv[1], "datagram"))
		return datagram(argv + 2);
	fprintf(stderr, "usage: probe set|pointer|command|receive|connect|segment|datagram ...\n");
	return 2;
}
