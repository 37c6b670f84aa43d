#include "viewer/blocked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/syscalls.h"
#include "viewer/names.h"

#define FRAMES_MAX 1024 /* the innermost */

static uint64_t key_of(const struct blocked_row *row)
{
	const uint64_t parts[] = {(uint64_t)row->stack << 32 | row->thread,
				  (uint64_t)row->object << 32 | row->call,
				  (uint64_t)row->file << 32 | row->kind << 8 | row->wait_type};
	uint64_t key = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		key = (key ^ parts[i]) * UINT64_C(0x9e3779b97f4a7c15);
		key ^= key >> 29;
	}
	return key;
}

static bool is_same(const struct blocked_row *a, const struct blocked_row *b)
{
	return a->stack == b->stack && a->thread == b->thread && a->object == b->object &&
	       a->call == b->call && a->file == b->file && a->kind == b->kind &&
	       a->wait_type == b->wait_type;
}

static int add(struct blocked *b, const struct blocked_row *what, uint64_t ns)
{
	uint64_t key = key_of(what);
	struct blocked_row *row = NULL, *rows;
	uint32_t at;

	for (; row == NULL && (at = map_get(&b->row_of, key)) != MAP_NONE; key++)
		if (is_same(&b->rows[at], what))
			row = &b->rows[at];
	b->sum_ns += ns;
	if (row == NULL) {
		if (b->rows_n >= BLOCKED_ROWS_MAX) {
			b->left_out++;
			return 0;
		}
		if ((b->rows_n & (b->rows_n - 1)) == 0) {
			rows = reallocarray(b->rows, b->rows_n > 0 ? 2 * (size_t)b->rows_n : 1,
					    sizeof(*rows));
			if (rows == NULL)
				return -ENOMEM;
			b->rows = rows;
		}
		if (map_set(&b->row_of, key, b->rows_n) < 0)
			return -ENOMEM;
		row = &b->rows[b->rows_n++];
		*row = *what;
	}
	row->n++;
	row->sum_ns += ns;
	if (ns > row->max_ns)
		row->max_ns = ns;
	return 0;
}

static bool wants(const struct blocked *b, uint32_t thread, uint32_t object)
{
	return (b->threads == NULL || select_has_thread(b->threads, thread)) &&
	       (b->wants_object == NULL || (object != 0 && b->wants_object(b->context, object)));
}

static enum blocked_kind kind_of(const struct interval *i)
{
	switch ((enum trace_state)i->state) {
	case TRACE_LOCK:
	case TRACE_SPIN:
		return BLOCKED_LOCK;
	case TRACE_WAIT:
		return BLOCKED_COND;
	case TRACE_SYSCALL:
		return BLOCKED_SYSCALL;
	case TRACE_RUNNABLE:
		return BLOCKED_SCHED;
	case TRACE_IDLE:
		return i->call == SYS_nanosleep + 1 || i->call == SYS_clock_nanosleep + 1
			       ? BLOCKED_SLEEP
			       : BLOCKED_IDLE;
	default:
		return BLOCKED_KINDS;
	}
}

static int on_interval(void *context, const struct interval *i)
{
	struct blocked *b = context;
	enum blocked_kind kind = kind_of(i);
	struct blocked_row row = {.kind = (uint8_t)kind,
				  .wait_type = i->wait,
				  .stack = i->stack,
				  .thread = i->stack == 0 ? i->thread : 0,
				  .object = i->object,
				  .call = i->call};

	if (kind == BLOCKED_KINDS || !b->kinds[kind] || i->end_ns - i->begin_ns < b->min_ns ||
	    !wants(b, i->thread, i->object))
		return 0;
	if (kind == BLOCKED_SCHED) { /* whatever it was about to do */
		row.wait_type = 0;
		row.object = row.call = 0;
	} else {
		row.file = same_file(&b->files, b->tables, i->file);
	}
	return add(b, &row, i->end_ns - i->begin_ns);
}

static int on_hold(void *context, const struct story_hold *h)
{
	struct blocked *b = context;

	return holders_add(&b->holders, h, UINT32_MAX);
}

static int on_piece(void *context, const struct story_wait *w, const struct holder *holder,
		    uint64_t begin_ns, uint64_t end_ns)
{
	struct blocked *b = context;
	uint64_t ns = story_within(begin_ns, end_ns, b->from_ns, b->to_ns);
	const struct blocked_row row = {.kind = BLOCKED_LOCK,
					.wait_type = w->type,
					.stack = holder->stack,
					.thread = holder->stack == 0 ? holder->thread : 0,
					.object = w->object};

	return ns > 0 ? add(b, &row, ns) : 0;
}

static int on_wait(void *context, const struct story_wait *w)
{
	struct blocked *b = context;
	bool is_wanted = w->end_ns - w->begin_ns >= b->min_ns && wants(b, w->thread, w->object);

	return holders_has(w) ? holders_split(&b->holders, w, is_wanted ? on_piece : NULL, b) : 0;
}

struct story_listener blocked_listener(struct blocked *b)
{
	if (b->by_holder)
		return (struct story_listener){.context = b, .wait = on_wait, .hold = on_hold};
	return (struct story_listener){.context = b, .interval = on_interval};
}

void blocked_fini(struct blocked *b)
{
	free(b->rows);
	map_fini(&b->row_of);
	same_files_fini(&b->files);
	holders_fini(&b->holders);
}

const char *blocked_kind_name(enum blocked_kind kind)
{
	static const char *const names[BLOCKED_KINDS] = {
		[BLOCKED_LOCK] = "lock",   [BLOCKED_COND] = "cond",   [BLOCKED_SYSCALL] = "syscall",
		[BLOCKED_SCHED] = "sched", [BLOCKED_SLEEP] = "sleep", [BLOCKED_IDLE] = "idle",
	};

	return names[kind];
}

void blocked_what(const struct blocked *b, const struct blocked_row *row, struct name *ret)
{
	const struct table_object *object = tables_object(b->tables, row->object);
	const char *call;

	if (row->call != 0) {
		call = syscalls_name(row->call - 1);
		if (call != NULL)
			name_format(ret, "%s", call);
		else
			name_format(ret, "syscall#%u", row->call - 1);
		if (row->file != 0) {
			name_add(ret, " ", 1);
			same_file_name(&b->files, b->tables, row->file, ret);
		}
	} else if (row->object != 0) {
		if (object != NULL)
			name_format(ret, "%s ", name_kind(object->kind));
		name_object(ret, b->tables, row->object);
	} else if (row->kind == BLOCKED_SCHED) {
		name_format(ret, "a processor");
	} else {
		name_format(ret, row->wait_type == TRACE_JOIN_BEGIN_EVENT ? "the end of a thread"
									  : "not known");
	}
}

/* ---- the tree ---- */

struct builder {
	const struct blocked *b;
	struct blocked_tree *tree;
	uint32_t room;
	struct map node_of;
};

static uint64_t hash(uint32_t parent, const struct name *name)
{
	uint64_t key = parent + UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < name->n; i++)
		key = (key ^ (uint8_t)name->text[i]) * UINT64_C(0x100000001b3);
	return key;
}

/* The child of @parent called @name, made when there is none. 0, -ENOSPC or -ENOMEM. */
static int child_of(struct builder *m, uint32_t parent, struct name *name, uint32_t *ret)
{
	struct blocked_tree *tree = m->tree;
	uint64_t key = hash(parent, name);
	struct blocked_node *nodes;
	uint32_t at, room;

	for (; (at = map_get(&m->node_of, key)) != MAP_NONE; key++) {
		if (tree->nodes[at].parent == parent && strlen(tree->nodes[at].name) == name->n &&
		    memcmp(tree->nodes[at].name, name->text, name->n) == 0) {
			*ret = at;
			return 0;
		}
	}
	if (tree->n >= BLOCKED_NODES_MAX)
		return -ENOSPC;
	if (tree->n == m->room) {
		room = m->room > 0 ? 2 * m->room : 64;
		nodes = reallocarray(tree->nodes, room, sizeof(*nodes));
		if (nodes == NULL)
			return -ENOMEM;
		tree->nodes = nodes;
		m->room = room;
	}
	tree->nodes[tree->n] = (struct blocked_node){
		.name = strndup(name->text, name->n),
		.parent = parent,
		.depth = tree->n > 0 ? tree->nodes[parent].depth + 1 : 0,
	};
	if (tree->nodes[tree->n].name == NULL)
		return -ENOMEM;
	*ret = tree->n++;
	return map_set(&m->node_of, key, *ret);
}

static void count(struct builder *m, uint32_t node, const struct blocked_row *row)
{
	m->tree->nodes[node].own_ns += row->sum_ns;
	m->tree->nodes[node].own_n += row->n;
	for (;; node = m->tree->nodes[node].parent) {
		m->tree->nodes[node].sum_ns += row->sum_ns;
		m->tree->nodes[node].n += row->n;
		if (node == 0)
			return;
	}
}

/* Bytes behind a NUL would not be compared. */
static void end_at_nul(struct name *name)
{
	const char *nul = memchr(name->text, '\0', name->n);

	if (nul != NULL)
		name->n = (size_t)(nul - name->text);
}

static int add_row(struct builder *m, const struct blocked_row *row)
{
	const struct tables *t = m->b->tables;
	const struct table_stack *stack = row->stack != 0 ? tables_stack(t, row->stack) : NULL;
	struct name name;
	uint32_t node = 0;
	int r = 0;

	if (stack == NULL || stack->depth == 0) {
		name_clear(&name);
		if (row->thread == 0) {
			name_format(&name,
				    m->b->by_holder ? "[nobody: handed over]" : "[no stack]");
		} else {
			name_format(&name, "[thread ");
			name_thread(&name, t, row->thread);
			name_add(&name, "]", 1);
		}
		end_at_nul(&name);
		r = child_of(m, node, &name, &node);
	}
	for (uint32_t i = stack == NULL               ? 0
			  : stack->depth < FRAMES_MAX ? stack->depth
						      : FRAMES_MAX;
	     i > 0 && r == 0; i--) {
		uint64_t frame = stack->frames[i - 1];

		for (uint32_t k = name_frame_lines(t, frame); k > 0 && r == 0; k--) {
			name_clear(&name);
			name_frame(&name, t, frame, k - 1);
			end_at_nul(&name);
			r = child_of(m, node, &name, &node);
		}
	}
	if (r == 0) {
		name_clear(&name);
		name_format(&name, "for ");
		blocked_what(m->b, row, &name);
		end_at_nul(&name);
		r = child_of(m, node, &name, &node);
	}
	if (r == 0)
		count(m, node, row);
	return r;
}

static const struct blocked_node *sorted_nodes;

static int compare(const void *left, const void *right)
{
	const uint32_t *l = left, *r = right;
	const struct blocked_node *a = &sorted_nodes[*l], *b = &sorted_nodes[*r];

	if (a->parent != b->parent)
		return a->parent < b->parent ? -1 : 1;
	if (a->sum_ns != b->sum_ns)
		return a->sum_ns > b->sum_ns ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int link_children(struct blocked_tree *tree)
{
	uint32_t *order = calloc(tree->n, sizeof(*order));

	if (order == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < tree->n; i++)
		order[i] = i;
	sorted_nodes = tree->nodes;
	qsort(order + 1, tree->n - 1, sizeof(*order), compare);
	for (uint32_t i = tree->n - 1; i > 0; i--) {
		struct blocked_node *node = &tree->nodes[order[i]],
				    *parent = &tree->nodes[node->parent];

		node->next = parent->child;
		parent->child = order[i];
	}
	free(order);
	return 0;
}

int blocked_make_tree(const struct blocked *b, struct blocked_tree *ret)
{
	struct builder m = {.b = b, .tree = ret};
	struct name name = {0};
	uint32_t root;
	int r;

	*ret = (struct blocked_tree){0};
	name_format(&name, "all");
	r = child_of(&m, 0, &name, &root);
	for (uint32_t i = 0; i < b->rows_n && r == 0; i++) {
		r = add_row(&m, &b->rows[i]);
		if (r == -ENOSPC) {
			ret->left_out++;
			r = 0;
		}
	}
	if (r == 0)
		r = link_children(ret);
	map_fini(&m.node_of);
	return r;
}

void blocked_tree_fini(struct blocked_tree *tree)
{
	for (uint32_t i = 0; i < tree->n; i++)
		free(tree->nodes[i].name);
	free(tree->nodes);
	*tree = (struct blocked_tree){0};
}
