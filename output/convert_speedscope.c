/*
 * speedscope's own format, https://www.speedscope.app/file-format-schema.json: a "sampled" profile for each column. With its import
 * of pprof's there is one column, and inlined calls are lost.
 */
#include <string.h>

#include "output/convert.h"

/* Of the units that it knows the largest that @unit is a multiple of. NULL: a plain number. */
static const char *known_unit(const char *unit)
{
	static const char *const units[] = {"seconds", "milliseconds", "microseconds",
					    "nanoseconds", "bytes"};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (unit_is_compatible(unit, units[i]) && unit_scale(1, unit, units[i]).value >= 1)
			return units[i];
	return NULL;
}

/* The value of @sample in @column; none below zero. */
static int64_t weight_of(const struct convert *c, const struct profile_sample *sample,
			 uint32_t column)
{
	int64_t value = convert_value(c->r, column, sample->values[column]);
	const char *unit = convert_unit(c->r, column), *known = known_unit(unit);

	if (known != NULL && strcmp(known, unit) != 0)
		value = convert_scale(value, unit, known);
	return value > 0 ? value : 0;
}

static void put_stack(struct out *out, const struct profile_sample *sample)
{
	out_char(out, '[');
	for (uint32_t k = sample->locations_n; k > 0; k--) {
		out_u64(out, sample->locations[k - 1]);
		if (k > 1)
			out_char(out, ',');
	}
	out_char(out, ']');
}

static void put_column(struct convert *c, const struct convert_stacks *s, uint32_t column)
{
	const struct profile *p = &s->table;
	const char *type = p->sample_types[column].type;
	const char *unit = known_unit(convert_unit(c->r, column)), *before = "\n";
	uint64_t total = 0;

	out_text(c->out, "{\"type\":\"sampled\",\"name\":");
	out_json(c->out, type, strlen(type));
	out_text(c->out, ",\"unit\":\"");
	out_text(c->out, unit != NULL ? unit : "none");
	out_text(c->out, "\",\"startValue\":0,\n\"samples\":[");
	for (uint32_t i = 0; i < p->samples_n && c->out->error == 0; i++) {
		if (p->samples[i].values[column] < 0)
			c->left_out_n += column == c->r->column;
		if (weight_of(c, &p->samples[i], column) == 0)
			continue;
		out_text(c->out, before);
		put_stack(c->out, &p->samples[i]);
		before = ",\n";
	}
	out_text(c->out, "],\n\"weights\":[");
	before = "";
	for (uint32_t i = 0; i < p->samples_n && c->out->error == 0; i++) {
		int64_t weight = weight_of(c, &p->samples[i], column);

		if (weight == 0)
			continue;
		total += (uint64_t)weight;
		out_text(c->out, before);
		out_s64(c->out, weight);
		before = ",";
	}
	out_text(c->out, "],\n\"endValue\":");
	out_u64(c->out, total);
	out_char(c->out, '}');
}

static void put_frame(struct out *out, const struct profile_function *frame)
{
	out_text(out, "{\"name\":");
	out_json(out, frame->name, strlen(frame->name));
	if (frame->file[0] != '\0') {
		out_text(out, ",\"file\":");
		out_json(out, frame->file, strlen(frame->file));
	}
	if (frame->start_line > 0) {
		out_text(out, ",\"line\":");
		out_s64(out, frame->start_line);
	}
	out_char(out, '}');
}

static void put_all(struct convert *c, const struct convert_stacks *s)
{
	const char *asked = c->r->options->sample_index, *name = convert_program(c);
	bool is_one = asked != NULL && asked[0] != '\0';
	uint32_t first = is_one ? c->r->column : 0, i;
	uint32_t n = is_one ? 1 : s->table.sample_types_n;

	out_text(c->out, "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\n"
			 "\"exporter\":\"cprof " CPROF_VERSION "\",\n\"name\":");
	out_json(c->out, name, strlen(name));
	out_text(c->out, ",\n\"activeProfileIndex\":");
	out_u64(c->out, c->r->column - first);
	out_text(c->out, ",\n\"profiles\":[");
	for (i = first; i < first + n && c->out->error == 0; i++) {
		out_text(c->out, i > first ? ",\n" : "\n");
		put_column(c, s, i);
	}
	out_text(c->out, "\n],\n\"shared\":{\"frames\":[");
	for (i = 0; i < s->table.functions_n && c->out->error == 0; i++) {
		out_text(c->out, i > 0 ? ",\n" : "\n");
		put_frame(c->out, &s->table.functions[i]);
	}
	out_text(c->out, "\n]}}\n");
}

static int write(struct convert *c)
{
	struct convert_stacks s;
	int r = convert_stacks_init(&s, c->r, true);

	if (r == 0)
		put_all(c, &s);
	convert_stacks_fini(&s);
	return r;
}

const struct convert_form convert_speedscope = {
	.name = "speedscope",
	.about = "speedscope.app, with all columns and inlined calls",
	.granularity = BY_FILE_FUNCTION,
	.write = write,
};
