#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/cmd_locks.h"
#include "viewer/moment.h"

static struct {
	const char *at, *thread;
} own;

static const struct args_option options[] = {
	{.name = "at",
	 .type = ARGS_TEXT,
	 .offset = offsetof(__typeof__(own), at),
	 .takes = "TIME",
	 .about = "the moment, as --from has it elsewhere: 1.5s, @TEXT; else the end"},
	{.name = "thread",
	 .type = ARGS_TEXT,
	 .offset = offsetof(__typeof__(own), thread),
	 .takes = "THREAD",
	 .about = "whose chain: a thread's id, name, or a pattern; else a line for each thread"},
	{.name = NULL},
};

/* ---- sentences ---- */

struct teller {
	const struct cmd *c;
	const struct moment *m;
	struct name *name;
};

static void put_ns(const struct teller *t, uint64_t ns)
{
	struct out text;

	out_init(&text, -1, false);
	out_duration(&text, ns);
	name_add(t->name, text.buffer, text.n);
}

static void put_since(const struct teller *t, uint64_t ns)
{
	put_ns(t, t->m->at_ns > ns ? t->m->at_ns - ns : 0);
}

static void put_thread(const struct teller *t, uint32_t index)
{
	cmd_thread(t->name, &t->c->tables, index);
}

static void put_place(const struct teller *t, const char *before, uint32_t stack)
{
	if (stack == 0)
		return;
	name_format(t->name, "%s", before);
	cmd_place(t->name, &t->c->tables, stack);
}

/* What is waited for: "mutex g_cache.lock", "the end of worker-2". */
static void put_what(const struct teller *t, const struct story_wait *w)
{
	switch ((enum trace_event_type)w->type) {
	case TRACE_JOIN_BEGIN_EVENT:
		name_format(t->name, "the end of ");
		if (w->other != 0)
			put_thread(t, w->other);
		else
			name_format(t->name, "a thread");
		return;
	case TRACE_BARRIER_WAIT_EVENT:
		name_format(t->name, "the others at ");
		break;
	case TRACE_COND_WAIT_EVENT:
		name_format(t->name, "a signal of ");
		break;
	case TRACE_SEM_WAIT_EVENT:
		name_format(t->name, "a token of ");
		break;
	case TRACE_ONCE_BEGIN_EVENT:
		name_format(t->name, "what is done once, ");
		break;
	default:
		break;
	}
	cmd_object(t->name, &t->c->tables, w->object);
	if (w->type == TRACE_LOCK_WAIT_EVENT && w->mode == 2)
		name_format(t->name, " to read");
}

static void put_holder(const struct teller *t, const struct moment_step *s)
{
	const struct story_hold *h = s->hold;

	name_format(t->name, ", held by ");
	put_thread(t, s->next);
	if (h == NULL) {
		name_format(t->name, " when the wait began");
		return;
	}
	name_format(t->name, " since ");
	put_since(t, h->begin_ns);
	if (h->taken != 0) {
		put_place(t, ", taken at ", h->taken);
	} else if (h->stack != 0 && !h->is_open) {
		name_format(t->name, ", let go ");
		put_ns(t, h->end_ns - t->m->at_ns);
		put_place(t, " later at ", h->stack);
	}
}

/* What the other one will do. */
static const char *deed(uint8_t kind)
{
	switch ((enum story_edge_kind)kind) {
	case EDGE_RELEASE:
		return " lets go of it";
	case EDGE_SIGNAL:
		return " signals it";
	case EDGE_POST:
		return " posts it";
	case EDGE_BARRIER:
		return " is the last to come";
	case EDGE_ONCE:
		return " has done it";
	case EDGE_EXIT:
		return " ends";
	case EDGE_PIPE:
		return " writes";
	default:
		return " wakes it";
	}
}

static void put_waker(const struct teller *t, const struct story_edge *e)
{
	name_format(t->name, "; ");
	put_thread(t, e->from);
	name_format(t->name, "%s ", deed(e->kind));
	if (e->from_ns >= t->m->at_ns) {
		put_ns(t, e->from_ns - t->m->at_ns);
		name_format(t->name, " later");
	} else {
		put_since(t, e->from_ns);
		name_format(t->name, " before");
	}
	put_place(t, " at ", e->stack);
}

static void put_call(const struct teller *t, const struct moment_thread *thread)
{
	const struct story_call *call = &thread->call;

	name_format(t->name, call->is_idle ? " waits in " : " is in ");
	cmd_call(t->name, call->number);
	if (call->file != 0) {
		name_format(t->name, "(");
		name_file(t->name, &t->c->tables, call->file);
		name_format(t->name, ")");
	}
	name_format(t->name, " since ");
	put_since(t, call->begin_ns);
	put_place(t, " at ", call->stack);
	if (call->is_open)
		name_format(t->name, ", and does not come back");
}

/* One sentence, without an end. */
static void put_step(const struct teller *t, const struct moment_step *s)
{
	const struct moment_thread *thread = s->thread;

	put_thread(t, s->index);
	switch (s->why) {
	case MOMENT_GONE:
		thread = moment_thread(t->m, s->index);
		name_format(t->name, thread != NULL && thread->life.begin_ns > t->m->at_ns
					     ? " is not there yet"
					     : " has ended");
		return;
	case MOMENT_UNKNOWN:
		name_format(t->name, ": what it does is not known");
		if (thread->has_now && thread->now.begin_ns < t->m->at_ns) {
			name_format(t->name, " since ");
			put_since(t, s->since_ns);
		}
		return;
	case MOMENT_RUNNING:
		name_format(t->name, " runs since ");
		put_since(t, s->since_ns);
		return;
	case MOMENT_PROCESSOR:
		name_format(t->name, " wants a processor since ");
		put_since(t, s->since_ns);
		if (thread->now.other != 0) {
			name_format(t->name, ", woken by ");
			put_thread(t, thread->now.other);
		} else {
			name_format(t->name, ", it was preempted");
		}
		return;
	case MOMENT_CALL:
		put_call(t, thread);
		if (s->next != 0)
			put_waker(t, &thread->wake);
		return;
	default:
		break;
	}
	name_format(t->name, " waits ");
	put_since(t, s->since_ns);
	name_format(t->name, s->why == MOMENT_WORK ? " for work: " : " for ");
	put_what(t, &thread->wait);
	put_place(t, " at ", thread->wait.stack);
	if (s->why == MOMENT_HELD)
		put_holder(t, s);
	else if (s->why == MOMENT_HANDOVER)
		put_waker(t, &thread->wake);
	else if (s->why == MOMENT_WAKER && thread->has_wake)
		put_waker(t, &thread->wake);
	else if (s->why == MOMENT_NOBODY && thread->wait.type == TRACE_LOCK_WAIT_EVENT)
		name_format(t->name, "; who has it is not known");
	else if (s->why == MOMENT_NOBODY)
		name_format(t->name, thread->wait.is_open ? "; nobody ends it"
							  : "; who ends it is not known");
}

/* How the thread went on: who woke it, from where, how late it then ran. */
static void put_end(const struct teller *t, const struct moment_step *s)
{
	const struct moment_thread *thread = s->thread;
	const struct story_edge *e = &thread->wake;
	uint64_t end_ns;

	if (s->why == MOMENT_GONE || s->why == MOMENT_RUNNING || s->why == MOMENT_UNKNOWN)
		return;
	put_thread(t, s->index);
	if (!thread->has_wake ||
	    (s->why != MOMENT_PROCESSOR && s->why != MOMENT_CALL && !thread->has_wait)) {
		end_ns = s->why == MOMENT_PROCESSOR ? thread->now.end_ns
			 : s->why == MOMENT_CALL    ? thread->call.end_ns
						    : thread->wait.end_ns;
		if ((s->why == MOMENT_CALL && thread->call.is_open) ||
		    (s->why != MOMENT_CALL && s->why != MOMENT_PROCESSOR && thread->wait.is_open)) {
			name_format(t->name, " does not go on until the trace ends");
			return;
		}
		name_format(t->name, " goes on ");
		put_ns(t, end_ns - t->m->at_ns);
		name_format(t->name, " later%s",
			    s->why == MOMENT_CALL && thread->call.result < 0 ? ", in vain"
			    : thread->has_wait && thread->wait.error == ETIMEDOUT
				    ? ": its time is up"
				    : "");
		return;
	}
	name_format(t->name, " goes on ");
	put_ns(t, e->to_ns > t->m->at_ns ? e->to_ns - t->m->at_ns : 0);
	name_format(t->name, " later: ");
	cmd_thread(t->name, &t->c->tables, e->from);
	name_format(t->name, "%s", deed(e->kind));
	put_place(t, " at ", e->stack);
	if (e->ran_ns > e->from_ns) {
		name_format(t->name, e->ran_ns < e->to_ns ? ", and it runs " : ", and it goes on ");
		put_ns(t, e->ran_ns - e->from_ns);
		name_format(t->name, " after that");
	}
}

/* ---- chains ---- */

static void put_cycle(const struct teller *t, const struct moment_chain *chain)
{
	name_format(t->name, chain->is_deadlock ? "deadlock: " : "a cycle, that is broken later: ");
	for (uint32_t i = chain->cycle_at; i < chain->n; i++) {
		if (i > chain->cycle_at)
			name_format(t->name, i + 1 < chain->n ? ", " : " and ");
		put_thread(t, chain->steps[i].index);
	}
	name_format(t->name,
		    chain->n - chain->cycle_at > 1 ? " wait for each other" : " waits for itself");
}

static void put_line(struct out *o, const struct name *name)
{
	out_name(o, name->text, name->n);
	out_char(o, '\n');
}

static void put_chain(struct cmd *c, const struct moment *m, uint32_t index)
{
	struct name name;
	const struct teller t = {c, m, &name};
	struct moment_chain chain;

	moment_follow(m, index, &chain);
	for (uint32_t i = 0; i < chain.n; i++) {
		name_clear(&name);
		put_step(&t, &chain.steps[i]);
		put_line(c->out, &name);
	}
	if (chain.cycle_at != MOMENT_NO_CYCLE) {
		name_clear(&name);
		put_cycle(&t, &chain);
		out_colour(c->out, OUT_RED);
		put_line(c->out, &name);
		out_colour(c->out, OUT_PLAIN);
	}
	name_clear(&name);
	put_end(&t, &chain.steps[0]);
	if (name.n > 0)
		put_line(c->out, &name);
}

/* ---- JSON and CSV ---- */

enum {
	STEP_OF,
	STEP_NUMBER,
	STEP_THREAD,
	STEP_TID,
	STEP_STATE,
	STEP_WHY,
	STEP_SINCE,
	STEP_NAME,
	STEP_NEXT,
	STEP_WHERE,
	STEP_HELD_SINCE,
	STEP_HELD_WHERE,
	STEP_WAKER,
	STEP_WOKEN,
	STEP_RAN,
	STEP_IS_DEADLOCK,
	STEP_TEXT,
	STEP_COLUMNS,
};

static const struct column step_columns[STEP_COLUMNS] = {
	[STEP_OF] = {.key = "of", .kind = COLUMN_TEXT},
	[STEP_NUMBER] = {.key = "step", .kind = COLUMN_COUNT, .is_ascending = true},
	[STEP_THREAD] = {.key = "thread", .kind = COLUMN_TEXT},
	[STEP_TID] = {.key = "tid", .kind = COLUMN_COUNT},
	[STEP_STATE] = {.key = "state", .kind = COLUMN_TEXT},
	[STEP_WHY] = {.key = "why", .kind = COLUMN_TEXT},
	[STEP_SINCE] = {.key = "for_ns", .kind = COLUMN_NS},
	[STEP_NAME] = {.key = "name", .kind = COLUMN_TEXT},
	[STEP_NEXT] = {.key = "by", .kind = COLUMN_TEXT},
	[STEP_WHERE] = {.key = "where", .kind = COLUMN_TEXT},
	[STEP_HELD_SINCE] = {.key = "held_ns", .kind = COLUMN_NS},
	[STEP_HELD_WHERE] = {.key = "held_where", .kind = COLUMN_TEXT},
	[STEP_WAKER] = {.key = "woken_by", .kind = COLUMN_TEXT},
	[STEP_WOKEN] = {.key = "woken_ns", .kind = COLUMN_NS},
	[STEP_RAN] = {.key = "ran_after_ns", .kind = COLUMN_NS},
	[STEP_IS_DEADLOCK] = {.key = "is_deadlock", .kind = COLUMN_BOOL},
	[STEP_TEXT] = {.key = "text", .title = "TEXT", .kind = COLUMN_TEXT, .is_wide = true},
};

static const char *why_name(enum moment_why why)
{
	static const char *const names[] = {
		[MOMENT_GONE] = "gone",           [MOMENT_RUNNING] = "running",
		[MOMENT_PROCESSOR] = "processor", [MOMENT_HELD] = "held",
		[MOMENT_HANDOVER] = "handover",   [MOMENT_WAKER] = "waker",
		[MOMENT_NOBODY] = "nobody",       [MOMENT_WORK] = "work",
		[MOMENT_CALL] = "call",           [MOMENT_UNKNOWN] = "unknown",
	};

	return names[why];
}

static int add_step(struct table *table, const struct cmd *c, const struct moment *m,
		    const struct moment_chain *chain, uint32_t at)
{
	const struct moment_step *s = &chain->steps[at];
	const struct table_thread *known = tables_thread(&c->tables, s->index);
	const struct tables *t = &c->tables;
	struct cell cells[STEP_COLUMNS] = {0};
	struct name of, thread, what, next, where, held, waker, text;
	const struct teller teller = {c, m, &text};
	bool is_call = s->why == MOMENT_CALL, is_wait = !is_call && s->thread != NULL &&
							s->why != MOMENT_PROCESSOR &&
							s->thread->has_wait;

	name_clear(&of);
	name_clear(&thread);
	name_clear(&what);
	name_clear(&next);
	name_clear(&where);
	name_clear(&held);
	name_clear(&waker);
	name_clear(&text);
	cmd_thread(&of, t, chain->steps[0].index);
	cmd_thread(&thread, t, s->index);
	put_step(&teller, s);
	if (s->next != 0)
		cmd_thread(&next, t, s->next);
	if (is_call)
		cmd_call(&what, s->thread->call.number);
	else if (is_wait && s->thread->wait.object != 0)
		name_object(&what, t, s->thread->wait.object);
	if (is_call)
		cmd_place(&where, t, s->thread->call.stack);
	else if (is_wait)
		cmd_place(&where, t, s->thread->wait.stack);
	if (s->hold != NULL)
		cmd_place(&held, t, s->hold->taken != 0 ? s->hold->taken : s->hold->stack);
	cells[STEP_OF].text = cmd_text(&of);
	cells[STEP_NUMBER].n = at;
	cells[STEP_THREAD].text = cmd_text(&thread);
	cells[STEP_TID].n = known != NULL ? known->tid : 0;
	cells[STEP_STATE].text = s->thread != NULL ? story_state_name(s->thread->now.state) : NULL;
	cells[STEP_WHY].text = why_name(s->why);
	cells[STEP_SINCE].n = m->at_ns > s->since_ns ? m->at_ns - s->since_ns : 0;
	cells[STEP_SINCE].is_none = s->why == MOMENT_GONE;
	cells[STEP_NAME].text = cmd_text(&what);
	cells[STEP_NEXT].text = cmd_text(&next);
	cells[STEP_WHERE].text = cmd_text(&where);
	cells[STEP_HELD_SINCE].is_none = s->hold == NULL;
	cells[STEP_HELD_SINCE].n = s->hold != NULL ? m->at_ns - s->hold->begin_ns : 0;
	cells[STEP_HELD_WHERE].text = cmd_text(&held);
	cells[STEP_WOKEN].is_none = cells[STEP_RAN].is_none = true;
	if (s->thread != NULL && s->thread->has_wake) {
		const struct story_edge *e = &s->thread->wake;

		cmd_thread(&waker, t, e->from);
		cells[STEP_WOKEN] = (struct cell){.n = e->from_ns - cmd_begun_ns(c)};
		cells[STEP_RAN] =
			(struct cell){.n = e->ran_ns > e->from_ns ? e->ran_ns - e->from_ns : 0};
	}
	cells[STEP_WAKER].text = cmd_text(&waker);
	cells[STEP_IS_DEADLOCK].n = chain->is_deadlock && chain->cycle_at <= at;
	cells[STEP_TEXT].text = cmd_text(&text);
	return table_row(table, cells);
}

/* ---- which threads ---- */

static int compare(const void *left, const void *right)
{
	const uint32_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

/* Those that are asked for and were there, by their numbers. */
static uint32_t pick(const struct moment *m, struct select_threads *wanted, uint32_t *list)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->threads_n; i++)
		if (m->threads[i]->is_alive &&
		    (own.thread == NULL || select_has_thread(wanted, m->threads[i]->life.thread)))
			list[n++] = m->threads[i]->life.thread;
	qsort(list, n, sizeof(*list), compare);
	return n;
}

static int show_text(struct cmd *c, const struct moment *m, const uint32_t *list, uint32_t n,
		     const struct story_counts *counts)
{
	struct name name;
	const struct teller t = {c, m, &name};
	struct moment_step step;
	int status = cmd_open_out(c, true);

	if (status != STATUS_OK)
		return status;
	for (uint32_t i = 0; i < n; i++) {
		if (own.thread != NULL) {
			if (i > 0)
				out_char(c->out, '\n');
			put_chain(c, m, list[i]);
			continue;
		}
		name_clear(&name);
		step = moment_step(m, list[i]);
		put_step(&t, &step);
		put_line(c->out, &name);
	}
	if (n == 0)
		out_text(c->out, "no thread was there then\n");
	return cmd_put_notes(c, NULL, counts);
}

static int show_table(struct cmd *c, const struct moment *m, const uint32_t *list, uint32_t n,
		      const struct story_counts *counts)
{
	struct table *table = NULL;
	struct moment_chain chain;
	int status, r = table_create(&table, "steps", step_columns, STEP_COLUMNS);

	for (uint32_t i = 0; i < n && r == 0; i++) {
		moment_follow(m, list[i], &chain);
		for (uint32_t k = 0; k < (own.thread != NULL ? chain.n : 1) && r == 0; k++)
			r = add_step(table, c, m, &chain, k);
	}
	if (r == 0)
		status = cmd_table(c, table, own.thread != NULL && n < 2 ? "step" : "of", counts);
	else
		status = cmd_failed(c, r, &(struct why){"out of memory"});
	table_destroy(table);
	return status;
}

static int show(struct cmd *c, uint64_t at_ns)
{
	struct moment m = {.at_ns = at_ns};
	const struct story_listener listener = moment_listener(&m);
	struct select_threads wanted = {0};
	struct story_counts counts;
	struct why why = {"out of memory"};
	uint32_t *list = NULL, n;
	int status = STATUS_OK, r = 0;

	if (own.thread != NULL)
		r = select_threads(&wanted, own.thread, &c->tables, &why);
	if (r < 0)
		status = cmd_failed(c, r, &why);
	if (r == 0 && own.thread != NULL)
		cmd_warn_threads(c, &wanted, own.thread);
	if (status == STATUS_OK)
		status = cmd_tell(c, &listener, &counts);
	if (status == STATUS_OK) {
		list = calloc(m.threads_n + 1, sizeof(*list));
		if (list == NULL)
			status = cmd_failed(c, -ENOMEM, &why);
	}
	if (status == STATUS_OK) {
		n = pick(&m, &wanted, list);
		status = c->args->format == FORMAT_TEXT ? show_text(c, &m, list, n, &counts)
							: show_table(c, &m, list, n, &counts);
	}
	free(list);
	select_threads_fini(&wanted);
	moment_fini(&m);
	return status;
}

/* Just before the last event, at which all threads end; only a story knows when that is, a block's end may be later. */
static int find_end(struct cmd *c, uint64_t *ret_ns)
{
	const struct story_listener nobody = {0};
	struct story_counts counts;
	int status = cmd_tell(c, &nobody, &counts);

	*ret_ns = counts.end_ns > 0 ? counts.end_ns - 1 : 0;
	return status;
}

static int run(const struct args *args)
{
	/* a time is read as that of --from is */
	struct args as_from = *args;
	struct cmd c;
	uint64_t at_ns = 0;
	int status;

	as_from.from = own.at;
	status = cmd_begin(&c, &as_from);
	if (status == STATUS_OK) {
		if (own.at != NULL)
			at_ns = c.range.from_ns;
		else
			status = find_end(&c, &at_ns);
		c.range.from_ns = 0;
	}
	if (status == STATUS_OK)
		status = show(&c, at_ns);
	return cmd_close(&c, status);
}

const struct command command_chain = {
	.name = "chain",
	.about = "what threads did at one moment, and who they waited for",
	.synopsis = "chain [--at TIME] [--thread THREAD] [OPTION...]",
	.text = "What a thread was doing then and why it did not run, a sentence a step: who has "
		"the lock that it waits\n"
		"for, what that one does, and so on; at last, who made the thread go on and how "
		"late it then ran.\n",
	.groups = ARGS_JSON | ARGS_CSV | ARGS_OUTPUT,
	.options = options,
	.own = &own,
	.run = run,
};
