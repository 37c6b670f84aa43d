/*
 * symbols: from a place in a file to function, source file and line, with inlined calls, by libdw;
 * and from one in its data to the variable.
 *
 * libdw is reached through dlopen: as a needed library its own needed ones would become the host's.
 * Where it is missing, names come from the symbol tables alone, and the first symbols_module() says
 * so in @why.
 *
 * Normal context only. One thread at a time for each struct symbols.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/why.h"

struct symbols;
struct symbols_module;

struct symbols_frame {
	const char *name;        /* demangled as pprof shows it: symbols_demangle(); never NULL */
	const char *system_name; /* as in the symbol table or DW_AT_linkage_name */
	const char *file;        /* "" when unknown */
	int64_t line, start_line;
	uint64_t start; /* where the code begins that the place is in: that of the last frame */
};

/* What is known of a module; goes into the flags of its profile_mapping. */
struct symbols_kind {
	bool has_functions, has_lines, has_inlines;
};

/*
 * From now on debug files that are not on this machine are asked for at the servers of DEBUGINFOD_URLS, by build id. For the whole
 * process, before any thread reads symbols. 0, or with @why -EINVAL (no server is named) or -ENOSYS (no client is installed).
 */
int symbols_use_debuginfod(struct why *why);

/* One more of CPROF_DEBUG_PATH, before those that it names. Likewise; 0 or -ENOMEM. */
int symbols_add_directory(const char *directory);

int symbols_create(struct symbols **ret);
void symbols_destroy(struct symbols *s);

/*
 * While *@should_end, which is looked at between two places, nothing new is read: what was not asked before is not known, and some of
 * what was then may stay so. NULL, as at first: never. For who may be told by another thread that there is no more time.
 */
void symbols_end_by(struct symbols *s, const _Atomic bool *should_end);

/*
 * The module behind @path, whose build id is @build_id (NULL or size 0: not known). Opened once,
 * kept until symbols_destroy(). The file itself, then its separate debug files (.gnu_debuglink,
 * /usr/lib/debug/.build-id, CPROF_DEBUG_PATH). "[vdso]" is this process's own vdso; "[jit]" never
 * has a module (see symbols_jit).
 *
 * A file that is gone or has another build id is replaced by the debug file of the right build id,
 * where there is one.
 *
 * Returns NULL when there is nothing to read or the file's build id is another one; @why says
 * which. Where a module is returned @why is "", or tells what is missing: no libdw (said once),
 * debugging information that cannot be read.
 */
struct symbols_module *symbols_module(struct symbols *s, const char *path, const uint8_t *build_id,
				      size_t build_id_size, struct why *why);
struct symbols_kind symbols_module_kind(const struct symbols_module *m);
/* Has the file one, whatever was asked for? */
bool symbols_module_has_build_id(const struct symbols_module *m);

/*
 * Where @address is in the file's own terms, of a mapping of it: start, limit and offset as one line of
 * /proc/PID/maps has them, or start and offset 0 without a limit, for addresses that are the file's own
 * already. False: it is not in the file's code.
 */
bool symbols_vaddr(const struct symbols_module *m, uint64_t start, uint64_t limit, uint64_t offset,
		   uint64_t address, uint64_t *ret_vaddr);

/*
 * The functions at @vaddr (the file's own virtual address: run-time address minus load bias),
 * innermost inlined function first, the out-of-line one last. Returns how many, 0 when nothing is
 * known there. The strings live as long as @s.
 */
int symbols_lookup(struct symbols_module *m, uint64_t vaddr, struct symbols_frame *frames,
		   int frames_max);

/*
 * The variable at @vaddr, static ones too, or that it lies in: the smallest, demangled. Out of the
 * symbol tables; variables that each thread has for itself are not among them. NULL: none is known
 * there. The name lives as long as @s.
 */
const char *symbols_variable(struct symbols_module *m, uint64_t vaddr, uint64_t *ret_offset);

/* Names of run-time compiled code: /tmp/perf-PID.map as JITs write it. NULL when there is none. */
struct symbols_jit;
struct symbols_jit *symbols_jit(struct symbols *s, int pid, struct why *why);
/* They are read anew the next time: names of code come and go. Names that were looked up are gone. */
void symbols_forget_jit(struct symbols *s);
/* NULL: @address is not in it, or @jit is NULL. */
const char *symbols_jit_lookup(const struct symbols_jit *jit, uint64_t address);

/*
 * The demangled form (C++ and Rust) as symbols_frame.name has it: no parameters, return type,
 * template arguments and clone suffix. @system_name itself when it is not mangled.
 */
const char *symbols_demangle(struct symbols *s, const char *system_name);
