/* From segments made by hand to profiles and texts, for tests of output/reading and output/listing. */
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output/output.h"
#include "output/pprof.h"
#include "output/reading.h"
#include "tests/unit/segment_make.h"

#define BEGUN_REAL INT64_C(1700000000000000000)
#define BEGUN_MONO UINT64_C(1000000000)
#define SECOND     UINT64_C(1000000000)

/* What profiles/ has, with the parts that reading looks at. */
static const struct profile_ops cpu = {
	.name = "cpu",
	.values = (const struct value_type[]){{"samples", "count"}, {"cpu", "nanoseconds"}, {0}},
	.period = {"cpu", "nanoseconds"},
	.table = SEGMENT_TABLE_CPU,
	.run = RUN_CPU,
};

/* Of a process that began at BEGUN_MONO. */
static inline struct segment reading_make(void)
{
	struct segment s = segment_make(SEGMENT_MIN_BYTES);

	s.header->pid = 100;
	s.header->begun_monotonic_ns = BEGUN_MONO;
	s.header->begun_realtime_ns = (uint64_t)BEGUN_REAL;
	s.header->generations[0].begun_ns = BEGUN_MONO;
	return s;
}

/* A profile that ran for two seconds, from the first one on. */
static inline void run(struct segment *s, enum segment_run_id id, uint64_t period)
{
	s->header->runs[id].period = period;
	s->header->runs[id].begun_ns = BEGUN_MONO + SECOND;
	s->header->runs[id].ended_ns = BEGUN_MONO + 3 * SECOND;
}

/* @m with its path, as the next of the process's files; its number. */
static inline uint32_t put_module(struct segment *s, const char *path, struct segment_module m)
{
	uint32_t index = s->header->modules_high;

	m.path = segment_string(s, path, strlen(path));
	*segment_module_at(s, index) = m;
	s->header->modules_high = index + 1;
	return index;
}

static inline struct profile read_it(const struct segment *s, const struct profile_ops *ops,
				     const struct reading_window *window, struct symbols *symbols)
{
	struct profile p = {0};
	struct why why = {""};

	if (reading_profile(s, ops, window, symbols, &p, NULL, &why) < 0) {
		ok(false, "%s: %s", ops->name, why.text);
		profile_init(&p);
	}
	return p;
}

/* Every sample as a line: its values, then its names or addresses, leaf first, then its labels. */
static inline const char *show(const struct profile *p)
{
	static char text[8192];
	FILE *to = fmemopen(text, sizeof(text), "w");

	for (uint32_t i = 0; i < p->samples_n; i++) {
		const struct profile_sample *sample = &p->samples[i];

		for (uint32_t c = 0; c < p->sample_types_n; c++)
			fprintf(to, "%" PRId64 " ", sample->values[c]);
		fprintf(to, ":");
		for (uint32_t l = 0; l < sample->locations_n; l++) {
			const struct profile_location *at = &p->locations[sample->locations[l]];

			if (at->lines_n > 0)
				fprintf(to, " %s", p->functions[at->lines[0].function].name);
			else
				fprintf(to, " %" PRIx64, at->address);
		}
		for (uint32_t l = 0; l < sample->labels_n; l++)
			if (sample->labels[l].str != NULL)
				fprintf(to, " %s=%s", sample->labels[l].key, sample->labels[l].str);
			else
				fprintf(to, " %s=%" PRId64 "%s", sample->labels[l].key,
					sample->labels[l].num, sample->labels[l].num_unit);
		fprintf(to, "\n");
	}
	fclose(to);
	return text;
}

static inline bool has_comment(const struct profile *p, const char *text)
{
	for (uint32_t i = 0; i < p->comments_n; i++)
		if (strcmp(p->comments[i], text) == 0)
			return true;
	return false;
}

static inline int open_memory(void)
{
	return (int)memfd_create("test", MFD_CLOEXEC);
}

/* All that is in @fd, which is closed; for free(). */
static inline char *text_of(int fd)
{
	struct stat st;
	char *text;

	if (fstat(fd, &st) < 0)
		exit(1);
	text = calloc(1, (size_t)st.st_size + 1);
	if (text == NULL || pread(fd, text, (size_t)st.st_size, 0) != st.st_size)
		exit(1);
	close(fd);
	return text;
}

static inline char *write_it(const struct segment *s, const struct profile_ops *ops, int debug)
{
	int fd = open_memory();
	struct why why = {""};

	if (cprof_output_functions.write(s, ops, NULL, fd, debug, &why) < 0)
		ok(false, "%s: %s", ops->name, why.text);
	return text_of(fd);
}

/* Also frees @got. */
static inline void is_text(char *got, const char *want, const char *about)
{
	is_str(got, want, "%s", about);
	free(got);
}
