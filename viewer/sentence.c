#include "viewer/sentence.h"

#include <inttypes.h>

#include "core/syscalls.h"

void sentence_duration(struct name *name, uint64_t ns)
{
	struct out text;

	out_init(&text, -1, false);
	out_duration(&text, ns);
	name_add(name, text.buffer, text.n);
}

void sentence_object(struct name *name, const struct tables *t, uint64_t id)
{
	const struct table_object *object = tables_object(t, id);
	const struct table_text *text = object != NULL ? tables_string(t, object->name) : NULL;

	/* one without a name is called by its kind */
	if (text != NULL && text->length > 0)
		name_format(name, "%s ", name_kind(object->kind));
	name_object(name, t, id);
}

static void add_call(struct name *name, const struct tables *t, const struct interval *i)
{
	const char *word = i->call != 0 ? syscalls_name(i->call - 1) : NULL;

	if (i->call == 0)
		return;
	if (word != NULL)
		name_format(name, " in %s", word);
	else
		name_format(name, " in system call %" PRIu32, i->call - 1);
	if (i->file != 0) {
		name_format(name, " of ");
		name_file(name, t, i->file);
	}
}

static void add_object(struct name *name, const struct tables *t, const struct interval *i)
{
	if (i->wait == TRACE_JOIN_BEGIN_EVENT) {
		name_format(name, " for the end of ");
		if (i->other != 0)
			name_one_thread(name, t, i->other);
		else
			name_format(name, "a thread");
	} else if (i->object != 0) {
		name_format(name, " for ");
		sentence_object(name, t, i->object);
	}
}

static void add_other(struct name *name, const struct tables *t, const struct interval *i,
		      const char *words)
{
	if (i->other == 0)
		return;
	name_format(name, ", %s ", words);
	name_one_thread(name, t, i->other);
}

void sentence_what(struct name *name, const struct tables *t, const struct interval *i)
{
	unsigned state = i->state < TRACE_STATES ? i->state : TRACE_UNKNOWN;

	if (state == TRACE_RUNNABLE) {
		add_other(name, t, i, "woken by");
	} else if (state == TRACE_LOCK || state == TRACE_WAIT || state == TRACE_SPIN ||
		   state == TRACE_IDLE) {
		add_object(name, t, i);
		if (i->wait == TRACE_LOCK_WAIT_EVENT)
			add_other(name, t, i, "held by");
	}
	if (state == TRACE_RUNNING || state == TRACE_SYSCALL || state == TRACE_IDLE)
		add_call(name, t, i);
	if (i->stack != 0 && state != TRACE_UNKNOWN) {
		name_format(name, ", at ");
		name_stack_host(name, t, i->stack, 1);
	}
}

void sentence_interval(struct name *name, const struct tables *t, const struct interval *i,
		       uint64_t begin_ns, uint64_t end_ns, bool is_longer)
{
	static const char *const verbs[TRACE_STATES] = {
		[TRACE_UNKNOWN] = "did what is not known for",
		[TRACE_RUNNING] = "ran",
		[TRACE_RUNNABLE] = "was ready to run for",
		[TRACE_LOCK] = "waited",
		[TRACE_WAIT] = "waited",
		[TRACE_SYSCALL] = "was",
		[TRACE_IDLE] = "was idle for",
		[TRACE_SPIN] = "spun",
	};
	unsigned state = i->state < TRACE_STATES ? i->state : TRACE_UNKNOWN;

	name_one_thread(name, t, i->thread);
	name_format(name, " %s %s", verbs[state], is_longer ? "at least " : "");
	sentence_duration(name, end_ns > begin_ns ? end_ns - begin_ns : 0);
	sentence_what(name, t, i);
	if (i->certainty == STORY_INFERRED || i->certainty == STORY_PROPORTIONAL)
		name_format(name, " (%s)", story_certainty_name(i->certainty));
}
