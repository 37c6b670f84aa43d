#include "profiles/threads/threads.h"

#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/walk.h"

static _Atomic uint32_t threads_is_on;

static int threads_start(struct segment *s, const struct option_set *options, struct why *why)
{
	struct segment_run *run = &s->header->runs[RUN_THREADS];
	int r = look_start(LOOK_THREADS, threads_sink);

	if (r < 0) {
		why_set(why, "threads: cannot take SIGPROF: %s", strerrordesc_np(-r));
		return r;
	}
	r = helper_start(s, HELPER_THREADS, threads_snapshot, HELPER_NEVER, why);
	if (r < 0) {
		look_stop(LOOK_THREADS);
		return r;
	}
	atomic_store_explicit(&run->period, 1, memory_order_relaxed);
	if (atomic_load_explicit(&run->begun_ns, memory_order_relaxed) == 0)
		atomic_store_explicit(&run->begun_ns, clock_monotonic(), memory_order_relaxed);
	atomic_store_explicit(&run->ended_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&threads_is_on, 1, memory_order_release);
	(void)options;
	return 0;
}

static void threads_stop(struct segment *s)
{
	if (!atomic_exchange_explicit(&threads_is_on, 0, memory_order_acq_rel))
		return;
	helper_stop(s, HELPER_THREADS);
	look_stop(LOOK_THREADS);
	atomic_store_explicit(&s->header->runs[RUN_THREADS].ended_ns, clock_monotonic(),
			      memory_order_relaxed);
}

/* The snapshot gives itself a second. On a busy machine its thread may have to wait for a processor before and after. */
#define REFRESH_NS (NS_PER_SECOND * 5)

static int threads_refresh(struct segment *s)
{
	/* the caller is found where it called us */
	WAITING(WAIT_NOT, NULL, NULL);

	if (!atomic_load_explicit(&threads_is_on, memory_order_acquire))
		return -EAGAIN;
	return helper_call(s, HELPER_THREADS, REFRESH_NS);
}

static void threads_settle(struct segment *s)
{
	if (atomic_load_explicit(&threads_is_on, memory_order_acquire))
		threads_refresh(s);
}

static void threads_forked(void)
{
	atomic_store_explicit(&threads_is_on, 0, memory_order_relaxed);
}

static int threads_read(const struct segment *s, const struct profile_ops *ops,
			int (*each)(void *user, const struct table_row *row), void *user)
{
	const struct thread_record *records = segment_part(s, SEGMENT_THREADS, 0);
	uint32_t high = atomic_load_explicit(&s->header->threads_high, memory_order_acquire);
	uint64_t serial = atomic_load_explicit(&s->header->snapshot_serial, memory_order_acquire);
	uint64_t of;
	int r = 0;

	if (high > segment_count(s, SEGMENT_THREADS, 0))
		high = segment_count(s, SEGMENT_THREADS, 0);
	for (uint32_t i = 1; i < high && r == 0 && serial != 0; i++) {
		const struct thread_record *record = &records[i];
		uint64_t key = atomic_load_explicit(&record->snapshot_row, memory_order_relaxed);
		struct table_row row = {
			.generation = atomic_load_explicit(&record->snapshot_generation,
							   memory_order_relaxed),
			.stack = (uint32_t)key,
			.labels = (uint32_t)(key >> 32),
			.values = {1},
		};

		if (thread_in_snapshot(record, serial, &of) && row.stack != 0 &&
		    row.generation < SEGMENT_GENERATIONS)
			r = each(user, &row);
	}
	return r;
}

const struct profile_ops threads_profile = {
	.name = "threads",
	.bit = OPTION_THREADS,
	.about = "what every thread is doing right now",
	.values = (const struct value_type[]){{"threads", "count"}, {0}},
	.period = {"threads", "count"},
	.table = SEGMENT_NO_TABLE,
	.run = RUN_THREADS,
	.is_instant = true,
	.read = threads_read,
	.refresh = threads_refresh,
	.start = threads_start,
	.stop = threads_stop,
	.settle = threads_settle,
	.forked = threads_forked,
};

/* ---- threadcreate ---- */

static _Atomic uint32_t create_is_on;

static int create_start(struct segment *s, const struct option_set *options, struct why *why)
{
	struct segment_run *run = &s->header->runs[RUN_THREADCREATE];

	atomic_store_explicit(&run->period, 1, memory_order_relaxed);
	if (atomic_load_explicit(&run->begun_ns, memory_order_relaxed) == 0)
		atomic_store_explicit(&run->begun_ns, clock_monotonic(), memory_order_relaxed);
	atomic_store_explicit(&run->ended_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&create_is_on, 1, memory_order_release);
	(void)options;
	(void)why;
	return 0;
}

static void create_stop(struct segment *s)
{
	if (atomic_exchange_explicit(&create_is_on, 0, memory_order_acq_rel))
		atomic_store_explicit(&s->header->runs[RUN_THREADCREATE].ended_ns,
				      clock_monotonic(), memory_order_relaxed);
}

static void create_forked(void)
{
	atomic_store_explicit(&create_is_on, 0, memory_order_relaxed);
}

static void thread_created(struct segment *s, struct thread *creator)
{
	static const uint64_t one[CREATE_COLUMNS] = {1};
	struct walk_result stack;

	if (!atomic_load_explicit(&create_is_on, memory_order_acquire) || !thread_enter(s, creator))
		return;
	stack = walk_here(s, creator);
	table_record(s, SEGMENT_TABLE_CREATE, stack.frames, stack.depth,
		     atomic_load_explicit(&creator->record->labels, memory_order_relaxed), one);
	thread_leave(creator);
}

const struct profile_ops threadcreate_profile = {
	.name = "threadcreate",
	.bit = OPTION_THREADCREATE,
	.about = "who starts threads",
	.values = (const struct value_type[]){{"threadcreate", "count"}, {0}},
	.period = {"threadcreate", "count"},
	.table = SEGMENT_TABLE_CREATE,
	.run = RUN_THREADCREATE,
	.start = create_start,
	.stop = create_stop,
	.forked = create_forked,
	.thread_created = thread_created,
};
