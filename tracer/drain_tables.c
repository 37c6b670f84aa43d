#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/stacks.h"
#include "tracer/drain_private.h"
#include "tracer/object.h"

#define DEPTH_MAX         1100                /* depth= allows 1024 */
#define TEXTS_MAX         (UINT32_C(8) << 20) /* of strings that are known again; then it begins anew */
#define FLUSH_BYTES       (UINT32_C(64) << 10)
#define TEXT_OF_NOTES_MAX (UINT32_C(64) << 10)
#define NUMBER_MAX        TRACE_NUMBER_MAX
#define NAME_MAX_BYTES    1024 /* of an object: longer ones are cut */
#define WIDE_NUMBERS      12   /* in the longest record but for texts and stacks */

uint8_t *payload_room(struct payload *p, uint32_t bytes)
{
	if (p->room - p->used < bytes) {
		uint32_t room = p->room != 0 ? p->room : 1024;
		uint8_t *grown;

		while (room - p->used < bytes)
			room *= 2;
		grown = realloc(p->bytes, room);
		if (grown == NULL)
			return NULL;
		p->bytes = grown;
		p->room = room;
	}
	return p->bytes + p->used;
}

static void payload_end(struct payload *p, const uint8_t *at)
{
	p->used = (uint32_t)(at - p->bytes);
	p->records++;
}

/* Tables in the order in which they lean on each other. */
static const uint8_t table_order[] = {
	TRACE_BLOCK_STRINGS, TRACE_BLOCK_SCHEMA,  TRACE_BLOCK_METADATA, TRACE_BLOCK_MODULES,
	TRACE_BLOCK_STACKS,  TRACE_BLOCK_OBJECTS, TRACE_BLOCK_THREADS,  TRACE_BLOCK_FILES,
};

void drain_tables_write(struct drain *d)
{
	for (size_t i = 0; i < sizeof(table_order); i++) {
		struct payload *p = &d->tables[table_order[i]];
		struct trace_block_header h = {
			.kind = table_order[i],
			.generation = d->generation,
			.thread = TRACE_ALL,
			.sequence = d->tables_sequence,
			.events = p->records,
			.first_ns = d->now_ns,
			.last_ns = d->now_ns,
		};

		if (p->records == 0)
			continue;
		d->tables_sequence++;
		if (h.kind != TRACE_BLOCK_STRINGS)
			h.needs_strings = d->known[TABLE_STRINGS];
		if (h.kind == TRACE_BLOCK_STACKS || h.kind == TRACE_BLOCK_OBJECTS)
			h.needs_modules = d->known[TABLE_MODULES];
		writer_block(d->writer, &h, NULL, 0, p->bytes, p->used);
		d->generation_bytes += p->used;
		p->used = p->records = 0;
	}
	memcpy(d->known_written, d->known, sizeof(d->known));
}

static void write_when_long(struct drain *d, enum trace_block_kind kind)
{
	if (d->tables[kind].used > FLUSH_BYTES)
		drain_tables_write(d);
}

static void note_known(struct drain *d, enum drain_table table, uint32_t number)
{
	if (d->known[table] <= number)
		d->known[table] = number + 1;
}

/* Strings */

static void forget_strings(struct drain *d)
{
	memset(d->strings, 0, d->strings_room * sizeof(*d->strings));
	d->strings_n = 0;
	d->texts.used = 0;
}

static bool grow_strings(struct drain *d)
{
	uint32_t room = d->strings_room != 0 ? d->strings_room * 2 : 1024;
	struct drain_string *old = d->strings, *grown;

	grown = calloc(room, sizeof(*grown));
	if (grown == NULL)
		return d->strings_n + 1 < d->strings_room;
	for (uint32_t i = 0; i < d->strings_room; i++) {
		uint32_t at = old[i].hash & (room - 1);

		if (old[i].number == 0)
			continue;
		while (grown[at].number != 0)
			at = (at + 1) & (room - 1);
		grown[at] = old[i];
	}
	free(old);
	d->strings = grown;
	d->strings_room = room;
	return true;
}

static uint32_t hash_text(const char *text, uint32_t length)
{
	uint64_t h = length, word;

	for (; length >= 8; length -= 8, text += 8) {
		memcpy(&word, text, 8);
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	word = 0;
	memcpy(&word, text, length);
	h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(h >> 32 ^ h >> 13);
}

/* Other bytes than those of UTF-8 are the reader's affair. */
uint32_t drain_string(struct drain *d, const char *text, uint32_t length)
{
	struct payload *p = &d->tables[TRACE_BLOCK_STRINGS];
	uint32_t hash, at, number;
	struct drain_string *entry;
	uint8_t *to, *kept;

	if (length == 0)
		return 0;
	if (d->texts.used > TEXTS_MAX)
		forget_strings(d);
	if (d->strings_n * 2 >= d->strings_room && !grow_strings(d))
		return 0;
	hash = hash_text(text, length);
	for (at = hash & (d->strings_room - 1); d->strings[at].number != 0;
	     at = (at + 1) & (d->strings_room - 1)) {
		entry = &d->strings[at];
		if (entry->hash == hash && entry->length == length &&
		    memcmp(d->texts.bytes + entry->at, text, length) == 0)
			return entry->number;
	}
	if (p->used + length + 2 * NUMBER_MAX > TRACE_RAW_MAX / 2)
		drain_tables_write(d);
	to = payload_room(p, length + 2 * NUMBER_MAX);
	kept = payload_room(&d->texts, length);
	if (to == NULL || kept == NULL || d->known[TABLE_STRINGS] == UINT32_MAX)
		return 0;
	number = d->known[TABLE_STRINGS] != 0 ? d->known[TABLE_STRINGS] : 1;
	to = trace_encode(trace_encode(to, number), length);
	memcpy(to, text, length);
	payload_end(p, to + length);
	memcpy(kept, text, length);
	d->strings[at] = (struct drain_string){hash, number, d->texts.used, length};
	d->texts.used += length;
	d->strings_n++;
	note_known(d, TABLE_STRINGS, number);
	return number;
}

static uint32_t string_of(struct drain *d, const char *text)
{
	return drain_string(d, text, (uint32_t)strlen(text));
}

/* A string of the segment's. */
static uint32_t string_at(struct drain *d, uint32_t id)
{
	char text[4096];

	segment_copy_text(d->s, id, text, sizeof(text));
	return string_of(d, text);
}

/* Modules: all that there are, in the first pass and whenever there are others. */

static uint32_t module_print(const struct segment_module *m)
{
	return (uint32_t)(m->start ^ m->start >> 32) * 31 + (uint32_t)m->end * 17 + m->path + 1;
}

static void put_module(struct drain *d, uint32_t index)
{
	const struct segment_module m = *segment_module_at(d->s, index);
	struct payload *p = &d->tables[TRACE_BLOCK_MODULES];
	uint32_t path = string_at(d, m.path), build_id = 0;
	uint32_t size = m.build_id_size <= sizeof(m.build_id) ? m.build_id_size : 0;
	char hex[2 * sizeof(m.build_id) + 1];
	uint8_t *at;

	for (uint32_t i = 0; i < size; i++)
		snprintf(hex + 2 * i, 3, "%02x", m.build_id[i]);
	build_id = drain_string(d, hex, 2 * size);
	at = payload_room(p, WIDE_NUMBERS * NUMBER_MAX);
	if (at == NULL)
		return;
	at = trace_encode(at, index + 1);
	at = trace_encode(at, m.start);
	at = trace_encode(at, m.end);
	at = trace_encode(at, m.file_offset);
	at = trace_encode(at, m.bias);
	at = trace_encode(at, path);
	at = trace_encode(at, build_id);
	at = trace_encode(at, (m.is_ours ? TRACE_MODULE_IS_OURS : 0) |
				      (m.is_runtime ? TRACE_MODULE_IS_RUNTIME : 0) |
				      (m.may_close ? TRACE_MODULE_MAY_CLOSE : 0));
	payload_end(p, at);
	note_known(d, TABLE_MODULES, index + 1);
	write_when_long(d, TRACE_BLOCK_MODULES);
}

void drain_modules(struct drain *d)
{
	const struct segment_header *h = d->s->header;
	uint32_t serial = atomic_load_explicit(&h->modules_serial, memory_order_acquire);
	uint32_t high = atomic_load_explicit(&h->modules_high, memory_order_acquire);

	if (serial == d->modules_serial && d->has_begun)
		return;
	d->modules_serial = serial;
	if (high > segment_count(d->s, SEGMENT_MODULES, 0))
		high = segment_count(d->s, SEGMENT_MODULES, 0);
	for (uint32_t i = 0; i < high && i < 0xfffe; i++) {
		const struct segment_module *m = segment_module_at(d->s, i);
		uint32_t print = module_print(m);

		if (atomic_load_explicit(&m->state, memory_order_acquire) == MODULE_FREE ||
		    d->modules[i] == print)
			continue;
		d->modules[i] = print;
		put_module(d, i);
	}
}

/* A module that came after the last look at all. */
static void note_module(struct drain *d, uint32_t module)
{
	if (module != 0 && module < 0xffff && module >= d->known[TABLE_MODULES] &&
	    module <= segment_count(d->s, SEGMENT_MODULES, 0)) {
		d->modules[module - 1] = module_print(segment_module_at(d->s, module - 1));
		put_module(d, module - 1);
	}
}

/* Stacks */

/* A frame as it is in a file: what names a string names one of the file's. */
static uint64_t frame_of(struct drain *d, uint64_t word)
{
	if (FRAME_MODULE(word) == 0xffff)
		return FRAME_TRUNCATED | string_at(d, (uint32_t)word);
	note_module(d, FRAME_MODULE(word));
	return word;
}

uint32_t drain_stack(struct drain *d, uint64_t id)
{
	struct payload *p = &d->tables[TRACE_BLOCK_STACKS];
	uint64_t frames[DEPTH_MAX], last = 0;
	const uint64_t *words;
	uint32_t depth, number;
	uint8_t *at;

	if (id >= segment_count(d->s, SEGMENT_STACK_WORDS, SEGMENT_LASTING))
		return 0;
	if (d->stacks[id] != 0)
		return d->stacks[id];
	words = stacks_frames(d->s, SEGMENT_LASTING, (uint32_t)id, &depth);
	if (words == NULL || d->known[TABLE_STACKS] == UINT32_MAX)
		return 0;
	depth = depth < DEPTH_MAX ? depth : DEPTH_MAX;
	for (uint32_t i = 0; i < depth; i++)
		frames[i] = frame_of(d, __atomic_load_n(&words[i], __ATOMIC_RELAXED));
	at = payload_room(p, (depth + 2) * NUMBER_MAX);
	if (at == NULL)
		return 0;
	number = d->known[TABLE_STACKS] != 0 ? d->known[TABLE_STACKS] : 1;
	at = trace_encode(trace_encode(at, number), depth);
	for (uint32_t i = 0; i < depth; i++) {
		at = trace_encode(at, trace_zigzag((int64_t)(frames[i] - last)));
		last = frames[i];
	}
	payload_end(p, at);
	note_known(d, TABLE_STACKS, number);
	d->stacks[id] = number;
	write_when_long(d, TRACE_BLOCK_STACKS);
	return number;
}

/* Objects: by the numbers that the host gave them. */

static uint64_t since_beginning(const struct drain *d, uint64_t ticks)
{
	uint64_t ns = drain_clock_ns(&d->clock, ticks), begun = d->s->header->begun_monotonic_ns;

	return ns > begun ? ns - begun : 0;
}

static bool put_object(struct drain *d, uint32_t number, uint32_t name, uint32_t flags)
{
	const struct trace_object *o = trace_object_at(d->s, number);
	struct payload *p = &d->tables[TRACE_BLOCK_OBJECTS];
	uint64_t site = o->site != 0 ? frame_of(d, o->site) : 0;
	uint8_t *at = payload_room(p, WIDE_NUMBERS * NUMBER_MAX);

	if (at == NULL)
		return false;
	at = trace_encode(at, number);
	at = trace_encode(at, o->kind);
	at = trace_encode(at, flags);
	at = trace_encode(at, atomic_load_explicit(&o->address, memory_order_relaxed));
	at = trace_encode(at, o->generation);
	at = trace_encode(at, name);
	at = trace_encode(at, site);
	at = trace_encode(at, since_beginning(d, o->born_ticks));
	payload_end(p, at);
	note_known(d, TABLE_OBJECTS, number);
	write_when_long(d, TRACE_BLOCK_OBJECTS);
	return true;
}

static bool is_written(const struct drain *d, uint64_t number)
{
	return d->objects[number / 8] & 1 << number % 8;
}

uint32_t drain_object(struct drain *d, uint64_t number)
{
	if (number == 0 || number > segment_count(d->s, SEGMENT_TRACE_OBJECTS, 0))
		return 0;
	if (!is_written(d, number)) {
		if (!put_object(d, (uint32_t)number, 0, 0))
			return 0;
		d->objects[number / 8] |= (uint8_t)(1 << number % 8);
	}
	return (uint32_t)number;
}

/* Many objects are made in a few places, and to look one up takes long. */
#define SITES_KNOWN 64
struct known_site {
	uint64_t address;
	uint32_t name;
};

static uint32_t name_at(struct drain *d, uint64_t address, bool is_site)
{
	char text[NAME_MAX_BYTES];

	return d->setup.name(d->setup.user, address, is_site, text, sizeof(text))
		       ? string_of(d, text)
		       : 0;
}

static uint32_t name_site(struct drain *d, uint64_t address, struct known_site *known)
{
	struct known_site *k = &known[address % SITES_KNOWN];

	if (k->address != address)
		*k = (struct known_site){address, name_at(d, address, true)};
	return k->name;
}

void drain_name_objects(struct drain *d)
{
	uint32_t n = segment_count(d->s, SEGMENT_TRACE_OBJECTS, 0);
	struct known_site known[SITES_KNOWN] = {{0}};

	for (uint32_t number = 1; d->setup.name != NULL && number <= n; number++) {
		const struct trace_object *o;
		uint32_t name, flags = 0;

		if (!is_written(d, number))
			continue;
		o = trace_object_at(d->s, number);
		name = name_at(d, atomic_load_explicit(&o->address, memory_order_relaxed), false);
		if (name == 0 && FRAME_ADDRESS(o->site) != 0) {
			name = name_site(d, FRAME_ADDRESS(o->site), known);
			flags = TRACE_OBJECT_MADE_AT;
		}
		if (name != 0)
			put_object(d, number, name, flags);
	}
}

void drain_file(struct drain *d, uint64_t file, uint64_t number, uint64_t kind, uint64_t name)
{
	struct payload *p = &d->tables[TRACE_BLOCK_FILES];
	uint8_t *at = payload_room(p, WIDE_NUMBERS * NUMBER_MAX);

	if (at == NULL)
		return;
	at = trace_encode(at, file);
	at = trace_encode(at, number);
	at = trace_encode(at, kind);
	at = trace_encode(at, name);
	payload_end(p, at);
	write_when_long(d, TRACE_BLOCK_FILES);
}

void drain_thread_record(struct drain *d, const struct drain_thread *t)
{
	struct payload *p = &d->tables[TRACE_BLOCK_THREADS];
	uint8_t *at = payload_room(p, WIDE_NUMBERS * NUMBER_MAX);

	if (at == NULL)
		return;
	at = trace_encode(at, t->number);
	at = trace_encode(at, (uint32_t)t->tid);
	at = trace_encode(at, t->pthread);
	at = trace_encode(at, t->parent);
	at = trace_encode(at, t->name);
	at = trace_encode(at, since_beginning(d, t->begun_ticks));
	payload_end(p, at);
	write_when_long(d, TRACE_BLOCK_THREADS);
}

/* What stands at the beginning */

static void put_schema(struct drain *d)
{
	struct payload *p = &d->tables[TRACE_BLOCK_SCHEMA];

	for (unsigned type = 0; type < 256; type++) {
		const char *name = drain_event_names[type];
		uint32_t text, arguments;
		uint8_t *at;

		if (name == NULL)
			continue;
		text = string_of(d, name);
		arguments = string_of(d, drain_event_arguments[type]);
		at = payload_room(p, WIDE_NUMBERS * NUMBER_MAX);
		if (at == NULL)
			return;
		at = trace_encode(at, type);
		at = trace_encode(at, text);
		at = trace_encode(at, arguments);
		at = trace_encode(at, drain_event_ends[type]);
		at = trace_encode(at, 0);
		payload_end(p, at);
	}
}

void drain_metadata(struct drain *d, uint32_t key, uint32_t value)
{
	struct payload *p = &d->tables[TRACE_BLOCK_METADATA];
	uint8_t *at = payload_room(p, 2 * NUMBER_MAX);

	if (at != NULL)
		payload_end(p, trace_encode(trace_encode(at, key), value));
}

static void put_metadata(struct drain *d, const char *key, const char *value)
{
	uint32_t k = string_of(d, key);

	drain_metadata(d, k, string_of(d, value));
}

/* Kept until the file is there. */
void drain_note(struct drain *d, const char *key, const char *value)
{
	uint32_t k = (uint32_t)strlen(key) + 1, v = (uint32_t)strlen(value) + 1;
	uint8_t *at;

	if (d->has_begun) {
		put_metadata(d, key, value);
		return;
	}
	if (d->notes.used + k + v > TEXT_OF_NOTES_MAX)
		return;
	at = payload_room(&d->notes, k + v);
	if (at == NULL)
		return;
	memcpy(at, key, k);
	memcpy(at + k, value, v);
	d->notes.used += k + v;
}

void drain_tables_begin(struct drain *d)
{
	const char *notes = (const char *)d->notes.bytes;
	char text[64];

	put_schema(d);
	put_metadata(d, "cprof", CPROF_VERSION);
	snprintf(text, sizeof(text), "%" PRIu32, (uint32_t)d->s->header->pid);
	put_metadata(d, "pid", text);
	/* as in each block's header, for who looks at one place only */
	snprintf(text, sizeof(text), "%" PRIu32 "/1000000", drain_clock_tick_fs(&d->clock));
	put_metadata(d, "tick.ns", text);
	for (uint32_t at = 0; at < d->notes.used;) {
		uint32_t value = at + (uint32_t)strlen(notes + at) + 1;

		put_metadata(d, notes + at, notes + value);
		at = value + (uint32_t)strlen(notes + value) + 1;
	}
	d->notes.used = 0;
	drain_modules(d);
	d->has_begun = true;
	drain_tables_write(d);
}

void drain_tables_destroy(struct drain *d)
{
	for (unsigned i = 0; i < TRACE_BLOCK_KINDS; i++)
		free(d->tables[i].bytes);
	free(d->texts.bytes);
	free(d->notes.bytes);
	free(d->strings);
}
