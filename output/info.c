#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "output/info.h"
#include "output/tags.h"

#define LIST_MAX \
	8 /* lines of a list, and values of a label: what does not push the rest off a terminal */
#define TEXT_MAX  200 /* columns of a text that others wrote */
#define VALUE_MAX 40  /* of a label's value, of which there are several in a line */
#define NAME_COLS 11  /* "  Mappings " */

#define LOST "lost: " /* begins a comment of ours */

/* Each line begins with what it is about, or with as many blanks. */
static void begin(const char *name, FILE *to)
{
	fprintf(to, "  %-*s", NAME_COLS - 2, name);
}

/* What others wrote: no control character gets to the terminal, and it has an end. */
static void print_cut(const char *text, size_t columns_max, FILE *to)
{
	size_t columns = 0;

	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		columns += (c & 0xc0) != 0x80;
		if (columns > columns_max) {
			fputs("…", to);
			return;
		}
		if (c < ' ' || c == 0x7f)
			fputs("\u00b7", to);
		else
			fputc(c, to);
	}
}

static void print_text(const char *text, FILE *to)
{
	print_cut(text, TEXT_MAX, to);
}

static void print_more(size_t n, FILE *to)
{
	begin("", to);
	fprintf(to, "and %zu more; -all lists them\n", n);
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void print_when(const struct profile *p, FILE *to)
{
	time_t seconds = p->time_ns / 1000000000 - (p->time_ns % 1000000000 < 0);
	struct unit_label duration = unit_label(p->duration_ns, "nanoseconds", "auto");
	struct tm tm;
	char text[64];

	if (p->time_ns == 0 && p->duration_ns == 0)
		return;
	begin("Recorded", to);
	if (p->time_ns != 0 && localtime_r(&seconds, &tm) != NULL &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", &tm) > 0)
		fprintf(to, "%s%s", text, p->duration_ns != 0 ? ", " : "");
	if (p->duration_ns != 0)
		fprintf(to, "for %s%s", duration.number, duration.unit);
	fputc('\n', to);
}

static void print_program(const struct profile *p, FILE *to)
{
	if (p->mappings_n == 0 || p->mappings[0].file[0] == '\0')
		return;
	begin("Program", to);
	print_text(p->mappings[0].file, to);
	fputc('\n', to);
}

/* "10ms of cpu", and of time also how many a second that makes. */
static void print_period(const struct profile *p, FILE *to)
{
	const struct profile_value_type *type = &p->period_type;
	struct unit_label label;
	struct unit_value ns;

	if (p->period == 0 || type->type == NULL)
		return;
	label = unit_label(p->period, type->unit, "auto");
	ns = unit_scale(p->period, type->unit, "nanoseconds");
	begin("Period", to);
	fprintf(to, "%s%s of ", label.number, label.unit);
	print_text(type->type, to);
	if (strcmp(ns.unit, "ns") == 0 && ns.value >= 1)
		fprintf(to, ": %.4g a second", 1e9 / ns.value);
	fputc('\n', to);
}

/* Samples that stand for those that are not there: ours, and Go's. */
static bool is_lost_name(const char *name)
{
	return strncmp(name, "[lost", 5) == 0 || strstr(name, "lostProfileEvent") != NULL ||
	       strncmp(name, "runtime._Lost", 13) == 0;
}

static int sum_lost(const struct profile *p, int64_t *ret_sums, int64_t *ret_lost)
{
	bool *is_lost = calloc((size_t)p->locations_n + 1, sizeof(*is_lost));
	uint32_t i, j, c;

	if (is_lost == NULL)
		return -ENOMEM;
	for (i = 0; i < p->locations_n; i++)
		for (j = 0; j < p->locations[i].lines_n; j++)
			is_lost[i] |=
				is_lost_name(p->functions[p->locations[i].lines[j].function].name);
	for (i = 0; i < p->samples_n; i++) {
		const struct profile_sample *s = &p->samples[i];
		bool has_lost = false;

		for (j = 0; j < s->locations_n; j++)
			has_lost |= is_lost[s->locations[j]];
		for (c = 0; c < p->sample_types_n; c++) {
			uint64_t value = (uint64_t)s->values[c];

			ret_sums[c] = (int64_t)((uint64_t)ret_sums[c] + value);
			if (has_lost)
				ret_lost[c] = (int64_t)((uint64_t)ret_lost[c] + value);
		}
	}
	free(is_lost);
	return 0;
}

/* A line for each column: its sum, and how much of that stands for what is not there. */
static int print_values(const struct report *r, FILE *to)
{
	const struct profile *p = &r->profile;
	int64_t *sums = calloc((size_t)p->sample_types_n * 2 + 1, sizeof(*sums));
	int64_t *lost;
	uint32_t i;
	int error = sums == NULL ? -ENOMEM : 0;

	if (error == 0) {
		lost = sums + p->sample_types_n;
		error = sum_lost(p, sums, lost);
	}
	for (i = 0; i < p->sample_types_n && error == 0; i++) {
		const struct profile_value_type *type = &p->sample_types[i];
		struct unit_label label = unit_label(sums[i], type->unit, "auto");

		begin(i == 0 ? "Values" : "", to);
		unit_print(to, 10, &label);
		fputs("  ", to);
		print_text(type->type, to);
		fputc('/', to);
		print_text(type->unit, to);
		if (lost[i] != 0) {
			label = unit_label(lost[i], type->unit, "auto");
			fprintf(to, ", of which %s%s (%s) lost", label.number, label.unit,
				unit_percent(lost[i], sums[i]).text +
					strspn(unit_percent(lost[i], sums[i]).text, " "));
		}
		fprintf(to, "%s\n",
			i == r->column && p->sample_types_n > 1 ? "  <- what 'cprof top' shows"
								: "");
	}
	free(sums);
	return error;
}

static void print_samples(const struct profile *p, FILE *to)
{
	uint32_t i, least = UINT32_MAX, most = 0, named_n = 0, with_lines_n = 0;

	for (i = 0; i < p->samples_n; i++) {
		if (p->samples[i].locations_n < least)
			least = p->samples[i].locations_n;
		if (p->samples[i].locations_n > most)
			most = p->samples[i].locations_n;
	}
	for (i = 0; i < p->locations_n; i++) {
		named_n += p->locations[i].lines_n > 0;
		with_lines_n += p->locations[i].lines_n > 0 && p->locations[i].lines[0].line > 0;
	}
	begin("Samples", to);
	if (p->samples_n == 0)
		fprintf(to, "none: nothing was recorded\n");
	else if (least == most)
		fprintf(to, "%u, of %u frame%s\n", p->samples_n, most, plural(most));
	else
		fprintf(to, "%u, of %u to %u frames\n", p->samples_n, least, most);
	begin("Places", to);
	fprintf(to, "%u in %u function%s; %u have a name, %u a source line\n", p->locations_n,
		p->functions_n, plural(p->functions_n), named_n, with_lines_n);
}

/* The values of one key, the largest first. */
static void print_key(const struct tag *tags, size_t n, bool is_all, const char *name, FILE *to)
{
	size_t i, shown_n = is_all || n <= LIST_MAX ? n : LIST_MAX;

	begin(name, to);
	print_text(tags[0].key, to);
	fprintf(to, ": %zu value%s: ", n, plural(n));
	for (i = 0; i < shown_n; i++) {
		fputs(i == 0 ? "" : ", ", to);
		print_cut(tags[i].text[0] == '\0' ? "(empty)" : tags[i].text, VALUE_MAX, to);
	}
	fputs(shown_n < n ? " …\n" : "\n", to);
}

static int print_labels(struct report *r, bool is_all, FILE *to)
{
	struct tag *tags;
	size_t n, first, end, keys_n = 0;
	int error = tags_collect(r, &tags, &n);

	if (error < 0)
		return error;
	for (first = 0; first < n; first = end, keys_n++) {
		for (end = first + 1; end < n && tags[end].key == tags[first].key; end++)
			;
		if (is_all || keys_n < LIST_MAX)
			print_key(tags + first, end - first, is_all, keys_n == 0 ? "Labels" : "",
				  to);
	}
	if (!is_all && keys_n > LIST_MAX)
		print_more(keys_n - LIST_MAX, to);
	free(tags);
	return 0;
}

static void print_mappings(const struct profile *p, bool is_all, FILE *to)
{
	uint32_t i, shown_n = is_all || p->mappings_n <= LIST_MAX ? p->mappings_n : LIST_MAX;

	for (i = 0; i < shown_n; i++) {
		const struct profile_mapping *m = &p->mappings[i];

		begin(i == 0 ? "Mappings" : "", to);
		print_text(m->file[0] == '\0' ? "(no name)" : m->file, to);
		if (m->build_id[0] != '\0') {
			fputs(", build id ", to);
			print_text(m->build_id, to);
		}
		fputc('\n', to);
	}
	if (shown_n < p->mappings_n)
		print_more(p->mappings_n - shown_n, to);
}

static bool is_of_loss(const char *comment)
{
	return strncmp(comment, LOST, strlen(LOST)) == 0;
}

/* What is lost stands in comments of ours, and a profile of ours without one has lost nothing. */
static void print_lost(const struct profile *p, FILE *to)
{
	bool is_ours = false, has_lost = false;
	uint32_t i;

	for (i = 0; i < p->comments_n; i++) {
		is_ours |= strncmp(p->comments[i], "cprof ", 6) == 0;
		if (!is_of_loss(p->comments[i]))
			continue;
		begin(has_lost ? "" : "Lost", to);
		print_text(p->comments[i] + strlen(LOST), to);
		fputc('\n', to);
		has_lost = true;
	}
	if (is_ours && !has_lost) {
		begin("Lost", to);
		fputs("nothing\n", to);
	}
}

static void print_comments(const struct profile *p, bool is_all, FILE *to)
{
	size_t shown_n = 0, n = 0;
	uint32_t i;

	for (i = 0; i < p->comments_n; i++) {
		if (is_of_loss(p->comments[i]))
			continue;
		if (n++ >= LIST_MAX && !is_all)
			continue;
		begin(shown_n++ == 0 ? "Comments" : "", to);
		print_text(p->comments[i], to);
		fputc('\n', to);
	}
	if (shown_n < n)
		print_more(n - shown_n, to);
}

static void print_frames(const struct profile *p, FILE *to)
{
	if (p->drop_frames[0] != '\0') {
		begin("Drops", to);
		fputs("what is called by ", to);
		print_text(p->drop_frames, to);
		if (p->keep_frames[0] != '\0') {
			fputs(", but for ", to);
			print_text(p->keep_frames, to);
		}
		fputc('\n', to);
	}
	if (p->doc_url[0] != '\0') {
		begin("About", to);
		print_text(p->doc_url, to);
		fputc('\n', to);
	}
}

int info_print(struct report *r, const char *path, bool is_all, FILE *to, struct why *why)
{
	const struct profile *p = &r->profile;
	int error;

	fprintf(to, "%s\n", path);
	print_program(p, to);
	print_when(p, to);
	print_period(p, to);
	error = print_values(r, to);
	print_lost(p, to);
	print_samples(p, to);
	if (error == 0)
		error = print_labels(r, is_all, to);
	print_mappings(p, is_all, to);
	print_frames(p, to);
	print_comments(p, is_all, to);
	return report_end(to, error, why);
}
