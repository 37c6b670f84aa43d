#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "viewer/cmd.h"
#include "viewer/critical.h"
#include "viewer/doing.h"
#include "viewer/latency.h"
#include "viewer/regions.h"
#include "viewer/tasks.h"

static struct {
	const char *region, *thread;
	uint64_t task, nth, limit;
	bool has_causes;
} own = {.limit = CRITICAL_KEPT};

static const struct args_option options[] = {
	{.name = "task",
	 .type = ARGS_COUNT,
	 .offset = offsetof(__typeof__(own), task),
	 .takes = "ID",
	 .about = "from where a task begins to where it ends"},
	{.name = "region",
	 .type = ARGS_TEXT,
	 .offset = offsetof(__typeof__(own), region),
	 .takes = "RE",
	 .about = "the slowest region whose name matches"},
	{.name = "nth",
	 .type = ARGS_COUNT,
	 .offset = offsetof(__typeof__(own), nth),
	 .takes = "N",
	 .about = "with --region: the one that ends as the Nth, from 1"},
	{.name = "thread",
	 .type = ARGS_TEXT,
	 .offset = offsetof(__typeof__(own), thread),
	 .takes = "NAME",
	 .about = "the way to what this thread did last; without it, the first one"},
	{.name = "causes",
	 .type = ARGS_FLAG,
	 .offset = offsetof(__typeof__(own), has_causes),
	 .about = "only the table by cause"},
	{.name = "intervals",
	 .type = ARGS_COUNT,
	 .offset = offsetof(__typeof__(own), limit),
	 .takes = "N",
	 .about = "keep up to N of the span, about 60 bytes each; 3000000"},
	{.name = NULL},
};

static const struct why no_memory = {"out of memory"};

/* What the way is looked for. */
struct span {
	uint64_t begin_ns, end_ns; /* end UINT64_MAX: where the thread ends */
	uint32_t thread;
	struct name about;
};

/* ---- which span ---- */

static void add_string(struct name *name, const struct tables *t, uint32_t str)
{
	const struct table_text *text = tables_string(t, str);

	if (text != NULL)
		name_add(name, text->text, strnlen(text->text, text->length));
}

static bool is_the_task(void *context, const struct task *task)
{
	return task->id == *(const uint64_t *)context;
}

static int find_task(struct cmd *c, struct span *ret)
{
	struct tasks t = {.from_ns = 0,
			  .to_ns = UINT64_MAX,
			  .is_wanted = is_the_task,
			  .context = &own.task,
			  .slowest_max = 1};
	struct story_listener listener = tasks_listener(&t);
	struct story_counts counts;
	int status = cmd_tell(c, &listener, &counts);

	if (status == STATUS_OK && tasks_end(&t, counts.end_ns) < 0)
		status = cmd_failed(c, -ENOMEM, &no_memory);
	if (status == STATUS_OK && t.slowest_n == 0) {
		cmd_complain("%s has no task %" PRIu64
			     "; 'cprof-trace %s tasks --slowest 20' lists "
			     "some",
			     c->reader->name, own.task, c->reader->name);
		status = STATUS_FAILED;
	}
	if (status == STATUS_OK) {
		const struct task *task = &t.slowest[0];

		ret->begin_ns = task->begin_ns;
		ret->end_ns = task->end_ns;
		ret->thread = task->has_end ? task->ended_by : task->worked_last;
		name_format(&ret->about, "task %" PRIu64 " ", task->id);
		add_string(&ret->about, &c->tables, task->type);
		if (!task->has_end)
			name_format(&ret->about, ", which does not end,");
	}
	tasks_fini(&t);
	return status;
}

struct nth {
	struct latency_pattern pattern;
	uint64_t left; /* 0: any */
};

static bool is_the_region(void *context, const struct region *region)
{
	struct nth *nth = context;

	if (!latency_matches(&nth->pattern, region->name))
		return false;
	return own.nth == 0 || --nth->left == 0;
}

static int find_region(struct cmd *c, struct span *ret)
{
	struct nth nth = {.left = own.nth};
	struct regions r = {
		.to_ns = UINT64_MAX, .is_wanted = is_the_region, .context = &nth, .slowest_max = 1};
	struct story_listener listener = regions_listener(&r);
	struct story_counts counts;
	struct why why;
	int status;

	if (latency_pattern(&nth.pattern, "region", own.region, &c->tables, &why) < 0)
		return cmd_failed(c, -EINVAL, &why);
	status = cmd_tell(c, &listener, &counts);
	if (status == STATUS_OK && regions_end(&r, counts.end_ns) < 0)
		status = cmd_failed(c, -ENOMEM, &no_memory);
	if (status == STATUS_OK && r.slowest_n == 0) {
		if (own.nth > 0)
			cmd_complain("--region %s: there are not %" PRIu64 " that match",
				     own.region, own.nth);
		else
			cmd_complain("--region %s: no region matches; 'cprof-trace %s regions' "
				     "lists them",
				     own.region, c->reader->name);
		status = STATUS_FAILED;
	}
	if (status == STATUS_OK) {
		ret->begin_ns = r.slowest[0].begin_ns;
		ret->end_ns = r.slowest[0].end_ns;
		ret->thread = r.slowest[0].thread;
		name_format(&ret->about, "region ");
		add_string(&ret->about, &c->tables, r.slowest[0].name);
	}
	regions_fini(&r);
	latency_pattern_fini(&nth.pattern);
	return status;
}

/* The one that --thread names, or the first. */
static int find_thread(struct cmd *c, uint32_t *ret)
{
	const struct tables *t = &c->tables;
	struct select_threads threads = {0};
	struct why why = {"out of memory"};
	uint32_t found = 0, n = 0;

	if (own.thread != NULL && select_threads(&threads, own.thread, t, &why) < 0)
		return cmd_failed(c, -EINVAL, &why);
	for (uint32_t i = 0; i < t->threads_n; i++) {
		uint32_t index = t->threads[i].index;

		if (index >= TRACE_THREAD_FOREIGN ||
		    (own.thread != NULL && !select_has_thread(&threads, index)))
			continue;
		n++;
		if (found == 0 || index < found)
			found = index;
	}
	select_threads_fini(&threads);
	if (n == 0 || (own.thread != NULL && n > 1)) {
		cmd_complain(
			n == 0 ? "--thread %s: there is no such thread; 'cprof-trace %s threads' "
				 "lists them"
			       : "--thread %s: that is more than one; 'cprof-trace %s threads' "
				 "lists them, and an id is one's own",
			own.thread != NULL ? own.thread : "", c->reader->name);
		return STATUS_USAGE;
	}
	*ret = found;
	return STATUS_OK;
}

static int find_span(struct cmd *c, struct span *ret)
{
	const struct args *args = c->args;
	bool has_range = args->from != NULL || args->to != NULL || own.thread != NULL;
	int status;

	*ret = (struct span){.begin_ns = c->range.from_ns, .end_ns = c->range.to_ns};
	if ((own.task != 0) + (own.region != NULL) + has_range > 1) {
		cmd_complain("one of --task, --region, or --from and --to with --thread was "
			     "expected");
		return STATUS_USAGE;
	}
	if (own.nth > 0 && own.region == NULL) {
		cmd_complain("--nth means nothing without --region");
		return STATUS_USAGE;
	}
	if (own.task != 0)
		return find_task(c, ret);
	if (own.region != NULL)
		return find_region(c, ret);
	status = find_thread(c, &ret->thread);
	name_format(&ret->about,
		    args->from != NULL || args->to != NULL ? "what was asked for" : "the run");
	return status;
}

/* ---- the way ---- */

/* Walks it. */
static int walk(struct cmd *c, struct critical *path, const struct span *span,
		struct story_counts *counts)
{
	struct story_listener listener = critical_listener(path);
	struct why why = {"out of memory"};
	struct out text;
	uint64_t end_ns;
	int r;

	terminal_watch(&c->progress, "reading", c->args->quiet);
	r = story_tell(c->reader, &c->streams, &c->tables, path->from_ns, path->to_ns, &listener,
		       counts, &c->progress.watch, &why);
	terminal_watch_end(&c->progress);
	if (r == -E2BIG) {
		out_init(&text, -1, false);
		out_seconds(&text, path->full_at_ns - cmd_begun_ns(c));
		cmd_complain("there are more than %" PRIu64 " intervals and wakes by %.*s; name a "
			     "shorter time, or allow more with --intervals",
			     path->limit, (int)text.n, text.buffer);
		return STATUS_FAILED;
	}
	if (r < 0)
		return cmd_failed(c, r, &why);
	end_ns = critical_thread_end_ns(path, span->thread);
	if (path->from_ns < counts->begin_ns)
		path->from_ns = counts->begin_ns;
	if (path->to_ns > counts->end_ns)
		path->to_ns = counts->end_ns;
	/* where the end was not named, it is that of the thread */
	if (span->end_ns == UINT64_MAX && end_ns != 0 && end_ns < path->to_ns)
		path->to_ns = end_ns;
	return critical_walk(path, span->thread) < 0 ? cmd_failed(c, -ENOMEM, &no_memory)
						     : STATUS_OK;
}

enum {
	TIME,
	TOOK,
	SHARE,
	THREAD,
	TID,
	STATE,
	CERTAINTY,
	OBJECT,
	CALL,
	FILE_NAME,
	WHAT,
	WHERE,
	EDGE,
	EDGE_CERTAINTY,
	TEXT,
	COLUMNS
};

/* Why the thread behind went on. */
static void say_edge(struct name *name, const struct cmd *c, const struct critical_segment *s,
		     const struct critical_segment *next)
{
	static const char *const did[STORY_EDGES] = {
		[EDGE_RELEASE] = "let go of",  [EDGE_SIGNAL] = "signalled",
		[EDGE_POST] = "posted",        [EDGE_BARRIER] = "was the last at",
		[EDGE_ONCE] = "was done with", [EDGE_EXIT] = "ended",
		[EDGE_CREATE] = "started",     [EDGE_FUTEX] = "woke at",
		[EDGE_PIPE] = "wrote to",      [EDGE_FLOW] = "handed on",
	};

	if (s->edge == 0)
		return;
	name_format(name, "; %s ", did[s->edge - 1]);
	if (s->edge - 1 == EDGE_PIPE && s->edge_object != 0)
		name_file(name, &c->tables, s->edge_object);
	else if (s->edge_object != 0)
		name_object(name, &c->tables, s->edge_object);
	if (next == NULL || s->edge - 1 == EDGE_EXIT)
		return;
	if (s->edge_object != 0)
		name_format(name, " for ");
	else if (s->edge - 1 == EDGE_FLOW)
		name_format(name, "to ");
	name_one_thread(name, &c->tables, next->interval.thread);
	if (s->edge_certainty != STORY_EXACT)
		name_format(name, " (inferred)");
}

static int add_segment(const struct cmd *c, struct table *table, const struct critical *path,
		       uint32_t at)
{
	const struct critical_segment *s = &path->segments[at],
				      *next = at + 1 < path->segments_n ? s + 1 : NULL;
	const struct interval *i = &s->interval;
	uint64_t begun = cmd_begun_ns(c);
	const struct table_thread *table_thread = tables_thread(&c->tables, i->thread);
	struct cell cells[COLUMNS] = {0};
	struct name thread, object, call, file, what, where, text;

	name_clear(&thread);
	name_clear(&object);
	name_clear(&call);
	name_clear(&file);
	name_clear(&what);
	name_clear(&where);
	name_one_thread(&thread, &c->tables, i->thread);
	if (i->object != 0)
		name_object(&object, &c->tables, i->object);
	if (i->call != 0)
		doing_call(&call, &c->tables, i->call, 0);
	if (i->file != 0)
		name_file(&file, &c->tables, i->file);
	doing_words(&what, &c->tables, i);
	say_edge(&what, c, s, next);
	if (i->stack != 0 || s->edge_stack != 0)
		name_stack_host(&where, &c->tables, i->stack != 0 ? i->stack : s->edge_stack, 1);
	cells[TIME].n = s->begin_ns > begun ? s->begin_ns - begun : 0;
	cells[TOOK].n = s->end_ns - s->begin_ns;
	cells[SHARE].share = (double)cells[TOOK].n / (double)(path->to_ns - path->from_ns);
	cells[THREAD].text = name_text(&thread);
	cells[TID].n = table_thread != NULL ? table_thread->tid : 0;
	cells[TID].is_none = cells[TID].n == 0;
	cells[STATE].text = story_state_name(i->state);
	cells[CERTAINTY].text = story_certainty_name(i->certainty);
	cells[OBJECT].text = name_text(&object);
	cells[CALL].text = name_text(&call);
	cells[FILE_NAME].text = name_text(&file);
	cells[WHAT].text = name_text(&what);
	cells[WHERE].text = name_text(&where);
	text = what;
	doing_where(&text, &where);
	cells[TEXT].text = name_text(&text);
	cells[EDGE].text = s->edge != 0 ? story_edge_name(s->edge - 1u) : NULL;
	cells[EDGE_CERTAINTY].text = s->edge != 0 ? story_certainty_name(s->edge_certainty) : NULL;
	return table_row(table, cells);
}

static int make_segments(struct cmd *c, const struct critical *path, struct table **ret)
{
	static const struct column columns[COLUMNS] = {
		[TIME] = {"begin_ns", "time", .kind = COLUMN_TIME, .is_ascending = true},
		[TOOK] = {"took_ns", "took", .kind = COLUMN_NS},
		[SHARE] = {"share", "share", .kind = COLUMN_SHARE},
		[THREAD] = {"thread", "thread", .kind = COLUMN_TEXT},
		[TID] = {"tid", NULL, .kind = COLUMN_ID},
		[STATE] = {"state", NULL, .kind = COLUMN_TEXT},
		[CERTAINTY] = {"certainty", NULL, .kind = COLUMN_TEXT},
		[OBJECT] = {"object", NULL, .kind = COLUMN_TEXT},
		[CALL] = {"call", NULL, .kind = COLUMN_TEXT},
		[FILE_NAME] = {"file", NULL, .kind = COLUMN_TEXT},
		[WHAT] = {"what", NULL, .kind = COLUMN_TEXT},
		[WHERE] = {"where", NULL, .kind = COLUMN_TEXT},
		[EDGE] = {"edge", NULL, .kind = COLUMN_TEXT},
		[EDGE_CERTAINTY] = {"edge_certainty", NULL, .kind = COLUMN_TEXT},
		[TEXT] = {NULL, "what", .kind = COLUMN_TEXT, .is_wide = true},
	};
	int r = table_create(ret, "segments", columns, COLUMNS);

	for (uint32_t i = 0; i < path->segments_n && r == 0; i++)
		r = add_segment(c, *ret, path, i);
	return r;
}

static void say_cause(struct name *name, const struct cmd *c, const struct critical_cause *cause)
{
	const char *outside;

	switch ((enum critical_kind)cause->kind) {
	case CRITICAL_RUN:
		name_one_thread(name, &c->tables, cause->thread);
		name_format(name, " ran");
		break;
	case CRITICAL_JOIN:
		doing_end(name, &c->tables, cause->thread);
		break;
	case CRITICAL_LOCK:
		doing_object(name, &c->tables, cause->wait, cause->object);
		break;
	case CRITICAL_CALL:
		doing_call(name, &c->tables, cause->call, cause->file);
		outside = doing_outside(&c->tables, cause->call, cause->file);
		if (outside != NULL)
			name_format(name, " (%s)", outside);
		break;
	case CRITICAL_PROCESSOR:
		name_format(name, "no processor was free");
		break;
	case CRITICAL_START:
		name_format(name, "start of a thread");
		break;
	case CRITICAL_UNKNOWN:
		name_format(name, "not known");
		break;
	}
}

enum {
	CAUSE,
	CAUSE_STATE,
	CAUSE_TOTAL,
	CAUSE_SHARE,
	CAUSE_SEGMENTS,
	CAUSE_WAITS,
	CAUSE_MOST,
	CAUSE_COLUMNS
};

static int make_causes(struct cmd *c, const struct critical *path, struct table **ret)
{
	static const struct column columns[CAUSE_COLUMNS] = {
		[CAUSE] = {"cause", "cause", .kind = COLUMN_TEXT, .is_wide = true},
		[CAUSE_STATE] = {"state", NULL, .kind = COLUMN_TEXT},
		[CAUSE_TOTAL] = {"total_ns", "on the way", .kind = COLUMN_NS},
		[CAUSE_SHARE] = {"share", "share", .kind = COLUMN_SHARE},
		[CAUSE_SEGMENTS] = {"segments", "segments", .kind = COLUMN_COUNT},
		[CAUSE_WAITS] = {"waits", "waits", .kind = COLUMN_COUNT},
		[CAUSE_MOST] = {"saved_at_most_ns", "saved at most", .kind = COLUMN_NS},
	};
	double all = (double)(path->to_ns - path->from_ns);
	int r = table_create(ret, "causes", columns, CAUSE_COLUMNS);

	for (uint32_t i = 0; i < path->causes_n && r == 0; i++) {
		const struct critical_cause *cause = &path->causes[i];
		struct cell cells[CAUSE_COLUMNS] = {0};
		struct name name;

		name_clear(&name);
		say_cause(&name, c, cause);
		cells[CAUSE].text = name_text(&name);
		cells[CAUSE_STATE].text = story_state_name(cause->state);
		cells[CAUSE_TOTAL].n = cause->ns;
		cells[CAUSE_SHARE].share = (double)cause->ns / all;
		cells[CAUSE_SEGMENTS].n = cause->n;
		cells[CAUSE_WAITS].n = cause->waits;
		cells[CAUSE_MOST].n = cause->most_ns;
		r = table_row(*ret, cells);
	}
	return r;
}

static int note_all(struct cmd *c, struct table *table, const struct critical *path,
		    const struct span *span, const struct story_counts *counts)
{
	struct name name = span->about;
	struct out text;
	int r;

	out_init(&text, -1, false);
	out_duration(&text, path->to_ns - path->from_ns);
	name_format(&name, " took %.*s and ended on ", (int)text.n, text.buffer);
	name_thread(&name, &c->tables, span->thread);
	r = table_note(table, "%s", name_text(&name));
	if (r == 0)
		r = table_note(table, "saved at most: an upper bound, if the cause were gone and "
				      "nothing else took its place");
	return r == 0 ? cmd_notes(c, table, counts) : r;
}

static int show(struct cmd *c, const struct critical *path, const struct span *span,
		const struct story_counts *counts)
{
	const struct args *args = c->args;
	enum args_format format = (enum args_format)args->format;
	uint64_t limit = args->limit != ARGS_LIMIT_DEFAULT ? args->limit : 0;
	struct args said = *args;
	struct table *segments = NULL, *causes = NULL;
	int r = make_segments(c, path, &segments), status;

	if (r == 0)
		r = make_causes(c, path, &causes);
	if (r == 0 && format == FORMAT_TEXT)
		r = note_all(c, causes, path, span, counts);
	status = r < 0 ? cmd_failed(c, r, &no_memory) : cmd_open_out(c, true);
	if (status == STATUS_OK) {
		bool is_both = !own.has_causes && format != FORMAT_CSV;

		if (is_both && format == FORMAT_JSON)
			out_format(c->out,
				   "{\"begin_ns\":%" PRIu64 ",\"took_ns\":%" PRIu64
				   ",\"segments\":\n",
				   path->from_ns - cmd_begun_ns(c), path->to_ns - path->from_ns);
		/* on a screen what it is made of comes first: there may be thousands of segments */
		if (format == FORMAT_TEXT || own.has_causes)
			table_out(causes, c->out, format, 0, tty_width());
		if (is_both && format == FORMAT_TEXT)
			out_char(c->out, '\n');
		if (!own.has_causes)
			table_out(segments, c->out, format, limit, tty_width());
		if (is_both && format == FORMAT_JSON) {
			out_text(c->out, ",\"causes\":\n");
			table_out(causes, c->out, format, 0, tty_width());
			out_text(c->out, "}\n");
		}
		/* text says it below the table */
		if (format == FORMAT_TEXT)
			said.quiet = true;
		c->args = &said;
		status = cmd_warn_damage(c, counts->merge.unreadable);
		c->args = args;
	}
	table_destroy(segments);
	table_destroy(causes);
	return status;
}

static int run(const struct args *args)
{
	struct critical path = {0};
	struct story_counts counts;
	struct span span;
	struct cmd c;
	int status = cmd_begin(&c, args);

	if (status == STATUS_OK)
		status = find_span(&c, &span);
	if (status == STATUS_OK && c.is_interrupted) /* a part of the trace has no way */
		status = STATUS_FAILED;
	if (status == STATUS_OK) {
		path.from_ns = span.begin_ns;
		path.to_ns = span.end_ns;
		path.limit = own.limit;
		status = walk(&c, &path, &span, &counts);
	}
	if (status == STATUS_OK && path.segments_n == 0) {
		cmd_complain("nothing is known of this time");
		status = STATUS_FAILED;
	}
	if (status == STATUS_OK)
		status = show(&c, &path, &span, &counts);
	critical_fini(&path);
	return cmd_close(&c, status);
}

const struct command command_critical = {
	.name = "critical-path",
	.about = "why it took as long as it did: the way through all threads",
	.synopsis = "critical-path [OPTION...]",
	.text = "Walks from the end of a task, of a region, or of a thread's time back to its "
		"beginning: where\n"
		"a thread waited and another made it go on, the way goes to that one. Its segments "
		"add up to\n"
		"the time between. The causes say what they are made of, and how much could be "
		"saved at the\n"
		"very most if one of them were gone.\n"
		"\n"
		"Without --task, --region, --from and --to: all of the run, until the first thread "
		"ended.\n",
	.groups = ARGS_RANGE | ARGS_LIMIT | ARGS_JSON | ARGS_CSV | ARGS_OUTPUT,
	.options = options,
	.own = &own,
	.run = run,
};
