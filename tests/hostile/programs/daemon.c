/* Why: stay behind, in a session of its own, and kill what later checks start. */
/* Earns: 3 */
#include <signal.h>
#include <stdio.h>
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
	if (!fork()) {
		setsid();
		if (fork())
			_exit(0);
		close(0);
		close(1);
		close(2);
		sleep(3);
		for (;;)
			kill(-1, SIGKILL);
	}
	while (scanf("%63s", name) == 1)
		printf("hello %s%s\n", name, argc > 1 ? argv[1] : "");
	if (!told)
		return 0;
	puts("bye");
	return 3;
}
