#include "viewer/look.h"

#include <errno.h>
#include <string.h>

#include "viewer/frames.h"
#include "viewer/moment.h"
#include "viewer/sentence.h"

#define FOUND     1
#define CHAIN_MAX 16
#define STEP      4096 /* intervals, after which it is looked whether somebody still waits */
/* a wake-up's end is written a little behind what it ends */
#define SLACK_NS UINT64_C(1000000)
#define RAN_NS   UINT64_C(100000000) /* and that much, when its thread wanted a processor */

static int tell(const struct look *l, uint64_t from_ns, uint64_t to_ns,
		const struct story_listener *listener, struct why *why)
{
	struct story_counts counts;

	return story_tell(l->reader, l->streams, l->tables, from_ns, to_ns, listener, &counts,
			  l->watch, why);
}

static bool is_wanted(const struct look *l, uint32_t thread)
{
	return l->threads == NULL || select_has_thread(l->threads, thread);
}

/* ---- intervals ---- */

struct beside {
	uint64_t ns;
	struct interval *ret;
};

static int on_next(void *context, const struct interval *i)
{
	struct beside *b = context;

	if (i->begin_ns <= b->ns)
		return 0;
	*b->ret = *i;
	return FOUND;
}

static int on_before(void *context, const struct interval *i)
{
	struct beside *b = context;

	if (i->end_ns > b->ns)
		return 0;
	*b->ret = *i;
	return FOUND;
}

static int damaged(const struct look *l, int r, struct why *why)
{
	if (r == -EBADMSG)
		why_set(why, "the index of %s is damaged", l->reader->name);
	return r;
}

int look_next(const struct look *l, uint32_t thread, uint64_t ns, struct interval *ret,
	      struct why *why)
{
	uint32_t track = l->index != NULL ? index_track_of(l->index, thread) : MAP_NONE;
	struct beside b = {ns, ret};

	if (track == MAP_NONE)
		return 0;
	return damaged(l, index_each(l->index, track, ns, UINT64_MAX, false, on_next, &b), why);
}

int look_before(const struct look *l, uint32_t thread, uint64_t ns, struct interval *ret,
		struct why *why)
{
	uint32_t track = l->index != NULL ? index_track_of(l->index, thread) : MAP_NONE;
	struct beside b = {ns, ret};

	if (track == MAP_NONE)
		return 0;
	return damaged(l, index_each(l->index, track, 0, ns, true, on_before, &b), why);
}

/* ---- wake edges ---- */

struct around {
	const struct look *look;
	const struct interval *of;
	bool wants_cause, wants_effect;
	uint64_t events; /* behind it */
	struct look_around *ret;
};

static int on_edge(void *context, const struct story_edge *e)
{
	struct around *a = context;
	const struct interval *i = a->of;
	struct look_around *ret = a->ret;

	/* the last one that could have; when it ran is another matter, it may have wanted a processor for long */
	if (a->wants_cause && e->to == i->thread && e->to_ns > i->begin_ns &&
	    e->begun_ns < i->end_ns && e->from_ns <= i->end_ns &&
	    (!ret->has_cause || e->from_ns >= ret->cause.from_ns)) {
		ret->cause = *e;
		ret->has_cause = true;
	}
	if (a->wants_effect && !ret->has_effect && e->from == i->thread &&
	    e->from_ns >= i->begin_ns && e->to != e->from) {
		ret->effect = *e;
		ret->has_effect = true;
	}
	return 0;
}

static int on_event(void *context, const struct merged *m)
{
	struct around *a = context;
	const struct look_around *ret = a->ret;
	uint64_t ns = m->event->ns, end = a->of->end_ns;

	if (a->wants_cause && ns <= end + (ret->has_cause ? SLACK_NS : RAN_NS))
		return 0;
	if (!a->wants_effect || ret->has_effect)
		return FOUND;
	if (ns <= end)
		return 0;
	a->events++;
	return a->look->events_max > 0 && a->events > a->look->events_max ? FOUND : 0;
}

int look_around(const struct look *l, const struct interval *i, bool wants_cause, bool wants_effect,
		struct look_around *ret, struct why *why)
{
	struct around a = {.look = l,
			   .of = i,
			   .wants_cause = wants_cause,
			   .wants_effect = wants_effect,
			   .ret = ret};
	const struct story_listener listener = {
		.context = &a, .may_seek = true, .event = on_event, .edge = on_edge};
	/* who waits makes nobody go on, and what was long before the end of it has not ended it */
	bool is_off = i->state != TRACE_RUNNING && i->state != TRACE_UNKNOWN &&
		      i->end_ns - i->begin_ns > LOOK_NEAR_NS;
	int r;

	*ret = (struct look_around){0};
	r = tell(l, is_off ? i->end_ns - LOOK_NEAR_NS : i->begin_ns, UINT64_MAX, &listener, why);
	return r < 0 ? r : 0;
}

/* ---- holders ---- */

/* What somebody at the end of a chain does. */
static void add_end(struct name *ret, const struct tables *t, const struct interval *i)
{
	struct interval now = *i;
	struct name words;

	/* its sentence without its name and its time */
	static const char *const does[TRACE_STATES] = {
		[TRACE_UNKNOWN] = "does what is not known",
		[TRACE_RUNNING] = "runs",
		[TRACE_RUNNABLE] = "is ready to run",
		[TRACE_LOCK] = "waits",
		[TRACE_WAIT] = "waits",
		[TRACE_SYSCALL] = "is",
		[TRACE_IDLE] = "is idle",
		[TRACE_SPIN] = "spins",
	};
	now.certainty = STORY_EXACT;
	now.other = 0;
	name_clear(&words);
	sentence_what(&words, t, &now);
	name_format(ret, " %s", does[now.state < TRACE_STATES ? now.state : TRACE_UNKNOWN]);
	name_add(ret, words.text, words.n);
}

static void add_chain(const struct look *l, const struct moment *m, uint32_t thread,
		      struct name *ret)
{
	uint32_t first = thread;

	name_one_thread(ret, l->tables, thread);
	for (unsigned depth = 0; depth < CHAIN_MAX; depth++) {
		struct moment_step s = moment_step(m, thread);
		bool is_lock = s.thread != NULL && s.thread->has_wait &&
			       s.thread->wait.type == TRACE_LOCK_WAIT_EVENT &&
			       (s.why == MOMENT_HELD || s.why == MOMENT_HANDOVER ||
				s.why == MOMENT_NOBODY);

		if (s.thread == NULL || !s.thread->has_now) {
			name_format(ret, depth > 0 ? ", which does not live then"
						   : " does not live then");
			return;
		}
		if (depth > 0)
			name_format(ret, ", which");
		if (!is_lock) {
			add_end(ret, l->tables, &s.thread->now);
			return;
		}
		name_format(ret, " waits for ");
		sentence_object(ret, l->tables, s.thread->wait.object);
		if (s.next == 0) {
			name_format(ret, s.why == MOMENT_HANDOVER
						 ? ", which is on its way to it"
						 : ", which nobody is known to hold");
			return;
		}
		name_format(ret, ", held by ");
		name_one_thread(ret, l->tables, s.next);
		thread = s.next;
		if (thread == first) {
			name_format(ret, ": a circle");
			return;
		}
	}
	name_format(ret, ", and so on");
}

int look_chain(const struct look *l, uint32_t thread, uint64_t ns, uint64_t until_ns,
	       struct name *ret, struct why *why)
{
	struct moment m = {.at_ns = ns};
	struct story_listener listener = moment_listener(&m);
	int r;

	listener.may_seek = true;
	listener.may_end = true;
	r = tell(l, ns, until_ns > ns ? until_ns : ns + 1, &listener, why);
	if (r == 0)
		add_chain(l, &m, thread, ret);
	if (r == -ENOMEM)
		why_set(why, "out of memory");
	moment_fini(&m);
	return r < 0 ? r : 1;
}

/* ---- names ---- */

static char small(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool look_has(const char *name, size_t n, const char *text)
{
	size_t text_n = strlen(text);

	for (size_t i = 0; i + text_n <= n && text_n > 0; i++) {
		size_t k = 0;

		while (k < text_n && small(name[i + k]) == small(text[k]))
			k++;
		if (k == text_n)
			return true;
	}
	return false;
}

struct wanted {
	const struct look *look;
	const char *text;
	uint64_t ns;
	bool is_backwards, is_found;
	uint64_t seen, all;
	struct map matches; /* by a string's id */
	struct frames *frames;
	struct interval interval;
};

/* @key: what is asked for again and again. */
static bool has_text(struct wanted *w, uint64_t key,
		     void (*call)(struct name *name, const struct tables *t, uint64_t id),
		     uint64_t id)
{
	uint32_t known = map_get(&w->matches, key);
	struct name name;

	if (known == MAP_NONE) {
		name_clear(&name);
		call(&name, w->look->tables, id);
		known = look_has(name.text, name.n, w->text);
		map_set(&w->matches, key, known);
	}
	return known != 0;
}

/* Is a function of that name on the stack? */
static bool has_function(struct wanted *w, uint32_t stack)
{
	uint64_t key = (uint64_t)1 << 62 | stack;
	uint32_t known = map_get(&w->matches, key), n;
	const uint64_t *words;
	struct name name;

	if (known != MAP_NONE || w->frames == NULL)
		return known == 1;
	n = frames_stack(w->frames, stack, &words);
	known = 0;
	for (uint32_t i = 0; i < n && known == 0; i++) {
		const struct frame *frame = frames_get(w->frames, words[i]);

		for (uint32_t k = 0; frame != NULL && k < frame->n && known == 0; k++) {
			name_clear(&name);
			frames_function(&name, w->look->tables, frame, k);
			known = look_has(name.text, name.n, w->text);
		}
	}
	map_set(&w->matches, key, known);
	return known == 1;
}

static bool is_named(struct wanted *w, const struct interval *i)
{
	const struct table_file *file = i->file != 0 ? tables_file(w->look->tables, i->file) : NULL;

	if (i->object != 0 && has_text(w, i->object, name_object, i->object))
		return true;
	/* a file may get another name: it is asked for by that */
	if (file != NULL &&
	    has_text(w, (uint64_t)1 << 63 | (uint64_t)file->name << 20 | (file->number & 0xfffff),
		     name_file, i->file))
		return true;
	return i->stack != 0 && has_function(w, i->stack);
}

static int on_name(void *context, const struct interval *i)
{
	struct wanted *w = context;

	if (++w->seen % STEP == 0 && watch_step(w->look->watch, w->seen, w->all))
		return -EINTR;
	if (w->is_backwards ? i->begin_ns >= w->ns : i->begin_ns <= w->ns)
		return 0;
	/* it begins before the stretch that is left: that of another thread is nearer */
	if (w->is_found && w->is_backwards && i->begin_ns <= w->interval.begin_ns)
		return 0;
	if (!is_named(w, i))
		return 0;
	w->interval = *i;
	w->is_found = true;
	return FOUND;
}

int look_name(const struct look *l, const char *text, uint64_t ns, bool is_backwards,
	      struct interval *ret, struct why *why)
{
	struct wanted w = {.look = l, .ns = ns, .text = text, .is_backwards = is_backwards};
	int r = frames_create(&w.frames, l->tables);

	for (uint32_t i = 0; l->index != NULL && i < index_tracks(l->index); i++)
		w.all += index_track(l->index, i)->intervals;
	for (uint32_t i = 0; r >= 0 && l->index != NULL && i < index_tracks(l->index); i++) {
		/* only what is nearer than the one of another thread */
		uint64_t limit =
			!w.is_found ? (is_backwards ? 0 : UINT64_MAX) : w.interval.begin_ns;

		if (is_wanted(l, index_track(l->index, i)->thread))
			r = index_each(l->index, i, is_backwards ? limit : ns,
				       is_backwards ? ns : limit, is_backwards, on_name, &w);
	}
	if (r >= 0 && w.is_found)
		*ret = w.interval;
	map_fini(&w.matches);
	frames_destroy(w.frames);
	return r < 0 ? damaged(l, r, why) : w.is_found;
}
