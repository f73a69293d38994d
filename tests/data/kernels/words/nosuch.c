// SPDX-License-Identifier: GPL-2.0
/* nosuch.c - a module that calls a function that the kernel does not have. */
#include <linux/module.h>

int no_such_function(void);

static int __init nosuch_init(void)
{
	return no_such_function();
}
module_init(nosuch_init);

MODULE_DESCRIPTION("A module that calls a function that the kernel does not have");
MODULE_LICENSE("GPL");
