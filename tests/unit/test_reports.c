/* The reports that are made of the graph of calls, of samples and of labels, and what changes a profile before. */
#include <errno.h>
#include <time.h>

#include "output/graph.h"
#include "output/info.h"
#include "output/tags.h"
#include "output/text_tabs.h"
#include "output/traces.h"
#include "output/tree.h"
#include "tests/tap.h"

/* main → work → (inlined) step, and main → step; of the second, thread "b". */
static void make(struct profile *p)
{
	static const char *const names[] = {"main", "work", "step"};
	struct profile_line main_line = {0, 5, 0}, step_line = {2, 30, 0},
			    both[] = {{2, 31, 0}, {1, 20, 0}};
	uint32_t stacks[][2] = {{1, 0}, {2, 0}};
	int64_t values[][2] = {{3, 30000000}, {1, 10000000}};
	struct profile_label labels[] = {
		{.key = "size", .num = 4096, .num_unit = "bytes"},
		{.key = "thread", .str = "b", .num_unit = ""},
	};
	uint32_t i;

	profile_init(p);
	profile_add_sample_type(p, "samples", "count");
	profile_add_sample_type(p, "cpu", "nanoseconds");
	profile_add_mapping(p, &(struct profile_mapping){.start = 0x1000,
							 .limit = 0x2000,
							 .file = "/usr/bin/demo",
							 .build_id = "abc"});
	for (i = 0; i < 3; i++)
		profile_add_function(p, &(struct profile_function){.name = names[i],
								   .system_name = names[i],
								   .file = "/src/demo.c"});
	profile_add_location(p, &(struct profile_location){0x1010, 0, false, 1, &main_line});
	profile_add_location(p, &(struct profile_location){0x1020, 0, false, 2, both});
	profile_add_location(p, &(struct profile_location){0x1030, 0, false, 1, &step_line});
	for (i = 0; i < 2; i++)
		profile_add_sample(p, &(struct profile_sample){2, i == 0 ? 0 : 2, stacks[i],
							       values[i], labels});
	profile_add_comment(p, "cprof 1.2");
	profile_add_comment(p, "lost: 7 samples: tables full");
	p->period_type = p->sample_types[1];
	p->period = 10000000;
	p->duration_ns = 1000000000;
}

typedef int (*printer)(struct report *r, FILE *to, struct why *why);

static int print_info(struct report *r, FILE *to, struct why *why)
{
	return info_print(r, "demo.pb.gz", false, to, why);
}

/* What @print makes of it; @ret_text is to be freed. */
static int print(const struct report_options *options, printer print_it, char **ret_text,
		 struct why *why)
{
	struct report r = {.options = options};
	struct profile p, *only = &p;
	size_t size;
	FILE *to;
	int error;

	make(&p);
	error = profile_merge(&only, 1, &r.profile, why);
	if (error == 0)
		error = report_prepare(&r, why);
	to = open_memstream(ret_text, &size);
	if (error == 0)
		error = print_it(&r, to, why);
	fclose(to);
	report_fini(&r);
	profile_fini(&p);
	return error;
}

static void is_text(const struct report_options *options, printer print_it, const char *want,
		    const char *name)
{
	struct why why = {""};
	char *text;

	ok(print(options, print_it, &text, &why) == 0, "%s: %s", name, why.text);
	is_str(text, want, "%s: the text", name);
	free(text);
}

#define LINE   "----------------------------------------------------------+-------------\n"
#define LEGEND "      flat  flat%   sum%        cum   cum%   calls calls% + context \t \t \n"
#define RULE   "-----------+-------------------------------------------------------\n"
#define CALL   "                                              "

#define STEP                                                                      \
	LINE CALL "30ms 75.00% |   work (inline)\n" CALL "10ms 25.00% |   main\n" \
		  "      40ms   100%   100%       40ms   100%                | step\n"
#define TOTAL "Showing nodes accounting for 40ms, 100% of 40ms total\n"

static void test_calls(void)
{
	struct report_options options = report_defaults;
	struct why why = {""};
	char *text;

	options.is_compact = true;
	is_text(&options, tree_print,
		TOTAL LINE LEGEND STEP LINE
		"         0     0%   100%       40ms   100%                | main\n" CALL
		"30ms 75.00% |   work\n" CALL "10ms 25.00% |   step\n" LINE CALL
		"30ms   100% |   main\n"
		"         0     0%   100%       30ms 75.00%                | work\n" CALL
		"30ms   100% |   step (inline)\n" LINE,
		"tree");
	options.expression = "^st";
	is_text(&options, peek_print, TOTAL LINE LEGEND STEP LINE, "peek");
	options.expression = "nothing";
	ok(print(&options, peek_print, &text, &why) == -ENOENT, "peek: nothing matches");
	is_str(text, "", "peek: nothing is printed");
	free(text);
	options.expression = "(";
	ok(print(&options, peek_print, &text, &why) == -EINVAL, "peek: %s", why.text);
	is_str(text, "", "peek: nothing is printed then, either");
	free(text);

	options.show = "main|step"; /* who was between is passed over */
	options.expression = "main";
	is_text(&options, peek_print,
		"Active filters:\n   show=main|step\n" TOTAL LINE LEGEND LINE
		"         0     0%     0%       40ms   100%                | main\n" CALL
		"40ms   100% |   step\n" LINE,
		"peek: without what is between");
}

static void test_residual(void)
{
	struct report_options options = report_defaults;
	struct report r = {.options = &options};
	struct profile p, *only = &p;
	struct graph g;
	struct why why;

	make(&p);
	options.node_count = 2;
	options.is_cum_sort = true;
	ok(profile_merge(&only, 1, &r.profile, &why) == 0 && report_prepare(&r, &why) == 0 &&
		   graph_init(&g, &r, GRAPH_FILES_TRIMMED) == 0 && graph_build(&g, GRAPH_LIST) == 0,
	   "a graph of the two largest");
	ok(g.shown_n == 2 && g.original_n == 3, "two of three are shown");
	is_str(g.shown[0]->text, "main", "the first");
	ok(g.shown[0]->out_n == 1, "there is one call left");
	if (g.shown[0]->out_n == 1) {
		const struct graph_edge *e = g.out[g.shown[0]->out_first];

		is_str(e->to->text, "step", "past what is left out");
		ok(e->is_residual && !e->is_inline && e->weight == 40000000,
		   "which is what it says of itself");
	}
	graph_fini(&g);
	report_fini(&r);
	profile_fini(&p);
}

static void test_samples(void)
{
	struct report_options options = report_defaults;

	is_text(&options, traces_print,
		"File: demo\n"
		"Build ID: abc\n"
		"cprof 1.2\n"
		"lost: 7 samples: tables full\n"
		"Type: cpu\n"
		"Duration: 1s, Total samples = 40ms ( 4.00%)\n" RULE "      30ms   step (inline)\n"
		"             work\n"
		"             main\n" RULE "    thread:  b\n"
		"      size:  4kB\n"
		"      10ms   step\n"
		"             main\n" RULE,
		"traces");
	is_text(&options, tags_print,
		" size: Total 10.0ms\n"
		"       10.0ms (  100%): 4kB\n"
		"\n"
		" thread: Total 10.0ms\n"
		"         10.0ms (  100%): b\n"
		"\n",
		"tags");
	options.tag_hide = "thread";
	options.tag_root = "thread,size";
	options.tag_leaf = "none";
	options.focus = "^b$";
	options.granularity = BY_FILE_FUNCTION;
	options.is_mean = true;
	is_text(&options, traces_print,
		"File: demo\n"
		"Build ID: abc\n"
		"cprof 1.2\n"
		"lost: 7 samples: tables full\n"
		"Type: mean_cpu\n"
		"Duration: 1s, Total samples = 10ms ( 1.00%)\n" RULE "      size:  4kB\n"
		"      10ms   none\n"
		"             step /src/demo.c\n"
		"             main /src/demo.c\n"
		"             4kB size\n"
		"             b thread\n" RULE,
		"traces with labels as frames");
	options = report_defaults;
	options.prune_from = "^work$";
	options.granularity = BY_LINE;
	options.trim_path = "/src";
	is_text(&options, tree_print,
		"File: demo\n"
		"Build ID: abc\n"
		"cprof 1.2\n"
		"lost: 7 samples: tables full\n"
		"Type: cpu\n"
		"Duration: 1s, Total samples = 40ms ( 4.00%)\n" TOTAL LINE LEGEND LINE CALL
		"30ms   100% |   main demo.c:5\n"
		"      30ms 75.00% 75.00%       30ms 75.00%                | work demo.c:20\n" LINE
			CALL "10ms   100% |   main demo.c:5\n"
		"      10ms 25.00%   100%       10ms 25.00%                | step demo.c:30\n" LINE
		"         0     0%   100%       40ms   100%                | main demo.c:5\n" CALL
		"30ms 75.00% |   work demo.c:20\n" CALL "10ms 25.00% |   step demo.c:30\n" LINE,
		"tree of what is left, by line");
}

static void test_info(void)
{
	struct report_options options = report_defaults;

	options.granularity = BY_ADDRESS;
	is_text(&options, print_info,
		"demo.pb.gz\n"
		"  Program  /usr/bin/demo\n"
		"  Recorded for 1s\n"
		"  Period   10ms of cpu: 100 a second\n"
		"  Values            4  samples/count\n"
		"                 40ms  cpu/nanoseconds  <- what 'cprof top' shows\n"
		"  Lost     7 samples: tables full\n"
		"  Samples  2, of 2 frames\n"
		"  Places   3 in 3 functions; 3 have a name, 3 a source line\n"
		"  Labels   size: 1 value: 4kB\n"
		"           thread: 1 value: b\n"
		"  Mappings /usr/bin/demo, build id abc\n"
		"  Comments cprof 1.2\n",
		"info");
}

static void test_tabs(void)
{
	static const char *const cases[][2] = {
		{"", ""},
		{"plain\n", "plain\n"},
		{"a\tb\n", " ab\n"},
		{"a\tb\nccc\td\n", "   ab\n cccd\n"},
		{"a\tb\n\nccc\td\n", " ab\n\n cccd\n"}, /* a line without cells ends a column */
		{"a\tb\fccc\td\n", " ab\n cccd\n"},
		{"a\tb\tc\nd\te\n", " a bc\n de\n"},
		{"\xc3\xa9\t.\nab\t.\n", "  \xc3\xa9.\n ab.\n"},
		{"\xff\t\xff\t.\nabcd\t.\n", "    \xff\t\xff.\n abcd.\n"},
		{"a\tno newline", " ano newline\n"},
	};
	char *text;
	size_t i, size;
	FILE *to;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		to = open_memstream(&text, &size);
		ok(tabs_print(cases[i][0], strlen(cases[i][0]), to) == 0, "columns %zu", i);
		fclose(to);
		is_str(text, cases[i][1], "columns %zu: the text", i);
		free(text);
	}
}

static void test_trim(void)
{
	static const char *const cases[][4] = {
		{"/a/b.c", NULL, NULL, "/a/b.c"},
		{"/proc/self/cwd/x.c", NULL, NULL, "x.c"},
		{"/proc/self/cwd/./x.c", NULL, NULL, "x.c"},
		{"/a/b.c", "/a", NULL, "b.c"},
		{"/a/b.c", "/a/", NULL, "b.c"},
		{"/ab/c.c", "/a", NULL, "/ab/c.c"},
		{"/a/b.c", "/x:/a", NULL, "b.c"},
		{"/a/b.c", ":/a", NULL, "a/b.c"},
		{"/build/proj/x/y.c", NULL, "/home/me/proj", "x/y.c"},
		{"/build/proj/x/y.c", NULL, "/other:/home/me/proj/", "x/y.c"},
		{"/build/proj/x/y.c", "/build", "/home/me/proj", "proj/x/y.c"},
		{"/build/project/x.c", NULL, "/home/me/proj", "/build/project/x.c"},
		{"proj/x.c", NULL, "/home/me/proj", "proj/x.c"},
		{"", "/a", "b", ""},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_str(path_trim(cases[i][0], cases[i][1], cases[i][2]), cases[i][3],
		       "path_trim '%s'", cases[i][0]);
}

static void test_normalize(void)
{
	struct profile p, to;
	struct why why = {""};

	make(&p);
	make(&to);
	to.samples[0].values[0] = 7;
	to.samples[1].values[1] = -30000000; /* together none */
	ok(profile_normalize(&p, &to, &why) == 0, "normalize %s", why.text);
	ok(p.samples_n == 2 && p.samples[0].values[0] == 6 && p.samples[1].values[0] == 2,
	   "four became eight");
	ok(p.samples[0].values[1] == 0 && p.samples[1].values[1] == 0, "and what is none, none");
	to.sample_types[1].unit = "seconds";
	ok(profile_normalize(&p, &to, &why) == -EINVAL && strstr(why.text, "seconds") != NULL,
	   "other units: %s", why.text);
	profile_add_sample_type(&to, "more", "count");
	ok(profile_normalize(&p, &to, &why) == -EINVAL && strstr(why.text, "another 3") != NULL,
	   "other columns: %s", why.text);
	profile_scale(&p, (double[]){-1, 1});
	ok(p.samples_n == 2 && p.samples[0].values[0] == -6, "scaled by -1");
	profile_scale(&p, (double[]){0, 1});
	ok(p.samples_n == 0, "what became nothing is gone");
	profile_fini(&p);
	profile_fini(&to);
}

int main(void)
{
	plan_begin();
	test_calls();
	test_residual();
	test_samples();
	test_info();
	test_tabs();
	test_trim();
	test_normalize();
	return plan_end();
}
