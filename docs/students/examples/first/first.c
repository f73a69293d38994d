// SPDX-License-Identifier: GPL-2.0
/*
 * The smallest module that shows its life in the kernel log: a line when it
 * is loaded, another when it is unloaded.
 */

#include <linux/init.h>
#include <linux/module.h>

static int __init first_init(void)
{
	pr_info("first: here I am\n");
	return 0;
}

static void __exit first_exit(void)
{
	pr_info("first: good bye\n");
}

module_init(first_init);
module_exit(first_exit);

MODULE_DESCRIPTION("A module that says when it comes and goes");
MODULE_LICENSE("GPL");
