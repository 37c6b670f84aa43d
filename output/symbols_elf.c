#include "output/symbols_elf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTIONS_MAX (1 << 16) /* linked files have some 40 */
#define NAME_MAX_BYTES \
	256 /* the names we look for are short; no search through megabytes for each section */

static bool is_inside(const struct elf *elf, uint64_t offset, uint64_t size)
{
	return offset <= elf->size && size <= elf->size - offset;
}

/* The section name at @offset of a table, NULL unless it ends inside. */
static const char *name_at(const uint8_t *table, uint64_t size, uint64_t offset)
{
	uint64_t room = offset < size ? size - offset : 0;

	if (room == 0 ||
	    memchr(table + offset, '\0', room < NAME_MAX_BYTES ? room : NAME_MAX_BYTES) == NULL)
		return NULL;
	return (const char *)table + offset;
}

static bool read_segment(const struct elf *elf, uint32_t index, Elf64_Phdr *ret)
{
	if (index >= elf->segments_n)
		return false;
	memcpy(ret, elf->data + elf->header.e_phoff + (uint64_t)index * sizeof(*ret), sizeof(*ret));
	return true;
}

static bool read_section_header(const struct elf *elf, uint32_t index, Elf64_Shdr *ret)
{
	if (index >= elf->sections_n)
		return false;
	memcpy(ret, elf->data + elf->header.e_shoff + (uint64_t)index * sizeof(*ret), sizeof(*ret));
	return true;
}

bool elf_section(const struct elf *elf, uint32_t index, struct elf_section *ret)
{
	Elf64_Shdr names, *h = &ret->header;

	if (!read_section_header(elf, index, h))
		return false;
	ret->data = NULL;
	if (h->sh_type != SHT_NOBITS && is_inside(elf, h->sh_offset, h->sh_size))
		ret->data = elf->data + h->sh_offset;
	ret->name = NULL;
	if (read_section_header(elf, elf->names_section, &names) && names.sh_type == SHT_STRTAB &&
	    is_inside(elf, names.sh_offset, names.sh_size))
		ret->name = name_at(elf->data + names.sh_offset, names.sh_size, h->sh_name);
	return true;
}

bool elf_section_named(const struct elf *elf, const char *name, struct elf_section *ret)
{
	for (uint32_t i = 1; elf_section(elf, i, ret); i++)
		if (ret->name != NULL && strcmp(ret->name, name) == 0)
			return true;
	return false;
}

static void find_build_id(struct elf *elf, uint64_t offset, uint64_t size, uint64_t align)
{
	Elf64_Nhdr note;
	uint64_t name_room, step;

	if (!is_inside(elf, offset, size))
		return;
	align = align == 8 ? 8 : 4;
	while (size >= sizeof(note)) {
		memcpy(&note, elf->data + offset, sizeof(note));
		name_room = sizeof(note) + (((uint64_t)note.n_namesz + align - 1) & ~(align - 1));
		step = name_room + (((uint64_t)note.n_descsz + align - 1) & ~(align - 1));
		if (name_room + note.n_descsz > size)
			return;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && note.n_descsz > 0 &&
		    memcmp(elf->data + offset + sizeof(note), "GNU", 4) == 0) {
			elf->build_id = elf->data + offset + name_room;
			elf->build_id_size = note.n_descsz;
			return;
		}
		if (step > size)
			return;
		offset += step;
		size -= step;
	}
}

static int check_header(struct elf *elf, const char *path, struct why *why)
{
	Elf64_Ehdr *h = &elf->header;
	Elf64_Shdr first;

	if (elf->size < sizeof(*h) || memcmp(elf->data, ELFMAG, SELFMAG) != 0) {
		why_set(why, "%s: not an ELF file", path);
		return -ENOEXEC;
	}
	memcpy(h, elf->data, sizeof(*h));
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB) {
		why_set(why, "%s: expected a 64-bit little-endian ELF file, got class %d, data %d",
			path, h->e_ident[EI_CLASS], h->e_ident[EI_DATA]);
		return -ENOEXEC;
	}
	if (h->e_type != ET_EXEC && h->e_type != ET_DYN) {
		why_set(why, "%s: expected an executable or shared object, got ELF type %d", path,
			h->e_type);
		return -ENOEXEC;
	}

	elf->segments_n = h->e_phnum;
	if (h->e_phentsize != sizeof(Elf64_Phdr) ||
	    !is_inside(elf, h->e_phoff, (uint64_t)h->e_phnum * sizeof(Elf64_Phdr)))
		elf->segments_n = 0;

	/* Counts that do not fit the header stand in section 0. */
	if (h->e_shoff == 0 || h->e_shentsize != sizeof(first) ||
	    !is_inside(elf, h->e_shoff, sizeof(first)))
		return 0;
	memcpy(&first, elf->data + h->e_shoff, sizeof(first));
	elf->sections_n = h->e_shnum != 0                ? h->e_shnum
			  : first.sh_size < SECTIONS_MAX ? (uint32_t)first.sh_size
							 : 0;
	elf->names_section = h->e_shstrndx != SHN_XINDEX ? h->e_shstrndx : first.sh_link;
	if (!is_inside(elf, h->e_shoff, (uint64_t)elf->sections_n * sizeof(first)))
		elf->sections_n = 0;
	return 0;
}

static int read_layout(struct elf *elf, const char *path, struct why *why)
{
	struct elf_section section;
	Elf64_Phdr ph;
	int r = check_header(elf, path, why);

	if (r < 0)
		return r;
	elf->text_start = UINT64_MAX;
	for (uint32_t i = 0; read_segment(elf, i, &ph); i++) {
		if (ph.p_type == PT_NOTE && elf->build_id == NULL)
			find_build_id(elf, ph.p_offset, ph.p_filesz, ph.p_align);
		if (ph.p_type != PT_LOAD || (ph.p_flags & PF_X) == 0 ||
		    ph.p_vaddr + ph.p_memsz < ph.p_vaddr)
			continue;
		if (ph.p_vaddr < elf->text_start)
			elf->text_start = ph.p_vaddr;
		if (ph.p_vaddr + ph.p_memsz > elf->text_end)
			elf->text_end = ph.p_vaddr + ph.p_memsz;
	}
	/*
	 * In a debug file the segments point at what was taken out, the section of the note does
	 * not.
	 */
	for (uint32_t i = 1; elf->build_id == NULL && elf_section(elf, i, &section); i++)
		if (section.header.sh_type == SHT_NOTE && section.data != NULL)
			find_build_id(elf, section.header.sh_offset, section.header.sh_size,
				      section.header.sh_addralign);
	return 0;
}

static bool is_code(const Elf64_Phdr *ph)
{
	return ph->p_type == PT_LOAD && (ph->p_flags & PF_X) != 0;
}

bool elf_code_at_offset(const struct elf *elf, uint64_t offset, uint64_t *ret_vaddr)
{
	Elf64_Phdr ph;

	for (uint32_t i = 0; read_segment(elf, i, &ph); i++) {
		if (!is_code(&ph) || offset < ph.p_offset || offset - ph.p_offset >= ph.p_filesz)
			continue;
		*ret_vaddr = offset - ph.p_offset + ph.p_vaddr;
		return true;
	}
	return false;
}

bool elf_only_code(const struct elf *elf, uint64_t *ret_vaddr, uint64_t *ret_size)
{
	const uint64_t page = 0xfff; /* the least there is: whoever has larger ones maps more */
	uint32_t found = 0;
	Elf64_Phdr ph;

	for (uint32_t i = 0; read_segment(elf, i, &ph); i++) {
		if (!is_code(&ph))
			continue;
		found++;
		*ret_vaddr = ph.p_vaddr & ~page;
		*ret_size = ((ph.p_vaddr + ph.p_memsz + page) & ~page) - *ret_vaddr;
	}
	return found == 1;
}

int elf_open(struct elf *elf, const char *path, struct why *why)
{
	struct stat st;
	void *data;
	int r;

	*elf = (struct elf){.fd = -1};
	/*
	 * A name in a profile or a trace may be that of anything. Opening a device may do something,
	 * opening a FIFO waits; so neither is, also when somebody puts one there this moment.
	 */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
		why_set(why, "%s: not a regular file, or empty", path);
		return -EINVAL;
	}
	elf->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (elf->fd < 0) {
		r = -errno;
		why_set(why, "%s: %s", path, strerror(-r));
		return r;
	}
	if (fstat(elf->fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0) {
		why_set(why, "%s: not a regular file, or empty", path);
		r = -EINVAL;
		goto fail;
	}
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, elf->fd, 0);
	if (data == MAP_FAILED) {
		r = -errno;
		why_set(why, "%s: %s", path, strerror(-r));
		goto fail;
	}
	elf->data = data;
	elf->size = (size_t)st.st_size;
	elf->is_mapped = true;
	elf->dev = st.st_dev;
	elf->ino = st.st_ino;
	r = read_layout(elf, path, why);
	if (r < 0)
		goto fail;
	return 0;

fail:
	elf_fini(elf);
	return r;
}

int elf_from_memory(struct elf *elf, const void *image, size_t size, struct why *why)
{
	uint8_t *copy = malloc(size);
	int r;

	*elf = (struct elf){.fd = -1};
	if (copy == NULL) {
		why_set(why, "out of memory for an image of %zu bytes", size);
		return -ENOMEM;
	}
	memcpy(copy, image, size);
	elf->data = copy;
	elf->size = size;
	elf->is_copied = true;
	r = read_layout(elf, "[vdso]", why);
	if (r < 0)
		elf_fini(elf);
	return r;
}

void elf_fini(struct elf *elf)
{
	if (elf == NULL || elf->data == NULL) {
		if (elf != NULL && elf->fd > 0)
			close(elf->fd);
	} else {
		if (elf->is_mapped)
			munmap((void *)elf->data, elf->size);
		if (elf->is_copied)
			free((void *)elf->data);
		if (elf->fd >= 0)
			close(elf->fd);
	}
	if (elf != NULL)
		*elf = (struct elf){.fd = -1};
}
