/*
 * Wrappers around exec: signals of ours that are on their way must not reach a program that has no handler for them.
 *
 * What the C library execs by itself (posix_spawn, system, popen) runs in a child that has no timers.
 */
#include <alloca.h>
#include <stdarg.h>

#include "cprof/cprof.h"
#include "preload/process.h"
#include "preload/real.h"

#define AROUND_EXEC(call)                           \
	struct wait w = {0};                        \
	struct thread *t = process_exec_begins(&w); \
	int r = call;                               \
                                                    \
	process_exec_failed(t, &w);                 \
	return r

CPROF_PUBLIC int execve(const char *path, char *const argv[], char *const envp[])
{
	AROUND_EXEC(real.execve(path, argv, envp));
}

CPROF_PUBLIC int execv(const char *path, char *const argv[])
{
	AROUND_EXEC(real.execv(path, argv));
}

CPROF_PUBLIC int execvp(const char *file, char *const argv[])
{
	AROUND_EXEC(real.execvp(file, argv));
}

CPROF_PUBLIC int execvpe(const char *file, char *const argv[], char *const envp[])
{
	AROUND_EXEC(real.execvpe(file, argv, envp));
}

CPROF_PUBLIC int fexecve(int fd, char *const argv[], char *const envp[])
{
	AROUND_EXEC(real.fexecve(fd, argv, envp));
}

CPROF_PUBLIC int execveat(int fd, const char *path, char *const argv[], char *const envp[],
			  int flags)
{
	AROUND_EXEC(real.execveat(fd, path, argv, envp, flags));
}

/* The variants with a list put it into an array, on the stack: they may run in a child of vfork. */
static size_t count_arguments(va_list args)
{
	size_t n = 1;

	while (va_arg(args, char *) != NULL)
		n++;
	return n;
}

#define COLLECT(argv, first, last)                         \
	va_list args;                                      \
	char **argv;                                       \
	size_t argv##_count;                               \
                                                           \
	va_start(args, first);                             \
	argv##_count = count_arguments(args);              \
	va_end(args);                                      \
	argv = alloca((argv##_count + 1) * sizeof(*argv)); \
	va_start(args, first);                             \
	argv[0] = (char *)first;                           \
	for (size_t i = 1; i <= argv##_count; i++)         \
		argv[i] = va_arg(args, char *);            \
	last;                                              \
	va_end(args)

CPROF_PUBLIC int execl(const char *path, const char *first, ...)
{
	COLLECT(argv, first, (void)0);
	AROUND_EXEC(real.execv(path, argv));
}

CPROF_PUBLIC int execlp(const char *file, const char *first, ...)
{
	COLLECT(argv, first, (void)0);
	AROUND_EXEC(real.execvp(file, argv));
}

CPROF_PUBLIC int execle(const char *path, const char *first, ...)
{
	char *const *envp;

	COLLECT(argv, first, envp = va_arg(args, char *const *));
	AROUND_EXEC(real.execve(path, argv, envp));
}
