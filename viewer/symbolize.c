#include "viewer/symbolize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/decode.h"
#include "viewer/varint.h"

#define BATCH       64
#define FRAMES_MAX  (UINT32_C(1) << 22) /* a large C++ program has 100,000 */
#define LINES_MAX   (UINT32_C(1) << 10) /* of one frame, kept from symbols that were there */
#define TEXT_MAX    (UINT32_C(64) << 10)
#define STRINGS_MAX (UINT32_MAX - 8)
#define TABLE_BYTES (UINT32_C(256) << 10) /* a table is written when it has so many */

/* A table on its way out. */
struct rows {
	uint8_t *bytes;
	uint32_t used, records;
};

struct work {
	struct symbolize *ret;
	struct rewrite *w;
	struct resolver *resolver;
	const struct tables *tables;
	struct map seen;
	uint64_t *frames;
	uint32_t frames_n, frames_room;
	struct map
		strings_of; /* by the hash of the text: a string of the trace's, and behind those one of @added */
	struct added {
		const char *text; /* the resolver's */
		size_t n;
		uint32_t id;
	} * added;
	uint32_t added_n, added_room;
	struct rows strings, symbols;
};

/* Frames */

static int add_frame(struct work *k, uint64_t frame)
{
	uint32_t room = k->frames_room == 0 ? 1024 : 2 * k->frames_room;
	uint64_t *frames;

	if (TRACE_FRAME_MODULE(frame) == 0 || TRACE_FRAME_MODULE(frame) == TRACE_FRAME_NAMED ||
	    map_get(&k->seen, frame) != MAP_NONE)
		return 0;
	if (k->frames_n == FRAMES_MAX) {
		k->ret->left_out++;
		return 0;
	}
	if (k->frames_n == k->frames_room) {
		frames = realloc(k->frames, room * sizeof(*frames));
		if (frames == NULL)
			return -ENOMEM;
		k->frames = frames;
		k->frames_room = room;
	}
	if (map_set(&k->seen, frame, 1) < 0)
		return -ENOMEM;
	k->frames[k->frames_n++] = frame;
	return 0;
}

/* Where threads begin: what thread.create says. */
static int add_starts(struct work *k, struct reader *r, struct why *why)
{
	uint8_t *raw = malloc(r->raw_max + READER_PAD);
	struct reader_summary summary;
	struct event batch[BATCH];
	struct decoder decoder;
	int error = raw != NULL ? 0 : -ENOMEM, n;

	for (size_t i = 0; i < r->blocks_n && error == 0; i++) {
		struct reader_block *block = &r->blocks[i];

		if (block->kind != TRACE_BLOCK_EVENTS || block->is_bad ||
		    reader_is_switches(block) ||
		    (reader_summary(r, block, &summary) == 0 &&
		     summary.classes[TRACE_CLASS_THREAD] == 0))
			continue;
		error = reader_load(r, block, raw, why);
		if (error < 0)
			break;
		decoder_init(&decoder, &k->tables->schema, block);
		while (error == 0 && (n = decoder_next(&decoder, raw, batch, BATCH)) > 0)
			for (int e = 0; e < n && error == 0; e++)
				if (batch[e].type == TRACE_THREAD_CREATE_EVENT)
					error = add_frame(
						k,
						tables_frame_at(k->tables, batch[e].arguments[1]));
	}
	free(raw);
	return error == -EBADMSG ? 0 : error;
}

static int add_frames(struct work *k, struct reader *r, struct why *why)
{
	const struct tables *t = k->tables;
	int error = 0;

	for (uint32_t i = 0; i < t->stacks_n && error == 0; i++)
		for (uint32_t f = 0; f < t->stacks[i].depth && error == 0; f++)
			error = add_frame(k, t->stacks[i].frames[f]);
	for (uint32_t i = 0; i < t->objects_n && error == 0; i++)
		error = add_frame(k, t->objects[i].site);
	if (error == 0)
		error = add_starts(k, r, why);
	k->ret->frames = k->frames_n;
	/* symbols of what nothing here refers to are kept, too */
	for (uint32_t i = 0; i < t->symbols_n && error == 0; i++)
		error = add_frame(k, t->symbols[i].frame);
	return error;
}

/* Tables */

static int write_rows(struct work *k, uint8_t kind, struct rows *rows)
{
	int error = 0;

	if (rows->records > 0)
		error = rewrite_table(k->w, kind, rows->records, rows->bytes, rows->used);
	rows->used = rows->records = 0;
	return error;
}

/* Strings are there before the symbols that need them. */
static int write_tables(struct work *k)
{
	int error = write_rows(k, TRACE_BLOCK_STRINGS, &k->strings);

	return error < 0 ? error : write_rows(k, TRACE_BLOCK_SYMBOLS, &k->symbols);
}

static uint64_t hash(const char *text, size_t n)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
	return h;
}

static int know_strings(struct work *k)
{
	const struct tables *t = k->tables;

	for (uint32_t i = 0; i < t->strings_n; i++)
		if (map_set(&k->strings_of, hash(t->strings[i].text, t->strings[i].length), i) < 0)
			return -ENOMEM;
	return 0;
}

/* The identifier of @text, when the trace has it, or it was added. */
static bool find_string(const struct work *k, uint64_t key, const char *text, size_t n,
			uint32_t *ret)
{
	const struct tables *t = k->tables;
	uint32_t at = map_get(&k->strings_of, key);

	if (at < t->strings_n) {
		*ret = t->strings[at].id;
		return t->strings[at].length == n && memcmp(t->strings[at].text, text, n) == 0;
	}
	if (at == MAP_NONE)
		return false;
	*ret = k->added[at - t->strings_n].id;
	return k->added[at - t->strings_n].n == n &&
	       memcmp(k->added[at - t->strings_n].text, text, n) == 0;
}

static int note_added(struct work *k, uint64_t key, const struct added *added)
{
	uint32_t room = k->added_room == 0 ? 256 : 2 * k->added_room;
	struct added *more;

	if (k->added_n == k->added_room) {
		more = realloc(k->added, room * sizeof(*more));
		if (more == NULL)
			return -ENOMEM;
		k->added = more;
		k->added_room = room;
	}
	k->added[k->added_n] = *added;
	return map_set(&k->strings_of, key, k->tables->strings_n + k->added_n++);
}

/* The identifier of a text; 0 for "", and when there is no more room for numbers. */
static int string_of(struct work *k, const char *text, uint32_t *ret)
{
	size_t n = strnlen(text, TEXT_MAX);
	uint64_t key = hash(text, n);
	int error = 0;
	uint8_t *to;

	*ret = 0;
	if (n == 0 || k->w->strings >= STRINGS_MAX || find_string(k, key, text, n, ret))
		return 0;
	if (k->strings.used > TABLE_BYTES)
		error = write_rows(k, TRACE_BLOCK_STRINGS, &k->strings);
	if (error == 0)
		error = note_added(k, key, &(struct added){text, n, k->w->strings});
	if (error < 0)
		return error;
	*ret = k->w->strings++;
	to = varint_put(k->strings.bytes + k->strings.used, *ret);
	to = varint_put(to, n);
	memcpy(to, text, n);
	k->strings.used = (uint32_t)(to + n - k->strings.bytes);
	k->strings.records++;
	return 0;
}

static int put_record(struct work *k, uint64_t frame, const struct table_line *lines, uint32_t n)
{
	struct rows *rows = &k->symbols;
	uint8_t *to = rows->bytes + rows->used;

	to = varint_put(varint_put(to, frame), n);
	for (uint32_t i = 0; i < n; i++) {
		to = varint_put(to, lines[i].function);
		to = varint_put(to, lines[i].file);
		to = varint_put(to, lines[i].line);
	}
	rows->used = (uint32_t)(to - rows->bytes);
	rows->records++;
	return rows->used > TABLE_BYTES ? write_tables(k) : 0;
}

static int put_symbol(struct work *k, uint64_t frame)
{
	struct resolver_symbol found = resolver_find(k->resolver, frame);
	const struct table_symbol *old = tables_symbol(k->tables, frame);
	struct table_line lines[LINES_MAX];
	int error = 0;

	if (found.n == 0 && old != NULL && old->n > 0) {
		k->ret->kept++;
		return put_record(k, frame, old->lines, old->n < LINES_MAX ? old->n : LINES_MAX);
	}
	if (found.n == 0 || found.n > LINES_MAX)
		return 0;
	for (uint32_t i = 0; i < found.n && error == 0; i++) {
		lines[i].line = found.lines[i].line;
		error = string_of(k, found.lines[i].function, &lines[i].function);
		if (error == 0)
			error = string_of(k, found.lines[i].file, &lines[i].file);
	}
	k->ret->named++;
	return error < 0 ? error : put_record(k, frame, lines, found.n);
}

static int compare_frames(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* A module's places one after the other. */
static int put_symbols(struct work *k, const struct watch *watch)
{
	int error = know_strings(k);

	if (k->frames_n > 0)
		qsort(k->frames, k->frames_n, sizeof(*k->frames), compare_frames);
	for (uint32_t i = 0; i < k->frames_n && error == 0; i++)
		error = watch_step(watch, i, k->frames_n) ? -EINTR : put_symbol(k, k->frames[i]);
	return error < 0 ? error : write_tables(k);
}

static bool is_wanted(const struct reader_block *block)
{
	return block->kind != TRACE_BLOCK_SYMBOLS;
}

static int write_all(struct work *k, const struct streams *s, const struct verify *v,
		     const struct watch *watch)
{
	struct reader *r = k->w->reader;
	int error = rewrite_header(k->w, v->first_ns, NULL, 0);

	if (error == 0)
		error = repair_blocks(&k->ret->copied, k->w, s, is_wanted, watch);
	if (error == 0 && verify_is_damaged(v, r, s))
		error = repair_note(&k->ret->copied, k->w);
	if (error == 0)
		error = put_symbols(k, watch);
	if (error == 0)
		error = rewrite_end(k->w,
				    r->has_trailer ? r->trailer.end_reason : TRACE_END_UNKNOWN,
				    r->has_trailer ? r->trailer.end_value : 0);
	return error;
}

int symbolize_write(struct symbolize *ret, struct reader *r, const struct streams *s,
		    const struct tables *t, const struct verify *v, struct resolver *x, int fd,
		    const struct watch *watch, struct why *why)
{
	struct rewrite w;
	struct work k = {.ret = ret, .w = &w, .resolver = x, .tables = t};
	int error = rewrite_begin(&w, r, t, v->last_ns, fd, why);

	memset(ret, 0, sizeof(*ret));
	/* and the longest record that may still come in when a table is almost full */
	k.strings.bytes = malloc(TABLE_BYTES + TEXT_MAX + 2 * VARINT_BYTES_MAX);
	k.symbols.bytes = malloc(TABLE_BYTES + (3 * LINES_MAX + 2) * VARINT_BYTES_MAX);
	if (k.strings.bytes == NULL || k.symbols.bytes == NULL)
		error = -ENOMEM;
	if (error == 0)
		error = add_frames(&k, r, why);
	if (error == 0)
		error = write_all(&k, s, v, watch);
	ret->bytes = w.bytes;
	rewrite_fini(&w);
	free(k.strings.bytes);
	free(k.symbols.bytes);
	free(k.frames);
	free(k.added);
	map_fini(&k.seen);
	map_fini(&k.strings_of);
	if (error == -ENOMEM)
		why_set(why, "%s: out of memory", r->name);
	return error;
}
