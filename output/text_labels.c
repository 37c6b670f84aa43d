#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output/text_filter.h"
#include "output/text_regex.h"

/* Units */

struct seen_unit {
	const char *key, *unit;
	size_t order;
};

static int compare_addresses(const void *left, const void *right)
{
	const char *a = *(const char *const *)left, *b = *(const char *const *)right;

	return a < b ? -1 : a > b;
}

static int compare_seen(const void *left, const void *right)
{
	const struct seen_unit *a = left, *b = right;
	int r = compare_addresses(&a->key, &b->key);

	return r != 0 ? r : a->order < b->order ? -1 : 1;
}

/* Of all labels, since those that a filter takes away count too. */
int report_find_units(struct report *r)
{
	const struct profile *p = &r->profile;
	struct seen_unit *seen;
	size_t n = 0, i, j;
	uint32_t s, l;

	for (s = 0; s < p->samples_n; s++)
		for (l = 0; l < p->samples[s].labels_n; l++)
			n += p->samples[s].labels[l].str == NULL;
	if (n == 0)
		return 0;
	seen = calloc(n, sizeof(*seen));
	if (seen == NULL)
		return -ENOMEM;
	for (s = 0, i = 0; s < p->samples_n; s++) {
		for (l = 0; l < p->samples[s].labels_n; l++) {
			const struct profile_label *label = &p->samples[s].labels[l];

			if (label->str == NULL) {
				seen[i] = (struct seen_unit){label->key, label->num_unit, i};
				i++;
			}
		}
	}
	qsort(seen, n, sizeof(*seen), compare_seen);
	r->units = calloc(n, sizeof(*r->units));
	for (i = 0; i < n && r->units != NULL; i = j) {
		const char *key = seen[i].key, *unit = "";

		for (j = i; j < n && seen[j].key == key; j++)
			if (unit[0] == '\0')
				unit = seen[j].unit;
		if (unit[0] == '\0')
			unit = strcmp(key, "alignment") == 0 || strcmp(key, "request") == 0
				       ? "bytes"
				       : key;
		r->units[r->units_n++] = (struct report_unit){key, unit};
	}
	free(seen);
	return r->units == NULL ? -ENOMEM : 0;
}

const char *report_label_unit(const struct report *r, const char *key)
{
	const struct report_unit *found =
		r->units_n == 0
			? NULL
			: bsearch(&key, r->units, r->units_n, sizeof(*r->units), compare_addresses);

	return found == NULL ? key : found->unit;
}

/* Which labels there are */

static int compile(struct regex **ret, const char *name, const char *option, struct why *why)
{
	struct why inner;
	int error;

	if (option == NULL || option[0] == '\0')
		return 0;
	error = regex_create(ret, option, &inner);
	if (error < 0)
		why_set(why, "-%s: %.240s", name, inner.text);
	return error;
}

int filter_tag_names(struct report *r, struct why *why)
{
	const struct report_options *o = r->options;
	struct regex *show = NULL, *hide = NULL;
	bool has_shown = false, has_hidden = false;
	uint32_t i, from, to;
	int error;

	error = compile(&show, "tagshow", o->tag_show, why);
	if (error == 0)
		error = compile(&hide, "taghide", o->tag_hide, why);
	if (error < 0 || (show == NULL && hide == NULL))
		goto out;
	for (i = 0; i < r->profile.samples_n; i++) {
		struct profile_sample *s = &r->profile.samples[i];

		for (from = to = 0; from < s->labels_n; from++) {
			const char *key = s->labels[from].key;
			bool is_shown = show == NULL || regex_is_match(show, key);
			bool is_hidden = hide != NULL && regex_is_match(hide, key);

			has_shown |= is_shown;
			has_hidden |= is_hidden;
			if (is_shown && !is_hidden)
				s->labels[to++] = s->labels[from];
		}
		s->labels_n = to;
	}
	note_unmatched(r, "tagshow", show != NULL, has_shown);
	note_unmatched(r, "taghide", hide != NULL, has_hidden);
out:
	regex_destroy(show);
	regex_destroy(hide);
	return error;
}

/* Labels as frames */

/* A list of keys by commas; empty ones do not count. */
struct keys {
	const char **names;
	uint32_t n;
	bool has_matched;
};

static int split_keys(struct profile *p, const char *list, struct keys *ret)
{
	size_t size;

	memset(ret, 0, sizeof(*ret));
	if (list == NULL || list[0] == '\0')
		return 0;
	ret->names = calloc(strlen(list) + 1, sizeof(*ret->names));
	if (ret->names == NULL)
		return -ENOMEM;
	for (;; list += size + 1) {
		size = strcspn(list, ",");
		if (size > 0)
			ret->names[ret->n++] = profile_string_raw(p, list, size);
		if (list[size] == '\0')
			return 0;
	}
}

/* The frames there are: interned by their function, whose name is the value and whose file is the key. */
struct frames {
	struct profile *p;
	struct profile known;     /* its functions: name and file */
	uint32_t *locations, max; /* of the functions of known */
	const char *unit;
};

static uint32_t frame_of(struct frames *f, const char *key, const char *value)
{
	struct profile_function function = {.name = value, .system_name = "", .file = key};
	uint32_t known_n = f->known.functions_n, number, *bigger;
	struct profile_function *added;
	struct profile_location *location;
	struct profile_line *line;

	number = profile_add_function(&f->known, &function);
	if (profile_error(&f->known) < 0)
		return PROFILE_NONE;
	if (number < known_n)
		return f->locations[number];
	if (number >= f->max) {
		bigger = realloc(f->locations, ((size_t)number * 2 + 16) * sizeof(*bigger));
		if (bigger == NULL)
			return PROFILE_NONE;
		f->locations = bigger;
		f->max = number * 2 + 16;
	}
	added = profile_append_function(f->p);
	location = profile_append_location(f->p);
	line = profile_alloc(f->p, sizeof(*line));
	if (added == NULL || location == NULL || line == NULL)
		return PROFILE_NONE;
	added->name = profile_string_raw(f->p, value, strlen(value));
	added->system_name = profile_string(f->p, "");
	added->file = profile_string_raw(f->p, key, strlen(key));
	line->function = f->p->functions_n - 1;
	*location = (struct profile_location){.mapping = PROFILE_NONE, .lines_n = 1, .lines = line};
	f->locations[number] = f->p->locations_n - 1;
	return f->locations[number];
}

/* The values that @s has for @key, by commas: texts, then numbers. NULL when out of memory. */
static char *values_of(const struct frames *f, const struct profile_sample *s, const char *key,
		       bool *has_matched)
{
	const char *comma = "";
	bool has_units = false;
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);
	uint32_t i;

	if (to == NULL)
		return NULL;
	for (i = 0; i < s->labels_n; i++)
		has_units |= s->labels[i].str == NULL && s->labels[i].num_unit[0] != '\0' &&
			     strcmp(s->labels[i].key, key) == 0;
	for (i = 0; i < s->labels_n; i++) { /* merging has put the texts first */
		const struct profile_label *l = &s->labels[i];
		struct unit_label number;

		if (strcmp(l->key, key) != 0)
			continue;
		fputs(comma, to);
		comma = ",";
		*has_matched = true;
		if (l->str != NULL) {
			fputs(l->str, to);
			continue;
		}
		number = unit_label(l->num, l->num_unit, has_units ? f->unit : "");
		fprintf(to, "%s%s", number.number, number.unit);
	}
	if (fclose(to) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* One frame for each key, the last one first: as locations are. */
static int add_frames(struct frames *f, const struct profile_sample *s, struct keys *keys,
		      uint32_t *locations)
{
	uint32_t i;

	for (i = 0; i < keys->n; i++) {
		const char *key = keys->names[keys->n - 1 - i];
		char *values = values_of(f, s, key, &keys->has_matched);

		if (values == NULL)
			return -ENOMEM;
		locations[i] = frame_of(f, key, values);
		free(values);
		if (locations[i] == PROFILE_NONE)
			return -ENOMEM;
	}
	return 0;
}

static int extend_sample(struct frames *f, struct profile_sample *s, struct keys *root,
			 struct keys *leaf)
{
	size_t n = (size_t)s->locations_n + root->n + leaf->n;
	uint32_t *locations = profile_alloc(f->p, n * sizeof(*locations));

	if (n > UINT32_MAX || locations == NULL)
		return -ENOMEM;
	if (s->locations_n > 0)
		memcpy(locations + leaf->n, s->locations, s->locations_n * sizeof(*locations));
	if (add_frames(f, s, root, locations + leaf->n + s->locations_n) < 0 ||
	    add_frames(f, s, leaf, locations) < 0)
		return -ENOMEM;
	s->locations = locations;
	s->locations_n = (uint32_t)n;
	return 0;
}

int filter_label_frames(struct report *r, struct why *why)
{
	struct profile *p = &r->profile;
	struct frames f = {.p = p, .unit = r->options->unit};
	struct keys root = {0}, leaf = {0};
	uint32_t i;
	int error;

	error = split_keys(p, r->options->tag_root, &root);
	if (error == 0)
		error = split_keys(p, r->options->tag_leaf, &leaf);
	if (error == 0 && root.n + leaf.n > 0)
		error = profile_init(&f.known);
	if (error == 0 && root.n + leaf.n > 0) {
		profile_keep_bytes(&f.known);
		for (i = 0; i < p->samples_n && error == 0; i++)
			error = extend_sample(&f, &p->samples[i], &root, &leaf);
		note_unmatched(r, "tagroot", root.n > 0, root.has_matched);
		note_unmatched(r, "tagleaf", leaf.n > 0, leaf.has_matched);
	}
	profile_fini(&f.known);
	free(f.locations);
	free(root.names);
	free(leaf.names);
	if (error < 0)
		why_set(why, "out of memory");
	return error;
}
