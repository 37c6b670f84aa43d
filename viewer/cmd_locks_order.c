#include <errno.h>
#include <inttypes.h>

#include "viewer/cmd_locks.h"
#include "viewer/lock_order.h"

#define CYCLES_TEXT 10 /* without -v */

enum {
	EDGE_HELD,
	EDGE_TAKEN,
	EDGE_COUNT,
	EDGE_CYCLE,
	EDGE_THREAD,
	EDGE_OTHER,
	EDGE_AT,
	EDGE_GATE,
	EDGE_HELD_WHERE,
	EDGE_TAKEN_WHERE,
	EDGE_COLUMNS,
};

static const struct column columns_of_edges[EDGE_COLUMNS] = {
	[EDGE_HELD] = {.key = "held", .title = "HELD", .kind = COLUMN_TEXT, .is_wide = true},
	[EDGE_TAKEN] = {.key = "taken", .title = "TAKEN", .kind = COLUMN_TEXT, .is_wide = true},
	[EDGE_COUNT] = {.key = "count", .title = "COUNT", .kind = COLUMN_COUNT},
	[EDGE_CYCLE] = {.key = "is_in_cycle", .title = "CYCLE", .kind = COLUMN_BOOL},
	[EDGE_THREAD] = {.key = "thread", .title = "THREAD", .kind = COLUMN_TEXT},
	[EDGE_OTHER] = {.key = "other_thread", .kind = COLUMN_TEXT},
	[EDGE_AT] = {.key = "first_ns",
		     .title = "FIRST",
		     .kind = COLUMN_TIME,
		     .is_ascending = true},
	[EDGE_GATE] = {.key = "gate", .title = "GATE", .kind = COLUMN_TEXT, .is_wide = true},
	[EDGE_HELD_WHERE] = {.key = "held_where", .kind = COLUMN_TEXT},
	[EDGE_TAKEN_WHERE] = {.key = "where",
			      .title = "WHERE",
			      .kind = COLUMN_TEXT,
			      .is_wide = true},
};

static void put_gates(struct name *name, const struct tables *t, const struct lock_order_edge *e)
{
	for (uint32_t i = 0; i < e->gates_n; i++) {
		name_format(name, "%s", i > 0 ? "," : "");
		name_object(name, t, e->gates[i].object);
	}
}

static int add_edge(struct table *table, const struct cmd *c, const struct lock_order_edge *e)
{
	const struct tables *t = &c->tables;
	struct cell cells[EDGE_COLUMNS] = {0};
	struct name held, taken, thread, other, gate, held_where, where;

	name_clear(&held);
	name_clear(&taken);
	name_clear(&thread);
	name_clear(&other);
	name_clear(&gate);
	name_clear(&held_where);
	name_clear(&where);
	name_object(&held, t, e->held);
	name_object(&taken, t, e->taken);
	cmd_thread(&thread, t, e->thread);
	if (e->other != 0)
		cmd_thread(&other, t, e->other);
	put_gates(&gate, t, e);
	cmd_place(&held_where, t, e->held_stack);
	cmd_place(&where, t, e->taken_stack);
	cells[EDGE_HELD].text = cmd_text(&held);
	cells[EDGE_TAKEN].text = cmd_text(&taken);
	cells[EDGE_COUNT].n = e->n;
	cells[EDGE_CYCLE].n = e->is_in_cycle;
	cells[EDGE_THREAD].text = cmd_text(&thread);
	cells[EDGE_OTHER].text = cmd_text(&other);
	cells[EDGE_AT].n = e->first_ns - cmd_begun_ns(c);
	cells[EDGE_GATE].text = cmd_text(&gate);
	cells[EDGE_HELD_WHERE].text = cmd_text(&held_where);
	cells[EDGE_TAKEN_WHERE].text = cmd_text(&where);
	return table_row(table, cells);
}

static void put(struct out *o, const struct name *name)
{
	out_name(o, name->text, name->n);
}

static void put_object(struct out *o, const struct tables *t, uint32_t object)
{
	struct name name;

	name_clear(&name);
	name_object(&name, t, object);
	put(o, &name);
}

static void put_thread(struct out *o, const struct tables *t, uint32_t thread)
{
	struct name name;

	name_clear(&name);
	cmd_thread(&name, t, thread);
	put(o, &name);
}

/* A line for each frame, innermost first, below what it belongs to. */
static void put_stack(struct out *o, const struct tables *t, uint32_t id)
{
	const struct table_stack *stack = id != 0 ? tables_stack(t, id) : NULL;
	struct name name;

	for (uint32_t i = 0; stack != NULL && i < stack->depth && i < 100; i++) {
		for (uint32_t k = 0; k < name_frame_lines(t, stack->frames[i]); k++) {
			name_clear(&name);
			name_frame(&name, t, stack->frames[i], k);
			out_text(o, "        ");
			put(o, &name);
			out_char(o, '\n');
		}
	}
}

static const char *how(uint32_t stack, bool is_taken)
{
	return stack == 0 ? ": where is not recorded, it was free\n"
	       : is_taken ? ", taken at\n"
			  : ", let go at\n";
}

static void put_cycle(struct cmd *c, const struct lock_order *order,
		      const struct lock_order_cycle *cycle)
{
	const struct tables *t = &c->tables;
	struct out *o = c->out;

	out_colour(o, cycle->is_harmless ? OUT_DIM : OUT_RED);
	out_text(o, cycle->is_harmless ? "\nharmless: " : "\npossible deadlock: ");
	out_colour(o, OUT_PLAIN);
	for (uint32_t i = 0; i < cycle->n; i++) {
		put_object(o, t, order->edges[cycle->edges[i]].held);
		out_text(o, " -> ");
	}
	put_object(o, t, order->edges[cycle->edges[0]].held);
	if (cycle->gate != 0) {
		out_text(o, ", always with ");
		put_object(o, t, cycle->gate);
		out_text(o, " held");
	} else if (cycle->is_alone) {
		out_text(o, ", by one thread");
	} else if (cycle->is_of_readers) {
		out_text(o, ", of readers");
	}
	out_char(o, '\n');
	for (uint32_t i = 0; i < cycle->n && !cycle->is_harmless; i++) {
		const struct lock_order_edge *e = &order->edges[cycle->edges[i]];

		out_text(o, "  ");
		put_thread(o, t, e->thread);
		out_text(o, " holds ");
		put_object(o, t, e->held);
		out_text(o, how(e->held_stack, e->is_held_taken));
		put_stack(o, t, e->held_stack);
		out_text(o, "    and takes ");
		put_object(o, t, e->taken);
		out_text(o, ", first at ");
		out_seconds(o, e->first_ns - cmd_begun_ns(c));
		out_text(o, how(e->taken_stack, e->is_taken_taken));
		put_stack(o, t, e->taken_stack);
	}
}

static void put_deadlock(struct cmd *c, const struct lock_order_deadlock *d)
{
	const struct tables *t = &c->tables;
	struct out *o = c->out;

	out_colour(o, OUT_RED);
	out_text(o, "\ndeadlock at the end of the trace:\n");
	out_colour(o, OUT_PLAIN);
	for (uint32_t i = 0; i < d->n; i++) {
		out_text(o, "  ");
		put_thread(o, t, d->threads[i]);
		out_text(o, " waits for ");
		if (d->objects[i] != 0) {
			put_object(o, t, d->objects[i]);
			out_text(o, ", which ");
			put_thread(o, t, d->threads[(i + 1) % d->n]);
			out_text(o, " holds, since ");
		} else {
			out_text(o, "the end of ");
			put_thread(o, t, d->threads[(i + 1) % d->n]);
			out_text(o, ", since ");
		}
		out_seconds(o, d->since_ns[i] - cmd_begun_ns(c));
		out_text(o, " at\n");
		put_stack(o, t, d->stacks[i]);
	}
}

static void put_cycles(struct cmd *c, const struct lock_order *order)
{
	uint32_t most = c->args->verbose ? order->cycles_n : order->dangerous_n;

	if (!c->args->verbose && most > CYCLES_TEXT)
		most = CYCLES_TEXT;
	for (uint32_t i = 0; i < most; i++)
		put_cycle(c, order, &order->cycles[i]);
	for (uint32_t i = 0; i < order->deadlocks_n; i++)
		put_deadlock(c, &order->deadlocks[i]);
}

/* A string of DOT: what would end it, or the line, is escaped. */
static void put_quoted(struct out *o, const struct name *name)
{
	struct out text;

	out_init(&text, -1, false);
	out_name(&text, name->text, name->n);
	out_char(o, '"');
	for (size_t i = 0; i < text.n; i++) {
		if (text.buffer[i] == '"' || text.buffer[i] == '\\')
			out_char(o, '\\');
		out_char(o, text.buffer[i]);
	}
	out_char(o, '"');
}

static void put_node(struct out *o, const struct tables *t, uint32_t object)
{
	struct name name;

	name_clear(&name);
	name_object(&name, t, object);
	/* two objects may have one name */
	out_format(o, "\to%" PRIu32 " [label=", object);
	put_quoted(o, &name);
	out_text(o, "];\n");
}

static void put_dot(struct cmd *c, const struct lock_order *order)
{
	struct out *o = c->out;
	struct name name;

	out_text(o, "digraph locks {\n\tnode [shape=box];\n");
	for (uint32_t i = 0; i < order->edges_n; i++) {
		put_node(o, &c->tables, order->edges[i].held);
		put_node(o, &c->tables, order->edges[i].taken);
	}
	for (uint32_t i = 0; i < order->edges_n; i++) {
		const struct lock_order_edge *e = &order->edges[i];

		name_clear(&name);
		name_format(&name, "%" PRIu64 ", ", e->n);
		cmd_thread(&name, &c->tables, e->thread);
		out_format(o, "\to%" PRIu32 " -> o%" PRIu32 " [label=", e->held, e->taken);
		put_quoted(o, &name);
		out_text(o, e->is_in_cycle ? ", color=red, penwidth=2];\n" : "];\n");
	}
	out_text(o, "}\n");
}

static int show_table(struct cmd *c, const struct lock_order *order,
		      const struct story_counts *counts)
{
	struct column columns[EDGE_COLUMNS];
	struct table *table = NULL;
	int status, r;

	memcpy(columns, columns_of_edges, sizeof(columns));
	if (c->args->format == FORMAT_TEXT && tty_width() < 100)
		columns[EDGE_AT].title = NULL;
	if (c->args->format == FORMAT_TEXT && tty_width() < 150)
		columns[EDGE_GATE].title = NULL;
	r = table_create(&table, "locks taken while others were held", columns, EDGE_COLUMNS);
	for (uint32_t i = 0; i < order->edges_n && r == 0; i++) {
		const struct lock_order_edge *e = &order->edges[i];

		if (c->args->lock == NULL || cmd_wants_lock(c, e->held) ||
		    cmd_wants_lock(c, e->taken))
			r = add_edge(table, c, e);
	}
	if (r == 0)
		r = table_note(table, "%" PRIu32 " possible deadlock%s%s", order->dangerous_n,
			       order->dangerous_n == 1 ? "" : "s", order->is_cut ? " or more" : "");
	if (r == 0 && order->cycles_n > order->dangerous_n && !c->args->verbose)
		r = table_note(table, "%" PRIu32 " cycles are harmless; -v shows them",
			       order->cycles_n - order->dangerous_n);
	if (r == 0 && order->left_out > 0)
		r = table_note(table, "%" PRIu64 " takings of further locks are left out",
			       order->left_out);
	if (r == 0)
		status = cmd_table(c, table, "count", counts);
	else
		status = cmd_failed(c, r, &(struct why){"out of memory"});
	if ((status == STATUS_OK || status == STATUS_DAMAGED) && c->args->format == FORMAT_TEXT)
		put_cycles(c, order);
	table_destroy(table);
	return status;
}

int cmd_locks_order(struct cmd *c, bool as_dot)
{
	struct lock_order order = {0};
	const struct story_listener listener = lock_order_listener(&order);
	struct story_counts counts;
	int status = cmd_tell(c, &listener, &counts);

	if (status == STATUS_OK && lock_order_finish(&order) < 0)
		status = cmd_failed(c, -ENOMEM, &(struct why){"out of memory"});
	/* what waits at the end of a range goes on behind it */
	if (c->range.to_ns != UINT64_MAX)
		order.deadlocks_n = 0;
	if (status == STATUS_OK && as_dot) {
		status = cmd_open_out(c, true);
		if (status == STATUS_OK) {
			put_dot(c, &order);
			status = cmd_warn_damage(c, counts.merge.unreadable);
		}
	} else if (status == STATUS_OK) {
		status = show_table(c, &order, &counts);
	}
	lock_order_fini(&order);
	return status;
}
