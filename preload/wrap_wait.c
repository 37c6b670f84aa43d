/*
 * Wrappers of calls in which a thread may wait: while somebody looks at threads, it says so (core/wait.h). All are alike,
 * and made from wrapped.def.
 *
 * While nobody looks they are a jump, and leave no frame. They take nothing away from the call and add nothing to it: it
 * is a cancellation point if it was one, is interrupted by what interrupts it, and its errno is its own.
 */
/* Neither inlines that check lengths nor names that stand for others: this file defines what they call. */
#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS

#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <termios.h>

#include "core/wait.h"
#include "cprof/cprof.h"
#include "preload/real.h"

#define X(result, name, parameters, arguments)
/*
 * The two halves are two functions, so that the one that is taken when nobody looks keeps no registers. The second is jumped
 * to: its caller is the host. Some names are declared in no header, or not in that of every C library.
 */
#define WAITS(code, result, name, parameters, arguments)                  \
	__attribute__((noinline)) static result wait_in_##name parameters \
	{                                                                 \
		WAITING(code, real.name, NULL);                           \
		return WAITED_IO(real.name arguments);                    \
	}                                                                 \
	CPROF_PUBLIC result name parameters;                              \
	CPROF_PUBLIC result name parameters                               \
	{                                                                 \
		if (!wait_is_wanted(wait_concern(code)))                  \
			return real.name arguments;                       \
		return wait_in_##name arguments;                          \
	}
#include "preload/wrapped.def"

/* Other names of the same. */
#define ALSO(name, other) CPROF_PUBLIC __typeof__(name) other __attribute__((alias(#name)))

ALSO(read, __read);
ALSO(write, __write);
ALSO(pread64, __pread64);
ALSO(pwrite64, __pwrite64);
ALSO(send, __send);
ALSO(connect, __connect);
ALSO(poll, __poll);
ALSO(select, __select);
ALSO(nanosleep, __nanosleep);
ALSO(wait, __wait);
ALSO(waitpid, __waitpid);
ALSO(sigsuspend, __sigsuspend);

/* A handler that interrupted a wait may leave it for good. */
#define LEAVES(name)                                                                \
	CPROF_PUBLIC __attribute__((noreturn)) void name(sigjmp_buf to, int value); \
	CPROF_PUBLIC void name(sigjmp_buf to, int value)                            \
	{                                                                           \
		if (wait_is_wanted(WAIT_SHOWN | WAIT_COUNTED | WAIT_TRACED))        \
			wait_leave();                                               \
		if (real.name == NULL)                                              \
			real_early(#name, &real.name);                              \
		real.name(to, value);                                               \
		__builtin_unreachable();                                            \
	}

LEAVES(longjmp)
LEAVES(_longjmp)
LEAVES(siglongjmp)
LEAVES(__longjmp_chk)
