#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/syscalls.h"
#include "viewer/profiles.h"

/* A module has two mappings: consumers take one as symbolized as a whole, and look for themselves in the other. */
struct module_mappings {
	uint32_t named, unnamed;
};

struct writing {
	const struct profiles *profiles;
	const struct tables *tables;
	struct frames *frames;
	struct profile *p;
	struct map location_of; /* by a frame's number */
	struct map module_of;
	struct module_mappings *modules;
	uint32_t modules_n, modules_room;
	struct name name;
};

static void fail(struct writing *w)
{
	if (w->p->error == 0)
		w->p->error = -ENOMEM;
}

/* One string of the profile. */
static const char *keep(struct writing *w, const struct name *name)
{
	return profile_string_raw(w->p, name->text, name->n);
}

static const char *keep_id(struct writing *w, uint32_t id)
{
	const struct table_text *text = tables_string(w->tables, id);

	return text != NULL ? profile_string_raw(w->p, text->text, text->length) : "";
}

static uint32_t add_mapping(struct writing *w, const struct table_module *m, bool is_named,
			    bool has_lines)
{
	uint32_t at = map_get(&w->module_of, m->id), *to;
	struct profile_mapping mapping = {
		.start = m->start,
		.limit = m->end,
		.offset = m->file_offset,
		.file = keep_id(w, m->path),
		.build_id = keep_id(w, m->build_id),
		.has_functions = is_named,
		.has_filenames = is_named && has_lines,
		.has_line_numbers = is_named && has_lines,
		.has_inline_frames = is_named && has_lines,
	};
	struct module_mappings *list;

	if (at == MAP_NONE) {
		if (w->modules_n == w->modules_room) {
			uint32_t room = w->modules_room != 0 ? w->modules_room * 2 : 16;

			list = realloc(w->modules, room * sizeof(*list));
			if (list == NULL) {
				fail(w);
				return PROFILE_NONE;
			}
			w->modules = list;
			w->modules_room = room;
		}
		at = w->modules_n++;
		w->modules[at] = (struct module_mappings){PROFILE_NONE, PROFILE_NONE};
		if (map_set(&w->module_of, m->id, at) < 0)
			fail(w);
	}
	to = is_named ? &w->modules[at].named : &w->modules[at].unnamed;
	if (*to == PROFILE_NONE)
		*to = profile_add_mapping(w->p, &mapping);
	return *to;
}

static uint32_t add_location(struct writing *w, const struct frame *frame)
{
	uint32_t at = map_get(&w->location_of, frame->number), n = 0;
	struct profile_location location = {.address = TRACE_FRAME_ADDRESS(frame->word),
					    .mapping = PROFILE_NONE};
	struct profile_line *lines;

	if (at != MAP_NONE)
		return at;
	lines = calloc(frame->n + 1, sizeof(*lines));
	if (lines == NULL) {
		fail(w);
		return 0;
	}
	for (; n < frame->n; n++) {
		const struct frame_line *line = &frame->lines[n];
		struct profile_function function = {.name = line->function,
						    .system_name = line->system_name,
						    .file = line->file,
						    .start_line = line->start_line};

		lines[n] =
			(struct profile_line){profile_add_function(w->p, &function), line->line, 0};
	}
	if (TRACE_FRAME_MODULE(frame->word) == TRACE_FRAME_NAMED)
		location.address = 0;
	if (frame->module != NULL)
		location.mapping = add_mapping(w, frame->module, n > 0, frame->has_lines);
	location.lines = lines;
	location.lines_n = n;
	at = profile_add_location(w->p, &location);
	free(lines);
	if (map_set(&w->location_of, frame->number, at) < 0)
		fail(w);
	return at;
}

/* A location without an address, in place of a stack that is not known: "[read]", "[mutex]". */
static uint32_t add_word(struct writing *w, const struct profiles_row *row)
{
	const char *call = row->call != 0 ? syscalls_name(row->call - 1) : NULL;
	struct profile_function function = {.file = ""};
	struct profile_location location = {.mapping = PROFILE_NONE, .lines_n = 1};
	struct profile_line line;

	name_clear(&w->name);
	if (call != NULL)
		name_format(&w->name, "[%s]", call);
	else if (row->call != 0)
		name_format(&w->name, "[syscall %" PRIu32 "]", row->call - 1);
	else
		name_format(&w->name, "[%s]", profiles_what_name(row->what));
	function.name = function.system_name = keep(w, &w->name);
	line = (struct profile_line){profile_add_function(w->p, &function), 0, 0};
	location.lines = &line;
	return profile_add_location(w->p, &location);
}

/* ---- samples ---- */

#define LABELS_MAX 8

static uint32_t labels_of(struct writing *w, const struct profiles_row *row,
			  struct profile_label ret[LABELS_MAX])
{
	unsigned wanted = w->profiles->options.labels;
	const char *call = row->call != 0 ? syscalls_name(row->call - 1) : NULL;
	const struct table_file *file = row->file != 0 ? tables_file(w->tables, row->file) : NULL;
	uint32_t n = 0;

#define LABEL(label)                                                     \
	ret[n++] = (struct profile_label)                                \
	{                                                                \
		.key = (label), .str = keep(w, &w->name), .num_unit = "" \
	}
	if (row->thread != 0) {
		name_clear(&w->name);
		name_thread(&w->name, w->tables, row->thread);
		LABEL("thread");
	}
	if (row->object != 0) {
		name_clear(&w->name);
		name_object(&w->name, w->tables, row->object);
		LABEL("lock");
	}
	if (row->call != 0 && (wanted & PROFILES_CALL)) {
		name_clear(&w->name);
		if (call != NULL)
			name_format(&w->name, "%s", call);
		else
			name_format(&w->name, "%" PRIu32, row->call - 1);
		LABEL("syscall");
	}
	if (row->what != PROFILES_NOTHING && (wanted & PROFILES_WHAT)) {
		name_clear(&w->name);
		name_format(&w->name, "%s", profiles_what_name(row->what));
		LABEL("kind");
	}
	if (row->holder != 0) {
		name_clear(&w->name);
		name_thread(&w->name, w->tables, row->holder);
		LABEL("holder");
	}
	if (row->path != 0 || (file != NULL && file->name != 0)) {
		const char *path = keep_id(w, row->path != 0 ? row->path : file->name);

		if (path[0] != '\0')
			ret[n++] =
				(struct profile_label){.key = "path", .str = path, .num_unit = ""};
	}
	if (row->task_type != 0)
		ret[n++] = (struct profile_label){
			.key = "task_type", .str = keep_id(w, row->task_type), .num_unit = ""};
#undef LABEL
	for (uint32_t i = 0; i < n; i++)
		ret[i].key = profile_string(w->p, ret[i].key);
	return n;
}

static void add_row(struct writing *w, const struct profiles_row *row)
{
	uint32_t locations[FRAMES_DEPTH_MAX];
	struct profile_label labels[LABELS_MAX];
	int64_t values[2] = {row->count <= INT64_MAX ? (int64_t)row->count : INT64_MAX,
			     row->ns <= INT64_MAX ? (int64_t)row->ns : INT64_MAX};
	struct profile_sample sample = {.locations = locations, .values = values, .labels = labels};
	const uint64_t *words;
	uint32_t n = frames_stack(w->frames, row->stack, &words);

	for (uint32_t i = 0; i < n; i++) {
		const struct frame *frame = frames_get(w->frames, words[i]);

		if (frame == NULL) {
			fail(w);
			return;
		}
		locations[sample.locations_n++] = add_location(w, frame);
	}
	if (n == 0)
		locations[sample.locations_n++] = add_word(w, row);
	sample.labels_n = labels_of(w, row, labels);
	profile_add_sample(w->p, &sample);
}

/* pprof takes the first mapping for the program. */
static void begin_with_program(struct writing *w)
{
	const struct tables *t = w->tables;
	const char *exe = tables_metadata(t, "exe"), *path;
	const struct table_module *program = t->modules_n > 0 ? &t->modules[0] : NULL;

	for (uint32_t i = 0; i < t->modules_n && exe != NULL; i++) {
		path = tables_text(t, t->modules[i].path);
		if (path != NULL && strcmp(path, exe) == 0) {
			program = &t->modules[i];
			break;
		}
	}
	if (program != NULL)
		add_mapping(w, program, true, true);
}

static const char *count_name(enum profiles_kind kind)
{
	switch (kind) {
	case PROFILES_SYNC:
	case PROFILES_LOCK:
	case PROFILES_COND:
		return "contentions";
	case PROFILES_SYSCALL:
		return "syscalls";
	case PROFILES_SLEEP:
		return "sleeps";
	case PROFILES_CPU:
		return "samples";
	default:
		return "delays";
	}
}

static void add_comments(struct profile *p, const struct profiles *profiles,
			 const struct story_counts *counts)
{
	uint64_t all = 0;
	char text[200];

	for (unsigned i = 0; i < TRACE_STATES; i++)
		all += counts->state_ns[i];
	snprintf(text, sizeof(text), "cprof-trace pprof %s%s",
		 profiles_kind_name(profiles->options.kind),
		 profiles->options.by_holder ? " --by holder" : "");
	profile_add_comment(p, text);
	if (profiles->idle_count > 0) {
		snprintf(text, sizeof(text),
			 "left out: %" PRIu64 " idle ones, %" PRIu64 " ns; --include-idle",
			 profiles->idle_count, profiles->idle_ns);
		profile_add_comment(p, text);
	}
	if (counts->state_ns[TRACE_UNKNOWN] > 0) {
		snprintf(text, sizeof(text),
			 "not known: what threads did in %" PRIu64 " ns of %" PRIu64,
			 counts->state_ns[TRACE_UNKNOWN], all);
		profile_add_comment(p, text);
	}
	if (counts->lost_events > 0) {
		snprintf(text, sizeof(text), "lost: %" PRIu64 " events in %" PRIu64 " gaps",
			 counts->lost_events, counts->gaps);
		profile_add_comment(p, text);
	}
	if (profiles->unlabelled > 0) {
		snprintf(text, sizeof(text), "without labels: %" PRIu64, profiles->unlabelled);
		profile_add_comment(p, text);
	}
}

int profiles_write(const struct profiles *profiles, struct frames *frames, const struct reader *r,
		   const struct story_counts *counts, struct profile *ret)
{
	struct writing w = {
		.profiles = profiles, .tables = profiles->tables, .frames = frames, .p = ret};
	bool is_cpu = profiles->options.kind == PROFILES_CPU;

	profile_add_sample_type(ret, count_name(profiles->options.kind), "count");
	profile_add_sample_type(ret, is_cpu ? "cpu" : "delay", "nanoseconds");
	ret->default_sample_type = profile_string(ret, is_cpu ? "cpu" : "delay");
	ret->period_type.type = profile_string(ret, is_cpu ? "cpu" : "trace");
	ret->period_type.unit = profile_string(ret, is_cpu ? "nanoseconds" : "count");
	ret->period = 1;
	if (is_cpu && profiles->count > 0)
		ret->period = (int64_t)(profiles->ns / profiles->count);
	if (r->has_header) /* the end of a ring begins later than its header says */
		ret->time_ns = (int64_t)(r->header.begun_realtime_ns +
					 (counts->begin_ns > r->header.begun_monotonic_ns
						  ? counts->begin_ns - r->header.begun_monotonic_ns
						  : 0));
	if (counts->end_ns > counts->begin_ns)
		ret->duration_ns = (int64_t)(counts->end_ns - counts->begin_ns);
	begin_with_program(&w);
	for (uint32_t i = 0; i < profiles->rows_n && ret->error == 0; i++)
		add_row(&w, &profiles->rows[i]);
	/* two threads may have one name */
	profile_merge_samples(ret);
	add_comments(ret, profiles, counts);
	map_fini(&w.location_of);
	map_fini(&w.module_of);
	free(w.modules);
	return profile_error(ret);
}
