/*
 * The trace event form of Chrome: JSON, an event a line. Times are microseconds from the trace's beginning, with all three digits
 * behind the point. Slices of a thread are B and E, and nest; who held a lock, and tasks, are asynchronous: b and e.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/export.h"
#include "viewer/varint.h"

struct chrome {
	uint64_t n; /* events */
	uint64_t flows;
	struct map described; /* threads */
};

static void put_time(struct export *x, uint64_t ns)
{
	struct out *o = x->out;
	uint64_t since = ns >= x->begun_ns ? ns - x->begun_ns : x->begun_ns - ns;

	if (ns < x->begun_ns)
		out_char(o, '-');
	out_u64(o, since / 1000);
	out_char(o, '.');
	out_char(o, (char)('0' + since / 100 % 10));
	out_char(o, (char)('0' + since / 10 % 10));
	out_char(o, (char)('0' + since % 10));
}

static void put_name(struct export *x)
{
	name_out(&x->name, x->out, NAMES_JSON);
}

/* {"ph":"B","pid":1,"tid":1,"ts":0.000; what belongs to it follows, and end_event(). @tid 0: the process. */
static void begin_event(struct export *x, const char *phase, uint64_t tid, uint64_t ns)
{
	struct chrome *f = x->own;
	struct out *o = x->out;

	out_text(o, f->n++ == 0 ? "\n{\"ph\":\"" : ",\n{\"ph\":\"");
	out_text(o, phase);
	out_text(o, "\",\"pid\":");
	out_u64(o, x->reader->header.pid);
	out_text(o, ",\"tid\":");
	out_u64(o, tid);
	out_text(o, ",\"ts\":");
	put_time(x, ns);
}

static int end_event(struct export *x)
{
	out_char(x->out, '}');
	return x->out->error;
}

static void put_category(struct export *x, const char *category)
{
	out_text(x->out, ",\"cat\":\"");
	out_text(x->out, category);
	out_char(x->out, '"');
}

/* "name":…, from x->name */
static void put_key_name(struct export *x, const char *key)
{
	out_text(x->out, ",\"");
	out_text(x->out, key);
	out_text(x->out, "\":");
	put_name(x);
}

static uint64_t tid_of(struct export *x, uint32_t thread)
{
	struct chrome *f = x->own;
	uint64_t tid = export_tid(x, thread);
	struct name kept;

	if (map_get(&f->described, thread) != MAP_NONE)
		return tid;
	if (map_set(&f->described, thread, 0) < 0)
		return tid;
	kept = x->name;
	begin_event(x, "M", tid, x->begun_ns);
	out_text(x->out, ",\"name\":\"thread_name\",\"args\":{\"name\":");
	export_thread_name(x, thread);
	put_name(x);
	out_char(x->out, '}');
	end_event(x);
	begin_event(x, "M", tid, x->begun_ns);
	out_text(x->out, ",\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":");
	out_u64(x->out, thread);
	out_char(x->out, '}');
	end_event(x);
	x->name = kept;
	return tid;
}

/* Arguments: "args":{ before the first. */
static void begin_argument(struct export *x, bool *is_first, const char *key)
{
	out_text(x->out, *is_first ? ",\"args\":{\"" : ",\"");
	*is_first = false;
	out_text(x->out, key);
	out_text(x->out, "\":");
}

static void argument_name(struct export *x, bool *is_first, const char *key)
{
	if (x->name.n == 0)
		return;
	begin_argument(x, is_first, key);
	put_name(x);
}

static void argument_object(struct export *x, bool *is_first, const char *key, uint32_t object)
{
	name_clear(&x->name);
	if (object != 0)
		name_object(&x->name, x->tables, object);
	argument_name(x, is_first, key);
}

static void argument_thread(struct export *x, bool *is_first, const char *key, uint32_t thread)
{
	name_clear(&x->name);
	if (thread != 0)
		export_thread_name(x, thread);
	argument_name(x, is_first, key);
}

static void argument_number(struct export *x, bool *is_first, const char *key, int64_t value)
{
	begin_argument(x, is_first, key);
	out_s64(x->out, value);
}

static void argument_error(struct export *x, bool *is_first, uint64_t error)
{
	const char *name = name_error(error);

	name_clear(&x->name);
	if (name != NULL)
		name_format(&x->name, "%s", name);
	else
		name_format(&x->name, "%" PRIu64, error);
	argument_name(x, is_first, "error");
}

/* The top of a stack: nobody reads more of one. */
static int argument_stack(struct export *x, bool *is_first, uint32_t stack)
{
	const struct frame *frame;
	const uint64_t *words;

	if (frames_stack(x->frames, stack, &words) == 0)
		return 0;
	frame = frames_get(x->frames, words[0]);
	if (frame == NULL)
		return -ENOMEM;
	name_clear(&x->name);
	frames_top(&x->name, x->tables, frame);
	argument_name(x, is_first, "top");
	return 0;
}

static void end_arguments(struct export *x, bool is_first)
{
	if (!is_first)
		out_char(x->out, '}');
}

static void put_id(struct export *x, uint64_t id)
{
	out_text(x->out, ",\"id\":\"");
	out_hex(x->out, id);
	out_char(x->out, '"');
}

/* A slice of no length on who made another go on, so that the arrow has something to begin at. */
static int put_wake(struct export *x, uint32_t thread, uint64_t ns, const struct story_edge *e,
		    uint64_t flow, bool is_from)
{
	uint64_t tid = tid_of(x, thread);
	bool is_first = true;
	int r;

	name_clear(&x->name);
	if (e->kind == EDGE_CREATE)
		name_format(&x->name, "%s", is_from ? "create " : "created by ");
	else
		name_format(&x->name, "%s %s ", story_edge_name(e->kind),
			    is_from ? "wakes" : "from");
	name_thread(&x->name, x->tables, is_from ? e->to : e->from);
	begin_event(x, "B", tid, ns);
	put_category(x, "wake");
	put_key_name(x, "name");
	r = argument_stack(x, &is_first, is_from ? e->stack : e->to_stack);
	if (e->certainty != STORY_EXACT) {
		name_clear(&x->name);
		name_format(&x->name, "%s", story_certainty_name(e->certainty));
		argument_name(x, &is_first, "certainty");
	}
	end_arguments(x, is_first);
	end_event(x);
	begin_event(x, is_from ? "s" : "f", tid, ns);
	put_category(x, "wake");
	out_text(x->out, is_from ? ",\"name\":\"wake\"" : ",\"name\":\"wake\",\"bp\":\"e\"");
	put_id(x, flow);
	end_event(x);
	begin_event(x, "E", tid, ns);
	return r != 0 ? r : end_event(x);
}

static int put_item_arguments(struct export *x, const struct lane_item *item)
{
	const struct story_call *c = &item->call;
	const struct story_wait *w = &item->wait;
	uint32_t stack = item->region.stack;
	bool is_first = true;
	int r;

	if (item->kind == LANE_WAIT) {
		stack = w->stack;
		argument_object(x, &is_first, "object", w->object);
		if (w->type == TRACE_LOCK_WAIT_EVENT)
			argument_thread(x, &is_first, "holder", w->other);
		argument_object(x, &is_first, "held", w->lock);
		if (w->error != 0)
			argument_error(x, &is_first, w->error);
	} else if (item->kind == LANE_CALL) {
		stack = c->stack;
		if (!c->is_open)
			argument_number(x, &is_first, "result", c->result);
		if (c->result < 0 && c->result > -4096)
			argument_error(x, &is_first, (uint64_t)-c->result);
		name_clear(&x->name);
		if (c->file != 0)
			name_file(&x->name, x->tables, c->file);
		argument_name(x, &is_first, "file");
		export_string(x, c->path);
		argument_name(x, &is_first, "path");
		argument_object(x, &is_first, "held", c->lock);
	}
	if (item->has_edge)
		argument_thread(x, &is_first, "woken by", item->edge.from);
	r = argument_stack(x, &is_first, stack);
	end_arguments(x, is_first);
	return r;
}

/* Flows that end at slices are even, others odd. */
static uint64_t flow_of(const struct lane_item *item)
{
	return 2 * (item->number + 1);
}

static int on_open(void *context, uint32_t thread, const struct lane_item *item, uint64_t ns)
{
	struct export *x = context;
	uint64_t tid = tid_of(x, thread);
	int r = 0;

	if (item->has_edge)
		r = put_wake(x, item->edge.from, item->edge.from_ns, &item->edge, flow_of(item),
			     true);
	if (r != 0)
		return r;
	begin_event(x, "B", tid, ns);
	put_category(x, export_item_category(item));
	export_item_name(x, item);
	put_key_name(x, "name");
	r = put_item_arguments(x, item);
	return r != 0 ? r : end_event(x);
}

static int on_close(void *context, uint32_t thread, const struct lane_item *item, uint64_t ns,
		    bool has_end)
{
	struct export *x = context;
	uint64_t tid = tid_of(x, thread);

	if (item->has_edge) {
		begin_event(x, "f", tid, ns);
		put_category(x, "wake");
		out_text(x->out, ",\"name\":\"wake\",\"bp\":\"e\"");
		put_id(x, flow_of(item));
		end_event(x);
	}
	begin_event(x, "E", tid, ns);
	if (!has_end)
		out_text(x->out, ",\"args\":{\"open\":true}");
	return end_event(x);
}

static int on_edge(void *context, const struct story_edge *e)
{
	struct export *x = context;
	struct chrome *f = x->own;
	uint64_t flow = 2 * f->flows++ + 1;
	int r = put_wake(x, e->from, e->from_ns, e, flow, true);

	return r != 0 ? r : put_wake(x, e->to, e->to_ns, e, flow, false);
}

static int on_hold(struct export *x, const struct story_hold *h, uint32_t reader)
{
	uint64_t id = (uint64_t)h->object * EXPORT_READERS_MAX + reader;
	bool is_first = true;

	for (unsigned i = 0; i < 2; i++) {
		begin_event(x, i == 0 ? "b" : "e", tid_of(x, h->thread),
			    i == 0 ? h->begin_ns : h->end_ns);
		put_category(x, "held");
		put_id(x, id);
		name_clear(&x->name);
		name_object(&x->name, x->tables, h->object);
		put_key_name(x, "name");
		if (i == 0) {
			argument_thread(x, &is_first, "holder", h->thread);
			if (h->waiters > 0)
				argument_number(x, &is_first, "waiters", h->waiters);
			end_arguments(x, is_first);
		}
		end_event(x);
	}
	return x->out->error;
}

/* ---- events ---- */

static int put_task(struct export *x, const struct merged *m, bool is_begin)
{
	const uint64_t *a = m->event->arguments;
	uint32_t type = is_begin ? (uint32_t)a[2] : 0, number;

	if (is_begin ? !export_task_begin(x, a[0], type, &number)
		     : !export_task_end(x, a[0], &type, &number))
		return 0;
	begin_event(x, is_begin ? "b" : "e", tid_of(x, m->thread), m->event->ns);
	put_category(x, "task");
	put_id(x, a[0]);
	export_string(x, type);
	if (x->name.n == 0)
		name_format(&x->name, "task");
	put_key_name(x, "name");
	return end_event(x);
}

/* What is in x->name, on the event's thread. */
static int put_instant(struct export *x, const struct merged *m, const char *category,
		       uint32_t note)
{
	bool is_first = true, is_thread = m->thread != 0 && m->thread != TRACE_ALL;

	begin_event(x, "i", is_thread ? tid_of(x, m->thread) : 0, m->event->ns);
	put_category(x, category);
	out_text(x->out, is_thread ? ",\"s\":\"t\"" : ",\"s\":\"p\"");
	put_key_name(x, "name");
	if (note != 0) {
		export_string(x, note);
		argument_name(x, &is_first, "category");
	}
	end_arguments(x, is_first);
	return end_event(x);
}

static int put_counters(struct export *x, const struct merged *m)
{
	static const char *const names[] = {"live_bytes",  "live_objects", "allocated_bytes",
					    "freed_bytes", "mapped_bytes", "rss_bytes"};
	const uint64_t *a = m->event->arguments;
	bool is_first = true;

	begin_event(x, "C", 0, m->event->ns);
	if (m->event->type == TRACE_COUNTER_EVENT) {
		export_string(x, a[0]);
		put_key_name(x, "name");
		argument_number(x, &is_first, "value", varint_signed(a[1]));
	} else {
		out_text(x->out, ",\"name\":\"heap\"");
		for (unsigned i = 0; i < 6; i++)
			if (a[i] != 0 || i == 0)
				argument_number(x, &is_first, names[i], (int64_t)a[i]);
	}
	end_arguments(x, is_first);
	return end_event(x);
}

static int on_event(struct export *x, const struct merged *m)
{
	const char *category;
	uint32_t note;

	if (m->event->ns > x->to_ns ||
	    (m->event->ns < x->from_ns && m->event->type != TRACE_TASK_BEGIN_EVENT &&
	     m->event->type != TRACE_TASK_END_EVENT))
		return 0;
	switch ((enum trace_event_type)m->event->type) {
	case TRACE_TASK_BEGIN_EVENT:
	case TRACE_TASK_END_EVENT:
		return put_task(x, m, m->event->type == TRACE_TASK_BEGIN_EVENT);
	case TRACE_LOST_EVENT:
		name_clear(&x->name);
		name_format(&x->name, "%" PRIu64 " events lost", m->event->arguments[0]);
		return put_instant(x, m, "lost", 0);
	case TRACE_HEAP_SAMPLE_EVENT:
	case TRACE_COUNTER_EVENT:
		return put_counters(x, m);
	default:
		return export_instant(x, m, &category, &note) ? put_instant(x, m, category, note)
							      : 0;
	}
}

/* ---- the file ---- */

static int begin(struct export *x)
{
	x->own = calloc(1, sizeof(struct chrome));
	if (x->own == NULL)
		return -ENOMEM;
	out_text(x->out, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[");
	begin_event(x, "M", 0, x->begun_ns);
	out_text(x->out, ",\"name\":\"process_name\",\"args\":{\"name\":");
	export_program(x, &x->name);
	put_name(x);
	out_char(x->out, '}');
	end_event(x);
	for (uint32_t i = 0; i < x->tables->threads_n; i++)
		if (select_has_thread(x->threads, x->tables->threads[i].index))
			tid_of(x, x->tables->threads[i].index);
	return x->out->error;
}

static int end(struct export *x, const struct story_counts *counts)
{
	const struct trace_file_header *h = &x->reader->header;
	struct chrome *f = x->own;
	struct out *o = x->out;

	out_text(o, "\n],\"otherData\":{\"clock\":\"CLOCK_MONOTONIC\",\"begun_monotonic_ns\":\"");
	out_u64(o, h->begun_monotonic_ns);
	out_text(o, "\",\"begun_realtime_ns\":\"");
	out_u64(o, h->begun_realtime_ns);
	out_text(o, "\",\"trace\":\"");
	for (unsigned i = 0; i < 16; i++)
		out_format(o, "%02x", h->uuid[i]);
	out_text(o, "\",\"lost_events\":");
	out_u64(o, counts->lost_events);
	out_text(o, "}}\n");
	x->written = f->n;
	return o->error;
}

static void fini(struct export *x)
{
	struct chrome *f = x->own;

	if (f == NULL)
		return;
	map_fini(&f->described);
	free(f);
	x->own = NULL;
}

const struct export_format export_chrome_json = {
	.name = "chrome-json",
	.about = "the trace events of Chrome: chrome://tracing, ui.perfetto.dev",
	.left = "states, switches and samples",
	.has_lanes = true,
	.has_holds = true,
	.begin = begin,
	.end = end,
	.fini = fini,
	.event = on_event,
	.hold = on_hold,
	.lanes = {.open = on_open, .close = on_close, .edge = on_edge},
};
