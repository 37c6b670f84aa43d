/*
 * The processed format of Firefox's profiler, version 58, packed by gzip. Of one thread at a time there are tables in memory: its
 * stacks, frames and functions; its samples and markers come from the spool, once for each column.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/gzip.h"
#include "viewer/export_firefox.h"
#include "viewer/varint.h"

#define VERSION       58
#define GECKO_VERSION 31
#define NONE          UINT32_MAX

/* Of a thread. Stack i is frame frames[i] called by stack prefixes[i]. */
struct stack_row {
	uint32_t prefix, frame;
};
struct frame_row {
	uint32_t number, line, function; /* of frames.h; which of its lines */
};
struct function_row {
	uint32_t name, source, resource;
};

struct writer {
	struct export *x;
	struct firefox *f;
	struct gzip_packer *packer;
	struct out out;

	/* of the thread that is being written */
	struct map stack_of, stack_row_of, frame_of, function_of, place_of, resource_of;
	struct stack_row *stacks;
	struct frame_row *frames;
	struct function_row *functions;
	uint32_t *resources; /* libraries */
	uint32_t stacks_n, stacks_room, frames_n, frames_room, functions_n, functions_room,
		places_n, resources_n, resources_room;

	/* of all */
	struct map source_of, library_of;
	uint32_t *sources;   /* texts */
	uint32_t *libraries; /* modules */
	uint32_t sources_n, sources_room, libraries_n, libraries_room;

	uint8_t chunk[SPOOL_CHUNK + FIREFOX_ROW_BYTES];
};

static int to_packer(void *context, const void *bytes, size_t size)
{
	struct writer *w = context;

	return gzip_pack(w->packer, bytes, size);
}

static int to_file(void *context, const void *bytes, size_t size)
{
	struct export *x = context;

	out_bytes(x->out, bytes, size);
	return x->out->error;
}

/* ---- tables ---- */

/* The number of @key in @map, which is @n when it is new. */
static int number_of(struct map *map, uint64_t key, uint32_t n, uint32_t *ret)
{
	*ret = map_get(map, key);
	if (*ret != MAP_NONE)
		return 0;
	*ret = n;
	return map_set(map, key, n);
}

static int source_of(struct writer *w, const char *file, uint32_t *ret)
{
	uint32_t text;
	int r;

	*ret = NONE;
	if (file[0] == '\0')
		return 0;
	text = texts_add(&w->f->texts, file, strlen(file));
	if (text == TEXTS_NONE || rows_grow(&w->sources, w->sources_n, &w->sources_room, 4) < 0)
		return -ENOMEM;
	r = number_of(&w->source_of, text, w->sources_n, ret);
	if (r == 0 && *ret == w->sources_n)
		w->sources[w->sources_n++] = text;
	return r;
}

static int resource_of(struct writer *w, const struct table_module *m, uint32_t *ret)
{
	uint32_t library;

	*ret = NONE;
	if (m == NULL)
		return 0;
	if (rows_grow(&w->libraries, w->libraries_n, &w->libraries_room, 4) < 0 ||
	    number_of(&w->library_of, m->id, w->libraries_n, &library) < 0)
		return -ENOMEM;
	if (library == w->libraries_n)
		w->libraries[w->libraries_n++] = m->id;
	if (rows_grow(&w->resources, w->resources_n, &w->resources_room, 4) < 0 ||
	    number_of(&w->resource_of, library, w->resources_n, ret) < 0)
		return -ENOMEM;
	if (*ret == w->resources_n)
		w->resources[w->resources_n++] = library;
	return 0;
}

static int function_of(struct writer *w, const struct frame *frame, uint32_t line, uint32_t *ret)
{
	struct export *x = w->x;
	struct function_row row;
	uint32_t place;

	name_clear(&x->name);
	frames_function(&x->name, x->tables, frame, line);
	row.name = firefox_text(x);
	if (row.name == TEXTS_NONE ||
	    source_of(w, line < frame->n ? frame->lines[line].file : "", &row.source) < 0 ||
	    resource_of(w, frame->module, &row.resource) < 0 ||
	    rows_grow(&w->functions, w->functions_n, &w->functions_room, sizeof(row)) < 0)
		return -ENOMEM;
	/* two of a name in two files are two */
	if (number_of(&w->place_of, (uint64_t)row.source << 32 | row.resource, w->places_n,
		      &place) < 0 ||
	    number_of(&w->function_of, (uint64_t)row.name << 32 | place, w->functions_n, ret) < 0)
		return -ENOMEM;
	w->places_n += place == w->places_n;
	if (*ret == w->functions_n)
		w->functions[w->functions_n++] = row;
	return 0;
}

/* @stack becomes the one that is called by it: @frame's line. */
static int push(struct writer *w, const struct frame *frame, uint32_t line, uint32_t *stack)
{
	struct frame_row row = {frame->number, line, 0};
	uint32_t at, next;

	if (rows_grow(&w->frames, w->frames_n, &w->frames_room, sizeof(row)) < 0 ||
	    number_of(&w->frame_of, (uint64_t)frame->number << 8 | line, w->frames_n, &at) < 0)
		return -ENOMEM;
	if (at == w->frames_n) {
		if (function_of(w, frame, line, &row.function) < 0)
			return -ENOMEM;
		w->frames[w->frames_n++] = row;
	}
	if (rows_grow(&w->stacks, w->stacks_n, &w->stacks_room, sizeof(*w->stacks)) < 0 ||
	    number_of(&w->stack_row_of, (uint64_t)*stack << 32 | at, w->stacks_n, &next) < 0)
		return -ENOMEM;
	if (next == w->stacks_n)
		w->stacks[w->stacks_n++] = (struct stack_row){*stack, at};
	*stack = next;
	return 0;
}

static int add_stack(struct writer *w, uint32_t stack)
{
	const uint64_t *words;
	uint32_t n, at = NONE;
	int r = 0;

	if (stack == 0 || map_get(&w->stack_of, stack) != MAP_NONE)
		return 0;
	n = frames_stack(w->x->frames, stack, &words);
	for (; n > 0 && r == 0; n--) {
		const struct frame *frame = frames_get(w->x->frames, words[n - 1]);

		if (frame == NULL)
			return -ENOMEM;
		for (uint32_t line = frame->n > 0 ? frame->n : 1; line > 0 && r == 0; line--)
			r = push(w, frame, line - 1, &at);
	}
	return r == 0 && at != NONE ? map_set(&w->stack_of, stack, at) : r;
}

static void forget(struct writer *w)
{
	map_fini(&w->stack_of);
	map_fini(&w->stack_row_of);
	map_fini(&w->frame_of);
	map_fini(&w->function_of);
	map_fini(&w->place_of);
	map_fini(&w->resource_of);
	w->stacks_n = w->frames_n = w->functions_n = w->places_n = w->resources_n = 0;
}

/* ---- pieces of JSON ---- */

static void put(struct writer *w, const char *text)
{
	out_text(&w->out, text);
}

static void put_text(struct writer *w, const char *text)
{
	out_json(&w->out, text, strlen(text));
}

/* A number or null. */
static void put_index(struct writer *w, uint32_t index)
{
	if (index == NONE)
		put(w, "null");
	else
		out_u64(&w->out, index);
}

static void put_ms(struct writer *w, uint64_t ns)
{
	char digits[8];

	out_u64(&w->out, ns / 1000000);
	if (ns % 1000000 == 0)
		return;
	snprintf(digits, sizeof(digits), ".%06u", (unsigned)(ns % 1000000));
	put(w, digits);
}

static void comma(struct writer *w, uint64_t i)
{
	if (i > 0)
		out_char(&w->out, ',');
}

/* "key":[the same for all] */
static void put_same(struct writer *w, const char *key, const char *value, uint32_t n)
{
	out_format(&w->out, ",\"%s\":[", key);
	for (uint32_t i = 0; i < n; i++) {
		comma(w, i);
		put(w, value);
	}
	out_char(&w->out, ']');
}

static void begin_table(struct writer *w, const char *key, uint64_t n)
{
	out_format(&w->out, ",\n\"%s\":{\"length\":", key);
	out_u64(&w->out, n);
}

/* ---- columns of samples and markers ---- */

enum column {
	SAMPLE_STACK,
	SAMPLE_TIME,
	SAMPLE_WEIGHT,
	SAMPLE_CPU,
	MARKERS,
	MARKER_DATA = MARKERS,
	MARKER_NAME,
	MARKER_START,
	MARKER_END,
	MARKER_PHASE,
	MARKER_CATEGORY,
	COLUMNS,
	ALL_STACKS, /* nothing is written: stacks are added */
};
static const char *const column_names[COLUMNS] = {
	"stack", "time",      "weight",  "threadCPUDelta", "data",
	"name",  "startTime", "endTime", "phase",          "category",
};

static void put_stack(struct writer *w, uint32_t stack)
{
	put_index(w, stack != 0 ? map_get(&w->stack_of, stack) : NONE);
}

static void put_data(struct writer *w, const struct firefox_row *row)
{
	const struct firefox_schema *schema = &firefox_schemas[row->kind];

	out_format(&w->out, "{\"type\":\"%s\"", schema->name);
	for (unsigned i = 0; i < FIREFOX_FIELDS; i++) {
		if (!(row->has >> i & 1) || schema->fields[i].key == NULL)
			continue;
		out_format(&w->out, ",\"%s\":", schema->fields[i].key);
		if (strcmp(schema->fields[i].format, "unique-string") == 0)
			out_u64(&w->out, row->fields[i]);
		else
			out_s64(&w->out, varint_signed(row->fields[i]));
	}
	if (row->stack != 0 && map_get(&w->stack_of, row->stack) != MAP_NONE) {
		put(w, ",\"cause\":{\"time\":");
		put_ms(w, row->begin_ns);
		put(w, ",\"stack\":");
		put_stack(w, row->stack);
		out_char(&w->out, '}');
	}
	out_char(&w->out, '}');
}

static void put_cell(struct writer *w, enum column column, const struct firefox_row *row)
{
	switch (column) {
	case SAMPLE_STACK:
		put_stack(w, row->stack);
		break;
	case SAMPLE_TIME:
	case MARKER_START:
		put_ms(w, row->begin_ns);
		break;
	case SAMPLE_WEIGHT:
		put_ms(w, row->end_ns);
		break;
	case SAMPLE_CPU:
		out_u64(&w->out, row->end_ns);
		break;
	case MARKER_DATA:
		put_data(w, row);
		break;
	case MARKER_NAME:
		out_u64(&w->out, row->name);
		break;
	case MARKER_END:
		if (row->phase == FIREFOX_INTERVAL)
			put_ms(w, row->end_ns);
		else
			put(w, "null");
		break;
	case MARKER_PHASE:
		out_u64(&w->out, row->phase);
		break;
	case MARKER_CATEGORY:
		out_u64(&w->out, row->category);
		break;
	case COLUMNS:
	case ALL_STACKS:
		break;
	}
}

/* Goes through the rows of a thread for one column. */
static int put_column(struct writer *w, const struct firefox_thread *t, enum column column)
{
	struct firefox_row row;
	uint64_t chunk_at = 0, n = 0;
	const uint8_t *at, *end;
	int size, r = 0;

	if (column != ALL_STACKS)
		out_format(&w->out, ",\n\"%s\":[", column_names[column]);
	while ((size = spool_next(&w->f->spool, &t->list, &chunk_at, w->chunk, &at, &w->x->why)) >
	       0) {
		for (end = at + size; at < end && r == 0;) {
			at = firefox_get_row(at, &row);
			if (at == NULL)
				return -EIO;
			if (column == ALL_STACKS) {
				r = add_stack(w, row.stack);
			} else if ((row.kind == FIREFOX_SAMPLE) == (column < MARKERS)) {
				comma(w, n++);
				put_cell(w, column, &row);
			}
		}
		if (r != 0)
			return r;
	}
	if (column != ALL_STACKS)
		out_char(&w->out, ']');
	return size < 0 ? size : w->out.error;
}

/* ---- a thread ---- */

static void put_stacks(struct writer *w)
{
	begin_table(w, "stackTable", w->stacks_n);
	put(w, ",\"frame\":[");
	for (uint32_t i = 0; i < w->stacks_n; i++) {
		comma(w, i);
		out_u64(&w->out, w->stacks[i].frame);
	}
	put(w, "],\"prefix\":[");
	for (uint32_t i = 0; i < w->stacks_n; i++) {
		comma(w, i);
		put_index(w, w->stacks[i].prefix);
	}
	put(w, "]}");
}

static const struct frame *frame_at(struct writer *w, uint32_t i)
{
	return frames_nth(w->x->frames, w->frames[i].number);
}

static void put_frames(struct writer *w)
{
	char category[16];

	begin_table(w, "frameTable", w->frames_n);
	put(w, ",\"address\":[");
	for (uint32_t i = 0; i < w->frames_n; i++) {
		const struct frame *frame = frame_at(w, i);

		comma(w, i);
		if (frame->module != NULL)
			out_u64(&w->out, TRACE_FRAME_ADDRESS(frame->word) - frame->module->bias);
		else
			put(w, "-1");
	}
	put(w, "],\"inlineDepth\":[");
	for (uint32_t i = 0; i < w->frames_n; i++) {
		const struct frame *frame = frame_at(w, i);

		comma(w, i);
		/* the outermost is 0 there, the last here */
		out_u64(&w->out, frame->n > 0 ? frame->n - 1 - w->frames[i].line : 0);
	}
	put(w, "],\"func\":[");
	for (uint32_t i = 0; i < w->frames_n; i++) {
		comma(w, i);
		out_u64(&w->out, w->frames[i].function);
	}
	put(w, "],\"line\":[");
	for (uint32_t i = 0; i < w->frames_n; i++) {
		const struct frame *frame = frame_at(w, i);
		uint32_t line = w->frames[i].line;

		comma(w, i);
		if (line < frame->n && frame->lines[line].line > 0)
			out_s64(&w->out, frame->lines[line].line);
		else
			put(w, "null");
	}
	out_char(&w->out, ']');
	snprintf(category, sizeof(category), "%d", FIREFOX_RUNNING);
	put_same(w, "category", category, w->frames_n);
	put_same(w, "subcategory", "0", w->frames_n);
	put_same(w, "nativeSymbol", "null", w->frames_n);
	put_same(w, "innerWindowID", "0", w->frames_n);
	put_same(w, "column", "null", w->frames_n);
	out_char(&w->out, '}');
}

static void put_functions(struct writer *w)
{
	begin_table(w, "funcTable", w->functions_n);
	put(w, ",\"name\":[");
	for (uint32_t i = 0; i < w->functions_n; i++) {
		comma(w, i);
		out_u64(&w->out, w->functions[i].name);
	}
	put(w, "],\"source\":[");
	for (uint32_t i = 0; i < w->functions_n; i++) {
		comma(w, i);
		put_index(w, w->functions[i].source);
	}
	put(w, "],\"resource\":[");
	for (uint32_t i = 0; i < w->functions_n; i++) {
		comma(w, i);
		if (w->functions[i].resource == NONE)
			put(w, "-1");
		else
			out_u64(&w->out, w->functions[i].resource);
	}
	out_char(&w->out, ']');
	put_same(w, "isJS", "false", w->functions_n);
	put_same(w, "relevantForJS", "false", w->functions_n);
	put_same(w, "lineNumber", "null", w->functions_n);
	put_same(w, "columnNumber", "null", w->functions_n);
	out_char(&w->out, '}');
}

/* The path of a library, or its last part. */
static struct table_text path_of(struct writer *w, uint32_t library, bool is_whole)
{
	const struct table_module *m = tables_module(w->x->tables, w->libraries[library]);
	const struct table_text *path = m != NULL ? tables_string(w->x->tables, m->path) : NULL;
	struct table_text text = path != NULL ? *path : (struct table_text){.text = ""};
	const char *slash = is_whole ? NULL : memrchr(text.text, '/', text.length);

	if (slash != NULL) {
		text.length -= (uint32_t)(slash + 1 - text.text);
		text.text = slash + 1;
	}
	return text;
}

static int put_resources(struct writer *w)
{
	int r = 0;

	begin_table(w, "resourceTable", w->resources_n);
	put(w, ",\"lib\":[");
	for (uint32_t i = 0; i < w->resources_n; i++) {
		comma(w, i);
		out_u64(&w->out, w->resources[i]);
	}
	put(w, "],\"name\":[");
	for (uint32_t i = 0; i < w->resources_n; i++) {
		struct table_text path = path_of(w, w->resources[i], false);
		uint32_t text = texts_add(&w->f->texts, path.text, path.length);

		if (text == TEXTS_NONE)
			r = -ENOMEM;
		comma(w, i);
		out_u64(&w->out, text);
	}
	out_char(&w->out, ']');
	put_same(w, "host", "null", w->resources_n);
	put_same(w, "type", "1" /* a library */, w->resources_n);
	put(w, "},\n\"nativeSymbols\":{\"length\":0,\"libIndex\":[],\"address\":[],\"name\":[],"
	       "\"functionSize\":[]}");
	return r;
}

static int put_thread(struct writer *w, const struct firefox_thread *t)
{
	struct export *x = w->x;
	uint64_t tid = export_tid(x, t->thread);
	int r;

	put(w, "{\"processType\":\"default\",\"processName\":");
	export_program(x, &x->name);
	name_out(&x->name, &w->out, NAMES_JSON);
	put(w, ",\"processStartupTime\":0,\"processShutdownTime\":null,\"registerTime\":");
	put_ms(w, t->begin_ns);
	put(w, ",\"unregisterTime\":");
	if (t->has_end)
		put_ms(w, t->end_ns);
	else
		put(w, "null");
	put(w, ",\"pausedRanges\":[],\"showMarkersInTimeline\":true,\"name\":");
	export_thread_name(x, t->thread);
	name_out(&x->name, &w->out, NAMES_JSON);
	out_format(&w->out, ",\"isMainThread\":%s,\"pid\":\"",
		   tid == x->reader->header.pid ? "true" : "false");
	out_u64(&w->out, x->reader->header.pid);
	put(w, "\",\"tid\":");
	out_u64(&w->out, tid);
	r = put_column(w, t, ALL_STACKS);

	begin_table(w, "samples", t->samples);
	put(w, ",\"weightType\":\"tracing-ms\"");
	for (int i = SAMPLE_STACK; i < MARKERS && r == 0; i++)
		r = put_column(w, t, (enum column)i);
	out_char(&w->out, '}');
	begin_table(w, "markers", t->markers);
	for (int i = MARKERS; i < COLUMNS && r == 0; i++)
		r = put_column(w, t, (enum column)i);
	out_char(&w->out, '}');
	if (r != 0)
		return r;
	put_stacks(w);
	put_frames(w);
	put_functions(w);
	r = put_resources(w);
	out_char(&w->out, '}');
	forget(w);
	return r != 0 ? r : w->out.error;
}

/* ---- what all have in common ---- */

static void put_schemas(struct writer *w)
{
	put(w, ",\n\"markerSchema\":[");
	for (unsigned i = FIREFOX_STATE; i < FIREFOX_KINDS; i++) {
		const struct firefox_schema *s = &firefox_schemas[i];

		out_format(
			&w->out,
			"%s\n{\"name\":\"%s\",\"description\":\"%s\",\"display\":[\"marker-chart\","
			"\"marker-table\",\"timeline-overview\"],\"isStackBased\":%s,\"fields\":[",
			i > FIREFOX_STATE ? "," : "", s->name, s->about,
			s->is_nested ? "true" : "false");
		for (unsigned k = 0; k < FIREFOX_FIELDS && s->fields[k].key != NULL; k++)
			out_format(&w->out, "%s{\"key\":\"%s\",\"label\":\"%s\",\"format\":\"%s\"}",
				   k > 0 ? "," : "", s->fields[k].key, s->fields[k].label,
				   s->fields[k].format);
		out_char(&w->out, ']');
		if (s->has_graph)
			out_format(&w->out, ",\"graphs\":[{\"key\":\"%s\",\"type\":\"line\"}]",
				   s->fields[0].key);
		out_char(&w->out, '}');
	}
	out_char(&w->out, ']');
}

static void put_meta(struct writer *w)
{
	const struct trace_file_header *h = &w->x->reader->header;
	const char *command = tables_metadata(w->x->tables, "cmdline");

	out_format(
		&w->out,
		"{\"meta\":{\"version\":%d,\"preprocessedProfileVersion\":%d,\"interval\":1,"
		"\"processType\":0,\"stackwalk\":1,\"symbolicated\":true,"
		"\"usesOnlyOneStackType\":true,\"sourceCodeIsNotOnSearchfox\":true,"
		"\"keepProfileThreadOrder\":true,\"importedFrom\":\"cprof-trace %s\","
		"\"sampleUnits\":{\"time\":\"ms\",\"eventDelay\":\"ms\",\"threadCPUDelta\":\"ns\"},"
		"\"startTime\":",
		GECKO_VERSION, VERSION, CPROF_VERSION);
	/* the trace's own beginning by the wall clock */
	put_ms(w, h->begun_realtime_ns + (w->x->begun_ns - h->begun_monotonic_ns));
	put(w, ",\"startTimeAsClockMonotonicNanosecondsSinceBoot\":");
	out_u64(&w->out, w->x->begun_ns);
	put(w, ",\"product\":");
	export_program(w->x, &w->x->name);
	name_out(&w->x->name, &w->out, NAMES_JSON);
	if (command != NULL) {
		put(w, ",\"arguments\":");
		put_text(w, command);
	}
	put(w, ",\n\"categories\":[");
	for (unsigned i = 0; i < firefox_categories_n; i++)
		out_format(&w->out,
			   "%s{\"name\":\"%s\",\"color\":\"%s\",\"subcategories\":[\"Other\"]}",
			   i > 0 ? "," : "", firefox_categories[i].name,
			   firefox_categories[i].colour);
	out_char(&w->out, ']');
	put_schemas(w);
	out_char(&w->out, '}');
}

/* Times, or counts: how much more there is than before. */
static int put_counts(struct writer *w, const struct firefox_counter *c, bool is_time)
{
	uint64_t chunk_at = 0, n = 0, last = 0, ns, value;
	const uint8_t *at, *end;
	int size;

	while ((size = spool_next(&w->f->spool, &c->list, &chunk_at, w->chunk, &at, &w->x->why)) >
	       0) {
		for (end = at + size; at < end;) {
			at = varint_get(at, &ns);
			if (at != NULL)
				at = varint_get(at, &value);
			if (at == NULL)
				return -EIO;
			comma(w, n++);
			if (is_time)
				put_ms(w, ns);
			else
				out_s64(&w->out, (int64_t)(value - last));
			last = value;
		}
	}
	return size < 0 ? size : w->out.error;
}

static int put_counters(struct writer *w)
{
	bool is_first = true;
	int r = 0;

	put(w, ",\n\"counters\":[");
	for (unsigned i = 0; i < FIREFOX_COUNTERS && r == 0; i++) {
		struct firefox_counter *c = &w->f->counters[i];

		if (c->n == 0)
			continue;
		out_format(&w->out,
			   "%s\n{\"name\":\"%s\",\"category\":\"Memory\",\"description\":\"%s\","
			   "\"pid\":\"",
			   is_first ? "" : ",", c->name, c->about);
		is_first = false;
		out_u64(&w->out, w->x->reader->header.pid);
		put(w, "\",\"mainThreadIndex\":0,\"samples\":{\"length\":");
		out_u64(&w->out, c->n);
		put(w, ",\"time\":[");
		r = put_counts(w, c, true);
		put(w, "],\"count\":[");
		if (r == 0)
			r = put_counts(w, c, false);
		put(w, "]}}");
	}
	out_char(&w->out, ']');
	return r;
}

/* As Breakpad has it: the first 16 bytes as a GUID, and an age of 0. */
static void put_breakpad_id(struct writer *w, const char *build_id)
{
	static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

	out_char(&w->out, '"');
	for (unsigned i = 0; i < 16; i++) {
		unsigned byte = 0;
		size_t at = 2 * (size_t)order[i];

		if (at + 2 <= strlen(build_id))
			sscanf(build_id + at, "%2x", &byte);
		out_format(&w->out, "%02X", byte & 0xff);
	}
	put(w, "0\"");
}

static void put_libraries(struct writer *w)
{
	const char *build_id;

	put(w, ",\n\"libs\":[");
	for (uint32_t i = 0; i < w->libraries_n; i++) {
		const struct table_module *m = tables_module(w->x->tables, w->libraries[i]);
		struct table_text name = path_of(w, i, false), path = path_of(w, i, true);

		build_id = m != NULL ? tables_text(w->x->tables, m->build_id) : NULL;
		if (build_id == NULL)
			build_id = "";
		out_format(&w->out, "%s\n{\"arch\":\"\",\"name\":", i > 0 ? "," : "");
		out_json(&w->out, name.text, name.length);
		put(w, ",\"path\":");
		out_json(&w->out, path.text, path.length);
		put(w, ",\"debugName\":");
		out_json(&w->out, name.text, name.length);
		put(w, ",\"debugPath\":");
		out_json(&w->out, path.text, path.length);
		put(w, ",\"breakpadId\":");
		put_breakpad_id(w, build_id);
		put(w, ",\"codeId\":");
		if (build_id[0] != '\0')
			put_text(w, build_id);
		else
			put(w, "null");
		out_char(&w->out, '}');
	}
	out_char(&w->out, ']');
}

/* Last: whatever was written above may have made new ones. */
static void put_shared(struct writer *w)
{
	put(w, ",\n\"shared\":{\"sources\":{\"length\":");
	out_u64(&w->out, w->sources_n);
	put_same(w, "uuid", "null", w->sources_n);
	put(w, ",\"filename\":[");
	for (uint32_t i = 0; i < w->sources_n; i++) {
		comma(w, i);
		out_u64(&w->out, w->sources[i]);
	}
	put(w, "]},\n\"stringArray\":[");
	for (uint32_t i = 0; i < w->f->texts.n; i++) {
		size_t size;
		const char *text = texts_get(&w->f->texts, i, &size);

		put(w, i > 0 ? ",\n" : "\n");
		out_json(&w->out, text, size);
	}
	put(w, "]}");
}

static int put_all(struct writer *w)
{
	struct firefox *f = w->f;
	int r = 0;

	put_meta(w);
	put(w, ",\n\"threads\":[");
	for (uint32_t i = 0; i < f->threads_n && r == 0; i++) {
		put(w, i > 0 ? ",\n" : "\n");
		r = spool_seal(&f->spool, &f->threads[i].list, &w->x->why);
		if (r == 0)
			r = put_thread(w, &f->threads[i]);
	}
	out_char(&w->out, ']');
	for (unsigned i = 0; i < FIREFOX_COUNTERS && r == 0; i++)
		r = spool_seal(&f->spool, &f->counters[i].list, &w->x->why);
	if (r == 0)
		r = put_counters(w);
	if (r != 0)
		return r;
	put_libraries(w);
	put_shared(w);
	put(w, "}\n");
	r = out_flush(&w->out);
	return r != 0 ? r : gzip_pack_finish(w->packer);
}

int firefox_write(struct export *x)
{
	struct writer *w = calloc(1, sizeof(*w));
	int r;

	if (w == NULL)
		return -ENOMEM;
	w->x = x;
	w->f = x->own;
	out_init_sink(&w->out, to_packer, w);
	r = gzip_pack_create(&w->packer, to_file, x);
	if (r == 0)
		r = put_all(w);
	gzip_pack_destroy(w->packer);
	forget(w);
	map_fini(&w->source_of);
	map_fini(&w->library_of);
	free(w->stacks);
	free(w->frames);
	free(w->functions);
	free(w->resources);
	free(w->sources);
	free(w->libraries);
	free(w);
	return r;
}
