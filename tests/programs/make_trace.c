/*
 * make_trace sample FILE: the sample, as tests/golden has it.
 * make_trace errand FILE: a request on its way through three threads.
 * make_trace names FILE: names that want to be something else.
 * make_trace big EVENTS THREADS FILE: many events, for the bench and for looks at memory.
 * make_trace timeline FILE, threads N FILE, empty FILE: to be drawn, as tests/unit/trace_timeline.h says; without any event.
 */
#define TRACE_MAKE_LZ4

#include <stdio.h>

#include "tests/unit/trace_errand.h"
#include "tests/unit/trace_sample.h"
#include "tests/unit/trace_timeline.h"

#define BLOCK_EVENTS 8192

static int write_file(struct made *m, FILE *to)
{
	size_t n = fwrite(m->file.at, 1, m->file.n, to);
	int r = n == m->file.n ? 0 : 1;

	if (r != 0)
		perror("make_trace");
	m->file.n = 0;
	return r;
}

static uint64_t seed = 88172645463325252u;

static uint64_t random_u64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* A lock that threads hand on, system calls, and samples. The clock of each thread goes on by some 200 ns an event. */
static uint64_t fill(struct made *m, uint32_t thread, uint32_t events, uint64_t *order)
{
	uint64_t ticks = 0, delta = 0;

	for (uint32_t i = 0; i < events; i++) {
		uint64_t what = random_u64() % 16;

		if (what < 4)
			made_event(m, 18, delta, 8, what, 300 + random_u64() % 4096, U(64), U(0),
				   U(3), U(0), U(64), 1 + random_u64() % 3);
		else if (what < 7)
			made_event(m, 36, delta, 1, 1 + random_u64() % 4);
		else if (what < 9)
			made_event(m, 37, delta, 3, 1 + random_u64() % 4, U(1),
				   random_u64() % 3000);
		else if (what < 11)
			made_event(m, 32, delta, 4, U(1), U(1), 1 + (thread + 1) % 4, U(1));
		else if (what < 13)
			made_event(m, 33, delta, 4, U(1), U(1), ++*order, random_u64() % 20000);
		else if (what < 15)
			made_event(m, 35, delta, 6, U(1), U(1), ++*order, random_u64() % 9000, U(1),
				   U(1));
		else
			made_event(m, 67, delta, 1, random_u64() % 8);
		delta = 100 + random_u64() % 1000;
		ticks += i + 1 < events ? delta : 0;
	}
	return ticks;
}

static int make_big(uint64_t events, uint32_t threads, const char *path)
{
	struct made m = {.is_packed = true};
	FILE *to = fopen(path, "w");
	uint64_t *clock = calloc(threads, sizeof(*clock)), order = 0, done = 0;
	uint32_t *sequence = calloc(threads, sizeof(*sequence)), generation = 0;
	int r = 0;

	if (to == NULL || clock == NULL || sequence == NULL) {
		perror("make_trace");
		return 1;
	}
	made_begin(&m);
	sample_tables(&m);
	for (uint32_t i = 4; i < threads; i++)
		made_record(&m, 6, U(i + 1), U(4711 + i), U(0), U(1), U(2), U(0));
	if (threads > 4)
		made_end_block(
			&m, (struct made_block){.kind = MADE_THREADS, .needs = {SAMPLE_STRINGS}});
	while (done < events && r == 0) {
		for (uint32_t i = 0; i < threads && done < events; i++) {
			uint32_t n = events - done < BLOCK_EVENTS ? (uint32_t)(events - done)
								  : BLOCK_EVENTS;
			uint64_t span = fill(&m, i + 1, n, &order), first = clock[i],
				 last = first + span / 3;

			made_end_block(&m, (struct made_block){.kind = MADE_EVENTS,
							       .thread = i + 1,
							       .sequence = sequence[i]++,
							       .generation = generation,
							       .first_ns = MADE_BEGUN + first,
							       .last_ns = MADE_BEGUN + last,
							       .span = span,
							       .needs = SAMPLE_NEEDS,
							       .has_summary = true,
							       .summary = {[10] = n / 2}});
			clock[i] = last + 200;
			done += n;
			if (m.file.n > 1 << 20)
				r = write_file(&m, to);
		}
		generation++;
	}
	/* Offsets are those of what was written since; nobody reads them here. */
	r |= write_file(&m, to);
	made_free(&m);
	free(clock);
	free(sequence);
	return fclose(to) != 0 || r;
}

/* Two threads at a lock; all that has a name has one that is hard to write down. */
static void make_names(struct made *m)
{
	static const char *const names[] = {
		NULL,
		"\"quoted\", first;\n\033[31m\xff\xc3",
		"lock; \"g\" \x80\r\n{}[]",
		"/tmp/a b\n;\"c\",\xed\xa0\x80",
		"\\u0000 \342\200\256 region\t",
		"task \"</script>;",
	};

	made_begin(m);
	for (uint32_t i = 1; i < 6; i++)
		made_string(m, i, names[i]);
	made_end_block(m, (struct made_block){.kind = MADE_STRINGS});
	made_record(m, 8, U(1), U(1), U(0), U(0x4c0010), U(0), U(2), U(0), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_OBJECTS, .needs = {6}});
	for (uint32_t i = 1; i < 3; i++)
		made_record(m, 6, U(i), U(700 + i), U(0), U(0), U(1), U(0));
	made_end_block(m, (struct made_block){.kind = MADE_THREADS, .needs = {6}});
	for (uint32_t i = 1; i < 3; i++) {
		made_event(m, 2, 0, 4, U(700 + i), U(0), U(0), U(1));
		made_event(m, 24, 10, 4, U(i), U(3), U(1), U(3));
		made_event(m, 96, 10, 4, U(i), U(0), U(5), U(0));
		made_event(m, 98, 10, 1, U(i));
		made_event(m, 99, 10, 3, U(4), U(i), U(0));
		made_event(m, 101, 10, 3, U(2), U(1), U(i));
		made_event(m, 76, 10, 2, U(4), ZIGZAG(-7));
		made_event(m, 19, 10, 1, U(3));
		made_event(m, 18, 100, 8, U(0), U(50), ZIGZAG(-11), U(i), U(3), U(0), U(9), U(0));
		made_event(m, 32, 100, 4, U(1), U(1), U(3 - i), U(0));
		made_event(m, 33, 1000 * i, 4, U(1), U(1), U(2 * i), U(0));
		made_event(m, 35, 100, 6, U(1), U(1), U(2 * i + 1), U(100), U(2 - i), U(0));
		made_event(m, 100, 10, 1, U(4));
		made_event(m, 97, 10, 1, U(i));
		made_event(m, 4, 10, 1, U(1));
		made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
						      .thread = i,
						      .first_ns = MADE_BEGUN,
						      .last_ns = MADE_BEGUN + 400 + 1000 * i,
						      .span = 400 + 1000 * i,
						      .tick_fs = 1000000,
						      .needs = {6, 1, 2, 1}});
	}
	made_end(m, 2, 0);
}

int main(int argc, char **argv)
{
	struct made m = {0};
	FILE *to;
	int r;

	if (argc == 5 && strcmp(argv[1], "big") == 0)
		return make_big(strtoull(argv[2], NULL, 10), (uint32_t)strtoul(argv[3], NULL, 10),
				argv[4]);
	if (argc == 3 && strcmp(argv[1], "sample") == 0) {
		make_sample(&m);
	} else if (argc == 3 && strcmp(argv[1], "errand") == 0) {
		make_errand(&m);
	} else if (argc == 3 && strcmp(argv[1], "names") == 0) {
		make_names(&m);
	} else if (argc == 3 && strcmp(argv[1], "timeline") == 0) {
		make_timeline(&m);
	} else if (argc == 4 && strcmp(argv[1], "threads") == 0) {
		make_timeline_threads(&m, (uint32_t)strtoul(argv[2], NULL, 10));
	} else if (argc == 3 && strcmp(argv[1], "empty") == 0) {
		made_begin(&m);
		made_end(&m, 2, 0);
	} else {
		fputs("usage: make_trace sample|errand|names|timeline|empty FILE | threads N FILE "
		      "|\n"
		      "       big EVENTS THREADS FILE\n",
		      stderr);
		return 2;
	}
	to = fopen(argv[argc - 1], "w");
	if (to == NULL) {
		perror(argv[argc - 1]);
		return 1;
	}
	r = write_file(&m, to);
	made_free(&m);
	return fclose(to) != 0 || r;
}
