#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output/legacy.h"
#include "output/text_unit.h"
#include "output/unsample.h"

#define SHOWN 60 /* bytes of a line in a sentence */

/* Takes @text and the blanks behind it. */
static bool take_text(struct legacy_line *line, const char *text)
{
	if (!legacy_starts(line, text))
		return false;
	line->at += strlen(text);
	while (line->at < line->end && *line->at == ' ')
		line->at++;
	return true;
}

/* Likewise; false where there is none, or one that is too large. */
static bool take_number(struct legacy_line *line, int64_t *ret)
{
	bool is_negative = legacy_starts(line, "-");
	const char *at = line->at + is_negative, *first = at;
	int64_t value = 0;

	for (; at < line->end && isdigit((unsigned char)*at); at++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *at - '0', &value))
			return false;
	if (at == first)
		return false;
	*ret = is_negative ? -value : value;
	line->at = at;
	return take_text(line, "");
}

/* All addresses in the line, each one less: into the call. */
static int push_addresses(struct legacy *l, struct legacy_line line)
{
	int r = 0;

	while (r == 0) {
		const char *at = memmem(line.at, (size_t)(line.end - line.at), "0x", 2);
		uint64_t address = 0;
		int digits = 0;

		if (at == NULL)
			return 0;
		for (at += 2; at < line.end && isxdigit((unsigned char)*at); at++, digits++) {
			char c = (char)(*at | 0x20);

			if (address >> 60 != 0)
				return legacy_refuse(l, "an address of more than 64 bits");
			address = address << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
		}
		line.at = at;
		if (digits > 0)
			r = legacy_push(l, address - 1);
	}
	return r;
}

static int shown(const struct legacy_line *line)
{
	return line->end - line->at < SHOWN ? (int)(line->end - line->at) : SHOWN;
}

static void set_period(struct profile *p, const char *type, const char *unit, int64_t period)
{
	p->period_type.type = profile_string(p, type);
	p->period_type.unit = profile_string(p, unit);
	p->period = period;
}

/* Goes on to the memory map, whatever is before it. */
static int read_rest(struct legacy *l, struct legacy_line line)
{
	while (!legacy_ends_samples(&line) && legacy_next(l, &line))
		;
	return legacy_read_maps(l);
}

/* ---- heap ---- */

struct heap {
	int64_t rate; /* bytes between samples; 1 or less: all are there */
	bool has_allocated;
};

struct heap_counts {
	int64_t used_n, used, allocated_n, allocated;
};

/* "3: 4096 [7: 9216]" */
static bool take_counts(struct legacy_line *line, struct heap_counts *ret)
{
	return take_number(line, &ret->used_n) && take_text(line, ":") &&
	       take_number(line, &ret->used) && take_text(line, "[") &&
	       take_number(line, &ret->allocated_n) && take_text(line, ":") &&
	       take_number(line, &ret->allocated) && take_text(line, "]");
}

static void begin_heap(struct legacy *l, struct heap *h, const struct heap_counts *all)
{
	h->has_allocated = (all->allocated_n != all->used_n && all->allocated_n != 0) ||
			   (all->allocated != all->used && all->allocated != 0);
	if (h->has_allocated) {
		profile_add_sample_type(l->p, "alloc_objects", "count");
		profile_add_sample_type(l->p, "alloc_space", "bytes");
		profile_add_sample_type(l->p, "inuse_objects", "count");
		profile_add_sample_type(l->p, "inuse_space", "bytes");
	} else {
		profile_add_sample_type(l->p, "objects", "count");
		profile_add_sample_type(l->p, "space", "bytes");
	}
}

/* Blocks and their bytes as they were, out of those that were sampled. */
static int scale(struct legacy *l, const struct heap *h, int64_t *blocks, int64_t *bytes,
		 int64_t *block_bytes)
{
	bool is_negative = *blocks < 0 && *bytes < 0;

	if (*blocks == 0 && *bytes != 0)
		return legacy_refuse(l, "no blocks have %lld bytes together: the file is damaged",
				     (long long)*bytes);
	if (*blocks == 0)
		return 0;
	*block_bytes = unit_divide(*bytes, *blocks);
	if (h->rate <= 1)
		return 0;
	if (is_negative) {
		*blocks = unit_abs(*blocks);
		*bytes = unit_abs(*bytes);
	}
	unsample((uint64_t)h->rate, blocks, bytes);
	if (is_negative) {
		*blocks = -*blocks;
		*bytes = -*bytes;
	}
	return 0;
}

static int add_heap_sample(struct legacy *l, const struct heap *h, struct heap_counts *c)
{
	struct profile_label label = {.key = profile_string(l->p, "bytes"), .num_unit = ""};
	int64_t values[4];
	int r = 0, n = 0;

	if (h->has_allocated) {
		r = scale(l, h, &c->allocated_n, &c->allocated, &label.num);
		values[n++] = c->allocated_n;
		values[n++] = c->allocated;
	}
	if (r == 0)
		r = scale(l, h, &c->used_n, &c->used, &label.num);
	values[n++] = c->used_n;
	values[n++] = c->used;
	return r == 0 ? legacy_add_sample(l, values, &label) : r;
}

static int read_heap_samples(struct legacy *l, const struct heap *h)
{
	struct legacy_line line, whole = {l->end, l->end};
	struct heap_counts counts;
	int r = 0;

	while (r == 0 && legacy_next(l, &line)) {
		whole = line;
		if (legacy_is_blank(&line))
			continue;
		if (legacy_ends_samples(&line))
			break;
		if (!take_counts(&line, &counts) || !take_text(&line, "@"))
			return legacy_refuse(l,
					     "'%.*s': 'BLOCKS: BYTES [BLOCKS: BYTES] @ ADDRESS…' "
					     "was expected; the file is damaged or cut off",
					     shown(&whole), whole.at);
		r = push_addresses(l, line);
		if (r == 0)
			r = add_heap_sample(l, h, &counts);
	}
	return r == 0 ? read_rest(l, whole) : r;
}

/* "heap profile: 1: 2 [3: 4] @ heap_v2/524288" */
static int read_heap(struct legacy *l, struct legacy_line line)
{
	struct heap h = {0};
	struct heap_counts all;
	int64_t rate = 0;

	if (!take_text(&line, "heap profile:") || !take_counts(&line, &all) ||
	    !take_text(&line, "@"))
		return -ENOENT;
	if (take_text(&line, "growth") || take_text(&line, "fragmentation")) {
		begin_heap(l, &h, &(struct heap_counts){0});
		set_period(l->p, "space", "bytes", 1);
		return read_heap_samples(l, &h);
	}
	if (take_text(&line, "heapprofile")) {
		rate = 1;
	} else if (take_text(&line, "heapz_v2") || take_text(&line, "heap_v2")) {
		if (take_text(&line, "/") && take_number(&line, &rate))
			h.rate = rate;
	} else if (take_text(&line, "heap") && (line.at == line.end || legacy_starts(&line, "/"))) {
		/* Go's, and what C++ once had: twice the mean */
		if (take_text(&line, "/") && take_number(&line, &rate))
			h.rate = rate /= 2;
	} else {
		return legacy_refuse(l,
				     "'%.*s': a heap profile of 'heap_v2/RATE', 'heap/RATE', "
				     "'heapprofile' or 'growth' was expected",
				     shown(&line), line.at);
	}
	begin_heap(l, &h, &all);
	set_period(l->p, "space", "bytes", rate);
	return read_heap_samples(l, &h);
}

/*
 * jemalloc's: a stack, "@ 0x1 0x2", then what each thread has of it, all together first, "  t*: 1: 2 [3: 4]". As jeprof does, each
 * stack is brought up by the size of its blocks.
 */
static int read_jemalloc(struct legacy *l, struct legacy_line line)
{
	struct legacy_line whole = {l->end, l->end};
	struct heap h = {0};
	struct heap_counts counts = {0};
	bool has_stack = false, has_begun = false;
	int r = 0;

	if (!take_text(&line, "heap_v2/") || !take_number(&line, &h.rate))
		return -ENOENT;
	set_period(l->p, "space", "bytes", h.rate);
	while (r == 0 && legacy_next(l, &line)) {
		whole = line;
		if (legacy_ends_samples(&line))
			break;
		if (legacy_starts(&line, "@")) {
			l->stack_n = 0;
			r = push_addresses(l, line);
			has_stack = true;
		} else if (take_text(&line, "t*:")) {
			if (!take_counts(&line, &counts) || has_stack != has_begun)
				return legacy_refuse(l,
						     "'%.*s': 't*: BLOCKS: BYTES [BLOCKS: BYTES]' "
						     "of one stack was expected; the file is "
						     "damaged or cut off",
						     shown(&whole), whole.at);
			if (!has_begun)
				begin_heap(l, &h, &counts);
			else
				r = add_heap_sample(l, &h, &counts);
			has_begun = true;
			has_stack = false;
		}
	}
	if (r == 0 && (!has_begun || has_stack))
		return legacy_refuse(l, "what a stack has, 't*: BLOCKS: BYTES …', is missing; the "
					"file is cut off");
	return r == 0 ? read_rest(l, whole) : r;
}

/* ---- contention ---- */

/* "key = value" before the samples. Returns 1 for one, 0 for another line, -EBADMSG. */
static int read_attribute(struct legacy *l, struct legacy_line line, int64_t *cycles)
{
	const char *equals = memchr(line.at, '=', (size_t)(line.end - line.at));
	struct legacy_line value = {equals != NULL ? equals + 1 : line.end, line.end};
	int64_t number = 0, *to = NULL;

	if (equals == NULL)
		return 0;
	take_text(&value, "");
	if (legacy_starts(&line, "cycles/second"))
		to = cycles;
	else if (legacy_starts(&line, "sampling period"))
		to = &l->p->period;
	else if (legacy_starts(&line, "ms since reset"))
		to = &l->p->duration_ns;
	else if (!legacy_starts(&line, "discarded samples"))
		return legacy_refuse(l,
				     "'%.*s': cycles/second, sampling period, ms since reset or a "
				     "sample was expected",
				     shown(&line), line.at);
	if (to != NULL && !take_number(&value, &number))
		return legacy_refuse(l, "'%.*s': a number was expected", shown(&line), line.at);
	if (to == &l->p->duration_ns && __builtin_mul_overflow(number, 1000000, &number))
		return legacy_refuse(l, "'%.*s' is too long", shown(&line), line.at);
	if (to != NULL)
		*to = number;
	return 1;
}

static int add_contention(struct legacy *l, struct legacy_line line, int64_t cycles)
{
	struct legacy_line whole = line;
	int64_t values[2]; /* how often, how long */
	int r;

	if (!take_number(&line, &values[1]) || !take_number(&line, &values[0]) ||
	    !take_text(&line, "@") || values[0] < 0 || values[1] < 0)
		return legacy_refuse(l,
				     "'%.*s': 'CYCLES COUNT @ ADDRESS…' was expected; the file is "
				     "damaged or cut off",
				     shown(&whole), whole.at);
	if (l->p->period > 0) {
		if (cycles > 0)
			values[1] = unit_truncate((double)values[1] * (double)l->p->period /
						  ((double)cycles / 1e9));
		if (values[1] < 0 || __builtin_mul_overflow(values[0], l->p->period, &values[0]))
			return legacy_refuse(l,
					     "'%.*s': more than there can be; the file is "
					     "damaged",
					     shown(&whole), whole.at);
	}
	r = push_addresses(l, line);
	return r == 0 ? legacy_add_sample(l, values, NULL) : r;
}

static int read_contention(struct legacy *l, struct legacy_line line)
{
	bool has_attributes = true;
	int64_t cycles = 0;
	int r = 0;

	if (!legacy_starts(&line, "--- contentionz ") && !legacy_starts(&line, "--- mutex:") &&
	    !legacy_starts(&line, "--- contention:"))
		return -ENOENT;
	profile_add_sample_type(l->p, "contentions", "count");
	profile_add_sample_type(l->p, "delay", "nanoseconds");
	set_period(l->p, "contentions", "count", 1);
	while (r == 0 && legacy_next(l, &line)) {
		if (legacy_is_blank(&line))
			continue;
		if (legacy_starts(&line, "---"))
			break;
		if (has_attributes) {
			r = read_attribute(l, line, &cycles);
			has_attributes = r > 0;
			if (r > 0)
				r = 0;
			if (has_attributes || r < 0)
				continue;
		}
		r = add_contention(l, line, cycles);
	}
	return r == 0 ? read_rest(l, line) : r;
}

/* ---- counts ---- */

/* "goroutine profile: total 7" */
static int read_counts(struct legacy *l, struct legacy_line line)
{
	const char *end = memmem(line.at, (size_t)(line.end - line.at), " profile: total ", 16);
	struct legacy_line whole, total = {end != NULL ? end + 16 : line.end, line.end};
	char type[64];
	int64_t value;
	int r = 0;

	if (end == NULL || end == line.at || (size_t)(end - line.at) >= sizeof(type) ||
	    memchr(line.at, ' ', (size_t)(end - line.at)) != NULL || !take_number(&total, &value) ||
	    total.at != total.end)
		return -ENOENT;
	memcpy(type, line.at, (size_t)(end - line.at));
	type[end - line.at] = '\0';
	profile_add_sample_type(l->p, type, "count");
	set_period(l->p, type, "count", 1);
	while (r == 0 && legacy_next(l, &line)) {
		if (legacy_is_blank(&line))
			continue;
		if (legacy_starts(&line, "---"))
			break;
		whole = line;
		if (!take_number(&line, &value) || !legacy_starts(&line, "@ 0x"))
			return legacy_refuse(l,
					     "'%.*s': 'COUNT @ ADDRESS…' was expected; the file is "
					     "damaged or cut off",
					     shown(&whole), whole.at);
		r = push_addresses(l, line);
		if (r == 0)
			r = legacy_add_sample(l, &value, NULL);
	}
	return r == 0 ? read_rest(l, line) : r;
}

int legacy_read_text(struct legacy *l)
{
	static int (*const readers[])(struct legacy * l, struct legacy_line line) = {
		read_heap, read_jemalloc, read_contention, read_counts};
	struct legacy_line line = {l->end, l->end};
	int r = -ENOENT;

	while (legacy_next(l, &line) && legacy_is_blank(&line))
		;
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]) && r == -ENOENT; i++)
		r = readers[i](l, line);
	return r;
}
