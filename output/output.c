#include "output/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "output/file.h"
#include "output/pprof.h"
#include "output/symbols.h"

/* The profile, symbolized, to @fd, which errors call @target. */
static int write_to(const struct segment *s, const struct profile_ops *ops,
		    const struct reading_window *window, struct symbols *symbols, int fd,
		    const char *target, struct why *why)
{
	struct profile profile;
	int r = reading_profile(s, ops, window, symbols, &profile, NULL, why);

	if (r < 0)
		return r;
	r = pprof_write(&profile, fd);
	if (r < 0)
		why_set(why, "cannot write %s: %s", target, strerror(-r));
	profile_fini(&profile);
	return r;
}

static int write_file(const struct segment *s, const struct profile_ops *ops,
		      struct symbols *symbols, int directory, const char *shown, struct why *why)
{
	struct file file;
	char name[64], target[4096 + 64];
	int r;

	snprintf(name, sizeof(name), "%s.pb.gz", ops->name);
	snprintf(target, sizeof(target), "%s/%s", shown, name);
	r = file_create(&file, directory, shown, name, why);
	if (r < 0)
		return r;
	r = write_to(s, ops, NULL, symbols, file.fd, target, why);
	if (r < 0) {
		file_abandon(&file);
		return r;
	}
	return file_commit(&file, why);
}

int output_write_files(const struct segment *s, const struct profile_ops *const *profiles,
		       struct symbols *symbols, const char *directory, const char *below,
		       struct why *why)
{
	char shown[4096];
	int fd = file_open_directory(directory, why), r = 0;

	snprintf(shown, sizeof(shown), "%s%s%s", directory, below ? "/" : "", below ? below : "");
	if (fd >= 0 && below != NULL) {
		int above = fd;

		fd = file_open_below(above, below, why);
		close(above);
	}
	if (fd < 0)
		return fd;
	for (; r == 0 && *profiles != NULL; profiles++) {
		r = write_file(s, *profiles, symbols, fd, shown, why);
		if (r == -EAGAIN)
			r = 0; /* it never ran: no file */
	}
	close(fd);
	return r;
}

/* For hosts, which have no symbols of their own. Without any the profile has addresses, which is better than none. */
static int write_profile(const struct segment *s, const struct profile_ops *ops,
			 const struct reading_window *window, int fd, struct why *why)
{
	struct symbols *symbols = NULL;
	int r;

	symbols_create(&symbols);
	r = write_to(s, ops, window, symbols, fd, "the profile", why);
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
	symbols_destroy(symbols);
	return r;
}

__attribute__((visibility("default"))) const struct output_functions cprof_output_functions = {
	.abi = OUTPUT_ABI,
	.write = write_profile,
	.write_files = write_files,
	.window_begin = reading_window_begin,
	.window_end = reading_window_end,
	.window_serial = reading_window_serial,
};
