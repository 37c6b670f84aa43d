/* The printed reports on a profile of known sums, units, and the expressions behind -focus. */
#include <errno.h>
#include <time.h>

#include "output/raw.h"
#include "output/text.h"
#include "output/text_regex.h"
#include "output/text_unit.h"
#include "output/top.h"
#include "tests/tap.h"

static void is_label(int64_t value, const char *from, const char *to, const char *want)
{
	struct unit_label label = unit_label(value, from, to);
	char got[400];

	snprintf(got, sizeof(got), "%s%s", label.number, label.unit);
	is_str(got, want, "%lld %s in %s", (long long)value, from, to);
}

static void test_units(void)
{
	is_label(0, "nanoseconds", "auto", "0");
	is_label(999, "nanoseconds", "auto", "999ns");
	is_label(1500000, "nanoseconds", "auto", "1.50ms");
	is_label(-1500000, "nanoseconds", "auto", "-1.50ms");
	is_label(7200, "seconds", "auto", "2hrs");
	is_label(4096, "bytes", "auto", "4kB");
	is_label(4096, "bytes", "MB", "0");
	is_label(1, "MB", "bytes", "1048576B");
	is_label(5, "count", "minimum", "5");
	is_label(5, "widgets", "widgets", "5widgets");
	is_label(INT64_MIN, "ns", "auto", "-9223372036.85s");
	is_str(unit_percent(1, 3).text, "33.33%", "a third");
	is_str(unit_percent(9996, 10000).text, "  100%", "nearly all");
	is_str(unit_percent(-5, 1000).text, "  0.5%", "half a percent, without its sign");
	is_str(unit_percent(1, 10000000).text, "1e-05%", "next to nothing");
	is_str(unit_percent(1, 0).text, "    0%", "of nothing");
}

static void test_regex(void)
{
	static const struct {
		const char *pattern, *text;
		int result; /* -1: refused */
	} cases[] = {
		{"", "", 1},
		{"a", "", 0},
		{"b", "abc", 1},
		{"^b", "abc", 0},
		{"c$", "abc", 1},
		{"^$", "", 1},
		{"a.c", "xabcx", 1},
		{"a.c", "a\nc", 0},
		{"(?s)a.c", "a\nc", 1},
		{"a|b|c", "xxc", 1},
		{"^(a|b|cd)$", "cd", 1},
		{"^(a|b|cd)$", "c", 0},
		{"a*", "", 1},
		{"^a*$", "aaaa", 1},
		{"^a+$", "", 0},
		{"^ab?c$", "ac", 1},
		{"^(ab)*$", "ababab", 1},
		{"^(ab)*$", "aba", 0},
		{"^a{3}$", "aaa", 1},
		{"^a{3}$", "aa", 0},
		{"^a{2,}$", "aaaa", 1},
		{"^a{2,3}$", "aaaa", 0},
		{"^a{0,2}$", "", 1},
		{"^a{0,2}b$", "aab", 1},
		{"^(a|b){2}$", "ba", 1},
		{"^x{0}$", "", 1},
		{"^a{,2}$", "a{,2}", 1},
		{"(a*)*", "b", 1},
		{"(a*)+$", "aab", 1},
		{"[a-c]", "xbx", 1},
		{"[^a-c]", "abc", 0},
		{"[]a]", "]", 1},
		{"[a\\]]", "]", 1},
		{"[[:digit:]]+", "x42", 1},
		{"[[:^digit:]]", "42", 0},
		{"\\d+\\s\\w", "1 x", 1},
		{"\\D", "42", 0},
		{"[\\d.]+$", "1.5", 1},
		{"\\bfoo\\b", "a foo b", 1},
		{"\\bfoo\\b", "afoo", 0},
		{"\\Boo", "foo", 1},
		{"(?i)MAIN", "main", 1},
		{"(?i:m)AIN", "main", 0},
		{"(?i)[A-C]+$", "abc", 1},
		{"\\.", "ab", 0},
		{"\\Qa.b\\E", "axb", 0},
		{"\\Qa.b\\Ec", "a.bc", 1},
		{"\\x41\\x{263a}", "A\xe2\x98\xba", 1},
		{"^.$", "\xc3\xa9", 1},
		{"^..$", "\xc3\xa9", 0},
		{"^.$", "\xff", 1},
		{"(?P<n>a)b", "ab", 1},
		{"(?m)^b$", "a\nb\nc", 1},
		{"a.*?c", "abbc", 1},
		{"main\\.\\(\\*T\\)", "main.(*T).f", 1},
		{"std::", "std::x", 1},
		{"\\Ax", "ax", 0},
		{"x\\z", "ax", 1},
		{"\t", "a\tb", 1},
		{"\\t", "a\tb", 1},
		{"(", "", -1},
		{")", "", -1},
		{"[a", "", -1},
		{"*a", "", -1},
		{"a**", "", -1},
		{"\\", "", -1},
		{"a{2,1}", "", -1},
		{"a{1001}", "", -1},
		{"\\pL", "", -1},
		{"\\1", "", -1},
		{"[b-a]", "", -1},
		{"(?=a)", "", -1},
		{"((a{1000}){1000}){1000}", "", -1},
		{"[[:nope:]]", "", -1},
	};
	struct regex *re;
	struct why why;
	char deep[2001];
	size_t i;
	int r;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		r = regex_create(&re, cases[i].pattern, &why);
		if (r == 0) {
			r = regex_is_match(re, cases[i].text);
			regex_destroy(re);
		} else {
			r = -1;
		}
		ok(r == cases[i].result, "expression %zu: '%s'", i,
		   cases[i].pattern[0] == '\t' ? "tab" : cases[i].pattern);
	}
	memset(deep, '(', 2000);
	deep[2000] = '\0';
	ok(regex_create(&re, deep, &why) == -EINVAL, "two thousand parentheses");
}

static void test_paths(void)
{
	static const char *const clean[][2] = {
		{"", "."},       {"a", "a"},           {"a//b/./c", "a/b/c"},
		{"a/../b", "b"}, {"../a", "../a"},     {"a/../..", ".."},
		{"/..", "/"},    {"/a/../../b", "/b"}, {"a/", "a"},
		{"./", "."},     {"/", "/"},           {"../../x", "../../x"},
	};
	static const char *const base[][2] = {
		{"", "."},      {"/bin/x", "x"}, {"x", "x"},
		{"/a/b/", "b"}, {"///", "/"},    {"[vdso]", "[vdso]"},
	};
	struct profile p;
	size_t i;

	profile_init(&p);
	for (i = 0; i < sizeof(clean) / sizeof(clean[0]); i++)
		is_str(path_clean(&p, clean[i][0]), clean[i][1], "path_clean '%s'", clean[i][0]);
	for (i = 0; i < sizeof(base) / sizeof(base[0]); i++)
		is_str(path_base(&p, base[i][0]), base[i][1], "path_base '%s'", base[i][0]);
	profile_fini(&p);
}

/* main → work → (inlined) step, and main → step. */
static void make(struct profile *p)
{
	static const char *const names[] = {"main", "work", "step"};
	struct profile_line main_line = {0, 5, 0}, step_line = {2, 30, 0},
			    both[] = {{2, 31, 0}, {1, 20, 0}};
	uint32_t stacks[][2] = {{1, 0}, {2, 0}};
	int64_t values[][2] = {{3, 30000000}, {1, 10000000}};
	uint32_t i;

	profile_init(p);
	profile_add_sample_type(p, "samples", "count");
	profile_add_sample_type(p, "cpu", "nanoseconds");
	profile_add_mapping(p, &(struct profile_mapping){
				       .start = 0x1000, .limit = 0x2000, .file = "/usr/bin/demo"});
	for (i = 0; i < 3; i++)
		profile_add_function(p, &(struct profile_function){.name = names[i],
								   .system_name = names[i],
								   .file = "demo.c"});
	profile_add_location(p, &(struct profile_location){0x1010, 0, false, 1, &main_line});
	profile_add_location(p, &(struct profile_location){0x1020, 0, false, 2, both});
	profile_add_location(p, &(struct profile_location){0x1030, 0, false, 1, &step_line});
	for (i = 0; i < 2; i++)
		profile_add_sample(p, &(struct profile_sample){2, 0, stacks[i], values[i], NULL});
	p->time_ns = 1700000000000000000;
	p->duration_ns = 1000000000;
}

static void is_report(const struct report_options *options,
		      int (*print)(struct report *, FILE *, struct why *), const char *want,
		      const char *name)
{
	struct report r = {.options = options};
	struct profile p, *only = &p;
	struct why why;
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	make(&p);
	ok(profile_merge(&only, 1, &r.profile, &why) == 0 && report_prepare(&r, &why) == 0 &&
		   print(&r, to, &why) == 0,
	   "%s", name);
	fclose(to);
	is_str(text, want, "%s: the text", name);
	free(text);
	report_fini(&r);
	profile_fini(&p);
}

/* One stack that waits for a lock, one that waits for work. */
static void make_waits(struct profile *p, const char *column, const char *idle)
{
	struct profile_label label = {.key = "idle", .str = idle, .num_unit = ""};
	static const char *const names[] = {"get", "pop"};

	profile_init(p);
	profile_add_sample_type(p, column, "count");
	profile_add_sample_type(p, "delay", "nanoseconds");
	for (uint32_t i = 0; i < 2; i++) {
		struct profile_function f = {names[i], names[i], "", 0};
		struct profile_line line = {profile_add_function(p, &f), 0, 0};
		struct profile_location l = {.address = 0x1000 + i,
					     .mapping = PROFILE_NONE,
					     .lines_n = 1,
					     .lines = &line};
		uint32_t location = profile_add_location(p, &l);
		int64_t values[] = {4 - i, i == 0 ? 20000000 : 9000000000};
		struct profile_sample sample = {.locations_n = 1,
						.locations = &location,
						.values = values,
						.labels_n = i,
						.labels = &label};

		profile_add_sample(p, &sample);
	}
}

static void is_waits(const struct report_options *options, const char *column, const char *idle,
		     int (*print)(struct report *, FILE *, struct why *), const char *want,
		     const char *name)
{
	struct report r = {.options = options};
	struct profile p, *only = &p;
	struct why why = {""};
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	make_waits(&p, column, idle);
	ok(profile_merge(&only, 1, &r.profile, &why) == 0 && report_prepare(&r, &why) == 0 &&
		   print(&r, to, &why) == 0,
	   "%s: %s", name, why.text);
	fclose(to);
	is_str(text, want, "%s: the text", name);
	free(text);
	report_fini(&r);
	profile_fini(&p);
}

static void test_idle(void)
{
	static const char all[] = "Type: delay\n"
				  "Showing nodes accounting for 9.02s, 100% of 9.02s total\n"
				  "      flat  flat%   sum%        cum   cum%\n"
				  "        9s 99.78% 99.78%         9s 99.78%  pop\n"
				  "     0.02s  0.22%   100%      0.02s  0.22%  get\n";
	struct report_options options = report_defaults;

	options.node_fraction = 0;
	is_waits(&options, "contentions", "yes", top_print,
		 "Type: delay\n"
		 "Left out as idle: 9s of 9.02s; -idle shows it\n"
		 "Showing nodes accounting for 20ms, 100% of 20ms total\n"
		 "      flat  flat%   sum%        cum   cum%\n"
		 "      20ms   100%   100%       20ms   100%  get\n",
		 "waits that are idle are left out");
	is_waits(&options, "contentions", "no", top_print, all, "waits that are not");
	is_waits(&options, "samples", "yes", top_print, all, "a label of the program's own");
	options.with_idle = true;
	is_waits(&options, "contentions", "yes", top_print, all, "all of them, when asked for");
	options.with_idle = false;
	options.tag_focus = "idle";
	is_waits(&options, "contentions", "yes", top_print,
		 "Type: delay\n"
		 "Active filters:\n"
		 "   tagfocus=idle\n"
		 "Showing nodes accounting for 9s, 99.78% of 9.02s total\n"
		 "      flat  flat%   sum%        cum   cum%\n"
		 "        9s 99.78% 99.78%         9s 99.78%  pop\n",
		 "whoever asks for labels has all of them");
	options.tag_focus = NULL;
	options.tag_ignore = "idle=yes";
	is_waits(&options, "contentions", "yes", top_print,
		 "Type: delay\n"
		 "Active filters:\n"
		 "   tagignore=idle=yes\n"
		 "Showing nodes accounting for 0.02s, 0.22% of 9.02s total\n"
		 "      flat  flat%   sum%        cum   cum%\n"
		 "     0.02s  0.22%  0.22%      0.02s  0.22%  get\n",
		 "or fewer, as pprof shows them");
	options.tag_ignore = NULL;
	options.sample_index = "contentions";
	options.is_compact = true;
	is_waits(&options, "contentions", "yes", top_print,
		 "Left out as idle: 3 of 7; -idle shows it\n"
		 "Showing nodes accounting for 4, 100% of 4 total\n"
		 "      flat  flat%   sum%        cum   cum%\n"
		 "         4   100%   100%          4   100%  get\n",
		 "by their number");
	options.sample_index = NULL;
	options.is_mean = true;
	is_waits(&options, "contentions", "yes", top_print,
		 "Left out as idle: 3s each; -idle shows it\n"
		 "Showing nodes accounting for 5ms, 100% of 5ms total\n"
		 "      flat  flat%   sum%        cum   cum%\n"
		 "       5ms   100%   100%        5ms   100%  get\n",
		 "on average");
}

static void test_reports(void)
{
	struct report_options options = report_defaults;

	setenv("TZ", "UTC", 1);
	tzset();
	is_report(&options, top_print,
		  "File: demo\n"
		  "Type: cpu\n"
		  "Time: Nov 14, 2023 at 10:13pm (UTC)\n"
		  "Duration: 1s, Total samples = 40ms ( 4.00%)\n"
		  "Showing nodes accounting for 40ms, 100% of 40ms total\n"
		  "      flat  flat%   sum%        cum   cum%\n"
		  "      40ms   100%   100%       40ms   100%  step (partial-inline)\n"
		  "         0     0%   100%       40ms   100%  main\n"
		  "         0     0%   100%       30ms 75.00%  work\n",
		  "top");
	options.is_compact = options.is_cum_sort = true;
	options.granularity = BY_LINE;
	options.sample_index = "samples";
	options.node_count = 2;
	is_report(&options, top_print,
		  "Showing nodes accounting for 3, 75.00% of 4 total\n"
		  "Showing top 2 nodes out of 4\n"
		  "      flat  flat%   sum%        cum   cum%\n"
		  "         0     0%     0%          4   100%  main demo.c:5\n"
		  "         3 75.00% 75.00%          3 75.00%  step demo.c:31 (inline)\n",
		  "top by line");
	options = report_defaults;
	options.granularity = BY_ADDRESS;
	is_report(&options, raw_print,
		  "PeriodType:  \n"
		  "Period: 0\n"
		  "Time: 2023-11-14 22:13:20 +0000 UTC\n"
		  "Duration: 1s\n"
		  "Samples:\n"
		  "samples/count cpu/nanoseconds\n"
		  "          3   30000000: 1 2 \n"
		  "          1   10000000: 3 2 \n"
		  "Locations\n"
		  "     1: 0x1020 M=1 step demo.c:31 s=0\n"
		  "             work demo.c:20 s=0\n"
		  "     2: 0x1010 M=1 main demo.c:5 s=0\n"
		  "     3: 0x1030 M=1 step demo.c:30 s=0\n"
		  "Mappings\n"
		  "1: 0x1000/0x2000/0x0 /usr/bin/demo  \n",
		  "raw");
}

int main(void)
{
	plan_begin();
	test_units();
	test_regex();
	test_paths();
	test_reports();
	test_idle();
	return plan_end();
}
