#include "viewer/tables.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/varint.h"

#define CHUNK_BYTES    (256 << 10)
#define MODULES_LOOKED 4096 /* for an address; programs have some hundred */

struct tables_chunk {
	struct tables_chunk *next;
	size_t size;
	_Alignas(8) char bytes[];
};

/* One block's records on their way in. */
struct records {
	struct tables *t;
	const uint8_t *at, *end;
	bool is_broken; /* a number did not end, or the payload did */
	bool is_looked; /* only whether they are whole */
};

/* Memory that stays until tables_fini(); NULL when there is none, or not for this. */
static void *keep(struct tables *t, size_t size)
{
	struct tables_chunk *chunk = t->chunks;
	void *at;

	size = (size + 7) & ~(size_t)7;
	if (chunk == NULL || t->chunk_used + size > chunk->size) {
		size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;

		if (t->bytes + room > TABLES_BYTES_MAX)
			return NULL;
		chunk = malloc(sizeof(*chunk) + room);
		if (chunk == NULL)
			return NULL;
		chunk->size = room;
		chunk->next = t->chunks;
		t->chunks = chunk;
		t->chunk_used = 0;
		t->bytes += room;
	}
	at = chunk->bytes + t->chunk_used;
	t->chunk_used += size;
	return at;
}

/* Room for one more in an array of @n. Returns the array, moved or not, or NULL; @array is as it was then. */
static void *more(struct tables *t, void *array, uint32_t n, size_t size)
{
	size_t room = n == 0 ? 16 : 2 * (size_t)n;
	void *bigger;

	if (n != 0 && (n < 16 || (n & (n - 1)) != 0))
		return array;
	if (t->bytes + room * size > TABLES_BYTES_MAX || n >= UINT32_MAX / 4)
		return NULL;
	bigger = realloc(array, room * size);
	if (bigger != NULL)
		t->bytes += (room - n) * size;
	return bigger;
}

/*
 * Puts @record at the end of an array, or over one of the same identifier: a table may be written again. Room for it is
 * counted; where there is none left, the record is.
 */
#define ADD(t, what, key, record)                                                            \
	do {                                                                                 \
		uint32_t add_at = map_get(&(t)->what##_of, (key));                           \
		void *add_array = (t)->what;                                                 \
		if (add_at != MAP_NONE) {                                                    \
			(t)->what[add_at] = (record);                                        \
			break;                                                               \
		}                                                                            \
		add_array = more((t), (t)->what, (t)->what##_n, sizeof(*(t)->what));         \
		if (add_array != NULL)                                                       \
			(t)->what = add_array;                                               \
		if (add_array == NULL || map_set(&(t)->what##_of, (key), (t)->what##_n) < 0) \
			(t)->left_out++;                                                     \
		else                                                                         \
			(t)->what[(t)->what##_n++] = (record);                               \
	} while (0)

static uint64_t number(struct records *r)
{
	uint64_t value = 0;
	const uint8_t *next;

	if (r->is_broken)
		return 0;
	next = varint_get(r->at, &value);
	if (next == NULL || next > r->end) {
		r->is_broken = true;
		return 0;
	}
	r->at = next;
	return value;
}

/* An identifier, or what else has 32 bits. */
static uint32_t small(struct records *r)
{
	uint64_t value = number(r);

	if (value > UINT32_MAX)
		r->is_broken = true;
	return (uint32_t)value;
}

static void raise_known(struct tables *t, enum reader_needs what, uint32_t id)
{
	if (id >= t->known[what] && id < UINT32_MAX)
		t->known[what] = id + 1;
}

static void add_string(struct records *r)
{
	struct tables *t = r->t;
	uint32_t id = small(r);
	uint64_t length = number(r);
	struct table_text string;
	char *text;

	if (r->is_broken || length > (uint64_t)(r->end - r->at)) {
		r->is_broken = true;
		return;
	}
	if (r->is_looked) {
		r->at += length;
		return;
	}
	raise_known(t, NEEDS_STRINGS, id);
	text = keep(t, length + 1);
	if (text != NULL) {
		memcpy(text, r->at, length);
		text[length] = '\0';
		string = (struct table_text){text, (uint32_t)length, id};
		ADD(t, strings, id, string);
	} else {
		t->left_out++;
	}
	r->at += length;
}

static void add_stack(struct records *r)
{
	struct tables *t = r->t;
	uint32_t id = small(r);
	uint64_t depth = number(r), word = 0, *frames;
	struct table_stack stack;

	/* each frame has a byte at least */
	if (r->is_broken || depth > (uint64_t)(r->end - r->at)) {
		r->is_broken = true;
		return;
	}
	frames = r->is_looked ? NULL : keep(t, (depth + 1) * sizeof(*frames));
	for (uint64_t i = 0; i < depth; i++) {
		word += (uint64_t)varint_signed(number(r));
		if (frames != NULL)
			frames[i] = word;
	}
	if (r->is_broken || r->is_looked)
		return;
	raise_known(t, NEEDS_STACKS, id);
	stack = (struct table_stack){frames, (uint32_t)depth};
	if (frames != NULL)
		ADD(t, stacks, id, stack);
	else
		t->left_out++;
}

static void add_object(struct records *r)
{
	struct tables *t = r->t;
	struct table_object o = {.id = small(r)};
	uint64_t kind;

	kind = number(r);
	o.kind = kind <= 255 ? (uint8_t)kind : TRACE_OBJECT_UNKNOWN;
	o.flags = small(r);
	o.address = number(r);
	o.generation = small(r);
	o.name = small(r);
	o.site = number(r);
	o.born_ns = number(r);
	if (r->is_broken || r->is_looked)
		return;
	raise_known(t, NEEDS_OBJECTS, o.id);
	ADD(t, objects, o.id, o);
}

static void add_module(struct records *r)
{
	struct tables *t = r->t;
	struct table_module m = {.id = small(r)};

	m.start = number(r);
	m.end = number(r);
	m.file_offset = number(r);
	m.bias = number(r);
	m.path = small(r);
	m.build_id = small(r);
	m.flags = small(r);
	if (r->is_broken || r->is_looked)
		return;
	raise_known(t, NEEDS_MODULES, m.id);
	ADD(t, modules, m.id, m);
}

static void add_symbol(struct records *r)
{
	struct tables *t = r->t;
	uint64_t frame = number(r), n = number(r);
	struct table_line *lines;
	struct table_symbol symbol;

	if (r->is_broken || n > (uint64_t)(r->end - r->at) / 3) {
		r->is_broken = true;
		return;
	}
	lines = r->is_looked ? NULL : keep(t, (n + 1) * sizeof(*lines));
	for (uint64_t i = 0; i < n; i++) {
		struct table_line line = {.function = small(r)};

		line.file = small(r);
		line.line = small(r);
		if (lines != NULL)
			lines[i] = line;
	}
	if (r->is_broken || r->is_looked)
		return;
	symbol = (struct table_symbol){frame, lines, (uint32_t)n};
	if (lines != NULL)
		ADD(t, symbols, frame, symbol);
	else
		t->left_out++;
}

static void add_thread(struct records *r)
{
	struct table_thread thread = {.index = small(r)};

	thread.tid = small(r);
	thread.pthread = number(r);
	thread.parent = small(r);
	thread.name = small(r);
	thread.begun_ns = number(r);
	if (!r->is_broken && !r->is_looked)
		ADD(r->t, threads, thread.index, thread);
}

int tables_set_file(struct tables *t, const struct table_file *file)
{
	uint64_t before = t->left_out;

	ADD(t, files, file->id, *file);
	return t->left_out == before ? 0 : -ENOMEM;
}

static void add_file(struct records *r)
{
	struct table_file file = {.id = small(r)};
	uint64_t kind;

	file.number = small(r);
	kind = number(r);
	file.kind = kind <= 255 ? (uint8_t)kind : TRACE_FD_UNKNOWN;
	file.name = small(r);
	if (!r->is_broken && !r->is_looked)
		tables_set_file(r->t, &file);
}

static void add_type(struct records *r)
{
	struct tables *t = r->t;
	uint64_t type = number(r), name = number(r), arguments = number(r), ends = number(r);

	number(r); /* the template, which a person reads */
	if (r->is_broken || r->is_looked)
		return;
	if (schema_declare(&t->schema, type, tables_text(t, name), tables_text(t, arguments), ends,
			   t->schema_bad == 0 ? &t->schema_why : NULL) == -EINVAL)
		t->schema_bad++;
}

static void add_pair(struct records *r)
{
	struct tables *t = r->t;
	struct table_pair pair = {.key = small(r)};
	struct table_pair *array;

	pair.value = small(r);
	if (r->is_broken || r->is_looked)
		return;
	array = more(t, t->metadata, t->metadata_n, sizeof(*array));
	if (array == NULL) {
		t->left_out++;
		return;
	}
	t->metadata = array;
	t->metadata[t->metadata_n++] = pair;
}

typedef void (*add_record)(struct records *r);

static add_record record_of(uint8_t kind)
{
	switch (kind) {
	case TRACE_BLOCK_STRINGS:
		return add_string;
	case TRACE_BLOCK_STACKS:
		return add_stack;
	case TRACE_BLOCK_OBJECTS:
		return add_object;
	case TRACE_BLOCK_MODULES:
		return add_module;
	case TRACE_BLOCK_SYMBOLS:
		return add_symbol;
	case TRACE_BLOCK_THREADS:
		return add_thread;
	case TRACE_BLOCK_FILES:
		return add_file;
	case TRACE_BLOCK_SCHEMA:
		return add_type;
	case TRACE_BLOCK_METADATA:
		return add_pair;
	default:
		return NULL;
	}
}

/* Goes through all of them. 0 or -EBADMSG. */
static int each_record(struct records *r, const struct reader_block *block, const uint8_t *raw,
		       add_record add, struct why *why)
{
	for (uint32_t i = 0; i < block->events; i++) {
		const uint8_t *from = r->at;

		if (r->at < r->end)
			add(r);
		if (r->is_broken || from == r->at) {
			why_set(why,
				"record %" PRIu32 " of %" PRIu32
				", at byte %td of its payload, is broken",
				i, block->events, from - raw);
			return -EBADMSG;
		}
	}
	if (r->at == r->end)
		return 0;
	why_set(why, "%td bytes follow its last record", r->end - r->at);
	return -EBADMSG;
}

int tables_add(struct tables *t, const struct reader_block *block, const uint8_t *raw,
	       struct why *why)
{
	struct records looked = {
		.t = t, .at = raw, .end = raw + block->raw_bytes, .is_looked = true};
	struct records r = {.t = t, .at = raw, .end = raw + block->raw_bytes};
	add_record add = record_of(block->kind);

	if (add == NULL)
		return 0;
	/* what is made of a trace has it or has it not, and is read by what it says */
	if (each_record(&looked, block, raw, add, why) < 0)
		return -EBADMSG;
	return each_record(&r, block, raw, add, why);
}

int tables_load(struct tables *t, struct reader *r, struct why *why)
{
	uint8_t *raw = malloc(r->raw_max + READER_PAD);
	struct why own;
	int error = 0;

	if (raw == NULL)
		error = -ENOMEM;
	for (size_t i = 0; i < r->blocks_n && error == 0; i++) {
		struct reader_block *block = &r->blocks[i];

		if (block->is_bad || record_of(block->kind) == NULL)
			continue;
		error = reader_load(r, block, raw, why);
		if (error == 0) {
			error = tables_add(t, block, raw, &own);
			if (error == -EBADMSG)
				reader_spoil(r, block, own.text);
		}
		if (error == -EBADMSG)
			error = 0;
	}
	free(raw);
	if (error == -ENOMEM)
		why_set(why, "%s: out of memory", r->name);
	return error;
}

void tables_init(struct tables *t)
{
	memset(t, 0, sizeof(*t));
	schema_init(&t->schema);
}

void tables_fini(struct tables *t)
{
	struct tables_chunk *next;

	for (; t->chunks != NULL; t->chunks = next) {
		next = t->chunks->next;
		free(t->chunks);
	}
	map_fini(&t->strings_of);
	map_fini(&t->stacks_of);
	map_fini(&t->objects_of);
	map_fini(&t->modules_of);
	map_fini(&t->symbols_of);
	map_fini(&t->threads_of);
	map_fini(&t->files_of);
	free(t->strings);
	free(t->stacks);
	free(t->objects);
	free(t->modules);
	free(t->symbols);
	free(t->threads);
	free(t->files);
	free(t->metadata);
	memset(t, 0, sizeof(*t));
}

#define GET(t, what, key)                                              \
	do {                                                           \
		uint32_t get_at = map_get(&(t)->what##_of, (key));     \
		return get_at != MAP_NONE ? &(t)->what[get_at] : NULL; \
	} while (0)

const struct table_text *tables_string(const struct tables *t, uint64_t id)
{
	static const struct table_text empty = {"", 0, 0};

	if (id == 0)
		return &empty;
	GET(t, strings, id);
}

const char *tables_text(const struct tables *t, uint64_t id)
{
	const struct table_text *string = tables_string(t, id);

	return string != NULL ? string->text : "";
}

const struct table_stack *tables_stack(const struct tables *t, uint64_t id)
{
	GET(t, stacks, id);
}

const struct table_object *tables_object(const struct tables *t, uint64_t id)
{
	GET(t, objects, id);
}

const struct table_module *tables_module(const struct tables *t, uint64_t id)
{
	GET(t, modules, id);
}

const struct table_symbol *tables_symbol(const struct tables *t, uint64_t frame)
{
	GET(t, symbols, frame);
}

const struct table_thread *tables_thread(const struct tables *t, uint64_t index)
{
	GET(t, threads, index);
}

const struct table_file *tables_file(const struct tables *t, uint64_t id)
{
	GET(t, files, id);
}

uint64_t tables_frame_at(const struct tables *t, uint64_t address)
{
	uint64_t frame = 0;

	/* where one file came in the place of another, the last of them */
	for (uint32_t i = 0; i < t->modules_n && i < MODULES_LOOKED; i++) {
		const struct table_module *m = &t->modules[i];

		if (address >= m->start && address < m->end && m->id > 0 &&
		    m->id < TRACE_FRAME_NAMED && address >> 48 == 0)
			frame = (uint64_t)m->id << 48 | address;
	}
	return frame;
}

const char *tables_metadata(const struct tables *t, const char *key)
{
	const char *found = NULL;

	for (uint32_t i = 0; i < t->metadata_n; i++)
		if (strcmp(tables_text(t, t->metadata[i].key), key) == 0)
			found = tables_text(t, t->metadata[i].value);
	return found;
}
