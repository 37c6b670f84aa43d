/*
 * Names of functions and variables by address. Where several symbols are at one address the rank
 * decides: one with a size before one without, then a function before an untyped label, then an
 * exported one before a local one, then the name with fewer leading underscores, then global before
 * weak, then the shorter name: that is the one people know (malloc, not __libc_malloc).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/symbols_elf.h"

#define STUB_MAX    16         /* bytes of one entry of the procedure linkage table */
#define HAS_SIZE    (1u << 31) /* in a rank */
#define OVERLAP_MAX 64         /* names of one place; libc has 8 */

static int add_name(struct elf_symbols *symbols, const char *name, uint32_t *ret_index)
{
	const char **names;
	uint32_t room;

	if (symbols->names_n == symbols->names_room) {
		if (symbols->names_room > UINT32_MAX / 4)
			return -ENOMEM;
		room = symbols->names_room != 0 ? symbols->names_room * 2 : 256;
		names = realloc(symbols->names, room * sizeof(*names));
		if (names == NULL)
			return -ENOMEM;
		symbols->names = names;
		symbols->names_room = room;
	}
	*ret_index = symbols->names_n;
	symbols->names[symbols->names_n++] = name;
	return 0;
}

static uint32_t rank_symbol(const Elf64_Sym *sym, const char *name)
{
	int type = ELF64_ST_TYPE(sym->st_info), bind = ELF64_ST_BIND(sym->st_info);
	size_t underscores = strspn(name, "_"), length = strnlen(name, 4095);
	uint32_t rank = 0;

	rank |= sym->st_size != 0 ? HAS_SIZE : 0;
	rank |= (uint32_t)(type != STT_NOTYPE) << 30;
	rank |= (uint32_t)(bind != STB_LOCAL) << 29;
	rank |= (uint32_t)(underscores < 15 ? 15 - underscores : 0) << 25;
	rank |= (uint32_t)(bind == STB_GLOBAL) << 24;
	rank |= (uint32_t)(4095 - length) << 8;
	return rank;
}

/* The section that @sym lies in; false when it is none of the file's. */
static bool section_of(const struct elf *elf, const Elf64_Sym *sym, Elf64_Shdr *ret)
{
	if (sym->st_shndx == SHN_UNDEF || sym->st_shndx >= SHN_LORESERVE ||
	    sym->st_shndx >= elf->sections_n)
		return false;
	memcpy(ret, elf->data + elf->header.e_shoff + (uint64_t)sym->st_shndx * sizeof(*ret),
	       sizeof(*ret));
	return true;
}

/* Whether @sym names code. */
static bool is_function(const struct elf *elf, const Elf64_Sym *sym)
{
	Elf64_Shdr section;
	int type = ELF64_ST_TYPE(sym->st_info);

	if (sym->st_shndx == SHN_UNDEF || sym->st_value == 0)
		return false;
	if (type == STT_FUNC || type == STT_GNU_IFUNC)
		return true;
	return type == STT_NOTYPE && section_of(elf, sym, &section) &&
	       (section.sh_flags & SHF_EXECINSTR) != 0;
}

/*
 * Whether @sym names a variable that has an address: not one of each thread, whose value is a
 * distance, nor one that is still to be given a place, whose value is an alignment.
 */
static bool is_variable(const struct elf *elf, const Elf64_Sym *sym)
{
	Elf64_Shdr section;
	int type = ELF64_ST_TYPE(sym->st_info);

	if ((type != STT_OBJECT && type != STT_COMMON) || sym->st_value == 0)
		return false;
	if (sym->st_shndx == SHN_XINDEX) /* a file with that many sections: its type must do */
		return true;
	return section_of(elf, sym, &section) && (section.sh_flags & SHF_TLS) == 0;
}

/* The end of the section that holds @address; a function without a size reaches no further. */
static uint64_t section_end(const struct elf *elf, const Elf64_Sym *sym)
{
	Elf64_Shdr section;

	if (section_of(elf, sym, &section) && section.sh_addr <= sym->st_value &&
	    sym->st_value - section.sh_addr < section.sh_size)
		return section.sh_addr + section.sh_size;
	return elf->text_end;
}

/* A variable without a size is known to be at its address and nowhere else. */
static uint64_t end_of(const struct elf *elf, const Elf64_Sym *sym, enum elf_names kind)
{
	if (sym->st_size != 0)
		return sym->st_value + sym->st_size;
	return kind == ELF_VARIABLES ? sym->st_value + 1 : section_end(elf, sym);
}

static int add_table(struct elf_symbols *symbols, enum elf_names kind, const struct elf *elf,
		     const struct elf_section *table, struct strings *st)
{
	struct elf_section strings;
	const char *name, *version;
	Elf64_Sym sym;
	uint64_t n, end;
	uint32_t index;

	if (table->data == NULL || !elf_section(elf, table->header.sh_link, &strings) ||
	    strings.data == NULL)
		return 0;
	/* One check for all names: the last one ends where the table does. */
	if (strings.header.sh_size == 0 || strings.data[strings.header.sh_size - 1] != '\0')
		return 0;
	n = table->header.sh_size / sizeof(sym);
	for (uint64_t i = 1; i < n; i++) {
		memcpy(&sym, table->data + i * sizeof(sym), sizeof(sym));
		if (!(kind == ELF_VARIABLES ? is_variable : is_function)(elf, &sym) ||
		    sym.st_name >= strings.header.sh_size)
			continue;
		name = (const char *)strings.data + sym.st_name;
		if (name[0] == '\0' || name[0] == '$') /* $x, $d: mapping symbols of ARM */
			continue;
		version = strchr(name, '@');
		if (version != NULL && version != name) {
			struct strings_entry *e = strings_get(st, name, (size_t)(version - name));

			if (e == NULL)
				return -ENOMEM;
			name = e->text;
		}
		end = end_of(elf, &sym, kind);
		if (end <= sym.st_value)
			continue;
		if (add_name(symbols, name, &index) < 0 ||
		    spans_add(&symbols->spans, sym.st_value, end, index, rank_symbol(&sym, name)) <
			    0)
			return -ENOMEM;
	}
	return 0;
}

int elf_symbols_add(struct elf_symbols *symbols, enum elf_names kind, const struct elf *elf,
		    struct strings *st)
{
	static const uint32_t types[] = {SHT_SYMTAB, SHT_DYNSYM};
	struct elf_section section;
	int r = 0;

	/*
	 * The first of each kind: more would be an error, and many that share their bytes a way to
	 * fill memory.
	 */
	for (size_t t = 0; t < 2 && r == 0; t++) {
		for (uint32_t i = 1; elf_section(elf, i, &section); i++) {
			if (section.header.sh_type != types[t] ||
			    section.header.sh_entsize != sizeof(Elf64_Sym))
				continue;
			r = add_table(symbols, kind, elf, &section, st);
			break;
		}
	}
	return r;
}

/* A relocation that fills one slot of the global offset table, and the name it is filled for. */
struct slot {
	uint64_t address;
	const char *name;
	uint64_t resolver; /* of an IRELATIVE one, which has no name */
};

static int compare_slots(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	return (x->address > y->address) - (x->address < y->address);
}

/* Appends what fills slots; .rela.plt first, so that its entries keep their numbers. */
static size_t read_slots(const struct elf *elf, const struct elf_section *rela, struct slot *slots,
			 size_t room)
{
	struct elf_section table, names;
	Elf64_Rela r;
	Elf64_Sym sym;
	uint64_t n = rela->header.sh_size / sizeof(r), index;
	size_t slots_n = 0;

	if (rela->data == NULL || !elf_section(elf, rela->header.sh_link, &table) ||
	    table.data == NULL || !elf_section(elf, table.header.sh_link, &names) ||
	    names.data == NULL || names.header.sh_size == 0 ||
	    names.data[names.header.sh_size - 1] != '\0')
		return 0;
	for (uint64_t i = 0; i < n && slots_n < room; i++) {
		memcpy(&r, rela->data + i * sizeof(r), sizeof(r));
		slots[slots_n] = (struct slot){.address = r.r_offset};
		index = ELF64_R_SYM(r.r_info);
		switch (ELF64_R_TYPE(r.r_info)) {
		case R_X86_64_JUMP_SLOT:
		case R_X86_64_GLOB_DAT:
			if (index == 0 || index >= table.header.sh_size / sizeof(sym))
				break;
			memcpy(&sym, table.data + index * sizeof(sym), sizeof(sym));
			if (sym.st_name < names.header.sh_size && names.data[sym.st_name] != '\0')
				slots[slots_n].name = (const char *)names.data + sym.st_name;
			break;
		case R_X86_64_IRELATIVE:
			slots[slots_n].resolver = (uint64_t)r.r_addend;
			break;
		default:
			continue;
		}
		slots_n++;
	}
	return slots_n;
}

/*
 * Where the jump of the stub at @code goes: jmp *slot(%rip), behind endbr64 or bnd or not; 0: it
 * has none.
 */
static uint64_t read_jump(const uint8_t *code, size_t size, uint64_t address)
{
	int32_t distance;

	for (size_t at = 0; at + 6 <= size; at++) {
		if (code[at] == 0xff &&
		    code[at + 1] == 0x35) /* push GOT+8: the common entry of lazy stubs */
			return 0;
		if (code[at] != 0xff || code[at + 1] != 0x25)
			continue;
		memcpy(&distance, code + at + 2, sizeof(distance));
		return address + at + 6 + (uint64_t)(int64_t)distance;
	}
	return 0;
}

static int add_stub(struct elf_symbols *symbols, struct strings *st, uint64_t address,
		    uint64_t size, const char *name)
{
	uint32_t index;
	char text[512];

	snprintf(text, sizeof(text), "%.*s@plt", (int)sizeof(text) - 8, name);
	name = strings_intern(st, text);
	if (name[0] == '\0' || add_name(symbols, name, &index) < 0)
		return -ENOMEM;
	return spans_add(&symbols->spans, address, address + size, index, UINT32_MAX);
}

static int add_stubs(struct elf_symbols *symbols, const struct elf_section *plt,
		     const struct slot *lazy, size_t lazy_n, const struct slot *slots,
		     size_t slots_n, struct strings *st)
{
	uint64_t size = plt->header.sh_entsize == 8 ? 8 : STUB_MAX, target;
	const struct slot *slot, wanted = {0};
	struct slot key = wanted;
	const uint8_t *code;
	uint32_t number;
	int r;

	for (uint64_t at = 0; size <= plt->header.sh_size && at <= plt->header.sh_size - size;
	     at += size) {
		code = plt->data + at;
		target = read_jump(code, size, plt->header.sh_addr + at);
		slot = NULL;
		if (target != 0) {
			key.address = target;
			slot = bsearch(&key, slots, slots_n, sizeof(*slots), compare_slots);
		} else if (memcmp(code, "\xf3\x0f\x1e\xfa\x68", 5) == 0 || code[0] == 0x68) {
			/* push NUMBER, the lazy half of a stub whose other half is in .plt.sec */
			memcpy(&number, code + (code[0] == 0x68 ? 1 : 5), sizeof(number));
			if (number < lazy_n)
				slot = &lazy[number];
		}
		if (slot == NULL || slot->name == NULL)
			continue;
		r = add_stub(symbols, st, plt->header.sh_addr + at, size, slot->name);
		if (r < 0)
			return r;
	}
	return 0;
}

/* x86-64 only: elsewhere stubs are found by no name. */
int elf_symbols_add_plt(struct elf_symbols *symbols, const struct elf *elf, struct strings *st)
{
	static const char *const plts[] = {".plt", ".plt.sec", ".plt.got", ".iplt"};
	struct elf_section lazy = {0}, other = {0}, plt;
	struct slot *slots, *sorted;
	size_t lazy_n, slots_n, room;
	int r = 0;

	if (elf->header.e_machine != EM_X86_64)
		return 0;
	if (!elf_section_named(elf, ".rela.plt", &lazy))
		lazy = (struct elf_section){0};
	if (!elf_section_named(elf, ".rela.dyn", &other))
		other = (struct elf_section){0};
	room = (lazy.data != NULL ? lazy.header.sh_size / sizeof(Elf64_Rela) : 0) +
	       (other.data != NULL ? other.header.sh_size / sizeof(Elf64_Rela) : 0);
	if (room == 0)
		return 0;
	slots = malloc(2 * room * sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	lazy_n = read_slots(elf, &lazy, slots, room);
	slots_n = lazy_n + read_slots(elf, &other, slots + lazy_n, room - lazy_n);
	/* now: the table is searched while it is sorted, and stubs are added at its end */
	for (size_t i = 0; i < slots_n; i++)
		if (slots[i].name == NULL && slots[i].resolver != 0)
			slots[i].name = elf_symbols_find(symbols, slots[i].resolver, NULL);
	sorted = slots + room;
	memcpy(sorted, slots, slots_n * sizeof(*slots));
	qsort(sorted, slots_n, sizeof(*sorted), compare_slots);
	for (size_t i = 0; i < sizeof(plts) / sizeof(plts[0]) && r == 0; i++)
		if (elf_section_named(elf, plts[i], &plt) && plt.data != NULL)
			r = add_stubs(symbols, &plt, slots, lazy_n, sorted, slots_n, st);
	free(slots);
	return r;
}

/*
 * Sorts, and lets those without a size reach to the next one, not all the way to the end of their
 * section.
 */
int elf_symbols_sort(struct elf_symbols *symbols)
{
	struct spans *s = &symbols->spans;
	uint64_t next = UINT64_MAX;
	int r = spans_sort(s);

	for (uint32_t i = r == 0 ? s->n : 0; i > 0; i--) {
		struct span *v = &s->v[i - 1];

		if (i < s->n && s->v[i].start != v->start)
			next = s->v[i].start;
		if ((v->rank & HAS_SIZE) == 0 && v->end > next)
			v->end = next;
	}
	if (r == 0)
		spans_reach(s);
	return r;
}

void elf_symbols_fini(struct elf_symbols *symbols)
{
	if (symbols == NULL)
		return;
	spans_fini(&symbols->spans);
	free(symbols->names);
	*symbols = (struct elf_symbols){0};
}

/*
 * A label without a size is believed only where no function with one covers the place: assembly has
 * labels inside.
 */
const char *elf_symbols_find(const struct elf_symbols *symbols, uint64_t vaddr, uint64_t *ret_start)
{
	const struct span *found = NULL;
	uint32_t at = UINT32_MAX;

	for (int i = 0;
	     i < OVERLAP_MAX && (at = spans_find(&symbols->spans, vaddr, at)) != UINT32_MAX; i++) {
		const struct span *s = &symbols->spans.v[at];

		if (found == NULL || (s->rank & HAS_SIZE) != 0)
			found = s;
		if ((s->rank & HAS_SIZE) != 0)
			break;
	}
	if (found == NULL)
		return NULL;
	if (ret_start != NULL)
		*ret_start = found->start;
	return symbols->names[found->what];
}

/*
 * The smallest variable around @vaddr: a member that has a symbol of its own says more than the
 * whole. One without a size only where there is no other.
 */
const char *elf_symbols_find_smallest(const struct elf_symbols *symbols, uint64_t vaddr,
				      uint64_t *ret_start)
{
	const struct span *found = NULL;
	uint32_t at = UINT32_MAX;

	for (int i = 0;
	     i < OVERLAP_MAX && (at = spans_find(&symbols->spans, vaddr, at)) != UINT32_MAX; i++) {
		const struct span *s = &symbols->spans.v[at];
		bool has_size = (s->rank & HAS_SIZE) != 0;

		/* of equal ones the better known comes first */
		if (found == NULL || (has_size && ((found->rank & HAS_SIZE) == 0 ||
						   s->end - s->start < found->end - found->start)))
			found = s;
	}
	if (found == NULL)
		return NULL;
	*ret_start = found->start;
	return symbols->names[found->what];
}
