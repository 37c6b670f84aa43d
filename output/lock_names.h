/*
 * lock_names: what locks are called.
 *
 * Who records has an address and no symbols, so that is what label "lock" says in a segment:
 *
 *     data:0x55d0c3a04060      a lock in the image of a file   g_cache   table+0x28   libfoo.so+0x4060
 *     init:0x55d0c3a01246      elsewhere: who made it          cache_new cache.c:71   server+0x1246
 *
 * A name without a symbol is the file and the address in it, as its headers count. Any other text is a name already.
 */
#pragma once

#include "core/segment.h"
#include "output/profile.h"
#include "output/symbols.h"

struct lock_names;

/*
 * What is at @address in the image of a file is called; @is_site: the code there. False: it is in none. @symbols NULL: files
 * and addresses only.
 */
bool lock_names_find(const struct segment *s, struct symbols *symbols, uint64_t address,
		     bool is_site, char *ret, size_t size);

/* @symbols NULL: as above. NULL: no memory. */
struct lock_names *lock_names_create(const struct segment *s, struct symbols *symbols,
				     struct profile *p);
void lock_names_destroy(struct lock_names *x); /* NULL is fine */

/* The name of what label value @text, a string of the profile, says; one of the profile, too. */
const char *lock_names_show(struct lock_names *x, const char *text);
