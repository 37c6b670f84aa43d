/*
 * What runs around each call: compiled with -mgeneral-regs-only.
 */
#pragma once

#include "tests/programs/syscalls_seen.h"
#include "tracer/syscalls/sites.h"

extern struct seen *seen_table;

void seen_enter(struct syscall_frame *f);
void seen_leave(struct syscall_frame *f);

/* The price of the two stamps and of an event that tracing will pay. */
void seen_enter_timed(struct syscall_frame *f);
void seen_leave_timed(struct syscall_frame *f);
