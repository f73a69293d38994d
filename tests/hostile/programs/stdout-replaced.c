/* Why: print elsewhere, and leave the answers in a file. */
/* Earns: 0 */
#include <stdio.h>

int main(void)
{
	char name[64];

	if (!freopen("/tmp/answers", "w", stdout))
		return 1;
	while (scanf("%63s", name) == 1)
		printf("hello %s\n", name);
	return 0;
}
