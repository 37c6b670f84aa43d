#include "tracer/syscalls/sites.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#include "core/arch.h"
#include "core/mem.h"
#include "core/modules.h"
#include "tracer/syscalls/dispatch.h"

static void *scratch;

const char *sites_left_name(enum sites_left reason)
{
	static const char *const names[SITES_LEFT_REASONS] = {
		[SITES_LEFT_NO_ROOM] = "no room for a jump",
		[SITES_LEFT_UNKNOWN] = "code that is not understood",
		[SITES_LEFT_ENTERED] = "jumped into",
		[SITES_LEFT_SIGRETURN] = "the return from a signal handler",
		[SITES_LEFT_CANCEL] = "watched by cancellation",
		[SITES_LEFT_NO_SLOT] = "more sites than slots",
		[SITES_LEFT_FILTER] = "given back to a filter of system calls",
		[SITES_LEFT_RUNNING] = "not to be changed while threads run",
		[SITES_LEFT_LARGE] = "files that are too large",
	};

	return (unsigned)reason < SITES_LEFT_REASONS ? names[reason] : "?";
}

struct visit {
	int error;
	uintptr_t vdso, loader;
};

static struct visit begin_visit(void)
{
	return (struct visit){.vdso = getauxval(AT_SYSINFO_EHDR), .loader = getauxval(AT_BASE)};
}

static void visit_image(struct visit *v, uintptr_t bias, const ElfW(Phdr) * headers,
			unsigned headers_count, unsigned wishes)
{
	int r;

	if (v->vdso != 0 && bias == v->vdso)
		return;
	for (unsigned i = 0; i < headers_count && bias == v->loader; i++) {
		if (headers[i].p_type != PT_LOAD || !(headers[i].p_flags & PF_X))
			continue;
		site_engine.loader_start = bias + headers[i].p_vaddr;
		site_engine.loader_end = site_engine.loader_start + headers[i].p_memsz;
	}
	r = site_add_image(bias, headers, headers_count, wishes);
	if (r < 0 && v->error == 0)
		v->error = r;
}

static int visit(struct dl_phdr_info *info, size_t size, void *user)
{
	(void)size;
	visit_image(user, info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum,
		    site_engine.only_stubs ? SITE_ONLY_STUBS : 0);
	return 0;
}

static int visit_all(void)
{
	struct visit v = begin_visit();

	dl_iterate_phdr(visit, &v);
	site_see_new_code();
	return v.error;
}

static int restore_all(void)
{
	struct site_writer w;
	int r = site_writer_open(&w, true);

	for (uint32_t i = 0; i < SITE_SLOTS && r == 0; i++)
		if (site_sites[i].address != 0)
			r = site_restore(&w, &site_sites[i]);
	if (r == 0) {
		site_forget_files();
		site_engine.is_on = false;
	}
	site_writer_close(&w);
	site_see_new_code();
	return r;
}

/*
 * What the program began with and cannot let go of. Not by the loader's list: its lock is not for a thread of ours, and others
 * may be holding it for long.
 */
static int visit_modules(const struct segment *s)
{
	struct visit v = begin_visit();
	uint32_t high = atomic_load_explicit(&s->header->modules_high, memory_order_acquire);

	for (uint32_t i = 0; i < high && i < segment_count(s, SEGMENT_MODULES, 0); i++) {
		const struct segment_module *m = segment_module_at(s, i);
		const ElfW(Ehdr) *elf = (const ElfW(Ehdr) *)m->image_start;

		if (atomic_load_explicit(&m->state, memory_order_acquire) != MODULE_LOADED ||
		    m->may_close || !memory_is_readable(m->image_start) ||
		    memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0 ||
		    elf->e_phentsize != sizeof(ElfW(Phdr)) || elf->e_phoff != sizeof(*elf) ||
		    elf->e_phnum > (SITE_PAGE - sizeof(*elf)) / sizeof(ElfW(Phdr)))
			continue;
		visit_image(&v, m->bias, (const ElfW(Phdr) *)(elf + 1), elf->e_phnum,
			    SITE_IS_RUNNING);
	}
	return v.error;
}

/* Held when 0 is returned: the engine's lock. */
static int begin(const struct syscall_probe *probe, enum sites_mode mode, struct why *why)
{
	if (arch_is_translated()) {
		why_set(why, "system calls: valgrind runs a copy of the code");
		return -ENOTSUP;
	}
	if (scratch == NULL)
		scratch = mem_map(site_scratch_bytes());
	if (scratch == NULL) {
		why_set(why, "system calls: no memory");
		return -ENOMEM;
	}
	if (!site_try_lock())
		return -EBUSY;
	if (site_engine.is_on) {
		site_unlock();
		return -EBUSY;
	}
	site_use_scratch(scratch);
	site_engine.only_stubs = mode == SITES_FULL;
	site_engine.sees_exits = false;
	site_engine.is_on = true;
	site_engine.counts = (struct sites_counts){0};
	atomic_store_explicit(&site_probe.leave, probe->leave, memory_order_relaxed);
	atomic_store_explicit(&site_probe.enter, probe->enter, memory_order_relaxed);
	return 0;
}

static bool has_patched(void)
{
	return site_engine.counts.in_place + site_engine.counts.in_stub > 0;
}

/* Nothing was patched, by reason of @r. */
static int give_up(int r, struct why *why)
{
	site_engine.is_on = false;
	if (r < 0) {
		why_set(why, "system calls: code may not be changed: %s", strerrordesc_np(-r));
		r = r == -ENOENT ? -EPERM : r;
	} else {
		why_set(why, "system calls: no library has a call that can be patched");
		r = -ENOTSUP;
	}
	return r;
}

int sites_start(const struct syscall_probe *probe, enum sites_mode mode, struct why *why)
{
	int r;

	if (!site_has_one_thread()) {
		why_set(why, "system calls: the code of a program that has threads already is not "
			     "changed");
		return -EAGAIN;
	}
	r = begin(probe, mode, why);
	if (r < 0)
		return r;
	r = visit_all();
	if (!has_patched()) {
		r = give_up(r, why);
	} else if ((r = mode == SITES_FULL ? dispatch_start() : 0) < 0) {
		why_set(why, "system calls: no syscall user dispatch: %s", strerrordesc_np(-r));
		restore_all();
		r = -ENOTSUP;
	}
	site_unlock();
	return r;
}

void sites_prepare(void)
{
	if (site_has_one_thread())
		site_register();
}

int sites_start_running(const struct segment *s, const struct syscall_probe *probe, struct why *why)
{
	int r = site_all_see_new_code();

	if (r < 0) {
		why_set(why, "system calls: this kernel has no membarrier() for changed code: %s",
			strerrordesc_np(-r));
		return -ENOTSUP;
	}
	r = begin(probe, SITES_PATCHED, why);
	if (r < 0)
		return r;
	r = visit_modules(s);
	r = has_patched() ? site_all_see_new_code() : give_up(r, why);
	site_unlock();
	return r;
}

int sites_update(struct why *why)
{
	int r = 0;

	if (!site_has_one_thread()) {
		why_set(why, "system calls: the code of a program that has threads already is not "
			     "changed");
		return -EAGAIN;
	}
	if (!site_try_lock())
		return -EBUSY;
	if (site_engine.is_on)
		r = visit_all();
	site_unlock();
	return r;
}

int sites_stop(void)
{
	int r;

	atomic_store_explicit(&site_probe.enter, NULL, memory_order_relaxed);
	atomic_store_explicit(&site_probe.leave, NULL, memory_order_relaxed);
	if (!site_has_one_thread())
		return -EAGAIN;
	if (!site_try_lock())
		return -EBUSY;
	if (site_dispatch.is_on)
		dispatch_stop();
	r = restore_all();
	site_unlock();
	return r;
}

void sites_count(struct sites_counts *ret)
{
	*ret = site_engine.counts;
	ret->by_dispatch = atomic_load_explicit(&site_dispatch.calls, memory_order_relaxed);
}
