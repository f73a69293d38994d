// SPDX-License-Identifier: GPL-2.0
/*
 * Wrong on purpose: exit does not release the socket. The module goes, the
 * socket stays, and with it the port.
 */

#include <linux/in.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/net.h>
#include <net/net_namespace.h>

#define MY_PORT 60007

static struct socket *sock;

static int __init left_init(void)
{
	struct sockaddr_in addr = {
		.sin_family		= AF_INET,
		.sin_port		= htons(MY_PORT),
		.sin_addr.s_addr	= htonl(INADDR_LOOPBACK),
	};
	int err;

	err = sock_create_kern(&init_net, PF_INET, SOCK_DGRAM, IPPROTO_UDP,
			       &sock);
	if (err)
		return err;

	err = kernel_bind(sock, (void *)&addr, sizeof(addr));
	if (err)
		sock_release(sock);

	return err;
}

static void __exit left_exit(void)
{
	/* sock_release(sock) is missing */
}

module_init(left_init);
module_exit(left_exit);

MODULE_DESCRIPTION("Wrong on purpose: a socket is left behind");
MODULE_LICENSE("GPL");
