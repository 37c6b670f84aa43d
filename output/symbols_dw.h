/*
 * symbols_dw: functions, inlined calls and lines out of DWARF, by libdw.
 *
 * libdw is not linked: the first dw_open() opens it and looks its functions up.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/why.h"
#include "output/symbols_elf.h"
#include "output/symbols_strings.h"

struct dw;

struct dw_frame {
	const char *name; /* linkage name, else the plain one; NULL: no function is known here */
	const char *file; /* NULL: unknown */
	int64_t line, start_line;
	uint64_t start; /* of the outermost only: its first byte, or that of its part; 0 unknown */
	bool is_linkage_name;
};

/* Whether libdw could be loaded; -ENOSYS with @why when not. */
int dw_load(struct why *why);

/*
 * Reads what @elf has. Addresses outside @text_start .. @text_end are those of functions that the
 * linker dropped. 0, -ENOENT (no DWARF inside) or another -errno with @why: -ECANCELED when *@should_end (NULL: never) became true
 * meanwhile. @elf and @st must stay.
 */
int dw_open(struct dw **ret, const struct elf *elf, uint64_t text_start, uint64_t text_end,
	    struct strings *st, const _Atomic bool *should_end, struct why *why);
void dw_close(struct dw *dw);

/* Innermost first. Returns how many; one frame without a name when only the line is known. */
int dw_lookup(struct dw *dw, uint64_t vaddr, struct dw_frame *frames, int frames_max);
