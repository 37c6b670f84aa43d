#include "output/reading.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/table.h"
#include "output/places.h"
#include "output/pprof.h"
#include "output/snapshot.h"

struct reading_window {
	uint64_t at_ns; /* what it speaks of: the moment of the reading, or that of the snapshot */
	uint64_t serials[SEGMENT_SETS];
	uint64_t lost[LOST_KINDS], notes[NOTE_KINDS], lost_full;
	struct table_row *rows; /* sorted by generation, stack, labels; each once */
	size_t rows_n, rows_room;
	struct snapshot_thread *threads; /* in place of rows */
	size_t threads_n;
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

static int each_row(const struct segment *s, const struct profile_ops *ops,
		    int (*each)(void *user, const struct table_row *row), void *user)
{
	return ops->read != NULL ? ops->read(s, each, user) : table_read(s, ops->table, each, user);
}

bool reading_is_there(const struct segment *s, const struct profile_ops *ops)
{
	return LOAD_RELAXED(profile_run(s, ops)->period) != 0 &&
	       (ops->run != RUN_THREADS || LOAD_RELAXED(s->header->snapshot_serial) != 0);
}

/* Rows */

static int add_row(void *user, const struct table_row *row)
{
	struct reading_window *w = user;

	if (w->rows_n == w->rows_room) {
		size_t room = w->rows_room ? w->rows_room * 2 : 1024;
		struct table_row *rows = realloc(w->rows, room * sizeof(*rows));

		if (rows == NULL)
			return -ENOMEM;
		w->rows = rows;
		w->rows_room = room;
	}
	w->rows[w->rows_n] = *row;
	if (row->generation >= SEGMENT_SETS) /* of a record that others wrote */
		w->rows[w->rows_n].generation = w->rows[w->rows_n].stack = 0;
	w->rows_n++;
	return 0;
}

/* Rows in the order in which their stacks were first seen. */
static int compare_rows(const void *a, const void *b)
{
	const struct table_row *x = a, *y = b;

	if (x->generation != y->generation)
		return x->generation < y->generation ? -1 : 1;
	if (x->stack != y->stack)
		return x->stack < y->stack ? -1 : 1;
	if (x->labels != y->labels)
		return x->labels < y->labels ? -1 : 1;
	return (x->kind > y->kind) - (x->kind < y->kind);
}

/* What is kept elsewhere than in a table may come in several parts. */
static void add_up_rows(struct reading_window *w)
{
	size_t to = 0;

	for (size_t i = 1; i < w->rows_n; i++) {
		if (compare_rows(&w->rows[to], &w->rows[i]) != 0) {
			w->rows[++to] = w->rows[i];
			continue;
		}
		for (unsigned c = 0; c < TABLE_COLUMNS_MAX; c++)
			w->rows[to].values[c] += w->rows[i].values[c];
	}
	w->rows_n = to + 1;
}

static int take_reading(const struct segment *s, const struct profile_ops *ops,
			struct reading_window *ret)
{
	struct segment_header *h = s->header;
	int r;

	*ret = (struct reading_window){
		.at_ns = ops->run == RUN_THREADS ? LOAD_RELAXED(h->snapshot_ns) : clock_monotonic(),
		.lost_full = LOAD_RELAXED(profile_run(s, ops)->lost),
	};
	for (unsigned g = 0; g < SEGMENT_SETS; g++)
		ret->serials[g] =
			atomic_load_explicit(&h->generations[g].serial, memory_order_acquire);
	for (unsigned i = 0; i < LOST_KINDS; i++)
		ret->lost[i] = LOAD_RELAXED(h->lost[i]);
	for (unsigned i = 0; i < NOTE_KINDS; i++)
		ret->notes[i] = LOAD_RELAXED(h->notes[i]);
	r = ops->run == RUN_THREADS ? snapshot_read(s, &ret->threads, &ret->threads_n)
				    : each_row(s, ops, add_row, ret);
	if (r < 0) {
		free(ret->rows);
		return r;
	}
	if (ret->rows_n > 0) {
		qsort(ret->rows, ret->rows_n, sizeof(*ret->rows), compare_rows);
		add_up_rows(ret);
	}
	return 0;
}

int reading_window_begin(const struct segment *s, const struct profile_ops *ops,
			 struct reading_window **ret)
{
	struct reading_window *w = malloc(sizeof(*w));
	int r;

	if (w == NULL)
		return -ENOMEM;
	r = take_reading(s, ops, w);
	if (r < 0) {
		free(w);
		return r;
	}
	*ret = w;
	return 0;
}

void reading_window_end(struct reading_window *window)
{
	if (window != NULL) {
		free(window->rows);
		free(window->threads);
	}
	free(window);
}

uint64_t reading_window_serial(const struct reading_window *window)
{
	uint64_t oldest = UINT64_MAX;

	for (unsigned g = 0; g < SEGMENT_GENERATIONS; g++)
		if (window->serials[g] != 0 && window->serials[g] < oldest)
			oldest = window->serials[g];
	return oldest;
}

/*
 * @now less what @before has of it; what is gone since counts below zero. Rows of a generation that was given up since then
 * have nothing to subtract.
 */
static int subtract(struct reading_window *now, const struct reading_window *before)
{
	size_t n = now->rows_n, at = 0;
	int r;

	for (size_t i = 0; i < before->rows_n; i++) {
		struct table_row row = before->rows[i];

		if (before->serials[row.generation] != now->serials[row.generation])
			continue;
		for (unsigned c = 0; c < TABLE_COLUMNS_MAX; c++)
			row.values[c] = -row.values[c];
		while (at < n && compare_rows(&now->rows[at], &row) < 0)
			at++;
		if (at == n || compare_rows(&now->rows[at], &row) != 0) {
			r = add_row(now, &row);
			if (r < 0)
				return r;
			continue;
		}
		for (unsigned c = 0; c < TABLE_COLUMNS_MAX; c++)
			now->rows[at].values[c] += row.values[c];
	}
	for (unsigned i = 0; i < LOST_KINDS; i++)
		now->lost[i] -= before->lost[i];
	for (unsigned i = 0; i < NOTE_KINDS; i++)
		now->notes[i] -= before->notes[i];
	now->lost_full -= before->lost_full;
	return 0;
}

/* Samples */

static void add_sample(const struct profile_ops *ops, struct places *places,
		       const struct table_row *row, struct profile *ret)
{
	struct profile_label labels[LABEL_SET_PAIRS];
	struct profile_sample sample = {.labels = labels};
	int64_t values[TABLE_COLUMNS_MAX];
	struct places_stack stack;
	bool is_zero = true;

	for (unsigned c = 0; c < columns_of(ops); c++) {
		values[c] = (int64_t)row->values[c];
		is_zero = is_zero && values[c] == 0;
	}
	if (is_zero || !places_stack(places, row->generation, row->stack, &stack))
		return;
	sample.labels_n = places_labels(places, row->labels, labels);
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

/* A sample that stands for @count periods that have no stack. */
static void add_lost(const struct profile_ops *ops, struct places *places, const char *name,
		     uint64_t count, uint64_t period, struct profile *ret)
{
	uint32_t location = places_named(places, name);
	int64_t values[TABLE_COLUMNS_MAX] = {(int64_t)count};
	struct profile_sample sample = {.locations_n = 1, .locations = &location, .values = values};

	for (unsigned c = 1; c < columns_of(ops); c++)
		if (is_timed(ops) && strcmp(ops->values[c].unit, ops->period.unit) == 0)
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

static void add_all_lost(const struct profile_ops *ops, const struct reading_window *now,
			 struct places *places, uint64_t period, struct profile *ret)
{
	if (now->lost_full > 0)
		add_lost(ops, places, PLACES_FULL, now->lost_full, period, ret);
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
	return true;
}

static void add_comments(struct profile *p, const struct profile_ops *ops,
			 const struct reading_window *now, uint64_t period)
{
	char text[240], rate[40] = "";

	profile_add_comment(p, "cprof " CPROF_VERSION);
	if (is_timed(ops))
		snprintf(rate, sizeof(rate), " at %" PRIu64 " Hz", NS_PER_SECOND / period);
	text[0] = '\0';
	if (ops->run == RUN_CPU)
		snprintf(text, sizeof(text), "%" PRIu64 " signals%s; %" PRIu64 " stacks truncated",
			 now->notes[NOTE_SIGNALS], rate, now->notes[NOTE_TRUNCATED]);
	else if (ops->run == RUN_WALL)
		snprintf(text, sizeof(text),
			 "looks%s: %" PRIu64 " by signal, %" PRIu64
			 " at threads that said they wait, "
			 "%" PRIu64 " at what the kernel told, %" PRIu64 " without an answer; "
			 "%" PRIu64 " stacks truncated",
			 rate, now->notes[NOTE_LOOKS_ASKED], now->notes[NOTE_LOOKS_WAITING],
			 now->notes[NOTE_LOOKS_KERNEL], now->notes[NOTE_LOOKS_DEAF],
			 now->notes[NOTE_TRUNCATED]);
	if (text[0] != '\0')
		profile_add_comment(p, text);
	if (now->lost_full > 0) {
		snprintf(text, sizeof(text), "lost: %" PRIu64 " samples: tables full",
			 now->lost_full);
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

	if (!ops->is_instant && ended != 0 && ended < at)
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
			 struct symbols *symbols, struct profile *ret)
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
	if (is_timed(ops))
		set_duration(s, ops, now, window, ret);
	else
		set_moment(s, ops, now, window, ret);
	add_comments(ret, ops, now, period != 0 ? period : 1);
	places_begin_with_program(places);
	for (size_t i = 0; i < now->rows_n && !profile_error(ret); i++)
		add_sample(ops, places, &now->rows[i], ret);
	add_threads(places, now, window, ret);
	add_all_lost(ops, now, places, period, ret);
	profile_merge_samples(ret);
	places_destroy(places);
}

int reading_profile(const struct segment *s, const struct profile_ops *ops,
		    const struct reading_window *window, struct symbols *symbols,
		    struct profile *ret, struct reading_counts *ret_counts, struct why *why)
{
	struct reading_window now;
	int r;

	if (!reading_is_there(s, ops))
		return fail(ops, -EAGAIN, why);
	r = take_reading(s, ops, &now);
	if (r < 0)
		return fail(ops, r, why);
	if (window != NULL)
		r = subtract(&now, window);
	if (r == 0)
		r = profile_init(ret);
	if (r == 0) {
		profile_limit(ret, PPROF_MEMORY_MAX);
		make_profile(s, ops, &now, window, symbols, ret);
		r = profile_error(ret);
		if (r < 0)
			profile_fini(ret);
	}
	free(now.rows);
	free(now.threads);
	if (r == 0 && ret_counts != NULL)
		reading_count(s, ops, ret_counts);
	return r < 0 ? fail(ops, r, why) : 0;
}

static int count_row(void *user, const struct table_row *row)
{
	struct reading_counts *c = user;

	c->rows++;
	c->samples += row->values[0];
	c->ns += row->values[1];
	return 0;
}

void reading_count(const struct segment *s, const struct profile_ops *ops,
		   struct reading_counts *ret)
{
	struct segment_header *h = s->header;
	uint64_t period = LOAD_RELAXED(profile_run(s, ops)->period);

	*ret = (struct reading_counts){
		.signals = LOAD_RELAXED(h->notes[NOTE_SIGNALS]),
		.lost = LOAD_RELAXED(profile_run(s, ops)->lost),
		.truncated = LOAD_RELAXED(h->notes[NOTE_TRUNCATED]),
	};
	for (size_t i = 0; i < OWN_LOST; i++)
		ret->lost += count_own_lost(&own_lost[i], ops,
					    LOAD_RELAXED(h->lost[own_lost[i].kind]), period);
	each_row(s, ops, count_row, ret);
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
