#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/calls.h"
#include "viewer/cmd.h"

#define SLOW_TEXT 20     /* single calls in text, unless --limit says */
#define SLOW_MAX  100000 /* ever: --limit 0 is as many */

static struct {
	int by; /* enum calls_by */
	bool histogram, errors;
	uint64_t slower_ns; /* 0: not asked for */
} own;

static const char *const bys[] = {"number", "file", "path", "peer", "thread", "stack", NULL};

static const struct args_option options[] = {
	{.name = "by",
	 .type = ARGS_WORD,
	 .offset = offsetof(__typeof__(own), by),
	 .takes = "WHAT",
	 .about = "number, file, path, peer, thread or stack",
	 .words = bys},
	{.name = "errors",
	 .type = ARGS_FLAG,
	 .offset = offsetof(__typeof__(own), errors),
	 .about = "those that failed, by their error"},
	{.name = "histogram",
	 .type = ARGS_FLAG,
	 .offset = offsetof(__typeof__(own), histogram),
	 .about = "below each row, how many took how long"},
	{.name = "slower",
	 .type = ARGS_DURATION,
	 .offset = offsetof(__typeof__(own), slower_ns),
	 .takes = "DUR",
	 .about = "single calls that took longer, the longest first"},
	{.name = NULL},
};

enum {
	ROW_NAME,
	ROW_ERROR,
	ROW_KIND,
	ROW_TID,
	ROW_COUNT,
	ROW_OF_CALLS,
	ROW_ERRORS,
	ROW_TOTAL,
	ROW_SHARE,
	ROW_MEAN,
	ROW_P50,
	ROW_P99,
	ROW_MAX,
	ROW_BYTES,
	ROW_IDLE_COUNT,
	ROW_IDLE,
	ROW_OPEN,
	ROW_INDEX,
	ROW_COLUMNS,
};

static const struct column row_columns[ROW_COLUMNS] = {
	[ROW_NAME] = {.key = "name", .title = "NAME", .kind = COLUMN_TEXT, .is_wide = true},
	[ROW_ERROR] = {.key = "error", .title = "ERROR", .kind = COLUMN_TEXT},
	[ROW_KIND] = {.key = "kind", .title = "KIND", .kind = COLUMN_TEXT},
	[ROW_TID] = {.key = "tid", .kind = COLUMN_COUNT},
	[ROW_COUNT] = {.key = "count", .title = "COUNT", .kind = COLUMN_COUNT},
	[ROW_OF_CALLS] = {.key = "of_calls", .title = "OF CALLS", .kind = COLUMN_SHARE},
	[ROW_ERRORS] = {.key = "errors", .title = "ERRORS", .kind = COLUMN_COUNT},
	[ROW_TOTAL] = {.key = "total_ns", .title = "TOTAL", .kind = COLUMN_NS},
	[ROW_SHARE] = {.key = "share", .title = "SHARE", .kind = COLUMN_SHARE},
	[ROW_MEAN] = {.key = "mean_ns", .title = "MEAN", .kind = COLUMN_NS},
	[ROW_P50] = {.key = "p50_ns", .title = "P50", .kind = COLUMN_NS},
	[ROW_P99] = {.key = "p99_ns", .title = "P99", .kind = COLUMN_NS},
	[ROW_MAX] = {.key = "max_ns", .title = "MAX", .kind = COLUMN_NS},
	[ROW_BYTES] = {.key = "bytes", .title = "BYTES", .kind = COLUMN_BYTES},
	[ROW_IDLE_COUNT] = {.key = "idle_count", .kind = COLUMN_COUNT},
	[ROW_IDLE] = {.key = "idle_ns", .kind = COLUMN_NS},
	[ROW_OPEN] = {.key = "open", .kind = COLUMN_COUNT},
	[ROW_INDEX] = {.kind = COLUMN_COUNT},
};

/* Both, of each call. */
struct both {
	struct calls calls, by_number;
};

static int take_call(void *context, const struct story_call *c)
{
	struct both *both = context;
	int r = calls_call(&both->calls, c);

	return r == 0 && own.errors ? calls_call(&both->by_number, c) : r;
}

/* A name as a string of C: what is behind a zero byte in it is left out. */
static const char *text_of(struct name *name)
{
	name->text[name->n < sizeof(name->text) ? name->n : sizeof(name->text) - 1] = '\0';
	return name->text;
}

/* A path whose end is cut says nothing: "…/log/app" in place of "/var/very/long/log/a…". */
static void keep_end(struct name *name, size_t columns)
{
	const char *from, *slash;

	if (name->n <= columns + 2 || columns < 8)
		return;
	from = name->text + name->n - columns + 1;
	slash = memchr(from, '/', columns - 1);
	from = slash != NULL ? slash : from;
	while (((unsigned char)*from & 0xc0) == 0x80)
		from++;
	name->n = (size_t)(name->text + name->n - from);
	memmove(name->text + 3, from, name->n);
	memcpy(name->text, "…", 3);
	name->n += 3;
}

static int compare_totals(const void *a, const void *b)
{
	const struct tally_row *x = *(struct tally_row *const *)a,
			       *y = *(struct tally_row *const *)b;

	if (x->took.sum != y->took.sum)
		return x->took.sum > y->took.sum ? -1 : 1;
	return x->took.n > y->took.n ? -1 : x->took.n < y->took.n;
}

static int add_row(struct table *table, const struct cmd *c, const struct both *both,
		   const struct tally_row *row)
{
	const struct calls *calls = &both->calls;
	const struct histogram *took = &row->took;
	bool include_idle = c->args->include_idle;
	uint64_t work_ns = took->sum - (include_idle ? 0 : row->idle_ns),
		 all_ns = calls->total_ns - (include_idle ? 0 : calls->idle_ns);
	const struct table_thread *thread =
		own.by == CALLS_THREAD ? tables_thread(&c->tables, row->key) : NULL;
	const struct tally_row *of = NULL;
	struct cell cells[ROW_COLUMNS] = {0};
	struct name name;
	char error[24] = "";

	name_clear(&name);
	calls_name(calls, row, &name);
	if (c->args->format == FORMAT_TEXT && (own.by == CALLS_FILE || own.by == CALLS_PATH))
		keep_end(&name, tty_width() * 2 / 5);
	if (own.errors && row->key != TALLY_OTHERS) {
		const char *text = name_error(calls_error(row));

		of = tally_find(&both->by_number.tally, row->value);
		snprintf(error, sizeof(error), "%s", text != NULL ? text : "");
		if (text == NULL)
			snprintf(error, sizeof(error), "%" PRIu64, calls_error(row));
	}
	cells[ROW_NAME].text = text_of(&name);
	cells[ROW_ERROR].text = error;
	cells[ROW_KIND].text = calls_file_kind(calls, row);
	cells[ROW_TID].n = thread != NULL ? thread->tid : 0;
	cells[ROW_COUNT].n = took->n;
	cells[ROW_OF_CALLS].share = of != NULL ? (double)took->n / (double)of->took.n : 0;
	cells[ROW_ERRORS].n = row->errors;
	cells[ROW_TOTAL].n = took->sum;
	/* those that are idle have none, and so are below the others */
	cells[ROW_SHARE].share = all_ns > 0 ? (double)work_ns / (double)all_ns : 0;
	cells[ROW_SHARE].is_none = !include_idle && row->idle_n == took->n;
	cells[ROW_MEAN].n = took->n > 0 ? took->sum / took->n : 0;
	cells[ROW_P50].n = histogram_at(took, 0.5);
	cells[ROW_P99].n = histogram_at(took, 0.99);
	cells[ROW_MAX].n = took->max;
	cells[ROW_BYTES].n = row->bytes;
	cells[ROW_BYTES].is_none = row->bytes == 0 && c->args->format == FORMAT_TEXT;
	cells[ROW_IDLE_COUNT].n = row->idle_n;
	cells[ROW_IDLE].n = row->idle_ns;
	cells[ROW_OPEN].n = row->open_n;
	cells[ROW_INDEX].n = row->index;
	return table_row(table, cells);
}

/* Which columns there are, is a matter of what was asked for. */
static void choose_columns(const struct cmd *c, struct column *columns)
{
	static const struct {
		uint8_t column;
		bool with_errors;
	} only[] = {
		{ROW_ERRORS, false}, {ROW_SHARE, false}, {ROW_ERROR, true}, {ROW_OF_CALLS, true}};

	memcpy(columns, row_columns, sizeof(row_columns));
	for (size_t i = 0; i < sizeof(only) / sizeof(only[0]); i++)
		if (own.errors != only[i].with_errors)
			columns[only[i].column].title = columns[only[i].column].key = NULL;
	if (own.by != CALLS_FILE)
		columns[ROW_KIND].title = columns[ROW_KIND].key = NULL;
	if (own.by != CALLS_THREAD)
		columns[ROW_TID].key = NULL;
	/* what says least, where there is no room for all */
	if (c->args->format == FORMAT_TEXT && tty_width() < (own.by == CALLS_NUMBER ? 90 : 120)) {
		columns[ROW_MEAN].title = NULL;
		if (own.by != CALLS_NUMBER)
			columns[ROW_P50].title = NULL;
	}
}

/* 1, 2, 5, 10 … */
static uint64_t step_above(uint64_t step)
{
	uint64_t power = 1;

	while (power <= step / 10)
		power *= 10;
	return step == power ? 2 * power : step == 2 * power ? 5 * power : 10 * power;
}

/* How many of @h are between two steps: a bucket belongs where its middle does. */
static uint64_t count_between(const struct histogram *h, uint64_t from, uint64_t to)
{
	uint64_t n = 0, begin, end;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		if (h->buckets[i] == 0)
			continue;
		begin = histogram_begin(i);
		end = histogram_begin(i + 1);
		begin += (end - begin) / 2;
		if (begin >= from && begin < to)
			n += h->buckets[i];
	}
	return n;
}

static void put_bar(struct out *o, uint64_t part, uint64_t all, unsigned width)
{
	static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
	uint64_t done = all > 0 ? (uint64_t)((double)part / (double)all * width * 8 + 0.5) : 0;

	done = part > 0 && done == 0 ? 1 : done;
	for (uint64_t i = 0; i < done / 8; i++)
		out_text(o, "█");
	out_text(o, eighths[done % 8]);
}

/* The durations of a row, as bars. */
static void put_histogram(void *context, struct out *o, const struct cell *cells)
{
	const struct calls *calls = context;
	const struct histogram *h = &calls->tally.rows[cells[ROW_INDEX].n]->took;
	uint64_t first = UINT64_MAX, last = 0, most = 0, n;
	struct out label;

	for (uint64_t step = 1; step < UINT64_MAX / 100; step = step_above(step)) {
		n = count_between(h, step == 1 ? 0 : step, step_above(step));
		most = n > most ? n : most;
		first = n > 0 && first == UINT64_MAX ? step : first;
		last = n > 0 ? step : last;
	}
	for (uint64_t step = first; first != UINT64_MAX && step <= last; step = step_above(step)) {
		n = count_between(h, step == 1 ? 0 : step, step_above(step));
		out_init(&label, -1, false);
		out_duration(&label, step);
		out_text(&label, " to ");
		out_duration(&label, step_above(step));
		out_format(o, "  %18.*s  %10" PRIu64 "  ", (int)label.n, label.buffer, n);
		out_colour(o, OUT_BLUE);
		put_bar(o, n, most, 40);
		out_colour(o, OUT_PLAIN);
		out_char(o, '\n');
	}
}

static int show_rows(struct cmd *c, struct both *both, const struct story_counts *counts)
{
	static const char *const without[] = {[CALLS_FILE] = "belong to no file",
					      [CALLS_PATH] = "have no path",
					      [CALLS_PEER] = "are of no socket"};
	static const char *const what[] = {"system calls", "files",   "paths",
					   "peers",        "threads", "stacks"};
	struct calls *calls = &both->calls;
	struct column columns[ROW_COLUMNS];
	struct table *table = NULL;
	int r, status = STATUS_FAILED;

	choose_columns(c, columns);
	r = table_create(&table, own.errors ? "errors" : what[own.by], columns, ROW_COLUMNS);
	/* the order in which they stay where the column that is sorted by is the same */
	if (calls->tally.n > 0) {
		struct tally_row **sorted = malloc(calls->tally.n * sizeof(struct tally_row *));

		if (sorted == NULL)
			r = -ENOMEM;
		for (uint32_t i = 0; r == 0 && i < calls->tally.n; i++)
			sorted[i] = calls->tally.rows[i];
		if (r == 0)
			qsort(sorted, calls->tally.n, sizeof(struct tally_row *), compare_totals);
		for (uint32_t i = 0; r == 0 && i < calls->tally.n; i++)
			if (sorted[i]->took.sum >= c->args->min_ns)
				r = add_row(table, c, both, sorted[i]);
		free(sorted);
	}
	if (r == 0 && own.histogram)
		table_under(table, put_histogram, calls);
	if (r == 0 && calls->left_out > 0 && !own.errors)
		r = table_note(table, "%" PRIu64 " of %" PRIu64 " calls %s", calls->left_out,
			       calls->n, without[own.by]);
	if (r == 0)
		status = cmd_table(c, table, own.errors ? "count" : "share", counts);
	else
		cmd_complain("out of memory");
	table_destroy(table);
	return status;
}

enum {
	SLOW_TIME,
	SLOW_TOOK,
	SLOW_THREAD,
	SLOW_TID,
	SLOW_NAME,
	SLOW_RESULT,
	SLOW_RESULT_NAME,
	SLOW_ARGUMENTS,
	SLOW_FILE,
	SLOW_LOCK,
	SLOW_LOCKS,
	SLOW_WHERE,
	SLOW_IDLE,
	SLOW_OPEN,
	SLOW_COLUMNS,
};

static const struct column slow_columns[SLOW_COLUMNS] = {
	[SLOW_TIME] = {.key = "begin_ns",
		       .title = "TIME",
		       .kind = COLUMN_TIME,
		       .is_ascending = true},
	[SLOW_TOOK] = {.key = "took_ns", .title = "TOOK", .kind = COLUMN_NS},
	[SLOW_THREAD] = {.key = "thread", .title = "THREAD", .kind = COLUMN_TEXT},
	[SLOW_TID] = {.key = "tid", .kind = COLUMN_COUNT},
	[SLOW_NAME] = {.key = "name", .title = "NAME", .kind = COLUMN_TEXT},
	[SLOW_RESULT] = {.key = "result", .kind = COLUMN_SIGNED},
	[SLOW_RESULT_NAME] = {.title = "RESULT", .kind = COLUMN_TEXT},
	[SLOW_ARGUMENTS] = {.key = "arguments",
			    .title = "ARGUMENTS",
			    .kind = COLUMN_TEXT,
			    .is_wide = true},
	[SLOW_FILE] = {.key = "file", .title = "FILE", .kind = COLUMN_TEXT, .is_wide = true},
	[SLOW_LOCK] = {.key = "lock", .title = "LOCK HELD", .kind = COLUMN_TEXT, .is_wide = true},
	[SLOW_LOCKS] = {.key = "locks", .kind = COLUMN_COUNT},
	[SLOW_WHERE] = {.key = "where", .title = "WHERE", .kind = COLUMN_TEXT, .is_wide = true},
	[SLOW_IDLE] = {.key = "idle", .kind = COLUMN_BOOL},
	[SLOW_OPEN] = {.key = "open", .kind = COLUMN_BOOL},
};

static void put_arguments(struct name *name, const uint64_t *arguments)
{
	unsigned n = 3;

	while (n > 0 && arguments[n - 1] == 0)
		n--;
	for (unsigned i = 0; i < n; i++)
		name_format(name, arguments[i] < 65536 ? "%s%" PRIu64 : "%s%#" PRIx64,
			    i > 0 ? " " : "", arguments[i]);
}

static void put_result(struct name *name, const struct story_call *call)
{
	const char *error = call->result < 0 ? name_error((uint64_t)-call->result) : NULL;

	if (call->is_open)
		name_format(name, "?");
	else if (error != NULL)
		name_format(name, "%s", error);
	else
		name_format(name, "%" PRId64, call->result);
}

static int add_slow(struct table *table, const struct cmd *c, const struct story_call *call)
{
	const struct tables *t = &c->tables;
	const struct table_thread *thread = tables_thread(t, call->thread);
	const struct table_text *path = call->path != 0 ? tables_string(t, call->path) : NULL;
	uint64_t begun = cmd_begun_ns(c);
	struct name name, who, result, arguments, file, lock, where;
	struct cell cells[SLOW_COLUMNS] = {0};

	name_clear(&name);
	calls_number_name(&name, call->number);
	name_clear(&who);
	name_thread(&who, t, call->thread);
	name_clear(&result);
	put_result(&result, call);
	name_clear(&arguments);
	put_arguments(&arguments, call->arguments);
	name_clear(&file);
	if (path != NULL)
		name_add(&file, path->text, path->length);
	else if (call->file != 0)
		name_file(&file, t, call->file);
	name_clear(&lock);
	if (call->lock != 0)
		name_object(&lock, t, call->lock);
	name_clear(&where);
	if (call->stack != 0)
		name_stack_host(&where, t, call->stack, 2);
	cells[SLOW_TIME].n = call->begin_ns > begun ? call->begin_ns - begun : 0;
	cells[SLOW_TOOK].n = call->end_ns - call->begin_ns;
	cells[SLOW_THREAD].text = text_of(&who);
	cells[SLOW_TID].n = thread != NULL ? thread->tid : 0;
	cells[SLOW_NAME].text = text_of(&name);
	cells[SLOW_RESULT].s = call->result;
	cells[SLOW_RESULT].is_none = call->is_open;
	cells[SLOW_RESULT_NAME].text = text_of(&result);
	cells[SLOW_ARGUMENTS].text = arguments.n > 0 ? text_of(&arguments) : NULL;
	cells[SLOW_FILE].text = file.n > 0 ? text_of(&file) : NULL;
	cells[SLOW_LOCK].text = lock.n > 0 ? text_of(&lock) : NULL;
	cells[SLOW_LOCKS].n = call->locks;
	cells[SLOW_WHERE].text = where.n > 0 ? text_of(&where) : NULL;
	cells[SLOW_IDLE].n = call->is_idle;
	cells[SLOW_OPEN].n = call->is_open;
	return table_row(table, cells);
}

static int show_slow(struct cmd *c, struct calls *calls, const struct story_counts *counts)
{
	struct table *table = NULL;
	int r = table_create(&table, "calls that took longer", slow_columns, SLOW_COLUMNS),
	    status = STATUS_FAILED;

	calls_sort_slow(calls);
	for (uint64_t i = 0; i < calls->slow_n && r == 0; i++)
		r = add_slow(table, c, &calls->slow[i]);
	if (r == 0 && calls->slow_seen > calls->slow_n)
		r = table_note(table, "the %" PRIu64 " longest of %" PRIu64, calls->slow_n,
			       calls->slow_seen);
	if (r == 0)
		status = cmd_table(c, table, "took_ns", counts);
	else
		cmd_complain("out of memory");
	table_destroy(table);
	return status;
}

/* Idle calls are not slow. */
static int take_busy(void *context, const struct story_call *c)
{
	return c->is_idle ? 0 : take_call(context, c);
}

static int run(const struct args *args)
{
	bool is_text = args->format == FORMAT_TEXT, is_slow = own.slower_ns > 0;
	uint64_t limit = args->limit != ARGS_LIMIT_DEFAULT ? args->limit : is_text ? SLOW_TEXT : 0;
	struct both both = {0};
	struct story_listener listener = {
		.context = &both,
		.call = is_slow && !args->include_idle ? take_busy : take_call,
	};
	struct story_counts counts;
	struct cmd c;
	int status;

	if ((own.errors && own.by != CALLS_NUMBER) || (is_slow && (own.errors || own.histogram))) {
		cmd_complain("--by, --errors and --slower are tables of their own: one of them was "
			     "expected; --histogram is for rows");
		return STATUS_USAGE;
	}
	status = cmd_begin(&c, args);
	both.calls = (struct calls){
		.tables = &c.tables,
		.threads = &c.range.threads,
		.by = own.errors ? CALLS_ERROR : (enum calls_by)own.by,
		.from_ns = c.range.from_ns,
		.to_ns = c.range.to_ns,
		.slower_ns = is_slow ? own.slower_ns : UINT64_MAX,
		.slow_max = limit > 0 && limit < SLOW_MAX ? limit : SLOW_MAX,
	};
	both.by_number = (struct calls){
		.tables = &c.tables, .threads = &c.range.threads, .slower_ns = UINT64_MAX};
	if (status == STATUS_OK)
		status = cmd_tell(&c, &listener, &counts);
	if (status == STATUS_OK)
		status = is_slow ? show_slow(&c, &both.calls, &counts)
				 : show_rows(&c, &both, &counts);
	calls_fini(&both.calls);
	calls_fini(&both.by_number);
	return cmd_close(&c, status);
}

const struct command command_syscalls = {
	.name = "syscalls",
	.about = "how often and for how long the kernel was called",
	.synopsis = "syscalls [--by WHAT | --errors | --slower DUR] [OPTION...]",
	.text = "System calls by number, file, path, peer, thread or stack: how often, how long, "
		"how many\n"
		"failed, how many bytes. Calls that wait for work or for time to pass (poll, "
		"nanosleep and\n"
		"their like) are counted, but have no share of the time unless --include-idle.\n",
	.groups = ARGS_RANGE | ARGS_THREADS | ARGS_TABLE | ARGS_MIN | ARGS_IDLE,
	.options = options,
	.own = &own,
	.run = run,
};
