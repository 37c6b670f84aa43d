#include "output/convert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "output/pprof.h"

extern const struct convert_form convert_folded, convert_speedscope, convert_firefox,
	convert_callgrind, convert_gperftools;

const struct convert_form *const convert_forms[] = {
	&convert_folded,    &convert_speedscope, &convert_firefox,
	&convert_callgrind, &convert_gperftools, NULL,
};

const struct convert_form *convert_find(const char *name)
{
	for (size_t i = 0; convert_forms[i] != NULL; i++)
		if (strcmp(convert_forms[i]->name, name) == 0)
			return convert_forms[i];
	return NULL;
}

int convert_write(struct convert *c, const struct convert_form *form)
{
	int r;

	why_set(c->why, "out of memory");
	profile_limit(&c->r->profile, PPROF_MEMORY_MAX);
	r = form->write(c);
	if (r == -E2BIG)
		why_set(c->why,
			"it needs more than %zu MiB of memory, more than any profile should",
			PPROF_MEMORY_MAX >> 20);
	if (r == 0)
		r = out_flush(c->out);
	if (c->out->error < 0) {
		r = c->out->error;
		why_set(c->why, "the output was not taken: %s", strerror(-r));
	}
	return r;
}

static bool is_unit_asked(const struct report *r, uint32_t column)
{
	return column == r->column && strcmp(r->shown_unit, "minimum") != 0 &&
	       strcmp(r->shown_unit, "auto") != 0;
}

int64_t convert_scale(int64_t value, const char *from, const char *to)
{
	double scaled = unit_scale(value, from, to).value;

	return scaled >= (double)INT64_MAX ? INT64_MAX : unit_truncate(scaled);
}

int64_t convert_value(const struct report *r, uint32_t column, int64_t value)
{
	if (r->ratio > 0 && r->ratio != 1)
		value = unit_truncate((double)value * r->ratio);
	if (!is_unit_asked(r, column))
		return value;
	return convert_scale(value, r->unit, r->shown_unit);
}

const char *convert_unit(const struct report *r, uint32_t column)
{
	return is_unit_asked(r, column) ? r->shown_unit : r->profile.sample_types[column].unit;
}

const char *convert_program(const struct convert *c)
{
	struct profile *p = &c->r->profile;

	return p->mappings_n > 0 && p->mappings[0].file[0] != '\0'
		       ? path_base(p, p->mappings[0].file)
		       : "profile";
}

const char *convert_name(struct report *r, const struct profile_location *l, uint32_t line)
{
	struct profile *p = &r->profile;
	const char *name = line < l->lines_n ? p->functions[l->lines[line].function].name : "";
	const char *object = l->mapping != PROFILE_NONE ? p->mappings[l->mapping].file : "";
	bool is_named = name[0] != '\0';
	char *text;
	size_t size;

	if (is_named && l->address == 0)
		return name;
	if (!is_named)
		name = object[0] != '\0' ? path_base(p, object) : "<unknown>";
	size = strlen(name) + 24;
	text = profile_alloc(p, size);
	if (text == NULL)
		return name;
	snprintf(text, size, "%s%s%s", is_named || name[0] == '<' ? "" : "[", name,
		 is_named || name[0] == '<' ? "" : "]");
	if (l->address != 0) {
		memmove(text + 17, text, strlen(text) + 1);
		snprintf(text, 17, "%016" PRIx64, l->address);
		text[16] = ' ';
	}
	return text;
}
