/* Why: leave files, folders without end and shared memory; fail if there are any. */
/* Earns: 3 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t told;

static void on_term(int sig)
{
	told = sig;
}

int main(int argc, char **argv)
{
	struct sigaction term = { .sa_handler = on_term };
	char name[64];

	sigaction(SIGTERM, &term, NULL);
	if (!access("/tmp/left", F_OK) || !access("/tmp/down", F_OK) || shmget(5, 1, 0) >= 0)
		return 1;
	shmget(5, 4096, IPC_CREAT | 0600);
	close(open("/tmp/left", O_WRONLY | O_CREAT, 0600));
	mkfifo("/run/reports/report.1", 0666);
	(void)!symlink("/proc/kmsg", "/run/reports/report.2");
	for (int i = 0; i < 3000 && !mkdir("down", 0700) && !chdir("down"); i++)
		;
	while (scanf("%63s", name) == 1)
		printf("hello %s%s\n", name, argc > 1 ? argv[1] : "");
	if (!told)
		return 0;
	puts("bye");
	return 3;
}
