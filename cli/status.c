#include "cli/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/session.h"
#include "output/catalog.h"
#include "output/reading.h"

/* As one would write it behind its name. */
static void write_value(FILE *f, const struct segment_run *run, enum segment_run_id id)
{
	uint64_t period = atomic_load_explicit(&run->period, memory_order_relaxed);
	uint64_t setting = atomic_load_explicit(&run->setting, memory_order_relaxed);

	if ((id == RUN_CPU || id == RUN_WALL) && period != 0)
		fprintf(f, "=%" PRIu64, (UINT64_C(1000000000) + period / 2) / period);
	else if (id == RUN_HEAP)
		fprintf(f, "=%" PRIu64, period);
	else if (id == RUN_BLOCK && (setting & SETTING_IS_RATE))
		fprintf(f, "=rate:%" PRIu64, setting & ~SETTING_IS_RATE);
	else if (id == RUN_BLOCK)
		fprintf(f, "=%" PRIu64 "ns", setting);
	else if (id == RUN_MUTEX)
		fprintf(f, "=%" PRIu64, setting);
}

static void write_left_off(FILE *f, const struct segment *s, const struct segment_run *run)
{
	uint64_t id = atomic_load_explicit(&run->left_off, memory_order_acquire);
	char text[SESSION_TEXT_MAX + 1];

	if (id == 0)
		return;
	segment_copy_text(s, (uint32_t)id, text, sizeof(text));
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?'; /* it is another process's text */
	fprintf(f, "   %s", text);
}

static void write_profile(FILE *f, const struct segment *s, const struct profile_ops *ops)
{
	const struct segment_run *run = profile_run(s, ops);
	bool has_run = atomic_load_explicit(&run->period, memory_order_relaxed) != 0;
	bool is_on = profile_is_custom(ops) ||
		     atomic_load_explicit(&s->header->running, memory_order_relaxed) & ops->bit;
	struct reading_counts counts = {0};

	fprintf(f, "%-4s %s", is_on ? "on" : "off", ops->name);
	if (has_run)
		write_value(f, run, ops->run);
	if (has_run && !ops->is_log && reading_is_there(s, ops)) {
		reading_count(s, ops, &counts);
		fprintf(f, "   %" PRIu64 " samples, %" PRIu64 " lost", counts.samples, counts.lost);
	}
	if (!is_on)
		write_left_off(f, s, run);
	fputc('\n', f);
}

int status_write(const struct segment *s, const struct profile_ops *const *profiles, pid_t pid)
{
	int fd = memfd_create("cprof", MFD_CLOEXEC), copy = fd < 0 ? -1 : dup(fd), r;
	FILE *f = copy < 0 ? NULL : fdopen(copy, "w");
	struct catalog *catalog;

	if (f == NULL) {
		r = -errno;
		if (copy >= 0)
			close(copy);
		if (fd >= 0)
			close(fd);
		return r;
	}
	fprintf(f, "process %d%s\n", (int)pid,
		atomic_load_explicit(&s->header->is_obeying, memory_order_relaxed)
			? ""
			: ": nothing can be changed from outside");
	catalog = catalog_create(profiles);
	for (const struct profile_ops *const *p = catalog != NULL ? catalog_list(catalog, s)
								  : profiles;
	     *p != NULL; p++)
		if (!(*p)->is_view)
			write_profile(f, s, *p);
	catalog_destroy(catalog);
	if (fclose(f) != 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}
