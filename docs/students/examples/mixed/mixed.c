// SPDX-License-Identifier: GPL-2.0
/*
 * Wrong on purpose: byte orders are mixed up in three places, which sparse
 * finds, and %pI4 gets an address instead of a pointer to it, of which gcc warns.
 */

#include <linux/in.h>
#include <linux/init.h>
#include <linux/module.h>

static int __init mixed_init(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	u16 port = 60000;

	addr.sin_port = port;
	addr.sin_addr.s_addr = INADDR_LOOPBACK;
	if (addr.sin_port == 60000)
		pr_info("mixed: %pI4\n", addr.sin_addr.s_addr);

	return 0;
}

static void __exit mixed_exit(void)
{
}

module_init(mixed_init);
module_exit(mixed_exit);

MODULE_DESCRIPTION("Wrong on purpose: byte orders are mixed up");
MODULE_LICENSE("GPL");
