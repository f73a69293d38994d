/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the filter module and the programs that talk to it have to agree on.
 * This header is compiled on both sides, into the kernel and into user/test.c.
 */
#ifndef FILTER_H
#define FILTER_H

#include <linux/ioctl.h>

/* The character device: mknod /dev/filter c 42 0 */
#define MY_MAJOR		42

/*
 * Log only connections to one destination. The argument points to an IPv4
 * address in network byte order; it is passed by address, not by value.
 */
#define MY_IOCTL_FILTER_ADDRESS	_IOW('k', 1, unsigned int)

#endif
