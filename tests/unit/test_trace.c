/*
 * tracer: what threads and their handlers write into chunks is what is in the file, all of it and whole: also when they write
 * faster than anybody reads, when the process is killed, and when what is in the segment makes no sense.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "core/stacks.h"
#include "tests/unit/segment_make.h"
#include "tests/unit/trace_parse.h"
#include "tracer/chunk.h"
#include "tracer/drain.h"
#include "tracer/object.h"
#include "tracer/sync.h"

#define MEMORY (UINT64_C(16) << 20)

static struct segment *segment;

/* A segment in which this process traces, as trace_profile starts it. */
static void switch_on(struct segment *s)
{
	struct segment_live *live = segment_live_page;

	if (s->header->trace_base_ns == 0) {
		s->header->trace_shift = 4;
		s->header->trace_is_counter = 1;
		s->header->trace_base_ns = clock_monotonic();
		s->header->trace_base = arch_counter();
		s->header->runs[RUN_TRACE].setting = 15;
	}
	live->trace_base = s->header->trace_base;
	live->trace_shift = s->header->trace_shift;
	live->trace_is_counter = 1;
	live->trace_level = s->header->trace_level = 15;
}

static void know_self(const char *name)
{
	struct thread *t = thread_reserve(segment);

	snprintf(t->record->name, THREAD_NAME_SIZE, "%s", name);
	thread_self_block = thread_publish(segment, t, (int)sys1(SYS_gettid, 0));
}

static void begin(void)
{
	struct why why = {""};
	int fd;

	if (segment_create(MEMORY, &segment, &fd, &why) < 0 || thread_init(segment) < 0) {
		printf("Bail out! no segment: %s\n", why.text);
		exit(1);
	}
	close(fd);
	segment_publish(segment);
	trace_forget_thread();
	trace_forget_objects();
	thread_self_block = NULL;
	switch_on(segment);
	know_self("main");
}

static void end(void)
{
	segment_forget();
}

/* A drain of it, into a file in memory. */
struct sink {
	struct drain *drain;
	int fd;
};

static int open_copy(void *user)
{
	return dup(((struct sink *)user)->fd);
}

static void sink_open(struct sink *k, const struct segment *s, struct writer_ring ring)
{
	struct drain_setup setup = {
		.segment = *s, .door = s->header, .ring = ring, .open = open_copy, .user = k};

	k->fd = memfd_create("trace", MFD_CLOEXEC);
	if (k->fd < 0 || drain_create(&k->drain, &setup) < 0)
		abort();
}

static void sink_close(struct sink *k)
{
	drain_destroy(k->drain);
	close(k->fd);
}

static const char *shown(const char *problem)
{
	return problem != NULL ? problem : "none";
}

/* Events of one kind bear numbers that grow by one. */
struct row {
	uint64_t next;
	unsigned wrong;
};
struct rows {
	struct row rows[256];
	uint64_t last_ns[64];
	unsigned backwards;
};

static void check_row(void *user, const struct trace_parsed_event *e)
{
	struct rows *rows = user;
	struct row *row = &rows->rows[e->type];
	uint64_t n = e->type == TRACE_COUNTER_EVENT ? e->a[1] : e->a[0], ns = e->block->first_ns;

	if (e->block->span != 0)
		ns += (uint64_t)((double)e->ticks / (double)e->block->span *
				 (double)(e->block->last_ns - e->block->first_ns));
	if (e->block->thread < 64) {
		rows->backwards += ns < rows->last_ns[e->block->thread];
		rows->last_ns[e->block->thread] = ns;
	}
	row->wrong += n != row->next;
	row->next = n + 1;
}

static void test_simple(void)
{
	static const uint64_t frames[3] = {0x1000, 0x2000, FRAME_TRUNCATED};
	const struct trace_text text = {"hello", 5, 0};
	struct trace_parsed p;
	struct sink k;
	uint32_t stack;

	begin();
	sink_open(&k, segment, (struct writer_ring){0});
	is_u64(drain_pass(k.drain), 0, "nothing yet");
	trace_begin_thread();
	stack = stacks_intern(segment, SEGMENT_LASTING, frames, 3);
	TRACE_WRITE(TRACE_COND_SIGNAL_EVENT, trace_ticks(),
		    trace_object(segment, &text, TRACE_OBJECT_COND), 0, 1, stack);
	trace_write_text(TRACE_THREAD_NAME_EVENT, trace_ticks(), (uint64_t[]){0}, 1, &text, 1);
	ok(drain_pass(k.drain) > 0 && drain_pass(k.drain) == 0, "read once");
	TRACE_WRITE(TRACE_SYSCALL_BEGIN_EVENT, trace_ticks(), 7, 0, 0, 0, 0);
	trace_here.thread->operation = trace_ticks() << 16 | 8;
	is_u64((uint64_t)-drain_end(k.drain, TRACE_END_SIGNAL, SIGKILL), 0, "ended");
	p = trace_parse(k.fd, NULL, NULL);
	ok(p.problem == NULL, "the file is right (%s at %llu)", shown(p.problem),
	   (unsigned long long)p.at);
	ok(p.has_trailer && p.trailer.end_reason == TRACE_END_SIGNAL && p.trailer.end_value == 9,
	   "and says how it ended");
	ok(p.counts[TRACE_THREAD_START_EVENT] == 1 && p.counts[TRACE_COND_SIGNAL_EVENT] == 1 &&
		   p.counts[TRACE_THREAD_NAME_EVENT] == 1 &&
		   p.counts[TRACE_SYSCALL_BEGIN_EVENT] == 1,
	   "what was written is there");
	ok(p.counts[TRACE_THREAD_STATUS_EVENT] == 1 && p.counts[TRACE_THREAD_EXIT_EVENT] == 1 &&
		   p.counts[TRACE_PROCESS_EXIT_EVENT] == 1,
	   "what nobody could write is there");
	is_u64(drain_counts(k.drain).events, 4, "events that were counted");
	is_u64(p.lost, 0, "lost");
	sink_close(&k);
	end();
}

/* The kernel's last records of a thread are read when it has ended. */
static void test_gone(void)
{
	int tid = (int)sys1(SYS_gettid, 0);
	uint32_t number;
	struct sink k;

	begin();
	sink_open(&k, segment, (struct writer_ring){0});
	trace_begin_thread();
	drain_pass(k.drain);
	number = drain_thread_of(k.drain, tid);
	ok(number != 0, "gone: a thread is known");
	trace_close(true);
	drain_pass(k.drain);
	is_u64(drain_thread_of(k.drain, tid), number,
	       "gone: and still in the pass in which it ended");
	drain_pass(k.drain);
	is_u64(drain_thread_of(k.drain, tid), number, "gone: and in the next");
	drain_pass(k.drain);
	is_u64(drain_thread_of(k.drain, tid), 0, "gone: but not for ever");
	drain_end(k.drain, TRACE_END_EXITED, 0);
	sink_close(&k);
	end();
}

/* Under the kernel's numbers they lie beside each other. */
#define SOME_TID  7
#define OTHER_TID (SOME_TID + 65536)

static void say_tid(int tid)
{
	trace_begin_thread();
	TRACE_WRITE(TRACE_THREAD_START_EVENT, trace_ticks(), (uint64_t)tid, 0, 0, 0);
}

static void *come_and_go(void *user)
{
	(void)user;
	say_tid(OTHER_TID);
	trace_close(true);
	return NULL;
}

static void test_tids(void)
{
	uint32_t some, other;
	pthread_t thread;
	struct sink k;

	begin();
	sink_open(&k, segment, (struct writer_ring){0});
	say_tid(SOME_TID);
	for (unsigned i = 0; i < 2; i++) {
		pthread_create(&thread, NULL, come_and_go, NULL);
		pthread_join(thread, NULL);
	}
	drain_pass(k.drain);
	some = drain_thread_of(k.drain, SOME_TID);
	other = drain_thread_of(k.drain, OTHER_TID);
	ok(some != 0 && other > some, "tids: one that lives, and the last of those that do not");
	is_u64(drain_thread_of(k.drain, (int)sys1(SYS_gettid, 0)), 0, "tids: what it was before");
	drain_pass(k.drain);
	is_u64(drain_thread_of(k.drain, OTHER_TID), other, "tids: in the next pass");
	drain_pass(k.drain);
	is_u64(drain_thread_of(k.drain, OTHER_TID), 0, "tids: not for ever");
	is_u64(drain_thread_of(k.drain, SOME_TID), some, "tids: but the one that lives");
	trace_close(true);
	drain_pass(k.drain);
	is_u64(drain_thread_of(k.drain, SOME_TID), some, "tids: which ends, too");
	drain_end(k.drain, TRACE_END_EXITED, 0);
	sink_close(&k);
	end();
}

/* Storms */

static _Atomic bool is_over;
static uint64_t handled;
static volatile sig_atomic_t in_handler;

static void handle(int sig)
{
	for (int i = 0; i < 3; i++) {
		TRACE_WRITE(TRACE_TASK_SWITCH_EVENT, trace_ticks(), handled);
		handled++;
	}
	(void)sig;
}

static void *drain_on(void *sink)
{
	struct sink *k = sink;

	while (!atomic_load(&is_over)) {
		uint32_t ticket = drain_ticket(k->drain);

		if (drain_pass(k->drain) < 100000)
			drain_sleep(k->drain, ticket, 20);
	}
	return NULL;
}

static void set_alarm(unsigned us)
{
	const struct itimerval each = {{0, us}, {0, us}};

	setitimer(ITIMER_REAL, &each, NULL);
}

/* Numbers up to @n, or for @ns; a text now and then. Returns how many. */
static uint64_t write_numbers(uint64_t n, uint64_t ns)
{
	const struct trace_text text = {"a counter of some length", 24, 0};
	uint64_t until = clock_monotonic() + ns, i = 0;

	while (i < n && (i % 1024 != 0 || clock_monotonic() < until)) {
		if (i % 16 == 0)
			trace_write_text(TRACE_COUNTER_EVENT, trace_ticks(),
					 (uint64_t[]){0, i / 16}, 2, &text, 1);
		TRACE_WRITE(TRACE_TASK_END_EVENT, trace_ticks(), i);
		i++;
	}
	return i;
}

/* A thread at @work while @handler comes in between, and what the file has of it. */
struct storm {
	struct rows rows;
	struct trace_parsed p;
	uint64_t n, lost;
};

static void storm(struct storm *t, void (*handler)(int), uint64_t (*work)(void))
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
	pthread_t drainer;
	sigset_t alarm;
	struct sink k;

	memset(t, 0, sizeof(*t));
	begin();
	sync_start(segment);
	sink_open(&k, segment, (struct writer_ring){0});
	atomic_store(&is_over, false);
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	pthread_create(&drainer, NULL, drain_on, &k);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	sigaction(SIGALRM, &action, NULL);
	handled = 0;
	set_alarm(50);
	t->n = work();
	set_alarm(0);
	trace_close(true);
	TRACE_WRITE(TRACE_TASK_END_EVENT, trace_ticks(), 1);
	atomic_store(&is_over, true);
	pthread_join(drainer, NULL);
	drain_end(k.drain, TRACE_END_EXITED, 0);
	t->p = trace_parse(k.fd, check_row, &t->rows);
	t->lost = segment->header->lost[LOST_EVENTS];
	ok(t->p.problem == NULL, "storm: the file is right (%s)", shown(t->p.problem));
	ok(handled > 3000, "storm: %llu times in handlers among %llu", (unsigned long long)handled,
	   (unsigned long long)t->n);
	is_u64(t->p.lost, t->lost, "storm: the file says how many were lost");
	is_u64(t->rows.backwards, 0, "storm: no time goes back");
	is_u64(t->p.gaps, 0, "storm: no chunk is missing");
	sink_close(&k);
	sync_stop();
	end();
}

static uint64_t write_for_a_second(void)
{
	return write_numbers(UINT64_MAX, NS_PER_SECOND);
}

static void test_storm(void)
{
	struct storm t;

	storm(&t, handle, write_for_a_second);
	is_u64(t.p.counts[TRACE_TASK_END_EVENT] + t.p.counts[TRACE_TASK_SWITCH_EVENT] +
		       t.p.counts[TRACE_COUNTER_EVENT] + t.lost,
	       t.n + (t.n + 15) / 16 + handled + 1,
	       "storm: all events are there, or counted as lost, the one behind the end too");
	if (t.lost == 0)
		ok(t.rows.rows[TRACE_TASK_END_EVENT].wrong +
				   t.rows.rows[TRACE_TASK_SWITCH_EVENT].wrong +
				   t.rows.rows[TRACE_COUNTER_EVENT].wrong ==
			   0,
		   "storm: in their order");
}

/* Locks, as their wrappers write them; a handler takes its own. */
static uint64_t locks[2];

static void take_and_give(const void *lock)
{
	struct sync_release r;

	sync_taken(lock, TRACE_OBJECT_MUTEX, SYNC_EXCLUSIVE);
	if (sync_pairs_near(lock) || sync_pairs(lock))
		return;
	sync_releases(&r, lock, TRACE_OBJECT_MUTEX, SYNC_EXCLUSIVE, 0);
	sync_released(&r, 0);
}

static void handle_locks(int sig)
{
	for (int i = 0; i < 3; i++) {
		take_and_give(&locks[1]);
		handled++;
	}
	(void)sig;
}

static uint64_t lock_for_a_second(void)
{
	uint64_t until = clock_monotonic() + NS_PER_SECOND, i = 0;

	for (; i % 1024 != 0 || clock_monotonic() < until; i++)
		take_and_give(&locks[0]);
	return i;
}

static void test_storm_of_pairs(void)
{
	struct storm t;

	storm(&t, handle_locks, lock_for_a_second);
	is_u64(t.p.counts[TRACE_LOCK_PAIR_EVENT] + t.p.counts[TRACE_LOCK_HELD_EVENT] + t.lost,
	       t.n + handled + 1, "storm: all pairs are there, or counted as lost");
	ok(t.p.counts[TRACE_LOCK_PAIR_EVENT] > t.n / 2, "storm: pairs, most of them");
}

static void test_killed(void)
{
	_Atomic uint64_t *written =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned bad = 0, missing = 0, problems = 0;

	for (unsigned round = 0; round < 20; round++) {
		struct timespec pause = {0, 3000000 + round * 700000};
		struct rows rows = {0};
		struct trace_parsed p;
		struct sink k;
		pid_t child;

		begin();
		sink_open(&k, segment, (struct writer_ring){0});
		written[0] = written[1] = 0;
		child = fork();
		if (child == 0) {
			struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};

			segment_publish(segment);
			switch_on(segment);
			trace_forget_thread();
			thread_self_block->tid = (int)sys1(SYS_gettid, 0);
			thread_self_block->record->tid = thread_self_block->tid;
			sigaction(SIGALRM, &action, NULL);
			handled = 0;
			set_alarm(50);
			for (uint64_t i = 0;; i++) {
				TRACE_WRITE(TRACE_TASK_END_EVENT, trace_ticks(), i);
				atomic_store_explicit(&written[0], i + 1, memory_order_release);
			}
		}
		nanosleep(&pause, NULL);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		drain_end(k.drain, TRACE_END_SIGNAL, SIGKILL);
		p = trace_parse(k.fd, check_row, &rows);
		problems += p.problem != NULL;
		bad += segment->header->lost[LOST_EVENTS] == 0 &&
		       rows.rows[TRACE_TASK_END_EVENT].wrong +
				       rows.rows[TRACE_TASK_SWITCH_EVENT].wrong !=
			       0;
		missing += p.counts[TRACE_TASK_END_EVENT] + segment->header->lost[LOST_EVENTS] <
			   written[0];
		sink_close(&k);
		end();
	}
	is_u64(problems, 0, "killed: files that are not right");
	is_u64(missing, 0, "killed: nothing that was written is missing");
	is_u64(bad, 0, "killed: and nothing is torn or twice");
}

static void test_full(void)
{
	struct rows rows = {0};
	struct trace_parsed p;
	struct sink k;
	uint64_t n, more;

	begin();
	sink_open(&k, segment, (struct writer_ring){0});
	n = write_numbers(3000000, UINT64_MAX / 2);
	ok(segment->header->lost[LOST_EVENTS] > 0, "full: %llu of %llu found no room",
	   (unsigned long long)segment->header->lost[LOST_EVENTS], (unsigned long long)n);
	drain_pass(k.drain);
	more = write_numbers(100, UINT64_MAX / 2);
	drain_end(k.drain, TRACE_END_EXITED, 0);
	p = trace_parse(k.fd, check_row, &rows);
	ok(p.problem == NULL, "full: the file is right (%s)", shown(p.problem));
	is_u64(p.lost, segment->header->lost[LOST_EVENTS], "full: the file says how many");
	is_u64(p.counts[TRACE_TASK_END_EVENT] + p.counts[TRACE_COUNTER_EVENT] + p.lost,
	       n + (n + 15) / 16 + more + (more + 15) / 16, "full: no more and no less");
	is_u64(p.counts[TRACE_LOST_EVENT], 1, "full: in one place");
	sink_close(&k);
	end();
}

/* A handler that leaves by longjmp() in the middle of an event must not end the thread's writing. */

static sigjmp_buf out;

static void leave(int sig)
{
	(void)sig;
	if (in_handler)
		siglongjmp(out, 1);
}

static __attribute__((noinline)) void write_deeply(unsigned depth, uint64_t n)
{
	volatile char room[200];

	room[0] = (char)depth;
	if (depth > 0) {
		write_deeply(depth - 1, n);
		room[1] = room[0];
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		TRACE_WRITE(TRACE_TASK_END_EVENT, trace_ticks(), i);
}

static void test_left(void)
{
	struct sigaction action = {.sa_handler = leave, .sa_flags = SA_NODEFER};
	uint64_t until = clock_monotonic() + NS_PER_SECOND / 2, before = 0;
	struct trace_parsed p;
	pthread_t drainer;
	volatile unsigned jumps = 0;
	bool writes_on = false;
	sigset_t alarm;
	struct sink k;
	int here;

	begin();
	thread_self_block->stack_low = (uintptr_t)&here - (8 << 20);
	thread_self_block->stack_high = (uintptr_t)&here + (1 << 16);
	sink_open(&k, segment, (struct writer_ring){0});
	atomic_store(&is_over, false);
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, NULL);
	pthread_create(&drainer, NULL, drain_on, &k);
	pthread_sigmask(SIG_UNBLOCK, &alarm, NULL);
	sigaction(SIGALRM, &action, NULL);
	set_alarm(50);
	while (clock_monotonic() < until) {
		if (sigsetjmp(out, 1) != 0 && ++jumps > 3000)
			break; /* where it takes longer than until the next signal */
		in_handler = 1;
		write_deeply(jumps % 5, 2000);
		in_handler = 0;
	}
	in_handler = 0;
	set_alarm(0);
	/* as soon as there is room again: who empties the chunks may be kept from it */
	for (int i = 0; i < 500 && !writes_on; i++) {
		before = segment->header->lost[LOST_EVENTS];
		write_deeply(0, 2000);
		writes_on = segment->header->lost[LOST_EVENTS] == before;
		if (!writes_on)
			nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	}
	trace_close(true);
	atomic_store(&is_over, true);
	pthread_join(drainer, NULL);
	drain_end(k.drain, TRACE_END_EXITED, 0);
	p = trace_parse(k.fd, NULL, NULL);
	ok(p.problem == NULL, "left: the file is right (%s)", shown(p.problem));
	ok(jumps > 100, "left: %u times in the middle of it", jumps);
	ok(writes_on, "left: the thread writes on (%llu lost)", (unsigned long long)before);
	sink_close(&k);
	end();
}

/* Files that end early, and rings. */

static void test_full_disk(void)
{
	struct rlimit limit = {150000, RLIM_INFINITY}, before;
	struct trace_parsed p;
	struct drain_counts c;
	char path[] = "/tmp/test_trace.XXXXXX";
	struct sink k;

	begin();
	sink_open(&k, segment, (struct writer_ring){0});
	close(k.fd);
	k.fd = mkstemp(path);
	unlink(path);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	limit.rlim_max = before.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
	for (int i = 0; i < 20; i++) {
		write_numbers(50000, UINT64_MAX / 2);
		drain_pass(k.drain);
	}
	is_u64((uint64_t)-drain_end(k.drain, TRACE_END_EXITED, 0), EFBIG, "disk: full");
	setrlimit(RLIMIT_FSIZE, &before);
	c = drain_counts(k.drain);
	p = trace_parse(k.fd, NULL, NULL);
	ok(p.problem == NULL, "disk: the file is right as far as it goes (%s)", shown(p.problem));
	ok(p.has_trailer && p.trailer.end_reason == TRACE_END_DISK_FULL,
	   "disk: and says why it ends");
	ok(c.error == -EFBIG && c.unwritten > 0 && c.lost == 0,
	   "disk: %llu events were not written, the program lost none",
	   (unsigned long long)c.unwritten);
	sink_close(&k);
	end();
}

static void test_ring(void)
{
	struct rows rows = {0};
	struct trace_parsed p;
	struct sink k;

	begin();
	sink_open(&k, segment, (struct writer_ring){.bytes = 100000});
	for (int i = 0; i < 40; i++) {
		write_numbers(50000, UINT64_MAX / 2);
		drain_pass(k.drain);
	}
	drain_end(k.drain, TRACE_END_EXITED, 0);
	p = trace_parse(k.fd, check_row, &rows);
	ok(p.header.flags & TRACE_IS_RING, "ring: the file says that it is one");
	ok(p.counts[TRACE_TASK_END_EVENT] >= 1000 && p.counts[TRACE_TASK_END_EVENT] < 1500000,
	   "ring: %u of 2000000", p.counts[TRACE_TASK_END_EVENT]);
	is_u64(rows.rows[TRACE_TASK_END_EVENT].next, 50000, "ring: the last ones");
	is_u64(p.counts[TRACE_THREAD_STATUS_EVENT] > 0, 1, "ring: with what the thread was doing");
	sink_close(&k);
	end();
}

/* A snapshot in the middle, while writing and draining go on. */
static struct trace_parsed take_snapshot(struct sink *k, struct rows *rows, int *ret_error)
{
	struct trace_parsed p = {0};
	int fd = memfd_create("snapshot", MFD_CLOEXEC), r;

	r = drain_snapshot_begin(k->drain, dup(fd), 0);
	if (r == 0) {
		is_u64((uint64_t)-drain_snapshot_begin(k->drain, dup(fd), 0), EBUSY,
		       "snapshot: one at a time");
		do {
			write_numbers(50000, UINT64_MAX / 2);
			drain_pass(k->drain);
			r = drain_snapshot_step(k->drain);
		} while (r == 1);
	}
	*ret_error = r;
	if (r == 0)
		p = trace_parse(fd, rows != NULL ? check_row : NULL, rows);
	close(fd);
	return p;
}

/* Since a moment: what was before is left out, but for the generation that was under way. */
static void test_snapshot_since(const char *about, struct writer_ring ring)
{
	uint64_t moments[4];
	struct sink k;

	begin();
	sink_open(&k, segment, ring);
	for (unsigned i = 0; i < 4; i++) {
		moments[i] = clock_monotonic();
		write_numbers(1000, UINT64_MAX / 2);
		drain_pass(k.drain);
		drain_snapshot_begin(k.drain, memfd_create("ends a generation", MFD_CLOEXEC), 0);
		while (drain_snapshot_step(k.drain) == 1)
			;
	}
	for (unsigned i = 0; i < 4; i++) {
		struct rows rows = {0};
		struct trace_parsed p;
		int fd = memfd_create("since", MFD_CLOEXEC), r;
		unsigned wanted = (4 - i) * 1000;

		r = drain_snapshot_begin(k.drain, dup(fd), moments[i]);
		while (r == 0 && (r = drain_snapshot_step(k.drain)) == 1)
			r = 0;
		p = trace_parse(fd, check_row, &rows);
		ok(r == 0 && p.problem == NULL && p.has_trailer,
		   "%s: since moment %u: it is right (%s)", about, i, shown(p.problem));
		ok(p.counts[TRACE_TASK_END_EVENT] >= wanted &&
			   p.counts[TRACE_TASK_END_EVENT] <= wanted + 1000,
		   "%s: with what came then, %u events, and little before", about,
		   p.counts[TRACE_TASK_END_EVENT]);
		is_u64((p.header.flags & TRACE_IS_RING) != 0,
		       ring.bytes != 0 || p.counts[TRACE_TASK_END_EVENT] < 4000,
		       "%s: it says whether something is missing", about);
		is_u64(rows.backwards, 0, "%s: in order", about);
		close(fd);
	}
	drain_end(k.drain, TRACE_END_EXITED, 0);
	sink_close(&k);
	end();
}

static void test_snapshot(const char *about, struct writer_ring ring)
{
	uint8_t first_uuid[16];
	struct trace_parsed p;
	struct sink k;
	int error;

	begin();
	sink_open(&k, segment, ring);
	take_snapshot(&k, NULL, &error);
	ok(error == 0, "%s: of a trace that has just begun", about);
	memset(first_uuid, 0, sizeof(first_uuid));
	for (int i = 0; i < 3; i++) {
		struct rows rows = {0};

		for (int n = 0; n < 20; n++) {
			write_numbers(50000, UINT64_MAX / 2);
			drain_pass(k.drain);
		}
		write_numbers(123, UINT64_MAX / 2);
		p = take_snapshot(&k, &rows, &error);
		ok(error == 0 && p.problem == NULL, "%s: it is right (%s)", about,
		   shown(p.problem));
		ok(p.has_trailer && p.trailer.end_reason == TRACE_END_SNAPSHOT,
		   "%s: and says what it is", about);
		is_u64(rows.rows[TRACE_TASK_END_EVENT].next, 123,
		       "%s: up to the last event before it", about);
		is_u64(rows.backwards, 0, "%s: in order", about);
		ok(p.counts[TRACE_THREAD_STATUS_EVENT] > 0, "%s: with what the thread was doing",
		   about);
		ok(memcmp(p.header.uuid, first_uuid, sizeof(first_uuid)) != 0,
		   "%s: it is a trace of its own", about);
		memcpy(first_uuid, p.header.uuid, sizeof(first_uuid));
	}
	drain_end(k.drain, TRACE_END_EXITED, 0);
	p = trace_parse(k.fd, NULL, NULL);
	ok(p.problem == NULL && p.has_trailer && p.trailer.end_reason == TRACE_END_EXITED,
	   "%s: the trace itself is as without (%s)", about, shown(p.problem));
	ok(memcmp(p.header.uuid, first_uuid, sizeof(first_uuid)) != 0, "%s: and another", about);
	sink_close(&k);
	end();
}

/* Where there is no room for it. What is left of it is none. */
static void test_snapshot_fails(void)
{
	struct trace_parsed p;
	struct sink k;
	int error = 1;

	begin();
	sink_open(&k, segment, (struct writer_ring){0});
	write_numbers(50000, UINT64_MAX / 2);
	drain_pass(k.drain);
	error = drain_snapshot_begin(k.drain, open("/dev/full", O_RDWR | O_CLOEXEC), 0);
	while (error == 0 && (error = drain_snapshot_step(k.drain)) == 1)
		error = 0;
	is_u64((uint64_t)-error, ENOSPC, "snapshot: no room");
	take_snapshot(&k, NULL, &error);
	is_u64((uint64_t)-error, 0, "snapshot: where there is");
	drain_end(k.drain, TRACE_END_EXITED, 0);
	sink_close(&k);
	end();

	begin();
	sink_open(&k, segment, (struct writer_ring){.bytes = 100000});
	write_numbers(5000, UINT64_MAX / 2);
	error = drain_snapshot_begin(k.drain, memfd_create("left", MFD_CLOEXEC), 0);
	is_u64((uint64_t)-error, 0, "snapshot: begun");
	while (drain_snapshot_step(k.drain) == 1)
		;
	for (int i = 0; i < 20; i++) {
		write_numbers(50000, UINT64_MAX / 2);
		drain_pass(k.drain);
	}
	drain_end(k.drain, TRACE_END_EXITED, 0);
	p = trace_parse(k.fd, NULL, NULL);
	ok(p.counts[TRACE_TASK_END_EVENT] < 700000, "the ring drops what is old again: %u left",
	   p.counts[TRACE_TASK_END_EVENT]);
	sink_close(&k);
	end();
}

/* Nobody empties the chunks, the oldest are taken again, and others read them meanwhile. */
struct growing {
	uint64_t last;
	unsigned n, not_growing, holes;
};

static void check_growing(void *user, const struct trace_parsed_event *e)
{
	struct growing *g = user;

	if (e->type != TRACE_TASK_END_EVENT)
		return;
	g->not_growing += g->n != 0 && e->a[0] <= g->last;
	g->holes += g->n != 0 && e->a[0] > g->last + 1;
	g->last = e->a[0];
	g->n++;
}

static struct trace_parsed read_all(struct growing *ret)
{
	struct drain_setup setup = {.segment = *segment, .open = open_copy};
	struct sink k = {.fd = memfd_create("all", MFD_CLOEXEC)};
	struct trace_parsed p;

	*ret = (struct growing){0};
	setup.user = &k;
	if (k.fd < 0 || drain_create(&k.drain, &setup) < 0)
		abort();
	drain_end(k.drain, TRACE_END_SNAPSHOT, 0);
	p = trace_parse(k.fd, check_growing, ret);
	sink_close(&k);
	return p;
}

struct looks {
	unsigned n, problems, not_growing;
};

static void *look_again_and_again(void *user)
{
	struct looks *looks = user;
	struct growing g;

	while (!atomic_load(&is_over)) {
		struct trace_parsed p = read_all(&g);

		looks->problems += p.problem != NULL;
		looks->not_growing += g.not_growing;
		looks->n++;
	}
	return NULL;
}

static void test_overwrite(void)
{
	struct looks looks = {0};
	struct growing g;
	struct trace_parsed p;
	pthread_t reader;
	uint64_t n;

	begin();
	segment->header->trace_overwrites = 1;
	atomic_store(&is_over, false);
	pthread_create(&reader, NULL, look_again_and_again, &looks);
	n = write_numbers(UINT64_MAX, 2 * NS_PER_SECOND);
	atomic_store(&is_over, true);
	pthread_join(reader, NULL);
	ok(looks.n > 5 && looks.problems == 0, "overwrite: %u looks, %u not right", looks.n,
	   looks.problems);
	is_u64(looks.not_growing, 0, "overwrite: no event twice, none out of order");
	p = read_all(&g);
	ok(p.problem == NULL, "overwrite: at the end (%s)", shown(p.problem));
	is_u64(g.last, n - 1, "overwrite: the last event is there");
	is_u64(g.holes, 0, "overwrite: without a hole");
	ok(g.n > 100000 && g.n < n / 2, "overwrite: %u of %llu", g.n, (unsigned long long)n);
	is_u64(segment->header->lost[LOST_EVENTS], 0, "overwrite: nothing is called lost");
	end();
}

/* What is in the segment is anybody's. */
static void test_hostile(void)
{
	unsigned problems = 0, rounds = 300;
	uint64_t seed = 88172645463325252;

	for (unsigned round = 0; round < rounds; round++) {
		const struct segment_place *chunks;
		struct trace_parsed p;
		struct sink k;

		begin();
		sink_open(&k, segment, (struct writer_ring){0});
		write_numbers(2000, UINT64_MAX / 2);
		chunks = segment_place(segment, SEGMENT_TRACE_CHUNKS, 0);
		for (unsigned i = 0; i < 1 + round % 50; i++) {
			uint8_t *at;

			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			at = segment->base + chunks->offset + seed % 4 * chunks->stride +
			     seed / 4 % (i % 2 ? 64 : chunks->stride);
			*at = (uint8_t)(seed >> 40);
			if (i % 16 == 15)
				((uint8_t *)&segment->header->trace_free)[seed / 64 % 256] =
					(uint8_t)(seed >> 50);
			if (i % 8 == 7)
				drain_pass(k.drain);
		}
		if (round % 3 == 0)
			drain_pass(k.drain);
		drain_end(k.drain, TRACE_END_SIGNAL, 9);
		p = trace_parse(k.fd, NULL, NULL);
		/* a thread may come to have a number twice */
		problems +=
			p.problem != NULL && strcmp(p.problem, "a block too many or too few") != 0;
		sink_close(&k);
		end();
	}
	is_u64(problems, 0, "hostile: files that are not right, of %u", rounds);
}

/* Its header, too: what lies beside the threads of the trace may be less than those, at the very end. */
static void test_parts(void)
{
	const size_t guard = 1 << 30;
	struct trace_parsed p;
	struct segment s;
	struct sink k;

	begin();
	write_numbers(2000, UINT64_MAX / 2);
	s = *segment;
	s.base = mmap(NULL, s.size + guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		      -1, 0);
	if (s.base == MAP_FAILED || mprotect(s.base, s.size, PROT_READ | PROT_WRITE) != 0)
		abort();
	memcpy(s.base, segment->base, s.size);
	s.header = (struct segment_header *)s.base;
	s.parts[SEGMENT_THREADS].count = 1;
	s.parts[SEGMENT_THREADS].offset = s.size - s.parts[SEGMENT_THREADS].stride;
	for (uint32_t i = 0; i < segment_count(&s, SEGMENT_TRACE_CHUNKS, 0); i++) {
		const struct segment_place *place = segment_place(&s, SEGMENT_TRACE_CHUNKS, 0);

		((struct trace_chunk *)(s.base + place->offset + (size_t)i * place->stride))
			->record = segment_count(&s, SEGMENT_TRACE_THREADS, 0) - 1;
	}
	((struct trace_thread *)((uint8_t *)segment_part(&s, SEGMENT_TRACE_THREADS, 0) +
				 (size_t)(segment_count(&s, SEGMENT_TRACE_THREADS, 0) - 1) *
					 TRACE_THREAD_STRIDE))
		->thread = 1;
	sink_open(&k, &s, (struct writer_ring){.ns = 4});
	for (int i = 0; i < 5; i++)
		drain_pass(k.drain);
	drain_end(k.drain, TRACE_END_SIGNAL, 9);
	p = trace_parse(k.fd, NULL, NULL);
	ok(p.problem == NULL, "parts: the file is right (%s)", shown(p.problem));
	sink_close(&k);
	munmap(s.base, s.size + guard);
	end();
}

/* Not a test: how fast it is. */
static void measure(void)
{
	uint64_t events = 0, ns = 0, bytes = 0, write_ns = 0, raw = 0;
	struct drain_counts c;
	struct sink k;

	begin();
	sink_open(&k, segment, (struct writer_ring){0});
	trace_begin_thread();
	for (int i = 0; i < 40; i++) {
		uint64_t begun = clock_read(CLOCK_THREAD_CPUTIME_ID);

		for (int j = 0; j < 60000; j++) {
			TRACE_WRITE(TRACE_LOCK_ACQUIRED_EVENT, trace_ticks(), j % 5 + 1, 1, j, 0);
			TRACE_WRITE(TRACE_LOCK_RELEASED_EVENT, trace_ticks(), j % 5 + 1, 1, j, 9, 0,
				    0);
			TRACE_WRITE(TRACE_LOCK_PAIR_EVENT, trace_ticks(), 3);
		}
		write_ns += clock_read(CLOCK_THREAD_CPUTIME_ID) - begun;
		drain_pass(k.drain);
	}
	c = drain_counts(k.drain);
	events = c.events;
	ns = c.busy_ns;
	bytes = c.bytes;
	raw = c.raw_bytes;
	drain_end(k.drain, TRACE_END_EXITED, 0);
	printf("# %llu events: %.1f ns to write each, %.1f ns to take, pack and put away, %.2f "
	       "bytes, %.2f packed; lost %llu\n",
	       (unsigned long long)events, (double)write_ns / (40 * 180000.0),
	       (double)ns / (double)events, (double)raw / (double)events,
	       (double)bytes / (double)events, (unsigned long long)c.lost);
	sink_close(&k);
	end();
}

int main(void)
{
	plan_begin();
	test_simple();
	test_gone();
	test_tids();
	test_storm();
	test_storm_of_pairs();
	test_killed();
	test_full();
	test_left();
	test_full_disk();
	test_ring();
	test_snapshot("snapshot of a ring", (struct writer_ring){.bytes = 100000});
	test_snapshot("snapshot of a log", (struct writer_ring){0});
	test_snapshot_since("snapshot of a part of a ring", (struct writer_ring){.bytes = 100000});
	test_snapshot_since("snapshot of a part of a log", (struct writer_ring){0});
	test_snapshot_fails();
	test_overwrite();
	test_hostile();
	test_parts();
	measure();
	return plan_end();
}
