/*
 * rebind: names of the allocator that cannot be taken by exporting them.
 *
 * operator new of jemalloc, tcmalloc or mimalloc does not go through malloc(), and must be counted where it is. But a
 * libcprof.so that exported it would stand before libstdc++ in every program, and behind it would be nothing in a C program
 * that opens a C++ library for itself (RTLD_LOCAL). Nor may we export mallocx(): by a weak reference to it, programs ask
 * whether their allocator is jemalloc. So we export neither, and when the process's own malloc() comes from a file that defines
 * such names, we change what they lead to:
 *
 *     1. the allocator's symbol table, in memory: the address of the name becomes our function's. From here on the loader
 *        gives it to every library that comes, by whatever way, to every call not bound yet, and to dlsym(), each by its
 *        own rules of scope. Nothing has to notice a library's arrival.
 *     2. the slots that the loader has filled in before: those of the name that hold the allocator's address.
 *
 * A slot that holds something else is not touched: it leads to libstdc++'s operator, which calls malloc(), or to one that the
 * program has itself.
 *
 * Where the symbol table cannot be changed (a page with code in it, and a policy against that), calls not bound yet are
 * bound to us here, and libraries that come later are missed until rebind_again().
 *
 * Not rebound: addresses that the program has taken before and keeps, the allocator's calls of itself, files in another
 * namespace (dlmopen), slots in pages of code (text relocations). It is for good: what replaces a function looks by itself
 * whether there is something to do.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Any function's address. Variables of all such types may be one. */
typedef void (*__attribute__((may_alias)) rebind_function)(void);

struct rebinding {
	const char *name;
	rebind_function replacement;
	rebind_function
		*real; /* set to the allocator's own before anybody can get the replacement */
};

/*
 * Looks for the @n names of @list in the file that has @real_malloc, and rebinds those that it defines. Returns how many
 * those are, or a negative errno: -ENOENT, no file of the loader's has it, -EINVAL, its tables cannot be read.
 *
 * Normal context, the first time: it takes the loader's lock. After that it says the same again, whatever it is called with,
 * also in a child of fork, where it takes no lock but its own. @list is kept.
 */
int rebind_allocator(const void *real_malloc, const struct rebinding *list, size_t n);

/*
 * What rebind_allocator() could not do yet: slots of a file that another thread was loading just then. Nothing, soon, when
 * all is done. Returns how many slots remain. Normal context.
 */
unsigned rebind_again(void);

/* In a child of fork: whoever was rebinding is not here. */
void rebind_forked(void);

/*
 * Whether the host's calls of malloc() go past ours, because another file has the name before us: the program, with an
 * allocator linked into it, or a library preloaded before us. Then @path says which. Normal context.
 */
bool rebind_malloc_is_hidden(char *path, size_t size);
