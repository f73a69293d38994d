// SPDX-License-Identifier: GPL-2.0
/*
 * probe.c - what the checks of this lab need in the guest and netcat cannot do.
 *
 *     probe set DEVICE ADDRESS        MY_IOCTL_FILTER_ADDRESS with ADDRESS
 *     probe pointer DEVICE POINTER    the same with a bad pointer
 *     probe command DEVICE NUMBER     an ioctl of another number
 *     probe receive ADDRESS PORT      print every datagram: its sender and its bytes in hex
 *
 * The exit status of an ioctl is its errno, 0 if it worked.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../solution/1-2-netfilter/include/filter.h"

static int fail(const char *what)
{
	int err = errno;

	perror(what);
	return err;
}

static int ioctl_on(const char *device, unsigned long command, unsigned long argument)
{
	int fd = open(device, O_RDWR);

	if (fd < 0)
		return fail(device);
	if (ioctl(fd, command, argument) < 0)
		return fail("ioctl");
	return 0;
}

static int receive(const char *address, const char *port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons(atoi(port)),
		.sin_addr.s_addr = inet_addr(address),
	};
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
	fprintf(stderr, "usage: probe set|pointer|command|receive ...\n");
	return 2;
}
