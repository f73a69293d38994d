// SPDX-License-Identifier: GPL-2.0
/*
 * unload.c - unload the module facts while a netlink socket of unit 31 is open, and when
 * it is closed; print the two errors.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int unload(void)
{
	return syscall(SYS_delete_module, "facts", O_NONBLOCK) ? errno : 0;
}

int main(void)
{
	int sock = socket(AF_NETLINK, SOCK_RAW, 31);
	int held = unload();

	if (sock < 0)
		return 1;
	close(sock);
	printf("%d %d\n", held, unload());
	return 0;
}
