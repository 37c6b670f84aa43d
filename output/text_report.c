#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "output/demangle.h"
#include "output/pprof.h"
#include "output/text_filter.h"

#define MERGE_MAX 64 /* files in memory at once, as pprof */

#define BASE_KEY "pprof::base" /* of a label: this sample is of the base */

const struct report_options report_defaults = {
	.divide_by = 1,
	.unit = "minimum",
	.node_count = -1,
	.node_fraction = 0.005,
	.edge_fraction = 0.001,
};

/* Loading */

/* pprof gives all locations of a profile without mappings one that says nothing. */
static void add_missing_mapping(struct profile *p)
{
	uint32_t i;

	if (p->mappings_n != 0 || profile_append_mapping(p) == NULL)
		return;
	for (i = 0; i < p->locations_n; i++)
		p->locations[i].mapping = 0;
}

/*
 * Source of the heuristic: google/pprof, internal/symbolizer. C++ has <> or ::; Java's ".<" and
 * Go's "])." are not it.
 */
static bool looks_like_cpp(const char *name)
{
	if (strstr(name, ".<") != NULL || strstr(name, "]).") != NULL)
		return false;
	return strpbrk(name, "<>[]") != NULL || strstr(name, "::") != NULL;
}

/*
 * Cuts all between @open and @close, nested ones too. A name where they do not match stays as far
 * as it was cut.
 */
static void cut_brackets(char *name, char open, char close)
{
	char brackets[] = {open, close, '\0'};
	char *at = name, *first = name;
	int depth = 0;

	while ((at = strpbrk(at, brackets)) != NULL) {
		if (*at == open) {
			if (depth++ == 0)
				first = at;
			at++;
		} else {
			if (--depth < 0)
				return;
			at++;
			if (depth == 0) {
				memmove(first, at, strlen(at) + 1);
				at = first;
			}
		}
	}
}

/*
 * Names that are equal to the linker's are shown demangled, without parameters and template
 * arguments.
 */
static void show_names(struct profile *p)
{
	char readable[8192], *copy;
	uint32_t i;

	for (i = 0; i < p->functions_n; i++) {
		struct profile_function *f = &p->functions[i];

		if (f->name[0] != '\0' && strcmp(f->name, f->system_name) != 0)
			continue;
		if (demangle(f->system_name, readable, sizeof(readable)) > 0) {
			f->name = profile_string(p, readable);
			continue;
		}
		f->name = f->system_name;
		if (!looks_like_cpp(f->name))
			continue;
		copy = strdup(f->name);
		if (copy == NULL)
			return;
		cut_brackets(copy, '(', ')');
		cut_brackets(copy, '<', '>');
		f->name = profile_string(p, copy);
		free(copy);
	}
}

bool path_is_url(const char *file)
{
	size_t n = strcspn(file, ":/?#");
	size_t i;

	if (n == 0 || file[n] != ':' || !((file[0] | 0x20) >= 'a' && (file[0] | 0x20) <= 'z'))
		return false;
	for (i = 0; i < n; i++)
		if (!((file[i] | 0x20) >= 'a' && (file[i] | 0x20) <= 'z') &&
		    !(file[i] >= '0' && file[i] <= '9') && strchr("+-.", file[i]) == NULL)
			return false;
	for (i = 0; file[i] != '\0'; i++)
		if ((unsigned char)file[i] < ' ' || file[i] == 0x7f)
			return false;
	return true;
}

static void forget_urls(struct profile *p)
{
	uint32_t i;

	for (i = 0; i < p->mappings_n; i++)
		if (p->mappings[i].build_id[0] == '\0' && path_is_url(p->mappings[i].file))
			p->mappings[i].file = "";
}

/* Adds @paths, MERGE_MAX at most, to what @p has. */
static int load_some(struct profile *p, bool has_some, const struct report_options *options,
		     char *const *paths, size_t n, struct why *why)
{
	struct profile loaded[MERGE_MAX] = {0}, together, *sources[MERGE_MAX];
	struct profile *both[] = {p, &together};
	size_t i, loaded_n = 0;
	int r = 0;

	for (; loaded_n < n && r == 0; loaded_n++) {
		struct profile *source = &loaded[loaded_n];

		r = options->read != NULL
			    ? options->read(options->read_user, paths[loaded_n], source, NULL, why)
			    : pprof_read(paths[loaded_n], source, why);
		if (r < 0)
			break;
		sources[loaded_n] = source;
		add_missing_mapping(source);
		if (options->program != NULL && source->mappings_n > 0)
			source->mappings[0].file = profile_string(source, options->program);
	}
	if (r == 0)
		r = profile_merge(sources, n, &together, why);
	for (i = 0; i < loaded_n; i++)
		profile_fini(&loaded[i]);
	if (r < 0)
		return r;
	if (!has_some) {
		*p = together;
		return 0;
	}
	r = profile_merge(both, 2, &loaded[0], why);
	profile_fini(&together);
	if (r < 0)
		return r;
	profile_fini(p);
	*p = loaded[0];
	return 0;
}

int report_read(struct profile *ret, const struct report_options *options, char *const *paths,
		size_t paths_n, struct why *why)
{
	size_t at, n;
	int r;

	memset(ret, 0, sizeof(*ret));
	for (at = 0; at < paths_n; at += n) {
		n = paths_n - at < MERGE_MAX ? paths_n - at : MERGE_MAX;
		r = load_some(ret, at > 0, options, paths + at, n, why);
		if (r < 0) {
			profile_fini(ret);
			return r;
		}
	}
	return 0;
}

/* Marks all samples as those of a base; pprof knows them by that in files, too. */
static int label_as_base(struct profile *p)
{
	const char *key = profile_string(p, BASE_KEY), *value = profile_string(p, "true");
	struct profile_label *labels;
	uint32_t i, from, to;

	for (i = 0; i < p->samples_n; i++) {
		struct profile_sample *s = &p->samples[i];

		labels = profile_alloc(p, ((size_t)s->labels_n + 1) * sizeof(*labels));
		if (labels == NULL)
			return -ENOMEM;
		for (from = to = 0; from < s->labels_n; from++)
			if (s->labels[from].str == NULL || s->labels[from].key != key)
				labels[to++] = s->labels[from];
		labels[to++] = (struct profile_label){.key = key, .str = value, .num_unit = ""};
		s->labels = labels;
		s->labels_n = to;
	}
	return profile_error(p);
}

static int negate(struct profile *p)
{
	double *ratios = calloc((size_t)p->sample_types_n + 1, sizeof(*ratios));
	uint32_t i;

	if (ratios == NULL)
		return -ENOMEM;
	for (i = 0; i < p->sample_types_n; i++)
		ratios[i] = -1;
	profile_scale(p, ratios);
	free(ratios);
	return 0;
}

static int subtract(struct report *r, struct profile *base, struct why *why)
{
	struct profile *both[] = {&r->profile, base}, difference;
	int error = 0;

	why_set(why, "out of memory");
	if (r->options->is_diff_base)
		error = label_as_base(base);
	if (error == 0 && r->options->is_normalized)
		error = profile_normalize(&r->profile, base, why);
	if (error == 0)
		error = negate(base);
	if (error == 0)
		error = profile_merge(both, 2, &difference, why);
	if (error < 0)
		return error;
	profile_fini(&r->profile);
	r->profile = difference;
	return 0;
}

int report_load(struct report *r, const struct report_options *options, char *const *paths,
		size_t paths_n, struct why *why)
{
	struct profile base = {0};
	int error;

	memset(r, 0, sizeof(*r));
	r->options = options;
	error = report_read(&r->profile, options, paths, paths_n, why);
	if (error == 0 && options->bases_n > 0) {
		error = report_read(&base, options, options->bases, options->bases_n, why);
		if (error == 0)
			error = subtract(r, &base, why);
		profile_fini(&base);
	}
	if (error < 0)
		goto fail;
	if (!options->keep_names)
		show_names(&r->profile);
	error = filter_drop_frames(&r->profile, why);
	if (error == -EINVAL && options->note != NULL)
		options->note(why->text); /* pprof reads on without it, too */
	else if (error < 0)
		goto fail;
	forget_urls(&r->profile);
	error = profile_error(&r->profile);
	if (error < 0) {
		why_set(why, "out of memory");
		goto fail;
	}
	return 0;

fail:
	report_fini(r);
	return error;
}

void report_fini(struct report *r)
{
	free(r->units);
	r->units = NULL;
	profile_fini(&r->profile);
}

/* Preparing */

static bool is_number(const char *text)
{
	if (*text == '+' || *text == '-')
		text++;
	return *text != '\0' && strspn(text, "0123456789") == strlen(text);
}

int report_choose_column(struct report *r, struct why *why)
{
	const struct profile *p = &r->profile;
	const char *wanted = r->options->sample_index, *short_form;
	char types[160] = "";
	long number;
	uint32_t i;

	if (p->sample_types_n == 0) {
		why_set(why, "the profile has no sample types: there is nothing to show");
		return -EINVAL;
	}
	r->column = p->sample_types_n - 1;
	if (wanted == NULL || wanted[0] == '\0') {
		for (i = p->sample_types_n; i-- > 0;)
			if (p->default_sample_type[0] != '\0' &&
			    strcmp(p->sample_types[i].type, p->default_sample_type) == 0)
				r->column = i;
		return 0;
	}
	if (is_number(wanted)) {
		number = strtol(wanted, NULL, 10);
		if (number < 0 || number >= (long)p->sample_types_n) {
			why_set(why, "-sample_index %s: the profile has 0 to %u", wanted,
				p->sample_types_n - 1);
			return -EINVAL;
		}
		r->column = (uint32_t)number;
		return 0;
	}
	short_form = strncmp(wanted, "inuse_", 6) == 0 ? wanted + 6 : wanted;
	for (i = 0; i < p->sample_types_n; i++) {
		if (strcmp(p->sample_types[i].type, wanted) == 0 ||
		    strcmp(p->sample_types[i].type, short_form) == 0) {
			r->column = i;
			return 0;
		}
	}
	for (i = 0; i < p->sample_types_n; i++) {
		size_t n = strlen(types);

		snprintf(types + n, sizeof(types) - n, "%s%s", i == 0 ? "" : ", ",
			 p->sample_types[i].type);
	}
	why_set(why, "-sample_index %.60s: the profile has %s", wanted, types);
	return -EINVAL;
}

int64_t report_value(const struct report *r, const struct profile_sample *s)
{
	return s->values[r->column];
}

int64_t report_divisor(const struct report *r, const struct profile_sample *s)
{
	return r->options->is_mean ? s->values[0] : 0;
}

static int64_t add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static bool is_diff_base(const struct profile_sample *s)
{
	uint32_t i;

	for (i = 0; i < s->labels_n; i++)
		if (s->labels[i].str != NULL && strcmp(s->labels[i].key, BASE_KEY) == 0 &&
		    strcmp(s->labels[i].str, "true") == 0)
			return true;
	return false;
}

/* What 100 % is: all values without their signs; of a difference, those of its base. */
static int64_t sum_total(const struct report *r)
{
	int64_t total = 0, divisor = 0, base_total = 0, base_divisor = 0, value;
	uint32_t i;

	for (i = 0; i < r->profile.samples_n; i++) {
		const struct profile_sample *s = &r->profile.samples[i];

		value = unit_abs(report_value(r, s));
		total = add(total, value);
		divisor = add(divisor, report_divisor(r, s));
		if (is_diff_base(s)) {
			base_total = add(base_total, value);
			base_divisor = add(base_divisor, report_divisor(r, s));
		}
	}
	if (base_total > 0) {
		total = base_total;
		divisor = base_divisor;
	}
	return divisor != 0 ? unit_divide(total, divisor) : total;
}

int report_prepare(struct report *r, struct why *why)
{
	const struct report_options *options = r->options;
	struct profile *p = &r->profile;
	const char *type;
	char *mean_type;
	int error;

	if (options->divide_by == 0) {
		why_set(why, "-divide_by 0: a number other than 0 was expected");
		return -EINVAL;
	}
	r->ratio = 1 / options->divide_by;
	if (report_find_units(r) < 0)
		goto no_memory;
	report_leave_out_idle(r);
	error = filter_label_frames(r, why);
	if (error < 0)
		return error;
	if (options->is_relative) {
		error = filter_apply(r, why);
		if (error < 0)
			return error;
	}
	error = report_choose_column(r, why);
	if (error < 0)
		return error;
	type = p->sample_types[r->column].type;
	if (options->is_mean) {
		mean_type = profile_alloc(p, strlen(type) + 6);
		if (mean_type == NULL)
			goto no_memory;
		strcat(strcpy(mean_type, "mean_"), type);
		type = mean_type;
	}
	r->type = type;
	r->unit = p->sample_types[r->column].unit;
	r->shown_unit = options->unit;
	r->total = sum_total(r);
	if (!options->is_relative) {
		error = filter_apply(r, why);
		if (error < 0)
			return error;
	}
	filter_aggregate(p, options->granularity, options->no_inlines);
	if (profile_error(p) < 0)
		goto no_memory;
	return 0;

no_memory:
	why_set(why, "out of memory");
	return -ENOMEM;
}

/* Printing */

struct unit_label report_label(const struct report *r, int64_t value)
{
	if (r->ratio > 0 && r->ratio != 1)
		value = unit_truncate((double)value * r->ratio);
	return unit_label(value, r->unit, r->shown_unit);
}

/* As in "Jan 2, 2006 at 3:04pm (MST)". */
static void print_time(FILE *to, int64_t time_ns)
{
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t seconds = time_ns / 1000000000 - (time_ns % 1000000000 < 0);
	struct tm tm;

	if (localtime_r(&seconds, &tm) == NULL)
		return;
	fprintf(to, "Time: %s %d, %d at %d:%02d%s (%s)\n", months[tm.tm_mon], tm.tm_mday,
		tm.tm_year + 1900, tm.tm_hour % 12 == 0 ? 12 : tm.tm_hour % 12, tm.tm_min,
		tm.tm_hour < 12 ? "am" : "pm", tm.tm_zone);
}

static void print_duration(const struct report *r, FILE *to)
{
	struct unit_label duration = unit_label(r->profile.duration_ns, "nanoseconds", "auto");
	struct unit_label total = report_label(r, r->total);
	struct unit_value nanoseconds = unit_scale(r->total, r->unit, "nanoseconds");

	fprintf(to, "Duration: %s%s, Total samples = %s%s ", duration.number, duration.unit,
		total.number, total.unit);
	if (strcmp(nanoseconds.unit, "ns") == 0 && nanoseconds.value != 0)
		fprintf(to, "(%s)",
			unit_percent(unit_truncate(nanoseconds.value), r->profile.duration_ns)
				.text);
	fputc('\n', to);
}

int report_print_header(struct report *r, FILE *to)
{
	struct profile *p = &r->profile;
	int lines_n = 0;
	uint32_t i;

	if (p->mappings_n > 0) {
		if (p->mappings[0].file[0] != '\0') {
			fprintf(to, "File: %s\n", path_base(p, p->mappings[0].file));
			lines_n++;
		}
		if (p->mappings[0].build_id[0] != '\0') {
			fprintf(to, "Build ID: %s\n", p->mappings[0].build_id);
			lines_n++;
		}
	}
	for (i = 0; i < p->comments_n; i++) {
		if (p->comments[i][0] != '#') {
			fprintf(to, "%s\n", p->comments[i]);
			lines_n++;
		}
	}
	if (r->type[0] != '\0') {
		fprintf(to, "Type: %s\n", r->type);
		lines_n++;
	}
	if (p->time_ns != 0) {
		print_time(to, p->time_ns);
		lines_n++;
	}
	if (p->duration_ns != 0) {
		print_duration(r, to);
		lines_n++;
	}
	return lines_n;
}

void report_print_filters(const struct report *r, FILE *to)
{
	const struct report_options *o = r->options;
	const struct {
		const char *name, *value;
	} filters[] = {
		{"focus", o->focus},
		{"ignore", o->ignore},
		{"hide", o->hide},
		{"show", o->show},
		{"show_from", o->show_from},
		{"tagfocus", o->tag_focus},
		{"tagignore", o->tag_ignore},
		{"tagshow", o->tag_show},
		{"taghide", o->tag_hide},
	};
	bool has_some = false;
	size_t i, room;

	for (i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		if (filters[i].value == NULL || filters[i].value[0] == '\0')
			continue;
		if (!has_some)
			fprintf(to, "Active filters:\n");
		has_some = true;
		room = 80 - strlen(filters[i].name) - 1;
		fprintf(to, "   %s=%.*s%s\n", filters[i].name, (int)room, filters[i].value,
			strlen(filters[i].value) > room ? "…" : "");
	}
}

int report_end(FILE *to, int error, struct why *why)
{
	if (error < 0) {
		why_set(why, "out of memory");
		return error;
	}
	if (fflush(to) != 0 || ferror(to)) {
		why_set(why, "the output was not taken: %s", strerror(errno));
		return -EIO;
	}
	return 0;
}
