// SPDX-License-Identifier: GPL-2.0
/*
 * program.c - a student's program in the guest: start it as nobody, watch it, clear up.
 *
 *     tool program HOW CAPABILITY [NAME=VALUE]... /PATH [ARGUMENT]...
 *
 * runs PATH as nobody, in a session of its own, with a bound on all that it could use up.
 * CAPABILITY is the number of the one that it gets, or -1. HOW has letters:
 *     l  its memory is bounded, too (AddressSanitizer reserves terabytes of addresses)
 *     w  its system calls are counted, and what it has open at its end is noted:
 *        /run/program.PID has a line "open FD WHAT" for each, and "call NAME TIMES"
 *
 *     tool sweep
 *
 * ends all processes of nobody's, removes its files from /tmp and /run/reports and its keys, and
 * prints a line for each thing of nobody's that is left.
 *
 *     tool reports
 *
 * prints what sanitizers have written to /run/reports, each file behind a line ==> FILE <==.
 * The line ==> touched <== ends it where anything was made or removed there since the last
 * sweep: a program is nobody as its reports are, and can remove them.
 *
 *     tool open PID
 *
 * prints what a process has open, in such lines.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"

#define NOBODY		65534
#define REPORTS		"/run/reports"
#define NICE		10
#define MOST_CALLS	512
#define POLL_US		20000
#define PATIENCE	100	/* times POLL_US, for killed processes to go */

static int fail(const char *what)
{
	int err = errno;

	fprintf(stderr, "%s: %s\n", what, strerror(err));
	return err;
}

static const struct {
	int number;
	const char *name;
} calls[] = {
#define CALL(name) { SYS_##name, #name }
	CALL(read), CALL(write), CALL(readv), CALL(writev), CALL(pread64), CALL(pwrite64),
	CALL(openat), CALL(close), CALL(lseek), CALL(fstat), CALL(ioctl), CALL(fcntl),
	CALL(dup), CALL(dup3), CALL(pipe2), CALL(splice), CALL(sendfile),
	CALL(socket), CALL(socketpair), CALL(bind), CALL(listen), CALL(accept), CALL(accept4),
	CALL(connect), CALL(getsockname), CALL(getpeername), CALL(setsockopt), CALL(getsockopt),
	CALL(sendto), CALL(recvfrom), CALL(sendmsg), CALL(recvmsg), CALL(sendmmsg), CALL(recvmmsg),
	CALL(shutdown), CALL(ppoll), CALL(pselect6), CALL(epoll_create1), CALL(epoll_ctl),
	CALL(epoll_pwait), CALL(clone), CALL(execve), CALL(wait4), CALL(kill), CALL(exit_group),
	CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(nanosleep), CALL(clock_nanosleep),
	CALL(mmap), CALL(munmap), CALL(brk), CALL(futex), CALL(getrandom),
#ifdef SYS_open		/* of x86's, newer ones do without */
	CALL(open), CALL(poll), CALL(select), CALL(epoll_wait), CALL(dup2), CALL(pipe),
	CALL(fork), CALL(vfork), CALL(stat),
#endif
};

static const char *name_of(int number)
{
	for (unsigned int i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (calls[i].number == number)
			return calls[i].name;
	return NULL;
}

/* Print a line for each descriptor that the process has open. */
static int descriptors(pid_t pid, FILE *f)
{
	char path[64], what[512];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return -1;
	while ((e = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), e->d_name, what, sizeof(what) - 1);

		if (len < 0)
			continue;	/* . and .. */
		what[len] = '\0';
		for (char *at = what; *at; at++)
			if (*at == '\n')
				*at = '?';
		fprintf(f, "open %s %s\n", e->d_name, what);
	}
	closedir(dir);
	return 0;
}

/* Write what the process has open, and how often it did which system call. */
static void note(pid_t pid, const unsigned long *counts)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/run/program.%d", pid);
	f = fopen(path, "we");
	if (!f)
		return;
	descriptors(pid, f);
	for (int i = 0; i < MOST_CALLS; i++) {
		const char *name = name_of(i);

		if (counts[i] && name)
			fprintf(f, "call %s %lu\n", name, counts[i]);
		else if (counts[i])
			fprintf(f, "call %d %lu\n", i, counts[i]);
	}
	fclose(f);
}

static int is_stop(int sig)
{
	return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

/* Follow a process that is seized, and those that it makes, to the end of all. */
static void follow(pid_t pid)
{
	static unsigned long counts[MOST_CALLS];
	unsigned int arch = 0;
	int begun = 0, status;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL)) > 0) {
		int sig = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
		int event = status >> 16, pass = 0;
		struct __ptrace_syscall_info info;

		if (!sig)
			continue;
		if (sig == (SIGTRAP | 0x80)) {
			info.op = PTRACE_SYSCALL_INFO_NONE;
			ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info);
			if (info.op == PTRACE_SYSCALL_INFO_ENTRY && !begun)
				arch = info.arch;
			else if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.arch != arch)
				kill(tid, SIGSYS);	/* its numbers are another table's */
			else if (info.op == PTRACE_SYSCALL_INFO_ENTRY &&
				 info.entry.nr < MOST_CALLS)
				counts[info.entry.nr]++;
		} else if (event == PTRACE_EVENT_EXEC) {
			begun = 1;
		} else if (event == PTRACE_EVENT_EXIT) {
			if (tid == pid)
				note(pid, counts);
		} else if (event == PTRACE_EVENT_STOP) {
			if (is_stop(sig) && !ptrace(PTRACE_LISTEN, tid, 0, 0))
				continue;
		} else if (!event) {
			pass = sig;
		}
		ptrace(PTRACE_SYSCALL, tid, 0, pass);
	}
}

/*
 * Have a process of its own watch the one that calls this. It is process 1's child: the
 * program is to have none that it did not make.
 */
static void watch(void)
{
	pid_t pid = getpid();
	int ready[2], status;
	char byte;
	pid_t between;

	if (pipe2(ready, O_CLOEXEC))
		exit(fail("pipe"));
	between = fork();
	if (!between) {
		int null = open("/dev/null", O_RDWR);

		if (fork())
			_exit(0);
		setsid();
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		if (ptrace(PTRACE_SEIZE, pid, 0,
			   PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT |
			   PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
			   PTRACE_O_EXITKILL))
			_exit(1);
		/* system calls are told of only from the first stop on */
		ptrace(PTRACE_INTERRUPT, pid, 0, 0);
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		close(ready[0]);
		close(ready[1]);
		follow(pid);
		_exit(0);
	}
	close(ready[1]);
	if (between < 0 || waitpid(between, &status, 0) != between || read(ready[0], &byte, 1) != 1)
		exit(fail("watch"));
	close(ready[0]);
}

static void bound(int what, unsigned long most)
{
	struct rlimit limit = { .rlim_cur = most, .rlim_max = most };

	if (setrlimit(what, &limit))
		exit(fail("setrlimit"));
}

static void bound_all(int memory)
{
	if (memory) {
		bound(RLIMIT_AS, 512UL << 20);
		bound(RLIMIT_DATA, 64UL << 20);
	}
	bound(RLIMIT_CORE, 0);
	bound(RLIMIT_FSIZE, 16UL << 20);
	bound(RLIMIT_NOFILE, 256);
	bound(RLIMIT_NPROC, 64);
	bound(RLIMIT_MSGQUEUE, 0);	/* what stays in one when all have ended is not seen */
	bound(RLIMIT_NICE, 0);
	bound(RLIMIT_RTPRIO, 0);
}

/* Become nobody, for good, with *capability* alone (-1: none). */
static void become_nobody(int capability)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
		if (i != capability && prctl(PR_CAPBSET_DROP, i, 0, 0, 0))
			exit(fail("capabilities"));
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setgroups(0, NULL) ||
	    setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
		exit(fail("nobody"));
	if (capability >= 0) {
		unsigned int bit = 1U << (capability % 32);
		struct __user_cap_data_struct *half = &data[capability / 32];

		*half = (struct __user_cap_data_struct){ bit, bit, bit };
	}
	if (syscall(SYS_capset, &head, data))
		exit(fail("capabilities"));
	if (capability >= 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))
		exit(fail("capability"));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		exit(fail("no_new_privs"));
}

/* Be what the kernel ends first when memory is short: not the grader's own. */
static void be_first_to_go(void)
{
	FILE *f = fopen("/proc/self/oom_score_adj", "we");

	if (!f || fputs("1000", f) < 0 || fclose(f))
		exit(fail("oom_score_adj"));
}

int run_program(char **argv)
{
	const char *how = argv[0];
	int capability = atoi(argv[1]);
	sigset_t none;

	close_range(3, ~0U, 0);	/* the agent's, which whoever watches would keep open */
	clearenv();
	setenv("PATH", "/usr/bin:/bin", 1);
	setenv("HOME", "/tmp", 1);
	for (argv += 2; *argv && **argv != '/'; argv++)
		putenv(*argv);
	if (!*argv || chdir("/tmp"))
		exit(fail("program"));
	umask(022);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGCHLD, SIG_DFL);
	personality(ADDR_NO_RANDOMIZE);	/* the same run has the same addresses */
	be_first_to_go();
	setpriority(PRIO_PROCESS, 0, NICE);	/* the agent and the checks' own come first */
	if (strchr(how, 'w'))
		watch();
	bound_all(!!strchr(how, 'l'));
	become_nobody(capability);
	execv(*argv, argv);
	return fail(*argv) == ENOENT ? 127 : 126;
}

static int uid_of(const char *pid)
{
	char path[300];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%s", pid);
	return stat(path, &st) ? -1 : (int)st.st_uid;
}

/* Is a process of nobody's there, one that has not ended? */
static int any_process(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	int found = 0;

	while (dir && !found && (e = readdir(dir))) {
		char path[300], state = 'Z';
		FILE *f;

		if (atoi(e->d_name) <= 0 || uid_of(e->d_name) != NOBODY)
			continue;
		snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
		f = fopen(path, "re");
		if (f) {
			char line[512] = "", *bracket;

			/* a name may have brackets: the state stands behind the last one */
			fgets(line, sizeof(line), f);
			bracket = strrchr(line, ')');
			if (bracket)
				state = bracket[2];
			fclose(f);
		}
		found = state != 'Z' && state != 'X';
	}
	if (dir)
		closedir(dir);
	return found;
}

static int unlink_nobodys(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)type;
	if (at->level && st->st_uid == NOBODY && remove(path))
		printf("file %.200s\n", path);
	return 0;
}

/* Print what of System V's IPC is there: shared memory, queues and semaphores outlive all. */
static void print_ipc(const char *path)
{
	char line[512];
	FILE *f = fopen(path, "re");

	for (int n = 0; f && fgets(line, sizeof(line), f); n++)
		if (n)
			printf("%s %s", path, line);
	if (f)
		fclose(f);
}

/* Have the folder of reports be as old as can be; nobody, whose it is not, can only make it new. */
void untouch_reports(void)
{
	static const struct timespec never[2];

	if (utimensat(AT_FDCWD, REPORTS, never, 0))
		fail(REPORTS);
}

/* Empty the keyrings that a user keeps when all of its processes have ended. */
static void clear_keys(void)
{
	long own = syscall(SYS_keyctl, KEYCTL_GET_PERSISTENT, -1, KEY_SPEC_PROCESS_KEYRING);

	if (own >= 0)
		syscall(SYS_keyctl, KEYCTL_CLEAR, own);
	syscall(SYS_keyctl, KEYCTL_CLEAR, KEY_SPEC_USER_KEYRING);
	syscall(SYS_keyctl, KEYCTL_CLEAR, KEY_SPEC_USER_SESSION_KEYRING);
}

int sweep(void)
{
	int status, left = 1;
	pid_t killer = fork();

	if (!killer) {	/* it cannot kill what is not nobody's, nor is it killed itself */
		if (setresuid(NOBODY, NOBODY, NOBODY))
			_exit(1);
		kill(-1, SIGKILL);
		clear_keys();
		_exit(0);
	}
	if (killer < 0 || waitpid(killer, &status, 0) != killer || status)
		return fail("sweep");
	for (int i = 0; i < PATIENCE && (left = any_process()); i++)
		usleep(POLL_US);
	if (left)
		printf("process\n");
	nftw("/tmp", unlink_nobodys, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	nftw(REPORTS, unlink_nobodys, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	untouch_reports();
	print_ipc("/proc/sysvipc/shm");
	print_ipc("/proc/sysvipc/msg");
	print_ipc("/proc/sysvipc/sem");
	return 0;
}

int print_open(const char *pid)
{
	return descriptors(atoi(pid), stdout) ? fail("/proc") : 0;
}

#define MOST_REPORTS	8

void print_reports(void)
{
	static char text[32 * 1024];
	DIR *dir = opendir(REPORTS);
	struct dirent *e;
	struct stat st;
	int n = 0;

	while (dir && n < MOST_REPORTS && (e = readdir(dir))) {
		/* a program may have put a folder, a link or a pipe there */
		int fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
		ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text));

		if (len > 0) {
			printf("==> %d <==\n", n++);
			fwrite(text, 1, len, stdout);
			printf("\n");
		}
		if (fd >= 0)
			close(fd);
	}
	if (dir)
		closedir(dir);
	if (stat(REPORTS, &st) || st.st_mtim.tv_sec || st.st_mtim.tv_nsec)
		printf("==> touched <==\n");
}
