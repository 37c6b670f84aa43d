#include "output/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "output/file.h"
#include "output/pprof.h"
#include "output/symbols.h"

static int write_profile(const struct segment *s, const struct profile_ops *ops,
			 const struct reading_window *window, int fd, struct why *why)
{
	struct symbols *symbols = NULL;
	struct profile profile;
	int r;

	symbols_create(
		&symbols); /* without it the profile has addresses, which is better than none */
	r = reading_profile(s, ops, window, symbols, &profile, NULL, why);
	if (r == 0) {
		r = pprof_write(&profile, fd);
		if (r < 0)
			why_set(why, "%s: cannot write the profile: %s", ops->name, strerror(-r));
		profile_fini(&profile);
	}
	symbols_destroy(symbols);
	return r;
}

static int write_file(const struct segment *s, const struct profile_ops *ops, const char *dir,
		      struct why *why)
{
	struct file file;
	char name[64];
	int r;

	snprintf(name, sizeof(name), "%s.pb.gz", ops->name);
	r = file_create(&file, dir, name, why);
	if (r < 0)
		return r;
	r = write_profile(s, ops, NULL, file.fd, why);
	if (r < 0) {
		file_abandon(&file);
		return r;
	}
	return file_commit(&file, why);
}

static int write_files(const struct segment *s, const struct profile_ops *const *profiles,
		       const char *dir, struct why *why)
{
	int r = file_make_directory(dir, why);

	for (; r == 0 && *profiles != NULL; profiles++) {
		r = write_file(s, *profiles, dir, why);
		if (r == -EAGAIN)
			r = 0; /* it never ran: no file */
	}
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
