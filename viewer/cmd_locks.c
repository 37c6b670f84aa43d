#include "viewer/cmd_locks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/syscalls.h"
#include "viewer/across.h"
#include "viewer/locks.h"

#define WIDE    150 /* columns of a terminal with room for all */
#define CONVOYS 5   /* notes of them */

static struct {
	int by; /* enum locks_by */
	bool order, dot, chains;
	int across; /* enum across_what; -1: not asked for */
} own = {.across = -1};

enum across_what { ACROSS_SYSCALL, ACROSS_WAIT, ACROSS_ANY };

static const char *const bys[] = {"lock", "site", "holder", NULL};
static const char *const across_words[] = {"syscall", "wait", "any", NULL};

static const struct args_option options[] = {
	{.name = "by",
	 .type = ARGS_WORD,
	 .offset = offsetof(__typeof__(own), by),
	 .takes = "WHAT",
	 .about = "lock; site: where it was waited; holder: who had it meanwhile",
	 .words = bys},
	{.name = "order",
	 .type = ARGS_FLAG,
	 .offset = offsetof(__typeof__(own), order),
	 .about = "which locks were taken while others were held; possible deadlocks"},
	{.name = "dot",
	 .type = ARGS_FLAG,
	 .offset = offsetof(__typeof__(own), dot),
	 .about = "the same as a graph, for dot(1)"},
	{.name = "chains",
	 .type = ARGS_FLAG,
	 .offset = offsetof(__typeof__(own), chains),
	 .about = "who waits for whom, who waits for whom … and what the last one does"},
	{.name = "held-across",
	 .type = ARGS_WORD,
	 .offset = offsetof(__typeof__(own), across),
	 .takes = "WHAT",
	 .about = "what was done with a lock in hand: syscall, wait or any",
	 .words = across_words},
	{.name = NULL},
};

/* ---- what all views share ---- */

const char *cmd_text(struct name *name)
{
	name->text[name->n < sizeof(name->text) ? name->n : sizeof(name->text) - 1] = '\0';
	return name->text[0] != '\0' ? name->text : NULL;
}

bool cmd_wants_lock(void *context, uint32_t object)
{
	const struct cmd *c = context;
	struct name name;

	name_clear(&name);
	if (object != 0)
		name_object(&name, &c->tables, object);
	return memmem(name.text, name.n, c->args->lock, strlen(c->args->lock)) != NULL;
}

void cmd_thread(struct name *name, const struct tables *t, uint32_t index)
{
	name_one_thread(name, t, index);
}

void cmd_place(struct name *name, const struct tables *t, uint32_t stack)
{
	if (stack != 0)
		name_stack_host(name, t, stack, 1);
}

void cmd_call(struct name *name, uint32_t number)
{
	const char *text = syscalls_name(number);

	if (text != NULL)
		name_format(name, "%s", text);
	else
		name_format(name, "syscall#%" PRIu32, number);
}

void cmd_object(struct name *name, const struct tables *t, uint32_t object)
{
	const struct table_object *o = tables_object(t, object);

	if (o != NULL)
		name_format(name, "%s ", name_kind(o->kind));
	name_object(name, t, object);
}

/* ---- rows ---- */

enum {
	ROW_NAME,
	ROW_WHERE,
	ROW_KIND,
	ROW_SIDE,
	ROW_TOTAL,
	ROW_WAITS,
	ROW_MEAN,
	ROW_P50,
	ROW_P99,
	ROW_MAX,
	ROW_TAKEN,
	ROW_HELD,
	ROW_HELD_P50,
	ROW_HELD_P99,
	ROW_HELD_MAX,
	ROW_QUEUE,
	ROW_CALLS,
	ROW_OFF,
	ROW_WAITING,
	ROW_HANDOVER,
	ROW_HANDOVER_MAX,
	ROW_FAILED,
	ROW_FUTILE,
	ROW_OPEN,
	ROW_CONVOYS,
	ROW_CONVOY,
	ROW_COLUMNS,
};

static const struct column row_columns[ROW_COLUMNS] = {
	[ROW_NAME] = {.key = "name", .title = "NAME", .kind = COLUMN_TEXT, .is_wide = true},
	[ROW_WHERE] = {.key = "where", .title = "WHERE", .kind = COLUMN_TEXT, .is_wide = true},
	[ROW_KIND] = {.key = "kind", .title = "KIND", .kind = COLUMN_TEXT},
	[ROW_SIDE] = {.key = "side", .title = "SIDE", .kind = COLUMN_TEXT},
	[ROW_TOTAL] = {.key = "total_ns", .title = "WAIT", .kind = COLUMN_NS},
	[ROW_WAITS] = {.key = "waits", .title = "WAITS", .kind = COLUMN_COUNT},
	[ROW_MEAN] = {.key = "mean_ns", .title = "MEAN", .kind = COLUMN_NS},
	[ROW_P50] = {.key = "p50_ns", .title = "P50", .kind = COLUMN_NS},
	[ROW_P99] = {.key = "p99_ns", .title = "P99", .kind = COLUMN_NS},
	[ROW_MAX] = {.key = "max_ns", .title = "MAX", .kind = COLUMN_NS},
	[ROW_TAKEN] = {.key = "acquisitions", .title = "TAKEN", .kind = COLUMN_COUNT},
	[ROW_HELD] = {.key = "held_ns", .title = "HELD", .kind = COLUMN_NS},
	[ROW_HELD_P50] = {.key = "held_p50_ns", .title = "H.P50", .kind = COLUMN_NS},
	[ROW_HELD_P99] = {.key = "held_p99_ns", .title = "H.P99", .kind = COLUMN_NS},
	[ROW_HELD_MAX] = {.key = "held_max_ns", .title = "H.MAX", .kind = COLUMN_NS},
	[ROW_QUEUE] = {.key = "queue", .title = "QUEUE", .kind = COLUMN_COUNT},
	[ROW_CALLS] = {.key = "held_calls_ns", .title = "IN CALLS", .kind = COLUMN_NS},
	[ROW_OFF] = {.key = "held_off_ns", .title = "OFF CPU", .kind = COLUMN_NS},
	[ROW_WAITING] = {.key = "held_waits_ns", .title = "IN WAITS", .kind = COLUMN_NS},
	[ROW_HANDOVER] = {.key = "handover_p50_ns", .title = "HAND.P50", .kind = COLUMN_NS},
	[ROW_HANDOVER_MAX] = {.key = "handover_max_ns", .title = "HAND.MAX", .kind = COLUMN_NS},
	[ROW_FAILED] = {.key = "failed", .title = "FAILED", .kind = COLUMN_COUNT},
	[ROW_FUTILE] = {.key = "futile", .title = "FUTILE", .kind = COLUMN_COUNT},
	[ROW_OPEN] = {.key = "open", .kind = COLUMN_COUNT},
	[ROW_CONVOYS] = {.key = "convoys", .title = "CONVOYS", .kind = COLUMN_COUNT},
	[ROW_CONVOY] = {.key = "convoy_ns", .kind = COLUMN_NS},
};

/* Which columns there are is a matter of what was asked for, and of the room. */
static void choose_columns(const struct cmd *c, struct column *columns)
{
	/* from how many columns of text on; 0: whatever there is, 1: never in text */
	static const unsigned from[][ROW_COLUMNS] = {
		[LOCKS_BY_LOCK] = {[ROW_MEAN] = 90,
				   [ROW_P50] = WIDE,
				   [ROW_P99] = 90,
				   [ROW_SIDE] = 100,
				   [ROW_HELD_P50] = WIDE,
				   [ROW_HELD_P99] = WIDE,
				   [ROW_HELD_MAX] = 110,
				   [ROW_CALLS] = WIDE,
				   [ROW_OFF] = WIDE,
				   [ROW_WAITING] = WIDE,
				   [ROW_HANDOVER] = 130,
				   [ROW_HANDOVER_MAX] = WIDE,
				   [ROW_FAILED] = WIDE,
				   [ROW_FUTILE] = WIDE,
				   [ROW_CONVOYS] = WIDE},
		[LOCKS_BY_SITE] = {[ROW_P50] = 90,
				   [ROW_FAILED] = 110,
				   [ROW_QUEUE] = 100,
				   [ROW_FUTILE] = WIDE,
				   [ROW_HANDOVER] = 130,
				   [ROW_HANDOVER_MAX] = WIDE},
		[LOCKS_BY_HOLDER] = {[ROW_MEAN] = 90,
				     [ROW_P50] = WIDE,
				     [ROW_P99] = 110,
				     [ROW_HELD_P50] = WIDE,
				     [ROW_HELD_P99] = WIDE,
				     [ROW_HELD_MAX] = 120,
				     [ROW_CALLS] = 130,
				     [ROW_OFF] = WIDE,
				     [ROW_WAITING] = WIDE},
	};
	static const bool has_none[][ROW_COLUMNS] = {
		[LOCKS_BY_LOCK] = {[ROW_WHERE] = true},
		[LOCKS_BY_SITE] = {[ROW_SIDE] = true,
				   [ROW_TAKEN] = true,
				   [ROW_HELD] = true,
				   [ROW_HELD_P50] = true,
				   [ROW_HELD_P99] = true,
				   [ROW_HELD_MAX] = true,
				   [ROW_CALLS] = true,
				   [ROW_OFF] = true,
				   [ROW_WAITING] = true,
				   [ROW_CONVOYS] = true,
				   [ROW_CONVOY] = true},
		[LOCKS_BY_HOLDER] = {[ROW_SIDE] = true,
				     [ROW_QUEUE] = true,
				     [ROW_HANDOVER] = true,
				     [ROW_HANDOVER_MAX] = true,
				     [ROW_FAILED] = true,
				     [ROW_FUTILE] = true,
				     [ROW_OPEN] = true,
				     [ROW_CONVOYS] = true,
				     [ROW_CONVOY] = true},
	};
	unsigned width = tty_width();

	memcpy(columns, row_columns, sizeof(row_columns));
	for (unsigned i = 0; i < ROW_COLUMNS; i++) {
		if (has_none[own.by][i])
			columns[i].key = columns[i].title = NULL;
		else if (c->args->format == FORMAT_TEXT && width < from[own.by][i])
			columns[i].title = NULL;
	}
}

/* "g_cache.lock", or "g_cache.lock and others". */
static void put_object(struct name *name, const struct cmd *c, const struct locks_row *row)
{
	if (row->object != 0)
		name_object(name, &c->tables, row->object);
	else if (row->wait_type == TRACE_JOIN_BEGIN_EVENT)
		name_format(name, "the end of a thread");
	if (row->has_others)
		name_format(name, " and others");
}

static void put_where(struct name *name, const struct cmd *c, const struct locks_row *row)
{
	if (row->stack != 0) {
		name_stack_host(name, &c->tables, row->stack, 2);
	} else if (own.by == LOCKS_BY_HOLDER && row->thread == HOLDERS_MANY) {
		name_format(name, "(many, one after the other)");
	} else if (own.by == LOCKS_BY_HOLDER && row->thread != 0) {
		name_format(name, "thread ");
		cmd_thread(name, &c->tables, row->thread);
	} else if (own.by == LOCKS_BY_HOLDER) {
		name_format(name, "(nobody: handed over)");
	} else {
		name_format(name, "(no stack)");
	}
}

static unsigned kind_of(const struct cmd *c, uint32_t object)
{
	const struct table_object *o = tables_object(&c->tables, object);

	return o != NULL ? o->kind : TRACE_OBJECT_UNKNOWN;
}

static int add_row(struct table *table, const struct cmd *c, const struct locks_row *row)
{
	unsigned kind = kind_of(c, row->object);
	struct cell cells[ROW_COLUMNS] = {0};
	struct name name, where;

	name_clear(&name);
	name_clear(&where);
	put_object(&name, c, row);
	put_where(&where, c, row);
	cells[ROW_NAME].text = cmd_text(&name);
	cells[ROW_WHERE].text = cmd_text(&where);
	cells[ROW_KIND].text = row->object != 0 ? name_kind(kind) : "join";
	if (kind == TRACE_OBJECT_RWLOCK)
		cells[ROW_SIDE].text = row->mode == 2 ? "readers" : "writers";
	cells[ROW_TOTAL].n = row->wait.sum;
	cells[ROW_WAITS].n = row->wait.n;
	cells[ROW_MEAN].n = durations_mean(&row->wait);
	cells[ROW_P50].n = durations_at(&row->wait, 0.5);
	cells[ROW_P99].n = durations_at(&row->wait, 0.99);
	cells[ROW_MAX].n = row->wait.max;
	for (unsigned i = ROW_MEAN; i <= ROW_MAX; i++)
		cells[i].is_none = row->wait.n == 0;
	cells[ROW_TAKEN].n = row->acquired;
	cells[ROW_HELD].n = row->hold.sum;
	cells[ROW_HELD_P50].n = durations_at(&row->hold, 0.5);
	cells[ROW_HELD_P99].n = durations_at(&row->hold, 0.99);
	cells[ROW_HELD_MAX].n = row->hold.max;
	for (unsigned i = ROW_HELD; i <= ROW_HELD_MAX; i++)
		cells[i].is_none = row->hold.n == 0;
	cells[ROW_QUEUE].n = row->queue;
	cells[ROW_CALLS].n = row->calls_ns;
	cells[ROW_OFF].n = row->off_ns;
	cells[ROW_WAITING].n = row->waits_ns;
	cells[ROW_HANDOVER].n = durations_at(&row->handover, 0.5);
	cells[ROW_HANDOVER_MAX].n = row->handover.max;
	cells[ROW_HANDOVER].is_none = cells[ROW_HANDOVER_MAX].is_none = row->handover.n == 0;
	cells[ROW_FAILED].n = row->failed;
	cells[ROW_FUTILE].n = row->futile;
	cells[ROW_OPEN].n = row->open;
	cells[ROW_CONVOYS].n = row->convoys.n;
	cells[ROW_CONVOY].n = row->convoys.sum_ns;
	return table_row(table, cells);
}

/* Text that is made of several pieces, for a note. */
static void put_duration(struct name *name, uint64_t ns)
{
	struct out text;

	out_init(&text, -1, false);
	out_duration(&text, ns);
	name_add(name, text.buffer, text.n);
}

static int note_convoy(struct table *table, const struct cmd *c, const struct locks_row *row)
{
	const struct locks_convoys *v = &row->convoys;
	struct name name;

	name_clear(&name);
	name_object(&name, &c->tables, row->object);
	name_format(&name, ": a convoy: somebody waits for ");
	put_duration(&name, v->end_ns - v->begin_ns);
	name_format(&name, " from %" PRIu64 ".%09" PRIu64 " on, %" PRIu64 " hand-overs take ",
		    (v->begin_ns - cmd_begun_ns(c)) / 1000000000,
		    (v->begin_ns - cmd_begun_ns(c)) % 1000000000, v->handovers);
	put_duration(&name, v->handover_ns);
	name_format(&name, ", the holds ");
	put_duration(&name, v->hold_ns);
	if (v->n > 1)
		name_format(&name, "; one of %" PRIu64, v->n);
	return table_note(table, "%s", cmd_text(&name));
}

static int show_rows(struct cmd *c)
{
	static const char *const what[] = {"locks", "sites", "holders"};
	struct locks locks = {
		.by = (enum locks_by)own.by,
		.from_ns = c->range.from_ns,
		.to_ns = c->range.to_ns,
		.with_idle = c->args->include_idle,
		.min_ns = c->args->min_ns,
		.threads = &c->range.threads,
		.wants_object = c->args->lock != NULL ? cmd_wants_lock : NULL,
		.context = c,
	};
	const struct story_listener listener = locks_listener(&locks);
	struct story_counts counts;
	struct column columns[ROW_COLUMNS];
	struct table *table = NULL;
	int status = cmd_tell(c, &listener, &counts), r = 0;
	unsigned convoys = 0;
	bool has_sides = false;

	if (status != STATUS_OK) {
		locks_fini(&locks);
		return status;
	}
	locks_finish(&locks, counts.end_ns);
	choose_columns(c, columns);
	for (uint32_t i = 0; i < locks.rows_n && !has_sides; i++)
		has_sides = kind_of(c, locks.rows[i].object) == TRACE_OBJECT_RWLOCK;
	if (!has_sides)
		columns[ROW_SIDE].title = NULL;
	r = table_create(&table, what[own.by], columns, ROW_COLUMNS);
	for (uint32_t i = 0; i < locks.rows_n && r == 0; i++)
		if (own.by != LOCKS_BY_HOLDER || locks.rows[i].wait.n > 0)
			r = add_row(table, c, &locks.rows[i]);
	for (uint32_t i = 0; i < locks.rows_n && r == 0; i++)
		if (locks.rows[i].convoys.n > 0 && convoys++ < CONVOYS)
			r = note_convoy(table, c, &locks.rows[i]);
	if (r == 0 && convoys > CONVOYS)
		r = table_note(table, "%u more locks have convoys: --json has them",
			       convoys - CONVOYS);
	if (r == 0 && locks.left_out > 0)
		r = table_note(table, "%" PRIu64 " waits and holds of further locks are left out",
			       locks.left_out);
	if (r == 0)
		status = cmd_table(c, table, "total_ns", &counts);
	else
		status = cmd_failed(c, r, &(struct why){"out of memory"});
	table_destroy(table);
	locks_fini(&locks);
	return status;
}

/* ---- what was done with a lock in hand ---- */

enum {
	IN_LOCK,
	IN_WHAT,
	IN_FILE,
	IN_TOTAL,
	IN_COUNT,
	IN_MEAN,
	IN_MAX,
	IN_AT,
	IN_THREAD,
	IN_WHERE,
	IN_COLUMNS,
};

static const struct column across_columns[IN_COLUMNS] = {
	[IN_LOCK] = {.key = "name", .title = "HELD", .kind = COLUMN_TEXT, .is_wide = true},
	[IN_WHAT] = {.key = "what", .title = "ACROSS", .kind = COLUMN_TEXT},
	[IN_FILE] = {.key = "file", .title = "FILE", .kind = COLUMN_TEXT, .is_wide = true},
	[IN_TOTAL] = {.key = "total_ns", .title = "TOTAL", .kind = COLUMN_NS},
	[IN_COUNT] = {.key = "count", .title = "COUNT", .kind = COLUMN_COUNT},
	[IN_MEAN] = {.key = "mean_ns", .title = "MEAN", .kind = COLUMN_NS},
	[IN_MAX] = {.key = "max_ns", .title = "MAX", .kind = COLUMN_NS},
	[IN_AT] = {.key = "max_begin_ns", .title = "AT", .kind = COLUMN_TIME},
	[IN_THREAD] = {.key = "max_thread", .title = "THREAD", .kind = COLUMN_TEXT},
	[IN_WHERE] = {.key = "where", .title = "WHERE", .kind = COLUMN_TEXT, .is_wide = true},
};

static int add_across(struct table *table, const struct cmd *c, const struct across *a,
		      const struct across_row *row)
{
	const struct tables *t = &c->tables;
	struct cell cells[IN_COLUMNS] = {0};
	struct name lock, what, file, thread, where;

	name_clear(&lock);
	name_clear(&what);
	name_clear(&file);
	name_clear(&thread);
	name_clear(&where);
	name_object(&lock, t, row->lock);
	if (!row->is_wait)
		cmd_call(&what, row->call);
	else if (row->object != 0)
		cmd_object(&what, t, row->object);
	else
		name_format(&what, "join");
	if (row->file != 0)
		same_file_name(&a->files, t, row->file, &file);
	cmd_thread(&thread, t, row->max_thread);
	cmd_place(&where, t, row->max_stack);
	cells[IN_LOCK].text = cmd_text(&lock);
	cells[IN_WHAT].text = cmd_text(&what);
	cells[IN_FILE].text = cmd_text(&file);
	cells[IN_TOTAL].n = row->sum_ns;
	cells[IN_COUNT].n = row->n;
	cells[IN_MEAN].n = row->n > 0 ? row->sum_ns / row->n : 0;
	cells[IN_MAX].n = row->max_ns;
	cells[IN_AT].n = row->max_begin_ns - cmd_begun_ns(c);
	cells[IN_THREAD].text = cmd_text(&thread);
	cells[IN_WHERE].text = cmd_text(&where);
	return table_row(table, cells);
}

static int show_across(struct cmd *c)
{
	struct across across = {
		.from_ns = c->range.from_ns,
		.to_ns = c->range.to_ns,
		.min_ns = c->args->min_ns,
		.with_calls = own.across != ACROSS_WAIT,
		.with_waits = own.across != ACROSS_SYSCALL,
		.tables = &c->tables,
		.threads = &c->range.threads,
		.wants_object = c->args->lock != NULL ? cmd_wants_lock : NULL,
		.context = c,
	};
	const struct story_listener listener = across_listener(&across);
	struct column columns[IN_COLUMNS];
	struct story_counts counts;
	struct table *table = NULL;
	int status = cmd_tell(c, &listener, &counts), r;

	if (status != STATUS_OK) {
		across_fini(&across);
		return status;
	}
	memcpy(columns, across_columns, sizeof(columns));
	if (c->args->format == FORMAT_TEXT && tty_width() < 120)
		columns[IN_MEAN].title = columns[IN_AT].title = columns[IN_THREAD].title = NULL;
	r = table_create(&table, "calls or waits with a lock held", columns, IN_COLUMNS);
	for (uint32_t i = 0; i < across.rows_n && r == 0; i++)
		r = add_across(table, c, &across, &across.rows[i]);
	if (r == 0 && across.cut > 0)
		r = table_note(table,
			       "of %" PRIu64
			       " holds with more than %u of them only the last are counted",
			       across.cut, ACROSS_KEPT);
	if (r == 0 && across.left_out > 0)
		r = table_note(table, "%" PRIu64 " further ones are left out", across.left_out);
	if (r == 0)
		status = cmd_table(c, table, "total_ns", &counts);
	else
		status = cmd_failed(c, r, &(struct why){"out of memory"});
	table_destroy(table);
	across_fini(&across);
	return status;
}

static int run(const struct args *args)
{
	struct cmd c;
	int views = own.order + own.chains + (own.across >= 0) + (own.by != LOCKS_BY_LOCK);
	int status;

	if (views > 1 || (own.dot && views > own.order)) {
		cmd_complain("locks: only one of --by, --order, --chains and --held-across");
		return STATUS_USAGE;
	}
	if (own.dot && args->format != FORMAT_TEXT) {
		cmd_complain("locks: --dot is a form of its own");
		return STATUS_USAGE;
	}
	status = cmd_begin(&c, args);
	if (status == STATUS_OK) {
		if (own.order || own.dot)
			status = cmd_locks_order(&c, own.dot);
		else if (own.chains)
			status = cmd_locks_chains(&c);
		else if (own.across >= 0)
			status = show_across(&c);
		else
			status = show_rows(&c);
	}
	return cmd_close(&c, status);
}

const struct command command_locks = {
	.name = "locks",
	.about = "what waiting for locks and other objects costs, and who makes others wait",
	.synopsis = "locks [OPTION...]",
	.text = "A row for each lock, by the time that threads waited for it; --by site for each "
		"place where they\n"
		"waited, --by holder for each that had the lock meanwhile. Waits for work are left "
		"out.\n"
		"WAIT is what all threads waited together, TAKEN how often it was taken, HELD for "
		"how long,\n"
		"QUEUE how many waited at once.\n",
	.groups = ARGS_RANGE | ARGS_THREADS | ARGS_TABLE | ARGS_FILTER,
	.options = options,
	.own = &own,
	.run = run,
};
