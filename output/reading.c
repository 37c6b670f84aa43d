#include "output/reading.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/labels.h"
#include "core/stacks.h"
#include "core/table.h"

#define FRAMES_MAX  2048 /* deeper than any walk: such a stack is not one */
#define LABEL_BYTES 4096 /* longer keys and values are cut */
#define LINES_MAX   64   /* inlined calls at one address; deeper ones lose their outermost */

struct reading_window {
	const struct profile_ops *ops;
	uint64_t begun_ns;
	uint64_t serials[SEGMENT_GENERATIONS];
	uint64_t lost[LOST_KINDS], notes[NOTE_KINDS];
	struct table_row *rows; /* sorted by generation, stack, labels */
	size_t rows_n, rows_room;
};

static int add_row(void *user, const struct table_row *row)
{
	struct reading_window *w = user;

	if (w->rows_n == w->rows_room) {
		size_t room = w->rows_room ? w->rows_room * 2 : 1024;
		struct table_row *rows = realloc(w->rows, room * sizeof(*rows));

		if (rows == NULL)
			return -ENOMEM;
		w->rows = rows;
		w->rows_room = room;
	}
	w->rows[w->rows_n++] = *row;
	return 0;
}

/* Rows in the order in which their stacks were first seen. */
static int compare_rows(const void *a, const void *b)
{
	const struct table_row *x = a, *y = b;

	if (x->generation != y->generation)
		return x->generation < y->generation ? -1 : 1;
	if (x->stack != y->stack)
		return x->stack < y->stack ? -1 : 1;
	return (x->labels > y->labels) - (x->labels < y->labels);
}

static int take_reading(const struct segment *s, const struct profile_ops *ops,
			struct reading_window *ret)
{
	int r;

	*ret = (struct reading_window){.ops = ops, .begun_ns = clock_monotonic()};
	for (unsigned g = 0; g < SEGMENT_GENERATIONS; g++)
		ret->serials[g] = atomic_load_explicit(&s->header->generations[g].serial,
						       memory_order_acquire);
	for (unsigned i = 0; i < LOST_KINDS; i++)
		ret->lost[i] = atomic_load_explicit(&s->header->lost[i], memory_order_relaxed);
	for (unsigned i = 0; i < NOTE_KINDS; i++)
		ret->notes[i] = atomic_load_explicit(&s->header->notes[i], memory_order_relaxed);
	r = table_read(s, ops->table, add_row, ret);
	if (r < 0) {
		free(ret->rows);
		return r;
	}
	if (ret->rows_n > 0)
		qsort(ret->rows, ret->rows_n, sizeof(*ret->rows), compare_rows);
	return 0;
}

int reading_window_begin(const struct segment *s, const struct profile_ops *ops,
			 struct reading_window **ret)
{
	struct reading_window *w = malloc(sizeof(*w));
	int r;

	if (w == NULL)
		return -ENOMEM;
	r = take_reading(s, ops, w);
	if (r < 0) {
		free(w);
		return r;
	}
	*ret = w;
	return 0;
}

void reading_window_end(struct reading_window *window)
{
	if (window != NULL)
		free(window->rows);
	free(window);
}

uint64_t reading_window_serial(const struct reading_window *window)
{
	uint64_t oldest = UINT64_MAX;

	for (unsigned g = 0; g < SEGMENT_GENERATIONS; g++)
		if (window->serials[g] != 0 && window->serials[g] < oldest)
			oldest = window->serials[g];
	return oldest;
}

/* @now less what @before has of it. Rows of a generation that was given up since then have nothing to subtract. */
static void subtract(struct reading_window *now, const struct reading_window *before)
{
	size_t j = 0;

	for (size_t i = 0; i < now->rows_n; i++) {
		struct table_row *row = &now->rows[i];

		while (j < before->rows_n && compare_rows(&before->rows[j], row) < 0)
			j++;
		if (j == before->rows_n)
			break;
		if (compare_rows(&before->rows[j], row) != 0 ||
		    before->serials[row->generation] != now->serials[row->generation])
			continue;
		for (unsigned c = 0; c < TABLE_COLUMNS_MAX; c++)
			row->values[c] -= before->rows[j].values[c];
	}
	for (unsigned i = 0; i < LOST_KINDS; i++)
		now->lost[i] -= before->lost[i];
	for (unsigned i = 0; i < NOTE_KINDS; i++)
		now->notes[i] -= before->notes[i];
}

/* Frame word → location, and what hangs on it. One for each profile that is made. */
struct maker {
	const struct segment *s;
	struct symbols *symbols;
	struct profile *p;
	struct {
		uint64_t word;
		uint32_t location;
	} * known; /* open addressing, twice the locations */
	size_t known_n, known_room;
	struct module_view {
		bool is_opened;
		struct symbols_module *symbols;
		uint32_t named, unnamed; /* mapping indexes: locations with and without lines */
	} * modules;
	uint32_t modules_n;
	struct symbols_jit *jit;
	bool jit_is_opened;
	uint32_t jit_mapping, anonymous_mapping;
};

static void hex_of(char *ret, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ret[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
		ret[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
	}
	ret[2 * n] = '\0';
}

/* The record @index, copied so that it cannot change under us; false when it makes no sense. */
static bool read_module(const struct maker *m, uint32_t index, struct segment_module *ret)
{
	if (index >= m->modules_n)
		return false;
	memcpy(ret, segment_module_at(m->s, index), sizeof(*ret));
	return ret->state != MODULE_FREE && ret->start < ret->end &&
	       ret->build_id_size <= sizeof(ret->build_id);
}

/* The file's path as profiles have it: pprof wants no " (deleted)". */
static void path_of(const struct maker *m, const struct segment_module *module, char *ret,
		    size_t size)
{
	static const char deleted[] = " (deleted)";
	size_t length;

	segment_copy_text(m->s, module->path, ret, size);
	length = strlen(ret);
	if (length > sizeof(deleted) - 1 &&
	    strcmp(ret + length - (sizeof(deleted) - 1), deleted) == 0)
		ret[length - (sizeof(deleted) - 1)] = '\0';
}

/* Opens the symbols of module @index once, and gives it its mapping. */
static struct module_view *view_module(struct maker *m, uint32_t index)
{
	struct module_view *view = &m->modules[index];
	struct segment_module module;
	struct profile_mapping mapping;
	struct symbols_kind kind;
	char path[1024], build_id[41];
	struct why why = {""};

	if (view->is_opened)
		return view;
	view->is_opened = true;
	view->named = view->unnamed = PROFILE_NONE;
	if (!read_module(m, index, &module))
		return view;
	path_of(m, &module, path, sizeof(path));
	hex_of(build_id, module.build_id, module.build_id_size);
	mapping = (struct profile_mapping){.start = module.start,
					   .limit = module.end,
					   .offset = module.file_offset,
					   .file = path,
					   .build_id = build_id};
	if (m->symbols != NULL)
		view->symbols = symbols_module(m->symbols, path, module.build_id,
					       module.build_id_size, &why);
	if (view->symbols == NULL) {
		view->named = view->unnamed = profile_add_mapping(m->p, &mapping);
		return view;
	}
	kind = symbols_module_kind(view->symbols);
	mapping.has_functions = true;
	mapping.has_filenames = mapping.has_line_numbers = kind.has_lines;
	mapping.has_inline_frames = kind.has_inlines;
	view->named = profile_add_mapping(m->p, &mapping);
	return view;
}

/*
 * Consumers take a mapping as symbolized as a whole. The places in it that have no name get a twin of the mapping
 * that says it has none, so that they may still look for themselves.
 */
static uint32_t unnamed_twin(struct maker *m, uint32_t index)
{
	struct module_view *view = &m->modules[index];
	struct profile_mapping twin;

	if (view->unnamed == PROFILE_NONE && view->named != PROFILE_NONE && !profile_error(m->p)) {
		twin = m->p->mappings[view->named];
		twin.has_functions = twin.has_filenames = twin.has_line_numbers =
			twin.has_inline_frames = false;
		view->unnamed = profile_add_mapping(m->p, &twin);
	}
	return view->unnamed;
}

static uint32_t add_named(struct maker *m, uint64_t address, uint32_t mapping, const char *name)
{
	struct profile_function function = {.name = name, .system_name = name, .file = ""};
	struct profile_line line = {.function = profile_add_function(m->p, &function)};
	struct profile_location location = {
		.address = address, .mapping = mapping, .lines_n = 1, .lines = &line};

	return profile_add_location(m->p, &location);
}

/* Code without a file: a JIT's, when it left a map of names, or unknown. */
static uint32_t add_anonymous(struct maker *m, uint64_t address)
{
	struct profile_location location = {.address = address};
	const char *name = NULL;

	if (!m->jit_is_opened && m->symbols != NULL)
		m->jit = symbols_jit(m->symbols, m->s->header->pid, NULL);
	m->jit_is_opened = true;
	if (m->jit != NULL)
		name = symbols_jit_lookup(m->jit, address);
	if (name != NULL) {
		struct profile_mapping jit = {
			.file = "[jit]", .build_id = "", .has_functions = true};

		if (m->jit_mapping == PROFILE_NONE)
			m->jit_mapping = profile_add_mapping(m->p, &jit);
		return add_named(m, address, m->jit_mapping, name);
	}
	if (m->anonymous_mapping == PROFILE_NONE) {
		struct profile_mapping anonymous = {.file = "//anon", .build_id = ""};

		m->anonymous_mapping = profile_add_mapping(m->p, &anonymous);
	}
	location.mapping = m->anonymous_mapping;
	return profile_add_location(m->p, &location);
}

static uint32_t make_location(struct maker *m, uint64_t word)
{
	uint64_t address = FRAME_ADDRESS(word);
	uint32_t index = FRAME_MODULE(word) - 1;
	struct profile_location location = {.address = address, .mapping = PROFILE_NONE};
	struct symbols_frame frames[LINES_MAX];
	struct profile_line lines[LINES_MAX];
	struct module_view *view;
	struct segment_module module;
	int n = 0;

	if (word == FRAME_TRUNCATED)
		return add_named(m, 0, PROFILE_NONE, "[truncated]");
	if (FRAME_MODULE(word) == 0 || !read_module(m, index, &module))
		return add_anonymous(m, address);
	view = view_module(m, index);
	if (view->symbols != NULL)
		n = symbols_lookup(view->symbols, address - module.bias, frames, LINES_MAX);
	for (int i = 0; i < n; i++) {
		struct profile_function function = {.name = frames[i].name,
						    .system_name = frames[i].system_name,
						    .file = frames[i].file,
						    .start_line = frames[i].start_line};

		lines[i] = (struct profile_line){profile_add_function(m->p, &function),
						 frames[i].line, 0};
	}
	location.lines = lines;
	location.lines_n = (uint32_t)(n > 0 ? n : 0);
	location.mapping = n > 0 || view->symbols == NULL ? view->named : unnamed_twin(m, index);
	return profile_add_location(m->p, &location);
}

static uint32_t location_of(struct maker *m, uint64_t word)
{
	size_t at;

	if (m->known_n * 2 >= m->known_room) {
		size_t room = m->known_room ? m->known_room * 2 : 1024;
		__typeof__(m->known) fresh = calloc(room, sizeof(*fresh));

		if (fresh == NULL) {
			m->p->error = -ENOMEM;
			return 0;
		}
		for (size_t i = 0; i < m->known_room; i++) {
			if (m->known[i].word == 0)
				continue;
			at = m->known[i].word * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (room - 1);
			while (fresh[at].word != 0)
				at = (at + 1) & (room - 1);
			fresh[at] = m->known[i];
		}
		free(m->known);
		m->known = fresh;
		m->known_room = room;
	}
	if (word == 0)
		return add_anonymous(m, 0);
	at = word * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (m->known_room - 1);
	while (m->known[at].word != 0 && m->known[at].word != word)
		at = (at + 1) & (m->known_room - 1);
	if (m->known[at].word == 0) {
		m->known[at].location = make_location(m, word);
		m->known[at].word = word;
		m->known_n++;
	}
	return m->known[at].location;
}

static void add_sample(struct maker *m, const struct profile_ops *ops, const struct table_row *row)
{
	uint32_t pairs[LABEL_SET_PAIRS][2], pairs_n = labels_copy(m->s, row->labels, pairs);
	struct profile_label labels[LABEL_SET_PAIRS];
	struct profile_sample sample = {.labels = labels};
	int64_t values[TABLE_COLUMNS_MAX];
	bool is_zero = true;
	uint32_t depth = 0;
	const uint64_t *frames = stacks_frames(m->s, row->generation, row->stack, &depth);

	for (unsigned c = 0; ops->values[c].type != NULL && c < TABLE_COLUMNS_MAX; c++) {
		values[c] = (int64_t)row->values[c];
		is_zero = is_zero && values[c] == 0;
	}
	if (is_zero || frames == NULL || depth > FRAMES_MAX)
		return;
	for (uint32_t i = 0; i < pairs_n; i++) {
		char key[LABEL_BYTES], value[LABEL_BYTES];

		segment_copy_text(m->s, pairs[i][0], key, sizeof(key));
		if (key[0] == '\0')
			continue;
		segment_copy_text(m->s, pairs[i][1], value, sizeof(value));
		labels[sample.labels_n++] = (struct profile_label){
			.key = profile_string(m->p, key),
			.str = profile_string(m->p, value),
			.num_unit = "",
		};
	}
	sample.values = values;
	sample.locations_n = depth;
	sample.locations = calloc(depth + 1, sizeof(*sample.locations));
	if (sample.locations == NULL) {
		m->p->error = -ENOMEM;
		return;
	}
	for (uint32_t i = 0; i < depth; i++)
		sample.locations[i] = location_of(m, frames[i]);
	profile_add_sample(m->p, &sample);
	free(sample.locations);
}

/* A sample that stands for @count periods that have no stack, under a name that says why. */
static void add_lost(struct maker *m, const char *name, uint64_t count, uint64_t period)
{
	uint32_t location = add_named(m, 0, PROFILE_NONE, name);
	int64_t values[TABLE_COLUMNS_MAX] = {(int64_t)count, (int64_t)(count * period)};
	struct profile_sample sample = {.locations_n = 1, .locations = &location, .values = values};

	profile_add_sample(m->p, &sample);
}

static void add_comments(struct profile *p, const struct reading_window *now, uint64_t period_ns)
{
	char text[160];

	profile_add_comment(p, "cprof " CPROF_VERSION);
	snprintf(text, sizeof(text),
		 "%" PRIu64 " signals at %" PRIu64 " Hz; %" PRIu64 " stacks truncated",
		 now->notes[NOTE_SIGNALS], NS_PER_SECOND / period_ns, now->notes[NOTE_TRUNCATED]);
	profile_add_comment(p, text);
	for (unsigned i = 0; i < LOST_KINDS; i++) {
		if (now->lost[i] == 0)
			continue;
		snprintf(text, sizeof(text), "lost: %" PRIu64 " %s: %s", now->lost[i],
			 segment_lost_unit((enum segment_lost)i),
			 segment_lost_name((enum segment_lost)i));
		profile_add_comment(p, text);
	}
}

/* From when to when the reading speaks, on the monotonic clock. */
static void set_times(const struct segment *s, const struct reading_window *now,
		      const struct reading_window *window, struct profile *ret)
{
	struct segment_header *h = s->header;
	uint64_t begun = atomic_load_explicit(&h->runs[RUN_CPU].begun_ns, memory_order_relaxed);
	uint64_t ended = atomic_load_explicit(&h->runs[RUN_CPU].ended_ns, memory_order_relaxed),
		 kept = UINT64_MAX;

	for (unsigned g = 0; g < SEGMENT_GENERATIONS; g++) {
		uint64_t from =
			atomic_load_explicit(&h->generations[g].begun_ns, memory_order_relaxed);

		if (now->serials[g] != 0 && from < kept)
			kept = from;
	}
	if (atomic_load_explicit(&h->notes[NOTE_RECYCLED], memory_order_relaxed) > 0 &&
	    kept > begun)
		begun = kept; /* what was before is given up */
	if (window != NULL && window->begun_ns > begun)
		begun = window->begun_ns;
	if (ended == 0 || ended > now->begun_ns)
		ended = now->begun_ns;
	ret->time_ns = (int64_t)(h->begun_realtime_ns + (begun - h->begun_monotonic_ns));
	ret->duration_ns = ended > begun ? (int64_t)(ended - begun) : 0;
}

int reading_profile(const struct segment *s, const struct profile_ops *ops,
		    const struct reading_window *window, struct symbols *symbols,
		    struct profile *ret, struct reading_counts *ret_counts, struct why *why)
{
	uint64_t period =
		atomic_load_explicit(&s->header->runs[RUN_CPU].period, memory_order_relaxed);
	uint32_t high = atomic_load_explicit(&s->header->modules_high, memory_order_acquire);
	struct maker m = {.s = s,
			  .symbols = symbols,
			  .p = ret,
			  .jit_mapping = PROFILE_NONE,
			  .anonymous_mapping = PROFILE_NONE};
	struct reading_window now;
	int r;

	if (period == 0) {
		why_set(why, "%s: it never ran in this process", ops->name);
		return -EAGAIN;
	}
	r = take_reading(s, ops, &now);
	if (r < 0)
		goto out_of_memory;
	r = profile_init(ret);
	if (r < 0) {
		free(now.rows);
		goto out_of_memory;
	}
	if (window != NULL)
		subtract(&now, window);

	m.modules_n = high < segment_count(s, SEGMENT_MODULES, 0)
			      ? high
			      : segment_count(s, SEGMENT_MODULES, 0);
	m.modules = calloc(m.modules_n + 1, sizeof(*m.modules));
	if (m.modules == NULL)
		ret->error = -ENOMEM;

	for (const struct value_type *v = ops->values; v->type != NULL; v++)
		profile_add_sample_type(ret, v->type, v->unit);
	ret->period_type = (struct profile_value_type){profile_string(ret, ops->period.type),
						       profile_string(ret, ops->period.unit)};
	ret->period = (int64_t)period;
	set_times(s, &now, window, ret);
	add_comments(ret, &now, period);
	if (m.modules != NULL && m.modules_n > 0)
		view_module(&m, 0); /* mappings[0] is the program */
	for (size_t i = 0; i < now.rows_n && !profile_error(ret); i++)
		add_sample(&m, ops, &now.rows[i]);
	if (now.lost[LOST_STACKS_FULL] + now.lost[LOST_TABLE_FULL] > 0)
		add_lost(&m, "[lost: tables full]",
			 now.lost[LOST_STACKS_FULL] + now.lost[LOST_TABLE_FULL], period);
	if (now.lost[LOST_STACK_ROOM] > 0)
		add_lost(&m, "[lost: alternate stack too small]", now.lost[LOST_STACK_ROOM],
			 period);
	if (now.lost[LOST_UNSAMPLED_NS] >= period)
		add_lost(&m, "[lost: signal blocked]", now.lost[LOST_UNSAMPLED_NS] / period,
			 period);
	profile_merge_samples(ret);
	if (ret_counts != NULL)
		reading_count(s, ops, ret_counts);
	free(m.known);
	free(m.modules);
	free(now.rows);
	r = profile_error(ret);
	if (r == 0)
		return 0;
	profile_fini(ret);
out_of_memory:
	why_set(why, "%s: out of memory while reading the profile", ops->name);
	return r;
}

static int count_row(void *user, const struct table_row *row)
{
	struct reading_counts *c = user;

	c->rows++;
	c->samples += row->values[0];
	c->ns += row->values[1];
	return 0;
}

void reading_count(const struct segment *s, const struct profile_ops *ops,
		   struct reading_counts *ret)
{
	struct segment_header *h = s->header;
	uint64_t period = atomic_load_explicit(&h->runs[RUN_CPU].period, memory_order_relaxed);

	*ret = (struct reading_counts){
		.signals = atomic_load_explicit(&h->notes[NOTE_SIGNALS], memory_order_relaxed),
		.lost = atomic_load_explicit(&h->lost[LOST_STACKS_FULL], memory_order_relaxed) +
			atomic_load_explicit(&h->lost[LOST_TABLE_FULL], memory_order_relaxed) +
			atomic_load_explicit(&h->lost[LOST_STACK_ROOM], memory_order_relaxed) +
			(period > 0 ? atomic_load_explicit(&h->lost[LOST_UNSAMPLED_NS],
							   memory_order_relaxed) /
					      period
				    : 0),
		.truncated = atomic_load_explicit(&h->notes[NOTE_TRUNCATED], memory_order_relaxed),
	};
	table_read(s, ops->table, count_row, ret);
}
