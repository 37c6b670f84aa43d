#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output/file.h"
#include "output/gzip.h"
#include "output/pprof.h"
#include "output/profile.pb-c.h"

typedef Cprof__Pb__Profile pb_profile;
typedef Cprof__Pb__ValueType pb_value_type;
typedef Cprof__Pb__Sample pb_sample;
typedef Cprof__Pb__Label pb_label;
typedef Cprof__Pb__Mapping pb_mapping;
typedef Cprof__Pb__Location pb_location;
typedef Cprof__Pb__Line pb_line;
typedef Cprof__Pb__Function pb_function;

/*
 * A message is the concatenation of its fields, so a Profile with one sample in it, packed once for
 * each sample, gives the same bytes as a Profile with all of them, without a second copy of
 * everything in memory.
 */

#define FLUSH_BYTES (64 << 10)

typedef int byte_sink(void *context, const void *bytes, size_t size);

struct encoder {
	const struct profile *p;
	byte_sink *sink;
	void *context;
	int error;

	uint8_t *out; /* packed and not yet in the sink */
	size_t out_n, out_max;

	/* string table: texts in order, and where each pointer is in it */
	const char **texts;
	uint32_t texts_n, texts_max;
	struct {
		const char *text;
		uint32_t number;
	} * slots;
	uint32_t slots_n;

	/* room for the parts of one message */
	void *parts;
	size_t parts_max;
};

static void fail(struct encoder *e, int error)
{
	if (e->error == 0)
		e->error = error;
}

static void flush(struct encoder *e)
{
	int r;

	if (e->error == 0 && e->out_n > 0) {
		r = e->sink(e->context, e->out, e->out_n);
		if (r < 0)
			fail(e, r);
	}
	e->out_n = 0;
}

static void put_message(struct encoder *e, const pb_profile *message)
{
	size_t size = cprof__pb__profile__get_packed_size(message);
	uint8_t *bigger;

	if (e->error < 0 || size == 0)
		return;
	if (e->out_n + size > e->out_max) {
		bigger = realloc(e->out, (e->out_n + size) * 2);
		if (bigger == NULL) {
			fail(e, -ENOMEM);
			return;
		}
		e->out = bigger;
		e->out_max = (e->out_n + size) * 2;
	}
	e->out_n += cprof__pb__profile__pack(message, e->out + e->out_n);
	if (e->out_n >= FLUSH_BYTES)
		flush(e);
}

static void *parts(struct encoder *e, size_t size)
{
	void *bigger;

	if (e->parts != NULL && size <= e->parts_max)
		return e->parts;
	bigger = realloc(e->parts, size * 2 + 64); /* never 0: NULL means out of memory */
	if (bigger == NULL) {
		fail(e, -ENOMEM);
		return NULL;
	}
	e->parts = bigger;
	e->parts_max = size * 2 + 64;
	return bigger;
}

static uint32_t slot_of(const struct encoder *e, const char *text)
{
	uint64_t hash = (uintptr_t)text * 0x9e3779b97f4a7c15u;
	uint32_t slot = (uint32_t)(hash >> 32) & (e->slots_n - 1);

	while (e->slots[slot].text != NULL && e->slots[slot].text != text)
		slot = (slot + 1) & (e->slots_n - 1);
	return slot;
}

static void grow_texts(struct encoder *e)
{
	uint32_t i, slot, n = e->texts_max == 0 ? 256 : e->texts_max * 2;
	const char **bigger = realloc(e->texts, n * sizeof(*bigger));
	void *slots = calloc((size_t)n * 2, sizeof(*e->slots));

	if (bigger != NULL)
		e->texts = bigger;
	if (bigger == NULL || slots == NULL) {
		free(slots);
		fail(e, -ENOMEM);
		return;
	}
	free(e->slots);
	e->slots = slots;
	e->slots_n = n * 2;
	e->texts_max = n;
	for (i = 0; i < e->texts_n; i++) {
		slot = slot_of(e, e->texts[i]);
		e->slots[slot].text = e->texts[i];
		e->slots[slot].number = i;
	}
}

/*
 * The number of @text in the string table. Strings of a profile are interned: its address stands
 * for it.
 */
static int64_t number_of(struct encoder *e, const char *text)
{
	uint32_t slot;

	if (text == NULL || text[0] == '\0')
		return 0;
	if (e->texts_n == e->texts_max)
		grow_texts(e);
	if (e->error < 0)
		return 0;
	slot = slot_of(e, text);
	if (e->slots[slot].text == NULL) {
		e->slots[slot].text = text;
		e->slots[slot].number = e->texts_n;
		e->texts[e->texts_n++] = text;
	}
	return e->slots[slot].number;
}

/* The same for the few fields that anybody may set to a literal of the same text. */
static int64_t number_of_literal(struct encoder *e, const char *text)
{
	uint32_t i;

	for (i = 0; text != NULL && i < e->texts_n; i++)
		if (strcmp(e->texts[i], text) == 0)
			return i;
	return number_of(e, text);
}

static void put_sample_types(struct encoder *e)
{
	pb_profile message = CPROF__PB__PROFILE__INIT;
	pb_value_type type = CPROF__PB__VALUE_TYPE__INIT, *types[] = {&type};
	uint32_t i;

	message.n_sample_type = 1;
	message.sample_type = types;
	for (i = 0; i < e->p->sample_types_n; i++) {
		type.type_str = number_of(e, e->p->sample_types[i].type);
		type.unit_str = number_of(e, e->p->sample_types[i].unit);
		put_message(e, &message);
	}
}

static void put_sample(struct encoder *e, const struct profile_sample *s)
{
	pb_profile message = CPROF__PB__PROFILE__INIT;
	pb_sample sample = CPROF__PB__SAMPLE__INIT, *samples[] = {&sample};
	uint64_t *ids;
	pb_label *labels, **label_pointers;
	uint32_t i;

	ids = parts(e, s->locations_n * sizeof(*ids) +
			       s->labels_n * (sizeof(*labels) + sizeof(*label_pointers)));
	if (ids == NULL)
		return;
	labels = (void *)(ids + s->locations_n);
	label_pointers = (void *)(labels + s->labels_n);

	for (i = 0; i < s->locations_n; i++)
		ids[i] = s->locations[i] == PROFILE_NONE ? 0 : (uint64_t)s->locations[i] + 1;
	for (i = 0; i < s->labels_n; i++) {
		const struct profile_label *from = &s->labels[i];

		cprof__pb__label__init(&labels[i]);
		label_pointers[i] = &labels[i];
		labels[i].key_str = number_of(e, from->key);
		if (from->str != NULL) {
			labels[i].str = number_of(e, from->str);
		} else {
			labels[i].num = from->num;
			labels[i].num_unit_str = number_of(e, from->num_unit);
		}
	}

	sample.n_location_id = s->locations_n;
	sample.location_id = ids;
	sample.n_value = e->p->sample_types_n;
	sample.value = s->values;
	sample.n_label = s->labels_n;
	sample.label = label_pointers;
	message.n_sample = 1;
	message.sample = samples;
	put_message(e, &message);
}

static void put_mappings(struct encoder *e)
{
	pb_profile message = CPROF__PB__PROFILE__INIT;
	pb_mapping mapping = CPROF__PB__MAPPING__INIT, *mappings[] = {&mapping};
	uint32_t i;

	message.n_mapping = 1;
	message.mapping = mappings;
	for (i = 0; i < e->p->mappings_n; i++) {
		const struct profile_mapping *m = &e->p->mappings[i];

		mapping.id = (uint64_t)i + 1;
		mapping.memory_start = m->start;
		mapping.memory_limit = m->limit;
		mapping.file_offset = m->offset;
		mapping.filename_str = number_of(e, m->file);
		mapping.build_id_str = number_of(e, m->build_id);
		mapping.has_functions = m->has_functions;
		mapping.has_filenames = m->has_filenames;
		mapping.has_line_numbers = m->has_line_numbers;
		mapping.has_inline_frames = m->has_inline_frames;
		put_message(e, &message);
	}
}

static void put_location(struct encoder *e, uint32_t number)
{
	const struct profile_location *l = &e->p->locations[number];
	pb_profile message = CPROF__PB__PROFILE__INIT;
	pb_location location = CPROF__PB__LOCATION__INIT, *locations[] = {&location};
	pb_line *lines, **line_pointers;
	uint32_t i;

	lines = parts(e, l->lines_n * (sizeof(*lines) + sizeof(*line_pointers)));
	if (lines == NULL)
		return;
	line_pointers = (void *)(lines + l->lines_n);
	for (i = 0; i < l->lines_n; i++) {
		cprof__pb__line__init(&lines[i]);
		line_pointers[i] = &lines[i];
		lines[i].function_id = l->lines[i].function == PROFILE_NONE
					       ? 0
					       : (uint64_t)l->lines[i].function + 1;
		lines[i].line = l->lines[i].line;
		lines[i].column = l->lines[i].column;
	}

	location.id = (uint64_t)number + 1;
	location.mapping_id = l->mapping == PROFILE_NONE ? 0 : (uint64_t)l->mapping + 1;
	location.address = l->address;
	location.n_line = l->lines_n;
	location.line = line_pointers;
	location.is_folded = l->is_folded;
	message.n_location = 1;
	message.location = locations;
	put_message(e, &message);
}

static void put_functions(struct encoder *e)
{
	pb_profile message = CPROF__PB__PROFILE__INIT;
	pb_function function = CPROF__PB__FUNCTION__INIT, *functions[] = {&function};
	uint32_t i;

	message.n_function = 1;
	message.function = functions;
	for (i = 0; i < e->p->functions_n; i++) {
		const struct profile_function *f = &e->p->functions[i];

		function.id = (uint64_t)i + 1;
		function.name_str = number_of(e, f->name);
		function.system_name_str = number_of(e, f->system_name);
		function.filename_str = number_of(e, f->file);
		function.start_line = f->start_line;
		put_message(e, &message);
	}
}

static void put_header(struct encoder *e)
{
	const struct profile *p = e->p;
	pb_profile message = CPROF__PB__PROFILE__INIT;
	pb_value_type period_type = CPROF__PB__VALUE_TYPE__INIT;
	int64_t *comments = parts(e, p->comments_n * sizeof(*comments));
	uint32_t i;

	if (comments == NULL)
		return;
	message.drop_frames_str = number_of_literal(e, p->drop_frames);
	message.keep_frames_str = number_of_literal(e, p->keep_frames);
	message.time_nanos = p->time_ns;
	message.duration_nanos = p->duration_ns;
	if (p->period_type.type != NULL) {
		period_type.type_str = number_of_literal(e, p->period_type.type);
		period_type.unit_str = number_of_literal(e, p->period_type.unit);
		message.period_type = &period_type;
	}
	message.period = p->period;
	for (i = 0; i < p->comments_n; i++)
		comments[i] = number_of(e, p->comments[i]);
	message.n_comment_str = p->comments_n;
	message.comment_str = comments;
	message.default_sample_type_str = number_of_literal(e, p->default_sample_type);
	message.doc_url_str = number_of_literal(e, p->doc_url);
	put_message(e, &message);
}

static void put_strings(struct encoder *e)
{
	pb_profile message = CPROF__PB__PROFILE__INIT;
	char *texts[1];
	uint32_t i;

	message.n_string_table = 1;
	message.string_table = texts;
	for (i = 0; i < e->texts_n && e->error == 0; i++) {
		size_t size = strlen(e->texts[i]);

		texts[0] = (char *)e->texts[i]; /* only read */
		if (!profile_is_utf8(texts[0], size)) {
			texts[0] = parts(e, size * 3 + 1);
			if (texts[0] == NULL)
				return;
			texts[0][profile_mend_utf8(e->texts[i], size, texts[0])] = '\0';
		}
		put_message(e, &message);
	}
}

static int encode(const struct profile *p, byte_sink *sink, void *context)
{
	struct encoder e = {.p = p, .sink = sink, .context = context};
	uint32_t i;

	if (profile_error(p) < 0)
		return profile_error(p);
	grow_texts(&e);
	if (e.error == 0) {
		e.texts[e.texts_n++] = ""; /* number 0; number_of() never looks for it */
		put_sample_types(&e);
		for (i = 0; i < p->samples_n && e.error == 0; i++)
			put_sample(&e, &p->samples[i]);
		put_mappings(&e);
		for (i = 0; i < p->locations_n && e.error == 0; i++)
			put_location(&e, i);
		put_functions(&e);
		put_header(&e);
		put_strings(&e);
		flush(&e);
	}
	free(e.out);
	free(e.texts);
	free(e.slots);
	free(e.parts);
	return e.error;
}

struct bytes {
	uint8_t *at;
	size_t size, room;
};

static int sink_to_memory(void *context, const void *bytes, size_t size)
{
	struct bytes *to = context;
	uint8_t *bigger;

	if (size > to->room - to->size) {
		bigger = realloc(to->at, (to->size + size) * 2);
		if (bigger == NULL)
			return -ENOMEM;
		to->at = bigger;
		to->room = (to->size + size) * 2;
	}
	memcpy(to->at + to->size, bytes, size);
	to->size += size;
	return 0;
}

static int sink_to_gzip(void *context, const void *bytes, size_t size)
{
	return gzip_pack(context, bytes, size);
}

static int encode_gzip(const struct profile *p, byte_sink *sink, void *context)
{
	struct gzip_packer *packer;
	int r;

	r = gzip_pack_create(&packer, sink, context);
	if (r < 0)
		return r;
	r = encode(p, sink_to_gzip, packer);
	if (r == 0)
		r = gzip_pack_finish(packer);
	gzip_pack_destroy(packer);
	return r;
}

int pprof_write(const struct profile *p, int fd)
{
	return encode_gzip(p, file_sink, &fd);
}

int pprof_encode(const struct profile *p, uint8_t **ret_bytes, size_t *ret_size)
{
	struct bytes to = {0};
	int r = encode(p, sink_to_memory, &to);

	if (r < 0) {
		free(to.at);
		return r;
	}
	*ret_bytes = to.at;
	*ret_size = to.size;
	return 0;
}

int pprof_encode_gzip(const struct profile *p, uint8_t **ret_bytes, size_t *ret_size)
{
	struct bytes to = {0};
	int r = encode_gzip(p, sink_to_memory, &to);

	if (r < 0) {
		free(to.at);
		return r;
	}
	*ret_bytes = to.at;
	*ret_size = to.size;
	return 0;
}
