/*
 * custom: profiles that the program makes itself, of what it has and gives back: handles, connections, blocks of a pool. What Go
 * has as runtime/pprof's NewProfile().
 *
 * An entry is a value that the program chose, and the stack that added it. Entries are found by their values, which is
 * nobody else's business; who reads wants to know the stacks.
 *
 *     ours:     value what │ value what │ value what │ …      private memory: a child of fork has what its parent had
 *     segment:        what │       what │       what │ …      what: live │ profile │ label set │ stack, in one word
 *
 * The stacks are in the lasting set, like those of live blocks. Values are hashed to a region of entries, which has a lock;
 * in it they are probed one by one.
 *
 * Always true:
 *   - A value is in a profile once: the region's lock is held from the search to the store.
 *   - In either memory an entry is there or is not: it is one word that is stored last, and taken away first. So a process
 *     that dies, or forks while another thread adds, leaves nothing half.
 *   - A full region refuses the entry, and it counts as lost. An entry whose stack found no room is there without it.
 *   - Names are in the segment in the order in which they were made, and stay.
 *
 * Normal context, but nothing here allocates by the host's allocator or takes a lock that is held for longer than a search.
 */
#pragma once

#include "core/profile.h"

/* Letters, digits, '_', '-', '.', of which the last two do not begin it: good for a file, and in a URL. */
bool custom_is_name(const char *name);

/*
 * A profile for @name, by its number: to be used from all threads, and in children of fork. -EINVAL: no name; -EEXIST: there
 * is one, or one of ours, of that name; -ENOSPC: there are SEGMENT_CUSTOMS.
 */
int custom_make(struct segment *s, const char *name);

/* By its name; NULL. What it points to stays. */
const struct profile_ops *custom_find(const char *name);

/* The same as a number and back; -EINVAL: it is none. */
void *custom_handle(unsigned number);
int custom_number(const void *handle);

/*
 * @skip frames above the caller's are left out, ours not counted. -EEXIST: the value is there; -ENOSPC: no room, counted;
 * -ENOENT: it is not.
 */
int custom_add(struct segment *s, unsigned number, uint64_t value, unsigned skip);
int custom_remove(struct segment *s, unsigned number, uint64_t value);

/* How many are there. */
int64_t custom_count(unsigned number);

/* There are such profiles: a child of fork goes on with them. */
bool custom_is_used(void);

/*
 * @s is new, and not live yet. The profiles are the same; the entries, too, where @parent is the segment that they were
 * in until now, with the same names (segment_copy_names). Else, with NULL, they are forgotten. What finds no memory is
 * refused from then on.
 */
void custom_begin(struct segment *s, const struct segment *parent);

extern const struct profile_ops custom_profile; /* the family */
