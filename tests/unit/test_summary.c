/*
 * The summary of a run: sums, how many ran at once, and each warning: planted it is found, and just below its limit it is not.
 */
#include <errno.h>
#include <sys/syscall.h>

#include "tests/tap.h"
#include "tests/unit/tables_make.h"
#include "viewer/warnings.h"

#define SECOND UINT64_C(1000000000)
#define MS     UINT64_C(1000000)

static struct made_tables made;
static struct summary *summary;
static struct story_listener listener;
static struct story_counts counts;
static bool is_finished;

static void begin(void)
{
	summary = calloc(1, sizeof(*summary));
	if (summary == NULL)
		abort();
	summary->tables = &made.tables;
	summary->to_ns = UINT64_MAX;
	counts = (struct story_counts){0};
	is_finished = false;
	listener = summary_listener(summary);
}

static void finish(void)
{
	if (!is_finished && summary_end(summary, SECOND) < 0)
		abort();
	is_finished = true;
}

static const char *all_found(void)
{
	static char text[1000];
	struct warning *found = calloc(WARNINGS_MAX, sizeof(*found));
	unsigned n = warnings_find(summary, &counts, SECOND, found);

	text[0] = '\0';
	for (unsigned i = 0; i < n; i++) {
		strcat(text, i > 0 ? " " : "");
		strcat(text, found[i].id);
		if (found[i].text.n == 0 || found[i].next[0] == '\0')
			strcat(text, "(nothing)");
		found[i].text.text[found[i].text.n] = '\0';
		note("%s", found[i].text.text);
	}
	free(found);
	return text;
}

static void is_found(const char *wanted, const char *about)
{
	finish();
	is_str(all_found(), wanted, "%s", about);
	summary_fini(summary);
	free(summary);
}

/* Somebody waits for the lock, for a moment. */
static void want(void)
{
	const struct story_wait w = {
		.end_ns = 10, .thread = 2, .type = TRACE_LOCK_WAIT_EVENT, .object = LOCK_NAMED};

	listener.wait(listener.context, &w);
}

static void hold(struct story_hold h)
{
	if (h.object == 0)
		h.object = LOCK_NAMED;
	h.thread = 1;
	h.mode = h.mode != 0 ? h.mode : 1;
	listener.hold(listener.context, &h);
}

static void call(struct story_call c, unsigned times)
{
	c.thread = 1;
	for (unsigned i = 0; i < times; i++)
		listener.call(listener.context, &c);
}

static void test_sums(void)
{
	static const struct interval intervals[] = {
		{.begin_ns = 100, .end_ns = 200, .thread = 1, .state = TRACE_RUNNING},
		{.begin_ns = 100, .end_ns = 150, .thread = 2, .state = TRACE_RUNNING},
		{.begin_ns = 150, .end_ns = 250, .thread = 2, .state = TRACE_IDLE},
		{.begin_ns = 200, .end_ns = 260, .thread = 1, .state = TRACE_LOCK},
		{.begin_ns = 250, .end_ns = 260, .thread = 2, .state = TRACE_RUNNING},
	};
	struct story_wait w = {.begin_ns = 200,
			       .end_ns = 260,
			       .thread = 1,
			       .type = TRACE_LOCK_WAIT_EVENT,
			       .object = LOCK_NAMED};
	struct summary_parallel *p = malloc(sizeof(*p));

	begin();
	for (unsigned i = 0; i < 5; i++)
		listener.interval(listener.context, &intervals[i]);
	for (uint32_t i = 1; i <= 2; i++)
		listener.life(listener.context, &(struct story_life){.thread = i, .end_ns = 260});
	listener.wait(listener.context, &w);
	w.end_ns = 230;
	listener.wait(listener.context, &w);
	finish();
	summary_parallel(summary, p);
	is_u64(summary->state_ns[TRACE_RUNNING], 160, "states of all threads: running");
	is_u64(summary->state_ns[TRACE_IDLE] + summary->state_ns[TRACE_LOCK], 160,
	       "and the others");
	is_u64(summary->by_thread.rows[1].state_ns[TRACE_IDLE], 100, "of one thread");
	ok(p->ns[0] == 50 && p->ns[1] == 60 && p->ns[2] == 50 && p->all_ns == 160,
	   "none, one and two at once");
	ok(p->running_ns == 160 && p->mean == 1 && p->most == 2, "in the mean, and at most");
	ok(p->serial_share == 60.0 / 160 && p->bound == 160.0 / 60,
	   "the serial share, and Amdahl's bound");
	is_u64(summary->locks.rows[0].wait.sum, 90, "waits for a lock");
	is_u64(summary->locks.rows[0].wait.n, 2, "how many");
	free(p);
	is_found("", "nothing is wrong with it");
}

static void wait_for(struct interval i, uint8_t type, uint32_t error)
{
	const struct story_wait w = {.begin_ns = i.begin_ns,
				     .end_ns = i.end_ns,
				     .thread = i.thread,
				     .type = type,
				     .error = error};

	i.wait = type;
	listener.interval(listener.context, &i);
	listener.wait(listener.context, &w);
}

static void is_worst(uint64_t begin_ns, uint64_t end_ns, const char *about)
{
	finish();
	ok(summary->worst.begin_ns == begin_ns && summary->worst.end_ns == end_ns, "%s", about);
	note("%u to %u ms", (unsigned)(summary->worst.begin_ns / MS),
	     (unsigned)(summary->worst.end_ns / MS));
	summary_fini(summary);
	free(summary);
}

static void test_worst(void)
{
	const struct interval
		cond = {.begin_ns = 10 * MS, .end_ns = 60 * MS, .thread = 2, .state = TRACE_WAIT},
		lock = {.begin_ns = 10 * MS, .end_ns = 14 * MS, .thread = 1, .state = TRACE_LOCK},
		call = {.begin_ns = 20 * MS,
			.end_ns = 50 * MS,
			.thread = 1,
			.state = TRACE_SYSCALL,
			.call = SYS_fdatasync + 1};
	struct interval i = call;

	begin();
	is_worst(0, 0, "no wait is the worst");
	begin();
	for (unsigned k = 0; k < 3; k++)
		wait_for(cond, TRACE_COND_WAIT_EVENT, 0);
	is_worst(0, 0, "the first waits for a condition may be for work");
	begin();
	for (unsigned k = 0; k < 4; k++)
		wait_for(cond, TRACE_COND_WAIT_EVENT, 0);
	wait_for(lock, TRACE_LOCK_WAIT_EVENT, 0);
	is_worst(10 * MS, 60 * MS, "the fourth counts");
	begin();
	for (unsigned k = 0; k < 4; k++)
		wait_for(cond, TRACE_COND_WAIT_EVENT, ETIMEDOUT);
	is_worst(0, 0, "not when its time was up");
	begin();
	for (unsigned k = 0; k < 4; k++)
		wait_for(cond, TRACE_JOIN_BEGIN_EVENT, 0);
	is_worst(0, 0, "not for the end of a thread");
	begin();
	listener.interval(listener.context, &call);
	wait_for(lock, TRACE_LOCK_WAIT_EVENT, 0);
	is_worst(10 * MS, 14 * MS, "a wait for a lock is as bad as a call of ten times its length");
	begin();
	listener.interval(listener.context, &call);
	i = lock;
	i.end_ns = 12 * MS;
	wait_for(i, TRACE_LOCK_WAIT_EVENT, 0);
	is_worst(20 * MS, 50 * MS, "and no worse than that");
	begin();
	i = call;
	i.call = SYS_wait4 + 1;
	listener.interval(listener.context, &i);
	i.call = SYS_fdatasync + 1;
	i.state = TRACE_IDLE;
	listener.interval(listener.context, &i);
	i.state = TRACE_RUNNABLE;
	listener.interval(listener.context, &i);
	i.state = TRACE_SYSCALL;
	i.end_ns = i.begin_ns + MS - 1;
	listener.interval(listener.context, &i);
	is_worst(0, 0, "not the end of a process, what is idle, a processor, or what is short");
}

static void test_held_io(void)
{
	begin();
	want();
	for (unsigned i = 0; i < 5; i++)
		hold((struct story_hold){.end_ns = 3 * MS,
					 .calls_ns = 2 * MS,
					 .longest_call = SYS_fsync + 1,
					 .longest_ns = 2 * MS});
	is_found("CPT-LOCK-HELD-IO", "a lock held across system calls for a hundredth of the run");
	begin();
	want();
	for (unsigned i = 0; i < 4; i++)
		hold((struct story_hold){.end_ns = 3 * MS, .calls_ns = 2 * MS});
	is_found("", "a little less");
	begin();
	for (unsigned i = 0; i < 5; i++)
		hold((struct story_hold){.end_ns = 3 * MS,
					 .calls_ns = 2 * MS,
					 .longest_call = SYS_fsync + 1,
					 .longest_ns = 2 * MS});
	is_found("", "one that nobody waits for");
	begin();
	want();
	for (unsigned i = 0; i < 5; i++)
		hold((struct story_hold){.end_ns = 3 * MS,
					 .calls_ns = 2 * MS,
					 .longest_call = SYS_futex + 1,
					 .longest_ns = 2 * MS});
	is_found("", "waking others is no such call");
	begin();
	want();
	for (unsigned i = 0; i < 1000; i++)
		hold((struct story_hold){.end_ns = MS, .calls_ns = MS - 1});
	is_found("", "calls that are short");
}

/* Takes @inner while it holds @outer. */
static void nest(uint32_t thread, uint32_t outer, uint32_t inner, uint64_t ns)
{
	struct story_hold h = {.thread = thread, .mode = 1};

	h.object = inner;
	h.begin_ns = ns + 10;
	h.end_ns = ns + 20;
	listener.hold(listener.context, &h);
	h.object = outer;
	h.begin_ns = ns;
	h.end_ns = ns + 30;
	listener.hold(listener.context, &h);
}

static void test_order(void)
{
	begin();
	nest(1, LOCK_NAMED, LOCK_MADE, 1000);
	nest(2, LOCK_MADE, LOCK_NAMED, 2000);
	is_found("CPT-LOCK-ORDER", "two locks, by two threads in opposite orders");
	begin();
	nest(1, LOCK_NAMED, LOCK_MADE, 1000);
	nest(2, LOCK_NAMED, LOCK_MADE, 2000);
	is_found("", "in the same order");
}

/* What a convoy is, locks.h knows. */
static void test_convoy(void)
{
	struct story_wait w = {.begin_ns = 100,
			       .end_ns = 200,
			       .thread = 1,
			       .type = TRACE_LOCK_WAIT_EVENT,
			       .object = LOCK_NAMED};

	begin();
	listener.wait(listener.context, &w);
	summary->locks.rows[0].convoys = (struct locks_convoys){.n = 1, .sum_ns = 5};
	is_found("CPT-CONVOY", "a lock goes from hand to hand, and is seldom held");
	begin();
	listener.wait(listener.context, &w);
	is_found("", "a lock that is waited for");
}

static void test_long_hold(void)
{
	begin();
	hold((struct story_hold){.end_ns = 10 * MS, .waiters = 1});
	is_found("CPT-LONG-HOLD", "held for long while somebody waited");
	begin();
	hold((struct story_hold){.end_ns = 10 * MS - 1, .waiters = 1});
	hold((struct story_hold){.end_ns = SECOND});
	is_found("", "not for long, or nobody waited");
}

static void test_slow_call(void)
{
	begin();
	call((struct story_call){.number = SYS_fsync, .end_ns = 1000}, 95);
	call((struct story_call){.number = SYS_fsync, .end_ns = 20 * MS}, 5);
	is_found("CPT-SLOW-CALL", "a call that is slow now and then");
	begin();
	call((struct story_call){.number = SYS_fsync, .end_ns = 1000}, 95);
	call((struct story_call){.number = SYS_fsync, .end_ns = 9 * MS}, 5);
	is_found("", "below 10 ms");
	begin();
	call((struct story_call){.number = SYS_fsync, .end_ns = MS}, 95);
	call((struct story_call){.number = SYS_fsync, .end_ns = 50 * MS}, 5);
	is_found("", "less than a hundred times as long");
	begin();
	call((struct story_call){.number = SYS_futex, .end_ns = 1000}, 95);
	call((struct story_call){.number = SYS_futex, .end_ns = 20 * MS}, 5);
	call((struct story_call){.number = SYS_read, .end_ns = 1000, .file = FILE_PIPE}, 95);
	call((struct story_call){.number = SYS_read, .end_ns = 20 * MS, .file = FILE_PIPE}, 5);
	is_found("", "calls that wait for others");
	begin();
	call((struct story_call){.number = SYS_fsync, .end_ns = 1000}, 18);
	call((struct story_call){.number = SYS_fsync, .end_ns = 20 * MS}, 1);
	is_found("", "too few to tell");
}

static void test_small_io(void)
{
	begin();
	call((struct story_call){.number = SYS_write, .result = 63, .file = FILE_LOG}, 1000);
	call((struct story_call){.number = SYS_write, .result = 64, .file = FILE_LOG}, 900);
	is_found("CPT-SMALL-IO", "many small writes to a file");
	begin();
	call((struct story_call){.number = SYS_write, .result = 63, .file = FILE_LOG}, 999);
	call((struct story_call){.number = SYS_read, .result = 64, .file = FILE_LOG}, 9000);
	call((struct story_call){.number = SYS_write, .result = 63, .file = FILE_LOG_AGAIN}, 500);
	is_found("", "not so many of one");
	begin();
	call((struct story_call){.number = SYS_read, .result = 8, .file = FILE_EVENT}, 5000);
	is_found("", "what is made for small ones");
	begin();
	call((struct story_call){.number = SYS_read, .result = 8, .file = FILE_TCP}, 1000);
	call((struct story_call){.number = SYS_read, .result = 800, .file = FILE_TCP}, 1001);
	is_found("", "less than half of them");
}

static void test_again(void)
{
	begin();
	call((struct story_call){.number = SYS_read, .result = -EAGAIN, .file = FILE_TCP}, 101);
	is_found("CPT-EAGAIN", "EAGAIN, again and again");
	begin();
	for (unsigned i = 0; i < 1000; i++) {
		call((struct story_call){.number = SYS_read, .result = 100, .file = FILE_TCP}, 1);
		call((struct story_call){.number = SYS_read, .result = -EAGAIN, .file = FILE_TCP},
		     1);
	}
	is_found("", "once after each read is as it should be");
}

static void test_polls(void)
{
	begin();
	call((struct story_call){.number = SYS_poll, .arguments = {1, 0}, .is_idle = true}, 1000);
	is_found("CPT-POLL-ZERO", "polls without a timeout that find nothing");
	begin();
	call((struct story_call){.number = SYS_epoll_wait, .arguments = {64, 0}, .is_idle = true},
	     999);
	call((struct story_call){.number = SYS_poll, .arguments = {1, 10}, .is_idle = true}, 5000);
	call((struct story_call){.number = SYS_poll, .arguments = {1, UINT64_MAX}, .is_idle = true},
	     5000);
	call(
		(struct story_call){
			.number = SYS_poll, .arguments = {1, 0}, .result = 1, .is_idle = true},
		5000);
	is_found("", "polls that wait, and those that find something");
}

static void test_unseen(void)
{
	struct interval i = {.end_ns = 949, .thread = 1, .state = TRACE_RUNNING};

	begin();
	counts.lost_events = 1;
	counts.gaps = 1;
	is_found("CPT-LOST", "events that are missing");
	begin();
	listener.interval(listener.context, &i);
	i = (struct interval){.begin_ns = 949, .end_ns = 1000, .thread = 1, .state = TRACE_UNKNOWN};
	listener.interval(listener.context, &i);
	is_found("CPT-UNKNOWN", "time that is not known");
	begin();
	i = (struct interval){.end_ns = 950, .thread = 1, .state = TRACE_RUNNING};
	listener.interval(listener.context, &i);
	i = (struct interval){.begin_ns = 950, .end_ns = 1000, .thread = 1, .state = TRACE_UNKNOWN};
	listener.interval(listener.context, &i);
	is_found("", "five hundredths of it");
}

static void test_futile(void)
{
	struct story_wait w = {
		.end_ns = 10, .thread = 1, .type = TRACE_COND_WAIT_EVENT, .object = COND_BARE};

	begin();
	for (unsigned i = 0; i < 500; i++) {
		w.is_again = i % 5 == 0;
		listener.wait(listener.context, &w);
	}
	is_found("CPT-FUTILE-WAKE", "one in five waits begins again");
	begin();
	for (unsigned i = 0; i < 600; i++) {
		w.is_again = i % 6 == 0;
		listener.wait(listener.context, &w);
	}
	w.is_again = true;
	w.object = LOCK_BARE;
	for (unsigned i = 0; i < 99; i++)
		listener.wait(listener.context, &w);
	is_found("", "less, or not often");
}

static void test_all(void)
{
	begin();
	want();
	hold((struct story_hold){
		.end_ns = SECOND, .waiters = 1, .calls_ns = SECOND, .longest_ns = SECOND});
	counts.gaps = 2;
	is_found("CPT-LOCK-HELD-IO CPT-LONG-HOLD CPT-LOST", "several, in their order");
}

int main(void)
{
	plan_begin();
	made_tables_load(&made);
	test_sums();
	test_worst();
	test_held_io();
	test_order();
	test_convoy();
	test_long_hold();
	test_slow_call();
	test_small_io();
	test_again();
	test_polls();
	test_unseen();
	test_futile();
	test_all();
	made_tables_free(&made);
	return plan_end();
}
