/* Why: make processes until nothing else can run. */
/* Earns: 0 */
#include <unistd.h>

int main(void)
{
	for (;;)
		fork();
}
