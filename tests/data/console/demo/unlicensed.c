// SPDX-License-Identifier: GPL-2.0
/*
 * unlicensed.c - a module that does not say it is under the GPL.
 */
#include <linux/module.h>

static int __init demo_init(void)
{
	return 0;
}

static void __exit demo_exit(void)
{
}

module_init(demo_init);
module_exit(demo_exit);
MODULE_DESCRIPTION("A module without the kernel's license");
MODULE_LICENSE("Proprietary");
