/*
 * What makes children, for the trace: who has made which. What comes to life by other ways: clone() in wrap_thread.c, vfork()
 * when its child comes to exec (process.c).
 *
 * The C library makes the children of posix_spawn(), system() and popen() inside. Where system calls are seen, such a child
 * says by itself, on its parent's thread, that it is about to become another program. Else the first tells its number in the end,
 * and the others never do.
 */
#include <errno.h>

#include "cprof/cprof.h"
#include "preload/real.h"
#include "tracer/user.h"

CPROF_PUBLIC pid_t fork(void)
{
	uint64_t ticks;
	int saved;
	pid_t pid;

	if (likely(!trace_runs()))
		return real.fork();
	ticks = trace_ticks(); /* before the child's first */
	pid = real.fork();
	saved = errno;
	if (pid != 0 && trace_runs()) {
		if (pid > 0)
			trace_fork(pid, ticks, (uintptr_t)real.fork);
		trace_returned(pid > 0 ? pid : -saved, (uintptr_t)real.fork);
	}
	errno = saved;
	return pid;
}

/* @pid: 0 when it is not known, negative: none was made. */
#define MAKES_CHILD(result, name, arguments, pid) \
	result made;                              \
                                                  \
	if (likely(!trace_runs()))                \
		return real.name arguments;       \
	trace_makes_child((uintptr_t)real.name);  \
	made = real.name arguments;               \
	trace_made_child(pid);                    \
	return made

#define SPAWNS(name, alias)                                                              \
	__typeof__(name) alias;                                                          \
	CPROF_PUBLIC int alias(                                                          \
		pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, \
		const posix_spawnattr_t *attr, char *const argv[], char *const envp[])   \
	{                                                                                \
		pid_t own;                                                               \
                                                                                         \
		if (pid == NULL)                                                         \
			pid = &own;                                                      \
		MAKES_CHILD(int, name, (pid, path, actions, attr, argv, envp),           \
			    made == 0 ? *pid : -1);                                      \
	}

/* Those of the older kind go to the C library: see libcprof.map. */
#ifdef __x86_64__
SPAWNS(posix_spawn, spawn_2_15)
SPAWNS(posix_spawnp, spawnp_2_15)
__asm__(".symver spawn_2_15, posix_spawn@@GLIBC_2.15\n\t"
	".symver spawnp_2_15, posix_spawnp@@GLIBC_2.15");
#else
SPAWNS(posix_spawn, posix_spawn)
SPAWNS(posix_spawnp, posix_spawnp)
#endif

CPROF_PUBLIC int system(const char *command)
{
	/* without one it is a question */
	MAKES_CHILD(int, system, (command), made != -1 && command != NULL ? 0 : -1);
}

CPROF_PUBLIC FILE *popen(const char *command, const char *mode)
{
	MAKES_CHILD(FILE *, popen, (command, mode), made != NULL ? 0 : -1);
}
