#include "cli/doctor_elf.h"

#include <stdio.h>
#include <string.h>

#define STRING_MAX    256
#define LOOKED_AT_MAX 4000
#define PROLOGUE      24 /* bytes in which a function that keeps a frame pointer has set it */
#define SYMBOLS_MAX   (UINT64_C(1) << 24) /* the largest programs have some millions */

/* A string of section @table, "" unless it ends inside, and soon: what is looked for is short. */
static const char *string_at(const struct elf_section *table, uint64_t offset)
{
	uint64_t size = table->data != NULL ? table->header.sh_size : 0;
	uint64_t room = offset < size ? size - offset : 0;

	if (room == 0 ||
	    memchr(table->data + offset, '\0', room < STRING_MAX ? room : STRING_MAX) == NULL)
		return "";
	return (const char *)table->data + offset;
}

/* ---- frame pointers ---- */

/* push %rbp; mov %rsp,%rbp, behind what a compiler may put in front of them. */
static bool keeps_frame(const uint8_t *code, uint64_t room)
{
	const uint8_t *push;

	if (room > PROLOGUE)
		room = PROLOGUE;
	push = memchr(code, 0x55, room);
	return push != NULL &&
	       (memmem(push, room - (uint64_t)(push - code), "\x48\x89\xe5", 3) != NULL ||
		memmem(push, room - (uint64_t)(push - code), "\x48\x8b\xec", 3) != NULL);
}

static void look_at(const struct elf_section *text, uint64_t vaddr, struct elf_traits *t)
{
	uint64_t at = vaddr - text->header.sh_addr;

	if (text->data == NULL || vaddr < text->header.sh_addr || at >= text->header.sh_size ||
	    t->looked_at == LOOKED_AT_MAX)
		return;
	t->looked_at++;
	t->with_frame += keeps_frame(text->data + at, text->header.sh_size - at);
}

/* ---- symbol tables ---- */

/* @name begins with two underscores. */
static void judge_name(const char *name, struct elf_traits *t)
{
	static const struct {
		const char *symbol, *name;
	} runtimes[] = {
		{"__asan_init", "AddressSanitizer"}, {"__tsan_init", "ThreadSanitizer"},
		{"__msan_init", "MemorySanitizer"},  {"__hwasan_init", "HWAddressSanitizer"},
		{"__lsan_init", "LeakSanitizer"},
	};

	for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++)
		if (strcmp(name, runtimes[i].symbol) == 0)
			t->sanitizer = runtimes[i].name;
}

static void read_symbols(const struct elf *elf, const char *table_name, bool is_dynamic,
			 const struct elf_section *text, struct elf_traits *t)
{
	struct elf_section table, names;
	Elf64_Sym sym;
	uint64_t n;

	if (!elf_section_named(elf, table_name, &table) || table.data == NULL ||
	    !elf_section(elf, table.header.sh_link, &names))
		return;
	n = table.header.sh_size / sizeof(sym);
	for (uint64_t i = 1; i < n && i < SYMBOLS_MAX; i++) {
		const char *name;
		bool is_function;

		memcpy(&sym, table.data + i * sizeof(sym), sizeof(sym));
		is_function = ELF64_ST_TYPE(sym.st_info) == STT_FUNC && sym.st_shndx != SHN_UNDEF;
		name = string_at(&names, sym.st_name);
		if (name[0] == '_' && name[1] == '_')
			judge_name(name, t);
		if (!is_function)
			continue;
		t->functions += !is_dynamic;
		t->exported += is_dynamic;
		if (sym.st_size > PROLOGUE && !is_dynamic)
			look_at(text, sym.st_value, t);
		if (strcmp(name, "malloc") != 0)
			continue;
		if (is_dynamic)
			t->allocator = ELF_MALLOC_OWN;
		else if (t->allocator == ELF_MALLOC_OTHERS)
			t->allocator = ELF_MALLOC_PRIVATE;
	}
}

/* ---- how stacks are walked ---- */

/* The table as the linker writes it: pairs of distances from its section to a function and to its description. */
static void read_cfi(const struct elf *elf, const struct elf_section *text, struct elf_traits *t)
{
	static const uint8_t usual[] = {1, 0x1b, 0x03, 0x3b};
	struct elf_section frames, table;
	int32_t start;
	uint32_t n;

	t->has_cfi = elf_section_named(elf, ".eh_frame", &frames) && frames.header.sh_size > 8;
	if (!t->has_cfi || !elf_section_named(elf, ".eh_frame_hdr", &table) || table.data == NULL ||
	    table.header.sh_size < 12 || memcmp(table.data, usual, sizeof(usual)) != 0)
		return;
	memcpy(&n, table.data + 8, sizeof(n));
	if ((uint64_t)n * 8 > table.header.sh_size - 12)
		return;
	t->has_cfi_table = true;
	t->rows = n;
	for (uint32_t i = 0; i < n && t->functions == 0; i++) {
		memcpy(&start, table.data + 12 + (uint64_t)i * 8, sizeof(start));
		look_at(text, table.header.sh_addr + (uint64_t)(int64_t)start, t);
	}
}

/* ---- what it is linked to ---- */

static void read_dynamic(const struct elf *elf, struct elf_traits *t)
{
	struct elf_section table, names;
	size_t used = 1;
	Elf64_Dyn dyn;

	strcpy(t->needed, " ");
	if (!elf_section_named(elf, ".dynamic", &table) || table.data == NULL ||
	    !elf_section(elf, table.header.sh_link, &names))
		return;
	for (uint64_t i = 0; i < table.header.sh_size / sizeof(dyn); i++) {
		const char *text;

		memcpy(&dyn, table.data + i * sizeof(dyn), sizeof(dyn));
		if (dyn.d_tag == DT_NULL)
			return;
		text = string_at(&names, dyn.d_un.d_val);
		if (dyn.d_tag == DT_RPATH || dyn.d_tag == DT_RUNPATH)
			snprintf(t->library_path, sizeof(t->library_path), "%s", text);
		if (dyn.d_tag == DT_NEEDED && strlen(text) + 2 < sizeof(t->needed) - used)
			used += (size_t)snprintf(t->needed + used, sizeof(t->needed) - used, "%s ",
						 text);
	}
}

bool elf_traits_needs(const struct elf_traits *t, const char *name)
{
	char wanted[64];

	snprintf(wanted, sizeof(wanted), " %s", name);
	return strstr(t->needed, wanted) != NULL;
}

void elf_traits_read(const struct elf *elf, struct elf_traits *ret)
{
	struct elf_section section, text = {.data = NULL};

	*ret = (struct elf_traits){.has_sections = elf->sections_n > 1};
	if (!elf_section_named(elf, ".text", &text))
		text.data = NULL;
	ret->has_symtab = elf_section_named(elf, ".symtab", &section);
	ret->has_dwarf = elf_section_named(elf, ".debug_info", &section) ||
			 elf_section_named(elf, ".zdebug_info", &section);
	ret->is_go = elf_section_named(elf, ".go.buildinfo", &section) ||
		     elf_section_named(elf, ".gopclntab", &section);
	if (elf_section_named(elf, ".gnu_debuglink", &section))
		snprintf(ret->debug_link, sizeof(ret->debug_link), "%s", string_at(&section, 0));
	read_dynamic(elf, ret);
	read_symbols(elf, ".dynsym", true, &text, ret);
	read_symbols(elf, ".symtab", false, &text, ret);
	read_cfi(elf, &text, ret);
}
