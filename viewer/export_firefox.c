#include "viewer/export_firefox.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/varint.h"

#define TEXT(key, label)                    \
	{                                   \
		key, label, "unique-string" \
	}
#define NUMBER(key, label)            \
	{                             \
		key, label, "integer" \
	}

const struct firefox_schema firefox_schemas[FIREFOX_KINDS] = {
	[FIREFOX_STATE] = {"state",
			   "What the thread did, one after another",
			   true,
			   false,
			   {TEXT("certainty", "Certainty"), TEXT("object", "Object"),
			    TEXT("call", "System call"), TEXT("other", "Holder or waker")}},
	[FIREFOX_REGION] =
		{"region", "A region of the program", true, false, {NUMBER("task", "Task")}},
	[FIREFOX_WAIT] = {"wait",
			  "A wait for a lock, a condition or the like",
			  true,
			  false,
			  {TEXT("object", "Object"), TEXT("holder", "Holder"), TEXT("held", "Held"),
			   TEXT("error", "Error"), TEXT("waker", "Woken by"),
			   NUMBER("task", "Task")}},
	[FIREFOX_CALL] = {"syscall",
			  "A system call",
			  true,
			  false,
			  {NUMBER("result", "Result"), TEXT("error", "Error"), TEXT("file", "File"),
			   TEXT("path", "Path"), TEXT("held", "Held"), TEXT("waker", "Woken by")}},
	[FIREFOX_WAKE] = {"wake",
			  "The thread made another one go on",
			  false,
			  false,
			  {TEXT("thread", "Thread"), TEXT("object", "Object"),
			   TEXT("certainty", "Certainty")}},
	[FIREFOX_TASK] = {"task", "A task", false, false, {NUMBER("task", "Task")}},
	[FIREFOX_MARK] = {"mark",
			  "A log message, a signal, an attribute, labels",
			  false,
			  false,
			  {TEXT("text", "Text"), TEXT("category", "Category")}},
	[FIREFOX_COUNTER] =
		{"counter", "A counter of the program", false, true, {NUMBER("value", "Value")}},
	[FIREFOX_LOST] =
		{"lost", "Events are missing here", false, false, {NUMBER("events", "Events")}},
};

/* By the names of states and of categories of slices. */
const struct firefox_category firefox_categories[] = {
	{"other", "grey"},    {"running", "green"},    {"runnable", "yellow"},  {"lock", "red"},
	{"wait", "orange"},   {"syscall", "blue"},     {"idle", "transparent"}, {"spin", "magenta"},
	{"region", "purple"}, {"unknown", "darkgrey"},
};
const unsigned firefox_categories_n = sizeof(firefox_categories) / sizeof(firefox_categories[0]);

static uint8_t category_of(const char *name)
{
	for (unsigned i = 0; i < firefox_categories_n; i++)
		if (strcmp(firefox_categories[i].name, name) == 0)
			return (uint8_t)i;
	return FIREFOX_OTHER;
}

/* ---- rows ---- */

uint8_t *firefox_put_row(uint8_t *at, const struct firefox_row *row)
{
	at = varint_put(at, row->kind | (uint64_t)row->phase << 8 | (uint64_t)row->category << 16 |
				    (uint64_t)row->has << 24);
	at = varint_put(at, row->name);
	at = varint_put(at, row->stack);
	at = varint_put(at, row->begin_ns);
	at = varint_put(at, row->end_ns);
	for (unsigned i = 0; i < FIREFOX_FIELDS; i++)
		if (row->has >> i & 1)
			at = varint_put(at, row->fields[i]);
	return at;
}

const uint8_t *firefox_get_row(const uint8_t *at, struct firefox_row *ret)
{
	uint64_t words[5];

	*ret = (struct firefox_row){0};
	for (unsigned i = 0; i < 5; i++) {
		at = varint_get(at, &words[i]);
		if (at == NULL)
			return NULL;
	}
	ret->kind = (uint8_t)words[0];
	ret->phase = (uint8_t)(words[0] >> 8);
	ret->category = (uint8_t)(words[0] >> 16);
	ret->has = (uint8_t)(words[0] >> 24);
	ret->name = (uint32_t)words[1];
	ret->stack = (uint32_t)words[2];
	ret->begin_ns = words[3];
	ret->end_ns = words[4];
	for (unsigned i = 0; i < FIREFOX_FIELDS && at != NULL; i++)
		if (ret->has >> i & 1)
			at = varint_get(at, &ret->fields[i]);
	return at != NULL && ret->kind < FIREFOX_KINDS ? at : NULL;
}

uint32_t firefox_text(struct export *x)
{
	struct firefox *f = x->own;

	return texts_add(&f->texts, x->name.text, x->name.n);
}

static struct firefox_thread *thread_of(struct export *x, uint32_t thread)
{
	struct firefox *f = x->own;
	bool is_new;
	struct firefox_thread *t = rows_at(&f->thread_of, thread, &f->threads, &f->threads_n,
					   &f->threads_room, sizeof(*t), &is_new);

	if (t != NULL)
		t->thread = thread;
	return t;
}

static int put_row(struct export *x, uint32_t thread, const struct firefox_row *row)
{
	struct firefox *f = x->own;
	struct firefox_thread *t = thread_of(x, thread);
	uint8_t bytes[FIREFOX_ROW_BYTES], *end = firefox_put_row(bytes, row);

	if (t == NULL)
		return -ENOMEM;
	if (row->kind == FIREFOX_SAMPLE)
		t->samples++;
	else
		t->markers++;
	return spool_put(&f->spool, &t->list, bytes, (size_t)(end - bytes), &x->why);
}

/* What is in x->name, as a field: none when it is empty. */
static void set_text(struct export *x, struct firefox_row *row, unsigned field)
{
	uint32_t text;

	if (x->name.n == 0)
		return;
	text = firefox_text(x);
	if (text == TEXTS_NONE) {
		x->error = -ENOMEM;
		return;
	}
	row->fields[field] = text;
	row->has |= (uint8_t)(1 << field);
}

static void set_number(struct firefox_row *row, unsigned field, int64_t value)
{
	row->fields[field] = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
	row->has |= (uint8_t)(1 << field);
}

static void set_object(struct export *x, struct firefox_row *row, unsigned field, uint32_t object)
{
	name_clear(&x->name);
	if (object != 0)
		name_object(&x->name, x->tables, object);
	set_text(x, row, field);
}

static void set_thread(struct export *x, struct firefox_row *row, unsigned field, uint32_t thread)
{
	name_clear(&x->name);
	if (thread != 0)
		export_thread_name(x, thread);
	set_text(x, row, field);
}

static void set_file(struct export *x, struct firefox_row *row, unsigned field, uint32_t file)
{
	name_clear(&x->name);
	if (file != 0)
		name_file(&x->name, x->tables, file);
	set_text(x, row, field);
}

static void set_error(struct export *x, struct firefox_row *row, unsigned field, uint64_t error)
{
	const char *name = name_error(error);

	name_clear(&x->name);
	if (name != NULL)
		name_format(&x->name, "%s", name);
	else if (error != 0)
		name_format(&x->name, "%" PRIu64, error);
	set_text(x, row, field);
}

static void set_word(struct export *x, struct firefox_row *row, unsigned field, const char *word)
{
	name_clear(&x->name);
	name_format(&x->name, "%s", word);
	set_text(x, row, field);
}

/* x->name is the row's. */
static void set_name(struct export *x, struct firefox_row *row)
{
	row->name = firefox_text(x);
	if (row->name == TEXTS_NONE)
		x->error = -ENOMEM;
}

static int end_row(struct export *x, uint32_t thread, const struct firefox_row *row)
{
	return x->error != 0 ? x->error : put_row(x, thread, row);
}

/* ---- the story ---- */

static int on_interval(struct export *x, const struct interval *i)
{
	struct firefox_row row = {
		.kind = FIREFOX_STATE,
		.phase = FIREFOX_INTERVAL,
		.category = category_of(story_state_name(i->state)),
		.stack = i->stack,
		.begin_ns = export_since(x, i->begin_ns),
		.end_ns = export_since(x, i->end_ns),
	};

	name_clear(&x->name);
	name_format(&x->name, "%s", story_state_name(i->state));
	set_name(x, &row);
	set_word(x, &row, 0, story_certainty_name(i->certainty));
	set_object(x, &row, 1, i->object);
	name_clear(&x->name);
	if (i->call != 0)
		export_call_name(x, i->call - 1);
	set_text(x, &row, 2);
	set_thread(x, &row, 3, i->other);
	return end_row(x, i->thread, &row);
}

/* An instant on the thread that made another go on. */
static int put_wake(struct export *x, const struct story_edge *e)
{
	struct firefox_row row = {
		.kind = FIREFOX_WAKE,
		.stack = e->stack,
		.begin_ns = export_since(x, e->from_ns),
	};

	name_clear(&x->name);
	name_format(&x->name, e->kind == EDGE_CREATE ? "create" : "%s wakes",
		    story_edge_name(e->kind));
	set_name(x, &row);
	set_thread(x, &row, 0, e->to);
	if (e->kind == EDGE_PIPE)
		set_file(x, &row, 1, e->object);
	else
		set_object(x, &row, 1, e->object);
	set_word(x, &row, 2, story_certainty_name(e->certainty));
	return end_row(x, e->from, &row);
}

static int on_open(void *context, uint32_t thread, const struct lane_item *item, uint64_t ns)
{
	(void)thread;
	(void)ns;
	return item->has_edge ? put_wake(context, &item->edge) : 0;
}

static void set_wait(struct export *x, struct firefox_row *row, const struct story_wait *w)
{
	row->kind = FIREFOX_WAIT;
	row->stack = w->stack;
	set_object(x, row, 0, w->object);
	set_thread(x, row, 1, w->type == TRACE_LOCK_WAIT_EVENT ? w->other : 0);
	set_object(x, row, 2, w->lock);
	set_error(x, row, 3, w->error);
	if (w->task != 0)
		set_number(row, 5, (int64_t)w->task);
}

static void set_call(struct export *x, struct firefox_row *row, const struct story_call *c)
{
	row->kind = FIREFOX_CALL;
	row->stack = c->stack;
	if (!c->is_open)
		set_number(row, 0, c->result);
	if (c->result < 0 && c->result > -4096)
		set_error(x, row, 1, (uint64_t)-c->result);
	set_file(x, row, 2, c->file);
	export_string(x, c->path);
	set_text(x, row, 3);
	set_object(x, row, 4, c->lock);
}

static int on_close(void *context, uint32_t thread, const struct lane_item *item, uint64_t ns,
		    bool has_end)
{
	struct export *x = context;
	struct firefox_row row = {
		.kind = FIREFOX_REGION,
		.phase = has_end ? FIREFOX_INTERVAL : FIREFOX_BEGIN,
		.category = category_of(export_item_category(item)),
		.stack = item->region.stack,
		.begin_ns = export_since(x, item->begin_ns),
		.end_ns = export_since(x, ns),
	};

	export_item_name(x, item);
	set_name(x, &row);
	if (item->kind == LANE_WAIT)
		set_wait(x, &row, &item->wait);
	else if (item->kind == LANE_CALL)
		set_call(x, &row, &item->call);
	else if (item->region.task != 0)
		set_number(&row, 0, (int64_t)item->region.task);
	if (item->has_edge)
		set_thread(x, &row, item->kind == LANE_WAIT ? 4 : 5, item->edge.from);
	return end_row(x, thread, &row);
}

static int on_edge(void *context, const struct story_edge *e)
{
	return put_wake(context, e);
}

static int on_life(struct export *x, const struct story_life *life)
{
	struct firefox_thread *t = thread_of(x, life->thread);

	if (t == NULL)
		return -ENOMEM;
	t->has_begin = life->has_begin;
	t->has_end = life->has_end;
	t->begin_ns = export_since(x, life->begin_ns);
	t->end_ns = export_since(x, life->end_ns);
	return 0;
}

/* ---- events ---- */

static int begin_task(struct export *x, const struct merged *m)
{
	struct firefox *f = x->own;
	const uint64_t *a = m->event->arguments;
	struct firefox_task *bigger;
	uint32_t number, room;

	if (!export_task_begin(x, a[0], (uint32_t)a[2], &number))
		return 0;
	if (number >= f->tasks_room) {
		room = number * 2 + 64;
		bigger = realloc(f->tasks, room * sizeof(*bigger));
		if (bigger == NULL)
			return -ENOMEM;
		memset(bigger + f->tasks_room, 0, (room - f->tasks_room) * sizeof(*bigger));
		f->tasks = bigger;
		f->tasks_room = room;
	}
	f->tasks[number] = (struct firefox_task){
		true, m->thread, (uint32_t)a[2], (uint32_t)a[3], export_since(x, m->event->ns),
		a[0]};
	return 0;
}

/* On the thread that began it. */
static int put_task(struct export *x, struct firefox_task *task, uint64_t end_ns,
		    enum firefox_phase phase)
{
	struct firefox_row row = {
		.kind = FIREFOX_TASK,
		.phase = phase,
		.category = category_of("region"),
		.stack = task->stack,
		.begin_ns = task->begin_ns,
		.end_ns = end_ns,
	};

	export_string(x, task->type);
	if (x->name.n == 0)
		name_format(&x->name, "task");
	set_name(x, &row);
	set_number(&row, 0, (int64_t)task->task);
	return end_row(x, task->thread, &row);
}

static int end_task(struct export *x, const struct merged *m)
{
	struct firefox *f = x->own;
	uint32_t type, number;

	if (!export_task_end(x, m->event->arguments[0], &type, &number))
		return 0;
	f->tasks[number].is_open = false;
	return m->event->ns >= x->from_ns
		       ? put_task(x, &f->tasks[number], export_since(x, m->event->ns),
				  FIREFOX_INTERVAL)
		       : 0;
}

static int put_sample(struct export *x, const struct merged *m)
{
	const uint64_t *a = m->event->arguments;
	uint32_t thread = a[3] != 0 ? (uint32_t)a[3] : m->thread;
	struct firefox_row row = {
		.kind = FIREFOX_SAMPLE,
		.stack = (uint32_t)a[0],
		.begin_ns = export_since(x, m->event->ns),
		.end_ns = a[1],
	};

	return select_has_thread(x->threads, thread) ? put_row(x, thread, &row) : 0;
}

static int put_heap(struct export *x, const struct merged *m)
{
	static const uint8_t argument_of[FIREFOX_COUNTERS] = {0, 4, 5};
	struct firefox *f = x->own;
	uint8_t bytes[2 * VARINT_BYTES_MAX], *at;
	int r = 0;

	for (unsigned i = 0; i < FIREFOX_COUNTERS && r == 0; i++) {
		struct firefox_counter *c = &f->counters[i];
		uint64_t value = m->event->arguments[argument_of[i]];

		if (value == 0 && c->n == 0)
			continue;
		at = varint_put(bytes, export_since(x, m->event->ns));
		at = varint_put(at, value);
		c->n++;
		r = spool_put(&f->spool, &c->list, bytes, (size_t)(at - bytes), &x->why);
	}
	return r;
}

/* An instant on the event's thread, called as x->name says. @number: a field, of some. */
static int put_instant(struct export *x, const struct merged *m, enum firefox_kind kind,
		       const int64_t *number)
{
	struct firefox_row row = {.kind = (uint8_t)kind, .begin_ns = export_since(x, m->event->ns)};

	if (m->thread == 0 || m->thread == TRACE_ALL)
		return 0;
	set_name(x, &row);
	if (number != NULL)
		set_number(&row, 0, *number);
	return end_row(x, m->thread, &row);
}

static int put_mark(struct export *x, const struct merged *m)
{
	struct firefox_row row = {.kind = FIREFOX_MARK, .begin_ns = export_since(x, m->event->ns)};
	const char *category;
	uint32_t note;

	if (!export_instant(x, m, &category, &note) || m->thread == 0 || m->thread == TRACE_ALL)
		return 0;
	set_text(x, &row, 0);
	if (note != 0) {
		export_string(x, note);
		set_text(x, &row, 1);
	}
	name_clear(&x->name);
	name_format(&x->name, "%s", category);
	set_name(x, &row);
	return end_row(x, m->thread, &row);
}

static int put_lost(struct export *x, const struct merged *m, uint64_t n)
{
	int64_t number = (int64_t)n;

	name_clear(&x->name);
	name_format(&x->name, "lost");
	return put_instant(x, m, FIREFOX_LOST, &number);
}

static int put_counter(struct export *x, const struct merged *m)
{
	int64_t value = varint_signed(m->event->arguments[1]);

	export_string(x, m->event->arguments[0]);
	if (x->name.n == 0)
		name_format(&x->name, "counter");
	return put_instant(x, m, FIREFOX_COUNTER, &value);
}

/* What a block's header says was lost before it. */
static int note_lost(struct export *x, const struct merged *m)
{
	struct firefox_thread *t;

	if (reader_is_switches(m->block) || m->thread == 0 || m->thread == TRACE_ALL)
		return 0;
	t = thread_of(x, m->thread);
	if (t == NULL)
		return -ENOMEM;
	if (t->block == m->block)
		return 0;
	t->block = m->block;
	return m->block->lost_before > 0 ? put_lost(x, m, m->block->lost_before) : 0;
}

static int on_event(struct export *x, const struct merged *m)
{
	int r;

	/* tasks that were begun before go on */
	if (m->event->ns > x->to_ns ||
	    (m->event->ns < x->from_ns && m->event->type != TRACE_TASK_BEGIN_EVENT &&
	     m->event->type != TRACE_TASK_END_EVENT))
		return 0;
	r = note_lost(x, m);
	if (r != 0)
		return r;
	switch ((enum trace_event_type)m->event->type) {
	case TRACE_TASK_BEGIN_EVENT:
		return begin_task(x, m);
	case TRACE_TASK_END_EVENT:
		return end_task(x, m);
	case TRACE_LOST_EVENT:
		return put_lost(x, m, m->event->arguments[0]);
	case TRACE_HEAP_SAMPLE_EVENT:
		return put_heap(x, m);
	case TRACE_COUNTER_EVENT:
		return put_counter(x, m);
	case TRACE_CPU_SAMPLE_EVENT:
		return put_sample(x, m);
	default:
		return put_mark(x, m);
	}
}

/* ---- the file ---- */

static int begin(struct export *x)
{
	struct firefox *f = calloc(1, sizeof(*f));
	int r = 0;

	x->own = f;
	if (f == NULL)
		return -ENOMEM;
	f->spool.fd = -1;
	f->counters[0] =
		(struct firefox_counter){.name = "heap", .about = "Live bytes of the heap"};
	f->counters[1] = (struct firefox_counter){.name = "mapped", .about = "Mapped bytes"};
	f->counters[2] = (struct firefox_counter){.name = "resident", .about = "Resident bytes"};
	/* in their order, whoever is first to do something */
	for (uint32_t i = 0; i < x->tables->threads_n && r == 0; i++)
		if (select_has_thread(x->threads, x->tables->threads[i].index) &&
		    thread_of(x, x->tables->threads[i].index) == NULL)
			r = -ENOMEM;
	return r;
}

static int end(struct export *x, const struct story_counts *counts)
{
	struct firefox *f = x->own;
	int r = 0;

	for (uint32_t i = 0; i < f->tasks_room && r == 0; i++)
		if (f->tasks[i].is_open)
			r = put_task(x, &f->tasks[i], export_since(x, counts->end_ns),
				     FIREFOX_BEGIN);
	return r != 0 ? r : firefox_write(x);
}

static void fini(struct export *x)
{
	struct firefox *f = x->own;

	if (f == NULL)
		return;
	for (uint32_t i = 0; i < f->threads_n; i++)
		spool_list_fini(&f->threads[i].list);
	for (unsigned i = 0; i < FIREFOX_COUNTERS; i++)
		spool_list_fini(&f->counters[i].list);
	spool_fini(&f->spool);
	texts_fini(&f->texts);
	map_fini(&f->thread_of);
	free(f->threads);
	free(f->tasks);
	free(f);
	x->own = NULL;
}

const struct export_format export_firefox = {
	.name = "firefox",
	.about = "Firefox's profiler: profiler.firefox.com, gzip",
	.is_binary = true,
	.left = "holds, flows and switches",
	.has_lanes = true,
	.begin = begin,
	.end = end,
	.fini = fini,
	.event = on_event,
	.interval = on_interval,
	.life = on_life,
	.lanes = {.open = on_open, .close = on_close, .edge = on_edge},
};
