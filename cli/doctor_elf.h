/*
 * doctor_elf: what an ELF file tells of a program, for doctor_program.c. The file may be hostile; see output/symbols_elf.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "output/symbols_elf.h"

enum elf_traits_malloc {
	ELF_MALLOC_OTHERS,  /* it asks for it by name: whoever is first in line is called */
	ELF_MALLOC_OWN,     /* it has one, which comes before ours for everybody */
	ELF_MALLOC_PRIVATE, /* it has one for itself; libraries ask by name */
};

struct elf_traits {
	bool has_sections;
	uint64_t functions; /* with names, in the symbol tables */
	uint64_t exported;  /* of these, in the dynamic one: all that is left of a stripped file */
	bool has_symtab, has_dwarf;
	bool has_cfi, has_cfi_table; /* .eh_frame; its search table */
	uint64_t rows;               /* functions in that */
	uint64_t looked_at,
		with_frame; /* functions whose code was looked at; that begin with a frame pointer */

	enum elf_traits_malloc allocator;
	bool is_go;
	const char *sanitizer; /* "AddressSanitizer", …; NULL */

	char needed[512];       /* names of libraries, with blanks between and around them */
	char library_path[256]; /* RPATH or RUNPATH */
	char debug_link[128];   /* name in .gnu_debuglink */
};

void elf_traits_read(const struct elf *elf, struct elf_traits *ret);

/* Whether a library whose name begins with @name is needed. */
bool elf_traits_needs(const struct elf_traits *t, const char *name);
