/*
 * The processed format of Firefox's profiler, version 58, gzipped: one thread, a sample for each of the profile's, with its value as
 * its weight. They have no times, so they stand one behind the other.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/convert.h"
#include "output/gzip.h"
#include "output/pprof.h"

#define VERSION       58
#define GECKO_VERSION 31
#define NONE          UINT32_MAX

/* A frame is a line of a location: frame first_line[i] + j. */
struct firefox {
	struct convert *c;
	const struct profile *p;
	struct gzip_packer *packer;
	struct out *out; /* into the packer */
	bool is_time, is_bytes;

	uint32_t *first_line;  /* of location i, and one more for the end */
	uint32_t *function_of; /* of a frame */
	uint32_t *stack_of;    /* of a sample; NONE: it is left out */

	/*
	 * Its functions are those of Firefox, with the mapping as start_line. Its locations are rows of the table of
	 * stacks: the caller's number + 1 and the frame's, as one address. So each is there once.
	 */
	struct profile tables;
};

static int to_packer(void *context, const void *bytes, size_t size)
{
	struct firefox *f = context;

	return gzip_pack(f->packer, bytes, size);
}

static int to_out(void *context, const void *bytes, size_t size)
{
	struct out *out = context;

	out_bytes(out, bytes, size);
	return out->error;
}

static uint32_t lines_of(const struct profile_location *l)
{
	return l->lines_n == 0 ? 1 : l->lines_n;
}

/* ---- tables ---- */

static int number_frames(struct firefox *f)
{
	const struct profile *p = f->p;
	size_t n = 0;
	uint32_t i, j;

	for (i = 0; i < p->locations_n; i++)
		n += lines_of(&p->locations[i]);
	if (n >= UINT32_MAX)
		return -E2BIG;
	f->first_line = calloc((size_t)p->locations_n + 1, sizeof(*f->first_line));
	f->function_of = calloc(n + 1, sizeof(*f->function_of));
	f->stack_of = calloc((size_t)p->samples_n + 1, sizeof(*f->stack_of));
	if (f->first_line == NULL || f->function_of == NULL || f->stack_of == NULL)
		return -ENOMEM;
	for (i = 0, n = 0; i < p->locations_n; i++) {
		const struct profile_location *l = &p->locations[i];

		f->first_line[i] = (uint32_t)n;
		for (j = 0; j < lines_of(l); j++) {
			bool has_name = j < l->lines_n &&
					p->functions[l->lines[j].function].name[0] != '\0';
			struct profile_function function = {.system_name = "", .file = ""};
			struct profile_location nameless = *l;

			nameless.address = has_name ? 0 : l->address;
			function.name = convert_name(f->c->r, &nameless, j);
			function.start_line = l->mapping == PROFILE_NONE ? -1 : (int64_t)l->mapping;
			if (j < l->lines_n)
				function.file = p->functions[l->lines[j].function].file;
			f->function_of[n++] = profile_add_function(&f->tables, &function);
		}
	}
	f->first_line[p->locations_n] = (uint32_t)n;
	return profile_error(p) < 0 ? profile_error(p) : profile_error(&f->tables);
}

static int add_stack(struct firefox *f, const struct profile_sample *s, uint32_t *ret)
{
	uint32_t stack = NONE;

	for (uint32_t i = s->locations_n; i-- > 0;) {
		uint32_t first = f->first_line[s->locations[i]];

		for (uint32_t frame = f->first_line[s->locations[i] + 1]; frame-- > first;) {
			struct profile_location row = {
				.address = (uint64_t)(stack + 1) << 32 | frame,
				.mapping = PROFILE_NONE,
			};

			stack = profile_add_location(&f->tables, &row);
			if (profile_error(&f->tables) < 0)
				return profile_error(&f->tables);
		}
	}
	*ret = stack;
	return 0;
}

static int64_t value_of(const struct firefox *f, uint32_t sample)
{
	const struct report *r = f->c->r;
	int64_t value = convert_value(r, r->column, f->p->samples[sample].values[r->column]);
	const char *unit = convert_unit(r, r->column);

	if (f->is_time)
		value = convert_scale(value, unit, "nanoseconds");
	else if (f->is_bytes)
		value = convert_scale(value, unit, "bytes");
	return value;
}

static int add_stacks(struct firefox *f)
{
	int r = 0;

	for (uint32_t i = 0; i < f->p->samples_n && r == 0; i++) {
		int64_t value = value_of(f, i);

		f->c->left_out_n += value < 0;
		f->stack_of[i] = NONE;
		if (value > 0)
			r = add_stack(f, &f->p->samples[i], &f->stack_of[i]);
	}
	return r;
}

/* ---- pieces of JSON ---- */

static void put(struct firefox *f, const char *text)
{
	out_text(f->out, text);
}

static void put_text(struct firefox *f, const char *text)
{
	out_json(f->out, text, strlen(text));
}

static void comma(struct firefox *f, uint64_t i)
{
	if (i > 0)
		out_char(f->out, ',');
}

static void put_index(struct firefox *f, uint32_t index)
{
	if (index == NONE)
		put(f, "null");
	else
		out_u64(f->out, index);
}

static void put_ms(struct firefox *f, uint64_t ns)
{
	out_u64(f->out, ns / 1000000);
	if (ns % 1000000 != 0)
		out_format(f->out, ".%06u", (unsigned)(ns % 1000000));
}

/* "key":[the same for all] */
static void put_same(struct firefox *f, const char *key, const char *value, uint32_t n)
{
	out_format(f->out, ",\"%s\":[", key);
	for (uint32_t i = 0; i < n; i++) {
		comma(f, i);
		put(f, value);
	}
	out_char(f->out, ']');
}

static void begin_table(struct firefox *f, const char *key, uint64_t n)
{
	out_format(f->out, ",\n\"%s\":{\"length\":", key);
	out_u64(f->out, n);
}

/* ---- the thread ---- */

static void put_samples(struct firefox *f)
{
	uint32_t n = 0, i;
	uint64_t at_ns = 0, k;

	for (i = 0; i < f->p->samples_n; i++)
		n += value_of(f, i) > 0;
	begin_table(f, "samples", n);
	out_format(f->out, ",\"weightType\":\"%s\",\n\"stack\":[",
		   f->is_time    ? "tracing-ms"
		   : f->is_bytes ? "bytes"
				 : "samples");
	for (i = 0, k = 0; i < f->p->samples_n; i++) {
		if (value_of(f, i) <= 0)
			continue;
		comma(f, k++);
		put_index(f, f->stack_of[i]);
	}
	put(f, "],\n\"time\":[");
	for (i = 0, k = 0; i < f->p->samples_n; i++) {
		int64_t value = value_of(f, i);

		if (value <= 0)
			continue;
		comma(f, k++);
		put_ms(f, at_ns);
		if (at_ns < UINT64_MAX / 2) /* values that large are none of a clock */
			at_ns += f->is_time ? (uint64_t)value : 1000000;
	}
	put(f, "],\n\"weight\":[");
	for (i = 0, k = 0; i < f->p->samples_n; i++) {
		int64_t value = value_of(f, i);

		if (value <= 0)
			continue;
		comma(f, k++);
		if (f->is_time)
			put_ms(f, (uint64_t)value);
		else
			out_s64(f->out, value);
	}
	put(f, "]}");
	put(f, ",\n\"markers\":{\"length\":0,\"data\":[],\"name\":[],\"startTime\":[],"
	       "\"endTime\":[],\"phase\":[],\"category\":[]}");
}

static void put_stacks(struct firefox *f)
{
	uint32_t n = f->tables.locations_n;

	begin_table(f, "stackTable", n);
	put(f, ",\"frame\":[");
	for (uint32_t i = 0; i < n; i++) {
		comma(f, i);
		out_u64(f->out, (uint32_t)f->tables.locations[i].address);
	}
	put(f, "],\"prefix\":[");
	for (uint32_t i = 0; i < n; i++) {
		comma(f, i);
		put_index(f, (uint32_t)(f->tables.locations[i].address >> 32) - 1);
	}
	put(f, "]}");
}

enum frame_column { FRAME_ADDRESS, FRAME_DEPTH, FRAME_FUNCTION, FRAME_LINE };

static void put_frame_column(struct firefox *f, const char *key, enum frame_column column)
{
	out_format(f->out, ",\"%s\":[", key);
	for (uint32_t i = 0; i < f->p->locations_n; i++) {
		const struct profile_location *l = &f->p->locations[i];

		for (uint32_t j = 0; j < lines_of(l); j++) {
			comma(f, (uint64_t)i + j);
			switch (column) {
			case FRAME_ADDRESS: /* from where its file begins */
				if (l->mapping == PROFILE_NONE || l->address == 0 ||
				    l->address < f->p->mappings[l->mapping].start)
					put(f, "-1");
				else
					out_u64(f->out, l->address -
								f->p->mappings[l->mapping].start +
								f->p->mappings[l->mapping].offset);
				break;
			case FRAME_DEPTH: /* the outermost is 0 there, the last here */
				out_u64(f->out, lines_of(l) - 1 - j);
				break;
			case FRAME_FUNCTION:
				out_u64(f->out, f->function_of[f->first_line[i] + j]);
				break;
			case FRAME_LINE:
				if (j < l->lines_n && l->lines[j].line > 0)
					out_s64(f->out, l->lines[j].line);
				else
					put(f, "null");
				break;
			}
		}
	}
	out_char(f->out, ']');
}

static void put_frames(struct firefox *f)
{
	uint32_t n = f->first_line[f->p->locations_n];

	begin_table(f, "frameTable", n);
	put_frame_column(f, "address", FRAME_ADDRESS);
	put_frame_column(f, "inlineDepth", FRAME_DEPTH);
	put_frame_column(f, "func", FRAME_FUNCTION);
	put_frame_column(f, "line", FRAME_LINE);
	put_same(f, "category", "0", n);
	put_same(f, "subcategory", "0", n);
	put_same(f, "nativeSymbol", "null", n);
	put_same(f, "innerWindowID", "0", n);
	put_same(f, "column", "null", n);
	out_char(f->out, '}');
}

/*
 * Strings are not shared: number i is the name of function i, then come the files of functions, then the mappings. Sources and
 * resources are numbered like what they are of.
 */
static void put_functions(struct firefox *f)
{
	uint32_t n = f->tables.functions_n, mappings_n = f->p->mappings_n, i;

	begin_table(f, "funcTable", n);
	put(f, ",\"name\":[");
	for (i = 0; i < n; i++) {
		comma(f, i);
		out_u64(f->out, i);
	}
	put(f, "],\"source\":[");
	for (i = 0; i < n; i++) {
		comma(f, i);
		put_index(f, f->tables.functions[i].file[0] != '\0' ? i : NONE);
	}
	put(f, "],\"resource\":[");
	for (i = 0; i < n; i++) {
		comma(f, i);
		out_s64(f->out, f->tables.functions[i].start_line);
	}
	out_char(f->out, ']');
	put_same(f, "isJS", "false", n);
	put_same(f, "relevantForJS", "false", n);
	put_same(f, "lineNumber", "null", n);
	put_same(f, "columnNumber", "null", n);
	out_char(f->out, '}');

	begin_table(f, "resourceTable", mappings_n);
	put(f, ",\"lib\":[");
	for (i = 0; i < mappings_n; i++) {
		comma(f, i);
		out_u64(f->out, i);
	}
	put(f, "],\"name\":[");
	for (i = 0; i < mappings_n; i++) {
		comma(f, i);
		out_u64(f->out, 2 * (uint64_t)n + i);
	}
	out_char(f->out, ']');
	put_same(f, "host", "null", mappings_n);
	put_same(f, "type", "1" /* a library */, mappings_n);
	put(f, "},\n\"nativeSymbols\":{\"length\":0,\"libIndex\":[],\"address\":[],\"name\":[],"
	       "\"functionSize\":[]}");
}

static void put_thread(struct firefox *f)
{
	const char *program = convert_program(f->c);

	put(f, "{\"processType\":\"default\",\"processName\":");
	put_text(f, program);
	put(f, ",\"processStartupTime\":0,\"processShutdownTime\":null,\"registerTime\":0,"
	       "\"unregisterTime\":null,\"pausedRanges\":[],\"showMarkersInTimeline\":false,"
	       "\"name\":");
	put_text(f, f->c->r->type);
	put(f, ",\"isMainThread\":true,\"pid\":\"0\",\"tid\":0");
	put_samples(f);
	put_stacks(f);
	put_frames(f);
	put_functions(f);
	out_char(f->out, '}');
}

/* ---- what is around it ---- */

static void put_meta(struct firefox *f)
{
	out_format(f->out,
		   "{\"meta\":{\"version\":%d,\"preprocessedProfileVersion\":%d,\"interval\":1,"
		   "\"processType\":0,\"stackwalk\":1,\"symbolicated\":true,"
		   "\"usesOnlyOneStackType\":true,\"sourceCodeIsNotOnSearchfox\":true,"
		   "\"importedFrom\":\"cprof %s\","
		   "\"sampleUnits\":{\"time\":\"ms\",\"eventDelay\":\"ms\",\"threadCPUDelta\":"
		   "\"ns\"},\"startTime\":",
		   GECKO_VERSION, VERSION, CPROF_VERSION);
	put_ms(f, f->p->time_ns > 0 ? (uint64_t)f->p->time_ns : 0);
	put(f, ",\"product\":");
	put_text(f, convert_program(f->c));
	put(f, ",\n\"categories\":[{\"name\":\"Other\",\"color\":\"grey\",\"subcategories\":["
	       "\"Other\"]}],\"markerSchema\":[]}");
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* As Breakpad has it: the first 16 bytes as a GUID, and an age of 0. */
static void put_breakpad_id(struct firefox *f, const char *build_id)
{
	static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

	out_char(f->out, '"');
	for (unsigned i = 0; i < 16; i++) {
		unsigned byte = 0;
		size_t at = 2 * (size_t)order[i];

		if (at + 2 <= strlen(build_id) && sscanf(build_id + at, "%2x", &byte) != 1)
			byte = 0;
		out_format(f->out, "%02X", byte & 0xff);
	}
	put(f, "0\"");
}

static void put_libraries(struct firefox *f)
{
	put(f, ",\n\"libs\":[");
	for (uint32_t i = 0; i < f->p->mappings_n; i++) {
		const struct profile_mapping *m = &f->p->mappings[i];

		out_format(f->out, "%s\n{\"arch\":\"\",\"name\":", i > 0 ? "," : "");
		put_text(f, base_of(m->file));
		put(f, ",\"path\":");
		put_text(f, m->file);
		put(f, ",\"debugName\":");
		put_text(f, base_of(m->file));
		put(f, ",\"debugPath\":");
		put_text(f, m->file);
		put(f, ",\"breakpadId\":");
		put_breakpad_id(f, m->build_id);
		put(f, ",\"codeId\":");
		if (m->build_id[0] != '\0')
			put_text(f, m->build_id);
		else
			put(f, "null");
		out_char(f->out, '}');
	}
	put(f, "],\n\"counters\":[]");
}

static void put_shared(struct firefox *f)
{
	uint32_t n = f->tables.functions_n, i;

	put(f, ",\n\"shared\":{\"sources\":{\"length\":");
	out_u64(f->out, n);
	put_same(f, "uuid", "null", n);
	put(f, ",\"filename\":[");
	for (i = 0; i < n; i++) {
		comma(f, i);
		out_u64(f->out, (uint64_t)n + i);
	}
	put(f, "]},\n\"stringArray\":[");
	for (i = 0; i < n; i++) {
		put(f, i > 0 ? ",\n" : "\n");
		put_text(f, f->tables.functions[i].name);
	}
	for (i = 0; i < n; i++) {
		put(f, ",\n");
		put_text(f, f->tables.functions[i].file);
	}
	for (i = 0; i < f->p->mappings_n; i++) {
		put(f, n + i > 0 ? ",\n" : "\n");
		put_text(f, base_of(f->p->mappings[i].file));
	}
	put(f, "]}}\n");
}

static int write_packed(struct firefox *f)
{
	int r = gzip_pack_create(&f->packer, to_out, f->c->out);

	if (r < 0)
		return r;
	out_init_sink(f->out, to_packer, f);
	put_meta(f);
	put(f, ",\n\"threads\":[\n");
	put_thread(f);
	put(f, "]");
	put_libraries(f);
	put_shared(f);
	r = out_flush(f->out);
	if (r == 0)
		r = gzip_pack_finish(f->packer);
	gzip_pack_destroy(f->packer);
	return r;
}

static int write(struct convert *c)
{
	struct firefox f = {.c = c, .p = &c->r->profile, .out = malloc(sizeof(struct out))};
	const char *unit = convert_unit(c->r, c->r->column);
	int r = profile_init(&f.tables);

	f.is_time = unit_is_compatible(unit, "nanoseconds");
	f.is_bytes = unit_is_compatible(unit, "bytes");
	profile_limit(&f.tables, PPROF_MEMORY_MAX);
	profile_keep_bytes(&f.tables);
	if (f.out == NULL)
		r = -ENOMEM;
	if (r == 0)
		r = number_frames(&f);
	if (r == 0)
		r = add_stacks(&f);
	if (r == 0)
		r = write_packed(&f);
	profile_fini(&f.tables);
	free(f.first_line);
	free(f.function_of);
	free(f.stack_of);
	free(f.out);
	return r;
}

const struct convert_form convert_firefox = {
	.name = "firefox",
	.about = "Firefox's profiler, profiler.firefox.com, with lines and libraries",
	.granularity = BY_ADDRESS,
	.is_packed = true,
	.write = write,
};
