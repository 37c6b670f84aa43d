#include "compare/compare.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "compare/stats.h"

/* Fewer functions say nothing about how much samples vary. */
#define DISPERSION_FROM   10
#define CHI_SQUARE_MEDIAN 0.454936 /* of one degree of freedom */
/* Of few functions the median is uncertain: its standard error is 2.33 / sqrt(n) of it. The upper end is taken. */
#define DISPERSION_ERROR 2.33

/* What is looked at while rows are made. */
struct comparing {
	const struct runs *runs;
	const struct compare_options *options;
	struct compare_result *to;
	uint32_t *first; /* of each function in runs->values; one more at the end */
	double *scratch; /* of all runs of both sides */
	uint32_t rows_room;
};

__attribute__((format(printf, 2, 3))) static void warn(struct compare_result *r, const char *format,
						       ...)
{
	va_list args;

	if (r->warnings_n == sizeof(r->warnings) / sizeof(r->warnings[0]))
		return;
	va_start(args, format);
	vsnprintf(r->warnings[r->warnings_n].text, sizeof(r->warnings[0].text), format, args);
	va_end(args);
	r->warnings_n++;
}

static double share_of(double value, double total)
{
	return total > 0 ? value / total : 0;
}

/* A function's value in each run, base first; a run that has not seen it has 0. */
static void values_of(const struct comparing *c, uint32_t function, enum runs_sum sum,
		      bool is_share, double *ret)
{
	const struct runs *runs = c->runs;
	uint32_t n = runs->run_n[0] + runs->run_n[1];

	for (uint32_t i = 0; i < n; i++)
		ret[i] = 0;
	for (uint32_t i = c->first[function]; i < c->first[function + 1]; i++) {
		const struct runs_value *v = &runs->values[i];

		ret[v->run + (v->side != 0 ? runs->run_n[0] : 0)] =
			is_share ? share_of(v->sum[sum], runs->run[v->side][v->run].total)
				 : v->sum[sum];
	}
}

static void totals_of(const struct runs *runs, unsigned side, double *ret)
{
	for (uint32_t i = 0; i < runs->run_n[side]; i++)
		ret[i] = runs->run[side][i].total;
}

/* One file a side: how many samples there are, what part of them a function has, and what they count for. */
struct counted {
	double share[2];
	double n[2]; /* samples, less where this function's differ in size from the others */
};

static struct counted count_function(const struct comparing *c, uint32_t function,
				     enum runs_sum sum)
{
	const struct runs *runs = c->runs;
	struct counted counted = {{0, 0}, {c->to->counts[0], c->to->counts[1]}};
	double part[2] = {0, 0}, n = counted.n[0] + counted.n[1], share, varied;

	for (uint32_t i = c->first[function]; i < c->first[function + 1]; i++) {
		const struct runs_value *v = &runs->values[i];
		const struct run *run = &runs->run[v->side][v->run];

		counted.share[v->side] = share_of(v->sum[sum], run->total);
		part[v->side] = share_of(v->spread[sum], run->spread);
	}
	if (n <= 0)
		return counted;
	share = (counted.share[0] * counted.n[0] + counted.share[1] * counted.n[1]) / n;
	varied = (part[0] * counted.n[0] + part[1] * counted.n[1]) / n;
	if (share <= 0 || share >= 1)
		return counted;
	/* the variance of a ratio, beside the one that it would have were all samples of one size */
	varied = (varied * (1 - share) * (1 - share) + (1 - varied) * share * share) /
		 (share * (1 - share));
	for (unsigned i = 0; i < 2 && varied > 0; i++)
		counted.n[i] /= varied;
	return counted;
}

/* The share of both sides together, which is what decides whether it is tested. */
static double common_share(const struct comparing *c, uint32_t function, enum runs_sum sum)
{
	const uint32_t *runs_n = c->runs->run_n;
	const double *counts = c->to->counts;
	struct counted counted;
	double together = 0;

	if (c->to->is_counts) {
		counted = count_function(c, function, sum);
		return share_of(counted.share[0] * counts[0] + counted.share[1] * counts[1],
				counts[0] + counts[1]);
	}
	values_of(c, function, sum, true, c->scratch);
	for (uint32_t i = 0; i < runs_n[0] + runs_n[1]; i++)
		together += c->scratch[i];
	return together / (runs_n[0] + runs_n[1]);
}

/* Low enough that what is above min_share on the smaller side, and not there on the other, is above it. */
static double least_common_share(const struct comparing *c)
{
	const uint32_t *runs_n = c->runs->run_n;
	const double *counts = c->to->counts;
	double part = c->to->is_counts ? share_of(fmin(counts[0], counts[1]), counts[0] + counts[1])
				       : fmin(runs_n[0], runs_n[1]) / (runs_n[0] + runs_n[1]);

	return c->options->min_share * part;
}

/*
 * Where most functions differ by more than counts would, it is not that most have changed: samples that come in bunches,
 * and runs that differ, do that to all of them.
 */
static void measure_dispersion(struct comparing *c)
{
	double least = least_common_share(c), *squares, share, variance;
	uint32_t n = 0;

	squares = malloc(((size_t)c->runs->names_n + 1) * sizeof(*squares));
	for (uint32_t f = 0; f < c->runs->names_n && squares != NULL; f++) {
		struct counted counted = count_function(c, f, RUNS_FLAT);

		share = common_share(c, f, RUNS_FLAT);
		if (share < least || share <= 0 || share >= 1)
			continue;
		variance = share * (1 - share) * (1 / counted.n[0] + 1 / counted.n[1]);
		squares[n++] = (counted.share[1] - counted.share[0]) *
			       (counted.share[1] - counted.share[0]) / variance;
	}
	if (n >= DISPERSION_FROM)
		c->to->dispersion = fmax(1, stats_median(squares, n) / CHI_SQUARE_MEDIAN *
						    (1 + DISPERSION_ERROR / sqrt(n)));
	free(squares);
}

static int add_row(struct comparing *c, const struct compare_row *row)
{
	uint32_t room = c->rows_room == 0 ? 64 : 2 * c->rows_room;
	struct compare_row *grown;

	if (c->to->rows_n == c->rows_room) {
		grown = realloc(c->to->rows, room * sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		c->to->rows = grown;
		c->rows_room = room;
	}
	c->to->rows[c->to->rows_n++] = *row;
	return 0;
}

/* Tests the values in scratch, which are sorted by it. */
static int test_runs(struct comparing *c, struct compare_row *row)
{
	const uint32_t *n = c->runs->run_n;
	int r = stats_mann_whitney(c->scratch, n, &row->p_alone);

	row->least = stats_mann_whitney_least(n);
	row->value[0] = stats_median(c->scratch, n[0]);
	row->value[1] = stats_median(c->scratch + n[0], n[1]);
	return r < 0 ? r : add_row(c, row);
}

static int add_function(struct comparing *c, uint32_t function, enum runs_sum sum, bool is_share)
{
	struct compare_row row = {.name = c->runs->names[function],
				  .sum = sum,
				  .is_share = is_share,
				  .p_alone = 1,
				  .least = 1};
	struct counted counted;
	double hits[2];

	values_of(c, function, sum, is_share, c->scratch);
	if (!c->to->is_counts)
		return test_runs(c, &row);
	row.value[0] = c->scratch[0];
	row.value[1] = c->scratch[1];
	if (!is_share) /* how much a total differs from run to run, one of them does not say */
		return add_row(c, &row);
	counted = count_function(c, function, sum);
	for (unsigned i = 0; i < 2; i++) {
		counted.n[i] /= c->to->dispersion;
		hits[i] = counted.share[i] * counted.n[i];
	}
	row.p_alone = stats_fisher(hits, counted.n);
	row.least = stats_fisher_least(hits, counted.n);
	return add_row(c, &row);
}

static int add_total(struct comparing *c)
{
	struct compare_row row = {
		.name = "total", .is_all = true, .sum = RUNS_CUM, .p_alone = 1, .least = 1};

	if (c->to->is_counts) {
		row.value[0] = c->to->total[0];
		row.value[1] = c->to->total[1];
		return add_row(c, &row);
	}
	totals_of(c->runs, 0, c->scratch);
	totals_of(c->runs, 1, c->scratch + c->runs->run_n[0]);
	return test_runs(c, &row);
}

static bool wants_share(const struct compare_options *o, const struct condition *c)
{
	return c->scale == SCALE_SHARE || (c->scale == SCALE_DEFAULT && !o->is_absolute);
}

/* Does anybody ask about this function so? Who does by its name has it tested, however small it is. */
static bool is_wanted(const struct comparing *c, uint32_t function, enum runs_sum sum,
		      bool is_share, bool *ret_by_name)
{
	const struct compare_options *o = c->options;
	bool is_wanted = o->conditions_n == 0 && sum == o->sum && is_share != o->is_absolute;

	*ret_by_name = false;
	for (uint32_t i = 0; i < o->conditions_n; i++) {
		const struct condition *condition = &o->conditions[i];

		if (condition->is_all || condition->sum != sum ||
		    wants_share(o, condition) != is_share ||
		    !condition_concerns(condition, c->runs->names[function]))
			continue;
		is_wanted = true;
		*ret_by_name |= condition->is_name;
	}
	return is_wanted;
}

static int make_rows(struct comparing *c)
{
	double least = least_common_share(c), share;
	bool by_name, has_total = c->options->conditions_n == 0 && c->options->is_absolute;
	int r = 0;

	for (uint32_t i = 0; i < c->options->conditions_n; i++)
		has_total = has_total || c->options->conditions[i].is_all;
	if (has_total)
		r = add_total(c);
	for (uint32_t f = 0; f < c->runs->names_n && r == 0; f++) {
		for (unsigned way = 0; way < 4 && r == 0; way++) {
			enum runs_sum sum = way / 2 == 0 ? RUNS_FLAT : RUNS_CUM;
			bool is_share = way % 2 == 0;

			if (!is_wanted(c, f, sum, is_share, &by_name))
				continue;
			share = common_share(c, f, sum);
			if (by_name || (share > 0 && share >= least))
				r = add_function(c, f, sum, is_share);
		}
	}
	return r;
}

static int compare_leasts(const void *left, const void *right)
{
	double a = (*(struct compare_row *const *)left)->least;
	double b = (*(struct compare_row *const *)right)->least;

	return a < b ? -1 : a > b;
}

/*
 * Holm's correction over the rows of which something can be told at all (Tarone's): what they could show at best depends on
 * both sides together, so leaving out the others picks nobody by its difference, and they cost the rest nothing.
 */
static int correct(struct compare_result *to, double alpha)
{
	uint32_t n = to->rows_n, k, tested = n;
	struct compare_row **order = malloc(((size_t)n + 1) * sizeof(*order));
	double *p = malloc(((size_t)n + 1) * sizeof(*p));
	int r = order == NULL || p == NULL ? -ENOMEM : 0;

	for (uint32_t i = 0; i < n && r == 0; i++)
		order[i] = &to->rows[i];
	if (r == 0) {
		qsort(order, n, sizeof(struct compare_row *), compare_leasts);
		for (k = 1;; k++) {
			while (tested > 0 && order[tested - 1]->least * k > alpha)
				tested--;
			if (tested <= k)
				break;
		}
		for (uint32_t i = 0; i < n; i++)
			p[i] = order[i]->p_alone;
		r = stats_holm(p, tested);
	}
	for (uint32_t i = 0; i < n && r == 0; i++) {
		struct compare_row *row = order[i];
		double change = row->value[1] - row->value[0];

		row->p = i < tested ? p[i] : 1;
		row->verdict = i >= tested ? ROW_FEW : ROW_ALIKE;
		if (row->p <= alpha && change != 0)
			row->verdict = change > 0 ? ROW_MORE : ROW_LESS;
		else if (to->is_counts && fmin(to->counts[0], to->counts[1]) < COMPARE_COUNTS_MIN)
			row->verdict = ROW_FEW;
	}
	free(order);
	free(p);
	return r;
}

/* How many runs a side it takes until so many rows can be told apart from chance. */
static uint32_t count_wanted(const struct compare_result *to, double alpha)
{
	uint32_t n[2] = {2, 2};

	if (to->is_counts || to->rows_n == 0 || to->rows[0].least * to->rows_n <= alpha)
		return 0;
	for (; n[0] < RUNS_MAX && stats_mann_whitney_least(n) * to->rows_n > alpha; n[0]++, n[1]++)
		;
	return n[0];
}

static double change_of(const struct compare_row *row)
{
	return fabs(row->value[1] - row->value[0]);
}

static bool has_changed(const struct compare_row *row)
{
	return row->verdict == ROW_MORE || row->verdict == ROW_LESS;
}

/* What has changed before what may not have; the whole before its parts; then the larger change. */
static int compare_rows(const void *left, const void *right)
{
	const struct compare_row *a = left, *b = right;

	if (a->is_all != b->is_all)
		return a->is_all ? -1 : 1;
	if (has_changed(a) != has_changed(b))
		return has_changed(a) ? -1 : 1;
	if (a->is_share != b->is_share)
		return a->is_share ? -1 : 1;
	if (change_of(a) != change_of(b))
		return change_of(a) > change_of(b) ? -1 : 1;
	if (a->sum != b->sum)
		return a->sum < b->sum ? -1 : 1;
	return strcmp(a->name, b->name);
}

static bool concerns(const struct compare_options *o, const struct condition *c,
		     const struct compare_row *row)
{
	if (c->is_all || row->is_all)
		return c->is_all && row->is_all;
	return c->sum == row->sum && wants_share(o, c) == row->is_share &&
	       condition_concerns(c, row->name);
}

/* Beyond the limit, and not by chance: only both together fail. */
static enum condition_verdict judge_row(const struct condition *c, const struct compare_row *row)
{
	bool is_beyond = limit_is_passed(&c->limit, row->value[0], row->value[1]);

	if (is_beyond && row->verdict == (c->limit.is_below ? ROW_LESS : ROW_MORE))
		return CONDITION_FAILED;
	if (row->is_share && row->value[0] >= 1 && row->value[1] >= 1)
		return CONDITION_PASSED; /* main() is always all of it */
	if (row->verdict == ROW_FEW)
		return CONDITION_FEW;
	return is_beyond ? CONDITION_CHANCE : CONDITION_PASSED;
}

static void judge_condition(struct compare_result *to, uint32_t which)
{
	const struct condition *c = &to->options->conditions[which];
	enum condition_verdict verdict, worst = CONDITION_FEW;

	for (uint32_t i = 0; i < to->rows_n; i++) {
		struct compare_row *row = &to->rows[i];

		if (!concerns(to->options, c, row))
			continue;
		verdict = judge_row(c, row);
		row->is_failed |= verdict == CONDITION_FAILED;
		/* one row of which something can be told is enough to tell something */
		if (to->worst[which] == NULL ||
		    (worst == CONDITION_FEW && verdict != CONDITION_FEW) ||
		    (verdict != CONDITION_FEW && verdict > worst)) {
			to->worst[which] = row;
			worst = verdict;
		}
	}
	to->verdicts[which] = worst;
	to->failed_n += worst == CONDITION_FAILED;
	to->few_n += worst == CONDITION_FEW;
}

static int judge(struct compare_result *to)
{
	uint32_t n = to->options->conditions_n;

	to->verdicts = calloc((size_t)n + 1, sizeof(*to->verdicts));
	to->worst = calloc((size_t)n + 1, sizeof(*to->worst));
	if (to->verdicts == NULL || to->worst == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		judge_condition(to, i);
	return 0;
}

/* What one side has in functions that the other has, too. */
static int check_common(struct comparing *c, struct why *why)
{
	double in_both[2] = {0, 0}, all[2] = {0, 0}, sums[2], share;

	for (uint32_t f = 0; f < c->runs->names_n; f++) {
		bool has[2] = {false, false};

		sums[0] = sums[1] = 0;
		for (uint32_t i = c->first[f]; i < c->first[f + 1]; i++) {
			sums[c->runs->values[i].side] += c->runs->values[i].sum[RUNS_FLAT];
			has[c->runs->values[i].side] = true;
		}
		for (unsigned i = 0; i < 2; i++) {
			all[i] += sums[i];
			in_both[i] += has[0] && has[1] ? sums[i] : 0;
		}
	}
	if (all[0] <= 0 || all[1] <= 0)
		return 0;
	if (in_both[0] <= 0 && in_both[1] <= 0) {
		why_set(why,
			"no function of the base is in the new side: another program, or one has "
			"no names; 'cprof top' of both shows what they have");
		return -EINVAL;
	}
	share = fmin(in_both[0] / all[0], in_both[1] / all[1]);
	if (share < 0.5)
		warn(c->to,
		     "only %.0f %% of one side is in functions that the other has, too: were they "
		     "renamed, or is it another program?",
		     100 * share);
	return 0;
}

static bool has_other(const struct run *runs, uint32_t n, size_t offset, const char *than)
{
	for (uint32_t i = 0; i < n; i++) {
		const char *text = (const char *)&runs[i] + offset;

		if (text[0] != '\0' && than[0] != '\0' && strcmp(text, than) != 0)
			return true;
	}
	return false;
}

static void warn_of_runs(struct compare_result *to, const struct runs *runs)
{
	const struct run *a = runs->run[0], *b = runs->run[1];
	bool is_mixed = false;
	double longest = 0, shortest = INFINITY;

	for (unsigned i = 0; i < 2; i++) {
		if (!has_other(runs->run[i], runs->run_n[i], offsetof(struct run, build_id),
			       runs->run[i][0].build_id))
			continue;
		is_mixed = true;
		warn(to, "the %s side has runs of more than one build", i == 0 ? "base" : "new");
	}
	if (has_other(b, runs->run_n[1], offsetof(struct run, program), a[0].program))
		warn(to, "different programs: %s and %s", a[0].program, b[0].program);
	else if (!is_mixed && a[0].build_id[0] != '\0' && strcmp(a[0].build_id, b[0].build_id) == 0)
		warn(to, "both sides are the same build, %.16s", a[0].build_id);
	for (unsigned side = 0; side < 2; side++) {
		for (uint32_t i = 0; i < runs->run_n[side]; i++) {
			const struct run *run = &runs->run[side][i];

			longest = fmax(longest, (double)run->duration_ns);
			shortest = fmin(shortest, (double)run->duration_ns);
			if (run->period != a[0].period && run->period > 0 && a[0].period > 0) {
				warn(to, "not all were sampled with the same period");
				side = 2;
				break;
			}
		}
	}
	if (to->options->is_absolute && shortest > 0 && longest > 1.5 * shortest)
		warn(to, "the runs lasted %.3g s to %.3g s: are their totals comparable?",
		     shortest / 1e9, longest / 1e9);
}

static void count_samples(struct comparing *c)
{
	const struct runs *runs = c->runs;

	for (unsigned side = 0; side < 2; side++) {
		c->to->counts[side] = INFINITY;
		for (uint32_t i = 0; i < runs->run_n[side]; i++) {
			const struct run *run = &runs->run[side][i];

			c->to->counts[side] =
				fmin(c->to->counts[side],
				     run->spread > 0 ? run->total / run->spread * run->total : 0);
		}
		totals_of(runs, side, c->scratch);
		c->to->total[side] = stats_median(c->scratch, runs->run_n[side]);
	}
}

int compare(const struct runs *runs, const struct compare_options *options,
	    struct compare_result *ret, struct why *why)
{
	struct comparing c = {.runs = runs, .options = options, .to = ret};
	uint32_t at = 0;
	int r = -ENOMEM;

	*ret = (struct compare_result){.options = options, .runs = runs, .dispersion = 1};
	ret->is_counts = runs->run_n[0] == 1 && runs->run_n[1] == 1;
	why_set(why, "out of memory");
	c.first = calloc((size_t)runs->names_n + 1, sizeof(*c.first));
	c.scratch = calloc((size_t)runs->run_n[0] + runs->run_n[1] + 1, sizeof(*c.scratch));
	if (c.first == NULL || c.scratch == NULL)
		goto out;
	for (uint32_t f = 0; f <= runs->names_n; f++) {
		while (at < runs->values_n && runs->values[at].function < f)
			at++;
		c.first[f] = at;
	}
	r = check_common(&c, why);
	if (r < 0)
		goto out;
	count_samples(&c);
	if (ret->is_counts)
		measure_dispersion(&c);
	warn_of_runs(ret, runs);
	r = make_rows(&c);
	if (r == 0)
		r = correct(ret, options->alpha);
	if (r == 0) {
		ret->runs_wanted = count_wanted(ret, options->alpha);
		if (ret->rows_n > 0)
			qsort(ret->rows, ret->rows_n, sizeof(*ret->rows), compare_rows);
		r = judge(ret);
	}
out:
	free(c.first);
	free(c.scratch);
	if (r < 0)
		compare_fini(ret);
	return r;
}

void compare_fini(struct compare_result *r)
{
	free(r->rows);
	free(r->verdicts);
	free(r->worst);
	memset(r, 0, sizeof(*r));
}
