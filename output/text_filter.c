#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output/text.h"
#include "output/text_regex.h"

/* Whether functions and mappings match an expression, each asked once. */
struct matcher {
	struct regex *re; /* NULL: no such option */
	const struct profile *p;
	signed char *functions, *mappings; /* -1: not asked yet */
	bool has_matched;
};

static void matcher_fini(struct matcher *m)
{
	regex_destroy(m->re);
	free(m->functions);
	free(m->mappings);
}

static int matcher_init(struct matcher *m, const struct profile *p, const char *name,
			const char *pattern, struct why *why)
{
	struct why inner;
	int r;

	memset(m, 0, sizeof(*m));
	m->p = p;
	if (pattern == NULL || pattern[0] == '\0')
		return 0;
	r = regex_create(&m->re, pattern, &inner);
	if (r < 0) {
		why_set(why, "%s: %.240s", name, inner.text);
		return r;
	}
	m->functions = malloc((size_t)p->functions_n + 1);
	m->mappings = malloc((size_t)p->mappings_n + 1);
	if (m->functions == NULL || m->mappings == NULL) {
		matcher_fini(m);
		memset(m, 0, sizeof(*m));
		why_set(why, "out of memory");
		return -ENOMEM;
	}
	memset(m->functions, -1, (size_t)p->functions_n + 1);
	memset(m->mappings, -1, (size_t)p->mappings_n + 1);
	return 0;
}

static bool matches_line(struct matcher *m, const struct profile_line *line)
{
	const struct profile_function *f = &m->p->functions[line->function];
	signed char *known = &m->functions[line->function];

	if (*known < 0)
		*known = regex_is_match(m->re, f->name) || regex_is_match(m->re, f->file);
	return *known;
}

static bool matches_mapping(struct matcher *m, const struct profile_location *l)
{
	signed char *known;

	if (l->mapping == PROFILE_NONE)
		return false;
	known = &m->mappings[l->mapping];
	if (*known < 0)
		*known = regex_is_match(m->re, m->p->mappings[l->mapping].file);
	return *known;
}

static bool matches_location(struct matcher *m, const struct profile_location *l)
{
	uint32_t i;

	for (i = 0; i < l->lines_n; i++)
		if (matches_line(m, &l->lines[i]))
			return true;
	return matches_mapping(m, l);
}

/* Keeps the lines that match, or those that do not. A match of the mapping counts for all. */
static void keep_lines(struct matcher *m, struct profile_location *l, bool is_match_kept)
{
	uint32_t from, to = 0;

	if (matches_mapping(m, l)) {
		if (!is_match_kept)
			l->lines_n = 0;
		return;
	}
	for (from = 0; from < l->lines_n; from++)
		if (matches_line(m, &l->lines[from]) == is_match_kept)
			l->lines[to++] = l->lines[from];
	l->lines_n = to;
}

enum { IS_FOCUSED = 1, IS_IGNORED = 2, IS_HIDDEN = 4 };

/* Focused by one frame at least, ignored by none. A sample without frames is neither. */
static bool is_sample_kept(const struct profile_sample *s, const unsigned char *marks)
{
	bool is_focused = false;
	uint32_t i;

	for (i = 0; i < s->locations_n; i++) {
		if (marks[s->locations[i]] & IS_IGNORED)
			return false;
		is_focused |= (marks[s->locations[i]] & IS_FOCUSED) != 0;
	}
	return is_focused;
}

static int filter_by_name(struct profile *p, struct matcher *focus, struct matcher *ignore,
			  struct matcher *hide, struct matcher *show, struct why *why)
{
	unsigned char *marks = calloc((size_t)p->locations_n + 1, 1);
	bool has_hidden = false;
	uint32_t i, from, to = 0, frame, kept_n;

	if (marks == NULL) {
		why_set(why, "out of memory");
		return -ENOMEM;
	}
	for (i = 0; i < p->locations_n; i++) {
		struct profile_location *l = &p->locations[i];

		if (ignore->re != NULL && matches_location(ignore, l)) {
			ignore->has_matched = true;
			marks[i] |= IS_IGNORED;
		} else if (focus->re == NULL || matches_location(focus, l)) {
			focus->has_matched = true;
			marks[i] |= IS_FOCUSED;
		}
		if (hide->re != NULL && matches_location(hide, l)) {
			hide->has_matched = true;
			keep_lines(hide, l, false);
			if (l->lines_n == 0)
				marks[i] |= IS_HIDDEN;
		}
		if (show->re != NULL) {
			keep_lines(show, l, true);
			if (l->lines_n == 0)
				marks[i] |= IS_HIDDEN;
			else
				show->has_matched = true;
		}
		has_hidden |= (marks[i] & IS_HIDDEN) != 0;
	}
	for (from = 0; from < p->samples_n; from++) {
		struct profile_sample *s = &p->samples[from];

		if (!is_sample_kept(s, marks))
			continue;
		for (frame = kept_n = 0; has_hidden && frame < s->locations_n; frame++)
			if (!(marks[s->locations[frame]] & IS_HIDDEN))
				s->locations[kept_n++] = s->locations[frame];
		if (has_hidden) {
			s->locations_n = kept_n;
			if (kept_n == 0)
				continue;
		}
		p->samples[to++] = *s;
	}
	p->samples_n = to;
	free(marks);
	return 0;
}

/* Cuts what is above the match next to the root. */
static int filter_show_from(struct profile *p, struct matcher *m, struct why *why)
{
	bool *is_start = calloc((size_t)p->locations_n + 1, sizeof(*is_start));
	uint32_t i, from, to = 0, n;

	if (is_start == NULL) {
		why_set(why, "out of memory");
		return -ENOMEM;
	}
	for (i = 0; i < p->locations_n; i++) {
		struct profile_location *l = &p->locations[i];

		is_start[i] = matches_mapping(m, l);
		if (!is_start[i]) {
			for (n = l->lines_n; n > 0 && !matches_line(m, &l->lines[n - 1]); n--)
				;
			is_start[i] = n > 0;
			if (n > 0)
				l->lines_n = n;
		}
		m->has_matched |= is_start[i];
	}
	for (from = 0; from < p->samples_n; from++) {
		struct profile_sample *s = &p->samples[from];

		for (n = s->locations_n; n > 0 && !is_start[s->locations[n - 1]]; n--)
			;
		if (n == 0)
			continue;
		s->locations_n = n;
		p->samples[to++] = *s;
	}
	p->samples_n = to;
	free(is_start);
	return 0;
}

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

struct label_unit {
	const char *key, *unit;
};

static const char *unit_of_label(const struct label_unit *units, size_t units_n, const char *key)
{
	size_t i;

	for (i = 0; i < units_n; i++)
		if (units[i].key == key)
			return units[i].unit;
	return key;
}

static bool matches_tags(const struct tag_filter *f, const struct profile_sample *s,
			 const struct label_unit *units, size_t units_n, char **buffer,
			 size_t *buffer_size)
{
	size_t i, matched_n = 0;

	if (f->is_range) {
		for (i = 0; i < s->labels_n; i++) {
			const struct profile_label *label = &s->labels[i];

			if (label->str == NULL &&
			    (f->key == NULL || strcmp(label->key, f->key) == 0) &&
			    is_in_range(f, label->num, unit_of_label(units, units_n, label->key)))
				return true;
		}
		return false;
	}
	for (i = 0; i < f->expressions_n; i++)
		matched_n += has_tag(f, f->expressions[i], s, buffer, buffer_size);
	/* With a key a list means "one of them", without one "all of them": pprof's rule. */
	return f->key != NULL ? matched_n > 0 : matched_n == f->expressions_n;
}

/*
 * The unit of each numeric label: the first one given, else "bytes" for two old names, else the key
 * itself.
 */
static struct label_unit *label_units(const struct profile *p, size_t *ret_n)
{
	struct label_unit *units = NULL, *bigger;
	size_t n = 0, max = 0, i;
	uint32_t s, l;

	for (s = 0; s < p->samples_n; s++) {
		for (l = 0; l < p->samples[s].labels_n; l++) {
			const struct profile_label *label = &p->samples[s].labels[l];

			if (label->str != NULL)
				continue;
			for (i = 0; i < n && units[i].key != label->key; i++)
				;
			if (i == n) {
				if (n == max) {
					max = max * 2 + 8;
					bigger = realloc(units, max * sizeof(*units));
					if (bigger == NULL)
						goto out;
					units = bigger;
				}
				units[n++] = (struct label_unit){label->key, ""};
			}
			if (units[i].unit[0] == '\0')
				units[i].unit = label->num_unit;
		}
	}
out:
	for (i = 0; i < n; i++) {
		if (units[i].unit[0] != '\0')
			continue;
		if (strcmp(units[i].key, "alignment") == 0 || strcmp(units[i].key, "request") == 0)
			units[i].unit = "bytes";
		else
			units[i].unit = units[i].key;
	}
	*ret_n = n;
	return units;
}

static void filter_by_tags(struct profile *p, struct tag_filter *focus, struct tag_filter *ignore,
			   const struct label_unit *units, size_t units_n)
{
	char *buffer = NULL;
	size_t buffer_size = 0;
	uint32_t from, to = 0;
	bool is_focused, is_ignored;

	if (!focus->is_on && !ignore->is_on)
		return;
	for (from = 0; from < p->samples_n; from++) {
		const struct profile_sample *s = &p->samples[from];

		is_focused = !focus->is_on ||
			     matches_tags(focus, s, units, units_n, &buffer, &buffer_size);
		is_ignored = ignore->is_on &&
			     matches_tags(ignore, s, units, units_n, &buffer, &buffer_size);
		focus->has_matched |= is_focused;
		ignore->has_matched |= is_ignored;
		if (is_focused && !is_ignored)
			p->samples[to++] = *s;
	}
	p->samples_n = to;
	free(buffer);
}

static void note_unmatched(const struct report *r, const char *name, bool is_on, bool has_matched)
{
	char text[64];

	if (!is_on || has_matched || r->options->note == NULL)
		return;
	snprintf(text, sizeof(text), "-%s matched nothing", name);
	r->options->note(text);
}

int filter_apply(struct report *r, struct why *why)
{
	const struct report_options *o = r->options;
	struct profile *p = &r->profile;
	struct matcher focus = {0}, ignore = {0}, hide = {0}, show = {0}, show_from = {0};
	struct tag_filter tag_focus = {0}, tag_ignore = {0};
	struct label_unit *units = NULL;
	size_t units_n = 0;
	int error;

	error = matcher_init(&focus, p, "-focus", o->focus, why);
	if (error == 0)
		error = matcher_init(&ignore, p, "-ignore", o->ignore, why);
	if (error == 0)
		error = matcher_init(&hide, p, "-hide", o->hide, why);
	if (error == 0)
		error = matcher_init(&show, p, "-show", o->show, why);
	if (error == 0)
		error = matcher_init(&show_from, p, "-show_from", o->show_from, why);
	if (error == 0)
		error = tag_filter_init(&tag_focus, p, "tagfocus", o->tag_focus, o->note, why);
	if (error == 0)
		error = tag_filter_init(&tag_ignore, p, "tagignore", o->tag_ignore, o->note, why);
	if (tag_focus.is_range || tag_ignore.is_range) /* by all samples, those that go below too */
		units = label_units(p, &units_n);
	if (error == 0)
		error = filter_by_name(p, &focus, &ignore, &hide, &show, why);
	if (error == 0 && show_from.re != NULL)
		error = filter_show_from(p, &show_from, why);
	if (error == 0) {
		filter_by_tags(p, &tag_focus, &tag_ignore, units, units_n);
		note_unmatched(r, "focus", focus.re != NULL, focus.has_matched);
		note_unmatched(r, "ignore", ignore.re != NULL, ignore.has_matched);
		note_unmatched(r, "hide", hide.re != NULL, hide.has_matched);
		note_unmatched(r, "show", show.re != NULL, show.has_matched);
		note_unmatched(r, "show_from", show_from.re != NULL, show_from.has_matched);
		note_unmatched(r, "tagfocus", tag_focus.is_on, tag_focus.has_matched);
		note_unmatched(r, "tagignore", tag_ignore.is_on, tag_ignore.has_matched);
	}
	matcher_fini(&focus);
	matcher_fini(&ignore);
	matcher_fini(&hide);
	matcher_fini(&show);
	matcher_fini(&show_from);
	tag_filter_fini(&tag_focus);
	tag_filter_fini(&tag_ignore);
	free(units);
	return error;
}

/* drop_frames */

/* The name up to its parameters, which "(anonymous namespace)" and "operator()" are not. */
static char *without_parameters(const char *name)
{
	static const char anonymous[] = "(anonymous namespace)", call[] = "operator()";
	const char *at;

	if (*name == '.') /* a function descriptor of 64-bit PowerPC */
		name++;
	for (at = name; *at != '\0';) {
		if (strncmp(at, anonymous, sizeof(anonymous) - 1) == 0)
			at += sizeof(anonymous) - 1;
		else if (strncmp(at, call, sizeof(call) - 1) == 0)
			at += sizeof(call) - 1;
		else if (*at == '(')
			break;
		else
			at++;
	}
	return strndup(name, (size_t)(at - name));
}

static bool matches_whole(struct regex *re, const char *name)
{
	return re != NULL && regex_is_match(re, name);
}

static int compile_whole(struct regex **ret, const char *what, const char *pattern, struct why *why)
{
	char *whole;
	struct why inner;
	int r;

	if (asprintf(&whole, "^(%s)$", pattern) < 0) {
		why_set(why, "out of memory");
		return -ENOMEM;
	}
	r = regex_create(ret, whole, &inner);
	free(whole);
	if (r < 0)
		why_set(why, "the profile's %s is not applied: %.220s", what, inner.text);
	return r;
}

enum { CUT_NOT, CUT_HERE, CUT_BENEATH };

/* From the root on, the first frame to cut that comes after one to keep, and all it called, go. */
static void cut_sample(struct profile_sample *s, const unsigned char *cuts)
{
	bool has_kept = false;
	uint32_t i, first;

	for (i = s->locations_n; i-- > 0;) {
		if (cuts[s->locations[i]] == CUT_NOT) {
			has_kept = true;
			continue;
		}
		if (!has_kept)
			continue;
		first = cuts[s->locations[i]] == CUT_HERE ? i + 1 : i;
		s->locations += first;
		s->locations_n -= first;
		return;
	}
}

int filter_drop_frames(struct profile *p, struct why *why)
{
	struct regex *drop = NULL, *keep = NULL;
	unsigned char *cuts = NULL;
	bool *is_dropped = NULL;
	char *name;
	uint32_t i, n;
	int r;

	if (p->drop_frames[0] == '\0')
		return 0;
	r = compile_whole(&drop, "drop_frames", p->drop_frames, why);
	if (r == 0 && p->keep_frames[0] != '\0')
		r = compile_whole(&keep, "keep_frames", p->keep_frames, why);
	if (r < 0)
		goto out;
	cuts = calloc((size_t)p->locations_n + 1, 1);
	is_dropped = calloc((size_t)p->functions_n + 1, sizeof(*is_dropped));
	if (cuts == NULL || is_dropped == NULL)
		goto no_memory;
	for (i = 0; i < p->functions_n; i++) {
		if (p->functions[i].name[0] == '\0')
			continue;
		name = without_parameters(p->functions[i].name);
		if (name == NULL)
			goto no_memory;
		is_dropped[i] = matches_whole(drop, name) && !matches_whole(keep, name);
		free(name);
	}
	for (i = 0; i < p->locations_n; i++) {
		struct profile_location *l = &p->locations[i];

		for (n = l->lines_n; n > 0 && !is_dropped[l->lines[n - 1].function]; n--)
			;
		if (n == 0)
			continue;
		cuts[i] = n == l->lines_n ? CUT_HERE : CUT_BENEATH;
		if (n < l->lines_n) {
			l->lines += n;
			l->lines_n -= n;
		}
	}
	for (i = 0; i < p->samples_n; i++)
		cut_sample(&p->samples[i], cuts);
	goto out;

no_memory:
	why_set(why, "out of memory");
	r = -ENOMEM;
out:
	regex_destroy(drop);
	regex_destroy(keep);
	free(cuts);
	free(is_dropped);
	return r;
}

/* Granularity */

void filter_aggregate(struct profile *p, enum granularity granularity, bool no_inlines)
{
	bool has_function = granularity != BY_FILE;
	bool has_file = granularity != BY_FUNCTION;
	bool has_line = granularity == BY_LINE || granularity == BY_ADDRESS;
	bool has_address = granularity == BY_ADDRESS;
	uint32_t i, j;

	for (i = 0; i < p->functions_n; i++) {
		if (!has_function)
			p->functions[i].name = p->functions[i].system_name = "";
		if (!has_file)
			p->functions[i].file = "";
	}
	for (i = 0; i < p->locations_n; i++) {
		struct profile_location *l = &p->locations[i];

		if (no_inlines && l->lines_n > 1) {
			l->lines += l->lines_n - 1;
			l->lines_n = 1;
		}
		for (j = 0; j < l->lines_n && !has_line; j++)
			l->lines[j].line = 0;
		if (!has_address)
			l->address = 0;
	}
}
