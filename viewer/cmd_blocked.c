#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "viewer/blocked.h"
#include "viewer/cmd_locks.h"

#define FOLD_SHARE 100 /* branches below 1/100 of all are summed up */
#define DEPTH      100 /* unless --depth says */

static struct {
	const char *kind;
	int by;
	uint64_t depth;
} own = {.depth = DEPTH};

static const char *const bys[] = {"waiter", "holder", NULL};

static const struct args_option options[] = {
	{.name = "kind",
	 .type = ARGS_TEXT,
	 .offset = offsetof(__typeof__(own), kind),
	 .takes = "LIST",
	 .about = "of lock, cond, syscall, sched, sleep, idle: lock,sched; or all"},
	{.name = "by",
	 .type = ARGS_WORD,
	 .offset = offsetof(__typeof__(own), by),
	 .takes = "WHO",
	 .about = "the stacks of the waiter, or of the holder of the lock",
	 .words = bys},
	{.name = "depth",
	 .type = ARGS_COUNT,
	 .offset = offsetof(__typeof__(own), depth),
	 .takes = "N",
	 .about = "show so many levels of the tree; 0: all"},
	{.name = NULL},
};

/* 0, or STATUS_USAGE after saying why. */
static int choose_kinds(const struct args *args, struct blocked *b)
{
	const char *word = own.kind;
	size_t n;
	int found;

	b->by_holder = own.by == 1;
	if (word == NULL) {
		for (int i = 0; i < BLOCKED_KINDS; i++)
			b->kinds[i] = b->by_holder         ? i == BLOCKED_LOCK
				      : args->include_idle ? true
							   : i < BLOCKED_SLEEP;
		return 0;
	}
	while (*word != '\0') {
		n = strcspn(word, ",");
		found = n == 3 && strncmp(word, "all", n) == 0 ? BLOCKED_KINDS : -1;
		for (int i = 0; i < BLOCKED_KINDS; i++)
			if (strlen(blocked_kind_name((enum blocked_kind)i)) == n &&
			    strncmp(word, blocked_kind_name((enum blocked_kind)i), n) == 0)
				found = i;
		if (found < 0) {
			cmd_complain("--kind %.*s: lock, cond, syscall, sched, sleep, idle or all "
				     "was expected",
				     (int)(n < 100 ? n : 100), word);
			return STATUS_USAGE;
		}
		if (b->by_holder && found != BLOCKED_LOCK) {
			cmd_complain("--by holder: only locks have one, not --kind %.*s", (int)n,
				     word);
			return STATUS_USAGE;
		}
		for (int i = 0; i < BLOCKED_KINDS; i++)
			b->kinds[i] = b->kinds[i] || found == i || found == BLOCKED_KINDS;
		word += n + (word[n] == ',');
	}
	return 0;
}

static void put_cell(struct out *o, unsigned width, const struct out *text)
{
	for (size_t i = text->n; i < width; i++)
		out_char(o, ' ');
	out_bytes(o, text->buffer, text->n);
}

static void put_numbers(struct out *o, uint64_t sum_ns, uint64_t own_ns, uint64_t n,
			uint64_t all_ns)
{
	struct out cell;

	out_init(&cell, -1, false);
	out_duration(&cell, sum_ns);
	put_cell(o, 9, &cell);
	out_init(&cell, -1, false);
	out_format(&cell, "%.1f %%", all_ns > 0 ? 100.0 * (double)sum_ns / (double)all_ns : 0.0);
	put_cell(o, 9, &cell);
	out_init(&cell, -1, false);
	if (own_ns > 0)
		out_duration(&cell, own_ns);
	else
		out_char(&cell, '-');
	put_cell(o, 9, &cell);
	out_init(&cell, -1, false);
	out_grouped(&cell, n);
	put_cell(o, 11, &cell);
	out_text(o, "  ");
}

/* Where the bars of a tree of this depth have no more room, its number stands for them. */
static void put_indent(struct out *o, uint32_t depth, unsigned width)
{
	uint32_t most = width > 80 ? (width - 60) / 2 : 10;

	if (depth > most)
		out_format(o, "[%" PRIu32 "] ", depth);
	depth = depth > most ? most - 2 : depth;
	for (uint32_t i = 1; i < depth; i++)
		out_text(o, "  ");
}

/* The name, cut to what is left of the line. */
static void put_name(struct out *o, const struct blocked_node *node, unsigned width)
{
	size_t n = strlen(node->name);
	unsigned indent = node->depth > 0 ? 2 * (node->depth - 1) : 0,
		 room = width > 40 + indent + 20 ? width - 40 - indent : 20;

	if (width != 0 && n > room) {
		/* never in the middle of a character */
		n = room - 1;
		while (n > 0 && ((unsigned char)node->name[n] & 0xc0) == 0x80)
			n--;
		out_name(o, node->name, n);
		out_text(o, "…");
		return;
	}
	out_name(o, node->name, n);
}

struct folded {
	uint64_t ns, n, branches;
};

/* A line for what is not shown below @depth. */
static void put_folded(struct out *o, const struct folded *f, uint32_t depth, unsigned width,
		       uint64_t all_ns)
{
	if (f->branches == 0)
		return;
	put_numbers(o, f->ns, 0, f->n, all_ns);
	put_indent(o, depth, width);
	out_colour(o, OUT_DIM);
	out_format(o, "(%" PRIu64 " %s)", f->branches,
		   f->branches == 1 ? "branch more" : "branches more");
	out_colour(o, OUT_PLAIN);
	out_char(o, '\n');
}

/* What is not shown: @first and those behind it. */
static void fold(struct out *o, const struct blocked_tree *tree, uint32_t first, unsigned width)
{
	struct folded folded = {0};

	for (uint32_t i = first; i != 0; i = tree->nodes[i].next) {
		folded.ns += tree->nodes[i].sum_ns;
		folded.n += tree->nodes[i].n;
		folded.branches++;
	}
	put_folded(o, &folded, first != 0 ? tree->nodes[first].depth : 0, width,
		   tree->nodes[0].sum_ns);
}

/* From node to node, not by calls: a stack may be deeper than ours. Children are the largest first, so all behind a small one are. */
static void put_tree(struct out *o, const struct blocked_tree *tree, uint64_t depth,
		     uint64_t fold_ns, unsigned width)
{
	uint32_t at = tree->nodes[0].child, next;
	const struct blocked_node *node;

	while (at != 0) {
		node = &tree->nodes[at];
		put_numbers(o, node->sum_ns, node->own_ns, node->n, tree->nodes[0].sum_ns);
		put_indent(o, node->depth, width);
		put_name(o, node, width);
		out_char(o, '\n');
		next = node->child;
		if (next != 0 && (depth == 0 || node->depth < depth) &&
		    tree->nodes[next].sum_ns >= fold_ns) {
			at = next;
			continue;
		}
		fold(o, tree, next, width);
		/* the next one beside it, else beside one further out */
		for (next = node->next; at != 0; next = tree->nodes[at].next) {
			if (next != 0 && tree->nodes[next].sum_ns >= fold_ns)
				break;
			fold(o, tree, next, width);
			at = tree->nodes[at].parent;
		}
		at = at != 0 ? next : 0;
	}
}

static int show_text(struct cmd *c, const struct blocked *b, const struct story_counts *counts)
{
	struct blocked_tree tree;
	struct table *notes = NULL;
	unsigned width = tty_width();
	int r = blocked_make_tree(b, &tree), status;

	if (r == 0)
		r = table_create(&notes, "blocked", NULL, 0);
	if (r == 0 && b->left_out + tree.left_out > 0)
		r = table_note(notes, "%" PRIu64 " waits are left out, there were too many places",
			       b->left_out + tree.left_out);
	status = r == 0 ? cmd_open_out(c, true) : cmd_failed(c, r, &(struct why){"out of memory"});
	if (status == STATUS_OK) {
		if (tree.nodes[0].n > 0) {
			out_colour(c->out, OUT_BOLD);
			out_text(c->out, "    TOTAL    SHARE      OWN      TIMES  WHERE\n");
			out_colour(c->out, OUT_PLAIN);
			put_numbers(c->out, tree.nodes[0].sum_ns, 0, tree.nodes[0].n,
				    tree.nodes[0].sum_ns);
			out_text(c->out, b->by_holder ? "all, by who held the lock\n" : "all\n");
			put_tree(c->out, &tree, own.depth, tree.nodes[0].sum_ns / FOLD_SHARE,
				 width);
		} else {
			out_text(c->out, "no waits\n");
		}
		status = cmd_put_notes(c, notes, counts);
	}
	table_destroy(notes);
	blocked_tree_fini(&tree);
	return status;
}

enum {
	ROW_KIND,
	ROW_WHAT,
	ROW_TOTAL,
	ROW_COUNT,
	ROW_MAX,
	ROW_THREAD,
	ROW_STACK,
	ROW_COLUMNS,
};

static const struct column row_columns[ROW_COLUMNS] = {
	[ROW_KIND] = {.key = "kind", .title = "KIND", .kind = COLUMN_TEXT},
	[ROW_WHAT] = {.key = "name", .title = "NAME", .kind = COLUMN_TEXT},
	[ROW_TOTAL] = {.key = "total_ns", .title = "TOTAL", .kind = COLUMN_NS},
	[ROW_COUNT] = {.key = "count", .title = "COUNT", .kind = COLUMN_COUNT},
	[ROW_MAX] = {.key = "max_ns", .title = "MAX", .kind = COLUMN_NS},
	[ROW_THREAD] = {.key = "thread", .title = "THREAD", .kind = COLUMN_TEXT},
	[ROW_STACK] = {.key = "stack", .title = "STACK", .kind = COLUMN_TEXT},
};

static int add_row(struct table *table, const struct blocked *b, const struct blocked_row *row)
{
	const struct table_stack *stack =
		row->stack != 0 ? tables_stack(b->tables, row->stack) : NULL;
	struct cell cells[ROW_COLUMNS] = {0};
	struct name what, thread, frames;

	name_clear(&what);
	name_clear(&thread);
	name_clear(&frames);
	blocked_what(b, row, &what);
	if (row->thread != 0 && row->thread != HOLDERS_MANY)
		name_thread(&thread, b->tables, row->thread);
	/* innermost first, so that what is cut is the root */
	for (uint32_t i = 0; stack != NULL && i < stack->depth && frames.n < sizeof(frames.text);
	     i++) {
		for (uint32_t k = 0; k < name_frame_lines(b->tables, stack->frames[i]); k++) {
			name_format(&frames, "%s", frames.n > 0 ? ";" : "");
			name_frame(&frames, b->tables, stack->frames[i], k);
		}
	}
	cells[ROW_KIND].text = blocked_kind_name((enum blocked_kind)row->kind);
	cells[ROW_WHAT].text = cmd_text(&what);
	cells[ROW_TOTAL].n = row->sum_ns;
	cells[ROW_COUNT].n = row->n;
	cells[ROW_MAX].n = row->max_ns;
	cells[ROW_THREAD].text = cmd_text(&thread);
	cells[ROW_STACK].text = cmd_text(&frames);
	return table_row(table, cells);
}

static int show_rows(struct cmd *c, const struct blocked *b, const struct story_counts *counts)
{
	struct table *table = NULL;
	int status, r = table_create(&table, "blocked", row_columns, ROW_COLUMNS);

	for (uint32_t i = 0; i < b->rows_n && r == 0; i++)
		r = add_row(table, b, &b->rows[i]);
	if (r == 0)
		status = cmd_table(c, table, "total_ns", counts);
	else
		status = cmd_failed(c, r, &(struct why){"out of memory"});
	table_destroy(table);
	return status;
}

static int run(const struct args *args)
{
	struct blocked blocked = {.min_ns = args->min_ns};
	struct story_listener listener;
	struct story_counts counts;
	struct cmd c;
	int status = choose_kinds(args, &blocked);

	if (status != STATUS_OK)
		return status;
	status = cmd_begin(&c, args);
	if (status == STATUS_OK) {
		blocked.from_ns = c.range.from_ns;
		blocked.to_ns = c.range.to_ns;
		blocked.threads = &c.range.threads;
		blocked.tables = &c.tables;
		blocked.wants_object = args->lock != NULL ? cmd_wants_lock : NULL;
		blocked.context = &c;
		listener = blocked_listener(&blocked);
		status = cmd_tell(&c, &listener, &counts);
	}
	if (status == STATUS_OK)
		status = args->format == FORMAT_TEXT ? show_text(&c, &blocked, &counts)
						     : show_rows(&c, &blocked, &counts);
	blocked_fini(&blocked);
	return cmd_close(&c, status);
}

const struct command command_blocked = {
	.name = "blocked",
	.about = "where the time goes in which threads do not run, as a tree of stacks",
	.synopsis = "blocked [OPTION...]",
	.text = "A tree from the roots of the stacks on, with what is below each, and at its "
		"leaves what was waited\n"
		"for. Branches below 1 % are summed up. Sleeping and waiting for work are left "
		"out.\n",
	.groups = ARGS_RANGE | ARGS_THREADS | ARGS_TABLE | ARGS_FILTER,
	.options = options,
	.own = &own,
	.run = run,
};
