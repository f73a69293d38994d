// SPDX-License-Identifier: GPL-2.0
/* headers.c - vmalloc() with the headers alone that a module of the labs has. */
#include <linux/ip.h>
#include <linux/module.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/tcp.h>
#include <net/sock.h>

static void __used *no_header(void)
{
	return vmalloc(3); /* @ vmalloc */
}
