/* Why: open all files and sockets that the kernel has room for. */
/* Earns: 0 */
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	for (int i = 0; i < 6; i++)
		fork();
	for (;;) {
		int pair[2];

		if (!socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
			continue;
		if (!pipe(pair))
			continue;
		pause();
	}
}
