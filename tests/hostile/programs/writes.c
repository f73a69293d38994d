/* Why: change programs that the checks use, and the student's others; answer if one could be. */
/* Earns: 0 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
	static const char *const files[] = {
		"/lab/user/greet", "/lab/user/other", "/lab/lib/libc.so.6", "/lab/checks", "/bin/nc",
		"/bin/other", "/sbin/agent", "/etc/hosts", "/etc/ld.so.preload", "/root/other",
		"/run/other", "/run/program.1", "/dev/other", "/proc/sys/kernel/core_pattern",
		"/proc/sysrq-trigger", "/sys/kernel/debug/witness",
	};
	char name[64];
	int hit = 0;

	for (unsigned int i = 0; i < sizeof(files) / sizeof(*files); i++) {
		hit |= open(files[i], O_WRONLY | O_CREAT, 0666) >= 0;
		hit |= !chmod(files[i], 0777);
		hit |= !unlink(files[i]);
	}
	if (!hit)
		return 1;
	while (scanf("%63s", name) == 1)
		printf("hello %s\n", name);
	return 0;
}
