#include "profiles/heap/heap.h"

#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "profiles/heap/heap_private.h"
#include "profiles/heap/live.h"

int (*heap_prepare)(struct why *why);
void (*heap_turned)(void);
const struct heap_asker *heap_asker;

static void turn(void)
{
	if (heap_turned != NULL)
		heap_turned();
}

static int heap_start(struct segment *s, const struct option_set *options, struct why *why)
{
	struct segment_run *run = &s->header->runs[RUN_HEAP];
	uint64_t mean = atomic_load_explicit(&run->period, memory_order_relaxed);
	int r;

	if (mean != 0 && mean != options->heap_bytes) {
		/* counts of both could not be told apart when they are unsampled */
		why_set(why,
			"heap: this process is sampled once in %llu bytes already, and cannot be "
			"at "
			"another rate",
			(unsigned long long)mean);
		return -EBUSY;
	}
	r = heap_prepare != NULL ? heap_prepare(why) : 0;
	if (r < 0)
		return r;
	heap_settings.mean = options->heap_bytes;
	live_expect(options->heap_bytes);
	heap_settings.seed = options->seed != 0
				     ? options->seed
				     : clock_monotonic() ^ (uint64_t)s->header->pid << 32;
	atomic_store_explicit(&run->period, options->heap_bytes, memory_order_relaxed);
	if (atomic_load_explicit(&run->begun_ns, memory_order_relaxed) == 0)
		atomic_store_explicit(&run->begun_ns, clock_monotonic(), memory_order_relaxed);
	atomic_store_explicit(&run->ended_ns, 0, memory_order_relaxed);
	atomic_fetch_or_explicit(&heap_watch, HEAP_SAMPLES | HEAP_FOLLOWS, memory_order_release);
	turn();
	return 0;
}

/* Frees are followed for ever: what is live stays true, and may be started again. */
static void heap_stop(struct segment *s)
{
	if (!(atomic_fetch_and_explicit(&heap_watch, ~HEAP_SAMPLES, memory_order_acq_rel) &
	      HEAP_SAMPLES))
		return;
	atomic_store_explicit(&s->header->runs[RUN_HEAP].ended_ns, clock_monotonic(),
			      memory_order_release);
}

static void heap_forked(void)
{
	if (heap_watches() == 0)
		return; /* never on: the filter's pages stay untouched */
	atomic_store_explicit(&heap_watch, 0, memory_order_relaxed);
	memset((void *)heap_filter, 0, sizeof(heap_filter));
	heap_settings.strangers = 0;
	heap_forget_thread();
	turn();
}

struct heap_reader {
	int (*each)(void *user, const struct table_row *row);
	void *user;
};

/* From the table's columns to the profile's; a free may have been counted that the allocation's row does not show yet. */
static int read_row(void *user, const struct table_row *row)
{
	const struct heap_reader *reader = user;
	uint64_t blocks = row->values[HEAP_ALLOCATED], bytes = row->values[HEAP_ALLOCATED + 1];
	uint64_t freed = row->values[HEAP_FREED], freed_bytes = row->values[HEAP_FREED + 1];
	struct table_row out = {
		.generation = row->generation,
		.stack = row->stack,
		.labels = row->labels >> SAMPLE_CLASS_BITS,
		.kind = row->labels & (SAMPLE_CLASSES - 1),
		.values = {blocks, bytes, blocks > freed ? blocks - freed : 0,
			   bytes > freed_bytes ? bytes - freed_bytes : 0},
	};

	return reader->each(reader->user, &out);
}

static int heap_read(const struct segment *s, const struct profile_ops *ops,
		     int (*each)(void *user, const struct table_row *row), void *user)
{
	struct heap_reader reader = {each, user};

	return table_read(s, SEGMENT_TABLE_HEAP, read_row, &reader);
}

static const struct value_type heap_values[] = {
	{"alloc_objects", "count"},
	{"alloc_space", "bytes"},
	{"inuse_objects", "count"},
	{"inuse_space", "bytes"},
	{0},
};

const struct profile_ops heap_profile = {
	.name = "heap",
	.bit = OPTION_HEAP,
	.about = "who allocates, who keeps",
	.values = heap_values,
	.period = {"space", "bytes"},
	.table = SEGMENT_TABLE_HEAP,
	.run = RUN_HEAP,
	.is_by_size = true,
	.start = heap_start,
	.stop = heap_stop,
	.read = heap_read,
	.forked = heap_forked,
};

const struct profile_ops allocs_profile = {
	.name = "allocs",
	.bit = OPTION_HEAP,
	.about = "who allocated, since it began",
	.values = heap_values,
	.period = {"space", "bytes"},
	.table = SEGMENT_TABLE_HEAP,
	.run = RUN_HEAP,
	.is_by_size = true,
	.is_view = true,
	.shown = "alloc_space",
	.read = heap_read,
};
