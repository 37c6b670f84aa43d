#include "output/reading.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "output/counted.h"
#include "output/places.h"
#include "output/pprof.h"
#include "output/snapshot.h"
#include "output/text_unit.h"

struct reading_window {
	uint64_t at_ns; /* what it speaks of: the moment of the reading, or that of the snapshot */
	uint64_t serials[SEGMENT_SETS];
	uint64_t lost[LOST_KINDS], notes[NOTE_KINDS], lost_full;
	struct counted counted;
	struct snapshot_thread *threads; /* in place of rows */
	size_t threads_n;
	bool is_by_size; /* of blocks, with what is in use in the last two columns */
};

/* Samples of one profile that have no stack: under a name that says why. */
static const struct own_lost {
	enum segment_run_id run;
	enum segment_lost kind;
	bool is_ns;
	const char *name;
} own_lost[] = {
	{RUN_CPU, LOST_STACK_ROOM, false, "[lost: alternate stack too small]"},
	{RUN_CPU, LOST_UNSAMPLED_NS, true, "[lost: signal blocked]"},
	{RUN_HEAP, LOST_HEAP_ROOM, false, "[lost: alternate stack too small]"},
	{RUN_BLOCK, LOST_WAITS, false, "[lost: at a bad moment]"},
	{RUN_MUTEX, LOST_RELEASES, false, "[lost: at a bad moment]"},
};
#define OWN_LOST             (sizeof(own_lost) / sizeof(own_lost[0]))
#define LOAD_RELAXED(object) atomic_load_explicit(&(object), memory_order_relaxed)

/* Samples are taken after so many nanoseconds: the profile has a rate and a duration. */
static bool is_timed(const struct profile_ops *ops)
{
	return strcmp(ops->period.unit, "nanoseconds") == 0;
}

static unsigned columns_of(const struct profile_ops *ops)
{
	unsigned n = 0;

	while (n < TABLE_COLUMNS_MAX && ops->values[n].type != NULL)
		n++;
	return n;
}

static bool is_of_waits(const struct profile_ops *ops)
{
	return ops->run == RUN_BLOCK || ops->run == RUN_MUTEX;
}

bool reading_is_there(const struct segment *s, const struct profile_ops *ops)
{
	return LOAD_RELAXED(profile_run(s, ops)->period) != 0 &&
	       (ops->run != RUN_THREADS || LOAD_RELAXED(s->header->snapshot_serial) != 0);
}

uint64_t reading_every(const struct segment *s, const struct profile_ops *ops)
{
	uint64_t n = ops->run == RUN_MUTEX ? LOAD_RELAXED(profile_run(s, ops)->setting) : 1;

	return n != 0 ? n : 1;
}

/* Readings */

static void forget_reading(struct reading_window *w)
{
	counted_fini(&w->counted);
	free(w->threads);
}

static int take_reading(const struct segment *s, const struct profile_ops *ops, bool as_sampled,
			struct reading_window *ret)
{
	struct segment_header *h = s->header;
	int r;

	*ret = (struct reading_window){
		.at_ns = ops->run == RUN_THREADS ? LOAD_RELAXED(h->snapshot_ns) : clock_monotonic(),
		.lost_full = LOAD_RELAXED(profile_run(s, ops)->lost),
		.is_by_size = ops->is_by_size,
	};
	for (unsigned g = 0; g < SEGMENT_SETS; g++)
		ret->serials[g] =
			atomic_load_explicit(&h->generations[g].serial, memory_order_acquire);
	for (unsigned i = 0; i < LOST_KINDS; i++)
		ret->lost[i] = LOAD_RELAXED(h->lost[i]);
	for (unsigned i = 0; i < NOTE_KINDS; i++)
		ret->notes[i] = LOAD_RELAXED(h->notes[i]);
	r = ops->run == RUN_THREADS ? snapshot_read(s, &ret->threads, &ret->threads_n)
				    : counted_read(s, ops, as_sampled, &ret->counted);
	if (r < 0)
		forget_reading(ret);
	return r;
}

int reading_window_begin(const struct segment *s, const struct profile_ops *ops,
			 struct reading_window **ret)
{
	struct reading_window *w = malloc(sizeof(*w));
	int r;

	if (w == NULL)
		return -ENOMEM;
	r = take_reading(s, ops, false, w);
	if (r < 0) {
		free(w);
		return r;
	}
	*ret = w;
	return 0;
}

void reading_window_end(struct reading_window *window)
{
	if (window != NULL)
		forget_reading(window);
	free(window);
}

void reading_window_keep_in_use(struct reading_window *window)
{
	if (!window->is_by_size)
		return;
	for (size_t i = 0; i < window->counted.n; i++)
		window->counted.rows[i].shown[2] = window->counted.rows[i].shown[3] = 0;
}

uint64_t reading_window_serial(const struct reading_window *window)
{
	uint64_t oldest = UINT64_MAX;

	for (unsigned g = 0; g < SEGMENT_GENERATIONS; g++)
		if (window->serials[g] != 0 && window->serials[g] < oldest)
			oldest = window->serials[g];
	return oldest;
}

static int subtract(struct reading_window *now, const struct reading_window *before)
{
	for (unsigned i = 0; i < LOST_KINDS; i++)
		now->lost[i] -= before->lost[i];
	for (unsigned i = 0; i < NOTE_KINDS; i++)
		now->notes[i] -= before->notes[i];
	now->lost_full -= before->lost_full;
	return counted_subtract(&now->counted, now->serials, &before->counted, before->serials);
}

/* Samples */

static void add_sample(const struct profile_ops *ops, struct places *places,
		       const struct counted_row *counted, struct profile *ret)
{
	const struct table_row *row = &counted->row;
	struct profile_label labels[LABEL_SET_PAIRS + 1];
	struct profile_sample sample = {.labels = labels};
	int64_t values[TABLE_COLUMNS_MAX], block_size;
	struct places_stack stack;
	bool is_zero = true;

	for (unsigned c = 0; c < columns_of(ops); c++) {
		values[c] = counted->shown[c];
		is_zero = is_zero && values[c] == 0;
	}
	if (is_zero || !places_stack(places, row->generation, row->stack, &stack))
		return;
	sample.labels_n = places_labels(places, row->labels, labels);
	block_size = ops->is_by_size ? counted_block_size(row) : 0;
	if (block_size > 0)
		labels[sample.labels_n++] = (struct profile_label){
			.key = profile_string(ret, "bytes"), .num = block_size, .num_unit = ""};
	sample.values = values;
	sample.locations = stack.locations;
	sample.locations_n = stack.n;
	profile_add_sample(ret, &sample);
}

/* Those of now less those of @window; a stack of a generation that was given up since then cannot be read any more. */
static void add_threads(struct places *places, const struct reading_window *now,
			const struct reading_window *window, struct profile *ret)
{
	for (size_t i = 0; i < now->threads_n && !profile_error(ret); i++)
		snapshot_add_sample(places, &now->threads[i], 1, true, ret);
	for (size_t i = 0; window != NULL && i < window->threads_n && !profile_error(ret); i++) {
		unsigned g = window->threads[i].generation;

		if (window->serials[g] == now->serials[g])
			snapshot_add_sample(places, &window->threads[i], -1, true, ret);
	}
}

/*
 * A sample that stands for @count that have no stack. In a column of the period's unit each is worth one period: of a heap, as
 * many bytes as lie between two samples. Whether these blocks are still in use is not known.
 */
static void add_lost(const struct profile_ops *ops, struct places *places, const char *name,
		     uint64_t count, uint64_t period, struct profile *ret)
{
	uint32_t location = places_named(places, name);
	int64_t values[TABLE_COLUMNS_MAX] = {(int64_t)count};
	struct profile_sample sample = {.locations_n = 1, .locations = &location, .values = values};

	for (unsigned c = 1; c < columns_of(ops) && c < 2; c++)
		if (strcmp(ops->values[c].unit, ops->period.unit) == 0)
			values[c] = (int64_t)(count * period);
	profile_add_sample(ret, &sample);
}

/* How many of its samples are lost for the reason @own. */
static uint64_t count_own_lost(const struct own_lost *own, const struct profile_ops *ops,
			       uint64_t lost, uint64_t period)
{
	if (own->run != ops->run || period == 0)
		return 0;
	return own->is_ns ? lost / period : lost;
}

/* @every: one that was to be recorded and found no room stands for so many. */
static void add_all_lost(const struct profile_ops *ops, const struct reading_window *now,
			 struct places *places, uint64_t period, uint64_t every,
			 struct profile *ret)
{
	if (now->lost_full > 0 && !profile_is_custom(ops)) /* they may be gone by now */
		add_lost(ops, places, PLACES_FULL, now->lost_full * every, period, ret);
	for (size_t i = 0; i < OWN_LOST; i++) {
		uint64_t n = count_own_lost(&own_lost[i], ops, now->lost[own_lost[i].kind], period);

		if (n > 0)
			add_lost(ops, places, own_lost[i].name, n, period, ret);
	}
}

/* Whether lost things of this kind can be missing in the profile @ops. Full tables have a count for each profile. */
static bool concerns(const struct profile_ops *ops, enum segment_lost kind)
{
	if (kind == LOST_STACKS_FULL || kind == LOST_TABLE_FULL)
		return false;
	for (size_t i = 0; i < OWN_LOST; i++)
		if (own_lost[i].kind == kind)
			return own_lost[i].run == ops->run;
	return kind != LOST_LIVE || ops->run == RUN_HEAP;
}

/* Which waits are in the table, of all that there were. Nothing when that is not known. */
static void describe_waits(const struct profile_ops *ops, uint64_t setting, uint64_t truncated,
			   char *ret, size_t size)
{
	uint64_t n = setting & ~SETTING_IS_RATE;
	bool is_rate = n != setting;
	struct unit_label label = unit_label((int64_t)n, "nanoseconds", "auto");
	char what[160];

	if (n == 0)
		return;
	if (ops->run == RUN_BLOCK)
		snprintf(what, sizeof(what), "%s of %.20s%.20s and more%s",
			 is_rate ? "all waits" : "waits", label.number, label.unit,
			 is_rate ? ", and shorter ones by chance, counted for those left out" : "");
	else if (n > 1)
		snprintf(what, sizeof(what),
			 "one in %" PRIu64
			 " releases of locks that others waited for, counted %" PRIu64 " times",
			 n, n);
	else
		snprintf(what, sizeof(what), "all releases of locks that others waited for");
	snprintf(ret, size, "%.150s; %" PRIu64 " stacks truncated", what, truncated);
}

/* How its samples came about. */
static void describe_samples(const struct profile_ops *ops, const struct reading_window *now,
			     uint64_t period, uint64_t setting, char *ret, size_t size)
{
	uint64_t truncated = now->notes[NOTE_TRUNCATED], blocks = 0;
	char rate[60] = "";

	ret[0] = '\0';
	if (is_timed(ops))
		snprintf(rate, sizeof(rate), " at %" PRIu64 " Hz", NS_PER_SECOND / period);
	if (ops->run == RUN_CPU) {
		snprintf(ret, size, "%" PRIu64 " signals%s; %" PRIu64 " stacks truncated",
			 now->notes[NOTE_SIGNALS], rate, truncated);
	} else if (ops->run == RUN_WALL) {
		snprintf(ret, size,
			 "looks%s: %" PRIu64 " by signal, %" PRIu64
			 " at threads that said they wait, "
			 "%" PRIu64 " at what the kernel told, %" PRIu64 " without an answer; "
			 "%" PRIu64 " stacks truncated",
			 rate, now->notes[NOTE_LOOKS_ASKED], now->notes[NOTE_LOOKS_WAITING],
			 now->notes[NOTE_LOOKS_KERNEL], now->notes[NOTE_LOOKS_DEAF], truncated);
	} else if (ops->is_by_size) {
		for (size_t i = 0; i < now->counted.n; i++)
			blocks += now->counted.rows[i].row.values[0];
		snprintf(rate, sizeof(rate), "one in %" PRIu64 " bytes", period);
		snprintf(ret, size, "%" PRIu64 " blocks sampled, %s; %" PRIu64 " stacks truncated",
			 blocks, period > 1 ? rate : "all there were", truncated);
	} else if (is_of_waits(ops)) {
		describe_waits(ops, setting, truncated, ret, size);
	}
}

static void add_comments(struct profile *p, const struct profile_ops *ops,
			 const struct reading_window *now, uint64_t period, uint64_t setting)
{
	char text[240];

	profile_add_comment(p, "cprof " CPROF_VERSION);
	describe_samples(ops, now, period, setting, text, sizeof(text));
	if (text[0] != '\0')
		profile_add_comment(p, text);
	if (now->lost_full > 0) {
		snprintf(text, sizeof(text), "lost: %" PRIu64 " %s", now->lost_full,
			 profile_is_custom(ops)
				 ? "entries: no room when they were added, a larger memory= "
				   "has more"
				 : "samples: tables full");
		profile_add_comment(p, text);
	}
	for (unsigned i = 0; i < LOST_KINDS; i++) {
		if (now->lost[i] == 0 || !concerns(ops, (enum segment_lost)i))
			continue;
		snprintf(text, sizeof(text), "lost: %" PRIu64 " %s: %s", now->lost[i],
			 segment_lost_unit((enum segment_lost)i),
			 segment_lost_name((enum segment_lost)i));
		profile_add_comment(p, text);
	}
}

/* Times */

static int64_t realtime_of(const struct segment_header *h, uint64_t monotonic_ns)
{
	return (int64_t)(h->begun_realtime_ns + (monotonic_ns - h->begun_monotonic_ns));
}

/* From when to when a reading speaks of what was sampled over time. */
static void set_duration(const struct segment *s, const struct profile_ops *ops,
			 const struct reading_window *now, const struct reading_window *window,
			 struct profile *ret)
{
	struct segment_header *h = s->header;
	uint64_t begun = LOAD_RELAXED(profile_run(s, ops)->begun_ns);
	uint64_t ended = LOAD_RELAXED(profile_run(s, ops)->ended_ns), kept = UINT64_MAX;

	for (unsigned g = 0; g < SEGMENT_GENERATIONS; g++) {
		uint64_t from = LOAD_RELAXED(h->generations[g].begun_ns);

		if (now->serials[g] != 0 && from < kept)
			kept = from;
	}
	if (LOAD_RELAXED(h->notes[NOTE_RECYCLED]) > 0 && kept > begun)
		begun = kept; /* what was before is given up */
	if (window != NULL && window->at_ns > begun)
		begun = window->at_ns;
	if (ended == 0 || ended > now->at_ns)
		ended = now->at_ns;
	ret->time_ns = realtime_of(h, begun);
	ret->duration_ns = ended > begun ? (int64_t)(ended - begun) : 0;
}

/* What is counted has the moment until which it is, and a duration only as a difference. */
static void set_moment(const struct segment *s, const struct profile_ops *ops,
		       const struct reading_window *now, const struct reading_window *window,
		       struct profile *ret)
{
	uint64_t at = now->at_ns, ended = LOAD_RELAXED(profile_run(s, ops)->ended_ns);

	if (ops->run != RUN_THREADS && ended != 0 && ended < at)
		at = ended;
	ret->time_ns = realtime_of(s->header, at);
	if (window != NULL && at > window->at_ns)
		ret->duration_ns = (int64_t)(at - window->at_ns);
}

/* The whole */

static int fail(const struct profile_ops *ops, int error, struct why *why)
{
	if (error == -EAGAIN && ops->run == RUN_THREADS)
		why_set(why, "%s: no snapshot was taken in this process", ops->name);
	else if (error == -EAGAIN)
		why_set(why, "%s: it never ran in this process", ops->name);
	else if (error == -E2BIG)
		why_set(why, "%s: it would take more than %zu MiB, more than any profile needs",
			ops->name, PPROF_MEMORY_MAX >> 20);
	else
		why_set(why, "%s: out of memory while reading the profile", ops->name);
	return error;
}

/* Fills @ret, whose error says how that went. */
static void make_profile(const struct segment *s, const struct profile_ops *ops,
			 const struct reading_window *now, const struct reading_window *window,
			 struct symbols *symbols, bool as_sampled, struct profile *ret)
{
	uint64_t period = LOAD_RELAXED(profile_run(s, ops)->period);
	struct places *places = places_create(s, symbols, ret);

	if (places == NULL) {
		ret->error = -ENOMEM;
		return;
	}
	for (unsigned c = 0; c < columns_of(ops); c++)
		profile_add_sample_type(ret, ops->values[c].type, ops->values[c].unit);
	ret->period_type = (struct profile_value_type){profile_string(ret, ops->period.type),
						       profile_string(ret, ops->period.unit)};
	ret->period = (int64_t)period;
	if (ops->shown != NULL)
		ret->default_sample_type = profile_string(ret, ops->shown);
	if (is_timed(ops))
		set_duration(s, ops, now, window, ret);
	else
		set_moment(s, ops, now, window, ret);
	add_comments(ret, ops, now, period != 0 ? period : 1,
		     LOAD_RELAXED(profile_run(s, ops)->setting));
	places_begin_with_program(places);
	if (ops->is_by_size && !as_sampled)
		places_leave_out_allocators(places);
	if (is_of_waits(ops))
		places_name_locks(places);
	for (size_t i = 0; i < now->counted.n && !profile_error(ret); i++)
		add_sample(ops, places, &now->counted.rows[i], ret);
	add_threads(places, now, window, ret);
	if (!as_sampled)
		add_all_lost(ops, now, places, period, reading_every(s, ops), ret);
	profile_merge_samples(ret);
	places_destroy(places);
}

static int read_profile(const struct segment *s, const struct profile_ops *ops,
			const struct reading_window *window, struct symbols *symbols,
			bool as_sampled, struct profile *ret, struct why *why)
{
	struct reading_window now;
	int r;

	if (!reading_is_there(s, ops))
		return fail(ops, -EAGAIN, why);
	r = take_reading(s, ops, as_sampled, &now);
	if (r < 0)
		return fail(ops, r, why);
	if (window != NULL)
		r = subtract(&now, window);
	if (r == 0)
		r = profile_init(ret);
	if (r == 0) {
		profile_limit(ret, PPROF_MEMORY_MAX);
		make_profile(s, ops, &now, window, symbols, as_sampled, ret);
		r = profile_error(ret);
		if (r < 0)
			profile_fini(ret);
	}
	forget_reading(&now);
	return r < 0 ? fail(ops, r, why) : 0;
}

int reading_profile(const struct segment *s, const struct profile_ops *ops,
		    const struct reading_window *window, struct symbols *symbols,
		    struct profile *ret, struct reading_counts *ret_counts, struct why *why)
{
	int r = read_profile(s, ops, window, symbols, false, ret, why);

	if (r == 0 && ret_counts != NULL)
		reading_count(s, ops, ret_counts);
	return r;
}

int reading_sampled(const struct segment *s, const struct profile_ops *ops, struct symbols *symbols,
		    struct profile *ret, struct why *why)
{
	return read_profile(s, ops, NULL, symbols, true, ret, why);
}

struct counter {
	struct reading_counts *counts;
	unsigned last;
};

static int count_row(void *user, const struct table_row *row)
{
	const struct counter *c = user;

	c->counts->rows++;
	c->counts->samples += row->values[0];
	c->counts->ns += row->values[1];
	c->counts->last += row->values[c->last];
	return 0;
}

void reading_count(const struct segment *s, const struct profile_ops *ops,
		   struct reading_counts *ret)
{
	struct segment_header *h = s->header;
	uint64_t period = LOAD_RELAXED(profile_run(s, ops)->period);
	struct counter counter = {ret, columns_of(ops) - 1};

	*ret = (struct reading_counts){
		.signals = LOAD_RELAXED(h->notes[NOTE_SIGNALS]),
		.lost = LOAD_RELAXED(profile_run(s, ops)->lost),
		.truncated = LOAD_RELAXED(h->notes[NOTE_TRUNCATED]),
	};
	for (size_t i = 0; i < OWN_LOST; i++)
		ret->lost += count_own_lost(&own_lost[i], ops,
					    LOAD_RELAXED(h->lost[own_lost[i].kind]), period);
	counted_each(s, ops, count_row, &counter);
}

/* Threads, one by one */

/* With the texts that stand beside its stack. */
static struct reading_thread describe_thread(const struct segment *s,
					     const struct snapshot_thread *found,
					     struct profile *ret)
{
	char channel[128];

	segment_copy_text(s, found->channel, channel, sizeof(channel));
	return (struct reading_thread){
		.tid = found->tid,
		.name = profile_string(ret, found->name),
		.channel = profile_string(ret, channel),
		.state = found->state,
		.for_ns = found->for_ns,
	};
}

int reading_threads(const struct segment *s, const struct profile_ops *ops, struct symbols *symbols,
		    struct profile *ret, struct reading_thread **ret_threads, struct why *why)
{
	struct snapshot_thread *found = NULL;
	struct reading_thread *threads;
	struct places *places;
	size_t n;
	int r;

	if (!reading_is_there(s, ops))
		return fail(ops, -EAGAIN, why);
	r = snapshot_read(s, &found, &n);
	if (r < 0)
		return fail(ops, r, why);
	r = profile_init(ret);
	profile_limit(ret, PPROF_MEMORY_MAX);
	profile_add_sample_type(ret, ops->values[0].type, ops->values[0].unit);
	places = places_create(s, symbols, ret);
	threads = calloc(n + 1, sizeof(*threads));
	if (r == 0 && (places == NULL || threads == NULL))
		ret->error = -ENOMEM;
	for (size_t i = 0; i < n && !profile_error(ret); i++) {
		snapshot_add_sample(places, &found[i], 1, false, ret);
		threads[i] = describe_thread(s, &found[i], ret);
	}
	places_destroy(places);
	free(found);
	r = profile_error(ret);
	if (r < 0) {
		profile_fini(ret);
		free(threads);
		return fail(ops, r, why);
	}
	*ret_threads = threads;
	return 0;
}
