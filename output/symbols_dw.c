#include "output/symbols_dw.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dwarf.h>
#include <elfutils/libdw.h>

#include "output/symbols_lines.h"
#include "output/symbols_scan.h"

#define DEPTH_MAX    128        /* inlined calls in one place; gcc and clang stop far below */
#define UNITS_MAX    (1 << 20)  /* Chromium has 40,000 */
#define ENTRIES_MAX  (32 << 20) /* entries looked at in one unit; the largest known has 5 million */
#define RANGES_MAX   (4 << 20) /* of all units, or of the functions of one: many may share a list */
#define CALLS_MAX    (4 << 20) /* inlined calls of all functions together: 300 MB */
#define ASKED_OFTEN  16        /* places in a function that repay a table of its calls; 2 do not */
#define NO_CALL      UINT32_MAX
#define OVERLAP_MAX  64                  /* units that claim one place: folded functions, some 10 */
#define ROWS_MAX     (32 << 20)          /* rows of all line tables together: 512 MiB */
#define INFLATED_MAX ((uint64_t)8 << 30) /* bytes of compressed sections when written out */
#define INFLATED_BY  1100                /* zlib makes nothing more than 1,032 times smaller */

/* One line per function of libdw and libelf: the struct and the look-up come from it. */
#define DW_FUNCTIONS(X)         \
	X(elf_version)          \
	X(elf_begin)            \
	X(elf_memory)           \
	X(elf_end)              \
	X(elf_nextscn)          \
	X(elf_getdata)          \
	X(elf_strptr)           \
	X(elf_getshdrstrndx)    \
	X(elf64_getshdr)        \
	X(dwarf_begin_elf)      \
	X(dwarf_end)            \
	X(dwarf_get_units)      \
	X(dwarf_ranges)         \
	X(dwarf_tag)            \
	X(dwarf_child)          \
	X(dwarf_siblingof)      \
	X(dwarf_dieoffset)      \
	X(dwarf_cuoffset)       \
	X(dwarf_offdie)         \
	X(dwarf_hasattr)        \
	X(dwarf_attr)           \
	X(dwarf_attr_integrate) \
	X(dwarf_formstring)     \
	X(dwarf_formudata)      \
	X(dwarf_getsrcfiles)    \
	X(dwarf_filesrc)

static struct {
#define DECLARE(name) __typeof__(name) *name;
	DW_FUNCTIONS(DECLARE)
#undef DECLARE
} lib;

static pthread_once_t load_once = PTHREAD_ONCE_INIT;
static struct why load_why;
static int load_result;

static void load(void)
{
	void *handle = dlopen("libdw.so.1", RTLD_NOW | RTLD_LOCAL);

	load_result = -ENOSYS;
	if (handle == NULL) {
		why_set(&load_why, "libdw.so.1 cannot be loaded (package libdw1 or elfutils-libs): "
				   "names come from the "
				   "symbol tables alone, without lines and inlined calls");
		return;
	}
#define LOOK_UP(name)                                                                            \
	*(void **)&lib.name = dlsym(handle, #name);                                              \
	if (lib.name == NULL) {                                                                  \
		why_set(&load_why,                                                               \
			"libdw.so.1 has no %s: names come from the symbol tables alone", #name); \
		return;                                                                          \
	}
	DW_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
	lib.elf_version(EV_CURRENT);
	load_result = 0;
}

int dw_load(struct why *why)
{
	pthread_once(&load_once, load);
	if (load_result < 0 && why != NULL)
		*why = load_why;
	return load_result;
}

struct dw_function {
	uint64_t offset; /* in .debug_info */
	Dwarf_Die die;
	bool has_die; /* @die is set, else it is made from @offset when somebody asks */
	uint8_t asked;
	struct dw_calls *calls; /* NULL: not made */
};

/* An inlined call, and the one it is in: an index, or NO_CALL for the function itself. */
struct dw_call {
	Dwarf_Die die;
	uint32_t parent;
};

/*
 * All inlined calls of a function by address, made when it is asked for often: a function with many
 * samples has many places, and finding each by its entries walks past thousands that are not it.
 */
struct dw_calls {
	struct spans spans; /* what: index into call, rank: how deep */
	struct dw_call *call;
	uint32_t n, room;
};

/* A compilation unit. Its functions and lines are read when an address first falls into it. */
struct dw_unit {
	Dwarf_Die die;
	Dwarf_Die split; /* the unit in the .dwo file, where there is one */
	bool is_split, is_scanned, has_lines;
	struct spans functions; /* what: index into function */
	struct dw_function *function;
	uint32_t functions_n, functions_room;
	struct lines lines;
};

struct dw {
	Elf *elf;
	Dwarf *dwarf;
	struct strings *strings;
	uint64_t text_start, text_end;
	struct scan_sections sections;
	struct scan_table *table;
	struct lines_input lines;
	uint32_t calls_n;
	struct dw_unit *units;
	uint32_t units_n, units_room;
	struct spans ranges; /* what: index into units */
};

/* Adds the ranges of @die to @spans; those of code that was dropped lie outside of the text. */
static int add_ranges(const struct dw *dw, Dwarf_Die *die, struct spans *spans, uint32_t what,
		      uint32_t rank)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t at = 0;
	int r;

	while (spans->n < RANGES_MAX && (at = lib.dwarf_ranges(die, at, &base, &start, &end)) > 0) {
		if (start < dw->text_start || end > dw->text_end || start >= end)
			continue;
		r = spans_add(spans, start, end, what, rank);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_units(struct dw *dw, const _Atomic bool *should_end)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die, split;
	struct dw_unit *units;
	uint32_t room;
	uint8_t type;
	int r;

	while (lib.dwarf_get_units(dw->dwarf, cu, &cu, NULL, &type, &die, &split) == 0) {
		if (type != DW_UT_compile && type != DW_UT_skeleton)
			continue;
		if (should_end != NULL && atomic_load_explicit(should_end, memory_order_relaxed))
			return -ECANCELED;
		if (dw->units_n == UNITS_MAX)
			break;
		if (dw->units_n == dw->units_room) {
			room = dw->units_room != 0 ? dw->units_room * 2 : 64;
			units = realloc(dw->units, room * sizeof(*units));
			if (units == NULL)
				return -ENOMEM;
			dw->units = units;
			dw->units_room = room;
		}
		dw->units[dw->units_n] = (struct dw_unit){
			.die = die,
			.split = split,
			.is_split = type == DW_UT_skeleton && split.addr != NULL,
		};
		r = add_ranges(dw, &die, &dw->ranges, dw->units_n, 0);
		if (r < 0)
			return r;
		dw->units_n++;
	}
	return spans_sort(&dw->ranges);
}

/* libdw would write them out whatever they claim to hold. */
static int check_compressed(const struct elf *elf)
{
	struct elf_section section;
	uint64_t total = 0;
	Elf64_Chdr h;

	for (uint32_t i = 1; elf_section(elf, i, &section); i++) {
		if ((section.header.sh_flags & SHF_COMPRESSED) == 0 || section.data == NULL)
			continue;
		if (section.header.sh_size < sizeof(h))
			return -EINVAL;
		memcpy(&h, section.data, sizeof(h));
		if (h.ch_size / INFLATED_BY > section.header.sh_size ||
		    h.ch_size > INFLATED_MAX - total)
			return -EINVAL;
		total += h.ch_size;
	}
	return 0;
}

/*
 * The sections that we read ourselves, as libdw has them: written out where they were compressed.
 */
static void find_sections(struct dw *dw)
{
	const struct {
		const char *name;
		struct bytes *bytes;
	} wanted[] = {
		{"info", &dw->sections.info}, {"abbrev", &dw->sections.abbrev},
		{"addr", &dw->sections.addr}, {"line", &dw->lines.line},
		{"str", &dw->lines.str},      {"line_str", &dw->lines.line_str},
	};
	Elf_Scn *scn = NULL;
	Elf64_Shdr *header;
	Elf_Data *data;
	const char *name;
	size_t names;

	if (lib.elf_getshdrstrndx(dw->elf, &names) != 0)
		return;
	while ((scn = lib.elf_nextscn(dw->elf, scn)) != NULL) {
		header = lib.elf64_getshdr(scn);
		name = header != NULL ? lib.elf_strptr(dw->elf, names, header->sh_name) : NULL;
		if (name == NULL || header->sh_type == SHT_NOBITS ||
		    (header->sh_flags & SHF_COMPRESSED) != 0)
			continue;
		if (strncmp(name, ".debug_", 7) == 0)
			name += 7;
		else if (strncmp(name, ".zdebug_", 8) == 0)
			name += 8;
		else
			continue;
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
			if (strcmp(name, wanted[i].name) != 0 || wanted[i].bytes->p != NULL)
				continue;
			data = lib.elf_getdata(scn, NULL);
			if (data != NULL && data->d_buf != NULL)
				*wanted[i].bytes = (struct bytes){
					.p = data->d_buf,
					.end = (const uint8_t *)data->d_buf + data->d_size,
				};
		}
	}
}

int dw_open(struct dw **ret, const struct elf *elf, uint64_t text_start, uint64_t text_end,
	    struct strings *st, const _Atomic bool *should_end, struct why *why)
{
	struct elf_section section;
	struct dw *dw;
	int r = dw_load(why);

	if (r < 0)
		return r;
	if (!elf_section_named(elf, ".debug_info", &section) &&
	    !elf_section_named(elf, ".zdebug_info", &section))
		return -ENOENT;
	if (section.data == NULL)
		return -ENOENT;
	dw = calloc(1, sizeof(*dw));
	if (dw == NULL)
		return -ENOMEM;
	dw->strings = st;
	dw->text_start = dw->lines.text_start = text_start;
	dw->text_end = dw->lines.text_end = text_end;
	dw->lines.rows_max = ROWS_MAX;
	r = check_compressed(elf);
	if (r < 0)
		goto fail;
	r = -EINVAL;
	dw->elf = elf->fd >= 0 ? lib.elf_begin(elf->fd, ELF_C_READ_MMAP, NULL)
			       : lib.elf_memory((char *)elf->data, elf->size);
	if (dw->elf == NULL)
		goto fail;
	dw->dwarf = lib.dwarf_begin_elf(dw->elf, DWARF_C_READ, NULL);
	if (dw->dwarf == NULL)
		goto fail;
	find_sections(dw);
	r = read_units(dw, should_end);
	if (r < 0)
		goto fail;
	*ret = dw;
	return 0;

fail:
	why_set(why, "its debugging information cannot be read");
	dw_close(dw);
	return r;
}

static void destroy_calls(struct dw_calls *calls)
{
	if (calls == NULL)
		return;
	spans_fini(&calls->spans);
	free(calls->call);
	free(calls);
}

void dw_close(struct dw *dw)
{
	if (dw == NULL)
		return;
	for (uint32_t i = 0; i < dw->units_n; i++) {
		for (uint32_t f = 0; f < dw->units[i].functions_n; f++)
			destroy_calls(dw->units[i].function[f].calls);
		spans_fini(&dw->units[i].functions);
		free(dw->units[i].function);
		lines_fini(&dw->units[i].lines);
	}
	scan_table_destroy(dw->table);
	free(dw->units);
	spans_fini(&dw->ranges);
	if (dw->dwarf != NULL)
		lib.dwarf_end(dw->dwarf);
	if (dw->elf != NULL)
		lib.elf_end(dw->elf);
	free(dw);
}

/* Makes room for one more, which is then number functions_n. */
static struct dw_function *new_function(struct dw_unit *unit)
{
	struct dw_function *function;
	uint32_t room;

	if (unit->functions_n == unit->functions_room) {
		room = unit->functions_room != 0 ? unit->functions_room * 2 : 32;
		function = realloc(unit->function, room * sizeof(*function));
		if (function == NULL)
			return NULL;
		unit->function = function;
		unit->functions_room = room;
	}
	return &unit->function[unit->functions_n];
}

static int add_function(struct dw *dw, struct dw_unit *unit, Dwarf_Die *die, int depth)
{
	struct dw_function *function = new_function(unit);
	uint32_t before = unit->functions.n;
	int r;

	if (function == NULL)
		return -ENOMEM;
	*function = (struct dw_function){.die = *die, .has_die = true};
	r = add_ranges(dw, die, &unit->functions, unit->functions_n, (uint32_t)depth);
	unit->functions_n += unit->functions.n != before;
	return r;
}

struct scan_target {
	struct dw *dw;
	struct dw_unit *unit;
};

static int add_scanned(void *data, const struct scan_function *f)
{
	struct scan_target *t = data;
	struct dw_function *function;
	Dwarf_Die die;

	if (!f->has_range) {
		if (lib.dwarf_offdie(t->dw->dwarf, f->offset, &die) == NULL)
			return 0;
		return add_function(t->dw, t->unit, &die, f->depth);
	}
	if (f->low < t->dw->text_start || f->high > t->dw->text_end ||
	    t->unit->functions.n >= RANGES_MAX)
		return 0;
	function = new_function(t->unit);
	if (function == NULL)
		return -ENOMEM;
	*function = (struct dw_function){.offset = f->offset};
	return spans_add(&t->unit->functions, f->low, f->high, t->unit->functions_n++,
			 (uint32_t)f->depth);
}

/* Whether functions with code may hang below an entry of this kind. */
static bool has_functions_below(int tag)
{
	switch (tag) {
	case DW_TAG_compile_unit:
	case DW_TAG_partial_unit:
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_class_type:
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
	case DW_TAG_interface_type:
	case DW_TAG_subprogram:
	case DW_TAG_lexical_block:
	case DW_TAG_entry_point:
		return true;
	default:
		return false;
	}
}

/* The functions of @unit by libdw alone, where scan_unit() does not understand it. */
static int walk_unit(struct dw *dw, struct dw_unit *unit)
{
	Dwarf_Die path[DEPTH_MAX];
	uint32_t entries = 0;
	int depth = 0, tag;

	if (lib.dwarf_child(unit->is_split ? &unit->split : &unit->die, &path[0]) != 0)
		return 0;
	for (;;) {
		if (++entries > ENTRIES_MAX)
			break;
		tag = lib.dwarf_tag(&path[depth]);
		if (tag == DW_TAG_subprogram &&
		    (lib.dwarf_hasattr(&path[depth], DW_AT_low_pc) ||
		     lib.dwarf_hasattr(&path[depth], DW_AT_ranges)) &&
		    add_function(dw, unit, &path[depth], depth) < 0)
			return -ENOMEM;
		if (depth + 1 < DEPTH_MAX && has_functions_below(tag) &&
		    lib.dwarf_child(&path[depth], &path[depth + 1]) == 0) {
			depth++;
			continue;
		}
		while (depth >= 0 && lib.dwarf_siblingof(&path[depth], &path[depth]) != 0)
			depth--;
		if (depth < 0)
			break;
	}
	return 0;
}

static uint64_t unit_number(struct dw_unit *unit, unsigned name, uint64_t otherwise)
{
	Dwarf_Attribute attribute;
	Dwarf_Word value;

	if (lib.dwarf_attr(&unit->die, name, &attribute) == NULL ||
	    lib.dwarf_formudata(&attribute, &value) != 0)
		return otherwise;
	return value;
}

/* Reads where the functions of @unit are; their inside is left for later. */
static int read_functions(struct dw *dw, struct dw_unit *unit)
{
	struct scan_target target = {dw, unit};
	uint64_t offset = lib.dwarf_dieoffset(&unit->die) - lib.dwarf_cuoffset(&unit->die);
	int r = -EINVAL;

	unit->is_scanned = true;
	if (!unit->is_split)
		r = scan_unit(&dw->sections, offset, unit_number(unit, DW_AT_addr_base, 8),
			      &dw->table, add_scanned, &target);
	if (r == -EINVAL) {
		unit->functions_n = unit->functions.n = 0;
		r = walk_unit(dw, unit);
	}
	return r < 0 ? r : spans_sort(&unit->functions);
}

static const char *attribute_string(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attribute;

	if (lib.dwarf_attr_integrate(die, name, &attribute) == NULL)
		return NULL;
	return lib.dwarf_formstring(&attribute);
}

static int64_t attribute_number(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attribute;
	Dwarf_Word value;

	if (lib.dwarf_attr_integrate(die, name, &attribute) == NULL ||
	    lib.dwarf_formudata(&attribute, &value) != 0 || value > INT32_MAX)
		return 0;
	return (int64_t)value;
}

static void name_frame(Dwarf_Die *die, struct dw_frame *frame)
{
	frame->name = attribute_string(die, DW_AT_linkage_name);
	if (frame->name == NULL)
		frame->name = attribute_string(die, DW_AT_MIPS_linkage_name);
	frame->is_linkage_name = frame->name != NULL;
	if (frame->name == NULL)
		frame->name = attribute_string(die, DW_AT_name);
	frame->start_line = attribute_number(die, DW_AT_decl_line);
}

static bool holds(Dwarf_Die *die, uint64_t vaddr)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t at = 0;

	while ((at = lib.dwarf_ranges(die, at, &base, &start, &end)) > 0)
		if (vaddr >= start && vaddr < end)
			return true;
	return false;
}

/*
 * The calls inlined at @vaddr in @function, outermost first, the function itself at 0. Returns how
 * many.
 */
static int read_chain(Dwarf_Die *function, uint64_t vaddr, Dwarf_Die *chain)
{
	Dwarf_Die die, child;
	int n = 1, tag, r;

	chain[0] = *function;
	r = lib.dwarf_child(function, &die);
	while (r == 0) {
		tag = lib.dwarf_tag(&die);
		if ((tag != DW_TAG_inlined_subroutine && tag != DW_TAG_lexical_block) ||
		    !holds(&die, vaddr)) {
			r = lib.dwarf_siblingof(&die, &die);
			continue;
		}
		if (tag == DW_TAG_inlined_subroutine) {
			if (n == DEPTH_MAX)
				break;
			chain[n++] = die;
		}
		r = lib.dwarf_child(&die, &child);
		die = child;
	}
	return n;
}

static int add_call(struct dw *dw, struct dw_calls *calls, Dwarf_Die *die, uint32_t parent,
		    int depth)
{
	struct dw_call *grown;
	uint32_t room;

	if (dw->calls_n >= CALLS_MAX)
		return -ENOMEM;
	if (calls->n == calls->room) {
		room = calls->room != 0 ? calls->room * 2 : 32;
		grown = realloc(calls->call, room * sizeof(*grown));
		if (grown == NULL)
			return -ENOMEM;
		calls->call = grown;
		calls->room = room;
	}
	calls->call[calls->n] = (struct dw_call){*die, parent};
	dw->calls_n++;
	return add_ranges(dw, die, &calls->spans, calls->n++, (uint32_t)depth);
}

static int walk_calls(struct dw *dw, struct dw_calls *calls, Dwarf_Die *function)
{
	Dwarf_Die path[DEPTH_MAX];
	uint32_t parent[DEPTH_MAX]; /* of the entries at each depth */
	int depth = 0, tag;

	parent[0] = NO_CALL;
	if (lib.dwarf_child(function, &path[0]) != 0)
		return 0;
	for (;;) {
		tag = lib.dwarf_tag(&path[depth]);
		if (tag == DW_TAG_inlined_subroutine &&
		    add_call(dw, calls, &path[depth], parent[depth], depth) < 0)
			return -ENOMEM;
		if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block) &&
		    depth + 1 < DEPTH_MAX && lib.dwarf_child(&path[depth], &path[depth + 1]) == 0) {
			parent[depth + 1] =
				tag == DW_TAG_inlined_subroutine ? calls->n - 1 : parent[depth];
			depth++;
			continue;
		}
		while (lib.dwarf_siblingof(&path[depth], &path[depth]) != 0)
			if (--depth < 0)
				return 0;
	}
}

static struct dw_calls *make_calls(struct dw *dw, Dwarf_Die *function)
{
	struct dw_calls *calls = calloc(1, sizeof(*calls));

	if (calls != NULL &&
	    (walk_calls(dw, calls, function) < 0 || spans_sort(&calls->spans) < 0)) {
		destroy_calls(calls);
		return NULL;
	}
	return calls;
}

/* As read_chain(), out of the table. */
static int find_chain(const struct dw_calls *calls, Dwarf_Die *function, uint64_t vaddr,
		      Dwarf_Die *chain)
{
	const struct span *deepest = NULL, *s;
	uint32_t at = UINT32_MAX, call;
	int n = 1, place;

	for (int i = 0; i < DEPTH_MAX && (at = spans_find(&calls->spans, vaddr, at)) != UINT32_MAX;
	     i++) {
		s = &calls->spans.v[at];
		if (deepest == NULL || s->rank > deepest->rank)
			deepest = s;
	}
	call = deepest != NULL ? deepest->what : NO_CALL;
	for (uint32_t up = call; up != NO_CALL; up = calls->call[up].parent)
		n++;
	place = n;
	for (; call != NO_CALL; call = calls->call[call].parent)
		chain[--place] = calls->call[call].die;
	chain[0] = *function;
	return n;
}

static int get_chain(struct dw *dw, struct dw_function *function, uint64_t vaddr, Dwarf_Die *chain)
{
	if (function->asked < ASKED_OFTEN && ++function->asked == ASKED_OFTEN)
		function->calls = make_calls(dw, &function->die);
	if (function->calls != NULL)
		return find_chain(function->calls, &function->die, vaddr, chain);
	return read_chain(&function->die, vaddr, chain);
}

static void read_line(struct dw *dw, struct dw_unit *unit, uint64_t vaddr, struct dw_frame *frame)
{
	const struct lines_row *row;
	Dwarf_Attribute base;
	uint64_t offset;

	if (!unit->has_lines) {
		unit->has_lines = true;
		offset = unit_number(unit, DW_AT_stmt_list, UINT64_MAX);
		if (offset != UINT64_MAX &&
		    lines_read(&unit->lines, &dw->lines, offset,
			       lib.dwarf_attr(&unit->die, DW_AT_comp_dir, &base) != NULL
				       ? lib.dwarf_formstring(&base)
				       : NULL) == 0)
			dw->lines.rows_max -= unit->lines.rows_n;
	}
	row = lines_find(&unit->lines, vaddr);
	if (row == NULL)
		return;
	frame->file = lines_file(&unit->lines, row->file, dw->strings);
	frame->line = row->line;
}

/* Where the inlined function @callee was called: a place in the function around it. */
static void read_call(struct dw *dw, struct dw_unit *unit, Dwarf_Die *callee,
		      struct dw_frame *frame)
{
	uint64_t file = (uint64_t)attribute_number(callee, DW_AT_call_file);
	Dwarf_Files *files;
	size_t n;

	frame->line = attribute_number(callee, DW_AT_call_line);
	if (!unit->is_split)
		frame->file = lines_file(&unit->lines, file, dw->strings);
	else if (lib.dwarf_getsrcfiles(&unit->split, &files, &n) ==
		 0) /* the .dwo file numbers its own */
		frame->file = lib.dwarf_filesrc(files, file, NULL, NULL);
}

static struct dw_unit *find_unit(struct dw *dw, uint64_t vaddr, struct dw_function **ret_function,
				 uint64_t *ret_start)
{
	struct dw_unit *unit, *first = NULL;
	uint32_t at = UINT32_MAX, function;

	/*
	 * Ranges of units overlap where the linker folded equal functions: the first that has a
	 * function is right.
	 */
	for (int i = 0; i < OVERLAP_MAX && (at = spans_find(&dw->ranges, vaddr, at)) != UINT32_MAX;
	     i++) {
		unit = &dw->units[dw->ranges.v[at].what];
		if (first == NULL)
			first = unit;
		if (!unit->is_scanned && read_functions(dw, unit) < 0)
			continue;
		function = spans_find(&unit->functions, vaddr, UINT32_MAX);
		if (function != UINT32_MAX) {
			*ret_function = &unit->function[unit->functions.v[function].what];
			*ret_start = unit->functions.v[function].start;
			return unit;
		}
	}
	*ret_function = NULL;
	return first;
}

int dw_lookup(struct dw *dw, uint64_t vaddr, struct dw_frame *frames, int frames_max)
{
	Dwarf_Die chain[DEPTH_MAX];
	struct dw_function *function;
	uint64_t start = 0;
	struct dw_unit *unit = find_unit(dw, vaddr, &function, &start);
	int chain_n = 1, n;

	if (unit == NULL || frames_max <= 0)
		return 0;
	frames[0] = (struct dw_frame){0};
	read_line(dw, unit, vaddr, &frames[0]);
	if (function != NULL && !function->has_die)
		function->has_die =
			lib.dwarf_offdie(dw->dwarf, function->offset, &function->die) != NULL;
	if (function == NULL || !function->has_die)
		return frames[0].file != NULL;
	chain_n = get_chain(dw, function, vaddr, chain);
	for (n = 0; n < chain_n && n < frames_max; n++) {
		if (n > 0) {
			frames[n] = (struct dw_frame){0};
			read_call(dw, unit, &chain[chain_n - n], &frames[n]);
		}
		name_frame(&chain[chain_n - 1 - n], &frames[n]);
	}
	if (n > 0)
		frames[n - 1].start = start;
	return n;
}
