// SPDX-License-Identifier: GPL-2.0
/* nodescription.c - a module without MODULE_DESCRIPTION. */
#include <linux/module.h>

MODULE_LICENSE("GPL");
