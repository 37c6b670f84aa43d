/*
 * CSV: the intervals of all threads, a row each, as they are over.
 */
#include <errno.h>

#include "viewer/export.h"

static int begin(struct export *x)
{
	out_text(x->out, "thread,tid,begin_ns,end_ns,state,certainty,object,call,file,stack\r\n");
	return x->out->error;
}

/* x->name as a field, and what is behind it. */
static void put_name(struct export *x, const char *behind)
{
	out_csv(x->out, x->name.text, x->name.n);
	out_text(x->out, behind);
	name_clear(&x->name);
}

static int interval(struct export *x, const struct interval *i)
{
	const struct table_thread *t = tables_thread(x->tables, i->thread);
	const struct frame *frame;
	const uint64_t *words;
	struct out *o = x->out;

	export_thread_name(x, i->thread);
	put_name(x, ",");
	out_u64(o, t != NULL ? t->tid : 0);
	out_char(o, ',');
	out_s64(o, (int64_t)(i->begin_ns - x->begun_ns));
	out_char(o, ',');
	out_s64(o, (int64_t)(i->end_ns - x->begun_ns));
	out_char(o, ',');
	out_text(o, story_state_name(i->state));
	out_char(o, ',');
	out_text(o, story_certainty_name(i->certainty));
	out_char(o, ',');
	if (i->object != 0)
		name_object(&x->name, x->tables, i->object);
	put_name(x, ",");
	if (i->call != 0)
		export_call_name(x, i->call - 1);
	put_name(x, ",");
	if (i->file != 0)
		name_file(&x->name, x->tables, i->file);
	put_name(x, ",");
	if (frames_stack(x->frames, i->stack, &words) > 0) {
		frame = frames_get(x->frames, words[0]);
		if (frame == NULL)
			return -ENOMEM;
		frames_top(&x->name, x->tables, frame);
	}
	put_name(x, "\r\n");
	return o->error;
}

static int end(struct export *x, const struct story_counts *counts)
{
	(void)counts;
	return x->out->error;
}

const struct export_format export_csv = {
	.name = "csv",
	.about = "the intervals of all threads as comma-separated values",
	.left = "anything but intervals",
	.begin = begin,
	.end = end,
	.interval = interval,
};
