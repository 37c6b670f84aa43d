/*
 * tables: what the numbers in events stand for: strings, stacks, objects, modules, symbols, threads, files.
 *
 * A trace's tables are small beside its events, and are kept whole, up to TABLES_BYTES_MAX: beyond that, names are missing
 * and are counted.
 */
#pragma once

#include "viewer/map.h"
#include "viewer/reader.h"
#include "viewer/schema.h"

struct resolver;

#define TABLES_BYTES_MAX (UINT64_C(256) << 20)

struct table_text {
	const char *
		text; /* ends with a zero byte, which @length does not count; may have others within */
	uint32_t length, id;
};

struct table_stack {
	const uint64_t *frames; /* leaf first */
	uint32_t depth;
};

struct table_object {
	uint64_t address, site, born_ns;
	uint32_t id, generation, name;
	uint8_t kind;
	uint32_t flags;
};

struct table_module {
	uint64_t start, end, file_offset, bias;
	uint32_t id, path, build_id, flags;
};

struct table_line {
	uint32_t function, file, line;
};

struct table_symbol {
	uint64_t frame;
	const struct table_line *lines; /* innermost first */
	uint32_t n;
};

struct table_thread {
	uint64_t pthread, begun_ns;
	uint32_t index, tid, parent, name;
};

struct table_file {
	uint32_t id, number, name;
	uint8_t kind;
};

struct table_pair {
	uint32_t key, value; /* strings */
};

struct tables {
	struct map strings_of, stacks_of, objects_of, modules_of, symbols_of, threads_of, files_of;
	struct table_text *strings;
	struct table_stack *stacks;
	struct table_object *objects;
	struct table_module *modules;
	struct table_symbol *symbols;
	struct table_thread *threads;
	struct table_file *files;
	struct table_pair *metadata;
	uint32_t strings_n, stacks_n, objects_n, modules_n, symbols_n, threads_n, files_n,
		metadata_n;

	uint32_t known[NEEDS]; /* identifiers are known below these */
	uint64_t bytes;
	uint64_t left_out; /* records beyond TABLES_BYTES_MAX */
	struct schema schema;
	uint32_t schema_bad; /* types that could not be as they were declared */
	struct why schema_why;
	struct resolver *resolver; /* who is asked for places that have no symbol; NULL: nobody */

	struct tables_chunk *chunks; /* texts, frames and lines */
	size_t chunk_used;
};

void tables_init(struct tables *t);
void tables_fini(struct tables *t);

/*
 * Takes the records of @block, unpacked in @raw; blocks of other kinds have none. Returns 0, or -EBADMSG with @why: then
 * none of them is taken.
 */
int tables_add(struct tables *t, const struct reader_block *block, const uint8_t *raw,
	       struct why *why);

/* All of a trace. Blocks that make no sense are damage from now on. 0, -ENOMEM, or what reading said. */
int tables_load(struct tables *t, struct reader *r, struct why *why);

/* NULL, and for strings NULL or "" (identifier 0), when there is none. */
const struct table_text *tables_string(const struct tables *t, uint64_t id);
const char *tables_text(const struct tables *t, uint64_t id);
const struct table_stack *tables_stack(const struct tables *t, uint64_t id);
const struct table_object *tables_object(const struct tables *t, uint64_t id);
const struct table_module *tables_module(const struct tables *t, uint64_t id);
const struct table_symbol *tables_symbol(const struct tables *t, uint64_t frame);
const struct table_thread *tables_thread(const struct tables *t, uint64_t index);
const struct table_file *tables_file(const struct tables *t, uint64_t id);
/* The word that a frame at @address has, by the module that it lies in; 0 when it lies in none. */
uint64_t tables_frame_at(const struct tables *t, uint64_t address);
/* The value of @key, or NULL. */
const char *tables_metadata(const struct tables *t, const char *key);

/* An event opens or names a file: from then on it is known. 0 or -ENOMEM. */
int tables_set_file(struct tables *t, const struct table_file *file);
