/*
 * Wrappers around exec: signals of ours that are on their way must not reach a program that has no handler for them.
 *
 * What the C library execs by itself (posix_spawn, system, popen) runs in a child that has no timers.
 */
#include <alloca.h>
#include <fcntl.h>
#include <stdarg.h>

#include "cprof/cprof.h"
#include "preload/process.h"
#include "preload/real.h"

#define AROUND_EXEC(path, call)                           \
	struct wait w = {0};                              \
	struct thread *t = process_exec_begins(path, &w); \
	int r = call;                                     \
                                                          \
	process_exec_failed(path, t, &w);                 \
	return r

/* What stands for a path where there is none: "fd:7". On the stack: it may be a child of vfork. */
struct fd_name {
	char text[16];
};

static const char *name_fd(int fd, struct fd_name *name)
{
	char *at = name->text + sizeof(name->text) - 1;

	*at = '\0';
	do
		*--at = (char)('0' + fd % 10);
	while ((fd /= 10) > 0);
	*--at = ':';
	*--at = 'd';
	*--at = 'f';
	return at;
}

CPROF_PUBLIC int execve(const char *path, char *const argv[], char *const envp[])
{
	AROUND_EXEC(path, real.execve(path, argv, envp));
}

CPROF_PUBLIC int execv(const char *path, char *const argv[])
{
	AROUND_EXEC(path, real.execv(path, argv));
}

CPROF_PUBLIC int execvp(const char *file, char *const argv[])
{
	AROUND_EXEC(file, real.execvp(file, argv));
}

CPROF_PUBLIC int execvpe(const char *file, char *const argv[], char *const envp[])
{
	AROUND_EXEC(file, real.execvpe(file, argv, envp));
}

CPROF_PUBLIC int fexecve(int fd, char *const argv[], char *const envp[])
{
	struct fd_name name;
	const char *path = name_fd(fd, &name);

	AROUND_EXEC(path, real.fexecve(fd, argv, envp));
}

CPROF_PUBLIC int execveat(int fd, const char *path, char *const argv[], char *const envp[],
			  int flags)
{
	struct fd_name name;
	const char *shown = flags & AT_EMPTY_PATH ? name_fd(fd, &name) : path;

	AROUND_EXEC(shown, real.execveat(fd, path, argv, envp, flags));
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
	AROUND_EXEC(path, real.execv(path, argv));
}

CPROF_PUBLIC int execlp(const char *file, const char *first, ...)
{
	COLLECT(argv, first, (void)0);
	AROUND_EXEC(file, real.execvp(file, argv));
}

CPROF_PUBLIC int execle(const char *path, const char *first, ...)
{
	char *const *envp;

	COLLECT(argv, first, envp = va_arg(args, char *const *));
	AROUND_EXEC(path, real.execve(path, argv, envp));
}
