/*
 * What threads did with their time, added up from a story that is told by hand.
 */
#include "tests/tap.h"
#include "viewer/threads.h"

static struct threads t;
static struct story_listener l;

static void event(uint8_t type, uint32_t thread, uint64_t ns, uint64_t a, uint64_t b, uint64_t c,
		  uint64_t d, uint64_t e)
{
	struct event happened = {.type = type, .ns = ns, .arguments = {a, b, c, d, e}};
	struct merged m = {.event = &happened, .thread = thread};

	if (l.event(l.context, &m) != 0)
		abort();
}

static void interval(uint32_t thread, uint8_t state, uint64_t begin_ns, uint64_t end_ns)
{
	struct interval i = {
		.thread = thread, .state = state, .begin_ns = begin_ns, .end_ns = end_ns};

	if (l.interval(l.context, &i) != 0)
		abort();
}

static void life(uint32_t thread, uint64_t begin_ns, uint64_t end_ns, bool has_end)
{
	struct story_life of = {.thread = thread,
				.begin_ns = begin_ns,
				.end_ns = end_ns,
				.has_begin = true,
				.has_end = has_end};

	if (l.life(l.context, &of) != 0)
		abort();
}

/* Three threads from 100 to 1100, of which 200 to 1000 is asked for; a fourth that was over before. */
static void tell(void)
{
	struct story_call call = {.thread = 2};
	struct story_wait wait = {.thread = 3, .begin_ns = 200, .end_ns = 900},
			  none = {.thread = 3, .begin_ns = 900, .end_ns = 900};

	threads_init(&t, 200, 1000);
	l = threads_listener(&t);
	event(TRACE_THREAD_CREATE_EVENT, 1, 100, 2, 0x1000, 0, 0, 0);
	event(TRACE_THREAD_CREATE_EVENT, 1, 110, 3, 0x1000, 0, 0, 0);
	event(TRACE_THREAD_CREATE_EVENT, 1, 120, 4, 0x2000, 0, 0, 0);
	interval(1, TRACE_RUNNING, 200, 1000);
	interval(2, TRACE_RUNNING, 200, 500);
	interval(2, TRACE_LOCK, 500, 1000);
	interval(3, TRACE_WAIT, 200, 900);
	event(TRACE_SCHED_OUT_EVENT, 2, 150, 2, TRACE_OUT_BLOCKED, 0, 0, 0);
	event(TRACE_SCHED_OUT_EVENT, 2, 500, 2, TRACE_OUT_BLOCKED, 0, 0, 0);
	event(TRACE_SCHED_OUT_EVENT, 3, 600, 3, TRACE_OUT_PREEMPTED, 0, 0, 0);
	event(TRACE_SCHED_DELTA_EVENT, 3, 700, 0, 0, 0, 5, 6);
	event(TRACE_SCHED_OUT_EVENT, TRACE_THREAD_FOREIGN + 1, 500, 0, 0, 0, 0, 0);
	event(TRACE_SCHED_OUT_EVENT, 0, 500, 0, 0, 0, 0, 0);
	l.call(l.context, &call);
	l.call(l.context, &call);
	l.wait(l.context, &wait);
	l.wait(l.context, &none);
	event(TRACE_THREAD_EXIT_EVENT, 3, 900, TRACE_EXIT_CANCELLED, 0, 0, 0, 0);
	life(3, 110, 900, true);
	life(1, 100, 1100, false);
	life(2, 105, 1100, false);
}

static const struct threads_row *row(uint32_t thread)
{
	static const struct threads_row none;

	for (uint32_t i = 0; i < t.rows_n; i++)
		if (t.rows[i].thread == thread)
			return &t.rows[i];
	return &none;
}

static void test_rows(void)
{
	struct tables tables;

	tables_init(&tables);
	tell();
	is_u64(threads_group(&t, THREADS_BY_NONE, &tables, NULL), 0, "rows");
	is_u64(t.rows_n, 3, "for those that lived then");
	is_u64(row(1)->life_ns, 800, "a life is cut to the range");
	is_u64(row(1)->begin_ns, 100, "but not when it began");
	is_u64(row(2)->state_ns[TRACE_LOCK], 500, "time in a state");
	is_u64(row(2)->life_ns, row(2)->state_ns[TRACE_LOCK] + row(2)->state_ns[TRACE_RUNNING],
	       "states add up");
	is_u64(row(3)->life_ns, 700, "one that ended");
	ok(row(3)->has_end && row(3)->exit == TRACE_EXIT_CANCELLED && !row(2)->has_end, "and how");
	is_u64(row(2)->calls, 2, "calls");
	is_u64(row(3)->waits, 1, "waits, without those that were over at once");
	is_u64(row(2)->voluntary, 1, "switches: not those before the range");
	is_u64(row(2)->involuntary, 0, "of each kind");
	is_u64(row(3)->voluntary, 5, "and those that came as sums");
	is_u64(row(3)->involuntary, 7, "with the others");
	is_u64(row(2)->start, 0x1000, "where it began");
	is_u64(row(1)->start, 0, "the first thread began nowhere");
	threads_fini(&t);
	tables_fini(&tables);
}

static void test_groups(void)
{
	struct tables tables;

	tables_init(&tables);
	tell();
	threads_group(&t, THREADS_BY_START, &tables, NULL);
	is_u64(t.rows_n, 2, "by where they began: two");
	is_u64(row(2)->threads_n + row(3)->threads_n, 2, "of which one is of two threads");
	is_u64(row(2)->life_ns + row(3)->life_ns, 1500, "their lives");
	threads_fini(&t);
	tell();
	threads_group(&t, THREADS_BY_NAME, &tables, NULL);
	is_u64(t.rows_n, 1, "by name: thread-1, thread-2 and thread-3 are one");
	is_u64(t.rows[0].threads_n, 3, "of three");
	is_u64(t.rows[0].start, 0, "which began at no one place");
	is_u64(t.rows[0].begin_ns, 100, "from the first one's beginning");
	is_u64(t.rows[0].end_ns, 1100, "to the last one's end");
	threads_fini(&t);
	tables_fini(&tables);
}

static void test_names(void)
{
	static const struct {
		const char *name;
		size_t n;
	} names[] = {{"worker-3", 6}, {"pool-1-thread-12", 13},
		     {"io/4:2", 2},   {"main", 4},
		     {"4711", 4},     {"", 0},
		     {"h2o", 3}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		is_u64(threads_group_length(names[i].name, strlen(names[i].name)), names[i].n,
		       "the group of \"%s\"", names[i].name);
}

/* An interrupted story has told of no life that went on. */
static void test_interrupted(void)
{
	struct tables tables;

	tables_init(&tables);
	threads_init(&t, 0, UINT64_MAX);
	l = threads_listener(&t);
	interval(7, TRACE_IDLE, 10, 30);
	threads_group(&t, THREADS_BY_NONE, &tables, NULL);
	is_u64(row(7)->life_ns, 20, "what was seen of a life");
	threads_fini(&t);
	tables_fini(&tables);
}

int main(void)
{
	plan_begin();
	test_rows();
	test_groups();
	test_names();
	test_interrupted();
	return plan_end();
}
