#include "viewer/diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_wanted(struct diff_side *side, uint32_t thread)
{
	return side->threads == NULL || select_has_thread(side->threads, thread);
}

/* What is outside of what was asked for is cut off. */
static void add_took(const struct diff_side *side, struct tally_row *row, uint64_t begin_ns,
		     uint64_t end_ns)
{
	histogram_add(&row->took, story_within(begin_ns, end_ns, side->from_ns, side->to_ns));
}

static uint64_t hash_name(enum diff_kind kind, const struct name *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)kind << 56;

	for (size_t i = 0; i < name->n; i++)
		hash = (hash ^ (uint8_t)name->text[i]) * UINT64_C(0x100000001b3);
	return hash != TALLY_OTHERS ? hash : 0;
}

struct tally_row *diff_row(struct diff_side *side, enum diff_kind kind, const struct name *name)
{
	uint32_t before = side->rows.n, room = side->names_room != 0 ? 2 * side->names_room : 64;
	struct tally_row *row;
	char **grown;

	if (side->rows.n == side->names_room) {
		grown = realloc(side->names, room * sizeof(*grown));
		if (grown == NULL)
			return NULL;
		side->names = grown;
		side->names_room = room;
	}
	row = tally_at(&side->rows, hash_name(kind, name));
	if (row == NULL || side->rows.n == before)
		return row;
	row->value = row->key == TALLY_OTHERS ? DIFF_OTHERS : kind;
	side->names[before] =
		row->key == TALLY_OTHERS ? strdup("(others)") : strndup(name->text, name->n);
	return side->names[before] != NULL ? row : NULL;
}

void diff_group(struct name *name)
{
	size_t n = threads_group_length(name->text, name->n);

	if (n == 0 || n >= name->n)
		return;
	name->n = n;
	name_add(name, "*", 1);
}

/* A lock as another run has it, too: no address. */
static void name_lock(struct name *name, const struct tables *t, uint32_t id)
{
	const struct table_object *o = tables_object(t, id);
	const char *at;

	if (o != NULL && o->name == 0 && o->site != 0) {
		name_frame(name, t, o->site, 0);
		return;
	}
	name_object(name, t, id);
	if (o == NULL) {
		name_clear(name);
		name_format(name, "(unnamed)");
		return;
	}
	if (o->name != 0 && !(o->flags & TRACE_OBJECT_MADE_AT))
		return;
	at = memrchr(name->text, '@', name->n);
	if (at != NULL)
		name->n = (size_t)(at - name->text);
}

static struct tally_row *row_of_object(struct diff_side *side, struct map *rows,
				       enum diff_kind kind, uint32_t object)
{
	uint32_t known = map_get(rows, object);
	struct tally_row *row;
	struct name name;

	if (known != MAP_NONE)
		return side->rows.rows[known];
	name_clear(&name);
	name_lock(&name, side->tables, object);
	row = diff_row(side, kind, &name);
	if (row == NULL || map_set(rows, object, row->index) < 0)
		return NULL;
	return row;
}

static int take_wait(void *context, const struct story_wait *w)
{
	struct diff_side *side = context;
	struct tally_row *row;

	if (w->type != TRACE_LOCK_WAIT_EVENT || !is_wanted(side, w->thread))
		return 0;
	row = row_of_object(side, &side->row_of_wait, DIFF_LOCK_WAIT, w->object);
	if (row == NULL)
		return -ENOMEM;
	add_took(side, row, w->begin_ns, w->end_ns);
	row->errors += w->error != 0;
	return 0;
}

static int take_hold(void *context, const struct story_hold *h)
{
	struct diff_side *side = context;
	struct tally_row *row;

	if (!is_wanted(side, h->thread))
		return 0;
	row = row_of_object(side, &side->row_of_hold, DIFF_LOCK_HOLD, h->object);
	if (row == NULL)
		return -ENOMEM;
	add_took(side, row, h->begin_ns, h->end_ns);
	return 0;
}

static int take_call(void *context, const struct story_call *c)
{
	struct diff_side *side = context;
	const struct table_file *file = c->file != 0 ? tables_file(side->tables, c->file) : NULL;
	uint32_t path = c->path != 0                                  ? c->path
			: file != NULL && file->kind == TRACE_FD_FILE ? file->name
								      : 0;
	uint64_t key = (uint64_t)c->number << 32 | path;
	uint32_t known;
	const struct table_text *text;
	struct tally_row *row;
	struct name name;

	/* what waits for work takes as long as there is none */
	if (c->is_idle || !is_wanted(side, c->thread))
		return 0;
	known = map_get(&side->row_of_call, key);
	if (known != MAP_NONE) {
		row = side->rows.rows[known];
	} else {
		name_clear(&name);
		calls_number_name(&name, c->number);
		text = path != 0 ? tables_string(side->tables, path) : NULL;
		if (text != NULL && text->length > 0) {
			name_add(&name, " ", 1);
			name_add(&name, text->text, text->length);
		}
		row = diff_row(side, DIFF_CALLS, &name);
		/* files without end: those that have the row of all others need not be remembered */
		if (row == NULL ||
		    (row->key != TALLY_OTHERS && map_set(&side->row_of_call, key, row->index) < 0))
			return -ENOMEM;
	}
	add_took(side, row, c->begin_ns, c->end_ns);
	row->errors += !c->is_open && c->result < 0 && c->result >= -4095;
	if (!c->is_open && c->result > 0 && calls_moves_bytes(c->number))
		row->bytes += (uint64_t)c->result;
	return 0;
}

struct story_listener diff_listener(struct diff_side *side)
{
	struct listeners *l = &side->listeners;

	threads_init(&side->by_thread, side->from_ns, side->to_ns);
	side->tasks.from_ns = side->regions.from_ns = side->from_ns;
	side->tasks.to_ns = side->regions.to_ns = side->to_ns;
	side->tasks.threads = side->regions.threads = side->threads;
	listeners_add(l, (struct story_listener){
				 .context = side,
				 .call = take_call,
				 .wait = take_wait,
				 .hold = take_hold,
			 });
	listeners_add(l, threads_listener(&side->by_thread));
	listeners_add(l, tasks_listener(&side->tasks));
	listeners_add(l, regions_listener(&side->regions));
	return listeners_all(l);
}

static int add_thread(struct diff_side *side, const struct threads_row *t)
{
	struct tally_row *row;
	struct name name;

	name_clear(&name);
	name_thread(&name, side->tables, t->thread);
	diff_group(&name);
	for (unsigned state = 0; state < TRACE_STATES; state++) {
		if (t->state_ns[state] == 0)
			continue;
		row = diff_row(side, (enum diff_kind)state, &name);
		if (row == NULL)
			return -ENOMEM;
		histogram_add(&row->took, t->state_ns[state]);
	}
	return 0;
}

/* What somebody else has added up under a str. */
static int add_named(struct diff_side *side, enum diff_kind kind, uint32_t string,
		     const struct histogram *took)
{
	const struct table_text *text = tables_string(side->tables, string);
	struct tally_row sum = {.took = *took}, *row;
	struct name name;

	if (took->n == 0)
		return 0;
	name_clear(&name);
	if (text != NULL && text->length > 0)
		name_add(&name, text->text, text->length);
	else
		name_format(&name, "(unnamed)");
	row = diff_row(side, kind, &name);
	if (row == NULL)
		return -ENOMEM;
	tally_merge(row, &sum);
	return 0;
}

int diff_end(struct diff_side *side, uint64_t end_ns)
{
	int r = threads_group(&side->by_thread, THREADS_BY_NONE, side->tables, side->threads);

	if (r == 0)
		r = tasks_end(&side->tasks, end_ns);
	if (r == 0)
		r = regions_end(&side->regions, end_ns);
	for (uint32_t i = 0; i < side->by_thread.rows_n && r == 0; i++)
		r = add_thread(side, &side->by_thread.rows[i]);
	for (uint32_t i = 0; i < side->tasks.types_n && r == 0; i++)
		r = add_named(side, DIFF_TASKS, side->tasks.types[i].type,
			      &side->tasks.types[i].latency);
	for (uint32_t i = 0; i < side->regions.names_n && r == 0; i++)
		r = add_named(side, DIFF_REGIONS, side->regions.names[i].name,
			      &side->regions.names[i].length);
	return r;
}

uint64_t diff_tasks(const struct diff_side *side)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < side->tasks.types_n; i++)
		n += side->tasks.types[i].latency.n;
	return n;
}

void diff_fini(struct diff_side *side)
{
	for (uint32_t i = 0; i < side->rows.n && i < side->names_room; i++)
		free(side->names[i]);
	free(side->names);
	tally_fini(&side->rows);
	map_fini(&side->row_of_wait);
	map_fini(&side->row_of_hold);
	map_fini(&side->row_of_call);
	threads_fini(&side->by_thread);
	tasks_fini(&side->tasks);
	regions_fini(&side->regions);
}

const char *diff_kind_name(unsigned kind)
{
	static const char *const names[DIFF_KINDS] = {
		[TRACE_UNKNOWN] = "threads.unknown",
		[TRACE_RUNNING] = "threads.running",
		[TRACE_RUNNABLE] = "threads.runnable",
		[TRACE_LOCK] = "threads.lock",
		[TRACE_WAIT] = "threads.wait",
		[TRACE_SYSCALL] = "threads.syscall",
		[TRACE_IDLE] = "threads.idle",
		[TRACE_SPIN] = "threads.spin",
		[DIFF_LOCK_WAIT] = "locks.wait",
		[DIFF_LOCK_HOLD] = "locks.hold",
		[DIFF_CALLS] = "calls",
		[DIFF_TASKS] = "tasks",
		[DIFF_REGIONS] = "regions",
		[DIFF_OTHERS] = "others",
	};

	return kind < DIFF_KINDS ? names[kind] : "others";
}

static const struct tally_row *row_like(const struct diff_side *side, const struct tally_row *row)
{
	return row->key == TALLY_OTHERS ? side->rows.others : tally_find(&side->rows, row->key);
}

int diff_pairs(const struct diff_side *a, const struct diff_side *b, struct diff_pair **ret,
	       uint32_t *ret_n)
{
	struct diff_pair *pairs = malloc((a->rows.n + b->rows.n + 1) * sizeof(*pairs));
	uint32_t n = 0;

	if (pairs == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < a->rows.n; i++) {
		const struct tally_row *row = a->rows.rows[i];

		pairs[n++] = (struct diff_pair){
			(uint8_t)row->value, a->names[i], {row, row_like(b, row)}};
	}
	for (uint32_t i = 0; i < b->rows.n; i++) {
		const struct tally_row *row = b->rows.rows[i];

		if (row_like(a, row) == NULL)
			pairs[n++] =
				(struct diff_pair){(uint8_t)row->value, b->names[i], {NULL, row}};
	}
	*ret = pairs;
	*ret_n = n;
	return 0;
}

double diff_value(const struct tally_row *row, enum diff_measure measure, double unit)
{
	if (row == NULL)
		return 0;
	switch (measure) {
	case DIFF_TOTAL:
		return (double)row->took.sum / unit;
	case DIFF_COUNT:
		return (double)row->took.n / unit;
	case DIFF_ERRORS:
		return (double)row->errors / unit;
	case DIFF_P50:
		return (double)histogram_at(&row->took, 0.5);
	case DIFF_P99:
		return (double)histogram_at(&row->took, 0.99);
	case DIFF_MAX:
		return (double)row->took.max;
	case DIFF_MEASURES:
		break;
	}
	return 0;
}
