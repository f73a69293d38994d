/* holder.c - open a netlink socket of unit 31, say so, and wait to be killed. */
#include <linux/netlink.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	if (socket(AF_NETLINK, SOCK_RAW, 31) < 0)
		return 1;
	puts("open");
	fflush(stdout);
	pause();
	return 0;
}
