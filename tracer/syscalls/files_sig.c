/*
 * The files that were looked through, and their code as it is written. Also inside the loader, when it has mapped a file that
 * nobody runs yet: so all of it keeps to hook context.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "core/arch.h"
#include "core/modules.h"
#include "tracer/syscalls/dispatch.h"

#define PAGE       ((uint64_t)SITE_PAGE)
#define FILES      512
#define PADS_STEP  (UINT64_C(1) << 20)
#define PADS_TRIES 1024
#define PADS_MOST  8 /* of programs: libraries need none */

struct site site_sites[SITE_SLOTS];
struct site_engine site_engine;

/* Of whole files in memory; start 0: free. */
static struct file {
	uintptr_t start, end;
} files[FILES];

/* Slots as they are about to be written. */
static uint8_t images[SITE_SLOTS][SITE_SLOT_BYTES];

bool site_try_lock(void)
{
	uint32_t none = 0;

	return atomic_compare_exchange_strong_explicit(&site_engine.lock, &none, 1,
						       memory_order_acquire, memory_order_relaxed);
}

void site_unlock(void)
{
	atomic_store_explicit(&site_engine.lock, 0,
			      memory_order_release); /* pairs: site_try_lock */
}

SIGSAFE void sites_forked(void)
{
	atomic_store_explicit(&site_engine.lock, 0, memory_order_relaxed);
	if (site_dispatch.is_on)
		dispatch_arm(); /* the kernel does not pass it on */
}

bool site_has_one_thread(void)
{
	struct stat s;

	/* the threads, and the names . and .. */
	if (sys4(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &s, 0) == 0 && s.st_nlink >= 3)
		return s.st_nlink == 3;
	/* without /proc: this does nothing, and says whether it could */
	return sys1(SYS_unshare, CLONE_VM) == 0;
}

int site_writer_open(struct site_writer *w, bool may_protect)
{
	w->may_protect = may_protect;
	w->fd = (int)sys3(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDWR | O_CLOEXEC);
	return w->fd >= 0 || may_protect ? 0 : w->fd;
}

void site_writer_close(struct site_writer *w)
{
	if (w->fd >= 0)
		sys1(SYS_close, w->fd);
	w->fd = -1;
}

/* No function of another file may be called while that file's code is not executable, and no handler may come. */
static long write_by_protection(uint8_t *at, const uint8_t *bytes, size_t size)
{
	uintptr_t page = (uintptr_t)at & ~(PAGE - 1);
	size_t length = (((uintptr_t)at + size + PAGE - 1) & ~(PAGE - 1)) - page;
	unsigned long all = ~0ul, before;
	long r;

	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
	r = sys3(SYS_mprotect, page, length, PROT_READ | PROT_WRITE);
	if (r == 0) {
		for (size_t i = 0; i < size; i++)
			((volatile uint8_t *)at)[i] = bytes[i];
		r = sys3(SYS_mprotect, page, length, PROT_READ | PROT_EXEC);
	}
	sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, 8);
	return r;
}

int site_write(const struct site_writer *w, void *at, const void *bytes, size_t size)
{
	long r = -EBADF;

	if (w->fd >= 0)
		r = sys4(SYS_pwrite64, w->fd, bytes, size, at);
	if (r == (long)size)
		return 0;
	if (r >= 0)
		r = -EIO;
	return w->may_protect ? (int)write_by_protection(at, bytes, size) : (int)r;
}

/* What lies at @at, which may be unmapped. */
static bool is_still(const struct site_writer *w, const uint8_t *at, const uint8_t *bytes)
{
	uint8_t now[SITE_JUMP_BYTES];

	if (w->fd >= 0 && sys4(SYS_pread64, w->fd, now, sizeof(now), at) == (long)sizeof(now))
		return memcmp(now, bytes, sizeof(now)) == 0;
	return w->fd < 0 && memory_is_readable((uintptr_t)at) &&
	       memory_is_readable((uintptr_t)at + SITE_JUMP_BYTES - 1) &&
	       memcmp(at, bytes, SITE_JUMP_BYTES) == 0;
}

int site_restore(const struct site_writer *w, struct site *site)
{
	int r = 0;

	for (unsigned i = 0; i < site->patches_count; i++) {
		struct site_patch *patch = &site->patches[i];

		if (is_still(w, patch->at, patch->after) &&
		    site_write(w, patch->at, patch->before, SITE_JUMP_BYTES) < 0)
			r = -EPERM;
	}
	if (r == 0)
		site->address = 0;
	return r;
}

/* Room for jumps that reach every address, within reach of @text. Writable, until it is made executable. */
static uint8_t *map_pads(const struct site_text *text, size_t bytes)
{
	uintptr_t low = ((uintptr_t)text->start & ~(PAGE - 1)) - bytes;

	/* below it, because above a program its heap grows */
	for (uint64_t i = 1; i <= PADS_TRIES && low > i * PADS_STEP; i++) {
		uintptr_t wanted = low - i * PADS_STEP;
		long at = sys6(SYS_mmap, wanted, bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

		if (at == (long)wanted)
			return (uint8_t *)at;
		if (at > 0) /* a kernel before 4.17 */
			sys2(SYS_munmap, at, bytes);
	}
	return NULL;
}

/* Where jumps of programs lie that are far from the slots. */
static struct pads {
	_Atomic uintptr_t start;
	_Atomic size_t bytes;
} all_pads[PADS_MOST];

static void note_pads(const uint8_t *pads, size_t bytes)
{
	for (struct pads *p = all_pads; p < all_pads + PADS_MOST; p++) {
		if (atomic_load_explicit(&p->start, memory_order_relaxed) != 0)
			continue;
		atomic_store_explicit(&p->bytes, bytes, memory_order_relaxed);
		atomic_store_explicit(&p->start, (uintptr_t)pads,
				      memory_order_release); /* pairs: sites_real_pc */
		return;
	}
}

SIGSAFE uintptr_t sites_real_pc(uintptr_t pc)
{
	for (struct pads *p = all_pads; p < all_pads + PADS_MOST; p++) {
		uintptr_t start = atomic_load_explicit(&p->start, memory_order_acquire), slot;

		if (start == 0)
			break;
		if (pc - start >= atomic_load_explicit(&p->bytes, memory_order_relaxed))
			continue;
		/* behind the jump lies where it leads: see make_patch() */
		memcpy(&slot, (const uint8_t *)(pc & ~(uintptr_t)(SITE_PADS_BYTES / 2 - 1)) + 6,
		       sizeof(slot));
		slot -= slot % SITE_SLOT_BYTES;
		return slot - (uintptr_t)site_slots < sizeof(site_slots)
			       ? *(const uintptr_t *)(slot + 64)
			       : pc;
	}
	return pc;
}

static uint32_t free_slot(uint32_t from)
{
	while (from < SITE_SLOTS && site_sites[from].address != 0)
		from++;
	return from;
}

/* The slots that were filled, in as few pieces as they have. */
static int write_slots(const struct site_writer *w, const uint32_t *slots, uint32_t count)
{
	for (uint32_t i = 0, n; i < count; i += n) {
		int r;

		for (n = 1; i + n < count && slots[i + n] == slots[i] + n; n++)
			;
		r = site_write(w, site_slots[slots[i]], images[slots[i]],
			       (size_t)n * SITE_SLOT_BYTES);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * The patches of sites that are close to each other, and what lies between, in one piece: nobody runs that code now. Returns
 * how many sites those were.
 */
static int write_patches(const struct site_writer *w, const uint32_t *slots, uint32_t count)
{
	static uint8_t bytes[4096];
	uint8_t *start = site_sites[slots[0]].patches[0].at, *end = start;
	uint32_t n;
	int r;

	for (n = 0; n < count; n++) {
		const struct site *site = &site_sites[slots[n]];
		uint8_t *last = site->patches[site->patches_count - 1].at + SITE_JUMP_BYTES;

		if ((size_t)(last - start) > sizeof(bytes))
			break;
		memcpy(bytes + (end - start), end, (size_t)(last - end));
		end = last;
		for (unsigned i = 0; i < site->patches_count; i++)
			memcpy(bytes + (site->patches[i].at - start), site->patches[i].after,
			       SITE_JUMP_BYTES);
	}
	r = site_write(w, start, bytes, (size_t)(end - start));
	return r < 0 ? r : (int)n;
}

/*
 * The same while others run it: each patch in one piece, the word that it lies in. /proc/self/mem promises nothing of pieces, so
 * for this long the code is writable as well, and executable all the while.
 */
static int write_words(const struct site_text *text, const uint32_t *slots, uint32_t count)
{
	uintptr_t start = (uintptr_t)text->start & ~(PAGE - 1);
	size_t length = (size_t)((((uintptr_t)text->end + PAGE - 1) & ~(PAGE - 1)) - start);
	int r = (int)sys3(SYS_mprotect, start, length, PROT_READ | PROT_WRITE | PROT_EXEC);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < count; i++) {
		const struct site_patch *patch = &site_sites[slots[i]].patches[0];
		size_t at = (uintptr_t)patch->at % SITE_WORD_BYTES;
		_Atomic uint64_t *word = (_Atomic uint64_t *)(patch->at - at);
		uint64_t bytes = atomic_load_explicit(word, memory_order_relaxed);

		memcpy((uint8_t *)&bytes + at, patch->after, site_patch_word_bytes(patch));
		atomic_store_explicit(word, bytes, memory_order_release);
	}
	/* it is taken back with all that the kernel had to note for it; if not, what was written is right all the same */
	sys3(SYS_mprotect, start, length, PROT_READ | PROT_EXEC);
	return 0;
}

static void drop(const uint32_t *slots, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		site_sites[slots[i]].address = 0;
}

static void count_patched(const uint32_t *slots, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (site_sites[slots[i]].is_in_stub)
			site_engine.counts.in_stub++;
		else
			site_engine.counts.in_place++;
}

static int patch_text(const struct site_text *text, const struct site_writer *w, unsigned wishes)
{
	struct sites_counts *counts = &site_engine.counts;
	uint8_t *pads = NULL;
	const struct site_plan *plans;
	static uint32_t slots[SITE_SLOTS];
	uint32_t used = 0, slot = 0;
	bool is_far = !site_slots_are_near(text), sees_exit = false;
	uint32_t count = site_plan_all(text, wishes | (is_far ? SITE_IS_FAR : 0u), counts, &plans);
	size_t pads_bytes = ((size_t)count * SITE_PADS_BYTES + PAGE - 1) & ~(PAGE - 1);
	int r = 0;

	if (count == 0)
		return 0;
	if (is_far) {
		pads = map_pads(text, pads_bytes);
		if (pads == NULL) {
			counts->left[SITES_LEFT_NO_SLOT] += count;
			return 0;
		}
	}
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *pad = pads != NULL ? pads + (size_t)i * SITE_PADS_BYTES : NULL;

		slot = free_slot(slot);
		if (slot == SITE_SLOTS) {
			counts->left[SITES_LEFT_NO_SLOT]++;
			continue;
		}
		if (!site_build(&plans[i], slot, images[slot], pad, pad, &site_sites[slot])) {
			site_sites[slot].address = 0;
			counts->left[SITES_LEFT_NO_ROOM]++;
			continue;
		}
		slots[used++] = slot++;
		sees_exit = sees_exit || plans[i].is_exit;
	}
	if (pads != NULL && sys3(SYS_mprotect, pads, pads_bytes, PROT_READ | PROT_EXEC) < 0) {
		/* new code is forbidden; libraries near the slots need none */
		sys2(SYS_munmap, pads, pads_bytes);
		counts->left[SITES_LEFT_NO_SLOT] += used;
		drop(slots, used);
		return 0;
	}
	if (pads != NULL)
		note_pads(pads, pads_bytes);
	r = write_slots(w, slots, used);
	if (r < 0) {
		drop(slots, used);
		return r;
	}
	if (wishes & SITE_IS_RUNNING) {
		/* nobody may have read the slots before they were written */
		r = site_all_see_new_code();
		if (r == 0)
			r = write_words(text, slots, used);
		if (r < 0) {
			drop(slots, used);
			return r;
		}
		count_patched(slots, used);
		site_engine.sees_exits = site_engine.sees_exits || sees_exit;
		return 0;
	}
	for (uint32_t i = 0; i < used; i += (uint32_t)r) {
		r = write_patches(w, slots + i, used - i);
		if (r < 0) {
			/* what was written stays right: it is a part of what was wanted */
			drop(slots + i, used - i);
			return r;
		}
		count_patched(slots + i, (uint32_t)r);
	}
	site_engine.sees_exits = site_engine.sees_exits || sees_exit;
	return 0;
}

/* Where the tables are that core/cfi.h reads. */
static void find_tables(struct site_text *text, uintptr_t bias, const ElfW(Phdr) * headers,
			unsigned count)
{
	struct segment_module *m = &text->tables;
	uintptr_t at = 0;
	size_t bytes = 0;

	for (unsigned i = 0; i < count; i++) {
		if (headers[i].p_type != PT_GNU_EH_FRAME)
			continue;
		at = bias + headers[i].p_vaddr;
		bytes = headers[i].p_memsz;
	}
	m->bias = bias;
	for (unsigned i = 0; i < count; i++) {
		uintptr_t start = bias + headers[i].p_vaddr;

		if (headers[i].p_type == PT_LOAD && (headers[i].p_flags & PF_R) && at >= start &&
		    at - start < headers[i].p_filesz) {
			m->cfi_header = at;
			m->readable_start = start;
			m->readable_end = start + headers[i].p_filesz;
			text->index = at;
			text->index_bytes = bytes <= m->readable_end - at ? bytes : 0;
		}
	}
}

/* The loader will write into its code. */
static bool has_relocations_in_code(uintptr_t bias, const ElfW(Phdr) * headers, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const ElfW(Dyn) * d;

		if (headers[i].p_type != PT_DYNAMIC)
			continue;
		for (d = (const ElfW(Dyn) *)(bias + headers[i].p_vaddr); d->d_tag != DT_NULL; d++)
			if (d->d_tag == DT_TEXTREL ||
			    (d->d_tag == DT_FLAGS && (d->d_un.d_val & DF_TEXTREL)))
				return true;
	}
	return false;
}

/* Calls from there are ours, and those that slots make. */
static void find_own_code(uintptr_t bias, const ElfW(Phdr) * headers, unsigned count)
{
	uintptr_t ours = (uintptr_t)site_slots;

	for (unsigned i = 0; i < count; i++) {
		uintptr_t start = bias + headers[i].p_vaddr;

		if (headers[i].p_type != PT_LOAD || ours - start >= headers[i].p_memsz)
			continue;
		site_dispatch.start = start;
		site_dispatch.end = start + headers[i].p_memsz;
	}
}

/* False: known, or there is no room to know it. */
static bool add_file(uintptr_t start, uintptr_t end)
{
	struct file *free = NULL;

	for (struct file *f = files; f < files + FILES; f++) {
		if (f->start == start)
			return false;
		if (f->start == 0 && free == NULL)
			free = f;
	}
	if (free == NULL)
		return false;
	*free = (struct file){start, end};
	return true;
}

int site_add_image(uintptr_t bias, const ElfW(Phdr) * headers, unsigned headers_count,
		   unsigned wishes)
{
	uintptr_t start = UINTPTR_MAX, end = 0, ours = (uintptr_t)site_slots;
	struct site_writer w = {.fd = -1};
	int r = 0;

	for (unsigned i = 0; i < headers_count; i++) {
		uintptr_t at = bias + headers[i].p_vaddr;

		if (headers[i].p_type != PT_LOAD)
			continue;
		if (at < start)
			start = at;
		if (at + headers[i].p_memsz > end)
			end = at + headers[i].p_memsz;
	}
	if (ours >= start && ours < end) {
		find_own_code(bias, headers, headers_count);
		return 0;
	}
	if (start >= end || has_relocations_in_code(bias, headers, headers_count) ||
	    !add_file(start, end))
		return 0;
	for (unsigned i = 0; i < headers_count && r == 0; i++) {
		struct site_text text = {.start = (const uint8_t *)(bias + headers[i].p_vaddr)};

		if (headers[i].p_type != PT_LOAD || !(headers[i].p_flags & PF_X) ||
		    !(headers[i].p_flags & PF_R))
			continue;
		if (headers[i].p_filesz < 16)
			continue;
		text.end = text.start + headers[i].p_filesz;
		find_tables(&text, bias, headers, headers_count);
		if (w.fd < 0)
			r = site_writer_open(&w,
					     !(wishes & SITE_IS_RUNNING) && site_has_one_thread());
		if (r == 0)
			r = patch_text(&text, &w, wishes);
	}
	site_engine.counts.files++;
	site_writer_close(&w);
	return r;
}

void site_forget_files(void)
{
	for (struct file *f = files; f < files + FILES; f++)
		f->start = 0;
}

void site_on_mapped(uintptr_t base)
{
	const ElfW(Ehdr) *elf = (const ElfW(Ehdr) *)base;
	const ElfW(Phdr) *headers = (const ElfW(Phdr) *)(base + sizeof(*elf));
	uintptr_t low = UINTPTR_MAX;

	if (!site_engine.is_on || !memory_is_readable(base) ||
	    memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 || elf->e_ident[EI_CLASS] != ELFCLASS64 ||
	    elf->e_phentsize != sizeof(*headers) || elf->e_phoff != sizeof(*elf) ||
	    elf->e_phnum > (PAGE - sizeof(*elf)) / sizeof(*headers))
		return;
	for (unsigned i = 0; i < elf->e_phnum; i++)
		if (headers[i].p_type == PT_LOAD && headers[i].p_vaddr < low)
			low = headers[i].p_vaddr;
	if (low == UINTPTR_MAX || !site_try_lock())
		return;
	if (site_engine.is_on)
		site_add_image(base - (low & ~(PAGE - 1)), headers, elf->e_phnum,
			       site_engine.only_stubs ? SITE_ONLY_STUBS : 0);
	site_unlock();
}

SIGSAFE void sites_forget(uintptr_t start, uintptr_t end)
{
	if (!site_try_lock())
		return;
	for (struct file *f = files; f < files + FILES; f++)
		if (f->start >= start && f->start < end)
			f->start = 0;
	for (uint32_t i = 0; i < SITE_SLOTS; i++) {
		struct site *site = &site_sites[i];

		if (site->address < start || site->address >= end)
			continue;
		if (site->is_in_stub)
			site_engine.counts.in_stub--;
		else
			site_engine.counts.in_place--;
		site_engine.counts.found--;
		site->address = 0;
	}
	site_unlock();
}

SIGSAFE void sites_before_filter(void)
{
	struct site_writer w;
	bool was_on = site_engine.is_on;

	/* libraries that come later stay as they are: the filter may not like how they would be changed */
	site_engine.is_on = false;
	if (!was_on || !site_has_one_thread() || !site_try_lock())
		return;
	if (site_dispatch.is_on)
		dispatch_stop();
	if (site_writer_open(&w, true) == 0) {
		for (uint32_t i = 0; i < SITE_SLOTS; i++) {
			struct site *site = &site_sites[i];

			if (site->address == 0 || !site->is_in_stub || site_restore(&w, site) < 0)
				continue;
			site_engine.counts.in_stub--;
			site_engine.counts.left[SITES_LEFT_FILTER]++;
		}
		site_writer_close(&w);
		site_see_new_code();
	}
	site_unlock();
}

SIGSAFE bool sites_see_exits(void)
{
	return site_engine.is_on && site_engine.sees_exits;
}
