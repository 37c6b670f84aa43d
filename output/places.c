#include "output/places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/clock.h"
#include "core/labels.h"
#include "core/stacks.h"
#include "output/allocator.h"

#define FRAMES_MAX  2048 /* deeper than any walk: such a stack is not one */
#define LINES_MAX   64   /* inlined calls at one address; deeper ones lose their outermost */
#define NAME_BYTES  512  /* longer names of frames without an address are cut */
#define LABEL_BYTES 4096 /* longer keys and values, too */

__extension__ typedef unsigned __int128 uint128;

struct module_view {
	bool is_opened;
	struct symbols_module *symbols;
	uint32_t named, unnamed; /* mapping indexes: locations with and without lines */
};

struct places {
	const struct segment *s;
	struct symbols *symbols;
	struct profile *p;
	uint64_t seed;
	bool leaves_out_allocators;
	struct {
		uint64_t word;
		uint32_t location;
		bool is_allocator;
	} * known; /* open addressing, twice the locations */
	size_t known_n, known_room;
	struct module_view *modules;
	uint32_t modules_n;
	struct symbols_jit *jit;
	bool jit_is_opened;
	uint32_t jit_mapping, anonymous_mapping;
	uint32_t stack[FRAMES_MAX];
};

struct places *places_create(const struct segment *s, struct symbols *symbols, struct profile *p)
{
	uint32_t high = atomic_load_explicit(&s->header->modules_high, memory_order_acquire);
	uint32_t room = segment_count(s, SEGMENT_MODULES, 0);
	struct places *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	x->s = s;
	x->symbols = symbols;
	x->p = p;
	x->jit_mapping = x->anonymous_mapping = PROFILE_NONE;
	x->modules_n = high < room ? high : room;
	x->modules = calloc(x->modules_n + 1, sizeof(*x->modules));
	if (x->modules == NULL) {
		free(x);
		return NULL;
	}
	if (getrandom(&x->seed, sizeof(x->seed), GRND_NONBLOCK) < 0)
		x->seed = clock_monotonic();
	return x;
}

void places_destroy(struct places *x)
{
	if (x == NULL)
		return;
	free(x->known);
	free(x->modules);
	free(x);
}

static void hex_of(char *ret, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ret[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
		ret[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
	}
	ret[2 * n] = '\0';
}

/* The record @index, copied so that it cannot change under us; false when it makes no sense. */
static bool read_module(const struct places *x, uint32_t index, struct segment_module *ret)
{
	if (index >= x->modules_n)
		return false;
	memcpy(ret, segment_module_at(x->s, index), sizeof(*ret));
	return ret->state != MODULE_FREE && ret->start < ret->end &&
	       ret->build_id_size <= sizeof(ret->build_id);
}

/* The file's path as profiles have it: pprof wants no " (deleted)". */
static void path_of(const struct places *x, const struct segment_module *module, char *ret,
		    size_t size)
{
	static const char deleted[] = " (deleted)";
	size_t length;

	segment_copy_text(x->s, module->path, ret, size);
	length = strlen(ret);
	if (length > sizeof(deleted) - 1 &&
	    strcmp(ret + length - (sizeof(deleted) - 1), deleted) == 0)
		ret[length - (sizeof(deleted) - 1)] = '\0';
}

/* Opens the symbols of module @index once, and gives it its mapping. */
static struct module_view *view_module(struct places *x, uint32_t index)
{
	struct module_view *view = &x->modules[index];
	struct segment_module module;
	struct profile_mapping mapping;
	struct symbols_kind kind;
	char path[1024], build_id[41];
	struct why why = {""};

	if (view->is_opened)
		return view;
	view->is_opened = true;
	view->named = view->unnamed = PROFILE_NONE;
	if (!read_module(x, index, &module))
		return view;
	path_of(x, &module, path, sizeof(path));
	hex_of(build_id, module.build_id, module.build_id_size);
	mapping = (struct profile_mapping){.start = module.start,
					   .limit = module.end,
					   .offset = module.file_offset,
					   .file = path,
					   .build_id = build_id};
	if (x->symbols != NULL)
		view->symbols = symbols_module(x->symbols, path, module.build_id,
					       module.build_id_size, &why);
	if (view->symbols == NULL) {
		view->named = view->unnamed = profile_add_mapping(x->p, &mapping);
		return view;
	}
	kind = symbols_module_kind(view->symbols);
	mapping.has_functions = true;
	mapping.has_filenames = mapping.has_line_numbers = kind.has_lines;
	mapping.has_inline_frames = kind.has_inlines;
	view->named = profile_add_mapping(x->p, &mapping);
	return view;
}

void places_begin_with_program(struct places *x)
{
	if (x->modules_n > 0)
		view_module(x, 0);
}

void places_leave_out_allocators(struct places *x)
{
	x->leaves_out_allocators = true;
}

/*
 * Consumers take a mapping as symbolized as a whole. The places in it that have no name get a twin of the mapping
 * that says it has none, so that they may still look for themselves.
 */
static uint32_t unnamed_twin(struct places *x, uint32_t index)
{
	struct module_view *view = &x->modules[index];
	struct profile_mapping twin;

	if (view->unnamed == PROFILE_NONE && view->named != PROFILE_NONE && !profile_error(x->p)) {
		twin = x->p->mappings[view->named];
		twin.has_functions = twin.has_filenames = twin.has_line_numbers =
			twin.has_inline_frames = false;
		view->unnamed = profile_add_mapping(x->p, &twin);
	}
	return view->unnamed;
}

static uint32_t add_named(struct places *x, uint64_t address, uint32_t mapping, const char *name)
{
	struct profile_function function = {.name = name, .system_name = name, .file = ""};
	struct profile_line line = {.function = profile_add_function(x->p, &function)};
	struct profile_location location = {
		.address = address, .mapping = mapping, .lines_n = 1, .lines = &line};

	return profile_add_location(x->p, &location);
}

uint32_t places_named(struct places *x, const char *name)
{
	return add_named(x, 0, PROFILE_NONE, name);
}

/* Code without a file: a JIT's, when it left a map of names, or unknown. */
static uint32_t add_anonymous(struct places *x, uint64_t address)
{
	struct profile_location location = {.address = address};
	const char *name = NULL;

	if (!x->jit_is_opened && x->symbols != NULL)
		x->jit = symbols_jit(x->symbols, x->s->header->pid, NULL);
	x->jit_is_opened = true;
	if (x->jit != NULL)
		name = symbols_jit_lookup(x->jit, address);
	if (name != NULL) {
		struct profile_mapping jit = {
			.file = "[jit]", .build_id = "", .has_functions = true};

		if (x->jit_mapping == PROFILE_NONE)
			x->jit_mapping = profile_add_mapping(x->p, &jit);
		return add_named(x, address, x->jit_mapping, name);
	}
	if (x->anonymous_mapping == PROFILE_NONE) {
		struct profile_mapping anonymous = {.file = "//anon", .build_id = ""};

		x->anonymous_mapping = profile_add_mapping(x->p, &anonymous);
	}
	location.mapping = x->anonymous_mapping;
	return profile_add_location(x->p, &location);
}

static bool is_named(uint64_t word)
{
	return (word & FRAME_TRUNCATED) == FRAME_TRUNCATED;
}

static uint32_t make_named(struct places *x, uint64_t word)
{
	char name[NAME_BYTES];

	segment_copy_text(x->s, (uint32_t)word, name, sizeof(name));
	return places_named(x, name[0] != '\0' ? name : "[truncated]");
}

/* *ret_is_allocator: the function is one of the allocator's; what is inlined in it goes with it. */
static uint32_t make_location(struct places *x, uint64_t word, bool *ret_is_allocator)
{
	uint64_t address = FRAME_ADDRESS(word);
	uint32_t index = FRAME_MODULE(word) - 1;
	struct profile_location location = {.address = address, .mapping = PROFILE_NONE};
	struct symbols_frame frames[LINES_MAX];
	struct profile_line lines[LINES_MAX];
	struct module_view *view;
	struct segment_module module;
	uint32_t added;
	uint64_t base;
	int n = 0, inner = 0;

	if (is_named(word))
		return make_named(x, word);
	if (FRAME_MODULE(word) == 0 || !read_module(x, index, &module))
		return add_anonymous(x, address);
	view = view_module(x, index);
	base = module.bias;
	if (view->symbols != NULL)
		n = symbols_lookup(view->symbols, address - module.bias, frames, LINES_MAX);
	/* inlined into whoever asked */
	while (x->leaves_out_allocators && inner + 1 < n &&
	       allocator_has(frames[inner].system_name))
		inner++;
	for (int i = inner; i < n; i++) {
		struct profile_function function = {.name = frames[i].name,
						    .system_name = frames[i].system_name,
						    .file = frames[i].file,
						    .start_line = frames[i].start_line};

		lines[i - inner] = (struct profile_line){profile_add_function(x->p, &function),
							 frames[i].line, 0};
		base = frames[i].start != 0 ? frames[i].start + module.bias : 0;
	}
	*ret_is_allocator = n > 0 && allocator_has(frames[n - 1].system_name);
	location.lines = lines;
	location.lines_n = (uint32_t)(n > 0 ? n - inner : 0);
	location.mapping = n > 0 || view->symbols == NULL ? view->named : unnamed_twin(x, index);
	added = profile_add_location(x->p, &location);
	profile_set_base(x->p, added, base);
	return added;
}

/* Words come from others: the seed keeps them from all falling on one slot. */
static size_t slot_of(const struct places *x, uint64_t word)
{
	uint128 product = (uint128)(word ^ x->seed) * (x->seed | 1);

	return ((size_t)product ^ (size_t)(product >> 64)) & (x->known_room - 1);
}

static int make_room(struct places *x)
{
	size_t before = x->known_room, at;
	__typeof__(x->known) old = x->known, fresh;

	if (x->known_n * 2 < before)
		return 0;
	fresh = calloc(before != 0 ? before * 2 : 1024, sizeof(*fresh));
	if (fresh == NULL)
		return -ENOMEM;
	x->known = fresh;
	x->known_room = before != 0 ? before * 2 : 1024;
	for (size_t i = 0; i < before; i++) {
		if (old[i].word == 0)
			continue;
		at = slot_of(x, old[i].word);
		while (fresh[at].word != 0)
			at = (at + 1) & (x->known_room - 1);
		fresh[at] = old[i];
	}
	free(old);
	return 0;
}

static uint32_t location_of(struct places *x, uint64_t word, bool *ret_is_allocator)
{
	size_t at;

	*ret_is_allocator = false;
	if (word == 0)
		return add_anonymous(x, 0);
	if (make_room(x) < 0) {
		if (x->p->error == 0)
			x->p->error = -ENOMEM;
		return 0;
	}
	at = slot_of(x, word);
	while (x->known[at].word != 0 && x->known[at].word != word)
		at = (at + 1) & (x->known_room - 1);
	if (x->known[at].word == 0) {
		x->known[at].location = make_location(x, word, ret_is_allocator);
		x->known[at].is_allocator = *ret_is_allocator;
		x->known[at].word = word;
		x->known_n++;
	}
	*ret_is_allocator = x->known[at].is_allocator;
	return x->known[at].location;
}

static bool is_ours(const struct places *x, uint64_t word)
{
	uint8_t flag; /* a bool that others wrote may be neither true nor false */

	if (is_named(word) || FRAME_MODULE(word) == 0 || FRAME_MODULE(word) > x->modules_n)
		return false;
	memcpy(&flag, &segment_module_at(x->s, FRAME_MODULE(word) - 1)->is_ours, sizeof(flag));
	return flag != 0;
}

/* All frames of a stack, or those that are not ours; returns how many at the leaf end are the allocator's. */
static uint32_t locate(struct places *x, const uint64_t *frames, uint32_t depth, bool with_ours,
		       struct places_stack *ret)
{
	uint32_t allocator = 0;

	for (uint32_t i = 0; i < depth; i++) {
		uint64_t word = __atomic_load_n(&frames[i], __ATOMIC_RELAXED);
		bool is_allocator;

		if (!with_ours && is_ours(x, word))
			continue;
		ret->locations[ret->n++] = location_of(x, word, &is_allocator);
		if (is_allocator && allocator + 1 == ret->n)
			allocator++;
	}
	return allocator;
}

bool places_stack(struct places *x, unsigned generation, uint32_t stack, struct places_stack *ret)
{
	uint32_t depth = 0, allocator;
	const uint64_t *frames = stacks_frames(x->s, generation, stack, &depth);

	*ret = (struct places_stack){.locations = x->stack};
	if (stack == 0) {
		x->stack[ret->n++] = places_named(x, PLACES_FULL);
		return true;
	}
	if (frames == NULL || depth > FRAMES_MAX)
		return false;
	allocator = locate(x, frames, depth, false, ret);
	if (ret->n == 0)
		locate(x, frames, depth, true, ret);
	if (x->leaves_out_allocators && allocator < ret->n) {
		ret->locations += allocator;
		ret->n -= allocator;
	}
	return true;
}

uint32_t places_labels(struct places *x, uint32_t set, struct profile_label ret[PLACES_LABELS])
{
	uint32_t pairs[LABEL_SET_PAIRS][2], pairs_n = labels_copy(x->s, set, pairs), n = 0;

	for (uint32_t i = 0; i < pairs_n; i++) {
		char key[LABEL_BYTES], value[LABEL_BYTES];

		segment_copy_text(x->s, pairs[i][0], key, sizeof(key));
		if (key[0] == '\0')
			continue;
		segment_copy_text(x->s, pairs[i][1], value, sizeof(value));
		ret[n++] = (struct profile_label){
			.key = profile_string(x->p, key),
			.str = profile_string(x->p, value),
			.num_unit = "",
		};
	}
	return n;
}
