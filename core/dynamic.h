/*
 * dynamic: what a file in memory says to the loader: the names it defines, and the slots that the loader fills in for it.
 *
 *     program headers ─ PT_DYNAMIC ┬ hash tables ─ symbols ─ names      dynamic_find()
 *                                  └ relocations ─ slots                dynamic_each_slot()
 *
 * The file is the host's and may be anything: written by hand, cut short since it was mapped, without hash tables, with
 * addresses that the loader has made absolute or has not (it cannot in the vdso's). So nothing is followed that does not
 * lie in a PT_LOAD segment, in pages that the kernel says can be read; a table that leaves them ends there.
 *
 * Normal context: the caller sees to it that the file stays (dl_iterate_phdr() does).
 */
#pragma once

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dynamic {
	uintptr_t bias;
	const ElfW(Phdr) * headers;
	unsigned headers_count;
	uintptr_t relro_start,
		relro_end; /* whole pages, read-only once the loader is done with the file */

	/* addresses, 0: the file has none */
	uintptr_t symbols, names, gnu_hash, sysv_hash;
	size_t names_bytes;
	uintptr_t relocations, plt_relocations;
	size_t relocations_bytes, plt_relocations_bytes;
	size_t relative_count; /* so many at the beginning of relocations name no symbol */

	/* what the kernel is not asked twice: the rights of the page last stored in, pages that are readable, by number */
	uintptr_t asked;
	int rights;
	uintptr_t readable[16];
};

/* One of the words that the loader stores the address of a symbol in. */
struct dynamic_slot {
	uintptr_t *at; /* aligned, in a writable segment, readable now */
	uint32_t symbol;
	bool is_lazy; /* may still point into the file's own procedure linkage table */
};

/* 0, -ENOENT: there is no dynamic section, -EINVAL: none that can be read. Sets all of @d. */
int dynamic_read(struct dynamic *d, uintptr_t bias, const ElfW(Phdr) * headers, unsigned count);

/* Whether @address lies in a segment with all @flags (PF_X …). */
bool dynamic_contains(const struct dynamic *d, uintptr_t address, ElfW(Word) flags);

/* The function that the file itself defines by this name: its symbol, and where it is. NULL: none. */
const ElfW(Sym) * dynamic_find(struct dynamic *d, const char *name, uintptr_t *ret_address);

bool dynamic_is_named(struct dynamic *d, uint32_t symbol, const char *name);

void dynamic_each_slot(struct dynamic *d,
		       void (*each)(struct dynamic *d, const struct dynamic_slot *slot, void *user),
		       void *user);

/*
 * Stores @value at @at, an aligned word of the file @d, in one piece: other threads may be reading it. A page that may not be
 * written can be for that moment, and is then again what it was.
 *
 * -EBUSY: the page is one that the loader makes read-only at the end of its work on a file, and it is not yet. Another
 * thread is loading that file, and would do it between our question and our store, which then ends the process. To be
 * tried again later. Other negative errnos: this will not work.
 */
int dynamic_store(struct dynamic *d, uintptr_t *at, uintptr_t value);
