/*
 * Collapsed stacks, one line each: root;…;leaf value. Read by flamegraph.pl, inferno, speedscope and others.
 */
#include <string.h>

#include "output/convert.h"

/* What separates frames is no part of them, nor is a newline. */
static void put_text(struct out *out, const char *text)
{
	size_t n;

	for (;; text += n + 1) {
		n = strcspn(text, ";");
		out_name(out, text, n);
		if (text[n] == '\0')
			return;
		out_char(out, ':');
	}
}

static void put_frame(struct out *out, const struct profile_function *frame)
{
	put_text(out, frame->name);
	if (frame->file[0] == '\0' && frame->start_line == 0)
		return;
	out_char(out, ' ');
	put_text(out, frame->file);
	if (frame->start_line == 0)
		return;
	out_char(out, ':');
	out_s64(out, frame->start_line);
}

static int write(struct convert *c)
{
	struct convert_stacks s;
	int r = convert_stacks_init(&s, c->r, false);

	for (uint32_t i = 0; i < s.table.samples_n && r == 0; i++) {
		const struct profile_sample *sample = &s.table.samples[i];
		int64_t value = convert_value(c->r, c->r->column, sample->values[c->r->column]);

		c->left_out_n += value < 0;
		if (value <= 0)
			continue;
		if (sample->locations_n == 0)
			out_text(c->out, "<unknown>");
		for (uint32_t k = sample->locations_n; k > 0; k--) {
			put_frame(c->out, &s.table.functions[sample->locations[k - 1]]);
			if (k > 1)
				out_char(c->out, ';');
		}
		out_char(c->out, ' ');
		out_s64(c->out, value);
		out_char(c->out, '\n');
		r = c->out->error;
	}
	convert_stacks_fini(&s);
	return r;
}

const struct convert_form convert_folded = {
	.name = "folded",
	.about = "a line for each stack: flamegraph.pl, inferno, speedscope",
	.granularity = BY_FUNCTION,
	.write = write,
};
