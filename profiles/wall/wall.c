#include "profiles/wall/wall.h"

#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

static size_t threads_bytes;

static int wall_start(struct segment *s, const struct option_set *options, struct why *why)
{
	struct segment_run *run = &s->header->runs[RUN_WALL];
	uint64_t first_ns;
	int r;

	if (wall_settings.threads == NULL) {
		wall_settings.depth = (uint32_t)options->depth + 1;
		wall_settings.stride =
			sizeof(struct wall_thread) + wall_settings.depth * sizeof(uint64_t);
		threads_bytes = segment_count(s, SEGMENT_THREADS, 0) * wall_settings.stride;
		wall_settings.threads = mem_map(threads_bytes);
		if (wall_settings.threads == NULL)
			return -ENOMEM;
	}
	wall_settings.period_ns = NS_PER_SECOND / options->wall_hz;
	r = look_start(LOOK_WALL, wall_sink);
	if (r < 0) {
		why_set(why, "wall: cannot take SIGPROF: %s", strerrordesc_np(-r));
		return r;
	}
	if (atomic_load_explicit(&run->begun_ns, memory_order_relaxed) == 0)
		atomic_store_explicit(&run->begun_ns, clock_monotonic(), memory_order_relaxed);
	atomic_store_explicit(&run->period, wall_settings.period_ns, memory_order_relaxed);
	atomic_store_explicit(&run->ended_ns, 0, memory_order_relaxed);
	first_ns = clock_monotonic();
	first_ns += first_ns % wall_settings.period_ns;
	wall_begin(first_ns);
	atomic_store_explicit(&wall_is_on, 1, memory_order_seq_cst);
	r = helper_start(s, HELPER_WALL, wall_tick, first_ns, why);
	if (r < 0) {
		atomic_store_explicit(&wall_is_on, 0, memory_order_seq_cst);
		look_stop(LOOK_WALL);
	}
	return r;
}

/*
 * The time since the last look, when the sampler dozes, or has not come to look for longer than it ever waits: it belongs to
 * what was seen last. The process may have ended meanwhile.
 */
static uint64_t unseen_ns(const struct segment *s)
{
	const struct segment_header *h = s->header;
	uint64_t until = atomic_load_explicit(&h->wall_dozes_until_ns, memory_order_acquire);
	uint64_t since = atomic_load_explicit(&h->wall_looked_ns, memory_order_relaxed);
	uint64_t ended = atomic_load_explicit(&h->runs[RUN_WALL].ended_ns, memory_order_relaxed);
	uint64_t period = atomic_load_explicit(&h->runs[RUN_WALL].period, memory_order_relaxed);
	uint64_t now = ended != 0 ? ended : clock_monotonic();

	if (until != 0 && now > until)
		now = until;
	if (since == 0 || now <= since || now - since > NS_PER_SECOND ||
	    (until == 0 && now - since < 2 * period))
		return 0;
	return now - since;
}

static void flush_one(struct thread *t, void *user)
{
	wall_count_doze(t, clock_monotonic());
	wall_flush(user, t);
	wall_thread_of(t)->tid = 0;
}

static void wall_stop(struct segment *s)
{
	if (!atomic_exchange_explicit(&wall_is_on, 0, memory_order_seq_cst))
		return;
	helper_stop(s, HELPER_WALL);
	atomic_store_explicit(&wait_is_dozing, 0, memory_order_relaxed);
	look_stop(LOOK_WALL);
	thread_wait_outside(s, NULL, NS_PER_SECOND / 10);
	thread_each(s, flush_one, s);
	atomic_store_explicit(&s->header->wall_dozes_until_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&s->header->runs[RUN_WALL].ended_ns, clock_monotonic(),
			      memory_order_release);
}

static void wall_thread_begins(struct segment *s, struct thread *t)
{
	(void)t;
	if (atomic_load_explicit(&wait_is_dozing, memory_order_relaxed))
		wait_rouse(s);
}

static void wall_thread_ends(struct segment *s, struct thread *t)
{
	if (wall_settings.threads != NULL && thread_enter(s, t)) {
		/* the sampler that it has just roused may not have come to it yet */
		wall_count_doze(t, clock_monotonic());
		wall_flush(s, t);
		thread_leave(t);
	}
}

static void wall_thread_gone(struct segment *s, struct thread *t)
{
	if (wall_settings.threads != NULL)
		wall_flush(s, t);
}

static void wall_forked(void)
{
	mem_unmap(wall_settings.threads, threads_bytes);
	wall_settings.threads = NULL;
	atomic_store_explicit(&wall_is_on, 0, memory_order_relaxed);
	atomic_store_explicit(&wait_is_dozing, 0, memory_order_relaxed);
}

/* The table, and what threads are owed that have not moved. */
static int wall_read(const struct segment *s, const struct profile_ops *ops,
		     int (*each)(void *user, const struct table_row *row), void *user)
{
	const struct thread_record *records = segment_part(s, SEGMENT_THREADS, 0);
	uint32_t high = atomic_load_explicit(&s->header->threads_high, memory_order_acquire);
	uint64_t period =
		atomic_load_explicit(&s->header->runs[RUN_WALL].period, memory_order_relaxed);
	uint64_t unseen = unseen_ns(s);
	int r = table_read(s, SEGMENT_TABLE_WALL, each, user);

	if (high > segment_count(s, SEGMENT_THREADS, 0))
		high = segment_count(s, SEGMENT_THREADS, 0);
	for (uint32_t i = 1; i < high && r == 0; i++) {
		uint64_t idle = atomic_load_explicit(&records[i].idle_row, memory_order_acquire);
		struct table_row row = {
			.generation = atomic_load_explicit(&records[i].idle_generation,
							   memory_order_relaxed),
			.stack = (uint32_t)idle,
			.labels = (uint32_t)(idle >> 32),
			.values = {atomic_load_explicit(&records[i].idle_looks,
							memory_order_relaxed),
				   atomic_load_explicit(&records[i].idle_ns, memory_order_relaxed)},
		};

		if (atomic_load_explicit(&records[i].tid, memory_order_relaxed) > 0 &&
		    period != 0) {
			row.values[0] += (unseen + period / 2) / period;
			row.values[1] += unseen;
		}
		if (row.stack != 0 && row.values[0] != 0 && row.generation < SEGMENT_GENERATIONS)
			r = each(user, &row);
	}
	return r;
}

const struct profile_ops wall_profile = {
	.name = "wall",
	.bit = OPTION_WALL,
	.about = "where time goes, running or waiting",
	.values = (const struct value_type[]){{"samples", "count"}, {"time", "nanoseconds"}, {0}},
	.period = {"wallclock", "nanoseconds"},
	.table = SEGMENT_TABLE_WALL,
	.run = RUN_WALL,
	.read = wall_read,
	.start = wall_start,
	.stop = wall_stop,
	.thread_begins = wall_thread_begins,
	.thread_ends = wall_thread_ends,
	.thread_gone = wall_thread_gone,
	.forked = wall_forked,
};
