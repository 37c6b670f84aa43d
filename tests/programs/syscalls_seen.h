/*
 * What libsyscalls_seen.so counts: in the file that SYSCALLS_SEEN names, which all processes share, and beyond it in no
 * allocation and no call.
 */
#pragma once

#include <stdint.h>

#define SEEN_NUMBERS 512
#define SEEN_MARKER  0x63707266 /* an option of prctl() that there is not */

struct seen {
	_Atomic uint64_t entered[SEEN_NUMBERS], left[SEEN_NUMBERS];
	_Atomic uint64_t unpaired; /* leave() that does not fit to its enter() */
	_Atomic uint64_t childs;   /* of children of vfork() */
	_Atomic uint64_t starts, starts_failed, stops;
	_Atomic uint64_t start_ns; /* the last one */
	_Atomic uint64_t files, found, in_place, in_stub, by_dispatch, left_out[16];
};
