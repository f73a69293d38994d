// SPDX-License-Identifier: GPL-2.0
/*
 * tool.c - small things the host asks of the guest, with errno as exit status.
 *
 * It is a part of the agent, which runs it in a child of its own: starting a
 * program costs a debug kernel under emulation three times as much as a fork.
 *
 *     tool insmod FILE [PARAMETERS]      tool rmmod NAME
 *     tool traces FILE...                  print files, each behind a line ==> FILE <==; for net
 *                                          the network, if it is not as at boot, see net.c
 *     tool tidy NAME FILE...               rmmod and traces
 *     tool sleep SECONDS                   tool mknod PATH MAJOR (a character device, minor 0)
 *     tool rounds FILE NAME LAST HOW       insmod and rmmod, again and again. HOW has letters:
 *                                          c  when insmod waits, clients connect to what listens
 *                                          i  when insmod waits, it is interrupted
 *                                          f  in round N the Nth allocation of init fails;
 *                                             the round in which none did is the last
 *                                          Behind each round f, and the last one else, come
 *                                          lines of what is left, see vm/witness
 *     tool watch 1|0                       such lines of what is left now; begin anew, or end
 *     tool put PATH TEXT                   write TEXT to a file
 *     tool ready [NETNS/]LINK...           wait until links are up and carry packets;
 *                                          those of this namespace come first
 *     tool offloads LINK on|off            let it work out checksums and cut packets, or not
 *     tool -n NETNS ...                    do any of these in a network namespace
 *
 *     tool await udp|tcp|connection|any ADDRESS PORT
 *                                          return when there is such a socket: one of UDP, one
 *                                          that listens, one that is connected, any of TCP
 *     tool await netlink UNIT PORT         the same of a netlink socket with this port id
 *     tool meet ADDRESS PORT               connect, and close the connection
 *     tool netlink STEP...                 netlink sockets, see netlink.c
 *     tool program ..., sweep, reports, open PID   a student's program, see program.c
 *
 * PORT 0 stands for any address and port. await prints the table when it is over.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"

#define TCP_ESTABLISHED	1
#define TCP_LISTEN	10
#define PATIENCE_US	5000000	/* what insmod has */
#define MAX_CLIENTS	8
#define POLL_US		20000	/* virtual time: an idle guest jumps over it */

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
		int fd, net = !strcmp(*files, "net");
		size_t len = 0;
		ssize_t n = 0;

		fd = net ? -1 : open(*files, O_RDONLY | O_CLOEXEC);
		while (fd >= 0 && len < sizeof(data) &&
		       (n = read(fd, data + len, sizeof(data) - len)) > 0)
			len += n;
		printf("==> %s <==\n", *files);
		fwrite(data, 1, len, stdout);
		if (fd >= 0)
			close(fd);
		if (net)
			print_net();
	}
}

/* A line of /proc/net/tcp or udp: the local end. */
struct inet_sock_line {
	unsigned int addr, port, state;
};

/* Read up to the next socket; 0 at the end of the file. */
static int next_socket(FILE *f, struct inet_sock_line *s)
{
	char line[512];

	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " %*[0-9]: %x:%x %*[0-9A-F:] %x", &s->addr, &s->port,
			   &s->state) == 3)
			return 1;
	return 0;
}

/* Is a local socket ADDRESS:PORT there, in the given state (0: any)? */
static int present(const char *path, in_addr_t addr, unsigned int port, unsigned int wanted)
{
	struct inet_sock_line s;
	int found = 0;
	FILE *f = fopen(path, "re");

	if (!f)
		exit(fail(path));
	while (next_socket(f, &s)) {
		/* a socket without an address has them all */
		int here = !port || ((s.addr == addr || !s.addr) && s.port == port);

		found |= here && (!wanted || s.state == wanted);
	}
	fclose(f);
	return found;
}

#define NETLINK_TABLE	"/proc/net/netlink"

/* Is a netlink socket of this unit there, with this port id? */
static int present_netlink(unsigned int unit, unsigned int port)
{
	FILE *f = fopen(NETLINK_TABLE, "re");
	unsigned int a_unit, a_port;
	char line[512];
	int found = 0;

	if (!f)
		exit(fail(NETLINK_TABLE));
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%*s %u %u", &a_unit, &a_port) == 2 && a_unit == unit &&
			a_port == port;
	fclose(f);
	return found;
}

static int await(const char *what, const char *address, const char *port)
{
	const char *path = strcmp(what, "udp") ? "/proc/net/tcp" : "/proc/net/udp";
	unsigned int wanted = 0;

	if (!strcmp(what, "netlink")) {
		path = NETLINK_TABLE;
		while (!present_netlink(atoi(address), strtoul(port, NULL, 0)))
			usleep(POLL_US);
	} else {
		if (!strcmp(what, "tcp"))
			wanted = TCP_LISTEN;
		else if (!strcmp(what, "connection"))
			wanted = TCP_ESTABLISHED;
		while (!present(path, inet_addr(address), atoi(port), wanted))
			usleep(POLL_US);
	}
	traces((char *[]){ (char *)path, NULL });
	return 0;
}

#define WITNESS	"/sys/module/witness/parameters/"
#define NTH	WITNESS "nth"
#define WATCH	WITNESS "watch"
#define THREADS	WITNESS "threads"
#define OBJECTS	"/sys/kernel/debug/witness"
#define GRACE_US	50000
#define LONG_GRACE_US	6000000	/* KFREE_DRAIN_JIFFIES of kernel/rcu/tree.c, and some */

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

static void print_file(const char *path)
{
	char line[4096];
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f))
		fputs(line, stdout);
	if (f)
		fclose(f);
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

/*
 * Let a client connect. It resets the connection when it goes, if it goes when
 * the other side has done with it.
 */
static int meet(struct sockaddr_in to, int resets)
{
	struct linger reset = { .l_onoff = resets };
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (!connect(client, (struct sockaddr *)&to, sizeof(to)))
		return client;
	close(client);
	return -1;
}

/* Let a client connect to each socket that listens, for any may be the one; return how many. */
static int meet_all(int *clients)
{
	struct inet_sock_line s;
	int met = 0;
	FILE *f = fopen("/proc/net/tcp", "re");

	while (f && met < MAX_CLIENTS && next_socket(f, &s)) {
		struct sockaddr_in to = {
			.sin_family = AF_INET,
			.sin_port = htons(s.port),
			.sin_addr.s_addr = s.addr,
		};

		if (s.state != TCP_LISTEN)
			continue;
		clients[met] = meet(to, 1);
		met += clients[met] >= 0;
	}
	if (f)
		fclose(f);
	return met;
}

/* Does the process wait for something that a signal may end, as accept does? */
static int waits(pid_t pid)
{
	char path[32], state = '?';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (f && fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = '?';
	if (f)
		fclose(f);
	return state == 'S';
}

/*
 * What a process of load() does: insmod, and nothing of the C library, since it
 * shares our memory. That is why it starts at a third of the price of a fork.
 */
static int only_insmod(void *fd)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_finit_module), "D"(*(int *)fd), "S"(""), "d"(0)
			 : "rcx", "r11", "memory");
	__asm__ volatile("syscall" : : "a"(SYS_exit), "D"(-result));
	return 0;
}

/* Run insmod to its end, and do what HOW says when it waits; return its errno. */
static int load(const char *file, const char *how, int *met)
{
	static char stack[16 * 1024];
	int clients[MAX_CLIENTS], status, waited = 0, fd;
	pid_t pid;

	*met = 0;
	if (!strpbrk(how, "ci"))
		return insmod(file, "");	/* the host's deadline ends it, if need be */
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(file);
	pid = clone(only_insmod, (char *)((unsigned long)(stack + sizeof(stack)) & -16UL),
		    CLONE_VM | SIGCHLD, &fd);
	if (pid < 0)
		exit(fail("clone"));
	while (!waitpid(pid, &status, WNOHANG)) {
		usleep(POLL_US);
		waited += POLL_US;
		if (waited > PATIENCE_US)
			kill(pid, SIGKILL);
		if (*met || !waits(pid))
			continue;
		if (strchr(how, 'i')) {
			kill(pid, SIGINT);
			*met = 1;
		} else {
			*met = meet_all(clients);
		}
	}
	close(fd);
	for (int i = 0; i < *met && strchr(how, 'c'); i++)
		close(clients[i]);
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return waited > PATIENCE_US ? ETIMEDOUT : EINTR;
}

static void print_counts(void)
{
	printf(" tcp=%lu udp=%lu majors=%d threads=%lu\n",
	       number_in("/proc/net/sockstat", " alloc "),
	       number_in("/proc/net/sockstat", "UDP: inuse "),
	       lines_in("/proc/devices"), number_in(THREADS, ""));
	fflush(stdout);
}

/* Print what is left; what is freed by RCU is gone by then, by kfree_rcu() only after seconds. */
static void print_left(void)
{
	usleep(GRACE_US);
	if (lines_in(OBJECTS))
		usleep(LONG_GRACE_US);
	print_file(OBJECTS);
}

static int rounds(const char *file, const char *name, long last, const char *how)
{
	int fails = !!strchr(how, 'f'), done = 0;

	printf("round 0 insmod=0 rmmod=0 left=0 met=0");
	print_counts();
	put(WATCH, "1");
	for (long n = 1; !done; n++) {
		int loaded, met, removed = 0;
		unsigned long left = 0;

		if (fails)
			arm(n);
		loaded = load(file, how, &met);
		if (fails)
			left = number_in(NTH, "");
		if (!loaded)
			removed = rmmod(name);
		done = n == last || removed || loaded == ETIMEDOUT || (fails && left);
		printf("round %ld insmod=%d rmmod=%d left=%lu met=%d", n, loaded, removed, left,
		       !!met);
		if (!fails && !done) {
			printf("\n");
			fflush(stdout);	/* the host waits for a round at a time */
			continue;
		}
		print_counts();
		print_left();
		if (fails)
			put(WATCH, "1");	/* begin anew */
	}
	put(WATCH, "0");
	return 0;
}

static int ready(char **links)
{
	for (; *links; links++) {
		char *slash = strchr(*links, '/');

		if (slash)
			*slash = '\0';
		if ((slash && enter_namespace(*links)) || link_ready(slash ? slash + 1 : *links))
			return fail(*links);
	}
	return 0;
}

int tool_main(int argc, char **argv)
{
	if (argc > 3 && !strcmp(argv[1], "-n")) {
		if (enter_namespace(argv[2]))
			return fail(argv[2]);
		argc -= 2;
		argv += 2;
	}
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
	if (argc == 3 && !strcmp(argv[1], "watch")) {
		print_left();
		put(WATCH, argv[2]);
		return 0;
	}
	if (argc == 4 && !strcmp(argv[1], "put")) {
		put(argv[2], argv[3]);
		return 0;
	}
	if (argc >= 3 && !strcmp(argv[1], "ready"))
		return ready(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "offloads"))
		return set_offloads(argv[2], !strcmp(argv[3], "on")) ? fail(argv[2]) : 0;
	if (argc >= 5 && !strcmp(argv[1], "program"))
		return run_program(argv + 2);
	if (argc == 2 && !strcmp(argv[1], "sweep"))
		return sweep();
	if (argc == 2 && !strcmp(argv[1], "reports")) {
		print_reports();
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "open"))
		return print_open(argv[2]);
	if (argc == 6 && !strcmp(argv[1], "rounds"))
		return rounds(argv[2], argv[3], atol(argv[4]), argv[5]);
	if (argc == 3 && !strcmp(argv[1], "sleep")) {
		sleep(atoi(argv[2]));
		return 0;
	}
	if (argc == 4 && !strcmp(argv[1], "mknod")) {
		if (mknod(argv[2], S_IFCHR | 0600, makedev(atoi(argv[3]), 0)) && errno != EEXIST)
			return fail(argv[2]);
		return 0;
	}
	if (argc == 4 && !strcmp(argv[1], "meet"))
		return meet((struct sockaddr_in){
				    .sin_family = AF_INET,
				    .sin_port = htons(atoi(argv[3])),
				    .sin_addr.s_addr = inet_addr(argv[2]),
			    }, 0) < 0 ? fail("connect") : 0;
	if (argc >= 3 && !strcmp(argv[1], "netlink"))
		return netlink_main(argc - 2, argv + 2);
	if (argc == 5 && !strcmp(argv[1], "await"))
		return await(argv[2], argv[3], argv[4]);
	fprintf(stderr, "usage: insmod|rmmod|traces|... ARGUMENTS, see tool.c\n");
	return 2;
}
