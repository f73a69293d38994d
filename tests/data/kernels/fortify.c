// SPDX-License-Identifier: GPL-2.0
/* fortify.c - a copy that the compiler itself sees to be too long. */
#include <linux/module.h>
#include <linux/string.h>

static struct {
	char name[4];
	char more[16];
} both;

void copy_too_much(void);
void copy_too_much(void)
{
	strcpy(both.name, "beyond the member");
}
