/*
 * stacks: what one stack costs, by several ways of walking it that take turns in one process.
 *
 *     stacks cost DEPTH ROUNDS      a line for each way, place and round:  way place round ns frames
 *     stacks first WAY              one line:   µs of the first walk of the process, then of fresh threads
 *     stacks memory WAY             one line:   resident bytes that a thread's walks leave behind
 *
 * The stack is made of functions with different frames, called in turn. From one walk to the next its last one to four
 * frames change, as they do between the samples of a program; in the place "changing" every frame is another one each
 * time, as when two tasks share a thread. In a handler every walk follows its own signal; what reading the clock costs is
 * taken off. Peers are opened when they are there, by their own
 * names: libunwind also defines backtrace(), and would otherwise stand in for the C library's.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/modules.h"
#include "core/table.h"
#include "core/walk.h"

#define FRAMES_MAX 128
#define BATCH      200 /* walks between two turns of a way */
#define REPEAT     16  /* walks under one reading of the clock, outside handlers */
#define MOVING     4   /* frames that change from one walk to the next */
#define THREADS    64

static struct segment *segment;
static __thread struct thread *self;
static void *frames[FRAMES_MAX];

typedef int walk_fn(const ucontext_t *uc);
typedef int peer_fn(void **buffer, int size);
typedef int gperf_fn(void **buffer, int depth, int skip);
static peer_fn *unw_backtrace_fn, *libc_backtrace_fn;
static gperf_fn *gperf_fn_found;

static int walk_nothing(const ucontext_t *uc)
{
	return uc != NULL;
}

static struct walk_result take_ours(const ucontext_t *uc)
{
	return uc != NULL ? walk_signal(segment, self, uc) : walk_here(segment, self);
}

static int walk_ours(const ucontext_t *uc)
{
	return (int)take_ours(uc).depth;
}

static int walk_and_record(const ucontext_t *uc)
{
	static const uint64_t values[CPU_COLUMNS] = {1, 10000000};
	struct walk_result stack = take_ours(uc);

	table_record(segment, SEGMENT_TABLE_CPU, stack.frames, stack.depth, 0, values);
	return (int)stack.depth;
}

static int walk_libunwind(const ucontext_t *uc)
{
	return unw_backtrace_fn(frames, FRAMES_MAX);
}

static int walk_libc(const ucontext_t *uc)
{
	return libc_backtrace_fn(frames, FRAMES_MAX);
}

static int walk_gperf(const ucontext_t *uc)
{
	return gperf_fn_found(frames, FRAMES_MAX, 0);
}

#ifdef HAS_FRAME_POINTERS
/* The least that a walk can be: two loads a frame. Only code that keeps frame pointers can be walked so. */
static int walk_frame_pointers(const ucontext_t *uc)
{
	uintptr_t bp = uc != NULL ? arch_bp(uc) : (uintptr_t)__builtin_frame_address(0);
	uintptr_t sp = uc != NULL ? arch_sp(uc) : bp;
	int n = 0;

	while (n < FRAMES_MAX && bp >= sp && bp < self->stack_high - 16 && bp % 8 == 0) {
		const uintptr_t *frame = (const uintptr_t *)bp;

		frames[n++] = (void *)frame[1];
		sp = bp + 16;
		bp = frame[0];
	}
	return n;
}
#endif

static struct way {
	const char *name;
	walk_fn *walk;
	bool is_here;
} ways[] = {
	{"nothing", walk_nothing, true},
	{"cprof", walk_ours, true},
	{"cprof+count", walk_and_record, true},
	{"unw_backtrace", walk_libunwind, false},
	{"backtrace", walk_libc, false},
	{"gperftools", walk_gperf, false},
#ifdef HAS_FRAME_POINTERS
	{"frame-pointers", walk_frame_pointers, true},
#endif
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void *find(const char *library, const char *symbol)
{
	void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);

	return handle != NULL ? dlsym(handle, symbol) : NULL;
}

static void find_peers(void)
{
	*(void **)&unw_backtrace_fn = find("libunwind.so.8", "unw_backtrace");
	*(void **)&libc_backtrace_fn = find("libc.so.6", "backtrace");
	*(void **)&gperf_fn_found = find("libprofiler.so.0", "_Z13GetStackTracePPvii");
	for (size_t i = 0; i < WAYS; i++)
		ways[i].is_here |= (ways[i].walk == walk_libunwind && unw_backtrace_fn != NULL) ||
				   (ways[i].walk == walk_libc && libc_backtrace_fn != NULL) ||
				   (ways[i].walk == walk_gperf && gperf_fn_found != NULL);
}

static struct way *way_named(const char *name)
{
	for (size_t i = 0; i < WAYS; i++)
		if (strcmp(ways[i].name, name) == 0 && ways[i].is_here)
			return &ways[i];
	fprintf(stderr, "stacks: %s is not here\n", name);
	exit(77);
}

/* What the library does when it is loaded, as far as walking needs it. */
static void begin_segment(void)
{
	struct why why = {""};
	int fd;

	if (segment_create(UINT64_C(64) << 20, &segment, &fd, &why) < 0 ||
	    thread_init(segment) < 0) {
		fprintf(stderr, "stacks: %s\n", why.text);
		exit(1);
	}
	close(fd);
	modules_refresh(segment);
	segment_publish(segment);
}

static void become_known_as(const pthread_attr_t *attributes)
{
	void *low;
	size_t size;

	pthread_attr_getstack(attributes, &low, &size);
	self = thread_publish(segment, thread_reserve(segment), (int)syscall(SYS_gettid));
	self->stack_low = (uintptr_t)low;
	self->stack_high = (uintptr_t)low + size;
	thread_self_block = self;
}

static void become_known(void)
{
	pthread_attr_t attributes;

	pthread_getattr_np(pthread_self(), &attributes);
	become_known_as(&attributes);
	pthread_attr_destroy(&attributes);
}

/* A stack of some depth: 32 functions with frames of different sizes, and @bottom at the end. */
typedef void bottom_fn(void *argument);
struct descent {
	int left, shift;
	bottom_fn *bottom;
	void *argument;
};
static int descend(struct descent *d);

#define LEVEL(n)                                                         \
	__attribute__((noinline)) static int level##n(struct descent *d) \
	{                                                                \
		volatile char space[16 + n % 8 * 24];                    \
                                                                         \
		space[0] = (char)d->left;                                \
		return descend(d) + space[0];                            \
	}
#define LEVELS(m)                                                                             \
	m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11) m(12) m(13) m(14) m(15) \
		m(16) m(17) m(18) m(19) m(20) m(21) m(22) m(23) m(24) m(25) m(26) m(27) m(28) \
			m(29) m(30) m(31)
#define LEVEL_NAME(n) level##n,

LEVELS(LEVEL)

static int (*const levels[32])(struct descent *) = {LEVELS(LEVEL_NAME)};

__attribute__((always_inline)) static inline int descend(struct descent *d)
{
	if (d->left-- <= 0) {
		d->bottom(d->argument);
		return 0;
	}
	return levels[(d->left + d->shift) % 32](d);
}

static uint64_t ticks(void)
{
	return __builtin_ia32_rdtsc();
}

static double ticks_per_ns(void)
{
	uint64_t ns = clock_monotonic(), from = ticks(), now;

	do
		now = clock_monotonic();
	while (now - ns < 20000000);
	return (double)(ticks() - from) / (double)(now - ns);
}

static struct way *volatile current;
static double readings[BATCH];
/* volatile: syscall() is declared to call nothing of ours back, which is not so for one that raises a signal */
static volatile int reading, frames_seen;

static void on_signal(int sig, siginfo_t *info, void *uc)
{
	uint64_t from = ticks();

	frames_seen = current->walk(uc);
	readings[reading++] = (double)(ticks() - from);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Without the slowest tenth: those met an interrupt. */
static double mean_of_most(void)
{
	double sum = 0;
	int kept = reading - reading / 10;

	qsort(readings, (size_t)reading, sizeof(*readings), compare);
	for (int i = 0; i < kept; i++)
		sum += readings[i];
	return sum / kept;
}

static int base_depth; /* frames under a batch, for the place where whole stacks change */

static void raise_here(void *unused)
{
	syscall(SYS_tgkill, getpid(), self->tid, SIGPROF);
}

static double batch_in_handler(struct way *way)
{
	current = way;
	reading = 0;
	for (int i = 0; i < BATCH; i++) {
		struct descent d = {i % MOVING + 1, 0, raise_here, NULL};

		descend(&d);
	}
	return mean_of_most();
}

static double batch_changing(struct way *way)
{
	current = way;
	reading = 0;
	for (int i = 0; i < BATCH; i++) {
		struct descent d = {base_depth + i % MOVING + 1, i % 2 * 15, raise_here, NULL};

		descend(&d);
	}
	return mean_of_most();
}

static void walk_here_by(void *way)
{
	frames_seen = ((struct way *)way)->walk(NULL);
}

static double batch_plain(struct way *way)
{
	reading = 0;
	for (int i = 0; i < BATCH / REPEAT; i++) {
		uint64_t from = ticks();

		for (int k = 0; k < REPEAT; k++) {
			struct descent d = {k % MOVING + 1, 0, walk_here_by, way};

			descend(&d);
		}
		readings[reading++] = (double)(ticks() - from) / REPEAT;
	}
	return mean_of_most();
}

static double per_ns;
static int rounds;

static void take_turns(double (*batch)(struct way *), const char *place)
{
	for (int round = -1; round < rounds; round++) { /* the first one warms up */
		double nothing = 0;

		for (size_t i = 0; i < WAYS; i++) {
			double spent;

			if (!ways[i].is_here)
				continue;
			spent = batch(&ways[i]);
			if (ways[i].walk == walk_nothing)
				nothing = spent;
			else if (round >= 0)
				printf("%s %s %d %.1f %d\n", ways[i].name, place, round,
				       (spent - nothing) / per_ns, frames_seen);
		}
	}
}

static void cost(void *unused)
{
	take_turns(batch_plain, "plain");
	take_turns(batch_in_handler, "handler");
}

static void *cost_thread(void *depth)
{
	/* thread start, this function, the batch's own, the moving ones at half their number, libc's at the end */
	struct descent d = {(int)(intptr_t)depth - 11, 0, cost, NULL};

	become_known();
	descend(&d);
	base_depth = (int)(intptr_t)depth - 9;
	take_turns(batch_changing, "changing");
	return NULL;
}

static double first_us;

static void first(void *way)
{
	uint64_t from = ticks();

	frames_seen = ((struct way *)way)->walk(NULL);
	first_us = (double)(ticks() - from) / per_ns / 1000;
}

static void *first_thread(void *way)
{
	struct descent d = {23, 0, first, way};

	become_known();
	descend(&d);
	return NULL;
}

static void in_thread(void *(*start)(void *), void *argument)
{
	pthread_t thread;

	pthread_create(&thread, NULL, start, argument);
	pthread_join(thread, NULL);
}

static pthread_barrier_t barrier;

static long resident_bytes(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f == NULL || fscanf(f, "%*d %ld", &pages) != 1)
		exit(1);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

static void walk_often(void *way)
{
	struct way *w = way;
	volatile char below
		[32768]; /* what a walk uses of the stack while it runs is no memory it keeps */
	pthread_attr_t attributes;

	for (size_t i = 0; i < sizeof(below); i += 512)
		below[i] = 1;
	pthread_getattr_np(pthread_self(), &attributes); /* allocates */
	pthread_barrier_wait(&barrier);                  /* all stacks are there */
	pthread_barrier_wait(&barrier);                  /* the first reading is taken */
	if (w->walk == walk_ours || w->walk == walk_and_record)
		become_known_as(&attributes); /* its block counts, as what others set up at first */
	for (int i = 0; i < 50; i++)
		w->walk(NULL);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	pthread_attr_destroy(&attributes);
}

static void *memory_thread(void *way)
{
	struct descent d = {23, 0, walk_often, way};

	descend(&d);
	return NULL;
}

static void memory(struct way *way)
{
	pthread_t threads[THREADS];
	pthread_attr_t attributes;
	long before, after;

	in_thread(first_thread, way); /* what all threads share */
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 256 << 10);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], &attributes, memory_thread, way);
	pthread_barrier_wait(&barrier);
	resident_bytes();
	before = resident_bytes();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	after = resident_bytes();
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	printf("%s %ld\n", way->name, (after - before) / THREADS);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
	const char *job = argc > 2 ? argv[1] : "";

	find_peers();
	begin_segment();
	sigaction(SIGPROF, &action, NULL);
	per_ns = ticks_per_ns();
	if (strcmp(job, "cost") == 0 && argc == 4) {
		rounds = atoi(argv[3]);
		for (size_t i = 0; i < WAYS; i++)
			if (!ways[i].is_here)
				fprintf(stderr, "stacks: %s is not installed\n", ways[i].name);
		in_thread(cost_thread, (void *)(intptr_t)atoi(argv[2]));
	} else if (strcmp(job, "first") == 0) {
		struct way *way = way_named(argv[2]);

		printf("%s", way->name);
		for (int i = 0; i < 9; i++) {
			in_thread(first_thread, way);
			printf(" %.2f", first_us);
		}
		printf("\n");
	} else if (strcmp(job, "memory") == 0) {
		memory(way_named(argv[2]));
	} else {
		fputs("usage: stacks cost DEPTH ROUNDS | first WAY | memory WAY\n", stderr);
		return 2;
	}
	return 0;
}
