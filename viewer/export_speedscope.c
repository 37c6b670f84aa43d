/*
 * The form of speedscope: an evented profile for each thread. What a thread does at a moment is a stack:
 *
 *     state | its regions | the wait or call | its stack, root first
 *
 * and from one moment to the next those frames are closed and opened that differ, so everything nests. A profile is one list,
 * and all threads go on at once: what is opened and closed is spooled by thread, and written at the end. So are the samples of
 * where it was on a processor, a profile of their own.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/export.h"
#include "viewer/spool.h"
#include "viewer/texts.h"
#include "viewer/varint.h"

#define DEPTH_MAX   (FRAMES_DEPTH_MAX + 128)
#define CHANGES_MAX 65536 /* of regions, within an interval */
#define REGIONS_MAX 64

enum frame_kind { FRAME_STATE = 1, FRAME_REGION, FRAME_CALL, FRAME_WAIT, FRAME_JOIN, FRAME_CODE };

/* What frame n of the file is. */
struct shown {
	uint64_t id;
	uint8_t kind;
};

/* A region begins, or (name UINT32_MAX) the innermost ends. */
struct change {
	uint64_t ns;
	uint32_t name;
};

struct scope_thread {
	uint32_t thread;
	struct spool_list list, samples;
	uint64_t samples_ns; /* they stand for */
	uint32_t *open;      /* frames of the file */
	uint32_t open_n, open_room;
	uint64_t begin_ns, end_ns; /* of its intervals so far */
	uint64_t noted_ns;         /* of what was spooled last */
	bool has_begun;

	struct change *changes;
	uint32_t changes_n, changes_room;
	uint32_t regions[REGIONS_MAX], regions_n;
	uint32_t depth, told,
		dropped; /* of regions, with all changes; that a status told of; open and left out */
};

struct scope {
	struct spool spool;
	/* functions: their names, a zero byte, their files; a function is one, at whichever of its lines */
	struct texts functions;
	int64_t *lines; /* where they begin; 0: not known */
	uint32_t lines_room;
	struct map function_of; /* by frame and line of it */
	struct scope_thread *threads;
	struct map thread_of;
	uint32_t threads_n, threads_room;
	struct shown *shown;
	struct map shown_of;
	uint32_t shown_n, shown_room;
	uint32_t stack[DEPTH_MAX], stack_n;
	uint8_t chunk[SPOOL_CHUNK + VARINT_BYTES_MAX];
};

static struct scope_thread *thread_of(struct export *x, uint32_t thread)
{
	struct scope *f = x->own;
	bool is_new;
	struct scope_thread *t = rows_at(&f->thread_of, thread, &f->threads, &f->threads_n,
					 &f->threads_room, sizeof(*t), &is_new);

	if (t != NULL)
		t->thread = thread;
	return t;
}

/* ---- frames ---- */

/* Puts a frame on the stack that is being made. 0 or -ENOMEM. */
static int push(struct scope *f, enum frame_kind kind, uint64_t id)
{
	uint64_t key = (uint64_t)kind << 60 | id;
	struct shown *shown;
	bool is_new;

	if (f->stack_n == DEPTH_MAX)
		return 0;
	shown = rows_at(&f->shown_of, key, &f->shown, &f->shown_n, &f->shown_room, sizeof(*shown),
			&is_new);
	if (shown == NULL)
		return -ENOMEM;
	if (is_new)
		*shown = (struct shown){id, (uint8_t)kind};
	f->stack[f->stack_n++] = (uint32_t)(shown - f->shown);
	return 0;
}

static int push_function(struct export *x, const struct frame *frame, uint32_t line)
{
	struct scope *f = x->own;
	uint64_t key = (uint64_t)frame->number << 8 | line;
	const struct frame_line *l = line < frame->n ? &frame->lines[line] : NULL;
	uint32_t at = map_get(&f->function_of, key), known = f->functions.n, room;
	int64_t *bigger;

	if (at != MAP_NONE)
		return push(f, FRAME_CODE, at);
	name_clear(&x->name);
	frames_function(&x->name, x->tables, frame, line);
	name_add(&x->name, "", 1);
	if (l != NULL)
		name_add(&x->name, l->file, strlen(l->file));
	at = texts_add(&f->functions, x->name.text, x->name.n);
	if (at == TEXTS_NONE || map_set(&f->function_of, key, at) < 0)
		return -ENOMEM;
	if (at >= f->lines_room) {
		room = at * 2 + 64;
		bigger = realloc(f->lines, room * sizeof(*bigger));
		if (bigger == NULL)
			return -ENOMEM;
		f->lines = bigger;
		f->lines_room = room;
	}
	if (at == known)
		f->lines[at] = l != NULL ? l->start_line : 0;
	return push(f, FRAME_CODE, at);
}

/* The functions of a stack, onto f->stack. */
static int push_stack(struct export *x, uint32_t stack)
{
	const uint64_t *words;
	uint32_t n = frames_stack(x->frames, stack, &words);
	int r = 0;

	for (; n > 0 && r == 0; n--) {
		const struct frame *frame = frames_get(x->frames, words[n - 1]);

		if (frame == NULL)
			return -ENOMEM;
		for (uint32_t line = frame->n > 0 ? frame->n : 1; line > 0 && r == 0; line--)
			r = push_function(x, frame, line - 1);
	}
	return r;
}

/* What the thread does in the interval, into f->stack. */
static int make_stack(struct export *x, const struct scope_thread *t, const struct interval *i)
{
	struct scope *f = x->own;
	int r;

	f->stack_n = 0;
	r = push(f, FRAME_STATE, i->state);
	for (uint32_t k = 0; k < t->regions_n && r == 0; k++)
		r = push(f, FRAME_REGION, t->regions[k]);
	if (i->wait == TRACE_JOIN_BEGIN_EVENT && r == 0)
		r = push(f, FRAME_JOIN, i->other);
	else if (i->wait != 0 && r == 0)
		r = push(f, FRAME_WAIT, (uint64_t)i->wait << 32 | i->object);
	else if (i->call != 0 && r == 0)
		r = push(f, FRAME_CALL, i->call - 1);
	return r == 0 ? push_stack(x, i->stack) : r;
}

/* ---- opened and closed ---- */

static int note(struct export *x, struct scope_thread *t, uint32_t frame, bool is_close,
		uint64_t ns)
{
	struct scope *f = x->own;
	uint8_t bytes[2 * VARINT_BYTES_MAX], *at = bytes;

	at = varint_put(at, (uint64_t)frame << 1 | is_close);
	at = varint_put(at, ns - t->noted_ns);
	t->noted_ns = ns;
	return spool_put(&f->spool, &t->list, bytes, (size_t)(at - bytes), &x->why);
}

/* From what is open to f->stack, at @ns; without @goes_on there is a gap before it. */
static int change_to(struct export *x, struct scope_thread *t, uint64_t ns, bool goes_on)
{
	struct scope *f = x->own;
	uint32_t same = 0, room, *bigger;
	int r = 0;

	while (goes_on && same < t->open_n && same < f->stack_n && t->open[same] == f->stack[same])
		same++;
	while (t->open_n > same && r == 0)
		r = note(x, t, t->open[--t->open_n], true, goes_on ? ns : t->end_ns);
	if (f->stack_n > t->open_room) {
		room = f->stack_n + 16;
		bigger = realloc(t->open, room * sizeof(*bigger));
		if (bigger == NULL)
			return -ENOMEM;
		t->open = bigger;
		t->open_room = room;
	}
	for (; t->open_n < f->stack_n && r == 0; t->open_n++) {
		t->open[t->open_n] = f->stack[t->open_n];
		r = note(x, t, f->stack[t->open_n], false, ns);
	}
	return r;
}

static void apply(struct scope_thread *t, const struct change *c)
{
	if (c->name == UINT32_MAX)
		t->regions_n -= t->regions_n > 0;
	else if (t->regions_n < REGIONS_MAX)
		t->regions[t->regions_n++] = c->name;
}

static int interval(struct export *x, const struct interval *i)
{
	struct scope_thread *t = thread_of(x, i->thread);
	uint64_t ns = i->begin_ns;
	uint32_t done = 0;
	bool goes_on;
	int r;

	if (t == NULL)
		return -ENOMEM;
	if (!t->has_begun) {
		t->has_begun = true;
		t->begin_ns = t->end_ns = t->noted_ns = ns;
	}
	goes_on = ns == t->end_ns;
	for (;;) {
		while (done < t->changes_n && t->changes[done].ns <= ns)
			apply(t, &t->changes[done++]);
		r = make_stack(x, t, i);
		if (r == 0)
			r = change_to(x, t, ns, goes_on);
		if (r != 0 || done == t->changes_n || t->changes[done].ns >= i->end_ns)
			break;
		ns = t->changes[done].ns;
		goes_on = true;
	}
	t->changes_n -= done;
	if (t->changes_n > 0)
		memmove(t->changes, t->changes + done, t->changes_n * sizeof(*t->changes));
	t->end_ns = i->end_ns;
	return r;
}

static int add_change(struct scope_thread *t, uint64_t ns, uint32_t name)
{
	if (rows_grow(&t->changes, t->changes_n, &t->changes_room, sizeof(*t->changes)) < 0)
		return -ENOMEM;
	t->changes[t->changes_n++] = (struct change){ns, name};
	return 0;
}

static int begin_region(struct export *x, struct scope_thread *t, uint64_t ns, uint32_t name)
{
	if (t->dropped > 0 || t->depth == REGIONS_MAX || t->changes_n >= CHANGES_MAX) {
		t->dropped++;
		x->left_regions++;
		return 0;
	}
	t->depth++;
	return add_change(t, ns, name);
}

static int add_sample(struct export *x, const struct merged *m)
{
	struct scope *f = x->own;
	const uint64_t *a = m->event->arguments;
	uint32_t thread = a[3] != 0 ? (uint32_t)a[3] : m->thread;
	uint8_t bytes[2 * VARINT_BYTES_MAX], *at = bytes;
	struct scope_thread *t;

	if (m->event->ns < x->from_ns || m->event->ns > x->to_ns ||
	    !select_has_thread(x->threads, thread))
		return 0;
	t = thread_of(x, thread);
	if (t == NULL)
		return -ENOMEM;
	at = varint_put(at, a[0]);
	at = varint_put(at, a[1]);
	t->samples_ns += a[1];
	return spool_put(&f->spool, &t->samples, bytes, (size_t)(at - bytes), &x->why);
}

static int event(struct export *x, const struct merged *m)
{
	const uint64_t *a = m->event->arguments;
	struct scope_thread *t;

	switch ((enum trace_event_type)m->event->type) {
	case TRACE_CPU_SAMPLE_EVENT:
		return add_sample(x, m);
	case TRACE_REGION_BEGIN_EVENT:
	case TRACE_REGION_END_EVENT:
	case TRACE_THREAD_STATUS_EVENT:
	case TRACE_STATUS_REGION_EVENT:
		t = thread_of(x, m->thread);
		if (t == NULL)
			return -ENOMEM;
		break;
	default:
		return 0;
	}
	if (m->event->type == TRACE_REGION_BEGIN_EVENT)
		return begin_region(x, t, m->event->ns, (uint32_t)a[0]);
	if (m->event->type == TRACE_THREAD_STATUS_EVENT) {
		t->told = 0;
	} else if (m->event->type == TRACE_STATUS_REGION_EVENT) {
		if (++t->told > t->depth + t->dropped)
			return begin_region(x, t, m->event->ns, (uint32_t)a[0]);
	} else if (t->dropped > 0) {
		t->dropped--;
	} else if (t->depth > 0) {
		t->depth--;
		return add_change(t, m->event->ns, UINT32_MAX);
	}
	return 0;
}

/* ---- the file ---- */

static int begin(struct export *x)
{
	struct scope *f = calloc(1, sizeof(*f));

	x->own = f;
	if (f == NULL)
		return -ENOMEM;
	f->spool.fd = -1;
	/* in their order, whoever is first to do something */
	for (uint32_t i = 0; i < x->tables->threads_n; i++)
		if (select_has_thread(x->threads, x->tables->threads[i].index) &&
		    thread_of(x, x->tables->threads[i].index) == NULL)
			return -ENOMEM;
	out_text(x->out, "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\n"
			 "\"exporter\":\"cprof-trace " CPROF_VERSION "\",\n\"name\":");
	export_program(x, &x->name);
	name_out(&x->name, x->out, NAMES_JSON);
	out_text(x->out, ",\n\"profiles\":[");
	return x->out->error;
}

static void put_event(struct export *x, uint64_t word, uint64_t ns, bool is_first)
{
	out_text(x->out, is_first ? "\n{\"type\":\"" : ",\n{\"type\":\"");
	out_char(x->out, word & 1 ? 'C' : 'O');
	out_text(x->out, "\",\"frame\":");
	out_u64(x->out, word >> 1);
	out_text(x->out, ",\"at\":");
	out_u64(x->out, ns);
	out_char(x->out, '}');
}

static int put_thread(struct export *x, struct scope_thread *t, bool is_first)
{
	struct scope *f = x->own;
	uint64_t chunk_at = 0, ns = t->begin_ns, word, delta;
	const uint8_t *at, *end;
	bool is_first_event = true;
	int n;

	f->stack_n = 0;
	n = change_to(x, t, t->end_ns, true);
	if (n == 0)
		n = spool_seal(&f->spool, &t->list, &x->why);
	if (n < 0)
		return n;
	out_text(x->out, is_first ? "\n{\"type\":\"evented\",\"name\":"
				  : ",\n{\"type\":\"evented\",\"name\":");
	export_thread_name(x, t->thread);
	name_format(&x->name, " (%" PRIu64 ")", export_tid(x, t->thread));
	name_out(&x->name, x->out, NAMES_JSON);
	out_text(x->out, ",\"unit\":\"nanoseconds\",\"startValue\":");
	out_u64(x->out, export_since(x, t->begin_ns));
	out_text(x->out, ",\"endValue\":");
	out_u64(x->out, export_since(x, t->end_ns));
	out_text(x->out, ",\"events\":[");
	while ((n = spool_next(&f->spool, &t->list, &chunk_at, f->chunk, &at, &x->why)) > 0) {
		for (end = at + n; at < end && at != NULL;) {
			at = varint_get(at, &word);
			if (at != NULL)
				at = varint_get(at, &delta);
			if (at == NULL)
				return -EIO;
			ns += delta;
			put_event(x, word, export_since(x, ns), is_first_event);
			is_first_event = false;
		}
	}
	out_text(x->out, "]}");
	return n < 0 ? n : x->out->error;
}

static int put_sample(struct export *x, uint32_t stack, bool is_first)
{
	struct scope *f = x->own;
	int r;

	f->stack_n = 0;
	r = push_stack(x, stack);
	out_text(x->out, is_first ? "\n[" : ",\n[");
	for (uint32_t i = 0; i < f->stack_n; i++) {
		if (i > 0)
			out_char(x->out, ',');
		out_u64(x->out, f->stack[i]);
	}
	out_char(x->out, ']');
	return r;
}

/* The stacks of all samples of a thread, or what each stands for. */
static int put_samples(struct export *x, const struct scope_thread *t, bool is_weights)
{
	struct scope *f = x->own;
	uint64_t chunk_at = 0, stack, weight;
	const uint8_t *at, *end;
	bool is_first = true;
	int n, r = 0;

	while ((n = spool_next(&f->spool, &t->samples, &chunk_at, f->chunk, &at, &x->why)) > 0) {
		for (end = at + n; at < end && r == 0; is_first = false) {
			at = varint_get(at, &stack);
			if (at != NULL)
				at = varint_get(at, &weight);
			if (at == NULL)
				return -EIO;
			if (!is_weights) {
				r = put_sample(x, (uint32_t)stack, is_first);
				continue;
			}
			if (!is_first)
				out_char(x->out, ',');
			out_u64(x->out, weight);
		}
		if (r != 0)
			return r;
	}
	return n < 0 ? n : x->out->error;
}

/* Where it was on a processor. */
static int put_sampled(struct export *x, struct scope_thread *t)
{
	struct scope *f = x->own;
	int r = spool_seal(&f->spool, &t->samples, &x->why);

	if (r < 0)
		return r;
	out_text(x->out, ",\n{\"type\":\"sampled\",\"name\":");
	export_thread_name(x, t->thread);
	name_format(&x->name, " (%" PRIu64 ") cpu", export_tid(x, t->thread));
	name_out(&x->name, x->out, NAMES_JSON);
	out_text(x->out, ",\"unit\":\"nanoseconds\",\"startValue\":0,\"endValue\":");
	out_u64(x->out, t->samples_ns);
	out_text(x->out, ",\"samples\":[");
	r = put_samples(x, t, false);
	out_text(x->out, "],\n\"weights\":[");
	if (r == 0)
		r = put_samples(x, t, true);
	out_text(x->out, "]}");
	return r != 0 ? r : x->out->error;
}

static int put_frame(struct export *x, const struct shown *shown, bool is_first)
{
	struct scope *f = x->own;
	const char *file = NULL, *text;
	size_t n, name_n, file_n = 0;

	name_clear(&x->name);
	switch ((enum frame_kind)shown->kind) {
	case FRAME_STATE:
		name_format(&x->name, "%s", story_state_name((unsigned)shown->id));
		break;
	case FRAME_REGION:
		export_string(x, shown->id);
		break;
	case FRAME_CALL:
		export_call_name(x, (uint32_t)shown->id);
		break;
	case FRAME_WAIT:
		export_wait_name(x, (uint8_t)(shown->id >> 32), (uint32_t)shown->id, 0);
		break;
	case FRAME_JOIN:
		export_wait_name(x, TRACE_JOIN_BEGIN_EVENT, 0, (uint32_t)shown->id);
		break;
	case FRAME_CODE:
		text = texts_get(&f->functions, (uint32_t)shown->id, &n);
		name_n = strnlen(text, n);
		name_add(&x->name, text, name_n);
		if (n > name_n) {
			file = text + name_n + 1;
			file_n = n - name_n - 1;
		}
		break;
	}
	out_text(x->out, is_first ? "\n{\"name\":" : ",\n{\"name\":");
	name_out(&x->name, x->out, NAMES_JSON);
	if (file_n > 0) {
		out_text(x->out, ",\"file\":");
		out_json(x->out, file, file_n);
		if (f->lines[shown->id] > 0) {
			out_text(x->out, ",\"line\":");
			out_s64(x->out, f->lines[shown->id]);
		}
	}
	out_char(x->out, '}');
	return x->out->error;
}

static int end(struct export *x, const struct story_counts *counts)
{
	struct scope *f = x->own;
	bool is_first = true;
	int r = 0;

	(void)counts;
	for (uint32_t i = 0; i < f->threads_n && r == 0; i++) {
		if (!f->threads[i].has_begun)
			continue;
		r = put_thread(x, &f->threads[i], is_first);
		is_first = false;
		if (r == 0 && f->threads[i].samples.buffer != NULL)
			r = put_sampled(x, &f->threads[i]);
	}
	if (r != 0)
		return r;
	out_text(x->out, "\n],\n\"shared\":{\"frames\":[");
	for (uint32_t i = 0; i < f->shown_n && r == 0; i++)
		r = put_frame(x, &f->shown[i], i == 0);
	out_text(x->out, "\n]}}\n");
	return r != 0 ? r : x->out->error;
}

static void fini(struct export *x)
{
	struct scope *f = x->own;

	if (f == NULL)
		return;
	for (uint32_t i = 0; i < f->threads_n; i++) {
		spool_list_fini(&f->threads[i].list);
		spool_list_fini(&f->threads[i].samples);
		free(f->threads[i].open);
		free(f->threads[i].changes);
	}
	spool_fini(&f->spool);
	map_fini(&f->thread_of);
	map_fini(&f->shown_of);
	map_fini(&f->function_of);
	texts_fini(&f->functions);
	free(f->lines);
	free(f->threads);
	free(f->shown);
	free(f);
	x->own = NULL;
}

const struct export_format export_speedscope = {
	.name = "speedscope",
	.about = "speedscope.app: a profile for each thread, states outermost, and one of its "
		 "samples",
	.left = "wakes, holds, tasks, logs and counters",
	.begin = begin,
	.end = end,
	.fini = fini,
	.event = event,
	.interval = interval,
};
