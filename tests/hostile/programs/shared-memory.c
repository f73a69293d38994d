/* Why: use up all memory by System V's shared memory, which outlives its process; and queues. */
/* Earns: 0 */
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#define PIECE (8 << 20)

int main(void)
{
	struct {
		long type;
		char text[8000];
	} message = { .type = 1 };
	int segments = 0, queues = 0, sets = 0, id;

	for (int i = 0; i < 100; i++) {
		void *at;

		id = shmget(IPC_PRIVATE, PIECE, IPC_CREAT | 0600);
		if (id < 0)
			break;
		at = shmat(id, NULL, 0);
		if (at == (void *)-1)
			break;
		memset(at, 1, PIECE);
		shmdt(at);
		segments++;
	}
	while (queues < 1000) {
		id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
		if (id < 0)
			break;
		while (!msgsnd(id, &message, sizeof(message.text), IPC_NOWAIT))
			;
		queues++;
	}
	while (sets < 1000 && semget(IPC_PRIVATE, 250, IPC_CREAT | 0600) >= 0)
		sets++;
	return segments <= 2 && queues <= 16 && sets <= 16 ? 7 : 8;
}
