#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output/text_filter.h"
#include "output/text_regex.h"

/*
 * Tags: "EXPR", "key=EXPR" (each also a list by commas), or a range of numbers: "4kb", "4kb:",
 * ":4kb", "4kb:64kb".
 */
struct tag_filter {
	bool is_on;
	char *key; /* NULL: any */
	char *text;

	struct regex **expressions;
	size_t expressions_n;

	bool is_range, has_low, has_high;
	double low, high;
	const char *unit;

	bool has_matched;
};

struct quantity {
	int64_t value;
	char unit[32];
};

/* Reads a number with its unit at *@at. */
static bool parse_quantity(const char **at, struct quantity *ret)
{
	const char *start = *at;
	char *end;
	size_t n;

	if (!isdigit((unsigned char)*start) &&
	    !((*start == '+' || *start == '-') && isdigit((unsigned char)start[1])))
		return false;
	errno = 0;
	ret->value = strtoll(start, &end, 10);
	for (n = 0; isalpha((unsigned char)end[n]); n++)
		;
	if (errno != 0 || n >= sizeof(ret->unit))
		return false;
	memcpy(ret->unit, end, n);
	ret->unit[n] = '\0';
	*at = end + n;
	return true;
}

static bool parse_range(struct tag_filter *f, const char *text, struct profile *p)
{
	struct quantity low, high;
	struct unit_value scaled;
	bool has_low, has_high = false, has_colon;

	has_low = parse_quantity(&text, &low);
	has_colon = *text == ':';
	text += has_colon;
	if (has_colon)
		has_high = parse_quantity(&text, &high);
	if (*text != '\0' || (!has_low && !has_high))
		return false;
	if (has_low) {
		scaled = unit_scale(low.value, low.unit, low.unit);
		f->unit = profile_string(p, scaled.unit);
		f->low = scaled.value;
		if (has_high) {
			scaled = unit_scale(high.value, high.unit, f->unit);
			if (strcmp(scaled.unit, f->unit) != 0)
				return false;
			f->high = scaled.value;
		}
	} else {
		scaled = unit_scale(high.value, high.unit, high.unit);
		f->unit = profile_string(p, scaled.unit);
		f->high = scaled.value;
	}
	if (has_low && !has_colon) { /* just that value */
		f->high = f->low;
		has_high = true;
	}
	f->has_low = has_low;
	f->has_high = has_high;
	f->is_range = true;
	return true;
}

static void tag_filter_fini(struct tag_filter *f)
{
	size_t i;

	for (i = 0; i < f->expressions_n; i++)
		regex_destroy(f->expressions[i]);
	free(f->expressions);
	free(f->key);
	free(f->text);
}

static int tag_filter_init(struct tag_filter *f, struct profile *p, const char *name,
			   const char *option, void (*note)(const char *text), struct why *why)
{
	char *at, *comma, *equals, note_text[160];
	struct why inner;
	int r;

	memset(f, 0, sizeof(*f));
	if (option == NULL || option[0] == '\0')
		return 0;
	f->is_on = true;
	f->text = strdup(option);
	if (f->text == NULL)
		goto no_memory;
	at = f->text;
	equals = strchr(at, '=');
	if (equals != NULL) {
		f->key = strndup(at, (size_t)(equals - at));
		if (f->key == NULL)
			goto no_memory;
		if (f->key[0] == '\0') { /* "=x" means any key, as in pprof */
			free(f->key);
			f->key = NULL;
		}
		at = equals + 1;
	}
	if (parse_range(f, at, p)) {
		snprintf(note_text, sizeof(note_text),
			 "%s: '%.100s' is taken as a range of numbers", name, at);
		if (note != NULL)
			note(note_text);
		return 0;
	}
	f->expressions = calloc(strlen(at) + 1, sizeof(*f->expressions));
	if (f->expressions == NULL)
		goto no_memory;
	for (;;) {
		comma = strchr(at, ',');
		if (comma != NULL)
			*comma = '\0';
		r = regex_create(&f->expressions[f->expressions_n], at, &inner);
		if (r < 0) {
			why_set(why, "-%s: %.240s", name, inner.text);
			return r;
		}
		f->expressions_n++;
		if (comma == NULL)
			return 0;
		at = comma + 1;
	}

no_memory:
	why_set(why, "out of memory");
	return -ENOMEM;
}

static bool is_in_range(const struct tag_filter *f, int64_t value, const char *unit)
{
	struct unit_value scaled = unit_scale(value, unit, f->unit);

	return strcmp(scaled.unit, f->unit) == 0 && (!f->has_low || scaled.value >= f->low) &&
	       (!f->has_high || scaled.value <= f->high);
}

/* Does some label match this expression: its value, or without a key given "key:value". */
static bool has_tag(const struct tag_filter *f, struct regex *re, const struct profile_sample *s,
		    char **buffer, size_t *buffer_size)
{
	uint32_t i;

	for (i = 0; i < s->labels_n; i++) {
		const struct profile_label *label = &s->labels[i];
		size_t size;

		if (label->str == NULL)
			continue;
		if (f->key != NULL) {
			if (strcmp(label->key, f->key) == 0 && regex_is_match(re, label->str))
				return true;
			continue;
		}
		size = strlen(label->key) + strlen(label->str) + 2;
		if (size > *buffer_size) {
			free(*buffer);
			*buffer = malloc(size * 2);
			*buffer_size = *buffer == NULL ? 0 : size * 2;
			if (*buffer == NULL)
				return false;
		}
		snprintf(*buffer, *buffer_size, "%s:%s", label->key, label->str);
		if (regex_is_match(re, *buffer))
			return true;
	}
	return false;
}

static bool matches_tags(const struct tag_filter *f, const struct report *r,
			 const struct profile_sample *s, char **buffer, size_t *buffer_size)
{
	size_t i, matched_n = 0;

	if (f->is_range) {
		for (i = 0; i < s->labels_n; i++) {
			const struct profile_label *label = &s->labels[i];

			if (label->str == NULL &&
			    (f->key == NULL || strcmp(label->key, f->key) == 0) &&
			    is_in_range(f, label->num, report_label_unit(r, label->key)))
				return true;
		}
		return false;
	}
	for (i = 0; i < f->expressions_n; i++)
		matched_n += has_tag(f, f->expressions[i], s, buffer, buffer_size);
	/* With a key a list means "one of them", without one "all of them": pprof's rule. */
	return f->key != NULL ? matched_n > 0 : matched_n == f->expressions_n;
}

int filter_by_tags(struct report *r, struct why *why)
{
	const struct report_options *o = r->options;
	struct profile *p = &r->profile;
	struct tag_filter focus = {0}, ignore = {0};
	char *buffer = NULL;
	size_t buffer_size = 0;
	uint32_t from, to = 0;
	bool is_focused, is_ignored;
	int error;

	error = tag_filter_init(&focus, p, "tagfocus", o->tag_focus, o->note, why);
	if (error == 0)
		error = tag_filter_init(&ignore, p, "tagignore", o->tag_ignore, o->note, why);
	if (error < 0 || (!focus.is_on && !ignore.is_on))
		goto out;
	for (from = 0; from < p->samples_n; from++) {
		const struct profile_sample *s = &p->samples[from];

		is_focused = !focus.is_on || matches_tags(&focus, r, s, &buffer, &buffer_size);
		is_ignored = ignore.is_on && matches_tags(&ignore, r, s, &buffer, &buffer_size);
		focus.has_matched |= is_focused;
		ignore.has_matched |= is_ignored;
		if (is_focused && !is_ignored)
			p->samples[to++] = *s;
	}
	p->samples_n = to;
	note_unmatched(r, "tagfocus", focus.is_on, focus.has_matched);
	note_unmatched(r, "tagignore", ignore.is_on, ignore.has_matched);
out:
	free(buffer);
	tag_filter_fini(&focus);
	tag_filter_fini(&ignore);
	return error;
}
