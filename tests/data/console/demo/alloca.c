// SPDX-License-Identifier: GPL-2.0
/*
 * alloca.c - a mistake with an array whose length is known at run time only; it is a module
 * of its own, so that the lines of demo.c stay where they are.
 */
#include <linux/module.h>
#include <linux/string.h>

static volatile int volatile_ten = 10;

static noinline int alloca_out_of_bounds(void)
{
	char name[volatile_ten];
	char *volatile first = name;

	memset(name, 0, volatile_ten);
	return first[volatile_ten + 1]; /* @ alloca-out-of-bounds */
}

static int __init demo_init(void)
{
	volatile_ten = alloca_out_of_bounds();
	return 0;
}

static void __exit demo_exit(void)
{
}

module_init(demo_init);
module_exit(demo_exit);
MODULE_DESCRIPTION("An index beyond an array on the stack");
MODULE_LICENSE("GPL");
