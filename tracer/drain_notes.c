#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tracer/drain_private.h"

#define CMDLINE_MAX 4096

static void note_file(struct drain *d, const char *key, int pid, const char *name)
{
	char path[64], text[CMDLINE_MAX];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	while (n > 0 && text[n - 1] == '\0')
		n--;
	if (n <= 0)
		return;
	text[n] = '\0';
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	drain_note(d, key, text);
}

void drain_note_process(struct drain *d, int pid)
{
	char text[PATH_MAX], path[64];
	struct utsname name;
	ssize_t n;

	segment_copy_text(d->s, d->s->header->executable, text, sizeof(text));
	drain_note(d, "exe", text);
	note_file(d, "cmdline", pid, "cmdline");
	snprintf(path, sizeof(path), "/proc/%d/cwd", pid);
	n = readlink(path, text, sizeof(text) - 1);
	if (n > 0) {
		text[n] = '\0';
		drain_note(d, "cwd", text);
	}
	if (uname(&name) == 0) {
		drain_note(d, "host", name.nodename);
		snprintf(text, sizeof(text), "%s %s %s %s", name.sysname, name.release,
			 name.version, name.machine);
		drain_note(d, "kernel", text);
	}
	snprintf(text, sizeof(text), "%ld", sysconf(_SC_NPROCESSORS_ONLN));
	drain_note(d, "cpus", text);
	snprintf(text, sizeof(text), "%ld", sysconf(_SC_PAGESIZE));
	drain_note(d, "page_size", text);
}
