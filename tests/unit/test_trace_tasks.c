/*
 * Tasks, regions and the critical path of traces made by hand, of which every number is known: a tick is a ns.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "tests/tap.h"
#include "tests/unit/trace_make.h"
#include "viewer/critical.h"
#include "viewer/regions.h"
#include "viewer/task_lines.h"
#include "viewer/tasks.h"

#define FLAG_SWITCHES (1u << 3)

enum { /* types of events */
       CREATE = 1,
       START = 2,
       EXIT = 4,
       JOIN = 5,
       JOINED = 6,
       STATUS = 11,
       STATUS_REGION = 13,
       CALL = 18,
       FD_OPEN = 24,
       WAIT = 32,
       ACQUIRED = 33,
       RELEASED = 35,
       HELD = 37,
       COND = 40,
       COND_END = 41,
       SIGNAL = 42,
       OUT = 64,
       IN = 65,
       TASK_BEGIN = 96,
       TASK_END = 97,
       SWITCH = 98,
       REGION = 99,
       REGION_END = 100,
       LOG = 101,
       FLOW_BEGIN = 102,
       FLOW_STEP = 103,
       ATTRIBUTE = 105,
};

/* ---- how traces are made ---- */

static uint64_t first_ns, at_ns;

/* An event at @ns, those of a block one after the other. */
#define AT(m, ns, type, ...)                                      \
	do {                                                      \
		if ((m)->records == 0)                            \
			first_ns = at_ns = (ns);                  \
		made_event((m), (type), (ns)-at_ns, __VA_ARGS__); \
		at_ns = (ns);                                     \
	} while (0)

static void end_of(struct made *m, uint32_t thread, uint32_t sequence, uint8_t flags)
{
	made_end_block(m, (struct made_block){.kind = MADE_EVENTS,
					      .flags = flags,
					      .thread = thread,
					      .sequence = sequence,
					      .first_ns = first_ns,
					      .last_ns = at_ns,
					      .span = at_ns - first_ns,
					      .tick_fs = 1000000,
					      .needs = {100, 100, 100, 100}});
}

#define THREAD(m, thread)                end_of(m, thread, 0, 0)
#define SWITCHES(m, cpu)                 end_of(m, cpu, 0, 8)
#define STARTS(m, ns)                    AT(m, ns, START, 4, U(1), U(0), U(0), U(0))
#define EXITS(m, ns)                     AT(m, ns, EXIT, 1, U(1))
#define BEGINS(m, ns, task, parent, str) AT(m, ns, TASK_BEGIN, 4, U(task), U(parent), U(str), U(0))
#define WORKS_FOR(m, ns, task)           AT(m, ns, SWITCH, 1, U(task))
#define ENDS(m, ns, task)                AT(m, ns, TASK_END, 1, U(task))
#define ENTERS(m, ns, name, task)        AT(m, ns, REGION, 3, U(name), U(task), U(0))
#define LEAVES(m, ns, name)              AT(m, ns, REGION_END, 1, U(name))
#define WAITS_FOR(m, ns, object, holder) AT(m, ns, WAIT, 4, U(object), U(1), U(holder), U(0))
#define GETS(m, ns, object, order)       AT(m, ns, ACQUIRED, 4, U(object), U(1), U(order), U(0))
#define LETS_GO(m, ns, object, order, held, waiters) \
	AT(m, ns, RELEASED, 6, U(object), U(1), U(order), U(held), U(waiters), U(0))
#define CALLS(m, ns, number, took, file) \
	AT(m, ns, CALL, 8, U(number), U(took), ZIGZAG(1), U(file), U(0), U(0), U(0), U(0))

static struct story_counts tell(struct made *m, const struct story_listener *listener,
				uint64_t from_ns, uint64_t to_ns)
{
	struct story_counts counts = {0};
	struct reader *reader;
	struct streams streams;
	struct tables tables;
	struct why why = {""};
	int r;

	made_end(m, 2, 0);
	tables_init(&tables);
	if (reader_open_bytes(&reader, "test", m->file.at, m->file.n, &why) < 0 ||
	    streams_init(&streams, reader) < 0 || tables_load(&tables, reader, &why) < 0)
		abort();
	r = story_tell(reader, &streams, &tables, from_ns, to_ns, listener, &counts, NULL, &why);
	if (r != 0 && r != -E2BIG)
		note("failed: %d %s", r, why.text);
	tables_fini(&tables);
	streams_fini(&streams);
	reader_close(reader);
	made_free(m);
	return counts;
}

/* ---- what is found, as text ---- */

static char text[1 << 16];
static size_t text_n;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text_n += (size_t)vsnprintf(text + text_n, sizeof(text) - text_n, format, args);
	va_end(args);
	if (text_n > sizeof(text) - 200)
		text_n = sizeof(text) - 200;
}

static void say_nothing(void)
{
	text_n = 0;
	text[0] = '\0';
}

static void say_states(const uint64_t state_ns[TRACE_STATES])
{
	for (unsigned i = 0; i < TRACE_STATES; i++)
		if (state_ns[i] > 0)
			say(" %c%" PRIu64, story_state_letter(i), state_ns[i]);
}

static void say_tasks(const struct tasks *t)
{
	say_nothing();
	for (uint32_t i = 0; i < t->types_n; i++) {
		const struct task_type *type = &t->types[i];

		say("type%u: %" PRIu64 "/%" PRIu64 " open, total %" PRIu64 " max %" PRIu64
		    " gap %" PRIu64 " overlap %" PRIu64,
		    type->type, type->count, type->open, type->total_ns, type->latency.max,
		    type->gap_ns, type->overlap_ns);
		say_states(type->state_ns);
		say("\n");
	}
	for (uint32_t i = 0; i < t->slowest_n; i++) {
		const struct task *task = &t->slowest[i];

		say("task%" PRIu64 ": %" PRIu64 "-%" PRIu64 "%s%s gap %" PRIu64 " overlap %" PRIu64
		    " threads %u at once %u parts %u",
		    task->id, task->begin_ns, task->end_ns, task->has_begin ? "" : " unbegun",
		    task->has_end ? "" : " unended", task->gap_ns, task->overlap_ns, task->threads,
		    task->at_once, task->parts);
		say_states(task->state_ns);
		say("\n");
		if (task_work_ns(task->state_ns) - task->overlap_ns + task->gap_ns !=
		    task->end_ns - task->begin_ns)
			say("does not add up\n");
	}
}

static struct tasks tell_tasks(struct made *m, uint32_t slowest)
{
	struct tasks t = {.to_ns = UINT64_MAX, .slowest_max = slowest};
	struct story_listener listener = tasks_listener(&t);
	struct story_counts counts = tell(m, &listener, 0, UINT64_MAX);

	tasks_end(&t, counts.end_ns);
	say_tasks(&t);
	return t;
}

static void are_tasks(struct made *m, const char *wanted, const char *about)
{
	struct tasks t = tell_tasks(m, 10);

	is_str(text, wanted, "%s", about);
	tasks_fini(&t);
}

/* One task on three threads, two of them at once; 17 of type 1. */
static void make_three(struct made *m)
{
	made_begin(m);
	STARTS(m, 1000);
	BEGINS(m, 1100, 17, 0, 1);
	WORKS_FOR(m, 1100, 17);
	AT(m, 1150, LOG, 3, U(2), U(3), U(17));
	WORKS_FOR(m, 1300, 0);
	AT(m, 1350, LOG, 3, U(2), U(3), U(0));
	EXITS(m, 3000);
	THREAD(m, 1);
	STARTS(m, 1000);
	WORKS_FOR(m, 1500, 17);
	WAITS_FOR(m, 1600, 7, 3);
	GETS(m, 1800, 7, 2);
	WORKS_FOR(m, 2000, 0);
	EXITS(m, 2900);
	THREAD(m, 2);
	STARTS(m, 1000);
	WORKS_FOR(m, 1700, 17);
	CALLS(m, 1850, SYS_getppid, 100, 0);
	ENTERS(m, 1900, 4, 17);
	LEAVES(m, 2050, 4);
	WORKS_FOR(m, 2100, 0);
	ENDS(m, 2200, 17);
	EXITS(m, 2300);
	THREAD(m, 3);
}

static void test_tasks(void)
{
	struct made m = {0};

	make_three(&m);
	are_tasks(&m,
		  "type1: 1/0 open, total 1100 max 1100 gap 300 overlap 300 R800 L200 S100\n"
		  "task17: 1100-2200 gap 300 overlap 300 threads 3 at once 2 parts 0 R800 L200 "
		  "S100\n",
		  "a task on three threads, two at once");

	made_begin(&m);
	STARTS(&m, 1000);
	BEGINS(&m, 1000, 1, 0, 1);
	WORKS_FOR(&m, 1000, 1);
	BEGINS(&m, 1200, 2, 1, 2);
	WORKS_FOR(&m, 1200, 2);
	WORKS_FOR(&m, 1500, 1);
	ENDS(&m, 1600, 2);
	WORKS_FOR(&m, 1700, 0);
	ENDS(&m, 2000, 1);
	EXITS(&m, 2100);
	THREAD(&m, 1);
	are_tasks(&m,
		  "type2: 1/0 open, total 400 max 400 gap 100 overlap 0 R300\n"
		  "type1: 1/0 open, total 1000 max 1000 gap 300 overlap 0 R700\n"
		  "task1: 1000-2000 gap 300 overlap 0 threads 1 at once 1 parts 1 R700\n"
		  "task2: 1200-1600 gap 100 overlap 0 threads 1 at once 1 parts 0 R300\n",
		  "work for a part is work for the whole");

	/* two parts at once, on two threads, and a wait that ends behind the end of its task */
	made_begin(&m);
	STARTS(&m, 1000);
	BEGINS(&m, 1000, 1, 0, 1);
	BEGINS(&m, 1000, 2, 1, 2);
	WORKS_FOR(&m, 1000, 2);
	WORKS_FOR(&m, 1400, 0);
	ENDS(&m, 1500, 2);
	ENDS(&m, 2000, 1);
	EXITS(&m, 3000);
	THREAD(&m, 1);
	STARTS(&m, 1050);
	BEGINS(&m, 1100, 3, 1, 2);
	WORKS_FOR(&m, 1100, 3);
	WAITS_FOR(&m, 1200, 7, 1);
	GETS(&m, 2500, 7, 0);
	WORKS_FOR(&m, 2600, 0);
	ENDS(&m, 2700, 3);
	EXITS(&m, 3000);
	THREAD(&m, 2);
	are_tasks(&m,
		  "type2: 2/0 open, total 2100 max 1600 gap 200 overlap 0 R600 L1300\n"
		  "type1: 1/0 open, total 1000 max 1000 gap 0 overlap 300 R500 L800\n"
		  "task3: 1100-2700 gap 100 overlap 0 threads 1 at once 1 parts 0 R200 L1300\n"
		  "task1: 1000-2000 gap 0 overlap 300 threads 2 at once 2 parts 2 R500 L800\n"
		  "task2: 1000-1500 gap 100 overlap 0 threads 1 at once 1 parts 0 R400\n",
		  "parts at once; what is done after a task's end is none of it");
}

static void test_selected_tasks(void)
{
	struct tasks t = {.from_ns = 2150, .to_ns = 2160, .slowest_max = 10};
	struct story_listener listener = tasks_listener(&t);
	struct made m = {0};
	struct story_counts counts;

	make_three(&m);
	counts = tell(&m, &listener, 0, UINT64_MAX);
	tasks_end(&t, counts.end_ns);
	ok(t.slowest_n == 1 && t.slowest[0].gap_ns == 300,
	   "one that is there in the range is whole");
	tasks_fini(&t);
	t = (struct tasks){.from_ns = 2201, .to_ns = 3000, .slowest_max = 10};
	listener = tasks_listener(&t);
	make_three(&m);
	counts = tell(&m, &listener, 0, UINT64_MAX);
	tasks_end(&t, counts.end_ns);
	ok(t.slowest_n == 0 && t.types_n == 0, "one that is not, is not");
	tasks_fini(&t);
	t = (struct tasks){.to_ns = UINT64_MAX, .slowest_max = 10, .min_ns = 1101};
	listener = tasks_listener(&t);
	make_three(&m);
	counts = tell(&m, &listener, 0, UINT64_MAX);
	tasks_end(&t, counts.end_ns);
	ok(t.types_n == 0, "nor one that was faster than what is asked for");
	tasks_fini(&t);
}

static void test_hostile_tasks(void)
{
	struct made m = {0};
	struct tasks t;
	uint64_t open = 0;

	made_begin(&m);
	STARTS(&m, 1000);
	ENDS(&m, 1100, 5);
	BEGINS(&m, 1200, 6, 6, 1);
	BEGINS(&m, 1300, 6, 0, 2);
	ENDS(&m, 1400, 6);
	WORKS_FOR(&m, 1500, 8);
	BEGINS(&m, 1600, 9, 77, 1);
	BEGINS(&m, 1600, 0, 0, 1);
	ENDS(&m, 1600, 0);
	WORKS_FOR(&m, 1700, 9);
	EXITS(&m, 2000);
	THREAD(&m, 1);
	t = tell_tasks(&m, 10);
	is_str(text,
	       "type0: 2/2 open, total 500 max 0 gap 300 overlap 0 R200\n"
	       "type1: 2/1 open, total 600 max 200 gap 300 overlap 0 R300\n"
	       "task8: 1500-2000 unbegun unended gap 300 overlap 0 threads 1 at once 1 parts 0 "
	       "R200\n"
	       "task9: 1600-2000 unended gap 100 overlap 0 threads 1 at once 1 parts 0 R300\n"
	       "task6: 1200-1400 gap 200 overlap 0 threads 0 at once 0 parts 0\n"
	       "task5: 1100-1100 unbegun gap 0 overlap 0 threads 0 at once 0 parts 0\n",
	       "ends without a beginning, beginnings without an end");
	ok(t.ended_unbegun == 1 && t.begun_twice == 1, "are counted");
	tasks_fini(&t);

	/* ids without end */
	made_begin(&m);
	STARTS(&m, 1000);
	end_of(&m, 1, 0, 0);
	for (uint32_t block = 0; block < 4; block++) {
		for (uint32_t i = 0; i < 50000; i++)
			BEGINS(&m, 1001 + block, 1000 + (uint64_t)block * 50000 + i, 0, 1);
		end_of(&m, 1, block + 1, 0);
	}
	t = tell_tasks(&m, 3);
	for (uint32_t i = 0; i < t.types_n; i++)
		open += t.types[i].open;
	is_u64(open, 200000, "each of 200,000 that never end");
	is_u64(t.given_up, 200000 - TASKS_OPEN_MAX, "of which the oldest are given up");
	is_u64(t.slowest_n, 3, "and as many are kept as were asked for");
	tasks_fini(&t);

	/* types without end, and a thread that goes from each to the next */
	made_begin(&m);
	STARTS(&m, 1000);
	for (uint32_t i = 1; i <= 5000; i++) {
		BEGINS(&m, 1000 + 2 * i, i, i - 1, 10 + i);
		WORKS_FOR(&m, 1000 + 2 * i, i);
	}
	EXITS(&m, 12000);
	end_of(&m, 1, 0, 0);
	t = tell_tasks(&m, 0);
	ok(t.types_n <= TASKS_TYPES_MAX + 1, "types are bounded");
	tasks_fini(&t);
}

/* ---- the lines of one task ---- */

static const char *line_of(const struct task_line *l)
{
	static const char *const kinds[] = {"",      "gap",        "begin",  "end", "join",
					    "leave", "part",       "parted", "log", "attribute",
					    "enter", "region-end", "flow"};
	static char word[32];

	snprintf(word, sizeof(word), "%c", story_state_letter(l->interval.state));
	return l->kind == TASK_LINE_INTERVAL ? word : kinds[l->kind];
}

static void are_lines(struct made *m, uint64_t id, const char *wanted, const char *about)
{
	struct task_lines t = {.id = id};
	struct story_listener listener = task_lines_listener(&t);
	struct story_counts counts = tell(m, &listener, 0, UINT64_MAX);
	uint64_t sum = 0;

	task_lines_end(&t, counts.end_ns);
	say_nothing();
	for (uint32_t i = 0; i < t.n; i++) {
		say("%s%u:%s%" PRIu64, i > 0 ? " " : "", t.lines[i].thread, line_of(&t.lines[i]),
		    t.lines[i].begin_ns);
		if (t.lines[i].kind <= TASK_LINE_GAP)
			say("-%" PRIu64, t.lines[i].end_ns);
		sum += t.lines[i].end_ns - t.lines[i].begin_ns;
	}
	is_str(text, wanted, "%s", about);
	is_u64(sum, t.worked_ns + t.gap_ns, "%s: the lines are all of it", about);
	task_lines_fini(&t);
}

static void test_lines(void)
{
	struct made m = {0};

	make_three(&m);
	are_lines(&m, 17,
		  "1:begin1100 1:R1100-1300 1:log1150 2:gap1300-1500 2:R1500-1600 2:L1600-1800 "
		  "3:join1700 3:R1700-1750 3:S1750-1850 2:R1800-2000 3:R1850-2100 3:enter1900 "
		  "2:leave2000 3:region-end2050 0:gap2100-2200 3:end2200",
		  "the story of a task on three threads");

	made_begin(&m);
	STARTS(&m, 1000);
	BEGINS(&m, 1000, 1, 0, 1);
	WORKS_FOR(&m, 1000, 1);
	BEGINS(&m, 1200, 2, 1, 2);
	WORKS_FOR(&m, 1200, 2);
	AT(&m, 1250, ATTRIBUTE, 2, U(3), U(4));
	WORKS_FOR(&m, 1500, 0);
	EXITS(&m, 2100);
	THREAD(&m, 1);
	STARTS(&m, 1000);
	WORKS_FOR(&m, 1500, 2);
	ENDS(&m, 1600, 2);
	WORKS_FOR(&m, 1650, 0);
	EXITS(&m, 2000);
	THREAD(&m, 2);
	are_lines(&m, 1,
		  "1:begin1000 1:R1000-1200 1:part1200 1:R1200-1500 1:attribute1250 2:gap1500-1500 "
		  "2:R1500-1650 2:parted1600 0:gap1650-2100",
		  "of one with a part, handed over, that does not end");
}

/* ---- regions ---- */

static void say_regions(const struct regions *r)
{
	say_nothing();
	for (uint32_t i = 0; i < r->names_n; i++) {
		const struct region_name *n = &r->names[i];

		say("name%u: %" PRIu64 "/%" PRIu64 " open, %" PRIu64 " disordered, %" PRIu64
		    " ends, total %" PRIu64 " self %" PRIu64 " max %" PRIu64 " threads %" PRIu64,
		    n->name, n->count, n->open, n->disordered, n->ended, n->total_ns, n->self_ns,
		    n->length.max, n->threads);
		say_states(n->state_ns);
		say("\n");
	}
	for (uint32_t i = 0; i < r->slowest_n; i++)
		say("%u:%u@%" PRIu64 "-%" PRIu64 "%s\n", r->slowest[i].thread, r->slowest[i].name,
		    r->slowest[i].begin_ns, r->slowest[i].end_ns,
		    r->slowest[i].is_disordered ? " disordered" : "");
}

static void are_regions(struct made *m, uint32_t slowest, const char *wanted, const char *about)
{
	struct regions r = {.to_ns = UINT64_MAX, .slowest_max = slowest};
	struct story_listener listener = regions_listener(&r);
	struct story_counts counts = tell(m, &listener, 0, UINT64_MAX);

	regions_end(&r, counts.end_ns);
	say_regions(&r);
	is_str(text, wanted, "%s", about);
	regions_fini(&r);
}

static void test_regions(void)
{
	struct made m = {0};

	made_begin(&m);
	STARTS(&m, 1000);
	ENTERS(&m, 1100, 2, 0);
	ENTERS(&m, 1200, 3, 0);
	CALLS(&m, 1350, SYS_getppid, 100, 0);
	LEAVES(&m, 1400, 3);
	LEAVES(&m, 1600, 2);
	ENTERS(&m, 1700, 2, 0);
	ENTERS(&m, 1750, 2, 0);
	LEAVES(&m, 1800, 2);
	LEAVES(&m, 1900, 2);
	EXITS(&m, 2000);
	THREAD(&m, 1);
	STARTS(&m, 1000);
	ENTERS(&m, 1100, 3, 0);
	WAITS_FOR(&m, 1150, 7, 1);
	GETS(&m, 1300, 7, 0);
	LEAVES(&m, 1310, 3);
	EXITS(&m, 2000);
	THREAD(&m, 2);
	are_regions(&m, 2,
		    "name3: 2/0 open, 0 disordered, 0 ends, total 410 self 410 max 210 threads 2 "
		    "R160 L150 S100\n"
		    "name2: 3/0 open, 0 disordered, 0 ends, total 700 self 500 max 500 threads 1 "
		    "R600 S100\n"
		    "1:2@1100-1600\n2:3@1100-1310\n",
		    "nested, in themselves, on two threads");

	made_begin(&m);
	STARTS(&m, 1000);
	ENTERS(&m, 1100, 2, 0);
	ENTERS(&m, 1200, 3, 0);
	LEAVES(&m, 1400, 2);
	LEAVES(&m, 1500, 3);
	LEAVES(&m, 1500, 0);
	ENTERS(&m, 1600, 4, 0);
	EXITS(&m, 2000);
	THREAD(&m, 1);
	are_regions(
		&m, 3,
		"name3: 1/0 open, 1 disordered, 1 ends, total 200 self 200 max 0 threads 1 R200\n"
		"name2: 1/0 open, 0 disordered, 0 ends, total 300 self 100 max 300 threads 1 R300\n"
		"name0: 0/0 open, 0 disordered, 1 ends, total 0 self 0 max 0 threads 0\n"
		"name4: 1/1 open, 0 disordered, 0 ends, total 400 self 400 max 0 threads 1 R400\n"
		"1:4@1600-2000\n1:2@1100-1400\n1:3@1200-1400 disordered\n",
		"out of order, ended twice, never ended");

	/* the trace begins in the middle of two, and loses an end */
	made_begin(&m);
	AT(&m, 1000, STATUS, 7, U(1), U(0), U(0), U(0), U(0), U(0), U(2));
	AT(&m, 1000, STATUS_REGION, 1, U(2));
	AT(&m, 1000, STATUS_REGION, 1, U(3));
	LEAVES(&m, 1100, 3);
	LEAVES(&m, 1300, 2);
	ENTERS(&m, 1400, 4, 0);
	AT(&m, 1500, STATUS, 7, U(1), U(0), U(0), U(0), U(0), U(0), U(0));
	EXITS(&m, 2000);
	THREAD(&m, 1);
	are_regions(
		&m, 0,
		"name3: 1/1 open, 0 disordered, 0 ends, total 100 self 100 max 0 threads 1 R100\n"
		"name2: 1/1 open, 0 disordered, 0 ends, total 300 self 200 max 0 threads 1 R300\n"
		"name4: 1/1 open, 0 disordered, 0 ends, total 100 self 100 max 0 threads 1 R100\n",
		"begun before the trace, and an end that was lost");

	/* with switches: the time of a region is cut where the thread is */
	m.flags = FLAG_SWITCHES;
	made_begin(&m);
	STARTS(&m, 1000);
	ENTERS(&m, 1100, 2, 0);
	ENTERS(&m, 1200, 3, 0);
	LEAVES(&m, 1500, 3);
	LEAVES(&m, 1600, 2);
	EXITS(&m, 1700);
	THREAD(&m, 1);
	AT(&m, 1050, OUT, 2, U(1), U(1));
	AT(&m, 1130, IN, 1, U(1));
	AT(&m, 1180, OUT, 2, U(1), U(1));
	AT(&m, 1190, IN, 1, U(1));
	AT(&m, 1250, OUT, 2, U(1), U(1));
	AT(&m, 1300, IN, 1, U(1));
	SWITCHES(&m, 0);
	are_regions(
		&m, 0,
		"name3: 1/0 open, 0 disordered, 0 ends, total 300 self 300 max 300 threads 1 R250 "
		"r50\n"
		"name2: 1/0 open, 0 disordered, 0 ends, total 500 self 200 max 500 threads 1 R410 "
		"r90\n",
		"cut between switches");

	/* so deep that it is not told apart, and regions without end */
	made_begin(&m);
	STARTS(&m, 1000);
	for (uint32_t i = 0; i < 3000; i++)
		ENTERS(&m, 1000 + i, 2, 0);
	EXITS(&m, 5000);
	THREAD(&m, 1);
	{
		struct regions r = {.to_ns = UINT64_MAX};
		struct story_listener listener = regions_listener(&r);
		struct story_counts counts = tell(&m, &listener, 0, UINT64_MAX);

		regions_end(&r, counts.end_ns);
		ok(r.names_n == 1 && r.names[0].open == REGIONS_DEPTH_MAX &&
			   r.too_deep == 3000 - REGIONS_DEPTH_MAX,
		   "depth is bounded, and what lies deeper is counted");
		regions_fini(&r);
	}
}

/* ---- the critical path ---- */

static struct critical tell_path(struct made *m, uint32_t thread, uint64_t from_ns, uint64_t to_ns)
{
	struct critical c = {.from_ns = from_ns, .to_ns = to_ns, .limit = CRITICAL_KEPT};
	struct story_listener listener = critical_listener(&c);
	uint64_t sum = 0, at = from_ns, caused = 0;
	bool is_gapless = true;

	tell(m, &listener, from_ns, to_ns);
	critical_walk(&c, thread);
	say_nothing();
	for (uint32_t i = 0; i < c.segments_n; i++) {
		const struct critical_segment *s = &c.segments[i];

		say("%s%u:%c%" PRIu64 "-%" PRIu64, i > 0 ? " " : "", s->interval.thread,
		    story_state_letter(s->interval.state), s->begin_ns, s->end_ns);
		if (s->edge != 0)
			say("/%s", story_edge_name(s->edge - 1u));
		is_gapless = is_gapless && s->begin_ns == at;
		at = s->end_ns;
		sum += s->end_ns - s->begin_ns;
	}
	for (uint32_t i = 0; i < c.causes_n; i++)
		caused += c.causes[i].ns;
	if (!is_gapless || sum != to_ns - from_ns || caused != sum)
		say(" does not add up: %" PRIu64 " %" PRIu64, sum, caused);
	return c;
}

static void is_path(struct made *m, uint32_t thread, uint64_t from_ns, uint64_t to_ns,
		    const char *wanted, const char *about)
{
	struct critical c = tell_path(m, thread, from_ns, to_ns);

	is_str(text, wanted, "%s", about);
	critical_fini(&c);
}

static void is_caused(const struct critical *c, uint8_t kind, uint32_t id, uint64_t ns,
		      uint64_t most_ns, const char *about)
{
	for (uint32_t i = 0; i < c->causes_n; i++) {
		const struct critical_cause *cause = &c->causes[i];

		if (cause->kind != kind || (cause->thread | cause->object | cause->call) != id)
			continue;
		if (!ok(cause->ns == ns && cause->most_ns == most_ns, "%s", about))
			note("got %" PRIu64 " and %" PRIu64, cause->ns, cause->most_ns);
		return;
	}
	ok(false, "%s: there is no such cause", about);
}

/* Thread 1 waits for lock 7, which 2 holds across an fsync. */
static void make_lock(struct made *m)
{
	made_begin(m);
	STARTS(m, 1000);
	WAITS_FOR(m, 1100, 7, 2);
	GETS(m, 1300, 7, 2);
	EXITS(m, 1600);
	THREAD(m, 1);
	STARTS(m, 1000);
	CALLS(m, 1250, SYS_fsync, 200, 0);
	LETS_GO(m, 1290, 7, 1, 250, 1);
	EXITS(m, 1650);
	THREAD(m, 2);
}

static void test_path(void)
{
	struct made m = {0};
	struct critical c;

	make_lock(&m);
	c = tell_path(&m, 1, 1000, 1600);
	is_str(text, "2:R1000-1050 2:S1050-1250 2:R1250-1290/release 1:L1290-1300 1:R1300-1600",
	       "through the holder of a lock");
	is_caused(&c, CRITICAL_LOCK, 7, 10, 200,
		  "the lock: 10 on the way, but all of the wait could go");
	is_caused(&c, CRITICAL_CALL, SYS_fsync + 1, 200, 200, "the fsync");
	is_caused(&c, CRITICAL_RUN, 1, 300, 300, "one thread");
	is_caused(&c, CRITICAL_RUN, 2, 90, 90, "and the other");
	critical_fini(&c);
	make_lock(&m);
	is_path(&m, 1, 1150, 1295, "2:S1150-1250 2:R1250-1290/release 1:L1290-1295",
		"from the middle of a wait to the middle of a wait");
	make_lock(&m);
	is_path(&m, 2, 1000, 1600, "2:R1000-1050 2:S1050-1250 2:R1250-1600",
		"of who waits for nobody");

	m.flags = FLAG_SWITCHES;
	made_begin(&m);
	STARTS(&m, 1000);
	WAITS_FOR(&m, 1100, 7, 2);
	GETS(&m, 1320, 7, 2);
	EXITS(&m, 1600);
	THREAD(&m, 1);
	STARTS(&m, 1000);
	LETS_GO(&m, 1290, 7, 1, 250, 1);
	EXITS(&m, 1650);
	THREAD(&m, 2);
	AT(&m, 1120, OUT, 2, U(1), U(2));
	AT(&m, 1310, IN, 1, U(1));
	SWITCHES(&m, 0);
	c = tell_path(&m, 1, 1000, 1600);
	is_str(text, "2:R1000-1290/release 1:r1290-1310 1:R1310-1320 1:R1320-1600",
	       "with switches: it wanted a processor, too");
	is_caused(&c, CRITICAL_PROCESSOR, 0, 20, 20, "which is a cause of its own");
	is_caused(&c, CRITICAL_LOCK, 7, 0, 190, "a lock that is not on the way, but led it");
	critical_fini(&c);
}

/*
 * Thread 1 makes 2 and waits for its end; 2 waits for a condition that 3 signals, after it has read what 4 wrote into a pipe; 4
 * is made by 1.
 */
static void test_path_of_all(void)
{
	struct made m = {0};
	struct critical c;

	made_begin(&m);
	made_string(&m, 1, "pipe:[77]");
	made_end_block(&m, (struct made_block){.kind = MADE_STRINGS, .first_ns = 1, .last_ns = 1});
	STARTS(&m, 1000);
	AT(&m, 1100, CREATE, 3, U(2), U(0), U(0));
	AT(&m, 1110, CREATE, 3, U(4), U(0), U(0));
	AT(&m, 1200, JOIN, 2, U(2), U(0));
	AT(&m, 1900, JOINED, 1, U(0));
	EXITS(&m, 2000);
	THREAD(&m, 1);
	STARTS(&m, 1150);
	AT(&m, 1300, HELD, 3, U(1), U(1), U(10));
	AT(&m, 1300, COND, 4, U(2), U(1), U(0), U(0));
	AT(&m, 1600, COND_END, 3, U(2), U(0), U(3));
	EXITS(&m, 1880);
	THREAD(&m, 2);
	STARTS(&m, 1000);
	AT(&m, 1010, FD_OPEN, 4, U(1), U(3), U(2), U(1));
	CALLS(&m, 1450, SYS_read, 400, 1);
	AT(&m, 1550, SIGNAL, 4, U(2), U(0), U(1), U(0));
	EXITS(&m, 1700);
	THREAD(&m, 3);
	STARTS(&m, 1160);
	AT(&m, 1170, FD_OPEN, 4, U(2), U(4), U(2), U(1));
	CALLS(&m, 1420, SYS_write, 20, 2);
	EXITS(&m, 1800);
	THREAD(&m, 4);
	c = tell_path(&m, 1, 1000, 2000);
	is_str(text,
	       "1:R1000-1110/create 4:?1110-1160 4:R1160-1400/pipe 3:S1400-1450 "
	       "3:R1450-1550/signal 2:C1550-1600 2:R1600-1880/exit 1:C1880-1900 1:R1900-2000",
	       "across a thread's making, a pipe, a condition, a join");
	is_caused(&c, CRITICAL_JOIN, 2, 20, 700, "without the join");
	is_caused(&c, CRITICAL_LOCK, 2, 50, 300, "without the condition");
	is_caused(&c, CRITICAL_CALL, SYS_read + 1, 50, 400, "without the read");
	is_caused(&c, CRITICAL_START, 0, 50, 50, "the start of a thread");
	critical_fini(&c);
}

static void test_path_limits(void)
{
	struct critical c = {.from_ns = 1000, .to_ns = 1600, .limit = 4};
	struct story_listener listener = critical_listener(&c);
	struct made m = {0};
	bool is_right;

	make_lock(&m);
	tell(&m, &listener, 1000, 1600);
	ok(c.full_at_ns != 0, "too many to keep are told");
	critical_fini(&c);

	/* waits that end each other in a ring at one moment, which no clock can be right about */
	made_begin(&m);
	for (uint32_t i = 1; i <= 3; i++) {
		STARTS(&m, 1000);
		WAITS_FOR(&m, 1100, 6 + i, 0);
		LETS_GO(&m, 1300, 7 + i % 3, 1, 250, 1);
		GETS(&m, 1300, 6 + i, 2);
		EXITS(&m, 1400);
		THREAD(&m, i);
	}
	c = tell_path(&m, 1, 1000, 1400);
	is_right = strstr(text, "add up") == NULL;
	if (!ok(is_right && c.segments_n > 0 && c.segments[0].begin_ns == 1000,
		"a ring of waits ends the walk, and it adds up"))
		note("%s", text);
	critical_fini(&c);

	/* a thread of which nothing is known */
	make_lock(&m);
	is_path(&m, 9, 1000, 1600, "9:?1000-1600", "a thread of which nothing is known");
}

int main(void)
{
	plan_begin();
	test_tasks();
	test_selected_tasks();
	test_hostile_tasks();
	test_lines();
	test_regions();
	test_path();
	test_path_of_all();
	test_path_limits();
	return plan_end();
}
