#include "core/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "core/arch.h"
#include "core/clock.h"

#define PAGE 4096u

uintptr_t modules_ours;
void (*modules_changed)(struct segment *s, const char *path, bool is_there);

/*
 * The kernel reads a new signal mask before it looks at how to apply it. With a way of applying that does not exist,
 * the answer is EINVAL when the memory can be read and EFAULT when not, and nothing else happens.
 */
SIGSAFE bool memory_is_readable(uintptr_t address)
{
	/* 0 would mean that there is no new mask */
	return address != 0 && sys4(SYS_rt_sigprocmask, -1, address, 0, 8) != -EFAULT;
}

static bool range_is_readable(uintptr_t start, uintptr_t size)
{
	uintptr_t end = start + size;

	if (size == 0 || end < start)
		return false;
	for (uintptr_t at = start; at < end - 7; at = (at | (PAGE - 1)) + 1)
		if (!memory_is_readable(at))
			return false;
	return memory_is_readable(end - 8);
}

SIGSAFE const struct segment_module *modules_find(const struct segment *s, uintptr_t pc,
						  uint32_t *ret_index)
{
	struct segment_module *modules = segment_part(s, SEGMENT_MODULES, 0);
	uint32_t high = atomic_load_explicit(&s->header->modules_high, memory_order_acquire);

	if (high > segment_count(s, SEGMENT_MODULES, 0))
		high = segment_count(s, SEGMENT_MODULES, 0);
	for (uint32_t i = 0; i < high; i++) {
		struct segment_module *m = &modules[i];

		/* pairs: add_one release */
		if (atomic_load_explicit(&m->state, memory_order_acquire) == MODULE_LOADED &&
		    pc >= m->start && pc < m->end) {
			*ret_index = i;
			return m;
		}
	}
	return NULL;
}

SIGSAFE bool modules_may_read(const struct segment *s, const struct segment_module *m,
			      uintptr_t address)
{
	/* pairs: modules_before_close, which counts first and then waits for whoever is inside */
	return !m->may_close ||
	       (atomic_load_explicit(&s->header->modules_closing, memory_order_seq_cst) == 0 &&
		memory_is_readable(address));
}

/* The GNU build id among the notes of @image, in memory that is mapped. */
static void find_build_id(struct segment_module *m, const struct module_image *image)
{
	for (unsigned i = 0; i < image->program_headers_count; i++) {
		const ElfW(Phdr) *ph = &image->program_headers[i];
		const uint8_t *at, *end;

		if (ph->p_type != PT_NOTE || ph->p_memsz < 16 || ph->p_memsz > 65536 ||
		    !range_is_readable(image->bias + ph->p_vaddr, ph->p_memsz))
			continue;
		at = (const uint8_t *)(image->bias + ph->p_vaddr);
		for (end = at + ph->p_memsz; end - at >= 12;) {
			const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;
			uint64_t name = ((uint64_t)note->n_namesz + 3) & ~UINT64_C(3);
			uint64_t desc = ((uint64_t)note->n_descsz + 3) & ~UINT64_C(3);

			if (name + desc > (uint64_t)(end - at) - 12)
				break;
			if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
			    memcmp(at + 12, "GNU", 4) == 0 && note->n_descsz > 0 &&
			    note->n_descsz <= sizeof(m->build_id)) {
				m->build_id_size = (uint8_t)note->n_descsz;
				memcpy(m->build_id, at + 12 + name, note->n_descsz);
				return;
			}
			at += 12 + name + desc;
		}
	}
}

/* Where its unwind tables are: the search table's header and the bounds of the loaded segment around it. */
static void find_cfi(struct segment_module *m, const struct module_image *image)
{
	uintptr_t header = 0;

	for (unsigned i = 0; i < image->program_headers_count; i++)
		if (image->program_headers[i].p_type == PT_GNU_EH_FRAME)
			header = image->bias + image->program_headers[i].p_vaddr;
	for (unsigned i = 0; i < image->program_headers_count; i++) {
		const ElfW(Phdr) *ph = &image->program_headers[i];
		uintptr_t start = image->bias + ph->p_vaddr;

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_R) || ph->p_filesz > UINT32_MAX)
			continue;
		if (header >= start && header < start + ph->p_filesz) {
			m->cfi_header = header;
			m->readable_start = start;
			m->readable_end = start + ph->p_filesz;
		}
	}
}

/*
 * The record of the same file at the same place, in whatever state. The loader and /proc/self/maps may know a file by
 * different names (a symbolic link's, say): the build id decides, and only without one the name.
 */
static struct segment_module *find_record(const struct segment *s,
					  const struct segment_module *like, uint32_t *ret_index)
{
	struct segment_module *modules = segment_part(s, SEGMENT_MODULES, 0);
	uint32_t high = atomic_load_explicit(&s->header->modules_high, memory_order_acquire);

	if (high > segment_count(s, SEGMENT_MODULES, 0))
		high = segment_count(s, SEGMENT_MODULES, 0);
	for (uint32_t i = 0; i < high; i++) {
		struct segment_module *m = &modules[i];

		if (atomic_load_explicit(&m->state, memory_order_acquire) != MODULE_FREE &&
		    m->start == like->start && m->end == like->end &&
		    m->build_id_size == like->build_id_size &&
		    memcmp(m->build_id, like->build_id, sizeof(m->build_id)) == 0 &&
		    (m->build_id_size > 0 || m->path == like->path)) {
			*ret_index = i;
			return m;
		}
	}
	return NULL;
}

/* From the first byte to the last of what is loaded: writable data is in no record of its own. */
static void find_bounds(struct segment_module *m, const struct module_image *image)
{
	uint64_t start = UINT64_MAX, end = 0;

	for (unsigned i = 0; i < image->program_headers_count; i++) {
		const ElfW(Phdr) *ph = &image->program_headers[i];

		if (ph->p_type != PT_LOAD)
			continue;
		if (ph->p_vaddr < start)
			start = ph->p_vaddr;
		if (ph->p_vaddr + ph->p_memsz > end)
			end = ph->p_vaddr + ph->p_memsz;
	}
	if (start < end) {
		m->image_start = image->bias + start;
		m->image_end = image->bias + end;
	}
}

/* What programs wait in without being there by their own choice, by the file's name. */
static bool is_runtime(const char *path)
{
	static const char *const names[] = {"libc.so",     "libc-2",   "libpthread", "libstdc++.so",
					    "libc++.so",   "ld-linux", "ld-2",       "ld.so",
					    "libgcc_s.so", "libm.so",  "[vdso]",     "libc++abi.so",
					    "ld-musl"};
	const char *name = path;

	for (const char *c = path; *c != '\0'; c++)
		if (*c == '/')
			name = c + 1;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t n = strlen(names[i]);

		if (strlen(name) >= n && memcmp(name, names[i], n) == 0)
			return true;
	}
	return false;
}

static bool add_one(struct segment *s, const struct module_image *image, const ElfW(Phdr) * ph,
		    uint32_t path, uint32_t *ret_index)
{
	uint64_t offset = ph->p_offset & ~(uint64_t)(PAGE - 1);
	uint64_t start = (image->bias + ph->p_vaddr) & ~(uint64_t)(PAGE - 1);
	uint64_t end = (image->bias + ph->p_vaddr + ph->p_memsz + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	struct segment_module fresh = {0}, *m;

	fresh.start = start;
	fresh.end = end;
	fresh.file_offset = offset;
	fresh.bias = image->bias;
	fresh.path = path;
	fresh.may_close = image->may_close;
	fresh.is_discovered = image->is_discovered;
	fresh.is_ours = modules_ours >= start && modules_ours < end;
	fresh.is_runtime = is_runtime(image->path);
	find_build_id(&fresh, image);
	find_cfi(&fresh, image);
	find_bounds(&fresh, image);
	m = find_record(s, &fresh, ret_index);
	if (m != NULL) {
		uint32_t retired = MODULE_RETIRED;

		/* the same file at the same place again: its record comes back to life */
		return atomic_compare_exchange_strong_explicit(&m->state, &retired, MODULE_LOADED,
							       memory_order_release,
							       memory_order_relaxed);
	}

	*ret_index = atomic_fetch_add_explicit(&s->header->modules_high, 1, memory_order_relaxed);
	if (*ret_index >= segment_count(s, SEGMENT_MODULES, 0)) {
		atomic_fetch_sub_explicit(&s->header->modules_high, 1, memory_order_relaxed);
		segment_count_lost(s, LOST_MODULES, 1);
		return false;
	}
	m = segment_module_at(s, *ret_index);
	*m = fresh;
	atomic_store_explicit(&m->state, MODULE_LOADED,
			      memory_order_release); /* pairs: modules_find acquire */
	return true;
}

SIGSAFE uint32_t modules_add_image(struct segment *s, const struct module_image *image,
				   void (*known)(uint32_t index, void *user), void *user)
{
	uint32_t path = segment_string(s, image->path, strlen(image->path)), added = 0;

	for (unsigned i = 0; i < image->program_headers_count; i++) {
		const ElfW(Phdr) *ph = &image->program_headers[i];
		uint32_t index = UINT32_MAX;

		if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X) || ph->p_memsz == 0)
			continue;
		added += add_one(s, image, ph, path, &index);
		if (known != NULL && index != UINT32_MAX)
			known(index, user);
	}
	if (added > 0)
		atomic_fetch_add_explicit(&s->header->modules_serial, 1, memory_order_release);
	if (added > 0 && modules_changed != NULL)
		modules_changed(s, image->path, true);
	return added;
}

/* One line of /proc/self/maps, as far as we need it. */
struct maps_line {
	uintptr_t start, end, offset;
	bool is_executable;
	char path[512];
};

static const char *hex(const char *at, const char *end, uintptr_t *ret)
{
	uintptr_t value = 0;

	for (; at < end; at++) {
		char c = *at;

		if (c >= '0' && c <= '9')
			value = value << 4 | (uintptr_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uintptr_t)(c - 'a' + 10);
		else
			break;
	}
	*ret = value;
	return at;
}

static bool parse_line(const char *at, const char *end, struct maps_line *ret)
{
	size_t length;

	at = hex(at, end, &ret->start);
	if (at >= end || *at != '-')
		return false;
	at = hex(at + 1, end, &ret->end);
	if (end - at < 6)
		return false;
	ret->is_executable = at[3] == 'x';
	at = hex(at + 6, end, &ret->offset);
	for (int column = 0; column < 2; column++) { /* device, inode */
		while (at < end && *at == ' ')
			at++;
		while (at < end && *at != ' ')
			at++;
	}
	while (at < end && *at == ' ')
		at++;
	length = (size_t)(end - at);
	if (length >= sizeof(ret->path))
		return false;
	memcpy(ret->path, at, length);
	ret->path[length] = '\0';
	return true;
}

/* What a search needs. One for the process, held by one thread at a time: the interrupted stack may be tiny. */
static struct maps_search {
	_Atomic uint32_t is_busy;
	struct maps_line line;
	char buffer[1024], first_path[512];
} maps_search;

/*
 * Reads /proc/self/maps for the mapping around @pc, into maps_search.line, and the start of the file it belongs to.
 */
static bool find_mapping(uintptr_t pc, uintptr_t *ret_image)
{
	int fd = (int)sys4(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
	struct maps_line *line = &maps_search.line;
	char *buffer = maps_search.buffer, *first_path = maps_search.first_path;
	size_t room = sizeof(maps_search.buffer);
	uintptr_t first_start = 0;
	size_t have = 0;
	bool found = false;

	first_path[0] = '\0';
	if (fd < 0)
		return false;
	while (!found) {
		long n = sys3(SYS_read, fd, buffer + have, room - have);
		char *at = buffer, *newline;

		if (n <= 0)
			break;
		have += (size_t)n;
		while (!found &&
		       (newline = memchr(at, '\n', (size_t)(buffer + have - at))) != NULL) {
			if (parse_line(at, newline, line)) {
				if (line->offset == 0 && line->path[0] == '/') {
					first_start = line->start;
					memcpy(first_path, line->path,
					       sizeof(maps_search.first_path));
				}
				found = pc >= line->start && pc < line->end;
			}
			at = newline + 1;
		}
		have = (size_t)(buffer + have - at);
		if (have == room)
			have = 0; /* a line longer than any path: skip it */
		memmove(buffer, at, have);
	}
	sys1(SYS_close, fd);
	if (!found || !line->is_executable || line->path[0] != '/' ||
	    strcmp(first_path, line->path) != 0)
		return false;
	*ret_image = first_start;
	return true;
}

/* The image that starts at @start, added to the list. */
static bool add_mapped_image(struct segment *s, uintptr_t start, const char *path)
{
	struct module_image image = {.path = path, .may_close = true, .is_discovered = true};
	const ElfW(Ehdr) *elf = (const ElfW(Ehdr) *)start;
	uintptr_t low = UINTPTR_MAX;

	if (!range_is_readable(start, sizeof(*elf)) || memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 ||
	    elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_phentsize != sizeof(ElfW(Phdr)) ||
	    elf->e_phnum > 64 || elf->e_phoff > PAGE ||
	    !range_is_readable(start + elf->e_phoff, elf->e_phnum * sizeof(ElfW(Phdr))))
		return false;
	image.program_headers = (const ElfW(Phdr) *)(start + elf->e_phoff);
	image.program_headers_count = elf->e_phnum;
	for (unsigned i = 0; i < elf->e_phnum; i++)
		if (image.program_headers[i].p_type == PT_LOAD &&
		    image.program_headers[i].p_vaddr < low)
			low = image.program_headers[i].p_vaddr;
	image.bias = start - (low & ~(uintptr_t)(PAGE - 1));
	return modules_add_image(s, &image, NULL, NULL) > 0;
}

void modules_discover_forked(void)
{
	atomic_store_explicit(&maps_search.is_busy, 0, memory_order_relaxed);
}

SIGSAFE bool modules_discover(struct segment *s, uintptr_t pc)
{
	uint64_t now = clock_monotonic();
	uint64_t asked = atomic_load_explicit(&s->header->modules_asked_ns, memory_order_relaxed);
	uint32_t free = 0;
	uintptr_t start;
	bool added;

	/* Code without a file (a JIT's) is met again and again: ask at most ten times a second. */
	if (now - asked < NS_PER_SECOND / 10 ||
	    atomic_load_explicit(&s->header->modules_closing, memory_order_acquire) != 0 ||
	    !atomic_compare_exchange_strong_explicit(&maps_search.is_busy, &free, 1,
						     memory_order_acquire, memory_order_relaxed))
		return false;
	added = find_mapping(pc, &start) && add_mapped_image(s, start, maps_search.line.path);
	if (!added)
		atomic_store_explicit(&s->header->modules_asked_ns, now, memory_order_relaxed);
	atomic_store_explicit(&maps_search.is_busy, 0, memory_order_release);
	return added;
}
