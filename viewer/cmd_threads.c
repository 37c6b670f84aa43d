#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/cmd.h"
#include "viewer/names.h"
#include "viewer/threads.h"

static const char *const groupings[] = {
	[THREADS_BY_NONE] = "none", [THREADS_BY_NAME] = "name", [THREADS_BY_START] = "start", NULL};

static struct {
	int group; /* enum threads_by */
} own;

static const struct args_option options[] = {
	{.name = "group",
	 .type = ARGS_WORD,
	 .offset = offsetof(__typeof__(own), group),
	 .takes = "BY",
	 .about = "together: name, without its digits; start, the function; or none",
	 .words = groupings},
	{.name = NULL},
};

/* States in the order of their columns. */
static const struct {
	uint8_t state;
	const char *key, *title;
} states[TRACE_STATES] = {
	{TRACE_RUNNING, "states.running_ns", "run"},
	{TRACE_RUNNABLE, "states.runnable_ns", "runnable"},
	{TRACE_LOCK, "states.lock_ns", "lock"},
	{TRACE_WAIT, "states.wait_ns", "wait"},
	{TRACE_SYSCALL, "states.syscall_ns", "sys"},
	{TRACE_IDLE, "states.idle_ns", "idle"},
	{TRACE_SPIN, "states.spin_ns", "spin"},
	{TRACE_UNKNOWN, "states.unknown_ns", "unknown"},
};

enum {
	NAME,
	THREADS,
	TID,
	LIFE,
	STATES,
	SHARES = STATES + TRACE_STATES,
	CPU = SHARES + TRACE_STATES,
	CALLS,
	WAITS,
	VOLUNTARY,
	INVOLUNTARY,
	BEGUN,
	EXIT,
	PARENT,
	START,
	COLUMNS
};

/* In text only states that somebody was in, and what is about one thread only where rows are of one. */
static void make_columns(struct column columns[COLUMNS], const uint64_t state_ns[TRACE_STATES],
			 bool is_grouped, bool is_verbose)
{
	const struct column fixed[COLUMNS] = {
		[NAME] = {"name", own.group == THREADS_BY_START ? "start" : "name",
			  .kind = COLUMN_TEXT, .is_wide = true},
		[THREADS] = {"threads", is_grouped ? "threads" : NULL, .kind = COLUMN_COUNT},
		[TID] = {"tid", is_grouped ? NULL : "tid", .kind = COLUMN_ID, .is_ascending = true},
		[LIFE] = {"life_ns", "life", .kind = COLUMN_NS},
		[CPU] = {"cpu_share", "cpu", .kind = COLUMN_SHARE},
		[CALLS] = {"calls", "calls", .kind = COLUMN_COUNT},
		[WAITS] = {"waits", "waits", .kind = COLUMN_COUNT},
		[VOLUNTARY] = {"switches.voluntary", is_verbose ? "blocked" : NULL,
			       .kind = COLUMN_COUNT},
		[INVOLUNTARY] = {"switches.involuntary", is_verbose ? "preempted" : NULL,
				 .kind = COLUMN_COUNT},
		[BEGUN] = {"begun_ns", is_verbose ? "begun" : NULL, .kind = COLUMN_TIME,
			   .is_ascending = true},
		[EXIT] = {"exit", is_verbose && !is_grouped ? "exit" : NULL, .kind = COLUMN_TEXT},
		[PARENT] = {"parent", is_verbose && !is_grouped ? "parent" : NULL,
			    .kind = COLUMN_TEXT},
		[START] = {"start", is_verbose && own.group != THREADS_BY_START ? "start" : NULL,
			   .kind = COLUMN_TEXT},
	};

	memcpy(columns, fixed, sizeof(fixed));
	for (unsigned i = 0; i < TRACE_STATES; i++) {
		columns[STATES + i] = (struct column){states[i].key, NULL, .kind = COLUMN_NS};
		columns[SHARES + i] = (struct column){
			NULL, state_ns[states[i].state] > 0 ? states[i].title : NULL,
			.kind = COLUMN_SHARE};
	}
}

/* The text of a name, for a cell. */
static const char *text_of(struct name *name)
{
	name->text[name->n < sizeof(name->text) ? name->n : sizeof(name->text) - 1] = '\0';
	return name->n > 0 ? name->text : NULL;
}

struct totals {
	uint64_t state_ns[TRACE_STATES], cpu_ns;
};

static uint64_t cpu_of(const struct threads_row *row)
{
	return row->state_ns[TRACE_RUNNING] + row->state_ns[TRACE_SPIN];
}

static struct totals add_up(const struct threads *t)
{
	struct totals all = {0};

	for (uint32_t i = 0; i < t->rows_n; i++) {
		for (unsigned k = 0; k < TRACE_STATES; k++)
			all.state_ns[k] += t->rows[i].state_ns[k];
		all.cpu_ns += cpu_of(&t->rows[i]);
	}
	return all;
}

static struct cell share(uint64_t part, uint64_t all)
{
	return (struct cell){.share = all > 0 ? (double)part / (double)all : 0,
			     .is_none = all == 0};
}

static int add_row(struct cmd *c, struct table *table, const struct threads *t,
		   const struct threads_row *row, const struct totals *all)
{
	const struct table_thread *thread = tables_thread(&c->tables, row->thread);
	uint64_t begun = cmd_begun_ns(c);
	bool is_one = own.group == THREADS_BY_NONE;
	struct name name, start, parent;
	struct cell cells[COLUMNS] = {0};

	name_clear(&name);
	name_clear(&start);
	name_clear(&parent);
	if (row->start != 0)
		name_address(&start, &c->tables, row->start);
	if (own.group == THREADS_BY_START && start.n > 0)
		name_add(&name, start.text, start.n);
	else
		name_thread(&name, &c->tables, row->thread);
	if (own.group == THREADS_BY_NAME)
		name.n = threads_group_length(name.text, name.n);
	if (thread != NULL && thread->parent != 0)
		name_thread(&parent, &c->tables, thread->parent);
	cells[NAME].text = text_of(&name);
	cells[THREADS].n = row->threads_n;
	cells[TID].n = thread != NULL ? thread->tid : 0;
	cells[TID].is_none = !is_one || cells[TID].n == 0;
	cells[LIFE].n = row->life_ns;
	for (unsigned i = 0; i < TRACE_STATES; i++) {
		cells[STATES + i].n = row->state_ns[states[i].state];
		cells[SHARES + i] = share(row->state_ns[states[i].state], row->life_ns);
	}
	cells[CPU] = share(cpu_of(row), all->cpu_ns);
	cells[CALLS].n = row->calls;
	cells[WAITS].n = row->waits;
	cells[VOLUNTARY].n = row->voluntary;
	cells[INVOLUNTARY].n = row->involuntary;
	cells[VOLUNTARY].is_none = cells[INVOLUNTARY].is_none = !t->knows_switches;
	cells[BEGUN].n = row->begin_ns > begun ? row->begin_ns - begun : 0;
	cells[BEGUN].is_none = !row->has_begin;
	cells[EXIT].text =
		is_one && row->has_end ? name_value(TRACE_THREAD_EXIT_EVENT, 0, row->exit) : NULL;
	cells[PARENT].text = is_one ? text_of(&parent) : NULL;
	cells[START].text = text_of(&start);
	return table_row(table, cells);
}

static int show(struct cmd *c, struct threads *t, const struct story_counts *counts)
{
	struct column columns[COLUMNS];
	struct table *table = NULL;
	struct totals all;
	int status, r = threads_group(t, (enum threads_by)own.group, &c->tables, &c->range.threads);

	all = add_up(t);
	make_columns(columns, all.state_ns, own.group != THREADS_BY_NONE, c->args->verbose);
	if (r == 0)
		r = table_create(&table, "threads", columns, COLUMNS);
	for (uint32_t i = 0; i < t->rows_n && r == 0; i++)
		r = add_row(c, table, t, &t->rows[i], &all);
	status = r == 0 ? cmd_table(c, table, "cpu_share", counts)
			: cmd_failed(c, r, &(struct why){"out of memory"});
	table_destroy(table);
	return status;
}

static int run(const struct args *args)
{
	struct story_listener listener;
	struct story_counts counts;
	struct threads t;
	struct cmd c;
	int status = cmd_begin(&c, args);

	if (status != STATUS_OK)
		return cmd_close(&c, status);
	threads_init(&t, c.range.from_ns, c.range.to_ns);
	listener = threads_listener(&t);
	status = cmd_tell(&c, &listener, &counts);
	if (status == STATUS_OK)
		status = show(&c, &t, &counts);
	threads_fini(&t);
	return cmd_close(&c, status);
}

const struct command command_threads = {
	.name = "threads",
	.about = "what each thread did with its time",
	.synopsis = "threads [OPTION...]",
	.text = "A row for each thread: how long it lived, which share of that it ran, wanted to "
		"run, or\n"
		"waited for what; its share of all CPU time; how many system calls and waits it "
		"had. With\n"
		"-v also how often it was switched, when it began, how it ended, and by whom and "
		"where it\n"
		"was started.\n",
	.groups = ARGS_RANGE | ARGS_THREADS | ARGS_TABLE,
	.options = options,
	.own = &own,
	.run = run,
};
