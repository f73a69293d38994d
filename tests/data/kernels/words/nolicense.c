// SPDX-License-Identifier: GPL-2.0
/* nolicense.c - a module without MODULE_LICENSE. */
#include <linux/module.h>

MODULE_DESCRIPTION("A module without MODULE_LICENSE");
