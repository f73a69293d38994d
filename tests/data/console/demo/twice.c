// SPDX-License-Identifier: GPL-2.0
/*
 * twice.c - memory that is freed twice, by calls that return; it is a module of its own, so
 * that the lines of demo.c stay where they are.
 */
#include <linux/module.h>
#include <linux/slab.h>

static char *volatile last;

static noinline void free_twice(void)
{
	last = kmalloc(40, GFP_KERNEL);
	kfree(last);
	kfree(last); /* @ double-free-stock */
	last = NULL;
}

static int __init demo_init(void)
{
	free_twice();
	return 0;
}

static void __exit demo_exit(void)
{
}

module_init(demo_init);
module_exit(demo_exit);
MODULE_DESCRIPTION("Memory that is freed twice");
MODULE_LICENSE("GPL");
