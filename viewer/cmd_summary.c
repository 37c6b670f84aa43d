#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/cmd.h"
#include "viewer/sentence.h"
#include "viewer/summary.h"
#include "viewer/warnings.h"

#define TOP           5  /* of each */
#define WIDTH_LEAST   72 /* below it lines are longer than the terminal */
#define WARNINGS_SEEN 6  /* in text, unless -v: it is one screen */

struct screen {
	struct cmd *c;
	struct out *o;
	const struct summary *s;
	const struct story_counts *counts;
	struct summary_parallel *parallel;
	struct warning warnings[WARNINGS_MAX];
	unsigned warnings_n;
	uint64_t run_ns, all_ns; /* of the run; of all threads */
	unsigned width;
};

/* The largest rows of something: @of says how large, 0 for those that are not wanted. */
struct top {
	uint32_t rows[TOP];
	uint64_t sizes[TOP];
	unsigned n;
};

static void top_add(struct top *top, uint32_t row, uint64_t size)
{
	unsigned at = top->n;

	if (size == 0)
		return;
	while (at > 0 && top->sizes[at - 1] < size)
		at--;
	if (at == TOP)
		return;
	for (unsigned i = top->n < TOP ? top->n : TOP - 1; i > at; i--) {
		top->rows[i] = top->rows[i - 1];
		top->sizes[i] = top->sizes[i - 1];
	}
	top->rows[at] = row;
	top->sizes[at] = size;
	top->n += top->n < TOP;
}

/* Not idle, and known. */
static uint64_t busy_ns(const struct threads_row *t)
{
	uint64_t ns = 0;

	for (unsigned i = 0; i < TRACE_STATES; i++)
		if (i != TRACE_IDLE && i != TRACE_UNKNOWN)
			ns += t->state_ns[i];
	return ns;
}

static struct top top_threads(const struct summary *s)
{
	struct top top = {0};

	for (uint32_t i = 0; i < s->by_thread.rows_n; i++)
		top_add(&top, i, busy_ns(&s->by_thread.rows[i]));
	return top;
}

static struct top top_locks(const struct summary *s)
{
	struct top top = {0};

	for (uint32_t i = 0; i < s->locks.rows_n; i++)
		if (s->locks.rows[i].wait_type == TRACE_LOCK_WAIT_EVENT ||
		    s->locks.rows[i].acquired > 0)
			top_add(&top, i, s->locks.rows[i].wait.sum);
	return top;
}

/* What waits are made of is told of as waits. */
static uint64_t call_ns(const struct tally_row *row, const struct args *args)
{
	return row->took.sum - (args->include_idle ? 0 : row->idle_ns + row->wait_ns);
}

static struct top top_calls(const struct summary *s, const struct args *args)
{
	struct top top = {0};

	for (uint32_t i = 0; i < s->calls.tally.n; i++)
		top_add(&top, i, call_ns(s->calls.tally.rows[i], args));
	return top;
}

static const char *text_of(struct name *name)
{
	name->text[name->n < sizeof(name->text) ? name->n : sizeof(name->text) - 1] = '\0';
	return name->text;
}

/* ---- what a trace says of itself ---- */

static void add_program(struct name *name, const struct tables *t)
{
	if (!name_program(name, t))
		name_format(name, "(a program without a name)");
}

static void say_words(struct out *o, const char *(*word)(uint32_t bits, unsigned i), uint32_t bits)
{
	const char *text;

	for (unsigned i = 0; (text = word(bits, i)) != NULL; i++)
		out_format(o, "%s%s", i > 0 ? " " : "", text);
	if (bits == 0)
		out_text(o, "nothing");
}

static void say_count(struct out *o, uint64_t n, const char *one, const char *many)
{
	out_grouped(o, n);
	out_char(o, ' ');
	out_text(o, n == 1 ? one : many);
}

/* Columns of a terminal, where each character takes one. */
static unsigned columns_of(const char *text, size_t n)
{
	unsigned columns = 0;

	for (size_t i = 0; i < n; i++)
		columns += ((unsigned char)text[i] & 0xc0) != 0x80;
	return columns;
}

/* A line, cut where the screen ends; @used columns are taken. */
static void say_line(struct screen *s, const char *text, size_t n, unsigned used)
{
	unsigned room = s->width > used + 1 ? s->width - used - 1 : 0, taken = 0;
	struct out o;
	size_t at = 0;

	out_init(&o, -1, false);
	out_name(&o, text, n < 1024 ? n : 1024);
	if (columns_of(o.buffer, o.n) <= room + 1) {
		out_bytes(s->o, o.buffer, o.n);
	} else {
		while (at < o.n && taken < room)
			taken += ((unsigned char)o.buffer[++at] & 0xc0) != 0x80;
		out_bytes(s->o, o.buffer, at);
		out_text(s->o, "…");
	}
	out_char(s->o, '\n');
}

/* All of it, in lines as wide as the screen; @used columns of the first are taken. */
static void say_wrapped(struct screen *s, const struct name *name, unsigned used)
{
	const char *at, *end, *blank;
	struct out o;

	out_init(&o, -1, false);
	out_name(&o, name->text, name->n);
	for (at = o.buffer, end = at + o.n; at < end; at = blank + 1) {
		unsigned columns;

		blank = memchr(at, ' ', (size_t)(end - at));
		blank = blank != NULL ? blank : end;
		columns = columns_of(at, (size_t)(blank - at));
		if (at > o.buffer) {
			bool is_full = used + 1 + columns > s->width;

			out_text(s->o, is_full ? "\n    " : " ");
			used = is_full ? 4 : used + 1;
		}
		out_bytes(s->o, at, (size_t)(blank - at));
		used += columns;
	}
	out_char(s->o, '\n');
}

static void say_head(struct screen *s)
{
	const struct reader *r = s->c->reader;
	const char *command = tables_metadata(&s->c->tables, "cmdline");
	uint32_t missing = names_missing(r->header.flags, r->header.level);
	struct out *o = s->o;
	struct name name;

	name_clear(&name);
	add_program(&name, &s->c->tables);
	out_colour(o, OUT_BOLD);
	out_name(o, name.text, name.n);
	out_colour(o, OUT_PLAIN);
	out_text(o, "  ");
	out_duration(o, s->run_ns);
	out_text(o, "  ");
	say_count(o, s->s->by_thread.rows_n, "thread", "threads");
	out_text(o, "  ");
	say_count(o, s->s->events, "event", "events");
	out_text(o, "  ");
	out_size(o, r->source.size);
	out_text(o, "  ");
	if (!r->has_trailer)
		out_text(o, "no end");
	else
		out_text(o, name_end(r->trailer.end_reason));
	if (r->has_trailer && (r->trailer.end_reason == TRACE_END_EXITED ||
			       r->trailer.end_reason == TRACE_END_SIGNAL))
		out_format(o, " %" PRIu32, r->trailer.end_value);
	out_char(o, '\n');
	if (command != NULL && command[0] != '\0')
		say_line(s, command, strlen(command), 0);
	if (!r->has_header) {
		out_text(o, "the file's header is damaged: what was recorded is not known\n");
		return;
	}
	out_text(o, "recorded: ");
	say_words(o, name_level, r->header.level);
	if (missing != 0) {
		out_text(o, "; not seen: ");
		say_words(o, name_has, missing);
	}
	out_char(o, '\n');
}

/* ---- states ---- */

/* In the order in which they are drawn. */
static const uint8_t drawn[TRACE_STATES] = {TRACE_RUNNING, TRACE_RUNNABLE, TRACE_SPIN,
					    TRACE_LOCK,    TRACE_WAIT,     TRACE_SYSCALL,
					    TRACE_IDLE,    TRACE_UNKNOWN};
static const uint8_t colours[TRACE_STATES] = {
	[TRACE_RUNNING] = OUT_GREEN, [TRACE_RUNNABLE] = OUT_YELLOW, [TRACE_SPIN] = OUT_YELLOW,
	[TRACE_LOCK] = OUT_RED,      [TRACE_WAIT] = OUT_PLAIN,      [TRACE_SYSCALL] = OUT_BLUE,
	[TRACE_IDLE] = OUT_DIM,      [TRACE_UNKNOWN] = OUT_DIM,
};

static void say_title(struct screen *s, const char *title)
{
	out_char(s->o, '\n');
	out_colour(s->o, OUT_BOLD);
	out_text(s->o, title);
	out_colour(s->o, OUT_PLAIN);
	out_text(s->o, "  ");
}

static void say_states(struct screen *s)
{
	const uint64_t *ns = s->s->state_ns;
	unsigned from = 0, to, used = 0;
	uint64_t sum = 0;
	struct out *o = s->o, one;

	say_title(s, "THREADS' TIME");
	out_duration(o, s->all_ns);
	out_char(o, '\n');
	for (unsigned i = 0; i < TRACE_STATES && s->all_ns > 0; i++) {
		sum += ns[drawn[i]];
		to = (unsigned)((double)sum / (double)s->all_ns * s->width + 0.5);
		out_colour(o, (enum out_colour)colours[drawn[i]]);
		for (; from < to; from++)
			out_char(o, story_state_letter(drawn[i]));
		out_colour(o, OUT_PLAIN);
	}
	if (s->all_ns > 0)
		out_char(o, '\n');
	for (unsigned i = 0; i < TRACE_STATES; i++) {
		if (ns[drawn[i]] == 0)
			continue;
		out_init(&one, -1, false);
		out_format(&one, "%c %s %.1f %% ", story_state_letter(drawn[i]),
			   story_state_name(drawn[i]),
			   (double)ns[drawn[i]] / (double)s->all_ns * 100);
		out_duration(&one, ns[drawn[i]]);
		if (used > 0 && used + 3 + one.n > s->width) {
			out_char(o, '\n');
			used = 0;
		}
		out_text(o, used > 0 ? "   " : "");
		used += (used > 0 ? 3 : 0) + (unsigned)one.n;
		out_bytes(o, one.buffer, one.n);
	}
	if (used > 0)
		out_char(o, '\n');
}

static double share_of(uint64_t part, uint64_t all)
{
	return all > 0 ? (double)part / (double)all : 0;
}

static void say_parallel(struct screen *s)
{
	const struct summary_parallel *p = s->parallel;
	struct out *o = s->o, one;
	unsigned used = 0;

	say_title(s, s->counts->has_switches ? "RUNNING AT ONCE" : "RUNNING OR RUNNABLE AT ONCE");
	out_format(o, "%.2f on average, %" PRIu32 " at most\n", p->mean, p->most);
	for (uint32_t i = 0; i <= PARALLEL_MAX; i++) {
		if (p->ns[i] == 0)
			continue;
		out_init(&one, -1, false);
		if (i == 0)
			out_text(&one, "none");
		else
			out_format(&one, "%" PRIu32 "%s", i, i == PARALLEL_MAX ? " and more" : "");
		out_format(&one, ": %.1f %%", share_of(p->ns[i], p->all_ns) * 100);
		if (used + 3 + one.n + 4 > s->width) {
			out_text(o, " …");
			break;
		}
		out_text(o, used > 0 ? "   " : "");
		used += (used > 0 ? 3 : 0) + (unsigned)one.n;
		out_bytes(o, one.buffer, one.n);
	}
	if (used > 0)
		out_char(o, '\n');
	if (p->running_ns == 0)
		return;
	out_format(o, "serial: %.1f %% of the running time", p->serial_share * 100);
	if (p->bound > 0)
		out_format(o,
			   p->bound < 1000 ? ", so at most %.3g times as fast as on one"
					   : ", so at most %.0f times as fast as on one",
			   p->bound);
	out_char(o, '\n');
}

/* ---- the top of each ---- */

static int make_threads(struct screen *s, struct table **ret)
{
	static const struct column columns[] = {
		{.title = "THREAD", .kind = COLUMN_TEXT, .is_wide = true},
		{.title = "NOT IDLE", .kind = COLUMN_NS},
		{.title = "RUNNING", .kind = COLUMN_NS},
	};
	struct top top = top_threads(s->s);
	int r = table_create(ret, "busy threads", columns, 3);

	for (unsigned i = 0; i < top.n && r == 0; i++) {
		const struct threads_row *t = &s->s->by_thread.rows[top.rows[i]];
		struct cell cells[3] = {0};
		struct name name;

		name_clear(&name);
		name_one_thread(&name, &s->c->tables, t->thread);
		cells[0].text = text_of(&name);
		cells[1].n = top.sizes[i];
		cells[2].n = t->state_ns[TRACE_RUNNING];
		r = table_row(*ret, cells);
	}
	return r;
}

static int make_locks(struct screen *s, struct table **ret)
{
	static const struct column columns[] = {
		{.title = "LOCK", .kind = COLUMN_TEXT, .is_wide = true},
		{.title = "WAITED", .kind = COLUMN_NS},
		{.title = "TIMES", .kind = COLUMN_COUNT},
		{.title = "MAX", .kind = COLUMN_NS},
	};
	struct top top = top_locks(s->s);
	int r = table_create(ret, "waits for locks", columns, 4);

	for (unsigned i = 0; i < top.n && r == 0; i++) {
		const struct locks_row *l = &s->s->locks.rows[top.rows[i]];
		struct cell cells[4] = {0};
		struct name name;

		name_clear(&name);
		name_object(&name, &s->c->tables, l->object);
		cells[0].text = text_of(&name);
		cells[1].n = l->wait.sum;
		cells[2].n = l->wait.n;
		cells[3].n = l->wait.max;
		r = table_row(*ret, cells);
	}
	return r;
}

static int make_calls(struct screen *s, struct table **ret)
{
	static const struct column columns[] = {
		{.title = "SYSTEM CALL", .kind = COLUMN_TEXT, .is_wide = true},
		{.title = "TOTAL", .kind = COLUMN_NS},
		{.title = "COUNT", .kind = COLUMN_COUNT},
		{.title = "P99", .kind = COLUMN_NS},
	};
	struct top top = top_calls(s->s, s->c->args);
	int r = table_create(ret, "system calls", columns, 4);

	for (unsigned i = 0; i < top.n && r == 0; i++) {
		const struct tally_row *row = s->s->calls.tally.rows[top.rows[i]];
		struct cell cells[4] = {0};
		struct name name;

		name_clear(&name);
		calls_name(&s->s->calls, row, &name);
		cells[0].text = text_of(&name);
		cells[1].n = top.sizes[i];
		cells[2].n = row->took.n;
		cells[3].n = histogram_at(&row->took, 0.99);
		r = table_row(*ret, cells);
	}
	return r;
}

/* The state that has most of it: "lock 81 %". */
static void say_most(char text[32], const uint64_t state_ns[TRACE_STATES], uint64_t all_ns)
{
	unsigned most = 0;

	for (unsigned i = 1; i < TRACE_STATES; i++)
		if (state_ns[i] > state_ns[most])
			most = i;
	text[0] = '\0';
	if (state_ns[most] > 0 && all_ns > 0)
		snprintf(text, 32, "%s %.0f %%", story_state_name(most),
			 (double)state_ns[most] / (double)all_ns * 100);
}

static int add_slowest(struct table *table, const struct name *name, uint64_t ns,
		       const uint64_t state_ns[TRACE_STATES])
{
	struct cell cells[3] = {0};
	struct name copy = *name;
	char most[32];

	say_most(most, state_ns, ns);
	cells[0].text = text_of(&copy);
	cells[1].n = ns;
	cells[2].text = most[0] != '\0' ? most : NULL;
	return table_row(table, cells);
}

static void name_string(struct name *name, const struct tables *t, uint32_t id)
{
	const struct table_text *text = tables_string(t, id);

	name_clear(name);
	if (text != NULL && text->length > 0)
		name_add(name, text->text, text->length);
	else
		name_format(name, "(unnamed)");
}

static int make_tasks(struct screen *s, struct table **ret)
{
	static const struct column columns[] = {
		{.title = "SLOWEST TASK", .kind = COLUMN_TEXT, .is_wide = true},
		{.title = "TOOK", .kind = COLUMN_NS},
		{.title = "MOSTLY", .kind = COLUMN_TEXT},
	};
	int r = table_create(ret, "tasks", columns, 3);
	struct name name;

	for (uint32_t i = 0; i < s->s->tasks.slowest_n && r == 0; i++) {
		const struct task *t = &s->s->tasks.slowest[i];

		name_string(&name, &s->c->tables, t->type);
		name_format(&name, " %" PRIu64, t->id);
		r = add_slowest(*ret, &name, t->end_ns - t->begin_ns, t->state_ns);
	}
	return r;
}

static int make_regions(struct screen *s, struct table **ret)
{
	static const struct column columns[] = {
		{.title = "SLOWEST REGION", .kind = COLUMN_TEXT, .is_wide = true},
		{.title = "TOOK", .kind = COLUMN_NS},
		{.title = "MOSTLY", .kind = COLUMN_TEXT},
	};
	int r = table_create(ret, "regions", columns, 3);
	struct name name;

	for (uint32_t i = 0; i < s->s->regions.slowest_n && r == 0; i++) {
		const struct region *region = &s->s->regions.slowest[i];

		name_string(&name, &s->c->tables, region->name);
		r = add_slowest(*ret, &name, region->end_ns - region->begin_ns, region->state_ns);
	}
	return r;
}

/* Two tables, side by side. */
static int say_pair(struct screen *s, struct table *left, struct table *right)
{
	unsigned half = (s->width - 3) / 2;
	struct out *texts = malloc(2 * sizeof(*texts));
	const char *at[2], *end[2];

	if (texts == NULL)
		return -ENOMEM;
	out_char(s->o, '\n');
	for (unsigned i = 0; i < 2; i++) {
		out_init(&texts[i], -1, false);
		table_out(i == 0 ? left : right, &texts[i], FORMAT_TEXT, 0, half);
		at[i] = texts[i].buffer;
		end[i] = at[i] + texts[i].n;
	}
	for (bool is_first = true; at[0] < end[0] || at[1] < end[1]; is_first = false) {
		unsigned used = 0;

		out_colour(s->o, is_first ? OUT_BOLD : OUT_PLAIN);
		for (unsigned i = 0; i < 2; i++) {
			const char *line = at[i] < end[i]
						   ? memchr(at[i], '\n', (size_t)(end[i] - at[i]))
						   : NULL;
			size_t n = line != NULL ? (size_t)(line - at[i]) : (size_t)(end[i] - at[i]);

			if (i == 1 && n > 0)
				for (; used < half + 3; used++)
					out_char(s->o, ' ');
			out_bytes(s->o, at[i], n);
			used += columns_of(at[i], n);
			at[i] += line != NULL ? n + 1 : n;
		}
		if (is_first)
			out_colour(s->o, OUT_PLAIN);
		out_char(s->o, '\n');
	}
	free(texts);
	return 0;
}

static int say_tops(struct screen *s)
{
	struct table *tables[5] = {NULL};
	int r = make_threads(s, &tables[0]);

	if (r == 0)
		r = make_calls(s, &tables[1]);
	if (r == 0)
		r = make_locks(s, &tables[2]);
	if (r == 0)
		r = make_tasks(s, &tables[3]);
	if (r == 0)
		r = make_regions(s, &tables[4]);
	if (r == 0)
		r = say_pair(s, tables[0], tables[1]);
	if (r == 0 && table_rows(tables[3]) > 0 && table_rows(tables[4]) > 0)
		r = say_pair(s, tables[3], tables[4]);
	else if (r == 0 && table_rows(tables[3]) + table_rows(tables[4]) > 0)
		r = say_pair(s, tables[2], tables[table_rows(tables[3]) > 0 ? 3 : 4]);
	if (r == 0 && (table_rows(tables[3]) > 0) == (table_rows(tables[4]) > 0)) {
		out_char(s->o, '\n');
		table_out(tables[2], s->o, FORMAT_TEXT, 0, s->width);
	}
	for (unsigned i = 0; i < 5; i++)
		table_destroy(tables[i]);
	return r;
}

/* "cprof-trace FILE" */
static void say_command(struct screen *s)
{
	out_text(s->o, "    cprof-trace ");
	out_name(s->o, s->c->args->file, strlen(s->c->args->file));
	out_char(s->o, ' ');
}

static void name_worst(const struct screen *s, struct name *name)
{
	const struct interval *i = &s->s->worst;

	name_clear(name);
	sentence_interval(name, &s->c->tables, i, i->begin_ns, i->end_ns, false);
}

/* In the middle of it. */
static uint64_t worst_at_ns(const struct screen *s)
{
	const struct interval *i = &s->s->worst;

	return i->begin_ns + (i->end_ns - i->begin_ns) / 2 - cmd_begun_ns(s->c);
}

static void say_worst(struct screen *s)
{
	const struct interval *i = &s->s->worst;
	const struct table_thread *thread = tables_thread(&s->c->tables, i->thread);
	uint64_t at_ns = worst_at_ns(s);
	struct name name;

	if (i->end_ns == i->begin_ns)
		return;
	name_worst(s, &name);
	say_title(s, "WORST WAIT");
	say_wrapped(s, &name, 12);
	say_command(s);
	out_format(s->o, "chain --at %" PRIu64 ".%09" PRIu64 " --thread %" PRIu32 "\n",
		   at_ns / 1000000000, at_ns % 1000000000, thread != NULL ? thread->tid : 0);
}

static void say_warnings(struct screen *s)
{
	unsigned n = s->c->args->verbose || s->warnings_n <= WARNINGS_SEEN ? s->warnings_n
									   : WARNINGS_SEEN;
	struct out *o = s->o;

	out_char(o, '\n');
	if (n == 0)
		out_text(o, "no warnings\n");
	for (unsigned i = 0; i < n; i++) {
		const struct warning *w = &s->warnings[i];

		out_colour(o, OUT_YELLOW);
		out_text(o, w->id);
		out_colour(o, OUT_PLAIN);
		out_text(o, "  ");
		say_line(s, w->text.text, w->text.n, (unsigned)strlen(w->id) + 2);
		say_command(s);
		out_format(o, "%s\n", w->next);
	}
	if (n < s->warnings_n)
		out_format(o, "… and %u more (-v)\n", s->warnings_n - n);
}

static int say_text(struct screen *s)
{
	int r;

	say_head(s);
	say_states(s);
	say_parallel(s);
	r = say_tops(s);
	if (r == 0)
		say_worst(s);
	if (r == 0)
		say_warnings(s);
	return r;
}

/* ---- JSON ---- */

static void json_key(struct out *o, const char *key, bool is_first)
{
	out_format(o, "%s\"%s\":", is_first ? "" : ",", key);
}

static void json_number(struct out *o, const char *key, uint64_t n)
{
	json_key(o, key, false);
	out_u64(o, n);
}

static void json_double(struct out *o, const char *key, double n)
{
	json_key(o, key, false);
	if (isfinite(n))
		out_format(o, "%.6g", n);
	else
		out_text(o, "null");
}

static void json_text(struct out *o, const char *key, const char *text)
{
	json_key(o, key, false);
	if (text != NULL)
		out_json(o, text, strlen(text));
	else
		out_text(o, "null");
}

static void json_name(struct out *o, const struct name *name)
{
	json_key(o, "name", true);
	name_out(name, o, NAMES_JSON);
}

static void json_words(struct out *o, const char *key,
		       const char *(*word)(uint32_t bits, unsigned i), uint32_t bits)
{
	const char *text;

	json_key(o, key, false);
	out_char(o, '[');
	for (unsigned i = 0; (text = word(bits, i)) != NULL; i++)
		out_format(o, "%s\"%s\"", i > 0 ? "," : "", text);
	out_char(o, ']');
}

static void json_head(struct screen *s)
{
	const struct reader *r = s->c->reader;
	struct out *o = s->o;
	struct name name;

	name_clear(&name);
	add_program(&name, &s->c->tables);
	out_char(o, '{');
	json_key(o, "program", true);
	name_out(&name, o, NAMES_JSON);
	json_text(o, "command", tables_metadata(&s->c->tables, "cmdline"));
	json_number(o, "duration_ns", s->run_ns);
	json_number(o, "threads", s->s->by_thread.rows_n);
	json_number(o, "events", s->s->events);
	json_number(o, "bytes", r->source.size);
	json_key(o, "end", false);
	if (r->has_trailer)
		out_format(o, "{\"reason\":\"%s\",\"value\":%" PRIu32 "}",
			   name_end(r->trailer.end_reason), r->trailer.end_value);
	else
		out_text(o, "null");
	json_words(o, "recorded", name_level, r->header.level);
	json_words(o, "not_seen", name_has, names_missing(r->header.flags, r->header.level));
	json_number(o, "lost_events", s->counts->lost_events);
	json_number(o, "gaps", s->counts->gaps);
}

static void json_states(struct screen *s)
{
	const struct summary_parallel *p = s->parallel;
	struct out *o = s->o;
	uint32_t last = p->most;

	json_key(o, "states", false);
	for (unsigned i = 0; i < TRACE_STATES; i++)
		out_format(o, "%s\"%s_ns\":%" PRIu64, i == 0 ? "{" : ",", story_state_name(i),
			   s->s->state_ns[i]);
	out_text(o, "},\"parallel\":{\"ns\":[");
	for (uint32_t i = 0; i <= last; i++)
		out_format(o, "%s%" PRIu64, i > 0 ? "," : "", p->ns[i]);
	out_char(o, ']');
	json_double(o, "mean", p->mean);
	json_number(o, "most", p->most);
	json_double(o, "serial_share", p->serial_share);
	json_double(o, "bound", p->bound > 0 ? p->bound : NAN);
	json_key(o, "is_exact", false);
	out_text(o, s->counts->has_switches ? "true}" : "false}");
}

static void json_tops(struct screen *s)
{
	struct top threads = top_threads(s->s), locks = top_locks(s->s),
		   calls = top_calls(s->s, s->c->args);
	struct out *o = s->o;
	struct name name;

	json_key(o, "top_threads", false);
	for (unsigned i = 0; i < threads.n; i++) {
		const struct threads_row *t = &s->s->by_thread.rows[threads.rows[i]];
		const struct table_thread *known = tables_thread(&s->c->tables, t->thread);

		out_text(o, i > 0 ? ",{" : "[{");
		name_clear(&name);
		name_thread(&name, &s->c->tables, t->thread);
		json_name(o, &name);
		json_number(o, "tid", known != NULL ? known->tid : 0);
		json_number(o, "busy_ns", threads.sizes[i]);
		json_number(o, "running_ns", t->state_ns[TRACE_RUNNING]);
		out_char(o, '}');
	}
	out_text(o, threads.n > 0 ? "]" : "[]");
	json_key(o, "top_locks", false);
	for (unsigned i = 0; i < locks.n; i++) {
		const struct locks_row *l = &s->s->locks.rows[locks.rows[i]];

		out_text(o, i > 0 ? ",{" : "[{");
		name_clear(&name);
		name_object(&name, &s->c->tables, l->object);
		json_name(o, &name);
		json_number(o, "wait_ns", l->wait.sum);
		json_number(o, "waits", l->wait.n);
		json_number(o, "max_ns", l->wait.max);
		out_char(o, '}');
	}
	out_text(o, locks.n > 0 ? "]" : "[]");
	json_key(o, "top_syscalls", false);
	for (unsigned i = 0; i < calls.n; i++) {
		const struct tally_row *row = s->s->calls.tally.rows[calls.rows[i]];

		out_text(o, i > 0 ? ",{" : "[{");
		name_clear(&name);
		calls_name(&s->s->calls, row, &name);
		json_name(o, &name);
		json_number(o, "total_ns", calls.sizes[i]);
		json_number(o, "count", row->took.n);
		json_number(o, "p99_ns", histogram_at(&row->took, 0.99));
		out_char(o, '}');
	}
	out_text(o, calls.n > 0 ? "]" : "[]");
	json_key(o, "slowest_tasks", false);
	out_char(o, '[');
	for (uint32_t i = 0; i < s->s->tasks.slowest_n; i++) {
		const struct task *t = &s->s->tasks.slowest[i];

		out_text(o, i > 0 ? ",{" : "{");
		name_string(&name, &s->c->tables, t->type);
		json_name(o, &name);
		json_number(o, "task", t->id);
		json_number(o, "latency_ns", t->end_ns - t->begin_ns);
		out_char(o, '}');
	}
	out_char(o, ']');
	json_key(o, "slowest_regions", false);
	out_char(o, '[');
	for (uint32_t i = 0; i < s->s->regions.slowest_n; i++) {
		const struct region *region = &s->s->regions.slowest[i];

		out_text(o, i > 0 ? ",{" : "{");
		name_string(&name, &s->c->tables, region->name);
		json_name(o, &name);
		json_number(o, "length_ns", region->end_ns - region->begin_ns);
		out_char(o, '}');
	}
	out_char(o, ']');
}

static void json_worst(struct screen *s)
{
	const struct interval *i = &s->s->worst;
	const struct table_thread *thread = tables_thread(&s->c->tables, i->thread);
	struct name name;

	json_key(s->o, "worst_wait", false);
	if (i->end_ns == i->begin_ns) {
		out_text(s->o, "null");
		return;
	}
	name_worst(s, &name);
	out_text(s->o, "{\"text\":");
	name_out(&name, s->o, NAMES_JSON);
	json_number(s->o, "tid", thread != NULL ? thread->tid : 0);
	json_number(s->o, "at_ns", worst_at_ns(s));
	json_number(s->o, "wait_ns", i->end_ns - i->begin_ns);
	out_char(s->o, '}');
}

static void say_json(struct screen *s)
{
	struct out *o = s->o;

	json_head(s);
	json_states(s);
	json_tops(s);
	json_worst(s);
	json_key(o, "warnings", false);
	out_char(o, '[');
	for (unsigned i = 0; i < s->warnings_n; i++) {
		const struct warning *w = &s->warnings[i];

		out_format(o, "%s{\"id\":\"%s\",\"text\":", i > 0 ? "," : "", w->id);
		name_out(&w->text, o, NAMES_JSON);
		json_text(o, "next", w->next);
		json_number(o, "count", w->n);
		out_char(o, '}');
	}
	out_text(o, "]}\n");
}

/* ---- */

static int show(struct cmd *c, struct summary *summary, const struct story_counts *counts)
{
	struct screen *s = calloc(1, sizeof(*s));
	int r = 0, status;

	if (s == NULL || (s->parallel = malloc(sizeof(*s->parallel))) == NULL ||
	    summary_parallel(summary, s->parallel) < 0) {
		if (s != NULL)
			free(s->parallel);
		free(s);
		cmd_complain("out of memory");
		return STATUS_FAILED;
	}
	s->c = c;
	s->s = summary;
	s->counts = counts;
	s->run_ns = counts->end_ns > counts->begin_ns ? counts->end_ns - counts->begin_ns : 0;
	s->width = tty_width() > WIDTH_LEAST ? tty_width() : WIDTH_LEAST;
	for (unsigned i = 0; i < TRACE_STATES; i++)
		s->all_ns += summary->state_ns[i];
	s->warnings_n = warnings_find(summary, counts, s->run_ns, s->warnings);
	status = cmd_open_out(c, false);
	s->o = c->out;
	if (status == STATUS_OK && c->args->format == FORMAT_JSON)
		say_json(s);
	else if (status == STATUS_OK)
		r = say_text(s);
	if (r < 0) {
		cmd_complain("out of memory");
		status = STATUS_FAILED;
	}
	free(s->parallel);
	free(s);
	return status == STATUS_OK ? cmd_warn_damage(c, counts->merge.unreadable) : status;
}

static int run(const struct args *args)
{
	struct summary summary = {0};
	struct story_listener listener;
	struct story_counts counts;
	struct cmd c;
	int status = cmd_begin(&c, args);

	if (status != STATUS_OK)
		return cmd_close(&c, status);
	summary.tables = &c.tables;
	summary.threads = args->threads != NULL ? &c.range.threads : NULL;
	summary.from_ns = c.range.from_ns;
	summary.to_ns = c.range.to_ns;
	listener = summary_listener(&summary);
	status = cmd_tell(&c, &listener, &counts);
	if (status == STATUS_OK && summary_end(&summary, counts.end_ns) < 0) {
		cmd_complain("out of memory");
		status = STATUS_FAILED;
	}
	if (status == STATUS_OK)
		status = show(&c, &summary, &counts);
	summary_fini(&summary);
	return cmd_close(&c, status);
}

const struct command command_summary = {
	.name = "summary",
	.about = "what the run was, and what is wrong with it",
	.synopsis = "[summary] [OPTION...]",
	.text = "One screen: what ran and how it ended, what its threads did with their time, how "
		"many of them\n"
		"ran at once, what cost most, and what looks wrong, with what to type next.\n",
	.groups = ARGS_RANGE | ARGS_THREADS | ARGS_JSON | ARGS_OUTPUT | ARGS_IDLE,
	.run = run,
};
