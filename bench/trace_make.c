/*
 * trace_make: a trace of any length, of a server that never was. For looks at what a viewer takes for it.
 *
 *     trace_make EVENTS FILE [SEED]       some more events than EVENTS; the same file for the same seed
 *
 * What is in it happens: threads have one of eight processors or wait for it, a lock has one holder, who waits is woken by
 * whoever lets go, and numbers, switches, stacks and summaries say the same.
 *
 *     acceptor ── queue.lock, queue.filled ──→ pool-0 … 3     requests, each a task with three regions
 *     worker-0 … 15     compute; share four locks of a table
 *     logger            holds log.lock while it writes and syncs, and requests wait for it
 *     main              starts a thread now and then, and joins it
 *
 * The one whose time is the earliest takes a step: it writes what it does alone, and ends where it meets others.
 */
#include <fcntl.h>
#include <sys/syscall.h>

#include "bench/trace_put.h"

#define CPUS     8
#define WORKERS  16
#define POOL     4
#define SHARDS   4
#define THREADS  (3 + WORKERS + POOL + 1)
#define QUEUE    256 /* requests that wait */
#define FILES    8   /* instances 1 to 8; then what epoll looks at, and the peers */
#define PEERS    16
#define VARIANTS 8 /* stacks of one kind */

#define US               UINT64_C(1000)
#define MS               UINT64_C(1000000)
#define SLICE_NS         (3 * MS) /* after which a thread makes room for another */
#define GENERATION_NS    (2000 * MS)
#define GENERATION_BYTES (UINT64_C(16) << 20)
#define SAMPLE_NS        (10 * MS)
#define FUTEX_WAIT       128 /* FUTEX_WAIT_PRIVATE and FUTEX_WAKE_PRIVATE */
#define FUTEX_WAKE       129
#define PTHREAD(t)       (UINT64_C(0x7f5a00000000) + (t)->tid * UINT64_C(0x801000))

struct thread;
struct sim;
typedef void (*step_function)(struct sim *s, struct thread *t);

/* A mutex, or a condition, whose waiters are who is parked. */
struct object {
	uint32_t number;
	uint64_t order;
	struct thread *owner;
	struct thread *waiters[THREADS];
	unsigned waiters_n;
	unsigned blocked_n; /* those of them that wait for the lock alone */
	uint32_t wait_stacks[VARIANTS], give_stacks[VARIANTS];
};

enum doing { RUNS, STARTS, IN_CALL, IN_LOCK, IN_COND, IN_COND_LOCK, IN_JOIN };
enum where { NOWHERE, READY, ON_CPU, ASLEEP, BLOCKED };

struct thread {
	struct stream stream;
	step_function step;
	unsigned at; /* the place in its step */
	uint32_t name, tid;
	enum where where;
	enum doing doing;
	uint64_t now, wakes_at, left_at; /* it had a processor until then */
	unsigned cpu;
	uint64_t written, sampled_ns, ran_ns;

	/* the lock that it holds or waits for */
	struct object *lock, *cond;
	uint64_t taken_at, taken_written, wait_since;
	bool holds, has_waited;

	uint32_t call; /* that it is in: number + 1 */
	uint64_t call_since;
	int64_t result;
	struct object lock_of_its_own, tokens; /* nobody else uses them */
	uint64_t task, carried;                /* it works for; it hands on */
	uint32_t regions[4], regions_n;
};

struct cpu {
	struct stream stream;
	struct thread *runs;
	uint64_t since, free_at;
};

struct sim {
	struct trace trace;
	uint64_t seed, now, generation_ns, heap_ns, live_bytes, allocated_bytes;
	struct stream process;
	struct thread threads[THREADS];
	uint32_t threads_n; /* numbers that were given */
	struct cpu cpus[CPUS];
	struct thread *ready[THREADS];
	unsigned ready_n;

	struct object shards[SHARDS], queue_lock, queue_filled, log_lock;
	uint64_t queue[QUEUE], tasks;
	unsigned queue_first, queue_n;

	uint32_t frames_n, objects_n;
	uint32_t call_stacks[VARIANTS], sample_stacks[8 * VARIANTS], create_stack, begin_stack;
	struct {
		uint32_t request, parse, query, reply, batch, depth;
	} names;
};

/* ---- chance ---- */

static uint64_t chance(struct sim *s)
{
	uint64_t x = s->seed += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t below(struct sim *s, uint64_t n)
{
	return (chance(s) >> 32) * n >> 32;
}

/* @mean on average, each length as likely as for what comes at any moment. */
static uint64_t about(struct sim *s, uint64_t mean)
{
	uint64_t x = chance(s);
	unsigned halves = (unsigned)__builtin_ctzll(x | UINT64_C(1) << 20);

	return (mean * (halves * 1024 + (x >> 54)) >> 10) * 693 / 1000 + 1;
}

/* Mostly about @usual; one in 50 takes ten times that, one in 2000 a hundred times. */
static uint64_t latency(struct sim *s, uint64_t usual)
{
	uint64_t luck = below(s, 2000);

	return usual / 2 + about(s, luck == 0 ? usual * 100 : luck < 40 ? usual * 10 : usual / 2);
}

/* ---- what a thread writes ---- */

#define WRITE(s, t, NAME, ...)                                               \
	do {                                                                 \
		(t)->written++;                                              \
		PUT(&(s)->trace, &(t)->stream, NAME, (t)->now, __VA_ARGS__); \
	} while (0)

static enum trace_state state_of(const struct thread *t)
{
	if (t->doing == IN_LOCK)
		return TRACE_LOCK;
	if (t->doing >= IN_COND)
		return TRACE_WAIT;
	if (t->call == 0)
		return TRACE_RUNNING;
	return t->call - 1 == SYS_epoll_wait || t->call - 1 == SYS_clock_nanosleep ? TRACE_IDLE
										   : TRACE_SYSCALL;
}

static void begin_call(struct sim *s, struct thread *t, uint32_t number, uint32_t fd, uint64_t a,
		       uint64_t b)
{
	WRITE(s, t, SYSCALL_BEGIN, number, fd, a, b, 0);
	t->call = number + 1;
	t->call_since = t->now;
	t->stream.state = state_of(t);
}

static void end_call(struct sim *s, struct thread *t, int64_t result)
{
	uint32_t number = t->call - 1, stack = t->now - t->call_since > 100 * US && t->doing == RUNS
						       ? s->call_stacks[number % VARIANTS]
						       : 0;

	t->call = 0;
	WRITE(s, t, SYSCALL_END, number, (uint64_t)result << 1 ^ -((uint64_t)result >> 63), stack);
	t->stream.state = state_of(t);
}

/* One that does not wait. */
static void quick_call(struct sim *s, struct thread *t, uint32_t number, uint32_t fd,
		       uint64_t bytes)
{
	uint64_t took = latency(s, 700);

	t->now += took;
	WRITE(s, t, SYSCALL, number, TICKS(took), bytes << 1, fd, bytes, 0, 0,
	      took > 10 * US ? s->call_stacks[number % VARIANTS] : 0);
	t->stream.state = state_of(t);
}

static void begin_region(struct sim *s, struct thread *t, uint32_t name)
{
	WRITE(s, t, REGION_BEGIN, name, t->task, s->begin_stack);
	t->regions[t->regions_n++] = name;
}

static void end_region(struct sim *s, struct thread *t)
{
	t->regions_n--;
	WRITE(s, t, REGION_END, t->regions[t->regions_n]);
}

/* ---- processors ---- */

static void run_on(struct sim *s, struct thread *t, unsigned number, uint64_t at)
{
	struct cpu *c = &s->cpus[number];

	if (at < c->free_at)
		at = c->free_at;
	PUT(&s->trace, &c->stream, SCHED_IN, at, t->stream.number);
	c->runs = t;
	c->since = at;
	t->where = ON_CPU;
	t->cpu = number;
	t->now = at + 300 + below(s, 500);
}

static void make_ready(struct sim *s, struct thread *t, uint64_t at)
{
	at = at > t->left_at ? at : t->left_at;
	for (unsigned i = 0; i < CPUS; i++) {
		unsigned number = (t->cpu + i) % CPUS;

		if (s->cpus[number].runs == NULL) {
			run_on(s, t, number, at + latency(s, 3 * US));
			return;
		}
	}
	t->where = READY;
	t->now = at;
	s->ready[s->ready_n++] = t;
}

/* The thread on a processor makes room, and the next gets it. */
static void leave_cpu(struct sim *s, struct thread *t, enum trace_out_reason reason)
{
	struct cpu *c = &s->cpus[t->cpu];
	uint64_t at = t->now + 200;

	PUT(&s->trace, &c->stream, SCHED_OUT, at, t->stream.number, reason);
	t->ran_ns += at - c->since;
	t->left_at = at + 500;
	c->runs = NULL;
	c->free_at = at + 800;
	if (reason == TRACE_OUT_PREEMPTED) {
		t->where = READY;
		s->ready[s->ready_n++] = t;
	}
	if (s->ready_n > 0) {
		struct thread *next = s->ready[0];

		s->ready_n--;
		memmove(s->ready, s->ready + 1, s->ready_n * sizeof(s->ready[0]));
		run_on(s, next, t->cpu, next->now > c->free_at ? next->now : c->free_at);
	}
}

static void block(struct sim *s, struct thread *t)
{
	t->where = BLOCKED;
	leave_cpu(s, t, TRACE_OUT_BLOCKED);
}

/* Until what it asked for is there. */
static void wait_in_call(struct sim *s, struct thread *t, uint32_t number, uint32_t fd, uint64_t a,
			 uint64_t ns, int64_t result)
{
	begin_call(s, t, number, fd, a, 0);
	t->doing = IN_CALL;
	t->result = result;
	t->where = ASLEEP;
	t->wakes_at = t->now + US + ns;
	leave_cpu(s, t, TRACE_OUT_BLOCKED);
}

/* ---- locks ---- */

static void sleep_on(struct sim *s, struct thread *t, struct object *o)
{
	t->now += 150;
	begin_call(s, t, SYS_futex, 0, FUTEX_WAIT, 2);
	o->waiters[o->waiters_n++] = t;
	t->now += 400;
	block(s, t);
}

static void get_lock(struct thread *t, struct object *o, bool has_waited)
{
	o->owner = t;
	t->lock = o;
	t->holds = true;
	t->has_waited = has_waited;
	t->taken_at = t->now;
	t->taken_written = t->written;
}

/* It has the lock when it takes its next step. */
static void lock_take(struct sim *s, struct thread *t, struct object *o)
{
	t->now += 20;
	if (o->owner == NULL) {
		get_lock(t, o, false);
		return;
	}
	t->lock = o;
	t->wait_since = t->now;
	WRITE(s, t, LOCK_WAIT, o->number, 1, o->owner->stream.number,
	      o->wait_stacks[below(s, VARIANTS)]);
	t->doing = IN_LOCK;
	t->stream.state = TRACE_LOCK;
	o->blocked_n++;
	sleep_on(s, t, o);
}

/* One that sleeps on @o goes on. */
static void wake_one(struct sim *s, struct thread *t, struct object *o)
{
	struct thread *woken = o->waiters[0];

	o->waiters_n--;
	memmove(o->waiters, o->waiters + 1, o->waiters_n * sizeof(o->waiters[0]));
	begin_call(s, t, SYS_futex, 0, FUTEX_WAKE, 1);
	t->now += 400 + below(s, 300);
	make_ready(s, woken, t->now);
	t->now += 300;
	end_call(s, t, 1);
}

static void write_release(struct sim *s, struct thread *t)
{
	struct object *o = t->lock;
	uint64_t held = TICKS(t->now - t->taken_at);

	t->holds = false;
	o->owner = NULL;
	if (t->has_waited || o->blocked_n > 0) {
		WRITE(s, t, LOCK_RELEASED, o->number, 1, ++o->order, held, o->blocked_n,
		      o->blocked_n > 0 ? o->give_stacks[below(s, VARIANTS)] : 0);
	} else if (t->written == t->taken_written && t->doing == RUNS && held < TICKS(2 * US)) {
		t->written++;
		PUT(&s->trace, &t->stream, LOCK_PAIR, t->taken_at, o->number);
	} else {
		WRITE(s, t, LOCK_HELD, o->number, 1, held);
	}
}

static void lock_give(struct sim *s, struct thread *t)
{
	write_release(s, t);
	if (t->lock->waiters_n > 0)
		wake_one(s, t, t->lock);
}

/* Lets go of the lock that it holds, and has it again when it goes on. */
static void cond_wait(struct sim *s, struct thread *t, struct object *cond)
{
	t->cond = cond;
	t->doing = IN_COND; /* so its release says how long it was */
	write_release(s, t);
	t->wait_since = t->now;
	WRITE(s, t, COND_WAIT, cond->number, t->lock->number, 0,
	      cond->wait_stacks[below(s, VARIANTS)]);
	t->stream.state = TRACE_WAIT;
	if (t->lock->waiters_n > 0)
		wake_one(s, t, t->lock);
	sleep_on(s, t, cond);
}

static void cond_signal(struct sim *s, struct thread *t, struct object *cond)
{
	WRITE(s, t, COND_SIGNAL, cond->number, 0, ++cond->order,
	      cond->give_stacks[below(s, VARIANTS)]);
	t->stream.state = state_of(t);
	if (cond->waiters_n > 0)
		wake_one(s, t, cond);
}

/* What it waited for may be there, or it waits again. */
static void go_on(struct sim *s, struct thread *t)
{
	struct object *o = t->lock;

	if (t->call != 0)
		end_call(s, t, t->doing == IN_CALL ? t->result : 0);
	t->now += 100;
	switch (t->doing) {
	case RUNS:
	case IN_CALL:
		break;
	case IN_JOIN:
		WRITE(s, t, JOIN_END, 0);
		break;
	case STARTS:
		t->stream.last_ns = t->now; /* nothing is known of what was before */
		WRITE(s, t, THREAD_START, t->tid, PTHREAD(t), t == s->threads ? 0 : 1, t->name);
		break;
	case IN_LOCK:
		if (o->owner != NULL) {
			sleep_on(s, t, o);
			return;
		}
		o->blocked_n--;
		get_lock(t, o, true);
		WRITE(s, t, LOCK_ACQUIRED, o->number, 1, ++o->order, TICKS(t->now - t->wait_since));
		break;
	case IN_COND:
	case IN_COND_LOCK:
		t->doing = IN_COND_LOCK;
		if (o->owner != NULL) {
			sleep_on(s, t, o);
			return;
		}
		get_lock(t, o, false);
		WRITE(s, t, COND_END, t->cond->number, 0, ++t->cond->order);
		break;
	}
	t->doing = RUNS;
	t->stream.state = TRACE_RUNNING;
}

/* ---- what they do ---- */

/* What needs nobody else. */
static void compute(struct sim *s, struct thread *t, unsigned events)
{
	uint64_t ran;

	for (unsigned i = 0; i < events; i++) {
		uint64_t what = below(s, 100), held;

		t->now += about(s, 500);
		if (what < 22) {
			WRITE(s, t, LOCK_PAIR, t->lock_of_its_own.number);
			t->now += 60;
		} else if (what < 40) {
			held = about(s, 1500);
			t->now += held;
			WRITE(s, t, LOCK_HELD, t->lock_of_its_own.number, 1, TICKS(held));
		} else if (what < 52) {
			quick_call(s, t, SYS_pread64, 1 + (uint32_t)below(s, FILES), 4096);
		} else if (what < 64) {
			quick_call(s, t, SYS_write, 1 + (uint32_t)below(s, FILES), 64 + what);
		} else if (what < 68) {
			quick_call(s, t, SYS_mmap, 0, 1 << 16);
		} else if (what < 84) {
			begin_call(s, t, SYS_read, 1 + (uint32_t)below(s, FILES), 4096, 0);
			t->now += latency(s, 700);
			end_call(s, t, 4096);
		} else if (what < 90) {
			WRITE(s, t, SEM_POST, t->tokens.number, ++t->tokens.order, 0);
			t->now += 80;
			WRITE(s, t, SEM_END, t->tokens.number, 0, ++t->tokens.order);
		} else if (what < 92) {
			WRITE(s, t, COUNTER, s->names.depth, s->queue_n << 1);
		} else if (what < 96 && t->regions_n == 0) {
			begin_region(s, t, s->names.batch);
		} else if (what < 96 && t->regions[0] == s->names.batch) {
			end_region(s, t);
		}
	}
	ran = t->ran_ns + (t->now - s->cpus[t->cpu].since);
	if (ran - t->sampled_ns >= SAMPLE_NS) {
		WRITE(s, t, CPU_SAMPLE, s->sample_stacks[below(s, 8 * VARIANTS)],
		      ran - t->sampled_ns, t->cpu, 0);
		t->sampled_ns = ran;
	}
}

static void worker_step(struct sim *s, struct thread *t)
{
	uint64_t what;

	switch (t->at) {
	case 0:
		compute(s, t, 4 + (unsigned)below(s, 20));
		what = below(s, 100);
		if (what < 55)
			t->at = 1;
		else if (what < 75)
			wait_in_call(s, t, SYS_read, 1 + (uint32_t)below(s, FILES), 65536,
				     latency(s, 60 * US), 65536);
		else if (what == 75)
			wait_in_call(s, t, SYS_clock_nanosleep, 0, 1, 5 * MS + about(s, 5 * MS), 0);
		break;
	case 1:
		t->at = 2;
		lock_take(s, t, &s->shards[below(s, SHARDS) & below(s, SHARDS)]);
		break;
	case 2:
		t->now += about(s, 900);
		if (below(s, 64) == 0)
			quick_call(s, t, SYS_write, 1, 512);
		t->at = 3;
		break;
	default:
		lock_give(s, t);
		t->at = 0;
	}
}

static void acceptor_step(struct sim *s, struct thread *t)
{
	switch (t->at++) {
	case 0:
		wait_in_call(s, t, SYS_epoll_wait, FILES + 1, 64, about(s, 400 * US), 1);
		break;
	case 1:
		if (s->queue_n == QUEUE) { /* others are too slow for it */
			t->at = 0;
			break;
		}
		t->now += about(s, 2 * US);
		t->carried = ++s->tasks;
		WRITE(s, t, TASK_BEGIN, t->carried, 0, s->names.request, s->begin_stack);
		WRITE(s, t, FLOW_BEGIN, t->carried, s->names.request);
		break;
	case 2:
		lock_take(s, t, &s->queue_lock);
		break;
	case 3:
		s->queue[(s->queue_first + s->queue_n++) % QUEUE] = t->carried;
		t->now += about(s, 200);
		break;
	default:
		lock_give(s, t);
		cond_signal(s, t, &s->queue_filled);
		t->at = 0;
	}
}

static void begin_request(struct sim *s, struct thread *t)
{
	lock_give(s, t);
	t->task = t->carried;
	WRITE(s, t, TASK_SWITCH, t->task);
	WRITE(s, t, FLOW_END, t->task, s->names.request);
	begin_region(s, t, s->names.parse);
	wait_in_call(s, t, SYS_recvfrom, FILES + 2 + (uint32_t)below(s, PEERS), 4096,
		     latency(s, 20 * US), 800);
}

static void end_request(struct sim *s, struct thread *t)
{
	lock_give(s, t);
	begin_region(s, t, s->names.reply);
	compute(s, t, 6);
	quick_call(s, t, SYS_sendto, FILES + 2 + (uint32_t)below(s, PEERS), 1400);
	end_region(s, t);
	WRITE(s, t, TASK_END, t->task);
	t->task = 0;
}

static void pool_step(struct sim *s, struct thread *t)
{
	switch (t->at++) {
	case 0:
		lock_take(s, t, &s->queue_lock);
		break;
	case 1:
		if (s->queue_n == 0) {
			t->at = 1; /* where it goes on */
			cond_wait(s, t, &s->queue_filled);
			break;
		}
		t->carried = s->queue[s->queue_first];
		s->queue_first = (s->queue_first + 1) % QUEUE;
		s->queue_n--;
		t->now += 200;
		break;
	case 2:
		begin_request(s, t);
		break;
	case 3:
		compute(s, t, 20);
		end_region(s, t);
		begin_region(s, t, s->names.query);
		break;
	case 4:
		lock_take(s, t, &s->shards[below(s, SHARDS)]);
		break;
	case 5:
		t->now += about(s, 2 * US);
		break;
	case 6:
		lock_give(s, t);
		compute(s, t, 40);
		wait_in_call(s, t, SYS_read, 2, 16384, latency(s, 120 * US), 16384);
		break;
	case 7:
		end_region(s, t);
		t->now += 100;
		break;
	case 8:
		lock_take(s, t, &s->log_lock);
		break;
	case 9:
		t->now += about(s, 300);
		break;
	default:
		end_request(s, t);
		t->at = 0;
	}
}

static void logger_step(struct sim *s, struct thread *t)
{
	switch (t->at++) {
	case 0:
		wait_in_call(s, t, SYS_clock_nanosleep, 0, 1, 20 * MS, 0);
		break;
	case 1:
		lock_take(s, t, &s->log_lock);
		break;
	case 2:
		quick_call(s, t, SYS_write, FILES, 32768);
		wait_in_call(s, t, SYS_fsync, FILES, 0, latency(s, 800 * US), 0);
		break;
	default:
		lock_give(s, t);
		t->at = 0;
	}
}

static void start_thread(struct sim *s, struct thread *t, uint64_t at)
{
	struct thread *parent = &s->threads[0];

	t->stream.number = ++s->threads_n;
	t->stream.sequence = 0;
	t->tid = 4710 + s->threads_n;
	t->doing = STARTS;
	t->at = 0;
	t->ran_ns = t->sampled_ns = 0;
	RECORD(&s->trace, TRACE_BLOCK_THREADS, t->stream.number, t->tid, PTHREAD(t), t != parent,
	       t->name, at);
	if (t != parent)
		WRITE(s, parent, THREAD_CREATE, t->stream.number, 0x401000, s->create_stack);
	make_ready(s, t, at);
}

/* The last of the threads: it comes and goes. */
static void job_step(struct sim *s, struct thread *t)
{
	struct thread *parent = &s->threads[0];

	if (t->at++ < 30) {
		compute(s, t, 30);
		return;
	}
	if (t->regions_n > 0)
		end_region(s, t);
	WRITE(s, t, THREAD_EXIT, TRACE_EXIT_RETURN);
	t->stream.is_last = true;
	stream_flush(&s->trace, &t->stream);
	t->where = NOWHERE;
	leave_cpu(s, t, TRACE_OUT_ENDED);
	if (parent->doing == IN_JOIN)
		make_ready(s, parent, t->now + 2 * US);
}

static void main_step(struct sim *s, struct thread *t)
{
	struct thread *job = &s->threads[THREADS - 1];

	switch (t->at++) {
	case 0:
		wait_in_call(s, t, SYS_clock_nanosleep, 0, 1, 100 * MS + about(s, 300 * MS), 0);
		break;
	case 1:
		t->now += 20 * US;
		start_thread(s, job, t->now);
		break;
	case 2:
		WRITE(s, t, JOIN_BEGIN, job->stream.number, s->create_stack);
		if (job->where != NOWHERE) {
			t->doing = IN_JOIN;
			t->stream.state = TRACE_WAIT;
			begin_call(s, t, SYS_futex, 0, FUTEX_WAIT, job->tid);
			block(s, t);
		} else {
			WRITE(s, t, JOIN_END, 0);
		}
		t->at = 0;
		break;
	}
}

/* ---- generations ---- */

static void put_status(struct sim *s, struct thread *t)
{
	uint64_t reason = 0, object = 0, since = t->stream.last_ns;

	if (t->where == NOWHERE || t->doing == STARTS)
		return;
	if (t->now < s->now)
		t->now = s->now;
	switch (t->doing) {
	case IN_LOCK:
		reason = TRACE_LOCK_WAIT_EVENT;
		object = t->lock->number;
		since = t->wait_since;
		break;
	case IN_COND:
	case IN_COND_LOCK:
		reason = TRACE_COND_WAIT_EVENT;
		object = t->cond->number;
		since = t->wait_since;
		break;
	case IN_JOIN:
		reason = TRACE_JOIN_BEGIN_EVENT;
		since = t->call_since;
		break;
	default:
		reason = t->call;
		since = t->call != 0 ? t->call_since : since;
	}
	if (t->stream.last_ns > t->now)
		t->now = t->stream.last_ns;
	WRITE(s, t, THREAD_STATUS, state_of(t), reason, object, t->task,
	      TICKS(t->now - (since < t->now ? since : t->now)), t->holds, t->regions_n);
	if (t->holds)
		WRITE(s, t, STATUS_HELD, t->lock->number, 1, TICKS(t->now - t->taken_at));
	for (uint32_t i = 0; i < t->regions_n; i++)
		WRITE(s, t, STATUS_REGION, t->regions[i]);
}

static void put_clocks(struct sim *s)
{
	s->process.is_first = true;
	PUT(&s->trace, &s->process, CLOCK_SYNC, s->now, BEGUN_NS + s->now, BEGUN_REAL + s->now,
	    BEGUN_NS + s->now, TICKS(BEGUN_NS + s->now));
	stream_flush(&s->trace, &s->process);
}

static void flush_all(struct sim *s)
{
	for (unsigned i = 0; i < THREADS; i++)
		stream_flush(&s->trace, &s->threads[i].stream);
	for (unsigned i = 0; i < CPUS; i++)
		stream_flush(&s->trace, &s->cpus[i].stream);
	stream_flush(&s->trace, &s->process);
}

static void turn_generation(struct sim *s)
{
	flush_all(s);
	s->trace.generation++;
	s->trace.raw_bytes_begun = s->trace.raw_bytes;
	s->generation_ns = s->now;
	put_clocks(s);
	for (unsigned i = 0; i < THREADS; i++)
		put_status(s, &s->threads[i]);
}

static void put_heap(struct sim *s)
{
	s->heap_ns = s->now;
	s->allocated_bytes += about(s, 8 << 20);
	s->live_bytes = (32 << 20) + below(s, 16 << 20);
	if (s->live_bytes > s->allocated_bytes)
		s->live_bytes = s->allocated_bytes;
	PUT(&s->trace, &s->process, HEAP_SAMPLE, s->now, s->live_bytes, s->live_bytes / 96,
	    s->allocated_bytes, s->allocated_bytes - s->live_bytes, 512 << 20, 96 << 20);
}

/* ---- from the beginning to the end ---- */

static void put_frame(struct sim *s, const char *function, const char *file, uint64_t *ret)
{
	uint32_t name = put_string(&s->trace, function), path = put_string(&s->trace, file);

	*ret = UINT64_C(1) << 48 | (0x401000 + 64 * (uint64_t)s->frames_n++);
	RECORD(&s->trace, TRACE_BLOCK_SYMBOLS, *ret, 1, name, path, 10 + s->frames_n);
}

/* @n stacks that end in @function, called from different places. */
static void make_stacks(struct sim *s, const char *function, uint32_t *stacks, unsigned n)
{
	static const char *const callers[] = {"handle_request", "run_query", "refresh_table",
					      "merge_rows", "compact"};
	uint64_t frames[8], leaf;

	put_frame(s, function, "server/store.c", &leaf);
	for (unsigned i = 0; i < n; i++) {
		unsigned depth = 0;

		frames[depth++] = leaf;
		for (unsigned k = 0; k < 2 + i % 4; k++)
			put_frame(s, callers[(i + k) % 5], "server/work.c", &frames[depth++]);
		put_frame(s, "thread_main", "server/main.c", &frames[depth++]);
		stacks[i] = put_stack(&s->trace, frames, depth);
	}
}

static void make_object(struct sim *s, struct object *o, enum trace_object_kind kind,
			const char *name, const char *waits, const char *gives)
{
	o->number = ++s->objects_n;
	RECORD(&s->trace, TRACE_BLOCK_OBJECTS, o->number, kind, 0,
	       0x4c0000 + 64 * (uint64_t)o->number, 0, put_string(&s->trace, name), 0, 0);
	s->trace.known[NEED_OBJECTS] = o->number + 1;
	if (waits == NULL)
		return;
	make_stacks(s, waits, o->wait_stacks, VARIANTS);
	make_stacks(s, gives, o->give_stacks, VARIANTS);
}

static void make_file(struct sim *s, uint32_t number, enum trace_fd_kind kind, const char *name)
{
	RECORD(&s->trace, TRACE_BLOCK_FILES, number, number + 2, kind, put_string(&s->trace, name));
}

static void make_tables(struct sim *s)
{
	static const char *const metadata[][2] = {
		{"exe", "/usr/bin/server"}, {"cmdline", "server --workers 16"}, {"cpus", "8"}};
	struct trace *t = &s->trace;
	char name[64];

	put_schema(t);
	for (size_t i = 0; i < sizeof(metadata) / sizeof(metadata[0]); i++)
		RECORD(t, TRACE_BLOCK_METADATA, put_string(t, metadata[i][0]),
		       put_string(t, metadata[i][1]));
	RECORD(t, TRACE_BLOCK_MODULES, 1, 0x400000, 0x480000, 0, 0,
	       put_string(t, "/usr/bin/server"), 0, 0);
	t->known[NEED_MODULES] = 2;
	for (unsigned i = 0; i < SHARDS; i++) {
		snprintf(name, sizeof(name), "g_table+0x%x", 64 * i);
		make_object(s, &s->shards[i], TRACE_OBJECT_MUTEX, name, "table_get", "table_put");
	}
	make_object(s, &s->queue_lock, TRACE_OBJECT_MUTEX, "g_queue.lock", "queue_push",
		    "queue_pop");
	make_object(s, &s->queue_filled, TRACE_OBJECT_COND, "g_queue.filled", "queue_wait",
		    "queue_push");
	make_object(s, &s->log_lock, TRACE_OBJECT_MUTEX, "g_log.lock", "log_append", "log_sync");
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), i + 1 < FILES ? "/srv/data/part-%u" : "/srv/log", i);
		make_file(s, i + 1, TRACE_FD_FILE, name);
	}
	make_file(s, FILES + 1, TRACE_FD_EPOLL, "anon_inode:[eventpoll]");
	for (unsigned i = 0; i < PEERS; i++) {
		snprintf(name, sizeof(name), "tcp 10.0.0.1:80->10.0.1.%u:%u", i, 40000 + i);
		make_file(s, FILES + 2 + i, TRACE_FD_SOCKET, name);
	}
	make_stacks(s, "read_part", s->call_stacks, VARIANTS);
	make_stacks(s, "hash_rows", s->sample_stacks, 8 * VARIANTS);
	make_stacks(s, "start_job", &s->create_stack, 1);
	make_stacks(s, "begin_request", &s->begin_stack, 1);
	s->names.request = put_string(t, "request");
	s->names.parse = put_string(t, "parse");
	s->names.query = put_string(t, "query");
	s->names.reply = put_string(t, "reply");
	s->names.batch = put_string(t, "batch");
	s->names.depth = put_string(t, "queue depth");
}

static void make_threads(struct sim *s)
{
	static const step_function steps[] = {main_step, acceptor_step, logger_step};
	static const char *const names[] = {"server", "acceptor", "logger"};
	char name[16];

	for (unsigned i = 0; i < THREADS; i++) {
		struct thread *t = &s->threads[i];
		bool is_worker = i >= 3 && i < 3 + WORKERS, is_pool = !is_worker && i >= 3;

		snprintf(name, sizeof(name), is_worker ? "worker-%u" : "pool-%u",
			 is_worker ? i - 3 : i - 3 - WORKERS);
		t->step = i < 3 ? steps[i] : is_worker ? worker_step : pool_step;
		t->name = put_string(&s->trace, i < 3                         ? names[i]
						: is_pool && i == THREADS - 1 ? "job"
									      : name);
		snprintf(name, sizeof(name), "arena+0x%x", 64 * i);
		make_object(s, &t->lock_of_its_own, TRACE_OBJECT_MUTEX, name, NULL, NULL);
		snprintf(name, sizeof(name), "tokens+0x%x", 64 * i);
		make_object(s, &t->tokens, TRACE_OBJECT_SEM, name, NULL, NULL);
		t->stream.state = TRACE_RUNNING;
	}
	s->threads[THREADS - 1].step = job_step;
	start_thread(s, &s->threads[0], 100 * US);
	go_on(s, &s->threads[0]);
	for (unsigned i = 1; i < THREADS - 1; i++) {
		s->threads[0].now += 30 * US;
		start_thread(s, &s->threads[i], s->threads[0].now);
	}
}

/* Who is the first to do something: a thread on a processor, or one whose call is over. */
static struct thread *next_of(struct sim *s, uint64_t *ret_at)
{
	struct thread *first = NULL;
	uint64_t at = UINT64_MAX;

	for (unsigned i = 0; i < THREADS; i++) {
		struct thread *t = &s->threads[i];
		uint64_t when = t->where == ON_CPU   ? t->now
				: t->where == ASLEEP ? t->wakes_at
						     : UINT64_MAX;

		if (when < at) {
			at = when;
			first = t;
		}
	}
	*ret_at = at;
	return first;
}

static void go(struct sim *s, uint64_t events)
{
	struct trace *trace = &s->trace;
	struct thread *t;
	uint64_t at;

	while (trace->events < events && (t = next_of(s, &at)) != NULL) {
		s->now = trace->now_ns = at;
		if (t->where == ASLEEP)
			make_ready(s, t, at);
		else if (s->ready_n > 0 && at - s->cpus[t->cpu].since > SLICE_NS)
			leave_cpu(s, t, TRACE_OUT_PREEMPTED);
		else if (t->doing != RUNS)
			go_on(s, t);
		else
			t->step(s, t);
		if (at - s->heap_ns > 100 * MS)
			put_heap(s);
		if (at - s->generation_ns > GENERATION_NS ||
		    trace->raw_bytes - trace->raw_bytes_begun > GENERATION_BYTES)
			turn_generation(s);
	}
}

/* The process exits: whatever its threads do. */
static void end(struct sim *s)
{
	for (unsigned i = 0; i < THREADS; i++)
		if (s->threads[i].stream.last_ns > s->now)
			s->now = s->threads[i].stream.last_ns;
	for (unsigned i = 0; i < CPUS; i++)
		if (s->cpus[i].stream.last_ns > s->now)
			s->now = s->cpus[i].stream.last_ns;
	s->now += US;
	PUT(&s->trace, &s->process, PROCESS_EXIT, s->now, 0, 0);
	for (unsigned i = 0; i < THREADS; i++) {
		struct thread *t = &s->threads[i];

		if (t->where == NOWHERE || t->doing == STARTS)
			continue;
		put_status(s, t);
		if (t->where == ON_CPU)
			PUT(&s->trace, &s->cpus[t->cpu].stream, SCHED_OUT, t->now, t->stream.number,
			    TRACE_OUT_ENDED);
		WRITE(s, t, THREAD_EXIT, TRACE_EXIT_PROCESS);
		t->stream.is_last = true;
	}
	flush_all(s);
	put_clocks(s);
	writer_end(s->trace.writer, TRACE_END_EXITED, 0);
}

int main(int argc, char **argv)
{
	struct sim *s = calloc(1, sizeof(*s));
	int fd, error;

	if (argc < 3 || argc > 4) {
		fputs("usage: trace_make EVENTS FILE [SEED]\n", stderr);
		return 2;
	}
	fd = open(argv[2], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (s == NULL || fd < 0) {
		perror(argv[2]);
		return 1;
	}
	s->seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	error = trace_open(&s->trace, fd, s->seed);
	if (error == 0) {
		s->process.number = TRACE_ALL;
		for (unsigned i = 0; i < CPUS; i++) {
			s->cpus[i].stream.number = i;
			s->cpus[i].stream.is_switches = true;
		}
		make_tables(s);
		put_clocks(s);
		make_threads(s);
		go(s, strtoull(argv[1], NULL, 10));
		end(s);
		error = writer_error(s->trace.writer);
		writer_destroy(s->trace.writer);
	}
	if (error != 0)
		fprintf(stderr, "%s: %s\n", argv[2], strerror(-error));
	free(s);
	return error != 0;
}
