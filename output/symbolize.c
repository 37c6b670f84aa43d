#include "output/symbolize.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/symbols.h"
#include "output/text.h"

#define LINES_MAX    128 /* frames of one place */
#define BUILD_ID_MAX 64  /* bytes; 20 is usual */
#define MODULES_MAX \
	4096 /* files that are opened; a process with more code than that is not honest */

struct work {
	struct symbolize *s;
	struct profile *p;
	struct symbols *symbols;
	struct symbols_module **modules; /* of each mapping; NULL: its places stay as they are */
	uint32_t *twins;                 /* of each mapping, for places without names */
	uint32_t *named_n, *unnamed_n;
};

/* What the kernel adds to the name of a file that is gone. */
static const char *without_deleted(struct profile *p, const char *file)
{
	static const char tail[] = " (deleted)";
	size_t n = strlen(file), tail_n = sizeof(tail) - 1;

	if (n <= tail_n || strcmp(file + n - tail_n, tail) != 0)
		return file;
	return profile_string_raw(p, file, n - tail_n);
}

static bool is_file(const struct profile_mapping *m)
{
	const char *slash = strrchr(m->file, '/'), *base = slash != NULL ? slash + 1 : m->file;

	/* the kernel's own code is the one thing in brackets that has a build id */
	if (strcmp(m->file, "[vdso]") == 0)
		return m->build_id[0] != '\0';
	return m->file[0] != '\0' && base[0] != '[' && strncmp(base, "linux-vdso", 10) != 0 &&
	       strncmp(m->file, "/dev/dri/", 9) != 0 && strncmp(m->file, "/memfd:", 7) != 0 &&
	       strcmp(m->file, "//anon") != 0 && (m->build_id[0] != '\0' || !path_is_url(m->file));
}

static size_t read_build_id(const char *hex, uint8_t ret[BUILD_ID_MAX])
{
	size_t n = strlen(hex) / 2;

	if (n > BUILD_ID_MAX || strlen(hex) % 2 != 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		unsigned byte;

		if (!isxdigit((unsigned char)hex[2 * i]) ||
		    !isxdigit((unsigned char)hex[2 * i + 1]) ||
		    sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return 0;
		ret[i] = (uint8_t)byte;
	}
	return n;
}

/* The places of a directory where the file of a mapping may be, in pprof's order. */
enum { BY_ID_AND_NAME, BY_ID_DEBUG, BY_ID_EXECUTABLE, BY_ID_DEBUGINFO, BY_PATH, BY_NAME, WAYS_N };

static bool candidate(const char *directory, int way, const struct profile_mapping *m,
		      char path[PATH_MAX])
{
	const char *slash = strrchr(m->file, '/'), *base = slash != NULL ? slash + 1 : m->file;
	const char *id = m->build_id;
	int n = -1;

	if (way < BY_PATH && (strlen(id) < 3 || strchr(id, '/') != NULL))
		return false;
	switch (way) {
	case BY_ID_AND_NAME:
		n = snprintf(path, PATH_MAX, "%s/%s/%s", directory, id, base);
		break;
	case BY_ID_DEBUG:
		n = snprintf(path, PATH_MAX, "%s/%.2s/%s.debug", directory, id, id + 2);
		break;
	case BY_ID_EXECUTABLE: /* as debuginfod's client keeps them */
		n = snprintf(path, PATH_MAX, "%s/%s/executable", directory, id);
		break;
	case BY_ID_DEBUGINFO:
		n = snprintf(path, PATH_MAX, "%s/%s/debuginfo", directory, id);
		break;
	case BY_PATH:
		n = snprintf(path, PATH_MAX, "%s/%s", directory, m->file);
		break;
	case BY_NAME:
		n = snprintf(path, PATH_MAX, "%s/%s", directory, base);
		break;
	}
	return n > 0 && n < PATH_MAX && base[0] != '\0';
}

static struct symbols_module *find_module(struct work *w, const struct profile_mapping *m,
					  struct why *why)
{
	uint8_t id[BUILD_ID_MAX];
	size_t id_n = read_build_id(m->build_id, id);
	struct symbols_module *module = symbols_module(w->symbols, m->file, id, id_n, why);
	char path[PATH_MAX];

	for (uint32_t i = 0; i < w->s->directories_n && module == NULL; i++)
		for (int way = 0; way < WAYS_N && module == NULL; way++)
			if (candidate(w->s->directories[i], way, m, path))
				module = symbols_module(w->symbols, path, id, id_n, NULL);
	return module;
}

static bool is_wanted(const struct work *w, const struct profile_mapping *m)
{
	return w->s->is_forced || !(m->has_functions || m->has_filenames || m->has_line_numbers);
}

static void open_modules(struct work *w)
{
	struct profile *p = w->p;
	bool *is_used = calloc((size_t)p->mappings_n + 1, sizeof(*is_used));
	struct why why;

	if (is_used == NULL) {
		p->error = -ENOMEM;
		return;
	}
	for (uint32_t i = 0; i < p->locations_n; i++)
		if (p->locations[i].mapping != PROFILE_NONE)
			is_used[p->locations[i].mapping] = true;
	for (uint32_t i = 0; i < p->mappings_n; i++) {
		struct profile_mapping *m = &p->mappings[i];

		if (!is_used[i] || !is_wanted(w, m))
			continue;
		m->file = without_deleted(p, m->file);
		if (i == 0 && m->file[0] == '\0' && w->s->note != NULL)
			w->s->note("the profile does not say which program it is of; name it "
				   "before the profile");
		if (!is_file(m))
			continue;
		if (++w->s->mappings_n > MODULES_MAX)
			continue;
		w->modules[i] = find_module(w, m, &why);
		w->s->known_n += w->modules[i] != NULL;
		if (w->modules[i] == NULL && w->s->note != NULL)
			w->s->note(why.text);
	}
	if (w->s->mappings_n > MODULES_MAX && w->s->note != NULL)
		w->s->note("only its first 4096 programs and libraries are read");
	free(is_used);
}

static void name_location(struct work *w, uint32_t number)
{
	struct profile_location *l = &w->p->locations[number];
	struct profile_mapping *m = &w->p->mappings[l->mapping];
	struct symbols_frame frames[LINES_MAX];
	struct profile_line *lines;
	uint64_t vaddr;
	int n = 0;

	if (symbols_vaddr(w->modules[l->mapping], m->start, m->limit, m->offset, l->address,
			  &vaddr))
		n = symbols_lookup(w->modules[l->mapping], vaddr, frames, LINES_MAX);
	if (n == 0) {
		w->unnamed_n[l->mapping] += l->lines_n == 0;
		return;
	}
	lines = profile_alloc(w->p, (size_t)n * sizeof(*lines));
	if (lines == NULL)
		return;
	for (int i = 0; i < n; i++) {
		const struct symbols_frame *f = &frames[i];
		struct profile_function function = {.name = f->name,
						    .system_name = f->system_name,
						    .file = f->file,
						    .start_line = f->start_line};

		lines[i] = (struct profile_line){profile_add_function(w->p, &function), f->line, 0};
		m->has_filenames |= f->file[0] != '\0';
		m->has_line_numbers |= f->line != 0;
	}
	m->has_functions = true;
	m->has_inline_frames = symbols_module_kind(w->modules[l->mapping]).has_inlines;
	w->s->named_n++;
	w->named_n[l->mapping]++;
	l->lines = lines;
	l->lines_n = (uint32_t)n;
	l->is_folded = false;
}

/* What has no names goes into a mapping of its own that does not say it has. */
static void part_unnamed(struct work *w, uint32_t mappings_n)
{
	struct profile *p = w->p;
	struct profile_mapping *twin;

	for (uint32_t i = 0; i < mappings_n; i++) {
		w->twins[i] = PROFILE_NONE;
		if (w->named_n[i] == 0 || w->unnamed_n[i] == 0)
			continue;
		w->twins[i] = p->mappings_n;
		twin = profile_append_mapping(p);
		if (twin == NULL)
			return;
		*twin = p->mappings[i];
		twin->has_functions = twin->has_filenames = false;
		twin->has_line_numbers = twin->has_inline_frames = false;
	}
	for (uint32_t i = 0; i < p->locations_n; i++) {
		struct profile_location *l = &p->locations[i];

		if (l->mapping != PROFILE_NONE && l->lines_n == 0 &&
		    w->twins[l->mapping] != PROFILE_NONE)
			l->mapping = w->twins[l->mapping];
	}
}

static void name_all(struct work *w)
{
	struct profile *p = w->p;
	uint32_t mappings_n = p->mappings_n;

	open_modules(w);
	for (uint32_t i = 0; i < p->locations_n && profile_error(p) == 0; i++) {
		const struct profile_location *l = &p->locations[i];

		if (l->mapping != PROFILE_NONE && w->modules[l->mapping] != NULL)
			name_location(w, i);
	}
	if (profile_error(p) == 0)
		part_unnamed(w, mappings_n);
}

int symbolize_profile(struct symbolize *s, struct profile *p)
{
	size_t n = (size_t)p->mappings_n + 1;
	struct work w = {.s = s, .p = p};
	int r = symbols_create(&w.symbols);

	if (r < 0)
		return r;
	w.modules = calloc(n, sizeof(struct symbols_module *));
	w.twins = calloc(3 * n, sizeof(*w.twins));
	if (w.modules != NULL && w.twins != NULL) {
		w.named_n = w.twins + n;
		w.unnamed_n = w.named_n + n;
		for (uint32_t i = 0; i < p->locations_n; i++)
			s->wanted_n += s->is_forced || p->locations[i].lines_n == 0;
		name_all(&w);
		r = profile_error(p);
	} else {
		r = -ENOMEM;
	}
	free(w.modules);
	free(w.twins);
	symbols_destroy(w.symbols);
	return r;
}
