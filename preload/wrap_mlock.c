/*
 * mlockall(): a host that wants to wait for no page asks for all of its memory to be there. Ours is address space for the
 * most part: 64 MiB and more, of which little is ever used. It is left out: it takes no memory then, and counts for
 * nothing against the host's limit (ulimit -l).
 *
 * There is no call for "all but this". So everything is locked as it is touched, which fills nothing, ours is let go, and
 * each of the others is locked as the host said.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/arch.h"
#include "core/mem.h"
#include "cprof/cprof.h"
#include "preload/process.h"
#include "preload/real.h"

/* True when the host's own address space is within its limit. */
static bool host_fits(void)
{
	char text[64];
	unsigned long pages = 0;
	struct rlimit limit;
	int fd = (int)sys4(SYS_openat, AT_FDCWD, "/proc/self/statm", O_RDONLY | O_CLOEXEC, 0);
	long n = fd >= 0 ? sys3(SYS_read, fd, text, sizeof(text) - 1) : 0;

	if (fd >= 0)
		sys1(SYS_close, fd);
	text[n > 0 ? n : 0] = '\0';
	return sscanf(text, "%lu", &pages) == 1 && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
	       limit.rlim_cur > 0 &&
	       pages * (unsigned long)getpagesize() <= limit.rlim_cur + mem_bytes();
}

/* Locks the mapping that @line of /proc/self/maps begins with. What cannot be locked is left, as mlockall() does. */
static void lock_one(const char *line, unsigned flags)
{
	unsigned long start, end;

	if (sscanf(line, "%lx-%lx", &start, &end) == 2 && !mem_is_ours(start))
		sys3(SYS_mlock2, start, end - start, flags);
}

static bool lock_hosts(unsigned flags)
{
	int fd = (int)sys4(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
	char buffer[1024], *at, *newline;
	bool is_inside = false; /* a line whose end has not come yet */
	size_t have = 0;
	long n;

	if (fd < 0)
		return false;
	while ((n = sys3(SYS_read, fd, buffer + have, sizeof(buffer) - 1 - have)) > 0) {
		have += (size_t)n;
		buffer[have] = '\0';
		for (at = buffer; (newline = strchr(at, '\n')) != NULL; at = newline + 1) {
			if (!is_inside)
				lock_one(at, flags);
			is_inside = false;
		}
		have = (size_t)(buffer + have - at);
		memmove(buffer, at, have);
		if (have == sizeof(buffer) - 1) {
			/* a long name: its addresses are what counts */
			if (!is_inside)
				lock_one(buffer, flags);
			is_inside = true;
			have = 0;
		}
	}
	sys1(SYS_close, fd);
	return true;
}

static void let_go(uintptr_t start, size_t bytes)
{
	sys2(SYS_munlock, start, bytes);
}

/* Ours is filled, and let go afterwards: for kernels before 4.4, and where there is no /proc. */
static int lock_all(int flags)
{
	int r = real.mlockall(flags);

	if (r == 0)
		mem_each(let_go);
	return r;
}

CPROF_PUBLIC int mlockall(int flags)
{
	int saved = errno;

	if (!(flags & MCL_CURRENT) || !process_is_ours(segment_live()))
		return real.mlockall(flags);
	if (real.mlockall(flags | MCL_ONFAULT) == 0)
		mem_each(let_go);
	else if (errno == EINVAL)
		return lock_all(flags);
	else if (errno != ENOMEM || !host_fits())
		return -1;
	if ((flags & MCL_FUTURE) && real.mlockall(flags & ~MCL_CURRENT) < 0)
		return -1;
	if (!lock_hosts(flags & MCL_ONFAULT ? MLOCK_ONFAULT : 0))
		return lock_all(flags);
	errno = saved;
	return 0;
}
