// SPDX-License-Identifier: GPL-2.0
/*
 * One address, 127.0.0.1:60000, printed in several ways: which byte order does
 * each of them take?
 */

#include <linux/in.h>
#include <linux/init.h>
#include <linux/inet.h>
#include <linux/module.h>

static int __init order_init(void)
{
	struct sockaddr_in addr = {
		.sin_family		= AF_INET,
		.sin_port		= htons(60000),
		.sin_addr.s_addr	= htonl(INADDR_LOOPBACK),
	};

	pr_info("order: bytes of the port     %*ph\n", 2, &addr.sin_port);
	pr_info("order: taken as a number     %u\n",
		(__force u16)addr.sin_port);
	pr_info("order: after ntohs()         %u\n", ntohs(addr.sin_port));
	pr_info("order: bytes of the address  %*ph\n", 4, &addr.sin_addr);
	pr_info("order: with %%pI4             %pI4\n", &addr.sin_addr);
	pr_info("order: with %%pISpc           %pISpc\n", &addr);
	return 0;
}

static void __exit order_exit(void)
{
}

module_init(order_init);
module_exit(order_exit);

MODULE_DESCRIPTION("Byte orders of an address and a port");
MODULE_LICENSE("GPL");
