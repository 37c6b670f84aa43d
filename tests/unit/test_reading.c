/*
 * output/reading, output/places and output/listing: from segments made by hand to profiles and texts, byte for byte.
 */
#include <errno.h>

#include "core/labels.h"
#include "core/stacks.h"
#include "core/table.h"
#include "core/thread.h"
#include "output/listing.h"
#include "tests/unit/reading_make.h"

static struct table_row idle[8]; /* what threads are owed that have not moved */
static unsigned idle_n;

static int read_idle(const struct segment *s, const struct profile_ops *ops,
		     int (*each)(void *user, const struct table_row *row), void *user)
{
	int r = table_read(s, SEGMENT_TABLE_WALL, each, user);

	for (unsigned i = 0; i < idle_n && r == 0; i++)
		r = each(user, &idle[i]);
	return r;
}

static int read_snapshot(const struct segment *s, const struct profile_ops *ops,
			 int (*each)(void *user, const struct table_row *row), void *user)
{
	struct thread_record *records = segment_part(s, SEGMENT_THREADS, 0);
	int r = 0;

	for (uint32_t i = 1; i < s->header->threads_high && r == 0; i++) {
		struct table_row row = {.generation = records[i].snapshot_generation,
					.stack = (uint32_t)records[i].snapshot_row,
					.labels = (uint32_t)(records[i].snapshot_row >> 32),
					.values = {1}};

		if (records[i].snapshot_serial == s->header->snapshot_serial)
			r = each(user, &row);
	}
	return r;
}

static const struct profile_ops wall = {
	.name = "wall",
	.values = (const struct value_type[]){{"samples", "count"}, {"time", "nanoseconds"}, {0}},
	.period = {"wallclock", "nanoseconds"},
	.table = SEGMENT_TABLE_WALL,
	.run = RUN_WALL,
	.read = read_idle,
};
static const struct profile_ops threads = {
	.name = "threads",
	.values = (const struct value_type[]){{"threads", "count"}, {0}},
	.period = {"threads", "count"},
	.table = SEGMENT_NO_TABLE,
	.run = RUN_THREADS,
	.is_instant = true,
	.read = read_snapshot,
};
static const struct profile_ops threadcreate = {
	.name = "threadcreate",
	.values = (const struct value_type[]){{"threadcreate", "count"}, {0}},
	.period = {"threadcreate", "count"},
	.table = SEGMENT_TABLE_CREATE,
	.run = RUN_THREADCREATE,
};

/* Segments */

static struct segment make(void)
{
	idle_n = 0;
	return reading_make();
}

static uint32_t string(struct segment *s, const char *text)
{
	return segment_string(s, text, strlen(text));
}

static uint32_t module(struct segment *s, const char *path, uint64_t start, bool is_ours)
{
	return put_module(s, path,
			  (struct segment_module){
				  .start = start,
				  .end = start + 0x10000,
				  .bias = start,
				  .state = MODULE_LOADED,
				  .is_ours = is_ours,
			  });
}

static uint64_t word(uint32_t module_index, uint64_t address)
{
	return (uint64_t)(module_index + 1) << 48 | address;
}

static struct table_row put(struct segment *s, enum segment_part table, const uint64_t *frames,
			    uint32_t depth, uint32_t labels, uint64_t count, uint64_t ns)
{
	return table_record(s, table, frames, depth, labels, (const uint64_t[]){count, ns});
}

/* A thread as a snapshot leaves it. */
static struct thread_record *snap(struct segment *s, int tid, const char *name, uint64_t serial,
				  const struct table_row *row)
{
	struct thread_record *records = segment_part(s, SEGMENT_THREADS, 0);
	uint32_t index = s->header->threads_high == 0 ? 1 : s->header->threads_high;
	struct thread_record *record = &records[index];

	s->header->threads_high = index + 1;
	record->tid = record->snapshot_tid = tid;
	memcpy(record->name, name, strnlen(name, THREAD_NAME_SIZE));
	record->snapshot_serial = serial;
	if (row != NULL) {
		record->snapshot_generation = row->generation;
		record->snapshot_row = (uint64_t)row->labels << 32 | row->stack;
	}
	return record;
}

static bool has_types(const struct profile *p, const char *types, const char *period)
{
	char text[128] = "", type[80];

	for (uint32_t c = 0; c < p->sample_types_n; c++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s/%s",
			 c > 0 ? "," : "", p->sample_types[c].type, p->sample_types[c].unit);
	snprintf(type, sizeof(type), "%s/%s", p->period_type.type, p->period_type.unit);
	return strcmp(text, types) == 0 && strcmp(type, period) == 0 &&
	       p->default_sample_type[0] == '\0';
}

static void test_cpu(void)
{
	static const char *const pairs[] = {"tenant", "acme"};
	struct segment s = make();
	struct profile p;
	struct reading_counts counts;
	struct why why = {""};

	is_u64((uint64_t)-reading_profile(&s, &cpu, NULL, NULL, &p, NULL, &why), EAGAIN,
	       "it never ran");
	is_str(why.text, "cpu: it never ran in this process", "and says so");
	ok(!reading_is_there(&s, &cpu), "there is nothing to read");
	run(&s, RUN_CPU, 10000000);
	put(&s, SEGMENT_TABLE_CPU, (uint64_t[]){0x1000, 0x2000}, 2, 0, 3, 30000001);
	put(&s, SEGMENT_TABLE_CPU, (uint64_t[]){0x1000, 0x2000}, 2, labels_overlay(&s, 0, pairs, 1),
	    1, 10000000);
	s.header->notes[NOTE_SIGNALS] = 4;
	s.header->runs[RUN_CPU].lost = 5;
	s.header->lost[LOST_STACKS_FULL] = 9; /* of all profiles */
	s.header->lost[LOST_STACK_ROOM] = 2;
	s.header->lost[LOST_UNSAMPLED_NS] = 35000000;
	s.header->lost[LOST_THREADS] = 1;
	p = read_it(&s, &cpu, NULL, NULL);
	ok(has_types(&p, "samples/count,cpu/nanoseconds", "cpu/nanoseconds"), "cpu: its header");
	is_str(show(&p),
	       "3 30000001 : 1000 2000\n"
	       "1 10000000 : 1000 2000 tenant=acme\n"
	       "5 50000000 : [lost: tables full]\n"
	       "2 20000000 : [lost: alternate stack too small]\n"
	       "3 30000000 : [lost: signal blocked]\n",
	       "cpu: samples, and those that are lost");
	is_u64((uint64_t)p.period, 10000000, "cpu: period");
	is_u64((uint64_t)(p.time_ns - BEGUN_REAL), SECOND, "cpu: time, when it began");
	is_u64((uint64_t)p.duration_ns, 2 * SECOND, "cpu: duration");
	ok(has_comment(&p, "4 signals at 100 Hz; 0 stacks truncated"), "cpu: its signals");
	ok(has_comment(&p, "lost: 5 samples: tables full") &&
		   has_comment(&p, "lost: 1 threads: threads without a timer") && p.comments_n == 6,
	   "cpu: a comment for each kind of loss");
	reading_count(&s, &cpu, &counts);
	is_u64(counts.samples, 4, "cpu: count");
	is_u64(counts.lost, 10, "cpu: lost");
	is_u64(counts.ns, 40000001, "cpu: time");
	profile_fini(&p);
	segment_unmake(&s);
}

static void test_wall(void)
{
	static const char *const lock[] = {"state", "lock", "thread", "worker"};
	struct segment s = make();
	struct reading_window *window = NULL;
	struct reading_counts counts;
	struct table_row row, other;
	struct profile p;
	uint32_t set = labels_overlay(&s, 0, lock, 2);

	run(&s, RUN_WALL, 10101010);
	row = put(&s, SEGMENT_TABLE_WALL, (uint64_t[]){0x1000}, 1, set, 2, 20202020);
	other = put(&s, SEGMENT_TABLE_WALL, (uint64_t[]){0x3000}, 1, 0, 1, 10101010);
	row.values[0] = 100; /* it has not moved since */
	row.values[1] = 1010101000;
	idle[0] = row;
	idle[1] = row;
	idle[1].values[0] = 1;
	idle[1].values[1] = 7;
	idle_n = 2;
	s.header->lost[LOST_STACK_ROOM] = 3; /* the CPU profile's */
	s.header->lost[LOST_UNSAMPLED_NS] = SECOND;
	s.header->runs[RUN_WALL].lost = 2;
	s.header->notes[NOTE_LOOKS_ASKED] = 11;
	s.header->notes[NOTE_LOOKS_WAITING] = 12;
	s.header->notes[NOTE_LOOKS_KERNEL] = 13;
	s.header->notes[NOTE_LOOKS_DEAF] = 14;
	p = read_it(&s, &wall, NULL, NULL);
	ok(has_types(&p, "samples/count,time/nanoseconds", "wallclock/nanoseconds"),
	   "wall: its header");
	is_str(show(&p),
	       "103 1030303027 : 1000 state=lock thread=worker\n"
	       "1 10101010 : 3000\n"
	       "2 20202020 : [lost: tables full]\n",
	       "wall: what threads are owed is added to the table's");
	is_u64((uint64_t)p.period, 10101010, "wall: period");
	is_u64((uint64_t)p.duration_ns, 2 * SECOND, "wall: duration");
	ok(has_comment(
		   &p,
		   "looks at 99 Hz: 11 by signal, 12 at threads that said they wait, 13 at what "
		   "the kernel told, 14 without an answer; 0 stacks truncated"),
	   "wall: how threads were looked at");
	is_u64(p.comments_n, 3, "wall: and what was lost of it, nothing of the CPU profile's");
	profile_fini(&p);
	reading_count(&s, &wall, &counts);
	is_u64(counts.samples, 104, "wall: count");
	is_u64(counts.lost, 2, "wall: lost");

	/* it moves on: what it was owed goes into the table, and it is found elsewhere */
	is_u64((uint64_t)reading_window_begin(&s, &wall, &window), 0, "a window");
	idle_n = 0;
	put(&s, SEGMENT_TABLE_WALL, (uint64_t[]){0x1000}, 1, set, 101 + 4, 1010101007 + 40404040);
	idle[0] = other;
	idle[0].values[0] = 6;
	idle[0].values[1] = 60606060;
	idle_n = 1;
	s.header->runs[RUN_WALL].lost = 3;
	s.header->notes[NOTE_LOOKS_ASKED] = 12;
	p = read_it(&s, &wall, window, NULL);
	is_str(show(&p),
	       "4 40404040 : 1000 state=lock thread=worker\n"
	       "6 60606060 : 3000\n"
	       "1 10101010 : [lost: tables full]\n",
	       "wall: what came since the window began");
	ok(has_comment(
		   &p,
		   "looks at 99 Hz: 1 by signal, 0 at threads that said they wait, 0 at what the "
		   "kernel told, 0 without an answer; 0 stacks truncated"),
	   "wall: looks since then");
	profile_fini(&p);

	/* given up since then: nothing to subtract */
	s.header->generations[0].serial = 7;
	p = read_it(&s, &wall, window, NULL);
	ok(p.samples_n == 3 && p.samples[0].values[0] == 2 + 101 + 4,
	   "wall: nothing of a generation that was given up is subtracted");
	profile_fini(&p);
	reading_window_end(window);
	segment_unmake(&s);
}

static void test_threadcreate(void)
{
	struct segment s = make();
	struct reading_window *window = NULL;
	struct profile p;

	run(&s, RUN_THREADCREATE, 1);
	s.header->lost[LOST_STACK_ROOM] = 3;
	put(&s, SEGMENT_TABLE_CREATE, (uint64_t[]){0x1000, 0x1010}, 2, 0, 8, 0);
	p = read_it(&s, &threadcreate, NULL, NULL);
	ok(has_types(&p, "threadcreate/count", "threadcreate/count") && p.period == 1,
	   "threadcreate: its header");
	is_str(show(&p), "8 : 1000 1010\n", "threadcreate: one column");
	is_u64((uint64_t)p.duration_ns, 0, "threadcreate: no duration");
	is_u64((uint64_t)(p.time_ns - BEGUN_REAL), 2 * SECOND + SECOND,
	       "threadcreate: the moment of the count");
	is_u64(p.comments_n, 1, "threadcreate: no rate, nothing lost");
	profile_fini(&p);
	reading_window_begin(&s, &threadcreate, &window);
	put(&s, SEGMENT_TABLE_CREATE, (uint64_t[]){0x1000, 0x1010}, 2, 0, 2, 0);
	s.header->runs[RUN_THREADCREATE].lost = 1;
	p = read_it(&s, &threadcreate, window, NULL);
	is_str(show(&p), "2 : 1000 1010\n1 : [lost: tables full]\n", "threadcreate: a window");
	profile_fini(&p);
	reading_window_end(window);
	segment_unmake(&s);
}

static void test_threads(void)
{
	struct reading_thread *list = NULL;
	struct segment s = make();
	struct reading_window *window = NULL;
	struct reading_counts counts;
	struct table_row first, second;
	struct thread_record *moves, *stays, *ends;
	struct profile p;
	struct why why = {""};

	run(&s, RUN_THREADS, 1);
	ok(!reading_is_there(&s, &threads), "threads: without a snapshot there is nothing");
	is_u64((uint64_t)-reading_profile(&s, &threads, NULL, NULL, &p, NULL, &why), EAGAIN,
	       "threads: it is refused");
	is_str(why.text, "threads: no snapshot was taken in this process", "threads: and says so");
	first = put(&s, SEGMENT_NO_TABLE, (uint64_t[]){0x1000}, 1, 0, 1, 0);
	second = put(&s, SEGMENT_NO_TABLE, (uint64_t[]){0x2000}, 1, 0, 1, 0);
	s.header->snapshot_serial = 1;
	s.header->snapshot_ns = BEGUN_MONO + 5 * SECOND;
	stays = snap(&s, 100, "main", 1, &second);
	stays->snapshot_state = WAIT_COND;
	moves = snap(&s, 101, "a", 1, &first);
	ends = snap(&s, 102, "a", 1, &first);
	snap(&s, 103, "old", 0, &first);
	p = read_it(&s, &threads, NULL, NULL);
	ok(has_types(&p, "threads/count", "threads/count") && p.period == 1, "threads: its header");
	is_str(show(&p),
	       "1 : 2000 state=cond thread=main\n"
	       "2 : 1000 state=running thread=a\n",
	       "threads: those of the last snapshot, by stack and name");
	is_u64((uint64_t)(p.time_ns - BEGUN_REAL), 5 * SECOND, "threads: time of the snapshot");
	is_u64((uint64_t)p.duration_ns, 0, "threads: no duration");
	is_u64(p.comments_n, 1, "threads: no rate");
	profile_fini(&p);
	reading_count(&s, &threads, &counts);
	is_u64(counts.samples, 3, "threads: count");

	reading_window_begin(&s, &threads, &window);
	s.header->snapshot_serial = 2;
	s.header->snapshot_ns = BEGUN_MONO + 7 * SECOND;
	stays->snapshot_serial = moves->snapshot_serial = 2;
	moves->snapshot_row = second.stack;
	ends->tid = 0;
	p = read_it(&s, &threads, window, NULL);
	is_str(show(&p),
	       "1 : 2000 state=running thread=a\n"
	       "-2 : 1000 state=running thread=a\n",
	       "threads: a window is what there is more or less of than then");
	is_u64((uint64_t)p.duration_ns, 2 * SECOND, "threads: between two snapshots");
	profile_fini(&p);
	moves->snapshot_row = first.stack;
	ends->snapshot_serial = 2;
	p = read_it(&s, &threads, window, NULL);
	is_u64(p.samples_n, 0, "threads: nothing, when nothing moved");
	profile_fini(&p);
	is_u64((uint64_t)-reading_threads(&s, &threads, NULL, &p, &list, &why), 0,
	       "threads: one by one");
	ok(list[0].tid == 100 && list[1].tid == 101 && list[2].tid == 102,
	   "threads: who has ended since has its number");
	profile_fini(&p);
	free(list);
	s.header->generations[0].serial = 9;
	p = read_it(&s, &threads, window, NULL);
	ok(p.samples_n == 2 && p.samples[1].values[0] == 2,
	   "threads: nothing of a generation that was given up is subtracted");
	profile_fini(&p);
	reading_window_end(window);
	segment_unmake(&s);
}

static void test_frames(void)
{
	struct segment s = make();
	uint32_t program = module(&s, "/bin/program (deleted)", 0x100000, false),
		 ours = module(&s, "/lib/libcprof.so.0", 0x200000, true);
	uint32_t name = string(&s, "[kernel] pipe_read"), none = string(&s, "");
	struct profile p;

	run(&s, RUN_CPU, 10000000);
	put(&s, SEGMENT_TABLE_CPU,
	    (uint64_t[]){FRAME_NAMED(name), word(program, 0x101000), FRAME_TRUNCATED}, 3, 0, 1, 1);
	put(&s, SEGMENT_TABLE_CPU,
	    (uint64_t[]){word(ours, 0x201000), word(program, 0x101000), word(ours, 0x202000),
			 word(program, 0x102000)},
	    4, 0, 2, 2);
	put(&s, SEGMENT_TABLE_CPU, (uint64_t[]){word(ours, 0x201000), word(ours, 0x202000)}, 2, 0,
	    3, 3);
	put(&s, SEGMENT_TABLE_CPU, (uint64_t[]){word(ours, 0x201000), FRAME_TRUNCATED}, 2, 0, 4, 4);
	/* what leads nowhere */
	put(&s, SEGMENT_TABLE_CPU,
	    (uint64_t[]){FRAME_NAMED(0xfffffff8), FRAME_NAMED(name + 1), FRAME_NAMED(none),
			 FRAME_TRUNCATED | 0x123400000000 | name, word(77, 0x5000),
			 word(0xfffd, 0x6000), 0},
	    7, 0, 5, 5);
	p = read_it(&s, &cpu, NULL, NULL);
	is_str(show(&p),
	       "1 1 : [kernel] pipe_read 101000 [truncated]\n"
	       "2 2 : 101000 102000\n"
	       "3 3 : 201000 202000\n"
	       "4 4 : [truncated]\n"
	       "5 5 : [truncated] [truncated] [truncated] [kernel] pipe_read 5000 6000 0\n",
	       "frames with a name, frames of ours, frames that lead nowhere");
	is_str(p.mappings[0].file, "/bin/program", "the first mapping is the program");
	ok(p.mappings_n == 3 && strcmp(p.mappings[2].file, "//anon") == 0,
	   "ours is one only where nothing else is left");
	for (uint32_t i = 0; i < p.locations_n; i++)
		if (p.locations[i].lines_n > 0)
			ok(p.locations[i].address == 0 && p.locations[i].mapping == PROFILE_NONE,
			   "a name is at no address and in no mapping");
	profile_fini(&p);
	segment_unmake(&s);
}

static void test_damaged(void)
{
	struct segment s = make();
	struct table_row row = {.values = {4, 4}};
	struct reading_window *window = NULL;
	struct reading_thread *list = NULL;
	struct thread_record *record;
	struct profile p;
	struct why why = {""};

	run(&s, RUN_WALL, UINT64_MAX);
	run(&s, RUN_THREADS, 1);
	idle[0] = row; /* no stack: there was no room */
	row.stack = 2;
	row.generation = 77;
	idle[1] = row;
	row.generation = 1;
	row.stack = UINT32_MAX;
	row.labels = UINT32_MAX;
	idle[2] = row;
	row.stack = segment_count(&s, SEGMENT_STACK_WORDS, 0) - 1;
	idle[3] = row;
	idle_n = 4;
	p = read_it(&s, &wall, NULL, NULL);
	is_str(show(&p), "8 8 : [lost: tables full]\n", "rows that lead nowhere");
	profile_fini(&p);
	ok(reading_window_begin(&s, &wall, &window) == 0, "a window over them");
	p = read_it(&s, &wall, window, NULL);
	is_u64(p.samples_n, 0, "subtracts them");
	profile_fini(&p);
	reading_window_end(window);

	s.header->snapshot_serial = 5;
	s.header->snapshot_ns = 3;
	record = snap(&s, -1, "sixteen bytes long", 5, NULL);
	record->snapshot_generation = 77;
	record->snapshot_row = UINT64_MAX;
	record->snapshot_state = UINT32_MAX;
	record->snapshot_since_ns = UINT64_MAX;
	record->snapshot_channel = UINT32_MAX;
	s.header->threads_high = UINT32_MAX;
	ok(reading_threads(&s, &threads, NULL, &p, &list, &why) == 0 && p.samples_n == 1,
	   "a thread of which nothing makes sense");
	ok(list[0].tid == 0 && list[0].for_ns == 0 && list[0].channel[0] == '\0' &&
		   p.samples[0].locations_n == 1,
	   "is there, with what is known");
	is_str(list[0].name, "sixteen bytes lo", "a name without its end");
	profile_fini(&p);
	free(list);
	segment_unmake(&s);
}

/* With names for the code at 0x1000, 0x2000 and 0x3000, as a JIT leaves them. */
static struct segment make_named(char path[64])
{
	struct segment s = make();
	FILE *map;

	s.header->pid = getpid();
	snprintf(path, 64, "/tmp/perf-%d.map", (int)getpid());
	map = fopen(path, "w");
	if (map == NULL) {
		printf("Bail out! cannot write %s\n", path);
		exit(1);
	}
	fprintf(map, "1000 100 wait_for_work\n2000 100 worker\n3000 100 ma\x01in\n");
	fclose(map);
	return s;
}

static void make_threads(struct segment *s)
{
	static const char *const user[] = {"pool", "we\"b\n", "state", "cond", "thread", "worker"};
	static const char *const own[] = {"state", "lock", "thread", "worker"};
	static const char *const another[] = {"state", "lock", "thread", "other"};
	uint32_t user_set = labels_overlay(s, 0, user, 3), own_set = labels_overlay(s, 0, own, 2);
	struct table_row waits =
		put(s, SEGMENT_NO_TABLE, (uint64_t[]){0x1010, 0x2fff - 0xf00}, 2, user_set, 1, 0);
	struct table_row locks =
		put(s, SEGMENT_NO_TABLE, (uint64_t[]){0x1010, 0x2fff - 0xf00}, 2, own_set, 1, 0);
	struct table_row runs =
		put(s, SEGMENT_NO_TABLE, (uint64_t[]){0x3000, FRAME_TRUNCATED}, 2, 0, 1, 0);
	struct table_row deaf =
		put(s, SEGMENT_NO_TABLE,
		    (uint64_t[]){FRAME_NAMED(string(s, "[kernel] do_sys_poll"))}, 1, 0, 1, 0);
	uint64_t at = BEGUN_MONO + 1000 * SECOND;
	struct thread_record *record;

	run(s, RUN_THREADS, 1);
	s->header->snapshot_serial = 3;
	s->header->snapshot_ns = at;
	record = snap(s, 30, "wor\tker", 3, &deaf);
	record->snapshot_state = WAIT_SYSCALL + 7; /* poll, on x86-64 */
	record->snapshot_channel = string(s, "do_sys_poll");
	record->snapshot_since_ns = at - 4219999999;
	record = snap(s, 20, "worker", 3, &waits);
	record->snapshot_state = WAIT_COND;
	record->snapshot_since_ns = at - 12 * 60 * SECOND - 59 * SECOND;
	record = snap(s, 0, "gone", 3, NULL);
	record->snapshot_state = WAIT_SLEEP;
	record->snapshot_since_ns = at - 42;
	record = snap(s, s->header->pid, "the program", 3, &runs);
	record = snap(s, 25, "worker", 3, &locks);
	record->snapshot_state = WAIT_LOCK;
	record->snapshot_since_ns = at - 42100;
	snap(s, 26, "too late", 2, &runs);
	locks.labels = labels_overlay(s, 0, another, 2);
	record = snap(s, 27, "other", 3, &locks);
	record->snapshot_state = WAIT_LOCK;
}

static void test_text_threads(void)
{
	char path[64], want[2048], poll_name[WAIT_NAME_SIZE];
	struct segment s = make_named(path);
	const char *state = wait_name(WAIT_SYSCALL + 7, poll_name);

	make_threads(&s);
	snprintf(want, sizeof(want),
		 "thread %d [running] \"the program\":\n"
		 "ma?in(...)\n\t[jit]\n"
		 "[truncated]\n"
		 "\n"
		 "thread 20 [cond, 12 minutes] \"worker\":\n"
		 "# labels: {\"pool\":\"we\\\"b\\n\"}\n"
		 "wait_for_work(...)\n\t[jit]\n"
		 "worker(...)\n\t[jit]\n"
		 "\n"
		 "thread 25 [lock, 42.1us] \"worker\":\n"
		 "wait_for_work(...)\n\t[jit]\n"
		 "worker(...)\n\t[jit]\n"
		 "\n"
		 "thread 27 [lock] \"other\":\n"
		 "wait_for_work(...)\n\t[jit]\n"
		 "worker(...)\n\t[jit]\n"
		 "\n"
		 "thread 30 [%s, do_sys_poll, 4.21s] \"wor\\tker\":\n"
		 "[kernel] do_sys_poll\n"
		 "\n"
		 "thread ? [sleep, 42ns] \"gone\":\n"
		 "[lost: tables full]\n",
		 (int)getpid(), state);
	is_text(write_it(&s, &threads, 2), want, "threads, debug=2");
	is_text(write_it(&s, &threads, 1),
		"threads profile: total 6\n"
		"2 @ 0x1011 0x2100\n"
		"# labels: {\"state\":\"lock\"}\n"
		"#\t0x1010\twait_for_work\t[jit]\n"
		"#\t0x20ff\tworker\t[jit]\n"
		"\n"
		"1 @ 0x1\n"
		"# labels: {\"state\":\"sleep\"}\n"
		"#\t0x0\t[lost: tables full]\n"
		"\n"
		"1 @ 0x1\n"
		"# labels: {\"state\":\"syscall:poll\"}\n"
		"#\t0x0\t[kernel] do_sys_poll\n"
		"\n"
		"1 @ 0x1011 0x2100\n"
		"# labels: {\"pool\":\"we\\\"b\\n\", \"state\":\"cond\"}\n"
		"#\t0x1010\twait_for_work\t[jit]\n"
		"#\t0x20ff\tworker\t[jit]\n"
		"\n"
		"1 @ 0x3001 0x1\n"
		"# labels: {\"state\":\"running\"}\n"
		"#\t0x3000\tma?in\t[jit]\n"
		"#\t0x0\t[truncated]\n"
		"\n",
		"threads, debug=1: by stack, whatever their names");
	unlink(path);
	segment_unmake(&s);
}

static void make_creators(struct segment *s)
{
	run(s, RUN_THREADCREATE, 1);
	put(s, SEGMENT_TABLE_CREATE, (uint64_t[]){0x20ff}, 1, 0, 3, 0);
	put(s, SEGMENT_TABLE_CREATE, (uint64_t[]){0x1000, 0x20ff}, 2, 0, 3, 0);
	put(s, SEGMENT_TABLE_CREATE, (uint64_t[]){0x1000}, 1, 0, 3, 0);
	put(s, SEGMENT_TABLE_CREATE, (uint64_t[]){0x10000, 0x3000}, 2, 0, 3, 0);
	put(s, SEGMENT_TABLE_CREATE, (uint64_t[]){0x9000}, 1, 0, 11, 0);
}

static void test_text_counts(void)
{
	static const char *const pairs[] = {"tenant", "acme"};
	char path[64];
	struct segment s = make_named(path);

	make_creators(&s);
	run(&s, RUN_CPU, 10000000);
	put(&s, SEGMENT_TABLE_CPU, (uint64_t[]){0x1010, 0x20ff}, 2, 0, 3, 30000001);
	put(&s, SEGMENT_TABLE_CPU, (uint64_t[]){0x1010, 0x20ff}, 2, labels_overlay(&s, 0, pairs, 1),
	    4, 10000000);
	for (int debug = 1; debug <= 2; debug++) {
		is_text(write_it(&s, &threadcreate, debug),
			"threadcreate profile: total 23\n"
			"11 @ 0x9001\n"
			"#\t0x9000\n"
			"\n"
			"3 @ 0x10001 0x3001\n"
			"#\t0x10000\n"
			"#\t0x3000\tma?in\t[jit]\n"
			"\n"
			"3 @ 0x1001\n"
			"#\t0x1000\twait_for_work\t[jit]\n"
			"\n"
			"3 @ 0x1001 0x2100\n"
			"#\t0x1000\twait_for_work\t[jit]\n"
			"#\t0x20ff\tworker\t[jit]\n"
			"\n"
			"3 @ 0x2100\n"
			"#\t0x20ff\tworker\t[jit]\n"
			"\n",
			debug == 1 ? "threadcreate, debug=1: by count, then as the text sorts"
				   : "threadcreate, debug=2: the same");
		is_text(write_it(&s, &cpu, debug),
			"cpu profile: total 7 40000001\n"
			"# samples/count cpu/nanoseconds\n"
			"4 10000000 @ 0x1011 0x2100\n"
			"# labels: {\"tenant\":\"acme\"}\n"
			"#\t0x1010\twait_for_work\t[jit]\n"
			"#\t0x20ff\tworker\t[jit]\n"
			"\n"
			"3 30000001 @ 0x1011 0x2100\n"
			"#\t0x1010\twait_for_work\t[jit]\n"
			"#\t0x20ff\tworker\t[jit]\n"
			"\n",
			debug == 1 ? "cpu, debug=1: both columns" : "cpu, debug=2: the same");
	}
	unlink(path);
	segment_unmake(&s);
}

/* Functions, inlined ones, offsets and files: a profile made by hand. */
static struct profile make_symbolized(void)
{
	struct profile p;
	struct profile_mapping mapping = {0x100000, 0x110000, 0,   "/bin/pro\x1bgram", "", true,
					  true,     true,     true};
	struct profile_function inner = {"inner", "inner", "/src/a.h", 1},
				outer = {"ns::outer", "_ZN2ns5outerEv", "/src/a.cc", 7},
				bare = {"bare", "bare", "", 0};
	struct profile_line both[2], one;
	struct profile_location location = {.address = 0x101010, .lines_n = 2, .lines = both};
	struct profile_sample sample = {.values = &(int64_t){-2}};
	uint32_t at[4];

	profile_init(&p);
	profile_add_sample_type(&p, "threads", "count");
	location.mapping = profile_add_mapping(&p, &mapping);
	both[0] = (struct profile_line){profile_add_function(&p, &inner), 3, 0};
	both[1] = (struct profile_line){profile_add_function(&p, &outer), 9, 0};
	one = (struct profile_line){profile_add_function(&p, &bare), 0, 0};
	at[0] = profile_add_location(&p, &location);
	profile_set_base(&p, at[0], 0x101000);
	location.address = 0x102020;
	location.lines_n = 1;
	location.lines = &one;
	at[1] = profile_add_location(&p, &location);
	profile_set_base(&p, at[1], 0x102000);
	location.address = 0x103030;
	location.lines_n = 0;
	at[2] = profile_add_location(&p, &location);
	profile_set_base(&p, at[2], 0x100000);
	location.mapping = PROFILE_NONE;
	location.address = 0x7000;
	at[3] = profile_add_location(&p, &location);
	sample.locations = at;
	sample.locations_n = 4;
	profile_add_sample(&p, &sample);
	return p;
}

static void test_text_places(void)
{
	struct profile p = make_symbolized();
	struct reading_thread thread = {
		.tid = 9, .name = "\xc2\x85x\x7f", .channel = "", .for_ns = 421 * 1000000};
	int fd = open_memory();

	is_u64((uint64_t)listing_stacks(&p, "threads", fd), 0, "a profile with names");
	is_text(text_of(fd),
		"threads profile: total -2\n"
		"-2 @ 0x101011 0x102021 0x103031 0x7001\n"
		"#\t0x101010\tinner+0x10\t/src/a.h:3\n"
		"#\t0x101010\tns::outer+0x10\t/src/a.cc:9\n"
		"#\t0x102020\tbare+0x20\t/bin/pro?gram\n"
		"#\t0x103030\n"
		"#\t0x7000\n"
		"\n",
		"inlined functions have lines of their own; what is not known is left out");
	fd = open_memory();
	is_u64((uint64_t)listing_threads(&p, &thread, fd), 0, "a thread with names");
	is_text(text_of(fd),
		"thread 9 [running, 421ms] \"\\u0085x\\x7f\":\n"
		"inner(...)\n\t/src/a.h:3 +0x10\n"
		"ns::outer(...)\n\t/src/a.cc:9 +0x10\n"
		"bare(...)\n\t/bin/pro?gram +0x20\n"
		"0x103030\n\t/bin/pro?gram +0x3030\n"
		"0x7000\n",
		"the same by thread");
	fd = open("/dev/full", O_WRONLY);
	if (fd >= 0) {
		is_u64((uint64_t)-listing_stacks(&p, "threads", fd), ENOSPC, "a full disk");
		is_u64((uint64_t)-listing_threads(&p, &thread, fd), ENOSPC, "a full disk again");
		close(fd);
	}
	is_u64((uint64_t)-listing_stacks(&p, "threads", -1), EBADF, "no file");
	profile_fini(&p);
}

static const struct {
	uint64_t ns;
	const char *text;
} times[] = {
	{1, "1ns"},
	{999, "999ns"},
	{1000, "1.00us"},
	{9999, "9.99us"},
	{10000, "10.0us"},
	{999999, "999us"},
	{1000000, "1.00ms"},
	{59999999999, "59.9s"},
	{60000000000, "1 minutes"},
	{UINT64_C(7200000000000), "120 minutes"},
};

static void test_text_times(void)
{
	struct profile p;
	struct profile_sample sample = {.values = &(int64_t){1}};

	profile_init(&p);
	profile_add_sample_type(&p, "threads", "count");
	profile_add_sample(&p, &sample);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct reading_thread thread = {
			.tid = 1, .name = "x", .channel = "", .for_ns = times[i].ns};
		char want[64];
		int fd = open_memory();

		snprintf(want, sizeof(want), "thread 1 [running, %s] \"x\":\n", times[i].text);
		listing_threads(&p, &thread, fd);
		is_text(text_of(fd), want, times[i].text);
	}
	profile_fini(&p);
}

/* This program's own code: a function, where it begins, its file and line. */
__attribute__((noinline, used)) static uintptr_t known_function(void)
{
	uintptr_t pc;

#if defined(__x86_64__)
	__asm__ volatile("lea 0f(%%rip), %0\n0: nop" : "=r"(pc));
#else
	__asm__ volatile("adr %0, ." : "=r"(pc));
#endif
	return pc;
}

static bool find_self(uint64_t *ret_start, uint64_t *ret_end, uint64_t *ret_offset)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	uint64_t at = (uintptr_t)known_function;
	char line[512];
	bool is_found = false;

	while (maps != NULL && !is_found && fgets(line, sizeof(line), maps) != NULL)
		is_found = sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64, ret_start, ret_end,
				  ret_offset) == 3 &&
			   at >= *ret_start && at < *ret_end;
	if (maps != NULL)
		fclose(maps);
	return is_found;
}

extern const char __executable_start[];

static void test_text_self(void)
{
	struct segment s = make();
	uint64_t start = 0, end = 0, offset = 0, pc = known_function();
	uint32_t index;
	char want[256], self[1024];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *got;

	if (n <= 0 || !find_self(&start, &end, &offset)) {
		skip("no /proc");
		segment_unmake(&s);
		return;
	}
	self[n] = '\0';
	index = module(&s, self, start, false);
	segment_module_at(&s, index)->end = end;
	segment_module_at(&s, index)->file_offset = offset;
	segment_module_at(&s, index)->bias = (uintptr_t)__executable_start;
	run(&s, RUN_THREADCREATE, 1);
	put(&s, SEGMENT_TABLE_CREATE, (uint64_t[]){word(index, pc)}, 1, 0, 1, 0);
	got = write_it(&s, &threadcreate, 1);
	snprintf(want, sizeof(want),
		 "threadcreate profile: total 1\n1 @ 0x%" PRIx64 "\n#\t0x%" PRIx64
		 "\tknown_function+0x%" PRIx64 "\t",
		 pc + 1, pc, pc - (uintptr_t)known_function);
	if (!ok(strncmp(got, want, strlen(want)) == 0, "function and offset of real code"))
		note("got %s", got);
	free(got);
	segment_unmake(&s);
}

/* Ten thousand threads: each stack once in the profile, each thread in the text. */
static void test_crowd(void)
{
	struct segment s = segment_make((uint64_t)64 << 20);
	struct table_row rows[16];
	char *text;
	size_t blocks = 0;
	struct profile p;

	s.header->pid = 1;
	run(&s, RUN_THREADS, 1);
	s.header->snapshot_serial = 1;
	s.header->snapshot_ns = BEGUN_MONO;
	for (uint64_t i = 0; i < 16; i++) {
		uint64_t frames[40];

		for (uint64_t j = 0; j < 40; j++)
			frames[j] = 0x1000 * (i + 1) + j;
		rows[i] = put(&s, SEGMENT_NO_TABLE, frames, 40, 0, 1, 0);
	}
	for (int i = 0; i < 10000; i++) {
		char name[THREAD_NAME_SIZE];

		snprintf(name, sizeof(name), "worker %d", i);
		snap(&s, 10001 - i, name, 1, &rows[i % 16]);
	}
	p = read_it(&s, &threads, NULL, NULL);
	is_u64(p.samples_n, 10000,
	       "10,000 threads: each has its name, whatever room there is for labels");
	profile_fini(&p);
	text = write_it(&s, &threads, 1);
	for (const char *at = text; (at = strstr(at, "\n\n")) != NULL; at++)
		blocks++;
	is_u64(blocks, 16, "10,000 threads: 16 stacks");
	free(text);
	blocks = 0;
	text = write_it(&s, &threads, 2);
	for (const char *at = text; (at = strstr(at, "[running] \"worker ")) != NULL; at++)
		blocks++;
	is_u64(blocks, 10000, "10,000 threads: 10,000 blocks");
	ok(strncmp(text, "thread 2 ", 9) == 0, "in the order of their ids");
	free(text);
	segment_unmake(&s);
}

/* What pprof makes of debug=1. */
static void test_pprof(void)
{
	char path[64], file[] = "/tmp/cprof-test-XXXXXX", command[160], line[256], all[4096] = "";
	struct segment s;
	struct why why = {""};
	FILE *pprof;
	int fd;

	if (system("go tool -n pprof >/dev/null 2>&1") != 0) {
		skip("pprof reads debug=1: go is not installed");
		return;
	}
	s = make_named(path);
	make_threads(&s);
	make_creators(&s);
	fd = mkstemp(file);
	for (int i = 0; i < 2; i++) {
		const struct profile_ops *ops = i == 0 ? &threads : &threadcreate;

		if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
		    cprof_output_functions.write(&s, ops, NULL, fd, 1, &why) < 0)
			exit(1);
		snprintf(command, sizeof(command), "go tool pprof -symbolize=none -raw %s 2>&1",
			 file);
		pprof = popen(command, "r");
		all[0] = '\0';
		while (pprof != NULL && fgets(line, sizeof(line), pprof) != NULL)
			if (strlen(all) + strlen(line) < sizeof(all))
				strcat(all, line);
		if (!ok(pprof != NULL && pclose(pprof) == 0 &&
				strstr(all, i == 0 ? "PeriodType: threads count\n"
						   : "PeriodType: threadcreate count\n") != NULL &&
				strstr(all, i == 0 ? "          3: 1 2 \n" : "         11: 1 \n") !=
					NULL &&
				strstr(all, i == 0 ? ": 0x1010 M=1 \n" : ": 0x9000 M=1 \n") != NULL,
			"go tool pprof reads %s as text", ops->name))
			note("%s", all);
	}
	close(fd);
	unlink(file);
	unlink(path);
	segment_unmake(&s);
}

/* Files */

static unsigned count_files(const char *directory, const char *const *names)
{
	unsigned n = 0;

	for (; *names != NULL; names++) {
		char path[256];

		snprintf(path, sizeof(path), "%s/%s", directory, *names);
		n += access(path, R_OK) == 0;
		unlink(path);
	}
	return n;
}

static void test_files(void)
{
	static const struct profile_ops *const all[] = {&cpu, &wall, &threads, &threadcreate, NULL};
	char directory[] = "/tmp/cprof-test-XXXXXX";
	struct segment s = make();
	struct why why = {""};

	if (mkdtemp(directory) == NULL)
		exit(1);
	make_creators(&s);
	s.header->runs[RUN_THREADS].period = 1;
	is_u64((uint64_t)output_write_files(&s, all, NULL, directory, NULL, &why), 0, "files");
	is_u64(count_files(directory, (const char *const[]){"threadcreate.pb.gz", NULL}), 1,
	       "what ran has one");
	is_u64((uint64_t)rmdir(directory), 0, "what did not has none");
	make_threads(&s);
	is_u64((uint64_t)output_write_files(&s, all, NULL, directory, NULL, &why), 0,
	       "with threads");
	is_u64(count_files(directory, (const char *const[]){"threadcreate.pb.gz", "threads.pb.gz",
							    "threads.txt", NULL}),
	       3, "these have a text, too");
	is_u64((uint64_t)output_write_snapshot(&s, all, NULL, directory, 12, &why), 0,
	       "a snapshot on the way");
	is_u64(count_files(directory,
			   (const char *const[]){"threads.12.pb.gz", "threads.12.txt", NULL}),
	       2, "has its number");
	is_u64((uint64_t)rmdir(directory), 0, "and is of what is now alone");
	segment_unmake(&s);
}

int main(void)
{
	plan_begin();
	test_cpu();
	test_wall();
	test_threadcreate();
	test_threads();
	test_frames();
	test_damaged();
	test_text_threads();
	test_text_counts();
	test_text_places();
	test_text_times();
	test_text_self();
	test_crowd();
	test_pprof();
	test_files();
	return plan_end();
}
