/*
 * dlclose() takes files away under our feet: no walk may read their tables meanwhile.
 *
 * dlopen() is not called from here. The loader takes the caller from the return address, for its search path (DT_RUNPATH,
 * $ORIGIN) and its namespace, so a call through us could find another file or none. What is asked for is noted in the
 * trace, and then the real one is jumped to. A new file is found when the first sample falls into it (modules_discover) or,
 * in a trace, at the next occasion (process_find_libraries).
 */
#include <dlfcn.h>
#include <errno.h>

#include "core/modules.h"
#include "cprof/cprof.h"
#include "preload/own_work.h"
#include "preload/process.h"
#include "preload/real.h"
#include "preload/rebind.h"
#include "tracer/user.h"

CPROF_PUBLIC int dlclose(void *handle)
{
	struct segment *s = segment_live();
	int r, saved;

	if (!process_is_ours(s))
		return real.dlclose(handle);
	process_find_libraries(false); /* while it is there */
	modules_before_close(s);
	r = real.dlclose(handle);
	saved = errno;
	own_work_begins();
	modules_after_close(s);
	rebind_again();
	own_work_ends();
	errno = saved;
	return r;
}

__attribute__((used)) static void before_dlopen(const char *path, int flags)
{
	int saved = errno;

	if (real_dlopen == NULL)
		real_early("dlopen", &real_dlopen);
	if (trace_runs() && path != NULL && !(flags & RTLD_NOLOAD) && process_self() != NULL) {
		process_find_libraries(false);
		process_expect_library();
		trace_library(TRACE_LIBRARY_ASKED, path);
	}
	errno = saved;
}

__asm__(".text\n"
	".globl dlopen\n"
	".type dlopen, @function\n"
	"dlopen:\n\t"
	".cfi_startproc\n\t"
	"endbr64\n\t"
	"pushq %rdi\n\t.cfi_adjust_cfa_offset 8\n\t"
	"pushq %rsi\n\t.cfi_adjust_cfa_offset 8\n\t"
	"subq $8, %rsp\n\t.cfi_adjust_cfa_offset 8\n\t"
	"call before_dlopen\n\t"
	"addq $8, %rsp\n\t.cfi_adjust_cfa_offset -8\n\t"
	"popq %rsi\n\t.cfi_adjust_cfa_offset -8\n\t"
	"popq %rdi\n\t.cfi_adjust_cfa_offset -8\n\t"
	"jmp *real_dlopen(%rip)\n\t"
	".cfi_endproc\n"
	".size dlopen, . - dlopen\n");
