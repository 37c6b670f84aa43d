#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output/legacy.h"

#define WORDS_MAX   8
#define LOOKS_MAX   (UINT64_C(1) << 34) /* mappings × addresses: some 10 s */
#define USUAL_START 0x400000            /* of a program at a fixed address */

static bool is_all(const struct legacy_line *word, const char *of)
{
	for (const char *at = word->at; at < word->end; at++)
		if (strchr(of, *at) == NULL || *at == '\0')
			return false;
	return word->at < word->end;
}

static bool is_hex(const struct legacy_line *word)
{
	return is_all(word, "0123456789abcdefABCDEF");
}

/* 08:01 */
static bool is_device(const struct legacy_line *word)
{
	const char *colon = memchr(word->at, ':', (size_t)(word->end - word->at));
	struct legacy_line parts[2];

	if (colon == NULL)
		return false;
	parts[0] = (struct legacy_line){word->at, colon};
	parts[1] = (struct legacy_line){colon + 1, word->end};
	return is_hex(&parts[0]) && is_hex(&parts[1]);
}

static bool take_hex(const char **at, const char *end, uint64_t *ret)
{
	const char *first;
	int digits = 0;

	if (end - *at > 2 && (*at)[0] == '0' && (*at)[1] == 'x')
		*at += 2;
	*ret = 0;
	for (first = *at; *at < end && isxdigit((unsigned char)**at); (*at)++) {
		char c = (char)(**at | 0x20);

		digits += digits > 0 || c != '0';
		*ret = *ret << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return *at > first && digits <= 16;
}

static void skip_blanks(const char **at, const char *end)
{
	while (*at < end && isspace((unsigned char)**at))
		(*at)++;
}

static uint64_t hex_of(const struct legacy_line *word)
{
	const char *at = word->at;
	uint64_t value = 0;

	take_hex(&at, word->end, &value);
	return value;
}

struct map_line {
	uint64_t start, limit, offset;
	struct legacy_line file, build_id;
	bool is_code;
};

/* "START-END r-xp OFFSET DEV INODE FILE", or "START-END: FILE (@OFFSET) BUILDID". */
static bool parse(const struct legacy_line *line, struct map_line *ret)
{
	struct legacy_line words[WORDS_MAX];
	const char *at = line->at;
	size_t n = 0, i = 0;

	*ret = (struct map_line){.is_code = true};
	if (!take_hex(&at, line->end, &ret->start))
		return false;
	if (at < line->end && (*at == '-' || isspace((unsigned char)*at)))
		at++;
	skip_blanks(&at, line->end);
	if (!take_hex(&at, line->end, &ret->limit))
		return false;
	if (at < line->end && *at == ':')
		at++;
	if (at < line->end && !isspace((unsigned char)*at))
		return false;
	for (skip_blanks(&at, line->end); at < line->end && n < WORDS_MAX;
	     skip_blanks(&at, line->end)) {
		words[n].at = at;
		while (at < line->end && !isspace((unsigned char)*at))
			at++;
		words[n++].end = at;
	}
	if (i < n && is_all(&words[i], "-rwxp")) {
		ret->is_code =
			memchr(words[i].at, 'x', (size_t)(words[i].end - words[i].at)) != NULL;
		i++;
	}
	if (i + 2 < n && is_hex(&words[i]) && is_device(&words[i + 1])) {
		ret->offset = hex_of(&words[i]);
		if (i + 3 < n)
			ret->file = words[i + 3];
		return true;
	}
	if (i < n)
		ret->file = words[i++];
	if (i < n && words[i].end - words[i].at > 3 && words[i].at[0] == '(' &&
	    words[i].at[1] == '@') {
		words[i].at += 2;
		words[i].end--;
		ret->offset = hex_of(&words[i++]);
	}
	if (i < n && is_hex(&words[i]))
		ret->build_id = words[i];
	return true;
}

static const char *text_of(struct profile *p, const struct legacy_line *word)
{
	return profile_string_raw(p, word->at, (size_t)(word->end - word->at));
}

static bool may_be_equal(const char *a, const char *b)
{
	return a[0] == '\0' || b[0] == '\0' || strcmp(a, b) == 0;
}

/* One part of a file after the other is one mapping. */
static bool goes_on(const struct profile_mapping *a, const struct profile_mapping *b)
{
	return may_be_equal(a->file, b->file) && may_be_equal(a->build_id, b->build_id) &&
	       a->limit == b->start &&
	       (a->offset == 0 || b->offset == 0 || a->offset + (a->limit - a->start) == b->offset);
}

static void add(struct legacy *l, const struct map_line *line)
{
	struct profile *p = l->p;
	struct profile_mapping m = {.start = line->start,
				    .limit = line->limit,
				    .offset = line->offset,
				    .file = text_of(p, &line->file),
				    .build_id = text_of(p, &line->build_id)};
	struct profile_mapping *last = p->mappings_n > 0 ? &p->mappings[p->mappings_n - 1] : NULL;

	if (last != NULL && goes_on(last, &m)) {
		last->limit = m.limit;
		last->file = m.file[0] != '\0' ? m.file : last->file;
		last->build_id = m.build_id[0] != '\0' ? m.build_id : last->build_id;
		return;
	}
	last = profile_append_mapping(p);
	if (last != NULL)
		*last = m;
}

/* x.so, x.so.1, x.so_1 */
static bool is_library(const char *file)
{
	size_t n = strlen(file);
	const char *at = file;

	if (n >= 3 && strcmp(file + n - 3, ".so") == 0)
		return true;
	while ((at = strstr(at, ".so")) != NULL) {
		at += 3;
		if ((at[0] == '.' || at[0] == '_') && isdigit((unsigned char)at[1]))
			return true;
	}
	return false;
}

/* The first that looks like a program stands first, as readers expect it. */
static void move_program(struct profile *p)
{
	for (uint32_t i = 0; i < p->mappings_n; i++) {
		struct profile_mapping m = p->mappings[i];

		if (m.file[0] == '\0' || m.file[0] == '[' || is_library(m.file) ||
		    strcmp(m.file, "(deleted)") == 0)
			continue;
		p->mappings[i] = p->mappings[0];
		p->mappings[0] = m;
		return;
	}
}

static void mend(struct profile *p)
{
	struct profile_mapping *m = p->mappings;

	if (p->mappings_n > 1 && strncmp(m->file, "/anon_hugepage", 14) == 0 &&
	    m->limit == m[1].start) {
		p->mappings_n--;
		memmove(m, m + 1, p->mappings_n * sizeof(*m));
	}
	if (p->mappings_n > 0 && m->start - m->offset == USUAL_START) {
		m->start = USUAL_START;
		m->offset = 0;
	}
}

static uint32_t find(struct profile *p, uint32_t mappings_n, bool is_whole, uint64_t address)
{
	uint32_t i;

	for (i = 0; i < mappings_n; i++)
		if (p->mappings[i].start <= address && address < p->mappings[i].limit)
			return i;
	/* the first part of a file is left out by some; once there is a mapping for the rest, it has that, too */
	for (i = 0; i < mappings_n && !is_whole; i++) {
		struct profile_mapping *m = &p->mappings[i];

		if (m->offset != 0 && m->start - m->offset <= address && address < m->start) {
			m->start -= m->offset;
			m->offset = 0;
			return i;
		}
	}
	return PROFILE_NONE;
}

/* What is in none goes into one that is all there is. */
static int place_locations(struct legacy *l)
{
	struct profile *p = l->p;
	uint32_t mappings_n = p->mappings_n, rest = PROFILE_NONE, i;
	struct profile_mapping *m;

	if ((uint64_t)mappings_n * p->locations_n > LOOKS_MAX)
		return legacy_refuse(l,
				     "a memory map of %u parts for %u addresses: no process has "
				     "that; the file is damaged",
				     mappings_n, p->locations_n);
	for (i = 0; i < p->locations_n; i++) {
		struct profile_location *at = &p->locations[i];

		if (at->address == 0)
			continue;
		at->mapping = find(p, mappings_n, rest != PROFILE_NONE, at->address);
		if (at->mapping != PROFILE_NONE)
			continue;
		if (rest == PROFILE_NONE) {
			rest = p->mappings_n;
			m = profile_append_mapping(p);
			if (m == NULL)
				return profile_error(p);
			m->limit = UINT64_MAX;
		}
		at->mapping = rest;
	}
	return 0;
}

int legacy_read_maps(struct legacy *l)
{
	struct legacy_line line;
	struct map_line map;

	while (legacy_next(l, &line) && profile_error(l->p) == 0)
		if (parse(&line, &map) && map.is_code)
			add(l, &map);
	if (profile_error(l->p) < 0)
		return profile_error(l->p);
	move_program(l->p);
	mend(l->p);
	return place_locations(l);
}
