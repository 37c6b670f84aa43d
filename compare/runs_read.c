#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compare/runs.h"

/* How much of a value is one sample's: what a row's count says of it. */
struct weights {
	uint32_t counts, bytes; /* columns, PROFILE_NONE: none */
	uint64_t step; /* of releases one in so many is recorded, and counted as many times */
	double mean;   /* bytes between samples of a heap; 0: it is none */
	double varied; /* what values that differ inside of a row add to their squares */
};

/* The counts beside the values: of columns in pairs, the one before. */
static uint32_t count_column(const struct report *r)
{
	for (uint32_t i = r->column + 1; i-- > 0;)
		if (strcmp(r->profile.sample_types[i].unit, "count") == 0)
			return i;
	return PROFILE_NONE;
}

static uint64_t common_step(const struct profile *p, uint32_t column)
{
	uint64_t step = 0, a, b;

	for (uint32_t i = 0; i < p->samples_n && step != 1; i++) {
		a = (uint64_t)unit_abs(p->samples[i].values[column]);
		for (b = step, step = a; b != 0;) {
			uint64_t rest = step % b;

			step = b;
			b = rest;
		}
	}
	return step != 0 ? step : 1;
}

static bool is_alike(const char *a, const char *b)
{
	return a != NULL && strcmp(a, b) == 0;
}

static struct weights weights_of(const struct report *r)
{
	const struct profile *p = &r->profile;
	struct weights w = {count_column(r), PROFILE_NONE, 1, 0, 1};

	if (w.counts == PROFILE_NONE)
		return w;
	if (is_alike(p->period_type.type, "space") && is_alike(p->period_type.unit, "bytes") &&
	    w.counts + 1 < p->sample_types_n) {
		w.bytes = w.counts + 1;
		w.mean = p->period > 1 ? (double)p->period : 0;
	} else if (strcmp(p->sample_types[w.counts].type, "contentions") == 0) {
		w.step = common_step(p, w.counts);
	}
	/* waits of one place differ as much as those of an exponential distribution: their squares are twice as many */
	if (strcmp(p->sample_types[r->column].type, "delay") == 0)
		w.varied = 2;
	return w;
}

/* How many samples there are in a row. What was made of a heap's samples (output/unsample.h) is undone. */
static double samples_of(const struct weights *w, const struct profile_sample *s)
{
	double count, bytes;

	if (w->counts == PROFILE_NONE)
		return 1;
	count = (double)s->values[w->counts] / (double)w->step;
	if (w->mean > 0) {
		bytes = (double)s->values[w->bytes];
		count *= count > 0 ? 1 - exp(-bytes / count / w->mean) : 0;
	}
	return fmax(count, 1);
}

/* What is being added up: by function, and the number of each line's. */
struct adding {
	struct runs *runs;
	const struct report *report;
	uint32_t *first_line, *function_of; /* as in output/top.c */
	double (*sums)[2 * RUNS_SUMS];      /* sum and spread */
	uint32_t *seen;                     /* number of the last sample that counted in cum */
};

static const char *shown_name(struct profile *p, const struct profile_location *l, uint32_t line)
{
	const char *name = l->lines_n > 0 ? p->functions[l->lines[line].function].name : "";
	const char *file;
	char *text;

	if (name[0] != '\0')
		return name;
	if (l->mapping == PROFILE_NONE || p->mappings[l->mapping].file[0] == '\0')
		return "<unknown>";
	file = path_base(p, p->mappings[l->mapping].file);
	text = profile_alloc(p, strlen(file) + 3);
	if (text == NULL)
		return "";
	sprintf(text, "[%s]", file);
	return text;
}

static int name_lines(struct adding *a, struct profile *p, struct why *why)
{
	size_t n = 0;
	int r;

	for (uint32_t i = 0; i < p->locations_n; i++)
		n += p->locations[i].lines_n == 0 ? 1 : p->locations[i].lines_n;
	a->first_line = calloc((size_t)p->locations_n + 1, sizeof(*a->first_line));
	a->function_of = calloc(n + 1, sizeof(*a->function_of));
	if (a->first_line == NULL || a->function_of == NULL || n >= UINT32_MAX)
		return -ENOMEM;
	n = 0;
	for (uint32_t i = 0; i < p->locations_n; i++) {
		const struct profile_location *l = &p->locations[i];

		a->first_line[i] = (uint32_t)n;
		for (uint32_t j = 0; j < l->lines_n || j == 0; j++) {
			r = runs_name(a->runs, shown_name(p, l, j), &a->function_of[n++], why);
			if (r < 0)
				return r;
		}
	}
	a->first_line[p->locations_n] = (uint32_t)n;
	return profile_error(p);
}

static void add(double sums[2 * RUNS_SUMS], enum runs_sum which, double value, double spread)
{
	sums[which] += value;
	sums[RUNS_SUMS + which] += spread;
}

static void add_sample(struct adding *a, const struct profile_sample *s, uint32_t number,
		       double value, double spread)
{
	uint32_t function;

	for (uint32_t i = 0; i < s->locations_n; i++) {
		uint32_t line = a->first_line[s->locations[i]];
		uint32_t end = a->first_line[s->locations[i] + 1];

		for (; line < end; line++) {
			function = a->function_of[line];
			if (a->seen[function] == number)
				continue; /* recursion: once a sample */
			a->seen[function] = number;
			add(a->sums[function], RUNS_CUM, value, spread);
		}
	}
	if (s->locations_n > 0)
		add(a->sums[a->function_of[a->first_line[s->locations[0]]]], RUNS_FLAT, value,
		    spread);
}

static int add_all(struct adding *a, unsigned side, const char *path, double ratio, struct run *run,
		   struct why *why)
{
	const struct profile *p = &a->report->profile;
	struct weights weights = weights_of(a->report);
	double value, spread, kept = 0;
	int r;

	for (uint32_t i = 0; i < p->samples_n; i++) {
		value = ratio * (double)report_value(a->report, &p->samples[i]);
		if (value < 0) {
			why_set(why,
				"%s has values below 0: it is a difference by itself; profiles of "
				"whole "
				"runs were expected",
				path);
			return -EINVAL;
		}
		if (value == 0)
			continue;
		spread = weights.varied * value * value / samples_of(&weights, &p->samples[i]);
		kept += value;
		run->spread += spread;
		add_sample(a, &p->samples[i], i + 1, value, spread);
	}
	/* numbers that nobody can have counted may have gone round */
	run->total = fmax(run->total, kept);
	/* what a filter took away was like the rest */
	if (kept > 0)
		run->spread *= run->total / kept;
	r = runs_begin(a->runs, side, run, why);
	for (uint32_t i = 0; i < a->runs->names_n && r == 0; i++)
		if (a->sums[i][RUNS_CUM] > 0)
			r = runs_add(a->runs, side, i, a->sums[i], a->sums[i] + RUNS_SUMS, why);
	return r;
}

static void copy(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from != NULL ? from : "");
}

/* The first run says what all are. */
static int check_kind(struct runs *r, const char *path, const struct report *report,
		      double *ret_ratio, struct why *why)
{
	const struct profile *p = &report->profile;
	const char *type = p->sample_types[report->column].type, *unit = report->unit;
	const char *period_type = p->period_type.type != NULL ? p->period_type.type : "";
	const char *period_unit = p->period_type.unit != NULL ? p->period_type.unit : "";

	*ret_ratio = 1;
	if (r->run_n[0] + r->run_n[1] == 0) {
		copy(r->type, sizeof(r->type), type);
		copy(r->unit, sizeof(r->unit), unit);
		copy(r->period_type, sizeof(r->period_type), period_type);
		copy(r->period_unit, sizeof(r->period_unit), period_unit);
		return 0;
	}
	if (strncmp(r->type, type, sizeof(r->type) - 1) != 0 ||
	    !unit_is_compatible(r->unit, unit)) {
		why_set(why,
			"%s has %.40s/%.20s, those before it %.40s/%.20s: different kinds of "
			"profiles; "
			"-sample_index chooses among the columns of one",
			path, type, unit, r->type, r->unit);
		return -EINVAL;
	}
	if (period_unit[0] != '\0' && r->period_unit[0] != '\0' &&
	    (strncmp(r->period_type, period_type, sizeof(r->period_type) - 1) != 0 ||
	     !unit_is_compatible(r->period_unit, period_unit))) {
		why_set(why, "%s is sampled by %.40s/%.20s, those before it by %.40s/%.20s", path,
			period_type, period_unit, r->period_type, r->period_unit);
		return -EINVAL;
	}
	if (strcmp(r->unit, unit) != 0)
		*ret_ratio = unit_scale(1 << 20, unit, r->unit).value / (1 << 20);
	return 0;
}

int runs_read(struct runs *runs, unsigned side, const char *path, struct report *report,
	      struct why *why)
{
	struct profile *p = &report->profile;
	struct adding a = {.runs = runs, .report = report};
	struct run run = {.duration_ns = p->duration_ns, .period = p->period};
	double ratio;
	int r = check_kind(runs, path, report, &ratio, why);

	if (r < 0)
		return r;
	why_set(why, "out of memory");
	run.total = ratio * (double)report->total;
	if (p->mappings_n > 0) {
		if (p->mappings[0].file[0] != '\0')
			copy(run.program, sizeof(run.program), path_base(p, p->mappings[0].file));
		copy(run.build_id, sizeof(run.build_id), p->mappings[0].build_id);
	}
	r = name_lines(&a, p, why);
	if (r == 0) {
		a.sums = calloc((size_t)runs->names_n + 1, sizeof(*a.sums));
		a.seen = calloc((size_t)runs->names_n + 1, sizeof(*a.seen));
		r = a.sums == NULL || a.seen == NULL ? -ENOMEM
						     : add_all(&a, side, path, ratio, &run, why);
	}
	free(a.first_line);
	free(a.function_of);
	free(a.sums);
	free(a.seen);
	return r;
}
