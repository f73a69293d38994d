// SPDX-License-Identifier: GPL-2.0
/*
 * capture.c - writes the packets of a device to its output, as a pcap file.
 *
 *     capture DEVICE
 *
 * The file's header comes when the socket is open: all that passes the device from
 * then on is caught. Its end comes with the end of its input, after what the kernel
 * held by then; tcpdump would leave that behind when it is stopped.
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/sockios.h>
#include <linux/types.h>

#define SNAP		65536
#define BUFFER		(4 << 20)
#define LINK_ETHERNET	1	/* lo has an Ethernet header, too */

struct file_header {
	__u32 magic;
	__u16 major, minor;
	__u32 zone, accuracy, snap, link;
};

struct record_header {
	__u32 seconds, microseconds, caught, length;
};

static int fail(const char *what)
{
	perror(what);
	return 1;
}

/* Write the packets that are there; nobody is waited for. */
static void drain(int fd)
{
	static char frame[SNAP];
	struct timeval when;
	ssize_t length;

	while ((length = recv(fd, frame, sizeof(frame), MSG_DONTWAIT | MSG_TRUNC)) >= 0) {
		size_t caught = length < SNAP ? length : SNAP;
		struct record_header head = { .caught = caught, .length = length };

		if (!ioctl(fd, SIOCGSTAMP, &when)) {
			head.seconds = when.tv_sec;
			head.microseconds = when.tv_usec;
		}
		fwrite(&head, sizeof(head), 1, stdout);
		fwrite(frame, caught, 1, stdout);
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct file_header head = {
		.magic = 0xa1b2c3d4, .major = 2, .minor = 4, .snap = SNAP, .link = LINK_ETHERNET,
	};
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd, buffer = BUFFER;

	if (argc != 2) {
		fprintf(stderr, "usage: capture DEVICE\n");
		return 2;
	}
	at.sll_ifindex = if_nametoindex(argv[1]);
	if (!at.sll_ifindex)
		return fail(argv[1]);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);	/* deaf until it is bound */
	if (fd < 0)
		return fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)))
		return fail("bind");
	fwrite(&head, sizeof(head), 1, stdout);
	fflush(stdout);
	for (;;) {
		struct pollfd both[] = {
			{ .fd = fd, .events = POLLIN },
			{ .fd = STDIN_FILENO, .events = POLLIN },
		};

		poll(both, 2, -1);
		drain(fd);
		if (both[1].revents)
			return 0;
	}
}
