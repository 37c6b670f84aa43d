#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "output/raw.h"

/*
 * A time as Go prints it: fractions of a second without trailing zeros, the zone as offset and
 * name.
 */
static void print_time(int64_t time_ns, FILE *to)
{
	int64_t fraction = time_ns % 1000000000;
	time_t seconds;
	struct tm tm;
	char digits[16];
	size_t n;
	long offset;

	if (fraction < 0)
		fraction += 1000000000;
	seconds = (time_ns - fraction) / 1000000000;
	if (time_ns < INT64_MIN + 1000000000)
		seconds = time_ns / 1000000000 - 1;
	if (localtime_r(&seconds, &tm) == NULL)
		return;
	snprintf(digits, sizeof(digits), ".%09" PRId64, fraction);
	for (n = strlen(digits); n > 0 && (digits[n - 1] == '0' || n == 1); n--)
		digits[n - 1] = '\0';
	offset = tm.tm_gmtoff / 60;
	fprintf(to, "Time: %04d-%02d-%02d %02d:%02d:%02d%s %c%02ld%02ld %s\n", tm.tm_year + 1900,
		tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, digits,
		offset < 0 ? '-' : '+', labs(offset) / 60, labs(offset) % 60, tm.tm_zone);
}

/* @whole.@fraction with @digits of them, without trailing zeros. */
static void print_decimal(char *to, size_t size, uint64_t value, uint64_t scale, int digits,
			  const char *unit)
{
	char fraction[16];
	int n;

	snprintf(fraction, sizeof(fraction), "%0*" PRIu64, digits, value % scale);
	for (n = digits; n > 0 && fraction[n - 1] == '0'; n--)
		;
	fraction[n] = '\0';
	snprintf(to, size, "%" PRIu64 "%s%s%s", value / scale, n > 0 ? "." : "", fraction, unit);
}

/*
 * The first four characters of a duration as Go prints it, "1m30.5s": that is what pprof -raw
 * shows.
 */
static void print_duration(int64_t duration_ns, FILE *to)
{
	uint64_t ns = duration_ns < 0 ? 0 - (uint64_t)duration_ns : (uint64_t)duration_ns;
	char text[64], seconds[32];
	int columns, i;

	if (ns < 1000)
		snprintf(seconds, sizeof(seconds), "%" PRIu64 "ns", ns);
	else if (ns < 1000000)
		print_decimal(seconds, sizeof(seconds), ns, 1000, 3, "µs");
	else if (ns < 1000000000)
		print_decimal(seconds, sizeof(seconds), ns, 1000000, 6, "ms");
	else
		print_decimal(seconds, sizeof(seconds), ns % UINT64_C(60000000000), 1000000000, 9,
			      "s");

	if (ns >= UINT64_C(3600000000000))
		snprintf(text, sizeof(text), "%s%" PRIu64 "h%" PRIu64 "m%s",
			 duration_ns < 0 ? "-" : "", ns / UINT64_C(3600000000000),
			 ns / UINT64_C(60000000000) % 60, seconds);
	else if (ns >= UINT64_C(60000000000))
		snprintf(text, sizeof(text), "%s%" PRIu64 "m%s", duration_ns < 0 ? "-" : "",
			 ns / UINT64_C(60000000000), seconds);
	else
		snprintf(text, sizeof(text), "%s%s", duration_ns < 0 ? "-" : "", seconds);

	for (i = columns = 0; text[i] != '\0'; i++) { /* characters, not bytes */
		columns += ((unsigned char)text[i] & 0xc0) != 0x80;
		if (columns > 4)
			break;
	}
	fprintf(to, "Duration: %.*s\n", i, text);
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static int print_sample_types(const struct profile *p, FILE *to)
{
	char *line = NULL, *start;
	size_t size = 0, n;
	FILE *text = open_memstream(&line, &size);
	uint32_t i;

	if (text == NULL)
		return -ENOMEM;
	for (i = 0; i < p->sample_types_n; i++)
		fprintf(text, "%s/%s%s ", p->sample_types[i].type, p->sample_types[i].unit,
			strcmp(p->sample_types[i].type, p->default_sample_type) == 0 ? "[dflt]"
										     : "");
	if (fclose(text) != 0 || line == NULL) {
		free(line);
		return -ENOMEM;
	}
	for (n = strlen(line); n > 0 && is_blank(line[n - 1]); n--)
		;
	line[n] = '\0';
	for (start = line; is_blank(*start); start++)
		;
	fprintf(to, "%s\n", start);
	free(line);
	return 0;
}

static int compare_texts(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

/* "key:[v1 v2]" of the labels [first, end), which have one key. NULL when out of memory. */
static char *key_text(const struct profile_label *first, const struct profile_label *end)
{
	const struct profile_label *label;
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);
	bool has_units = false;

	if (to == NULL)
		return NULL;
	for (label = first; label < end; label++)
		has_units |= label->str == NULL && label->num_unit[0] != '\0';
	fprintf(to, "%s:[", first->key);
	for (label = first; label < end; label++) {
		if (label != first)
			fputc(' ', to);
		if (label->str != NULL)
			fputs(label->str, to);
		else if (has_units)
			fprintf(to, "%" PRId64 " %s", label->num, label->num_unit);
		else
			fprintf(to, "%" PRId64, label->num);
	}
	fputc(']', to);
	if (fclose(to) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* One line for [first, end): all strings, or all numbers, sorted by key. */
static int print_labels(const struct profile_label *first, const struct profile_label *end,
			FILE *to)
{
	const struct profile_label *next;
	char **texts;
	size_t n = 0, i;
	int r = 0;

	if (first == end)
		return 0;
	texts = calloc((size_t)(end - first), sizeof(*texts));
	if (texts == NULL)
		return -ENOMEM;
	for (; first < end && r == 0; first = next) {
		for (next = first + 1; next < end && next->key == first->key; next++)
			;
		texts[n] = key_text(first, next);
		if (texts[n++] == NULL)
			r = -ENOMEM;
	}
	if (r == 0) {
		qsort(texts, n, sizeof(*texts), compare_texts);
		fprintf(to, "%16s", "");
		for (i = 0; i < n; i++)
			fprintf(to, "%s%s", i == 0 ? "" : " ", texts[i]);
		fputc('\n', to);
	}
	for (i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
	return r;
}

static int print_sample(const struct profile *p, const struct profile_sample *s, FILE *to)
{
	const struct profile_label *numbers = s->labels, *end = s->labels + s->labels_n;
	uint32_t i;
	int r;

	for (i = 0; i < p->sample_types_n; i++)
		fprintf(to, " %10" PRId64, s->values[i]);
	fprintf(to, ": ");
	for (i = 0; i < s->locations_n; i++)
		fprintf(to, "%u ", s->locations[i] + 1);
	fputc('\n', to);
	while (numbers < end && numbers->str != NULL) /* merging has put the strings first */
		numbers++;
	r = print_labels(s->labels, numbers, to);
	return r < 0 ? r : print_labels(numbers, end, to);
}

/* As Go's %#x: no sign of a base before a lone 0 would be C's way. */
static void print_location(const struct profile *p, uint32_t number, FILE *to)
{
	const struct profile_location *l = &p->locations[number];
	uint32_t i;

	fprintf(to, "%6u: 0x%" PRIx64 " ", number + 1, l->address);
	if (l->mapping != PROFILE_NONE)
		fprintf(to, "M=%u ", l->mapping + 1);
	if (l->is_folded)
		fprintf(to, "[F] ");
	if (l->lines_n == 0)
		fputc('\n', to);
	for (i = 0; i < l->lines_n; i++) {
		const struct profile_function *f = &p->functions[l->lines[i].function];

		fprintf(to, "%s%s %s:%" PRId64 " s=%" PRId64, i == 0 ? "" : "             ",
			f->name, f->file, l->lines[i].line, f->start_line);
		if (strcmp(f->name, f->system_name) != 0)
			fprintf(to, "(%s)", f->system_name);
		fputc('\n', to);
	}
}

int raw_print(struct report *r, FILE *to, struct why *why)
{
	const struct profile *p = &r->profile;
	uint32_t i;
	int error;

	for (i = 0; i < p->comments_n; i++)
		fprintf(to, "Comment: %s\n", p->comments[i]);
	fprintf(to, "PeriodType: %s %s\n", p->period_type.type, p->period_type.unit);
	fprintf(to, "Period: %" PRId64 "\n", p->period);
	if (p->time_ns != 0)
		print_time(p->time_ns, to);
	if (p->duration_ns != 0)
		print_duration(p->duration_ns, to);
	fprintf(to, "Samples:\n");
	error = print_sample_types(p, to);
	for (i = 0; i < p->samples_n && error == 0; i++)
		error = print_sample(p, &p->samples[i], to);
	fprintf(to, "Locations\n");
	for (i = 0; i < p->locations_n; i++)
		print_location(p, i, to);
	fprintf(to, "Mappings\n");
	for (i = 0; i < p->mappings_n; i++) {
		const struct profile_mapping *m = &p->mappings[i];

		fprintf(to, "%u: 0x%" PRIx64 "/0x%" PRIx64 "/0x%" PRIx64 " %s %s %s%s%s%s\n", i + 1,
			m->start, m->limit, m->offset, m->file, m->build_id,
			m->has_functions ? "[FN]" : "", m->has_filenames ? "[FL]" : "",
			m->has_line_numbers ? "[LN]" : "", m->has_inline_frames ? "[IN]" : "");
	}
	return report_end(to, error, why);
}
