/*
 * symbols_elf: the parts of an ELF file that symbolization needs, read by ourselves.
 *
 * The file may be hostile: every offset and count is checked against the size of the file before it
 * is used, and nothing is copied but what is kept. 64 bit, little endian, which is what cprof runs
 * on.
 *
 * The file is mapped. Whoever cuts it short while it is read ends us with SIGBUS, as they would end
 * a program that runs it; package managers and linkers write anew and rename.
 */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/why.h"
#include "output/symbols_spans.h"
#include "output/symbols_strings.h"

struct elf {
	const uint8_t *data;
	size_t size;
	bool is_mapped, is_copied; /* by us, so ours to give back */
	int fd;                    /* -1: an image in memory */
	uint64_t dev, ino;

	Elf64_Ehdr header;
	uint32_t sections_n, names_section;
	uint32_t segments_n;
	uint64_t text_start, text_end; /* of the executable segments */
	const uint8_t *build_id;
	size_t build_id_size;
};

struct elf_section {
	const char *name; /* NULL: it has none that is readable */
	Elf64_Shdr header;
	const uint8_t *data; /* NULL: it has none in the file */
};

/* 0, or -errno with @why. elf_fini() of a zeroed or failed one is fine. */
int elf_open(struct elf *elf, const char *path, struct why *why);
int elf_from_memory(struct elf *elf, const void *image, size_t size, struct why *why); /* copies */
void elf_fini(struct elf *elf);

bool elf_section(const struct elf *elf, uint32_t index, struct elf_section *ret);
bool elf_section_named(const struct elf *elf, const char *name, struct elf_section *ret);

/*
 * The address in the file's own terms of what is @offset bytes into it, code only. False: no segment
 * has it.
 */
bool elf_code_at_offset(const struct elf *elf, uint64_t offset, uint64_t *ret_vaddr);
/*
 * Of a debug file, whose segments are empty: the one with code, as the loader maps it. False when
 * there is not just one.
 */
bool elf_only_code(const struct elf *elf, uint64_t *ret_vaddr, uint64_t *ret_size);

/*
 * Names by address: of functions, out of the symbol tables and the stubs of the procedure linkage
 * table, or of variables.
 */
enum elf_names { ELF_FUNCTIONS, ELF_VARIABLES };
struct elf_symbols {
	struct spans spans; /* what: index into names */
	const char **names;
	uint32_t names_n, names_room;
};

/*
 * Add what @elf has; 0 or -ENOMEM. Stubs want the rest sorted, for the names of those that are
 * resolved by functions.
 */
int elf_symbols_add(struct elf_symbols *symbols, enum elf_names kind, const struct elf *elf,
		    struct strings *st);
int elf_symbols_add_plt(struct elf_symbols *symbols, const struct elf *elf, struct strings *st);
int elf_symbols_sort(struct elf_symbols *symbols);
void elf_symbols_fini(struct elf_symbols *symbols);
/* NULL: none. *ret_start: where its code begins; may be NULL. */
const char *elf_symbols_find(const struct elf_symbols *symbols, uint64_t vaddr,
			     uint64_t *ret_start);
/* The same of variables, which may lie in one another: the smallest one. @ret_start is not NULL. */
const char *elf_symbols_find_smallest(const struct elf_symbols *symbols, uint64_t vaddr,
				      uint64_t *ret_start);
