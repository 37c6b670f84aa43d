#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/timeline_private.h"

static void take_lock(void *context, uint32_t object, uint64_t ns)
{
	timeline_add_lock(context, object, ns);
}

/* Adds what a track has in the range to its row, and to the sums unless @has_sums. */
static int add_track(struct timeline *t, struct index *x, uint32_t track, struct timeline_row *row,
		     bool is_rough, bool has_sums)
{
	const struct index_track *k = index_track(x, track);
	uint64_t begin = k->begin_ns > t->ask.from_ns ? k->begin_ns : t->ask.from_ns,
		 end = k->end_ns < t->ask.to_ns ? k->end_ns : t->ask.to_ns;
	uint64_t last[TRACE_STATES], now[TRACE_STATES];
	struct index_sweep w;
	int r = is_rough ? index_before(x, track, begin, true, last)
			 : index_sweep_begin(&w, x, track, begin, last);

	if (row != NULL) {
		row->begin_ns = begin < row->begin_ns ? begin : row->begin_ns;
		row->end_ns = end > row->end_ns ? end : row->end_ns;
	}
	for (uint32_t column = timeline_column(&t->ask, begin); begin < end && r == 0; column++) {
		uint64_t border = timeline_column_begin(&t->ask, column + 1);

		begin = border < end ? border : end;
		r = is_rough ? index_before(x, track, begin, true, now)
			     : index_sweep_to(&w, begin, now);
		for (unsigned i = 0; i < TRACE_STATES && r == 0; i++) {
			uint64_t ns = now[i] - last[i];

			if (ns == 0)
				continue;
			if (row != NULL) {
				row->cells[column].ns[i] += ns;
				row->state_ns[i] += ns;
			}
			if (has_sums)
				continue;
			t->sums[column].ns[i] += ns;
			t->state_ns[i] += ns;
		}
		memcpy(last, now, sizeof(last));
	}
	if (r == 0 && row != NULL)
		r = index_locks(x, track, t->ask.from_ns, end, is_rough, take_lock, row);
	return r;
}

struct rare {
	struct timeline *t;
	struct timeline_row *row;
	uint64_t *left; /* leaves that may be opened still */
};

static int take_rare(void *context, bool is_leaf, uint64_t begin_ns, uint64_t end_ns,
		     unsigned flags)
{
	const struct rare *rare = context;
	const struct timeline_ask *ask = &rare->t->ask;
	uint64_t from_ns = begin_ns > ask->from_ns ? begin_ns : ask->from_ns, last_ns = end_ns - 1;

	if (is_leaf) {
		if ((begin_ns < ask->from_ns || last_ns > ask->to_ns ||
		     timeline_column(ask, begin_ns) != timeline_column(ask, last_ns)) &&
		    *rare->left > 0) {
			(*rare->left)--;
			return 1;
		}
		/* too many to look at: somewhere here */
		timeline_add_rare(rare->t, rare->row, from_ns, from_ns, flags);
		return 0;
	}
	/* a call has failed when it is over; where in its interval something was logged is not known */
	if (flags & INDEX_ERROR)
		timeline_add_rare(rare->t, rare->row, last_ns, last_ns, INDEX_ERROR);
	if (flags & ~(unsigned)INDEX_ERROR)
		timeline_add_rare(rare->t, rare->row, begin_ns, last_ns,
				  flags & ~(unsigned)INDEX_ERROR);
	return 0;
}

static int add_rare(struct timeline *t, struct index *x, uint32_t track, struct timeline_row *row,
		    uint64_t *left)
{
	struct rare rare = {t, row, left};

	return index_rare(x, track, t->ask.from_ns, t->ask.to_ns, take_rare, &rare);
}

static bool is_wanted(const struct timeline *t, const struct index *x, uint32_t track)
{
	const struct index_track *k = index_track(x, track);

	return k->begin_ns < t->ask.to_ns && k->end_ns > t->ask.from_ns &&
	       (t->ask.threads == NULL || select_has_thread(t->ask.threads, k->thread));
}

/* Leaves that are read for the columns of all rows, at most. */
static uint64_t leaves_of(const struct timeline *t, const struct index *x)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < index_tracks(x); i++) {
		uint64_t n =
			is_wanted(t, x, i) ? index_leaves(x, i, t->ask.from_ns, t->ask.to_ns) : 0;

		sum += n < t->ask.columns + 1 ? n : t->ask.columns + 1;
	}
	return sum;
}

/* The last value that there was by the end of each column. */
static int add_heap(struct timeline *t, struct index *x, enum index_kind kind, uint64_t **ret,
		    uint64_t *ret_max)
{
	uint32_t series = index_series_of(x, kind, 0);
	struct index_values v = {0};
	int r = 0;

	if (series == MAP_NONE)
		return 0;
	*ret = calloc(t->ask.columns, sizeof(**ret));
	if (*ret == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->ask.columns && r == 0; i++) {
		uint64_t from = timeline_column_begin(&t->ask, i),
			 to = timeline_column_begin(&t->ask, i + 1);

		/* the range has its last moment, too */
		r = index_values(x, series, from, i + 1 < t->ask.columns ? to : to + 1, &v);
		(*ret)[i] = v.has_last ? (uint64_t)v.last : 0;
		*ret_max = (*ret)[i] > *ret_max ? (*ret)[i] : *ret_max;
	}
	return r;
}

/* What is missing, by the blocks' headers; and how many events there are, of those that are in the range at least partly. */
static void count_blocks(struct timeline *t, const struct reader *r, const struct streams *s)
{
	struct story_counts *c = &t->counts;

	for (uint32_t i = 0; i < s->streams_n; i++) {
		const struct stream *stream = &s->streams[i];
		uint64_t before_ns = 0;

		if (t->ask.threads != NULL &&
		    (stream->is_switches || !select_has_thread(t->ask.threads, stream->thread)))
			continue;
		for (uint32_t k = 0; k < stream->n; k++) {
			const struct reader_block *b = &r->blocks[s->order[stream->first + k]];

			if (b->last_ns >= t->ask.from_ns && b->first_ns <= t->ask.to_ns)
				t->events += b->events;
			if (!stream->is_switches && k > 0 && b->lost_before > 0 &&
			    b->first_ns >= t->ask.from_ns && before_ns <= t->ask.to_ns) {
				c->lost_events += b->lost_before;
				c->gaps++;
			}
			before_ns = b->last_ns;
		}
	}
}

static void count(struct timeline *t, const struct reader *r, const struct streams *s,
		  const struct index *x)
{
	const struct story_counts *all = index_counts(x);

	count_blocks(t, r, s);
	if (t->ask.from_ns <= all->begin_ns && t->ask.to_ns >= all->end_ns) {
		t->counts = *all;
		return;
	}
	t->counts.merge.unreadable = all->merge.unreadable;
	t->counts.has_switches = all->has_switches;
	t->counts.begin_ns = t->ask.from_ns;
	t->counts.end_ns = t->ask.to_ns;
	t->counts.threads = t->threads;
	memcpy(t->counts.state_ns, t->state_ns, sizeof(t->state_ns));
	for (unsigned i = 0; i < TRACE_STATES; i++)
		t->counts.uncertain_ns[i == TRACE_UNKNOWN ? STORY_UNKNOWN : STORY_EXACT] +=
			t->state_ns[i];
}

int timeline_index(struct timeline *t, struct reader *r, const struct streams *s, struct index *x,
		   uint64_t leaves_max, struct why *why)
{
	uint64_t left = leaves_max;
	uint32_t index;
	int result = t->ask.marks_of == TRACE_ALL ? 0 : -EINVAL;

	t->is_rough = leaves_of(t, x) > leaves_max;
	for (uint32_t i = 0; i < index_tracks(x) && result == 0; i++) {
		struct timeline_row *row = NULL;

		if (!is_wanted(t, x, i))
			continue;
		result = timeline_row_for(t, index_track(x, i)->thread, &index);
		if (result == 0 && index != MAP_NONE)
			row = &t->rows[index];
		if (row != NULL)
			row->is_rough = t->is_rough;
		if (result == 0)
			result = add_track(t, x, i, row, t->is_rough, false);
		if (result == 0)
			result = add_rare(t, x, i, row, &left);
	}
	if (result == 0)
		result = add_heap(t, x, INDEX_HEAP_LIVE, &t->heap_live, &t->live_max);
	if (result == 0)
		result = add_heap(t, x, INDEX_HEAP_RESIDENT, &t->heap_resident, &t->resident_max);
	if (result == 0)
		count(t, r, s, x);
	if (result == -ENOMEM)
		why_set(why, "out of memory");
	if (result == -EINVAL)
		why_set(why, "the index has no marks");
	if (result == -EBADMSG)
		why_set(why, "the index of %s is damaged; the next one is made anew", r->name);
	return result;
}

int timeline_sharpen(struct timeline *t, struct index *x, uint32_t at)
{
	struct timeline_row *row = &t->rows[at];
	int r = 0;

	if (!row->is_rough)
		return 0;
	row->is_rough = false;
	memset(row->cells, 0, t->ask.columns * sizeof(*row->cells));
	memset(row->state_ns, 0, sizeof(row->state_ns));
	memset(row->locks, 0, sizeof(row->locks));
	for (uint32_t i = 0; i < index_tracks(x) && r == 0; i++)
		if (is_wanted(t, x, i) && timeline_row_of(t, index_track(x, i)->thread) == at)
			r = add_track(t, x, i, row, false, true);
	return r;
}
