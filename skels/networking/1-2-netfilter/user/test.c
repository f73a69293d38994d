// SPDX-License-Identifier: GPL-2.0
/*
 * Tell the filter module which destination to log.
 *
 * Usage: test ADDRESS [DEVICE]
 *
 * ADDRESS is an IPv4 address like 127.0.0.1, DEVICE the character device of
 * the module (/dev/filter if not given). The program prints nothing when the
 * module took the address. Exit status: 0 it did, 1 it did not, 2 bad usage.
 */

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../include/filter.h"

int main(int argc, char *argv[])
{
	const char *device = argc > 2 ? argv[2] : "/dev/filter";
	struct in_addr addr;
	int fd;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: %s ADDRESS [DEVICE]\n", argv[0]);
		return 2;
	}

	/* inet_pton() leaves the address in network byte order. */
	if (inet_pton(AF_INET, argv[1], &addr) != 1) {
		fprintf(stderr, "%s: not an IPv4 address: %s\n", argv[0], argv[1]);
		return 2;
	}

	fd = open(device, O_RDWR);
	if (fd < 0) {
		perror(device);
		return 1;
	}

	if (ioctl(fd, MY_IOCTL_FILTER_ADDRESS, &addr.s_addr) < 0) {
		perror("ioctl MY_IOCTL_FILTER_ADDRESS");
		close(fd);
		return 1;
	}

	close(fd);
	return 0;
}
