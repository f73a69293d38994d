// SPDX-License-Identifier: GPL-2.0
/*
 * agent.c - what the guest runs as process 1: it starts commands for the host.
 *
 * Started from the initramfs it loads the drivers, copies the root file system
 * from /dev/vda into memory and goes on there as /sbin/agent. There it runs
 * /etc/rc, opens the virtio-serial port called "knetlab" and serves frames:
 *
 *     NONCE TYPE ID LENGTH\n  followed by LENGTH bytes
 *
 * host to guest:  hello  "SECONDS\0" + entropy     set clock, nonce, random pool
 *                 spawn  "MS\0NETNS\0FLAGS\0ARGV0\0ARGV1\0..."
 *                        flags: w wait for it, i keep its stdin open
 *                 stdin  bytes (none: end of file)
 *                 wait   let the guest sleep until process ID ends
 *                 more   "MS SENT": or, for at most so long, until it has printed more than
 *                        SENT bytes
 *                 kill   "SIGNAL", to all of its process group
 *                 signal "SIGNAL", to it alone
 *                 put    "MODE\0PATH\0" + bytes
 *                 payload  a tar archive, to be unpacked below /lab
 *                 sync   send the kernel log up to now
 * guest to host:  ready, out, err, exit "exited|signalled|timeout N MS", log, done "ERRNO",
 *                 done "PID" for spawn, more "SENT MS", the ms that it waited
 *
 * Guest time is virtual: an idle guest jumps to its next timer, and a guest that
 * waits for the host (for a command, or for a disk) is idle. So while the host
 * has nothing outstanding the agent spins instead of sleeping, and time stands
 * nearly still; it sleeps only while a process is waited for. For the same
 * reason the root file system lies in memory.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

#define TOOL		"/sbin/tool"	/* a link to this program, too */

#define MAX_PROCS	64
#define MAX_FRAME	(8 * 1024 * 1024)
#define MAX_OUTPUT	(1024 * 1024)	/* bytes of one process's output sent on */
#define MAX_LOG		(256 * 1024)	/* bytes of kernel log sent per answer */
#define REAP_MS		1000		/* a killed process has this long to go */
#define MAX_ARGS	4096
#define MAX_QUEUE	(1024 * 1024)	/* bytes that wait for a process to read them */

struct proc {
	unsigned int id;
	pid_t pid;		/* 0: slot is free */
	int in, out, err;
	long long deadline;	/* guest milliseconds, 0: none */
	long long killed;	/* when the deadline killed it, 0: not */
	long long more, asked;	/* until when its output is waited for, 0: not; since when */
	size_t sent, seen;	/* bytes of output, and how many the host has seen */
	char *queue;		/* what it has not read yet of its standard input */
	size_t queued;
	int closing;		/* and then comes the end */
	int waited;
	int exited, status;
};

static struct proc procs[MAX_PROCS];
static char nonce[33] = "0";
static int port = -1, kmsg = -1;

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void die(const char *what)
{
	fprintf(stderr, "knetlab agent: %s: %s\n", what, strerror(errno));
	sync();
	_exit(1);	/* process 1 ends: the kernel panics and the host sees it */
}

static void write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd pfd = { .fd = fd, .events = POLLOUT };

			poll(&pfd, 1, 100);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die("write to the host");
		p += n;
		len -= n;
	}
}

static void send_frame(const char *type, unsigned int id, const void *data, size_t len)
{
	char head[96];
	int n = snprintf(head, sizeof(head), "%s %s %u %zu\n", nonce, type, id, len);

	write_all(port, head, n);
	if (len)
		write_all(port, data, len);
}

static void send_text(const char *type, unsigned int id, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	send_frame(type, id, text, n);
}

/* Send what the kernel logged since the last time; a flood is cut and said. */
static void send_log(void)
{
	static char batch[MAX_LOG];
	size_t used = 0;
	char record[8192];

	for (;;) {
		ssize_t n = read(kmsg, record, sizeof(record));

		if (n < 0 && errno == EPIPE) {		/* overwritten before we read it */
			send_frame("lost", 0, NULL, 0);
			continue;
		}
		if (n <= 0)
			break;
		if (used + n + 1 > sizeof(batch)) {
			lseek(kmsg, 0, SEEK_END);
			send_frame("lost", 0, NULL, 0);
			break;
		}
		memcpy(batch + used, record, n);
		used += n;
		batch[used++] = '\0';
	}
	if (used)
		send_frame("log", 0, batch, used);
}

static struct proc *find(unsigned int id)
{
	for (int i = 0; i < MAX_PROCS; i++)
		if (procs[i].pid && procs[i].id == id)
			return &procs[i];
	return NULL;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void child(char **argv, const char *netns, int in, int out, int err)
{
	setsid();
	setpriority(PRIO_PROCESS, 0, 0);
	signal(SIGPIPE, SIG_DFL);
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	if (*netns && enter_namespace(netns)) {
		fprintf(stderr, "network namespace %s: %s\n", netns, strerror(errno));
		_exit(126);
	}
	if (!strcmp(argv[0], TOOL)) {
		int argc = 0;

		while (argv[argc])
			argc++;
		exit(tool_main(argc, argv));
	}
	execvp(argv[0], argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* A process could not be started: say why as if it had been, and had failed. */
static void refuse(unsigned int id, int error)
{
	send_text("err", id, "cannot be started: %s\n", strerror(error));
	send_text("exit", id, "exited 126 %lld", now_ms());
	send_text("done", id, "0");	/* no process has this number */
}

/*
 * Unpack a ustar archive below /lab: plain files alone, which nobody can write
 * from then on.
 */
static void payload(unsigned int id, char *data, long long len)
{
	char path[300];

	if (mount(NULL, "/lab", NULL, MS_REMOUNT, NULL))
		die("/lab");
	while (len >= 512 && data[0]) {
		long long size = strtoll(data + 124, NULL, 8);
		long long padded = (size + 511) / 512 * 512;
		int fd;

		len -= 512 + padded;
		if (size < 0 || len < 0) {
			errno = EBADMSG;
			die("the archive for /lab");
		}
		/* behind the name of 100 bytes comes the mode; a prefix stands at 345 */
		snprintf(path, sizeof(path), "/lab/%.155s%s%.100s", data + 345,
			 data[345] ? "/" : "", data);
		for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
			*slash = '\0';
			/* what is the checks' is not for a student's program */
			mkdir(path, strcmp(path, "/lab/checks") ? 0755 : 0700);
			*slash = '/';
		}
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
		if (fd < 0)
			die(path);
		write_all(fd, data + 512, size);
		fchmod(fd, strtol(data + 100, NULL, 8));
		close(fd);
		data += 512 + padded;
	}
	if (mount(NULL, "/lab", NULL, MS_REMOUNT | MS_RDONLY, NULL))
		die("/lab");
	send_text("done", id, "0");
}

static void spawn(unsigned int id, char *data, size_t len)
{
	static char *argv[MAX_ARGS + 1];
	char *ms, *netns, *flags, *s, *end = data + len;
	int in[2] = { -1, -1 }, out[2], err[2], argc = 0;
	struct proc *p = NULL;

	ms = data;
	netns = ms + strlen(ms) + 1;
	flags = netns + strlen(netns) + 1;
	for (s = flags + strlen(flags) + 1; s < end && argc < MAX_ARGS; s += strlen(s) + 1)
		argv[argc++] = s;
	argv[argc] = NULL;
	for (int i = 0; i < MAX_PROCS && !p; i++)
		if (!procs[i].pid)
			p = &procs[i];
	if (!argc || !p || s < end) {
		refuse(id, s < end ? E2BIG : argc ? EAGAIN : EINVAL);
		return;
	}
	memset(p, 0, sizeof(*p));
	p->in = -1;
	if (strchr(flags, 'i')) {
		if (pipe2(in, O_CLOEXEC))
			die("pipe");
	} else {
		in[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		die("pipe");
	p->id = id;
	p->waited = !!strchr(flags, 'w');
	p->deadline = atoll(ms) ? now_ms() + atoll(ms) : 0;
	p->pid = fork();
	if (p->pid < 0) {
		p->pid = 0;
		refuse(id, errno);
	} else if (!p->pid) {
		child(argv, netns, in[0], out[1], err[1]);
	}
	close(in[0]);
	close(out[1]);
	close(err[1]);
	if (!p->pid) {
		close_fd(&in[1]);
		close(out[0]);
		close(err[0]);
		return;
	}
	p->in = in[1];
	p->out = out[0];
	p->err = err[0];
	if (p->in >= 0)
		fcntl(p->in, F_SETFL, O_NONBLOCK);
	fcntl(p->out, F_SETFL, O_NONBLOCK);
	fcntl(p->err, F_SETFL, O_NONBLOCK);
	if (!p->waited)
		send_text("done", id, "%d", p->pid);
}

/* Let a process have what waits for it, as much as its pipe takes; it need not want it. */
static void feed(struct proc *p)
{
	while (p->in >= 0 && p->queued) {
		ssize_t n = write(p->in, p->queue, p->queued);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {	/* nobody reads it any more */
			p->queued = 0;
			close_fd(&p->in);
			return;
		}
		p->queued -= n;
		memmove(p->queue, p->queue + n, p->queued);
	}
	if (p->closing)
		close_fd(&p->in);
}

static void queue(struct proc *p, const char *data, size_t len)
{
	if (!len) {
		p->closing = 1;
	} else if (p->in >= 0 && p->queued + len <= MAX_QUEUE) {
		char *longer = realloc(p->queue, p->queued + len);

		if (!longer)
			die("memory");
		p->queue = longer;
		memcpy(longer + p->queued, data, len);
		p->queued += len;
	}
	feed(p);
}

/* Say that the process has printed something, or that the time for it is over. */
static void answer_more(struct proc *p)
{
	p->more = 0;
	p->waited = 0;
	send_text("more", p->id, "%zu %lld", p->sent, now_ms() - p->asked);
}

/*
 * Send on what a process printed: what its pipe held when we came, and not much
 * more, since one that prints without end must not keep us from its deadline.
 */
static void drain(struct proc *p, int *fd, const char *type)
{
	char buf[16384];
	ssize_t n;

	for (int rounds = 0; *fd >= 0 && rounds < 8; rounds++) {
		n = read(*fd, buf, sizeof(buf));
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			close_fd(fd);
			return;
		}
		if (p->sent < MAX_OUTPUT)
			send_frame(type, p->id, buf, n);
		p->sent += n;
	}
}

static void finish(struct proc *p, const char *how, int value)
{
	drain(p, &p->out, "out");
	drain(p, &p->err, "err");
	close_fd(&p->in);
	close_fd(&p->out);
	close_fd(&p->err);
	free(p->queue);
	p->queue = NULL;
	p->queued = 0;
	send_log();
	send_text("exit", p->id, "%s %d %lld", how, value, now_ms());
	if (p->more)
		answer_more(p);
	p->pid = 0;
}

/* Reap what ended, kill what is late, give up on what cannot be killed. */
static void tend(void)
{
	long long now = now_ms();
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < MAX_PROCS; i++)
			if (procs[i].pid == pid) {
				procs[i].exited = 1;
				procs[i].status = status;
			}
	for (int i = 0; i < MAX_PROCS; i++) {
		struct proc *p = &procs[i];

		if (!p->pid)
			continue;
		drain(p, &p->out, "out");
		drain(p, &p->err, "err");
		feed(p);
		if (p->more && !p->exited && (p->sent > p->seen || now >= p->more))
			answer_more(p);
		if (p->exited && p->killed)
			finish(p, "timeout", 0);
		else if (p->exited && WIFEXITED(p->status))
			finish(p, "exited", WEXITSTATUS(p->status));
		else if (p->exited)
			finish(p, "signalled", WTERMSIG(p->status));
		else if (p->killed && now >= p->killed + REAP_MS)
			finish(p, "timeout", 1);	/* 1: it would not die */
		else if (!p->killed && p->deadline && now >= p->deadline) {
			kill(-p->pid, SIGKILL);
			kill(p->pid, SIGKILL);
			p->killed = now;
		}
	}
}

static void hello(unsigned int id, char *data, size_t len)
{
	struct timespec ts = { .tv_sec = atoll(data) };
	size_t skip = strlen(data) + 1, n = len - skip;
	struct rand_pool_info *pool = calloc(1, sizeof(*pool) + n);
	int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);

	if (fd < 0 || !pool)
		die("/dev/urandom");
	clock_settime(CLOCK_REALTIME, &ts);
	pool->entropy_count = n * 8;
	pool->buf_size = n;
	memcpy(pool->buf, data + skip, n);
	if (ioctl(fd, RNDADDENTROPY, pool) || ioctl(fd, RNDRESEEDCRNG))
		die("RNDADDENTROPY");
	close(fd);
	free(pool);
	send_log();
	send_text("ready", id, "%lld", now_ms());
}

static void put(unsigned int id, char *data, size_t len)
{
	char *path = data + strlen(data) + 1;
	char *body = path + strlen(path) + 1;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, strtol(data, NULL, 8));

	if (fd < 0) {
		send_text("done", id, "%d", errno);
		return;
	}
	fchmod(fd, strtol(data, NULL, 8));
	write_all(fd, body, len - (body - data));
	close(fd);
	send_text("done", id, "0");
}

static void handle(const char *type, unsigned int id, char *data, size_t len)
{
	struct proc *p = find(id);

	if (!strcmp(type, "hello")) {
		hello(id, data, len);
	} else if (!strcmp(type, "spawn")) {
		spawn(id, data, len);
	} else if (!strcmp(type, "payload")) {
		payload(id, data, len);
	} else if (!strcmp(type, "put")) {
		put(id, data, len);
	} else if (!strcmp(type, "sync")) {
		send_log();
		send_text("done", id, "0");
	} else if (p && !strcmp(type, "wait")) {
		p->waited = 1;
		if (atoll(data))
			p->deadline = now_ms() + atoll(data);
	} else if (p && !strcmp(type, "more")) {
		long long ms = 0;

		if (sscanf(data, "%lld %zu", &ms, &p->seen) == 2) {
			p->asked = now_ms();
			p->more = p->asked + ms;
			p->waited = 1;
		}
	} else if (!strcmp(type, "more")) {
		send_text("more", id, "0 0");	/* it has ended */
	} else if (p && !strcmp(type, "signal")) {
		kill(p->pid, atoi(data));
	} else if (p && !strcmp(type, "kill")) {
		kill(-p->pid, atoi(data));
		kill(p->pid, atoi(data));
	} else if (p && !strcmp(type, "stdin")) {
		queue(p, data, len);
	}
}

/* Collect bytes from the port; hand each whole frame on. */
static void receive(void)
{
	static char *buf;
	static size_t used;
	ssize_t n;

	if (!buf)
		buf = malloc(MAX_FRAME + 256);
	if (!buf)
		die("memory");
	n = read(port, buf + used, MAX_FRAME + 255 - used);
	if (n <= 0)
		return;
	used += n;
	for (;;) {
		char *eol = memchr(buf, '\n', used), type[16], key[33];
		size_t len, head, whole;
		unsigned int id;

		if (!eol)
			return;
		head = eol - buf + 1;
		if (sscanf(buf, "%32s %15s %u %zu", key, type, &id, &len) != 4 || len > MAX_FRAME) {
			errno = EBADMSG;
			die("frame from the host");
		}
		whole = head + len;
		if (used < whole)
			return;
		if (!strcmp(type, "hello"))
			strcpy(nonce, key);
		/* a terminating NUL for payloads that are read as strings */
		char saved = buf[whole];

		buf[whole] = '\0';
		handle(type, id, buf + head, len);
		buf[whole] = saved;
		used -= whole;
		memmove(buf, buf + whole, used);
	}
}

static long long sleep_time(void)
{
	static int urgent = -1;
	long long now = now_ms(), wake = -1;
	int waited = 0;

	for (int i = 0; i < MAX_PROCS; i++) {
		struct proc *p = &procs[i];
		long long at;

		if (!p->pid)
			continue;
		waited |= p->waited;
		at = p->killed ? p->killed + REAP_MS : p->deadline;
		if (p->more && (!at || p->more < at))
			at = p->more;
		if (at && (wake < 0 || at < wake))
			wake = at;
	}
	/* its spinning gives way to all else; a deadline must not wait behind others */
	if (waited != urgent)
		setpriority(PRIO_PROCESS, 0, waited ? 0 : 19);
	urgent = waited;
	if (!waited)
		return 0;	/* spin: see the top of this file */
	if (wake < 0)
		return -1;
	return wake > now ? wake - now : 0;
}

static void on_child(int sig)
{
	(void)sig;	/* only there to end poll() */
}

static void serve(void)
{
	sigset_t block, open_mask;

	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, &open_mask);
	signal(SIGCHLD, on_child);
	for (;;) {
		struct pollfd fds[1 + 3 * MAX_PROCS];
		long long ms = sleep_time();
		struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
		int n = 0;

		fds[n++] = (struct pollfd){ .fd = port, .events = POLLIN };
		for (int i = 0; i < MAX_PROCS; i++) {
			if (!procs[i].pid)
				continue;
			if (procs[i].out >= 0)
				fds[n++] = (struct pollfd){ .fd = procs[i].out, .events = POLLIN };
			if (procs[i].err >= 0)
				fds[n++] = (struct pollfd){ .fd = procs[i].err, .events = POLLIN };
			if (procs[i].in >= 0 && procs[i].queued)
				fds[n++] = (struct pollfd){ .fd = procs[i].in, .events = POLLOUT };
		}
		ppoll(fds, n, ms < 0 ? NULL : &ts, &open_mask);
		/* the port hangs up until the host connects: read, do not trust revents */
		receive();
		tend();
	}
}

static int open_port(void)
{
	const char *class = "/sys/class/virtio-ports";
	DIR *dir = opendir(class);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char path[600], name[32] = "";
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s/name", class, e->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (!fgets(name, sizeof(name), f))
			name[0] = '\0';
		fclose(f);
		if (strcmp(name, "knetlab\n"))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", e->d_name);
		closedir(dir);
		return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	if (dir)
		closedir(dir);
	errno = ENOENT;
	return -1;
}

static void mkdir_mount(const char *fs, const char *where, const char *options)
{
	mkdir(where, 0755);
	if (mount(fs, where, fs, 0, options) && errno != EBUSY)
		die(where);
}

/* Keep the guest from being idle, see the top of this file, until killed. */
static pid_t spinner(void)
{
	pid_t pid = fork();

	if (!pid) {
		setpriority(PRIO_PROCESS, 0, 19);
		for (;;)
			;
	}
	return pid;
}

static void must_run(char *const argv[])
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		execv(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		errno = EIO;
		die(argv[1]);
	}
}

/*
 * In the initramfs: drivers, the root file system into memory, and on to it.
 *
 * From there on programs cannot be written, not even by a kernel module that
 * knows their names. Nor can the kernel start them by itself: its threads keep
 * the initramfs as their root, so call_usermodehelper() finds nothing there.
 */
static void stage_one(void)
{
	static const char *const writable[] = { "/run", "/lab", "/root", NULL };
	static char *const copy[] = { "/disk/bin/busybox", "cp", "-a", "/disk/.", "/new/", NULL };
	static char *const setup[] = { "/disk/bin/busybox", "cp", "/setup", "/new/etc/", NULL };
	pid_t spinning;
	FILE *list = fopen("/modules/list", "re");
	char line[256];

	if (unshare(CLONE_FS))
		die("unshare");
	mkdir_mount("devtmpfs", "/dev", NULL);
	while (list && fgets(line, sizeof(line), list)) {
		char path[300];
		int fd;

		line[strcspn(line, "\n")] = '\0';
		snprintf(path, sizeof(path), "/modules/%s", line);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
			die(line);
		close(fd);
	}
	if (list)
		fclose(list);
	mkdir("/disk", 0755);
	mkdir_mount("tmpfs", "/new", NULL);
	spinning = spinner();
	if (mount("/dev/vda", "/disk", "ext4", MS_RDONLY, NULL) &&
	    mount("/dev/vda", "/disk", "ext2", MS_RDONLY, NULL))
		die("mount /dev/vda");
	must_run(copy);
	if (!access("/setup", F_OK))
		must_run(setup);
	kill(spinning, SIGKILL);
	waitpid(spinning, NULL, 0);
	umount("/disk");
	umount("/dev");
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL))
		die("remount the initramfs");
	if (chdir("/new") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		die("switch to the root file system");
	for (const char *const *folder = writable; *folder; folder++)
		mkdir_mount("tmpfs", *folder, "mode=755");
	/* what a student's program writes is its own, and cannot take all memory */
	mkdir_mount("tmpfs", "/tmp", "mode=1777,size=32m");
	mkdir_mount("tmpfs", "/run/reports", "mode=1733,size=2m");
	untouch_reports();
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL))
		die("remount the root file system");
	execl("/sbin/agent", "agent", (char *)NULL);
	die("/sbin/agent");
}

int main(int argc, char **argv)
{
	static char *const rc[] = { "/bin/sh", "/etc/rc", NULL };

	if (argc && strstr(argv[0], "tool"))
		return tool_main(argc, argv);
	if (getpid() != 1) {
		fputs("the agent is the guest's process 1 and nothing else\n", stderr);
		return 2;
	}
	if (!access("/modules/list", F_OK))
		stage_one();
	mkdir_mount("devtmpfs", "/dev", NULL);
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	must_run(rc);
	watch_net();
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0)
		die("/dev/kmsg");
	lseek(kmsg, 0, SEEK_END);
	port = open_port();
	if (port < 0)
		die("virtio-serial port knetlab");
	signal(SIGPIPE, SIG_IGN);
	serve();
}
