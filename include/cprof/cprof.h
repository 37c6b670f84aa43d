/*
 * cprof: profiles of a running native program, in pprof's format.
 *
 *     #include <cprof/cprof.h>              cc app.c $(pkg-config --cflags --libs cprof)
 *
 *     cprof_enable(CPROF_CPU);              count from here on
 *     …
 *     cprof_write("cpu", fd, 0);            all that was counted so far
 *
 *     cprof_cpu_start(fd);                  or a window: everything between start and stop goes to fd
 *     …
 *     cprof_cpu_stop(fd);
 *
 * Functions return 0 or a negative errno, where they return anything. Any thread may call any of them; none may be called
 * from a signal handler, but for cprof_alloc() and cprof_free(), and none between vfork() and exec. With -DCPROF_WEAK nothing
 * of it needs the library at link time: the calls do nothing and return -ENOSYS unless libcprof.so is loaded, for instance
 * by `cprof run`.
 *
 * C99 and C++11.
 */
#ifndef CPROF_CPROF_H
#define CPROF_CPROF_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CPROF_PUBLIC   __attribute__((visibility("default")))
#define CPROF_SENTINEL __attribute__((sentinel))
#else
#define CPROF_PUBLIC
#define CPROF_SENTINEL
#endif

#ifdef CPROF_WEAK
#define CPROF_API CPROF_PUBLIC __attribute__((weak))
#else
#define CPROF_API CPROF_PUBLIC
#endif

/* Profiles. Those that this version does not have are refused with -ENOTSUP. */
enum {
	CPROF_CPU = 1 << 0,          /* where CPU time goes */
	CPROF_WALL = 1 << 1,         /* where time goes, running or waiting */
	CPROF_HEAP = 1 << 2,         /* who allocates, who keeps */
	CPROF_BLOCK = 1 << 3,        /* who waited, for how long */
	CPROF_MUTEX = 1 << 4,        /* who made others wait */
	CPROF_THREADS = 1 << 5,      /* what every thread is doing, when it is written */
	CPROF_THREADCREATE = 1 << 6, /* who starts threads */
	CPROF_TRACE = 1 << 7,        /* not yet */
	CPROF_ALL = 0xffff           /* every profile that this version has */
};

#ifdef CPROF_SHORT_NAMES
enum {
	ALL = CPROF_ALL,
	CPU = CPROF_CPU,
	WALL = CPROF_WALL,
	HEAP = CPROF_HEAP,
	BLOCK = CPROF_BLOCK,
	MUTEX = CPROF_MUTEX,
	THREADS = CPROF_THREADS,
	TRACE = CPROF_TRACE
};
#endif

/*
 * Starts the profiles in @profiles, with the options of the environment variable CPROF or their defaults. Those
 * that run already go on. -ENOTSUP: one of them is not in this version (nothing was started); -ENOMEM, -EMFILE:
 * no segment could be made.
 */
CPROF_API int cprof_enable(unsigned profiles);

/* Stops counting. What was counted can still be written. */
CPROF_API int cprof_disable(unsigned profiles);

/*
 * Starts what @spec asks for, such as "cpu=250,out=DIR"; see cprof(7) for the words. With out= the profiles are written
 * there by cprof_stop(), or when the program exits. -EINVAL: a word is unknown or its value is out of range (said on
 * stderr; nothing was started); -EBUSY: profiles run already. @spec is copied.
 */
CPROF_API int cprof_start(const char *spec);

/* Stops all profiles and writes what out= asked for. -EIO and the like when that failed. */
CPROF_API int cprof_stop(void);

/*
 * A window on the CPU profile: what is sampled until cprof_cpu_stop(@fd) is written to @fd then, as runtime/pprof's
 * StartCPUProfile and StopCPUProfile do. Any number of windows may be open at once; they share one sampler, at the rate it
 * was first started with. -EINVAL: @fd has a window already; -ENOSPC: 64 windows are open.
 */
CPROF_API int cprof_cpu_start(int fd);
CPROF_API int cprof_cpu_stop(int fd); /* -EINVAL: @fd has no window */

/*
 * Writes the profile @name ("cpu", "wall", "heap", "allocs", "threads", "threadcreate") to @fd: all that was counted so far
 * or, of the threads, what they do now: they are looked at first, which takes a second at most. "allocs" is "heap" with
 * what was allocated shown first in place of what is in use.
 *
 *     @debug 0   pprof's protobuf, gzipped
 *            1   text: each stack with its number, the largest first, its functions with file and line; the heap as
 *                Go's "heap profile:", with the blocks as they were sampled
 *            2   the threads one by one: id, state, time in it, name, labels, stack; other profiles as 1
 *
 * -EINVAL: another @debug; -ENOENT: no such profile; -EAGAIN: it never ran; -ETIMEDOUT: the threads were not looked at in
 * time.
 */
CPROF_API int cprof_write(const char *name, int fd, int debug);

/*
 * The same, as protobuf, for the next @seconds only; returns when they have passed. Of the threads: how many more or fewer
 * there are at each stack than before. Of the heap: what was allocated meanwhile, and how much more or less is in use.
 */
CPROF_API int cprof_write_delta(const char *name, int fd, double seconds);

/*
 * Labels: what this thread records from now on carries the pairs, over those it has already. New threads inherit them.
 * The result restores the labels from before; sets are cheap, but limited in number (thousands), so a label is a kind of
 * request rather than its id. At most 15 on a thread. The list of keys and values ends with NULL.
 *
 *     cprof_labels before = cprof_labels_set("tenant", "acme", "endpoint", "/search", NULL);
 *     …
 *     cprof_labels_restore(before);
 */
typedef unsigned cprof_labels;
CPROF_API cprof_labels cprof_labels_set(const char *key, const char *value, ...) CPROF_SENTINEL;
CPROF_API void cprof_labels_restore(cprof_labels before);

/*
 * For a pool or an arena: blocks that it hands out show in the heap profile as those of malloc() do, at the stack that calls
 * this. cprof_alloc(): @p is the program's from now on, @size bytes of it. cprof_free(): no longer. A block that changes
 * its size is freed and allocated.
 *
 * @p is any address, and stands for one block at a time; NULL is none. Call cprof_free() before the address can be handed out
 * again. What is allocated while the profile is off is not seen, nor is its end.
 *
 * Any thread, any context, signal handlers too. They take no lock, and no longer than malloc() and free() take for their
 * counting: a load where the profile is off.
 *
 * The memory that the pool itself has from malloc() counts as well, at the pool's own stack. Have it from mmap() where that
 * is in the way.
 */
CPROF_API void cprof_alloc(const void *p, size_t size);
CPROF_API void cprof_free(const void *p);

#ifdef __cplusplus
}
#endif

#ifdef CPROF_WEAK
#define CPROF_ABSENT                 (-38) /* -ENOSYS */
#define cprof_enable(profiles)       (cprof_enable ? (cprof_enable)(profiles) : CPROF_ABSENT)
#define cprof_disable(profiles)      (cprof_disable ? (cprof_disable)(profiles) : CPROF_ABSENT)
#define cprof_start(spec)            (cprof_start ? (cprof_start)(spec) : CPROF_ABSENT)
#define cprof_stop()                 (cprof_stop ? (cprof_stop)() : CPROF_ABSENT)
#define cprof_cpu_start(fd)          (cprof_cpu_start ? (cprof_cpu_start)(fd) : CPROF_ABSENT)
#define cprof_cpu_stop(fd)           (cprof_cpu_stop ? (cprof_cpu_stop)(fd) : CPROF_ABSENT)
#define cprof_write(name, fd, debug) (cprof_write ? (cprof_write)(name, fd, debug) : CPROF_ABSENT)
#define cprof_write_delta(name, fd, seconds) \
	(cprof_write_delta ? (cprof_write_delta)(name, fd, seconds) : CPROF_ABSENT)
#define cprof_labels_set(...) (cprof_labels_set ? (cprof_labels_set)(__VA_ARGS__) : 0u)
#define cprof_labels_restore(before) \
	(cprof_labels_restore ? (cprof_labels_restore)(before) : (void)0)
#define cprof_alloc(p, size) (cprof_alloc ? (cprof_alloc)(p, size) : (void)0)
#define cprof_free(p)        (cprof_free ? (cprof_free)(p) : (void)0)
#endif

#endif
