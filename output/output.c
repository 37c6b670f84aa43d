#include "output/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "output/catalog.h"
#include "output/file.h"
#include "output/listing.h"
#include "output/log.h"
#include "output/pprof.h"
#include "output/symbols.h"

/* By stack, threads at one place are one entry, whatever they are called. */
static void drop_names(struct profile *p)
{
	for (uint32_t i = 0; i < p->samples_n; i++) {
		struct profile_sample *sample = &p->samples[i];
		uint32_t n = 0;

		for (uint32_t l = 0; l < sample->labels_n; l++)
			if (strcmp(sample->labels[l].key, "thread") != 0)
				sample->labels[n++] = sample->labels[l];
		sample->labels_n = n;
	}
	profile_merge_samples(p);
}

/* The most memory the process has had, when that is this one. */
static uint64_t most_resident(const struct segment *s)
{
	struct rusage usage;

	return s->header->pid == getpid() && getrusage(RUSAGE_SELF, &usage) == 0
		       ? (uint64_t)usage.ru_maxrss * 1024
		       : 0;
}

static int write_heap_text(const struct segment *s, const struct profile_ops *ops,
			   struct symbols *symbols, int fd, const char *target, struct why *why)
{
	struct profile profile;
	int r = reading_sampled(s, ops, symbols, &profile, why);

	if (r < 0)
		return r;
	r = listing_heap(&profile, most_resident(s), fd);
	if (r < 0)
		why_set(why, "cannot write %s: %s", target, strerror(-r));
	profile_fini(&profile);
	return r;
}

/*
 * debug=2 is for the profile that has threads to show one by one. There is no text of what is in use less what was: @window
 * is not for blocks.
 */
static int write_text(const struct segment *s, const struct profile_ops *ops,
		      const struct reading_window *window, struct symbols *symbols, int fd,
		      int debug, const char *target, struct why *why)
{
	bool is_by_thread = debug > 1 && ops->run == RUN_THREADS;
	struct reading_thread *threads = NULL;
	struct profile profile;
	int r;

	if (ops->is_by_size)
		return write_heap_text(s, ops, symbols, fd, target, why);
	r = is_by_thread ? reading_threads(s, ops, symbols, &profile, &threads, why)
			 : reading_profile(s, ops, window, symbols, &profile, NULL, why);
	if (r < 0)
		return r;
	if (ops->is_instant && !is_by_thread)
		drop_names(&profile);
	r = profile_error(&profile);
	if (r == 0 && is_by_thread)
		r = listing_threads(&profile, threads, fd);
	else if (r == 0 && (ops->run == RUN_BLOCK || ops->run == RUN_MUTEX))
		r = listing_contention(&profile, ops->run == RUN_MUTEX, reading_every(s, ops),
				       debug > 1, fd);
	else if (r == 0)
		r = listing_stacks(&profile, ops->name, fd);
	if (r < 0)
		why_set(why, "cannot write %s: %s", target, strerror(-r));
	free(threads);
	profile_fini(&profile);
	return r;
}

int output_write(const struct segment *s, const struct profile_ops *ops,
		 const struct reading_window *window, struct symbols *symbols, int fd, int debug,
		 const char *target, struct why *why)
{
	struct profile profile;
	int r;

	if (debug != 0)
		return write_text(s, ops, window, symbols, fd, debug, target, why);
	r = reading_profile(s, ops, window, symbols, &profile, NULL, why);
	if (r < 0)
		return r;
	r = pprof_write(&profile, fd);
	if (r < 0)
		why_set(why, "cannot write %s: %s", target, strerror(-r));
	profile_fini(&profile);
	return r;
}

/* @between: what stands behind the profile's name in the file's. */
static int write_file(const struct segment *s, const struct profile_ops *ops,
		      struct symbols *symbols, int directory, const char *shown,
		      const char *between, int debug, struct why *why)
{
	struct file file;
	char name[80], target[4096 + 80];
	int r;

	snprintf(name, sizeof(name), "%s%s%s", ops->name, between, debug != 0 ? ".txt" : ".pb.gz");
	snprintf(target, sizeof(target), "%s/%s", shown, name);
	r = file_create(&file, directory, shown, name, why);
	if (r < 0)
		return r;
	r = output_write(s, ops, NULL, symbols, file.fd, debug, target, why);
	if (r < 0) {
		file_abandon(&file);
		return r;
	}
	return file_commit(&file, why);
}

static int write_both(const struct segment *s, const struct profile_ops *ops,
		      struct symbols *symbols, int directory, const char *shown,
		      const char *between, struct why *why)
{
	int r;

	if (ops->is_log || !reading_is_there(s, ops))
		return 0;
	r = write_file(s, ops, symbols, directory, shown, between, 0, why);
	if (r == 0 && ops->is_instant)
		r = write_file(s, ops, symbols, directory, shown, between, OUTPUT_DEBUG_MAX, why);
	return r;
}

static int list_profiles(const struct profile_ops *const *profiles, struct catalog **ret,
			 struct why *why)
{
	*ret = catalog_create(profiles);
	if (*ret != NULL)
		return 0;
	why_set(why, "out of memory");
	return -ENOMEM;
}

int output_write_files(const struct segment *s, const struct profile_ops *const *profiles,
		       struct symbols *symbols, const char *directory, const char *below,
		       struct why *why)
{
	char shown[4096];
	struct catalog *catalog;
	int fd = file_open_directory(directory, why), r;

	snprintf(shown, sizeof(shown), "%s%s%s", directory, below ? "/" : "", below ? below : "");
	if (fd >= 0 && below != NULL) {
		int above = fd;

		fd = file_open_below(above, below, why);
		close(above);
	}
	if (fd < 0)
		return fd;
	r = list_profiles(profiles, &catalog, why);
	profiles = r == 0 ? catalog_list(catalog, s) : NULL;
	for (; r == 0 && *profiles != NULL; profiles++)
		if (!(*profiles)->is_view)
			r = write_both(s, *profiles, symbols, fd, shown, "", why);
	catalog_destroy(catalog);
	close(fd);
	return r;
}

int output_write_snapshot(const struct segment *s, const struct profile_ops *const *profiles,
			  struct symbols *symbols, const char *directory, unsigned number,
			  struct why *why)
{
	char between[16];
	struct catalog *catalog;
	int fd = file_open_directory(directory, why), r;

	if (fd < 0)
		return fd;
	snprintf(between, sizeof(between), ".%u", number);
	r = list_profiles(profiles, &catalog, why);
	profiles = r == 0 ? catalog_list(catalog, s) : NULL;
	for (; r == 0 && *profiles != NULL; profiles++)
		if ((*profiles)->is_instant)
			r = write_both(s, *profiles, symbols, fd, directory, between, why);
	catalog_destroy(catalog);
	close(fd);
	return r;
}

/* For hosts, which have no symbols of their own. Without any the profile has addresses, which is better than none. */
static int write_profile(const struct segment *s, const struct profile_ops *ops,
			 const struct reading_window *window, int fd, int debug, struct why *why)
{
	struct symbols *symbols = NULL;
	int r;

	symbols_create(&symbols);
	r = output_write(s, ops, window, symbols, fd, debug, "the profile", why);
	symbols_destroy(symbols);
	return r;
}

static int write_files(const struct segment *s, const struct profile_ops *const *profiles,
		       const char *directory, struct why *why)
{
	struct symbols *symbols = NULL;
	int r;

	symbols_create(&symbols);
	r = output_write_files(s, profiles, symbols, directory, NULL, why);
	if (r == 0)
		r = log_write_file(s, directory, why);
	symbols_destroy(symbols);
	return r;
}

__attribute__((visibility("default"))) const struct output_functions cprof_output_functions = {
	.abi = OUTPUT_ABI,
	.write = write_profile,
	.write_files = write_files,
	.write_trace = log_write,
	.window_begin = reading_window_begin,
	.window_end = reading_window_end,
	.window_serial = reading_window_serial,
};
