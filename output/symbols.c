#include "output/symbols.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "output/demangle.h"
#include "output/symbols_dw.h"
#include "output/symbols_elf.h"
#include "output/symbols_files.h"
#include "output/symbols_jit.h"
#include "output/symbols_strings.h"

#define DEPTH_MAX     128        /* frames of one place */
#define DISPLAY_MAX   (16 << 10) /* bytes of a demangled name */
#define CACHE_MAX     (1 << 18)  /* places remembered in a module: some 20 MB */
#define VDSO_SIZE_MAX (1 << 20)

struct cached {
	uint64_t vaddr;
	int frames_n;
	struct symbols_frame frames[];
};

struct symbols_module {
	struct symbols_module *next;
	struct symbols *owner;
	const char *path;
	uint8_t *asked_id; /* what the caller said its build id is */
	size_t asked_id_size;
	struct why why; /* why it cannot be read; "" when it can */

	struct elf elf, debug; /* debug: the separate file, if any */
	bool has_elf, has_debug;
	struct elf_symbols symbols, variables;
	bool has_variables; /* they were read */
	struct dw *dw;

	struct cached **cache; /* by address, open addressing, a power of two */
	uint32_t cache_size, cached_n;
};

struct symbols {
	struct strings strings;
	struct symbols_module *modules;
	struct symbols_module *last;
	struct symbols_jit **jits;
	uint32_t jits_n;
	char *display;                  /* DISPLAY_MAX, where names are written */
	bool has_told;                  /* that there is no libdw */
	const _Atomic bool *should_end; /* NULL: never */
};

int symbols_create(struct symbols **ret)
{
	struct symbols *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->display = malloc(DISPLAY_MAX);
	if (s->display == NULL) {
		free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

static void close_module(struct symbols_module *m)
{
	dw_close(m->dw);
	m->dw = NULL;
	elf_symbols_fini(&m->symbols);
	elf_symbols_fini(&m->variables);
	if (m->has_debug)
		elf_fini(&m->debug);
	if (m->has_elf)
		elf_fini(&m->elf);
	m->has_debug = m->has_elf = false;
	free(m->cache);
	m->cache = NULL;
}

void symbols_destroy(struct symbols *s)
{
	struct symbols_module *next;

	if (s == NULL)
		return;
	for (struct symbols_module *m = s->modules; m != NULL; m = next) {
		next = m->next;
		close_module(m);
		free(m->asked_id);
		free(m);
	}
	symbols_forget_jit(s);
	free(s->jits);
	free(s->display);
	strings_fini(&s->strings);
	free(s);
}

static const struct strings_entry *name_entry(struct symbols *s, const char *system_name)
{
	struct strings_entry *e = strings_get(&s->strings, system_name, strlen(system_name));
	size_t n;

	if (e == NULL || e->display != NULL)
		return e;
	n = demangle(system_name, s->display, DISPLAY_MAX);
	e->display = n != 0 ? strings_intern(&s->strings, s->display) : e->text;
	return e;
}

const char *symbols_demangle(struct symbols *s, const char *system_name)
{
	const struct strings_entry *e = name_entry(s, system_name);

	return e != NULL ? e->display : system_name;
}

/*
 * The kernel maps whole pages of it; its headers say where they end, give or take the section
 * headers.
 */
static int open_vdso(struct elf *elf, struct why *why)
{
	const uint8_t *image =
		(const uint8_t *)getauxval(AT_SYSINFO_EHDR); /* NOLINT(performance-no-int-to-ptr) */
	size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 0;
	const Elf64_Ehdr *h = (const Elf64_Ehdr *)image;
	const Elf64_Phdr *ph;

	if (image == NULL) {
		why_set(why, "[vdso]: this process has none");
		return -ENOENT;
	}
	ph = (const Elf64_Phdr *)(image + h->e_phoff);
	for (int i = 0; i < h->e_phnum; i++)
		if (ph[i].p_type == PT_LOAD && ph[i].p_offset + ph[i].p_filesz > size)
			size = ph[i].p_offset + ph[i].p_filesz;
	size = (size + page - 1) / page * page;
	if (size == 0 || size > VDSO_SIZE_MAX) {
		why_set(why, "[vdso]: its headers are not understood");
		return -EINVAL;
	}
	return elf_from_memory(elf, image, size, why);
}

static void print_hex(char *out, size_t size, const uint8_t *bytes, size_t n)
{
	out[0] = '\0';
	for (size_t i = 0; i < n && 2 * i + 2 < size; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static int check_build_id(struct symbols_module *m, struct why *why)
{
	char wanted[65], found[65];

	if (m->asked_id_size == 0 || m->elf.build_id == NULL)
		return 0;
	if (m->asked_id_size == m->elf.build_id_size &&
	    memcmp(m->asked_id, m->elf.build_id, m->asked_id_size) == 0)
		return 0;
	print_hex(wanted, sizeof(wanted), m->asked_id, m->asked_id_size);
	print_hex(found, sizeof(found), m->elf.build_id, m->elf.build_id_size);
	why_set(why,
		"%s: the file has build id %s, what was recorded has %s; it was replaced since",
		m->path, found, wanted);
	return -ESTALE;
}

/*
 * The file itself; where it is gone or another one, the debug file of the right build id stands in.
 */
static int open_files(struct symbols_module *m, struct why *why)
{
	int r;

	r = strcmp(m->path, "[vdso]") == 0 ? open_vdso(&m->elf, why)
					   : elf_open(&m->elf, m->path, why);
	if (r == 0) {
		r = check_build_id(m, why);
		if (r < 0)
			elf_fini(&m->elf);
	}
	if (r < 0 && m->asked_id_size > 0 &&
	    files_open_by_build_id(&m->elf, m->asked_id, m->asked_id_size) == 0)
		r = 0;
	m->has_elf = r == 0;
	return r;
}

/*
 * DWARF of the file, else of its debug file. What is wrong with it is told, but does not make the
 * module useless.
 */
static void open_dwarf(struct symbols_module *m, struct why *why)
{
	struct why problem = {0};
	struct strings *st = &m->owner->strings;
	uint64_t start = m->elf.text_start, end = m->elf.text_end;
	const _Atomic bool *ends = m->owner->should_end;
	int r = dw_open(&m->dw, &m->elf, start, end, st, ends, &problem);

	if (m->dw == NULL && m->elf.fd >= 0 && files_open_debug(&m->debug, &m->elf, m->path) == 0) {
		m->has_debug = true;
		r = dw_open(&m->dw, &m->debug, start, end, st, ends, &problem);
	}
	if (m->dw != NULL || r == -ENOENT || (r == -ENOSYS && m->owner->has_told))
		return;
	if (r == -ENOSYS)
		m->owner->has_told = true;
	why_set(why, "%s: %s", m->path, problem.text);
}

/* Those of the file, then those of its debug file. */
static int add_symbols(struct symbols_module *m, struct elf_symbols *symbols, enum elf_names kind)
{
	int r = elf_symbols_add(symbols, kind, &m->elf, &m->owner->strings);

	if (r == 0 && m->has_debug)
		r = elf_symbols_add(symbols, kind, &m->debug, &m->owner->strings);
	return r;
}

/* Read when one is asked for: most profiles have places in code alone. */
static void read_variables(struct symbols_module *m)
{
	if (m->has_variables)
		return;
	m->has_variables = true;
	if (add_symbols(m, &m->variables, ELF_VARIABLES) < 0 || spans_sort(&m->variables.spans) < 0)
		elf_symbols_fini(&m->variables);
}

static int open_module(struct symbols_module *m, struct why *why)
{
	int r = open_files(m, why);

	if (r < 0)
		return r;
	why->text[0] = '\0'; /* of a file that another one stands in for */
	open_dwarf(m, why);
	r = add_symbols(m, &m->symbols, ELF_FUNCTIONS);
	if (r == 0)
		r = elf_symbols_sort(&m->symbols);
	if (r == 0)
		r = elf_symbols_add_plt(&m->symbols, &m->elf, &m->owner->strings);
	if (r == 0)
		r = elf_symbols_sort(&m->symbols);
	if (r < 0) {
		why_set(why, "%s: out of memory for its symbols", m->path);
		return r;
	}
	if (m->dw == NULL && m->symbols.spans.n == 0)
		read_variables(m);
	if (m->dw == NULL && m->symbols.spans.n == 0 && m->variables.spans.n == 0) {
		why_set(why, "%s: has neither symbols nor debugging information", m->path);
		return -ENOENT;
	}
	return 0;
}

void symbols_end_by(struct symbols *s, const _Atomic bool *should_end)
{
	s->should_end = should_end;
}

static bool should_end(const struct symbols *s)
{
	return s->should_end != NULL &&
	       atomic_load_explicit(s->should_end, memory_order_relaxed); /* nothing goes with it */
}

struct symbols_module *symbols_module(struct symbols *s, const char *path, const uint8_t *build_id,
				      size_t build_id_size, struct why *why)
{
	struct symbols_module *m;
	struct why unused;

	if (why == NULL)
		why = &unused;
	why->text[0] = '\0';
	if (build_id == NULL)
		build_id_size = 0;
	for (m = s->modules; m != NULL; m = m->next)
		if (strcmp(m->path, path) == 0 && m->asked_id_size == build_id_size &&
		    (build_id_size == 0 || memcmp(m->asked_id, build_id, build_id_size) == 0))
			goto found;
	if (should_end(s)) {
		why_set(why, "%s: there is no time to read it", path);
		return NULL;
	}

	m = calloc(1, sizeof(*m));
	if (m != NULL && build_id_size > 0) {
		m->asked_id = malloc(build_id_size);
		if (m->asked_id == NULL) {
			free(m);
			m = NULL;
		} else {
			memcpy(m->asked_id, build_id, build_id_size);
		}
	}
	if (m == NULL) {
		why_set(why, "%s: out of memory", path);
		return NULL;
	}
	m->asked_id_size = build_id_size;
	m->owner = s;
	m->path = strings_intern(&s->strings, path);
	m->next = s->modules;
	s->modules = m;
	if (open_module(m, &m->why) < 0)
		close_module(m);
found:
	*why = m->why;
	return m->has_elf ? m : NULL;
}

struct symbols_kind symbols_module_kind(const struct symbols_module *m)
{
	return (struct symbols_kind){
		.has_functions = true,
		.has_lines = m->dw != NULL,
		.has_inlines = m->dw != NULL,
	};
}

bool symbols_module_has_build_id(const struct symbols_module *m)
{
	return m->elf.build_id != NULL;
}

bool symbols_vaddr(const struct symbols_module *m, uint64_t start, uint64_t limit, uint64_t offset,
		   uint64_t address, uint64_t *ret_vaddr)
{
	bool is_endless = limit == 0 || limit == UINT64_MAX;
	uint64_t vaddr, size;

	if (start == 0 && offset == 0 && is_endless) {
		*ret_vaddr = address;
		return true;
	}
	if (address < start || (!is_endless && address >= limit))
		return false;
	if (elf_code_at_offset(&m->elf, address - start + offset, ret_vaddr))
		return true;
	/* a debug file that stands in for it says where the code was in memory only */
	if (!elf_only_code(&m->elf, &vaddr, &size) || size != limit - start)
		return false;
	*ret_vaddr = address - start + vaddr;
	return true;
}

static void name_frame(struct symbols_module *m, struct symbols_frame *frame,
		       const char *system_name)
{
	const struct strings_entry *e = name_entry(m->owner, system_name);

	frame->system_name = e != NULL ? e->text : "";
	frame->name = e != NULL ? e->display : "";
}

static bool is_mangled(const char *name)
{
	return strncmp(name, "_Z", 2) == 0 || strncmp(name, "_R", 2) == 0;
}

/*
 * DWARF has no names for assembly, for some C++ and Rust functions the last part only, and for C
 * those inside.
 */
static bool wants_symbol(const struct dw_frame *f)
{
	return f->name == NULL || !f->is_linkage_name ||
	       (f->name[0] == '_' && !is_mangled(f->name));
}

/*
 * The exported name is the one people know: malloc, where DWARF says __libc_malloc. But foo, not
 * foo.cold.
 */
static bool is_better(const char *symbol, const char *name)
{
	return strspn(symbol, "_") < strspn(name, "_") && strchr(symbol, '.') == NULL;
}

static int find_frames(struct symbols_module *m, uint64_t vaddr, struct symbols_frame *frames)
{
	struct dw_frame found[DEPTH_MAX];
	const char *symbol = NULL, *name;
	uint64_t start = 0;
	int n = m->dw != NULL ? dw_lookup(m->dw, vaddr, found, DEPTH_MAX) : 0;

	if (n == 0 || wants_symbol(&found[n - 1]))
		symbol = elf_symbols_find(&m->symbols, vaddr, &start);
	if (n == 0) {
		if (symbol == NULL)
			return 0;
		found[n++] = (struct dw_frame){0};
	}
	if (symbol != NULL && (found[n - 1].name == NULL || is_mangled(symbol) ||
			       is_better(symbol, found[n - 1].name)))
		found[n - 1].name = symbol;
	if (found[n - 1].start != 0)
		start = found[n - 1].start;
	for (int i = 0; i < n; i++) {
		name = found[i].name;
		if (name == NULL && i == n - 1)
			return 0;
		name_frame(m, &frames[i], name != NULL ? name : "[unknown]");
		frames[i].file = strings_intern(&m->owner->strings,
						found[i].file != NULL ? found[i].file : "");
		frames[i].line = found[i].line;
		frames[i].start_line = found[i].start_line;
		frames[i].start = start;
	}
	return n;
}

static uint32_t cache_slot(const struct symbols_module *m, uint64_t vaddr)
{
	uint32_t at = (uint32_t)((vaddr * 0x9e3779b97f4a7c15) >> 32) & (m->cache_size - 1);

	while (m->cache[at] != NULL && m->cache[at]->vaddr != vaddr)
		at = (at + 1) & (m->cache_size - 1);
	return at;
}

static void grow_cache(struct symbols_module *m)
{
	struct cached **before = m->cache;
	uint32_t before_size = m->cache_size;

	m->cache_size = before_size != 0 ? before_size * 2 : 256;
	m->cache = calloc(m->cache_size, sizeof(struct cached *));
	if (m->cache == NULL) {
		m->cache = before;
		m->cache_size = before_size;
		return;
	}
	for (uint32_t i = 0; i < before_size; i++)
		if (before[i] != NULL)
			m->cache[cache_slot(m, before[i]->vaddr)] = before[i];
	free(before);
}

static void remember(struct symbols_module *m, uint64_t vaddr, const struct symbols_frame *frames,
		     int n)
{
	struct cached *c;

	if (m->cached_n >= CACHE_MAX)
		return;
	if (m->cached_n * 2 >= m->cache_size)
		grow_cache(m);
	if (m->cached_n * 2 >= m->cache_size)
		return;
	c = strings_alloc(&m->owner->strings, sizeof(*c) + (size_t)n * sizeof(*frames));
	if (c == NULL)
		return;
	c->vaddr = vaddr;
	c->frames_n = n;
	memcpy(c->frames, frames, (size_t)n * sizeof(*frames));
	m->cache[cache_slot(m, vaddr)] = c;
	m->cached_n++;
}

int symbols_lookup(struct symbols_module *m, uint64_t vaddr, struct symbols_frame *frames,
		   int frames_max)
{
	struct symbols_frame found[DEPTH_MAX];
	const struct symbols_frame *from = found;
	const struct cached *c = m->cache_size != 0 ? m->cache[cache_slot(m, vaddr)] : NULL;
	int n;

	if (c != NULL) {
		from = c->frames;
		n = c->frames_n;
	} else if (should_end(m->owner)) {
		return 0;
	} else {
		n = find_frames(m, vaddr, found);
		remember(m, vaddr, found, n);
	}
	if (n > frames_max)
		n = frames_max > 0 ? frames_max : 0;
	memcpy(frames, from, (size_t)n * sizeof(*frames));
	return n;
}

const char *symbols_variable(struct symbols_module *m, uint64_t vaddr, uint64_t *ret_offset)
{
	const struct strings_entry *e;
	const char *name;
	uint64_t start;

	read_variables(m);
	name = elf_symbols_find_smallest(&m->variables, vaddr, &start);
	e = name != NULL ? name_entry(m->owner, name) : NULL;
	if (e == NULL)
		return NULL;
	*ret_offset = vaddr - start;
	return e->display;
}

struct symbols_jit *symbols_jit(struct symbols *s, int pid, struct why *why)
{
	struct symbols_jit *jit,
		**jits = realloc(s->jits, (s->jits_n + 1) * sizeof(struct symbols_jit *));

	if (jits == NULL) {
		why_set(why, "out of memory");
		return NULL;
	}
	s->jits = jits;
	jit = jit_open(pid, why);
	if (jit != NULL)
		s->jits[s->jits_n++] = jit;
	return jit;
}

void symbols_forget_jit(struct symbols *s)
{
	for (uint32_t i = 0; i < s->jits_n; i++)
		jit_close(s->jits[i]);
	s->jits_n = 0;
}
