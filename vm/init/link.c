// SPDX-License-Identifier: GPL-2.0
/*
 * link.c - what the tools do with a link: wait until it carries packets, switch its offloads.
 */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tool.h"

#define POLL_US	1000	/* virtual time: an idle guest jumps over it */

static int open_socket(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int ethtool(int fd, const char *link, unsigned int command, unsigned int *value)
{
	struct ethtool_value ask = { .cmd = command, .data = *value };
	struct ifreq ifr = { .ifr_data = (char *)&ask };
	int err;

	strncpy(ifr.ifr_name, link, sizeof(ifr.ifr_name) - 1);
	err = ioctl(fd, SIOCETHTOOL, &ifr);
	*value = ask.data;
	return err;
}

int link_ready(const char *link)
{
	struct ifreq ifr = { 0 };
	unsigned int carrier = 0;
	int fd = open_socket();

	strncpy(ifr.ifr_name, link, sizeof(ifr.ifr_name) - 1);
	for (;;) {
		if (ioctl(fd, SIOCGIFFLAGS, &ifr))
			return -1;
		if (ifr.ifr_flags & IFF_UP && ifr.ifr_flags & IFF_RUNNING)
			break;
		usleep(POLL_US);
	}
	/* this one waits for the kernel's work on the link, which begins with that flag */
	ethtool(fd, link, ETHTOOL_GLINK, &carrier);
	close(fd);
	return 0;
}

#define OFFLOADS	4

static const unsigned int offloads[OFFLOADS][2] = {
	{ ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM },
	{ ETHTOOL_GSG, ETHTOOL_SSG },
	{ ETHTOOL_GTSO, ETHTOOL_STSO },
	{ ETHTOOL_GGSO, ETHTOOL_SGSO },
};

int set_offloads(const char *link, unsigned int on)
{
	int fd = open_socket(), err = 0;

	for (size_t i = 0; i < OFFLOADS && !err; i++)
		err = ethtool(fd, link, offloads[i][1], &(unsigned int){ on });
	if (!err)
		close(fd);
	return err;
}

unsigned int get_offloads(const char *link)
{
	unsigned int found = 0;
	int fd = open_socket();

	for (size_t i = 0; i < OFFLOADS; i++) {
		unsigned int value = 0;

		if (!ethtool(fd, link, offloads[i][0], &value) && value)
			found |= 1 << i;
	}
	close(fd);
	return found;
}
