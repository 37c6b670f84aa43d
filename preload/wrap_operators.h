/*
 * wrap_operators: C++'s new and delete, and jemalloc's own functions, of an allocator that has them itself.
 *
 * Nothing of this is exported: see preload/rebind.h.
 */
#pragma once

/*
 * Looks whether the process's malloc() comes with such, and stands in front of them: once, before the heap profile starts.
 * Returns how many there are, or a negative errno (rebind_allocator()). Normal context.
 */
int wrap_operators(const void *real_malloc);
