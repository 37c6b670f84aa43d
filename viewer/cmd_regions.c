#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "viewer/cmd.h"
#include "viewer/latency.h"
#include "viewer/regions.h"

#define SLOWEST_MAX 100000

static struct {
	const char *type;
	uint64_t slowest, task;
	bool has_histogram;
} own;

static const struct args_option options[] = {
	{.name = "type",
	 .letter = 't',
	 .type = ARGS_TEXT,
	 .offset = offsetof(__typeof__(own), type),
	 .takes = "RE",
	 .about = "only names that match, as grep -E has it"},
	{.name = "slowest",
	 .type = ARGS_COUNT,
	 .offset = offsetof(__typeof__(own), slowest),
	 .takes = "N",
	 .about = "the N slowest one by one"},
	{.name = "histogram",
	 .type = ARGS_FLAG,
	 .offset = offsetof(__typeof__(own), has_histogram),
	 .about = "how many took how long"},
	{.name = "task",
	 .type = ARGS_COUNT,
	 .offset = offsetof(__typeof__(own), task),
	 .takes = "ID",
	 .about = "only those of this task"},
	{.name = NULL},
};

static const struct why no_memory = {"out of memory"};

static const char *region_text(const struct cmd *c, uint32_t name, bool is_rest)
{
	const char *text = tables_text(&c->tables, name);

	return is_rest ? "(other names)" : text != NULL && text[0] != '\0' ? text : "(no name)";
}

/* ---- a row for each name ---- */

enum {
	NAME,
	COUNT,
	OPEN,
	DISORDERED,
	ENDED,
	TOTAL,
	SELF,
	P50,
	P99,
	MAX,
	THREADS,
	STATES,
	WORDS = STATES + TRACE_STATES,
	COLUMNS
};

static int add_name(const struct cmd *c, struct table *table, const struct region_name *row)
{
	struct cell cells[COLUMNS] = {0};
	struct name words;

	name_clear(&words);
	latency_words(&words, row->state_ns, 0, false);
	cells[NAME].text = region_text(c, row->name, row->is_rest);
	cells[COUNT].n = row->count;
	cells[OPEN].n = row->open;
	cells[DISORDERED].n = row->disordered;
	cells[ENDED].n = row->ended;
	cells[TOTAL].n = row->total_ns;
	cells[SELF].n = row->self_ns;
	cells[P50].n = histogram_at(&row->length, 0.5);
	cells[P99].n = histogram_at(&row->length, 0.99);
	cells[MAX].n = row->length.max;
	cells[P50].is_none = cells[P99].is_none = cells[MAX].is_none = row->length.n == 0;
	cells[THREADS].n = row->threads;
	latency_cells(&cells[STATES], row->state_ns);
	cells[WORDS].text = name_text(&words);
	return table_row(table, cells);
}

static int show_names(struct cmd *c, const struct regions *r, struct table **ret)
{
	static struct column columns[COLUMNS] = {
		[NAME] = {"name", "name", .kind = COLUMN_TEXT, .is_wide = true},
		[COUNT] = {"count", "count", .kind = COLUMN_COUNT},
		[OPEN] = {"open", "open", .kind = COLUMN_COUNT},
		[DISORDERED] = {"disordered", NULL, .kind = COLUMN_COUNT},
		[ENDED] = {"ends_alone", NULL, .kind = COLUMN_COUNT},
		[TOTAL] = {"total_ns", "total", .kind = COLUMN_NS},
		[SELF] = {"self_ns", "self", .kind = COLUMN_NS},
		[P50] = {"p50_ns", "p50", .kind = COLUMN_NS},
		[P99] = {"p99_ns", "p99", .kind = COLUMN_NS},
		[MAX] = {"max_ns", "max", .kind = COLUMN_NS},
		[THREADS] = {"threads", "threads", .kind = COLUMN_COUNT},
		[WORDS] = {NULL, "where the time went", .kind = COLUMN_TEXT, .is_wide = true},
	};
	int result;

	memcpy(&columns[STATES], latency_states, sizeof(latency_states));
	result = table_create(ret, "regions", columns, COLUMNS);
	for (uint32_t i = 0; i < r->names_n && result == 0; i++)
		result = add_name(c, *ret, &r->names[i]);
	return result;
}

static int show_histogram(struct cmd *c, const struct regions *r, struct table **ret)
{
	int result = table_create(ret, "regions", latency_columns, LATENCY_COLUMNS);

	for (uint32_t i = 0; i < r->names_n && result == 0; i++)
		result = latency_rows(*ret, region_text(c, r->names[i].name, r->names[i].is_rest),
				      &r->names[i].length);
	return result;
}

/* ---- the slowest, a row each ---- */

enum {
	SLOW_NAME,
	SLOW_THREAD,
	SLOW_TASK,
	SLOW_BEGIN,
	SLOW_TOOK,
	SLOW_SELF,
	SLOW_OPEN,
	SLOW_DISORDERED,
	SLOW_DEPTH,
	SLOW_STATES,
	SLOW_STACK = SLOW_STATES + TRACE_STATES,
	SLOW_WORDS,
	SLOW_COLUMNS
};

static int add_slow(const struct cmd *c, struct table *table, const struct region *region)
{
	uint64_t begun = cmd_begun_ns(c);
	struct cell cells[SLOW_COLUMNS] = {0};
	struct name words, thread, stack;

	name_clear(&words);
	name_clear(&thread);
	name_clear(&stack);
	latency_words(&words, region->state_ns, 0, true);
	name_thread(&thread, &c->tables, region->thread);
	if (region->stack != 0)
		name_stack_host(&stack, &c->tables, region->stack, 1);
	cells[SLOW_NAME].text = region_text(c, region->name, false);
	cells[SLOW_THREAD].text = name_text(&thread);
	cells[SLOW_TASK].n = region->task;
	cells[SLOW_TASK].is_none = region->task == 0;
	cells[SLOW_BEGIN].n = region->begin_ns > begun ? region->begin_ns - begun : 0;
	cells[SLOW_TOOK].n = region->end_ns - region->begin_ns;
	cells[SLOW_SELF].n = region->self_ns;
	cells[SLOW_OPEN].n = !region->has_begin || (!region->has_end && !region->is_disordered);
	cells[SLOW_DISORDERED].n = region->is_disordered;
	cells[SLOW_DEPTH].n = region->depth;
	latency_cells(&cells[SLOW_STATES], region->state_ns);
	cells[SLOW_STACK].text = name_text(&stack);
	cells[SLOW_WORDS].text = name_text(&words);
	return table_row(table, cells);
}

static int show_slowest(struct cmd *c, const struct regions *r, struct table **ret)
{
	static struct column columns[SLOW_COLUMNS] = {
		[SLOW_NAME] = {"name", "name", .kind = COLUMN_TEXT, .is_wide = true},
		[SLOW_THREAD] = {"thread", "thread", .kind = COLUMN_TEXT},
		[SLOW_TASK] = {"task", "task", .kind = COLUMN_ID, .is_ascending = true},
		[SLOW_BEGIN] = {"begin_ns", "begun", .kind = COLUMN_TIME, .is_ascending = true},
		[SLOW_TOOK] = {"took_ns", "took", .kind = COLUMN_NS},
		[SLOW_SELF] = {"self_ns", "self", .kind = COLUMN_NS},
		[SLOW_OPEN] = {"open", "open", .kind = COLUMN_BOOL},
		[SLOW_DISORDERED] = {"disordered", NULL, .kind = COLUMN_BOOL},
		[SLOW_DEPTH] = {"depth", NULL, .kind = COLUMN_COUNT},
		[SLOW_STACK] = {"where", NULL, .kind = COLUMN_TEXT},
		[SLOW_WORDS] = {NULL, "where the time went", .kind = COLUMN_TEXT, .is_wide = true},
	};
	int result;

	memcpy(&columns[SLOW_STATES], latency_states, sizeof(latency_states));
	result = table_create(ret, "regions", columns, SLOW_COLUMNS);
	for (uint32_t i = 0; i < r->slowest_n && result == 0; i++)
		result = add_slow(c, *ret, &r->slowest[i]);
	return result;
}

static bool is_of_name(void *context, const struct region *region)
{
	return latency_matches(context, region->name);
}

static int note_all(const struct cmd *c, struct table *table, const struct regions *r)
{
	uint64_t disordered = 0;
	int result = 0;

	if (c->args->format != FORMAT_TEXT)
		return 0;
	for (uint32_t i = 0; i < r->names_n; i++)
		disordered += r->names[i].disordered;
	if (disordered > 0)
		result = table_note(table,
				    "%" PRIu64 " were still open when one around them was ended, "
				    "and end with it",
				    disordered);
	if (result == 0 && r->ended > 0)
		result = table_note(table, "%" PRIu64 " ends of regions that were not open",
				    r->ended);
	if (result == 0 && r->too_deep + r->left_out > 0)
		result = table_note(table,
				    "%" PRIu64 " that lay too deep and %" PRIu64
				    " for which there was no room are not here",
				    r->too_deep, r->left_out);
	return result;
}

static int show(struct cmd *c, struct regions *r, const struct story_counts *counts)
{
	bool is_sorted = own.slowest > 0 || own.has_histogram;
	struct table *table = NULL;
	int status, result = regions_end(r, counts->end_ns);

	if (result == 0)
		result = own.slowest > 0     ? show_slowest(c, r, &table)
			 : own.has_histogram ? show_histogram(c, r, &table)
					     : show_names(c, r, &table);
	if (result == 0)
		result = note_all(c, table, r);
	status = result < 0 ? cmd_failed(c, result, &no_memory)
			    : cmd_table(c, table, is_sorted ? NULL : "total_ns", counts);
	table_destroy(table);
	return status;
}

static int run(const struct args *args)
{
	struct latency_pattern pattern = {0};
	struct regions r = {.is_wanted = is_of_name,
			    .context = &pattern,
			    .slowest_max = (uint32_t)own.slowest,
			    .task = own.task,
			    .min_ns = args->min_ns};
	struct story_listener listener = regions_listener(&r);
	struct story_counts counts;
	struct why why;
	struct cmd c;
	int status = cmd_begin(&c, args);

	if (status == STATUS_OK && own.slowest > SLOWEST_MAX) {
		cmd_complain("--slowest %" PRIu64 ": %d at most", own.slowest, SLOWEST_MAX);
		status = STATUS_USAGE;
	}
	if (status == STATUS_OK && latency_pattern(&pattern, "type", own.type, &c.tables, &why) < 0)
		status = cmd_failed(&c, -EINVAL, &why);
	if (status == STATUS_OK) {
		/* regions are whole: the story is told from its beginning to its end */
		r.from_ns = c.range.from_ns;
		r.to_ns = c.range.to_ns;
		r.threads = &c.range.threads;
		c.range.from_ns = 0;
		c.range.to_ns = UINT64_MAX;
		status = cmd_tell(&c, &listener, &counts);
	}
	if (status == STATUS_OK)
		status = show(&c, &r, &counts);
	regions_fini(&r);
	latency_pattern_fini(&pattern);
	return cmd_close(&c, status);
}

const struct command command_regions = {
	.name = "regions",
	.about = "how long regions took, and what their threads did in them",
	.synopsis = "regions [OPTION...]",
	.text = "A row for each name of a region (cprof_region_begin()): how many there were, how "
		"many of them\n"
		"have no beginning or no end in this trace, how long they took, with and without "
		"the regions\n"
		"inside them, and what their threads did meanwhile.\n"
		"\n"
		"--from and --to leave regions whole: those that were there at some time "
		"between.\n",
	.groups = ARGS_RANGE | ARGS_THREADS | ARGS_MIN | ARGS_TABLE,
	.options = options,
	.own = &own,
	.run = run,
};
