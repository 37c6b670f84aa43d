#include "tracer/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/helper.h"
#include "core/log.h"
#include "core/syscalls.h"
#include "tracer/chunk.h"
#include "tracer/object.h"
#include "tracer/sync.h"
#include "tracer/syscalls/record.h"
#include "tracer/syscalls/record_slow.h"
#include "tracer/user.h"

#define TICK_LEAST_NS 5 /* and less than twice as much: as fine as a thing that takes 20 ns needs */
#define CALIBRATE_NS  50000
#define RECENT_NS     NS_PER_SECOND

/* The kernel uses the processor's counter for its own clock only if all processors agree about it. */
static bool is_counter_good(void)
{
	char name[16] = "";
	int fd = (int)sys4(SYS_openat, AT_FDCWD,
			   "/sys/devices/system/clocksource/clocksource0/current_clocksource",
			   O_RDONLY | O_CLOEXEC, 0);
	long n;

	if (fd < 0)
		return false;
	n = sys3(SYS_read, fd, name, sizeof(name) - 1);
	sys1(SYS_close, fd);
	return n > 0 && strncmp(name, "tsc\n", 4) == 0;
}

struct moment {
	uint64_t ns, count;
};

/* The counter beside the clock. The closest of a few: somebody else may run in between. */
static struct moment look_at_both(void)
{
	struct moment best = {0, 0};
	uint64_t closest = UINT64_MAX;

	for (int i = 0; i < 3; i++) {
		uint64_t before = arch_counter(), ns = clock_monotonic(), after = arch_counter();

		if (after - before >= closest)
			continue;
		closest = after - before;
		best = (struct moment){ns, before + closest / 2};
	}
	return best;
}

/* As of when this library was loaded, or a while ago: what has passed since need not be waited for. */
static struct moment loaded;

__attribute__((constructor(101))) static void note_loaded(void)
{
	loaded = look_at_both();
}

/* How far the counter gets in @ns. */
static double count_in(double ns)
{
	struct moment now = look_at_both();

	/* a machine that slept meanwhile, or was moved, may have gone on with one of them alone */
	if (now.ns - loaded.ns > RECENT_NS)
		loaded = now;
	do
		now = look_at_both();
	while (now.ns - loaded.ns < CALIBRATE_NS);
	return ns * (double)(now.count - loaded.count) / (double)(now.ns - loaded.ns);
}

/* How many times a count must be halved for a tick of 5 to 10 ns. */
static uint32_t shift_of_counter(void)
{
	double count = count_in(TICK_LEAST_NS);
	uint32_t shift = 0;

	while (shift < 16 && count > (double)(UINT32_C(1) << shift))
		shift++;
	return shift;
}

/* Set once: what goes on later goes on with the same ticks. Children of fork have their parent's way. */
static void set_clock(struct segment_header *h)
{
	static bool is_known, is_counter;
	static uint32_t shift;

	if (h->trace_base_ns != 0)
		return;
	if (!is_known) {
		is_counter = is_counter_good();
		shift = is_counter ? shift_of_counter() : 3;
		is_known = true;
	}
	h->trace_is_counter = is_counter;
	h->trace_shift = shift;
	h->trace_base_ns = clock_monotonic();
	h->trace_base = is_counter ? arch_counter() : h->trace_base_ns;
}

uint64_t trace_ticks_of(uint64_t ns)
{
	uint64_t count = segment_live_page->trace_is_counter ? (uint64_t)count_in((double)ns) : ns;

	return count >> segment_live_page->trace_shift;
}

/* A word for who reads the trace. */
static void configure(const char *key, const char *value)
{
	struct trace_text texts[] = {{key, (uint32_t)strlen(key), 0},
				     {value, (uint32_t)strlen(value), 1}};

	trace_write_text(TRACE_CONFIG_EVENT, trace_ticks(), (const uint64_t[]){0, 0}, 2, texts, 2);
}

#define LONG_CALL_NS UINT64_C(10000)

/* Where it cannot be, the rest goes on, and the trace says that it has not seen them. */
static void start_calls(struct segment *s, bool is_full, struct why *ret_note)
{
	struct sites_counts counts;
	struct why why = {""};
	int r;

	record_begin();
	record_long_ticks = trace_ticks_of(LONG_CALL_NS);
	r = sites_start(&record_probe, is_full ? SITES_FULL : SITES_PATCHED, &why);
	if (r == -EAGAIN && !is_full)
		r = sites_start_running(s, &record_probe, &why);
	if (r == 0 || r == -EBUSY) {
		atomic_fetch_or_explicit(&s->header->trace_has,
					 TRACE_HAS_SITES | (is_full ? TRACE_HAS_ALL_SYSCALLS : 0),
					 memory_order_relaxed);
		sites_count(&counts);
		why_set(&why, "%u of %u in %u files are patched", counts.in_place + counts.in_stub,
			counts.found, counts.files);
	} else {
		log_debug("trace: system calls are not seen: %s", why.text);
	}
	/* a thread of ours is not in the log: who asked for it hears */
	if (helper_is_caller())
		*ret_note = why;
	else
		configure("syscalls", why.text);
}

void trace_prepare(const char *session)
{
	const char *slash = session != NULL ? strrchr(session, '/') : NULL;

	sites_keep_in(session, slash != NULL ? (size_t)(slash - session) : 0);
	sites_prepare();
}

static int trace_start(struct segment *s, const struct option_set *options, struct why *why)
{
	static const uint32_t levels[] = {
		[OPTION_TRACE_THREADS] = TRACE_LEVEL_THREADS,
		[OPTION_TRACE_LOCKS] = TRACE_LEVEL_THREADS | TRACE_LEVEL_LOCKS,
		[OPTION_TRACE_SYSCALLS] = TRACE_LEVEL_THREADS | TRACE_LEVEL_SYSCALLS,
		[OPTION_TRACE_SYSCALLS_FULL] = TRACE_LEVEL_THREADS | TRACE_LEVEL_SYSCALLS,
		[OPTION_TRACE_ALL] = TRACE_LEVEL_THREADS | TRACE_LEVEL_LOCKS |
				     TRACE_LEVEL_SYSCALLS | TRACE_LEVEL_SCHED,
	};
	struct segment_header *h = s->header;
	struct segment_run *run = &h->runs[RUN_TRACE];
	struct segment_live *live = segment_live_page;
	uint32_t level = levels[options->trace];

	bool is_ring = !h->is_kept && (options->ring_ns != 0 || options->ring_bytes != 0);

	if (!h->is_kept && options->trace_on_ns != 0) {
		why_set(why,
			"trace.on: somebody has to write the snapshots: start it by "
			"cprof run -p 'trace,trace.on=%s>...' -- PROGRAM",
			options->trace_on);
		return -ENOTSUP;
	}
	atomic_store_explicit(&h->trace_overwrites, is_ring, memory_order_relaxed);
	set_clock(h);
	atomic_fetch_or_explicit(&h->trace_has,
				 TRACE_HAS_WRAPPERS | (h->trace_is_counter ? TRACE_IS_TSC : 0) |
					 (is_ring ? TRACE_IS_RING : 0),
				 memory_order_relaxed);
	atomic_store_explicit(&run->period, 1, memory_order_relaxed);
	if (atomic_load_explicit(&run->begun_ns, memory_order_relaxed) == 0)
		atomic_store_explicit(&run->begun_ns, h->trace_base_ns, memory_order_relaxed);
	atomic_store_explicit(&run->ended_ns, 0, memory_order_relaxed);
	trace_watch_regions(s, options->trace_on, options->trace_on_ns);
	live->trace_base = h->trace_base;
	live->trace_shift = h->trace_shift;
	live->trace_is_counter = h->trace_is_counter;
	atomic_store_explicit(&run->setting, level, memory_order_release); /* pairs: drain_pass */
	atomic_store_explicit(&h->trace_level, level, memory_order_release);
	/* last: who sees it set sees the rest */
	atomic_store_explicit(&live->trace_level, level, memory_order_release);
	if (thread_self_block != NULL && !helper_is_caller())
		trace_begin_thread();
	if (level & TRACE_LEVEL_LOCKS)
		sync_start(s);
	if (level & TRACE_LEVEL_SYSCALLS)
		start_calls(s, options->trace == OPTION_TRACE_SYSCALLS_FULL, why);
	trace_wake_reader(s);
	return 0;
}

static void trace_stop(struct segment *s)
{
	struct segment_live *live = segment_live_page;

	sync_stop();
	atomic_store_explicit(&live->trace_level, 0, memory_order_relaxed);
	atomic_store_explicit(&s->header->trace_level, 0, memory_order_relaxed);
	atomic_store_explicit(&s->header->runs[RUN_TRACE].ended_ns, clock_monotonic(),
			      memory_order_relaxed);
	trace_wake_reader(s);
}

static void trace_forked(void)
{
	sync_forked();
	sites_forked();
	record_begin();
	trace_forget_thread();
	trace_forget_objects();
}

static const struct value_type trace_values[] = {{"events", "count"}, {0}};

const struct profile_ops trace_profile = {
	.name = "trace",
	.bit = OPTION_TRACE,
	.about = "what happened on every thread, in order",
	.values = trace_values,
	.period = {"events", "count"},
	.table = SEGMENT_NO_TABLE,
	.run = RUN_TRACE,
	.is_log = true,
	.start = trace_start,
	.stop = trace_stop,
	.thread_begins = trace_thread_begins,
	.thread_ends = trace_thread_ends,
	.forked = trace_forked,
};
