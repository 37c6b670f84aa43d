#include "core/modules.h"

#include <elf.h>
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
	uint8_t *seen; /* a bit for each record */
	bool is_first; /* at start: what is there now stays for good */
};

static void mark_seen(uint32_t index, void *user)
{
	struct refresh *r = user;

	r->seen[index / 8] |= (uint8_t)(1u << index % 8);
	segment_module_at(r->segment, index)->is_discovered = false; /* the loader knows it, and will say when it goes */
}

/* The loader's name of a file, made absolute: the launcher reads it from another directory. */
static const char *full_path(const struct dl_phdr_info *info, char *buffer, size_t size)
{
	ssize_t n;

	if (info->dlpi_name == NULL || info->dlpi_name[0] == '\0') { /* the program itself */
		n = readlink("/proc/self/exe", buffer, size - 1);
		buffer[n > 0 ? n : 0] = '\0';
		return buffer;
	}
	if (info->dlpi_addr != 0 && info->dlpi_name[0] != '/' && strchr(info->dlpi_name, '/') == NULL)
		return "[vdso]"; /* linux-vdso.so.1: the only one that is in no directory */
	if (info->dlpi_name[0] == '/' || getcwd(buffer, size - strlen(info->dlpi_name) - 2) == NULL)
		return info->dlpi_name;
	strcat(buffer, "/");
	return strcat(buffer, info->dlpi_name);
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
		.may_close = !r->is_first,
	};

	r->added += modules_add_image(r->segment, &image, mark_seen, r);
	return 0;
}

/* A file whose linker made no search table gets one of ours; the file's sections say where .eh_frame lies. */
static void build_missing_table(struct segment_module *m)
{
	const uint8_t *header = (const uint8_t *)m->cfi_header;
	struct cfi_own_entry *table;
	uint32_t count;
	int32_t relative;

	/* version 1, .eh_frame relative to itself in 4 bytes, no table: what old linkers and -r links leave */
	if (m->cfi_header == 0 || m->own_table != 0 || m->cfi_header + 8 > m->readable_end ||
	    header[0] != 1 || header[1] != 0x1b || header[2] != 0xff)
		return;
	memcpy(&relative, header + 4, sizeof(relative));
	if (cfi_build_table(m, m->cfi_header + 4 + (uintptr_t)(intptr_t)relative, &table, &count) < 0)
		return;
	m->own_table = (uintptr_t)table;
	m->own_table_count = count;
}

void modules_refresh(struct segment *s)
{
	uint32_t high, retired = 0, room = segment_count(s, SEGMENT_MODULES, 0);
	struct refresh r = {.segment = s, .seen = mem_map(room / 8 + 1)};

	if (r.seen == NULL)
		return;
	lock_take(&modules_lock);
	r.is_first = atomic_load_explicit(&s->header->modules_high, memory_order_relaxed) == 0;
	dl_iterate_phdr(visit, &r);
	high = atomic_load_explicit(&s->header->modules_high, memory_order_acquire);
	for (uint32_t i = 0; i < high && i < room; i++) {
		struct segment_module *m = segment_module_at(s, i);
		uint32_t loaded = MODULE_LOADED;

		if (r.seen[i / 8] & 1u << i % 8) {
			build_missing_table(m);
			continue;
		}
		/* The loader does not know it: gone, or never its own. The latter stay while they can be read. */
		if (m->is_discovered && memory_is_readable(m->start) &&
		    (m->cfi_header == 0 || memory_is_readable(m->cfi_header)))
			continue;
		retired += atomic_compare_exchange_strong_explicit(&m->state, &loaded, MODULE_RETIRED,
								   memory_order_acq_rel, memory_order_relaxed);
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
