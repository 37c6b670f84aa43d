/*
 * arch: what differs between processors. One file each under core/arch/.
 */
#pragma once

#include <stddef.h>

#if defined(__x86_64__) && defined(__LP64__)
#include "core/arch/x86_64.h"
#else
#error "cprof walks stacks of x86-64 Linux only so far"
#endif

/* System calls of the lengths we use; the result is the kernel's: a negative errno, not -1. */
#define sys1(n, a)          raw_syscall(n, (long)(a), 0, 0, 0, 0, 0)
#define sys2(n, a, b)       raw_syscall(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define sys3(n, a, b, c)    raw_syscall(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define sys4(n, a, b, c, d) raw_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define sys5(n, a, b, c, d, e) \
	raw_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define sys6(n, a, b, c, d, e, f) \
	raw_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
