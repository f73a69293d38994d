// SPDX-License-Identifier: GPL-2.0
/*
 * tool.c - small things the host asks of the guest, with errno as exit status:
 *
 *     tool insmod FILE [PARAMETERS]      tool rmmod NAME
 *     tool traces FILE...                  print files, each behind a line ==> FILE <==
 *     tool tidy NAME FILE...               rmmod and traces
 *     tool rounds FILE NAME LAST HOW ADDRESS PORT
 *                                          insmod and rmmod, again and again. HOW has letters:
 *                                          c  when it listens at ADDRESS:PORT, a client connects
 *                                          i  when it listens there, insmod is interrupted
 *                                          f  in round N the Nth allocation of init fails;
 *                                             the round in which none did is the last
 *     tool allocations                     what is allocated by modules, loaded or gone
 *     tool await tcp ADDRESS PORT          wait until something listens there
 *     tool await udp ADDRESS PORT          wait until a socket is bound there
 *     tool await connection ADDRESS PORT   wait until a TCP connection is up from there
 *
 * PORT 0 stands for any address and port.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TCP_ESTABLISHED	1
#define TCP_LISTEN	10
#define PF_KTHREAD	0x00200000	/* of the flags in /proc/PID/stat */

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

/* Print files of /proc as head(1) does, at most 64 KiB of each. */
static void traces(char **files)
{
	static char data[64 * 1024];

	for (; *files; files++) {
		int fd = open(*files, O_RDONLY | O_CLOEXEC);
		size_t len = 0;
		ssize_t n = 0;

		while (fd >= 0 && len < sizeof(data) &&
		       (n = read(fd, data + len, sizeof(data) - len)) > 0)
			len += n;
		printf("==> %s <==\n", *files);
		fwrite(data, 1, len, stdout);
		if (fd >= 0)
			close(fd);
	}
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

#define WITNESS	"/sys/module/witness/parameters/"
#define NTH	WITNESS "nth"

/* Return the number that stands in a file behind a text, or behind nothing. */
static unsigned long number_in(const char *path, const char *behind)
{
	char line[512];
	unsigned long found = 0;
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, behind);

		if (at) {
			found = strtoul(at + strlen(behind), NULL, 0);
			break;
		}
	}
	if (f)
		fclose(f);
	return found;
}

static int lines_in(const char *path)
{
	int lines = 0, c;
	FILE *f = fopen(path, "re");

	while (f && (c = getc(f)) != EOF)
		lines += c == '\n';
	if (f)
		fclose(f);
	return lines;
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0 || fclose(f))
		exit(fail(path));
}

/* Let the Nth allocation of the next init fail, be it one that may wait for memory. */
static void arm(long nth)
{
	char text[32];

	put("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	put("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N");
	snprintf(text, sizeof(text), "%ld", nth);
	put(NTH, text);
}

/* Say where the module's code lies, so that addresses in reports can be understood later. */
static void print_sections(const char *name)
{
	static const char *const sections[] = { ".text", ".init.text", ".exit.text" };

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		char path[256], text[32];
		FILE *f;

		snprintf(path, sizeof(path), "/sys/module/%s/sections/%s", name, sections[i]);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fgets(text, sizeof(text), f))
			printf(" %s=%.*s", sections[i], (int)strcspn(text, "\n"), text);
		fclose(f);
	}
}

/* Let a client connect; a reset when it goes leaves no TIME_WAIT. */
static int meet(const char *address, const char *port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(atoi(port)),
		.sin_addr.s_addr = inet_addr(address),
	};
	struct linger reset = { .l_onoff = 1 };
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (!connect(client, (struct sockaddr *)&to, sizeof(to)))
		return client;
	close(client);
	return -1;
}

/* Run insmod to its end, and do what HOW says once it listens; return its errno. */
static int load(const char *file, const char *how, const char *address, const char *port, int *met)
{
	int client = -1, status, waited = 0;
	pid_t pid = fork();

	*met = 0;
	if (pid < 0)
		exit(fail("fork"));
	if (!pid)
		_exit(insmod(file, ""));
	while (!waitpid(pid, &status, WNOHANG)) {
		usleep(1000);
		if (++waited == 5000)
			kill(pid, SIGKILL);
		if (*met || !present("/proc/net/tcp", inet_addr(address), atoi(port), TCP_LISTEN))
			continue;
		*met = 1;
		if (strchr(how, 'c'))
			client = meet(address, port);
		else if (strchr(how, 'i'))
			kill(pid, SIGINT);
	}
	if (client >= 0)
		close(client);
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return waited >= 5000 ? ETIMEDOUT : EINTR;
}

/* Count the kernel's threads; its workers come and go as they like. */
static int threads(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	int found = 0;

	while (dir && (e = readdir(dir))) {
		char path[300], name[64];
		unsigned int flags;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		f = e->d_name[0] > '0' && e->d_name[0] <= '9' ? fopen(path, "re") : NULL;
		if (!f)
			continue;
		if (fscanf(f, "%*d (%63[^)]) %*c %*d %*d %*d %*d %*d %u", name, &flags) == 2)
			found += (flags & PF_KTHREAD) && strncmp(name, "kworker", 7);
		fclose(f);
	}
	if (dir)
		closedir(dir);
	return found;
}

static void print_counts(void)
{
	printf(" majors=%d tcp=%lu udp=%lu", lines_in("/proc/devices"),
	       number_in("/proc/net/sockstat", " alloc "),
	       number_in("/proc/net/sockstat", "UDP: inuse "));
}

static int rounds(const char *file, const char *name, long last, const char *how,
		  const char *address, const char *port)
{
	int fails = !!strchr(how, 'f'), done = 0;

	printf("round 0 insmod=0 rmmod=0 left=0 met=0 threads=%d", threads());
	print_counts();
	printf("\n");
	for (long n = 1; !done; n++) {
		int loaded, met, removed = 0;
		unsigned long left = 0;

		if (fails)
			arm(n);
		loaded = load(file, how, address, port, &met);
		if (fails)
			left = number_in(NTH, "");
		printf("round %ld", n);
		if (fails)
			printf(" .text=%#lx .init.text=%#lx", number_in(WITNESS "text", ""),
			       number_in(WITNESS "init", ""));
		else
			print_sections(name);
		if (!loaded)
			removed = rmmod(name);
		done = n == last || removed || loaded == ETIMEDOUT || (fails && left);
		printf(" insmod=%d rmmod=%d left=%lu met=%d threads=%d", loaded, removed, left, met,
		       done ? threads() : 0);
		print_counts();
		printf("\n");
		fflush(stdout);
	}
	return 0;
}

/* Is this line of a stack trace an address in a module, loaded or gone? */
static int in_module(const char *line)
{
	return strchr(line, '[') || strtoul(line, NULL, 16) >= 0xffffffffa0000000;
}

/*
 * Print who allocated what is still allocated, as far as modules had a part in
 * it: the blocks of alloc_traces (Documentation/mm/slub.rst) whose stack has a
 * frame in a module. Shrinking a cache first makes KASAN give back what was
 * freed and is only kept to see who uses it all the same.
 */
static int allocations(void)
{
	static char block[64 * 1024];
	DIR *dir = opendir("/sys/kernel/debug/slab");
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char path[512], line[1024];
		int own = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/sys/kernel/debug/slab/%s/alloc_traces", e->d_name);
		if (access(path, R_OK))
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", e->d_name);
		put(path, "1");
		snprintf(path, sizeof(path), "/sys/kernel/debug/slab/%s/alloc_traces", e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		block[0] = '\0';
		while (fgets(line, sizeof(line), f)) {
			if (line[0] != '\n' && strspn(line, " ") < 8 && strstr(line, " age=")) {
				if (own)
					printf("%s %s", e->d_name, block);
				own = 0;
				block[0] = '\0';
			}
			if (strlen(block) + strlen(line) < sizeof(block))
				strcat(block, line);
			if (in_module(line + strspn(line, " ")))
				own = 1;
		}
		if (own)
			printf("%s %s", e->d_name, block);
		fclose(f);
	}
	if (dir)
		closedir(dir);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 3 && !strcmp(argv[1], "insmod"))
		return insmod(argv[2], argc > 3 ? argv[3] : "");
	if (argc == 3 && !strcmp(argv[1], "rmmod"))
		return rmmod(argv[2]);
	if (argc >= 3 && !strcmp(argv[1], "traces")) {
		traces(argv + 2);
		return 0;
	}
	if (argc >= 3 && !strcmp(argv[1], "tidy")) {
		int err = rmmod(argv[2]);

		traces(argv + 3);
		return err;
	}
	if (argc == 2 && !strcmp(argv[1], "allocations"))
		return allocations();
	if (argc == 8 && !strcmp(argv[1], "rounds"))
		return rounds(argv[2], argv[3], atol(argv[4]), argv[5], argv[6], argv[7]);
	if (argc == 5 && !strcmp(argv[1], "await"))
		return await(argv[2], argv[3], argv[4]);
	fprintf(stderr, "usage: tool insmod|rmmod|traces|tidy|rounds|allocations|await ...\n");
	return 2;
}
