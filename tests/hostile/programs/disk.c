/* Why: fill every folder that can be written to, then answer. */
/* Earns: 0 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static char block[65536];

int main(void)
{
	static const char *const folders[] = { "/tmp", "/run", "/run/reports", "/root", "/lab", "/dev" };
	char path[64], name[64];
	long all = 0;

	signal(SIGXFSZ, SIG_IGN);
	for (int n = 0; n < 600; n++) {
		int fd;

		snprintf(path, sizeof(path), "%s/filled-%d", folders[n % 6], n);
		fd = open(path, O_WRONLY | O_CREAT, 0600);
		while (fd >= 0 && write(fd, block, sizeof(block)) > 0)
			all += sizeof(block);
		if (fd >= 0)
			close(fd);
	}
	if (all < 64L << 20)	/* it is not much that one can write */
		return 1;
	while (scanf("%63s", name) == 1)
		printf("hello %s\n", name);
	return 0;
}
