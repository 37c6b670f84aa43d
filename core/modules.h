/*
 * modules: the files mapped as code, and the id each was built with.
 *
 * The list in the segment is read without locks by walks and by whoever symbolizes. Records are added whole, then
 * marked loaded; a file that goes is marked retired and keeps its record, because stacks still name it.
 *
 * Files that come while the program runs are found when a walk meets their code: modules_discover() asks /proc/self/maps.
 * That serves dlopen() and what the C library opens by itself alike, and needs no hook that could disturb the loader.
 */
#pragma once

#include <link.h>

#include "core/segment.h"

/* Any address in libcprof.so, whose frames are not the host's; 0: there are none such. */
extern uintptr_t modules_ours;

/*
 * Called when a file of the list comes or goes; NULL: nobody wants to know. Signal context, and the loader's lock may be
 * held.
 */
extern void (*modules_changed)(struct segment *s, const char *path, bool is_there);

/*
 * Called while the program starts: the files that are there now stay for as long as it lives. Without it, that is so of all
 * that the first refresh finds.
 */
void modules_note_start(void);

/* Compares the list with the loader's: at start and after dlclose. Normal context: takes the loader's lock. */
void modules_refresh(struct segment *s);

/* In a child of fork: whoever refreshed the list in the parent is not here to finish. */
void modules_forked(void);

/*
 * Around dlclose. From the first call to the second no walk reads the tables of files that dlclose can take away; a
 * walk that would have to ends there, marked as cut. Normal context.
 */
void modules_before_close(struct segment *s);
void modules_after_close(struct segment *s);

/* The record of the module with code at @pc, loaded, else NULL. *ret_index is what a stack's word holds. Signal safe. */
SIGSAFE const struct segment_module *modules_find(const struct segment *s, uintptr_t pc,
						  uint32_t *ret_index);

/*
 * Whether a walk may look at @address in the memory of @m, of which dlclose may be about to take it away. The answer
 * holds until the caller's thread_leave().
 */
SIGSAFE bool modules_may_read(const struct segment *s, const struct segment_module *m,
			      uintptr_t address);

/* Looks for a file mapped at @pc that the list does not have. True when the list grew. */
SIGSAFE bool modules_discover(struct segment *s, uintptr_t pc);
void modules_discover_forked(void); /* in a child: whoever was looking is not here */

/*
 * An ELF image in memory. modules_add_image() adds a record for each executable segment that the list does not have
 * yet and returns how many that were; @known (may be NULL) gets the index of each record, new or not.
 */
struct module_image {
	uintptr_t bias;
	const ElfW(Phdr) * program_headers;
	unsigned program_headers_count;
	const char *path;
	bool may_close, is_discovered;
};
SIGSAFE uint32_t modules_add_image(struct segment *s, const struct module_image *image,
				   void (*known)(uint32_t index, void *user), void *user);

/* True when 8 bytes at @address can be read, by asking the kernel. */
SIGSAFE bool memory_is_readable(uintptr_t address);
