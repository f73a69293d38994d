// SPDX-License-Identifier: GPL-2.0
/*
 * Wrong on purpose: init declares a second variable called sock, which hides
 * the first. The first is still NULL when exit releases it.
 */

#include <linux/in.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/net.h>
#include <net/net_namespace.h>

static struct socket *sock;

static int __init shadow_init(void)
{
	struct socket *sock;

	return sock_create_kern(&init_net, PF_INET, SOCK_STREAM, IPPROTO_TCP,
				&sock);
}

static void __exit shadow_exit(void)
{
	sock_release(sock);
	pr_info("shadow: released\n");
}

module_init(shadow_init);
module_exit(shadow_exit);

MODULE_DESCRIPTION("Wrong on purpose: a NULL pointer is followed");
MODULE_LICENSE("GPL");
