#include "core/modules.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "core/cfi.h"
#include "core/clock.h"
#include "core/lock.h"
#include "core/mem.h"
#include "core/thread.h"

static struct lock modules_lock = {.rank = LOCK_MODULES};

struct refresh {
	struct segment *segment;
	uint32_t added;
	uint32_t files; /* visited */
	uint8_t *seen;  /* a bit for each record */
	bool is_first;  /* at start: what is there now stays for good */
};

/* The loader's name of a file, made absolute: the launcher reads it from another directory. */
static const char *full_path(const struct dl_phdr_info *info, char *buffer, size_t size)
{
	ssize_t n;

	if (info->dlpi_name == NULL || info->dlpi_name[0] == '\0') { /* the program itself */
		n = readlink("/proc/self/exe", buffer, size - 1);
		buffer[n > 0 ? n : 0] = '\0';
		return buffer;
	}
	if (info->dlpi_addr != 0 && info->dlpi_name[0] != '/' &&
	    strchr(info->dlpi_name, '/') == NULL)
		return "[vdso]"; /* linux-vdso.so.1: the only one that is in no directory */
	if (info->dlpi_name[0] == '/' || getcwd(buffer, size - strlen(info->dlpi_name) - 2) == NULL)
		return info->dlpi_name;
	strcat(buffer, "/");
	return strcat(buffer, info->dlpi_name);
}

static void make_table(struct segment_module *m, uintptr_t eh_frame)
{
	struct cfi_own_entry *table;
	uint32_t count;

	if (cfi_build_table(m, eh_frame, &table, &count) < 0)
		return;
	m->own_table = (uintptr_t)table;
	m->own_table_count = count;
}

/* Where the section .eh_frame of the ELF file @fd will be loaded, before bias; 0 when there is none. */
static uint64_t find_section(int fd, const Elf64_Ehdr *elf)
{
	Elf64_Shdr names, section;
	char name[sizeof(".eh_frame")];

	if (elf->e_shentsize != sizeof(section) || elf->e_shstrndx >= elf->e_shnum ||
	    pread(fd, &names, sizeof(names),
		  (off_t)(elf->e_shoff + elf->e_shstrndx * sizeof(names))) !=
		    (ssize_t)sizeof(names))
		return 0;
	for (unsigned i = 0; i < elf->e_shnum; i++) {
		if (pread(fd, &section, sizeof(section),
			  (off_t)(elf->e_shoff + i * sizeof(section))) != (ssize_t)sizeof(section))
			return 0;
		if ((section.sh_flags & SHF_ALLOC) && section.sh_type != SHT_NOBITS &&
		    pread(fd, name, sizeof(name), (off_t)(names.sh_offset + section.sh_name)) ==
			    (ssize_t)sizeof(name) &&
		    memcmp(name, ".eh_frame", sizeof(name)) == 0)
			return section.sh_addr;
	}
	return 0;
}

/* A file without PT_GNU_EH_FRAME, linked with --no-eh-frame-hdr: its sections say where the tables are. */
static void look_into_file(struct segment *s, struct segment_module *m)
{
	int fd = open(segment_text(s, m->path), O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr elf;
	Elf64_Phdr ph;
	uint64_t at = 0;

	if (fd < 0)
		return;
	if (pread(fd, &elf, sizeof(elf), 0) == (ssize_t)sizeof(elf) &&
	    memcmp(elf.e_ident, ELFMAG, SELFMAG) == 0 && elf.e_ident[EI_CLASS] == ELFCLASS64 &&
	    elf.e_phentsize == sizeof(ph))
		at = find_section(fd, &elf);
	for (unsigned i = 0; at != 0 && i < elf.e_phnum; i++) {
		if (pread(fd, &ph, sizeof(ph), (off_t)(elf.e_phoff + i * sizeof(ph))) !=
		    (ssize_t)sizeof(ph))
			break;
		if (ph.p_type != PT_LOAD || !(ph.p_flags & PF_R) || at < ph.p_vaddr ||
		    at - ph.p_vaddr >= ph.p_filesz || !memory_is_readable(m->bias + at))
			continue;
		m->readable_start = m->bias + ph.p_vaddr;
		m->readable_end = m->readable_start + ph.p_filesz;
		make_table(m, m->bias + at);
	}
	close(fd);
}

/* A file whose linker made no search table gets one of ours. Normal context; only for what is there at the start. */
static void build_missing_table(struct segment *s, struct segment_module *m)
{
	const uint8_t *header = (const uint8_t *)m->cfi_header;
	int32_t relative;

	if (m->own_table != 0 || m->may_close)
		return;
	if (m->cfi_header == 0) {
		look_into_file(s, m);
		return;
	}
	/* version 1, .eh_frame relative to itself in 4 bytes, no table: what old linkers and -r links leave */
	if (m->cfi_header + 8 > m->readable_end || header[0] != 1 || header[1] != 0x1b ||
	    header[2] != 0xff)
		return;
	memcpy(&relative, header + 4, sizeof(relative));
	make_table(m, m->cfi_header + 4 + (uintptr_t)(intptr_t)relative);
}

/* While the loader's lock is held: the file stays for as long. Another thread may be about to close it. */
static void mark_seen(uint32_t index, void *user)
{
	struct refresh *r = user;
	struct segment_module *m = segment_module_at(r->segment, index);

	r->seen[index / 8] |= (uint8_t)(1u << index % 8);
	m->is_discovered = false; /* the loader knows it, and will say when it goes */
	build_missing_table(r->segment, m);
}

static uint32_t
	files_at_start; /* the first so many of the loader's list, which new ones are added to at the end */

static int count_file(struct dl_phdr_info *info, size_t size, void *user)
{
	(void)info;
	(void)size;
	++*(uint32_t *)user;
	return 0;
}

void modules_note_start(void)
{
	uint32_t n = 0;

	dl_iterate_phdr(count_file, &n);
	files_at_start = n;
}

static int visit(struct dl_phdr_info *info, size_t size, void *user)
{
	struct refresh *r = user;
	char buffer[4096];
	struct module_image image = {
		.bias = info->dlpi_addr,
		.program_headers = info->dlpi_phdr,
		.program_headers_count = info->dlpi_phnum,
		.path = full_path(info, buffer, sizeof(buffer)),
		.may_close = !r->is_first || (files_at_start != 0 && r->files >= files_at_start),
	};

	r->files++;

	r->added += modules_add_image(r->segment, &image, mark_seen, r);
	return 0;
}

void modules_refresh(struct segment *s)
{
	uint32_t high, retired = 0, room = segment_count(s, SEGMENT_MODULES, 0);
	struct refresh r = {.segment = s, .seen = mem_map(room / 8 + 1)};
	const struct segment_module *last = NULL;

	if (r.seen == NULL)
		return;
	lock_take(&modules_lock);
	r.is_first = atomic_load_explicit(&s->header->modules_high, memory_order_relaxed) == 0;
	dl_iterate_phdr(visit, &r);
	high = atomic_load_explicit(&s->header->modules_high, memory_order_acquire);
	for (uint32_t i = 0; i < high && i < room; i++) {
		struct segment_module *m = segment_module_at(s, i);
		uint32_t loaded = MODULE_LOADED;

		if (r.seen[i / 8] & 1u << i % 8)
			continue;
		/* The loader does not know it: gone, or never its own. The latter stay while they can be read. */
		if (m->is_discovered && memory_is_readable(m->start) &&
		    (m->cfi_header == 0 || memory_is_readable(m->cfi_header)))
			continue;
		if (!atomic_compare_exchange_strong_explicit(&m->state, &loaded, MODULE_RETIRED,
							     memory_order_acq_rel,
							     memory_order_relaxed))
			continue;
		retired++;
		/* once for a file, which may have several records in a row */
		if (modules_changed != NULL &&
		    (last == NULL || last->bias != m->bias || last->path != m->path))
			modules_changed(s, segment_text(s, m->path), false);
		last = m;
	}
	if (retired > 0)
		atomic_fetch_add_explicit(&s->header->modules_serial, 1, memory_order_release);
	lock_give(&modules_lock);
	mem_unmap(r.seen, room / 8 + 1);
}

void modules_forked(void)
{
	modules_lock = (struct lock){.rank = LOCK_MODULES};
	modules_discover_forked();
}

void modules_before_close(struct segment *s)
{
	atomic_fetch_add_explicit(&s->header->modules_closing, 1, memory_order_seq_cst);
	/* whoever began a walk before sees its tables to the end */
	thread_wait_outside(s, NULL, NS_PER_SECOND);
}

void modules_after_close(struct segment *s)
{
	modules_refresh(s);
	atomic_fetch_sub_explicit(&s->header->modules_closing, 1, memory_order_release);
}
