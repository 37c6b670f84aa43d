#include "viewer/task_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add(struct task_lines *t, struct task_line line)
{
	struct task_line *lines;

	if (t->n == TASK_LINES_MAX) {
		t->left_out++;
		t->left_out_ns += line.end_ns - line.begin_ns;
		return 0;
	}
	if ((t->n & (t->n - 1)) == 0) {
		lines = realloc(t->lines, (t->n != 0 ? 2 * (size_t)t->n : 1) * sizeof(*lines));
		if (lines == NULL)
			return -ENOMEM;
		t->lines = lines;
	}
	line.sequence = t->n;
	t->lines[t->n++] = line;
	return 0;
}

static int add_mark(struct task_lines *t, const struct merged *m, enum task_line_kind kind,
		    uint64_t id, uint64_t first, uint64_t second)
{
	return add(t, (struct task_line){
			      .begin_ns = m->event->ns,
			      .end_ns = m->event->ns,
			      .id = id,
			      .thread = m->thread,
			      .kind = (uint8_t)kind,
			      .first = (uint32_t)first,
			      .second = (uint32_t)second,
		      });
}

static bool is_ours(const struct task_lines *t, uint64_t id)
{
	return id != 0 && map_get(&t->parts, id) != MAP_NONE;
}

/* What the thread works for, if that is the task or a part of it. */
static uint64_t works_for(const struct task_lines *t, uint32_t thread)
{
	uint32_t i = map_get(&t->at, thread);

	return i != MAP_NONE && i != 0 ? t->ids[i - 1] : 0;
}

static int add_part(struct task_lines *t, uint64_t id)
{
	uint64_t *ids;

	if (t->ids_n == TASK_PARTS_MAX) {
		t->parts_left_out++;
		return 0;
	}
	if ((t->ids_n & (t->ids_n - 1)) == 0) {
		ids = realloc(t->ids, (t->ids_n != 0 ? 2 * (size_t)t->ids_n : 1) * sizeof(*ids));
		if (ids == NULL)
			return -ENOMEM;
		t->ids = ids;
	}
	t->ids[t->ids_n++] = id;
	return map_set(&t->parts, id, t->ids_n);
}

static int find_task(struct task_lines *t, uint64_t now_ns)
{
	if (t->is_found)
		return 0;
	t->is_found = true;
	t->begin_ns = t->idle_since_ns = now_ns;
	return add_part(t, t->id);
}

/* From idle_since_ns on nobody worked for it. */
static int add_gap(struct task_lines *t, uint64_t now_ns, uint32_t thread)
{
	struct task_line gap = {.begin_ns = t->idle_since_ns,
				.end_ns = now_ns,
				.thread = thread,
				.kind = TASK_LINE_GAP};

	if (now_ns <= t->idle_since_ns && (thread == 0 || thread == t->last_worker))
		return 0;
	if (gap.end_ns < gap.begin_ns)
		gap.end_ns = gap.begin_ns;
	t->gap_ns += gap.end_ns - gap.begin_ns;
	return add(t, gap);
}

static int switch_to(struct task_lines *t, const struct merged *m, uint64_t id)
{
	uint64_t before = works_for(t, m->thread);
	bool is_in;
	int r = 0;

	if (id == t->id)
		r = find_task(t, m->event->ns);
	is_in = is_ours(t, id);
	if (r < 0 || (before == 0 && !is_in) || before == id)
		return r;
	if (map_set(&t->at, m->thread, is_in ? map_get(&t->parts, id) : 0) < 0)
		return -ENOMEM;
	if (t->has_end || (before != 0 && is_in)) /* from one part to another */
		return 0;
	if (is_in) {
		if (t->workers == 0)
			r = add_gap(t, m->event->ns, m->thread);
		else
			r = add_mark(t, m, TASK_LINE_JOIN, 0, 0, 0);
		t->last_worker = m->thread;
		if (++t->workers > t->at_once)
			t->at_once = t->workers;
		return r;
	}
	t->last_worker = m->thread;
	if (--t->workers == 0)
		t->idle_since_ns = m->event->ns;
	else
		r = add_mark(t, m, TASK_LINE_LEAVE, 0, 0, 0);
	return r;
}

static int end_lines(struct task_lines *t, uint64_t now_ns)
{
	t->end_ns = now_ns > t->begin_ns ? now_ns : t->begin_ns;
	return t->workers == 0 ? add_gap(t, t->end_ns, 0) : 0;
}

static int on_begin(struct task_lines *t, const struct merged *m)
{
	const uint64_t *a = m->event->arguments;
	int r;

	if (a[0] != t->id) {
		if (!is_ours(t, a[1]) || is_ours(t, a[0]) || t->has_end)
			return 0;
		r = add_part(t, a[0]);
		return r < 0 ? r : add_mark(t, m, TASK_LINE_PART_BEGIN, a[0], a[2], 0);
	}
	if (t->has_begin || t->has_end)
		return 0;
	r = find_task(t, m->event->ns);
	t->begin_ns = t->idle_since_ns = m->event->ns;
	t->has_begin = true;
	t->type = (uint32_t)a[2];
	t->begun_by = t->last_worker = m->thread;
	return r < 0 ? r : add_mark(t, m, TASK_LINE_BEGIN, 0, a[2], 0);
}

static int on_end(struct task_lines *t, const struct merged *m)
{
	uint64_t id = m->event->arguments[0];
	int r;

	if (!is_ours(t, id) && id != t->id)
		return 0;
	if (id != t->id)
		return t->has_end ? 0 : add_mark(t, m, TASK_LINE_PART_END, id, 0, 0);
	if (t->has_end)
		return 0;
	r = find_task(t, m->event->ns);
	if (r == 0)
		r = end_lines(t, m->event->ns);
	t->has_end = true;
	t->ended_by = m->thread;
	return r < 0 ? r : add_mark(t, m, TASK_LINE_END, 0, 0, 0);
}

static int on_event(void *context, const struct merged *m)
{
	struct task_lines *t = context;
	const uint64_t *a = m->event->arguments;
	uint64_t id;

	switch (m->event->type) {
	case TRACE_TASK_BEGIN_EVENT:
		return on_begin(t, m);
	case TRACE_TASK_END_EVENT:
		return on_end(t, m);
	case TRACE_TASK_SWITCH_EVENT:
		return switch_to(t, m, a[0]);
	case TRACE_THREAD_STATUS_EVENT:
		return switch_to(t, m, a[3]);
	case TRACE_THREAD_EXIT_EVENT:
		return switch_to(t, m, 0);
	}
	if (!t->is_found || t->has_end)
		return 0;
	id = works_for(t, m->thread);
	switch (m->event->type) {
	case TRACE_LOG_EVENT:
		return is_ours(t, a[2]) ? add_mark(t, m, TASK_LINE_LOG, a[2], a[0], a[1]) : 0;
	case TRACE_ATTRIBUTE_EVENT:
		return id != 0 ? add_mark(t, m, TASK_LINE_ATTRIBUTE, id, a[0], a[1]) : 0;
	case TRACE_REGION_BEGIN_EVENT:
		return id != 0 ? add_mark(t, m, TASK_LINE_REGION_BEGIN, id, a[0], 0) : 0;
	case TRACE_REGION_END_EVENT:
		return id != 0 ? add_mark(t, m, TASK_LINE_REGION_END, id, a[0], 0) : 0;
	case TRACE_FLOW_BEGIN_EVENT:
	case TRACE_FLOW_STEP_EVENT:
	case TRACE_FLOW_END_EVENT:
		return id != 0 ? add_mark(t, m, TASK_LINE_FLOW, id, a[1], 0) : 0;
	}
	return 0;
}

/* The same, only later? */
static bool goes_on(const struct interval *a, const struct interval *b)
{
	return a->end_ns == b->begin_ns && a->thread == b->thread && a->state == b->state &&
	       a->certainty == b->certainty && a->wait == b->wait && a->object == b->object &&
	       a->call == b->call && a->file == b->file && a->stack == b->stack &&
	       a->other == b->other && a->task == b->task;
}

static int on_interval(void *context, const struct interval *i)
{
	struct task_lines *t = context;
	struct task_line line = {.kind = TASK_LINE_INTERVAL, .thread = i->thread, .interval = *i};
	uint32_t last;

	if (!is_ours(t, i->task))
		return 0;
	if (line.interval.begin_ns < t->begin_ns)
		line.interval.begin_ns = t->begin_ns;
	if (t->has_end && line.interval.end_ns > t->end_ns)
		line.interval.end_ns = t->end_ns;
	if (line.interval.end_ns <= line.interval.begin_ns)
		return 0;
	line.begin_ns = line.interval.begin_ns;
	line.end_ns = line.interval.end_ns;
	line.id = i->task != t->id ? i->task : 0;
	t->worked_ns += line.end_ns - line.begin_ns;
	last = map_get(&t->last, i->thread);
	if (last != MAP_NONE && goes_on(&t->lines[last].interval, &line.interval)) {
		t->lines[last].end_ns = t->lines[last].interval.end_ns = line.end_ns;
		return 0;
	}
	if (t->n < TASK_LINES_MAX && map_set(&t->last, i->thread, t->n) < 0)
		return -ENOMEM;
	return add(t, line);
}

static int on_life(void *context, const struct story_life *l)
{
	struct event event = {.ns = l->end_ns};
	struct merged m = {.event = &event, .thread = l->thread};

	return switch_to(context, &m, 0);
}

struct story_listener task_lines_listener(struct task_lines *t)
{
	return (struct story_listener){
		.context = t,
		.event = on_event,
		.interval = on_interval,
		.life = on_life,
	};
}

static int by_time(const void *a, const void *b)
{
	const struct task_line *x = a, *y = b;
	bool is_later = x->kind == TASK_LINE_INTERVAL,
	     is_other_later = y->kind == TASK_LINE_INTERVAL;

	if (x->begin_ns != y->begin_ns)
		return x->begin_ns < y->begin_ns ? -1 : 1;
	if (is_later != is_other_later)
		return is_later - is_other_later;
	return x->sequence < y->sequence ? -1 : 1;
}

int task_lines_end(struct task_lines *t, uint64_t end_ns)
{
	int r = t->is_found && !t->has_end ? end_lines(t, end_ns) : 0;

	if (t->n > 0)
		qsort(t->lines, t->n, sizeof(*t->lines), by_time);
	return r;
}

void task_lines_fini(struct task_lines *t)
{
	free(t->lines);
	free(t->ids);
	map_fini(&t->parts);
	map_fini(&t->at);
	map_fini(&t->last);
	memset(t, 0, sizeof(*t));
}
