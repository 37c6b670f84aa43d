/*
 * A library to preload that counts system calls by number, as tracer/syscalls sees them.
 */
#include "tests/programs/syscalls_seen.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/arch.h"
#include "tests/programs/syscalls_probe.h"
#include "tracer/syscalls/sites.h"

struct seen *seen_table;

/* Of this thread's processor: whoever else runs does not matter. */
static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void note_counts(void)
{
	struct sites_counts counts;

	sites_count(&counts);
	seen_table->files = counts.files;
	seen_table->found = counts.found;
	seen_table->in_place = counts.in_place;
	seen_table->in_stub = counts.in_stub;
	seen_table->by_dispatch = counts.by_dispatch;
	for (int i = 0; i < SITES_LEFT_REASONS; i++)
		seen_table->left_out[i] = counts.left[i];
}

/* For programs that want to stop it, or to know. */
__attribute__((visibility("default"))) int seen_stop(void);
int seen_stop(void)
{
	int r = sites_stop();

	seen_table->stops++;
	return r;
}

__attribute__((visibility("default"))) int seen_start(void);
int seen_start(void)
{
	const struct syscall_probe timed = {seen_enter_timed, seen_leave_timed};
	const struct syscall_probe counted = {seen_enter, seen_leave};
	bool is_full = getenv("SYSCALLS_FULL") != NULL;
	struct why why = {""};
	uint64_t begun = now_ns();
	int r = sites_start(getenv("SYSCALLS_TIMED") != NULL ? &timed : &counted,
			    is_full ? SITES_FULL : SITES_PATCHED, &why);

	seen_table->start_ns = now_ns() - begun;
	if (r < 0) {
		seen_table->starts_failed++;
		if (getenv("SYSCALLS_SAY") != NULL)
			fprintf(stderr, "%s\n", why.text);
		return r;
	}
	seen_table->starts++;
	note_counts();
	return 0;
}

__attribute__((visibility("default"))) void seen_note(void);
void seen_note(void)
{
	note_counts();
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("SYSCALLS_SEEN");
	int fd;

	if (path == NULL)
		return;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*seen_table)) < 0)
		return;
	seen_table = mmap(NULL, sizeof(*seen_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (seen_table == MAP_FAILED)
		return;
	if (getenv("SYSCALLS_LATER") == NULL)
		seen_start();
	raw_syscall(157, SEEN_MARKER, 0, 0, 0, 0, 0);
}
