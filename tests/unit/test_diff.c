/*
 * Two runs, side by side: rows of the same name meet, whatever their numbers and addresses; and what --fail-if understands.
 */
#include <sys/syscall.h>

#include "tests/tap.h"
#include "tests/unit/tables_make.h"
#include "viewer/diff.h"

static struct made_tables made;
static struct diff_side sides[2];
static struct story_listener listeners[2];
static struct diff_pair *pairs;
static uint32_t pairs_n;

static void begin(void)
{
	for (unsigned i = 0; i < 2; i++) {
		sides[i] =
			(struct diff_side){.tables = &made.tables, .unit = 1, .to_ns = UINT64_MAX};
		listeners[i] = diff_listener(&sides[i]);
	}
}

static void join(void)
{
	if (diff_end(&sides[0], 5000) < 0 || diff_end(&sides[1], 5000) < 0 ||
	    diff_pairs(&sides[0], &sides[1], &pairs, &pairs_n) < 0)
		abort();
}

static void end(void)
{
	free(pairs);
	diff_fini(&sides[0]);
	diff_fini(&sides[1]);
}

static void call(unsigned side, uint32_t number, uint32_t file, uint64_t took, unsigned times)
{
	struct story_call c = {.begin_ns = 1000,
			       .end_ns = 1000 + took,
			       .thread = 1,
			       .number = number,
			       .file = file,
			       .result = file == FILE_TCP ? -11 : 1};

	for (unsigned i = 0; i < times; i++)
		listeners[side].call(listeners[side].context, &c);
}

static const struct diff_pair *pair(unsigned kind, const char *name)
{
	static const struct diff_pair none;

	for (uint32_t i = 0; i < pairs_n; i++)
		if (pairs[i].kind == kind && strcmp(pairs[i].name, name) == 0)
			return &pairs[i];
	note("no pair %s", name);
	return &none;
}

static bool is_pair(unsigned kind, const char *name, uint64_t a, uint64_t a_n, uint64_t b,
		    uint64_t b_n)
{
	const struct diff_pair *p = pair(kind, name);

	return diff_value(p->rows[0], DIFF_TOTAL, 1) == (double)a &&
	       diff_value(p->rows[0], DIFF_COUNT, 1) == (double)a_n &&
	       diff_value(p->rows[1], DIFF_TOTAL, 1) == (double)b &&
	       diff_value(p->rows[1], DIFF_COUNT, 1) == (double)b_n;
}

static void fill(void)
{
	struct story_wait w = {.end_ns = 10, .type = TRACE_LOCK_WAIT_EVENT, .thread = 1};
	struct story_hold h = {.end_ns = 7, .thread = 1, .object = LOCK_MADE};
	struct interval i = {.end_ns = 100, .state = TRACE_RUNNING};

	begin();
	call(0, SYS_read, FILE_LOG, 100, 4);
	call(1, SYS_read, FILE_LOG_AGAIN, 300, 4);
	call(0, SYS_read, FILE_TCP, 5, 2);
	call(1, SYS_fsync, FILE_LOG, 1000, 1);
	for (unsigned k = 1; k <= 3; k++) {
		w.object = k;
		listeners[0].wait(listeners[0].context, &w);
	}
	w.object = LOCK_BARE;
	w.end_ns = 40;
	listeners[1].wait(listeners[1].context, &w);
	listeners[1].hold(listeners[1].context, &h);
	for (unsigned thread = 1; thread <= 3; thread++) {
		i.thread = thread;
		listeners[0].interval(listeners[0].context, &i);
	}
	i.end_ns = 500;
	i.thread = 2;
	listeners[1].interval(listeners[1].context, &i);
	i.state = TRACE_LOCK;
	listeners[1].interval(listeners[1].context, &i);
	for (uint32_t thread = 1; thread <= 3; thread++) {
		struct story_life l = {.thread = thread, .end_ns = 600};

		listeners[0].life(listeners[0].context, &l);
		if (thread == 2)
			listeners[1].life(listeners[1].context, &l);
	}
	join();
}

static void test_pairs(void)
{
	fill();
	ok(is_pair(DIFF_CALLS, "read /var/log/app", 400, 4, 1200, 4), "calls by number and path");
	ok(is_pair(DIFF_CALLS, "read", 10, 2, 0, 0), "one that A has alone");
	ok(is_pair(DIFF_CALLS, "fsync /var/log/app", 0, 0, 1000, 1), "one that B has alone");
	is_u64(pair(DIFF_CALLS, "read")->rows[0]->errors, 2, "failures");
	ok(is_pair(DIFF_LOCK_WAIT, "g_cache.lock", 10, 1, 0, 0), "a lock with a name");
	ok(is_pair(DIFF_LOCK_WAIT, "cache_new cache.c:71", 10, 1, 0, 0), "one with a place");
	ok(is_pair(DIFF_LOCK_WAIT, "mutex", 10, 1, 40, 1), "one with nothing: by its kind");
	ok(is_pair(DIFF_LOCK_HOLD, "cache_new cache.c:71", 0, 0, 7, 1), "a hold is no wait");
	ok(is_pair(TRACE_RUNNING, "worker*", 200, 2, 500, 1), "threads of a kind are one row");
	ok(is_pair(TRACE_RUNNING, "main", 100, 1, 0, 0), "a thread of its own");
	ok(is_pair(TRACE_LOCK, "worker*", 0, 0, 500, 1), "of each state");
	is_u64(pairs_n, 10, "and nothing more");
	end();
}

static void test_groups(void)
{
	static const char *const names[][2] = {{"worker-12", "worker*"}, {"main", "main"},
					       {"4711", "4711"},         {"", ""},
					       {"a1b", "a1b"},           {"x0", "x*"}};
	struct name name;

	for (unsigned i = 0; i < 6; i++) {
		name_clear(&name);
		name_format(&name, "%s", names[i][0]);
		diff_group(&name);
		name.text[name.n] = '\0';
		is_str(name.text, names[i][1], "group of \"%s\"", names[i][0]);
	}
}

static bool is_true(const char *text)
{
	struct diff_condition c[DIFF_CONDITIONS_MAX];
	struct why why = {""};
	double values[2];
	int n = diff_parse(text, c, &why);

	if (n < 0)
		note("%s", why.text);
	for (int i = 0; i < n; i++)
		if (diff_is_true(&c[i], sides, pairs, pairs_n, values))
			return true;
	return false;
}

static void test_conditions(void)
{
	static const char *const yes[] = {"calls[read /var/*]>2.9x",
					  "calls[read /var/*]>199%",
					  "calls.total[read]>2.9x",
					  "calls>1us",
					  "calls.max[fsync]>999ns",
					  "calls.count<1x",
					  "calls.errors[read]<50%",
					  "threads.running>60%",
					  "threads.running<0.51us",
					  "threads.lock[worker*]>5%",
					  "locks.wait[mutex]>3.9x",
					  "locks.wait>33%",
					  "locks.hold>0",
					  "calls.p50[read]>2x",
					  "calls.p99[fsync]>0%",
					  "tasks>1s,calls>1us",
					  "locks.wait[g_cache.lock]<1%"};
	static const char *const no[] = {
		"calls[read /var/*]>3x",    "calls[read /var/*]>200%", "calls.max[fsync]>1us",
		"calls[nothing]>0",         "calls[nothing]<1%",       "threads.running>67%",
		"threads.lock[main]>5%",    "locks.wait[mutex]>4x",    "locks.wait>34%",
		"tasks.p99>1ns,regions>1x", "calls.p99[fsync]<1x"};

	fill();
	for (unsigned i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		ok(is_true(yes[i]), "true: %s", yes[i]);
	for (unsigned i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		ok(!is_true(no[i]), "false: %s", no[i]);
	sides[1].unit = 2;
	ok(is_true("calls[read /var/*]<1.51x") && is_true("calls.count[read /var/*]<1x") &&
		   is_true("calls.p50[read /var/*]>2.5x"),
	   "totals and counts by a unit, not durations");
	end();
}

static void test_refused(void)
{
	static const char *const bad[] = {"",
					  "calls",
					  "calls>",
					  "calls>x",
					  "calls>5y",
					  "calls>-5%",
					  "calls=5%",
					  "call>5%",
					  "callss>5%",
					  "calls.p98>5%",
					  "calls.p99[>5%",
					  "calls[]>5%",
					  "calls[a>5%",
					  "calls>5%,",
					  "calls>5%;calls>6%",
					  "threads>5%",
					  "others>5%",
					  "calls>1e999",
					  "locks>5%"};
	struct diff_condition c[DIFF_CONDITIONS_MAX];
	char many[64 * 40] = "";

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct why why = {""};

		ok(diff_parse(bad[i], c, &why) < 0 && strstr(why.text, "--fail-if") != NULL,
		   "refused: %s", bad[i]);
	}
	for (unsigned i = 0; i < DIFF_CONDITIONS_MAX; i++)
		strcat(many, i > 0 ? ",calls>1x" : "calls>1x");
	is_u64(diff_parse(many, c, NULL), DIFF_CONDITIONS_MAX, "as many as there may be");
	strcat(many, ",calls>1x");
	ok(diff_parse(many, c, NULL) < 0, "refused: more");
	is_u64(diff_parse("calls[read [a-c]]>1.5x", c, NULL), 1, "a pattern with brackets");
	is_str(c[0].pattern, "read [a-c]", "is what is within");
}

static void test_bounds(void)
{
	struct story_wait w = {.end_ns = 10, .type = TRACE_LOCK_WAIT_EVENT, .thread = 1};
	uint64_t n = 0;

	begin();
	sides[0].rows.rows_max = 2;
	for (uint32_t i = 0; i < 3; i++) {
		w.object = i + 1;
		listeners[0].wait(listeners[0].context, &w);
	}
	call(0, SYS_read, FILE_LOG, 5, 7);
	join();
	for (uint32_t i = 0; i < pairs_n; i++)
		n += pairs[i].rows[0]->took.n;
	ok(pairs_n == 3 && n == 10, "what is too much is in one row");
	is_u64(pair(DIFF_OTHERS, "(others)")->rows[0]->took.n, 8, "which says what it is");
	end();
}

int main(void)
{
	plan_begin();
	made_tables_load(&made);
	test_pairs();
	test_groups();
	test_conditions();
	test_refused();
	test_bounds();
	made_tables_free(&made);
	return plan_end();
}
