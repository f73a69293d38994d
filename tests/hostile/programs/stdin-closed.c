/* Why: take no input, so that whoever writes it fails or waits. */
/* Earns: 0 */
#include <unistd.h>

int main(void)
{
	close(STDIN_FILENO);
	sleep(1000);
	return 0;
}
