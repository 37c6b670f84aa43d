#include "viewer/threads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/names.h"
#include "viewer/select.h"

void threads_init(struct threads *t, uint64_t from_ns, uint64_t to_ns)
{
	*t = (struct threads){.from_ns = from_ns, .to_ns = to_ns};
}

void threads_fini(struct threads *t)
{
	free(t->rows);
	map_fini(&t->row_of);
	*t = (struct threads){0};
}

/* The row of a thread, made when there is none; NULL: out of memory. */
static struct threads_row *row_of(struct threads *t, uint32_t thread)
{
	uint32_t at = map_get(&t->row_of, thread), room;
	struct threads_row *rows;

	if (at != MAP_NONE)
		return &t->rows[at];
	if (t->rows_n == t->rows_room) {
		room = t->rows_room * 2 + 16;
		rows = realloc(t->rows, room * sizeof(*rows));
		if (rows == NULL)
			return NULL;
		t->rows = rows;
		t->rows_room = room;
	}
	if (map_set(&t->row_of, thread, t->rows_n) < 0)
		return NULL;
	t->rows[t->rows_n] = (struct threads_row){.thread = thread, .threads_n = 1};
	return &t->rows[t->rows_n++];
}

static int on_switches(struct threads *t, const struct merged *m)
{
	const uint64_t *a = m->event->arguments;
	struct threads_row *row;

	/* those that only the kernel told of are no threads of the program */
	if (m->thread == 0 || m->thread >= TRACE_THREAD_FOREIGN || m->event->ns < t->from_ns ||
	    m->event->ns > t->to_ns)
		return 0;
	row = row_of(t, m->thread);
	if (row == NULL)
		return -ENOMEM;
	t->knows_switches = true;
	if (m->event->type == TRACE_SCHED_DELTA_EVENT) {
		row->voluntary += a[3];
		row->involuntary += a[4];
	} else if (a[1] == TRACE_OUT_PREEMPTED) {
		row->involuntary++;
	} else {
		row->voluntary++;
	}
	return 0;
}

static int on_event(void *context, const struct merged *m)
{
	struct threads *t = context;
	const uint64_t *a = m->event->arguments;
	struct threads_row *row;

	switch ((enum trace_event_type)m->event->type) {
	case TRACE_SCHED_OUT_EVENT:
	case TRACE_SCHED_DELTA_EVENT:
		return on_switches(t, m);
	case TRACE_THREAD_CREATE_EVENT:
		row = a[0] != 0 && a[0] < TRACE_THREAD_FOREIGN ? row_of(t, (uint32_t)a[0]) : NULL;
		if (row != NULL)
			row->start = a[1];
		return a[0] == 0 || a[0] >= TRACE_THREAD_FOREIGN || row != NULL ? 0 : -ENOMEM;
	case TRACE_THREAD_EXIT_EVENT:
		row = row_of(t, m->thread);
		if (row == NULL)
			return -ENOMEM;
		row->exit = a[0] <= TRACE_EXIT_LOST ? (uint8_t)a[0] : TRACE_EXIT_UNKNOWN;
		return 0;
	default:
		return 0;
	}
}

static int on_interval(void *context, const struct interval *i)
{
	struct threads_row *row = row_of(context, i->thread);

	if (row == NULL)
		return -ENOMEM;
	row->state_ns[i->state] += i->end_ns - i->begin_ns;
	return 0;
}

static int on_call(void *context, const struct story_call *c)
{
	struct threads_row *row = row_of(context, c->thread);

	if (row == NULL)
		return -ENOMEM;
	row->calls++;
	return 0;
}

static int on_wait(void *context, const struct story_wait *w)
{
	struct threads_row *row = row_of(context, w->thread);

	if (row == NULL)
		return -ENOMEM;
	row->waits += w->end_ns > w->begin_ns; /* what was over at once was none */
	return 0;
}

static int on_life(void *context, const struct story_life *l)
{
	struct threads *t = context;
	struct threads_row *row = row_of(t, l->thread);

	if (row == NULL)
		return -ENOMEM;
	row->life_ns = story_within(l->begin_ns, l->end_ns, t->from_ns, t->to_ns);
	row->begin_ns = l->begin_ns;
	row->end_ns = l->end_ns;
	row->has_life = true;
	row->has_begin = l->has_begin;
	row->has_end = l->has_end;
	return 0;
}

struct story_listener threads_listener(struct threads *t)
{
	return (struct story_listener){.context = t,
				       .event = on_event,
				       .interval = on_interval,
				       .call = on_call,
				       .wait = on_wait,
				       .life = on_life};
}

size_t threads_group_length(const char *name, size_t n)
{
	size_t all = n;

	while (n > 0 && strchr("0123456789-_.:#/ ", name[n - 1]) != NULL && name[n - 1] != '\0')
		n--;
	return n > 0 ? n : all;
}

static uint64_t hash(const char *bytes, size_t n)
{
	uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
	return h;
}

/* What is the same for all of a group. */
static uint64_t key_of(const struct threads_row *row, enum threads_by by,
		       const struct tables *tables)
{
	struct name name;

	if (by == THREADS_BY_NONE)
		return row->thread;
	if (by == THREADS_BY_START && row->start == 0)
		return 0;
	name_clear(&name);
	if (by == THREADS_BY_START) {
		name_address(&name, tables, row->start);
		return hash(name.text, name.n);
	}
	name_thread(&name, tables, row->thread);
	return hash(name.text, threads_group_length(name.text, name.n));
}

static void add_row(struct threads_row *to, const struct threads_row *from, enum threads_by by)
{
	to->threads_n += from->threads_n;
	to->life_ns += from->life_ns;
	for (unsigned i = 0; i < TRACE_STATES; i++)
		to->state_ns[i] += from->state_ns[i];
	to->begin_ns = from->begin_ns < to->begin_ns ? from->begin_ns : to->begin_ns;
	to->end_ns = from->end_ns > to->end_ns ? from->end_ns : to->end_ns;
	to->calls += from->calls;
	to->waits += from->waits;
	to->voluntary += from->voluntary;
	to->involuntary += from->involuntary;
	if (by != THREADS_BY_START && to->start != from->start)
		to->start = 0;
}

/* An interrupted story has told of no life that went on. */
static bool lived(struct threads_row *row)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < TRACE_STATES; i++)
		all += row->state_ns[i];
	if (!row->has_life)
		row->life_ns = all;
	return row->has_life || all > 0;
}

int threads_group(struct threads *t, enum threads_by by, const struct tables *tables,
		  struct select_threads *wanted)
{
	uint32_t kept = 0, at;
	struct map group_of = {0};
	int r = 0;

	for (uint32_t i = 0; i < t->rows_n && r == 0; i++) {
		struct threads_row row = t->rows[i];
		uint64_t key;

		if (!lived(&row) || (wanted != NULL && !select_has_thread(wanted, row.thread)))
			continue;
		key = key_of(&row, by, tables);
		at = map_get(&group_of, key);
		if (at != MAP_NONE) {
			add_row(&t->rows[at], &row, by);
			continue;
		}
		r = map_set(&group_of, key, kept);
		t->rows[kept++] = row;
	}
	t->rows_n = kept;
	map_fini(&group_of);
	map_fini(&t->row_of);
	t->row_of = (struct map){0};
	return r;
}
