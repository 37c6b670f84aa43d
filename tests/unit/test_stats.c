/* The tests behind cprof diff, on tables whose p others have worked out, and limits of conditions. */
#include <math.h>

#include "compare/limit.h"
#include "compare/stats.h"
#include "tests/tap.h"

static bool is_near(double got, double want)
{
	if (fabs(got - want) <= 1e-9 * fabs(want))
		return true;
	note("got %.17g, wanted %.17g", got, want);
	return false;
}

/* Worked out with fractions. */
static void test_fisher(void)
{
	static const struct {
		double hits[2], n[2], p;
	} cases[] = {
		{{3, 1}, {4, 4}, 0.4857142857142857},
		{{1, 11}, {10, 14}, 0.0027594561852200836},
		{{82, 123}, {1000, 1000}, 0.0031116976696567954},
		{{0, 5}, {50, 50}, 0.05628449442882433},
		{{500, 500}, {1000, 1000}, 1},
		{{2.7, 1.2}, {4.1, 3.9}, 0.4857142857142857},
		{{0, 0}, {10, 10}, 1},
		{{10, 10}, {10, 10}, 1},
	};
	double turned[2][2];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ok(is_near(stats_fisher(cases[i].hits, cases[i].n), cases[i].p), "table %zu", i);
		for (unsigned k = 0; k < 2; k++) {
			turned[0][k] = cases[i].hits[1 - k];
			turned[1][k] = cases[i].n[1 - k];
		}
		ok(is_near(stats_fisher(turned[0], turned[1]), cases[i].p), "table %zu, turned", i);
	}
	ok(is_near(stats_fisher_least((double[]){2, 3}, (double[]){50, 50}), 0.05628449442882433),
	   "the least of five hits");
	/* far out, and large: what the normal distribution says of it is right within a part in fifty there */
	ok(fabs(stats_fisher((double[]){5000000, 5005000}, (double[]){1e7, 1e7}) /
			erfc(sqrt(0.5) * 5000 / sqrt(5e6)) -
		1) < 0.02,
	   "ten million samples");
	ok(stats_fisher((double[]){1e6, 0}, (double[]){2e6, 2e6}) == 0, "what cannot be");
	ok(stats_fisher((double[]){1e300, 1e18}, (double[]){1e300, 1e18}) == 1,
	   "counts without end");
}

/* Counted over all ways to share the values out. */
static void test_mann_whitney(void)
{
	double apart[] = {1, 2, 3, 4, 5, 6}, tied[] = {1, 2, 2, 3, 2, 3, 4, 5, 6};
	double ten[] = {1.1, 2.2, 3.3, 4.4, 5.5, 6.6, 7.7, 8.8, 9.9, 10.1,
			3,   5,   7,   9,   11,  13,  15,  17,  19,  21};
	double same[] = {1, 1, 1, 1, 1, 1}, many[55], p;

	stats_mann_whitney(apart, (uint32_t[]){3, 3}, &p);
	ok(is_near(p, 0.1), "three below three");
	stats_mann_whitney(tied, (uint32_t[]){4, 5}, &p);
	ok(is_near(p, 0.07936507936507936), "ties");
	stats_mann_whitney(ten, (uint32_t[]){10, 10}, &p);
	ok(is_near(p, 0.023230639329710537), "ten of each");
	stats_mann_whitney(same, (uint32_t[]){3, 3}, &p);
	ok(p == 1, "all alike");
	for (unsigned i = 0; i < 25; i++)
		many[i] = i % 7 + i * 0.25;
	for (unsigned i = 0; i < 30; i++)
		many[25 + i] = i % 5 + i * 0.25 + 1;
	stats_mann_whitney(many, (uint32_t[]){25, 30}, &p);
	ok(is_near(p, 0.3646579357692047), "many: the normal approximation");
	ok(is_near(stats_mann_whitney_least((uint32_t[]){10, 10}), 2 / 184756.0),
	   "the least of ten");
	ok(stats_mann_whitney_least((uint32_t[]){1, 1}) == 1, "and of one");
}

static void test_holm(void)
{
	double p[] = {0.01, 0.04, 0.03, 0.005}, large[] = {0.9, 0.5}, odd[] = {3, 1, 2},
	       even[] = {4, 1, 3, 2};

	stats_holm(p, 4);
	ok(is_near(p[0], 0.03) && is_near(p[1], 0.06) && is_near(p[2], 0.06) && is_near(p[3], 0.02),
	   "Holm: times four, three, two, one, and never less than one before");
	stats_holm(large, 2);
	ok(large[0] == 1 && large[1] == 1, "and never above 1");
	ok(stats_median(odd, 3) == 2 && stats_median(even, 4) == 2.5, "medians");
}

static void test_limits(void)
{
	static const struct {
		const char *text;
		double before, now;
		int want; /* -1: refused */
	} cases[] = {
		{">20%", 10, 12.1, 1},   {">20%", 10, 11.9, 0},    {">+20%", 10, 12.1, 1},
		{"<20%", 10, 7.9, 1},    {"<-20%", 10, 8.1, 0},    {">2pp", 0.08, 0.101, 1},
		{">+2pp", 0.08, 0.1, 0}, {"<-2pp", 0.08, 0.05, 1}, {">1.5x", 10, 15.1, 1},
		{"<0.5x", 10, 5.1, 0},   {">10ms", 0, 1.1e7, 1},   {">3", 100, 2, 0},
		{">10%", 0, 0.001, 1},   {">-2pp", 0, 0, -1},      {"<+2pp", 0, 0, -1},
		{">+2x", 0, 0, -1},      {">2ppp", 0, 0, -1},      {">", 0, 0, -1},
		{"2pp", 0, 0, -1},       {">1e999%", 0, 0, -1},    {">%", 0, 0, -1},
	};
	struct limit l;
	const char *behind;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		behind = limit_parse(cases[i].text, &l);
		if (behind == NULL || cases[i].want < 0)
			ok(behind == NULL && cases[i].want < 0, "%s is refused", cases[i].text);
		else
			ok(limit_is_passed(&l, cases[i].before, cases[i].now) ==
				   (cases[i].want == 1),
			   "%s: from %g to %g", cases[i].text, cases[i].before, cases[i].now);
	}
	behind = limit_parse(">2%,x", &l);
	ok(behind != NULL && strcmp(behind, ",x") == 0, "a comma ends it");
}

int main(void)
{
	plan_begin();
	test_fisher();
	test_mann_whitney();
	test_holm();
	test_limits();
	return plan_end();
}
