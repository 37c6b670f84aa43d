#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output/check.h"
#include "output/gzip.h"
#include "output/legacy.h"
#include "output/pprof.h"
#include "output/profile.pb-c.h"
#include "output/recognise.h"

typedef Cprof__Pb__ValueType pb_value_type;
typedef Cprof__Pb__Sample pb_sample;
typedef Cprof__Pb__Mapping pb_mapping;
typedef Cprof__Pb__Location pb_location;
typedef Cprof__Pb__Function pb_function;

/*
 * The fields of the outermost message are walked by hand, several times: strings and counts, then
 * mappings and functions, then locations, then samples, because the file may have them in any
 * order. Each message inside is unpacked by protobuf-c into memory that is used again for the next
 * one, so a hostile file costs no more than its own size, one message, and the struct profile with
 * its limit.
 */

#define TAKE_AGAIN "; copy it again, or take the profile again"

#define MESSAGE_MEMORY_MAX \
	((size_t)256 << 20) /* protobuf-c's need for one message: a stack of 10 million frames */

enum profile_field {
	FIELD_SAMPLE_TYPE = 1,
	FIELD_SAMPLE,
	FIELD_MAPPING,
	FIELD_LOCATION,
	FIELD_FUNCTION,
	FIELD_STRING_TABLE,
	FIELD_DROP_FRAMES,
	FIELD_KEEP_FRAMES,
	FIELD_TIME_NANOS,
	FIELD_DURATION_NANOS,
	FIELD_PERIOD_TYPE,
	FIELD_PERIOD,
	FIELD_COMMENT,
	FIELD_DEFAULT_SAMPLE_TYPE,
	FIELD_DOC_URL,
	FIELDS_N,
};

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static const struct {
	const char *name;
	enum wire_type type;
} fields[FIELDS_N] = {
	[FIELD_SAMPLE_TYPE] = {"sample_type", WIRE_BYTES},
	[FIELD_SAMPLE] = {"sample", WIRE_BYTES},
	[FIELD_MAPPING] = {"mapping", WIRE_BYTES},
	[FIELD_LOCATION] = {"location", WIRE_BYTES},
	[FIELD_FUNCTION] = {"function", WIRE_BYTES},
	[FIELD_STRING_TABLE] = {"string_table", WIRE_BYTES},
	[FIELD_DROP_FRAMES] = {"drop_frames", WIRE_VARINT},
	[FIELD_KEEP_FRAMES] = {"keep_frames", WIRE_VARINT},
	[FIELD_TIME_NANOS] = {"time_nanos", WIRE_VARINT},
	[FIELD_DURATION_NANOS] = {"duration_nanos", WIRE_VARINT},
	[FIELD_PERIOD_TYPE] = {"period_type", WIRE_BYTES},
	[FIELD_PERIOD] = {"period", WIRE_VARINT},
	[FIELD_COMMENT] = {"comment", WIRE_VARINT}, /* or packed */
	[FIELD_DEFAULT_SAMPLE_TYPE] = {"default_sample_type", WIRE_VARINT},
	[FIELD_DOC_URL] = {"doc_url", WIRE_VARINT},
};

struct field {
	uint64_t number;
	enum wire_type type;
	uint64_t value;       /* WIRE_VARINT */
	const uint8_t *bytes; /* WIRE_BYTES */
	size_t size;
	size_t offset; /* of the tag */
};

struct wire_text {
	const char *text; /* NULL: not yet interned */
	const uint8_t *bytes;
	size_t size;
};

/*
 * From the ids of one table to its indexes: straight for 0..n, as all writers number them, else by
 * bisection.
 */
struct id_table {
	uint32_t *straight; /* [0..n], PROFILE_NONE where there is none */
	uint32_t n;
	struct id_entry {
		uint64_t id;
		uint32_t index;
	} * others; /* sorted */
	uint32_t others_n;
};

struct decoder {
	const uint8_t *bytes;
	size_t size;
	struct profile *p;
	struct pprof_wire *wire;
	struct why *why;

	struct wire_text *texts;
	uint32_t texts_n;
	uint32_t counts[FIELDS_N];
	struct id_table mapping_ids, function_ids, location_ids;

	/* memory for one message, used again for the next */
	ProtobufCAllocator allocator;
	struct slab {
		struct slab *next;
		size_t used, size;
		_Alignas(16) uint8_t bytes[];
	} * slabs;
	size_t slabs_size;
	bool is_message_too_large;
};

static void *slab_alloc(void *context, size_t size)
{
	struct decoder *d = context;
	struct slab *slab = d->slabs;
	size_t want;

	if (size > MESSAGE_MEMORY_MAX)
		goto too_large;
	size = (size + 15) & ~(size_t)15;
	if (slab == NULL || size > slab->size - slab->used) {
		want = slab == NULL ? 16 << 10 : slab->size * 2;
		if (want < size)
			want = size;
		if (want > MESSAGE_MEMORY_MAX - d->slabs_size)
			want = size;
		if (want > MESSAGE_MEMORY_MAX - d->slabs_size)
			goto too_large;
		slab = malloc(sizeof(*slab) + want);
		if (slab == NULL)
			goto too_large;
		slab->size = want;
		slab->used = 0;
		slab->next = d->slabs;
		d->slabs = slab;
		d->slabs_size += want;
	}
	slab->used += size;
	return slab->bytes + slab->used - size;

too_large:
	d->is_message_too_large = true;
	return NULL;
}

static void slab_free(void *context, void *pointer)
{
	(void)context;
	(void)pointer;
}

/* Everything but the newest slab, which is the largest, goes. */
static void slabs_reset(struct decoder *d)
{
	struct slab *slab, *next;

	if (d->slabs == NULL)
		return;
	for (slab = d->slabs->next; slab != NULL; slab = next) {
		next = slab->next;
		free(slab);
	}
	d->slabs->next = NULL;
	d->slabs->used = 0;
	d->slabs_size = d->slabs->size;
}

static int out_of_room(const struct decoder *d)
{
	if (profile_error(d->p) == -E2BIG) {
		why_set(d->why,
			"it needs more than %zu MiB of memory, more than any profile should; "
			"nothing was read",
			PPROF_MEMORY_MAX >> 20);
		return -EFBIG;
	}
	why_set(d->why, "out of memory");
	return -ENOMEM;
}

static int read_varint(const uint8_t *bytes, size_t size, size_t *at, uint64_t *ret_value)
{
	uint64_t value = 0;
	int shift;

	for (shift = 0; shift < 70 && *at < size; shift += 7) {
		uint8_t byte = bytes[(*at)++];

		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0) {
			*ret_value = value;
			return 0;
		}
	}
	return -EBADMSG;
}

/* The next field at *@at. Returns 1, 0 at the end, or -EBADMSG. */
static int next_field(struct decoder *d, size_t *at, struct field *ret)
{
	uint64_t tag, size;

	if (*at == d->size)
		return 0;
	ret->offset = *at;
	if (read_varint(d->bytes, d->size, at, &tag) < 0) {
		why_set(d->why,
			"at offset %zu: a field's number was expected, and the bytes are none",
			ret->offset);
		return -EBADMSG;
	}
	ret->number = tag >> 3;
	ret->type = tag & 7;
	ret->bytes = NULL;
	ret->size = 0;
	switch (tag & 7) {
	case WIRE_VARINT:
		if (read_varint(d->bytes, d->size, at, &ret->value) < 0)
			goto cut_off;
		break;
	case WIRE_64:
		if (d->size - *at < 8)
			goto cut_off;
		*at += 8;
		break;
	case WIRE_32:
		if (d->size - *at < 4)
			goto cut_off;
		*at += 4;
		break;
	case WIRE_BYTES:
		if (read_varint(d->bytes, d->size, at, &size) < 0)
			goto cut_off;
		if (size > d->size - *at) {
			why_set(d->why,
				"at offset %zu: field %llu says it has %llu bytes, and %zu are "
				"left: "
				"the file was cut off" TAKE_AGAIN,
				ret->offset, (unsigned long long)ret->number,
				(unsigned long long)size, d->size - *at);
			return -EBADMSG;
		}
		ret->bytes = d->bytes + *at;
		ret->size = (size_t)size;
		*at += (size_t)size;
		break;
	default:
		why_set(d->why,
			"at offset %zu: a field of wire type %d, which profile.proto does not have",
			ret->offset, (int)(tag & 7));
		return -EBADMSG;
	}
	return 1;

cut_off:
	why_set(d->why,
		"at offset %zu: the value of field %llu ends early: the file was cut "
		"off" TAKE_AGAIN,
		ret->offset, (unsigned long long)ret->number);
	return -EBADMSG;
}

/* First walk: wire types, how many of each, the second profile in one file. */
static int count_fields(struct decoder *d)
{
	struct field field = {0};
	size_t at = 0;
	bool has_time = false;
	int r;

	while ((r = next_field(d, &at, &field)) > 0) {
		if (field.number == 0 || field.number >= FIELDS_N)
			continue;
		if (field.type != fields[field.number].type &&
		    !(field.number == FIELD_COMMENT && field.type == WIRE_BYTES)) {
			why_set(d->why,
				"at offset %zu: field %llu (%s) has wire type %d; %d was expected",
				field.offset, (unsigned long long)field.number,
				fields[field.number].name, (int)field.type,
				(int)fields[field.number].type);
			return -EBADMSG;
		}
		if (field.number == FIELD_TIME_NANOS) {
			if (has_time) {
				why_set(d->why,
					"at offset %zu a second profile begins: concatenated "
					"profiles detected; write each to its own file and name "
					"them all",
					field.offset);
				return -EBADMSG;
			}
			has_time = field.value != 0;
		}
		if (d->counts[field.number] == UINT32_MAX / 4) {
			why_set(d->why, "at offset %zu: more than %u entries of %s", field.offset,
				UINT32_MAX / 4, fields[field.number].name);
			return -EFBIG;
		}
		d->counts[field.number]++;
	}
	return r;
}

static int read_strings(struct decoder *d)
{
	struct field field;
	size_t at = 0;

	if (d->counts[FIELD_STRING_TABLE] == 0) {
		why_set(d->why, "there is no string table, which every profile has");
		return -EBADMSG;
	}
	if (d->counts[FIELD_STRING_TABLE] > PPROF_MEMORY_MAX / sizeof(*d->texts)) {
		why_set(d->why, "a string table of %u entries is more than any profile needs",
			d->counts[FIELD_STRING_TABLE]);
		return -EFBIG;
	}
	d->texts = malloc(d->counts[FIELD_STRING_TABLE] * sizeof(*d->texts));
	if (d->texts == NULL)
		return -ENOMEM;
	while (next_field(d, &at, &field) > 0) {
		struct wire_text *text = &d->texts[d->texts_n];

		if (field.number != FIELD_STRING_TABLE)
			continue;
		if (d->texts_n == 0 && field.size != 0) {
			why_set(d->why,
				"at offset %zu: the string table begins with %zu bytes; its first "
				"entry "
				"must be the empty string",
				field.offset, field.size);
			return -EBADMSG;
		}
		text->text = field.size == 0 ? "" : NULL;
		text->bytes = field.bytes;
		text->size = field.size;
		d->wire->bad_utf8_n += !profile_is_utf8((const char *)field.bytes, field.size);
		d->texts_n++;
	}
	return 0;
}

/* Sets *@ret to string @number, or *@r to -EBADMSG if there is none. */
static void get_text(struct decoder *d, int64_t number, const char *what, const char **ret, int *r)
{
	struct wire_text *text;

	if (*r < 0)
		return;
	if (number < 0 || number >= d->texts_n) {
		why_set(d->why, "%s is string number %lld, and the string table has 0 to %u", what,
			(long long)number, d->texts_n - 1);
		*r = -EBADMSG;
		return;
	}
	text = &d->texts[number];
	if (text->text == NULL)
		text->text = profile_string_raw(d->p, (const char *)text->bytes, text->size);
	*ret = text->text;
}

/* Unpacks the message in @field; NULL with *@r set when it is none. */
static void *unpack(struct decoder *d, const ProtobufCMessageDescriptor *descriptor,
		    const struct field *field, int *r)
{
	void *message;

	slabs_reset(d);
	d->is_message_too_large = false;
	message = protobuf_c_message_unpack(descriptor, &d->allocator, field->size, field->bytes);
	if (message != NULL)
		return message;
	if (d->is_message_too_large) {
		why_set(d->why,
			"at offset %zu: one %s of %zu bytes needs more memory than any should",
			field->offset, fields[field->number].name, field->size);
		*r = -EFBIG;
	} else {
		why_set(d->why,
			"at offset %zu: a %s of %zu bytes that does not read as one: the file "
			"is damaged" TAKE_AGAIN,
			field->offset, fields[field->number].name, field->size);
		*r = -EBADMSG;
	}
	return NULL;
}

static int compare_ids(const void *left, const void *right)
{
	const struct id_entry *a = left, *b = right;

	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

/* Of entries with one id the last counts, as in pprof. */
static int make_id_table(struct decoder *d, struct id_table *table, const uint64_t *ids, uint32_t n)
{
	uint32_t i;

	table->n = n;
	table->straight = malloc(((size_t)n + 1) * sizeof(*table->straight));
	if (table->straight == NULL)
		goto no_memory;
	memset(table->straight, 0xff, ((size_t)n + 1) * sizeof(*table->straight));
	for (i = 0; i < n; i++) {
		if (ids[i] <= n)
			table->straight[ids[i]] = i;
		else
			table->others_n++;
	}
	if (table->others_n == 0)
		return 0;
	table->others = malloc(table->others_n * sizeof(*table->others));
	if (table->others == NULL)
		goto no_memory;
	table->others_n = 0;
	for (i = 0; i < n; i++)
		if (ids[i] > n)
			table->others[table->others_n++] = (struct id_entry){ids[i], i};
	qsort(table->others, table->others_n, sizeof(*table->others), compare_ids);
	return 0;

no_memory:
	why_set(d->why, "out of memory");
	return -ENOMEM;
}

static uint32_t find_id(const struct id_table *table, uint64_t id)
{
	uint32_t low = 0, high = table->others_n, middle;

	if (id <= table->n)
		return table->straight[id];
	while (low < high) { /* the first entry behind all with this id */
		middle = low + (high - low) / 2;
		if (table->others[middle].id <= id)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || table->others[low - 1].id != id)
		return PROFILE_NONE;
	return table->others[low - 1].index;
}

/* Prefixes what get_text() said with the place. */
static int at_offset(struct decoder *d, const struct field *field, int r)
{
	struct why inner;

	if (r < 0 && d->why != NULL) {
		inner = *d->why;
		why_set(d->why, "at offset %zu: in a %s: %.150s: the file is damaged" TAKE_AGAIN,
			field->offset, fields[field->number].name, inner.text);
	}
	return r;
}

static int read_mapping(struct decoder *d, const struct field *field)
{
	struct profile_mapping *to = profile_append_mapping(d->p);
	pb_mapping *m;
	int r = 0;

	if (to == NULL)
		return out_of_room(d);
	m = unpack(d, &cprof__pb__mapping__descriptor, field, &r);
	if (m == NULL)
		return r;
	d->wire->mapping_ids[d->p->mappings_n - 1] = m->id;
	to->start = m->memory_start;
	to->limit = m->memory_limit;
	to->offset = m->file_offset;
	to->has_functions = m->has_functions;
	to->has_filenames = m->has_filenames;
	to->has_line_numbers = m->has_line_numbers;
	to->has_inline_frames = m->has_inline_frames;
	get_text(d, m->filename_str, "its file", &to->file, &r);
	get_text(d, m->build_id_str, "its build id", &to->build_id, &r);
	return at_offset(d, field, r);
}

static int read_function(struct decoder *d, const struct field *field)
{
	struct profile_function *to = profile_append_function(d->p);
	pb_function *f;
	int r = 0;

	if (to == NULL)
		return out_of_room(d);
	f = unpack(d, &cprof__pb__function__descriptor, field, &r);
	if (f == NULL)
		return r;
	d->wire->function_ids[d->p->functions_n - 1] = f->id;
	to->start_line = f->start_line;
	get_text(d, f->name_str, "its name", &to->name, &r);
	get_text(d, f->system_name_str, "its system name", &to->system_name, &r);
	get_text(d, f->filename_str, "its file", &to->file, &r);
	return at_offset(d, field, r);
}

static int read_location(struct decoder *d, const struct field *field)
{
	struct profile_location *to = profile_append_location(d->p);
	pb_location *l;
	size_t i;
	int r = 0;

	if (to == NULL)
		return out_of_room(d);
	l = unpack(d, &cprof__pb__location__descriptor, field, &r);
	if (l == NULL)
		return r;
	d->wire->location_ids[d->p->locations_n - 1] = l->id;
	to->address = l->address;
	to->is_folded = l->is_folded;
	to->mapping = find_id(&d->mapping_ids, l->mapping_id);
	d->wire->dangling_mappings_n += l->mapping_id != 0 && to->mapping == PROFILE_NONE;
	to->lines = profile_alloc(d->p, l->n_line * sizeof(*to->lines));
	if (to->lines == NULL)
		return out_of_room(d);
	to->lines_n = (uint32_t)l->n_line;
	for (i = 0; i < l->n_line; i++) {
		to->lines[i].function =
			l->line[i]->function_id == 0
				? PROFILE_NONE
				: find_id(&d->function_ids, l->line[i]->function_id);
		to->lines[i].line = l->line[i]->line;
		to->lines[i].column = l->line[i]->column;
	}
	return 0;
}

static int read_sample(struct decoder *d, const struct field *field)
{
	struct profile_sample *to = profile_append_sample(d->p);
	pb_sample *s;
	size_t i;
	int r = 0;

	if (to == NULL)
		return out_of_room(d);
	s = unpack(d, &cprof__pb__sample__descriptor, field, &r);
	if (s == NULL)
		return r;
	to->locations = profile_alloc(d->p, s->n_location_id * sizeof(*to->locations));
	to->values = profile_alloc(d->p, d->p->sample_types_n * sizeof(*to->values));
	to->labels = profile_alloc(d->p, s->n_label * sizeof(*to->labels));
	if (to->locations == NULL || to->values == NULL || to->labels == NULL)
		return out_of_room(d);
	to->locations_n = (uint32_t)s->n_location_id;
	for (i = 0; i < s->n_location_id; i++)
		to->locations[i] = find_id(&d->location_ids, s->location_id[i]);
	d->wire->values_n[d->p->samples_n - 1] = (uint32_t)s->n_value;
	for (i = 0; i < s->n_value && i < d->p->sample_types_n; i++)
		to->values[i] = s->value[i];
	for (i = 0; i < s->n_label && r == 0; i++) {
		struct profile_label *label = &to->labels[i];

		label->num_unit = "";
		get_text(d, s->label[i]->key_str, "a label's key", &label->key, &r);
		if (s->label[i]->str != 0) {
			get_text(d, s->label[i]->str, "a label's value", &label->str, &r);
		} else {
			label->num = s->label[i]->num;
			get_text(d, s->label[i]->num_unit_str, "a label's unit", &label->num_unit,
				 &r);
		}
	}
	to->labels_n = (uint32_t)s->n_label;
	return at_offset(d, field, r);
}

static int read_value_type(struct decoder *d, const struct field *field,
			   struct profile_value_type *ret)
{
	pb_value_type *type;
	int r = 0;

	type = unpack(d, &cprof__pb__value_type__descriptor, field, &r);
	if (type == NULL)
		return r;
	get_text(d, type->type_str, "its type", &ret->type, &r);
	get_text(d, type->unit_str, "its unit", &ret->unit, &r);
	return at_offset(d, field, r);
}

static int read_sample_type(struct decoder *d, const struct field *field)
{
	struct profile_value_type type = {"", ""};
	int r = read_value_type(d, field, &type);

	if (r < 0)
		return r;
	profile_add_sample_type(d->p, "", ""); /* as they are in the file, not mended */
	if (profile_error(d->p) < 0)
		return out_of_room(d);
	d->p->sample_types[d->p->sample_types_n - 1] = type;
	return 0;
}

static int read_comment(struct decoder *d, uint64_t number)
{
	const char *comment = "";
	int r = 0;

	get_text(d, (int64_t)number, "a comment", &comment, &r);
	if (r < 0)
		return r;
	profile_add_comment(d->p, "");
	if (profile_error(d->p) < 0)
		return out_of_room(d);
	d->p->comments[d->p->comments_n - 1] = comment;
	return 0;
}

static int read_comments(struct decoder *d, const struct field *field)
{
	uint64_t number;
	size_t at = 0;
	int r = 0;

	if (field->type == WIRE_VARINT)
		return at_offset(d, field, read_comment(d, field->value));
	while (at < field->size && r == 0) {
		if (read_varint(field->bytes, field->size, &at, &number) < 0) {
			why_set(d->why, "at offset %zu: the list of comments ends early",
				field->offset);
			return -EBADMSG;
		}
		r = at_offset(d, field, read_comment(d, number));
	}
	return r;
}

static int read_header_field(struct decoder *d, const struct field *field)
{
	struct profile *p = d->p;
	int64_t value = (int64_t)field->value;
	int r = 0;

	switch (field->number) {
	case FIELD_SAMPLE_TYPE:
		return read_sample_type(d, field);
	case FIELD_DROP_FRAMES:
		get_text(d, value, "its value", &p->drop_frames, &r);
		break;
	case FIELD_KEEP_FRAMES:
		get_text(d, value, "its value", &p->keep_frames, &r);
		break;
	case FIELD_TIME_NANOS:
		p->time_ns = value;
		break;
	case FIELD_DURATION_NANOS:
		p->duration_ns = value;
		break;
	case FIELD_PERIOD_TYPE:
		return read_value_type(d, field, &p->period_type);
	case FIELD_PERIOD:
		p->period = value;
		break;
	case FIELD_COMMENT:
		return read_comments(d, field);
	case FIELD_DEFAULT_SAMPLE_TYPE:
		get_text(d, value, "its value", &p->default_sample_type, &r);
		break;
	case FIELD_DOC_URL:
		get_text(d, value, "its value", &p->doc_url, &r);
		break;
	}
	return at_offset(d, field, r);
}

static int for_each_field(struct decoder *d, enum profile_field number,
			  int (*read_it)(struct decoder *d, const struct field *field))
{
	struct field field;
	size_t at = 0;
	int r = 0;

	if (number != 0 && d->counts[number] == 0)
		return 0;
	while (r == 0 && next_field(d, &at, &field) > 0)
		if (number == 0 || field.number == number)
			r = read_it(d, &field);
	return r;
}

static int decode(struct decoder *d)
{
	struct pprof_wire *wire = d->wire;
	int r;

	r = count_fields(d);
	if (r < 0)
		return r;
	r = read_strings(d);
	if (r < 0)
		return r;

	wire->mapping_ids =
		profile_alloc(d->p, d->counts[FIELD_MAPPING] * sizeof(*wire->mapping_ids));
	wire->function_ids =
		profile_alloc(d->p, d->counts[FIELD_FUNCTION] * sizeof(*wire->function_ids));
	wire->location_ids =
		profile_alloc(d->p, d->counts[FIELD_LOCATION] * sizeof(*wire->location_ids));
	wire->values_n = profile_alloc(d->p, d->counts[FIELD_SAMPLE] * sizeof(*wire->values_n));
	if (profile_error(d->p) < 0)
		return out_of_room(d);

	r = for_each_field(d, 0, read_header_field);
	if (r == 0)
		r = for_each_field(d, FIELD_MAPPING, read_mapping);
	if (r == 0)
		r = make_id_table(d, &d->mapping_ids, wire->mapping_ids, d->p->mappings_n);
	if (r == 0)
		r = for_each_field(d, FIELD_FUNCTION, read_function);
	if (r == 0)
		r = make_id_table(d, &d->function_ids, wire->function_ids, d->p->functions_n);
	if (r == 0)
		r = for_each_field(d, FIELD_LOCATION, read_location);
	if (r == 0)
		r = make_id_table(d, &d->location_ids, wire->location_ids, d->p->locations_n);
	if (r == 0)
		r = for_each_field(d, FIELD_SAMPLE, read_sample);
	if (r == 0 && profile_error(d->p) < 0)
		r = out_of_room(d);
	return r;
}

static int decode_plain(const uint8_t *bytes, size_t size, struct profile *ret,
			struct pprof_wire *wire, uint64_t *ret_fields_n, struct why *why)
{
	struct decoder d = {.bytes = bytes, .size = size, .p = ret, .wire = wire, .why = why};
	int r, i;

	d.allocator = (ProtobufCAllocator){slab_alloc, slab_free, &d};
	memset(wire, 0, sizeof(*wire));
	wire->size = size;
	r = profile_init(ret);
	if (r == 0) {
		profile_limit(ret, PPROF_MEMORY_MAX);
		r = decode(&d);
	}
	if (r < 0) {
		profile_fini(ret);
		memset(wire, 0, sizeof(*wire));
	}
	*ret_fields_n = 0;
	for (i = 0; i < FIELDS_N; i++)
		*ret_fields_n += d.counts[i];
	slabs_reset(&d);
	free(d.slabs);
	free(d.texts);
	free(d.mapping_ids.straight);
	free(d.mapping_ids.others);
	free(d.function_ids.straight);
	free(d.function_ids.others);
	free(d.location_ids.straight);
	free(d.location_ids.others);
	return r;
}

int pprof_decode_wire(const void *bytes, size_t size, struct profile *ret, struct pprof_wire *wire,
		      struct why *why)
{
	const uint8_t *plain = bytes;
	uint8_t *unpacked = NULL;
	struct why sentence;
	uint64_t fields_n = 0;
	int r;

	memset(ret, 0, sizeof(*ret));
	memset(wire, 0, sizeof(*wire));
	why_set(&sentence, "out of memory");
	if (size == 0) {
		why_set(why, "the file is empty; a profile was expected. Is the program that "
			     "writes it still "
			     "running, or is the disk full?");
		return -EBADMSG;
	}
	if (size >= 2 && plain[0] == 0x1f && plain[1] == 0x8b) {
		r = gzip_unpack(bytes, size, PPROF_BYTES_MAX, &unpacked, &size, &sentence);
		if (r < 0) {
			why_set(why, "%s", sentence.text);
			return r;
		}
		plain = unpacked;
	}
	if (size == 0) {
		why_set(why, "the gzip data holds nothing; a profile was expected in it");
		r = -EBADMSG;
	} else if (size > PPROF_BYTES_MAX) {
		why_set(why, "it is larger than %zu MiB, more than any profile needs",
			PPROF_BYTES_MAX >> 20);
		r = -EFBIG;
	} else {
		r = decode_plain(plain, size, ret, wire, &fields_n, &sentence);
		if (r == -EBADMSG)
			recognise(plain, size, fields_n, &sentence);
		if (r < 0)
			why_set(why, "%s", sentence.text);
	}
	free(unpacked);
	return r;
}

/* One of the formats that were before? -ENOENT, and @why as it was: no. */
static int decode_legacy(const uint8_t *bytes, size_t size, struct profile *ret, struct why *why)
{
	uint8_t *unpacked = NULL;
	struct why sentence;
	int r;

	why_set(&sentence, "out of memory");
	if (size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b) {
		if (gzip_unpack(bytes, size, PPROF_BYTES_MAX, &unpacked, &size, &sentence) < 0)
			return -ENOENT;
		bytes = unpacked;
	}
	r = legacy_decode(bytes, size, ret, &sentence);
	free(unpacked);
	if (r < 0 && r != -ENOENT)
		why_set(why, "%s", sentence.text);
	return r;
}

int pprof_decode(const void *bytes, size_t size, struct profile *ret, struct why *why)
{
	struct pprof_wire wire;
	struct why sentence;
	int r, legacy = -ENOENT;

	r = pprof_decode_wire(bytes, size, ret, &wire, why);
	if (r == -EBADMSG && size > 0)
		legacy = decode_legacy(bytes, size, ret, why);
	if (legacy != -ENOENT)
		return legacy;
	if (r < 0)
		return r;
	r = check_valid(ret, &wire, &sentence);
	if (r < 0) {
		why_set(why,
			"the profile contradicts itself: %s; 'cprof check' lists all that is wrong "
			"with it",
			sentence.text);
		profile_fini(ret);
	}
	return r;
}
