/*
 * allocator: the functions that stand between whoever asks for memory and the wrapper that counts it.
 *
 * Heap profiles are about who asked. What pprof drops from the heap profiles that it reads as text is dropped here, by
 * the names of the linker: operators new of C++ and what Rust has in their place, malloc() and its kin where one is made of
 * another. Containers and their allocate() stay, for these are choices of the program.
 */
#pragma once

#include <stdbool.h>

bool allocator_has(const char *system_name);
