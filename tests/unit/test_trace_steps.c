/*
 * tracer: between any two instructions of what a thread does to write an event a handler of the host's may come: one that takes
 * the last chunk there is, that turns to another one, that writes a little, that forks. Any instruction may have its turn, by single
 * steps; nothing crashes, and all events are there or counted as lost.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "core/stacks.h"
#include "tests/unit/segment_make.h"
#include "tests/unit/trace_parse.h"
#include "tracer/chunk.h"
#include "tracer/drain.h"
#include "tracer/object.h"
#include "tracer/sync.h"

#define TRAP_FLAG 0x100 /* of the flags register */

static struct segment *segment;
static int file;

static int open_copy(void *user)
{
	(void)user;
	return dup(file);
}

static void begin(void)
{
	struct segment_live *live;
	struct why why = {""};
	int fd;

	if (segment_create(UINT64_C(16) << 20, &segment, &fd, &why) < 0 ||
	    thread_init(segment) < 0) {
		printf("Bail out! no segment: %s\n", why.text);
		exit(1);
	}
	close(fd);
	segment_publish(segment);
	trace_forget_thread();
	trace_forget_objects();
	thread_self_block = thread_reserve(segment);
	thread_self_block = thread_publish(segment, thread_self_block, (int)sys1(SYS_gettid, 0));
	live = segment_live_page;
	segment->header->trace_shift = live->trace_shift = 4;
	segment->header->trace_is_counter = live->trace_is_counter = 1;
	segment->header->trace_base_ns = clock_monotonic();
	segment->header->trace_base = live->trace_base = arch_counter();
	segment->header->runs[RUN_TRACE].setting = 15;
	live->trace_level = segment->header->trace_level = 15;
	sync_start(segment);
	sync_settings.long_ticks = UINT64_MAX / 2; /* steps take long */
	trace_begin_thread();
}

/* ---- what a handler does ---- */

static uint64_t handled; /* events that it made */

static void write_one(void)
{
	TRACE_WRITE(TRACE_TASK_SWITCH_EVENT, trace_ticks(), handled);
	handled++;
}

#define A_CHUNK 6000 /* events, more than there is room for in one */

#define WORDS (sizeof(segment->header->trace_free) / sizeof(uint64_t))
static uint64_t hidden[WORDS]; /* chunks that are free, and that nobody sees */

/* Nobody has emptied any, and this one is full now. */
static void exhaust(void)
{
	for (size_t i = 0; i < WORDS; i++)
		hidden[i] = atomic_exchange(&segment->header->trace_free[i], 0);
	for (int i = 0; i < A_CHUNK && trace_here.chunk != NULL; i++)
		write_one();
}

static void show_hidden(void)
{
	for (size_t i = 0; i < WORDS; i++) {
		atomic_fetch_or(&segment->header->trace_free[i], hidden[i]);
		hidden[i] = 0;
	}
}

static void turn(void)
{
	const struct trace_chunk *c = trace_here.chunk;

	for (int i = 0; i < A_CHUNK && trace_here.chunk == c; i++)
		write_one();
}

static uint64_t locks[3];
static unsigned pairs; /* that it made */

static void take(const void *lock)
{
	sync_taken(lock, TRACE_OBJECT_MUTEX, SYNC_EXCLUSIVE);
}

static void give(const void *lock)
{
	struct sync_release r;

	if (sync_pairs_near(lock) || sync_pairs(lock))
		return;
	sync_releases(&r, lock, TRACE_OBJECT_MUTEX, SYNC_EXCLUSIVE, 0);
	sync_released(&r, 0);
}

static void lock_other(void)
{
	take(&locks[2]);
	give(&locks[2]);
	pairs++;
}

/* As process.c does it in a child that is not followed; it goes on from where the handler came. */
static bool is_child;
static unsigned bad_children;

static void fork_here(void)
{
	struct segment parent = *segment;
	pid_t child = fork();
	int status;

	if (child != 0) {
		if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
			bad_children++;
		return;
	}
	is_child = true;
	segment_disown();
	sync_forked();
	trace_forget_thread();
	trace_forget_objects();
	thread_self_block = NULL;
	segment_leave(&parent);
}

/* ---- what it interrupts ---- */

static void do_pair(void)
{
	take(&locks[0]);
	give(&locks[0]);
}

static void do_nested(void)
{
	take(&locks[0]);
	take(&locks[1]);
	give(&locks[0]);
	give(&locks[1]);
}

static void do_wait(void)
{
	struct wait w = {.code = WAIT_LOCK, .object = &locks[0], .with = {SYNC_EXCLUSIVE, 0}};

	wait_tracer.begins(&w);
	if (w.traced.is_open)
		wait_tracer.ends(&w);
	give(&locks[0]);
}

static void do_text(void)
{
	static const struct trace_text text = {"a counter of some length", 24, 0};

	trace_write_text(TRACE_COUNTER_EVENT, trace_ticks(), (uint64_t[]){0, 7}, 2, &text, 1);
}

static void do_post(void)
{
	sync_posts(&locks[1], 0);
	sync_signals(&locks[2], true, 0);
}

static void do_event(void)
{
	TRACE_WRITE(TRACE_TASK_END_EVENT, trace_ticks(), 1);
}

/* The next event finds no room in its chunk. */
static void fill(void)
{
	const struct trace_chunk *c;

	do
		write_one();
	while ((c = trace_here.chunk) != NULL &&
	       CHUNK_USED(atomic_load(&c->word)) + TRACE_EVENT_MAX <= c->room);
}

static const struct body {
	const char *name;
	void (*run)(void);
	unsigned events;
	void (*before)(void);
	uint32_t stride; /* each so many instructions */
} bodies[] = {
	{"a pair", do_pair, 1, NULL, 3},
	{"two locks", do_nested, 2, NULL, 23},
	{"a wait for a lock", do_wait, 3, NULL, 47},
	{"a text", do_text, 1, NULL, 3},
	{"a post and a signal", do_post, 2, NULL, 13},
	{"a full chunk", do_event, 1, fill, 11},
};

/* ---- steps ---- */

static void (*action)(void);
static volatile uint32_t steps_left, is_stepping;
static unsigned inside; /* times that it came while a chunk was taken, which SIGTRAP alone does */

static void on_step(int sig, siginfo_t *info, void *context)
{
	ucontext_t *c = context;

	(void)sig;
	(void)info;
	if (--steps_left != 0)
		return;
	c->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	is_stepping = 0;
	inside += trace_here.is_turning != 0;
	action();
}

static inline void set_trap(void)
{
	__asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
}

static inline void clear_trap(void)
{
	__asm__ volatile("pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
}

/* How many instructions of @body there were, up to the @n-th, at which the handler acts. */
__attribute__((noinline)) static uint32_t step(void (*body)(void), uint32_t n)
{
	steps_left = n;
	is_stepping = 1;
	set_trap();
	body();
	clear_trap();
	if (is_child)
		_exit(0);
	return n - steps_left;
}

static uint64_t count(const struct trace_parsed *p)
{
	static const uint8_t types[] = {TRACE_LOCK_WAIT_EVENT,     TRACE_LOCK_ACQUIRED_EVENT,
					TRACE_LOCK_RELEASED_EVENT, TRACE_LOCK_HELD_EVENT,
					TRACE_LOCK_PAIR_EVENT,     TRACE_COND_SIGNAL_EVENT,
					TRACE_SEM_POST_EVENT,      TRACE_COUNTER_EVENT,
					TRACE_TASK_END_EVENT,      TRACE_TASK_SWITCH_EVENT};
	uint64_t n = 0;

	for (size_t i = 0; i < sizeof(types); i++)
		n += p->counts[types[i]];
	return n;
}

#define WARM 3 /* times before each, so that it takes the way that it has most of the time */

static void step_through(const struct body *body, const char *what, void (*act)(void),
			 uint32_t first, uint32_t stride)
{
	struct drain_setup setup;
	struct trace_parsed p;
	struct drain *drain;
	uint64_t lost, made, counted, times = 0;
	uint32_t n;

	begin();
	file = memfd_create("trace", MFD_CLOEXEC);
	setup = (struct drain_setup){
		.segment = *segment, .door = segment->header, .open = open_copy};
	if (file < 0 || drain_create(&drain, &setup) < 0)
		abort();
	action = act;
	handled = pairs = bad_children = inside = 0;
	for (n = first;; n += stride) {
		drain_pass(drain);
		for (int i = 0; i < WARM; i++)
			body->run();
		times += WARM + 1;
		if (body->before != NULL)
			body->before();
		if (step(body->run, n) < n)
			break;
		show_hidden();
	}
	trace_close(true);
	drain_end(drain, TRACE_END_EXITED, 0);
	p = trace_parse(file, NULL, NULL);
	lost = segment->header->lost[LOST_EVENTS];
	ok(p.problem == NULL, "%s, %s: the file is right (%s)", body->name, what,
	   p.problem != NULL ? p.problem : "none");
	ok(n > 20, "at instructions up to %u", n);
	/* what is written of a loss may be lost itself */
	made = times * body->events + handled + pairs;
	counted = count(&p) + lost;
	ok(counted >= made && counted <= made + inside,
	   "%llu events that are there, or counted as lost; made %llu, up to %u of losses",
	   (unsigned long long)counted, (unsigned long long)made, inside);
	is_u64(p.lost, lost, "the file says how many are lost");
	is_u64(bad_children, 0, "children that did not come to their end");
	drain_destroy(drain);
	close(file);
	sync_stop();
	segment_forget();
}

/* test_trace_steps [N]: the first instruction is the N-th; "all": each, which takes some minutes. */
int main(int argc, char *argv[])
{
	static const struct {
		const char *name;
		void (*act)(void);
	} acts[] = {{"no chunk is free", exhaust},
		    {"another chunk", turn},
		    {"an event", write_one},
		    {"a lock", lock_other},
		    {"fork", fork_here}};
	struct sigaction trap = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};

	bool every = argc > 1 && strcmp(argv[1], "all") == 0;
	uint32_t seed = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;

	plan_begin();
	sigaction(SIGTRAP, &trap, NULL);
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		for (size_t j = 0; j < sizeof(acts) / sizeof(acts[0]); j++)
			step_through(&bodies[i], acts[j].name, acts[j].act,
				     every ? 1 : 1 + (seed + j) % bodies[i].stride,
				     every ? 1 : bodies[i].stride);
	return plan_end();
}
