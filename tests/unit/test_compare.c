/*
 * What cprof diff finds in runs made by a generator with a fixed seed: how often it finds something where there is nothing,
 * and how often what there is.
 */
#include <errno.h>
#include <math.h>

#include "compare/compare.h"
#include "tests/tap.h"

#define FUNCTIONS 20
#define SAMPLES   1000

static uint64_t state;

static double random_part(void)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (double)((state ^ state >> 29) >> 11 & ((UINT64_C(1) << 42) - 1)) / 0x1p42;
}

/* What a program spends: function i a part of 1 / (i + 1), some in runs that differ from each other. */
struct program {
	double work[FUNCTIONS];
	double jitter;  /* each run's work of a function differs by up to this part */
	unsigned bunch; /* samples come so many at a time */
};

static struct program usual(void)
{
	struct program p = {.bunch = 1};

	for (unsigned i = 0; i < FUNCTIONS; i++)
		p.work[i] = 1.0 / (i + 1);
	return p;
}

static void add_run(struct runs *runs, unsigned side, const struct program *p, unsigned samples)
{
	double work[FUNCTIONS], all = 0, at, counts[FUNCTIONS] = {0};
	struct run run = {.total = samples, .spread = samples};
	char name[16];
	uint32_t number;
	unsigned f;

	for (f = 0; f < FUNCTIONS; f++) {
		work[f] = p->work[f] * (1 + p->jitter * (2 * random_part() - 1));
		all += work[f];
	}
	for (unsigned i = 0; i < samples; i += p->bunch) {
		at = random_part() * all;
		for (f = 0; f + 1 < FUNCTIONS && at >= work[f]; f++)
			at -= work[f];
		counts[f] += p->bunch;
	}
	runs_begin(runs, side, &run, NULL);
	for (f = 0; f < FUNCTIONS; f++) {
		double sums[] = {counts[f], counts[f]};

		snprintf(name, sizeof(name), "f%u", f);
		runs_name(runs, name, &number, NULL);
		if (counts[f] > 0)
			runs_add(runs, side, number, sums, sums, NULL);
	}
}

static struct compare_options options = {.alpha = 0.05, .min_share = 0.005, .sum = RUNS_FLAT};

/* How many of @n comparisons have a row that says more or less; of @name only where it is given. */
static unsigned count_alarms(unsigned n, unsigned runs_a_side, unsigned samples,
			     const struct program *base, const struct program *new,
			     const char *name)
{
	unsigned alarms = 0;

	for (unsigned i = 0; i < n; i++) {
		struct compare_result result;
		struct runs runs = {0};
		bool is_alarm = false;

		for (unsigned k = 0; k < runs_a_side; k++) {
			add_run(&runs, 0, base, samples);
			add_run(&runs, 1, new, samples);
		}
		runs_sort(&runs);
		if (compare(&runs, &options, &result, NULL) < 0)
			abort();
		for (uint32_t k = 0; k < result.rows_n; k++)
			is_alarm = is_alarm ||
				   ((name == NULL || strcmp(name, result.rows[k].name) == 0) &&
				    (result.rows[k].verdict == ROW_MORE ||
				     result.rows[k].verdict == ROW_LESS));
		alarms += is_alarm;
		compare_fini(&result);
		runs_fini(&runs);
	}
	return alarms;
}

static void test_nothing(void)
{
	struct program same = usual();
	unsigned alarms;

	state = 1;
	alarms = count_alarms(2000, 1, SAMPLES, &same, &same, NULL);
	ok(alarms <= 100, "one run a side, no difference: %u alarms in 2000", alarms);
	same.bunch = 4;
	alarms = count_alarms(2000, 1, SAMPLES, &same, &same, NULL);
	ok(alarms <= 100, "samples that come four at a time: %u in 2000", alarms);
	same.bunch = 1;
	same.jitter = 0.3;
	alarms = count_alarms(1000, 10, SAMPLES, &same, &same, NULL);
	ok(alarms <= 50, "ten a side that differ by a third: %u in 1000", alarms);
	options.sum = RUNS_CUM;
	options.is_absolute = true;
	alarms = count_alarms(1000, 7, SAMPLES, &same, &same, NULL);
	ok(alarms <= 50, "seven a side, totals: %u in 1000", alarms);
	options.sum = RUNS_FLAT;
	options.is_absolute = false;
}

static void test_something(void)
{
	struct program before = usual(), after = usual();
	double all = 0;
	unsigned found;

	for (unsigned i = 0; i < FUNCTIONS; i++)
		all += before.work[i];
	after.work[2] += 0.05 * all; /* the program takes 5 % longer */
	state = 2;
	found = count_alarms(300, 10, SAMPLES, &before, &after, "f2");
	ok(found >= 285, "a regression of 5 %% of the whole, ten a side: found %u times in 300",
	   found);
	before.jitter = after.jitter = 0.1;
	found = count_alarms(300, 10, SAMPLES, &before, &after, "f2");
	ok(found >= 285, "in runs that differ by a tenth: %u in 300", found);
	before.jitter = after.jitter = 0;
	found = count_alarms(300, 1, 8 * SAMPLES, &before, &after, "f2");
	ok(found >= 285, "one run a side of 8000 samples: %u in 300", found);
	after = before;
	after.work[0] *= 1.05; /* a function takes 5 % longer that has a quarter of all */
	found = count_alarms(50, 10, 16 * SAMPLES, &before, &after, "f0");
	ok(found >= 48, "a function 5 %% slower, ten a side of 16000 samples: %u in 50", found);
}

/* Two sides of one run each; the numbers are samples. */
static int judge(const char *condition_text, double base_n, double base_hits, double new_n,
		 double new_hits, struct compare_result *result, struct runs *runs,
		 struct condition *condition, struct compare_options *o)
{
	double n[] = {base_n, new_n}, hits[] = {base_hits, new_hits};
	uint32_t number;

	memset(runs, 0, sizeof(*runs));
	for (unsigned side = 0; side < 2; side++) {
		struct run run = {.total = n[side], .spread = n[side]};
		double parse[] = {hits[side], hits[side]};
		double rest[] = {n[side] - hits[side], n[side]};

		runs_begin(runs, side, &run, NULL);
		runs_name(runs, "parse", &number, NULL);
		if (hits[side] > 0)
			runs_add(runs, side, number, parse, parse, NULL);
		runs_name(runs, "main", &number, NULL);
		runs_add(runs, side, number, rest, rest, NULL);
	}
	runs_sort(runs);
	*o = options;
	if (condition_parse(condition_text, condition, NULL) < 0)
		return -EINVAL;
	o->conditions = condition;
	o->conditions_n = 1;
	return compare(runs, o, result, NULL);
}

static void test_verdicts(void)
{
	static const struct {
		const char *condition;
		double base_n, base_hits, new_n, new_hits;
		enum condition_verdict want;
	} cases[] = {
		{"flat:parse>+2pp", 10000, 820, 10000, 1230, CONDITION_FAILED},
		{"flat_share>+2pp", 10000, 820, 10000, 1230, CONDITION_FAILED},
		{"flat:parse>+5pp", 10000, 820, 10000, 1230, CONDITION_PASSED},
		{"flat:parse>+40%", 10000, 820, 10000, 1230, CONDITION_FAILED},
		{"flat:parse>1.6x", 10000, 820, 10000, 1230, CONDITION_PASSED},
		{"flat:parse>+2pp", 150, 12, 150, 18, CONDITION_CHANCE},
		{"flat:parse<-2pp", 10000, 1230, 10000, 820, CONDITION_FAILED},
		{"flat:parse<-2pp", 10000, 820, 10000, 1230, CONDITION_PASSED},
		{"flat:par*>+2pp", 10000, 820, 10000, 1230, CONDITION_FAILED},
		{"flat:parse>+2pp", 10000, 0, 10000, 300, CONDITION_FAILED},
		{"flat:parser>+2pp", 10000, 820, 10000, 1230, CONDITION_FEW},
		{"flat:parse>+2pp", 90, 9, 90, 10, CONDITION_FEW},
		{"flat:parse>+2pp", 0, 0, 0, 0, CONDITION_FEW},
		{"total>+5%", 10000, 820, 10000, 1230, CONDITION_FEW},
		{"cum:main>+1%", 10000, 820, 10000, 1230, CONDITION_PASSED},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct compare_result result = {0};
		struct compare_options o;
		struct condition condition;
		struct runs runs;
		int r = judge(cases[i].condition, cases[i].base_n, cases[i].base_hits,
			      cases[i].new_n, cases[i].new_hits, &result, &runs, &condition, &o);

		if (ok(r == 0, "%s is compared", cases[i].condition)) {
			is_u64(result.verdicts[0], cases[i].want, "%s: %g of %g, then %g of %g",
			       cases[i].condition, cases[i].base_hits, cases[i].base_n,
			       cases[i].new_hits, cases[i].new_n);
			compare_fini(&result);
		}
		runs_fini(&runs);
	}
}

/* What is tested must not depend on the difference. */
static void test_selection(void)
{
	struct compare_result result;
	struct runs runs = {0};
	struct run run = {.total = 10000, .spread = 10000};
	/* 0.51 % on one side alone is tested, and so is what both together have as much of */
	const double hits[][2] = {{51, 0}, {0, 51}, {25.5, 25.5}, {20, 20}, {9900, 9900}};
	uint32_t number;
	char name[16];

	for (unsigned side = 0; side < 2; side++) {
		runs_begin(&runs, side, &run, NULL);
		for (unsigned i = 0; i < 5; i++) {
			double sums[] = {hits[i][side], hits[i][side]};

			snprintf(name, sizeof(name), "f%u", i);
			runs_name(&runs, name, &number, NULL);
			if (sums[0] > 0)
				runs_add(&runs, side, number, sums, sums, NULL);
		}
	}
	runs_sort(&runs);
	ok(compare(&runs, &options, &result, NULL) == 0, "compared");
	is_u64(result.rows_n, 4, "all but the one that has less on both sides together");
	is_str(result.rows[0].name, "f0", "the largest change first");
	is_str(result.rows[3].name, "f4", "nothing last");
	compare_fini(&result);
	runs_fini(&runs);
}

static void test_few_runs(void)
{
	struct program p = usual();
	struct compare_result result;
	struct runs runs = {0};

	state = 3;
	for (unsigned i = 0; i < 3; i++) {
		add_run(&runs, 0, &p, SAMPLES);
		add_run(&runs, 1, &p, SAMPLES);
	}
	runs_sort(&runs);
	ok(compare(&runs, &options, &result, NULL) == 0, "three a side are compared");
	ok(result.rows[0].verdict == ROW_FEW, "and nothing can be told of them");
	is_u64(result.rows_n, FUNCTIONS, "of any function");
	is_u64(result.runs_wanted, 6, "it takes six: 2 / 924 * 20 < 0.05 < 2 / 252 * 20");
	compare_fini(&result);
	runs_fini(&runs);
}

static void test_conditions(void)
{
	static const char *const good[] = {
		"flat>+2pp",  "flat_share > 2pp",        "cum:parse>+10%", "cum_total:operator<<5%",
		"total>1.1x", "flat:std::less<int><-3%", "flat:a b > 3%"};
	static const char *const bad[] = {
		"",          "flat",          "flat>",      "flat>10ms",      "fat>2pp",
		"flat:>2pp", "total:x>2%",    "total>2pp",  "flat_total>2pp", "flat>0.5x",
		"flat<2x",   "flat parse>2%", "flat>2pp,x", "flat>-2%",
	};
	struct condition c;
	struct why why;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(condition_parse(good[i], &c, &why) == 0, "%s", good[i]);
	condition_parse("cum_total:operator<<5%", &c, &why);
	is_str(c.function, "operator<", "a name with < in it");
	ok(c.is_name && c.limit.is_below && c.sum == RUNS_CUM && c.scale == SCALE_TOTAL,
	   "and the rest");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why.text[0] = '\0';
		ok(condition_parse(bad[i], &c, &why) < 0 && why.text[0] != '\0', "not '%s': %s",
		   bad[i], why.text);
	}
}

int main(void)
{
	plan_begin();
	test_conditions();
	test_selection();
	test_verdicts();
	test_few_runs();
	test_nothing();
	test_something();
	return plan_end();
}
