#include "viewer/timeline_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/threads.h"

uint64_t timeline_events(const struct reader *r, uint64_t from_ns, uint64_t to_ns)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->blocks_n; i++) {
		const struct reader_block *b = &r->blocks[i];

		if (b->kind == TRACE_BLOCK_EVENTS && b->last_ns >= from_ns && b->first_ns <= to_ns)
			n += b->events;
	}
	return n;
}

void timeline_range(const struct reader *r, uint64_t *ret_from_ns, uint64_t *ret_to_ns)
{
	uint64_t from = UINT64_MAX, to = 0;

	for (size_t i = 0; i < r->blocks_n; i++) {
		const struct reader_block *b = &r->blocks[i];

		if (b->kind != TRACE_BLOCK_EVENTS)
			continue;
		from = b->first_ns < from ? b->first_ns : from;
		to = b->last_ns > to ? b->last_ns : to;
	}
	*ret_from_ns = from <= to ? from : 0;
	*ret_to_ns = from < to ? to : *ret_from_ns + 1;
}

int timeline_init(struct timeline *t, const struct timeline_ask *ask, const struct tables *tables)
{
	*t = (struct timeline){.ask = *ask, .tables = tables};
	if (ask->columns == 0 || ask->columns > TIMELINE_COLUMNS_MAX || ask->to_ns <= ask->from_ns)
		return -EINVAL;
	if (t->ask.cells_max == 0)
		t->ask.cells_max = TIMELINE_CELLS_MAX;
	t->sums = calloc(ask->columns, sizeof(*t->sums));
	t->rare = calloc(ask->columns, sizeof(*t->rare));
	return t->sums != NULL && t->rare != NULL ? 0 : -ENOMEM;
}

void timeline_fini(struct timeline *t)
{
	for (uint32_t i = 0; i < t->rows_n; i++) {
		free(t->rows[i].cells);
	}
	free(t->rows);
	free(t->sums);
	free(t->rare);
	free(t->heap_live);
	free(t->heap_resident);
	free(t->marks);
	map_fini(&t->row_of);
	map_fini(&t->group_of);
	memset(t, 0, sizeof(*t));
}

uint64_t timeline_bytes(const struct timeline *t)
{
	return (uint64_t)t->rows_room * sizeof(*t->rows) +
	       ((uint64_t)t->rows_n + 1) * t->ask.columns * sizeof(*t->sums) +
	       map_bytes(&t->row_of) + map_bytes(&t->group_of);
}

uint32_t timeline_column(const struct timeline_ask *ask, uint64_t ns)
{
	uint64_t column;

	if (ns < ask->from_ns)
		return 0;
	if (ns >= ask->to_ns)
		return ask->columns - 1;
	column = timeline_part(ns - ask->from_ns, ask->columns, ask->to_ns - ask->from_ns);
	/* where columns do not divide the range, their borders are rounded down */
	while (column + 1 < ask->columns && timeline_column_begin(ask, column + 1) <= ns)
		column++;
	return (uint32_t)column;
}

/* Rows */

static uint64_t hash_of(const char *text, size_t n)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static int new_row(struct timeline *t, uint32_t thread, uint32_t *ret)
{
	struct timeline_row *row;

	*ret = MAP_NONE;
	if ((uint64_t)(t->rows_n + 1) * t->ask.columns > t->ask.cells_max)
		return 0;
	if (t->rows_n == t->rows_room) {
		uint32_t room = t->rows_room * 2 + 16;
		struct timeline_row *rows = realloc(t->rows, room * sizeof(*rows));

		if (rows == NULL)
			return -ENOMEM;
		t->rows = rows;
		t->rows_room = room;
	}
	row = &t->rows[t->rows_n];
	*row = (struct timeline_row){.thread = thread, .begin_ns = UINT64_MAX};
	row->cells = calloc(t->ask.columns, sizeof(*row->cells));
	if (row->cells == NULL)
		return -ENOMEM;
	*ret = t->rows_n++;
	return 0;
}

/* The row of the group that @thread belongs to, a new one if need be. */
static int group_row(struct timeline *t, uint32_t thread, uint32_t *ret)
{
	struct name name;
	uint64_t hash;
	size_t n;
	int r;

	name_clear(&name);
	name_thread(&name, t->tables, thread);
	n = threads_group_length(name.text, name.n);
	if (n >= TIMELINE_LABEL)
		n = TIMELINE_LABEL - 1;
	hash = hash_of(name.text, n);
	*ret = map_get(&t->group_of, hash);
	if (*ret != MAP_NONE)
		return 0;
	r = new_row(t, thread, ret);
	if (r < 0 || *ret == MAP_NONE)
		return r;
	memcpy(t->rows[*ret].label, name.text, n);
	return map_set(&t->group_of, hash, *ret);
}

int timeline_row_for(struct timeline *t, uint32_t thread, uint32_t *ret)
{
	uint32_t row = map_get(&t->row_of, thread);
	int r;

	if (row == MAP_NONE) {
		r = t->ask.by_group ? group_row(t, thread, &row) : new_row(t, thread, &row);
		if (r < 0)
			return r;
		t->threads++;
		if (row == MAP_NONE) {
			row = TIMELINE_LEFT_OUT;
			t->left_out++;
		} else {
			t->rows[row].members++;
		}
		r = map_set(&t->row_of, thread, row);
		if (r < 0)
			return r;
	}
	*ret = row != TIMELINE_LEFT_OUT ? row : MAP_NONE;
	return 0;
}

uint32_t timeline_row_of(const struct timeline *t, uint32_t thread)
{
	uint32_t row = map_get(&t->row_of, thread);

	return row != TIMELINE_LEFT_OUT ? row : MAP_NONE;
}

void timeline_name(const struct timeline *t, const struct timeline_row *row, struct name *name)
{
	if (row->members > 1)
		name_format(name, "%s*", row->label);
	else
		name_thread(name, t->tables, row->thread);
}

int timeline_seed(struct timeline *t, const uint32_t *threads, uint32_t n)
{
	uint32_t row;
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++)
		r = timeline_row_for(t, threads[i], &row);
	return r;
}

/* Cells */

void timeline_add_rare(struct timeline *t, struct timeline_row *row, uint64_t begin_ns,
		       uint64_t end_ns, unsigned flags)
{
	if (begin_ns > t->ask.to_ns || end_ns < t->ask.from_ns)
		return;
	for (uint32_t i = timeline_column(&t->ask, begin_ns),
		      last = timeline_column(&t->ask, end_ns);
	     i <= last; i++)
		t->rare[i] |= (uint8_t)flags;
	t->rare_all |= (uint8_t)flags;
	if (row != NULL)
		row->rare |= (uint8_t)flags;
}

/* A new one takes the place of the least, and its time, so that it can rise. */
void timeline_add_lock(struct timeline_row *row, uint32_t object, uint64_t ns)
{
	unsigned least = 0;

	for (unsigned i = 0; i < TIMELINE_LOCKS; i++) {
		if (row->locks[i].object == object || row->locks[i].object == 0) {
			row->locks[i].object = object;
			row->locks[i].ns += ns;
			return;
		}
		if (row->locks[i].ns < row->locks[least].ns)
			least = i;
	}
	row->locks[least].object = object;
	row->locks[least].ns += ns;
}

uint32_t timeline_top_lock(const struct timeline_row *row)
{
	unsigned most = 0;

	for (unsigned i = 1; i < TIMELINE_LOCKS; i++)
		if (row->locks[i].ns > row->locks[most].ns)
			most = i;
	return row->locks[most].object;
}

int timeline_add(struct timeline *t, const struct interval *i)
{
	uint64_t begin = i->begin_ns > t->ask.from_ns ? i->begin_ns : t->ask.from_ns,
		 end = i->end_ns < t->ask.to_ns ? i->end_ns : t->ask.to_ns;
	unsigned state = i->state < TRACE_STATES ? i->state : TRACE_UNKNOWN;
	struct timeline_row *row = NULL;
	uint32_t index;
	int r;

	if (t->ask.threads != NULL && !select_has_thread(t->ask.threads, i->thread))
		return 0;
	if (end <= begin)
		return 0;
	r = timeline_row_for(t, i->thread, &index);
	if (r < 0)
		return r;
	if (index != MAP_NONE) {
		row = &t->rows[index];
		row->begin_ns = begin < row->begin_ns ? begin : row->begin_ns;
		row->end_ns = end > row->end_ns ? end : row->end_ns;
		row->state_ns[state] += end - begin;
		if (state == TRACE_LOCK && i->object != 0)
			timeline_add_lock(row, i->object, end - begin);
	}
	t->state_ns[state] += end - begin;
	for (uint32_t column = timeline_column(&t->ask, begin); begin < end; column++) {
		uint64_t border = timeline_column_begin(&t->ask, column + 1),
			 upto = border < end ? border : end, ns = upto - begin;

		t->sums[column].ns[state] += ns;
		if (row != NULL)
			row->cells[column].ns[state] += ns;
		begin = upto;
	}
	return 0;
}

unsigned timeline_dominant(const struct timeline_cell *cell, double *ret_share)
{
	unsigned most = TRACE_STATES;
	uint64_t sum = 0;

	for (unsigned i = 0; i < TRACE_STATES; i++) {
		sum += cell->ns[i];
		if (cell->ns[i] > 0 && (most == TRACE_STATES || cell->ns[i] > cell->ns[most]))
			most = i;
	}
	*ret_share = sum > 0 ? (double)cell->ns[most] / (double)sum : 0;
	return most;
}

/* The story */

static int on_interval(void *context, const struct interval *i)
{
	return timeline_add(context, i);
}

static int note_rare(struct timeline *t, uint32_t thread, uint64_t ns, unsigned flags)
{
	uint32_t row;
	int r;

	if (ns < t->ask.from_ns || ns > t->ask.to_ns ||
	    (t->ask.threads != NULL && !select_has_thread(t->ask.threads, thread)))
		return 0;
	r = timeline_row_for(t, thread, &row);
	if (r == 0)
		timeline_add_rare(t, row != MAP_NONE ? &t->rows[row] : NULL, ns, ns, flags);
	return r;
}

/* What the index has flags for, found where the index does. */
static int on_call(void *context, const struct story_call *c)
{
	if (c->result >= 0 || c->is_open)
		return 0;
	return note_rare(context, c->thread, c->end_ns > c->begin_ns ? c->end_ns - 1 : c->end_ns,
			 INDEX_ERROR);
}

static int note_event(struct timeline *t, const struct merged *m)
{
	const struct event *e = m->event;

	if (reader_is_switches(m->block) || m->thread >= TRACE_THREAD_FOREIGN)
		return 0;
	if (e->type == TRACE_LOG_EVENT)
		return note_rare(t, m->thread, e->ns, INDEX_MARK);
	if (e->type == TRACE_LOST_EVENT || (e->ordinal == 0 && m->block->lost_before > 0))
		return note_rare(t, m->thread, e->ns, INDEX_LOST);
	return 0;
}

static int note_heap(struct timeline *t, const struct event *e)
{
	uint32_t column = timeline_column(&t->ask, e->ns);

	if (t->heap_live == NULL) {
		t->heap_live = calloc(t->ask.columns, sizeof(*t->heap_live));
		t->heap_resident = calloc(t->ask.columns, sizeof(*t->heap_resident));
		if (t->heap_live == NULL || t->heap_resident == NULL)
			return -ENOMEM;
	}
	if (e->ns > t->ask.to_ns)
		return 0;
	/* one from before the range is what it begins with; the process's last is without what the kernel knew */
	t->heap_live[column] = e->arguments[0];
	if (e->arguments[5] > 0)
		t->heap_resident[column] = e->arguments[5];
	return 0;
}

static void finish_heap(struct timeline *t)
{
	for (uint32_t i = 0; i < t->ask.columns && t->heap_live != NULL; i++) {
		if (i > 0 && t->heap_live[i] == 0)
			t->heap_live[i] = t->heap_live[i - 1];
		if (i > 0 && t->heap_resident[i] == 0)
			t->heap_resident[i] = t->heap_resident[i - 1];
		if (t->heap_live[i] > t->live_max)
			t->live_max = t->heap_live[i];
		if (t->heap_resident[i] > t->resident_max)
			t->resident_max = t->heap_resident[i];
	}
}

static int add_mark(struct timeline *t, struct timeline_mark mark)
{
	if (mark.end_ns < t->ask.from_ns || mark.begin_ns > t->ask.to_ns)
		return 0;
	if (t->marks == NULL) {
		t->marks = malloc(TIMELINE_MARKS_MAX * sizeof(*t->marks));
		if (t->marks == NULL)
			return -ENOMEM;
	}
	if (t->marks_n == TIMELINE_MARKS_MAX)
		t->marks_left_out++;
	else
		t->marks[t->marks_n++] = mark;
	return 0;
}

static int end_region(struct timeline *t, uint64_t ns)
{
	uint32_t depth;

	if (t->open_n == 0)
		return 0;
	depth = --t->open_n;
	if (depth >= sizeof(t->open) / sizeof(t->open[0]))
		return 0;
	return add_mark(t, (struct timeline_mark){.begin_ns = t->open[depth].begin_ns,
						  .end_ns = ns,
						  .name = t->open[depth].name,
						  .depth = (uint8_t)depth,
						  .is_region = true});
}

static void begin_region(struct timeline *t, uint64_t ns, uint64_t name)
{
	if (t->open_n < sizeof(t->open) / sizeof(t->open[0])) {
		t->open[t->open_n].begin_ns = ns;
		t->open[t->open_n].name = (uint32_t)name;
	}
	t->open_n++;
}

static int on_event(void *context, const struct merged *m)
{
	struct timeline *t = context;
	const struct event *e = m->event;
	int r;

	if (e->ns >= t->ask.from_ns && e->ns <= t->ask.to_ns &&
	    (t->ask.threads == NULL || select_has_thread(t->ask.threads, m->thread)))
		t->events++;
	if (e->type == TRACE_HEAP_SAMPLE_EVENT)
		return note_heap(t, e);
	r = note_event(t, m);
	if (r < 0 || m->thread != t->ask.marks_of)
		return r;
	switch (e->type) {
	case TRACE_THREAD_STATUS_EVENT:
		/* its regions follow: known already, with their beginnings, but where something was lost */
		t->knows_regions = e->arguments[6] == t->open_n;
		if (!t->knows_regions)
			t->open_n = 0;
		return 0;
	case TRACE_STATUS_REGION_EVENT:
		if (!t->knows_regions)
			begin_region(t, e->ns, e->arguments[0]);
		return 0;
	case TRACE_REGION_BEGIN_EVENT:
		begin_region(t, e->ns, e->arguments[0]);
		return 0;
	case TRACE_REGION_END_EVENT:
		return end_region(t, e->ns);
	case TRACE_LOG_EVENT:
		return add_mark(t, (struct timeline_mark){.begin_ns = e->ns,
							  .end_ns = e->ns,
							  .name = (uint32_t)e->arguments[0],
							  .message = (uint32_t)e->arguments[1]});
	}
	return 0;
}

int timeline_tell(struct timeline *t, struct reader *r, const struct streams *s,
		  struct tables *tables, const struct watch *watch, struct why *why)
{
	const struct story_listener listener = {
		.context = t,
		.event = on_event,
		.interval = on_interval,
		.call = on_call,
	};
	int result = story_tell(r, s, tables, t->ask.from_ns, t->ask.to_ns, &listener, &t->counts,
				watch, why);

	while (result == 0 && t->open_n > 0)
		result = end_region(t, t->ask.to_ns);
	finish_heap(t);
	return result;
}

/* Headers */

/* @ns of @state somewhere between @begin and @end: evenly, to the nanosecond in sum. */
static void spread(struct timeline *t, struct timeline_row *row, uint64_t begin, uint64_t end,
		   unsigned state, uint64_t ns)
{
	uint64_t from = begin > t->ask.from_ns ? begin : t->ask.from_ns,
		 to = end < t->ask.to_ns ? end : t->ask.to_ns, done;

	if (to <= from || ns == 0)
		return;
	done = timeline_part(ns, from - begin, end - begin);
	for (uint32_t column = timeline_column(&t->ask, from); from < to; column++) {
		uint64_t border = timeline_column_begin(&t->ask, column + 1);
		uint64_t share;

		from = border < to ? border : to;
		share = timeline_part(ns, from - begin, end - begin) - done;
		done += share;
		t->sums[column].ns[state] += share;
		t->state_ns[state] += share;
		if (row != NULL) {
			row->cells[column].ns[state] += share;
			row->state_ns[state] += share;
		}
	}
}

/* A block: from the thread's block before, which ended at @before, to its own end. */
static int estimate_block(struct timeline *t, struct reader *r, const struct reader_block *b,
			  uint64_t before)
{
	uint64_t begin = before != 0 && before < b->last_ns ? before : b->first_ns,
		 end = b->last_ns, room, sum = 0;
	struct reader_summary summary = {0};
	struct timeline_row *row = NULL;
	uint32_t index;
	int result;

	if (end <= begin || end <= t->ask.from_ns || begin >= t->ask.to_ns)
		return 0;
	t->events += b->events;
	result = timeline_row_for(t, b->thread, &index);
	if (result < 0)
		return result;
	if (index != MAP_NONE) {
		row = &t->rows[index];
		row->begin_ns = begin < row->begin_ns ? begin : row->begin_ns;
		row->end_ns = end > row->end_ns ? end : row->end_ns;
	}
	if (reader_summary(r, b, &summary) < 0)
		memset(&summary, 0, sizeof(summary));
	if (b->lost_before > 0)
		timeline_add_rare(t, row, b->first_ns, b->first_ns, INDEX_LOST);
	if ((b->flags & TRACE_BLOCK_AFTER_GAP) && b->first_ns > begin) {
		spread(t, row, begin, b->first_ns, TRACE_UNKNOWN, b->first_ns - begin);
		begin = b->first_ns;
	}
	room = end - begin;
	for (unsigned i = 0; i < TRACE_STATES; i++) {
		/* more than there is room for cannot be true */
		if (summary.state_ns[i] > room - sum)
			summary.state_ns[i] = room - sum;
		sum += summary.state_ns[i];
	}
	summary.state_ns[TRACE_UNKNOWN] += room - sum;
	for (unsigned i = 0; i < TRACE_STATES && room > 0; i++)
		spread(t, row, begin, end, i, summary.state_ns[i]);
	return 0;
}

int timeline_estimate(struct timeline *t, struct reader *r, const struct streams *s,
		      const struct watch *watch, struct why *why)
{
	uint64_t done = 0, total = 0;
	int result = 0;

	t->is_estimate = true;
	for (uint32_t i = 0; i < s->streams_n; i++)
		total += s->streams[i].n;
	for (uint32_t i = 0; i < s->streams_n && result == 0; i++) {
		const struct stream *stream = &s->streams[i];
		uint64_t before = 0;

		done += stream->n;
		if (stream->is_switches ||
		    (t->ask.threads != NULL && !select_has_thread(t->ask.threads, stream->thread)))
			continue;
		for (uint32_t k = 0; k < stream->n && result == 0; k++) {
			const struct reader_block *b = &r->blocks[s->order[stream->first + k]];

			result = estimate_block(t, r, b, before);
			before = b->last_ns;
			if (result == 0 && watch_step(watch, done - stream->n + k, total))
				result = -EINTR;
		}
	}
	t->counts.begin_ns = t->ask.from_ns;
	t->counts.end_ns = t->ask.to_ns;
	t->counts.threads = t->threads;
	memcpy(t->counts.state_ns, t->state_ns, sizeof(t->state_ns));
	t->counts.lost_events = s->lost_events;
	t->counts.gaps = s->holes_n;
	if (result == -ENOMEM)
		why_set(why, "out of memory");
	return result;
}

static bool is_empty(const struct timeline_cell *cell)
{
	uint64_t all = 0;

	for (unsigned state = 0; state < TRACE_STATES; state++)
		all |= cell->ns[state];
	return all == 0;
}

int timeline_stretch(struct timeline *t, const struct timeline *from)
{
	uint32_t first = timeline_column(&from->ask, t->ask.from_ns),
		 last = timeline_column(&from->ask, t->ask.to_ns);
	uint32_t index;

	t->is_estimate = true;
	t->counts = from->counts;
	for (uint32_t k = first; k <= last; k++)
		if (from->rare[k] != 0)
			timeline_add_rare(t, NULL, timeline_column_begin(&from->ask, k),
					  timeline_column_begin(&from->ask, k + 1) - 1,
					  from->rare[k]);
	for (uint32_t i = 0; i < from->rows_n; i++) {
		int r = timeline_row_for(t, from->rows[i].thread, &index);

		if (r < 0)
			return r;
		if (index != MAP_NONE)
			t->rows[index].rare |= from->rows[i].rare;
		for (uint32_t k = first; k <= last; k++) {
			const struct timeline_cell *cell = &from->rows[i].cells[k];
			uint64_t begin, end;

			if (is_empty(cell))
				continue;
			begin = timeline_column_begin(&from->ask, k);
			end = timeline_column_begin(&from->ask, k + 1);
			for (unsigned state = 0; state < TRACE_STATES; state++)
				spread(t, index != MAP_NONE ? &t->rows[index] : NULL, begin, end,
				       state, cell->ns[state]);
		}
	}
	return 0;
}

/* Order */

struct sorted {
	struct timeline_row row;
	uint32_t before; /* its place */
	uint64_t rank;
	struct name *name;
};

static int by_rank(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->before < y->before ? -1 : x->before > y->before;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* As people count: worker-9 before worker-10. */
static int compare_names(const char *a, size_t a_n, const char *b, size_t b_n)
{
	size_t i = 0, k = 0;

	while (i < a_n && k < b_n) {
		if (is_digit(a[i]) && is_digit(b[k])) {
			size_t i_end, k_end;
			int order;

			while (i < a_n && a[i] == '0')
				i++;
			while (k < b_n && b[k] == '0')
				k++;
			for (i_end = i; i_end < a_n && is_digit(a[i_end]);)
				i_end++;
			for (k_end = k; k_end < b_n && is_digit(b[k_end]);)
				k_end++;
			if (i_end - i != k_end - k)
				return i_end - i < k_end - k ? -1 : 1;
			order = memcmp(a + i, b + k, i_end - i);
			if (order != 0)
				return order;
			i = i_end;
			k = k_end;
		} else if (a[i] != b[k]) {
			return (uint8_t)a[i] < (uint8_t)b[k] ? -1 : 1;
		} else {
			i++;
			k++;
		}
	}
	return i < a_n ? 1 : k < b_n ? -1 : 0;
}

static int by_name(const void *a, const void *b)
{
	const struct sorted *x = a, *y = b;
	int order = compare_names(x->name->text, x->name->n, y->name->text, y->name->n);

	return order != 0 ? order : x->before < y->before ? -1 : x->before > y->before;
}

static uint64_t rank_of(const struct timeline_row *row, enum timeline_key key)
{
	switch (key) {
	case TIMELINE_BY_LOCK:
		return UINT64_MAX - row->state_ns[TRACE_LOCK];
	case TIMELINE_BY_RUN:
		return UINT64_MAX - row->state_ns[TRACE_RUNNING];
	default:
		return row->thread;
	}
}

void timeline_sort(struct timeline *t, enum timeline_key key, bool is_reverse)
{
	struct sorted *list = calloc(t->rows_n > 0 ? t->rows_n : 1, sizeof(*list));
	uint32_t *now = calloc(t->rows_n > 0 ? t->rows_n : 1, sizeof(*now));
	struct name *names = NULL;

	if (key == TIMELINE_BY_NAME)
		names = malloc((t->rows_n > 0 ? t->rows_n : 1) * sizeof(*names));
	if (list == NULL || now == NULL || (key == TIMELINE_BY_NAME && names == NULL))
		goto out; /* as they came */
	for (uint32_t i = 0; i < t->rows_n; i++) {
		list[i] = (struct sorted){
			.row = t->rows[i], .before = i, .rank = rank_of(&t->rows[i], key)};
		if (names == NULL)
			continue;
		list[i].name = &names[i];
		name_clear(&names[i]);
		timeline_name(t, &t->rows[i], &names[i]);
	}
	qsort(list, t->rows_n, sizeof(*list), names != NULL ? by_name : by_rank);
	for (uint32_t i = 0; i < t->rows_n; i++) {
		uint32_t to = is_reverse ? t->rows_n - 1 - i : i;

		t->rows[to] = list[i].row;
		now[list[i].before] = to;
	}
	for (uint32_t i = 0; i < t->row_of.slots_n; i++)
		if (t->row_of.slots[i].value < t->rows_n)
			t->row_of.slots[i].value = now[t->row_of.slots[i].value];
	for (uint32_t i = 0; i < t->group_of.slots_n; i++)
		if (t->group_of.slots[i].value < t->rows_n)
			t->group_of.slots[i].value = now[t->group_of.slots[i].value];
out:
	free(names);
	free(now);
	free(list);
}
