/*
 * The events of a trace: in the order of time, whatever the clocks say that locks know better, and as text, JSON and CSV.
 */
#define TRACE_MAKE_LZ4

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/tap.h"
#include "tests/unit/trace_sample.h"
#include "viewer/print.h"
#include "viewer/select.h"

struct opened {
	struct reader *reader;
	struct streams streams;
	struct tables tables;
	struct merge *merge;
	struct why why;
};

static void open_made(struct opened *o, const struct made *m)
{
	memset(o, 0, sizeof(*o));
	tables_init(&o->tables);
	if (reader_open_bytes(&o->reader, "test", m->file.at, m->file.n, &o->why) < 0 ||
	    streams_init(&o->streams, o->reader) < 0 ||
	    tables_load(&o->tables, o->reader, &o->why) < 0 ||
	    merge_create(&o->merge, o->reader, &o->streams, &o->tables) < 0)
		abort();
}

static void close_made(struct opened *o)
{
	merge_destroy(o->merge);
	tables_fini(&o->tables);
	streams_fini(&o->streams);
	reader_close(o->reader);
}

static void test_ticks(void)
{
	__extension__ typedef unsigned __int128 wide;
	static const uint64_t rates[][2] = {{1, 3},
					    {3, 1},
					    {1000, 2892},
					    {500, 1446},
					    {0, 5},
					    {7, 0},
					    {99999, 100000},
					    {UINT64_C(1) << 40, 12345},
					    {UINT64_C(1) << 60, 3},
					    {1, UINT64_C(1) << 62}};
	uint64_t ticks = 1;
	unsigned wrong = 0;

	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct ticks t;

		ticks_init(&t, rates[i][0], rates[i][1]);
		for (unsigned k = 0; k < 20000; k++) {
			uint64_t wanted, got;

			ticks = ticks * UINT64_C(6364136223846793005) + 1442695040888963407u;
			got = ticks_to_ns(&t, ticks >> k % 64);
			wanted = rates[i][1] == 0 ? ticks >> k % 64
						  : (uint64_t)((wide)(ticks >> k % 64) *
							       rates[i][0] / rates[i][1]);
			wrong += got != wanted;
		}
	}
	is_u64(wrong, 0, "ticks become ns as a division of 128 bits has it");
}

/* A block of events of @thread, whose ticks are ns from @first on. */
static void block(struct made *m, uint32_t thread, uint32_t sequence, uint32_t generation,
		  uint64_t first, uint64_t span)
{
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .thread = thread,
					      .sequence = sequence,
					      .generation = generation,
					      .first_ns = first,
					      .last_ns = first + span,
					      .span = span,
					      .needs = {100, 100, 100, 100}});
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Threads by the dozen, blocks of all sizes: everything comes out, once, in order, each thread's as it wrote it. */
static void test_merge(uint32_t threads, uint32_t blocks, uint32_t most)
{
	struct made m = {.is_packed = true};
	uint64_t *times = malloc((size_t)threads * blocks * most * sizeof(*times)), n = 0, seen = 0,
		 last = 0;
	uint64_t *counts = calloc(threads + 1, sizeof(*counts)), seed = 1;
	struct opened o;
	struct merged e;
	unsigned wrong = 0;

	made_begin(&m);
	for (uint32_t b = 0; b < blocks; b++) {
		for (uint32_t t = 1; t <= threads; t++) {
			uint64_t first = 1000 + UINT64_C(100000) * b + (seed >> 40) % 5000, at = 0;
			uint32_t events;

			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
			events = 1 + (uint32_t)(seed >> 33) % most;
			for (uint32_t i = 0; i < events; i++) {
				uint64_t delta =
					i == 0 ? 0 : (seed >> (20 + i % 8)) % (90000 / events + 1);

				at += delta;
				made_event(&m, 76, delta, 2, U(1), counts[t] << 1);
				counts[t]++;
				times[n++] = first + at;
			}
			block(&m, t, b, b / 2, first, at);
		}
	}
	qsort(times, n, sizeof(*times), compare);
	memset(counts, 0, (threads + 1) * sizeof(*counts));
	open_made(&o, &m);
	while (merge_next(o.merge, &e, NULL, &o.why) > 0) {
		wrong += e.event->ns < last || seen >= n || e.event->ns != times[seen] ||
			 e.event->arguments[1] != counts[e.thread] << 1;
		counts[e.thread]++;
		last = e.event->ns;
		seen++;
	}
	is_u64(seen, n, "%u threads: everything comes out", threads);
	is_u64(wrong, 0, "in the order of time, and of each thread");
	close_made(&o);
	made_free(&m);
	free(times);
	free(counts);
}

#define ACQUIRED(m, delta, order) made_event(m, 33, delta, 4, U(1), U(1), U(order), U(0))
#define RELEASED(m, delta, order) \
	made_event(m, 35, delta, 6, U(1), U(1), U(order), U(0), U(0), U(0))
#define MARK(m, delta, value) made_event(m, 76, delta, 2, U(1), ZIGZAG(value))

/* What comes out, as "thread:type@ns ". */
static struct merge_counts shown(const struct made *m, char *text, size_t size)
{
	struct opened o;
	struct merged e;
	struct merge_counts counts;
	size_t n = 0;

	text[0] = '\0';
	open_made(&o, m);
	while (merge_next(o.merge, &e, NULL, &o.why) > 0 && n < size)
		n += (size_t)snprintf(text + n, size - n, "%u:%u@%u ", e.thread, e.event->type,
				      (unsigned)e.event->ns);
	counts = merge_counts(o.merge);
	close_made(&o);
	return counts;
}

static void test_order(void)
{
	char text[2000];
	struct merge_counts counts;
	struct made m = {0};

	/* 1 releases at 1000, 2 has acquired at 900 by its own clock, and did more at 950 and 1100 */
	made_begin(&m);
	RELEASED(&m, 0, 5);
	block(&m, 1, 0, 0, 1000, 0);
	ACQUIRED(&m, 0, 6);
	MARK(&m, 50, 1);
	MARK(&m, 150, 2);
	block(&m, 2, 0, 0, 900, 200);
	made_end(&m, 1, 0);
	counts = shown(&m, text, sizeof(text));
	is_str(text, "1:35@1000 2:33@1000 2:76@1000 2:76@1100 ",
	       "an acquirer waits for the releaser");
	is_u64(counts.corrected, 1, "that is one correction");
	is_u64(counts.largest_ns, 100, "of 100 ns");
	made_free(&m);

	/* and what 2 releases, at 950, 3 acquires at 960: it moves, too */
	made_begin(&m);
	RELEASED(&m, 0, 5);
	block(&m, 1, 0, 0, 1000, 0);
	ACQUIRED(&m, 0, 6);
	RELEASED(&m, 50, 7);
	block(&m, 2, 0, 0, 900, 50);
	ACQUIRED(&m, 0, 8);
	block(&m, 3, 0, 0, 960, 0);
	made_end(&m, 1, 0);
	counts = shown(&m, text, sizeof(text));
	is_str(text, "1:35@1000 2:33@1000 2:35@1000 3:33@1000 ", "and so does the one behind it");
	is_u64(counts.corrected, 2, "these are two");
	made_free(&m);

	/* the same moment: the order is that of the numbers, whatever the threads */
	made_begin(&m);
	ACQUIRED(&m, 0, 6);
	block(&m, 1, 0, 0, 1000, 0);
	RELEASED(&m, 0, 5);
	block(&m, 2, 0, 0, 1000, 0);
	made_end(&m, 1, 0);
	counts = shown(&m, text, sizeof(text));
	is_str(text, "2:35@1000 1:33@1000 ", "at the same moment, the releaser is first");
	is_u64(counts.corrected, 0, "which is no correction");
	made_free(&m);

	/* sources among themselves, sinks among themselves, and numbers that are not known, say nothing */
	made_begin(&m);
	RELEASED(&m, 0, 6);
	ACQUIRED(&m, 10, 9);
	ACQUIRED(&m, 10, 0);
	block(&m, 1, 0, 0, 900, 20);
	RELEASED(&m, 0, 5);
	ACQUIRED(&m, 10, 3);
	block(&m, 2, 0, 0, 800, 10);
	made_end(&m, 1, 0);
	counts = shown(&m, text, sizeof(text));
	is_str(text, "2:35@800 2:33@810 1:35@900 1:33@910 1:33@920 ",
	       "where nothing has to wait, nothing does");
	is_u64(counts.corrected, 0, "no correction");
	made_free(&m);

	/* readers of a lock do not wait for each other */
	made_begin(&m);
	made_event(&m, 35, 0, 6, U(1), U(2), U(5), U(0), U(0), U(0));
	block(&m, 1, 0, 0, 1000, 0);
	made_event(&m, 33, 0, 4, U(1), U(2), U(6), U(0));
	block(&m, 2, 0, 0, 900, 0);
	ACQUIRED(&m, 0, 7);
	block(&m, 3, 0, 0, 950, 0);
	made_end(&m, 1, 0);
	counts = shown(&m, text, sizeof(text));
	is_str(text, "2:33@900 1:35@1000 3:33@1000 ",
	       "who shares waits for no reader, a writer does");
	made_free(&m);

	/* across a generation, and another object */
	made_begin(&m);
	RELEASED(&m, 0, 5);
	made_event(&m, 46, 500, 3, U(2), U(1), U(0));
	block(&m, 1, 0, 0, 1000, 500);
	ACQUIRED(&m, 0, 6);
	made_event(&m, 45, 0, 3, U(2), U(0), U(2));
	block(&m, 2, 0, 1, 900, 0);
	made_end(&m, 1, 0);
	counts = shown(&m, text, sizeof(text));
	is_u64(counts.corrected, 2, "a generation later it is still known: %s", text);
	made_free(&m);
}

static void test_damage_in_between(void)
{
	struct made m = {0};
	struct opened o;
	struct merged e;
	unsigned n = 0;
	size_t cut;

	made_begin(&m);
	for (uint32_t i = 0; i < 4; i++) {
		MARK(&m, 0, 1);
		MARK(&m, 10, 1);
		if (i == 2)
			made_event(&m, 36, 0, 1, U(5000)); /* no such object */
		block(&m, 1, i, 0, 1000 + 100 * i, 10);
	}
	made_end(&m, 1, 0);
	cut = m.blocks[1] + 8 + 96 + 12;
	m.file.at[cut] ^= 1;
	open_made(&o, &m);
	while (merge_next(o.merge, &e, NULL, &o.why) > 0)
		n++;
	is_u64(n, 6, "events before damage come out, and those behind it");
	is_u64(merge_counts(o.merge).unreadable, 3, "the others are counted");
	is_u64(o.reader->damages_n, 2, "with their places");
	close_made(&o);
	made_free(&m);
}

static void test_tables(void)
{
	struct made m = {0};
	struct opened o;
	const struct table_stack *stack;
	struct name name = {0};
	char text[100];

	make_sample(&m);
	open_made(&o, &m);
	is_u64(o.tables.strings_n, SAMPLE_STRINGS - 1, "strings");
	is_str(tables_text(&o.tables, 4), "g_cache.lock", "by their number");
	is_str(tables_text(&o.tables, 0), "", "0 is none");
	ok(tables_string(&o.tables, 77) == NULL, "one that is not there");
	is_str(tables_metadata(&o.tables, "exe"), "/usr/bin/server", "metadata");
	stack = tables_stack(&o.tables, 1);
	ok(stack != NULL && stack->depth == 4 && stack->frames[2] == FRAME(2, 0x7f0000012345),
	   "a stack");
	for (unsigned i = 0; i < 4; i++) {
		name_frame(&name, &o.tables, stack->frames[i], 0);
		name_add(&name, "|", 1);
	}
	snprintf(text, sizeof(text), "%.*s", (int)name.n, name.text);
	is_str(text, "inlined cache.c:12|server+0x401000|libc.so.6+0x12345|[truncated]|",
	       "its frames");
	is_str(o.tables.schema.types[200].name, "app.tick", "a type that the trace declares");
	is_u64(o.tables.schema.types[74].n, 7, "one argument more than we know");
	ok(schema_declare(&o.tables.schema, 33, "lock.acquired", "object:obj mode:u", 32, &o.why) ==
		   -EINVAL,
	   "another meaning is refused: %s", o.why.text);
	ok(schema_declare(&o.tables.schema, 33, "lock.acquired", "object:obj mode:mode", 32,
			  &o.why) == 0 &&
		   o.tables.schema.types[33].order < 0,
	   "fewer arguments are an older version's");
	ok(schema_declare(&o.tables.schema, 256, "x", "", 0, &o.why) == -EINVAL, "%s", o.why.text);
	close_made(&o);
	made_free(&m);
}

/* Tables are a program's memory: a hostile one must not have all of it. */
static void test_table_bounds(void)
{
	struct made m = {.is_packed = true};
	struct opened o;
	char *text = malloc(1000001);

	memset(text, 'x', 1000000);
	text[1000000] = '\0';
	made_begin(&m);
	for (uint32_t i = 0; i < 300; i++) {
		made_string(&m, i * 1000000 + 1, text);
		made_end_block(&m, (struct made_block){.kind = MADE_STRINGS});
	}
	made_end(&m, 1, 0);
	open_made(&o, &m);
	ok(o.tables.left_out > 20 && o.tables.left_out < 100 && o.tables.bytes <= TABLES_BYTES_MAX,
	   "300 MB of strings in a file of %zu bytes: %u are kept", m.file.n, o.tables.strings_n);
	close_made(&o);
	made_free(&m);
	free(text);
}

static char *printed(const struct made *m, enum print_format format, bool is_raw, bool with_stacks)
{
	static struct out out;
	int fd = memfd_create("out", MFD_CLOEXEC);
	struct print p = {.out = &out,
			  .format = format,
			  .is_raw = is_raw,
			  .with_stacks = with_stacks,
			  .begun_ns = MADE_BEGUN};
	struct opened o;
	struct merged e;
	char *text;
	off_t n;

	open_made(&o, m);
	out_init(&out, fd, false);
	p.tables = &o.tables;
	print_begin(&p);
	while (merge_next(o.merge, &e, NULL, &o.why) > 0) {
		if (e.event->type == TRACE_FD_OPEN_EVENT)
			tables_set_file(
				&o.tables,
				&(struct table_file){.id = (uint32_t)e.event->arguments[0],
						     .number = (uint32_t)e.event->arguments[1],
						     .kind = (uint8_t)e.event->arguments[2]});
		print_event(&p, &e);
	}
	print_end(&p);
	out_flush(&out);
	n = lseek(fd, 0, SEEK_END);
	text = calloc(1, (size_t)n + 1);
	if (pread(fd, text, (size_t)n, 0) != n)
		text[0] = '\0';
	close(fd);
	close_made(&o);
	return text;
}

static char *read_file(const char *path, size_t *ret_n)
{
	int fd = open(path, O_RDONLY);
	off_t n = lseek(fd, 0, SEEK_END);
	char *text = calloc(1, n > 0 ? (size_t)n + 1 : 1);

	*ret_n = fd >= 0 && pread(fd, text, (size_t)n, 0) == n ? (size_t)n : 0;
	if (fd >= 0)
		close(fd);
	return text;
}

/* What each version wrote is read as it was on the day it was written. */
static void test_golden(const char *version, void (*make)(struct made *))
{
	struct made m = {0}, now = {0};
	char *wanted, *got, path[64];
	size_t n;

	snprintf(path, sizeof(path), "tests/golden/trace-%s.out", version);
	m.file.at = (uint8_t *)read_file(path, &m.file.n);
	wanted = read_file("tests/golden/trace-1.0.events", &n);
	if (m.file.n == 0 || n == 0) {
		ok(false, "%s and trace-1.0.events are there", path);
		return;
	}
	got = printed(&m, PRINT_TEXT, false, false);
	ok(strcmp(got, wanted) == 0, "the trace of version %s is the same text", version);
	make(&now);
	ok(now.file.n == m.file.n && memcmp(now.file.at, m.file.at, now.file.n) == 0,
	   "and is the sample, to the byte");
	free(got);
	free(wanted);
	made_free(&m);
	made_free(&now);
}

static void test_forms(void)
{
	struct made m = {0};
	char *text;

	make_sample(&m);
	text = printed(&m, PRINT_TEXT, true, false);
	ok(strstr(text, "5000160500  3  3  lock.wait.begin  object=1 mode=1 holder=2 stack=1\n") !=
		   NULL,
	   "raw numbers");
	free(text);
	text = printed(&m, PRINT_TEXT, false, true);
	ok(strstr(text,
		  "; inlined cache.c:12\n    #0   inlined cache.c:12 (inline)\n    #1   cache_get "
		  "cache.c:41\n"
		  "    #2   server+0x401000\n    #3   libc.so.6+0x12345\n    #4   [truncated]\n") !=
		   NULL,
	   "whole stacks");
	free(text);
	text = printed(&m, PRINT_JSON, false, false);
	ok(strstr(text, "{\"time_ns\":160500,\"thread\":\"worker-3\",\"tid\":4713,\"cpu\":3,"
			"\"type\":\"lock.wait.begin\","
			"\"args\":{\"obj\":\"g_cache.lock\",\"mode\":\"excl\",\"holder\":\"worker-"
			"1\"},\"top\":\"inlined "
			"cache.c:12\"}") != NULL,
	   "JSON");
	ok(strstr(text, "\"message\":\"GET /\\u000a\\u001b[31m\\ufffd\\\\\"") != NULL,
	   "with whatever text");
	ok(strstr(text, "\"took_ns\":1000,\"result\":\"-EAGAIN\"") != NULL, "durations are ns");
	free(text);
	text = printed(&m, PRINT_CSV, false, true);
	ok(strstr(text, "160500,worker-3,4713,3,lock.wait.begin,obj=g_cache.lock mode=excl "
			"holder=worker-1,inlined "
			"cache.c:12;cache_get "
			"cache.c:41;server+0x401000;libc.so.6+0x12345;[truncated]\r\n") != NULL,
	   "CSV");
	free(text);
	made_free(&m);
}

static void test_times(void)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} cases[] = {{"1.5s", 1500000000},
		     {"1.5", 1500000000},
		     {"0", 0},
		     {"250ms", 250000000},
		     {"2.5us", 2500},
		     {"800ns", 800},
		     {"24800000000ns", UINT64_C(24800000000)},
		     {"1m", UINT64_C(60000000000)},
		     {"+10ms", 10000777},
		     {"0.000000001s", 1},
		     {"2026-09-21T14:13:21.5", 1500000000},
		     {"2026-09-21T14:13:21.5Z", 1500000000},
		     {"2026-09-21T16:13:21.5+02:00", 1500000000}};
	static const char *const wrong[] = {"",
					    "s",
					    ".",
					    "1.5x",
					    "-1s",
					    "ten",
					    "2026-09-21",
					    "99999999999999999999s",
					    "99999999999999999999ns",
					    "9999999999999s",
					    "+"};
	struct made m = {0};
	struct opened o;
	uint64_t ns;

	make_sample(&m);
	open_made(&o, &m);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = select_time(cases[i].text, o.reader, MADE_BEGUN, MADE_BEGUN + 777, &ns,
				    &o.why);

		ok(r == 0 && ns - MADE_BEGUN == cases[i].ns, "%s", cases[i].text);
	}
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ok(select_time(wrong[i], o.reader, MADE_BEGUN, 0, &ns, &o.why) == -EINVAL,
		   "\"%s\" is no time", wrong[i]);
	close_made(&o);
	made_free(&m);
}

static void test_selection(void)
{
	struct select_threads threads;
	bool types[256];
	struct made m = {0};
	struct opened o;

	make_sample(&m);
	open_made(&o, &m);
	ok(select_types("lock.*,syscall", &o.tables.schema, types, &o.why) == 0 && types[32] &&
		   types[37] && types[18] && !types[16] && !types[40],
	   "types");
	ok(select_types("lokc", &o.tables.schema, types, &o.why) == -EINVAL, "%s", o.why.text);
	ok(select_threads(&threads, "main,4713", &o.tables, &o.why) == 0 &&
		   select_has_thread(&threads, 1) && !select_has_thread(&threads, 2) &&
		   select_has_thread(&threads, 3),
	   "threads by name and id");
	select_threads_fini(&threads);
	ok(select_threads(&threads, "^work", &o.tables, &o.why) == 0 &&
		   !select_has_thread(&threads, 1) && select_has_thread(&threads, 2),
	   "by pattern");
	select_threads_fini(&threads);
	ok(select_threads(&threads, "main,(", &o.tables, &o.why) == -EINVAL, "%s", o.why.text);
	close_made(&o);
	made_free(&m);
}

static void test_out(void)
{
	static struct out o;
	static const struct {
		uint64_t ns;
		const char *text;
	} durations[] = {{0, "0ns"},
			 {999, "999ns"},
			 {1000, "1.00us"},
			 {12345, "12.3us"},
			 {999499, "999us"},
			 {999500, "1.00ms"},
			 {1234567, "1.23ms"},
			 {999499999, "999ms"},
			 {999500000, "1.00s"},
			 {59999000000, "60.0s"},
			 {UINT64_C(1234000000000), "1234s"}};

	for (unsigned i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		out_init(&o, -1, false);
		out_duration(&o, durations[i].ns);
		o.buffer[o.n] = '\0';
		is_str(o.buffer, durations[i].text, "%" PRIu64 " ns", durations[i].ns);
	}
	out_init(&o, -1, false);
	out_name(&o, "a\xc3\xa4\xc2\x85\xe2\x80\xae\xf0\x9f\x98\x80\x7f \\", 15);
	o.buffer[o.n] = '\0';
	is_str(o.buffer, "a\xc3\xa4\\xc2\\x85\\xe2\\x80\\xae\xf0\x9f\x98\x80\\x7f \\x5c",
	       "what steers a terminal is shown");
	out_init(&o, -1, false);
	out_size(&o, 3304);
	out_size(&o, 999);
	out_size(&o, UINT64_C(75545737));
	o.buffer[o.n] = '\0';
	is_str(o.buffer, "3.23 KiB999 bytes72.0 MiB", "sizes");
	out_init(&o, -1, false);
	out_csv(&o, "a,\"b\"", 5);
	out_grouped(&o, 1234567);
	o.buffer[o.n] = '\0';
	is_str(o.buffer, "\"a,\"\"b\"\"\"1,234,567", "CSV has quotes where it needs them");
}

int main(void)
{
	plan_begin();
	test_ticks();
	test_merge(1, 20, 500);
	test_merge(7, 30, 300);
	test_merge(300, 5, 3);
	test_order();
	test_damage_in_between();
	test_tables();
	test_table_bounds();
	test_golden("1.0", make_sample);
	test_golden("2.0", make_sample_2);
	test_forms();
	test_times();
	test_selection();
	test_out();
	return plan_end();
}
