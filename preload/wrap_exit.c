/*
 * Wrappers of the ways to end a process that run no destructor.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/arch.h"
#include "cprof/cprof.h"
#include "preload/process.h"
#include "preload/real.h"

/* Not in a child of vfork(), which ends like this when exec failed: the segment is its parent's. */
CPROF_PUBLIC void _exit(int status)
{
	process_settle();
	process_exits(status);
	if (real._exit == NULL)
		real_resolve();
	if (real._exit != NULL)
		real._exit(status);
	for (;;)
		sys1(SYS_exit_group, status);
}

CPROF_PUBLIC void _Exit(int status)
{
	_exit(status);
}
