/*
 * The block and mutex profiles in output/reading, output/lock_names and output/listing: from segments and small files made
 * by hand to profiles and texts.
 */
#include <link.h>

#include "core/labels.h"
#include "core/table.h"
#include "output/lock_names.h"
#include "output/mapped.h"
#include "output/symbols_dw.h"
#include "tests/unit/elf_make.h"
#include "tests/unit/reading_make.h"

#define LIBRARY UINT64_C(0x7f1200000000) /* where it is loaded */
#define PROGRAM UINT64_C(0x400000)

static const struct value_type columns[] = {
	{"contentions", "count"}, {"delay", "nanoseconds"}, {0}};
static const struct profile_ops block = {
	.name = "block",
	.values = columns,
	.period = {"contentions", "count"},
	.table = SEGMENT_TABLE_BLOCK,
	.run = RUN_BLOCK,
};
static const struct profile_ops mutex = {
	.name = "mutex",
	.values = columns,
	.period = {"contentions", "count"},
	.table = SEGMENT_TABLE_MUTEX,
	.run = RUN_MUTEX,
};

static struct segment make(uint64_t every)
{
	struct segment s = reading_make();

	run(&s, RUN_CPU, 1);
	run(&s, RUN_BLOCK, 1);
	run(&s, RUN_MUTEX, 1);
	s.header->runs[RUN_BLOCK].setting = 10000;
	s.header->runs[RUN_MUTEX].setting = every;
	return s;
}

static void module(struct segment *s, const char *path, uint64_t bias, uint64_t base,
		   enum module_state state)
{
	put_module(s, path,
		   (struct segment_module){
			   .start = bias + base + 0x1000,
			   .end = bias + base + 0x2000,
			   .image_start = bias + base,
			   .image_end = bias + base + 0x5000,
			   .bias = bias,
			   .state = state,
		   });
}

/* One wait of @ns at @pc, with labels: key, value, …, NULL. */
static void wait_at(struct segment *s, enum segment_part table, uint64_t pc, uint64_t count,
		    uint64_t ns, const char *const *pairs)
{
	unsigned n = 0;

	while (pairs != NULL && pairs[2 * n] != NULL)
		n++;
	table_record(s, table, (uint64_t[]){pc, 0x2000}, 2,
		     n > 0 ? labels_overlay(s, 0, pairs, n) : 0, (const uint64_t[]){count, ns});
}

#define LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_profiles(void)
{
	struct segment s = make(10);
	struct reading_window *window = NULL;
	struct reading_counts counts;
	struct profile p;

	wait_at(&s, SEGMENT_TABLE_BLOCK, 0x1000, 3, 4120000,
		LABELS("kind", "mutex", "lock", "g_cache"));
	wait_at(&s, SEGMENT_TABLE_BLOCK, 0x1000, 2, 98 * SECOND,
		LABELS("idle", "yes", "kind", "cond"));
	s.header->runs[RUN_BLOCK].lost = 4;
	s.header->lost[LOST_WAITS] = 5;
	s.header->lost[LOST_RELEASES] = 2;
	s.header->notes[NOTE_TRUNCATED] = 8;
	s.header->lost[LOST_LIVE] = s.header->lost[LOST_STACK_ROOM] = 6; /* of other profiles */
	p = read_it(&s, &block, NULL, NULL);
	is_str(show(&p),
	       "3 4120000 : 1000 2000 kind=mutex lock=g_cache\n"
	       "2 98000000000 : 1000 2000 idle=yes kind=cond\n"
	       "4 0 : [lost: tables full]\n"
	       "5 0 : [lost: at a bad moment]\n",
	       "block: what is idle is there, too");
	is_str(p.period_type.type, "contentions", "block: period type");
	is_str(p.period_type.unit, "count", "block: its unit");
	is_u64((uint64_t)p.period, 1, "block: period");
	is_u64((uint64_t)p.duration_ns, 0, "block: no duration, as Go");
	is_u64((uint64_t)(p.time_ns - BEGUN_REAL), 3 * SECOND, "block: until it ended");
	ok(has_comment(&p, "waits of 10us and more; 8 stacks truncated"),
	   "block: a comment says which waits");
	ok(has_comment(&p, "lost: 4 samples: tables full") &&
		   has_comment(&p, "lost: 5 waits: came where they could not be counted") &&
		   p.comments_n == 4,
	   "block: a comment for each kind of loss that concerns it");
	profile_fini(&p);
	reading_count(&s, &block, &counts);
	is_u64(counts.samples, 5, "block: count");
	is_u64(counts.lost, 9, "block: lost");
	s.header->runs[RUN_BLOCK].setting = SETTING_IS_RATE | 2000;
	p = read_it(&s, &block, NULL, NULL);
	ok(has_comment(&p, "all waits of 2us and more, and shorter ones by chance, counted for "
			   "those left out; 8 stacks truncated"),
	   "block: by chance");
	profile_fini(&p);

	wait_at(&s, SEGMENT_TABLE_MUTEX, 0x1000, 30, 40000, LABELS("kind", "mutex"));
	s.header->runs[RUN_MUTEX].lost = 1;
	p = read_it(&s, &mutex, NULL, NULL);
	is_str(show(&p),
	       "30 40000 : 1000 2000 kind=mutex\n"
	       "10 0 : [lost: tables full]\n"
	       "2 0 : [lost: at a bad moment]\n",
	       "mutex: what is lost stands for 10, as the others do");
	is_u64((uint64_t)p.period, 1, "mutex: period, as Go");
	ok(has_comment(&p,
		       "one in 10 releases of locks that others waited for, counted 10 times; 8 "
		       "stacks truncated"),
	   "mutex: a comment says so");
	profile_fini(&p);
	is_u64((uint64_t)reading_window_begin(&s, &mutex, &window), 0, "mutex: a window");
	wait_at(&s, SEGMENT_TABLE_MUTEX, 0x1000, 1, 7, LABELS("kind", "mutex"));
	p = read_it(&s, &mutex, window, NULL);
	is_str(show(&p), "1 7 : 1000 2000 kind=mutex\n", "mutex: what came since");
	profile_fini(&p);
	reading_window_end(window);
	s.header->runs[RUN_MUTEX].setting = 1;
	p = read_it(&s, &mutex, NULL, NULL);
	is_str(show(&p),
	       "31 40007 : 1000 2000 kind=mutex\n"
	       "1 0 : [lost: tables full]\n"
	       "2 0 : [lost: at a bad moment]\n",
	       "mutex: all of them");
	ok(has_comment(&p, "all releases of locks that others waited for; 8 stacks truncated"),
	   "mutex: a comment says so");
	profile_fini(&p);
	segment_unmake(&s);
}

/* Locks */

static int note_bias(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	*(uint64_t *)data = info->dlpi_addr;
	return 1; /* the first one is the program */
}

static int line_of_site;

__attribute__((always_inline)) static inline uint64_t make_lock(void)
{
	uint64_t pc;

#if defined(__x86_64__)
	__asm__ volatile("lea 0f(%%rip), %0\n0: nop" : "=r"(pc));
#else
	__asm__ volatile("adr %0, ." : "=r"(pc));
#endif
	return pc;
}

__attribute__((noinline)) static uint64_t make_cache(void)
{
	line_of_site = __LINE__ + 1;
	return make_lock() + 0;
}

/* A library and a program with these symbols, and what this program is. */
static void make_files(struct segment *s, const char *directory)
{
	char path[160];
	struct elf_make m;
	uint64_t bias = 0;

	snprintf(path, sizeof(path), "%s/libstore.so", directory);
	elf_make_begin(&m, ET_DYN, 0, 0);
	elf_make_symbol(&m, "store_new", STT_FUNC, STB_GLOBAL, MADE_TEXT, 0x1000, 0x100);
	elf_make_symbol(&m, "g_cache", STT_OBJECT, STB_LOCAL, MADE_BSS, 0x4000, 40);
	elf_make_symbol(&m, "table", STT_OBJECT, STB_GLOBAL, MADE_BSS, 0x4100, 0x100);
	elf_make_symbol(&m, "_ZN2ns7g_mutexE", STT_OBJECT, STB_GLOBAL, MADE_DATA, 0x3000, 40);
	close(elf_make_end(&m, SHT_SYMTAB, path));
	module(s, path, LIBRARY, 0, MODULE_LOADED);
	snprintf(path, sizeof(path), "%s/program", directory);
	elf_make_begin(&m, ET_EXEC, PROGRAM, 0);
	elf_make_symbol(&m, "main", STT_FUNC, STB_GLOBAL, MADE_TEXT, PROGRAM + 0x1000, 0x100);
	elf_make_symbol(&m, "big_lock", STT_OBJECT, STB_LOCAL, MADE_BSS, PROGRAM + 0x4000, 40);
	close(elf_make_end(&m, SHT_SYMTAB, path));
	module(s, path, 0, PROGRAM, MODULE_LOADED);
	module(s, "/no/such/libgone.so.1 (deleted)", UINT64_C(0x7f1300000000), 0, MODULE_RETIRED);
	module(s, "", UINT64_C(0x7f1400000000), 0, MODULE_LOADED);
	dl_iterate_phdr(note_bias, &bias);
	module(s, "/proc/self/exe", bias, make_cache() - bias - 0x1800, MODULE_LOADED);
}

static void remove_files(const char *directory)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/libstore.so", directory);
	unlink(path);
	snprintf(path, sizeof(path), "%s/program", directory);
	unlink(path);
	rmdir(directory);
}

static void test_names(void)
{
	static const struct {
		const char *text, *name, *without_symbols;
	} want[] = {
		{"data:0x7f1200004000", "g_cache", "libstore.so+0x4000"},
		{"data:0x7f1200004128", "table+0x28", "libstore.so+0x4128"},
		{"data:0x7f1200003000", "ns::g_mutex", "libstore.so+0x3000"},
		{"data:0x7f1200004300", "libstore.so+0x4300", "libstore.so+0x4300"},
		{"data:0x404000", "big_lock", "program+0x404000"},
		{"init:0x7f1200001010", "store_new+0x10", "libstore.so+0x1010"},
		{"init:0x7f1200001200", "libstore.so+0x1200", "libstore.so+0x1200"},
		{"init:0x401000", "main+0x0", "program+0x401000"},
		{"data:0x7f1300004010", "libgone.so.1+0x4010", "libgone.so.1+0x4010"},
		{"init:0x7f1300001010", "libgone.so.1+0x1010", "libgone.so.1+0x1010"},
		{"data:0x7f1400004010", "0x7f1400004010", "0x7f1400004010"}, /* no path */
		{"data:0x10", "0x10", "0x10"},                               /* in none */
		{"data:0xffffffffffffffff", "0xffffffffffffffff", "0xffffffffffffffff"},
		{"init:0x0", "0x0", "0x0"},
		/* names already */
		{"g_cache", "g_cache", "g_cache"},
		{"data:0x", "data:0x", "data:0x"},
		{"data:0x10 ", "data:0x10 ", "data:0x10 "},
		{"data:0x1g", "data:0x1g", "data:0x1g"},
		{"data:0x10000000000000000", "data:0x10000000000000000",
		 "data:0x10000000000000000"},
		{"init:10", "init:10", "init:10"},
		{"", "", ""},
	};
	char directory[] = "/tmp/cprof-test-XXXXXX", site[64], name[128];
	struct segment s = make(1);
	struct symbols *symbols;
	struct lock_names *x;
	struct profile p;
	struct why why;
	const char *found;

	if (mkdtemp(directory) == NULL || symbols_create(&symbols) < 0)
		exit(1);
	make_files(&s, directory);
	for (int with_symbols = 1; with_symbols >= 0; with_symbols--) {
		profile_init(&p);
		x = lock_names_create(&s, with_symbols ? symbols : NULL, &p);
		for (int round = 0; round < 2; round++)
			for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
				is_str(lock_names_show(x, profile_string(&p, want[i].text)),
				       with_symbols ? want[i].name : want[i].without_symbols,
				       "lock %s, %s", want[i].text,
				       round == 0 ? "looked up" : "remembered");
		lock_names_destroy(x);
		profile_fini(&p);
	}
	profile_init(&p);
	x = lock_names_create(&s, symbols, &p);
	snprintf(site, sizeof(site), "init:0x%" PRIx64, make_cache());
	found = lock_names_show(x, profile_string(&p, site));
	if (dw_load(&why) == 0) {
		snprintf(name, sizeof(name), "test_reading_waits.c:%d", line_of_site);
		ok(strncmp(found, "make_cache ", 11) == 0 && strstr(found, name) != NULL,
		   "who made it, with file and line: %s", found);
	} else {
		ok(strncmp(found, "make_cache+0x", 13) == 0, "who made it: %s", found);
	}
	for (uint64_t i = 0; i < 1000; i++) { /* more than it has room for at first */
		snprintf(site, sizeof(site), "data:0x%" PRIx64, LIBRARY + 0x4100 + i % 0x100);
		snprintf(name, sizeof(name), i % 256 ? "table+0x%" PRIx64 : "table", i % 256);
		found = lock_names_show(x, profile_string(&p, site));
		if (strcmp(found, name) != 0)
			is_str(found, name, "lock %s", site);
	}
	for (uint64_t i = 0; i < 1000; i++) {
		snprintf(site, sizeof(site), "data:0x%" PRIx64, LIBRARY + i);
		lock_names_show(x, profile_string(&p, site));
	}
	is_str(lock_names_show(x, profile_string(&p, "data:0x7f1200004001")), "g_cache+0x1",
	       "among many");
	lock_names_destroy(x);
	lock_names_destroy(NULL);
	profile_fini(&p);
	symbols_destroy(symbols);
	remove_files(directory);
	segment_unmake(&s);
}

/* A place that two files had one after the other is that of the one that is there. */
static void test_places(void)
{
	struct segment s = make(1);
	struct segment_module found;
	char path[64];

	module(&s, "/lib/old.so", LIBRARY, 0, MODULE_RETIRED);
	module(&s, "/lib/new.so", LIBRARY, 0, MODULE_LOADED);
	module(&s, "/lib/older.so", LIBRARY, 0, MODULE_RETIRED);
	module(&s, "/lib/none.so", 0, 0, MODULE_FREE);
	ok(mapped_find(&s, LIBRARY + 0x4000, &found), "a place that three files had");
	mapped_path(&s, &found, path, sizeof(path));
	is_str(path, "/lib/new.so", "is of the one that is loaded");
	ok(!mapped_find(&s, LIBRARY + 0x5000, &found) && !mapped_find(&s, LIBRARY - 1, &found),
	   "beside it there is nothing");
	ok(!mapped_find(&s, 0x4000, &found), "nor in a record that is free");
	segment_module_at(&s, 1)->build_id_size = 21;
	ok(mapped_find(&s, LIBRARY + 0x4000, &found) && found.state == MODULE_RETIRED,
	   "a record that makes no sense is none");
	s.header->modules_high = UINT32_MAX;
	ok(mapped_count(&s) == segment_count(&s, SEGMENT_MODULES, 0) &&
		   !mapped_find(&s, UINT64_MAX, &found),
	   "no more records than there is room for");
	segment_unmake(&s);
}

static void test_labels(void)
{
	char directory[] = "/tmp/cprof-test-XXXXXX";
	struct segment s = make(1);
	struct symbols *symbols;
	struct profile p;

	if (mkdtemp(directory) == NULL || symbols_create(&symbols) < 0)
		exit(1);
	make_files(&s, directory);
	wait_at(&s, SEGMENT_TABLE_BLOCK, 0x1000, 1, 1,
		LABELS("kind", "mutex", "lock", "data:0x7f1200004000", "other", "data:0x404000"));
	wait_at(&s, SEGMENT_TABLE_MUTEX, 0x1000, 1, 1, LABELS("lock", "init:0x7f1200001000"));
	wait_at(&s, SEGMENT_TABLE_CPU, 0x1000, 1, 1, LABELS("lock", "data:0x404000"));
	p = read_it(&s, &block, NULL, symbols);
	is_str(show(&p), "1 1 : 1000 2000 kind=mutex lock=g_cache other=data:0x404000\n",
	       "block: its locks have names");
	is_str(p.mappings[0].file + strlen(directory) + 1, "libstore.so",
	       "block: the first mapping is that of the first record");
	is_u64(p.mappings_n, 2, "block: locks add no mappings");
	profile_fini(&p);
	p = read_it(&s, &mutex, NULL, symbols);
	is_str(show(&p), "1 1 : 1000 2000 lock=store_new+0x0\n", "mutex: its locks, too");
	profile_fini(&p);
	p = read_it(&s, &cpu, NULL, symbols);
	is_str(show(&p), "1 1 : 1000 2000 lock=data:0x404000\n",
	       "cpu: a label of that name is the program's");
	profile_fini(&p);
	symbols_destroy(symbols);
	remove_files(directory);
	segment_unmake(&s);
}

static void test_text_block(void)
{
	struct segment s = make(1);

	is_text(write_it(&s, &block, 1), "--- contention:\ncycles/second=1000000000\n",
		"block, debug=1: nobody waited");
	wait_at(&s, SEGMENT_TABLE_BLOCK, 0x3000, 5, 700, NULL);
	wait_at(&s, SEGMENT_TABLE_BLOCK, 0x4000, 6, 700, NULL);
	wait_at(&s, SEGMENT_TABLE_BLOCK, 0x1000, 3, 4120000,
		LABELS("kind", "mutex", "lock", "g_cache"));
	is_text(write_it(&s, &block, 1),
		"--- contention:\n"
		"cycles/second=1000000000\n"
		"4120000 3 @ 0x1001 0x2001\n"
		"# labels: {\"kind\":\"mutex\", \"lock\":\"g_cache\"}\n"
		"#\t0x1000\n"
		"#\t0x2000\n"
		"\n"
		"700 6 @ 0x4001 0x2001\n"
		"#\t0x4000\n"
		"#\t0x2000\n"
		"\n"
		"700 5 @ 0x3001 0x2001\n"
		"#\t0x3000\n"
		"#\t0x2000\n"
		"\n",
		"block, debug=1: by delay, then by count");
	wait_at(&s, SEGMENT_TABLE_BLOCK, 0x1000, 12, 98 * SECOND, LABELS("idle", "yes"));
	wait_at(&s, SEGMENT_TABLE_BLOCK, 0x1010, 1, SECOND / 4,
		LABELS("idle", "yes", "kind", "sem"));
	wait_at(&s, SEGMENT_TABLE_BLOCK, 0x1020, 1, 1, LABELS("idle", "no"));
	is_text(write_it(&s, &block, 1),
		"--- contention:\n"
		"cycles/second=1000000000\n"
		"4120000 3 @ 0x1001 0x2001\n"
		"# labels: {\"kind\":\"mutex\", \"lock\":\"g_cache\"}\n"
		"#\t0x1000\n"
		"#\t0x2000\n"
		"\n"
		"700 6 @ 0x4001 0x2001\n"
		"#\t0x4000\n"
		"#\t0x2000\n"
		"\n"
		"700 5 @ 0x3001 0x2001\n"
		"#\t0x3000\n"
		"#\t0x2000\n"
		"\n"
		"1 1 @ 0x1021 0x2001\n"
		"# labels: {\"idle\":\"no\"}\n"
		"#\t0x1020\n"
		"#\t0x2000\n"
		"\n"
		"# left out as idle: 13 waits, 98.25s; debug=2 has them, too\n",
		"block, debug=1: without what is idle, which it says");
	is_text(write_it(&s, &block, 2),
		"--- contention:\n"
		"cycles/second=1000000000\n"
		"98000000000 12 @ 0x1001 0x2001\n"
		"# labels: {\"idle\":\"yes\"}\n"
		"#\t0x1000\n"
		"#\t0x2000\n"
		"\n"
		"250000000 1 @ 0x1011 0x2001\n"
		"# labels: {\"idle\":\"yes\", \"kind\":\"sem\"}\n"
		"#\t0x1010\n"
		"#\t0x2000\n"
		"\n"
		"4120000 3 @ 0x1001 0x2001\n"
		"# labels: {\"kind\":\"mutex\", \"lock\":\"g_cache\"}\n"
		"#\t0x1000\n"
		"#\t0x2000\n"
		"\n"
		"700 6 @ 0x4001 0x2001\n"
		"#\t0x4000\n"
		"#\t0x2000\n"
		"\n"
		"700 5 @ 0x3001 0x2001\n"
		"#\t0x3000\n"
		"#\t0x2000\n"
		"\n"
		"1 1 @ 0x1021 0x2001\n"
		"# labels: {\"idle\":\"no\"}\n"
		"#\t0x1020\n"
		"#\t0x2000\n"
		"\n",
		"block, debug=2: all");
	segment_unmake(&s);
}

static void test_text_mutex(void)
{
	struct segment s = make(10);

	wait_at(&s, SEGMENT_TABLE_MUTEX, 0x1000, 30, 40010, NULL);
	s.header->runs[RUN_MUTEX].lost = 2;
	is_text(write_it(&s, &mutex, 1),
		"--- mutex:\n"
		"cycles/second=1000000000\n"
		"sampling period=10\n"
		"4001 3 @ 0x1001 0x2001\n"
		"#\t0x1000\n"
		"#\t0x2000\n"
		"\n"
		"0 2 @ 0x1\n"
		"#\t0x0\t[lost: tables full]\n"
		"\n",
		"mutex, debug=1: as it was recorded, which the reader multiplies");
	wait_at(&s, SEGMENT_TABLE_MUTEX, 0x1000, 3, 33, NULL); /* when it was one in 3 */
	is_text(write_it(&s, &mutex, 2),
		"--- mutex:\n"
		"cycles/second=1000000000\n"
		"sampling period=1\n"
		"40043 33 @ 0x1001 0x2001\n"
		"#\t0x1000\n"
		"#\t0x2000\n"
		"\n"
		"0 20 @ 0x1\n"
		"#\t0x0\t[lost: tables full]\n"
		"\n",
		"mutex, debug=2: what was recorded with several fractions is as it counts");
	s.header->runs[RUN_MUTEX].setting = UINT64_MAX; /* of a segment that others wrote */
	free(write_it(&s, &mutex, 1));
	segment_unmake(&s);
}

int main(void)
{
	plan_begin();
	test_profiles();
	test_names();
	test_places();
	test_labels();
	test_text_block();
	test_text_mutex();
	return plan_end();
}
