#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output/convert.h"
#include "output/pprof.h"

static uint32_t lines_of(const struct profile_location *l)
{
	return l->lines_n == 0 ? 1 : l->lines_n;
}

/* Numbers the frames of all locations. */
static int add_frames(struct convert_stacks *s, struct report *r, bool with_start)
{
	const struct profile *p = &r->profile;
	size_t n = 0;
	uint32_t i, j;

	for (i = 0; i < p->locations_n; i++)
		n += lines_of(&p->locations[i]);
	if (n >= UINT32_MAX)
		return -E2BIG;
	s->first_line = calloc((size_t)p->locations_n + 1, sizeof(*s->first_line));
	s->frames = calloc(n + 1, sizeof(*s->frames));
	if (s->first_line == NULL || s->frames == NULL)
		return -ENOMEM;
	for (i = 0, n = 0; i < p->locations_n; i++) {
		const struct profile_location *l = &p->locations[i];

		s->first_line[i] = (uint32_t)n;
		for (j = 0; j < lines_of(l); j++) {
			struct profile_function frame = {
				.name = convert_name(r, l, j), .system_name = "", .file = ""};

			if (j < l->lines_n) {
				const struct profile_function *f =
					&p->functions[l->lines[j].function];

				frame.file = f->file;
				frame.start_line = l->lines[j].line;
				if (frame.start_line == 0 && with_start)
					frame.start_line = f->start_line;
			}
			s->frames[n++] = profile_add_function(&s->table, &frame);
		}
	}
	s->first_line[p->locations_n] = (uint32_t)n;
	return profile_error(&r->profile);
}

static void add_stack(struct convert_stacks *s, const struct profile *p,
		      const struct profile_sample *from)
{
	struct profile_sample *to = profile_append_sample(&s->table);
	size_t n = 0;
	uint32_t i, j;

	if (to == NULL)
		return;
	for (i = 0; i < from->locations_n; i++)
		n += lines_of(&p->locations[from->locations[i]]);
	if (n >= UINT32_MAX) { /* more than memory is allowed for */
		s->table.error = -E2BIG;
		return;
	}
	to->locations = profile_alloc(&s->table, n * sizeof(*to->locations));
	to->values = profile_alloc(&s->table, p->sample_types_n * sizeof(*to->values));
	if (to->locations == NULL || to->values == NULL)
		return;
	memcpy(to->values, from->values, p->sample_types_n * sizeof(*to->values));
	for (i = 0; i < from->locations_n; i++)
		for (j = s->first_line[from->locations[i]];
		     j < s->first_line[from->locations[i] + 1]; j++)
			to->locations[to->locations_n++] = s->frames[j];
}

int convert_stacks_init(struct convert_stacks *s, struct report *r, bool with_start)
{
	const struct profile *p = &r->profile;
	int error;
	uint32_t i;

	memset(s, 0, sizeof(*s));
	error = profile_init(&s->table);
	if (error < 0)
		return error;
	profile_limit(&s->table, PPROF_MEMORY_MAX);
	profile_keep_bytes(&s->table);
	for (i = 0; i < p->sample_types_n; i++)
		profile_add_sample_type(&s->table, p->sample_types[i].type,
					p->sample_types[i].unit);
	error = add_frames(s, r, with_start);
	for (i = 0; i < p->samples_n && error == 0; i++) {
		add_stack(s, p, &p->samples[i]);
		error = profile_error(&s->table);
	}
	if (error == 0) {
		profile_merge_samples(&s->table);
		error = profile_error(&s->table);
	}
	return error;
}

void convert_stacks_fini(struct convert_stacks *s)
{
	profile_fini(&s->table);
	free(s->first_line);
	free(s->frames);
}
