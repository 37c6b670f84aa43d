#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "viewer/export_perfetto.h"

enum { PACKET = 1 };
enum { /* InternedData */
       EVENT_CATEGORIES = 1,
       ANNOTATION_NAMES = 3,
       FUNCTION_NAMES = 5,
       FRAMES = 6,
       CALLSTACKS = 7,
       BUILD_IDS = 16,
       MAPPING_PATHS = 17,
       SOURCE_PATHS = 18,
       MAPPINGS = 19,
};

static const char *const categories[] = {"region",    "lock",   "wait",   "syscall", "idle",
					 "held",      "wake",   "task",   "lost",    "log",
					 "attribute", "labels", "signal", "exit"};
static const char *const annotations[] = {"result", "error",   "file",     "path",
					  "object", "holder",  "woken by", "category",
					  "held",   "waiters", "task",     "certainty"};

static uint64_t mixed(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

void perfetto_set_trace(struct perfetto *f, const uint8_t uuid[16])
{
	for (unsigned i = 0; i < 16; i++)
		f->uuid = mixed(f->uuid ^ uuid[i]);
}

uint64_t perfetto_uuid(const struct perfetto *f, enum of of, uint64_t id)
{
	uint64_t uuid = mixed(mixed(f->uuid ^ of) ^ id);

	return uuid != 0 ? uuid : 1;
}

/* ---- packets ---- */

void perfetto_put_text(struct proto *p, uint32_t field, const char *text)
{
	proto_text(p, field, text, strlen(text));
}

void perfetto_put_name(struct export *x, uint32_t field)
{
	struct perfetto *f = x->own;

	proto_text(&f->p, field, x->name.text, x->name.n);
}

static void put_interned(struct proto *p, uint32_t field, uint64_t iid, const char *text)
{
	size_t at = proto_begin(p, field);

	proto_u64(p, 1, iid);
	perfetto_put_text(p, 2, text);
	proto_end(p, at);
}

/* Is it new to the sequence? */
static bool is_new(struct perfetto *f, struct sequence *s, unsigned what, uint64_t id)
{
	uint64_t key = (uint64_t)what << 56 | id;

	if (map_get(&s->seen, key) != MAP_NONE)
		return false;
	if (map_set(&s->seen, key, 0) < 0)
		f->p.is_broken = true;
	return true;
}

static void put_mapping(struct export *x, struct sequence *s, const struct table_module *m)
{
	struct perfetto *f = x->own;
	struct proto *p = &f->p;
	const struct table_text *path = tables_string(x->tables, m->path);
	const char *build_id = tables_text(x->tables, m->build_id);
	uint8_t bytes[64];
	size_t n = 0, at;
	unsigned byte;

	if (!is_new(f, s, MAPPINGS, m->id))
		return;
	for (; build_id != NULL && n < sizeof(bytes) && sscanf(build_id + 2 * n, "%2x", &byte) == 1;
	     n++)
		bytes[n] = (uint8_t)byte;
	at = proto_begin(p, BUILD_IDS);
	proto_u64(p, 1, m->id + 1);
	proto_bytes(p, 2, bytes, n);
	proto_end(p, at);
	at = proto_begin(p, MAPPING_PATHS);
	proto_u64(p, 1, m->id + 1);
	proto_bytes(p, 2, path != NULL ? path->text : "", path != NULL ? path->length : 0);
	proto_end(p, at);
	at = proto_begin(p, MAPPINGS);
	proto_u64(p, 1, m->id + 1);
	proto_u64(p, 2, m->id + 1);
	proto_u64(p, 4, m->start);
	proto_u64(p, 5, m->end);
	proto_u64(p, 7, m->id + 1);
	proto_u64(p, 8, m->file_offset);
	proto_end(p, at);
}

static uint64_t frame_iid(const struct frame *frame, uint32_t line)
{
	return ((uint64_t)frame->number << 8 | line) + 1;
}

static void put_frame(struct export *x, struct sequence *s, const struct frame *frame,
		      uint32_t line)
{
	struct perfetto *f = x->own;
	struct proto *p = &f->p;
	uint64_t iid = frame_iid(frame, line);
	bool has_file = line < frame->n && frame->lines[line].file[0] != '\0';
	size_t at;

	if (!is_new(f, s, FRAMES, iid))
		return;
	if (frame->module != NULL)
		put_mapping(x, s, frame->module);
	name_clear(&f->name);
	frames_function(&f->name, x->tables, frame, line);
	at = proto_begin(p, FUNCTION_NAMES);
	proto_u64(p, 1, iid);
	proto_bytes(p, 2, f->name.text, f->name.n);
	proto_end(p, at);
	if (has_file) {
		at = proto_begin(p, SOURCE_PATHS);
		proto_u64(p, 1, iid);
		proto_bytes(p, 2, frame->lines[line].file, strlen(frame->lines[line].file));
		proto_end(p, at);
	}
	at = proto_begin(p, FRAMES);
	proto_u64(p, 1, iid);
	proto_u64(p, 2, iid);
	if (frame->module != NULL) {
		proto_u64(p, 3, frame->module->id + 1);
		proto_u64(p, 4, TRACE_FRAME_ADDRESS(frame->word) - frame->module->bias);
	}
	if (has_file) {
		proto_u64(p, 5, iid);
		if (frame->lines[line].line > 0)
			proto_u64(p, 6, (uint64_t)frame->lines[line].line);
	}
	proto_end(p, at);
}

/* A stack, its root first. */
static void put_stack(struct export *x, struct sequence *s, uint32_t stack)
{
	struct perfetto *f = x->own;
	const uint64_t *words;
	uint32_t n = frames_stack(x->frames, stack, &words);
	const struct frame *frame;
	size_t at;

	for (uint32_t i = 0; i < n; i++) {
		frame = frames_get(x->frames, words[i]);
		if (frame == NULL) {
			f->p.is_broken = true;
			return;
		}
		for (uint32_t line = 0; line < (frame->n > 0 ? frame->n : 1); line++)
			put_frame(x, s, frame, line);
	}
	at = proto_begin(&f->p, CALLSTACKS);
	proto_u64(&f->p, 1, stack);
	for (uint32_t i = n; i > 0; i--) {
		frame = frames_get(x->frames, words[i - 1]);
		for (uint32_t line = frame->n > 0 ? frame->n : 1; line > 0; line--)
			proto_u64(&f->p, 2, frame_iid(frame, line - 1));
	}
	proto_end(&f->p, at);
}

bool perfetto_has_stack(const struct export *x, uint32_t stack)
{
	return stack != 0 && tables_stack(x->tables, stack) != NULL;
}

/* Begins a packet, with what must be known to read it. */
void perfetto_begin_packet(struct export *x, struct sequence *s, uint64_t ns, uint32_t stack)
{
	struct perfetto *f = x->own;
	struct proto *p = &f->p;
	bool is_first = !s->is_begun,
	     with_stack = perfetto_has_stack(x, stack) && is_new(f, s, CALLSTACKS, stack);
	size_t at, inner;

	proto_clear(p);
	s->is_begun = true;
	s->last_ns = ns > s->last_ns ? ns : s->last_ns;
	proto_u64(p, TIMESTAMP, s->last_ns);
	proto_u64(p, SEQUENCE_ID, s->id);
	proto_u64(p, SEQUENCE_FLAGS, is_first ? 1 : 2);
	if (is_first) {
		proto_u64(p, CLOCK_ID, CLOCK_MONOTONIC_ID);
		proto_u64(p, FIRST_ON_SEQUENCE, 1);
		at = proto_begin(p, DEFAULTS);
		proto_u64(p, CLOCK_ID, CLOCK_MONOTONIC_ID);
		if (s->track != 0) {
			inner = proto_begin(p, 11);
			proto_u64(p, 11, s->track);
			proto_end(p, inner);
		}
		proto_end(p, at);
	}
	if (!is_first && !with_stack)
		return;
	at = proto_begin(p, INTERNED_DATA);
	for (size_t i = 0; is_first && i < sizeof(categories) / sizeof(categories[0]); i++)
		put_interned(p, EVENT_CATEGORIES, i + 1, categories[i]);
	for (size_t i = 0; is_first && i < sizeof(annotations) / sizeof(annotations[0]); i++)
		put_interned(p, ANNOTATION_NAMES, i + 1, annotations[i]);
	if (with_stack)
		put_stack(x, s, stack);
	proto_end(p, at);
}

int perfetto_end_packet(struct export *x)
{
	struct perfetto *f = x->own;
	uint64_t n = f->p.n;

	if (f->p.is_broken)
		return -ENOMEM;
	out_char(x->out, PACKET << 3 | 2);
	for (; n >= 0x80; n >>= 7)
		out_char(x->out, (char)((n & 0x7f) | 0x80));
	out_char(x->out, (char)n);
	out_bytes(x->out, (const char *)f->p.at, f->p.n);
	return x->out->error;
}

/* Begins an event; what belongs to it follows, and perfetto_end_event(). */
size_t perfetto_begin_event(struct export *x, unsigned type, unsigned category, uint64_t track)
{
	struct perfetto *f = x->own;
	size_t at = proto_begin(&f->p, TRACK_EVENT);

	proto_u64(&f->p, 9, type);
	if (category != 0)
		proto_u64(&f->p, 3, category);
	if (track != 0)
		proto_u64(&f->p, 11, track);
	return at;
}

int perfetto_end_event(struct export *x, size_t at)
{
	struct perfetto *f = x->own;

	proto_end(&f->p, at);
	return perfetto_end_packet(x);
}

/* What is in x->name, as an annotation. */
void perfetto_note_name(struct export *x, enum annotation note)
{
	struct perfetto *f = x->own;
	size_t at;

	if (x->name.n == 0)
		return;
	at = proto_begin(&f->p, 4);
	proto_u64(&f->p, 1, note);
	perfetto_put_name(x, 6);
	proto_end(&f->p, at);
}

void perfetto_note_number(struct export *x, enum annotation note, int64_t value)
{
	struct perfetto *f = x->own;
	size_t at = proto_begin(&f->p, 4);

	proto_u64(&f->p, 1, note);
	proto_s64(&f->p, 4, value);
	proto_end(&f->p, at);
}

void perfetto_note_error(struct export *x, uint64_t error)
{
	const char *name = name_error(error);

	name_clear(&x->name);
	if (name != NULL)
		name_format(&x->name, "%s", name);
	else
		name_format(&x->name, "%" PRIu64, error);
	perfetto_note_name(x, NOTE_ERROR);
}
unsigned perfetto_category(const char *name)
{
	for (unsigned i = 0; i < sizeof(categories) / sizeof(categories[0]); i++)
		if (strcmp(categories[i], name) == 0)
			return i + 1;
	return 0;
}
