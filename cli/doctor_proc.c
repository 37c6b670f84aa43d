#include "cli/doctor_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

ssize_t proc_read(const char *path, char *ret, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t n = fd < 0 ? -errno : read(fd, ret, size - 1);

	if (fd >= 0 && n < 0)
		n = -errno;
	if (fd >= 0)
		close(fd);
	ret[n > 0 ? n : 0] = '\0';
	if (n > 0 && ret[n - 1] == '\n')
		ret[--n] = '\0';
	return n;
}

bool proc_status(pid_t pid, const char *key, char *ret, size_t size)
{
	char path[48], text[8192], wanted[40];
	const char *at;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	snprintf(wanted, sizeof(wanted), "\n%s:", key);
	if (proc_read(path, text, sizeof(text)) <= 0 || (at = strstr(text, wanted)) == NULL)
		return false;
	at += strlen(wanted);
	at += strspn(at, " \t");
	snprintf(ret, size, "%.*s", (int)strcspn(at, "\n"), at);
	return true;
}
