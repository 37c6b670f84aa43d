#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output/text_filter.h"
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

static int filter_samples(struct profile *p, struct matcher *focus, struct matcher *ignore,
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

void note_unmatched(const struct report *r, const char *name, bool is_on, bool has_matched)
{
	char text[64];

	if (!is_on || has_matched || r->options->note == NULL)
		return;
	snprintf(text, sizeof(text), "-%s matched nothing", name);
	r->options->note(text);
}

static int filter_by_names(struct report *r, struct why *why)
{
	const struct report_options *o = r->options;
	struct profile *p = &r->profile;
	struct matcher focus = {0}, ignore = {0}, hide = {0}, show = {0}, show_from = {0};
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
		error = filter_samples(p, &focus, &ignore, &hide, &show, why);
	if (error == 0 && show_from.re != NULL)
		error = filter_show_from(p, &show_from, why);
	if (error == 0) {
		note_unmatched(r, "focus", focus.re != NULL, focus.has_matched);
		note_unmatched(r, "ignore", ignore.re != NULL, ignore.has_matched);
		note_unmatched(r, "hide", hide.re != NULL, hide.has_matched);
		note_unmatched(r, "show", show.re != NULL, show.has_matched);
		note_unmatched(r, "show_from", show_from.re != NULL, show_from.has_matched);
	}
	matcher_fini(&focus);
	matcher_fini(&ignore);
	matcher_fini(&hide);
	matcher_fini(&show);
	matcher_fini(&show_from);
	return error;
}

int filter_apply(struct report *r, struct why *why)
{
	int error;

	error = filter_by_names(r, why);
	if (error == 0)
		error = filter_by_tags(r, why);
	if (error == 0)
		error = filter_tag_names(r, why);
	if (error == 0)
		error = filter_prune_from(r, why);
	return error;
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
