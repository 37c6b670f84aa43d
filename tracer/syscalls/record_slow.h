/*
 * record_slow: what system calls need now and then and may use vector registers: the caller has saved them.
 */
#pragma once

#include <stdint.h>

#include "core/context.h"
#include "tracer/syscalls/sites.h"

extern uint64_t record_long_ticks; /* calls of this length have their stack */

/* A new instance for a descriptor, with its fd.open; 0: it is not open. @other is that of the other socket of a pair, else -1. */
SIGSAFE uint32_t record_file(int number, int other);

/* A socket has an address now, or a peer: @peer, @peer_bytes of it, as the host gave it to connect(), or NULL. */
SIGSAFE void record_socket(int number, uint32_t instance, const void *peer, uint32_t peer_bytes);

/* A syscall.path with the text at @address, when there is one. */
SIGSAFE void record_path(uintptr_t address, uint64_t ticks);

/* The stack of who made the call, 0: none. */
SIGSAFE uint32_t record_stack(const struct syscall_frame *f);

/* The thread makes its last call: its thread.exit. */
SIGSAFE void record_exit(uint64_t ticks);

SIGSAFE void record_write(unsigned type, uint64_t ticks, const uint64_t *arguments, unsigned n);
