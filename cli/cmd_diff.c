#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "compare/print.h"

/* As in cprof check where it is the same; 4 is a condition of cprof-trace diff, and nothing here. */
enum {
	DIFF_CONDITION = 1,
	DIFF_UNREADABLE = 3,
	DIFF_TOO_FEW = 5,
	DIFF_NOT_COMPARABLE = 6,
};

#define ROWS_SHOWN 20

static const char help[] =
	"usage: cprof diff [OPTION…] BASE NEW\n"
	"       cprof diff [OPTION…] -base FILE… -new FILE…\n"
	"\n"
	"Prints which functions use more or less than before, and whether that may be\n"
	"chance; with -fail-on, a gate for a change. Several files a side are as many\n"
	"runs: ten of each tell what differs from run to run, one of each does not.\n"
	"\n"
	"the gate       -fail-on=CONDITION: fail when it is true and not by chance; may be\n"
	"               given several times\n"
	"                 flat_share>+2pp     a function has 2 points more of the whole\n"
	"                 cum:parse>+10%      parse, with what it calls, a tenth more\n"
	"                 total>+5%           the whole program (several runs a side)\n"
	"which values   shares of the whole; -absolute: totals of a run\n"
	"               -flat (default)  -cum: what is tested without -fail-on\n"
	"what is tested -min-share=PERCENT (0.5%)  -alpha=P (0.05): how often at most a\n"
	"               comparison of equals may show any difference\n"
	"which number   -sample_index=NAME|N\n"
	"which samples  -focus=RE  -ignore=RE  -tagfocus=[KEY=]RE|RANGE  -tagignore=…\n"
	"               -idle\n"
	"which frames   -show=RE  -hide=RE  -show_from=RE  -noinlines\n"
	"output         text; -markdown: for a pull request; -json: for programs\n"
	"               -nodecount=N: at most N rows (20), 0 for all\n"
	"\n"
	"exit status: 0 passed, 1 a condition failed, 2 wrong usage, 3 a file cannot be\n"
	"read, 5 too few samples or runs to tell, 6 the sides are not comparable\n"
	"\n"
	"  cprof diff before/cpu.pb.gz after/cpu.pb.gz\n"
	"  cprof diff -base main.*/cpu.pb.gz -new branch.*/cpu.pb.gz -fail-on 'flat>+2pp'\n"
	"\n"
	"Next: 'cprof top FILE' shows one side. More: cprof-diff(1).\n";

struct diff {
	struct cmd_report report;
	struct cmd_files sides[2], fail_on;
	const char *min_share, *sum;
	bool is_absolute, is_markdown, is_json;
	double alpha;
	struct condition *conditions;
	struct compare_options options;
};

/* What top has and makes sense here. */
static const char *const shared_options[] = {
	"sample_index",  "focus",       "ignore",      "hide",          "show",
	"show_from",     "tagfocus",    "tagignore",   "idle",          "noinlines",
	"symbolize",     "nodecount",   "inuse_space", "inuse_objects", "alloc_space",
	"alloc_objects", "total_delay", "contentions",
};

static void list_options(struct diff *d, struct cmd_option *options)
{
	const struct cmd_option own[] = {
		{"base", CMD_FILES, &d->sides[0], 1, NULL},
		{"new", CMD_FILES, &d->sides[1], 1, NULL},
		{"fail-on", CMD_FILES, &d->fail_on, 0, NULL},
		{"min-share", CMD_TEXT, &d->min_share, 0, NULL},
		{"alpha", CMD_FLOAT, &d->alpha, 0, NULL},
		{"absolute", CMD_FLAG, &d->is_absolute, 0, NULL},
		{"cum", CMD_WORD, &d->sum, 0, "cum"},
		{"flat", CMD_WORD, &d->sum, 0, "flat"},
		{"markdown", CMD_FLAG, &d->is_markdown, 0, NULL},
		{"json", CMD_FLAG, &d->is_json, 0, NULL},
	};
	struct cmd_option all[CMD_REPORT_OPTIONS_MAX];
	size_t n = sizeof(own) / sizeof(own[0]);

	memcpy(options, own, sizeof(own));
	cmd_report_options(&d->report, all);
	for (const struct cmd_option *o = all; o->name != NULL; o++)
		for (size_t i = 0; i < sizeof(shared_options) / sizeof(shared_options[0]); i++)
			if (strcmp(o->name, shared_options[i]) == 0)
				options[n++] = *o;
	options[n] = (struct cmd_option){NULL, CMD_FLAG, NULL, 0, NULL};
}

static int read_percent(const char *option, const char *text, double *ret)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || strcmp(end, "%") != 0 || !(value >= 0 && value <= 100)) {
		cmd_complain("diff", "-%s=%s: a share such as 0.5%% was expected", option, text);
		return -EINVAL;
	}
	*ret = value / 100;
	return 0;
}

static int read_options(struct diff *d)
{
	struct compare_options *o = &d->options;
	struct why why;

	o->alpha = d->alpha;
	o->min_share = 0.005;
	if (!(d->alpha > 0 && d->alpha < 1)) {
		cmd_complain("diff",
			     "-alpha=%g: a probability between 0 and 1 was expected, such as 0.05",
			     d->alpha);
		return -EINVAL;
	}
	if (d->min_share != NULL && read_percent("min-share", d->min_share, &o->min_share) < 0)
		return -EINVAL;
	if (d->is_markdown && d->is_json) {
		cmd_complain("diff", "-markdown and -json: one of them was expected");
		return -EINVAL;
	}
	o->is_absolute = d->is_absolute;
	o->sum = d->sum != NULL && strcmp(d->sum, "cum") == 0 ? RUNS_CUM : RUNS_FLAT;
	o->conditions = d->conditions;
	o->conditions_n = (uint32_t)d->fail_on.n;
	for (size_t i = 0; i < d->fail_on.n; i++) {
		if (condition_parse(d->fail_on.paths[i], &d->conditions[i], &why) < 0) {
			cmd_complain("diff", "%s", why.text);
			return -EINVAL;
		}
	}
	return 0;
}

/* Files that stand behind neither -base nor -new: both sides, or what is new. */
static int place_files(struct diff *d, struct cmd_files *files)
{
	if (d->sides[0].n == 0 && d->sides[1].n == 0 && files->n == 2) {
		for (unsigned i = 0; i < 2; i++)
			d->sides[i].paths[d->sides[i].n++] = files->paths[i];
		return 0;
	}
	if (d->sides[0].n > 0 && d->sides[1].n == 0 && files->n > 0) {
		for (size_t i = 0; i < files->n; i++)
			d->sides[1].paths[d->sides[1].n++] = files->paths[i];
		return 0;
	}
	if (d->sides[0].n > 0 && d->sides[1].n > 0 && files->n == 0)
		return 0;
	if (files->n > 0 && (d->sides[0].n > 0 || d->sides[1].n > 0))
		cmd_complain("diff",
			     "%s: is it of the base or new? Files stand behind -base and -new",
			     files->paths[0]);
	else
		cmd_complain("diff",
			     "which profiles? 'cprof diff BASE NEW', or -base FILE… -new FILE… for "
			     "several runs a side; there %s %zu of the base and %zu new",
			     d->sides[0].n + d->sides[1].n + files->n == 1 ? "is" : "are",
			     d->sides[0].n + (files->n > 0), d->sides[1].n + (files->n > 1));
	return -EINVAL;
}

static int read_side(struct diff *d, unsigned side, struct runs *runs, struct why *why)
{
	for (size_t i = 0; i < d->sides[side].n; i++) {
		char *path = d->sides[side].paths[i];
		struct cmd_files one = {&path, 1};
		int r, status = cmd_report_load(&d->report, "diff", &one);

		if (status == CMD_OK) {
			r = runs_read(runs, side, path, &d->report.report, why);
			status = r == -EINVAL ? DIFF_NOT_COMPARABLE
				 : r < 0      ? DIFF_UNREADABLE
					      : CMD_OK;
			if (status != CMD_OK)
				cmd_complain("diff", "%s", why->text);
		} else if (status == CMD_FAILED) {
			status = DIFF_UNREADABLE;
		}
		report_fini(&d->report.report);
		memset(&d->report.report, 0, sizeof(d->report.report));
		sources_fini(&d->report.sources);
		if (status != CMD_OK)
			return status;
	}
	return CMD_OK;
}

static int compare_and_print(struct diff *d, struct runs *runs, struct why *why)
{
	int rows = d->report.options.node_count < 0 ? ROWS_SHOWN : d->report.options.node_count;
	struct compare_result result;
	int r, status;

	runs_sort(runs);
	r = compare(runs, &d->options, &result, why);
	if (r < 0) {
		cmd_complain("diff", "%s", why->text);
		return r == -EINVAL ? DIFF_NOT_COMPARABLE : DIFF_UNREADABLE;
	}
	if (d->is_json)
		print_json(&result, stdout);
	else if (d->is_markdown)
		print_markdown(&result, stdout, (uint32_t)rows);
	else
		print_text(&result, stdout, (uint32_t)rows,
			   isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL);
	status = result.failed_n > 0 ? DIFF_CONDITION : result.few_n > 0 ? DIFF_TOO_FEW : CMD_OK;
	compare_fini(&result);
	return status;
}

static int run(struct diff *d)
{
	struct runs runs = {0};
	struct why why = {""};
	int status = read_side(d, 0, &runs, &why);

	if (status == CMD_OK)
		status = read_side(d, 1, &runs, &why);
	if (status == CMD_OK)
		status = compare_and_print(d, &runs, &why);
	/* who reads the comment or the JSON wants to know, too */
	if (status == DIFF_NOT_COMPARABLE && d->is_json)
		print_json_not_comparable(why.text, stdout);
	else if (status == DIFF_NOT_COMPARABLE && d->is_markdown)
		print_markdown_not_comparable(why.text, stdout);
	runs_fini(&runs);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		cmd_complain("diff", "the output was not taken: %s", strerror(errno));
		return DIFF_UNREADABLE;
	}
	return status;
}

int cmd_diff(int argc, char **argv)
{
	struct cmd_option options[CMD_REPORT_OPTIONS_MAX];
	struct diff d = {.alpha = 0.05};
	struct cmd_files files;
	size_t room = (size_t)argc;
	int status = DIFF_UNREADABLE;

	cmd_report_init(&d.report);
	d.sides[0].paths = calloc(room, sizeof(char *));
	d.sides[1].paths = calloc(room, sizeof(char *));
	d.fail_on.paths = calloc(room, sizeof(char *));
	d.conditions = calloc(room, sizeof(*d.conditions));
	if (d.sides[0].paths == NULL || d.sides[1].paths == NULL || d.fail_on.paths == NULL ||
	    d.conditions == NULL) {
		cmd_complain("diff", "out of memory");
		goto out;
	}
	list_options(&d, options);
	status = cmd_parse(argc, argv, options, help, &files);
	if (status != 0)
		status = status > 0 ? CMD_OK : CMD_USAGE;
	else if (read_options(&d) < 0 || place_files(&d, &files) < 0)
		status = CMD_USAGE;
	else
		status = run(&d);
out:
	free(d.sides[0].paths);
	free(d.sides[1].paths);
	free(d.fail_on.paths);
	free(d.conditions);
	return status;
}
