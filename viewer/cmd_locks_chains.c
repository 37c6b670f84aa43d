#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "viewer/cmd_locks.h"
#include "viewer/lock_chains.h"

#define CHAINS_TEXT 10 /* unless --limit says */

static void put_place(struct name *name, const struct tables *t, const char *before, uint32_t stack)
{
	if (stack == 0)
		return;
	name_format(name, "%s", before);
	cmd_place(name, t, stack);
}

/* "evict cache.c:88", or by whom. */
static void put_holder(struct name *name, const struct tables *t, const struct lock_chain_node *n)
{
	if (n->holder_stack != 0) {
		put_place(name, t, "held at ", n->holder_stack);
	} else if (n->holder_thread != 0) {
		name_format(name, "held by ");
		cmd_thread(name, t, n->holder_thread);
	} else {
		name_format(name, "held by nobody");
	}
}

/* What a thread does, after "which" or its name. */
static void put_step(struct name *name, const struct lock_chains *chains,
		     const struct lock_chain_node *n)
{
	const struct tables *t = chains->tables;

	switch ((enum lock_chain_kind)n->kind) {
	case CHAIN_LOCK:
		name_format(name, "waits for ");
		cmd_object(name, t, n->object);
		if (n->mode == 2)
			name_format(name, " to read");
		put_place(name, t, " at ", n->stack);
		break;
	case CHAIN_WAIT:
		name_format(name, "waits for ");
		if (n->object != 0)
			cmd_object(name, t, n->object);
		else if (n->wait_type == TRACE_JOIN_BEGIN_EVENT)
			name_format(name, "the end of a thread");
		else
			name_format(name, "something else");
		put_place(name, t, " at ", n->stack);
		break;
	case CHAIN_CALL:
		name_format(name, "is in ");
		cmd_call(name, n->call);
		if (n->file != 0) {
			name_format(name, "(");
			same_file_name(&chains->files, t, n->file, name);
			name_format(name, ")");
		}
		put_place(name, t, " at ", n->stack);
		break;
	case CHAIN_RUNNING:
		name_format(name, "runs");
		break;
	case CHAIN_RUNNABLE:
		name_format(name, "wants a processor");
		break;
	case CHAIN_HANDOVER:
		name_format(name, "it is being handed over");
		break;
	case CHAIN_MANY:
		name_format(name, "many have it, one after the other");
		break;
	case CHAIN_OPEN:
		name_format(name, "has it until the trace ends");
		break;
	case CHAIN_MORE:
		name_format(name, "…");
		break;
	}
}

static void put_line(struct out *o, unsigned indent, const struct name *name)
{
	for (unsigned i = 0; i < indent; i++)
		out_char(o, ' ');
	out_name(o, name->text, name->n);
	out_char(o, '\n');
}

/* One chain, a line a step; the first one is already begun. */
static void put_chain(struct cmd *c, const struct lock_chains *chains,
		      const struct lock_chain_node *n, unsigned indent)
{
	const struct tables *t = &c->tables;
	struct name name;

	name_clear(&name);
	put_step(&name, chains, n);
	put_line(c->out, 0, &name);
	for (; n->next != LOCK_CHAIN_NONE; n = &chains->nodes[n->next]) {
		const struct lock_chain_node *next = &chains->nodes[n->next];

		name_clear(&name);
		if (next->kind != CHAIN_HANDOVER && next->kind != CHAIN_MANY) {
			put_holder(&name, t, n);
			name_format(&name, ", who ");
		}
		put_step(&name, chains, next);
		put_line(c->out, indent, &name);
	}
}

static void put_cell(struct out *o, unsigned width, const struct out *text)
{
	for (size_t i = text->n; i < width; i++)
		out_char(o, ' ');
	out_bytes(o, text->buffer, text->n);
}

static void put_text(struct cmd *c, const struct lock_chains *chains, const uint32_t *order,
		     uint32_t n, uint64_t limit, uint64_t all_ns)
{
	struct out *o = c->out;
	struct out cell;
	struct name name;
	uint64_t shown_ns = 0;
	uint32_t i;

	out_colour(o, OUT_BOLD);
	out_text(o, "     WAIT      WAITS       MAX  CHAIN\n");
	out_colour(o, OUT_PLAIN);
	for (i = 0; i < n && (limit == 0 || i < limit); i++) {
		const struct lock_chain_node *node = &chains->nodes[order[i]];

		out_init(&cell, -1, false);
		out_duration(&cell, node->sum_ns);
		put_cell(o, 9, &cell);
		out_init(&cell, -1, false);
		out_grouped(&cell, node->n);
		put_cell(o, 11, &cell);
		out_init(&cell, -1, false);
		out_duration(&cell, node->max_ns);
		put_cell(o, 10, &cell);
		out_text(o, "  ");
		put_chain(c, chains, node, 34);
		name_clear(&name);
		name_format(&name, "the longest: ");
		cmd_thread(&name, &c->tables, node->max_thread);
		name_format(&name, " at %" PRIu64 ".%09" PRIu64,
			    (node->max_begin_ns - cmd_begun_ns(c)) / 1000000000,
			    (node->max_begin_ns - cmd_begun_ns(c)) % 1000000000);
		out_colour(o, OUT_DIM);
		put_line(o, 34, &name);
		out_colour(o, OUT_PLAIN);
		shown_ns += node->sum_ns;
	}
	if (i < n) {
		out_format(o, "%" PRIu32 " more chains of ", n - i);
		out_duration(o, all_ns - shown_ns);
		out_text(o, "; --limit 0 shows all\n");
	}
}

enum {
	CHAIN_TOTAL,
	CHAIN_WAITS,
	CHAIN_MAX,
	CHAIN_AT,
	CHAIN_THREAD,
	CHAIN_NAME,
	CHAIN_STEPS,
	CHAIN_TEXT,
	CHAIN_COLUMNS,
};

static const struct column chain_columns[CHAIN_COLUMNS] = {
	[CHAIN_TOTAL] = {.key = "total_ns", .title = "WAIT", .kind = COLUMN_NS},
	[CHAIN_WAITS] = {.key = "waits", .title = "WAITS", .kind = COLUMN_COUNT},
	[CHAIN_MAX] = {.key = "max_ns", .title = "MAX", .kind = COLUMN_NS},
	[CHAIN_AT] = {.key = "max_begin_ns", .kind = COLUMN_TIME},
	[CHAIN_THREAD] = {.key = "max_thread", .kind = COLUMN_TEXT},
	[CHAIN_NAME] = {.key = "name", .title = "NAME", .kind = COLUMN_TEXT},
	[CHAIN_STEPS] = {.key = "steps", .kind = COLUMN_COUNT},
	[CHAIN_TEXT] = {.key = "chain", .title = "CHAIN", .kind = COLUMN_TEXT, .is_wide = true},
};

static int add_row(struct table *table, const struct cmd *c, const struct lock_chains *chains,
		   const struct lock_chain_node *node)
{
	struct cell cells[CHAIN_COLUMNS] = {0};
	struct name lock, thread, text;

	name_clear(&lock);
	name_clear(&thread);
	name_clear(&text);
	name_object(&lock, &c->tables, node->object);
	cmd_thread(&thread, &c->tables, node->max_thread);
	put_step(&text, chains, node);
	for (const struct lock_chain_node *n = node; n->next != LOCK_CHAIN_NONE;
	     n = &chains->nodes[n->next]) {
		const struct lock_chain_node *next = &chains->nodes[n->next];

		name_format(&text, ", ");
		if (next->kind != CHAIN_HANDOVER && next->kind != CHAIN_MANY) {
			put_holder(&text, &c->tables, n);
			name_format(&text, ", who ");
		}
		put_step(&text, chains, next);
	}
	cells[CHAIN_TOTAL].n = node->sum_ns;
	cells[CHAIN_WAITS].n = node->n;
	cells[CHAIN_MAX].n = node->max_ns;
	cells[CHAIN_AT].n = node->max_begin_ns - cmd_begun_ns(c);
	cells[CHAIN_THREAD].text = cmd_text(&thread);
	cells[CHAIN_NAME].text = cmd_text(&lock);
	cells[CHAIN_STEPS].n = node->steps;
	cells[CHAIN_TEXT].text = cmd_text(&text);
	return table_row(table, cells);
}

static const struct lock_chain_node *sorted_nodes;

static int compare(const void *left, const void *right)
{
	const uint32_t *l = left, *r = right;
	const struct lock_chain_node *a = &sorted_nodes[*l], *b = &sorted_nodes[*r];

	if (a->sum_ns != b->sum_ns)
		return a->sum_ns > b->sum_ns ? -1 : 1;
	return *l < *r ? -1 : 1;
}

static int show_text(struct cmd *c, const struct lock_chains *chains, const uint32_t *order,
		     uint32_t n, const struct story_counts *counts)
{
	uint64_t limit = c->args->limit != ARGS_LIMIT_DEFAULT ? c->args->limit : CHAINS_TEXT,
		 all_ns = 0;
	int status = cmd_open_out(c, true);

	if (status != STATUS_OK)
		return status;
	for (uint32_t i = 0; i < n; i++)
		all_ns += chains->nodes[order[i]].sum_ns;
	if (n > 0)
		put_text(c, chains, order, n, limit, all_ns);
	else
		out_text(c->out, "no waits for locks\n");
	return cmd_put_notes(c, NULL, counts);
}

static int show_table(struct cmd *c, const struct lock_chains *chains, const uint32_t *order,
		      uint32_t n, const struct story_counts *counts)
{
	struct table *table = NULL;
	int status, r = table_create(&table, "chains", chain_columns, CHAIN_COLUMNS);

	for (uint32_t i = 0; i < n && r == 0; i++)
		r = add_row(table, c, chains, &chains->nodes[order[i]]);
	if (r == 0)
		status = cmd_table(c, table, "total_ns", counts);
	else
		status = cmd_failed(c, r, &(struct why){"out of memory"});
	table_destroy(table);
	return status;
}

int cmd_locks_chains(struct cmd *c)
{
	struct lock_chains chains = {
		.from_ns = c->range.from_ns,
		.to_ns = c->range.to_ns,
		.min_ns = c->args->min_ns,
		.tables = &c->tables,
		.threads = &c->range.threads,
		.wants_object = c->args->lock != NULL ? cmd_wants_lock : NULL,
		.context = c,
	};
	const struct story_listener listener = lock_chains_listener(&chains);
	struct story_counts counts;
	uint32_t *order = NULL, n = 0;
	int status = cmd_tell(c, &listener, &counts);

	if (status == STATUS_OK) {
		order = calloc(chains.nodes_n + 1, sizeof(*order));
		if (order == NULL)
			status = cmd_failed(c, -ENOMEM, &(struct why){"out of memory"});
	}
	for (uint32_t i = 0; order != NULL && i < chains.nodes_n; i++)
		if (chains.nodes[i].n > 0)
			order[n++] = i;
	if (order != NULL) {
		sorted_nodes = chains.nodes;
		qsort(order, n, sizeof(*order), compare);
		status = c->args->format == FORMAT_TEXT ? show_text(c, &chains, order, n, &counts)
							: show_table(c, &chains, order, n, &counts);
	}
	free(order);
	lock_chains_fini(&chains);
	return status;
}
