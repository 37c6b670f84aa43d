#include "viewer/calls.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/syscalls.h"

#define ERROR_BITS   12 /* the largest errno of the kernel is 4095 */
#define UNNAMED      (UINT64_C(1) << 63)
#define STACK_FRAMES 3 /* in a name */

bool calls_reads(uint32_t number)
{
	switch (number) {
	case SYS_read:
	case SYS_pread64:
	case SYS_readv:
	case SYS_preadv:
	case SYS_preadv2:
	case SYS_recvfrom:
	case SYS_recvmsg:
		return true;
	}
	return false;
}

bool calls_moves_bytes(uint32_t number)
{
	switch (number) {
	case SYS_write:
	case SYS_pwrite64:
	case SYS_writev:
	case SYS_pwritev:
	case SYS_pwritev2:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendfile:
	case SYS_splice:
	case SYS_copy_file_range:
		return true;
	}
	return calls_reads(number);
}

void calls_peer(struct name *name, const char *text, size_t length)
{
	const char *space = memchr(text, ' ', length), *arrow = memmem(text, length, "->", 2);

	if (space == NULL || arrow == NULL || arrow < space) {
		name_add(name, text, length);
		return;
	}
	name_add(name, text, (size_t)(space + 1 - text));
	name_add(name, arrow + 2, (size_t)(text + length - arrow - 2));
}

static uint64_t hash_text(const char *text, size_t n)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
	return hash & ~UNNAMED;
}

/* The row of whom the socket @file talks to; a socket gets its name when it is connected. */
static struct tally_row *row_of_peer(struct calls *c, const struct table_file *file)
{
	const struct table_text *text = tables_string(c->tables, file->name);
	uint32_t known;
	struct tally_row *row;
	struct name name;

	if (text == NULL || text->length == 0)
		return tally_at(&c->tally, UNNAMED | file->id);
	known = map_get(&c->peer_of, file->name);
	if (known != MAP_NONE)
		return c->tally.rows[known];
	name_clear(&name);
	calls_peer(&name, text->text, text->length);
	row = tally_at(&c->tally, hash_text(name.text, name.n));
	if (row == NULL)
		return NULL;
	if (row->took.n == 0)
		row->value = file->name;
	return map_set(&c->peer_of, file->name, row->index) < 0 ? NULL : row;
}

/* NULL when it belongs to none: *ret_error is -ENOMEM, or 0 for one that is left out. */
static struct tally_row *row_of(struct calls *c, const struct story_call *call, int *ret_error)
{
	const struct table_file *file = call->file != 0 ? tables_file(c->tables, call->file) : NULL;
	struct tally_row *row = NULL;
	uint64_t key;

	*ret_error = 0;
	switch (c->by) {
	case CALLS_NUMBER:
		key = call->number;
		break;
	case CALLS_FILE:
		if (call->file == 0)
			return NULL;
		key = file == NULL || file->name == 0 ? UNNAMED | call->file
						      : (uint64_t)file->kind << 32 | file->name;
		break;
	case CALLS_PATH:
		key = call->path != 0                               ? call->path
		      : file != NULL && file->kind == TRACE_FD_FILE ? file->name
								    : 0;
		if (key == 0)
			return NULL;
		break;
	case CALLS_PEER:
		if (file == NULL || file->kind != TRACE_FD_SOCKET)
			return NULL;
		row = row_of_peer(c, file);
		*ret_error = row != NULL ? 0 : -ENOMEM;
		return row;
	case CALLS_THREAD:
		key = call->thread;
		break;
	case CALLS_STACK:
		key = call->stack;
		break;
	case CALLS_ERROR:
		if (call->is_open || call->result >= 0 || call->result < -4095)
			return NULL;
		key = (uint64_t)call->number << ERROR_BITS | (uint64_t)-call->result;
		break;
	default:
		return NULL;
	}
	row = c->last != NULL && c->last->key == key ? c->last : tally_at(&c->tally, key);
	if (row == NULL) {
		*ret_error = -ENOMEM;
		return NULL;
	}
	if (row->took.n == 0)
		row->value = call->number;
	c->last = row;
	return row;
}

static bool is_longer(const struct story_call *a, const struct story_call *b)
{
	uint64_t a_ns = a->end_ns - a->begin_ns, b_ns = b->end_ns - b->begin_ns;

	if (a_ns != b_ns)
		return a_ns > b_ns;
	return a->begin_ns < b->begin_ns;
}

/* The heap, whose first is the shortest, is right again but for @i. */
static void sink(struct story_call *heap, uint64_t n, uint64_t i)
{
	struct story_call moved = heap[i];

	for (;;) {
		uint64_t child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && is_longer(&heap[child], &heap[child + 1]))
			child++;
		if (!is_longer(&moved, &heap[child]))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = moved;
}

static int keep_slow(struct calls *c, const struct story_call *call)
{
	struct story_call *grown;
	uint64_t i, above;

	c->slow_seen++;
	if (c->slow_n == c->slow_max) {
		if (c->slow_max == 0 || !is_longer(call, &c->slow[0]))
			return 0;
		c->slow[0] = *call;
		sink(c->slow, c->slow_n, 0);
		return 0;
	}
	/* a power of two is full */
	if ((c->slow_n & (c->slow_n - 1)) == 0) {
		grown = realloc(c->slow, (c->slow_n != 0 ? 2 * c->slow_n : 1) * sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		c->slow = grown;
	}
	for (i = c->slow_n++; i > 0; i = above) {
		above = (i - 1) / 2;
		if (!is_longer(&c->slow[above], call))
			break;
		c->slow[i] = c->slow[above];
	}
	c->slow[i] = *call;
	return 0;
}

static int compare_slow(const void *a, const void *b)
{
	return is_longer(a, b) ? -1 : is_longer(b, a);
}

void calls_sort_slow(struct calls *c)
{
	if (c->slow_n > 0)
		qsort(c->slow, c->slow_n, sizeof(*c->slow), compare_slow);
}

int calls_call(void *context, const struct story_call *call)
{
	struct calls *c = context;
	uint64_t took_ns = story_within(call->begin_ns, call->end_ns, c->from_ns,
					c->to_ns != 0 ? c->to_ns : UINT64_MAX);
	struct tally_row *row;
	int error;

	if (c->threads != NULL && !select_has_thread(c->threads, call->thread))
		return 0;
	c->n++;
	c->total_ns += took_ns;
	if (call->is_idle) {
		c->idle_n++;
		c->idle_ns += took_ns;
	}
	if (c->slower_ns != UINT64_MAX && call->end_ns - call->begin_ns > c->slower_ns &&
	    keep_slow(c, call) < 0)
		return -ENOMEM;
	row = row_of(c, call, &error);
	if (row == NULL) {
		c->left_out++;
		return error;
	}
	histogram_add(&row->took, took_ns);
	if (call->is_idle) {
		row->idle_n++;
		row->idle_ns += took_ns;
	}
	if (call->is_of_wait && !call->is_idle)
		row->wait_ns += took_ns;
	if (call->is_open)
		row->open_n++;
	else if (call->result < 0 && call->result >= -4095)
		row->errors++;
	else if (call->result > 0 && calls_moves_bytes(call->number))
		row->bytes += (uint64_t)call->result;
	return 0;
}

void calls_number_name(struct name *name, uint64_t number)
{
	const char *text = number <= UINT32_MAX ? syscalls_name((unsigned)number) : NULL;

	if (text != NULL)
		name_format(name, "%s", text);
	else
		name_format(name, "syscall#%" PRIu64, number);
}

uint64_t calls_error(const struct tally_row *row)
{
	return row->key & ((UINT64_C(1) << ERROR_BITS) - 1);
}

static void add_text(struct name *name, const struct tables *t, uint64_t id)
{
	const struct table_text *text = tables_string(t, id);

	if (text != NULL)
		name_add(name, text->text, text->length);
}

void calls_name(const struct calls *c, const struct tally_row *row, struct name *name)
{
	const struct table_text *text;

	if (row->key == TALLY_OTHERS) {
		name_format(name, "(others)");
		return;
	}
	switch (c->by) {
	case CALLS_NUMBER:
		calls_number_name(name, row->key);
		break;
	case CALLS_FILE:
		if (row->key & UNNAMED)
			name_file(name, c->tables, row->key & ~UNNAMED);
		else
			add_text(name, c->tables, row->key & UINT32_MAX);
		break;
	case CALLS_PATH:
		add_text(name, c->tables, row->key);
		break;
	case CALLS_PEER:
		text = row->key & UNNAMED ? NULL : tables_string(c->tables, row->value);
		if (text != NULL)
			calls_peer(name, text->text, text->length);
		else
			name_file(name, c->tables, row->key & ~UNNAMED);
		break;
	case CALLS_THREAD:
		name_thread(name, c->tables, (uint32_t)row->key);
		break;
	case CALLS_STACK:
		name_stack_host(name, c->tables, row->key, STACK_FRAMES);
		break;
	case CALLS_ERROR:
		calls_number_name(name, row->key >> ERROR_BITS);
		break;
	}
}

const char *calls_file_kind(const struct calls *c, const struct tally_row *row)
{
	const struct table_file *file;
	uint64_t kind = row->key >> 32 & 0xff;
	const char *text;

	if (c->by != CALLS_FILE || row->key == TALLY_OTHERS)
		return "";
	if (row->key & UNNAMED) {
		file = tables_file(c->tables, row->key & ~UNNAMED);
		kind = file != NULL ? file->kind : TRACE_FD_UNKNOWN;
	}
	text = name_value(TRACE_FD_OPEN_EVENT, 2, kind);
	return text != NULL ? text : "unknown";
}

void calls_fini(struct calls *c)
{
	tally_fini(&c->tally);
	free(c->slow);
	map_fini(&c->peer_of);
	c->slow = NULL;
	c->slow_n = 0;
}
