#include "output/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "output/file.h"
#include "tracer/drain.h"

#define LOG_FILE "trace.out"

static int open_copy(void *user)
{
	int fd = fcntl(*(const int *)user, F_DUPFD_CLOEXEC, 3);

	return fd >= 0 ? fd : -errno;
}

static bool has_traced(const struct segment *s)
{
	/* acquire pairs: trace_start() */
	return atomic_load_explicit(&s->header->runs[RUN_TRACE].setting, memory_order_acquire) != 0;
}

/* Chunks are read and stay as they are: the next time all is there again. */
int log_write(const struct segment *s, int fd, bool is_snapshot, struct why *why)
{
	struct drain_setup setup = {.segment = *s, .open = open_copy, .user = &fd};
	struct drain *d;
	int r;

	if (!has_traced(s))
		return -ENODATA;
	r = drain_create(&d, &setup);
	if (r == 0) {
		drain_note_process(d, s->header->pid);
		r = drain_end(d, is_snapshot ? TRACE_END_SNAPSHOT : TRACE_END_STOPPED, 0);
		drain_destroy(d);
	}
	if (r < 0)
		why_set(why, "cannot write the trace: %s", strerror(-r));
	return r;
}

int log_write_file(const struct segment *s, const char *directory, struct why *why)
{
	int at, r;
	struct file file;

	if (!has_traced(s))
		return 0;
	at = file_open_directory(directory, why);
	if (at < 0)
		return at;
	r = file_create(&file, at, directory, LOG_FILE, why);
	if (r == 0) {
		r = log_write(s, file.fd, false, why);
		if (r == 0)
			r = file_commit(&file, why);
		else
			file_abandon(&file);
	}
	close(at);
	return r;
}
