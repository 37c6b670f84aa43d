/* Small ELF files made by hand, for unit tests: a text, data and symbols, and no code. */
#pragma once

#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	MADE_TEXT = 1, /* at 0x1000, 0x1000 bytes */
	MADE_DATA,     /* at 0x3000, the same */
	MADE_BSS,      /* at 0x4000, the same, none of them in the file */
	MADE_TDATA,    /* of each thread */
	MADE_SYMBOLS,
	MADE_STRINGS,
	MADE_NAMES,
	MADE_NOTE,
	MADE_SECTIONS,
};

struct elf_make {
	Elf64_Ehdr header;
	Elf64_Phdr segments[3];
	Elf64_Shdr sections[MADE_SECTIONS];
	struct {
		Elf64_Nhdr head;
		char name[4];
		uint8_t id[20];
	} note;
	Elf64_Sym symbols[40];
	char strings[4096];
	char names[1];
	unsigned symbols_n;
	size_t strings_n;
};

/* @type ET_DYN, or ET_EXEC: @base is then what its addresses begin with. @id: in each byte of the build id, 0 none. */
static inline void elf_make_begin(struct elf_make *m, uint16_t type, uint64_t base, uint8_t id)
{
	*m = (struct elf_make){
		.header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			   .e_type = type,
			   .e_machine = EM_X86_64,
			   .e_version = EV_CURRENT,
			   .e_phoff = offsetof(struct elf_make, segments),
			   .e_phnum = 3,
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_shoff = offsetof(struct elf_make, sections),
			   .e_shnum = MADE_SECTIONS,
			   .e_shentsize = sizeof(Elf64_Shdr),
			   .e_shstrndx = MADE_NAMES},
		.segments = {{.p_type = PT_LOAD,
			      .p_flags = PF_R | PF_X,
			      .p_vaddr = base + 0x1000,
			      .p_memsz = 0x1000},
			     {.p_type = PT_LOAD,
			      .p_flags = PF_R | PF_W,
			      .p_vaddr = base + 0x3000,
			      .p_memsz = 0x2000},
			     {.p_type = PT_NOTE,
			      .p_offset = offsetof(struct elf_make, note),
			      .p_filesz = sizeof(m->note),
			      .p_align = 4}},
		.note = {.head = {4, 20, NT_GNU_BUILD_ID}, .name = "GNU"},
		.symbols_n = 1,
		.strings_n = 1,
	};
	memset(m->note.id, id, sizeof(m->note.id));
	if (id == 0)
		m->note.head.n_type = 0;
	m->sections[MADE_TEXT] = (Elf64_Shdr){.sh_type = SHT_NOBITS,
					      .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
					      .sh_addr = base + 0x1000,
					      .sh_size = 0x1000};
	m->sections[MADE_DATA] = (Elf64_Shdr){.sh_type = SHT_NOBITS,
					      .sh_flags = SHF_ALLOC | SHF_WRITE,
					      .sh_addr = base + 0x3000,
					      .sh_size = 0x1000};
	m->sections[MADE_BSS] = m->sections[MADE_DATA];
	m->sections[MADE_BSS].sh_addr = base + 0x4000;
	m->sections[MADE_TDATA] = m->sections[MADE_DATA];
	m->sections[MADE_TDATA].sh_flags |= SHF_TLS;
}

static inline void elf_make_symbol(struct elf_make *m, const char *name, int type, int bind,
				   uint16_t section, uint64_t value, uint64_t size)
{
	m->symbols[m->symbols_n++] = (Elf64_Sym){.st_name = (uint32_t)m->strings_n,
						 .st_info = ELF64_ST_INFO(bind, type),
						 .st_shndx = section,
						 .st_value = value,
						 .st_size = size};
	strcpy(m->strings + m->strings_n, name);
	m->strings_n += strlen(name) + 1;
}

/* @table: SHT_SYMTAB, or SHT_DYNSYM, which stripping leaves. With @path NULL a file without a name; returns its descriptor. */
static inline int elf_make_end(struct elf_make *m, uint32_t table, const char *path)
{
	int fd = path != NULL ? open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600)
			      : memfd_create("elf", MFD_CLOEXEC);

	m->sections[MADE_SYMBOLS] = (Elf64_Shdr){.sh_type = table,
						 .sh_offset = offsetof(struct elf_make, symbols),
						 .sh_size = m->symbols_n * sizeof(Elf64_Sym),
						 .sh_entsize = sizeof(Elf64_Sym),
						 .sh_link = MADE_STRINGS};
	m->sections[MADE_STRINGS] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
						 .sh_offset = offsetof(struct elf_make, strings),
						 .sh_size = m->strings_n};
	/* the name that tells a file with symbols from one without */
	m->sections[MADE_NAMES] = m->sections[MADE_STRINGS];
	m->sections[MADE_NAMES].sh_size = sizeof(m->strings);
	strcpy(m->strings + sizeof(m->strings) - 16, ".symtab");
	if (table == SHT_SYMTAB)
		m->sections[MADE_SYMBOLS].sh_name = sizeof(m->strings) - 16;
	if (fd < 0 || write(fd, m, sizeof(*m)) != (ssize_t)sizeof(*m)) {
		printf("Bail out! no file made\n");
		exit(1);
	}
	return fd;
}
