#include "cli/latecomers.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/session.h"

#define CHUNK     65536
#define YOUNG_SEC 1 /* what has not come by then cannot: it is static, or has dropped LD_PRELOAD */

static int open_of(pid_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static bool is_young(pid_t pid)
{
	char text[1024];
	const char *at;
	unsigned long long begun_ticks = 0;
	struct timespec now;
	int fd = open_of(pid, "stat");
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	at = strrchr(text, ')'); /* behind the name, which may hold anything */
	/* the 22nd word; behind the name there is the third */
	if (at == NULL ||
	    sscanf(at + 1,
		   " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		   "%*s %llu",
		   &begun_ticks) != 1)
		return false;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return begun_ticks / (unsigned long long)sysconf(_SC_CLK_TCK) + YOUNG_SEC >=
	       (unsigned long long)now.tv_sec;
}

/* A process without an environment is just changing its image; the kernel's own and the ended have no image either. */
static bool has_image(pid_t pid)
{
	char path[64], target[8];

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	return readlink(path, target, sizeof(target)) > 0;
}

static bool is_of_session(pid_t pid, const char *session)
{
	static char buffer[CHUNK + 256];
	char wanted[192];
	size_t length, have = 0, all = 0;
	ssize_t n;
	bool found = false;
	int fd = open_of(pid, "environ");

	if (fd < 0)
		return false;
	/* with the ends of the words before and behind it */
	length = (size_t)snprintf(wanted, sizeof(wanted), "%c" SESSION_VARIABLE "=%s", '\0',
				  session) +
		 1;
	buffer[have++] = '\0';
	while (!found && length <= sizeof(wanted) && (n = read(fd, buffer + have, CHUNK)) > 0) {
		have += (size_t)n;
		all += (size_t)n;
		found = memmem(buffer, have, wanted, length) != NULL;
		if (have > length) {
			memmove(buffer, buffer + have - length, length);
			have = length;
		}
	}
	close(fd);
	return found || (all == 0 && has_image(pid));
}

bool latecomers_are_there(const char *session, pid_t first, bool (*is_known)(pid_t pid, void *user),
			  void *user)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	bool found = false;

	while (!found && dir != NULL && (entry = readdir(dir)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		found = pid > first && !is_known(pid, user) && is_of_session(pid, session) &&
			is_young(pid);
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}
