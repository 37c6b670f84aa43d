#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/cmd.h"
#include "viewer/doing.h"
#include "viewer/latency.h"
#include "viewer/task_lines.h"
#include "viewer/tasks.h"

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
	 .about = "only types that match, as grep -E has it"},
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
	 .about = "one task's story, line by line"},
	{.name = NULL},
};

static const struct why no_memory = {"out of memory"};

static const char *type_name(const struct cmd *c, uint32_t type, bool is_rest)
{
	const char *text = type != 0 ? tables_text(&c->tables, type) : NULL;

	return is_rest ? "(other types)" : text != NULL ? text : "(begun before)";
}

/* Tasks are whole: the story is told from its beginning to its end, whatever was asked for. */
static int tell_all(struct cmd *c, const struct story_listener *listener,
		    struct story_counts *counts)
{
	uint64_t from_ns = c->range.from_ns, to_ns = c->range.to_ns;
	int status;

	c->range.from_ns = 0;
	c->range.to_ns = UINT64_MAX;
	status = cmd_tell(c, listener, counts);
	c->range.from_ns = from_ns;
	c->range.to_ns = to_ns;
	return status;
}

/* ---- a row for each type ---- */

enum {
	TYPE,
	COUNT,
	OPEN,
	TOTAL,
	P50,
	P99,
	MAX,
	STATES,
	GAP = STATES + TRACE_STATES,
	OVERLAP,
	WORDS,
	COLUMNS
};

static int add_type(const struct cmd *c, struct table *table, const struct task_type *type)
{
	struct cell cells[COLUMNS] = {0};
	struct name words;

	name_clear(&words);
	latency_words(&words, type->state_ns, type->gap_ns, false);
	cells[TYPE].text = type_name(c, type->type, type->is_rest);
	cells[COUNT].n = type->count;
	cells[OPEN].n = type->open;
	cells[TOTAL].n = type->total_ns;
	cells[P50].n = histogram_at(&type->latency, 0.5);
	cells[P99].n = histogram_at(&type->latency, 0.99);
	cells[MAX].n = type->latency.max;
	cells[P50].is_none = cells[P99].is_none = cells[MAX].is_none = type->latency.n == 0;
	latency_cells(&cells[STATES], type->state_ns);
	cells[GAP].n = type->gap_ns;
	cells[OVERLAP].n = type->overlap_ns;
	cells[WORDS].text = name_text(&words);
	return table_row(table, cells);
}

static int show_types(struct cmd *c, const struct tasks *t, struct table **ret)
{
	static struct column columns[COLUMNS] = {
		[TYPE] = {"type", "type", .kind = COLUMN_TEXT, .is_wide = true},
		[COUNT] = {"count", "count", .kind = COLUMN_COUNT},
		[OPEN] = {"open", "open", .kind = COLUMN_COUNT},
		[TOTAL] = {"total_ns", "total", .kind = COLUMN_NS},
		[P50] = {"p50_ns", "p50", .kind = COLUMN_NS},
		[P99] = {"p99_ns", "p99", .kind = COLUMN_NS},
		[MAX] = {"max_ns", "max", .kind = COLUMN_NS},
		[GAP] = {"gap_ns", NULL, .kind = COLUMN_NS},
		[OVERLAP] = {"overlap_ns", NULL, .kind = COLUMN_NS},
		[WORDS] = {NULL, "where the time went", .kind = COLUMN_TEXT, .is_wide = true},
	};
	int r;

	memcpy(&columns[STATES], latency_states, sizeof(latency_states));
	r = table_create(ret, "tasks", columns, COLUMNS);
	for (uint32_t i = 0; i < t->types_n && r == 0; i++)
		r = add_type(c, *ret, &t->types[i]);
	return r;
}

static int show_histogram(struct cmd *c, const struct tasks *t, struct table **ret)
{
	int r = table_create(ret, "tasks", latency_columns, LATENCY_COLUMNS);

	for (uint32_t i = 0; i < t->types_n && r == 0; i++)
		r = latency_rows(*ret, type_name(c, t->types[i].type, t->types[i].is_rest),
				 &t->types[i].latency);
	return r;
}

/* ---- the slowest, a row each ---- */

enum {
	SLOW_TASK,
	SLOW_TYPE,
	SLOW_PARENT,
	SLOW_BEGIN,
	SLOW_LATENCY,
	SLOW_OPEN,
	SLOW_THREADS,
	SLOW_AT_ONCE,
	SLOW_PARTS,
	SLOW_STATES,
	SLOW_GAP = SLOW_STATES + TRACE_STATES,
	SLOW_OVERLAP,
	SLOW_BEGUN_BY,
	SLOW_ENDED_BY,
	SLOW_STACK,
	SLOW_WORDS,
	SLOW_COLUMNS
};

static const char *thread_text(struct name *name, const struct cmd *c, uint32_t thread)
{
	name_clear(name);
	if (thread != 0)
		name_thread(name, &c->tables, thread);
	return name_text(name);
}

static int add_slow(const struct cmd *c, struct table *table, const struct task *task)
{
	uint64_t begun = cmd_begun_ns(c);
	struct cell cells[SLOW_COLUMNS] = {0};
	struct name words, begun_by, ended_by, stack;

	name_clear(&words);
	name_clear(&stack);
	latency_words(&words, task->state_ns, task->gap_ns, true);
	if (task->stack != 0)
		name_stack_host(&stack, &c->tables, task->stack, 1);
	cells[SLOW_TASK].n = task->id;
	cells[SLOW_TYPE].text = type_name(c, task->type, false);
	cells[SLOW_PARENT].n = task->parent;
	cells[SLOW_PARENT].is_none = task->parent == 0;
	cells[SLOW_BEGIN].n = task->begin_ns > begun ? task->begin_ns - begun : 0;
	cells[SLOW_LATENCY].n = task->end_ns - task->begin_ns;
	cells[SLOW_OPEN].n = !task->has_begin || !task->has_end;
	cells[SLOW_THREADS].n = task->threads;
	cells[SLOW_AT_ONCE].n = task->at_once;
	cells[SLOW_PARTS].n = task->parts;
	latency_cells(&cells[SLOW_STATES], task->state_ns);
	cells[SLOW_GAP].n = task->gap_ns;
	cells[SLOW_OVERLAP].n = task->overlap_ns;
	cells[SLOW_BEGUN_BY].text = thread_text(&begun_by, c, task->begun_by);
	cells[SLOW_ENDED_BY].text = thread_text(&ended_by, c, task->ended_by);
	cells[SLOW_STACK].text = name_text(&stack);
	cells[SLOW_WORDS].text = name_text(&words);
	return table_row(table, cells);
}

static int show_slowest(struct cmd *c, const struct tasks *t, struct table **ret)
{
	static struct column columns[SLOW_COLUMNS] = {
		[SLOW_TASK] = {"task", "task", .kind = COLUMN_ID, .is_ascending = true},
		[SLOW_TYPE] = {"type", "type", .kind = COLUMN_TEXT, .is_wide = true},
		[SLOW_PARENT] = {"parent", NULL, .kind = COLUMN_ID, .is_ascending = true},
		[SLOW_BEGIN] = {"begin_ns", "begun", .kind = COLUMN_TIME, .is_ascending = true},
		[SLOW_LATENCY] = {"latency_ns", "latency", .kind = COLUMN_NS},
		[SLOW_OPEN] = {"open", "open", .kind = COLUMN_BOOL},
		[SLOW_THREADS] = {"threads", "threads", .kind = COLUMN_COUNT},
		[SLOW_AT_ONCE] = {"at_once", NULL, .kind = COLUMN_COUNT},
		[SLOW_PARTS] = {"parts", NULL, .kind = COLUMN_COUNT},
		[SLOW_GAP] = {"gap_ns", NULL, .kind = COLUMN_NS},
		[SLOW_OVERLAP] = {"overlap_ns", NULL, .kind = COLUMN_NS},
		[SLOW_BEGUN_BY] = {"begun_by", NULL, .kind = COLUMN_TEXT},
		[SLOW_ENDED_BY] = {"ended_by", NULL, .kind = COLUMN_TEXT},
		[SLOW_STACK] = {"where", NULL, .kind = COLUMN_TEXT},
		[SLOW_WORDS] = {NULL, "where the time went", .kind = COLUMN_TEXT, .is_wide = true},
	};
	int r;

	memcpy(&columns[SLOW_STATES], latency_states, sizeof(latency_states));
	r = table_create(ret, "tasks", columns, SLOW_COLUMNS);
	for (uint32_t i = 0; i < t->slowest_n && r == 0; i++)
		r = add_slow(c, *ret, &t->slowest[i]);
	return r;
}

static bool is_of_type(void *context, const struct task *task)
{
	return latency_matches(context, task->type);
}

static int note_all(const struct cmd *c, struct table *table, const struct tasks *t)
{
	uint64_t overlap_ns = 0;
	struct out text;
	int r = 0;

	if (c->args->format != FORMAT_TEXT)
		return 0;
	for (uint32_t i = 0; i < t->types_n; i++)
		overlap_ns += t->types[i].overlap_ns;
	if (overlap_ns > 0) {
		out_init(&text, -1, false);
		out_duration(&text, overlap_ns);
		r = table_note(table,
			       "several threads worked for one task at once: %.*s are in states "
			       "more than once, in latencies once",
			       (int)text.n, text.buffer);
	}
	if (r == 0 && t->ended_unbegun > 0)
		r = table_note(table, "%" PRIu64 " ends of tasks that were not seen to begin",
			       t->ended_unbegun);
	if (r == 0 && t->begun_twice + t->ended_twice > 0)
		r = table_note(table,
			       "%" PRIu64 " tasks were begun and %" PRIu64
			       " ended a second time, which does not count",
			       t->begun_twice, t->ended_twice);
	if (r == 0 && t->given_up + t->left_out > 0)
		r = table_note(table,
			       "too many were open at once: %" PRIu64
			       " are given up as open, %" PRIu64 " are not here",
			       t->given_up, t->left_out);
	return r;
}

static int run_types(struct cmd *c)
{
	struct latency_pattern pattern = {0};
	struct tasks t = {.from_ns = c->range.from_ns,
			  .to_ns = c->range.to_ns,
			  .threads = c->args->threads != NULL ? &c->range.threads : NULL,
			  .is_wanted = is_of_type,
			  .context = &pattern,
			  .slowest_max = (uint32_t)own.slowest,
			  .min_ns = c->args->min_ns};
	struct story_listener listener = tasks_listener(&t);
	struct story_counts counts;
	struct table *table = NULL;
	struct why why;
	int status, r;

	if (latency_pattern(&pattern, "type", own.type, &c->tables, &why) < 0)
		return cmd_failed(c, -EINVAL, &why);
	status = tell_all(c, &listener, &counts);
	if (status == STATUS_OK) {
		r = tasks_end(&t, counts.end_ns);
		if (r == 0)
			r = own.slowest > 0     ? show_slowest(c, &t, &table)
			    : own.has_histogram ? show_histogram(c, &t, &table)
						: show_types(c, &t, &table);
		if (r == 0)
			r = note_all(c, table, &t);
		status = r < 0 ? cmd_failed(c, r, &no_memory)
			       : cmd_table(c, table,
					   own.slowest > 0 || own.has_histogram ? NULL : "total_ns",
					   &counts);
	}
	table_destroy(table);
	tasks_fini(&t);
	latency_pattern_fini(&pattern);
	return status;
}

/* ---- one task, line by line ---- */

enum {
	LINE_TIME,
	LINE_AFTER,
	LINE_TOOK,
	LINE_THREAD,
	LINE_KIND,
	LINE_PART,
	LINE_WHAT,
	LINE_WHERE,
	LINE_TEXT,
	LINE_COLUMNS
};

static const char *const line_kinds[] = {
	[TASK_LINE_INTERVAL] = "interval",
	[TASK_LINE_GAP] = "gap",
	[TASK_LINE_BEGIN] = "begin",
	[TASK_LINE_END] = "end",
	[TASK_LINE_JOIN] = "join",
	[TASK_LINE_LEAVE] = "leave",
	[TASK_LINE_PART_BEGIN] = "part.begin",
	[TASK_LINE_PART_END] = "part.end",
	[TASK_LINE_LOG] = "log",
	[TASK_LINE_ATTRIBUTE] = "attribute",
	[TASK_LINE_REGION_BEGIN] = "region.begin",
	[TASK_LINE_REGION_END] = "region.end",
	[TASK_LINE_FLOW] = "flow",
};

static void add_string(struct name *name, const struct tables *t, uint32_t str)
{
	const struct table_text *text = tables_string(t, str);

	if (text != NULL)
		name_add(name, text->text, strnlen(text->text, text->length));
}

static void say_gap(struct name *name, const struct cmd *c, const struct task_line *line)
{
	bool has_length = line->end_ns > line->begin_ns;

	if (line->thread == 0) {
		name_format(name, "nobody works for it");
		return;
	}
	name_format(name, has_length ? "nobody works for it, until " : "goes on with ");
	name_thread(name, &c->tables, line->thread);
}

static void say_line(struct name *name, const struct cmd *c, const struct task_line *line)
{
	switch ((enum task_line_kind)line->kind) {
	case TASK_LINE_INTERVAL:
		doing_words(name, &c->tables, &line->interval);
		break;
	case TASK_LINE_GAP:
		say_gap(name, c, line);
		break;
	case TASK_LINE_BEGIN:
		name_format(name, "begins: ");
		add_string(name, &c->tables, line->first);
		break;
	case TASK_LINE_END:
		name_format(name, "ends");
		break;
	case TASK_LINE_JOIN:
		name_format(name, "works for it, too");
		break;
	case TASK_LINE_LEAVE:
		name_format(name, "works for it no more");
		break;
	case TASK_LINE_PART_BEGIN:
		name_format(name, "a part begins, task %" PRIu64 ": ", line->id);
		add_string(name, &c->tables, line->first);
		break;
	case TASK_LINE_PART_END:
		name_format(name, "a part ends, task %" PRIu64, line->id);
		break;
	case TASK_LINE_LOG:
	case TASK_LINE_ATTRIBUTE:
		add_string(name, &c->tables, line->first);
		name_format(name, line->kind == TASK_LINE_LOG ? ": " : " = ");
		add_string(name, &c->tables, line->second);
		break;
	case TASK_LINE_REGION_BEGIN:
	case TASK_LINE_REGION_END:
		name_format(name,
			    line->kind == TASK_LINE_REGION_END ? "end of region " : "region ");
		add_string(name, &c->tables, line->first);
		break;
	case TASK_LINE_FLOW:
		name_format(name, "flow ");
		add_string(name, &c->tables, line->first);
		break;
	}
}

static int add_line(const struct cmd *c, struct table *table, const struct task_lines *t,
		    const struct task_line *line)
{
	uint64_t begun = cmd_begun_ns(c);
	struct cell cells[LINE_COLUMNS] = {0};
	struct name thread, what, where, text;

	name_clear(&what);
	name_clear(&where);
	say_line(&what, c, line);
	if (line->kind == TASK_LINE_INTERVAL && line->interval.stack != 0)
		name_stack_host(&where, &c->tables, line->interval.stack, 1);
	cells[LINE_TIME].n = line->begin_ns > begun ? line->begin_ns - begun : 0;
	cells[LINE_AFTER].n = line->begin_ns > t->begin_ns ? line->begin_ns - t->begin_ns : 0;
	cells[LINE_TOOK].n = line->end_ns - line->begin_ns;
	cells[LINE_TOOK].is_none = line->kind != TASK_LINE_INTERVAL && line->kind != TASK_LINE_GAP;
	cells[LINE_THREAD].text =
		line->kind != TASK_LINE_GAP ? thread_text(&thread, c, line->thread) : NULL;
	cells[LINE_KIND].text = line->kind == TASK_LINE_INTERVAL
					? story_state_name(line->interval.state)
					: line_kinds[line->kind];
	cells[LINE_PART].n = line->id;
	cells[LINE_PART].is_none = line->id == 0;
	cells[LINE_WHAT].text = name_text(&what);
	cells[LINE_WHERE].text = name_text(&where);
	text = what;
	doing_where(&text, &where);
	cells[LINE_TEXT].text = name_text(&text);
	return table_row(table, cells);
}

static void say_duration(struct name *name, const char *before, uint64_t ns, const char *after)
{
	struct out text;

	out_init(&text, -1, false);
	out_duration(&text, ns);
	name_format(name, "%s%.*s%s", before, (int)text.n, text.buffer, after);
}

/* How the lines add up. */
static int note_lines(const struct cmd *c, struct table *table, const struct task_lines *t)
{
	uint64_t latency_ns = t->end_ns - t->begin_ns, all_ns = t->worked_ns + t->gap_ns;
	struct name name;
	int r;

	name_clear(&name);
	name_format(&name, "task %" PRIu64 ", ", t->id);
	add_string(&name, &c->tables, t->type);
	say_duration(&name, t->type != 0 ? ": " : "", latency_ns, "");
	if (!t->has_begin || !t->has_end)
		name_format(&name, " until here, %s in this trace",
			    t->has_begin ? "it does not end" : "it does not begin");
	say_duration(&name, " = ", t->worked_ns, " of threads");
	if (t->gap_ns > 0)
		say_duration(&name, " + ", t->gap_ns, " in which nobody worked for it");
	if (all_ns > latency_ns) {
		say_duration(&name, " - ", all_ns - latency_ns, "");
		name_format(&name, " that up to %" PRIu32 " of them did at once", t->at_once);
	}
	r = table_note(table, "%s", name_text(&name));
	if (r == 0 && t->left_out > 0) {
		name_clear(&name);
		say_duration(&name, "", t->left_out_ns, "");
		r = table_note(table, "%" PRIu64 " more lines, of %s, are not here", t->left_out,
			       name_text(&name));
	}
	if (r == 0 && t->parts_left_out > 0)
		r = table_note(table, "%" PRIu64 " more parts are not here", t->parts_left_out);
	return r;
}

static int show_lines(struct cmd *c, const struct task_lines *t, struct table **ret)
{
	static const struct column columns[LINE_COLUMNS] = {
		[LINE_TIME] = {"time_ns", "time", .kind = COLUMN_TIME, .is_ascending = true},
		[LINE_AFTER] = {"after_ns", "after", .kind = COLUMN_NS, .is_ascending = true},
		[LINE_TOOK] = {"took_ns", "took", .kind = COLUMN_NS},
		[LINE_THREAD] = {"thread", "thread", .kind = COLUMN_TEXT},
		[LINE_KIND] = {"kind", NULL, .kind = COLUMN_TEXT},
		[LINE_PART] = {"part", NULL, .kind = COLUMN_ID},
		[LINE_WHAT] = {"what", NULL, .kind = COLUMN_TEXT},
		[LINE_WHERE] = {"where", NULL, .kind = COLUMN_TEXT},
		[LINE_TEXT] = {NULL, "what", .kind = COLUMN_TEXT, .is_wide = true},
	};
	int r = table_create(ret, "lines", columns, LINE_COLUMNS);

	for (uint32_t i = 0; i < t->n && r == 0; i++)
		r = add_line(c, *ret, t, &t->lines[i]);
	return r == 0 && c->args->format == FORMAT_TEXT ? note_lines(c, *ret, t) : r;
}

static int run_lines(struct cmd *c)
{
	struct task_lines t = {.id = own.task};
	struct story_listener listener = task_lines_listener(&t);
	struct args all = *c->args;
	struct story_counts counts;
	struct table *table = NULL;
	int status = tell_all(c, &listener, &counts), r;

	if (status == STATUS_OK && !t.is_found) {
		cmd_complain("%s has no task %" PRIu64
			     "; 'cprof-trace %s tasks --slowest 20' lists "
			     "some",
			     c->reader->name, own.task, c->reader->name);
		status = STATUS_FAILED;
	} else if (status == STATUS_OK) {
		r = task_lines_end(&t, counts.end_ns);
		if (r == 0)
			r = show_lines(c, &t, &table);
		/* a story is told to its end */
		if (all.limit == ARGS_LIMIT_DEFAULT)
			all.limit = 0;
		c->args = &all;
		status = r < 0 ? cmd_failed(c, r, &no_memory) : cmd_table(c, table, NULL, &counts);
	}
	table_destroy(table);
	task_lines_fini(&t);
	return status;
}

static int run(const struct args *args)
{
	struct cmd c;
	int status = cmd_begin(&c, args);
	const struct args *before = c.args;

	if (status == STATUS_OK && own.slowest > SLOWEST_MAX) {
		cmd_complain("--slowest %" PRIu64 ": %d at most", own.slowest, SLOWEST_MAX);
		status = STATUS_USAGE;
	}
	if (status == STATUS_OK)
		status = own.task != 0 ? run_lines(&c) : run_types(&c);
	c.args = before;
	return cmd_close(&c, status);
}

const struct command command_tasks = {
	.name = "tasks",
	.about = "how long tasks took, and what their time went into",
	.synopsis = "tasks [OPTION...]",
	.text = "A row for each type of task (cprof_task_begin()): how many there were, how many "
		"of them have\n"
		"no beginning or no end in this trace, how long they took, and what the threads "
		"that worked for\n"
		"them or for a part of them did. A gap is when nobody did.\n"
		"\n"
		"--from and --to leave tasks whole: those that were there at some time between.\n",
	.groups = ARGS_RANGE | ARGS_THREADS | ARGS_MIN | ARGS_TABLE,
	.options = options,
	.own = &own,
	.run = run,
};
