/*
 * context: where a line of code may run.
 *
 *     signal   inside a signal handler: no allocation, no lock, no waiting, no libc beyond a short list, errno kept
 *     hook     inside the host's malloc, lock, exec …: not the host's allocator, no lock the host can hold
 *     normal   public API, launcher: may do anything but block the host for long
 *
 * SIGSAFE code lives in files named *_sig.c; tests/lint lists what their objects refer to.
 */
#pragma once

#define SIGSAFE
#define HOOKSAFE

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
