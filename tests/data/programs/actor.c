/* actor.c - a program that does what its first argument says, for tests of the kit. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t signals;

static void count(int sig)
{
	(void)sig;
	signals++;
}

static void who(void)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");
	struct rlimit limit;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "Uid:", 4) || !strncmp(line, "Gid:", 4) ||
		    !strncmp(line, "Groups:", 7) || !strncmp(line, "Cap", 3) ||
		    !strncmp(line, "NoNewPrivs:", 11) || !strncmp(line, "SigBlk:", 7) ||
		    !strncmp(line, "SigIgn:", 7))
			fputs(line, stdout);
	getrlimit(RLIMIT_NOFILE, &limit);
	printf("files %ld\n", (long)limit.rlim_cur);
	getrlimit(RLIMIT_NPROC, &limit);
	printf("processes %ld\n", (long)limit.rlim_cur);
	printf("in %s, session %d\n", getcwd(line, sizeof(line)), getsid(0) == getpid());
}

int main(int argc, char **argv)
{
	const char *does = argc > 1 ? argv[1] : "";
	char line[256];

	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	if (!strcmp(does, "who"))
		who();
	if (!strcmp(does, "echo"))
		while (fgets(line, sizeof(line), stdin))
			printf("> %s", line);
	if (!strcmp(does, "count")) {
		long all = 0;

		while (!feof(stdin))
			all += fread(line, 1, sizeof(line), stdin);
		printf("%ld bytes\n", all);
	}
#ifdef __x86_64__
	if (!strcmp(does, "foreign")) {		/* getpid() by the 32-bit table, which has it at 20 */
		long result;

		__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory");
		puts("done");
	}
#endif
	if (!strcmp(does, "bits"))
		while (write(STDOUT_FILENO, ".", 1) == 1)
			usleep(50);
	if (!strcmp(does, "say"))
		for (int i = 2; i < argc; i++)
			puts(argv[i]);
	if (!strcmp(does, "later")) {
		sleep(2);
		puts("later");
	}
	if (!strcmp(does, "unfinished"))
		fputs("no end", stdout);
	if (!strcmp(does, "complain")) {
		fputs("that is wrong\n", stderr);
		return 7;
	}
	if (!strcmp(does, "env"))
		printf("%s %s\n", getenv("WHO") ? getenv("WHO") : "-", getenv("HOME"));
	if (!strcmp(does, "signals")) {
		struct sigaction act = { .sa_handler = count };

		sigaction(SIGUSR1, &act, NULL);
		puts("ready");
		while (!signals)
			usleep(10000);
		usleep(100000);
		printf("%d signals\n", (int)signals);
	}
	if (!strcmp(does, "crash"))
		raise(SIGSEGV);
	if (!strcmp(does, "sleep"))
		sleep(1000);
	if (!strcmp(does, "flood"))
		for (;;)
			puts("again and again and again and again and again and again and again");
	if (!strcmp(does, "opens")) {
		int pair[2];

		if (open("/lab", O_RDONLY | O_DIRECTORY) < 0 ||
		    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))
			return 1;
		for (int i = 0; i < 5; i++)
			if (write(pair[0], "x", 1) != 1)
				return 1;
		puts("open");
		if (argc > 2 && fgets(line, sizeof(line), stdin))
			return 0;
	}
	if (!strcmp(does, "children")) {
		for (int i = 0; i < 3; i++)
			if (!fork())
				pause();
		puts("forked");
		pause();
	}
	if (!strcmp(does, "deaf")) {
		close(STDIN_FILENO);
		puts("closed");
		sleep(5);
		puts("still here");
	}
	return 0;
}
