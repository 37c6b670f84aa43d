#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "output/profile.h"

#define CHUNK_BYTES     (64 << 10) /* 64 KiB: the smallest profile fits in one */
#define CHUNK_BYTES_MAX (1 << 20)
#define SLOT_EMPTY      UINT32_MAX

__extension__ typedef unsigned __int128 uint128;

/*
 * The store: where everything of a profile lives.
 *
 *     chunks    newest first; text, stacks, labels, lines are cut from the front one and never move
 *     arrays    the tables of struct profile; they grow by realloc
 *     index     one open-addressing table each of strings, mappings, functions and locations
 *
 * Always true:
 *   - used <= limit. What would break that sets error and returns NULL.
 *   - by_x covers the first by_x.covered entries of its table. The append functions do not
 *     index; the next adder does what they left.
 *   - Hashes start from a random seed: a file cannot be written so that all of its names collide.
 */
struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(16) unsigned char bytes[];
};

struct text {
	uint32_t size;
	char bytes[];
};

struct index {
	uint32_t *slots; /* entry number or SLOT_EMPTY */
	uint32_t slots_n, entries_n, covered;
};

struct profile_store {
	struct chunk *chunks;
	size_t used, limit;
	uint64_t seed;
	bool keeps_bytes; /* strings need not be UTF-8 */

	const char **texts; /* the strings, in order of first sight */
	uint32_t texts_n, texts_max;

	struct index by_text, by_mapping, by_function, by_location;
	uint32_t sample_types_max, mappings_max, locations_max, functions_max, samples_max,
		comments_max;

	uint64_t *bases; /* of locations, as far as they were set */
	uint32_t bases_n, bases_max;
};

static void fail(struct profile *p, int error)
{
	if (p->error == 0)
		p->error = error;
}

/* Accounts for @size more bytes. */
static int take(struct profile *p, size_t size)
{
	struct profile_store *store = p->store;

	if (store == NULL || p->error < 0) {
		fail(p, -ENOMEM);
		return p->error;
	}
	if (size > store->limit - store->used) {
		fail(p, -E2BIG);
		return p->error;
	}
	store->used += size;
	return 0;
}

void *profile_alloc(struct profile *p, size_t size)
{
	struct chunk *chunk = p->store == NULL ? NULL : p->store->chunks;
	size_t want;
	void *bytes;

	if (size > SIZE_MAX / 2) {
		fail(p, -ENOMEM);
		return NULL;
	}
	size = (size + 7) & ~(size_t)7;
	if (chunk == NULL || size > chunk->size - chunk->used) {
		want = chunk == NULL ? CHUNK_BYTES : chunk->size * 2;
		if (want > CHUNK_BYTES_MAX)
			want = CHUNK_BYTES_MAX;
		if (want < size)
			want = size;
		if (take(p, sizeof(*chunk) + want) < 0)
			return NULL;
		chunk = malloc(sizeof(*chunk) + want);
		if (chunk == NULL) {
			fail(p, -ENOMEM);
			return NULL;
		}
		chunk->used = 0;
		chunk->size = want;
		chunk->next = p->store->chunks;
		p->store->chunks = chunk;
	}
	bytes = chunk->bytes + chunk->used;
	chunk->used += size;
	return memset(bytes, 0, size);
}

/* Makes room for one more entry in a table. */
static int grow(struct profile *p, void **table, uint32_t n, uint32_t *n_max, size_t entry_size)
{
	uint32_t more = *n_max < 16 ? 16 : *n_max * 2;
	void *bigger;

	if (n < *n_max)
		return 0;
	if (*n_max >=
	    UINT32_MAX / 4) { /* indexes are 32 bits, with values to spare for PROFILE_NONE */
		fail(p, -E2BIG);
		return p->error;
	}
	if (take(p, (more - *n_max) * entry_size) < 0)
		return p->error;
	bigger = realloc(*table, more * entry_size);
	if (bigger == NULL) {
		fail(p, -ENOMEM);
		return p->error;
	}
	*table = bigger;
	*n_max = more;
	return 0;
}

/* Hashing: multiply two words that a file cannot know, fold the product. */

static uint64_t mix(uint64_t hash, uint64_t word)
{
	uint128 product = (uint128)(word ^ 0x9e3779b97f4a7c15u ^ (hash >> 32)) * (hash | 1);

	return (uint64_t)product ^ (uint64_t)(product >> 64) ^ (hash << 1 | hash >> 63);
}

static uint64_t mix_bytes(uint64_t hash, const char *bytes, size_t size)
{
	uint64_t word;

	hash = mix(hash, size);
	for (; size >= sizeof(word); size -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		hash = mix(hash, word);
	}
	word = 0;
	memcpy(&word, bytes, size);
	return mix(hash, word);
}

static uint64_t mix_pointer(uint64_t hash, const void *pointer)
{
	return mix(hash, (uintptr_t)pointer);
}

static uint32_t slot_of(const struct index *index, uint64_t hash)
{
	return (uint32_t)(hash ^ hash >> 32) & (index->slots_n - 1);
}

typedef uint64_t hash_entry(const struct profile *p, uint32_t entry);

/* Makes room for one more entry, at half full. */
static int index_grow(struct profile *p, struct index *index, hash_entry *hash)
{
	uint32_t *old = index->slots, old_n = index->slots_n, n = old_n == 0 ? 64 : old_n * 2;
	uint32_t i, slot;

	if (index->entries_n < old_n / 2)
		return 0;
	if (take(p, (n - old_n) * sizeof(*old)) < 0)
		return p->error;
	index->slots = malloc(n * sizeof(*old));
	if (index->slots == NULL) {
		index->slots = old;
		fail(p, -ENOMEM);
		return p->error;
	}
	index->slots_n = n;
	memset(index->slots, 0xff, n * sizeof(*old));
	for (i = 0; i < old_n; i++) {
		if (old[i] == SLOT_EMPTY)
			continue;
		slot = slot_of(index, hash(p, old[i]));
		while (index->slots[slot] != SLOT_EMPTY)
			slot = (slot + 1) & (n - 1);
		index->slots[slot] = old[i];
	}
	free(old);
	return 0;
}

static void index_put(struct index *index, uint64_t hash, uint32_t entry)
{
	uint32_t slot = slot_of(index, hash);

	while (index->slots[slot] != SLOT_EMPTY)
		slot = (slot + 1) & (index->slots_n - 1);
	index->slots[slot] = entry;
	index->entries_n++;
}

/* Indexes what the append functions left, and leaves room for one more. */
static int index_catch_up(struct profile *p, struct index *index, uint32_t table_n,
			  hash_entry *hash)
{
	for (; index->covered < table_n; index->covered++) {
		if (index_grow(p, index, hash) < 0)
			return p->error;
		index_put(index, hash(p, index->covered), index->covered);
	}
	return index_grow(p, index, hash);
}

/* Strings */

static const struct text *text_of(const char *bytes)
{
	return (const struct text *)(const void *)(bytes - offsetof(struct text, bytes));
}

static uint64_t hash_text(const struct profile *p, uint32_t entry)
{
	const char *bytes = p->store->texts[entry];

	return mix_bytes(p->store->seed, bytes, text_of(bytes)->size);
}

static const char *intern(struct profile *p, const char *bytes, size_t size)
{
	struct profile_store *store = p->store;
	struct index *index;
	struct text *text;
	uint64_t hash;
	uint32_t slot;

	if (size == 0)
		return "";
	if (store == NULL || size >= UINT32_MAX) {
		fail(p, store == NULL ? -ENOMEM : -E2BIG);
		return "";
	}
	index = &store->by_text;
	if (index_grow(p, index, hash_text) < 0)
		return "";

	hash = mix_bytes(store->seed, bytes, size);
	for (slot = slot_of(index, hash); index->slots[slot] != SLOT_EMPTY;
	     slot = (slot + 1) & (index->slots_n - 1)) {
		const char *have = store->texts[index->slots[slot]];

		if (text_of(have)->size == size && memcmp(have, bytes, size) == 0)
			return have;
	}

	if (grow(p, (void **)&store->texts, store->texts_n, &store->texts_max,
		 sizeof(*store->texts)) < 0)
		return "";
	text = profile_alloc(p, sizeof(*text) + size + 1);
	if (text == NULL)
		return "";
	text->size = (uint32_t)size;
	memcpy(text->bytes, bytes, size);
	store->texts[store->texts_n] = text->bytes;
	index_put(index, hash, store->texts_n++);
	return text->bytes;
}

/*
 * The length of the UTF-8 character at @bytes, 0 when there is none: no surrogates, nothing
 * overlong.
 */
static size_t utf8_length(const unsigned char *bytes, size_t size)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t n, i;

	if (bytes[0] < 0x80)
		return 1;
	if (bytes[0] >= 0xc2 && bytes[0] <= 0xdf)
		n = 2;
	else if ((bytes[0] & 0xf0) == 0xe0)
		n = 3;
	else if (bytes[0] >= 0xf0 && bytes[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (n > size)
		return 0;
	if (bytes[0] == 0xe0)
		low = 0xa0;
	else if (bytes[0] == 0xed)
		high = 0x9f;
	else if (bytes[0] == 0xf0)
		low = 0x90;
	else if (bytes[0] == 0xf4)
		high = 0x8f;
	if (bytes[1] < low || bytes[1] > high)
		return 0;
	for (i = 2; i < n; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

bool profile_is_utf8(const char *bytes, size_t size)
{
	size_t at, n;

	for (at = 0; at < size; at += n) {
		n = utf8_length((const unsigned char *)bytes + at, size - at);
		if (n == 0)
			return false;
	}
	return true;
}

size_t profile_columns(const char *bytes, size_t size)
{
	size_t at, n, columns = 0;

	for (at = 0; at < size; at += n == 0 ? 1 : n) {
		n = utf8_length((const unsigned char *)bytes + at, size - at);
		columns++;
	}
	return columns;
}

/* Copies @bytes with U+FFFD for each NUL and, if @is_strict, for each byte that is not UTF-8. */
static size_t mend(const char *bytes, size_t size, bool is_strict, char *ret)
{
	size_t at, n, to = 0;

	for (at = 0; at < size; at += n) {
		n = is_strict ? utf8_length((const unsigned char *)bytes + at, size - at) : 1;
		if (n == 0 || bytes[at] == '\0') {
			memcpy(ret + to, "\xef\xbf\xbd", 3);
			to += 3;
			n = 1;
		} else {
			memcpy(ret + to, bytes + at, n);
			to += n;
		}
	}
	return to;
}

size_t profile_mend_utf8(const char *bytes, size_t size, char *ret)
{
	return mend(bytes, size, true, ret);
}

static const char *intern_mended(struct profile *p, const char *bytes, size_t size, bool is_strict)
{
	const char *result;
	char *mended;

	if (size > SIZE_MAX / 4 || take(p, 0) < 0) {
		fail(p, -ENOMEM);
		return "";
	}
	mended = malloc(size * 3);
	if (mended == NULL) {
		fail(p, -ENOMEM);
		return "";
	}
	result = intern(p, mended, mend(bytes, size, is_strict, mended));
	free(mended);
	return result;
}

const char *profile_string(struct profile *p, const char *text)
{
	size_t size;

	if (text == NULL)
		return "";
	size = strlen(text);
	if ((p->store != NULL && p->store->keeps_bytes) || profile_is_utf8(text, size))
		return intern(p, text, size);
	return intern_mended(p, text, size, true);
}

const char *profile_string_raw(struct profile *p, const char *bytes, size_t size)
{
	if (size != 0 && memchr(bytes, '\0', size) != NULL)
		return intern_mended(p, bytes, size, false);
	return intern(p, bytes, size);
}

void profile_keep_bytes(struct profile *p)
{
	if (p->store != NULL)
		p->store->keeps_bytes = true;
}

/* Life */

int profile_init(struct profile *p)
{
	struct timespec now;

	memset(p, 0, sizeof(*p));
	p->default_sample_type = p->drop_frames = p->keep_frames = p->doc_url = "";
	p->store = calloc(1, sizeof(*p->store));
	if (p->store == NULL) {
		p->error = -ENOMEM;
		return p->error;
	}
	p->store->limit = SIZE_MAX;
	if (getrandom(&p->store->seed, sizeof(p->store->seed), GRND_NONBLOCK) < 0) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		p->store->seed = mix((uintptr_t)p->store, (uint64_t)now.tv_nsec);
	}
	return 0;
}

void profile_fini(struct profile *p)
{
	struct chunk *chunk, *next;

	if (p == NULL)
		return;
	if (p->store != NULL) {
		for (chunk = p->store->chunks; chunk != NULL; chunk = next) {
			next = chunk->next;
			free(chunk);
		}
		free(p->store->texts);
		free(p->store->by_text.slots);
		free(p->store->by_mapping.slots);
		free(p->store->by_function.slots);
		free(p->store->by_location.slots);
		free(p->store->bases);
		free(p->store);
	}
	free(p->sample_types);
	free(p->mappings);
	free(p->locations);
	free(p->functions);
	free(p->samples);
	free(p->comments);
	memset(p, 0, sizeof(*p));
}

int profile_error(const struct profile *p)
{
	return p->error;
}

void profile_limit(struct profile *p, size_t bytes_max)
{
	if (p->store != NULL)
		p->store->limit = bytes_max < p->store->used ? p->store->used : bytes_max;
}

/* Appending */

void profile_add_sample_type(struct profile *p, const char *type, const char *unit)
{
	const char *type_text = profile_string(p, type), *unit_text = profile_string(p, unit);

	if (take(p, 0) < 0 || grow(p, (void **)&p->sample_types, p->sample_types_n,
				   &p->store->sample_types_max, sizeof(*p->sample_types)) < 0)
		return;
	p->sample_types[p->sample_types_n++] = (struct profile_value_type){type_text, unit_text};
}

void profile_add_comment(struct profile *p, const char *text)
{
	const char *comment = profile_string(p, text);

	if (take(p, 0) < 0 || grow(p, (void **)&p->comments, p->comments_n, &p->store->comments_max,
				   sizeof(*p->comments)) < 0)
		return;
	p->comments[p->comments_n++] = comment;
}

struct profile_mapping *profile_append_mapping(struct profile *p)
{
	if (take(p, 0) < 0 || grow(p, (void **)&p->mappings, p->mappings_n, &p->store->mappings_max,
				   sizeof(*p->mappings)) < 0)
		return NULL;
	p->mappings[p->mappings_n] = (struct profile_mapping){.file = "", .build_id = ""};
	return &p->mappings[p->mappings_n++];
}

struct profile_function *profile_append_function(struct profile *p)
{
	if (take(p, 0) < 0 || grow(p, (void **)&p->functions, p->functions_n,
				   &p->store->functions_max, sizeof(*p->functions)) < 0)
		return NULL;
	p->functions[p->functions_n] =
		(struct profile_function){.name = "", .system_name = "", .file = ""};
	return &p->functions[p->functions_n++];
}

struct profile_location *profile_append_location(struct profile *p)
{
	if (take(p, 0) < 0 || grow(p, (void **)&p->locations, p->locations_n,
				   &p->store->locations_max, sizeof(*p->locations)) < 0)
		return NULL;
	p->locations[p->locations_n] = (struct profile_location){.mapping = PROFILE_NONE};
	return &p->locations[p->locations_n++];
}

struct profile_sample *profile_append_sample(struct profile *p)
{
	if (take(p, 0) < 0 || grow(p, (void **)&p->samples, p->samples_n, &p->store->samples_max,
				   sizeof(*p->samples)) < 0)
		return NULL;
	p->samples[p->samples_n] = (struct profile_sample){0};
	return &p->samples[p->samples_n++];
}

/* Adding */

static uint64_t hash_mapping(const struct profile *p, uint32_t entry)
{
	const struct profile_mapping *m = &p->mappings[entry];
	uint64_t hash = p->store->seed;

	hash = mix(hash, m->start);
	hash = mix(hash, m->limit);
	hash = mix(hash, m->offset);
	hash = mix_pointer(hash, m->file);
	return mix_pointer(hash, m->build_id);
}

static bool is_same_mapping(const struct profile_mapping *a, const struct profile_mapping *b)
{
	return a->start == b->start && a->limit == b->limit && a->offset == b->offset &&
	       a->file == b->file && a->build_id == b->build_id &&
	       a->has_functions == b->has_functions && a->has_filenames == b->has_filenames &&
	       a->has_line_numbers == b->has_line_numbers &&
	       a->has_inline_frames == b->has_inline_frames;
}

uint32_t profile_add_mapping(struct profile *p, const struct profile_mapping *mapping)
{
	struct profile_mapping *m, wanted = *mapping;
	struct index *index;
	uint32_t slot;

	wanted.file = profile_string(p, mapping->file);
	wanted.build_id = profile_string(p, mapping->build_id);
	/*
	 * Appended first, so that it has a number to hash by; taken back when an equal one is
	 * there.
	 */
	m = profile_append_mapping(p);
	if (m == NULL)
		return 0;
	*m = wanted;
	index = &p->store->by_mapping;
	if (index_catch_up(p, index, p->mappings_n - 1, hash_mapping) < 0) {
		p->mappings_n--;
		return 0;
	}
	slot = slot_of(index, hash_mapping(p, p->mappings_n - 1));
	for (; index->slots[slot] != SLOT_EMPTY; slot = (slot + 1) & (index->slots_n - 1)) {
		if (is_same_mapping(&p->mappings[index->slots[slot]], &wanted)) {
			p->mappings_n--;
			return index->slots[slot];
		}
	}
	index->slots[slot] = p->mappings_n - 1;
	index->entries_n++;
	index->covered = p->mappings_n;
	return p->mappings_n - 1;
}

static uint64_t hash_function(const struct profile *p, uint32_t entry)
{
	const struct profile_function *f = &p->functions[entry];
	uint64_t hash = p->store->seed;

	hash = mix_pointer(hash, f->name);
	hash = mix_pointer(hash, f->system_name);
	hash = mix_pointer(hash, f->file);
	return mix(hash, (uint64_t)f->start_line);
}

uint32_t profile_add_function(struct profile *p, const struct profile_function *function)
{
	struct profile_function *f, wanted = *function;
	struct index *index;
	uint32_t slot;

	wanted.name = profile_string(p, function->name);
	wanted.system_name = profile_string(p, function->system_name);
	wanted.file = profile_string(p, function->file);
	f = profile_append_function(p);
	if (f == NULL)
		return 0;
	*f = wanted;
	index = &p->store->by_function;
	if (index_catch_up(p, index, p->functions_n - 1, hash_function) < 0) {
		p->functions_n--;
		return 0;
	}
	slot = slot_of(index, hash_function(p, p->functions_n - 1));
	for (; index->slots[slot] != SLOT_EMPTY; slot = (slot + 1) & (index->slots_n - 1)) {
		const struct profile_function *have = &p->functions[index->slots[slot]];

		if (have->name == wanted.name && have->system_name == wanted.system_name &&
		    have->file == wanted.file && have->start_line == wanted.start_line) {
			p->functions_n--;
			return index->slots[slot];
		}
	}
	index->slots[slot] = p->functions_n - 1;
	index->entries_n++;
	index->covered = p->functions_n;
	return p->functions_n - 1;
}

static uint64_t hash_location(const struct profile *p, uint32_t entry)
{
	const struct profile_location *l = &p->locations[entry];
	uint64_t hash = mix(p->store->seed, l->address);
	uint32_t i;

	hash = mix(hash, (uint64_t)l->mapping << 1 | l->is_folded);
	for (i = 0; i < l->lines_n; i++) {
		hash = mix(hash, l->lines[i].function);
		hash = mix(hash, (uint64_t)l->lines[i].line);
		hash = mix(hash, (uint64_t)l->lines[i].column);
	}
	return hash;
}

static bool is_same_location(const struct profile_location *a, const struct profile_location *b)
{
	uint32_t i;

	if (a->address != b->address || a->mapping != b->mapping || a->is_folded != b->is_folded ||
	    a->lines_n != b->lines_n)
		return false;
	for (i = 0; i < a->lines_n; i++)
		if (a->lines[i].function != b->lines[i].function ||
		    a->lines[i].line != b->lines[i].line ||
		    a->lines[i].column != b->lines[i].column)
			return false;
	return true;
}

uint32_t profile_add_location(struct profile *p, const struct profile_location *location)
{
	struct profile_location *l;
	struct index *index;
	uint32_t slot;

	l = profile_append_location(p);
	if (l == NULL)
		return 0;
	*l = *location; /* borrows the lines for the search */
	index = &p->store->by_location;
	if (index_catch_up(p, index, p->locations_n - 1, hash_location) < 0)
		goto drop;
	slot = slot_of(index, hash_location(p, p->locations_n - 1));
	for (; index->slots[slot] != SLOT_EMPTY; slot = (slot + 1) & (index->slots_n - 1)) {
		if (is_same_location(&p->locations[index->slots[slot]], location)) {
			p->locations_n--;
			return index->slots[slot];
		}
	}
	l->lines = NULL;
	if (location->lines_n != 0) {
		l->lines = profile_alloc(p, location->lines_n * sizeof(*l->lines));
		if (l->lines == NULL)
			goto drop;
		memcpy(l->lines, location->lines, location->lines_n * sizeof(*l->lines));
	}
	index->slots[slot] = p->locations_n - 1;
	index->entries_n++;
	index->covered = p->locations_n;
	return p->locations_n - 1;

drop:
	p->locations_n--;
	return 0;
}

void profile_set_base(struct profile *p, uint32_t location, uint64_t base)
{
	if (take(p, 0) < 0 || location >= p->locations_n)
		return;
	while (p->store->bases_n <= location) {
		if (grow(p, (void **)&p->store->bases, p->store->bases_n, &p->store->bases_max,
			 sizeof(*p->store->bases)) < 0)
			return;
		p->store->bases[p->store->bases_n++] = 0;
	}
	p->store->bases[location] = base;
}

uint64_t profile_base(const struct profile *p, uint32_t location)
{
	return p->store != NULL && location < p->store->bases_n ? p->store->bases[location] : 0;
}

void profile_add_sample(struct profile *p, const struct profile_sample *sample)
{
	struct profile_sample *s = profile_append_sample(p);
	uint32_t i;

	if (s == NULL)
		return;
	s->locations = profile_alloc(p, sample->locations_n * sizeof(*s->locations));
	s->values = profile_alloc(p, p->sample_types_n * sizeof(*s->values));
	s->labels = profile_alloc(p, sample->labels_n * sizeof(*s->labels));
	if (s->locations == NULL || s->values == NULL || s->labels == NULL) {
		p->samples_n--;
		return;
	}
	if (sample->locations_n != 0)
		memcpy(s->locations, sample->locations,
		       sample->locations_n * sizeof(*s->locations));
	if (p->sample_types_n != 0)
		memcpy(s->values, sample->values, p->sample_types_n * sizeof(*s->values));
	s->locations_n = sample->locations_n;
	for (i = 0; i < sample->labels_n; i++) {
		const struct profile_label *from = &sample->labels[i];

		s->labels[i].key = profile_string(p, from->key);
		s->labels[i].str = from->str == NULL ? NULL : profile_string(p, from->str);
		s->labels[i].num = from->num;
		s->labels[i].num_unit = profile_string(p, from->num_unit);
	}
	s->labels_n = sample->labels_n;
}

/* Merging */

static bool is_label_after(const struct profile_label *a, const struct profile_label *b)
{
	if ((a->str == NULL) != (b->str == NULL))
		return a->str == NULL;
	return a->key != b->key && strcmp(a->key, b->key) > 0;
}

static int compare_labels(const void *left, const void *right)
{
	const struct profile_label *a = *(const struct profile_label *const *)left;
	const struct profile_label *b = *(const struct profile_label *const *)right;

	if (is_label_after(a, b))
		return 1;
	if (is_label_after(b, a))
		return -1;
	return a < b ? -1 : 1; /* equal keys keep their order */
}

/* Labels are nearly always few and sorted: insertion. A hostile file may have a million. */
static void sort_labels(struct profile *p, struct profile_sample *s)
{
	const struct profile_label **order;
	struct profile_label label, *sorted;
	uint32_t i, j;

	for (i = 1; i < s->labels_n && !is_label_after(&s->labels[i - 1], &s->labels[i]); i++)
		;
	if (i >= s->labels_n)
		return;
	if (s->labels_n <= 32) {
		for (; i < s->labels_n; i++) {
			label = s->labels[i];
			for (j = i; j > 0 && is_label_after(&s->labels[j - 1], &label); j--)
				s->labels[j] = s->labels[j - 1];
			s->labels[j] = label;
		}
		return;
	}
	order = profile_alloc(p, s->labels_n * sizeof(*order));
	sorted = profile_alloc(p, s->labels_n * sizeof(*sorted));
	if (order == NULL || sorted == NULL)
		return;
	for (i = 0; i < s->labels_n; i++)
		order[i] = &s->labels[i];
	qsort(order, s->labels_n, sizeof(*order), compare_labels);
	for (i = 0; i < s->labels_n; i++)
		sorted[i] = *order[i];
	s->labels = sorted;
}

static uint64_t hash_sample(const struct profile *p, uint32_t entry)
{
	const struct profile_sample *s = &p->samples[entry];
	uint64_t hash = mix(p->store->seed, s->locations_n);
	uint32_t i;

	for (i = 0; i < s->locations_n; i++)
		hash = mix(hash, s->locations[i]);
	for (i = 0; i < s->labels_n; i++) {
		hash = mix_pointer(hash, s->labels[i].key);
		if (s->labels[i].str != NULL) {
			hash = mix_pointer(hash, s->labels[i].str);
		} else {
			hash = mix(hash, (uint64_t)s->labels[i].num);
			hash = mix_pointer(hash, s->labels[i].num_unit);
		}
	}
	return hash;
}

static bool is_same_key(const struct profile_sample *a, const struct profile_sample *b)
{
	uint32_t i;

	if (a->locations_n != b->locations_n || a->labels_n != b->labels_n)
		return false;
	for (i = 0; i < a->locations_n; i++)
		if (a->locations[i] != b->locations[i])
			return false;
	for (i = 0; i < a->labels_n; i++) {
		const struct profile_label *x = &a->labels[i], *y = &b->labels[i];

		if (x->key != y->key || x->str != y->str)
			return false;
		if (x->str == NULL && (x->num != y->num || x->num_unit != y->num_unit))
			return false;
	}
	return true;
}

static bool is_zero_sample(const struct profile *p, const struct profile_sample *s)
{
	uint32_t i;

	for (i = 0; i < p->sample_types_n; i++)
		if (s->values[i] != 0)
			return false;
	return true;
}

static uint32_t drop_zero_samples(struct profile *p)
{
	uint32_t from, to = 0, n = p->samples_n;

	for (from = 0; from < p->samples_n; from++)
		if (!is_zero_sample(p, &p->samples[from]))
			p->samples[to++] = p->samples[from];
	p->samples_n = to;
	return n - to;
}

uint32_t profile_merge_samples(struct profile *p)
{
	struct index index = {0};
	uint32_t from, to = 0, slot, i, zeros_n = 0;

	if (profile_error(p) < 0)
		return 0;
	/* Zero samples do not set the order: they go first. */
	drop_zero_samples(p);
	for (from = 0; from < p->samples_n; from++) {
		sort_labels(p, &p->samples[from]);
		p->samples[to] = p->samples[from];
		if (index_grow(p, &index, hash_sample) < 0)
			break;
		slot = slot_of(&index, hash_sample(p, to));
		for (; index.slots[slot] != SLOT_EMPTY; slot = (slot + 1) & (index.slots_n - 1))
			if (is_same_key(&p->samples[index.slots[slot]], &p->samples[to]))
				break;
		if (index.slots[slot] == SLOT_EMPTY) {
			index.slots[slot] = to++;
			index.entries_n++;
			continue;
		}
		for (i = 0; i < p->sample_types_n; i++) {
			int64_t *sum = &p->samples[index.slots[slot]].values[i];

			p->has_wrapped |=
				__builtin_add_overflow(*sum, p->samples[from].values[i], sum);
		}
	}
	if (profile_error(p) == 0) {
		p->samples_n = to;
		zeros_n = drop_zero_samples(p);
	}
	p->store->used -= index.slots_n * sizeof(*index.slots);
	free(index.slots);
	return zeros_n;
}
