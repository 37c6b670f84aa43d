/*
 * Collapsed stacks, as flame graphs are made of: thread;state;root;…;leaf ns
 *
 * One line for each stack and state of a thread, so they are added up and come at the end.
 */
#include <errno.h>
#include <stdlib.h>

#include "viewer/export.h"
#include "viewer/profiles.h"

struct folded {
	struct profiles profiles;
	struct story_listener listener;
};

static int begin(struct export *x)
{
	struct profiles_options options = {
		.kind = PROFILES_ALL,
		.labels = PROFILES_THREAD | PROFILES_OBJECT | PROFILES_CALL | PROFILES_WHAT,
		.from_ns = x->from_ns,
		.to_ns = x->to_ns,
	};
	struct folded *f = calloc(1, sizeof(*f));

	x->own = f;
	if (f == NULL)
		return -ENOMEM;
	profiles_init(&f->profiles, &options, x->tables);
	f->listener = profiles_listener(&f->profiles);
	return 0;
}

static int interval(struct export *x, const struct interval *i)
{
	struct folded *f = x->own;

	return f->listener.interval(f->listener.context, i);
}

/* What is in x->name, without what separates. */
static void put_name(struct export *x)
{
	for (size_t i = 0; i < x->name.n; i++)
		if (x->name.text[i] == ';')
			x->name.text[i] = ':';
	name_out(&x->name, x->out, NAMES_PLAIN);
}

static int put_frames(struct export *x, const struct profiles_row *row)
{
	const uint64_t *words;
	uint32_t n = frames_stack(x->frames, row->stack, &words);
	const struct frame *frame;

	for (uint32_t i = n; i > 0; i--) {
		frame = frames_get(x->frames, words[i - 1]);
		if (frame == NULL)
			return -ENOMEM;
		for (uint32_t line = frame->n > 0 ? frame->n : 1; line > 0; line--) {
			out_char(x->out, ';');
			name_clear(&x->name);
			frames_function(&x->name, x->tables, frame, line - 1);
			put_name(x);
		}
	}
	name_clear(&x->name);
	if (row->call != 0)
		export_call_name(x, row->call - 1);
	else if (row->object != 0)
		name_object(&x->name, x->tables, row->object);
	if (x->name.n == 0)
		return 0;
	/* what it is about, below all that is code */
	out_text(x->out, ";[");
	put_name(x);
	out_char(x->out, ']');
	return 0;
}

static int end(struct export *x, const struct story_counts *counts)
{
	struct folded *f = x->own;
	int r = 0;

	(void)counts;
	for (uint32_t i = 0; i < f->profiles.rows_n && r == 0 && x->out->error == 0; i++) {
		const struct profiles_row *row = &f->profiles.rows[i];

		export_thread_name(x, row->thread);
		put_name(x);
		out_char(x->out, ';');
		out_text(x->out, profiles_what_name(row->what));
		r = put_frames(x, row);
		out_char(x->out, ' ');
		out_u64(x->out, row->ns);
		out_char(x->out, '\n');
	}
	return r;
}

static void fini(struct export *x)
{
	struct folded *f = x->own;

	if (f != NULL)
		profiles_fini(&f->profiles);
	free(f);
	x->own = NULL;
}

const struct export_format export_folded = {
	.name = "folded",
	.about = "collapsed stacks by thread and state, in ns: flame graphs",
	.left = "anything but intervals",
	.begin = begin,
	.end = end,
	.fini = fini,
	.interval = interval,
};
