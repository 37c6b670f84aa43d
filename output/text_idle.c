#include <string.h>

#include "output/idle.h"
#include "output/text.h"

static bool is_given(const char *option)
{
	return option != NULL && option[0] != '\0';
}

/*
 * A pool whose threads wait for work would be all that there is to see, and its part of the total would make nothing of the
 * rest. pprof shows it: this is the one report that is not its text, and says so.
 */
static bool leaves_out_idle(const struct report *r)
{
	const struct report_options *o = r->options;

	return !o->with_idle && !is_given(o->tag_focus) && !is_given(o->tag_ignore) &&
	       !is_given(o->tag_root) && !is_given(o->tag_leaf) && idle_concerns(&r->profile);
}

void report_leave_out_idle(struct report *r)
{
	if (leaves_out_idle(r))
		idle_take_out(&r->profile, &r->idle);
}

/* In units of its own: what is left out is of another size than what is shown. */
static struct unit_label label_of(struct report r, int64_t value)
{
	r.shown_unit = r.options->unit;
	if (strcmp(r.shown_unit, "minimum") == 0)
		r.shown_unit = "auto";
	return report_label(&r, value);
}

void report_print_idle(const struct report *r, FILE *to)
{
	struct unit_label label, all;
	int64_t idle;

	if (r->idle == NULL)
		return;
	idle = r->idle[r->column];
	if (r->options->is_mean) {
		label = label_of(*r, r->idle[0] != 0 ? unit_divide(idle, r->idle[0]) : idle);
		fprintf(to, "Left out as idle: %s%s each; -idle shows it\n", label.number,
			label.unit);
		return;
	}
	label = label_of(*r, idle);
	all = label_of(*r, (int64_t)((uint64_t)idle + (uint64_t)r->total));
	fprintf(to, "Left out as idle: %s%s of %s%s; -idle shows it\n", label.number, label.unit,
		all.number, all.unit);
}
