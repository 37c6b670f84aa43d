/* tracer/user: what each call writes, read back from the chunks. */
#include "tracer/user.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/labels.h"
#include "core/stacks.h"
#include "core/walk.h"
#include "tests/unit/trace_decode.h"

static struct segment *segment;
static unsigned seen; /* events that were looked at */

/* The next event, which is to be of this type. */
static const struct decoded *next(unsigned type, const char *what)
{
	static const struct decoded none;
	const struct decoded *d = seen < decoded_n ? &decoded[seen] : &none;

	is_u64(d->type, type, "%s", what);
	seen++;
	return d;
}

static void look(void)
{
	seen = decoded_n;
	decode_all(segment);
}

__attribute__((format(printf, 2, 3))) static void say(const char *category, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	trace_log(category, format, args);
	va_end(args);
}

static void test_tasks(void)
{
	const struct decoded *d;
	uint64_t a, b;
	uint32_t depth;

	errno = ENOTTY;
	a = trace_task_begin("request", 0);
	is_u64(trace_task_switch(a), 0, "worked for none");
	b = trace_task_begin("query", TRACE_TASK_CURRENT);
	is_u64(trace_task_switch(b), a, "worked for the first");
	trace_task_switch(b);
	is_u64(atomic_load(&trace_own()->task), b, "who reads the segment sees it");
	trace_task_end(b);
	is_u64(atomic_load(&trace_own()->task), 0, "its end is the end of working for it");
	trace_task_end(a);
	ok(errno == ENOTTY, "errno is kept");
	look();
	d = next(TRACE_THREAD_START_EVENT, "a thread begins");
	is_u64(d->arguments[0], (uint64_t)getpid(), "with its tid");
	is_str(d->text[0], "first", "and its name");
	d = next(TRACE_TASK_BEGIN_EVENT, "a task begins");
	is_u64(d->arguments[0], a, "its number");
	is_u64(d->arguments[1], 0, "no parent");
	is_str(d->text[0], "request", "its type");
	ok(stacks_frames(segment, SEGMENT_LASTING, (uint32_t)d->arguments[3], &depth) != NULL &&
		   depth > 0,
	   "its stack");
	is_u64(next(TRACE_TASK_SWITCH_EVENT, "worked for")->arguments[0], a, "the task");
	d = next(TRACE_TASK_BEGIN_EVENT, "a part of it");
	is_u64(d->arguments[0], b, "its number");
	is_u64(d->arguments[1], a, "its parent");
	is_u64(next(TRACE_TASK_SWITCH_EVENT, "the other")->arguments[0], b, "once");
	is_u64(next(TRACE_TASK_SWITCH_EVENT, "none")->arguments[0], 0, "before the end");
	is_u64(next(TRACE_TASK_END_EVENT, "the end")->arguments[0], b, "of the part");
	is_u64(next(TRACE_TASK_END_EVENT, "the end")->arguments[0], a, "of the task");
	is_u64(seen, decoded_n, "nothing else");
}

#define DEEP 40

static void test_regions(void)
{
	uint64_t task = trace_task_begin("work", 0);
	const struct decoded *d;
	char name[16];
	bool fits = true;

	look();
	next(TRACE_TASK_BEGIN_EVENT, "a task");
	trace_task_switch(task);
	trace_region_begin("outer");
	trace_region_begin("inner");
	is_u64(atomic_load(&trace_own()->regions_n), 2, "two are open");
	is_str(segment_text(segment, atomic_load(&trace_own()->regions[0])), "outer",
	       "the outer one first");
	is_str(segment_text(segment, atomic_load(&trace_own()->regions[1])), "inner", "the inner");
	trace_region_end();
	trace_region_end();
	trace_region_end();
	trace_region_begin(NULL);
	trace_task_switch(0);
	trace_region_end();
	look();
	next(TRACE_TASK_SWITCH_EVENT, "worked for");
	d = next(TRACE_REGION_BEGIN_EVENT, "a region");
	is_str(d->text[0], "outer", "its name");
	is_u64(d->arguments[1], task, "its task");
	ok(d->arguments[2] != 0, "its stack");
	is_str(next(TRACE_REGION_BEGIN_EVENT, "another")->text[0], "inner", "its name");
	is_str(next(TRACE_REGION_END_EVENT, "an end")->text[0], "inner", "of the inner");
	is_str(next(TRACE_REGION_END_EVENT, "an end")->text[0], "outer", "of the outer");
	is_str(next(TRACE_REGION_END_EVENT, "an end too many")->text[0], "", "of none");
	is_str(next(TRACE_REGION_BEGIN_EVENT, "one without a name")->text[0], "", "begins");
	next(TRACE_TASK_SWITCH_EVENT, "worked for no more");
	is_str(next(TRACE_REGION_END_EVENT, "one without a name")->text[0], "", "ends");
	is_u64(seen, decoded_n, "nothing else");

	for (int i = 0; i < DEEP; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		trace_region_begin(name);
	}
	for (int i = 0; i < DEEP; i++)
		trace_region_end();
	is_u64(atomic_load(&trace_own()->regions_n), 0, "all are closed");
	look();
	for (int i = 0; i < DEEP; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		fits = fits && decoded[seen].type == TRACE_REGION_BEGIN_EVENT &&
		       strcmp(decoded[seen].text[0], name) == 0;
		seen++;
	}
	for (int i = DEEP - 1; i >= 0; i--) {
		snprintf(name, sizeof(name), "r%d", i);
		fits = fits && decoded[seen].type == TRACE_REGION_END_EVENT &&
		       strcmp(decoded[seen].text[0], i < TRACE_REGIONS_MAX ? name : "") == 0;
		seen++;
	}
	ok(fits && seen == decoded_n,
	   "deeper than there are places: the innermost ends have no name");
	trace_task_end(task);
}

static void test_texts(void)
{
	static char longer[3000];
	const struct decoded *d;

	look();
	seen = decoded_n;
	trace_counter("queue", -5);
	trace_counter("queue", INT64_MIN);
	trace_flow(TRACE_FLOW_BEGIN_EVENT, UINT64_MAX, "job");
	trace_flow(TRACE_FLOW_STEP_EVENT, UINT64_MAX, "job");
	trace_flow(TRACE_FLOW_END_EVENT, UINT64_MAX, NULL);
	trace_attribute("key", "value");
	errno = ENOENT;
	say("cache", "%d of %s", 7, "nine");
	say(NULL, "%s", "");
	ok(errno == ENOENT, "errno is kept");
	look();
	d = next(TRACE_COUNTER_EVENT, "a counter");
	is_str(d->text[0], "queue", "its name");
	is_u64(d->arguments[1], trace_zigzag(-5), "its value");
	is_u64(next(TRACE_COUNTER_EVENT, "the least")->arguments[1], UINT64_MAX, "there is");
	is_u64(next(TRACE_FLOW_BEGIN_EVENT, "a flow")->arguments[0], UINT64_MAX, "its number");
	is_str(next(TRACE_FLOW_STEP_EVENT, "a step")->text[0], "job", "its name");
	is_str(next(TRACE_FLOW_END_EVENT, "its end")->text[0], "", "NULL is nothing");
	d = next(TRACE_ATTRIBUTE_EVENT, "an attribute");
	is_str(d->text[0], "key", "its key");
	is_str(d->text[1], "value", "its value");
	d = next(TRACE_LOG_EVENT, "a line");
	is_str(d->text[0], "cache", "its category");
	is_str(d->text[1], "7 of nine", "its text");
	is_u64(d->arguments[2], 0, "no task");
	is_str(next(TRACE_LOG_EVENT, "an empty line")->text[1], "", "is there");

	memset(longer, 'x', sizeof(longer) - 1);
	trace_counter(longer, 1);
	say(longer, "%s", longer);
	trace_attribute(longer, longer);
	trace_exec(longer, ENOENT);
	memcpy(longer + TRACE_NAME_MAX - 1, "\xc3\xa9", 2);
	trace_counter(longer, 1);
	memcpy(longer + TRACE_NAME_MAX - 2, "\xc3\xa9", 2);
	longer[TRACE_NAME_MAX] = '\0';
	trace_counter(longer, 1);
	look();
	is_u64(next(TRACE_COUNTER_EVENT, "a long name")->arguments[0], TRACE_NAME_MAX, "is cut");
	d = next(TRACE_LOG_EVENT, "a long line");
	is_u64(d->arguments[0], 127, "its category is cut");
	is_u64(d->arguments[1], 896, "its text is cut");
	d = next(TRACE_ATTRIBUTE_EVENT, "a long attribute");
	is_u64(d->arguments[0] + d->arguments[1], TRACE_TEXT_MAX, "both are cut");
	d = next(TRACE_EXEC_EVENT, "a long path");
	is_u64(d->arguments[0], TRACE_TEXT_MAX, "is cut");
	is_u64(d->arguments[1], ENOENT, "its error");
	is_u64(next(TRACE_COUNTER_EVENT, "a character that does not fit")->arguments[0],
	       TRACE_NAME_MAX - 1, "is left out");
	is_u64(next(TRACE_COUNTER_EVENT, "one that just fits")->arguments[0], TRACE_NAME_MAX,
	       "is not");
	is_u64(seen, decoded_n, "nothing else");
}

static void test_process(void)
{
	const struct decoded *d;
	uint64_t frame = 0x1234;

	look();
	seen = decoded_n;
	trace_fork(1234, trace_ticks(), 0);
	trace_exec("/bin/true", 0);
	trace_library(TRACE_LIBRARY_ASKED, "libm.so.6");
	trace_signal(SIGUSR1);
	trace_cpu_sample(segment, thread_self_block, &frame, 1, 10000000);
	look();
	d = next(TRACE_FORK_EVENT, "a fork");
	is_u64(d->arguments[0], 1234, "its pid");
	ok(d->arguments[1] != 0, "its stack");
	d = next(TRACE_EXEC_EVENT, "an exec");
	is_str(d->text[0], "/bin/true", "its path");
	is_u64(d->arguments[1], 0, "no error");
	d = next(TRACE_LIBRARY_EVENT, "a library");
	is_u64(d->arguments[0], TRACE_LIBRARY_ASKED, "what became of it");
	is_str(d->text[0], "libm.so.6", "its name");
	is_u64(next(TRACE_SIGNAL_EVENT, "a signal")->arguments[0], SIGUSR1, "its number");
	d = next(TRACE_CPU_SAMPLE_EVENT, "a sample");
	is_u64(d->arguments[1], 10000000, "its weight");
	is_u64(d->arguments[3], 0, "of the thread itself");
	ok(stacks_frames(segment, SEGMENT_LASTING, (uint32_t)d->arguments[0], &(uint32_t){0}) !=
		   NULL,
	   "its stack");
	ok(atomic_load(&segment->header->trace_has) & TRACE_HAS_SAMPLES, "the log has samples");
	is_u64(seen, decoded_n, "nothing else");
}

static void *other_thread(void *arg)
{
	struct thread *t = thread_reserve(segment), *creator = arg;

	thread_self_block = thread_publish(segment, t, (int)sys1(SYS_gettid, 0));
	strcpy(t->record->name, "second");
	t->record->labels = creator->record->labels;
	trace_counter("mine", 1);
	trace_cpu_sample(segment, creator, &(uint64_t){1}, 1, 5);
	trace_close(true);
	ok(trace_here.thread == NULL, "a thread that ended has none");
	thread_self_block = NULL;
	thread_release(segment, t);
	return NULL;
}

static void test_labels(void)
{
	static const char *const plain[] = {"b", "2", "a", "1"};
	static const char *const odd[] = {"empty", "", "k=y", "a b\"c\\"};
	static char longer[600];
	const char *const longest[] = {"z", longer, "y", longer};
	uint32_t set = labels_overlay(segment, 0, plain, 2);
	uint32_t number = atomic_load(&trace_own()->thread);
	const struct decoded *d;
	pthread_t id;

	look();
	seen = decoded_n;
	trace_labels(set);
	trace_labels(labels_overlay(segment, 0, odd, 2));
	memset(longer, 'x', sizeof(longer) - 1);
	trace_labels(labels_overlay(segment, set, longest, 2));
	trace_labels(0);
	thread_self_block->record->labels = set;
	pthread_create(&id, NULL, other_thread, thread_self_block);
	pthread_join(id, NULL);
	look();
	is_str(next(TRACE_LABELS_EVENT, "labels")->text[0], "a=1 b=2", "by key");
	is_str(next(TRACE_LABELS_EVENT, "odd ones")->text[0], "empty=\"\" \"k=y\"=\"a b\\\"c\\\\\"",
	       "in quotes");
	is_u64(next(TRACE_LABELS_EVENT, "more than fits")->arguments[0],
	       strlen("a=1 b=2 y=") + sizeof(longer) - 1, "whole pairs only");
	is_str(next(TRACE_LABELS_EVENT, "none")->text[0], "", "none");
	d = next(TRACE_THREAD_START_EVENT, "another thread");
	is_str(d->text[0], "second", "its name");
	ok(d->thread != number && d->thread != 0, "its number");
	is_str(next(TRACE_LABELS_EVENT, "inherited labels")->text[0], "a=1 b=2", "are said");
	is_u64(next(TRACE_COUNTER_EVENT, "then")->thread, d->thread, "what it writes");
	d = next(TRACE_CPU_SAMPLE_EVENT, "a sample that it takes for another");
	is_u64(d->arguments[3], number, "says whose it is");
	is_u64(seen, decoded_n, "nothing else");
}

/* Writers that are interrupted by handlers that write, which are interrupted by another. */
#define STORM_MS 400
#define VOICES   3 /* the thread's, and one of each handler */

static const char *const voices[VOICES] = {"main", "one", "two"};
static int64_t spoken[VOICES]; /* each is one thread's or one handler's */
static int64_t heard[VOICES], gaps;
static unsigned disorder;

static void speak(int who)
{
	char longer[200];

	trace_counter(voices[who], ++spoken[who]);
	if (spoken[who] % 16 == 0) {
		memset(longer, 'x', sizeof(longer));
		longer[sizeof(longer) - 1] = '\0';
		trace_attribute(voices[who], longer);
	}
}

static void handler(int sig)
{
	int who = sig == SIGALRM ? 1 : 2;

	trace_region_begin(voices[who]);
	for (int i = 0; i < 20; i++)
		speak(who);
	trace_region_end();
}

static void hear(const struct decoded *d, void *user)
{
	(void)user;
	for (int who = 0; d->type == TRACE_COUNTER_EVENT && who < VOICES; who++) {
		int64_t value = (int64_t)(d->arguments[1] >> 1);

		if (strcmp(d->text[0], voices[who]) != 0)
			continue;
		disorder += value <= heard[who];
		gaps += value - heard[who] - 1;
		heard[who] = value;
	}
	if (d->type == TRACE_ATTRIBUTE_EVENT && d->arguments[1] == 199)
		disorder += strspn(d->text[1], "x") != 199;
}

static timer_t strike(int sig, long every_ns)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = sig};
	struct itimerspec spec = {{0, every_ns}, {0, every_ns}};
	timer_t timer;

	signal(sig, handler);
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &spec, NULL);
	return timer;
}

static void test_storm(void)
{
	uint64_t lost = atomic_load(&segment->header->lost[LOST_EVENTS]);
	uint64_t until = clock_monotonic() + STORM_MS * UINT64_C(1000000);
	timer_t one = strike(SIGALRM, 60000), two = strike(SIGUSR1, 47000);
	unsigned wrong;

	while (clock_monotonic() < until && spoken[0] < 100000)
		for (int i = 0; i < 20; i++)
			speak(0);
	timer_delete(one);
	timer_delete(two);
	wrong = decode_each(segment, hear, NULL);
	lost = atomic_load(&segment->header->lost[LOST_EVENTS]) - lost;
	for (int who = 0; who < VOICES; who++)
		gaps += spoken[who] - heard[who];
	note("%d, %d and %d events; %d not there, %d counted as lost", (int)spoken[0],
	     (int)spoken[1], (int)spoken[2], (int)gaps, (int)lost);
	is_u64(disorder, 0, "each voice is in its order, and whole");
	is_u64(wrong, 0, "stamps add up");
	ok(gaps <= (int64_t)lost, "what is not there is counted");
	ok(spoken[1] > 0 && spoken[2] > 0, "handlers had their say");
	is_u64(atomic_load(&trace_own()->regions_n), 0, "nothing is left open");
}

int main(void)
{
	plan_begin();
	walk_settings.depth = 64;
	segment = decode_begin(64 << 20);
	test_tasks();
	test_regions();
	test_texts();
	test_process();
	test_labels();
	test_storm();
	return plan_end();
}
