#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "output/profile.h"
#include "output/text_unit.h"

/*
 * What one source became: for each entry of its tables the entry in the result, PROFILE_NONE while
 * nothing used it.
 */
struct mapped {
	uint32_t *mappings, *functions, *locations;
};

struct merger {
	struct profile *to;
	/*
	 * Finds equal mappings: its mapping i has as start, offset and file what makes mapping i of
	 * the result equal to another. Its functions are the comments.
	 */
	struct profile keys;
};

static const char *or_empty(const char *text)
{
	return text == NULL ? "" : text;
}

/* A trailing s more or less does not make another type. */
static bool is_type_alike(const char *a, const char *b)
{
	size_t a_n = strlen(a), b_n = strlen(b);

	a_n -= a_n > 0 && a[a_n - 1] == 's';
	b_n -= b_n > 0 && b[b_n - 1] == 's';
	return a_n == b_n && memcmp(a, b, a_n) == 0;
}

/* The finest of the units in one column. Returns 0 or -EINVAL. */
static int common_unit(const struct profile_value_type *const *types, size_t n,
		       const char **ret_unit, struct why *why)
{
	const struct profile_value_type *finest = types[0];
	size_t i;

	for (i = 1; i < n; i++) {
		if (!is_type_alike(or_empty(finest->type), or_empty(types[i]->type)) ||
		    !unit_is_compatible(or_empty(finest->unit), or_empty(types[i]->unit))) {
			why_set(why,
				"the profiles are of different kinds: %.60s/%.20s and %.60s/%.20s",
				or_empty(finest->type), or_empty(finest->unit),
				or_empty(types[i]->type), or_empty(types[i]->unit));
			return -EINVAL;
		}
		if (unit_scale(1, or_empty(types[i]->unit), or_empty(finest->unit)).value < 1)
			finest = types[i];
	}
	*ret_unit = or_empty(finest->unit);
	return 0;
}

void profile_scale(struct profile *p, const double *ratios)
{
	uint32_t from, to = 0, i;
	bool is_kept, is_changed = false;

	for (i = 0; i < p->sample_types_n; i++)
		is_changed |= ratios[i] != 1;
	if (!is_changed)
		return;
	for (from = 0; from < p->samples_n; from++) {
		is_kept = false;
		for (i = 0; i < p->sample_types_n; i++) {
			int64_t *value = &p->samples[from].values[i];

			if (ratios[i] == 1)
				continue;
			*value = unit_truncate(round((double)*value * ratios[i]));
			is_kept |= *value != 0;
		}
		if (is_kept)
			p->samples[to++] = p->samples[from];
	}
	p->samples_n = to;
}

/* Brings all to the finest units. */
static int scale_sources(struct profile *const *sources, size_t n, struct why *why)
{
	uint32_t columns_n = sources[0]->sample_types_n, column;
	const struct profile_value_type **types = calloc(n, sizeof(*types));
	const char **units =
		calloc((size_t)columns_n + 1, sizeof(*units)); /* the last is the period's */
	double *ratios = calloc((size_t)columns_n + 1, sizeof(*ratios));
	size_t i;
	int r = 0;

	if (types == NULL || units == NULL || ratios == NULL) {
		why_set(why, "out of memory");
		r = -ENOMEM;
		goto out;
	}
	for (i = 1; i < n; i++) {
		if (sources[i]->sample_types_n != columns_n) {
			why_set(why,
				"the profiles are of different kinds: one has %u sample types, "
				"another %u",
				columns_n, sources[i]->sample_types_n);
			r = -EINVAL;
			goto out;
		}
	}
	for (column = 0; column <= columns_n && r == 0; column++) {
		for (i = 0; i < n; i++)
			types[i] = column < columns_n ? &sources[i]->sample_types[column]
						      : &sources[i]->period_type;
		r = common_unit(types, n, &units[column], why);
	}
	for (i = 0; i < n && r == 0; i++) {
		struct profile *p = sources[i];

		p->period = unit_truncate(
			unit_scale(p->period, or_empty(p->period_type.unit), units[columns_n])
				.value);
		p->period_type.unit =
			profile_string_raw(p, units[columns_n], strlen(units[columns_n]));
		for (column = 0; column < columns_n; column++) {
			ratios[column] =
				unit_scale(1, p->sample_types[column].unit, units[column]).value;
			p->sample_types[column].unit =
				profile_string_raw(p, units[column], strlen(units[column]));
		}
		profile_scale(p, ratios);
		if (profile_error(p) < 0)
			r = profile_error(p);
	}
out:
	free(types);
	free(units);
	free(ratios);
	return r;
}

static bool is_same_type(const struct profile_value_type *a, const struct profile_value_type *b)
{
	return strcmp(or_empty(a->type), or_empty(b->type)) == 0 &&
	       strcmp(or_empty(a->unit), or_empty(b->unit)) == 0;
}

static int check_types(const struct profile *a, const struct profile *b, struct why *why)
{
	uint32_t i;

	if (!is_same_type(&a->period_type, &b->period_type)) {
		why_set(why,
			"the profiles have different period types: %.60s/%.20s and %.60s/%.20s",
			or_empty(a->period_type.type), or_empty(a->period_type.unit),
			or_empty(b->period_type.type), or_empty(b->period_type.unit));
		return -EINVAL;
	}
	for (i = 0; i < a->sample_types_n; i++) {
		if (!is_same_type(&a->sample_types[i], &b->sample_types[i])) {
			why_set(why,
				"the profiles are of different kinds: %.60s/%.20s and %.60s/%.20s",
				a->sample_types[i].type, a->sample_types[i].unit,
				b->sample_types[i].type, b->sample_types[i].unit);
			return -EINVAL;
		}
	}
	return 0;
}

int profile_normalize(struct profile *p, const struct profile *to, struct why *why)
{
	double *ratios;
	uint32_t i, column;
	int r;

	if (p->sample_types_n != to->sample_types_n) {
		why_set(why,
			"the profiles are of different kinds: one has %u sample types, another %u",
			p->sample_types_n, to->sample_types_n);
		return -EINVAL;
	}
	r = check_types(p, to, why);
	if (r < 0)
		return r;
	ratios = calloc((size_t)p->sample_types_n + 1, sizeof(*ratios));
	if (ratios == NULL) {
		why_set(why, "out of memory");
		return -ENOMEM;
	}
	for (column = 0; column < p->sample_types_n; column++) {
		uint64_t is = 0, wanted = 0;

		for (i = 0; i < p->samples_n; i++)
			is += (uint64_t)p->samples[i].values[column];
		for (i = 0; i < to->samples_n; i++)
			wanted += (uint64_t)to->samples[i].values[column];
		if (is != 0)
			ratios[column] = (double)(int64_t)wanted / (double)(int64_t)is;
	}
	profile_scale(p, ratios);
	free(ratios);
	return 0;
}

static void merge_headers(struct merger *m, struct profile *const *sources, size_t n)
{
	const struct profile *first = sources[0];
	struct profile *to = m->to;
	struct profile_function comment = {.system_name = "", .file = ""};
	uint32_t i, known_n;
	size_t s;

	for (i = 0; i < first->sample_types_n; i++)
		profile_add_sample_type(to, first->sample_types[i].type,
					first->sample_types[i].unit);
	to->drop_frames = profile_string(to, first->drop_frames);
	to->keep_frames = profile_string(to, first->keep_frames);
	to->doc_url = profile_string(to, first->doc_url);
	to->period_type.type = profile_string(to, first->period_type.type);
	to->period_type.unit = profile_string(to, first->period_type.unit);
	for (s = 0; s < n; s++) {
		const struct profile *p = sources[s];

		if (to->time_ns == 0 || p->time_ns < to->time_ns)
			to->time_ns = p->time_ns;
		to->duration_ns = (int64_t)((uint64_t)to->duration_ns + (uint64_t)p->duration_ns);
		if (to->period == 0 || to->period < p->period)
			to->period = p->period;
		if (to->default_sample_type[0] == '\0')
			to->default_sample_type = profile_string(to, p->default_sample_type);
		for (i = 0; i < p->comments_n; i++) {
			known_n = m->keys.functions_n;
			comment.name = p->comments[i];
			if (profile_add_function(&m->keys, &comment) == known_n)
				profile_add_comment(to, p->comments[i]);
		}
	}
}

static uint32_t merge_mapping(struct merger *m, const struct profile *from, struct mapped *mapped,
			      uint32_t number)
{
	const struct profile_mapping *mapping = &from->mappings[number];
	struct profile_mapping key = {0}, *copy;
	uint32_t known_n = m->keys.mappings_n;

	if (mapped->mappings[number] != PROFILE_NONE)
		return mapped->mappings[number];

	/* To the next page, so that a few bytes more at the end are no difference. */
	key.start = (mapping->limit - mapping->start + 0xfff) & ~UINT64_C(0xfff);
	key.offset = mapping->offset;
	key.file = mapping->build_id[0] != '\0' ? mapping->build_id : mapping->file;
	mapped->mappings[number] = profile_add_mapping(&m->keys, &key);
	if (mapped->mappings[number] == known_n) {
		copy = profile_append_mapping(m->to);
		if (copy != NULL) {
			*copy = *mapping;
			copy->file = profile_string(m->to, mapping->file);
			copy->build_id = profile_string(m->to, mapping->build_id);
		}
	}
	return mapped->mappings[number];
}

static uint32_t merge_function(struct merger *m, const struct profile *from, struct mapped *mapped,
			       uint32_t number)
{
	if (mapped->functions[number] == PROFILE_NONE)
		mapped->functions[number] = profile_add_function(m->to, &from->functions[number]);
	return mapped->functions[number];
}

static uint32_t merge_location(struct merger *m, const struct profile *from, struct mapped *mapped,
			       uint32_t number)
{
	struct profile_location location = from->locations[number];
	struct profile_line few[16], *lines = few;
	uint32_t i;

	if (mapped->locations[number] != PROFILE_NONE)
		return mapped->locations[number];

	if (location.mapping != PROFILE_NONE) {
		location.mapping = merge_mapping(m, from, mapped, location.mapping);
		if (profile_error(m->to) == 0 && profile_error(&m->keys) == 0)
			location.address += m->to->mappings[location.mapping].start -
					    from->mappings[from->locations[number].mapping].start;
	}
	if (location.lines_n > sizeof(few) / sizeof(few[0])) {
		lines = profile_alloc(m->to, location.lines_n * sizeof(*lines));
		if (lines == NULL)
			return 0;
	}
	for (i = 0; i < location.lines_n; i++) {
		lines[i] = location.lines[i];
		lines[i].function = merge_function(m, from, mapped, lines[i].function);
	}
	location.lines = lines;
	mapped->locations[number] = profile_add_location(m->to, &location);
	return mapped->locations[number];
}

static void merge_sample(struct merger *m, const struct profile *from, struct mapped *mapped,
			 const struct profile_sample *sample)
{
	struct profile *to = m->to;
	struct profile_sample *s = profile_append_sample(to);
	uint32_t i;

	if (s == NULL)
		return;
	s->locations = profile_alloc(to, sample->locations_n * sizeof(*s->locations));
	s->values = profile_alloc(to, to->sample_types_n * sizeof(*s->values));
	s->labels = profile_alloc(to, sample->labels_n * sizeof(*s->labels));
	if (s->locations == NULL || s->values == NULL || s->labels == NULL)
		return;
	for (i = 0; i < sample->locations_n; i++)
		s->locations[i] = merge_location(m, from, mapped, sample->locations[i]);
	s->locations_n = sample->locations_n;
	for (i = 0; i < to->sample_types_n; i++)
		s->values[i] = sample->values[i];
	for (i = 0; i < sample->labels_n; i++) {
		const struct profile_label *label = &sample->labels[i];

		if (label->str == NULL && label->num == 0 && or_empty(label->num_unit)[0] == '\0')
			continue; /* pprof cannot tell it from no label */
		s->labels[s->labels_n].key = profile_string(to, label->key);
		s->labels[s->labels_n].str =
			label->str == NULL ? NULL : profile_string(to, label->str);
		s->labels[s->labels_n].num = label->num;
		s->labels[s->labels_n++].num_unit = profile_string(to, label->num_unit);
	}
}

static bool is_zero_sample(const struct profile *p, const struct profile_sample *s)
{
	uint32_t i;

	for (i = 0; i < p->sample_types_n; i++)
		if (s->values[i] != 0)
			return false;
	return true;
}

static int merge_source(struct merger *m, const struct profile *from)
{
	size_t n = (size_t)from->mappings_n + from->functions_n + from->locations_n;
	uint32_t *numbers = malloc((n + 1) * sizeof(*numbers)), i;
	struct mapped mapped;

	if (numbers == NULL)
		return -ENOMEM;
	memset(numbers, 0xff, n * sizeof(*numbers));
	mapped = (struct mapped){numbers, numbers + from->mappings_n,
				 numbers + from->mappings_n + from->functions_n};
	/* The first one is the main program, used or not. */
	if (m->to->mappings_n == 0 && from->mappings_n > 0)
		merge_mapping(m, from, &mapped, 0);
	for (i = 0; i < from->samples_n && profile_error(m->to) == 0; i++)
		if (!is_zero_sample(from, &from->samples[i]))
			merge_sample(m, from, &mapped, &from->samples[i]);
	free(numbers);
	return profile_error(m->to) < 0 ? profile_error(m->to) : profile_error(&m->keys);
}

/* @ret_zeros_n: samples that added up to zero, whose locations are still in the tables. */
static int merge(struct profile *const *sources, size_t n, struct profile *ret,
		 uint32_t *ret_zeros_n)
{
	struct merger m = {.to = ret};
	size_t i;
	int r;

	r = profile_init(ret);
	if (r == 0)
		r = profile_init(&m.keys);
	if (r == 0) {
		profile_keep_bytes(ret);
		profile_keep_bytes(&m.keys);
		merge_headers(&m, sources, n);
		for (i = 0; i < n && r == 0; i++)
			r = merge_source(&m, sources[i]);
	}
	for (i = 0; i < n && r == 0; i++)
		ret->has_wrapped |= sources[i]->has_wrapped;
	if (r == 0) {
		*ret_zeros_n = profile_merge_samples(ret);
		r = profile_error(ret);
	}
	profile_fini(&m.keys);
	if (r < 0)
		profile_fini(ret);
	return r;
}

int profile_merge(struct profile *const *sources, size_t sources_n, struct profile *ret,
		  struct why *why)
{
	struct profile again, *only = &again;
	uint32_t zeros_n = 0;
	size_t i;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (sources_n > 1) {
		r = scale_sources(sources, sources_n, why);
		for (i = 1; i < sources_n && r == 0; i++)
			r = check_types(sources[0], sources[i], why);
		if (r == -EINVAL)
			return r;
		if (r < 0)
			goto no_memory;
	}
	r = merge(sources, sources_n, ret, &zeros_n);
	if (r < 0)
		goto no_memory;
	if (zeros_n > 0) { /* once more, for tables of what is left */
		again = *ret;
		r = merge(&only, 1, ret, &zeros_n);
		profile_fini(&again);
		if (r < 0)
			goto no_memory;
	}
	return 0;

no_memory:
	why_set(why, "out of memory");
	return -ENOMEM;
}
