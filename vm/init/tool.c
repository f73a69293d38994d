// SPDX-License-Identifier: GPL-2.0
/*
 * tool.c - small things the host asks of the guest, with errno as exit status:
 *
 *     tool insmod FILE [PARAMETERS]      tool rmmod NAME
 *     tool await tcp ADDRESS PORT          wait until something listens there
 *     tool await udp ADDRESS PORT          wait until a socket is bound there
 *     tool await connection ADDRESS PORT   wait until a TCP connection is up from there
 *
 * PORT 0 stands for any address and port.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TCP_ESTABLISHED	1
#define TCP_LISTEN	10

static int fail(const char *what)
{
	int err = errno;

	fprintf(stderr, "%s: %s\n", what, strerror(err));
	return err;
}

static int insmod(const char *file, const char *parameters)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, parameters, 0))
		return fail(file);
	return 0;
}

static int rmmod(const char *name)
{
	if (syscall(SYS_delete_module, name, O_NONBLOCK))
		return fail(name);
	return 0;
}

/* Is a local socket ADDRESS:PORT there, in the given state (0: any)? */
static int present(const char *path, in_addr_t addr, unsigned int port, unsigned int wanted)
{
	char line[512];
	int found = 0;
	FILE *f = fopen(path, "re");

	if (!f)
		exit(fail(path));
	while (fgets(line, sizeof(line), f)) {
		unsigned int a, p, state;

		if (sscanf(line, " %*[0-9]: %x:%x %*[0-9A-F:] %x", &a, &p, &state) != 3)
			continue;
		if ((!port || (a == addr && p == port)) && (!wanted || state == wanted))
			found = 1;
	}
	fclose(f);
	return found;
}

static int await(const char *what, const char *address, const char *port)
{
	const char *path = strcmp(what, "udp") ? "/proc/net/tcp" : "/proc/net/udp";
	unsigned int wanted = 0;

	if (!strcmp(what, "tcp"))
		wanted = TCP_LISTEN;
	else if (!strcmp(what, "connection"))
		wanted = TCP_ESTABLISHED;
	while (!present(path, inet_addr(address), atoi(port), wanted))
		usleep(1000);	/* virtual time: an idle guest jumps over it */
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 3 && !strcmp(argv[1], "insmod"))
		return insmod(argv[2], argc > 3 ? argv[3] : "");
	if (argc == 3 && !strcmp(argv[1], "rmmod"))
		return rmmod(argv[2]);
	if (argc == 5 && !strcmp(argv[1], "await"))
		return await(argv[2], argv[3], argv[4]);
	fprintf(stderr, "usage: tool insmod|rmmod|await ...\n");
	return 2;
}
