/* Why: print without end. */
/* Earns: 0 */
#include <string.h>
#include <unistd.h>

int main(void)
{
	static char text[65536];

	memset(text, '\n', sizeof(text));
	for (;;)
		if (write(STDOUT_FILENO, text, sizeof(text)) < 0 || write(STDERR_FILENO, text, 4096) < 0)
			return 1;
}
