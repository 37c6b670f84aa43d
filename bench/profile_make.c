/*
 * A large profile, always the same: profile_make STACKS TIMES FILE
 *
 * STACKS different stacks of up to 40 frames, most of each as in the one before, in 4,000 functions of 12 libraries; each TIMES times,
 * of as many threads.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "output/pprof.h"

#define FUNCTIONS 4000
#define DEPTH     40
#define LIBRARIES 12

static uint32_t seed = 1;

static uint32_t dice(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)seed * below >> 32);
}

static void add_functions(struct profile *p)
{
	char name[64], file[64];

	for (unsigned i = 0; i < LIBRARIES; i++) {
		struct profile_mapping m = {.start = (i + 1) * 0x10000000u,
					    .limit = (i + 2) * 0x10000000u,
					    .build_id = "",
					    .has_functions = true};

		snprintf(name, sizeof(name), "/usr/lib/module_%u.so", i);
		m.file = profile_string(p, name);
		profile_add_mapping(p, &m);
	}
	for (unsigned i = 0; i < FUNCTIONS; i++) {
		struct profile_function f = {.start_line = 1};
		struct profile_line line = {.line = i % 900 + 1};
		struct profile_location l = {.address = (i % LIBRARIES + 1) * 0x10000000u + i * 64,
					     .mapping = i % LIBRARIES,
					     .lines_n = 1,
					     .lines = &line};

		snprintf(name, sizeof(name), "namespace_%u::function_%u", i % 37, i);
		snprintf(file, sizeof(file), "source/file_%u.cc", i % 311);
		f.name = profile_string(p, name);
		f.system_name = f.name;
		f.file = profile_string(p, file);
		line.function = profile_add_function(p, &f);
		profile_add_location(p, &l);
	}
}

static void add_stacks(struct profile *p, unsigned stacks, unsigned times)
{
	uint32_t way[DEPTH], leaf_first[DEPTH], n = 1;
	char thread[32];

	way[0] = 0;
	for (unsigned i = 0; i < stacks; i++) {
		uint32_t keep = n - 1 -
				(n > 1 ? dice(n < 6          ? n - 1
					      : dice(4) == 0 ? n - 1
							     : 6)
				       : 0);

		for (n = keep < 1 ? 1 : keep; n < DEPTH; n++) {
			way[n] = dice(dice(3) == 0 ? FUNCTIONS : 60);
			if (dice(6) == 0)
				break;
		}
		n = n < DEPTH ? n + 1 : DEPTH;
		for (uint32_t j = 0; j < n; j++)
			leaf_first[j] = way[n - 1 - j];
		for (unsigned j = 0; j < times; j++) {
			int64_t values[2] = {1, 1000000 * (1 + (int64_t)dice(3))};
			struct profile_label label = {.key = "thread", .num_unit = ""};
			struct profile_sample s = {.locations_n = n,
						   .labels_n = 1,
						   .locations = leaf_first,
						   .values = values,
						   .labels = &label};

			snprintf(thread, sizeof(thread), "worker-%u", j);
			label.str = profile_string(p, thread);
			profile_add_sample(p, &s);
		}
	}
}

int main(int argc, char **argv)
{
	int fd = argc == 4 ? open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
	struct profile p;

	if (fd < 0 || profile_init(&p) < 0) {
		fprintf(stderr, "usage: profile_make STACKS TIMES FILE\n");
		return 2;
	}
	profile_add_sample_type(&p, "samples", "count");
	profile_add_sample_type(&p, "cpu", "nanoseconds");
	add_functions(&p);
	add_stacks(&p, (unsigned)atoi(argv[1]), (unsigned)atoi(argv[2]));
	if (pprof_write(&p, fd) < 0 || close(fd) < 0) {
		perror(argv[3]);
		return 1;
	}
	profile_fini(&p);
	return 0;
}
