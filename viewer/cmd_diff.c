#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/cmd.h"
#include "viewer/diff.h"

#define FEW 10 /* fewer than as many on both sides tell nothing */

enum per { PER_NONE, PER_SECOND, PER_TASK };

static struct {
	int per;
	uint64_t threshold; /* % */
	const char *fail_if;
} own;

static const char *const pers[] = {"none", "second", "task", NULL};

static const struct args_option options[] = {
	{.name = "per",
	 .type = ARGS_WORD,
	 .offset = offsetof(__typeof__(own), per),
	 .takes = "UNIT",
	 .about = "none, second or task: what totals and counts are divided by",
	 .words = pers},
	{
		.name = "threshold",
		.type = ARGS_COUNT,
		.offset = offsetof(__typeof__(own), threshold),
		.takes = "PCT",
		.about = "only what has changed by so many %",
	},
	{
		.name = "fail-if",
		.type = ARGS_TEXT,
		.offset = offsetof(__typeof__(own), fail_if),
		.takes = "EXPR",
		.about = "status 4 if so: locks.wait>20%, calls.p99[fsync]>2x, tasks.p99>50ms",
	},
	{.name = NULL},
};

enum {
	ROW_WHAT,
	ROW_NAME,
	ROW_A,
	ROW_B,
	ROW_CHANGE_TEXT,
	ROW_RATIO,
	ROW_A_COUNT_TEXT,
	ROW_B_COUNT_TEXT,
	ROW_A_COUNT,
	ROW_B_COUNT,
	ROW_A_P50,
	ROW_B_P50,
	ROW_A_P99,
	ROW_B_P99,
	ROW_CHANGE,
	ROW_FEW,
	ROW_COLUMNS,
};

static const struct column row_columns[ROW_COLUMNS] = {
	[ROW_WHAT] = {.key = "what", .title = "WHAT", .kind = COLUMN_TEXT},
	[ROW_NAME] = {.key = "name", .title = "NAME", .kind = COLUMN_TEXT, .is_wide = true},
	[ROW_A] = {.key = "a_total_ns", .title = "TOTAL A", .kind = COLUMN_NS},
	[ROW_B] = {.key = "b_total_ns", .title = "B", .kind = COLUMN_NS},
	[ROW_CHANGE_TEXT] = {.title = "CHANGE", .kind = COLUMN_TEXT},
	[ROW_RATIO] = {.key = "ratio", .kind = COLUMN_SHARE},
	[ROW_A_COUNT_TEXT] = {.kind = COLUMN_TEXT},
	[ROW_B_COUNT_TEXT] = {.kind = COLUMN_TEXT},
	[ROW_A_COUNT] = {.key = "a_count", .title = "COUNT A", .kind = COLUMN_COUNT},
	[ROW_B_COUNT] = {.key = "b_count", .title = "B", .kind = COLUMN_COUNT},
	[ROW_A_P50] = {.key = "a_p50_ns", .kind = COLUMN_NS},
	[ROW_B_P50] = {.key = "b_p50_ns", .kind = COLUMN_NS},
	[ROW_A_P99] = {.key = "a_p99_ns", .title = "P99 A", .kind = COLUMN_NS},
	[ROW_B_P99] = {.key = "b_p99_ns", .title = "B", .kind = COLUMN_NS},
	[ROW_CHANGE] = {.key = "change_ns", .kind = COLUMN_NS},
	[ROW_FEW] = {.key = "few", .kind = COLUMN_BOOL},
};

static uint64_t whole(double n)
{
	return n < 1e18 ? (uint64_t)(n + 0.5) : UINT64_C(1000000000000000000);
}

/* "new", "gone", "+12.5 %", "3.1x" */
static void say_change(char text[24], double a, double b)
{
	if (a <= 0 || b <= 0)
		snprintf(text, 24, "%s", a > 0 ? "gone" : b > 0 ? "new" : "=");
	else if (b / a >= 2)
		snprintf(text, 24, "%.3gx", b / a);
	else
		snprintf(text, 24, "%+.1f %%", (b / a - 1) * 100);
}

static void say_number(char text[24], double n)
{
	struct out o;

	if (n < 100 && floor(n) != n) {
		snprintf(text, 24, "%.3g", n);
		return;
	}
	out_init(&o, -1, false);
	out_grouped(&o, whole(n));
	snprintf(text, 24, "%.*s", (int)o.n, o.buffer);
}

static bool has_changed(double a, double b)
{
	double limit = (double)own.threshold / 100;

	if (own.threshold == 0)
		return true;
	return a > 0 ? fabs(b / a - 1) >= limit : b > 0;
}

static bool is_shown(const struct diff_pair *p, const struct diff_side sides[2])
{
	static const enum diff_measure looked_at[] = {DIFF_TOTAL, DIFF_COUNT, DIFF_P50, DIFF_P99};

	for (unsigned i = 0; i < sizeof(looked_at) / sizeof(looked_at[0]); i++)
		if (has_changed(diff_value(p->rows[0], looked_at[i], sides[0].unit),
				diff_value(p->rows[1], looked_at[i], sides[1].unit)))
			return true;
	return false;
}

/* What threads do is not a matter of how many of them there are. */
static bool is_few(const struct diff_pair *p)
{
	for (unsigned i = 0; i < 2; i++)
		if (p->rows[i] != NULL && p->rows[i]->took.n >= FEW)
			return false;
	return p->kind >= TRACE_STATES;
}

static int add_row(struct table *table, const struct diff_pair *p, const struct diff_side sides[2])
{
	double total[2], count[2];
	uint64_t n[2], p50[2], p99[2];
	char change[32], counts[2][24];
	struct cell cells[ROW_COLUMNS] = {0};

	for (unsigned i = 0; i < 2; i++) {
		total[i] = diff_value(p->rows[i], DIFF_TOTAL, sides[i].unit);
		count[i] = diff_value(p->rows[i], DIFF_COUNT, sides[i].unit);
		n[i] = p->rows[i] != NULL ? p->rows[i]->took.n : 0;
		p50[i] = p->rows[i] != NULL ? histogram_at(&p->rows[i]->took, 0.5) : 0;
		p99[i] = p->rows[i] != NULL ? histogram_at(&p->rows[i]->took, 0.99) : 0;
		say_number(counts[i], count[i]);
	}
	say_change(change, total[0], total[1]);
	if (is_few(p))
		strcat(change, " ?");
	cells[ROW_WHAT].text = diff_kind_name(p->kind);
	cells[ROW_NAME].text = p->name;
	cells[ROW_A].n = whole(total[0]);
	cells[ROW_A].is_none = p->rows[0] == NULL;
	cells[ROW_B].n = whole(total[1]);
	cells[ROW_B].is_none = p->rows[1] == NULL;
	cells[ROW_CHANGE_TEXT].text = change;
	cells[ROW_RATIO].share = total[0] > 0 ? total[1] / total[0] : NAN;
	cells[ROW_A_COUNT_TEXT].text = counts[0];
	cells[ROW_B_COUNT_TEXT].text = counts[1];
	cells[ROW_A_COUNT].n = n[0];
	cells[ROW_B_COUNT].n = n[1];
	cells[ROW_A_P50].n = p50[0];
	cells[ROW_B_P50].n = p50[1];
	cells[ROW_A_P99].n = p99[0];
	cells[ROW_A_P99].is_none = p->rows[0] == NULL;
	cells[ROW_B_P99].n = p99[1];
	cells[ROW_B_P99].is_none = p->rows[1] == NULL;
	cells[ROW_CHANGE].n = whole(fabs(total[1] - total[0]));
	cells[ROW_FEW].n = is_few(p);
	return table_row(table, cells);
}

static int make_table(struct table **ret, const struct column *columns,
		      const struct diff_side sides[2], const struct diff_pair *pairs, uint32_t n,
		      const struct story_counts counts[2])
{
	uint32_t left_out = 0;
	bool has_few = false;
	int r = table_create(ret, "differences", columns, ROW_COLUMNS);

	for (uint32_t i = 0; i < n && r == 0; i++) {
		if (!is_shown(&pairs[i], sides)) {
			left_out++;
			continue;
		}
		r = add_row(*ret, &pairs[i], sides);
		has_few = has_few || is_few(&pairs[i]);
	}
	if (r == 0 && own.per != PER_NONE)
		r = table_note(*ret, "totals and counts are per %s", pers[own.per]);
	if (r == 0 && has_few)
		r = table_note(*ret, "?: fewer than %d on both sides", FEW);
	if (r == 0 && left_out > 0)
		r = table_note(*ret, "%" PRIu32 " have changed by less than %" PRIu64 " %%",
			       left_out, own.threshold);
	if (r == 0 && counts[1].lost_events > 0)
		r = table_note(*ret, "B has lost %" PRIu64 " events", counts[1].lost_events);
	return r;
}

static int check_conditions(const struct diff_condition *conditions, int conditions_n,
			    const struct diff_side sides[2], const struct diff_pair *pairs,
			    uint32_t n)
{
	int status = STATUS_OK;
	double values[2];

	for (int i = 0; i < conditions_n; i++) {
		if (!diff_is_true(&conditions[i], sides, pairs, n, values))
			continue;
		cmd_complain("--fail-if %s is true: %.6g before, %.6g now", conditions[i].text,
			     values[0], values[1]);
		status = STATUS_CONDITION;
	}
	return status;
}

/* What totals and counts are divided by. */
static int set_unit(struct diff_side *side, const struct args *args, uint64_t run_ns)
{
	side->unit = 1;
	if (own.per == PER_SECOND && run_ns > 0)
		side->unit = (double)run_ns / 1e9;
	if (own.per != PER_TASK)
		return STATUS_OK;
	if (diff_tasks(side) == 0) {
		cmd_complain("%s: --per task: no task ended there", args->file);
		return STATUS_FAILED;
	}
	side->unit = (double)diff_tasks(side);
	return STATUS_OK;
}

static int tell_side(struct cmd *c, const struct args *args, struct diff_side *side,
		     struct story_counts *counts)
{
	struct story_listener listener;
	int status = cmd_begin(c, args);

	if (status != STATUS_OK)
		return status;
	side->tables = &c->tables;
	side->threads = args->threads != NULL ? &c->range.threads : NULL;
	side->from_ns = c->range.from_ns;
	side->to_ns = c->range.to_ns;
	listener = diff_listener(side);
	status = cmd_tell(c, &listener, counts);
	if (status != STATUS_OK)
		return status;
	if (diff_end(side, counts->end_ns) < 0) {
		cmd_complain("out of memory");
		return STATUS_FAILED;
	}
	return set_unit(side, args,
			counts->end_ns > counts->begin_ns ? counts->end_ns - counts->begin_ns : 0);
}

static int show(struct cmd *c, struct diff_side sides[2], const struct story_counts counts[2],
		const struct diff_condition *conditions, int conditions_n)
{
	struct column columns[ROW_COLUMNS];
	struct diff_pair *pairs = NULL;
	struct table *table = NULL;
	uint32_t n = 0;
	int status = STATUS_FAILED, r = diff_pairs(&sides[0], &sides[1], &pairs, &n);

	memcpy(columns, row_columns, sizeof(columns));
	if (c->args->format == FORMAT_TEXT && tty_width() < 120)
		columns[ROW_A_P99].title = columns[ROW_B_P99].title = NULL;
	if (own.per != PER_NONE) { /* those are no whole numbers */
		for (unsigned i = 0; i < 2; i++) {
			columns[ROW_A_COUNT_TEXT + i].title = columns[ROW_A_COUNT + i].title;
			columns[ROW_A_COUNT + i].title = NULL;
		}
	}
	if (r == 0)
		r = make_table(&table, columns, sides, pairs, n, counts);
	if (r == 0)
		status = cmd_table(c, table, "change_ns", &counts[0]);
	else
		cmd_complain("out of memory");
	if (status == STATUS_OK) {
		out_flush(c->out);
		status = check_conditions(conditions, conditions_n, sides, pairs, n);
	}
	table_destroy(table);
	free(pairs);
	return status;
}

static int run(const struct args *args)
{
	static struct diff_condition conditions[DIFF_CONDITIONS_MAX];
	struct args others = *args;
	static struct diff_side sides[2];
	struct story_counts counts[2];
	struct cmd c[2];
	struct why why = {""};
	int status, n = own.fail_if != NULL ? diff_parse(own.fail_if, conditions, &why) : 0;

	if (n < 0) {
		cmd_complain("%s", why.text);
		return STATUS_USAGE;
	}
	others.file = args->operand;
	others.output = NULL;
	status = tell_side(&c[0], args, &sides[0], &counts[0]);
	if (status == STATUS_OK) {
		status = tell_side(&c[1], &others, &sides[1], &counts[1]);
		if (status == STATUS_OK)
			status = cmd_warn_damage(&c[1], counts[1].merge.unreadable);
		if (status == STATUS_OK || status == STATUS_DAMAGED) {
			int shown = show(&c[0], sides, counts, conditions, n);

			status = shown == STATUS_OK ? status : shown;
		}
		diff_fini(&sides[1]);
		status = cmd_close(&c[1], status);
	}
	diff_fini(&sides[0]);
	return cmd_close(&c[0], status);
}

const struct command command_diff = {
	.name = "diff",
	.about = "what has changed from one trace to another",
	.synopsis = "diff FILE [--per UNIT] [--fail-if EXPR] [OPTION...]",
	.text = "The trace (A) beside another one (B): threads, locks, system calls, tasks and "
		"regions of the\n"
		"same name, what has changed most first. EXPR is conditions by commas,\n"
		"\n"
		"    KIND[.MEASURE][[PATTERN]] > or < N% | Nx | DURATION | N\n"
		"\n"
		"KIND: threads.STATE, locks.wait, locks.hold, calls, tasks, regions; MEASURE: "
		"total (where there\n"
		"is none), count, p50, p99, max, errors. With N% by so much more than A, with Nx "
		"so many times\n"
		"A, else B by itself.\n",
	.operand = "FILE",
	.groups = ARGS_RANGE | ARGS_THREADS | ARGS_TABLE,
	.options = options,
	.own = &own,
	.run = run,
};
