/*
 * program: what is to be run, and whether a library can be preloaded into it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/why.h"

struct program {
	char path[4096];
	/* The file whose code it is: of a script its interpreter. "": not known. Also of one that is refused. */
	char image[4096];
	/* The address sanitizer's runtime asks the program itself for its options, and not libcprof.so (preload/boot.c). */
	bool answers_asan;
};

/*
 * Finds @name as the shell would, and refuses what the loader would not preload anything into: static programs, other
 * processors, other C libraries, setuid programs. -ENOENT, -EACCES as env(1) tells them apart, else -ENOTSUP.
 */
int program_find(const char *name, struct program *ret, struct why *why);

/* The libcprof.so that goes with this program. */
int program_find_library(char *ret, size_t size, struct why *why);
